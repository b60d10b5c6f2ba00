//! The demo's processes.
//!
//! A node holds the reading end of a pipe as its stdin and ends when the pipe does. That is how it is stopped, and it
//! is also why no node outlives a demo that was itself killed. Nodes are in process groups of their own, so that
//! Ctrl-C reaches the demo alone and the stop is orderly.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use node::config::OVERRIDES;
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::cluster::{DemoCluster, DemoNode};
use crate::failure::Failure;
use crate::output;

/// A node that has not stopped by then is killed; longer than it lets requests under way go on.
const STOP_TIMEOUT: Duration = Duration::from_secs(15);
/// Between two questions whether a node is ready.
const READY_POLL: Duration = Duration::from_millis(50);
/// How much of its log is shown when a node does not come up.
const LOG_LINES: usize = 12;

/// Running nodes.
pub(super) struct Children {
    pids: BTreeMap<String, u32>,
    /// Dropping one asks its node to stop.
    pipes: Vec<ChildStdin>,
    kill: watch::Sender<()>,
    ends: JoinSet<End>,
}

/// A node's process has ended.
struct End {
    name: String,
    status: std::io::Result<ExitStatus>,
}

impl Children {
    /// Starts every node.
    pub(super) fn start(cluster: &DemoCluster) -> Result<Self, Failure> {
        let mut children = Self {
            pids: BTreeMap::new(),
            pipes: Vec::new(),
            kill: watch::Sender::new(()),
            ends: JoinSet::new(),
        };
        for node in &cluster.nodes {
            children.start_node(node)?;
        }
        Ok(children)
    }

    fn start_node(&mut self, node: &DemoNode) -> anyhow::Result<()> {
        let mut process = spawn(node).with_context(|| format!("starting {}", node.name))?;
        self.pids
            .extend(process.id().map(|pid| (node.name.clone(), pid)));
        self.pipes.extend(process.stdin.take());
        let name = node.name.clone();
        let mut kill = self.kill.subscribe();
        self.ends.spawn(async move {
            let status = tokio::select! {
                status = process.wait() => status,
                _ = kill.changed() => match process.start_kill() {
                    Ok(()) => process.wait().await,
                    Err(error) => Err(error),
                },
            };
            End { name, status }
        });
        Ok(())
    }

    /// The process of a node.
    pub(super) fn pid(&self, name: &str) -> Option<u32> {
        self.pids.get(name).copied()
    }

    /// Waits until every node serves; an error if one ends instead.
    pub(super) async fn until_ready(&mut self, cluster: &DemoCluster) -> Result<(), Failure> {
        let ready = async {
            for node in &cluster.nodes {
                until_node_ready(node).await?;
            }
            anyhow::Ok(())
        };
        tokio::select! {
            ready = ready => Ok(ready?),
            Some(end) = self.ends.join_next() => {
                let end = end.context("watching a node")?;
                let node = cluster.nodes.iter().find(|node| node.name == end.name);
                let log = node.map(last_lines).unwrap_or_default();
                Err(anyhow::anyhow!("{end}; the end of its log:\n{log}").into())
            }
        }
    }

    /// Reports every node that ends. Never returns: a demo without nodes still waits to be stopped.
    pub(super) async fn watch(&mut self) {
        while let Some(end) = self.ends.join_next().await {
            if let Ok(end) = end {
                output::note(&format!("{end}; the others go on"));
                self.pids.remove(&end.name);
            }
        }
        std::future::pending().await
    }

    /// Asks every node to stop, waits, and kills what is left.
    pub(super) async fn stop(mut self) {
        self.pipes.clear();
        let all_ended = async { while self.ends.join_next().await.is_some() {} };
        if tokio::time::timeout(STOP_TIMEOUT, all_ended).await.is_err() {
            output::note("a node does not stop by itself and is killed");
            self.kill.send_replace(());
            while self.ends.join_next().await.is_some() {}
        }
    }
}

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.status {
            Ok(status) => write!(f, "node {} has ended ({status})", self.name),
            Err(error) => write!(f, "node {} cannot be watched ({error})", self.name),
        }
    }
}

fn spawn(node: &DemoNode) -> anyhow::Result<Child> {
    let program = std::env::current_exe().context("finding this program")?;
    let mut command = Command::new(program);
    command
        .args(["serve", "--exit-with-stdin", "--config"])
        .arg(&node.path)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(log_file(node)?)
        .process_group(0)
        .kill_on_drop(true);
    for name in OVERRIDES {
        command.env_remove(name);
    }
    Ok(command.spawn()?)
}

fn log_file(node: &DemoNode) -> anyhow::Result<File> {
    let path = node.folder.join("node.log");
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(&path)
        .with_context(|| format!("writing {}", path.display()))
}

async fn until_node_ready(node: &DemoNode) -> anyhow::Result<()> {
    let client = reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only([])
        .timeout(Duration::from_secs(2))
        .build()?;
    let url = format!("{}/readyz", node.url());
    loop {
        let answer = client.get(&url).send().await;
        if answer.is_ok_and(|answer| answer.status().is_success()) {
            return Ok(());
        }
        tokio::time::sleep(READY_POLL).await;
    }
}

fn last_lines(node: &DemoNode) -> String {
    let log = std::fs::read_to_string(node.folder.join("node.log")).unwrap_or_default();
    let lines: Vec<&str> = log.lines().collect();
    let from = lines.len().saturating_sub(LOG_LINES);
    lines.get(from..).unwrap_or_default().join("\n")
}
