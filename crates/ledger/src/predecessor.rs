//! The chain before, whose quorum was lost for good.
//!
//! A successor's first block stands right above the last block that was kept of the chain before and names it as its
//! parent. Those older blocks are a ledger of their own, with nothing in it but the first block and segments, in the
//! folder [`FOLDER`] inside the successor's. It is only read: a [`Reader`] passes on to it what is asked about the
//! heights below its own first block, so whoever reads a chain sees one run of heights from 0 on.
//!
//! It may itself hold a predecessor. What is in it needs no belief: the successor's first block fixes all of it by
//! hashes, and its certificates can be checked under its own voters besides.

use std::path::Path;
use std::sync::Arc;

use model::{Block, ChainId, Height};

use crate::disk::Storage;
use crate::folder::{CreateError, InstallError, create_in, install};
use crate::index::Shared;
use crate::reader::{ReadError, Reader};
use crate::recovery::{OpenError, Recovery, recover};
use crate::segment::{Below, Builder, SegmentError};

/// The folder of the chain before inside a ledger's.
pub const FOLDER: &str = "predecessor";
/// A segment of it ends with the block that brings it to so many bytes.
const SEGMENT_BYTES: usize = 16 << 20;

/// Why the chain before cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PredecessorError {
    /// It is not there.
    #[error(
        "the ledger goes on from chain {chain}, whose blocks up to height {height} belong into its folder \
         `predecessor`, which is missing: copy that folder from another node"
    )]
    Missing {
        /// The chain before.
        chain: ChainId,
        /// Its last block.
        height: Height,
    },
    /// It is not the chain that the first block names, or not all of it.
    #[error(
        "the ledger goes on from height {height} of chain {chain}; its folder `predecessor` holds chain {found} up to \
         height {top}, or another block there: copy that folder from another node"
    )]
    Other {
        /// The chain before.
        chain: ChainId,
        /// Its last block.
        height: Height,
        /// What is there.
        found: ChainId,
        /// Up to which height.
        top: Height,
    },
    /// It cannot be read.
    #[error("the chain before, in the folder `predecessor`")]
    Open(#[from] Box<OpenError>),
}

/// Opens what the chain of this first block goes on from.
pub(crate) fn open(storage: &dyn Storage, first: &Block) -> Result<Option<Reader>, OpenError> {
    let Some(named) = first.predecessor() else {
        return Ok(None);
    };
    let before = storage.predecessor().ok_or(PredecessorError::Missing {
        chain: named.chain,
        height: named.height,
    })?;
    let reader = read(before).map_err(|error| PredecessorError::Open(Box::new(error)))?;
    if (reader.chain(), reader.tip()) != (named.chain, (named.height, named.hash)) {
        return Err(PredecessorError::Other {
            chain: named.chain,
            height: named.height,
            found: reader.chain(),
            top: reader.tip().0,
        }
        .into());
    }
    Ok(Some(reader))
}

/// Reads it like any ledger, but for the last block's certificate: hashes say more.
fn read(storage: Arc<dyn Storage>) -> Result<Reader, OpenError> {
    let Recovery { replay, .. } = recover(&*storage)?;
    let (foundation, index, _) = replay.into_parts();
    let predecessor = open(&*storage, &foundation.genesis)?;
    let shared = Shared::new(foundation, storage, index, predecessor);
    Ok(Reader::new(Arc::new(shared)))
}

/// Why a chain was not laid down for its successor.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    /// A block cannot be read.
    #[error("a block of the chain that is to be kept cannot be read")]
    Read(#[from] ReadError),
    /// The blocks do not follow one another.
    #[error("what is to be kept is not a chain")]
    Chain(#[from] SegmentError),
    /// A segment cannot be written.
    #[error(transparent)]
    Install(#[from] InstallError),
    /// The ledger cannot be made.
    #[error(transparent)]
    Create(#[from] CreateError),
}

/// Lays all blocks of a chain down in `folder`, as the ledger of a chain that has ended: its first block and segments,
/// and what it went on from itself. Says how far it is.
///
/// # Errors
/// A [`KeepError`]. The folder is then no ledger yet.
pub fn keep(
    reader: &Reader,
    folder: &Path,
    progress: &mut dyn FnMut(Height),
) -> Result<(), KeepError> {
    if let Some(before) = reader.predecessor() {
        keep(before, &folder.join(FOLDER), progress)?;
    }
    let first = Below::genesis(reader.genesis());
    let mut below = first.ok_or(CreateError::NotGenesis)?;
    let (tip, _) = reader.tip();
    while below.height < tip {
        let mut builder = Builder::above(below);
        for decided in reader.blocks(builder.next()) {
            builder.push(&decided?)?;
            if builder.len() >= SEGMENT_BYTES {
                break;
            }
        }
        below = builder.below().clone();
        if let Some((_, bytes)) = builder.finish() {
            install(folder, &bytes)?;
        }
        progress(below.height);
    }
    Ok(create_in(folder, reader.genesis())?)
}
