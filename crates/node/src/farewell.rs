//! What a node that was removed still does when it is started again.
//!
//! The block that removed it may be known to it and to nobody else that runs: it decided it with others that went down
//! right after. So it hands out what is decided, and ends when a quorum of those who vote now has that block, or nobody
//! has come for it for a while. It answers people with `removed`, like any node that was removed while it runs.

use std::time::Duration;

use model::Height;
use tokio::time::Instant;
use tracing::info;

use crate::replica_thread::ReplicaHandle;

/// Who does not come for the block by then will find it elsewhere, or this node again when it is started again.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Resolves when a node that was removed by the block at `height` is needed no longer; never for one that was not.
pub(crate) async fn said(replica: ReplicaHandle, height: Option<Height>) {
    let Some(height) = height else {
        return std::future::pending().await;
    };
    info!(%height, "this node was removed; it hands out what is decided until the others have it");
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline && !is_known(&replica, height) {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Whether a quorum of the voters has said that it has this block.
fn is_known(replica: &ReplicaHandle, height: Height) -> bool {
    let roster = replica.roster();
    let status = replica.status();
    let told = status
        .replica
        .peers
        .iter()
        .filter(|peer| roster.voters().contains(peer.node) && peer.tip >= height);
    told.count() >= roster.voters().quorum()
}
