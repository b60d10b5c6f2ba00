//! Commands that wait for a block: our clients' until they are seen in a decided one, others' for a while.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::{Hash as _, Hasher};
use std::time::Duration;

use model::{
    Block, BlockHash, Entry, Height, Instant, LeafHash, NodeId, SealedCommand, SeatChange,
    Timestamp, limits,
};

/// Pushed commands are kept at most this long: their origin pushes again.
const PUSHED_LIFE: Duration = Duration::from_secs(5);
/// Pushed commands beyond this are dropped.
const PUSHED_BYTES_MAX: usize = 16 << 20;
/// Blocks whose commands are remembered, so that a late push is not proposed again.
const REMEMBERED_BLOCKS: usize = 32;

#[derive(Debug, Clone)]
struct Waiting {
    command: SealedCommand,
    origin: NodeId,
    life: Life,
    /// The block that held it when it was last accepted here.
    under_way: Option<BlockHash>,
    /// The change of the voters that it asks for.
    seat: Option<(Height, SeatChange)>,
}

#[derive(Debug, Clone, Copy)]
enum Life {
    /// Ours, until a block is later than this.
    Own(Timestamp),
    /// Somebody else's, until this instant.
    Pushed(Instant),
}

/// The queue, in order of arrival.
#[derive(Debug, Clone)]
pub(crate) struct Pending {
    me: NodeId,
    next: u64,
    queue: BTreeMap<u64, Waiting>,
    places: BTreeMap<LeafHash, u64>,
    /// Which of them ask for a change of the voters.
    seats: BTreeSet<u64>,
    pushed_bytes: usize,
    /// The turn that own commands were last pushed for, and the place up to which they were.
    pushed_for: Option<(NodeId, Height)>,
    pushed_below: u64,
    /// The block accepted here last.
    under_way: Option<BlockHash>,
    decided: BTreeMap<LeafHash, Height>,
    decided_order: VecDeque<Vec<LeafHash>>,
}

impl Pending {
    pub(crate) fn new(me: NodeId) -> Self {
        Self {
            me,
            next: 0,
            queue: BTreeMap::new(),
            places: BTreeMap::new(),
            seats: BTreeSet::new(),
            pushed_bytes: 0,
            pushed_for: None,
            pushed_below: 0,
            under_way: None,
            decided: BTreeMap::new(),
            decided_order: VecDeque::new(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Takes a command of our own client.
    pub(crate) fn submit(&mut self, command: SealedCommand, valid_until: Timestamp) {
        self.insert(command, self.me, Life::Own(valid_until));
    }

    /// Takes a command pushed by its origin, if there is room. Whether there was.
    pub(crate) fn pushed(&mut self, command: SealedCommand, origin: NodeId, now: Instant) -> bool {
        let fits = self.pushed_bytes + command.block_bytes() <= PUSHED_BYTES_MAX;
        if fits {
            self.insert(command, origin, Life::Pushed(now.plus(PUSHED_LIFE)));
        }
        fits
    }

    fn insert(&mut self, command: SealedCommand, origin: NodeId, life: Life) {
        let leaf = command.leaf();
        let seat = command.seat_change();
        if self.decided.contains_key(&leaf) || self.places.contains_key(&leaf) {
            return;
        }
        if let Life::Pushed(_) = life {
            self.pushed_bytes += command.block_bytes();
        }
        self.places.insert(leaf, self.next);
        if seat.is_some() {
            self.seats.insert(self.next);
        }
        self.queue.insert(
            self.next,
            Waiting {
                command,
                origin,
                life,
                under_way: None,
                seat,
            },
        );
        self.next += 1;
    }

    fn remove(&mut self, leaf: &LeafHash) {
        let Some(place) = self.places.remove(leaf) else {
            return;
        };
        self.seats.remove(&place);
        if let Some(Waiting {
            command,
            life: Life::Pushed(_),
            ..
        }) = self.queue.remove(&place)
        {
            self.pushed_bytes -= command.block_bytes();
        }
    }

    /// The changes of the voters that wait, oldest first.
    pub(crate) fn seat_changes(&self) -> Vec<(LeafHash, Height, SeatChange)> {
        let waiting = self.seats.iter().filter_map(|place| self.queue.get(place));
        waiting
            .filter_map(|waiting| {
                let (epoch, change) = waiting.seat.clone()?;
                Some((waiting.command.leaf(), epoch, change))
            })
            .collect()
    }

    /// Forgets the changes of the voters that were meant for another epoch than this: epochs do not come again, so they
    /// would have no effect.
    pub(crate) fn forget_changes_of_other_epochs(&mut self, epoch: Height) {
        for (leaf, meant_for, _) in self.seat_changes() {
            if meant_for != epoch {
                self.remove(&leaf);
            }
        }
    }

    /// Forgets those of these commands that others have pushed here. They stay pending at their origins.
    pub(crate) fn forget_pushed(&mut self, leaves: &BTreeSet<LeafHash>) {
        for leaf in leaves {
            let place = self.places.get(leaf);
            let waiting = place.and_then(|place| self.queue.get(place));
            if waiting.is_some_and(|waiting| waiting.origin != self.me) {
                self.remove(leaf);
            }
        }
    }

    /// The commands of the next block but for `unfit` ones, oldest first, within its limits, and who they come from.
    pub(crate) fn batch(&self, unfit: &BTreeSet<LeafHash>) -> (Vec<SealedCommand>, Vec<NodeId>) {
        let mut bytes = 0;
        let fits = |waiting: &&Waiting| {
            bytes += waiting.command.block_bytes();
            bytes <= limits::BLOCK_BYTES_MAX
        };
        let chosen = self
            .queue
            .values()
            .filter(|waiting| unfit.is_empty() || !unfit.contains(&waiting.command.leaf()))
            .take(limits::BLOCK_COMMANDS_MAX)
            .take_while(fits);
        chosen
            .map(|waiting| (waiting.command.clone(), waiting.origin))
            .unzip()
    }

    /// Notes the block accepted here last: what it holds need not be pushed for the turn above it.
    pub(crate) fn accepted(&mut self, block: &Block) {
        self.under_way = Some(block.hash());
        for entry in block.entries() {
            let place = self.places.get(&entry.leaf());
            if let Some(waiting) = place.and_then(|place| self.queue.get_mut(place)) {
                waiting.under_way = self.under_way;
            }
        }
    }

    /// Our own commands that are neither under way nor pushed for the turn of `holder` at `height` already; they
    /// count as pushed now.
    pub(crate) fn take_unpushed(&mut self, holder: NodeId, height: Height) -> Vec<SealedCommand> {
        let same_turn = self.pushed_for == Some((holder, height));
        let from = if same_turn { self.pushed_below } else { 0 };
        self.pushed_for = Some((holder, height));
        self.pushed_below = self.next;
        let is_under_way = |w: &Waiting| w.under_way.is_some() && w.under_way == self.under_way;
        let rest = self.queue.range(from..).map(|(_, waiting)| waiting);
        rest.filter(|w| w.origin == self.me && !is_under_way(w))
            .map(|w| w.command.clone())
            .collect()
    }

    /// Takes out what a decided block holds and what has outlived itself; gives our own commands that expired.
    pub(crate) fn decided(&mut self, block: &Block, now: Instant) -> Vec<LeafHash> {
        if self.under_way.take() != Some(block.hash()) {
            // What was under way did not arrive.
            self.pushed_for = None;
        }
        let leaves: Vec<LeafHash> = block.entries().iter().map(Entry::leaf).collect();
        for leaf in &leaves {
            self.remove(leaf);
            self.decided.insert(*leaf, block.height());
        }
        self.decided_order.push_back(leaves);
        if self.decided_order.len() > REMEMBERED_BLOCKS
            && let Some(oldest) = self.decided_order.pop_front()
        {
            for leaf in oldest {
                self.decided.remove(&leaf);
            }
        }
        self.expire(block.header().time, now)
    }

    /// Feeds what waits, in order. What was pushed to whom is left out: a repeated push is harmless.
    pub(crate) fn hash_state(&self, hasher: &mut impl Hasher) {
        for waiting in self.queue.values() {
            (waiting.command.leaf(), waiting.origin).hash(hasher);
        }
        self.queue.len().hash(hasher);
    }

    fn expire(&mut self, time: Timestamp, now: Instant) -> Vec<LeafHash> {
        let over = |waiting: &Waiting| match waiting.life {
            Life::Own(valid_until) => valid_until < time,
            Life::Pushed(until) => until < now,
        };
        let expired: Vec<(LeafHash, bool)> = self
            .queue
            .values()
            .filter(|waiting| over(waiting))
            .map(|waiting| (waiting.command.leaf(), waiting.origin == self.me))
            .collect();
        for (leaf, _) in &expired {
            self.remove(leaf);
        }
        expired
            .into_iter()
            .filter(|(_, own)| *own)
            .map(|(leaf, _)| leaf)
            .collect()
    }
}
