//! Making the node's damaged ledger whole from the other nodes: before it is opened, and while it serves.
//!
//! What can be mended, and why no vote is lost with it, is the business of `ledger::mend`; here is who is asked, when,
//! and who is told. Whatever is replaced is kept in `quarantine/` in the node's folder, under its name and the time.
//!
//! * *At start* ([`at_start`]): a ledger that does not open is mended and opened again. Whom to ask is in the node's
//!   configuration, since nothing else can be read. Where nobody answers the node waits a while, because the others may
//!   be starting too, and gives up with the reason then. What must not be mended is refused at once.
//! * *While serving* ([`Mender`]): a thread looks at what readers could not read, at heights that no file holds, at
//!   segments whose files are gone, and at those whose files somebody changed, and repairs them one after the other. [`MenderHandle::repair`] does one at once, for
//!   who waits for a block or has found the damage (`height` is any height that cannot be read: all that lies in the
//!   same segment is made whole together). Where nobody answers it is tried again.

mod sources;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ledger::{Damage, MendError, Mended, OpenError, Reader, Report, SegmentName};
use model::{Height, Nonce, Signatures};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

pub(crate) use self::sources::Sources;
use crate::config::NodeConfig;
use crate::findings::{Findings, Place};
use crate::identity::Identity;
use crate::peer::chain_of_causes;
use crate::replica_thread::ReplicaHandle;
use crate::stamp::ledger::Segments;
use crate::{acquaintances, address_book, disk};

/// How long a start asks for blocks that nobody has, before it gives up.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two attempts at start.
const AGAIN: Duration = Duration::from_secs(1);
/// Between two looks while serving.
const LOOK: Duration = Duration::from_secs(1);
/// After an attempt that failed while serving.
const PAUSE: Duration = Duration::from_secs(5);
/// Before what seems damaged in a changed file is looked at again.
const SECOND_LOOK: Duration = Duration::from_millis(200);
/// The file without which there is no ledger.
const GENESIS_FILE: &str = "00000000.log";
/// From where something is whole again that nobody had to send.
const THIS_NODE: &str = "this node";
/// Orders that wait.
const WAITING_MAX: usize = 16;

/// Mends the ledger of a node that could not open it. `unreadable` is a height whose block could not be read although
/// the ledger opened. Blocks the thread, but not once it is `closing`.
///
/// # Errors
/// If it cannot be mended, or nobody had what is missing for a while.
pub(crate) fn at_start(
    config: &NodeConfig,
    identity: &Identity,
    findings: &Findings,
    unreadable: Option<Height>,
    (runtime, closing): (Handle, CancellationToken),
) -> Result<(), MendError> {
    let storage = disk::storage(&config.ledger_folder());
    let signatures = identity.key().signatures();
    let whom = address_book::whom(&config.folder, &config.members);
    let mut others = Sources::new(config, identity, whom, runtime.clone(), closing.clone());
    let nonce = nonce()?;
    let began = Instant::now();
    warn!("the ledger is damaged: it is mended from the other nodes");
    loop {
        let mended = ledger::mend(&storage, &signatures, &mut others, unreadable, nonce);
        match mended {
            Ok(mended) => {
                let from = others.last().unwrap_or(THIS_NODE).to_owned();
                tell(findings, &mended, &from);
                return Ok(());
            }
            Err(error) if error.is_passing() && closing.is_cancelled() => return Err(error),
            Err(error) if error.is_passing() && others.any() && began.elapsed() < PATIENCE => {
                let error = chain_of_causes(&error);
                info!(error, "mending the ledger is tried again");
                let again = async { tokio::time::sleep(AGAIN).await };
                runtime.block_on(closing.run_until_cancelled(again));
            }
            Err(error) => {
                let id = findings.report(place_of(&error), chain_of_causes(&error), None);
                findings.refused(id, chain_of_causes(&error));
                return Err(error);
            }
        }
    }
}

fn nonce() -> Result<Nonce, MendError> {
    let mut nonce = [0; 16];
    getrandom::fill(&mut nonce).map_err(|error| MendError::Io {
        file: "a random number".to_owned(),
        source: io::Error::other(error),
    })?;
    Ok(Nonce(nonce))
}

/// Reports why a ledger is not opened.
pub(crate) fn not_opened(findings: &Findings, error: &OpenError) {
    if let Some(place) = place_in(error) {
        let why = chain_of_causes(error);
        let id = findings.report(place, why.clone(), None);
        findings.refused(id, why);
    }
}

/// Where an error is, if it is about a place.
fn place_in(error: &OpenError) -> Option<Place> {
    match error {
        OpenError::DamagedVotes { height, .. } => Some(Place::Vote { height: *height }),
        OpenError::DamagedBlock { file, .. }
        | OpenError::Inconsistent { file, .. }
        | OpenError::Foreign { file, .. }
        | OpenError::TooLong { file, .. }
        | OpenError::Version { file, .. }
        | OpenError::Sealed { file, .. } => Some(Place::Log { file: file.clone() }),
        OpenError::Certificate { height, .. } => Some(one(*height)),
        OpenError::Read(error) => Some(one(error.height())),
        OpenError::NoLedger => Some(Place::Log {
            file: GENESIS_FILE.to_owned(),
        }),
        _ => None,
    }
}

fn one(height: Height) -> Place {
    Place::Heights {
        from: height,
        to: height,
    }
}

fn place_of(error: &MendError) -> Place {
    let place = match error {
        MendError::Votes { source, .. } | MendError::Open(source) => place_in(source),
        MendError::Contradicts { height } => Some(one(*height)),
        MendError::Unavailable { from, to } => Some(Place::Heights {
            from: *from,
            to: *to,
        }),
        MendError::Read(error) => Some(one(error.height())),
        _ => None,
    };
    place.unwrap_or_else(|| Place::Log {
        file: "the log".to_owned(),
    })
}

/// Writes down what was found and made good.
fn tell(findings: &Findings, mended: &Mended, from: &str) {
    let aside = |file: &str| {
        let kept = mended.aside.iter().find(|(name, _)| name.ends_with(file));
        kept.map(|(_, place)| Path::new(place).to_owned())
    };
    let repaired = |place: Place, what: String, file: &str| {
        let id = findings.report(place, what, aside(file));
        findings.repaired(id, from);
    };
    for (file, offset) in &mended.damage {
        let what = format!("damaged at byte {offset}; no vote that counts was in it");
        repaired(Place::Log { file: file.clone() }, what, file);
    }
    for damaged in &mended.damaged {
        let place = Place::Segment(damaged.name);
        repaired(place, damaged.what.clone(), &damaged.name.to_string());
    }
    for (first, last) in &mended.heights {
        let mut named = mended
            .damaged
            .iter()
            .any(|damaged| damaged.name.from() <= *last && damaged.name.to() >= *first);
        for open in findings.recent() {
            if let (Place::Segment(name), false) = (&open.place, open.is_repaired())
                && *first <= name.from()
                && name.to() <= *last
            {
                findings.repaired(open.id, from);
                named = true;
            }
        }
        if !named {
            let (from, to) = (*first, *last);
            let what = "missing or damaged".to_owned();
            repaired(Place::Heights { from, to }, what, "");
        }
    }
    info!(
        from,
        fetched = mended.fetched,
        segments = mended.segments.len(),
        log = mended.begun,
        "the ledger is whole again"
    );
}

/// Reports what a start found damaged in one of two copies, and writes that one anew.
pub(crate) fn second_copies(findings: &Findings, reader: &Reader, found: &Report) {
    let mut reported = Vec::new();
    for repair in &found.repaired {
        let what = format!("{} at byte {}; nothing is lost", repair.what, repair.offset);
        let file = repair.file.clone();
        reported.push(findings.report(Place::Log { file }, what, None));
    }
    match found
        .spares
        .iter()
        .try_for_each(|spare| reader.rewrite(spare))
    {
        Ok(()) => reported
            .into_iter()
            .for_each(|id| findings.repaired(id, THIS_NODE)),
        Err(error) => warn!(%error, "a damaged copy could not be written anew"),
    }
}

/// What has to be repaired now, and who waits for it.
struct Order {
    height: Height,
    done: oneshot::Sender<Result<Mended, String>>,
}

/// Has blocks repaired. Cheap to clone.
#[derive(Clone)]
pub struct MenderHandle {
    orders: SyncSender<Order>,
}

impl MenderHandle {
    /// Makes a height readable again, with everything that lies in the same segment or gap. Nothing happens if it can
    /// be read from memory only, or is not decided here.
    ///
    /// # Errors
    /// What stands in the way, for people.
    pub async fn repair(&self, height: Height) -> Result<Mended, String> {
        let (done, answer) = oneshot::channel();
        let order = Order { height, done };
        let busy = |_| "too much is being repaired".to_owned();
        self.orders.try_send(order).map_err(busy)?;
        answer
            .await
            .unwrap_or_else(|_| Err("the node shuts down".to_owned()))
    }
}

/// The running thread. Dropped, it stops behind the repair under way.
pub(crate) struct Mender {
    pub(crate) handle: MenderHandle,
    closing: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

/// What the thread works with.
struct Work {
    config: Arc<NodeConfig>,
    identity: Identity,
    replica: ReplicaHandle,
    reader: Reader,
    findings: Findings,
    runtime: Handle,
    closing: CancellationToken,
    segments: Segments,
    /// No look before then.
    rest_until: Option<Instant>,
}

impl Mender {
    /// Starts it. `closing` ends what it waits for.
    pub(crate) fn start(
        config: Arc<NodeConfig>,
        identity: Identity,
        replica: ReplicaHandle,
        findings: Findings,
        closing: CancellationToken,
    ) -> io::Result<Self> {
        let (orders, waiting) = sync_channel(WAITING_MAX);
        let work = Work {
            segments: Segments::open(&config, identity.chain()),
            config,
            identity,
            reader: replica.reader().clone(),
            replica,
            findings,
            runtime: Handle::current(),
            closing: closing.clone(),
            rest_until: None,
        };
        let thread = std::thread::Builder::new()
            .name("mender".to_owned())
            .spawn(move || work.run(&waiting))?;
        Ok(Self {
            handle: MenderHandle { orders },
            closing,
            thread: Some(thread),
        })
    }
}

impl Drop for Mender {
    fn drop(&mut self) {
        self.closing.cancel();
        if let Some(thread) = self.thread.take() {
            // A panic there was printed by the thread.
            let _ = thread.join();
        }
    }
}

impl Work {
    fn run(mut self, orders: &Receiver<Order>) {
        // Asking others takes timers, which are the runtime's.
        let runtime = self.runtime.clone();
        let _within = runtime.enter();
        // What the start has found may be whole by now.
        self.look();
        while !self.closing.is_cancelled() {
            match orders.recv_timeout(LOOK) {
                Ok(order) => {
                    let done = self.repair_if_damaged(order.height);
                    let done = done.map_err(|error| chain_of_causes(&error));
                    // Whoever waited may have gone away.
                    let _ = order.done.send(done);
                }
                Err(RecvTimeoutError::Timeout) => self.look(),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Repairs what is known to be damaged.
    fn look(&mut self) {
        if self.rest_until.is_some_and(|until| Instant::now() < until) {
            return;
        }
        let mut heights = ledger::gaps(&self.reader);
        heights.extend(ledger::without_file(&self.reader));
        heights.extend(self.reader.take_complaints());
        heights.extend(self.aside());
        let changed = self.changed();
        heights.extend(changed.iter().map(|(height, _)| *height));
        for height in heights {
            // A repair before this one may have made it whole.
            let lost = ledger::without_file(&self.reader).contains(&height);
            let aside = self.aside().contains(&height);
            let changed = changed.iter().find(|(at, _)| *at == height);
            if !lost && !aside && changed.is_none() && self.reader.block(height).is_ok() {
                continue;
            }
            let what = match changed {
                Some((_, what)) => what.clone(),
                None if lost => "its file is gone".to_owned(),
                None => format!("the block of height {height} cannot be read"),
            };
            if let Err(error) = self.repair(height, &what) {
                let error = chain_of_causes(&error);
                warn!(%height, error, "a part of the ledger could not be repaired; it is tried again");
                self.rest_until = Some(Instant::now() + PAUSE);
                return;
            }
        }
        self.settle(THIS_NODE);
    }

    /// Of the segments whose files were changed those that are damaged: the head of each, and what is wrong.
    fn changed(&mut self) -> Vec<(Height, String)> {
        let mut damaged = Vec::new();
        for name in self.segments.changed(&self.reader.segments()) {
            match self.fault_in(name) {
                Some(fault) => damaged.push((name.to(), fault.what)),
                None => self.segments.accept(name),
            }
        }
        damaged
    }

    /// What is wrong with a segment, if a second look says the same: it may have been replaced a moment ago.
    fn fault_in(&self, name: SegmentName) -> Option<Damage> {
        let look = || {
            let signatures = self.identity.key().signatures();
            let found = self.reader.scrub_segment(name, &signatures, &mut |_| true);
            found.unwrap_or_default()
        };
        let first = look();
        if first.is_empty() {
            return None;
        }
        std::thread::sleep(SECOND_LOOK);
        self.reader.still(&first, look()).into_iter().next()
    }

    /// Many may have met the same damage and wait for the same repair.
    fn repair_if_damaged(&self, height: Height) -> Result<Mended, MendError> {
        let used = self.reader.segments();
        let segment = used.into_iter().find(|segment| segment.holds(height));
        let lost = |name: &SegmentName| ledger::without_file(&self.reader).contains(&name.to());
        if segment.is_some_and(|name| !lost(&name) && self.fault_in(name).is_none()) {
            return Ok(Mended::default());
        }
        let what = format!("the block of height {height} cannot be read");
        self.repair(height, &what)
    }

    /// Says of what was found missing or damaged that it can be read again.
    fn settle(&self, from: &str) {
        let here = self.reader.segment_files().unwrap_or_default();
        for open in self.findings.recent() {
            let (first, last) = match &open.place {
                _ if open.is_repaired() => continue,
                Place::Segment(name) if here.contains(name) => {
                    if self.fault_in(*name).is_none() {
                        self.findings.repaired(open.id, from);
                    }
                    continue;
                }
                Place::Segment(name) => (name.from(), name.to()),
                // Votes are repeated by later files, and no block is missed.
                Place::Log { file } if self.is_gone(file) => {
                    if ledger::gaps(&self.reader).is_empty() {
                        self.findings.repaired(open.id, from);
                    }
                    continue;
                }
                Place::Heights { from, to } => (*from, *to),
                _ => continue,
            };
            let read = |height| matches!(self.reader.block(height), Ok(Some(_)));
            if (first.0..=last.0).map(Height).all(read) {
                self.findings.repaired(open.id, from);
            }
        }
    }

    /// The heads of segments that nothing is read from, since they are damaged.
    fn aside(&self) -> Vec<Height> {
        let (tip, _) = self.reader.tip();
        let damaged = self.reader.damaged_segments().into_iter();
        let heads = damaged.map(|damaged| damaged.name.to());
        heads.filter(|head| *head <= tip).collect()
    }

    fn repair(&self, height: Height, what: &str) -> Result<Mended, MendError> {
        let aside = self.reader.damaged_segments().into_iter();
        let mut segments = self.reader.segments();
        segments.extend(aside.map(|damaged| damaged.name));
        let segment = segments.into_iter().find(|s| s.holds(height));
        let place = match segment {
            Some(name) => Place::Segment(name),
            None => Place::Heights {
                from: height,
                to: height,
            },
        };
        let id = self.findings.report(place.clone(), what, None);
        let signatures: &dyn Signatures = &self.identity.key().signatures();
        let whom = acquaintances::of(&self.reader.roster(), &self.config.members);
        let mut others = Sources::new(
            &self.config,
            &self.identity,
            whom,
            self.runtime.clone(),
            self.closing.clone(),
        );
        let mended = ledger::repair(&self.reader, signatures, &mut others, height);
        match &mended {
            Ok(mended) => {
                if let Some((_, aside)) = mended.aside.first() {
                    let aside = Some(Path::new(aside).to_owned());
                    self.findings.report(place, what, aside);
                }
                let from = others.last().unwrap_or(THIS_NODE);
                self.findings.repaired(id, from);
                self.tell_beside(mended, from);
                self.settle(from);
            }
            Err(error) if error.is_passing() => {}
            Err(error) => {
                if let MendError::Contradicts { height } = error {
                    self.replica.stop_forked(*height);
                }
                self.findings.refused(id, chain_of_causes(error));
            }
        }
        mended
    }

    /// Whether a file of the log is not there any more.
    fn is_gone(&self, file: &str) -> bool {
        !self.config.ledger_folder().join(file).exists()
    }

    /// Reports the damaged segments whose heights were made whole along with others.
    fn tell_beside(&self, mended: &Mended, from: &str) {
        for damaged in &mended.damaged {
            let file = damaged.name.to_string();
            let mut aside = mended.aside.iter();
            let aside = aside.find(|(name, _)| name.ends_with(&file));
            let aside = aside.map(|(_, place)| Path::new(place).to_owned());
            let place = Place::Segment(damaged.name);
            let id = self.findings.report(place, damaged.what.clone(), aside);
            self.findings.repaired(id, from);
        }
    }
}
