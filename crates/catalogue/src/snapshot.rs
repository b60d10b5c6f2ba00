//! The rows of a catalogue as bytes that are the same on every node, and a catalogue made of them.
//!
//! What the digest covers is written, in its order, and nothing else: not SQLite's pages, in which there may be remains
//! of what was deleted, and no index, which whoever reads it makes anew. So the bytes are a function of the chain.
//!
//! ```text
//! catalogue = (u8 table + 1 ‖ bytes row)* ‖ 0        a row: its values, one after the other
//! ```

use std::io::{self, BufReader, Read, Write};
use std::path::Path;

use model::codec::{Decode as _, Reader as Bytes, encode_bytes};
use model::{Digest, Height, NodeId, Timestamp, UploadId};
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use crate::digest::{TABLES, encode_value};
use crate::index::{self, IndexChanges};
use crate::key::RowKey;
use crate::reader::{ReadError, Reader};
use crate::row::{self, FileRow};
use crate::schema;
use crate::stored::Stored;

/// [`version`] is this many times that of the tables, and the compiler's Unicode.
const UNICODE_VERSIONS: u32 = 1000;
/// A row is not longer.
const ROW_MAX: u32 = 64 << 20;
/// Where in [`TABLES`] the tables stand whose rows are more than what is written of them.
const FILES: usize = 2;
const UPLOADS: usize = 5;

/// Why rows could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// SQLite failed.
    #[error("the catalogue's database")]
    Database(#[from] rusqlite::Error),
    /// The bytes cannot be written or read.
    #[error("the snapshot's bytes")]
    Io(#[from] io::Error),
    /// They are no rows of a catalogue.
    #[error("the snapshot is malformed")]
    Malformed,
}

impl From<model::DecodeError> for SnapshotError {
    fn from(_: model::DecodeError) -> Self {
        Self::Malformed
    }
}

/// The version of the tables that this program writes and reads.
pub fn version() -> u32 {
    u32::try_from(schema::VERSION).expect("it is small")
}

/// Whether this program reads rows that are written with another version of the tables. Where the chain is pruned there is no
/// other way to a catalogue, so a compiler's newer Unicode, which only derived tables follow, is no hindrance.
pub fn reads(other: u32) -> bool {
    other / UNICODE_VERSIONS == version() / UNICODE_VERSIONS
}

/// What nodes say in the chain of the snapshot of a height.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marked {
    /// The height.
    pub height: Height,
    /// Time of its block.
    pub time: Timestamp,
    /// Who vouches for which digest, with which version of the tables.
    pub vouched: Vec<(NodeId, u32, Digest)>,
}

impl Reader {
    /// Keeps showing the height of this moment, until it is dropped, whatever is written meanwhile.
    ///
    /// # Errors
    /// [`ReadError::Database`].
    pub fn hold(self) -> Result<Self, ReadError> {
        self.connection().execute_batch("BEGIN")?;
        // The transaction begins with its first read.
        self.height()?;
        Ok(self)
    }

    /// Writes all rows.
    ///
    /// # Errors
    /// A [`SnapshotError`].
    pub fn write_rows(&self, out: &mut dyn Write) -> Result<(), SnapshotError> {
        self.at_one_height(|reader| {
            let mut row_bytes = Vec::new();
            let mut framed = Vec::new();
            for (table, sql) in (1_u8..).zip(TABLES) {
                let mut query = reader.connection().prepare(sql)?;
                let columns = query.column_count();
                let mut rows = query.query([])?;
                while let Some(row) = rows.next()? {
                    row_bytes.clear();
                    for column in 0..columns {
                        encode_value(row.get_ref(column)?, &mut row_bytes);
                    }
                    framed.clear();
                    framed.push(table);
                    encode_bytes(&row_bytes, &mut framed);
                    out.write_all(&framed)?;
                }
            }
            out.write_all(&[0])?;
            Ok(())
        })
    }

    /// The marked heights, newest first, with what is vouched for.
    ///
    /// # Errors
    /// [`ReadError::Database`].
    pub fn marked(&self) -> Result<Vec<Marked>, ReadError> {
        self.at_one_height(|reader| {
            let db = reader.connection();
            let mut marks =
                db.prepare_cached("SELECT height, time FROM marks ORDER BY height DESC")?;
            let mut vouched = db.prepare_cached(
                "SELECT node, version, digest FROM vouched WHERE height = ?1 ORDER BY node",
            )?;
            let marks = marks.query_map([], |row| {
                Ok((
                    Height(row::number(row, 0)?),
                    Timestamp(row::number(row, 1)?),
                ))
            })?;
            let mut found = Vec::new();
            for mark in marks {
                let (height, time) = mark?;
                let vouched = vouched.query_map([height.0.cast_signed()], |row| {
                    Ok((NodeId(row.get(0)?), row.get(1)?, Digest(row.get(2)?)))
                })?;
                found.push(Marked {
                    height,
                    time,
                    vouched: vouched.collect::<Result<_, _>>()?,
                });
            }
            Ok(found)
        })
    }

    /// Whether at least so many commands about files stand above a height.
    ///
    /// # Errors
    /// [`ReadError::Database`].
    pub fn has_grown(&self, above: Height, commands: u64) -> Result<bool, ReadError> {
        let last = commands.saturating_sub(1).min(i64::MAX.unsigned_abs());
        Ok(row::exists(
            self.connection(),
            "SELECT 1 FROM mentions WHERE height > ?1 LIMIT 1 OFFSET ?2",
            [above.0.cast_signed(), last.cast_signed()],
        )?)
    }
}

/// Makes a catalogue of rows, in a file where there is none. On an error what is there is of no use.
///
/// # Errors
/// A [`SnapshotError`].
pub fn build(path: &Path, rows: &mut dyn Read) -> Result<(), SnapshotError> {
    schema::remove_all(path).map_err(io::Error::other)?;
    let db = schema::create_unfinished(path)?;
    let change = db.unchecked_transaction()?;
    Builder::new(&change)?.read(BufReader::with_capacity(1 << 20, rows))?;
    change.commit()?;
    drop(db);
    std::fs::File::open(path)?.sync_all()?;
    Ok(())
}

/// One table, as its rows are written.
struct Table {
    columns: usize,
    insert: String,
}

impl Table {
    /// From the question that the digest asks.
    fn of(db: &Connection, select: &str) -> rusqlite::Result<Self> {
        let columns = db.prepare(select)?.column_count();
        let (what, from) = select
            .trim_start_matches("SELECT ")
            .split_once(" FROM ")
            .expect("every question is SELECT columns FROM table");
        let table = from.split_whitespace().next().unwrap_or_default();
        let marks = vec!["?"; columns].join(", ");
        let insert = format!("INSERT INTO {table}({what}) VALUES ({marks})");
        Ok(Self { columns, insert })
    }
}

struct Builder<'a> {
    db: &'a Connection,
    tables: Vec<Table>,
    changes: IndexChanges,
    last: RowKey,
}

impl<'a> Builder<'a> {
    fn new(db: &'a Connection) -> rusqlite::Result<Self> {
        let tables = TABLES.iter().map(|select| Table::of(db, select));
        Ok(Self {
            tables: tables.collect::<Result<_, _>>()?,
            db,
            // Whoever opens what is built makes an index of its own.
            changes: IndexChanges::new(false),
            last: RowKey(0),
        })
    }

    fn read(mut self, mut rows: impl Read) -> Result<(), SnapshotError> {
        let mut bytes = Vec::new();
        loop {
            let mut table = [0];
            rows.read_exact(&mut table)?;
            let [table] = table;
            let Some(table) = usize::from(table).checked_sub(1) else {
                break;
            };
            let mut length = [0; 4];
            rows.read_exact(&mut length)?;
            let length = u32::from_be_bytes(length);
            if length > ROW_MAX {
                return Err(SnapshotError::Malformed);
            }
            bytes.clear();
            (&mut rows).take(length.into()).read_to_end(&mut bytes)?;
            self.row(table, &bytes)?;
        }
        if rows.read(&mut [0])? != 0 {
            return Err(SnapshotError::Malformed);
        }
        Ok(())
    }

    fn row(&mut self, table: usize, bytes: &[u8]) -> Result<(), SnapshotError> {
        let known = self.tables.get(table).ok_or(SnapshotError::Malformed)?;
        let mut input = Bytes::new(bytes);
        let values = (0..known.columns).map(|_| decode_value(&mut input));
        let values = values.collect::<Result<Vec<_>, _>>()?;
        input.finish()?;
        match table {
            FILES => self.file(&values),
            UPLOADS => self.upload(&values),
            _ => {
                let mut insert = self.db.prepare_cached(&known.insert)?;
                insert.execute(params_from_iter(values))?;
                Ok(())
            }
        }
    }

    /// A file's row with everything that searches read. They come in the order of their keys, which must stay.
    fn file(&mut self, values: &[Value]) -> Result<(), SnapshotError> {
        let [_, _, Value::Integer(arrival), Value::Blob(record)] = values else {
            return Err(SnapshotError::Malformed);
        };
        let stored = Stored::from_bytes(record)?;
        let free = RowKey::free(self.db, stored.local_time())?;
        let key = free.max(RowKey(self.last.0 + 1));
        self.last = key;
        let row = FileRow {
            key,
            arrival: *arrival,
            stored,
        };
        index::insert(self.db, &mut self.changes, &row)?;
        Ok(())
    }

    /// An upload with the id that stands for it, which its own says.
    fn upload(&self, values: &[Value]) -> Result<(), SnapshotError> {
        let Some(Value::Blob(upload)) = values.get(1) else {
            return Err(SnapshotError::Malformed);
        };
        let upload = upload
            .as_slice()
            .try_into()
            .map_err(|_| SnapshotError::Malformed)?;
        let stand_in = UploadId(upload).stand_in();
        let values = values.iter().cloned();
        self.db
            .prepare_cached(
                "INSERT INTO uploads(library, upload, token, size, described, arrived, file, expires, stand_in)
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            )?
            .execute(params_from_iter(
                values.chain([Value::Blob(stand_in.as_bytes().to_vec())]),
            ))?;
        Ok(())
    }
}

fn decode_value(input: &mut Bytes<'_>) -> Result<Value, SnapshotError> {
    Ok(match u8::decode(input)? {
        0 => Value::Null,
        1 => Value::Integer(i64::decode(input)?),
        2 => Value::Real(f64::decode(input)?),
        3 => Value::Text(String::decode(input)?),
        4 => {
            let length = input.length()?;
            Value::Blob(input.take(length)?.to_vec())
        }
        _ => return Err(SnapshotError::Malformed),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test")]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    /// Tables that are made of the others, or say what one node has to do; and columns that are.
    const DERIVED: [&str; 5] = ["tags", "hashes", "waiting", "previews", "remains"];
    const FILES_DERIVED: [&str; 11] = [
        "id",
        "state",
        "kind",
        "taken",
        "lat",
        "lon",
        "rating",
        "favourite",
        "fields",
        "name",
        "size",
    ];

    #[test]
    fn everything_that_is_not_derived_is_written() {
        let db = Connection::open_in_memory().unwrap();
        schema::create(&db).unwrap();
        let mut written: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for select in TABLES {
            let table = Table::of(&db, select).unwrap();
            let name = table.insert["INSERT INTO ".len()..]
                .split('(')
                .next()
                .unwrap();
            let query = db.prepare(select).unwrap();
            let columns = query.column_names().map(str::to_owned);
            written.insert(name.to_owned(), columns.collect());
        }
        assert!(TABLES[FILES].contains("FROM files ") && TABLES[UPLOADS].contains("FROM uploads"));
        written
            .get_mut("files")
            .unwrap()
            .extend(FILES_DERIVED.map(str::to_owned));
        written
            .get_mut("uploads")
            .unwrap()
            .insert("stand_in".to_owned());
        // Tables of one row: the column that keeps them so holds 1.
        written.get_mut("applied").unwrap().insert("one".to_owned());
        written
            .get_mut("originals")
            .unwrap()
            .insert("id".to_owned());
        let mut tables = db
            .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT GLOB '*_*'")
            .unwrap();
        let names = tables.query_map([], |row| row.get::<_, String>(0)).unwrap();
        for name in names.map(Result::unwrap) {
            if DERIVED.contains(&name.as_str()) {
                continue;
            }
            let mut columns = db
                .prepare(&format!("SELECT name FROM pragma_table_info('{name}')"))
                .unwrap();
            let columns = columns.query_map([], |row| row.get(0)).unwrap();
            let columns: BTreeSet<String> = columns.map(Result::unwrap).collect();
            assert_eq!(written.get(&name), Some(&columns), "{name}");
        }
    }
}
