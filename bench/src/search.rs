//! Searching a large library: one node with a generated library, and the same files in a plain SQLite table as a naive
//! engineer would make it, asked the same questions in turn.
//!
//! The library is not uploaded: `chain`, an example of the crate `node`, writes it into the ledger and builds the catalogue,
//! which is also how long a rebuild takes. The node is asked over HTTP, with JSON on the way back; SQLite is a function
//! call in this process, which favours it.
//!
//! The node is started three times: on the new catalogue, which nobody has counted yet, after an orderly stop, which leaves the
//! index, and after it was killed, which leaves none.

mod naive;
mod questions;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use serde_json::{Value, json};
use tokio::time::Instant;

use self::naive::Naive;
use self::questions::{Kind, Question, Questions};
use crate::cluster::Setup;
use crate::hosts::Seat;
use crate::http::{self, Connection};
use crate::process::{Process, anonymous_bytes};
use crate::report::{Report, Table};
use crate::starling::{create, serve};
use crate::statistics::{millis, quantile};

/// A start that takes longer has failed.
const START_LIMIT: Duration = Duration::from_secs(600);
const GLANCE: Duration = Duration::from_millis(5);
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// How large a library, and how long it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Args)]
pub(crate) struct What {
    /// So many files.
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    files: u64,
    /// How often every kind of question is asked, each time another one.
    #[arg(long, value_name = "N", default_value_t = 100)]
    asked: usize,
    /// Do not ask SQLite, which takes minutes for a million files.
    #[arg(long)]
    alone: bool,
}

/// Latencies by kind of question.
type Felt = BTreeMap<Kind, Vec<Duration>>;

/// A node that runs.
struct Node {
    process: Process,
    connection: Connection,
    authorization: String,
    started: Duration,
}

/// What starts a node.
struct Starter<'a> {
    program: &'a Path,
    seat: &'a Seat,
    config: &'a Path,
    authorization: String,
    log: PathBuf,
}

impl Starter<'_> {
    /// Starts it, and returns when a first search is answered.
    async fn start(&self) -> Result<Node> {
        let begun = Instant::now();
        let process = serve(
            self.program,
            self.seat,
            self.config,
            Duration::ZERO,
            &self.log,
        )?;
        let authorization = self.authorization.clone();
        let connection = until_searched(self.seat.client, &authorization, begun).await?;
        Ok(Node {
            process,
            connection,
            authorization,
            started: begun.elapsed(),
        })
    }
}

/// How long building and starting took, and what was taken.
struct Costs {
    applied: Duration,
    /// On a catalogue that nobody has counted, after a stop, after a kill.
    starts: [Duration; 3],
    stopped: Duration,
    anonymous: u64,
}

/// Measures.
pub(crate) async fn run(setup: &Setup, what: What) -> Result<Report> {
    let folder = setup.new_folder("search-")?;
    let seat = setup.hosts.another()?;
    let created = create(&setup.starling, folder.path(), std::slice::from_ref(&seat))?;
    let applied = generate(setup, &folder.path().join("cluster"), what)?;
    let made = created.nodes.first().context("a cluster has a node")?;
    let starter = Starter {
        program: &setup.starling,
        seat: &seat,
        config: &made.config,
        authorization: format!("Authorization: Bearer {}\r\n", created.token),
        log: folder.path().join("n1.log"),
    };
    let mut node = starter.start().await?;
    let mut naive = match what.alone {
        true => None,
        false => Some(fill(&mut node, folder.path()).await?),
    };
    let (ours, plain) = ask(&mut node, naive.as_mut(), what).await?;
    let anonymous = anonymous_bytes(node.process.pid())?;
    let fresh = node.started;
    let begun = Instant::now();
    node.process.end(STOP_LIMIT).await?;
    let stopped = begun.elapsed();
    let mut again = starter.start().await?;
    again.process.kill()?;
    let mut after_kill = starter.start().await?;
    after_kill.process.end(STOP_LIMIT).await?;
    let costs = Costs {
        applied,
        starts: [fresh, again.started, after_kill.started],
        stopped,
        anonymous,
    };
    Ok(report(what, &costs, [ours, plain]))
}

/// Writes the library; gives how long its catalogue took.
fn generate(setup: &Setup, cluster: &Path, what: What) -> Result<Duration> {
    let program = setup.starling.with_file_name("examples").join("chain");
    let mut command = Command::new(&program);
    command
        .arg(cluster)
        .args(["library", &what.files.to_string()]);
    let output = command.output().with_context(|| {
        let program = program.display();
        format!("{program}; `cargo build --release -p node --example chain` makes it")
    })?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let took = said.lines().find_map(|line| {
        let (_, time) = line.strip_prefix("catalogue: ")?.rsplit_once(" in ")?;
        time.strip_suffix(" ms")?.parse().ok()
    });
    took.map(Duration::from_millis).with_context(|| {
        let errors = String::from_utf8_lossy(&output.stderr);
        format!("making a library: {said}{errors}")
    })
}

/// Waits until a first search is answered.
async fn until_searched(
    address: std::net::SocketAddr,
    authorization: &str,
    since: Instant,
) -> Result<Connection> {
    loop {
        let path = "/api/v1/files?limit=1";
        if let Ok(answer) = http::get(address, path, authorization).await
            && answer.status == 200
        {
            return Ok(Connection::open(address).await?);
        }
        if since.elapsed() > START_LIMIT {
            bail!("the node did not start within {START_LIMIT:?}");
        }
        tokio::time::sleep(GLANCE).await;
    }
}

impl Node {
    /// Asks and gives how long that took.
    async fn ask(&mut self, path: &str) -> Result<(Duration, Value)> {
        let request = http::request("GET", path, &self.authorization, &[]);
        let begun = Instant::now();
        let answer = self.connection.exchange(&request).await?;
        let took = begun.elapsed();
        if answer.status != 200 {
            let text = String::from_utf8_lossy(&answer.body);
            bail!("{path}: {} {text}", answer.status);
        }
        Ok((took, serde_json::from_slice(&answer.body)?))
    }
}

/// Copies what the node knows of its files into SQLite.
async fn fill(node: &mut Node, folder: &Path) -> Result<Naive> {
    let mut naive = Naive::create(&folder.join("naive.sqlite"))?;
    let mut cursor = String::new();
    loop {
        let path = format!("/api/v1/files?q=in:all&sort=added&limit=1000{cursor}");
        let (_, page) = node.ask(&path).await?;
        let items = page.pointer("/items").and_then(Value::as_array);
        naive.insert(items.map(Vec::as_slice).unwrap_or_default())?;
        match page.pointer("/nextCursor").and_then(Value::as_str) {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    naive.index()?;
    Ok(naive)
}

/// Asks every kind of question in turn, the node and SQLite one after the other.
async fn ask(node: &mut Node, mut naive: Option<&mut Naive>, what: What) -> Result<(Felt, Felt)> {
    let (mut ours, mut plain) = (Felt::new(), Felt::new());
    let mut questions = Questions::default();
    // One round that is not counted warms both.
    for round in 0..=what.asked {
        for question in questions.round() {
            let Question { kind, path, sql } = question;
            let (took, answer) = node.ask(&path).await?;
            if round > 0 {
                ours.entry(kind).or_default().push(took);
            }
            let Some(naive) = naive.as_mut() else {
                continue;
            };
            let begun = Instant::now();
            let count = naive.ask(&sql)?;
            if round > 0 {
                plain.entry(kind).or_default().push(begun.elapsed());
            }
            let total = answer.pointer("/total").and_then(Value::as_u64);
            if let (Some(count), Some(total)) = (count, total)
                && count != total
            {
                bail!("{path}: {total} files, {count} in SQLite");
            }
        }
    }
    for felt in [&mut ours, &mut plain] {
        felt.values_mut().for_each(|latencies| latencies.sort());
    }
    Ok((ours, plain))
}

fn report(what: What, costs: &Costs, [ours, plain]: [Felt; 2]) -> Report {
    let What { files, asked, .. } = what;
    let command = format!("starling-bench search --files {files} --asked {asked}");
    let columns = [
        "question",
        "p50 ms",
        "p99 ms",
        "aim p50, p99 ms",
        "SQLite p50 ms",
        "SQLite p99 ms",
    ];
    let mut table = Table::new("Searching", &command, &columns);
    let mut data = serde_json::Map::new();
    for (kind, latencies) in &ours {
        let own = [0.5, 0.99].map(|part| millis(quantile(latencies, part)));
        let other = plain
            .get(kind)
            .map(|latencies| [0.5, 0.99].map(|part| millis(quantile(latencies, part))));
        let shown = |number: Option<f64>| number.map_or("-".to_owned(), |ms| format!("{ms:.2}"));
        table.row(&[
            kind.name().to_owned(),
            shown(Some(own[0])),
            shown(Some(own[1])),
            kind.aim().to_owned(),
            shown(other.map(|[p50, _]| p50)),
            shown(other.map(|[_, p99]| p99)),
        ]);
        data.insert(
            kind.name().to_owned(),
            json!({"ms": own, "sqliteMs": other}),
        );
    }
    let starts = costs.starts.map(millis);
    data.insert("rebuildMs".to_owned(), json!(millis(costs.applied)));
    data.insert("startMs".to_owned(), json!(starts));
    data.insert("stopMs".to_owned(), json!(millis(costs.stopped)));
    data.insert("anonymousBytes".to_owned(), json!(costs.anonymous));
    Report {
        name: "search",
        data: json!({"command": command, "figures": data}),
        markdown: table.finish(&costs.sentence(files)),
    }
}

impl Costs {
    /// Each figure with what we aim at for a million files.
    fn sentence(&self, files: u64) -> String {
        let [fresh, again, killed] = self.starts.map(|start| start.as_secs_f64());
        let applied = self.applied.as_secs_f64();
        format!(
            "{files} files, one node, warm, one client; in brackets the aim for a million. Rebuilding the catalogue from the \
             ledger: {applied:.1} s (180), {:.0} files/s (6000). From the start of the process to the first answered search: \
             {again:.2} s after a stop (3), {killed:.2} s after a kill, {fresh:.2} s with a catalogue nobody has counted. The \
             stop took {:.2} s. Anonymous memory: {} MB (512).",
            files as f64 / applied,
            self.stopped.as_secs_f64(),
            self.anonymous / 1_000_000,
        )
    }
}
