//! Identities and signatures: stand-ins that cost one SHA-256, or the real Ed25519.
//!
//! A stand-in signature is a hash over a secret of the run, the signer and the statement. It is as unforgeable for a
//! node under test as a real one, since no node computes it but through its own [`Signatures`].

use std::sync::Arc;

use model::{Digest, Ed25519, NodeId, Signature, Signatures, Statement};

use crate::rng::Rng;

/// Which signatures a run uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// One hash each.
    StandIn,
    /// The ones that nodes use in earnest.
    Ed25519,
}

/// One node's stand-in signatures.
struct StandIn {
    me: NodeId,
    secret: Digest,
}

impl StandIn {
    fn make(&self, node: NodeId, statement: &Statement) -> Signature {
        let head = Digest::of(&[&self.secret.0, &node.0, &statement.to_bytes()]);
        let mut bytes = [0; 64];
        for (at, byte) in bytes.iter_mut().zip(head.0.iter().chain(&node.0)) {
            *at = *byte;
        }
        Signature(bytes)
    }
}

impl Signatures for StandIn {
    fn sign(&self, statement: &Statement) -> Signature {
        self.make(self.me, statement)
    }

    fn verify(&self, node: NodeId, statement: &Statement, signature: &Signature) -> bool {
        self.make(node, statement) == *signature
    }
}

/// Draws the identities of a run's nodes.
pub fn draw(scheme: Scheme, nodes: usize, rng: &mut Rng) -> Vec<(NodeId, Arc<dyn Signatures>)> {
    let secret = Digest(rng.bytes());
    let one = |rng: &mut Rng| -> (NodeId, Arc<dyn Signatures>) {
        match scheme {
            Scheme::StandIn => {
                let me = NodeId(rng.bytes());
                (me, Arc::new(StandIn { me, secret }))
            }
            Scheme::Ed25519 => {
                let key = Ed25519::new(&rng.bytes());
                (key.node(), Arc::new(key))
            }
        }
    };
    (0..nodes).map(|_| one(rng)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Ballot, BlockHash, ChainId, Domain, Height, MembershipHash};

    fn statement(height: u64) -> Statement {
        Statement {
            domain: Domain::Accepted,
            chain: ChainId([1; 16]),
            membership: MembershipHash([2; 32]),
            height: Height(height),
            ballot: Ballot::NONE,
            hash: BlockHash([3; 32]),
        }
    }

    #[test]
    fn both_schemes_tell_signers_and_statements_apart() {
        for scheme in [Scheme::StandIn, Scheme::Ed25519] {
            let nodes = draw(scheme, 2, &mut Rng::new(1));
            let (a, keys_a) = &nodes[0];
            let (b, keys_b) = &nodes[1];
            let signature = keys_a.sign(&statement(1));
            assert!(keys_b.verify(*a, &statement(1), &signature));
            assert!(!keys_b.verify(*b, &statement(1), &signature));
            assert!(!keys_b.verify(*a, &statement(2), &signature));
        }
    }
}
