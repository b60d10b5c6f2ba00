//! Ballots of our own.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash as _, Hasher};
use std::sync::Arc;
use std::time::Duration;

use model::{Ballot, Block, Instant, NodeId};

use crate::message::Accept;

/// What this node is trying at the undecided height.
#[derive(Debug, Clone)]
pub(crate) enum Attempt {
    /// Nothing.
    Idle,
    /// Phase 1 of a takeover.
    Preparing(Preparing),
    /// Phase 2, of a turn or a takeover.
    Proposing(Proposing),
}

#[derive(Debug, Clone)]
pub(crate) struct Preparing {
    pub(crate) ballot: Ballot,
    /// Who joined, and what each had accepted.
    pub(crate) promises: BTreeMap<NodeId, Option<(Ballot, Arc<Block>)>>,
    pub(crate) refused: BTreeSet<NodeId>,
    pub(crate) resend: Resend,
}

#[derive(Debug, Clone)]
pub(crate) struct Proposing {
    pub(crate) accept: Accept,
    pub(crate) refused: BTreeSet<NodeId>,
    pub(crate) resend: Resend,
}

/// Repeats of a request, each after twice the wait of the one before.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Resend {
    pub(crate) at: Instant,
    wait: Duration,
    first: Instant,
}

/// The longest wait between two repeats.
const RESEND_WAIT_MAX: Duration = Duration::from_secs(1);

impl Resend {
    pub(crate) fn first(now: Instant, wait: Duration) -> Self {
        Self {
            at: now.plus(wait),
            wait,
            first: now,
        }
    }

    pub(crate) fn again(&mut self, now: Instant) {
        self.wait = (self.wait * 2).min(RESEND_WAIT_MAX);
        self.at = now.plus(self.wait);
    }
}

impl Preparing {
    /// The value that must be taken over: the accepted one with the highest ballot, if there is any.
    pub(crate) fn value(&self) -> Option<&Arc<Block>> {
        let accepted = self.promises.values().flatten();
        accepted
            .max_by_key(|(ballot, _)| *ballot)
            .map(|(_, block)| block)
    }
}

/// Own ballots at one height.
///
/// Invariants: ballot 1 is used at most once per height and incarnation; one value per ballot; k is above every k
/// seen.
#[derive(Debug, Clone)]
pub(crate) struct Proposer {
    pub(crate) attempt: Attempt,
    /// Whether ballot 1 was used at this height by this incarnation.
    pub(crate) turn_used: bool,
    k_seen: u64,
    /// Failed own ballots at this height.
    pub(crate) tries: u32,
    /// No takeover before.
    pub(crate) not_before: Instant,
    /// How long to wait for somebody else's ballot once our promise to it has left.
    patience: Duration,
}

/// A ballot number beyond this is nonsense: nobody gets there by trying.
const K_MAX: u64 = 1 << 48;

impl Proposer {
    pub(crate) fn new() -> Self {
        Self {
            attempt: Attempt::Idle,
            turn_used: false,
            k_seen: 0,
            tries: 0,
            not_before: Instant(0),
            patience: Duration::ZERO,
        }
    }

    /// Whether a ballot number can be honest.
    pub(crate) fn is_plausible(ballot: Ballot) -> bool {
        (1..=K_MAX).contains(&ballot.k)
    }

    /// Own ballots go above every number seen.
    pub(crate) fn saw(&mut self, ballot: Ballot) {
        self.k_seen = self.k_seen.max(ballot.k);
    }

    /// The number of the next takeover: max(2, promised.k + 1, largest k seen + 1).
    pub(crate) fn next_k(&self, promised: Ballot) -> u64 {
        (promised.k + 1).max(self.k_seen + 1).max(2)
    }

    pub(crate) fn is_idle(&self) -> bool {
        matches!(self.attempt, Attempt::Idle)
    }

    /// The ballot being tried.
    pub(crate) fn ballot(&self) -> Option<Ballot> {
        match &self.attempt {
            Attempt::Idle => None,
            Attempt::Preparing(preparing) => Some(preparing.ballot),
            Attempt::Proposing(proposing) => Some(proposing.accept.ballot),
        }
    }

    /// How long the request under way has waited for its quorum.
    pub(crate) fn age(&self, now: Instant) -> Duration {
        match &self.attempt {
            Attempt::Idle => Duration::ZERO,
            Attempt::Preparing(preparing) => now.since(preparing.resend.first),
            Attempt::Proposing(proposing) => now.since(proposing.resend.first),
        }
    }

    /// Notes a refusal; gives how many there are now, if it was of the ballot being tried.
    pub(crate) fn refused(&mut self, ballot: Ballot, by: NodeId) -> Option<usize> {
        let (current, refused) = match &mut self.attempt {
            Attempt::Idle => return None,
            Attempt::Preparing(p) => (p.ballot, &mut p.refused),
            Attempt::Proposing(p) => (p.accept.ballot, &mut p.refused),
        };
        (current == ballot).then(|| {
            refused.insert(by);
            refused.len()
        })
    }

    /// Feeds the ballot being tried and what the next one must be above.
    pub(crate) fn hash_state(&self, promised: Ballot, hasher: &mut impl Hasher) {
        (self.turn_used, self.next_k(promised), self.ballot()).hash(hasher);
        match &self.attempt {
            Attempt::Idle => 0_u8.hash(hasher),
            Attempt::Preparing(preparing) => {
                for (node, accepted) in &preparing.promises {
                    let value = accepted.as_ref();
                    (node, value.map(|(at, block)| (at, block.hash()))).hash(hasher);
                }
                preparing.refused.hash(hasher);
            }
            Attempt::Proposing(proposing) => {
                (proposing.accept.block.hash(), &proposing.refused).hash(hasher);
            }
        }
    }

    /// Gives up the ballot being tried and waits at least `wait` before the next one.
    pub(crate) fn back_off(&mut self, now: Instant, wait: Duration) {
        self.attempt = Attempt::Idle;
        self.tries += 1;
        self.not_before = self.not_before.max(now.plus(wait));
    }

    /// Somebody else's ballot was joined: it gets at least `wait` before the next own one, from when our promise leaves.
    pub(crate) fn yield_to_other(&mut self, wait: Duration) {
        self.patience = self.patience.max(wait);
    }

    /// The promise leaves.
    pub(crate) fn answered(&mut self, now: Instant) {
        let patience = std::mem::take(&mut self.patience);
        self.not_before = self.not_before.max(now.plus(patience));
    }
}
