//! What is wrong with a query, where, and what may have been meant.

use std::fmt;

use super::{DEPTH_MAX, QUERY_BYTES_MAX, TERMS_MAX};
use crate::rules::RuleError;
use crate::time::TimeError;

/// A text that is not a query.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct QueryError {
    /// Where, in characters, from 1.
    pub column: usize,
    /// What is wrong.
    #[source]
    pub kind: QueryErrorKind,
    /// What may have been meant, as a sentence.
    pub suggestion: Option<String>,
}

impl fmt::Display for QueryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "column {}: {}", self.column, self.kind)?;
        match &self.suggestion {
            Some(suggestion) => write!(f, "; {suggestion}"),
            None => Ok(()),
        }
    }
}

/// What is wrong with a query.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueryErrorKind {
    /// Longer than the limit.
    #[error("the query is longer than {QUERY_BYTES_MAX} bytes")]
    TooLong,
    /// Nested deeper than the limit.
    #[error("parentheses and negations go deeper than {DEPTH_MAX}")]
    TooDeep,
    /// More terms than the limit.
    #[error("the query has more than {TERMS_MAX} terms")]
    TooManyTerms,
    /// A character that is neither text nor space.
    #[error("there is a control character")]
    ControlCharacter,
    /// A quote that does not end.
    #[error("this quote does not end")]
    UnclosedQuote,
    /// A parenthesis that does not end.
    #[error("this parenthesis does not end")]
    UnclosedParenthesis,
    /// A closing parenthesis too many.
    #[error("no parenthesis is open here")]
    UnopenedParenthesis,
    /// Parentheses around nothing.
    #[error("there is nothing in these parentheses")]
    EmptyGroup,
    /// An operator with nothing beside it.
    #[error("{0} needs a term on this side")]
    MissingOperand(&'static str),
    /// Characters that mean something else outside quotes.
    #[error("a quote or parenthesis inside a word")]
    NeedsQuotes,
    /// A `*` that is not at the end.
    #[error("a * stands at the end of a word")]
    MisplacedStar,
    /// Text with nothing in it that could be found.
    #[error("there is no letter or digit to search for")]
    NoWord,
    /// A key that does not exist.
    #[error("there is no key {0:?}")]
    UnknownKey(String),
    /// A comparison with something that has no order.
    #[error("{0} does not compare")]
    NotComparable(&'static str),
    /// A `!=`, which the language does not have.
    #[error("there is no !=")]
    NotEqual,
    /// A key with nothing behind it.
    #[error("{0} needs a value")]
    EmptyValue(&'static str),
    /// A value that is not one of a few words.
    #[error("{key} is one of {choices}")]
    UnknownChoice {
        /// The key.
        key: &'static str,
        /// The words.
        choices: String,
    },
    /// A value that is not of the key's form.
    #[error("{key} is written {expected}")]
    Form {
        /// The key.
        key: &'static str,
        /// An example.
        expected: &'static str,
    },
    /// A number that is out of range.
    #[error("{key} has a {what} out of range")]
    Range {
        /// The key.
        key: &'static str,
        /// The number.
        what: &'static str,
    },
    /// A box whose south lies north of its north.
    #[error("the box has its south north of its north")]
    UpsideDown,
    /// Not a date.
    #[error("{0}")]
    Time(TimeError),
    /// Not a tag.
    #[error("{0}")]
    Tag(RuleError),
    /// `in:`, `library:` or `sort:` inside parentheses or behind a negation.
    #[error("{0} concerns the whole query and cannot be grouped or negated")]
    Misplaced(&'static str),
    /// `in:`, `library:` or `sort:` more than once.
    #[error("{0} is given twice")]
    Repeated(&'static str),
}

impl QueryErrorKind {
    /// The error at a place, with nothing to suggest.
    pub(super) fn at(self, column: usize) -> QueryError {
        QueryError {
            column,
            kind: self,
            suggestion: None,
        }
    }

    /// The error at a place, with something to suggest.
    pub(super) fn suggesting(self, column: usize, suggestion: impl Into<String>) -> QueryError {
        QueryError {
            column,
            kind: self,
            suggestion: Some(suggestion.into()),
        }
    }
}

/// The one of `known` that `word` is most likely a misspelling of. Short words are all near each other, so unless
/// most letters agree the first one must.
pub(super) fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let word: Vec<char> = word.to_lowercase().chars().take(64).collect();
    let likely = |distance: usize, candidate: &str| {
        let length = candidate.len().max(word.len());
        distance * 2 < length || candidate.chars().next() == word.first().copied()
    };
    known
        .map(|candidate| (distance(&word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= 2 && likely(*distance, candidate))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// How many insertions, deletions and replacements lead from one to the other (Levenshtein).
fn distance(from: &[char], to: &str) -> usize {
    let mut row: Vec<usize> = (0..=from.len()).collect();
    for (above, wanted) in to.chars().enumerate() {
        let mut diagonal = above;
        let mut left = above + 1;
        for (cell, found) in row.iter_mut().skip(1).zip(from) {
            let replaced = diagonal + usize::from(*found != wanted);
            diagonal = *cell;
            left = replaced.min(left + 1).min(*cell + 1);
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = above + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distance_is_levenshteins() {
        let cases = [
            ("kitten", "sitting", 3),
            ("", "abc", 3),
            ("tag", "tag", 0),
            ("tga", "tag", 2),
        ];
        for (from, to, expected) in cases {
            let from: Vec<char> = from.chars().collect();
            assert_eq!(distance(&from, to), expected);
        }
    }

    #[test]
    fn only_a_near_word_is_suggested() {
        let known = ["tag", "camera", "type"];
        assert_eq!(nearest("tgs", known.into_iter()), Some("tag"));
        assert_eq!(nearest("camra", known.into_iter()), Some("camera"));
        assert_eq!(nearest("colour", known.into_iter()), None);
    }
}
