//! HEIC, HEIF and AVIF: EXIF, XMP, dimensions and orientation, without decoding a pixel.
//!
//! The `meta` box lists items (pictures, tiles, an EXIF block, an XMP packet), where each lies, and which properties
//! each has. The primary item's size, rotation and mirror properties say how it is shown; the EXIF orientation beside
//! them is for information only, and often wrong.

use crate::boxes;
use crate::bytes::Endian::Big;
use crate::locate::Parts;
use crate::notes::Notes;
use crate::source::{Source, Window};

/// The largest list read of each kind, in bytes. A burst of tiles needs some kilobytes.
const LIST_BYTES_MAX: usize = 256 << 10;
/// Items and properties looked at.
const ITEMS_MAX: u64 = 4096;
/// What an XMP item says it is.
const XMP_TYPE: &[u8] = b"application/rdf+xml\0";

/// How the primary picture is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shown {
    /// Pixels across and down, turned.
    pub(crate) size: (u32, u32),
    /// How its stored pixels are turned, as EXIF would say it.
    pub(crate) orientation: u8,
}

/// Finds the parts and how the picture is shown.
pub(crate) fn read(source: &mut Source, notes: &mut Notes) -> (Parts, Option<Shown>) {
    let whole = source.whole();
    let meta = boxes::find(source, whole, b"meta").and_then(|meta| meta.after(4));
    let Some(meta) = meta else {
        notes.add("the file has no list of its pictures");
        return (Parts::default(), None);
    };
    let items = described_items(source, meta).unwrap_or_default();
    let exif = items.exif.and_then(|item| exif_block(source, meta, item));
    let parts = Parts {
        xmp: items.xmp.and_then(|item| locate_item(source, meta, item)),
        ..Parts::of_exif(exif)
    };
    (parts, shown(source, meta))
}

/// The block starts with the distance to its TIFF header.
fn exif_block(source: &mut Source, meta: Window, item: u64) -> Option<Window> {
    let window = locate_item(source, meta, item)?;
    let skip = Big.u32(&source.read(window, 0, 4)?, 0)?;
    window.after(4 + u64::from(skip))
}

/// Numbers of the items that are not pictures.
#[derive(Debug, Default)]
struct Items {
    exif: Option<u64>,
    xmp: Option<u64>,
}

fn described_items(source: &mut Source, meta: Window) -> Option<Items> {
    let infos = boxes::find(source, meta, b"iinf")?;
    let version = *source.read(infos, 0, 4)?.first()?;
    let entries = infos.after(if version == 0 { 6 } else { 8 })?;
    let mut items = Items::default();
    for (_, body) in boxes::children(source, entries) {
        match item_kind(source, body) {
            Some((id, Kind::Exif)) => items.exif = items.exif.or(Some(id)),
            Some((id, Kind::Xmp)) => items.xmp = items.xmp.or(Some(id)),
            None => {}
        }
    }
    Some(items)
}

enum Kind {
    Exif,
    Xmp,
}

fn item_kind(source: &mut Source, body: Window) -> Option<(u64, Kind)> {
    let mut info = List::read(source, body)?;
    let wide = info.version()? > 2;
    let id = info.number(if wide { 4 } else { 2 })?;
    info.number(2)?;
    match &u32::try_from(info.number(4)?).ok()?.to_be_bytes() {
        b"Exif" => Some((id, Kind::Exif)),
        b"mime" => {
            let rest = info.rest();
            // A name, and behind it the type.
            let name = rest.iter().position(|&byte| byte == 0)?;
            let is_xmp = rest.get(name + 1..)?.starts_with(XMP_TYPE);
            is_xmp.then_some((id, Kind::Xmp))
        }
        _ => None,
    }
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

/// The primary picture's size property, turned by its rotation and mirror properties in their order.
fn shown(source: &mut Source, meta: Window) -> Option<Shown> {
    let primary = boxes::find(source, meta, b"pitm")?;
    let mut primary = List::read(source, primary)?;
    let id_size = if primary.version()? == 0 { 2 } else { 4 };
    let primary = primary.number(id_size)?;
    let all = boxes::find_path(source, meta, &[b"iprp", b"ipco"])?;
    let all = boxes::children(source, all);
    let mut size = None;
    let mut turn = Turn::NONE;
    for index in property_indices(source, meta, primary)? {
        let Some((name, body)) = index.checked_sub(1).and_then(|index| all.get(index)) else {
            continue;
        };
        match name {
            b"ispe" => size = source.read(*body, 4, 8),
            b"irot" => {
                for _ in 0..source.read(*body, 0, 1)?.first()? & 3 {
                    turn = turn.then(Turn::LEFT);
                }
            }
            b"imir" if source.read(*body, 0, 1)?.first()? & 1 == 0 => {
                turn = turn.then(Turn::UPSIDE_DOWN)
            }
            b"imir" => turn = turn.then(Turn::MIRROR),
            _ => {}
        }
    }
    let size = size?;
    let (width, height) = (Big.u32(&size, 0)?, Big.u32(&size, 4)?);
    let plausible = (1..=65_535).contains(&width) && (1..=65_535).contains(&height);
    let orientation = turn.orientation();
    let size = if orientation < 5 {
        (width, height)
    } else {
        (height, width)
    };
    plausible.then_some(Shown { size, orientation })
}

/// Where a picture's right and its bottom are shown: each is a step across and a step down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Turn([(i8, i8); 2]);

impl Turn {
    const NONE: Self = Self([(1, 0), (0, 1)]);
    /// A quarter turn against the clock.
    const LEFT: Self = Self([(0, -1), (1, 0)]);
    /// Left and right change places.
    const MIRROR: Self = Self([(-1, 0), (0, 1)]);
    /// Top and bottom change places.
    const UPSIDE_DOWN: Self = Self([(1, 0), (0, -1)]);

    /// EXIF's eight, in order.
    const ALL: [Self; 8] = [
        Self::NONE,
        Self::MIRROR,
        Self([(-1, 0), (0, -1)]),
        Self::UPSIDE_DOWN,
        Self([(0, 1), (1, 0)]),
        Self([(0, 1), (-1, 0)]),
        Self([(0, -1), (-1, 0)]),
        Self::LEFT,
    ];

    fn then(self, next: Self) -> Self {
        let Self([right, bottom]) = next;
        let turned = |(across, down): (i8, i8)| {
            (
                across * right.0 + down * bottom.0,
                across * right.1 + down * bottom.1,
            )
        };
        Self(self.0.map(turned))
    }

    fn orientation(self) -> u8 {
        let numbered = (1..).zip(Self::ALL);
        let found = numbered.into_iter().find(|(_, turn)| *turn == self);
        found.map_or(1, |(orientation, _)| orientation)
    }
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

    /// What has not been read yet.
    fn rest(&self) -> &[u8] {
        self.bytes.get(self.at..).unwrap_or_default()
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
