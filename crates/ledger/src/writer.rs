//! Puts records into files, one behind the other.

use model::{Block, BlockHash, Boot, Encode, Height, Nonce};

use crate::format::{
    BODY_MAX, FILE_BYTES, FILLER, FIRST_RECORD, FileHeader, Head, Origin, crc, file_name,
    second_copy,
};
use crate::index::Place;
use crate::record::Meta;

/// Files are zeroed this far ahead: a flush of bytes within a file's length need not wait for the file system's
/// journal, which costs up to twice the time (measurements in `docs/ledger-format.md`).
const ZERO_AHEAD: u64 = 256 << 10;

/// The place of the next record.
#[derive(Debug, Clone)]
pub(crate) struct Position {
    /// The next record's number.
    pub(crate) number: u64,
    /// The head checksum of the record before it.
    pub(crate) link: u32,
    /// The number of the next file.
    pub(crate) next_file: u32,
}

/// Where the next record goes.
#[derive(Debug)]
pub(crate) struct Writer {
    position: Position,
    file: FileHeader,
    /// End of the file's last record; at first beyond any file, so that one is begun.
    offset: u64,
    zeroed: u64,
    /// Where files end.
    file_bytes: u64,
}

/// A record as bytes.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) file: String,
    pub(crate) create: bool,
    pub(crate) offset: u64,
    pub(crate) bytes: Vec<u8>,
    pub(crate) meta: Place,
    pub(crate) body: Option<Place>,
}

impl Writer {
    /// Goes on at `position`, in a new file with the header's chain and nonce.
    pub(crate) fn new(position: Position, file: FileHeader) -> Self {
        Self {
            position,
            file,
            offset: u64::MAX,
            zeroed: 0,
            file_bytes: FILE_BYTES,
        }
    }

    /// Files end at about this many bytes.
    pub(crate) fn with_files_of(self, file_bytes: u64) -> Self {
        Self { file_bytes, ..self }
    }

    /// The next record begins a new file, and a new incarnation.
    pub(crate) fn begin(&mut self, nonce: Nonce, boot: Boot) {
        self.file.nonce = nonce;
        self.origin().boot = boot;
        self.offset = u64::MAX;
    }

    /// The next record begins a new file.
    pub(crate) fn end_file(&mut self) {
        self.offset = u64::MAX;
    }

    /// The last decided block is this one, and the highest height known to be decided at least `floor`.
    pub(crate) fn reach(&mut self, tip: (Height, BlockHash), floor: Height) {
        let origin = self.origin();
        origin.tip = tip;
        origin.floor = origin.floor.max(floor).max(tip.0);
    }

    fn origin(&mut self) -> &mut Origin {
        self.file.origin.get_or_insert(Origin::NONE)
    }

    /// Formats the next record. All records below `flushed` are known to be on the disk.
    pub(crate) fn write(&mut self, meta: &Meta, body: &[u8], flushed: u64) -> Written {
        assert!(
            body.len() <= BODY_MAX,
            "a block of {} bytes is beyond the limits",
            body.len()
        );
        let create = self.offset >= self.file_bytes;
        let mut bytes = Vec::new();
        if create {
            self.file.number = self.position.next_file;
            self.position.next_file += 1;
            let Position { number, link, .. } = self.position;
            let origin = self.origin();
            (origin.number, origin.link) = (number, link);
            self.offset = 0;
            bytes = self.file.preamble();
        }
        let start = self.offset;
        let head = self.head(meta, body, flushed, start + bytes.len() as u64);
        let copy = head.to_bytes(&self.file);
        bytes.extend_from_slice(&copy);
        if head.kind.doubled() {
            let second = second_copy(head.offset.into()) - start;
            bytes.resize(usize::try_from(second).expect("it fits memory"), FILLER);
            bytes.extend_from_slice(&copy);
        }
        let body_at = start + bytes.len() as u64;
        let meta = self.place(body_at - head.meta.len() as u64, &head.meta);
        bytes.extend_from_slice(body);
        let body = (!body.is_empty()).then(|| self.place(body_at, body));
        self.offset = start + bytes.len() as u64;
        self.position.number = self.position.number.saturating_add(1);
        self.position.link = head.link_for_next(&self.file);
        self.zero_ahead(create, &mut bytes);
        Written {
            file: file_name(self.file.number),
            create,
            offset: start,
            bytes,
            meta,
            body,
        }
    }

    fn head(&self, meta: &Meta, body: &[u8], flushed: u64, offset: u64) -> Head {
        Head {
            kind: meta.kind(),
            number: self.position.number,
            flushed,
            offset: narrow(offset),
            link: self.position.link,
            meta: meta.to_bytes(),
            body_length: narrow(body.len() as u64),
            body_crc: crc(&[body]),
        }
    }

    fn place(&self, offset: u64, bytes: &[u8]) -> Place {
        Place {
            file: self.file.number,
            offset: narrow(offset),
            length: narrow(bytes.len() as u64),
            crc: crc(&[bytes]),
        }
    }

    /// Makes the file longer than it needs to be, but not by the record that begins it: many starts write no other.
    fn zero_ahead(&mut self, create: bool, bytes: &mut Vec<u8>) {
        if create {
            self.zeroed = self.offset;
        } else if self.offset > self.zeroed {
            self.zeroed = self.offset.next_multiple_of(ZERO_AHEAD);
            let zeros = usize::try_from(self.zeroed - self.offset).expect("it fits memory");
            bytes.resize(bytes.len() + zeros, 0);
        }
    }
}

fn narrow(value: u64) -> u32 {
    u32::try_from(value).expect("a file is far shorter than 4 GiB")
}

/// The first file of every ledger, and the only one that is not written through a `Disk`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GenesisFile {
    /// Its name.
    pub name: String,
    /// All of it.
    pub bytes: Vec<u8>,
}

impl GenesisFile {
    /// Of the chain that begins with this block.
    pub fn new(genesis: &Block) -> Self {
        let position = Position {
            number: 0,
            link: 0,
            next_file: 0,
        };
        let nonce = Nonce([0; 16]);
        let file = FileHeader {
            number: 0,
            chain: genesis.header().chain,
            nonce,
            origin: Some(Origin::NONE),
        };
        let meta = Meta::Genesis {
            height: genesis.height(),
            hash: genesis.hash(),
        };
        let written = Writer::new(position, file).write(&meta, &genesis.to_bytes(), 0);
        debug_assert_eq!(
            u64::from(written.meta.offset),
            FIRST_RECORD + crate::format::HEAD as u64
        );
        Self {
            name: written.file,
            bytes: written.bytes,
        }
    }
}
