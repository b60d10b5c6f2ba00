//! The query language: one line of text for people, the same as a tree for programs.
//!
//! Text becomes tokens (`lexer`), tokens a tree (`parser`, `value`), and a tree one canonical text again
//! (`print`): parsing that gives the same tree. Reading is total and bounded: any text is a query or an error that
//! names a column, and nothing that looks like a key is silently searched for as a word. Grammar and examples are in
//! `docs/query-language.md`; the examples are run as a test.

mod error;
mod json;
mod key;
mod lexer;
mod measure;
mod parser;
mod polygon;
mod print;
pub(crate) mod tree;
pub(crate) mod value;

pub use error::{QueryError, QueryErrorKind};
pub use json::TreeError;
pub use measure::{Measure, Uploaded};
pub use polygon::Polygon;
pub use tree::{
    BoundingBox, Circle, Comparison, Direction, Expr, Extent, OwnTerm, Pattern, Query, Sort,
    SortBy, SortKey, Term, Within,
};

/// A query's text, in bytes.
pub const QUERY_BYTES_MAX: usize = 4 << 10;
/// Parentheses and negations inside one another.
pub const DEPTH_MAX: usize = 64;
/// Terms in one query, so that what it becomes stays within SQLite's limits.
pub const TERMS_MAX: usize = 256;

/// The keys of the language, in the order in which errors list them.
pub(crate) fn keys() -> impl Iterator<Item = &'static str> {
    <key::Key as crate::file::Word>::WORDS
        .iter()
        .map(|(word, _)| *word)
}

impl std::str::FromStr for Query {
    type Err = QueryError;

    fn from_str(text: &str) -> Result<Self, QueryError> {
        parser::parse(text)
    }
}
