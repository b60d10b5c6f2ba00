//! Copies of what is kept elsewhere too.

use std::fs;
use std::io;
use std::time::SystemTime;

use model::BlobId;

use crate::Store;
use crate::discard::{DiscardError, at};

/// A blob on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// Which.
    pub blob: BlobId,
    /// How long its file is.
    pub size: u64,
    /// When it was last read, as far as the file system takes note of that, else written.
    pub used: SystemTime,
}

impl Store {
    /// Every blob that is here.
    ///
    /// # Errors
    /// If a folder cannot be read.
    pub fn held(&self) -> Result<Vec<Held>, DiscardError> {
        let mut held = Vec::new();
        for first in 0..=u8::MAX {
            for stored in self.shelf(first)? {
                let path = self.path(stored.blob);
                match fs::metadata(&path) {
                    Ok(metadata) => held.push(Held {
                        blob: stored.blob,
                        size: metadata.len(),
                        used: metadata
                            .accessed()
                            .map_or(stored.since, |read| read.max(stored.since)),
                    }),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(at(&path)(error)),
                }
            }
        }
        Ok(held)
    }

    /// Deletes a copy of a blob that is kept elsewhere, and nothing that was made from it. After a power cut it may be here
    /// again.
    ///
    /// # Errors
    /// If it cannot be deleted.
    pub fn let_go(&self, id: BlobId) -> Result<(), DiscardError> {
        let path = self.path(id);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at(&path)(error)),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_goes_and_what_was_made_from_it_stays() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let mut writer = store.writer().unwrap();
        writer.write(b"bytes").unwrap();
        let blob = writer.finish().unwrap().commit().unwrap();
        store.put_derived(blob, "256", b"picture").unwrap();
        let held = store.held().unwrap();
        assert_eq!(held.len(), 1);
        assert_eq!((held[0].blob, held[0].size), (blob, 5));
        store.let_go(blob).unwrap();
        store.let_go(blob).unwrap();
        assert!(store.held().unwrap().is_empty());
        assert_eq!(store.derived(blob, "256").unwrap().unwrap(), b"picture");
    }
}
