//! Makes a cluster: its chain, its authority, and a folder for each of its nodes.
//!
//! Everything is made under a temporary name beside the target and flushed; one rename then puts it in place. So there
//! is a whole cluster or none, and nothing that exists is ever overwritten. Folders may be moved to their machines
//! afterwards: all paths in them are relative.
//!
//! ```text
//! OUT/token        the administrator's token, mode 0600
//! OUT/ca/          the authority's certificate and private key, for the operator to put away
//! OUT/NAME/        a node's folder: node.toml, identity/, ledger/ with genesis, blobs/, tmp/
//! ```
//!
//! A node's private key is in its own folder and nowhere else.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use model::{
    Block, ChainId, Command, Digest, LibraryId, Member, Membership, NodeId, Nonce, Payload,
    RosterChange, Timestamp, TokenId, limits,
};

use crate::config::{
    self, HttpConfig, MemberConfig, NodeConfig, PeerConfig, TlsConfig, check_name,
};
use crate::identity::{Ca, Identity, IssueError, LoadError, NodeKey, SaveError, create_ca};
use crate::restore::lay_down;

/// Name of the file with the administrator's token.
pub const TOKEN_FILE: &str = "token";
/// Name of the folder with the authority's certificate and key.
pub const AUTHORITY_FOLDER: &str = "ca";
/// Name of the authority's certificate in its folder.
pub const AUTHORITY_CERTIFICATE: &str = "ca.pem";

const AUTHORITY_KEY: &str = "ca-key.pem";
const HTTPS_CERTIFICATE: &str = "https.pem";
const HTTPS_KEY: &str = "https-key.pem";

/// What is to be made.
#[derive(Debug, Clone)]
pub struct ClusterPlan {
    /// Where. It must not exist, or be an empty folder.
    pub folder: PathBuf,
    /// The nodes in ring order.
    pub nodes: Vec<NodePlan>,
    /// How people's connections are protected.
    pub http: HttpSecurity,
}

/// One node to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodePlan {
    /// Its name.
    pub name: String,
    /// `host:port` where people reach it.
    pub http: String,
    /// `host:port` where peers call it.
    pub peer: String,
    /// What people type, if that is not where it listens; the scheme is part of it.
    pub url: Option<String>,
}

/// How people's connections are protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HttpSecurity {
    /// Not at all: for loopback only.
    Plain,
    /// By certificates of the cluster's own authority.
    ClusterTls,
}

/// What was made.
#[derive(Debug, Clone)]
pub struct CreatedCluster {
    /// The chain.
    pub chain: ChainId,
    /// The administrator's token. It is stored nowhere else than in the token file.
    pub token: String,
    /// The authority's certificate, which clients trust.
    pub authority: PathBuf,
    /// The nodes in ring order.
    pub nodes: Vec<CreatedNode>,
}

/// One node that was made.
#[derive(Debug, Clone)]
pub struct CreatedNode {
    /// Its name.
    pub name: String,
    /// Its identity.
    pub id: NodeId,
    /// Its `node.toml`.
    pub config: PathBuf,
    /// Where people reach it.
    pub url: String,
}

/// Why no cluster was made.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// There is something already.
    #[error("{path} exists and is not empty; nothing in it was touched")]
    Exists {
        /// Where.
        path: PathBuf,
    },
    /// The plan does not describe a cluster.
    #[error("{node}: {detail}")]
    Plan {
        /// Which node.
        node: String,
        /// What is wrong with it.
        detail: String,
    },
    /// Too few nodes, too many, or two that share a name.
    #[error("a cluster has 1 to {} nodes with distinct names", limits::VOTERS_MAX)]
    Membership,
    /// A file or folder could not be written.
    #[error("writing {path}")]
    Write {
        /// Which.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// A certificate could not be made.
    #[error("making the cluster's certificates")]
    Issue(#[from] IssueError),
    /// An identity could not be written.
    #[error("writing a node's identity")]
    Save(#[from] SaveError),
    /// The ledger could not be made.
    #[error("writing the ledger of {node}")]
    Ledger {
        /// Whose.
        node: String,
        /// Why.
        #[source]
        source: ledger::CreateError,
    },
    /// The system has no randomness to give.
    #[error("drawing keys")]
    Random(#[from] getrandom::Error),
}

/// A bearer token: its public half, what people type, and what the ledger keeps of the secret.
pub struct NewToken {
    /// The public half.
    pub id: TokenId,
    /// `stl_<id>_<secret>`: shown once.
    pub text: String,
    /// SHA-256 of the secret's text.
    pub secret: Digest,
}

impl NewToken {
    /// Draws a token.
    ///
    /// # Errors
    /// If the system has no randomness to give.
    pub fn draw() -> Result<Self, getrandom::Error> {
        let id = TokenId(random()?);
        let secret = loop {
            let secret = URL_SAFE_NO_PAD.encode(random::<32>()?);
            // An underscore divides the parts of a token, and base64url has it too.
            if !secret.contains('_') {
                break secret;
            }
        };
        Ok(Self {
            id,
            text: format!("stl_{id}_{secret}"),
            secret: Digest::of(&[secret.as_bytes()]),
        })
    }
}

/// Makes a cluster.
///
/// # Errors
/// An [`InitError`]; the target is then as it was.
pub fn create_cluster(plan: &ClusterPlan) -> Result<CreatedCluster, InitError> {
    create_with(plan, genesis, None)
}

/// The same with another first block; a successor's goes on above what is kept in the folder `before`.
pub(crate) fn create_with(
    plan: &ClusterPlan,
    first: impl FnOnce(ChainId, &[MemberConfig], &NewToken) -> Result<Block, InitError>,
    before: Option<&Path>,
) -> Result<CreatedCluster, InitError> {
    let target = &plan.folder;
    refuse_existing(target)?;
    let founded = Founding::new(plan, first, before)?;
    let staging = staging_folder(target)?;
    let made = founded.write(&staging).and_then(|()| {
        fs::rename(&staging, target).map_err(|source| InitError::Write {
            path: target.clone(),
            source,
        })?;
        flush_folder(parent(target))
    });
    if let Err(error) = made {
        // Half a cluster helps nobody, and the error that counts is the one at hand.
        let _ = fs::remove_dir_all(&staging);
        return Err(error);
    }
    Ok(founded.created(target))
}

/// Everything about a new cluster that is not yet on disk.
struct Founding {
    authority: Ca,
    genesis: Block,
    token: NewToken,
    nodes: Vec<Founder>,
    /// What the chain goes on from.
    before: Option<PathBuf>,
}

struct Founder {
    identity: Identity,
    config: NodeConfig,
}

impl Founding {
    fn new(
        plan: &ClusterPlan,
        first: impl FnOnce(ChainId, &[MemberConfig], &NewToken) -> Result<Block, InitError>,
        before: Option<&Path>,
    ) -> Result<Self, InitError> {
        let chain = ChainId(random()?);
        let authority = create_ca(chain)?;
        let mut identities = Vec::new();
        for node in &plan.nodes {
            identities.push(authority.issue_identity(NodeKey::generate()?, &node.name)?);
        }
        let addresses = plan
            .nodes
            .iter()
            .map(|node| Addresses::of(node, plan.http))
            .collect::<Result<Vec<_>, _>>()?;
        let book: Vec<MemberConfig> = identities
            .iter()
            .zip(&plan.nodes)
            .zip(&addresses)
            .map(|((identity, node), addresses)| MemberConfig {
                name: node.name.clone(),
                id: identity.node(),
                peer_address: node.peer.clone(),
                url: addresses.url.clone(),
                pinned: false,
            })
            .collect();
        let token = NewToken::draw()?;
        let genesis = first(chain, &book, &token)?;
        let nodes = identities
            .into_iter()
            .zip(addresses)
            .zip(&plan.nodes)
            .map(|((identity, addresses), node)| Founder {
                identity,
                config: addresses.config(&node.name, &book),
            })
            .collect();
        Ok(Self {
            authority,
            genesis,
            token,
            nodes,
            before: before.map(Path::to_owned),
        })
    }

    fn write(&self, folder: &Path) -> Result<(), InitError> {
        for node in &self.nodes {
            self.write_node(node, &folder.join(&node.config.name))?;
        }
        let authority = folder.join(AUTHORITY_FOLDER);
        make_folder(&authority)?;
        let certificate = self.authority.certificate_pem();
        write_file(
            &authority.join(AUTHORITY_CERTIFICATE),
            certificate,
            Mode::Public,
        )?;
        let key = self.authority.key_pem();
        write_file(&authority.join(AUTHORITY_KEY), &key, Mode::Secret)?;
        flush_folder(&authority)?;
        let token = format!("{}\n", self.token.text);
        write_file(&folder.join(TOKEN_FILE), &token, Mode::Secret)?;
        flush_folder(folder)
    }

    fn write_node(&self, node: &Founder, folder: &Path) -> Result<(), InitError> {
        make_folder(folder)?;
        let identity = folder.join("identity");
        node.identity.save(&identity)?;
        if node.config.http.tls.is_some() {
            write_https(&self.authority, &node.config, &identity)?;
        }
        write_rest(&node.config, &self.genesis, folder)?;
        let before = self.before.as_ref();
        before.map_or(Ok(()), |kept| lay_down(kept, &folder.join("ledger")))
    }

    fn created(self, folder: &Path) -> CreatedCluster {
        let created = |node: Founder| CreatedNode {
            id: node.identity.node(),
            config: folder.join(&node.config.name).join(config::FILE_NAME),
            url: node.config.http.public_url,
            name: node.config.name,
        };
        CreatedCluster {
            chain: self.genesis.header().chain,
            token: self.token.text,
            authority: folder.join(AUTHORITY_FOLDER).join(AUTHORITY_CERTIFICATE),
            nodes: self.nodes.into_iter().map(created).collect(),
        }
    }
}

/// Writes a certificate of the authority for a node's HTTPS.
pub(crate) fn write_https(
    authority: &Ca,
    config: &NodeConfig,
    identity: &Path,
) -> Result<(), InitError> {
    let https = authority.issue_https(&web_names(config))?;
    let certificate = identity.join(HTTPS_CERTIFICATE);
    write_file(&certificate, &https.certificate_pem, Mode::Public)?;
    write_file(&identity.join(HTTPS_KEY), &https.key_pem, Mode::Secret)?;
    flush_folder(identity)
}

/// Why a node's certificate for HTTPS was not renewed.
#[derive(Debug, thiserror::Error)]
pub enum RenewError {
    /// The node serves plain HTTP, or with a certificate of its owner's.
    #[error("{0} does not serve HTTPS with a certificate of the cluster's authority")]
    NotOurs(String),
    /// The node's identity cannot be read.
    #[error(transparent)]
    Identity(#[from] LoadError),
    /// The authority's key cannot be read.
    #[error("reading {path}")]
    Key {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The certificate cannot be made.
    #[error("making the certificate")]
    Issue(#[from] IssueError),
    /// It cannot be written.
    #[error(transparent)]
    Write(#[from] InitError),
}

/// Issues a new certificate, with a new key, for a node's HTTPS, and puts it in the place of the old one. A node that
/// runs takes it by itself. Gives the names it is for.
///
/// # Errors
/// A [`RenewError`]. The node serves with what it had then.
pub fn renew_https(config: &NodeConfig, ca_key: &Path) -> Result<Vec<String>, RenewError> {
    let folder = config.identity_folder();
    let ours = folder.join(HTTPS_CERTIFICATE);
    let tls = config.http.tls.as_ref();
    if tls.is_none_or(|tls| tls.certificate != ours) {
        return Err(RenewError::NotOurs(config.name.clone()));
    }
    let identity = Identity::load(&folder)?;
    let key = fs::read_to_string(ca_key).map_err(|source| RenewError::Key {
        path: ca_key.to_owned(),
        source,
    })?;
    let authority = Ca::from_pem(identity.chain(), identity.ca_pem(), &key)?;
    let names = web_names(config);
    let https = authority.issue_https(&names)?;
    // The key first: until both are there, what is in place is tried and refused, and the old pair stays in use.
    for (name, text, mode) in [
        (HTTPS_KEY, &https.key_pem, Mode::Secret),
        (HTTPS_CERTIFICATE, &https.certificate_pem, Mode::Public),
    ] {
        let staged = folder.join(format!(
            "{name}.{}",
            Nonce(random().map_err(InitError::from)?)
        ));
        write_file(&staged, text, mode)?;
        let path = folder.join(name);
        fs::rename(&staged, &path).map_err(|source| InitError::Write { path, source })?;
    }
    flush_folder(&folder)?;
    Ok(names)
}

/// Writes what a node's folder holds besides its identity, `node.toml` last.
pub(crate) fn write_rest(
    config: &NodeConfig,
    genesis: &Block,
    folder: &Path,
) -> Result<(), InitError> {
    let ledger = folder.join("ledger");
    make_folder(&ledger)?;
    ledger::create_in(&ledger, genesis).map_err(|source| InitError::Ledger {
        node: config.name.clone(),
        source,
    })?;
    make_folder(&folder.join("blobs"))?;
    make_folder(&folder.join("tmp"))?;
    let path = folder.join(config::FILE_NAME);
    write_file(&path, &config.to_toml(), Mode::Public)?;
    flush_folder(folder)
}

/// Where a node listens, and what it is called from outside.
pub(crate) struct Addresses {
    http: SocketAddr,
    peer: SocketAddr,
    pub(crate) url: String,
    security: HttpSecurity,
}

impl Addresses {
    pub(crate) fn of(node: &NodePlan, security: HttpSecurity) -> Result<Self, InitError> {
        let wrong = |detail: String| InitError::Plan {
            node: node.name.clone(),
            detail,
        };
        check_name(&node.name).map_err(|detail| wrong(format!("the name {detail}")))?;
        let listen = |address: &str| {
            listening(address).ok_or_else(|| wrong(format!("{address:?} is not host:port")))
        };
        let (http, peer) = (listen(&node.http)?, listen(&node.peer)?);
        if callable(&node.peer).is_none() {
            let detail = format!("peers cannot call {}: give the address they see", node.peer);
            return Err(wrong(detail));
        }
        let scheme = match security {
            HttpSecurity::Plain => "http",
            HttpSecurity::ClusterTls => "https",
        };
        let url = match (&node.url, callable(&node.http)) {
            (Some(url), _) => url.trim_end_matches('/').to_owned(),
            (None, Some(address)) => format!("{scheme}://{address}"),
            (None, None) => {
                let detail = format!("nobody can call {}: give the url people type", node.http);
                return Err(wrong(detail));
            }
        };
        Ok(Self {
            http,
            peer,
            url,
            security,
        })
    }

    pub(crate) fn config(self, name: &str, members: &[MemberConfig]) -> NodeConfig {
        let identity = Path::new("identity");
        let tls = match self.security {
            HttpSecurity::Plain => None,
            HttpSecurity::ClusterTls => Some(TlsConfig {
                certificate: identity.join(HTTPS_CERTIFICATE),
                key: identity.join(HTTPS_KEY),
            }),
        };
        NodeConfig {
            name: name.to_owned(),
            folder: PathBuf::new(),
            http: HttpConfig {
                address: self.http,
                tls,
                public_url: self.url,
                insecure: false,
            },
            peer: PeerConfig { address: self.peer },
            archive_url: None,
            dead_after: Some(config::DEAD_AFTER),
            blobs: config::BlobsConfig::default(),
            trash_keep: Some(config::TRASH_KEEP),
            scrub: config::ScrubConfig::default(),
            media: config::MediaConfig::default(),
            access: config::AccessConfig::default(),
            members: members.to_vec(),
        }
    }
}

fn genesis(chain: ChainId, book: &[MemberConfig], token: &NewToken) -> Result<Block, InitError> {
    let voters = book
        .iter()
        .map(|member| Member {
            id: member.id,
            name: member.name.clone(),
        })
        .collect();
    let membership = Membership::new(voters).ok_or(InitError::Membership)?;
    let time = now();
    let command = Command {
        library: LibraryId::home(),
        actor: token.id,
        key: None,
        valid_until: time,
        payload: Payload::Genesis {
            voters: membership.voters().to_vec(),
            admin: token.id,
            admin_secret: token.secret,
            library: LibraryId::home(),
        },
    };
    let founding = command.seal(random()?);
    let moves = book
        .iter()
        .map(|member| Ok(settle(member, token.id, time).seal(random()?)));
    let moves = moves.collect::<Result<_, getrandom::Error>>()?;
    Ok(Block::founding(chain, &membership, time, founding, moves))
}

/// Says in the chain where a founder is, so that whoever joins learns it there.
fn settle(member: &MemberConfig, actor: TokenId, time: Timestamp) -> Command {
    Command {
        library: LibraryId::home(),
        actor,
        key: None,
        valid_until: time,
        payload: Payload::Roster(RosterChange::Move {
            node: member.id,
            addresses: member.addresses(),
        }),
    }
}

/// Where to listen for what is called at `address`: a host name is resolved by others, so every interface is listened
/// on.
fn listening(address: &str) -> Option<SocketAddr> {
    address.parse().ok().or_else(|| {
        let port = config::port(address)?;
        Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port))
    })
}

/// The address, if others can call it.
fn callable(address: &str) -> Option<&str> {
    let unspecified = address
        .parse()
        .is_ok_and(|address: SocketAddr| address.ip().is_unspecified());
    (!unspecified).then_some(address)
}

/// Every name under which an HTTPS client may reach a node.
pub(crate) fn web_names(config: &NodeConfig) -> Vec<String> {
    let host = config
        .http
        .public_url
        .split_once("://")
        .map_or("", |(_, host)| host);
    let host = match config::port(host) {
        Some(_) => host.rsplit_once(':').map_or(host, |(host, _)| host),
        None => host,
    };
    let mut names = vec![host.trim_matches(['[', ']']).to_owned()];
    let ip = config.http.address.ip();
    if !ip.is_unspecified() {
        names.push(ip.to_string());
    }
    names.extend(["localhost".to_owned(), "127.0.0.1".to_owned()]);
    let mut distinct = Vec::new();
    for name in names {
        if !distinct.contains(&name) {
            distinct.push(name);
        }
    }
    distinct
}

fn refuse_existing(target: &Path) -> Result<(), InitError> {
    let empty = match fs::read_dir(target) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    };
    if empty {
        Ok(())
    } else {
        Err(InitError::Exists {
            path: target.to_owned(),
        })
    }
}

/// A folder of a random name beside the target, so that the last step is one rename.
pub(crate) fn staging_folder(target: &Path) -> Result<PathBuf, InitError> {
    let write = |path: &Path, source| InitError::Write {
        path: path.to_owned(),
        source,
    };
    let parent = parent(target);
    fs::create_dir_all(parent).map_err(|source| write(parent, source))?;
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    let staging = parent.join(format!(".{name}.{}", Nonce(random()?)));
    make_folder(&staging)?;
    Ok(staging)
}

pub(crate) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

/// For its owner alone: photos are nobody else's business.
pub(crate) fn make_folder(path: &Path) -> Result<(), InitError> {
    fs::DirBuilder::new()
        .mode(0o700)
        .create(path)
        .map_err(|source| InitError::Write {
            path: path.to_owned(),
            source,
        })
}

/// Who may read a file.
#[derive(Clone, Copy)]
pub(crate) enum Mode {
    Public,
    Secret,
}

pub(crate) fn write_file(path: &Path, text: &str, mode: Mode) -> Result<(), InitError> {
    let mode = match mode {
        Mode::Public => 0o644,
        Mode::Secret => 0o600,
    };
    let write = || {
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create_new(true).mode(mode).open(path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    write().map_err(|source| InitError::Write {
        path: path.to_owned(),
        source,
    })
}

pub(crate) fn flush_folder(path: &Path) -> Result<(), InitError> {
    File::open(path)
        .and_then(|folder| folder.sync_all())
        .map_err(|source| InitError::Write {
            path: path.to_owned(),
            source,
        })
}

pub(crate) fn random<const N: usize>() -> Result<[u8; N], getrandom::Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    Timestamp::default().plus(since.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn plan(folder: &Path, http: HttpSecurity) -> ClusterPlan {
        let node = |n: u16| NodePlan {
            name: format!("n{n}"),
            http: format!("127.0.0.1:{}", 7700 + n),
            peer: format!("127.0.0.1:{}", 7800 + n),
            url: None,
        };
        ClusterPlan {
            folder: folder.to_owned(),
            nodes: vec![node(1), node(2), node(3)],
            http,
        }
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn every_node_gets_its_own_key_and_the_same_genesis() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("cluster");
        let created = create_cluster(&plan(&out, HttpSecurity::Plain)).unwrap();
        assert_eq!(created.nodes.len(), 3);
        for node in &created.nodes {
            let config = NodeConfig::load_with(&node.config, |_| None).unwrap();
            let identity = Identity::load(&config.identity_folder()).unwrap();
            assert_eq!(identity.node(), node.id);
            assert_eq!(identity.chain(), created.chain);
            assert_eq!(config.me().id, node.id);
            assert_eq!(config.members.len(), 3);
            assert_eq!(mode(&config.identity_folder().join("key.pem")), 0o600);
            assert!(config.ledger_folder().is_dir() && config.temporary_folder().is_dir());
        }
        let left: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
        assert_eq!(left.len(), 1, "nothing but the cluster is left behind");
    }

    #[test]
    fn secrets_are_for_their_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("cluster");
        let created = create_cluster(&plan(&out, HttpSecurity::ClusterTls)).unwrap();
        let token = fs::read_to_string(out.join(TOKEN_FILE)).unwrap();
        assert_eq!(token.trim_end(), created.token);
        assert_eq!(mode(&out.join(TOKEN_FILE)), 0o600);
        assert_eq!(mode(&out.join("ca/ca-key.pem")), 0o600);
        assert_eq!(mode(&out.join("n2/identity/https-key.pem")), 0o600);
        assert!(!out.join("n2/ca-key.pem").exists());
        let config = NodeConfig::load_with(&created.nodes[1].config, |_| None).unwrap();
        assert!(config.http.tls.unwrap().certificate.is_file());
        assert!(config.http.public_url.starts_with("https://"));
    }

    #[test]
    fn what_exists_is_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("cluster");
        create_cluster(&plan(&out, HttpSecurity::Plain)).unwrap();
        let token = fs::read(out.join(TOKEN_FILE)).unwrap();
        let again = create_cluster(&plan(&out, HttpSecurity::Plain));
        assert!(matches!(again, Err(InitError::Exists { .. })));
        assert_eq!(fs::read(out.join(TOKEN_FILE)).unwrap(), token);
    }

    #[test]
    fn a_name_without_meaning_outside_needs_a_url() {
        let folder = tempfile::tempdir().unwrap();
        let mut plan = plan(&folder.path().join("cluster"), HttpSecurity::ClusterTls);
        plan.nodes[0].http = "0.0.0.0:7700".into();
        let error = create_cluster(&plan).expect_err("refused").to_string();
        assert!(error.contains("0.0.0.0:7700"), "{error}");
        plan.nodes[0].url = Some("https://photos.example.org/".into());
        plan.nodes[1].peer = "nas:7801".into();
        let created = create_cluster(&plan).unwrap();
        let config = NodeConfig::load_with(&created.nodes[0].config, |_| None).unwrap();
        assert_eq!(config.http.public_url, "https://photos.example.org");
        let config = NodeConfig::load_with(&created.nodes[1].config, |_| None).unwrap();
        assert_eq!(config.peer.address.to_string(), "0.0.0.0:7801");
        assert_eq!(config.me().peer_address, "nas:7801");
    }

    #[test]
    fn twins_and_crowds_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let mut plan = plan(&folder.path().join("cluster"), HttpSecurity::Plain);
        plan.nodes[2].name = "n1".into();
        assert!(matches!(create_cluster(&plan), Err(InitError::Membership)));
        plan.nodes.clear();
        assert!(matches!(create_cluster(&plan), Err(InitError::Membership)));
        assert!(!plan.folder.exists());
    }

    #[test]
    fn a_token_hides_its_secret_behind_a_hash() {
        let token = NewToken::draw().unwrap();
        let parts: Vec<&str> = token.text.split('_').collect();
        let [prefix, id, secret] = parts[..] else {
            panic!("{} has three parts", token.text);
        };
        assert_eq!((prefix, id), ("stl", token.id.to_string().as_str()));
        assert_eq!(secret.len(), 43);
        assert_eq!(token.secret, Digest::of(&[secret.as_bytes()]));
    }
}
