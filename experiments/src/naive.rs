//! The naive scheme: push a block, accept the first one seen, win at a majority of accepts, lose and retry.
//!
//! Every node with something to write pushes its block for the height to all. A node votes for the first block it sees
//! there, flushes the vote and tells all. Whoever sees a majority of votes for one block holds it for decided. Who has
//! lost tries again at the next height.
//!
//! What a node may do with its vote when no block wins is the whole question. If votes are **final** it may do nothing,
//! and a height at which the votes are split stays open for ever. If they are **revocable** a node whose vote has been
//! of no use for a while may give it to the next block pushed, and a block that somebody has
//! already counted a majority for may lose it.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use model::Instant;

use crate::network::Place;
use crate::record::{Name, Verdict};
use crate::scheme::{Block, Effect, Hands, Scheme, Value, WriteId};
use crate::trace::Trace;

/// What a node may do with a vote once given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Votes {
    /// Nothing.
    Final,
    /// Give it to another block after a while.
    Revocable,
}

/// What naive nodes say.
#[derive(Debug, Clone)]
pub enum Message {
    /// Vote for this block.
    Push(u64, Value),
    /// I vote for this one; the number tells a node's later votes from its earlier ones.
    Vote(u64, u64, Value),
    /// No: I have voted already.
    Reject(u64),
    /// What was decided there?
    Ask(u64),
    /// This one is decided.
    Decided(u64, Value),
}

type Out<'a> = Hands<'a, Message, Message>;

/// In the number of a wake-up: propose, and do nothing else.
const SOON: u64 = 1;

#[derive(Debug)]
struct Given {
    value: Value,
    at: Instant,
}

/// A node.
#[derive(Debug)]
pub struct Naive {
    me: usize,
    nodes: usize,
    votes: Votes,
    patience: Duration,
    height: u64,
    given: Option<Given>,
    /// How often it has voted in its life.
    count: u64,
    heard: BTreeMap<usize, (u64, Value)>,
    own: Option<Value>,
    blocks: u64,
    pending: Vec<WriteId>,
    chain: Vec<Value>,
    /// What is said about heights that this node has not reached.
    early: BTreeMap<u64, Vec<(usize, Message)>>,
}

impl Naive {
    /// [`Naive::cluster`] is given this much elsewhere than where patience itself is varied.
    pub const PATIENCE_ROUNDS: u32 = 5;

    /// All nodes of a cluster. A revocable vote binds for `patience` times the cost of an undisturbed ballot.
    pub fn cluster(place: Place, nodes: usize, votes: Votes, patience: u32) -> Vec<Self> {
        let patience = place.round(nodes) * patience;
        let node = |me| Self {
            me,
            nodes,
            votes,
            patience,
            height: 1,
            given: None,
            count: 0,
            heard: BTreeMap::new(),
            own: None,
            blocks: 0,
            pending: Vec::new(),
            chain: Vec::new(),
            early: BTreeMap::new(),
        };
        (0..nodes).map(node).collect()
    }

    /// The block this node votes for at its height.
    pub fn vote(&self) -> Option<Name> {
        self.given.as_ref().map(|given| given.value.name)
    }

    /// How many heights it has decided.
    pub fn decided(&self) -> usize {
        self.chain.len()
    }

    fn all(&self) -> Vec<usize> {
        (0..self.nodes).collect()
    }

    fn others(&self) -> Vec<usize> {
        (0..self.nodes).filter(|node| *node != self.me).collect()
    }

    /// Pushes a block of everything pending, if there is any and none is pushed yet.
    fn propose(&mut self, out: &mut Out<'_>) {
        if self.own.is_some() || self.pending.is_empty() {
            return;
        }
        self.blocks += 1;
        let value = Rc::new(Block {
            name: Name((self.me as u64) << 48 | self.blocks),
            writes: self.pending.clone(),
        });
        self.own = Some(Rc::clone(&value));
        let push = Message::Push(self.height, Rc::clone(&value));
        out.effects.push(Effect::Trip(self.height));
        out.effects.push(Effect::Send(self.others(), push));
        self.consider(&value, out);
    }

    /// Votes for a block if the vote is free. Whether it has this node's vote now.
    fn consider(&mut self, value: &Value, out: &mut Out<'_>) -> bool {
        if let Some(given) = &self.given {
            let stale = out.now.since(given.at) >= self.patience;
            if given.value == *value || self.votes == Votes::Final || !stale {
                return given.value == *value;
            }
        }
        self.count += 1;
        self.given = Some(Given {
            value: Rc::clone(value),
            at: out.now,
        });
        let vote = Message::Vote(self.height, self.count, Rc::clone(value));
        out.effects.push(Effect::Flush(vote));
        true
    }

    fn heard_vote(&mut self, from: usize, number: u64, value: Value, out: &mut Out<'_>) {
        let known = self.heard.get(&from).map_or(0, |(known, _)| *known);
        if number > known {
            self.heard.insert(from, (number, Rc::clone(&value)));
        }
        let votes = self.heard.values().filter(|(_, other)| *other == value);
        if votes.count() > self.nodes / 2 {
            self.decide(value, out);
        }
    }

    fn decide(&mut self, value: Value, out: &mut Out<'_>) {
        let verdict = Verdict {
            height: self.height,
            block: value.name,
            winner: None,
            first: false,
        };
        self.pending.retain(|write| !value.writes.contains(write));
        self.chain.push(Rc::clone(&value));
        self.height += 1;
        self.given = None;
        self.heard.clear();
        self.own = None;
        out.effects.push(Effect::Decided(verdict, value));
        self.arm(out);
        for (from, message) in self.early.remove(&self.height).unwrap_or_default() {
            self.receive(from, message, out);
        }
        let ahead = self
            .early
            .last_key_value()
            .and_then(|(_, said)| said.first());
        if let Some((from, message)) = ahead {
            let (from, height) = (*from, message.height());
            self.ask(from, height, out);
        }
        self.propose_soon(out);
    }

    /// Asks a node that is two heights ahead what was decided here.
    fn ask(&self, from: usize, height: u64, out: &mut Out<'_>) {
        if height > self.height + 1 {
            out.effects
                .push(Effect::Send(vec![from], Message::Ask(self.height)));
        }
    }

    /// Proposes once everything that happens at this instant has happened, so that the block holds all of it.
    fn propose_soon(&self, out: &mut Out<'_>) {
        out.effects
            .push(Effect::Wake(Duration::ZERO, self.height << 1 | SOON));
    }

    /// Looks again after a while whether the height is still open.
    fn arm(&mut self, out: &mut Out<'_>) {
        if self.votes == Votes::Revocable {
            let wait = out.rng.duration(self.patience..self.patience * 2);
            out.effects.push(Effect::Wake(wait, self.height << 1));
        }
    }

    fn behind(&self, from: usize, height: u64, out: &mut Out<'_>) {
        let place = usize::try_from(height - 1).unwrap_or(usize::MAX);
        if let Some(value) = self.chain.get(place) {
            let reply = Message::Decided(height, Rc::clone(value));
            out.effects.push(Effect::Send(vec![from], reply));
        }
    }
}

impl Message {
    fn height(&self) -> u64 {
        match self {
            Self::Push(height, _)
            | Self::Vote(height, ..)
            | Self::Reject(height)
            | Self::Ask(height)
            | Self::Decided(height, _) => *height,
        }
    }
}

impl Scheme for Naive {
    type Message = Message;
    /// The vote to send once it is flushed.
    type Note = Message;

    fn submit(&mut self, write: WriteId, out: &mut Out<'_>) {
        if self.chain.is_empty() && self.pending.is_empty() {
            self.arm(out);
        }
        self.pending.push(write);
        self.propose_soon(out);
    }

    fn receive(&mut self, from: usize, message: Message, out: &mut Out<'_>) {
        let height = message.height();
        if height > self.height {
            if !self.early.contains_key(&height) {
                self.ask(from, height, out);
            }
            self.early.entry(height).or_default().push((from, message));
            return;
        }
        if height < self.height {
            if matches!(message, Message::Push(..) | Message::Ask(_)) {
                self.behind(from, height, out);
            }
            return;
        }
        match message {
            Message::Push(_, value) => {
                if !self.consider(&value, out) {
                    out.effects
                        .push(Effect::Send(vec![from], Message::Reject(height)));
                }
            }
            Message::Vote(_, number, value) => self.heard_vote(from, number, value, out),
            Message::Decided(_, value) => self.decide(value, out),
            Message::Reject(_) | Message::Ask(_) => {}
        }
    }

    fn flushed(&mut self, vote: Message, out: &mut Out<'_>) {
        if vote.height() == self.height {
            out.effects.push(Effect::Send(self.all(), vote));
        }
    }

    /// Still open: pushes again, takes the own vote back for the own block, and repeats what may have been lost.
    fn wake(&mut self, number: u64, out: &mut Out<'_>) {
        let height = number >> 1;
        if height != self.height {
            return;
        }
        self.propose(out);
        if number & SOON == SOON {
            return;
        }
        if let Some(own) = self.own.clone() {
            let push = Message::Push(height, Rc::clone(&own));
            out.effects.push(Effect::Trip(height));
            out.effects.push(Effect::Send(self.others(), push));
            self.consider(&own, out);
        }
        if let Some(given) = &self.given {
            let vote = Message::Vote(height, self.count, Rc::clone(&given.value));
            out.effects.push(Effect::Flush(vote));
        }
        self.arm(out);
    }

    fn kind(message: &Message) -> &'static str {
        match message {
            Message::Push(..) => "push",
            Message::Vote(..) => "vote",
            Message::Reject(_) => "reject",
            Message::Ask(_) => "ask",
            Message::Decided(..) => "decided",
        }
    }

    fn words(message: &Message, trace: &mut Trace) -> String {
        match message {
            Message::Push(_, value) => format!("here is block {}", trace.letter(value.name)),
            Message::Vote(_, _, value) => format!("I accept {}", trace.letter(value.name)),
            Message::Ask(_) => "what was decided here?".to_owned(),
            Message::Reject(_) => "no, I have accepted another".to_owned(),
            Message::Decided(_, value) => format!("{} is decided", trace.letter(value.name)),
        }
    }
}
