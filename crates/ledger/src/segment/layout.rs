//! The bytes of a segment but for the blocks: header, index, summary, trailer. Described for readers in other languages
//! in `docs/ledger-format.md`, section 9.

use std::io;

use model::codec::{Decode, DecodeError, Encode, Reader};
use model::{BlockHash, Certificate, ChainId, Height, Membership, Roster, Timestamp, codec_struct};

use super::{SegmentError, SegmentName};
use crate::format::crc;

/// Bytes of the header.
pub(crate) const HEADER: usize = 64;
/// Bytes of an entry of the index.
pub(crate) const ENTRY: usize = 64;
/// Bytes of the trailer.
pub(crate) const TRAILER: usize = 32;

const MAGIC: [u8; 8] = *b"starsegm";
const END_MAGIC: [u8; 8] = *b"starfoot";
const VERSION: u32 = 1;
const SUM: usize = 4;

/// What stands at the beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) chain: ChainId,
    pub(crate) from: Height,
    pub(crate) to: Height,
}

impl Header {
    pub(crate) fn to_bytes(self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER);
        MAGIC.encode(&mut out);
        VERSION.encode(&mut out);
        [0_u8; 4].encode(&mut out);
        self.chain.encode(&mut out);
        (self.from, self.to).encode(&mut out);
        out.resize(HEADER - SUM, 0);
        sealed(out)
    }

    fn parse(bytes: &[u8]) -> Result<Self, SegmentError> {
        let damaged = |_| SegmentError::Damaged("its header is damaged");
        Self::fields(unsealed(bytes).map_err(damaged)?).map_err(damaged)?
    }

    fn fields(bytes: &[u8]) -> Result<Result<Self, SegmentError>, DecodeError> {
        let mut input = Reader::new(bytes);
        let magic: [u8; 8] = Decode::decode(&mut input)?;
        let version = u32::decode(&mut input)?;
        if magic == MAGIC && version != VERSION {
            return Ok(Err(SegmentError::Version(version)));
        }
        let zeros: [u8; 4] = Decode::decode(&mut input)?;
        let chain = Decode::decode(&mut input)?;
        let (from, to) = Decode::decode(&mut input)?;
        let rest: [u8; 12] = Decode::decode(&mut input)?;
        if (magic, zeros, rest) != (MAGIC, [0; 4], [0; 12]) {
            return Err(DecodeError::Truncated);
        }
        Ok(Ok(Self { chain, from, to }))
    }
}

/// Where a block is, and what it is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IndexEntry {
    pub(crate) hash: BlockHash,
    pub(crate) time: Timestamp,
    /// Of the block; its certificate is directly behind it.
    pub(crate) offset: u32,
    pub(crate) block: Piece,
    pub(crate) certificate: Piece,
}

/// Length and checksum of a run of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) length: u32,
    pub(crate) crc: u32,
}

codec_struct!(Piece { length, crc });
codec_struct!(IndexEntry {
    hash,
    time,
    offset,
    block,
    certificate
});

impl Piece {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self {
            length: narrow(bytes.len()),
            crc: crc(&[bytes]),
        }
    }

    /// Whether these bytes are the ones meant.
    pub(crate) fn is(self, bytes: &[u8]) -> bool {
        bytes.len() == self.length as usize && crc(&[bytes]) == self.crc
    }
}

impl IndexEntry {
    /// The 64 bytes of a height's entry.
    pub(crate) fn seal(&self, height: Height) -> Vec<u8> {
        let mut out = self.to_bytes();
        crc(&[&height.to_bytes(), &out]).encode(&mut out);
        out
    }

    /// Reads the entry of a height; nothing if it is damaged or another height's.
    pub(crate) fn open(height: Height, bytes: &[u8]) -> Option<Self> {
        let (fields, sum) = bytes.split_at_checked(ENTRY - SUM)?;
        let intact = u32::from_bytes(sum) == Ok(crc(&[&height.to_bytes(), fields]));
        Self::from_bytes(fields).ok().filter(|_| intact)
    }

    /// Block and certificate together.
    pub(crate) fn length(&self) -> usize {
        self.block.length as usize + self.certificate.length as usize
    }
}

/// What a segment says of itself, so that nobody need read its blocks to go on above them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Summary {
    pub(crate) parent: BlockHash,
    pub(crate) head: BlockHash,
    pub(crate) first: Timestamp,
    pub(crate) last: Timestamp,
    /// The blocks in it that change the roster.
    pub(crate) changes: Vec<Height>,
    /// Who decide its last block.
    pub(crate) voters: Membership,
    /// In force above its last block.
    pub(crate) roster: Roster,
    /// Of its last block.
    pub(crate) certificate: Certificate,
}

codec_struct!(Summary {
    parent,
    head,
    first,
    last,
    changes,
    voters,
    roster,
    certificate
});

/// Header and trailer and what they lead to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) header: Header,
    /// Where the index begins.
    pub(crate) index: u64,
    pub(crate) summary: Summary,
}

impl Frame {
    /// Everything behind the blocks.
    pub(crate) fn end(header: Header, index: &[u8], at: usize, summary: &Summary) -> Vec<u8> {
        let mut out = index.to_vec();
        let summary = summary.to_bytes();
        out.extend_from_slice(&summary);
        let mut trailer = Vec::with_capacity(TRAILER);
        (at as u64).encode(&mut trailer);
        let piece = Piece::of(&summary);
        piece.encode(&mut trailer);
        [0_u8; 4].encode(&mut trailer);
        END_MAGIC.encode(&mut trailer);
        crc(&[&header.to_bytes(), &trailer]).encode(&mut trailer);
        out.extend_from_slice(&trailer);
        out
    }

    /// Reads the frame of a file of `length` bytes, of which `fetch` gives the bytes at an offset.
    pub(crate) fn read(
        length: u64,
        mut fetch: impl FnMut(u64, usize) -> io::Result<Vec<u8>>,
    ) -> Result<Self, SegmentError> {
        let Some(trailer_at) = length
            .checked_sub(TRAILER as u64)
            .filter(|at| *at >= HEADER as u64)
        else {
            return Err(SegmentError::Damaged("it is cut short"));
        };
        let head = fetch(0, HEADER)?;
        let header = Header::parse(&head)?;
        let (index, summary) = parse_trailer(&head, &fetch(trailer_at, TRAILER)?)
            .ok_or(SegmentError::Damaged("its trailer is damaged"))?;
        let blocks = header.to.0.checked_sub(header.from.0);
        let entries = blocks.and_then(|blocks| blocks.checked_add(1)?.checked_mul(ENTRY as u64));
        let summary_at = entries.and_then(|entries| index.checked_add(entries));
        let end = summary_at.and_then(|at| at.checked_add(summary.length.into()));
        let Some(summary_at) = summary_at.filter(|_| end == Some(trailer_at)) else {
            return Err(SegmentError::Damaged("it is not as long as its index says"));
        };
        if index < HEADER as u64 {
            return Err(SegmentError::Damaged("its index begins in its header"));
        }
        let bytes = fetch(summary_at, summary.length as usize)?;
        if !summary.is(&bytes) {
            return Err(SegmentError::Damaged("its summary is damaged"));
        }
        let summary = Summary::from_bytes(&bytes)
            .map_err(|_| SegmentError::Damaged("its summary is malformed"))?;
        let frame = Self {
            header,
            index,
            summary,
        };
        frame.check()?;
        Ok(frame)
    }

    /// Whether what it says fits together.
    fn check(&self) -> Result<(), SegmentError> {
        let Summary {
            changes,
            certificate,
            ..
        } = &self.summary;
        let inside = self.header.from..=self.header.to;
        let ascending = changes.is_sorted_by(|a, b| a < b);
        let changed = changes.last() == Some(&self.header.to);
        let kept = changed || self.summary.voters == *self.summary.roster.voters();
        let proved = (certificate.height, certificate.hash) == (self.header.to, self.summary.head);
        if !ascending || !changes.iter().all(|at| inside.contains(at)) || !kept || !proved {
            return Err(SegmentError::Damaged("its summary contradicts itself"));
        }
        Ok(())
    }

    /// Whether the file of this name, of this chain, may say what this one says.
    pub(crate) fn is(&self, name: SegmentName, chain: ChainId) -> Result<(), SegmentError> {
        let Header { from, to, .. } = self.header;
        if self.header.chain != chain {
            return Err(SegmentError::Foreign(self.header.chain));
        }
        if Some(name) != SegmentName::new(from, to, self.summary.head) {
            return Err(SegmentError::Damaged("it is not the segment of its name"));
        }
        Ok(())
    }

    /// Where a height's entry is.
    pub(crate) fn entry_at(&self, height: Height) -> u64 {
        self.index + (height.0 - self.header.from.0) * ENTRY as u64
    }
}

fn parse_trailer(header: &[u8], trailer: &[u8]) -> Option<(u64, Piece)> {
    let (fields, sum) = trailer.split_at_checked(TRAILER - SUM)?;
    if u32::from_bytes(sum) != Ok(crc(&[header, fields])) {
        return None;
    }
    let mut input = Reader::new(fields);
    let index = u64::decode(&mut input).ok()?;
    let summary = Piece::decode(&mut input).ok()?;
    let zeros = <[u8; 4]>::decode(&mut input).ok()?;
    let magic = <[u8; 8]>::decode(&mut input).ok()?;
    (zeros == [0; 4] && magic == END_MAGIC).then_some((index, summary))
}

/// Appends the checksum.
fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    crc(&[&bytes]).encode(&mut bytes);
    bytes
}

/// What the checksum at the end covers, if it is right.
fn unsealed(bytes: &[u8]) -> Result<&[u8], DecodeError> {
    let at = bytes.len().checked_sub(SUM).ok_or(DecodeError::Truncated)?;
    let (fields, sum) = bytes.split_at_checked(at).ok_or(DecodeError::Truncated)?;
    if u32::from_bytes(sum)? == crc(&[fields]) {
        Ok(fields)
    } else {
        Err(DecodeError::Truncated)
    }
}

pub(crate) fn narrow(value: usize) -> u32 {
    u32::try_from(value).expect("a segment is far shorter than 4 GiB")
}
