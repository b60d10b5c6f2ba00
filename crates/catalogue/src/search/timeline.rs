//! When the files were taken that meet a query: buckets to draw a gallery's scroll bar with, and what is in one.
//!
//! A bucket is a month, or a day or an hour of it where a gallery would have to load too much at once. So there are never
//! more of them than a library has months, and 31 for each further thousand files, and 24 again.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use model::file::{LocalTime, State};
use roaring::RoaringBitmap;
use serde::Serialize;

use super::{Answered, Page, Scene, SearchError, places, stored};
use crate::field::Field;
use crate::file::Word as _;
use crate::index::library::Library;
use crate::query::{Direction, Expr, Query, Sort, SortBy, SortKey, Term};
use crate::stored::Stored;
use crate::time;

/// What a gallery loads at once.
const BUCKET_MAX: u64 = 1_000;
/// The bucket of files without a capture time.
const UNDATED: &str = "undated";
const DAY: i64 = 86_400_000_000;
const HOUR: i64 = 3_600_000_000;

/// Files taken within some time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Bucket {
    /// `2019-07`, `2019-07-04`, `2019-07-04T18` or `undated`.
    pub bucket: String,
    /// How many.
    pub count: u64,
}

/// All buckets that are not empty.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Timeline {
    /// Of what.
    #[serde(flatten)]
    pub answered: Answered,
    /// Newest first, what is undated last.
    pub buckets: Vec<Bucket>,
}

/// What a gallery shows of files, property by property, all lists of one length and order.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Columns {
    /// How many files the bucket has, on all pages.
    pub total: u64,
    /// Where to go on; none at the end.
    pub next_cursor: Option<String>,
    /// The height the answer reflects.
    #[serde(skip)]
    pub height: model::Height,
    /// SHA-256 of the bytes.
    pub id: Vec<String>,
    /// `photo`, `video` or `other`.
    pub kind: Vec<&'static str>,
    /// Width divided by height, as shown; null if unknown.
    pub ratio: Vec<Option<f64>>,
    /// A ThumbHash in base64.
    pub thumbhash: Vec<Option<String>>,
    /// What the camera's clock showed.
    pub taken: Vec<Option<String>>,
    /// Length of a video or sound, in milliseconds.
    pub duration_ms: Vec<Option<u64>>,
    /// Marked or not.
    pub favourite: Vec<bool>,
    /// In the trash or the archive.
    pub state: Vec<&'static str>,
}

/// Counts.
pub(crate) fn buckets(scene: Scene<'_>, query: &Query) -> Result<Timeline, SearchError> {
    let found = scene.find(query)?;
    let mut buckets = Vec::new();
    let mut dated = 0;
    for (month, all) in found.library.months.iter().rev() {
        let count = all.intersection_len(&found.files);
        dated += count;
        if count > BUCKET_MAX {
            split(found.library, &(all & &found.files), &mut buckets);
        } else if count > 0 {
            let bucket = time::format_month(*month);
            buckets.push(Bucket { bucket, count });
        }
    }
    let undated = found.files.len() - dated;
    if undated > 0 {
        buckets.push(Bucket {
            bucket: UNDATED.to_owned(),
            count: undated,
        });
    }
    Ok(Timeline {
        answered: scene.answered(query, &found.files),
        buckets,
    })
}

/// A month in days, and those in hours that are still too full.
fn split(library: &Library, files: &RoaringBitmap, buckets: &mut Vec<Bucket>) {
    let mut hours: BTreeMap<i64, u64> = BTreeMap::new();
    for slot in files {
        *hours
            .entry(library.columns.taken.at(slot).div_euclid(HOUR))
            .or_default() += 1;
    }
    let mut days: BTreeMap<i64, u64> = BTreeMap::new();
    for (hour, count) in &hours {
        *days.entry(hour.div_euclid(DAY / HOUR)).or_default() += count;
    }
    let named = |begins: i64, length: usize| {
        let time = LocalTime::from_micros(begins).expect("a file was taken then");
        let text = time::format_local(time);
        text.get(..length).unwrap_or_default().to_owned()
    };
    for (day, count) in days.into_iter().rev() {
        if count <= BUCKET_MAX {
            let bucket = named(day * DAY, "2019-07-04".len());
            buckets.push(Bucket { bucket, count });
            continue;
        }
        let first = day * (DAY / HOUR);
        for (hour, count) in hours.range(first..first + DAY / HOUR).rev() {
            let bucket = named(hour * HOUR, "2019-07-04T18".len());
            buckets.push(Bucket {
                bucket,
                count: *count,
            });
        }
    }
}

/// Reads what is in a bucket.
pub(crate) fn columns(
    scene: Scene<'_>,
    query: &Query,
    bucket: &str,
    page: &Page,
) -> Result<Columns, SearchError> {
    let within = condition(bucket)?;
    let filter = match query.filter.clone() {
        None => within,
        Some(Expr::And(mut parts)) => {
            parts.push(within);
            Expr::And(parts)
        }
        Some(other) => Expr::And(vec![other, within]),
    };
    let narrowed = Query {
        filter: Some(filter),
        sort: Some(Sort {
            by: SortBy::Key(SortKey::Taken),
            direction: Direction::Descending,
        }),
        ..query.clone()
    };
    let found = scene.find(&narrowed)?;
    let places = places(scene, &narrowed, &found, page)?;
    let mut columns = Columns {
        total: found.files.len(),
        next_cursor: places.next_cursor,
        height: scene.memory.height.unwrap_or_default(),
        ..Columns::default()
    };
    for stored in stored(scene.db, &places.hits)? {
        columns.push(&stored);
    }
    Ok(columns)
}

/// What the files of a bucket have in common.
fn condition(bucket: &str) -> Result<Expr, SearchError> {
    if bucket == UNDATED {
        return Ok(Expr::Term(Term::Missing(Field::Taken)));
    }
    let lengths = ["2019-07", "2019-07-04", "2019-07-04T18"].map(str::len);
    let date = lengths.contains(&bucket.len()) && !bucket.contains("..");
    let taken = bucket.parse().ok().filter(|_| date);
    let taken = taken.ok_or(SearchError::Bucket)?;
    Ok(Expr::Term(Term::Taken(taken)))
}

impl Columns {
    fn push(&mut self, stored: &Stored) {
        let facts = &stored.facts;
        let ratio = |(width, height): (u32, u32)| {
            let ratio = f64::from(width) / f64::from(height);
            (height > 0).then_some((ratio * 1e4).round() / 1e4)
        };
        let size = facts.width.zip(facts.height);
        let hash = (!facts.thumbhash.is_empty()).then(|| BASE64.encode(&facts.thumbhash));
        self.id.push(stored.file.to_string());
        self.kind.push(facts.kind.word());
        self.ratio.push(size.and_then(ratio));
        self.thumbhash.push(hash);
        self.taken.push(stored.local_time().map(time::format_local));
        self.duration_ms.push(facts.duration_ms);
        self.favourite.push(stored.favourite);
        self.state.push(State::word(stored.state));
    }
}
