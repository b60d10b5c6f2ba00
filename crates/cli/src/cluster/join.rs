//! `starling cluster join`: a node's folder from an invite, and the cluster's word that it takes the node.

use std::cell::Cell;
use std::error::Error;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::builder::FalseyValueParser;
use node::config::TlsConfig;
use node::from_archive::Taken;
use node::init::NodePlan;
use node::invitation::Invitation;
use node::join::{Event, Https, JoinError, JoinPlan, Joined, join};
use serde_json::json;

use crate::failure::Failure;
use crate::output::{self, Format};
use crate::serve::serve_joined;

/// Joins a cluster. Interrupted, the same command goes on where it was.
#[derive(Debug, clap::Args)]
pub(crate) struct Join {
    /// What `starling cluster invite` printed
    #[arg(env = "STARLING_INVITE", hide_env_values = true)]
    invite: String,

    /// The node's folder, to be made
    #[arg(long, env = "STARLING_FOLDER", value_name = "DIR")]
    folder: PathBuf,

    /// What the node is called; a name is never given again
    #[arg(long, env = "STARLING_NAME")]
    name: String,

    /// Where people reach it
    #[arg(
        long,
        env = "STARLING_HTTP_ADDRESS",
        value_name = "ADDR",
        default_value = "127.0.0.1:7700"
    )]
    http: String,

    /// Where its peers reach it: host:port as they see it
    #[arg(long, env = "STARLING_PEER_ADDRESS", value_name = "ADDR")]
    peer: String,

    /// What people type, if that is not where it listens
    #[arg(long, env = "STARLING_HTTP_URL")]
    url: Option<String>,

    /// The private key of the cluster's authority, ca/ca-key.pem, which issues a certificate for HTTPS; it is read and
    /// not kept
    #[arg(long, env = "STARLING_CA_KEY", value_name = "FILE")]
    ca_key: Option<PathBuf>,

    /// A certificate of your own for HTTPS, in PEM
    #[arg(
        long,
        env = "STARLING_HTTP_TLS_CERTIFICATE",
        value_name = "FILE",
        requires = "tls_key",
        conflicts_with = "ca_key"
    )]
    tls_cert: Option<PathBuf>,

    /// Its private key, in PEM
    #[arg(
        long,
        env = "STARLING_HTTP_TLS_KEY",
        value_name = "FILE",
        requires = "tls_cert"
    )]
    tls_key: Option<PathBuf>,

    /// Listen without TLS on an address that others can reach, because something in front encrypts
    #[arg(long, env = "STARLING_HTTP_INSECURE", value_parser = FalseyValueParser::new())]
    insecure_http: bool,

    /// An archive to take the ledger from, and to fill: file:///…, az://…, s3://…, gs://…. By default the one that the
    /// cluster fills, if it can be read from here; empty for none. Credentials come from the environment
    #[arg(long, env = "STARLING_ARCHIVE_URL", value_name = "URL")]
    archive: Option<String>,

    /// Run the node at once
    #[arg(long, env = "STARLING_JOIN_SERVE", value_parser = FalseyValueParser::new())]
    serve: bool,

    #[command(flatten)]
    format: Format,
}

impl Join {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let plan = self.plan()?;
        let teller = Teller::new(self.format);
        let joined = join(&plan, &|event| teller.tell(&event)).await;
        let joined = joined.map_err(failure)?;
        self.print(&joined)?;
        if self.serve {
            return serve_joined(&joined.config).await;
        }
        output::note(&format!(
            "Now run it: starling serve --config {}. It learns the ledger from the others and votes by itself when it \
             has caught up; `starling cluster status` shows how far it is.",
            joined.config.display()
        ));
        Ok(())
    }

    fn plan(&self) -> Result<JoinPlan, Failure> {
        let invitation = Invitation::parse(&self.invite);
        Ok(JoinPlan {
            folder: self.folder.clone(),
            node: NodePlan {
                name: self.name.clone(),
                http: self.http.clone(),
                peer: self.peer.clone(),
                url: self.url.clone(),
            },
            https: self.https(),
            invitation: invitation.map_err(|error| Failure::Usage(error.to_string()))?,
            archive: self.archive.clone(),
        })
    }

    fn https(&self) -> Https {
        match (&self.ca_key, &self.tls_cert, &self.tls_key) {
            (Some(key), _, _) => Https::Authority(key.clone()),
            (None, Some(certificate), Some(key)) => Https::Own(TlsConfig {
                certificate: certificate.clone(),
                key: key.clone(),
            }),
            _ => Https::Plain {
                insecure: self.insecure_http,
            },
        }
    }

    fn print(&self, joined: &Joined) -> std::io::Result<()> {
        for fault in joined.taken.iter().flat_map(|taken| &taken.faults) {
            output::note(fault);
        }
        if self.format.json {
            return output::object(&json!({
                "chainId": joined.chain.to_string(),
                "name": joined.name,
                "id": joined.id.to_string(),
                "url": joined.url,
                "config": joined.config,
                "height": joined.height.0,
                "resumed": joined.resumed,
                "archive": joined.taken.as_ref().map(taken_json),
            }));
        }
        output::line(&format!(
            "{} belongs to chain {}, seen at height {}",
            joined.name, joined.chain, joined.height
        ))?;
        let Some(taken) = &joined.taken else {
            return Ok(());
        };
        if let Some(error) = &taken.stopped {
            output::note(&format!("{error}: the rest comes from the members"));
        }
        output::line(&format!(
            "the ledger up to height {} is here, proved, {} segments of it from {}",
            taken.to, taken.segments, taken.place
        ))
    }
}

fn taken_json(taken: &Taken) -> serde_json::Value {
    json!({
        "url": taken.place,
        "from": taken.from.0,
        "to": taken.to.0,
        "segments": taken.segments,
        "snapshot": taken.snapshot.map(|height| height.0),
        "faults": taken.faults,
        "stopped": taken.stopped,
    })
}

/// Says what happens on the way: lines for people on stderr, objects for programs on stdout.
struct Teller {
    format: Format,
    last: Cell<Option<Instant>>,
}

impl Teller {
    const EVERY: Duration = Duration::from_secs(1);

    fn new(format: Format) -> Self {
        let last = Cell::new(None);
        Self { format, last }
    }

    fn tell(&self, event: &Event) {
        let (text, object) = match event {
            Event::Taking(progress) => {
                let (height, goal) = (progress.height, progress.goal);
                let recent = |last: Instant| last.elapsed() < Self::EVERY;
                if height < goal && self.last.get().is_some_and(recent) {
                    return;
                }
                self.last.set(Some(Instant::now()));
                (
                    format!("archive: height {height} of {goal} proved"),
                    json!({
                        "event": "archive", "height": height.0, "goal": goal.0, "bytes": progress.bytes,
                    }),
                )
            }
            Event::NoArchive(error) => {
                let why = error.source().map(|cause| format!(": {cause}"));
                let why = format!("{error}{}", why.unwrap_or_default());
                (
                    format!("{why}: the ledger comes from the members"),
                    json!({ "event": "noArchive", "why": why }),
                )
            }
        };
        if self.format.json {
            // Who reads the events may have gone; the join goes on.
            let _ = output::object(&object);
        } else {
            output::note(&text);
        }
    }
}

fn failure(error: JoinError) -> Failure {
    if error.is_temporary() {
        return Failure::Temporary(error.into());
    }
    match error {
        JoinError::Plan(_) => Failure::Usage(error.to_string()),
        other => Failure::Other(other.into()),
    }
}
