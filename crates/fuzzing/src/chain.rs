//! A cluster of three whose keys everybody may know: real blocks, certificates and votes to start from.

use std::sync::{Arc, LazyLock};

use model::command::{Command, Payload, SealedCommand};
use model::{
    Ballot, Block, Boot, Certificate, ChainId, Digest, Domain, Draft, Ed25519, Header, LibraryId,
    Member, Membership, NodeId, Signature, Signatures, Statement, Timestamp, TokenId, Turn,
};

/// Believes everything, so that a fuzzer need not break Ed25519 to get any further.
#[derive(Debug)]
pub struct Trusting;

impl Signatures for Trusting {
    fn sign(&self, _: &Statement) -> Signature {
        Signature([0; 64])
    }

    fn verify(&self, _: NodeId, _: &Statement, _: &Signature) -> bool {
        true
    }
}

fn keys() -> impl Iterator<Item = Ed25519> {
    (1..=3).map(|n| Ed25519::new(&[n; 32]))
}

/// Made once: a fuzzer would spend its time on deriving keys.
static MEMBERSHIP: LazyLock<Membership> = LazyLock::new(|| {
    let voters = (1..).zip(keys()).map(|(n, key)| Member {
        id: key.node(),
        name: format!("n{n}"),
    });
    Membership::new(voters.collect()).expect("three distinct voters")
});

static GENESIS: LazyLock<Arc<Block>> = LazyLock::new(|| {
    let command = command(Payload::Genesis {
        voters: MEMBERSHIP.voters().to_vec(),
        admin: TokenId([1; 8]),
        admin_secret: Digest::of(&[b"secret"]),
        library: LibraryId::home(),
    });
    let chain = ChainId([0xc5; 16]);
    let time = Timestamp(1_700_000_000_000_000);
    let block = Block::genesis(chain, &MEMBERSHIP, time, command.seal([7; 16]));
    Arc::new(block)
});

/// The voters n1, n2 and n3.
pub fn membership() -> &'static Membership {
    &MEMBERSHIP
}

/// Who put together every block here, and has the turn: n1 at its boot 1.
pub fn turn() -> Turn {
    let first = membership().voters().first().map(|member| member.id);
    Turn {
        node: first.expect("there are three"),
        boot: Boot(1),
    }
}

/// A ballot of n1.
pub fn ballot(k: u64) -> Ballot {
    let Turn { node, boot } = turn();
    Ballot { k, node, boot }
}

/// A command of the administrator.
pub fn command(payload: Payload) -> Command {
    Command {
        library: LibraryId::home(),
        actor: TokenId([1; 8]),
        key: None,
        valid_until: Timestamp(u64::MAX),
        payload,
    }
}

/// A sealed record.
pub fn record(body: &[u8]) -> SealedCommand {
    command(Payload::Record(body.to_vec())).seal([9; 16])
}

/// The block at height 0.
pub fn genesis() -> Arc<Block> {
    GENESIS.clone()
}

/// A block on top of another.
pub fn child(parent: &Header, commands: Vec<SealedCommand>) -> Arc<Block> {
    Arc::new(Block::new(Draft {
        chain: parent.chain,
        height: parent.height.next(),
        parent: Some(parent.hash()),
        membership: parent.membership,
        proposer: turn(),
        time: Timestamp(parent.time.0 + 1),
        hint: Some(turn()),
        commands,
    }))
}

/// A statement about a block, signed by the first `count` voters.
pub fn signed(
    domain: Domain,
    block: &Block,
    ballot: Ballot,
    count: usize,
) -> Vec<(NodeId, Signature)> {
    let statement = Statement {
        domain,
        chain: block.header().chain,
        membership: block.header().membership,
        height: block.height(),
        ballot,
        hash: block.hash(),
    };
    let signers = keys().take(count);
    signers
        .map(|key| (key.node(), key.sign(&statement)))
        .collect()
}

/// The proof that a block was decided at this ballot, by n1 and n2.
pub fn certify(block: &Block, ballot: Ballot) -> Certificate {
    let subject = (block.height(), ballot, block.hash());
    let signatures = signed(Domain::Accepted, block, ballot, 2);
    Certificate::collect(membership(), subject, signatures)
}
