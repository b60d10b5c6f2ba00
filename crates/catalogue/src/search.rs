//! Pages of files that meet a query.
//!
//! An order consists of one or two stretches, each walked along an index: files with the value, then those without,
//! which come last in both directions. A page reads on in the next stretch when one ends.

mod cursor;
mod plan;

use model::{Height, LibraryId};
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use self::cursor::{Context, Cursor, SortValue};
use self::plan::Plan;
use crate::file::File;
use crate::key::RowKey;
use crate::query::{Direction, Query, Sort, SortKey};
use crate::row;
use crate::stored::Stored;

/// How many items a page may have: 1 to 1000.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit(u32);

impl Limit {
    /// The most.
    pub const MAX: u32 = 1000;

    /// A limit; nothing if it is out of range.
    pub fn new(limit: u32) -> Option<Self> {
        (1..=Self::MAX).contains(&limit).then_some(Self(limit))
    }
}

impl Default for Limit {
    fn default() -> Self {
        Self(100)
    }
}

/// Which page of a result.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Page {
    /// At most this many items.
    pub limit: Limit,
    /// Where the last page ended; none for the first.
    pub cursor: Option<String>,
    /// The order, if the query does not say.
    pub sort: Option<Sort>,
}

/// A page of files.
#[derive(Debug, Clone, PartialEq)]
pub struct SearchPage {
    /// The files.
    pub items: Vec<File>,
    /// How many files meet the query, on all pages, at this height.
    pub total: u64,
    /// Where to go on; none at the end.
    pub next_cursor: Option<String>,
    /// The query as it was understood.
    pub canonical: String,
    /// The height the answer reflects.
    pub height: Height,
}

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    /// Not a cursor.
    #[error("this is not a cursor")]
    Cursor,
    /// A cursor of another query or order.
    #[error("this cursor belongs to another query or order")]
    ForeignCursor,
    /// An order in the query and one beside it.
    #[error("the order is given twice, in the query and beside it")]
    SortTwice,
    /// No such library.
    #[error("there is no library {0}")]
    UnknownLibrary(LibraryId),
    /// SQLite failed.
    #[error("searching the catalogue")]
    Database(#[from] rusqlite::Error),
}

/// A part of an order in which all files have the value, or none has.
struct Stretch {
    /// Column to order by before the row id; none for the row id alone.
    column: Option<&'static str>,
    /// What its files have in common.
    condition: Option<&'static str>,
}

/// An item's place in the order.
struct Hit {
    id: i64,
    value: SortValue,
    stretch: u8,
}

/// A search about to be run.
struct Search<'a> {
    db: &'a Connection,
    library: &'a LibraryId,
    query: &'a Query,
    sort: Sort,
}

/// Finds a page. To be called within a read transaction.
pub(crate) fn search(
    db: &Connection,
    default_library: &LibraryId,
    query: &Query,
    page: &Page,
) -> Result<SearchPage, SearchError> {
    if query.sort.is_some() && page.sort.is_some() {
        return Err(SearchError::SortTwice);
    }
    let library = query.library.as_ref().unwrap_or(default_library);
    if !row::exists(
        db,
        "SELECT 1 FROM libraries WHERE library = ?1",
        [library.as_str()],
    )? {
        return Err(SearchError::UnknownLibrary(library.clone()));
    }
    let sort = query.sort.or(page.sort).unwrap_or_default();
    let context = Context::new(library, query, sort);
    let after = page
        .cursor
        .as_deref()
        .map(|text| context.read(text))
        .transpose()?;
    let search = Search {
        db,
        library,
        query,
        sort,
    };

    let limit = page.limit.0 as usize;
    let mut hits = search.hits(after.as_ref(), limit + 1)?;
    let more = hits.len() > limit;
    hits.truncate(limit);
    let next_cursor = hits
        .last()
        .filter(|_| more)
        .map(|last| context.write(last.stretch, last.value.clone(), last.id));
    Ok(SearchPage {
        items: search.files(&hits)?,
        total: search.total()?,
        next_cursor,
        canonical: query.canonical(),
        height: row::applied_height(db)?.unwrap_or_default(),
    })
}

impl Search<'_> {
    fn plan(&self) -> Plan {
        Plan::new(self.library, self.query.within, self.query.filter.as_ref())
    }

    fn total(&self) -> rusqlite::Result<u64> {
        let plan = self.plan();
        let sql = format!(
            "SELECT count(*) FROM {} WHERE {}",
            plan.from,
            plan.conditions.join(" AND ")
        );
        self.db
            .prepare_cached(&sql)?
            .query_row(params_from_iter(plan.params), |row| row::number(row, 0))
    }

    /// The places of the next `count` items.
    fn hits(&self, after: Option<&Cursor>, count: usize) -> Result<Vec<Hit>, SearchError> {
        let mut hits = Vec::new();
        let first = after.map_or(0, |cursor| cursor.stretch);
        for (number, stretch) in (0_u8..).zip(stretches(self.sort.key)) {
            if number < first || hits.len() == count {
                continue;
            }
            let after = after.filter(|cursor| cursor.stretch == number);
            self.stretch_hits(&stretch, number, after, count - hits.len(), &mut hits)?;
        }
        Ok(hits)
    }

    fn stretch_hits(
        &self,
        stretch: &Stretch,
        number: u8,
        after: Option<&Cursor>,
        count: usize,
        hits: &mut Vec<Hit>,
    ) -> Result<(), SearchError> {
        let (sql, params) = self.page_sql(stretch, after, count)?;
        let mut statement = self.db.prepare_cached(&sql)?;
        let mut rows = statement.query(params_from_iter(params))?;
        while let Some(row) = rows.next()? {
            let value = match row.get(1)? {
                Value::Integer(number) => SortValue::Number(number),
                Value::Text(text) => SortValue::Text(text),
                _ => SortValue::Id,
            };
            hits.push(Hit {
                id: row.get(0)?,
                value,
                stretch: number,
            });
        }
        Ok(())
    }

    /// The next `count` items of a stretch: row id and sort value.
    fn page_sql(
        &self,
        stretch: &Stretch,
        after: Option<&Cursor>,
        count: usize,
    ) -> Result<(String, Vec<Value>), SearchError> {
        let mut plan = self.plan();
        let id = plan.id;
        let (compares, direction) = match self.sort.direction {
            Direction::Ascending => (">", "ASC"),
            Direction::Descending => ("<", "DESC"),
        };
        if let Some(condition) = stretch.condition {
            plan.push(&condition.replace("{id}", id), []);
        }
        if let Some(cursor) = after {
            let last = Value::from(cursor.id);
            match (stretch.column, &cursor.value) {
                (None, SortValue::Id) => plan.push(&format!("{id} {compares} ?"), [last]),
                (Some(column), SortValue::Number(number)) => {
                    let value = Value::from(*number);
                    plan.push(
                        &format!("({column}, {id}) {compares} (?, ?)"),
                        [value, last],
                    );
                }
                (Some(column), SortValue::Text(text)) => {
                    let value = Value::from(text.clone());
                    plan.push(
                        &format!("({column}, {id}) {compares} (?, ?)"),
                        [value, last],
                    );
                }
                (None, _) | (Some(_), SortValue::Id) => return Err(SearchError::Cursor),
            }
        }
        let value = stretch.column.unwrap_or("NULL");
        let order = stretch
            .column
            .map(|column| format!("{column} {direction}, "))
            .unwrap_or_default();
        let sql = format!(
            "SELECT {id}, {value} FROM {} WHERE {} ORDER BY {order}{id} {direction} LIMIT {count}",
            plan.from,
            plan.conditions.join(" AND "),
        );
        Ok((sql, plan.params))
    }

    fn files(&self, hits: &[Hit]) -> rusqlite::Result<Vec<File>> {
        let mut record = self
            .db
            .prepare_cached("SELECT record FROM files WHERE id = ?1")?;
        let mut read = |hit: &Hit| {
            record.query_row([hit.id], |row| {
                let stored: Stored = row::decoded(row, 0)?;
                Ok(stored.to_file())
            })
        };
        hits.iter().map(&mut read).collect()
    }
}

/// The stretches of an order, first to last.
fn stretches(key: SortKey) -> Vec<Stretch> {
    let by = |column| {
        vec![Stretch {
            column: Some(column),
            condition: None,
        }]
    };
    match key {
        SortKey::Added => by("f.arrival"),
        SortKey::Name => by("f.name"),
        SortKey::Size => by("f.size"),
        SortKey::Taken => vec![
            Stretch {
                column: None,
                condition: Some(DATED),
            },
            Stretch {
                column: None,
                condition: Some(UNDATED),
            },
        ],
        SortKey::Rating => vec![
            Stretch {
                column: Some("f.rating"),
                condition: Some("f.rating IS NOT NULL"),
            },
            Stretch {
                column: None,
                condition: Some("f.rating IS NULL"),
            },
        ],
    }
}

/// The row ids of files with a capture time; a number in the text, so that SQLite sees the range.
const DATED: &str = "{id} >= 1152921504606846976";
/// Those of files without one.
const UNDATED: &str = "{id} < 1152921504606846976";

const _: () = assert!(RowKey::FIRST_DATED.0 == 1_152_921_504_606_846_976);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Catalogue, Reader};

    /// How SQLite would walk the first page of a query.
    fn walk(text: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("catalogue.sqlite");
        drop(Catalogue::open(&path).unwrap());
        let reader = Reader::open(&path).unwrap();
        let query: Query = text.parse().unwrap();
        let (library, sort) = (LibraryId::home(), query.sort.unwrap_or_default());
        let search = Search {
            db: reader.connection(),
            library: &library,
            query: &query,
            sort,
        };
        let stretch = &stretches(sort.key)[0];
        let (sql, params) = search.page_sql(stretch, None, 51).unwrap();
        let mut explain = search
            .db
            .prepare(&format!("EXPLAIN QUERY PLAN {sql}"))
            .unwrap();
        let steps = explain
            .query_map(params_from_iter(params), |row| row.get::<_, String>(3))
            .unwrap();
        steps.collect::<Result<Vec<_>, _>>().unwrap().join("\n")
    }

    #[test]
    fn the_newest_page_is_found_without_sorting() {
        let queries = [
            "",
            "beach",
            "beach ice",
            "beach OR ice",
            "tag:a",
            "tag:a tag:b rating>=3",
            "beach tag:a",
            "taken:2019",
            "beach taken:2019 has:gps",
            "tag:a -tag:b sort:taken",
            "type:photo in:trash",
            "sort:added",
            "sort:-name",
            "sort:size",
            "sort:rating",
        ];
        for text in queries {
            let walk = walk(text);
            assert!(!walk.contains("TEMP B-TREE"), "{text}: {walk}");
        }
    }

    #[test]
    fn words_lead_then_tags() {
        assert!(walk("rating>=3 tag:a beach").starts_with("SCAN words VIRTUAL TABLE INDEX"));
        assert!(walk("rating>=3 tag:a").starts_with("SEARCH t USING PRIMARY KEY"));
    }
}
