//! The network: the set of all letters ever sent.
//!
//! A letter in the set may be delivered at any time, any number of times, or never: that is loss, delay, reorder and
//! repetition in one. Sets only grow, and the same few sets occur again and again, so each is kept once and has a
//! number.

use std::collections::{BTreeSet, HashMap};

use consensus::Message;
use model::Ballot;

use crate::checks::{Checked, check_one_value_per_ballot};
use crate::disk::Voted;
use crate::fingerprint::{Fingerprinter, Fingerprints};
use crate::node::Letter;

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
    letters: Vec<Letter>,
    known: HashMap<u128, LetterId, Fingerprints>,
    networks: Vec<Network>,
    facts: Vec<(Facts, Checked)>,
    known_facts: HashMap<u128, u32, Fingerprints>,
    sets: HashMap<u128, NetworkId, Fingerprints>,
    unions: HashMap<(NetworkId, u64), NetworkId, Fingerprints>,
}

impl Post {
    /// With the empty network as number 0.
    pub(crate) fn new() -> Self {
        let mut post = Self {
            letters: Vec::new(),
            known: HashMap::default(),
            networks: Vec::new(),
            facts: Vec::new(),
            known_facts: HashMap::default(),
            sets: HashMap::default(),
            unions: HashMap::default(),
        };
        post.intern(Vec::new());
        post
    }

    pub(crate) fn letter(&self, id: LetterId) -> &Letter {
        &self.letters[id as usize]
    }

    /// The letters of a network, by number.
    pub(crate) fn letters(&self, id: NetworkId) -> &[LetterId] {
        &self.networks[id as usize].letters
    }

    /// What the checks need of a network, and what they say of it alone.
    pub(crate) fn facts(&self, id: NetworkId) -> &(Facts, Checked) {
        &self.facts[self.networks[id as usize].facts as usize]
    }

    /// How many sets there are.
    pub(crate) fn networks(&self) -> usize {
        self.networks.len()
    }

    /// The number of a letter with this fingerprint, if it was ever sent.
    pub(crate) fn find(&self, fingerprint: u128) -> Option<LetterId> {
        self.known.get(&fingerprint).copied()
    }

    /// The number of a letter.
    pub(crate) fn post(&mut self, letter: Letter) -> LetterId {
        let fingerprint = letter.fingerprint();
        if let Some(id) = self.known.get(&fingerprint) {
            return *id;
        }
        let id = number(self.letters.len());
        self.known.insert(fingerprint, id);
        self.letters.push(letter);
        id
    }

    /// The network with more letters in it; `batch` names them for ever.
    pub(crate) fn with(&mut self, network: NetworkId, batch: u64, more: &[LetterId]) -> NetworkId {
        if more.is_empty() {
            return network;
        }
        if let Some(known) = self.unions.get(&(network, batch)) {
            return *known;
        }
        let mut letters = self.letters(network).to_vec();
        letters.extend(more);
        letters.sort_unstable();
        letters.dedup();
        let union = self.intern(letters);
        self.unions.insert((network, batch), union);
        union
    }

    fn intern(&mut self, letters: Vec<LetterId>) -> NetworkId {
        let fingerprint = Fingerprinter::of(&letters);
        if let Some(id) = self.sets.get(&fingerprint) {
            return *id;
        }
        let facts = self.intern_facts(&letters);
        let id = number(self.networks.len());
        self.sets.insert(fingerprint, id);
        let letters = letters.into_boxed_slice();
        self.networks.push(Network { letters, facts });
        id
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
        let facts = Facts {
            proposals,
            takeovers,
        };
        let fingerprint = Fingerprinter::of(&facts);
        if let Some(id) = self.known_facts.get(&fingerprint) {
            return *id;
        }
        let checked = check_one_value_per_ballot(&facts.proposals);
        let id = number(self.facts.len());
        self.known_facts.insert(fingerprint, id);
        self.facts.push((facts, checked));
        id
    }
}

/// The number of the next of `count` things.
pub(crate) fn number(count: usize) -> u32 {
    u32::try_from(count).expect("memory ends long before numbers do")
}
