//! What the tests share: files on disk, pictures of four colours, and EXIF blocks built tag by tag.

#![allow(dead_code, clippy::unwrap_used, clippy::indexing_slicing)]

use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};

use image::{DynamicImage, ImageFormat, Rgb, RgbImage};
use media::Examined;

/// Writes the bytes to a file without a telling name and examines it.
pub(crate) fn examine(bytes: &[u8]) -> Examined {
    let file = file(bytes);
    media::examine(file.path())
}

pub(crate) fn file(bytes: &[u8]) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    file
}

pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

pub(crate) fn fixture_names() -> Vec<String> {
    let folder = std::fs::read_dir(fixture("")).unwrap();
    let mut names: Vec<String> = folder
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.retain(|name| {
        [".py", ".md", ".json"]
            .iter()
            .all(|end| !name.ends_with(end))
    });
    names.sort();
    names
}

pub(crate) const RED: [u8; 3] = [200, 30, 30];
pub(crate) const GREEN: [u8; 3] = [30, 160, 40];
pub(crate) const BLUE: [u8; 3] = [30, 60, 200];
pub(crate) const YELLOW: [u8; 3] = [230, 200, 40];

/// Four quadrants in reading order.
pub(crate) fn quadrants(width: u32, height: u32, [a, b, c, d]: [[u8; 3]; 4]) -> DynamicImage {
    RgbImage::from_fn(width, height, |x, y| {
        Rgb(match (x < width / 2, y < height / 2) {
            (true, true) => a,
            (false, true) => b,
            (true, false) => c,
            (false, false) => d,
        })
    })
    .into()
}

/// The colours in the middle of the four quadrants of an encoded picture, in reading order.
pub(crate) fn read_quadrants(encoded: &[u8]) -> [[u8; 3]; 4] {
    let picture = image::load_from_memory(encoded).unwrap().into_rgb8();
    let (width, height) = picture.dimensions();
    let at = |x, y| picture.get_pixel(x * width / 4, y * height / 4).0;
    [at(1, 1), at(3, 1), at(1, 3), at(3, 3)]
}

pub(crate) fn is_near(left: [u8; 3], right: [u8; 3]) -> bool {
    left.iter()
        .zip(right)
        .all(|(&left, right)| left.abs_diff(right) < 24)
}

pub(crate) fn encode(picture: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// A value of a tag: its format number, its count and its bytes, big-endian.
#[derive(Clone)]
pub(crate) struct Value(pub(crate) u16, pub(crate) u32, pub(crate) Vec<u8>);

pub(crate) fn text(text: &str) -> Value {
    let bytes = [text.as_bytes(), b"\0"].concat();
    Value(2, bytes.len() as u32, bytes)
}

pub(crate) fn short(number: u16) -> Value {
    Value(3, 1, number.to_be_bytes().to_vec())
}

pub(crate) fn byte(number: u8) -> Value {
    Value(1, 1, vec![number])
}

pub(crate) fn rationals(fractions: &[(u32, u32)]) -> Value {
    let words = fractions.iter().flat_map(|&(over, under)| [over, under]);
    Value(
        5,
        fractions.len() as u32,
        words.flat_map(u32::to_be_bytes).collect(),
    )
}

/// An EXIF block with its three directories.
#[derive(Default, Clone)]
pub(crate) struct Exif {
    pub(crate) main: Vec<(u16, Value)>,
    pub(crate) exif: Vec<(u16, Value)>,
    pub(crate) gps: Vec<(u16, Value)>,
}

impl Exif {
    pub(crate) fn main(mut self, tag: u16, value: Value) -> Self {
        self.main.push((tag, value));
        self
    }

    pub(crate) fn exif(mut self, tag: u16, value: Value) -> Self {
        self.exif.push((tag, value));
        self
    }

    pub(crate) fn gps(mut self, tag: u16, value: Value) -> Self {
        self.gps.push((tag, value));
        self
    }

    pub(crate) fn position(self, latitude: &[(u32, u32)], longitude: &[(u32, u32)]) -> Self {
        self.gps(1, text("N"))
            .gps(2, rationals(latitude))
            .gps(3, text("E"))
            .gps(4, rationals(longitude))
    }

    pub(crate) fn block(&self) -> Vec<u8> {
        let pointer = |at: usize| Value(4, 1, (at as u32).to_be_bytes().to_vec());
        let size = |entries: usize, values: &[(u16, Value)]| {
            6 + 12 * entries + values.iter().map(|(_, value)| value.2.len()).sum::<usize>()
        };
        let exif_at = 8 + size(self.main.len() + 2, &self.main);
        let gps_at = exif_at + size(self.exif.len(), &self.exif);
        let mut main = self.main.clone();
        main.push((0x8769, pointer(exif_at)));
        main.push((0x8825, pointer(gps_at)));
        let mut block = b"MM\0*\0\0\0\x08".to_vec();
        for (at, directory) in [(8, &main), (exif_at, &self.exif), (gps_at, &self.gps)] {
            block.resize(at, 0);
            write_directory(&mut block, directory);
        }
        block
    }

    /// A JPEG that carries the block.
    pub(crate) fn jpeg(&self, picture: &DynamicImage) -> Vec<u8> {
        with_block(&encode(picture, ImageFormat::Jpeg), &self.block())
    }

    /// What is read from a small JPEG that carries the block.
    pub(crate) fn examine(&self) -> Examined {
        examine(&self.jpeg(&DynamicImage::new_rgb8(8, 6)))
    }
}

/// Puts an EXIF segment at the head of a JPEG.
pub(crate) fn with_block(jpeg: &[u8], block: &[u8]) -> Vec<u8> {
    let size = u16::try_from(block.len() + 8).unwrap();
    [
        &jpeg[..2],
        b"\xff\xe1",
        &size.to_be_bytes(),
        b"Exif\0\0",
        block,
        &jpeg[2..],
    ]
    .concat()
}

fn write_directory(block: &mut Vec<u8>, entries: &[(u16, Value)]) {
    let mut data_at = block.len() + 6 + 12 * entries.len();
    let mut data: Vec<u8> = Vec::new();
    block.extend((entries.len() as u16).to_be_bytes());
    for (tag, Value(format, count, bytes)) in entries {
        block.extend(tag.to_be_bytes());
        block.extend(format.to_be_bytes());
        block.extend(count.to_be_bytes());
        if bytes.len() <= 4 {
            let mut inline = bytes.clone();
            inline.resize(4, 0);
            block.extend(&inline);
        } else {
            block.extend((data_at as u32).to_be_bytes());
            data_at += bytes.len();
            data.extend(bytes);
        }
    }
    block.extend(0_u32.to_be_bytes());
    block.extend(data);
}
