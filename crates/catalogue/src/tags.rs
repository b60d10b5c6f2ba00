//! How often each tag is used.
//!
//! The tag rows of a library are counted as they lie, which is one walk along their index, and the files that are
//! out of sight are taken off afterwards: there are few of them, while looking up the state of every tagged file
//! would cost far more than the counting.

use std::collections::BTreeMap;

use model::LibraryId;
use model::file::State;
use rusqlite::{Connection, params};
use serde::Serialize;

use crate::row;
use crate::stored::{Stored, fold};

/// A tag and how many live files carry it, or one below it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TagCount {
    /// As it is spelled; of several spellings that differ in case, the first by code point.
    pub tag: String,
    /// Files with it or a tag below it: what a search for it finds.
    pub count: u64,
    /// Files with the tag itself.
    pub direct: u64,
}

impl TagCount {
    /// Spells it as a tag below it does; whether that one lies below it.
    fn spell(&mut self, below: &str) -> bool {
        let depth = self.tag.split('/').count();
        let above: Vec<&str> = below.split('/').take(depth).collect();
        let above = above.join("/");
        let is_below = fold(&above) == self.tag;
        if is_below {
            self.tag = above;
        }
        is_below
    }

    /// Whether it is a tag or one below it, in whatever case.
    pub fn is_within(&self, above: &str) -> bool {
        let (tag, above) = (fold(&self.tag), fold(above));
        let rest = tag.strip_prefix(&above);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

/// The tags that live files carry, by name; with `inner` also those that only lie above tags of theirs. To be called within a
/// read transaction.
pub(crate) fn live_counts(
    db: &Connection,
    library: &LibraryId,
    inner: bool,
) -> rusqlite::Result<Vec<TagCount>> {
    let hidden = hidden_counts(db, library)?;
    let mut query = db.prepare_cached(
        "SELECT path, min(spelled), count(*), count(spelled) FROM tags WHERE library = ?1
         GROUP BY path ORDER BY path",
    )?;
    let mut rows = query.query([library.as_str()])?;
    let mut tags: Vec<TagCount> = Vec::new();
    // Inner tags that nobody has spelled yet: a tag below them will.
    let mut unspelled: Vec<usize> = Vec::new();
    while let Some(row) = rows.next()? {
        let path: String = row.get(0)?;
        let spelled: Option<String> = row.get(1)?;
        if let Some(spelled) = &spelled {
            unspelled.retain(|&at| tags.get_mut(at).is_none_or(|tag| !tag.spell(spelled)));
        }
        let (count, direct) = hidden.get(&path).copied().unwrap_or_default();
        let tag = TagCount {
            tag: spelled.clone().unwrap_or(path),
            count: row::number(row, 2)? - count,
            direct: row::number(row, 3)? - direct,
        };
        if tag.direct > 0 || (inner && tag.count > 0) {
            if spelled.is_none() {
                unspelled.push(tags.len());
            }
            tags.push(tag);
        }
    }
    Ok(tags)
}

/// The same for files that are archived or in the trash: rows, and rows of the tag itself, by folded path.
fn hidden_counts(
    db: &Connection,
    library: &LibraryId,
) -> rusqlite::Result<BTreeMap<String, (u64, u64)>> {
    let mut counts: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    let mut query =
        db.prepare_cached("SELECT record FROM files WHERE library = ?1 AND state IN (?2, ?3)")?;
    let states = (State::Archived as u8, State::Trashed as u8);
    let mut rows = query.query(params![library.as_str(), states.0, states.1])?;
    while let Some(row) = rows.next()? {
        let stored: Stored = row::decoded(row, 0)?;
        for (path, spelled) in stored.tag_paths() {
            let (count, direct) = counts.entry(path).or_default();
            *count += 1;
            *direct += u64::from(spelled.is_some());
        }
    }
    Ok(counts)
}
