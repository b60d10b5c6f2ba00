//! Where the EXIF block lies in each kind of file.
//!
//! Every function walks the outer structure by its headers alone, forwards only, and gives windows of the file; the
//! blocks themselves are read by `tiff`.

use crate::boxes;
use crate::bytes::Endian;
use crate::source::{Source, Window};
use crate::tiff::Directory;

/// EXIF blocks with the directory each one starts with.
pub(crate) type Blocks = Vec<(Directory, Window)>;

/// What stands before the block in a JPEG segment and in some other containers.
const EXIF_PREFIX: &[u8] = b"Exif\0\0";

/// The whole file is one.
pub(crate) fn in_tiff(source: &Source) -> Blocks {
    vec![(Directory::Main, source.whole())]
}

/// The first APP1 segment that says `Exif`.
pub(crate) fn in_jpeg(source: &mut Source) -> Blocks {
    main_block(find_in_jpeg(source, source.whole()))
}

/// The `eXIf` chunk.
pub(crate) fn in_png(source: &mut Source) -> Blocks {
    let chunks = Chunks {
        at: 8,
        endian: Endian::Big,
        name_at: 4,
        size_at: 0,
        after: 4,
        padded: false,
    };
    main_block(chunks.find(source, b"eXIf"))
}

/// The `EXIF` chunk.
pub(crate) fn in_webp(source: &mut Source) -> Blocks {
    let chunks = Chunks {
        at: 12,
        endian: Endian::Little,
        name_at: 0,
        size_at: 4,
        after: 0,
        padded: true,
    };
    let found = chunks.find(source, b"EXIF");
    main_block(found.and_then(|window| without_prefix(source, window)))
}

/// A Fujifilm raw file carries a whole JPEG, and the block is in there.
pub(crate) fn in_raf(source: &mut Source) -> Blocks {
    let whole = source.whole();
    let jpeg = source.read(whole, 84, 8).and_then(|header| {
        let start = u64::from(Endian::Big.u32(&header, 0)?);
        whole.part(start, u64::from(Endian::Big.u32(&header, 4)?))
    });
    main_block(jpeg.and_then(|window| find_in_jpeg(source, window)))
}

/// A Canon raw file of the third generation keeps each directory in a box of its own.
pub(crate) fn in_cr3(source: &mut Source) -> Blocks {
    const CANON: [u8; 16] = [
        0x85, 0xc0, 0xb6, 0x87, 0x82, 0x0f, 0x11, 0xe0, 0x81, 0x11, 0xf4, 0xce, 0x46, 0x2b, 0x6a,
        0x48,
    ];
    let whole = source.whole();
    let Some(movie) = boxes::find(source, whole, b"moov") else {
        return Vec::new();
    };
    let canon = boxes::children(source, movie)
        .into_iter()
        .find_map(|(name, body)| {
            let is_canon = &name == b"uuid" && source.read(body, 0, 16)?.as_slice() == CANON;
            is_canon.then(|| body.after(16)).flatten()
        });
    let children = canon
        .map(|window| boxes::children(source, window))
        .unwrap_or_default();
    children
        .into_iter()
        .filter_map(|(name, body)| match &name {
            b"CMT1" => Some((Directory::Main, body)),
            b"CMT2" => Some((Directory::Exif, body)),
            b"CMT4" => Some((Directory::Gps, body)),
            _ => None,
        })
        .collect()
}

fn main_block(window: Option<Window>) -> Blocks {
    window
        .into_iter()
        .map(|window| (Directory::Main, window))
        .collect()
}

/// Skips `Exif\0\0`, which belongs in JPEG segments alone but is found elsewhere too.
fn without_prefix(source: &mut Source, window: Window) -> Option<Window> {
    let prefix = source.read_up_to(window, 0, EXIF_PREFIX.len())?;
    if prefix == EXIF_PREFIX {
        window.after(EXIF_PREFIX.len() as u64)
    } else {
        Some(window)
    }
}

/// True if the frame header says that the picture comes in several scans of growing detail.
pub(crate) fn is_progressive_jpeg(source: &mut Source) -> bool {
    let whole = source.whole();
    let frame = find_segment(source, whole, |_, marker, _| {
        let is_frame = (0xc0..=0xcf).contains(&marker) && ![0xc4, 0xc8, 0xcc].contains(&marker);
        is_frame.then_some(marker)
    });
    frame.is_some_and(|marker| marker & 3 == 2)
}

fn find_in_jpeg(source: &mut Source, jpeg: Window) -> Option<Window> {
    find_segment(source, jpeg, |source, marker, body| {
        let prefix = source
            .read_up_to(body, 0, EXIF_PREFIX.len())
            .filter(|_| marker == 0xe1)?;
        (prefix == EXIF_PREFIX)
            .then(|| body.after(EXIF_PREFIX.len() as u64))
            .flatten()
    })
}

/// Walks the segments before the picture data until `wanted` finds what it looks for.
fn find_segment<T>(
    source: &mut Source,
    jpeg: Window,
    wanted: impl Fn(&mut Source, u8, Window) -> Option<T>,
) -> Option<T> {
    let mut at = 2;
    loop {
        let header = source.read(jpeg, at, 4)?;
        let (&[0xff, marker], size) = (header.get(..2)?, Endian::Big.u16(&header, 2)?) else {
            return None;
        };
        match marker {
            // Padding before a marker.
            0xff => at += 1,
            // The picture data begins or the file ends: no more metadata.
            0xda | 0xd9 => return None,
            _ => {
                let body = jpeg.part(at + 4, u64::from(size).checked_sub(2)?)?;
                if let Some(found) = wanted(source, marker, body) {
                    return Some(found);
                }
                at += 2 + u64::from(size);
            }
        }
    }
}

/// How a file is cut into named chunks.
struct Chunks {
    at: u64,
    endian: Endian,
    name_at: usize,
    size_at: usize,
    /// What follows a body: a checksum.
    after: u64,
    padded: bool,
}

impl Chunks {
    fn find(mut self, source: &mut Source, wanted: &[u8]) -> Option<Window> {
        let whole = source.whole();
        loop {
            let header = source.read(whole, self.at, 8)?;
            let size = u64::from(self.endian.u32(&header, self.size_at)?);
            if header.get(self.name_at..self.name_at + 4)? == wanted {
                return whole.part(self.at + 8, size);
            }
            let padding = if self.padded { size % 2 } else { 0 };
            self.at += 8 + size + padding + self.after;
        }
    }
}
