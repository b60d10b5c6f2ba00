//! Where files' bytes live: on the nodes' disks, or in an object store.
//!
//! One setting of the whole cluster. A store is named by its URL, which holds no secret: each node has its own credentials.
//! A store is entered and left slowly, while everybody is served, so there is at most one at a time: another one can be
//! moved to, or the same again, when it is left.

use crate::codec_enum;
use crate::id::Height;

/// The longest URL of a store.
pub const STORE_URL_BYTES_MAX: usize = 1024;

/// A step of a move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OriginalsStep {
    /// From now on bytes belong there, also those that are elsewhere now.
    Move {
        /// A store's URL, at most [`STORE_URL_BYTES_MAX`]; none for the nodes' disks.
        to: Option<String>,
    },
    /// The store that is being left holds nothing any more.
    Left {
        /// Which move left it: where it was decided.
        since: Height,
    },
}

codec_enum!(OriginalsStep, "originals step" {
    0 => Move { to },
    1 => Left { since },
});

impl OriginalsStep {
    /// The kind's name in documents and JSON.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Move { .. } => "moveOriginals",
            Self::Left { .. } => "leftStore",
        }
    }
}
