//! Starling's own replicas, the very code that nodes run, on the links, disks and clients of the other schemes.
//!
//! Messages travel in their encoding and are decoded where they arrive. Disks flush one batch at a time and never fail;
//! processes never die. That is the simulator's business, which checks far more and is slower for it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use consensus::Message;
use ledger::{Completion, Disk, GenesisFile, Storage, Write};
use model::{
    Ballot, Block, Command, Decode as _, Encode as _, Instant, LeafHash, LibraryId, LogSeq, Member,
    Membership, NodeId, Nonce, Now, Payload, Signatures, TokenId,
};
use replica::{AppliedBlock, Care, Config, Input, Output, Replica};
use sim::{EPOCH, Rng, Scheme};

use crate::clients::Clients;
use crate::network::{Links, Place, Trouble};
use crate::record::{Name, Record, Verdict};
use crate::timeline::Timeline;
use crate::trace::{Trace, node_name};

/// Records that nobody waits for are flushed after this time at the latest.
const LAZY_WAIT: Duration = Duration::from_millis(20);
/// So long a cluster is left alone after its start, to measure its links and disks.
const SETTLE: Duration = Duration::from_secs(5);
/// The length of every written record.
const RECORD_BYTES: usize = 64;

/// Files in memory, and writes not flushed yet.
#[derive(Debug, Default)]
struct Files {
    files: BTreeMap<String, Vec<u8>>,
    queue: VecDeque<Write>,
    /// What the running flush covers.
    flight: Option<LogSeq>,
    lazy_due: bool,
}

type Shared = Arc<Mutex<Files>>;

fn lock(files: &Shared) -> MutexGuard<'_, Files> {
    files.lock().expect("one thread owns the cluster")
}

struct Memory(Shared);

fn missing(file: &str) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("there is no file {file}"))
}

impl Storage for Memory {
    fn files(&self) -> io::Result<Vec<String>> {
        Ok(lock(&self.0).files.keys().cloned().collect())
    }

    fn len(&self, file: &str) -> io::Result<u64> {
        let files = lock(&self.0);
        let found = files.files.get(file).ok_or_else(|| missing(file))?;
        Ok(found.len() as u64)
    }

    fn read(&self, file: &str, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let files = lock(&self.0);
        let found = files.files.get(file).ok_or_else(|| missing(file))?;
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        let bytes = found.get(from..).and_then(|rest| rest.get(..length));
        bytes
            .map(<[u8]>::to_vec)
            .ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}

impl Disk for Memory {
    fn storage(&self) -> Arc<dyn Storage> {
        Arc::new(Self(Arc::clone(&self.0)))
    }

    fn cut(&mut self, file: &str, length: u64) -> io::Result<()> {
        let mut files = lock(&self.0);
        let found = files.files.get_mut(file).ok_or_else(|| missing(file))?;
        found.truncate(usize::try_from(length).unwrap_or(usize::MAX));
        Ok(())
    }

    fn submit(&mut self, write: Write) {
        lock(&self.0).queue.push_back(write);
    }
}

impl Files {
    /// Writes everything queued; the flush of that has begun.
    fn begin(&mut self) {
        while let Some(write) = self.queue.pop_front() {
            let file = self.files.entry(write.file).or_default();
            let from = usize::try_from(write.offset).expect("files fit into memory");
            file.resize(file.len().max(from + write.bytes.len()), 0);
            let place = file.get_mut(from..from + write.bytes.len());
            place
                .expect("just made long enough")
                .copy_from_slice(&write.bytes);
            self.flight = Some(write.seq);
        }
    }
}

enum Event {
    Arrive(usize, usize, Arc<[u8]>),
    Submit(usize),
    Wake(usize),
    Flushed(usize),
    Lazy(usize),
}

struct Seat {
    id: NodeId,
    replica: Replica<Memory>,
    files: Shared,
    wake_at: Option<Instant>,
    voting: bool,
}

/// A cluster of Starling's replicas.
pub struct Cluster {
    place: Place,
    seats: Vec<Seat>,
    membership: Membership,
    timeline: Timeline<Event>,
    links: Links,
    rng: Rng,
    clients: Clients<LeafHash>,
    saturated: bool,
    /// The round trips begun; messages are repeated, round trips are not.
    trips: BTreeSet<Trip>,
    /// Bytes of the last certificate seen.
    certificate: usize,
    /// What was seen.
    pub record: Record,
    /// For reading.
    pub trace: Trace,
}

impl Cluster {
    /// A cluster whose nodes have started, vote, and know their links. Trouble begins now.
    ///
    /// # Errors
    /// If a replica does not start.
    pub fn new(
        place: Place,
        nodes: usize,
        scheme: Scheme,
        trouble: Trouble,
        seed: u64,
    ) -> Result<Self, replica::OpenError> {
        let mut rng = Rng::new(seed);
        let identities = sim::draw_identities(scheme, nodes, &mut rng);
        let voters = identities
            .iter()
            .enumerate()
            .map(|(place, (id, _))| Member {
                id: *id,
                name: node_name(place),
            });
        let membership = Membership::new(voters.collect()).expect("identities are distinct");
        let genesis = GenesisFile::new(&sim::draw_genesis(&membership, &mut rng));
        let seats = identities
            .into_iter()
            .map(|(id, signatures)| seat(id, signatures, &genesis, &mut rng));
        let mut cluster = Self {
            place,
            seats: seats.collect::<Result<_, _>>()?,
            membership,
            timeline: Timeline::default(),
            links: Links::new(place, nodes, trouble, &mut rng),
            rng,
            clients: Clients::default(),
            saturated: false,
            trips: BTreeSet::new(),
            certificate: 0,
            record: Record::default(),
            trace: Trace::default(),
        };
        (0..nodes).for_each(|at| cluster.act(at, Vec::new()));
        cluster.run_for(SETTLE);
        let voting = cluster.seats.iter().all(|seat| seat.voting);
        assert!(voting, "a cluster without faults votes soon");
        cluster.links.begin(cluster.now());
        Ok(cluster)
    }

    /// The simulated time.
    pub fn now(&self) -> Instant {
        self.timeline.now()
    }

    /// How long the last certificate seen is, in bytes.
    pub fn certificate_bytes(&self) -> usize {
        self.certificate
    }

    /// A client writes at a node in a while.
    pub fn write(&mut self, wait: Duration, node: usize) {
        self.timeline.after(wait, Event::Submit(node));
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

    fn seat(&mut self, at: usize) -> &mut Seat {
        self.seats.get_mut(at).expect("a seat for each node")
    }

    fn place_of(&self, id: NodeId) -> usize {
        self.membership
            .index_of(id)
            .expect("members talk to members")
    }

    fn reading(&self) -> Now {
        let instant = self.timeline.now();
        Now {
            instant,
            wall: EPOCH.plus(instant.since(Instant::default())),
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Arrive(from, to, bytes) => {
                let message = Message::from_bytes(&bytes).expect("links do no damage");
                let from = self.seat(from).id;
                self.act(to, vec![Input::Receive { from, message }]);
            }
            Event::Submit(node) => {
                let write = self.new_write(node);
                self.act(node, vec![write]);
            }
            Event::Wake(node) => self.wake(node),
            Event::Flushed(node) => {
                let flushed = lock(&self.seat(node).files).flight.take();
                let durable = flushed.map(|seq| Input::Disk(Completion::Durable(seq)));
                self.act(node, durable.into_iter().collect());
            }
            Event::Lazy(node) => {
                lock(&self.seat(node).files).lazy_due = false;
                self.flush(node);
            }
        }
    }

    /// A timer is due, unless it was moved meanwhile.
    fn wake(&mut self, node: usize) {
        let now = self.now();
        let seat = self.seat(node);
        if seat.wake_at.is_none_or(|at| at > now) {
            return;
        }
        seat.wake_at = None;
        if seat.replica.next_wake().is_some_and(|due| due <= now) {
            self.act(node, vec![Input::Wake]);
        } else {
            self.arm(node);
        }
    }

    fn new_write(&mut self, node: usize) -> Input {
        let now = self.now();
        let mut body = self.rng.bytes::<16>().to_vec();
        body.resize(RECORD_BYTES, 0x2a);
        let salt = self.rng.bytes();
        let command = Command {
            library: LibraryId::home(),
            actor: TokenId([0; 8]),
            key: None,
            valid_until: self.seat(node).replica.core().valid_until(false),
            payload: Payload::Record(body),
        };
        let sealed = command.seal(salt);
        self.clients.submit(sealed.leaf(), node, now);
        Input::Submit(sealed)
    }

    /// Hands a node what is at hand for it and does what it says, until it says nothing more.
    fn act(&mut self, at: usize, inputs: Vec<Input>) {
        let now = self.reading();
        let mut inputs = inputs;
        loop {
            let replica = &mut self.seat(at).replica;
            inputs
                .into_iter()
                .for_each(|input| replica.take(now, input));
            replica.settle();
            let outputs: Vec<Output> = std::iter::from_fn(|| replica.poll_output()).collect();
            let answered = self.carry_out(at, outputs);
            if answered == 0 || !self.saturated {
                break;
            }
            inputs = (0..answered).map(|_| self.new_write(at)).collect();
        }
        self.poke_disk(at);
        self.arm(at);
    }

    /// How many clients were answered.
    fn carry_out(&mut self, at: usize, outputs: Vec<Output>) -> usize {
        let mut answered = 0;
        let mut sends: Vec<(Vec<(usize, bool)>, Message)> = Vec::new();
        for output in outputs {
            match output {
                Output::Send { to, message } => {
                    let arrives = self.send(at, to, &message);
                    match sends.last_mut() {
                        Some((receivers, last)) if *last == message => receivers.push(arrives),
                        _ => sends.push((vec![arrives], message)),
                    }
                }
                Output::Decided(applied) => answered += self.decided(at, &applied),
                Output::Voting => self.seat(at).voting = true,
                Output::Dropped(_) | Output::ReadReady { .. } | Output::Refused { .. } => {}
                Output::Stopped(reason) => panic!("a healthy node stops: {reason}"),
                Output::Evidence { .. } => panic!("an honest node is accused"),
            }
        }
        self.show(at, &sends);
        answered
    }

    fn send(&mut self, from: usize, to: NodeId, message: &Message) -> (usize, bool) {
        let to = self.place_of(to);
        let bytes: Arc<[u8]> = message.to_bytes().into();
        self.record.sent(kind(message), bytes.len());
        if let Some(trip) = trip(message)
            && trip.1.node == self.seat(from).id
            && self.trips.insert(trip)
        {
            self.record.trip(from, trip.0);
        }
        let arrival = self.links.send(self.timeline.now(), from, to);
        if let Some(at) = arrival {
            self.timeline.at(at, Event::Arrive(from, to, bytes));
        }
        (to, arrival.is_some())
    }

    fn decided(&mut self, at: usize, applied: &AppliedBlock) -> usize {
        let now = self.now();
        let block = &applied.block;
        if let Some(certificate) = &applied.certificate {
            self.certificate = certificate.to_bytes().len();
            let verdict = Verdict {
                height: block.height().0,
                block: name(block),
                winner: Some(self.place_of(certificate.ballot.node)),
                first: certificate.ballot.k == 1,
            };
            self.record.decided(now, verdict);
        }
        if self.trace.wanted() {
            let letter = self.trace.letter(name(block));
            let text = format!(
                "{} decides block {letter} at height {}",
                node_name(at),
                block.height()
            );
            self.trace.line(now, &text);
        }
        let leaves = block.entries().iter().map(model::Entry::leaf);
        let latencies: Vec<Duration> = leaves
            .filter_map(|leaf| self.clients.answered(&leaf, at, now))
            .collect();
        latencies
            .iter()
            .for_each(|latency| self.record.answered(*latency));
        latencies.len()
    }

    fn show(&mut self, at: usize, sends: &[(Vec<(usize, bool)>, Message)]) {
        let now = self.now();
        for (receivers, message) in sends {
            if let Some(words) = self.words(message) {
                self.trace.sent(now, at, receivers, &words);
            }
        }
    }

    /// A message in words, if a reader wants to know of it.
    fn words(&mut self, message: &Message) -> Option<String> {
        if !self.trace.wanted() {
            return None;
        }
        let show = |ballot: &Ballot| {
            let owner = self.membership.index_of(ballot.node).unwrap_or_default();
            format!("({}, {})", ballot.k, node_name(owner))
        };
        Some(match message {
            Message::Prepare { ballot, .. } => format!("prepare {}", show(ballot)),
            Message::Promise {
                ballot, accepted, ..
            } => match accepted {
                None => format!("promise {}, nothing accepted", show(ballot)),
                Some((at, block)) => {
                    let text = format!("promise {}, accepted at {}", show(ballot), show(at));
                    format!("{text}: {}", self.trace.letter(name(block)))
                }
            },
            Message::Nack { ballot, .. } => format!("no to {}", show(ballot)),
            Message::Accept(accept) => {
                let ballot = show(&accept.ballot);
                format!(
                    "accept {} at {ballot}",
                    self.trace.letter(name(&accept.block))
                )
            }
            Message::Accepted { ballot, hash, .. } => {
                let ballot = show(ballot);
                format!(
                    "accepted {} at {ballot}",
                    self.trace.letter(name_of(&hash.0))
                )
            }
            Message::Decide { block, .. } => {
                format!("{} is decided", self.trace.letter(name(block)))
            }
            Message::Push { commands } => format!("{} command to propose", commands.len()),
            _ => return None,
        })
    }

    fn poke_disk(&mut self, at: usize) {
        let mut files = lock(&self.seat(at).files);
        if files.flight.is_some() || files.queue.is_empty() {
            return;
        }
        if files.queue.iter().any(|write| !write.lazy) {
            drop(files);
            self.flush(at);
        } else if !files.lazy_due {
            files.lazy_due = true;
            drop(files);
            self.timeline.after(LAZY_WAIT, Event::Lazy(at));
        }
    }

    fn flush(&mut self, at: usize) {
        let mut files = lock(&self.seat(at).files);
        if files.flight.is_none() && !files.queue.is_empty() {
            files.begin();
            drop(files);
            let takes = self.place.draw_flush(&mut self.rng);
            self.timeline.after(takes, Event::Flushed(at));
        }
    }

    fn arm(&mut self, at: usize) {
        let seat = self.seat(at);
        if let Some(due) = seat.replica.next_wake()
            && seat.wake_at.is_none_or(|armed| due < armed)
        {
            seat.wake_at = Some(due);
            self.timeline.at(due, Event::Wake(at));
        }
    }
}

fn name(block: &Block) -> Name {
    name_of(&block.hash().0)
}

fn name_of(hash: &[u8; 32]) -> Name {
    let head = hash.first_chunk().expect("a hash is longer");
    Name(u64::from_be_bytes(*head))
}

/// A height, a ballot, and whether it is its phase 2.
type Trip = (u64, Ballot, bool);

/// The round trip that a message begins.
fn trip(message: &Message) -> Option<Trip> {
    match message {
        Message::Prepare { height, ballot } => Some((height.0, *ballot, false)),
        Message::Accept(accept) => Some((accept.block.height().0, accept.ballot, true)),
        _ => None,
    }
}

fn kind(message: &Message) -> &'static str {
    match message {
        Message::Prepare { .. } => "prepare",
        Message::Promise { .. } => "promise",
        Message::Nack { .. } => "nack",
        Message::Accept(_) => "accept",
        Message::Accepted { .. } => "accepted",
        Message::Decide { .. } => "decide",
        Message::Push { .. } => "push",
        Message::Beacon(_) => "beacon",
        Message::Ping { .. } => "ping",
        Message::Pong { .. } => "pong",
        _ => "other",
    }
}

fn seat(
    id: NodeId,
    signatures: Arc<dyn Signatures>,
    genesis: &GenesisFile,
    rng: &mut Rng,
) -> Result<Seat, replica::OpenError> {
    let files = Shared::default();
    lock(&files)
        .files
        .insert(genesis.name.clone(), genesis.bytes.clone());
    let config = Config {
        me: id,
        signatures,
        nonce: Nonce(rng.bytes()),
        seed: rng.bits(),
        contacts: Vec::new(),
        care: Care::default(),
    };
    let now = Now {
        instant: Instant::default(),
        wall: EPOCH,
    };
    Ok(Seat {
        id,
        replica: Replica::open(Memory(Arc::clone(&files)), config, now)?,
        files,
        wake_at: None,
        voting: false,
    })
}
