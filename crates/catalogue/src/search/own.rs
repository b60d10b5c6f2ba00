//! People's own fields and albums in a query: what a value means, now that it is known what the field is, and which
//! files the rows name; and which pictures look like one. The answers become bitmaps of slots, like those that memory gives.

use std::collections::BTreeMap;

use model::{AlbumId, BlobId, FieldKind, FieldValue, LibraryId};
use roaring::RoaringBitmap;
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, params, params_from_iter};

use super::SearchError;
use super::matching::is_in;
use crate::fields::{self, FieldError, OwnField};
use crate::file::Word as _;
use crate::geo;
use crate::index::library::Library;
use crate::key::RowKey;
use crate::query::{BoundingBox, Circle, Comparison, Expr, Extent, OwnTerm, Term, value};
use crate::row;
use crate::stored::{Stored, fold};
use crate::time::PartialDate;

/// Bits in which the hashes of pictures that look the same may differ: what the list of duplicates takes for the same.
const ALIKE: u32 = 6;

/// What rows say to the conditions of a filter that memory knows nothing of.
#[derive(Debug, Default)]
pub(super) struct Asked {
    /// By the term's text.
    files: BTreeMap<String, RoaringBitmap>,
}

impl Asked {
    /// Asks the rows. Every comparison has been found to make sense then.
    pub(super) fn of(
        db: &Connection,
        library: &LibraryId,
        memory: &Library,
        filter: Option<&Expr>,
    ) -> Result<Self, SearchError> {
        let mut asked = Self::default();
        if let Some(filter) = filter {
            let rows = Rows {
                db,
                library,
                memory,
            };
            asked.expr(&rows, filter)?;
        }
        Ok(asked)
    }

    /// The files that meet a condition; of a missing field, those that have it.
    pub(super) fn files(&self, term: &Term) -> &RoaringBitmap {
        let files = self.files.get(&key(term));
        files.expect("every term was asked about before")
    }

    fn expr(&mut self, rows: &Rows<'_>, expr: &Expr) -> Result<(), SearchError> {
        let term = match expr {
            Expr::And(parts) | Expr::Or(parts) => {
                let mut parts = parts.iter();
                return parts.try_for_each(|part| self.expr(rows, part));
            }
            Expr::Not(inner) => return self.expr(rows, inner),
            Expr::Term(term) => term,
        };
        let files = match term {
            Term::Own(own) => rows.compared(own)?,
            Term::HasOwn(name) | Term::MissingOwn(name) => {
                let field = rows.field(name)?;
                rows.with_values(field.number, "TRUE", Vec::new())?
            }
            Term::InAlbum(album) => rows.in_album(*album)?,
            Term::Like(file) => rows.like(*file)?,
            _ => return Ok(()),
        };
        self.files.insert(key(term), files);
        Ok(())
    }
}

/// What a term is known by. A field is missing where it is not present.
fn key(term: &Term) -> String {
    match term {
        Term::MissingOwn(name) => Term::HasOwn(name.clone()).to_string(),
        term => term.to_string(),
    }
}

/// The rows of a library, and the slots of its files.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    pub(super) db: &'a Connection,
    pub(super) library: &'a LibraryId,
    pub(super) memory: &'a Library,
}

impl Rows<'_> {
    /// The field of this name, unless it is retired.
    pub(super) fn field(&self, name: &str) -> Result<OwnField, SearchError> {
        let found = fields::named(self.db, self.library, name)?;
        let found = found.filter(|field| !field.retired);
        found.ok_or_else(|| wrong(name, FieldError::Unknown(name.to_owned()).to_string()))
    }

    /// The files of which a value compares so.
    fn compared(&self, own: &OwnTerm) -> Result<RoaringBitmap, SearchError> {
        let field = self.field(&own.field)?;
        if field.definition.kind == FieldKind::Geo {
            let area = Area::read(own).map_err(|what| wrong(&own.field, what))?;
            return self.located(field.number, &area);
        }
        let (sql, params) =
            test(field.definition.kind, own).map_err(|what| wrong(&own.field, what))?;
        self.with_values(field.number, &sql, params)
    }

    /// The files of which a point lies in an area.
    fn located(&self, number: u32, area: &Area) -> Result<RoaringBitmap, SearchError> {
        let sql = "SELECT value, id FROM field_values WHERE library = ?1 AND number = ?2";
        let mut query = self.db.prepare_cached(sql)?;
        let mut rows = query.query(params![self.library.as_str(), number])?;
        let mut found = RoaringBitmap::new();
        while let Some(row) = rows.next()? {
            let point = fields::point(row.get_ref(0)?.as_str().unwrap_or_default());
            if point.is_some_and(|point| area.contains(point)) {
                found.extend(self.memory.slot(RowKey(row.get(1)?)));
            }
        }
        Ok(found)
    }

    /// The files whose pictures look like this one's, itself among them; none if nobody knows what its picture is like.
    fn like(&self, file: BlobId) -> Result<RoaringBitmap, SearchError> {
        let sql = "SELECT id FROM files WHERE file = ?1 AND library = ?2";
        let mut query = self.db.prepare_cached(sql)?;
        let named = params![file.as_bytes(), self.library.as_str()];
        let key = query.query_row(named, |row| row.get(0).map(RowKey));
        let key = key.optional()?.ok_or(SearchError::NoSuchFile(file))?;
        let (hashed, hashes) = (&self.memory.hashed, &self.memory.columns.hash);
        let slot = self.memory.slot(key);
        let Some(slot) = slot.filter(|slot| hashed.contains(*slot)) else {
            return Ok(RoaringBitmap::new());
        };
        let hash = hashes.at(slot);
        let alike = |slot: &u32| (hashes.at(*slot) ^ hash).count_ones() <= ALIKE;
        Ok(hashed.iter().filter(alike).collect())
    }

    pub(super) fn with_values(
        &self,
        number: u32,
        sql: &str,
        params: Vec<Value>,
    ) -> Result<RoaringBitmap, SearchError> {
        let sql = format!(
            "SELECT v.id FROM field_values v WHERE v.library = ? AND v.number = ? AND {sql}"
        );
        let of = [self.library.as_str().to_owned().into(), number.into()];
        self.slots(&sql, of.into_iter().chain(params))
    }

    /// What a file has of a field.
    pub(super) fn values(&self, key: RowKey, number: u32) -> Result<Vec<FieldValue>, SearchError> {
        let sql = "SELECT record FROM files WHERE id = ?1";
        let mut record = self.db.prepare_cached(sql)?;
        let stored: Stored = record.query_row([key.0], |row| row::decoded(row, 0))?;
        let mut own = stored.own.into_iter();
        let own = own.find(|own| own.field == number);
        Ok(own.map(|own| own.values).unwrap_or_default())
    }

    fn in_album(&self, album: AlbumId) -> Result<RoaringBitmap, SearchError> {
        let of = [
            self.library.as_str().to_owned().into(),
            album.as_bytes().to_vec().into(),
        ];
        let sql = "SELECT id FROM album_files WHERE library = ? AND album = ?";
        self.slots(sql, of.into_iter())
    }

    /// The slots of the rows that a question answers with.
    fn slots(
        &self,
        sql: &str,
        params: impl Iterator<Item = Value>,
    ) -> Result<RoaringBitmap, SearchError> {
        let mut query = self.db.prepare_cached(sql)?;
        let mut rows = query.query(params_from_iter(params))?;
        let mut found = RoaringBitmap::new();
        while let Some(row) = rows.next()? {
            found.extend(self.memory.slot(RowKey(row.get(0)?)));
        }
        Ok(found)
    }
}

pub(super) fn wrong(field: &str, what: String) -> SearchError {
    SearchError::OwnField {
        field: field.to_owned(),
        what,
    }
}

type Test = Result<(String, Vec<Value>), String>;

fn test(kind: FieldKind, term: &OwnTerm) -> Test {
    match kind {
        FieldKind::Text | FieldKind::Keyword => text(kind, term),
        _ if term.value.extent == Extent::Prefix => Err("only text takes a *".to_owned()),
        FieldKind::Integer | FieldKind::Number => number(kind, term),
        FieldKind::Boolean => boolean(term),
        FieldKind::Date | FieldKind::Datetime => date(term),
        FieldKind::Geo => unreachable!("a point is looked for in an area"),
    }
}

/// A keyword is compared whole, a text by what is in it.
fn text(kind: FieldKind, term: &OwnTerm) -> Test {
    if term.is != Comparison::Equal {
        return Err("a text does not compare; write : and the value".to_owned());
    }
    let value = fold(&term.value.text);
    Ok(match (kind, term.value.extent) {
        (FieldKind::Text, _) => ("instr(v.value, ?) > 0".to_owned(), vec![value.into()]),
        (_, Extent::Whole) => ("v.value = ?".to_owned(), vec![value.into()]),
        (_, Extent::Prefix) => {
            let behind = format!("{value}{}", char::MAX);
            let sql = "v.value >= ? AND v.value < ?".to_owned();
            (sql, vec![value.into(), behind.into()])
        }
    })
}

fn number(kind: FieldKind, term: &OwnTerm) -> Test {
    let parsed = serde_json::from_str(&term.value.text).ok();
    let value = parsed.and_then(|json| fields::from_json(kind, &json));
    let value = match value {
        Some(FieldValue::Integer(number)) => Value::from(number),
        Some(FieldValue::Number(number)) => Value::from(number),
        _ => return Err(format!("its values are {}", fields::form(kind))),
    };
    Ok((format!("v.value {} ?", term.is.word()), vec![value]))
}

fn boolean(term: &OwnTerm) -> Test {
    let value = match term.value.text.as_str() {
        "true" => 1_i64,
        "false" => 0,
        _ => return Err("its values are true and false".to_owned()),
    };
    if term.is != Comparison::Equal {
        return Err("true and false do not compare".to_owned());
    }
    Ok(("v.value = ?".to_owned(), vec![value.into()]))
}

/// At the precision that is written: a year is all of its days.
fn date(term: &OwnTerm) -> Test {
    let text = term.value.text.as_str();
    let moment: PartialDate = text
        .strip_suffix('Z')
        .unwrap_or(text)
        .parse()
        .map_err(|error: crate::time::TimeError| error.to_string())?;
    let (first, last) = (moment.first().micros(), moment.last().micros());
    Ok(match term.is {
        Comparison::Equal => {
            let sql = "v.value BETWEEN ? AND ?".to_owned();
            (sql, vec![first.into(), last.into()])
        }
        Comparison::Less => ("v.value < ?".to_owned(), vec![first.into()]),
        Comparison::AtMost => ("v.value <= ?".to_owned(), vec![last.into()]),
        Comparison::More => ("v.value > ?".to_owned(), vec![last.into()]),
        Comparison::AtLeast => ("v.value >= ?".to_owned(), vec![first.into()]),
    })
}

/// Where a point is to lie: written like `near:` or `bbox:`, which is told by how many numbers there are.
enum Area {
    Near(Circle),
    Bbox(BoundingBox),
}

impl Area {
    fn read(term: &OwnTerm) -> Result<Self, String> {
        const FORM: &str =
            "write :LAT,LON,RADIUS, for instance :51.5,-0.1,10km, or :WEST,SOUTH,EAST,NORTH";
        let text = term.value.text.as_str();
        if term.is != Comparison::Equal || term.value.extent == Extent::Prefix {
            return Err(format!("a point does not compare; {FORM}"));
        }
        let read = match text.split(',').count() {
            3 => value::near(text).map(Self::Near),
            4 => value::bbox(text).map(Self::Bbox),
            _ => return Err(format!("its values are points; {FORM}")),
        };
        read.map_err(|error| error.to_string())
    }

    fn contains(&self, (lat, lon): (f64, f64)) -> bool {
        match self {
            Self::Bbox(bounds) => is_in(bounds, (lat, lon)),
            Self::Near(circle) => {
                geo::distance_m(lat, lon, circle.lat, circle.lon) <= circle.radius_m
            }
        }
    }
}
