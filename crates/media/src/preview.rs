//! The JPEGs that raw files and some others carry inside, for pictures whose own pixels nothing here can decode.
//!
//! A camera's raw file holds the picture as its screen showed it, mostly in full size. Of several, the smallest that is
//! large enough is taken.

use crate::boxes;
use crate::locate;
use crate::pages::{self, Page};
use crate::sniff::Container;
use crate::source::{Source, Window};
use crate::tiff::Directory;

const IMAGE_WIDTH: u16 = 0x0100;
const IMAGE_HEIGHT: u16 = 0x0101;
const STRIP_OFFSETS: u16 = 0x0111;
const STRIP_SIZES: u16 = 0x0117;
const COMPRESSION: u16 = 0x0103;
const JPEG_OFFSET: u16 = 0x0201;
const JPEG_SIZE: u16 = 0x0202;
/// Panasonic's place for a whole JPEG.
const PANASONIC_JPEG: u16 = 0x002e;
/// Canon's box for a preview.
const CANON_PREVIEW: [u8; 16] = [
    0xea, 0xf4, 0x2b, 0x5e, 0x1c, 0x98, 0x4b, 0x88, 0xb9, 0xfb, 0xb7, 0xdc, 0x40, 0x6e, 0x4d, 0x16,
];
/// Smaller ones than this are icons for the camera's own screen.
const SIDE_PX_MIN: u32 = 150;

/// The JPEG in the file that fits `px` best.
pub(crate) fn find(
    source: &mut Source,
    container: Container,
    blocks: &[(Directory, Window)],
    px: u32,
) -> Option<Window> {
    let candidates = match container {
        Container::Raf => locate::jpeg_in_raf(source).into_iter().collect(),
        Container::Cr3 => in_cr3(source).into_iter().collect(),
        Container::Tiff | Container::Heif => in_blocks(source, blocks),
        _ => Vec::new(),
    };
    let mut sized: Vec<(u32, Window)> = candidates
        .into_iter()
        .filter_map(|window| Some((longest_side(source, window)?, window)))
        .filter(|(longest, _)| *longest >= SIDE_PX_MIN)
        .collect();
    sized.sort_by_key(|(longest, _)| *longest);
    let enough = sized.iter().find(|(longest, _)| *longest >= px);
    enough.or(sized.last()).map(|(_, window)| *window)
}

/// The longest side of a JPEG that can be decoded.
fn longest_side(source: &mut Source, window: Window) -> Option<u32> {
    if source.read(window, 0, 2)? != [0xff, 0xd8] {
        return None;
    }
    let frame = locate::jpeg_frame(source, window)?;
    frame.is_decodable().then(|| frame.longest())
}

fn in_blocks(source: &mut Source, blocks: &[(Directory, Window)]) -> Vec<Window> {
    let mut found = Vec::new();
    for &(_, block) in blocks {
        for page in pages::read(source, block) {
            found.extend(in_page(source, block, &page));
        }
    }
    found
}

fn in_page(source: &mut Source, block: Window, page: &Page) -> Vec<Window> {
    let part = |source: &mut Source, at, size| {
        let at = page.number(source, at)?;
        block.part(at, page.number(source, size)?)
    };
    let is_jpeg = matches!(page.number(source, COMPRESSION), Some(6 | 7));
    let strip = is_jpeg.then(|| part(source, STRIP_OFFSETS, STRIP_SIZES));
    [
        part(source, JPEG_OFFSET, JPEG_SIZE),
        strip.flatten(),
        page.value(PANASONIC_JPEG),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The preview stands behind some numbers in a box in a box of Canon's own.
fn in_cr3(source: &mut Source) -> Option<Window> {
    let whole = source.whole();
    let canon = locate::uuid_box(source, whole, CANON_PREVIEW)?.after(8)?;
    let preview = boxes::find(source, canon, b"PRVW")?;
    let start = source.read_up_to(preview, 0, 64)?;
    let at = start
        .windows(3)
        .position(|bytes| bytes == [0xff, 0xd8, 0xff])?;
    preview.after(at as u64)
}

/// The dimensions of the largest picture that the directories tell of: the raw one.
pub(crate) fn raw_dimensions(
    source: &mut Source,
    blocks: &[(Directory, Window)],
) -> Option<(u32, u32)> {
    let mut largest = None;
    for &(directory, block) in blocks {
        if directory != Directory::Main {
            continue;
        }
        for page in pages::read(source, block) {
            let sides = [IMAGE_WIDTH, IMAGE_HEIGHT].map(|tag| page.number(source, tag));
            if let [Some(width), Some(height)] = sides
                && (1..=65_535).contains(&width)
                && (1..=65_535).contains(&height)
            {
                largest = largest.max(Some((width * height, width as u32, height as u32)));
            }
        }
    }
    largest.map(|(_, width, height)| (width, height))
}
