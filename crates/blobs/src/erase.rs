//! Deleting a blob for good.
//!
//! That nobody needs it is for the caller to know. What the caller cannot know is whether the same bytes have just arrived
//! again, for a command that is not decided yet: that is noted here, from the arrival until the command, or until whoever
//! sent them has certainly given up.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use model::BlobId;

use crate::{Store, folder};

/// Longer than any request waits for its decision.
const UNDER_WAY: Duration = Duration::from_secs(90);

/// Why a blob was not erased.
#[derive(Debug, thiserror::Error)]
pub enum EraseError {
    /// The same bytes have just arrived: what they are for is not decided yet.
    #[error("the bytes of {id} have just arrived again")]
    UnderWay {
        /// Which.
        id: BlobId,
    },
    /// The system refused.
    #[error("removing {path}")]
    Remove {
        /// Which file or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// Blobs that have arrived and were not named yet: how often, and when last.
#[derive(Debug, Default)]
pub(crate) struct Arrivals(Mutex<HashMap<BlobId, (u32, Instant)>>);

impl Arrivals {
    fn with<T>(&self, act: impl FnOnce(&mut HashMap<BlobId, (u32, Instant)>) -> T) -> T {
        let mut arrivals = self
            .0
            .lock()
            .expect("nothing panics while it holds the arrivals");
        arrivals.retain(|_, (_, at)| at.elapsed() < UNDER_WAY);
        act(&mut arrivals)
    }
}

impl Store {
    /// Bytes are about to get this name.
    pub(crate) fn arrives(&self, id: BlobId) {
        self.shared.arrivals.with(|arrivals| {
            let (count, at) = arrivals.entry(id).or_insert((0, Instant::now()));
            (*count, *at) = (*count + 1, Instant::now());
        });
    }

    /// A command that names the blob was decided: what arrived for it is needed for as long as that says.
    pub fn named(&self, id: BlobId) {
        self.shared.arrivals.with(|arrivals| {
            if let Some((count, _)) = arrivals.get_mut(&id) {
                *count = count.saturating_sub(1);
            }
        });
    }

    /// Deletes a blob, everything made from it, and what was put aside of it, and flushes that, unless it is `needed`. That
    /// is asked while nothing can arrive and nothing that has arrived be [named](Store::named): whatever was named before
    /// must count. The blob may not be there.
    ///
    /// # Errors
    /// [`EraseError::UnderWay`] if it has just arrived again; else what the system says.
    pub fn erase(&self, id: BlobId, needed: impl FnOnce() -> bool) -> Result<(), EraseError> {
        self.shared.arrivals.with(|arrivals| {
            if matches!(arrivals.get(&id), Some((count, _)) if *count > 0) {
                return Err(EraseError::UnderWay { id });
            }
            if needed() { Ok(()) } else { self.remove(id) }
        })
    }

    fn remove(&self, id: BlobId) -> Result<(), EraseError> {
        let shared = &self.shared;
        for path in [
            shared.blobs.path(id),
            shared.derived.path(id),
            shared.quarantine.clone(),
        ] {
            remove_named(&path, id).map_err(|source| EraseError::Remove { path, source })?;
        }
        Ok(())
    }
}

/// Removes the files whose names begin with the blob's.
fn remove_named(folder: &Path, id: BlobId) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    let name = id.to_string();
    let mut removed = false;
    for entry in entries {
        let entry = entry?;
        if entry
            .file_name()
            .as_encoded_bytes()
            .starts_with(name.as_bytes())
        {
            fs::remove_file(entry.path())?;
            removed = true;
        }
    }
    if removed {
        folder::flush(folder)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(store: &Store, bytes: &[u8]) -> BlobId {
        let mut writer = store.writer().unwrap();
        writer.write(bytes).unwrap();
        writer.finish().unwrap().commit().unwrap()
    }

    #[test]
    fn a_blob_is_deleted_with_all_that_was_made_from_it() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let (id, other) = (put(&store, b"gone"), put(&store, b"kept"));
        store.put_derived(id, "thumb-256", b"small").unwrap();
        let aside = folder.path().join("quarantine").join(format!("{id}.2"));
        fs::write(&aside, b"damaged").unwrap();
        store.named(id);
        store.erase(id, || true).unwrap();
        assert!(store.has(id).unwrap());
        store.erase(id, || false).unwrap();
        assert!(!store.has(id).unwrap() && !aside.exists());
        assert_eq!(store.derived(id, "thumb-256").unwrap(), None);
        assert!(store.has(other).unwrap());
        store.erase(id, || false).unwrap();
    }

    #[test]
    fn bytes_that_have_arrived_for_a_command_stay_until_it_is_decided() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let id = put(&store, b"twice");
        put(&store, b"twice");
        store.named(id);
        let under_way = store.erase(id, || false);
        assert!(matches!(under_way, Err(EraseError::UnderWay { .. })));
        store.named(id);
        store.named(id);
        store.erase(id, || false).unwrap();
        assert!(!store.has(id).unwrap());
    }
}
