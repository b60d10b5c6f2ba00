//! What a node does for the membership without being told: a learner that has caught up asks for its seat, a voter
//! states in the chain whom it no longer hears, a node that was pruned asks to be admitted again, one that has moved says
//! where it is.
//!
//! Every node does this for itself, and nobody in particular prunes: the first whose command is decided has done it, and
//! the others' name an epoch that is over. All of it is advice to the chain; what counts is what the roster makes of it
//! (`docs/protocol.md`, section 13).

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::time::Duration;

use consensus::{Engine, PeerStatus, Phase, Role};
use model::roster::Hearing;
use model::{
    Addresses, Command, Digest, Height, Instant, LibraryId, Member, NodeId, Payload, Reason,
    RosterChange, SealedCommand, SeatChange, Timestamp, TokenId,
};

/// How often a node looks around.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// A node that did not look for this long has slept: what it has not heard meanwhile says nothing.
const SLEPT_AFTER: Duration = Duration::from_secs(2);
/// How long an errand is given before it is tried again.
const TRY_AGAIN: Duration = Duration::from_secs(2);
/// A learner asks for its seat when it is at most this many blocks behind what it hears of.
const LAG_MAX: u64 = 2;

/// The actor of commands that a node gives by itself.
pub const NODE_ITSELF: TokenId = TokenId::NODE;

/// What a node knows of itself that belongs into the roster.
#[derive(Debug, Clone, Default)]
pub struct Care {
    /// Where it is; none if it does not say.
    pub addresses: Option<Addresses>,
    /// How long a voter must be silent before this one says so in the chain; none for never.
    pub dead_after: Option<Duration>,
}

/// Something to be done through the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Errand {
    State(NodeId),
    Prune(NodeId),
    Join,
    Return,
    Relocate,
}

/// Looks around now and then.
#[derive(Debug)]
pub(crate) struct Caretaker {
    care: Care,
    seed: u64,
    given: u64,
    looked: Option<Instant>,
    /// Silence counts from here on.
    listening_since: Instant,
    under_way: BTreeMap<Errand, Instant>,
}

impl Caretaker {
    pub(crate) fn new(care: Care, seed: u64, now: Instant) -> Self {
        Self {
            care,
            seed,
            given: 0,
            looked: None,
            listening_since: now,
            under_way: BTreeMap::new(),
        }
    }

    /// When to look next.
    pub(crate) fn due(&self, engine: &Engine) -> Option<Instant> {
        let taking_part = engine.phase() == Phase::Voting;
        let due = self.looked.map_or(Instant(0), |at| at.plus(LOOK_EVERY));
        taking_part.then_some(due)
    }

    /// The commands that are to be submitted now.
    pub(crate) fn look(
        &mut self,
        engine: &Engine,
        now: Instant,
        valid_until: Timestamp,
    ) -> Vec<SealedCommand> {
        if self.due(engine).is_none_or(|due| now < due) {
            return Vec::new();
        }
        if self.looked.is_none_or(|at| now.since(at) > SLEPT_AFTER) {
            self.listening_since = now;
        }
        self.looked = Some(now);
        self.under_way
            .retain(|_, since| now.since(*since) < TRY_AGAIN);
        let mut errands = match engine.role() {
            Role::Voter => self.watch(engine, now),
            Role::Learner => self.join(engine, now).into_iter().collect(),
            Role::Outsider => self.come_back(engine).into_iter().collect(),
        };
        errands.extend(self.relocate(engine));
        let mut commands = Vec::new();
        for (errand, change) in errands {
            // An errand that is under way keeps its time: it comes up at every look until it is done.
            if let Entry::Vacant(vacant) = self.under_way.entry(errand) {
                vacant.insert(now);
                commands.push(self.seal(change, valid_until));
            }
        }
        commands
    }

    /// What a voter has to say of the others.
    fn watch(&self, engine: &Engine, now: Instant) -> Vec<(Errand, RosterChange)> {
        let Some(dead_after) = self.care.dead_after else {
            return Vec::new();
        };
        let peers = engine.peer_status(now).into_iter();
        peers
            .filter(|peer| peer.role == Role::Voter)
            .filter_map(|peer| {
                let heard = peer.heard.unwrap_or_default().max(self.listening_since);
                let silent = now.since(heard) >= dead_after;
                self.state(engine, &peer, silent)
            })
            .collect()
    }

    fn state(
        &self,
        engine: &Engine,
        peer: &PeerStatus,
        silent: bool,
    ) -> Option<(Errand, RosterChange)> {
        let (me, roster) = (engine.identity().node, engine.roster());
        let stands = roster.hearing(me, peer.node).map(|hearing| hearing.silent);
        if stands.unwrap_or(false) != silent {
            let at = statement_height(engine.tip(), roster.hearing(me, peer.node));
            let statement = RosterChange::Hearing {
                witness: me,
                about: peer.node,
                at,
                silent,
            };
            return Some((Errand::State(peer.node), statement));
        }
        let prune = RosterChange::Seat {
            epoch: roster.epoch(),
            change: SeatChange::Remove {
                node: peer.node,
                reason: Reason::Silent,
            },
        };
        (silent && roster.may_prune(peer.node)).then_some((Errand::Prune(peer.node), prune))
    }

    /// A learner that has caught up with whatever it hears of asks for its seat.
    fn join(&self, engine: &Engine, now: Instant) -> Option<(Errand, RosterChange)> {
        let me = engine.identity().node;
        let learner = engine.roster().learner(me)?;
        let peers = engine.peer_status(now);
        let highest = peers.iter().map(|peer| peer.tip).max()?;
        let ready = learner.votes
            && engine.has_quorum(now)
            && highest.0 <= engine.tip().0.saturating_add(LAG_MAX);
        let change = RosterChange::Seat {
            epoch: engine.roster().epoch(),
            change: SeatChange::Add(learner.member.clone()),
        };
        ready.then_some((Errand::Join, change))
    }

    /// A node that was pruned for its silence asks to follow again.
    fn come_back(&self, engine: &Engine) -> Option<(Errand, RosterChange)> {
        let me = engine.identity().node;
        let left = engine.roster().former().get(&me)?;
        let change = RosterChange::Admit {
            invite: None,
            member: Member {
                id: me,
                name: left.name.clone(),
            },
            addresses: self.care.addresses.clone()?,
        };
        (left.reason == Reason::Silent).then_some((Errand::Return, change))
    }

    fn relocate(&self, engine: &Engine) -> Option<(Errand, RosterChange)> {
        let node = engine.identity().node;
        let addresses = self.care.addresses.clone()?;
        let known = engine.roster().addresses(node)?;
        let change = RosterChange::Move { node, addresses };
        (self.care.addresses.as_ref() != Some(known)).then_some((Errand::Relocate, change))
    }

    /// Who belongs to the cluster is no secret, so a salt that could be guessed hides nothing less.
    fn seal(&mut self, change: RosterChange, valid_until: Timestamp) -> SealedCommand {
        self.given += 1;
        let command = Command {
            library: LibraryId::home(),
            actor: NODE_ITSELF,
            key: None,
            valid_until,
            payload: Payload::Roster(change),
        };
        let drawn = Digest::of(&[&self.seed.to_be_bytes(), &self.given.to_be_bytes()]);
        let mut salt = [0; 16];
        for (to, from) in salt.iter_mut().zip(drawn.0) {
            *to = from;
        }
        command.seal(salt)
    }
}

/// A statement is about what was heard up to a tip, and later than the one before it.
fn statement_height(tip: Height, last: Option<Hearing>) -> Height {
    last.map_or(tip, |last| tip.max(last.at.next()))
}
