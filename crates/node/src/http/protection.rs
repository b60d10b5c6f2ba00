//! What every answer tells a browser, so that nothing it shows can act in the name of whoever looks at it.
//!
//! Data is no page: it may load nothing, run nothing, and be put into no frame. The documentation is a page and may use what
//! comes from this node. An original says more about itself (see [`super::content`]). There is no `Strict-Transport-Security`:
//! it would bind every other port of the same host for a year, and a node's own port speaks either TLS or plain HTTP, never
//! both, so there is nothing to come down to.

use axum::http::header::{
    CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue};

/// Of everything that is no page.
const DATA: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
);
/// Of the documentation, which styles its elements one by one and has small pictures within.
const PAGE: HeaderValue = HeaderValue::from_static(
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
     frame-ancestors 'none'; base-uri 'none'; form-action 'none'; object-src 'none'",
);
const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// Adds what an answer does not say itself.
pub(super) fn protect(headers: &mut HeaderMap, path: &str) {
    let policy = if path == "/docs" || path.starts_with("/docs/") {
        PAGE
    } else {
        DATA
    };
    let same_origin = HeaderValue::from_static("same-origin");
    for (name, value) in [
        (CONTENT_SECURITY_POLICY, policy),
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
        (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (OPENER_POLICY, same_origin.clone()),
        (RESOURCE_POLICY, same_origin),
    ] {
        headers.entry(name).or_insert(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(path: &str, own: Option<&'static str>) -> String {
        let mut headers = HeaderMap::new();
        if let Some(own) = own {
            headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(own));
        }
        protect(&mut headers, path);
        headers[CONTENT_SECURITY_POLICY]
            .to_str()
            .unwrap()
            .to_owned()
    }

    #[test]
    fn data_may_nothing_and_the_documentation_what_is_from_here() {
        assert!(policy("/api/v1/me", None).starts_with("default-src 'none'"));
        assert!(policy("/docs/", None).starts_with("default-src 'self'"));
        assert!(policy("/docsx", None).starts_with("default-src 'none'"));
        assert_eq!(
            policy("/api/v1/files/x/content", Some("sandbox")),
            "sandbox"
        );
        assert!(
            !policy("/docs/", None).contains("script-src"),
            "no script within a page"
        );
    }
}
