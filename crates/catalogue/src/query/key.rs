//! The words in front of a colon.

use super::error::{QueryError, QueryErrorKind, nearest};
use super::measure::Unit;
use crate::fields::is_field_name;
use crate::file::Word;

/// A key of the language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    Tag,
    Camera,
    Description,
    Place,
    Person,
    Like,
    Type,
    Taken,
    After,
    Before,
    Uploaded,
    Near,
    Bbox,
    Within,
    Has,
    Missing,
    Rating,
    Width,
    Height,
    Size,
    Duration,
    Favourite,
    Name,
    Title,
    Album,
    In,
    Library,
    Sort,
    /// A user's own field: what is behind the point is its name.
    Own,
}

impl Key {
    /// The unit of the numbers that it compares, if it does.
    pub(super) fn unit(self) -> Option<Unit> {
        match self {
            Self::Width | Self::Height => Some(Unit::Pixels),
            Self::Size => Some(Unit::Bytes),
            Self::Duration => Some(Unit::Milliseconds),
            _ => None,
        }
    }
}

impl Word for Key {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("tag", Self::Tag),
        ("camera", Self::Camera),
        ("type", Self::Type),
        ("taken", Self::Taken),
        ("after", Self::After),
        ("before", Self::Before),
        ("uploaded", Self::Uploaded),
        ("near", Self::Near),
        ("bbox", Self::Bbox),
        ("within", Self::Within),
        ("has", Self::Has),
        ("missing", Self::Missing),
        ("rating", Self::Rating),
        ("width", Self::Width),
        ("height", Self::Height),
        ("size", Self::Size),
        ("duration", Self::Duration),
        ("favourite", Self::Favourite),
        ("name", Self::Name),
        ("title", Self::Title),
        ("description", Self::Description),
        ("place", Self::Place),
        ("person", Self::Person),
        ("album", Self::Album),
        ("like", Self::Like),
        ("in", Self::In),
        ("library", Self::Library),
        ("sort", Self::Sort),
        (OWN, Self::Own),
    ];
}

/// What a user's own field is written with.
const OWN: &str = "field";

/// The name of the user's own field that a key stands for.
pub(super) fn own_field(key: &str) -> Option<&str> {
    key.strip_prefix(OWN)?.strip_prefix('.')
}

/// The key of this name.
pub(super) fn lookup(name: &str, column: usize) -> Result<Key, QueryError> {
    if let Some(own) = own_field(name) {
        return match is_field_name(own) {
            true => Ok(Key::Own),
            false => Err(QueryErrorKind::Form {
                key: OWN,
                expected: "field.name:value, the name of a to z, 0 to 9 and _",
            }
            .at(column)),
        };
    }
    if let Some(key) = Key::from_word(name).filter(|key| *key != Key::Own) {
        return Ok(key);
    }
    if name == OWN {
        let suggestion = "write field.name: and the value";
        return Err(QueryErrorKind::UnknownKey(name.to_owned()).suggesting(column, suggestion));
    }
    let suggestion = match nearest(name, Key::WORDS.iter().map(|(word, _)| *word)) {
        Some(key) => format!("did you mean {key}:?"),
        None => format!(
            "to search for text, put it in quotes; the keys are {}",
            all_keys()
        ),
    };
    Err(QueryErrorKind::UnknownKey(name.to_owned()).suggesting(column, suggestion))
}

fn all_keys() -> String {
    let names: Vec<&str> = Key::WORDS.iter().map(|(word, _)| *word).collect();
    names.join(", ")
}
