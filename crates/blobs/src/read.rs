//! How a blob goes out, and how its bytes are held against its name.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use model::BlobId;
use sha2::{Digest as _, Sha256};

use crate::{Store, folder};

/// Read at once when hashing; larger buys nothing, smaller costs system calls.
const HASH_CHUNK_BYTES: usize = 256 << 10;

/// Why a blob could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It is there, but the system will not give its bytes.
    #[error("reading blob {id}")]
    Read {
        /// Which.
        id: BlobId,
        /// What the system says.
        source: io::Error,
    },
    /// It is damaged and could not be moved aside.
    #[error("moving damaged blob {id} to {target}")]
    Quarantine {
        /// Which.
        id: BlobId,
        /// Where it should have gone.
        target: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// What hashing a blob again showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It hashes to its name.
    Sound,
    /// There is none of this name.
    Absent,
    /// It does not, and was moved to quarantine.
    Damaged {
        /// What the bytes hash to.
        found: BlobId,
        /// Where they are.
        quarantine: PathBuf,
    },
}

pub(crate) fn open(id: BlobId, path: &Path) -> Result<Option<(File, u64)>, ReadError> {
    let opened = File::open(path).and_then(|file| {
        let size = file.metadata()?.len();
        Ok((file, size))
    });
    match opened {
        Ok(opened) => Ok(Some(opened)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(ReadError::Read { id, source }),
    }
}

pub(crate) fn verify(store: &Store, id: BlobId) -> Result<Verdict, ReadError> {
    let Some((file, _)) = store.open_blob(id)? else {
        return Ok(Verdict::Absent);
    };
    let found = hash(file).map_err(|source| ReadError::Read { id, source })?;
    if found == id {
        return Ok(Verdict::Sound);
    }
    let quarantine = quarantine(store, id)?;
    store.damaged().insert(id);
    Ok(Verdict::Damaged { found, quarantine })
}

fn hash(mut file: File) -> io::Result<BlobId> {
    let mut hasher = Sha256::new();
    let mut chunk = vec![0; HASH_CHUNK_BYTES];
    loop {
        let count = match file.read(&mut chunk) {
            Ok(0) => return Ok(BlobId(hasher.finalize().into())),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        hasher.update(chunk.get(..count).unwrap_or_default());
    }
}

fn quarantine(store: &Store, id: BlobId) -> Result<PathBuf, ReadError> {
    let target = free_place(&store.shared.quarantine, id);
    let source = store.path(id);
    fs::rename(&source, &target)
        .and_then(|()| folder::flush(&store.shared.quarantine))
        .and_then(|()| source.parent().map_or(Ok(()), folder::flush))
        .map_err(|source| ReadError::Quarantine {
            id,
            target: target.clone(),
            source,
        })?;
    Ok(target)
}

/// A blob may be damaged more than once, and the earlier damage is kept too.
fn free_place(quarantine: &Path, id: BlobId) -> PathBuf {
    let first = quarantine.join(id.to_string());
    let others = (2_u64..).map(|number| quarantine.join(format!("{id}.{number}")));
    std::iter::once(first.clone())
        .chain(others)
        .find(|place| !place.exists())
        .unwrap_or(first)
}

/// Reads a whole blob and hashes it on the way. The last bytes are given only if everything hashed to the name, so
/// a reader that got as many as [`BlobReader::size`] got the right ones.
#[derive(Debug)]
pub struct BlobReader {
    id: BlobId,
    file: File,
    size: u64,
    position: u64,
    hasher: Sha256,
}

impl BlobReader {
    pub(crate) fn new(id: BlobId, file: File, size: u64) -> Self {
        Self {
            id,
            file,
            size,
            position: 0,
            hasher: Sha256::new(),
        }
    }

    /// The blob's size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    fn check(&self) -> io::Result<()> {
        let found = BlobId(self.hasher.clone().finalize().into());
        if found == self.id {
            Ok(())
        } else {
            let what = format!("blob {} is damaged: its bytes hash to {found}", self.id);
            Err(io::Error::new(io::ErrorKind::InvalidData, what))
        }
    }
}

impl Read for BlobReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.size - self.position).unwrap_or(usize::MAX);
        let wanted = left.min(buffer.len());
        let room = buffer.get_mut(..wanted).unwrap_or_default();
        let count = self.file.read(room)?;
        if count == 0 && wanted > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.hasher.update(room.get(..count).unwrap_or_default());
        self.position += count as u64;
        if self.position == self.size {
            self.check()?;
        }
        Ok(count)
    }
}
