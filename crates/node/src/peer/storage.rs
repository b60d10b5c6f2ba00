//! Blobs that peers give us and ask us for.

use std::io::{self, Read, Seek as _, SeekFrom};
use std::pin::Pin;
use std::time::Duration;

use blobs::{BlobWriter, CommitError, ReadError, Staged, Store, Verdict, WriteError};
use bytes::Bytes;
use futures::{Stream, StreamExt as _, stream};
use model::{BlobId, ChainId, Digest};
use tonic::{Status, Streaming};

use super::generated::{BlobChunk, BlobPresence, BlobQuery, BlobReceipt, BlobRequest};
use super::generated::{InventoryReport, InventoryRequest, Thumbnail, ThumbnailRequest};
use super::wire::{self, Head, Refusal};
use crate::pictures::Pictures;
use crate::snapshots::Shelf;
use crate::stock::Stock;

/// A peer that sends nothing for this long in the middle of a blob has given it up.
const CHUNK_TIMEOUT: Duration = Duration::from_secs(30);

/// The chunks of a blob on their way to a peer.
pub(super) type Chunks = Pin<Box<dyn Stream<Item = Result<BlobChunk, Status>> + Send>>;

/// Why a call was not answered.
pub(super) enum Denied {
    /// The peer did something it must not.
    Refused(Refusal),
    /// It did nothing wrong.
    Failed(Status),
}

impl From<Refusal> for Denied {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Status> for Denied {
    fn from(status: Status) -> Self {
        Self::Failed(status)
    }
}

impl From<WriteError> for Denied {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Full { .. } => Status::resource_exhausted("no room for a blob").into(),
            WriteError::Io { .. } => failure("keeping a peer's blob", &error).into(),
        }
    }
}

impl From<CommitError> for Denied {
    fn from(error: CommitError) -> Self {
        failure("keeping a peer's blob", &error).into()
    }
}

impl From<ReadError> for Denied {
    fn from(error: ReadError) -> Self {
        failure("reading a blob for a peer", &error).into()
    }
}

/// The cause stays in our own log; the peer learns that it is our fault.
fn failure(what: &str, error: &dyn std::error::Error) -> Status {
    let cause = error.source().map(ToString::to_string);
    tracing::error!(cause, "{what}: {error}");
    Status::internal(error.to_string())
}

/// The local store, as peers see it.
pub(super) struct Storage {
    store: Store,
    stock: Stock,
    pictures: Pictures,
    shelf: Shelf,
    chain: ChainId,
}

impl Storage {
    pub(super) fn new(
        store: Store,
        stock: Stock,
        pictures: Pictures,
        shelf: Shelf,
        chain: ChainId,
    ) -> Self {
        Self {
            shelf,
            store,
            stock,
            pictures,
            chain,
        }
    }

    /// Takes a blob; answers when it is safe.
    pub(super) async fn put(
        &self,
        mut chunks: Streaming<BlobChunk>,
    ) -> Result<BlobReceipt, Denied> {
        let first = next(&mut chunks).await?.ok_or(Refusal::NoHead)?;
        let (head, mut data) = wire::first_chunk(self.chain, first)?;
        let store = self.store.clone();
        let mut writer = blocking(move || store.writer()).await??;
        loop {
            if writer.size() + data.len() as u64 > head.size {
                return Err(not_the_blob(head, "there are more".to_owned()).into());
            }
            writer = blocking(move || append(writer, &data)).await??;
            match next(&mut chunks).await? {
                Some(chunk) => data = wire::data(chunk)?,
                None => break,
            }
        }
        blocking(move || finish(writer, head)).await??;
        Ok(BlobReceipt {
            size_bytes: head.size,
            durable: true,
        })
    }

    /// Gives a blob, or a part of it. A whole one is checked on the way: the last chunk of a damaged one never leaves.
    pub(super) async fn get(&self, request: BlobRequest) -> Result<Chunks, Denied> {
        let id = wire::requested(self.chain, &request)?;
        let store = self.store.clone();
        let shelf = self.shelf.clone();
        let opened = blocking(move || match open(&store, id, &request)? {
            None => Ok(open_snapshot(&shelf, id)),
            opened => Ok::<_, ReadError>(opened),
        });
        let opened = opened.await??;
        let (size, reader) = opened.ok_or_else(|| Status::not_found("no such blob here"))?;
        let head = wire::head_chunk(self.chain, Head { id, size });
        let outgoing = Outgoing {
            store: self.store.clone(),
            id,
            reader,
        };
        let data = stream::try_unfold(outgoing, Outgoing::next);
        Ok(stream::iter([Ok(head)]).chain(data).boxed())
    }

    /// Gives a small picture of a blob, if there is one or it can be made here.
    pub(super) async fn thumbnail(&self, request: &ThumbnailRequest) -> Result<Thumbnail, Denied> {
        let (id, px) = wire::thumbnail_requested(self.chain, request)?;
        let gone = |_| Status::unavailable("this node shuts down");
        let mut jpeg = self.pictures.kept(id, px).await.map_err(gone)?;
        if jpeg.is_none() {
            let store = self.store.clone();
            if blocking(move || store.has(id)).await?? {
                jpeg = self.pictures.make(id, px).await.map_err(gone)?;
            }
        }
        let jpeg = jpeg.filter(|jpeg| jpeg.len() <= wire::THUMBNAIL_BYTES_MAX);
        let jpeg = jpeg.ok_or_else(|| Status::not_found("no picture of it here"))?;
        Ok(Thumbnail { jpeg: jpeg.into() })
    }

    /// Tells which blobs are here.
    pub(super) async fn has(&self, query: BlobQuery) -> Result<BlobPresence, Denied> {
        let ids = wire::queried(self.chain, &query)?;
        let store = self.store.clone();
        let present = blocking(move || ids.into_iter().map(|id| store.has(id)).collect()).await?;
        let present: Result<Vec<bool>, ReadError> = present;
        Ok(BlobPresence { present: present? })
    }

    /// Tells what is missing here.
    pub(super) fn inventory(&self, request: &InventoryRequest) -> Result<InventoryReport, Denied> {
        wire::check_inventory_request(self.chain, request)?;
        let inventory = self.stock.inventory();
        let inventory = inventory.ok_or_else(|| Status::unavailable("still looking"))?;
        Ok(wire::report(&inventory))
    }
}

/// Runs what may wait for the disk where it delays nobody.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Status> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| Status::unavailable("this node shuts down"))
}

async fn next(chunks: &mut Streaming<BlobChunk>) -> Result<Option<BlobChunk>, Status> {
    tokio::time::timeout(CHUNK_TIMEOUT, chunks.message())
        .await
        .map_err(|_| Status::deadline_exceeded("the rest of the blob did not come"))?
}

fn append(mut writer: BlobWriter, data: &[u8]) -> Result<BlobWriter, WriteError> {
    writer.write(data)?;
    Ok(writer)
}

fn finish(writer: BlobWriter, head: Head) -> Result<(), Denied> {
    if writer.size() != head.size {
        let found = format!("there are only {}", writer.size());
        return Err(not_the_blob(head, found).into());
    }
    let staged: Staged = writer.finish()?;
    if staged.id() != head.id {
        let found = format!("they hash to {}", staged.id());
        return Err(not_the_blob(head, found).into());
    }
    staged.commit()?;
    Ok(())
}

fn not_the_blob(head: Head, found: String) -> Refusal {
    Refusal::NotTheBlob { id: head.id, found }
}

type BoxRead = Box<dyn Read + Send>;

fn open(
    store: &Store,
    id: BlobId,
    request: &BlobRequest,
) -> Result<Option<(u64, BoxRead)>, ReadError> {
    if request.offset_bytes == 0 && request.length_bytes.is_none() {
        let reader = store.reader(id)?;
        return Ok(reader.map(|reader| (reader.size(), Box::new(reader) as BoxRead)));
    }
    let Some((mut file, size)) = store.open_blob(id)? else {
        return Ok(None);
    };
    // Behind the end there is nothing, however far: no disk is to be blamed for what a peer asks.
    file.seek(SeekFrom::Start(request.offset_bytes.min(size)))
        .map_err(|source| ReadError::Read { id, source })?;
    let length = request.length_bytes.unwrap_or(u64::MAX);
    Ok(Some((size, Box::new(file.take(length)))))
}

/// The index or a part of a snapshot, which is asked for like a blob: by its hash, and checked against it.
fn open_snapshot(shelf: &Shelf, id: BlobId) -> Option<(u64, BoxRead)> {
    let bytes = shelf.find(Digest(id.0)).ok().flatten()?;
    Some((bytes.len() as u64, Box::new(io::Cursor::new(bytes))))
}

/// A blob being read for a peer.
struct Outgoing {
    store: Store,
    id: BlobId,
    reader: BoxRead,
}

impl Outgoing {
    async fn next(self) -> Result<Option<(BlobChunk, Self)>, Status> {
        blocking(move || self.read()).await?
    }

    fn read(mut self) -> Result<Option<(BlobChunk, Self)>, Status> {
        let mut data = Vec::with_capacity(wire::CHUNK_BYTES_MAX);
        let chunk = (&mut self.reader).take(wire::CHUNK_BYTES_MAX as u64);
        match { chunk }.read_to_end(&mut data) {
            Ok(0) => Ok(None),
            Ok(_) => Ok(Some((wire::data_chunk(Bytes::from(data)), self))),
            Err(error) => Err(self.fail(&error)),
        }
    }

    fn fail(&self, error: &io::Error) -> Status {
        if error.kind() != io::ErrorKind::InvalidData {
            return failure("reading a blob for a peer", error);
        }
        match self.store.verify(self.id) {
            Ok(Verdict::Damaged { quarantine, .. }) => {
                let quarantine = quarantine.display();
                tracing::error!(blob = %self.id, %quarantine, "a damaged blob was moved aside");
            }
            Ok(_) => {}
            Err(error) => return failure("moving a damaged blob aside", &error),
        }
        Status::data_loss(error.to_string())
    }
}
