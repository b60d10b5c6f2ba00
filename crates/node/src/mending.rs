//! Making the node's damaged ledger whole from the other nodes: before it is opened, and while it serves.
//!
//! What can be mended, and why no vote is lost with it, is the business of `ledger::mend`; here is who is asked, when,
//! and who is told. Whatever is replaced is kept in `quarantine/` in the node's folder, under its name and the time.
//!
//! * *At start* ([`at_start`]): a ledger that does not open is mended and opened again. Whom to ask is in the node's
//!   configuration, since nothing else can be read. Where nobody answers the node waits a while, because the others may
//!   be starting too, and gives up with the reason then. What must not be mended is refused at once.
//! * *While serving* ([`Mender`]): a thread looks at what readers could not read, at heights that no file holds, and at
//!   segments whose files are gone, and repairs them one after the other. [`MenderHandle::repair`] does one at once, for
//!   who waits for a block or has found the damage (`height` is any height that cannot be read: all that lies in the
//!   same segment is made whole together). Where nobody answers it is tried again.

mod sources;

use std::io;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ledger::{MendError, Mended, Reader};
use model::{Height, Nonce, Signatures};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tracing::{info, warn};

use self::sources::Sources;
use crate::config::NodeConfig;
use crate::findings::{Findings, Place};
use crate::identity::Identity;
use crate::peer::chain_of_causes;
use crate::replica_thread::ReplicaHandle;
use crate::{acquaintances, disk};

/// How long a start asks for blocks that nobody has, before it gives up.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two attempts at start.
const AGAIN: Duration = Duration::from_secs(1);
/// Between two looks while serving.
const LOOK: Duration = Duration::from_secs(1);
/// After an attempt that failed while serving.
const PAUSE: Duration = Duration::from_secs(5);
/// Orders that wait.
const WAITING_MAX: usize = 16;

/// Mends the ledger of a node that could not open it. `unreadable` is a height whose block could not be read although
/// the ledger opened. Blocks the thread.
///
/// # Errors
/// If it cannot be mended, or nobody had what is missing for a while.
pub(crate) fn at_start(
    config: &NodeConfig,
    identity: &Identity,
    findings: &Findings,
    unreadable: Option<Height>,
    runtime: Handle,
) -> Result<(), MendError> {
    let storage = disk::storage(&config.ledger_folder());
    let signatures = identity.key().signatures();
    let whom = acquaintances::in_book(&config.members);
    let mut others = Sources::new(config, identity, whom, runtime);
    let nonce = nonce()?;
    let began = Instant::now();
    warn!("the ledger is damaged: it is mended from the other nodes");
    loop {
        let mended = ledger::mend(&storage, &signatures, &mut others, unreadable, nonce);
        match mended {
            Ok(mended) => {
                let from = others.last().unwrap_or("this node").to_owned();
                tell(findings, &mended, &from);
                return Ok(());
            }
            Err(error) if error.is_passing() && others.any() && began.elapsed() < PATIENCE => {
                let error = chain_of_causes(&error);
                info!(error, "mending the ledger is tried again");
                std::thread::sleep(AGAIN);
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

fn place_of(error: &MendError) -> Place {
    match error {
        MendError::Votes {
            source: ledger::OpenError::DamagedVotes { height, .. },
            ..
        } => Place::Vote { height: *height },
        MendError::Votes {
            source: ledger::OpenError::DamagedBlock { file, .. },
            ..
        } => Place::Log { file: file.clone() },
        MendError::Contradicts { height } => Place::Heights {
            from: *height,
            to: *height,
        },
        MendError::Unavailable { from, to } => Place::Heights {
            from: *from,
            to: *to,
        },
        _ => Place::Log {
            file: "the log".to_owned(),
        },
    }
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
    if mended.damage.is_empty() && mended.damaged.is_empty() {
        for (from, to) in &mended.heights {
            let (from, to) = (*from, *to);
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
    stop: Arc<Mutex<bool>>,
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
    /// No look before then.
    rest_until: Option<Instant>,
}

impl Mender {
    /// Starts it.
    pub(crate) fn start(
        config: Arc<NodeConfig>,
        identity: Identity,
        replica: ReplicaHandle,
        findings: Findings,
    ) -> io::Result<Self> {
        let (orders, waiting) = sync_channel(WAITING_MAX);
        let stop = Arc::new(Mutex::new(false));
        let work = Work {
            config,
            identity,
            reader: replica.reader().clone(),
            replica,
            findings,
            runtime: Handle::current(),
            rest_until: None,
        };
        let stopped = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name("mender".to_owned())
            .spawn(move || work.run(&waiting, &stopped))?;
        Ok(Self {
            handle: MenderHandle { orders },
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for Mender {
    fn drop(&mut self) {
        if let Ok(mut stop) = self.stop.lock() {
            *stop = true;
        }
        if let Some(thread) = self.thread.take() {
            // A panic there was printed by the thread.
            let _ = thread.join();
        }
    }
}

impl Work {
    fn run(mut self, orders: &Receiver<Order>, stopped: &Mutex<bool>) {
        // Asking others takes timers, which are the runtime's.
        let runtime = self.runtime.clone();
        let _within = runtime.enter();
        while !stopped.lock().is_ok_and(|stopped| *stopped) {
            match orders.recv_timeout(LOOK) {
                Ok(order) => {
                    let done = self.repair(order.height);
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
        for height in heights {
            // A repair before this one may have made it whole.
            let lost = ledger::without_file(&self.reader).contains(&height);
            let aside = self.aside().contains(&height);
            if !lost && !aside && self.reader.block(height).is_ok() {
                continue;
            }
            if let Err(error) = self.repair(height) {
                let error = chain_of_causes(&error);
                warn!(%height, error, "a part of the ledger could not be repaired; it is tried again");
                self.rest_until = Some(Instant::now() + PAUSE);
                return;
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

    fn repair(&self, height: Height) -> Result<Mended, MendError> {
        let segment = self.reader.segments().into_iter().find(|s| s.holds(height));
        let place = match segment {
            Some(name) => Place::Segment(name),
            None => Place::Heights {
                from: height,
                to: height,
            },
        };
        let what = format!("the block of height {height} cannot be read");
        let id = self.findings.report(place.clone(), what.clone(), None);
        let signatures: &dyn Signatures = &self.identity.key().signatures();
        let whom = acquaintances::of(&self.reader.roster(), &self.config.members);
        let mut others = Sources::new(&self.config, &self.identity, whom, self.runtime.clone());
        let mended = ledger::repair(&self.reader, signatures, &mut others, height);
        match &mended {
            Ok(mended) => {
                if let Some((_, aside)) = mended.aside.first() {
                    let aside = Some(Path::new(aside).to_owned());
                    self.findings.report(place, what, aside);
                }
                let from = others.last().unwrap_or("this node");
                self.findings.repaired(id, from);
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
}
