//! What searches read: the row's columns, its words, its tags and its position.
//!
//! Full-text rows are written once per run of blocks, in ascending order: the index flushes its memory whenever a
//! row id goes down. Nothing in the application of commands reads them.

use std::collections::BTreeMap;

use model::codec::Encode;
use rusqlite::{Connection, params};

use crate::key::RowKey;
use crate::row::FileRow;
use crate::stored::{Stored, Words, fold};

/// Full-text rows to be written, with what stood there when the run began.
#[derive(Debug, Default)]
pub(crate) struct TextChanges {
    rows: BTreeMap<RowKey, TextChange>,
}

#[derive(Debug, Default)]
struct TextChange {
    before: Option<Words>,
    after: Option<Words>,
}

impl TextChanges {
    fn remove(&mut self, key: RowKey, words: Words) {
        self.rows
            .entry(key)
            .or_insert(TextChange {
                before: Some(words),
                after: None,
            })
            .after = None;
    }

    fn add(&mut self, key: RowKey, words: Words) {
        self.rows.entry(key).or_default().after = Some(words);
    }

    /// Writes them, lowest row id first.
    pub(crate) fn write(self, db: &Connection) -> rusqlite::Result<()> {
        // The index keeps no text of its own, so taking a row out needs the text that was put in.
        let mut delete = db.prepare_cached(
            "INSERT INTO words(words, rowid, name, title, description, tags, place, camera)
             VALUES ('delete', ?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?;
        let mut insert = db.prepare_cached(
            "INSERT INTO words(rowid, name, title, description, tags, place, camera)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?;
        for (key, change) in self.rows {
            if change.before == change.after {
                continue;
            }
            for (statement, words) in [(&mut delete, change.before), (&mut insert, change.after)] {
                if let Some(words) = words {
                    let Words {
                        name,
                        title,
                        description,
                        tags,
                        place,
                        camera,
                    } = words;
                    statement.execute(params![
                        key.0,
                        name,
                        title,
                        description,
                        tags,
                        place,
                        camera
                    ])?;
                }
            }
        }
        Ok(())
    }
}

/// Writes a new file.
pub(crate) fn insert(
    db: &Connection,
    text: &mut TextChanges,
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
    if let Some(place) = place {
        db.prepare_cached("INSERT INTO places VALUES (?1, ?2, ?2, ?3, ?3)")?
            .execute(params![key.0, place.latitude(), place.longitude()])?;
    }
    for (path, spelled) in stored.tag_paths() {
        db.prepare_cached("INSERT INTO tags(library, path, id, spelled) VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![stored.library.as_str(), path, key.0, spelled])?;
    }
    text.add(key, stored.words());
    Ok(())
}

/// Replaces a file; it moves to another row if its capture time has changed.
pub(crate) fn update(
    db: &Connection,
    text: &mut TextChanges,
    before: &FileRow,
    after: Stored,
) -> rusqlite::Result<()> {
    remove(db, text, before)?;
    let moved = before.stored.local_time() != after.local_time();
    let key = if moved {
        RowKey::free(db, after.local_time())?
    } else {
        before.key
    };
    insert(
        db,
        text,
        &FileRow {
            key,
            arrival: before.arrival,
            stored: after,
        },
    )
}

/// Takes a file out.
pub(crate) fn remove(
    db: &Connection,
    text: &mut TextChanges,
    row: &FileRow,
) -> rusqlite::Result<()> {
    let (key, stored) = (row.key, &row.stored);
    db.prepare_cached("DELETE FROM files WHERE id = ?1")?
        .execute([key.0])?;
    if stored.place().is_some() {
        db.prepare_cached("DELETE FROM places WHERE id = ?1")?
            .execute([key.0])?;
    }
    for path in stored.tag_paths().keys() {
        db.prepare_cached("DELETE FROM tags WHERE library = ?1 AND path = ?2 AND id = ?3")?
            .execute(params![stored.library.as_str(), path, key.0])?;
    }
    text.remove(key, stored.words());
    Ok(())
}
