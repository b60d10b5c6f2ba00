//! One process at a time writes to a node's folder.
//!
//! Two nodes on one folder would vote twice under one identity, and a tool that moves files under a node that runs
//! takes its memory away. So whoever is to write takes the folder's lock first: a lock of the operating system on the file
//! `lock`, which ends with the process however that ends. The file stays, and says who held the lock last; it holds nothing
//! else. Whoever only reads asks for no lock: a ledger may be read while its node writes.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use tracing::warn;

/// The lock's file in a folder.
const FILE: &str = "lock";
/// What is written to it, always as long, so that it needs no room on a disk that has become full.
const WIDTH: usize = 11;

/// Why a folder was not locked.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process has it.
    #[error("{folder} is in use by another process{}: stop that one first", named(*.pid))]
    InUse {
        /// Which folder.
        folder: PathBuf,
        /// Who, if that is known.
        pid: Option<u32>,
    },
    /// The file system said no.
    #[error("locking {folder}")]
    Io {
        /// Which folder.
        folder: PathBuf,
        /// What it said.
        #[source]
        source: io::Error,
    },
}

fn named(pid: Option<u32>) -> String {
    pid.map_or_else(String::new, |pid| format!(", number {pid}"))
}

/// A folder that nobody else writes to while this lives.
#[derive(Debug)]
pub struct FolderLock {
    /// None where there can be no lock.
    _file: Option<File>,
    /// The file, if it goes with the lock.
    passing: Option<PathBuf>,
}

impl Drop for FolderLock {
    fn drop(&mut self) {
        if let Some(path) = self.passing.take() {
            // A file that stays says nothing: no process holds it.
            let _ = std::fs::remove_file(path);
        }
    }
}

impl FolderLock {
    /// Takes the lock of a folder that exists, or says at once that another process has it.
    ///
    /// A disk without room for the file, one that cannot be written to, and a file system that knows no locks are no
    /// reason not to go on: it is logged.
    ///
    /// # Errors
    /// A [`LockError`].
    pub fn take(folder: &Path) -> Result<Self, LockError> {
        let failed = |source| LockError::Io {
            folder: folder.to_owned(),
            source,
        };
        let path = folder.join(FILE);
        loop {
            let file = match open(&path) {
                Err(error) if is_no_reason(&error) => return Ok(Self::none(folder, &error)),
                opened => opened.map_err(failed)?,
            };
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    return Err(LockError::InUse {
                        folder: folder.to_owned(),
                        pid: holder(&file),
                    });
                }
                Err(TryLockError::Error(error)) if is_no_reason(&error) => {
                    return Ok(Self::none(folder, &error));
                }
                Err(TryLockError::Error(error)) => return Err(failed(error)),
            }
            // Who had it may have removed it since it was opened.
            if is_still(&file, &path) {
                let line = format!("{:<1$}\n", std::process::id(), WIDTH - 1);
                // Only for people: the lock is what counts.
                let _ = file.write_all_at(line.as_bytes(), 0);
                return Ok(Self {
                    _file: Some(file),
                    passing: None,
                });
            }
        }
    }

    /// The same for a folder that is no node's: nothing of the lock is left behind.
    ///
    /// # Errors
    /// A [`LockError`].
    pub fn take_passing(folder: &Path) -> Result<Self, LockError> {
        let mut lock = Self::take(folder)?;
        lock.passing = Some(folder.join(FILE));
        Ok(lock)
    }

    fn none(folder: &Path, error: &io::Error) -> Self {
        let folder = folder.display();
        warn!(%folder, %error, "the folder cannot be locked: see to it that one process at a time uses it");
        Self {
            _file: None,
            passing: None,
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
}

/// Whether a file is the one that has this name.
fn is_still(file: &File, path: &Path) -> bool {
    let here = |it: &std::fs::Metadata| (it.dev(), it.ino());
    match (file.metadata(), std::fs::metadata(path)) {
        (Ok(file), Ok(named)) => here(&file) == here(&named),
        _ => false,
    }
}

/// Whether the lack of a lock must stop nobody.
fn is_no_reason(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::Unsupported
    )
}

/// Who wrote to the file last.
fn holder(file: &File) -> Option<u32> {
    let mut line = [0; WIDTH];
    file.read_exact_at(&mut line, 0).ok()?;
    std::str::from_utf8(&line).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_locked_once_and_free_again_when_the_lock_goes() {
        let folder = tempfile::tempdir().unwrap();
        let lock = FolderLock::take(folder.path()).unwrap();
        let refused = FolderLock::take(folder.path()).unwrap_err();
        let own = std::process::id();
        assert!(matches!(refused, LockError::InUse { pid: Some(pid), .. } if pid == own));
        let text = refused.to_string();
        let path = folder.path().display().to_string();
        assert!(text.contains(&path), "{text}");
        assert!(text.contains(&format!("number {own}")), "{text}");
        drop(lock);
        FolderLock::take(folder.path()).unwrap();
    }

    #[test]
    fn who_left_a_lock_behind_that_nobody_can_read_is_not_named() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(FILE), "none of ours").unwrap();
        let path = folder.path().join(FILE);
        let held = OpenOptions::new().write(true).open(path).unwrap();
        held.lock().unwrap();
        let refused = FolderLock::take(folder.path()).unwrap_err();
        assert!(matches!(refused, LockError::InUse { pid: None, .. }));
        assert!(refused.to_string().contains("by another process: stop"));
    }

    #[test]
    fn a_passing_lock_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let lock = FolderLock::take_passing(folder.path()).unwrap();
        FolderLock::take_passing(folder.path()).unwrap_err();
        assert!(folder.path().join(FILE).exists());
        drop(lock);
        assert!(!folder.path().join(FILE).exists());
        FolderLock::take(folder.path()).unwrap();
    }

    #[test]
    fn a_folder_that_is_not_there_cannot_be_locked() {
        let folder = tempfile::tempdir().unwrap();
        let refused = FolderLock::take(&folder.path().join("gone")).unwrap_err();
        assert!(matches!(refused, LockError::Io { .. }), "{refused}");
    }
}
