//! What kind of file it is, by its first bytes. Names and what a client says are not asked.

use std::fmt;

use image::ImageFormat;
use model::file::Kind;

use crate::source::Source;

/// Enough for every signature here and to tell text from anything else.
const HEAD_BYTES: usize = 4096;

/// How the metadata lies around the pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Container {
    /// Segments.
    Jpeg,
    /// Chunks with checksums.
    Png,
    /// RIFF chunks.
    Webp,
    /// Directories of tags.
    Tiff,
    /// A Fujifilm raw file.
    Raf,
    /// A Canon raw file of the third generation.
    Cr3,
    /// Boxes with items.
    Heif,
    /// Boxes with tracks.
    Movie,
    /// None that is read.
    Plain,
}

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Format {
    /// Its media type.
    pub(crate) media_type: &'static str,
    /// Its coarse kind.
    pub(crate) kind: Kind,
    /// Where to look for metadata.
    pub(crate) container: Container,
    /// What decodes its pixels, if anything here does.
    pub(crate) decoder: Option<ImageFormat>,
}

impl Format {
    const fn other(media_type: &'static str) -> Self {
        Self {
            media_type,
            kind: Kind::Other,
            container: Container::Plain,
            decoder: None,
        }
    }

    const fn video(media_type: &'static str, container: Container) -> Self {
        Self {
            media_type,
            kind: Kind::Video,
            container,
            decoder: None,
        }
    }

    /// A picture that is recognised and cannot be decoded here.
    const fn closed(media_type: &'static str, container: Container) -> Self {
        Self {
            media_type,
            kind: Kind::Photo,
            container,
            decoder: None,
        }
    }

    const fn picture(media_type: &'static str, container: Container, decoder: ImageFormat) -> Self {
        Self {
            media_type,
            kind: Kind::Photo,
            container,
            decoder: Some(decoder),
        }
    }
}

/// Anything else.
pub(crate) const UNKNOWN: Format = Format::other("application/octet-stream");

const TIFF: Format = Format::picture("image/tiff", Container::Tiff, ImageFormat::Tiff);

/// Signatures at fixed places. The first match wins, so the longer stands before its own beginning.
#[rustfmt::skip]
const SIGNATURES: &[(usize, &[u8], Format)] = &[
    (0, b"\xff\xd8\xff", Format::picture("image/jpeg", Container::Jpeg, ImageFormat::Jpeg)),
    (0, b"\x89PNG\r\n\x1a\n", Format::picture("image/png", Container::Png, ImageFormat::Png)),
    (0, b"GIF87a", Format::picture("image/gif", Container::Plain, ImageFormat::Gif)),
    (0, b"GIF89a", Format::picture("image/gif", Container::Plain, ImageFormat::Gif)),
    (8, b"CR\x02\0", Format::closed("image/x-canon-cr2", Container::Tiff)),
    (0, b"II*\0", TIFF),
    (0, b"MM\0*", TIFF),
    (0, b"IIRO", Format::closed("image/x-olympus-orf", Container::Tiff)),
    (0, b"IIRS", Format::closed("image/x-olympus-orf", Container::Tiff)),
    (0, b"MMOR", Format::closed("image/x-olympus-orf", Container::Tiff)),
    (0, b"IIU\0", Format::closed("image/x-panasonic-rw2", Container::Tiff)),
    (0, b"FOVb", Format::closed("image/x-sigma-x3f", Container::Plain)),
    (0, b"\0MRM", Format::closed("image/x-minolta-mrw", Container::Plain)),
    (0, b"FUJIFILMCCD-RAW", Format::closed("image/x-fuji-raf", Container::Raf)),
    (0, b"\0\0\0\x0cJXL \r\n\x87\n", Format::closed("image/jxl", Container::Plain)),
    (0, b"\xff\x0a", Format::closed("image/jxl", Container::Plain)),
    (0, b"\0\0\0\x0cjP  \r\n\x87\n", Format::closed("image/jp2", Container::Plain)),
    (0, b"8BPS\0", Format::closed("image/vnd.adobe.photoshop", Container::Plain)),
    (0, b"\x1aE\xdf\xa3", Format::video("video/x-matroska", Container::Plain)),
    (0, b"\0\0\x01\xba", Format::video("video/mpeg", Container::Plain)),
    (0, b"\0\0\x01\xb3", Format::video("video/mpeg", Container::Plain)),
    (0, b"FLV\x01", Format::video("video/x-flv", Container::Plain)),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", Format::video("video/x-ms-asf", Container::Plain)),
    (0, b"ID3", Format::other("audio/mpeg")),
    (0, b"fLaC", Format::other("audio/flac")),
    (0, b"OggS", Format::other("audio/ogg")),
    (0, b"%PDF-", Format::other("application/pdf")),
    (0, b"%!PS", Format::other("application/postscript")),
    (0, b"{\\rtf", Format::other("application/rtf")),
    (30, b"mimetypeapplication/epub+zip", Format::other("application/epub+zip")),
    (30, b"mimetypeapplication/vnd.oasis.opendocument.text", Format::other("application/vnd.oasis.opendocument.text")),
    (30, b"mimetypeapplication/vnd.oasis.opendocument.spreadsheet", Format::other("application/vnd.oasis.opendocument.spreadsheet")),
    (30, b"mimetypeapplication/vnd.oasis.opendocument.presentation", Format::other("application/vnd.oasis.opendocument.presentation")),
    (0, b"PK\x03\x04", Format::other("application/zip")),
    (0, b"PK\x05\x06", Format::other("application/zip")),
    (0, b"\x1f\x8b", Format::other("application/gzip")),
    (0, b"BZh", Format::other("application/x-bzip2")),
    (0, b"\xfd7zXZ\0", Format::other("application/x-xz")),
    (0, b"\x28\xb5\x2f\xfd", Format::other("application/zstd")),
    (0, b"7z\xbc\xaf\x27\x1c", Format::other("application/x-7z-compressed")),
    (0, b"Rar!\x1a\x07", Format::other("application/vnd.rar")),
    (257, b"ustar", Format::other("application/x-tar")),
    (0, b"SQLite format 3\0", Format::other("application/vnd.sqlite3")),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", Format::other("application/x-ole-storage")),
    (0, b"wOF2", Format::other("font/woff2")),
    (0, b"\x7fELF", Format::other("application/x-elf")),
];

/// What the file is, from its first bytes.
pub(crate) fn format(source: &mut Source) -> Format {
    let whole = source.whole();
    let head = source.read_up_to(whole, 0, HEAD_BYTES).unwrap_or_default();
    by_signature(&head)
        .or_else(|| by_riff(&head))
        .or_else(|| by_box(&head))
        .or_else(|| by_bmp(&head))
        .or_else(|| by_text(&head))
        .unwrap_or(UNKNOWN)
}

/// The program outside that decodes what nothing here can.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decoder {
    /// HEIC, HEIF and AVIF.
    Libheif,
    /// Raw pictures without a preview.
    Libraw,
    /// A still of a film, and rarer kinds of pictures.
    Ffmpeg,
}

impl fmt::Display for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Libheif => "libheif",
            Self::Libraw => "libraw",
            Self::Ffmpeg => "ffmpeg",
        })
    }
}

/// What decodes a picture or film of that type, if nothing here does.
pub(crate) fn outside_decoder(kind: Kind, media_type: &str) -> Option<Decoder> {
    match (kind, media_type) {
        (Kind::Other, _) => None,
        (Kind::Video, _) => Some(Decoder::Ffmpeg),
        (Kind::Photo, "image/avif") => Some(Decoder::Libheif),
        (Kind::Photo, _) if media_type.starts_with("image/hei") => Some(Decoder::Libheif),
        (Kind::Photo, _) if !is_plain(media_type) => Some(Decoder::Libraw),
        (Kind::Photo, _) => Some(Decoder::Ffmpeg),
    }
}

/// True unless reading the tags showed that a seeming TIFF is a raw file, whose first picture is only a preview.
pub(crate) fn is_plain(media_type: &str) -> bool {
    !media_type.starts_with("image/x-")
}

fn by_signature(head: &[u8]) -> Option<Format> {
    let matches =
        |at: usize, magic: &[u8]| head.get(at..).is_some_and(|rest| rest.starts_with(magic));
    let (_, magic, format) = SIGNATURES
        .iter()
        .find(|(at, magic, _)| matches(*at, magic))?;
    let is_webm =
        *magic == b"\x1aE\xdf\xa3" && head.get(..64)?.windows(4).any(|word| word == b"webm");
    Some(if is_webm {
        Format::video("video/webm", Container::Plain)
    } else {
        *format
    })
}

fn by_riff(head: &[u8]) -> Option<Format> {
    if !head.starts_with(b"RIFF") {
        return None;
    }
    Some(match head.get(8..12)? {
        b"WEBP" => Format::picture("image/webp", Container::Webp, ImageFormat::WebP),
        b"AVI " => Format::video("video/x-msvideo", Container::Plain),
        b"WAVE" => Format::other("audio/wav"),
        _ => return None,
    })
}

/// ISO files say in their first box which kind they are; QuickTime files from before that rule do not.
fn by_box(head: &[u8]) -> Option<Format> {
    let quicktime = Format::video("video/quicktime", Container::Movie);
    match head.get(4..8)? {
        b"ftyp" => {}
        b"moov" | b"mdat" | b"wide" | b"pnot" => return Some(quicktime),
        _ => return None,
    }
    let size = usize::try_from(u32::from_be_bytes(head.get(..4)?.try_into().ok()?)).ok()?;
    let brands = head.get(8..size.min(head.len()))?;
    // The second word is a version, not a brand, and matches none.
    brands
        .chunks_exact(4)
        .find_map(by_brand)
        .or_else(|| {
            // A picture whose coding the brands do not name.
            let is_picture = |brand: &[u8]| matches!(brand, b"mif1" | b"msf1" | b"mif2" | b"miaf");
            let mut brands = brands.chunks_exact(4);
            let heif = Format::closed("image/heif", Container::Heif);
            brands.any(is_picture).then_some(heif)
        })
        .or(Some(Format::video("video/mp4", Container::Movie)))
}

fn by_brand(brand: &[u8]) -> Option<Format> {
    Some(match brand {
        b"heic" | b"heix" | b"heim" | b"heis" => Format::closed("image/heic", Container::Heif),
        b"hevc" | b"hevx" | b"hevm" | b"hevs" => {
            Format::closed("image/heic-sequence", Container::Heif)
        }
        b"avif" | b"avis" => Format::closed("image/avif", Container::Heif),
        b"crx " => Format::closed("image/x-canon-cr3", Container::Cr3),
        b"qt  " => Format::video("video/quicktime", Container::Movie),
        b"M4A " | b"M4B " => Format {
            kind: Kind::Other,
            ..Format::video("audio/mp4", Container::Movie)
        },
        b"isom" | b"iso2" | b"mp41" | b"mp42" | b"avc1" | b"M4V " | b"XAVC" => {
            Format::video("video/mp4", Container::Movie)
        }
        _ if brand.starts_with(b"3gp") => Format::video("video/3gpp", Container::Movie),
        _ if brand.starts_with(b"3g2") => Format::video("video/3gpp2", Container::Movie),
        _ => return None,
    })
}

/// Two letters are little to go by, so the header's own length must be one that exists.
fn by_bmp(head: &[u8]) -> Option<Format> {
    let header_len = u32::from_le_bytes(head.get(14..18)?.try_into().ok()?);
    let is_bmp = head.starts_with(b"BM") && [12, 40, 52, 56, 64, 108, 124].contains(&header_len);
    is_bmp.then_some(Format::closed("image/bmp", Container::Plain))
}

/// Text is what reads as UTF-8 without control characters; a letter cut in two at the end is forgiven.
fn by_text(head: &[u8]) -> Option<Format> {
    let text = match str::from_utf8(head) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() => {
            str::from_utf8(head.get(..error.valid_up_to())?).ok()?
        }
        Err(_) => return None,
    };
    let printable = text
        .chars()
        .all(|c| !c.is_control() || matches!(c, '\n' | '\r' | '\t' | '\u{c}'));
    if text.is_empty() || !printable {
        return None;
    }
    let start = text
        .trim_start_matches('\u{feff}')
        .trim_start()
        .to_ascii_lowercase();
    let media_type =
        if start.starts_with("<svg") || (start.starts_with("<?xml") && start.contains("<svg")) {
            "image/svg+xml"
        } else if start.starts_with("<!doctype html") || start.starts_with("<html") {
            "text/html"
        } else if start.starts_with("<?xml") {
            "application/xml"
        } else {
            "text/plain"
        };
    Some(Format::other(media_type))
}
