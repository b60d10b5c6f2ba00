//! Whole copies of blobs, between this node and its peers.
//!
//! Given away: when a file comes in, its bytes go to as many other nodes as may crash before anything is said about
//! them, to those that placement names first, and to others where these cannot be reached. Fetched: from whoever has
//! the blob, those first that should; verified, flushed and kept. However many want a blob at one time, it is fetched
//! once.
//!
//! While files' bytes live in an object store, one call there takes the place of the copies: see `originals`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use blobs::{Placement, Store, Verdict, WriteError};
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use model::{BlobId, NodeId};
use tracing::Instrument as _;

use crate::metrics::BlobMetrics;
use crate::originals::{Originals, Seat, ShelfError};
use crate::peer::{FetchBlobError, Peers, chain_of_causes};
use crate::replica_thread::ReplicaHandle;

/// A peer that has not stored a copy after this time, and the time its size takes, is asked no longer alone.
const HEDGE: Duration = Duration::from_millis(500);
/// What a peer stores at least, in bytes per second.
const SLOW_PEER_RATE: u64 = 20 << 20;
/// A peer that stores a copy slower than this has failed, in bytes per second.
const DEAD_PEER_RATE: u64 = 1 << 20;
/// Time for a peer to make a picture.
const PICTURE_TIMEOUT: Duration = Duration::from_secs(30);
/// Time for a copy on top of what its size takes.
const COPY_TIMEOUT: Duration = Duration::from_secs(20);

/// Why a blob is not here now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// Nobody gave it.
    #[error("no node or store that can be reached has these bytes intact; try again")]
    Unavailable,
    /// There is no room for it.
    #[error("the node's disk is full")]
    DiskFull,
}

/// Too few nodes have stored a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the bytes are safe on {held} of {wanted} nodes")]
pub struct TooFewCopies {
    /// Nodes that have, this one among them.
    pub held: usize,
    /// Nodes that have to.
    pub wanted: usize,
}

/// Why a blob is not safe.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotSafe {
    /// On too few nodes.
    #[error(transparent)]
    TooFewCopies(#[from] TooFewCopies),
    /// The store that is to have it did not take it.
    #[error("the store of files' bytes did not take them: {0}")]
    Store(String),
}

/// Gives and fetches copies. Cheap to clone.
#[derive(Clone)]
pub struct Copies(Arc<Shared>);

struct Shared {
    store: Store,
    peers: Peers,
    replica: ReplicaHandle,
    me: NodeId,
    /// More copies than usual, if so many are wanted.
    replicas: usize,
    fetches: Mutex<BTreeMap<BlobId, Arc<tokio::sync::Mutex<()>>>>,
    originals: Originals,
    metrics: BlobMetrics,
}

impl Copies {
    pub(crate) fn new(
        store: Store,
        peers: Peers,
        replica: ReplicaHandle,
        me: NodeId,
        replicas: usize,
        originals: Originals,
    ) -> Self {
        Self(Arc::new(Shared {
            store,
            peers,
            replica,
            me,
            replicas,
            fetches: Mutex::default(),
            metrics: originals.metrics().clone(),
            originals,
        }))
    }

    /// Where blobs are to be now.
    pub fn placement(&self) -> Placement {
        let roster = self.0.replica.roster();
        let voters = roster.voters().voters().iter().map(|voter| voter.id);
        Placement::new(voters, self.0.replicas)
    }

    /// Makes a blob that is here safe: in the store, if files' bytes live in one, else on as many other voters as may crash.
    ///
    /// # Errors
    /// If it is not.
    pub async fn make_safe(&self, id: BlobId, size: u64) -> Result<(), NotSafe> {
        let originals = &self.0.originals;
        let Some(seat) = originals.home() else {
            return Ok(self.spread(id, size).await?);
        };
        let put = originals.put_now(&seat, id, size).await;
        put.map_err(|error| NotSafe::Store(chain_of_causes(&error)))
    }

    /// Once a command is decided for which a blob was made safe: makes it so again if a purge of the same bytes may have
    /// taken it out of the store meanwhile, or the store was left.
    ///
    /// # Errors
    /// If it is not safe.
    pub(crate) async fn still_safe(&self, id: BlobId) -> Result<(), NotSafe> {
        let originals = &self.0.originals;
        if !originals.may_be_gone(id).await {
            return Ok(());
        }
        let store = self.0.store.clone();
        let size = tokio::task::spawn_blocking(move || store.size(id)).await;
        let Ok(Ok(Some(size))) = size else {
            // A copy leaves only when the store has the blob; else it was purged after the command.
            return Ok(());
        };
        self.spread(id, size).await?;
        if let Some(seat) = originals.home()
            && let Err(error) = originals.put_now(&seat, id, size).await
        {
            // It is on enough disks, and is brought up from there.
            let error = chain_of_causes(&error);
            tracing::debug!(blob = %id, error, "storing a blob again");
        }
        Ok(())
    }

    /// Copies a blob that is here to as many other voters as may crash, and one more if this node is none. A peer that
    /// is slow is not waited for alone.
    ///
    /// # Errors
    /// If too few have taken it.
    pub async fn spread(&self, id: BlobId, size: u64) -> Result<(), TooFewCopies> {
        let hedge = HEDGE + seconds(size, SLOW_PEER_RATE);
        let roster = self.0.replica.roster();
        let voters = roster.voters();
        let copies = voters.faults() + usize::from(!voters.contains(self.0.me));
        let mut candidates = self.in_turn(self.placement().ranking(id)).into_iter();
        let mut wanted = copies;
        let mut held = 0;
        let mut running = FuturesUnordered::new();
        while held < copies {
            let room = wanted.saturating_sub(held + running.len());
            running.extend(
                candidates
                    .by_ref()
                    .take(room)
                    .map(|peer| self.give(peer, id, size)),
            );
            match tokio::time::timeout(hedge, running.next()).await {
                Ok(Some(true)) => held += 1,
                Ok(Some(false)) => {}
                Ok(None) if candidates.len() == 0 => {
                    return Err(TooFewCopies {
                        held: held + 1,
                        wanted: copies + 1,
                    });
                }
                Ok(None) => {}
                Err(_) => wanted += 1,
            }
        }
        Ok(())
    }

    /// Has one peer store a blob.
    async fn give(&self, peer: NodeId, id: BlobId, size: u64) -> bool {
        let span = tracing::debug_span!("copy_blob", %peer, blob = %id, size);
        let stored = self.try_give(peer, id, size).instrument(span).await;
        let result = if stored { "stored" } else { "failed" };
        self.0.metrics.copies.with_label_values(&[result]).inc();
        stored
    }

    async fn try_give(&self, peer: NodeId, id: BlobId, size: u64) -> bool {
        let limit = COPY_TIMEOUT + seconds(size, DEAD_PEER_RATE);
        let path = self.0.store.path(id);
        let put = self.0.peers.put_blob(peer, id, size, &path);
        match tokio::time::timeout(limit, put).await {
            Ok(Ok(())) => true,
            Ok(Err(error)) => {
                let error = chain_of_causes(&error);
                tracing::warn!(%peer, blob = %id, error, "a peer did not take a copy");
                false
            }
            Err(_) => {
                tracing::warn!(%peer, blob = %id, "a peer took too long over a copy");
                false
            }
        }
    }

    /// The others among these, those that are connected first.
    fn in_turn(&self, mut nodes: Vec<NodeId>) -> Vec<NodeId> {
        nodes.retain(|node| *node != self.0.me);
        let connected = self.0.peers.connected();
        nodes.sort_by_key(|peer| !connected.contains(peer));
        nodes
    }

    /// Fetches a blob, unless `is_here` says, when it is our turn, that somebody else has just done so.
    ///
    /// # Errors
    /// If nobody gives it, or it cannot be kept.
    pub async fn fetch(
        &self,
        id: BlobId,
        is_here: impl AsyncFnOnce() -> bool,
    ) -> Result<(), FetchError> {
        let gate = self.gate(id);
        let turn = gate.lock().await;
        let result = if is_here().await || self.recall(id).await {
            Ok(())
        } else {
            self.fetch_from_anywhere(id).await
        };
        drop(turn);
        let mut fetches = self.gates();
        // Ours and the map's: nobody else waits.
        if Arc::strong_count(&gate) == 2 {
            fetches.remove(&id);
        }
        result
    }

    /// A small picture of a blob, from whoever has one or can make it.
    pub async fn thumbnail(&self, id: BlobId, px: u32) -> Option<Vec<u8>> {
        let mut seen = BTreeSet::new();
        let roster = self.0.replica.roster();
        let everybody = roster.everybody().map(|member| member.id);
        let nodes = self.placement().ranking(id).into_iter().chain(everybody);
        let nodes = nodes.filter(|node| seen.insert(*node)).collect();
        for peer in self.in_turn(nodes) {
            let asked = self.0.peers.get_thumbnail(peer, id, px);
            match tokio::time::timeout(PICTURE_TIMEOUT, asked).await {
                Ok(Ok(jpeg)) => return Some(jpeg),
                Ok(Err(error)) => {
                    let error = chain_of_causes(&error);
                    tracing::debug!(%peer, blob = %id, error, "asking for a picture");
                }
                Err(_) => tracing::debug!(%peer, blob = %id, "a peer is slow to make a picture"),
            }
        }
        None
    }

    /// Takes back what was moved aside because nobody named it, if it is whole.
    async fn recall(&self, id: BlobId) -> bool {
        let store = self.0.store.clone();
        let recalling = move || matches!(store.recall(id), Ok(true)) && is_sound(&store, id);
        tokio::task::spawn_blocking(recalling)
            .await
            .unwrap_or(false)
    }

    fn gate(&self, id: BlobId) -> Arc<tokio::sync::Mutex<()>> {
        Arc::clone(self.gates().entry(id).or_default())
    }

    fn gates(&self) -> std::sync::MutexGuard<'_, BTreeMap<BlobId, Arc<tokio::sync::Mutex<()>>>> {
        let fetches = self.0.fetches.lock();
        fetches.expect("nothing panics while it holds the gates")
    }

    /// The store goes first if bytes live there and it answers; one that is being left goes last.
    async fn fetch_from_anywhere(&self, id: BlobId) -> Result<(), FetchError> {
        let originals = &self.0.originals;
        let Some(seat) = originals.seat() else {
            return self.fetch_from_anybody(id).await;
        };
        let store_first = seat.is_home && !originals.is_failing();
        if store_first && self.fetch_from_store(&seat, id).await? {
            return Ok(());
        }
        match self.fetch_from_anybody(id).await {
            Err(FetchError::Unavailable) if !store_first => {
                let fetched = self.fetch_from_store(&seat, id).await?;
                fetched.then_some(()).ok_or(FetchError::Unavailable)
            }
            other => other,
        }
    }

    async fn fetch_from_store(&self, seat: &Seat, id: BlobId) -> Result<bool, FetchError> {
        match self.0.originals.fetch(seat, id).await {
            Ok(fetched) => Ok(fetched),
            Err(ShelfError::Write(WriteError::Full { .. })) => Err(FetchError::DiskFull),
            Err(error) => {
                let error = chain_of_causes(&error);
                tracing::debug!(blob = %id, error, "fetching a blob from the store");
                Ok(false)
            }
        }
    }

    async fn fetch_from_anybody(&self, id: BlobId) -> Result<(), FetchError> {
        let mut seen = BTreeSet::new();
        let ranking = self.placement().ranking(id);
        let roster = self.0.replica.roster();
        let everybody = roster.everybody().map(|member| member.id);
        let nodes = ranking.into_iter().chain(everybody);
        let nodes = nodes.filter(|node| seen.insert(*node)).collect();
        for peer in self.in_turn(nodes) {
            match self.0.peers.fetch_blob(peer, id).await {
                Ok(()) => {
                    tracing::info!(%peer, blob = %id, "fetched a blob");
                    self.count_fetch("fetched");
                    // Something names it already: no command is on its way that would.
                    self.0.store.named(id);
                    return Ok(());
                }
                Err(FetchBlobError::Write(WriteError::Full { .. })) => {
                    self.count_fetch("failed");
                    return Err(FetchError::DiskFull);
                }
                Err(error) => {
                    let error = chain_of_causes(&error);
                    tracing::debug!(%peer, blob = %id, error, "fetching a blob");
                }
            }
        }
        self.count_fetch("failed");
        Err(FetchError::Unavailable)
    }

    fn count_fetch(&self, result: &str) {
        self.0.metrics.fetches.with_label_values(&[result]).inc();
    }
}

fn is_sound(store: &Store, id: BlobId) -> bool {
    matches!(store.verify(id), Ok(Verdict::Sound))
}

fn seconds(bytes: u64, rate: u64) -> Duration {
    Duration::from_millis(bytes.saturating_mul(1000) / rate)
}
