//! Going on where this node stopped.
//!
//! A node that stops in an orderly way leaves a picture of its index beside the catalogue ([`Catalogue::leave`]), and its next
//! start goes on from both ([`Catalogue::resume`]). A picture is true once: it is removed before the catalogue changes, so
//! after a crash there is none, and what is purged later is in none. Whoever resumes must know that the two files are those
//! that were left; all others call [`Catalogue::open`], which looks through the database and removes a picture.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::{Height, Timestamp};

use super::Catalogue;
use crate::index::picture::{self, Mark};
use crate::index::{Index, IndexChanges};
use crate::schema::{self, OpenError, Trust};

/// More changes than this are not kept for an index that nobody has asked for yet: to build it anew is as fast.
const MISSED_MAX: usize = 200_000;

/// An index that was left behind and is not read yet.
#[derive(Debug)]
pub(super) struct Resumed {
    /// Its name is gone already.
    picture: File,
    mark: Mark,
    /// What has happened since.
    missed: IndexChanges,
    reached: (Height, Timestamp),
}

impl Resumed {
    /// Keeps what a run of blocks changed; false if that becomes too much.
    pub(super) fn miss(&mut self, changes: IndexChanges, height: Height, now: Timestamp) -> bool {
        self.missed.append(changes);
        self.reached = (height, now);
        self.missed.len() <= MISSED_MAX
    }

    /// The index at the height that was reached; nothing if the picture is none.
    fn read(mut self) -> Option<Index> {
        let mut bytes = Vec::new();
        self.picture.read_to_end(&mut bytes).ok()?;
        let memory = picture::read(&bytes, &self.mark)?;
        drop(bytes);
        let index = Index::default();
        index.begin(memory);
        let (height, now) = self.reached;
        index.change(self.missed, height, now);
        Some(index)
    }
}

/// Where the picture of a catalogue's index is left.
pub(super) fn place(path: &Path) -> PathBuf {
    path.with_extension("index")
}

/// Removes the picture of a catalogue's index, if there is one.
pub(super) fn forget(path: &Path) -> Result<(), OpenError> {
    match fs::remove_file(place(path)) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(OpenError::Aside {
            path: place(path),
            source,
        }),
        _ => Ok(()),
    }
}

impl Catalogue {
    /// Where the index of the catalogue at `path` is left.
    pub fn index_path(path: &Path) -> PathBuf {
        place(path)
    }

    /// Opens the catalogue at `path` and the index beside it as [`Catalogue::leave`] left them. Neither is looked through.
    ///
    /// # Errors
    /// As [`Catalogue::open`].
    pub fn resume(path: &Path) -> Result<Self, OpenError> {
        let picture = File::open(place(path)).ok();
        forget(path)?;
        let mut catalogue = Self::opened(path, Trust::Left)?;
        let mark = Mark::of(&catalogue.db).map_err(|source| OpenError::Database {
            path: path.into(),
            source,
        })?;
        catalogue.resumed = picture.zip(mark).map(|(picture, mark)| Resumed {
            picture,
            missed: IndexChanges::new(true),
            reached: (mark.height, mark.time),
            mark,
        });
        Ok(catalogue)
    }

    /// Leaves a picture of the index beside the file, if there is an index. Nothing may be applied after that.
    ///
    /// # Errors
    /// If it cannot be written; then there is none.
    pub fn leave(&self) -> io::Result<()> {
        let mark = Mark::of(&self.db).map_err(io::Error::other)?;
        let Some((index, mark)) = self.index.as_ref().zip(mark) else {
            return Ok(());
        };
        let Some(picture) = index.picture(mark) else {
            return Ok(());
        };
        let place = place(&self.path);
        let unfinished = schema::beside(&place, ".unfinished");
        let mut file = File::create(&unfinished)?;
        file.write_all(&picture)?;
        // Its digests say the rest: a power cut costs nothing but time.
        drop(file);
        fs::rename(&unfinished, &place)
    }

    /// The index that was left, with what happened since.
    pub(super) fn resumed_index(&mut self) -> Option<Arc<Index>> {
        self.resumed.take()?.read().map(Arc::new)
    }
}
