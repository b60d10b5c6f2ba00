//! Makes snapshots, and sees to what becomes of them.
//!
//! It works on the sealer's thread and looks now and then. Nobody is told to do anything: whoever of the voters is first
//! in the ring, counted from a place that moves with the height, acts at once, the next one some seconds later if nothing
//! has come of it.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use archive::{Archive, SnapshotIndex, SnapshotName};
use catalogue::{Marked, ReadError as RowsError, SnapshotError};
use model::{Digest, Height, LibraryId, NodeId, Payload, SnapshotStep};
use replica::{Claim, NODE_ITSELF};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::Shelf;
use super::view::{Seen, SnapshotsHandle};
use crate::archiver::in_one_line;
use crate::catalogue_thread::Captured;
use crate::{CatalogueHandle, Findings, Place, ReplicaHandle, Request};

/// A snapshot is worth its work behind so many commands about files, or so many blocks.
pub(crate) const AFTER: u64 = 20_000;
/// And not more often than this.
const EVERY: Duration = Duration::from_secs(3600);
/// Nor than this where commands are pruned and something waits to be erased.
const URGENT: Duration = Duration::from_secs(60);
/// Segments that are read for the core state of one. Where requests come faster than that, starts read as much anyway.
const SEGMENTS_MAX: usize = 128;
/// Between two looks: soon, and where nothing has changed; and behind a failure.
const LOOK: Duration = Duration::from_millis(500);
const IDLE: Duration = Duration::from_secs(5);
const RETRY: Duration = Duration::from_secs(30);
/// So long a voter waits for the one before it in the ring.
const COURTESY: Duration = Duration::from_secs(5);
/// How long a command of the node's own may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why there is no snapshot.
#[derive(Debug, thiserror::Error)]
enum MakerError {
    #[error("writing the snapshot")]
    Write(#[from] SnapshotError),
    #[error("reading the catalogue")]
    Rows(#[from] RowsError),
    #[error("reading the ledger")]
    Ledger(#[from] ledger::ReadError),
    #[error("sealing what vouches for a snapshot")]
    Seal(#[from] ledger::SealError),
    #[error("deleting old snapshots")]
    Folder(#[from] std::io::Error),
    #[error(transparent)]
    Archive(#[from] archive::StoreError),
    #[error("the node stops")]
    Stopping,
}

/// What a maker works with.
pub(crate) struct Parts {
    pub(crate) me: NodeId,
    pub(crate) shelf: Shelf,
    pub(crate) replica: ReplicaHandle,
    pub(crate) catalogue: CatalogueHandle,
    pub(crate) archive: Option<Archive>,
    pub(crate) findings: Findings,
    pub(crate) shown: SnapshotsHandle,
    pub(crate) closing: CancellationToken,
    /// After so many commands, if not as usual, and then as often as that.
    pub(crate) after: Option<u64>,
}

impl Parts {
    /// How long to wait: not long where a test asks for many snapshots.
    fn hurried(&self, usual: Duration) -> Duration {
        if self.after.is_some() { LOOK } else { usual }
    }
}

/// One node's maker.
pub(crate) struct Maker {
    parts: Parts,
    runtime: Handle,
    next: Instant,
    /// When it last looked, and at which height.
    looked: Option<(Height, Instant)>,
    told: Option<String>,
    /// The snapshot that this node has made itself.
    made: Option<(Height, Digest)>,
    /// What was marked last, and when that was seen.
    marked: Option<(Height, Instant)>,
    /// Since when it is this node's wish that something be done.
    waiting: Option<Instant>,
    /// The snapshot of which the archive needs nothing more.
    archived: Option<Height>,
    compared: Option<Height>,
}

impl Maker {
    pub(crate) fn new(parts: Parts) -> Self {
        Self {
            parts,
            runtime: Handle::current(),
            next: Instant::now(),
            looked: None,
            told: None,
            made: None,
            marked: None,
            waiting: None,
            archived: None,
            compared: None,
        }
    }

    /// Does what there is to do now.
    pub(crate) fn step(&mut self) {
        if Instant::now() < self.next && !self.parts.catalogue.has_captured() {
            return;
        }
        let pause = match self.look() {
            Ok(()) => {
                self.told = None;
                LOOK
            }
            Err(error) => {
                let text = in_one_line(&error);
                if self.told.as_ref() != Some(&text) {
                    warn!(error = text, "there is no new snapshot; it is tried again");
                }
                self.told = Some(text);
                RETRY
            }
        };
        self.next = Instant::now() + pause;
    }

    fn look(&mut self) -> Result<(), MakerError> {
        let height = self.parts.catalogue.height();
        let same = self
            .looked
            .is_some_and(|(at, when)| at == height && when.elapsed() < self.parts.hurried(IDLE));
        let idle = same && self.waiting.is_none();
        if idle && !self.parts.catalogue.has_captured() {
            return Ok(());
        }
        self.looked = Some((height, Instant::now()));
        if let Some(captured) = self.parts.catalogue.take_captured() {
            self.make(captured)?;
        }
        let marked = self.ask(|rows| rows.marked())?;
        self.tidy(&marked)?;
        if let Some(mark) = marked.first()
            && self.marked.is_none_or(|(height, _)| height < mark.height)
        {
            self.marked = Some((mark.height, Instant::now()));
        }
        if let Some((height, digest)) = self.made {
            match marked.iter().find(|mark| mark.height == height) {
                // A purge came between.
                None => self.made = None,
                Some(mark) => self.vouch(mark, digest),
            }
        }
        for mark in &marked {
            if let Some(name) = self.believed(mark) {
                self.compare(name)?;
                self.bring(name)?;
                break;
            }
        }
        self.show(&marked);
        self.mark(&marked)
    }

    /// Lets people see what there is.
    fn show(&self, marked: &[Marked]) {
        let roster = self.parts.replica.roster();
        let see = |mark: &Marked| {
            let mut seen = Seen::of(mark, roster.voters());
            seen.is_here = named(&seen).is_some_and(|name| self.parts.shelf.index(name).is_some());
            seen
        };
        self.parts.shown.show(marked.iter().map(see).collect());
    }

    /// Writes what the catalogue's thread has held on to.
    fn make(&mut self, captured: Captured) -> Result<(), MakerError> {
        let reader = self.parts.replica.reader();
        let height = captured.height;
        let known = super::newest(&self.parts.shelf, reader, |at| at < height);
        let known = known.map(|begin| begin.known);
        if self.is_too_much(known.as_ref().map(|known| known.height), height)? {
            return Ok(());
        }
        let missing = ledger::ReadError::Missing { height };
        let block = reader.block(height)?.ok_or(missing)?.block;
        let core = replica::core_at(reader, known, height)?;
        let index = super::write(&self.parts.shelf, &captured.rows, &core, &block)?;
        self.made = Some((height, index.digest()));
        Ok(())
    }

    /// Whether too much has to be read for the core state of a height.
    fn is_too_much(&self, known: Option<Height>, height: Height) -> Result<bool, MakerError> {
        let reader = self.parts.replica.reader();
        let from = super::first_of_use(reader)?.max(known.unwrap_or_default());
        let segments = reader.segments().into_iter();
        let between = segments.filter(|name| name.to() >= from && name.from() <= height);
        Ok(between.count() > SEGMENTS_MAX)
    }

    /// Lets go of snapshots that are not those of marked heights, and of all but the newest two.
    fn tidy(&self, marked: &[Marked]) -> Result<(), MakerError> {
        let kept: BTreeSet<Height> = marked.iter().take(2).map(|mark| mark.height).collect();
        // One that was fetched lies above what a catalogue that is being built has heard of.
        let height = self.parts.catalogue.height();
        let shelf = &self.parts.shelf;
        // Where commands are pruned, a catalogue can begin with nothing else: the last one goes when there is a newer one.
        let pruned = !self.ask(|rows| rows.prunes())?.is_empty();
        let base = pruned.then(|| self.base(marked)).transpose()?;
        let needed = |at| kept.contains(&at) || base.is_some_and(|base| at >= base);
        Ok(shelf.keep_only(|at| at > height || needed(at))?)
    }

    /// From this height on snapshots are kept that may be the only ones to begin with: all, while none is believed.
    fn base(&self, marked: &[Marked]) -> Result<Height, MakerError> {
        let names = self.parts.shelf.indexes()?;
        let mut believed = marked.iter().filter_map(|mark| self.believed(mark));
        let newest = believed.find(|name| names.contains(name));
        Ok(newest.map_or(Height::GENESIS, |name| name.height))
    }

    fn vouch(&self, mark: &Marked, digest: Digest) {
        let node = self.parts.me;
        let said = mark.vouched.iter().any(|(by, ..)| *by == node);
        if said || !self.votes() {
            return;
        }
        let step = SnapshotStep::Vouch {
            height: mark.height,
            version: catalogue::version(),
            digest,
            node,
        };
        self.submit(step);
    }

    /// What enough voters say of a height.
    fn believed(&self, mark: &Marked) -> Option<SnapshotName> {
        let roster = self.parts.replica.roster();
        named(&Seen::of(mark, roster.voters()))
    }

    /// Holds this node's own against what is believed.
    fn compare(&mut self, name: SnapshotName) -> Result<(), MakerError> {
        let differs = self
            .made
            .is_some_and(|(height, digest)| height == name.height && digest != name.digest);
        if !differs || self.compared == Some(name.height) {
            return Ok(());
        }
        // A purge that is decided and not applied here yet explains a difference, and ends the snapshot.
        if self.still_stands(name.height)? {
            let what = format!(
                "at height {} it is not what other voters vouch for",
                name.height
            );
            self.parts.findings.report(Place::Catalogue, what, None);
            self.compared = Some(name.height);
        }
        Ok(())
    }

    /// Whether a height is marked by all that the cluster has decided until now.
    fn still_stands(&self, height: Height) -> Result<bool, MakerError> {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        let Parts {
            replica, catalogue, ..
        } = &self.parts;
        let reached = self.wait_for(async {
            let height = replica.linearizable(deadline).await.ok()?;
            catalogue.applied(height, deadline).await.ok()
        })?;
        if reached.is_none() {
            return Ok(false);
        }
        let marked = self.ask(|rows| rows.marked())?;
        Ok(marked.iter().any(|mark| mark.height == height))
    }

    /// Puts a believed snapshot into the archive, unless it is there, with the blocks that vouch for it.
    fn bring(&mut self, name: SnapshotName) -> Result<(), MakerError> {
        let Some(archive) = self.parts.archive.clone() else {
            return Ok(());
        };
        let Some(index) = self.parts.shelf.index(name) else {
            return Ok(());
        };
        if self.archived.is_some_and(|height| height >= name.height)
            || !self.is_my_turn(name.height)
        {
            return Ok(());
        }
        // A node that was away must not bring back what a purge has ended meanwhile.
        if !self.still_stands(name.height)? {
            return Ok(());
        }
        let there = self.wait_for(archive.snapshots())??;
        if !there.contains(&name) {
            ledger::seal_to_tip(self.parts.replica.reader())?;
            self.put(&archive, &index)?;
            info!(height = %name.height, "archived a snapshot");
        }
        // The one before stays: who has not got the newest blocks yet can believe that one.
        let mut heights: Vec<Height> = there.iter().map(|name| name.height).collect();
        heights.retain(|height| *height < name.height);
        if let Some(before) = heights.first() {
            self.wait_for(archive.remove_snapshots(*before))??;
        }
        self.archived = Some(name.height);
        self.waiting = None;
        Ok(())
    }

    fn put(&self, archive: &Archive, index: &SnapshotIndex) -> Result<(), MakerError> {
        let folder = self.parts.shelf.folder()?;
        Ok(self.wait_for(archive.add_snapshot(folder, index))??)
    }

    /// Asks for a new snapshot if enough was decided since the last.
    fn mark(&mut self, marked: &[Marked]) -> Result<(), MakerError> {
        let known = marked.iter().any(|mark| self.believed(mark).is_some());
        let urgent = !known && self.is_awaited()?;
        let every = self.parts.hurried(if urgent { URGENT } else { EVERY });
        let lately = self.marked.is_some_and(|(_, seen)| seen.elapsed() < every);
        if lately || !self.votes() || !(urgent || self.is_due(marked)?) {
            return Ok(());
        }
        let above = marked.first().map_or(Height::GENESIS, |mark| mark.height);
        if self.is_my_turn(above) {
            self.submit(SnapshotStep::Mark);
            self.waiting = None;
        }
        Ok(())
    }

    /// Whether this node cannot erase what was purged before there is a new snapshot: the old ones hold it, and where
    /// commands are pruned one is needed.
    fn is_awaited(&self) -> Result<bool, MakerError> {
        let me = self.parts.me;
        self.ask(move |rows| Ok(!rows.prunes()?.is_empty() && !rows.purges(Some(me))?.is_empty()))
    }

    fn is_due(&self, marked: &[Marked]) -> Result<bool, MakerError> {
        let above = marked.first().map_or(Height::GENESIS, |mark| mark.height);
        let applied = self.parts.catalogue.height();
        if applied < self.parts.replica.tip() {
            return Ok(false);
        }
        if applied.0.saturating_sub(above.0) >= AFTER {
            return Ok(!self.is_too_much(Some(above), applied)?);
        }
        let after = self.parts.after.unwrap_or(AFTER);
        self.ask(move |rows| rows.has_grown(above, after))
    }

    fn votes(&self) -> bool {
        let roster = self.parts.replica.roster();
        roster.voters().contains(self.parts.me)
    }

    /// Whether those who come before this node have had their time.
    fn is_my_turn(&mut self, height: Height) -> bool {
        let roster = self.parts.replica.roster();
        let voters = roster.voters();
        let Some(place) = voters.index_of(self.parts.me) else {
            return false;
        };
        let count = voters.len() as u64;
        let place = (place as u64 + height.0) % count.max(1);
        let since = *self.waiting.get_or_insert_with(Instant::now);
        let courtesy = self.parts.hurried(COURTESY) * u32::try_from(place).unwrap_or(u32::MAX);
        since.elapsed() >= courtesy
    }

    fn ask<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&mut catalogue::Reader) -> Result<T, RowsError> + Send + 'static,
    ) -> Result<T, MakerError> {
        Ok(self.runtime.block_on(self.parts.catalogue.read(ask))?)
    }

    fn wait_for<T>(&self, work: impl Future<Output = T>) -> Result<T, MakerError> {
        let closing = &self.parts.closing;
        let done = self.runtime.block_on(closing.run_until_cancelled(work));
        done.ok_or(MakerError::Stopping)
    }

    /// Has a command decided; what does not work now is tried again at the next look.
    fn submit(&self, step: SnapshotStep) {
        let request = Request {
            library: LibraryId::home(),
            actor: NODE_ITSELF,
            key: None,
            payload: Payload::Snapshot(step),
        };
        let deadline = tokio::time::Instant::now() + PATIENCE;
        match self.wait_for(self.parts.replica.submit(request, deadline)) {
            Err(_) => {}
            Ok(Err(error)) => debug!(%error, "a step of a snapshot was not decided"),
            Ok(Ok(decision)) => {
                let catalogue = &self.parts.catalogue;
                let applied = catalogue.applied(decision.position.height, deadline);
                _ = self.wait_for(applied);
            }
        }
    }
}

/// Under which name the snapshot lies that is believed, if one is.
fn named(seen: &Seen) -> Option<SnapshotName> {
    Some(super::place_of(Claim {
        height: seen.height,
        version: catalogue::version(),
        digest: seen.believed?,
    }))
}
