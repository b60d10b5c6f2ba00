//! How many 12-megapixel JPEGs a second one core takes from bytes to metadata and thumbnails, beside the way a first
//! version would do it: decode with `image`, resize with `image`, encode with `image`.
//!
//! `cargo run --release -p media --example speed`. The two ways take turns on the same files, so that a busy machine slows both;
//! of each, the fastest round counts.

use std::hint::black_box;
use std::io::{Cursor, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use image::codecs::jpeg::JpegEncoder;
use image::imageops::FilterType;
use image::{DynamicImage, ImageFormat, Rgb, RgbImage};
use jpeg_encoder::{ColorType, Encoder, SamplingFactor};

const ROUNDS: u32 = 9;

fn main() {
    for (what, noise) in [("smooth", 12), ("detailed", 60)] {
        let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
        let jpeg = photograph(noise);
        file.write_all(&jpeg).expect("writing a temporary file");
        println!("{what}: 4032 × 3024, {} KB", jpeg.len() / 1024);
        compare(file.path(), &[], &[512, 256]);
        compare(file.path(), &[1440], &[1440, 512, 256]);
    }
}

fn compare(path: &Path, larger: &[u32], sizes: &[u32]) {
    let larger: Vec<u32> = larger.iter().copied().chain([512]).collect();
    let (mut ours, mut plain) = (Duration::MAX, Duration::MAX);
    for _ in 0..ROUNDS {
        ours = ours.min(time(|| drop(black_box(media::examine_with(path, &larger)))));
        plain = plain.min(time(|| drop(black_box(plainly(path, sizes)))));
    }
    println!(
        "  metadata and {sizes:?}: {:.1} a second ({:.0} ms), plain {:.1} a second ({:.0} ms), ratio {:.1}",
        1.0 / ours.as_secs_f64(),
        ours.as_secs_f64() * 1e3,
        1.0 / plain.as_secs_f64(),
        plain.as_secs_f64() * 1e3,
        plain.as_secs_f64() / ours.as_secs_f64(),
    );
}

fn time(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

/// Each size out of the largest one before it, as ours are.
fn plainly(path: &Path, sizes: &[u32]) -> Vec<Vec<u8>> {
    let bytes = std::fs::read(path).expect("reading a temporary file");
    let mut picture =
        image::load_from_memory_with_format(&bytes, ImageFormat::Jpeg).expect("a JPEG");
    let mut made = Vec::new();
    for &px in sizes {
        picture = picture.resize(px, px, FilterType::CatmullRom);
        let mut jpeg = Cursor::new(Vec::new());
        let mut encoder = JpegEncoder::new_with_quality(&mut jpeg, 80);
        encoder.encode_image(&picture).expect("encoding");
        made.push(jpeg.into_inner());
    }
    made
}

/// Slopes and stripes under noise, as phones compress it: quality 90, colours at half detail.
fn photograph(noise: u32) -> Vec<u8> {
    let mut seed = 1_u32;
    let picture: DynamicImage = RgbImage::from_fn(4032, 3024, |x, y| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let grain = (seed >> 24) * noise / 256;
        let shade = |value: u32| u8::try_from(value % 190 + grain).unwrap_or(u8::MAX);
        Rgb([
            shade(x / 16 + y / 9),
            shade(x * y / 4000),
            shade((x / 7) ^ (y / 5)),
        ])
    })
    .into();
    let mut jpeg = Vec::new();
    let mut encoder = Encoder::new(&mut jpeg, 90);
    encoder.set_sampling_factor(SamplingFactor::F_2_2);
    encoder
        .encode(picture.as_bytes(), 4032, 3024, ColorType::Rgb)
        .expect("encoding");
    jpeg
}
