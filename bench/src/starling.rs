//! Three nodes under `starling demo`, and a client of one of them.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use model::{Block, Decode as _, Entry, Payload};
use serde::Deserialize;
use tempfile::TempDir;
use tokio::time::Instant;

use crate::cluster::{Cluster, MEMBERS, NotAcknowledged, Setup, WriteId, Writer};
use crate::http::{self, Connection};
use crate::process::{Process, Signal};

/// How long a cluster or a node may take to start or to catch up.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at something awaited.
const GLANCE: Duration = Duration::from_millis(5);

/// The first line that `starling demo --json` prints.
#[derive(Debug, Deserialize)]
struct Announcement {
    token: String,
    nodes: Vec<AnnouncedNode>,
}

#[derive(Debug, Deserialize)]
struct AnnouncedNode {
    id: String,
    url: String,
    pid: u32,
    config: PathBuf,
}

/// The head of a node's ledger, as far as it is needed.
#[derive(Debug, Deserialize)]
struct Head {
    height: u64,
    hash: String,
    turn: serde_json::Value,
}

#[derive(Debug)]
struct Node {
    id: String,
    address: SocketAddr,
    config: PathBuf,
    process: Process,
}

/// A demo cluster.
#[derive(Debug)]
pub(crate) struct Starling {
    program: PathBuf,
    authorization: String,
    nodes: Vec<Node>,
    demo: Process,
    folder: TempDir,
}

/// A client with a connection of its own.
#[derive(Debug)]
pub(crate) struct RecordWriter {
    address: SocketAddr,
    headers: String,
    connection: Option<Connection>,
}

impl Writer for RecordWriter {
    async fn write(&mut self, id: WriteId) -> Result<(), NotAcknowledged> {
        // Taken out, so that a connection on which anything fails, or whose answer is given up, is not used again.
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => Connection::open(self.address)
                .await
                .map_err(|e| NotAcknowledged(e.to_string()))?,
        };
        let request = http::request("POST", "/api/v1/records", &self.headers, &id.body());
        let response = connection
            .exchange(&request)
            .await
            .map_err(|e| NotAcknowledged(e.to_string()))?;
        self.connection = Some(connection);
        if response.status == 201 {
            Ok(())
        } else {
            let text = String::from_utf8_lossy(&response.body);
            Err(NotAcknowledged(format!("{}: {text}", response.status)))
        }
    }
}

impl Cluster for Starling {
    const NAME: &'static str = "Starling";
    type Writer = RecordWriter;

    async fn start(setup: &Setup) -> Result<Self> {
        let folder = setup.new_folder("starling-")?;
        let mut command = Command::new(&setup.starling);
        command
            .args(["demo", "--json", "--empty", "--nodes"])
            .arg(MEMBERS.to_string())
            .arg("--dir")
            .arg(folder.path().join("cluster"))
            .args(["--port", "0"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(folder.path().join("demo.log"))?);
        let mut child = command
            .spawn()
            .with_context(|| format!("starting {}", setup.starling.display()))?;
        let output = child
            .stdout
            .take()
            .context("the output of the demo is piped")?;
        let demo = Process::of(child);
        let mut line = String::new();
        BufReader::new(output)
            .read_line(&mut line)
            .context("reading what the demo announces")?;
        let announced: Announcement = serde_json::from_str(&line).with_context(|| {
            let log = std::fs::read_to_string(folder.path().join("demo.log")).unwrap_or_default();
            format!("the demo announced {line:?}; its log says:\n{log}")
        })?;
        let nodes = announced
            .nodes
            .into_iter()
            .map(Node::of)
            .collect::<Result<_>>()?;
        let cluster = Self {
            program: setup.starling.clone(),
            authorization: format!("Authorization: Bearer {}\r\n", announced.token),
            nodes,
            demo,
            folder,
        };
        cluster.wait_for_writes().await?;
        Ok(cluster)
    }

    fn writer(&self, member: usize) -> RecordWriter {
        let headers = format!(
            "{}Content-Type: application/octet-stream\r\n",
            self.authorization
        );
        RecordWriter {
            address: self.node(member).address,
            headers,
            connection: None,
        }
    }

    fn pids(&self) -> Vec<u32> {
        let alive = self.nodes.iter().filter(|node| node.process.is_alive());
        alive.map(|node| node.process.pid()).collect()
    }

    async fn key_member(&self) -> Result<usize> {
        let alive = self.nodes.iter().find(|node| node.process.is_alive());
        let head = self.head(alive.context("a node is alive")?.address).await?;
        let turn = head.turn.to_string();
        let holder = self
            .nodes
            .iter()
            .position(|node| turn.contains(&format!("\"{}\"", node.id)));
        // A vacant turn is nobody's: any node will do.
        Ok(holder.unwrap_or(0))
    }

    fn kill(&mut self, member: usize) -> Result<()> {
        self.node_mut(member).process.kill()
    }

    async fn restart(&mut self, member: usize) -> Result<()> {
        let survivor = (member + 1) % MEMBERS;
        let goal = self.head(self.node(survivor).address).await?.height;
        self.serve(member)?;
        self.wait_until_ready(member).await?;
        let deadline = Instant::now() + PATIENCE;
        while self.head(self.node(member).address).await?.height < goal {
            wait_a_moment(deadline, "a restarted node to catch up").await?;
        }
        Ok(())
    }

    async fn stored(&self) -> Result<BTreeMap<WriteId, u64>> {
        let address = self.node(0).address;
        let head = self.head(address).await?;
        self.check_agreement(&head).await?;
        let headers = format!("{}Accept: application/octet-stream\r\n", self.authorization);
        let mut connection = Connection::open(address)
            .await
            .context("connecting to count")?;
        let mut stored = BTreeMap::new();
        for height in 1..=head.height {
            let path = format!("/api/v1/ledger/blocks/{height}");
            let request = http::request("GET", &path, &headers, &[]);
            let response = connection
                .exchange(&request)
                .await
                .with_context(|| format!("GET {path}"))?;
            let block = Block::decode(&mut model::Reader::new(&response.body))
                .with_context(|| format!("decoding the block at height {height}"))?;
            for id in block.entries().iter().filter_map(write_of) {
                *stored.entry(id).or_insert(0) += 1;
            }
        }
        Ok(stored)
    }

    async fn stop(mut self) -> Result<()> {
        let limit = Duration::from_secs(10);
        for node in &mut self.nodes {
            if node.process.is_alive() {
                node.process.end(Signal::Terminate, limit).await?;
            }
        }
        self.demo.end(Signal::Interrupt, limit).await?;
        self.folder.close().context("removing a cluster's folder")
    }
}

impl Node {
    fn of(announced: AnnouncedNode) -> Result<Self> {
        Ok(Self {
            id: announced.id,
            address: http::address_of(&announced.url)?,
            config: announced.config,
            process: Process::grandchild(announced.pid),
        })
    }
}

impl Starling {
    /// Starts a node that does not run; returns at once.
    pub(crate) fn serve(&mut self, member: usize) -> Result<()> {
        let mut command = Command::new(&self.program);
        command
            .arg("serve")
            .arg("--config")
            .arg(&self.node(member).config);
        let log = self.folder.path().join(format!("serve-{member}.log"));
        self.node_mut(member).process = Process::start(command, &log)?;
        Ok(())
    }

    /// Returns when the node serves reads.
    pub(crate) async fn wait_until_ready(&self, member: usize) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Ok(response) = http::get(self.node(member).address, "/readyz", "").await
                && response.status == 200
            {
                return Ok(());
            }
            wait_a_moment(deadline, "a node to serve reads").await?;
        }
    }

    async fn wait_for_writes(&self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        for member in 0..MEMBERS {
            let mut writer = self.writer(member);
            while let Err(error) = writer.write(WriteId(u64::MAX)).await {
                wait_a_moment(deadline, &format!("the first write ({error})")).await?;
            }
        }
        Ok(())
    }

    async fn head(&self, address: SocketAddr) -> Result<Head> {
        let response = http::get(address, "/api/v1/ledger/head", &self.authorization).await?;
        serde_json::from_slice(&response.body).with_context(|| {
            let text = String::from_utf8_lossy(&response.body);
            format!("understanding a ledger head: {} {text}", response.status)
        })
    }

    /// All nodes must come to the same hash at the height of `head`, which must be the last.
    async fn check_agreement(&self, head: &Head) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        for node in &self.nodes {
            loop {
                let other = self.head(node.address).await?;
                if other.height == head.height && other.hash == head.hash {
                    break;
                }
                if other.height == head.height {
                    bail!(
                        "{} has another head hash at height {}",
                        node.id,
                        head.height
                    );
                }
                wait_a_moment(deadline, "all heads to be equal").await?;
            }
        }
        Ok(())
    }

    fn node(&self, member: usize) -> &Node {
        self.nodes
            .get(member)
            .expect("the demo announced all nodes")
    }

    fn node_mut(&mut self, member: usize) -> &mut Node {
        self.nodes
            .get_mut(member)
            .expect("the demo announced all nodes")
    }
}

fn write_of(entry: &Entry) -> Option<WriteId> {
    let command = entry.sealed()?.open().ok()?;
    match command.payload {
        Payload::Record(body) => WriteId::of_body(&body),
        _ => None,
    }
}

async fn wait_a_moment(deadline: Instant, what: &str) -> Result<()> {
    if Instant::now() > deadline {
        bail!("waited {PATIENCE:?} for {what}");
    }
    tokio::time::sleep(GLANCE).await;
    Ok(())
}
