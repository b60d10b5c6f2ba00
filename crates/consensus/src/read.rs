//! Linearizable reads at any node, without a leader or a lease (`docs/protocol.md`, section 6).
//!
//! A write acknowledged before the read is in a block that q voters had durably accepted. Of any q voters asked
//! after the read arrived, at least |Q| - f report that height or more; so the (|Q| - f)-th largest answer is at or
//! above it. An accepted height may be decided already, so it is waited for.

use std::collections::BTreeMap;
use std::hash::{Hash as _, Hasher};

use model::{Boot, Height, Instant, LogSeq, Membership, MembershipHash, NodeId};

use crate::effect::{Effect, ReadId};
use crate::engine::Engine;
use crate::message::Message;
use crate::peers::Role;

/// Rounds of one incarnation are numbered from its boot shifted by this: an answer to an earlier incarnation may come
/// late, knows nothing of what was acknowledged since, and must not be counted.
const ROUNDS_OF_A_BOOT: u32 = 32;
/// Heights that are waited for at a time. More than one only while learners ask.
const BARRIERS_MAX: usize = 64;

/// Reads of this node's clients.
#[derive(Debug, Clone)]
pub(crate) struct Reads {
    /// Arrived after the current round was sent.
    queued: Vec<ReadId>,
    round: Option<Round>,
    rounds: u64,
    /// Waiting for a height to be decided here.
    waiting: Vec<Barrier>,
    /// A learner does not ask again before this to have a height finished.
    finish_after: Instant,
}

#[derive(Debug, Clone)]
struct Round {
    number: u64,
    reads: Vec<ReadId>,
    tops: BTreeMap<NodeId, Height>,
    resend_at: Instant,
}

/// Reads that may be answered once a height is decided here.
#[derive(Debug, Clone)]
struct Barrier {
    height: Height,
    since: Instant,
    reads: Vec<ReadId>,
}

impl Reads {
    pub(crate) fn new(boot: Boot) -> Self {
        Self {
            queued: Vec::new(),
            round: None,
            rounds: boot.0 << ROUNDS_OF_A_BOOT,
            waiting: Vec::new(),
            finish_after: Instant(0),
        }
    }

    pub(crate) fn arrive(&mut self, id: ReadId) {
        self.queued.push(id);
    }

    /// Starts a round for everything queued, if none is under way; gives its number.
    pub(crate) fn start_round(&mut self, resend_at: Instant) -> Option<u64> {
        if self.round.is_some() || self.queued.is_empty() {
            return None;
        }
        self.rounds += 1;
        let reads = std::mem::take(&mut self.queued);
        self.round = Some(Round {
            number: self.rounds,
            reads,
            tops: BTreeMap::new(),
            resend_at,
        });
        Some(self.rounds)
    }

    /// The round to repeat and who has not answered it, if it is time.
    pub(crate) fn overdue(
        &mut self,
        now: Instant,
        next: Instant,
        everybody: &[NodeId],
    ) -> Option<(u64, Vec<NodeId>)> {
        let round = self.round.as_mut().filter(|round| round.resend_at <= now)?;
        round.resend_at = next;
        let silent = everybody
            .iter()
            .filter(|node| !round.tops.contains_key(node));
        Some((round.number, silent.copied().collect()))
    }

    /// Takes an answer; when a quorum has answered, the round's reads wait for the height it gives.
    pub(crate) fn top(
        &mut self,
        from: NodeId,
        number: u64,
        top: Height,
        membership: &Membership,
        now: Instant,
    ) {
        let Some(round) = self.round.as_mut().filter(|round| round.number == number) else {
            return;
        };
        if membership.contains(from) {
            round.tops.insert(from, top);
        }
        if round.tops.len() < membership.quorum() {
            return;
        }
        let mut tops: Vec<Height> = round.tops.values().copied().collect();
        tops.sort_by(|a, b| b.cmp(a));
        let nth = tops.len() - membership.faults() - 1;
        let height = tops.get(nth).copied().unwrap_or_default();
        let reads = std::mem::take(&mut round.reads);
        self.round = None;
        self.waiting.push(Barrier {
            height,
            since: now,
            reads,
        });
    }

    /// The voters have changed above `height`: an answer of the earlier ones says nothing of what these decide
    /// (`docs/protocol.md`, P38).
    pub(crate) fn start_again(&mut self, height: Height) {
        if let Some(round) = self.round.take() {
            self.queued.extend(round.reads);
        }
        let (kept, asked_too_early): (Vec<Barrier>, _) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(|barrier| barrier.height < height);
        self.waiting = kept;
        for barrier in asked_too_early {
            self.queued.extend(barrier.reads);
        }
    }

    /// A learner's read waits for `height`.
    pub(crate) fn nudge(&mut self, height: Height, now: Instant) {
        let is_known = self.waiting.iter().any(|barrier| barrier.height == height);
        if !is_known && self.waiting.len() < BARRIERS_MAX {
            self.waiting.push(Barrier {
                height,
                since: now,
                reads: Vec::new(),
            });
        }
    }

    /// The lowest height above `tip` that a read waits for.
    fn blocked_at(&self, tip: Height) -> Option<Height> {
        let above = self.waiting.iter().map(|barrier| barrier.height);
        above.filter(|height| *height > tip).min()
    }

    /// The reads that may be answered at `tip`.
    pub(crate) fn ready(&mut self, tip: Height) -> Vec<(ReadId, Height)> {
        let (ready, waiting) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(|barrier| barrier.height <= tip);
        self.waiting = waiting;
        let ready: Vec<Barrier> = ready;
        ready
            .into_iter()
            .flat_map(|barrier| {
                barrier
                    .reads
                    .into_iter()
                    .map(move |id| (id, barrier.height))
            })
            .collect()
    }

    /// Since when a read waits for the height above `tip`, if one does.
    pub(crate) fn blocked_since(&self, tip: Height) -> Option<Instant> {
        self.waiting
            .iter()
            .filter(|b| b.height > tip)
            .map(|b| b.since)
            .min()
    }

    /// Feeds which reads wait for what.
    pub(crate) fn hash_state(&self, hasher: &mut impl Hasher) {
        (&self.queued, self.rounds).hash(hasher);
        let round = self.round.as_ref();
        let round = round.map(|round| (round.number, &round.reads, &round.tops));
        round.hash(hasher);
        for barrier in &self.waiting {
            (barrier.height, &barrier.reads).hash(hasher);
        }
    }

    /// When the current round is to be repeated.
    pub(crate) fn wake(&self) -> Option<Instant> {
        self.round.as_ref().map(|round| round.resend_at)
    }
}

impl Engine {
    /// Starts a round for reads that have arrived, and repeats one that is not answered.
    pub(crate) fn run_reads(&mut self) {
        let now = self.now.instant;
        let again = now.plus(self.pace().resend());
        let membership = self.voters().hash();
        if let Some(round) = self.reads.start_round(again) {
            self.ask_voters(&Message::AskTop { round, membership });
            self.on_ask_top(self.me.node, round, membership);
        }
        let voters: Vec<NodeId> = self.voters().voters().iter().map(|m| m.id).collect();
        if let Some((round, silent)) = self.reads.overdue(now, again, &voters) {
            for node in silent {
                if node == self.me.node {
                    self.on_ask_top(node, round, membership);
                } else {
                    self.send(LogSeq(0), node, Message::AskTop { round, membership });
                }
            }
        }
        self.ask_to_finish_if_due();
    }

    /// When a learner has to ask the voters to finish a height that a read waits for: it starts no ballot of its own.
    pub(crate) fn finish_due(&self) -> Option<Instant> {
        if self.role() == Role::Voter {
            return None;
        }
        let since = self.reads.blocked_since(self.tip.height())?;
        let patience = since.plus(self.pace().round_trip * 2);
        Some(patience.max(self.reads.finish_after))
    }

    fn ask_to_finish_if_due(&mut self) {
        let now = self.now.instant;
        if self.finish_due().is_none_or(|due| now < due) {
            return;
        }
        self.reads.finish_after = now.plus(self.pace().resend());
        if let Some(height) = self.reads.blocked_at(self.tip.height()) {
            self.ask_voters(&Message::Finish { height });
        }
    }

    /// Reports the highest height accepted durably or known to be decided here. A node that has not passed its
    /// start-up check may have lost its disk, and stays silent.
    pub(crate) fn on_ask_top(&mut self, from: NodeId, round: u64, membership: MembershipHash) {
        if !self.may_vote() {
            return;
        }
        if membership != self.voters().hash() {
            self.refuse(from, "a read of another epoch");
            return;
        }
        // A decision rests on a quorum's disks, whatever this one has written of it.
        let (top, after) = self
            .acceptor
            .accepted()
            .map_or((self.tip.height(), LogSeq(0)), |accepted| {
                (accepted.block.height(), accepted.seq)
            });
        self.send(after, from, Message::Top { round, top });
    }

    pub(crate) fn answer_reads(&mut self) {
        for (id, height) in self.reads.ready(self.tip.height()) {
            self.effects.push_back(Effect::ReadReady { id, height });
        }
    }
}
