//! Destroying the bytes of commands that a purge names, wherever this ledger has them.
//!
//! From [`Reader::forget`] on nobody reads them any more: what a reader gives out has only their leaves, and so has every
//! segment made from then on. [`erase()`] then makes it true on the disk, in steps that may be repeated at any time:
//!
//! * A new file of the log is begun, so that everything written before lies in files that can go. Bodies of blocks stand
//!   in votes too, also in votes for blocks that were never decided; so files go whole, and nothing in them is searched.
//! * What the older files hold is sealed, without the bytes, and the files are deleted under the rule by which files are
//!   always deleted (`docs/ledger-format.md`, section 10). It asks for two blocks above the place where the new file begins;
//!   where nobody writes anything, the caller has to.
//! * Segments that were sealed before are written anew beside the old ones, flushed, and renamed over them.
//!
//! A crash leaves old files or new ones, each whole. Nothing here remembers what is done: a step looks at what is there.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

use model::{
    Decided, Encode as _, Entry, Erasure, Erasures, Height, LibraryId, Residue, SealedCommand,
};

use crate::index::Shared;
use crate::reader::Reader;
use crate::seal::{Bounds, SealError, begins, retire, seal, seal_through};
use crate::sealed::{Segment, names};
use crate::segment::layout::{Frame, HEADER, IndexEntry, Piece, narrow};
use crate::segment::{self, SegmentError, SegmentName, path_of};

/// How names of segments end that were never finished.
const UNFINISHED: &str = ".unfinished";

/// One command that must not be given out.
#[derive(Debug)]
struct Forgotten {
    library: Arc<LibraryId>,
    command: Erasure,
}

/// What of a ledger is to be forgotten.
#[derive(Debug, Default)]
pub(crate) struct Erasing {
    commands: RwLock<BTreeMap<Height, Vec<Forgotten>>>,
    /// Held while a segment is exchanged: its file and what is known of it do not fit then.
    exchange: Mutex<()>,
    /// Whether the next record is to begin a file of the log.
    new_file: AtomicBool,
}

impl Erasing {
    fn commands(&self) -> RwLockReadGuard<'_, BTreeMap<Height, Vec<Forgotten>>> {
        self.commands.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn exchange(&self) -> MutexGuard<'_, ()> {
        self.exchange.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until no segment is being exchanged.
    pub(crate) fn settle(&self) {
        drop(self.exchange());
    }

    /// Whether the next record begins a file; asked once by who writes it.
    pub(crate) fn take_new_file(&self) -> bool {
        self.new_file.swap(false, Ordering::Relaxed)
    }

    fn forget(&self, erasures: &Erasures) {
        let library = Arc::new(erasures.library.clone());
        let mut commands = self
            .commands
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        for command in &erasures.commands {
            let there = commands.entry(command.position.height).or_default();
            if there.iter().all(|known| known.command != *command) {
                there.push(Forgotten {
                    library: Arc::clone(&library),
                    command: *command,
                });
            }
        }
    }

    /// What takes the place of a command, if it is to be forgotten. One that is not what the purge says stays: nothing but
    /// what names a file of its library is ever destroyed.
    fn entry(&self, height: Height, index: u32, sealed: &SealedCommand) -> Option<Entry> {
        let commands = self.commands();
        let there = commands.get(&height)?;
        let mut meant = there.iter().filter(|f| f.command.position.index == index);
        let command = sealed.open().ok()?;
        command.payload.names()?;
        let found = meant.find(|forgotten| {
            let Erasure { actor, residue, .. } = forgotten.command;
            let fits = residue == Residue::Nothing || residue == Residue::of(&command, true);
            fits && actor == command.actor && *forgotten.library == command.library
        })?;
        Some(found.command.residue.entry(sealed.leaf()))
    }

    /// A block as it is given out.
    pub(crate) fn apply(&self, decided: Decided) -> Decided {
        let height = decided.block.height();
        if !self.commands().contains_key(&height) {
            return decided;
        }
        let block = decided
            .block
            .without(|index, sealed| self.entry(height, index, sealed));
        Decided {
            block: Arc::new(block),
            ..decided
        }
    }

    /// Whether a segment of this name may hold any of them.
    fn concerns(&self, name: SegmentName) -> bool {
        let commands = self.commands();
        commands.range(name.from()..=name.to()).next().is_some()
    }

    /// The segment without the bytes of the commands; nothing if it does not hold any.
    fn without(&self, bytes: &[u8]) -> Result<Option<Vec<u8>>, SegmentError> {
        rewritten(bytes, |decided| self.apply(decided))
    }
}

/// A segment with its blocks as `change` gives them, which have the same hashes; nothing if they are the same.
pub(crate) fn rewritten(
    bytes: &[u8],
    change: impl Fn(Decided) -> Decided,
) -> Result<Option<Vec<u8>>, SegmentError> {
    let contents = segment::Contents::open(bytes)?;
    let frame = contents.frame.clone();
    let (mut out, mut index) = (frame.header.to_bytes(), Vec::new());
    debug_assert_eq!(out.len(), HEADER);
    let mut changed = false;
    for decided in contents {
        let before = decided?;
        let height = before.block.height();
        let after = change(before.clone());
        changed |= after.block != before.block;
        let block = after.block.to_bytes();
        let certificate = after.certificate.map(|certificate| certificate.to_bytes());
        let certificate = certificate.unwrap_or_default();
        let entry = IndexEntry {
            hash: after.block.hash(),
            time: after.block.header().time,
            offset: narrow(out.len()),
            block: Piece::of(&block),
            certificate: Piece::of(&certificate),
        };
        out.extend_from_slice(&block);
        out.extend_from_slice(&certificate);
        index.extend_from_slice(&entry.seal(height));
    }
    let end = Frame::end(frame.header, &index, out.len(), &frame.summary);
    out.extend_from_slice(&end);
    Ok(changed.then_some(out))
}

impl Reader {
    /// From now on no bytes of these commands are read from this ledger, wherever they still are.
    pub fn forget(&self, erasures: &Erasures) {
        self.shared().erasing.forget(erasures);
    }

    /// Whether a segment of this name may hold what this ledger is to [forget](Reader::forget).
    pub fn may_hold_forgotten(&self, name: SegmentName) -> bool {
        self.shared().erasing.concerns(name)
    }

    /// A segment, from wherever it comes, without the bytes of what this ledger is to [forget](Reader::forget); nothing
    /// if it holds none of them.
    ///
    /// # Errors
    /// A [`SegmentError`] if the bytes are no whole segment.
    pub fn without_forgotten(
        &self,
        name: SegmentName,
        bytes: &[u8],
    ) -> Result<Option<Vec<u8>>, SegmentError> {
        let erasing = &self.shared().erasing;
        if erasing.concerns(name) {
            erasing.without(bytes)
        } else {
            Ok(None)
        }
    }
}

/// How far [`erase()`] has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Erased {
    /// Nothing of the commands is left in the ledger's folder.
    Done,
    /// Blocks have to be decided first: this one must be in the log.
    Waiting {
        /// The height; nothing if any record will do.
        above: Option<Height>,
    },
}

/// Destroys the bytes of all commands that the ledger is to [forget](Reader::forget), as far as that can be done now. The
/// purges that name them stand in blocks up to `purged`. Only the thread that seals may do so.
///
/// # Errors
/// A [`SealError`]; it may be tried again.
pub fn erase(reader: &Reader, purged: Height) -> Result<Erased, SealError> {
    rewrite_segments(reader)?;
    clear_log(reader, purged)
}

/// Has everything that was written to the log before this height was decided sealed, and the files deleted, as far as
/// that can be done now.
pub(crate) fn clear_log(reader: &Reader, purged: Height) -> Result<Erased, SealError> {
    let Some((file, floor)) = begins(reader, purged)? else {
        reader
            .shared()
            .erasing
            .new_file
            .store(true, Ordering::Relaxed);
        return Ok(Erased::Waiting { above: None });
    };
    let needed = floor.next().next();
    if reader.shared().index().durable() < needed {
        return Ok(Erased::Waiting {
            above: Some(needed),
        });
    }
    if reader.shared().index().sealed().covered_twice() <= floor {
        while seal(reader, &Bounds::default())?.is_some() {}
        seal_through(reader, floor.next())?;
        if reader.shared().index().sealed().covered_twice() <= floor {
            seal_through(reader, needed)?;
        }
    }
    if let Some(above) = lacks_a_second(reader, floor)? {
        return Ok(Erased::Waiting { above: Some(above) });
    }
    retire(reader)?;
    let left = crate::window::list(&*reader.shared().storage)?;
    let gone = left.iter().skip(1).all(|left| left.number >= file);
    if gone {
        Ok(Erased::Done)
    } else {
        Ok(Erased::Waiting {
            above: Some(needed.next()),
        })
    }
}

/// One segment may reach beyond all that was asked for: then it takes a block above it, for another. Gives the height of
/// that block if it is not there.
fn lacks_a_second(reader: &Reader, floor: Height) -> Result<Option<Height>, SealError> {
    let (twice, above, durable) = {
        let index = reader.shared().index();
        let sealed = index.sealed();
        (
            sealed.covered_twice(),
            sealed.first_missing(),
            index.durable(),
        )
    };
    if twice > floor {
        return Ok(None);
    }
    if durable < above {
        return Ok(Some(above));
    }
    seal_through(reader, above)?;
    Ok(None)
}

/// Writes those anew that hold what is to be forgotten.
fn rewrite_segments(reader: &Reader) -> Result<(), SealError> {
    let Shared {
        storage, erasing, ..
    } = reader.shared();
    for name in names(&**storage)? {
        if erasing.concerns(name) {
            rewrite(reader, name, |bytes| erasing.without(bytes))?;
        }
    }
    remove_unfinished(reader)
}

/// Writes one segment anew, if it is to have other bytes.
pub(crate) fn rewrite(
    reader: &Reader,
    name: SegmentName,
    without: impl Fn(&[u8]) -> Result<Option<Vec<u8>>, SegmentError>,
) -> Result<bool, SealError> {
    let storage = &reader.shared().storage;
    let path = path_of(name);
    let failed = |source| SealError::Io {
        file: path_of(name),
        source,
    };
    let length = storage.len(&path).map_err(failed)?;
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    let bytes = storage.read(&path, 0, length).map_err(failed)?;
    let without = without(&bytes).map_err(|source| SealError::Stored { name, source })?;
    if let Some(bytes) = &without {
        exchange(reader, name, bytes)?;
    }
    Ok(without.is_some())
}

fn exchange(reader: &Reader, name: SegmentName, bytes: &[u8]) -> Result<(), SealError> {
    let shared = reader.shared();
    let exchanging = shared.erasing.exchange();
    let stored = shared.storage.store_segment(&name.to_string(), bytes);
    stored.map_err(|source| SealError::Io {
        file: path_of(name),
        source,
    })?;
    let frame = Segment::frame(&*shared.storage, reader.foundation(), name)
        .map_err(|source| SealError::Stored { name, source })?;
    shared
        .index_mut()
        .adopt(|sealed| sealed.exchange(name, frame));
    drop(exchanging);
    Ok(())
}

/// What a crash has left of a segment is of no use, and may hold anything.
pub(crate) fn remove_unfinished(reader: &Reader) -> Result<(), SealError> {
    let storage = &reader.shared().storage;
    let files = storage.segments().unwrap_or_default();
    for file in files.iter().filter(|name| name.ends_with(UNFINISHED)) {
        let file = format!("{}/{file}", segment::FOLDER);
        let removed = storage.retire(&file);
        removed.map_err(|source| SealError::Io { file, source })?;
    }
    Ok(())
}
