//! Proof that a command stands in the chain, for somebody who holds neither the chain nor a connection to it.
//!
//! A verifier begins with a [`Checkpoint`] that it trusts: a block's hash and the voters who decided it, taken from the
//! genesis block or from a node at some moment. A [`Receipt`] leads from there to the block of the command. In between
//! only the blocks that changed the voters matter, and each of them is a [`Link`]: its header, certified by the voters
//! before the change, and the command that asked for it. The command itself is shown with its salt and its path in the
//! block's Merkle tree, so a receipt stays good when the command is erased from the chain.
//!
//! **A command that asks for a change of voters proves nothing by standing in a decided block**: one that does not fit
//! is refused on application and stands there all the same. So a change counts only when the next certified header names
//! the changed membership and carries the signatures of *its* quorum. That quorum holds at least one voter from before
//! the change, because one change adds at most one voter and no lone voter is replaced ([`Membership::with`](crate::Membership::with)); and a
//! voter signs only under the membership that is in force for it. Without such a voter's lie no refused change passes,
//! whatever keys its candidate holds. `docs/ledger-format.md` has the argument in full, `docs/security.md` what a receipt
//! is worth.
//!
//! [`Consistency`] shows that one block is an ancestor of another: all headers between them.
//!
//! The verifier is total on any bytes, reads each byte a bounded number of times, and checks what is cheap before it
//! checks signatures. `crates/fuzzing` attacks it.

mod build;
mod checkpoint;
mod consistency;
mod verify;

use crate::block::{Block, Header};
use crate::certificate::Certificate;
use crate::codec::{Decode, DecodeError, Encode, Reader};
use crate::codec_struct;
use crate::command::SealedCommand;
use crate::id::{BlockHash, Height, MerkleRoot};
use crate::merkle;

pub use build::{BuildError, Source};
pub use checkpoint::Checkpoint;
pub use consistency::{Consistency, STEPS_MAX, Step};
pub use verify::{Proven, ReceiptError};

/// Nothing longer is read as a receipt or as a proof of consistency: as much as thousands of changes of voters take.
pub const BYTES_MAX: usize = 8 << 20;

/// A command of a block: its place, its path in the Merkle tree, and what the leaf is the hash of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opening {
    /// Its place in the block, from 0.
    pub index: u32,
    /// The subtrees beside the way up, lowest first.
    pub path: Vec<MerkleRoot>,
    /// Salt and bytes.
    pub command: SealedCommand,
}

codec_struct!(Opening {
    index,
    path,
    command
});

impl Opening {
    /// Of the command at `index`; nothing if there is none or if it was erased.
    pub fn of(block: &Block, index: u32) -> Option<Self> {
        let place = index as usize;
        let command = block.entries().get(place)?.sealed()?.clone();
        let leaves: Vec<_> = block.entries().iter().map(crate::Entry::leaf).collect();
        let path = merkle::path(&leaves, place)?;
        Some(Self {
            index,
            path,
            command,
        })
    }

    /// Whether the command stands in the block of this header.
    fn is_in(&self, header: &Header) -> bool {
        let leaf = self.command.leaf();
        let root = merkle::root_of_path(leaf, self.index, header.commands, &self.path);
        root == Some(header.root)
    }
}

/// What stands beside the header of a block that changed the voters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// By the voters before the change.
    pub certificate: Certificate,
    /// The command that asked for it.
    pub opening: Opening,
}

codec_struct!(Change {
    certificate,
    opening
});

/// A block that changed the voters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its header.
    pub header: Header,
    /// The proof that it was decided, and the change.
    pub change: Change,
}

codec_struct!(Link { header, change });

/// Where a receipt begins: it holds every change of voters from this block on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Anchor {
    /// The height; 0 is genesis.
    pub height: Height,
    /// The block.
    pub hash: BlockHash,
}

codec_struct!(Anchor { height, hash });

/// Proof that a command stands in the chain.
///
/// It says nothing about what became of the command: like any command in a block it may have been refused on
/// application, or be the repeat of an earlier one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// Where it begins.
    pub anchor: Anchor,
    /// The blocks that changed the voters, from the anchor on and below the command's block, in order.
    pub links: Vec<Link>,
    /// The header of the command's block.
    pub header: Header,
    /// The proof that this block was decided; genesis alone has none.
    pub certificate: Option<Certificate>,
    /// The command.
    pub opening: Opening,
}

/// What every receipt begins with: a length and a name.
const LABEL: &[u8] = b"\x13starling/receipt/v1";

impl Encode for Receipt {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(LABEL);
        self.anchor.encode(out);
        self.links.encode(out);
        self.header.encode(out);
        self.certificate.encode(out);
        self.opening.encode(out);
    }
}

impl Decode for Receipt {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        expect_label(input, LABEL, "label of a receipt")?;
        Ok(Self {
            anchor: Decode::decode(input)?,
            links: Decode::decode(input)?,
            header: Decode::decode(input)?,
            certificate: Decode::decode(input)?,
            opening: Decode::decode(input)?,
        })
    }
}

impl Receipt {
    /// Reads a receipt from a file or an answer.
    ///
    /// # Errors
    /// [`ReceiptError::NotOne`] or [`ReceiptError::Malformed`].
    pub fn read(bytes: &[u8]) -> Result<Self, ReceiptError> {
        read(bytes, LABEL, "receipt")
    }
}

/// Reads what begins with `label`. Another version of the same thing is told from garbage by nobody but its reader.
fn read<T: Decode>(bytes: &[u8], label: &[u8], what: &'static str) -> Result<T, ReceiptError> {
    if bytes.len() > BYTES_MAX || !bytes.starts_with(label) {
        return Err(ReceiptError::NotOne { what });
    }
    T::from_bytes(bytes).map_err(|source| ReceiptError::Malformed { what, source })
}

pub(crate) fn expect_label(
    input: &mut Reader<'_>,
    label: &[u8],
    what: &'static str,
) -> Result<(), DecodeError> {
    let found = input.take(label.len())?;
    if found == label {
        return Ok(());
    }
    let other = found
        .iter()
        .zip(label)
        .find(|(found, label)| found != label);
    let value = other.map_or(0, |(found, _)| u64::from(*found));
    Err(DecodeError::Invalid { what, value })
}
