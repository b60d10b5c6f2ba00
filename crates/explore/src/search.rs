//! Breadth-first search over all states of a case.
//!
//! Nodes meet only through letters, so a step of one node depends on that node alone. Each distinct node is kept once
//! and has a number; so has each distinct network; a state of the cluster is a few numbers. What an event makes of a
//! node is computed once, by the real engine, and looked up ever after.
//!
//! Two nodes are one if their fingerprints agree (`consensus::fingerprint`): the first one met stands for all.

use std::collections::BTreeSet;

use consensus::{Message, Phase};
use model::{BlockHash, Certificate, Decided, Height, Membership};

use crate::cases::{Case, Move};
use crate::checks::{self, Checked, Violation};
use crate::disk::Disk;
use crate::fingerprint::Fingerprinter;
use crate::network::{LetterId, NetworkId, Post};
use crate::node::{Event, Letter, Node, Proof, Step};
use crate::stage::Stage;
use crate::table::{Memo, Seen, Table, number};

/// The largest cluster.
const NODES_MAX: usize = 5;
/// The highest height looked at.
const HEIGHTS_MAX: usize = 3;
/// No read is under way.
const NO_READ: u8 = u8::MAX;

type NodeNumber = u32;
type OutcomeNumber = u32;

/// The whole cluster, in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct State {
    nodes: [NodeNumber; NODES_MAX],
    network: NetworkId,
    /// What was ever decided at each height, by the number of the block; 0 for nothing.
    decided: [u16; HEIGHTS_MAX],
    /// The height decided when each node's read began.
    floors: [u8; NODES_MAX],
}

/// What may happen next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Action {
    /// A letter arrives.
    Deliver(LetterId),
    /// So many of a node's oldest records become durable.
    Flush(u8, u8),
    /// A timer of a node fires.
    Wake(u8),
    /// A client brings a command.
    Submit(u8),
    /// A client wants to read.
    Read(u8),
    /// A node dies and starts again with so many of its unflushed records.
    Crash(u8, u8),
    /// A node gets every accepted of its next height that was sent to it, and decides by them.
    Learn(u8),
    /// A starting node asks another what it was, and hears the answer.
    Check(u8, u8),
}

/// What an event makes of one node.
pub(crate) struct Outcome {
    node: NodeNumber,
    /// Letters for the network.
    sent: Vec<LetterId>,
    /// Answers to start-up checks, which go straight to who asked.
    replies: Vec<LetterId>,
    decided: Vec<(Decided, Proof)>,
    answered: Vec<Height>,
    checked: Checked,
    /// Whether disks or proposals have changed.
    weighty: bool,
}

/// What a search has met, so that one in which nothing happens is not taken for one in which nothing goes wrong.
#[derive(Debug, Clone, Default)]
pub struct Met {
    /// Ballots that decided a block: distinct numbers k.
    pub ballots: BTreeSet<u64>,
    /// Distinct blocks decided, in different behaviours, at any height.
    pub blocks: usize,
    /// Steps in which a read was answered.
    pub reads: usize,
    /// Steps in which a node that had crashed passed its check.
    pub comebacks: usize,
    /// Distinct nodes, that is engine with disk.
    pub nodes: usize,
    /// Distinct networks.
    pub networks: usize,
}

/// A search under way.
pub(crate) struct Search {
    pub(crate) stage: Stage,
    pub(crate) post: Post,
    nodes: Table<Node>,
    /// Nodes that differ in time alone are one; not when a trace is run again.
    merge: bool,
    outcomes: Table<Outcome>,
    by_event: Memo,
    blocks: Table<BlockHash>,
    pub(crate) states: Vec<(State, u32, Action)>,
    seen: Seen,
    pub(crate) met: Met,
}

/// A state after an action, or what the action broke.
pub(crate) type Next = Result<State, Violation>;

impl Search {
    /// A search that has met nothing yet.
    pub(crate) fn new(case: Case, merge: bool) -> Self {
        assert!(
            case.nodes <= NODES_MAX && case.heights < HEIGHTS_MAX as u64,
            "the case is larger than a state can say"
        );
        Self {
            stage: Stage::new(case),
            post: Post::new(),
            nodes: Table::new(),
            merge,
            outcomes: Table::new(),
            by_event: Memo::default(),
            blocks: Table::new(),
            states: Vec::new(),
            seen: Seen::default(),
            met: Met::default(),
        }
    }

    pub(crate) fn node(&self, state: &State, seat: usize) -> &Node {
        self.nodes.get(*seated(&state.nodes, seat))
    }

    pub(crate) fn network_of(&self, state: &State) -> NetworkId {
        state.network
    }

    fn seats(&self) -> std::ops::Range<usize> {
        0..self.stage.case.nodes
    }

    /// Every node started, its check passed, and the beginning of the case played; with the actions that were played.
    pub(crate) fn begin(&mut self) -> Result<(State, Vec<Action>), Violation> {
        let mut state = State {
            nodes: [0; NODES_MAX],
            network: 0,
            decided: [0; HEIGHTS_MAX],
            floors: [NO_READ; NODES_MAX],
        };
        for seat in self.seats() {
            let first = Node::first(&self.stage, seat);
            let flushed = first.node.step(&self.stage, &Event::Flush(1));
            let node = self.intern(flushed.node);
            *seat_of(&mut state.nodes, seat) = node;
        }
        for seat in self.seats() {
            for other in self.stage.others(seat) {
                state = self.check_start(state, seat, other)?;
            }
        }
        for seat in self.seats() {
            let phase = self.node(&state, seat).engine.phase();
            assert!(phase == Phase::Voting, "all checks are passed: {phase:?}");
        }
        let mut played = Vec::new();
        for scripted in self.stage.case.beginning {
            for action in self.actions_of(&state, *scripted) {
                state = self.apply(&state, action)?;
                played.push(action);
            }
        }
        Ok((state, played))
    }

    fn actions_of(&self, state: &State, scripted: Move) -> Vec<Action> {
        let seat = |seat: usize| u8::try_from(seat).expect("few nodes");
        match scripted {
            Move::Submit(at) => vec![Action::Submit(seat(at))],
            Move::Wake(at) => vec![Action::Wake(seat(at))],
            Move::Learn(at) => vec![Action::Learn(seat(at))],
            Move::Flush(at) => {
                let count = self.node(state, at).unflushed();
                vec![Action::Flush(seat(at), seat(count))]
            }
            Move::Restart(at) => {
                let mut moves = vec![Action::Crash(seat(at), 0), Action::Flush(seat(at), 1)];
                let others = self.stage.others(at);
                moves.extend(others.map(|other| Action::Check(seat(at), seat(other))));
                moves
            }
            Move::Deliver(from, to, kind) => {
                let letters = self.post.letters(state.network).iter();
                let meant = letters.filter(|id| {
                    let letter = self.post.letter(**id);
                    (letter.from, letter.to) == (from, to) && kind_of(&letter.message) == kind
                });
                meant.map(|id| Action::Deliver(*id)).collect()
            }
        }
    }

    /// Everything that may happen in a state.
    pub(crate) fn actions(&self, state: &State, out: &mut Vec<Action>) {
        out.clear();
        let case = &self.stage.case;
        for id in self.post.letters(state.network) {
            let letter = self.post.letter(*id);
            let (to, counted) = (
                letter.to,
                matches!(letter.message, Message::Accepted { .. }),
            );
            if !counted && !self.node(state, to).is_done(&self.stage) {
                out.push(Action::Deliver(*id));
            }
        }
        let starts: u8 = self.seats().map(|at| self.node(state, at).starts - 1).sum();
        for at in self.seats() {
            let node = self.node(state, at);
            let seat = u8::try_from(at).expect("few nodes");
            let unflushed = u8::try_from(node.unflushed()).unwrap_or(u8::MAX);
            out.extend((1..=unflushed).map(|count| Action::Flush(seat, count)));
            if starts < case.crashes {
                out.extend((0..=unflushed).map(|kept| Action::Crash(seat, kept)));
            }
            if node.engine.tip() < self.stage.last() {
                out.extend([Action::Wake(seat), Action::Learn(seat)]);
            }
            let voting = node.engine.phase() == Phase::Voting;
            if voting && node.submitted < *seated(case.commands, at) {
                out.push(Action::Submit(seat));
            }
            if voting && node.reads < *seated(case.reads, at) {
                out.push(Action::Read(seat));
            }
            if node.question().is_some() {
                for other in self.stage.others(at) {
                    let other = u8::try_from(other).expect("few nodes");
                    out.push(Action::Check(seat, other));
                }
            }
        }
    }

    /// The state after an action, with everything checked.
    pub(crate) fn apply(&mut self, state: &State, action: Action) -> Next {
        match action {
            Action::Deliver(id) => {
                let letter = self.post.letter(id);
                let (from, to) = (letter.from, letter.to);
                let code = u64::from(id) << 8;
                let make =
                    |search: &Self| Event::Deliver(from, search.post.letter(id).message.clone());
                self.happen(state, to, code, make)
            }
            Action::Flush(seat, count) => {
                let code = 1 | u64::from(count) << 8;
                self.happen(state, seat.into(), code, |_| Event::Flush(count.into()))
            }
            Action::Wake(seat) => self.happen(state, seat.into(), 2, |_| Event::Wake),
            Action::Submit(seat) => self.happen(state, seat.into(), 3, |_| Event::Submit),
            Action::Read(seat) => self.read(state, seat.into()),
            Action::Crash(seat, kept) => {
                let code = 5 | u64::from(kept) << 8;
                let mut next =
                    self.happen(state, seat.into(), code, |_| Event::Crash(kept.into()))?;
                *seat_of(&mut next.floors, seat.into()) = NO_READ;
                Ok(next)
            }
            Action::Learn(seat) => self.learn(state, seat.into()),
            Action::Check(seat, other) => self.check_start(*state, seat.into(), other.into()),
        }
    }

    /// A read begins: it must see everything decided so far.
    fn read(&mut self, state: &State, seat: usize) -> Next {
        let mut begun = *state;
        let decided = state.decided.iter().rposition(|block| *block != 0);
        let floor = decided.map_or(0, |place| place + 1);
        *seat_of(&mut begun.floors, seat) = u8::try_from(floor).expect("few heights");
        self.happen(&begun, seat, 4, |_| Event::Read)
    }

    /// A node decides by counting, if it can. It may have got some of the accepteds long before: they change nothing
    /// but the count, and more of them never make a decision impossible.
    fn learn(&mut self, state: &State, seat: usize) -> Next {
        let height = self.node(state, seat).engine.tip().next();
        let letters = self.post.letters(state.network).iter().copied();
        let counted = letters.filter(|id| {
            let Letter { to, message, .. } = self.post.letter(*id);
            *to == seat && matches!(message, Message::Accepted { height: at, .. } if *at == height)
        });
        let mut next = *state;
        for id in counted.collect::<Vec<_>>() {
            next = self.apply(&next, Action::Deliver(id))?;
            if self.node(&next, seat).engine.tip() >= height {
                return Ok(next);
            }
        }
        Ok(*state)
    }

    /// One question and its answer, which may be the last that is needed.
    fn check_start(&mut self, state: State, seat: usize, other: usize) -> Next {
        let Some(question) = self.node(&state, seat).question() else {
            return Ok(state);
        };
        let asked = self.post.post(Letter {
            from: seat,
            to: other,
            message: question,
        });
        let mut next = self.apply(&state, Action::Deliver(asked))?;
        let code = u64::from(asked) << 8;
        let answerer = *seated(&state.nodes, other);
        let outcome = self.by_event.get(answerer, code);
        let outcome = outcome.expect("the question was just delivered");
        for reply in self.outcomes.get(outcome).replies.clone() {
            next = self.apply(&next, Action::Deliver(reply))?;
        }
        next = self.apply(&next, Action::Wake(u8::try_from(seat).expect("few nodes")))?;
        let passed = self.node(&next, seat).engine.phase() == Phase::Voting;
        if passed && self.node(&next, seat).starts > 1 {
            self.met.comebacks += 1;
        }
        Ok(next)
    }

    /// Something happens to one node.
    fn happen(
        &mut self,
        state: &State,
        seat: usize,
        code: u64,
        event: impl Fn(&Self) -> Event,
    ) -> Next {
        let number = *seated(&state.nodes, seat);
        let outcome = match self.by_event.get(number, code) {
            Some(known) => known,
            None => {
                let event = event(self);
                let step = self.nodes.get(number).step(&self.stage, &event);
                let outcome = self.note(number, step);
                self.by_event.note(number, code, outcome);
                outcome
            }
        };
        self.after(state, seat, outcome)
    }

    /// Numbers what came of a step.
    fn note(&mut self, before: NodeNumber, step: Step) -> OutcomeNumber {
        let is_reply = |letter: &Letter| matches!(letter.message, Message::YouWere { .. });
        let (replies, sent): (Vec<_>, Vec<_>) = step.sent.into_iter().partition(is_reply);
        let proposes = |letter: &Letter| matches!(letter.message, Message::Accept(_));
        let proposed = sent.iter().any(proposes);
        let old = Fingerprinter::of(&self.nodes.get(before).disk);
        let weighty = proposed || old != Fingerprinter::of(&step.node.disk);
        let sent = sent
            .into_iter()
            .map(|letter| self.post.post(letter))
            .collect();
        let replies = replies
            .into_iter()
            .map(|letter| self.post.post(letter))
            .collect();
        let outcome = Outcome {
            node: self.intern(step.node),
            sent,
            replies,
            decided: step.decided,
            answered: step.answered,
            checked: step.checked,
            weighty,
        };
        // An outcome is found by what led to it, never by what it is.
        let unique = self.outcomes.len() as u128;
        self.outcomes.add(unique, outcome)
    }

    fn intern(&mut self, node: Node) -> NodeNumber {
        let fingerprint = node.fingerprint();
        let known = self.nodes.find(fingerprint).filter(|_| self.merge);
        known.unwrap_or_else(|| self.nodes.add(fingerprint, node))
    }

    /// Puts a node's outcome into the state of the cluster and checks what concerns more than one node.
    fn after(&mut self, state: &State, seat: usize, outcome: OutcomeNumber) -> Next {
        let mut next = *state;
        let Outcome {
            node,
            sent,
            decided,
            answered,
            checked,
            weighty,
            ..
        } = self.outcomes.get(outcome);
        checked.clone()?;
        *seat_of(&mut next.nodes, seat) = *node;
        next.network = self.post.with(state.network, outcome.into(), sent);
        self.post.facts(next.network).1.clone()?;
        for height in answered {
            let floor = std::mem::replace(seat_of(&mut next.floors, seat), NO_READ);
            if floor != NO_READ {
                self.met.reads += 1;
                checks::check_read(*height, Height(floor.into()))?;
            }
        }
        let weighty = *weighty;
        for (decided, proof) in decided.clone() {
            self.decide(&mut next, &decided, proof)?;
        }
        if weighty {
            let proposals = &self.post.facts(next.network).0.proposals;
            let quorum = quorum(self.stage.case.nodes);
            checks::check_chosen_is_stable(quorum, &self.disks(&next), proposals)?;
        }
        Ok(next)
    }

    fn disks(&self, state: &State) -> Vec<&Disk> {
        self.seats().map(|at| &self.node(state, at).disk).collect()
    }

    fn decide(&mut self, state: &mut State, decided: &Decided, proof: Proof) -> Checked {
        let height = decided.block.height();
        if height > self.stage.last() {
            return Ok(());
        }
        let block = self.number_of(decided.block.hash());
        let certificate = decided.certificate.as_ref().expect("not genesis");
        self.met.blocks = self.blocks.len();
        self.met.ballots.insert(certificate.ballot.k);
        if proof == Proof::Counted {
            let voters = self.stage.voters(decided.block.header());
            self.check_certificate(state, certificate, &voters)?;
        }
        let place = usize::try_from(height.0).expect("few heights") - 1;
        let first = std::mem::replace(seat_of(&mut state.decided, place), block);
        if first == 0 {
            return Ok(());
        }
        checks::check_agreement(height, first.into(), block.into())
    }

    /// Blocks count from 1.
    fn number_of(&mut self, block: BlockHash) -> u16 {
        let fingerprint = Fingerprinter::of(&block);
        let known = self.blocks.find(fingerprint);
        let number = known.unwrap_or_else(|| self.blocks.add(fingerprint, block));
        u16::try_from(number + 1).expect("few blocks")
    }

    fn check_certificate(
        &self,
        state: &State,
        certificate: &Certificate,
        voters: &Membership,
    ) -> Checked {
        let accepts_of = |node| &self.node(state, self.stage.seat(node)).disk.accepts;
        let quorum = quorum(voters.len());
        checks::check_certificates(certificate, voters, quorum, accepts_of)
    }

    /// Whether a state is to be searched on: within the bounds of the case, and no node has decided the last height.
    ///
    /// Such a node has nothing to say any more but what it decided. For all others it is as if it had fallen silent
    /// the moment before, and that is among the behaviours of the state before. What it decided is checked already.
    fn is_within(&self, state: &State) -> bool {
        let done = |seat| self.node(state, seat).is_done(&self.stage);
        if self.seats().any(done) {
            return false;
        }
        let takeovers = self.post.facts(state.network).0.takeovers.len();
        takeovers <= self.stage.case.takeovers
    }

    /// Searches, breadth first, until everything is tried, something breaks, or `states_max` states are known.
    pub(crate) fn run(&mut self, start: State, states_max: usize) -> Ended {
        self.meet(start, 0, Action::Wake(0));
        let mut depth = 0;
        let mut at = 0;
        let mut level_ends = self.states.len();
        let mut actions = Vec::new();
        while let Some((state, ..)) = self.states.get(at).copied() {
            if at == level_ends {
                depth += 1;
                level_ends = self.states.len();
            }
            if self.states.len() >= states_max {
                return Ended::Bound { depth };
            }
            self.actions(&state, &mut actions);
            for action in &actions {
                match self.apply(&state, *action) {
                    Ok(next) if next != state && self.is_within(&next) => {
                        self.meet(next, number(at), *action);
                    }
                    Ok(_) => {}
                    Err(violation) => {
                        let mut trace = self.trace_to(at);
                        trace.push(*action);
                        return Ended::Broken { violation, trace };
                    }
                }
            }
            at += 1;
        }
        Ended::Exhausted { depth }
    }

    fn meet(&mut self, state: State, parent: u32, action: Action) {
        if self.seen.is_new(Fingerprinter::of(&state)) {
            self.states.push((state, parent, action));
        }
    }

    fn trace_to(&self, mut at: usize) -> Vec<Action> {
        let mut trace = Vec::new();
        while let Some((_, parent, action)) = self.states.get(at).filter(|_| at != 0) {
            trace.push(*action);
            at = *parent as usize;
        }
        trace.reverse();
        trace
    }

    /// What was met, for the report.
    pub(crate) fn met(&self) -> Met {
        Met {
            nodes: self.nodes.len(),
            networks: self.post.networks(),
            ..self.met.clone()
        }
    }
}

/// How a search ended.
pub(crate) enum Ended {
    /// Everything was tried.
    Exhausted { depth: usize },
    /// There is more than was tried: whole levels up to `depth`, the next in part.
    Bound { depth: usize },
    /// An invariant is broken after these actions.
    Broken {
        violation: Violation,
        trace: Vec<Action>,
    },
}

/// What belongs to a seat, or to a height.
fn seated<T>(all: &[T], seat: usize) -> &T {
    all.get(seat).expect("a case is no larger than a state")
}

fn seat_of<T>(all: &mut [T], seat: usize) -> &mut T {
    all.get_mut(seat).expect("a case is no larger than a state")
}

/// More than half of the voters: written here once more, so that the checks do not lean on what they check.
fn quorum(nodes: usize) -> usize {
    nodes / 2 + 1
}

/// The name of a kind of message.
pub(crate) fn kind_of(message: &Message) -> &'static str {
    match message {
        Message::Prepare { .. } => "Prepare",
        Message::Promise { .. } => "Promise",
        Message::Nack { .. } => "Nack",
        Message::Accept(_) => "Accept",
        Message::Accepted { .. } => "Accepted",
        Message::Decide { .. } => "Decide",
        Message::Fetch { .. } => "Fetch",
        Message::FetchAccepted { .. } => "FetchAccepted",
        Message::Body { .. } => "Body",
        Message::AskTop { .. } => "AskTop",
        Message::Top { .. } => "Top",
        Message::Finish { .. } => "Finish",
        Message::WhatWasI { .. } => "WhatWasI",
        Message::YouWere { .. } => "YouWere",
        Message::Push { .. } => "Push",
        Message::Beacon(_) => "Beacon",
        Message::Ping { .. } => "Ping",
        Message::Pong { .. } => "Pong",
    }
}
