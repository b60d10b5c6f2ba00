//! All directories of a TIFF file, for the pictures that raw files carry beside the raw one.
//!
//! `tiff` reads the tags of three directories; here it is the pages: the chain of main directories and those below
//! them. Each is visited once, and only so many, however they point at one another.

use std::collections::{BTreeSet, VecDeque};

use crate::bytes::Endian;
use crate::source::{Source, Window};
use crate::tiff::{self, ENTRIES_MAX, ENTRY_BYTES};

/// Directories visited. Raw files have up to eight.
const PAGES_MAX: usize = 16;
/// Numbers read of one value.
const NUMBERS_MAX: usize = 16;

const SUB_DIRECTORIES: u16 = 0x014a;

/// One directory.
#[derive(Debug)]
pub(crate) struct Page {
    endian: Endian,
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    tag: u16,
    /// Bytes of one component.
    unit: u8,
    value: Window,
}

impl Page {
    /// Where the value of a tag lies.
    pub(crate) fn value(&self, tag: u16) -> Option<Window> {
        self.entry(tag).map(|entry| entry.value)
    }

    /// The whole numbers of a tag, as far as they are read.
    pub(crate) fn numbers(&self, source: &mut Source, tag: u16) -> Vec<u64> {
        self.entry(tag)
            .and_then(|entry| {
                let unit = usize::from(entry.unit);
                let bytes = source.read_up_to(entry.value, 0, unit * NUMBERS_MAX)?;
                let number = |chunk: &[u8]| match unit {
                    1 => chunk.first().copied().map(u64::from),
                    2 => self.endian.u16(chunk, 0).map(u64::from),
                    4 => self.endian.u32(chunk, 0).map(u64::from),
                    _ => None,
                };
                Some(bytes.chunks_exact(unit).filter_map(number).collect())
            })
            .unwrap_or_default()
    }

    /// The one number of a tag.
    pub(crate) fn number(&self, source: &mut Source, tag: u16) -> Option<u64> {
        match *self.numbers(source, tag) {
            [number] => Some(number),
            _ => None,
        }
    }

    fn entry(&self, tag: u16) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.tag == tag)
    }
}

/// The directories of the block in `window`, the main one first.
pub(crate) fn read(source: &mut Source, window: Window) -> Vec<Page> {
    let Some((endian, first)) = tiff::read_header(source, window) else {
        return Vec::new();
    };
    let mut pages = Vec::new();
    let mut seen = BTreeSet::new();
    let mut waiting = VecDeque::from([u64::from(first)]);
    while let Some(at) = waiting.pop_front() {
        if at == 0 || pages.len() == PAGES_MAX || !seen.insert(at) {
            continue;
        }
        let Some((page, next)) = read_page(source, window, endian, at) else {
            continue;
        };
        waiting.extend(page.numbers(source, SUB_DIRECTORIES));
        waiting.extend(next);
        pages.push(page);
    }
    pages
}

fn read_page(
    source: &mut Source,
    window: Window,
    endian: Endian,
    at: u64,
) -> Option<(Page, Option<u64>)> {
    let count = endian
        .u16(&source.read(window, at, 2)?, 0)?
        .min(ENTRIES_MAX);
    let len = usize::from(count) * ENTRY_BYTES;
    let bytes = source.read_up_to(window, at.checked_add(2)?, len + 4)?;
    let starts = (at + 2..).step_by(ENTRY_BYTES);
    let entries = bytes
        .get(..len.min(bytes.len()))?
        .chunks_exact(ENTRY_BYTES)
        .zip(starts)
        .filter_map(|(entry, start)| read_entry(window, endian, entry, start));
    let entries = entries.collect();
    let next = endian.u32(&bytes, len).map(u64::from);
    Some((Page { endian, entries }, next))
}

fn read_entry(window: Window, endian: Endian, entry: &[u8], start: u64) -> Option<Entry> {
    // The standard's number for "offset of a directory" is not among the usual ones.
    let unit = match endian.u16(entry, 2)? {
        13 => 4,
        format => tiff::bytes_per_component(format)?,
    };
    let size = u64::try_from(unit)
        .ok()?
        .checked_mul(u64::from(endian.u32(entry, 4)?))?;
    let value = if size <= 4 {
        window.part(start + 8, size)?
    } else {
        window.part(u64::from(endian.u32(entry, 8)?), size)?
    };
    Some(Entry {
        tag: endian.u16(entry, 0)?,
        unit: u8::try_from(unit).ok()?,
        value,
    })
}
