//! A query as a tree.

use model::file::Kind;
use model::{AlbumId, BlobId, LibraryId};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::measure::{Measure, Uploaded};
use super::polygon::Polygon;
use crate::field::Field;
use crate::fields::is_field_name;
use crate::file::{Word, text, words};
use crate::time::{DateRange, PartialDate};

/// What to find, where, and in which order.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Query {
    /// The condition; none means everything.
    pub filter: Option<Expr>,
    /// Where to look.
    #[serde(rename = "in", with = "words")]
    pub within: Within,
    /// The library, if the query names one.
    #[serde(serialize_with = "crate::file::text::maybe")]
    pub library: Option<LibraryId>,
    /// The order, if the query names one.
    #[serde(serialize_with = "crate::file::text::maybe")]
    pub sort: Option<Sort>,
}

/// A condition.
///
/// Invariant: `And` and `Or` have at least two parts, none of them of the same kind; `Not` holds no `Not`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Expr {
    /// All of them.
    And(Vec<Expr>),
    /// Any of them.
    Or(Vec<Expr>),
    /// Everything else.
    Not(Box<Expr>),
    /// A single condition.
    #[serde(untagged)]
    Term(Term),
}

/// A single condition. A file without a value meets none about that value.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Term {
    /// A word or phrase in a name, title, description, tag, place, camera or text of a user's own field.
    Text(Pattern),
    /// A tag, or one below it.
    Tag(Pattern),
    /// A word or phrase in make, model or lens.
    Camera(Pattern),
    /// A word or phrase in one of the file's names.
    Name(Pattern),
    /// A word or phrase in the title.
    Title(Pattern),
    /// A word or phrase in the description.
    Description(Pattern),
    /// A word or phrase in the place's name.
    Place(Pattern),
    /// A word or phrase in the name of somebody in the picture.
    Person(Pattern),
    /// A picture that looks like this file's, or is it.
    #[serde(with = "text")]
    Like(BlobId),
    /// A kind of file.
    #[serde(with = "words")]
    Type(Kind),
    /// Taken within a range, its ends included.
    #[serde(with = "text")]
    Taken(DateRange),
    /// Taken then or later.
    #[serde(with = "text")]
    After(PartialDate),
    /// Taken earlier.
    #[serde(with = "text")]
    Before(PartialDate),
    /// Added to the library then.
    #[serde(with = "text")]
    Uploaded(Uploaded),
    /// Taken near a point.
    Near(Circle),
    /// Taken in a box.
    Bbox(BoundingBox),
    /// Taken in an area.
    Within(Polygon),
    /// A field has a value.
    #[serde(with = "words")]
    Has(Field),
    /// A field has no value.
    #[serde(with = "words")]
    Missing(Field),
    /// The rating compares so.
    Rating {
        /// How.
        #[serde(with = "words")]
        is: Comparison,
        /// With what, 0 to 5.
        value: u8,
    },
    /// Pixels across.
    Width(Measure),
    /// Pixels down.
    Height(Measure),
    /// Length in bytes.
    Size(Measure),
    /// Length of a video or sound, in milliseconds.
    Duration(Measure),
    /// Marked or not.
    Favourite(bool),
    /// A value of a user's own field compares so.
    Own(OwnTerm),
    /// In an album of this name or id, or in one within it.
    Album(Pattern),
    /// Put into this album.
    #[serde(with = "text")]
    InAlbum(AlbumId),
    /// A user's own field has a value.
    HasOwn(String),
    /// A user's own field has no value.
    MissingOwn(String),
}

/// A comparison with a value of a user's own field. What the value means is known where the field is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OwnTerm {
    /// The field's name.
    pub field: String,
    /// How.
    #[serde(with = "words")]
    pub is: Comparison,
    /// With what.
    pub value: Pattern,
}

/// Text, whole or as a beginning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    /// The text.
    pub text: String,
    /// How it is meant.
    pub extent: Extent,
}

/// How far a pattern's text goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// It is all.
    Whole,
    /// Anything may follow.
    Prefix,
}

impl Serialize for Pattern {
    /// A string, or `{"prefix": …}`.
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.extent {
            Extent::Whole => to.serialize_str(&self.text),
            Extent::Prefix => {
                let mut map = to.serialize_map(Some(1))?;
                map.serialize_entry("prefix", &self.text)?;
                map.end()
            }
        }
    }
}

/// Everything within a great-circle distance of a point.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Circle {
    /// Degrees north.
    pub lat: f64,
    /// Degrees east.
    pub lon: f64,
    /// In metres.
    pub radius_m: f64,
}

/// Everything between two parallels and two meridians, which are included. West of the date line to east of it if
/// `west` > `east`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BoundingBox {
    /// Degrees east.
    pub west: f64,
    /// Degrees north.
    pub south: f64,
    /// Degrees east.
    pub east: f64,
    /// Degrees north.
    pub north: f64,
}

/// How two numbers compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// The same.
    Equal,
    /// Lower.
    Less,
    /// Lower or the same.
    AtMost,
    /// Higher.
    More,
    /// Higher or the same.
    AtLeast,
}

impl Comparison {
    /// Whether two values compare so.
    pub fn holds<T: PartialOrd>(self, left: &T, right: &T) -> bool {
        match self {
            Self::Equal => left == right,
            Self::Less => left < right,
            Self::AtMost => left <= right,
            Self::More => left > right,
            Self::AtLeast => left >= right,
        }
    }
}

impl Word for Comparison {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("=", Self::Equal),
        ("<=", Self::AtMost),
        (">=", Self::AtLeast),
        ("<", Self::Less),
        (">", Self::More),
    ];
}

/// Where a search looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Within {
    /// Among what is neither archived nor in the trash.
    #[default]
    Live,
    /// In the trash.
    Trash,
    /// In the archive.
    Archive,
    /// Everywhere.
    All,
}

impl Word for Within {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("live", Self::Live),
        ("trash", Self::Trash),
        ("archive", Self::Archive),
        ("all", Self::All),
    ];
}

/// An order. Files without the value come last in both directions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sort {
    /// By what.
    pub by: SortBy,
    /// Which way.
    pub direction: Direction,
}

impl Default for Sort {
    /// Newest first.
    fn default() -> Self {
        Self {
            by: SortBy::Key(SortKey::Taken),
            direction: Direction::Descending,
        }
    }
}

impl Sort {
    /// The order that a text like `name` or `-field.price` says; nothing if it says none.
    pub fn read(text: &str) -> Option<Self> {
        let (direction, word) = Direction::split(text);
        let by = match word.strip_prefix("field.") {
            Some(field) => is_field_name(field).then(|| SortBy::Own(field.to_owned())),
            None => SortKey::from_word(word).map(SortBy::Key),
        };
        by.map(|by| Self { by, direction })
    }
}

/// What files are ordered by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SortBy {
    /// What every file may have.
    Key(SortKey),
    /// A user's own field, of this name. Of a list the lowest value counts, or the highest if that is to come first.
    Own(String),
}

/// What every file may have to be ordered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SortKey {
    /// Capture time, on the camera's clock.
    Taken,
    /// When they were added.
    Added,
    /// Name, without regard to case.
    Name,
    /// Length in bytes.
    Size,
    /// Rating.
    Rating,
}

impl Word for SortKey {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("taken", Self::Taken),
        ("added", Self::Added),
        ("name", Self::Name),
        ("size", Self::Size),
        ("rating", Self::Rating),
    ];
}

/// Which way an order goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Lowest first.
    Ascending,
    /// Highest first: a `-` in front.
    Descending,
}

impl Direction {
    /// The direction that a text begins with, and the rest.
    pub(super) fn split(text: &str) -> (Self, &str) {
        match text.strip_prefix('-') {
            Some(rest) => (Self::Descending, rest),
            None => (Self::Ascending, text),
        }
    }
}
