//! Making a segment.

use model::codec::Encode as _;
use model::{Decided, Height};

use super::layout::{Frame, HEADER, Header, IndexEntry, Piece, narrow};
use super::links::{Below, Links};
use super::{SegmentError, SegmentName};

/// Collects the blocks of a segment, one after the other.
pub(crate) struct Builder {
    links: Links,
    from: Height,
    bytes: Vec<u8>,
    index: Vec<u8>,
}

impl Builder {
    /// Of the blocks above this one.
    pub(crate) fn above(below: Below) -> Self {
        Self {
            from: below.height.next(),
            links: Links::above(below),
            bytes: vec![0; HEADER],
            index: Vec::new(),
        }
    }

    /// The height of the next block.
    pub(crate) fn next(&self) -> Height {
        self.links.below.height.next()
    }

    /// What is known of the chain up to the last block taken.
    pub(crate) fn below(&self) -> &Below {
        &self.links.below
    }

    /// How many bytes the blocks taken are.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Takes the next block.
    pub(crate) fn push(&mut self, decided: &Decided) -> Result<(), SegmentError> {
        self.links.push(decided)?;
        let height = decided.block.height();
        let block = decided.block.to_bytes();
        let certificate = decided.certificate.as_ref();
        let certificate = certificate.map(|certificate| certificate.to_bytes());
        let certificate = certificate.unwrap_or_default();
        let entry = IndexEntry {
            hash: decided.block.hash(),
            time: decided.block.header().time,
            offset: narrow(self.bytes.len()),
            block: Piece::of(&block),
            certificate: Piece::of(&certificate),
        };
        self.bytes.extend_from_slice(&block);
        self.bytes.extend_from_slice(&certificate);
        self.index.extend_from_slice(&entry.seal(height));
        Ok(())
    }

    /// The whole file; nothing if no block was taken.
    pub(crate) fn finish(mut self) -> Option<(SegmentName, Vec<u8>)> {
        let summary = self.links.summary()?;
        let header = Header {
            chain: self.links.below.chain,
            from: self.from,
            to: self.links.below.height,
        };
        let name = SegmentName::new(header.from, header.to, summary.head)?;
        let end = Frame::end(header, &self.index, self.bytes.len(), &summary);
        self.bytes.extend_from_slice(&end);
        let head = header.to_bytes();
        self.bytes.splice(..head.len(), head);
        Some((name, self.bytes))
    }
}

/// A segment of these blocks, which must follow one another above `below`; nothing if there are none.
///
/// # Errors
/// A [`SegmentError`] if one of them does not fit.
pub fn build<'a>(
    below: Below,
    blocks: impl IntoIterator<Item = &'a Decided>,
) -> Result<Option<(SegmentName, Vec<u8>)>, SegmentError> {
    let mut builder = Builder::above(below);
    for decided in blocks {
        builder.push(decided)?;
    }
    Ok(builder.finish())
}
