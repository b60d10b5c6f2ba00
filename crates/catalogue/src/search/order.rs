//! Which of many files come next in an order.
//!
//! A place in an order is a stretch (files with the value, then those without, in both directions), the value, and the
//! row's key, which parts equals. What memory knows is compared there; names are walked along their index in SQLite,
//! unless so few files are in question that each of them may be asked.

use model::LibraryId;
use roaring::RoaringBitmap;
use rusqlite::{Connection, params};

use super::SearchError;
use super::cursor::{Cursor, SortValue};
use crate::field::Field;
use crate::index::library::Library;
use crate::key::RowKey;
use crate::query::{Direction, SortKey};

/// Up to so many files are compared one by one; of more, only those of the months that the page reaches.
const FEW: u64 = 20_000;
/// Up to so many files are asked for their names one by one.
const FEW_NAMES: u64 = 2_000;

/// An item's place in the order.
#[derive(Debug)]
pub(super) struct Hit {
    pub(super) key: RowKey,
    pub(super) value: SortValue,
    pub(super) stretch: u8,
}

/// Files of a library, to be put in order.
pub(super) struct Order<'a> {
    pub(super) db: &'a Connection,
    pub(super) id: &'a LibraryId,
    pub(super) library: &'a Library,
    pub(super) key: SortKey,
    pub(super) direction: Direction,
}

/// Lower comes first: stretch, value, key.
type Rank = (u8, i64, i64);

impl Order<'_> {
    /// The next `count` of these files behind a cursor.
    pub(super) fn next(
        &self,
        files: &RoaringBitmap,
        after: Option<&Cursor>,
        count: usize,
    ) -> Result<Vec<Hit>, SearchError> {
        if self.key == SortKey::Name {
            return self.by_name(files, after, count);
        }
        let behind = after
            .map(|cursor| self.rank_of_cursor(cursor))
            .transpose()?;
        let by_date = self.key == SortKey::Taken && files.len() > FEW;
        let mut next = if by_date && files.is_disjoint(&self.library.spilled) {
            self.by_month(files, after, behind, count)
        } else {
            self.first(files.iter(), behind, count)
        };
        next.truncate(count);
        Ok(next.into_iter().map(|rank| self.hit(rank)).collect())
    }

    /// Newest or oldest months first, until there are enough; then what has no date.
    fn by_month(
        &self,
        files: &RoaringBitmap,
        after: Option<&Cursor>,
        behind: Option<Rank>,
        count: usize,
    ) -> Vec<Rank> {
        let reached = after.and_then(|cursor| RowKey(cursor.id).month());
        let from_there = |month: &i32| match self.direction {
            Direction::Ascending => reached.is_none_or(|reached| *month >= reached),
            Direction::Descending => reached.is_none_or(|reached| *month <= reached),
        };
        let dated = after.is_none_or(|cursor| cursor.stretch == 0);
        let mut months: Vec<&i32> = self.library.months.keys().filter(|_| dated).collect();
        if self.direction == Direction::Descending {
            months.reverse();
        }
        let mut next = Vec::new();
        for month in months.into_iter().filter(|month| from_there(month)) {
            if next.len() >= count {
                return next;
            }
            let files = self.library.months.get(month).map(|all| all & files);
            next.extend(self.first(files.iter().flatten(), behind, count));
        }
        if next.len() < count {
            let mut undated = files.clone();
            for month in self.library.months.values() {
                undated -= month;
            }
            next.extend(self.first(undated.iter(), behind, count));
        }
        next
    }

    /// The first `count` of some files behind a place, in order. Keeps twice as many at most.
    fn first(
        &self,
        files: impl Iterator<Item = u32>,
        behind: Option<Rank>,
        count: usize,
    ) -> Vec<Rank> {
        let mut best: Vec<Rank> = Vec::new();
        let mut worst = None;
        for slot in files {
            let rank = self.rank(slot);
            if behind.is_some_and(|behind| rank <= behind)
                || worst.is_some_and(|worst| rank > worst)
            {
                continue;
            }
            best.push(rank);
            if best.len() >= count.max(64) * 2 {
                let (_, last, _) = best.select_nth_unstable(count);
                worst = Some(*last);
                best.truncate(count);
            }
        }
        best.sort_unstable();
        best.truncate(count);
        best
    }

    fn rank(&self, slot: u32) -> Rank {
        let (columns, key) = (&self.library.columns, self.library.key(slot));
        let (stretch, value) = match self.key {
            SortKey::Taken | SortKey::Name => (u8::from(key < RowKey::FIRST_DATED), 0),
            SortKey::Added => (0, columns.arrival.at(slot)),
            SortKey::Size => (0, columns.size.at(slot).cast_signed()),
            SortKey::Rating => match self.is_rated(slot) {
                true => (0, columns.rating.at(slot).into()),
                false => (1, 0),
            },
        };
        self.turned(stretch, value, key.0)
    }

    fn is_rated(&self, slot: u32) -> bool {
        let rated = self.library.fields.get(Field::Rating as usize);
        rated.is_some_and(|rated| rated.contains(slot))
    }

    fn rank_of_cursor(&self, cursor: &Cursor) -> Result<Rank, SearchError> {
        let has_value = match self.key {
            SortKey::Taken | SortKey::Name => false,
            SortKey::Added | SortKey::Size => true,
            SortKey::Rating => cursor.stretch == 0,
        };
        let value = match &cursor.value {
            SortValue::Number(number) if has_value => *number,
            SortValue::Id if !has_value => 0,
            _ => return Err(SearchError::Cursor),
        };
        Ok(self.turned(cursor.stretch, value, cursor.id))
    }

    /// The order of numbers turned round, for what comes highest first. Turning it twice is the same again.
    fn turned(&self, stretch: u8, value: i64, key: i64) -> Rank {
        match self.direction {
            Direction::Ascending => (stretch, value, key),
            Direction::Descending => (stretch, !value, !key),
        }
    }

    fn hit(&self, (stretch, value, key): Rank) -> Hit {
        let (stretch, value, key) = self.turned(stretch, value, key);
        let value = match self.key {
            SortKey::Taken | SortKey::Name => SortValue::Id,
            SortKey::Added | SortKey::Size => SortValue::Number(value),
            SortKey::Rating if stretch == 0 => SortValue::Number(value),
            SortKey::Rating => SortValue::Id,
        };
        Hit {
            key: RowKey(key),
            value,
            stretch,
        }
    }

    fn by_name(
        &self,
        files: &RoaringBitmap,
        after: Option<&Cursor>,
        count: usize,
    ) -> Result<Vec<Hit>, SearchError> {
        let behind = match after {
            None => None,
            Some(cursor) => match &cursor.value {
                SortValue::Text(name) => Some((name.clone(), cursor.id)),
                _ => return Err(SearchError::Cursor),
            },
        };
        let names = if files.len() <= FEW_NAMES {
            self.names_of(files, behind, count)?
        } else {
            self.along_names(files, behind, count)?
        };
        let hit = |(name, key)| Hit {
            key: RowKey(key),
            value: SortValue::Text(name),
            stretch: 0,
        };
        Ok(names.into_iter().map(hit).collect())
    }

    /// Asks every file for its name.
    fn names_of(
        &self,
        files: &RoaringBitmap,
        behind: Option<(String, i64)>,
        count: usize,
    ) -> rusqlite::Result<Vec<(String, i64)>> {
        let mut name = self
            .db
            .prepare_cached("SELECT name FROM files WHERE id = ?1")?;
        let mut names = Vec::new();
        for slot in files {
            let key = self.library.key(slot).0;
            names.push((name.query_row([key], |row| row.get(0))?, key));
        }
        names.sort_unstable();
        if self.direction == Direction::Descending {
            names.reverse();
        }
        let is_behind = |place: &(String, i64)| match (&behind, self.direction) {
            (None, _) => true,
            (Some(behind), Direction::Ascending) => place > behind,
            (Some(behind), Direction::Descending) => place < behind,
        };
        Ok(names.into_iter().filter(is_behind).take(count).collect())
    }

    /// Walks along all names until enough of the files have come.
    fn along_names(
        &self,
        files: &RoaringBitmap,
        behind: Option<(String, i64)>,
        count: usize,
    ) -> rusqlite::Result<Vec<(String, i64)>> {
        let (compares, direction) = match self.direction {
            Direction::Ascending => (">", "ASC"),
            Direction::Descending => ("<", "DESC"),
        };
        let narrowed = match &behind {
            Some(_) => format!("AND (name, id) {compares} (?2, ?3)"),
            None => "AND ?2 IS NULL AND ?3 IS NULL".to_owned(),
        };
        let sql = format!(
            "SELECT name, id FROM files WHERE library = ?1 {narrowed}
             ORDER BY name {direction}, id {direction}"
        );
        let (name, key) = behind.unzip();
        let mut walk = self.db.prepare_cached(&sql)?;
        let mut rows = walk.query(params![self.id.as_str(), name, key])?;
        let mut names = Vec::new();
        while names.len() < count
            && let Some(row) = rows.next()?
        {
            let key: i64 = row.get(1)?;
            let slot = self.library.slot(RowKey(key));
            if slot.is_some_and(|slot| files.contains(slot)) {
                names.push((row.get(0)?, key));
            }
        }
        Ok(names)
    }
}
