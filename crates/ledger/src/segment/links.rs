//! One block on top of the other, and who decides them.

use std::sync::Arc;

use model::{
    Block, BlockHash, Certificate, ChainId, Decided, Height, Membership, Roster, Signatures,
    Timestamp,
};

use super::SegmentError;
use super::layout::Summary;

/// What is known of a chain up to a block: enough to check what comes above it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Below {
    /// The chain.
    pub chain: ChainId,
    /// The block's height.
    pub height: Height,
    /// Its hash.
    pub hash: BlockHash,
    /// Its time.
    pub time: Timestamp,
    /// Who belongs to the cluster above it.
    pub roster: Arc<Roster>,
}

impl Below {
    /// Of a chain's first block; nothing if it does not found one.
    pub fn genesis(genesis: &Block) -> Option<Self> {
        Some(Self {
            chain: genesis.header().chain,
            height: genesis.height(),
            hash: genesis.hash(),
            time: genesis.header().time,
            roster: Arc::new(Roster::founded_by(genesis)?),
        })
    }
}

/// Whether a block is decided on top of another: it fits, and its certificate proves it.
pub(crate) fn proves(
    below: &Below,
    decided: &Decided,
    signatures: &dyn Signatures,
) -> Result<(), SegmentError> {
    let mut links = Links::above(below.clone());
    links.push(decided)?;
    links.verify(signatures)
}

/// Follows the blocks of a segment.
pub(crate) struct Links {
    pub(crate) below: Below,
    parent: BlockHash,
    first: Option<Timestamp>,
    changes: Vec<Height>,
    last: Option<(Membership, Certificate)>,
}

impl Links {
    pub(crate) fn above(below: Below) -> Self {
        Self {
            parent: below.hash,
            below,
            first: None,
            changes: Vec::new(),
            last: None,
        }
    }

    /// Takes the next block, if it is valid on top of the one before.
    pub(crate) fn push(&mut self, decided: &Decided) -> Result<(), SegmentError> {
        let header = decided.block.header();
        let wrong = |what| SegmentError::Block {
            height: self.below.height.next(),
            what,
        };
        self.fits(&decided.block).map_err(wrong)?;
        let certificate = decided.certificate.as_ref();
        let certificate = certificate.ok_or_else(|| wrong("it has no certificate"))?;
        if (certificate.height, certificate.hash) != (header.height, decided.block.hash()) {
            return Err(wrong("its certificate is of another block"));
        }
        let voters = self.below.roster.voters().clone();
        self.last = Some((voters, certificate.clone()));
        if let Some(roster) = self.below.roster.after(&decided.block) {
            self.changes.push(header.height);
            self.below.roster = Arc::new(roster);
        }
        self.first.get_or_insert(header.time);
        self.below.height = header.height;
        self.below.hash = decided.block.hash();
        self.below.time = header.time;
        Ok(())
    }

    fn fits(&self, block: &Block) -> Result<(), &'static str> {
        let header = block.header();
        let voters = self.below.roster.voters();
        if header.chain != self.below.chain {
            return Err("it is of another chain");
        }
        if (header.height, header.parent) != (self.below.height.next(), Some(self.below.hash)) {
            return Err("it does not extend the block below");
        }
        if header.membership != voters.hash() {
            return Err("it is of another membership");
        }
        if !voters.contains(header.proposer.node) {
            return Err("its proposer is no voter");
        }
        if header.time <= self.below.time {
            return Err("it is not later than the block below");
        }
        Ok(())
    }

    /// Whether the last block's certificate proves it.
    pub(crate) fn verify(&self, signatures: &dyn Signatures) -> Result<(), SegmentError> {
        let Some((voters, certificate)) = &self.last else {
            return Ok(());
        };
        certificate
            .verify(self.below.chain, voters, signatures)
            .map_err(|source| SegmentError::Certificate {
                height: self.below.height,
                source,
            })
    }

    /// What a segment of the blocks taken says of itself; nothing if there are none.
    pub(crate) fn summary(&self) -> Option<Summary> {
        let (voters, certificate) = self.last.clone()?;
        Some(Summary {
            parent: self.parent,
            head: self.below.hash,
            first: self.first?,
            last: self.below.time,
            changes: self.changes.clone(),
            voters,
            roster: Roster::clone(&self.below.roster),
            certificate,
        })
    }
}
