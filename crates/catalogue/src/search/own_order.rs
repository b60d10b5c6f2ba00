//! Which of many files come next by a user's own field.
//!
//! Files with a value come first in both directions, by it, and those without behind them, by their rows. Of a list the
//! value counts that comes first in the direction. Values are walked along their index in SQLite, unless so few files are in
//! question that each of them may be asked.

use std::cmp::Ordering;

use model::FieldKind;
use roaring::RoaringBitmap;
use rusqlite::params;
use rusqlite::types::Value;

use super::SearchError;
use super::cursor::{Cursor, SortValue};
use super::order::Hit;
use super::own::{Rows, wrong};
use crate::fields::{self, OwnField};
use crate::key::RowKey;
use crate::query::Direction;

/// Up to so many files are asked for their values one by one.
const FEW: u64 = 1_000;

/// The stretch of files with a value, and that of those without.
const VALUED: u8 = 0;
const BARE: u8 = 1;

/// An order by a field.
pub(super) struct OwnOrder<'a> {
    rows: Rows<'a>,
    field: OwnField,
    direction: Direction,
}

/// A value and the row of a file that has it.
type Place = (Value, i64);

impl<'a> OwnOrder<'a> {
    /// By the field of this name.
    pub(super) fn by(
        rows: Rows<'a>,
        field: &str,
        direction: Direction,
    ) -> Result<Self, SearchError> {
        let known = rows.field(field)?;
        if known.definition.kind == FieldKind::Geo {
            return Err(wrong(field, "points have no order".to_owned()));
        }
        Ok(Self {
            rows,
            field: known,
            direction,
        })
    }

    /// The next `count` of these files behind a cursor.
    pub(super) fn next(
        &self,
        files: &RoaringBitmap,
        after: Option<&Cursor>,
        count: usize,
    ) -> Result<Vec<Hit>, SearchError> {
        let mut next = Vec::new();
        if after.is_none_or(|cursor| cursor.stretch == VALUED) {
            let behind = after.map(place).transpose()?;
            next = match files.len() <= FEW {
                true => self.one_by_one(files, behind.as_ref(), count)?,
                false => self.along(files, behind, count)?,
            };
        }
        let mut hits: Vec<Hit> = next.into_iter().map(hit).collect();
        if hits.len() < count {
            let behind = after.filter(|cursor| cursor.stretch == BARE);
            let behind = behind.map(|cursor| cursor.id);
            hits.extend(self.bare(files, behind, count - hits.len())?);
        }
        Ok(hits)
    }

    /// Asks every file for its values.
    fn one_by_one(
        &self,
        files: &RoaringBitmap,
        behind: Option<&Place>,
        count: usize,
    ) -> Result<Vec<Place>, SearchError> {
        let mut places = Vec::new();
        for slot in files {
            let key = self.rows.memory.key(slot);
            places.extend(self.value_of(key)?.map(|value| (value, key.0)));
        }
        places.sort_by(|one, other| self.compare(one, other));
        let is_behind = |place: &Place| {
            behind.is_none_or(|behind| self.compare(place, behind) == Ordering::Greater)
        };
        Ok(places.into_iter().filter(is_behind).take(count).collect())
    }

    /// The value by which a file is ordered.
    fn value_of(&self, key: RowKey) -> Result<Option<Value>, SearchError> {
        let values = self.rows.values(key, self.field.number)?;
        let values = values.iter().map(fields::to_sql);
        Ok(values.min_by(|one, other| self.turned(compared(one, other))))
    }

    /// Walks along all values until enough of the files have come.
    fn along(
        &self,
        files: &RoaringBitmap,
        behind: Option<Place>,
        count: usize,
    ) -> Result<Vec<Place>, SearchError> {
        let (compares, direction) = match self.direction {
            Direction::Ascending => (">", "ASC"),
            Direction::Descending => ("<", "DESC"),
        };
        let narrowed = match &behind {
            Some(_) => format!("AND (value, id) {compares} (?3, ?4)"),
            None => "AND ?3 IS NULL AND ?4 IS NULL".to_owned(),
        };
        let sql = format!(
            "SELECT value, id FROM field_values WHERE library = ?1 AND number = ?2 {narrowed}
             ORDER BY value {direction}, id {direction}"
        );
        let (value, key) = behind.unzip();
        let mut walk = self.rows.db.prepare_cached(&sql)?;
        let library = self.rows.library.as_str();
        let mut rows = walk.query(params![library, self.field.number, value, key])?;
        let mut places = Vec::new();
        while places.len() < count
            && let Some(row) = rows.next()?
        {
            let (value, key) = (row.get(0)?, RowKey(row.get(1)?));
            let slot = self.rows.memory.slot(key);
            if slot.is_some_and(|slot| files.contains(slot)) && self.leads(key, &value)? {
                places.push((value, key.0));
            }
        }
        Ok(places)
    }

    /// Whether a file is ordered by this value of it.
    fn leads(&self, key: RowKey, value: &Value) -> Result<bool, SearchError> {
        Ok(!self.field.definition.list || self.value_of(key)?.as_ref() == Some(value))
    }

    /// Files without a value, behind one of them.
    fn bare(
        &self,
        files: &RoaringBitmap,
        behind: Option<i64>,
        count: usize,
    ) -> Result<Vec<Hit>, SearchError> {
        let valued = self
            .rows
            .with_values(self.field.number, "TRUE", Vec::new())?;
        let keys = (files - valued).into_iter();
        let keys = keys.map(|slot| self.rows.memory.key(slot).0);
        let is_behind = |key: &i64| {
            behind.is_none_or(|behind| self.turned(key.cmp(&behind)) == Ordering::Greater)
        };
        let mut keys: Vec<i64> = keys.filter(is_behind).collect();
        keys.sort_unstable_by(|one, other| self.turned(one.cmp(other)));
        keys.truncate(count);
        let hits = keys.into_iter().map(|key| Hit {
            key: RowKey(key),
            value: SortValue::Id,
            stretch: BARE,
        });
        Ok(hits.collect())
    }

    fn compare(&self, one: &Place, other: &Place) -> Ordering {
        self.turned(compared(&one.0, &other.0).then(one.1.cmp(&other.1)))
    }

    fn turned(&self, order: Ordering) -> Ordering {
        match self.direction {
            Direction::Ascending => order,
            Direction::Descending => order.reverse(),
        }
    }
}

/// As SQLite orders values of one kind.
fn compared(one: &Value, other: &Value) -> Ordering {
    match (one, other) {
        (Value::Integer(one), Value::Integer(other)) => one.cmp(other),
        (Value::Real(one), Value::Real(other)) => one.partial_cmp(other).unwrap_or(Ordering::Equal),
        (Value::Text(one), Value::Text(other)) => one.cmp(other),
        _ => Ordering::Equal,
    }
}

fn hit((value, key): Place) -> Hit {
    Hit {
        key: RowKey(key),
        stretch: VALUED,
        value: match value {
            Value::Integer(number) => SortValue::Number(number),
            Value::Real(number) => SortValue::Real(number.to_bits()),
            Value::Text(text) => SortValue::Text(text),
            Value::Null | Value::Blob(_) => SortValue::Id,
        },
    }
}

fn place(cursor: &Cursor) -> Result<Place, SearchError> {
    let value = match &cursor.value {
        SortValue::Number(number) => Value::Integer(*number),
        SortValue::Real(bits) => Value::Real(f64::from_bits(*bits)),
        SortValue::Text(text) => Value::Text(text.clone()),
        SortValue::Id => return Err(SearchError::Cursor),
    };
    Ok((value, cursor.id))
}
