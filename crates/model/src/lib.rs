//! The nouns of Starling: ids, heights, ballots, commands, blocks, certificates, membership, and their
//! one canonical encoding.
//!
//! Everything that is hashed, signed, stored or sent between nodes has exactly one byte encoding, written by hand
//! in [`codec`]. We hash the bytes we store and send, never a re-encoding. The layouts are described byte by byte in
//! `docs/ledger-format.md`.
//!
//! What this crate must never know: a file, a socket, a clock, a source of randomness, JSON, SQL.

pub mod access;
pub mod album;
pub mod ballot;
pub mod block;
pub mod bulk;
pub mod carried;
pub mod certificate;
pub mod codec;
pub mod command;
pub mod evidence;
pub mod field;
pub mod file;
pub mod id;
pub mod library;
pub mod limits;
pub mod media;
pub mod membership;
pub mod merkle;
pub mod originals;
pub mod prune;
pub mod purge;
pub mod receipt;
pub mod record;
pub mod roster;
pub mod share;
pub mod signature;
pub mod snapshot;
pub mod succession;
pub mod time;
pub mod upload;

pub use access::{PasswordStep, Role, TokenStep, TokenUse, UserStep};
pub use album::{Album, AlbumStep};
pub use ballot::{Ballot, Turn};
pub use block::{Block, BlockError, Decided, Draft, Entry, Header};
pub use bulk::{BulkStep, Deed};
pub use carried::{Carried, CarriedField, CarriedWords};
pub use certificate::{Certificate, CertificateError};
pub use codec::{Decode, DecodeError, Encode, Reader};
pub use command::{Command, Payload, RequestKey, Scope, SealedCommand};
pub use evidence::{Evidence, EvidenceError};
pub use field::{FieldDefinition, FieldKind, FieldStep, FieldValue};
pub use id::{
    AlbumId, BlobId, BlockHash, Boot, ChainId, Digest, Height, LeafHash, LibraryId, LogSeq,
    MembershipHash, MerkleRoot, NodeId, Nonce, OperationId, Position, SecretId, ShareId, TokenId,
    UploadId, UserId,
};
pub use library::{LibraryDefinition, LibraryRole, LibraryStep, Principal};
pub use media::MediaStep;
pub use membership::{Member, Membership};
pub use originals::OriginalsStep;
pub use prune::{Prune, SnapshotRef, Vouchers};
pub use purge::{Erasure, Erasures, Residue};
pub use receipt::{Checkpoint, Consistency, Proven, Receipt, ReceiptError};
pub use record::{Mark, Record, Vote};
pub use roster::{Addresses, Reason, Roster, RosterChange, SeatChange};
pub use share::{Share, ShareStep, Shared};
pub use signature::{Domain, Ed25519, Signature, Signatures, Statement};
pub use snapshot::SnapshotStep;
pub use succession::Predecessor;
pub use time::{Instant, Now, Timestamp};
pub use upload::UploadStep;
