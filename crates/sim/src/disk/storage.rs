//! The readable side of a disk, and what the sealer changes beside the log.

use std::io;

use ledger::segment::FOLDER;
use ledger::{ENDED, ENDED_BECAUSE, Storage};

use super::{File, Shared, lock, missing};

/// What the page cache holds.
pub(super) struct SimStorage {
    pub(super) platter: Shared,
}

impl Storage for SimStorage {
    fn files(&self) -> io::Result<Vec<String>> {
        Ok(lock(&self.platter).files.keys().cloned().collect())
    }

    fn len(&self, file: &str) -> io::Result<u64> {
        let platter = lock(&self.platter);
        if let Some(segment) = platter.segments.get(file) {
            return Ok(segment.len() as u64);
        }
        let found = platter.files.get(file).ok_or_else(|| missing(file))?;
        Ok(found.len())
    }

    fn read(&self, file: &str, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let platter = lock(&self.platter);
        if let Some(segment) = platter.segments.get(file) {
            let start = usize::try_from(offset).unwrap_or(usize::MAX);
            let bytes = segment.get(start..start.saturating_add(length));
            return bytes
                .map(<[u8]>::to_vec)
                .ok_or_else(|| io::ErrorKind::UnexpectedEof.into());
        }
        let found = platter.files.get(file).ok_or_else(|| missing(file))?;
        found.read(offset, length)
    }

    fn segments(&self) -> io::Result<Vec<String>> {
        let platter = lock(&self.platter);
        let names = platter.segments.keys();
        let names = names.filter_map(|path| path.strip_prefix(FOLDER)?.strip_prefix('/'));
        Ok(names.map(str::to_owned).collect())
    }

    fn store_segment(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        lock(&self.platter).store_segment(name, bytes)
    }

    fn end(&self) -> io::Result<()> {
        let note = File::durable(ENDED_BECAUSE.as_bytes().to_vec());
        lock(&self.platter).files.insert(ENDED.to_owned(), note);
        Ok(())
    }

    fn store_log(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        lock(&self.platter).store_log(name, bytes)
    }

    fn set_aside(&self, file: &str) -> io::Result<String> {
        let platter = lock(&self.platter);
        let there = platter.segments.contains_key(file) || platter.files.contains_key(file);
        there
            .then(|| format!("quarantine/{file}"))
            .ok_or_else(|| missing(file))
    }

    fn retire(&self, file: &str) -> io::Result<()> {
        let mut platter = lock(&self.platter);
        platter.go_on()?;
        if platter.segments.remove(file).is_some() {
            return Ok(());
        }
        let gone = platter.files.remove(file).ok_or_else(|| missing(file))?;
        platter.retired.insert(file.to_owned(), gone);
        Ok(())
    }
}
