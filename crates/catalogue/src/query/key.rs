//! The words in front of a colon.

use super::error::{QueryError, QueryErrorKind, nearest};
use crate::file::Word;

/// A key of the language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    Tag,
    Camera,
    Type,
    Taken,
    After,
    Before,
    Near,
    Bbox,
    Has,
    Missing,
    Rating,
    Favourite,
    Name,
    Title,
    In,
    Library,
    Sort,
}

impl Word for Key {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("tag", Self::Tag),
        ("camera", Self::Camera),
        ("type", Self::Type),
        ("taken", Self::Taken),
        ("after", Self::After),
        ("before", Self::Before),
        ("near", Self::Near),
        ("bbox", Self::Bbox),
        ("has", Self::Has),
        ("missing", Self::Missing),
        ("rating", Self::Rating),
        ("favourite", Self::Favourite),
        ("name", Self::Name),
        ("title", Self::Title),
        ("in", Self::In),
        ("library", Self::Library),
        ("sort", Self::Sort),
    ];
}

/// Keys that belong to the language and have nothing to look at yet.
const LATER: [&str; 7] = [
    "within", "person", "album", "duration", "uploaded", "like", "field",
];

/// The key of this name.
pub(super) fn lookup(name: &str, column: usize) -> Result<Key, QueryError> {
    if let Some(key) = Key::from_word(name) {
        return Ok(key);
    }
    if LATER.contains(&name) || name.starts_with("field.") {
        return Err(QueryErrorKind::NotSupportedYet(name.to_owned()).at(column));
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
