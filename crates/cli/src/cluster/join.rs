//! `starling cluster join`: a node's folder from an invite, and the cluster's word that it takes the node.

use std::path::PathBuf;

use clap::builder::FalseyValueParser;
use node::config::TlsConfig;
use node::init::NodePlan;
use node::invitation::Invitation;
use node::join::{Https, JoinError, JoinPlan, Joined, join};
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

    /// Run the node at once
    #[arg(long, env = "STARLING_JOIN_SERVE", value_parser = FalseyValueParser::new())]
    serve: bool,

    #[command(flatten)]
    format: Format,
}

impl Join {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let plan = self.plan()?;
        let joined = join(&plan).await.map_err(failure)?;
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
        if self.format.json {
            return output::object(&json!({
                "chainId": joined.chain.to_string(),
                "name": joined.name,
                "id": joined.id.to_string(),
                "url": joined.url,
                "config": joined.config,
                "height": joined.height.0,
                "resumed": joined.resumed,
            }));
        }
        output::line(&format!(
            "{} belongs to chain {}, seen at height {}",
            joined.name, joined.chain, joined.height
        ))
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
