//! Names of a run's machines.

use std::fmt;

use model::{Membership, NodeId};

/// A machine: its voter's place in the ring, from 0. Shown as `n1` for place 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seat(pub usize);

impl Seat {
    /// All machines of a cluster of `nodes`.
    pub fn all(nodes: usize) -> impl DoubleEndedIterator<Item = Self> + Clone {
        (0..nodes).map(Self)
    }

    /// Who sits there.
    pub fn id(self, membership: &Membership) -> NodeId {
        membership.get(self.0).expect("one machine per voter").id
    }

    /// Where `node` sits.
    pub fn of(node: NodeId, membership: &Membership) -> Self {
        Self(
            membership
                .index_of(node)
                .expect("replicas talk to voters only"),
        )
    }
}

impl fmt::Display for Seat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "n{}", self.0 + 1)
    }
}

impl fmt::Debug for Seat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
