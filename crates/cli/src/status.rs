//! `starling status`: the nodes, and whether they agree.

use serde_json::Value;

use crate::client::{Call, Client};
use crate::connection::Connection;
use crate::failure::Failure;
use crate::output::{self, Format, shown};

/// Shows the nodes and whether they agree.
#[derive(Debug, clap::Args)]
pub(crate) struct Status {
    #[command(flatten)]
    connection: Connection,

    #[command(flatten)]
    format: Format,
}

impl Status {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let client = Client::new(&self.connection)?;
        let cluster: Value = client.json(&Call::get("/cluster")).await?;
        if self.format.json {
            return Ok(output::object(&cluster)?);
        }
        Ok(print(&cluster)?)
    }
}

fn print(cluster: &Value) -> std::io::Result<()> {
    let agreement = &cluster["agreement"];
    let agreed = match agreement["identical"].as_bool() {
        Some(true) => "the same on every node heard from",
        Some(false) => "NOT the same on every node",
        None => "not compared",
    };
    output::line(&format!("chain      {}", cell(&cluster["chainId"])))?;
    output::line(&format!(
        "head       height {}, hash {}: {agreed}",
        cell(&agreement["height"]),
        cell(&agreement["hash"])
    ))?;
    output::line(&format!(
        "survives   the loss of {} nodes (ledger), {} nodes (bytes); a quorum is {}",
        cell(&cluster["survives"]["ledger"]),
        cell(&cluster["survives"]["bytes"]),
        cell(&cluster["quorum"])
    ))?;
    output::line("")?;
    let nodes = cluster["nodes"].as_array().map_or(&[][..], Vec::as_slice);
    let columns = ["id", "url", "role", "state", "boot", "height", "lagMs", "version"];
    let rows: Vec<Vec<String>> = nodes
        .iter()
        .map(|node| columns.iter().map(|column| cell(&node[*column])).collect())
        .collect();
    output::table(&columns, &rows)
}

/// A value as people read it.
fn cell(value: &Value) -> String {
    match value {
        Value::String(text) => shown(text),
        Value::Null => "-".to_owned(),
        other => other.to_string(),
    }
}
