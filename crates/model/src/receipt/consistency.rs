//! Proof that history was only appended to.
//!
//! A header names its parent by its hash, so a block's ancestors are shown by showing all headers in between. That is
//! linear in the distance, at some 220 bytes a block: a logarithmic proof needs a tree over the blocks whose root every
//! header carries, which this chain does not have. It is checked piece by piece, each beginning at the checkpoint that
//! the one before has proven, so neither side ever holds more than a piece.

use super::verify::Walk;
use super::{Change, Checkpoint, ReceiptError, expect_label, read};
use crate::block::Header;
use crate::certificate::Certificate;
use crate::codec::{Decode, DecodeError, Encode, Reader};
use crate::codec_struct;
use crate::id::Height;
use crate::signature::Signatures;

/// How many blocks one piece goes up at most.
pub const STEPS_MAX: usize = 1000;

/// One block up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The change of voters in the block below, if there was one.
    pub change: Option<Change>,
    /// The header.
    pub header: Header,
}

codec_struct!(Step { change, header });

/// All headers from one block to a later one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consistency {
    /// The header of the block it begins at.
    pub base: Header,
    /// The blocks above it, in order.
    pub steps: Vec<Step>,
    /// The proof that the last of them was decided; none if there are none.
    pub certificate: Option<Certificate>,
}

/// What every such proof begins with: a length and a name.
const LABEL: &[u8] = b"\x17starling/consistency/v1";

impl Encode for Consistency {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(LABEL);
        self.base.encode(out);
        self.steps.encode(out);
        self.certificate.encode(out);
    }
}

impl Decode for Consistency {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        expect_label(input, LABEL, "label of a proof of consistency")?;
        Ok(Self {
            base: Decode::decode(input)?,
            steps: Decode::decode(input)?,
            certificate: Decode::decode(input)?,
        })
    }
}

impl Consistency {
    /// Reads a proof from a file or an answer.
    ///
    /// # Errors
    /// [`ReceiptError::NotOne`] or [`ReceiptError::Malformed`].
    pub fn read(bytes: &[u8]) -> Result<Self, ReceiptError> {
        read(bytes, LABEL, "proof of consistency")
    }

    /// The height it leads to.
    pub fn height(&self) -> Height {
        let last = self.steps.last().map_or(&self.base, |step| &step.header);
        last.height
    }

    /// Checks that it leads from `trust` upwards without a gap, and gives the block at its end as a new beginning.
    ///
    /// Every change of voters is certified like a [`Link`](super::Link); the headers between need no certificate, since
    /// a later one fixes them by their hashes.
    ///
    /// # Errors
    /// The first fault found, as a [`ReceiptError`].
    pub fn verify(
        &self,
        trust: &Checkpoint,
        signatures: &dyn Signatures,
    ) -> Result<Checkpoint, ReceiptError> {
        let mut walk = Walk::new(trust, signatures);
        let (mut below, mut hash) = (&self.base, self.base.hash());
        if below.height != trust.height || hash != trust.hash {
            let height = below.height;
            return Err(ReceiptError::OtherBlock { height });
        }
        for Step { change, header } in &self.steps {
            if let Some(change) = change {
                walk.pass(below, hash, change)?;
            }
            if header.height != below.height.next() || header.parent != Some(hash) {
                let height = header.height;
                return Err(ReceiptError::Broken { height });
            }
            (below, hash) = (header, header.hash());
            walk.belongs(below, hash)?;
        }
        let height = below.height;
        match &self.certificate {
            Some(certificate) => walk.decided(below, hash, certificate)?,
            None if self.steps.is_empty() => {}
            None => return Err(ReceiptError::Uncertified { height }),
        }
        Ok(Checkpoint {
            chain: trust.chain,
            height,
            hash,
            epoch: walk.epoch,
            voters: walk.voters,
        })
    }
}
