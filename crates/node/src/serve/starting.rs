//! Starting what runs on an open ledger.

use std::sync::Arc;

use archive::{Archive, Store};
use ledger::Reader;
use replica::Replica;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::opening::Opened;
use super::{Entrance, ServeError};
use crate::accusations::Accusations;
use crate::archiver::{self, ArchiverHandle};
use crate::bases::Bases;
use crate::catalogue_thread;
use crate::config::NodeConfig;
use crate::copies::Copies;
use crate::disk::FileDisk;
use crate::eraser::{Eraser, Parts};
use crate::http::{Certificate, Door};
use crate::identity::Identity;
use crate::mending::Mender;
use crate::metrics::Metrics;
use crate::originals::{self, Originals};
use crate::peer::{self, JoinCall, Peers};
use crate::pictures::Pictures;
use crate::progress::Progress;
use crate::replica_thread::{self, Inlet, Opening, Outlet, ReplicaHandle};
use crate::replicator::{self, Replicator};
use crate::retries::Retries;
use crate::sealer::Sealer;
use crate::snapshots::Shelf;
use crate::snapshots::maker::{self, Maker};
use crate::snapshots::view::SnapshotsHandle;
use crate::stock::Stock;
use crate::{Faults, Findings};
use crate::{acquaintances, admission, bulk, garbage, resync};

/// What everything that is started works with.
pub(super) struct Base {
    pub(super) config: Arc<NodeConfig>,
    pub(super) identity: Identity,
    pub(super) faults: Faults,
    pub(super) findings: Findings,
    pub(super) accusations: Accusations,
    pub(super) blobs: blobs::Store,
    pub(super) pictures: Pictures,
    pub(super) metrics: Metrics,
    pub(super) snapshots: SnapshotsHandle,
    /// How far the start is.
    pub(super) progress: Progress,
    /// Cancelled when the node stops.
    pub(super) closing: CancellationToken,
}

impl Base {
    pub(super) fn new(
        config: Arc<NodeConfig>,
        identity: Identity,
        faults: Faults,
    ) -> Result<Self, ServeError> {
        let blobs = blobs::Store::open(&config.folder)?;
        let workshop = config.folder.join("decoding");
        Ok(Self {
            findings: Findings::open(&config.folder, &config.name),
            accusations: Accusations::open(&config.folder),
            pictures: Pictures::new(blobs.clone(), config.media.folders(), workshop),
            blobs,
            metrics: Metrics::new(),
            snapshots: SnapshotsHandle::default(),
            progress: Progress::default(),
            closing: CancellationToken::new(),
            config,
            identity,
            faults,
        })
    }

    /// Runs something until the node stops.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        tokio::spawn(self.closing.clone().run_until_cancelled_owned(task));
    }

    /// Lets people in, who are told to wait until there is more to say.
    pub(super) async fn open_door(&self) -> Result<Entrance, ServeError> {
        let http = &self.config.http;
        let certificate = http.tls.as_ref().map(Certificate::load).transpose()?;
        let tls = certificate.as_ref().map(Certificate::server_config);
        let tls = tls.transpose()?;
        let address = http.address;
        let bound = TcpListener::bind(address).await;
        let listener = bound.map_err(|source| ServeError::Listen { address, source })?;
        if let Some(certificate) = certificate {
            self.spawn(certificate.follow());
        }
        let door = Door::new(&self.config.name, self.progress.clone());
        let open = tokio::spawn(door.clone().open(listener, tls, self.closing.clone()));
        let open = AbortOnDropHandle::new(open);
        Ok(Entrance { door, open })
    }

    /// Calls the other members, and listens for them and for who wants to join.
    pub(super) async fn start_peers(
        &self,
        stock: &Stock,
        inlet: &Inlet,
        replica: &Replica<FileDisk>,
    ) -> Result<(Peers, mpsc::Receiver<JoinCall>), ServeError> {
        let (joining, join_calls) = mpsc::channel(peer::WAITING_MAX);
        let (config, inlet) = (&self.config, inlet.clone());
        let settings = peer::Config {
            identity: self.identity.clone(),
            listen: config.peer.address,
            address: config.me().peer_address.clone(),
            peers: acquaintances::of(replica.roster(), &config.members),
            joining,
            predecessor: config.ledger_folder().join(ledger::predecessor::FOLDER),
            blobs: self.blobs.clone(),
            stock: stock.clone(),
            pictures: self.pictures.clone(),
            shelf: Shelf::of(&self.config.folder),
            ledger: Some(replica.reader()),
        };
        let peers = Peers::start(settings, move |from, message| inlet.peer(from, message)).await?;
        Ok((peers, join_calls))
    }

    /// Starts the threads of the replica and of the catalogue that it feeds.
    pub(super) fn start_state(
        &self,
        opened: Opened,
        opening: Opening,
        ends: (Inlet, Outlet),
        peers: &Peers,
    ) -> Result<(catalogue_thread::Running, replica_thread::Running), ServeError> {
        let Opened {
            replica,
            feeder,
            begin,
            ..
        } = opened;
        let applied = feeder.reached(replica.tip());
        let path = self.config.catalogue_path();
        let reader = replica.reader();
        let home = catalogue_thread::Home {
            me: self.identity.node(),
            shelf: Shelf::of(&self.config.folder),
        };
        let catalogue = catalogue_thread::start(feeder, &path, applied, reader, home, begin)
            .map_err(ServeError::System)?;
        let feed = catalogue.feed();
        let (peers, accusations) = (peers.clone(), self.accusations.clone());
        let running = replica_thread::start(replica, opening, ends, peers, accusations, feed)
            .map_err(ServeError::System)?;
        Ok((catalogue, running))
    }

    /// Goes on with operations over many files that nobody works on.
    pub(super) fn follow_operations(
        &self,
        running: &replica_thread::Running,
        catalogue: &catalogue_thread::Running,
    ) {
        let (replica, catalogue) = (running.handle.clone(), catalogue.handle.clone());
        self.spawn(bulk::follow(replica, catalogue, self.identity.node()));
    }

    /// What is known of the store of files' bytes, if there is one.
    pub(super) fn originals(
        &self,
        stock: &Stock,
        running: &replica_thread::Running,
        catalogue: &catalogue_thread::Running,
    ) -> Originals {
        Originals::new(originals::Parts {
            chain: self.identity.chain(),
            me: self.config.me().id,
            store: self.blobs.clone(),
            stock: stock.clone(),
            catalogue: catalogue.handle.clone(),
            replica: running.handle.clone(),
            findings: self.findings.clone(),
            metrics: self.metrics.blobs().clone(),
            settings: self.config.blobs,
            scrub: self.config.scrub.clone(),
        })
    }

    /// Starts the thread that seals and erases.
    pub(super) fn start_sealer(
        &self,
        running: &replica_thread::Running,
        catalogue: &catalogue_thread::Running,
        originals: &Originals,
    ) -> Result<Sealer, ServeError> {
        let eraser = Eraser::new(Parts {
            config: &self.config,
            identity: &self.identity,
            replica: &running.handle,
            catalogue: &catalogue.handle,
            store: &self.blobs,
            originals,
            closing: &self.closing,
        })?;
        let usual = ledger::Bounds::default();
        let bounds = ledger::Bounds {
            bytes: self.faults.seal_bytes.unwrap_or(usual.bytes),
            ..usual
        };
        let reader = running.handle.reader().clone();
        let maker = self.maker(running, catalogue)?;
        Sealer::start(reader, bounds, eraser, maker, self.closing.clone())
            .map_err(ServeError::System)
    }

    fn maker(
        &self,
        running: &replica_thread::Running,
        catalogue: &catalogue_thread::Running,
    ) -> Result<Maker, archive::OpenError> {
        let store = self.config.archive_url.as_deref().map(Store::open);
        let chain = self.identity.chain();
        Ok(Maker::new(maker::Parts {
            me: self.identity.node(),
            shelf: Shelf::of(&self.config.folder),
            replica: running.handle.clone(),
            catalogue: catalogue.handle.clone(),
            archive: store.transpose()?.map(|store| Archive::new(store, chain)),
            findings: self.findings.clone(),
            shown: self.snapshots.clone(),
            closing: self.closing.clone(),
            after: self.faults.snapshot_after,
        }))
    }

    /// Brings snapshots that this node cannot do without.
    pub(super) fn look_after_bases(
        &self,
        running: &replica_thread::Running,
        catalogue: &catalogue_thread::Running,
        peers: &Peers,
    ) -> Result<(), archive::OpenError> {
        let store = self.config.archive_url.as_deref().map(Store::open);
        let chain = self.identity.chain();
        let bases = Bases {
            me: self.identity.node(),
            shelf: Shelf::of(&self.config.folder),
            replica: running.handle.clone(),
            catalogue: catalogue.handle.clone(),
            archive: store.transpose()?.map(|store| Archive::new(store, chain)),
            peers: peers.clone(),
        };
        self.spawn(bases.run());
        Ok(())
    }

    pub(super) fn start_mender(&self, replica: &ReplicaHandle) -> Result<Mender, ServeError> {
        let (config, identity) = (self.config.clone(), self.identity.clone());
        let (findings, closing) = (self.findings.clone(), self.closing.clone());
        Mender::start(config, identity, replica.clone(), findings, closing)
            .map_err(ServeError::System)
    }

    /// Fills the archive, if there is one.
    pub(super) fn start_archiver(
        &self,
        reader: &Reader,
    ) -> Result<Option<ArchiverHandle>, archive::OpenError> {
        let Some(url) = &self.config.archive_url else {
            return Ok(None);
        };
        let start = |reader, folder| {
            archiver::start(url, &self.identity, folder, reader, self.closing.clone())
        };
        let mut folder = self.config.ledger_folder();
        let own = start(reader.clone(), folder.clone())?;
        // What the chain goes on from was perhaps never archived, or not all of it.
        let mut before = reader.predecessor();
        while let Some(reader) = before {
            folder.push(ledger::predecessor::FOLDER);
            start(reader.clone(), folder.clone())?;
            before = reader.predecessor();
        }
        Ok(Some(own))
    }

    /// Does what follows from who belongs to the cluster: whom to call, whom to let in, what to report.
    pub(super) fn follow_members(
        &self,
        replica: &ReplicaHandle,
        peers: &Peers,
        join_calls: mpsc::Receiver<JoinCall>,
        archive: Option<&ArchiverHandle>,
    ) {
        let config = Arc::clone(&self.config);
        let followed = acquaintances::follow(config.clone(), replica.clone(), peers.clone());
        self.spawn(followed);
        self.spawn(admission::report_progress(replica.clone()));
        self.spawn(resync::follow(config.folder.clone(), replica.clone()));
        let shown = archive.map(|archive| archive.url().to_owned());
        self.spawn(admission::answer(replica.clone(), join_calls, shown));
    }

    /// Keeps the copies that belong here, and no bytes that nobody names.
    pub(super) fn look_after_bytes(
        &self,
        stock: Stock,
        running: &replica_thread::Running,
        catalogue: &catalogue_thread::Running,
        peers: &Peers,
        originals: &Originals,
    ) -> (Copies, Replicator) {
        let (me, replica) = (self.config.me().id, &running.handle);
        let copies = Copies::new(
            self.blobs.clone(),
            peers.clone(),
            replica.clone(),
            me,
            self.config.blobs.replicas,
            originals.clone(),
        );
        let parts = replicator::Parts {
            store: self.blobs.clone(),
            stock,
            copies: copies.clone(),
            originals: originals.clone(),
            catalogue: catalogue.handle.clone(),
            peers: peers.clone(),
            replica: replica.clone(),
            findings: self.findings.clone(),
            me,
            settings: self.config.blobs,
            folder: self.config.folder.clone(),
        };
        self.spawn(garbage::Collector::new(&parts).run());
        let retries = Retries {
            me,
            pictures: self.pictures.clone(),
            copies: copies.clone(),
            catalogue: catalogue.handle.clone(),
            replica: replica.clone(),
            store: self.blobs.clone(),
            every: self.config.media.look_every,
        };
        self.spawn(retries.run());
        let replicator = replicator::start(parts, &self.closing);
        originals.start(replicator.clone(), &self.closing);
        (copies, replicator)
    }
}
