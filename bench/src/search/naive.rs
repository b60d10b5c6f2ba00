//! A photo library in SQLite as one would write it on a first afternoon: a table of photos, a table of tags, an index on
//! each column that one thought of, `LIKE` for words, `count(*)` for totals.

use std::path::Path;

use anyhow::Result;
use rusqlite::{Connection, params};
use serde_json::Value;

const TABLES: &str = "
PRAGMA journal_mode = WAL; PRAGMA cache_size = -200000; PRAGMA mmap_size = 4294967296;
CREATE TABLE photos(
    id TEXT PRIMARY KEY, name TEXT, title TEXT, description TEXT, kind TEXT, size INTEGER,
    taken TEXT, lat REAL, lon REAL, place TEXT, camera TEXT, rating INTEGER, favourite INTEGER,
    width INTEGER, height INTEGER, duration INTEGER, state TEXT, added TEXT);
CREATE TABLE photo_tags(photo TEXT, tag TEXT);";

const INDEXES: &str = "
CREATE INDEX photos_taken ON photos(taken);
CREATE INDEX photos_place ON photos(lat, lon);
CREATE INDEX photos_rating ON photos(rating);
CREATE INDEX photos_camera ON photos(camera);
CREATE INDEX tags_tag ON photo_tags(tag, photo);
CREATE INDEX tags_photo ON photo_tags(photo);
ANALYZE;";

/// The library.
pub(super) struct Naive {
    db: Connection,
}

/// What one would ask it: the page, and the total.
#[derive(Debug, Clone)]
pub(super) struct Sql {
    /// What is shown.
    pub(super) rows: String,
    /// How many there are, if anybody asks.
    pub(super) count: Option<String>,
}

impl Naive {
    pub(super) fn create(path: &Path) -> Result<Self> {
        let db = Connection::open(path)?;
        db.execute_batch(TABLES)?;
        Ok(Self { db })
    }

    /// Adds files as the node shows them.
    pub(super) fn insert(&mut self, files: &[Value]) -> Result<()> {
        let change = self.db.transaction()?;
        {
            let mut photo = change.prepare_cached(
                "INSERT INTO photos VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16,
                 ?17, ?18)",
            )?;
            let mut tag = change.prepare_cached("INSERT INTO photo_tags VALUES (?1, ?2)")?;
            for file in files {
                let text = |at: &str| file.pointer(at).and_then(Value::as_str);
                let number = |at: &str| file.pointer(at).and_then(Value::as_i64);
                let degrees = |at: &str| file.pointer(at).and_then(Value::as_f64);
                let parts = ["make", "model", "lens"].map(|part| text(&format!("/camera/{part}")));
                let camera: Vec<&str> = parts.into_iter().flatten().collect();
                photo.execute(params![
                    text("/id"),
                    text("/name"),
                    text("/title"),
                    text("/description"),
                    text("/kind"),
                    number("/size"),
                    text("/takenAt/local"),
                    degrees("/place/lat"),
                    degrees("/place/lon"),
                    text("/place/name"),
                    camera.join(" "),
                    number("/rating"),
                    file.pointer("/favourite").and_then(Value::as_bool),
                    number("/width"),
                    number("/height"),
                    number("/durationMs"),
                    text("/state"),
                    text("/addedAt"),
                ])?;
                let tags = file.pointer("/tags").and_then(Value::as_array);
                for path in tags.into_iter().flatten().filter_map(Value::as_str) {
                    tag.execute(params![text("/id"), path])?;
                }
            }
        }
        change.commit()?;
        Ok(())
    }

    pub(super) fn index(&self) -> Result<()> {
        self.db.execute_batch(INDEXES)?;
        Ok(())
    }

    /// Asks, reads every row, and gives the total if it was asked for.
    pub(super) fn ask(&self, sql: &Sql) -> Result<Option<u64>> {
        let mut statement = self.db.prepare_cached(&sql.rows)?;
        let columns = statement.column_count();
        let mut rows = statement.query([])?;
        let mut bytes = 0;
        while let Some(row) = rows.next()? {
            for column in 0..columns {
                bytes += row.get_ref(column)?.as_str().map_or(8, str::len);
            }
        }
        std::hint::black_box(bytes);
        let Some(count) = &sql.count else {
            return Ok(None);
        };
        let mut statement = self.db.prepare_cached(count)?;
        let count: i64 = statement.query_row([], |row| row.get(0))?;
        Ok(Some(count.cast_unsigned()))
    }
}
