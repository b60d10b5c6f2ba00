//! `starling serve`: one node, until it is asked to stop.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::builder::FalseyValueParser;
use node::config::{ConfigError, NodeConfig};
use node::logging::{self, Logging, LoggingError};
use tokio::signal::unix::{SignalKind, signal};

use crate::failure::Failure;

/// Runs one node.
#[derive(Debug, clap::Args)]
pub(crate) struct Serve {
    /// The node's configuration
    #[arg(long, env = "STARLING_CONFIG", value_name = "FILE")]
    config: PathBuf,

    /// Listen without TLS on an address that others can reach, because something in front encrypts
    #[arg(long, env = "STARLING_HTTP_INSECURE", value_parser = FalseyValueParser::new())]
    insecure_http: bool,

    /// How log lines are written to stderr; what is logged is set by STARLING_LOG, `info` by default
    #[arg(long, env = "STARLING_LOG_FORMAT", default_value = "text")]
    log_format: LogFormat,

    /// Stop when stdin ends, as it does when the parent process dies
    #[arg(long, hide = true)]
    exit_with_stdin: bool,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum LogFormat {
    /// For people
    Text,
    /// For programs: one object per line, in the Elastic Common Schema
    Json,
}

impl From<LogFormat> for logging::LogFormat {
    fn from(format: LogFormat) -> Self {
        match format {
            LogFormat::Text => Self::Text,
            LogFormat::Json => Self::Json,
        }
    }
}

impl Serve {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let config = NodeConfig::load_with(&self.config, |name| {
            if name == "STARLING_HTTP_INSECURE" {
                return self.insecure_http.then(|| "true".to_owned());
            }
            std::env::var(name).ok()
        });
        run_node(config, self.log_format, self.exit_with_stdin).await
    }
}

/// Runs a node that has just joined, with what its folder says.
pub(crate) async fn serve_joined(config: &Path) -> Result<(), Failure> {
    let config = NodeConfig::load_with(config, |_| None);
    run_node(config, LogFormat::Text, false).await
}

async fn run_node(
    config: Result<NodeConfig, ConfigError>,
    format: LogFormat,
    exit_with_stdin: bool,
) -> Result<(), Failure> {
    let config = config.map_err(|error| Failure::Fatal(error.into()))?;
    let _logging = start_logging(format, &config.name)?;
    let shutdown = asked_to_stop(exit_with_stdin).map_err(|error| {
        Failure::Fatal(anyhow::Error::new(error).context("waiting for signals"))
    })?;
    node::serve(config, shutdown)
        .await
        .map_err(|error| Failure::Fatal(error.into()))
}

/// What is logged if nobody says.
const USUAL: &str = "info";

fn start_logging(format: LogFormat, node: &str) -> Result<Logging, Failure> {
    let directives = std::env::var("STARLING_LOG").unwrap_or_else(|_| USUAL.to_owned());
    logging::start(format.into(), &directives, node).map_err(|error| match &error {
        LoggingError::Filter { source, .. } => {
            Failure::Usage(format!("STARLING_LOG: {error}: {source}"))
        }
        _ => Failure::Fatal(error.into()),
    })
}

/// Completes on SIGTERM, on SIGINT, and, if wanted, at the end of stdin.
fn asked_to_stop(with_stdin: bool) -> std::io::Result<impl Future<Output = ()> + Send> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stdin_ended = with_stdin.then(stdin_ends);
    Ok(async move {
        let stdin_ended = async {
            match stdin_ended {
                // An error means that the reader is gone, and with it stdin.
                Some(ended) => drop(ended.await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = terminate.recv() => tracing::info!("asked to stop by SIGTERM"),
            _ = interrupt.recv() => tracing::info!("asked to stop by SIGINT"),
            () = stdin_ended => tracing::info!("asked to stop by the end of stdin"),
        }
    })
}

/// Reads in a thread of its own: a read of the runtime's would keep the process from ending.
fn stdin_ends() -> tokio::sync::oneshot::Receiver<()> {
    let (ended, wait) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let mut sink = [0; 256];
        while std::io::stdin()
            .read(&mut sink)
            .is_ok_and(|count| count > 0)
        {}
        let _ = ended.send(());
    });
    wait
}
