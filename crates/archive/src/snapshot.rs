//! Snapshots: the state at one height in parts, under an index whose digest nodes vouch for in the chain.
//!
//! ```text
//! {chain}/snapshots/{height}.{digest}.index     which parts
//! {chain}/snapshots/{height}.{sha256}.part      8 MiB of one of the two streams, the last one shorter
//! Index = u8 20 ‖ "starling/snapshot/v1" ‖ ChainId ‖ Height ‖ BlockHash ‖ u32 version ‖ Part* core ‖ Part* catalogue
//! Part  = Digest sha256 ‖ u32 length
//! ```
//!
//! In a node's folder they lie under the same names. Nothing of the chain rests on them, so unlike everything else in an
//! archive they are deleted: because of a purge, or because a newer one is there.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use model::codec::{Decode, DecodeError, Encode, Reader};
use model::{BlockHash, ChainId, Digest, Height, codec_struct};

use crate::archive::Archive;
use objects::StoreError;

/// Bytes of a part.
pub const PART_BYTES: usize = 8 << 20;
const LABEL: &[u8] = b"starling/snapshot/v1";
/// An index of so many bytes names a hundred terabytes.
const INDEX_MAX: u64 = 64 << 20;

/// A piece of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// The SHA-256 of its bytes.
    pub sha256: Digest,
    /// How many there are.
    pub length: u32,
}

codec_struct!(Part { sha256, length });

impl Part {
    /// Of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self {
            sha256: Digest::of(&[bytes]),
            length: u32::try_from(bytes.len()).expect("a part is short"),
        }
    }

    /// Whether these are its bytes.
    pub fn is(&self, bytes: &[u8]) -> bool {
        bytes.len() <= PART_BYTES && *self == Self::of(bytes)
    }
}

/// What a snapshot consists of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotIndex {
    /// The chain of the block.
    pub chain: ChainId,
    /// The block's height.
    pub height: Height,
    /// Its hash.
    pub hash: BlockHash,
    /// The version of the catalogue's tables.
    pub version: u32,
    /// The core state.
    pub core: Vec<Part>,
    /// The catalogue's rows.
    pub catalogue: Vec<Part>,
}

impl Encode for SnapshotIndex {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(u8::try_from(LABEL.len()).expect("the label is short"));
        out.extend_from_slice(LABEL);
        self.chain.encode(out);
        self.height.encode(out);
        self.hash.encode(out);
        self.version.encode(out);
        self.core.encode(out);
        self.catalogue.encode(out);
    }
}

impl Decode for SnapshotIndex {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let length = u8::decode(input)?;
        if input.take(length.into())? != LABEL {
            return Err(DecodeError::Invalid {
                what: "snapshot index",
                value: length.into(),
            });
        }
        Ok(Self {
            chain: Decode::decode(input)?,
            height: Decode::decode(input)?,
            hash: Decode::decode(input)?,
            version: Decode::decode(input)?,
            core: Decode::decode(input)?,
            catalogue: Decode::decode(input)?,
        })
    }
}

impl SnapshotIndex {
    /// By which the snapshot is named.
    pub fn digest(&self) -> Digest {
        Digest::of(&[&self.to_bytes()])
    }

    /// What the file or object is called.
    pub fn name(&self) -> SnapshotName {
        SnapshotName {
            height: self.height,
            digest: self.digest(),
            is_index: true,
        }
    }

    /// Its parts, those of the core state first.
    pub fn parts(&self) -> impl Iterator<Item = &Part> {
        self.core.iter().chain(&self.catalogue)
    }

    /// The name of one of its parts.
    pub fn part_name(&self, part: &Part) -> SnapshotName {
        SnapshotName {
            height: self.height,
            digest: part.sha256,
            is_index: false,
        }
    }

    /// Reads an index that is to be of this name.
    pub fn check(bytes: &[u8], name: SnapshotName) -> Option<Self> {
        let index = Self::from_bytes(bytes).ok()?;
        (index.name() == name).then_some(index)
    }
}

/// What a file or an object of a snapshot is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SnapshotName {
    /// The snapshot's height.
    pub height: Height,
    /// The SHA-256 of its bytes.
    pub digest: Digest,
    /// Whether it is the index, or a part.
    pub is_index: bool,
}

impl std::fmt::Display for SnapshotName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = if self.is_index { "index" } else { "part" };
        write!(f, "{:012}.{}.{kind}", self.height.0, self.digest)
    }
}

/// The text is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("it is no name of a snapshot's file")]
pub struct NoSnapshotName;

impl std::str::FromStr for SnapshotName {
    type Err = NoSnapshotName;

    fn from_str(text: &str) -> Result<Self, NoSnapshotName> {
        let mut pieces = text.split('.');
        let (Some(height), Some(digest), Some(kind), None) =
            (pieces.next(), pieces.next(), pieces.next(), pieces.next())
        else {
            return Err(NoSnapshotName);
        };
        let name = Self {
            height: Height(height.parse().map_err(|_| NoSnapshotName)?),
            digest: digest.parse().map_err(|_| NoSnapshotName)?,
            is_index: kind == "index",
        };
        if name.to_string() == text {
            Ok(name)
        } else {
            Err(NoSnapshotName)
        }
    }
}

/// Why a snapshot was not brought.
#[derive(Debug, thiserror::Error)]
pub enum FetchSnapshotError {
    /// The store did not give it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What it gave is something else.
    #[error("{object} in the archive {place} is damaged or missing")]
    Damaged {
        /// Which archive.
        place: String,
        /// Which object.
        object: String,
    },
}

fn folder_of(chain: ChainId) -> String {
    format!("{chain}/snapshots")
}

impl SnapshotName {
    /// Where it lies in the archive of a chain.
    pub fn key(self, chain: ChainId) -> String {
        format!("{}/{self}", folder_of(chain))
    }
}

impl Archive {
    /// The indexes that are there, newest first. Nothing of them is verified.
    ///
    /// # Errors
    /// A [`StoreError`].
    pub async fn snapshots(&self) -> Result<Vec<SnapshotName>, StoreError> {
        let mut names = self.snapshot_objects().await?;
        names.retain(|name| name.is_index);
        names.sort_by(|a, b| b.cmp(a));
        Ok(names)
    }

    async fn snapshot_objects(&self) -> Result<Vec<SnapshotName>, StoreError> {
        let listed = self.store().list(&self.snapshots_folder()).await?;
        let names = listed.iter().filter_map(|object| object.name.parse().ok());
        Ok(names.collect())
    }

    fn snapshots_folder(&self) -> String {
        folder_of(self.chain())
    }

    fn snapshot_key(&self, name: SnapshotName) -> String {
        name.key(self.chain())
    }

    /// Adds a snapshot whose files lie in a folder: what is there already stays, the index comes last.
    ///
    /// # Errors
    /// A [`StoreError`]. Adding it again does no harm.
    pub async fn add_snapshot(
        &self,
        folder: &Path,
        index: &SnapshotIndex,
    ) -> Result<(), StoreError> {
        let there = self.snapshot_objects().await?;
        let parts = index.parts().map(|part| index.part_name(part));
        for name in parts.chain([index.name()]) {
            if there.contains(&name) {
                continue;
            }
            let path = folder.join(name.to_string());
            let bytes = tokio::fs::read(&path).await;
            let bytes = bytes.map_err(|source| StoreError::File { path, source })?;
            let key = self.snapshot_key(name);
            self.store().create(&key, Bytes::from(bytes)).await?;
        }
        Ok(())
    }

    /// Brings a snapshot into a folder, every piece of it checked.
    ///
    /// # Errors
    /// A [`FetchSnapshotError`]. Parts that are there already are of use to the next attempt.
    pub async fn fetch_snapshot(
        &self,
        name: SnapshotName,
        folder: &Path,
    ) -> Result<SnapshotIndex, FetchSnapshotError> {
        let bytes = self.piece(name, INDEX_MAX).await?;
        let index = SnapshotIndex::check(&bytes, name);
        let index = index.ok_or_else(|| self.damaged(name))?;
        for part in index.parts() {
            let name = index.part_name(part);
            let path = folder.join(name.to_string());
            let there = tokio::fs::read(&path).await;
            if there.is_ok_and(|bytes| part.is(&bytes)) {
                continue;
            }
            let bytes = self.piece(name, PART_BYTES as u64).await?;
            if !part.is(&bytes) {
                return Err(self.damaged(name));
            }
            write(&path, &bytes).await?;
        }
        write(&folder.join(name.to_string()), &bytes).await?;
        Ok(index)
    }

    async fn piece(&self, name: SnapshotName, limit: u64) -> Result<Bytes, FetchSnapshotError> {
        let found = self.store().read(&self.snapshot_key(name), limit).await?;
        found.ok_or_else(|| self.damaged(name))
    }

    fn damaged(&self, name: SnapshotName) -> FetchSnapshotError {
        FetchSnapshotError::Damaged {
            place: self.store().place().to_owned(),
            object: self.snapshot_key(name),
        }
    }

    /// Deletes all snapshots below a height, and gives the names of what is gone.
    ///
    /// # Errors
    /// A [`StoreError`]. Doing it again does no harm.
    pub async fn remove_snapshots(&self, below: Height) -> Result<Vec<SnapshotName>, StoreError> {
        let mut gone = self.snapshot_objects().await?;
        gone.retain(|name| name.height < below);
        // The index first, so that nobody begins to fetch what goes.
        gone.sort_by_key(|name| !name.is_index);
        for name in &gone {
            self.store().remove(&self.snapshot_key(*name)).await?;
        }
        Ok(gone)
    }
}

async fn write(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let failed = |source| StoreError::File {
        path: PathBuf::from(path),
        source,
    };
    tokio::fs::write(path, bytes).await.map_err(failed)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test")]
mod tests {
    use super::*;
    use objects::Store;

    #[tokio::test]
    async fn a_snapshot_is_brought_whole_or_not_at_all_and_goes_when_it_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let [ours, theirs, place] =
            ["ours", "theirs", "store"].map(|name| folder.path().join(name));
        for path in [&ours, &theirs, &place] {
            std::fs::create_dir(path).unwrap();
        }
        let store = Store::open(&format!("file://{}", place.display())).unwrap();
        let archive = Archive::new(store, ChainId([9; 16]));
        let pieces: [&[u8]; 3] = [b"core", b"rows", b"more rows"];
        let part = |bytes: &[u8]| Part::of(bytes);
        let index = |height| SnapshotIndex {
            chain: ChainId([9; 16]),
            height: Height(height),
            hash: BlockHash([1; 32]),
            version: 3,
            core: vec![part(pieces[0])],
            catalogue: vec![part(pieces[1]), part(pieces[2])],
        };
        for index in [index(7), index(9)] {
            for bytes in pieces {
                let name = index.part_name(&part(bytes)).to_string();
                assert_eq!(name.parse(), Ok(index.part_name(&part(bytes))));
                std::fs::write(ours.join(name), bytes).unwrap();
            }
            std::fs::write(ours.join(index.name().to_string()), index.to_bytes()).unwrap();
            archive.add_snapshot(&ours, &index).await.unwrap();
            archive.add_snapshot(&ours, &index).await.unwrap();
        }
        let (old, new) = (index(7).name(), index(9).name());
        assert_eq!(archive.snapshots().await.unwrap(), [new, old]);
        let fetched = archive.fetch_snapshot(new, &theirs).await.unwrap();
        assert_eq!(fetched, index(9));
        assert_eq!(std::fs::read_dir(&theirs).unwrap().count(), 4);

        let object = place.join(archive.snapshot_key(index(9).part_name(&part(b"rows"))));
        std::fs::write(&object, b"Rows").unwrap();
        // What is here and right is not asked for.
        archive.fetch_snapshot(new, &theirs).await.unwrap();
        let damaged = archive.fetch_snapshot(new, folder.path()).await;
        assert!(matches!(damaged, Err(FetchSnapshotError::Damaged { .. })));
        std::fs::remove_file(&object).unwrap();
        let missing = archive.fetch_snapshot(new, folder.path()).await;
        assert!(matches!(missing, Err(FetchSnapshotError::Damaged { .. })));

        assert_eq!(archive.remove_snapshots(Height(9)).await.unwrap().len(), 4);
        assert_eq!(archive.snapshots().await.unwrap(), [new]);
        archive.remove_snapshots(Height(10)).await.unwrap();
        let left = std::fs::read_dir(object.parent().unwrap()).unwrap().count();
        assert_eq!(left, 0);
    }

    #[test]
    fn other_names_are_none_of_a_snapshot() {
        let digest = Digest([7; 32]);
        for name in [
            format!("7.{digest}.part"),
            format!("000000000007.{digest}.parts"),
            format!("000000000007.{digest}"),
            "000000000007.index".to_owned(),
        ] {
            assert_eq!(name.parse::<SnapshotName>(), Err(NoSnapshotName), "{name}");
        }
    }
}
