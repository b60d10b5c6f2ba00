//! All libraries in memory, at one height, and how readers and the writer share them.
//!
//! The writer commits a run of blocks to SQLite and then makes the same changes here. A reader that has a snapshot of
//! SQLite asks what is here only if it is at the same height ([`Index::at`]); otherwise it takes another snapshot, which
//! is a matter of microseconds. So every answer is of one height, counts and rows alike, and the writer never waits for
//! a reader while it writes.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, RwLock, RwLockReadGuard};

use model::{Height, LibraryId, Timestamp};
use rusqlite::{Connection, OptionalExtension as _};

use super::IndexChanges;
use super::library::{Library, Texts};
use super::picture::{self, Mark};
use crate::row::{self, FileRow};

/// Rows handed over at a time while building.
const BATCH: usize = 1024;

/// What there is at a height.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    pub(crate) height: Option<Height>,
    /// The time of the block at this height.
    pub(crate) now: Timestamp,
    pub(super) libraries: BTreeMap<LibraryId, Library>,
    nothing: Library,
}

/// The catalogue's index in memory, kept by the one writer and shared by readers.
#[derive(Default)]
pub struct Index(RwLock<Memory>);

impl fmt::Debug for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Index").finish_non_exhaustive()
    }
}

impl Index {
    /// Everything, if it is at this height.
    pub(crate) fn at(&self, height: Option<Height>) -> Option<RwLockReadGuard<'_, Memory>> {
        let memory = self.0.read().expect("nothing panics while it writes");
        (memory.height == height).then_some(memory)
    }

    /// A picture of it, if it is in the state of this mark.
    pub(crate) fn picture(&self, mark: Mark) -> Option<Vec<u8>> {
        let memory = self.at(Some(mark.height))?;
        Some(picture::taken(&memory, mark))
    }

    /// Makes the changes of a run of blocks.
    pub(crate) fn change(&self, changes: IndexChanges, height: Height, now: Timestamp) {
        let mut memory = self.0.write().expect("nothing panics while it writes");
        for change in changes.into_changes() {
            if let Some((key, stored)) = change.before {
                memory.library_mut(&stored.library).remove(key, &stored);
            }
            if let Some(row) = change.after {
                let library = memory.library_mut(&row.stored.library);
                library.insert(row.key, row.arrival, &row.stored);
            }
        }
        memory.libraries.retain(|_, library| !library.is_empty());
        memory.height = Some(height);
        memory.now = now;
    }

    /// Begins anew with what the tables say.
    pub(crate) fn load(&self, db: &Connection) -> rusqlite::Result<()> {
        self.begin(Memory::build(db)?);
        Ok(())
    }

    /// Begins anew.
    pub(crate) fn begin(&self, memory: Memory) {
        *self.0.write().expect("nothing panics while it writes") = memory;
    }
}

impl Memory {
    /// An empty one at a height.
    pub(super) fn at(height: Height, now: Timestamp) -> Self {
        Self {
            height: Some(height),
            now,
            ..Self::default()
        }
    }

    /// What the tables say. To be called where nothing changes them meanwhile.
    pub(crate) fn build(db: &Connection) -> rusqlite::Result<Self> {
        let applied = db
            .prepare_cached("SELECT height, time FROM applied")?
            .query_row([], |row| Ok((row::number(row, 0)?, row::number(row, 1)?)))
            .optional()?;
        let mut memory = Self {
            height: applied.map(|(height, _)| Height(height)),
            now: Timestamp(applied.map_or(0, |(_, time)| time)),
            ..Self::default()
        };
        let (bound, bound_rows) = sync_channel(4);
        let (free, free_rows) = sync_channel(4);
        std::thread::scope(|scope| {
            let libraries = scope.spawn(move || fill(&bound_rows));
            let texts = scope.spawn(move || fill_texts(&free_rows));
            each_batch(db, |batch| {
                for filled in [&bound, &free] {
                    let taken = filled.send(Arc::clone(&batch));
                    taken.expect("the other threads take all");
                }
            })?;
            drop((bound, free));
            memory.libraries = libraries.join().expect("putting files in does not panic");
            let texts = texts.join().expect("putting texts in does not panic");
            for (library, texts) in texts {
                memory.library_mut(&library).settle(texts);
            }
            Ok(memory)
        })
    }

    /// A library; empty if nothing is in it.
    pub(crate) fn library(&self, id: &LibraryId) -> &Library {
        self.libraries.get(id).unwrap_or(&self.nothing)
    }

    fn library_mut(&mut self, id: &LibraryId) -> &mut Library {
        if !self.libraries.contains_key(id) {
            self.libraries.insert(id.clone(), Library::default());
        }
        self.libraries.get_mut(id).expect("it was put in")
    }
}

/// Reads all files in the order of their keys.
fn each_batch(db: &Connection, mut take: impl FnMut(Arc<Vec<FileRow>>)) -> rusqlite::Result<()> {
    let mut query = db.prepare("SELECT id, arrival, record FROM files ORDER BY id")?;
    let mut found = query.query([])?;
    let mut batch = Vec::with_capacity(BATCH);
    while let Some(row) = found.next()? {
        batch.push(row::file_row(row)?);
        if batch.len() == BATCH {
            let full = std::mem::replace(&mut batch, Vec::with_capacity(BATCH));
            take(Arc::new(full));
        }
    }
    take(Arc::new(batch));
    Ok(())
}

/// Libraries without the texts that hardly two files have in common.
fn fill(batches: &Receiver<Arc<Vec<FileRow>>>) -> BTreeMap<LibraryId, Library> {
    let mut libraries: BTreeMap<LibraryId, Library> = BTreeMap::new();
    for batch in batches {
        for row in batch.iter() {
            let library = of_library(&mut libraries, row, Library::unsettled);
            library.insert_bound(row.key, row.arrival, &row.stored);
        }
    }
    libraries
}

/// Those texts. The first file of a library has the first slot, and so on.
fn fill_texts(batches: &Receiver<Arc<Vec<FileRow>>>) -> BTreeMap<LibraryId, Texts> {
    let mut libraries: BTreeMap<LibraryId, (u32, Texts)> = BTreeMap::new();
    for batch in batches {
        for row in batch.iter() {
            let (slot, texts) = of_library(&mut libraries, row, || (0, Texts::unsettled()));
            texts.insert_free(*slot, &row.stored);
            *slot += 1;
        }
    }
    let settled = libraries.into_iter().map(|(library, (_, mut texts))| {
        texts.settle();
        (library, texts)
    });
    settled.collect()
}

fn of_library<'a, T>(
    libraries: &'a mut BTreeMap<LibraryId, T>,
    row: &FileRow,
    begin: impl FnOnce() -> T,
) -> &'a mut T {
    let id = &row.stored.library;
    if !libraries.contains_key(id) {
        libraries.insert(id.clone(), begin());
    }
    libraries.get_mut(id).expect("it was put in")
}
