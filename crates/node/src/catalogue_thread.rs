//! The one thread that writes the catalogue, and the handle by which the rest of the node reads it.
//!
//! Consensus never waits for the catalogue: decided blocks are handed over in order and applied in runs, one SQLite
//! transaction per run. Blocks that hold nothing but raw records change no row; their heights are noted at once and
//! written with the next run, so that a stream of records costs SQLite nothing.
//!
//! A run that cannot be written, on a full disk for instance, is kept and tried again until it can: searches stand
//! still meanwhile at the height before it.
//!
//! What waits is bounded: a catalogue that is far behind (a node that joins, a file that was deleted) is told nothing
//! more, reads the blocks from the ledger at its own speed, and listens again when it is there (`backlog`).

mod backlog;
mod input;
mod snapshot;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use catalogue::{Applied, ApplyError, BlockInput, Catalogue, Index, OpenError, Outcome, Reader};
use model::{BlobId, Height, MediaStep, Payload, Position};
use replica::{AppliedBlock, CoreState};
use tokio::sync::{Semaphore, watch};
use tracing::{error, info, warn};

use self::backlog::Flow;
pub(crate) use self::input::{InputError, block_input};
pub(crate) use self::snapshot::{Captured, Home};
use crate::metrics::{CatalogueMetrics, seconds};
use crate::snapshots::Begin;

/// A run ends at this many blocks or commands.
const RUN_BLOCKS: usize = 512;
const RUN_COMMANDS: usize = 2_000;
/// Heights of blocks without rows are written at least this often.
const IDLE_FLUSH: Duration = Duration::from_millis(500);
/// Between two looks whether another process has written to the file.
const LOOK: Duration = Duration::from_millis(100);
/// A start applies what is missing for so long. The rest is read by the thread, while the node takes part.
const START_PATIENCE: Duration = Duration::from_secs(1);
/// Outcomes kept for the requests that wait for them.
const OUTCOMES_KEPT: usize = 16_384;
/// Between a run that could not be written and the next try. Blocks wait in their channel meanwhile.
const RETRY: Duration = Duration::from_millis(500);
/// A file that seems damaged is looked at anew so often, since a full disk makes a good one seem so.
const DAMAGED_MAX: u32 = 20;
/// Readers open at one time: more would only queue for the same two cores.
const READERS: usize = 4;

/// The state was not applied in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this node has applied height {applied}, not yet {wanted}")]
pub struct Behind {
    /// What was waited for.
    pub wanted: Height,
    /// What there is.
    pub applied: Height,
}

/// Collects decided blocks into runs.
pub(crate) struct Feeder {
    catalogue: Catalogue,
    /// Told which blobs are named.
    blobs: blobs::Store,
    run: Vec<BlockInput>,
    commands: usize,
    /// Whether blocks were left out, which the thread has to read from the ledger.
    behind: bool,
    /// A height of the run that asks for a snapshot.
    marked: Option<Height>,
    /// Tells which prunes are in force, once it is open.
    ledger: Option<ledger::Reader>,
    /// A block that could not be added, which has to be dealt with before anything else is.
    stuck: Option<InputError>,
    metrics: CatalogueMetrics,
}

impl Feeder {
    pub(crate) fn new(
        catalogue: Catalogue,
        blobs: blobs::Store,
        metrics: CatalogueMetrics,
    ) -> Self {
        Self {
            catalogue,
            blobs,
            run: Vec::new(),
            commands: 0,
            behind: false,
            marked: None,
            ledger: None,
            stuck: None,
            metrics,
        }
    }

    /// Adds a block that was replayed at start, unless that has taken too long already: nobody can vote meanwhile.
    pub(crate) fn follow(
        &mut self,
        applied: &AppliedBlock,
        since: Instant,
    ) -> Result<(), ApplyError> {
        // The first block is never left out: below it there is no height to be at.
        let begun = self.height().is_some() || !self.run.is_empty();
        self.behind |= begun && since.elapsed() > START_PATIENCE;
        if self.behind {
            return Ok(());
        }
        self.push(applied)?;
        // The thread deals with it.
        self.behind |= self.stuck.is_some();
        Ok(())
    }

    /// Leaves everything behind the first block to the thread.
    pub(crate) fn leave_the_rest(&mut self) {
        self.behind = true;
    }

    /// The height that a start has reached, of a chain with its tip here.
    pub(crate) fn reached(&self, tip: Height) -> Height {
        if self.behind {
            self.height().unwrap_or(Height::GENESIS)
        } else {
            tip
        }
    }

    /// Adds a block that the catalogue does not hold yet; gives the outcomes if that completed a run.
    pub(crate) fn push(&mut self, applied: &AppliedBlock) -> Result<Vec<Applied>, ApplyError> {
        let height = applied.block.height();
        let collected = self.run.last().map(|block| block.height);
        if collected.or(self.height()).is_some_and(|at| height <= at) || self.stuck.is_some() {
            return Ok(Vec::new());
        }
        let ledger = self.ledger.as_ref();
        let input = match block_input(&applied.block, &applied.dispositions, ledger) {
            Ok(input) => input,
            Err(error) => {
                self.stuck = Some(error);
                return self.flush();
            }
        };
        self.commands += input.commands.len();
        let is_marked = snapshot::is_marked(&input);
        if is_marked {
            self.marked = Some(height);
        }
        self.run.push(input);
        if is_marked || self.run.len() >= RUN_BLOCKS || self.commands >= RUN_COMMANDS {
            self.flush()
        } else {
            Ok(Vec::new())
        }
    }

    /// Why nothing is added any more; asked by who does something about it.
    fn unstick(&mut self) -> Option<InputError> {
        self.stuck.take()
    }

    /// The height that is written.
    fn height(&self) -> Option<Height> {
        self.catalogue.height()
    }

    /// Whether a row would change.
    fn has_rows(&self) -> bool {
        self.commands > 0
    }

    /// Applies what has been collected, or keeps it.
    pub(crate) fn flush(&mut self) -> Result<Vec<Applied>, ApplyError> {
        if self.run.is_empty() {
            return Ok(Vec::new());
        }
        let begun = Instant::now();
        let applied = self.catalogue.apply(&self.run)?;
        self.metrics.apply.observe(seconds(begun.elapsed()));
        let commands = self.run.iter().flat_map(|block| &block.commands);
        for blob in commands.filter_map(|(_, command)| arrived_for(&command.payload)) {
            self.blobs.named(blob);
        }
        self.commands = 0;
        self.run.clear();
        Ok(applied)
    }
}

/// The blob that arrived for a command, if it may have.
fn arrived_for(payload: &Payload) -> Option<BlobId> {
    match payload {
        Payload::Media(MediaStep::Preview { blob, .. }) => Some(*blob),
        payload => payload.names(),
    }
}

/// Reads the catalogue. Cheap to clone.
#[derive(Clone)]
pub struct CatalogueHandle {
    shared: Arc<Shared>,
}

/// A catalogue that is to take the place of the one in use, which is not what the ledger says.
pub(crate) struct Replacement {
    /// Its file, which nobody has open.
    pub(crate) path: PathBuf,
    /// What it was built up to.
    pub(crate) height: Height,
    /// What the ledger's requests are at that height, to go on from there.
    pub(crate) core: CoreState,
    /// The ledger.
    pub(crate) reader: ledger::Reader,
    /// The folder where the one in use is to be kept.
    pub(crate) quarantine: PathBuf,
    /// Told where it is kept, or why it was not replaced.
    pub(crate) done: Sender<Result<PathBuf, String>>,
}

struct Shared {
    path: PathBuf,
    applied: watch::Sender<Height>,
    outcomes: Mutex<Outcomes>,
    permits: Semaphore,
    readers: Mutex<Readers>,
    /// What searches count with; none until it is built.
    index: watch::Sender<Option<Arc<Index>>>,
    replacement: Mutex<Option<Replacement>>,
    /// The state at a height of which a snapshot is to be made.
    captured: Mutex<Option<Captured>>,
    /// A height whose commands are pruned: a snapshot of it or of one above is needed.
    lacks: watch::Sender<Option<Height>>,
    /// Held by who compares: it builds at one place, and may replace.
    comparing: Mutex<()>,
    /// Odd while this node itself writes to the file beside the thread; grows with each time.
    beside: AtomicU64,
    /// Counts how often another process was found to have written to the file.
    meddled: watch::Sender<u64>,
}

/// Readers that nobody uses.
#[derive(Default)]
struct Readers {
    idle: Vec<Reader>,
    /// Counts the files that were at the catalogue's path, and their indexes: a reader of an earlier one is not used again.
    file: u64,
}

/// The outcomes of late, by position; the oldest go first.
#[derive(Default)]
struct Outcomes {
    map: HashMap<Position, Outcome>,
    order: VecDeque<Position>,
}

impl Outcomes {
    fn keep(&mut self, applied: Vec<Applied>) {
        for Applied { position, outcome } in applied {
            self.map.insert(position, outcome);
            self.order.push_back(position);
        }
        while self.order.len() > OUTCOMES_KEPT
            && let Some(oldest) = self.order.pop_front()
        {
            self.map.remove(&oldest);
        }
    }
}

/// The thread, to be stopped and joined.
pub(crate) struct Running {
    pub(crate) handle: CatalogueHandle,
    blocks: Sender<Arc<AppliedBlock>>,
    flow: Arc<Flow>,
    thread: JoinHandle<()>,
}

/// Starts the thread. `applied` is the height the catalogue is at; what is missing up to the tip it reads from the
/// ledger.
///
/// # Errors
/// If the system gives no thread.
pub(crate) fn start(
    mut feeder: Feeder,
    path: &Path,
    applied: Height,
    ledger: ledger::Reader,
    home: Home,
    begin: Option<Begin>,
) -> std::io::Result<Running> {
    let shared = Arc::new(Shared {
        path: path.to_owned(),
        applied: watch::Sender::new(applied),
        outcomes: Mutex::default(),
        permits: Semaphore::new(READERS),
        readers: Mutex::default(),
        index: watch::Sender::new(None),
        replacement: Mutex::default(),
        captured: Mutex::default(),
        lacks: watch::Sender::new(None),
        comparing: Mutex::default(),
        beside: AtomicU64::new(0),
        meddled: watch::Sender::new(0),
    });
    feeder.ledger = Some(ledger.clone());
    let (blocks, receiver) = channel();
    let flow = Arc::new(Flow::new(applied == ledger.tip().0));
    let worker = Worker {
        feeder,
        ledger,
        home,
        begin,
        flow: Arc::clone(&flow),
        shared: Arc::clone(&shared),
        stands_still: None,
        damaged: 0,
        beside: 0,
        flushed: Instant::now(),
    };
    let thread = std::thread::Builder::new()
        .name("catalogue".to_owned())
        .spawn(move || worker.run(&receiver))?;
    Ok(Running {
        handle: CatalogueHandle { shared },
        blocks,
        flow,
        thread,
    })
}

impl Running {
    /// Where decided blocks go, in order.
    pub(crate) fn feed(&self) -> impl FnMut(Arc<AppliedBlock>) + Send + use<> {
        let (blocks, flow) = (self.blocks.clone(), Arc::clone(&self.flow));
        move |block| {
            if flow.enter(&block) {
                // After the thread has failed the node is shutting down already.
                let _ = blocks.send(block);
            }
        }
    }

    /// Ends the thread once every feed is gone, and waits for it.
    pub(crate) fn stop(self) {
        drop(self.blocks);
        self.flow.stop();
        if self.thread.join().is_err() {
            error!("the catalogue thread panicked");
        }
    }
}

struct Worker {
    feeder: Feeder,
    ledger: ledger::Reader,
    /// A snapshot to begin with.
    begin: Option<Begin>,
    home: Home,
    flow: Arc<Flow>,
    shared: Arc<Shared>,
    /// Why the last run could not be written, if it could not.
    stands_still: Option<String>,
    /// How often in a row the file seemed damaged.
    damaged: u32,
    /// What the count of this node's own writings beside the thread was last.
    beside: u64,
    /// When what needs no haste was written last.
    flushed: Instant,
}

impl Worker {
    fn run(mut self, blocks: &Receiver<Arc<AppliedBlock>>) {
        loop {
            self.build_index();
            self.replace();
            if !self.flow.is_open() && !self.catch_up() {
                return;
            }
            self.look_for_others();
            let step = match blocks.recv_timeout(LOOK) {
                Ok(block) => self.apply_run(&block, blocks),
                Err(RecvTimeoutError::Timeout) if self.flushed.elapsed() < IDLE_FLUSH => Ok(()),
                Err(RecvTimeoutError::Timeout) => {
                    self.flushed = Instant::now();
                    self.flush()
                }
                Err(RecvTimeoutError::Disconnected) => {
                    if let Err(error) = self.flush() {
                        // The ledger has everything: the next start goes on from the last height written.
                        error!(%error, cause = cause(&error), "the catalogue could not be written");
                    }
                    self.leave();
                    // So that the last connection to close is the one that writes, and leaves no journal.
                    self.shared.readers.lock().expect("see read").idle.clear();
                    return;
                }
            };
            if !self.goes_on(step) {
                return;
            }
        }
    }

    /// Leaves the index for the next start, if all is well.
    fn leave(&self) {
        if self.stands_still.is_some() {
            return;
        }
        if let Err(error) = self.feeder.catalogue.leave() {
            warn!(%error, "the index of searches could not be left for the next start");
        }
    }

    /// Says so if another process has written to the file.
    fn look_for_others(&mut self) {
        let written = self.feeder.catalogue.is_written_by_others();
        // After that: what this node has written itself is counted by now.
        let beside = self.shared.beside.load(Ordering::SeqCst);
        let own = !beside.is_multiple_of(2) || beside != self.beside;
        self.beside = beside;
        // Who cannot read it now will hear of it when it is written.
        if written.unwrap_or(false) && !own {
            error!("another process wrote to the catalogue: it is compared with the ledger");
            self.shared.meddled.send_modify(|count| *count += 1);
        }
    }

    /// Says when writing begins to fail and when it works again; false if only a new start can help.
    fn goes_on(&mut self, step: Result<(), ApplyError>) -> bool {
        let Err(error) = step else {
            self.damaged = 0;
            if self.stands_still.take().is_some() {
                info!("the catalogue can be written again");
            }
            return true;
        };
        let cause = cause(&error);
        if self.stands_still.as_ref() != Some(&cause) {
            error!(%error, cause, "the catalogue could not be written: searches stand still until it can");
        }
        self.stands_still = Some(cause);
        self.damaged = if error.is_damage() {
            self.damaged + 1
        } else {
            0
        };
        if self.damaged > DAMAGED_MAX {
            error!("the catalogue is damaged: searches stand still until a restart rebuilds it");
            return false;
        }
        if self.damaged > 0
            && let Err(error) = self.feeder.catalogue.reconnect()
        {
            error!(%error, "the catalogue could not be opened again");
        }
        std::thread::sleep(RETRY);
        true
    }

    /// Builds what searches count with, once, while the node takes part already: searches wait for it.
    fn build_index(&mut self) {
        if self.shared.index.borrow().is_some() {
            return;
        }
        match self.feeder.catalogue.index() {
            Ok(index) => {
                let mut readers = self.shared.readers.lock().expect("see read");
                // Those that are open know nothing of it.
                readers.idle.clear();
                readers.file += 1;
                self.shared.index.send_replace(Some(index));
            }
            Err(error) => {
                error!(%error, cause = %cause(&error), "the catalogue's index could not be built");
            }
        }
    }

    /// Puts another catalogue in the place of this one, if somebody has found this one wrong.
    fn replace(&mut self) {
        let mut waiting = self.shared.replacement.lock().expect("see replace_by");
        let Some(replacement) = waiting.take() else {
            return;
        };
        drop(waiting);
        let done = replacement.done.clone();
        let outcome = self.replace_by(replacement);
        match &outcome {
            Ok(_) => info!("the catalogue was replaced by one rebuilt from the ledger"),
            Err(why) => error!(why, "the catalogue could not be replaced"),
        }
        // Whoever asked may have stopped waiting.
        let _ = done.send(outcome);
    }

    fn replace_by(&mut self, replacement: Replacement) -> Result<PathBuf, String> {
        self.flush().map_err(|error| cause(&error))?;
        let height = self.feeder.catalogue.height();
        catch_up(&replacement, height)?;
        let Replacement {
            path, quarantine, ..
        } = replacement;
        // While no reader is given out: each would have the old file open.
        let mut readers = self.shared.readers.lock().expect("see read");
        readers.idle.clear();
        readers.file += 1;
        let replaced = self.feeder.catalogue.replace(&path, &quarantine);
        replaced.map_err(|error| error.to_string())
    }

    fn apply_run(
        &mut self,
        first: &AppliedBlock,
        blocks: &Receiver<Arc<AppliedBlock>>,
    ) -> Result<(), ApplyError> {
        self.flow.leave(first);
        let mut height = first.block.height();
        let outcomes = self.feeder.push(first)?;
        self.keep(outcomes);
        self.capture();
        while let Ok(block) = blocks.try_recv() {
            self.flow.leave(&block);
            height = block.block.height();
            let outcomes = self.feeder.push(&block)?;
            self.keep(outcomes);
            self.capture();
        }
        if self.feeder.has_rows() {
            self.flush()?;
        }
        match &self.feeder.stuck {
            None => self.reach(height),
            // What is to be done about it is done where the ledger is read.
            Some(_) => self.flow.close(),
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), ApplyError> {
        let outcomes = self.feeder.flush()?;
        self.keep(outcomes);
        if let Some(height) = self.feeder.height() {
            self.reach(height);
        }
        Ok(())
    }

    /// Tells that a height is applied.
    fn reach(&self, height: Height) {
        self.shared.applied.send_if_modified(|applied| {
            let behind = *applied < height;
            *applied = height.max(*applied);
            behind
        });
    }

    fn keep(&self, applied: Vec<Applied>) {
        if !applied.is_empty() {
            self.shared
                .outcomes
                .lock()
                .expect("nothing panics while it holds the outcomes")
                .keep(applied);
        }
    }
}

/// Brings a rebuilt catalogue to the height of the one in use.
fn catch_up(replacement: &Replacement, height: Option<Height>) -> Result<(), String> {
    let text = |error: &dyn std::error::Error| error.to_string();
    let (tip, _) = replacement.reader.tip();
    if height > Some(tip) {
        return Err(format!(
            "the ledger ends at height {tip}, below the catalogue"
        ));
    }
    let mut catalogue = Catalogue::open(&replacement.path).map_err(|error| text(&error))?;
    let mut core = replacement.core.clone();
    for decided in replacement.reader.blocks(replacement.height.next()) {
        let block = decided.map_err(|error| text(&error))?.block;
        if height.is_none_or(|height| block.height() > height) {
            break;
        }
        let input = block_input(&block, &core.apply(&block), Some(&replacement.reader));
        let input = input.map_err(|error| text(&error))?;
        catalogue.apply(&[input]).map_err(|error| text(&error))?;
    }
    Ok(())
}

/// What SQLite says.
fn cause(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(String::new, ToString::to_string)
}

impl CatalogueHandle {
    /// The database's file.
    pub(crate) fn path(&self) -> &Path {
        &self.shared.path
    }

    /// Cuts the catalogue's journal to nothing; false if a reader is in the way.
    pub(crate) fn empty_journal(&self) -> Result<bool, OpenError> {
        self.shared.beside.fetch_add(1, Ordering::SeqCst);
        let emptied = catalogue::empty_journal(&self.shared.path);
        self.shared.beside.fetch_add(1, Ordering::SeqCst);
        emptied
    }

    /// Tells whenever another process was found to have written to the catalogue.
    pub(crate) fn meddled(&self) -> watch::Receiver<u64> {
        self.shared.meddled.subscribe()
    }

    /// Waits until nobody else compares the catalogue with the ledger. Blocks the thread.
    pub(crate) fn compare_alone(&self) -> MutexGuard<'_, ()> {
        let alone = self.shared.comparing.lock();
        // Nothing is kept under it that a panic could spoil.
        alone.unwrap_or_else(PoisonError::into_inner)
    }

    /// The height of which, or of one above, a snapshot is needed: its commands are pruned, so this catalogue cannot go on
    /// without.
    pub(crate) fn lacks(&self) -> watch::Receiver<Option<Height>> {
        self.shared.lacks.subscribe()
    }

    /// Has the thread put another catalogue in the place of the one in use, at a moment that suits it.
    pub(crate) fn replace(&self, replacement: Replacement) {
        let mut waiting = self
            .shared
            .replacement
            .lock()
            .expect("nothing panics while it holds this");
        *waiting = Some(replacement);
    }

    /// The height applied here.
    pub fn height(&self) -> Height {
        *self.shared.applied.borrow()
    }

    /// Tells whenever something is applied here.
    pub fn heights(&self) -> watch::Receiver<Height> {
        self.shared.applied.subscribe()
    }

    /// Waits until a height is applied here, however long that takes.
    pub(crate) async fn reached(&self, height: Height) {
        let mut applied = self.shared.applied.subscribe();
        // The sender lives in `shared`.
        let _ = applied.wait_for(|at| *at >= height).await;
    }

    /// Waits until a height is applied here.
    ///
    /// # Errors
    /// If it is not in time.
    pub async fn applied(
        &self,
        height: Height,
        deadline: tokio::time::Instant,
    ) -> Result<(), Behind> {
        let mut applied = self.shared.applied.subscribe();
        let reached = applied.wait_for(|at| *at >= height);
        match tokio::time::timeout_at(deadline, reached).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Behind {
                wanted: height,
                applied: self.height(),
            }),
        }
    }

    /// What became of a command: one decided through this node a moment ago, or one with a key. None if its outcome
    /// is not kept any more.
    ///
    /// # Errors
    /// If its block is not applied here in time.
    pub async fn outcome(
        &self,
        position: Position,
        deadline: tokio::time::Instant,
    ) -> Result<Option<Outcome>, Behind> {
        self.applied(position.height, deadline).await?;
        let kept = {
            let outcomes = self.shared.outcomes.lock().expect("see keep");
            outcomes.map.get(&position).cloned()
        };
        if kept.is_some() {
            return Ok(kept);
        }
        Ok(self
            .read(move |reader| reader.outcome(position).ok().flatten())
            .await)
    }

    /// Forgets what became of these commands.
    pub(crate) fn forget(&self, commands: impl Iterator<Item = Position>) {
        let mut outcomes = self.shared.outcomes.lock().expect("see keep");
        for position in commands {
            outcomes.map.remove(&position);
        }
    }

    /// Waits until searches can be answered at once.
    ///
    /// # Errors
    /// If that is not so in time.
    pub(crate) async fn indexed(&self, deadline: tokio::time::Instant) -> Result<(), Behind> {
        let mut index = self.shared.index.subscribe();
        let built = index.wait_for(Option::is_some);
        match tokio::time::timeout_at(deadline, built).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Behind {
                wanted: self.height(),
                applied: Height::GENESIS,
            }),
        }
    }

    /// Runs a query on a reader of its own, on a thread where it may block.
    ///
    /// # Panics
    /// If the query does, or if the catalogue cannot be opened, which it could at start.
    pub async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&mut Reader) -> T + Send + 'static,
    ) -> T {
        let permit = self
            .shared
            .permits
            .acquire()
            .await
            .expect("the semaphore is never closed");
        let shared = Arc::clone(&self.shared);
        let task = tokio::task::spawn_blocking(move || {
            let (mut reader, file) = {
                let readers = shared.readers.lock();
                let mut readers = readers.expect("nothing panics while it holds the readers");
                let reader = readers.idle.pop().unwrap_or_else(|| {
                    let index = shared.index.borrow().clone();
                    let reader = match index {
                        Some(index) => Reader::sharing(&shared.path, index),
                        None => Reader::open(&shared.path),
                    };
                    reader.expect("the catalogue was opened at start")
                });
                (reader, readers.file)
            };
            let answer = query(&mut reader);
            let mut readers = shared.readers.lock().expect("see above");
            if readers.file == file {
                readers.idle.push(reader);
            }
            answer
        });
        let answer = task.await.expect("a query does not panic");
        drop(permit);
        answer
    }
}
