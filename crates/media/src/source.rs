//! A file of any size, read in small pieces out of one budget.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

/// All the metadata reads of one examination together. Real files need a few hundred kilobytes.
const BUDGET_BYTES: u64 = 8 << 20;
/// What a read costs at least, so that a million tiny ones are as dear as they are slow.
const READ_COST_BYTES: u64 = 512;

/// A part of a file: the bytes of one EXIF block, one box, one chunk.
///
/// Invariant: it lies within the file as it was when opened, because windows are only ever cut from the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    start: u64,
    len: u64,
}

impl Window {
    /// Its length in bytes.
    pub(crate) fn len(self) -> u64 {
        self.len
    }

    /// What is left after the first `skipped` bytes.
    pub(crate) fn after(self, skipped: u64) -> Option<Self> {
        Some(Self {
            start: self.start.checked_add(skipped)?,
            len: self.len.checked_sub(skipped)?,
        })
    }

    /// The part of `len` bytes at `at`, if it lies inside.
    pub(crate) fn part(self, at: u64, len: u64) -> Option<Self> {
        let rest = self.after(at)?;
        (len <= rest.len).then_some(Self { len, ..rest })
    }
}

/// An open file and what may still be read of it.
#[derive(Debug)]
pub(crate) struct Source {
    file: File,
    size: u64,
    budget: u64,
}

impl Source {
    /// Opens a file for reading.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        if metadata.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        Ok(Self {
            file,
            size: metadata.len(),
            budget: BUDGET_BYTES,
        })
    }

    /// The whole file.
    pub(crate) fn whole(&self) -> Window {
        Window {
            start: 0,
            len: self.size,
        }
    }

    /// A reader of `window` alone, outside the budget: for decoders, which have bounds of their own.
    pub(crate) fn reader(&mut self, window: Window) -> io::Result<Part<'_>> {
        self.file.seek(SeekFrom::Start(window.start))?;
        Ok(Part {
            file: &mut self.file,
            start: window.start,
            at: 0,
            len: window.len,
        })
    }

    /// Reads `len` bytes at `at` within `window`: all of them or nothing.
    pub(crate) fn read(&mut self, window: Window, at: u64, len: usize) -> Option<Vec<u8>> {
        let part = window.part(at, u64::try_from(len).ok()?)?;
        let bytes = self.read_up_to(part, 0, len)?;
        (bytes.len() == len).then_some(bytes)
    }

    /// Reads at most `len` bytes at `at` within `window`: fewer at the end of the window or the file, nothing if
    /// the budget is spent.
    pub(crate) fn read_up_to(&mut self, window: Window, at: u64, len: usize) -> Option<Vec<u8>> {
        let rest = window.after(at)?;
        let len = u64::try_from(len).ok()?.min(rest.len);
        self.budget = self.budget.checked_sub(len.max(READ_COST_BYTES))?;
        let mut bytes = Vec::with_capacity(usize::try_from(len).ok()?);
        self.file.seek(SeekFrom::Start(rest.start)).ok()?;
        self.file.by_ref().take(len).read_to_end(&mut bytes).ok()?;
        Some(bytes)
    }
}

/// A part of a file as a reader of its own, for decoders that would read a file of any size into memory.
#[derive(Debug)]
pub(crate) struct Part<'a> {
    file: &'a mut File,
    start: u64,
    at: u64,
    len: u64,
}

impl Read for Part<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.len.saturating_sub(self.at);
        let read = self.file.by_ref().take(left).read(buffer)?;
        self.at += read as u64;
        Ok(read)
    }
}

impl Seek for Part<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
            SeekFrom::End(by) => self.len.checked_add_signed(by),
        };
        let absolute = target.and_then(|at| self.start.checked_add(at));
        let (target, absolute) = target.zip(absolute).ok_or(io::ErrorKind::InvalidInput)?;
        self.file.seek(SeekFrom::Start(absolute))?;
        self.at = target;
        Ok(target)
    }
}
