//! Proof that a node has signed what no node signs that keeps to the protocol.
//!
//! A voter accepts one block at a ballot, and a ballot's owner proposes one. Two signatures of one node, for two blocks at
//! one height and ballot, say that its program was changed, that its key is in other hands, or that its disk was copied
//! or put back. The file needs nothing else to be checked: a node's id is its public key.

use crate::ballot::Ballot;
use crate::codec::{Decode, DecodeError, Encode, Reader};
use crate::id::{BlockHash, ChainId, Height, MembershipHash, NodeId};
use crate::receipt::expect_label;
use crate::signature::{Domain, Signature, Signatures, Statement};

/// What every file of evidence begins with: a length and a name.
const LABEL: &[u8] = b"\x14starling/evidence/v1";

/// One of the two blocks that a node signed, and its signature.
pub type Signed = (BlockHash, Signature);

/// Two statements of one node that contradict each other. They differ in nothing but the block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// Who signed both.
    pub node: NodeId,
    /// Whether it proposed both, or accepted both.
    pub domain: Domain,
    /// On which chain.
    pub chain: ChainId,
    /// In which epoch.
    pub membership: MembershipHash,
    /// At which height.
    pub height: Height,
    /// At which ballot.
    pub ballot: Ballot,
    /// What it signed, in the order of the blocks' hashes.
    pub signed: [Signed; 2],
}

/// Why bytes prove nothing against anybody.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EvidenceError {
    /// Both statements are about one block, or the higher hash stands first.
    #[error("it does not name two different blocks in the order of their hashes")]
    NoContradiction,
    /// A signature is not the node's.
    #[error("the signature under block {hash} is not that of node {node}")]
    Signature {
        /// The block.
        hash: BlockHash,
        /// Whose it should be.
        node: NodeId,
    },
}

impl Evidence {
    /// Of what `node` said about `first.0`, and what it said besides.
    pub fn new(node: NodeId, statement: &Statement, first: Signed, second: Signed) -> Self {
        let mut signed = [first, second];
        signed.sort_by_key(|(hash, _)| *hash);
        Self {
            node,
            domain: statement.domain,
            chain: statement.chain,
            membership: statement.membership,
            height: statement.height,
            ballot: statement.ballot,
            signed,
        }
    }

    /// Checks that the node has signed both.
    ///
    /// # Errors
    /// An [`EvidenceError`] if it has not, or if that is no contradiction.
    pub fn verify(&self, signatures: &impl Signatures) -> Result<(), EvidenceError> {
        let [(first, _), (second, _)] = self.signed;
        if first >= second {
            return Err(EvidenceError::NoContradiction);
        }
        for (hash, signature) in &self.signed {
            if !signatures.verify(self.node, &self.statement(*hash), signature) {
                let (hash, node) = (*hash, self.node);
                return Err(EvidenceError::Signature { hash, node });
            }
        }
        Ok(())
    }

    fn statement(&self, hash: BlockHash) -> Statement {
        Statement {
            domain: self.domain,
            chain: self.chain,
            membership: self.membership,
            height: self.height,
            ballot: self.ballot,
            hash,
        }
    }
}

impl Encode for Evidence {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(LABEL);
        self.node.encode(out);
        out.push(match self.domain {
            Domain::Propose => 1,
            Domain::Accepted => 2,
        });
        self.chain.encode(out);
        self.membership.encode(out);
        self.height.encode(out);
        self.ballot.encode(out);
        for (hash, signature) in &self.signed {
            hash.encode(out);
            signature.encode(out);
        }
    }
}

impl Decode for Evidence {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        expect_label(input, LABEL, "label of evidence")?;
        let node = Decode::decode(input)?;
        let domain = match u8::decode(input)? {
            1 => Domain::Propose,
            2 => Domain::Accepted,
            other => {
                let (what, value) = ("kind of statement", other.into());
                return Err(DecodeError::Invalid { what, value });
            }
        };
        Ok(Self {
            node,
            domain,
            chain: Decode::decode(input)?,
            membership: Decode::decode(input)?,
            height: Decode::decode(input)?,
            ballot: Decode::decode(input)?,
            signed: [
                (Decode::decode(input)?, Decode::decode(input)?),
                (Decode::decode(input)?, Decode::decode(input)?),
            ],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Boot;
    use crate::signature::Ed25519;

    fn liar() -> Ed25519 {
        Ed25519::new(&[7; 32])
    }

    fn evidence() -> Evidence {
        let key = liar();
        let ballot = Ballot {
            k: 1,
            node: key.node(),
            boot: Boot(3),
        };
        let statement = Statement {
            domain: Domain::Accepted,
            chain: ChainId([1; 16]),
            membership: MembershipHash([2; 32]),
            height: Height(9),
            ballot,
            hash: BlockHash([8; 32]),
        };
        let other = Statement {
            hash: BlockHash([5; 32]),
            ..statement
        };
        let sign = |statement: &Statement| (statement.hash, key.sign(statement));
        Evidence::new(key.node(), &statement, sign(&statement), sign(&other))
    }

    #[test]
    fn two_blocks_signed_at_one_ballot_name_the_node() {
        let evidence = evidence();
        assert_eq!(evidence.verify(&liar()), Ok(()));
        let bytes = evidence.to_bytes();
        assert_eq!(Evidence::from_bytes(&bytes), Ok(evidence));
    }

    #[test]
    fn nobody_is_accused_of_what_he_did_not_sign() {
        for wrong in 0..evidence().to_bytes().len() {
            for bit in 0..8 {
                let mut bytes = evidence().to_bytes();
                bytes[wrong] ^= 1 << bit;
                let believed = Evidence::from_bytes(&bytes)
                    .is_ok_and(|evidence| evidence.verify(&liar()).is_ok());
                assert!(!believed, "byte {wrong}, bit {bit}");
            }
        }
    }

    #[test]
    fn the_same_block_twice_is_no_contradiction() {
        let mut evidence = evidence();
        evidence.signed[1] = evidence.signed[0];
        let verdict = evidence.verify(&liar());
        assert_eq!(verdict, Err(EvidenceError::NoContradiction));
    }
}
