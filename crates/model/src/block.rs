//! What is decided at a height.

use std::fmt;
use std::sync::Arc;

use crate::ballot::Turn;
use crate::codec::{Decode, DecodeError, Encode, Reader, encode_length};
use crate::codec_struct;
use crate::command::{Command, Payload, SealedCommand};
use crate::id::{BlockHash, Boot, ChainId, Digest, Height, LeafHash, MembershipHash, MerkleRoot};
use crate::limits;
use crate::membership::Membership;
use crate::merkle;
use crate::purge::Residue;
use crate::succession::Predecessor;
use crate::time::Timestamp;

/// First byte of every header.
const VERSION: u8 = 1;

/// The hashed part of a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The chain it belongs to.
    pub chain: ChainId,
    /// Its place in the chain.
    pub height: Height,
    /// Hash of the block before it; none at height 0 alone. That of the first block of a successor is of another chain.
    pub parent: Option<BlockHash>,
    /// The epoch it is decided in.
    pub membership: MembershipHash,
    /// Who put it together, which need not be who got it decided.
    pub proposer: Turn,
    /// Later than its parent's, and not earlier than the proposer's clock.
    pub time: Timestamp,
    /// How many commands it carries.
    pub commands: u32,
    /// Root over their leaves.
    pub root: MerkleRoot,
    /// Who has the turn of the next height.
    pub hint: Option<Turn>,
}

impl Header {
    /// SHA-256 of the encoding: the block's name.
    pub fn hash(&self) -> BlockHash {
        BlockHash::of(&[&self.to_bytes()])
    }
}

impl Encode for Header {
    fn encode(&self, out: &mut Vec<u8>) {
        VERSION.encode(out);
        self.chain.encode(out);
        self.height.encode(out);
        self.parent.encode(out);
        self.membership.encode(out);
        self.proposer.encode(out);
        self.time.encode(out);
        self.commands.encode(out);
        self.root.encode(out);
        self.hint.encode(out);
    }
}

impl Decode for Header {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let version = u8::decode(input)?;
        if version != VERSION {
            return Err(DecodeError::Invalid {
                what: "block version",
                value: version.into(),
            });
        }
        Ok(Self {
            chain: Decode::decode(input)?,
            height: Decode::decode(input)?,
            parent: Decode::decode(input)?,
            membership: Decode::decode(input)?,
            proposer: Decode::decode(input)?,
            time: Decode::decode(input)?,
            commands: Decode::decode(input)?,
            root: Decode::decode(input)?,
            hint: Decode::decode(input)?,
        })
    }
}

/// A command in its block, or what is left of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// Its bytes were destroyed; the leaf keeps the tree whole.
    Erased(LeafHash),
    /// As it was decided.
    Sealed(SealedCommand),
    /// Its bytes were destroyed, and it was the first of its request: what the request is known by stays, so that a
    /// repeat is told from a new one.
    Remembered {
        /// The leaf.
        leaf: LeafHash,
        /// The request's id if it came under a client's key; else it is the leaf.
        key: Option<Digest>,
    },
    /// Its bytes were pruned: what it did is in a snapshot, and without one nobody can tell.
    Pruned {
        /// The leaf.
        leaf: LeafHash,
        /// What stays of its request.
        residue: Residue,
    },
}

crate::codec_enum!(Entry, "entry" {
    0 => Erased(leaf),
    1 => Sealed(command),
    2 => Remembered { leaf, key },
    3 => Pruned { leaf, residue },
});

impl Entry {
    /// The leaf of the Merkle tree.
    pub fn leaf(&self) -> LeafHash {
        match self {
            Self::Erased(leaf) | Self::Remembered { leaf, .. } | Self::Pruned { leaf, .. } => *leaf,
            Self::Sealed(command) => command.leaf(),
        }
    }

    /// The command, unless it was erased or pruned.
    pub fn sealed(&self) -> Option<&SealedCommand> {
        match self {
            Self::Erased(_) | Self::Remembered { .. } | Self::Pruned { .. } => None,
            Self::Sealed(command) => Some(command),
        }
    }
}

/// Everything a new block says, before it is hashed.
#[derive(Debug, Clone)]
pub struct Draft {
    /// The chain.
    pub chain: ChainId,
    /// The height.
    pub height: Height,
    /// The parent; none for genesis.
    pub parent: Option<BlockHash>,
    /// The epoch.
    pub membership: MembershipHash,
    /// Who proposes.
    pub proposer: Turn,
    /// The block's time.
    pub time: Timestamp,
    /// Who proposes next.
    pub hint: Option<Turn>,
    /// The commands in order.
    pub commands: Vec<SealedCommand>,
}

/// A block: header and commands.
///
/// Invariant: `hash` is the header's, and the header's count and root are those of the entries. Decoding checks it.
#[derive(Clone, PartialEq, Eq)]
pub struct Block {
    header: Header,
    hash: BlockHash,
    entries: Vec<Entry>,
}

/// Why a block does not extend the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BlockError {
    /// Of another chain.
    #[error("the block is of another chain")]
    Chain,
    /// Not the next height, or not on top of the tip.
    #[error("the block does not extend the tip")]
    Parent,
    /// Of another epoch.
    #[error("the block is of another membership")]
    Membership,
    /// Proposed by somebody who does not vote.
    #[error("the proposer is not a member")]
    Proposer,
    /// Not later than its parent.
    #[error("the block is not later than its parent")]
    Time,
    /// Too many commands, or too many bytes.
    #[error("the block is too large")]
    Size,
    /// A command's bytes are missing.
    #[error("a command of a proposed block is erased")]
    Erased,
}

impl Block {
    /// Hashes a draft.
    ///
    /// # Panics
    /// If it carries 2^32 commands or more, which no limit of ours allows.
    pub fn new(draft: Draft) -> Self {
        let entries: Vec<Entry> = draft.commands.into_iter().map(Entry::Sealed).collect();
        let leaves: Vec<LeafHash> = entries.iter().map(Entry::leaf).collect();
        let header = Header {
            chain: draft.chain,
            height: draft.height,
            parent: draft.parent,
            membership: draft.membership,
            proposer: draft.proposer,
            time: draft.time,
            commands: u32::try_from(entries.len()).expect("block limits are far below 2^32"),
            root: merkle::root(&leaves),
            hint: draft.hint,
        };
        Self {
            hash: header.hash(),
            header,
            entries,
        }
    }

    /// The block at height 0: one command that names voters, administrator and library; the first voter has the
    /// turn of height 1 at its boot 1.
    pub fn genesis(
        chain: ChainId,
        membership: &Membership,
        time: Timestamp,
        command: SealedCommand,
    ) -> Self {
        Self::founding(chain, membership, time, command, Vec::new())
    }

    /// The same, with commands behind the first one that say more of the voters: where they are, for instance.
    pub fn founding(
        chain: ChainId,
        membership: &Membership,
        time: Timestamp,
        command: SealedCommand,
        more: Vec<SealedCommand>,
    ) -> Self {
        let commands = [vec![command], more].concat();
        Self::first(chain, membership, (Height::GENESIS, None), time, commands)
    }

    /// The first block of a chain that goes on above the block `parent` at the height below `height`, which is of the
    /// chain before it. The first command is a [`Payload::Succession`].
    pub fn succeeding(
        chain: ChainId,
        membership: &Membership,
        (height, parent): (Height, BlockHash),
        time: Timestamp,
        commands: Vec<SealedCommand>,
    ) -> Self {
        Self::first(chain, membership, (height, Some(parent)), time, commands)
    }

    fn first(
        chain: ChainId,
        membership: &Membership,
        (height, parent): (Height, Option<BlockHash>),
        time: Timestamp,
        commands: Vec<SealedCommand>,
    ) -> Self {
        let first = membership
            .voters()
            .first()
            .expect("a membership is never empty")
            .id;
        Self::new(Draft {
            chain,
            height,
            parent,
            membership: membership.hash(),
            proposer: Turn {
                node: first,
                boot: Boot(0),
            },
            time,
            hint: Some(Turn {
                node: first,
                boot: Boot(1),
            }),
            commands,
        })
    }

    /// The membership that the first block of a chain founds; nothing if this is not a well-formed one: a genesis at
    /// height 0, or a succession right above the block that it names.
    pub fn founded_membership(&self) -> Option<Membership> {
        let command: Command = self.entries.first()?.sealed()?.open().ok()?;
        let voters = match command.payload {
            Payload::Genesis { voters, .. }
                if self.height() == Height::GENESIS && self.header.parent.is_none() =>
            {
                voters
            }
            Payload::Succession {
                voters,
                predecessor,
            } if self.succeeds(&predecessor) => voters,
            _ => return None,
        };
        Membership::new(voters).filter(|membership| membership.hash() == self.header.membership)
    }

    fn succeeds(&self, predecessor: &Predecessor) -> bool {
        self.header.parent == Some(predecessor.hash)
            && self.height().previous() == Some(predecessor.height)
            && self.header.chain != predecessor.chain
    }

    /// What the chain of this first block goes on from; nothing if it begins at height 0, or this is no first block.
    pub fn predecessor(&self) -> Option<Predecessor> {
        let command: Command = self.entries.first()?.sealed()?.open().ok()?;
        match command.payload {
            Payload::Succession { predecessor, .. } if self.succeeds(&predecessor) => {
                Some(Predecessor::clone(&predecessor))
            }
            _ => None,
        }
    }

    /// The hashed part.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The block's name.
    pub fn hash(&self) -> BlockHash {
        self.hash
    }

    /// The block's place.
    pub fn height(&self) -> Height {
        self.header.height
    }

    /// The commands in order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The same block without the bytes of some commands: `erase` gives what takes a command's place, or nothing. An
    /// entry with another leaf is not taken, so header and hash stay what they are.
    #[must_use]
    pub fn without(&self, mut erase: impl FnMut(u32, &SealedCommand) -> Option<Entry>) -> Self {
        let replaced = (0..).zip(&self.entries).map(|(index, entry)| {
            let erased = entry.sealed().and_then(|sealed| erase(index, sealed));
            erased
                .filter(|erased| erased.leaf() == entry.leaf())
                .unwrap_or_else(|| entry.clone())
        });
        Self {
            entries: replaced.collect(),
            header: self.header.clone(),
            hash: self.hash,
        }
    }

    /// Checks everything about a proposed block that does not depend on a clock or on anything else that differs
    /// between nodes: otherwise a takeover could stall.
    ///
    /// # Errors
    /// The first rule broken, as a [`BlockError`].
    pub fn check_extends(
        &self,
        tip: &Header,
        tip_hash: BlockHash,
        membership: &Membership,
    ) -> Result<(), BlockError> {
        let header = &self.header;
        if header.chain != tip.chain {
            return Err(BlockError::Chain);
        }
        if header.height != tip.height.next() || header.parent != Some(tip_hash) {
            return Err(BlockError::Parent);
        }
        if header.membership != membership.hash() {
            return Err(BlockError::Membership);
        }
        if !membership.contains(header.proposer.node) {
            return Err(BlockError::Proposer);
        }
        if header.time <= tip.time {
            return Err(BlockError::Time);
        }
        let sealed = self.entries.iter().filter_map(Entry::sealed);
        let bytes: usize = sealed.map(SealedCommand::block_bytes).sum();
        if self.entries.len() > limits::BLOCK_COMMANDS_MAX || bytes > limits::BLOCK_BYTES_MAX {
            return Err(BlockError::Size);
        }
        Ok(())
    }

    /// Checks that a block to be voted on carries all its commands.
    ///
    /// # Errors
    /// [`BlockError::Erased`] if one is missing.
    pub fn check_complete(&self) -> Result<(), BlockError> {
        let complete = self.entries.iter().all(|entry| entry.sealed().is_some());
        if complete {
            Ok(())
        } else {
            Err(BlockError::Erased)
        }
    }
}

impl fmt::Debug for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "block {} {:?} ({} commands)",
            self.height(),
            self.hash,
            self.entries.len()
        )
    }
}

impl Encode for Block {
    fn encode(&self, out: &mut Vec<u8>) {
        self.header.encode(out);
        encode_length(self.entries.len(), out);
        for entry in &self.entries {
            entry.encode(out);
        }
    }
}

impl Decode for Block {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let header = Header::decode(input)?;
        let entries: Vec<Entry> = Decode::decode(input)?;
        let leaves: Vec<LeafHash> = entries.iter().map(Entry::leaf).collect();
        if header.commands as usize != entries.len() || header.root != merkle::root(&leaves) {
            return Err(DecodeError::MerkleRoot);
        }
        Ok(Self {
            hash: header.hash(),
            header,
            entries,
        })
    }
}

/// A decided block and the proof of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    /// The block.
    pub block: Arc<Block>,
    /// The proof; genesis alone has none.
    pub certificate: Option<crate::certificate::Certificate>,
}

codec_struct!(Decided { block, certificate });
