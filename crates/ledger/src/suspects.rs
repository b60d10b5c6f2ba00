//! What a node can know of its own files before it opens them, if it noted how it left them.
//!
//! Opening reads the frames of segments and believes them: a chain that somebody rewrote with every hash right looks
//! like any other, until its certificates are checked. That takes too long for all segments at every start, but not for
//! those that are not the files that the node left ([`disprove`]). And of a log that ends early nobody can tell whether
//! power failed or somebody cut it, unless it is known where it ended ([`end_of_log`]).

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use model::{Height, Signatures, Timestamp};

use crate::disk::Storage;
use crate::index::Foundation;
use crate::recovery::{OpenError, found, recover};
use crate::sealed::{DamagedSegment, Sealed, Segment, describe};
use crate::segment::{self, Below, SegmentError, SegmentName};
use crate::window::list;

/// Where a log ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEnd {
    /// Its last file with a record in it.
    pub file: String,
    /// How far the records in that reach.
    pub end: u64,
    /// Behind it is what was never finished, as far as the log itself can tell.
    pub torn: bool,
}

/// Where a log that nobody has open ends. Changes nothing.
///
/// # Errors
/// An [`OpenError`] if it cannot be read to its end.
pub fn end_of_log(storage: &dyn Storage) -> Result<LogEnd, OpenError> {
    let recovery = recover(storage)?;
    let torn = !recovery.report.cut.is_empty();
    let mut ends = recovery.ends.into_iter();
    let (file, end) = ends.find(|(_, end)| *end > 0).unwrap_or_default();
    Ok(LogEnd { file, end, torn })
}

/// Which of these segments of a ledger that nobody has open prove nothing: every checksum, link, Merkle root and
/// certificate of each is looked at. Those that are not asked about are believed. One that no block would be read from,
/// since another holds all its blocks, is passed over.
///
/// # Errors
/// An [`OpenError`] if the ledger's genesis block cannot be read, or its folder not be listed.
pub fn disprove(
    storage: &dyn Storage,
    signatures: &dyn Signatures,
    suspects: &BTreeSet<SegmentName>,
) -> Result<Vec<DamagedSegment>, OpenError> {
    let (foundation, _) = found(storage, &list(storage)?)?;
    let mut proven = BTreeSet::new();
    let mut disproved: Vec<DamagedSegment> = Vec::new();
    loop {
        let hidden = disproved.iter().map(|damaged| damaged.name.to_string());
        let rest = Without {
            storage,
            hidden: hidden.collect(),
        };
        let sealed = Sealed::read(&rest, &foundation)?;
        let look = Look {
            storage: &rest,
            foundation: &foundation,
            signatures,
            sealed: &sealed,
        };
        // What is believed above a forged segment depends on that, so the lowest goes first.
        let mut open: Vec<SegmentName> = look.names().collect();
        open.retain(|name| suspects.contains(name) && !proven.contains(name));
        open.sort();
        let bad = open.into_iter().find_map(|name| {
            let what = look.fault_of(name);
            if what.is_none() {
                proven.insert(name);
            }
            what.map(|what| DamagedSegment { name, what })
        });
        match bad {
            Some(found) => disproved.push(found),
            None => return Ok(disproved),
        }
    }
}

/// A ledger's files without some of its segments.
struct Without<'a> {
    storage: &'a dyn Storage,
    hidden: BTreeSet<String>,
}

impl Storage for Without<'_> {
    fn files(&self) -> io::Result<Vec<String>> {
        self.storage.files()
    }

    fn len(&self, file: &str) -> io::Result<u64> {
        self.storage.len(file)
    }

    fn read(&self, file: &str, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        self.storage.read(file, offset, length)
    }

    fn segments(&self) -> io::Result<Vec<String>> {
        let mut names = self.storage.segments()?;
        names.retain(|name| !self.hidden.contains(name));
        Ok(names)
    }
}

struct Look<'a> {
    storage: &'a dyn Storage,
    foundation: &'a Foundation,
    signatures: &'a dyn Signatures,
    sealed: &'a Sealed,
}

impl Look<'_> {
    /// The segments that blocks are read from, and those that are left aside for what is seen of them at once.
    fn names(&self) -> impl Iterator<Item = SegmentName> {
        let used = self.sealed.all().iter().map(|segment| segment.name);
        let damaged = self.sealed.damaged.iter().map(|damaged| damaged.name);
        used.chain(damaged)
    }

    fn fault_of(&self, name: SegmentName) -> Option<String> {
        let mut damaged = self.sealed.damaged.iter();
        match damaged.find(|damaged| damaged.name == name) {
            Some(damaged) => Some(damaged.what.clone()),
            None => self.check(name).err().map(|error| describe(&error)),
        }
    }

    fn check(&self, name: SegmentName) -> Result<(), SegmentError> {
        let path = segment::path_of(name);
        let length = usize::try_from(self.storage.len(&path)?);
        let length = length.map_err(|_| SegmentError::Damaged("it is too long"))?;
        let bytes = self.storage.read(&path, 0, length)?;
        let below = self.sealed.below(self.foundation, name.from());
        let below = match below {
            Some(below) => below,
            None => self.presumed(name)?,
        };
        segment::check(&bytes, name, &below, self.signatures).map(drop)
    }

    /// What must be below a segment under which another is missing: those who belong to the cluster are taken to be the
    /// same as below the gap. If they are not, the segment is fetched once more from others, which is no harm.
    fn presumed(&self, name: SegmentName) -> Result<Below, SegmentError> {
        let frame = Segment::frame(self.storage, self.foundation, name)?;
        let under = self.sealed.all().iter();
        let mut under = under.filter(|segment| segment.name.to() < name.from());
        let genesis = Below::genesis(&self.foundation.genesis);
        let roster = match under.next_back() {
            Some(segment) => Some(Arc::clone(&segment.roster)),
            None => genesis.map(|genesis| genesis.roster),
        };
        Ok(Below {
            chain: self.foundation.chain,
            height: name.from().previous().unwrap_or(Height::GENESIS),
            hash: frame.summary.parent,
            time: Timestamp::default(),
            roster: roster.ok_or(SegmentError::Damaged("nothing is known below it"))?,
        })
    }
}
