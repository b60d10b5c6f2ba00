//! Requests that depend on a version (RFC 9110, section 13).
//!
//! `"v7"` is the seventh version of a file's metadata, `"<sha256>"` names its bytes. Both are strong.

use axum::http::header::{IF_MATCH, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderValue};

use super::problem::{Code, Problem};

/// The entity tag of a file's metadata.
pub(crate) fn version_tag(version: u64) -> HeaderValue {
    HeaderValue::try_from(format!("\"v{version}\"")).expect("digits are visible ASCII")
}

/// Whether `If-None-Match` says that the client has `etag` already. The comparison is weak, as it is for reads.
pub(crate) fn client_has(headers: &HeaderMap, etag: &str) -> bool {
    tags(headers, &IF_NONE_MATCH).any(|tag| tag == "*" || tag.trim_start_matches("W/") == etag)
}

/// Whether `If-None-Match: *` says that the client wants to be the first.
pub(crate) fn must_be_new(headers: &HeaderMap) -> bool {
    tags(headers, &IF_NONE_MATCH).any(|tag| tag == "*")
}

/// Which version a change is meant for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expected {
    /// Whatever is there.
    Any,
    /// This one.
    Version(u64),
}

impl Expected {
    /// As a command carries it.
    pub(crate) fn version(self) -> Option<u64> {
        match self {
            Self::Any => None,
            Self::Version(version) => Some(version),
        }
    }

    /// What `If-Match` says; 428 if it says nothing.
    pub(crate) fn required(headers: &HeaderMap) -> Result<Self, Problem> {
        Self::given(headers)?.ok_or_else(|| {
            Problem::new(
                Code::PreconditionRequired,
                "send If-Match with the file's ETag, or * to change whatever is there",
            )
        })
    }

    /// What `If-Match` says, if it is there.
    pub(crate) fn given(headers: &HeaderMap) -> Result<Option<Self>, Problem> {
        let mut given = tags(headers, &IF_MATCH);
        let Some(tag) = given.next() else {
            return Ok(None);
        };
        if given.next().is_some() {
            return Err(Problem::header(&IF_MATCH, "one entity tag, or *"));
        }
        if tag == "*" {
            return Ok(Some(Self::Any));
        }
        if !is_entity_tag(tag) {
            return Err(Problem::header(
                &IF_MATCH,
                "an entity tag is quoted text such as \"v3\"",
            ));
        }
        // A tag that we never gave, or a weak one, is not the current one, whichever that is.
        let version = tag
            .strip_prefix("\"v")
            .and_then(|tag| tag.strip_suffix('"'));
        let version = version.filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
        version
            .and_then(|text| text.parse().ok())
            .map(|v| Some(Self::Version(v)))
            .ok_or_else(|| {
                Problem::new(
                    Code::StaleVersion,
                    format!("{tag} is not a version of this file"),
                )
            })
    }
}

fn is_entity_tag(text: &str) -> bool {
    let opaque = text.trim_start_matches("W/");
    opaque.len() >= 2 && opaque.starts_with('"') && opaque.ends_with('"')
}

/// The members of a list header. Our tags hold no commas, so a comma always separates.
fn tags<'a>(
    headers: &'a HeaderMap,
    name: &axum::http::HeaderName,
) -> impl Iterator<Item = &'a str> {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|tag| !tag.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &axum::http::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name.clone(), value.parse().unwrap())])
    }

    fn expected(value: &str) -> Result<Expected, Code> {
        Expected::required(&headers(&IF_MATCH, value)).map_err(|problem| problem.code())
    }

    #[test]
    fn if_match_names_a_version() {
        assert_eq!(expected("\"v3\""), Ok(Expected::Version(3)));
        assert_eq!(expected("*"), Ok(Expected::Any));
        assert_eq!(expected("W/\"v3\""), Err(Code::StaleVersion));
        assert_eq!(expected("\"abc\""), Err(Code::StaleVersion));
        assert_eq!(expected("v3"), Err(Code::InvalidHeader));
        assert_eq!(expected("\"v3\", \"v4\""), Err(Code::InvalidHeader));
        let missing = Expected::required(&HeaderMap::new()).map_err(|problem| problem.code());
        assert_eq!(missing, Err(Code::PreconditionRequired));
    }

    #[test]
    fn if_none_match_is_weak() {
        for value in ["\"v3\"", "W/\"v3\"", "\"v2\", \"v3\"", "*"] {
            assert!(
                client_has(&headers(&IF_NONE_MATCH, value), "\"v3\""),
                "{value}"
            );
        }
        assert!(!client_has(&headers(&IF_NONE_MATCH, "\"v2\""), "\"v3\""));
        assert!(!client_has(&HeaderMap::new(), "\"v3\""));
    }
}
