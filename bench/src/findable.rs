//! How soon what is written through one node is found through another.
//!
//! Three nodes hold a prepared library. A client gives a file a title that nothing else has, through one node, and another asks
//! the next node for that title, over and over, until it is found. Every search counts all files that it finds, so it is also
//! a search under load.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::cluster::{Cluster as _, MEMBERS, Setup};
use crate::http::{self, Connection};
use crate::join::prepare;
use crate::report::{Report, Table};
use crate::starling::Starling;
use crate::statistics::{millis, quantile};

/// What is not found by then will not be.
const PATIENCE: Duration = Duration::from_secs(30);
/// Not counted: connections and caches warm up.
const WARM_UP: usize = 20;
/// What we promise, at the 99th percentile.
const AIM: &str = "100";

/// How large a library, and how often something is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Args)]
pub(crate) struct What {
    /// Files of the library.
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    of: u64,
    /// So many titles.
    #[arg(long, value_name = "N", default_value_t = 500)]
    writes: usize,
}

/// A node that is asked.
struct Asked {
    connection: Connection,
    authorization: String,
}

/// From the first byte of a write, and from its answer, until it was found.
struct Found {
    written: Vec<Duration>,
    answered: Vec<Duration>,
}

/// Measures.
pub(crate) async fn run(setup: &Setup, what: What) -> Result<Report> {
    let cluster = Starling::start_prepared(setup, None, |folder| {
        prepare(setup, folder, ("library", what.of))
    });
    let cluster = cluster.await.context("starting the cluster")?;
    let mut nodes = Vec::new();
    for member in 0..MEMBERS {
        let (address, authorization) = cluster.client_of(member);
        let mut node = Asked {
            connection: Connection::open(address).await?,
            authorization: authorization.to_owned(),
        };
        node.until_searched().await?;
        nodes.push(node);
    }
    let found = write_and_find(&mut nodes, what.writes).await?;
    drop(nodes);
    cluster.stop().await?;
    Ok(report(what, &found))
}

async fn write_and_find(nodes: &mut [Asked], writes: usize) -> Result<Found> {
    let path = "/api/v1/files?limit=1000&sort=added";
    let first = nodes.first_mut().context("a cluster has nodes")?;
    let page = first.ask("GET", path, &Value::Null).await?;
    let items = page.get("items").and_then(Value::as_array);
    let ids: Vec<String> = items
        .into_iter()
        .flatten()
        .filter_map(|file| Some(file.get("id")?.as_str()?.to_owned()))
        .collect();
    let mut found = Found {
        written: Vec::new(),
        answered: Vec::new(),
    };
    for (round, id) in ids.iter().cycle().take(WARM_UP + writes).enumerate() {
        let title = format!("findable{round}");
        let begun = Instant::now();
        let writer = nodes.get_mut(round % MEMBERS).context("all are there")?;
        let change = json!({ "title": title });
        writer
            .ask("PATCH", &format!("/api/v1/files/{id}"), &change)
            .await?;
        let answered = Instant::now();
        let reader = nodes
            .get_mut((round + 1) % MEMBERS)
            .context("all are there")?;
        reader.until_found(&title, begun).await?;
        if round >= WARM_UP {
            found.written.push(begun.elapsed());
            found.answered.push(answered.elapsed());
        }
    }
    found.written.sort_unstable();
    found.answered.sort_unstable();
    Ok(found)
}

impl Asked {
    async fn ask(&mut self, method: &str, path: &str, body: &Value) -> Result<Value> {
        let (bytes, kind) = match body {
            Value::Null => (Vec::new(), ""),
            body => (
                serde_json::to_vec(body)?,
                "Content-Type: application/json\r\nIf-Match: *\r\n",
            ),
        };
        let headers = format!("{}{kind}", self.authorization);
        let request = http::request(method, path, &headers, &bytes);
        let answer = self.connection.exchange(&request).await?;
        if answer.status != 200 {
            let text = String::from_utf8_lossy(&answer.body);
            bail!("{method} {path}: {} {text}", answer.status);
        }
        Ok(serde_json::from_slice(&answer.body)?)
    }

    /// A node that has just begun builds its index first.
    async fn until_searched(&mut self) -> Result<()> {
        let since = Instant::now();
        while let Err(error) = self.ask("GET", "/api/v1/files?limit=1", &Value::Null).await {
            if since.elapsed() > PATIENCE {
                return Err(error);
            }
        }
        Ok(())
    }

    async fn until_found(&mut self, title: &str, since: Instant) -> Result<()> {
        let path = format!("/api/v1/files?limit=1&q=title:{title}");
        loop {
            let page = self.ask("GET", &path, &Value::Null).await?;
            if page.get("total").and_then(Value::as_u64) == Some(1) {
                return Ok(());
            }
            if since.elapsed() > PATIENCE {
                bail!("{title} is not found within {PATIENCE:?}");
            }
        }
    }
}

fn report(what: What, found: &Found) -> Report {
    let What { of, writes } = what;
    let command = format!("starling-bench findable --of {of} --writes {writes}");
    let columns = ["counted from", "p50 ms", "p99 ms", "aim p99 ms", "most ms"];
    let mut table = Table::new("Written here, found there", &command, &columns);
    let mut data = serde_json::Map::new();
    for (name, sorted) in [
        ("the write's first byte", &found.written),
        ("the write's answer", &found.answered),
    ] {
        let [p50, p99, most] = [0.5, 0.99, 1.0].map(|part| millis(quantile(sorted, part)));
        table.row(&[
            name.to_owned(),
            format!("{p50:.1}"),
            format!("{p99:.1}"),
            AIM.to_owned(),
            format!("{most:.1}"),
        ]);
        data.insert(name.to_owned(), json!({ "ms": [p50, p99, most] }));
    }
    let sentence = format!(
        "Three nodes, {of} files. A file gets a title through one node, another node is asked for it until it is found."
    );
    Report {
        name: "findable",
        data: json!({ "command": command, "figures": data }),
        markdown: table.finish(&sentence),
    }
}
