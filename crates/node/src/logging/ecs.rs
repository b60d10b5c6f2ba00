//! Lines in the Elastic Common Schema.
//!
//! A line has `@timestamp`, `log.level` and `message` first, as the schema's logging specification wants, then what is
//! the same in every line, then the fields of the spans around the event, then its own. Fields whose name has a dot
//! are the schema's own (`http.request.method`, `trace.id`); an `error` is `error.message`; all others are ours and
//! stand below `starling.`, where the schema promises to put nothing.

use std::fmt::{Debug, Write as _};
use std::io::Write as _;

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

/// The version of the schema that is spoken.
const ECS_VERSION: &str = "8.11.0";

/// Writes every event as a line.
pub(super) struct Ecs<W> {
    node: String,
    writer: W,
}

impl<W> Ecs<W> {
    /// For the node of this name.
    pub(super) fn new(node: &str, writer: W) -> Self {
        Self {
            node: node.to_owned(),
            writer,
        }
    }

    /// The schema wants three fields to stand first, for people who read over it.
    fn line(&self, event: &Event<'_>, around: Vec<Map<String, Value>>) -> String {
        let mut own = Fields::default();
        event.record(&mut own);
        let metadata = event.metadata();
        let message = own.0.remove("message").unwrap_or_else(|| "".into());
        let mut rest = Map::new();
        let mut put = |name: &str, value: Value| rest.insert(name.to_owned(), value);
        put("ecs.version", ECS_VERSION.into());
        put("log.logger", metadata.target().into());
        put("service.name", "starling".into());
        put("service.version", env!("CARGO_PKG_VERSION").into());
        put("service.node.name", self.node.as_str().into());
        put("process.pid", std::process::id().into());
        let thread = std::thread::current();
        put("process.thread.name", thread.name().into());
        for fields in around {
            rest.extend(fields);
        }
        rest.extend(own.0);
        let rest = Value::Object(rest).to_string();
        let rest = rest.strip_prefix('{').unwrap_or_default();
        let (time, level) = (now(), level(*metadata.level()));
        format!(
            "{{\"@timestamp\":\"{time}\",\"log.level\":\"{level}\",\"message\":{message},{rest}\n"
        )
    }
}

impl<S, W> Layer<S> for Ecs<W>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    W: for<'writer> MakeWriter<'writer> + 'static,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(fields);
        }
    }

    fn on_record(&self, id: &Id, record: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(fields) = span.extensions_mut().get_mut::<Fields>() {
            record.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let scope = context.event_scope(event);
        let spans = scope.into_iter().flat_map(|scope| scope.from_root());
        let around = spans.filter_map(|span| Some(span.extensions().get::<Fields>()?.0.clone()));
        let line = self.line(event, around.collect());
        // There is nowhere left to say that the log cannot be written.
        let _ = self
            .writer
            .make_writer_for(event.metadata())
            .write_all(line.as_bytes());
    }
}

/// Fields under their names in the schema.
#[derive(Debug, Default)]
struct Fields(Map<String, Value>);

impl Fields {
    fn put(&mut self, field: &Field, value: Value) {
        let name = match field.name() {
            "message" => "message".to_owned(),
            "error" => "error.message".to_owned(),
            // Where the code is, and what only exporters of traces need to know.
            name if name.starts_with("log.") || name.starts_with("otel.") => return,
            name if name.contains('.') => name.to_owned(),
            name => format!("starling.{name}"),
        };
        self.0.insert(name, value);
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let mut text = String::new();
        // A value that cannot be shown leaves as much as there is.
        let _ = write!(text, "{value:?}");
        self.put(field, text.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }
}

fn level(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        Level::DEBUG => "debug",
        Level::TRACE => "trace",
    }
}

/// In RFC 3339, UTC, with microseconds.
fn now() -> String {
    let mut text = String::new();
    // Writing into memory does not fail.
    let _ = SystemTime.format_time(&mut Writer::new(&mut text));
    text
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use tracing::{debug, error, info_span};
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[derive(Clone, Default)]
    struct Memory(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Memory {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What is logged meanwhile.
    fn logged(work: impl FnOnce()) -> Vec<Value> {
        let memory = Memory::default();
        let writer = memory.clone();
        let ecs = Ecs::new("n1", move || writer.clone());
        let subscriber = tracing_subscriber::registry().with(ecs);
        tracing::subscriber::with_default(subscriber, work);
        let bytes = memory.0.lock().unwrap().clone();
        let lines = String::from_utf8(bytes).unwrap();
        lines
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    #[test]
    fn a_line_is_an_object_of_the_schema() {
        let lines = logged(|| {
            let cause = io::Error::other("no\n\"room\"");
            error!(error = %cause, height = 7, ok = true, "it failed");
        });
        let [line] = lines.as_slice() else {
            panic!("{lines:?}")
        };
        for (name, value) in [
            ("log.level", "error".into()),
            ("message", "it failed".into()),
            ("ecs.version", ECS_VERSION.into()),
            ("service.name", "starling".into()),
            ("service.node.name", "n1".into()),
            ("error.message", "no\n\"room\"".into()),
            ("starling.height", 7.into()),
            ("starling.ok", Value::Bool(true)),
        ] {
            assert_eq!(line[name], value, "{name} in {line}");
        }
        let time = line["@timestamp"].as_str().unwrap();
        assert!(
            time.ends_with('Z') && time.contains('T') && time.len() == 27,
            "{time}"
        );
    }

    #[test]
    fn an_event_carries_what_is_known_around_it() {
        let lines = logged(|| {
            let request = info_span!("request", trace.id = tracing::field::Empty, url.path = "/x");
            request.record("trace.id", "0af7");
            let _request = request.enter();
            let _inner = info_span!("inner", part = 2, otel.kind = "client").entered();
            debug!(http.response.status_code = 200, "answered");
        });
        let line = &lines[0];
        assert_eq!(line["trace.id"], "0af7");
        assert_eq!(line["url.path"], "/x");
        assert_eq!(line["starling.part"], 2);
        assert_eq!(line["http.response.status_code"], 200);
        assert_eq!(line.get("otel.kind"), None);
    }
}
