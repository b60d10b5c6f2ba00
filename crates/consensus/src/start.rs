//! The check after a start: is this disk as new as what others have seen of us?
//!
//! A lost, rolled-back or cloned disk ends an identity: votes that it no longer knows may have decided something.
//! So a node neither votes nor uses the turn before q - 1 other voters have told which incarnation and which durable
//! tip and vote they last saw of it. They answer while still waiting themselves, so no start is exempt.

use std::collections::BTreeSet;
use std::hash::{Hash as _, Hasher};
use std::time::Duration;

use model::{Ballot, Boot, Height, Instant, NodeId, Nonce};

use crate::message::Seen;

/// How long voters beyond the quorum are waited for.
const GRACE: Duration = Duration::from_millis(100);
/// First and longest wait before asking again.
const ASK_AGAIN: Duration = Duration::from_millis(30);
const ASK_AGAIN_MAX: Duration = Duration::from_millis(500);

/// What this node's disk knew when it started.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OnDisk {
    pub(crate) boot: Boot,
    pub(crate) nonce: Nonce,
    /// The highest height it knows to be decided, with its block or without.
    pub(crate) tip: Height,
    /// Height voted on and ballot promised.
    pub(crate) vote: (Height, Ballot),
}

/// The check while it runs.
#[derive(Debug, Clone)]
pub(crate) struct StartCheck {
    disk: OnDisk,
    answered: BTreeSet<NodeId>,
    quorum_since: Option<Instant>,
    ask_at: Instant,
    wait: Duration,
}

/// What the answers say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Not enough answers yet.
    Waiting,
    /// The disk is as new as anybody has seen.
    Passed,
}

impl StartCheck {
    pub(crate) fn new(disk: OnDisk, now: Instant) -> Self {
        Self {
            disk,
            answered: BTreeSet::new(),
            quorum_since: None,
            ask_at: now,
            wait: ASK_AGAIN,
        }
    }

    /// Whether `seen` shows that this disk was rolled back or cloned.
    pub(crate) fn is_rolled_back(&self, seen: &Seen) -> bool {
        let disk = &self.disk;
        let (height, ballot) = seen.vote;
        let own_vote = if height == disk.vote.0 {
            disk.vote.1
        } else {
            Ballot::NONE
        };
        seen.boot > disk.boot
            || (seen.boot == disk.boot && seen.nonce != disk.nonce)
            || seen.durable_tip > disk.tip
            || (height > disk.tip && ballot > own_vote)
    }

    /// The highest height that the disk knew to be decided when it started.
    pub(crate) fn known(&self) -> Height {
        self.disk.tip
    }

    /// Counts an answer that shows nothing wrong.
    pub(crate) fn answered(&mut self, from: NodeId) {
        self.answered.insert(from);
    }

    /// Whether enough have answered: `needed` = q - 1 others, and all `others` or a moment of grace.
    pub(crate) fn outcome(&mut self, needed: usize, others: &[NodeId], now: Instant) -> Outcome {
        let voters = others.iter().filter(|node| self.answered.contains(node));
        let answered = voters.count();
        if answered < needed {
            // Perhaps no more: a quorum takes more voters than it did.
            self.quorum_since = None;
            return Outcome::Waiting;
        }
        let since = *self.quorum_since.get_or_insert(now);
        if answered >= others.len() || now >= since.plus(GRACE) {
            Outcome::Passed
        } else {
            Outcome::Waiting
        }
    }

    /// Who is to be asked now.
    pub(crate) fn due_questions(&mut self, others: &[NodeId], now: Instant) -> Vec<NodeId> {
        if now < self.ask_at {
            return Vec::new();
        }
        self.ask_at = now.plus(self.wait);
        self.wait = (self.wait * 2).min(ASK_AGAIN_MAX);
        others
            .iter()
            .filter(|node| !self.answered.contains(node))
            .copied()
            .collect()
    }

    /// Feeds who has answered.
    pub(crate) fn hash_state(&self, hasher: &mut impl Hasher) {
        self.answered.hash(hasher);
    }

    pub(crate) fn wake(&self) -> Instant {
        let grace_ends = self.quorum_since.map(|since| since.plus(GRACE));
        grace_ends.map_or(self.ask_at, |end| end.min(self.ask_at))
    }
}
