//! `starling cluster remove`: takes a node out of the cluster.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Method;
use serde_json::Value;

use crate::client::{Call, Client};
use crate::connection::Connection;
use crate::failure::Failure;
use crate::output::{self, Format, at, text_at};

/// Takes a node out of the cluster. It keeps its disk and serves nothing more.
#[derive(Debug, clap::Args)]
pub(crate) struct Remove {
    /// The node's name, or its id
    node: String,

    #[command(flatten)]
    connection: Connection,

    #[command(flatten)]
    format: Format,
}

impl Remove {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let client = Client::new(&self.connection)?;
        let node = utf8_percent_encode(&self.node, NON_ALPHANUMERIC);
        let call = Call::new(Method::DELETE, format!("/cluster/members/{node}"));
        let removed: Value = client.call(&call).await?.read().await?;
        let faults = |pointer| at(&removed, pointer).as_u64().unwrap_or_default();
        let (now, before) = (faults("/faults"), faults("/faultsBefore"));
        if now < before {
            output::note(&format!(
                "The cluster now survives {now} losses, before it were {before}: add a node with `starling cluster \
                 invite`."
            ));
        }
        if self.format.json {
            return Ok(output::object(&removed)?);
        }
        Ok(output::line(&format!(
            "removed {} at height {}",
            text_at(&removed, "/name"),
            at(&removed, "/height")
        ))?)
    }
}
