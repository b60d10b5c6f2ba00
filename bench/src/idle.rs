//! What a node costs that has nothing to do, and how soon it serves.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde_json::json;

use crate::cluster::{Cluster, Setup};
use crate::etcd::Etcd;
use crate::process::resident_bytes;
use crate::report::{Report, Table};
use crate::starling::Starling;
use crate::statistics::{median, millis, quantile};

const REST: Duration = Duration::from_secs(10);
const STARTS: usize = 5;

/// Measures both.
pub(crate) async fn run(setup: &Setup) -> Result<Report> {
    let mut starling = Starling::start(setup).await.context("starting Starling")?;
    let ours = resident_after_rest(&starling).await?;
    let mut starts = Vec::with_capacity(STARTS);
    for _ in 0..STARTS {
        starling.kill(0)?;
        let begun = Instant::now();
        starling.revive(0)?;
        starling.wait_until_ready(0).await?;
        starts.push(begun.elapsed());
    }
    starling.stop().await?;
    starts.sort();

    let etcd = Etcd::start(setup).await.context("starting etcd")?;
    let theirs = resident_after_rest(&etcd).await?;
    etcd.stop().await?;

    let command = "starling-bench idle";
    let columns = [
        "",
        "resident MB, median of three members",
        "`/readyz` after ms, median",
        "worst",
    ];
    let mut table = Table::new("Idle", command, &columns);
    let start_cells =
        [0.5, 1.0].map(|fraction| format!("{:.0}", millis(quantile(&starts, fraction))));
    let [middle, worst] = start_cells;
    table.row(&["Starling".to_owned(), megabytes(&ours), middle, worst]);
    table.row(&[
        "etcd".to_owned(),
        megabytes(&theirs),
        "".to_owned(),
        "".to_owned(),
    ]);
    let sentence = format!(
        "Memory after {} s without a request. Starts: {STARTS} times `starling serve` after a `kill -9`, on a ledger \
         with nothing but the first few records.",
        REST.as_secs()
    );
    let starts_ms: Vec<f64> = starts.iter().copied().map(millis).collect();
    Ok(Report {
        name: "idle",
        data: json!({
            "command": command, "starlingResidentBytes": ours, "etcdResidentBytes": theirs, "readyMs": starts_ms,
        }),
        markdown: table.finish(&sentence),
    })
}

async fn resident_after_rest<C: Cluster>(cluster: &C) -> Result<Vec<u64>> {
    tokio::time::sleep(REST).await;
    cluster.pids().into_iter().map(resident_bytes).collect()
}

fn megabytes(resident: &[u64]) -> String {
    #[expect(
        clippy::cast_precision_loss,
        reason = "a memory size is far below 2^52"
    )]
    let values = resident.iter().map(|bytes| *bytes as f64 / 1e6);
    format!("{:.1}", median(values))
}
