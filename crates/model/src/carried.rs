//! What one library says of a file, carried into another: every value with whose word it is.
//!
//! An edit says one thing by one word. What comes out of an export is the sum of many edits by many words, and must come in
//! as it was: so all of it goes through the ledger in one command, which says for each property whose word it is, and which
//! tags a person had taken away. It yields to what a person has said here before.

use crate::codec_struct;
use crate::field::FieldValue;
use crate::file::{Place, Source, State, TakenAt};
use crate::id::AlbumId;
use crate::media::Told;

/// Everything that is said of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Carried {
    /// What it is called.
    pub name: String,
    /// Everything it was ever called, first to last.
    pub names: Vec<String>,
    /// A heading.
    pub title: Option<String>,
    /// A text.
    pub description: Option<String>,
    /// Nested with `/`, in their order, each with whose word it is.
    pub tags: Vec<Told<String>>,
    /// Tags that a person has taken away, so that nobody else adds them.
    pub refused: Vec<String>,
    /// 0 to 5.
    pub rating: Option<u8>,
    /// Marked.
    pub favourite: bool,
    /// When it was taken, by whoever's word counts.
    pub taken_at: Option<TakenAt>,
    /// Where it was taken, by whoever's word counts.
    pub place: Option<Place>,
    /// Where it is kept.
    pub state: State,
    /// Whose word the single values are.
    pub words: CarriedWords,
    /// Values of people's own fields.
    pub own: Vec<CarriedField>,
    /// The albums that it is in, and at which place of each.
    pub albums: Vec<(AlbumId, u64)>,
    /// Names of the people to be seen, as the file or its sidecar told them.
    pub people: Vec<String>,
    /// Where it was taken, in words, as the file or its sidecar told it.
    pub location: Option<String>,
}

codec_struct!(Carried {
    name,
    names,
    title,
    description,
    tags,
    refused,
    rating,
    favourite,
    taken_at,
    place,
    state,
    words,
    own,
    albums,
    people,
    location,
});

/// Whose word each single value is. None: nobody has said anything, so that the value is the file's own, or there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CarriedWords {
    /// Of the name.
    pub name: Option<Source>,
    /// Of the heading.
    pub title: Option<Source>,
    /// Of the text.
    pub description: Option<Source>,
    /// Of the rating.
    pub rating: Option<Source>,
    /// Of the mark.
    pub favourite: Option<Source>,
    /// Of the capture time.
    pub taken_at: Option<Source>,
    /// Of the place.
    pub place: Option<Source>,
    /// Of the state.
    pub state: Option<Source>,
}

codec_struct!(CarriedWords {
    name,
    title,
    description,
    rating,
    favourite,
    taken_at,
    place,
    state
});

/// The values of one of people's own fields.
#[derive(Debug, Clone, PartialEq)]
pub struct CarriedField {
    /// The field's number, in the library that it is carried into.
    pub field: u32,
    /// None if a person has cleared it.
    pub values: Vec<FieldValue>,
    /// Whose word they are.
    pub source: Source,
}

codec_struct!(CarriedField {
    field,
    values,
    source
});

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{Decode as _, Encode as _};

    /// What one build wrote must mean the same to all others: see docs/ledger-format.md.
    #[test]
    fn what_is_carried_is_encoded_as_documented() {
        let carried = Carried {
            name: "b".to_owned(),
            names: vec!["a".to_owned(), "b".to_owned()],
            title: None,
            description: Some("d".to_owned()),
            tags: vec![Told {
                value: "t".to_owned(),
                source: Source::Iptc,
            }],
            refused: vec!["r".to_owned()],
            rating: Some(4),
            favourite: true,
            taken_at: None,
            place: None,
            state: State::Archived,
            words: CarriedWords {
                title: Some(Source::User),
                description: Some(Source::Model),
                ..CarriedWords::default()
            },
            own: vec![CarriedField {
                field: 3,
                values: vec![FieldValue::Boolean(true)],
                source: Source::Rule,
            }],
            albums: vec![(AlbumId([9; 8]), 2)],
            people: Vec::new(),
            location: None,
        };
        let mut expected = vec![0, 0, 0, 1, b'b'];
        expected.extend([0, 0, 0, 2, 0, 0, 0, 1, b'a', 0, 0, 0, 1, b'b']);
        expected.extend([0, 1, 0, 0, 0, 1, b'd']);
        expected.extend([0, 0, 0, 1, 0, 0, 0, 1, b't', 5]);
        expected.extend([0, 0, 0, 1, 0, 0, 0, 1, b'r']);
        expected.extend([1, 4, 1, 0, 0, 1]);
        expected.extend([0, 1, 0, 1, 4, 0, 0, 0, 0, 0]);
        expected.extend([0, 0, 0, 1, 0, 0, 0, 3, 0, 0, 0, 1, 3, 1, 3]);
        expected.extend([0, 0, 0, 1]);
        expected.extend([9; 8]);
        expected.extend([0, 0, 0, 0, 0, 0, 0, 2]);
        expected.extend([0, 0, 0, 0, 0]);
        assert_eq!(carried.to_bytes(), expected);
        assert_eq!(Carried::from_bytes(&expected), Ok(carried));
    }
}
