//! Starting a node in the right order, and stopping it in the reverse one.

use std::collections::BTreeSet;
use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use catalogue::Catalogue;
use ledger::Disk as _;
use model::{Addresses, Height, Nonce, Reason};
use replica::{AppliedBlock, Replica};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::archiver::{self, ArchiverHandle};
use crate::catalogue_thread::{self, CatalogueHandle, Feeder};
use crate::config::NodeConfig;
use crate::copies::Copies;
use crate::disk::FileDisk;
use crate::eraser::{self, Eraser, Parts};
use crate::identity::Identity;
use crate::mending::{self, Mender, MenderHandle};
use crate::metrics::Metrics;
use crate::peer::{JoinCall, Peers};
use crate::replica_thread::{self, Inlet, Opening, Outlet, ReplicaHandle};
use crate::replicator::{self, Replicator};
use crate::scrubber::checks::Checks;
use crate::scrubber::{ScrubHandle, Scrubber};
use crate::sealer::Sealer;
use crate::stamp::{self, Left};
use crate::stock::Stock;
use crate::{Faults, Findings, Place};
use crate::{acquaintances, admission, disk, farewell, from_archive, garbage, http, identity, peer};

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
    /// The other members.
    pub peers: Peers,
    /// Gives copies of files' bytes to the others and fetches theirs.
    pub copies: Copies,
    /// Keeps the copies that belong on this node.
    pub replicator: Replicator,
    /// What operators see in numbers.
    pub metrics: Metrics,
    /// What was found damaged on this node's disk.
    pub findings: Findings,
    /// Repairs the ledger.
    pub mender: MenderHandle,
    /// How far the search for damage is.
    pub scrub: ScrubHandle,
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
    let identity = Identity::load(&config.folder.join("identity"))?;
    let mut shutdown = std::pin::pin!(shutdown);
    tokio::select! {
        () = from_archive::before_start(&config) => {}
        () = &mut shutdown => return Ok(()),
    }
    run(config, identity, faults, shutdown).await
}

async fn run(
    config: Arc<NodeConfig>,
    identity: Identity,
    faults: Faults,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let findings = Findings::open(&config.folder, &config.name);
    let blobs = blobs::Store::open(&config.folder)?;
    let certificate = config.http.tls.as_ref().map(http::Certificate::load);
    let certificate = certificate.transpose()?;
    let tls = certificate
        .as_ref()
        .map(|it| it.server_config())
        .transpose()?;
    let address = config.http.address;
    let listener = TcpListener::bind(address)
        .await
        .map_err(|source| ServeError::Listen { address, source })?;

    let metrics = Metrics::new();
    let (inlet, outlet) = replica_thread::channel(metrics.replica());
    let opening = Opening::new(faults.clock_offset_ms);
    let left = refuse_changed(&config, &findings)?;
    let noted = (&metrics, &blobs);
    let open = || open_replica(&config, &identity, faults, &inlet, &opening, noted);
    let (replica, feeder) = open_mended(open, &config, &identity, &findings).await?;
    let removed = removed_at(&replica, &identity);
    eraser::before_serving(&config, identity.node(), &replica.reader(), &blobs)?;
    let (joining, join_calls) = mpsc::channel(peer::WAITING_MAX);
    let bytes = (blobs.clone(), Stock::default());
    let peers = start_peers(&config, &identity, bytes.clone(), &inlet, &replica, joining).await?;
    let tip = replica.tip();
    let started = start_state(replica, feeder, opening, (inlet, outlet), &peers, &config);
    let (catalogue, running) = started.map_err(ServeError::System)?;
    let closing = CancellationToken::new();
    let threads = (&running, &catalogue);
    let sealer = start_sealer(&config, &identity, threads, &blobs, bounds(faults), &closing)?;
    let mender = start_mender(&config, &identity, &running.handle, &findings)?;
    info!(node = %config.name, %address, height = %tip, "serving");

    let goodbye = farewell::said(running.handle.clone(), removed);
    let gone = removed.map(|height| gone(&config, height));
    let links = peers.clone();
    let reader = running.handle.reader().clone();
    let archive = start_archiver(&config, &identity, reader, &closing)?;
    let shown = archive.as_ref().map(|archive| archive.url().to_owned());
    let admitting = admission::answer(running.handle.clone(), join_calls, shown);
    tokio::spawn(closing.clone().run_until_cancelled_owned(admitting));
    follow_members(&config, &running.handle, &peers, &closing);
    if let Some(certificate) = certificate {
        tokio::spawn(
            closing
                .clone()
                .run_until_cancelled_owned(certificate.follow()),
        );
    }
    let parts = (&running.handle, &catalogue.handle, &peers);
    let seen = (&metrics, &findings);
    let (copies, replicator) = look_after_bytes(&config, bytes, parts, seen, &closing);
    let scrub = ScrubHandle::open(&config.folder, &config.scrub);
    if left != Left::Untouched {
        scrub.doubt_catalogue();
    }
    let leaving = Arc::clone(&config);
    let app = App {
        config,
        replica: running.handle.clone(),
        catalogue: catalogue.handle.clone(),
        blobs,
        peers,
        copies,
        replicator,
        metrics,
        findings,
        mender: mender.handle.clone(),
        scrub: scrub.clone(),
        archive,
        ca_pem: identity.ca_pem().into(),
    };
    let checks = Checks::new(&app, http::Holdings::new(&app), closing.clone());
    let scrubber = Scrubber::start(checks, &app.config.scrub, scrub).map_err(ServeError::System)?;
    let server = serve_from(tip, app, listener, tls, closing.clone());
    let drain = || {
        running.give_turn_away();
        closing.cancel();
    };
    serve_until(first_of(shutdown, goodbye), server, drain).await;
    let threads = Threads {
        scrubber,
        sealer,
        mender,
        running,
        catalogue,
    };
    threads.end(leaving).await;
    links.shutdown().await;
    info!("stopped");
    gone.map_or(Ok(()), Err)
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

fn start_mender(
    config: &Arc<NodeConfig>,
    identity: &Identity,
    replica: &ReplicaHandle,
    findings: &Findings,
) -> Result<Mender, ServeError> {
    let (config, identity, replica) = (config.clone(), identity.clone(), replica.clone());
    Mender::start(config, identity, replica, findings.clone()).map_err(ServeError::System)
}

/// Starts the threads of the replica and of the catalogue that it feeds.
fn start_state(
    replica: Replica<FileDisk>,
    feeder: Feeder,
    opening: Opening,
    ends: (Inlet, Outlet),
    peers: &Peers,
    config: &NodeConfig,
) -> std::io::Result<(catalogue_thread::Running, replica_thread::Running)> {
    let applied = feeder.reached(replica.tip());
    let path = config.catalogue_path();
    let catalogue = catalogue_thread::start(feeder, &path, applied, replica.reader())?;
    let feed = catalogue.feed();
    let running = replica_thread::start(replica, opening, ends, peers.clone(), feed)?;
    Ok((catalogue, running))
}

/// What runs beside the runtime, in the order in which it ends.
struct Threads {
    scrubber: Scrubber,
    sealer: Sealer,
    mender: Mender,
    running: replica_thread::Running,
    catalogue: catalogue_thread::Running,
}

impl Threads {
    async fn end(self, config: Arc<NodeConfig>) {
        let end = move || {
            drop(self.scrubber);
            drop(self.sealer);
            drop(self.mender);
            self.running.stop();
            self.catalogue.stop();
            if let Err(error) = stamp::leave(&config.folder, &config.catalogue_path()) {
                warn!(%error, "the catalogue that is left behind could not be noted");
            }
        };
        let ended = tokio::task::spawn_blocking(end).await;
        ended.unwrap_or_else(|error| warn!(%error, "a thread did not end cleanly"));
    }
}

/// The usual size of segments, unless a test asks for another.
fn bounds(faults: Faults) -> ledger::Bounds {
    let usual = ledger::Bounds::default();
    ledger::Bounds {
        bytes: faults.seal_bytes.unwrap_or(usual.bytes),
        ..usual
    }
}

/// Puts a catalogue aside that is not the one this node left behind. It is built anew from the ledger.
fn refuse_changed(config: &NodeConfig, findings: &Findings) -> Result<Left, ServeError> {
    let path = config.catalogue_path();
    let left = stamp::take(&config.folder, &path).map_err(ServeError::System)?;
    if left == Left::Changed {
        let what = "it was changed while the node did not run";
        let aside = Catalogue::put_aside(&path, &config.folder.join("quarantine"))?;
        let id = findings.report(Place::Catalogue, what, Some(aside));
        findings.repaired(id, "the ledger");
    }
    Ok(left)
}

/// Serves people once this height is applied: what is not must not be answered as if it did not exist.
async fn serve_from(
    tip: Height,
    app: App,
    listener: TcpListener,
    tls: Option<Arc<rustls::ServerConfig>>,
    stop: CancellationToken,
) {
    let catalogue = app.catalogue.clone();
    let reached = stop.run_until_cancelled(catalogue.reached(tip)).await;
    if reached.is_some() {
        http::serve(app, listener, tls, stop).await;
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

/// Does what follows from who belongs to the cluster: whom to call, what to report.
fn follow_members(
    config: &Arc<NodeConfig>,
    replica: &ReplicaHandle,
    peers: &Peers,
    closing: &CancellationToken,
) {
    let calling = acquaintances::follow(Arc::clone(config), replica.clone(), peers.clone());
    tokio::spawn(closing.clone().run_until_cancelled_owned(calling));
    let watching = admission::report_progress(replica.clone());
    tokio::spawn(closing.clone().run_until_cancelled_owned(watching));
}

/// Keeps the copies that belong here, and no bytes that nobody names.
fn look_after_bytes(
    config: &NodeConfig,
    (store, stock): (blobs::Store, Stock),
    (replica, catalogue, peers): (&ReplicaHandle, &CatalogueHandle, &Peers),
    (metrics, findings): (&Metrics, &Findings),
    closing: &CancellationToken,
) -> (Copies, Replicator) {
    let me = config.me().id;
    let copies = Copies::new(
        store.clone(),
        peers.clone(),
        replica.clone(),
        me,
        config.blobs.replicas,
        metrics.blobs().clone(),
    );
    let parts = replicator::Parts {
        store,
        stock,
        copies: copies.clone(),
        catalogue: catalogue.clone(),
        peers: peers.clone(),
        replica: replica.clone(),
        findings: findings.clone(),
        me,
        settings: config.blobs,
    };
    let collector = garbage::Collector::new(&parts);
    tokio::spawn(closing.clone().run_until_cancelled_owned(collector.run()));
    (copies, replicator::start(parts, closing))
}

/// Opens ledger and catalogue; a ledger that is damaged is mended and opened again.
async fn open_mended<T>(
    open: impl Fn() -> Result<T, ServeError>,
    config: &Arc<NodeConfig>,
    identity: &Identity,
    findings: &Findings,
) -> Result<T, ServeError> {
    let mut mended = BTreeSet::new();
    loop {
        let error = match open() {
            Ok(opened) => return Ok(opened),
            Err(error) => error,
        };
        let ServeError::Replica(source) = &error else {
            return Err(error);
        };
        let Some(damage) = damage_in(source) else {
            return Err(error);
        };
        // The same again: mending did not help.
        if !mended.insert(damage) {
            return Err(error);
        }
        warn!(
            error = peer::chain_of_causes(source),
            "the ledger does not open"
        );
        let (config, identity, findings) = (config.clone(), identity.clone(), findings.clone());
        let runtime = tokio::runtime::Handle::current();
        let mend = tokio::task::spawn_blocking(move || {
            mending::at_start(&config, &identity, &findings, damage, runtime)
        });
        let ended = mend.await.map_err(std::io::Error::other);
        ended.map_err(ServeError::System)??;
    }
}

/// Whether a ledger did not open for damage that others may make good, and the height that could not be read.
fn damage_in(error: &replica::OpenError) -> Option<Option<Height>> {
    match error {
        replica::OpenError::Read(error)
        | replica::OpenError::Ledger(ledger::OpenError::Read(error)) => Some(Some(error.height())),
        replica::OpenError::Ledger(
            ledger::OpenError::DamagedVotes { .. }
            | ledger::OpenError::DamagedBlock { .. }
            | ledger::OpenError::Sealed { .. },
        ) => Some(None),
        replica::OpenError::Ledger(_) => None,
    }
}

/// Opens ledger and catalogue in one pass over the chain.
fn open_replica(
    settings: &NodeConfig,
    identity: &Identity,
    faults: Faults,
    inlet: &Inlet,
    opening: &Opening,
    (metrics, blobs): (&Metrics, &blobs::Store),
) -> Result<(Replica<FileDisk>, Feeder), ServeError> {
    let ledger_folder = settings.ledger_folder();
    let completions = inlet.clone();
    let disk = FileDisk::open(&ledger_folder, faults, metrics.disk(), move |done| {
        completions.disk(done);
    })?;
    // Before anything is written to it.
    let genesis = ledger::read_genesis(&*disk.storage()).map_err(|error| match error {
        ledger::OpenError::NoLedger => ServeError::NoLedger {
            folder: ledger_folder.clone(),
            node: settings.folder.clone(),
            name: settings.name.clone(),
        },
        other => ServeError::Replica(other.into()),
    })?;
    let chain = genesis.header().chain;
    if chain != identity.chain() {
        return Err(ServeError::ForeignLedger {
            folder: ledger_folder,
            ledger: chain,
            identity: identity.chain(),
        });
    }
    let mut catalogue = Catalogue::open(&settings.catalogue_path())?;
    catalogue.belongs_to(identity.node());
    if let Some(aside) = catalogue.set_aside() {
        warn!(
            ?aside,
            "the catalogue could not be used and is rebuilt from the ledger"
        );
    }
    let wanted = catalogue.height().map_or(Height::GENESIS, Height::next);
    let mut feeder = Feeder::new(catalogue, blobs.clone(), metrics.catalogue().clone());
    let mut failed = None;
    let (mut nonce, mut seed) = ([0; 16], [0; 8]);
    fill(&mut nonce)?;
    fill(&mut seed)?;
    let config = replica::Config {
        me: identity.node(),
        signatures: Arc::new(identity.key().signatures()),
        nonce: Nonce(nonce),
        seed: u64::from_be_bytes(seed),
        contacts: settings.members.iter().map(|member| member.id).collect(),
        care: replica::Care {
            addresses: Some(Addresses {
                peer: settings.me().peer_address.clone(),
                url: settings.http.public_url.clone(),
            }),
            dead_after: settings.dead_after,
        },
    };
    let begun = std::time::Instant::now();
    let replayed = |block: &Arc<AppliedBlock>| {
        if failed.is_none() {
            failed = feeder.follow(block, begun).err();
        }
    };
    let replica = Replica::open_replaying(disk, config, opening.now(), wanted, replayed)?;
    if let Some(error) = failed {
        return Err(error.into());
    }
    feeder.flush()?;
    for repair in &replica.found().repaired {
        warn!(
            ?repair,
            "a damaged vote was made good from its second copy: look at this disk"
        );
    }
    for cut in &replica.found().cut {
        info!(?cut, "cut off an end of the ledger that was never finished");
    }
    Ok((replica, feeder))
}

fn start_sealer(
    config: &NodeConfig,
    identity: &Identity,
    (replica, catalogue): (&replica_thread::Running, &catalogue_thread::Running),
    store: &blobs::Store,
    bounds: ledger::Bounds,
    closing: &CancellationToken,
) -> Result<Sealer, ServeError> {
    let eraser = Eraser::new(Parts {
        config,
        identity,
        replica: &replica.handle,
        catalogue: &catalogue.handle,
        store,
        closing,
    })?;
    let reader = replica.handle.reader().clone();
    Sealer::start(reader, bounds, eraser).map_err(ServeError::System)
}

fn start_archiver(
    config: &NodeConfig,
    identity: &Identity,
    reader: ledger::Reader,
    closing: &CancellationToken,
) -> Result<Option<ArchiverHandle>, archive::OpenError> {
    let Some(url) = &config.archive_url else {
        return Ok(None);
    };
    let start = |reader, folder| archiver::start(url, identity, folder, reader, closing.clone());
    let folder = config.ledger_folder();
    let own = start(reader.clone(), folder.clone())?;
    // What the chain goes on from was perhaps never archived, or not all of it.
    let (mut before, mut folder) = (reader.predecessor(), folder);
    while let Some(reader) = before {
        folder.push(ledger::predecessor::FOLDER);
        start(reader.clone(), folder.clone())?;
        before = reader.predecessor();
    }
    Ok(Some(own))
}

/// The block that removed this node, if an administrator did. One that was pruned for its silence comes back by itself.
fn removed_at(replica: &Replica<FileDisk>, identity: &Identity) -> Option<Height> {
    let left = replica.roster().former().get(&identity.node())?;
    (left.reason == Reason::Asked).then_some(left.height)
}

fn fill(bytes: &mut [u8]) -> Result<(), ServeError> {
    getrandom::fill(bytes).map_err(|error| ServeError::System(std::io::Error::other(error)))
}

async fn start_peers(
    config: &NodeConfig,
    identity: &Identity,
    (blobs, stock): (blobs::Store, Stock),
    inlet: &Inlet,
    replica: &Replica<FileDisk>,
    joining: mpsc::Sender<JoinCall>,
) -> Result<Peers, ServeError> {
    let inlet = inlet.clone();
    let settings = peer::Config {
        identity: identity.clone(),
        listen: config.peer.address,
        address: config.me().peer_address.clone(),
        peers: acquaintances::of(replica.roster(), &config.members),
        joining,
        predecessor: config.ledger_folder().join(ledger::predecessor::FOLDER),
        blobs,
        stock,
        ledger: Some(replica.reader()),
    };
    let peers = Peers::start(settings, move |from, message| inlet.peer(from, message)).await?;
    Ok(peers)
}
