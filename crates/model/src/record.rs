//! What a node writes to its log before it says it.

use std::sync::Arc;

use crate::ballot::Ballot;
use crate::block::Block;
use crate::certificate::Certificate;
use crate::id::{BlockHash, Boot, Height, Nonce};

/// A node's memory of one undecided height.
///
/// Invariant: `promised` ≥ the ballot of `accepted`. The two ballots are separate variables: an accept raises the
/// promise, a promise leaves the accept alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vote {
    /// The height voted on: one above the tip.
    pub height: Height,
    /// The highest ballot joined; [`Ballot::NONE`] if none.
    pub promised: Ballot,
    /// The ballot and block last accepted.
    pub accepted: Option<(Ballot, Arc<Block>)>,
}

/// Which block is decided at a height.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// The height.
    pub height: Height,
    /// Its block.
    pub hash: BlockHash,
}

/// One record of the log. Records are appended in the order in which memory changed and never overwritten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// The first of every incarnation, in a new file: nothing read at start counts as durable before it is.
    Start {
        /// The start counter, one above the last.
        boot: Boot,
        /// Drawn for this start.
        nonce: Nonce,
        /// The last decided block.
        tip: Mark,
        /// The vote above it, repeated.
        vote: Option<Vote>,
    },
    /// Promise, accepted ballot and body: one record, so that none can be lost without the others.
    Vote {
        /// The whole vote after the change.
        vote: Vote,
        /// Whether the accepted block's body is new, and so has to be written with it.
        body: bool,
    },
    /// A block is known to be decided. Not needed for safety at its own height, but comes before any record above.
    Decided {
        /// The block; its body is written only if no earlier record of this log holds it.
        block: Arc<Block>,
        /// The proof; genesis alone has none.
        certificate: Certificate,
        /// Whether the body has to be written.
        body: bool,
    },
}
