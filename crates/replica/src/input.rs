//! What goes into a replica and what comes out.

use std::sync::Arc;

use consensus::{Message, ReadId, StopReason};
use ledger::Completion;
use model::{Block, Certificate, Evidence, Height, LeafHash, NodeId, Roster, SealedCommand};

use crate::core_state::Disposition;

/// Something that happened.
#[derive(Debug)]
pub enum Input {
    /// A peer said something.
    Receive {
        /// Who, as the link proves.
        from: NodeId,
        /// What.
        message: Message,
    },
    /// A client of this node wants a command decided.
    Submit(SealedCommand),
    /// A client of this node wants a linearizable read.
    Read(ReadId),
    /// The disk reports.
    Disk(Completion),
    /// The node shuts down soon: give the turn away.
    Yield,
    /// Who repairs the ledger found that the cluster has certified another block than the one that is decided here.
    Forked {
        /// The lowest height at which that is known.
        since: Height,
    },
    /// The instant of `next_wake` has come.
    Wake,
}

/// Something for the node to do. Whatever rests on a record has waited for it.
#[derive(Debug)]
pub enum Output {
    /// Send a message; it may be lost.
    Send {
        /// To whom.
        to: NodeId,
        /// What.
        message: Message,
    },
    /// The next block is decided and in the log. Heights come without gaps.
    Decided(Arc<AppliedBlock>),
    /// A linearizable read may be answered from any state at this height or above.
    ReadReady {
        /// Which.
        id: ReadId,
        /// The height, decided here.
        height: Height,
    },
    /// Commands submitted here that will not be tried any more; they are never applied.
    Dropped(Vec<LeafHash>),
    /// The node votes from now on.
    Voting,
    /// The node has stopped voting for good in this incarnation.
    Stopped(StopReason),
    /// A peer sent something unjustified; it was dropped.
    Refused {
        /// Who.
        from: NodeId,
        /// What was wrong with it.
        why: &'static str,
    },
    /// Two signed statements that contradict each other.
    Evidence(Box<Evidence>),
}

/// A decided block with what the core state made of each command.
#[derive(Debug, Clone)]
pub struct AppliedBlock {
    /// The block.
    pub block: Arc<Block>,
    /// The proof; genesis alone has none.
    pub certificate: Option<Certificate>,
    /// One per command, in order.
    pub dispositions: Vec<Disposition>,
    /// Who belongs to the cluster from the next height on, if a block just decided changed it.
    pub roster: Option<Arc<Roster>>,
}
