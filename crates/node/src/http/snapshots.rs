//! Snapshots in the answer of `/cluster`.

use catalogue::time::format_timestamp;
use model::{Roster, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

use crate::App;

/// The state at one height, which a node that joins may begin with.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Snapshot {
    /// The height.
    height: u64,
    /// Time of its block.
    time: String,
    /// How long ago that was by this node's clock.
    age_ms: u64,
    /// What enough voters vouch for, and who joins may believe; null if too few do yet.
    digest: Option<String>,
    /// Whether that is in this node's folder.
    here: bool,
    /// Who has said what it makes of this height.
    vouches: Vec<Vouch>,
}

/// What a node makes of a height.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = SnapshotVouch)]
struct Vouch {
    /// Its name; null if it never belonged to the cluster.
    node: Option<String>,
    /// Its identity.
    id: String,
    /// The digest it vouches for.
    digest: String,
}

/// As this node saw them last.
pub(super) fn shown(app: &App, roster: &Roster, now: Timestamp) -> Vec<Snapshot> {
    let seen = app.snapshots.seen().into_iter();
    let shown = seen.map(|seen| Snapshot {
        height: seen.height.0,
        time: format_timestamp(seen.time),
        age_ms: now.0.saturating_sub(seen.time.0) / 1000,
        digest: seen.believed.map(|digest| digest.to_string()),
        here: seen.is_here,
        vouches: seen
            .vouched
            .iter()
            .map(|(node, digest)| Vouch {
                node: roster.name_of(*node).map(str::to_owned),
                id: node.to_string(),
                digest: digest.to_string(),
            })
            .collect(),
    });
    shown.collect()
}
