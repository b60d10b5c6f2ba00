//! Blobs as objects: their keys, and how one is stored, read and put aside.
//!
//! ```text
//! {chain}/blobs/{digit}/{sha256}   a blob, on the shelf of its first hexadecimal digit
//! {chain}/aside/{sha256}.{token}   one that nobody names, for a while
//! {chain}/damaged/{sha256}.{token} what was found under a blob's key and is not it
//! {chain}/tried/{token}            what a node tries the store with
//! ```
//!
//! A key says what the bytes hash to, so nobody overwrites anything but damage. Every token is drawn anew: who deletes what
//! was put aside deletes that one and not what was put aside since.

use std::io;
use std::path::Path;
use std::time::SystemTime;

use blobs::{CommitError, Store as Disk, WriteError};
use model::{BlobId, ChainId, Digest};
use objects::{Head, OpenError, Patience, PutFileError, Store, StoreError};
use tracing::error;

/// Shelves, each listed at once: a million blobs are lists of some sixty thousand.
pub(super) const SHELVES: u8 = 16;
/// How long a call may take: a client may be waiting.
const PATIENCE: Patience = Patience {
    tries: 3,
    pause: std::time::Duration::from_millis(200),
    answer: std::time::Duration::from_secs(15),
    bytes_per_second: 64 << 10,
};

/// Why a blob is not where it was to be.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ShelfError {
    /// The store does not do what it is asked.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It did not a moment ago.
    #[error("{0}")]
    Failing(String),
    /// What is there is not the blob.
    #[error("the object of blob {id} in the store {place} is damaged: its bytes hash to {found}")]
    Damaged {
        /// Which.
        id: BlobId,
        /// Where.
        place: String,
        /// What they hash to.
        found: Digest,
    },
    /// What is on this disk is not the blob.
    #[error("blob {0} is damaged on this node's disk")]
    OwnCopy(BlobId),
    /// It was taken away as soon as it was there.
    #[error("blob {0} is not in the store although it was stored a moment ago")]
    Vanished(BlobId),
    /// It could not be written to the disk.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// It could not be named on the disk.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// The node shuts down.
    #[error("this node shuts down")]
    Shutdown(#[source] io::Error),
}

impl ShelfError {
    /// Whether it says something of the store, and not of this node.
    pub(super) fn is_of_store(&self) -> bool {
        match self {
            Self::Store(StoreError::File { .. }) => false,
            Self::Store(_) | Self::Failing(_) | Self::Vanished(_) => true,
            _ => false,
        }
    }
}

/// A blob in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shelved {
    pub(super) blob: BlobId,
    pub(super) size: u64,
    /// When it came there, by the store's clock.
    pub(super) since: SystemTime,
}

/// A blob that was put aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Aside {
    pub(super) blob: BlobId,
    name: String,
    pub(super) since: SystemTime,
}

/// The objects of one chain in a store. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Shelves {
    store: Store,
    chain: ChainId,
}

impl Shelves {
    /// # Errors
    /// If the URL names no store, or this machine lacks what it takes to open it.
    pub(crate) fn open(url: &str, chain: ChainId) -> Result<Self, OpenError> {
        Ok(Self::of(Store::open(url)?.with_patience(PATIENCE), chain))
    }

    pub(super) fn of(store: Store, chain: ChainId) -> Self {
        Self { store, chain }
    }

    fn key(&self, id: BlobId) -> String {
        let [first, ..] = id.0;
        format!("{}/blobs/{:x}/{id}", self.chain, first >> 4)
    }

    /// Tries whether this machine may do with the store what it takes, and whether the store keeps what is there.
    pub(super) async fn try_out(&self) -> Result<(), StoreError> {
        self.store.probe().await?;
        let key = format!("{}/tried/{}", self.chain, token());
        self.store.try_out(&key).await
    }

    /// Stores a file's bytes and reads them back. Gives the object's tag.
    pub(super) async fn put(
        &self,
        id: BlobId,
        size: u64,
        file: &Path,
    ) -> Result<Option<String>, ShelfError> {
        for again in [false, true] {
            let key = self.key(id);
            match self.store.put_file(&key, file, size, Digest(id.0)).await {
                Ok(_) => {}
                Err(PutFileError::Store(error)) => return Err(error.into()),
                Err(PutFileError::Damaged { .. }) => return Err(ShelfError::OwnCopy(id)),
            }
            match self.check(id).await {
                Ok(Some(head)) => return Ok(head.tag),
                Ok(None) => {}
                Err(damage @ ShelfError::Damaged { .. }) if !again => {
                    error!(%damage, "an object is put aside and stored anew");
                    self.put_damage_aside(id).await?;
                }
                Err(error) => return Err(error),
            }
        }
        Err(ShelfError::Vanished(id))
    }

    /// Reads an object from its first byte to its last; nothing if there is none.
    pub(super) async fn check(&self, id: BlobId) -> Result<Option<Head>, ShelfError> {
        let Some((found, head)) = self.store.hash(&self.key(id)).await? else {
            return Ok(None);
        };
        if found.sha256.0 == id.0 {
            return Ok(Some(head));
        }
        Err(self.damaged(id, found.sha256))
    }

    fn damaged(&self, id: BlobId, found: Digest) -> ShelfError {
        ShelfError::Damaged {
            id,
            place: self.store.place().to_owned(),
            found,
        }
    }

    pub(super) async fn put_damage_aside(&self, id: BlobId) -> Result<(), ShelfError> {
        let aside = format!("{}/damaged/{id}.{}", self.chain, token());
        self.store.copy(&self.key(id), &aside).await?;
        Ok(self.store.remove(&self.key(id)).await?)
    }

    /// What the store says of a blob without giving its bytes.
    pub(super) async fn head(&self, id: BlobId) -> Result<Option<Head>, ShelfError> {
        Ok(self.store.head(&self.key(id)).await?)
    }

    /// Brings a blob to a disk; nothing if it is not there. Also one that was put aside: who wants it names it.
    pub(super) async fn fetch(
        &self,
        id: BlobId,
        disk: &Disk,
    ) -> Result<Option<Option<String>>, ShelfError> {
        if let Some(tag) = self.bring(id, &self.key(id), disk).await? {
            return Ok(Some(tag));
        }
        for aside in self.asides().await? {
            let key = self.aside_key(&aside.name);
            if aside.blob == id && self.bring(id, &key, disk).await?.is_some() {
                // The tag is another object's.
                return Ok(Some(None));
            }
        }
        Ok(None)
    }

    async fn bring(
        &self,
        id: BlobId,
        key: &str,
        disk: &Disk,
    ) -> Result<Option<Option<String>>, ShelfError> {
        let Some(mut pieces) = self.store.pieces(key).await? else {
            return Ok(None);
        };
        let disk = disk.clone();
        let mut writer = blocking(move || disk.writer()).await??;
        while let Some(piece) = pieces.next().await? {
            writer = blocking(move || writer.write(&piece).map(|()| writer)).await??;
        }
        let staged = blocking(move || writer.finish()).await??;
        if staged.id() != id {
            return Err(self.damaged(id, Digest(staged.id().0)));
        }
        blocking(move || staged.commit()).await??;
        Ok(Some(pieces.head().tag.clone()))
    }

    /// The blobs whose names begin with a hexadecimal digit.
    pub(super) async fn shelf(&self, digit: u8) -> Result<Vec<Shelved>, ShelfError> {
        let shelf = format!("{}/blobs/{digit:x}", self.chain);
        let listed = self.store.list(&shelf).await?;
        let blobs = listed.into_iter().filter_map(|object| {
            Some(Shelved {
                blob: object.name.parse().ok()?,
                size: object.length,
                since: object.modified,
            })
        });
        Ok(blobs.collect())
    }

    /// Deletes a blob.
    pub(super) async fn remove(&self, id: BlobId) -> Result<(), ShelfError> {
        Ok(self.store.remove(&self.key(id)).await?)
    }

    /// Deletes a blob and all that was put aside of it.
    pub(super) async fn erase(&self, id: BlobId) -> Result<(), ShelfError> {
        self.remove(id).await?;
        for folder in ["aside", "damaged"] {
            let folder = format!("{}/{folder}", self.chain);
            for object in self.store.list(&folder).await? {
                if object.name.split('.').next() == Some(id.to_string().as_str()) {
                    self.store
                        .remove(&format!("{folder}/{}", object.name))
                        .await?;
                }
            }
        }
        Ok(())
    }

    fn aside_key(&self, name: &str) -> String {
        format!("{}/aside/{name}", self.chain)
    }

    /// Everything that was put aside.
    pub(super) async fn asides(&self) -> Result<Vec<Aside>, ShelfError> {
        let listed = self.store.list(&format!("{}/aside", self.chain)).await?;
        let asides = listed.into_iter().filter_map(|object| {
            let (id, _) = object.name.split_once('.')?;
            Some(Aside {
                blob: id.parse().ok()?,
                since: object.modified,
                name: object.name,
            })
        });
        Ok(asides.collect())
    }

    /// Puts a blob aside. There is never a moment at which it is nowhere.
    pub(super) async fn put_aside(&self, id: BlobId) -> Result<(), ShelfError> {
        let aside = self.aside_key(&format!("{id}.{}", token()));
        if self.store.copy(&self.key(id), &aside).await? {
            self.remove(id).await?;
        }
        Ok(())
    }

    /// Puts a blob back that was put aside.
    pub(super) async fn bring_back(&self, aside: &Aside) -> Result<(), ShelfError> {
        let (from, to) = (self.aside_key(&aside.name), self.key(aside.blob));
        if self.store.head(&to).await?.is_none() {
            self.store.copy(&from, &to).await?;
        }
        Ok(self.store.remove(&from).await?)
    }

    /// Deletes what was put aside.
    pub(super) async fn drop_aside(&self, aside: &Aside) -> Result<(), ShelfError> {
        Ok(self.store.remove(&self.aside_key(&aside.name)).await?)
    }
}

/// What nobody else has drawn.
fn token() -> String {
    let mut bytes = [0_u8; 8];
    // Without randomness two nodes could draw the same, at the same time, for the same blob: as good as never.
    _ = getrandom::fill(&mut bytes);
    format!("{:016x}", u64::from_be_bytes(bytes))
}

pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ShelfError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| ShelfError::Shutdown(io::Error::other(error)))
}
