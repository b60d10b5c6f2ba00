//! `starling cluster resync`: lets a node begin anew whose ledger can be believed no more.
//!
//! Nothing is done here but noting the wish: the node does it when it is started, since it takes the others.

use std::path::PathBuf;

use node::config::{FILE_NAME, NodeConfig};
use node::{FolderLock, LockError};
use serde_json::json;

use crate::failure::Failure;
use crate::output::{self, Format};

/// Lets a stopped node begin anew with what the cluster has certified, under its identity.
///
/// For a node whose ledger was rewritten, or whose votes are damaged. It is started as always then, fetches the ledger from the
/// others, proves every block, and votes again when the cluster has decided more than it can have voted for. That takes a quorum
/// of other voters and a write or two. What was there before is kept in `quarantine` in its folder.
#[derive(Debug, clap::Args)]
pub(crate) struct Resync {
    /// The node's folder
    #[arg(env = "STARLING_RESYNC_FOLDER", value_name = "DIR")]
    folder: PathBuf,

    #[command(flatten)]
    format: Format,
}

impl Resync {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let config = NodeConfig::load_with(&self.folder.join(FILE_NAME), |_| None);
        let config = config.map_err(|error| Failure::Other(error.into()))?;
        let _lock = FolderLock::take(&config.folder).map_err(|error| match error {
            LockError::InUse { .. } => Failure::Temporary(error.into()),
            LockError::Io { .. } => Failure::Other(error.into()),
        })?;
        node::resync::want(&config.folder).map_err(|error| Failure::Other(error.into()))?;
        if self.format.json {
            return Ok(output::object(
                &json!({ "name": config.name, "folder": config.folder }),
            )?);
        }
        let folder = self.folder.display();
        Ok(output::line(&format!(
            "{} begins anew with what the cluster has certified when it is started: starling serve --config {folder}/{FILE_NAME}",
            config.name
        ))?)
    }
}
