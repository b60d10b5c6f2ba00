//! Files that claim to be pictures or films.
//!
//! What was read out of a file goes into a command as it is, so its facts must have an encoding that can be read back, and
//! not be longer than a command may be.

use std::fs;
use std::path::Path;

use model::file::Facts;
use model::{Decode as _, Encode as _, limits};

use crate::Seed;

/// A file of these bytes.
///
/// # Panics
/// If a property is broken, or the machine has no room for a temporary file.
pub fn run(bytes: &[u8]) {
    let folder = Path::new("/dev/shm");
    let builder = tempfile::Builder::new();
    let file = if folder.is_dir() {
        builder.tempfile_in(folder)
    } else {
        builder.tempfile()
    };
    let file = file.expect("a temporary file can be made");
    fs::write(file.path(), bytes).expect("a temporary file can be written");
    let examined = media::examine(file.path());
    let facts = &examined.facts;
    let encoded = facts.to_bytes();
    assert!(encoded.len() < limits::COMMAND_BYTES_MAX / 4, "{facts:?}");
    assert_eq!(Facts::from_bytes(&encoded).as_ref(), Ok(facts));
    assert!(!facts.media_type.is_empty());
    assert!(!facts.undecodable || !facts.notes.is_empty(), "no reason");
    assert!(facts.orientation.is_none_or(|turn| (1..=8).contains(&turn)));
    assert!(facts.notes.len() <= 12);
    crate::sidecar::check(&examined.described);
    if let Ok(thumbnail) = media::thumbnail(file.path(), 64) {
        assert!(thumbnail.starts_with(&[0xff, 0xd8]), "a JPEG");
    }
}

/// The pictures that the tests of `media` keep.
pub fn seeds() -> Vec<Seed> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../media/tests/fixtures");
    let files = fs::read_dir(folder).expect("the tests of media keep pictures");
    let names = files.filter_map(|file| Some(file.ok()?.path()));
    let pictures = names.filter(|path| {
        path.extension()
            .is_some_and(|e| e != "md" && e != "py" && e != "json")
    });
    let mut seeds: Vec<Seed> = pictures
        .map(|path| {
            let name = path.file_name().map(|name| name.to_string_lossy());
            let bytes = fs::read(&path).expect("a picture can be read");
            Seed::new(name.expect("a file has a name"), bytes)
        })
        .collect();
    seeds.push(Seed::new("film.mp4", film()));
    seeds.sort_by(|left, right| left.name.cmp(&right.name));
    seeds
}

fn boxed(kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len() + 8).expect("small boxes");
    [&length.to_be_bytes(), &kind[..], content].concat()
}

/// A film that is all header: its type, a movie header of version 0, and a track header.
fn film() -> Vec<u8> {
    let mut movie = vec![0; 100];
    for (at, byte) in [(4, 0xe0), (8, 0xe0), (14, 3), (15, 0xe8), (18, 0x10)] {
        if let Some(place) = movie.get_mut(at) {
            *place = byte;
        }
    }
    let mut track = vec![0; 84];
    for (at, byte) in [(3, 1), (15, 1), (76, 7), (77, 0x80), (80, 4), (81, 0x38)] {
        if let Some(place) = track.get_mut(at) {
            *place = byte;
        }
    }
    let track = boxed(b"trak", &boxed(b"tkhd", &track));
    let movie = boxed(b"moov", &[boxed(b"mvhd", &movie), track].concat());
    [boxed(b"ftyp", b"isom\0\0\x02\0isomiso2mp41"), movie].concat()
}
