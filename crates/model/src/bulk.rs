//! Operations: one wish about many files, in many commands.
//!
//! A command names at most one file, so that each can be forgotten by itself. So an operation begins with a command that
//! says what is to be done and names no file; then comes one small command per file, which says no more than "that, to
//! this one"; and one that says that it is over. Whoever reads the chain without some of the middle ones comes to the
//! same, but for the files that are gone. A file is taken once per operation: a repeat does nothing, so it does not matter
//! which nodes work on it, nor how many.

use crate::codec_enum;
use crate::file::Change;
use crate::id::{BlobId, Height, OperationId};

/// What an operation does to each of its files.
#[derive(Debug, Clone, PartialEq)]
pub enum Deed {
    /// These changes, in order.
    Edit(Vec<Change>),
    /// Takes back what another operation did, where nobody has said anything since.
    Undo(OperationId),
}

codec_enum!(Deed, "deed" { 0 => Edit(changes), 1 => Undo(operation) });

/// One step of an operation.
#[derive(Debug, Clone, PartialEq)]
pub enum BulkStep {
    /// It begins.
    Begin {
        /// Its name.
        operation: OperationId,
        /// What it does.
        deed: Deed,
        /// Which files, as a query; none if they were named one by one, or are those of another operation.
        query: Option<String>,
        /// The height at which they were chosen.
        frozen: Height,
        /// How many they were.
        selected: u64,
    },
    /// It is done to a file.
    Take {
        /// Which operation.
        operation: OperationId,
        /// Which file.
        file: BlobId,
    },
    /// It is over.
    End {
        /// Which operation.
        operation: OperationId,
    },
}

codec_enum!(BulkStep, "bulk step" {
    0 => Begin { operation, deed, query, frozen, selected },
    1 => Take { operation, file },
    2 => End { operation },
});

impl BulkStep {
    /// The kind's name in documents and JSON.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Begin { .. } => "beginOperation",
            Self::Take { .. } => "bulkEdit",
            Self::End { .. } => "endOperation",
        }
    }

    /// Whether somebody wishes it, rather than a node that does what was wished.
    pub fn begins(&self) -> bool {
        matches!(self, Self::Begin { .. })
    }

    /// The file that it names.
    pub fn names(&self) -> Option<BlobId> {
        match self {
            Self::Take { file, .. } => Some(*file),
            Self::Begin { .. } | Self::End { .. } => None,
        }
    }
}
