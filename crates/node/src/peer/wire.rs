//! Between the types on the wire and ours. Nothing that arrives is believed before it has passed here.

use bytes::Bytes;
use consensus::Message;
use model::originals::STORE_URL_BYTES_MAX;
use model::{BlobId, ChainId, Decode as _, Height, MembershipHash, codec::DecodeError};
use tonic::{Code, Status};

use super::generated::{
    BlobChunk, BlobHead, BlobQuery, BlobRequest, Frame, InventoryReport, InventoryRequest,
    StoreTrial, ThumbnailRequest,
};
use crate::pictures::SIZES;
use crate::stock::{Amount, Inventory, LISTED_MAX};

/// A message takes at most this: a block and its certificate, with room to spare.
pub(super) const MESSAGE_BYTES_MAX: usize = 4 << 20;
/// A frame takes at most this: one message and the fields around it.
pub(super) const FRAME_BYTES_MAX: usize = MESSAGE_BYTES_MAX + (64 << 10);
/// The metadata in which a caller says where it can be called.
pub(super) const ADDRESS: &str = "starling-address";
/// The metadata in which a caller says which version of the program it is.
pub(super) const VERSION: &str = "starling-version";
/// How much of a blob travels in one chunk.
pub(super) const CHUNK_BYTES_MAX: usize = 256 << 10;
/// Blobs asked about at once.
pub(super) const QUERY_MAX: usize = 1000;
/// A thumbnail takes at most this.
pub(super) const THUMBNAIL_BYTES_MAX: usize = 3 << 20;

/// Why something that arrived is refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error(
        "it belongs to chain {theirs}, this node to chain {ours}: one of the two was left behind when its cluster was \
         recovered, or they are of different clusters"
    )]
    ForeignChain { theirs: ChainId, ours: ChainId },
    #[error("a message of {0} bytes is too large")]
    MessageTooLarge(usize),
    #[error("a message of kind {0}, which this program does not know: the peer's is newer")]
    UnknownMessage(u64),
    #[error("a message is malformed: {0}")]
    Message(DecodeError),
    #[error("the frame cannot be read: {0}")]
    Frame(String),
    #[error("an id or hash has {0} bytes")]
    Id(usize),
    #[error("the first chunk of a blob has no head")]
    NoHead,
    #[error("a chunk of {0} bytes is too large")]
    ChunkTooLarge(usize),
    #[error("there are no thumbnails of {0} pixels")]
    NoSuchSize(u32),
    #[error("a query for {0} blobs is too large")]
    QueryTooLarge(usize),
    #[error("the URL of a store has {0} bytes")]
    StoreUrl(usize),
    #[error("an inventory lists {0} missing blobs, too many or more than it counts")]
    Listed(usize),
    #[error("the bytes of blob {id} are not what was announced: {found}")]
    NotTheBlob { id: BlobId, found: String },
}

impl From<&Refusal> for Status {
    fn from(refusal: &Refusal) -> Self {
        let code = match refusal {
            Refusal::ForeignChain { .. } => Code::FailedPrecondition,
            _ => Code::InvalidArgument,
        };
        Self::new(code, refusal.to_string())
    }
}

pub(super) fn chain_bytes(chain: ChainId) -> Bytes {
    Bytes::copy_from_slice(chain.as_bytes())
}

pub(super) fn check_chain(ours: ChainId, theirs: &[u8]) -> Result<(), Refusal> {
    match <[u8; 16]>::try_from(theirs) {
        Ok(theirs) if ChainId(theirs) == ours => Ok(()),
        Ok(theirs) => Err(Refusal::ForeignChain {
            theirs: ChainId(theirs),
            ours,
        }),
        Err(_) => Err(Refusal::Id(theirs.len())),
    }
}

fn blob_id(bytes: &[u8]) -> Result<BlobId, Refusal> {
    let id = <[u8; 32]>::try_from(bytes).map_err(|_| Refusal::Id(bytes.len()))?;
    Ok(BlobId(id))
}

/// The messages of a frame, each decoded when it is asked for.
pub(super) fn messages(
    chain: ChainId,
    frame: &Frame,
) -> Result<impl Iterator<Item = Result<Message, Refusal>>, Refusal> {
    check_chain(chain, &frame.chain_id)?;
    Ok(frame.messages.iter().map(|bytes| message(bytes)))
}

fn message(bytes: &[u8]) -> Result<Message, Refusal> {
    if bytes.len() > MESSAGE_BYTES_MAX {
        return Err(Refusal::MessageTooLarge(bytes.len()));
    }
    Message::from_bytes(bytes).map_err(|error| match error {
        DecodeError::Invalid {
            what: "message",
            value,
        } => Refusal::UnknownMessage(value),
        error => Refusal::Message(error),
    })
}

/// Which thumbnail of which blob is asked for.
pub(super) fn thumbnail_requested(
    chain: ChainId,
    request: &ThumbnailRequest,
) -> Result<(BlobId, u32), Refusal> {
    check_chain(chain, &request.chain_id)?;
    let id = blob_id(&request.blob_id)?;
    let known = SIZES.contains(&request.px);
    known
        .then_some((id, request.px))
        .ok_or(Refusal::NoSuchSize(request.px))
}

pub(super) fn thumbnail_request(chain: ChainId, id: BlobId, px: u32) -> ThumbnailRequest {
    ThumbnailRequest {
        chain_id: chain_bytes(chain),
        blob_id: Bytes::copy_from_slice(id.as_bytes()),
        px,
    }
}

/// What the first chunk of a blob says about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) id: BlobId,
    pub(super) size: u64,
}

pub(super) fn head_chunk(chain: ChainId, head: Head) -> BlobChunk {
    BlobChunk {
        head: Some(BlobHead {
            chain_id: chain_bytes(chain),
            blob_id: Bytes::copy_from_slice(head.id.as_bytes()),
            size_bytes: head.size,
        }),
        data: Bytes::new(),
    }
}

pub(super) fn data_chunk(data: Bytes) -> BlobChunk {
    BlobChunk { head: None, data }
}

/// The head of a blob's first chunk, and the data that came with it.
pub(super) fn first_chunk(chain: ChainId, chunk: BlobChunk) -> Result<(Head, Bytes), Refusal> {
    let head = chunk.head.as_ref().ok_or(Refusal::NoHead)?;
    check_chain(chain, &head.chain_id)?;
    let head = Head {
        id: blob_id(&head.blob_id)?,
        size: head.size_bytes,
    };
    Ok((head, data(chunk)?))
}

/// The data of a chunk.
pub(super) fn data(chunk: BlobChunk) -> Result<Bytes, Refusal> {
    if chunk.data.len() > CHUNK_BYTES_MAX {
        return Err(Refusal::ChunkTooLarge(chunk.data.len()));
    }
    Ok(chunk.data)
}

pub(super) fn request(chain: ChainId, id: BlobId, offset: u64, length: Option<u64>) -> BlobRequest {
    BlobRequest {
        chain_id: chain_bytes(chain),
        blob_id: Bytes::copy_from_slice(id.as_bytes()),
        offset_bytes: offset,
        length_bytes: length,
    }
}

pub(super) fn requested(chain: ChainId, request: &BlobRequest) -> Result<BlobId, Refusal> {
    check_chain(chain, &request.chain_id)?;
    blob_id(&request.blob_id)
}

pub(super) fn query(chain: ChainId, ids: &[BlobId]) -> BlobQuery {
    BlobQuery {
        chain_id: chain_bytes(chain),
        blob_ids: ids
            .iter()
            .map(|id| Bytes::copy_from_slice(id.as_bytes()))
            .collect(),
    }
}

pub(super) fn queried(chain: ChainId, query: &BlobQuery) -> Result<Vec<BlobId>, Refusal> {
    check_chain(chain, &query.chain_id)?;
    if query.blob_ids.len() > QUERY_MAX {
        return Err(Refusal::QueryTooLarge(query.blob_ids.len()));
    }
    query.blob_ids.iter().map(|id| blob_id(id)).collect()
}

pub(super) fn inventory_request(chain: ChainId) -> InventoryRequest {
    InventoryRequest {
        chain_id: chain_bytes(chain),
    }
}

pub(super) fn check_inventory_request(
    chain: ChainId,
    request: &InventoryRequest,
) -> Result<(), Refusal> {
    check_chain(chain, &request.chain_id)
}

pub(super) fn trial(chain: ChainId, url: &str) -> StoreTrial {
    StoreTrial {
        chain_id: chain_bytes(chain),
        url: url.to_owned(),
    }
}

pub(super) fn tried(chain: ChainId, trial: &StoreTrial) -> Result<&str, Refusal> {
    check_chain(chain, &trial.chain_id)?;
    if trial.url.len() > STORE_URL_BYTES_MAX {
        return Err(Refusal::StoreUrl(trial.url.len()));
    }
    Ok(&trial.url)
}

pub(super) fn report(inventory: &Inventory) -> InventoryReport {
    let listed = inventory.listed.iter().take(LISTED_MAX);
    InventoryReport {
        height: inventory.height.0,
        membership: Bytes::copy_from_slice(inventory.voters.as_bytes()),
        replicas: u32::try_from(inventory.replicas).unwrap_or(u32::MAX),
        missing_blobs: inventory.missing.blobs,
        missing_bytes: inventory.missing.bytes,
        missing_ids: listed
            .map(|id| Bytes::copy_from_slice(id.as_bytes()))
            .collect(),
    }
}

pub(super) fn reported(report: &InventoryReport) -> Result<Inventory, Refusal> {
    let hash = <[u8; 32]>::try_from(&*report.membership);
    let hash = hash.map_err(|_| Refusal::Id(report.membership.len()))?;
    let listed = report.missing_ids.len();
    if listed > LISTED_MAX || listed as u64 > report.missing_blobs {
        return Err(Refusal::Listed(listed));
    }
    let ids = report.missing_ids.iter().map(|id| blob_id(id));
    Ok(Inventory {
        height: Height(report.height),
        voters: MembershipHash(hash),
        replicas: report.replicas as usize,
        missing: Amount {
            blobs: report.missing_blobs,
            bytes: report.missing_bytes,
        },
        listed: ids.collect::<Result<_, _>>()?,
    })
}
