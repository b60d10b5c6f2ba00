//! What must hold, whatever happens. Each check is a function named after its claim and runs on every event it
//! concerns; the first one that fails ends the run.
//!
//! The checks see what an outsider could see: messages that leave, blocks that are reported decided, answers to
//! clients, and what the disks would hold after a power cut. They know nothing of a replica's inside.

pub(crate) mod chain;
pub(crate) mod durability;
pub(crate) mod history;
pub(crate) mod rights;
pub(crate) mod roll;
pub(crate) mod rules;
pub(crate) mod sealed;
pub(crate) mod snapshots;
pub(crate) mod votes;

use std::fmt;

/// A check that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The check's name.
    pub check: &'static str,
    /// What was seen.
    pub detail: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.check, self.detail)
    }
}

/// The result of every check.
pub(crate) type Checked = Result<(), Violation>;

/// Fails `check` unless `holds`.
pub(crate) fn ensure(holds: bool, check: &'static str, detail: impl FnOnce() -> String) -> Checked {
    if holds {
        Ok(())
    } else {
        Err(Violation {
            check,
            detail: detail(),
        })
    }
}
