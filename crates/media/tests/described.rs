//! What is read out of files written by others is what exiftool reads out of them.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may fail"
)]

mod support;

use media::{Decoder, Described, Examined, Origin, Told};
use model::file::{Source, TakenAt};
use serde_json::Value;
use support::*;

fn expected() -> Value {
    serde_json::from_slice(&std::fs::read(fixture("expected.json")).unwrap()).unwrap()
}

fn examined(name: &str) -> Examined {
    media::examine(&fixture(name))
}

fn described(name: &str) -> Described {
    examined(name).described
}

/// A time as exiftool writes it.
fn written(taken: &TakenAt) -> String {
    let micros = taken.local.micros();
    let (seconds, rest) = (micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000));
    let (days, clock) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Days into a date, by counting.
    let (mut year, mut left) = (1970, days);
    let leap = |year: i64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    while left >= 365 + i64::from(leap(year)) {
        left -= 365 + i64::from(leap(year));
        year += 1;
    }
    let lengths = [
        31,
        28 + i64::from(leap(year)),
        31,
        30,
        31,
        30,
        31,
        31,
        30,
        31,
        30,
        31,
    ];
    let mut month = 0;
    while left >= lengths[month] {
        left -= lengths[month];
        month += 1;
    }
    let fraction = if rest == 0 {
        String::new()
    } else {
        format!(".{:03}", rest / 1000)
    };
    let offset = taken.offset_min.map_or(String::new(), |offset| {
        let sign = if offset < 0 { '-' } else { '+' };
        format!("{sign}{:02}:{:02}", offset.abs() / 60, offset.abs() % 60)
    });
    format!(
        "{year:04}:{:02}:{:02} {:02}:{:02}:{:02}{fraction}{offset}",
        month + 1,
        left + 1,
        clock / 3600,
        clock / 60 % 60,
        clock % 60
    )
}

fn near(ours: Option<f64>, theirs: &Value) -> bool {
    match (ours, theirs.as_f64()) {
        (Some(ours), Some(theirs)) => (ours - theirs).abs() < 1e-6 * theirs.abs().max(1.0),
        (ours, theirs) => ours == theirs,
    }
}

#[test]
fn every_fixture_says_what_exiftool_says() {
    let expected = expected();
    let files = expected["files"].as_object().unwrap();
    assert!(files.len() > 30);
    for (name, wanted) in files {
        if name == "sidecar.xmp" {
            continue;
        }
        let facts = examined(name).facts;
        let same = |key: &str, ours: Option<f64>| {
            // What exiftool computes, it computes from EXIF alone.
            let xmp = key.replace("Composite", "XMP");
            let theirs = [key, &xmp].map(|key| &wanted[key]);
            let theirs = theirs.into_iter().find(|value| !value.is_null());
            let theirs = theirs.unwrap_or(&Value::Null);
            assert!(
                near(ours, theirs),
                "{name}: {key} is {theirs:?}, and we read {ours:?}"
            );
        };
        let place = facts.place.as_ref();
        same("Composite:GPSLatitude", place.map(|place| place.latitude()));
        same(
            "Composite:GPSLongitude",
            place.map(|place| place.longitude()),
        );
        same(
            "Composite:GPSAltitude",
            place.and_then(|place| place.altitude),
        );
        let exposure = facts.exposure.as_ref();
        same(
            "EXIF:ExposureTime",
            exposure.and_then(|exposure| exposure.seconds),
        );
        same(
            "EXIF:FNumber",
            exposure.and_then(|exposure| exposure.aperture),
        );
        same(
            "EXIF:FocalLength",
            exposure.and_then(|exposure| exposure.focal_mm),
        );
        same(
            "EXIF:ISO",
            exposure.and_then(|exposure| exposure.iso).map(f64::from),
        );
        let camera = facts.camera.unwrap_or_default();
        for (key, film, ours) in [
            ("EXIF:Make", "QuickTime:Make", camera.make),
            ("EXIF:Model", "QuickTime:Model", camera.model),
            ("EXIF:LensModel", "", camera.lens),
        ] {
            let wanted = wanted[key].as_str().or(wanted[film].as_str());
            assert_eq!(ours.as_deref(), wanted, "{name}: {key}");
        }
        let time = [
            "Composite:SubSecDateTimeOriginal",
            "Composite:DateTimeOriginal",
            "QuickTime:CreationDate",
            "QuickTime:CreateDate",
        ];
        let time = time.iter().find_map(|key| wanted[key].as_str());
        let time = time.filter(|time| !time.starts_with("1904"));
        assert_eq!(
            facts.taken_at.as_ref().map(written).as_deref(),
            time,
            "{name}"
        );
    }
}

#[test]
fn every_fixture_has_the_size_that_exiftool_says_turned_as_it_is_shown() {
    for (name, wanted) in expected()["files"].as_object().unwrap() {
        let Some(size) = wanted["Composite:ImageSize"].as_str() else {
            continue;
        };
        let size: Vec<u32> = size.split(' ').map(|side| side.parse().unwrap()).collect();
        let facts = examined(name).facts;
        let turned = facts
            .orientation
            .is_some_and(|orientation| orientation >= 5)
            || wanted["Composite:Rotation"] == 90;
        let ours = [facts.width.unwrap(), facts.height.unwrap()];
        let shown = if turned {
            [size[1], size[0]]
        } else {
            [size[0], size[1]]
        };
        assert_eq!(ours, shown, "{name}");
    }
}

#[test]
fn the_properties_of_heif_pictures_say_how_they_are_turned() {
    for orientation in 1..=8 {
        let facts = examined(&format!("turned{orientation}.avif")).facts;
        assert_eq!(facts.orientation, Some(orientation));
        let sides = if orientation < 5 { (48, 32) } else { (32, 48) };
        assert_eq!((facts.width, facts.height), (Some(sides.0), Some(sides.1)));
    }
}

fn told(value: &Option<Told<String>>) -> (&str, Origin) {
    let told = value.as_ref().unwrap();
    (&told.value, told.origin)
}

fn values(told: &[Told<String>]) -> Vec<&str> {
    told.iter().map(|told| told.value.as_str()).collect()
}

#[test]
fn xmp_is_the_same_in_every_container() {
    for name in ["xmp.jpg", "xmp.png", "xmp.webp", "xmp.tiff", "xmp.heic"] {
        let examined = examined(name);
        let said = &examined.described;
        assert_eq!(
            told(&said.title),
            ("A day at the beach", Origin::Xmp),
            "{name}"
        );
        let text = "Sun, sea\nand sand — Größe";
        assert_eq!(told(&said.description), (text, Origin::Xmp), "{name}");
        let tags = ["Family/Children", "Places/UK/London", "beach", "sun & sea"];
        assert_eq!(values(&said.tags), tags, "{name}");
        // Rex is a pet.
        assert_eq!(values(&said.people), ["Jane Doe", "John Roe"], "{name}");
        assert_eq!(said.rating.as_ref().unwrap().value, 4, "{name}");
        let location = &said.location.as_ref().unwrap().value;
        assert_eq!(location.city.as_deref(), Some("London"), "{name}");
        assert_eq!(
            location.country.as_deref(),
            Some("United Kingdom"),
            "{name}"
        );
        assert_eq!(
            examined.facts.taken_at.unwrap().source,
            Source::Xmp,
            "{name}"
        );
        assert_eq!(examined.facts.place.unwrap().source, Source::Xmp, "{name}");
    }
}

#[test]
fn iptc_is_read_from_resources_and_from_tags() {
    for name in ["iptc.jpg", "iptc.tiff"] {
        let said = described(name);
        assert_eq!(told(&said.title), ("Old title", Origin::Iptc), "{name}");
        assert_eq!(
            told(&said.description),
            ("Old caption", Origin::Iptc),
            "{name}"
        );
        assert_eq!(values(&said.tags), ["beach", "archive"], "{name}");
        let location = said.location.unwrap().value;
        assert_eq!(location.country.as_deref(), Some("England"), "{name}");
    }
}

#[test]
fn of_several_tellers_the_one_of_the_guidelines_counts() {
    let said = described("all.jpg");
    assert_eq!(told(&said.title), ("A day at the beach", Origin::Xmp));
    assert_eq!(told(&said.description), ("From EXIF", Origin::Exif));
    assert_eq!(said.rating.as_ref().unwrap().value, 4);
    assert_eq!(said.taken_at.as_ref().unwrap().origin, Origin::Exif);
    assert_eq!(said.place.as_ref().unwrap().origin, Origin::Exif);
    let tags = [
        "Family/Children",
        "Places/UK/London",
        "windows",
        "beach",
        "sun & sea",
        "archive",
    ];
    assert_eq!(values(&said.tags), tags);
}

#[test]
fn a_sidecar_goes_before_the_file() {
    let sidecar = media::sidecar(&std::fs::read(fixture("sidecar.xmp")).unwrap());
    assert_eq!(sidecar.notes, Vec::<String>::new());
    let both = described("all.jpg").under(sidecar.described);
    assert_eq!(told(&both.title), ("Beside", Origin::Sidecar));
    assert_eq!(told(&both.description), ("From EXIF", Origin::Exif));
    assert_eq!(both.rating.as_ref().unwrap().value, 5);
    assert_eq!(
        written(&both.taken_at.unwrap().value),
        "2020:02:02 02:02:02.500-03:30"
    );
    assert_eq!(values(&both.tags)[..2], ["Places/France", "later"]);
    assert_eq!(
        media::sidecar(b"no XMP at all").described,
        Described::default()
    );
}

#[test]
fn what_cannot_be_shown_names_what_would_show_it() {
    for (name, needs) in [
        ("exif.heic", Decoder::Libheif),
        ("exif.avif", Decoder::Libheif),
        ("clock.mp4", Decoder::Ffmpeg),
    ] {
        let examined = examined(name);
        assert_eq!(
            (examined.thumbnail, examined.needs),
            (None, Some(needs)),
            "{name}"
        );
        let error = media::thumbnail(&fixture(name), 256)
            .unwrap_err()
            .to_string();
        assert!(error.contains(&needs.to_string()), "{error}");
    }
    assert_eq!(examined("exif.jpg").needs, None);
}

#[test]
fn raw_files_are_shown_as_their_camera_showed_them() {
    for (name, media_type, size, colours) in [
        (
            "preview.nef",
            "image/x-nikon-nef",
            (4040, 6064),
            [GREEN, YELLOW, RED, BLUE],
        ),
        (
            "preview.raf",
            "image/x-fuji-raf",
            (480, 320),
            [YELLOW, BLUE, GREEN, RED],
        ),
        (
            "preview.rw2",
            "image/x-panasonic-rw2",
            (320, 480),
            [BLUE, RED, YELLOW, GREEN],
        ),
    ] {
        let examined = examined(name);
        let facts = &examined.facts;
        assert_eq!(facts.media_type, media_type);
        assert_eq!(
            (facts.width.unwrap(), facts.height.unwrap()),
            size,
            "{name}"
        );
        assert!(
            !facts.undecodable && facts.notes.is_empty(),
            "{name}: {:?}",
            facts.notes
        );
        let seen = read_quadrants(&examined.thumbnail.unwrap());
        for (seen, wanted) in seen.into_iter().zip(colours) {
            assert!(is_near(seen, wanted), "{name}: {seen:?} is not {wanted:?}");
        }
        let large =
            image::load_from_memory(&media::thumbnail(&fixture(name), 400).unwrap()).unwrap();
        assert_eq!(large.width().max(large.height()), 400, "{name}");
    }
}

#[test]
fn wide_colours_come_out_as_srgb() {
    let wanted: Vec<u8> = expected()["colours"]["p3"]
        .as_array()
        .unwrap()
        .iter()
        .map(|channel| u8::try_from(channel.as_u64().unwrap()).unwrap())
        .collect();
    for name in ["p3.jpg", "p3.png"] {
        let thumbnail = examined(name).thumbnail.unwrap();
        let picture = image::load_from_memory(&thumbnail).unwrap().into_rgb8();
        let seen = picture.get_pixel(20, 20).0;
        let differs = seen
            .iter()
            .zip(&wanted)
            .map(|(seen, wanted)| seen.abs_diff(*wanted))
            .max();
        assert!(differs.unwrap() <= 4, "{name}: {seen:?} is not {wanted:?}");
    }
}
