//! Thumbnails are the right way up, the right size and the right colour.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use image::{DynamicImage, GenericImageView, ImageFormat};
use model::file::Kind;
use support::*;

/// What stands in the file so that, shown with an orientation, it reads red, green / blue, yellow. Written down from
/// the table in the EXIF standard ("the 0th row is the visual top, the 0th column the visual left side" and so on).
const STORED: [(u16, [[u8; 3]; 4]); 8] = [
    (1, [RED, GREEN, BLUE, YELLOW]),
    (2, [GREEN, RED, YELLOW, BLUE]),
    (3, [YELLOW, BLUE, GREEN, RED]),
    (4, [BLUE, YELLOW, RED, GREEN]),
    (5, [RED, BLUE, GREEN, YELLOW]),
    (6, [GREEN, YELLOW, RED, BLUE]),
    (7, [YELLOW, GREEN, BLUE, RED]),
    (8, [BLUE, RED, YELLOW, GREEN]),
];

fn assert_upright(thumbnail: &[u8]) {
    let seen = read_quadrants(thumbnail);
    for (seen, wanted) in seen.into_iter().zip([RED, GREEN, BLUE, YELLOW]) {
        assert!(is_near(seen, wanted), "{seen:?} is not {wanted:?}");
    }
}

#[test]
fn all_eight_orientations_come_out_upright() {
    for (orientation, stored) in STORED {
        let sideways = orientation >= 5;
        let (width, height) = if sideways { (400, 600) } else { (600, 400) };
        let jpeg = Exif::default()
            .main(0x112, short(orientation))
            .jpeg(&quadrants(width, height, stored));
        let examined = examine(&jpeg);
        let thumbnail = examined.thumbnail.unwrap();
        assert_upright(&thumbnail);
        assert_eq!(
            image::load_from_memory(&thumbnail).unwrap().dimensions(),
            (256, 171)
        );
        let facts = examined.facts;
        assert_eq!(
            (facts.width, facts.height),
            (Some(600), Some(400)),
            "orientation {orientation}"
        );
        assert_eq!(facts.orientation, Some(orientation as u8));
        assert_eq!(facts.kind, Kind::Photo);
        assert!(!facts.undecodable && !facts.thumbhash.is_empty() && facts.notes.is_empty());
        let ratio = thumbhash::thumb_hash_to_approximate_aspect_ratio(&facts.thumbhash).unwrap();
        assert!((1.2..1.8).contains(&ratio), "{ratio}");
    }
}

#[test]
fn an_impossible_orientation_is_noted_and_ignored() {
    for orientation in [9, 65_535] {
        let examined = Exif::default().main(0x112, short(orientation)).examine();
        assert_eq!(examined.facts.orientation, None);
        assert!(
            examined.facts.notes[0].contains("orientation dropped"),
            "{:?}",
            examined.facts.notes
        );
        assert!(examined.thumbnail.is_some());
    }
    assert!(
        Exif::default()
            .main(0x112, short(0))
            .examine()
            .facts
            .notes
            .is_empty()
    );
}

#[test]
fn every_format_is_decoded_and_never_enlarged() {
    for format in [
        ImageFormat::Jpeg,
        ImageFormat::Png,
        ImageFormat::Gif,
        ImageFormat::WebP,
        ImageFormat::Tiff,
    ] {
        let picture = quadrants(60, 40, [RED, GREEN, BLUE, YELLOW]);
        let picture = if format == ImageFormat::Gif {
            picture.into_rgba8().into()
        } else {
            picture
        };
        let examined = examine(&encode(&picture, format));
        assert_eq!(examined.facts.media_type, format.to_mime_type());
        assert_eq!(
            (examined.facts.width, examined.facts.height),
            (Some(60), Some(40))
        );
        let thumbnail = examined.thumbnail.unwrap();
        assert_upright(&thumbnail);
        assert_eq!(
            image::load_from_memory(&thumbnail).unwrap().dimensions(),
            (60, 40)
        );
    }
}

#[test]
fn the_fixtures_come_out_upright() {
    for (name, [width, height], colours) in [
        ("progressive.jpg", [48, 32], [RED, GREEN, BLUE, YELLOW]),
        ("cmyk.jpg", [48, 32], [RED, GREEN, BLUE, YELLOW]),
        ("still.gif", [48, 32], [RED, GREEN, BLUE, YELLOW]),
        ("moving.webp", [48, 32], [RED, GREEN, BLUE, YELLOW]),
        ("exif.jpg", [32, 48], [BLUE, RED, YELLOW, GREEN]),
        ("exif.png", [32, 48], [GREEN, YELLOW, RED, BLUE]),
        ("exif.webp", [48, 32], [YELLOW, BLUE, GREEN, RED]),
        ("orientation5.tiff", [32, 48], [RED, BLUE, GREEN, YELLOW]),
        ("transparent.png", [48, 32], [[255; 3], GREEN, BLUE, YELLOW]),
        ("grey16.png", [40, 20], [[156; 3]; 4]),
    ] {
        let examined = media::examine(&fixture(name));
        assert_eq!(
            (examined.facts.width, examined.facts.height),
            (Some(width), Some(height)),
            "{name}"
        );
        let seen = read_quadrants(&examined.thumbnail.unwrap());
        for (seen, wanted) in seen.into_iter().zip(colours) {
            assert!(is_near(seen, wanted), "{name}: {seen:?} is not {wanted:?}");
        }
    }
}

#[test]
fn transparent_pixels_of_a_large_picture_lie_on_white() {
    let mut picture = image::RgbaImage::from_pixel(1000, 800, image::Rgba([255, 0, 0, 255]));
    for (x, _, pixel) in picture.enumerate_pixels_mut() {
        if x < 500 {
            pixel.0 = [0, 0, 0, 0];
        }
    }
    let examined = examine(&encode(&picture.into(), ImageFormat::Png));
    let [left, right, ..] = read_quadrants(&examined.thumbnail.unwrap());
    assert!(
        is_near(left, [255, 255, 255]) && is_near(right, [255, 0, 0]),
        "{left:?} {right:?}"
    );
}

#[test]
fn very_long_pictures_keep_a_pixel() {
    let examined = examine(&encode(&DynamicImage::new_luma8(9000, 2), ImageFormat::Png));
    let thumbnail = image::load_from_memory(&examined.thumbnail.unwrap()).unwrap();
    assert_eq!(thumbnail.dimensions(), (256, 1));
}

#[test]
fn a_thumbnail_is_remade_at_any_size() {
    let jpeg = Exif::default()
        .main(0x112, short(6))
        .jpeg(&quadrants(600, 900, STORED[5].1));
    let file = file(&jpeg);
    for (max_px, wanted) in [(512, (512, 341)), (1440, (900, 600)), (0, (1, 1))] {
        let thumbnail = media::thumbnail(file.path(), max_px).unwrap();
        assert_eq!(
            image::load_from_memory(&thumbnail).unwrap().dimensions(),
            wanted
        );
    }
    assert_upright(&media::thumbnail(file.path(), 512).unwrap());
}

#[test]
fn there_is_no_thumbnail_of_what_is_no_picture() {
    use media::ThumbnailError;
    let text = file(b"hello");
    let error = media::thumbnail(text.path(), 256).unwrap_err();
    assert!(
        matches!(error, ThumbnailError::NoDecoder { media_type, needs: None } if media_type == "text/plain")
    );
    let error = media::thumbnail(std::path::Path::new("/nowhere/at all"), 256).unwrap_err();
    assert!(matches!(error, ThumbnailError::Open { .. }));
    let broken = file(b"\x89PNG\r\n\x1a\nnot really");
    let error = media::thumbnail(broken.path(), 256).unwrap_err();
    assert!(matches!(error, ThumbnailError::Broken { .. }));
}
