//! Runs of both systems in turn, and their table.

use anyhow::Result;
use serde_json::{Value, json};

use crate::cluster::{Cluster, Setup};
use crate::etcd::Etcd;
use crate::report::Table;
use crate::run::{Clients, Run, micros, run};
use crate::starling::Starling;
use crate::statistics::{median, millis};

const COLUMNS: [&str; 6] = [
    "",
    "writes/s",
    "p50 ms",
    "p99 ms",
    "servers' CPU µs/write",
    "client's CPU µs/write",
];

/// One run of each system.
#[derive(Debug)]
pub(crate) struct Pair {
    /// Ours.
    pub(crate) starling: Run,
    /// Theirs.
    pub(crate) etcd: Run,
}

/// Makes `count` pairs; who goes first alternates.
pub(crate) async fn measure(
    setup: &Setup,
    (starling, etcd): (Clients, Clients),
    count: usize,
    seconds: u64,
) -> Result<Vec<Pair>> {
    let mut pairs = Vec::with_capacity(count);
    for number in 0..count {
        let pair = if number % 2 == 0 {
            let starling = run::<Starling>(setup, starling, seconds).await?;
            Pair {
                starling,
                etcd: run::<Etcd>(setup, etcd, seconds).await?,
            }
        } else {
            let etcd = run::<Etcd>(setup, etcd, seconds).await?;
            Pair {
                starling: run::<Starling>(setup, starling, seconds).await?,
                etcd,
            }
        };
        let rates = (pair.starling.per_second, pair.etcd.per_second);
        eprintln!(
            "pair {} of {count}: {:.0} and {:.0} writes/s",
            number + 1,
            rates.0,
            rates.1
        );
        pairs.push(pair);
    }
    Ok(pairs)
}

/// Every run, and the medians.
pub(crate) fn table(title: &str, command: &str, pairs: &[Pair]) -> Table {
    let mut table = Table::new(title, command, &COLUMNS);
    for (number, pair) in (1..).zip(pairs) {
        table.row(&cells(
            &format!("{} {number}", Starling::NAME),
            &pair.starling,
        ));
        table.row(&cells(&format!("{} {number}", Etcd::NAME), &pair.etcd));
    }
    table.row(&medians(
        Starling::NAME,
        pairs.iter().map(|pair| &pair.starling),
    ));
    table.row(&medians(Etcd::NAME, pairs.iter().map(|pair| &pair.etcd)));
    table
}

/// For the report.
pub(crate) fn to_json(pairs: &[Pair]) -> Value {
    let one =
        |pair: &Pair| json!({ "starling": pair.starling.to_json(), "etcd": pair.etcd.to_json() });
    pairs.iter().map(one).collect()
}

/// How many acknowledged writes were found again.
pub(crate) fn counted(pairs: &[Pair]) -> usize {
    pairs
        .iter()
        .map(|pair| pair.starling.counted + pair.etcd.counted)
        .sum()
}

fn figures(run: &Run) -> [f64; 5] {
    [
        run.per_second,
        millis(run.p50),
        millis(run.p99),
        micros(run.server_cpu),
        micros(run.client_cpu),
    ]
}

fn cells(name: &str, run: &Run) -> Vec<String> {
    row(name, figures(run))
}

fn medians<'a>(name: &str, runs: impl Iterator<Item = &'a Run>) -> Vec<String> {
    let all: Vec<[f64; 5]> = runs.map(figures).collect();
    let column = |index: usize| median(all.iter().filter_map(|run| run.get(index).copied()));
    row(&format!("**{name}, median**"), std::array::from_fn(column))
}

fn row(name: &str, [rate, p50, p99, servers, client]: [f64; 5]) -> Vec<String> {
    vec![
        name.to_owned(),
        format!("{rate:.0}"),
        format!("{p50:.2}"),
        format!("{p99:.2}"),
        format!("{servers:.0}"),
        format!("{client:.0}"),
    ]
}
