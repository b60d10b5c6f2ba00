//! Counting accepts: a block is decided when a quorum of distinct voters accepted it at one ballot.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash as _, Hasher};
use std::sync::Arc;

use model::{Ballot, Block, BlockHash, Instant, NodeId, Signature};

/// More ballots than this are not counted at one height: the lowest are forgotten first.
const BALLOTS_MAX: usize = 32;
/// Bodies kept besides the accepted one.
const BODIES_MAX: usize = 4;

/// The accepts seen at one height. Counted per ballot and block, never added up across ballots.
#[derive(Debug, Clone, Default)]
pub(crate) struct Learner {
    tallies: BTreeMap<(Ballot, BlockHash), BTreeMap<NodeId, Signature>>,
    bodies: Vec<Arc<Block>>,
    /// A decided block whose body is missing, and when it was last asked for.
    pub(crate) wanted: Option<(BlockHash, Instant)>,
}

/// What a new accept did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Counted {
    /// The number of voters for the same ballot and block.
    Votes(usize),
    /// The voter had accepted another block at the same ballot.
    Contradicts(BlockHash, Signature),
}

impl Learner {
    /// Whether this voter's accept is counted already.
    pub(crate) fn has(&self, ballot: Ballot, hash: BlockHash, voter: NodeId) -> bool {
        self.tallies
            .get(&(ballot, hash))
            .is_some_and(|votes| votes.contains_key(&voter))
    }

    /// Counts a verified accept.
    pub(crate) fn count(
        &mut self,
        (ballot, hash): (Ballot, BlockHash),
        voter: NodeId,
        signature: Signature,
    ) -> Counted {
        let lowest = BlockHash([0; 32]);
        let other = self
            .tallies
            .range((ballot, lowest)..)
            .take_while(|((at, _), _)| *at == ballot)
            .filter(|((_, block), _)| *block != hash)
            .find_map(|((_, block), votes)| Some((*block, *votes.get(&voter)?)));
        if let Some((block, first)) = other {
            return Counted::Contradicts(block, first);
        }
        let votes = self.tallies.entry((ballot, hash)).or_default();
        votes.insert(voter, signature);
        let count = votes.len();
        if self.tallies.len() > BALLOTS_MAX {
            self.tallies.pop_first();
        }
        Counted::Votes(count)
    }

    /// The signatures counted for a ballot and block.
    pub(crate) fn votes(&self, ballot: Ballot, hash: BlockHash) -> BTreeMap<NodeId, Signature> {
        self.tallies
            .get(&(ballot, hash))
            .cloned()
            .unwrap_or_default()
    }

    /// The ballot and block that `quorum` voters accepted, if there is one.
    pub(crate) fn chosen(&self, quorum: usize) -> Option<(Ballot, BlockHash)> {
        let mut full = self
            .tallies
            .iter()
            .filter(|(_, votes)| votes.len() >= quorum);
        full.next().map(|(value, _)| *value)
    }

    /// Keeps a valid body in case it turns out to be the one.
    pub(crate) fn keep_body(&mut self, block: &Arc<Block>) {
        if self.body(block.hash()).is_none() {
            if self.bodies.len() == BODIES_MAX {
                self.bodies.remove(0);
            }
            self.bodies.push(Arc::clone(block));
        }
    }

    /// Feeds who accepted what, and which bodies are here.
    pub(crate) fn hash_state(&self, hasher: &mut impl Hasher) {
        for (value, votes) in &self.tallies {
            let voters: Vec<NodeId> = votes.keys().copied().collect();
            (value, voters).hash(hasher);
        }
        let bodies: BTreeSet<BlockHash> = self.bodies.iter().map(|block| block.hash()).collect();
        bodies.hash(hasher);
        self.wanted.map(|(hash, _)| hash).hash(hasher);
    }

    /// A body kept.
    pub(crate) fn body(&self, hash: BlockHash) -> Option<&Arc<Block>> {
        self.bodies.iter().find(|block| block.hash() == hash)
    }
}
