//! One node: a real engine, its disk, and what waits for the disk.
//!
//! A node is a value. [`Node::step`] takes an event and gives the node after it and what it sent: the engine does the
//! thinking, the node only does what the effects say. Records become durable when [`Event::Flush`] says so, and a
//! message leaves when the record it rests on is.
//!
//! **Time.** Each node has a clock of its own, and it moves only in [`Event::Wake`]: to the engine's next wake, and
//! again to the next one, until something comes of it. So every timer may fire at any moment between any two other
//! events, and none has to. Peers are always heard when the clock moves: silence only changes hints.

use std::collections::BTreeSet;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use consensus::{Config, Effect, Engine, Input, Message, Phase, ReadId, Recovered, StopReason};
use model::{BlockHash, Boot, Decided, Height, Instant, LogSeq, Nonce, Record, Roster, Timestamp};

use crate::checks::{self, Checked, Violation};
use crate::disk::{Disk, hash_record};
use crate::fingerprint::Fingerprinter;
use crate::stage::{self, Stage};

/// Nothing that takes longer than this happens in one wake; a flush that lasts as long makes a slow disk.
const WAKE_MAX: Duration = Duration::from_millis(400);
/// Timers that fire in one wake, at most.
const HOPS_MAX: usize = 64;

/// Something that happens to one node.
#[derive(Debug, Clone)]
pub(crate) enum Event {
    /// A message arrives.
    Deliver(usize, Message),
    /// So many of the oldest records become durable.
    Flush(usize),
    /// Time passes until a timer of the engine changes something.
    Wake,
    /// A client brings the next command.
    Submit,
    /// A client wants to read.
    Read,
    /// The node dies and starts again; so many of the oldest unflushed records are found on the disk.
    Crash(usize),
}

/// A message on its way.
#[derive(Debug, Clone)]
pub(crate) struct Letter {
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) message: Message,
}

impl Letter {
    pub(crate) fn fingerprint(&self) -> u128 {
        let mut hasher = Fingerprinter::new();
        (self.from, self.to).hash(&mut hasher);
        consensus::fingerprint::hash_message(&self.message, &mut hasher);
        hasher.digest()
    }
}

/// How a node knows that a block is decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Proof {
    /// It counted the accepts.
    Counted,
    /// It was sent the certificate. Certificates of the same block are one letter whoever signed them, and each was
    /// counted by somebody.
    Received,
}

/// What came of an event.
pub(crate) struct Step {
    pub(crate) node: Node,
    pub(crate) sent: Vec<Letter>,
    pub(crate) decided: Vec<(Decided, Proof)>,
    /// The block that the message just delivered proves decided.
    proven: Option<BlockHash>,
    /// Reads answered, with the heights they may be answered from.
    pub(crate) answered: Vec<Height>,
    pub(crate) checked: Checked,
}

/// A node between two events.
#[derive(Clone)]
pub(crate) struct Node {
    pub(crate) seat: usize,
    pub(crate) engine: Engine,
    pub(crate) disk: Disk,
    /// How often it was started.
    pub(crate) starts: u8,
    /// How many commands and reads its clients have brought.
    pub(crate) submitted: u8,
    pub(crate) reads: u8,
    clock: Instant,
    /// Written and not flushed; 0 for records of an earlier incarnation, which precede the start record.
    unflushed: Vec<(LogSeq, Record)>,
    /// Through which record of this incarnation the log is durable.
    durable: LogSeq,
    waiting: Vec<(LogSeq, Letter)>,
    /// Decided blocks by height, as this incarnation knows them.
    chain: Vec<Decided>,
}

impl Node {
    /// A node with an empty disk, started for the first time: its start record is not durable yet.
    pub(crate) fn first(stage: &Stage, seat: usize) -> Step {
        let disk = Disk::new(stage.genesis.clone());
        Self::start(stage, seat, (disk, Vec::new()), 1)
    }

    fn start(stage: &Stage, seat: usize, disk: (Disk, Vec<Record>), starts: u8) -> Step {
        let (disk, cached) = disk;
        let (boot, chain, vote) = disk.read(&cached);
        let clock = Instant(0);
        let config = Config {
            me: stage::id_of(seat),
            boot: Boot(boot.0 + 1),
            nonce: Nonce([starts; 16]),
            chain: stage::CHAIN,
            contacts: Vec::new(),
            signatures: Arc::new(stage::StandIn(stage::id_of(seat))),
            seed: seat as u64,
        };
        let tip = chain.last().expect("genesis is always there").clone();
        let founded = Roster::founded(stage.membership.clone());
        let roster = chain.iter().fold(founded, |roster, decided| {
            roster.after(&decided.block).unwrap_or(roster)
        });
        let roster = Arc::new(roster);
        let recovered = Recovered {
            floor: tip.block.height(),
            tip,
            roster,
            vote,
            ended: false,
        };
        let engine = Engine::new(config, recovered, stage::at(clock));
        let node = Self {
            seat,
            engine,
            disk,
            starts,
            submitted: 0,
            reads: 0,
            clock,
            unflushed: cached
                .into_iter()
                .map(|record| (LogSeq(0), record))
                .collect(),
            durable: LogSeq(0),
            waiting: Vec::new(),
            chain,
        };
        let mut step = Step::of(node);
        step.carry_out(stage);
        step
    }

    /// What the node is after an event, and what it did. The event must be possible.
    pub(crate) fn step(&self, stage: &Stage, event: &Event) -> Step {
        if let Event::Crash(kept) = event {
            return self.crash(stage, *kept);
        }
        let mut step = Step::of(self.clone());
        match event {
            Event::Deliver(from, message) => {
                let from = stage::id_of(*from);
                let message = self.on_this_path(stage, message.clone());
                step.proven = proven_by(&message);
                step.input(stage, Input::Receive { from, message });
            }
            Event::Flush(count) => step.flush(stage, *count),
            Event::Wake => return self.wake(stage),
            Event::Submit => {
                step.node.submitted += 1;
                let command = stage.command(self.seat, step.node.submitted);
                let valid_until = Timestamp(u64::MAX);
                step.input(
                    stage,
                    Input::Submit {
                        command,
                        valid_until,
                    },
                );
            }
            Event::Read => {
                step.node.reads += 1;
                step.input(stage, Input::Read(ReadId(step.node.reads.into())));
            }
            Event::Crash(_) => unreachable!("handled above"),
        }
        step.finish(stage);
        step
    }

    fn crash(&self, stage: &Stage, kept: usize) -> Step {
        let records = self.unflushed.iter().take(kept);
        let cached = records.map(|(_, record)| record.clone()).collect();
        let disk = (self.disk.clone(), cached);
        let mut step = Self::start(stage, self.seat, disk, self.starts + 1);
        step.node.submitted = self.submitted;
        step.node.reads = self.reads;
        step.finish(stage);
        step
    }

    /// Lets time pass until something comes of it. If nothing does, no time has passed.
    fn wake(&self, stage: &Stage) -> Step {
        let before = self.fingerprint();
        let mut step = Step::of(self.clone());
        let latest = self.clock.plus(WAKE_MAX);
        for _ in 0..HOPS_MAX {
            let Some(due) = step.node.engine.next_wake().filter(|due| *due <= latest) else {
                break;
            };
            step.node.clock = step.node.clock.max(due);
            step.hear_everybody(stage);
            step.input(stage, Input::Wake);
            if step.checked.is_err() || step.node.fingerprint() != before {
                step.finish(stage);
                return step;
            }
        }
        Step::of(self.clone())
    }

    /// How many records are written and not flushed.
    pub(crate) fn unflushed(&self) -> usize {
        self.unflushed.len()
    }

    /// Whether it has decided everything that is looked at, and nothing is to be read from it.
    pub(crate) fn is_done(&self, stage: &Stage) -> bool {
        self.engine.tip() >= stage.last() && !stage.case.has_reads()
    }

    /// The question of a start-up check, if the node is at that.
    pub(crate) fn question(&self) -> Option<Message> {
        (self.engine.phase() == Phase::Checking).then_some(Message::WhatWasI {
            boot: self.engine.identity().boot,
            nonce: Nonce([self.starts; 16]),
        })
    }

    /// What tells this node from others, but for time.
    pub(crate) fn fingerprint(&self) -> u128 {
        let mut hasher = Fingerprinter::new();
        (self.seat, self.starts).hash(&mut hasher);
        self.disk.hash(&mut hasher);
        (self.submitted, self.reads).hash(&mut hasher);
        self.engine.hash_state(&mut hasher);
        for (_, record) in &self.unflushed {
            hash_record(record, &mut hasher);
        }
        let held = self.waiting.iter().map(|(after, letter)| {
            let ahead = after.0.saturating_sub(self.durable.0);
            (ahead, letter.fingerprint())
        });
        let held: BTreeSet<(u64, u128)> = held.collect();
        held.hash(&mut hasher);
        hasher.digest()
    }
}

impl Step {
    pub(crate) fn of(node: Node) -> Self {
        Self {
            node,
            sent: Vec::new(),
            decided: Vec::new(),
            proven: None,
            answered: Vec::new(),
            checked: Ok(()),
        }
    }

    fn check(&mut self, checked: Checked) {
        if self.checked.is_ok() {
            self.checked = checked;
        }
    }

    fn input(&mut self, stage: &Stage, input: Input) {
        let now = stage::at(self.node.clock);
        self.node.engine.handle(now, input);
        self.carry_out(stage);
    }

    /// Every peer is there, and its answers take no time.
    fn hear_everybody(&mut self, stage: &Stage) {
        let sent = self.node.clock.0;
        for other in stage.others(self.node.seat) {
            let from = stage::id_of(other);
            for message in [Message::Ping { sent }, Message::Pong { sent }] {
                let now = stage::at(self.node.clock);
                self.node.engine.take(now, Input::Receive { from, message });
            }
        }
    }

    fn carry_out(&mut self, stage: &Stage) {
        while let Some(effect) = self.node.engine.poll_effect() {
            match effect {
                Effect::Append { seq, record, .. } => self.append(seq, record),
                Effect::Send { after, to, message } => {
                    let to = stage.seat(to);
                    let from = self.node.seat;
                    self.node.hold(after, Letter { from, to, message });
                }
                Effect::SendDecided { to, from } => self.send_decided(stage.seat(to), from),
                Effect::Decided {
                    block, certificate, ..
                } => {
                    let certificate = Some(certificate);
                    self.decide(Decided { block, certificate });
                }
                Effect::ReadReady { height, .. } => self.answered.push(height),
                Effect::Evidence(evidence) => {
                    let what = format!("a node is accused: {evidence:?}");
                    self.check(Err(Violation::new("check_one_value_per_ballot", what)));
                }
                // Checked where it is decided.
                Effect::Stopped(StopReason::Removed) if stage.case.removal.is_some() => {}
                Effect::Stopped(reason) => {
                    let what = format!("n{} stops: {reason}", self.node.seat + 1);
                    self.check(Err(Violation::new("check_agreement", what)));
                }
                Effect::Voting | Effect::Refused { .. } | Effect::Dropped(_) => {}
            }
        }
        self.release(stage);
    }

    fn append(&mut self, seq: LogSeq, record: Record) {
        if let Record::Vote { vote, .. } = &record
            && let Some((ballot, _)) = &vote.accepted
        {
            let below = self.node.below(vote.height);
            self.check(checks::check_turn(*ballot, below));
        }
        self.node.unflushed.push((seq, record));
    }

    fn send_decided(&mut self, to: usize, first: Height) {
        let first = usize::try_from(first.0).expect("few heights").max(1);
        let chain: Vec<Decided> = self.node.chain.iter().skip(first).cloned().collect();
        for decided in chain {
            let certificate = decided.certificate.clone();
            let message = Message::Decide {
                block: Arc::clone(&decided.block),
                certificate: certificate.expect("genesis alone has none"),
            };
            let from = self.node.seat;
            self.node.hold(LogSeq(1), Letter { from, to, message });
        }
    }

    fn decide(&mut self, decided: Decided) {
        self.node.chain.push(decided.clone());
        let received = self.proven == Some(decided.block.hash());
        let proof = if received {
            Proof::Received
        } else {
            Proof::Counted
        };
        self.decided.push((decided, proof));
    }

    /// So many of the oldest records become durable; the engine is told how far the log is now.
    fn flush(&mut self, stage: &Stage, count: usize) {
        let records: Vec<(LogSeq, Record)> = self.node.unflushed.drain(..count).collect();
        for (seq, record) in records {
            let written = self.node.disk.write(&record);
            self.check(written);
            self.node.durable = self.node.durable.max(seq);
        }
        self.release(stage);
        if self.node.durable > LogSeq(0) {
            self.input(stage, Input::Persisted(self.node.durable));
        }
    }

    /// Lets go what waits for nothing any more.
    fn release(&mut self, stage: &Stage) {
        let durable = self.node.durable;
        let (ready, waiting): (Vec<_>, Vec<_>) = std::mem::take(&mut self.node.waiting)
            .into_iter()
            .partition(|(after, _)| *after <= durable);
        self.node.waiting = waiting;
        let me = self.node.engine.identity();
        let tip = self.node.engine.tip();
        for (_, letter) in ready {
            let rests =
                checks::check_durable_before_sent(&letter.message, &self.node.disk, me, tip);
            self.check(rests);
            self.check_proposal(&letter.message);
            if is_carried(stage, &letter.message) {
                self.sent.push(without_advice(stage, letter));
            }
        }
    }

    fn check_proposal(&mut self, message: &Message) {
        if let Message::Accept(accept) = message {
            let below = self.node.below(accept.block.height());
            let turn = checks::check_turn(accept.ballot, below);
            let own = checks::check_own_ballot(accept.ballot, self.node.engine.identity());
            self.check(turn.and(own));
        }
    }

    /// What holds after every event.
    fn finish(&mut self, stage: &Stage) {
        if stage.case.is_flushed_at_once() {
            while !self.node.unflushed.is_empty() {
                self.flush(stage, self.node.unflushed.len());
            }
        }
        if self.node.engine.phase() == Phase::Voting {
            let memory = self.node.engine.vote();
            let stands = checks::check_promises(&memory, &self.node.disk);
            self.check(stands);
        }
    }
}

impl Node {
    /// Keeps a letter until the log is durable through `after`. The network is a set: the same letter twice is one,
    /// and leaves with the first.
    fn hold(&mut self, after: LogSeq, letter: Letter) {
        let same = letter.fingerprint();
        let twin = self
            .waiting
            .iter()
            .any(|(earlier, held)| *earlier <= after && held.fingerprint() == same);
        if !twin {
            self.waiting.push((after, letter));
        }
    }

    /// The decided block under a height, if it is known here.
    fn below(&self, height: Height) -> Option<&Decided> {
        let place = usize::try_from(height.previous()?.0).expect("few heights");
        self.chain.get(place)
    }
}

impl Node {
    /// A message as this node may get it. Certificates are one letter whoever signed them, so the one at hand may hold a
    /// vote that this node gave on another path and not on this one. Then it was the others who signed here.
    fn on_this_path(&self, stage: &Stage, mut message: Message) -> Message {
        let certificate = match &mut message {
            Message::Decide { certificate, .. } => Some(certificate),
            Message::Accept(accept) => accept.parent.as_mut(),
            _ => None,
        };
        if let Some(certificate) = certificate {
            let voted = (certificate.height, certificate.ballot, certificate.hash);
            if !self.disk.accepts.contains(&voted) {
                *certificate = stage.without_vote_of(self.seat, certificate);
            }
        }
        message
    }
}

/// The block that a message proves decided.
fn proven_by(message: &Message) -> Option<BlockHash> {
    match message {
        Message::Decide { block, .. } => Some(block.hash()),
        Message::Accept(accept) => accept.parent.as_ref().map(|parent| parent.hash),
        _ => None,
    }
}

/// The height a message is about, if it is about one.
fn height_of(message: &Message) -> Option<Height> {
    match message {
        Message::Prepare { height, .. }
        | Message::Promise { height, .. }
        | Message::Nack { height, .. }
        | Message::FetchAccepted { height, .. }
        | Message::Accepted { height, .. } => Some(*height),
        Message::Accept(accept) => Some(accept.block.height()),
        Message::Decide { block, .. } | Message::Body { block } => Some(block.height()),
        Message::Fetch { from } => Some(*from),
        _ => None,
    }
}

/// A letter less the advice that the case leaves out, and less what a start-up check is told: it says only something
/// about disks that were rolled back, and no disk here is.
fn without_advice(stage: &Stage, mut letter: Letter) -> Letter {
    match &mut letter.message {
        Message::Accept(accept) if !stage.case.workers => accept.workers = 0,
        Message::YouWere { seen, .. } => *seen = None,
        _ => {}
    }
    letter
}

/// Whether a message goes into the network. Beacons, pings and pushes are advice and are lost, start-up checks have an
/// action of their own, and what is above the last height is not looked at.
fn is_carried(stage: &Stage, message: &Message) -> bool {
    match message {
        Message::Beacon(_) | Message::Ping { .. } | Message::Pong { .. } => false,
        Message::Push { .. } | Message::WhatWasI { .. } => false,
        Message::Nack { .. } if !stage.case.nacks => false,
        other => height_of(other).is_none_or(|height| height <= stage.last()),
    }
}
