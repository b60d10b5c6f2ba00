//! User-level changes, sealed with a salt so that they can be forgotten later.

use std::fmt;
use std::sync::Arc;

use crate::access::{PasswordStep, TokenStep, UserStep};
use crate::album::AlbumStep;
use crate::bulk::BulkStep;
use crate::carried::Carried;
use crate::codec::{Decode, DecodeError, Encode, Reader, encode_bytes};
use crate::field::FieldStep;
use crate::file::{Change, Facts, Metadata, Source, State};
use crate::id::{BlobId, Digest, LeafHash, LibraryId, NodeId, OperationId, Position, TokenId};
use crate::library::LibraryStep;
use crate::limits;
use crate::media::MediaStep;
use crate::membership::Member;
use crate::originals::OriginalsStep;
use crate::prune::Prune;
use crate::purge::Erasure;
use crate::roster::RosterChange;
use crate::share::ShareStep;
use crate::snapshot::SnapshotStep;
use crate::succession::Predecessor;
use crate::time::Timestamp;
use crate::upload::UploadStep;
use crate::{codec_enum, codec_struct};

/// One change to one library, as it is hashed and applied.
///
/// A command names at most one file, so that erasing one file's history touches nothing else.
#[derive(Debug, Clone, PartialEq)]
pub struct Command {
    /// The library it belongs to.
    pub library: LibraryId,
    /// The token that acted.
    pub actor: TokenId,
    /// The client's key, if it gave one.
    pub key: Option<RequestKey>,
    /// Not applied in a block whose time is later: by then the key may have been forgotten.
    pub valid_until: Timestamp,
    /// What it does.
    pub payload: Payload,
}

codec_struct!(Command {
    library,
    actor,
    key,
    valid_until,
    payload
});

/// An `Idempotency-Key` and the request it stood on. Keys are per token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestKey {
    /// What the client sent, 1 to [`limits::KEY_BYTES_MAX`] bytes.
    pub key: String,
    /// SHA-256 of method, path, query and decoded content: another request under the same key is refused.
    pub request: Digest,
}

codec_struct!(RequestKey { key, request });

/// What a command does.
#[derive(Debug, Clone, PartialEq)]
pub enum Payload {
    /// Starts the chain. Only at height 0.
    Genesis {
        /// The voters in ring order; the first has the turn of height 1 at its boot 1.
        voters: Vec<Member>,
        /// The administrator's token.
        admin: TokenId,
        /// SHA-256 of its secret.
        admin_secret: Digest,
        /// The name of the first library.
        library: LibraryId,
    },
    /// Bytes of another program, at most [`limits::RECORD_BYTES_MAX`].
    Record(Vec<u8>),
    /// A blob has been put on enough nodes and may be named by a file.
    PutBlob {
        /// Its name.
        blob: BlobId,
        /// Its length in bytes.
        size: u64,
    },
    /// A file is added, or met again.
    AddFile {
        /// Its id: the SHA-256 of its bytes.
        file: BlobId,
        /// Its length in bytes.
        size: u64,
        /// What the uploader calls it. Text, never a path.
        name: String,
        /// What the bytes say of themselves, read once by the node that took them.
        facts: Facts,
        /// What the uploader says.
        metadata: Metadata,
        /// Take it out of the trash if it is there.
        restore: bool,
    },
    /// A file's metadata is changed.
    EditFile {
        /// The file.
        file: BlobId,
        /// The version the client saw; none for "any".
        expected: Option<u64>,
        /// The changes, applied in order.
        changes: Vec<Change>,
    },
    /// A file is moved between live, archived and trashed.
    SetState {
        /// The file.
        file: BlobId,
        /// The version the client saw; none for "any".
        expected: Option<u64>,
        /// Where it goes.
        state: State,
    },
    /// A token may sign in from the next height on.
    CreateToken {
        /// Its public half.
        token: TokenId,
        /// SHA-256 of its secret half.
        secret: Digest,
        /// What people call it.
        name: String,
        /// What it may do.
        scope: Scope,
    },
    /// A token is no longer accepted.
    RevokeToken {
        /// The token.
        token: TokenId,
    },
    /// Who belongs to the cluster changes, or a fact that such a change rests on is stated.
    Roster(RosterChange),
    /// An upload that may be interrupted goes on.
    Upload(UploadStep),
    /// A file with all that its bytes say, or what is learnt about its picture later.
    Media(MediaStep),
    /// Starts a chain that goes on where another one ended for good. Only in its first block, as the first command.
    Succession {
        /// The voters in ring order; the first has the turn of the next height at its boot 1.
        voters: Vec<Member>,
        /// The chain before.
        predecessor: Arc<Predecessor>,
    },
    /// A file is forgotten: all commands that name it in this library are to be erased. They are named by their places.
    Purge(Vec<Erasure>),
    /// What fields there are changes.
    Field(FieldStep),
    /// What albums there are changes.
    Album(AlbumStep),
    /// A file's metadata is changed, by whoever's word.
    Edit {
        /// The file.
        file: BlobId,
        /// The version the client saw; none for "any".
        expected: Option<u64>,
        /// The changes, applied in order.
        changes: Vec<Change>,
        /// Whose word it is. Where a user has spoken, nobody else is heard.
        source: Source,
        /// What it is part of.
        operation: Option<OperationId>,
    },
    /// A tag is called something else from now on, and every tag below it: on all files that have it. If there is one of
    /// the new name, they become one.
    RenameTag {
        /// Until now.
        from: String,
        /// From now on.
        to: String,
    },
    /// An operation over many files goes on.
    Bulk(BulkStep),
    /// A node has erased what a purge names.
    Erased {
        /// Where the purge stands.
        purge: Position,
        /// Which node.
        node: NodeId,
    },
    /// A snapshot is asked for, or vouched for.
    Snapshot(SnapshotStep),
    /// Old commands about files lose their bytes: a snapshot holds what came of them.
    Prune(Prune),
    /// What another library says of a file is taken over.
    Carry {
        /// The file.
        file: BlobId,
        /// What was said of it there.
        carried: Carried,
    },
    /// What users there are changes.
    User(UserStep),
    /// A user has another password.
    Password(PasswordStep),
    /// A token is made, or tokens were used.
    Token(TokenStep),
    /// Where files' bytes live changes.
    Originals(OriginalsStep),
    /// The command's library is made, described, or another's to see.
    Library(LibraryStep),
    /// Something of the library is opened to whoever holds a link, or closed again.
    Share(ShareStep),
}

codec_enum!(Payload, "payload" {
    0 => Genesis { voters, admin, admin_secret, library },
    1 => Record(body),
    2 => PutBlob { blob, size },
    3 => AddFile { file, size, name, facts, metadata, restore },
    4 => EditFile { file, expected, changes },
    5 => SetState { file, expected, state },
    6 => CreateToken { token, secret, name, scope },
    7 => RevokeToken { token },
    8 => Roster(change),
    12 => Upload(step),
    15 => Succession { voters, predecessor },
    16 => Media(step),
    9 => Purge(commands),
    10 => Erased { purge, node },
    11 => Field(step),
    13 => Album(step),
    14 => Edit { file, expected, changes, source, operation },
    17 => Snapshot(step),
    18 => Prune(prune),
    19 => RenameTag { from, to },
    20 => Bulk(step),
    23 => Carry { file, carried },
    24 => User(step),
    25 => Password(step),
    26 => Token(step),
    22 => Originals(step),
    27 => Library(step),
    28 => Share(step),
});

impl Payload {
    /// The kind's name in documents and JSON.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Genesis { .. } => "genesis",
            Self::Record(_) => "record",
            Self::PutBlob { .. } => "putBlob",
            Self::AddFile { .. } => "addFile",
            Self::EditFile { .. } => "editFile",
            Self::SetState { .. } => "setState",
            Self::CreateToken { .. } => "createToken",
            Self::RevokeToken { .. } => "revokeToken",
            Self::Roster(change) => change.kind(),
            Self::Upload(step) => step.kind(),
            Self::Media(step) => step.kind(),
            Self::Succession { .. } => "succession",
            Self::Purge(_) => "purge",
            Self::Field(step) => step.kind(),
            Self::Album(step) => step.kind(),
            Self::Edit { .. } => "edit",
            Self::RenameTag { .. } => "renameTag",
            Self::Bulk(step) => step.kind(),
            Self::Erased { .. } => "erased",
            Self::Snapshot(step) => step.kind(),
            Self::Prune(_) => "prune",
            Self::Carry { .. } => "carry",
            Self::User(step) => step.kind(),
            Self::Password(_) => "setPassword",
            Self::Token(step) => step.kind(),
            Self::Originals(step) => step.kind(),
            Self::Library(step) => step.kind(),
            Self::Share(step) => step.kind(),
        }
    }

    /// The file, blob or secret that it names. Only commands that name one are ever erased or pruned.
    pub fn names(&self) -> Option<BlobId> {
        match self {
            Self::PutBlob { blob: id, .. }
            | Self::AddFile { file: id, .. }
            | Self::EditFile { file: id, .. }
            | Self::Edit { file: id, .. }
            | Self::SetState { file: id, .. }
            | Self::Carry { file: id, .. } => Some(*id),
            Self::Upload(step) => Some(step.names()),
            Self::Media(step) => Some(step.file()),
            Self::Bulk(step) => step.names(),
            Self::Password(step) => Some(step.names()),
            Self::Share(step) => step.names(),
            _ => None,
        }
    }

    /// Whether the catalogue has anything to do. Records and who belongs to the cluster are the ledger's alone.
    pub fn concerns_catalogue(&self) -> bool {
        !matches!(
            self,
            Self::Record(_) | Self::Roster(_) | Self::Succession { .. }
        )
    }
}

/// The payload's tag of [`Payload::Roster`].
const ROSTER: u8 = 8;
/// That of [`Payload::Purge`].
const PURGE: u8 = 9;
/// That of [`Payload::Snapshot`].
const SNAPSHOT: u8 = 17;
/// That of [`Payload::Prune`].
const PRUNE: u8 = 18;

/// What a token may do: each includes the ones before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// GET, check, verify.
    Read,
    /// Changes.
    Write,
    /// Cluster, tokens, users, fields, purge.
    Admin,
}

codec_enum!(Scope, "scope" { 0 => Read, 1 => Write, 2 => Admin });

impl Command {
    /// By which the ledger tells a repeat: the client's key if there is one, else the command's own leaf, which its
    /// salt makes unique.
    pub fn request_id(&self, leaf: LeafHash) -> Digest {
        match &self.key {
            Some(RequestKey { key, .. }) => {
                Digest::of(&[b"starling/key/v1", &self.actor.0, key.as_bytes()])
            }
            None => Digest(leaf.0),
        }
    }

    /// Adds the salt that lets the command be erased without breaking a hash.
    ///
    /// `salt` must be unpredictable: it hides the bytes behind the leaf hash once they are gone.
    pub fn seal(&self, salt: [u8; 16]) -> SealedCommand {
        SealedCommand::new(salt, self.to_bytes().into())
    }
}

/// A command's bytes with their salt and leaf hash.
///
/// Invariant: `leaf` = SHA-256(0x00 ‖ salt ‖ bytes). Cheap to clone.
#[derive(Clone, PartialEq, Eq)]
pub struct SealedCommand {
    salt: [u8; 16],
    bytes: Arc<[u8]>,
    leaf: LeafHash,
}

impl SealedCommand {
    /// Bytes under a salt.
    pub fn new(salt: [u8; 16], bytes: Arc<[u8]>) -> Self {
        let leaf = LeafHash::of(&[&[0], &salt, &bytes]);
        Self { salt, bytes, leaf }
    }

    /// The salt.
    pub fn salt(&self) -> &[u8; 16] {
        &self.salt
    }

    /// The command's encoding.
    pub fn bytes(&self) -> &Arc<[u8]> {
        &self.bytes
    }

    /// The leaf of the Merkle tree.
    pub fn leaf(&self) -> LeafHash {
        self.leaf
    }

    /// How much of a block it takes, in bytes: tag, salt, length and bytes.
    pub fn block_bytes(&self) -> usize {
        1 + self.salt.len() + 4 + self.bytes.len()
    }

    /// The command itself.
    ///
    /// # Errors
    /// If the bytes are not one. Such a command may stand in a block; it is refused on application, everywhere alike.
    pub fn open(&self) -> Result<Command, DecodeError> {
        Command::from_bytes(&self.bytes)
    }
}

impl SealedCommand {
    /// The change of the roster that this command asks for, and the last block time at which it may be applied. Other
    /// commands are told by their first bytes, without reading the rest.
    pub fn roster_change(&self) -> Option<(Timestamp, RosterChange)> {
        Self::roster_change_in(&self.bytes)
    }

    /// The same for a command's encoding.
    pub(crate) fn roster_change_in(bytes: &[u8]) -> Option<(Timestamp, RosterChange)> {
        if payload_tag(bytes) != Some(ROSTER) {
            return None;
        }
        let command = Command::from_bytes(bytes).ok()?;
        match command.payload {
            Payload::Roster(change) => Some((command.valid_until, change)),
            _ => None,
        }
    }
}

impl SealedCommand {
    /// The commands that this one purges, if it is a purge. Others are told by their first bytes.
    pub fn purges(&self) -> Option<Vec<Erasure>> {
        if payload_tag(&self.bytes) != Some(PURGE) {
            return None;
        }
        match self.open().ok()?.payload {
            Payload::Purge(commands) => Some(commands),
            _ => None,
        }
    }

    /// Whether it is a purge, in effect or not, told by its first bytes.
    pub fn is_purge(&self) -> bool {
        payload_tag(&self.bytes) == Some(PURGE)
    }

    /// What it prunes, if it is in force. Others are told by their first bytes.
    pub fn prunes(&self) -> Option<Prune> {
        if payload_tag(&self.bytes) != Some(PRUNE) {
            return None;
        }
        match self.open().ok()?.payload {
            Payload::Prune(prune) => Some(prune),
            _ => None,
        }
    }

    /// What it says of a snapshot, if it does. Others are told by their first bytes.
    pub fn snapshot_step(&self) -> Option<SnapshotStep> {
        if payload_tag(&self.bytes) != Some(SNAPSHOT) {
            return None;
        }
        match self.open().ok()?.payload {
            Payload::Snapshot(step) => Some(step),
            _ => None,
        }
    }
}

/// The tag of the payload in a command's encoding.
fn payload_tag(bytes: &[u8]) -> Option<u8> {
    let mut input = Reader::new(bytes);
    let library = input.length().ok()?;
    input.take(library).ok()?;
    input.array::<8>().ok()?;
    if bool::decode(&mut input).ok()? {
        let key = input.length().ok()?;
        input.take(key).ok()?;
        input.array::<32>().ok()?;
    }
    input.array::<8>().ok()?;
    u8::decode(&mut input).ok()
}

impl fmt::Debug for SealedCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "command {:?}", self.leaf)
    }
}

impl Encode for SealedCommand {
    fn encode(&self, out: &mut Vec<u8>) {
        self.salt.encode(out);
        encode_bytes(&self.bytes, out);
    }
}

impl Decode for SealedCommand {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let salt = input.array()?;
        let length = input.length()?;
        if length > limits::COMMAND_BYTES_MAX {
            return Err(DecodeError::TooLong {
                what: "command",
                limit: limits::COMMAND_BYTES_MAX,
            });
        }
        Ok(Self::new(salt, input.take(length)?.into()))
    }
}
