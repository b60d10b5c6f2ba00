//! Proof that a block was decided, verifiable offline by anybody who knows the membership.

use crate::ballot::Ballot;
use crate::codec_struct;
use crate::id::{BlockHash, ChainId, Height};
use crate::membership::Membership;
use crate::signature::{Domain, Signature, Signatures, Statement};

/// A quorum's "accepted" signatures for one block at one ballot.
///
/// It travels with the block and is not hashed: different nodes may hold different valid ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// The block's height.
    pub height: Height,
    /// The ballot at which it was chosen.
    pub ballot: Ballot,
    /// The block.
    pub hash: BlockHash,
    /// Bit i is set if the voter at place i of the ring signed.
    pub voters: u16,
    /// One for each bit set, lowest bit first.
    pub signatures: Vec<Signature>,
}

codec_struct!(Certificate {
    height,
    ballot,
    hash,
    voters,
    signatures
});

/// Why a certificate proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// As many signatures as bits, no bit beyond the ring.
    #[error("the bitmap does not fit the signatures or the membership")]
    Malformed,
    /// Fewer signatures than a quorum.
    #[error("{found} signatures, a quorum is {quorum}")]
    NoQuorum {
        /// How many there are.
        found: usize,
        /// How many it takes.
        quorum: usize,
    },
    /// A signature that is not the voter's.
    #[error("the signature of {voter} does not verify")]
    Signature {
        /// The voter's name.
        voter: String,
    },
}

impl Certificate {
    /// Collects `signatures` by voters; those of strangers are left out.
    pub fn collect(
        membership: &Membership,
        (height, ballot, hash): (Height, Ballot, BlockHash),
        signatures: impl IntoIterator<Item = (crate::id::NodeId, Signature)>,
    ) -> Self {
        let mut placed: Vec<(usize, Signature)> = signatures
            .into_iter()
            .filter_map(|(node, signature)| Some((membership.index_of(node)?, signature)))
            .collect();
        placed.sort_by_key(|(index, _)| *index);
        placed.dedup_by_key(|(index, _)| *index);
        let voters = placed.iter().fold(0, |bits, (index, _)| bits | 1 << index);
        let signatures = placed.into_iter().map(|(_, signature)| signature).collect();
        Self {
            height,
            ballot,
            hash,
            voters,
            signatures,
        }
    }

    /// Checks that a quorum of `membership` signed this block.
    ///
    /// # Errors
    /// The first fault found, as a [`CertificateError`].
    pub fn verify(
        &self,
        chain: ChainId,
        membership: &Membership,
        signatures: &dyn Signatures,
    ) -> Result<(), CertificateError> {
        let bits = self.voters.count_ones() as usize;
        if bits != self.signatures.len() || self.voters >> membership.len() != 0 {
            return Err(CertificateError::Malformed);
        }
        if bits < membership.quorum() {
            return Err(CertificateError::NoQuorum {
                found: bits,
                quorum: membership.quorum(),
            });
        }
        let statement = Statement {
            domain: Domain::Accepted,
            chain,
            membership: membership.hash(),
            height: self.height,
            ballot: self.ballot,
            hash: self.hash,
        };
        let signers = membership
            .voters()
            .iter()
            .enumerate()
            .filter(|(index, _)| self.voters & 1 << index != 0)
            .map(|(_, member)| member);
        for (member, signature) in signers.zip(&self.signatures) {
            if !signatures.verify(member.id, &statement, signature) {
                return Err(CertificateError::Signature {
                    voter: member.name.clone(),
                });
            }
        }
        Ok(())
    }
}
