//! Spans on their way to a collector.

use std::time::Duration;

use opentelemetry::trace::{
    SpanContext, SpanId, Status, TraceContextExt as _, TraceFlags, TraceId, TraceState,
    TracerProvider as _,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::{Level, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::registry::LookupSpan;

use super::Parent;

/// How long a node that stops waits for its last spans to leave.
const LAST_SPANS: Duration = Duration::from_secs(2);
/// Where a collector may be named; nothing is sent if none is.
const ENDPOINTS: [&str; 2] = [
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
];

/// What the service is called, if not by its own name.
const SERVICE_NAME: &str = "OTEL_SERVICE_NAME";

/// Sends what has been collected when it is dropped.
pub(crate) struct Exporter(SdkTracerProvider);

impl Drop for Exporter {
    fn drop(&mut self) {
        // The log is at its end; whoever looks for the last spans looks at the collector.
        let _ = self.0.shutdown_with_timeout(LAST_SPANS);
    }
}

/// Collects spans of the node's own code for the collector that the environment names, if it names one. Needs a tokio
/// runtime.
///
/// # Errors
/// If the endpoint cannot be used.
pub(crate) fn layer<S>(
    node: &str,
) -> Result<
    Option<(impl Layer<S> + Send + Sync + use<S>, Exporter)>,
    opentelemetry_otlp::ExporterBuildError,
>
where
    S: tracing::Subscriber + for<'span> LookupSpan<'span> + Send + Sync,
{
    if ENDPOINTS
        .iter()
        .all(|name| std::env::var_os(name).is_none())
    {
        return Ok(None);
    }
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_tonic()
        .build()?;
    let mut resource = Resource::builder()
        .with_attribute(KeyValue::new("service.instance.id", node.to_owned()))
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
    if std::env::var_os(SERVICE_NAME).is_none() {
        resource = resource.with_service_name("starling");
    }
    let resource = resource.build();
    let provider = SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_resource(resource)
        .build();
    Ok(Some((collecting(&provider), Exporter(provider))))
}

/// Collects the spans of the node's own code.
fn collecting<S>(provider: &SdkTracerProvider) -> impl Layer<S> + Send + Sync + use<S>
where
    S: tracing::Subscriber + for<'span> LookupSpan<'span> + Send + Sync,
{
    tracing_opentelemetry::layer()
        .with_tracer(provider.tracer("starling"))
        .with_filter(Targets::new().with_target("node", Level::DEBUG))
}

/// The span of a request, known to collectors as a server's.
pub(crate) fn request_span(method: &str, path: &str) -> Span {
    tracing::info_span!(
        "request",
        otel.kind = "server",
        trace.id = tracing::field::Empty,
        http.request.method = method,
        url.path = path,
    )
}

/// Puts a request's span below its client's; gives the trace's id, if the span is collected.
pub(super) fn begin_request(
    span: &Span,
    parent: Option<Parent>,
    method: &str,
    route: &str,
) -> Option<u128> {
    if let Some(parent) = parent {
        let parent = SpanContext::new(
            TraceId::from(parent.trace),
            SpanId::from(parent.span),
            TraceFlags::new(parent.flags),
            true,
            TraceState::default(),
        );
        // Without a collector there is nothing that could have a parent.
        let _ = span.set_parent(Context::new().with_remote_span_context(parent));
    }
    span.set_attribute("http.route", route.to_owned());
    let context = span.context();
    let collected = context.span();
    collected.update_name(format!("{method} {route}"));
    let id = collected.span_context().trace_id();
    (id != TraceId::INVALID).then(|| u128::from_be_bytes(id.to_bytes()))
}

/// Notes how a request was answered.
pub(super) fn end_request(span: &Span, status: u16) {
    span.set_attribute("http.response.status_code", i64::from(status));
    if status >= 500 {
        span.set_status(Status::error(""));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use axum::http::HeaderMap;
    use opentelemetry_sdk::error::OTelSdkResult;
    use opentelemetry_sdk::trace::{SpanData, SpanExporter};
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[derive(Debug, Clone, Default)]
    struct Memory(Arc<Mutex<Vec<SpanData>>>);

    impl SpanExporter for Memory {
        async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
            self.0.lock().unwrap().extend(batch);
            Ok(())
        }
    }

    #[test]
    fn a_request_is_a_span_below_its_clients_with_what_it_caused_below_it() {
        let memory = Memory::default();
        let provider = SdkTracerProvider::builder()
            .with_simple_exporter(memory.clone())
            .build();
        let subscriber = tracing_subscriber::registry().with(collecting(&provider));
        tracing::subscriber::with_default(subscriber, || {
            let mut headers = HeaderMap::new();
            let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
            headers.insert("traceparent", parent.parse().unwrap());
            let span = request_span("POST", "/api/v1/records");
            crate::telemetry::begin_request(&span, &headers, "POST", "/api/v1/records");
            span.in_scope(|| drop(tracing::debug_span!("decide").entered()));
            end_request(&span, 503);
        });
        let spans = memory.0.lock().unwrap().clone();
        let [decide, request] = spans.as_slice() else {
            panic!("{spans:?}")
        };
        assert_eq!(
            (&*decide.name, &*request.name),
            ("decide", "POST /api/v1/records")
        );
        let trace = request.span_context.trace_id();
        assert_eq!(trace.to_string(), "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(decide.span_context.trace_id(), trace);
        assert_eq!(request.parent_span_id.to_string(), "b7ad6b7169203331");
        assert_eq!(decide.parent_span_id, request.span_context.span_id());
        assert_eq!(request.span_kind, opentelemetry::trace::SpanKind::Server);
        assert!(matches!(request.status, Status::Error { .. }));
        let said = |name: &str| {
            request
                .attributes
                .iter()
                .any(|pair| pair.key.as_str() == name)
        };
        assert!(said("http.route") && said("http.response.status_code") && said("url.path"));
    }
}
