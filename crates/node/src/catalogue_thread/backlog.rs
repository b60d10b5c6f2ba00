//! A catalogue that is far behind reads what it lacks from the ledger.
//!
//! Decided blocks come through a queue as long as the catalogue keeps up. Where it does not, the gate is closed: blocks
//! that are decided then are not kept in memory, the ledger has them. The catalogue's thread reads them back from there,
//! which takes as long as it takes while the node votes, and opens the gate when it is nearly at the tip. Whatever is
//! decided after that comes through the queue, what it sees twice it passes over.
//!
//! If a snapshot was found to begin with, the catalogue is built of that first.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use model::Height;
use replica::{AppliedBlock, Known};
use tracing::{error, info};

use super::{InputError, Worker};
use crate::peer::chain_of_causes;

/// As much may wait in the queue: blocks, and commands in them.
pub(super) const QUEUE_MAX: usize = 50_000;
/// The gate is opened so many heights below the tip.
const NEAR: u64 = 64;
/// Between two lines that say how far it is.
const PROGRESS_EVERY: Duration = Duration::from_secs(5);
/// Between two attempts to read what cannot be read.
const RETRY: Duration = Duration::from_secs(1);

/// The gate before the queue.
#[derive(Debug)]
pub(super) struct Flow {
    open: AtomicBool,
    queued: AtomicUsize,
    stopping: AtomicBool,
}

impl Flow {
    pub(super) fn new(open: bool) -> Self {
        Self {
            open: AtomicBool::new(open),
            queued: AtomicUsize::new(0),
            stopping: AtomicBool::new(false),
        }
    }

    /// Whether a decided block is to be queued. Only the replica's thread asks, so blocks are left out from some height
    /// on, and none between.
    pub(super) fn enter(&self, block: &AppliedBlock) -> bool {
        if !self.is_open() {
            return false;
        }
        let before = self.queued.fetch_add(size(block), Ordering::SeqCst);
        if before + size(block) <= QUEUE_MAX {
            return true;
        }
        self.leave(block);
        self.open.store(false, Ordering::SeqCst);
        false
    }

    /// A block was taken out of the queue.
    pub(super) fn leave(&self, block: &AppliedBlock) {
        self.queued.fetch_sub(size(block), Ordering::SeqCst);
    }

    /// Nothing comes through the queue until the ledger has been read.
    pub(super) fn close(&self) {
        self.open.store(false, Ordering::SeqCst);
    }

    pub(super) fn is_open(&self) -> bool {
        self.open.load(Ordering::SeqCst)
    }

    pub(super) fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }
}

fn size(block: &AppliedBlock) -> usize {
    1 + block.dispositions.len()
}

impl Worker {
    /// Reads blocks from the ledger until everything above them comes through the queue; false if the thread is to end.
    pub(super) fn catch_up(&mut self) -> bool {
        if !self.persist(Worker::flush) {
            return false;
        }
        let mut known = self.begin_with_snapshot(false);
        // If it is in the way still, it is met again.
        self.feeder.unstick();
        let begun = Instant::now();
        let from = self.wanted();
        info!(%from, tip = %self.ledger.tip().0, "the catalogue reads the ledger");
        loop {
            let read = self.read_on(known.take());
            if self.flow.is_stopping() || !self.persist(Worker::flush) {
                return false;
            }
            if let Some(error) = self.feeder.unstick() {
                self.flow.close();
                known = self.deal_with(&error);
                continue;
            }
            match read {
                // It was opened before the last block was read, and only this thread opens it: nothing is between.
                Ok(()) if self.flow.is_open() => break,
                Ok(()) => self.flow.open.store(true, Ordering::SeqCst),
                Err(error) => {
                    let error = chain_of_causes(&error);
                    error!(
                        error,
                        "the catalogue cannot read the ledger; it is tried again"
                    );
                    std::thread::sleep(RETRY);
                }
            }
        }
        let (to, took) = (self.wanted(), begun.elapsed());
        info!(%from, %to, ?took, "the catalogue has caught up with the ledger");
        true
    }

    /// Does what can be done about a block that the catalogue cannot take.
    fn deal_with(&mut self, error: &InputError) -> Option<Known> {
        let height = self.feeder.height();
        let known = match error {
            InputError::Pruned(height) => self.leap_over(*height),
            _ => {
                let error = chain_of_causes(error);
                error!(error, "the catalogue cannot go on; it is tried again");
                None
            }
        };
        if self.feeder.height() == height {
            std::thread::sleep(RETRY);
        }
        known
    }

    /// The height that is applied next.
    fn wanted(&self) -> Height {
        self.feeder.height().map_or(Height::GENESIS, Height::next)
    }

    /// Applies what the ledger has above the catalogue.
    fn read_on(&mut self, known: Option<Known>) -> Result<(), ledger::ReadError> {
        let (ledger, wanted) = (self.ledger.clone(), self.wanted());
        let mut told = Instant::now();
        let read = replica::replay_knowing(&ledger, known, wanted, |block| {
            if self.flow.is_stopping() || !self.persist(|worker| worker.push(block)) {
                self.flow.stop();
                return ControlFlow::Break(());
            }
            if self.feeder.stuck.is_some() {
                return ControlFlow::Break(());
            }
            let height = block.block.height();
            let (tip, _) = ledger.tip();
            if told.elapsed() >= PROGRESS_EVERY {
                info!(%height, %tip, "the catalogue reads the ledger");
                told = Instant::now();
            }
            if tip.0 - height.0 <= NEAR {
                self.flow.open.store(true, Ordering::SeqCst);
            }
            ControlFlow::Continue(())
        });
        read.map(|_| ())
    }

    fn push(&mut self, block: &AppliedBlock) -> Result<(), catalogue::ApplyError> {
        let outcomes = self.feeder.push(block)?;
        self.keep(outcomes);
        if let Some(height) = self.feeder.height() {
            self.reach(height);
        }
        Ok(())
    }

    /// Does something, and again what is left of it, until it is written; false if the thread is to end.
    fn persist(
        &mut self,
        step: impl FnOnce(&mut Self) -> Result<(), catalogue::ApplyError>,
    ) -> bool {
        let mut done = step(self);
        while done.is_err() {
            if !self.goes_on(done) || self.flow.is_stopping() {
                return false;
            }
            done = self.flush();
        }
        self.goes_on(done)
    }
}
