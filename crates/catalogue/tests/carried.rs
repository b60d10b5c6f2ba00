//! What is said of files, carried from one library into another.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails where it stands"
)]

mod common;

use catalogue::{HistoryKind, Outcome, Refusal};
use common::*;
use model::carried::{Carried, CarriedWords};
use model::file::{Change, Source, State};
use model::{Digest, FieldKind, FieldStep, FieldValue, Payload};
use serde_json::{Value, json};

/// Two fields, the second retired, an album, and a file that tells of itself.
fn library() -> Fixture {
    let mut fixture = Fixture::new();
    fixture.apply(vec![
        define("price", FieldKind::Number),
        define("note", FieldKind::Text),
        Payload::Field(FieldStep::Retire {
            name: "note".into(),
        }),
        put_album(1, 0),
        described("a", None, None),
        new("b").add("b"),
    ]);
    fixture
}

fn line(fixture: &Fixture, content: &str) -> Value {
    let lines = fixture.reader().carried_files(&home(), &[id(content)]);
    lines.unwrap().remove(0).1
}

#[test]
fn what_is_carried_is_said_from_then_on_with_whose_word_it_is() {
    let mut fixture = library();
    assert!(matches!(
        fixture.apply_one(carry("a", said())),
        Outcome::FileEdited { .. }
    ));
    let expected = json!({
        "kind": "file", "id": id("a").to_string(), "size": 1,
        "name": "now.jpg", "names": ["first.jpg", "now.jpg", "a.heic"],
        "title": "A title", "description": null,
        "tags": [
            {"tag": "Places/UK", "source": "user"},
            {"tag": "sea", "source": "xmp"},
            {"tag": "robot", "source": "model"},
        ],
        "refusedTags": ["beach"], "rating": 3, "favourite": true,
        "takenAt": {"local": "2019-07-04T18:03:00.123456", "offset": null, "source": "sidecar"},
        "place": {
            "lat": "51.504106666666665", "lon": "-0.1", "altitude": "12.3", "name": null,
            "source": "exif",
        },
        "state": "archived",
        "said": {
            "name": "user", "title": "rule", "description": "user", "rating": "iptc",
            "favourite": "user", "takenAt": null, "place": null, "state": "user",
        },
        "fields": {
            "price": {"values": ["0.30000000000000004"], "source": "model"},
            "note": {"values": [], "source": "user"},
        },
        "albums": [{"album": album(1).to_string(), "position": 1}],
        "people": ["Jane"], "location": "Lyme Regis",
    });
    assert_eq!(line(&fixture, "a"), expected);
    let history = fixture.reader().history(&home(), &id("a")).unwrap();
    assert_eq!(history.last().unwrap().kind, HistoryKind::Imported);
    assert_eq!(fixture.names("tag:places in:archive"), ["now.jpg"]);
}

#[test]
fn a_line_is_written_with_its_keys_in_order_and_no_space() {
    let fixture = library();
    let text = line(&fixture, "b").to_string();
    assert!(
        text.starts_with(r#"{"albums":[],"description":null,"favourite":false,"fields":{},"id":""#),
        "{text}"
    );
    assert_eq!(
        serde_json::from_str::<Value>(&text).unwrap().to_string(),
        text
    );
}

#[test]
fn the_same_again_changes_nothing() {
    let mut fixture = library();
    fixture.apply_one(carry("a", said()));
    let (version, before) = (fixture.file("a").version, line(&fixture, "a"));
    fixture.apply_one(carry("a", said()));
    assert_eq!(fixture.file("a").version, version);
    assert_eq!(line(&fixture, "a"), before);
}

#[test]
fn what_a_person_has_said_here_stays() {
    let mut fixture = library();
    let mine = vec![
        Change::Title(Some("mine".into())),
        Change::Description(Some("mine too".into())),
        Change::AddTag("sea".into()),
        Change::AddTag("kept".into()),
        Change::RemoveTag("robot".into()),
        Change::Rating(None),
        Change::TakenAt(None),
        Change::State(State::Trashed),
        Change::Field {
            field: 1,
            values: vec![FieldValue::Number(7.0)],
        },
    ];
    fixture.apply_one(by(Source::User, "a", mine));
    fixture.apply_one(carry("a", said()));
    let now = line(&fixture, "a");
    assert_eq!(now["title"], "mine");
    assert_eq!(now["description"], "mine too");
    assert_eq!(
        (&now["rating"], &now["takenAt"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(now["state"], "trashed");
    assert_eq!(now["fields"]["price"]["values"], json!(["7.0"]));
    let tags = json!([
        {"tag": "Places/UK", "source": "user"},
        {"tag": "sea", "source": "user"},
        {"tag": "kept", "source": "user"},
    ]);
    assert_eq!(now["tags"], tags);
    assert_eq!(now["refusedTags"], json!(["beach", "robot"]));
    assert_eq!(
        (&now["name"], &now["favourite"]),
        (&json!("now.jpg"), &json!(true))
    );
}

#[test]
fn what_nobody_said_elsewhere_takes_nothing_away_that_the_file_tells() {
    let mut fixture = library();
    let silent = Carried {
        name: "a.heic".into(),
        names: vec!["a.heic".into()],
        title: None,
        tags: Vec::new(),
        refused: Vec::new(),
        rating: None,
        favourite: false,
        taken_at: None,
        place: None,
        state: State::Live,
        words: CarriedWords::default(),
        own: Vec::new(),
        albums: Vec::new(),
        people: Vec::new(),
        location: None,
        ..said()
    };
    let before = line(&fixture, "a");
    fixture.apply_one(carry("a", silent));
    let mut expected = before;
    // A tag that the file tells of and the other library did not have was renamed there.
    expected["tags"] = json!([]);
    assert_eq!(line(&fixture, "a"), expected);
}

#[test]
fn what_cannot_be_is_refused_and_changes_nothing() {
    let mut fixture = library();
    let before = line(&fixture, "a");
    let wrong = |change: fn(&mut Carried)| {
        let mut carried = said();
        change(&mut carried);
        carried
    };
    for (carried, code) in [
        (wrong(|it| it.name.clear()), Refusal::InvalidMetadata),
        (wrong(|it| it.rating = Some(6)), Refusal::InvalidMetadata),
        (
            wrong(|it| it.tags[0].value = "a//b".into()),
            Refusal::InvalidMetadata,
        ),
        (
            wrong(|it| it.names = vec!["n".into(); 101]),
            Refusal::InvalidMetadata,
        ),
        (wrong(|it| it.own[0].field = 9), Refusal::FieldNotFound),
        (
            wrong(|it| it.own[0].values = vec![FieldValue::Boolean(true)]),
            Refusal::InvalidMetadata,
        ),
        (
            wrong(|it| it.albums[0].0 = album(2)),
            Refusal::AlbumNotFound,
        ),
    ] {
        match fixture.apply_one(carry("a", carried)) {
            Outcome::Refused { code: found, .. } => assert_eq!(found, code),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(line(&fixture, "a"), before);
    assert!(matches!(
        fixture.apply_one(carry("nobody", said())),
        Outcome::Refused {
            code: Refusal::FileNotFound,
            ..
        }
    ));
}

#[test]
fn the_digest_is_the_hash_of_all_lines_and_knows_no_heights() {
    let digest = |fixture: &Fixture| fixture.reader().metadata_digest(&home()).unwrap();
    let (mut one, mut other) = (library(), library());
    one.apply_one(carry("a", said()));
    for rating in [1, 2] {
        other.apply_one(edit("a", None, vec![Change::Rating(Some(rating))]));
        other.apply_one(edit("b", None, vec![Change::Favourite(rating == 1)]));
    }
    assert_ne!(digest(&one).digest, digest(&other).digest);

    let mut text = String::new();
    let reader = one.reader();
    let definitions = reader.carried_definitions(&home()).unwrap();
    let files = reader.carried_page(&home(), None, 1).unwrap();
    let rest = reader.carried_page(&home(), Some(files[0].0), 9).unwrap();
    let files = files.into_iter().chain(rest).map(|(_, line)| line);
    for line in definitions.into_iter().chain(files) {
        text += &format!("{line}\n");
    }
    let found = digest(&one);
    assert_eq!(found.digest, Digest::of(&[text.as_bytes()]));
    assert_eq!((found.files, found.fields, found.albums), (2, 2, 1));

    // The same said elsewhere, at other heights and by other ways.
    let mut elsewhere = library();
    for _ in 0..3 {
        elsewhere.apply_one(Payload::Record(vec![1]));
    }
    elsewhere.apply_one(carry("a", said()));
    assert_eq!(digest(&elsewhere), found);
}

#[test]
fn places_in_albums_are_counted_and_kept() {
    let mut fixture = library();
    fixture.apply(vec![
        into_album("b", 1, false),
        carry("a", said()),
        new("c").add("c"),
        into_album("c", 1, false),
    ]);
    let place = |content: &str| line(&fixture, content)["albums"][0]["position"].clone();
    // Whoever was given a place stands before those who were only added, now and later.
    assert_eq!(
        [place("a"), place("b"), place("c")],
        [json!(1), json!(2), json!(3)]
    );
}
