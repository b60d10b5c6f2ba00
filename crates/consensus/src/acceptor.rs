//! Promises and accepts at one height: the part of a node that must never forget.
//!
//! The acceptor changes memory at once, in the order of arrival. The engine appends every change to the log in that
//! order, and a reply leaves when the log is durable through the record it rests on.

use std::hash::{Hash as _, Hasher};
use std::sync::Arc;

use model::{Ballot, Block, Height, LogSeq, Signature, Vote};

/// One node's vote at the undecided height.
///
/// Invariants: `promised` never falls; `promised` ≥ the accepted ballot; one block per accepted ballot.
#[derive(Debug, Clone)]
pub(crate) struct Acceptor {
    promised: Ballot,
    promised_seq: LogSeq,
    accepted: Option<AcceptedBlock>,
}

/// The value accepted last.
#[derive(Debug, Clone)]
pub(crate) struct AcceptedBlock {
    pub(crate) ballot: Ballot,
    pub(crate) block: Arc<Block>,
    /// The ballot owner's, unless forgotten in a restart.
    pub(crate) signature: Option<Signature>,
    /// The record it rests on.
    pub(crate) seq: LogSeq,
}

/// What to say to a prepare or an accept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Memory has changed: append the vote, then reply behind it.
    Changed,
    /// Nothing new: repeat the reply behind this record.
    Repeat(LogSeq),
    /// A higher ballot was joined.
    Refused(Ballot),
    /// Another block was accepted at the same ballot: its owner contradicts itself.
    Conflict,
}

impl Acceptor {
    /// Nothing promised, nothing accepted.
    pub(crate) fn new() -> Self {
        Self {
            promised: Ballot::NONE,
            promised_seq: LogSeq(0),
            accepted: None,
        }
    }

    /// As it was before a restart, resting on the record that repeats it.
    pub(crate) fn recovered(vote: Vote, seq: LogSeq) -> Self {
        let accepted = vote.accepted.map(|(ballot, block)| AcceptedBlock {
            ballot,
            block,
            signature: None,
            seq,
        });
        let floor = accepted
            .as_ref()
            .map_or(Ballot::NONE, |accepted| accepted.ballot);
        Self {
            promised: vote.promised.max(floor),
            promised_seq: seq,
            accepted,
        }
    }

    pub(crate) fn promised(&self) -> Ballot {
        self.promised
    }

    /// The record that holds the latest change.
    pub(crate) fn latest_record(&self) -> LogSeq {
        self.promised_seq
    }

    pub(crate) fn accepted(&self) -> Option<&AcceptedBlock> {
        self.accepted.as_ref()
    }

    /// Phase 1: joins a ballot higher than any joined before.
    pub(crate) fn prepare(&mut self, ballot: Ballot) -> Verdict {
        let accepted_here = self
            .accepted
            .as_ref()
            .is_some_and(|last| last.ballot == ballot);
        if ballot > self.promised {
            self.promised = ballot;
            Verdict::Changed
        } else if ballot == self.promised && !accepted_here {
            Verdict::Repeat(self.promised_seq)
        } else {
            Verdict::Refused(self.promised)
        }
    }

    /// Phase 2: accepts unless a higher ballot was joined.
    pub(crate) fn accept(
        &mut self,
        ballot: Ballot,
        block: &Arc<Block>,
        signature: Signature,
    ) -> Verdict {
        match &self.accepted {
            Some(last) if last.ballot == ballot && last.block.hash() == block.hash() => {
                Verdict::Repeat(last.seq)
            }
            Some(last) if last.ballot == ballot => Verdict::Conflict,
            _ if ballot >= self.promised => {
                self.promised = ballot;
                let block = Arc::clone(block);
                let signature = Some(signature);
                self.accepted = Some(AcceptedBlock {
                    ballot,
                    block,
                    signature,
                    seq: LogSeq(0),
                });
                Verdict::Changed
            }
            _ => Verdict::Refused(self.promised),
        }
    }

    /// Notes the record that holds the change just made.
    pub(crate) fn rests_on(&mut self, seq: LogSeq) {
        self.promised_seq = seq;
        if let Some(accepted) = &mut self.accepted
            && accepted.seq == LogSeq(0)
        {
            accepted.seq = seq;
        }
    }

    /// Feeds the vote; of a record only how far it is from being durable.
    pub(crate) fn hash_state(&self, durable: LogSeq, hasher: &mut impl Hasher) {
        self.promised.hash(hasher);
        self.promised_seq.0.saturating_sub(durable.0).hash(hasher);
        let accepted = self.accepted.as_ref();
        let facts = accepted.map(|last| {
            let ahead = last.seq.0.saturating_sub(durable.0);
            (last.ballot, last.block.hash(), ahead)
        });
        facts.hash(hasher);
    }

    /// The whole vote, for the log.
    pub(crate) fn vote(&self, height: Height) -> Vote {
        let accepted = self
            .accepted
            .as_ref()
            .map(|last| (last.ballot, Arc::clone(&last.block)));
        Vote {
            height,
            promised: self.promised,
            accepted,
        }
    }
}
