//! What metadata may be, checked on every node when a command is applied.
//!
//! The HTTP layer checks the same rules earlier and answers with a pointer to the place; here they guard the
//! catalogue against commands that came another way, and decide the same on every node.

use model::Album;
use model::carried::Carried;
use model::file::{Change, Metadata, Place, TakenAt};
use model::media::Described;

use crate::albums::FILE_ALBUMS_MAX;
use crate::query::QUERY_BYTES_MAX;
use crate::stored::Stored;
use crate::time::OFFSET_MIN_MAX;

/// A name or a title, in bytes.
pub const NAME_BYTES_MAX: usize = 1 << 10;
/// A description, in bytes.
pub const DESCRIPTION_BYTES_MAX: usize = 64 << 10;
/// A tag, in bytes.
pub const TAG_BYTES_MAX: usize = 255;
/// The tags of one file.
pub const TAGS_MAX: usize = 1000;
/// The names of one file; further ones are not remembered.
pub const NAMES_MAX: usize = 100;
/// The highest rating.
pub const RATING_MAX: u8 = 5;
/// The largest file: numbers in JSON are exact up to here.
pub const SIZE_BYTES_MAX: u64 = (1 << 53) - 1;
/// How far above or below the sea a place may be, in metres.
pub const ALTITUDE_M_MAX: f64 = 100_000.0;

/// A rule that metadata breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// Too long.
    #[error("{field} is longer than {limit} bytes")]
    TooLong {
        /// The property.
        field: &'static str,
        /// In bytes.
        limit: usize,
    },
    /// Nothing where something is needed.
    #[error("{field} is empty")]
    Empty {
        /// The property.
        field: &'static str,
    },
    /// A tag that is not in normal form.
    #[error(
        "a tag is trimmed text without control characters, its parts parted by single slashes: {tag:?} is not"
    )]
    TagForm {
        /// The tag.
        tag: String,
    },
    /// Too many tags.
    #[error("a file has at most {TAGS_MAX} tags")]
    TooManyTags,
    /// Too many names.
    #[error("a file has at most {NAMES_MAX} names")]
    TooManyNames,
    /// Too many albums.
    #[error("a file is in at most {FILE_ALBUMS_MAX} albums")]
    TooManyAlbums,
    /// A rating out of range.
    #[error("a rating is 0 to {RATING_MAX}, not {0}")]
    Rating(u8),
    /// An offset out of range.
    #[error("an offset from UTC is within 14 hours, not {0} minutes")]
    Offset(i16),
    /// A height that is not on the earth.
    #[error("an altitude is within {ALTITUDE_M_MAX} m of the sea")]
    Altitude,
    /// A size that no file has.
    #[error("a file has at most {SIZE_BYTES_MAX} bytes")]
    Size,
}

/// Checks a file's or a token's name. Any characters may stand in it: it is kept as text and never used as a path.
///
/// # Errors
/// The rule it breaks.
pub fn check_name(name: &str) -> Result<(), RuleError> {
    if name.is_empty() {
        return Err(RuleError::Empty { field: "name" });
    }
    check_length("name", name, NAME_BYTES_MAX)
}

/// Checks that a tag is in normal form: trimmed, no empty part, no slash at either end, no control character.
///
/// # Errors
/// The rule it breaks.
pub fn check_tag(tag: &str) -> Result<(), RuleError> {
    check_length("tag", tag, TAG_BYTES_MAX)?;
    let parts_valid = tag
        .split('/')
        .all(|part| !part.is_empty() && part.trim() == part);
    if !parts_valid || tag.contains(char::is_control) {
        return Err(RuleError::TagForm {
            tag: tag.to_owned(),
        });
    }
    Ok(())
}

/// Checks an edit.
///
/// # Errors
/// The rule it breaks.
pub fn check_change(change: &Change) -> Result<(), RuleError> {
    match change {
        Change::Name(name) => check_name(name),
        Change::Title(title) => check_title(title.as_deref()),
        Change::Description(text) => check_description(text.as_deref()),
        Change::Tags(tags) => check_tags(tags),
        Change::Rating(rating) => check_rating(*rating),
        Change::TakenAt(taken) => check_taken(taken.as_ref()),
        Change::Place(place) => check_place(place.as_ref()),
        Change::AddTag(tag) | Change::RemoveTag(tag) => check_tag(tag),
        Change::Zone(offset) => check_offset(*offset),
        // What a field's values may be is asked of its definition.
        // And whether there is such an album, of those that there are.
        Change::Favourite(_)
        | Change::State(_)
        | Change::Field { .. }
        | Change::ShiftTaken(_)
        | Change::AddToAlbum { .. }
        | Change::RemoveFromAlbum(_)
        | Change::Albums(_)
        | Change::Cover { .. } => Ok(()),
    }
}

/// Checks what an album is to be.
///
/// # Errors
/// The first rule it breaks.
pub fn check_album(album: &Album) -> Result<(), RuleError> {
    check_name(&album.name)?;
    check_description(Some(&album.description))?;
    let rule = album.query.as_deref().unwrap_or_default();
    check_length("query", rule, QUERY_BYTES_MAX)
}

/// Checks what has come of a file after an edit, where single changes cannot tell.
pub(crate) fn check_record(record: &Stored) -> Result<(), RuleError> {
    if record.albums.len() > FILE_ALBUMS_MAX {
        return Err(RuleError::TooManyAlbums);
    }
    check_tags(&record.tags)
}

/// Checks what an uploader says of a file.
///
/// # Errors
/// The first rule it breaks.
pub fn check_metadata(metadata: &Metadata) -> Result<(), RuleError> {
    check_title(metadata.title.as_deref())?;
    check_description(metadata.description.as_deref())?;
    check_tags(&metadata.tags)?;
    check_rating(metadata.rating)?;
    check_taken(metadata.taken_at.as_ref())?;
    check_place(metadata.place.as_ref())
}

/// Checks what a file tells of itself. Its tags are not asked: those that may not be are left out.
///
/// # Errors
/// The first rule it breaks.
pub fn check_described(described: &Described) -> Result<(), RuleError> {
    check_title(described.title.as_ref().map(|told| told.value.as_str()))?;
    let text = described.description.as_ref();
    check_description(text.map(|told| told.value.as_str()))?;
    check_rating(described.rating.as_ref().map(|told| told.value))
}

/// Checks what is carried from another library. Whether there are such fields and albums is asked of those that there are.
///
/// # Errors
/// The first rule it breaks.
pub fn check_carried(carried: &Carried) -> Result<(), RuleError> {
    check_name(&carried.name)?;
    carried.names.iter().try_for_each(|name| check_name(name))?;
    check_title(carried.title.as_deref())?;
    check_description(carried.description.as_deref())?;
    let tags = carried.tags.iter().map(|told| told.value.as_str());
    let tags = tags.chain(carried.refused.iter().map(String::as_str));
    tags.into_iter().try_for_each(check_tag)?;
    check_rating(carried.rating)?;
    check_taken(carried.taken_at.as_ref())?;
    check_place(carried.place.as_ref())?;
    let told = carried.people.iter().chain(&carried.location);
    told.into_iter()
        .try_for_each(|text| check_length("a person or place", text, NAME_BYTES_MAX))?;
    if carried.names.len() > NAMES_MAX {
        return Err(RuleError::TooManyNames);
    }
    if carried.refused.len() > TAGS_MAX {
        return Err(RuleError::TooManyTags);
    }
    Ok(())
}

/// Checks a size.
pub(crate) fn check_size(size: u64) -> Result<(), RuleError> {
    if size > SIZE_BYTES_MAX {
        Err(RuleError::Size)
    } else {
        Ok(())
    }
}

/// Checks tags, each and together.
pub(crate) fn check_tags(tags: &[String]) -> Result<(), RuleError> {
    if tags.len() > TAGS_MAX {
        return Err(RuleError::TooManyTags);
    }
    tags.iter().try_for_each(|tag| check_tag(tag))
}

fn check_title(title: Option<&str>) -> Result<(), RuleError> {
    check_length("title", title.unwrap_or_default(), NAME_BYTES_MAX)
}

fn check_description(text: Option<&str>) -> Result<(), RuleError> {
    check_length(
        "description",
        text.unwrap_or_default(),
        DESCRIPTION_BYTES_MAX,
    )
}

fn check_rating(rating: Option<u8>) -> Result<(), RuleError> {
    match rating {
        Some(rating) if rating > RATING_MAX => Err(RuleError::Rating(rating)),
        _ => Ok(()),
    }
}

fn check_taken(taken: Option<&TakenAt>) -> Result<(), RuleError> {
    check_offset(taken.and_then(|taken| taken.offset_min))
}

fn check_offset(offset: Option<i16>) -> Result<(), RuleError> {
    match offset {
        Some(offset) if offset.unsigned_abs() > OFFSET_MIN_MAX.unsigned_abs() => {
            Err(RuleError::Offset(offset))
        }
        _ => Ok(()),
    }
}

fn check_place(place: Option<&Place>) -> Result<(), RuleError> {
    let Some(place) = place else { return Ok(()) };
    check_length(
        "place name",
        place.name.as_deref().unwrap_or_default(),
        NAME_BYTES_MAX,
    )?;
    match place.altitude {
        Some(metres) if !(-ALTITUDE_M_MAX..=ALTITUDE_M_MAX).contains(&metres) => {
            Err(RuleError::Altitude)
        }
        _ => Ok(()),
    }
}

fn check_length(field: &'static str, text: &str, limit: usize) -> Result<(), RuleError> {
    if text.len() > limit {
        Err(RuleError::TooLong { field, limit })
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_has_one_spelling() {
        for tag in [
            "beach",
            "places/uk/London",
            "New York",
            "日本",
            "c++",
            "a/b c/d",
        ] {
            assert_eq!(check_tag(tag), Ok(()), "{tag}");
        }
        for tag in [
            "", " a", "a ", "/a", "a/", "a//b", "a/ b", "a\nb", "a\0", "\u{85}",
        ] {
            assert!(check_tag(tag).is_err(), "{tag:?}");
        }
        assert_eq!(check_tag(&"x".repeat(TAG_BYTES_MAX)), Ok(()));
        assert!(check_tag(&"x".repeat(TAG_BYTES_MAX + 1)).is_err());
    }
}
