//! Which heights are in segments, and where.
//!
//! Opening a ledger reads the frame of every segment and none of its blocks. A segment that is damaged, or does not fit
//! the one below, is left aside and named; the log may still have its blocks, and other nodes do.

use std::io;
use std::sync::Arc;

use model::{BlockHash, Decided, Height, Membership, Roster, Timestamp};

use crate::disk::Storage;
use crate::index::Foundation;
use crate::reader::ReadError;
use crate::segment::layout::{ENTRY, Frame, IndexEntry};
use crate::segment::{self, Below, SegmentError, SegmentName};
use crate::window::ScanError;

/// A segment that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DamagedSegment {
    /// Which.
    pub name: SegmentName,
    /// What is wrong with it, for people.
    pub what: String,
}

/// One segment whose frame is whole and fits the one below.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) name: SegmentName,
    /// Where its index begins.
    index: u64,
    first: Timestamp,
    pub(crate) last: Timestamp,
    changes: Vec<Height>,
    /// Who decide its last block.
    pub(crate) voters: Arc<Membership>,
    /// In force above its last block.
    pub(crate) roster: Arc<Roster>,
}

impl Segment {
    /// Reads the frame of a segment of this ledger's.
    pub(crate) fn frame(
        storage: &dyn Storage,
        foundation: &Foundation,
        name: SegmentName,
    ) -> Result<Frame, SegmentError> {
        let path = segment::path_of(name);
        let length = storage.len(&path)?;
        let frame = Frame::read(length, |offset, length| storage.read(&path, offset, length))?;
        frame.is(name, foundation.chain)?;
        Ok(frame)
    }

    /// Keeps of a frame what is needed to read blocks, and shares with the segment below what did not change.
    fn new(name: SegmentName, frame: Frame, below: Option<&Self>) -> Self {
        let same = |other: &&Self| *other.roster == frame.summary.roster;
        let roster = below.filter(same).map(|below| below.roster.clone());
        let same = |other: &&Self| *other.voters == frame.summary.voters;
        let voters = below.filter(same).map(|below| below.voters.clone());
        Self {
            name,
            index: frame.index,
            first: frame.summary.first,
            last: frame.summary.last,
            changes: frame.summary.changes,
            voters: voters.unwrap_or_else(|| Arc::new(frame.summary.voters)),
            roster: roster.unwrap_or_else(|| Arc::new(frame.summary.roster)),
        }
    }

    fn damaged(&self, height: Height, what: &'static str) -> ReadError {
        ReadError::Damaged {
            height,
            file: segment::path_of(self.name),
            what,
        }
    }

    fn read(
        &self,
        storage: &dyn Storage,
        height: Height,
        offset: u64,
        length: usize,
    ) -> Result<Vec<u8>, ReadError> {
        let file = segment::path_of(self.name);
        storage
            .read(&file, offset, length)
            .map_err(|source| ReadError::Io {
                height,
                file,
                source,
            })
    }

    /// What the index says of a height in it.
    pub(crate) fn entry(
        &self,
        storage: &dyn Storage,
        height: Height,
    ) -> Result<IndexEntry, ReadError> {
        let at = self.index + (height.0 - self.name.from().0) * ENTRY as u64;
        let bytes = self.read(storage, height, at, ENTRY)?;
        IndexEntry::open(height, &bytes)
            .ok_or_else(|| self.damaged(height, "its entry in the index is damaged"))
    }

    /// The block of a height in it.
    pub(crate) fn block(
        &self,
        storage: &dyn Storage,
        height: Height,
    ) -> Result<Decided, ReadError> {
        let entry = self.entry(storage, height)?;
        let bytes = self.read(storage, height, entry.offset.into(), entry.length())?;
        segment::open(height, &entry, &bytes).map_err(|what| self.damaged(height, what))
    }
}

impl Segment {
    /// The lowest height in it with a block of this time or later; its last must be.
    pub(crate) fn since(
        &self,
        storage: &dyn Storage,
        time: Timestamp,
    ) -> Result<Height, ReadError> {
        let (mut low, mut high) = (self.name.from(), self.name.to());
        if self.first >= time {
            return Ok(low);
        }
        while low < high {
            let middle = Height(low.0 + (high.0 - low.0) / 2);
            if self.entry(storage, middle)?.time < time {
                low = middle.next();
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    /// Who decided a height in it, given the roster above the block at `top`.
    pub(crate) fn roster_deciding(
        &self,
        storage: &dyn Storage,
        (top, mut roster): (Height, Arc<Roster>),
        height: Height,
    ) -> Result<Arc<Roster>, ReadError> {
        if self.name.from() > top.next() {
            return Err(ReadError::Missing { height });
        }
        let changes = self.changes.iter().copied();
        for at in changes.filter(|at| (top.next()..height).contains(at)) {
            let block = self.block(storage, at)?.block;
            roster = roster.after(&block).map_or(roster, Arc::new);
        }
        Ok(roster)
    }
}

/// The segments of a ledger that can be used, by height.
#[derive(Debug)]
pub(crate) struct Sealed {
    /// The height of the chain's first block, which is in none.
    base: Height,
    /// Ascending. One may begin below the end of the one before, and ends above it.
    segments: Vec<Arc<Segment>>,
    pub(crate) damaged: Vec<DamagedSegment>,
    /// The highest height that the name of any segment reaches.
    pub(crate) named: Height,
}

impl Sealed {
    /// Reads the frames of all segments.
    pub(crate) fn read(storage: &dyn Storage, foundation: &Foundation) -> Result<Self, ScanError> {
        let mut sealed = Self {
            base: foundation.genesis.height(),
            segments: Vec::new(),
            damaged: Vec::new(),
            named: Height::GENESIS,
        };
        for name in names(storage)? {
            sealed.named = sealed.named.max(name.to());
            if name.to() <= sealed.top() {
                continue;
            }
            let frame = match Segment::frame(storage, foundation, name) {
                Ok(frame) => frame,
                Err(error) => {
                    sealed.leave(name, describe(&error));
                    continue;
                }
            };
            match sealed.fits(storage, foundation, name, &frame) {
                Ok(()) => sealed.push(name, frame),
                Err(what) => sealed.leave(name, what.to_owned()),
            }
        }
        Ok(sealed)
    }

    fn leave(&mut self, name: SegmentName, what: String) {
        self.damaged.push(DamagedSegment { name, what });
    }

    fn push(&mut self, name: SegmentName, frame: Frame) {
        let below = self.segments.last().map(|below| &**below);
        let segment = Segment::new(name, frame, below);
        self.segments.push(Arc::new(segment));
    }

    /// Whether a segment goes on above the last one. Where blocks are missing between them nobody can tell.
    fn fits(
        &self,
        storage: &dyn Storage,
        foundation: &Foundation,
        name: SegmentName,
        frame: &Frame,
    ) -> Result<(), &'static str> {
        let genesis = &foundation.genesis;
        let (top, head, time) = match self.segments.last() {
            Some(last) => (last.name.to(), last.name.head(), last.last),
            None => (genesis.height(), genesis.hash(), genesis.header().time),
        };
        let fits = if name.from() > top.next() {
            true
        } else if name.from() == top.next() {
            frame.summary.parent == head && frame.summary.first > time
        } else {
            let at = frame.entry_at(top);
            let bytes = storage.read(&segment::path_of(name), at, ENTRY);
            let entry = bytes
                .ok()
                .and_then(|bytes| IndexEntry::open(top, &bytes))
                .ok_or("its index is damaged")?;
            entry.hash == head
        };
        if fits {
            Ok(())
        } else {
            Err("it does not extend the chain below it")
        }
    }

    /// The height of the chain's first block.
    pub(crate) fn base(&self) -> Height {
        self.base
    }

    /// The highest height in a usable segment; that of the first block if there is none.
    pub(crate) fn top(&self) -> Height {
        self.last().map_or(self.base, |last| last.name.to())
    }

    /// The segment that reaches highest.
    pub(crate) fn last(&self) -> Option<&Arc<Segment>> {
        self.segments.last()
    }

    /// All of them, ascending.
    pub(crate) fn all(&self) -> &[Arc<Segment>] {
        &self.segments
    }

    /// What is known below a height, if that is genesis or a segment ends there.
    pub(crate) fn below(&self, foundation: &Foundation, height: Height) -> Option<Below> {
        let below = height.previous()?;
        if below == self.base {
            return Below::genesis(&foundation.genesis);
        }
        let segment = self.find(below).filter(|s| s.name.to() == below)?;
        Some(Below {
            chain: foundation.chain,
            height: below,
            hash: segment.name.head(),
            time: segment.last,
            roster: segment.roster.clone(),
        })
    }

    /// Reads from this segment no more.
    pub(crate) fn drop_segment(&mut self, name: SegmentName) {
        self.segments.retain(|segment| segment.name != name);
        self.damaged.retain(|damaged| damaged.name != name);
    }

    /// The segment that holds a height.
    pub(crate) fn find(&self, height: Height) -> Option<&Arc<Segment>> {
        let at = self.segments.partition_point(|s| s.name.to() < height);
        self.segments.get(at).filter(|s| s.name.holds(height))
    }

    /// The lowest height above the first block that is in no segment.
    pub(crate) fn first_missing(&self) -> Height {
        let mut next = self.base.next();
        for segment in &self.segments {
            if segment.name.from() > next {
                break;
            }
            next = segment.name.to().next();
        }
        next
    }

    /// Up to where there is no height missing, the newest segment not counted.
    pub(crate) fn covered_twice(&self) -> Height {
        let mut ends = self.segments.iter().rev().map(|segment| segment.name.to());
        let second = ends.nth(1).unwrap_or(self.base);
        if self.first_missing() > second {
            second
        } else {
            self.base
        }
    }

    /// A segment that was just stored, of blocks that were missing or above all others.
    pub(crate) fn adopt(&mut self, name: SegmentName, frame: Frame) {
        let inside = |other: SegmentName| name.holds(other.from()) && name.holds(other.to());
        self.segments.retain(|segment| !inside(segment.name));
        let at = self.segments.partition_point(|s| s.name.to() < name.from());
        let below = at.checked_sub(1).and_then(|at| self.segments.get(at));
        let segment = Segment::new(name, frame, below.map(|below| &**below));
        self.segments.insert(at, Arc::new(segment));
        self.damaged.retain(|damaged| damaged.name != name);
        self.named = self.named.max(name.to());
    }

    /// The file of a segment was written anew: its blocks are elsewhere in it.
    pub(crate) fn exchange(&mut self, name: SegmentName, frame: Frame) {
        let Some(at) = self.segments.iter().position(|s| s.name == name) else {
            return;
        };
        let below = at.checked_sub(1).and_then(|at| self.segments.get(at));
        let segment = Arc::new(Segment::new(name, frame, below.map(|below| &**below)));
        if let Some(place) = self.segments.get_mut(at) {
            *place = segment;
        }
    }

    /// The first segment that holds a block of this time or later.
    pub(crate) fn since(&self, time: Timestamp) -> Option<Arc<Segment>> {
        let at = self.segments.partition_point(|s| s.last < time);
        self.segments.get(at).cloned()
    }

    /// The segment that holds a height, and the one below it.
    pub(crate) fn around(&self, height: Height) -> Option<(Option<Arc<Segment>>, Arc<Segment>)> {
        let at = self.segments.partition_point(|s| s.name.to() < height);
        let segment = self.segments.get(at).filter(|s| s.name.holds(height))?;
        let below = at.checked_sub(1).and_then(|at| self.segments.get(at));
        Some((below.cloned(), segment.clone()))
    }

    /// Whether a height was sealed, as far as names tell, and perhaps with this block.
    pub(crate) fn may_hold(&self, height: Height, hash: BlockHash) -> bool {
        self.find(height).map_or(height <= self.named, |segment| {
            segment.name.to() != height || segment.name.head() == hash
        })
    }
}

/// The names of all segments, in order: by their lowest height, of several the longest first.
pub(crate) fn names(storage: &dyn Storage) -> Result<Vec<SegmentName>, ScanError> {
    let files = match storage.segments() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        files => files.map_err(|source| ScanError::Io {
            file: segment::FOLDER.to_owned(),
            source,
        })?,
    };
    let mut names: Vec<SegmentName> = files.iter().filter_map(|name| name.parse().ok()).collect();
    names.sort_by_key(|name| (name.from(), std::cmp::Reverse(name.to()), name.head()));
    Ok(names)
}

/// An error with its causes, in one line.
pub(crate) fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
