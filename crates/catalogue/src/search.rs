//! Pages of files that meet a query, and what is counted over all of them.
//!
//! Which files meet a query is a bitmap (`matching`). Totals, facets, timeline, map and suggestions are counted from it in
//! memory; the rows of a page, once it is known which they are (`order`), are read from SQLite.

mod albums;
mod cursor;
pub(crate) mod facets;
pub(crate) mod map;
mod matching;
mod order;
mod own;
mod own_facets;
mod own_order;
pub(crate) mod suggest;
pub(crate) mod timeline;

use model::{BlobId, Height, LibraryId, limits};
use roaring::RoaringBitmap;
use rusqlite::Connection;
use serde::Serialize;

use self::cursor::{Context, Cursor};
use self::matching::Matching;
use self::order::{Hit, Order};
use self::own::{Asked, Rows};
use self::own_order::OwnOrder;
use crate::file::File;
use crate::index::library::Library;
use crate::index::memory::Memory;
use crate::query::{Query, Sort, SortBy};
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
    /// Not a part of a timeline.
    #[error("a bucket is 2019-07, 2019-07-04, 2019-07-04T18 or undated")]
    Bucket,
    /// No such library.
    #[error("there is no library {0}")]
    UnknownLibrary(LibraryId),
    /// A user's own field that does not exist, or cannot be asked so.
    #[error("field.{field}: {what}")]
    OwnField {
        /// The field's name.
        field: String,
        /// What is wrong.
        what: String,
    },
    /// No such file to look like.
    #[error("like: there is no file {0}")]
    NoSuchFile(BlobId),
    /// An album that does not exist, or whose rule has no meaning.
    #[error("{0}")]
    Album(String),
    /// SQLite failed.
    #[error("searching the catalogue")]
    Database(#[from] rusqlite::Error),
}

/// What a search looks at: rows and memory, at one height.
#[derive(Clone, Copy)]
pub(crate) struct Scene<'a> {
    pub(crate) db: &'a Connection,
    pub(crate) memory: &'a Memory,
    /// The library, unless the query names another.
    pub(crate) library: &'a LibraryId,
}

/// What meets a query.
struct Found<'a> {
    id: &'a LibraryId,
    library: &'a Library,
    files: RoaringBitmap,
}

impl<'a> Found<'a> {
    /// The rows behind it.
    fn rows(&self, scene: Scene<'a>) -> Rows<'a> {
        Rows {
            db: scene.db,
            library: self.id,
            memory: self.library,
        }
    }
}

/// What every answer says of itself.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Answered {
    /// How many files meet the query.
    pub total: u64,
    /// The query as it was understood.
    pub query: String,
    /// The height the answer reflects.
    #[serde(skip)]
    pub height: Height,
}

impl<'a> Scene<'a> {
    /// The library that a query is about.
    fn library_of(self, query: &'a Query) -> Result<&'a LibraryId, SearchError> {
        let library = query.library.as_ref().unwrap_or(self.library);
        let known = "SELECT 1 FROM libraries WHERE library = ?1";
        if row::exists(self.db, known, [library.as_str()])? {
            Ok(library)
        } else {
            Err(SearchError::UnknownLibrary(library.clone()))
        }
    }

    fn find(self, query: &'a Query) -> Result<Found<'a>, SearchError> {
        let id = self.library_of(query)?;
        let library = self.memory.library(id);
        let now = self.memory.now;
        let filter = albums::expand(self.db, id, query.filter.as_ref())?;
        let asked = Asked::of(self.db, id, library, filter.as_ref())?;
        let matching = Matching {
            library,
            asked: &asked,
            now,
        };
        let files = matching.files(query.within, filter.as_ref());
        Ok(Found { id, library, files })
    }

    fn answered(self, query: &Query, files: &RoaringBitmap) -> Answered {
        Answered {
            total: files.len(),
            query: query.canonical(),
            height: self.memory.height.unwrap_or_default(),
        }
    }
}

/// Places of a page in order, and where to go on.
struct Places {
    hits: Vec<Hit>,
    next_cursor: Option<String>,
}

/// Finds a page.
pub(crate) fn search(
    scene: Scene<'_>,
    query: &Query,
    page: &Page,
) -> Result<SearchPage, SearchError> {
    let found = scene.find(query)?;
    let places = places(scene, query, &found, page)?;
    Ok(SearchPage {
        items: files(scene.db, &places.hits)?,
        total: found.files.len(),
        next_cursor: places.next_cursor,
        canonical: query.canonical(),
        height: scene.memory.height.unwrap_or_default(),
    })
}

fn places(
    scene: Scene<'_>,
    query: &Query,
    found: &Found<'_>,
    page: &Page,
) -> Result<Places, SearchError> {
    if query.sort.is_some() && page.sort.is_some() {
        return Err(SearchError::SortTwice);
    }
    let sort = query.sort.as_ref().or(page.sort.as_ref());
    let sort = sort.cloned().unwrap_or_default();
    let context = Context::new(found.id, query, &sort);
    let after = page.cursor.as_deref();
    let after = after.map(|text| context.read(text)).transpose()?;
    let limit = page.limit.0 as usize;
    let mut hits = next(scene, found, &sort, after.as_ref(), limit + 1)?;
    let more = hits.len() > limit;
    hits.truncate(limit);
    let next_cursor = hits
        .last()
        .filter(|_| more)
        .map(|last| context.write(last.stretch, last.value.clone(), last.key.0));
    Ok(Places { hits, next_cursor })
}

/// The next files behind a cursor.
fn next(
    scene: Scene<'_>,
    found: &Found<'_>,
    sort: &Sort,
    after: Option<&Cursor>,
    count: usize,
) -> Result<Vec<Hit>, SearchError> {
    let direction = sort.direction;
    let key = match &sort.by {
        SortBy::Key(key) => *key,
        SortBy::Own(field) => {
            let order = OwnOrder::by(found.rows(scene), field, direction)?;
            return order.next(&found.files, after, count);
        }
    };
    let order = Order {
        db: scene.db,
        id: found.id,
        library: found.library,
        key,
        direction,
    };
    order.next(&found.files, after, count)
}

/// All files that meet a query, in date order, newest first, and the height at which they do. Only those that a block up
/// to `until` added, if it is given.
pub(crate) fn select(
    scene: Scene<'_>,
    query: &Query,
    until: Option<Height>,
) -> Result<(Height, Vec<BlobId>), SearchError> {
    let found = scene.find(query)?;
    let behind = until.map(|until| {
        let behind = (until.0 + 1).saturating_mul(limits::BLOCK_COMMANDS_MAX as u64);
        behind.cast_signed()
    });
    let columns = &found.library.columns;
    let is_there = |slot: &u32| behind.is_none_or(|behind| columns.arrival.at(*slot) < behind);
    let there = found.files.iter().filter(is_there);
    let mut keys: Vec<i64> = there.map(|slot| columns.key.at(slot)).collect();
    keys.sort_unstable_by(|one, other| other.cmp(one));
    let mut file = scene
        .db
        .prepare_cached("SELECT file FROM files WHERE id = ?1")?;
    let mut named = |key: i64| file.query_row([key], |row| row.get(0).map(BlobId));
    let files = keys.into_iter().map(&mut named);
    let files = files.collect::<Result<_, _>>()?;
    Ok((scene.memory.height.unwrap_or_default(), files))
}

/// Whether a file is among those that meet a query.
pub(crate) fn finds(scene: Scene<'_>, query: &Query, file: &BlobId) -> Result<bool, SearchError> {
    let found = scene.find(query)?;
    let row = row::file(scene.db, found.id, file)?;
    let slot = row.and_then(|row| found.library.slot(row.key));
    Ok(slot.is_some_and(|slot| found.files.contains(slot)))
}

/// The rows of a page.
fn stored(db: &Connection, hits: &[Hit]) -> rusqlite::Result<Vec<Stored>> {
    let mut record = db.prepare_cached("SELECT record FROM files WHERE id = ?1")?;
    let mut read = |hit: &Hit| record.query_row([hit.key.0], |row| row::decoded::<Stored>(row, 0));
    hits.iter().map(&mut read).collect()
}

fn files(db: &Connection, hits: &[Hit]) -> rusqlite::Result<Vec<File>> {
    let stored = stored(db, hits)?;
    stored.iter().map(|stored| stored.to_file(db)).collect()
}
