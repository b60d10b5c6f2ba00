//! All libraries in memory, at one height, and how readers and the writer share them.
//!
//! The writer commits a run of blocks to SQLite and then makes the same changes here. A reader that has a snapshot of
//! SQLite asks what is here only if it is at the same height ([`Index::at`]); otherwise it takes another snapshot, which
//! is a matter of microseconds. So every answer is of one height, counts and rows alike, and the writer never waits for
//! a reader while it writes.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{RwLock, RwLockReadGuard};

use model::{Height, LibraryId, Timestamp};
use rusqlite::{Connection, OptionalExtension as _};

use super::IndexChanges;
use super::library::Library;
use crate::key::RowKey;
use crate::row::{self, FileRow};

/// Rows handed over at a time while building.
const BATCH: usize = 1024;

/// What there is at a height.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    pub(crate) height: Option<Height>,
    /// The time of the block at this height.
    pub(crate) now: Timestamp,
    libraries: BTreeMap<LibraryId, Library>,
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
        let built = Memory::build(db)?;
        *self.0.write().expect("nothing panics while it writes") = built;
        Ok(())
    }
}

impl Memory {
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
        let (rows, batches) = sync_channel(4);
        let filling = &mut memory;
        std::thread::scope(|scope| {
            let filled = scope.spawn(move || filling.fill(&batches));
            let mut query = db.prepare("SELECT id, arrival, record FROM files ORDER BY id")?;
            let mut found = query.query([])?;
            let mut batch = Vec::with_capacity(BATCH);
            while let Some(row) = found.next()? {
                batch.push(FileRow {
                    key: RowKey(row.get(0)?),
                    arrival: row.get(1)?,
                    stored: row::decoded(row, 2)?,
                });
                if batch.len() == BATCH {
                    let full = std::mem::replace(&mut batch, Vec::with_capacity(BATCH));
                    rows.send(full).expect("the other thread takes all");
                }
            }
            rows.send(batch).expect("the other thread takes all");
            drop(rows);
            filled.join().expect("putting files in does not panic");
            Ok(())
        })
        .map(|()| memory)
    }

    fn fill(&mut self, batches: &Receiver<Vec<FileRow>>) {
        for row in batches.iter().flatten() {
            let library = self.library_mut(&row.stored.library);
            library.insert(row.key, row.arrival, &row.stored);
        }
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
