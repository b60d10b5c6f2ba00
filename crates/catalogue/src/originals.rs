//! Where files' bytes live, as the ledger says, and what stands against letting a copy go.

use model::{BlobId, Height, NodeId, limits};
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::purge;
use crate::row;

/// An object store that holds files' bytes, or is to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OriginalsStore {
    /// Where it is.
    pub url: String,
    /// Whether bytes belong there; else it is being left.
    pub is_home: bool,
    /// The block that moved bytes there.
    pub era: Height,
    /// The block that said so.
    pub since: Height,
}

/// The store, if there is one.
pub(crate) fn store(db: &Connection) -> rusqlite::Result<Option<OriginalsStore>> {
    db.prepare_cached("SELECT url, home, era, since FROM originals")?
        .query_row([], |row| {
            Ok(OriginalsStore {
                url: row.get(0)?,
                is_home: row.get(1)?,
                era: Height(row::number(row, 2)?),
                since: Height(row::number(row, 3)?),
            })
        })
        .optional()
}

/// The lowest purge that one of these nodes has not erased yet.
pub(crate) fn unfinished_purge(
    db: &Connection,
    nodes: &[NodeId],
) -> rusqlite::Result<Option<Height>> {
    let mut lowest = None;
    for node in nodes {
        let places = purge::places(db, Some(*node))?;
        let first = places.first().map(|position| position.height);
        lowest = [lowest, first].into_iter().flatten().min();
    }
    Ok(lowest)
}

/// The last purge that has an effect.
pub(crate) fn last_purge(db: &Connection) -> rusqlite::Result<Option<Height>> {
    let last: Option<i64> = db
        .prepare_cached("SELECT max(height) FROM purges")?
        .query_row([], |row| row.get(0))?;
    Ok(last.map(|last| Height(last.cast_unsigned())))
}

/// The block in which a file that is there now named a blob first; none if no file names it.
pub(crate) fn named_since(db: &Connection, blob: &BlobId) -> rusqlite::Result<Option<Height>> {
    let first: Option<i64> = db
        .prepare_cached("SELECT min(arrival) FROM files INDEXED BY files_file WHERE file = ?1")?
        .query_row(params![blob.as_bytes()], |row| row.get(0))?;
    let in_block = limits::BLOCK_COMMANDS_MAX as u64;
    Ok(first.map(|first| Height(first.cast_unsigned() / in_block)))
}
