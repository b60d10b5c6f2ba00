//! The queryable view of the ledger, in SQLite.
//!
//! A [`Catalogue`] applies decided blocks in order; any number of [`Reader`]s answer questions beside it. Everything
//! here is derived: delete the file, apply the ledger from genesis, and every answer is the same, on every node. Two
//! catalogues at equal height have equal digests ([`Reader::digest`]).
//!
//! The row id of a file is its capture time (`key.rs`), so every index is in date order and "the newest hundred that…"
//! stops at a hundred. The [`query`] language is read here as well, so that a query means one thing everywhere.
//!
//! What this crate must never know: a socket, a clock, a blob's bytes, how blocks are decided.

mod access;
pub mod albums;
mod apply;
pub mod bulk;
pub mod carried;
mod digest;
mod edits;
mod field;
pub mod fields;
pub mod file;
mod geo;
mod history;
mod index;
mod key;
mod libraries;
mod named;
mod originals;
mod outcome;
mod people;
mod pictures;
mod prune;
mod purge;
pub mod query;
mod reader;
pub mod rights;
mod row;
pub mod rules;
mod said;
mod schema;
mod search;
mod shares;
mod snapshot;
mod stored;
mod tags;
pub mod time;
mod told;
mod uploads;

pub use access::{BlobRecord, Token};
pub use albums::KnownAlbum;
pub use apply::{ApplyError, BlockInput, Catalogue};
pub use bulk::Operation;
pub use carried::MetadataDigest;
pub use field::Field;
pub use fields::OwnField;
pub use file::File;
pub use history::{FieldChange, HistoryEntry, HistoryKind};
pub use index::Index;
pub use libraries::{Library, LibraryChange};
pub use named::{Named, NamedPage, NewlyNamed};
pub use originals::OriginalsStore;
pub use outcome::{Applied, Outcome, Refusal};
pub use people::{User, UserState};
pub use pictures::{Hashed, Waiting};
pub use prune::Pruning;
pub use purge::{ANY_FILE, Mention, Purge, note_remains};
pub use query::{Query, QueryError};
pub use reader::{Presence, ReadError, Reader, Stats};
pub use rights::{Need, Rights};
pub use schema::{OpenError, SetAside, Unusable, empty_journal};
pub use search::facets::{Facet, FacetBy, FacetKey, FacetValue, Facets};
pub use search::map::{Cluster, Map, View};
pub use search::suggest::{Suggestion, SuggestionKind, Suggestions};
pub use search::timeline::{Bucket, Columns, Timeline};
pub use search::{Answered, Limit, Page, SearchError, SearchPage};
pub use shares::KnownShare;
pub use snapshot::{Marked, SnapshotError, build, reads, version};
pub use tags::TagCount;
pub use uploads::{Part, Upload};
