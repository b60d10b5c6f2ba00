//! The demo's folder: made at the first start, found at the next.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::ops::Deref;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use model::ChainId;
use node::config::{FILE_NAME, NodeConfig};
use node::identity::Identity;
use node::init::{ClusterPlan, HttpSecurity, NodePlan, create_cluster};

use crate::connection::{TOKEN_FILE, read_token};
use crate::failure::Failure;

const NODES_DEFAULT: u16 = 3;
const PORT_DEFAULT: u16 = 7700;
/// Peers' ports are looked for from this far above the first HTTP port.
const PEER_PORT_DISTANCE: u16 = 100;

/// What a demo consists of.
pub(super) struct DemoCluster {
    /// Where it lies.
    pub(super) folder: PathBuf,
    /// Its chain.
    pub(super) chain: ChainId,
    /// The administrator's token.
    pub(super) token: String,
    /// Its nodes in ring order.
    pub(super) nodes: Vec<DemoNode>,
}

/// A node of the demo.
pub(super) struct DemoNode {
    /// Its `node.toml`.
    pub(super) path: PathBuf,
    config: NodeConfig,
}

impl Deref for DemoNode {
    type Target = NodeConfig;

    fn deref(&self) -> &NodeConfig {
        &self.config
    }
}

impl DemoNode {
    /// Where people reach it.
    pub(super) fn url(&self) -> &str {
        &self.config.http.public_url
    }
}

impl DemoCluster {
    /// What is in the folder, or a new cluster in it.
    pub(super) fn open_or_create(
        folder: &Path,
        nodes: Option<u16>,
        port: Option<u16>,
    ) -> Result<Self, Failure> {
        if !folder.join(TOKEN_FILE).exists() {
            let nodes = nodes.unwrap_or(NODES_DEFAULT);
            create(folder, nodes, port.unwrap_or(PORT_DEFAULT))?;
            return Self::open(folder);
        }
        let found = Self::open(folder)?;
        found.refuse_other_shape(nodes, port)?;
        Ok(found)
    }

    fn open(folder: &Path) -> Result<Self, Failure> {
        // The demo does not obey variables meant for a node that is served by hand.
        let load = |name: &str| {
            let path = folder.join(name).join(FILE_NAME);
            let config = NodeConfig::load_with(&path, |_| None);
            config.map(|config| DemoNode { path, config })
        };
        let first = load("n1").context("opening the demo's folder")?;
        let chain = Identity::load(&first.identity_folder())
            .context("opening the demo's folder")?
            .chain();
        let names: Vec<String> = first
            .members
            .iter()
            .map(|member| member.name.clone())
            .collect();
        let nodes = names
            .iter()
            .map(|name| load(name))
            .collect::<Result<_, _>>();
        Ok(Self {
            folder: folder.to_owned(),
            chain,
            token: read_token(&folder.join(TOKEN_FILE))?,
            nodes: nodes.context("opening the demo's folder")?,
        })
    }

    fn refuse_other_shape(&self, nodes: Option<u16>, port: Option<u16>) -> Result<(), Failure> {
        let first_port = self
            .nodes
            .first()
            .map_or(0, |node| node.http.address.port());
        let count = self.nodes.len();
        let same_count = nodes.is_none_or(|wanted| usize::from(wanted) == count);
        let same_port = port.is_none_or(|wanted| wanted == 0 || wanted == first_port);
        if same_count && same_port {
            return Ok(());
        }
        Err(Failure::Usage(format!(
            "{} holds a demo of {count} nodes from port {first_port}; start it as it is, or name another --dir",
            self.folder.display()
        )))
    }

    /// A port that somebody else holds is named before anything is started.
    pub(super) fn check_ports(&self) -> Result<(), Failure> {
        for node in &self.nodes {
            check_port(node.http.address)?;
            check_port(node.peer.address)?;
        }
        Ok(())
    }
}

fn check_port(address: SocketAddr) -> Result<(), Failure> {
    match TcpListener::bind(address) {
        Ok(_) => Ok(()),
        Err(error) => Err(anyhow::Error::new(error)
            .context(format!("port {} cannot be used", address.port()))
            .into()),
    }
}

fn create(folder: &Path, count: u16, first_port: u16) -> Result<(), Failure> {
    // Listeners are held until all ports are chosen, so that none is chosen twice.
    let http = (0..count).map(|place| match first_port {
        0 => listen(0),
        _ => first_port
            .checked_add(place)
            .context("the ports would pass 65535")
            .and_then(listen),
    });
    let http = http.collect::<anyhow::Result<Vec<_>>>()?;
    let peers = peer_ports(first_port, count)?;
    let nodes = http.iter().zip(&peers).enumerate();
    let nodes = nodes.map(|(place, (http, peer))| {
        Ok(NodePlan {
            name: format!("n{}", place + 1),
            http: http.local_addr()?.to_string(),
            peer: peer.local_addr()?.to_string(),
            url: None,
        })
    });
    let nodes = nodes.collect::<std::io::Result<Vec<_>>>();
    let plan = ClusterPlan {
        folder: folder.to_owned(),
        nodes: nodes.context("choosing ports")?,
        http: HttpSecurity::Plain,
    };
    create_cluster(&plan).context("making the demo")?;
    Ok(())
}

/// Free ports for peers: any, if any will do for people, else the first free ones a little above theirs, because the
/// system hands ports of its own choice to others as soon as the demo stops.
fn peer_ports(first_port: u16, count: u16) -> anyhow::Result<Vec<TcpListener>> {
    if first_port == 0 {
        return (0..count).map(|_| listen(0)).collect();
    }
    let from = first_port.saturating_add(PEER_PORT_DISTANCE);
    let free: Vec<TcpListener> = (from..=u16::MAX)
        .filter_map(|port| listen(port).ok())
        .take(count.into())
        .collect();
    anyhow::ensure!(
        free.len() == usize::from(count),
        "no free ports above {from}"
    );
    Ok(free)
}

fn listen(port: u16) -> anyhow::Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        .with_context(|| format!("port {port} cannot be used"))
}
