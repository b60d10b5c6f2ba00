//! Snapshots: the state at one height, vouched for in the chain.
//!
//! What the catalogue and the core state are at a height is a function of the chain, so every node that writes them down
//! writes the same bytes. A mark says at which heights that is done; each node says in the chain what it came to.

use crate::codec_enum;
use crate::id::{Digest, Height, NodeId};

/// One step towards a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SnapshotStep {
    /// The state behind this command's block is to be kept.
    Mark,
    /// A node has made the snapshot of a height.
    Vouch {
        /// Which height.
        height: Height,
        /// The version of the catalogue's tables that it writes.
        version: u32,
        /// By which the snapshot is named.
        digest: Digest,
        /// The node.
        node: NodeId,
    },
}

codec_enum!(SnapshotStep, "snapshot step" {
    0 => Mark,
    1 => Vouch { height, version, digest, node },
});

impl SnapshotStep {
    /// The kind's name in documents and JSON.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Mark => "markSnapshot",
            Self::Vouch { .. } => "vouchForSnapshot",
        }
    }
}
