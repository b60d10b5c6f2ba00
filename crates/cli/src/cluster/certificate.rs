//! `starling cluster certificate`: a new certificate for a node's HTTPS.

use std::path::PathBuf;

use node::config::NodeConfig;
use node::init::{RenewError, renew_https};
use serde_json::json;

use crate::failure::Failure;
use crate::output::{self, Format};

/// Issues a new certificate, with a new key, for a node's HTTPS. A node that runs takes it within seconds.
#[derive(Debug, clap::Args)]
pub(crate) struct Certificate {
    /// The node's configuration
    #[arg(long, env = "STARLING_CONFIG", value_name = "FILE")]
    config: PathBuf,

    /// The private key of the cluster's authority, ca/ca-key.pem; it is read and not kept
    #[arg(long, env = "STARLING_CA_KEY", value_name = "FILE")]
    ca_key: PathBuf,

    #[command(flatten)]
    format: Format,
}

impl Certificate {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let config = NodeConfig::load_with(&self.config, |_| None);
        let config = config.map_err(|error| Failure::Usage(error.to_string()))?;
        let names = renew_https(&config, &self.ca_key).map_err(|error| match error {
            RenewError::NotOurs(_) => Failure::Usage(error.to_string()),
            other => Failure::Other(other.into()),
        })?;
        if self.format.json {
            let object = json!({ "name": config.name, "names": names });
            return Ok(output::object(&object)?);
        }
        Ok(output::line(&format!(
            "{} has a new certificate for {}",
            config.name,
            names.join(", ")
        ))?)
    }
}
