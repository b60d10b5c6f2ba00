//! One process of a cluster: HTTP, gRPC, threads and clocks around one replica.
//!
//! Three threads own state: the replica's ([`replica_thread`]), the catalogue's ([`catalogue_thread`]) and the
//! ledger's disk ([`disk`]). Everything else runs on tokio and talks to them over channels: [`http`] for people and
//! programs, [`peer`] for the other members. The node takes no protocol decision.
//!
//! [`serve()`] runs a node from its configuration until it is told to stop. It never creates a ledger: only
//! [`init`] does, for a new cluster, [`join`], for a node that an [`invitation`] lets in, and [`recover`], for what survives
//! of a cluster.

pub mod accusations;
mod acquaintances;
mod address_book;
mod admission;
pub mod archiver;
pub mod bases;
mod bulk;
pub mod catalogue_thread;
pub mod config;
pub mod copies;
mod decoders;
pub mod disk;
mod eraser;
mod farewell;
mod faults;
pub mod findings;
pub mod folder_lock;
pub mod from_archive;
mod garbage;
pub mod http;
pub mod identity;
pub mod init;
pub mod invitation;
pub mod join;
pub mod logging;
mod mending;
mod metrics;
pub mod originals;
mod passwords;
pub mod peer;
mod pictures;
mod progress;
pub mod recover;
pub mod replica_thread;
pub mod replicator;
pub mod restore;
pub mod resync;
mod retries;
pub mod scrubber;
mod sealer;
mod serve;
mod snapshots;
mod stamp;
pub mod stock;
pub mod survival;
mod telemetry;

pub use archiver::{ArchiveStatus, ArchiverHandle};
pub use catalogue_thread::{Behind, CatalogueHandle};
pub use config::NodeConfig;
pub use faults::{FaultError, Faults};
pub use findings::{Fate, Finding, Findings, Place};
pub use folder_lock::{FolderLock, LockError};
pub use mending::MenderHandle;
pub use metrics::Metrics;
pub use passwords::PasswordCost;
pub use replica_thread::{
    Decision, DecisionKind, NodeStatus, ReadError, ReplicaHandle, Request, SubmitError,
};
pub use scrubber::ScrubHandle;
pub use serve::{App, ServeError, serve};
