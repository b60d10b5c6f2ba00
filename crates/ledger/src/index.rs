//! Where every block is.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use model::{Block, BlockHash, ChainId, Decided, Height, Roster};

use crate::disk::Storage;

/// A run of bytes in the log and its checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) file: u32,
    pub(crate) offset: u32,
    pub(crate) length: u32,
    pub(crate) crc: u32,
}

/// One decided height.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) hash: BlockHash,
    pub(crate) body: Place,
    /// None for genesis alone.
    pub(crate) certificate: Option<Place>,
}

/// What the genesis block says.
#[derive(Debug)]
pub(crate) struct Foundation {
    pub(crate) chain: ChainId,
    pub(crate) genesis: Arc<Block>,
    pub(crate) roster: Arc<Roster>,
}

impl Foundation {
    /// Nothing if this is not a well-formed genesis.
    pub(crate) fn of(genesis: Arc<Block>) -> Option<Self> {
        Some(Self {
            chain: genesis.header().chain,
            roster: Arc::new(Roster::founded(genesis.founded_membership()?)),
            genesis,
        })
    }
}

/// Who belonged to the cluster, by the block that made it so. In force above that block.
#[derive(Debug, Clone)]
pub(crate) struct Rosters {
    changes: Vec<(Height, Arc<Roster>)>,
}

impl Rosters {
    /// Of a ledger that holds the genesis block alone.
    pub(crate) fn founded(roster: Arc<Roster>) -> Self {
        Self {
            changes: vec![(Height::GENESIS, roster)],
        }
    }

    /// Above the last block.
    pub(crate) fn last(&self) -> &Arc<Roster> {
        let last = self.changes.last();
        &last.expect("genesis founds a roster").1
    }

    /// The one that decides `height`; for genesis the one that it founds.
    pub(crate) fn deciding(&self, height: Height) -> &Arc<Roster> {
        let later = |(at, _): &(Height, Arc<Roster>)| *at < height;
        let count = self.changes.partition_point(later).max(1);
        let found = count.checked_sub(1).and_then(|at| self.changes.get(at));
        found.map_or_else(|| self.last(), |(_, roster)| roster)
    }

    /// The block at `height` has changed it.
    pub(crate) fn change(&mut self, height: Height, roster: Roster) {
        self.changes.push((height, Arc::new(roster)));
    }
}

/// All decided heights.
#[derive(Debug)]
pub(crate) struct Index {
    /// By height, from genesis.
    entries: Vec<Entry>,
    rosters: Rosters,
    /// Blocks whose bytes may still be on their way to the disk.
    recent: BTreeMap<Height, Decided>,
}

impl Index {
    /// Of a log that holds these, the first being genesis.
    pub(crate) fn new(entries: Vec<Entry>, rosters: Rosters) -> Self {
        Self {
            entries,
            rosters,
            recent: BTreeMap::new(),
        }
    }

    /// The last decided block.
    pub(crate) fn tip(&self) -> (Height, BlockHash) {
        let last = self.entries.last().expect("a ledger has a genesis block");
        (Height(self.entries.len() as u64 - 1), last.hash)
    }

    /// The entry of a height.
    pub(crate) fn entry(&self, height: Height) -> Option<Entry> {
        self.entries.get(usize::try_from(height.0).ok()?).copied()
    }

    /// The block of a height, if it is in memory.
    pub(crate) fn recent(&self, height: Height) -> Option<Decided> {
        self.recent.get(&height).cloned()
    }

    /// Who belongs to the cluster, above every block.
    pub(crate) fn rosters(&self) -> &Rosters {
        &self.rosters
    }

    /// Takes the next block.
    pub(crate) fn push(&mut self, entry: Entry, decided: Decided) {
        if let Some(roster) = self.rosters.last().after(&decided.block) {
            self.rosters.change(decided.block.height(), roster);
        }
        self.recent.insert(decided.block.height(), decided);
        self.entries.push(entry);
    }

    /// Lets go of a block that is on the disk.
    pub(crate) fn forget(&mut self, height: Height) {
        self.recent.remove(&height);
    }
}

/// What the replica's thread and all readers share.
pub(crate) struct Shared {
    pub(crate) foundation: Foundation,
    pub(crate) storage: Arc<dyn Storage>,
    index: RwLock<Index>,
}

impl Shared {
    pub(crate) fn new(foundation: Foundation, storage: Arc<dyn Storage>, index: Index) -> Self {
        Self {
            foundation,
            storage,
            index: RwLock::new(index),
        }
    }

    /// The index, held for a few instructions only. Its methods change it in one step each, so a panic elsewhere
    /// cannot have left it half changed.
    pub(crate) fn index(&self) -> RwLockReadGuard<'_, Index> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn index_mut(&self) -> RwLockWriteGuard<'_, Index> {
        self.index.write().unwrap_or_else(PoisonError::into_inner)
    }
}
