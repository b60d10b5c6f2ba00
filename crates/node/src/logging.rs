//! What a node writes to stderr: lines for people, or one JSON object a line in the Elastic Common Schema for programs.
//!
//! What may be logged is decided where something is said: names, heights, ids, routes. Tokens, keys, bodies, queries
//! and headers are never said, at no level.

mod ecs;

use std::io::{self, IsTerminal as _};

use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};
use tracing_subscriber::{EnvFilter, Layer};

use self::ecs::Ecs;

/// How lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One object a line, in the Elastic Common Schema.
    Json,
}

/// Why nothing can be logged as it was asked.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// What is to be logged cannot be read.
    #[error("{directives:?} does not say what is to be logged")]
    Filter {
        /// As it was given.
        directives: String,
        /// What the parser says.
        #[source]
        source: tracing_subscriber::filter::ParseError,
    },
    /// The collector of traces cannot be used.
    #[error("sending traces: {0}")]
    Traces(String),
    /// Something else logs already.
    #[error("starting to log")]
    Twice(#[source] TryInitError),
}

/// Writes the log for as long as it lives; at its end, what has been collected of traces is sent.
#[must_use]
pub struct Logging {
    #[cfg(feature = "otel")]
    _exporter: Option<crate::telemetry::Exporter>,
}

/// Starts to log what `directives` say, in the notation of `tracing`'s filters; `node` is the node's name. Call it
/// once, on a tokio runtime.
///
/// # Errors
/// If the directives cannot be read, or the environment names a collector of traces that cannot be used.
pub fn start(format: LogFormat, directives: &str, node: &str) -> Result<Logging, LoggingError> {
    let filter = EnvFilter::try_new(directives).map_err(|source| LoggingError::Filter {
        directives: directives.to_owned(),
        source,
    })?;
    let lines = match format {
        LogFormat::Text => tracing_subscriber::fmt::layer()
            .with_writer(io::stderr)
            .with_ansi(io::stderr().is_terminal())
            .boxed(),
        LogFormat::Json => Ecs::new(node, io::stderr).boxed(),
    };
    let subscriber = tracing_subscriber::registry().with(lines.with_filter(filter));
    #[cfg(feature = "otel")]
    {
        let traces = crate::telemetry::layer(node)
            .map_err(|error| LoggingError::Traces(error.to_string()))?;
        let (layer, exporter) = traces.unzip();
        let started = subscriber.with(layer).try_init();
        started.map_err(LoggingError::Twice)?;
        Ok(Logging {
            _exporter: exporter,
        })
    }
    #[cfg(not(feature = "otel"))]
    {
        subscriber.try_init().map_err(LoggingError::Twice)?;
        Ok(Logging {})
    }
}
