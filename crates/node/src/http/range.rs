//! Parts of a body (RFC 9110, section 14).
//!
//! One range per request: a list of ranges, another unit or a malformed header is ignored, as the RFC allows, and the
//! whole is sent.

use axum::http::header::{IF_RANGE, RANGE};
use axum::http::{HeaderMap, HeaderValue, Method};

/// Which bytes to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Selection {
    /// All of them.
    Whole,
    /// Some of them.
    Part(Span),
    /// None: the range begins behind the end.
    Unsatisfiable,
}

/// A run of bytes that is not empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    /// The first byte's offset.
    pub(crate) start: u64,
    /// How many bytes; at least 1.
    pub(crate) length: u64,
}

impl Span {
    /// `Content-Range` of this part of `size` bytes.
    pub(crate) fn content_range(self, size: u64) -> HeaderValue {
        let last = self.start + self.length - 1;
        HeaderValue::try_from(format!("bytes {}-{last}/{size}", self.start))
            .expect("digits are visible ASCII")
    }
}

impl Selection {
    /// What a request for `size` bytes under the entity tag `etag` asks for.
    pub(crate) fn of(method: &Method, headers: &HeaderMap, etag: &str, size: u64) -> Self {
        let Some(range) = headers.get(RANGE).filter(|_| method == Method::GET) else {
            return Self::Whole;
        };
        let current = headers
            .get(IF_RANGE)
            .is_none_or(|tag| tag.as_bytes() == etag.as_bytes());
        if current {
            parse(range, size).unwrap_or(Self::Whole)
        } else {
            Self::Whole
        }
    }
}

fn parse(range: &HeaderValue, size: u64) -> Option<Selection> {
    let (unit, spec) = range.to_str().ok()?.split_once('=')?;
    let (first, last) = spec.trim().split_once('-')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    if first.is_empty() {
        let length = number(last)?.min(size);
        return Some(span(size - length, length));
    }
    let first = number(first)?;
    let last = if last.is_empty() {
        u64::MAX
    } else {
        number(last)?
    };
    if last < first {
        return None;
    }
    let end = last.saturating_add(1).min(size);
    Some(span(first, end.saturating_sub(first)))
}

fn span(start: u64, length: u64) -> Selection {
    if length == 0 {
        Selection::Unsatisfiable
    } else {
        Selection::Part(Span { start, length })
    }
}

/// Digits only; a number too large for us is as good as infinity.
fn number(text: &str) -> Option<u64> {
    let valid = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    valid.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn select(range: &str, size: u64) -> Selection {
        let mut headers = HeaderMap::new();
        headers.insert(RANGE, range.parse().unwrap());
        Selection::of(&Method::GET, &headers, "\"e\"", size)
    }

    fn part(start: u64, length: u64) -> Selection {
        Selection::Part(Span { start, length })
    }

    #[test]
    fn single_ranges() {
        assert_eq!(select("bytes=0-0", 10), part(0, 1));
        assert_eq!(select("bytes=2-5", 10), part(2, 4));
        assert_eq!(select("bytes=2-", 10), part(2, 8));
        assert_eq!(select("bytes=-3", 10), part(7, 3));
        assert_eq!(select("bytes=-30", 10), part(0, 10));
        assert_eq!(select("bytes=9-99999999999999999999999", 10), part(9, 1));
        assert_eq!(select("Bytes=0-1", 10), part(0, 2));
    }

    #[test]
    fn ranges_behind_the_end() {
        assert_eq!(select("bytes=10-", 10), Selection::Unsatisfiable);
        assert_eq!(select("bytes=10-12", 10), Selection::Unsatisfiable);
        assert_eq!(select("bytes=-0", 10), Selection::Unsatisfiable);
        assert_eq!(select("bytes=0-", 0), Selection::Unsatisfiable);
        assert_eq!(select("bytes=-1", 0), Selection::Unsatisfiable);
    }

    #[test]
    fn what_is_not_one_range_of_bytes_is_ignored() {
        for range in [
            "bytes=0-1,3-4",
            "bytes=5-2",
            "bytes=",
            "bytes=-",
            "bytes=a-b",
            "lines=0-1",
            "0-1",
        ] {
            assert_eq!(select(range, 10), Selection::Whole, "{range}");
        }
    }

    #[test]
    fn a_part_of_another_version_is_not_mixed_in() {
        let mut headers = HeaderMap::new();
        headers.insert(RANGE, "bytes=0-1".parse().unwrap());
        headers.insert(IF_RANGE, "\"other\"".parse().unwrap());
        assert_eq!(
            Selection::of(&Method::GET, &headers, "\"e\"", 10),
            Selection::Whole
        );
        headers.insert(IF_RANGE, "\"e\"".parse().unwrap());
        assert_eq!(
            Selection::of(&Method::GET, &headers, "\"e\"", 10),
            part(0, 2)
        );
    }

    #[test]
    fn the_header_of_a_part() {
        assert_eq!(
            Span {
                start: 2,
                length: 4
            }
            .content_range(10),
            "bytes 2-5/10"
        );
    }
}
