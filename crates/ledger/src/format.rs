//! The bytes of a log file, described for readers in other languages in `docs/ledger-format.md`.
//!
//! A file starts with its header, twice, in two sectors; records follow. A record has a *head* (fixed fields and a
//! short *meta* part) and a *body*, the encoding of a block or nothing. Heads of votes and starts are written twice, in
//! different sectors, because a lost vote can fork the cluster.
//!
//! The checksum of a head is seeded with the nonce of the incarnation that wrote it, which no client knows: bytes that
//! a client chose can never pass for a record.

use model::codec::{Decode, DecodeError, Encode, Reader};
use model::{BlockHash, Boot, ChainId, Height, Nonce};

/// What a disk may lose or garble as a whole.
pub(crate) const SECTOR: u64 = 4096;
/// What a disk writes as a whole.
pub(crate) const ATOM: u64 = 512;
/// Bytes of a file header.
pub(crate) const FILE_HEADER: usize = 128;
/// Bytes of the part of it that every version has, and all of one of version 1.
const FILE_HEADER_V1: usize = 64;
/// A file that is shorter holds no record, whatever its version.
pub(crate) const FILE_MIN: u64 = SECTOR + FILE_HEADER_V1 as u64;
/// Where the first record of a new file begins: behind the second copy of the header.
pub(crate) const FIRST_RECORD: u64 = SECTOR + FILE_HEADER as u64;
/// Bytes of a head before its meta part.
pub(crate) const HEAD: usize = 48;
/// Room for each copy of a doubled head.
pub(crate) const DOUBLED_ROOM: u64 = 256;
/// A head's meta part is at most this long: a certificate of 15 voters takes 1,054 bytes.
pub(crate) const META_MAX: usize = 2048;
/// A body is at most this long: a full block, or one whose erased commands left their leaves.
pub(crate) const BODY_MAX: usize = 2 << 20;
/// A new file is begun once one is this long.
pub(crate) const FILE_BYTES: u64 = 64 << 20;
/// The last number that has eight digits. Longer names are not those of log files.
const FILE_NUMBER_MAX: u32 = 99_999_999;
/// Between the copies of what is doubled. Not zero, so that zeros always mean "never written".
pub(crate) const FILLER: u8 = 0xff;

const FILE_MAGIC: [u8; 8] = *b"starling";
const VERSION: u32 = 2;
/// First bytes of every head.
pub(crate) const RECORD_MAGIC: [u8; 4] = *b"STRL";

/// CRC-32/ISO-HDLC (the one of zlib and PNG: polynomial 0x04C11DB7 reflected, initial value and final xor 0xFFFFFFFF).
pub(crate) fn crc(parts: &[&[u8]]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize()
}

/// The name of file `number`; names sort as numbers do.
pub(crate) fn file_name(number: u32) -> String {
    format!("{number:08}.log")
}

/// The number of a log file; nothing for the name of any other file.
pub(crate) fn file_number(name: &str) -> Option<u32> {
    let digits = name.strip_suffix(".log")?;
    let number = digits.parse().ok()?;
    (number <= FILE_NUMBER_MAX && file_name(number) == name).then_some(number)
}

/// The first multiple of [`SECTOR`] at or above `offset`.
pub(crate) fn next_sector(offset: u64) -> u64 {
    offset.next_multiple_of(SECTOR)
}

/// Where the second copy of a doubled head is, whose record begins at `offset`.
pub(crate) fn second_copy(offset: u64) -> u64 {
    next_sector(offset + DOUBLED_ROOM)
}

/// What stands at the beginning of every file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileHeader {
    /// The file's own number, as in its name.
    pub(crate) number: u32,
    /// The chain.
    pub(crate) chain: ChainId,
    /// Of the incarnation that writes it; zero in the genesis file.
    pub(crate) nonce: Nonce,
    /// What was known when it was begun; files of version 1 do not say it.
    pub(crate) origin: Option<Origin>,
}

/// What was known when a file was begun: enough to read the log from there on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Origin {
    /// The number of the file's first record.
    pub(crate) number: u64,
    /// The head checksum of the record before it.
    pub(crate) link: u32,
    /// Of the incarnation that writes the file.
    pub(crate) boot: Boot,
    /// The highest height known to be decided.
    pub(crate) floor: Height,
    /// The last decided block.
    pub(crate) tip: (Height, BlockHash),
}

impl Origin {
    /// Of the genesis file.
    pub(crate) const NONE: Self = Self {
        number: 0,
        link: 0,
        boot: Boot(0),
        floor: Height::GENESIS,
        tip: (Height::GENESIS, BlockHash([0; 32])),
    };
}

/// Why bytes are not a file header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HeaderFault {
    /// Not one, or damaged.
    Damaged,
    /// Intact, of a version this program does not know.
    Version(u32),
}

impl FileHeader {
    /// How many bytes it takes.
    pub(crate) fn length(&self) -> usize {
        if self.origin.is_some() {
            FILE_HEADER
        } else {
            FILE_HEADER_V1
        }
    }

    /// Where its file's first record begins.
    pub(crate) fn first_record(&self) -> u64 {
        SECTOR + self.length() as u64
    }

    /// The bytes of one copy.
    pub(crate) fn to_bytes(self) -> Vec<u8> {
        let mut out = Vec::with_capacity(FILE_HEADER);
        FILE_MAGIC.encode(&mut out);
        let version = if self.origin.is_some() { VERSION } else { 1 };
        version.encode(&mut out);
        self.number.encode(&mut out);
        self.chain.encode(&mut out);
        self.nonce.encode(&mut out);
        let Some(origin) = self.origin else {
            out.resize(FILE_HEADER_V1 - 4, 0);
            crc(&[&out]).encode(&mut out);
            return out;
        };
        origin.number.encode(&mut out);
        origin.link.encode(&mut out);
        crc(&[&out]).encode(&mut out);
        origin.boot.encode(&mut out);
        origin.floor.encode(&mut out);
        origin.tip.encode(&mut out);
        out.resize(FILE_HEADER - 4, 0);
        crc(&[&out]).encode(&mut out);
        out
    }

    /// The beginning of a file up to its first record.
    pub(crate) fn preamble(self) -> Vec<u8> {
        let header = self.to_bytes();
        let mut out = header.clone();
        out.resize(SECTOR as usize, FILLER);
        out.extend_from_slice(&header);
        out
    }

    /// Reads one copy, from bytes that may be longer than it.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, HeaderFault> {
        let fields = checked(bytes, FILE_HEADER_V1).ok_or(HeaderFault::Damaged)?;
        Self::fields(&mut Reader::new(fields), bytes).map_err(|_| HeaderFault::Damaged)?
    }

    fn fields(
        input: &mut Reader<'_>,
        bytes: &[u8],
    ) -> Result<Result<Self, HeaderFault>, DecodeError> {
        if <[u8; 8]>::decode(input)? != FILE_MAGIC {
            return Ok(Err(HeaderFault::Damaged));
        }
        let version = u32::decode(input)?;
        let number = Decode::decode(input)?;
        let chain = Decode::decode(input)?;
        let nonce = Decode::decode(input)?;
        let origin = match version {
            1 => None,
            VERSION => {
                let Some(rest) = checked(bytes, FILE_HEADER) else {
                    return Ok(Err(HeaderFault::Damaged));
                };
                let (number, link) = Decode::decode(input)?;
                let mut rest = Reader::new(rest.get(FILE_HEADER_V1..).unwrap_or_default());
                let (boot, floor) = Decode::decode(&mut rest)?;
                let tip = Decode::decode(&mut rest)?;
                Some(Origin {
                    number,
                    link,
                    boot,
                    floor,
                    tip,
                })
            }
            other => return Ok(Err(HeaderFault::Version(other))),
        };
        Ok(Ok(Self {
            number,
            chain,
            nonce,
            origin,
        }))
    }
}

/// The first bytes of `bytes`, if the last four of these are the checksum of the others.
fn checked(bytes: &[u8], length: usize) -> Option<&[u8]> {
    let (fields, sum) = bytes.get(..length)?.split_at_checked(length - 4)?;
    (u32::from_bytes(sum) == Ok(crc(&[fields]))).then_some(fields)
}

/// What a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Genesis,
    Start,
    Vote,
    Decided,
}

impl Kind {
    fn tag(self) -> u8 {
        match self {
            Self::Genesis => 0,
            Self::Start => 1,
            Self::Vote => 2,
            Self::Decided => 3,
        }
    }

    fn of(tag: u8) -> Option<Self> {
        [Self::Genesis, Self::Start, Self::Vote, Self::Decided]
            .into_iter()
            .find(|kind| kind.tag() == tag)
    }

    /// Whether the head is written twice.
    pub(crate) fn doubled(self) -> bool {
        matches!(self, Self::Start | Self::Vote)
    }

    /// What the first bytes of a damaged head claim to be. Good enough for an error message, for nothing else.
    pub(crate) fn claimed(bytes: &[u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(&RECORD_MAGIC)?;
        Self::of(*rest.first()?)
    }
}

/// The head of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    /// What it is.
    pub(crate) kind: Kind,
    /// Its place in the whole log, over all files, from 0.
    pub(crate) number: u64,
    /// All records with lower numbers than this were known to be flushed when this one was written.
    pub(crate) flushed: u64,
    /// Where in its file the record begins.
    pub(crate) offset: u32,
    /// The head checksum of the record before it; 0 for the first.
    pub(crate) link: u32,
    /// What it says.
    pub(crate) meta: Vec<u8>,
    /// Length of the body.
    pub(crate) body_length: u32,
    /// Checksum of the body.
    pub(crate) body_crc: u32,
}

impl Head {
    /// The bytes of one copy, for a file with this header.
    pub(crate) fn to_bytes(&self, file: &FileHeader) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEAD + self.meta.len());
        RECORD_MAGIC.encode(&mut out);
        self.kind.tag().encode(&mut out);
        [0_u8; 3].encode(&mut out);
        self.number.encode(&mut out);
        self.flushed.encode(&mut out);
        self.offset.encode(&mut out);
        self.link.encode(&mut out);
        u32::try_from(self.meta.len())
            .expect("meta parts are short")
            .encode(&mut out);
        self.body_length.encode(&mut out);
        self.body_crc.encode(&mut out);
        self.crc(&out, file).encode(&mut out);
        out.extend_from_slice(&self.meta);
        out
    }

    /// Whether this head, read at `at`, is one of the copies that its record has.
    pub(crate) fn is_at(&self, at: u64) -> bool {
        let offset = u64::from(self.offset);
        offset == at || (self.kind.doubled() && second_copy(offset) == at)
    }

    /// The checksum, which the next record's `link` repeats.
    pub(crate) fn link_for_next(&self, file: &FileHeader) -> u32 {
        let bytes = self.to_bytes(file);
        let sum = bytes.get(HEAD - 4..HEAD).unwrap_or_default();
        u32::from_bytes(sum).expect("a head is longer than its checksum")
    }

    fn crc(&self, fields: &[u8], file: &FileHeader) -> u32 {
        crc(&[
            &file.nonce.0,
            &file.number.to_be_bytes(),
            fields,
            &self.meta,
        ])
    }

    /// How many bytes the head whose fixed part begins `bytes` takes; nothing if this cannot be one.
    pub(crate) fn length(bytes: &[u8]) -> Option<usize> {
        let rest = bytes.strip_prefix(&RECORD_MAGIC)?;
        let meta = u32::from_bytes(rest.get(28..32)?).ok()? as usize;
        (meta <= META_MAX).then_some(HEAD + meta)
    }

    /// Reads one copy; nothing if it is damaged.
    pub(crate) fn parse(bytes: &[u8], file: &FileHeader) -> Option<Self> {
        let (fixed, meta) = bytes.split_at_checked(HEAD)?;
        let (fields, sum) = fixed.split_at_checked(HEAD - 4)?;
        let head = Self::fields(&mut Reader::new(fields), meta).ok()??;
        let valid = u32::from_bytes(sum) == Ok(head.crc(fields, file))
            && head.body_length as usize <= BODY_MAX
            && (!head.kind.doubled() || bytes.len() as u64 <= DOUBLED_ROOM);
        valid.then_some(head)
    }

    fn fields(input: &mut Reader<'_>, meta: &[u8]) -> Result<Option<Self>, DecodeError> {
        let magic: [u8; 4] = Decode::decode(input)?;
        let kind = Kind::of(Decode::decode(input)?);
        let zero: [u8; 3] = Decode::decode(input)?;
        let (number, flushed) = Decode::decode(input)?;
        let (offset, link) = Decode::decode(input)?;
        let meta_length: u32 = Decode::decode(input)?;
        let (body_length, body_crc) = Decode::decode(input)?;
        let valid = magic == RECORD_MAGIC && zero == [0; 3] && meta_length as usize == meta.len();
        Ok(kind.filter(|_| valid).map(|kind| Self {
            kind,
            number,
            flushed,
            offset,
            link,
            meta: meta.to_vec(),
            body_length,
            body_crc,
        }))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn file() -> FileHeader {
        FileHeader {
            number: 7,
            chain: ChainId([3; 16]),
            nonce: Nonce([5; 16]),
            origin: Some(Origin {
                number: 99,
                link: 5,
                boot: Boot(3),
                floor: Height(17),
                tip: (Height(16), BlockHash([4; 32])),
            }),
        }
    }

    prop_compose! {
        fn head()(
            tag in 0..4_u8,
            (number, flushed) in any::<(u64, u64)>(),
            (offset, link, body_crc) in any::<(u32, u32, u32)>(),
            meta in prop::collection::vec(any::<u8>(), 0..200),
            body_length in 0..=u32::try_from(BODY_MAX).unwrap(),
        ) -> Head {
            let kind = Kind::of(tag).unwrap();
            Head { kind, number, flushed, offset, link, meta, body_length, body_crc }
        }
    }

    proptest! {
        #[test]
        fn heads_are_read_back(head in head()) {
            let bytes = head.to_bytes(&file());
            prop_assert_eq!(Head::length(&bytes), Some(bytes.len()));
            prop_assert_eq!(Head::parse(&bytes, &file()), Some(head));
        }

        #[test]
        fn a_head_with_a_bad_bit_is_none(head in head(), at in any::<prop::sample::Index>(), bit in 0..8) {
            let mut bytes = head.to_bytes(&file());
            let at = at.index(bytes.len());
            bytes[at] ^= 1_u8 << bit;
            prop_assert_eq!(Head::parse(&bytes, &file()), None);
        }

        #[test]
        fn a_head_means_nothing_in_another_file(head in head()) {
            let bytes = head.to_bytes(&file());
            let elsewhere = FileHeader { number: 8, ..file() };
            let later = FileHeader { nonce: Nonce([6; 16]), ..file() };
            prop_assert_eq!(Head::parse(&bytes, &elsewhere), None);
            prop_assert_eq!(Head::parse(&bytes, &later), None);
        }

        #[test]
        fn arbitrary_bytes_are_no_head(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert_eq!(Head::parse(&bytes, &file()), None);
            prop_assert!(FileHeader::parse(&bytes).is_err());
        }
    }

    #[test]
    fn file_headers_are_read_back() {
        let first = FileHeader {
            origin: None,
            ..file()
        };
        for header in [file(), first] {
            let preamble = header.preamble();
            assert_eq!(preamble.len() as u64, header.first_record());
            assert_eq!(FileHeader::parse(&preamble[..FILE_HEADER]), Ok(header));
            let second = preamble[SECTOR as usize..].to_vec();
            assert_eq!(FileHeader::parse(&second), Ok(header));
        }
    }

    #[test]
    fn a_file_header_with_a_bad_bit_is_none() {
        let bytes = file().to_bytes();
        for at in 0..bytes.len() * 8 {
            let mut bytes = bytes.clone();
            bytes[at / 8] ^= 1 << (at % 8);
            assert_eq!(FileHeader::parse(&bytes), Err(HeaderFault::Damaged));
        }
    }

    #[test]
    fn a_newer_version_is_named() {
        let mut bytes = file().to_bytes();
        bytes[11] = 3;
        let sum = crc(&[&bytes[..60]]).to_be_bytes();
        bytes[60..64].copy_from_slice(&sum);
        assert_eq!(FileHeader::parse(&bytes), Err(HeaderFault::Version(3)));
    }

    #[test]
    fn the_checksum_is_the_one_documented() {
        assert_eq!(crc(&[b"123456", b"789"]), 0xcbf4_3926);
    }

    #[test]
    fn names_sort_as_numbers() {
        assert_eq!(file_number(&file_name(12)), Some(12));
        for other in [
            "12.log",
            "000000012.log",
            "0000001x.log",
            "genesis.unfinished",
            "00000001.bak",
        ] {
            assert_eq!(file_number(other), None);
        }
    }
}
