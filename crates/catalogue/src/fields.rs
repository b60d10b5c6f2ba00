//! Fields that people define: their definitions, what their values may be, and how values are written in JSON.
//!
//! A value is checked twice against the same rules: where it is sent, so that the answer can name the place, and where
//! the command is applied, against the definitions of that height, so that it is refused the same on every node.

use model::codec::Encode as _;
use model::file::LocalTime;
use model::{FieldDefinition, FieldKind, FieldValue, LibraryId, codec_struct};
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde_json::{Value, json};

use crate::file::Word;
use crate::row;
use crate::stored::fold;
use crate::time::{format_local, parse_local, parse_offset};

/// A field's name, in bytes.
pub const FIELD_NAME_BYTES_MAX: usize = 63;
/// The fields of a library, retired ones too.
pub const FIELDS_MAX: u32 = 1000;
/// Values of one field of one file.
pub const FIELD_VALUES_MAX: usize = 100;
/// Values that a field may be limited to.
pub const ALLOWED_MAX: usize = 1000;
/// A text value, in bytes.
pub const FIELD_TEXT_BYTES_MAX: usize = 4 << 10;
/// A keyword, in bytes.
pub const KEYWORD_BYTES_MAX: usize = 255;
/// A field's description, in bytes.
pub const FIELD_DESCRIPTION_BYTES_MAX: usize = 1 << 10;
/// A unit, in bytes.
pub const UNIT_BYTES_MAX: usize = 32;
/// Whole numbers in JSON are exact up to here, in both directions.
pub const INTEGER_MAX: i64 = (1 << 53) - 1;

impl Word for FieldKind {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("text", Self::Text),
        ("keyword", Self::Keyword),
        ("integer", Self::Integer),
        ("number", Self::Number),
        ("boolean", Self::Boolean),
        ("date", Self::Date),
        ("datetime", Self::Datetime),
        ("geo", Self::Geo),
    ];
}

/// A field of a library.
#[derive(Debug, Clone, PartialEq)]
pub struct OwnField {
    /// What values refer to it by.
    pub number: u32,
    /// What it is.
    pub definition: FieldDefinition,
    /// It takes no more values.
    pub retired: bool,
}

codec_struct!(OwnField {
    number,
    definition,
    retired
});

/// What is wrong with a definition or a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FieldError {
    /// A name of another form.
    #[error(
        "a field's name is a letter a to z and up to 62 more of a to z, 0 to 9 and _, not {0:?}"
    )]
    Name(String),
    /// Too long a text around a field.
    #[error("a field's {what} has at most {limit} bytes and no control characters")]
    Text {
        /// Which.
        what: &'static str,
        /// In bytes.
        limit: usize,
    },
    /// Too many allowed values, or ones that the field could not have.
    #[error("up to {ALLOWED_MAX} values of the field's own type may be allowed, each once")]
    Allowed,
    /// Several values where one belongs, or too many.
    #[error("{0} takes {1}")]
    Count(String, &'static str),
    /// A value of another kind or out of range.
    #[error("a value of {name} is {what}")]
    Value {
        /// The field.
        name: String,
        /// What it should be.
        what: &'static str,
    },
    /// A value that is not among the allowed ones.
    #[error("{name} is one of {allowed}")]
    NotAllowed {
        /// The field.
        name: String,
        /// Some of them.
        allowed: String,
    },
    /// The field is retired.
    #[error("{0} is retired and takes no new values")]
    Retired(String),
    /// No such field.
    #[error("there is no field {0}")]
    Unknown(String),
}

/// What a value of a kind looks like in JSON, for people.
pub fn form(kind: FieldKind) -> &'static str {
    match kind {
        FieldKind::Text => "a text of 1 to 4096 bytes",
        FieldKind::Keyword => "a trimmed text of 1 to 255 bytes without control characters",
        FieldKind::Integer => "a whole number within ±(2^53 - 1)",
        FieldKind::Number => "a number",
        FieldKind::Boolean => "true or false",
        FieldKind::Date => "a day such as \"2019-07-04\"",
        FieldKind::Datetime => "a moment such as \"2019-07-04T18:03:00+01:00\"",
        FieldKind::Geo => "a point such as {\"lat\": 51.5, \"lon\": -0.1}",
    }
}

/// Whether a text is a field's name.
pub fn is_field_name(name: &str) -> bool {
    let more = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_';
    name.len() <= FIELD_NAME_BYTES_MAX
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.bytes().all(more)
}

/// Checks a definition.
///
/// # Errors
/// The first rule it breaks.
pub fn check_definition(definition: &FieldDefinition) -> Result<(), FieldError> {
    if !is_field_name(&definition.name) {
        return Err(FieldError::Name(definition.name.clone()));
    }
    for (what, text, limit) in [
        (
            "description",
            &definition.description,
            FIELD_DESCRIPTION_BYTES_MAX,
        ),
        ("unit", &definition.unit, UNIT_BYTES_MAX),
    ] {
        if text.len() > limit || text.contains(char::is_control) {
            return Err(FieldError::Text { what, limit });
        }
    }
    let allowed = &definition.allowed;
    let fits = |value: &FieldValue| check_value(definition, value).is_ok();
    let once = |(at, value): (usize, &FieldValue)| !allowed.iter().take(at).any(|it| it == value);
    if allowed.len() > ALLOWED_MAX
        || !allowed.iter().all(fits)
        || !allowed.iter().enumerate().all(once)
    {
        return Err(FieldError::Allowed);
    }
    Ok(())
}

/// Checks the values that a file is to have of a field.
///
/// # Errors
/// The first rule they break.
pub fn check_values(field: &OwnField, values: &[FieldValue]) -> Result<(), FieldError> {
    let definition = &field.definition;
    let name = || definition.name.clone();
    if field.retired && !values.is_empty() {
        return Err(FieldError::Retired(name()));
    }
    check_count(definition, values)?;
    for value in values {
        check_value(definition, value)?;
        let allowed = &definition.allowed;
        if !allowed.is_empty() && !allowed.contains(value) {
            let some: Vec<String> = allowed
                .iter()
                .take(20)
                .map(|v| to_json(v).to_string())
                .collect();
            let allowed = some.join(", ");
            return Err(FieldError::NotAllowed {
                name: name(),
                allowed,
            });
        }
    }
    Ok(())
}

/// Checks values that a file had of a field in another library, whatever the field is limited to.
///
/// # Errors
/// The first rule they break.
pub(crate) fn check_carried(
    definition: &FieldDefinition,
    values: &[FieldValue],
) -> Result<(), FieldError> {
    check_count(definition, values)?;
    values
        .iter()
        .try_for_each(|value| check_value(definition, value))
}

fn check_count(definition: &FieldDefinition, values: &[FieldValue]) -> Result<(), FieldError> {
    let name = || definition.name.clone();
    if values.len() > 1 && !definition.list {
        return Err(FieldError::Count(name(), "one value"));
    }
    if values.len() > FIELD_VALUES_MAX {
        return Err(FieldError::Count(name(), "at most 100 values"));
    }
    Ok(())
}

/// What a value must be whatever else is allowed.
fn check_value(definition: &FieldDefinition, value: &FieldValue) -> Result<(), FieldError> {
    let in_range = match value {
        FieldValue::Text(text) if definition.kind == FieldKind::Keyword => {
            (1..=KEYWORD_BYTES_MAX).contains(&text.len())
                && text.trim() == text
                && !text.contains(char::is_control)
        }
        FieldValue::Text(text) => (1..=FIELD_TEXT_BYTES_MAX).contains(&text.len()),
        FieldValue::Integer(number) => (-INTEGER_MAX..=INTEGER_MAX).contains(number),
        FieldValue::Number(number) => number.is_finite(),
        FieldValue::Geo { lat, lon } => lat.abs() <= 90.0 && lon.abs() <= 180.0,
        FieldValue::Date(day) => day.micros().rem_euclid(DAY) == 0,
        FieldValue::Boolean(_) | FieldValue::Datetime(_) => true,
    };
    if in_range && value.is_of(definition.kind) {
        return Ok(());
    }
    Err(FieldError::Value {
        name: definition.name.clone(),
        what: form(definition.kind),
    })
}

/// A day in microseconds.
const DAY: i64 = 24 * 3600 * 1_000_000;

/// A value as people and programs see it.
pub fn to_json(value: &FieldValue) -> Value {
    match value {
        FieldValue::Text(text) => json!(text),
        FieldValue::Integer(number) => json!(number),
        FieldValue::Number(number) => json!(number),
        FieldValue::Boolean(flag) => json!(flag),
        FieldValue::Date(day) => json!(format_local(*day).get(..10)),
        FieldValue::Datetime(moment) => json!(format!("{}Z", format_local(*moment))),
        FieldValue::Geo { lat, lon } => json!({ "lat": lat, "lon": lon }),
    }
}

/// The values of a field as people and programs see them.
pub(crate) fn values_to_json(list: bool, values: &[FieldValue]) -> Value {
    match values {
        values if list => values.iter().map(to_json).collect(),
        [value, ..] => to_json(value),
        [] => Value::Null,
    }
}

/// The value of a kind that JSON stands for; nothing if it stands for none.
pub fn from_json(kind: FieldKind, value: &Value) -> Option<FieldValue> {
    let text = value.as_str();
    match kind {
        FieldKind::Text | FieldKind::Keyword => text.map(|text| FieldValue::Text(text.to_owned())),
        FieldKind::Integer => value.as_i64().map(FieldValue::Integer),
        // Adding zero turns a negative zero into the one everybody writes.
        FieldKind::Number => value
            .as_f64()
            .map(|number| FieldValue::Number(number + 0.0)),
        FieldKind::Boolean => value.as_bool().map(FieldValue::Boolean),
        FieldKind::Date => parse_day(text?).map(FieldValue::Date),
        FieldKind::Datetime => parse_moment(text?).map(FieldValue::Datetime),
        FieldKind::Geo => {
            let members = value.as_object().filter(|members| members.len() == 2)?;
            let (lat, lon) = (members.get("lat")?.as_f64()?, members.get("lon")?.as_f64()?);
            let (lat, lon) = (lat + 0.0, lon + 0.0);
            Some(FieldValue::Geo { lat, lon })
        }
    }
}

fn parse_day(text: &str) -> Option<LocalTime> {
    let is_day = text.len() == 10;
    is_day
        .then(|| parse_local(&format!("{text}T00:00:00")).ok())
        .flatten()
}

/// RFC 3339, with `Z` or an offset, on a clock that shows UTC.
fn parse_moment(text: &str) -> Option<LocalTime> {
    if let Some(local) = text.strip_suffix('Z') {
        return parse_local(local).ok();
    }
    let at = text.len().checked_sub(6)?;
    let (local, offset) = (text.get(..at)?, text.get(at..)?);
    let (local, minutes) = (parse_local(local).ok()?, parse_offset(offset).ok()?);
    LocalTime::from_micros(local.micros() - i64::from(minutes) * 60_000_000)
}

/// A value as searches compare it: numbers as numbers, times as microseconds, text without regard to case.
pub(crate) fn to_sql(value: &FieldValue) -> rusqlite::types::Value {
    match value {
        FieldValue::Text(text) => fold(text).into(),
        FieldValue::Integer(number) => (*number).into(),
        FieldValue::Number(number) => (*number).into(),
        FieldValue::Boolean(flag) => i64::from(*flag).into(),
        FieldValue::Date(time) | FieldValue::Datetime(time) => time.micros().into(),
        FieldValue::Geo { lat, lon } => format!("{lat},{lon}").into(),
    }
}

/// The point that [`to_sql`] has written.
pub(crate) fn point(text: &str) -> Option<(f64, f64)> {
    let (lat, lon) = text.split_once(',')?;
    Some((lat.parse().ok()?, lon.parse().ok()?))
}

const COLUMNS: &str = "SELECT number, definition, retired FROM fields WHERE library = ?1";

fn of_row(row: &Row<'_>) -> rusqlite::Result<OwnField> {
    Ok(OwnField {
        number: row.get(0)?,
        definition: row::decoded(row, 1)?,
        retired: row.get(2)?,
    })
}

/// All fields of a library, retired ones too, by name.
pub(crate) fn all(db: &Connection, library: &LibraryId) -> rusqlite::Result<Vec<OwnField>> {
    db.prepare_cached(&format!("{COLUMNS} ORDER BY name"))?
        .query_map([library.as_str()], of_row)?
        .collect()
}

/// The field of this name.
pub(crate) fn named(
    db: &Connection,
    library: &LibraryId,
    name: &str,
) -> rusqlite::Result<Option<OwnField>> {
    db.prepare_cached(&format!("{COLUMNS} AND name = ?2"))?
        .query_row(params![library.as_str(), name], of_row)
        .optional()
}

/// The field of this number.
pub(crate) fn numbered(
    db: &Connection,
    library: &LibraryId,
    number: u32,
) -> rusqlite::Result<Option<OwnField>> {
    db.prepare_cached(&format!("{COLUMNS} AND number = ?2"))?
        .query_row(params![library.as_str(), number], of_row)
        .optional()
}

/// Writes a field down.
pub(crate) fn put(db: &Connection, library: &LibraryId, field: &OwnField) -> rusqlite::Result<()> {
    db.prepare_cached(
        "INSERT OR REPLACE INTO fields(library, number, name, definition, retired)
         VALUES (?1, ?2, ?3, ?4, ?5)",
    )?
    .execute(params![
        library.as_str(),
        field.number,
        field.definition.name,
        field.definition.to_bytes(),
        field.retired
    ])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(kind: FieldKind) -> OwnField {
        let definition = FieldDefinition {
            name: "x".into(),
            kind,
            list: false,
            description: String::new(),
            allowed: Vec::new(),
            unit: String::new(),
        };
        OwnField {
            number: 1,
            definition,
            retired: false,
        }
    }

    #[test]
    fn a_value_is_read_back_as_it_is_written() {
        for (kind, value) in [
            (FieldKind::Text, json!("a text")),
            (FieldKind::Keyword, json!("A-17")),
            (FieldKind::Integer, json!(-3)),
            (FieldKind::Number, json!(2.5)),
            (FieldKind::Boolean, json!(true)),
            (FieldKind::Date, json!("2019-07-04")),
            (FieldKind::Datetime, json!("2019-07-04T18:03:00Z")),
            (FieldKind::Geo, json!({"lat": 51.5, "lon": -0.1})),
        ] {
            let read = from_json(kind, &value).unwrap();
            assert_eq!(
                check_values(&field(kind), std::slice::from_ref(&read)),
                Ok(())
            );
            assert_eq!(to_json(&read), value);
        }
    }

    #[test]
    fn a_moment_is_kept_in_utc() {
        let read = |text: &str| from_json(FieldKind::Datetime, &json!(text));
        assert_eq!(
            read("2019-07-04T18:03:00+01:00"),
            read("2019-07-04T17:03:00Z")
        );
        assert_eq!(read("2019-07-04T18:03:00"), None);
    }

    #[test]
    fn what_is_no_value_is_refused() {
        for (kind, value) in [
            (FieldKind::Integer, json!(2.5)),
            (FieldKind::Integer, json!(1_i64 << 53)),
            (FieldKind::Keyword, json!(" a")),
            (FieldKind::Keyword, json!("")),
            (FieldKind::Date, json!("2019-02-30")),
            (FieldKind::Date, json!("2019-07")),
            (FieldKind::Geo, json!({"lat": 91, "lon": 0})),
            (FieldKind::Boolean, json!("true")),
        ] {
            let read = from_json(kind, &value);
            let good = read.is_some_and(|read| check_values(&field(kind), &[read]).is_ok());
            assert!(!good, "{value}");
        }
    }

    #[test]
    fn a_name_has_small_letters_digits_and_underscores() {
        assert!(is_field_name("invoice_no2"));
        assert!(is_field_name(&"a".repeat(63)));
        for name in ["", "2a", "_a", "A", "a-b", "ä", &"a".repeat(64)] {
            assert!(!is_field_name(name), "{name}");
        }
    }
}
