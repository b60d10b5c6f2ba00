//! The disk's thread: takes what is queued, writes it, flushes it, reports it.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::time::Instant;

use ledger::{Completion, Write};
use model::LogSeq;

use super::files::Files;
use super::queue::Queue;
use super::{LAZY_WAIT, ROOM_RETRY};
use crate::Faults;
use crate::metrics::{DiskMetrics, seconds};

/// Why the thread ends early.
enum Stop {
    /// What is on the disk is unknown.
    Failed(io::Error),
    /// The queue was closed while there was no room.
    Closed,
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

/// Where writing stands.
pub(super) struct Writer {
    files: Arc<Files>,
    queue: Arc<Queue>,
    faults: Faults,
    metrics: DiskMetrics,
    on_complete: Box<dyn FnMut(Completion) + Send>,
    /// The file written last.
    current: Option<(String, File)>,
    /// Whether `current` has bytes that are not flushed.
    dirty: bool,
    /// Whether a file was made whose name is not flushed.
    names_dirty: bool,
    /// The last record written.
    written: Option<LogSeq>,
    /// How often was flushed.
    flushes: u64,
}

impl Writer {
    pub(super) fn new(
        files: Arc<Files>,
        queue: Arc<Queue>,
        faults: Faults,
        metrics: DiskMetrics,
        on_complete: Box<dyn FnMut(Completion) + Send>,
    ) -> Self {
        Self {
            files,
            queue,
            faults,
            metrics,
            on_complete,
            current: None,
            dirty: false,
            names_dirty: false,
            written: None,
            flushes: 0,
        }
    }

    /// Works until the queue is closed, or something fails; from then on swallows what comes.
    pub(super) fn run(mut self) {
        let stop = loop {
            let Some(writes) = self.queue.take(LAZY_WAIT) else {
                return;
            };
            if let Err(stop) = self.group(writes) {
                break stop;
            }
        };
        if let Stop::Failed(error) = stop {
            (self.on_complete)(Completion::Failed(error));
        }
        while self.queue.take(LAZY_WAIT).is_some() {}
    }

    /// One group commit.
    fn group(&mut self, writes: VecDeque<Write>) -> Result<(), Stop> {
        for write in writes {
            match self.write(&write) {
                Err(error) if is_full(&error) => self.wait_for_room(&write)?,
                result => result?,
            }
            self.written = Some(write.seq);
        }
        Ok(self.flush()?)
    }

    fn wait_for_room(&mut self, write: &Write) -> Result<(), Stop> {
        self.flush()?;
        (self.on_complete)(Completion::Full);
        loop {
            if !self.queue.stays_open(ROOM_RETRY) {
                return Err(Stop::Closed);
            }
            match self.write(write) {
                Err(error) if is_full(&error) => {}
                result => {
                    result?;
                    (self.on_complete)(Completion::Room);
                    return Ok(());
                }
            }
        }
    }

    /// Writes one record whole, or leaves nothing of it.
    fn write(&mut self, write: &Write) -> io::Result<()> {
        self.enter(write)?;
        let Some((_, file)) = &self.current else {
            return Ok(());
        };
        let Err(error) = file.write_all_at(&write.bytes, write.offset) else {
            self.dirty = true;
            self.metrics.written.inc_by(write.bytes.len() as u64);
            return Ok(());
        };
        if is_full(&error) {
            self.undo(write)?;
        }
        Err(error)
    }

    /// Makes the write's file the current one.
    fn enter(&mut self, write: &Write) -> io::Result<()> {
        let name = &write.file;
        if !write.create && self.current.as_ref().is_some_and(|(file, _)| file == name) {
            return Ok(());
        }
        // Later bytes prove nothing about earlier ones, so the file that is left is flushed first.
        self.flush_bytes()?;
        let file = if write.create {
            self.files.create(name)?
        } else {
            self.files.open_to_write(name)?
        };
        self.names_dirty |= write.create;
        self.current = Some((name.clone(), file));
        Ok(())
    }

    /// Takes back a write that did not fit. The cut must succeed: a part left behind would later look like damage.
    fn undo(&mut self, write: &Write) -> io::Result<()> {
        if write.create {
            self.current = None;
            self.files.remove(&write.file).map_err(not_full)
        } else if let Some((_, file)) = &self.current {
            self.dirty = true;
            file.set_len(write.offset).map_err(not_full)
        } else {
            Ok(())
        }
    }

    /// Makes everything written durable and says so.
    fn flush(&mut self) -> io::Result<()> {
        self.flush_bytes()?;
        if self.names_dirty {
            self.files.flush_names()?;
            self.names_dirty = false;
        }
        if let Some(seq) = self.written.take() {
            (self.on_complete)(Completion::Durable(seq));
        }
        Ok(())
    }

    fn flush_bytes(&mut self) -> io::Result<()> {
        let Some((_, file)) = &self.current else {
            return Ok(());
        };
        if self.dirty {
            self.flushes += 1;
            let begun = Instant::now();
            if !self.faults.flush_delay.is_zero() {
                std::thread::sleep(self.faults.flush_delay);
            }
            if self.faults.failing_flush == Some(self.flushes) {
                return Err(io::Error::other(
                    "this flush fails because a test asked for it",
                ));
            }
            file.sync_data().map_err(not_full)?;
            self.metrics.flush.observe(seconds(begun.elapsed()));
            self.dirty = false;
        }
        Ok(())
    }
}

/// A failure that leaves everything as it was.
fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

/// A full disk that shows only in a flush, or in a cut, is no harmless one: earlier bytes may be lost.
fn not_full(error: io::Error) -> io::Error {
    if is_full(&error) {
        io::Error::other(error)
    } else {
        error
    }
}
