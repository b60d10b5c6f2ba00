//! Uploads that may be interrupted, and go on anywhere.
//!
//! The bytes that have arrived are blobs, each on as many nodes as must hold it; which of them make up the beginning of
//! which upload is said in the ledger. So every node knows how far an upload is, and none has to be there for it to go on.

use crate::id::{BlobId, UploadId};
use crate::{codec_enum, limits};

/// One step of an upload. All of them are by the token that began it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UploadStep {
    /// It begins, empty.
    Begin {
        /// Its name, drawn at random by the node that was asked.
        upload: UploadId,
        /// How many bytes there will be.
        size: u64,
        /// What the client says of it, in the client's words (`Upload-Metadata` of tus), at most
        /// [`limits::UPLOAD_DESCRIPTION_BYTES_MAX`].
        described: String,
    },
    /// More bytes are safe.
    Part {
        /// Which upload.
        upload: UploadId,
        /// How many bytes come before. If it is not what has arrived so far, the step does nothing.
        offset: u64,
        /// How many there are, at least one.
        size: u64,
        /// The bytes.
        blob: BlobId,
    },
    /// It is over, and its parts may be forgotten.
    End {
        /// Which upload.
        upload: UploadId,
        /// What became of it; nothing if it was given up.
        file: Option<BlobId>,
    },
}

codec_enum!(UploadStep, "upload step" {
    0 => Begin { upload, size, described },
    1 => Part { upload, offset, size, blob },
    2 => End { upload, file },
});

impl UploadStep {
    /// The kind's name in documents and JSON.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Begin { .. } => "beginUpload",
            Self::Part { .. } => "putPart",
            Self::End { .. } => "endUpload",
        }
    }

    /// Which upload it is about.
    pub fn upload(&self) -> UploadId {
        match self {
            Self::Begin { upload, .. } | Self::Part { upload, .. } | Self::End { upload, .. } => {
                *upload
            }
        }
    }

    /// What it names, so that it can be forgotten: the file that became of the upload, else an id that stands for the upload
    /// and is no file's.
    pub fn names(&self) -> BlobId {
        match self {
            Self::End {
                file: Some(file), ..
            } => *file,
            _ => self.upload().stand_in(),
        }
    }

    /// Whether the description is within its limit.
    pub fn is_bounded(&self) -> bool {
        match self {
            Self::Begin { described, .. } => {
                described.len() <= limits::UPLOAD_DESCRIPTION_BYTES_MAX
            }
            Self::Part { .. } | Self::End { .. } => true,
        }
    }
}

impl UploadId {
    /// An id that stands for the upload where a file is named. The SHA-256 of no file is known to be it.
    pub fn stand_in(&self) -> BlobId {
        BlobId::of(&[b"starling/upload/v1", self.as_bytes()])
    }
}
