//! From which height on a node may vote that remembers none of its votes (docs/protocol.md, P78).
//!
//! Whatever it has voted for was at most one height above what was decided when it lost its memory. So it asks the other
//! voters how far they are, and votes again above a height that all its old votes are certainly below.

use std::collections::BTreeMap;

use model::{Height, Membership, NodeId, Roster};

/// What the other voters say since this node has begun to ask. It must vote nowhere meanwhile.
#[derive(Debug, Clone)]
pub struct Hearing {
    me: NodeId,
    /// Whose word counts: who votes above the chain as it was known at the beginning.
    voters: Membership,
    epoch: Height,
    tips: BTreeMap<NodeId, Height>,
}

impl Hearing {
    /// Nobody has said anything; `roster` is in force above the chain as far as it is known.
    pub fn new(me: NodeId, roster: &Roster) -> Self {
        Self {
            me,
            voters: roster.voters().clone(),
            epoch: roster.epoch(),
            tips: BTreeMap::new(),
        }
    }

    /// The voters to be asked.
    pub fn whom(&self) -> impl Iterator<Item = NodeId> {
        let all = self.voters.voters().iter().map(|voter| voter.id);
        all.filter(|node| *node != self.me)
    }

    /// A node says that it has nothing decided above `tip`.
    pub fn said(&mut self, by: NodeId, tip: Height) {
        if by != self.me && self.voters.contains(by) {
            let known = self.tips.entry(by).or_insert(tip);
            *known = tip.max(*known);
        }
    }

    /// Whether too few have been heard to say anything.
    pub fn needs_more(&self) -> bool {
        self.tips.len() < self.voters.quorum()
    }

    /// The highest tip among a quorum of others, once there is one.
    fn highest(&self) -> Option<Height> {
        let highest = self.tips.values().max().copied();
        highest.filter(|_| !self.needs_more())
    }

    /// The height that must be decided before this node votes again, if that can be said now: `top` is the last block that
    /// is known to be decided, and `roster` in force above it.
    pub fn floor(&self, top: Height, roster: &Roster) -> Option<Height> {
        let highest = self.highest()?;
        let settled = top > highest && roster.epoch() == self.epoch;
        settled.then(|| highest.next().next())
    }

    /// Whether others must be asked anew, since other voters have been decided meanwhile.
    pub fn is_over(&self, roster: &Roster) -> bool {
        roster.epoch() != self.epoch
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Member;

    fn id(number: u8) -> NodeId {
        NodeId([number; 32])
    }

    fn roster(count: u8) -> Roster {
        let member = |number| Member {
            id: id(number),
            name: format!("n{number}"),
        };
        let voters = (1..=count).map(member).collect();
        Roster::founded(Membership::new(voters).unwrap())
    }

    fn floor(count: u8, said: &[(u8, u64)], top: u64) -> Option<u64> {
        let roster = roster(count);
        let mut hearing = Hearing::new(id(1), &roster);
        for (by, tip) in said {
            hearing.said(id(*by), Height(*tip));
        }
        hearing.floor(Height(top), &roster).map(|height| height.0)
    }

    #[test]
    fn a_quorum_of_others_is_heard_before_anything_is_said() {
        assert_eq!(floor(3, &[(2, 7)], 9), None);
        assert_eq!(floor(3, &[(2, 7), (3, 6)], 9), Some(9));
        assert_eq!(floor(5, &[(2, 7), (3, 6)], 9), None);
        assert_eq!(floor(5, &[(2, 7), (3, 6), (5, 7)], 9), Some(9));
        assert_eq!(floor(4, &[(2, 7), (3, 6), (4, 8)], 9), Some(10));
        assert_eq!(floor(2, &[(2, 7)], 9), None, "the other one is no quorum");
        assert_eq!(floor(1, &[], 9), None);
    }

    #[test]
    fn neither_the_own_word_nor_a_strangers_counts() {
        assert_eq!(floor(3, &[(1, 7), (2, 7)], 9), None);
        assert_eq!(floor(3, &[(2, 7), (9, 7)], 9), None);
        assert_eq!(floor(3, &[(2, 7), (2, 7)], 9), None);
    }

    #[test]
    fn what_may_have_been_decided_unseen_is_waited_for() {
        // A block above the highest tip may be accepted by a quorum, and known to nobody who was asked.
        assert_eq!(floor(3, &[(2, 7), (3, 6)], 7), None);
        assert_eq!(floor(3, &[(2, 7), (3, 6)], 8), Some(9));
    }

    #[test]
    fn p78_no_vote_of_old_is_above_the_floor_whoever_decided_and_whoever_answers() {
        let decided = 5;
        for count in 3..=6_u8 {
            let quorum = roster(count).voters().quorum();
            let sets = || (0..1_u32 << count).map(|set| move |node: u8| set >> (node - 1) & 1 == 1);
            let size = |has: &dyn Fn(u8) -> bool| (1..=count).filter(|node| has(*node)).count();
            for accepted in sets().filter(|set| size(set) >= quorum) {
                for asked in sets().filter(|set| !set(1) && size(set) >= quorum) {
                    // Who has accepted the last decided block has decided the one below; nobody need know more.
                    let tip = |node| if accepted(node) { decided - 1 } else { 0 };
                    let others = (2..=count).filter(|node| asked(*node));
                    let said: Vec<(u8, u64)> = others.map(|node| (node, tip(node))).collect();
                    let highest = said.iter().map(|(_, tip)| *tip).max().unwrap();
                    let floor = floor(count, &said, highest + 1).unwrap();
                    assert!(floor > decided, "{count} voters, {said:?}");
                }
            }
        }
    }
}
