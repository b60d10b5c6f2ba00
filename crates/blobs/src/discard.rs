//! Deleting what nobody names, in two steps.
//!
//! First a blob is moved aside, to `quarantine/<sha256>.unnamed`: it is not served, and can be had back at once. Much
//! later, if still nobody names it, it is deleted. When to do either is for the caller to know.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use model::BlobId;

use crate::{Store, folder};

/// How names of blobs that were moved aside end.
const ASIDE: &str = "unnamed";

/// Why a blob was not moved, found or deleted.
#[derive(Debug, thiserror::Error)]
#[error("moving, finding or deleting {path}")]
pub struct DiscardError {
    /// Which file or folder.
    pub path: PathBuf,
    /// What the system says.
    pub source: io::Error,
}

/// A file of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stored {
    /// The blob whose name it has.
    pub blob: BlobId,
    /// When it was written, or moved, if that was later.
    pub since: SystemTime,
}

pub(crate) fn at(path: &Path) -> impl FnOnce(io::Error) -> DiscardError {
    let path = path.to_owned();
    move |source| DiscardError { path, source }
}

impl Store {
    /// The blobs whose names begin with this byte.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn shelf(&self, first: u8) -> Result<Vec<Stored>, DiscardError> {
        let outer = self.shared.blobs.root().join(format!("{first:02x}"));
        let mut found = Vec::new();
        for inner in entries(&outer)? {
            found.extend(files(&inner, |name| name.parse().ok())?);
        }
        Ok(found)
    }

    /// Moves a blob aside. If it is not there, nothing happens.
    ///
    /// # Errors
    /// If it cannot be moved, or the move cannot be flushed.
    pub fn discard(&self, id: BlobId) -> Result<(), DiscardError> {
        let (source, target) = (self.path(id), self.aside(id));
        match fs::rename(&source, &target) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            renamed => renamed.map_err(at(&source))?,
        }
        folder::flush(&self.shared.quarantine).map_err(at(&target))?;
        folder::flush(&self.shared.blobs.path(id)).map_err(at(&source))
    }

    /// Takes a blob back that was moved aside. False if there is none. Its bytes are not checked.
    ///
    /// # Errors
    /// If it cannot be moved, or the move cannot be flushed.
    pub fn recall(&self, id: BlobId) -> Result<bool, DiscardError> {
        let (source, target) = (self.aside(id), self.path(id));
        if !source.exists() {
            return Ok(false);
        }
        if target.exists() {
            // It has come again meanwhile.
            fs::remove_file(&source).map_err(at(&source))?;
            return Ok(true);
        }
        let shelf = self.shared.blobs.make_durable(id).map_err(at(&target))?;
        fs::rename(&source, &target).map_err(at(&source))?;
        folder::flush(&shelf).map_err(at(&target))?;
        Ok(true)
    }

    /// Everything that was moved aside.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn discarded(&self) -> Result<Vec<Stored>, DiscardError> {
        files(&self.shared.quarantine, |name| {
            let (id, end) = name.split_once('.')?;
            (end == ASIDE).then(|| id.parse().ok())?
        })
    }

    /// Deletes what was moved aside, and what was made from it.
    ///
    /// # Errors
    /// If it cannot be deleted.
    pub fn delete_discarded(&self, id: BlobId) -> Result<(), DiscardError> {
        let path = self.aside(id);
        fs::remove_file(&path).map_err(at(&path))?;
        let name = id.to_string();
        for path in entries(&self.shared.derived.path(id))? {
            let file = path.file_name().unwrap_or_default();
            if file.as_encoded_bytes().starts_with(name.as_bytes()) {
                fs::remove_file(&path).map_err(at(&path))?;
            }
        }
        Ok(())
    }

    fn aside(&self, id: BlobId) -> PathBuf {
        self.shared.quarantine.join(format!("{id}.{ASIDE}"))
    }
}

/// What is in a folder; nothing if there is none.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, DiscardError> {
    let read = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        read => read.map_err(at(folder))?,
    };
    let paths = read.map(|entry| entry.map(|entry| entry.path()));
    paths.collect::<io::Result<_>>().map_err(at(folder))
}

/// The files in a folder whose names are those of blobs.
fn files(
    folder: &Path,
    named: impl Fn(&str) -> Option<BlobId>,
) -> Result<Vec<Stored>, DiscardError> {
    let mut found = Vec::new();
    for path in entries(folder)? {
        let name = path.file_name().and_then(|name| name.to_str());
        let Some(blob) = name.and_then(&named) else {
            continue;
        };
        match fs::metadata(&path).and_then(|metadata| since(&metadata)) {
            Ok(since) => found.push(Stored { blob, since }),
            // Somebody else has moved it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(at(&path)(error)),
        }
    }
    Ok(found)
}

/// A move does not change when a file was modified, but it does change when its entry was.
fn since(metadata: &fs::Metadata) -> io::Result<SystemTime> {
    use std::os::unix::fs::MetadataExt as _;
    let seconds = u64::try_from(metadata.ctime()).unwrap_or(0);
    let moved = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
    Ok(metadata.modified()?.max(moved))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(store: &Store, bytes: &[u8]) -> BlobId {
        let mut writer = store.writer().unwrap();
        writer.write(bytes).unwrap();
        writer.finish().unwrap().commit().unwrap()
    }

    fn store() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        (folder, store)
    }

    #[test]
    fn what_was_moved_aside_can_be_had_back_or_deleted() {
        let (_folder, store) = store();
        let (one, two) = (put(&store, b"one"), put(&store, b"two"));
        store.put_derived(two, "thumb-256", b"small").unwrap();
        for id in [one, two] {
            let shelf = store.shelf(id.0[0]).unwrap();
            assert!(shelf.iter().any(|stored| stored.blob == id));
            store.discard(id).unwrap();
            store.discard(id).unwrap();
            assert!(!store.has(id).unwrap());
        }
        let mut aside: Vec<_> = store.discarded().unwrap();
        aside.sort_by_key(|stored| stored.blob);
        let mut expected = [one, two];
        expected.sort_unstable();
        assert!(aside.iter().map(|stored| stored.blob).eq(expected));
        assert!(store.recall(one).unwrap());
        assert!(!store.recall(one).unwrap());
        assert_eq!(store.verify(one).unwrap(), crate::Verdict::Sound);
        store.delete_discarded(two).unwrap();
        assert!(store.discarded().unwrap().is_empty() && !store.recall(two).unwrap());
        assert_eq!(store.derived(two, "thumb-256").unwrap(), None);
    }

    #[test]
    fn what_comes_again_meanwhile_stays() {
        let (_folder, store) = store();
        let id = put(&store, b"again");
        store.discard(id).unwrap();
        assert_eq!(put(&store, b"again"), id);
        assert!(store.recall(id).unwrap());
        assert_eq!(store.verify(id).unwrap(), crate::Verdict::Sound);
        assert!(store.discarded().unwrap().is_empty());
    }
}
