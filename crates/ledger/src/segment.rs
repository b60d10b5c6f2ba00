//! Segments: immutable files of decided blocks with their certificates.
//!
//! The log is written in the order in which a node lived; a segment holds what it decided, and nothing else, so it may
//! be copied, archived and handed to a node that joins. It proves itself to whoever knows the block below it and who
//! belonged to the cluster above that: see [`check()`]. Nodes may hold different certificates for a block, so two valid
//! files may have one [`SegmentName`].
//!
//! The format is described in `docs/ledger-format.md`, section 9. A ledger's segments lie in a folder of their own
//! ([`FOLDER`]) inside it; [`install`] puts one there that came from somewhere else, and [`seal`](crate::seal())
//! makes the next one of what the log holds.

mod build;
mod check;
pub(crate) mod layout;
pub(crate) mod links;
mod name;

use std::io;

use model::{CertificateError, ChainId, Height};

pub use crate::folder::install;
pub(crate) use build::Builder;
pub use build::build;
pub(crate) use check::open;
pub use check::{Checked, Contents, blocks, check};
pub use links::Below;
pub use name::{ParseSegmentNameError, SegmentName};

/// The folder of segments inside a ledger's.
pub const FOLDER: &str = "segments";

/// What is wrong with a segment.
#[derive(Debug, thiserror::Error)]
pub enum SegmentError {
    /// It is not whole, or contradicts itself.
    #[error("{0}")]
    Damaged(&'static str),
    /// Written by a newer program.
    #[error("it is of format version {0}, which this program does not know")]
    Version(u32),
    /// Of another chain.
    #[error("it belongs to chain {0}")]
    Foreign(ChainId),
    /// One of its blocks.
    #[error("the block of height {height}: {what}")]
    Block {
        /// The height.
        height: Height,
        /// What is wrong.
        what: &'static str,
    },
    /// A certificate that proves nothing.
    #[error("the certificate of height {height} is not valid")]
    Certificate {
        /// The height.
        height: Height,
        /// Why.
        #[source]
        source: CertificateError,
    },
    /// The disk said no.
    #[error("it cannot be read")]
    Io(#[from] io::Error),
}

/// Where a ledger's [`Storage`](crate::Storage) finds a segment.
pub(crate) fn path_of(name: SegmentName) -> String {
    format!("{FOLDER}/{name}")
}
