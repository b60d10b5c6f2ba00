//! Deletes objects that nobody names: of uploads that were given up, of files that were purged and whose bytes were left,
//! of parts of uploads.
//!
//! The same two steps as on the disks (`garbage`), by the store's clock and with the same rest before each:
//!
//! 1. An object that is unnamed, and was written longer ago than any command may wait to be decided, is copied to a key
//!    that was never used, and only then deleted. Whoever wants the blob all the same finds it there.
//! 2. As long again later the copy is deleted if the blob is still unnamed; if it is named, it is put back.
//!
//! An upload that rests on an object has read it whole before the first step, so its command is decided, or void, before
//! the second one is taken; an upload that comes after the first step makes a new object, which the second does not touch.
//! Nodes that do this at the same time, or are stopped between two calls, leave one copy too many and never one too few:
//! each deletes the very copy that it has looked at.

use std::time::{Duration, SystemTime};

use model::BlobId;
use tracing::{debug, info};

use super::shelves::{SHELVES, Shelves};
use super::{Originals, moving};
use crate::garbage::{self, CollectError, REST};
use crate::replicator::Replicator;

/// Says which of some blobs are named, by what was decided before it was asked.
pub(super) trait Names {
    /// Those that are not.
    async fn unnamed(&self, blobs: Vec<BlobId>) -> Result<Vec<BlobId>, CollectError>;
}

struct Quorum<'a>(&'a Originals);

impl Names for Quorum<'_> {
    async fn unnamed(&self, blobs: Vec<BlobId>) -> Result<Vec<BlobId>, CollectError> {
        let parts = &self.0.0.parts;
        let (_, unnamed) = garbage::split(&parts.catalogue, &parts.replica, blobs).await?;
        Ok(unnamed)
    }
}

pub(super) async fn run(originals: Originals, replicator: Replicator) {
    let every = originals.0.parts.settings.survey_every;
    loop {
        tokio::time::sleep(every).await;
        let Some(seat) = originals.seat() else {
            originals.moved(&None).await;
            continue;
        };
        let Ok(shelves) = &seat.shelves else { continue };
        let now = originals.0.parts.replica.wall();
        let now = SystemTime::UNIX_EPOCH + Duration::from_micros(now.0);
        let mine = |blob| moving::is_first(&originals, &replicator, blob);
        if let Err(error) = round(shelves, &Quorum(&originals), &mine, now).await {
            debug!(%error, "unnamed objects are not looked for");
        }
    }
}

/// One look at everything in the store.
pub(super) async fn round(
    shelves: &Shelves,
    names: &impl Names,
    is_mine: &impl Fn(BlobId) -> bool,
    now: SystemTime,
) -> Result<(), CollectError> {
    let asides = shelves.asides().await?;
    let unnamed = names
        .unnamed(asides.iter().map(|aside| aside.blob).collect())
        .await?;
    for aside in asides.iter().filter(|aside| is_mine(aside.blob)) {
        if !unnamed.contains(&aside.blob) {
            info!(blob = %aside.blob, "an object is named again and back in its place");
            shelves.bring_back(aside).await?;
        } else if rested(aside.since, now) {
            info!(blob = %aside.blob, "deleted an object that nobody names");
            shelves.drop_aside(aside).await?;
        }
    }
    for digit in 0..SHELVES {
        let shelf = shelves.shelf(digit).await?.into_iter();
        let old = shelf.filter(|one| is_mine(one.blob) && rested(one.since, now));
        let old: Vec<_> = old.map(|one| one.blob).collect();
        for blob in names.unnamed(old).await? {
            info!(%blob, "nobody names this object: it is put aside and deleted later");
            shelves.put_aside(blob).await?;
        }
    }
    Ok(())
}

/// Whether an object was written long enough ago. One from the future was not.
fn rested(since: SystemTime, now: SystemTime) -> bool {
    now.duration_since(since).is_ok_and(|age| age >= REST)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use model::{ChainId, Height};
    use objects::Store;

    use super::*;

    /// What is named, as a quorum would say it.
    #[derive(Default)]
    struct Known(RefCell<Vec<BlobId>>);

    impl Names for Known {
        async fn unnamed(&self, mut blobs: Vec<BlobId>) -> Result<Vec<BlobId>, CollectError> {
            blobs.retain(|blob| !self.0.borrow().contains(blob));
            Ok(blobs)
        }
    }

    struct Bench {
        folder: tempfile::TempDir,
        shelves: Shelves,
        names: Known,
    }

    impl Bench {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let store = Store::open(&format!("file://{}", folder.path().display())).unwrap();
            Self {
                shelves: Shelves::of(store, Height(5), vec![ChainId([3; 16])]),
                names: Known::default(),
                folder,
            }
        }

        async fn put(&self, bytes: &[u8]) -> BlobId {
            let file = self.folder.path().join("upload");
            std::fs::write(&file, bytes).unwrap();
            let id = BlobId::of(&[bytes]);
            let put = self.shelves.put(id, bytes.len() as u64, &file);
            put.await.unwrap();
            id
        }

        /// A round of somebody whose clock says that so many rests have passed since everything was written.
        async fn round(&self, rests: u32) {
            let now = SystemTime::now() + (REST + Duration::from_secs(60)) * rests;
            let done = round(&self.shelves, &self.names, &|_| true, now);
            done.await.unwrap();
        }

        async fn is_shelved(&self, id: BlobId) -> bool {
            self.shelves.head(id).await.unwrap().is_some()
        }

        async fn asides(&self) -> usize {
            self.shelves.asides().await.unwrap().len()
        }

        async fn can_be_had(&self, id: BlobId) -> bool {
            let disk = tempfile::tempdir().unwrap();
            let disk = blobs::Store::open(disk.path()).unwrap();
            self.shelves.fetch(id, &disk).await.unwrap().is_some()
        }
    }

    #[tokio::test]
    async fn what_nobody_names_goes_in_two_steps_and_nothing_else_goes() {
        let bench = Bench::new();
        let (lost, kept) = (bench.put(b"lost").await, bench.put(b"kept").await);
        bench.names.0.borrow_mut().push(kept);
        bench.round(0).await;
        assert!(bench.is_shelved(lost).await, "it is young");
        bench.round(1).await;
        assert!(!bench.is_shelved(lost).await);
        assert!(bench.can_be_had(lost).await, "it lies aside");
        bench.round(0).await;
        assert!(bench.can_be_had(lost).await, "it has not rested there");
        bench.round(1).await;
        assert!(!bench.can_be_had(lost).await);
        assert!(bench.is_shelved(kept).await);
    }

    #[tokio::test]
    async fn what_is_named_while_it_is_collected_is_put_back() {
        let bench = Bench::new();
        let id = bench.put(b"named late").await;
        // An upload has found the object and read it; its command is not decided yet.
        assert!(bench.shelves.check(id).await.unwrap().is_some());
        bench.round(1).await;
        assert!(!bench.is_shelved(id).await);
        bench.names.0.borrow_mut().push(id);
        assert!(
            bench.can_be_had(id).await,
            "it is served from where it lies"
        );
        bench.round(9).await;
        assert!(bench.is_shelved(id).await);
        assert_eq!(bench.asides().await, 0);
    }

    #[tokio::test]
    async fn an_upload_during_the_rest_makes_an_object_of_its_own() {
        let bench = Bench::new();
        let id = bench.put(b"again").await;
        bench.round(1).await;
        assert_eq!(bench.put(b"again").await, id);
        let asides = bench.shelves.asides().await.unwrap();
        assert_eq!(asides.len(), 1);
        // The copy has rested, the new object has not: its upload may still be decided.
        bench.shelves.drop_aside(&asides[0]).await.unwrap();
        assert!(bench.is_shelved(id).await);
    }

    #[tokio::test]
    async fn a_collector_that_was_stopped_for_long_deletes_only_what_it_saw() {
        let bench = Bench::new();
        let id = bench.put(b"twice aside").await;
        bench.round(1).await;
        let seen = bench.shelves.asides().await.unwrap();
        // Meanwhile the bytes came again, were given up again and were put aside by another node.
        bench.put(b"twice aside").await;
        bench.shelves.put_aside(id).await.unwrap();
        for aside in &seen {
            bench.shelves.drop_aside(aside).await.unwrap();
        }
        assert!(
            bench.can_be_had(id).await,
            "the later copy stays for its own rest"
        );
    }

    #[tokio::test]
    async fn a_crash_between_two_calls_leaves_one_copy_too_many() {
        let bench = Bench::new();
        let id = bench.put(b"in two places").await;
        bench.round(1).await;
        // Killed in the middle of putting it back: it is in both places.
        bench.put(b"in two places").await;
        bench.names.0.borrow_mut().push(id);
        bench.round(0).await;
        assert!(bench.is_shelved(id).await);
        assert_eq!(bench.asides().await, 0);
        assert!(bench.shelves.check(id).await.unwrap().is_some());
    }
}
