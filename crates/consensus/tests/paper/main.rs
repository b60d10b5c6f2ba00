//! The rules of `docs/protocol.md`, each quoted by the test that shows it, as far as one engine or a few can show it.
//!
//! Not here: what concerns the disk's format (P41, P49 and the order of files in P9: `crates/ledger`) and the commands
//! themselves (P44, P45: `crates/replica`). Policies (P5, P26 to P37) are shown by the scripts; no test of a rule
//! depends on one.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that is wrong panics"
)]

mod counting;
#[path = "../harness/mod.rs"]
mod harness;
mod progress;
mod reading;
mod strangers;
mod voting;

use std::sync::Arc;

use consensus::{Beacon, Engine, Message, Phase, Seen, StopReason};
use harness::forge;
use harness::{Cluster, Filter};
use model::{
    Ballot, Block, BlockHash, Boot, Certificate, ChainId, Domain, Draft, Height, MembershipHash,
    NodeId, Nonce, Record, Timestamp, Turn, Vote,
};

pub(crate) fn node(number: u8) -> NodeId {
    NodeId([number; 32])
}

pub(crate) fn turn(number: u8, boot: u64) -> Turn {
    Turn {
        node: node(number),
        boot: Boot(boot),
    }
}

pub(crate) fn ballot(k: u64, number: u8, boot: u64) -> Ballot {
    Ballot {
        k,
        node: node(number),
        boot: Boot(boot),
    }
}

pub(crate) fn genesis(cluster: &Cluster) -> Arc<Block> {
    Arc::clone(&cluster.chain("n1")[&Height(0)].block)
}

/// A block of height 1 proposed by n1, unlike any other text's.
pub(crate) fn first_block(cluster: &Cluster, text: &str) -> Arc<Block> {
    let draft = forge::draft(&genesis(cluster), turn(1, 1), text);
    Arc::new(Block::new(draft))
}

pub(crate) fn prepare(ballot: Ballot) -> Message {
    Message::Prepare {
        height: Height(1),
        ballot,
    }
}

pub(crate) fn promise(ballot: Ballot, accepted: Option<(Ballot, Arc<Block>)>) -> Message {
    Message::Promise {
        height: Height(1),
        ballot,
        accepted,
    }
}

/// What a node says of itself, at its start `boot`, when everything it knows is flushed.
pub(crate) fn beacon(boot: u8, tip: Height, head: BlockHash) -> Message {
    Message::Beacon(Beacon {
        boot: Boot(u64::from(boot)),
        nonce: Nonce([boot; 16]),
        tip,
        durable_tip: tip,
        head,
        membership: MembershipHash([0; 32]),
        clock: Timestamp(0),
        has_work: false,
        yielding: false,
    })
}

pub(crate) fn accepted_ballot(engine: &Engine) -> Option<Ballot> {
    engine.vote().accepted.map(|(ballot, _)| ballot)
}

pub(crate) fn accepted_hash(engine: &Engine) -> Option<BlockHash> {
    engine.vote().accepted.map(|(_, block)| block.hash())
}

/// How many messages of a kind are under way from a node.
pub(crate) fn count(cluster: &Cluster, from: &str, kind: &str) -> usize {
    let filter = Filter::new(Some(from), None, Some(kind));
    cluster.under_way(&filter).len()
}

/// The accepts under way from a node: ballot and block.
pub(crate) fn accepts(cluster: &Cluster, from: &str) -> Vec<(Ballot, Arc<Block>)> {
    let filter = Filter::new(Some(from), None, Some("accept"));
    let accepts = cluster.under_way(&filter).into_iter();
    accepts
        .filter_map(|message| match message {
            Message::Accept(accept) => Some((accept.ballot, Arc::clone(&accept.block))),
            _ => None,
        })
        .collect()
}

/// n2 of three, with work, in the middle of a takeover of height 1 whose prepares nobody has answered.
pub(crate) fn n2_takes_over() -> (Cluster, Ballot) {
    let mut cluster = Cluster::start(3);
    cluster.crash("n1").unwrap();
    cluster.submit("n2", "b").unwrap();
    cluster.wait(5);
    cluster.lose(&Filter::all());
    let own = cluster.engine("n2").vote().promised;
    assert_eq!(own, ballot(2, 2, 1));
    (cluster, own)
}
