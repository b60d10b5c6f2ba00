//! `starling purge`: forgets a file for good, on every node.

use std::time::Duration;

use anyhow::anyhow;
use clap::builder::FalseyValueParser;
use model::BlobId;
use reqwest::Method;
use serde_json::Value;

use crate::client::{Call, Client};
use crate::connection::Connection;
use crate::failure::Failure;
use crate::output::{self, Format, text_at};

/// Between two looks at how far the nodes are.
const LOOK: Duration = Duration::from_millis(500);

/// Forgets a file: its bytes, what is known of it, and everything that the ledger says of it. It cannot be undone. What was
/// exported or given away before cannot be called back. Needs an administrator's token.
#[derive(Debug, clap::Args)]
pub(crate) struct Purge {
    /// The file's id: the SHA-256 of its bytes
    id: BlobId,

    /// Do not wait until every node has erased it
    #[arg(long, env = "STARLING_PURGE_NO_WAIT", value_parser = FalseyValueParser::new())]
    no_wait: bool,

    /// Give up waiting after so many seconds; the nodes go on
    #[arg(
        long,
        env = "STARLING_PURGE_TIMEOUT",
        value_name = "SECONDS",
        default_value_t = 600
    )]
    timeout: u64,

    #[command(flatten)]
    connection: Connection,

    #[command(flatten)]
    format: Format,
}

impl Purge {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let client = Client::new(&self.connection)?;
        let call = Call::new(Method::DELETE, format!("/files/{}", self.id)).query("purge", true);
        let begun: Value = client.call(&call).await?.read().await?;
        let operation = if self.no_wait {
            begun
        } else {
            self.wait(&client, begun).await?
        };
        if self.format.json {
            return Ok(output::object(&operation)?);
        }
        let (id, summary) = (text_at(&operation, "/id"), text_at(&operation, "/summary"));
        Ok(output::line(&format!("{id}: {summary}"))?)
    }

    /// Asks until every node is done, saying so whenever another one is.
    async fn wait(&self, client: &Client, mut operation: Value) -> Result<Value, Failure> {
        let call = Call::get(format!("/operations/{}", text_at(&operation, "/id")));
        let mut told = String::new();
        let waiting = async {
            while text_at(&operation, "/state") != "done" {
                let summary = text_at(&operation, "/summary");
                if summary != told {
                    output::note(&summary);
                    told = summary;
                }
                tokio::time::sleep(LOOK).await;
                operation = client.json(&call).await?;
            }
            Ok::<_, Failure>(())
        };
        match tokio::time::timeout(Duration::from_secs(self.timeout), waiting).await {
            Ok(waited) => waited.map(|()| operation),
            Err(_) => {
                Err(anyhow!("{told}: purged, and erased there as soon as they are back").into())
            }
        }
    }
}
