//! Destroying the bytes of old commands that a prune in force names, and telling whether one is in force.
//!
//! What is pruned is no secret: readers give it out until it is gone, so nothing has to be hidden first, and nothing is
//! kept in memory of which commands these are. [`prune()`] asks for what stays of each request segment by segment. The
//! rest is as [`erase()`](crate::erase()) does it: the log's old files go whole, segments are written anew and renamed over.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;

use model::{
    Block, Decided, Entry, Height, Position, Prune, Residue, SealedCommand, SnapshotRef, Timestamp,
    Vouchers,
};

use crate::erase::{Erased, clear_log, remove_unfinished, rewrite, rewritten};
use crate::reader::{ReadError, Reader};
use crate::seal::SealError;
use crate::sealed::names;
use crate::segment::{SegmentError, SegmentName};

/// What stays of the requests of commands that name a file.
pub type Residues = BTreeMap<Position, Residue>;

/// Why a ledger is not pruned yet. It is whole, and it may be tried again.
#[derive(Debug, thiserror::Error)]
pub enum PruneError {
    /// The ledger's folder.
    #[error(transparent)]
    Ledger(#[from] SealError),
    /// What stays of the commands is not known.
    #[error("asking what stays of pruned commands")]
    Residues(#[source] Box<dyn Error + Send + Sync>),
}

/// What a ledger has lost, or would lose, to a prune.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Weight {
    /// Commands.
    pub commands: u64,
    /// Their bytes and salts.
    pub bytes: u64,
    /// Commands that stay below the same height, with all their bytes.
    pub kept: u64,
}

impl Weight {
    /// Adds what would go of a block.
    pub fn add(&mut self, block: &Block) {
        for sealed in block.entries().iter().filter_map(Entry::sealed) {
            if may_go(sealed) {
                self.commands += 1;
                self.bytes += sealed.block_bytes() as u64;
            } else {
                self.kept += 1;
            }
        }
    }
}

/// Whether a prune takes this command's bytes: only what names a file goes.
fn may_go(sealed: &SealedCommand) -> bool {
    let command = sealed.open();
    command.is_ok_and(|command| command.payload.names().is_some())
}

/// The block without the bytes of commands about files. What is not among the residues stays: nobody knows what to
/// remember of it.
fn pruned(decided: Decided, residues: &Residues) -> Decided {
    let height = decided.block.height();
    let entry = |index, sealed: &SealedCommand| {
        let residue = *residues.get(&Position { height, index })?;
        let leaf = sealed.leaf();
        may_go(sealed).then_some(Entry::Pruned { leaf, residue })
    };
    Decided {
        block: Arc::new(decided.block.without(entry)),
        ..decided
    }
}

/// A segment, from wherever it comes, pruned up to a height; nothing if it has nothing to lose.
///
/// # Errors
/// A [`SegmentError`] if the bytes are no whole segment.
pub fn segment_pruned(
    bytes: &[u8],
    through: Height,
    residues: &Residues,
) -> Result<Option<Vec<u8>>, SegmentError> {
    rewritten(bytes, |decided| {
        if decided.block.height() <= through {
            pruned(decided, residues)
        } else {
            decided
        }
    })
}

/// Whether a segment of this name may hold what is pruned up to a height.
pub fn concerns(name: SegmentName, through: Height) -> bool {
    name.from() <= through
}

/// Destroys the bytes of commands about files up to a height, as far as that can be done now. `residues` gives what stays
/// of those in a range of heights. Only the thread that seals may do so.
///
/// # Errors
/// A [`PruneError`].
pub fn prune(
    reader: &Reader,
    through: Height,
    mut residues: impl FnMut(Height, Height) -> Result<Residues, Box<dyn Error + Send + Sync>>,
) -> Result<Erased, PruneError> {
    let cleared = clear_log(reader, through)?;
    if cleared != Erased::Done {
        return Ok(cleared);
    }
    for name in names(&*reader.shared().storage).map_err(SealError::from)? {
        if !concerns(name, through) {
            continue;
        }
        let to = name.to().min(through);
        let known = residues(name.from(), to).map_err(PruneError::Residues)?;
        rewrite(reader, name, |bytes| segment_pruned(bytes, through, &known))?;
    }
    remove_unfinished(reader)?;
    Ok(Erased::Done)
}

impl Reader {
    /// Whether a prune in the block at a height is in force.
    ///
    /// # Errors
    /// A [`ReadError`] if the blocks that say so cannot be read.
    pub fn is_in_force(&self, prune: &Prune, at: Height) -> Result<bool, ReadError> {
        if !prune.is_about(at) {
            return Ok(false);
        }
        let (last, by) = (self.time_of(prune.through)?, self.time_of(at)?);
        let mut vouchers = Vouchers::default();
        for decided in self.blocks(prune.snapshot.height.next()) {
            let block = decided?.block;
            if block.height() >= at {
                break;
            }
            vouchers.hear(&block);
        }
        let roster = self.roster_deciding(at)?;
        Ok(prune.is_in_force((at, by), last, &vouchers, roster.voters()))
    }

    /// Whether enough voters have vouched for a snapshot at any time, before anything was purged above it.
    ///
    /// # Errors
    /// A [`ReadError`] if the blocks above it cannot be read.
    pub fn was_vouched_for(&self, snapshot: &SnapshotRef) -> Result<bool, ReadError> {
        let mut vouchers = Vouchers::default();
        for decided in self.blocks(snapshot.height.next()) {
            let block = decided?.block;
            let steps = block.entries().iter().filter_map(Entry::sealed);
            let mut words = steps.filter_map(SealedCommand::snapshot_step);
            let spoken = words.next().is_some();
            vouchers.hear(&block);
            if vouchers.is_purged_above(snapshot.height) {
                return Ok(false);
            }
            if spoken {
                let roster = self.roster_deciding(block.height())?;
                if vouchers.are_enough(snapshot, roster.voters()) {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// The time of a decided block.
    ///
    /// # Errors
    /// A [`ReadError`], also if it is not decided here.
    pub fn time_of(&self, height: Height) -> Result<Timestamp, ReadError> {
        let missing = ReadError::Missing { height };
        let decided = self.block(height)?.ok_or(missing)?;
        Ok(decided.block.header().time)
    }
}
