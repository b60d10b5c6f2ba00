//! The ledger through its public face: on a disk that loses what was not flushed, on one that rots, and on files
//! written by earlier versions.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a panic is how a test fails"
)]

mod anew;
mod chain;
mod crash;
mod damage;
mod erase;
mod files_end;
mod flips;
mod formats;
mod gap;
mod ledger;
mod memory_disk;
mod mend;
mod prune;
mod python;
mod random_crashes;
mod scrub;
mod segment_files;
mod segments;
mod successor;
