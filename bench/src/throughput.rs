//! Writes per second of many clients on all members.

use anyhow::Result;
use serde_json::json;

use crate::cluster::Setup;
use crate::report::Report;
use crate::run::Clients;
use crate::statistics::median;
use crate::{Options, pairs};

/// Runs all pairs.
pub(crate) async fn run(setup: &Setup, options: &Options) -> Result<Report> {
    let clients = Clients::Everywhere(options.clients);
    let pairs = pairs::measure(setup, (clients, clients), options.pairs, options.seconds).await?;
    let ratio = median(
        pairs
            .iter()
            .map(|pair| pair.starling.per_second / pair.etcd.per_second),
    );
    let command = format!(
        "starling-bench throughput --clients {} --seconds {} --pairs {}",
        options.clients, options.seconds, options.pairs
    );
    let sentence = format!(
        "Starling's writes per second over etcd's, median of {} pairs: **{ratio:.2}**. All {} acknowledged writes \
         were found exactly once.",
        pairs.len(),
        pairs::counted(&pairs)
    );
    Ok(Report {
        name: "throughput",
        data: json!({ "command": command, "ratio": ratio, "pairs": pairs::to_json(&pairs) }),
        markdown: pairs::table("Throughput", &command, &pairs).finish(&sentence),
    })
}
