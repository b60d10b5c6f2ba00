//! Names of a run's machines.

use std::fmt;

use model::NodeId;

/// A machine, counted from 0: the founders in ring order, then those that may join. Shown as `n1` for the first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seat(pub usize);

impl Seat {
    /// All machines of a cluster of `nodes`.
    pub fn all(nodes: usize) -> impl DoubleEndedIterator<Item = Self> + Clone {
        (0..nodes).map(Self)
    }
}

/// Who sits where, for a whole run.
#[derive(Debug, Clone)]
pub(crate) struct Cast(Vec<NodeId>);

impl Cast {
    /// Of identities in the order of their seats.
    pub(crate) fn new(identities: Vec<NodeId>) -> Self {
        Self(identities)
    }

    /// Who sits there.
    pub(crate) fn id(&self, seat: Seat) -> NodeId {
        *self.0.get(seat.0).expect("an identity for each seat")
    }

    /// Where `node` sits.
    pub(crate) fn seat(&self, node: NodeId) -> Seat {
        let place = self.0.iter().position(|id| *id == node);
        Seat(place.expect("replicas talk to machines of the run"))
    }

    /// All seats.
    pub(crate) fn seats(&self) -> impl DoubleEndedIterator<Item = Seat> + Clone + use<> {
        Seat::all(self.0.len())
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
