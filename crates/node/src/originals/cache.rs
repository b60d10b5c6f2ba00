//! Copies on the disk of what is in the store: kept as long as there is room.
//!
//! Thumbnails stay; originals go, those first that nobody has read for longest. A copy goes only after this node has read
//! the object whole: when it stored it, fetched it, or now. Which object that was is noted beside the copy by its tag, and
//! asked of the store again at the last moment.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use blobs::Held;
use catalogue::ReadError;
use model::{BlobId, Height};
use tokio::time::Instant;
use tracing::debug;

use super::moving::RoundError;
use super::shelves::{ShelfError, blocking};
use super::{Originals, Seat};
use crate::findings::Place;
use crate::replicator::Pace;
use crate::stock::Amount;

/// What the note beside a copy is called.
pub(super) const NOTE: &str = "stored";
/// A copy that was read a moment ago stays: somebody is at it.
const QUIET: Duration = Duration::from_secs(60);

/// Which object a copy was compared with.
pub(super) fn note(url: &str, tag: &str) -> String {
    format!("{url}\n{tag}")
}

/// Lets go of what there is no room for.
pub(super) async fn let_go(
    originals: &Originals,
    seat: &Arc<Seat>,
    pace: &mut Pace,
) -> Result<(), RoundError> {
    let parts = &originals.0.parts;
    let store = parts.store.clone();
    let mut held = blocking(move || store.held()).await??;
    let mut cached = Amount::default();
    held.iter().for_each(|one| cached.add(one.size));
    originals.lock().cached = cached;
    let quiet = QUIET.min(parts.settings.survey_every);
    let now = SystemTime::now();
    held.retain(|one| now.duration_since(one.used).is_ok_and(|age| age >= quiet));
    held.sort_by_key(|one| one.used);
    let nodes = originals.members();
    let purge = parts
        .catalogue
        .read(move |reader| reader.unfinished_purge(&nodes));
    let purge = purge.await?;
    for one in held {
        if cached.bytes <= parts.settings.cache_bytes {
            break;
        }
        if may_go(originals, one.blob, purge).await? && leave(originals, seat, one, pace).await? {
            cached.take(one.size);
            originals.lock().cached = cached;
        }
    }
    Ok(())
}

/// Whether a blob is named, and no purge that is under way can be about it.
async fn may_go(
    originals: &Originals,
    blob: BlobId,
    purge: Option<Height>,
) -> Result<bool, ReadError> {
    let asked = originals.0.parts.catalogue.read(move |reader| {
        let first = reader.named_first(&blob)?;
        let before = purge.is_none_or(|purge| first.is_some_and(|first| first < purge));
        Ok(before && reader.is_named(&blob)?)
    });
    asked.await
}

/// Deletes one copy, if the store has the blob for certain.
async fn leave(
    originals: &Originals,
    seat: &Arc<Seat>,
    held: Held,
    pace: &mut Pace,
) -> Result<bool, ShelfError> {
    let Held { blob, size, .. } = held;
    let shelves = originals.shelves(seat)?;
    let (store, findings) = (&originals.0.parts.store, &originals.0.parts.findings);
    let of_note = store.clone();
    let noted = blocking(move || of_note.derived(blob, NOTE)).await?;
    let noted = noted.ok().flatten();
    let head = shelves.head(blob).await?;
    let is_the_one = |tag: &Option<String>| {
        let expected = tag.as_ref().map(|tag| note(&seat.url, tag));
        noted.is_some() && noted == expected.map(String::into_bytes)
    };
    let Some(head) = head else { return Ok(false) };
    if head.length != size || !is_the_one(&head.tag) {
        tokio::time::sleep_until(pace.next(Instant::now(), size)).await;
        match shelves.check(blob).await {
            Ok(Some(head)) => originals.remember(seat, blob, head.tag).await,
            Ok(None) => return Ok(false),
            Err(damage @ ShelfError::Damaged { .. }) => {
                findings.report(Place::Object(blob), damage.to_string(), None);
                return Ok(false);
            }
            Err(error) => return Err(error),
        }
    }
    let _gate = originals.0.gate.read().await;
    if !originals.is_at(seat) {
        return Ok(false);
    }
    let store = store.clone();
    let gone = blocking(move || store.let_go(blob)).await?;
    debug!(%blob, "a copy left this node's disk: the store has it");
    Ok(gone.is_ok())
}
