//! What people are shown of snapshots.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use catalogue::Marked;
use model::{Digest, Height, Membership, NodeId, Timestamp};

/// A height of which there is to be a snapshot, and how far that is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    /// The height.
    pub(crate) height: Height,
    /// Time of its block.
    pub(crate) time: Timestamp,
    /// What enough voters vouch for, if they do.
    pub(crate) believed: Option<Digest>,
    /// Whether that is in this node's folder.
    pub(crate) is_here: bool,
    /// Who vouches for what, if by the tables that this program has.
    pub(crate) vouched: BTreeMap<NodeId, Digest>,
}

impl Seen {
    /// A mark as these voters see it.
    pub(crate) fn of(mark: &Marked, voters: &Membership) -> Self {
        let same = |said: &&(NodeId, u32, Digest)| said.1 == catalogue::version();
        let said = mark.vouched.iter().filter(same);
        let vouched: BTreeMap<NodeId, Digest> =
            said.map(|(node, _, digest)| (*node, *digest)).collect();
        Self {
            height: mark.height,
            time: mark.time,
            believed: replica::believed(voters, &vouched),
            is_here: false,
            vouched,
        }
    }
}

/// Shows the snapshots as they were when this node looked last. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct SnapshotsHandle(Arc<Mutex<Vec<Seen>>>);

impl SnapshotsHandle {
    /// Those that are marked and not ended by a purge, newest first.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        // Whoever panicked while holding it was only replacing it.
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(super) fn show(&self, seen: Vec<Seen>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = seen;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Member;

    #[test]
    fn a_snapshot_is_believed_if_more_voters_vouch_for_it_than_may_fail() {
        let [a, b, c, stranger] = [1, 2, 3, 9].map(|byte| NodeId([byte; 32]));
        let voters = [a, b, c].map(|id| Member {
            id,
            name: format!("n{}", id.0[0]),
        });
        let voters = Membership::new(voters.into()).unwrap();
        let (one, other) = (Digest([7; 32]), Digest([8; 32]));
        let now = catalogue::version();
        let believed = |vouched: &[(NodeId, u32, Digest)]| {
            let mark = Marked {
                height: Height(5),
                time: Timestamp(1),
                vouched: vouched.to_vec(),
            };
            Seen::of(&mark, &voters).believed
        };
        assert_eq!(believed(&[(a, now, one), (b, now, other)]), None);
        assert_eq!(believed(&[(a, now, one), (stranger, now, one)]), None);
        assert_eq!(believed(&[(a, now, one), (b, now + 1, one)]), None);
        let enough = [(a, now, other), (b, now, one), (c, now, one)];
        assert_eq!(believed(&enough), Some(one));
    }
}
