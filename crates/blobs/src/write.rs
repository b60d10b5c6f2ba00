//! How a blob comes in: written and hashed, flushed, renamed, and the rename flushed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use model::BlobId;
use sha2::{Digest as _, Sha256};

use crate::{Store, folder};

/// Why bytes could not be written down.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The disk has no room, or the quota is used up.
    #[error("no room for a blob in {path}")]
    Full {
        /// The temporary file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The system refused.
    #[error("writing a blob to {path}")]
    Io {
        /// The temporary file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

impl WriteError {
    fn at(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::Full { path, source }
            }
            _ => Self::Io { path, source },
        }
    }
}

/// Why a staged blob did not get its name.
#[derive(Debug, thiserror::Error)]
#[error("moving blob {id} to its place")]
pub struct CommitError {
    /// Which.
    pub id: BlobId,
    /// What the system says.
    pub source: io::Error,
}

/// A temporary file that is removed unless it was given a name.
#[derive(Debug)]
struct Temporary {
    path: PathBuf,
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // Nobody can be told, and the next start tries again. After a rename there is nothing to remove.
        let _ = fs::remove_file(&self.path);
    }
}

/// A blob being written. Dropped unfinished, it leaves nothing behind.
#[derive(Debug)]
pub struct BlobWriter {
    store: Store,
    temporary: Temporary,
    file: File,
    hasher: Sha256,
    size: u64,
}

impl BlobWriter {
    pub(crate) fn create(store: Store, path: PathBuf) -> Result<Self, WriteError> {
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&path)
            .map_err(|source| WriteError::at(&path, source))?;
        Ok(Self {
            store,
            temporary: Temporary { path },
            file,
            hasher: Sha256::new(),
            size: 0,
        })
    }

    /// Appends bytes. Callers pass chunks of some size: each is one write to the file.
    ///
    /// # Errors
    /// If the file takes no more; the blob must then be given up.
    pub fn write(&mut self, chunk: &[u8]) -> Result<(), WriteError> {
        self.file
            .write_all(chunk)
            .map_err(|source| WriteError::at(&self.temporary.path, source))?;
        self.hasher.update(chunk);
        self.size += chunk.len() as u64;
        Ok(())
    }

    /// How many bytes were written.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Flushes the bytes to the disk and tells what they are.
    ///
    /// # Errors
    /// If they could not be flushed; the blob is then given up.
    pub fn finish(self) -> Result<Staged, WriteError> {
        self.file
            .sync_all()
            .map_err(|source| WriteError::at(&self.temporary.path, source))?;
        Ok(Staged {
            store: self.store,
            id: BlobId(self.hasher.finalize().into()),
            size: self.size,
            temporary: self.temporary,
        })
    }
}

/// A blob whose bytes are safe but which has no name yet. Dropped, it leaves nothing behind.
#[derive(Debug)]
pub struct Staged {
    store: Store,
    id: BlobId,
    size: u64,
    temporary: Temporary,
}

impl Staged {
    /// What the bytes hash to.
    pub fn id(&self) -> BlobId {
        self.id
    }

    /// How many bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Where the bytes are until [`Staged::commit`].
    pub fn path(&self) -> &Path {
        &self.temporary.path
    }

    /// Gives the blob its name. On return it survives a power cut.
    ///
    /// # Errors
    /// If it could not be renamed, or the rename could not be flushed; it may then be there or not.
    pub fn commit(self) -> Result<BlobId, CommitError> {
        self.rename().map_err(|source| CommitError {
            id: self.id,
            source,
        })?;
        Ok(self.id)
    }

    fn rename(&self) -> io::Result<()> {
        self.store.arrives(self.id);
        let target = self.store.shared.blobs.make_durable(self.id)?;
        fs::rename(&self.temporary.path, target.join(self.id.to_string()))?;
        // Should the old name survive a power cut as well, the next start removes it.
        folder::flush(&target)
    }
}
