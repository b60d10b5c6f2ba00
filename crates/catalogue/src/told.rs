//! What a file tells of itself: what of it becomes its first words, and what its record keeps beside them.

use std::collections::BTreeSet;

use model::file::Source;
use model::media::{Described, Look, Told};
use model::{BlobId, codec_struct};
use serde::{Deserialize, Serialize};

use crate::file::words;
use crate::rules::{TAGS_MAX, check_tag};

/// Whose word the values are. Of what was never said, the user's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sources {
    /// The heading.
    #[serde(with = "words")]
    pub title: Source,
    /// The text.
    #[serde(with = "words")]
    pub description: Source,
    /// The tags, if all are of one source; else the user's.
    #[serde(with = "words")]
    pub tags: Source,
    /// The rating.
    #[serde(with = "words")]
    pub rating: Source,
}

/// A picture that a client supplied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Preview {
    pub(crate) blob: BlobId,
    pub(crate) size: u64,
    /// As of a file, so that the blob is known by height.
    pub(crate) arrival: i64,
}

codec_struct!(Preview {
    blob,
    size,
    arrival
});

/// What is known of a file's picture beside the facts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct PictureMark {
    /// Nearly the same for pictures that look the same.
    pub(crate) hash: Option<u64>,
    /// The decoder that is missing.
    pub(crate) needs: Option<String>,
    /// What a client supplied.
    pub(crate) preview: Option<Preview>,
}

codec_struct!(PictureMark {
    hash,
    needs,
    preview
});

/// Everything beside facts and a person's word.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Beside {
    pub(crate) people: Vec<String>,
    /// Where it was taken, in words.
    pub(crate) location: Option<String>,
    pub(crate) picture: PictureMark,
}

codec_struct!(Beside {
    people,
    location,
    picture
});

/// `said` by a person, else what the file tells; and whose word it is.
pub(crate) fn first<T: Clone>(said: Option<T>, told: Option<&Told<T>>) -> (Option<T>, Source) {
    match (said, told) {
        (None, Some(told)) => (Some(told.value.clone()), told.source),
        (said, _) => (said, Source::User),
    }
}

/// The tags that a file tells of, as far as they may stand beside those it has.
pub(crate) fn more_tags<'a>(have: &[String], described: &'a Described) -> Vec<&'a Told<String>> {
    let room = TAGS_MAX.saturating_sub(have.len());
    let told = described.tags.iter();
    told.filter(|told| !have.contains(&told.value) && check_tag(&told.value).is_ok())
        .take(room)
        .collect()
}

/// Each name once, in order.
pub(crate) fn people(described: &Described) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let names = described.people.iter().map(|told| &told.value);
    names.filter(|name| seen.insert(*name)).cloned().collect()
}

impl super::stored::Stored {
    /// What a decoder has seen of the picture that could not be decoded before. Without effect where none is missing.
    pub(crate) fn look(&mut self, look: &Look) {
        if self.beside.picture.needs.take().is_none() {
            return;
        }
        let facts = &mut self.facts;
        facts.undecodable = look.broken.is_some();
        // The notes said which decoder was missing.
        facts
            .notes
            .retain(|note| !note.starts_with("no thumbnail: "));
        facts.notes.extend(look.broken.clone());
        facts.width = facts.width.or(look.width);
        facts.height = facts.height.or(look.height);
        if !look.thumbhash.is_empty() {
            facts.thumbhash.clone_from(&look.thumbhash);
        }
        self.beside.picture.hash = look.perceptual_hash.or(self.beside.picture.hash);
    }
}
