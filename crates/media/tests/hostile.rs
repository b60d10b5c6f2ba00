//! Damaged and malicious files: never a panic, never much memory or time, always an answer.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use std::time::{Duration, Instant};

use image::{DynamicImage, ImageFormat};
use media::Examined;
use model::file::Kind;
use proptest::prelude::*;
use support::*;

/// What must hold of every answer.
fn check(examined: &Examined) {
    let facts = &examined.facts;
    assert!(!facts.media_type.is_empty());
    assert!(facts.notes.len() <= 12 && facts.notes.iter().all(|note| note.chars().count() <= 160));
    assert!(!(facts.undecodable && examined.thumbnail.is_some()));
    assert!(
        !facts.undecodable || !facts.notes.is_empty(),
        "undecodable without a word"
    );
    assert_eq!(examined.thumbnail.is_some(), !facts.thumbhash.is_empty());
    if let Some(thumbnail) = &examined.thumbnail {
        let thumbnail = image::load_from_memory(thumbnail).unwrap();
        assert!(thumbnail.width() <= 256 && thumbnail.height() <= 256);
    }
    if facts.kind == Kind::Photo {
        assert!(facts.undecodable || examined.thumbnail.is_some());
    }
    assert!(facts.kind != Kind::Video || examined.needs.is_some());
    check_described(&examined.described);
}

/// What must hold of everything that was read in words.
fn check_described(described: &media::Described) {
    let texts = [(&described.title, 1000), (&described.description, 16 << 10)];
    for (text, most) in texts {
        let text = text.as_ref().map(|told| &told.value);
        assert!(text.is_none_or(|text| !text.trim().is_empty() && text.len() <= most));
    }
    for told in described.tags.iter().chain(&described.people) {
        let (tag, parts) = (&told.value, told.value.split('/'));
        assert!(
            tag.len() <= 255 && !tag.contains(char::is_control),
            "{tag:?}"
        );
        assert!(parts.clone().all(|part| part.trim() == part));
    }
    for told in &described.tags {
        assert!(
            told.value.split('/').all(|part| !part.is_empty()),
            "{told:?}"
        );
    }
    assert!(described.tags.len() <= 500 && described.people.len() <= 500);
    let rating = described.rating.as_ref().map(|told| told.value);
    assert!(rating.is_none_or(|rating| rating <= 5));
}

fn check_sidecar(bytes: &[u8]) {
    let sidecar = media::sidecar(bytes);
    check_described(&sidecar.described);
    assert!(sidecar.notes.len() <= 12);
}

fn assert_refused(examined: &Examined, why: &str) {
    check(examined);
    assert_eq!(
        (examined.facts.kind, examined.facts.undecodable),
        (Kind::Photo, true)
    );
    assert_eq!(examined.thumbnail, None);
    let notes = &examined.facts.notes;
    assert!(
        notes.iter().any(|note| note.contains(why)),
        "no {why:?} in {notes:?}"
    );
}

/// A picture with a little of everything in it.
fn samples() -> Vec<Vec<u8>> {
    let picture = quadrants(97, 61, [RED, GREEN, BLUE, YELLOW]);
    let mut samples: Vec<Vec<u8>> = fixture_names()
        .iter()
        .map(|name| std::fs::read(fixture(name)).unwrap())
        .collect();
    samples.extend(
        [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::Tiff]
            .map(|format| encode(&picture, format)),
    );
    samples
}

#[test]
fn a_picture_cut_at_every_tenth_is_kept() {
    for sample in samples() {
        for tenth in 0..10 {
            check(&examine(&sample[..sample.len() * tenth / 10]));
        }
    }
}

#[test]
fn a_picture_that_is_only_a_header_is_marked() {
    for header in [
        &b"\xff\xd8\xff\xe0"[..],
        b"\x89PNG\r\n\x1a\n",
        b"GIF89a",
        b"RIFF\x10\0\0\0WEBPVP8 ",
        b"II*\0\x08\0\0\0",
    ] {
        assert_refused(&examine(header), "cannot be decoded");
    }
    assert_refused(
        &examine(&[b"\xff\xd8\xff\xe0", &[0x55; 5000][..]].concat()),
        "cannot be decoded",
    );
}

fn png_claiming(width: u32, height: u32) -> Vec<u8> {
    let mut png = encode(&DynamicImage::new_rgb8(1, 1), ImageFormat::Png);
    png[16..20].copy_from_slice(&width.to_be_bytes());
    png[20..24].copy_from_slice(&height.to_be_bytes());
    let checksum = crc32(&png[12..29]);
    png[29..33].copy_from_slice(&checksum.to_be_bytes());
    png
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
        })
    })
}

#[test]
fn a_bomb_is_kept_and_not_decoded() {
    let start = Instant::now();
    assert_refused(&examine(&png_claiming(60_000, 60_000)), "200 megapixels");
    assert_refused(&examine(&png_claiming(70_000, 10)), "not decoded");
    assert_refused(
        &examine(&png_claiming(0x7fff_ffff, 0x7fff_ffff)),
        "not decoded",
    );
    assert_refused(&examine(&png_claiming(14_000, 14_000)), "512 MiB");
    assert_refused(&examine(&png_claiming(0, 5)), "");
    let mut jpeg = encode(&DynamicImage::new_rgb8(8, 8), ImageFormat::Jpeg);
    let frame = jpeg
        .windows(2)
        .position(|pair| pair == b"\xff\xc0")
        .unwrap();
    jpeg[frame + 5..frame + 9].copy_from_slice(&[0xff; 4]);
    assert_refused(&examine(&jpeg), "200 megapixels");
    let mut gif = encode(&DynamicImage::new_rgba8(8, 8), ImageFormat::Gif);
    gif[6..10].copy_from_slice(&[0xff; 4]);
    assert_refused(&examine(&gif), "200 megapixels");
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "refusing took {:?}",
        start.elapsed()
    );
}

#[test]
fn a_progressive_jpeg_counts_its_coefficients() {
    let mut jpeg = std::fs::read(fixture("progressive.jpg")).unwrap();
    let frame = jpeg
        .windows(2)
        .position(|pair| pair == b"\xff\xc2")
        .unwrap();
    let side = 10_000_u16.to_be_bytes();
    jpeg[frame + 5..frame + 7].copy_from_slice(&side);
    jpeg[frame + 7..frame + 9].copy_from_slice(&side);
    assert_refused(&examine(&jpeg), "512 MiB");
}

#[test]
fn directories_that_point_at_themselves_end() {
    let long = |at: u32| Value(4, 1, at.to_be_bytes().to_vec());
    let mut exif = Exif::default()
        .main(0x8769, long(8))
        .main(0x8825, long(8))
        .main(0x14a, long(8));
    exif.main.push((0x112, short(6)));
    let mut block = exif.block();
    // The link to a next directory also leads back to the first.
    let link = 10 + 12 * 6;
    block[link..link + 4].copy_from_slice(&8_u32.to_be_bytes());
    let examined = examine(&with_block(
        &encode(&DynamicImage::new_rgb8(8, 6), ImageFormat::Jpeg),
        &block,
    ));
    check(&examined);
    assert_eq!(examined.facts.orientation, Some(6));
    assert_eq!(
        (examined.facts.width, examined.facts.height),
        (Some(6), Some(8))
    );
}

#[test]
fn broken_exif_blocks_are_noted_and_the_picture_is_shown() {
    let jpeg = encode(&DynamicImage::new_rgb8(8, 6), ImageFormat::Jpeg);
    let outside = Value(4, 1, 0xffff_0000_u32.to_be_bytes().to_vec());
    let pointing_outside = Exif {
        main: vec![(0x8769, outside)],
        ..Exif::default()
    };
    let crowded = [b"MM\0*\0\0\0\x08\xff\xff", &[1; 40][..]].concat();
    for block in [
        b"".to_vec(),
        b"garbage!".to_vec(),
        b"MM\0*\xff\xff\xff\xff".to_vec(),
        crowded,
        pointing_outside.block(),
    ] {
        let examined = examine(&with_block(&jpeg, &block));
        check(&examined);
        assert!(examined.thumbnail.is_some());
        assert!(
            examined.facts.notes[0].contains("EXIF block is broken"),
            "{:?}",
            examined.facts.notes
        );
    }
}

#[test]
fn values_that_claim_gigabytes_cost_nothing() {
    let start = Instant::now();
    let huge = || Value(5, u32::MAX, vec![0, 0, 0, 8]);
    let mut exif = Exif::default();
    for tag in 0..2000 {
        exif.main.push((0x10f + tag % 3, huge()));
        exif.exif.push((0x9003, huge()));
    }
    check(&examine(&exif.block()));
    assert!(start.elapsed() < Duration::from_secs(2));
}

#[test]
fn a_sidecar_cut_at_every_tenth_says_what_is_left() {
    let whole = std::fs::read(fixture("sidecar.xmp")).unwrap();
    for tenth in 0..10 {
        check_sidecar(&whole[..whole.len() * tenth / 10]);
    }
}

#[test]
fn sidecars_that_are_deep_wide_or_endless_cost_little() {
    let start = Instant::now();
    let rdf = "<r:RDF xmlns:r='http://www.w3.org/1999/02/22-rdf-syntax-ns#' \
               xmlns:d='http://purl.org/dc/elements/1.1/'>";
    let declarations: String = (0..60).map(|n| format!(" xmlns:n{n}='urn:{n}'")).collect();
    let nested = format!("<r:Bag{declarations}>").repeat(500);
    let tags: String = (0..30_000).map(|n| format!("<r:li>{n}</r:li>")).collect();
    for body in [
        "<".repeat(1 << 20),
        "<a ".repeat(300_000),
        "<d:title>".repeat(100_000),
        format!("{nested}<d:title>x</d:title>"),
        format!("<d:subject><r:Bag>{tags}</r:Bag></d:subject>"),
        format!("<d:title>{}</d:title>", "&amp;".repeat(200_000)),
        format!("<d:title {}/>", "r:a='1' ".repeat(100_000)),
        format!("<!--{}", "-".repeat(1 << 20)),
    ] {
        check_sidecar(format!("{rdf}{body}").as_bytes());
        check_sidecar(body.as_bytes());
    }
    assert!(
        start.elapsed() < Duration::from_secs(8),
        "{:?}",
        start.elapsed()
    );
}

#[test]
fn directories_below_directories_are_visited_once() {
    // Every directory has itself and all the others below it and behind it.
    let mut file = b"II*\0\x08\0\0\0".to_vec();
    let places: Vec<u32> = (0..200).map(|index| 8 + index * 18).collect();
    let list = 8 + 200 * 18;
    for &place in &places {
        file.extend([1, 0, 0x4a, 0x01, 4, 0]);
        file.extend(200_u32.to_le_bytes());
        file.extend(u32::to_le_bytes(list));
        file.extend(u32::to_le_bytes(place));
    }
    file.extend(places.iter().flat_map(|place| place.to_le_bytes()));
    file[8..10].copy_from_slice(b"CR");
    let start = Instant::now();
    check(&examine(&file));
    // As an Olympus raw file, which is looked through for a preview.
    file[..4].copy_from_slice(b"IIRO");
    check(&examine(&file));
    assert!(start.elapsed() < Duration::from_secs(1));
}

#[test]
fn boxes_without_end_or_size_end() {
    for size in [0_u32, 1, 2, 7, 8, u32::MAX] {
        let mut film = b"\0\0\0\x14ftypisom\0\0\0\0isom".to_vec();
        for _ in 0..2000 {
            film.extend(size.to_be_bytes());
            film.extend(b"moov");
        }
        check(&examine(&film));
        film[8..12].copy_from_slice(b"heic");
        check(&examine(&film));
    }
}

proptest! {
    #[test]
    fn random_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        check(&examine(&bytes));
    }

    #[test]
    fn sidecars_with_flipped_bits_are_survived(
        flips in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..12),
    ) {
        let mut bytes = std::fs::read(fixture("sidecar.xmp")).unwrap();
        for (at, byte) in flips {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        check_sidecar(&bytes);
    }

    #[test]
    fn random_bytes_after_a_real_beginning_are_survived(
        sample in proptest::sample::select(samples()),
        kept in 0_usize..64,
        bytes in proptest::collection::vec(any::<u8>(), 0..600),
    ) {
        check(&examine(&[&sample[..kept.min(sample.len())], &bytes].concat()));
    }

    #[test]
    fn flipped_bits_are_survived(
        sample in proptest::sample::select(samples()),
        flips in proptest::collection::vec((any::<proptest::sample::Index>(), 0_u8..8), 1..12),
    ) {
        let mut bytes = sample;
        for (at, bit) in flips {
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
        }
        check(&examine(&bytes));
    }

    #[test]
    fn overwritten_words_are_survived(
        sample in proptest::sample::select(samples()),
        at in any::<proptest::sample::Index>(),
        word in prop_oneof![Just(0_u32), Just(u32::MAX), Just(0x7fff_ffff), Just(1), any::<u32>()],
    ) {
        let mut bytes = sample;
        let at = at.index(bytes.len().saturating_sub(4).max(1));
        bytes[at..at + 4].copy_from_slice(&word.to_be_bytes());
        check(&examine(&bytes));
    }
}
