//! How often each value of a user's own field occurs among the files that meet a query.
//!
//! Rows hold keywords without regard to case; one is shown as the first of the files in question has it, in date order, which
//! is the same on every node.

use std::cmp::Reverse;

use model::{FieldKind, FieldValue};
use roaring::RoaringBitmap;
use rusqlite::params;
use rusqlite::types::Value;

use super::facets::{Facet, FacetValue};
use super::own::{Rows, wrong};
use super::{Limit, SearchError};
use crate::fields;
use crate::key::RowKey;
use crate::query::{Comparison, Expr, Extent, OwnTerm, Pattern, Term};

/// A value, and how many of the files have it.
struct Counted {
    value: Value,
    count: u64,
    /// The first of them in date order.
    first: RowKey,
}

/// Counts. Most often first; equally often, lowest first.
pub(super) fn count(
    rows: Rows<'_>,
    name: &str,
    files: &RoaringBitmap,
    limit: Limit,
) -> Result<Facet, SearchError> {
    let field = rows.field(name)?;
    if matches!(field.definition.kind, FieldKind::Text | FieldKind::Geo) {
        let what = "only values that are compared whole are counted, not texts and points";
        return Err(wrong(name, what.to_owned()));
    }
    let mut counted = all(rows, field.number, files)?;
    let distinct = counted.len() as u64;
    // They come lowest first, and stay so.
    counted.sort_by_key(|counted| Reverse(counted.count));
    counted.truncate(limit.0 as usize);
    let shown = counted.into_iter().map(|counted| {
        let value = shown(rows, field.number, &counted)?;
        Ok(FacetValue {
            term: term(name, &value),
            value,
            count: counted.count,
        })
    });
    Ok(Facet {
        distinct,
        values: shown.collect::<Result<_, SearchError>>()?,
    })
}

fn all(rows: Rows<'_>, number: u32, files: &RoaringBitmap) -> Result<Vec<Counted>, SearchError> {
    let mut query = rows.db.prepare_cached(
        "SELECT value, id FROM field_values WHERE library = ?1 AND number = ?2 ORDER BY value, id",
    )?;
    let mut found = query.query(params![rows.library.as_str(), number])?;
    let mut all: Vec<Counted> = Vec::new();
    while let Some(row) = found.next()? {
        let key = RowKey(row.get(1)?);
        let slot = rows.memory.slot(key);
        if !slot.is_some_and(|slot| files.contains(slot)) {
            continue;
        }
        let value: Value = row.get(0)?;
        match all.last_mut().filter(|last| last.value == value) {
            Some(last) => last.count += 1,
            None => all.push(Counted {
                value,
                count: 1,
                first: key,
            }),
        }
    }
    Ok(all)
}

/// A value as people write it.
fn shown(rows: Rows<'_>, number: u32, counted: &Counted) -> Result<String, SearchError> {
    let values = rows.values(counted.first, number)?;
    let mut values = values.iter();
    let value = values.find(|value| fields::to_sql(value) == counted.value);
    Ok(value.map(written).unwrap_or_default())
}

/// As a query writes it.
fn written(value: &FieldValue) -> String {
    match fields::values_to_json(false, std::slice::from_ref(value)) {
        serde_json::Value::String(text) => text,
        other => other.to_string(),
    }
}

fn term(field: &str, value: &str) -> String {
    let term = Term::Own(OwnTerm {
        field: field.to_owned(),
        is: Comparison::Equal,
        value: Pattern {
            text: value.to_owned(),
            extent: Extent::Whole,
        },
    });
    Expr::Term(term).to_string()
}
