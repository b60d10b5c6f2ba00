//! People's own words: fields, sources, tags renamed, operations over many files.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails where it stands"
)]

mod common;

use catalogue::bulk::Taken;
use catalogue::{Outcome, Query, Refusal, SearchError};
use common::*;
use model::file::{Change, Place, Source, State};
use model::{Deed, FieldDefinition, FieldKind, FieldStep, FieldValue, Payload};
use serde_json::json;

fn set(field: u32, values: Vec<FieldValue>) -> Change {
    Change::Field { field, values }
}

fn text(text: &str) -> FieldValue {
    FieldValue::Text(text.into())
}

fn refused(outcome: Outcome) -> Refusal {
    match outcome {
        Outcome::Refused { code, .. } => code,
        other => panic!("{other:?}"),
    }
}

fn rename_field(from: &str, to: FieldDefinition) -> Payload {
    Payload::Field(FieldStep::Define {
        name: from.into(),
        definition: to,
    })
}

/// Three files with prices 5, 150 and none, and numbers of invoices.
fn priced() -> Fixture {
    let mut fixture = Fixture::new();
    fixture.apply(vec![
        define("price", FieldKind::Number),
        define("invoice_no", FieldKind::Keyword),
        define("due", FieldKind::Date),
    ]);
    let day = |text: &str| FieldValue::Date(local_time(&format!("{text}T00:00:00")));
    fixture.apply(vec![
        new("a").add("a"),
        new("b").add("b"),
        new("c").add("c"),
        edit(
            "a",
            None,
            vec![
                set(1, vec![FieldValue::Number(5.0)]),
                set(2, vec![text("A-17")]),
            ],
        ),
        edit(
            "b",
            None,
            vec![
                set(1, vec![FieldValue::Number(150.0)]),
                set(2, vec![text("a-170")]),
                set(3, vec![day("2019-07-04")]),
            ],
        ),
    ]);
    fixture
}

#[test]
fn own_fields_are_searched_by_what_they_are() {
    let fixture = priced();
    for (query, names) in [
        ("field.price>100", vec!["b"]),
        ("field.price:5", vec!["a"]),
        ("field.price<=150 sort:name", vec!["a", "b"]),
        ("-field.price>100 sort:name", vec!["a", "c"]),
        ("field.invoice_no:a-17", vec!["a"]),
        ("field.invoice_no:A-17* sort:name", vec!["a", "b"]),
        ("field.due:2019-07", vec!["b"]),
        ("field.due>2019-07", vec![]),
        ("field.due>=2019 OR field.price:5 sort:name", vec!["a", "b"]),
        ("has:field.price missing:field.due", vec!["a"]),
        ("missing:field.price", vec!["c"]),
        ("A-170", vec!["b"]),
    ] {
        assert_eq!(fixture.names(query), names, "{query}");
    }
}

#[test]
fn a_field_that_cannot_be_asked_so_is_an_error() {
    let fixture = priced();
    for query in [
        "field.colour:red",
        "field.price:cheap",
        "field.due:soon",
        "field.invoice_no>5",
    ] {
        let query: Query = query.parse().unwrap();
        let answer = fixture
            .reader()
            .search(&home(), &query, &catalogue::Page::default());
        assert!(
            matches!(answer, Err(SearchError::OwnField { .. })),
            "{query}"
        );
    }
}

#[test]
fn a_renamed_field_keeps_its_values_and_a_retired_one_its_history() {
    let mut fixture = priced();
    fixture.apply_one(rename_field("price", definition("cost", FieldKind::Number)));
    assert_eq!(fixture.file("b").fields["cost"], json!(150.0));
    assert_eq!(fixture.file("b").version, 2, "renaming touches no file");
    assert_eq!(fixture.names("field.cost>100"), ["b"]);
    fixture.apply_one(Payload::Field(FieldStep::Retire {
        name: "cost".into(),
    }));
    assert!(!fixture.file("b").fields.contains_key("cost"));
    let late = edit("c", None, vec![set(1, vec![FieldValue::Number(1.0)])]);
    assert_eq!(refused(fixture.apply_one(late)), Refusal::InvalidMetadata);
    let history = fixture.reader().history(&home(), &id("b")).unwrap();
    assert_eq!(history[1].changes[0].field, "fields.cost");
    assert_eq!(history[1].changes[0].to, json!(150.0));
    fixture.apply_one(define("cost", FieldKind::Number));
    assert_eq!(fixture.file("b").fields["cost"], json!(150.0));
}

#[test]
fn a_field_stays_what_it_is() {
    let mut fixture = priced();
    let other = define("price", FieldKind::Text);
    assert_eq!(refused(fixture.apply_one(other)), Refusal::FieldExists);
    let taken = rename_field("price", definition("due", FieldKind::Number));
    assert_eq!(refused(fixture.apply_one(taken)), Refusal::FieldExists);
    let nothing = rename_field("colour", definition("hue", FieldKind::Text));
    assert_eq!(refused(fixture.apply_one(nothing)), Refusal::FieldNotFound);
    let nameless = define("Price!", FieldKind::Text);
    assert_eq!(
        refused(fixture.apply_one(nameless)),
        Refusal::InvalidMetadata
    );
}

#[test]
fn a_value_that_its_field_cannot_have_is_refused() {
    let mut fixture = priced();
    let colour = FieldDefinition {
        allowed: vec![text("red"), text("blue")],
        list: true,
        ..definition("colour", FieldKind::Keyword)
    };
    fixture.apply_one(rename_field("colour", colour));
    let both = edit("a", None, vec![set(4, vec![text("red"), text("blue")])]);
    fixture.apply_one(both);
    assert_eq!(fixture.file("a").fields["colour"], json!(["red", "blue"]));
    for values in [
        set(4, vec![text("green")]),
        set(1, vec![text("5")]),
        set(1, vec![FieldValue::Number(1.0), FieldValue::Number(2.0)]),
        set(9, vec![text("x")]),
    ] {
        let outcome = fixture.apply_one(edit("a", None, vec![values]));
        assert_eq!(refused(outcome), Refusal::InvalidMetadata);
    }
}

#[test]
fn a_users_word_wins_for_ever() {
    let mut fixture = priced();
    let place = || Change::Place(Place::new(1.0, 2.0, Source::User));
    let rule = |changes| by(Source::Rule, "a", changes);
    fixture.apply_one(rule(vec![
        Change::Rating(Some(2)),
        Change::AddTag("cat".into()),
        place(),
    ]));
    let file = fixture.file("a");
    assert_eq!(
        (file.rating, file.tags.clone()),
        (Some(2), vec!["cat".to_owned()])
    );
    assert_eq!(file.place.unwrap().source, Source::Rule);
    fixture.apply_one(edit(
        "a",
        None,
        vec![
            Change::Rating(None),
            Change::Place(None),
            Change::RemoveTag("Cat".into()),
            set(1, vec![]),
        ],
    ));
    fixture.apply_one(rule(vec![
        Change::Rating(Some(5)),
        place(),
        Change::AddTag("CAT".into()),
        Change::Tags(vec!["cat".into(), "dog".into()]),
        set(1, vec![FieldValue::Number(7.0)]),
    ]));
    let file = fixture.file("a");
    assert_eq!((file.rating, file.place), (None, None));
    assert_eq!(file.tags, ["dog"]);
    assert!(!file.fields.contains_key("price"));
    let history = fixture.reader().history(&home(), &id("a")).unwrap();
    let sources: Vec<Source> = history
        .iter()
        .map(|entry| entry.changes[0].source)
        .collect();
    assert_eq!(sources[2..], [Source::Rule, Source::User, Source::Rule]);
}

#[test]
fn tags_are_added_and_removed_beside_each_other() {
    let mut fixture = Fixture::new();
    fixture.apply_one(new("a").tags(&["Beach"]).add("a"));
    fixture.apply(vec![
        edit("a", None, vec![Change::AddTag("sea".into())]),
        edit(
            "a",
            None,
            vec![Change::AddTag("beach".into()), Change::AddTag("sun".into())],
        ),
        edit("a", None, vec![Change::RemoveTag("SEA".into())]),
    ]);
    assert_eq!(fixture.file("a").tags, ["Beach", "sun"]);
}

#[test]
fn a_subtree_of_tags_moves_and_merges() {
    let mut fixture = Fixture::new();
    fixture.apply(vec![
        new("a").tags(&["Places/UK/London", "x"]).add("a"),
        new("b").tags(&["places/uk", "Places/Britain"]).add("b"),
        new("c").tags(&["places/ukraine"]).add("c"),
        set_state("b", State::Trashed),
    ]);
    let renamed = fixture.apply_one(Payload::RenameTag {
        from: "places/uk".into(),
        to: "places/britain".into(),
    });
    assert_eq!(renamed, Outcome::TagRenamed);
    assert_eq!(fixture.file("a").tags, ["places/britain/London", "x"]);
    assert_eq!(fixture.file("b").tags, ["places/britain"]);
    assert_eq!(fixture.file("c").tags, ["places/ukraine"]);
    assert_eq!(fixture.names("tag:places/britain"), ["a"]);
    assert_eq!(fixture.names("tag:places/uk"), [""; 0]);
    let history = fixture.reader().history(&home(), &id("a")).unwrap();
    assert_eq!(history.last().unwrap().changes[0].field, "tags");
}

fn bulk(number: u64, deed: Deed, files: &[&str]) -> Vec<Payload> {
    let mut steps = vec![begin(number, deed)];
    steps.extend(files.iter().map(|file| take(number, file)));
    steps.push(end(number));
    steps
}

#[test]
fn an_operation_takes_each_file_once_and_can_be_taken_back() {
    let mut fixture = Fixture::new();
    fixture.apply(vec![
        new("a").tags(&["t"]).taken("2020-01-01T10:00:00").add("a"),
        new("b").tags(&["bulk"]).add("b"),
        new("c").add("c"),
    ]);
    let deed = Deed::Edit(vec![
        Change::AddTag("bulk".into()),
        Change::ShiftTaken(3_600_000_000),
        Change::Zone(Some(60)),
        Change::Title(Some("T".into())),
    ]);
    fixture.apply(bulk(1, deed, &["a", "b", "a", "c", "nothing"]));
    let file = fixture.file("a");
    assert_eq!(
        (file.version, &file.tags[..]),
        (2, &["t".to_owned(), "bulk".into()][..])
    );
    let taken = file.taken_at.unwrap();
    assert_eq!(
        (taken.local.as_str(), taken.offset.as_deref()),
        ("2020-01-01T11:00:00", Some("+01:00"))
    );
    let (counts, _) = fixture.reader().operation_counts(operation(1)).unwrap();
    assert_eq!(counts, [3, 0, 0, 0]);
    let history = fixture.reader().history(&home(), &id("a")).unwrap();
    assert_eq!(history[1].operation, Some(operation(1).to_string()));

    fixture.apply_one(edit("b", None, vec![Change::Title(Some("mine".into()))]));
    fixture.apply_one(edit("c", None, vec![Change::RemoveTag("bulk".into())]));
    fixture.apply(bulk(2, Deed::Undo(operation(1)), &["a", "b", "c"]));
    let file = fixture.file("a");
    assert_eq!((&file.tags[..], file.title), (&["t".to_owned()][..], None));
    let taken = file.taken_at.unwrap();
    assert_eq!(
        (taken.local.as_str(), taken.offset, taken.source),
        ("2020-01-01T10:00:00", None, Source::Exif)
    );
    assert_eq!(fixture.file("b").title.as_deref(), Some("mine"));
    assert_eq!(fixture.file("b").tags, ["bulk"]);
    assert_eq!(fixture.file("c").title, None);
    let odd = fixture
        .reader()
        .operation_files(operation(2), None, true, 9)
        .unwrap();
    assert_eq!(odd.len(), 1);
    assert_eq!(
        (odd[0].file, odd[0].taken, odd[0].detail.as_str()),
        (id("b"), Taken::Skipped, "title")
    );

    fixture.apply(bulk(3, Deed::Undo(operation(2)), &["a", "b", "c"]));
    assert_eq!(fixture.file("a").tags, ["t", "bulk"]);
    assert_eq!(fixture.file("c").title.as_deref(), Some("T"));
}

#[test]
fn what_is_left_of_an_operation_is_what_was_there_then_and_was_not_taken() {
    let mut fixture = Fixture::new();
    fixture.apply(vec![
        new("a").tags(&["t"]).add("a"),
        new("b").tags(&["t"]).add("b"),
        new("c").add("c"),
    ]);
    let Payload::Bulk(model::BulkStep::Begin {
        operation: of,
        deed,
        query,
        selected,
        ..
    }) = begin(1, Deed::Edit(vec![Change::RemoveTag("t".into())]))
    else {
        unreachable!()
    };
    let frozen = model::Height(1);
    fixture.apply_one(Payload::Bulk(model::BulkStep::Begin {
        operation: of,
        deed,
        query,
        frozen,
        selected,
    }));
    fixture.apply(vec![take(1, "a"), new("late").tags(&["t"]).add("late")]);
    let reader = fixture.reader();
    let open = reader.unfinished_operations().unwrap();
    assert_eq!(open.len(), 1);
    assert_eq!(
        reader.operation_rest(&open[0]).unwrap(),
        Some(vec![id("b")])
    );
    fixture.apply(vec![take(1, "b"), end(1)]);
    assert!(fixture.reader().unfinished_operations().unwrap().is_empty());
    assert_eq!(fixture.names("tag:t"), ["late"]);
}

#[test]
fn albums_lie_in_one_another_and_keep_their_order() {
    let mut fixture = Fixture::new();
    fixture.apply(vec![
        new("a").add("a"),
        new("b").add("b"),
        new("c").add("c"),
    ]);
    fixture.apply(vec![put_album(1, 0), put_album(2, 1)]);
    fixture.apply(vec![
        into_album("a", 1, false),
        into_album("b", 1, false),
        into_album("c", 2, false),
        edit(
            "b",
            None,
            vec![Change::AddToAlbum {
                album: album(1),
                rank: Some(5),
            }],
        ),
        edit(
            "a",
            None,
            vec![Change::Cover {
                album: album(1),
                at: None,
            }],
        ),
    ]);
    let reader = fixture.reader();
    let files = reader.album_files(&home(), album(1), None, 9).unwrap();
    let names: Vec<&str> = files.iter().map(|(_, file)| file.name.as_str()).collect();
    assert_eq!(names, ["b", "a"]);
    let rest = reader
        .album_files(&home(), album(1), Some((files[0].0, files[0].1.id)), 9)
        .unwrap();
    assert_eq!(rest.len(), 1);
    let known = reader.album(&home(), album(1)).unwrap().unwrap();
    assert_eq!((known.files, known.cover), (2, Some(id("a"))));
    assert_eq!(fixture.names("album:a1 sort:name"), ["a", "b", "c"]);
    assert_eq!(fixture.names("album:A2"), ["c"]);
    assert_eq!(fixture.names("-album:A2 sort:name"), ["a", "b"]);
    assert_eq!(
        refused(fixture.apply_one(put_album(1, 2))),
        Refusal::InvalidAlbum
    );
    fixture.apply_one(Payload::Album(model::AlbumStep::Delete { album: album(1) }));
    assert_eq!(fixture.file("a").albums, [""; 0]);
    let history = fixture.reader().history(&home(), &id("a")).unwrap();
    assert_eq!(history.last().unwrap().changes[0].field, "albums");
    let known = fixture.reader().albums(&home()).unwrap();
    assert_eq!((known.len(), known[0].album.parent), (1, None));
}

#[test]
fn an_album_with_a_rule_finds_its_files() {
    let mut fixture = Fixture::new();
    fixture.apply(vec![
        new("a").tags(&["t"]).add("a"),
        new("b").tags(&["u"]).add("b"),
    ]);
    fixture.apply(vec![
        rule_album(1, "tag:t"),
        rule_album(2, "album:A1 OR tag:u"),
        rule_album(3, "album:A4"),
        rule_album(4, "-album:A3"),
        rule_album(5, ""),
        rule_album(6, "tag:"),
    ]);
    assert_eq!(fixture.names("album:A1"), ["a"]);
    assert_eq!(fixture.names("album:A2 sort:name"), ["a", "b"]);
    assert_eq!(fixture.names("album:A5 -album:A1"), ["b"]);
    assert_eq!(
        refused(fixture.apply_one(into_album("a", 1, false))),
        Refusal::InvalidAlbum
    );
    assert_eq!(
        refused(fixture.apply_one(into_album("a", 9, false))),
        Refusal::AlbumNotFound
    );
    for query in ["album:A3", "album:A6", "album:Nowhere"] {
        let query: Query = query.parse().unwrap();
        let answer = fixture
            .reader()
            .search(&home(), &query, &catalogue::Page::default());
        assert!(matches!(answer, Err(SearchError::Album(_))), "{query}");
    }
}

#[test]
fn an_operation_on_albums_is_taken_back() {
    let mut fixture = Fixture::new();
    fixture.apply(vec![
        new("a").add("a"),
        put_album(1, 0),
        put_album(2, 0),
        into_album("a", 1, false),
    ]);
    let changes = vec![
        Change::AddToAlbum {
            album: album(2),
            rank: None,
        },
        Change::RemoveFromAlbum(album(1)),
    ];
    fixture.apply(bulk(1, Deed::Edit(changes), &["a"]));
    assert_eq!(fixture.file("a").albums, [album(2).to_string()]);
    fixture.apply(bulk(2, Deed::Undo(operation(1)), &["a"]));
    assert_eq!(fixture.file("a").albums, [album(1).to_string()]);
}
