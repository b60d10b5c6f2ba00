//! What nodes sign, and how.

use std::fmt;

use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};

use crate::ballot::Ballot;
use crate::codec::{Decode, DecodeError, Encode, Reader};
use crate::id::{BlockHash, ChainId, Height, MembershipHash, NodeId};

/// An Ed25519 signature (RFC 8032).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Signature(pub [u8; 64]);

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sig")
    }
}

impl Encode for Signature {
    fn encode(&self, out: &mut Vec<u8>) {
        self.0.encode(out);
    }
}

impl Decode for Signature {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Decode::decode(input).map(Self)
    }
}

/// What a signature says. Two domains, because an owner's accept leaves before its own flush and must never stand
/// in a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Domain {
    /// "I propose this block at my ballot": in every accept, by the ballot's owner.
    Propose,
    /// "I have durably accepted this block at this ballot": what certificates are made of.
    Accepted,
}

impl Domain {
    fn label(self) -> &'static [u8] {
        match self {
            Self::Propose => b"starling/propose/v1",
            Self::Accepted => b"starling/accepted/v1",
        }
    }
}

/// The facts a signature covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Statement {
    /// What is claimed.
    pub domain: Domain,
    /// On which chain.
    pub chain: ChainId,
    /// In which epoch.
    pub membership: MembershipHash,
    /// At which height.
    pub height: Height,
    /// At which ballot.
    pub ballot: Ballot,
    /// About which block.
    pub hash: BlockHash,
}

impl Statement {
    /// The bytes that are signed: the length of the label, the label, then the fields in order.
    pub fn to_bytes(&self) -> Vec<u8> {
        let label = self.domain.label();
        let mut out = Vec::with_capacity(160);
        out.push(u8::try_from(label.len()).expect("labels are short"));
        out.extend_from_slice(label);
        self.chain.encode(&mut out);
        self.membership.encode(&mut out);
        self.height.encode(&mut out);
        self.ballot.encode(&mut out);
        self.hash.encode(&mut out);
        out
    }
}

/// Makes one node's signatures and checks everybody's. The simulator has a second, cheaper one.
pub trait Signatures: Send + Sync {
    /// This node's signature under `statement`.
    fn sign(&self, statement: &Statement) -> Signature;

    /// Whether `signature` is `node`'s, under `statement`.
    fn verify(&self, node: NodeId, statement: &Statement, signature: &Signature) -> bool;
}

/// The real ones.
pub struct Ed25519 {
    key: SigningKey,
}

impl Ed25519 {
    /// With the node's private key, the 32-byte seed of RFC 8032.
    pub fn new(seed: &[u8; 32]) -> Self {
        Self {
            key: SigningKey::from_bytes(seed),
        }
    }

    /// The identity that goes with the key.
    pub fn node(&self) -> NodeId {
        NodeId(self.key.verifying_key().to_bytes())
    }

    /// Checks a signature without holding a key.
    pub fn verify_with(node: NodeId, statement: &Statement, signature: &Signature) -> bool {
        VerifyingKey::from_bytes(&node.0).is_ok_and(|key| {
            let signature = ed25519_dalek::Signature::from_bytes(&signature.0);
            key.verify_strict(&statement.to_bytes(), &signature).is_ok()
        })
    }
}

impl Signatures for Ed25519 {
    fn sign(&self, statement: &Statement) -> Signature {
        Signature(self.key.sign(&statement.to_bytes()).to_bytes())
    }

    fn verify(&self, node: NodeId, statement: &Statement, signature: &Signature) -> bool {
        Self::verify_with(node, statement, signature)
    }
}
