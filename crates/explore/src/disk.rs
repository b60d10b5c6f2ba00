//! A node's disk: what is durable, and what it was ever known to hold.
//!
//! Records become durable in the order they were written. What the checks need of the past is kept beside what a
//! restart needs: every accept that was ever durable, and the highest promise at each height.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};

use model::{Ballot, BlockHash, Boot, Decided, Height, Record, Vote};

use crate::checks::Violation;

/// One node's vote for one block: height, ballot, block.
pub(crate) type Voted = (Height, Ballot, BlockHash);

/// Everything flushed.
#[derive(Clone)]
pub(crate) struct Disk {
    pub(crate) boot: Boot,
    /// Decided blocks by height, genesis first.
    pub(crate) chain: Vec<Decided>,
    pub(crate) vote: Option<Vote>,
    /// Every accept that was ever durable here.
    pub(crate) accepts: BTreeSet<Voted>,
    /// The highest promise that was ever durable here.
    joined: BTreeMap<Height, Ballot>,
}

impl Disk {
    pub(crate) fn new(genesis: Decided) -> Self {
        Self {
            boot: Boot(0),
            chain: vec![genesis],
            vote: None,
            accepts: BTreeSet::new(),
            joined: BTreeMap::new(),
        }
    }

    pub(crate) fn tip(&self) -> &Decided {
        self.chain.last().expect("genesis is always there")
    }

    /// The highest promise that was ever durable at a height.
    pub(crate) fn joined(&self, height: Height) -> Ballot {
        self.joined.get(&height).copied().unwrap_or(Ballot::NONE)
    }

    /// What stands for this node's vote at a height: the decided block, or what it accepted last.
    pub(crate) fn value_at(&self, height: Height) -> Option<(Ballot, BlockHash)> {
        let above_all = Ballot {
            k: u64::MAX,
            ..Ballot::NONE
        };
        let place = usize::try_from(height.0).expect("few heights");
        if let Some(decided) = self.chain.get(place) {
            return Some((above_all, decided.block.hash()));
        }
        let vote = self.vote.as_ref().filter(|vote| vote.height == height)?;
        let (ballot, block) = vote.accepted.as_ref()?;
        Some((*ballot, block.hash()))
    }

    /// A record becomes durable.
    pub(crate) fn write(&mut self, record: &Record) -> Result<(), Violation> {
        match record {
            Record::Start { boot, vote, .. } => {
                self.boot = *boot;
                let next = self.tip().block.height().next();
                let repeated = vote.clone().unwrap_or(Vote {
                    height: next,
                    promised: Ballot::NONE,
                    accepted: None,
                });
                self.cast(repeated)
            }
            Record::Vote { vote, .. } => {
                if vote.height > self.tip().block.height().next() {
                    let what = format!("a vote at {} is logged at a lower tip", vote.height);
                    return Err(Violation::new("check_log_order", what));
                }
                self.cast(vote.clone())
            }
            Record::Decided {
                block, certificate, ..
            } => {
                if block.height() == self.tip().block.height().next() {
                    self.chain.push(Decided {
                        block: block.clone(),
                        certificate: Some(certificate.clone()),
                    });
                }
                Ok(())
            }
        }
    }

    /// A vote becomes durable: it may never fall behind an earlier one at its height.
    fn cast(&mut self, vote: Vote) -> Result<(), Violation> {
        let joined = self.joined(vote.height);
        if vote.promised < joined {
            let what = format!(
                "a durable promise falls from {joined:?} to {:?}",
                vote.promised
            );
            return Err(Violation::new("check_promises", what));
        }
        let before = self.vote.as_ref().filter(|old| old.height == vote.height);
        let before = before.and_then(|old| old.accepted.as_ref().map(|(ballot, _)| *ballot));
        let after = vote.accepted.as_ref().map(|(ballot, _)| *ballot);
        if after < before {
            let what = format!("a durable accept at {before:?} is followed by {after:?}");
            return Err(Violation::new("check_promises", what));
        }
        if let Some((ballot, block)) = &vote.accepted {
            self.accepts.insert((vote.height, *ballot, block.hash()));
        }
        if vote.promised.is_some() {
            self.joined.insert(vote.height, vote.promised);
        }
        self.vote = Some(vote);
        Ok(())
    }

    /// What a restart reads if `cached` was written after what is durable and survives: the last boot, the chain and
    /// the vote above it.
    pub(crate) fn read(&self, cached: &[Record]) -> (Boot, Vec<Decided>, Option<Vote>) {
        let mut read = self.clone();
        for record in cached {
            // A broken rule is reported when the record becomes durable.
            let _ = read.write(record);
        }
        let tip = read.tip().block.height();
        let vote = read.vote.filter(|vote| vote.height > tip);
        let vote = vote.filter(|vote| vote.promised.is_some() || vote.accepted.is_some());
        (read.boot, read.chain, vote)
    }
}

impl Hash for Disk {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        (self.boot, self.tip().block.hash()).hash(hasher);
        self.vote.as_ref().map(facts_of_vote).hash(hasher);
        self.accepts.hash(hasher);
        self.joined.hash(hasher);
    }
}

/// What tells one vote from another.
pub(crate) fn facts_of_vote(vote: &Vote) -> (Height, Ballot, Option<(Ballot, BlockHash)>) {
    let accepted = vote.accepted.as_ref();
    let accepted = accepted.map(|(ballot, block)| (*ballot, block.hash()));
    (vote.height, vote.promised, accepted)
}

/// Feeds what tells one record from another.
pub(crate) fn hash_record(record: &Record, hasher: &mut impl Hasher) {
    match record {
        Record::Start { boot, vote, .. } => {
            (0_u8, boot, vote.as_ref().map(facts_of_vote)).hash(hasher);
        }
        Record::Vote { vote, .. } => (1_u8, facts_of_vote(vote)).hash(hasher),
        Record::Decided { block, .. } => (2_u8, block.hash()).hash(hasher),
    }
}
