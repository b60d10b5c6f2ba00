//! The EXIF block of a painted photo, as a camera would write it.
//!
//! A block is a small TIFF file: directories of tags in rising order, each twelve bytes, with longer values behind
//! the directory. Byte layout: EXIF 2.32, sections 4.5 and 4.6.

use super::trip::Camera;

/// What the block says.
#[derive(Debug, Clone)]
pub(super) struct Exif {
    /// `2019:07:04 18:03:00` on the local clock.
    pub(super) taken: String,
    /// Thousandths of a second, `123`.
    pub(super) subsecond: String,
    /// `+01:00`.
    pub(super) offset: &'static str,
    /// With what.
    pub(super) camera: Camera,
    /// The exposure time as a fraction of a second: 250 means 1/250.
    pub(super) shutter: u32,
    /// The f-number, in tenths.
    pub(super) aperture_tenths: u32,
    /// The sensitivity.
    pub(super) iso: u16,
    /// The focal length in millimetres.
    pub(super) focal_mm: u32,
    /// Degrees north.
    pub(super) latitude: f64,
    /// Degrees east.
    pub(super) longitude: f64,
    /// Metres above the sea.
    pub(super) altitude_m: u32,
    /// How the camera was held: 1, 3, 6 or 8.
    pub(super) orientation: u16,
}

/// Puts the block at the head of a JPEG, where the standard wants it.
pub(super) fn insert(jpeg: &[u8], exif: &Exif) -> Vec<u8> {
    let block = block(exif);
    let size =
        u16::try_from(block.len() + 8).expect("a block of three small directories fits a segment");
    let (start, rest) = jpeg.split_at(2);
    [
        start,
        b"\xff\xe1",
        &size.to_be_bytes(),
        b"Exif\0\0",
        &block,
        rest,
    ]
    .concat()
}

fn block(exif: &Exif) -> Vec<u8> {
    let Camera { make, model, lens } = exif.camera;
    let mut main = Directory::default();
    main.text(0x010f, make);
    main.text(0x0110, model);
    main.short(0x0112, exif.orientation);
    main.text(0x0131, "starling demo");
    main.text(0x0132, &exif.taken);

    let mut details = Directory::default();
    details.fractions(0x829a, &[(1, exif.shutter)]);
    details.fractions(0x829d, &[(exif.aperture_tenths, 10)]);
    details.short(0x8827, exif.iso);
    details.undefined(0x9000, *b"0232");
    details.text(0x9003, &exif.taken);
    details.text(0x9004, &exif.taken);
    details.text(0x9010, exif.offset);
    details.text(0x9011, exif.offset);
    details.fractions(0x920a, &[(exif.focal_mm, 1)]);
    details.text(0x9291, &exif.subsecond);
    details.text(0xa434, lens);

    let mut place = Directory::default();
    place.bytes(0x0000, [2, 3, 0, 0]);
    place.text(0x0001, if exif.latitude < 0.0 { "S" } else { "N" });
    place.fractions(0x0002, &degrees(exif.latitude));
    place.text(0x0003, if exif.longitude < 0.0 { "W" } else { "E" });
    place.fractions(0x0004, &degrees(exif.longitude));
    place.byte(0x0005, 0);
    place.fractions(0x0006, &[(exif.altitude_m, 1)]);

    // Two pointers are still to be added to the main directory.
    let details_at = HEADER.len() + main.size() + 2 * ENTRY_BYTES;
    let place_at = details_at + details.size();
    main.long(0x8769, details_at);
    main.long(0x8825, place_at);
    let mut block = HEADER.to_vec();
    for directory in [main, details, place] {
        directory.write(&mut block);
    }
    block
}

/// Little-endian, number 42, the main directory right behind.
const HEADER: &[u8] = b"II*\0\x08\0\0\0";
const ENTRY_BYTES: usize = 12;

/// Whole degrees, whole minutes and hundredths of a second.
fn degrees(angle: f64) -> [(u32, u32); 3] {
    let hundredths = (angle.abs() * 360_000.0).round() as u32;
    [
        (hundredths / 360_000, 1),
        (hundredths / 6_000 % 60, 1),
        (hundredths % 6_000, 100),
    ]
}

/// A directory in the making; tags must be added in rising order.
#[derive(Default)]
struct Directory(Vec<(u16, u16, u32, Vec<u8>)>);

impl Directory {
    fn text(&mut self, tag: u16, text: &str) {
        let bytes = [text.as_bytes(), b"\0"].concat();
        self.0.push((tag, 2, bytes.len() as u32, bytes));
    }

    fn byte(&mut self, tag: u16, byte: u8) {
        self.0.push((tag, 1, 1, vec![byte]));
    }

    fn bytes(&mut self, tag: u16, bytes: [u8; 4]) {
        self.0.push((tag, 1, 4, bytes.to_vec()));
    }

    fn undefined(&mut self, tag: u16, bytes: [u8; 4]) {
        self.0.push((tag, 7, 4, bytes.to_vec()));
    }

    fn short(&mut self, tag: u16, number: u16) {
        self.0.push((tag, 3, 1, number.to_le_bytes().to_vec()));
    }

    fn long(&mut self, tag: u16, number: usize) {
        self.0
            .push((tag, 4, 1, (number as u32).to_le_bytes().to_vec()));
    }

    fn fractions(&mut self, tag: u16, fractions: &[(u32, u32)]) {
        let words = fractions.iter().flat_map(|&(over, under)| [over, under]);
        self.0.push((
            tag,
            5,
            fractions.len() as u32,
            words.flat_map(u32::to_le_bytes).collect(),
        ));
    }

    /// Its size in the block: the count, the entries, the link to a next directory, the longer values.
    fn size(&self) -> usize {
        let long_values = self
            .0
            .iter()
            .map(|(.., bytes)| bytes.len())
            .filter(|&len| len > 4);
        2 + self.0.len() * ENTRY_BYTES + 4 + long_values.map(even).sum::<usize>()
    }

    fn write(self, block: &mut Vec<u8>) {
        let mut value_at = block.len() + 2 + self.0.len() * ENTRY_BYTES + 4;
        let mut values = Vec::new();
        block.extend((self.0.len() as u16).to_le_bytes());
        for (tag, format, count, mut bytes) in self.0 {
            block.extend(tag.to_le_bytes());
            block.extend(format.to_le_bytes());
            block.extend(count.to_le_bytes());
            if bytes.len() > 4 {
                block.extend((value_at as u32).to_le_bytes());
                bytes.resize(even(bytes.len()), 0);
                value_at += bytes.len();
                values.append(&mut bytes);
            } else {
                bytes.resize(4, 0);
                block.append(&mut bytes);
            }
        }
        block.extend([0; 4]);
        block.append(&mut values);
    }
}

/// Values begin at even places.
fn even(len: usize) -> usize {
    len.next_multiple_of(2)
}
