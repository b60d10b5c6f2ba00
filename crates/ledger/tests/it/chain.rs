//! Blocks, votes and certificates of a cluster of three, and a node that writes them down.

use std::sync::Arc;

use ledger::{Flush, Ledger, OpenError, Recovered};
use model::command::{Command, Payload, SealedCommand};
use model::{
    Ballot, Block, Boot, Certificate, ChainId, Decided, Digest, Domain, Draft, Ed25519, Header,
    Height, LibraryId, LogSeq, Mark, Member, Membership, MembershipHash, NodeId, Nonce, Reason,
    Record, RosterChange, SeatChange, Signature, Signatures, Statement, Timestamp, TokenId, Turn,
    Vote,
};

use crate::memory_disk::MemoryDisk;

/// Real keys, which everybody may know.
pub(crate) fn keys() -> Vec<Ed25519> {
    (1..=3).map(|n| Ed25519::new(&[n; 32])).collect()
}

pub(crate) fn membership() -> Membership {
    let voters = (1..).zip(keys());
    let voters = voters.map(|(n, key)| Member {
        id: key.node(),
        name: format!("n{n}"),
    });
    Membership::new(voters.collect()).expect("distinct")
}

/// Believes everything: where a test opens a ledger thousands of times.
pub(crate) struct Trusting;

impl Signatures for Trusting {
    fn sign(&self, _: &Statement) -> Signature {
        Signature([0; 64])
    }

    fn verify(&self, _: NodeId, _: &Statement, _: &Signature) -> bool {
        true
    }
}

pub(crate) fn genesis() -> Arc<Block> {
    let membership = membership();
    let command = Command {
        library: LibraryId::home(),
        actor: TokenId([1; 8]),
        key: None,
        valid_until: Timestamp(u64::MAX),
        payload: Payload::Genesis {
            voters: membership.voters().to_vec(),
            admin: TokenId([1; 8]),
            admin_secret: Digest::of(&[b"secret"]),
            library: LibraryId::home(),
        },
    };
    let chain = ChainId([0xc5; 16]);
    let time = Timestamp(1_700_000_000_000_000);
    Arc::new(Block::genesis(
        chain,
        &membership,
        time,
        command.seal([7; 16]),
    ))
}

pub(crate) fn record(body: &[u8]) -> SealedCommand {
    sealed(Payload::Record(body.to_vec()))
}

/// Asks that a voter be removed, in the epoch of genesis.
pub(crate) fn removal(node: NodeId) -> SealedCommand {
    let reason = Reason::Asked;
    sealed(Payload::Roster(RosterChange::Seat {
        epoch: Height::GENESIS,
        change: SeatChange::Remove { node, reason },
    }))
}

pub(crate) fn sealed(payload: Payload) -> SealedCommand {
    let command = Command {
        library: LibraryId::home(),
        actor: TokenId([1; 8]),
        key: None,
        valid_until: Timestamp(u64::MAX),
        payload,
    };
    command.seal([9; 16])
}

/// A block on top of another.
pub(crate) fn child(parent: &Header, commands: Vec<SealedCommand>) -> Arc<Block> {
    child_of(parent, parent.membership, commands)
}

/// The same, decided by these voters.
pub(crate) fn child_of(
    parent: &Header,
    membership_hash: MembershipHash,
    commands: Vec<SealedCommand>,
) -> Arc<Block> {
    let node = membership().voters()[0].id;
    Arc::new(Block::new(Draft {
        chain: parent.chain,
        height: parent.height.next(),
        parent: Some(parent.hash()),
        membership: membership_hash,
        proposer: Turn {
            node,
            boot: Boot(1),
        },
        time: Timestamp(parent.time.0 + 1),
        hint: Some(Turn {
            node,
            boot: Boot(1),
        }),
        commands,
    }))
}

pub(crate) fn certify(block: &Block, ballot: Ballot) -> Certificate {
    certify_by(&membership(), block, ballot)
}

/// Signed by the first two voters, who are a quorum of two or three.
pub(crate) fn certify_by(membership: &Membership, block: &Block, ballot: Ballot) -> Certificate {
    let statement = Statement {
        domain: Domain::Accepted,
        chain: block.header().chain,
        membership: membership.hash(),
        height: block.height(),
        ballot,
        hash: block.hash(),
    };
    let signed = keys()
        .into_iter()
        .take(2)
        .map(|key| (key.node(), key.sign(&statement)));
    Certificate::collect(membership, (block.height(), ballot, block.hash()), signed)
}

pub(crate) fn ballot(k: u64) -> Ballot {
    Ballot {
        k,
        node: membership().voters()[0].id,
        boot: Boot(1),
    }
}

/// What a node knows: what its log is there to keep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Memory {
    pub(crate) boot: Boot,
    pub(crate) tip: Decided,
    pub(crate) vote: Option<Vote>,
}

impl Memory {
    pub(crate) fn of(recovered: &Recovered) -> Self {
        Self {
            boot: recovered.boot,
            tip: recovered.tip.clone(),
            vote: recovered.vote.clone(),
        }
    }
}

/// A node without a protocol: it writes down whatever it is told to.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) disk: MemoryDisk,
    pub(crate) ledger: Ledger<MemoryDisk>,
    pub(crate) recovered: Recovered,
    pub(crate) memory: Memory,
    pub(crate) seq: LogSeq,
    body_written: bool,
}

impl Node {
    pub(crate) fn new() -> Self {
        Self::open(&MemoryDisk::new(&genesis())).expect("a new ledger opens")
    }

    pub(crate) fn open(disk: &MemoryDisk) -> Result<Self, OpenError> {
        let (ledger, recovered) = Ledger::open(disk.clone(), &Trusting)?;
        let memory = Memory::of(&recovered);
        let seq = LogSeq(0);
        let disk = disk.clone();
        Ok(Self {
            disk,
            ledger,
            recovered,
            memory,
            seq,
            body_written: false,
        })
    }

    /// A new ledger whose node has started once.
    pub(crate) fn started() -> Self {
        let mut node = Self::new();
        node.start();
        node.flush();
        node
    }

    pub(crate) fn append(&mut self, record: &Record) {
        self.seq = self.seq.next();
        self.ledger.append(self.seq, record, Flush::Now);
    }

    pub(crate) fn flush(&mut self) {
        if let Some(seq) = self.disk.flush() {
            self.ledger.durable(seq);
        }
    }

    pub(crate) fn start(&mut self) {
        self.memory.boot = self.memory.boot.next();
        let tip = &self.memory.tip.block;
        self.append(&Record::Start {
            boot: self.memory.boot,
            nonce: Nonce([u8::try_from(self.memory.boot.0).unwrap(); 16]),
            tip: Mark {
                height: tip.height(),
                hash: tip.hash(),
            },
            vote: self.memory.vote.clone(),
        });
        self.body_written = true;
    }

    fn next_height(&self) -> Height {
        self.memory.tip.block.height().next()
    }

    pub(crate) fn promise(&mut self, k: u64) {
        let height = self.next_height();
        let accepted = self.memory.vote.take().and_then(|vote| vote.accepted);
        self.vote(
            Vote {
                height,
                promised: ballot(k),
                accepted,
            },
            false,
        );
    }

    /// Accepts a block with these commands at ballot `k`.
    pub(crate) fn accept(&mut self, k: u64, commands: Vec<SealedCommand>) {
        let block = child(self.memory.tip.block.header(), commands);
        let height = self.next_height();
        let accepted = Some((ballot(k), block));
        self.vote(
            Vote {
                height,
                promised: ballot(k),
                accepted,
            },
            true,
        );
    }

    fn vote(&mut self, vote: Vote, body: bool) {
        self.body_written |= body;
        self.append(&Record::Vote {
            vote: vote.clone(),
            body,
        });
        self.memory.vote = Some(vote);
    }

    /// What was accepted is decided.
    pub(crate) fn decide(&mut self) {
        let vote = self.memory.vote.take().expect("something was voted on");
        let (ballot, block) = vote.accepted.expect("something was accepted");
        let certificate = certify(&block, ballot);
        let body = !std::mem::take(&mut self.body_written);
        self.append(&Record::Decided {
            block: block.clone(),
            certificate: certificate.clone(),
            body,
        });
        self.memory.tip = Decided {
            block,
            certificate: Some(certificate),
        };
    }

    /// Learns a decided block without having voted.
    pub(crate) fn learn(&mut self, commands: Vec<SealedCommand>) {
        let block = child(self.memory.tip.block.header(), commands);
        self.learn_block(block, &membership());
    }

    /// Learns a block that these voters decided.
    pub(crate) fn learn_block(&mut self, block: Arc<Block>, voters: &Membership) {
        let certificate = certify_by(voters, &block, ballot(1));
        self.append(&Record::Decided {
            block: block.clone(),
            certificate: certificate.clone(),
            body: true,
        });
        self.memory.vote = None;
        self.memory.tip = Decided {
            block,
            certificate: Some(certificate),
        };
    }

    /// One height after the other, each accepted and decided, each record flushed by itself.
    pub(crate) fn write_blocks(&mut self, count: u64) {
        for _ in 0..count {
            let text = format!("block {}", self.next_height());
            self.accept(1, vec![record(text.as_bytes())]);
            self.flush();
            self.decide();
            self.flush();
        }
    }
}
