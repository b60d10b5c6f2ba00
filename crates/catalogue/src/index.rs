//! What searches read: the row's columns and its tags in SQLite, and everything that is counted in memory.
//!
//! Every file that is put in, replaced or taken out passes through here, so that the index in memory (`memory`, of one
//! `library` each) learns of it: the changes of a run of blocks are collected and made when the run is committed. It
//! holds bitmaps of files per tag, month, kind, rating and so on, and per distinct value of what has words (`values`).
//! Nothing in the application of commands reads it.

mod beginnings;
pub(crate) mod columns;
pub(crate) mod fold;
pub(crate) mod library;
pub(crate) mod memory;
pub(crate) mod picture;
pub(crate) mod posting;
pub(crate) mod values;
pub(crate) mod world;

use model::codec::Encode;
use rusqlite::{Connection, params};

use crate::fields;
use crate::key::RowKey;
use crate::pictures;
use crate::row::FileRow;
use crate::stored::{Stored, fold};

pub use memory::Index;

/// What a run of blocks does to files, in order.
#[derive(Debug, Default)]
pub(crate) struct IndexChanges {
    /// Whether anybody will ask for them.
    wanted: bool,
    changes: Vec<IndexChange>,
}

/// A file before and after.
#[derive(Debug)]
pub(crate) struct IndexChange {
    pub(crate) before: Option<(RowKey, Stored)>,
    pub(crate) after: Option<FileRow>,
}

impl IndexChanges {
    /// Keeps the changes, if they are wanted.
    pub(crate) fn new(wanted: bool) -> Self {
        Self {
            wanted,
            changes: Vec::new(),
        }
    }

    /// Adds what comes behind these.
    pub(crate) fn append(&mut self, later: Self) {
        self.changes.extend(later.changes);
    }

    pub(crate) fn len(&self) -> usize {
        self.changes.len()
    }

    pub(crate) fn into_changes(self) -> Vec<IndexChange> {
        self.changes
    }

    fn add(&mut self, row: &FileRow) {
        if self.wanted {
            self.changes.push(IndexChange {
                before: None,
                after: Some(row.clone()),
            });
        }
    }

    fn remove(&mut self, row: &FileRow) {
        if self.wanted {
            self.changes.push(IndexChange {
                before: Some((row.key, row.stored.clone())),
                after: None,
            });
        }
    }
}

/// Writes a new file.
pub(crate) fn insert(
    db: &Connection,
    changes: &mut IndexChanges,
    row: &FileRow,
) -> rusqlite::Result<()> {
    let (key, stored) = (row.key, &row.stored);
    let place = stored.place();
    db.prepare_cached(
        "INSERT INTO files(id, library, file, state, kind, taken, lat, lon, rating, favourite,
                           fields, arrival, name, size, record)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
    )?
    .execute(params![
        key.0,
        stored.library.as_str(),
        stored.file.as_bytes(),
        stored.state as u8,
        stored.facts.kind as u8,
        stored.local_time().map(|time| time.micros()),
        place.map(model::file::Place::latitude),
        place.map(model::file::Place::longitude),
        stored.rating,
        stored.favourite,
        stored.fields(),
        row.arrival,
        fold(&stored.name),
        stored.size.cast_signed(),
        stored.to_bytes(),
    ])?;
    for (path, spelled) in stored.tag_paths() {
        db.prepare_cached("INSERT INTO tags(library, path, id, spelled) VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![stored.library.as_str(), path, key.0, spelled])?;
    }
    insert_own(db, key, stored)?;
    insert_albums(db, key, stored)?;
    pictures::insert(db, stored)?;
    changes.add(row);
    Ok(())
}

/// Writes which albums it is in.
fn insert_albums(db: &Connection, key: RowKey, stored: &Stored) -> rusqlite::Result<()> {
    for known in &stored.albums {
        let cover = stored
            .covers
            .iter()
            .find(|(album, _)| *album == known.album);
        db.prepare_cached("INSERT INTO album_files VALUES (?1, ?2, ?3, ?4, ?5)")?
            .execute(params![
                stored.library.as_str(),
                known.album.as_bytes(),
                key.0,
                known.rank.cast_signed(),
                cover.map(|(_, at)| at.cast_signed()),
            ])?;
    }
    Ok(())
}

/// Takes it out of the albums it is in.
fn remove_albums(db: &Connection, key: RowKey, stored: &Stored) -> rusqlite::Result<()> {
    for known in &stored.albums {
        db.prepare_cached("DELETE FROM album_files WHERE library = ?1 AND album = ?2 AND id = ?3")?
            .execute(params![
                stored.library.as_str(),
                known.album.as_bytes(),
                key.0
            ])?;
    }
    Ok(())
}

/// Writes the values of people's own fields.
fn insert_own(db: &Connection, key: RowKey, stored: &Stored) -> rusqlite::Result<()> {
    for own in &stored.own {
        for value in &own.values {
            db.prepare_cached("INSERT OR IGNORE INTO field_values VALUES (?1, ?2, ?3, ?4)")?
                .execute(params![
                    stored.library.as_str(),
                    own.field,
                    fields::to_sql(value),
                    key.0
                ])?;
        }
    }
    Ok(())
}

/// Takes the values of people's own fields out.
fn remove_own(db: &Connection, key: RowKey, stored: &Stored) -> rusqlite::Result<()> {
    for own in &stored.own {
        for value in &own.values {
            db.prepare_cached(
                "DELETE FROM field_values
                 WHERE library = ?1 AND number = ?2 AND value = ?3 AND id = ?4",
            )?
            .execute(params![
                stored.library.as_str(),
                own.field,
                fields::to_sql(value),
                key.0
            ])?;
        }
    }
    Ok(())
}

/// Replaces a file; it moves to another row if its capture time has changed.
pub(crate) fn update(
    db: &Connection,
    changes: &mut IndexChanges,
    before: &FileRow,
    after: Stored,
) -> rusqlite::Result<()> {
    if before.stored.local_time() == after.local_time() && before.stored.place() == after.place() {
        return update_in_place(db, changes, before, after);
    }
    remove(db, changes, before)?;
    let moved = before.stored.local_time() != after.local_time();
    let key = if moved {
        RowKey::free(db, after.local_time())?
    } else {
        before.key
    };
    insert(
        db,
        changes,
        &FileRow {
            key,
            arrival: before.arrival,
            stored: after,
        },
    )
}

/// Replaces a file that stays where it is, and touches no row that says the same as before.
fn update_in_place(
    db: &Connection,
    changes: &mut IndexChanges,
    before: &FileRow,
    after: Stored,
) -> rusqlite::Result<()> {
    let (key, old) = (before.key, &before.stored);
    db.prepare_cached(
        "UPDATE files SET state = ?2, rating = ?3, favourite = ?4, fields = ?5, name = ?6,
                          record = ?7
         WHERE id = ?1",
    )?
    .execute(params![
        key.0,
        after.state as u8,
        after.rating,
        after.favourite,
        after.fields(),
        fold(&after.name),
        after.to_bytes(),
    ])?;
    let (had, has) = (old.tag_paths(), after.tag_paths());
    for (path, _) in had
        .iter()
        .filter(|(path, tag)| has.get(*path) != Some(*tag))
    {
        db.prepare_cached("DELETE FROM tags WHERE library = ?1 AND path = ?2 AND id = ?3")?
            .execute(params![old.library.as_str(), path, key.0])?;
    }
    for (path, tag) in has
        .iter()
        .filter(|(path, tag)| had.get(*path) != Some(*tag))
    {
        db.prepare_cached("INSERT INTO tags(library, path, id, spelled) VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![old.library.as_str(), path, key.0, tag])?;
    }
    if old.own != after.own {
        remove_own(db, key, old)?;
        insert_own(db, key, &after)?;
    }
    if (&old.albums, &old.covers) != (&after.albums, &after.covers) {
        remove_albums(db, key, old)?;
        insert_albums(db, key, &after)?;
    }
    if (&old.beside.picture, old.state) != (&after.beside.picture, after.state) {
        pictures::remove(db, old)?;
        pictures::insert(db, &after)?;
    }
    changes.remove(before);
    changes.add(&FileRow {
        key,
        arrival: before.arrival,
        stored: after,
    });
    Ok(())
}

/// Takes a file out.
pub(crate) fn remove(
    db: &Connection,
    changes: &mut IndexChanges,
    row: &FileRow,
) -> rusqlite::Result<()> {
    let (key, stored) = (row.key, &row.stored);
    db.prepare_cached("DELETE FROM files WHERE id = ?1")?
        .execute([key.0])?;
    for path in stored.tag_paths().keys() {
        db.prepare_cached("DELETE FROM tags WHERE library = ?1 AND path = ?2 AND id = ?3")?
            .execute(params![stored.library.as_str(), path, key.0])?;
    }
    remove_own(db, key, stored)?;
    remove_albums(db, key, stored)?;
    pictures::remove(db, stored)?;
    changes.remove(row);
    Ok(())
}
