//! What is noted of every request: a span, numbers, and a line in the log. Never its query, its headers or its body:
//! they may hold secrets, and what people search for is theirs.

use std::borrow::Cow;
use std::time::Instant;

use axum::extract::{MatchedPath, Request};
use axum::http::{Method, StatusCode};
use tracing::{Span, debug, info};

use crate::metrics::{HttpMetrics, seconds};
use crate::telemetry;

/// The route of a path that does not exist.
const NO_ROUTE: &str = "none";
/// What is kept of a path in the log.
const PATH_CHARACTERS_MAX: usize = 200;
/// What tokens begin with: one that was pasted into a path by mistake is not logged.
const TOKEN_PREFIX: &str = "stl_";

/// A request under way. Dropped unfinished, its client has left.
pub(super) struct Watched {
    method: &'static str,
    route: Option<MatchedPath>,
    begun: Instant,
    metrics: HttpMetrics,
    span: Span,
}

impl Watched {
    /// From here on the request is under way.
    pub(super) fn begin(metrics: &HttpMetrics, request: &Request) -> Self {
        metrics.in_flight.inc();
        let route = request.extensions().get::<MatchedPath>().cloned();
        let method = method(request.method());
        let span = telemetry::request_span(method, &shown(request.uri().path()));
        let watched = Self {
            method,
            route,
            begun: Instant::now(),
            metrics: metrics.clone(),
            span,
        };
        telemetry::begin_request(&watched.span, request.headers(), method, watched.route());
        watched
    }

    /// In which everything belongs that the request causes.
    pub(super) fn span(&self) -> Span {
        self.span.clone()
    }

    /// The answer begins.
    pub(super) fn answered(self, status: StatusCode) {
        let (route, took) = (self.route(), self.begun.elapsed());
        let labels = [self.method, route, class(status)];
        self.metrics.requests.with_label_values(&labels).inc();
        let duration = self
            .metrics
            .duration
            .with_label_values(&[self.method, route]);
        duration.observe(seconds(took));
        telemetry::end_request(&self.span, status.as_u16());
        let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let code = status.as_u16();
        let _inside = self.span.enter();
        if status.is_server_error() {
            info!(
                http.response.status_code = code,
                http.route = route,
                event.duration = nanoseconds,
                "request failed"
            );
        } else {
            debug!(
                http.response.status_code = code,
                http.route = route,
                event.duration = nanoseconds,
                "request answered"
            );
        }
    }

    fn route(&self) -> &str {
        self.route.as_ref().map_or(NO_ROUTE, MatchedPath::as_str)
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.metrics.in_flight.dec();
    }
}

/// Of the methods that exist; a client cannot make up new ones.
fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "OTHER",
    }
}

fn class(status: StatusCode) -> &'static str {
    match status.as_u16() {
        ..200 => "1xx",
        200..300 => "2xx",
        300..400 => "3xx",
        400..500 => "4xx",
        500.. => "5xx",
    }
}

/// A path as it may stand in a log.
fn shown(path: &str) -> Cow<'_, str> {
    if path.len() <= PATH_CHARACTERS_MAX && !path.contains(TOKEN_PREFIX) {
        return Cow::Borrowed(path);
    }
    let segments = path
        .split('/')
        .map(|segment| match segment.find(TOKEN_PREFIX) {
            Some(at) => format!("{}{TOKEN_PREFIX}…", segment.get(..at).unwrap_or_default()),
            None => segment.to_owned(),
        });
    let path = segments.collect::<Vec<_>>().join("/");
    Cow::Owned(path.chars().take(PATH_CHARACTERS_MAX).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_in_a_path_is_not_shown() {
        assert_eq!(shown("/api/v1/files/abc"), "/api/v1/files/abc");
        assert_eq!(shown("/api/stl_00112233445566ff_secret/x"), "/api/stl_…/x");
        assert_eq!(shown("/Bearer%20stl_00_secret"), "/Bearer%20stl_…");
        assert_eq!(shown(&"/x".repeat(500)).len(), PATH_CHARACTERS_MAX);
    }

    #[test]
    fn labels_take_few_values() {
        let made_up = Method::from_bytes(b"BREW").unwrap();
        assert_eq!(method(&made_up), "OTHER");
        assert_eq!(class(StatusCode::NOT_FOUND), "4xx");
        assert_eq!(class(StatusCode::from_u16(999).unwrap()), "5xx");
    }
}
