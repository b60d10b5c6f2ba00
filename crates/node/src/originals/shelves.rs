//! Blobs as objects: their keys, and how one is stored, read and put aside.
//!
//! ```text
//! {chain}/{era}/blobs/{digit}/{sha256}   a blob, on the shelf of its first hexadecimal digit
//! {chain}/{era}/aside/{sha256}.{token}   one that nobody names, for a while
//! {chain}/{era}/damaged/{sha256}.{token} what was found under a blob's key and is not it
//! {chain}/0/tried/{token}                what a node tries the store with
//! ```
//!
//! The era is the height at which the store was moved to: who is late to empty a store that was left does nothing to what
//! was brought there since.
//!
//! A chain that goes on from another reads what lies below that one's id and copies it; only its own objects are ever
//! changed, so that several clusters may go on from one.
//!
//! A key says what the bytes hash to, so nobody overwrites anything but damage. Every token is drawn anew: who deletes what
//! was put aside deletes that one and not what was put aside since.

use std::io;
use std::path::Path;
use std::time::SystemTime;

use blobs::{CommitError, Store as Disk, WriteError};
use model::{BlobId, ChainId, Digest, Height};
use objects::{Head, OpenError, Patience, PutFileError, Store, StoreError, Writing};
use tracing::error;

/// Shelves, each listed at once: a million blobs are lists of some sixty thousand.
pub(super) const SHELVES: u8 = 16;
/// Far below the rest that a copy has.
const REST_MIN: std::time::Duration = std::time::Duration::from_secs(3600);
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
    /// Below which its own objects lie.
    root: String,
    /// The same of the chains that it goes on from.
    before: Vec<String>,
}

impl Shelves {
    /// # Errors
    /// If the URL names no store, or this machine lacks what it takes to open it.
    pub(crate) fn open(url: &str, era: Height, chains: Vec<ChainId>) -> Result<Self, OpenError> {
        let store = Store::open(url)?.with_patience(PATIENCE);
        Ok(Self::of(store, era, chains))
    }

    /// The first chain is one's own.
    pub(super) fn of(store: Store, era: Height, chains: Vec<ChainId>) -> Self {
        let mut chains = chains.into_iter().map(|chain| format!("{chain}/{era}"));
        let root = chains.next().expect("every node has a chain");
        Self {
            store,
            root,
            before: chains.collect(),
        }
    }

    fn key(&self, id: BlobId) -> String {
        key(&self.root, id)
    }

    /// Tries whether this machine may do with the store what it takes, and whether the store keeps what is there.
    pub(super) async fn try_out(&self) -> Result<(), StoreError> {
        self.store.probe().await?;
        let key = format!("{}/tried/{}", self.root, token());
        self.store.try_out(&key).await
    }

    /// Stores a file's bytes and reads them back. Gives the object's tag.
    pub(super) async fn put(
        &self,
        id: BlobId,
        size: u64,
        file: &Path,
    ) -> Result<Option<String>, ShelfError> {
        let key = self.key(id);
        let mut writing = Writing::IfAbsent;
        for _ in 0..2 {
            let put = self.store.put_file(&key, file, size, Digest(id.0), writing);
            match put.await {
                Ok(_) => {}
                Err(PutFileError::Store(error)) => return Err(error.into()),
                Err(PutFileError::Damaged { .. }) => return Err(ShelfError::OwnCopy(id)),
            }
            match self.check(id).await {
                Ok(Some(head)) => return Ok(head.tag),
                Ok(None) => {}
                Err(damage @ ShelfError::Damaged { .. }) if writing == Writing::IfAbsent => {
                    error!(%damage, "an object is copied aside and stored anew");
                    self.keep_damage(id).await?;
                    writing = Writing::Always;
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

    /// Keeps what is under a blob's key and is not it. It stays there until the right bytes take its place at once: who
    /// deleted it could meet these.
    async fn keep_damage(&self, id: BlobId) -> Result<(), ShelfError> {
        let aside = format!("{}/damaged/{id}.{}", self.root, token());
        self.store.copy(&self.key(id), &aside).await?;
        Ok(())
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
        for chain in &self.before {
            if self.bring(id, &key(chain, id), disk).await?.is_some() {
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

    /// Takes over a blob from a chain that this one goes on from. False if there is none.
    pub(super) async fn adopt(&self, id: BlobId) -> Result<bool, ShelfError> {
        for root in &self.before {
            let theirs = key(root, id);
            if self.is_sound(&theirs, id).await? && self.store.copy(&theirs, &self.key(id)).await? {
                return Ok(self.check(id).await?.is_some());
            }
        }
        Ok(false)
    }

    /// Whether what is under a key is a blob's bytes.
    async fn is_sound(&self, key: &str, id: BlobId) -> Result<bool, ShelfError> {
        let found = self.store.hash(key).await?;
        Ok(found.is_some_and(|(found, _)| found.sha256.0 == id.0))
    }

    /// Whether there is anything to take over.
    pub(super) fn goes_on(&self) -> bool {
        !self.before.is_empty()
    }

    /// The blobs whose names begin with a hexadecimal digit.
    pub(super) async fn shelf(&self, digit: u8) -> Result<Vec<Shelved>, ShelfError> {
        let shelf = format!("{}/blobs/{digit:x}", self.root);
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
            let folder = format!("{}/{folder}", self.root);
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
        format!("{}/aside/{name}", self.root)
    }

    /// Everything that was put aside.
    pub(super) async fn asides(&self) -> Result<Vec<Aside>, ShelfError> {
        let listed = self.store.list(&format!("{}/aside", self.root)).await?;
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

    /// Puts a blob aside. There is never a moment at which it is nowhere. Nobody comes back to delete it after so long that
    /// the copy may be gone.
    pub(super) async fn put_aside(&self, id: BlobId) -> Result<(), ShelfError> {
        let began = SystemTime::now();
        let aside = self.aside_key(&format!("{id}.{}", token()));
        if !self.store.copy(&self.key(id), &aside).await? {
            return Ok(());
        }
        match began.elapsed() {
            Ok(took) if took < REST_MIN => self.remove(id).await,
            // This machine slept, or its clock was set. The next round does it.
            _ => Ok(()),
        }
    }

    /// Puts a blob back that was put aside.
    pub(super) async fn bring_back(&self, aside: &Aside) -> Result<(), ShelfError> {
        let (from, to) = (self.aside_key(&aside.name), self.key(aside.blob));
        if self.store.head(&to).await?.is_none() {
            if !self.is_sound(&from, aside.blob).await? {
                return Ok(());
            }
            self.store.copy(&from, &to).await?;
        }
        Ok(self.store.remove(&from).await?)
    }

    /// Deletes what was put aside.
    pub(super) async fn drop_aside(&self, aside: &Aside) -> Result<(), ShelfError> {
        Ok(self.store.remove(&self.aside_key(&aside.name)).await?)
    }
}

fn key(root: &str, id: BlobId) -> String {
    let [first, ..] = id.0;
    format!("{root}/blobs/{:x}/{id}", first >> 4)
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
