//! Who counts.

use crate::codec::{Decode, DecodeError, Encode, Reader};
use crate::codec_struct;
use crate::id::{MembershipHash, NodeId};
use crate::limits;

/// A voter's seat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Identity and verification key in one.
    pub id: NodeId,
    /// What people call it, `n1` for instance. Unique, never reused, without meaning to the protocol.
    pub name: String,
}

codec_struct!(Member { id, name });

/// The voters in ring order.
///
/// Invariant: between 1 and [`limits::VOTERS_MAX`] of them, ids and names distinct.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    voters: Vec<Member>,
    hash: MembershipHash,
}

impl Membership {
    /// A membership of `voters` in ring order; nothing if they are too few, too many or not distinct.
    pub fn new(voters: Vec<Member>) -> Option<Self> {
        let distinct = voters.iter().enumerate().all(|(at, one)| {
            voters
                .iter()
                .skip(at + 1)
                .all(|other| one.id != other.id && one.name != other.name)
        });
        if !distinct || !(1..=limits::VOTERS_MAX).contains(&voters.len()) {
            return None;
        }
        let hash = MembershipHash::of(&[b"starling/membership/v1", &voters.to_bytes()]);
        Some(Self { voters, hash })
    }

    /// The voters in ring order.
    pub fn voters(&self) -> &[Member] {
        &self.voters
    }

    /// How many vote.
    #[expect(clippy::len_without_is_empty, reason = "a membership is never empty")]
    pub fn len(&self) -> usize {
        self.voters.len()
    }

    /// The epoch's hash.
    pub fn hash(&self) -> MembershipHash {
        self.hash
    }

    /// How many crashes are survived: f = floor((n - 1) / 2).
    pub fn faults(&self) -> usize {
        (self.voters.len() - 1) / 2
    }

    /// How many make a quorum, for promises, accepts, certificates and reads alike: q = n - f.
    pub fn quorum(&self) -> usize {
        self.voters.len() - self.faults()
    }

    /// The place of `node` in the ring, from 0.
    pub fn index_of(&self, node: NodeId) -> Option<usize> {
        self.voters.iter().position(|member| member.id == node)
    }

    /// Whether `node` votes.
    pub fn contains(&self, node: NodeId) -> bool {
        self.index_of(node).is_some()
    }

    /// The member at `index` in the ring.
    pub fn get(&self, index: usize) -> Option<&Member> {
        self.voters.get(index)
    }

    /// All other voters, starting behind `node` in ring order; the whole ring if `node` does not vote.
    pub fn ring_after(&self, node: NodeId) -> impl Iterator<Item = NodeId> + '_ {
        let count = self.voters.len();
        let start = self.index_of(node).map_or(0, |index| index + 1);
        (0..count)
            .filter_map(move |step| self.voters.get((start + step) % count))
            .map(|member| member.id)
            .filter(move |id| *id != node)
    }
}

impl Encode for Membership {
    fn encode(&self, out: &mut Vec<u8>) {
        self.voters.encode(out);
    }
}

impl Decode for Membership {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let voters = Vec::decode(input)?;
        let value = voters.len() as u64;
        Self::new(voters).ok_or(DecodeError::Invalid {
            what: "membership",
            value,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn membership(count: u8) -> Membership {
        let voters = (1..=count)
            .map(|n| Member {
                id: NodeId([n; 32]),
                name: format!("n{n}"),
            })
            .collect();
        Membership::new(voters).expect("distinct")
    }

    #[test]
    fn quorum_is_a_majority_at_every_size() {
        let quorums: Vec<usize> = (1..=9).map(|n| membership(n).quorum()).collect();
        assert_eq!(quorums, [1, 2, 2, 3, 3, 4, 4, 5, 5]);
    }

    #[test]
    fn the_ring_starts_behind_a_node_and_leaves_it_out() {
        let ring: Vec<u8> = membership(4)
            .ring_after(NodeId([3; 32]))
            .map(|node| node.0[0])
            .collect();
        assert_eq!(ring, [4, 1, 2]);
    }

    #[test]
    fn twins_are_refused() {
        let member = Member {
            id: NodeId([1; 32]),
            name: "n1".into(),
        };
        assert_eq!(Membership::new(vec![member.clone(), member]), None);
        assert_eq!(Membership::new(vec![]), None);
    }
}
