//! What became of a command.

use std::sync::Arc;

use model::{
    AlbumId, BlobId, OperationId, Position, ShareId, TokenId, UploadId, UserId, codec_enum,
};
use rusqlite::Connection;
use serde::Serialize;

use crate::fields::OwnField;
use crate::file::{File, text};
use crate::stored::Stored;

/// A command's place and what became of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Applied {
    /// Where the command stands.
    pub position: Position,
    /// What became of it.
    pub outcome: Outcome,
}

/// What a command did, or why it did nothing. The same on every node.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(
    tag = "outcome",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum Outcome {
    /// The chain has begun.
    Founded,
    /// A raw record, which is the ledger's alone.
    Recorded,
    /// A blob was put by a token that could not read it before.
    BlobPut {
        /// The blob.
        #[serde(with = "text")]
        blob: BlobId,
        /// Its length in bytes.
        size: u64,
    },
    /// A blob was put by a token that could already read it.
    BlobKnown {
        /// The blob.
        #[serde(with = "text")]
        blob: BlobId,
        /// Its length in bytes.
        size: u64,
    },
    /// A new file.
    FileAdded {
        /// As it was then.
        file: Box<File>,
    },
    /// A file that was there before.
    FileKnown {
        /// As it was then, with the new name and tags if it took them.
        file: Box<File>,
    },
    /// A file's metadata or state is now as asked, whether or not that was a change.
    FileEdited {
        /// As it was then.
        file: Box<File>,
    },
    /// Nothing was done: the file had another version than the client saw.
    Stale {
        /// The version it had.
        current: u64,
    },
    /// Nothing was done.
    Refused {
        /// For programs.
        code: Refusal,
        /// For people.
        detail: String,
    },
    /// A file was forgotten, now or by an earlier purge.
    Purged {
        /// Height of the purge that did it.
        height: u64,
        /// Its place in the block.
        index: u32,
    },
    /// A token may sign in.
    TokenCreated {
        /// Which.
        #[serde(with = "text")]
        token: TokenId,
    },
    /// A token is no longer accepted.
    TokenRevoked {
        /// Which.
        #[serde(with = "text")]
        token: TokenId,
    },
    /// An upload has begun.
    UploadBegun {
        /// Its name.
        #[serde(with = "text")]
        upload: UploadId,
    },
    /// Bytes of an upload are safe, or were not the next ones.
    UploadStands {
        /// How many bytes have arrived now.
        arrived: u64,
        /// Whether this step added any.
        grown: bool,
    },
    /// An upload is over.
    UploadEnded,
    /// A field is as asked.
    FieldDefined {
        /// The field.
        #[serde(skip)]
        field: Box<OwnField>,
        /// Whether there was none of the name.
        new: bool,
    },
    /// A field takes no more values.
    FieldRetired,
    /// An album is as asked.
    AlbumPut {
        /// Which.
        #[serde(with = "text")]
        album: AlbumId,
        /// Whether there was none of this id.
        new: bool,
    },
    /// An album is gone.
    AlbumDeleted,
    /// A tag is called something else wherever it was.
    TagRenamed,
    /// A user is as asked.
    UserChanged {
        /// Who.
        #[serde(with = "text")]
        user: UserId,
    },
    /// An operation over many files has begun.
    OperationBegun {
        /// Which.
        #[serde(with = "text")]
        operation: OperationId,
    },
    /// An operation was done to a file, now or before.
    Taken,
    /// An operation is over.
    OperationEnded,
    /// A library or its members are as asked.
    LibraryChanged,
    /// A share is there.
    ShareMade {
        /// Which.
        #[serde(with = "text")]
        share: ShareId,
    },
    /// A share opens nothing any more.
    ShareRevoked,
}

/// Why a command did nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// Metadata that breaks a rule.
    InvalidMetadata,
    /// No such file in the library.
    FileNotFound,
    /// No such library.
    LibraryNotFound,
    /// No such token.
    TokenNotFound,
    /// A token of that name exists.
    TokenExists,
    /// Without this token nobody could administer the cluster.
    LastAdmin,
    /// A genesis behind height 0.
    MisplacedGenesis,
    /// No such upload of this token.
    UploadNotFound,
    /// The token has too many uploads that are not over.
    TooManyUploads,
    /// The purged file was named again meanwhile.
    StalePurge,
    /// A purge that names what it may not.
    InvalidPurge,
    /// A field of that name, or of another type, exists.
    FieldExists,
    /// No such field.
    FieldNotFound,
    /// No such operation.
    OperationNotFound,
    /// No such album.
    AlbumNotFound,
    /// An album that cannot be so, or takes no files.
    InvalidAlbum,
    /// A user of that name exists, or did.
    UserExists,
    /// No such user.
    UserNotFound,
    /// A store that files' bytes cannot be moved to.
    InvalidStore,
    /// The actor may not do this, or may not any more.
    NotAllowed,
    /// A library of that name exists.
    LibraryExists,
    /// Without this member nobody would own the library.
    LastOwner,
    /// No such member of the library.
    MemberNotFound,
}

impl Refusal {
    /// Its name in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidMetadata => "invalid_metadata",
            Self::FileNotFound => "file_not_found",
            Self::LibraryNotFound => "library_not_found",
            Self::TokenNotFound => "token_not_found",
            Self::TokenExists => "token_exists",
            Self::LastAdmin => "last_admin",
            Self::MisplacedGenesis => "misplaced_genesis",
            Self::UploadNotFound => "upload_not_found",
            Self::TooManyUploads => "too_many_uploads",
            Self::StalePurge => "stale_purge",
            Self::InvalidPurge => "invalid_purge",
            Self::FieldExists => "field_exists",
            Self::FieldNotFound => "field_not_found",
            Self::OperationNotFound => "operation_not_found",
            Self::AlbumNotFound => "album_not_found",
            Self::InvalidAlbum => "invalid_album",
            Self::UserExists => "user_exists",
            Self::UserNotFound => "user_not_found",
            Self::InvalidStore => "invalid_store",
            Self::NotAllowed => "not_allowed",
            Self::LibraryExists => "library_exists",
            Self::LastOwner => "last_owner",
            Self::MemberNotFound => "member_not_found",
        }
    }
}

codec_enum!(Refusal, "refusal" {
    0 => InvalidMetadata,
    1 => FileNotFound,
    2 => LibraryNotFound,
    3 => TokenNotFound,
    4 => TokenExists,
    5 => LastAdmin,
    6 => MisplacedGenesis,
    20 => UploadNotFound,
    21 => TooManyUploads,
    7 => StalePurge,
    8 => InvalidPurge,
    30 => FieldExists,
    31 => FieldNotFound,
    32 => OperationNotFound,
    33 => AlbumNotFound,
    34 => InvalidAlbum,
    40 => UserExists,
    41 => UserNotFound,
    35 => InvalidStore,
    50 => NotAllowed,
    51 => LibraryExists,
    52 => LastOwner,
    53 => MemberNotFound,
});

/// An outcome as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Verdict {
    Founded,
    Recorded,
    BlobPut { blob: BlobId, size: u64 },
    BlobKnown { blob: BlobId, size: u64 },
    FileAdded(Arc<Stored>),
    FileKnown(Arc<Stored>),
    FileEdited(Arc<Stored>),
    Stale { current: u64 },
    Refused { code: Refusal, detail: String },
    TokenCreated(TokenId),
    TokenRevoked(TokenId),
    UploadBegun(UploadId),
    UploadStands { arrived: u64, grown: bool },
    UploadEnded,
    Purged { by: Position },
    FieldDefined { field: OwnField, new: bool },
    FieldRetired,
    AlbumPut { album: AlbumId, new: bool },
    AlbumDeleted,
    TagRenamed,
    UserChanged(UserId),
    OperationBegun(OperationId),
    Taken,
    OperationEnded,
    LibraryChanged,
    ShareMade(ShareId),
    ShareRevoked,
}

codec_enum!(Verdict, "verdict" {
    0 => Founded,
    1 => Recorded,
    2 => BlobPut { blob, size },
    3 => BlobKnown { blob, size },
    4 => FileAdded(file),
    5 => FileKnown(file),
    6 => FileEdited(file),
    7 => Stale { current },
    8 => Refused { code, detail },
    9 => TokenCreated(token),
    10 => TokenRevoked(token),
    20 => UploadBegun(upload),
    21 => UploadStands { arrived, grown },
    22 => UploadEnded,
    11 => Purged { by },
    30 => FieldDefined { field, new },
    31 => FieldRetired,
    32 => TagRenamed,
    33 => OperationBegun(operation),
    34 => Taken,
    35 => OperationEnded,
    36 => AlbumPut { album, new },
    37 => AlbumDeleted,
    40 => UserChanged(user),
    50 => LibraryChanged,
    51 => ShareMade(share),
    52 => ShareRevoked,
});

impl Verdict {
    /// A refusal that explains itself.
    pub(crate) fn refused(code: Refusal, detail: impl ToString) -> Self {
        Self::Refused {
            code,
            detail: detail.to_string(),
        }
    }

    /// The outcome as others see it.
    pub(crate) fn to_outcome(&self, db: &Connection) -> rusqlite::Result<Outcome> {
        let seen = |stored: &Stored| stored.to_file(db).map(Box::new);
        Ok(match self {
            Self::Founded => Outcome::Founded,
            Self::Recorded => Outcome::Recorded,
            Self::BlobPut { blob, size } => Outcome::BlobPut {
                blob: *blob,
                size: *size,
            },
            Self::BlobKnown { blob, size } => Outcome::BlobKnown {
                blob: *blob,
                size: *size,
            },
            Self::FileAdded(stored) => Outcome::FileAdded {
                file: seen(stored)?,
            },
            Self::FileKnown(stored) => Outcome::FileKnown {
                file: seen(stored)?,
            },
            Self::FileEdited(stored) => Outcome::FileEdited {
                file: seen(stored)?,
            },
            Self::Stale { current } => Outcome::Stale { current: *current },
            Self::Refused { code, detail } => Outcome::Refused {
                code: *code,
                detail: detail.clone(),
            },
            Self::TokenCreated(token) => Outcome::TokenCreated { token: *token },
            Self::TokenRevoked(token) => Outcome::TokenRevoked { token: *token },
            Self::UploadBegun(upload) => Outcome::UploadBegun { upload: *upload },
            Self::UploadStands { arrived, grown } => Outcome::UploadStands {
                arrived: *arrived,
                grown: *grown,
            },
            Self::UploadEnded => Outcome::UploadEnded,
            Self::Purged { by } => Outcome::Purged {
                height: by.height.0,
                index: by.index,
            },
            Self::FieldDefined { field, new } => Outcome::FieldDefined {
                field: Box::new(field.clone()),
                new: *new,
            },
            Self::FieldRetired => Outcome::FieldRetired,
            Self::AlbumPut { album, new } => Outcome::AlbumPut {
                album: *album,
                new: *new,
            },
            Self::AlbumDeleted => Outcome::AlbumDeleted,
            Self::TagRenamed => Outcome::TagRenamed,
            Self::UserChanged(user) => Outcome::UserChanged { user: user.clone() },
            Self::OperationBegun(operation) => Outcome::OperationBegun {
                operation: *operation,
            },
            Self::Taken => Outcome::Taken,
            Self::OperationEnded => Outcome::OperationEnded,
            Self::LibraryChanged => Outcome::LibraryChanged,
            Self::ShareMade(share) => Outcome::ShareMade { share: *share },
            Self::ShareRevoked => Outcome::ShareRevoked,
        })
    }
}
