//! Three nodes, and a client of one of them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tempfile::TempDir;
use tokio::time::Instant;

use crate::cluster::{Cluster, MEMBERS, NotAcknowledged, Setup, WriteId, Writer};
use crate::hosts::Seat;
use crate::http::{self, Connection};
use crate::process::Process;

/// How long a cluster or a node may take to start or to catch up.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at something awaited.
const GLANCE: Duration = Duration::from_millis(5);

/// The node's hook for slow disks, see `docs/testing.md`.
const FLUSH_DELAY: &str = "STARLING_TEST_FSYNC_DELAY_MS";

/// What `starling cluster init --json` prints.
#[derive(Debug, Deserialize)]
pub(crate) struct Created {
    /// The administrator's.
    pub(crate) token: String,
    /// In the order of their seats.
    pub(crate) nodes: Vec<CreatedNode>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct CreatedNode {
    id: String,
    /// Its configuration file.
    pub(crate) config: PathBuf,
}

/// A member whose disk is slower than the others'.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SlowDisk {
    /// Whose.
    pub(crate) member: usize,
    /// How much longer each of its flushes takes.
    pub(crate) delay: Duration,
}

/// The head of a node's ledger, as far as it is needed.
#[derive(Debug, Deserialize)]
struct Head {
    height: u64,
    hash: String,
    turn: serde_json::Value,
}

/// A page of a listing.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page<T> {
    items: Vec<T>,
    next_cursor: Option<String>,
}

/// An answer to a wish for an invite.
#[derive(Debug, Deserialize)]
struct Invite {
    invite: String,
}

/// Who belongs to the cluster.
#[derive(Debug, Deserialize)]
struct Roster {
    nodes: Vec<Listed>,
}

#[derive(Debug, Deserialize)]
struct Listed {
    name: String,
    role: String,
}

#[derive(Debug, Deserialize)]
struct Record {
    body: String,
}

/// A block, as far as it is needed.
#[derive(Debug, Deserialize)]
struct Block {
    height: u64,
    ballot: Option<Ballot>,
}

#[derive(Debug, Deserialize)]
struct Ballot {
    k: u64,
}

#[derive(Debug)]
struct Node {
    id: String,
    seat: Seat,
    config: PathBuf,
    flush_delay: Duration,
    process: Process,
}

/// A cluster.
#[derive(Debug)]
pub(crate) struct Starling {
    program: PathBuf,
    authorization: String,
    nodes: Vec<Node>,
    folder: TempDir,
}

/// A client with a connection of its own.
#[derive(Debug)]
pub(crate) struct RecordWriter {
    address: SocketAddr,
    headers: String,
    /// Whether each write carries a key under which it counts once.
    keyed: bool,
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
        let key = match self.keyed {
            true => format!("Idempotency-Key: {:016x}\r\n", id.0),
            false => String::new(),
        };
        let headers = format!("{}{key}", self.headers);
        let request = http::request("POST", "/api/v1/records", &headers, &id.body());
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

    fn repeatable(self) -> Self {
        Self {
            keyed: true,
            ..self
        }
    }
}

impl Cluster for Starling {
    const NAME: &'static str = "Starling";
    const ONCE: bool = true;
    type Writer = RecordWriter;

    async fn start(setup: &Setup) -> Result<Self> {
        Self::start_with(setup, None).await
    }

    fn writer(&self, member: usize) -> RecordWriter {
        let headers = format!(
            "{}Content-Type: application/octet-stream\r\n",
            self.authorization
        );
        RecordWriter {
            address: self.node(member).seat.client,
            headers,
            keyed: false,
            connection: None,
        }
    }

    fn pids(&self) -> Vec<u32> {
        let alive = self.nodes.iter().filter(|node| node.process.is_alive());
        alive.map(|node| node.process.pid()).collect()
    }

    async fn key_member(&self) -> Result<usize> {
        let alive = self.nodes.iter().find(|node| node.process.is_alive());
        let head = self
            .head(alive.context("a node is alive")?.seat.client)
            .await?;
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

    fn revive(&mut self, member: usize) -> Result<()> {
        let log = self.log(member);
        let node = self.node(member);
        let process = serve(
            &self.program,
            &node.seat,
            &node.config,
            node.flush_delay,
            &log,
        )?;
        self.node_mut(member).process = process;
        Ok(())
    }

    fn freeze(&mut self, member: usize, frozen: bool) -> Result<()> {
        self.node(member).process.freeze(frozen)
    }

    async fn caught_up(&self, member: usize) -> Result<()> {
        let survivor = (member + 1) % MEMBERS;
        let goal = self.head(self.node(survivor).seat.client).await?.height;
        self.wait_until_ready(member).await?;
        let deadline = Instant::now() + PATIENCE;
        while self.head(self.node(member).seat.client).await?.height < goal {
            wait_a_moment(deadline, "a node to catch up").await?;
        }
        Ok(())
    }

    /// As the node lists them, which is what it has applied: a command that came twice stands in two blocks and counts
    /// once.
    async fn stored(&self) -> Result<BTreeMap<WriteId, u64>> {
        self.stored_above(0).await
    }

    async fn stop(mut self) -> Result<()> {
        let limit = Duration::from_secs(10);
        for node in &mut self.nodes {
            if node.process.is_alive() {
                node.process.end(limit).await?;
            }
        }
        self.folder.close().context("removing a cluster's folder")
    }
}

impl Starling {
    /// A new cluster, one member of which may have a slow disk. Returns when every member takes writes.
    pub(crate) async fn start_with(setup: &Setup, slow: Option<SlowDisk>) -> Result<Self> {
        Self::start_prepared(setup, slow, |_| Ok(())).await
    }

    /// The same with folders that something is done to before the nodes are started.
    pub(crate) async fn start_prepared(
        setup: &Setup,
        slow: Option<SlowDisk>,
        prepare: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<Self> {
        let folder = setup.new_folder("starling-")?;
        let seats = setup.hosts.seats()?;
        let created = create(&setup.starling, folder.path(), &seats)?;
        prepare(&folder.path().join("cluster"))?;
        let mut nodes = Vec::new();
        for (member, (made, seat)) in created.nodes.into_iter().zip(seats).enumerate() {
            let delay = slow.filter(|slow| slow.member == member);
            let flush_delay = delay.map_or(Duration::ZERO, |slow| slow.delay);
            let log = log(folder.path(), member);
            nodes.push(Node {
                process: serve(&setup.starling, &seat, &made.config, flush_delay, &log)?,
                id: made.id,
                config: made.config,
                seat,
                flush_delay,
            });
        }
        let cluster = Self {
            program: setup.starling.clone(),
            authorization: format!("Authorization: Bearer {}\r\n", created.token),
            nodes,
            folder,
        };
        cluster.wait_for_writes().await?;
        Ok(cluster)
    }

    /// Where a member's clients connect, and what they say who they are.
    pub(crate) fn client_of(&self, member: usize) -> (SocketAddr, &str) {
        (self.node(member).seat.client, &self.authorization)
    }

    /// Where everything of it lies.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A new invite.
    pub(crate) async fn invite(&self) -> Result<String> {
        let headers = format!("{}Content-Type: application/json\r\n", self.authorization);
        let request = http::request("POST", "/api/v1/cluster/invites", &headers, b"{}");
        let mut connection = Connection::open(self.node(0).seat.client).await?;
        let response = connection.exchange(&request).await?;
        let made: Invite = serde_json::from_slice(&response.body).with_context(|| {
            let text = String::from_utf8_lossy(&response.body);
            format!("making an invite: {} {text}", response.status)
        })?;
        Ok(made.invite)
    }

    /// A call of the first node that succeeds; nothing is sent where there is nothing to say.
    pub(crate) async fn call(
        &self,
        method: &str,
        path: &str,
        body: &serde_json::Value,
    ) -> Result<serde_json::Value> {
        let headers = format!("{}Content-Type: application/json\r\n", self.authorization);
        let bytes = if body.is_null() {
            Vec::new()
        } else {
            serde_json::to_vec(body)?
        };
        let request = http::request(method, path, &headers, &bytes);
        let mut connection = Connection::open(self.node(0).seat.client).await?;
        let response = connection.exchange(&request).await?;
        if !(200..300).contains(&response.status) {
            let text = String::from_utf8_lossy(&response.body);
            anyhow::bail!("{method} {path}: {} {text}", response.status);
        }
        Ok(serde_json::from_slice(&response.body)?)
    }

    /// Whether the first node knows a node of this name as a voter.
    pub(crate) async fn is_voter(&self, name: &str) -> bool {
        let address = self.node(0).seat.client;
        let answer = http::get(address, "/api/v1/cluster", &self.authorization).await;
        let cluster = answer.map(|answer| serde_json::from_slice::<Roster>(&answer.body));
        let Ok(Ok(cluster)) = cluster else {
            return false;
        };
        let mut nodes = cluster.nodes.iter();
        nodes.any(|node| node.name == name && node.role == "voter")
    }

    /// Whether a node serves reads.
    pub(crate) async fn is_ready(address: SocketAddr) -> bool {
        let answer = http::get(address, "/readyz", "").await;
        answer.is_ok_and(|answer| answer.status == 200)
    }

    /// How often each write above a height is stored.
    pub(crate) async fn stored_above(&self, height: u64) -> Result<BTreeMap<WriteId, u64>> {
        let address = self.node(0).seat.client;
        let head = self.head(address).await?;
        self.check_agreement(&head).await?;
        let mut stored = BTreeMap::new();
        let path = format!("/api/v1/records?from={}", height + 1);
        for record in self.list::<Record>(&path).await? {
            let body = STANDARD.decode(record.body).context("decoding a record")?;
            let id = WriteId::of_body(&body).context("a record that no client wrote")?;
            *stored.entry(id).or_insert(0) += 1;
        }
        Ok(stored)
    }

    /// How high the chain is.
    pub(crate) async fn height(&self) -> Result<u64> {
        Ok(self.head(self.node(0).seat.client).await?.height)
    }

    /// The share of the blocks above one height, up to another, that were not decided at the first ballot.
    pub(crate) async fn takeovers(&self, above: u64, up_to: u64) -> Result<f64> {
        let path = format!("/api/v1/ledger/blocks?from={}", above + 1);
        let mut blocks: Vec<Block> = self.list(&path).await?;
        blocks.retain(|block| block.height <= up_to);
        let later = |block: &&Block| block.ballot.as_ref().is_some_and(|ballot| ballot.k > 1);
        Ok(blocks.iter().filter(later).count() as f64 / blocks.len().max(1) as f64)
    }

    /// Everything that a node lists.
    async fn list<T: DeserializeOwned>(&self, path: &str) -> Result<Vec<T>> {
        let mut connection = Connection::open(self.node(0).seat.client)
            .await
            .context("connecting to count")?;
        let mut items = Vec::new();
        let mut place = path.to_owned();
        loop {
            let path = format!("{place}&limit=1000");
            let request = http::request("GET", &path, &self.authorization, &[]);
            let response = connection
                .exchange(&request)
                .await
                .with_context(|| format!("GET {path}"))?;
            let page: Page<T> = serde_json::from_slice(&response.body)
                .with_context(|| format!("understanding {path}"))?;
            items.extend(page.items);
            match page.next_cursor {
                Some(cursor) => {
                    let listing = path.split('?').next().unwrap_or_default();
                    place = format!("{listing}?cursor={cursor}");
                }
                None => return Ok(items),
            }
        }
    }

    fn log(&self, member: usize) -> PathBuf {
        log(self.folder.path(), member)
    }

    /// Returns when the node serves reads.
    pub(crate) async fn wait_until_ready(&self, member: usize) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Ok(response) = http::get(self.node(member).seat.client, "/readyz", "").await
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
                let other = self.head(node.seat.client).await?;
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
        self.nodes.get(member).expect("all nodes were started")
    }

    fn node_mut(&mut self, member: usize) -> &mut Node {
        self.nodes.get_mut(member).expect("all nodes were started")
    }
}

/// Makes the folders of a cluster.
pub(crate) fn create(program: &Path, folder: &Path, seats: &[Seat]) -> Result<Created> {
    let mut command = Command::new(program);
    command
        .args(["cluster", "init", "--json", "--http", "plain", "--out"])
        .arg(folder.join("cluster"));
    for (member, seat) in seats.iter().enumerate() {
        let node = format!("n{}={},{}", member + 1, seat.client, seat.peer);
        command.args(["--node", &node]);
    }
    let output = command
        .output()
        .with_context(|| format!("starting {}", program.display()))?;
    serde_json::from_slice(&output.stdout).with_context(|| {
        let said = String::from_utf8_lossy(&output.stderr);
        format!("making a cluster: {said}")
    })
}

fn log(folder: &Path, member: usize) -> PathBuf {
    folder.join(format!("n{}.log", member + 1))
}

/// Starts a node, which ends with this program at the latest.
pub(crate) fn serve(
    program: &Path,
    seat: &Seat,
    config: &Path,
    flush_delay: Duration,
    log: &Path,
) -> Result<Process> {
    let mut command = seat.command(program);
    command
        .args(["serve", "--exit-with-stdin", "--config"])
        .arg(config)
        // The address may be that of a namespace, where nobody else is.
        .env("STARLING_HTTP_INSECURE", "true");
    if !flush_delay.is_zero() {
        command.env(FLUSH_DELAY, flush_delay.as_millis().to_string());
    }
    Process::start(command, log)
}

async fn wait_a_moment(deadline: Instant, what: &str) -> Result<()> {
    if Instant::now() > deadline {
        bail!("waited {PATIENCE:?} for {what}");
    }
    tokio::time::sleep(GLANCE).await;
    Ok(())
}
