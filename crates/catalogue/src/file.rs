//! A file as people and programs see it: the JSON object of the HTTP contract.
//!
//! Every key is always present; an absent value is null.

use std::collections::BTreeMap;

use model::file::{Kind, Source, State};
use model::{BlobId, LibraryId, TokenId};
use serde::{Deserialize, Serialize};

pub use crate::told::Sources;

/// What is known about a file in one library, at one version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct File {
    /// SHA-256 of its bytes.
    #[serde(with = "text")]
    pub id: BlobId,
    /// The library it is in.
    #[serde(with = "text")]
    pub library: LibraryId,
    /// Length in bytes.
    pub size: u64,
    /// By content: `image/jpeg`.
    pub media_type: String,
    /// `photo`, `video` or `other`.
    #[serde(with = "words")]
    pub kind: Kind,
    /// What it is called.
    pub name: String,
    /// Everything it was ever called, first to last.
    pub names: Vec<String>,
    /// A heading.
    pub title: Option<String>,
    /// A text.
    pub description: Option<String>,
    /// Nested with `/`, in the order given.
    pub tags: Vec<String>,
    /// 0 to 5.
    pub rating: Option<u8>,
    /// Marked.
    pub favourite: bool,
    /// When it was taken.
    pub taken_at: Option<TakenAt>,
    /// Where it was taken.
    pub place: Option<Place>,
    /// With what.
    pub camera: Option<Camera>,
    /// How.
    pub exposure: Option<Exposure>,
    /// Pixels across, as shown.
    pub width: Option<u32>,
    /// Pixels down, as shown.
    pub height: Option<u32>,
    /// EXIF orientation, 1 to 8.
    pub orientation: Option<u8>,
    /// Length of a video or sound.
    pub duration_ms: Option<u64>,
    /// A ThumbHash in base64.
    pub thumbhash: Option<String>,
    /// The user's own fields.
    pub fields: BTreeMap<String, serde_json::Value>,
    /// Albums it is in.
    pub albums: Vec<String>,
    /// `live`, `archived` or `trashed`.
    #[serde(with = "words")]
    pub state: State,
    /// Time of the block that added it, RFC 3339 in UTC.
    pub added_at: String,
    /// The token that added it.
    #[serde(with = "text")]
    pub added_by: TokenId,
    /// Counts the file's changes, from 1.
    pub version: u64,
    /// It claims to be a picture and cannot be decoded.
    pub undecodable: bool,
    /// What was dropped from its metadata, and why.
    pub notes: Vec<String>,
    /// Whose word title, description, tags and rating are.
    pub sources: Sources,
    /// Names of the people to be seen, as the file tells them.
    pub people: Vec<String>,
    /// Where it was taken, in words, as the file tells it.
    pub location: Option<String>,
    /// The decoder that would show its picture and was missing.
    pub needs: Option<String>,
    /// Nearly the same for pictures that look the same: 16 hexadecimal digits.
    pub perceptual_hash: Option<String>,
    /// SHA-256 of the picture that a client supplied.
    pub preview: Option<String>,
}

/// When a picture was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TakenAt {
    /// What the camera's clock showed: `2019-07-04T18:03:00.123`.
    pub local: String,
    /// East of UTC, `+01:00`, if known.
    pub offset: Option<String>,
    /// Who says so.
    #[serde(with = "words")]
    pub source: Source,
}

/// Where a picture was taken.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Place {
    /// Degrees north.
    pub lat: f64,
    /// Degrees east.
    pub lon: f64,
    /// Metres above the sea.
    pub altitude: Option<f64>,
    /// What it is called.
    pub name: Option<String>,
    /// Who says so.
    #[serde(with = "words")]
    pub source: Source,
}

/// The device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Camera {
    /// `Google`.
    pub make: Option<String>,
    /// `Pixel 7`.
    pub model: Option<String>,
    /// `EF 50mm f/1.8`.
    pub lens: Option<String>,
}

/// How the light fell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Exposure {
    /// Shutter, in seconds.
    pub seconds: Option<f64>,
    /// The f-number.
    pub aperture: Option<f64>,
    /// Sensitivity.
    pub iso: Option<u32>,
    /// Focal length, in millimetres.
    pub focal_mm: Option<f64>,
}

/// A choice that is one word in JSON and in queries.
pub trait Word: Sized + Copy + PartialEq + 'static {
    /// Every choice with its word.
    const WORDS: &'static [(&'static str, Self)];

    /// Its word.
    fn word(self) -> &'static str {
        let mut words = Self::WORDS.iter();
        words
            .find(|(_, value)| *value == self)
            .map_or("", |(word, _)| word)
    }

    /// The choice that `word` means.
    fn from_word(word: &str) -> Option<Self> {
        let mut words = Self::WORDS.iter();
        words
            .find(|(known, _)| *known == word)
            .map(|(_, value)| *value)
    }
}

impl Word for Kind {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("photo", Self::Photo),
        ("video", Self::Video),
        ("other", Self::Other),
    ];
}

impl Word for State {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("live", Self::Live),
        ("archived", Self::Archived),
        ("trashed", Self::Trashed),
    ];
}

impl Word for Source {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("user", Self::User),
        ("exif", Self::Exif),
        ("xmp", Self::Xmp),
        ("rule", Self::Rule),
        ("model", Self::Model),
        ("iptc", Self::Iptc),
        ("sidecar", Self::Sidecar),
        ("name", Self::Name),
    ];
}

/// Serialises a [`Word`].
pub(crate) mod words {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use super::Word;

    pub(crate) fn serialize<T: Word, S: Serializer>(value: &T, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(value.word())
    }

    pub(crate) fn deserialize<'de, T: Word, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
        let word = String::deserialize(from)?;
        T::from_word(&word).ok_or_else(|| D::Error::custom(format!("no choice is called {word}")))
    }
}

/// Serialises an id as the text it is written in.
pub(crate) mod text {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(crate) fn serialize<T: Display, S: Serializer>(
        value: &T,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.collect_str(value)
    }

    pub(crate) fn maybe<T: Display, S: Serializer>(
        value: &Option<T>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => to.collect_str(value),
            None => to.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, T, D>(from: D) -> Result<T, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}
