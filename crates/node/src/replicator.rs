//! Keeps every blob on as many nodes as it belongs on, without an owner.
//!
//! Three tasks run on every node, and each looks after this node alone:
//!
//! * `survey` walks over everything that is named, slowly and again and again, and at once over what is named anew, after
//!   a change of voters, and over what was found damaged. What belongs here and is not here is put on a list.
//! * `copying` fetches what is on the list, a few at a time and no faster than it may.
//! * `asking` hears from the other voters what they lack, for `/cluster` and for operators.
//!
//! Nothing is pushed in the background: a node knows best what it lacks. So a copy is only ever made by whoever is to
//! hold it, two nodes never do the same work, and a node that was away catches up by itself. Nothing is dropped either:
//! copies beyond what placement asks for stay where they are.
//!
//! What is asked of others is small, however many blobs there are: all nodes have one catalogue, so a node needs not say
//! what it holds, only up to which height it has looked and what it lacks.

mod asking;
mod copying;
mod survey;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

use blobs::{Placement, Store};
use model::{BlobId, Height, NodeId};
use tokio_util::sync::CancellationToken;

use self::asking::Heard;
pub(crate) use self::copying::Pace;
use crate::Findings;
use crate::catalogue_thread::CatalogueHandle;
use crate::config::BlobsConfig;
use crate::copies::{Copies, FetchError};
use crate::findings::Place;
use crate::originals::Originals;
use crate::peer::Peers;
use crate::replica_thread::ReplicaHandle;
use crate::stock::{Inventory, Stock};
use crate::survival::{Picture, is_settled, judge};

/// What the tasks work with.
#[derive(Clone)]
pub(crate) struct Parts {
    pub(crate) store: Store,
    pub(crate) stock: Stock,
    pub(crate) copies: Copies,
    pub(crate) originals: Originals,
    pub(crate) catalogue: CatalogueHandle,
    pub(crate) peers: Peers,
    pub(crate) replica: ReplicaHandle,
    pub(crate) findings: Findings,
    pub(crate) me: NodeId,
    pub(crate) settings: BlobsConfig,
    /// The node's.
    pub(crate) folder: PathBuf,
}

/// Restores copies, and tells how they are. Cheap to clone.
#[derive(Clone)]
pub struct Replicator {
    parts: Parts,
    heard: Arc<Mutex<Heard>>,
}

/// Starts to look after this node's copies, until `closing`.
pub(crate) fn start(parts: Parts, closing: &CancellationToken) -> Replicator {
    let replicator = Replicator {
        parts,
        heard: Arc::default(),
    };
    let surveying = survey::Surveyor::new(replicator.clone()).run();
    tokio::spawn(closing.clone().run_until_cancelled_owned(surveying));
    let copying = copying::run(replicator.clone());
    tokio::spawn(closing.clone().run_until_cancelled_owned(copying));
    let asking = asking::run(replicator.clone());
    tokio::spawn(closing.clone().run_until_cancelled_owned(asking));
    replicator
}

impl Replicator {
    /// Has a blob here, whole, when it returns: fetches it if it is missing or damaged. Damage is put aside and
    /// registered.
    ///
    /// # Errors
    /// If nobody gives it, or it cannot be kept.
    pub async fn restore(&self, blob: BlobId) -> Result<(), FetchError> {
        let store = self.parts.store.clone();
        let is_sound = async move || {
            let verdict = tokio::task::spawn_blocking(move || store.verify(blob)).await;
            matches!(verdict, Ok(Ok(blobs::Verdict::Sound)))
        };
        self.parts.copies.fetch(blob, is_sound).await?;
        self.is_here(blob);
        Ok(())
    }

    /// Takes note that a blob is here.
    fn is_here(&self, blob: BlobId) {
        self.parts.stock.holds(blob);
        self.parts
            .findings
            .whole(&Place::Blob(blob), "another node");
    }

    /// How the copies of all blobs are, if these voters are up; nothing until this node has looked at its own under the
    /// voters of now.
    pub fn picture(&self, up: &BTreeSet<NodeId>) -> Option<Picture> {
        let names = self.parts.stock.names()?;
        let claims = self.claims();
        let heard = self.heard();
        Some(judge(&names, &claims, up, heard.before()))
    }

    /// Whether every voter has said that it holds all that belongs on it of what is named up to a height.
    pub(crate) fn is_settled_at(&self, height: Height) -> bool {
        let Some(names) = self.parts.stock.names() else {
            return false;
        };
        let claims = self.claims();
        let voters: BTreeSet<_> = names.placement.nodes().iter().copied().collect();
        names.height >= height
            && names.voters == self.parts.replica.roster().voters().hash()
            && claims.values().all(|claim| claim.height >= height)
            && is_settled(&names, &claims, &voters)
    }

    /// Hears from the other voters what they lack, without waiting for the time.
    pub(crate) async fn ask_now(&self) {
        asking::ask_all(self, &self.voters_up()).await;
    }

    /// Where blobs belong if they belong on disks.
    pub(crate) fn placement(&self) -> Placement {
        self.parts.copies.placement()
    }

    /// What the voters say of themselves, this node among them.
    fn claims(&self) -> BTreeMap<NodeId, Inventory> {
        let mut claims = self.heard().claims();
        claims.extend(self.parts.stock.inventory().map(|own| (self.parts.me, own)));
        claims
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        let heard = self.heard.lock();
        heard.expect("nothing panics while it holds what was heard")
    }

    /// Whether a blob that is not here was here before: somebody has taken it away.
    pub(crate) async fn is_lost(&self, blob: BlobId) -> bool {
        let stock = &self.parts.stock;
        let Some(known) = stock.known() else {
            return false;
        };
        if stock.belongs(blob, self.parts.me) != Some(true) || stock.is_missing(blob) {
            return false;
        }
        let named = self.parts.catalogue.read(move |reader| {
            let new = reader.named_since(known, survey::NEW_PAGE)?;
            let is_new = new.iter().any(|new| new.named.blob == blob);
            Ok::<_, catalogue::ReadError>(!is_new && reader.blob(&blob)?.is_some())
        });
        // What cannot be read is nobody's loss.
        named.await.unwrap_or(false)
    }

    /// The blobs that belong here and whose names begin with this byte, of all that is named up to where this node knows
    /// what it holds.
    pub(crate) async fn belonging(&self, first: u8) -> Vec<BlobId> {
        let Some(known) = self.parts.stock.known() else {
            return Vec::new();
        };
        let mut found = Vec::new();
        let mut after = first.checked_sub(1).map(|before| {
            let mut last = [u8::MAX; 32];
            last[0] = before;
            BlobId(last)
        });
        loop {
            let page =
                move |reader: &mut catalogue::Reader| reader.named(after, known, survey::PAGE);
            let Ok(page) = self.parts.catalogue.read(page).await else {
                return found;
            };
            let ids = page.named.iter().map(|named| named.blob);
            found.extend(ids.filter(|id| id.0.starts_with(&[first])));
            after = page.next;
            if after.is_none_or(|next| !next.0.starts_with(&[first])) {
                break;
            }
        }
        let (stock, me) = (&self.parts.stock, self.parts.me);
        found.retain(|id| stock.belongs(*id, me) == Some(true));
        found
    }

    /// The voters that are up, as this node sees it.
    pub(crate) fn voters_up(&self) -> BTreeSet<NodeId> {
        let roster = self.parts.replica.roster();
        let status = self.parts.replica.status();
        let peers = status.replica.peers.iter().filter(|peer| peer.alive);
        let up = peers.map(|peer| peer.node).chain([self.parts.me]);
        up.filter(|node| roster.voters().contains(*node)).collect()
    }
}
