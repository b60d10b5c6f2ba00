//! The rows of a catalogue are written, and a catalogue that is made of them goes on like the one they come from.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails where it stands"
)]

mod common;

use catalogue::{Catalogue, Reader, SnapshotError, build};
use common::*;
use model::file::{Change, Source, State};
use model::{
    Deed, Digest, FieldKind, FieldValue, Height, NodeId, OriginalsStep, Payload, Prune,
    SnapshotRef, SnapshotStep, Timestamp, UploadId, UploadStep,
};

fn written(reader: &Reader) -> Vec<u8> {
    let mut bytes = Vec::new();
    reader.write_rows(&mut bytes).unwrap();
    bytes
}

/// With rows in every table, and gaps between the files.
fn filled() -> Fixture {
    let mut fixture = Fixture::new();
    let add = |n: u32| {
        let file = new(&format!("picture {n}")).tags(&["a/b", "t"]);
        let file = match n % 3 {
            0 => file,
            1 => file.taken("2020-01-01T10:00:00"),
            _ => file.taken("2019-07-04T18:03:00").place(50.0, 1.0),
        };
        file.add(&format!("p{n}"))
    };
    fixture.apply((0..200).map(add).collect());
    let title = |n: u32| {
        let changes = vec![Change::Title(Some(format!("title {n}")))];
        keyed(&format!("k{n}"), edit(&format!("p{n}"), None, changes))
    };
    fixture.apply_commands((0..20).map(title).collect());
    for n in 0..10 {
        let content = format!("p{}", n * 7);
        fixture.apply(vec![set_state(&content, State::Trashed)]);
        let commands = fixture.reader().commands_naming(&home(), &id(&content));
        fixture.apply_one(Payload::Purge(commands.unwrap()));
    }
    let own = vec![
        Change::Field {
            field: 1,
            values: vec![FieldValue::Integer(7)],
        },
        Change::AddToAlbum {
            album: album(2),
            rank: None,
        },
    ];
    fixture.apply(vec![
        define("price", FieldKind::Integer),
        put_album(1, 0),
        put_album(2, 1),
        edit("p5", None, own),
        described("told", Some(9), Some("libheif")),
        preview("supplied", "told"),
        begin(1, Deed::Edit(vec![Change::AddTag("bulk".into())])),
        take(1, "p5"),
        take(1, "p6"),
    ]);
    fixture.apply(of_the_cluster());
    fixture
}

/// What changes no file.
fn of_the_cluster() -> Vec<Payload> {
    let upload = UploadId([5; 16]);
    vec![
        Payload::PutBlob {
            blob: id("put"),
            size: 3,
        },
        Payload::Upload(UploadStep::Begin {
            upload,
            size: 9,
            described: "filename YQ==".to_owned(),
        }),
        Payload::Upload(UploadStep::Part {
            upload,
            offset: 0,
            size: 4,
            blob: id("part"),
        }),
        Payload::Erased {
            purge: at(4, 0),
            node: NodeId([9; 32]),
        },
        Payload::Originals(OriginalsStep::Move {
            to: Some("az://photos/originals".to_owned()),
        }),
        Payload::Snapshot(SnapshotStep::Mark),
        Payload::Prune(Prune {
            through: Height(3),
            snapshot: SnapshotRef {
                height: Height(4),
                version: 1,
                digest: Digest([8; 32]),
            },
        }),
    ]
}

fn continued(fixture: &mut Fixture) {
    fixture.apply(vec![
        look("told", None),
        begin(2, Deed::Undo(operation(1))),
        take(2, "p6"),
        by(Source::Rule, "told", vec![Change::Title(Some("r".into()))]),
        Payload::RenameTag {
            from: "a".into(),
            to: "c".into(),
        },
    ]);
    let add = |n: u32| {
        new(&format!("later {n}"))
            .taken("2020-01-01T10:00:00")
            .tags(&["t"])
            .add(&format!("later{n}"))
    };
    fixture.apply((0..20).map(add).collect());
    let change = vec![Change::Tags(vec!["u".to_owned()])];
    fixture.apply(vec![
        edit("p1", None, change),
        Payload::Upload(UploadStep::Part {
            upload: UploadId([5; 16]),
            offset: 4,
            size: 5,
            blob: id("rest"),
        }),
        Payload::Upload(UploadStep::End {
            upload: UploadId([5; 16]),
            file: Some(id("whole")),
        }),
    ]);
    let commands = fixture.reader().commands_naming(&home(), &id("p2"));
    fixture.apply_one(Payload::Purge(commands.unwrap()));
}

#[test]
fn a_catalogue_made_of_written_rows_goes_on_like_the_first() {
    let mut first = filled();
    let held = first.reader().hold().unwrap();
    let digest = held.digest().unwrap();
    let rows = written(&held);
    // What is written meanwhile is not seen.
    let mut second = Fixture::empty();
    second.catalogue = Catalogue::open(&second.path()).unwrap();
    let place = second.folder.path().join("built.sqlite");
    build(&place, &mut rows.as_slice()).unwrap();
    second.catalogue.give_way_to(&place).unwrap();
    assert!(!place.exists());
    assert_eq!(second.catalogue.height(), first.catalogue.height());
    assert_eq!(second.reader().digest().unwrap(), digest);
    assert_eq!(written(&second.reader()), rows);

    continued(&mut first);
    continued(&mut second);
    assert_eq!(held.digest().unwrap(), digest);
    assert_eq!(written(&held), rows);
    drop(held);
    assert_eq!(
        second.reader().digest().unwrap(),
        first.reader().digest().unwrap()
    );
    for query in [
        "tag:t",
        "tag:a",
        "picture",
        "title",
        "later",
        "taken:2019",
        "field.price:7",
        "album:A1",
        "tag:c/b",
        "",
    ] {
        let found = [&first, &second].map(|fixture| {
            let page = fixture.search(query, &catalogue::Page::default());
            (page.total, page.items)
        });
        assert_eq!(found[0], found[1], "{query}");
    }
}

#[test]
fn bytes_that_are_no_rows_make_no_catalogue() {
    let rows = written(&filled().reader());
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("built.sqlite");
    let wrong: Vec<Vec<u8>> = vec![
        Vec::new(),
        rows.iter().take(rows.len() / 2).copied().collect(),
        rows.iter().chain(&[0]).copied().collect(),
        vec![99, 0, 0, 0, 0],
        vec![3, 255, 255, 255, 255],
    ];
    for bytes in wrong {
        let built = build(&place, &mut bytes.as_slice());
        assert!(matches!(
            built,
            Err(SnapshotError::Malformed | SnapshotError::Io(_) | SnapshotError::Database(_))
        ));
    }
    build(&place, &mut rows.as_slice()).unwrap();
}

#[test]
fn a_marked_height_is_vouched_for_until_a_purge() {
    let mut fixture = Fixture::new();
    fixture.apply(vec![
        new("a").add("a"),
        Payload::Snapshot(SnapshotStep::Mark),
    ]);
    let vouch = |height, node| {
        Payload::Snapshot(SnapshotStep::Vouch {
            height: Height(height),
            version: 3,
            digest: Digest([height as u8; 32]),
            node: NodeId([node; 32]),
        })
    };
    let (one, two) = (NodeId([1; 32]), NodeId([2; 32]));
    // Twice by one node, of a height without a mark, and of the block's own height.
    fixture.apply(vec![vouch(1, 1), vouch(1, 1), vouch(9, 1), vouch(2, 1)]);
    fixture.apply(vec![vouch(1, 2)]);
    let marked = fixture.reader().marked().unwrap();
    let [mark] = marked.as_slice() else {
        panic!("{marked:?}");
    };
    let digest = Digest([1; 32]);
    assert_eq!(mark.vouched, [(one, 3, digest), (two, 3, digest)]);
    assert_eq!(
        (mark.height, mark.time),
        (Height(1), Timestamp(START + SECOND))
    );
    assert!(fixture.reader().has_grown(Height(0), 1).unwrap());
    assert!(!fixture.reader().has_grown(Height(0), 2).unwrap());
    assert!(!fixture.reader().has_grown(Height(1), 1).unwrap());

    let commands = fixture.reader().commands_naming(&home(), &id("a"));
    fixture.apply_one(Payload::Purge(commands.unwrap()));
    assert!(fixture.reader().marked().unwrap().is_empty());
    // Who was slow to say it says it of nothing.
    fixture.apply(vec![vouch(1, 3)]);
    assert!(fixture.reader().marked().unwrap().is_empty());
}

#[test]
fn only_the_last_marks_are_remembered() {
    let mut fixture = Fixture::new();
    for _ in 0..9 {
        fixture.apply(vec![Payload::Snapshot(SnapshotStep::Mark)]);
    }
    let marked = fixture.reader().marked().unwrap();
    let heights: Vec<u64> = marked.iter().map(|mark| mark.height.0).collect();
    assert_eq!(heights, [9, 8, 7, 6]);
}
