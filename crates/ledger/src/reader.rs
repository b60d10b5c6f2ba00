//! Decided blocks, read back and checked.

use std::fmt;
use std::io;
use std::sync::Arc;

use model::{Block, BlockHash, Certificate, ChainId, Decided, Decode, Height, Roster, Timestamp};

use crate::disk::Storage;
use crate::format::{crc, file_name};
use crate::index::{Entry, Foundation, Place, Shared, Source};
use crate::sealed::DamagedSegment;
use crate::segment::{Below, SegmentName};

/// Why a decided block could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The disk said no.
    #[error("reading the block of height {height} from {file}")]
    Io {
        /// The height.
        height: Height,
        /// The file.
        file: String,
        /// What it said.
        #[source]
        source: io::Error,
    },
    /// The bytes on the disk are not the ones that were written. Nothing of them is given out.
    #[error("the block of height {height} in {file} is damaged: {what}")]
    Damaged {
        /// The height.
        height: Height,
        /// The file.
        file: String,
        /// What is wrong.
        what: &'static str,
    },
    /// It was sealed, and the log does not have it any more.
    #[error(
        "the block of height {height} is in a segment that is missing or damaged; other nodes and the archive have it"
    )]
    Missing {
        /// The height.
        height: Height,
    },
}

impl ReadError {
    /// The height that could not be read.
    pub fn height(&self) -> Height {
        match self {
            Self::Io { height, .. } | Self::Damaged { height, .. } | Self::Missing { height } => {
                *height
            }
        }
    }
}

/// Reads decided blocks from any thread.
#[derive(Clone)]
pub struct Reader {
    shared: Arc<Shared>,
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "reader of {:?} at {:?}", self.chain(), self.tip())
    }
}

impl Reader {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// The chain.
    pub fn chain(&self) -> ChainId {
        self.shared.foundation.chain
    }

    /// The chain's first block: at height 0, or right above what it goes on from.
    pub fn genesis(&self) -> &Arc<Block> {
        &self.shared.foundation.genesis
    }

    /// The chain that this one goes on from, if it does.
    pub fn predecessor(&self) -> Option<&Self> {
        self.shared.predecessor.as_ref()
    }

    /// Of the chain to which a height belongs.
    fn of(&self, height: Height) -> &Self {
        match self.predecessor() {
            Some(before) if height < self.genesis().height() => before.of(height),
            _ => self,
        }
    }

    /// Who belongs to the cluster, above the last decided block.
    pub fn roster(&self) -> Arc<Roster> {
        self.shared.index().rosters().last().clone()
    }

    /// Who belonged to the cluster when `height` was decided; for genesis, whom it founds.
    ///
    /// # Errors
    /// A [`ReadError`] if a segment has to be read for that and cannot be.
    pub fn roster_deciding(&self, height: Height) -> Result<Arc<Roster>, ReadError> {
        let of = self.of(height);
        of.steady(|| of.shared.roster_deciding(height))
    }

    /// What is known of the chain up to a block: what a segment that begins above it is checked against.
    ///
    /// # Errors
    /// A [`ReadError`], also if the block is not decided here.
    pub fn known_at(&self, height: Height) -> Result<Below, ReadError> {
        let missing = ReadError::Missing { height };
        let block = self.block(height)?.ok_or(missing)?.block;
        let roster = if height == self.tip().0 {
            self.roster()
        } else {
            self.roster_deciding(height.next())?
        };
        Ok(Below {
            chain: self.chain(),
            height,
            hash: block.hash(),
            time: block.header().time,
            roster,
        })
    }

    /// Height and hash of the last decided block; its bytes may still be on their way to the disk.
    pub fn tip(&self) -> (Height, BlockHash) {
        self.shared.index().tip()
    }

    /// The hash of a decided block; nothing if it is not decided here or cannot be read.
    pub fn hash(&self, height: Height) -> Option<BlockHash> {
        let of = self.of(height);
        let hash = of.steady(|| of.find_hash(height));
        hash.ok().flatten()
    }

    /// What is read again if a segment was exchanged meanwhile.
    fn steady<T>(&self, read: impl Fn() -> Result<T, ReadError>) -> Result<T, ReadError> {
        read().or_else(|_| {
            self.shared.erasing.settle();
            read()
        })
    }

    fn find_hash(&self, height: Height) -> Result<Option<BlockHash>, ReadError> {
        let Some(source) = self.shared.index().find(height) else {
            return Ok(None);
        };
        Ok(match source {
            Source::Memory(decided) => Some(decided.block.hash()),
            Source::Log(entry) => Some(entry.hash),
            Source::Segment(segment) if segment.name.to() == height => Some(segment.name.head()),
            Source::Segment(segment) => Some(segment.entry(&*self.shared.storage, height)?.hash),
            Source::Missing => None,
        })
    }

    /// The lowest height whose block is of this time or later; the one above the tip if all are earlier. Where
    /// segments are missing it is the next one that is there.
    ///
    /// # Errors
    /// A [`ReadError`] if the index of a segment cannot be read.
    pub fn since(&self, time: Timestamp) -> Result<Height, ReadError> {
        if time <= self.genesis().header().time {
            let before = self.predecessor().map(|before| before.since(time));
            return before.unwrap_or(Ok(Height::GENESIS));
        }
        self.steady(|| {
            let (sealed, logged) = {
                let index = self.shared.index();
                (index.sealed().since(time), index.since(time))
            };
            let Some(segment) = sealed else {
                return Ok(logged);
            };
            Ok(segment.since(&*self.shared.storage, time)?.min(logged))
        })
    }

    /// The segments that blocks are read from, by height.
    pub fn segments(&self) -> Vec<SegmentName> {
        let index = self.shared.index();
        index.sealed().all().iter().map(|s| s.name).collect()
    }

    /// The segments that were found damaged when the ledger was opened, and have not been made anew since.
    pub fn damaged_segments(&self) -> Vec<DamagedSegment> {
        self.shared.index().sealed().damaged.clone()
    }

    /// The block of a height with its certificate; nothing if the height is not decided here.
    ///
    /// # Errors
    /// A [`ReadError`] if its bytes cannot be read, or are not those that were decided.
    pub fn block(&self, height: Height) -> Result<Option<Decided>, ReadError> {
        let of = self.of(height);
        let read = of.block_quietly(height);
        if read.is_err() {
            of.shared.complain(height);
        }
        read
    }

    /// Heights whose blocks could not be read since this was last asked: a few of them, the lowest first.
    pub fn take_complaints(&self) -> Vec<Height> {
        self.shared.take_complaints()
    }

    /// The same, when it is expected that it may fail.
    pub(crate) fn block_quietly(&self, height: Height) -> Result<Option<Decided>, ReadError> {
        let read = self.steady(|| self.read_decided(height))?;
        Ok(read.map(|decided| self.shared.erasing.apply(decided)))
    }

    fn read_decided(&self, height: Height) -> Result<Option<Decided>, ReadError> {
        let Some(source) = self.shared.index().find(height) else {
            return Ok(None);
        };
        let read = match self.read(height, &source) {
            // Between a look at the index and the read, the block may have moved from the log to a segment.
            Err(ReadError::Io { .. }) if matches!(source, Source::Log(_)) => {
                let again = self.shared.index().find(height).unwrap_or(source);
                self.read(height, &again)
            }
            read => read,
        };
        read.map(Some)
    }

    fn read(&self, height: Height, source: &Source) -> Result<Decided, ReadError> {
        match source {
            Source::Memory(decided) => Ok(decided.clone()),
            Source::Log(entry) => read_entry(&*self.shared.storage, height, entry),
            Source::Segment(segment) => segment.block(&*self.shared.storage, height),
            Source::Missing => Err(ReadError::Missing { height }),
        }
    }

    /// The decided blocks from `height` on, up to the tip of the moment at which it is reached.
    pub fn blocks(&self, height: Height) -> Blocks {
        Blocks {
            reader: self.clone(),
            next: Some(height),
        }
    }

    pub(crate) fn foundation(&self) -> &Foundation {
        &self.shared.foundation
    }

    pub(crate) fn storage(&self) -> &Arc<dyn Storage> {
        &self.shared.storage
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }
}

/// Decided blocks in order. Ends at the tip, or behind the first error.
#[derive(Debug, Clone)]
pub struct Blocks {
    reader: Reader,
    next: Option<Height>,
}

impl Iterator for Blocks {
    type Item = Result<Decided, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        let height = self.next.take()?;
        let block = self.reader.block(height).transpose()?;
        self.next = block.is_ok().then(|| height.next());
        Some(block)
    }
}

fn damaged(height: Height, place: Place, what: &'static str) -> ReadError {
    ReadError::Damaged {
        height,
        file: file_name(place.file),
        what,
    }
}

/// A block that the log has, with its certificate.
pub(crate) fn read_entry(
    storage: &dyn Storage,
    height: Height,
    entry: &Entry,
) -> Result<Decided, ReadError> {
    let block = read_block(storage, height, entry.body, entry.hash)?;
    let certificate = entry
        .certificate
        .map(|place| read_certificate(storage, height, place));
    let certificate = certificate.transpose()?;
    if certificate
        .as_ref()
        .is_some_and(|certificate| certificate.hash != entry.hash)
    {
        return Err(damaged(
            height,
            entry.body,
            "its certificate is of another block",
        ));
    }
    Ok(Decided {
        block: Arc::new(block),
        certificate,
    })
}

/// The bytes at a place, if they are still those that were written.
pub(crate) fn read_place(
    storage: &dyn Storage,
    height: Height,
    place: Place,
) -> Result<Vec<u8>, ReadError> {
    let file = file_name(place.file);
    let bytes = match storage.read(&file, place.offset.into(), place.length as usize) {
        Ok(bytes) => bytes,
        Err(source) => {
            return Err(ReadError::Io {
                height,
                file,
                source,
            });
        }
    };
    if crc(&[&bytes]) == place.crc {
        Ok(bytes)
    } else {
        Err(damaged(height, place, "its checksum does not match"))
    }
}

/// The block at a place, if it is the one of this name. Decoding checks the Merkle root, so every byte is covered.
pub(crate) fn read_block(
    storage: &dyn Storage,
    height: Height,
    place: Place,
    hash: BlockHash,
) -> Result<Block, ReadError> {
    let bytes = read_place(storage, height, place)?;
    let block = Block::from_bytes(&bytes).map_err(|error| match error {
        model::DecodeError::MerkleRoot => damaged(height, place, "its Merkle root does not match"),
        _ => damaged(height, place, "it is malformed"),
    })?;
    if block.hash() == hash && block.height() == height {
        Ok(block)
    } else {
        Err(damaged(height, place, "it is another block"))
    }
}

/// The certificate at a place.
pub(crate) fn read_certificate(
    storage: &dyn Storage,
    height: Height,
    place: Place,
) -> Result<Certificate, ReadError> {
    let bytes = read_place(storage, height, place)?;
    Certificate::from_bytes(&bytes)
        .map_err(|_| damaged(height, place, "its certificate is malformed"))
}
