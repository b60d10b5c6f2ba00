//! What two engines must have in common to be taken for one state by a search.
//!
//! A search through all behaviours (`crates/explore`) must know an engine that it has met before. Comparing all of
//! memory would find two engines different because one waits a microsecond longer, so time is left out: instants,
//! measured round trips and flushes, back-off, the seed and how often it was drawn from. Left out too is what only
//! repeats or answers for another disk: signatures (a function of what they sign), which quorum signed a
//! certificate, what was pushed to whom, and how far a peer's disk was seen. Places in the log count from the last
//! durable record on, so that a longer past makes no new state.
//!
//! What time decides beyond *when* is kept: which peers count as alive, and whether the node wants no turn.

use std::hash::{Hash as _, Hasher};

use model::codec::Encode as _;
use model::{Certificate, Vote};

use crate::engine::{Engine, Phase};
use crate::message::{Accept, Message};

impl Engine {
    /// Feeds everything that decides what this engine does next, but for the time it does it at, into `hasher`.
    pub fn hash_state(&self, hasher: &mut impl Hasher) {
        let now = self.now.instant;
        let durable = self.log.durable_through();
        // Who belongs to the cluster follows from the tip.
        (self.me, self.nonce, self.phase, self.tip.hash).hash(hasher);
        (self.disk, self.leaving, self.is_yielding()).hash(hasher);
        if self.phase == Phase::Checking {
            self.start.hash_state(hasher);
        }
        self.acceptor.hash_state(durable, hasher);
        self.held_vote.as_ref().map(facts_of_vote).hash(hasher);
        self.proposer.hash_state(self.acceptor.promised(), hasher);
        self.learner.hash_state(hasher);
        self.pending.hash_state(hasher);
        self.peers.hash_state(self.tip.height(), now, hasher);
        self.reads.hash_state(hasher);
        self.catch_up.hash_state(hasher);
        for (after, message) in &self.own_messages {
            after.0.saturating_sub(durable.0).hash(hasher);
            hash_message(message, hasher);
        }
        for (from, message) in &self.stash {
            from.hash(hasher);
            hash_message(message, hasher);
        }
    }
}

fn facts_of_vote(vote: &Vote) -> impl std::hash::Hash + use<> {
    let accepted = vote.accepted.as_ref();
    let accepted = accepted.map(|(ballot, block)| (*ballot, block.hash()));
    (vote.height, vote.promised, accepted)
}

/// Feeds a message: all it says, but for who signed the certificate it carries.
pub fn hash_message(message: &Message, hasher: &mut impl Hasher) {
    let proven = |certificate: &Certificate| (certificate.height, certificate.hash);
    match message {
        Message::Accept(Accept {
            ballot,
            block,
            signature: _,
            parent,
            workers,
        }) => {
            ("accept", ballot, block.hash(), workers).hash(hasher);
            parent.as_ref().map(proven).hash(hasher);
        }
        Message::Decide { block, certificate } => {
            ("decide", block.hash(), proven(certificate)).hash(hasher);
        }
        other => other.to_bytes().hash(hasher),
    }
}
