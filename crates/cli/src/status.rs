//! `starling status`: the nodes, and whether they agree.

use serde_json::{Value, json};

use crate::blobs;
use crate::client::{Call, CallError, Client};
use crate::connection::Connection;
use crate::failure::Failure;
use crate::output::{self, Format, at, list_at, shown};

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
        let cluster: Value = match client.json(&Call::get("/cluster")).await {
            Err(error) => return Err(self.explain(error)?),
            Ok(cluster) => cluster,
        };
        if self.format.json {
            return Ok(output::object(&cluster)?);
        }
        Ok(print(&cluster)?)
    }

    /// A node that is starting has something to show, too; for scripts it is none yet.
    fn explain(&self, error: CallError) -> std::io::Result<Failure> {
        if let CallError::Refused { node, problem } = &error
            && problem.code == "starting"
            && self.format.json
        {
            output::object(&json!({ "starting": problem.progress, "node": node.as_str() }))?;
        }
        Ok(error.into())
    }
}

fn print(cluster: &Value) -> std::io::Result<()> {
    let cell = |pointer: &str| cell(at(cluster, pointer));
    let agreed = match at(cluster, "/agreement/identical").as_bool() {
        Some(true) => "the same on every node heard from",
        Some(false) => "NOT the same on every node",
        None => "not compared",
    };
    let writes = match at(cluster, "/hasQuorum").as_bool() {
        Some(false) => ", which is NOT there: nothing can be written",
        _ => "",
    };
    output::line(&format!("chain      {}", cell("/chainId")))?;
    output::line(&format!(
        "head       height {}, hash {}: {agreed}",
        cell("/agreement/height"),
        cell("/agreement/hash")
    ))?;
    if !at(cluster, "/recovered").is_null() {
        output::line(&format!(
            "recovered  at {} above height {} of chain {}. {}",
            cell("/recovered/time"),
            cell("/recovered/height"),
            cell("/recovered/chainId"),
            cell("/recovered/note")
        ))?;
    }
    let quorum = match at(cluster, "/quorum").as_u64() {
        Some(1) => "1 node".to_owned(),
        _ => format!("{} nodes", cell("/quorum")),
    };
    output::line(&format!("quorum     {quorum}{writes}"))?;
    output::line(&format!(
        "survives   {} of the ledger, {} of the files' bytes",
        losses(at(cluster, "/survives/ledger")),
        losses(at(cluster, "/survives/bytes"))
    ))?;
    output::line(&format!("originals  {}", blobs::describe(cluster)))?;
    output::line(&format!("bytes      {}\n", copies(cluster)))?;
    print_nodes(list_at(cluster, "/nodes"))
}

/// How the copies of files' bytes are.
fn copies(cluster: &Value) -> String {
    let number = |name: &str| at(cluster, &format!("/blobs/{name}")).as_u64();
    if at(cluster, "/blobs").is_null() && at(cluster, "/originals/pending").is_u64() {
        return "no copies are kept on the disks but for speed".to_owned();
    }
    let Some(total) = number("total") else {
        return "not looked at yet".to_owned();
    };
    let lacking = number("underReplicated").unwrap_or(0);
    if lacking == 0 {
        return format!("{total} blobs, every copy is where it belongs");
    }
    format!(
        "{total} blobs, {lacking} without all their copies; {} copies of {} bytes to be made",
        number("copying").unwrap_or(0),
        number("bytesLeft").unwrap_or(0)
    )
}

fn print_nodes(nodes: &[Value]) -> std::io::Result<()> {
    let columns = [
        "name", "url", "role", "reason", "state", "boot", "height", "lagMs",
    ];
    let row = |node| {
        let cells = columns
            .iter()
            .map(|column| cell(at(node, &format!("/{column}"))));
        cells.collect()
    };
    let rows: Vec<Vec<String>> = nodes.iter().map(row).collect();
    output::table(&columns, &rows)
}

fn losses(count: &Value) -> String {
    match count.as_u64() {
        Some(1) => "1 more loss".to_owned(),
        _ => format!("{} more losses", cell(count)),
    }
}

/// A value as people read it.
fn cell(value: &Value) -> String {
    match value {
        Value::String(text) => shown(text),
        Value::Null => "-".to_owned(),
        other => other.to_string(),
    }
}
