//! What is made from blobs and can be made again: thumbnails.
//!
//! They are not flushed, so a power cut can leave one empty or half written. Each file starts with the SHA-256 of
//! the rest; one that does not match is as good as absent.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use model::{BlobId, Digest};

use crate::Store;

/// Why a derived file could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum DerivedError {
    /// It is there and cannot be read.
    #[error("reading {path}")]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It cannot be written.
    #[error("writing {path}")]
    Write {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

pub(crate) fn get(store: &Store, id: BlobId, kind: &str) -> Result<Option<Vec<u8>>, DerivedError> {
    let path = store.shared.derived.path(id).join(name(id, kind));
    match fs::read(&path) {
        Ok(bytes) => Ok(checked(&bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(DerivedError::Read { path, source }),
    }
}

fn checked(bytes: &[u8]) -> Option<Vec<u8>> {
    let (digest, content) = bytes.split_first_chunk::<32>()?;
    (Digest::of(&[content]).0 == *digest).then(|| content.to_vec())
}

pub(crate) fn put(store: &Store, id: BlobId, kind: &str, bytes: &[u8]) -> Result<(), DerivedError> {
    let path = store.shared.derived.path(id).join(name(id, kind));
    let temporary = store.temporary_path();
    let written = write(&temporary, bytes)
        .and_then(|()| store.shared.derived.make(id))
        .and_then(|_| fs::rename(&temporary, &path));
    written.map_err(|source| {
        // The first failure is the one to report; the next start removes what this leaves.
        let _ = fs::remove_file(&temporary);
        DerivedError::Write { path, source }
    })
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = fs::File::create_new(path)?;
    file.write_all(&Digest::of(&[bytes]).0)?;
    file.write_all(bytes)
}

fn name(id: BlobId, kind: &str) -> String {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    assert!(
        !kind.is_empty() && kind.bytes().all(plain),
        "a kind of derived file is made of a-z, 0-9 and -"
    );
    format!("{id}.{kind}")
}
