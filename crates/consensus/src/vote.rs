//! Promising, accepting, and counting what others accepted.

use std::sync::Arc;

use model::evidence::Signed;
use model::{
    Ballot, BlockHash, Domain, Evidence, Height, LogSeq, NodeId, Record, Signature, Statement,
};

use crate::acceptor::Verdict;
use crate::effect::{Effect, Urgency};
use crate::engine::Engine;
use crate::learner::Counted;
use crate::message::{Accept, Message};
use crate::proposer::{Attempt, Proposer};

impl Engine {
    pub(crate) fn on_prepare(&mut self, from: NodeId, height: Height, ballot: Ballot) {
        if ballot.node != from || ballot.k < 2 || !Proposer::is_plausible(ballot) {
            self.refuse(from, "a prepare at a ballot that is not its sender's");
            return;
        }
        if !self.is_current(from, height, || Message::Prepare { height, ballot })
            || !self.may_vote()
        {
            return;
        }
        self.proposer.saw(ballot);
        let after = match self.acceptor.prepare(ballot) {
            Verdict::Changed => {
                self.leave_ballot_below(ballot);
                self.append_vote()
            }
            Verdict::Repeat(seq) => seq,
            Verdict::Refused(promised) => {
                self.counters.nacks_sent += 1;
                self.send(
                    LogSeq(0),
                    from,
                    Message::Nack {
                        height,
                        ballot,
                        promised,
                    },
                );
                return;
            }
            Verdict::Conflict => unreachable!("a prepare carries no block"),
        };
        let accepted = self
            .acceptor
            .accepted()
            .map(|last| (last.ballot, Arc::clone(&last.block)));
        self.send(
            after,
            from,
            Message::Promise {
                height,
                ballot,
                accepted,
            },
        );
    }

    pub(crate) fn on_accept(&mut self, from: NodeId, accept: Accept) {
        let height = accept.block.height();
        if accept.ballot.node != from || !Proposer::is_plausible(accept.ballot) {
            self.refuse(from, "an accept at a ballot that is not its sender's");
            return;
        }
        if let Some(certificate) = &accept.parent {
            self.decide_by_certificate(certificate);
        }
        if !self.is_current(from, height, || Message::Accept(accept.clone())) {
            return;
        }
        if let Err(why) = self.check_accept(from, &accept) {
            self.refuse(from, why);
            return;
        }
        self.note_workers(height, accept.workers);
        self.learner.keep_body(&accept.block);
        self.proposer.saw(accept.ballot);
        if self.may_vote() {
            self.vote_for(from, &accept);
        }
        self.decide_if_chosen();
    }

    /// What must hold of an accept at the next height before it is looked at any further.
    fn check_accept(&self, from: NodeId, accept: &Accept) -> Result<(), &'static str> {
        let Accept {
            ballot,
            block,
            signature,
            ..
        } = accept;
        let statement = self.statement(Domain::Propose, block.height(), (*ballot, block.hash()));
        if from != self.me.node && !self.signatures.verify(from, &statement, signature) {
            return Err("an accept with a wrong signature");
        }
        if !self.extends_tip(block) || block.check_complete().is_err() {
            return Err("a block that does not extend the chain");
        }
        let turn = self.tip.header.hint;
        let has_turn = turn.is_some_and(|turn| {
            *ballot == Ballot::of_turn(turn) && block.header().proposer == turn
        });
        if ballot.k == 1 && !has_turn {
            return Err("ballot 1 without the turn");
        }
        Ok(())
    }

    fn vote_for(&mut self, from: NodeId, accept: &Accept) {
        let (ballot, hash, height) = (accept.ballot, accept.block.hash(), accept.block.height());
        match self
            .acceptor
            .accept(ballot, &accept.block, accept.signature)
        {
            Verdict::Changed => {
                self.leave_ballot_below(ballot);
                self.pending.accepted(&accept.block);
                let seq = self.append_vote();
                let message = self.accepted_message(height, ballot, hash);
                self.broadcast(seq, &message);
                self.send(seq, self.me.node, message);
            }
            Verdict::Repeat(seq) => {
                let message = self.accepted_message(height, ballot, hash);
                self.send(seq, from, message);
            }
            Verdict::Refused(promised) => {
                self.counters.nacks_sent += 1;
                self.send(
                    LogSeq(0),
                    from,
                    Message::Nack {
                        height,
                        ballot,
                        promised,
                    },
                );
            }
            Verdict::Conflict => self.report_conflicting_accept(from, accept),
        }
    }

    fn accepted_message(&self, height: Height, ballot: Ballot, hash: BlockHash) -> Message {
        let statement = self.statement(Domain::Accepted, height, (ballot, hash));
        let signature = self.signatures.sign(&statement);
        Message::Accepted {
            height,
            ballot,
            hash,
            signature,
        }
    }

    /// Two blocks signed at one ballot by its owner.
    fn report_conflicting_accept(&mut self, from: NodeId, accept: &Accept) {
        let height = accept.block.height();
        self.refuse(from, "a second block at one ballot");
        let Some(last) = self.acceptor.accepted() else {
            return;
        };
        if let Some(signature) = last.signature {
            let first = (last.block.hash(), signature);
            let second = (accept.block.hash(), accept.signature);
            let statement = self.statement(Domain::Propose, height, (accept.ballot, first.0));
            self.accuse(from, &statement, first, second);
        }
    }

    fn accuse(&mut self, node: NodeId, statement: &Statement, first: Signed, second: Signed) {
        let evidence = Box::new(Evidence::new(node, statement, first, second));
        self.effects.push_back(Effect::Evidence(evidence));
    }

    pub(crate) fn on_accepted(
        &mut self,
        from: NodeId,
        height: Height,
        (ballot, hash): (Ballot, BlockHash),
        signature: Signature,
    ) {
        if let Some(peer) = self.peers.get_mut(from) {
            peer.note_vote(height, ballot);
        }
        let message = || Message::Accepted {
            height,
            ballot,
            hash,
            signature,
        };
        if height <= self.tip.height() {
            self.note_tip_below(from, height);
            return;
        }
        if !self.is_current(from, height, message) || self.learner.has(ballot, hash, from) {
            return;
        }
        let statement = self.statement(Domain::Accepted, height, (ballot, hash));
        if from != self.me.node && !self.signatures.verify(from, &statement, &signature) {
            self.refuse(from, "an accepted with a wrong signature");
            return;
        }
        match self.learner.count((ballot, hash), from, signature) {
            Counted::Votes(_) => self.decide_if_chosen(),
            Counted::Contradicts(other, first) => {
                self.accuse(from, &statement, (other, first), (hash, signature));
            }
        }
    }

    /// Whether a message is about the next height. One about a decided height is answered with the decision; one
    /// about a later height makes us catch up and is kept if it is close.
    pub(crate) fn is_current(
        &mut self,
        from: NodeId,
        height: Height,
        message: impl FnOnce() -> Message,
    ) -> bool {
        self.note_tip_below(from, height);
        let next = self.tip.height().next();
        if height < next {
            self.send_decided(from, height);
            return false;
        }
        if height > next {
            if height == next.next() {
                self.stash(from, message());
            }
            if height > next.next() {
                self.fetch_soon();
            }
            return false;
        }
        true
    }

    /// Who fights over a height has decided the one before it.
    pub(crate) fn note_tip_below(&mut self, from: NodeId, height: Height) {
        if from != self.me.node
            && let Some(below) = height.previous()
        {
            self.note_reported_tip(from, below);
        }
    }

    /// A promise or accept above our own ballot ends it: it is never accepted or counted here any more.
    fn leave_ballot_below(&mut self, ballot: Ballot) {
        let own = ballot.node == self.me.node && ballot.boot == self.me.boot;
        // Joining the turn's own ballot is no takeover: the second timer alone paces what follows.
        if own || ballot.k < 2 {
            return;
        }
        let ends = self.proposer.ballot().is_some_and(|own| own < ballot);
        if ends {
            self.proposer.tries += 1;
        }
        let wait = self.back_off_time();
        if ends {
            self.proposer.attempt = Attempt::Idle;
        }
        self.proposer.yield_to_other(wait);
    }

    fn append_vote(&mut self) -> LogSeq {
        let vote = self.acceptor.vote(self.tip.height().next());
        let block = vote.accepted.as_ref().map(|(_, block)| block.hash());
        let body = block.is_some_and(|hash| self.bodies_logged.insert(hash));
        let seq = self.append(Record::Vote { vote, body }, Urgency::Now);
        self.acceptor.rests_on(seq);
        seq
    }
}
