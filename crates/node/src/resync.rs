//! A node whose ledger can be believed no more begins anew with what the cluster has certified, under its identity.
//!
//! What it has voted for is forgotten with the old ledger, so it votes again only above a height below which all its old
//! votes lie (`consensus::resync`, docs/protocol.md, P78). Where too few others answer to say which that is, it waits, and
//! where there can never be enough (one or two voters) it refuses.
//!
//! ```text
//! NODE/resync/ledger    filled from the others, then marked by the file `ready`
//! NODE/quarantine/…-ledger    what was there before, whole
//! ```
//!
//! Who interrupts it finds it going on at the next start. It is begun by the file
//! `resync.wanted` in the node's folder, which `starling cluster resync` puts there, and the node itself when it finds while it
//! runs that the cluster has certified another history than its own.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use catalogue::Catalogue;
use consensus::resync::Hearing;
use consensus::{Phase, StopReason};
use ledger::{Anew, CreateError, Folder, MendError, OpenError};
use model::{Boot, ChainId, Height, Nonce, Roster};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::config::NodeConfig;
use crate::identity::Identity;
use crate::init::{InitError, Mode, flush_folder, make_folder, write_file};
use crate::mending::Sources;
use crate::peer::{Inquiry, chain_of_causes};
use crate::progress::{Progress, Stage};
use crate::replica_thread::ReplicaHandle;
use crate::{Findings, Place, acquaintances, disk, stamp};

const STAGING: &str = "resync";
const READY: &str = "ready";
/// The wish that a node do so at its next start.
const WANTED: &str = "resync.wanted";
/// What is replaced.
const LEDGER: &str = "ledger";
/// Between two rounds of questions.
const AGAIN: Duration = Duration::from_millis(500);
/// Between two looks whether the node runs on another history than the others.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Start counters that are left out: the last ones may have been told to others and be lost here.
const BOOTS_LEFT_OUT: u64 = 1 << 20;

/// Why a node did not begin anew.
#[derive(Debug, thiserror::Error)]
pub enum ResyncError {
    /// The first block is not there to begin with.
    #[error("the chain's first block cannot be read")]
    Genesis(#[source] OpenError),
    /// It is another chain's.
    #[error("the ledger is of chain {found}, the identity of chain {expected}")]
    OtherChain {
        /// The ledger's.
        found: ChainId,
        /// The identity's.
        expected: ChainId,
    },
    /// The chain goes on from another one, whose blocks only a join brings.
    #[error(
        "this chain goes on from another one: take the node out (`starling cluster remove`) and let the machine join again under \
         a new name (`starling cluster join`)"
    )]
    Successor,
    /// Nobody can say what this node has voted for.
    #[error(
        "{others} other voters cannot tell that this node's votes count no more, it takes {quorum}: take the node out (`starling \
         cluster remove`) and let the machine join again under a new name (`starling cluster join`)"
    )]
    TooFew {
        /// How many others vote.
        others: usize,
        /// A quorum.
        quorum: usize,
    },
    /// The certified chain cannot be fetched or written.
    #[error(transparent)]
    Mend(#[from] MendError),
    /// The new ledger cannot be made.
    #[error(transparent)]
    Create(#[from] CreateError),
    /// A file or folder cannot be written.
    #[error(transparent)]
    Write(#[from] InitError),
    /// A file or folder cannot be moved.
    #[error("beginning anew: {path}")]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The catalogue cannot be put aside.
    #[error(transparent)]
    Catalogue(#[from] catalogue::OpenError),
    /// The node is to stop.
    #[error("the node shuts down")]
    Closing,
}

fn io(path: &Path) -> impl FnOnce(io::Error) -> ResyncError {
    let path = path.to_owned();
    move |source| ResyncError::Io { path, source }
}

/// What it works with.
pub(crate) struct Resync {
    pub(crate) config: Arc<NodeConfig>,
    pub(crate) identity: Identity,
    pub(crate) findings: Findings,
    pub(crate) progress: Progress,
    pub(crate) runtime: Handle,
    pub(crate) closing: CancellationToken,
}

/// Has a node begin anew at its next start.
///
/// # Errors
/// If its folder cannot be written to.
pub fn want(folder: &Path) -> Result<(), ResyncError> {
    let path = folder.join(WANTED);
    fs::write(&path, "").map_err(io(&path))?;
    Ok(flush_folder(folder)?)
}

/// Whether a node is to begin anew, or has begun to.
pub(crate) fn is_wanted(folder: &Path) -> bool {
    folder.join(WANTED).exists() || folder.join(STAGING).exists()
}

impl Resync {
    /// Replaces the ledger. Blocks the thread for as long as it takes, but not once it is closing.
    ///
    /// # Errors
    /// A [`ResyncError`]; the old ledger is where it was then, and the same may be tried again.
    pub(crate) fn run(&self) -> Result<(), ResyncError> {
        let staging = self.config.folder.join(STAGING);
        if !staging.join(READY).exists() {
            want(&self.config.folder)?;
            self.fill(&staging)?;
            write_file(&staging.join(READY), "", Mode::Public)?;
            flush_folder(&staging)?;
        }
        self.put_in_place(&staging)
    }

    fn fill(&self, staging: &Path) -> Result<(), ResyncError> {
        let old = self.config.ledger_folder();
        let genesis = ledger::read_genesis(&Folder::new(&old)).map_err(ResyncError::Genesis)?;
        let (found, expected) = (genesis.header().chain, self.identity.chain());
        if found != expected {
            return Err(ResyncError::OtherChain { found, expected });
        }
        if genesis.predecessor().is_some() {
            return Err(ResyncError::Successor);
        }
        if !staging.is_dir() {
            make_folder(staging)?;
        }
        let folder = staging.join(LEDGER);
        if ledger::read_genesis(&Folder::new(&folder)).is_err() {
            ledger::create_in(&folder, &genesis)?;
        }
        let boot = ledger::highest_boot(&disk::storage(&old));
        let boot = Boot(boot.0.saturating_add(BOOTS_LEFT_OUT));
        let storage = disk::storage(&folder);
        if ledger::end_of_log(&storage).is_ok_and(|end| end.file != GENESIS_LOG) {
            // It has begun, and was interrupted right behind that.
            return Ok(());
        }
        let signatures = self.identity.key().signatures();
        let anew = Anew::open(&storage, &signatures)?;
        let floor = self.floor(&anew)?;
        info!(%floor, "begins anew with what the cluster has certified");
        anew.begin(boot, floor, nonce()?)?;
        // What was purged may stand in what others have not erased yet.
        ledger::flush_segments(&folder).map_err(io(&folder))
    }

    /// Those who belong to the cluster, as far as that is known.
    fn sources(&self, roster: &Roster) -> Sources {
        let whom = acquaintances::of(roster, &self.config.members);
        let (runtime, closing) = (self.runtime.clone(), self.closing.clone());
        Sources::new(&self.config, &self.identity, whom, runtime, closing)
    }

    /// Takes what is decided until it is known which height has to be, before this node may vote.
    fn floor(&self, anew: &Anew<'_>) -> Result<Height, ResyncError> {
        let mut hearing: Option<Hearing> = None;
        loop {
            let (top, roster) = self.take_all(anew)?;
            let voters = roster.voters();
            let others = voters.len() - usize::from(voters.contains(self.identity.node()));
            if others < voters.quorum() {
                let quorum = voters.quorum();
                return Err(ResyncError::TooFew { others, quorum });
            }
            let known = hearing.take().filter(|hearing| !hearing.is_over(&roster));
            let mut heard = known.unwrap_or_else(|| Hearing::new(self.identity.node(), &roster));
            if let Some(floor) = heard.floor(top, &roster) {
                return Ok(floor);
            }
            if heard.needs_more() {
                self.ask(
                    &mut heard,
                    top,
                    acquaintances::of(&roster, &self.config.members),
                );
            }
            hearing = Some(heard);
            let pause = async { tokio::time::sleep(AGAIN).await };
            let waited = self.closing.run_until_cancelled(pause);
            self.runtime.block_on(waited).ok_or(ResyncError::Closing)?;
        }
    }

    /// Fills the new ledger with all that anybody gives.
    fn take_all(&self, anew: &Anew<'_>) -> Result<(Height, Roster), ResyncError> {
        let mut sources = None;
        loop {
            let (top, roster) = anew.top()?;
            let sources = sources.get_or_insert_with(|| self.sources(&roster));
            self.progress.set(Stage::Resyncing { height: top });
            let given = ledger::Supply::blocks(sources, top.next(), Height(u64::MAX));
            let Some(last) = given.last().map(|decided| decided.block.height()) else {
                return Ok((top, roster));
            };
            anew.take(&mut Given(given, sources), last)?;
        }
    }

    fn ask(&self, hearing: &mut Hearing, top: Height, whom: Vec<crate::peer::Acquaintance>) {
        let (runtime, closing) = (self.runtime.clone(), self.closing.clone());
        let mut inquiry = Inquiry::new(self.identity.clone(), runtime, closing, whom);
        let nodes: Vec<_> = hearing.whom().collect();
        for node in nodes {
            if let Some(tip) = inquiry.tip_of(node, top) {
                hearing.said(node, tip);
            }
        }
    }

    /// Puts the new ledger in the place of the old one, which is kept, and lets the catalogue be built of it.
    fn put_in_place(&self, staging: &Path) -> Result<(), ResyncError> {
        let folder = &self.config.folder;
        let (new, place) = (staging.join(LEDGER), self.config.ledger_folder());
        if new.exists() {
            let quarantine = folder.join("quarantine");
            fs::create_dir_all(&quarantine).map_err(io(&quarantine))?;
            let since = SystemTime::now().duration_since(UNIX_EPOCH);
            let kept = quarantine.join(format!("{}-ledger", since.unwrap_or_default().as_micros()));
            if place.exists() {
                fs::rename(&place, &kept).map_err(io(&kept))?;
            }
            fs::rename(&new, &place).map_err(io(&place))?;
            stamp::ledger::forget(folder).map_err(io(folder))?;
            flush_folder(&quarantine)?;
            flush_folder(folder)?;
            self.tell(kept);
        }
        let rows = self.config.catalogue_path();
        if rows.exists() {
            Catalogue::put_aside(&rows, &folder.join("quarantine"))?;
        }
        for wish in [folder.join(WANTED), staging.join(READY)] {
            if wish.exists() {
                fs::remove_file(&wish).map_err(io(&wish))?;
            }
        }
        fs::remove_dir_all(staging).map_err(io(staging))?;
        Ok(flush_folder(folder)?)
    }

    fn tell(&self, kept: PathBuf) {
        let place = Place::Log {
            file: "the log".to_owned(),
        };
        let what = "it was replaced by what the cluster has certified; this node votes above that";
        let finding = self.findings.report(place, what, Some(kept));
        self.findings.repaired(finding, "the other nodes");
        for open in self.findings.recent() {
            let is_ledger = !matches!(open.place, Place::Blob(_));
            if is_ledger && !open.is_repaired() {
                self.findings.repaired(open.id, "the other nodes");
            }
        }
    }
}

/// The log of a ledger that holds the first block alone.
const GENESIS_LOG: &str = "00000000.log";

fn nonce() -> Result<Nonce, ResyncError> {
    let random = crate::init::random();
    let path = Path::new("a random number");
    random
        .map(Nonce)
        .map_err(io::Error::other)
        .map_err(io(path))
}

/// What was given, and then what is given next.
struct Given<'a>(Vec<model::Decided>, &'a mut Sources);

impl ledger::Supply for Given<'_> {
    fn blocks(&mut self, from: Height, to: Height) -> Vec<model::Decided> {
        let given = std::mem::take(&mut self.0);
        if given
            .first()
            .is_some_and(|first| first.block.height() == from)
        {
            return given;
        }
        self.1.blocks(from, to)
    }

    fn refuse(&mut self, height: Height, what: &str) {
        self.1.refuse(height, what);
    }
}

/// Has a node that finds out while it runs that its history is not the certified one begin anew at its next start.
pub(crate) async fn follow(folder: PathBuf, replica: ReplicaHandle) {
    let forked = || match replica.status().replica.phase {
        Phase::Stopped(StopReason::Forked { since }) => Some(since),
        _ => None,
    };
    let since = loop {
        if let Some(since) = forked() {
            break since;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    };
    match want(&folder) {
        Ok(()) => {
            warn!(%since, "this node begins anew with what the cluster has certified when it is started again")
        }
        Err(error) => {
            let error = chain_of_causes(&error);
            warn!(error, "that this node is to begin anew could not be noted");
        }
    }
}
