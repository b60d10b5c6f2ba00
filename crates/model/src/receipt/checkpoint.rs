//! What a verifier trusts to begin with.

use super::{ReceiptError, expect_label, read};
use crate::block::Block;
use crate::codec::{Decode, DecodeError, Encode, Reader};
use crate::id::{BlockHash, ChainId, Height};
use crate::membership::Membership;

/// A block and the voters who decided it.
///
/// It is believed, not checked, so it has to come from somebody who is believed: an own node, or the genesis block that
/// the cluster's founder gave out. It names the voters who decided the block and not those above it, because a header
/// names them too: so every block whose header is proven gives a new checkpoint, and a change of voters in the block
/// itself needs no special case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The chain.
    pub chain: ChainId,
    /// The block's height.
    pub height: Height,
    /// The block.
    pub hash: BlockHash,
    /// The height of the block that made its voters, below `height`; 0 for those of the chain's first block.
    pub epoch: Height,
    /// Who decided it; for genesis, whom it founds.
    pub voters: Membership,
}

/// What every checkpoint begins with: a length and a name.
const LABEL: &[u8] = b"\x16starling/checkpoint/v1";

impl Checkpoint {
    /// At the beginning of a chain; nothing if this is not a well-formed first block. What is below the first block of a
    /// successor is of another chain, and takes another checkpoint.
    pub fn of_genesis(block: &Block) -> Option<Self> {
        Some(Self {
            voters: block.founded_membership()?,
            chain: block.header().chain,
            height: block.height(),
            hash: block.hash(),
            epoch: Height::GENESIS,
        })
    }

    /// Reads a checkpoint from a file or an answer.
    ///
    /// # Errors
    /// [`ReceiptError::NotOne`] or [`ReceiptError::Malformed`].
    pub fn read(bytes: &[u8]) -> Result<Self, ReceiptError> {
        read(bytes, LABEL, "checkpoint")
    }
}

impl Encode for Checkpoint {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(LABEL);
        self.chain.encode(out);
        self.height.encode(out);
        self.hash.encode(out);
        self.epoch.encode(out);
        self.voters.encode(out);
    }
}

impl Decode for Checkpoint {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        expect_label(input, LABEL, "label of a checkpoint")?;
        let checkpoint = Self {
            chain: Decode::decode(input)?,
            height: Decode::decode(input)?,
            hash: Decode::decode(input)?,
            epoch: Decode::decode(input)?,
            voters: Decode::decode(input)?,
        };
        let Height(epoch) = checkpoint.epoch;
        if epoch > 0 && checkpoint.epoch >= checkpoint.height {
            return Err(DecodeError::Invalid {
                what: "epoch of a checkpoint",
                value: epoch,
            });
        }
        Ok(checkpoint)
    }
}
