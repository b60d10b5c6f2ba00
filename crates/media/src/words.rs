//! From a file's container to everything it says around its pixels.

use model::file::{Facts, Kind};

use crate::described::{self, Described, Origin, Words};
use crate::locate::{self, Parts};
use crate::notes::Notes;
use crate::packet::{PACKET_BYTES_MAX, Packet};
use crate::sniff::{self, Container, Format};
use crate::source::{Source, Window};
use crate::tiff::Directory;
use crate::{exif, heif, iptc, movie, preview, xmp};

/// What was read besides the facts.
pub(crate) struct Read {
    /// What people and programs wrote.
    pub(crate) described: Described,
    /// The EXIF blocks, which may hold a preview.
    pub(crate) blocks: Vec<(Directory, Window)>,
}

/// Reads it all into `facts`.
pub(crate) fn read(
    source: &mut Source,
    format: Format,
    facts: &mut Facts,
    notes: &mut Notes,
) -> Read {
    let whole = source.whole();
    let mut said = Vec::new();
    let mut shown = None;
    let parts = match format.container {
        Container::Movie => {
            said.push((Origin::Exif, movie::read(source, facts, notes)));
            Parts {
                xmp: locate::xmp_in_boxes(source),
                ..Parts::default()
            }
        }
        Container::Heif => {
            let (parts, properties) = heif::read(source, notes);
            shown = properties;
            parts
        }
        Container::Cr3 => locate::in_cr3(source),
        Container::Jpeg => locate::in_jpeg(source, whole),
        Container::Png => locate::in_png(source),
        Container::Webp => locate::in_webp(source),
        Container::Raf => locate::in_raf(source),
        Container::Tiff => locate::in_tiff(source),
        Container::Plain => Parts::default(),
    };
    if format.container != Container::Movie {
        said.push((Origin::Exif, exif::read(&parts.exif, source, facts, notes)));
    }
    said.extend(xmp_words(source, parts.xmp, facts, notes).map(|words| (Origin::Xmp, words)));
    said.extend(iptc_words(source, &parts, notes).map(|words| (Origin::Iptc, words)));
    if let Some(shown) = shown {
        (facts.width, facts.height) = (Some(shown.size.0), Some(shown.size.1));
        facts.orientation = Some(shown.orientation);
    } else if facts.kind == Kind::Photo && !sniff::is_plain(&facts.media_type) {
        raw_dimensions(source, &parts, facts);
    }
    let described = described::merge(&said);
    described.settle(facts);
    Read {
        described,
        blocks: parts.exif,
    }
}

fn raw_dimensions(source: &mut Source, parts: &Parts, facts: &mut Facts) {
    let sideways = facts
        .orientation
        .is_some_and(|orientation| orientation >= 5);
    if let Some((width, height)) = preview::raw_dimensions(source, &parts.exif) {
        let (width, height) = if sideways {
            (height, width)
        } else {
            (width, height)
        };
        (facts.width, facts.height) = (Some(width), Some(height));
    }
}

fn xmp_words(
    source: &mut Source,
    window: Option<Window>,
    facts: &mut Facts,
    notes: &mut Notes,
) -> Option<Words> {
    // One byte more, so that a packet that is too long is seen to be.
    let bytes = source.read_up_to(window?, 0, PACKET_BYTES_MAX + 1)?;
    let packet = Packet::read(&bytes);
    facts.camera = facts.camera.take().or_else(|| xmp::camera(&packet));
    facts.exposure = facts.exposure.take().or_else(|| xmp::exposure(&packet));
    Some(xmp::words(&packet, Origin::Xmp, notes))
}

fn iptc_words(source: &mut Source, parts: &Parts, notes: &mut Notes) -> Option<Words> {
    if let Some(window) = parts.iptc {
        let block = source.read_up_to(window, 0, iptc::BLOCK_BYTES_MAX)?;
        return Some(iptc::words(&block, notes));
    }
    let mut resources = Vec::new();
    for &window in &parts.resources {
        let room = iptc::BLOCK_BYTES_MAX.saturating_sub(resources.len());
        resources.extend(source.read_up_to(window, 0, room)?);
    }
    Some(iptc::words(iptc::in_resources(&resources)?, notes))
}
