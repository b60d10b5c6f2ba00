//! Files' bytes in an object store instead of on the nodes' disks.
//!
//! Where they belong is one setting of the whole cluster, decided in the ledger. Every node follows it by itself:
//!
//! * While a store is **home**, an upload is answered when its bytes were read back from there and hash to their name
//!   (`Shelves::put`). What lies on a disk is a cache: `cache` lets go of what was not read for long, `moving` brings up
//!   what is not there yet. Reads come from the disk, else from the store, and are checked in the same way: nothing is
//!   given out that was not hashed.
//! * While a store is **being left**, bytes belong on the disks as if there were none, and the replicator brings them
//!   there. `leaving` deletes an object when every disk that is to have it has said so.
//! * `collecting` deletes objects that nobody names, in either case.
//!
//! No step has an owner, and each may be done twice: what is where is seen in the store's own listing, so a node that is
//! killed in the middle goes on where things are.
//!
//! **Why a named blob is never lost.** A copy leaves a disk only while the gate is held that also a change of home takes,
//! and only after this very node has read the object whole, and its tag is still the same. A purge deletes objects at once,
//! as it must: so while one is under way that was decided after a blob was stored, or is not finished everywhere, the blob
//! is kept on f + 1 disks too before its upload is answered (`Originals::may_be_gone`), and such copies do not leave.
//! Everything else is deleted in two steps, see `collecting`.

mod cache;
mod collecting;
mod leaving;
mod moving;
mod shelves;
mod trial;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use blobs::Store;
use catalogue::OriginalsStore;
use model::{BlobId, ChainId, Height, MediaStep, NodeId, Payload, UploadStep};
use tokio::sync::{RwLock, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

pub(crate) use self::shelves::{ShelfError, Shelves};
pub(crate) use self::trial::try_out;
use crate::catalogue_thread::CatalogueHandle;
use crate::config::{BlobsConfig, ScrubConfig};
use crate::metrics::BlobMetrics;
use crate::replica_thread::ReplicaHandle;
use crate::replicator::Replicator;
use crate::stock::{Amount, Stock};
use crate::{Findings, archiver};

/// The pause after a failure, before bytes are sent to the store again; it doubles with every other, up to the second.
const PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(30)];
/// How long it is remembered what was known when a blob was stored: longer than any request waits for its decision.
const PLACED_KEEP: Duration = Duration::from_secs(15 * 60);

/// The blob that a command brings, for which it was made safe before.
pub(crate) fn brought_by(payload: &Payload) -> Option<BlobId> {
    match payload {
        Payload::PutBlob { blob, .. }
        | Payload::Media(MediaStep::Add { file: blob, .. } | MediaStep::Preview { blob, .. })
        | Payload::AddFile { file: blob, .. }
        | Payload::Upload(UploadStep::Part { blob, .. }) => Some(*blob),
        _ => None,
    }
}

/// What this works with.
pub(crate) struct Parts {
    pub(crate) chain: ChainId,
    pub(crate) me: NodeId,
    pub(crate) store: Store,
    pub(crate) stock: Stock,
    pub(crate) catalogue: CatalogueHandle,
    pub(crate) replica: ReplicaHandle,
    pub(crate) findings: Findings,
    pub(crate) metrics: BlobMetrics,
    pub(crate) settings: BlobsConfig,
    pub(crate) scrub: ScrubConfig,
}

/// A store that holds bytes or is to.
pub(crate) struct Seat {
    /// Where it is.
    pub(crate) url: String,
    /// Whether bytes belong there.
    pub(crate) is_home: bool,
    /// The block that said so.
    pub(crate) since: Height,
    /// The store, or why this node cannot use it.
    pub(crate) shelves: Result<Shelves, String>,
}

/// How far this node sees things to be.
#[derive(Debug, Clone, Default)]
pub struct Progress {
    /// In the store, with the right length.
    pub stored: Amount,
    /// Named, and not there.
    pub pending: Amount,
    /// On this node's disk.
    pub cached: Amount,
    /// What went wrong last, if the last call did not work.
    pub failing: Option<String>,
}

#[derive(Default)]
struct State {
    /// None until all was looked at once since the last move.
    seen: Option<(Amount, Amount)>,
    cached: Amount,
    failing: Option<String>,
    /// How often in a row, and when it may be tried again.
    failures: u32,
    again: Option<Instant>,
    /// On their way to the store.
    putting: BTreeSet<(BlobId, u64)>,
    puts: u64,
    /// What this node knew when it stored blobs that no command names yet.
    placed: BTreeMap<BlobId, Placed>,
}

/// What a node knew when it stored a blob.
#[derive(Debug, Clone, Copy)]
struct Placed {
    at: Instant,
    /// What its catalogue had applied.
    height: Height,
    /// The move that the store was home by.
    since: Height,
}

/// A blob on its way to the store, until it is dropped.
struct Putting<'a> {
    originals: &'a Originals,
    entry: (BlobId, u64),
}

impl Drop for Putting<'_> {
    fn drop(&mut self) {
        self.originals.lock().putting.remove(&self.entry);
    }
}

/// Where files' bytes live. Cheap to clone.
#[derive(Clone)]
pub struct Originals(Arc<Shared>);

struct Shared {
    parts: Parts,
    /// None until the catalogue was asked.
    seat: watch::Sender<Option<Option<Arc<Seat>>>>,
    /// Held while a copy leaves a disk, and while home changes.
    gate: RwLock<()>,
    state: Mutex<State>,
}

impl Originals {
    pub(crate) fn new(parts: Parts) -> Self {
        Self(Arc::new(Shared {
            parts,
            seat: watch::Sender::new(None),
            gate: RwLock::new(()),
            state: Mutex::default(),
        }))
    }

    /// Follows what the ledger says, and does what follows from it, until `closing`.
    pub(crate) fn start(&self, replicator: Replicator, closing: &CancellationToken) {
        let spawn = |task: futures::future::BoxFuture<'static, ()>| {
            tokio::spawn(closing.clone().run_until_cancelled_owned(task));
        };
        spawn(Box::pin(self.clone().follow()));
        spawn(Box::pin(moving::run(self.clone(), replicator.clone())));
        spawn(Box::pin(collecting::run(self.clone(), replicator)));
    }

    async fn follow(self) {
        let parts = &self.0.parts;
        let mut heights = parts.catalogue.heights();
        loop {
            match parts.catalogue.read(|reader| reader.originals()).await {
                Ok(decided) => self.sit(decided).await,
                Err(error) => warn!(%error, "where files' bytes live cannot be told"),
            }
            if heights.changed().await.is_err() {
                return;
            }
        }
    }

    async fn sit(&self, decided: Option<OriginalsStore>) {
        let known = |seat: &Option<Arc<Seat>>| match (seat, &decided) {
            (None, None) => true,
            (Some(seat), Some(decided)) => seat.since == decided.since,
            _ => false,
        };
        if self.0.seat.borrow().as_ref().is_some_and(known) {
            return;
        }
        let seat = decided.map(|decided| {
            let OriginalsStore {
                url,
                is_home,
                era,
                since,
            } = decided;
            let shelves = Shelves::open(&url, era, self.chains());
            let shelves = shelves.map_err(|error| archiver::in_one_line(&error));
            info!(url, is_home, height = %since, "files' bytes are moved");
            Arc::new(Seat {
                url,
                is_home,
                since,
                shelves,
            })
        });
        // Whoever lets a copy go does it before, or sees the change.
        let _gate = self.0.gate.write().await;
        self.0.parts.stock.suspend();
        let mut state = self.lock();
        (state.seen, state.failures, state.again) = (None, 0, None);
        state.failing = seat
            .as_ref()
            .and_then(|seat| seat.shelves.as_ref().err().cloned());
        drop(state);
        self.0.seat.send_replace(Some(seat));
    }

    /// This chain, and those that it goes on from: their objects are read, and never touched.
    fn chains(&self) -> Vec<ChainId> {
        let mut chains = vec![self.0.parts.chain];
        let mut reader = Some(self.0.parts.replica.reader());
        while let Some(one) = reader {
            chains.extend(one.genesis().predecessor().map(|before| before.chain));
            reader = one.predecessor();
        }
        chains.dedup();
        chains
    }

    /// The store, if there is one.
    pub(crate) fn seat(&self) -> Option<Arc<Seat>> {
        self.0.seat.borrow().clone().flatten()
    }

    /// The store, if bytes belong there.
    pub(crate) fn home(&self) -> Option<Arc<Seat>> {
        self.seat().filter(|seat| seat.is_home)
    }

    /// Whether nothing was moved since.
    fn is_at(&self, seat: &Seat) -> bool {
        self.seat().is_some_and(|now| now.since == seat.since)
    }

    /// Whether bytes belong in a store.
    pub(crate) fn is_home(&self) -> bool {
        self.home().is_some()
    }

    /// Waits until it is known where bytes belong.
    pub(crate) async fn known(&self) {
        let mut seats = self.0.seat.subscribe();
        // Closed only with us.
        _ = seats.wait_for(Option::is_some).await;
    }

    /// Waits for the next move.
    pub(crate) async fn moved(&self, from: &Option<Arc<Seat>>) {
        let since = |seat: &Option<Arc<Seat>>| seat.as_ref().map(|seat| seat.since);
        let before = since(from);
        let mut seats = self.0.seat.subscribe();
        let other =
            |now: &Option<Option<Arc<Seat>>>| now.as_ref().is_some_and(|now| since(now) != before);
        _ = seats.wait_for(other).await;
    }

    /// How things are; nothing if there is no store.
    pub fn progress(&self) -> Option<Progress> {
        self.seat()?;
        let state = self.lock();
        let (stored, pending) = state.seen?;
        Some(Progress {
            stored,
            pending,
            cached: state.cached,
            failing: state.failing.clone(),
        })
    }

    /// What went wrong last, if the last call did not work.
    pub fn failing(&self) -> Option<String> {
        self.lock().failing.clone()
    }

    /// Stores a blob that is on this node's disk, and reads it back.
    ///
    /// # Errors
    /// Why it is not there.
    pub(crate) async fn put(&self, seat: &Seat, id: BlobId, size: u64) -> Result<(), ShelfError> {
        let shelves = self.shelves(seat)?;
        let putting = self.begin(seat, id);
        let file = self.0.parts.store.path(id);
        let put = shelves.put(id, size, &file).await;
        drop(putting);
        let result = if put.is_ok() { "stored" } else { "failed" };
        self.0
            .parts
            .metrics
            .store_puts
            .with_label_values(&[result])
            .inc();
        self.heard(seat, put.as_ref().err());
        let tag = put?;
        self.remember(seat, id, tag).await;
        Ok(())
    }

    fn begin(&self, seat: &Seat, id: BlobId) -> Putting<'_> {
        let placed = Placed {
            at: Instant::now(),
            height: self.0.parts.catalogue.height(),
            since: seat.since,
        };
        let mut state = self.lock();
        state.puts += 1;
        let entry = (id, state.puts);
        state.putting.insert(entry);
        state
            .placed
            .retain(|_, placed| placed.at.elapsed() < PLACED_KEEP);
        state.placed.insert(id, placed);
        drop(state);
        Putting {
            originals: self,
            entry,
        }
    }

    /// The same for an upload: while the store does not answer, it is told so at once most of the time.
    ///
    /// # Errors
    /// Why it is not there.
    pub(crate) async fn put_now(
        &self,
        seat: &Seat,
        id: BlobId,
        size: u64,
    ) -> Result<(), ShelfError> {
        if let Some(why) = self.too_soon() {
            return Err(ShelfError::Failing(why));
        }
        self.put(seat, id, size).await
    }

    /// What went wrong, if it was a moment ago.
    fn too_soon(&self) -> Option<String> {
        let state = self.lock();
        let waits = state.again.is_some_and(|again| Instant::now() < again);
        state.failing.clone().filter(|_| waits)
    }

    /// Brings a blob from the store onto this node's disk. False if it is not there.
    ///
    /// # Errors
    /// Why it is not here.
    pub(crate) async fn fetch(&self, seat: &Seat, id: BlobId) -> Result<bool, ShelfError> {
        let fetched = self.shelves(seat)?.fetch(id, &self.0.parts.store).await;
        self.heard(seat, fetched.as_ref().err());
        match fetched? {
            Some(tag) => {
                // Something names it already: no command is on its way that would.
                self.0.parts.store.named(id);
                self.remember(seat, id, tag).await;
                Ok(true)
            }
            None => Ok(false),
        }
    }

    pub(crate) fn metrics(&self) -> &BlobMetrics {
        &self.0.parts.metrics
    }

    /// Whether the store did not answer a moment ago.
    pub(crate) fn is_failing(&self) -> bool {
        self.lock().failures > 0
    }

    /// Deletes what the store holds of blobs that nobody may have any more. False if one of them is on its way there from
    /// this node.
    ///
    /// # Errors
    /// If the store does not do it.
    pub(crate) async fn erase(&self, ids: &[BlobId]) -> Result<bool, ShelfError> {
        let Some(seat) = self.seat() else {
            return Ok(true);
        };
        for id in ids {
            if self.lock().putting.iter().any(|(putting, _)| putting == id) {
                return Ok(false);
            }
            let erased = self.shelves(&seat)?.erase(*id).await;
            self.heard(&seat, erased.as_ref().err());
            erased?;
        }
        Ok(true)
    }

    /// Whether an object that was stored for a command, which is decided by now, may be gone or be in a store that was left:
    /// because of a purge of the same bytes since, or one that is not finished everywhere, or a move.
    pub(crate) async fn may_be_gone(&self, id: BlobId) -> bool {
        let Some(placed) = self.lock().placed.remove(&id) else {
            return false;
        };
        let nodes = self.members();
        let asked = self.0.parts.catalogue.read(move |reader| {
            let home = reader.originals()?.filter(|store| store.is_home);
            let stays = home.is_some_and(|store| store.since == placed.since);
            let purged = reader
                .last_purge()?
                .is_some_and(|purge| purge > placed.height);
            let gone = !stays || purged || reader.unfinished_purge(&nodes)?.is_some();
            Ok::<_, catalogue::ReadError>(gone)
        });
        // What cannot be told is taken for the worse.
        asked.await.unwrap_or(true)
    }

    fn members(&self) -> Vec<NodeId> {
        let roster = self.0.parts.replica.roster();
        roster.everybody().map(|member| member.id).collect()
    }

    fn shelves<'a>(&self, seat: &'a Seat) -> Result<&'a Shelves, ShelfError> {
        let shelves = seat.shelves.as_ref();
        shelves.map_err(|why| ShelfError::Failing(why.clone()))
    }

    /// Takes note of whether the store answers.
    fn heard(&self, seat: &Seat, error: Option<&ShelfError>) {
        let mut state = self.lock();
        match error.filter(|error| error.is_of_store()) {
            None => {
                if state.failures > 0 {
                    info!(url = seat.url, "the store answers again");
                }
                (state.failures, state.again, state.failing) = (0, None, None);
            }
            Some(error) => {
                let text = archiver::in_one_line(error);
                if state.failures == 0 {
                    warn!(
                        url = seat.url,
                        error = text,
                        "the store of files' bytes does not do what it should"
                    );
                }
                let [shortest, longest] = PAUSES;
                let doubled = shortest * (1_u32 << state.failures.min(8));
                state.failures = state.failures.saturating_add(1);
                state.again = Some(Instant::now() + doubled.min(longest));
                state.failing = Some(text);
            }
        }
    }

    /// Notes beside the copy on the disk that the object was read whole, under this tag. Only a note: without it, it is read
    /// again.
    async fn remember(&self, seat: &Seat, id: BlobId, tag: Option<String>) {
        let Some(tag) = tag else { return };
        let (store, note) = (self.0.parts.store.clone(), cache::note(&seat.url, &tag));
        let noting = move || store.put_derived(id, cache::NOTE, note.as_bytes());
        if let Ok(Err(error)) = tokio::task::spawn_blocking(noting).await {
            warn!(blob = %id, %error, "that a blob is in the store could not be noted");
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        let state = self.0.state.lock();
        state.expect("nothing panics while it holds the state of the store")
    }
}
