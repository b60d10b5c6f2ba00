//! Shares: what somebody without an account may look at, who holds a link.
//!
//! The link's secret is known to its holder alone; here stands its hash. A share of a file names that file, so that what
//! says that it was shared is forgotten with it.

use crate::id::{AlbumId, BlobId, Digest, ShareId};
use crate::time::Timestamp;
use crate::{codec_enum, codec_struct};

/// What is shared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shared {
    /// One file.
    File(BlobId),
    /// What is in an album whenever it is looked at.
    Album(AlbumId),
    /// What a query finds whenever it is looked at.
    Query(String),
}

codec_enum!(Shared, "shared" { 0 => File(file), 1 => Album(album), 2 => Query(text) });

/// A link and what it opens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// What it opens.
    pub of: Shared,
    /// What people call it.
    pub title: String,
    /// SHA-256 of the secret in the link.
    pub secret: Digest,
    /// A password that is asked for beside the secret, hashed.
    pub password: Option<String>,
    /// From then on it opens nothing.
    pub expires: Option<Timestamp>,
    /// Whether originals are given out, and not only pictures made of them.
    pub download: bool,
    /// Whether places are told.
    pub places: bool,
}

codec_struct!(Share {
    of,
    title,
    secret,
    password,
    expires,
    download,
    places
});

/// A change of what shares there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ShareStep {
    /// A link opens something from the next height on.
    Create {
        /// Its name.
        share: ShareId,
        /// What it is.
        definition: Share,
    },
    /// A link opens nothing any more.
    Revoke {
        /// Its name.
        share: ShareId,
    },
}

codec_enum!(ShareStep, "share step" {
    0 => Create { share, definition },
    1 => Revoke { share },
});

impl ShareStep {
    /// The kind's name in documents and JSON.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Create { .. } => "createShare",
            Self::Revoke { .. } => "revokeShare",
        }
    }

    /// The file that it names.
    pub fn names(&self) -> Option<BlobId> {
        match self {
            Self::Create { definition, .. } => match definition.of {
                Shared::File(file) => Some(file),
                Shared::Album(_) | Shared::Query(_) => None,
            },
            Self::Revoke { .. } => None,
        }
    }
}
