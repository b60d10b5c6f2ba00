//! Facts and thumbnails from bytes nobody vouches for.
//!
//! A file arrives from a phone, a scanner, a damaged card or an enemy. [`examine`] looks at its bytes, never at its
//! name, and says what it is, when and where and with what it was taken, how large it is as shown, and makes a
//! thumbnail. It cannot fail: a file that cannot be understood is kept as it is (it may be all its owner has) and
//! marked, with notes for people on everything that was dropped and why.
//!
//! Four things keep hostile bytes harmless:
//!
//! * `source` pays for every byte of metadata out of one fixed budget, so neither a four-gigabyte film nor an index
//!   that points at itself costs more than a few megabytes and a few thousand reads;
//! * `tiff` follows two pointers at most, the ones to the EXIF and GPS directories, and reads only the tags that are
//!   wanted; `pages`, which looks for previews, visits each directory once, and sixteen at most. A reader that walks
//!   whatever it finds can be led in circles, or made to copy the same megabyte a million times;
//! * `packet` counts every element of an XMP packet and defines no entity;
//! * `decode` asks a decoder for the dimensions first and refuses what would take more than half a gigabyte;
//! * the decoders are other people's code, so a panic in one is caught and becomes a note.
//!
//! How a file becomes what is known about it: `sniff` says what it is, `locate`, `heif` and `movie` where it keeps
//! what, `exif`, `xmp` and `iptc` what that means, `described` whose word counts; `preview` finds a picture inside a
//! raw file, `decode` its pixels, `picture` makes them small, `colour` makes them sRGB, `hash` makes them 64 bits.
//! [`named`] reads a time out of a file's name, for those that say it nowhere else.
//! [`places`] knows what a point on the earth is called.
//!
//! Deliberately not done: the pixels of HEIC and AVIF and the stills of films need a program outside, which is named
//! ([`Examined::needs`]); raw pictures are shown as their camera showed them; maker notes are not read.

mod boxes;
mod bytes;
mod colour;
mod decode;
mod described;
mod exif;
mod hash;
mod heif;
mod iptc;
mod locate;
mod movie;
pub mod named;
mod notes;
mod packet;
mod pages;
mod picture;
pub mod places;
mod preview;
pub mod similar;
mod sniff;
mod source;
mod tiff;
mod when;
mod words;
mod xmp;

use std::io;
use std::path::{Path, PathBuf};

use image::ImageFormat;
use model::file::{Facts, Kind};

pub use crate::described::{Described, Location, Origin, Told};
pub use crate::sniff::Decoder;

use crate::decode::PictureError;
use crate::notes::Notes;
use crate::packet::Packet;
use crate::picture::Rendered;
use crate::sniff::Format;
use crate::source::{Source, Window};
use crate::tiff::Directory;

/// The longest side of the thumbnail that [`examine`] makes, in pixels.
pub const THUMBNAIL_PX: u32 = 256;

/// The largest sidecar that is read, in bytes; of a larger one only the beginning is.
pub const SIDECAR_BYTES_MAX: usize = packet::PACKET_BYTES_MAX;

/// What a file's bytes say of themselves.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Examined {
    /// What every node will know about the file.
    pub facts: Facts,
    /// What people and their programs wrote into it, each value with its origin. The time and the place that count
    /// are among the facts too.
    pub described: Described,
    /// A JPEG of at most [`THUMBNAIL_PX`] on its longest side, the right way up; nothing if there is no picture.
    pub thumbnail: Option<Vec<u8>>,
    /// The larger ones that were asked for, the largest first.
    pub larger: Vec<Thumbnail>,
    /// Nearly the same for pictures that look the same: see [`similar`].
    pub perceptual_hash: Option<u64>,
    /// What would show its picture, if nothing here can.
    pub needs: Option<Decoder>,
}

/// A small picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thumbnail {
    /// The longest side it may have.
    pub px: u32,
    /// In sRGB, the right way up, transparent pixels on white.
    pub jpeg: Vec<u8>,
}

/// A picture that a program outside has decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upright {
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
    /// A blurred miniature.
    pub thumbhash: Vec<u8>,
    /// Nearly the same for pictures that look the same.
    pub perceptual_hash: Option<u64>,
    /// One for each size, the largest first.
    pub thumbnails: Vec<Thumbnail>,
}

/// What a sidecar says.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Sidecar {
    /// Every value with the origin [`Origin::Sidecar`].
    pub described: Described,
    /// What was dropped and why, for people.
    pub notes: Vec<String>,
}

/// Why there is no thumbnail.
#[derive(Debug, thiserror::Error)]
pub enum ThumbnailError {
    /// The file cannot be read.
    #[error("opening {path} for a thumbnail")]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// There is no decoder for what it is.
    #[error("no thumbnail can be made of {media_type}{}", .needs.map(|needs| format!(" without {needs}")).unwrap_or_default())]
    NoDecoder {
        /// What it is, by content.
        media_type: String,
        /// What would decode it, if it is a picture or a film.
        needs: Option<Decoder>,
    },
    /// It would take more memory than a picture may.
    #[error("the picture is too large: {why}")]
    TooLarge {
        /// Which bound, and by how much.
        why: String,
    },
    /// Its pixels cannot be decoded.
    #[error("the picture cannot be decoded: {why}")]
    Broken {
        /// What the decoder said.
        why: String,
    },
}

impl From<PictureError> for ThumbnailError {
    fn from(error: PictureError) -> Self {
        match error {
            PictureError::TooLarge(why) => Self::TooLarge { why },
            PictureError::Broken { why, .. } => Self::Broken { why },
        }
    }
}

/// Says what is known about the file at `path` from its bytes alone, and makes its thumbnail.
///
/// Never fails and never panics: an unreadable or unknown file is [`Kind::Other`], a broken picture is marked
/// `undecodable`. Blocks for as long as a decoder takes, and may hold about a gigabyte for the largest picture
/// allowed, so callers bound how many run at once.
pub fn examine(path: &Path) -> Examined {
    examine_with(path, &[])
}

/// Like [`examine`], and makes further thumbnails of these sizes (1 to 4096) out of the same decoded picture.
pub fn examine_with(path: &Path, larger: &[u32]) -> Examined {
    let mut notes = Notes::default();
    let mut source = match Source::open(path) {
        Ok(source) => source,
        Err(error) => {
            notes.add(format!("the bytes could not be read: {}", error.kind()));
            return unknown(notes);
        }
    };
    let format = sniff::format(&mut source);
    let mut facts = Facts {
        media_type: format.media_type.to_owned(),
        kind: format.kind,
        ..Facts::default()
    };
    let read = words::read(&mut source, format, &mut facts, &mut notes);
    let mut examined = Examined {
        facts,
        described: read.described,
        ..Examined::default()
    };
    if examined.facts.kind == Kind::Photo {
        read_picture(
            &mut source,
            format,
            &read.blocks,
            larger,
            &mut examined,
            &mut notes,
        );
    } else {
        examined.needs = sniff::outside_decoder(examined.facts.kind, &examined.facts.media_type);
    }
    examined.facts.notes = notes.into_vec();
    examined
}

/// Reads an XMP sidecar: what people and programs wrote about a file, beside it. Anything that is no XMP says nothing.
pub fn sidecar(bytes: &[u8]) -> Sidecar {
    let mut notes = Notes::default();
    let packet = Packet::read(bytes);
    let words = xmp::words(&packet, Origin::Sidecar, &mut notes);
    Sidecar {
        described: described::merge(&[(Origin::Sidecar, words)]),
        notes: notes.into_vec(),
    }
}

/// Makes a JPEG thumbnail of the picture at `path`, at most `max_px` (1 to 4096) on its longest side, never
/// enlarged, the right way up, transparent pixels on white.
///
/// # Errors
/// [`ThumbnailError`] if the file cannot be read or is not a picture that can be decoded.
pub fn thumbnail(path: &Path, max_px: u32) -> Result<Vec<u8>, ThumbnailError> {
    let mut source = Source::open(path).map_err(|source| ThumbnailError::Open {
        path: path.to_owned(),
        source,
    })?;
    let format = sniff::format(&mut source);
    let mut facts = Facts {
        media_type: format.media_type.to_owned(),
        kind: format.kind,
        ..Facts::default()
    };
    let read = words::read(&mut source, format, &mut facts, &mut Notes::default());
    let px = max_px.clamp(1, 4096);
    let Some((window, decoder)) =
        decodable(&mut source, format, &facts.media_type, &read.blocks, px)
    else {
        return Err(ThumbnailError::NoDecoder {
            needs: sniff::outside_decoder(facts.kind, &facts.media_type),
            media_type: facts.media_type,
        });
    };
    let jpegs = picture::render(&mut source, window, decoder, facts.orientation, &[px])
        .and_then(|rendered| rendered.to_jpegs())?;
    let jpeg = jpegs.into_iter().next().map(|(_, jpeg)| jpeg);
    jpeg.ok_or_else(|| ThumbnailError::Broken {
        why: "nothing was left of it".to_owned(),
    })
}

/// A picture that a program outside has decoded: upright already, whatever its EXIF says.
///
/// # Errors
/// [`ThumbnailError`] if it cannot be read or is not a picture that can be decoded.
pub fn upright(path: &Path, sizes: &[u32]) -> Result<Upright, ThumbnailError> {
    let mut source = Source::open(path).map_err(|source| ThumbnailError::Open {
        path: path.to_owned(),
        source,
    })?;
    let format = sniff::format(&mut source);
    let decoder = format.decoder.ok_or_else(|| ThumbnailError::NoDecoder {
        media_type: format.media_type.to_owned(),
        needs: None,
    })?;
    let sizes: Vec<u32> = sizes.iter().map(|px| (*px).clamp(1, 4096)).collect();
    let window = source.whole();
    let rendered = picture::render(&mut source, window, decoder, None, &sizes)?;
    let thumbnails = rendered.to_jpegs()?.into_iter();
    Ok(Upright {
        width: rendered.width,
        height: rendered.height,
        thumbhash: rendered.thumbhash(),
        perceptual_hash: rendered
            .smallest()
            .and_then(|small| hash::perceptual(&small)),
        thumbnails: thumbnails
            .map(|(px, jpeg)| Thumbnail { px, jpeg })
            .collect(),
    })
}

fn unknown(notes: Notes) -> Examined {
    let facts = Facts {
        media_type: sniff::UNKNOWN.media_type.to_owned(),
        notes: notes.into_vec(),
        ..Facts::default()
    };
    Examined {
        facts,
        ..Examined::default()
    }
}

/// The part of the file that something here can decode: all of it, or a preview inside.
fn decodable(
    source: &mut Source,
    format: Format,
    media_type: &str,
    blocks: &[(Directory, Window)],
    px: u32,
) -> Option<(Window, ImageFormat)> {
    let own = format.decoder.filter(|_| sniff::is_plain(media_type));
    match own {
        Some(decoder) => Some((source.whole(), decoder)),
        None => {
            let preview = preview::find(source, format.container, blocks, px)?;
            Some((preview, ImageFormat::Jpeg))
        }
    }
}

/// Decodes the picture once for everything that needs its pixels.
fn read_picture(
    source: &mut Source,
    format: Format,
    blocks: &[(Directory, Window)],
    larger: &[u32],
    examined: &mut Examined,
    notes: &mut Notes,
) {
    let media_type = examined.facts.media_type.clone();
    let mut sizes: Vec<u32> = larger.iter().map(|px| (*px).clamp(1, 4096)).collect();
    let largest = sizes.iter().copied().max().unwrap_or(0).max(THUMBNAIL_PX);
    sizes.retain(|&px| px != THUMBNAIL_PX);
    sizes.push(THUMBNAIL_PX);
    let Some((window, decoder)) = decodable(source, format, &media_type, blocks, largest) else {
        examined.needs = sniff::outside_decoder(Kind::Photo, &media_type);
        examined.facts.undecodable = true;
        let needs = examined
            .needs
            .map(|needs| needs.to_string())
            .unwrap_or_default();
        notes.add(format!(
            "no thumbnail: {media_type} cannot be decoded here without {needs}"
        ));
        return;
    };
    let is_own = window == source.whole();
    let rendered = picture::render(source, window, decoder, examined.facts.orientation, &sizes);
    let finished = rendered.and_then(|rendered| Ok((rendered.to_jpegs()?, rendered)));
    match finished {
        Ok((jpegs, rendered)) => keep(examined, jpegs, &rendered, is_own),
        Err(error) => mark(&mut examined.facts, error, is_own, notes),
    }
    if !is_own {
        examined.needs = sniff::outside_decoder(Kind::Photo, &media_type);
    }
}

fn keep(examined: &mut Examined, jpegs: Vec<(u32, Vec<u8>)>, rendered: &Rendered, is_own: bool) {
    let facts = &mut examined.facts;
    if is_own || facts.width.is_none() {
        (facts.width, facts.height) = (Some(rendered.width), Some(rendered.height));
    }
    facts.thumbhash = rendered.thumbhash();
    examined.perceptual_hash = rendered
        .smallest()
        .and_then(|small| hash::perceptual(&small));
    for (px, jpeg) in jpegs {
        if px == THUMBNAIL_PX {
            examined.thumbnail = Some(jpeg);
        } else {
            examined.larger.push(Thumbnail { px, jpeg });
        }
    }
}

fn mark(facts: &mut Facts, error: PictureError, is_own: bool, notes: &mut Notes) {
    facts.undecodable = true;
    match error {
        PictureError::TooLarge(why) => notes.add(format!("not decoded: {why}")),
        PictureError::Broken { why, stored } => {
            notes.add(format!("the picture cannot be decoded: {why}"));
            if let Some((width, height)) = stored.filter(|_| is_own) {
                (facts.width, facts.height) = (Some(width), Some(height));
            }
        }
    }
}
