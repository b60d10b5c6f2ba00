//! Deletes bytes that nobody names: of a `PUT` whose file never came, of an upload that failed after its bytes were
//! stored, of a file that was purged and whose bytes were left.
//!
//! A blob that a live command names must never be deleted, whatever happens at the same time. So it goes slowly and in
//! two steps, and each is taken only by what the catalogue says at a height that a quorum has confirmed a moment ago:
//!
//! 1. A blob that is unnamed, and whose file has not been touched for longer than any command may wait to be decided, is
//!    moved aside. Whoever needs it all the same finds it there: `copies` looks aside before it asks the others.
//! 2. As long again later, if it is still unnamed, it is deleted. If it has been named, it is put back.
//!
//! An upload writes a new file, also of bytes that are here already, so what it rests on is young. A command that names
//! bytes without sending them must be decided before its time is over; by then the second step is still to come.

use std::io;
use std::time::{Duration, SystemTime};

use blobs::{DiscardError, Store, Stored};
use catalogue::ReadError;
use model::{BlobId, limits};
use tokio::time::Instant;
use tracing::{debug, info, warn};

use crate::Behind;
use crate::catalogue_thread::CatalogueHandle;
use crate::originals::ShelfError;
use crate::replica_thread::{self, ReplicaHandle};
use crate::replicator;

/// Between the two steps, and before the first: a day of block time and an hour for clocks that differ.
pub(crate) const REST: Duration = limits::KEYED_WINDOW.saturating_add(Duration::from_secs(3600));
/// Files looked at in one round, so that a round is short however many there are.
const FILES: usize = 10_000;
/// How long a quorum, and this node's catalogue, may take to confirm.
const PATIENCE: Duration = Duration::from_secs(20);

/// Why a round could not be finished.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CollectError {
    #[error(transparent)]
    NoQuorum(#[from] replica_thread::ReadError),
    #[error(transparent)]
    Behind(#[from] Behind),
    #[error(transparent)]
    Catalogue(#[from] ReadError),
    #[error(transparent)]
    Disk(#[from] DiscardError),
    #[error(transparent)]
    Store(#[from] ShelfError),
    #[error("the node shuts down")]
    Shutdown(#[source] io::Error),
}

/// The task.
pub(crate) struct Collector {
    store: Store,
    catalogue: CatalogueHandle,
    replica: ReplicaHandle,
    every: Duration,
    /// Where the next round begins.
    shelf: u8,
}

impl Collector {
    pub(crate) fn new(parts: &replicator::Parts) -> Self {
        Self {
            store: parts.store.clone(),
            catalogue: parts.catalogue.clone(),
            replica: parts.replica.clone(),
            every: parts.settings.survey_every,
            shelf: 0,
        }
    }

    pub(crate) async fn run(mut self) {
        loop {
            tokio::time::sleep(self.every).await;
            let now = SystemTime::UNIX_EPOCH + Duration::from_micros(self.replica.wall().0);
            if let Err(error) = self.round(now).await {
                match error {
                    // It has time.
                    CollectError::NoQuorum(_) | CollectError::Behind(_) => {
                        debug!(%error, "unnamed bytes are not looked for");
                    }
                    _ => warn!(%error, "unnamed bytes cannot be deleted"),
                }
            }
        }
    }

    async fn round(&mut self, now: SystemTime) -> Result<(), CollectError> {
        let aside = self.blocking(Store::discarded).await?;
        let (old, young): (Vec<_>, Vec<_>) =
            aside.into_iter().partition(|stored| rested(stored, now));
        let (named, _) = self.split(young).await?;
        let (named_late, unnamed) = self.split(old).await?;
        for blob in named.into_iter().chain(named_late) {
            info!(%blob, "bytes are named again and back in their place");
            self.blocking(move |store| store.recall(blob)).await?;
        }
        for blob in unnamed {
            info!(%blob, "deleted bytes that nobody names");
            self.blocking(move |store| store.delete_discarded(blob))
                .await?;
        }
        let old = self.next_files(now).await?;
        let (_, unnamed) = self.split(old).await?;
        for blob in unnamed {
            info!(%blob, "nobody names these bytes: they are put aside and deleted later");
            self.blocking(move |store| store.discard(blob)).await?;
        }
        Ok(())
    }

    /// Files that have rested, from some of the shelves.
    async fn next_files(&mut self, now: SystemTime) -> Result<Vec<Stored>, CollectError> {
        let mut found = Vec::new();
        let mut seen = 0;
        for _ in 0..=u8::MAX {
            let shelf = self.shelf;
            self.shelf = shelf.wrapping_add(1);
            let files = self.blocking(move |store| store.shelf(shelf)).await?;
            seen += files.len();
            found.extend(files.into_iter().filter(|stored| rested(stored, now)));
            if seen >= FILES {
                break;
            }
        }
        Ok(found)
    }

    /// Those that are named and those that are not, by what was decided before now.
    async fn split(&self, files: Vec<Stored>) -> Result<(Vec<BlobId>, Vec<BlobId>), CollectError> {
        let blobs = files.into_iter().map(|stored| stored.blob).collect();
        split(&self.catalogue, &self.replica, blobs).await
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> Result<T, DiscardError> + Send + 'static,
    ) -> Result<T, CollectError> {
        let store = self.store.clone();
        let done = tokio::task::spawn_blocking(move || work(&store)).await;
        let done = done.map_err(|error| CollectError::Shutdown(io::Error::other(error)))?;
        Ok(done?)
    }
}

/// Those that are named and those that are not, by what was decided before now.
pub(crate) async fn split(
    catalogue: &CatalogueHandle,
    replica: &ReplicaHandle,
    blobs: Vec<BlobId>,
) -> Result<(Vec<BlobId>, Vec<BlobId>), CollectError> {
    if blobs.is_empty() {
        return Ok((Vec::new(), Vec::new()));
    }
    let deadline = Instant::now() + PATIENCE;
    let height = replica.linearizable(deadline).await?;
    catalogue.applied(height, deadline).await?;
    let asked = catalogue.read(move |reader| {
        let mut answers = (Vec::new(), Vec::new());
        for blob in blobs {
            if reader.is_named(&blob)? {
                answers.0.push(blob);
            } else {
                answers.1.push(blob);
            }
        }
        Ok::<_, ReadError>(answers)
    });
    Ok(asked.await?)
}

/// Whether a file was last touched long enough ago. One from the future was not.
fn rested(stored: &Stored, now: SystemTime) -> bool {
    now.duration_since(stored.since)
        .is_ok_and(|age| age >= REST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_touched_within_a_day_or_later_than_now_stays() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        let stored = |since| Stored {
            blob: BlobId([1; 32]),
            since,
        };
        assert!(rested(&stored(now - REST), now));
        assert!(!rested(&stored(now - REST / 2), now));
        assert!(!rested(&stored(now + REST), now));
    }
}
