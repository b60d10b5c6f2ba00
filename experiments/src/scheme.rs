//! Drives the schemes that Starling is compared with: small protocols over the same links, disks and clients.
//!
//! A disk flushes one batch at a time; what is handed to it meanwhile waits for the next flush, as on a real node.
//! Nothing takes processor time.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use model::Instant;
use sim::Rng;

use crate::clients::Clients;
use crate::network::{Links, Place, Trouble};
use crate::record::{Name, Record, Verdict};
use crate::timeline::Timeline;
use crate::trace::{Trace, node_name};

/// A client's write.
pub type WriteId = u64;

/// A proposed block.
#[derive(Debug, PartialEq, Eq)]
pub struct Block {
    /// Tells it from all others.
    pub name: Name,
    /// What is in it.
    pub writes: Vec<WriteId>,
}

/// A block that many hold.
pub type Value = Rc<Block>;

/// What a node of a scheme wants done.
#[derive(Debug)]
pub enum Effect<M, N> {
    /// Send this to each of these; a node may be among its own receivers and then hears at once.
    Send(Vec<usize>, M),
    /// Flush, and then hand this back.
    Flush(N),
    /// Wake up after a while, with this number.
    Wake(Duration, u64),
    /// A round trip begins at a height.
    Trip(u64),
    /// A height is decided.
    Decided(Verdict, Value),
}

/// What a node sees of the world while it acts.
pub struct Hands<'a, M, N> {
    /// The time.
    pub now: Instant,
    /// Chance.
    pub rng: &'a mut Rng,
    /// What it wants done.
    pub effects: Vec<Effect<M, N>>,
}

/// A node of a scheme.
pub trait Scheme {
    /// What nodes say to each other.
    type Message: Clone;
    /// What is to be done after a flush.
    type Note;

    /// A client brings a write.
    fn submit(&mut self, write: WriteId, hands: &mut Hands<'_, Self::Message, Self::Note>);
    /// A peer, or the node itself, said something.
    fn receive(
        &mut self,
        from: usize,
        message: Self::Message,
        hands: &mut Hands<'_, Self::Message, Self::Note>,
    );
    /// A flush has returned.
    fn flushed(&mut self, note: Self::Note, hands: &mut Hands<'_, Self::Message, Self::Note>);
    /// A wake-up is due.
    fn wake(&mut self, number: u64, hands: &mut Hands<'_, Self::Message, Self::Note>);
    /// What a kind of message is called.
    fn kind(message: &Self::Message) -> &'static str;
    /// A message in words.
    fn words(message: &Self::Message, trace: &mut Trace) -> String;
}

enum Event<S: Scheme> {
    Arrive(usize, usize, S::Message),
    Submit(usize, WriteId),
    Wake(usize, u64),
    Flushed(usize),
}

struct Seat<S: Scheme> {
    node: S,
    /// What the running flush covers; empty: none runs.
    flight: Vec<S::Note>,
    queue: Vec<S::Note>,
}

/// A cluster of a scheme's nodes.
pub struct Cluster<S: Scheme> {
    place: Place,
    seats: Vec<Seat<S>>,
    /// Nodes that hear and say nothing.
    down: Vec<usize>,
    timeline: Timeline<Event<S>>,
    links: Links,
    rng: Rng,
    clients: Clients<WriteId>,
    saturated: bool,
    next_write: WriteId,
    written: BTreeMap<WriteId, usize>,
    /// What was seen.
    pub record: Record,
    /// For reading.
    pub trace: Trace,
}

impl<S: Scheme> Cluster<S> {
    /// A cluster of these nodes. Trouble begins at once.
    pub fn new(place: Place, nodes: Vec<S>, trouble: Trouble, seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let mut links = Links::new(place, nodes.len(), trouble, &mut rng);
        links.begin(Instant::default());
        let seats = nodes.into_iter().map(|node| Seat {
            node,
            flight: Vec::new(),
            queue: Vec::new(),
        });
        Self {
            place,
            seats: seats.collect(),
            down: Vec::new(),
            timeline: Timeline::default(),
            links,
            rng,
            clients: Clients::default(),
            saturated: false,
            next_write: 0,
            written: BTreeMap::new(),
            record: Record::default(),
            trace: Trace::default(),
        }
    }

    /// A node neither hears nor says anything from here on.
    pub fn take_down(&mut self, node: usize) {
        self.down.push(node);
    }

    /// The simulated time.
    pub fn now(&self) -> Instant {
        self.timeline.now()
    }

    /// A client writes at a node in a while.
    pub fn write(&mut self, wait: Duration, node: usize) {
        let write = self.next_write;
        self.next_write += 1;
        self.written.insert(write, node);
        self.timeline.after(wait, Event::Submit(node, write));
    }

    /// So many clients at every node write for ever, beginning within a round trip.
    pub fn saturate(&mut self, clients: usize) {
        self.saturated = true;
        let spread = self.place.round(self.seats.len());
        for node in (0..self.seats.len()).flat_map(|node| vec![node; clients]) {
            let wait = self.rng.duration(Duration::ZERO..spread);
            self.write(wait, node);
        }
    }

    /// Lets time pass.
    pub fn run_for(&mut self, length: Duration) {
        let deadline = self.timeline.now().plus(length);
        while let Some(event) = self.timeline.next(deadline) {
            self.happen(event);
        }
    }

    /// Lets everything happen that still will.
    pub fn run_out(&mut self) {
        while let Some(event) = self.timeline.pop() {
            self.happen(event);
        }
    }

    /// A node.
    pub fn node(&self, node: usize) -> &S {
        &self.seats.get(node).expect("a seat for each node").node
    }

    fn seat(&mut self, node: usize) -> &mut Seat<S> {
        self.seats.get_mut(node).expect("a seat for each node")
    }

    fn happen(&mut self, event: Event<S>) {
        match event {
            Event::Arrive(from, to, message) => {
                self.act(to, |node, hands| node.receive(from, message, hands));
            }
            Event::Submit(node, write) => {
                self.clients.submit(write, node, self.timeline.now());
                self.act(node, |node, hands| node.submit(write, hands));
            }
            Event::Wake(node, number) => self.act(node, |node, hands| node.wake(number, hands)),
            Event::Flushed(node) => {
                let notes = std::mem::take(&mut self.seat(node).flight);
                for note in notes {
                    self.act(node, |node, hands| node.flushed(note, hands));
                }
                self.flush(node);
            }
        }
    }

    fn act(&mut self, at: usize, act: impl FnOnce(&mut S, &mut Hands<'_, S::Message, S::Note>)) {
        if self.down.contains(&at) {
            return;
        }
        let seat = self.seats.get_mut(at).expect("a seat for each node");
        let mut hands = Hands {
            now: self.timeline.now(),
            rng: &mut self.rng,
            effects: Vec::new(),
        };
        act(&mut seat.node, &mut hands);
        for effect in hands.effects {
            self.carry_out(at, effect);
        }
        self.flush(at);
    }

    fn carry_out(&mut self, at: usize, effect: Effect<S::Message, S::Note>) {
        match effect {
            Effect::Send(to, message) => self.send(at, &to, &message),
            Effect::Flush(note) => self.seat(at).queue.push(note),
            Effect::Wake(wait, number) => self.timeline.after(wait, Event::Wake(at, number)),
            Effect::Trip(height) => self.record.trip(at, height),
            Effect::Decided(verdict, value) => self.decided(at, verdict, &value),
        }
    }

    fn send(&mut self, from: usize, receivers: &[usize], message: &S::Message) {
        let now = self.timeline.now();
        let mut shown = Vec::new();
        for to in receivers {
            if *to == from {
                self.timeline
                    .at(now, Event::Arrive(from, from, message.clone()));
                continue;
            }
            self.record.sent(S::kind(message), 0);
            let arrival = self.links.send(now, from, *to);
            shown.push((*to, arrival.is_some() && !self.down.contains(to)));
            if let Some(at) = arrival {
                self.timeline
                    .at(at, Event::Arrive(from, *to, message.clone()));
            }
        }
        if self.trace.wanted() && !shown.is_empty() {
            let words = S::words(message, &mut self.trace);
            self.trace.sent(now, from, &shown, &words);
        }
    }

    fn flush(&mut self, node: usize) {
        let seat = self.seats.get_mut(node).expect("a seat for each node");
        if seat.flight.is_empty() && !seat.queue.is_empty() {
            seat.flight = std::mem::take(&mut seat.queue);
            let takes = self.place.draw_flush(&mut self.rng);
            self.timeline.after(takes, Event::Flushed(node));
        }
    }

    fn decided(&mut self, at: usize, verdict: Verdict, value: &Value) {
        let now = self.timeline.now();
        self.record.decided(now, verdict);
        if self.trace.wanted() {
            let letter = self.trace.letter(verdict.block);
            let text = format!(
                "{} decides block {letter} at height {}",
                node_name(at),
                verdict.height
            );
            self.trace.line(now, &text);
        }
        for write in &value.writes {
            if let Some(latency) = self.clients.answered(write, at, now) {
                self.record.answered(latency);
                if self.saturated {
                    self.write(Duration::ZERO, at);
                }
            }
        }
    }
}
