//! Uploads that are not over, and what has arrived of them.

use model::{BlobId, LibraryId, Timestamp, TokenId, UploadId};
use rusqlite::{Connection, OptionalExtension, params};

use crate::row;

/// An upload that may be interrupted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// The library that its file will be in.
    pub library: LibraryId,
    /// How many bytes there will be.
    pub size: u64,
    /// How many have arrived.
    pub arrived: u64,
    /// What the client said of it.
    pub described: String,
    /// The file that became of it, if it is over.
    pub file: Option<BlobId>,
    /// When it is given up if no more bytes come.
    pub expires: Timestamp,
}

/// A stretch of an upload's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// How many bytes come before.
    pub start: u64,
    /// How many there are.
    pub size: u64,
    /// The bytes.
    pub blob: BlobId,
}

/// An upload of this token's.
pub(crate) fn upload(
    db: &Connection,
    upload: UploadId,
    token: TokenId,
) -> rusqlite::Result<Option<Upload>> {
    db.prepare_cached(
        "SELECT size, arrived, described, file, expires, library FROM uploads
         WHERE upload = ?1 AND token = ?2",
    )?
    .query_row(params![upload.as_bytes(), token.as_bytes()], |row| {
        let file: Option<[u8; 32]> = row.get(3)?;
        Ok(Upload {
            library: row::parsed(row, 5)?,
            size: row::number(row, 0)?,
            arrived: row::number(row, 1)?,
            described: row.get(2)?,
            file: file.map(BlobId),
            expires: Timestamp(row::number(row, 4)?),
        })
    })
    .optional()
}

/// What has arrived of an upload, in order and without gaps. They are known for a time after it is over, too.
pub(crate) fn parts(db: &Connection, upload: UploadId) -> rusqlite::Result<Vec<Part>> {
    db.prepare_cached("SELECT start, size, blob FROM parts WHERE upload = ?1 ORDER BY start")?
        .query_map([upload.as_bytes()], |row| {
            Ok(Part {
                start: row::number(row, 0)?,
                size: row::number(row, 1)?,
                blob: BlobId(row.get(2)?),
            })
        })?
        .collect()
}
