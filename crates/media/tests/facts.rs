//! What is read from tags, and what is dropped with a note.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use model::file::{Camera, Exposure, Facts, Kind, Source};
use support::*;

/// 2019-07-04T18:03:00 on the camera's clock.
const HARBOUR: i64 = 1_562_263_380_000_000;

fn assert_noted(facts: &Facts, words: &str) {
    assert!(
        facts.notes.iter().any(|note| note.contains(words)),
        "no {words:?} in {:?}",
        facts.notes
    );
}

fn dated(original: &str) -> Exif {
    Exif::default().exif(0x9003, text(original))
}

#[test]
fn tags_written_by_others_are_read_from_every_container() {
    for (name, orientation) in [
        ("exif.jpg", Some(6)),
        ("exif.png", Some(8)),
        ("exif.webp", Some(3)),
        ("exif.avif", Some(6)),
        ("exif.heic", Some(1)),
    ] {
        let facts = media::examine(&fixture(name)).facts;
        assert_eq!(facts.orientation, orientation, "{name}");
        let taken = facts.taken_at.unwrap();
        assert_eq!(taken.local.micros(), HARBOUR + 123_000, "{name}");
        assert_eq!((taken.offset_min, taken.source), (Some(60), Source::Exif));
        let place = facts.place.unwrap();
        assert!(
            (place.latitude() - 38.7077).abs() < 1e-9 && (place.longitude() + 9.1365).abs() < 1e-9
        );
        assert_eq!(place.altitude, Some(12.5));
        let camera = Camera {
            make: Some("Google".into()),
            model: Some("Pixel 7".into()),
            lens: Some("Pixel 7 back camera 6.81mm f/1.85".into()),
        };
        assert_eq!(facts.camera, Some(camera));
        let exposure = Exposure {
            seconds: Some(0.004),
            aperture: Some(1.85),
            iso: Some(64),
            focal_mm: Some(6.81),
        };
        assert_eq!(facts.exposure, Some(exposure));
    }
    let avif = media::examine(&fixture("exif.avif"));
    let shown = (avif.facts.width, avif.facts.height);
    assert_eq!(
        shown,
        (Some(32), Some(48)),
        "turned by its rotation property"
    );
    assert_eq!(
        (avif.facts.kind, avif.facts.undecodable),
        (Kind::Photo, true)
    );
    assert_eq!(avif.thumbnail, None);
    let tiff = media::examine(&fixture("orientation5.tiff")).facts;
    assert_eq!(tiff.camera.unwrap().model.as_deref(), Some("Canon EOS R8"));
}

#[test]
fn a_date_without_an_offset_stays_without() {
    let taken = dated("2019:07:04 18:03:00")
        .examine()
        .facts
        .taken_at
        .unwrap();
    assert_eq!((taken.local.micros(), taken.offset_min), (HARBOUR, None));
}

#[test]
fn a_date_keeps_its_offset_beside_the_local_time() {
    let taken = dated("2019:07:04 18:03:00")
        .exif(0x9011, text("-03:30"))
        .examine()
        .facts
        .taken_at
        .unwrap();
    assert_eq!(
        (taken.local.micros(), taken.offset_min),
        (HARBOUR, Some(-210))
    );
}

#[test]
fn an_impossible_offset_is_dropped_and_the_date_kept() {
    let facts = dated("2019:07:04 18:03:00")
        .exif(0x9011, text("+25:00"))
        .examine()
        .facts;
    assert_eq!(facts.taken_at.unwrap().offset_min, None);
    assert_noted(&facts, "time offset dropped");
}

#[test]
fn absurd_dates_are_dropped_with_a_note() {
    for absurd in [
        "0000:00:00 00:00:00",
        "9999:99:99 99:99:99",
        "2019:02:30 10:00:00",
        "yesterday",
    ] {
        let facts = dated(absurd).examine().facts;
        assert_eq!(facts.taken_at, None, "{absurd}");
        assert_noted(&facts, "capture time dropped");
    }
}

#[test]
fn a_blank_date_is_no_date_and_no_fault() {
    let facts = dated("    :  :     :  :  ").examine().facts;
    assert_eq!((facts.taken_at, facts.notes), (None, vec![]));
}

#[test]
fn digitisation_stands_in_for_a_missing_moment_of_exposure() {
    let exif = dated("0000:00:00 00:00:00").exif(0x9004, text("2019:07:04 18:03:00"));
    let facts = exif.exif(0x9292, text("5")).examine().facts;
    assert_eq!(facts.taken_at.unwrap().local.micros(), HARBOUR + 500_000);
    assert_noted(&facts, "capture time dropped");
}

#[test]
fn the_files_last_change_is_not_its_capture() {
    assert_eq!(
        Exif::default()
            .main(0x132, text("2019:07:04 18:03:00"))
            .examine()
            .facts
            .taken_at,
        None
    );
}

#[test]
fn broken_positions_are_dropped_with_a_note() {
    let whole = [(38, 1), (42, 1), (0, 1)];
    for (latitude, longitude, why) in [
        (vec![(0, 0), (0, 0), (0, 0)], whole.to_vec(), "not a number"),
        (whole.to_vec(), vec![(9, 1), (8, 1), (5, 0)], "not a number"),
        (
            vec![(91, 1), (0, 1), (0, 1)],
            whole.to_vec(),
            "not on the earth",
        ),
        (
            whole.to_vec(),
            vec![(u32::MAX, 1), (0, 1), (0, 1)],
            "not on the earth",
        ),
        (vec![(0, 1); 3], vec![(0, 1); 3], "without a fix"),
    ] {
        let facts = Exif::default()
            .position(&latitude, &longitude)
            .examine()
            .facts;
        assert_eq!(facts.place, None);
        assert_noted(&facts, why);
    }
    let no_hemisphere = Exif::default()
        .gps(2, rationals(&whole))
        .gps(4, rationals(&whole))
        .examine()
        .facts;
    assert_eq!(no_hemisphere.place, None);
    assert_noted(&no_hemisphere, "incomplete");
}

#[test]
fn a_position_given_in_floating_point_is_checked_too() {
    let float = |number: f64| Value(12, 1, number.to_be_bytes().to_vec());
    let exif = |latitude| {
        Exif::default()
            .gps(1, text("S"))
            .gps(2, float(latitude))
            .gps(3, text("W"))
            .gps(4, float(70.5))
    };
    let place = exif(33.25).examine().facts.place.unwrap();
    assert_eq!((place.latitude(), place.longitude()), (-33.25, -70.5));
    for absurd in [f64::NAN, f64::INFINITY, 1e300] {
        assert_eq!(exif(absurd).examine().facts.place, None);
    }
}

#[test]
fn altitudes_have_a_sign_and_bounds() {
    let at = |metres, below| {
        let exif = Exif::default().position(&[(31, 1)], &[(35, 1)]);
        exif.gps(5, byte(below))
            .gps(6, rationals(&[metres]))
            .examine()
            .facts
    };
    assert_eq!(at((4302, 10), 1).place.unwrap().altitude, Some(-430.2));
    let absurd = at((u32::MAX, 1), 0);
    assert_eq!(absurd.place.as_ref().unwrap().altitude, None);
    assert_noted(&absurd, "altitude dropped");
    assert_eq!(at((1, 0), 0).place.unwrap().altitude, None);
}

#[test]
fn impossible_exposures_are_dropped_with_a_note() {
    let facts = Exif::default()
        .exif(0x829a, rationals(&[(1, 0)]))
        .exif(0x829d, rationals(&[(28, 10)]))
        .exif(0x8827, short(65_535))
        .exif(0x8833, Value(4, 1, 102_400_u32.to_be_bytes().to_vec()))
        .exif(0x920a, rationals(&[(0, 1)]))
        .examine()
        .facts;
    let exposure = facts.exposure.clone().unwrap();
    assert_eq!((exposure.seconds, exposure.aperture), (None, Some(2.8)));
    assert_eq!((exposure.iso, exposure.focal_mm), (Some(102_400), None));
    assert_noted(&facts, "exposure time dropped");
}

#[test]
fn names_are_cleaned() {
    let facts = Exif::default()
        .main(0x10f, text("  FUJIFILM \r\n"))
        .main(0x110, text(&"\u{202e}X".repeat(900)))
        .exif(0xa434, text("\u{1}\u{2}"))
        .examine()
        .facts;
    let camera = facts.camera.unwrap();
    assert_eq!(
        (camera.make.as_deref(), camera.lens),
        (Some("FUJIFILM"), None)
    );
    assert_eq!(camera.model.unwrap(), "X".repeat(100));
}

#[test]
fn the_type_is_told_by_content() {
    for (bytes, media_type, kind) in [
        (&b"%PDF-1.7\n"[..], "application/pdf", Kind::Other),
        (b"dear diary\n", "text/plain", Kind::Other),
        ("naïve – 日本語".as_bytes(), "text/plain", Kind::Other),
        (b"<?xml version=\"1.0\"?>\n<svg xmlns=''/>", "image/svg+xml", Kind::Other),
        (b"<!DOCTYPE html><p>", "text/html", Kind::Other),
        (b"", "application/octet-stream", Kind::Other),
        (b"\0\x01\x02\x03", "application/octet-stream", Kind::Other),
        (b"PK\x03\x04rest", "application/zip", Kind::Other),
        (b"RIFF\0\0\0\0AVI LIST", "video/x-msvideo", Kind::Video),
        (b"\0\0\0\x14ftypM4A \0\0\0\0isom", "audio/mp4", Kind::Other),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "image/heic", Kind::Photo),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "image/heic", Kind::Photo),
        (b"II*\0\x10\0\0\0CR\x02\0", "image/x-canon-cr2", Kind::Photo),
        (b"\x1aE\xdf\xa3\x01\0\0\0\0\0\0\x1f\x42\x82\x84webm\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", "video/webm", Kind::Video),
    ] {
        let examined = examine(bytes);
        assert_eq!((examined.facts.media_type.as_str(), examined.facts.kind), (media_type, kind));
        assert_eq!(examined.facts.undecodable, kind == Kind::Photo);
        assert_eq!(examined.thumbnail, None);
    }
}

#[test]
fn a_raw_file_in_a_tiffs_clothes_is_recognised() {
    let nikon = Exif::default()
        .main(0xfe, Value(4, 1, vec![0, 0, 0, 1]))
        .main(0x10f, text("NIKON CORPORATION"));
    let facts = examine(&nikon.block()).facts;
    assert_eq!(
        (facts.media_type.as_str(), facts.undecodable),
        ("image/x-nikon-nef", true)
    );
    let dng = Exif::default().main(0xc612, Value(1, 4, vec![1, 4, 0, 0]));
    assert_eq!(examine(&dng.block()).facts.media_type, "image/x-adobe-dng");
}

#[test]
fn what_cannot_be_opened_is_still_answered() {
    let examined = media::examine(std::path::Path::new("/nowhere/at/all"));
    assert_eq!(examined.facts.media_type, "application/octet-stream");
    assert_noted(&examined.facts, "could not be read");
    assert_noted(
        &media::examine(&std::env::temp_dir()).facts,
        "could not be read",
    );
}
