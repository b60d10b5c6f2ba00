//! What is known of each other node: voters, learners, and who may still ask for blocks.

use std::collections::BTreeMap;
use std::hash::{Hash as _, Hasher};
use std::time::Duration;

use model::{Ballot, BlockHash, Boot, Height, Instant, NodeId, Nonce, Roster, Timestamp};

use crate::message::{Beacon, Seen};
use crate::pace::Estimate;

/// A peer heard within this time is taken to be there.
const ALIVE_FOR: Duration = Duration::from_secs(1);
/// Strangers that are listened to at a time: as many as there can be voters, and one.
const STRANGERS_MAX: usize = 16;

/// What a node is to the cluster, as the chain up to the tip says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// It counts.
    Voter,
    /// It follows.
    Learner,
    /// It belonged to the cluster, or is said to by somebody's configuration: it may ask for blocks, and blocks may be
    /// asked of it, since they prove themselves.
    Outsider,
}

/// One other node, seen from here.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    pub(crate) role: Role,
    /// Neither the chain nor the configuration names it: what it says proves itself, and it is told nothing.
    pub(crate) stranger: bool,
    pub(crate) round_trip: Estimate,
    pub(crate) heard: Option<Instant>,
    /// Since when it has been heard without a long silence.
    talking_since: Instant,
    /// Its current incarnation, and how far it was seen.
    pub(crate) seen: Option<Seen>,
    /// The same from before its current incarnation, for its start-up check.
    before: Option<Seen>,
    /// The highest tip it reported.
    pub(crate) tip: Height,
    /// How far its tip was below ours when it last reported it.
    pub(crate) lag: Option<u64>,
    pub(crate) head: Option<BlockHash>,
    /// How far its wall clock is ahead of ours, in microseconds.
    clock_ahead_us: Option<i64>,
    pub(crate) yielding: bool,
    /// The last height at which it is known to have had commands.
    pub(crate) worked: Option<Height>,
    /// The height whose turn it missed, until it reports a tip that high.
    pub(crate) missed: Option<Height>,
}

impl Peer {
    fn new(role: Role) -> Self {
        Self {
            role,
            stranger: false,
            round_trip: Estimate::new(),
            heard: None,
            talking_since: Instant(0),
            seen: None,
            before: None,
            tip: Height::GENESIS,
            lag: None,
            head: None,
            clock_ahead_us: None,
            yielding: false,
            worked: None,
            missed: None,
        }
    }

    pub(crate) fn votes(&self) -> bool {
        self.role == Role::Voter
    }

    pub(crate) fn is_alive(&self, now: Instant) -> bool {
        self.heard
            .is_some_and(|heard| now.since(heard) <= ALIVE_FOR)
    }

    pub(crate) fn note_heard(&mut self, now: Instant) {
        if !self.is_alive(now) {
            self.talking_since = now;
        }
        self.heard = Some(now);
    }

    /// Measures a round trip, unless the question waited for the link to come up.
    pub(crate) fn note_echo(&mut self, sent: Instant, now: Instant) {
        if sent >= self.talking_since {
            self.round_trip.observe(now.since(sent));
        }
    }

    pub(crate) fn boot(&self) -> Option<Boot> {
        self.seen.as_ref().map(|seen| seen.boot)
    }

    /// Notes which incarnation speaks. What an earlier one had reached is kept: an identity never goes back, whatever
    /// arrives late or is said by a copy of its disk.
    pub(crate) fn note_incarnation(&mut self, boot: Boot, nonce: Nonce) {
        if self.boot().is_some_and(|seen| boot <= seen) {
            return;
        }
        let last = self.seen.take();
        let (durable_tip, vote) = last
            .as_ref()
            .map_or((Height::GENESIS, (Height::GENESIS, Ballot::NONE)), |seen| {
                (seen.durable_tip, seen.vote)
            });
        self.seen = Some(Seen {
            boot,
            nonce,
            durable_tip,
            vote,
        });
        self.before = last;
        self.yielding = false;
    }

    /// What was seen before the incarnation that asks, which is noted now; a later one or its twin, if that was seen.
    pub(crate) fn what_was(&mut self, boot: Boot, nonce: Nonce) -> Option<Seen> {
        self.note_incarnation(boot, nonce);
        if self.is_current(boot, nonce) {
            self.before.clone()
        } else {
            self.seen.clone()
        }
    }

    fn is_current(&self, boot: Boot, nonce: Nonce) -> bool {
        self.seen
            .as_ref()
            .is_some_and(|seen| seen.boot == boot && seen.nonce == nonce)
    }

    /// Notes a vote that was durable when it was reported.
    pub(crate) fn note_vote(&mut self, height: Height, ballot: Ballot) {
        if let Some(seen) = &mut self.seen {
            seen.vote = seen.vote.max((height, ballot));
        }
    }

    /// A peer that reports the height it missed may have the turn again.
    pub(crate) fn note_tip(&mut self, tip: Height) {
        if tip > self.tip {
            self.tip = tip;
            self.head = None;
        }
        if self.missed.is_some_and(|missed| tip >= missed) {
            self.missed = None;
        }
    }

    pub(crate) fn note_beacon(&mut self, beacon: &Beacon, own_tip: Height, wall: Timestamp) {
        self.note_incarnation(beacon.boot, beacon.nonce);
        self.lag = Some(own_tip.0.saturating_sub(beacon.tip.0));
        if let Some(seen) = &mut self.seen {
            seen.durable_tip = seen.durable_tip.max(beacon.durable_tip);
        }
        self.note_tip(beacon.tip);
        self.head = (beacon.tip == self.tip).then_some(beacon.head);
        if !self.is_current(beacon.boot, beacon.nonce) {
            return;
        }
        self.yielding = beacon.yielding;
        self.clock_ahead_us = i64::try_from(beacon.clock.0)
            .ok()
            .zip(i64::try_from(wall.0).ok())
            .map(|(theirs, ours)| theirs - ours);
    }

    /// Whether our clock is ahead of this peer's by more than `limit`.
    pub(crate) fn is_clock_behind(&self, limit: Duration) -> bool {
        let limit = i64::try_from(limit.as_micros()).unwrap_or(i64::MAX);
        self.clock_ahead_us.is_some_and(|ahead| ahead < -limit)
    }
}

/// All other nodes, by identity.
#[derive(Debug, Clone)]
pub(crate) struct Peers {
    map: BTreeMap<NodeId, Peer>,
}

impl Peers {
    /// Everybody in the roster but `me`, and `contacts`, who may know more of the chain than this node.
    pub(crate) fn new(roster: &Roster, contacts: &[NodeId], me: NodeId) -> Self {
        let mut peers = Self {
            map: BTreeMap::new(),
        };
        for node in contacts.iter().filter(|node| **node != me) {
            peers.map.insert(*node, Peer::new(Role::Outsider));
        }
        peers.follow(roster, me);
        peers
    }

    /// Takes the roles of a roster. What was seen of a node that has left is kept: it may come back, and ask.
    pub(crate) fn follow(&mut self, roster: &Roster, me: NodeId) {
        for peer in self.map.values_mut() {
            peer.role = Role::Outsider;
        }
        let learners = roster.learners().iter().map(|learner| &learner.member);
        let learners = learners.map(|member| (member.id, Role::Learner));
        let voters = roster.voters().voters().iter();
        let voters = voters.map(|member| (member.id, Role::Voter));
        let former = roster.former().keys().map(|node| (*node, Role::Outsider));
        for (node, role) in former.chain(learners).chain(voters) {
            if node != me {
                let peer = self.map.entry(node).or_insert_with(|| Peer::new(role));
                peer.role = role;
                peer.stranger = false;
            }
        }
    }

    /// Listens to a node that nobody has named, if there are not too many of them.
    pub(crate) fn meet(&mut self, node: NodeId) {
        let strangers = self.map.values().filter(|peer| peer.stranger).count();
        if strangers < STRANGERS_MAX {
            let mut peer = Peer::new(Role::Outsider);
            peer.stranger = true;
            self.map.entry(node).or_insert(peer);
        }
    }

    pub(crate) fn get(&self, node: NodeId) -> Option<&Peer> {
        self.map.get(&node)
    }

    pub(crate) fn get_mut(&mut self, node: NodeId) -> Option<&mut Peer> {
        self.map.get_mut(&node)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (NodeId, &Peer)> {
        self.map.iter().map(|(node, peer)| (*node, peer))
    }

    /// The other voters.
    pub(crate) fn voters(&self) -> impl Iterator<Item = (NodeId, &Peer)> {
        self.iter().filter(|(_, peer)| peer.votes())
    }

    /// Who is told what happens: voters and learners.
    pub(crate) fn audience(&self) -> Vec<NodeId> {
        let members = self.iter().filter(|(_, peer)| peer.role != Role::Outsider);
        members.map(|(node, _)| node).collect()
    }

    /// The other voters' identities.
    pub(crate) fn voter_ids(&self) -> Vec<NodeId> {
        self.voters().map(|(node, _)| node).collect()
    }

    /// How many voters were heard lately.
    pub(crate) fn alive(&self, now: Instant) -> usize {
        self.voters().filter(|(_, peer)| peer.is_alive(now)).count()
    }

    /// Feeds what turns and catching up depend on. A reported tip below our own says nothing any more.
    pub(crate) fn hash_state(&self, tip: Height, now: Instant, hasher: &mut impl Hasher) {
        for peer in self.map.values() {
            let advice = (peer.yielding, peer.worked, peer.missed, peer.is_alive(now));
            (peer.role, peer.boot(), peer.tip.max(tip), advice).hash(hasher);
        }
    }

    /// How far a peer is: its shortest round trip, which a stall or a lost packet does not lengthen. Zero if it was not
    /// measured.
    pub(crate) fn way_to(&self, node: NodeId) -> Duration {
        self.get(node)
            .and_then(|peer| peer.round_trip.shortest())
            .unwrap_or_default()
    }

    /// The smoothed round trip to the voter that is the `nth` nearest of those that were heard lately, from 1; zero for
    /// the 0th.
    ///
    /// Whoever is silent completes no quorum, however near it was. What was never measured says nothing, so it comes
    /// behind what was; both count where there is nothing better.
    pub(crate) fn round_trip_to_nth(&self, nth: usize, now: Instant) -> Duration {
        let rank = |peer: &Peer| {
            let trip = &peer.round_trip;
            (!peer.is_alive(now), trip.shortest().is_none(), trip.high())
        };
        let mut trips: Vec<_> = self.voters().map(|(_, peer)| rank(peer)).collect();
        trips.sort_unstable();
        let counted = trips.iter().take(nth).map(|(.., trip)| *trip);
        counted.max().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn millis(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// Voters, each with the time at which it was heard last and its round trip, as far as there are any.
    fn peers(known: &[(Option<u64>, Option<u64>)]) -> Peers {
        let mut map = BTreeMap::new();
        for (number, (heard, trip)) in (1..).zip(known) {
            let mut peer = Peer::new(Role::Voter);
            peer.heard = heard.map(Instant::from_millis);
            if let Some(trip) = trip {
                peer.round_trip.observe(millis(*trip));
            }
            map.insert(NodeId([number; 32]), peer);
        }
        Peers { map }
    }

    #[test]
    fn whoever_is_silent_completes_no_quorum() {
        let now = Instant::from_millis(10_000);
        let far = [(Some(9_900), Some(80)), (Some(9_900), Some(120))];
        let near_and_gone = (Some(5_000), Some(1));
        let all = peers(&[far[0], near_and_gone, (None, None), far[1]]);
        assert_eq!(all.round_trip_to_nth(0, now), Duration::ZERO);
        assert_eq!(all.round_trip_to_nth(1, now), millis(80));
        assert_eq!(all.round_trip_to_nth(2, now), millis(120));
        // Nobody completes a quorum of four: what is known of those who do not count shortens nothing.
        assert_eq!(all.round_trip_to_nth(3, now), millis(120));
    }

    #[test]
    fn who_was_not_measured_yet_is_not_taken_for_near() {
        let now = Instant::from_millis(10_000);
        let all = peers(&[(Some(9_900), None), (Some(9_900), Some(80))]);
        assert_eq!(all.round_trip_to_nth(1, now), millis(80));
        assert_eq!(all.round_trip_to_nth(2, now), millis(80));
    }
}
