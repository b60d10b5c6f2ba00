//! Albums: files put side by side by hand, or found by a rule.
//!
//! What an album is stands in commands that name no file; which files are in it, in which order, and which is its cover, is
//! said of each file by itself. So a file that is forgotten leaves its albums, and nothing else about them changes.

use crate::id::AlbumId;
use crate::{codec_enum, codec_struct};

/// What an album is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Album {
    /// What people call it.
    pub name: String,
    /// The album that it lies in.
    pub parent: Option<AlbumId>,
    /// A text.
    pub description: String,
    /// The rule by which its files are found, as a query; none if they are put into it.
    pub query: Option<String>,
}

codec_struct!(Album {
    name,
    parent,
    description,
    query
});

/// A change of what albums there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AlbumStep {
    /// Makes an album, or says anew what one is.
    Put {
        /// Which.
        album: AlbumId,
        /// What it is from now on.
        definition: Album,
    },
    /// Takes an album away. Its files stay, and are in it no more.
    Delete {
        /// Which.
        album: AlbumId,
    },
}

codec_enum!(AlbumStep, "album step" {
    0 => Put { album, definition },
    1 => Delete { album },
});

impl AlbumStep {
    /// The kind's name in documents and JSON.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Put { .. } => "putAlbum",
            Self::Delete { .. } => "deleteAlbum",
        }
    }
}
