//! Answers that are not problems.

use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use model::Height;
use serde::Serialize;
use utoipa::ToSchema;

use super::problem::{Code, Problem};

/// One page of a list.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Page<T> {
    /// The page's items.
    pub(crate) items: Vec<T>,
    /// Send it as `cursor` for the next page, to any node; null at the end.
    pub(crate) next_cursor: Option<String>,
    /// The height at which the list was read.
    pub(crate) as_of: u64,
}

impl<T> Page<T> {
    /// A list that is never long enough to be parted.
    pub(crate) fn whole(items: Vec<T>, as_of: Height) -> Self {
        Self {
            items,
            next_cursor: None,
            as_of: as_of.0,
        }
    }
}

/// A JSON answer.
pub(crate) fn json<T: Serialize>(status: StatusCode, value: &T) -> Response {
    let body = serde_json::to_vec(value).expect("our answers have no maps with odd keys");
    json_text(status, body)
}

/// An answer that is JSON already.
pub(crate) fn json_text(status: StatusCode, body: impl Into<axum::body::Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// A metadata answer that the client may keep and ask about again by its tag.
pub(crate) fn tagged(mut response: Response, etag: HeaderValue) -> Response {
    let headers = response.headers_mut();
    headers.insert(ETAG, etag);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    response
}

/// "You have it already."
pub(crate) fn not_modified(etag: HeaderValue) -> Response {
    tagged(StatusCode::NOT_MODIFIED.into_response(), etag)
}

/// An answer with one more header.
pub(crate) fn with(mut response: Response, name: HeaderName, value: &str) -> Response {
    let value = HeaderValue::try_from(value).expect("made of ids and numbers");
    response.headers_mut().insert(name, value);
    response
}

/// Two numbers as an opaque cursor, the same on every node.
pub(crate) fn write_cursor(height: u64, index: u32) -> String {
    URL_SAFE_NO_PAD.encode([&height.to_be_bytes()[..], &index.to_be_bytes()[..]].concat())
}

/// The numbers in a cursor of ours.
pub(crate) fn read_cursor(text: &str) -> Result<(u64, u32), Problem> {
    let read = || {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (height, rest) = bytes.split_first_chunk::<8>()?;
        let index: [u8; 4] = rest.try_into().ok()?;
        Some((u64::from_be_bytes(*height), u32::from_be_bytes(index)))
    };
    read().ok_or_else(|| Problem::new(Code::InvalidCursor, "the cursor is not one of this list"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_are_read_back() {
        assert_eq!(read_cursor(&write_cursor(7, 9)).unwrap(), (7, 9));
        for text in ["", "7", "AAAA", "*"] {
            assert_eq!(
                read_cursor(text).unwrap_err().code(),
                Code::InvalidCursor,
                "{text}"
            );
        }
    }
}
