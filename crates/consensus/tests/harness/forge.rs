//! Blocks and signed messages made by hand, honest ones and others.

use std::sync::Arc;

use consensus::{Accept, Message};
use model::{
    Ballot, Block, Certificate, ChainId, Command, Domain, Draft, Height, LibraryId, Member,
    Membership, NodeId, Payload, SealedCommand, Signature, Signatures, Statement, Timestamp,
    TokenId, Turn,
};
use sha2::{Digest as _, Sha256};

use super::show;

pub(crate) const CHAIN: ChainId = ChainId([7; 16]);
pub(crate) const START: Timestamp = Timestamp(1_700_000_000_000_000);

/// Signatures that anybody could forge: scripts test the protocol, not the curve.
pub(crate) struct StandIn(pub(crate) NodeId);

impl StandIn {
    fn make(node: NodeId, statement: &Statement) -> Signature {
        let mut hash = Sha256::new();
        hash.update(node.0);
        hash.update(statement.to_bytes());
        let half: [u8; 32] = hash.finalize().into();
        let mut bytes = [0; 64];
        bytes[..32].copy_from_slice(&half);
        Signature(bytes)
    }
}

impl Signatures for StandIn {
    fn sign(&self, statement: &Statement) -> Signature {
        Self::make(self.0, statement)
    }

    fn verify(&self, node: NodeId, statement: &Statement, signature: &Signature) -> bool {
        Self::make(node, statement) == *signature
    }
}

/// n1, n2, … in ring order.
pub(crate) fn membership(count: usize) -> Membership {
    let ids = (1..=count).map(|n| NodeId([u8::try_from(n).expect("a small cluster"); 32]));
    let member = |id| Member {
        id,
        name: show::name(id),
    };
    Membership::new(ids.map(member).collect()).expect("distinct names")
}

pub(crate) fn genesis(membership: &Membership) -> Block {
    let founding = Payload::Genesis {
        voters: membership.voters().to_vec(),
        admin: TokenId([0; 8]),
        admin_secret: model::Digest([0; 32]),
        library: LibraryId::home(),
    };
    Block::genesis(CHAIN, membership, START, seal(founding, 0))
}

/// A record with this text; `salt` makes it unlike another of the same text.
pub(crate) fn command(text: &str, salt: u8) -> SealedCommand {
    seal(Payload::Record(text.as_bytes().to_vec()), salt)
}

fn seal(payload: Payload, salt: u8) -> SealedCommand {
    let command = Command {
        library: LibraryId::home(),
        actor: TokenId([0; 8]),
        key: None,
        valid_until: Timestamp(u64::MAX),
        payload,
    };
    command.seal([salt; 16])
}

/// A draft on top of `parent`, for its next height, which keeps the turn where it is.
pub(crate) fn draft(parent: &Block, proposer: Turn, text: &str) -> Draft {
    Draft {
        chain: CHAIN,
        height: parent.height().next(),
        parent: Some(parent.hash()),
        membership: parent.header().membership,
        proposer,
        time: Timestamp(parent.header().time.0 + 1),
        hint: parent.header().hint,
        commands: vec![command(text, 99)],
    }
}

fn statement(domain: Domain, ballot: Ballot, block: &Block) -> Statement {
    Statement {
        domain,
        chain: CHAIN,
        membership: block.header().membership,
        height: block.height(),
        ballot,
        hash: block.hash(),
    }
}

/// What the owner of `ballot` says of `block` in `domain`.
pub(crate) fn sign(domain: Domain, node: NodeId, ballot: Ballot, block: &Block) -> Signature {
    StandIn::make(node, &statement(domain, ballot, block))
}

/// An accept by the ballot's owner.
pub(crate) fn accept(ballot: Ballot, block: &Arc<Block>) -> Message {
    Message::Accept(Accept {
        ballot,
        block: Arc::clone(block),
        signature: sign(Domain::Propose, ballot.node, ballot, block),
        parent: None,
        workers: 0,
    })
}

/// An accepted by `node`.
pub(crate) fn accepted(node: NodeId, ballot: Ballot, block: &Block) -> Message {
    Message::Accepted {
        height: block.height(),
        ballot,
        hash: block.hash(),
        signature: sign(Domain::Accepted, node, ballot, block),
    }
}

/// What `nodes` signed for `block`, be they a quorum or not.
pub(crate) fn certificate(
    membership: &Membership,
    nodes: &[NodeId],
    ballot: Ballot,
    block: &Block,
) -> Certificate {
    let votes = nodes
        .iter()
        .map(|node| (*node, sign(Domain::Accepted, *node, ballot, block)));
    let subject: (Height, Ballot, _) = (block.height(), ballot, block.hash());
    Certificate::collect(membership, subject, votes)
}
