//! Files' bytes, as requests meet them.
//!
//! In: bytes are written to disk while they are hashed, flushed, given their name, and copied to as many other nodes
//! as may crash; `copies` does that, and brings back what is not here. Out: bytes are held against their name before the first of them leaves. A blob that was checked is
//! not read again as long as its file has not been touched since; one that is missing or damaged is fetched from a
//! peer, checked, kept, and only then given out. So a client never sees a wrong byte, at the price that the first
//! reader of a large film waits until it is here.

use std::collections::HashMap;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::sync::{Arc, Mutex};

use ::blobs::{BlobWriter, ReadError, Staged, Store, Verdict, WriteError};
use model::BlobId;
use prometheus::IntCounter;
use tokio::task::JoinHandle;

use super::problem::{Code, Problem};
use crate::copies::{Copies, FetchError, NotSafe};
use crate::metrics::BlobMetrics;
use crate::peer::chain_of_causes;
use crate::pictures::{Around, Pictures, Seen};
use crate::replicator::Replicator;
use crate::{App, Findings, Place};

/// Bytes collected before they are written: large enough for the disk, small enough for many uploads at once.
const CHUNK_BYTES: usize = 512 << 10;
/// Blobs remembered as checked.
const SOUND_MAX: usize = 1 << 16;

/// All bytes that can be had. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Holdings(Arc<Shared>);

struct Shared {
    store: Store,
    copies: Copies,
    pictures: Pictures,
    replicator: Replicator,
    sound: Mutex<HashMap<BlobId, Stamp>>,
    metrics: BlobMetrics,
    findings: Findings,
}

/// By which a file is known to be untouched since it was checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            inode: metadata.ino(),
            size: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// A blob on this node's disk that hashes to its name.
#[derive(Debug)]
pub(crate) struct Sound {
    /// Its bytes.
    pub(crate) file: File,
    /// How many.
    pub(crate) size: u64,
}

/// A blob on its way in. Dropped unfinished, it leaves nothing behind.
pub(crate) struct Incoming {
    buffer: Vec<u8>,
    size: u64,
    limit: u64,
    uploaded: IntCounter,
    /// Writes the chunk before, while the next one arrives.
    writer: JoinHandle<Result<BlobWriter, WriteError>>,
}

impl Incoming {
    /// Takes more bytes.
    pub(crate) async fn write(&mut self, chunk: &[u8]) -> Result<(), Problem> {
        self.size += chunk.len() as u64;
        if self.size > self.limit {
            return Err(super::body::too_large(self.limit));
        }
        self.uploaded.inc_by(chunk.len() as u64);
        self.buffer.extend_from_slice(chunk);
        if self.buffer.len() >= CHUNK_BYTES {
            let full = std::mem::replace(&mut self.buffer, Vec::with_capacity(CHUNK_BYTES));
            let mut writer = self.idle_writer().await?;
            self.writer = tokio::task::spawn_blocking(move || {
                writer.write(&full)?;
                Ok(writer)
            });
        }
        Ok(())
    }

    /// Flushes everything to the disk.
    pub(crate) async fn finish(mut self) -> Result<Staged, Problem> {
        let mut writer = self.idle_writer().await?;
        let rest = std::mem::take(&mut self.buffer);
        let staged = blocking(move || {
            writer.write(&rest)?;
            writer.finish()
        });
        staged.await?.map_err(|error| unwritten(&error))
    }

    async fn idle_writer(&mut self) -> Result<BlobWriter, Problem> {
        let writer = (&mut self.writer).await;
        let writer = writer.map_err(|error| Problem::internal("writing a blob", &error))?;
        writer.map_err(|error| unwritten(&error))
    }
}

impl Holdings {
    /// Of a node.
    pub(crate) fn new(app: &App) -> Self {
        Self(Arc::new(Shared {
            store: app.blobs.clone(),
            copies: app.copies.clone(),
            pictures: app.pictures.clone(),
            replicator: app.replicator.clone(),
            sound: Mutex::default(),
            metrics: app.metrics.blobs().clone(),
            findings: app.findings.clone(),
        }))
    }

    /// Starts a blob of at most `limit` bytes.
    pub(crate) fn begin(&self, limit: u64) -> Incoming {
        let store = self.0.store.clone();
        let writer = tokio::task::spawn_blocking(move || store.writer());
        Incoming {
            buffer: Vec::new(),
            size: 0,
            limit,
            uploaded: self.0.metrics.uploaded.clone(),
            writer,
        }
    }

    /// Gives a blob its name here and copies it to as many other nodes as may crash. On return no f losses take it
    /// away.
    pub(crate) async fn keep(&self, staged: Staged) -> Result<(), Problem> {
        let (id, size) = (staged.id(), staged.size());
        self.commit(staged).await?;
        self.replicate(id, size).await
    }

    /// Gives a blob its name here.
    pub(crate) async fn commit(&self, staged: Staged) -> Result<(), Problem> {
        let committed = blocking(move || staged.commit()).await?;
        let error = match committed {
            Ok(_) => return Ok(()),
            Err(error) => error,
        };
        if is_full(&error.source) {
            return Err(disk_full());
        }
        Err(Problem::internal(
            "storing a blob",
            &format_args!("{error}: {}", error.source),
        ))
    }

    /// Makes a blob that is here safe: copies it to as many other nodes as may crash, or puts it into the store.
    pub(crate) async fn replicate(&self, id: BlobId, size: u64) -> Result<(), Problem> {
        let safe = self.0.copies.make_safe(id, size).await;
        safe.map_err(|error| {
            let code = match error {
                NotSafe::TooFewCopies(_) => Code::TooFewCopies,
                NotSafe::Store(_) => Code::StoreUnavailable,
            };
            Problem::new(code, format!("{error}; nothing was decided"))
        })
    }

    /// Once a command is decided that names a blob of this upload: whether it is still safe.
    pub(crate) async fn still_safe(&self, id: BlobId) -> Result<(), Problem> {
        let safe = self.0.copies.still_safe(id).await;
        safe.map_err(|error| {
            let detail = format!("decided, but {error}; retry with the same Idempotency-Key");
            Problem::new(Code::OutcomeUnknown, detail)
        })
    }

    /// A blob's bytes, from a peer if they are not here intact.
    pub(crate) async fn open(&self, id: BlobId) -> Result<Sound, Problem> {
        if let Some(sound) = self.check(id).await? {
            return Ok(sound);
        }
        // On its own, so that it goes on if this client leaves: the next one finds the bytes here.
        let fetching = tokio::spawn(self.clone().fetch_once(id));
        let fetched = fetching.await;
        fetched.map_err(|error| Problem::internal("fetching a blob", &error))?
    }

    /// Opens a blob that is here and intact.
    async fn check(&self, id: BlobId) -> Result<Option<Sound>, Problem> {
        let shared = Arc::clone(&self.0);
        let checked = blocking(move || shared.check(id)).await?;
        checked.map_err(|error| Problem::internal("reading a blob", &chain_of_causes(&error)))
    }

    async fn fetch_once(self, id: BlobId) -> Result<Sound, Problem> {
        let is_here = async || matches!(self.check(id).await, Ok(Some(_)));
        if self.0.replicator.is_lost(id).await {
            let place = Place::Blob(id);
            self.0.findings.report(place, "its file is gone", None);
        }
        let fetched = self.0.copies.fetch(id, is_here).await;
        fetched.map_err(|error| match error {
            FetchError::DiskFull => disk_full(),
            FetchError::Unavailable => Problem::new(Code::BytesUnavailable, error.to_string()),
        })?;
        let sound = self.check(id).await?;
        if sound.is_some() {
            self.0.findings.whole(&Place::Blob(id), "another node");
        }
        sound.ok_or_else(|| {
            let detail = "these bytes were fetched and are damaged again; look at the disk";
            Problem::new(Code::BytesUnavailable, detail)
        })
    }

    /// What a blob's bytes, and what came with them, say; keeps the thumbnails.
    pub(crate) async fn examine(&self, id: BlobId, around: Around) -> Result<Seen, Problem> {
        let seen = self.0.pictures.examine(id, around).await;
        seen.map_err(|error| Problem::internal("looking at a file", &error))
    }

    /// A JPEG of at most `px` on its longest side: one that is here, else made here if the bytes are, else from another
    /// node, which may have the decoder that is missing here. Nothing if nobody can decode the blob.
    pub(crate) async fn thumbnail(&self, id: BlobId, px: u32) -> Result<Option<Vec<u8>>, Problem> {
        let pictures = &self.0.pictures;
        let failed = |error| Problem::internal("making a thumbnail", &error);
        if let Some(kept) = pictures.kept(id, px).await.map_err(failed)? {
            return Ok(Some(kept));
        }
        let here = self.check(id).await?.is_some();
        if here && let Some(made) = pictures.make(id, px).await.map_err(failed)? {
            return Ok(Some(made));
        }
        if let Some(theirs) = self.0.copies.thumbnail(id, px).await {
            pictures.keep_theirs(id, px, theirs.clone()).await;
            return Ok(Some(theirs));
        }
        if here {
            return Ok(None);
        }
        self.open(id).await?;
        pictures.make(id, px).await.map_err(failed)
    }
}

impl Shared {
    fn check(&self, id: BlobId) -> Result<Option<Sound>, ReadError> {
        let failed = |source| ReadError::Read { id, source };
        let Some((file, size)) = self.store.open_blob(id)? else {
            return Ok(None);
        };
        let stamp = Stamp::of(&file.metadata().map_err(failed)?);
        let sound = Sound { file, size };
        if self.remembered(id) == Some(stamp) {
            return Ok(Some(sound));
        }
        match self.store.verify(id)? {
            Verdict::Sound => {
                self.remember(id, stamp);
                Ok(Some(sound))
            }
            Verdict::Absent => Ok(None),
            Verdict::Damaged { found, quarantine } => {
                let what = format!("its bytes hash to {found}");
                self.findings
                    .report(Place::Blob(id), what, Some(quarantine));
                Ok(None)
            }
        }
    }

    fn remembered(&self, id: BlobId) -> Option<Stamp> {
        self.sound
            .lock()
            .expect("nothing panics while it holds the stamps")
            .get(&id)
            .copied()
    }

    fn remember(&self, id: BlobId, stamp: Stamp) {
        let mut sound = self.sound.lock().expect("see remembered");
        if sound.len() >= SOUND_MAX {
            sound.clear();
        }
        sound.insert(id, stamp);
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Problem> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Problem::internal("working on a blob", &error))
}

fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

fn disk_full() -> Problem {
    Problem::new(
        Code::DiskFull,
        "the node's disk is full; another node may have room",
    )
}

fn unwritten(error: &WriteError) -> Problem {
    match error {
        WriteError::Full { .. } => disk_full(),
        WriteError::Io { .. } => Problem::internal("writing a blob", &chain_of_causes(error)),
    }
}
