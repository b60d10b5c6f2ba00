//! Brings bytes to where they belong, round after round.
//!
//! A round looks at everything: what the store lists beside what the catalogue names. What is named, is not there and is on
//! this node's disk goes up, by the node that placement names first among those that are up; what still lacks in the next
//! round by whoever has it. Then a few objects are read, and copies go that the cache has no room for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use catalogue::Named;
use model::BlobId;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::shelves::{SHELVES, ShelfError, Shelves, blocking};
use super::{Originals, Seat, cache, leaving};
use crate::findings::Place;
use crate::replicator::{Pace, Replicator};
use crate::stock::Amount;

/// Blobs asked of the catalogue at once.
const PAGE: u32 = 1000;
/// Blobs brought up in one round.
const ROUND: usize = 10_000;
/// The pause between rounds while there is something to do.
const AGAIN: Duration = Duration::from_secs(1);

/// Why a round could not be finished.
#[derive(Debug, thiserror::Error)]
pub(super) enum RoundError {
    #[error(transparent)]
    Shelf(#[from] ShelfError),
    #[error(transparent)]
    Catalogue(#[from] catalogue::ReadError),
    #[error(transparent)]
    Disk(#[from] blobs::DiscardError),
}

/// What a look at everything has found.
#[derive(Default)]
struct Look {
    stored: Amount,
    pending: Amount,
    /// Of that, what is on this node's disk.
    here: Vec<Named>,
}

/// What is kept between rounds.
pub(super) struct Mover {
    originals: Originals,
    replicator: Replicator,
    pace: Pace,
    /// What was not there in the last round either.
    late: BTreeSet<BlobId>,
    /// Where the reading of objects goes on, and since when nothing was read.
    sample: (Option<BlobId>, Instant),
}

pub(super) async fn run(originals: Originals, replicator: Replicator) {
    originals.known().await;
    let every = originals.0.parts.settings.survey_every;
    let mut mover = Mover {
        pace: Pace::new(originals.0.parts.settings.copy_bytes_per_second),
        originals: originals.clone(),
        replicator,
        late: BTreeSet::new(),
        sample: (None, Instant::now()),
    };
    loop {
        let seat = originals.seat();
        let pause = match &seat {
            None => Duration::MAX,
            Some(seat) => match mover.round(seat).await {
                Ok(true) => every,
                Ok(false) => AGAIN.min(every),
                Err(error) => {
                    debug!(%error, "a round of moving files' bytes was not finished");
                    AGAIN.max(every / 60)
                }
            },
        };
        _ = tokio::time::timeout(pause, originals.moved(&seat)).await;
    }
}

impl Mover {
    /// True if there is nothing left to do.
    async fn round(&mut self, seat: &Arc<Seat>) -> Result<bool, RoundError> {
        if !seat.is_home {
            return leaving::round(&self.originals, &self.replicator, seat).await;
        }
        let look = self.look(seat).await;
        if let Err(RoundError::Shelf(error)) = &look {
            self.originals.heard(seat, Some(error));
        }
        let look = look?;
        let mut pending = look.pending;
        let mut stored = look.stored;
        self.originals.lock().seen = Some((stored, pending));
        let mut late = BTreeSet::new();
        for named in look.here {
            late.insert(named.blob);
            if !self.is_turn(named.blob) {
                continue;
            }
            tokio::time::sleep_until(self.pace.next(Instant::now(), named.size)).await;
            if self
                .originals
                .seat()
                .is_none_or(|now| now.since != seat.since)
            {
                return Ok(true);
            }
            self.bring_up(seat, named).await?;
            stored.add(named.size);
            pending.take(named.size);
            self.originals.lock().seen = Some((stored, pending));
        }
        self.late = late;
        self.read_some(seat).await?;
        cache::let_go(&self.originals, seat).await?;
        Ok(pending.blobs == 0)
    }

    /// What is in the store of all that is named.
    async fn look(&self, seat: &Seat) -> Result<Look, RoundError> {
        let shelves = self.originals.shelves(seat)?;
        let mut look = Look::default();
        for digit in 0..SHELVES {
            let listed = shelves.shelf(digit).await?;
            let listed: BTreeMap<_, _> = listed.iter().map(|one| (one.blob, one.size)).collect();
            let mut after = before_shelf(digit);
            loop {
                let until = self.originals.0.parts.catalogue.height();
                let reading = self
                    .originals
                    .0
                    .parts
                    .catalogue
                    .read(move |reader| reader.named(after, until, PAGE));
                let page = reading.await?;
                let ours = page.named.iter().filter(|named| is_on(named.blob, digit));
                let (there, lacking): (Vec<_>, Vec<_>) = ours
                    .copied()
                    .partition(|named| listed.get(&named.blob) == Some(&named.size));
                there.iter().for_each(|named| look.stored.add(named.size));
                lacking
                    .iter()
                    .for_each(|named| look.pending.add(named.size));
                let room = ROUND.saturating_sub(look.here.len());
                look.here
                    .extend(self.on_disk(lacking).await?.into_iter().take(room));
                after = page.next.filter(|next| is_on(*next, digit));
                if after.is_none() {
                    break;
                }
            }
        }
        Ok(look)
    }

    async fn on_disk(&self, mut named: Vec<Named>) -> Result<Vec<Named>, ShelfError> {
        let store = self.originals.0.parts.store.clone();
        blocking(move || {
            named.retain(
                |named| matches!(store.size(named.blob), Ok(Some(size)) if size == named.size),
            );
            named
        })
        .await
    }

    /// Whether this node is to bring a blob up: the first that is up, and whoever has it if that one did not.
    fn is_turn(&self, blob: BlobId) -> bool {
        self.late.contains(&blob) || is_first(&self.originals, &self.replicator, blob)
    }

    async fn bring_up(&self, seat: &Seat, named: Named) -> Result<(), ShelfError> {
        let shelves = self.originals.shelves(seat)?;
        if shelves
            .head(named.blob)
            .await?
            .is_some_and(|head| head.length == named.size)
        {
            // Another node was first, and has read it back.
            return Ok(());
        }
        match self.originals.put(seat, named.blob, named.size).await {
            Ok(()) => {
                debug!(blob = %named.blob, "brought a blob into the store");
                Ok(())
            }
            Err(ShelfError::OwnCopy(blob)) => {
                // Moves it aside and registers it; a good copy comes from elsewhere.
                let store = self.originals.0.parts.store.clone();
                blocking(move || store.verify(blob).map(|_| ()))
                    .await?
                    .unwrap_or_else(
                        |error| warn!(%blob, %error, "a damaged copy stays where it is"),
                    );
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Reads the next few objects, as many as the scrubber would read meanwhile on a disk.
    async fn read_some(&mut self, seat: &Seat) -> Result<(), RoundError> {
        let rate = self.originals.0.parts.scrub.bytes_per_second;
        let (after, since) = self.sample;
        let mut budget = rate.saturating_mul(since.elapsed().as_secs());
        if budget == 0 {
            return Ok(());
        }
        let until = self.originals.0.parts.catalogue.height();
        let reading = self
            .originals
            .0
            .parts
            .catalogue
            .read(move |reader| reader.named(after, until, PAGE));
        let page = reading.await?;
        self.sample = (page.next, Instant::now());
        for Named { blob, size } in page.named {
            if budget < size {
                self.sample.0 = before(blob);
                break;
            }
            budget -= size;
            self.read_one(seat, blob, size).await?;
        }
        Ok(())
    }

    async fn read_one(&self, seat: &Seat, blob: BlobId, size: u64) -> Result<(), ShelfError> {
        let shelves = self.originals.shelves(seat)?;
        let (place, findings) = (Place::Object(blob), &self.originals.0.parts.findings);
        match shelves.check(blob).await {
            Ok(Some(_)) => findings.whole(&place, "the store"),
            // The next look tells.
            Ok(None) => {}
            Err(damage @ ShelfError::Damaged { .. }) => {
                let finding = findings.report(place, damage.to_string(), None);
                self.repair(seat, shelves, blob, size, finding).await?;
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Puts a damaged object aside and brings up a copy from a disk, whichever has one.
    async fn repair(
        &self,
        seat: &Seat,
        shelves: &Shelves,
        blob: BlobId,
        size: u64,
        finding: u64,
    ) -> Result<(), ShelfError> {
        shelves.put_damage_aside(blob).await?;
        let findings = &self.originals.0.parts.findings;
        if let Err(error) = self.replicator.restore(blob).await {
            findings.refused(finding, error.to_string());
            return Ok(());
        }
        self.originals.put(seat, blob, size).await?;
        findings.repaired(finding, "a node's disk");
        info!(%blob, "a damaged object was stored anew");
        Ok(())
    }
}

/// Whether this node is the first that is up of those on which a blob would belong.
pub(super) fn is_first(originals: &Originals, replicator: &Replicator, blob: BlobId) -> bool {
    let up = replicator.voters_up();
    let ranking = replicator.placement().ranking(blob);
    let first = ranking.into_iter().find(|node| up.contains(node));
    first.is_none_or(|first| first == originals.0.parts.me)
}

/// Behind which name a shelf begins.
pub(super) fn before_shelf(digit: u8) -> Option<BlobId> {
    let mut first = [0; 32];
    first[0] = digit << 4;
    before(BlobId(first))
}

/// The name before this one.
fn before(blob: BlobId) -> Option<BlobId> {
    let mut bytes = blob.0;
    for byte in bytes.iter_mut().rev() {
        *byte = byte.wrapping_sub(1);
        if *byte != u8::MAX {
            return Some(BlobId(bytes));
        }
    }
    None
}

pub(super) fn is_on(blob: BlobId, digit: u8) -> bool {
    let [first, ..] = blob.0;
    first >> 4 == digit
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shelves_follow_one_another_without_a_gap() {
        assert_eq!(before_shelf(0), None);
        for digit in 1..SHELVES {
            let last = before_shelf(digit).unwrap();
            assert!(is_on(last, digit - 1));
            assert!(last.0[1..].iter().all(|byte| *byte == u8::MAX));
        }
    }
}
