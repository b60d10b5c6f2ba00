//! Folders of many files, spread over two levels, and what it takes for a name in them to survive a power cut.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use model::BlobId;

/// Makes the names in a folder durable.
pub(crate) fn flush(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// `root/ab/cd/`, so that no folder grows beyond a few thousand entries.
#[derive(Debug)]
pub(crate) struct Folder {
    root: PathBuf,
    /// Subfolders whose own names are known to be durable. They may be on the disk and not be here: then another
    /// thread made them and has not flushed their parent yet, or an earlier run did.
    durable: Mutex<BTreeSet<PathBuf>>,
}

impl Folder {
    pub(crate) fn new(root: PathBuf) -> Self {
        Self {
            root,
            durable: Mutex::default(),
        }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The subfolder for what belongs to `id`.
    pub(crate) fn path(&self, id: BlobId) -> PathBuf {
        let [outer, inner] = levels(id);
        self.root.join(outer).join(inner)
    }

    /// Makes the subfolder for `id`.
    pub(crate) fn make(&self, id: BlobId) -> io::Result<PathBuf> {
        let path = self.path(id);
        fs::create_dir_all(&path)?;
        Ok(path)
    }

    /// Makes the subfolder for `id` so that it survives a power cut.
    pub(crate) fn make_durable(&self, id: BlobId) -> io::Result<PathBuf> {
        let mut path = self.root.clone();
        for level in levels(id) {
            let parent = path.clone();
            path.push(level);
            if self.is_durable(&path) {
                continue;
            }
            match fs::create_dir(&path) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => flush(&parent)?,
            }
            self.lock().insert(path.clone());
        }
        Ok(path)
    }

    fn is_durable(&self, path: &Path) -> bool {
        self.lock().contains(path)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeSet<PathBuf>> {
        self.durable
            .lock()
            .expect("nothing panics while it holds this lock")
    }
}

fn levels(id: BlobId) -> [String; 2] {
    let [outer, inner, ..] = id.0;
    [format!("{outer:02x}"), format!("{inner:02x}")]
}
