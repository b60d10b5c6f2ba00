//! `starling demo`: a whole cluster on this machine, with one command.
//!
//! Every node is a process of its own, so that any of them can be killed to see what happens. Started again on the
//! same folder the demo goes on with what is there.

mod children;
mod cluster;
mod samples;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::builder::FalseyValueParser;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use crate::connection::demo_folder;
use crate::failure::Failure;
use crate::output::{self, Format};
use children::Children;
use cluster::DemoCluster;

/// How long a node may take to read its ledger; a node that dies meanwhile is noticed at once.
const READY_TIMEOUT: Duration = Duration::from_secs(300);

/// Starts a cluster of a few nodes on this machine, with sample photos.
#[derive(Debug, clap::Args)]
pub(crate) struct Demo {
    /// How many nodes [default: 3, or as many as the folder has]
    #[arg(
        long,
        env = "STARLING_DEMO_NODES",
        value_name = "N",
        value_parser = clap::value_parser!(u16).range(1..=15)
    )]
    nodes: Option<u16>,

    /// Where everything is kept [default: starling/demo in the user's data folder]
    #[arg(long, env = "STARLING_DEMO_DIR", value_name = "DIR")]
    dir: Option<PathBuf>,

    /// The first node's HTTP port, the others follow; 0 for any free ones [default: 7700, or as the folder has it]
    #[arg(long, env = "STARLING_DEMO_PORT", value_name = "P")]
    port: Option<u16>,

    /// Leave the sample photos out
    #[arg(long, env = "STARLING_DEMO_EMPTY", value_parser = FalseyValueParser::new())]
    empty: bool,

    #[command(flatten)]
    format: Format,
}

impl Demo {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let mut interrupt = signal(SignalKind::interrupt()).context("waiting for signals")?;
        let mut terminate = signal(SignalKind::terminate()).context("waiting for signals")?;
        let mut hang_up = signal(SignalKind::hangup()).context("waiting for signals")?;
        let cluster = self.cluster()?;
        cluster.check_ports()?;
        let mut children = Children::start(&cluster)?;
        let ended = tokio::select! {
            ended = self.attend(&cluster, &mut children) => ended,
            _ = interrupt.recv() => Ok(()),
            _ = terminate.recv() => Ok(()),
            _ = hang_up.recv() => Ok(()),
        };
        children.stop().await;
        ended
    }

    fn cluster(&self) -> Result<DemoCluster, Failure> {
        let folder = self.dir.clone().or_else(demo_folder);
        let folder = folder.ok_or_else(|| {
            Failure::Usage(
                "there is no home folder: say with --dir where to keep the demo".to_owned(),
            )
        })?;
        DemoCluster::open_or_create(&folder, self.nodes, self.port)
    }

    /// Brings everything up and then watches over it until something stops it from outside.
    async fn attend(&self, cluster: &DemoCluster, children: &mut Children) -> Result<(), Failure> {
        tokio::time::timeout(READY_TIMEOUT, children.until_ready(cluster))
            .await
            .with_context(|| format!("the nodes were not ready after {READY_TIMEOUT:?}"))??;
        self.introduce(cluster, children)?;
        let load = async {
            if !self.empty {
                samples::load(cluster).await;
            }
        };
        let ((), ()) = tokio::join!(load, children.watch());
        Ok(())
    }

    fn introduce(&self, cluster: &DemoCluster, children: &Children) -> std::io::Result<()> {
        if self.format.json {
            return output::object(&describe(cluster, children));
        }
        output::line(&format!(
            "Starling: {} nodes, one ledger, nobody in charge.\n",
            cluster.nodes.len()
        ))?;
        for node in &cluster.nodes {
            let pid = children.pid(&node.name).unwrap_or_default();
            output::line(&format!("  {}  {}  (process {pid})", node.name, node.url()))?;
        }
        let url = cluster.nodes.first().map_or("", |node| node.url());
        let folder = cluster.folder.display();
        let token = &cluster.token;
        output::line(&format!(
            "\nOpen any of them and sign in with the token\n\n  {token}\n\n\
             It also lies in {folder}/token. From another terminal:\n\n\
             \x20 export STARLING_URL={url} STARLING_TOKEN={token}\n\
             \x20 starling status\n\
             \x20 starling search 'after:2019 type:photo'\n\
             \x20 curl -H \"Authorization: Bearer $STARLING_TOKEN\" $STARLING_URL/api/v1/cluster\n\
             \x20 curl -H \"Authorization: Bearer $STARLING_TOKEN\" -F file=@photo.jpg $STARLING_URL/api/v1/files\n\n\
             The API is described at {url}/docs. Kill a node and see that nobody notices; start it again with\n\n\
             \x20 starling serve --config {folder}/n1/node.toml\n\n\
             Logs are in {folder}/*/node.log. Ctrl-C stops everything; the data stays."
        ))
    }
}

fn describe(cluster: &DemoCluster, children: &Children) -> serde_json::Value {
    let nodes = cluster.nodes.iter().map(|node| {
        json!({
            "id": node.me().id.to_string(),
            "name": node.name,
            "url": node.url(),
            "pid": children.pid(&node.name),
            "config": node.path,
        })
    });
    json!({
        "chainId": cluster.chain.to_string(),
        "token": cluster.token,
        "nodes": nodes.collect::<Vec<_>>(),
    })
}
