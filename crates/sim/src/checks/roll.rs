//! Who belongs to the cluster, worked out once more from the chain: the rules P50, P51 and P56 as they are written, by
//! another hand than the roster's. Names, addresses and what nothing rests on are left to the roster.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::{
    Block, Height, Member, Membership, NodeId, Payload, Reason, Roster, RosterChange, SeatChange,
    Timestamp, TokenId,
};

use super::rules::quorum;
use super::{Checked, ensure};

/// Pruning stops here.
const LEAST: usize = 3;

/// The members above the last block taken, and the voters of every height.
#[derive(Debug)]
pub(crate) struct Roll {
    /// Each membership and the last height before it is in force.
    voters: BTreeMap<Height, Arc<Membership>>,
    rosters: BTreeMap<Height, Arc<Roster>>,
    /// Identity, name, and whether it is to vote.
    waiting: BTreeMap<NodeId, (Member, bool)>,
    open_invites: BTreeMap<TokenId, (bool, Timestamp)>,
    spent_invites: BTreeSet<TokenId>,
    gone: BTreeMap<NodeId, Reason>,
    /// The last word of each about each: when, and whether it is silence.
    words: BTreeMap<(NodeId, NodeId), (Height, bool)>,
}

impl Roll {
    pub(crate) fn new(founders: Membership) -> Self {
        let roster = Arc::new(Roster::founded(founders.clone()));
        Self {
            voters: BTreeMap::from([(Height::GENESIS, Arc::new(founders))]),
            rosters: BTreeMap::from([(Height::GENESIS, roster)]),
            waiting: BTreeMap::new(),
            open_invites: BTreeMap::new(),
            spent_invites: BTreeSet::new(),
            gone: BTreeMap::new(),
            words: BTreeMap::new(),
        }
    }

    /// Who decides a height, as far as the blocks below it are known.
    pub(crate) fn deciding(&self, height: Height) -> &Arc<Membership> {
        let below = height.previous().unwrap_or_default();
        let found = self.voters.range(..=below).next_back();
        found.expect("genesis names voters").1
    }

    /// The roster that every node must have above a block.
    pub(crate) fn above(&self, height: Height) -> &Arc<Roster> {
        let found = self.rosters.range(..=height).next_back();
        found.expect("genesis names voters").1
    }

    fn last(&self) -> (Height, Arc<Membership>) {
        let (epoch, voters) = self.voters.last_key_value().expect("genesis names voters");
        (*epoch, Arc::clone(voters))
    }

    /// Takes the next block; what the roster makes of it must be the same.
    pub(crate) fn check_members_change_by_the_rules(&mut self, block: &Block) -> Checked {
        let height = block.height();
        for entry in block.entries() {
            let command = entry.sealed().and_then(|sealed| sealed.open().ok());
            if let Some(command) = command
                && let Payload::Roster(change) = command.payload
                && command.valid_until >= block.header().time
            {
                self.apply(height, block.header().time, change);
            }
        }
        let before = Arc::clone(self.above(height));
        let roster = before.after(block).map_or(before, Arc::new);
        let (epoch, voters) = self.last();
        let learners: BTreeSet<NodeId> = roster.learners().iter().map(|l| l.member.id).collect();
        let same = *roster.voters() == *voters
            && roster.epoch() == epoch
            && learners.iter().eq(self.waiting.keys())
            && roster.former().keys().eq(self.gone.keys())
            && self.stands_in(&roster);
        let detail = || format!("{height}: {roster:?}, by the rules {:?}", self.last());
        ensure(same, "check_members_change_by_the_rules", detail)?;
        self.rosters.insert(height, roster);
        Ok(())
    }

    /// Whether a roster knows of every voter what it said last of every other, and no more than that.
    fn stands_in(&self, roster: &Roster) -> bool {
        let voters = || roster.voters().voters().iter().map(|voter| voter.id);
        let mut pairs = voters().flat_map(|by| voters().map(move |about| (by, about)));
        pairs.all(|(by, about)| {
            let known = roster.hearing(by, about);
            let known = known.map(|hearing| (hearing.at, hearing.silent));
            known == self.words.get(&(by, about)).copied()
        })
    }

    fn apply(&mut self, height: Height, time: Timestamp, change: RosterChange) {
        match change {
            RosterChange::Invite {
                invite,
                expires,
                votes,
                ..
            } => {
                if expires >= time && !self.spent_invites.contains(&invite) {
                    self.open_invites.entry(invite).or_insert((votes, expires));
                }
            }
            RosterChange::Admit { invite, member, .. } => self.admit(time, invite, member),
            RosterChange::Seat { epoch, change } => self.seat(height, epoch, change),
            RosterChange::Dismiss { node } => {
                if self.waiting.remove(&node).is_some() {
                    self.gone.insert(node, Reason::Asked);
                }
            }
            RosterChange::Move { .. } => {}
            RosterChange::Withdraw { invite } => {
                self.open_invites.remove(&invite);
            }
            RosterChange::Hearing {
                witness,
                about,
                at,
                silent,
            } => {
                let (epoch, voters) = self.last();
                let newer = self
                    .words
                    .get(&(witness, about))
                    .is_none_or(|(last, _)| *last < at);
                let vote = voters.contains(witness) && voters.contains(about) && witness != about;
                if vote && newer && at >= epoch {
                    self.words.insert((witness, about), (at, silent));
                }
            }
        }
    }

    fn admit(&mut self, time: Timestamp, invite: Option<TokenId>, member: Member) {
        let known = self.last().1.contains(member.id)
            || self.waiting.contains_key(&member.id)
            || self.gone.get(&member.id) == Some(&Reason::Asked);
        let votes = match invite {
            Some(invite) => {
                let open = self.open_invites.get(&invite).copied();
                open.filter(|(_, expires)| *expires >= time)
                    .map(|(votes, _)| votes)
            }
            None => (self.gone.get(&member.id) == Some(&Reason::Silent)).then_some(true),
        };
        if let Some(votes) = votes.filter(|_| !known) {
            if let Some(invite) = invite {
                self.open_invites.remove(&invite);
                self.spent_invites.insert(invite);
            }
            self.gone.remove(&member.id);
            self.waiting.insert(member.id, (member, votes));
        }
    }

    fn seat(&mut self, height: Height, epoch: Height, change: SeatChange) {
        let (now, voters) = self.last();
        if epoch != now || now == height {
            return;
        }
        let mut ring = voters.voters().to_vec();
        let joins = |member: &Member| self.waiting.get(&member.id) == Some(&(member.clone(), true));
        let (leaver, joiner) = match change {
            SeatChange::Add(member) if joins(&member) => (None, Some(member)),
            SeatChange::Replace { old, new } if joins(&new) && ring.len() > 1 => {
                (Some((old, Reason::Asked)), Some(new))
            }
            SeatChange::Remove { node, reason } if self.may_leave(&voters, node, reason) => {
                (Some((node, reason)), None)
            }
            _ => return,
        };
        if let Some((node, reason)) = leaver {
            let Some(place) = voters.index_of(node) else {
                return;
            };
            ring.splice(place..=place, joiner.clone());
            self.gone.insert(node, reason);
            self.words
                .retain(|(by, about), _| *by != node && *about != node);
        } else {
            ring.extend(joiner.clone());
        }
        if let Some(member) = joiner {
            self.waiting.remove(&member.id);
        }
        let next = Membership::new(ring).expect("one change leaves voters distinct");
        self.voters.insert(height, Arc::new(next));
    }

    fn may_leave(&self, voters: &Membership, node: NodeId, reason: Reason) -> bool {
        let silent_to = |member: &&Member| {
            let word = self.words.get(&(member.id, node));
            word.is_some_and(|(_, silent)| *silent)
        };
        let witnesses = voters.voters().iter().filter(silent_to).count();
        match reason {
            Reason::Asked => voters.len() > 1,
            Reason::Silent => voters.len() > LEAST && witnesses >= quorum(voters.len()),
        }
    }
}
