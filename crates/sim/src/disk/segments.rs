//! Segments on a platter: stored in steps, of which any may be the last.

use std::io;

use ledger::SegmentName;
use ledger::segment::FOLDER;

use super::{Platter, contains};
use crate::rng::{Chance, Rng};

/// What a disk writes at once.
const SECTOR: usize = 512;

/// The sealer is stopped halfway.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mishap {
    /// After so many more changes.
    pub(crate) steps: u32,
    /// What is left of the segment that was being stored then.
    pub(crate) left: Left,
    pub(crate) happened: bool,
}

/// What is left of a segment that was being stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Left {
    Nothing,
    /// Some of it, under a name that says so.
    Part,
    /// All of it, though nobody was told.
    All,
}

impl Mishap {
    pub(crate) fn draw(rng: &mut Rng) -> Self {
        Self {
            steps: u32::try_from(rng.below(3)).unwrap_or(0),
            left: *rng
                .pick(&[Left::Nothing, Left::Part, Left::All])
                .unwrap_or(&Left::Part),
            happened: false,
        }
    }
}

impl Platter {
    /// The sealer will be stopped, or be left alone.
    pub(crate) fn set_mishap(&mut self, mishap: Option<Mishap>) {
        self.mishap = mishap;
    }

    /// Whether the sealer was stopped.
    pub(crate) fn met_mishap(&self) -> bool {
        self.mishap.is_some_and(|mishap| mishap.happened)
    }

    /// The sealer changes something, unless it is stopped first.
    pub(super) fn go_on(&mut self) -> io::Result<()> {
        match &mut self.mishap {
            Some(mishap) if mishap.steps == 0 => {
                mishap.happened = true;
                Err(io::Error::other("the disk says no"))
            }
            Some(mishap) => {
                mishap.steps -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Stores a segment, whole or not at all; a part of one has another name.
    pub(super) fn store_segment(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let path = format!("{FOLDER}/{name}");
        if !self.has_room() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        if let Err(error) = self.go_on() {
            match self.mishap.map(|mishap| mishap.left) {
                Some(Left::All) => {
                    self.segments.insert(path, bytes.to_vec());
                }
                Some(Left::Part) => {
                    let part = bytes.get(..bytes.len() / 2).unwrap_or_default();
                    let path = format!("{path}.unfinished");
                    self.segments.insert(path, part.to_vec());
                }
                _ => {}
            }
            return Err(error);
        }
        self.segments.insert(path, bytes.to_vec());
        Ok(())
    }

    /// Puts a file into the log that was not there, whole or not at all.
    pub(super) fn store_log(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        if !self.has_room() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        if self.files.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let done = self.go_on();
        let unseen = self.mishap.is_some_and(|mishap| mishap.left == Left::All);
        if done.is_ok() || unseen {
            let file = super::File::durable(bytes.to_vec());
            self.files.insert(name.to_owned(), file);
        }
        done
    }

    /// Puts a segment into the folder before a ledger is opened there.
    pub(crate) fn install(&mut self, name: SegmentName, bytes: Vec<u8>) {
        self.segments.insert(format!("{FOLDER}/{name}"), bytes);
    }

    /// The segments of the folder, ascending.
    pub(crate) fn segments(&self) -> impl DoubleEndedIterator<Item = (SegmentName, &[u8])> {
        self.segments.iter().filter_map(|(path, bytes)| {
            let name = path.strip_prefix(FOLDER)?.strip_prefix('/')?;
            Some((name.parse().ok()?, bytes.as_slice()))
        })
    }

    /// How many files the log has.
    pub(crate) fn log_files(&self) -> usize {
        self.files.len()
    }

    /// Whether a file of the log holds these bytes durably.
    pub(crate) fn log_holds(&self, needle: &[u8]) -> bool {
        let durable = self
            .files
            .values()
            .rev()
            .filter_map(super::File::durable_bytes);
        durable.into_iter().any(|bytes| contains(bytes, needle))
    }

    /// One segment.
    pub(crate) fn segment(&self, name: SegmentName) -> Option<&[u8]> {
        let path = format!("{FOLDER}/{name}");
        self.segments.get(&path).map(Vec::as_slice)
    }

    /// Loses a segment.
    pub(crate) fn lose_segment(&mut self, name: SegmentName) {
        self.segments.remove(&format!("{FOLDER}/{name}"));
    }

    /// What would be found if power failed now, with some of the deleted files there again.
    pub(crate) fn durable_image_with_returned(&self, rng: &mut Rng) -> Self {
        let mut image = self.durable_image();
        for (name, file) in &self.retired {
            if let Some(bytes) = file.durable_bytes()
                && rng.chance(Chance::HALF)
            {
                let file = super::File::durable(bytes.to_vec());
                image.files.insert(name.clone(), file);
            }
        }
        image
    }

    /// All files of the log but the first and the newest are gone.
    pub(crate) fn lose_middle_of_log(&mut self) {
        let logs = self.files.keys().filter(|name| name.ends_with(".log"));
        let logs: Vec<String> = logs.cloned().collect();
        let inner = logs.len().saturating_sub(2);
        for name in logs.iter().skip(1).take(inner) {
            self.files.remove(name);
        }
    }

    /// Harms one segment; false if there is none.
    pub(crate) fn rot_segment(&mut self, rng: &mut Rng) -> Option<String> {
        let paths: Vec<String> = self.segments.keys().cloned().collect();
        let path = rng.pick(&paths).cloned()?;
        let stray = self.stray_sector(&paths, rng);
        let bytes = self.segments.get_mut(&path)?;
        match rng.below(5) {
            0 => bytes.truncate(rng.index(bytes.len())),
            1 => {
                let start = rng.index(bytes.len());
                let sector = bytes.iter_mut().skip(start).take(SECTOR);
                sector.for_each(|byte| *byte = 0);
            }
            3 => {
                let start = rng.index(bytes.len());
                let sector = bytes.iter_mut().skip(start);
                sector.zip(stray).for_each(|(byte, other)| *byte = other);
            }
            2 => {
                let at = rng.index(bytes.len());
                let bit = rng.below(8);
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << bit;
                }
            }
            _ => {
                self.segments.remove(&path);
            }
        }
        Some(path)
    }

    /// What a write leaves that was meant for another place: a sector of any segment.
    fn stray_sector(&self, paths: &[String], rng: &mut Rng) -> Vec<u8> {
        let other = rng.pick(paths).and_then(|path| self.segments.get(path));
        let bytes = other.map(Vec::as_slice).unwrap_or_default();
        let start = rng.index(bytes.len());
        bytes.iter().skip(start).take(SECTOR).copied().collect()
    }
}
