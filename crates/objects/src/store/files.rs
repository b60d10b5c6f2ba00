//! Objects of any length: brought up from files, read piece by piece, moved within the store.

use std::io;
use std::path::Path as FilePath;
use std::time::SystemTime;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use model::Digest;
use object_store::path::Path;
use object_store::{GetOptions, ObjectMeta, ObjectStoreExt as _, WriteMultipart};
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncReadExt as _;

use super::{Created, Fetched, Store, StoreError, error_chain, may_pass, without_queries};

/// What goes up in one call; longer files go up in parts of this size.
const PART_BYTES: usize = 16 << 20;
/// Parts on their way at one time.
const PARTS_AT_ONCE: usize = 2;
/// What stores copy by themselves; longer objects go through this machine.
const COPY_MAX: u64 = 4 << 30;

/// What is known of an object without its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Its length in bytes.
    pub length: u64,
    /// By which the store tells these bytes from others of the same key, if it does.
    pub tag: Option<String>,
    /// When it was written, by the store's clock.
    pub modified: SystemTime,
}

impl Head {
    pub(super) fn of(meta: &ObjectMeta) -> Self {
        Self {
            length: meta.size,
            tag: meta.e_tag.clone(),
            modified: meta.last_modified.into(),
        }
    }
}

/// What a file does to an object that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writing {
    /// It leaves it alone.
    IfAbsent,
    /// It takes its place, at once.
    Always,
}

/// Why a file is not in the store.
#[derive(Debug, thiserror::Error)]
pub enum PutFileError {
    /// The store did not take it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The file holds other bytes than was said.
    #[error("the file to be stored as {key} is damaged: its bytes hash to {found}")]
    Damaged {
        /// The object it was to be.
        key: String,
        /// What they hash to.
        found: Digest,
    },
}

/// An object on its way here.
pub struct Pieces {
    store: Store,
    key: String,
    head: Head,
    stream: BoxStream<'static, object_store::Result<Bytes>>,
}

impl Pieces {
    /// What is known of it.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// The next bytes; nothing at the end.
    ///
    /// # Errors
    /// A [`StoreError`] if they do not come.
    pub async fn next(&mut self) -> Result<Option<Bytes>, StoreError> {
        let next = self.store.next_piece(&mut self.stream).await;
        next.map_err(|error| self.store.failed(&self.key, &error))
    }
}

impl Store {
    /// What is known of an object; nothing if there is none.
    ///
    /// # Errors
    /// A [`StoreError`].
    pub async fn head(&self, key: &str) -> Result<Option<Head>, StoreError> {
        let location = self.location(key);
        let head = || self.objects.head(&location);
        let found = self.persist(key, self.patience.answer, head).await?;
        Ok(found.map(|meta| Head::of(&meta)))
    }

    /// Begins to read an object of any length; nothing if there is none. What breaks off is not tried again here.
    ///
    /// # Errors
    /// A [`StoreError`].
    pub async fn pieces(&self, key: &str) -> Result<Option<Pieces>, StoreError> {
        let location = self.location(key);
        let get = || self.objects.get_opts(&location, GetOptions::default());
        let found = self.persist(key, self.patience.answer, get).await?;
        Ok(found.map(|object| Pieces {
            store: self.clone(),
            key: key.to_owned(),
            head: Head::of(&object.meta),
            stream: object.into_stream(),
        }))
    }

    /// Reads an object from its first byte to its last and keeps only its length and hash; nothing if there is none.
    ///
    /// # Errors
    /// A [`StoreError`].
    pub async fn hash(&self, key: &str) -> Result<Option<(Fetched, Head)>, StoreError> {
        let Some(mut pieces) = self.pieces(key).await? else {
            return Ok(None);
        };
        let (mut length, mut hasher) = (0, Sha256::new());
        while let Some(piece) = pieces.next().await? {
            length += piece.len() as u64;
            hasher.update(&piece);
        }
        let sha256 = Digest(hasher.finalize().into());
        Ok(Some((Fetched { length, sha256 }, pieces.head)))
    }

    /// Brings a file up. Memory does not grow with it; of bytes that do not hash to
    /// `sha256` no object is made.
    ///
    /// # Errors
    /// A [`PutFileError`]. After a [`StoreError`] the object may be there all the same.
    pub async fn put_file(
        &self,
        key: &str,
        file: &FilePath,
        size: u64,
        sha256: Digest,
        writing: Writing,
    ) -> Result<Created, PutFileError> {
        let failed = |source| StoreError::File {
            path: file.to_owned(),
            source,
        };
        if size <= PART_BYTES as u64 {
            let bytes = tokio::fs::read(file).await.map_err(failed)?;
            let found = Digest::of(&[&bytes]);
            if found != sha256 {
                let key = key.to_owned();
                return Err(PutFileError::Damaged { key, found });
            }
            return match writing {
                Writing::IfAbsent => Ok(self.create(key, bytes.into()).await?),
                Writing::Always => {
                    self.overwrite(key, bytes.into()).await?;
                    Ok(Created::New)
                }
            };
        }
        if writing == Writing::IfAbsent && self.head(key).await?.is_some() {
            return Ok(Created::AlreadyThere);
        }
        let location = self.location(key);
        let send = || self.send_parts(&location, file, sha256);
        let sent = self.persist(key, self.patience.for_bytes(size), send).await;
        let sent = sent?.ok_or_else(|| self.refused(key, "there is no such bucket"))?;
        match sent {
            Sent::Whole => Ok(Created::New),
            Sent::Damaged(found) => {
                let key = key.to_owned();
                Err(PutFileError::Damaged { key, found })
            }
            Sent::Disk(source) => Err(failed(source).into()),
        }
    }

    async fn send_parts(
        &self,
        location: &Path,
        file: &FilePath,
        sha256: Digest,
    ) -> object_store::Result<Sent> {
        let upload = self.objects.put_multipart(location).await?;
        let mut upload = WriteMultipart::new_with_chunk_size(upload, PART_BYTES);
        let sent = match self.send_pieces(&mut upload, file).await? {
            Ok(found) if found == sha256 => Sent::Whole,
            Ok(found) => Sent::Damaged(found),
            Err(error) => Sent::Disk(error),
        };
        match sent {
            Sent::Whole => _ = upload.finish().await?,
            _ => upload.abort().await?,
        }
        Ok(sent)
    }

    async fn send_pieces(
        &self,
        upload: &mut WriteMultipart,
        file: &FilePath,
    ) -> object_store::Result<io::Result<Digest>> {
        let mut file = match tokio::fs::File::open(file).await {
            Ok(file) => file,
            Err(error) => return Ok(Err(error)),
        };
        let mut hasher = Sha256::new();
        let mut piece = vec![0; 1 << 20];
        loop {
            let count = match file.read(&mut piece).await {
                Ok(0) => return Ok(Ok(Digest(hasher.finalize().into()))),
                Ok(count) => count,
                Err(error) => return Ok(Err(error)),
            };
            let read = piece.get(..count).unwrap_or_default();
            hasher.update(read);
            upload.wait_for_capacity(PARTS_AT_ONCE).await?;
            upload.write(read);
        }
    }

    /// Makes an object with another one's bytes, young even where the first is old. False if there is none.
    ///
    /// # Errors
    /// A [`StoreError`]. The copy may be there all the same.
    pub async fn copy(&self, from: &str, to: &str) -> Result<bool, StoreError> {
        let Some(head) = self.head(from).await? else {
            return Ok(false);
        };
        let (source, target) = (self.location(from), self.location(to));
        let time = self.patience.for_bytes(head.length);
        // A folder would make a second name of the old file.
        if self.root.is_some() || head.length > COPY_MAX {
            let through = || self.copy_through(&source, &target);
            return Ok(self.persist(from, time, through).await?.is_some());
        }
        let copy = || self.objects.copy(&source, &target);
        Ok(self.persist(from, time, copy).await?.is_some())
    }

    async fn copy_through(&self, from: &Path, to: &Path) -> object_store::Result<()> {
        let object = self.objects.get_opts(from, GetOptions::default()).await?;
        let mut pieces = object.into_stream();
        let upload = self.objects.put_multipart(to).await?;
        let mut upload = WriteMultipart::new_with_chunk_size(upload, PART_BYTES);
        while let Some(piece) = pieces.next().await {
            upload.wait_for_capacity(PARTS_AT_ONCE).await?;
            upload.put(piece?);
        }
        upload.finish().await?;
        Ok(())
    }

    fn failed(&self, key: &str, error: &object_store::Error) -> StoreError {
        let what = without_queries(&error_chain(error));
        if may_pass(error) {
            return StoreError::Unavailable {
                place: self.place.to_string(),
                key: key.to_owned(),
                what,
            };
        }
        self.refused(key, what)
    }

    /// Writes an object, reads it, and deletes it: whether this machine may do all that with the store.
    ///
    /// # Errors
    /// A [`StoreError`] for the first that it may not.
    pub async fn try_out(&self, key: &str) -> Result<(), StoreError> {
        let bytes = Bytes::from_static(
            b"A Starling node tries whether it can write, read and delete here.\n",
        );
        self.create(key, bytes.clone()).await?;
        let read = self.read(key, 1 << 10).await?;
        if read.as_ref() != Some(&bytes) {
            return Err(self.refused(
                key,
                "what was written there a moment ago does not come back",
            ));
        }
        self.remove(key).await?;
        match self.head(key).await? {
            None => Ok(()),
            Some(_) => Err(self.refused(key, "what was deleted there a moment ago is still there")),
        }
    }
}

/// How bringing up a file ended. Only what the store did is tried again.
enum Sent {
    Whole,
    Damaged(Digest),
    Disk(io::Error),
}
