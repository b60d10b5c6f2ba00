//! Whose word each value is.
//!
//! A user's word wins over all others for ever: what a person has set or cleared, nobody else changes, and a tag that a
//! person has taken away does not come back by a rule or a model. Of everything that is not a person's it is kept whose
//! it is.

use model::FieldValue;
use model::codec_struct;
use model::file::{Change, Source};

use crate::rules::TAGS_MAX;
use crate::stored::fold;

/// The values of a user's own field. Without values: somebody has cleared it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct OwnValue {
    pub(crate) field: u32,
    pub(crate) values: Vec<FieldValue>,
    pub(crate) source: Source,
}

codec_struct!(OwnValue {
    field,
    values,
    source
});

/// Who said what of a file.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Said {
    /// The properties that a person has spoken of, as bits.
    owned: u32,
    /// Of the others, those that somebody has set, with whose word it is.
    others: Vec<(u8, Source)>,
    /// Tags that are not a person's, folded.
    tags: Vec<(String, Source)>,
    /// Tags that a person has taken away, folded.
    refused: Vec<String>,
}

codec_struct!(Said {
    owned,
    others,
    tags,
    refused
});

/// Which property a change is about, in bits of [`Said`]; none for tags and fields, which are many.
fn property(change: &Change) -> Option<u8> {
    match change {
        Change::Name(_) => Some(0),
        Change::Title(_) => Some(1),
        Change::Description(_) => Some(2),
        Change::Rating(_) => Some(4),
        Change::Favourite(_) => Some(5),
        Change::TakenAt(_) | Change::ShiftTaken(_) | Change::Zone(_) => Some(6),
        Change::Place(_) => Some(7),
        Change::State(_) => Some(8),
        Change::Tags(_)
        | Change::AddTag(_)
        | Change::RemoveTag(_)
        | Change::Field { .. }
        | Change::AddToAlbum { .. }
        | Change::RemoveFromAlbum(_)
        | Change::Albums(_)
        | Change::Cover { .. } => None,
    }
}

impl Said {
    /// Whether a person has spoken of it, so that others are not heard.
    pub(crate) fn is_settled(&self, change: &Change) -> bool {
        match change {
            Change::AddTag(tag) => self.refused.contains(&fold(tag)),
            _ => property(change).is_some_and(|at| self.owned & (1 << at) != 0),
        }
    }

    /// Notes whose word a property is from now on.
    pub(crate) fn note(&mut self, change: &Change, source: Source) {
        let Some(at) = property(change) else { return };
        self.others.retain(|(other, _)| *other != at);
        if source == Source::User {
            self.owned |= 1 << at;
        } else {
            self.owned &= !(1 << at);
            self.others.push((at, source));
            self.others.sort_unstable_by_key(|(at, _)| *at);
        }
    }

    /// Nobody has said anything of a property.
    pub(crate) fn forget(&mut self, change: &Change) {
        let Some(at) = property(change) else { return };
        self.others.retain(|(other, _)| *other != at);
        self.owned &= !(1 << at);
    }

    /// Whose word a property is.
    pub(crate) fn source(&self, change: &Change) -> Source {
        let at = property(change);
        let mut others = self.others.iter();
        let found = others.find(|(other, _)| Some(*other) == at);
        found.map_or(Source::User, |(_, source)| *source)
    }

    /// Whose word the tags of a file are, if all are of one; else the user's.
    pub(crate) fn source_of_tags(&self, tags: &[String]) -> Source {
        let mut sources = tags.iter().map(|tag| self.source_of_tag(tag));
        let first = sources.next().unwrap_or(Source::User);
        let same = sources.all(|source| source == first);
        if same { first } else { Source::User }
    }

    /// Whose word a property is; none if nobody has said anything of it.
    pub(crate) fn word(&self, change: &Change) -> Option<Source> {
        let at = property(change)?;
        if self.owned & (1 << at) != 0 {
            return Some(Source::User);
        }
        let mut others = self.others.iter();
        let found = others.find(|(other, _)| *other == at);
        found.map(|(_, source)| *source)
    }

    /// Tags that a person has taken away, folded.
    pub(crate) fn refused(&self) -> &[String] {
        &self.refused
    }

    /// A person has taken a tag away that is not on the file.
    pub(crate) fn refuse(&mut self, tag: &str) {
        self.tag_removed(tag, Source::User);
    }

    /// Whose word a tag of the file is.
    pub(crate) fn source_of_tag(&self, tag: &str) -> Source {
        let tag = fold(tag);
        let found = self.tags.iter().find(|(other, _)| *other == tag);
        found.map_or(Source::User, |(_, source)| *source)
    }

    /// A tag is on the file, by this word.
    pub(crate) fn tag_added(&mut self, tag: &str, source: Source, new: bool) {
        let tag = fold(tag);
        if source == Source::User {
            self.refused.retain(|refused| *refused != tag);
            self.tags.retain(|(other, _)| *other != tag);
        } else if new {
            self.tags.push((tag, source));
            self.tags.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        }
    }

    /// A tag is gone, by this word.
    pub(crate) fn tag_removed(&mut self, tag: &str, source: Source) {
        let tag = fold(tag);
        self.tags.retain(|(other, _)| *other != tag);
        if source == Source::User && self.refused.len() < TAGS_MAX && !self.refused.contains(&tag) {
            self.refused.push(tag);
            self.refused.sort_unstable();
        }
    }

    /// Whether a tag is a person's.
    pub(crate) fn is_users_tag(&self, tag: &str) -> bool {
        self.source_of_tag(tag) == Source::User
    }

    /// A tag is called something else; whose it is if it is not a person's.
    pub(crate) fn tag_renamed(&mut self, from: &str, to: &str) -> Option<Source> {
        let (from, to) = (fold(from), fold(to));
        let at = self.tags.iter().position(|(tag, _)| *tag == from)?;
        let (_, source) = self.tags.remove(at);
        if !self.tags.iter().any(|(tag, _)| *tag == to) {
            self.tags.push((to, source));
            self.tags.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        }
        Some(source)
    }
}
