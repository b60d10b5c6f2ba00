//! Makes a damaged ledger whole again with what other nodes have.
//!
//! Two things can be damaged: blocks, which others have, and votes, which nobody else has. Blocks are asked of a
//! [`Supply`] and proved one by one, each by its links and its certificate, before they go into a segment. What a log
//! still says for certain of votes is judged by `salvage`; if that is everything that may count, the log
//! begins anew with one record that repeats it, above segments that hold all that is decided.
//!
//! [`mend()`] is for a ledger that nobody has open, [`repair()`] for one in use. Both may be interrupted anywhere and done
//! again: a segment is stored whole or not at all; the new log file is, too, and counts from the moment it is there;
//! what is replaced is kept aside before. What contradicts itself or the certified chain is not touched.

use std::io;
use std::sync::Arc;

use model::{Decided, Height, Nonce, Record, Signatures};

use crate::disk::Storage;
use crate::format::{FileHeader, file_name};
use crate::index::Foundation;
use crate::reader::{ReadError, Reader, read_entry};
use crate::record::{Meta, block_of};
use crate::recovery::{OpenError, recover};
use crate::salvage::{Salvage, Unprovable, salvage};
use crate::sealed::{DamagedSegment, Sealed, Segment, describe, names};
use crate::segment::{self, Below, Builder, SegmentError, SegmentName};
use crate::window::ScanError;
use crate::writer::Writer;

/// A segment that is made to fill a gap ends at about this many bytes.
const SEGMENT_BYTES: usize = 16 << 20;

/// Where blocks come from that a ledger lacks: other nodes, or the archive.
pub trait Supply {
    /// Decided blocks with their certificates: the one at `from`, those above it in order, none above `to`, as many as
    /// come at once. Nothing if nobody has them now. They are not believed.
    fn blocks(&mut self, from: Height, to: Height) -> Vec<Decided>;

    /// What was given for this height proves nothing. Whoever gave it should not be asked again.
    fn refuse(&mut self, height: Height, what: &str);
}

/// Why a ledger was not made whole.
#[derive(Debug, thiserror::Error)]
pub enum MendError {
    /// The log cannot be read, and mending is not for that.
    #[error(transparent)]
    Open(OpenError),
    /// A vote may be lost that still counts.
    #[error("{source}. It cannot be mended from other nodes: {why}")]
    Votes {
        /// What is damaged.
        source: OpenError,
        /// Why that may be a vote that counts.
        why: String,
    },
    /// What the ledger says is decided is not what the cluster has certified.
    #[error(
        "this ledger has another block at height {height} than the one that the cluster has certified: it was \
         rewritten, or this node went astray. It must not vote again under its identity: keep the folder, take the \
         node out (`starling cluster remove`) and let the machine join again under a new name (`starling cluster join`)"
    )]
    Contradicts {
        /// The lowest height found so.
        height: Height,
    },
    /// Nobody has what is missing.
    #[error(
        "the blocks from height {from} to {to} are damaged here, and no other node could be asked for them"
    )]
    Unavailable {
        /// The first that is missing.
        from: Height,
        /// The last.
        to: Height,
    },
    /// Blocks that were proved one by one do not make a segment.
    #[error("making a segment")]
    Segment(#[from] SegmentError),
    /// A block cannot be read here.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The disk said no.
    #[error("mending the ledger: {file}")]
    Io {
        /// Which file.
        file: String,
        /// What it said.
        #[source]
        source: io::Error,
    },
}

impl From<ScanError> for MendError {
    fn from(error: ScanError) -> Self {
        Self::Open(error.into())
    }
}

impl MendError {
    /// Whether trying again later may help.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }
}

/// What mending did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mended {
    /// The heights whose blocks were missing or damaged, in runs.
    pub heights: Vec<(Height, Height)>,
    /// How many blocks came from elsewhere.
    pub fetched: u64,
    /// The segments that were made.
    pub segments: Vec<SegmentName>,
    /// The file with which the log begins anew, if it does.
    pub begun: Option<String>,
    /// Damaged places in the log: file, offset.
    pub damage: Vec<(String, u64)>,
    /// The segments that were damaged.
    pub damaged: Vec<DamagedSegment>,
    /// Files that were put aside, and where they are kept.
    pub aside: Vec<(String, String)>,
}

/// Makes a ledger whole that nobody has open. `unreadable` is a height whose block could not be read though the ledger
/// opened, and `nonce` is drawn for the file with which the log may begin anew.
///
/// # Errors
/// A [`MendError`]. Nothing that counted is changed then; segments that were filled stay.
pub fn mend(
    storage: &dyn Storage,
    signatures: &dyn Signatures,
    supply: &mut dyn Supply,
    unreadable: Option<Height>,
    nonce: Nonce,
) -> Result<Mended, MendError> {
    let error = recover(storage).err();
    if let Some(error) = error.as_ref().filter(|error| !is_damage(error)) {
        return Err(refused(error, storage));
    }
    let salvage = salvage(storage).map_err(|why| unprovable(why, storage))?;
    let log_is_damaged = matches!(
        error,
        Some(OpenError::DamagedVotes { .. } | OpenError::DamagedBlock { .. })
    );
    let mut mending = Mending {
        storage,
        signatures,
        supply,
        foundation: &salvage.foundation,
        salvage: Some(&salvage),
        segment: None,
        reader: None,
        mended: Mended {
            damage: salvage.damage.clone(),
            ..Mended::default()
        },
    };
    mending.fill_all(salvage.tip.0, log_is_damaged, unreadable)?;
    if log_is_damaged {
        mending.check_marks()?;
        mending.begin_anew(nonce)?;
    }
    Ok(mending.mended)
}

fn is_damage(error: &OpenError) -> bool {
    matches!(
        error,
        OpenError::DamagedVotes { .. }
            | OpenError::DamagedBlock { .. }
            | OpenError::Sealed { .. }
            | OpenError::Read(_)
    )
}

fn refused(error: &OpenError, storage: &dyn Storage) -> MendError {
    // It was only borrowed to be looked at; reading again gives it again.
    let again = recover(storage).err();
    again.map_or_else(
        || MendError::Io {
            file: error.to_string(),
            source: io::ErrorKind::Interrupted.into(),
        },
        MendError::Open,
    )
}

pub(crate) fn unprovable(why: Unprovable, storage: &dyn Storage) -> MendError {
    match (why, recover(storage).err()) {
        (Unprovable::Open(error), _) => MendError::Open(error),
        (Unprovable::Read(error), _) => MendError::Read(error),
        (Unprovable::Why(why), Some(source)) => MendError::Votes {
            source,
            why: why.to_owned(),
        },
        (Unprovable::Why(why), None) => MendError::Io {
            file: why.to_owned(),
            source: io::ErrorKind::InvalidData.into(),
        },
    }
}

/// Makes blocks readable again in a ledger that is in use: those that are read from where `height` is, or was. Waits
/// for who else changes what segments there are. What can still be read here is taken from here; reads go on meanwhile.
///
/// # Errors
/// A [`MendError`]; the ledger is as before then, with perhaps a part of the gap filled.
pub fn repair(
    reader: &Reader,
    signatures: &dyn Signatures,
    supply: &mut dyn Supply,
    height: Height,
) -> Result<Mended, MendError> {
    let _turn = reader.shared().keep_house();
    let place = reader.shared().index().place(height);
    let Some((from, to, segment)) = place else {
        return Ok(Mended::default());
    };
    let mut mending = Mending {
        storage: &**reader.storage(),
        signatures,
        supply,
        foundation: reader.foundation(),
        salvage: None,
        segment: None,
        reader: Some(reader),
        mended: Mended::default(),
    };
    if let Some(name) = segment {
        mending.keep_aside(&segment::path_of(name))?;
    }
    let mut beside = reader.damaged_segments();
    beside.retain(|d| d.name.from() <= to && d.name.to() >= from);
    for damaged in &beside {
        mending.note(damaged.clone());
        mending.keep_aside(&segment::path_of(damaged.name))?;
    }
    let below = reader
        .shared()
        .below(from)
        .ok_or(ReadError::Missing { height: from })?;
    mending.fill(below, to)?;
    mending.fits_above(to)?;
    let made = mending.mended.segments.clone();
    for name in segment
        .into_iter()
        .chain(beside.into_iter().map(|damaged| damaged.name))
        .filter(|name| !made.contains(name))
    {
        reader
            .shared()
            .index_mut()
            .adopt(|sealed| sealed.drop_segment(name));
        mending.remove(&segment::path_of(name))?;
    }
    Ok(mending.mended)
}

/// The heights of a ledger in use that neither its log nor a segment has: the lowest of each run.
pub fn gaps(reader: &Reader) -> Vec<Height> {
    reader.shared().index().gaps()
}

/// The highest height of each segment in use whose file is gone, as far as the folder can be listed: others may hold its
/// lower ones, too. Readers may have it open still.
pub fn without_file(reader: &Reader) -> Vec<Height> {
    let Ok(names) = names(&**reader.storage()) else {
        return Vec::new();
    };
    let segments = reader.segments().into_iter();
    let lost = segments.filter(|segment| !names.contains(segment));
    lost.map(|segment| segment.to()).collect()
}

pub(crate) struct Mending<'a> {
    pub(crate) storage: &'a dyn Storage,
    pub(crate) signatures: &'a dyn Signatures,
    pub(crate) supply: &'a mut dyn Supply,
    pub(crate) foundation: &'a Foundation,
    /// What the log says, if nobody has it open.
    pub(crate) salvage: Option<&'a Salvage>,
    /// A segment that is damaged in part.
    pub(crate) segment: Option<Arc<Segment>>,
    /// Who has it open.
    pub(crate) reader: Option<&'a Reader>,
    pub(crate) mended: Mended,
}

impl Mending<'_> {
    /// Fills every gap between the segments up to `tip`; those in the log's part only if the log is not to be relied on.
    fn fill_all(
        &mut self,
        tip: Height,
        log_is_damaged: bool,
        unreadable: Option<Height>,
    ) -> Result<(), MendError> {
        let mut suspect = unreadable;
        loop {
            let sealed = Sealed::read(self.storage, self.foundation)?;
            for damaged in &sealed.damaged {
                self.note(damaged.clone());
            }
            let suspected = suspect
                .take()
                .and_then(|height| sealed.find(height).cloned());
            if let Some(segment) = suspected {
                let below = self.below(&sealed, segment.name.from())?;
                self.keep_aside(&segment::path_of(segment.name))?;
                self.note(DamagedSegment {
                    name: segment.name,
                    what: "a block in it is damaged".to_owned(),
                });
                self.segment = Some(segment.clone());
                self.fill(below, segment.name.to())?;
                self.segment = None;
                if !self.mended.segments.contains(&segment.name) {
                    self.remove(&segment::path_of(segment.name))?;
                }
                continue;
            }
            let Some((from, to)) = self.gap(&sealed, tip, log_is_damaged) else {
                return self.put_damaged_aside(&sealed);
            };
            let below = self.below(&sealed, from)?;
            self.put_beside_aside(&sealed, from, to)?;
            self.fill(below, to)?;
        }
    }

    fn note(&mut self, damaged: DamagedSegment) {
        if !self
            .mended
            .damaged
            .iter()
            .any(|known| known.name == damaged.name)
        {
            self.mended.damaged.push(damaged);
        }
    }

    /// The lowest heights up to `tip` that are in no segment and not in a log that can be relied on.
    fn gap(&self, sealed: &Sealed, tip: Height, log_is_damaged: bool) -> Option<(Height, Height)> {
        let from = sealed.first_missing();
        let next = sealed
            .all()
            .iter()
            .map(|s| s.name.from())
            .find(|at| *at > from);
        let to = next.and_then(Height::previous).unwrap_or(tip).min(tip);
        let logged = |height: &Height| {
            let salvage = self.salvage;
            !log_is_damaged && salvage.is_some_and(|s| s.entries.contains_key(height))
        };
        let missing = (from.0..=to.0).map(Height).find(|height| !logged(height))?;
        let last = (missing.0..=to.0)
            .map(Height)
            .take_while(|h| !logged(h))
            .last()?;
        // A segment has to begin where the last one ends.
        Some((from, last))
    }

    /// What is known below a height that follows the segments without a gap.
    fn below(&self, sealed: &Sealed, height: Height) -> Result<Below, MendError> {
        let below = sealed.below(self.foundation, height);
        below.ok_or(MendError::Read(ReadError::Missing { height }))
    }

    fn put_beside_aside(
        &mut self,
        sealed: &Sealed,
        from: Height,
        to: Height,
    ) -> Result<(), MendError> {
        for damaged in &sealed.damaged {
            if damaged.name.from() <= to && damaged.name.to() >= from {
                self.keep_aside(&segment::path_of(damaged.name))?;
            }
        }
        Ok(())
    }

    /// Every height is there: damaged segments are of no use any more.
    fn put_damaged_aside(&mut self, sealed: &Sealed) -> Result<(), MendError> {
        for damaged in &sealed.damaged {
            // Its heights may be in the log alone; what it can still say is in the copy that is kept.
            let path = segment::path_of(damaged.name);
            self.keep_aside(&path)?;
            self.remove(&path)?;
        }
        Ok(())
    }

    /// Makes segments of the blocks above `below` up to `to`.
    pub(crate) fn fill(&mut self, mut below: Below, to: Height) -> Result<(), MendError> {
        self.mended.heights.push((below.height.next(), to));
        let mut arrived = Vec::new().into_iter();
        while below.height < to {
            let mut builder = Builder::above(below.clone());
            while below.height < to && builder.len() < SEGMENT_BYTES {
                let decided = self.next(&below, to, &mut arrived)?;
                builder.push(&decided)?;
                below = builder.below().clone();
            }
            if let Some((name, bytes)) = builder.finish() {
                self.store(name, &bytes)?;
            }
        }
        Ok(())
    }

    /// The block above `below`, proved.
    fn next(
        &mut self,
        below: &Below,
        to: Height,
        arrived: &mut std::vec::IntoIter<Decided>,
    ) -> Result<Decided, MendError> {
        let height = below.height.next();
        let own = self
            .own(height)
            .filter(|own| self.proves(below, own).is_ok());
        if let Some(own) = own {
            return self.agreed(own);
        }
        loop {
            let mut next = arrived.next();
            while next.as_ref().is_some_and(|d| d.block.height() < height) {
                next = arrived.next();
            }
            let decided = match next {
                Some(decided) => decided,
                None => {
                    *arrived = self.supply.blocks(height, to).into_iter();
                    let unavailable = MendError::Unavailable { from: height, to };
                    arrived.next().ok_or(unavailable)?
                }
            };
            match self.proves(below, &decided) {
                Ok(()) => {
                    self.mended.fetched += 1;
                    return self.agreed(decided);
                }
                Err(error) => {
                    self.supply.refuse(height, &describe(&error));
                    *arrived = Vec::new().into_iter();
                }
            }
        }
    }

    /// The block as it can still be read here.
    fn own(&self, height: Height) -> Option<Decided> {
        if let Some(reader) = self.reader {
            return reader.block_quietly(height).ok().flatten();
        }
        let logged = self.salvage.and_then(|s| s.entries.get(&height));
        let logged = logged.and_then(|entry| read_entry(self.storage, height, entry).ok());
        logged.or_else(|| {
            let segment = self.segment.as_ref()?;
            segment.block(self.storage, height).ok()
        })
    }

    /// The block above what was filled, as far as it can be read, is on top of it.
    fn fits_above(&self, to: Height) -> Result<(), MendError> {
        let Some(reader) = self.reader else {
            return Ok(());
        };
        let above = reader.block_quietly(to.next()).ok().flatten();
        let parent = above.and_then(|above| above.block.header().parent);
        if parent.is_some_and(|parent| reader.hash(to) != Some(parent)) {
            return Err(MendError::Contradicts { height: to });
        }
        Ok(())
    }

    fn proves(&self, below: &Below, decided: &Decided) -> Result<(), SegmentError> {
        segment::links::proves(below, decided, self.signatures)
    }

    /// What is proved is what this ledger says, if it says anything.
    fn agreed(&self, decided: Decided) -> Result<Decided, MendError> {
        let height = decided.block.height();
        let marked = self.salvage.and_then(|s| s.marks.get(&height).copied());
        let marked = marked.or_else(|| self.reader?.hash(height));
        if marked.is_some_and(|hash| hash != decided.block.hash()) {
            return Err(MendError::Contradicts { height });
        }
        Ok(decided)
    }

    fn store(&mut self, name: SegmentName, bytes: &[u8]) -> Result<(), MendError> {
        let stored = self.storage.store_segment(&name.to_string(), bytes);
        stored.map_err(|source| io_error(&segment::path_of(name), source))?;
        if let Some(reader) = self.reader {
            let frame = Segment::frame(self.storage, self.foundation, name)?;
            let shared = reader.shared();
            shared.index_mut().adopt(|sealed| sealed.adopt(name, frame));
        }
        self.mended.segments.push(name);
        Ok(())
    }

    /// All marks of the log are of the certified chain, which the segments hold now.
    fn check_marks(&self) -> Result<(), MendError> {
        let Some(salvage) = self.salvage else {
            return Ok(());
        };
        let sealed = Sealed::read(self.storage, self.foundation)?;
        for (height, hash) in &salvage.marks {
            let Some(segment) = sealed.find(*height) else {
                continue;
            };
            if segment.entry(self.storage, *height)?.hash != *hash {
                return Err(MendError::Contradicts { height: *height });
            }
        }
        Ok(())
    }

    /// Writes the file with which the log begins anew, and puts the old ones aside.
    pub(crate) fn begin_anew(&mut self, nonce: Nonce) -> Result<(), MendError> {
        let Some(salvage) = self.salvage else {
            return Ok(());
        };
        for file in &salvage.files {
            self.keep_aside(file)?;
        }
        let (name, bytes) = anew(salvage, nonce);
        let stored = self.storage.store_log(&name, &bytes);
        stored.map_err(|source| io_error(&name, source))?;
        // From here on the log begins with that file, whatever becomes of the others.
        recover(self.storage).map_err(MendError::Open)?;
        for file in &salvage.files {
            self.remove(file)?;
        }
        self.mended.begun = Some(name);
        Ok(())
    }

    /// Keeps what a file holds now. One that is gone already has nothing to keep.
    fn keep_aside(&mut self, file: &str) -> Result<(), MendError> {
        if self.mended.aside.iter().any(|(kept, _)| kept == file) {
            return Ok(());
        }
        match self.storage.set_aside(file) {
            Ok(place) => self.mended.aside.push((file.to_owned(), place)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(io_error(file, source)),
        }
        Ok(())
    }

    fn remove(&self, file: &str) -> Result<(), MendError> {
        match self.storage.retire(file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error(file, error)),
            _ => Ok(()),
        }
    }
}

fn io_error(file: &str, source: io::Error) -> MendError {
    let file = file.to_owned();
    MendError::Io { file, source }
}

/// One file that says all that the log said: its name and its bytes.
fn anew(salvage: &Salvage, nonce: Nonce) -> (String, Vec<u8>) {
    let file = FileHeader {
        number: 0,
        chain: salvage.foundation.chain,
        nonce,
        origin: None,
    };
    let boot = salvage.boot.next();
    let (height, hash) = salvage.tip;
    let start = Record::Start {
        boot,
        nonce,
        tip: model::Mark { height, hash },
        vote: salvage.vote.clone(),
    };
    let body = block_of(&start).map(|block| model::Encode::to_bytes(&**block));
    let mut writer = Writer::new(salvage.position.clone(), file);
    writer.reach(salvage.tip, salvage.floor);
    writer.begin(nonce, boot);
    let flushed = salvage.position.number;
    let written = writer.write(&Meta::of(&start), &body.unwrap_or_default(), flushed);
    debug_assert_eq!(written.file, file_name(salvage.position.next_file));
    (written.file, written.bytes)
}
