//! Immutable bytes named by their SHA-256, on a node's own disk.
//!
//! Everything lives below one folder, the node's:
//!
//! ```text
//! blobs/ab/cd/<sha256>          a blob, in a folder named by the first digits of its name
//! derived/ab/cd/<sha256>.<kind> something made from a blob, a thumbnail for instance
//! quarantine/<sha256>           bytes that did not hash to their name
//! quarantine/<sha256>.unnamed   a blob that nobody names, for a while
//! tmp/                          blobs on their way in
//! ```
//!
//! A blob is written to `tmp/` while it is hashed, flushed, and only then renamed to its name; the rename is flushed
//! before anybody hears of it. So a crash leaves either the whole blob or a temporary file, which the next start
//! removes. The same bytes twice are one blob: the second rename replaces the first with an equal file, and heals it
//! if the first had been damaged meanwhile.
//!
//! A name is never trusted. [`Store::verify`] hashes a blob again, [`BlobReader`] hashes it while it is read and
//! withholds the end of one that is damaged. Bytes that do not hash to their name are moved aside, never deleted:
//! they may be the last thing their owner has. [`Store::erase`] is the one exception: it is for what nobody may have.
//!
//! [`Placement`] says which nodes are to hold a blob; it is arithmetic and touches no disk.
//!
//! What this crate does not do: copy between nodes, decide when a blob may be forgotten, or know what it holds.

mod cache;
mod derived;
mod discard;
mod erase;
mod folder;
mod list;
mod placement;
mod read;
mod write;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use model::BlobId;

use crate::erase::Arrivals;
use crate::folder::Folder;

pub use cache::Held;
pub use derived::DerivedError;
pub use discard::{DiscardError, Stored};
pub use erase::EraseError;
pub use placement::{Placement, Seats};
pub use read::{BlobReader, ReadError, Verdict};
pub use write::{BlobWriter, CommitError, Staged, WriteError};

/// How names of temporary files end.
const TEMPORARY: &str = "part";

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A folder could not be made or flushed.
    #[error("preparing {path}")]
    Prepare {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Leftovers of an earlier run could not be removed.
    #[error("removing what an earlier run left in {path}")]
    Clean {
        /// Which folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// All blobs of one node. Cheap to clone; every clone is the same store.
#[derive(Debug, Clone)]
pub struct Store {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    blobs: Folder,
    derived: Folder,
    quarantine: PathBuf,
    temporary: PathBuf,
    /// Names of temporary files; the folder is empty at start, so counting is enough.
    next: AtomicU64,
    /// Blobs moved to quarantine that nobody has asked about yet.
    damaged: Mutex<BTreeSet<BlobId>>,
    arrivals: Arrivals,
}

impl Store {
    /// Opens the store below a node's folder, makes what is missing and removes what an earlier run left unfinished.
    /// At most one process may have it open.
    ///
    /// # Errors
    /// If the folders cannot be made, flushed or cleaned.
    pub fn open(node: &Path) -> Result<Self, OpenError> {
        let store = Self {
            shared: Arc::new(Shared {
                blobs: Folder::new(node.join("blobs")),
                derived: Folder::new(node.join("derived")),
                quarantine: node.join("quarantine"),
                temporary: node.join("tmp"),
                next: AtomicU64::new(0),
                damaged: Mutex::default(),
                arrivals: Arrivals::default(),
            }),
        };
        let shared = &store.shared;
        for path in [
            shared.blobs.root(),
            shared.derived.root(),
            &shared.quarantine,
            &shared.temporary,
        ] {
            fs::create_dir_all(path).map_err(|source| OpenError::Prepare {
                path: path.to_owned(),
                source,
            })?;
        }
        folder::flush(node).map_err(|source| OpenError::Prepare {
            path: node.to_owned(),
            source,
        })?;
        store.clean_temporary()?;
        Ok(store)
    }

    /// Removes unfinished blobs. Writers that are still at work lose theirs, so this is for the start.
    fn clean_temporary(&self) -> Result<(), OpenError> {
        let path = &self.shared.temporary;
        remove_unfinished(path).map_err(|source| OpenError::Clean {
            path: path.to_owned(),
            source,
        })
    }

    /// Starts a new blob.
    ///
    /// # Errors
    /// If no temporary file can be made.
    pub fn writer(&self) -> Result<BlobWriter, WriteError> {
        BlobWriter::create(self.clone(), self.temporary_path())
    }

    /// Where a blob is, or would be.
    pub fn path(&self, id: BlobId) -> PathBuf {
        self.shared.blobs.path(id).join(id.to_string())
    }

    /// Whether a blob of this name is here. Says nothing about its bytes.
    ///
    /// # Errors
    /// If the system cannot tell.
    pub fn has(&self, id: BlobId) -> Result<bool, ReadError> {
        Ok(self.open_blob(id)?.is_some())
    }

    /// The size of the file that has a blob's name; nothing if there is none. Says nothing about its bytes.
    ///
    /// # Errors
    /// If the system cannot tell.
    pub fn size(&self, id: BlobId) -> Result<Option<u64>, ReadError> {
        match fs::metadata(self.path(id)) {
            Ok(metadata) => Ok(Some(metadata.len())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(ReadError::Read { id, source }),
        }
    }

    /// Blobs that were moved to quarantine since this was asked last, whoever found the damage. They are to be
    /// replaced.
    pub fn take_damaged(&self) -> BTreeSet<BlobId> {
        std::mem::take(&mut self.damaged())
    }

    fn damaged(&self) -> std::sync::MutexGuard<'_, BTreeSet<BlobId>> {
        let damaged = self.shared.damaged.lock();
        damaged.expect("nothing panics while it holds this lock")
    }

    /// A blob's file and its size, to be read at any place; nothing if there is none. The bytes are not checked:
    /// whoever reads all of them can use [`Store::reader`].
    ///
    /// # Errors
    /// If it is there and cannot be opened.
    pub fn open_blob(&self, id: BlobId) -> Result<Option<(File, u64)>, ReadError> {
        read::open(id, &self.path(id))
    }

    /// A blob from its first byte to its last, checked on the way; nothing if there is none.
    ///
    /// # Errors
    /// If it is there and cannot be opened.
    pub fn reader(&self, id: BlobId) -> Result<Option<BlobReader>, ReadError> {
        let opened = self.open_blob(id)?;
        Ok(opened.map(|(file, size)| BlobReader::new(id, file, size)))
    }

    /// Hashes a blob again. One that does not hash to its name is moved to quarantine, so that it is not served and
    /// a good copy can take its place.
    ///
    /// # Errors
    /// If the bytes cannot be read, or the damaged blob cannot be moved.
    pub fn verify(&self, id: BlobId) -> Result<Verdict, ReadError> {
        read::verify(self, id)
    }

    /// What was made from a blob under the name `kind`; nothing if it was never made, or is damaged.
    ///
    /// # Errors
    /// If it is there and cannot be read.
    ///
    /// # Panics
    /// If `kind` is not made of `a-z 0-9 -`.
    pub fn derived(&self, id: BlobId, kind: &str) -> Result<Option<Vec<u8>>, DerivedError> {
        derived::get(self, id, kind)
    }

    /// Keeps what was made from a blob. It appears as a whole or not at all, but may be gone after a power cut: it
    /// can be made again.
    ///
    /// # Errors
    /// If it cannot be written.
    ///
    /// # Panics
    /// If `kind` is not made of `a-z 0-9 -`.
    pub fn put_derived(&self, id: BlobId, kind: &str, bytes: &[u8]) -> Result<(), DerivedError> {
        derived::put(self, id, kind, bytes)
    }

    fn temporary_path(&self) -> PathBuf {
        let number = self.shared.next.fetch_add(1, Ordering::Relaxed);
        self.shared.temporary.join(format!("{number}.{TEMPORARY}"))
    }
}

fn remove_unfinished(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|end| end == TEMPORARY) {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
