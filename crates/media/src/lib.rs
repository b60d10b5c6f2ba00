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
//!   wanted. A reader that walks whatever it finds can be led in circles, or made to copy the same megabyte a
//!   million times;
//! * `picture` asks a decoder for the dimensions first and refuses what would take more than half a gigabyte;
//! * the decoders are other people's code, so a panic in one is caught and becomes a note.
//!
//! Deliberately not done: HEIC, AVIF and raw pictures are recognised and their EXIF is read, but there is no
//! decoder for their pixels here; XMP packets and maker notes are not read; of a film there is no still.

mod boxes;
mod bytes;
mod exif;
mod heif;
mod locate;
mod movie;
mod notes;
mod picture;
mod sniff;
mod source;
mod tiff;
mod when;

use std::io;
use std::path::{Path, PathBuf};

use model::file::{Facts, Kind};

use crate::notes::Notes;
use crate::picture::{PictureError, Rendered};
use crate::sniff::{Container, Format};
use crate::source::Source;

/// The longest side of the thumbnail that [`examine`] makes, in pixels.
pub const THUMBNAIL_PX: u32 = 256;

/// What a file's bytes say of themselves.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Examined {
    /// What every node will know about the file.
    pub facts: Facts,
    /// A JPEG of at most [`THUMBNAIL_PX`] on its longest side, the right way up; nothing if there is no picture.
    pub thumbnail: Option<Vec<u8>>,
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
    #[error("no thumbnail can be made of {media_type}")]
    NoDecoder {
        /// What it is, by content.
        media_type: String,
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

/// Says what is known about the file at `path` from its bytes alone, and makes its thumbnail.
///
/// Never fails and never panics: an unreadable or unknown file is [`Kind::Other`], a broken picture is marked
/// `undecodable`. Blocks for as long as a decoder takes, and may hold about a gigabyte for the largest picture
/// allowed, so callers bound how many run at once.
pub fn examine(path: &Path) -> Examined {
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
    read_metadata(&mut source, format, &mut facts, &mut notes);
    let thumbnail = (facts.kind == Kind::Photo)
        .then(|| read_picture(path, format, &mut facts, &mut notes))
        .flatten();
    facts.notes = notes.into_vec();
    Examined { facts, thumbnail }
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
    let Some(decoder) = format.decoder else {
        return Err(ThumbnailError::NoDecoder {
            media_type: format.media_type.to_owned(),
        });
    };
    let mut facts = Facts::default();
    read_metadata(&mut source, format, &mut facts, &mut Notes::default());
    picture::render(path, decoder, facts.orientation, max_px.clamp(1, 4096))
        .and_then(|rendered| rendered.to_jpeg())
        .map_err(|error| match error {
            PictureError::TooLarge(why) => ThumbnailError::TooLarge { why },
            PictureError::Broken { why, .. } => ThumbnailError::Broken { why },
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
        thumbnail: None,
    }
}

/// Reads what the container says around the pixels: EXIF, or a film's header.
fn read_metadata(source: &mut Source, format: Format, facts: &mut Facts, notes: &mut Notes) {
    match format.container {
        Container::Movie => movie::read(source, facts, notes),
        Container::Heif => heif::read(source, facts, notes),
        Container::Cr3 => exif::read(locate::in_cr3(source), source, facts, notes),
        Container::Jpeg => exif::read(locate::in_jpeg(source), source, facts, notes),
        Container::Png => exif::read(locate::in_png(source), source, facts, notes),
        Container::Webp => exif::read(locate::in_webp(source), source, facts, notes),
        Container::Raf => exif::read(locate::in_raf(source), source, facts, notes),
        Container::Tiff => exif::read(locate::in_tiff(source), source, facts, notes),
        Container::Plain => {}
    }
}

/// Decodes the picture once for everything that needs its pixels.
fn read_picture(
    path: &Path,
    format: Format,
    facts: &mut Facts,
    notes: &mut Notes,
) -> Option<Vec<u8>> {
    let Some(decoder) = format
        .decoder
        .filter(|_| sniff::is_plain(&facts.media_type))
    else {
        facts.undecodable = true;
        notes.add(format!(
            "no thumbnail: {} cannot be decoded here",
            facts.media_type
        ));
        return None;
    };
    let rendered = picture::render(path, decoder, facts.orientation, THUMBNAIL_PX);
    match rendered.and_then(|rendered| Ok((rendered.to_jpeg()?, rendered))) {
        Ok((jpeg, rendered)) => {
            set_dimensions(facts, rendered.width, rendered.height);
            facts.thumbhash = Rendered::thumbhash(&rendered);
            Some(jpeg)
        }
        Err(PictureError::TooLarge(why)) => {
            facts.undecodable = true;
            notes.add(format!("not decoded: {why}"));
            None
        }
        Err(PictureError::Broken { why, shown }) => {
            facts.undecodable = true;
            notes.add(format!("the picture cannot be decoded: {why}"));
            if let Some((width, height)) = shown {
                set_dimensions(facts, width, height);
            }
            None
        }
    }
}

fn set_dimensions(facts: &mut Facts, width: u32, height: u32) {
    facts.width = Some(width);
    facts.height = Some(height);
}
