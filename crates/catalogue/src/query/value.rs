//! What may stand behind each key.

use model::{BlobId, LibraryId};

use super::error::{QueryError, QueryErrorKind, nearest};
use super::key::{Key, own_field};
use super::lexer::{Operator, Value};
use super::measure::{Measure, Unit};
use super::polygon::Polygon;
use super::tree::{
    BoundingBox, Circle, Comparison, Direction, Extent, OwnTerm, Pattern, Sort, SortBy, SortKey,
    Term, Within,
};
use crate::fields::is_field_name;
use crate::file::Word;
use crate::rules;

/// Half the earth's circumference: nothing is farther away.
const RADIUS_M_MAX: f64 = 20_040_000.0;

/// What a key and its value mean.
pub(super) enum Item {
    Term(Term),
    Within(Within),
    Library(LibraryId),
    Sort(Sort),
}

/// A term without a key.
pub(super) fn text(pattern: Pattern, column: usize) -> Result<Term, QueryError> {
    searchable(pattern, column).map(Term::Text)
}

/// A key with its value.
pub(super) fn keyed(
    key: Key,
    operator: Operator,
    value: Value,
    column: usize,
) -> Result<Item, QueryError> {
    let name = key.word();
    if value.pattern.text.is_empty() && value.pattern.extent == Extent::Whole {
        return Err(QueryErrorKind::EmptyValue(name).at(value.column));
    }
    let comparison = match operator {
        Operator::Colon => Comparison::Equal,
        Operator::Compare(comparison)
            if matches!(key, Key::Rating | Key::Own) || key.unit().is_some() =>
        {
            comparison
        }
        Operator::Compare(_) => {
            let suggestion = match key {
                Key::Taken => "use after:, before: or taken:2019..2021".to_owned(),
                Key::Uploaded => {
                    "write uploaded:2024.. or uploaded:..2024, for instance".to_owned()
                }
                _ => format!("write {name}: and the value"),
            };
            return Err(QueryErrorKind::NotComparable(name).suggesting(column, suggestion));
        }
    };
    let at = value.column;
    let term = match key {
        Key::Tag => Term::Tag(tag(value.pattern, at)?),
        Key::Camera => Term::Camera(searchable(value.pattern, at)?),
        Key::Name => Term::Name(searchable(value.pattern, at)?),
        Key::Title => Term::Title(searchable(value.pattern, at)?),
        Key::Description => Term::Description(searchable(value.pattern, at)?),
        Key::Place => Term::Place(searchable(value.pattern, at)?),
        Key::Person => Term::Person(searchable(value.pattern, at)?),
        Key::Album => Term::Album(value.pattern),
        Key::Own => Term::Own(OwnTerm {
            field: value.own.unwrap_or_default(),
            is: comparison,
            value: value.pattern,
        }),
        Key::Has | Key::Missing if own_field(&value.pattern.text).is_some() => {
            own_presence(key, value)?
        }
        _ => {
            let text = whole(key, value)?;
            return plain(key, comparison, &text, at);
        }
    };
    Ok(Item::Term(term))
}

/// Keys whose values are not searched for as text.
fn plain(key: Key, is: Comparison, text: &str, at: usize) -> Result<Item, QueryError> {
    let name = key.word();
    let date = || {
        text.parse()
            .map_err(|error| QueryErrorKind::Time(error).at(at))
    };
    let term = match key {
        Key::Type => Term::Type(choice(name, text, at)?),
        Key::Taken => Term::Taken(
            text.parse()
                .map_err(|error| QueryErrorKind::Time(error).at(at))?,
        ),
        Key::After => Term::After(date()?),
        Key::Before => Term::Before(date()?),
        Key::Uploaded => Term::Uploaded(
            text.parse()
                .map_err(|error| QueryErrorKind::Time(error).at(at))?,
        ),
        Key::Width => Term::Width(measure(key, is, text, at)?),
        Key::Height => Term::Height(measure(key, is, text, at)?),
        Key::Size => Term::Size(measure(key, is, text, at)?),
        Key::Duration => Term::Duration(measure(key, is, text, at)?),
        Key::Like => Term::Like(like(text, at)?),
        Key::Within => Term::Within(polygon(text).map_err(|kind| kind.at(at))?),
        Key::Near => Term::Near(near(text).map_err(|kind| kind.at(at))?),
        Key::Bbox => Term::Bbox(bbox(text).map_err(|kind| kind.at(at))?),
        Key::Has => Term::Has(choice(name, text, at)?),
        Key::Missing => Term::Missing(choice(name, text, at)?),
        Key::Rating => Term::Rating {
            is,
            value: rating(text).map_err(|kind| kind.at(at))?,
        },
        Key::Favourite => Term::Favourite(choice::<Flag>(name, text, at)? == Flag::True),
        Key::In => return within(name, text, at).map(Item::Within),
        Key::Library => return library(text, at).map(Item::Library),
        Key::Sort => return sort(name, text, at).map(Item::Sort),
        Key::Tag
        | Key::Camera
        | Key::Name
        | Key::Title
        | Key::Description
        | Key::Place
        | Key::Person
        | Key::Album
        | Key::Own => {
            unreachable!("text is read as a pattern")
        }
    };
    Ok(Item::Term(term))
}

/// Whether a user's own field has a value.
fn own_presence(key: Key, value: Value) -> Result<Term, QueryError> {
    let at = value.column;
    let text = whole(key, value)?;
    let name = own_field(&text).filter(|name| is_field_name(name));
    let expected = "has:field.name, the name of a to z, 0 to 9 and _";
    let form = QueryErrorKind::Form {
        key: key.word(),
        expected,
    };
    let name = name.ok_or_else(|| form.at(at))?.to_owned();
    Ok(match key {
        Key::Missing => Term::MissingOwn(name),
        _ => Term::HasOwn(name),
    })
}

/// Text in which something can be found.
fn searchable(pattern: Pattern, column: usize) -> Result<Pattern, QueryError> {
    if pattern.text.contains(char::is_alphanumeric) {
        Ok(pattern)
    } else {
        Err(QueryErrorKind::NoWord.at(column))
    }
}

fn tag(mut pattern: Pattern, column: usize) -> Result<Pattern, QueryError> {
    pattern.text = pattern.text.trim().to_owned();
    let checked = match pattern.extent {
        Extent::Whole => pattern.text.as_str(),
        Extent::Prefix => pattern.text.strip_suffix('/').unwrap_or(&pattern.text),
    };
    match rules::check_tag(checked) {
        Ok(()) => Ok(pattern),
        Err(_) if checked.is_empty() => {
            Err(QueryErrorKind::EmptyValue("tag").suggesting(column, "did you mean has:tag?"))
        }
        Err(error) => Err(QueryErrorKind::Tag(error).at(column)),
    }
}

fn whole(key: Key, value: Value) -> Result<String, QueryError> {
    match value.pattern.extent {
        Extent::Whole => Ok(value.pattern.text),
        Extent::Prefix => Err(QueryErrorKind::MisplacedStar
            .suggesting(value.column, format!("{} takes no *", key.word()))),
    }
}

/// One of a few words, the first spelling of each being the canonical one.
fn choice<T: Word>(key: &'static str, text: &str, column: usize) -> Result<T, QueryError> {
    if let Some(value) = T::from_word(text) {
        return Ok(value);
    }
    let words = || T::WORDS.iter().map(|(word, _)| *word);
    let choices = words().collect::<Vec<_>>().join(", ");
    let kind = QueryErrorKind::UnknownChoice { key, choices };
    Err(match nearest(text, words()) {
        Some(word) => kind.suggesting(column, format!("did you mean {key}:{word}?")),
        None => kind.at(column),
    })
}

/// A yes or no.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flag {
    True,
    False,
}

impl Word for Flag {
    const WORDS: &'static [(&'static str, Self)] = &[("true", Self::True), ("false", Self::False)];
}

/// Places other than the usual one, which has no name.
fn within(key: &'static str, text: &str, column: usize) -> Result<Within, QueryError> {
    match Within::from_word(text) {
        Some(within) if within != Within::Live => Ok(within),
        _ => {
            let choices = "trash, archive, all".to_owned();
            Err(QueryErrorKind::UnknownChoice { key, choices }
                .suggesting(column, "leave it out to search what is live"))
        }
    }
}

fn library(text: &str, column: usize) -> Result<LibraryId, QueryError> {
    text.parse().map_err(|_| {
        let expected = "library:home";
        QueryErrorKind::Form {
            key: "library",
            expected,
        }
        .at(column)
    })
}

fn sort(key: &'static str, text: &str, column: usize) -> Result<Sort, QueryError> {
    if let Some(sort) = Sort::read(text) {
        return Ok(sort);
    }
    let (direction, word) = Direction::split(text);
    if own_field(word).is_some() {
        let expected = "sort:field.name, the name of a to z, 0 to 9 and _";
        return Err(QueryErrorKind::Form { key, expected }.at(column));
    }
    let by = SortBy::Key(choice::<SortKey>(key, word, column)?);
    Ok(Sort { by, direction })
}

fn like(text: &str, column: usize) -> Result<BlobId, QueryError> {
    text.parse().map_err(|_| {
        let (key, expected) = (
            "like",
            "like:ID, the 64 digits and letters that name a file",
        );
        QueryErrorKind::Form { key, expected }.at(column)
    })
}

fn rating(text: &str) -> Result<u8, QueryErrorKind> {
    let key = "rating";
    let valid = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !valid {
        return Err(QueryErrorKind::Form {
            key,
            expected: "rating:4 or rating>=4",
        });
    }
    text.parse()
        .ok()
        .filter(|rating| *rating <= rules::RATING_MAX)
        .ok_or(QueryErrorKind::Range {
            key,
            what: "number",
        })
}

pub(crate) fn near(text: &str) -> Result<Circle, QueryErrorKind> {
    const KEY: &str = "near";
    let form = QueryErrorKind::Form {
        key: KEY,
        expected: "near:51.5,-0.1,10km",
    };
    let parts: Vec<&str> = text.split(',').collect();
    let [lat, lon, radius] = parts.as_slice() else {
        return Err(form);
    };
    let (number, unit_m) = match radius.strip_suffix("km") {
        Some(number) => (number, 1000.0),
        None => (radius.strip_suffix('m').ok_or_else(|| form.clone())?, 1.0),
    };
    let [lat, lon, radius] = [*lat, *lon, number].map(decimal);
    let (lat, lon, radius) = match (lat, lon, radius) {
        (Some(lat), Some(lon), Some(radius)) => (lat, lon, radius),
        _ => return Err(form),
    };
    let circle = Circle {
        lat,
        lon,
        radius_m: radius * unit_m,
    };
    let in_range = [
        (lat.abs() <= 90.0, "latitude"),
        (lon.abs() <= 180.0, "longitude"),
        (
            circle.radius_m > 0.0 && circle.radius_m <= RADIUS_M_MAX,
            "radius",
        ),
    ];
    match in_range.into_iter().find(|(valid, _)| !valid) {
        Some((_, what)) => Err(QueryErrorKind::Range { key: KEY, what }),
        None => Ok(circle),
    }
}

pub(crate) fn bbox(text: &str) -> Result<BoundingBox, QueryErrorKind> {
    const KEY: &str = "bbox";
    let numbers: Option<Vec<f64>> = text.split(',').map(decimal).collect();
    let numbers = numbers.unwrap_or_default();
    let [west, south, east, north] = *numbers.as_slice() else {
        let expected = "bbox:west,south,east,north, for instance bbox:-0.2,51.4,0.1,51.6";
        return Err(QueryErrorKind::Form { key: KEY, expected });
    };
    let in_range = [
        (west.abs() <= 180.0, "west"),
        (south.abs() <= 90.0, "south"),
        (east.abs() <= 180.0, "east"),
        (north.abs() <= 90.0, "north"),
    ];
    match in_range.into_iter().find(|(valid, _)| !valid) {
        Some((_, what)) => Err(QueryErrorKind::Range { key: KEY, what }),
        None if south > north => Err(QueryErrorKind::UpsideDown),
        None => Ok(BoundingBox {
            west,
            south,
            east,
            north,
        }),
    }
}

fn measure(key: Key, is: Comparison, text: &str, column: usize) -> Result<Measure, QueryError> {
    let unit = key.unit().unwrap_or(Unit::Pixels);
    unit.read(is, text).ok_or_else(|| {
        let expected = unit.example();
        let key = key.word();
        QueryErrorKind::Form { key, expected }.at(column)
    })
}

fn polygon(text: &str) -> Result<Polygon, QueryErrorKind> {
    let numbers: Option<Vec<f64>> = text.split(',').map(|part| decimal(part.trim())).collect();
    let area = match numbers {
        Some(numbers) => Polygon::of_pairs(&numbers),
        None => Polygon::of_wkt(text, decimal),
    };
    area.ok_or(QueryErrorKind::Form {
        key: "within",
        expected: "within:LAT,LON,LAT,LON,LAT,LON or within:POLYGON((LON LAT,…)), 3 to 100 corners on the earth",
    })
}

/// A number of digits with at most one point; no exponent, no infinity.
fn decimal(text: &str) -> Option<f64> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) {
        return None;
    }
    // Adding zero turns a negative zero into the one everybody writes.
    text.parse::<f64>().ok().map(|number| number + 0.0)
}
