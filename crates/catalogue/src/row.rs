//! Between rows and values. SQLite has signed integers only; heights, times and sizes keep their bits.

use model::codec::Decode;
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row};

use model::{BlobId, Height, LibraryId};

use crate::key::RowKey;
use crate::stored::Stored;

/// A file with its place in the table.
#[derive(Debug, Clone)]
pub(crate) struct FileRow {
    pub(crate) key: RowKey,
    pub(crate) arrival: i64,
    pub(crate) stored: Stored,
}

/// The file in a library.
pub(crate) fn file(
    db: &Connection,
    library: &LibraryId,
    file: &BlobId,
) -> rusqlite::Result<Option<FileRow>> {
    db.prepare_cached("SELECT id, arrival, record FROM files WHERE file = ?1 AND library = ?2")?
        .query_row((file.as_bytes(), library.as_str()), file_row)
        .optional()
}

/// A file from its row id, arrival and record.
pub(crate) fn file_row(row: &Row<'_>) -> rusqlite::Result<FileRow> {
    Ok(FileRow {
        key: RowKey(row.get(0)?),
        arrival: row.get(1)?,
        stored: decoded(row, 2)?,
    })
}

/// Whether any row answers `sql`.
pub(crate) fn exists(
    db: &Connection,
    sql: &str,
    params: impl rusqlite::Params,
) -> rusqlite::Result<bool> {
    db.prepare_cached(sql)?.exists(params)
}

/// The height last applied; none if not even genesis is.
pub(crate) fn applied_height(db: &Connection) -> rusqlite::Result<Option<Height>> {
    db.prepare_cached("SELECT height FROM applied")?
        .query_row([], |row| number(row, 0).map(Height))
        .optional()
}

/// An unsigned number.
pub(crate) fn number(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get(column).map(i64::cast_unsigned)
}

/// A value in the canonical encoding.
pub(crate) fn decoded<T: Decode>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    let bytes = row.get_ref(column)?.as_blob()?;
    T::from_bytes(bytes).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(column, Type::Blob, Box::new(error))
    })
}

/// Text that names something.
pub(crate) fn parsed<T>(row: &Row<'_>, column: usize) -> rusqlite::Result<T>
where
    T: std::str::FromStr<Err: std::error::Error + Send + Sync + 'static>,
{
    row.get_ref(column)?.as_str()?.parse().map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error))
    })
}
