//! Where a page ended, as opaque text.
//!
//! A cursor holds the sort key and row id of the last item, never an offset, so it stays good while files come and
//! go, and on every node. It also holds a print of the query, so that it cannot be used with another one.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use model::codec::{Decode, Encode};
use model::{Digest, LibraryId, codec_enum, codec_struct};

use super::SearchError;
use crate::query::{Query, Sort};

/// The value a page is ordered by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum SortValue {
    /// The row id alone.
    Id,
    /// A number.
    Number(i64),
    /// Text.
    Text(String),
    /// A number with a point, by its bits.
    Real(u64),
}

codec_enum!(SortValue, "sort value" { 0 => Id, 1 => Number(number), 2 => Text(text), 3 => Real(bits) });

/// The last item of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cursor {
    /// Of query, library and order.
    print: [u8; 8],
    /// Which stretch of the order it lies in.
    pub(super) stretch: u8,
    /// Its sort value.
    pub(super) value: SortValue,
    /// Its row id.
    pub(super) id: i64,
}

codec_struct!(Cursor {
    print,
    stretch,
    value,
    id
});

/// What a cursor must belong to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Context {
    print: [u8; 8],
}

impl Context {
    pub(super) fn new(library: &LibraryId, query: &Query, sort: &Sort) -> Self {
        let text = format!("starling/cursor/v1\n{library}\n{sort}\n{query}");
        let digest = Digest::of(&[text.as_bytes()]);
        let (print, _) = digest
            .0
            .split_first_chunk()
            .expect("a digest is longer than its print");
        Self { print: *print }
    }

    /// The text of a cursor.
    pub(super) fn write(&self, stretch: u8, value: SortValue, id: i64) -> String {
        let cursor = Cursor {
            print: self.print,
            stretch,
            value,
            id,
        };
        BASE64.encode(cursor.to_bytes())
    }

    /// The cursor that a text stands for.
    pub(super) fn read(&self, text: &str) -> Result<Cursor, SearchError> {
        let bytes = BASE64.decode(text).map_err(|_| SearchError::Cursor)?;
        let cursor = Cursor::from_bytes(&bytes).map_err(|_| SearchError::Cursor)?;
        if cursor.print == self.print {
            Ok(cursor)
        } else {
            Err(SearchError::ForeignCursor)
        }
    }
}
