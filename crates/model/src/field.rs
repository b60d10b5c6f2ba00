//! Fields that people define themselves: typed, described, and known to all nodes from the ledger.
//!
//! A field has a name, which may change, and a number, which does not: values refer to the number, so that calling a
//! field something else touches no file. The number is given where the definition is applied, to every node's
//! catalogue alike: the one behind the library's last. A field that is retired keeps its values and takes no new ones.

use crate::file::LocalTime;
use crate::{codec_enum, codec_struct};

/// What a field is.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldDefinition {
    /// What people call it: `[a-z][a-z0-9_]{0,62}`.
    pub name: String,
    /// What its values are.
    pub kind: FieldKind,
    /// Whether a file may have several values.
    pub list: bool,
    /// What it is for.
    pub description: String,
    /// The only values it may have; if there are none here, any.
    pub allowed: Vec<FieldValue>,
    /// What a number counts: `EUR`, `kg`. Empty if it counts nothing.
    pub unit: String,
}

codec_struct!(FieldDefinition {
    name,
    kind,
    list,
    description,
    allowed,
    unit
});

/// What the values of a field are. It never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldKind {
    /// Text, found by its words.
    Text,
    /// Text, found as a whole.
    Keyword,
    /// A whole number.
    Integer,
    /// A number.
    Number,
    /// True or false.
    Boolean,
    /// A day.
    Date,
    /// A moment.
    Datetime,
    /// A point on the earth.
    Geo,
}

codec_enum!(FieldKind, "kind of field" {
    0 => Text,
    1 => Keyword,
    2 => Integer,
    3 => Number,
    4 => Boolean,
    5 => Date,
    6 => Datetime,
    7 => Geo,
});

/// One value of a field.
#[derive(Debug, Clone, PartialEq)]
pub enum FieldValue {
    /// Of a text or a keyword.
    Text(String),
    /// Of an integer.
    Integer(i64),
    /// Of a number; finite.
    Number(f64),
    /// Of a boolean.
    Boolean(bool),
    /// Of a date: its midnight.
    Date(LocalTime),
    /// Of a datetime: the moment on a clock that shows UTC.
    Datetime(LocalTime),
    /// Of a geo.
    Geo {
        /// Degrees north.
        lat: f64,
        /// Degrees east.
        lon: f64,
    },
}

codec_enum!(FieldValue, "field value" {
    0 => Text(text),
    1 => Integer(number),
    2 => Number(number),
    3 => Boolean(flag),
    4 => Date(day),
    5 => Datetime(moment),
    6 => Geo { lat, lon },
});

impl FieldValue {
    /// Whether a field of this kind may have it, as far as its kind goes.
    pub fn is_of(&self, kind: FieldKind) -> bool {
        matches!(
            (self, kind),
            (Self::Text(_), FieldKind::Text | FieldKind::Keyword)
                | (Self::Integer(_), FieldKind::Integer)
                | (Self::Number(_), FieldKind::Number)
                | (Self::Boolean(_), FieldKind::Boolean)
                | (Self::Date(_), FieldKind::Date)
                | (Self::Datetime(_), FieldKind::Datetime)
                | (Self::Geo { .. }, FieldKind::Geo)
        )
    }
}

/// A change of what fields there are.
#[derive(Debug, Clone, PartialEq)]
pub enum FieldStep {
    /// Makes a field, or says anew what one is: all of it but kind and list, its name as well.
    Define {
        /// What it is called until now.
        name: String,
        /// What it is from now on.
        definition: FieldDefinition,
    },
    /// It takes no more values, and is shown no more.
    Retire {
        /// What it is called.
        name: String,
    },
}

codec_enum!(FieldStep, "field step" {
    0 => Define { name, definition },
    1 => Retire { name },
});

impl FieldStep {
    /// The kind's name in documents and JSON.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Define { .. } => "defineField",
            Self::Retire { .. } => "retireField",
        }
    }
}
