//! One chain's part of a store: adding to it.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use model::{Block, ChainId, Decode as _, Digest, Encode as _};
use sha2::{Digest as _, Sha256};

use crate::SegmentName;
use crate::layout::{self, Copy, Coverage};
use crate::manifest::{Manifest, Signer};
use objects::{Created, OBJECT_MAX, Store, StoreError};

/// A genesis block is one block, and a manifest a line.
const SMALL_MAX: u64 = 4 << 20;

/// What became of [`Archive::add`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Added {
    /// It is in the archive now, and this node brought it.
    Brought,
    /// Somebody else had brought it.
    AlreadyThere,
    /// What was there is damaged, so this node put its own copy beside it.
    Beside {
        /// What is wrong with the object that was there.
        what: String,
    },
}

/// Why something was not added to an archive, or not found in it.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The store did not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Another genesis block is there. Two chains of one id are one too many.
    #[error("the archive {place} holds another genesis block of chain {chain}")]
    OtherGenesis {
        /// Which archive.
        place: String,
        /// Whose.
        chain: ChainId,
    },
    /// There is none.
    #[error("the archive {place} holds nothing of chain {chain}")]
    NoGenesis {
        /// Which archive.
        place: String,
        /// Whose.
        chain: ChainId,
    },
    /// It is damaged, or none.
    #[error("the genesis block of chain {chain} in the archive {place} is damaged")]
    DamagedGenesis {
        /// Which archive.
        place: String,
        /// Whose.
        chain: ChainId,
    },
}

/// The part of a store that belongs to one chain. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Archive {
    store: Store,
    chain: ChainId,
}

impl Archive {
    /// The part of this chain.
    pub fn new(store: Store, chain: ChainId) -> Self {
        Self { store, chain }
    }

    /// The chains of which a store holds something.
    ///
    /// # Errors
    /// If the store cannot be listed.
    pub async fn chains(store: &Store) -> Result<Vec<ChainId>, StoreError> {
        let folders = store.folders().await?;
        Ok(folders
            .iter()
            .filter_map(|name| name.parse().ok())
            .collect())
    }

    /// Where it is.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Whose it is.
    pub fn chain(&self) -> ChainId {
        self.chain
    }

    /// Makes sure that the genesis block is there.
    ///
    /// # Errors
    /// [`ArchiveError::OtherGenesis`] if it is another one, or what the store says.
    pub async fn found(&self, genesis: &Block) -> Result<Created, ArchiveError> {
        let bytes = Bytes::from(genesis.to_bytes());
        let key = layout::genesis_key(self.chain);
        let created = self.store.create(&key, bytes.clone()).await?;
        if created == Created::AlreadyThere && self.genesis_bytes().await? != bytes {
            let (place, chain) = (self.place(), self.chain);
            return Err(ArchiveError::OtherGenesis { place, chain });
        }
        Ok(created)
    }

    /// The genesis block. That it is the right one is for the caller to know.
    ///
    /// # Errors
    /// If there is none, or none of this chain.
    pub async fn genesis(&self) -> Result<Block, ArchiveError> {
        let bytes = self.genesis_bytes().await?;
        let block = Block::from_bytes(&bytes).ok();
        let ours = block.filter(|block| {
            block.header().chain == self.chain && block.founded_membership().is_some()
        });
        let (place, chain) = (self.place(), self.chain);
        ours.ok_or(ArchiveError::DamagedGenesis { place, chain })
    }

    async fn genesis_bytes(&self) -> Result<Bytes, ArchiveError> {
        let key = layout::genesis_key(self.chain);
        let found = self.store.read(&key, SMALL_MAX).await?;
        let (place, chain) = (self.place(), self.chain);
        found.ok_or(ArchiveError::NoGenesis { place, chain })
    }

    /// What the archive says that it holds.
    ///
    /// # Errors
    /// If the store cannot be listed.
    pub async fn coverage(&self) -> Result<Coverage, StoreError> {
        // In this order: a manifest without its segment would be the odd one.
        let manifests = self.store.list(&layout::manifests(self.chain)).await?;
        let segments = self.store.list(&layout::segments(self.chain)).await?;
        Ok(Coverage::of(segments, manifests))
    }

    /// Adds a sealed segment, unless it is there. One that is there without a manifest (its node was stopped in between)
    /// is looked at: if it is the same, or `judge` finds nothing wrong with it, this node signs for it; if it is damaged,
    /// this node's own copy is put beside it. `spare` names a file that may be written meanwhile.
    ///
    /// # Errors
    /// A [`StoreError`]. Adding it again does no harm.
    pub async fn add(
        &self,
        file: &Path,
        name: SegmentName,
        signer: &dyn Signer,
        spare: &Path,
        judge: impl FnOnce(&Path) -> Result<(), String> + Send + 'static,
    ) -> Result<Added, StoreError> {
        let (bytes, ours) = read_and_hash(file).await?;
        let first = Copy::first(name);
        if self
            .store
            .create(&first.key(self.chain), bytes.clone())
            .await?
            == Created::New
        {
            let length = bytes.len() as u64;
            self.sign(&first, (ours, length), signer).await?;
            return Ok(Added::Brought);
        }
        if self.manifest(&first).await?.is_some() {
            return Ok(Added::AlreadyThere);
        }
        match self.look_at(&first, ours, spare, judge).await? {
            Ok(found) => {
                self.sign(&first, found, signer).await?;
                Ok(Added::AlreadyThere)
            }
            Err(what) => {
                self.put_beside(name, (bytes, ours), signer).await?;
                Ok(Added::Beside { what })
            }
        }
    }

    /// Adds a segment for which nobody signs, as an export does.
    ///
    /// # Errors
    /// A [`StoreError`].
    pub async fn add_unsigned(
        &self,
        name: SegmentName,
        bytes: Vec<u8>,
    ) -> Result<Created, StoreError> {
        let key = Copy::first(name).key(self.chain);
        self.store.create(&key, Bytes::from(bytes)).await
    }

    /// Puts this node's copy of a segment beside one that is damaged.
    ///
    /// # Errors
    /// A [`StoreError`]. Doing it again does no harm.
    pub async fn add_beside(
        &self,
        file: &Path,
        name: SegmentName,
        signer: &dyn Signer,
    ) -> Result<(), StoreError> {
        let read = read_and_hash(file).await?;
        self.put_beside(name, read, signer).await
    }

    async fn put_beside(
        &self,
        name: SegmentName,
        (bytes, sha256): (Bytes, Digest),
        signer: &dyn Signer,
    ) -> Result<(), StoreError> {
        let copy = Copy::of(name, signer.node());
        let length = bytes.len() as u64;
        self.store.create(&copy.key(self.chain), bytes).await?;
        self.sign(&copy, (sha256, length), signer).await
    }

    async fn look_at(
        &self,
        copy: &Copy,
        ours: Digest,
        spare: &Path,
        judge: impl FnOnce(&Path) -> Result<(), String> + Send + 'static,
    ) -> Result<Result<(Digest, u64), String>, StoreError> {
        let key = copy.key(self.chain);
        let Some(found) = self.store.fetch(&key, spare, OBJECT_MAX).await? else {
            return Ok(Err("it is gone".to_owned()));
        };
        let verdict = if found.sha256 == ours {
            Ok(())
        } else {
            let spare = spare.to_owned();
            let judged = tokio::task::spawn_blocking(move || judge(&spare)).await;
            judged.unwrap_or_else(|error| Err(error.to_string()))
        };
        // It is only in the way now; the next look at a segment writes it anew.
        _ = tokio::fs::remove_file(spare).await;
        Ok(verdict.map(|()| (found.sha256, found.length)))
    }

    /// Signs for a copy that was written anew.
    pub(crate) async fn sign_again(
        &self,
        copy: &Copy,
        object: (Digest, u64),
        signer: &dyn Signer,
    ) -> Result<(), StoreError> {
        let manifest = Manifest::sign(self.chain, copy.name, object, signer);
        let key = copy.manifest_key(self.chain);
        let bytes = Bytes::from(manifest.to_json());
        self.store.overwrite(&key, bytes).await
    }

    async fn sign(
        &self,
        copy: &Copy,
        object: (Digest, u64),
        signer: &dyn Signer,
    ) -> Result<(), StoreError> {
        let manifest = Manifest::sign(self.chain, copy.name, object, signer);
        let bytes = Bytes::from(manifest.to_json());
        let key = copy.manifest_key(self.chain);
        self.store.create(&key, bytes).await.map(|_| ())
    }

    /// Whether somebody signed for a copy.
    ///
    /// # Errors
    /// If the store does not say.
    pub async fn is_signed(&self, copy: &Copy) -> Result<bool, StoreError> {
        Ok(self.manifest(copy).await?.is_some())
    }

    /// The manifest of a copy as it is there, if it is.
    pub(crate) async fn manifest(&self, copy: &Copy) -> Result<Option<Bytes>, StoreError> {
        let key = copy.manifest_key(self.chain);
        self.store.read(&key, SMALL_MAX).await
    }

    fn place(&self) -> String {
        self.store.place().to_owned()
    }
}

/// A whole segment: they are bounded, and only one is read at a time.
async fn read_and_hash(path: &Path) -> Result<(Bytes, Digest), StoreError> {
    let file = path.to_owned();
    let read = move || {
        let bytes = std::fs::read(&file)?;
        let sha256 = Digest(Sha256::digest(&bytes).into());
        Ok((Bytes::from(bytes), sha256))
    };
    let failed = |source| StoreError::File {
        path: PathBuf::from(path),
        source,
    };
    let read = tokio::task::spawn_blocking(read).await;
    read.map_err(|error| failed(std::io::Error::other(error)))?
        .map_err(failed)
}
