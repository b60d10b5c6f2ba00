//! The ledger's sealed segments in a folder or an object store, and starting from there.
//!
//! A node that seals a segment puts it into the [`Archive`], unless another one was first: nobody owns it, no key is ever
//! written twice, and the keys come from the content. [`Archive::fetch`] brings the segments of a chain back, several at a
//! time, and believes nothing: every link and every certificate is checked from the genesis block on, or from whatever
//! block the caller knows. What is damaged, or was wrong from the beginning, is named and worked around as long as another
//! copy or another way through the heights is there.
//!
//! [`Store`], from `objects`, is what this asks of a folder, Azure Blob, S3 or GCS. [`tar`] makes one file of an archive.
//!
//! What this crate must never know: a node's configuration, SQLite, who may read what. Credentials come from the
//! environment, and are in no error and no log.

mod archive;
mod erase;
mod fetch;
mod layout;
mod manifest;
mod snapshot;
pub mod tar;

pub use archive::{Added, Archive, ArchiveError};
pub use erase::EraseError;
pub use fetch::{Fault, Progress, Taken};
pub use layout::{Copy, Coverage, genesis_key};
pub use ledger::SegmentName;
pub use manifest::{Manifest, ManifestError, Signer};
pub use objects::{Created, Fetched, Listed, OBJECT_MAX, OpenError, Patience, Store, StoreError};
pub use snapshot::{
    FetchSnapshotError, NoSnapshotName, PART_BYTES, Part, SnapshotIndex, SnapshotName,
};
