//! The hash chain of decided blocks and the durable votes, on disk.
//!
//! A ledger is a folder of log files. The first holds the genesis block; every start of the node begins a new one with
//! its boot counter and a repetition of its vote. Records are appended in the order in which the replica's memory
//! changed and never overwritten, so every prefix of the log is a state the node was in. A record is *durable* when it
//! and every earlier one are flushed; the [`Disk`] says when.
//!
//! What may be wrong with a log that is read at start is told apart (see [`OpenError`]): an end that was never finished
//! is cut off; one bad copy of a vote, which is written twice, is made good from the other; records that a failed flush
//! left in the page cache only are superseded by the start that repeats the vote; anything else means that something
//! flushed is lost, and the node does not vote.
//!
//! What is decided for good is sealed into [`segment`]s, and the files of the log that only hold such blocks are deleted
//! while the node runs ([`seal()`], [`retire()`]). The log stays short, and a start reads it and a few bytes of each segment.
//!
//! What a purge names is destroyed in log and segments without touching a hash ([`erase()`]), and so is what is pruned
//! ([`prune()`]).
//!
//! Reads check what they return against the hash in memory or in a segment's index, and that covers every byte. [`verify()`] checks a whole folder.
//!
//! What is damaged is mended from other nodes ([`mend()`], [`repair()`]): blocks always, votes where the log proves that none
//! is lost that may still count.
//!
//! What this crate must never know: SQLite, a network, a clock. The format is described in `docs/ledger-format.md`.

mod anew;
mod damage;
mod disk;
mod erase;
mod folder;
mod format;
mod index;
mod ledger;
mod mend;
pub mod predecessor;
mod prune;
mod read_only;
mod reader;
mod record;
mod recovery;
mod replay;
mod salvage;
mod scan;
mod seal;
mod sealed;
pub mod segment;
mod suspects;
mod verify;
mod window;
mod writer;

pub use anew::{Anew, highest_boot};
pub use disk::{Completion, Disk, ENDED, ENDED_BECAUSE, Storage, Write};
pub use erase::{Erased, erase};
pub use folder::{
    CreateError, Folder, InstallError, clear_suspicion, create_in, flush_segments, is_suspect,
};
pub use ledger::{Flush, Ledger};
pub use mend::{MendError, Mended, Supply, gaps, mend, repair, without_file};
pub use predecessor::{KeepError, PredecessorError, keep};
pub use prune::{PruneError, Residues, Weight, concerns, prune, segment_pruned};
pub use read_only::read_only;
pub use reader::{Blocks, ReadError, Reader};
pub use recovery::{Cut, OpenError, Recovered, Repair, Report, Spare, read_genesis};
pub use seal::{Bounds, SealError, retire, seal, seal_to_tip};
pub use sealed::DamagedSegment;
pub use segment::SegmentName;
pub use suspects::{LogEnd, disprove, end_of_log};
pub use verify::{Damage, Fault, Pace, Site, Stopped, VerifyReport, verify, verify_storage};
pub use writer::GenesisFile;
