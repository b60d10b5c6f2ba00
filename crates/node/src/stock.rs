//! What this node knows of the copies it is to hold.
//!
//! Placement gives every blob that is named to some of the voters. A [`Stock`] holds, for the voters of now, how many
//! blobs belong to each set of them, up to which height names are counted, and which of this node's own copies are not
//! here. That is little, however many blobs there are: what is missing is the exception, and a list of it that grows
//! too long is cut, and counted on.
//!
//! An [`Inventory`] is what a node says of itself to the others: "by this height, of all blobs that placement gives me
//! under these voters, I hold every one but these". A copy is held if its file has the blob's name and size. A name is
//! only given to bytes that were hashed and flushed; bytes that rot under their name are found by who reads them and by
//! the scrubber, and count from then on.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use blobs::{Placement, Seats};
use catalogue::Named;
use model::{BlobId, Height, MembershipHash, NodeId};
use tokio::sync::Notify;

/// Missing copies that are remembered one by one.
const MISSING_MAX: usize = 1 << 16;
/// Missing copies that an inventory names.
pub(crate) const LISTED_MAX: usize = 1000;
/// The pause after a copy could not be fetched; it doubles with every other time, up to the second.
const PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(300)];

/// Some blobs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amount {
    /// How many.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Amount {
    pub(crate) fn add(&mut self, size: u64) {
        self.blobs += 1;
        self.bytes += size;
    }

    pub(crate) fn take(&mut self, size: u64) {
        self.blobs = self.blobs.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(size);
    }
}

/// What is named, and where it belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    /// Under these voters.
    pub voters: MembershipHash,
    /// Where blobs belong.
    pub placement: Placement,
    /// How much belongs to which of them.
    pub groups: BTreeMap<Seats, Amount>,
    /// Everything named up to here is counted.
    pub height: Height,
    /// The last block known to name a blob that nothing named before.
    pub newest: Height,
}

impl Names {
    pub(crate) fn new(voters: MembershipHash, placement: Placement, height: Height) -> Self {
        Self {
            voters,
            placement,
            groups: BTreeMap::new(),
            height,
            newest: Height::GENESIS,
        }
    }
}

/// What a node says of the copies it is to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inventory {
    /// It speaks of everything named up to here.
    pub height: Height,
    /// The voters that placement went by.
    pub voters: MembershipHash,
    /// How many copies of each blob it went by.
    pub replicas: usize,
    /// What it is to hold and does not.
    pub missing: Amount,
    /// The first of that.
    pub listed: Vec<BlobId>,
}

impl Inventory {
    /// Whether everything that is missing is listed.
    pub fn lists_all(&self) -> bool {
        self.listed.len() as u64 == self.missing.blobs
    }
}

/// A copy that is to be here and is not.
#[derive(Debug, Clone, Copy)]
struct Missing {
    size: u64,
    /// The survey that saw it.
    survey: u64,
    failures: u32,
    /// When it is to be fetched; none while it is.
    due: Option<Instant>,
}

/// What is known of the copies here. Cheap to clone; every clone is the same stock.
#[derive(Debug, Clone, Default)]
pub struct Stock(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    more: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// Where blobs belong; none before the first survey.
    placement: Option<Placement>,
    /// None until a survey under these voters is done.
    names: Option<Names>,
    /// All that was named up to here and belongs here is here, or missing.
    known: Option<Height>,
    missing: BTreeMap<BlobId, Missing>,
    /// Missing, and not in the list.
    overflow: Amount,
    /// Where the search for the next one to fetch goes on.
    cursor: Option<BlobId>,
    survey: u64,
    /// What a survey has found so far does not count: copies may have left meanwhile.
    interrupted: bool,
}

impl Stock {
    /// Begins to look at everything. What is known stays, unless blobs belong elsewhere now.
    pub(crate) fn begin_survey(&self, placement: &Placement) {
        let mut state = self.lock();
        if state.placement.as_ref() != Some(placement) {
            state.placement = Some(placement.clone());
            state.names = None;
            state.known = None;
            state.missing.clear();
        }
        state.survey += 1;
        state.interrupted = false;
        state.overflow = Amount::default();
    }

    /// From now on copies may leave the disk, or come back: nothing that was known before holds until the next survey.
    pub(crate) fn suspend(&self) {
        let mut state = self.lock();
        (state.placement, state.names, state.known) = (None, None, None);
        state.missing.clear();
        state.overflow = Amount::default();
        state.interrupted = true;
    }

    /// Takes what a survey has found. What it has not met is not named any more.
    pub(crate) fn end_survey(&self, names: Names) {
        let mut state = self.lock();
        if state.interrupted {
            return;
        }
        let survey = state.survey;
        state.missing.retain(|_, missing| missing.survey == survey);
        state.known = state.known.max(Some(names.height));
        state.names = Some(names);
    }

    /// Counts what was named since, up to a height.
    pub(crate) fn extend(
        &self,
        height: Height,
        new: impl IntoIterator<Item = (Named, Option<Height>)>,
    ) {
        let mut state = self.lock();
        state.known = state.known.map(|known| known.max(height));
        let Some(names) = &mut state.names else {
            return;
        };
        for (named, first) in new {
            if let Some(at) = first {
                let seats = names.placement.seats(named.blob);
                names.groups.entry(seats).or_default().add(named.size);
                names.newest = names.newest.max(at);
            }
        }
        names.height = names.height.max(height);
    }

    /// A copy that belongs here is not here.
    pub(crate) fn misses(&self, named: Named) {
        let mut state = self.lock();
        let survey = state.survey;
        if let Some(known) = state.missing.get_mut(&named.blob) {
            known.survey = survey;
            return;
        }
        if state.missing.len() >= MISSING_MAX {
            state.overflow.add(named.size);
            return;
        }
        let missing = Missing {
            size: named.size,
            survey,
            failures: 0,
            due: Some(Instant::now()),
        };
        state.missing.insert(named.blob, missing);
        drop(state);
        self.0.more.notify_one();
    }

    /// A copy is here.
    pub(crate) fn holds(&self, blob: BlobId) {
        self.lock().missing.remove(&blob);
    }

    /// A copy could not be fetched. Tells how often it could not.
    pub(crate) fn failed(&self, blob: BlobId) -> u32 {
        let [shortest, longest] = PAUSES;
        let mut state = self.lock();
        let Some(missing) = state.missing.get_mut(&blob) else {
            return 0;
        };
        missing.failures = missing.failures.saturating_add(1);
        let doubled = 1_u32 << (missing.failures - 1).min(16);
        missing.due = Some(Instant::now() + longest.min(shortest * doubled));
        missing.failures
    }

    /// Has everything that could not be fetched tried again at once: somebody may be there who was not.
    pub(crate) fn try_again(&self) {
        let now = Instant::now();
        for missing in self.lock().missing.values_mut() {
            if missing.failures > 0 && missing.due.is_some() {
                missing.due = Some(now);
            }
        }
        self.0.more.notify_one();
    }

    /// Before the first survey: what an earlier run of the node held of all that is named up to a height.
    pub(crate) fn recall(&self, placement: &Placement, height: Height) {
        self.begin_survey(placement);
        self.lock().known = Some(height);
    }

    /// Up to which height all that is named and belongs here is here, or known to be missing.
    pub(crate) fn known(&self) -> Option<Height> {
        self.lock().known
    }

    /// The next copy to fetch, if one is due.
    pub(crate) fn next(&self) -> Option<Named> {
        let now = Instant::now();
        let mut state = self.lock();
        let due = |missing: &Missing| missing.due.is_some_and(|due| due <= now);
        let behind = state
            .cursor
            .map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded);
        let range = (behind, std::ops::Bound::Unbounded);
        let rest = state.missing.range(range).chain(state.missing.iter());
        let blob = rest
            .filter(|(_, missing)| due(missing))
            .map(|(blob, _)| *blob)
            .next()?;
        state.cursor = Some(blob);
        let missing = state.missing.get_mut(&blob)?;
        missing.due = None;
        let size = missing.size;
        Some(Named { blob, size })
    }

    /// Waits until there may be something to fetch.
    pub(crate) async fn more(&self) {
        let waiting = !self.lock().missing.is_empty();
        let notified = self.0.more.notified();
        if waiting {
            // One that could not be fetched becomes due by itself.
            let [shortest, _] = PAUSES;
            _ = tokio::time::timeout(shortest, notified).await;
        } else {
            notified.await;
        }
    }

    /// Whether a copy is known to be missing.
    pub(crate) fn is_missing(&self, blob: BlobId) -> bool {
        self.lock().missing.contains_key(&blob)
    }

    /// Whether a survey has found that nothing is missing, or what was is here now.
    pub(crate) fn is_complete(&self) -> bool {
        let state = self.lock();
        state.names.is_some() && state.missing.is_empty() && state.overflow.blobs == 0
    }

    /// Whether more is missing than the list holds.
    pub(crate) fn overflows(&self) -> bool {
        self.lock().overflow.blobs > 0
    }

    /// Whether all that is in the list was fetched, but not all that is missing is in the list; or nothing is known.
    pub(crate) fn needs_survey(&self) -> bool {
        let state = self.lock();
        state.interrupted || state.missing.is_empty() && state.overflow.blobs > 0
    }

    /// Whether a blob belongs on a node; nothing before the first survey.
    pub(crate) fn belongs(&self, blob: BlobId, node: NodeId) -> Option<bool> {
        let state = self.lock();
        let placement = state.placement.as_ref()?;
        Some(placement.is_among(node, placement.seats(blob)))
    }

    /// What is named; nothing until the first survey under these voters is done.
    pub fn names(&self) -> Option<Names> {
        self.lock().names.clone()
    }

    /// What this node says of itself; nothing until the first survey under these voters is done.
    pub fn inventory(&self) -> Option<Inventory> {
        let state = self.lock();
        let names = state.names.as_ref()?;
        let mut missing = state.overflow;
        for one in state.missing.values() {
            missing.add(one.size);
        }
        Some(Inventory {
            height: names.height,
            voters: names.voters,
            replicas: names.placement.replicas(),
            missing,
            listed: state.missing.keys().copied().take(LISTED_MAX).collect(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        let state = self.0.state.lock();
        state.expect("nothing panics while it holds the stock")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: NodeId = NodeId([1; 32]);

    fn named(n: u32) -> Named {
        let blob = BlobId::of(&[&n.to_be_bytes()]);
        Named { blob, size: 10 }
    }

    fn surveyed(missing: impl IntoIterator<Item = u32>) -> Stock {
        let stock = Stock::default();
        survey(&stock, 3, missing);
        stock
    }

    fn survey(stock: &Stock, nodes: u8, missing: impl IntoIterator<Item = u32>) {
        let placement = Placement::new((1..=nodes).map(|n| NodeId([n; 32])), 0);
        stock.begin_survey(&placement);
        for n in missing {
            stock.misses(named(n));
        }
        let voters = MembershipHash([nodes; 32]);
        stock.end_survey(Names::new(voters, placement, Height(5)));
    }

    #[test]
    fn nothing_is_said_before_a_survey_under_these_voters() {
        assert_eq!(Stock::default().inventory(), None);
        let stock = surveyed([1]);
        assert_eq!(
            stock.inventory().map(|inventory| inventory.missing.blobs),
            Some(1)
        );
        let elsewhere = Placement::new([ME, NodeId([9; 32])], 0);
        stock.begin_survey(&elsewhere);
        assert_eq!(stock.inventory(), None);
    }

    #[test]
    fn what_is_missing_is_fetched_once_and_again_after_a_failure() {
        let stock = surveyed([1, 2]);
        let mut fetched = [stock.next().unwrap().blob, stock.next().unwrap().blob];
        fetched.sort_unstable();
        let mut expected = [named(1).blob, named(2).blob];
        expected.sort_unstable();
        assert_eq!(fetched, expected);
        assert_eq!(stock.next(), None, "both are under way");
        stock.holds(named(1).blob);
        assert_eq!(stock.failed(named(2).blob), 1);
        assert_eq!(stock.next(), None, "after a pause");
        stock.try_again();
        assert_eq!(stock.next(), Some(named(2)));
        let inventory = stock.inventory().unwrap();
        assert_eq!(inventory.listed, [named(2).blob]);
        assert_eq!(
            inventory.missing,
            Amount {
                blobs: 1,
                bytes: 10
            }
        );
    }

    #[test]
    fn what_a_survey_does_not_meet_again_is_forgotten() {
        let stock = surveyed([1, 2, 3]);
        survey(&stock, 3, [3]);
        assert_eq!(stock.inventory().unwrap().listed, [named(3).blob]);
    }

    #[test]
    fn more_than_can_be_remembered_is_counted() {
        let many = u32::try_from(MISSING_MAX).unwrap() + 5;
        let stock = surveyed(0..many);
        let inventory = stock.inventory().unwrap();
        assert_eq!(inventory.missing.blobs, u64::from(many));
        assert_eq!(inventory.listed.len(), LISTED_MAX);
        assert!(!inventory.lists_all() && !stock.needs_survey());
        for n in 0..many {
            stock.holds(named(n).blob);
        }
        assert!(stock.needs_survey());
        survey(&stock, 3, []);
        assert!(!stock.needs_survey() && stock.inventory().unwrap().lists_all());
    }

    #[test]
    fn what_is_named_later_is_counted_once() {
        let stock = surveyed([]);
        stock.extend(
            Height(8),
            [
                (named(1), Some(Height(7))),
                (named(1), None),
                (named(2), None),
            ],
        );
        let names = stock.names().unwrap();
        assert_eq!((names.height, names.newest), (Height(8), Height(7)));
        let total: u64 = names.groups.values().map(|amount| amount.blobs).sum();
        assert_eq!(total, 1);
        assert_eq!(
            stock.belongs(named(1).blob, ME),
            Some(true),
            "three nodes hold all"
        );
    }
}
