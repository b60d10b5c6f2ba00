//! Several sizes out of one decode, and pictures that look the same.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may fail"
)]

mod support;

use image::{DynamicImage, GenericImageView, ImageFormat, Rgb, RgbImage};
use support::*;

/// A picture with something to be seen in it.
fn scene(width: u32, height: u32) -> DynamicImage {
    RgbImage::from_fn(width, height, |x, y| {
        let (x, y) = (x as f64 / f64::from(width), y as f64 / f64::from(height));
        let hill = 0.5 + 0.2 * (x * 7.0).sin() + 0.05 * (x * 31.0).cos();
        let sun = (x - 0.7).hypot(y - 0.2) < 0.08;
        Rgb(match (sun, y > hill) {
            (true, _) => [255, 240, 150],
            (_, true) => [40, (90.0 + 60.0 * y) as u8, 30],
            _ => [(90.0 + 80.0 * y) as u8, 150, 230],
        })
    })
    .into()
}

#[test]
fn all_sizes_come_from_one_examination_the_largest_first() {
    let file = file(&encode(&scene(2400, 1600), ImageFormat::Jpeg));
    let examined = media::examine_with(file.path(), &[512, 1440]);
    let larger: Vec<(u32, (u32, u32))> = examined
        .larger
        .iter()
        .map(|one| {
            (
                one.px,
                image::load_from_memory(&one.jpeg).unwrap().dimensions(),
            )
        })
        .collect();
    assert_eq!(larger, [(1440, (1440, 960)), (512, (512, 341))]);
    let small = image::load_from_memory(&examined.thumbnail.unwrap()).unwrap();
    assert_eq!(small.dimensions(), (256, 171));
    let facts = examined.facts;
    assert_eq!((facts.width, facts.height), (Some(2400), Some(1600)));
}

#[test]
fn a_picture_decoded_small_looks_like_one_decoded_whole() {
    let scene = scene(2400, 1600);
    let jpeg = file(&encode(&scene, ImageFormat::Jpeg));
    let png = file(&encode(&scene, ImageFormat::Png));
    let picture = |file: &tempfile::NamedTempFile| {
        let jpeg = media::thumbnail(file.path(), 512).unwrap();
        image::load_from_memory(&jpeg).unwrap().into_rgb8()
    };
    let (small, whole) = (picture(&jpeg), picture(&png));
    assert_eq!(small.dimensions(), whole.dimensions());
    let differences = small
        .iter()
        .zip(whole.iter())
        .map(|(left, right)| u64::from(left.abs_diff(*right)));
    let mean = differences.sum::<u64>() as f64 / small.len() as f64;
    assert!(mean < 2.0, "they differ by {mean} shades on average");
}

#[test]
fn the_same_picture_in_another_size_and_format_has_nearly_the_same_hash() {
    let hash = |bytes: &[u8]| examine(bytes).perceptual_hash.unwrap();
    let original = hash(&encode(&scene(1200, 800), ImageFormat::Png));
    let brighter = scene(1200, 800).brighten(12);
    let turned = Exif::default()
        .main(0x112, short(6))
        .jpeg(&scene(1200, 800).rotate270());
    for copy in [
        encode(&scene(300, 200), ImageFormat::Jpeg),
        encode(&brighter, ImageFormat::Jpeg),
        encode(&scene(1200, 800), ImageFormat::Gif),
        turned,
    ] {
        let distance = media::similar::distance(original, hash(&copy));
        assert!(distance <= media::similar::DISTANCE_SAME, "{distance}");
    }
    let other = hash(&encode(&scene(1200, 800).flipv(), ImageFormat::Png));
    assert!(media::similar::distance(original, other) > 16);
}

#[test]
fn blank_pages_have_no_hash() {
    let blank = examine(&encode(
        &DynamicImage::new_luma8(300, 300),
        ImageFormat::Png,
    ));
    assert_eq!(blank.perceptual_hash, None);
    assert!(blank.thumbnail.is_some());
}
