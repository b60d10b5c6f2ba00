//! Films give when, where, how long and how large without being read.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use std::io::{Seek, SeekFrom, Write};

use model::file::Kind;
use support::*;

/// 2019-07-04T18:03:00 UTC in seconds since 1904.
const CREATED: u32 = 3_645_108_180;

fn boxed(name: &[u8; 4], body: &[u8]) -> Vec<u8> {
    [&(body.len() as u32 + 8).to_be_bytes(), &name[..], body].concat()
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

fn clock(created: u32, scale: u32, duration: u32) -> Vec<u8> {
    boxed(
        b"mvhd",
        &words(&[0, created, created, scale, duration, 0, 0, 0]),
    )
}

fn track(matrix: [u32; 4], width: u32, height: u32) -> Vec<u8> {
    let [a, b, c, d] = matrix;
    let head = [0; 10];
    let rest = [
        a,
        b,
        0,
        c,
        d,
        0,
        0,
        0,
        0x4000_0000,
        width << 16,
        height << 16,
    ];
    boxed(
        b"trak",
        &boxed(b"tkhd", &words(&[&head[..], &rest].concat())),
    )
}

const UPRIGHT: [u32; 4] = [0x1_0000, 0, 0, 0x1_0000];
const TURNED: [u32; 4] = [0, 0x1_0000, 0xffff_0000, 0];

fn film(brand: &[u8; 4], parts: &[Vec<u8>]) -> Vec<u8> {
    let first = boxed(b"ftyp", &[&brand[..], &[0; 4], brand].concat());
    [
        first,
        boxed(b"mdat", &[7; 100]),
        boxed(b"moov", &parts.concat()),
    ]
    .concat()
}

fn apple(entries: &[(&str, &str)]) -> Vec<u8> {
    let keys: Vec<u8> = entries
        .iter()
        .flat_map(|(key, _)| boxed(b"mdta", key.as_bytes()))
        .collect();
    let keys = boxed(b"keys", &[words(&[0, entries.len() as u32]), keys].concat());
    let values: Vec<u8> = (1_u32..)
        .zip(entries)
        .flat_map(|(number, (_, value))| {
            let data = boxed(b"data", &[&words(&[1, 0]), value.as_bytes()].concat());
            boxed(&number.to_be_bytes(), &data)
        })
        .collect();
    boxed(b"meta", &[keys, boxed(b"ilst", &values)].concat())
}

#[test]
fn an_mp4_says_when_and_how_long_and_how_large() {
    let place = boxed(
        b"udta",
        &boxed(b"\xa9xyz", b"\0\x16\x15\xc7+38.7077-009.1365+010.0/"),
    );
    let sound = track(UPRIGHT, 0, 0);
    let facts = examine(&film(
        b"isom",
        &[
            clock(CREATED, 600, 7500),
            sound,
            track(TURNED, 1920, 1080),
            place,
        ],
    ))
    .facts;
    assert_eq!(
        (facts.media_type.as_str(), facts.kind),
        ("video/mp4", Kind::Video)
    );
    assert_eq!(facts.duration_ms, Some(12_500));
    assert_eq!((facts.width, facts.height), (Some(1080), Some(1920)));
    let taken = facts.taken_at.unwrap();
    assert_eq!(
        (taken.local.micros(), taken.offset_min),
        (1_562_263_380_000_000, Some(0))
    );
    let place = facts.place.unwrap();
    assert_eq!(
        (place.latitude(), place.longitude(), place.altitude),
        (38.7077, -9.1365, Some(10.0))
    );
    assert_eq!((facts.notes.len(), facts.undecodable), (0, false));
}

#[test]
fn quicktime_gives_the_local_time_and_the_camera() {
    let named = apple(&[
        (
            "com.apple.quicktime.creationdate",
            "2019-07-04T20:03:00+0200",
        ),
        ("com.apple.quicktime.make", "Apple"),
        ("com.apple.quicktime.location.ISO6709", "+43.2630-002.9350/"),
    ]);
    let facts = examine(&film(b"qt  ", &[clock(CREATED, 1000, 1), named])).facts;
    assert_eq!(facts.media_type, "video/quicktime");
    let taken = facts.taken_at.unwrap();
    assert_eq!(
        (taken.local.micros(), taken.offset_min),
        (1_562_270_580_000_000, Some(120))
    );
    assert_eq!(facts.camera.unwrap().make.as_deref(), Some("Apple"));
    assert_eq!(facts.place.unwrap().altitude, None);
}

#[test]
fn an_unset_clock_is_not_a_date() {
    let facts = examine(&film(b"isom", &[clock(0, 0, 5)])).facts;
    assert_eq!((facts.taken_at, facts.duration_ms), (None, None));
    let facts = examine(&film(b"isom", &[clock(1, 1, u32::MAX)])).facts;
    assert_eq!((facts.taken_at, facts.duration_ms), (None, None));
    assert!(facts.notes[0].contains("never set"));
}

#[test]
fn a_place_off_the_earth_is_dropped_with_a_note() {
    for text in [
        "+99.0-009.1/",
        "+nan+nan/",
        "38.7-9.1",
        "+00.0000+000.0000/",
        "+1e999+1/",
        "",
    ] {
        let named = apple(&[("com.apple.quicktime.location.ISO6709", text)]);
        let facts = examine(&film(b"qt  ", &[named])).facts;
        assert_eq!(facts.place, None, "{text}");
        assert!(facts.notes[0].contains("GPS position dropped"), "{text}");
    }
}

/// The file is sparse: were it read, this test would need four gigabytes and a minute.
#[test]
fn a_film_of_four_gigabytes_is_stepped_over() {
    let mut file = file(&boxed(b"ftyp", b"isom\0\0\0\0isom"));
    let body = (4_u64 << 30) + 5;
    let header = [&words(&[1])[..], b"mdat", &(body + 16).to_be_bytes()].concat();
    file.write_all(&header).unwrap();
    file.seek(SeekFrom::Current(body as i64)).unwrap();
    file.write_all(&boxed(b"moov", &clock(CREATED, 1, 3600)))
        .unwrap();
    let facts = media::examine(file.path()).facts;
    assert_eq!(facts.duration_ms, Some(3_600_000));
    assert!(facts.taken_at.is_some());
}
