//! `starling cluster`: makes a cluster's folders, looks at a running one, adds and removes nodes, and goes on with what
//! survives.

mod certificate;
mod invite;
mod join;
mod recover;
mod remove;
mod restore;
mod resync;

use std::path::PathBuf;

use node::init::{ClusterPlan, CreatedCluster, HttpSecurity, InitError, NodePlan, create_cluster};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::output::{self, Format};
use crate::status::Status;

/// Makes a cluster, looks at one, adds and removes nodes.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Cluster {
    /// Make keys, certificates, the ledger's first block and a folder for every node
    Init(Init),
    /// Make an invite, with which one new node can join, and print it
    Invite(invite::Invite),
    /// Make a node's folder with an invite and have the cluster take the node
    Join(Box<join::Join>),
    /// Make a cluster that goes on with what an archive or an export kept, when no node is left
    Restore(Box<restore::Restore>),
    /// Show the nodes and whether they agree
    Status(Status),
    /// Take a node out of the cluster
    Remove(remove::Remove),
    /// Let a stopped node begin anew with what the cluster has certified, where its own ledger can be believed no more
    Resync(resync::Resync),
    /// Issue a new certificate for a node's HTTPS
    Certificate(certificate::Certificate),
    /// Go on with what survives when most voters are lost for good, as another chain
    Recover(recover::Recover),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Init {
    #[command(flatten)]
    wanted: Wanted,

    #[command(flatten)]
    format: Format,
}

/// Which folders are to be made.
#[derive(Debug, clap::Args)]
struct Wanted {
    /// The folder to make; nothing that exists is overwritten
    #[arg(long, env = "STARLING_CLUSTER_OUT", value_name = "DIR")]
    out: PathBuf,

    /// A node: its name, where people reach it, where peers reach it, and, if people type something else, that
    #[arg(
        long = "node",
        env = "STARLING_CLUSTER_NODES",
        value_name = "NAME=HTTP_ADDR,PEER_ADDR[,URL]",
        value_delimiter = ' ',
        num_args = 1..,
        required = true,
        value_parser = parse_node
    )]
    nodes: Vec<NodePlan>,

    /// How people's connections are protected
    #[arg(long, env = "STARLING_CLUSTER_HTTP", default_value = "tls")]
    http: Http,
}

impl Wanted {
    fn plan(self) -> ClusterPlan {
        ClusterPlan {
            folder: self.out,
            nodes: self.nodes,
            http: match self.http {
                Http::Tls => HttpSecurity::ClusterTls,
                Http::Plain => HttpSecurity::Plain,
            },
        }
    }
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Http {
    /// By certificates of the cluster's own authority
    Tls,
    /// Not at all: on loopback, or behind something that encrypts
    Plain,
}

impl Cluster {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        match self {
            Self::Init(init) => init.run(),
            Self::Invite(invite) => invite.run().await,
            Self::Join(join) => join.run().await,
            Self::Restore(restore) => restore.run().await,
            Self::Status(status) => status.run().await,
            Self::Remove(remove) => remove.run().await,
            Self::Certificate(certificate) => certificate.run(),
            Self::Recover(recover) => recover.run(),
            Self::Resync(resync) => resync.run(),
        }
    }
}

impl Init {
    fn run(self) -> Result<(), Failure> {
        let created = create_cluster(&self.wanted.plan()).map_err(failure)?;
        if self.format.json {
            return Ok(output::object(&to_json(&created))?);
        }
        Ok(explain(&created)?)
    }
}

fn failure(error: InitError) -> Failure {
    match error {
        InitError::Plan { .. } | InitError::Membership => Failure::Usage(error.to_string()),
        other => Failure::Other(other.into()),
    }
}

fn to_json(created: &CreatedCluster) -> Value {
    let nodes = created.nodes.iter().map(|node| {
        json!({
            "name": node.name,
            "id": node.id.to_string(),
            "url": node.url,
            "config": node.config,
        })
    });
    json!({
        "chainId": created.chain.to_string(),
        "token": created.token,
        "ca": created.authority,
        "nodes": nodes.collect::<Vec<_>>(),
    })
}

fn explain(created: &CreatedCluster) -> std::io::Result<()> {
    output::line(&format!("chain {}", created.chain))?;
    for node in &created.nodes {
        let config = node.config.display();
        output::line(&format!(
            "{:8} {}  starling serve --config {config}",
            node.name, node.url
        ))?;
    }
    output::line(&format!("token {}", created.token))?;
    output::note(&format!(
        "Move each node's folder to its machine and start it there. Clients trust {}; put the key beside it away.",
        created.authority.display()
    ));
    Ok(())
}

/// `NAME=HTTP_ADDR,PEER_ADDR[,URL]`.
fn parse_node(text: &str) -> Result<NodePlan, String> {
    let expected = || "a node is written NAME=HTTP_ADDR,PEER_ADDR[,URL]".to_owned();
    let (name, addresses) = text.split_once('=').ok_or_else(expected)?;
    let mut parts = addresses.split(',');
    let (Some(http), Some(peer), url, None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(expected());
    };
    Ok(NodePlan {
        name: name.to_owned(),
        http: http.to_owned(),
        peer: peer.to_owned(),
        url: url.map(str::to_owned),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_read_from_one_argument() {
        let node = parse_node("n1=10.0.0.1:7700,10.0.0.1:7800,https://photos.example.org").unwrap();
        assert_eq!(node.name, "n1");
        assert_eq!(node.peer, "10.0.0.1:7800");
        assert_eq!(node.url.as_deref(), Some("https://photos.example.org"));
        assert!(parse_node("n1=10.0.0.1:7700").is_err());
        assert!(parse_node("10.0.0.1:7700,10.0.0.1:7800").is_err());
    }
}
