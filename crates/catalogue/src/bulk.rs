//! Operations over many files: what they do, how far they are, what became of each file.
//!
//! Nothing is counted as it goes: how far an operation is, is how many of its files have been taken, so a file that is
//! forgotten takes its part with it, and a catalogue that is rebuilt without it says the same.

use model::codec::Decode as _;
use model::file::{Change, Source};
use model::{BlobId, BulkStep, Deed, Height, LibraryId, OperationId, Position, Timestamp, TokenId};
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::reader::{ReadError, Reader};
use crate::row;

/// What became of a file in an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Taken {
    /// It was changed.
    Changed,
    /// It was as asked already.
    Unchanged,
    /// Something of it has been edited since, and stays: of an undo.
    Skipped,
    /// It would have broken a rule.
    Refused,
}

impl Taken {
    /// All of them, in the order of their numbers.
    const ALL: [Self; 4] = [Self::Changed, Self::Unchanged, Self::Skipped, Self::Refused];

    /// Its word in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::Unchanged => "unchanged",
            Self::Skipped => "skipped",
            Self::Refused => "refused",
        }
    }
}

/// How many files an operation would change.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WouldChange {
    /// By all of its changes together.
    pub any: u64,
    /// By each group of them, after those before it.
    pub groups: Vec<u64>,
}

impl Reader {
    /// How many of these files a person's changes would change, each group of them in its turn.
    ///
    /// # Errors
    /// [`ReadError::Database`].
    pub fn would_change(
        &self,
        library: &LibraryId,
        files: &[BlobId],
        groups: &[Vec<Change>],
    ) -> Result<WouldChange, ReadError> {
        self.at_one_height(|reader| Ok(would_change(reader.connection(), library, files, groups)?))
    }
}

/// Does to copies what an operation by a person would do, and counts.
pub(crate) fn would_change(
    db: &Connection,
    library: &LibraryId,
    files: &[BlobId],
    groups: &[Vec<Change>],
) -> rusqlite::Result<WouldChange> {
    let mut would = WouldChange {
        any: 0,
        groups: vec![0; groups.len()],
    };
    for file in files {
        let Some(known) = row::file(db, library, file)? else {
            continue;
        };
        let mut after = known.stored.clone();
        for (group, count) in groups.iter().zip(&mut would.groups) {
            let before = after.clone();
            for change in group {
                after.change(change, Source::User);
            }
            *count += u64::from(!after.shows_the_same_as(&before));
        }
        would.any += u64::from(!after.shows_the_same_as(&known.stored));
    }
    Ok(would)
}

/// An operation.
#[derive(Debug, Clone, PartialEq)]
pub struct Operation {
    /// Its name.
    pub id: OperationId,
    /// The library of its files.
    pub library: LibraryId,
    /// Where it begins.
    pub position: Position,
    /// Time of that block.
    pub time: Timestamp,
    /// Who wished it.
    pub actor: TokenId,
    /// What it does.
    pub deed: Deed,
    /// Which files, as a query, if it was one.
    pub query: Option<String>,
    /// The height at which they were chosen.
    pub frozen: Height,
    /// How many they were.
    pub selected: u64,
    /// When it was over, if it is.
    pub ended: Option<Timestamp>,
}

/// A file of an operation, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakenFile {
    /// The file.
    pub file: BlobId,
    /// What became of it.
    pub taken: Taken,
    /// Which values stay, or what would be broken; empty otherwise.
    pub detail: String,
}

const COLUMNS: &str =
    "SELECT operation, library, height, idx, time, actor, step, ended FROM operations";

fn of_row(row: &Row<'_>) -> rusqlite::Result<Operation> {
    let step = BulkStep::from_bytes(row.get_ref(6)?.as_blob()?);
    let Ok(BulkStep::Begin {
        deed,
        query,
        frozen,
        selected,
        ..
    }) = step
    else {
        return Err(rusqlite::Error::InvalidQuery);
    };
    let ended: Option<i64> = row.get(7)?;
    Ok(Operation {
        id: OperationId(row.get(0)?),
        library: row::parsed(row, 1)?,
        position: crate::purge::position(row, 2)?,
        time: Timestamp(row::number(row, 4)?),
        actor: TokenId(row.get(5)?),
        deed,
        query,
        frozen,
        selected,
        ended: ended.map(|time| Timestamp(time.cast_unsigned())),
    })
}

/// An operation.
pub(crate) fn operation(db: &Connection, id: OperationId) -> rusqlite::Result<Option<Operation>> {
    db.prepare_cached(&format!("{COLUMNS} WHERE operation = ?1"))?
        .query_row([id.as_bytes()], of_row)
        .optional()
}

/// The operations that are not over, oldest first.
pub(crate) fn unfinished(db: &Connection) -> rusqlite::Result<Vec<Operation>> {
    db.prepare_cached(&format!(
        "{COLUMNS} WHERE ended IS NULL ORDER BY height, idx"
    ))?
    .query_map([], of_row)?
    .collect()
}

/// Whether an operation has been done to a file.
pub(crate) fn is_taken(
    db: &Connection,
    operation: OperationId,
    file: &BlobId,
) -> rusqlite::Result<bool> {
    let sql = "SELECT 1 FROM taken WHERE operation = ?1 AND file = ?2";
    row::exists(db, sql, (operation.as_bytes(), file.as_bytes()))
}

/// The command that did an operation to a file.
pub(crate) fn taken_at(
    db: &Connection,
    operation: OperationId,
    file: &BlobId,
) -> rusqlite::Result<Option<Position>> {
    db.prepare_cached("SELECT height, idx FROM taken WHERE operation = ?1 AND file = ?2")?
        .query_row((operation.as_bytes(), file.as_bytes()), |row| {
            crate::purge::position(row, 0)
        })
        .optional()
}

/// How many files of an operation came to each end, and the last block in which one did.
pub(crate) fn counts(
    db: &Connection,
    operation: OperationId,
) -> rusqlite::Result<([u64; 4], Option<Height>)> {
    let mut counts = [0; 4];
    let mut last: Option<Height> = None;
    let mut query = db.prepare_cached(
        "SELECT result, count(*), max(height) FROM taken WHERE operation = ?1 GROUP BY result",
    )?;
    let mut rows = query.query([operation.as_bytes()])?;
    while let Some(row) = rows.next()? {
        let result: u8 = row.get(0)?;
        if let Some(count) = counts.get_mut(usize::from(result)) {
            *count = row::number(row, 1)?;
        }
        last = last.max(Some(Height(row::number(row, 2)?)));
    }
    Ok((counts, last))
}

/// A page of an operation's files in the order of their ids, from behind `after`; only those that were not simply done,
/// if `odd`.
pub(crate) fn files(
    db: &Connection,
    operation: OperationId,
    after: Option<BlobId>,
    odd: bool,
    limit: u32,
) -> rusqlite::Result<Vec<TakenFile>> {
    let after = after.map_or(Vec::new(), |after| after.as_bytes().to_vec());
    let least = if odd { Taken::Skipped } else { Taken::Changed };
    db.prepare_cached(
        "SELECT file, result, detail FROM taken WHERE operation = ?1 AND file > ?2 AND result >= ?3
         ORDER BY file LIMIT ?4",
    )?
    .query_map(
        params![operation.as_bytes(), after, least as u8, limit],
        |row| {
            let result: u8 = row.get(1)?;
            Ok(TakenFile {
                file: BlobId(row.get(0)?),
                taken: Taken::ALL
                    .get(usize::from(result))
                    .copied()
                    .unwrap_or(Taken::Refused),
                detail: row.get(2)?,
            })
        },
    )?
    .collect()
}

/// The files that an operation has changed, but for those that another has been done to.
pub(crate) fn changed_without(
    db: &Connection,
    operation: OperationId,
    other: Option<OperationId>,
) -> rusqlite::Result<Vec<BlobId>> {
    let other = other.map(|other| other.0);
    db.prepare_cached(
        "SELECT file FROM taken t WHERE operation = ?1 AND result IN (0, 2) AND NOT EXISTS
           (SELECT 1 FROM taken o WHERE o.operation = ?2 AND o.file = t.file)
         ORDER BY height, idx",
    )?
    .query_map((operation.as_bytes(), other), |row| row.get(0).map(BlobId))?
    .collect()
}
