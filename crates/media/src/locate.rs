//! Where EXIF, XMP and IPTC lie in each kind of file.
//!
//! Every function walks the outer structure by its headers alone, forwards only, and gives windows of the file; the
//! blocks themselves are read by `tiff`.

use crate::boxes;
use crate::bytes::Endian;
use crate::pages;
use crate::source::{Source, Window};
use crate::tiff::Directory;

/// What stands before the block in a JPEG segment and in some other containers.
const EXIF_PREFIX: &[u8] = b"Exif\0\0";
/// What stands before an XMP packet in a JPEG segment.
const XMP_PREFIX: &[u8] = b"http://ns.adobe.com/xap/1.0/\0";
/// What stands before Photoshop's resources in a JPEG segment.
const RESOURCES_PREFIX: &[u8] = b"Photoshop 3.0\0";
/// Segments that Photoshop's resources may be spread over.
const RESOURCES_MAX: usize = 8;
/// Under which name ISO files keep an XMP packet.
const XMP_UUID: [u8; 16] = [
    0xbe, 0x7a, 0xcf, 0xcb, 0x97, 0xa9, 0x42, 0xe8, 0x9c, 0x71, 0x99, 0x94, 0x91, 0xe3, 0xaf, 0xac,
];

/// What was found, each as a window of the file.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    /// EXIF blocks with the directory each one starts with.
    pub(crate) exif: Vec<(Directory, Window)>,
    /// The XMP packet.
    pub(crate) xmp: Option<Window>,
    /// Photoshop's resources, which may be in pieces.
    pub(crate) resources: Vec<Window>,
    /// An IPTC block that is not in a resource.
    pub(crate) iptc: Option<Window>,
}

impl Parts {
    /// Nothing but an EXIF block.
    pub(crate) fn of_exif(window: Option<Window>) -> Self {
        let exif = window.into_iter().map(|window| (Directory::Main, window));
        Self {
            exif: exif.collect(),
            ..Self::default()
        }
    }
}

/// The whole file is an EXIF block, and tags of its main directory hold the rest.
pub(crate) fn in_tiff(source: &mut Source) -> Parts {
    let whole = source.whole();
    let pages = pages::read(source, whole);
    let value = |tag| pages.first().and_then(|page| page.value(tag));
    Parts {
        xmp: value(0x02bc),
        resources: value(0x8649).into_iter().collect(),
        iptc: value(0x83bb),
        ..Parts::of_exif(Some(whole))
    }
}

/// Segments before the picture data.
pub(crate) fn in_jpeg(source: &mut Source, jpeg: Window) -> Parts {
    let mut exif = None;
    let mut parts = Parts::default();
    find_segment(source, jpeg, |source, marker, body| {
        let longest = XMP_PREFIX.len();
        let start = match marker {
            0xe1 | 0xed => source.read_up_to(body, 0, longest)?,
            _ => return None,
        };
        let after = |prefix: &[u8]| {
            let body = body.after(prefix.len() as u64)?;
            start.starts_with(prefix).then_some(body)
        };
        exif = exif.or_else(|| after(EXIF_PREFIX));
        parts.xmp = parts.xmp.or_else(|| after(XMP_PREFIX));
        if parts.resources.len() < RESOURCES_MAX {
            parts.resources.extend(after(RESOURCES_PREFIX));
        }
        None::<()>
    });
    parts.exif = Parts::of_exif(exif).exif;
    parts
}

/// The `eXIf` chunk, and the text chunk with XMP's name.
pub(crate) fn in_png(source: &mut Source) -> Parts {
    let chunks = Chunks {
        at: 8,
        endian: Endian::Big,
        name_at: 4,
        size_at: 0,
        after: 4,
        padded: false,
    };
    let (mut exif, mut xmp) = (None, None);
    chunks.walk(source, |source, name, body| match name {
        b"eXIf" => exif = exif.or(Some(body)),
        b"iTXt" => xmp = xmp.or_else(|| xmp_in_text(source, body)),
        _ => {}
    });
    Parts {
        xmp,
        ..Parts::of_exif(exif)
    }
}

/// A text chunk is a name, two bytes on compression, a language and a translated name, each ended by a zero. XMP is
/// never compressed, so that it can be found without reading PNG.
fn xmp_in_text(source: &mut Source, body: Window) -> Option<Window> {
    const NAME: &[u8] = b"XML:com.adobe.xmp\0\0";
    let start = source.read_up_to(body, 0, 256)?;
    let rest = start.strip_prefix(NAME)?.get(1..)?;
    let mut zeros = rest.iter().enumerate().filter(|&(_, &byte)| byte == 0);
    let (second, _) = zeros.nth(1)?;
    body.after((NAME.len() + 1 + second + 1) as u64)
}

/// The `EXIF` and `XMP` chunks.
pub(crate) fn in_webp(source: &mut Source) -> Parts {
    let chunks = Chunks {
        at: 12,
        endian: Endian::Little,
        name_at: 0,
        size_at: 4,
        after: 0,
        padded: true,
    };
    let (mut exif, mut xmp) = (None, None);
    chunks.walk(source, |source, name, body| match name {
        b"EXIF" => exif = exif.or_else(|| without_prefix(source, body)),
        b"XMP " => xmp = xmp.or(Some(body)),
        _ => {}
    });
    Parts {
        xmp,
        ..Parts::of_exif(exif)
    }
}

/// A Fujifilm raw file carries a whole JPEG, and everything is in there.
pub(crate) fn in_raf(source: &mut Source) -> Parts {
    jpeg_in_raf(source)
        .map(|jpeg| in_jpeg(source, jpeg))
        .unwrap_or_default()
}

/// The JPEG in a Fujifilm raw file.
pub(crate) fn jpeg_in_raf(source: &mut Source) -> Option<Window> {
    let whole = source.whole();
    let header = source.read(whole, 84, 8)?;
    let start = u64::from(Endian::Big.u32(&header, 0)?);
    whole.part(start, u64::from(Endian::Big.u32(&header, 4)?))
}

/// The body of the box with that long name.
pub(crate) fn uuid_box(source: &mut Source, window: Window, wanted: [u8; 16]) -> Option<Window> {
    let found = boxes::children(source, window)
        .into_iter()
        .filter(|(name, _)| name == b"uuid")
        .find(|(_, body)| source.read(*body, 0, 16).is_some_and(|name| name == wanted));
    found.and_then(|(_, body)| body.after(16))
}

/// The XMP packet of an ISO file, at the top or in the film's user data.
pub(crate) fn xmp_in_boxes(source: &mut Source) -> Option<Window> {
    let whole = source.whole();
    uuid_box(source, whole, XMP_UUID)
        .or_else(|| boxes::find_path(source, whole, &[b"moov", b"udta", b"XMP_"]))
}

/// A Canon raw file of the third generation keeps each directory in a box of its own.
pub(crate) fn in_cr3(source: &mut Source) -> Parts {
    const CANON: [u8; 16] = [
        0x85, 0xc0, 0xb6, 0x87, 0x82, 0x0f, 0x11, 0xe0, 0x81, 0x11, 0xf4, 0xce, 0x46, 0x2b, 0x6a,
        0x48,
    ];
    let whole = source.whole();
    let canon =
        boxes::find(source, whole, b"moov").and_then(|movie| uuid_box(source, movie, CANON));
    let children = canon
        .map(|window| boxes::children(source, window))
        .unwrap_or_default();
    let exif = children.into_iter().filter_map(|(name, body)| match &name {
        b"CMT1" => Some((Directory::Main, body)),
        b"CMT2" => Some((Directory::Exif, body)),
        b"CMT4" => Some((Directory::Gps, body)),
        _ => None,
    });
    Parts {
        exif: exif.collect(),
        xmp: xmp_in_boxes(source),
        ..Parts::default()
    }
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

/// What a JPEG says of its picture before it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Frame {
    marker: u8,
    bits: u8,
    components: u8,
    /// Pixels across.
    pub(crate) width: u16,
    /// Pixels down.
    pub(crate) height: u16,
}

impl Frame {
    /// True if the picture comes in several scans of growing detail.
    pub(crate) fn is_progressive(self) -> bool {
        self.marker & 3 == 2
    }

    /// True of what every camera writes: one scan, eight bits, grey or three colours.
    pub(crate) fn is_plain(self) -> bool {
        matches!(self.marker, 0xc0 | 0xc1) && self.bits == 8 && matches!(self.components, 1 | 3)
    }

    /// True if something here can decode it. The kinds in raw files that lose nothing cannot.
    pub(crate) fn is_decodable(self) -> bool {
        self.is_plain() || (self.marker == 0xc2 && self.bits == 8)
    }

    /// Its longest side.
    pub(crate) fn longest(self) -> u32 {
        u32::from(self.width.max(self.height))
    }
}

/// The frame header of a JPEG.
pub(crate) fn jpeg_frame(source: &mut Source, jpeg: Window) -> Option<Frame> {
    find_segment(source, jpeg, |source, marker, body| {
        let is_frame = (0xc0..=0xcf).contains(&marker) && ![0xc4, 0xc8, 0xcc].contains(&marker);
        if !is_frame {
            return None;
        }
        let header = source.read(body, 0, 6)?;
        Some(Frame {
            marker,
            bits: *header.first()?,
            height: Endian::Big.u16(&header, 1)?,
            width: Endian::Big.u16(&header, 3)?,
            components: *header.get(5)?,
        })
    })
}

/// Walks the segments before the picture data until `wanted` finds what it looks for.
fn find_segment<T>(
    source: &mut Source,
    jpeg: Window,
    mut wanted: impl FnMut(&mut Source, u8, Window) -> Option<T>,
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
    /// Shows every chunk, up to the one that is cut off.
    fn walk(
        mut self,
        source: &mut Source,
        mut each: impl FnMut(&mut Source, &[u8], Window),
    ) -> Option<()> {
        let whole = source.whole();
        loop {
            let header = source.read(whole, self.at, 8)?;
            let size = u64::from(self.endian.u32(&header, self.size_at)?);
            let name = header.get(self.name_at..self.name_at + 4)?;
            let body = whole.part(self.at + 8, size)?;
            each(source, name, body);
            let padding = if self.padded { size % 2 } else { 0 };
            self.at += 8 + size + padding + self.after;
        }
    }
}
