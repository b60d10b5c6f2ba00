//! Empties a store that bytes belong in no more.
//!
//! The replicator brings everything to the disks, from the other nodes and from the store. An object of a named blob is
//! deleted when every voter has said, of the height at which it is named and of this move, that it lacks nothing of what
//! belongs on it. Nodes say so only when they let no copy go any more, and they do not do so again for these objects: a
//! store that is moved to once more has other keys. What nobody names is left to `collecting`. When nothing is there, that is
//! said in the ledger.

use std::sync::Arc;
use std::time::Duration;

use model::{BlobId, LibraryId, Payload};
use replica::NODE_ITSELF;
use tokio::time::Instant;
use tracing::{debug, info};

use super::moving::{Next, RoundError, is_first};
use super::shelves::SHELVES;
use super::{Originals, Seat};
use crate::Request;
use crate::replicator::Replicator;
use crate::stock::Amount;

/// How long the others may take to say that they have everything.
const PATIENCE: Duration = Duration::from_secs(20);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(250);

pub(super) async fn round(
    originals: &Originals,
    replicator: &Replicator,
    seat: &Arc<Seat>,
) -> Result<Next, RoundError> {
    let shelves = originals.shelves(seat)?;
    let (mut left, mut listed) = (Amount::default(), Vec::new());
    for digit in 0..SHELVES {
        let shelf = shelves.shelf(digit).await;
        originals.heard(seat, shelf.as_ref().err());
        for one in shelf? {
            left.add(one.size);
            listed.push((one.blob, one.size));
        }
    }
    originals.lock().seen = Some((left, Amount::default()));
    if listed.is_empty() && shelves.asides().await?.is_empty() {
        say_left(originals, seat).await;
        return Ok(Next::Waits);
    }
    let named = named(originals, listed).await?;
    if named.is_empty() {
        // What is left has to rest.
        return Ok(Next::Done);
    }
    let height = originals.0.parts.catalogue.height();
    if !all_have(originals, replicator, seat, height).await {
        debug!(%height, "not every disk has what belongs on it yet");
        return Ok(Next::Waits);
    }
    let mut next = Next::Waits;
    let mine = named.into_iter();
    for (blob, size) in mine.filter(|(blob, _)| is_first(originals, replicator, *blob)) {
        if !originals.is_at(seat) {
            return Ok(Next::Again);
        }
        next = Next::Again;
        shelves.remove(blob).await?;
        left.take(size);
        originals.lock().seen = Some((left, Amount::default()));
    }
    Ok(next)
}

/// Those that are named.
async fn named(
    originals: &Originals,
    listed: Vec<(BlobId, u64)>,
) -> Result<Vec<(BlobId, u64)>, RoundError> {
    let asked = originals.0.parts.catalogue.read(move |reader| {
        let mut named = Vec::new();
        for (blob, size) in listed {
            if reader.is_named(&blob)? {
                named.push((blob, size));
            }
        }
        Ok::<_, catalogue::ReadError>(named)
    });
    Ok(asked.await?)
}

/// Whether every voter has everything that is named up to a height, and knows of this move.
async fn all_have(
    originals: &Originals,
    replicator: &Replicator,
    seat: &Seat,
    height: model::Height,
) -> bool {
    let deadline = Instant::now() + PATIENCE;
    let height = height.max(seat.since);
    while Instant::now() < deadline {
        if replicator.is_settled_at(height) {
            return true;
        }
        if !originals.is_at(seat) {
            return false;
        }
        replicator.ask_now().await;
        tokio::time::sleep(LOOK).await;
    }
    false
}

async fn say_left(originals: &Originals, seat: &Seat) {
    let request = Request {
        library: LibraryId::home(),
        actor: NODE_ITSELF,
        key: None,
        payload: Payload::Originals(model::OriginalsStep::Left { since: seat.since }),
    };
    let deadline = Instant::now() + PATIENCE;
    match originals.0.parts.replica.submit(request, deadline).await {
        Ok(_) => info!(url = seat.url, "the store of files' bytes is left"),
        // The next round says it again.
        Err(error) => debug!(%error, "saying that a store is left"),
    }
}
