//! Sessions in browsers: the cookie that carries one, and the proof that a page of ours sent a request.
//!
//! A cookie comes along whoever made the browser send the request. So a request that changes something and has no other
//! credential must carry the header `Starling-Csrf`, whose value only a page that could read our answers knows; and if the
//! browser says where the page is from, it must be from here. The value is made from the session's secret, so every node
//! can tell it and none keeps it.

use axum::http::header::{AUTHORIZATION, COOKIE, HOST, ORIGIN};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Uri};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cookie::{Cookie, SameSite, time};
use model::Digest;

use super::auth::{self, Shown};
use super::limits::SESSION_LIFE;
use super::problem::{Code, Problem};

/// The header that proves it.
pub(crate) const CSRF: HeaderName = HeaderName::from_static("starling-csrf");
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The cookie's name where the connection is encrypted: browsers take it from nobody else, for this host alone.
const SECURE_NAME: &str = "__Host-starling";
/// Its name where it is not.
const PLAIN_NAME: &str = "starling";

/// What a request shows of who sent it.
#[derive(Debug, Clone)]
pub(crate) struct Presented {
    /// The token.
    pub(crate) shown: Shown,
    /// Of the token with its secret: what only the caller knows.
    pub(crate) caller: Digest,
    /// What has to be in the header, if the token came in a cookie.
    pub(crate) csrf: Option<String>,
}

impl Presented {
    /// What is in a request. A bearer token goes before a cookie. `secure` says whether connections are encrypted.
    pub(crate) fn of(headers: &HeaderMap, secure: bool) -> Result<Self, Problem> {
        let bearer = headers.contains_key(AUTHORIZATION);
        let text = if bearer {
            auth::text(headers).map(str::to_owned)
        } else {
            session(headers, secure)
        };
        let text = text.ok_or_else(auth::unauthenticated)?;
        let shown = Shown::parse(&text).ok_or_else(auth::unauthenticated)?;
        Ok(Self {
            shown,
            caller: Digest::of(&[b"starling/new-token/v1", text.as_bytes()]),
            csrf: (!bearer).then(|| csrf(&text)),
        })
    }

    /// Refuses a request that another site's page may have sent. `url` is what people type to come here.
    pub(crate) fn check(&self, parts: &Parts, url: &str) -> Result<(), Problem> {
        let Some(expected) = &self.csrf else {
            return Ok(());
        };
        if parts.method.is_safe() {
            return Ok(());
        }
        check_origin(&parts.headers, url)?;
        let given = parts.headers.get(&CSRF).map(HeaderValue::as_bytes);
        if given.is_some_and(|given| auth::same(&digest(given), &digest(expected.as_bytes()))) {
            return Ok(());
        }
        let detail =
            "a change by cookie needs the header Starling-Csrf with the csrf of /api/v1/me";
        Err(Problem::new(Code::CsrfFailed, detail))
    }
}

fn digest(bytes: &[u8]) -> Digest {
    Digest::of(&[bytes])
}

/// Refuses what a browser says comes from a page of another site.
pub(crate) fn check_origin(headers: &HeaderMap, url: &str) -> Result<(), Problem> {
    let foreign = || {
        let detail = "the page that sent this is not of this site";
        Problem::new(Code::CsrfFailed, detail)
    };
    if let Some(site) = headers.get(&FETCH_SITE)
        && !matches!(site.as_bytes(), b"same-origin" | b"none")
    {
        return Err(foreign());
    }
    let Some(origin) = headers.get(ORIGIN) else {
        return Ok(());
    };
    let origin = authority(origin.to_str().unwrap_or_default());
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let ours = [host.map(str::to_ascii_lowercase), authority(url)];
    if origin.is_some() && ours.contains(&origin) {
        return Ok(());
    }
    Err(foreign())
}

/// Host and port of a URL.
fn authority(url: &str) -> Option<String> {
    let url: Uri = url.parse().ok()?;
    Some(url.authority()?.as_str().to_ascii_lowercase())
}

/// What has to be in the header beside this session.
pub(crate) fn csrf(session: &str) -> String {
    let digest = Digest::of(&[b"starling/csrf/v1", session.as_bytes()]);
    URL_SAFE_NO_PAD.encode(digest.as_bytes())
}

fn name(secure: bool) -> &'static str {
    if secure { SECURE_NAME } else { PLAIN_NAME }
}

/// The session in a request's cookies.
fn session(headers: &HeaderMap, secure: bool) -> Option<String> {
    let texts = headers.get_all(COOKIE).iter();
    let texts = texts.filter_map(|text| text.to_str().ok());
    let mut cookies = texts.flat_map(Cookie::split_parse).filter_map(Result::ok);
    let ours = cookies.find(|cookie| cookie.name() == name(secure))?;
    Some(ours.value().to_owned())
}

/// Has a browser keep a session.
pub(crate) fn keep(session: &str, secure: bool) -> HeaderValue {
    let life = time::Duration::seconds(SESSION_LIFE.as_secs().cast_signed());
    write(session, secure, life)
}

/// Has a browser forget it.
pub(crate) fn forget(secure: bool) -> HeaderValue {
    write("", secure, time::Duration::ZERO)
}

fn write(value: &str, secure: bool, life: time::Duration) -> HeaderValue {
    let cookie = Cookie::build((name(secure), value))
        .path("/")
        .http_only(true)
        .secure(secure)
        .same_site(SameSite::Strict)
        .max_age(life);
    HeaderValue::try_from(cookie.to_string()).expect("a token is visible ASCII")
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::{Method, Request};

    const SESSION: &str = "stl_00112233445566ff_abc-d";
    const URL: &str = "https://nas.example:7700";

    fn parts(method: Method, headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder().method(method);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn presented(headers: &[(&str, &str)], secure: bool) -> Option<Presented> {
        Presented::of(&parts(Method::GET, headers).headers, secure).ok()
    }

    #[test]
    fn the_cookie_of_this_kind_of_connection_counts_and_a_bearer_token_more() {
        let cookies = format!("theme=dark; __Host-starling={SESSION}; starling=stl_x_y");
        let found = presented(&[("cookie", &cookies)], true).unwrap();
        assert_eq!(found.shown.id.to_string(), "00112233445566ff");
        assert!(found.csrf.is_some());
        assert!(presented(&[("cookie", &cookies)], false).is_none());
        let plain = format!("starling={SESSION}");
        assert!(presented(&[("cookie", "a=b"), ("cookie", &plain)], false).is_some());
        assert!(presented(&[("cookie", &plain)], true).is_none());
        let bearer = "Bearer stl_ffeeddccbbaa0099_s";
        let both = presented(&[("cookie", &plain), ("authorization", bearer)], false).unwrap();
        assert_eq!(both.shown.id.to_string(), "ffeeddccbbaa0099");
        assert_eq!(both.csrf, None);
        let broken = [("cookie", plain.as_str()), ("authorization", "Basic x")];
        assert!(presented(&broken, false).is_none(), "it is not passed over");
    }

    #[test]
    fn no_cookie_text_is_too_odd_to_be_read() {
        for odd in [
            "",
            ";;;=;=",
            "starling",
            "starling=",
            "=x",
            "starling==;",
            "starling=\"",
            "starling=stl_",
            "a=b;starling=%",
        ] {
            assert!(presented(&[("cookie", odd)], false).is_none(), "{odd}");
        }
        let mut random = 5_u64;
        for _ in 0..2000 {
            let pieces = [
                "starling", "=", ";", " ", "\"", SESSION, "__Host-", ",", "\\", "%3D",
            ];
            let mut text = String::new();
            for _ in 0..8 {
                random = random
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                text += pieces[usize::try_from(random >> 40).unwrap() % pieces.len()];
            }
            let found = presented(&[("cookie", &text)], false);
            assert!(found.is_none() || text.contains(SESSION), "{text}");
        }
    }

    #[test]
    fn a_change_by_cookie_proves_that_our_page_sent_it() {
        let plain = format!("starling={SESSION}");
        let secret = csrf(SESSION);
        let checked = |method: Method, more: &[(&str, &str)]| {
            let mut headers = vec![("cookie", plain.as_str()), ("host", "nas.example:7700")];
            headers.extend(more);
            let parts = parts(method, &headers);
            Presented::of(&parts.headers, false)
                .unwrap()
                .check(&parts, URL)
                .is_ok()
        };
        assert!(checked(Method::GET, &[]), "it changes nothing");
        assert!(!checked(Method::POST, &[]));
        assert!(!checked(Method::DELETE, &[("starling-csrf", "wrong")]));
        assert!(!checked(Method::POST, &[("starling-csrf", "")]));
        let right = ("starling-csrf", secret.as_str());
        assert!(checked(Method::POST, &[right]));
        assert!(checked(
            Method::POST,
            &[right, ("origin", "https://nas.example:7700")]
        ));
        assert!(checked(
            Method::POST,
            &[right, ("origin", URL), ("sec-fetch-site", "same-origin")]
        ));
        for foreign in [
            "https://evil.example",
            "null",
            "",
            "https://nas.example",
            "http://nas.example.evil:7700",
        ] {
            assert!(
                !checked(Method::POST, &[right, ("origin", foreign)]),
                "{foreign}"
            );
        }
        for site in ["cross-site", "same-site", "odd"] {
            assert!(
                !checked(Method::POST, &[right, ("sec-fetch-site", site)]),
                "{site}"
            );
        }
        let bearer = parts(
            Method::POST,
            &[("authorization", &format!("Bearer {SESSION}"))],
        );
        let found = Presented::of(&bearer.headers, false).unwrap();
        assert!(
            found.check(&bearer, URL).is_ok(),
            "no browser adds it by itself"
        );
    }

    #[test]
    fn a_cookie_goes_to_this_host_alone_and_to_no_script() {
        assert_eq!(
            keep(SESSION, true),
            format!(
                "__Host-starling={SESSION}; HttpOnly; SameSite=Strict; Secure; Path=/; Max-Age=2592000"
            )
        );
        assert_eq!(
            keep(SESSION, false)
                .to_str()
                .unwrap()
                .matches("Secure")
                .count(),
            0
        );
        assert_eq!(
            forget(true),
            "__Host-starling=; HttpOnly; SameSite=Strict; Secure; Path=/; Max-Age=0"
        );
    }
}
