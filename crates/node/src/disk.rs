//! The ledger's disk: a folder, and one thread that writes and flushes.
//!
//! Writes are queued by the replica thread, which never waits. The disk's thread takes everything that is queued,
//! writes it, calls `fdatasync` once per file and reports the last record: however many records arrive during one
//! flush, the next flush takes them all. A lazy write, for which nobody waits, goes along with the next that is not,
//! or after [`LAZY_WAIT`].
//!
//! What can go wrong, and what is done:
//!
//! * *No room.* What was written of the record is cut off, everything before it is flushed and reported, and the
//!   write is tried again every [`ROOM_RETRY`]. Nothing behind it is written meanwhile, so the order stays.
//! * *Anything else*, a failed flush above all: what is on the disk is unknown. It is reported, and nothing is
//!   written from then on. A flush is never tried again: the kernel may have dropped the page.
//!
//! What an earlier run wrote may be in the page cache only. It is flushed when the folder is opened, so that a record
//! that is durable has only durable bytes before it.

mod files;
mod queue;
mod writer;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use ledger::{Completion, Disk, Storage, Write};

use self::files::Files;
use self::queue::Queue;
use self::writer::Writer;
use crate::Faults;
use crate::metrics::DiskMetrics;

/// How long a lazy write waits for one that is not.
pub const LAZY_WAIT: Duration = Duration::from_millis(20);
/// How often a write that found no room is tried again.
pub const ROOM_RETRY: Duration = Duration::from_millis(500);

/// Why a folder of log files could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A file of an earlier run, or the folder, could not be flushed.
    #[error("flushing what an earlier run wrote to {path}")]
    Flush {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The system gives no thread.
    #[error("starting the thread that writes to {path}")]
    Thread {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// A ledger's folder while nobody has it open, to be looked at and mended.
pub(crate) fn storage(folder: &Path) -> impl Storage + use<> {
    Files::new(folder.to_owned())
}

/// A folder of log files on a real disk.
///
/// Dropped, it writes and flushes what is queued, unless there is no room, and waits for that.
pub struct FileDisk {
    files: Arc<Files>,
    queue: Arc<Queue>,
    thread: Option<JoinHandle<()>>,
}

impl FileDisk {
    /// Opens `folder`, which must exist. `on_complete` is called on the disk's thread and must not block for long:
    /// nothing is written meanwhile.
    ///
    /// # Errors
    /// If what an earlier run left cannot be flushed, or no thread can be started.
    pub(crate) fn open(
        folder: &Path,
        faults: Faults,
        metrics: &DiskMetrics,
        on_complete: impl FnMut(Completion) + Send + 'static,
    ) -> Result<Self, OpenError> {
        let files = Arc::new(Files::new(folder.to_owned()));
        files.flush_all().map_err(|source| OpenError::Flush {
            path: folder.to_owned(),
            source,
        })?;
        let queue = Arc::new(Queue::new(metrics.queue.clone()));
        let writer = Writer::new(
            files.clone(),
            queue.clone(),
            faults,
            metrics.clone(),
            Box::new(on_complete),
        );
        let thread = std::thread::Builder::new()
            .name("disk".to_owned())
            .spawn(move || writer.run())
            .map_err(|source| OpenError::Thread {
                path: folder.to_owned(),
                source,
            })?;
        Ok(Self {
            files,
            queue,
            thread: Some(thread),
        })
    }
}

impl Disk for FileDisk {
    fn storage(&self) -> Arc<dyn Storage> {
        self.files.clone()
    }

    fn cut(&mut self, file: &str, length: u64) -> io::Result<()> {
        self.files.cut(file, length)
    }

    fn submit(&mut self, write: Write) {
        self.queue.push(write);
    }
}

impl Drop for FileDisk {
    fn drop(&mut self) {
        self.queue.close();
        if let Some(thread) = self.thread.take() {
            // A panic there was printed by the thread; a drop is no place for a second one.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests;
