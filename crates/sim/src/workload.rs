//! Clients: what they ask, how long they wait, and what they make of the answers.
//!
//! An operation goes to one node at a time. A client that hears nothing tries again elsewhere if that is safe: reads
//! always, writes only under a request key. A write without key whose node fell silent stays *unknown* for ever.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use consensus::ReadId;
use model::{
    Command, Digest, Height, LeafHash, LibraryId, Payload, Position, RequestKey, SealedCommand,
    TokenId,
};
use replica::{AppliedBlock, CoreState, Disposition};

use crate::plan::WorkloadPlan;
use crate::rng::Rng;
use crate::seat::Seat;

/// A client with more open operations than this waits, as it would if nodes told it that they are busy.
const OPEN_MAX: usize = 100;

/// An operation of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct OpId(pub u64);

/// What an operation asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ask {
    Write {
        body: Vec<u8>,
        key: Option<RequestKey>,
    },
    Read,
}

/// How far an operation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// The client waits, or is about to try again.
    Waiting,
    /// It was answered: the height of the write or of the read.
    Answered(Height),
    /// The client has given up on a write that may or may not have been decided.
    Unknown,
}

#[derive(Clone)]
pub(crate) struct Op {
    pub(crate) ask: Ask,
    pub(crate) state: State,
    /// Counts the tries, so that a late time-out is told from a timely one.
    pub(crate) attempt: u32,
    /// The present try has reached a node.
    pub(crate) placed: bool,
    /// What a read of the present try must see.
    pub(crate) floor: Height,
}

impl fmt::Debug for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.ask {
            Ask::Read => "read",
            Ask::Write { key: Some(_), .. } => "write under a key",
            Ask::Write { key: None, .. } => "write",
        };
        let placed = if self.placed {
            "at a node"
        } else {
            "on its way"
        };
        write!(
            f,
            "{kind}, {:?}, try {}, {placed}",
            self.state,
            self.attempt + 1
        )
    }
}

/// What to do with an operation that has reached a node.
#[derive(Debug)]
pub(crate) enum Placed {
    Submit(SealedCommand),
    Read(ReadId),
    /// The node remembers the request and answers at once.
    Remembered(Digest, Position),
}

/// What a decided block says to a waiting client.
#[derive(Debug)]
pub(crate) struct Verdict {
    pub(crate) op: OpId,
    pub(crate) request: Digest,
    pub(crate) fate: Fate,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It stands there.
    Stands(Position),
    /// It was decided too late to count.
    Expired,
    /// Somebody else used its key, which nobody does.
    Stolen(Position),
}

/// All clients and their operations.
#[derive(Debug)]
pub(crate) struct Workload {
    plan: WorkloadPlan,
    rng: Rng,
    ops: BTreeMap<OpId, Op>,
    waiting: BTreeSet<OpId>,
    commands: BTreeMap<(Seat, LeafHash), (OpId, Digest)>,
    reads: BTreeMap<ReadId, (Seat, OpId, u32)>,
    next_read: u64,
    actors: Vec<TokenId>,
}

impl Workload {
    pub(crate) fn new(plan: WorkloadPlan, mut rng: Rng) -> Self {
        let actors = (0..3).map(|_| TokenId(rng.bytes())).collect();
        Self {
            plan,
            rng,
            ops: BTreeMap::new(),
            waiting: BTreeSet::new(),
            commands: BTreeMap::new(),
            reads: BTreeMap::new(),
            next_read: 0,
            actors,
        }
    }

    /// How many clients there are.
    pub(crate) fn clients(&self) -> usize {
        self.plan.clients
    }

    /// A client's next burst of new operations.
    pub(crate) fn burst(&mut self) -> Vec<OpId> {
        let open = self.waiting.len().max(self.commands.len());
        if open >= self.plan.clients * OPEN_MAX {
            return Vec::new();
        }
        let count = 1 + self.rng.below(self.plan.burst);
        (0..count).map(|_| self.new_op()).collect()
    }

    /// How long a client rests after a burst.
    pub(crate) fn pause(&mut self) -> Duration {
        let pause = self.rng.duration(self.plan.pause.clone());
        if self.rng.chance(self.plan.rest) {
            pause
                + self
                    .rng
                    .duration(Duration::from_secs(1)..Duration::from_secs(6))
        } else {
            pause
        }
    }

    /// How long a client waits for one node.
    pub(crate) fn patience(&mut self) -> Duration {
        self.rng.duration(self.plan.patience.clone())
    }

    fn new_op(&mut self) -> OpId {
        if self.rng.chance(self.plan.reads) {
            return self.add(Ask::Read);
        }
        let keyed = self.rng.chance(self.plan.keyed);
        self.new_write(keyed.then_some(()))
    }

    /// A write of a body that no other write has, with a request key if asked for.
    pub(crate) fn new_write(&mut self, key: Option<()>) -> OpId {
        let id = self.ops.len() as u64;
        let length = self.rng.range(self.plan.body.clone());
        let mut body = id.to_be_bytes().to_vec();
        body.resize(usize::try_from(length).unwrap_or(0).max(8), 0x2a);
        let key = key.map(|()| RequestKey {
            key: format!("key-{id}"),
            request: Digest::of(&[&body]),
        });
        self.add(Ask::Write { body, key })
    }

    /// A linearizable read.
    pub(crate) fn new_read(&mut self) -> OpId {
        self.add(Ask::Read)
    }

    fn add(&mut self, ask: Ask) -> OpId {
        let id = OpId(self.ops.len() as u64);
        self.waiting.insert(id);
        self.ops.insert(
            id,
            Op {
                ask,
                state: State::Waiting,
                attempt: 0,
                placed: false,
                floor: Height::GENESIS,
            },
        );
        id
    }

    /// An operation.
    pub(crate) fn op(&self, id: OpId) -> &Op {
        self.ops.get(&id).expect("operations are never removed")
    }

    fn op_mut(&mut self, id: OpId) -> &mut Op {
        self.ops.get_mut(&id).expect("operations are never removed")
    }

    /// How many operations there were.
    pub(crate) fn count(&self) -> u64 {
        self.ops.len() as u64
    }

    /// The operations whose clients still wait.
    pub(crate) fn waiting(&self) -> &BTreeSet<OpId> {
        &self.waiting
    }

    /// The commands that a living node has taken and not yet seen decided.
    pub(crate) fn pending(&self) -> impl Iterator<Item = (Seat, LeafHash)> + '_ {
        self.commands.keys().copied()
    }

    /// An operation has reached a node; `floor` is what a client may know by now.
    pub(crate) fn place(
        &mut self,
        id: OpId,
        seat: Seat,
        core: &CoreState,
        floor: Height,
    ) -> Placed {
        let op = self.op_mut(id);
        op.placed = true;
        op.floor = floor;
        let attempt = op.attempt;
        let Ask::Write { body, key } = op.ask.clone() else {
            self.next_read += 1;
            let read = ReadId(self.next_read);
            self.reads.insert(read, (seat, id, attempt));
            return Placed::Read(read);
        };
        let actor = self.actor(id);
        let command = Command {
            library: LibraryId::home(),
            actor,
            valid_until: core.valid_until(key.is_some()),
            key,
            payload: Payload::Record(body),
        };
        let sealed = command.seal(self.rng.bytes());
        let request = command.request_id(sealed.leaf());
        if let Some(remembered) = core.lookup(&request) {
            return Placed::Remembered(request, remembered.position);
        }
        self.commands.insert((seat, sealed.leaf()), (id, request));
        Placed::Submit(sealed)
    }

    fn actor(&self, id: OpId) -> TokenId {
        let at = usize::try_from(id.0).unwrap_or(0) % self.actors.len();
        self.actors.get(at).copied().expect("there are actors")
    }

    /// A node reports a decided block: which of its clients learn what.
    pub(crate) fn decided(&mut self, seat: Seat, applied: &AppliedBlock) -> Vec<Verdict> {
        let height = applied.block.height();
        let mut verdicts = Vec::new();
        for ((index, entry), disposition) in (0..)
            .zip(applied.block.entries())
            .zip(&applied.dispositions)
        {
            let Some((op, request)) = self.commands.remove(&(seat, entry.leaf())) else {
                continue;
            };
            if self.op(op).state != State::Waiting {
                continue;
            }
            let fate = match disposition {
                Disposition::Fresh(_) => Fate::Stands(Position { height, index }),
                Disposition::Duplicate(first) => Fate::Stands(*first),
                Disposition::KeyReused(first) => Fate::Stolen(*first),
                _ => Fate::Expired,
            };
            verdicts.push(Verdict { op, request, fate });
        }
        verdicts
    }

    /// A node has given these commands up: which of its clients may try again.
    pub(crate) fn dropped(&mut self, seat: Seat, leaves: &[LeafHash]) -> Vec<OpId> {
        let gone = leaves
            .iter()
            .filter_map(|leaf| self.commands.remove(&(seat, *leaf)));
        gone.map(|(op, _)| op).collect()
    }

    /// A node answers a read: the operation, if that try is still waited for.
    pub(crate) fn read_ready(&mut self, read: ReadId) -> Option<OpId> {
        let (_, id, attempt) = self.reads.remove(&read)?;
        let op = self.op(id);
        (op.state == State::Waiting && op.attempt == attempt).then_some(id)
    }

    /// A node has died: the clients that waited on it.
    pub(crate) fn lost(&mut self, seat: Seat) -> Vec<OpId> {
        let commands = self.commands.iter().filter(|((at, _), _)| *at == seat);
        let reads = self.reads.values().filter(|(at, ..)| *at == seat);
        let mut ops: Vec<OpId> = commands
            .map(|(_, (op, _))| *op)
            .chain(reads.map(|(_, op, _)| *op))
            .collect();
        self.commands.retain(|(at, _), _| *at != seat);
        self.reads.retain(|_, (at, ..)| *at != seat);
        ops.sort_unstable();
        ops.dedup();
        ops
    }

    /// The client has its answer.
    pub(crate) fn answered(&mut self, id: OpId, height: Height) {
        self.waiting.remove(&id);
        self.op_mut(id).state = State::Answered(height);
    }

    /// The client hears nothing, or that it should try again: whether it does. `certain`: the try has left no trace.
    pub(crate) fn retry(&mut self, id: OpId, certain: Certainty) -> bool {
        let op = self.op_mut(id);
        if op.state != State::Waiting {
            return false;
        }
        let repeatable = match &op.ask {
            Ask::Read => true,
            Ask::Write { key, .. } => {
                key.is_some() || certain == Certainty::NotDecided || !op.placed
            }
        };
        if repeatable {
            op.attempt += 1;
            op.placed = false;
        } else {
            op.state = State::Unknown;
            self.waiting.remove(&id);
        }
        repeatable
    }
}

/// What a client knows of a try that it gives up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Certainty {
    /// Nothing: it may be decided, now or later.
    MayBeDecided,
    /// It is certainly not decided and will not be.
    NotDecided,
}
