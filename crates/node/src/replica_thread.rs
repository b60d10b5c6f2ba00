//! The one thread that owns the protocol state, and the handle by which the rest of the node talks to it.
//!
//! Everything that happens comes in through one bounded channel, in one order: messages of peers, commands of
//! clients, completions of the disk. Peers' messages and clients' commands are turned away when the channel is full
//! (a message may be lost, a client hears "busy"); the disk's completions wait, because they empty it.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, RwLock};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use consensus::{DiskRoom, Message, Phase, ReadId, StopReason};
use ledger::{Completion, Reader};
use model::{
    Command, Digest, Height, Instant, LeafHash, LibraryId, NodeId, Now, Payload, Position,
    RequestKey, Roster, SealedCommand, Timestamp, TokenId,
};
use replica::{AppliedBlock, Disposition, Input, Output, Replica, Status};
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, debug_span, error, info, warn};

use crate::accusations::Accusations;
use crate::disk::FileDisk;
use crate::metrics::{ReplicaMetrics, seconds};
use crate::peer::Peers;

/// What may wait for the replica thread.
const CHANNEL_LENGTH: usize = 16_384;
/// How many events are taken before their outputs are carried out.
const EVENTS_PER_STEP: usize = 256;
/// How often the published status is renewed when nothing is decided.
const STATUS_EVERY: Duration = Duration::from_millis(50);
/// Refused messages are logged at most this often.
const REFUSALS_LOGGED_EVERY: Duration = Duration::from_secs(60);

/// What happens to a replica.
enum Event {
    Peer {
        from: NodeId,
        message: Message,
    },
    Submit {
        command: SealedCommand,
        lookup: Lookup,
        reply: oneshot::Sender<Reply>,
    },
    Read {
        reply: oneshot::Sender<Height>,
    },
    Disk(Completion),
    Yield,
    /// The ledger is not the certified one from this height on.
    Forked {
        since: Height,
    },
    Stop,
}

/// By which a repeated request is known before it is submitted again.
struct Lookup {
    request_id: Digest,
    request: Digest,
}

/// No error: the command is certainly not applied, by no fault of its client, and may be given again.
type Reply = Result<Decision, Option<SubmitError>>;

/// What a client wants decided.
#[derive(Debug, Clone)]
pub struct Request {
    /// The library it belongs to.
    pub library: LibraryId,
    /// The token that acts.
    pub actor: TokenId,
    /// The client's key, if it gave one.
    pub key: Option<RequestKey>,
    /// What to do.
    pub payload: Payload,
}

/// A command's place in the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// Where the command stands.
    pub position: Position,
    /// Time of its block.
    pub time: Timestamp,
    /// What the ledger made of it.
    pub kind: DecisionKind,
}

/// What the ledger made of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecisionKind {
    /// It was the first of its request.
    Fresh,
    /// The request was decided before: the answer is that of the command there.
    Duplicate(Position),
    /// The key stands on another request.
    KeyReused(Position),
}

/// Why a command was not seen decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// Too few other voters were heard lately; nothing has left this node.
    #[error("too few of the cluster's nodes can be reached")]
    NoQuorum,
    /// Not seen decided in time; it may still be.
    #[error("the outcome is not known yet")]
    Unknown,
    /// Too much is waiting; nothing has left this node.
    #[error("the node has too much to do")]
    Busy,
    /// The disk has no room; nothing has left this node.
    #[error("the node's disk is full")]
    DiskFull,
    /// A flush of the ledger failed; nothing has left this node.
    #[error("the node's disk has failed to keep what was written to it")]
    DiskFailed,
    /// The node has stopped voting; nothing has left it.
    #[error("the node has stopped taking part")]
    Stopped,
}

impl SubmitError {
    /// Why a node would not take a write now, as far as its own state says.
    pub(crate) fn in_the_way(phase: Phase, disk: DiskRoom, has_quorum: bool) -> Option<Self> {
        match (phase, disk, has_quorum) {
            (Phase::Stopped(StopReason::FlushFailed), _, _) => Some(Self::DiskFailed),
            (Phase::Stopped(_), _, _) => Some(Self::Stopped),
            (_, DiskRoom::Full, _) => Some(Self::DiskFull),
            (Phase::Voting, DiskRoom::Free, true) => None,
            _ => Some(Self::NoQuorum),
        }
    }
}

/// A linearizable read that found no quorum in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no quorum answered the read in time")]
pub struct ReadError;

/// A snapshot of the replica's status.
#[derive(Debug, Clone)]
pub struct NodeStatus {
    /// What the replica shows of itself.
    pub replica: Status,
    /// How many messages of each peer the engine refused.
    pub refused: BTreeMap<NodeId, u64>,
    /// When the snapshot was taken.
    pub taken: std::time::Instant,
}

/// Talks to the replica thread. Cheap to clone.
#[derive(Clone)]
pub struct ReplicaHandle {
    events: Sender,
    shared: Arc<Shared>,
    reader: Reader,
}

struct Shared {
    status: RwLock<Arc<NodeStatus>>,
    /// Time of the last decided block, in microseconds.
    time: AtomicU64,
    tip: watch::Sender<Height>,
    roster: watch::Sender<Arc<Roster>>,
    clock: Clock,
}

/// The real clocks.
#[derive(Debug, Clone, Copy)]
struct Clock {
    start: std::time::Instant,
    /// How far the wall clock is to be ahead of the machine's; zero but in tests.
    offset_us: i64,
}

impl Clock {
    fn now(self) -> Now {
        let elapsed = self.start.elapsed().as_nanos();
        let wall = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_micros();
        Now {
            instant: Instant(u64::try_from(elapsed).unwrap_or(u64::MAX)),
            wall: Timestamp(
                u64::try_from(wall)
                    .unwrap_or(u64::MAX)
                    .saturating_add_signed(self.offset_us),
            ),
        }
    }
}

/// A way into the replica thread that shows how much waits in it.
#[derive(Clone)]
struct Sender {
    events: SyncSender<Event>,
    metrics: ReplicaMetrics,
}

impl Sender {
    /// Fails if there is no room, or nobody to take it; nothing has left this node then.
    fn try_send(&self, event: Event) -> Result<(), SubmitError> {
        // Before it can be taken out, so that the count is never below zero.
        self.metrics.inbox.inc();
        self.events.try_send(event).map_err(|error| {
            self.metrics.inbox.dec();
            match error {
                TrySendError::Full(_) => SubmitError::Busy,
                TrySendError::Disconnected(_) => SubmitError::Stopped,
            }
        })
    }

    /// Waits for room. After the replica thread has ended nobody needs to know.
    fn send(&self, event: Event) {
        self.metrics.inbox.inc();
        if self.events.send(event).is_err() {
            self.metrics.inbox.dec();
        }
    }
}

/// The sending ends that exist before the replica does: peers and the disk are given theirs first.
#[derive(Clone)]
pub(crate) struct Inlet {
    events: Sender,
}

/// The receiving end, to be handed to [`start`].
pub(crate) struct Outlet {
    events: Receiver<Event>,
}

/// Makes the channel into the replica thread.
pub(crate) fn channel(metrics: &ReplicaMetrics) -> (Inlet, Outlet) {
    let (events, receiver) = sync_channel(CHANNEL_LENGTH);
    let metrics = metrics.clone();
    let events = Sender { events, metrics };
    (Inlet { events }, Outlet { events: receiver })
}

impl Inlet {
    /// A peer said something. Dropped if the replica is too far behind: messages may be lost.
    pub(crate) fn peer(&self, from: NodeId, message: Message) {
        // Losing it is what the protocol expects of a network; the peer repeats what matters.
        if self.events.try_send(Event::Peer { from, message }).is_err() {
            self.events.metrics.inbox_dropped.inc();
        }
    }

    /// The disk reports. Waits for room.
    pub(crate) fn disk(&self, completion: Completion) {
        self.events.send(Event::Disk(completion));
    }
}

/// Which clocks a replica is opened with; the thread goes on with the same ones.
pub(crate) struct Opening {
    clock: Clock,
}

impl Opening {
    pub(crate) fn new(clock_offset_ms: i64) -> Self {
        Self {
            clock: Clock {
                start: std::time::Instant::now(),
                offset_us: clock_offset_ms.saturating_mul(1000),
            },
        }
    }

    pub(crate) fn now(&self) -> Now {
        self.clock.now()
    }
}

/// The thread, to be stopped and joined.
pub(crate) struct Running {
    pub(crate) handle: ReplicaHandle,
    thread: JoinHandle<()>,
}

/// Starts the thread around an open replica. Decided blocks go to `decided`, in order.
///
/// # Errors
/// If the system gives no thread.
pub(crate) fn start(
    replica: Replica<FileDisk>,
    opening: Opening,
    (inlet, outlet): (Inlet, Outlet),
    peers: Peers,
    accusations: Accusations,
    decided: impl FnMut(Arc<AppliedBlock>) + Send + 'static,
) -> std::io::Result<Running> {
    let clock = opening.clock;
    let status = replica.status(clock.now().instant);
    let tip = status.tip;
    let shared = Arc::new(Shared {
        time: AtomicU64::new(status.time.0),
        status: RwLock::new(Arc::new(NodeStatus {
            replica: status,
            refused: BTreeMap::new(),
            taken: std::time::Instant::now(),
        })),
        tip: watch::Sender::new(tip),
        roster: watch::Sender::new(Arc::clone(replica.roster())),
        clock,
    });
    let reader = replica.reader();
    let metrics = inlet.events.metrics.clone();
    let handle = ReplicaHandle {
        events: inlet.events,
        shared: Arc::clone(&shared),
        reader,
    };
    let worker = Worker {
        replica,
        shared,
        peers,
        accusations,
        decided: Box::new(decided),
        writes: HashMap::new(),
        reads: HashMap::new(),
        next_read: 0,
        refusals: Refusals::default(),
        metrics,
    };
    let thread = std::thread::Builder::new()
        .name("replica".to_owned())
        .spawn(move || worker.run(&outlet.events))?;
    Ok(Running { handle, thread })
}

impl Running {
    /// Gives the turn away and ends all waits; the node goes on until [`Running::stop`].
    pub(crate) fn drain(&self, closing: &CancellationToken) {
        self.handle.events.send(Event::Yield);
        closing.cancel();
    }

    /// Ends the thread and waits for it; what is queued for the disk is written.
    pub(crate) fn stop(self) {
        self.handle.events.send(Event::Stop);
        if self.thread.join().is_err() {
            error!("the replica thread panicked");
        }
    }
}

impl ReplicaHandle {
    /// Seals a command under a random salt, submits it and waits until it is seen decided.
    ///
    /// # Errors
    /// A [`SubmitError`]; only after [`SubmitError::Unknown`] may the command still be decided.
    pub async fn submit(
        &self,
        request: Request,
        deadline: tokio::time::Instant,
    ) -> Result<Decision, SubmitError> {
        // A command is good for a while after the last block. If that is long ago, the block that holds it is too late
        // for it, and the next attempt counts from that block.
        match self.submit_once(&request, deadline).await {
            Err(None) => {}
            Err(Some(error)) => return Err(error),
            Ok(decision) => return Ok(decision),
        }
        let again = self.submit_once(&request, deadline).await;
        again.map_err(|error| error.unwrap_or(SubmitError::Unknown))
    }

    async fn submit_once(&self, request: &Request, deadline: tokio::time::Instant) -> Reply {
        let window = if request.key.is_some() {
            model::limits::KEYED_WINDOW
        } else {
            model::limits::UNKEYED_WINDOW
        };
        // A block time at or before the one at which the key is looked up: the safe side.
        let valid_until = Timestamp(self.shared.time.load(Ordering::Acquire)).plus(window);
        let command = Command {
            library: request.library.clone(),
            actor: request.actor,
            key: request.key.clone(),
            valid_until,
            payload: request.payload.clone(),
        };
        let mut salt = [0; 16];
        getrandom::fill(&mut salt).map_err(|_| SubmitError::Stopped)?;
        let sealed = command.seal(salt);
        let request = command
            .key
            .as_ref()
            .map_or(Digest(sealed.leaf().0), |key| key.request);
        let lookup = Lookup {
            request_id: command.request_id(sealed.leaf()),
            request,
        };
        let (reply, answer) = oneshot::channel();
        self.events.try_send(Event::Submit {
            command: sealed,
            lookup,
            reply,
        })?;
        let decided = tokio::time::timeout_at(deadline, answer);
        match decided.instrument(debug_span!("decide")).await {
            Ok(Ok(reply)) => reply,
            // The thread ended, or the time did: nobody can tell what becomes of the command.
            Ok(Err(_)) | Err(_) => Err(Some(SubmitError::Unknown)),
        }
    }

    /// The lowest height at which a read may be answered that must see every write acknowledged before now.
    ///
    /// # Errors
    /// If no quorum answers in time.
    pub async fn linearizable(&self, deadline: tokio::time::Instant) -> Result<Height, ReadError> {
        let (reply, answer) = oneshot::channel();
        self.events
            .try_send(Event::Read { reply })
            .map_err(|_| ReadError)?;
        match tokio::time::timeout_at(deadline, answer).await {
            Ok(Ok(height)) => Ok(height),
            Ok(Err(_)) | Err(_) => Err(ReadError),
        }
    }

    /// The cluster has certified another block at this height than the one that is decided here: the node stops.
    pub(crate) fn stop_forked(&self, since: Height) {
        self.events.send(Event::Forked { since });
    }

    /// A snapshot, at most a moment old.
    pub fn status(&self) -> Arc<NodeStatus> {
        Arc::clone(
            &self
                .shared
                .status
                .read()
                .expect("nothing panics while it writes the status"),
        )
    }

    /// Height of the last decided block.
    pub fn tip(&self) -> Height {
        *self.shared.tip.borrow()
    }

    /// Tells whenever a block is decided.
    pub fn tips(&self) -> watch::Receiver<Height> {
        self.shared.tip.subscribe()
    }

    /// Who belongs to the cluster above the last decided block.
    pub fn roster(&self) -> Arc<Roster> {
        Arc::clone(&self.shared.roster.borrow())
    }

    /// Tells whenever somebody joins, leaves or moves.
    pub fn rosters(&self) -> watch::Receiver<Arc<Roster>> {
        self.shared.roster.subscribe()
    }

    /// The chain.
    pub fn reader(&self) -> &Reader {
        &self.reader
    }

    /// This node's wall clock.
    pub fn wall(&self) -> Timestamp {
        self.shared.clock.now().wall
    }
}

struct Worker {
    replica: Replica<FileDisk>,
    shared: Arc<Shared>,
    peers: Peers,
    accusations: Accusations,
    decided: Box<dyn FnMut(Arc<AppliedBlock>) + Send>,
    writes: HashMap<LeafHash, Write>,
    reads: HashMap<ReadId, oneshot::Sender<Height>>,
    next_read: u64,
    refusals: Refusals,
    metrics: ReplicaMetrics,
}

/// A command that a client waits for.
struct Write {
    reply: oneshot::Sender<Reply>,
    since: std::time::Instant,
}

impl Worker {
    fn run(mut self, events: &Receiver<Event>) {
        self.carry_out();
        loop {
            let first = match events.recv_timeout(self.until_wake()) {
                Ok(event) => Some(event),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            let now = self.shared.clock.now();
            if self
                .replica
                .next_wake()
                .is_some_and(|wake| wake <= now.instant)
            {
                self.replica.take(now, Input::Wake);
            }
            let rest = std::iter::from_fn(|| events.try_recv().ok()).take(EVENTS_PER_STEP);
            for event in first.into_iter().chain(rest) {
                if matches!(event, Event::Stop) {
                    return;
                }
                self.take(event);
            }
            self.replica.settle();
            self.carry_out();
            self.publish();
        }
    }

    fn until_wake(&self) -> Duration {
        let now = self.shared.clock.now().instant;
        self.replica
            .next_wake()
            .map_or(STATUS_EVERY, |wake| wake.since(now))
            .min(STATUS_EVERY)
    }

    fn take(&mut self, event: Event) {
        self.metrics.inbox.dec();
        let now = self.shared.clock.now();
        match event {
            Event::Peer { from, message } => {
                self.replica.take(now, Input::Receive { from, message });
            }
            Event::Submit {
                command,
                lookup,
                reply,
            } => self.submit(now, command, &lookup, reply),
            Event::Read { reply } => {
                let id = ReadId(self.next_read);
                self.next_read += 1;
                self.reads.retain(|_, waiting| !waiting.is_closed());
                self.reads.insert(id, reply);
                self.replica.take(now, Input::Read(id));
            }
            Event::Disk(completion) => {
                match &completion {
                    Completion::Failed(source) => {
                        error!(%source, "the ledger could not be flushed: this node stops voting");
                    }
                    Completion::Full => warn!("the ledger's disk is full: writes are refused"),
                    Completion::Room => info!("the ledger's disk has room again"),
                    Completion::Durable(_) => {}
                }
                self.replica.take(now, Input::Disk(completion));
            }
            Event::Yield => self.replica.take(now, Input::Yield),
            Event::Forked { since } => self.replica.take(now, Input::Forked { since }),
            Event::Stop => {}
        }
    }

    fn submit(
        &mut self,
        now: Now,
        command: SealedCommand,
        lookup: &Lookup,
        reply: oneshot::Sender<Reply>,
    ) {
        if let Some(answer) = self.answer_at_once(now, lookup) {
            // A client that has gone away does not mind.
            let _ = reply.send(answer);
            return;
        }
        let since = std::time::Instant::now();
        self.writes.insert(command.leaf(), Write { reply, since });
        self.replica.take(now, Input::Submit(command));
    }

    /// The answer to a repeated request, or the refusal of one that this node cannot get decided now.
    fn answer_at_once(&self, now: Now, lookup: &Lookup) -> Option<Reply> {
        let core = self.replica.core();
        if let Some(first) = core.lookup(&lookup.request_id) {
            let position = first.position;
            let kind = if first.is(&lookup.request) {
                DecisionKind::Duplicate(position)
            } else {
                DecisionKind::KeyReused(position)
            };
            return Some(Ok(Decision {
                position,
                time: core.time(),
                kind,
            }));
        }
        let (phase, disk, has_quorum) = self.replica.readiness(now.instant);
        SubmitError::in_the_way(phase, disk, has_quorum).map(|error| Err(Some(error)))
    }

    fn carry_out(&mut self) {
        while let Some(output) = self.replica.poll_output() {
            match output {
                Output::Send { to, message } => self.peers.send(to, &message),
                Output::Decided(applied) => self.block_decided(&applied),
                Output::ReadReady { id, height } => {
                    if let Some(reply) = self.reads.remove(&id) {
                        let _ = reply.send(height);
                    }
                }
                Output::Dropped(leaves) => {
                    for leaf in leaves {
                        if let Some(write) = self.writes.remove(&leaf) {
                            let _ = write.reply.send(Err(None));
                        }
                    }
                }
                Output::Voting => info!(role = ?self.replica.role(), "this node takes part"),
                Output::Stopped(reason) => error!(%reason, "this node has stopped voting"),
                Output::Refused { from, why } => self.refusals.note(from, why),
                Output::Evidence(evidence) => self.accusations.keep(*evidence),
            }
        }
    }

    fn block_decided(&mut self, applied: &Arc<AppliedBlock>) {
        let block = &applied.block;
        let time = block.header().time;
        self.shared.time.store(time.0, Ordering::Release);
        (self.decided)(Arc::clone(applied));
        if let Some(roster) = &applied.roster {
            self.shared.roster.send_replace(Arc::clone(roster));
        }
        self.shared.tip.send_replace(block.height());
        self.metrics.blocks.inc();
        self.metrics.commands.inc_by(block.entries().len() as u64);
        for ((index, entry), disposition) in (0..).zip(block.entries()).zip(&applied.dispositions) {
            let Some(write) = self.writes.remove(&entry.leaf()) else {
                continue;
            };
            self.metrics.decide.observe(seconds(write.since.elapsed()));
            let position = Position {
                height: block.height(),
                index,
            };
            let kind = match disposition {
                Disposition::Fresh(_) => DecisionKind::Fresh,
                Disposition::Duplicate(first) => DecisionKind::Duplicate(*first),
                Disposition::KeyReused(first) => DecisionKind::KeyReused(*first),
                Disposition::Expired => {
                    let _ = write.reply.send(Err(None));
                    continue;
                }
                // Not a command of ours that was decided as it was: the client hears "unknown".
                Disposition::Erased | Disposition::Pruned | Disposition::Malformed => continue,
            };
            let _ = write.reply.send(Ok(Decision {
                position,
                time,
                kind,
            }));
        }
    }

    fn publish(&mut self) {
        let last = Arc::clone(&self.shared.status.read().expect("see status"));
        let fresh = last.replica.tip == self.replica.tip() && last.taken.elapsed() < STATUS_EVERY;
        if fresh {
            return;
        }
        let replica = self.replica.status(self.shared.clock.now().instant);
        let status = NodeStatus {
            replica,
            refused: self.refusals.counts(),
            taken: std::time::Instant::now(),
        };
        *self.shared.status.write().expect("see status") = Arc::new(status);
    }
}

/// Counts what was refused, by peer, and speaks up once a minute.
#[derive(Default)]
struct Refusals {
    peers: HashMap<NodeId, (u64, Option<std::time::Instant>)>,
}

impl Refusals {
    fn counts(&self) -> BTreeMap<NodeId, u64> {
        let counts = self.peers.iter().map(|(peer, (count, _))| (*peer, *count));
        counts.collect()
    }

    fn note(&mut self, from: NodeId, why: &'static str) {
        let (count, logged) = self.peers.entry(from).or_default();
        *count += 1;
        if logged.is_none_or(|at| at.elapsed() >= REFUSALS_LOGGED_EVERY) {
            *logged = Some(std::time::Instant::now());
            warn!(peer = %from, refused = *count, why, "refused a message of a peer");
        }
    }
}
