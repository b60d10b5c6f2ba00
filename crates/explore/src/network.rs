//! The network: the set of all letters ever sent.
//!
//! A letter in the set may be delivered at any time, any number of times, or never: that is loss, delay, reorder and
//! repetition in one. Sets only grow, and the same few sets occur again and again, so each is kept once and has a
//! number.

use std::collections::BTreeSet;

use consensus::Message;
use model::Ballot;

use crate::checks::{Checked, check_one_value_per_ballot};
use crate::disk::Voted;
use crate::fingerprint::Fingerprinter;
use crate::node::Letter;
use crate::table::{Memo, Table};

/// The number of a letter.
pub(crate) type LetterId = u32;
/// The number of a set of letters.
pub(crate) type NetworkId = u32;

/// What the checks need of a set of letters.
#[derive(PartialEq, Eq, Hash)]
pub(crate) struct Facts {
    /// Every block that was proposed.
    pub(crate) proposals: BTreeSet<Voted>,
    /// Every ballot above 1 that was tried.
    pub(crate) takeovers: BTreeSet<Ballot>,
}

struct Network {
    letters: Box<[LetterId]>,
    facts: u32,
}

/// All letters and all sets of them.
pub(crate) struct Post {
    letters: Table<Letter>,
    networks: Table<Network>,
    facts: Table<(Facts, Checked)>,
    unions: Memo,
}

impl Post {
    /// With the empty network as number 0.
    pub(crate) fn new() -> Self {
        let mut post = Self {
            letters: Table::new(),
            networks: Table::new(),
            facts: Table::new(),
            unions: Memo::default(),
        };
        post.intern(Vec::new());
        post
    }

    pub(crate) fn letter(&self, id: LetterId) -> &Letter {
        self.letters.get(id)
    }

    /// The letters of a network, by number.
    pub(crate) fn letters(&self, id: NetworkId) -> &[LetterId] {
        &self.networks.get(id).letters
    }

    /// What the checks need of a network, and what they say of it alone.
    pub(crate) fn facts(&self, id: NetworkId) -> &(Facts, Checked) {
        self.facts.get(self.networks.get(id).facts)
    }

    /// How many sets there are.
    pub(crate) fn networks(&self) -> usize {
        self.networks.len()
    }

    /// The number of a letter with this fingerprint, if it was ever sent.
    pub(crate) fn find(&self, fingerprint: u128) -> Option<LetterId> {
        self.letters.find(fingerprint)
    }

    /// The number of a letter.
    pub(crate) fn post(&mut self, letter: Letter) -> LetterId {
        let fingerprint = letter.fingerprint();
        let known = self.letters.find(fingerprint);
        known.unwrap_or_else(|| self.letters.add(fingerprint, letter))
    }

    /// The network with more letters in it; `batch` names them for ever.
    pub(crate) fn with(&mut self, network: NetworkId, batch: u64, more: &[LetterId]) -> NetworkId {
        if more.is_empty() {
            return network;
        }
        if let Some(known) = self.unions.get(network, batch) {
            return known;
        }
        let mut letters = self.letters(network).to_vec();
        letters.extend(more);
        letters.sort_unstable();
        letters.dedup();
        let union = self.intern(letters);
        self.unions.note(network, batch, union);
        union
    }

    fn intern(&mut self, letters: Vec<LetterId>) -> NetworkId {
        let fingerprint = Fingerprinter::of(&letters);
        if let Some(known) = self.networks.find(fingerprint) {
            return known;
        }
        let facts = self.intern_facts(&letters);
        let letters = letters.into_boxed_slice();
        self.networks.add(fingerprint, Network { letters, facts })
    }

    fn intern_facts(&mut self, letters: &[LetterId]) -> u32 {
        let mut proposals = BTreeSet::new();
        let mut takeovers = BTreeSet::new();
        for id in letters {
            match &self.letter(*id).message {
                Message::Accept(accept) => {
                    let block = &accept.block;
                    proposals.insert((block.height(), accept.ballot, block.hash()));
                }
                Message::Prepare { ballot, .. } => {
                    takeovers.insert(*ballot);
                }
                _ => {}
            }
        }
        let checked = check_one_value_per_ballot(&proposals);
        let facts = Facts {
            proposals,
            takeovers,
        };
        let fingerprint = Fingerprinter::of(&facts);
        let known = self.facts.find(fingerprint);
        known.unwrap_or_else(|| self.facts.add(fingerprint, (facts, checked)))
    }
}
