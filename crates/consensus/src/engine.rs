//! The engine as a whole: its state, the order of one step, and what it shows of itself.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use model::{
    Ballot, BlockHash, Boot, ChainId, Decided, Height, Instant, LogSeq, Membership, NodeId, Nonce,
    Now, Reason, Record, Roster, Signatures, Statement, Turn, Vote,
};

use crate::acceptor::Acceptor;
use crate::chain::{CatchUp, Log, Tip};
use crate::counters::Counters;
use crate::effect::{DiskRoom, Effect, Input, StopReason, Urgency};
use crate::learner::Learner;
use crate::message::{Beacon, Message};
use crate::pace::{FlushClock, Pace};
use crate::peers::{Peers, Role};
use crate::pending::Pending;
use crate::proposer::Proposer;
use crate::read::Reads;
use crate::rng::Rng;
use crate::start::{OnDisk, Outcome, StartCheck};

/// How often peers get a beacon, load or not, and round trips are measured.
const BEACON_EVERY: Duration = Duration::from_millis(250);
/// A disk slower than this gives its node's turn away.
const SLOW_FLUSH: Duration = Duration::from_millis(500);
/// Bytes that may wait for the disk before the engine takes no more votes and blocks from peers.
const LOG_BACKLOG_BYTES_MAX: usize = 64 << 20;
/// Messages for heights just above the next one that are kept until it is decided.
const STASH_MAX: usize = 64;

/// Who this node is, in this incarnation.
pub struct Config {
    /// Its identity.
    pub me: NodeId,
    /// This start's counter, one above the last.
    pub boot: Boot,
    /// Drawn for this start.
    pub nonce: Nonce,
    /// The chain.
    pub chain: ChainId,
    /// Nodes that blocks may be asked of besides those that the recovered roster names: it may be long out of date.
    pub contacts: Vec<NodeId>,
    /// Makes and checks signatures.
    pub signatures: Arc<dyn Signatures>,
    /// For back-off times only.
    pub seed: u64,
}

/// What the disk knew.
pub struct Recovered {
    /// The last decided block.
    pub tip: Decided,
    /// Who belongs to the cluster above it.
    pub roster: Arc<Roster>,
    /// The vote above the highest height known to be decided.
    pub vote: Option<Vote>,
    /// That height. Above the tip if blocks were lost that others have.
    pub floor: Height,
    /// Whether it was found before that the disk is older than what others have seen.
    pub ended: bool,
}

/// How far a node is in taking part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// The first record of this incarnation is not durable yet: nothing is said.
    Opening,
    /// Peers are asked what they have seen of this identity: decided blocks are learnt, no votes are cast.
    Checking,
    /// Taking part.
    Voting,
    /// Not taking part any more.
    Stopped(StopReason),
}

/// A peer as seen from here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerStatus {
    /// Who.
    pub node: NodeId,
    /// What it is to the cluster.
    pub role: Role,
    /// Heard within the last second.
    pub alive: bool,
    /// When it was last heard, if ever in this incarnation.
    pub heard: Option<Instant>,
    /// Its start counter, if it was ever heard.
    pub boot: Option<Boot>,
    /// The highest tip it reported.
    pub tip: Height,
    /// The hash of the block at that tip, if it said so.
    pub head: Option<BlockHash>,
    /// Smoothed high percentile of the round trip.
    pub round_trip: Duration,
    /// It missed a turn and has not caught up since.
    pub suspect: bool,
}

/// Agreement on one block per height, for one node of the cluster: a voter, or a learner that only follows.
///
/// Deterministic: a run is a function of `Config`, `Recovered` and the inputs with their times. Never blocks, never
/// reads a clock, never fails on what a peer sends (a bad message is reported as [`Effect::Refused`] and dropped).
///
/// Invariants:
/// * A promise is never lowered at its height.
/// * The accepted ballot is at most the promised one.
/// * At most one block is decided per height.
/// * A vote at h is appended behind the decided mark of h - 1.
#[derive(Clone)]
pub struct Engine {
    pub(crate) me: Turn,
    pub(crate) nonce: Nonce,
    pub(crate) chain: ChainId,
    pub(crate) roster: Arc<Roster>,
    pub(crate) signatures: Arc<dyn Signatures>,
    pub(crate) rng: Rng,
    pub(crate) now: Now,
    pub(crate) phase: Phase,
    pub(crate) start: StartCheck,
    pub(crate) tip: Tip,
    pub(crate) log: Log,
    pub(crate) flushes: FlushClock,
    pub(crate) acceptor: Acceptor,
    /// When the latest vote became durable.
    pub(crate) voted_since: Instant,
    /// Blocks of the undecided height whose bodies the log holds.
    pub(crate) bodies_logged: BTreeSet<BlockHash>,
    /// A recovered vote above the next height: no votes before the chain has come that far.
    pub(crate) held_vote: Option<Vote>,
    pub(crate) proposer: Proposer,
    pub(crate) learner: Learner,
    pub(crate) pending: Pending,
    pub(crate) work_since: Instant,
    pub(crate) peers: Peers,
    pub(crate) reads: Reads,
    pub(crate) catch_up: CatchUp,
    pub(crate) disk: DiskRoom,
    pub(crate) leaving: bool,
    pub(crate) counters: Counters,
    /// When the last beacons and pings went out.
    touched: Option<Instant>,
    pub(crate) own_messages: VecDeque<(LogSeq, Message)>,
    pub(crate) stash: Vec<(NodeId, Message)>,
    pub(crate) effects: VecDeque<Effect>,
}

impl Engine {
    /// Starts an incarnation. The first effect appends its [`Record::Start`]; nothing is said before that is durable.
    pub fn new(config: Config, recovered: Recovered, now: Now) -> Self {
        let me = Turn {
            node: config.me,
            boot: config.boot,
        };
        let tip = Tip::new(recovered.tip, now.instant);
        let next = tip.height().next();
        let vote = recovered.vote.filter(|vote| vote.height >= next);
        let (current, held) = match vote {
            Some(vote) if vote.height > next => (None, Some(vote)),
            vote => (vote, None),
        };
        let on_disk = OnDisk {
            boot: me.boot,
            nonce: config.nonce,
            tip: tip.height().max(recovered.floor),
            vote: current
                .as_ref()
                .or(held.as_ref())
                .map_or((next, Ballot::NONE), |vote| (vote.height, vote.promised)),
        };
        let mut engine = Self {
            me,
            nonce: config.nonce,
            chain: config.chain,
            peers: Peers::new(&recovered.roster, &config.contacts, config.me),
            roster: recovered.roster,
            signatures: config.signatures,
            rng: Rng::new(config.seed),
            now,
            phase: Phase::Opening,
            start: StartCheck::new(on_disk, now.instant),
            log: Log::new(tip.height()),
            tip,
            flushes: FlushClock::new(),
            acceptor: Acceptor::new(),
            voted_since: now.instant,
            bodies_logged: BTreeSet::new(),
            held_vote: held.clone(),
            proposer: Proposer::new(),
            learner: Learner::default(),
            pending: Pending::new(config.me),
            work_since: now.instant,
            reads: Reads::new(me.boot),
            catch_up: CatchUp::default(),
            disk: DiskRoom::Free,
            leaving: false,
            counters: Counters::default(),
            touched: None,
            own_messages: VecDeque::new(),
            stash: Vec::new(),
            effects: VecDeque::new(),
        };
        let vote = current.clone().or(held);
        let record = Record::Start {
            boot: me.boot,
            nonce: engine.nonce,
            tip: engine.tip.mark(),
            vote,
        };
        let seq = engine.append(record, Urgency::Now);
        if let Some(vote) = current {
            engine.install_vote(vote, seq);
        }
        if recovered.ended {
            engine.stop(StopReason::RolledBack);
        } else if engine.is_removed() {
            engine.stop(StopReason::Removed);
        }
        engine
    }

    /// Takes one input. Drain [`Engine::poll_effect`] afterwards.
    pub fn handle(&mut self, now: Now, input: Input) {
        self.take(now, input);
        self.settle();
    }

    /// Takes an input without acting on what has become possible: more are at hand. [`Engine::settle`] must follow.
    pub fn take(&mut self, now: Now, input: Input) {
        self.now = now;
        match input {
            Input::Receive { from, message } => self.receive_from_peer(from, message),
            Input::Submit {
                command,
                valid_until,
            } => {
                self.note_work();
                self.pending.submit(command, valid_until);
            }
            Input::Persisted(seq) => self.persisted(seq),
            Input::PersistFailed => self.stop(StopReason::FlushFailed),
            Input::DiskFull(room) => {
                self.disk = room;
                self.beacon_all();
            }
            Input::Read(id) => self.reads.arrive(id),
            Input::Yield => {
                self.leaving = true;
                self.beacon_all();
            }
            Input::Forked { since } => self.stop(StopReason::Forked { since }),
            Input::Wake => {}
        }
    }

    /// The next thing to do, in order.
    #[must_use]
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// When [`Input::Wake`] is due, if no other input comes first.
    pub fn next_wake(&self) -> Option<Instant> {
        let learning = [
            self.catch_up.wake(),
            self.body_due(),
            self.touch_wake(),
            self.push_due(),
        ];
        let taking_part = match self.phase {
            Phase::Opening => return None,
            Phase::Stopped(_) => return self.touch_wake(),
            Phase::Checking => [Some(self.start.wake()), None, None, None],
            Phase::Voting => [
                self.takeover_due(),
                self.resend_due(),
                [self.reads.wake(), self.finish_due()]
                    .into_iter()
                    .flatten()
                    .min(),
                self.linger_due(),
            ],
        };
        learning.into_iter().chain(taking_part).flatten().min()
    }

    fn persisted(&mut self, seq: LogSeq) {
        let was_durable = self.is_vote_durable();
        self.log.durable(seq);
        self.flushes.durable(seq, self.now.instant);
        if !was_durable && self.is_vote_durable() {
            self.vote_became_durable();
        }
        if self.phase == Phase::Opening {
            self.phase = Phase::Checking;
        }
    }

    /// Does everything that has become possible or due. Idempotent.
    pub fn settle(&mut self) {
        self.deliver_own_and_stashed();
        if self.phase == Phase::Opening {
            return;
        }
        self.check_start();
        if self.phase == Phase::Voting {
            self.run_reads();
            // The own answer need not wait for the next input.
            self.deliver_own_and_stashed();
            self.propose_with_turn();
            self.take_over_if_due();
            self.resend_if_due();
        }
        if !matches!(self.phase, Phase::Stopped(_)) {
            self.push_commands();
            self.fetch_if_behind();
            self.fetch_body_if_due();
        }
        self.keep_in_touch();
        self.answer_reads();
    }

    fn deliver_own_and_stashed(&mut self) {
        loop {
            let durable = self.log.durable_through();
            if let Some(at) = self
                .own_messages
                .iter()
                .position(|(after, _)| *after <= durable)
            {
                if let Some((_, message)) = self.own_messages.remove(at) {
                    self.receive(self.me.node, message);
                }
                continue;
            }
            let next = self.tip.height().next();
            let current = self
                .stash
                .iter()
                .position(|(_, m)| height_of(m).is_none_or(|h| h <= next));
            let Some(at) = current else { return };
            let (from, message) = self.stash.remove(at);
            self.receive(from, message);
        }
    }

    fn receive_from_peer(&mut self, from: NodeId, message: Message) {
        let now = self.now.instant;
        let proves_itself = matches!(message, Message::Beacon(_) | Message::Decide { .. });
        let heeds = proves_itself && self.is_lonely();
        if heeds && self.peers.get(from).is_none() {
            self.peers.meet(from);
        }
        let Some(peer) = self
            .peers
            .get_mut(from)
            .filter(|peer| heeds || !peer.stranger)
        else {
            self.refuse(from, "not a member");
            return;
        };
        peer.note_heard(now);
        if !may_say(peer.role, &message) {
            self.refuse(from, "it may not say that without a vote");
            return;
        }
        let backlogged = self.log.backlog_bytes() > LOG_BACKLOG_BYTES_MAX;
        if backlogged && height_of(&message).is_some() {
            return;
        }
        self.receive(from, message);
    }

    fn receive(&mut self, from: NodeId, message: Message) {
        let stopped = matches!(self.phase, Phase::Stopped(_));
        if stopped
            && !matches!(
                message,
                Message::Fetch { .. }
                    | Message::Ping { .. }
                    | Message::Pong { .. }
                    | Message::WhatWasI { .. }
                    | Message::Beacon(_)
            )
        {
            return;
        }
        match message {
            Message::Prepare { height, ballot } => self.on_prepare(from, height, ballot),
            Message::Promise {
                height,
                ballot,
                accepted,
            } => {
                self.on_promise(from, height, ballot, accepted);
            }
            Message::Nack {
                height,
                ballot,
                promised,
            } => {
                self.on_nack(from, height, ballot, promised);
            }
            Message::Accept(accept) => self.on_accept(from, accept),
            Message::Accepted {
                height,
                ballot,
                hash,
                signature,
            } => {
                self.on_accepted(from, height, (ballot, hash), signature);
            }
            Message::Decide { block, certificate } => self.on_decide(from, block, certificate),
            Message::Fetch { from: height } => self.send_decided(from, height),
            Message::FetchAccepted { height, hash } => self.on_fetch_body(from, height, hash),
            Message::Body { block } => self.on_body(from, &block),
            Message::Push { commands } => self.on_push(from, commands),
            Message::Beacon(beacon) => self.on_beacon(from, &beacon),
            Message::Ping { sent } => self.send(LogSeq(0), from, Message::Pong { sent }),
            Message::Pong { sent } => {
                let now = self.now.instant;
                if let Some(peer) = self.peers.get_mut(from) {
                    peer.note_echo(Instant(sent), now);
                }
            }
            Message::WhatWasI { boot, nonce } => {
                let seen = self
                    .peers
                    .get_mut(from)
                    .and_then(|peer| peer.what_was(boot, nonce));
                self.send(LogSeq(0), from, Message::YouWere { nonce, seen });
            }
            Message::YouWere { nonce, seen } => self.on_you_were(from, nonce, seen),
            Message::AskTop { round, membership } => self.on_ask_top(from, round, membership),
            Message::Top { round, top } => {
                self.note_tip_below(from, top);
                self.reads
                    .top(from, round, top, self.roster.voters(), self.now.instant);
            }
            Message::Finish { height } => self.reads.nudge(height, self.now.instant),
        }
    }

    /// Keeps a message for a height just above the next one until that is decided.
    pub(crate) fn stash(&mut self, from: NodeId, message: Message) {
        if self.stash.len() < STASH_MAX {
            self.stash.push((from, message));
        }
    }

    pub(crate) fn append(&mut self, record: Record, urgency: Urgency) -> LogSeq {
        let seq = self.log.append(&record);
        if urgency == Urgency::Now {
            self.flushes.submitted(seq, self.now.instant);
        }
        self.effects.push_back(Effect::Append {
            seq,
            record,
            urgency,
        });
        seq
    }

    /// Sends behind a record. To ourselves it goes the same way: an own accept counts when it is durable.
    pub(crate) fn send(&mut self, after: LogSeq, to: NodeId, message: Message) {
        // Nothing leaves before the first record of this incarnation.
        let after = after.max(LogSeq(1));
        if to == self.me.node {
            self.own_messages.push_back((after, message));
            return;
        }
        self.effects.push_back(Effect::Send { after, to, message });
    }

    /// Sends to every other voter and learner.
    pub(crate) fn broadcast(&mut self, after: LogSeq, message: &Message) {
        self.send_each(after, self.peers.audience(), message);
    }

    /// Sends to every other voter: what only they answer.
    pub(crate) fn ask_voters(&mut self, message: &Message) {
        self.send_each(LogSeq(0), self.peers.voter_ids(), message);
    }

    fn send_each(&mut self, after: LogSeq, nodes: Vec<NodeId>, message: &Message) {
        for node in nodes {
            self.send(after, node, message.clone());
        }
    }

    pub(crate) fn refuse(&mut self, from: NodeId, why: &'static str) {
        self.counters.refused += 1;
        self.effects.push_back(Effect::Refused { from, why });
    }

    pub(crate) fn stop(&mut self, reason: StopReason) {
        if !matches!(self.phase, Phase::Stopped(_)) {
            self.phase = Phase::Stopped(reason);
            self.effects.push_back(Effect::Stopped(reason));
        }
    }

    /// Whether this node may promise and accept now.
    pub(crate) fn may_vote(&self) -> bool {
        self.phase == Phase::Voting && self.role() == Role::Voter && self.held_vote.is_none()
    }

    /// Who votes at the next height.
    pub(crate) fn voters(&self) -> &Membership {
        self.roster.voters()
    }

    /// How many others complete a quorum.
    pub(crate) fn others_in_quorum(&self) -> usize {
        let own = usize::from(self.role() == Role::Voter);
        self.voters().quorum() - own
    }

    pub(crate) fn pace(&self) -> Pace {
        let others = self.others_in_quorum();
        let round_trip = self.peers.round_trip_to_nth(others, self.now.instant);
        Pace {
            round_trip,
            flush: self.flushes.high(self.now.instant),
        }
    }

    pub(crate) fn statement(
        &self,
        domain: model::Domain,
        height: Height,
        (ballot, hash): (Ballot, BlockHash),
    ) -> Statement {
        let membership = self.voters().hash();
        Statement {
            domain,
            chain: self.chain,
            membership,
            height,
            ballot,
            hash,
        }
    }

    pub(crate) fn is_yielding(&self) -> bool {
        self.leaving
            || matches!(self.phase, Phase::Stopped(_))
            || self.is_clock_ahead()
            || self.disk == DiskRoom::Full
            || self.flushes.high(self.now.instant) > SLOW_FLUSH
    }

    fn check_start(&mut self) {
        if self.phase != Phase::Checking {
            return;
        }
        let others = self.peers.voter_ids();
        let needed = self.others_in_quorum();
        let now = self.now.instant;
        match self.start.outcome(needed, &others, now) {
            Outcome::Passed => {
                self.phase = Phase::Voting;
                self.effects.push_back(Effect::Voting);
                self.beacon_all();
            }
            Outcome::Waiting => {
                let ask = Message::WhatWasI {
                    boot: self.me.boot,
                    nonce: self.nonce,
                };
                for node in self.start.due_questions(&others, now) {
                    self.send(LogSeq(0), node, ask.clone());
                }
            }
        }
    }

    fn on_you_were(&mut self, from: NodeId, nonce: Nonce, seen: Option<crate::message::Seen>) {
        if self.phase != Phase::Checking || nonce != self.nonce {
            return;
        }
        match seen {
            Some(seen) if self.start.is_rolled_back(&seen) => self.stop(StopReason::RolledBack),
            _ => self.start.answered(from),
        }
    }

    fn on_beacon(&mut self, from: NodeId, beacon: &Beacon) {
        let wall = self.now.wall;
        let next = self.tip.height().next();
        let Some(peer) = self.peers.get_mut(from) else {
            return;
        };
        peer.note_beacon(beacon, self.tip.height(), wall);
        if beacon.has_work {
            peer.worked = peer.worked.max(Some(next));
        }
        if beacon.tip == self.tip.height() && beacon.head != self.tip.hash {
            self.refuse(from, "its head differs from ours at the same height");
        }
        self.note_reported_tip(from, beacon.tip);
        self.catch_up.batch_ended(from, self.now.instant);
        // Nobody tells an outsider what happens; from this it learns that there is more of the chain, and one that was
        // removed, that it need not hand it out any more.
        if self.is_outsider_behind(from) || (self.role() == Role::Voter && self.is_outsider(from)) {
            self.send_beacon(from);
        }
    }

    /// Whether nobody whom this node knows can tell it how far the chain is: it hears no quorum of the voters, or is the
    /// only one. Then it listens to whoever calls: those who vote today may all have come since.
    pub fn is_lonely(&self) -> bool {
        self.others_in_quorum() == 0 || !self.has_quorum(self.now.instant)
    }

    fn is_outsider(&self, node: NodeId) -> bool {
        self.peers
            .get(node)
            .is_some_and(|peer| peer.role == Role::Outsider && !peer.stranger)
    }

    fn is_outsider_behind(&self, node: NodeId) -> bool {
        let lag = self.peers.get(node).and_then(|peer| peer.lag);
        self.is_outsider(node) && lag.is_some_and(|lag| lag > 0)
    }

    fn beacon(&self) -> Beacon {
        Beacon {
            boot: self.me.boot,
            nonce: self.nonce,
            tip: self.tip.height(),
            durable_tip: self.log.durable_tip(),
            head: self.tip.hash,
            membership: self.voters().hash(),
            clock: self.now.wall,
            has_work: self.has_work(),
            yielding: self.is_yielding(),
        }
    }

    pub(crate) fn send_beacon(&mut self, to: NodeId) {
        self.send(LogSeq(0), to, Message::Beacon(self.beacon()));
    }

    fn beacon_all(&mut self) {
        self.broadcast(LogSeq(0), &Message::Beacon(self.beacon()));
    }

    fn keep_in_touch(&mut self) {
        let now = self.now.instant;
        if self.touch_wake().is_some_and(|due| due <= now) {
            self.touched = Some(now);
            let beacon = Message::Beacon(self.beacon());
            for node in self.in_touch() {
                self.send(LogSeq(0), node, beacon.clone());
                self.send(LogSeq(0), node, Message::Ping { sent: now.0 });
            }
        }
    }

    /// Who hears from this node whatever happens: everybody that it knows, while it belongs to nobody itself.
    fn in_touch(&self) -> Vec<NodeId> {
        if self.role() == Role::Outsider {
            self.peers.iter().map(|(node, _)| node).collect()
        } else {
            self.peers.audience()
        }
    }

    fn touch_wake(&self) -> Option<Instant> {
        let due = self
            .touched
            .map_or(self.now.instant, |last| last.plus(BEACON_EVERY));
        self.peers.iter().next().map(|_| due)
    }

    /// This incarnation.
    pub fn identity(&self) -> Turn {
        self.me
    }

    /// How far it is in taking part.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Height of the last decided block.
    pub fn tip(&self) -> Height {
        self.tip.height()
    }

    /// Hash of the last decided block.
    pub fn head(&self) -> BlockHash {
        self.tip.hash
    }

    /// The incarnation that may propose at the next height, if the last block names one.
    pub fn turn(&self) -> Option<Turn> {
        self.tip.header.hint
    }

    /// Who belongs to the cluster above the last decided block.
    pub fn roster(&self) -> &Arc<Roster> {
        &self.roster
    }

    /// Whether an administrator removed this node from the cluster.
    pub(crate) fn is_removed(&self) -> bool {
        let left = self.roster.former().get(&self.me.node);
        left.is_some_and(|left| left.reason == Reason::Asked)
    }

    /// What this node is to the cluster above the last decided block.
    pub fn role(&self) -> Role {
        let me = self.me.node;
        if self.roster.voters().contains(me) {
            Role::Voter
        } else if self.roster.learner(me).is_some() {
            Role::Learner
        } else {
            Role::Outsider
        }
    }

    /// The vote at the undecided height.
    pub fn vote(&self) -> Vote {
        self.acceptor.vote(self.tip.height().next())
    }

    /// What happened how often since this incarnation started.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Whether a quorum of voters, this node counted if it is one, was heard within the last second.
    pub fn has_quorum(&self, now: Instant) -> bool {
        self.peers.alive(now) >= self.others_in_quorum()
    }

    /// The other nodes, in the order of their identities.
    pub fn peer_status(&self, now: Instant) -> Vec<PeerStatus> {
        let status = |(node, peer): (NodeId, &crate::peers::Peer)| PeerStatus {
            node,
            role: peer.role,
            alive: peer.is_alive(now),
            heard: peer.heard,
            boot: peer.boot(),
            tip: peer.tip,
            head: peer.head,
            round_trip: peer.round_trip.high(),
            suspect: peer.missed.is_some(),
        };
        let known = self.peers.iter().filter(|(_, peer)| !peer.stranger);
        known.map(status).collect()
    }
}

/// Whether a node of this role is listened to. Votes are counted of voters alone; a learner has commands and reads of
/// its own; an outsider may ask what happened and, if it was pruned, ask to be admitted again.
fn may_say(role: Role, message: &Message) -> bool {
    match message {
        Message::Decide { .. }
        | Message::Fetch { .. }
        | Message::Beacon(_)
        | Message::Ping { .. }
        | Message::Pong { .. }
        | Message::Push { .. }
        | Message::WhatWasI { .. }
        | Message::YouWere { .. } => true,
        Message::FetchAccepted { .. }
        | Message::Body { .. }
        | Message::AskTop { .. }
        | Message::Finish { .. } => role != Role::Outsider,
        Message::Prepare { .. }
        | Message::Promise { .. }
        | Message::Nack { .. }
        | Message::Accept(_)
        | Message::Accepted { .. }
        | Message::Top { .. } => role == Role::Voter,
    }
}

/// The height a message fights over; none if it is not about one.
pub(crate) fn height_of(message: &Message) -> Option<Height> {
    match message {
        Message::Prepare { height, .. }
        | Message::Promise { height, .. }
        | Message::Nack { height, .. }
        | Message::Accepted { height, .. } => Some(*height),
        Message::Accept(accept) => Some(accept.block.height()),
        Message::Decide { block, .. } => Some(block.height()),
        _ => None,
    }
}
