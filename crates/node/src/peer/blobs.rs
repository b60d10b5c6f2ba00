//! Blobs that we give to peers and ask them for.

use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use ::blobs::{CommitError, WriteError};
use bytes::Bytes;
use futures::{Stream, StreamExt as _, TryStreamExt as _, stream};
use model::{BlobId, ChainId, NodeId};
use sha2::{Digest as _, Sha256};
use tokio_util::io::ReaderStream;
use tonic::transport::Channel;
use tonic::{Code, Status};

use super::Peers;
use super::client::Dialer;
use super::generated::peer_client::PeerClient;
use super::generated::{BlobChunk, BlobReceipt};
use super::storage::blocking;
use super::wire::{self, Head};
use crate::stock::Inventory;

/// Why a peer did not take a blob.
#[derive(Debug, thiserror::Error)]
pub enum PutBlobError {
    /// No such member.
    #[error("{0} is not a peer")]
    UnknownPeer(NodeId),
    /// Our own copy could not be read.
    #[error("reading {path} for a peer")]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The peer's disk is full.
    #[error("the peer has no room for blob {0}")]
    Full(BlobId),
    /// The peer got other bytes than it was promised.
    #[error("the peer refused blob {id}: {detail}")]
    Refused {
        /// Which.
        id: BlobId,
        /// What the peer said.
        detail: String,
    },
    /// The peer did not say that it keeps the blob safely.
    #[error("the peer did not confirm that blob {0} is safe")]
    NotDurable(BlobId),
    /// The peer cannot be reached, or failed.
    #[error("giving blob {id} to a peer")]
    Call {
        /// Which.
        id: BlobId,
        /// What went wrong.
        source: Box<Status>,
    },
}

/// Why a peer did not give a blob.
#[derive(Debug, thiserror::Error)]
pub enum GetBlobError {
    /// No such member.
    #[error("{0} is not a peer")]
    UnknownPeer(NodeId),
    /// The peer has none.
    #[error("the peer has no blob {0}")]
    Absent(BlobId),
    /// The peer's copy is not what its name says.
    #[error("the peer's copy of blob {0} is damaged")]
    Damaged(BlobId),
    /// The peer did not keep to the protocol.
    #[error("the peer answered a request for blob {id} with something else: {detail}")]
    Malformed {
        /// Which.
        id: BlobId,
        /// What was wrong.
        detail: String,
    },
    /// The peer cannot be reached, or failed.
    #[error("getting blob {id} from a peer")]
    Call {
        /// Which.
        id: BlobId,
        /// What went wrong.
        source: Box<Status>,
    },
}

/// Why a peer's blob is not here now.
#[derive(Debug, thiserror::Error)]
pub enum FetchBlobError {
    /// The peer did not give it.
    #[error(transparent)]
    Get(#[from] GetBlobError),
    /// It could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// It could not be named.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// The node shuts down.
    #[error("this node shuts down")]
    Shutdown,
}

/// Why a peer did not tell what it has.
#[derive(Debug, thiserror::Error)]
pub enum HasBlobsError {
    /// No such member.
    #[error("{0} is not a peer")]
    UnknownPeer(NodeId),
    /// More were asked about than one call may.
    #[error("{0} blobs are too many for one question")]
    TooMany(usize),
    /// The number of answers is not that of the questions.
    #[error("the peer gave {answers} answers to {questions} questions")]
    Malformed {
        /// Asked.
        questions: usize,
        /// Answered.
        answers: usize,
    },
    /// The peer cannot be reached, or failed.
    #[error("asking a peer for its blobs")]
    Call(#[source] Box<Status>),
}

/// Why a peer did not tell what it lacks.
#[derive(Debug, thiserror::Error)]
pub enum InventoryError {
    /// No such member.
    #[error("{0} is not a peer")]
    UnknownPeer(NodeId),
    /// The peer did not keep to the protocol.
    #[error("the peer's inventory cannot be read: {0}")]
    Malformed(String),
    /// The peer cannot be reached, has not looked yet, or failed.
    #[error("asking a peer for its inventory")]
    Call(#[source] Box<Status>),
}

/// Which bytes of a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// All, checked against the name: the last ones come only if all were right.
    Whole,
    /// Some, as they are.
    Range {
        /// Where to start.
        offset: u64,
        /// At most how many.
        length: u64,
    },
}

/// A blob on its way from a peer.
pub struct RemoteBlob {
    size: u64,
    chunks: Pin<Box<dyn Stream<Item = Result<Bytes, GetBlobError>> + Send>>,
}

impl RemoteBlob {
    /// The size of the whole blob, as the peer says. If all of it comes, it is true.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The bytes, in order. After an error nothing follows.
    pub fn into_chunks(self) -> impl Stream<Item = Result<Bytes, GetBlobError>> + Send + use<> {
        self.chunks
    }
}

impl Peers {
    /// Gives a copy of a blob to a peer. `path` is a file that holds exactly the blob's bytes, staged or already in
    /// its place; it is opened when the call is first polled and may be renamed after that. Returns when the copy
    /// survives a power cut there. There is no deadline: callers have one.
    ///
    /// # Errors
    /// If the peer does not keep it. It may keep it all the same if the connection broke.
    pub async fn put_blob(
        &self,
        to: NodeId,
        id: BlobId,
        size: u64,
        path: &Path,
    ) -> Result<(), PutBlobError> {
        let peer = self.shared.directory.peer(to);
        let peer = peer.ok_or(PutBlobError::UnknownPeer(to))?;
        peer.blobs.put(Head { id, size }, path).await
    }

    /// Asks a peer for the bytes of a blob. They come as they are read: whoever does not take them stops the peer.
    ///
    /// # Errors
    /// If the peer has no such blob, or cannot be asked.
    pub async fn get_blob(
        &self,
        from: NodeId,
        id: BlobId,
        part: Part,
    ) -> Result<RemoteBlob, GetBlobError> {
        let peer = self.shared.directory.peer(from);
        let peer = peer.ok_or(GetBlobError::UnknownPeer(from))?;
        peer.blobs.get(id, part).await
    }

    /// Copies a blob from a peer into the local store. On return it survives a power cut here.
    ///
    /// # Errors
    /// If the peer does not give the right bytes, or they cannot be kept.
    pub async fn fetch_blob(&self, from: NodeId, id: BlobId) -> Result<(), FetchBlobError> {
        let mut chunks = self.get_blob(from, id, Part::Whole).await?.chunks;
        let store = self.shared.store.clone();
        let mut writer = run(move || store.writer()).await??;
        while let Some(data) = chunks.try_next().await? {
            writer = run(move || writer.write(&data).map(|()| writer)).await??;
        }
        // The stream ends well only if all bytes came and hash to the name.
        let staged = run(move || writer.finish()).await??;
        run(move || staged.commit()).await??;
        Ok(())
    }

    /// Asks a peer for a small picture of a blob, which it makes if it can.
    ///
    /// # Errors
    /// If it has none, or cannot be asked.
    pub async fn get_thumbnail(
        &self,
        from: NodeId,
        id: BlobId,
        px: u32,
    ) -> Result<Vec<u8>, GetBlobError> {
        let peer = self.shared.directory.peer(from);
        let peer = peer.ok_or(GetBlobError::UnknownPeer(from))?;
        peer.blobs.thumbnail(id, px).await
    }

    /// Asks a peer which of these blobs it has: one answer each, in order. At most 1,000.
    ///
    /// # Errors
    /// If the peer cannot be asked, or there are too many.
    pub async fn has_blobs(&self, at: NodeId, ids: &[BlobId]) -> Result<Vec<bool>, HasBlobsError> {
        let peer = self.shared.directory.peer(at);
        let peer = peer.ok_or(HasBlobsError::UnknownPeer(at))?;
        peer.blobs.has(ids).await
    }

    /// Has a peer try whether it can use an object store.
    ///
    /// # Errors
    /// Why it cannot, or cannot be asked, for people.
    pub(crate) async fn try_store(&self, at: NodeId, url: &str) -> Result<(), String> {
        let peer = self.shared.directory.peer(at);
        let peer = peer.ok_or("it is not a peer")?;
        peer.blobs.try_store(url).await
    }

    /// Asks a peer what it lacks of the copies it is to hold.
    ///
    /// # Errors
    /// If the peer cannot be asked, or does not know yet.
    pub async fn inventory(&self, at: NodeId) -> Result<Inventory, InventoryError> {
        let peer = self.shared.directory.peer(at);
        let peer = peer.ok_or(InventoryError::UnknownPeer(at))?;
        peer.blobs.inventory().await
    }
}

async fn run<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, FetchBlobError> {
    blocking(work).await.map_err(|_| FetchBlobError::Shutdown)
}

/// Calls one peer's blob service.
pub(super) struct BlobClient {
    client: PeerClient<Channel>,
    chain: ChainId,
}

impl BlobClient {
    pub(super) fn new(dialer: &Dialer, chain: ChainId) -> Self {
        Self {
            client: PeerClient::new(dialer.lazy()),
            chain,
        }
    }

    async fn put(&self, head: Head, path: &Path) -> Result<(), PutBlobError> {
        let read_error = |source| PutBlobError::Read {
            path: path.to_owned(),
            source,
        };
        let file = tokio::fs::File::open(path).await.map_err(read_error)?;
        let failed = Arc::new(Failure::default());
        let chunks = outgoing(file, failed.clone());
        let chunks = stream::iter([wire::head_chunk(self.chain, head)]).chain(chunks);
        let answer = self.client.clone().put_blob(chunks).await;
        if let Some(source) = failed.take() {
            return Err(read_error(source));
        }
        match answer {
            Ok(receipt) if confirms(receipt.get_ref(), head) => Ok(()),
            Ok(_) => Err(PutBlobError::NotDurable(head.id)),
            Err(status) => Err(put_error(head.id, status)),
        }
    }

    async fn get(&self, id: BlobId, part: Part) -> Result<RemoteBlob, GetBlobError> {
        let (offset, length) = match part {
            Part::Whole => (0, None),
            Part::Range { offset, length } => (offset, Some(length)),
        };
        let request = wire::request(self.chain, id, offset, length);
        let answer = self.client.clone().get_blob(request).await;
        let mut chunks = answer.map_err(|status| get_error(id, status))?.into_inner();
        let first = chunks.message().await;
        let first = first.map_err(|status| get_error(id, status))?;
        let (head, data) = wire::first_chunk(self.chain, first.unwrap_or_default())
            .map_err(|refusal| malformed(id, &refusal))?;
        if head.id != id {
            return Err(malformed(id, &"another blob"));
        }
        let rest = chunks.map(move |chunk| {
            let chunk = chunk.map_err(|status| get_error(id, status))?;
            wire::data(chunk).map_err(|refusal| malformed(id, &refusal))
        });
        let chunks = stream::iter([Ok(data)])
            .chain(rest)
            .try_filter(|data| std::future::ready(!data.is_empty()))
            .boxed();
        let chunks = match part {
            Part::Whole => checked(head, chunks),
            Part::Range { .. } => chunks,
        };
        Ok(RemoteBlob {
            size: head.size,
            chunks,
        })
    }

    async fn thumbnail(&self, id: BlobId, px: u32) -> Result<Vec<u8>, GetBlobError> {
        let request = wire::thumbnail_request(self.chain, id, px);
        let answer = self.client.clone().get_thumbnail(request).await;
        let jpeg = answer
            .map_err(|status| get_error(id, status))?
            .into_inner()
            .jpeg;
        if jpeg.len() <= wire::THUMBNAIL_BYTES_MAX && jpeg.starts_with(&[0xff, 0xd8]) {
            return Ok(jpeg.to_vec());
        }
        Err(malformed(id, &"no small JPEG"))
    }

    async fn has(&self, ids: &[BlobId]) -> Result<Vec<bool>, HasBlobsError> {
        if ids.len() > wire::QUERY_MAX {
            return Err(HasBlobsError::TooMany(ids.len()));
        }
        let query = wire::query(self.chain, ids);
        let answer = self.client.clone().has_blobs(query).await;
        let answer = answer.map_err(|status| HasBlobsError::Call(Box::new(status)))?;
        let present = answer.into_inner().present;
        if present.len() == ids.len() {
            Ok(present)
        } else {
            Err(HasBlobsError::Malformed {
                questions: ids.len(),
                answers: present.len(),
            })
        }
    }
}

impl BlobClient {
    async fn try_store(&self, url: &str) -> Result<(), String> {
        let trial = wire::trial(self.chain, url);
        match self.client.clone().try_store(trial).await {
            Ok(verdict) if verdict.get_ref().refusal.is_empty() => Ok(()),
            Ok(verdict) => Err(verdict.into_inner().refusal),
            Err(status) if status.code() == Code::Unimplemented => {
                Err("its program is too old for that".to_owned())
            }
            Err(status) => Err(format!("it cannot be asked: {}", status.message())),
        }
    }

    async fn inventory(&self) -> Result<Inventory, InventoryError> {
        let request = wire::inventory_request(self.chain);
        let answer = self.client.clone().take_inventory(request).await;
        let answer = answer.map_err(|status| InventoryError::Call(Box::new(status)))?;
        wire::reported(answer.get_ref())
            .map_err(|error| InventoryError::Malformed(error.to_string()))
    }
}

/// Where a stream leaves word why it stopped.
#[derive(Default)]
struct Failure(Mutex<Option<io::Error>>);

impl Failure {
    fn set(&self, error: io::Error) {
        *self.lock() = Some(error);
    }

    fn take(&self) -> Option<io::Error> {
        self.lock().take()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<io::Error>> {
        self.0
            .lock()
            .expect("nothing panics while it holds this lock")
    }
}

/// The file's bytes in chunks. A stream to a peer cannot carry a failure, so it stops there and leaves word.
fn outgoing(file: tokio::fs::File, failed: Arc<Failure>) -> impl Stream<Item = BlobChunk> {
    ReaderStream::with_capacity(file, wire::CHUNK_BYTES_MAX)
        .map(move |data| match data {
            Ok(data) => Some(wire::data_chunk(data)),
            Err(error) => {
                failed.set(error);
                None
            }
        })
        .take_while(|chunk| std::future::ready(chunk.is_some()))
        .filter_map(std::future::ready)
}

fn confirms(receipt: &BlobReceipt, head: Head) -> bool {
    receipt.durable && receipt.size_bytes == head.size
}

type BoxChunks = Pin<Box<dyn Stream<Item = Result<Bytes, GetBlobError>> + Send>>;

/// Hashes a blob as it passes, and stops before its last chunk if it is not what it should be.
fn checked(head: Head, chunks: BoxChunks) -> BoxChunks {
    let start = (chunks, Sha256::new(), 0);
    stream::try_unfold(start, move |(mut chunks, mut hasher, seen)| async move {
        let next = chunks.try_next().await?;
        let seen = seen + next.as_ref().map_or(0, Bytes::len) as u64;
        hasher.update(next.as_deref().unwrap_or_default());
        let complete = seen == head.size;
        let ends_early = next.is_none() && !complete;
        let is_wrong = complete && BlobId(hasher.clone().finalize().into()) != head.id;
        if seen > head.size || ends_early || is_wrong {
            return Err(GetBlobError::Damaged(head.id));
        }
        Ok(next.map(|data| (data, (chunks, hasher, seen))))
    })
    .boxed()
}

fn put_error(id: BlobId, status: Status) -> PutBlobError {
    match status.code() {
        Code::ResourceExhausted => PutBlobError::Full(id),
        Code::InvalidArgument | Code::FailedPrecondition => PutBlobError::Refused {
            id,
            detail: status.message().to_owned(),
        },
        _ => PutBlobError::Call {
            id,
            source: Box::new(status),
        },
    }
}

fn get_error(id: BlobId, status: Status) -> GetBlobError {
    match status.code() {
        Code::NotFound => GetBlobError::Absent(id),
        Code::DataLoss => GetBlobError::Damaged(id),
        _ => GetBlobError::Call {
            id,
            source: Box::new(status),
        },
    }
}

fn malformed(id: BlobId, detail: &dyn std::fmt::Display) -> GetBlobError {
    GetBlobError::Malformed {
        id,
        detail: detail.to_string(),
    }
}
