//! The catalogue and snapshots: holding on to the state at a marked height, and beginning with one.
//!
//! A run of blocks ends with a marked one, so that a reader can be opened right behind it. What the reader sees stays what
//! it was while the thread goes on; `snapshots` reads it.

use catalogue::{BlockInput, Reader};
use model::{Height, NodeId, Payload, SnapshotStep};
use replica::Known;
use tracing::{error, info, warn};

use super::{CatalogueHandle, Worker};
use crate::peer::chain_of_causes;
use crate::snapshots::{self, Shelf};

/// The catalogue as it was behind a marked block.
pub(crate) struct Captured {
    pub(crate) height: Height,
    /// Shows that height.
    pub(crate) rows: Reader,
}

/// Whose catalogue it is, and where snapshots lie.
pub(crate) struct Home {
    pub(crate) me: NodeId,
    pub(crate) shelf: Shelf,
}

pub(super) fn is_marked(block: &BlockInput) -> bool {
    let mut commands = block.commands.iter();
    commands.any(|(_, command)| command.payload == Payload::Snapshot(SnapshotStep::Mark))
}

impl Worker {
    /// Holds on to the state of this moment if its height is marked. A node that is far behind is too late for it.
    pub(super) fn capture(&mut self) {
        let Some(height) = self.feeder.marked.take() else {
            return;
        };
        if self.feeder.height() != Some(height) || !self.flow.is_open() {
            return;
        }
        match Reader::open(&self.shared.path).and_then(Reader::hold) {
            Ok(rows) => {
                let captured = Captured { height, rows };
                *self.shared.captured() = Some(captured);
            }
            Err(error) => {
                let error = chain_of_causes(&error);
                warn!(error, "the state at a marked height cannot be read");
            }
        }
    }

    /// Builds the catalogue of a snapshot and puts it in the place of this one. What is known there is of use to who reads
    /// on.
    pub(super) fn begin_with_snapshot(&mut self, must: bool) -> Option<Known> {
        let begin = self.begin.take()?;
        if self.feeder.height() >= Some(begin.height()) {
            return None;
        }
        let begun = std::time::Instant::now();
        let built = match begin.build(self.home.me, &self.feeder.blobs, must) {
            Ok(built) => built,
            Err(error) => {
                let error = chain_of_causes(&error);
                warn!(error, "a snapshot is not used: the ledger is");
                return None;
            }
        };
        // While no reader is given out: each would have the old file open.
        let mut readers = self.shared.readers.lock().expect("see read");
        readers.idle.clear();
        readers.file += 1;
        let given = self.feeder.catalogue.give_way_to(&built);
        drop(readers);
        if let Err(error) = given {
            let error = chain_of_causes(&error);
            error!(
                error,
                "a catalogue built of a snapshot was not put in place"
            );
        }
        let height = self.feeder.height()?;
        self.reach(height);
        info!(%height, took = ?begun.elapsed(), "the catalogue began with a snapshot");
        (height == begin.height()).then_some(begin.known)
    }
}

impl Worker {
    /// Begins with a snapshot that reaches over a height whose commands are pruned, once there is one here. Until then it is
    /// said that one is lacking.
    pub(super) fn leap_over(&mut self, height: Height) -> Option<Known> {
        self.begin = snapshots::base(&self.home.shelf, &self.ledger, |at| at >= height);
        let lacks = self.begin.is_none().then_some(height);
        let new = self.shared.lacks.send_if_modified(|known| {
            let new = *known != lacks;
            *known = lacks;
            new
        });
        if new && lacks.is_some() {
            warn!(%height, "commands are pruned there: the catalogue waits for a snapshot from others");
        }
        self.begin_with_snapshot(true)
    }
}

impl super::Shared {
    fn captured(&self) -> std::sync::MutexGuard<'_, Option<Captured>> {
        let captured = self.captured.lock();
        captured.expect("nothing panics while it holds this")
    }
}

impl CatalogueHandle {
    /// The state at a marked height, if there is one of which no snapshot is made yet.
    pub(crate) fn take_captured(&self) -> Option<Captured> {
        self.shared.captured().take()
    }

    /// Whether there is one.
    pub(crate) fn has_captured(&self) -> bool {
        self.shared.captured().is_some()
    }

    /// Lets go of the state at a height below a purge.
    pub(crate) fn drop_captured_below(&self, height: Height) {
        let mut captured = self.shared.captured();
        captured.take_if(|captured| captured.height < height);
    }
}
