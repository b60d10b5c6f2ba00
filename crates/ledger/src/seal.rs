//! Sealing what is decided, and letting go of the log that is not needed any more.
//!
//! Both run on any thread beside the replica's, on a [`Reader`] alone. A segment is stored whole and flushed before
//! the index is turned to it, and the log keeps what it holds until a second segment is above it: so a crash at any
//! moment, and one segment that rots, lose nothing. Why no vote is lost with a file of the log is argued in
//! `docs/ledger-format.md`, section 10.

use std::io;
use std::time::Duration;

use model::Height;

use crate::disk::Storage;
use crate::format::{FileHeader, Origin, SECTOR};
use crate::index::Stretch;
use crate::reader::{ReadError, Reader};
use crate::sealed::Segment;
use crate::segment::{self, Builder, SegmentError, SegmentName};
use crate::window::{LogFile, ScanError, Window, list};

/// Where segments end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// A segment ends with the block that brings it to this many bytes of blocks, each counted with 512 more.
    pub bytes: u64,
    /// Or with one that is so much later than its first, if it holds a command.
    pub time: Duration,
    /// The newest blocks stay in the log: so many.
    pub keep: u64,
}

impl Bounds {
    /// What a block's certificate, record and entry take, about.
    const PER_BLOCK: u64 = 512;
}

impl Default for Bounds {
    /// Those of the format, so that nodes usually seal the same.
    fn default() -> Self {
        Self {
            bytes: 16 << 20,
            time: Duration::from_secs(3600),
            keep: 16,
        }
    }
}

/// Why nothing was sealed, or nothing let go of.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// A block cannot be read back.
    #[error("a block that is to be sealed cannot be read")]
    Read(#[from] ReadError),
    /// The blocks do not follow one another: what was read is not what was decided.
    #[error("what is to be sealed is not a chain")]
    Chain(#[source] SegmentError),
    /// The segment that was just written is not what it should be.
    #[error("the segment {name} cannot be read back")]
    Stored {
        /// Which.
        name: SegmentName,
        /// What is wrong.
        #[source]
        source: SegmentError,
    },
    /// The disk said no.
    #[error("{file}")]
    Io {
        /// Which file.
        file: String,
        /// What it said.
        #[source]
        source: io::Error,
    },
}

impl From<ScanError> for SealError {
    fn from(error: ScanError) -> Self {
        match error {
            ScanError::Io { file, source } => Self::Io { file, source },
            other => Self::Io {
                file: other.to_string(),
                source: io::ErrorKind::InvalidData.into(),
            },
        }
    }
}

/// Seals the lowest blocks that are in no segment, if there are enough of them. Call it again until it gives nothing.
/// Waits for who else changes what segments there are.
///
/// # Errors
/// A [`SealError`]; the ledger is as before then.
pub fn seal(reader: &Reader, bounds: &Bounds) -> Result<Option<SegmentName>, SealError> {
    let shared = reader.shared();
    let _turn = shared.keep_house();
    let stretch = Stretch {
        bytes: bounds.bytes,
        per_block: Bounds::PER_BLOCK,
        time: bounds.time,
    };
    let found = {
        let index = shared.index();
        let limit = Height(index.durable().0.saturating_sub(bounds.keep));
        index.stretch(stretch, limit)
    };
    match found {
        Some((from, to)) => seal_stretch(reader, from, to),
        None => Ok(None),
    }
}

/// Seals everything that is decided and durable, however little it is: somebody is to read it elsewhere soon.
///
/// # Errors
/// As [`seal`].
pub fn seal_to_tip(reader: &Reader) -> Result<(), SealError> {
    while seal(reader, &Bounds::default())?.is_some() {}
    let _turn = reader.shared().keep_house();
    let durable = reader.shared().index().durable();
    seal_through(reader, durable).map(|_| ())
}

/// Seals what is in no segment up to this height, however little it is.
pub(crate) fn seal_through(reader: &Reader, to: Height) -> Result<Option<SegmentName>, SealError> {
    let (from, to) = {
        let index = reader.shared().index();
        (index.sealed().first_missing(), to.min(index.durable()))
    };
    if from <= to {
        seal_stretch(reader, from, to)
    } else {
        Ok(None)
    }
}

fn seal_stretch(
    reader: &Reader,
    from: Height,
    to: Height,
) -> Result<Option<SegmentName>, SealError> {
    let shared = reader.shared();
    let below = from.previous().ok_or(ReadError::Missing { height: from })?;
    let mut builder = Builder::above(reader.known_at(below)?);
    for decided in reader.blocks(from).take(blocks_in(from, to)) {
        builder.push(&decided?).map_err(SealError::Chain)?;
    }
    let Some((name, bytes)) = builder.finish() else {
        return Ok(None);
    };
    let path = segment::path_of(name);
    let stored = shared.storage.store_segment(&name.to_string(), &bytes);
    stored.map_err(|source| SealError::Io { file: path, source })?;
    let frame = Segment::frame(&*shared.storage, reader.foundation(), name)
        .map_err(|source| SealError::Stored { name, source })?;
    shared.index_mut().adopt(|sealed| sealed.adopt(name, frame));
    Ok(Some(name))
}

fn blocks_in(from: Height, to: Height) -> usize {
    usize::try_from(to.0 - from.0 + 1).unwrap_or(usize::MAX)
}

/// Deletes the files of the log that are not needed any more, oldest first, and gives their names. Waits for
/// who else changes what segments there are.
///
/// # Errors
/// A [`SealError`] if the log cannot be listed or a file not be deleted. Whatever was deleted until then, the ledger is
/// whole.
pub fn retire(reader: &Reader) -> Result<Vec<String>, SealError> {
    let storage = &*reader.shared().storage;
    let _turn = reader.shared().keep_house();
    let files = list(storage)?;
    let mut kept = None;
    for file in files.iter().skip(1).rev() {
        if may_begin(reader, storage, file)? {
            kept = Some(file.number);
            break;
        }
    }
    let mut gone = Vec::new();
    let Some(kept) = kept else { return Ok(gone) };
    for file in files.iter().skip(1).filter(|file| file.number < kept) {
        let retired = storage.retire(&file.name);
        retired.map_err(|source| SealError::Io {
            file: file.name.clone(),
            source,
        })?;
        gone.push(file.name.clone());
    }
    Ok(gone)
}

/// The first file of the log that the running incarnation began when this height was decided, and what was known to be
/// decided then; nothing if there is none yet.
pub(crate) fn begins(reader: &Reader, height: Height) -> Result<Option<(u32, Height)>, SealError> {
    let storage = &*reader.shared().storage;
    let boot = reader.shared().index().boot();
    for file in list(storage)?.iter().skip(1) {
        if let Some(origin) = origin(storage, file)?
            && origin.boot == boot
            && origin.floor >= height
        {
            return Ok(Some((file.number, origin.floor)));
        }
    }
    Ok(None)
}

/// What a file of the log says of how it was begun.
fn origin(storage: &dyn Storage, file: &LogFile) -> Result<Option<Origin>, SealError> {
    let mut window = Window::new(storage, file);
    let header: Option<FileHeader> = match window.header(0)? {
        Ok(header) => Some(header),
        Err(_) => window.header(SECTOR)?.ok(),
    };
    let header = header.filter(|header| header.number == file.number);
    Ok(header.and_then(|header| header.origin))
}

/// Whether the log may begin with this file: it was written by the running incarnation, so that the flush of what it
/// holds says that the file itself is there; and every height that a vote in an earlier file was about is decided, and
/// sealed below another segment.
fn may_begin(reader: &Reader, storage: &dyn Storage, file: &LogFile) -> Result<bool, SealError> {
    let Some(origin) = origin(storage, file)? else {
        return Ok(false);
    };
    let index = reader.shared().index();
    Ok(origin.boot == index.boot() && origin.floor < index.sealed().covered_twice())
}
