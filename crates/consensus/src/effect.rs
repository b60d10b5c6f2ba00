//! What goes into the engine and what comes out.

use std::sync::Arc;

use model::{
    Block, Certificate, Evidence, Height, LeafHash, LogSeq, NodeId, Record, Roster, SealedCommand,
    Timestamp,
};

use crate::message::Message;

/// Something that happened.
#[derive(Debug, Clone)]
pub enum Input {
    /// A peer said something.
    Receive {
        /// Who, as the link proves.
        from: NodeId,
        /// What.
        message: Message,
    },
    /// A client of this node wants a command decided.
    Submit {
        /// The command.
        command: SealedCommand,
        /// Not tried in a block later than this.
        valid_until: Timestamp,
    },
    /// The log is durable through this record, and so through every earlier one.
    Persisted(LogSeq),
    /// A flush failed: the state of the disk is unknown. Voting ends until the next start.
    PersistFailed,
    /// The disk has no room, or has room again. Nothing was written; the node gives the turn away meanwhile.
    DiskFull(DiskRoom),
    /// A client wants a linearizable read.
    Read(ReadId),
    /// The node shuts down soon: give the turn away.
    Yield,
    /// It was found that the cluster has certified another block than the one that is decided here.
    Forked {
        /// The lowest height at which that is known.
        since: Height,
    },
    /// The instant of [`crate::Engine::next_wake`] has come.
    Wake,
}

/// Whether the disk takes writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DiskRoom {
    /// Writes wait.
    Full,
    /// Writes go through.
    Free,
}

/// One linearizable read, named by its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReadId(pub u64);

/// Something to be done, in the order given.
#[derive(Debug, Clone)]
pub enum Effect {
    /// Append a record to the log. Sequence numbers count up from 1 without gaps.
    Append {
        /// Its place.
        seq: LogSeq,
        /// What to write.
        record: Record,
        /// Whether anybody waits for it.
        urgency: Urgency,
    },
    /// Send a message once the log is durable through `after` (0: at once).
    Send {
        /// The record it rests on.
        after: LogSeq,
        /// To whom.
        to: NodeId,
        /// What.
        message: Message,
    },
    /// Send a peer the decided blocks it lacks, from this height on, out of the log, as [`Message::Decide`].
    SendDecided {
        /// To whom.
        to: NodeId,
        /// The first height it lacks.
        from: Height,
    },
    /// The next block is decided. Heights come without gaps.
    Decided {
        /// The block.
        block: Arc<Block>,
        /// The proof.
        certificate: Certificate,
        /// Who belongs to the cluster from the next height on, if the block changes that.
        roster: Option<Arc<Roster>>,
    },
    /// A linearizable read may be answered from any state at this height or above, which is decided here.
    ReadReady {
        /// Which.
        id: ReadId,
        /// The height.
        height: Height,
    },
    /// The start-up check is passed: the node votes.
    Voting,
    /// The node stops voting for good in this incarnation.
    Stopped(StopReason),
    /// Two signed statements that contradict each other, to be kept.
    Evidence(Box<Evidence>),
    /// A peer sent something unjustified; it was dropped.
    Refused {
        /// Who.
        from: NodeId,
        /// What was wrong with it.
        why: &'static str,
    },
    /// These commands of this node's own clients will not be tried any more; they are never applied.
    Dropped(Vec<LeafHash>),
}

/// Whether a flush should be made for a record's sake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Urgency {
    /// A message waits for it.
    Now,
    /// It may go with the next flush.
    Lazy,
}

/// Why a node stopped voting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum StopReason {
    /// A flush failed.
    #[error("a flush of the ledger failed; restart the node to re-verify its disk")]
    FlushFailed,
    /// Peers have seen more of this identity than its disk knows.
    #[error(
        "the disk is older than what peers have seen of this node (rolled back or cloned); give the node a new identity"
    )]
    RolledBack,
    /// A certificate proves another block at a height that is decided here.
    #[error(
        "the cluster has certified another block at height {since} than this node has: its ledger was rewritten or went \
         astray; keep the folder, remove the node and let the machine join under a new name"
    )]
    Forked {
        /// The lowest height known to differ.
        since: Height,
    },
    /// A decided block removed this node from the cluster.
    #[error("the cluster has removed this node; it belongs to it no longer")]
    Removed,
}
