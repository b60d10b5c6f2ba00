//! A cluster whose voters come and go, with keys that everybody may know: real rosters, real signatures.

use std::convert::Infallible;
use std::sync::Arc;

use model::receipt::Source;
use model::{
    Addresses, Block, BlockHash, Certificate, Checkpoint, Decided, Digest, Domain, Draft, Ed25519,
    Height, Member, Membership, NodeId, Payload, Proven, Reason, Roster, RosterChange,
    SealedCommand, SeatChange, Signatures, Statement, Timestamp, TokenId,
};

use crate::chain::{ballot, command, genesis, membership, turn};

/// As many identities as a test may need; 1 to 3 are the founders.
const IDENTITIES: u8 = 40;

/// The key of the node with this number.
pub fn key(number: u8) -> Ed25519 {
    Ed25519::new(&[number; 32])
}

/// The node with this number.
pub fn member(number: u8) -> Member {
    Member {
        id: key(number).node(),
        name: format!("n{number}"),
    }
}

/// The number of a node of ours.
fn number(node: NodeId) -> Option<u8> {
    (1..=IDENTITIES).find(|number| key(*number).node() == node)
}

/// The proof that these nodes give out that a block was decided, under a membership of their choice. A liar may ask for
/// it as well.
pub fn certify_as(block: &Block, voters: &Membership, signers: &[u8]) -> Certificate {
    let (height, hash, ballot) = (block.height(), block.hash(), ballot(1));
    let statement = Statement {
        domain: Domain::Accepted,
        chain: block.header().chain,
        membership: voters.hash(),
        height,
        ballot,
        hash,
    };
    let signers = signers.iter().map(|number| key(*number));
    let signatures = signers.map(|key| (key.node(), key.sign(&statement)));
    Certificate::collect(voters, (height, ballot, hash), signatures)
}

/// A sealed change of who belongs.
pub fn change(change: RosterChange) -> SealedCommand {
    command(Payload::Roster(change)).seal([3; 16])
}

/// A sealed change of voters.
pub fn seat(epoch: u64, change: SeatChange) -> SealedCommand {
    let epoch = Height(epoch);
    self::change(RosterChange::Seat { epoch, change })
}

/// A change that adds a node.
pub fn add(number: u8) -> SeatChange {
    SeatChange::Add(member(number))
}

/// A change that removes a node.
pub fn remove(number: u8) -> SeatChange {
    SeatChange::Remove {
        node: member(number).id,
        reason: Reason::Asked,
    }
}

/// A change that puts a node in another's place.
pub fn replace(old: u8, new: u8) -> SeatChange {
    SeatChange::Replace {
        old: member(old).id,
        new: member(new),
    }
}

/// What lets a node follow, so that it may become a voter.
pub fn admission(number: u8, now: Timestamp) -> [SealedCommand; 2] {
    let invite = TokenId([number; 8]);
    let addresses = Addresses {
        peer: format!("host{number}:7800"),
        url: format!("https://host{number}:7700"),
    };
    [
        change(RosterChange::Invite {
            invite,
            secret: Digest([number; 32]),
            expires: Timestamp(now.0 + 1_000_000),
            votes: true,
        }),
        change(RosterChange::Admit {
            invite: Some(invite),
            member: member(number),
            addresses,
        }),
    ]
}

/// A chain with its certificates, and who decided each block.
#[derive(Debug, Clone)]
pub struct Cluster {
    blocks: Vec<Decided>,
    deciding: Vec<Arc<Roster>>,
    roster: Arc<Roster>,
}

impl Default for Cluster {
    fn default() -> Self {
        let roster = Arc::new(Roster::founded(membership().clone()));
        let founding = Decided {
            block: genesis(),
            certificate: None,
        };
        Self {
            blocks: vec![founding],
            deciding: vec![roster.clone()],
            roster,
        }
    }
}

impl Cluster {
    /// The last block.
    pub fn tip(&self) -> &Block {
        let last = self.blocks.last().expect("genesis at least");
        &last.block
    }

    /// Who belongs above the last block.
    pub fn roster(&self) -> &Roster {
        &self.roster
    }

    /// The numbers of the voters above the last block, in ring order.
    pub fn voters(&self) -> Vec<u8> {
        let voters = self.roster.voters().voters().iter();
        voters.filter_map(|member| number(member.id)).collect()
    }

    /// A block on top of the last one that says it is of `voters`.
    pub fn block(&self, voters: &Membership, commands: Vec<SealedCommand>) -> Block {
        let tip = self.tip().header();
        Block::new(Draft {
            chain: tip.chain,
            height: tip.height.next(),
            parent: Some(tip.hash()),
            membership: voters.hash(),
            proposer: turn(),
            time: Timestamp(tip.time.0 + 1),
            hint: Some(turn()),
            commands,
        })
    }

    /// Has commands decided, by a quorum that is another one at each height.
    pub fn decide(&mut self, commands: Vec<SealedCommand>) -> Height {
        let voters = self.roster.voters();
        let block = self.block(voters, commands);
        let mut signers = self.voters();
        let turns = usize::try_from(block.height().0).unwrap_or(0) % signers.len();
        signers.rotate_left(turns);
        signers.truncate(voters.quorum());
        let certificate = certify_as(&block, voters, &signers);
        self.append(block, certificate)
    }

    /// Puts a block on top, whatever it is.
    pub fn append(&mut self, block: Block, certificate: Certificate) -> Height {
        let height = block.height();
        let after = self.roster.after(&block).map(Arc::new);
        self.deciding.push(self.roster.clone());
        self.roster = after.unwrap_or_else(|| self.roster.clone());
        self.blocks.push(Decided {
            block: Arc::new(block),
            certificate: Some(certificate),
        });
        height
    }

    /// A decided block.
    pub fn decided(&self, height: Height) -> Option<&Decided> {
        self.blocks.get(usize::try_from(height.0).ok()?)
    }

    /// The hash of a decided block.
    pub fn hash(&self, height: Height) -> Option<BlockHash> {
        self.decided(height).map(|decided| decided.block.hash())
    }

    /// A place to trust.
    pub fn checkpoint(&self, height: Height) -> Checkpoint {
        Checkpoint::at(self, height).expect("there is such a block")
    }

    /// Whether what was proven is true.
    pub fn agrees_with(&self, proven: &Proven) -> bool {
        let decided = self.decided(proven.header.height);
        decided.is_some_and(|decided| {
            let entry = decided.block.entries().get(proven.index as usize);
            decided.block.hash() == proven.hash
                && entry.is_some_and(|entry| entry.leaf() == proven.sealed.leaf())
                && proven.checkpoint() == self.checkpoint(proven.header.height)
        })
    }
}

impl Source for Cluster {
    type Error = Infallible;

    fn block(&self, height: Height) -> Result<Option<Decided>, Infallible> {
        Ok(self.decided(height).cloned())
    }

    fn voters(&self, height: Height) -> Result<(Height, Membership), Self::Error> {
        let place = usize::try_from(height.0).unwrap_or(usize::MAX);
        let roster = self.deciding.get(place).unwrap_or(&self.roster);
        Ok((roster.epoch(), roster.voters().clone()))
    }
}
