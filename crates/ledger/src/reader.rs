//! Decided blocks, read back and checked.

use std::fmt;
use std::io;
use std::sync::Arc;

use model::{Block, BlockHash, Certificate, ChainId, Decided, Decode, Height, Roster};

use crate::disk::Storage;
use crate::format::{crc, file_name};
use crate::index::{Foundation, Place, Shared};

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

    /// The block at height 0.
    pub fn genesis(&self) -> &Arc<Block> {
        &self.shared.foundation.genesis
    }

    /// Who belongs to the cluster, above the last decided block.
    pub fn roster(&self) -> Arc<Roster> {
        self.shared.index().rosters().last().clone()
    }

    /// Who belonged to the cluster when `height` was decided; for genesis, whom it founds.
    pub fn roster_deciding(&self, height: Height) -> Arc<Roster> {
        self.shared.index().rosters().deciding(height).clone()
    }

    /// Height and hash of the last decided block; its bytes may still be on their way to the disk.
    pub fn tip(&self) -> (Height, BlockHash) {
        self.shared.index().tip()
    }

    /// The hash of a decided block, without touching the disk.
    pub fn hash(&self, height: Height) -> Option<BlockHash> {
        self.shared.index().entry(height).map(|entry| entry.hash)
    }

    /// The block of a height with its certificate; nothing if the height is not decided here.
    ///
    /// # Errors
    /// A [`ReadError`] if its bytes cannot be read, or are not those that were decided.
    pub fn block(&self, height: Height) -> Result<Option<Decided>, ReadError> {
        let entry = {
            let index = self.shared.index();
            if let Some(decided) = index.recent(height) {
                return Ok(Some(decided));
            }
            index.entry(height)
        };
        let Some(entry) = entry else { return Ok(None) };
        let storage = &*self.shared.storage;
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
        Ok(Some(Decided {
            block: Arc::new(block),
            certificate,
        }))
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
