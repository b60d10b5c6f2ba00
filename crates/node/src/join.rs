//! Makes a node that joins a cluster, and asks the cluster to take it.
//!
//! First comes the node's folder: its key, its configuration and the chain's first block, fetched from a member whose
//! key the invite names. It is made under another name and put in place by one rename, as in `init`. Then a member is
//! asked to admit the node. If that is interrupted anywhere, doing the same again goes on with the folder that is
//! there: the key in it is the node, and a node that was admitted is told so again.
//!
//! If the chain goes on from another one ([`ledger::predecessor`]), that one's blocks are fetched then, too.
//!
//! Last it takes what the archive has of the chain, if there is one that it can read: the one that was named, or the
//! one that the member fills. See [`from_archive`].
//!
//! Peers ask for nothing but the key, so the node's certificate is signed by itself. People's browsers and programs ask
//! for the cluster's authority. Its key is on no node, so HTTPS needs that key once, or a certificate of one's own.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ledger::Folder;
use model::codec::{Decode as _, DecodeError};
use model::{Block, ChainId, Height, NodeId};

use crate::config::{self, ConfigError, HttpConfig, MemberConfig, NodeConfig, TlsConfig};
use crate::from_archive::{self, Taken};
use crate::identity::{Ca, Identity, IssueError, LoadError, NodeKey};
use crate::init::{
    Addresses, HttpSecurity, InitError, NodePlan, flush_folder, parent, staging_folder,
    write_https, write_rest,
};
use crate::invitation::Invitation;
use crate::peer::{AskError, Host, TakeError};
use crate::{FolderLock, LockError};

/// By then every member has seen that the newcomer belongs to the cluster.
const SEEN_WITHIN: Duration = Duration::from_secs(20);
const ASK_AGAIN: Duration = Duration::from_millis(200);

/// What is wanted.
#[derive(Debug, Clone)]
pub struct JoinPlan {
    /// The node's folder, to be made or gone on with.
    pub folder: PathBuf,
    /// Its name and its addresses.
    pub node: NodePlan,
    /// How people's connections are protected.
    pub https: Https,
    /// What lets it in.
    pub invitation: Invitation,
    /// The archive to begin with and to fill; empty for none. If nobody says, the one that the cluster fills.
    pub archive: Option<String>,
}

/// What happens on the way.
#[derive(Debug)]
pub enum Event {
    /// More of the chain has come from the archive, and was proved.
    Taking(archive::Progress),
    /// An archive was named that is of no use here.
    NoArchive(from_archive::TakeError),
}

/// How people's connections to a new node are protected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Https {
    /// Not at all.
    Plain {
        /// Even on an address that others can reach.
        insecure: bool,
    },
    /// By a certificate that the cluster's authority issues now; this is its private key.
    Authority(PathBuf),
    /// By a certificate of one's own.
    Own(TlsConfig),
}

/// A node that the cluster has taken.
#[derive(Debug, Clone)]
pub struct Joined {
    /// Its chain.
    pub chain: ChainId,
    /// Its name.
    pub name: String,
    /// Its identity.
    pub id: NodeId,
    /// Its `node.toml`.
    pub config: PathBuf,
    /// Where people will reach it.
    pub url: String,
    /// A height at which it belongs to the cluster.
    pub height: Height,
    /// Whether its folder was there already.
    pub resumed: bool,
    /// What the archive gave, if there was one.
    pub taken: Option<Taken>,
}

/// Why a node did not join.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// The folder holds something else.
    #[error("{path} is not empty and holds no node; nothing in it was touched")]
    Occupied {
        /// Which.
        path: PathBuf,
    },
    /// The folder holds another node.
    #[error("{path} holds {found}, not {wanted}; nothing in it was touched")]
    OtherNode {
        /// Which.
        path: PathBuf,
        /// What is there.
        found: String,
        /// What was to be there.
        wanted: String,
    },
    /// The plan does not describe a node.
    #[error("{0}")]
    Plan(String),
    /// Another process uses the folder.
    #[error(transparent)]
    Locked(#[from] LockError),
    /// The folder's configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The folder's identity cannot be used.
    #[error(transparent)]
    Identity(#[from] LoadError),
    /// The folder cannot be made.
    #[error(transparent)]
    Make(#[from] InitError),
    /// A file that was named cannot be read.
    #[error("reading {path}")]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A member gave a first block that is none.
    #[error("the chain's first block is malformed")]
    Malformed(#[from] DecodeError),
    /// A member gave another first block.
    #[error("the chain's first block is not the one that the invite names")]
    OtherGenesis,
    /// No member did what was asked.
    #[error("asking the cluster")]
    Ask(#[from] AskError),
    /// The chain before cannot be had.
    #[error("fetching the chain that this one goes on from")]
    Heritage(#[source] TakeError),
    /// The ledger cannot be used.
    #[error(transparent)]
    Ledger(#[from] ledger::OpenError),
}

impl JoinError {
    /// Whether the same may work later.
    pub fn is_temporary(&self) -> bool {
        matches!(
            self,
            Self::Ask(AskError::Unreachable { .. } | AskError::Later { .. })
                | Self::Locked(LockError::InUse { .. })
                | Self::Heritage(TakeError::Refused { .. })
        )
    }
}

impl From<IssueError> for JoinError {
    fn from(error: IssueError) -> Self {
        Self::Make(error.into())
    }
}

/// Makes the node's folder, unless it is there, has the node admitted, and takes what the archive has.
///
/// # Errors
/// A [`JoinError`]. What was done is kept: the same again goes on from there.
pub async fn join(plan: &JoinPlan, tell: &dyn Fn(Event)) -> Result<Joined, JoinError> {
    if let Some(url) = plan.archive.as_ref().filter(|url| !url.is_empty()) {
        archive::Store::open(url).map_err(|error| JoinError::Plan(error.to_string()))?;
    }
    let file = plan.folder.join(config::FILE_NAME);
    let resumed = file.is_file();
    if !resumed {
        make(plan, tell).await?;
    }
    let _lock = FolderLock::take(&plan.folder)?;
    let config = NodeConfig::load_with(&file, |_| None)?;
    let identity = Identity::load(&config.identity_folder())?;
    check_same(plan, &config, &identity)?;
    let addresses = config.me().addresses();
    let proof = plan.invitation.proof();
    let height = ask(plan, &identity, async |host| {
        host.join(&proof, &config.name, &addresses).await
    })
    .await?;
    // Only a member is given it.
    inherit(plan, &identity, &config.ledger_folder()).await?;
    let taken = take(plan, &config, tell).await;
    Ok(Joined {
        chain: identity.chain(),
        id: identity.node(),
        url: config.http.public_url.clone(),
        name: config.name,
        config: file,
        height,
        resumed,
        taken,
    })
}

/// What the archive gives. That it gives nothing is no reason not to join: the members have everything.
async fn take(plan: &JoinPlan, config: &NodeConfig, tell: &dyn Fn(Event)) -> Option<Taken> {
    let url = plan.archive.as_ref().or(config.archive_url.as_ref());
    let url = url.filter(|url| !url.is_empty())?;
    let progress = |progress| tell(Event::Taking(progress));
    match from_archive::take(url, &config.ledger_folder(), progress).await {
        Ok(taken) => Some(taken),
        Err(error) => {
            tell(Event::NoArchive(error));
            None
        }
    }
}

fn check_same(plan: &JoinPlan, config: &NodeConfig, identity: &Identity) -> Result<(), JoinError> {
    let there = |name: &str, chain: ChainId| format!("node {name} of chain {chain}");
    let found = there(&config.name, identity.chain());
    let wanted = there(&plan.node.name, plan.invitation.chain);
    if found == wanted {
        return Ok(());
    }
    Err(JoinError::OtherNode {
        path: plan.folder.clone(),
        found,
        wanted,
    })
}

/// Asks one member after the other until one has a final answer.
async fn ask<T>(
    plan: &JoinPlan,
    identity: &Identity,
    question: impl AsyncFn(&mut Host) -> Result<T, AskError>,
) -> Result<T, JoinError> {
    let mut last = AskError::Refused("the invite names no member to ask".to_owned());
    for (member, addresses) in &plan.invitation.members {
        let answer = match Host::call(identity, member.id, &addresses.peer).await {
            Ok(mut host) => question(&mut host).await,
            Err(error) => Err(error),
        };
        match answer {
            Ok(answer) => return Ok(answer),
            Err(error @ AskError::Refused(_)) => return Err(error.into()),
            Err(error) => last = error,
        }
    }
    Err(last.into())
}

/// Fetches the ledger of the chain before, if the chain goes on from one and it is not there yet.
async fn inherit(plan: &JoinPlan, identity: &Identity, ledger: &Path) -> Result<(), JoinError> {
    let first = ledger::read_genesis(&Folder::new(ledger))?;
    let place = ledger.join(ledger::predecessor::FOLDER);
    if first.predecessor().is_none() || place.exists() {
        return Ok(());
    }
    let unfinished = ledger.join("predecessor.unfinished");
    let started = Instant::now();
    loop {
        let error = match take_from_anybody(plan, identity, &unfinished).await {
            Ok(()) => break,
            Err(error) => error,
        };
        let soon = matches!(error, TakeError::Refused { soon: true, .. });
        if !soon || started.elapsed() > SEEN_WITHIN {
            return Err(JoinError::Heritage(error));
        }
        tokio::time::sleep(ASK_AGAIN).await;
    }
    fs::rename(&unfinished, &place).map_err(|source| InitError::Write {
        path: place.clone(),
        source,
    })?;
    flush_folder(ledger)?;
    let report = ledger::verify(ledger, &identity.key().signatures())?;
    let Some(fault) = report.faults.into_iter().next() else {
        return Ok(());
    };
    // Somebody else may have the right one, next time.
    let _ = fs::remove_dir_all(&place);
    Err(JoinError::Heritage(TakeError::Wrong {
        height: fault.height,
        what: fault.what,
    }))
}

async fn take_from_anybody(
    plan: &JoinPlan,
    identity: &Identity,
    folder: &Path,
) -> Result<(), TakeError> {
    let mut last = None;
    for (member, addresses) in &plan.invitation.members {
        if folder.exists() {
            // What an earlier attempt left.
            let _ = fs::remove_dir_all(folder);
        }
        let at = (member.id, &*addresses.peer);
        match crate::peer::take(identity, at, folder).await {
            Ok(()) => return Ok(()),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| TakeError::Refused {
        address: "nobody".to_owned(),
        detail: "the invite names no member to ask".to_owned(),
        soon: false,
    }))
}

async fn make(plan: &JoinPlan, tell: &dyn Fn(Event)) -> Result<(), JoinError> {
    refuse_occupied(&plan.folder)?;
    let key = NodeKey::generate().map_err(InitError::Random)?;
    let invitation = &plan.invitation;
    let name = &plan.node.name;
    let identity = Identity::self_issued(invitation.chain, key, name, &invitation.ca_pem)?;
    let mut config = configure(plan, &identity)?;
    let authority = authority(plan)?;
    let proof = invitation.proof();
    let start = ask(plan, &identity, async |host| host.begin(&proof).await).await?;
    let genesis = Block::from_bytes(&start.genesis)?;
    if genesis.hash() != invitation.genesis || genesis.header().chain != invitation.chain {
        return Err(JoinError::OtherGenesis);
    }
    config.archive_url = choose_archive(plan, start.archive, &genesis, tell).await;
    let staging = staging_folder(&plan.folder)?;
    let written = write(&staging, &identity, &config, authority.as_ref(), &genesis);
    let put = written.and_then(|()| put_in_place(&staging, &plan.folder));
    if put.is_err() {
        // Half a folder helps nobody, and the error that counts is the one at hand.
        let _ = fs::remove_dir_all(&staging);
    }
    put
}

/// The archive that was named, or the members' if it can be read from here.
async fn choose_archive(
    plan: &JoinPlan,
    theirs: Option<String>,
    genesis: &Block,
    tell: &dyn Fn(Event),
) -> Option<String> {
    if let Some(ours) = &plan.archive {
        return Some(ours.clone()).filter(|url| !url.is_empty());
    }
    let theirs = theirs?;
    match from_archive::check(&theirs, genesis).await {
        Ok(()) => Some(theirs),
        Err(error) => {
            tell(Event::NoArchive(error));
            None
        }
    }
}

fn refuse_occupied(folder: &Path) -> Result<(), JoinError> {
    let empty = match fs::read_dir(folder) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    };
    if empty {
        return Ok(());
    }
    Err(JoinError::Occupied {
        path: folder.to_owned(),
    })
}

fn configure(plan: &JoinPlan, identity: &Identity) -> Result<NodeConfig, JoinError> {
    let security = match plan.https {
        Https::Plain { .. } => HttpSecurity::Plain,
        Https::Authority(_) | Https::Own(_) => HttpSecurity::ClusterTls,
    };
    let node = &plan.node;
    let addresses = Addresses::of(node, security).map_err(|e| JoinError::Plan(e.to_string()))?;
    let entry = |name: &str, id, peer: &str, url: &str| MemberConfig {
        name: name.to_owned(),
        id,
        peer_address: peer.to_owned(),
        url: url.to_owned(),
        pinned: false,
    };
    let members = plan.invitation.members.iter();
    let mut book: Vec<MemberConfig> = members
        .map(|(member, at)| entry(&member.name, member.id, &at.peer, &at.url))
        .collect();
    if book.iter().any(|member| member.name == node.name) {
        let detail = format!("a member of the cluster has the name {}", node.name);
        return Err(JoinError::Plan(detail));
    }
    let id = identity.node();
    book.push(entry(&node.name, id, &node.peer, &addresses.url));
    let mut config = addresses.config(&node.name, &book);
    protect(plan, &mut config.http)?;
    Ok(config)
}

fn protect(plan: &JoinPlan, http: &mut HttpConfig) -> Result<(), JoinError> {
    match &plan.https {
        Https::Plain { insecure } => {
            http.insecure = *insecure;
            if !http.address.ip().is_loopback() && !insecure {
                let detail = format!(
                    "{} can be reached by others: give the authority's key (--ca-key), a certificate (--tls-cert and \
                     --tls-key), or --insecure-http if something in front of it encrypts",
                    http.address
                );
                return Err(JoinError::Plan(detail));
            }
        }
        Https::Authority(_) => {}
        Https::Own(tls) => {
            let whole = |path: &PathBuf| {
                std::path::absolute(path).map_err(|source| JoinError::Read {
                    path: path.clone(),
                    source,
                })
            };
            http.tls = Some(TlsConfig {
                certificate: whole(&tls.certificate)?,
                key: whole(&tls.key)?,
            });
        }
    }
    Ok(())
}

fn authority(plan: &JoinPlan) -> Result<Option<Ca>, JoinError> {
    let Https::Authority(path) = &plan.https else {
        return Ok(None);
    };
    let key = fs::read_to_string(path).map_err(|source| JoinError::Read {
        path: path.clone(),
        source,
    })?;
    let invitation = &plan.invitation;
    Ok(Some(Ca::from_pem(
        invitation.chain,
        &invitation.ca_pem,
        &key,
    )?))
}

fn write(
    folder: &Path,
    identity: &Identity,
    config: &NodeConfig,
    authority: Option<&Ca>,
    genesis: &Block,
) -> Result<(), JoinError> {
    let path = folder.join("identity");
    identity.save(&path).map_err(InitError::Save)?;
    if let Some(authority) = authority {
        write_https(authority, config, &path)?;
    }
    Ok(write_rest(config, genesis, folder)?)
}

fn put_in_place(staging: &Path, target: &Path) -> Result<(), JoinError> {
    fs::rename(staging, target).map_err(|source| InitError::Write {
        path: target.to_owned(),
        source,
    })?;
    Ok(flush_folder(parent(target))?)
}
