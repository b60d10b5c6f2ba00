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

use super::shelves::{SHELVES, ShelfError, blocking};
use super::{Originals, Seat, cache, leaving};
use crate::findings::Place;
use crate::replicator::{Pace, Replicator};
use crate::stock::Amount;

/// Blobs asked of the catalogue at once.
const PAGE: u32 = 1000;
/// Blobs brought up in one round.
const ROUND: usize = 10_000;
/// Which part of what the scrubber may read on a disk is read of objects: reading them may cost money.
const READ_SHARE: u64 = 256;
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
    /// Of that, what this node may be able to bring there, and whether it is on its disk.
    lacking: Vec<(Named, bool)>,
}

/// When the next round is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Everything is where it belongs.
    Done,
    /// There is more to do.
    Again,
    /// Somebody else has to do something first; the pause grows.
    Waits,
}

/// What is kept between rounds.
pub(super) struct Mover {
    originals: Originals,
    replicator: Replicator,
    pace: Pace,
    /// What was not there in the last round either.
    late: BTreeSet<BlobId>,
    /// What was in the store at the last look.
    stored: Option<Amount>,
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
        stored: None,
        sample: (None, Instant::now()),
    };
    let mut idle = 0_u32;
    loop {
        let seat = originals.seat();
        let next = match &seat {
            None => Next::Done,
            Some(seat) => mover.round(seat).await.unwrap_or_else(|error| {
                debug!(%error, "a round of moving files' bytes was not finished");
                Next::Waits
            }),
        };
        idle = if next == Next::Waits { idle + 1 } else { 0 };
        let pause = match (&seat, next) {
            (None, _) => Duration::MAX,
            (_, Next::Done) => every,
            (_, Next::Again | Next::Waits) => every.min(AGAIN * (1 << idle.min(10))),
        };
        if tokio::time::timeout(pause, originals.moved(&seat))
            .await
            .is_ok()
        {
            idle = 0;
        }
    }
}

impl Mover {
    async fn round(&mut self, seat: &Arc<Seat>) -> Result<Next, RoundError> {
        if !seat.is_home {
            return leaving::round(&self.originals, &self.replicator, seat).await;
        }
        let look = self.look(seat).await;
        match &look {
            Ok(_) => self.originals.heard(seat, None),
            Err(RoundError::Shelf(error)) => self.originals.heard(seat, Some(error)),
            Err(_) => {}
        }
        let look = look?;
        let moves = self.stored.replace(look.stored) != Some(look.stored);
        let (mut stored, mut pending) = (look.stored, look.pending);
        self.originals.lock().seen = Some((stored, pending));
        let mut late = BTreeSet::new();
        for (named, is_here) in look.lacking {
            late.insert(named.blob);
            if !self.is_turn(named.blob) {
                continue;
            }
            if !self.originals.is_at(seat) {
                return Ok(Next::Again);
            }
            if self.bring(seat, named, is_here).await? {
                stored.add(named.size);
                pending.take(named.size);
                self.originals.lock().seen = Some((stored, pending));
            }
        }
        self.late = late;
        self.read_some(seat).await?;
        cache::let_go(&self.originals, seat, &mut self.pace).await?;
        Ok(match (pending.blobs, moves || stored != look.stored) {
            (0, _) => Next::Done,
            (_, true) => Next::Again,
            (_, false) => Next::Waits,
        })
    }

    /// Brings one blob up. False if it is not here to be brought.
    async fn bring(
        &mut self,
        seat: &Seat,
        named: Named,
        is_here: bool,
    ) -> Result<bool, ShelfError> {
        if is_here {
            tokio::time::sleep_until(self.pace.next(Instant::now(), named.size)).await;
            return self.bring_up(seat, named).await;
        }
        self.originals.shelves(seat)?.adopt(named.blob).await
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
                let room = ROUND.saturating_sub(look.lacking.len());
                let doable = self.with_place(lacking).await?.into_iter();
                let doable = doable.filter(|(_, is_here)| *is_here || shelves.goes_on());
                look.lacking.extend(doable.take(room));
                after = page.next.filter(|next| is_on(*next, digit));
                if after.is_none() {
                    break;
                }
            }
        }
        Ok(look)
    }

    /// Each with whether it is on this node's disk.
    async fn with_place(&self, named: Vec<Named>) -> Result<Vec<(Named, bool)>, ShelfError> {
        let store = self.originals.0.parts.store.clone();
        let place = move |named: Named| {
            let is_here = matches!(store.size(named.blob), Ok(Some(size)) if size == named.size);
            (named, is_here)
        };
        blocking(move || named.into_iter().map(place).collect()).await
    }

    /// Whether this node is to bring a blob up: the first that is up, and whoever has it if that one did not.
    fn is_turn(&self, blob: BlobId) -> bool {
        self.late.contains(&blob) || is_first(&self.originals, &self.replicator, blob)
    }

    async fn bring_up(&self, seat: &Seat, named: Named) -> Result<bool, ShelfError> {
        let shelves = self.originals.shelves(seat)?;
        if shelves
            .head(named.blob)
            .await?
            .is_some_and(|head| head.length == named.size)
        {
            // Another node was first, and reads it back.
            return Ok(true);
        }
        match self.originals.put(seat, named.blob, named.size).await {
            Ok(()) => {
                debug!(blob = %named.blob, "brought a blob into the store");
                Ok(true)
            }
            Err(ShelfError::OwnCopy(blob)) => {
                // Moves it aside and registers it; a good copy comes from elsewhere.
                let store = self.originals.0.parts.store.clone();
                blocking(move || store.verify(blob).map(|_| ()))
                    .await?
                    .unwrap_or_else(
                        |error| warn!(%blob, %error, "a damaged copy stays where it is"),
                    );
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Reads the next few objects, as many as the time since the last allows.
    async fn read_some(&mut self, seat: &Seat) -> Result<(), RoundError> {
        let rate = self.originals.0.parts.scrub.bytes_per_second / READ_SHARE;
        let (after, since) = self.sample;
        let mut budget = rate.saturating_mul(since.elapsed().as_secs());
        let catalogue = &self.originals.0.parts.catalogue;
        let until = catalogue.height();
        let reading = catalogue.read(move |reader| reader.named(after, until, PAGE));
        let page = reading.await?;
        let mut next = page.next;
        for Named { blob, size } in page.named {
            if budget < size {
                next = before(blob);
                break;
            }
            budget -= size;
            // What was saved up for a long one is used.
            self.sample.1 = Instant::now();
            self.read_one(seat, blob, size).await?;
        }
        self.sample.0 = next;
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
                self.repair(seat, blob, size, finding).await?;
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Brings up a copy from a disk in place of a damaged object, whichever has one.
    async fn repair(
        &self,
        seat: &Seat,
        blob: BlobId,
        size: u64,
        finding: u64,
    ) -> Result<(), ShelfError> {
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
