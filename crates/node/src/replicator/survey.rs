//! Looks whether everything that belongs on this node is here.

use std::io;
use std::time::Duration;

use blobs::{Placement, Store, Verdict};
use catalogue::{Named, NewlyNamed, ReadError};
use model::{Height, MembershipHash, NodeId, Timestamp, limits};
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::Replicator;
use crate::findings::Place;
use crate::stamp;
use crate::stock::{Amount, Inventory, Names, Stock};

/// Blobs looked at between two breaths.
pub(super) const PAGE: u32 = 1000;
/// New names taken at once: more than one block can hold, so that a full page always ends behind a whole block.
pub(super) const NEW_PAGE: u32 = limits::BLOCK_COMMANDS_MAX as u32 + 1;
/// New names are looked for at most this often.
const NEW_EVERY: Duration = Duration::from_millis(200);
/// What was found damaged is looked for this often though nothing is named.
const IDLE: Duration = Duration::from_secs(1);
/// The next survey begins at the earliest after so many times what the last one took.
const REST: u32 = 10;
/// The pause after something went wrong.
const PAUSE: Duration = Duration::from_secs(5);

/// Why a look could not be finished.
#[derive(Debug, thiserror::Error)]
enum SurveyError {
    #[error(transparent)]
    Catalogue(#[from] ReadError),
    #[error("the node shuts down")]
    Shutdown(#[source] io::Error),
}

/// Why a blob is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    /// Its turn has come.
    Survey,
    /// It was named or put a moment ago.
    New,
    /// It was moved to quarantine, whether it belongs here or not.
    Damaged,
}

/// What was found of one blob.
enum Found {
    Here,
    Absent,
    Damaged,
}

/// The task.
pub(super) struct Surveyor {
    replicator: Replicator,
    /// Names up to here were looked at.
    height: Height,
    /// Puts that expire up to here were looked at.
    puts: Timestamp,
    /// When something was put last.
    newest_put: Height,
    /// The placement of the last whole survey.
    complete: Option<Placement>,
    /// Whether what was missing before is all on the list, so that what is missing besides was lost.
    remembers: bool,
    /// When it was noted what is here, and up to where.
    noted: (Instant, Height),
}

impl Surveyor {
    pub(super) fn new(replicator: Replicator) -> Self {
        let height = replicator.parts.catalogue.height();
        Self {
            replicator,
            height,
            puts: Timestamp(0),
            newest_put: height,
            complete: None,
            remembers: false,
            noted: (Instant::now(), Height::GENESIS),
        }
    }

    pub(super) async fn run(mut self) {
        let originals = self.replicator.parts.originals.clone();
        originals.known().await;
        if !originals.is_home() {
            self.recall();
        }
        loop {
            if originals.is_home() {
                self.stand_by().await;
                continue;
            }
            let began = Instant::now();
            let done = match self.survey().await {
                Ok(()) => {
                    let rest = self.replicator.parts.settings.survey_every;
                    let rest = rest.max(began.elapsed() * REST);
                    self.follow(Instant::now() + rest).await
                }
                Err(error) => Err(error),
            };
            if let Err(error) = done {
                warn!(%error, "this node's copies could not be looked at");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    /// While files' bytes live in a store: no copy belongs on a disk, and none is missed. What is damaged is replaced.
    async fn stand_by(&mut self) {
        let originals = self.replicator.parts.originals.clone();
        let seat = originals.seat();
        self.stock().suspend();
        (self.complete, self.remembers) = (None, false);
        stamp::copies::forget(&self.replicator.parts.folder);
        loop {
            let done = match self.catch_up().await {
                Ok(()) => self.take_damaged().await,
                Err(error) => Err(error),
            };
            if let Err(error) = done {
                warn!(%error, "this node's copies could not be looked at");
            }
            let moved = tokio::time::timeout(IDLE, originals.moved(&seat)).await;
            if moved.is_ok() {
                return;
            }
        }
    }

    /// Takes up what the last run of this node held, so that the first survey tells what was lost since.
    fn recall(&mut self) {
        let (voters, placement) = self.voters();
        let now = Inventory {
            height: self.height,
            voters,
            replicas: placement.replicas(),
            missing: Amount::default(),
            listed: Vec::new(),
        };
        let folder = &self.replicator.parts.folder;
        if let Some(held) = stamp::copies::recall(folder, &now) {
            self.height = self.height.min(held);
            self.stock().recall(&placement, self.height);
            self.complete = Some(placement);
        }
    }

    /// Notes up to where everything is here, now and then.
    fn note(&mut self) {
        let inventory = self.stock().inventory();
        let further = inventory.filter(|inventory| inventory.height > self.noted.1);
        if let Some(inventory) = further.filter(|_| self.noted.0.elapsed() > IDLE) {
            self.noted = (Instant::now(), inventory.height);
            stamp::copies::leave(&self.replicator.parts.folder, &inventory);
        }
    }

    fn stock(&self) -> &Stock {
        &self.replicator.parts.stock
    }

    /// Looks at everything, unless the voters change meanwhile.
    async fn survey(&mut self) -> Result<(), SurveyError> {
        let began = Instant::now();
        let (voters, placement) = self.voters();
        self.catch_up().await?;
        self.remembers = self.complete.as_ref() == Some(&placement) && !self.stock().overflows();
        self.stock().begin_survey(&placement);
        let until = self.height;
        let mut names = Names::new(voters, placement.clone(), until);
        let mut after = None;
        loop {
            let breath = Instant::now();
            let page = self
                .read(move |reader| reader.named(after, until, PAGE))
                .await?;
            for named in &page.named {
                let seats = placement.seats(named.blob);
                names.groups.entry(seats).or_default().add(named.size);
            }
            self.look_at(page.named, Cause::Survey).await?;
            after = page.next;
            if after.is_none() {
                break;
            }
            if self.voters().1 != placement || self.replicator.parts.originals.is_home() {
                return Ok(());
            }
            // At most half of the time goes into this, and what is new does not wait.
            tokio::time::sleep(breath.elapsed()).await;
            self.catch_up().await?;
        }
        let newest = self.read(move |reader| reader.newest_named(until)).await?;
        names.newest = newest.max(self.newest_put);
        self.stock().end_survey(names);
        self.complete = Some(placement);
        self.height = until;
        self.catch_up().await?;
        self.note();
        let missing = self.stock().inventory().map(|inventory| inventory.missing);
        debug!(took = ?began.elapsed(), ?missing, "looked at all copies");
        Ok(())
    }

    /// Looks at what is new until then, or until everything has to be looked at again.
    async fn follow(&mut self, until: Instant) -> Result<(), SurveyError> {
        let mut heights = self.replicator.parts.catalogue.heights();
        let mut rosters = self.replicator.parts.replica.rosters();
        let placement = self.voters().1;
        let originals = self.replicator.parts.originals.clone();
        while Instant::now() < until && !self.stock().needs_survey() && !originals.is_home() {
            rosters.mark_unchanged();
            if self.voters().1 != placement {
                info!("the voters have changed: looking which copies belong here now");
                break;
            }
            self.catch_up().await?;
            self.take_damaged().await?;
            self.note();
            tokio::select! {
                _ = rosters.changed() => {}
                _ = heights.changed() => tokio::time::sleep(NEW_EVERY).await,
                () = tokio::time::sleep(IDLE) => {}
            }
        }
        Ok(())
    }

    fn voters(&self) -> (MembershipHash, Placement) {
        let parts = &self.replicator.parts;
        let roster = parts.replica.roster();
        let voters = roster.voters();
        let nodes = voters.voters().iter().map(|voter| voter.id);
        let placement = Placement::new(nodes, parts.settings.replicas);
        (voters.hash(), placement)
    }

    /// Looks at what was named since the last time.
    async fn catch_up(&mut self) -> Result<(), SurveyError> {
        loop {
            let (applied, above) = (self.replicator.parts.catalogue.height(), self.height);
            let new = self
                .read(move |reader| reader.named_since(above, NEW_PAGE))
                .await?;
            let is_all = new.len() < NEW_PAGE as usize;
            let (new, reached) = whole_blocks(new, is_all, applied.max(above));
            let named = new.iter().map(|new| new.named).collect();
            self.look_at(named, Cause::New).await?;
            let counted = new
                .iter()
                .map(|new| (new.named, new.first.then_some(new.height)));
            self.stock().extend(reached, counted);
            self.height = reached;
            if is_all {
                break;
            }
        }
        let since = self.puts;
        let (puts, last) = self.read(move |reader| reader.puts_since(since)).await?;
        if !puts.is_empty() {
            self.newest_put = self.height;
            self.look_at(puts, Cause::New).await?;
            self.puts = last;
        }
        Ok(())
    }

    /// Has what was found damaged since the last time replaced, if it is named.
    async fn take_damaged(&self) -> Result<(), SurveyError> {
        for blob in self.replicator.parts.store.take_damaged() {
            let record = self.read(move |reader| reader.blob(&blob)).await?;
            let Some(record) = record else { continue };
            let size = record.size;
            self.look_at(vec![Named { blob, size }], Cause::Damaged)
                .await?;
        }
        Ok(())
    }

    /// Puts on the list what belongs here and is not here.
    async fn look_at(&self, named: Vec<Named>, cause: Cause) -> Result<(), SurveyError> {
        let me = self.replicator.parts.me;
        let stock = self.stock().clone();
        let store = self.replicator.parts.store.clone();
        let looking = tokio::task::spawn_blocking(move || look(&store, &stock, me, named, cause));
        let found = looking.await;
        let found = found.map_err(|error| SurveyError::Shutdown(io::Error::other(error)))?;
        for (named, found) in found {
            let replaced = cause == Cause::Damaged && self.is_told(&named, &found);
            if (cause == Cause::Damaged && !replaced) || matches!(found, Found::Damaged) {
                self.register(named, "its bytes are not what its name says");
            }
            match found {
                // Whoever wanted it has fetched it meanwhile.
                Found::Here if cause == Cause::Damaged => self.replicator.is_here(named.blob),
                Found::Here => self.stock().holds(named.blob),
                Found::Absent => self.absent(named, cause),
                Found::Damaged => self.stock().misses(named),
            }
        }
        Ok(())
    }

    /// A copy is not here. If it was at the last survey, it was lost.
    fn absent(&self, named: Named, cause: Cause) {
        if cause == Cause::Survey && self.remembers && !self.stock().is_missing(named.blob) {
            self.register(named, "its file is gone");
        }
        self.stock().misses(named);
    }

    /// Whether who moved a damaged copy aside has reported it, and it was replaced since.
    fn is_told(&self, named: &Named, found: &Found) -> bool {
        let place = Place::Blob(named.blob);
        matches!(found, Found::Here) && self.replicator.parts.findings.was_reported(&place)
    }

    fn register(&self, named: Named, what: &str) {
        let findings = &self.replicator.parts.findings;
        findings.report(Place::Blob(named.blob), what, None);
    }

    async fn read<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&mut catalogue::Reader) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, SurveyError> {
        Ok(self.replicator.parts.catalogue.read(ask).await?)
    }
}

/// What these are, and up to which height that is all. A page that is full may end within a block.
fn whole_blocks(
    mut new: Vec<NewlyNamed>,
    is_all: bool,
    applied: Height,
) -> (Vec<NewlyNamed>, Height) {
    let last = new.last().map_or(applied, |new| new.height);
    if is_all {
        return (new, last.max(applied));
    }
    new.retain(|new| new.height < last);
    (new, last.previous().unwrap_or(last))
}

/// Which of those that belong on this node are here, with the right size. One of another size is hashed, and moved aside
/// if it is not what its name says.
fn look(
    store: &Store,
    stock: &Stock,
    me: NodeId,
    named: Vec<Named>,
    cause: Cause,
) -> Vec<(Named, Found)> {
    let is_wanted =
        |named: &Named| cause == Cause::Damaged || stock.belongs(named.blob, me) == Some(true);
    let wanted = named.into_iter().filter(is_wanted);
    wanted
        .map(|named| (named, look_at_one(store, named)))
        .collect()
}

fn look_at_one(store: &Store, named: Named) -> Found {
    match store.size(named.blob) {
        Ok(Some(size)) if size == named.size => return Found::Here,
        Ok(None) => return Found::Absent,
        Ok(Some(_)) | Err(_) => {}
    }
    match store.verify(named.blob) {
        Ok(Verdict::Sound) => Found::Here,
        Ok(Verdict::Absent) => Found::Absent,
        Ok(Verdict::Damaged { .. }) => Found::Damaged,
        Err(error) => {
            warn!(blob = %named.blob, %error, "a copy cannot be read");
            Found::Damaged
        }
    }
}

#[cfg(test)]
mod tests {
    use model::BlobId;

    use super::*;

    fn new(n: u8, height: u64) -> NewlyNamed {
        NewlyNamed {
            named: Named {
                blob: BlobId([n; 32]),
                size: 1,
            },
            height: Height(height),
            first: true,
        }
    }

    #[test]
    fn a_full_page_ends_behind_a_whole_block() {
        let page = vec![new(1, 4), new(2, 5), new(3, 5)];
        let (taken, reached) = whole_blocks(page.clone(), false, Height(9));
        assert_eq!((taken.len(), reached), (1, Height(4)));
        let (taken, reached) = whole_blocks(page.clone(), true, Height(9));
        assert_eq!((taken.len(), reached), (3, Height(9)));
        // What was read may be newer than what was asked.
        let (taken, reached) = whole_blocks(page, true, Height(4));
        assert_eq!((taken.len(), reached), (3, Height(5)));
        assert_eq!(whole_blocks(vec![], true, Height(7)), (vec![], Height(7)));
    }

    #[test]
    fn a_copy_of_another_size_is_hashed_and_moved_aside() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let mut writer = store.writer().unwrap();
        writer.write(b"bytes").unwrap();
        let blob = writer.finish().unwrap().commit().unwrap();
        let named = |size| Named { blob, size };
        assert!(matches!(look_at_one(&store, named(5)), Found::Here));
        assert!(
            matches!(look_at_one(&store, named(6)), Found::Here),
            "its name is right"
        );
        std::fs::write(store.path(blob), b"byte").unwrap();
        assert!(matches!(look_at_one(&store, named(5)), Found::Damaged));
        assert!(matches!(look_at_one(&store, named(5)), Found::Absent));
        assert_eq!(store.take_damaged(), [blob].into());
        assert!(store.take_damaged().is_empty());
    }
}
