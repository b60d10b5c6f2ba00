//! Latency of one client on one member, nobody else writing.
//!
//! etcd's client sits on the leader, which is its best case. Starling's sits on a node that does not hold the turn
//! when it begins; the turn comes with its first write.

use anyhow::Result;
use serde_json::json;

use crate::cluster::Setup;
use crate::report::Report;
use crate::run::Clients;
use crate::statistics::{median, millis};
use crate::{Options, pairs};

/// Runs all pairs.
pub(crate) async fn run(setup: &Setup, options: &Options) -> Result<Report> {
    let clients = (Clients::OneElsewhere, Clients::OneOnKeyMember);
    let pairs = pairs::measure(setup, clients, options.pairs, options.seconds).await?;
    let ratio = median(
        pairs
            .iter()
            .map(|pair| millis(pair.starling.p50) / millis(pair.etcd.p50)),
    );
    let command = format!(
        "starling-bench latency --seconds {} --pairs {}",
        options.seconds, options.pairs
    );
    let sentence = format!(
        "Starling's p50 over etcd's, median of {} pairs: **{ratio:.2}**. etcd's client is on the leader. All {} \
         acknowledged writes were found exactly once.",
        pairs.len(),
        pairs::counted(&pairs)
    );
    Ok(Report {
        name: "latency",
        data: json!({ "command": command, "ratioOfP50": ratio, "pairs": pairs::to_json(&pairs) }),
        markdown: pairs::table("Latency of one client", &command, &pairs).finish(&sentence),
    })
}
