//! How far a node is that has been started and does not serve yet.
//!
//! Opening a large ledger, mending a damaged one and building a catalogue anew take as long as they take. Whoever starts
//! the node says here what it is doing; the door that people knock at tells it to them.

use std::sync::{Arc, Mutex, PoisonError};

use model::Height;
use serde::Serialize;
use tokio::sync::watch;
use utoipa::ToSchema;

/// What a start is doing. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Progress(Arc<Mutex<Stage>>);

/// The part of a start that is under way.
#[derive(Debug, Default)]
pub(crate) enum Stage {
    /// The ledger's files are held against what was noted of them, and opened.
    #[default]
    Checking,
    /// The archive is asked for what the ledger lacks.
    Archive {
        /// Up to here it is fetched and proved.
        height: Height,
        /// So far the archive reaches.
        of: Height,
    },
    /// The blocks that were decided are read.
    Replaying {
        /// Up to here.
        height: Height,
        /// So many there are.
        of: Height,
    },
    /// The ledger is damaged, and others are asked for what it lacks.
    Mending,
    /// The ledger is replaced by what the cluster has certified.
    Resyncing {
        /// Up to here it is fetched and proved.
        height: Height,
    },
    /// The catalogue is brought up to the ledger.
    Catalogue {
        /// Up to where it is.
        applied: watch::Receiver<Height>,
        /// So far it must come.
        of: Height,
    },
    /// What was purged while the node was away is destroyed.
    Erasing,
}

/// How far a start is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = StartProgress)]
pub(crate) struct Shown {
    /// `checking`, `archive`, `replaying`, `mending`, `resyncing`, `catalogue` or `erasing`.
    stage: &'static str,
    /// The last height that this stage is done with, where it goes by heights.
    height: Option<u64>,
    /// The last height it has to do.
    of: Option<u64>,
    #[serde(skip)]
    doing: &'static str,
}

impl Shown {
    /// For people.
    pub(crate) fn text(&self) -> String {
        let doing = self.doing;
        match (self.height, self.of) {
            (Some(height), Some(of)) => {
                format!("the node is starting: {doing}, height {height} of {of}")
            }
            _ => format!("the node is starting: {doing}"),
        }
    }
}

impl Progress {
    /// From here on the start is doing this.
    pub(crate) fn set(&self, stage: Stage) {
        // Whoever panicked while holding it was only replacing it.
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = stage;
    }

    /// How far it is.
    pub(crate) fn shown(&self) -> Shown {
        let stage = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (name, doing, heights) = match &*stage {
            Stage::Checking => ("checking", "its ledger is opened and checked", None),
            Stage::Archive { height, of } => {
                let doing = "its ledger is taken from the archive";
                ("archive", doing, Some((*height, *of)))
            }
            Stage::Replaying { height, of } => {
                ("replaying", "its ledger is read", Some((*height, *of)))
            }
            Stage::Mending => (
                "mending",
                "its ledger is damaged and mended from the other nodes",
                None,
            ),
            Stage::Resyncing { height } => {
                let doing =
                    "its ledger is replaced by the others', which takes a write behind that";
                ("resyncing", doing, Some((*height, *height)))
            }
            Stage::Catalogue { applied, of } => {
                let doing = "its catalogue is brought up to the ledger";
                ("catalogue", doing, Some((*applied.borrow(), *of)))
            }
            Stage::Erasing => ("erasing", "what was purged meanwhile is erased", None),
        };
        Shown {
            stage: name,
            height: heights.map(|(height, _)| height.0),
            of: heights.map(|(_, of)| of.0),
            doing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_says_what_it_does_and_how_far_it_is() {
        let progress = Progress::default();
        let said = || progress.shown().text();
        assert_eq!(
            said(),
            "the node is starting: its ledger is opened and checked"
        );
        let of = Height(40);
        progress.set(Stage::Replaying {
            height: Height(7),
            of,
        });
        assert_eq!(
            said(),
            "the node is starting: its ledger is read, height 7 of 40"
        );
        let (now, applied) = watch::channel(Height(9));
        progress.set(Stage::Catalogue { applied, of });
        now.send(Height(12)).unwrap();
        let shown = serde_json::to_value(progress.shown()).unwrap();
        assert_eq!(
            shown,
            serde_json::json!({"stage": "catalogue", "height": 12, "of": 40})
        );
    }
}
