//! Everybody proposes at once: textbook Paxos at each height, no turn, no courtesy, random back-off.
//!
//! A node with something to write begins a ballot of its own at every height as soon as the height is open: prepare,
//! and with a quorum of promises accept. It proposes its own writes unless the promises report an accepted block. A
//! ballot that can no longer get a quorum is given up; the node waits a random time, the longer the more often it has
//! failed at this height, and begins a higher one.
//!
//! Made as strong as that allows. Accepts are announced to all, so everybody learns a decision one message after the
//! flush. A refused acceptor does not end a ballot as long as the others are a quorum. Which of two nodes has the
//! higher ballot at the same try rotates with the height, so nobody starves.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use crate::network::Place;
use crate::record::{Name, Verdict};
use crate::scheme::{Block, Effect, Hands, Scheme, Value, WriteId};
use crate::trace::{Trace, node_name};

/// A try, the owner's rank at this height, the owner.
pub type Ballot = (u64, usize, usize);

/// The ballot below all others.
const NONE: Ballot = (0, 0, 0);

/// What nodes say, at a height.
#[derive(Debug, Clone)]
pub enum Message {
    /// Will you join this ballot?
    Prepare(u64, Ballot),
    /// Yes, and this is what I have accepted.
    Promise(u64, Ballot, Option<(Ballot, Value)>),
    /// No, I have joined a higher one.
    Nack(u64, Ballot, Ballot),
    /// Accept this block.
    Accept(u64, Ballot, Value),
    /// I have accepted it.
    Accepted(u64, Ballot, Value),
}

type Out<'a> = Hands<'a, Message, (Vec<usize>, Message)>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Preparing,
    Accepting,
}

#[derive(Debug)]
struct Own {
    ballot: Ballot,
    phase: Phase,
    promises: BTreeSet<usize>,
    nacks: BTreeSet<usize>,
    /// The highest accepted block that was reported.
    found: Option<(Ballot, Value)>,
}

/// A node.
#[derive(Debug)]
pub struct Paxos {
    me: usize,
    nodes: usize,
    back_off: Duration,
    height: u64,
    promised: Ballot,
    accepted: Option<(Ballot, Value)>,
    highest: u64,
    own: Option<Own>,
    tries: u32,
    tallies: BTreeMap<Ballot, BTreeSet<usize>>,
    blocks: u64,
    pending: Vec<WriteId>,
    early: Vec<(usize, Message)>,
}

impl Paxos {
    /// [`Paxos::cluster`] is given this much elsewhere than where the wait itself is varied.
    pub const BACK_OFF_ROUNDS: u32 = 8;
    /// The wait doubles at most so often.
    const DOUBLINGS_MAX: u32 = 5;

    /// All nodes of a cluster. The first wait after a failed ballot is up to `rounds` times the cost of an undisturbed
    /// one; it doubles with every further try.
    pub fn cluster(place: Place, nodes: usize, rounds: u32) -> Vec<Self> {
        let back_off = place.round(nodes) * rounds;
        let node = |me| Self {
            me,
            nodes,
            back_off,
            height: 1,
            promised: NONE,
            accepted: None,
            highest: 0,
            own: None,
            tries: 0,
            tallies: BTreeMap::new(),
            blocks: 0,
            pending: Vec::new(),
            early: Vec::new(),
        };
        (0..nodes).map(node).collect()
    }

    fn quorum(&self) -> usize {
        self.nodes / 2 + 1
    }

    fn all(&self) -> Vec<usize> {
        (0..self.nodes).collect()
    }

    fn begin_ballot(&mut self, out: &mut Out<'_>) {
        if self.own.is_some() || self.pending.is_empty() {
            return;
        }
        let rotation = usize::try_from(self.height).unwrap_or(0) % self.nodes;
        let ballot = (self.highest + 1, (self.me + rotation) % self.nodes, self.me);
        self.highest += 1;
        self.own = Some(Own {
            ballot,
            phase: Phase::Preparing,
            promises: BTreeSet::new(),
            nacks: BTreeSet::new(),
            found: None,
        });
        out.effects.push(Effect::Trip(self.height));
        let prepare = Message::Prepare(self.height, ballot);
        out.effects.push(Effect::Send(self.all(), prepare));
    }

    fn prepare(&mut self, from: usize, ballot: Ballot, out: &mut Out<'_>) {
        if ballot <= self.promised {
            return self.refuse(from, ballot, out);
        }
        self.promised = ballot;
        let promise = Message::Promise(self.height, ballot, self.accepted.clone());
        out.effects.push(Effect::Flush((vec![from], promise)));
    }

    fn accept(&mut self, from: usize, ballot: Ballot, value: Value, out: &mut Out<'_>) {
        if ballot < self.promised {
            return self.refuse(from, ballot, out);
        }
        self.promised = ballot;
        self.accepted = Some((ballot, Rc::clone(&value)));
        let accepted = Message::Accepted(self.height, ballot, value);
        out.effects.push(Effect::Flush((self.all(), accepted)));
    }

    fn refuse(&self, from: usize, ballot: Ballot, out: &mut Out<'_>) {
        let nack = Message::Nack(self.height, ballot, self.promised);
        out.effects.push(Effect::Send(vec![from], nack));
    }

    fn promise(
        &mut self,
        from: usize,
        ballot: Ballot,
        accepted: Option<(Ballot, Value)>,
        out: &mut Out<'_>,
    ) {
        let quorum = self.quorum();
        let Some(own) = &mut self.own else { return };
        if own.ballot != ballot || own.phase != Phase::Preparing {
            return;
        }
        own.promises.insert(from);
        let known = own.found.as_ref().map_or(NONE, |(ballot, _)| *ballot);
        if let Some((found, value)) = accepted
            && found > known
        {
            own.found = Some((found, value));
        }
        if own.promises.len() < quorum {
            return;
        }
        own.phase = Phase::Accepting;
        own.nacks.clear();
        let found = own.found.take().map(|(_, value)| value);
        let value = found.unwrap_or_else(|| self.block());
        out.effects.push(Effect::Trip(self.height));
        let accept = Message::Accept(self.height, ballot, value);
        out.effects.push(Effect::Send(self.all(), accept));
    }

    fn block(&mut self) -> Value {
        self.blocks += 1;
        Rc::new(Block {
            name: Name((self.me as u64) << 48 | self.blocks),
            writes: self.pending.clone(),
        })
    }

    fn nack(&mut self, from: usize, ballot: Ballot, promised: Ballot, out: &mut Out<'_>) {
        self.highest = self.highest.max(promised.0);
        let spare = self.nodes - self.quorum();
        let Some(own) = &mut self.own else { return };
        if own.ballot != ballot {
            return;
        }
        own.nacks.insert(from);
        if own.nacks.len() <= spare {
            return;
        }
        self.own = None;
        let most = self.back_off * 2_u32.pow(self.tries.min(Self::DOUBLINGS_MAX));
        self.tries += 1;
        let wait = out.rng.duration(Duration::ZERO..most);
        out.effects.push(Effect::Wake(wait, self.height));
    }

    fn heard_accepted(&mut self, from: usize, ballot: Ballot, value: Value, out: &mut Out<'_>) {
        let voters = self.tallies.entry(ballot).or_default();
        voters.insert(from);
        if voters.len() < self.quorum() {
            return;
        }
        let verdict = Verdict {
            height: self.height,
            block: value.name,
            winner: Some(ballot.2),
            first: ballot.0 == 1,
        };
        self.pending.retain(|write| !value.writes.contains(write));
        self.height += 1;
        self.promised = NONE;
        self.accepted = None;
        self.highest = 0;
        self.own = None;
        self.tries = 0;
        self.tallies.clear();
        out.effects.push(Effect::Decided(verdict, value));
        for (from, message) in std::mem::take(&mut self.early) {
            self.receive(from, message, out);
        }
        // Clients that were answered write again first, so that the next block holds their writes.
        out.effects.push(Effect::Wake(Duration::ZERO, self.height));
    }
}

impl Message {
    fn height(&self) -> u64 {
        match self {
            Self::Prepare(height, _)
            | Self::Promise(height, ..)
            | Self::Nack(height, ..)
            | Self::Accept(height, ..)
            | Self::Accepted(height, ..) => *height,
        }
    }
}

impl Scheme for Paxos {
    type Message = Message;
    /// What to send to whom once it is flushed.
    type Note = (Vec<usize>, Message);

    fn submit(&mut self, write: WriteId, out: &mut Out<'_>) {
        self.pending.push(write);
        if self.tries == 0 {
            self.begin_ballot(out);
        }
    }

    fn receive(&mut self, from: usize, message: Message, out: &mut Out<'_>) {
        if message.height() > self.height {
            self.early.push((from, message));
            return;
        }
        if message.height() < self.height {
            return;
        }
        match message {
            Message::Prepare(_, ballot) => self.prepare(from, ballot, out),
            Message::Promise(_, ballot, accepted) => self.promise(from, ballot, accepted, out),
            Message::Nack(_, ballot, promised) => self.nack(from, ballot, promised, out),
            Message::Accept(_, ballot, value) => self.accept(from, ballot, value, out),
            Message::Accepted(_, ballot, value) => self.heard_accepted(from, ballot, value, out),
        }
    }

    fn flushed(&mut self, (to, message): (Vec<usize>, Message), out: &mut Out<'_>) {
        out.effects.push(Effect::Send(to, message));
    }

    fn wake(&mut self, height: u64, out: &mut Out<'_>) {
        if height == self.height {
            self.begin_ballot(out);
        }
    }

    fn kind(message: &Message) -> &'static str {
        match message {
            Message::Prepare(..) => "prepare",
            Message::Promise(..) => "promise",
            Message::Nack(..) => "nack",
            Message::Accept(..) => "accept",
            Message::Accepted(..) => "accepted",
        }
    }

    fn words(message: &Message, trace: &mut Trace) -> String {
        let show = |ballot: &Ballot| format!("({}, {})", ballot.0, node_name(ballot.2));
        match message {
            Message::Prepare(_, ballot) => format!("prepare {}", show(ballot)),
            Message::Promise(_, ballot, None) => format!("promise {}", show(ballot)),
            Message::Promise(_, ballot, Some((at, value))) => {
                let letter = trace.letter(value.name);
                format!(
                    "promise {}, accepted {letter} at {}",
                    show(ballot),
                    show(at)
                )
            }
            Message::Nack(_, ballot, promised) => {
                format!("no to {}, promised {}", show(ballot), show(promised))
            }
            Message::Accept(_, ballot, value) => {
                format!("accept {} at {}", trace.letter(value.name), show(ballot))
            }
            Message::Accepted(_, ballot, value) => {
                format!("accepted {} at {}", trace.letter(value.name), show(ballot))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Trouble;
    use crate::scheme::Cluster;

    #[test]
    fn everybody_at_once_decides_one_block_a_height() {
        for nodes in [3, 5] {
            let all = Paxos::cluster(Place::Lan, nodes, Paxos::BACK_OFF_ROUNDS);
            let mut cluster = Cluster::new(Place::Lan, all, Trouble::NONE, 1);
            cluster.saturate(2);
            cluster.run_for(Duration::from_secs(1));
            assert!(
                cluster.record.heights() > 20,
                "{}",
                cluster.record.heights()
            );
            assert_eq!(cluster.record.forks(), 0);
        }
    }
}
