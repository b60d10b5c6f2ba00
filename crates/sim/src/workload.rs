//! Clients: what they ask, how long they wait, and what they make of the answers.
//!
//! An operation goes to one node at a time. A client that hears nothing tries again elsewhere if that is safe: reads
//! always, writes only under a request key. A write without key whose node fell silent stays *unknown* for ever.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use consensus::ReadId;
use model::{
    BlobId, Command, Digest, Encode as _, Height, LeafHash, LibraryId, Payload, Position,
    RequestKey, SealedCommand, TokenId, limits,
};
use replica::{AppliedBlock, CoreState, Disposition};

use crate::commands::{self, Files, Kinds};
use crate::plan::WorkloadPlan;
use crate::rng::{Chance, Rng};
use crate::seat::Seat;
use crate::shelf;

/// A client with more open operations than this waits, as it would if nodes told it that they are busy.
const OPEN_MAX: usize = 100;

/// At most so many operations come at once: more than a block holds, fewer than a node may take for being busy with
/// itself.
const BURST_MAX: u64 = 8_000;
/// And at most so many bytes: three times what a node keeps of what others push. A height takes a block and a round trip
/// at least, however the protocol goes about it, so more than this may take longer than a calm lasts.
const BURST_BYTES_MAX: u64 = 48 << 20;

/// An operation of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct OpId(pub u64);

/// What an operation asks for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Ask {
    Write {
        payload: Payload,
        key: Option<RequestKey>,
    },
    Read(Level),
}

/// How new what a read sees must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    /// As new as anything that anybody was told before.
    Linearizable,
    /// From this height or above.
    AtLeast(Height),
    /// Whatever the node has.
    Local,
}

/// How far an operation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// The client waits, or is about to try again.
    Waiting,
    /// It was answered: the height of the write or of the read.
    Answered(Height),
    /// No node will ever take it.
    Refused,
    /// The client has given up on a write that may or may not have been decided.
    Unknown,
}

#[derive(Clone)]
pub(crate) struct Op {
    /// Whose it is.
    client: usize,
    pub(crate) ask: Ask,
    /// The file that a read looks at.
    pub(crate) file: BlobId,
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
            Ask::Read(Level::Linearizable) => "read",
            Ask::Read(Level::AtLeast(_)) => "read at a height",
            Ask::Read(Level::Local) => "local read",
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
    /// The read waits until the node is high enough, which it may be already.
    Wait,
    /// The node remembers the request and answers at once.
    Remembered(Digest, Position),
}

/// Operations that come at the same instant.
#[derive(Debug, Default)]
pub(crate) struct Burst {
    pub(crate) ops: Vec<OpId>,
    /// They are spread over all nodes.
    pub(crate) rush: bool,
    /// They go to the first node if it answers.
    pub(crate) hot: bool,
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

/// What a client has learnt from its answers.
#[derive(Debug, Clone, Default)]
struct Session {
    /// The highest height.
    seen: Height,
    versions: BTreeMap<BlobId, u64>,
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
    /// Reads that wait for a height, by node.
    parked: BTreeSet<(Seat, Height, OpId, u32)>,
    next_read: u64,
    actors: Vec<TokenId>,
    files: Files,
    sessions: Vec<Session>,
    /// Every command that ever was handed to a node.
    asked: BTreeMap<LeafHash, OpId>,
}

impl Workload {
    pub(crate) fn new(plan: WorkloadPlan, mut rng: Rng) -> Self {
        let actors = (0..3).map(|_| TokenId(rng.bytes())).collect();
        let files = Files::draw(&mut rng);
        Self {
            files,
            sessions: vec![Session::default(); plan.clients.max(1)],
            asked: BTreeMap::new(),
            parked: BTreeSet::new(),
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

    /// A client's next burst of new operations: with each the node that the whole of it, or this one, goes to.
    pub(crate) fn burst(&mut self, client: usize, nodes: usize) -> Burst {
        let open = self.waiting.len().max(self.commands.len());
        if open >= self.plan.clients * OPEN_MAX {
            return Burst::default();
        }
        let rush = self.rng.chance(self.plan.rush);
        let hot = self.rng.chance(self.plan.hot);
        let copies = if rush { nodes as u64 } else { 1 };
        let count = 1 + self.rng.below(self.plan.burst);
        let most = (BURST_BYTES_MAX / self.plan.body.end.max(1)).min(BURST_MAX);
        let ops = (0..(count * copies).min(most.max(copies)))
            .map(|_| self.new_op(client))
            .collect();
        Burst { ops, rush, hot }
    }

    /// How long all clients are silent from here on, if they are.
    pub(crate) fn lull(&mut self) -> Option<Duration> {
        let silent = self.rng.chance(self.plan.lull);
        silent.then(|| {
            self.rng
                .duration(Duration::from_secs(1)..Duration::from_secs(8))
        })
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

    fn new_op(&mut self, client: usize) -> OpId {
        if self.rng.chance(self.plan.reads) {
            let level = self.level(client);
            return self.add(client, Ask::Read(level));
        }
        let id = self.ops.len() as u64;
        let payload = if self.rng.chance(self.plan.too_long) {
            commands::too_long(id)
        } else if self.plan.kinds == Kinds::Records || self.rng.below(5) < 2 {
            let length = self.rng.range(self.plan.body.clone());
            commands::record(id, length)
        } else {
            let file = self.files.pick(&mut self.rng);
            let known = self.session(client).versions.get(&file).copied();
            commands::other(id, file, known.unwrap_or_default(), &mut self.rng)
        };
        let keyed = self.rng.chance(self.plan.keyed);
        self.add_write(client, payload, keyed.then_some(()))
    }

    fn level(&mut self, client: usize) -> Level {
        if !self.rng.chance(self.plan.lax) {
            return Level::Linearizable;
        }
        if self.rng.chance(Chance::HALF) {
            return Level::Local;
        }
        Level::AtLeast(self.session(client).seen)
    }

    /// A write of a record that no other write has, under a request key.
    pub(crate) fn new_write(&mut self) -> OpId {
        let id = self.ops.len() as u64;
        let length = self.rng.range(self.plan.body.clone());
        self.add_write(0, commands::record(id, length), Some(()))
    }

    fn add_write(&mut self, client: usize, payload: Payload, key: Option<()>) -> OpId {
        let key = key.map(|()| RequestKey {
            key: format!("key-{}", self.ops.len()),
            request: Digest::of(&[&payload.to_bytes()]),
        });
        self.add(client, Ask::Write { payload, key })
    }

    /// A linearizable read.
    pub(crate) fn new_read(&mut self) -> OpId {
        self.add(0, Ask::Read(Level::Linearizable))
    }

    fn add(&mut self, client: usize, ask: Ask) -> OpId {
        let id = OpId(self.ops.len() as u64);
        let file = match &ask {
            Ask::Write { payload, .. } => shelf::edit(payload).map(|(file, _)| file),
            Ask::Read(_) => None,
        };
        let file = file.unwrap_or_else(|| self.files.pick(&mut self.rng));
        self.waiting.insert(id);
        self.ops.insert(
            id,
            Op {
                client,
                ask,
                file,
                state: State::Waiting,
                attempt: 0,
                placed: false,
                floor: Height::GENESIS,
            },
        );
        id
    }

    fn session(&mut self, client: usize) -> &mut Session {
        self.sessions
            .get_mut(client)
            .expect("a session for each client")
    }

    /// Every command that was ever handed to a node, and the operation it is of.
    pub(crate) fn asked(&self) -> &BTreeMap<LeafHash, OpId> {
        &self.asked
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
        let (payload, key) = match op.ask.clone() {
            Ask::Write { payload, key } => (payload, key),
            Ask::Read(level) => return self.place_read(id, seat, attempt, level),
        };
        let actor = self.actor(id);
        let command = Command {
            library: LibraryId::home(),
            actor,
            valid_until: core.valid_until(key.is_some()),
            key,
            payload,
        };
        let sealed = command.seal(self.rng.bytes());
        let request = command.request_id(sealed.leaf());
        if let Some(remembered) = core.lookup(&request) {
            return Placed::Remembered(request, remembered.position);
        }
        self.commands.insert((seat, sealed.leaf()), (id, request));
        self.asked.insert(sealed.leaf(), id);
        Placed::Submit(sealed)
    }

    fn place_read(&mut self, id: OpId, seat: Seat, attempt: u32, level: Level) -> Placed {
        let height = match level {
            Level::Linearizable => {
                self.next_read += 1;
                let read = ReadId(self.next_read);
                self.reads.insert(read, (seat, id, attempt));
                return Placed::Read(read);
            }
            Level::AtLeast(height) => height,
            Level::Local => Height::GENESIS,
        };
        self.op_mut(id).floor = height;
        self.parked.insert((seat, height, id, attempt));
        Placed::Wait
    }

    /// The parked reads that a node at `tip` can answer.
    pub(crate) fn unpark(&mut self, seat: Seat, tip: Height) -> Vec<OpId> {
        let first = (seat, Height::GENESIS, OpId(0), 0);
        let last = (seat, tip, OpId(u64::MAX), u32::MAX);
        let due: Vec<_> = self.parked.range(first..=last).copied().collect();
        due.into_iter()
            .filter(|parked| {
                self.parked.remove(parked);
                let op = self.op(parked.2);
                op.state == State::Waiting && op.attempt == parked.3
            })
            .map(|(_, _, id, _)| id)
            .collect()
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
            .chain(
                self.parked
                    .iter()
                    .filter(|parked| parked.0 == seat)
                    .map(|parked| parked.2),
            )
            .collect();
        self.parked.retain(|(at, ..)| *at != seat);
        self.commands.retain(|(at, _), _| *at != seat);
        self.reads.retain(|_, (at, ..)| *at != seat);
        ops.sort_unstable();
        ops.dedup();
        ops
    }

    /// The client has its answer, and knows the version of the operation's file if it was told.
    pub(crate) fn answered(&mut self, id: OpId, height: Height, version: Option<u64>) {
        self.waiting.remove(&id);
        let op = self.op_mut(id);
        op.state = State::Answered(height);
        let (client, file) = (op.client, op.file);
        let session = self.session(client);
        session.seen = session.seen.max(height);
        if let Some(version) = version {
            session.versions.insert(file, version);
        }
    }

    /// A node does not take the operation because no node ever will. False if it should have been taken.
    pub(crate) fn refused(&mut self, id: OpId) -> bool {
        let op = self.op_mut(id);
        let Ask::Write { payload, .. } = &op.ask else {
            return false;
        };
        let hopeless = payload.to_bytes().len() >= limits::COMMAND_BYTES_MAX;
        if hopeless {
            op.state = State::Refused;
            self.waiting.remove(&id);
        }
        hopeless
    }

    /// The client hears nothing, or that it should try again: whether it does. `certain`: the try has left no trace.
    pub(crate) fn retry(&mut self, id: OpId, certain: Certainty) -> bool {
        let op = self.op_mut(id);
        if op.state != State::Waiting {
            return false;
        }
        let repeatable = match &op.ask {
            Ask::Read(_) => true,
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
