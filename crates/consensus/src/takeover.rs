//! Own ballots above 1: when to start one, what to propose, when to give it up.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use model::{Ballot, Block, Domain, Height, Instant, LogSeq, NodeId};

use crate::engine::Engine;
use crate::message::{Accept, Message};
use crate::proposer::{Attempt, Preparing, Proposing, Resend};

/// Doublings of a wait beyond this many say nothing new.
const DOUBLINGS_MAX: u32 = 8;
/// The random part of a wait is at most this, however slow network and disk were when it began.
const BACK_OFF_MAX: Duration = Duration::from_secs(10);

impl Engine {
    /// When a takeover of the next height is due, if there is a reason for one.
    pub(crate) fn takeover_due(&self) -> Option<Instant> {
        if !self.may_vote() || !self.proposer.is_idle() || !self.is_vote_durable() {
            return None;
        }
        let pace = self.pace();
        let unfinished = self.acceptor.accepted().map(|accepted| {
            let rank = self.ring_distance(accepted.ballot.node).saturating_sub(1);
            self.voted_since.plus(pace.unfinished(rank))
        });
        let wanted = (unfinished.is_none() && self.wants_block()).then(|| {
            let since = self.tip.since.max(self.work_since);
            let distance = self.ring_distance(self.last_in_turn());
            let wait = match self.holder() {
                Some(turn) => pace.hedge(self.peers.way_to(turn.node), distance),
                None => pace.ring_step(distance.saturating_sub(1)),
            };
            since.plus(wait)
        });
        let read = self
            .reads
            .blocked_since(self.tip.height())
            .map(|since| since.plus(pace.round_trip * 2));
        let due = [unfinished, wanted, read].into_iter().flatten().min()?;
        Some(due.max(self.proposer.not_before))
    }

    /// A takeover fights over a height with whoever this node has voted for. While that vote waits for the disk, its
    /// ballot waits too: a stalled disk must not make its own node suspect a silence that it causes.
    pub(crate) fn is_vote_durable(&self) -> bool {
        self.acceptor.latest_record() <= self.log.durable_through()
    }

    /// The latest vote has become durable, and its answer leaves only now: waits for what follows begin here.
    pub(crate) fn vote_became_durable(&mut self) {
        let now = self.now.instant;
        self.voted_since = now;
        self.proposer.answered(now);
    }

    pub(crate) fn take_over_if_due(&mut self) {
        if self
            .takeover_due()
            .is_some_and(|due| due <= self.now.instant)
        {
            self.take_over();
        }
    }

    fn take_over(&mut self) {
        let k = self.proposer.next_k(self.acceptor.promised());
        let ballot = Ballot {
            k,
            node: self.me.node,
            boot: self.me.boot,
        };
        let height = self.tip.height().next();
        self.counters.takeovers_started += 1;
        self.proposer.attempt = Attempt::Preparing(Preparing {
            ballot,
            promises: BTreeMap::new(),
            refused: BTreeSet::new(),
            resend: Resend::first(self.now.instant, self.pace().resend()),
        });
        self.ask_voters(&Message::Prepare { height, ballot });
        self.on_prepare(self.me.node, height, ballot);
    }

    pub(crate) fn on_promise(
        &mut self,
        from: NodeId,
        height: Height,
        ballot: Ballot,
        accepted: Option<(Ballot, Arc<Block>)>,
    ) {
        if let Some(peer) = self.peers.get_mut(from) {
            peer.note_vote(height, ballot);
        }
        // A ballot that this node has left is dead here, whatever promises still arrive.
        if height != self.tip.height().next() || self.acceptor.promised() != ballot {
            return;
        }
        let valid = accepted.as_ref().is_none_or(|(at, block)| {
            *at < ballot && self.extends_tip(block) && block.check_complete().is_ok()
        });
        if !valid {
            self.refuse(from, "a promise that reports an impossible block");
            return;
        }
        let quorum = self.voters().quorum();
        let Attempt::Preparing(preparing) = &mut self.proposer.attempt else {
            return;
        };
        if preparing.ballot != ballot {
            return;
        }
        let first = preparing.promises.insert(from, accepted).is_none();
        if first && from != self.me.node {
            self.counters.promises_received += 1;
        }
        if preparing.promises.len() < quorum {
            return;
        }
        let value = preparing.value().cloned();
        match value {
            Some(block) => self.propose(ballot, block, 0),
            None => {
                let (block, workers) = self.new_block();
                self.propose(ballot, block, workers);
            }
        }
    }

    /// Phase 2: to all at once, and to ourselves through the same handler, under the same condition.
    pub(crate) fn propose(&mut self, ballot: Ballot, block: Arc<Block>, workers: u16) {
        let height = block.height();
        let statement = self.statement(Domain::Propose, height, (ballot, block.hash()));
        let signature = self.signatures.sign(&statement);
        let parent = self.tip.certificate.clone();
        let accept = Accept {
            ballot,
            block,
            signature,
            parent,
            workers,
        };
        self.proposer.attempt = Attempt::Proposing(Proposing {
            accept: accept.clone(),
            refused: BTreeSet::new(),
            resend: Resend::first(self.now.instant, self.pace().resend()),
        });
        self.broadcast(LogSeq(0), &Message::Accept(accept.clone()));
        self.on_accept(self.me.node, accept);
    }

    pub(crate) fn on_nack(
        &mut self,
        from: NodeId,
        height: Height,
        ballot: Ballot,
        promised: Ballot,
    ) {
        if height != self.tip.height().next() || !crate::proposer::Proposer::is_plausible(promised)
        {
            return;
        }
        self.proposer.saw(promised);
        self.counters.nacks_received += 1;
        let left = self
            .proposer
            .refused(ballot, from)
            .map(|no| self.voters().len() - no);
        if left.is_some_and(|left| left < self.voters().quorum()) {
            self.give_up();
        }
    }

    fn give_up(&mut self) {
        let wait = self.back_off_time();
        self.proposer.back_off(self.now.instant, wait);
    }

    /// Long enough for another ballot to decide, and then at random, more with each own ballot that failed: else
    /// two nodes end each other's ballots for ever. An own ballot that waited long in vain says that others are
    /// slower than measured: a disk they all need, for instance.
    pub(crate) fn back_off_time(&mut self) -> Duration {
        let phase = self.pace().phase();
        let doublings = self.proposer.tries.min(DOUBLINGS_MAX);
        let spread = (phase * (1 << doublings)).max(self.proposer.age(self.now.instant) * 2);
        phase * 3 + self.rng.up_to(spread.min(BACK_OFF_MAX))
    }

    /// When the request under way is to be repeated or given up.
    pub(crate) fn resend_due(&self) -> Option<Instant> {
        match &self.proposer.attempt {
            Attempt::Idle => None,
            Attempt::Preparing(preparing) => Some(preparing.resend.at),
            Attempt::Proposing(proposing) => Some(proposing.resend.at),
        }
    }

    pub(crate) fn resend_if_due(&mut self) {
        if self.resend_due().is_none_or(|due| self.now.instant < due) {
            return;
        }
        let now = self.now.instant;
        let height = self.tip.height().next();
        let others = self.peers.voter_ids();
        let (refused, message, silent): (bool, Message, Vec<NodeId>) =
            match &mut self.proposer.attempt {
                Attempt::Idle => return,
                Attempt::Preparing(p) => {
                    p.resend.again(now);
                    let silent = others
                        .into_iter()
                        .filter(|node| !p.promises.contains_key(node));
                    let message = Message::Prepare {
                        height,
                        ballot: p.ballot,
                    };
                    (!p.refused.is_empty(), message, silent.collect())
                }
                Attempt::Proposing(p) => {
                    p.resend.again(now);
                    let (ballot, hash) = (p.accept.ballot, p.accept.block.hash());
                    let learner = &self.learner;
                    let silent = others
                        .into_iter()
                        .filter(|node| !learner.has(ballot, hash, *node));
                    (
                        !p.refused.is_empty(),
                        Message::Accept(p.accept.clone()),
                        silent.collect(),
                    )
                }
            };
        if refused {
            self.give_up();
            return;
        }
        for node in silent {
            self.send(LogSeq(0), node, message.clone());
        }
    }
}
