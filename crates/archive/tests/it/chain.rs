//! A chain of blocks with real certificates, by three nodes whose keys everybody may know.

use std::sync::Arc;

use archive::SegmentName;
use ledger::segment::{self, Below};
use model::command::{Command, Payload, SealedCommand};
use model::{
    Ballot, Block, Boot, Certificate, ChainId, Decided, Digest, Domain, Draft, Ed25519, LibraryId,
    Member, Membership, NodeId, Signatures as _, Statement, Timestamp, TokenId, Turn,
};

/// A genesis block with one voter.
pub(crate) fn genesis(chain: ChainId, node: NodeId, name: &str) -> Block {
    let name = name.to_owned();
    genesis_of(
        chain,
        &Membership::new(vec![Member { id: node, name }]).unwrap(),
    )
}

fn genesis_of(chain: ChainId, membership: &Membership) -> Block {
    let command = sealed(Payload::Genesis {
        voters: membership.voters().to_vec(),
        admin: TokenId([1; 8]),
        admin_secret: Digest::of(&[b"secret"]),
        library: LibraryId::home(),
    });
    let time = Timestamp(1_700_000_000_000_000);
    Block::genesis(chain, membership, time, command)
}

fn sealed(payload: Payload) -> SealedCommand {
    let command = Command {
        library: LibraryId::home(),
        actor: TokenId([1; 8]),
        key: None,
        valid_until: Timestamp(u64::MAX),
        payload,
    };
    command.seal([9; 16])
}

/// Blocks that three voters decided.
pub(crate) struct Chain {
    keys: Vec<Ed25519>,
    membership: Membership,
    pub(crate) blocks: Vec<Decided>,
}

impl Chain {
    /// A chain with this many blocks above genesis. Others with the same `seed` begin alike; with another, they differ
    /// from height 1 on.
    pub(crate) fn new(blocks: u64, seed: u8) -> Self {
        let keys: Vec<_> = (1..=3).map(|n| Ed25519::new(&[n; 32])).collect();
        let voters = (1..).zip(&keys).map(|(n, key)| Member {
            id: key.node(),
            name: format!("n{n}"),
        });
        let membership = Membership::new(voters.collect()).unwrap();
        let genesis = genesis_of(ChainId([0xc5; 16]), &membership);
        let genesis = Decided {
            block: Arc::new(genesis),
            certificate: None,
        };
        let mut chain = Self {
            keys,
            membership,
            blocks: vec![genesis],
        };
        for height in 1..=blocks {
            chain.grow(vec![seed; 100 + usize::try_from(height % 7).unwrap()]);
        }
        chain
    }

    /// What is known at a height.
    pub(crate) fn below(&self, height: usize) -> Below {
        let mut below = Below::genesis(&self.blocks[0].block).unwrap();
        let header = self.blocks[height].block.header();
        (below.height, below.hash, below.time) = (header.height, header.hash(), header.time);
        below
    }

    /// The segment of the blocks `from` to `to`.
    pub(crate) fn segment(&self, from: usize, to: usize) -> (SegmentName, Vec<u8>) {
        segment::build(self.below(from - 1), &self.blocks[from..=to])
            .unwrap()
            .unwrap()
    }

    /// The same with other certificates, as another node may hold them.
    pub(crate) fn segment_otherwise(&self, from: usize, to: usize) -> (SegmentName, Vec<u8>) {
        let blocks = self.blocks[from..=to].iter().map(|decided| Decided {
            block: decided.block.clone(),
            certificate: Some(self.certify(&decided.block, [1, 2])),
        });
        let blocks: Vec<_> = blocks.collect();
        segment::build(self.below(from - 1), &blocks)
            .unwrap()
            .unwrap()
    }

    fn grow(&mut self, record: Vec<u8>) {
        let below = self.blocks.last().unwrap().block.header().clone();
        let turn = Turn {
            node: self.keys[0].node(),
            boot: Boot(1),
        };
        let block = Block::new(Draft {
            chain: below.chain,
            height: below.height.next(),
            parent: Some(below.hash()),
            membership: below.membership,
            proposer: turn,
            time: Timestamp(below.time.0 + 1),
            hint: Some(turn),
            commands: vec![sealed(Payload::Record(record))],
        });
        let certificate = Some(self.certify(&block, [0, 1]));
        let block = Arc::new(block);
        self.blocks.push(Decided { block, certificate });
    }

    /// Signed by two of the three.
    fn certify(&self, block: &Block, signers: [usize; 2]) -> Certificate {
        let ballot = Ballot {
            k: 1,
            node: self.keys[0].node(),
            boot: Boot(1),
        };
        let statement = Statement {
            domain: Domain::Accepted,
            chain: block.header().chain,
            membership: self.membership.hash(),
            height: block.height(),
            ballot,
            hash: block.hash(),
        };
        let signed = signers.map(|at| &self.keys[at]);
        let signed = signed.map(|key| (key.node(), key.sign(&statement)));
        let facts = (block.height(), ballot, block.hash());
        Certificate::collect(&self.membership, facts, signed)
    }
}
