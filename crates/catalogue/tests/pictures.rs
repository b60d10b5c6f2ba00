//! What files tell of themselves and what is learnt about their pictures later.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails where it stands"
)]

mod common;

use catalogue::{HistoryKind, Outcome, Refusal};
use common::{Fixture, by, described as add, edit, home, id, look, preview, set_state};
use model::file::{Change, Source, State};
use model::{BlobId, Height, Payload};

#[test]
fn what_a_file_tells_stands_until_a_person_says_otherwise() {
    let mut fixture = Fixture::new();
    fixture.apply_one(add("x", None, None));
    let file = fixture.file("x");
    assert_eq!(
        (file.title.as_deref(), file.sources.title),
        (Some("x"), Source::Xmp)
    );
    assert_eq!(
        (file.rating, file.sources.rating),
        (Some(4), Source::Sidecar)
    );
    assert_eq!(
        (file.tags, file.sources.tags),
        (vec!["beach".to_owned()], Source::Xmp)
    );
    assert_eq!(
        (file.people, file.location.as_deref()),
        (vec!["Jane".to_owned()], Some("Lyme Regis"))
    );
    let cleared = vec![Change::Title(None), Change::Tags(vec!["mine".to_owned()])];
    fixture.apply_one(edit("x", None, cleared));
    let file = fixture.file("x");
    assert_eq!((file.title, file.sources.title), (None, Source::User));
    assert_eq!(
        (file.tags, file.sources.tags),
        (vec!["mine".to_owned()], Source::User)
    );
    // Uploaded again: what is stored wins.
    fixture.apply_one(add("x", None, None));
    assert_eq!(fixture.file("x").title, None);
}

#[test]
fn a_files_word_may_be_outdone_and_a_persons_may_not() {
    let mut fixture = Fixture::new();
    fixture.apply_one(add("x", None, Some("libheif")));
    let title = |title: &str| Change::Title(Some(title.into()));
    let changes = vec![title("rule"), Change::AddTag("sea".into())];
    fixture.apply_one(by(Source::Rule, "x", changes));
    let file = fixture.file("x");
    assert_eq!(file.title.as_deref(), Some("rule"), "the file's word");
    assert_eq!(file.tags, ["beach", "sea"]);
    let sources = (file.sources.title, file.sources.rating, file.sources.tags);
    let mixed = Source::User;
    assert_eq!(sources, (Source::Rule, Source::Sidecar, mixed));
    let changes = vec![title("mine"), Change::RemoveTag("BEACH".into())];
    fixture.apply_one(edit("x", None, changes));
    assert_eq!(fixture.file("x").sources.tags, Source::Rule);
    // What is learnt of the picture, a rule and another upload change nothing of it.
    fixture.apply_one(look("x", None));
    let changes = vec![title("rule"), Change::AddTag("beach".into())];
    fixture.apply_one(by(Source::Rule, "x", changes));
    fixture.apply_one(add("x", None, None));
    let file = fixture.file("x");
    assert_eq!(file.title.as_deref(), Some("mine"));
    assert_eq!(
        (file.sources.title, file.tags),
        (Source::User, vec!["sea".to_owned()])
    );
    let history = fixture.reader().history(&home(), &id("x")).unwrap();
    let of = |field: &str| {
        let changes = history[0].changes.iter();
        let mut found = changes.filter(|change| change.field == field);
        found.next().map(|change| change.source)
    };
    let told = [Some(Source::Xmp), Some(Source::Xmp), Some(Source::Sidecar)];
    assert_eq!([of("title"), of("tags"), of("rating")], told);
}

#[test]
fn the_first_look_is_believed_and_ends_the_waiting() {
    let mut fixture = Fixture::new();
    fixture.apply(vec![
        add("x", None, Some("libheif")),
        add("y", None, Some("ffmpeg")),
    ]);
    let waiting = |fixture: &Fixture, needs| {
        let waiting = fixture.reader().waiting(needs, None, 10).unwrap();
        waiting
            .into_iter()
            .map(|waiting| waiting.file)
            .collect::<Vec<_>>()
    };
    assert_eq!(waiting(&fixture, "libheif"), [id("x")]);
    let seen = fixture.apply_one(look("x", None));
    assert!(matches!(seen, Outcome::FileEdited { .. }));
    fixture.apply_one(look("x", Some("too late")));
    let file = fixture.file("x");
    assert_eq!((file.version, file.needs, file.width), (2, None, Some(40)));
    assert_eq!(file.perceptual_hash.as_deref(), Some("0000000000000005"));
    assert!(!file.undecodable && file.notes.is_empty());
    fixture.apply_one(look("y", Some("cut off")));
    let broken = fixture.file("y");
    assert!(broken.undecodable && broken.needs.is_none());
    assert_eq!(broken.notes, ["cut off"]);
    assert_eq!(waiting(&fixture, "ffmpeg"), []);
    let history = fixture.reader().history(&home(), &id("x")).unwrap();
    assert_eq!(
        history.last().map(|entry| entry.kind),
        Some(HistoryKind::Pictured)
    );
    let nobody = fixture.apply_one(look("z", None));
    assert!(matches!(
        nobody,
        Outcome::Refused {
            code: Refusal::FileNotFound,
            ..
        }
    ));
}

#[test]
fn hashes_are_those_of_files_outside_the_trash_in_the_order_of_their_ids() {
    let mut fixture = Fixture::new();
    let contents = ["a", "b", "c", "d"];
    fixture.apply(
        contents
            .map(|content| add(content, Some(u64::MAX), None))
            .to_vec(),
    );
    fixture.apply_one(set_state("b", State::Trashed));
    fixture.apply_one(set_state("c", State::Archived));
    let found = |fixture: &Fixture| {
        let hashes = fixture.reader().hashes(&home()).unwrap();
        hashes
            .into_iter()
            .map(|hashed| hashed.file)
            .collect::<Vec<BlobId>>()
    };
    let mut expected = ["a", "c", "d"].map(id);
    expected.sort();
    assert_eq!(found(&fixture), expected);
    fixture.apply_one(set_state("b", State::Live));
    assert_eq!(found(&fixture).len(), 4);
}

#[test]
fn a_clients_picture_must_exist_as_long_as_its_file_and_no_longer() {
    let mut fixture = Fixture::new();
    fixture.apply_one(add("x", None, None));
    let before = fixture.reader().height().unwrap().unwrap();
    fixture.apply_one(preview("picture", "x"));
    let reader = fixture.reader();
    let picture = id("picture");
    assert!(reader.is_named(&picture).unwrap());
    let at = reader.height().unwrap().unwrap();
    let new = reader.named_since(before, 10).unwrap();
    assert_eq!(
        new.iter()
            .map(|new| (new.named.blob, new.height, new.first))
            .collect::<Vec<_>>(),
        [(picture, at, true)]
    );
    assert_eq!(reader.newest_named(at).unwrap(), at);
    let page = reader.named(None, at, 10).unwrap();
    assert!(
        page.named
            .iter()
            .any(|named| (named.blob, named.size) == (picture, 7))
    );
    let earlier = reader.named(None, before, 10).unwrap();
    assert!(!earlier.named.iter().any(|named| named.blob == picture));
    drop(reader);
    assert_eq!(fixture.file("x").preview, Some(picture.to_string()));
    fixture.apply_one(preview("another", "x"));
    assert!(
        !fixture.reader().is_named(&picture).unwrap(),
        "it was replaced"
    );
    let commands = fixture.reader().commands_naming(&home(), &id("x")).unwrap();
    assert_eq!(commands.len(), 3);
    fixture.apply_one(Payload::Purge(commands));
    let reader = fixture.reader();
    assert!(!reader.is_named(&id("another")).unwrap());
    let mut remains: Vec<BlobId> = reader
        .remains()
        .unwrap()
        .into_iter()
        .map(|(blob, _)| blob)
        .collect();
    remains.sort();
    let mut expected = ["x", "another"].map(id);
    expected.sort();
    assert_eq!(remains, expected);
    assert!(reader.height().unwrap() > Some(Height(0)));
}
