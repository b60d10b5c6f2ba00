//! Starting a node in the right order, and stopping it in the reverse one.
//!
//! `opening` opens what is on the disk, and mends it where it has to; `starting` starts what runs on it.

mod opening;
mod starting;

use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use model::{Height, NodeId, Reason};
use replica::Replica;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::{info, warn};

use self::opening::Opened;
use self::starting::Base;
use crate::accusations::Accusations;
use crate::archiver::ArchiverHandle;
use crate::catalogue_thread::{self, CatalogueHandle};
use crate::config::NodeConfig;
use crate::copies::Copies;
use crate::disk::FileDisk;
use crate::http::Door;
use crate::identity::Identity;
use crate::mending::{Mender, MenderHandle};
use crate::metrics::Metrics;
use crate::originals::Originals;
use crate::peer::{Peers, chain_of_causes};
use crate::pictures::Pictures;
use crate::progress::{Progress, Stage};
use crate::replica_thread::{self, Inlet, Opening, ReplicaHandle};
use crate::replicator::Replicator;
use crate::resync::ResyncError;
use crate::scrubber::checks::Checks;
use crate::scrubber::{ScrubHandle, Scrubber, meddling};
use crate::sealer::Sealer;
use crate::snapshots::view::SnapshotsHandle;
use crate::stamp::{self, Left};
use crate::stock::Stock;
use crate::{Faults, Findings, FolderLock, LockError};
use crate::{disk, eraser, farewell, from_archive, http, identity};

/// What the HTTP layer works with. Cheap to clone.
#[derive(Clone)]
pub struct App {
    /// The node's settings.
    pub config: Arc<NodeConfig>,
    /// Gets commands decided, and knows who belongs to the cluster.
    pub replica: ReplicaHandle,
    /// Answers queries.
    pub catalogue: CatalogueHandle,
    /// This node's bytes.
    pub blobs: blobs::Store,
    /// What they look like.
    pub(crate) pictures: Pictures,
    /// The other members.
    pub peers: Peers,
    /// Gives copies of files' bytes to the others and fetches theirs.
    pub copies: Copies,
    /// Keeps the copies that belong on this node.
    pub replicator: Replicator,
    /// The store of files' bytes, if there is one.
    pub originals: Originals,
    /// What operators see in numbers.
    pub metrics: Metrics,
    /// What was found damaged on this node's disk.
    pub findings: Findings,
    /// What is known against members that signed contradictions.
    pub accusations: Accusations,
    /// Repairs the ledger.
    pub mender: MenderHandle,
    /// How far the search for damage is.
    pub scrub: ScrubHandle,
    /// What snapshots there are.
    pub snapshots: SnapshotsHandle,
    /// How the archive is; none if none is set.
    pub archive: Option<ArchiverHandle>,
    /// The certificate of the cluster's authority, for those who join.
    pub ca_pem: Arc<str>,
}

/// Why a node does not run.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A test hook cannot be read.
    #[error(transparent)]
    Faults(#[from] crate::FaultError),
    /// Another process uses the folder.
    #[error(transparent)]
    Locked(#[from] LockError),
    /// The identity is missing or damaged.
    #[error(transparent)]
    Identity(#[from] identity::LoadError),
    /// The ledger's folder cannot be opened.
    #[error(transparent)]
    Disk(#[from] disk::OpenError),
    /// The ledger cannot be opened.
    #[error(transparent)]
    Replica(#[from] replica::OpenError),
    /// The ledger is damaged, and could not be made whole.
    #[error(transparent)]
    Mend(#[from] ledger::MendError),
    /// The node is to begin anew with what the cluster has certified, and cannot.
    #[error(transparent)]
    Resync(#[from] ResyncError),
    /// The ledger was changed while the node did not run, so that it must not be opened.
    #[error(transparent)]
    Changed(#[from] stamp::ledger::Changed),
    /// The ledger belongs to another chain than the identity.
    #[error("the ledger in {folder} is of chain {ledger}, the identity is of chain {identity}")]
    ForeignLedger {
        /// Where.
        folder: PathBuf,
        /// The ledger's.
        ledger: model::ChainId,
        /// The identity's.
        identity: model::ChainId,
    },
    /// The ledger is gone.
    #[error(
        "there is no ledger in {folder}; only creating a cluster or joining one makes a ledger. A node that has lost \
         its ledger must not vote again under its identity: keep what is left of {node}, take the old node out \
         (`starling cluster remove {name}`) and use `starling cluster join` under a new name"
    )]
    NoLedger {
        /// Where it should be.
        folder: PathBuf,
        /// The node's folder.
        node: PathBuf,
        /// The node's name.
        name: String,
    },
    /// The cluster has removed this node.
    #[error(
        "the cluster removed this node, {name}, at height {height}: it belongs to it no longer. To add this machine \
         again, move {folder} away, ask for an invite (`starling cluster invite`) and use `starling cluster join` with \
         a name that was never used"
    )]
    Removed {
        /// What it was called.
        name: String,
        /// The block that removed it.
        height: model::Height,
        /// Its folder.
        folder: PathBuf,
    },
    /// The catalogue cannot be opened.
    #[error(transparent)]
    Catalogue(#[from] catalogue::OpenError),
    /// The catalogue cannot be brought up to the ledger.
    #[error(transparent)]
    Apply(#[from] catalogue::ApplyError),
    /// What is purged cannot be looked up.
    #[error("looking for what is purged")]
    Purges(#[from] catalogue::ReadError),
    /// The blobs cannot be opened.
    #[error(transparent)]
    Blobs(#[from] blobs::OpenError),
    /// The links to the other members cannot be set up.
    #[error(transparent)]
    Peers(#[from] crate::peer::StartError),
    /// The address is taken or not this machine's.
    #[error("listening on {address}")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// What the system says.
        source: std::io::Error,
    },
    /// The archive's URL cannot be used.
    #[error(transparent)]
    Archive(#[from] archive::OpenError),
    /// Certificate or key for HTTPS cannot be used.
    #[error(transparent)]
    Tls(#[from] http::TlsError),
    /// The system gives no thread or no random bytes.
    #[error("starting the node")]
    System(#[source] std::io::Error),
}

/// Runs a node until `shutdown` resolves. Never creates a ledger.
///
/// # Errors
/// If the node cannot start.
pub async fn serve(
    config: NodeConfig,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), ServeError> {
    let config = Arc::new(config);
    info!(version = env!("CARGO_PKG_VERSION"), folder = %config.folder.display(), "starting");
    let faults = Faults::from_environment()?;
    let _lock = FolderLock::take(&config.folder)?;
    let identity = Identity::load(&config.folder.join("identity"))?;
    run(Base::new(config, identity, faults)?, shutdown).await
}

async fn run(base: Base, shutdown: impl Future<Output = ()>) -> Result<(), ServeError> {
    let config = Arc::clone(&base.config);
    let closing = base.closing.clone();
    let _closing = closing.clone().drop_guard();
    let entrance = base.open_door().await?;
    let mut shutdown = std::pin::pin!(shutdown);
    let (inlet, outlet) = replica_thread::channel(base.metrics.replica());
    let opening = Opening::new(base.faults.clock_offset_ms);
    let opened = open_unless(&base, &inlet, &opening, shutdown.as_mut()).await?;
    let Some(opened) = opened else { return Ok(()) };
    let (left, tip) = (opened.left, opened.replica.tip());
    let removed = removed_at(&opened.replica, base.identity.node());
    let stock = Stock::default();
    let (peers, join_calls) = base.start_peers(&stock, &inlet, &opened.replica).await?;
    let (catalogue, running) = base.start_state(opened, opening, (inlet, outlet), &peers)?;
    let originals = base.originals(&stock, &running, &catalogue);
    let sealer = base.start_sealer(&running, &catalogue, &originals)?;
    let mender = base.start_mender(&running.handle)?;
    info!(node = %config.name, address = %config.http.address, height = %tip, "serving");

    let goodbye = farewell::said(running.handle.clone(), removed);
    let archive = base.start_archiver(running.handle.reader())?;
    base.follow_members(&running.handle, &peers, join_calls, archive.as_ref());
    base.follow_operations(&running, &catalogue);
    base.look_after_bases(&running, &catalogue, &peers)?;
    let (copies, replicator) =
        base.look_after_bytes(stock, &running, &catalogue, &peers, &originals);
    let scrub = ScrubHandle::open(&config.folder, &config.scrub);
    if matches!(left, Left::Changed | Left::Unknown) {
        scrub.doubt_catalogue();
    }
    let (links, progress, chain) = (peers.clone(), base.progress.clone(), base.identity.chain());
    let app = App {
        ca_pem: base.identity.ca_pem().into(),
        config: base.config,
        replica: running.handle.clone(),
        catalogue: catalogue.handle.clone(),
        blobs: base.blobs,
        pictures: base.pictures,
        peers,
        copies,
        replicator,
        originals,
        metrics: base.metrics,
        findings: base.findings,
        accusations: base.accusations,
        mender: mender.handle.clone(),
        scrub: scrub.clone(),
        snapshots: base.snapshots,
        archive,
    };
    let checks = Checks::new(&app, http::Holdings::new(&app), closing.clone());
    watch_catalogue(&app, &checks, &closing);
    let scrubber = Scrubber::start(checks, &app.config.scrub, scrub).map_err(ServeError::System)?;
    // Goes before the threads, which wait for nothing then.
    let _ending = closing.clone().drop_guard();
    let server = serve_from(tip, app, entrance, &progress, &closing);
    let stop = first_of(shutdown, goodbye);
    serve_until(stop, server, || running.drain(&closing)).await;
    let threads = Threads {
        scrubber,
        sealer,
        mender,
        running,
        catalogue,
    };
    threads.end(Arc::clone(&config), chain).await;
    links.shutdown().await;
    info!("stopped");
    removed.map_or(Ok(()), |height| Err(gone(&config, height)))
}

/// Opens what is on the disk, and what the archive adds to it; nothing if it is time to stop before that is done.
async fn open_unless(
    base: &Base,
    inlet: &Inlet,
    opening: &Opening,
    shutdown: Pin<&mut impl Future<Output = ()>>,
) -> Result<Option<Opened>, ServeError> {
    let mut opened = std::pin::pin!(async {
        let archived = from_archive::before_start(&base.config, &base.progress);
        base.closing.run_until_cancelled(archived).await;
        base.open(inlet, opening).await
    });
    tokio::select! {
        opened = &mut opened => opened.map(Some),
        () = shutdown => {
            base.closing.cancel();
            // What it does to the folder comes to an end first. Why it failed is of no interest any more.
            let _ = opened.await;
            Ok(None)
        }
    }
}

/// Has the catalogue compared whenever another process has written to it.
fn watch_catalogue(app: &App, checks: &Checks, closing: &CancellationToken) {
    let (catalogue, findings) = (app.catalogue.clone(), app.findings.clone());
    let follow = meddling::follow(catalogue, findings, checks.clone(), closing.clone());
    tokio::spawn(closing.clone().run_until_cancelled_owned(follow));
}

/// The block that removed this node, if an administrator did. One that was pruned for its silence comes back by itself.
fn removed_at(replica: &Replica<FileDisk>, me: NodeId) -> Option<Height> {
    let left = replica.roster().former().get(&me)?;
    (left.reason == Reason::Asked).then_some(left.height)
}

fn gone(config: &NodeConfig, height: Height) -> ServeError {
    ServeError::Removed {
        name: config.name.clone(),
        height,
        folder: config.folder.clone(),
    }
}

async fn first_of(one: impl Future<Output = ()>, other: impl Future<Output = ()>) {
    tokio::select! {
        () = one => {}
        () = other => {}
    }
}

/// What runs beside the runtime, in the order in which it ends. Where a node is dropped and not ended, each joins its thread
/// on the way, and none may wait for a runtime that waits for it: a guard ends their waits first.
struct Threads {
    scrubber: Scrubber,
    sealer: Sealer,
    mender: Mender,
    running: replica_thread::Running,
    catalogue: catalogue_thread::Running,
}

impl Threads {
    async fn end(self, config: Arc<NodeConfig>, chain: model::ChainId) {
        let end = move || {
            drop(self.scrubber);
            drop(self.sealer);
            drop(self.mender);
            self.running.stop();
            self.catalogue.stop();
            if let Err(error) = stamp::leave(&config.folder, &config.catalogue_path()) {
                warn!(%error, "the catalogue that is left behind could not be noted");
            }
            if let Err(error) = stamp::ledger::leave(&config, chain) {
                let error = chain_of_causes(&error);
                warn!(error, "where the log ends could not be noted");
            }
        };
        let ended = tokio::task::spawn_blocking(end).await;
        ended.unwrap_or_else(|error| warn!(%error, "a thread did not end cleanly"));
    }
}

/// Where people come in.
struct Entrance {
    door: Door,
    /// Ends when the last of them has left.
    open: AbortOnDropHandle<()>,
}

/// Serves people once this height is applied: what is not must not be answered as if it did not exist.
async fn serve_from(
    tip: Height,
    app: App,
    Entrance { door, open }: Entrance,
    progress: &Progress,
    stop: &CancellationToken,
) {
    let catalogue = app.catalogue.clone();
    let applied = catalogue.heights();
    progress.set(Stage::Catalogue { applied, of: tip });
    let reached = stop.run_until_cancelled(catalogue.reached(tip)).await;
    if reached.is_none() {
        return;
    }
    // Purges that were not applied yet when the ledger was opened.
    progress.set(Stage::Erasing);
    let (config, me) = (app.config.clone(), app.config.me().id);
    let (reader, store) = (app.replica.reader().clone(), app.blobs.clone());
    let forget = move || eraser::before_serving(&config, me, &reader, &store);
    match tokio::task::spawn_blocking(forget).await {
        Ok(Ok(())) => {
            let beside = door.serve(app, stop.clone());
            // What answers stays with the open door, which ends when the node does.
            drop(door);
            let _ = tokio::join!(open, beside);
        }
        Ok(Err(error)) => warn!(%error, "what is purged cannot be told, so nobody is served"),
        Err(error) => warn!(%error, "what is purged cannot be told, so nobody is served"),
    }
}

/// Serves until it is time to stop, and then what is under way.
async fn serve_until(
    shutdown: impl Future<Output = ()>,
    server: impl Future<Output = ()>,
    drain: impl FnOnce(),
) {
    tokio::pin!(server);
    tokio::select! {
        () = shutdown => {}
        () = &mut server => {}
    }
    info!("stopping");
    drain();
    server.await;
}
