//! Attempt numbers within a height, and the right to skip the first half of one.

use std::fmt;

use crate::codec_struct;
use crate::id::{Boot, NodeId};

/// A totally ordered attempt number within one height: first `k`, then the owner.
///
/// `k` = 0 means none; `k` = 1 belongs to the holder of the turn; everybody else uses `k` ≥ 2 after a prepare.
/// `boot` makes the ballots of every incarnation of a node unique, so that a restarted node needs no memory of
/// what it had sent.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ballot {
    /// The attempt, from 1; 0 means none.
    pub k: u64,
    /// Its owner.
    pub node: NodeId,
    /// The owner's incarnation.
    pub boot: Boot,
}

impl Ballot {
    /// Lower than every ballot.
    pub const NONE: Self = Self {
        k: 0,
        node: NodeId([0; 32]),
        boot: Boot(0),
    };

    /// The ballot of the turn's holder, which needs no prepare.
    pub fn of_turn(turn: Turn) -> Self {
        Self {
            k: 1,
            node: turn.node,
            boot: turn.boot,
        }
    }

    /// Whether this is a ballot at all.
    pub fn is_some(&self) -> bool {
        self.k > 0
    }
}

codec_struct!(Ballot { k, node, boot });

impl fmt::Debug for Ballot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_some() {
            write!(f, "({}, {:?}, {})", self.k, self.node, self.boot)
        } else {
            f.write_str("none")
        }
    }
}

/// An incarnation that may propose at the next height without a prepare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Turn {
    /// The node.
    pub node: NodeId,
    /// Its start counter: an ended boot has no turn.
    pub boot: Boot,
}

codec_struct!(Turn { node, boot });
