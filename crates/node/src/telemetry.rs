//! Traces: which request caused what, and how long each part took.
//!
//! Every request has a trace id. A client may send one (`traceparent`, W3C Trace Context); otherwise one is drawn.
//! It stands in every log line that the request causes, as `trace.id`.
//!
//! Built with the feature `otel`, a node also sends its spans to an OpenTelemetry collector over OTLP. Where the
//! collector is and what is sampled is said by the standard variables: `OTEL_EXPORTER_OTLP_ENDPOINT`,
//! `OTEL_TRACES_SAMPLER`, `OTEL_RESOURCE_ATTRIBUTES` and so on. Without an endpoint nothing is sent.

use axum::http::HeaderMap;
use tracing::Span;

#[cfg(feature = "otel")]
mod export;

#[cfg(feature = "otel")]
pub(crate) use self::export::{Exporter, layer, request_span};

/// What a client says about the trace that its request is part of.
const TRACEPARENT: &str = "traceparent";

/// A request's place in a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Parent {
    trace: u128,
    span: u64,
    flags: u8,
}

impl Parent {
    /// Of the header's text: `00-<32 hex>-<16 hex>-<2 hex>`, and neither id zero. Later versions may add parts.
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.trim().split('-');
        let (version, trace, span, flags) =
            (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let version = hex(version, 2)?;
        if version == 0xff || (version == 0 && parts.next().is_some()) {
            return None;
        }
        let parent = Self {
            trace: hex(trace, 32)?,
            span: u64::try_from(hex(span, 16)?).ok()?,
            flags: u8::try_from(hex(flags, 2)?).ok()?,
        };
        (parent.trace != 0 && parent.span != 0).then_some(parent)
    }

    fn of(headers: &HeaderMap) -> Option<Self> {
        headers
            .get(TRACEPARENT)?
            .to_str()
            .ok()
            .and_then(Self::parse)
    }
}

/// Lower-case hex digits, so many.
fn hex(text: &str, digits: usize) -> Option<u128> {
    let right = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let whole = text.len() == digits && text.bytes().all(right);
    whole.then(|| u128::from_str_radix(text, 16).ok()).flatten()
}

/// The span of a request, in which everything belongs that it causes.
#[cfg(not(feature = "otel"))]
pub(crate) fn request_span(method: &str, path: &str) -> Span {
    tracing::info_span!(
        "request",
        trace.id = tracing::field::Empty,
        http.request.method = method,
        url.path = path,
    )
}

/// Gives a request's span its place in a trace and notes the trace's id in the field `trace.id`.
pub(crate) fn begin_request(span: &Span, headers: &HeaderMap, method: &str, route: &str) {
    if span.is_disabled() {
        return;
    }
    let parent = Parent::of(headers);
    #[cfg(feature = "otel")]
    let exported = export::begin_request(span, parent, method, route);
    #[cfg(not(feature = "otel"))]
    let exported = {
        // They are told to a collector, and there is none.
        let _ = (
            method,
            route,
            parent.map(|parent| (parent.span, parent.flags)),
        );
        None
    };
    let given = || parent.map(|parent| parent.trace);
    let Some(trace) = exported.or_else(given).or_else(drawn) else {
        return;
    };
    span.record(
        "trace.id",
        tracing::field::display(format_args!("{trace:032x}")),
    );
}

/// Notes how a request was answered.
pub(crate) fn end_request(span: &Span, status: u16) {
    #[cfg(feature = "otel")]
    export::end_request(span, status);
    #[cfg(not(feature = "otel"))]
    let _ = (span, status);
}

fn drawn() -> Option<u128> {
    let mut bytes = [0; 16];
    // A request without an id is still answered.
    getrandom::fill(&mut bytes).ok()?;
    Some(u128::from_be_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_in_a_trace_is_read_if_it_is_one() {
        let text = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let parent = Parent::parse(text).unwrap();
        assert_eq!(parent.trace, 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c);
        assert_eq!((parent.span, parent.flags), (0xb7ad_6b71_6920_3331, 1));
        assert!(
            Parent::parse(&text.replace("00-0a", "cc-0a").replace("-01", "-01-more")).is_some()
        );
        for wrong in [
            "",
            "00",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-+af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
        ] {
            assert_eq!(Parent::parse(wrong), None, "{wrong}");
        }
    }
}
