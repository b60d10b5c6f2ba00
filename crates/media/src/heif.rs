//! HEIC, HEIF and AVIF: the EXIF block and the dimensions, without decoding a pixel.
//!
//! The `meta` box lists items (pictures, tiles, one EXIF block), where each lies, and which properties each has. The
//! primary item's size and rotation properties say how it is shown, and rule over the EXIF orientation.

use model::file::Facts;

use crate::boxes;
use crate::bytes::Endian::Big;
use crate::exif;
use crate::notes::Notes;
use crate::source::{Source, Window};
use crate::tiff::Directory;

/// The largest list read of each kind, in bytes. A burst of tiles needs some kilobytes.
const LIST_BYTES_MAX: usize = 256 << 10;
/// Items and properties looked at.
const ITEMS_MAX: u64 = 4096;

/// Reads EXIF and dimensions into `facts`.
pub(crate) fn read(source: &mut Source, facts: &mut Facts, notes: &mut Notes) {
    let whole = source.whole();
    let meta = boxes::find(source, whole, b"meta").and_then(|meta| meta.after(4));
    let Some(meta) = meta else {
        notes.add("the file has no list of its pictures");
        return;
    };
    let block = exif_block(source, meta).map(|window| (Directory::Main, window));
    exif::read(block.into_iter().collect(), source, facts, notes);
    if let Some((width, height)) = dimensions(source, meta) {
        facts.width = Some(width);
        facts.height = Some(height);
    }
}

fn exif_block(source: &mut Source, meta: Window) -> Option<Window> {
    let infos = boxes::find(source, meta, b"iinf")?;
    let item = exif_item(source, infos)?;
    let window = locate_item(source, meta, item)?;
    // The block starts with the distance to its TIFF header.
    let skip = Big.u32(&source.read(window, 0, 4)?, 0)?;
    window.after(4 + u64::from(skip))
}

fn exif_item(source: &mut Source, infos: Window) -> Option<u64> {
    let version = *source.read(infos, 0, 4)?.first()?;
    let entries = infos.after(if version == 0 { 6 } else { 8 })?;
    let items = boxes::children(source, entries);
    items.into_iter().find_map(|(_, body)| {
        let mut info = List::read(source, body)?;
        let wide = info.version()? > 2;
        let id = info.number(if wide { 4 } else { 2 })?;
        info.number(2)?;
        (info.number(4)? == u64::from(u32::from_be_bytes(*b"Exif"))).then_some(id)
    })
}

/// Where an item's bytes lie: its first extent, which for EXIF is all of it.
fn locate_item(source: &mut Source, meta: Window, wanted: u64) -> Option<Window> {
    let body = boxes::find(source, meta, b"iloc")?;
    let mut list = List::read(source, body)?;
    let version = list.version()?;
    let sizes = list.number(2)?;
    let nibble = |shift: u32| usize::try_from((sizes >> shift) & 15).unwrap_or(0);
    let (offset_size, length_size, base_size) = (nibble(12), nibble(8), nibble(4));
    let index_size = if version == 0 { 0 } else { nibble(0) };
    let id_size = if version < 2 { 2 } else { 4 };
    for _ in 0..list.number(id_size)?.min(ITEMS_MAX) {
        let id = list.number(id_size)?;
        let method = if version == 0 {
            0
        } else {
            list.number(2)? & 15
        };
        list.number(2)?;
        let base = list.number(base_size)?;
        for extent in 0..list.number(2)? {
            list.number(index_size)?;
            let offset = list.number(offset_size)?;
            let length = list.number(length_size)?;
            if id == wanted && extent == 0 {
                let start = base.checked_add(offset)?;
                let within = match method {
                    0 => source.whole(),
                    1 => boxes::find(source, meta, b"idat")?,
                    _ => return None,
                };
                return within.part(start, length);
            }
        }
    }
    None
}

/// The primary picture's size as shown: its size property, turned by its rotation property.
fn dimensions(source: &mut Source, meta: Window) -> Option<(u32, u32)> {
    let primary = boxes::find(source, meta, b"pitm")?;
    let mut primary = List::read(source, primary)?;
    let id_size = if primary.version()? == 0 { 2 } else { 4 };
    let primary = primary.number(id_size)?;
    let all = boxes::find_path(source, meta, &[b"iprp", b"ipco"])?;
    let all = boxes::children(source, all);
    let mut size = None;
    let mut quarter_turns = 0;
    for index in property_indices(source, meta, primary)? {
        let Some((name, body)) = index.checked_sub(1).and_then(|index| all.get(index)) else {
            continue;
        };
        match name {
            b"ispe" => size = source.read(*body, 4, 8),
            b"irot" => quarter_turns = source.read(*body, 0, 1)?.first()? & 3,
            _ => {}
        }
    }
    let size = size?;
    let (width, height) = (Big.u32(&size, 0)?, Big.u32(&size, 4)?);
    let plausible = (1..=65_535).contains(&width) && (1..=65_535).contains(&height);
    let shown = if quarter_turns % 2 == 0 {
        (width, height)
    } else {
        (height, width)
    };
    plausible.then_some(shown)
}

/// Which properties, counted from 1, an item has.
fn property_indices(source: &mut Source, meta: Window, wanted: u64) -> Option<Vec<usize>> {
    let body = boxes::find_path(source, meta, &[b"iprp", b"ipma"])?;
    let wide = source.read(body, 3, 1)?.first()? & 1 == 1;
    let mut list = List::read(source, body)?;
    let id_size = if list.version()? == 0 { 2 } else { 4 };
    for _ in 0..list.number(4)?.min(ITEMS_MAX) {
        let id = list.number(id_size)?;
        let mut indices = Vec::new();
        for _ in 0..list.number(1)? {
            // The highest bit says "essential", which matters to decoders only.
            let index = if wide {
                list.number(2)? & 0x7fff
            } else {
                list.number(1)? & 0x7f
            };
            indices.push(usize::try_from(index).ok()?);
        }
        if id == wanted {
            return Some(indices);
        }
    }
    None
}

/// A box of numbers of varying width, read front to back.
struct List {
    bytes: Vec<u8>,
    at: usize,
}

impl List {
    fn read(source: &mut Source, body: Window) -> Option<Self> {
        let bytes = source.read_up_to(body, 0, LIST_BYTES_MAX)?;
        Some(Self { bytes, at: 0 })
    }

    /// The version byte; three bytes of flags are passed over.
    fn version(&mut self) -> Option<u64> {
        let version = self.number(1)?;
        self.number(3)?;
        Some(version)
    }

    /// The next number of `size` bytes; zero bytes make a zero.
    fn number(&mut self, size: usize) -> Option<u64> {
        let end = self.at.checked_add(size).filter(|_| size <= 8)?;
        let bytes = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(
            bytes
                .iter()
                .fold(0, |number, &byte| (number << 8) | u64::from(byte)),
        )
    }
}
