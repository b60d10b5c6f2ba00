//! Prunes: the eraser's other work, with the same steps. What is pruned is no secret, so nothing has to be hidden first; what
//! matters is that nothing goes before a snapshot that holds it is safe on this very disk.

use std::error::Error;

use archive::SnapshotName;
use catalogue::{Pruning, Reader as Rows};
use ledger::{Erased, Residues};
use model::{Height, LibraryId, Payload, Prune};
use tracing::info;

use super::{Eraser, EraserError, NOTHING};
use crate::snapshots;

/// Asks for what stays of the requests in a range of heights.
type Ask<'a> = &'a dyn Fn(Height, Height) -> Result<Residues, Box<dyn Error + Send + Sync>>;

impl Eraser {
    /// Prunes what this node has not pruned yet, as far as that can be done now; whether nothing is left to do.
    pub(super) fn prune(&mut self) -> Result<bool, EraserError> {
        let me = self.me;
        let mut prunings = self.ask(|rows| rows.prunes())?;
        prunings.retain(|pruning| !pruning.done.contains(&me));
        let Some(last) = prunings.iter().max_by_key(|pruning| pruning.prune.through) else {
            return Ok(true);
        };
        let (through, at) = (last.prune.through, last.position.height);
        let base = self.base(&last.prune).ok_or(EraserError::NoBase)?;
        let rows = Rows::open(self.catalogue.path())?;
        let residues = |from, to| Ok(rows.residues(from, to)?);
        if self.pruned < Some(through) {
            if !self.shelf.keeps(base)? {
                return Err(EraserError::NoBase);
            }
            let reader = self.replica.reader().clone();
            if let Erased::Waiting { above } = ledger::prune(&reader, through, residues)? {
                if above.is_none_or(|height| self.replica.tip() < height) {
                    self.submit(NOTHING, LibraryId::home(), "asking for a block");
                }
                return Ok(false);
            }
            self.pruned = Some(through);
        }
        if self.archive_pruned < Some(through) {
            if !self.archive_tells(base, at)? {
                return Ok(false);
            }
            self.prune_archive(through, &residues)?;
            self.archive_pruned = Some(through);
        }
        self.say(&prunings);
        Ok(false)
    }

    /// With what a catalogue could begin above what is pruned, if it is on this disk.
    fn base(&self, prune: &Prune) -> Option<SnapshotName> {
        let named = snapshots::name_of(&prune.snapshot);
        if self.shelf.index(named).is_some() {
            return Some(named);
        }
        let reader = self.replica.reader();
        let newer = snapshots::base(&self.shelf, reader, |at| at >= prune.through);
        newer.map(|begin| begin.name())
    }

    /// Whether the archive could do without what goes: it has the snapshot, and the blocks that say so. It is given what is
    /// missing; the blocks come by way of segments.
    fn archive_tells(&self, base: SnapshotName, at: Height) -> Result<bool, EraserError> {
        let Some(archive) = &self.archive else {
            return Ok(true);
        };
        let reader = self.replica.reader();
        if reader.segments().last().is_none_or(|last| last.to() < at) {
            ledger::seal_to_tip(reader)?;
        }
        let folder = self.shelf.folder()?;
        let index = self.shelf.index(base).ok_or(EraserError::NoBase)?;
        let looking = async {
            archive.add_snapshot(folder, &index).await?;
            archive.coverage().await
        };
        let looked = self.closing.run_until_cancelled(looking);
        let coverage = self
            .runtime
            .block_on(looked)
            .ok_or(EraserError::Stopping)??;
        Ok(coverage.height(reader.genesis().height()) >= at)
    }

    fn prune_archive(&self, through: Height, residues: Ask<'_>) -> Result<(), EraserError> {
        let Some(archive) = &self.archive else {
            return Ok(());
        };
        let pruning = archive.erase(
            |name| ledger::concerns(name, through),
            |name, bytes| {
                let known = residues(name.from(), name.to().min(through));
                let known = known.map_err(|error| error.to_string())?;
                let pruned = ledger::segment_pruned(bytes, through, &known);
                pruned.map_err(|error| error.to_string())
            },
            &self.key,
        );
        let pruned = self.closing.run_until_cancelled(pruning);
        let pruned = self.runtime.block_on(pruned).ok_or(EraserError::Stopping)?;
        for object in pruned? {
            info!(object, "pruned in the archive");
        }
        Ok(())
    }

    fn say(&self, prunings: &[Pruning]) {
        for pruning in prunings {
            let through = pruning.prune.through;
            info!(%through, "pruned old commands about files");
            let (purge, node) = (pruning.position, self.me);
            let said = Payload::Erased { purge, node };
            self.submit(said, LibraryId::home(), "saying what is pruned");
        }
    }
}
