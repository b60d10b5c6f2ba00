//! What the ledger asks of a disk.
//!
//! Writes are *submitted*; their completion comes back later as a [`Completion`], so that a slow flush is an event
//! and never a pause. There are two implementations: the node's (a thread that writes and calls `fdatasync`) and the
//! simulator's (which can lose, tear and delay what was not flushed).

use std::io;
use std::sync::Arc;

use model::LogSeq;

use crate::format::FILE_BYTES;

/// The name of the file that says that the identity which wrote a log has ended.
pub const ENDED: &str = "ended";

/// What it says to people.
pub const ENDED_BECAUSE: &str = "Other nodes have seen more of this node than its ledger holds: the ledger was rolled \
back or copied. It must not vote again. Keep the folder, and let the machine join the cluster again as a new node.\n";

/// The readable side of a folder of log files, and the segments in it; may be shared between threads.
pub trait Storage: Send + Sync {
    /// The names of all files, in ascending order.
    ///
    /// # Errors
    /// If the folder cannot be listed.
    fn files(&self) -> io::Result<Vec<String>>;

    /// A file's length in bytes.
    ///
    /// # Errors
    /// If there is no such file.
    fn len(&self, file: &str) -> io::Result<u64>;

    /// Exactly `length` bytes from `offset`.
    ///
    /// # Errors
    /// `UnexpectedEof` if the file is shorter, or whatever the system says.
    fn read(&self, file: &str, offset: u64, length: usize) -> io::Result<Vec<u8>>;

    /// The names of the files in the folder [`segment::FOLDER`](crate::segment::FOLDER). [`Storage::len`] and
    /// [`Storage::read`] know them under that folder's name, a slash, and their own.
    ///
    /// # Errors
    /// If the folder cannot be listed; `NotFound` if there is none.
    fn segments(&self) -> io::Result<Vec<String>> {
        Ok(Vec::new())
    }

    /// The ledger of the chain before, in the folder [`predecessor::FOLDER`](crate::predecessor::FOLDER); nothing if
    /// there is none.
    fn predecessor(&self) -> Option<Arc<dyn Storage>> {
        None
    }

    /// Puts a whole file into the folder of segments, in place of one of the same name, and flushes it. However this ends, the
    /// old file is there, or the new one, all of it. On any thread, while the log is being written.
    ///
    /// # Errors
    /// If it could not be done. `Unsupported` for a storage that keeps no segments.
    fn store_segment(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let _ = (name, bytes);
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Makes the file [`ENDED`] among those of the log and flushes it. It is never deleted.
    ///
    /// # Errors
    /// If it could not be done. `Unsupported` for a storage that nobody votes from.
    fn end(&self) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Puts a whole file of the log into the folder, which must not be there yet, and flushes it. However this ends, all
    /// of it is there or nothing.
    ///
    /// # Errors
    /// If it could not be done. `Unsupported` for a storage that is not mended.
    fn store_log(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let _ = (name, bytes);
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Keeps what a file of the log or a segment holds now outside the ledger's folder, for people to look at, and says
    /// where. The file stays where it is.
    ///
    /// # Errors
    /// If it could not be done; `NotFound` if there is no such file. `Unsupported` for a storage that is not mended.
    fn set_aside(&self, file: &str) -> io::Result<String> {
        let _ = file;
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Overwrites a part of a log file that was flushed before, and flushes it.
    ///
    /// # Errors
    /// If it could not be done. `Unsupported` for a storage that is not mended.
    fn rewrite(&self, file: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let _ = (file, offset, bytes);
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Deletes a file of the log, or a segment, that is not needed any more. It may come back if power fails soon.
    ///
    /// # Errors
    /// If it could not be done. `Unsupported` for a storage that keeps no segments.
    fn retire(&self, file: &str) -> io::Result<()> {
        let _ = file;
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// A folder of log files that can be written.
pub trait Disk {
    /// The readable side.
    fn storage(&self) -> Arc<dyn Storage>;

    /// Cuts a file to `length` bytes and flushes it before returning. Only while a ledger is being opened.
    ///
    /// # Errors
    /// If it could not be done; the ledger is then not opened.
    fn cut(&mut self, file: &str, length: u64) -> io::Result<()>;

    /// Queues a write and returns at once. Writes are carried out in the order of submission. A write is complete
    /// when it and every write before it have been flushed (`fdatasync`; for a new file also the folder).
    fn submit(&mut self, write: Write);

    /// A file of the log ends with the record that brings it to so many bytes.
    fn file_bytes(&self) -> u64 {
        FILE_BYTES
    }
}

/// One queued write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// The record it holds; completions name it.
    pub seq: LogSeq,
    /// The file's name, without a folder.
    pub file: String,
    /// Whether the file has to be made first. It must not exist.
    pub create: bool,
    /// Where in the file, in bytes.
    pub offset: u64,
    /// What.
    pub bytes: Vec<u8>,
    /// Nobody waits for it: it may be flushed together with the next write that is not lazy, or after a while.
    pub lazy: bool,
}

/// What became of submitted writes.
#[derive(Debug)]
pub enum Completion {
    /// Everything up to and including this record is flushed.
    Durable(LogSeq),
    /// There is no room. Nothing of the write remains in the file; the disk tries again by itself.
    Full,
    /// There is room again.
    Room,
    /// A write or flush failed: what is on the disk is unknown, and nothing more will be written.
    Failed(io::Error),
}
