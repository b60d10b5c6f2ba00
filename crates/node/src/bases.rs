//! Brings a snapshot where this node cannot do without one: its catalogue has to begin above commands that are pruned, or it
//! is to prune them itself.
//!
//! Which snapshots will do stands in the chain. They are asked for by their hashes, of the archive and then of every
//! member, and checked against them, so it does not matter who gives them.
//!
//! An export takes one along, and what is made of an export or an archive gets one beside its ledger.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use archive::{Archive, PART_BYTES, SnapshotIndex, SnapshotName};
use futures::TryStreamExt as _;
use ledger::Reader;
use model::{BlobId, Digest, Height, NodeId, SnapshotRef};
use tokio::time::sleep;
use tracing::{debug, info};

use crate::peer::{GetBlobError, Part, Peers, chain_of_causes};
use crate::snapshots::{self, Shelf};
use crate::{CatalogueHandle, ReplicaHandle};

pub use crate::snapshots::FetchError;

/// Between two looks at whether one is needed.
const LOOK: Duration = Duration::from_secs(1);
/// An index of so many bytes names more than any catalogue holds.
const INDEX_MAX: u64 = 16 << 20;
/// The newest few are tried.
const TRIED: usize = 4;

/// What it works with.
pub(crate) struct Bases {
    pub(crate) me: NodeId,
    pub(crate) shelf: Shelf,
    pub(crate) replica: ReplicaHandle,
    pub(crate) catalogue: CatalogueHandle,
    pub(crate) archive: Option<Archive>,
    pub(crate) peers: Peers,
}

/// Why nobody gave one.
#[derive(Debug, thiserror::Error)]
enum BringError {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error(transparent)]
    Peer(#[from] GetBlobError),
    #[error("a member gave something else than what was asked for")]
    Other,
    #[error("writing the snapshot")]
    Folder(#[from] io::Error),
}

impl Bases {
    /// Looks after it as long as the node runs.
    pub(crate) async fn run(self) {
        loop {
            if let Some(height) = self.wanted().await
                && let Err(error) = self.bring(height).await
            {
                debug!(
                    error = chain_of_causes(&error),
                    "no snapshot to begin with came"
                );
            }
            sleep(LOOK).await;
        }
    }

    /// A height over which a snapshot has to reach that is not here.
    async fn wanted(&self) -> Option<Height> {
        if let Some(height) = *self.catalogue.lacks().borrow() {
            return Some(height);
        }
        let me = self.me;
        let prunes = self.catalogue.read(|rows| rows.prunes()).await.ok()?;
        let mut mine = prunes.into_iter().filter(|prune| !prune.done.contains(&me));
        let prune = mine.next_back()?.prune;
        let (shelf, reader) = (self.shelf.clone(), self.replica.reader().clone());
        let here = move || {
            let named = shelf.keeps(snapshots::name_of(&prune.snapshot));
            named.unwrap_or(false)
                || snapshots::base(&shelf, &reader, |at| at >= prune.through).is_some()
        };
        let here = tokio::task::spawn_blocking(here).await.ok()?;
        (!here).then_some(prune.through)
    }

    async fn bring(&self, height: Height) -> Result<(), BringError> {
        let reader = self.replica.reader().clone();
        let known = tokio::task::spawn_blocking(move || known_above(&reader, height)).await;
        let known = known.map_err(io::Error::other)?.map_err(FetchError::from)?;
        for snapshot in known.iter().rev().take(TRIED) {
            let name = snapshots::name_of(snapshot);
            if self.fetch_from_anybody(name).await? {
                info!(height = %name.height, "took a snapshot that reaches over what is pruned");
                return Ok(());
            }
        }
        Ok(())
    }

    /// Asks the archive, and then every member; whether one of them gave it.
    async fn fetch_from_anybody(&self, name: SnapshotName) -> Result<bool, BringError> {
        let folder = self.shelf.folder()?;
        if let Some(archive) = &self.archive {
            match archive.fetch_snapshot(name, folder).await {
                Ok(_) => return Ok(true),
                Err(error) => debug!(%error, "the archive has no snapshot to begin with"),
            }
        }
        let roster = self.replica.roster();
        for member in roster.everybody().filter(|member| member.id != self.me) {
            match self.fetch(member.id, name).await {
                Ok(()) => return Ok(true),
                Err(error) => debug!(from = member.name, %error, "no snapshot to begin with"),
            }
        }
        Ok(false)
    }

    async fn fetch(&self, from: NodeId, name: SnapshotName) -> Result<(), BringError> {
        let bytes = self.piece(from, name.digest, INDEX_MAX).await?;
        let index = SnapshotIndex::check(&bytes, name).ok_or(BringError::Other)?;
        for part in index.parts() {
            if self.shelf.find(part.sha256)?.is_none() {
                let piece = self.piece(from, part.sha256, PART_BYTES as u64).await?;
                self.shelf.put(index.part_name(part), &piece)?;
            }
        }
        Ok(self.shelf.put(name, &bytes)?)
    }

    /// The bytes with this hash.
    async fn piece(&self, from: NodeId, sha256: Digest, limit: u64) -> Result<Vec<u8>, BringError> {
        let found = self
            .peers
            .get_blob(from, BlobId(sha256.0), Part::Whole)
            .await?;
        if found.size() > limit {
            return Err(BringError::Other);
        }
        let mut chunks = std::pin::pin!(found.into_chunks());
        let mut bytes = Vec::new();
        while let Some(chunk) = chunks.try_next().await? {
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }
}

/// Brings the newest snapshot of an archive for which a ledger vouches that nobody uses yet, and puts it where a node looks
/// for it: beside the ledger's folder. Says its height.
///
/// # Errors
/// A [`FetchError`].
pub async fn bring_beside(
    archive: &Archive,
    reader: &Reader,
    ledger: &Path,
) -> Result<Option<Height>, FetchError> {
    let Some(node) = ledger.parent() else {
        return Ok(None);
    };
    let shelf = Shelf::of(node);
    for name in archive.snapshots().await? {
        let spoken = snapshots::spoken_of(reader, name.height)?;
        let mut meant = spoken
            .iter()
            .filter(|known| snapshots::name_of(known) == name);
        if let Some(snapshot) = meant.next()
            && reader.was_vouched_for(snapshot)?
        {
            archive.fetch_snapshot(name, shelf.folder()?).await?;
            return Ok(Some(name.height));
        }
    }
    Ok(None)
}

/// The newest snapshot beside a ledger's folder for which the ledger vouches, and the folder in which its files are.
///
/// # Errors
/// An [`io::Error`] if a piece of it cannot be read.
pub fn kept_beside(reader: &Reader, ledger: &Path) -> io::Result<Option<(PathBuf, SnapshotIndex)>> {
    let Some(node) = ledger.parent() else {
        return Ok(None);
    };
    let shelf = Shelf::of(node);
    let Some(begin) = snapshots::base(&shelf, reader, |_| true) else {
        return Ok(None);
    };
    let whole = shelf.keeps(begin.name())?;
    let index = shelf.index(begin.name()).filter(|_| whole);
    Ok(index
        .zip(shelf.folder().ok())
        .map(|(index, folder)| (folder.to_owned(), index)))
}

/// The snapshots of this height or above for which enough voters have vouched, lowest first.
fn known_above(reader: &Reader, height: Height) -> Result<Vec<SnapshotRef>, ledger::ReadError> {
    let mut known = Vec::new();
    for snapshot in snapshots::spoken_of(reader, height)? {
        if catalogue::reads(snapshot.version) && reader.was_vouched_for(&snapshot)? {
            known.push(snapshot);
        }
    }
    Ok(known)
}
