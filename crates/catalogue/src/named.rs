//! The blobs that must exist: those that a file names, in whatever state, pictures that clients supplied of files, those
//! put within the last day, and what has arrived of uploads that are not over.
//!
//! They are walked in the order of their names, a batch at a time, so that a walk over a million needs no memory and
//! pins nothing; what is named meanwhile is told by height.

use std::collections::BTreeMap;

use model::{BlobId, Height, Timestamp, limits};
use rusqlite::{Connection, Row, params};

use crate::row;

/// A blob that must exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Named {
    /// Which.
    pub blob: BlobId,
    /// How many bytes it has.
    pub size: u64,
}

/// A blob that was named lately.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewlyNamed {
    /// What.
    pub named: Named,
    /// The block that names it.
    pub height: Height,
    /// Whether nothing named it before, not even a put of the last day.
    pub first: bool,
}

fn read_named(row: &Row<'_>) -> rusqlite::Result<Named> {
    Ok(Named {
        blob: BlobId(row.get(0)?),
        size: row::number(row, 1)?,
    })
}

/// The first arrival number behind a height, see `apply::files`.
fn arrival_behind(height: Height) -> i64 {
    let behind = height.0.saturating_add(1);
    let arrival = behind.saturating_mul(limits::BLOCK_COMMANDS_MAX as u64);
    i64::try_from(arrival).unwrap_or(i64::MAX)
}

/// A page of a walk over the blobs that must exist.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NamedPage {
    /// In order.
    pub named: Vec<Named>,
    /// Where the next page begins; none if this is the last one.
    pub next: Option<BlobId>,
}

/// About `limit` blobs behind `after`, named by files up to a height or put within the last day, in order.
pub(crate) fn page(
    db: &Connection,
    after: Option<BlobId>,
    until: Height,
    limit: u32,
) -> rusqlite::Result<NamedPage> {
    let after = after.map_or(Vec::new(), |blob| blob.0.to_vec());
    let files = "SELECT file, size FROM files INDEXED BY files_file
                 WHERE file > ?1 AND arrival < ?2 ORDER BY file LIMIT ?3";
    let puts = "SELECT blob, size FROM puts WHERE blob > ?1 AND ?2 > 0 ORDER BY blob LIMIT ?3";
    let mut found = BTreeMap::new();
    let mut next = None;
    let parts = "SELECT DISTINCT parts.blob, parts.size FROM parts JOIN uploads USING (upload)
                 WHERE parts.blob > ?1 AND ?2 > 0 AND uploads.file IS NULL ORDER BY parts.blob LIMIT ?3";
    let previews =
        "SELECT blob, size FROM previews WHERE blob > ?1 AND arrival < ?2 ORDER BY blob LIMIT ?3";
    for sql in [puts, parts, files, previews] {
        let rows: Vec<Named> = db
            .prepare_cached(sql)?
            .query_map(params![after, arrival_behind(until), limit], read_named)?
            .collect::<Result<_, _>>()?;
        if rows.len() == limit as usize {
            // Behind the last row of a full page there may be more of its kind.
            let last = rows.last().map(|named| named.blob);
            next = [next, last].into_iter().flatten().min();
        }
        found.extend(rows.into_iter().map(|named| (named.blob, named.size)));
    }
    let named = found
        .into_iter()
        .map(|(blob, size)| Named { blob, size })
        .filter(|named| next.is_none_or(|next| named.blob <= next));
    Ok(NamedPage {
        named: named.collect(),
        next,
    })
}

/// What files have named above a height, oldest first, at most `limit`.
pub(crate) fn since(
    db: &Connection,
    above: Height,
    limit: u32,
) -> rusqlite::Result<Vec<NewlyNamed>> {
    // CROSS: library by library, or SQLite would walk over all arrivals.
    let files = "SELECT new.file, new.size, new.arrival,
             NOT EXISTS (SELECT 1 FROM files old WHERE old.file = new.file AND old.arrival < new.arrival)
             AND NOT EXISTS (SELECT 1 FROM puts WHERE blob = new.file)
         FROM libraries CROSS JOIN files new USING (library)
         WHERE new.arrival >= ?1
         UNION ALL SELECT new.blob, new.size, new.arrival,
             NOT EXISTS (SELECT 1 FROM files old WHERE old.file = new.blob)
             AND NOT EXISTS (SELECT 1 FROM puts WHERE blob = new.blob)
         FROM previews new WHERE new.arrival >= ?1
         ORDER BY 3 LIMIT ?2";
    let in_block = limits::BLOCK_COMMANDS_MAX as u64;
    let mut files = db.prepare_cached(files)?;
    let rows = files.query_map(params![arrival_behind(above), limit], |row| {
        Ok(NewlyNamed {
            named: read_named(row)?,
            height: Height(row::number(row, 2)? / in_block),
            first: row.get(3)?,
        })
    })?;
    rows.collect()
}

/// The last block up to a height in which a file named a blob.
pub(crate) fn newest(db: &Connection, until: Height) -> rusqlite::Result<Height> {
    let sql = "SELECT max(last) FROM (
             SELECT (SELECT max(arrival) FROM files
                     WHERE files.library = libraries.library AND arrival < ?1) AS last
             FROM libraries
             UNION ALL SELECT max(arrival) FROM previews WHERE arrival < ?1)";
    let last: Option<i64> = db
        .prepare_cached(sql)?
        .query_row([arrival_behind(until)], |row| row.get(0))?;
    let in_block = limits::BLOCK_COMMANDS_MAX as u64;
    Ok(Height(last.map_or(0, i64::cast_unsigned) / in_block))
}

/// What was put and expires later than this, and when the last of it does.
pub(crate) fn puts_since(
    db: &Connection,
    expires: Timestamp,
) -> rusqlite::Result<(Vec<Named>, Timestamp)> {
    let sql = "SELECT blob, size, expires FROM puts WHERE expires > ?1 ORDER BY expires";
    let mut puts = db.prepare_cached(sql)?;
    let mut last = expires;
    let rows = puts.query_map([expires.0.cast_signed()], |row| {
        last = Timestamp(row::number(row, 2)?);
        read_named(row)
    })?;
    let named = rows.collect::<Result<_, _>>()?;
    Ok((named, last))
}

/// Whether a file, a put of the last day or an upload that is not over names a blob.
pub(crate) fn is_named(db: &Connection, blob: &BlobId) -> rusqlite::Result<bool> {
    row::exists(
        db,
        "SELECT 1 FROM files WHERE file = ?1 UNION ALL SELECT 1 FROM puts WHERE blob = ?1
         UNION ALL SELECT 1 FROM previews WHERE blob = ?1
         UNION ALL SELECT 1 FROM parts JOIN uploads USING (upload) WHERE blob = ?1 AND uploads.file IS NULL",
        [blob.as_bytes()],
    )
}
