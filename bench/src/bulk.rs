//! How long an operation over many files takes, and what the clients of other writes feel meanwhile.
//!
//! The files come from the same prepared chain as in `join`. One operation tags all of them, found by a query; then it is
//! taken back. A few clients write records all the while.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::Options;
use crate::cluster::{Cluster as _, MEMBERS, Setup};
use crate::join::{felt, prepare};
use crate::load::{Load, spread};
use crate::report::{Report, Table};
use crate::starling::Starling;
use crate::statistics::millis;

/// A write of the load is given up then.
const PATIENCE: Duration = Duration::from_secs(20);
/// An operation that takes longer has failed.
const LIMIT: Duration = Duration::from_secs(1800);
const GLANCE: Duration = Duration::from_millis(50);
/// Clients that write records beside it.
const CLIENTS: usize = 4;

/// How many files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Args)]
pub(crate) struct What {
    /// Files of the library, all of which are tagged.
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    of: u64,
}

/// Measures.
pub(crate) async fn run(setup: &Setup, options: &Options, what: What) -> Result<Report> {
    let cluster = Starling::start_prepared(setup, None, |folder| {
        prepare(setup, folder, ("files", what.of))
    });
    let cluster = cluster.await.context("starting the cluster")?;
    let load = Load::start(&cluster, &spread(CLIENTS, MEMBERS), PATIENCE);
    let quiet = Instant::now();
    tokio::time::sleep(Duration::from_secs(options.seconds)).await;
    let tagging = Instant::now();
    let ops = json!([{ "op": "addTags", "tags": ["bench/bulk"] }]);
    let body = json!({ "select": { "query": "" }, "ops": ops });
    let tagged = finish(&cluster, "/api/v1/bulk", &body).await?;
    let undoing = Instant::now();
    let id = tagged.get("id").and_then(Value::as_str).unwrap_or_default();
    let undo = format!("/api/v1/operations/{id}/undo");
    let undone = finish(&cluster, &undo, &Value::Null).await?;
    let over = Instant::now();
    let work = load.stop().await?;
    cluster.stop().await?;

    for (operation, what_for) in [(&tagged, "tagged"), (&undone, "undone")] {
        let changed = operation.pointer("/files/changed").and_then(Value::as_u64);
        if changed != Some(what.of) {
            bail!("{changed:?} files were {what_for}, not {}", what.of);
        }
    }
    let stretches = [
        ("nothing", quiet, tagging),
        ("tagging", tagging, undoing),
        ("taking it back", undoing, over),
    ];
    let command = format!(
        "starling-bench bulk --of {} --seconds {}",
        what.of, options.seconds
    );
    let columns = ["meanwhile", "s", "files/s", "other writes p50 ms", "p99 ms"];
    let mut table = Table::new("Many files at once", &command, &columns);
    let mut data = Vec::new();
    for (name, from, to) in stretches {
        let seconds = (to - from).as_secs_f64();
        let [p50, p99] = felt(&work.samples, from, to).map(millis);
        let rate = what.of as f64 / seconds;
        table.row(&[
            name.to_owned(),
            format!("{seconds:.1}"),
            if name == "nothing" {
                "-".to_owned()
            } else {
                format!("{rate:.0}")
            },
            format!("{p50:.1}"),
            format!("{p99:.1}"),
        ]);
        data.push(json!({ "meanwhile": name, "seconds": seconds, "p50Ms": p50, "p99Ms": p99 }));
    }
    let sentence = format!(
        "Three nodes, {} files, {CLIENTS} clients that write records beside it.",
        what.of
    );
    Ok(Report {
        name: "bulk",
        data: json!({ "command": command, "stretches": data }),
        markdown: table.finish(&sentence),
    })
}

/// Begins an operation and waits until it is over.
async fn finish(cluster: &Starling, path: &str, body: &Value) -> Result<Value> {
    let begun = Instant::now();
    let mut operation = cluster.call("POST", path, body).await?;
    let id = operation
        .get("id")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let path = format!("/api/v1/operations/{id}");
    while operation.get("state").and_then(Value::as_str) != Some("done") {
        if begun.elapsed() > LIMIT {
            bail!("an operation is not over within {LIMIT:?}: {operation}");
        }
        tokio::time::sleep(GLANCE).await;
        operation = cluster.call("GET", &path, &Value::Null).await?;
    }
    Ok(operation)
}
