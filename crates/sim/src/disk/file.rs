//! One file: what the page cache holds of it, and what the platter does.

use std::io;
use std::ops::Range;

use super::Writeback;
use crate::rng::{Chance, Rng};

/// What a disk writes whole or not at all.
const SECTOR: usize = 512;

/// One file.
#[derive(Debug, Default)]
pub(super) struct File {
    cache: Vec<u8>,
    /// None: not even the file's name.
    platter: Option<Vec<u8>>,
    /// Ranges written since the last flush.
    dirty: Vec<Range<usize>>,
}

impl File {
    pub(super) fn durable(bytes: Vec<u8>) -> Self {
        Self {
            cache: bytes.clone(),
            platter: Some(bytes),
            dirty: Vec::new(),
        }
    }

    pub(super) fn durable_bytes(&self) -> Option<&[u8]> {
        self.platter.as_deref()
    }

    pub(super) fn exists(&self) -> bool {
        self.platter.is_some()
    }

    pub(super) fn len(&self) -> u64 {
        self.cache.len() as u64
    }

    pub(super) fn read(&self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let end = start.saturating_add(length);
        self.cache
            .get(start..end)
            .map(<[u8]>::to_vec)
            .ok_or_else(|| io::Error::new(io::ErrorKind::UnexpectedEof, "the file is shorter"))
    }

    pub(super) fn write(&mut self, offset: u64, bytes: &[u8]) {
        let start = usize::try_from(offset).expect("simulated files are small");
        let range = start..start + bytes.len();
        overlay(&mut self.cache, range.clone(), bytes);
        match self.dirty.last_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            _ => self.dirty.push(range),
        }
    }

    /// Everything dirty becomes durable, and the name too.
    pub(super) fn flush(&mut self) {
        let platter = self.platter.get_or_insert_default();
        for range in std::mem::take(&mut self.dirty) {
            let bytes = self
                .cache
                .get(range.clone())
                .expect("dirty ranges are in the cache");
            overlay(platter, range, bytes);
        }
    }

    /// Cuts the file and flushes what is left. Sectors that a failed flush has marked clean are not among it.
    pub(super) fn cut(&mut self, length: u64) {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        self.cache.truncate(length);
        for range in &mut self.dirty {
            range.end = range.end.min(length);
        }
        self.dirty.retain(|range| !range.is_empty());
        self.flush();
        let length = self.cache.len();
        self.platter.get_or_insert_default().resize(length, 0);
    }

    /// The kernel writes some dirty sectors back, in no particular order.
    pub(super) fn write_back(&mut self, rng: &mut Rng, writeback: Writeback) {
        if self.platter.is_none() {
            let named = match writeback {
                Writeback::None => false,
                Writeback::All => true,
                Writeback::Some => rng.chance(Chance::HALF),
            };
            if !named {
                return;
            }
            self.platter = Some(Vec::new());
        }
        let platter = self.platter.get_or_insert_default();
        for sector in sectors(&self.dirty) {
            let kept = match writeback {
                Writeback::None => false,
                Writeback::All => true,
                Writeback::Some => rng.chance(Chance::HALF),
            };
            let range = sector * SECTOR..((sector + 1) * SECTOR).min(self.cache.len());
            if let (true, Some(bytes)) = (kept, self.cache.get(range.clone())) {
                overlay(platter, range, bytes);
            }
        }
        // The length is metadata of its own: it can be ahead of the bytes, which then read as zeros.
        if writeback == Writeback::Some
            && platter.len() < self.cache.len()
            && rng.chance(Chance::HALF)
        {
            let length = platter.len() + rng.index(self.cache.len() - platter.len() + 1);
            platter.resize(length, 0);
        }
    }

    /// A failed flush marks its sectors clean.
    pub(super) fn forget_dirty(&mut self) {
        self.dirty.clear();
        self.platter.get_or_insert_default();
    }

    /// The cache drops the file: clean sectors are read from the platter again.
    pub(super) fn evict(&mut self) {
        if self.dirty.is_empty() {
            self.cache = self.platter.clone().unwrap_or_default();
        }
    }

    /// Turns a bit for good: what is read from now on is wrong, whoever remembers it.
    pub(super) fn rot(&mut self, at: usize, bit: u32) {
        let platter = self.platter.as_deref_mut().unwrap_or_default();
        for byte in [platter.get_mut(at), self.cache.get_mut(at)]
            .into_iter()
            .flatten()
        {
            *byte ^= 1 << bit;
        }
    }

    /// These bytes read as if they had never been written, whoever remembers them.
    pub(super) fn blank(&mut self, range: &Range<usize>) {
        let platter = self.platter.as_deref_mut().unwrap_or_default();
        for bytes in [platter, &mut self.cache] {
            let end = range.end.min(bytes.len());
            let blank = bytes.get_mut(range.start..end);
            blank.into_iter().flatten().for_each(|byte| *byte = 0);
        }
    }

    /// Other bytes, for whoever reads from now on.
    pub(super) fn replace(&mut self, bytes: Vec<u8>) {
        *self = Self::durable(bytes);
    }

    /// What is durable and just as the cache has it, up to the first difference.
    pub(super) fn settled_bytes(&self) -> &[u8] {
        let durable = self.durable_bytes().unwrap_or_default();
        let equal = durable
            .iter()
            .zip(&self.cache)
            .take_while(|(a, b)| a == b)
            .count();
        durable.get(..equal).unwrap_or_default()
    }

    pub(super) fn cut_power(&mut self, rng: &mut Rng, writeback: Writeback) {
        self.write_back(rng, writeback);
        self.dirty.clear();
        self.cache = self.platter.clone().unwrap_or_default();
    }
}

/// Puts `bytes` at `range`, filling a gap before it with zeros.
fn overlay(target: &mut Vec<u8>, range: Range<usize>, bytes: &[u8]) {
    if target.len() == range.start {
        target.extend_from_slice(bytes);
        return;
    }
    if target.len() < range.end {
        target.resize(range.end, 0);
    }
    if let Some(place) = target.get_mut(range) {
        place.copy_from_slice(bytes);
    }
}

/// The sectors that `ranges` touch, each once, in order.
fn sectors(ranges: &[Range<usize>]) -> Vec<usize> {
    let touched = ranges.iter().filter(|range| !range.is_empty());
    let mut sectors: Vec<usize> = touched
        .flat_map(|range| range.start / SECTOR..range.end.div_ceil(SECTOR))
        .collect();
    sectors.sort_unstable();
    sectors.dedup();
    sectors
}
