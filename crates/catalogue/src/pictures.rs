//! What files' pictures are like: which resemble each other, which wait for a decoder, which a client supplied.

use model::{BlobId, LibraryId};
use rusqlite::{Connection, params};

use crate::row;
use crate::stored::Stored;

/// A picture's hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hashed {
    /// The file.
    pub file: BlobId,
    /// Nearly the same for pictures that look the same.
    pub hash: u64,
}

/// A file whose picture nobody could decode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Its library.
    pub library: LibraryId,
    /// The file.
    pub file: BlobId,
    /// What would decode it.
    pub needs: String,
}

/// Writes what searches for pictures read.
pub(crate) fn insert(db: &Connection, stored: &Stored) -> rusqlite::Result<()> {
    let (library, file) = (stored.library.as_str(), stored.file.as_bytes());
    let picture = &stored.beside.picture;
    if let Some(hash) = picture.hash {
        db.prepare_cached(
            "INSERT INTO hashes(library, file, state, hash) VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute(params![
            library,
            file,
            stored.state as u8,
            hash.cast_signed()
        ])?;
    }
    if let Some(needs) = &picture.needs {
        db.prepare_cached("INSERT INTO waiting(needs, file, library) VALUES (?1, ?2, ?3)")?
            .execute(params![needs, file, library])?;
    }
    if let Some(preview) = &picture.preview {
        db.prepare_cached(
            "INSERT INTO previews(library, file, blob, size, arrival) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![
            library,
            file,
            preview.blob.as_bytes(),
            preview.size.cast_signed(),
            preview.arrival
        ])?;
    }
    Ok(())
}

/// Takes it out.
pub(crate) fn remove(db: &Connection, stored: &Stored) -> rusqlite::Result<()> {
    let picture = &stored.beside.picture;
    for (there, sql) in [
        (
            picture.hash.is_some(),
            "DELETE FROM hashes WHERE library = ?1 AND file = ?2",
        ),
        (
            picture.needs.is_some(),
            "DELETE FROM waiting WHERE library = ?1 AND file = ?2",
        ),
        (
            picture.preview.is_some(),
            "DELETE FROM previews WHERE library = ?1 AND file = ?2",
        ),
    ] {
        if there {
            db.prepare_cached(sql)?
                .execute((stored.library.as_str(), stored.file.as_bytes()))?;
        }
    }
    Ok(())
}

/// The hashes of a library's files that are not in the trash, in the order of the files' ids.
pub(crate) fn hashes(db: &Connection, library: &LibraryId) -> rusqlite::Result<Vec<Hashed>> {
    db.prepare_cached(
        "SELECT file, hash FROM hashes WHERE library = ?1 AND state <> ?2 ORDER BY file",
    )?
    .query_map(
        params![library.as_str(), model::file::State::Trashed as u8],
        |row| {
            Ok(Hashed {
                file: BlobId(row.get(0)?),
                hash: row::number(row, 1)?,
            })
        },
    )?
    .collect()
}

/// Files behind `after` that wait for a decoder, at most `limit`, in the order of their ids.
pub(crate) fn waiting(
    db: &Connection,
    needs: &str,
    after: Option<BlobId>,
    limit: u32,
) -> rusqlite::Result<Vec<Waiting>> {
    let after = after.map_or(Vec::new(), |file| file.0.to_vec());
    db.prepare_cached(
        "SELECT library, file, needs FROM waiting WHERE needs = ?1 AND file > ?2
         ORDER BY file, library LIMIT ?3",
    )?
    .query_map(params![needs, after, limit], |row| {
        Ok(Waiting {
            library: row::parsed(row, 0)?,
            file: BlobId(row.get(1)?),
            needs: row.get(2)?,
        })
    })?
    .collect()
}
