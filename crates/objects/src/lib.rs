//! A place for objects: a folder or a bucket (Azure Blob, S3, GCS), as the ledger's archive and files' bytes need it.
//!
//! [`Store`] is opened from a URL that holds no secret; credentials come from the environment, and are in no error and no
//! log. Nothing is overwritten or deleted unless it is asked for by name. Every call is bounded in time and memory: what
//! may pass by itself (a network that is away, a store that is too busy) is tried again with growing pauses, what will not
//! (a wrong key, a bucket that does not exist) is said at once.
//!
//! An object is written if there is none of its key; it is visible as a whole or not at all. What is too long for one call
//! goes up in parts ([`Store::put_file`]), and comes back piece by piece, hashed on the way ([`Store::fetch`],
//! [`Store::hash`]).
//!
//! What this crate must never know: what the objects are, and a node's configuration.

mod store;

pub use store::{
    Created, Fetched, Head, Listed, OBJECT_MAX, OpenError, Patience, Pieces, PutFileError, Store,
    StoreError, Writing,
};
