//! Reads a log back at start: what is decided, what was voted, and how much of its end was never finished.
//!
//! The order of records is the order in which memory changed, so any prefix of the log is a state the node was in. What
//! is cut off is always an end that no answer can have rested on; anything else that cannot be read is an error, and the
//! node does not vote.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use model::{Block, Boot, CertificateError, ChainId, Decided, Height, Nonce, Roster, Vote};

use crate::damage::{Spot, Verdict};
use crate::disk::Storage;
use crate::format::{FIRST_RECORD, FileHeader, Kind};
use crate::index::Foundation;
use crate::predecessor::PredecessorError;
use crate::reader::{ReadError, read_block};
use crate::record::Meta;
use crate::replay::Replay;
use crate::scan::{Break, Found, Scanner, Step};
use crate::sealed::{DamagedSegment, Sealed};
use crate::window::{self, LogFile, ScanError, list};
use crate::writer::Position;

/// What is said of bytes that belong to no record.
pub(crate) const STRAY: &str = "bytes behind the last record of the file";

/// Why a ledger was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// There is none. `serve` never makes one: only creating a cluster or joining one does.
    #[error("there is no ledger here; only creating a cluster or joining one makes a ledger")]
    NoLedger,
    /// A file of another chain lies in the folder.
    #[error("{file} belongs to chain {found}, the genesis file to {expected}")]
    Foreign {
        /// The file.
        file: String,
        /// Its chain.
        found: ChainId,
        /// The ledger's.
        expected: ChainId,
    },
    /// A file is longer than 4 GiB. Ledgers begin a new one long before that.
    #[error(
        "{file} is {length} bytes long, which no file of a ledger is: something else has written to it. \
         Keep the folder, and let the node join the cluster again as a new one"
    )]
    TooLong {
        /// The file.
        file: String,
        /// Its length in bytes.
        length: u64,
    },
    /// Written by a newer program.
    #[error("{file} is of format version {version}, which this program does not know")]
    Version {
        /// The file.
        file: String,
        /// Its version.
        version: u32,
    },
    /// A flushed record that is, or may be, a vote is lost: voting on could fork the cluster.
    #[error(
        "{file} at byte {offset}: a vote at height {height} or later is damaged beyond repair ({what}). \
         This node must not vote again under its identity: keep the folder, and let the node join the cluster again \
         as a new one"
    )]
    DamagedVotes {
        /// The file.
        file: String,
        /// Where the record begins.
        offset: u64,
        /// One above the last height known to be decided before it.
        height: Height,
        /// What is wrong.
        what: &'static str,
    },
    /// A flushed block, or the mark that it is decided, is lost.
    #[error(
        "{file} at byte {offset}: the block of height {height} is damaged ({what}). \
         Keep the folder, and let the node join the cluster again as a new one"
    )]
    DamagedBlock {
        /// The file.
        file: String,
        /// Where the record begins.
        offset: u64,
        /// The block's height.
        height: Height,
        /// What is wrong.
        what: &'static str,
    },
    /// Records are intact and contradict each other, which no crash explains: somebody changed the log.
    #[error(
        "{file} at byte {offset}: the record at height {height} does not fit what is before it: {what}. \
         Somebody changed the log. Keep the folder, take this node out (`starling cluster remove`) and let the machine \
         join again under a new name (`starling cluster join`)"
    )]
    Inconsistent {
        /// The file.
        file: String,
        /// Where the record begins.
        offset: u64,
        /// The height it is about.
        height: Height,
        /// What is wrong.
        what: &'static str,
    },
    /// The log goes on above blocks whose segments are lost.
    #[error(
        "{file} goes on above height {height}, and who belongs to the cluster there is in a segment that is missing or \
         damaged: put the segments back from another node or the archive"
    )]
    Sealed {
        /// The first file of the log.
        file: String,
        /// The last height below it.
        height: Height,
    },
    /// The last block's certificate proves nothing.
    #[error(
        "the certificate of the last block, at height {height}, is not valid: somebody rewrote the chain. Keep the \
         folder, take this node out (`starling cluster remove`) and let the machine join again under a new name \
         (`starling cluster join`)"
    )]
    Certificate {
        /// The height.
        height: Height,
        /// Why.
        #[source]
        source: CertificateError,
    },
    /// A block that was just found intact cannot be read again.
    #[error("reading back a block")]
    Read(#[from] ReadError),
    /// What the chain goes on from cannot be used.
    #[error(transparent)]
    Predecessor(#[from] PredecessorError),
    /// The disk said no.
    #[error("opening the ledger: {file}")]
    Io {
        /// Which file.
        file: String,
        /// What it said.
        #[source]
        source: io::Error,
    },
}

impl From<ScanError> for OpenError {
    fn from(error: ScanError) -> Self {
        match error {
            ScanError::Io { file, source } => Self::Io { file, source },
            ScanError::TooLong { file, length } => Self::TooLong { file, length },
            ScanError::Version { file, version } => Self::Version { file, version },
            ScanError::Foreign {
                file,
                found,
                expected,
            } => Self::Foreign {
                file,
                found,
                expected,
            },
        }
    }
}

/// What a node knows when it starts.
#[derive(Debug, Clone)]
pub struct Recovered {
    /// The chain.
    pub chain: ChainId,
    /// The chain's first block.
    pub genesis: Arc<Block>,
    /// Who belongs to the cluster above the tip.
    pub roster: Arc<Roster>,
    /// The last start counter; 0 if the node never started.
    pub boot: Boot,
    /// What the last start drew.
    pub nonce: Option<Nonce>,
    /// The last decided block.
    pub tip: Decided,
    /// The memory of the height above the last one known to be decided. That is the height above `tip`, unless blocks
    /// were lost with the page cache: then the node must fetch them before it votes.
    pub vote: Option<Vote>,
    /// The highest height known to be decided.
    pub floor: Height,
    /// Whether it was noted that the identity of this log has ended: it must not vote again ([`Ledger::end`]).
    ///
    /// [`Ledger::end`]: crate::Ledger::end
    pub ended: bool,
    /// What opening found and did.
    pub report: Report,
}

/// What opening a ledger found and did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// How many files were read.
    pub files: usize,
    /// How many bytes.
    pub bytes: u64,
    /// Damage that a second copy made good. The next start repeats the vote; the disk should be looked at.
    pub repaired: Vec<Repair>,
    /// What to write so that both copies are good again.
    pub spares: Vec<Spare>,
    /// Ends that were never finished.
    pub cut: Vec<Cut>,
    /// What an earlier incarnation read from the page cache and never reached the disk. Its start repeats the vote;
    /// decided blocks that are missing are fetched from other nodes.
    pub superseded: Vec<Repair>,
    /// Segments that are left aside, since they are damaged or do not fit the others. Blocks that only they hold cannot
    /// be read.
    pub damaged: Vec<DamagedSegment>,
}

/// Damage that a second copy made good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repair {
    /// The file.
    pub file: String,
    /// Where its record begins.
    pub offset: u64,
    /// What was damaged.
    pub what: &'static str,
}

/// A part of a log file as it should be, taken from the copy of it that is good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spare {
    /// The file.
    pub file: String,
    /// Where in it.
    pub offset: u64,
    /// What belongs there.
    pub bytes: Vec<u8>,
}

/// An unfinished end of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// The file.
    pub file: String,
    /// How many bytes it keeps.
    pub keep: u64,
    /// How many it loses.
    pub lost: u64,
}

/// A log read to its end.
pub(crate) struct Recovery {
    pub(crate) replay: Replay,
    pub(crate) position: Position,
    /// Records with lower numbers were known to be flushed when the last one was written.
    pub(crate) flushed: u64,
    pub(crate) report: Report,
    /// Ends to cut and flush, in this order, before anything is written.
    pub(crate) ends: Vec<(String, u64)>,
}

/// Reads a whole log. Changes nothing.
pub(crate) fn recover(storage: &dyn Storage) -> Result<Recovery, OpenError> {
    let files = list(storage)?;
    let (foundation, repaired) = found(storage, &files)?;
    let sealed = Sealed::read(storage, &foundation)?;
    let (files, base) = window::begin(storage, files, sealed.named)?;
    let mut report = Report {
        files: files.len(),
        bytes: files.iter().map(|file| file.length).sum(),
        repaired: repaired.into_iter().collect(),
        damaged: sealed.damaged.clone(),
        ..Report::default()
    };
    let mut replay = Replay::new(foundation, sealed);
    let mut scanner = Scanner::new(storage, &files);
    if let Step::Record(first) = scanner.step()? {
        report.spares = spares(&files, &first);
    }
    if let Some(origin) = base.and_then(|base| base.origin) {
        scanner.begin(&origin);
        replay.begin(&origin).map_err(|_| OpenError::Sealed {
            file: Site::of(&files, 1, 0).file.to_owned(),
            height: origin.tip.0,
        })?;
    }
    let mut walk = Walk {
        files: &files,
        scanner,
        replay,
        report,
        extent: Extent::new(&files),
        base,
    };
    let torn = walk.run()?;
    walk.replay.finish();
    let cuts = walk.extent.cuts();
    let ends = cuts
        .iter()
        .map(|cut| (cut.file.clone(), cut.keep))
        .collect();
    if torn {
        walk.report
            .cut
            .extend(cuts.into_iter().filter(|cut| cut.lost > 0));
    }
    let (number, link) = walk.scanner.expected();
    let next_file = files.last().map_or(0, |file| file.number + 1);
    Ok(Recovery {
        replay: walk.replay,
        position: Position {
            number,
            link,
            next_file,
        },
        flushed: walk.extent.flushed,
        report: walk.report,
        ends,
    })
}

/// A way through a log.
struct Walk<'a> {
    files: &'a [LogFile],
    scanner: Scanner<'a>,
    replay: Replay,
    report: Report,
    extent: Extent<'a>,
    /// The header of the second file, if the log begins there and what was in the files before may still count.
    base: Option<FileHeader>,
}

impl Walk<'_> {
    /// Takes all records; whether the end was never finished.
    fn run(&mut self) -> Result<bool, OpenError> {
        let torn = loop {
            match self.scanner.step()? {
                Step::End => break false,
                Step::Break(broken) => {
                    if self.go_on(&broken)? {
                        break true;
                    }
                }
                Step::Record(record) => self.take(*record)?,
            }
        };
        let Some(origin) = self.base.and_then(|base| base.origin) else {
            return Ok(torn);
        };
        let at = Site::of(self.files, 1, 0);
        Err(at.damaged_votes(origin.floor.next(), "the files before it are missing"))
    }

    /// Goes on behind a break; true if there is nothing behind it.
    fn go_on(&mut self, broken: &Break) -> Result<bool, OpenError> {
        let at = Site::of(self.files, broken.suspect.0, broken.suspect.1);
        match judge(&self.scanner, self.files, broken, self.replay.floor)? {
            Behind::Nothing => return Ok(true),
            Behind::Start(start) => {
                self.report.superseded.push(at.repair(broken.what));
                self.scanner.resume(start)?;
                self.replay.lost = true;
            }
            Behind::Next(record) => {
                self.report.repaired.push(at.repair(STRAY));
                self.scanner.resume(record)?;
            }
        }
        Ok(false)
    }

    fn take(&mut self, record: Found) -> Result<(), OpenError> {
        let at = Site::of(self.files, record.file, record.offset);
        let repaired = record.repaired.map(|what| at.repair(what));
        self.report.repaired.extend(repaired);
        let spares = spares(self.files, &record);
        self.report.spares.extend(spares);
        self.extent.add(&record);
        if record.head.kind == Kind::Start {
            // It repeats the last vote.
            self.base = None;
        }
        if let Some(base) = &self.base {
            self.replay.resume(base);
        }
        let height = height_of(&record.meta);
        self.replay
            .take(record)
            .map_err(|what| at.inconsistent(height, what))?;
        // The votes in the files before were about heights up to the one above their floor.
        let floor = self.replay.floor;
        let decided = |base: &mut FileHeader| base.origin.is_none_or(|o| o.floor < floor);
        self.base.take_if(decided);
        Ok(())
    }
}

/// What has to be written anew of a record, and of the header above it.
pub(crate) fn spares(files: &[LogFile], record: &Found) -> Vec<Spare> {
    let file = files.get(record.file).map(|file| &file.name);
    let spare = |(offset, bytes): &(u64, Vec<u8>)| {
        Some(Spare {
            file: file?.clone(),
            offset: *offset,
            bytes: bytes.clone(),
        })
    };
    record.images.iter().filter_map(spare).collect()
}

/// How far the records reach in each file.
struct Extent<'a> {
    files: &'a [LogFile],
    /// By index of the file.
    ends: BTreeMap<usize, u64>,
    /// The number of the first record of each file that has one, and the file's index.
    firsts: Vec<(u64, usize)>,
    /// Of the last record.
    flushed: u64,
}

impl<'a> Extent<'a> {
    /// Of the genesis file alone.
    fn new(files: &'a [LogFile]) -> Self {
        let genesis = files.first().map_or(0, |file| file.length);
        Self {
            files,
            ends: BTreeMap::from([(0, genesis)]),
            firsts: vec![(0, 0)],
            flushed: 0,
        }
    }

    fn add(&mut self, found: &Found) {
        if self.ends.insert(found.file, found.end).is_none() {
            self.firsts.push((found.head.number, found.file));
        }
        self.flushed = found.head.flushed;
    }

    /// The lengths that files keep, from the first that holds a record which was not known to be flushed. Last file
    /// first: were the power to fail between two cuts, the log would still end at the same record.
    fn cuts(&self) -> Vec<Cut> {
        let mut firsts = self.firsts.iter().rev();
        let first = firsts.find(|(number, _)| *number <= self.flushed);
        let first = first.map_or(0, |(_, file)| *file);
        let used = self.files.iter().enumerate().skip(first);
        let cut = used
            .filter(|(_, file)| file.length > 0)
            .map(|(index, file)| {
                let keep = self.ends.get(&index).copied().unwrap_or(0).min(file.length);
                Cut {
                    file: file.name.clone(),
                    keep,
                    lost: file.length - keep,
                }
            });
        let mut cuts: Vec<Cut> = cut.collect();
        cuts.reverse();
        cuts
    }
}

/// Reads the genesis record.
pub(crate) fn found(
    storage: &dyn Storage,
    files: &[LogFile],
) -> Result<(Foundation, Option<Repair>), OpenError> {
    if files.first().is_none_or(|file| file.number != 0) {
        return Err(OpenError::NoLedger);
    }
    let mut scanner = Scanner::new(storage, files);
    let at = Site::of(files, 0, FIRST_RECORD);
    let damaged = |what| at.damaged_block(Height::GENESIS, what);
    match scanner.step()? {
        Step::Record(record) if record.head.kind == Kind::Genesis && record.file == 0 => {
            let body = record
                .body
                .ok_or_else(|| damaged("the record has no block"))?;
            let height = height_of(&record.meta);
            let genesis = read_block(storage, height, body.place, body.hash)?;
            let foundation = Foundation::of(Arc::new(genesis), body.place);
            let foundation = foundation.ok_or_else(|| damaged("it does not found a chain"))?;
            if scanner.chain() != Some(foundation.chain) {
                return Err(damaged("the file's header names another chain"));
            }
            Ok((foundation, record.repaired.map(|what| at.repair(what))))
        }
        Step::Break(broken) => Err(damaged(broken.what)),
        Step::Record(_) => Err(damaged("the first record is not a genesis block")),
        Step::End => Err(damaged("the file is empty")),
    }
}

/// Where the log goes on behind a break.
enum Behind {
    Nothing,
    /// With the start of an incarnation that had read more than was ever flushed.
    Start(Spot),
    /// With the record that comes next.
    Next(Spot),
}

/// Whether the log simply ends at a break, or goes on somewhere; if neither, what was lost.
fn judge(
    scanner: &Scanner<'_>,
    files: &[LogFile],
    broken: &Break,
    floor: Height,
) -> Result<Behind, OpenError> {
    match scanner.judge(broken)? {
        Verdict::Unfinished => return Ok(Behind::Nothing),
        Verdict::Superseded(start) => return Ok(Behind::Start(start)),
        Verdict::Stray(next) => return Ok(Behind::Next(next)),
        Verdict::Damaged(_) => {}
    }
    let at = Site::of(files, broken.suspect.0, broken.suspect.1);
    let next = floor.next();
    Err(match (&broken.meta, broken.kind) {
        (Some(meta), _) => at.damaged_block(height_of(meta).max(next), broken.what),
        (None, Some(Kind::Decided | Kind::Genesis)) => at.damaged_block(next, broken.what),
        (None, _) => at.damaged_votes(next, broken.what),
    })
}

fn height_of(meta: &Meta) -> Height {
    match meta {
        Meta::Genesis { height, .. } => *height,
        Meta::Start(start) => start.tip.0,
        Meta::Vote(vote) => vote.height,
        Meta::Decided(certificate) => certificate.height,
    }
}

/// A place to be named in an error.
struct Site<'a> {
    file: &'a str,
    offset: u64,
}

impl<'a> Site<'a> {
    fn of(files: &'a [LogFile], file: usize, offset: u64) -> Self {
        let file = files.get(file).map_or("", |file| file.name.as_str());
        Self { file, offset }
    }

    fn repair(&self, what: &'static str) -> Repair {
        Repair {
            file: self.file.to_owned(),
            offset: self.offset,
            what,
        }
    }

    fn inconsistent(&self, height: Height, what: &'static str) -> OpenError {
        OpenError::Inconsistent {
            file: self.file.to_owned(),
            offset: self.offset,
            height,
            what,
        }
    }

    fn damaged_block(&self, height: Height, what: &'static str) -> OpenError {
        OpenError::DamagedBlock {
            file: self.file.to_owned(),
            offset: self.offset,
            height,
            what,
        }
    }

    fn damaged_votes(&self, height: Height, what: &'static str) -> OpenError {
        OpenError::DamagedVotes {
            file: self.file.to_owned(),
            offset: self.offset,
            height,
            what,
        }
    }
}

/// The genesis block of a ledger, without opening it: to see whose it is before anything is changed.
///
/// # Errors
/// An [`OpenError`] if there is no ledger or its genesis file is damaged.
pub fn read_genesis(storage: &dyn Storage) -> Result<Arc<Block>, OpenError> {
    let (foundation, _) = found(storage, &list(storage)?)?;
    Ok(foundation.genesis)
}
