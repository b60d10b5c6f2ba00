//! Reading a segment that somebody else may have made.

use std::io;
use std::sync::Arc;

use model::codec::Decode as _;
use model::{Block, Certificate, ChainId, Decided, Height, Signatures};

use super::layout::{ENTRY, Frame, HEADER, IndexEntry};
use super::links::{Below, Links};
use super::{SegmentError, SegmentName};

/// What a segment proved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// Its name.
    pub name: SegmentName,
    /// What is known of the chain up to its last block: what the segment above it is checked against.
    pub top: Below,
    /// How many commands it holds.
    pub commands: u64,
}

/// Checks all of a segment: every checksum, link, Merkle root and certificate, and that what it says of itself is what
/// its blocks say. Nothing of it is believed; `below` is.
///
/// # Errors
/// The first fault, as a [`SegmentError`].
pub fn check(
    bytes: &[u8],
    name: SegmentName,
    below: &Below,
    signatures: &dyn Signatures,
) -> Result<Checked, SegmentError> {
    let mut contents = Contents::open(bytes)?;
    contents.frame.is(name, below.chain)?;
    let mut links = Links::above(below.clone());
    let mut commands = 0;
    for decided in &mut contents {
        let decided = decided?;
        links.push(&decided)?;
        links.verify(signatures)?;
        commands += u64::from(decided.block.header().commands);
    }
    if links.summary().as_ref() != Some(&contents.frame.summary) {
        return Err(SegmentError::Damaged(
            "its summary is not what its blocks say",
        ));
    }
    Ok(Checked {
        name,
        top: links.below,
        commands,
    })
}

/// The blocks of a segment, in order, each with its certificate. What they are is checked against the index, whether
/// they belong to a chain is not: that is [`check`]'s business.
///
/// # Errors
/// A [`SegmentError`] if the bytes are not a segment.
pub fn blocks(bytes: &[u8]) -> Result<Contents<'_>, SegmentError> {
    Contents::open(bytes)
}

/// A segment in memory, read block by block. Goes on behind a fault.
#[derive(Debug, Clone)]
pub struct Contents<'a> {
    bytes: &'a [u8],
    pub(crate) frame: Frame,
    next: Option<Height>,
    /// Where the next block must begin; not known behind a damaged entry.
    at: Option<usize>,
}

impl<'a> Contents<'a> {
    pub(crate) fn open(bytes: &'a [u8]) -> Result<Self, SegmentError> {
        let frame = Frame::read(bytes.len() as u64, |offset, length| {
            let part = usize::try_from(offset).ok().and_then(|at| {
                let end = at.checked_add(length)?;
                bytes.get(at..end)
            });
            part.map(<[u8]>::to_vec)
                .ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
        })?;
        Ok(Self {
            bytes,
            next: Some(frame.header.from),
            frame,
            at: Some(HEADER),
        })
    }

    /// The chain it says it belongs to.
    pub fn chain(&self) -> ChainId {
        self.frame.header.chain
    }

    /// What it calls itself.
    pub fn name(&self) -> Option<SegmentName> {
        let header = self.frame.header;
        SegmentName::new(header.from, header.to, self.frame.summary.head)
    }

    fn read(&mut self, height: Height) -> Result<Decided, SegmentError> {
        let wrong = |what| SegmentError::Block { height, what };
        let expected = self.at.take();
        let index = usize::try_from(self.frame.entry_at(height)).unwrap_or(usize::MAX);
        let entry = self.bytes.get(index..index.saturating_add(ENTRY));
        let entry = entry
            .and_then(|bytes| IndexEntry::open(height, bytes))
            .ok_or_else(|| wrong("its entry in the index is damaged"))?;
        let begin = entry.offset as usize;
        let end = begin + entry.length();
        let last = height == self.frame.header.to;
        let fills = !last || end as u64 == self.frame.index;
        let fits = expected.is_none_or(|at| at == begin) && begin >= HEADER;
        if !fits || !fills || end as u64 > self.frame.index {
            return Err(wrong("it is not where it should be"));
        }
        let bytes = self.bytes.get(begin..end).unwrap_or_default();
        self.at = Some(end);
        let decided = open(height, &entry, bytes).map_err(wrong)?;
        if last && decided.certificate.as_ref() != Some(&self.frame.summary.certificate) {
            return Err(wrong("its certificate is not the one in the summary"));
        }
        Ok(decided)
    }
}

impl Iterator for Contents<'_> {
    type Item = Result<Decided, SegmentError>;

    fn next(&mut self) -> Option<Self::Item> {
        let height = self.next.take()?;
        if height < self.frame.header.to {
            self.next = Some(height.next());
        }
        Some(self.read(height))
    }
}

/// A block and its certificate, if these bytes are the ones that the entry means.
pub(crate) fn open(
    height: Height,
    entry: &IndexEntry,
    bytes: &[u8],
) -> Result<Decided, &'static str> {
    let parts = bytes.split_at_checked(entry.block.length as usize);
    let (block, certificate) = parts.ok_or("it is cut short")?;
    if !entry.block.is(block) {
        return Err("its checksum does not match");
    }
    if !entry.certificate.is(certificate) {
        return Err("its certificate's checksum does not match");
    }
    let block = Block::from_bytes(block).map_err(|error| match error {
        model::DecodeError::MerkleRoot => "its Merkle root does not match",
        _ => "it is malformed",
    })?;
    let certificate =
        Certificate::from_bytes(certificate).map_err(|_| "its certificate is malformed")?;
    let named = (block.hash(), block.height(), block.header().time);
    if named != (entry.hash, height, entry.time) {
        return Err("it is another block");
    }
    if (certificate.height, certificate.hash) != (height, entry.hash) {
        return Err("its certificate is of another block");
    }
    Ok(Decided {
        block: Arc::new(block),
        certificate: Some(certificate),
    })
}
