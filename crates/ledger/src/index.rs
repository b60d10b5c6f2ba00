//! Where every block is.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use model::{
    Block, BlockHash, Boot, ChainId, Decided, Header, Height, Membership, Roster, Timestamp,
};

use crate::disk::Storage;
use crate::erase::Erasing;
use crate::reader::{ReadError, Reader, read_entry};
use crate::sealed::{Sealed, Segment};
use crate::segment::{Below, SegmentName};

/// A run of bytes in the log and its checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) file: u32,
    pub(crate) offset: u32,
    pub(crate) length: u32,
    pub(crate) crc: u32,
}

/// One decided height in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) hash: BlockHash,
    pub(crate) time: Timestamp,
    pub(crate) commands: u32,
    pub(crate) body: Place,
    /// None for genesis alone.
    pub(crate) certificate: Option<Place>,
}

impl Entry {
    pub(crate) fn new(
        header: &Header,
        hash: BlockHash,
        body: Place,
        certificate: Option<Place>,
    ) -> Self {
        Self {
            hash,
            time: header.time,
            commands: header.commands,
            body,
            certificate,
        }
    }
}

/// What the chain's first block says.
#[derive(Debug)]
pub(crate) struct Foundation {
    pub(crate) chain: ChainId,
    pub(crate) genesis: Arc<Block>,
    pub(crate) roster: Arc<Roster>,
    /// Where the log has it.
    pub(crate) entry: Entry,
}

impl Foundation {
    /// Nothing if this is not a well-formed genesis.
    pub(crate) fn of(genesis: Arc<Block>, body: Place) -> Option<Self> {
        Some(Self {
            chain: genesis.header().chain,
            roster: Arc::new(Roster::founded_by(&genesis)?),
            entry: Entry::new(genesis.header(), genesis.hash(), body, None),
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
    /// Of a ledger that knows who belongs to the cluster above this block, and nothing of those below.
    pub(crate) fn above(height: Height, roster: Arc<Roster>) -> Self {
        Self {
            changes: vec![(height, roster)],
        }
    }

    /// Above the last block.
    pub(crate) fn last(&self) -> &Arc<Roster> {
        let last = self.changes.last();
        &last.expect("there is one to begin with").1
    }

    /// The one that decides `height`; nothing if that is not above the block that this begins with.
    fn deciding(&self, height: Height) -> Option<&Arc<Roster>> {
        let later = |(at, _): &(Height, Arc<Roster>)| *at < height;
        let at = self.changes.partition_point(later).checked_sub(1)?;
        self.changes.get(at).map(|(_, roster)| roster)
    }

    /// The block at `height` has changed it.
    pub(crate) fn change(&mut self, height: Height, roster: Roster) {
        self.changes.push((height, Arc::new(roster)));
    }

    /// Forgets what blocks above this one have changed.
    pub(crate) fn cut(&mut self, height: Height) {
        let kept = self.changes.partition_point(|(at, _)| *at <= height);
        self.changes.truncate(kept.max(1));
    }

    /// Lets go of what a segment tells from now on.
    fn forget(&mut self, below: Height) {
        let later = |(at, _): &(Height, Arc<Roster>)| *at <= below;
        let kept = self.changes.partition_point(later).saturating_sub(1);
        self.changes.drain(..kept);
    }
}

/// Where a decided block is to be had.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    /// In memory, since its bytes may still be on their way to the disk.
    Memory(Decided),
    Log(Entry),
    Segment(Arc<Segment>),
    /// In a segment that is missing or damaged.
    Missing,
}

/// Which stretches of blocks are sealed together: see [`crate::Bounds`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stretch {
    pub(crate) bytes: u64,
    pub(crate) per_block: u64,
    pub(crate) time: Duration,
}

/// All decided heights.
#[derive(Debug)]
pub(crate) struct Index {
    genesis: Entry,
    sealed: Sealed,
    /// The height of the first entry, or the one that comes next if there is none.
    first: Height,
    /// By height, those that the log holds and no segment below them does not.
    entries: VecDeque<Entry>,
    tip: (Height, BlockHash),
    rosters: Rosters,
    /// Blocks whose bytes may still be on their way to the disk.
    recent: BTreeMap<Height, Decided>,
    boot: Boot,
}

/// What an index begins with.
pub(crate) struct Beginning {
    pub(crate) genesis: Entry,
    pub(crate) sealed: Sealed,
    /// What the log holds, from this height on.
    pub(crate) logged: (Height, Vec<Entry>),
    pub(crate) tip: (Height, BlockHash),
    pub(crate) rosters: Rosters,
}

impl Index {
    pub(crate) fn new(beginning: Beginning) -> Self {
        let (first, entries) = beginning.logged;
        let mut index = Self {
            genesis: beginning.genesis,
            sealed: beginning.sealed,
            first,
            entries: entries.into(),
            tip: beginning.tip,
            rosters: beginning.rosters,
            recent: BTreeMap::new(),
            boot: Boot(0),
        };
        index.let_go();
        index
    }

    /// The last decided block.
    pub(crate) fn tip(&self) -> (Height, BlockHash) {
        self.tip
    }

    /// The last decided block that is on the disk for certain.
    pub(crate) fn durable(&self) -> Height {
        let first = self.recent.keys().next();
        first
            .and_then(|first| first.previous())
            .unwrap_or(self.tip.0)
    }

    /// The running incarnation; 0 before it has begun.
    pub(crate) fn boot(&self) -> Boot {
        self.boot
    }

    /// A new incarnation has begun.
    pub(crate) fn begin(&mut self, boot: Boot) {
        self.boot = boot;
    }

    /// Where a height is; nothing if it is not decided here.
    pub(crate) fn find(&self, height: Height) -> Option<Source> {
        let first = self.sealed.base();
        if height > self.tip.0 || height < first {
            return None;
        }
        if let Some(decided) = self.recent.get(&height) {
            return Some(Source::Memory(decided.clone()));
        }
        if height == first {
            return Some(Source::Log(self.genesis));
        }
        if let Some(entry) = self.logged(height) {
            return Some(Source::Log(entry));
        }
        let segment = self.sealed.find(height).cloned();
        Some(segment.map_or(Source::Missing, Source::Segment))
    }

    fn logged(&self, height: Height) -> Option<Entry> {
        let at = height.0.checked_sub(self.first.0)?;
        self.entries.get(usize::try_from(at).ok()?).copied()
    }

    /// The blocks in segments.
    pub(crate) fn sealed(&self) -> &Sealed {
        &self.sealed
    }

    /// Who belongs to the cluster, above every block that no segment tells of.
    pub(crate) fn rosters(&self) -> &Rosters {
        &self.rosters
    }

    /// Who decides a height, if no segment need be read for that.
    pub(crate) fn roster_deciding(&self, height: Height) -> Option<Arc<Roster>> {
        self.rosters.deciding(height).cloned()
    }

    /// The first height in the log with a block of this time or later; the one above the tip if there is none.
    pub(crate) fn since(&self, time: Timestamp) -> Height {
        let earlier = self.entries.partition_point(|entry| entry.time < time);
        Height(self.first.0 + earlier as u64)
    }

    /// Takes the next block.
    pub(crate) fn push(&mut self, entry: Entry, decided: Decided) {
        if let Some(roster) = self.rosters.last().after(&decided.block) {
            self.rosters.change(decided.block.height(), roster);
        }
        self.tip = (decided.block.height(), entry.hash);
        if self.entries.is_empty() {
            self.first = self.tip.0;
        }
        self.recent.insert(decided.block.height(), decided);
        self.entries.push_back(entry);
    }

    /// Lets go of a block that is on the disk.
    pub(crate) fn forget(&mut self, height: Height) {
        self.recent.remove(&height);
    }

    /// The heights that are made readable together if one of them is not, and the segment they are in: all of that
    /// segment, all of a run that is nowhere, or in the log up to this one. Nothing if it is not decided here, or only in memory.
    pub(crate) fn place(&self, height: Height) -> Option<(Height, Height, Option<SegmentName>)> {
        let first = self.sealed.first_missing();
        match self.find(height)? {
            Source::Memory(_) => None,
            Source::Log(_) if height == self.sealed.base() => None,
            Source::Log(_) => Some((first.min(height), height, None)),
            Source::Segment(segment) => {
                let name = segment.name;
                let from = if self.ends_below(name.from()) {
                    name.from()
                } else {
                    first
                };
                Some((from, name.to(), Some(name)))
            }
            Source::Missing => {
                let above = self.sealed.all().iter().map(|s| s.name.from());
                let above = above.filter(|from| *from > height).min();
                let logged = (!self.entries.is_empty()).then_some(self.first);
                let next = above
                    .into_iter()
                    .chain(logged.filter(|at| *at > height))
                    .min();
                let to = next.unwrap_or(self.tip.0.next()).previous()?;
                Some((first.min(height), to, None))
            }
        }
    }

    fn ends_below(&self, height: Height) -> bool {
        let below = height.previous().unwrap_or_default();
        let ends = self
            .sealed
            .find(below)
            .is_some_and(|s| s.name.to() == below);
        below == self.sealed.base() || ends
    }

    /// The lowest height of each run that is nowhere.
    pub(crate) fn gaps(&self) -> Vec<Height> {
        let mut gaps = Vec::new();
        let mut next = self.sealed.base().next();
        let logged = (!self.entries.is_empty()).then_some((self.first, self.tip.0));
        let held = self
            .sealed
            .all()
            .iter()
            .map(|s| (s.name.from(), s.name.to()));
        let mut held: Vec<(Height, Height)> = held.chain(logged).collect();
        held.sort();
        for (from, to) in held.into_iter().chain([(self.tip.0.next(), self.tip.0)]) {
            if from > next {
                gaps.push(next);
            }
            next = next.max(to.next());
        }
        gaps
    }

    /// The lowest heights that are in the log, in no segment, and go together; none above `limit`.
    pub(crate) fn stretch(&self, stretch: Stretch, limit: Height) -> Option<(Height, Height)> {
        let from = self.sealed.first_missing().max(self.first);
        let begins = self.logged(from)?.time;
        let (mut bytes, mut commands) = (0, 0);
        for height in (from.0..=limit.min(self.durable()).0).map(Height) {
            let entry = self.logged(height)?;
            bytes += u64::from(entry.body.length) + stretch.per_block;
            commands += u64::from(entry.commands);
            let old = entry.time >= begins.plus(stretch.time) && commands > 0;
            if bytes >= stretch.bytes || old {
                return Some((from, height));
            }
        }
        None
    }

    /// A segment was stored: from now on its blocks are read from there.
    pub(crate) fn adopt(&mut self, adopt: impl FnOnce(&mut Sealed)) {
        adopt(&mut self.sealed);
        self.let_go();
    }

    fn let_go(&mut self) {
        let missing = self.sealed.first_missing();
        while self.first < missing && self.entries.pop_front().is_some() {
            self.first = self.first.next();
        }
        if self.entries.is_empty() {
            self.first = self.tip.0.next();
        }
        if self.sealed.top() < missing {
            self.rosters.forget(self.sealed.top());
        }
    }
}

/// What the replica's thread and all readers share.
pub(crate) struct Shared {
    pub(crate) foundation: Foundation,
    pub(crate) storage: Arc<dyn Storage>,
    /// The chain that this one goes on from.
    pub(crate) predecessor: Option<Reader>,
    pub(crate) erasing: Erasing,
    index: RwLock<Index>,
    /// Heights that could not be read, for who repairs them.
    complaints: Mutex<BTreeSet<Height>>,
    /// Held by who seals, lets go of the log or repairs: one at a time.
    keeping: Mutex<()>,
}

/// So many heights that could not be read are kept in mind.
const COMPLAINTS_MAX: usize = 64;

impl Shared {
    pub(crate) fn new(
        foundation: Foundation,
        storage: Arc<dyn Storage>,
        index: Index,
        predecessor: Option<Reader>,
    ) -> Self {
        Self {
            foundation,
            storage,
            predecessor,
            erasing: Erasing::default(),
            index: RwLock::new(index),
            complaints: Mutex::default(),
            keeping: Mutex::default(),
        }
    }

    /// Waits for the turn to change what segments there are. What it guards is not in it, so a panic breaks nothing.
    pub(crate) fn keep_house(&self) -> MutexGuard<'_, ()> {
        self.keeping.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A block could not be read.
    pub(crate) fn complain(&self, height: Height) {
        let complaints = self.complaints.lock();
        let mut complaints = complaints.unwrap_or_else(PoisonError::into_inner);
        complaints.insert(height);
        if complaints.len() > COMPLAINTS_MAX {
            complaints.pop_last();
        }
    }

    /// What could not be read since this was last asked.
    pub(crate) fn take_complaints(&self) -> Vec<Height> {
        let complaints = self.complaints.lock();
        let mut complaints = complaints.unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *complaints).into_iter().collect()
    }

    /// Who decided a height that is decided here.
    pub(crate) fn voters(&self, height: Height) -> Result<Membership, ReadError> {
        let last = self.index().sealed().last().cloned();
        if let Some(segment) = last.filter(|last| last.name.to() == height) {
            return Ok(Membership::clone(&segment.voters));
        }
        let roster = self.roster_deciding(height)?;
        Ok(roster.voters().clone())
    }

    /// What is known below a height, if that is genesis or a segment ends there.
    pub(crate) fn below(&self, height: Height) -> Option<Below> {
        self.index().sealed().below(&self.foundation, height)
    }

    /// Who belonged to the cluster when a height was decided.
    pub(crate) fn roster_deciding(&self, height: Height) -> Result<Arc<Roster>, ReadError> {
        let first = self.foundation.genesis.height();
        if height == first {
            return Ok(self.foundation.roster.clone());
        }
        let (known, sealed) = {
            let index = self.index();
            (index.roster_deciding(height), index.sealed().around(height))
        };
        if let Some(roster) = known {
            return Ok(roster);
        }
        let Some((below, segment)) = sealed else {
            return self.roster_through_log(height);
        };
        let (top, roster) = match below {
            Some(below) => (below.name.to(), below.roster.clone()),
            None => (first, self.foundation.roster.clone()),
        };
        let from = segment.name.from();
        let (top, roster) = match from.previous() {
            Some(gap) if gap > top => (gap, self.roster_through_log(from)?),
            _ => (top, roster),
        };
        segment.roster_deciding(&*self.storage, (top, roster), height)
    }

    /// The same for a height above a gap between segments whose blocks are in the log: what they change is read from
    /// them, one by one. The gap is sealed soon.
    fn roster_through_log(&self, height: Height) -> Result<Arc<Roster>, ReadError> {
        let known = {
            let index = self.index();
            let mut below = index.sealed().all().iter().rev();
            let below = below.find(|segment| segment.name.to() < height);
            below.map(|segment| (segment.name.to(), segment.roster.clone()))
        };
        let genesis = || {
            let first = self.foundation.genesis.height();
            (first, self.foundation.roster.clone())
        };
        let (top, mut roster) = known.unwrap_or_else(genesis);
        for at in (top.next().0..height.0).map(Height) {
            let source = self.index().find(at);
            let block = match source {
                Some(Source::Memory(decided)) => decided.block,
                Some(Source::Log(entry)) => read_entry(&*self.storage, at, &entry)?.block,
                Some(Source::Segment(segment)) => segment.block(&*self.storage, at)?.block,
                Some(Source::Missing) | None => return Err(ReadError::Missing { height }),
            };
            roster = roster.after(&block).map_or(roster, Arc::new);
        }
        Ok(roster)
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
