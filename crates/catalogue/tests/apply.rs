//! What each command does to the catalogue, and that nothing but the commands decides it.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails where it stands"
)]

mod common;

use catalogue::{ApplyError, Catalogue, HistoryKind, Outcome, Presence, Refusal};
use common::*;
use model::file::{Change, Metadata, Place, Source, State};
use model::{Digest, Payload, Scope, TokenId, UploadId, UploadStep, limits};
use proptest::prelude::*;
use serde_json::json;

#[test]
fn a_new_file_has_every_key_of_the_contract() {
    let mut fixture = Fixture::new();
    let mut photo = new("IMG_1.jpg")
        .taken("2019-07-04T18:03:00.123")
        .place(51.5, -0.1);
    photo.facts.thumbhash = vec![1, 2, 3];
    let outcome = fixture.apply_one(photo.add("one"));
    let file = fixture.file("one");
    assert_eq!(
        outcome,
        Outcome::FileAdded {
            file: Box::new(file.clone())
        }
    );
    assert_eq!(
        serde_json::to_value(file).unwrap(),
        json!({
            "id": id("one").to_string(), "library": "home", "size": 3, "mediaType": "image/jpeg",
            "kind": "photo", "name": "IMG_1.jpg", "names": ["IMG_1.jpg"], "title": null,
            "description": null, "tags": [], "rating": null, "favourite": false,
            "takenAt": {"local": "2019-07-04T18:03:00.123", "offset": null, "source": "exif"},
            "place": {"lat": 51.5, "lon": -0.1, "altitude": null, "name": null, "source": "exif"},
            "camera": null, "exposure": null, "width": null, "height": null, "orientation": null,
            "durationMs": null, "thumbhash": "AQID", "fields": {}, "albums": [], "state": "live",
            "addedAt": "2023-11-14T22:13:21.000000Z", "addedBy": "0101010101010101", "version": 1,
            "undecodable": false, "notes": [],
            "sources": {"title": "user", "description": "user", "tags": "user", "rating": "user"},
            "people": [], "location": null, "needs": null, "perceptualHash": null, "preview": null,
        })
    );
}

#[test]
fn a_file_met_again_takes_new_names_and_tags_only() {
    let mut fixture = Fixture::new();
    let mut first = new("a.jpg").tags(&["beach"]);
    first.metadata.title = Some("First".into());
    fixture.apply_one(first.clone().add("x"));
    let mut second = new("b.jpg").tags(&["sea", "beach"]);
    second.metadata.title = Some("Second".into());
    let outcome = fixture.apply_one(second.clone().add("x"));
    let file = fixture.file("x");
    assert_eq!(
        outcome,
        Outcome::FileKnown {
            file: Box::new(file.clone())
        }
    );
    assert_eq!(
        (file.name.as_str(), file.title.as_deref()),
        ("a.jpg", Some("First"))
    );
    assert_eq!(file.names, ["a.jpg", "b.jpg"]);
    assert_eq!(file.tags, ["beach", "sea"]);
    assert_eq!(file.version, 2);
    fixture.apply_one(second.add("x"));
    assert_eq!(fixture.file("x").version, 2, "nothing new, no new version");
}

#[test]
fn what_lies_in_the_trash_stays_there_untouched_unless_restored() {
    let mut fixture = Fixture::new();
    fixture.apply(vec![new("a").add("x"), set_state("x", State::Trashed)]);
    let outcome = fixture.apply_one(new("b").tags(&["t"]).add("x"));
    let trashed = fixture.file("x");
    assert_eq!(
        outcome,
        Outcome::FileKnown {
            file: Box::new(trashed.clone())
        }
    );
    assert_eq!(
        (trashed.state, trashed.version, trashed.names.len()),
        (State::Trashed, 2, 1)
    );
    fixture.apply_one(new("b").tags(&["t"]).restore().add("x"));
    let restored = fixture.file("x");
    assert_eq!((restored.state, restored.version), (State::Live, 3));
    assert_eq!((restored.names.len(), restored.tags.len()), (2, 1));
}

#[test]
fn an_edit_of_another_version_is_stale_and_does_nothing() {
    let mut fixture = Fixture::new();
    fixture.apply_one(new("a").add("x"));
    let title = |text: &str| vec![Change::Title(Some(text.into()))];
    let first = fixture.apply_one(edit("x", Some(1), title("one")));
    assert!(matches!(first, Outcome::FileEdited { .. }));
    let second = fixture.apply_one(edit("x", Some(1), title("two")));
    assert_eq!(second, Outcome::Stale { current: 2 });
    let same = fixture.apply_one(edit("x", Some(2), title("one")));
    assert!(matches!(same, Outcome::FileEdited { file } if file.version == 2));
    let any = fixture.apply_one(edit("x", None, title("three")));
    assert!(matches!(any, Outcome::FileEdited { file } if file.version == 3));
    let nowhere = fixture.apply_one(edit("y", None, title("four")));
    assert_eq!(refusal(&nowhere), Refusal::FileNotFound);
}

#[test]
fn the_users_word_wins_over_the_camera_for_ever() {
    let mut fixture = Fixture::new();
    let photo = new("a").taken("2019-01-01T00:00:00").place(1.0, 2.0);
    fixture.apply_one(photo.clone().add("x"));
    let corrected = Change::TakenAt(Some(taken("2020-02-02T00:00:00", Source::Exif)));
    fixture.apply_one(edit("x", None, vec![corrected, Change::Place(None)]));
    let file = fixture.file("x");
    assert_eq!(file.taken_at.unwrap().source, Source::User);
    assert_eq!(file.place, None);
    fixture.apply_one(photo.add("x"));
    let file = fixture.file("x");
    assert_eq!(file.taken_at.unwrap().local, "2020-02-02T00:00:00");
    assert_eq!(
        file.place, None,
        "cleared by a person, not filled again by the bytes"
    );
    assert_eq!(fixture.names("taken:2019"), Vec::<String>::new());
    assert_eq!(fixture.names("taken:2020"), ["a"]);
    assert_eq!(fixture.names("has:gps"), Vec::<String>::new());
}

#[test]
fn metadata_that_breaks_a_rule_is_refused_and_changes_nothing() {
    let mut fixture = Fixture::new();
    fixture.apply_one(new("a").add("x"));
    let before = fixture.reader().file(&home(), &id("x")).unwrap();
    let tall = {
        let mut place = Place::new(0.0, 0.0, Source::User).unwrap();
        place.altitude = Some(1e9);
        place
    };
    let mut far = taken("2020-01-01T00:00:00", Source::User);
    far.offset_min = Some(15 * 60);
    let changes = [
        Change::Name(String::new()),
        Change::Name("n".repeat(1025)),
        Change::Title(Some("t".repeat(1025))),
        Change::Description(Some("d".repeat(65_537))),
        Change::Tags(vec!["a//b".into()]),
        Change::Tags(vec!["t".repeat(256)]),
        Change::Tags((0..1001).map(|n| n.to_string()).collect()),
        Change::Rating(Some(6)),
        Change::TakenAt(Some(far)),
        Change::Place(Some(tall)),
    ];
    for change in changes {
        let fine = Change::Favourite(true);
        let outcome = fixture.apply_one(edit("x", None, vec![fine, change]));
        assert_eq!(refusal(&outcome), Refusal::InvalidMetadata);
    }
    let metadata = Metadata {
        rating: Some(9),
        ..Metadata::default()
    };
    let outcome = fixture.apply_one(
        common::New {
            metadata,
            ..new("b")
        }
        .add("y"),
    );
    assert_eq!(refusal(&outcome), Refusal::InvalidMetadata);
    assert_eq!(fixture.reader().file(&home(), &id("x")).unwrap(), before);
    assert_eq!(fixture.reader().file(&home(), &id("y")).unwrap(), None);
}

#[test]
fn names_are_text_whatever_they_look_like() {
    let mut fixture = Fixture::new();
    for (content, name) in [
        ("a", "../../etc/passwd"),
        ("b", "x\u{202E}gpj.exe"),
        ("c", "nul\0\n"),
    ] {
        fixture.apply_one(new(name).add(content));
        assert_eq!(fixture.file(content).name, name);
    }
    assert_eq!(fixture.names("passwd"), ["../../etc/passwd"]);
}

#[test]
fn history_says_when_who_what_and_whose_word() {
    let mut fixture = Fixture::new();
    fixture.apply_one(new("a").taken("2019-01-01T00:00:00").add("x"));
    let noon = Change::TakenAt(Some(taken("2019-01-01T12:00:00", Source::User)));
    fixture.apply(vec![
        edit("x", None, vec![noon]),
        set_state("x", State::Archived),
    ]);
    fixture.apply_one(new("b").add("x"));
    fixture.apply_one(edit("x", None, vec![Change::Favourite(false)]));
    let history = fixture.reader().history(&home(), &id("x")).unwrap();
    let kinds: Vec<_> = history
        .iter()
        .map(|entry| (entry.kind, entry.version))
        .collect();
    assert_eq!(
        kinds,
        [
            (HistoryKind::Added, 1),
            (HistoryKind::Edited, 2),
            (HistoryKind::Edited, 3),
            (HistoryKind::AddedAgain, 4)
        ]
    );
    let second = serde_json::to_value(&history[1]).unwrap();
    assert_eq!(
        second,
        json!({
            "height": 2, "index": 0, "time": "2023-11-14T22:13:22.000000Z",
            "actor": "0101010101010101", "user": null, "kind": "edited", "operation": null, "version": 2,
            "changes": [{
                "field": "takenAt",
                "from": {"local": "2019-01-01T00:00:00", "offset": null, "source": "exif"},
                "to": {"local": "2019-01-01T12:00:00", "offset": null, "source": "user"},
                "source": "user",
            }],
        })
    );
    assert_eq!(history[2].changes[0].from, json!("live"));
    assert_eq!((history[2].height, history[2].index), (2, 1));
    assert_eq!(fixture.reader().history(&home(), &id("y")).unwrap(), []);
}

#[test]
fn tokens_are_created_found_and_revoked_but_never_the_last_administrator() {
    let mut fixture = Fixture::new();
    let token = TokenId([2; 8]);
    let create = |scope| Payload::CreateToken {
        token,
        secret: Digest::of(&[b"s"]),
        name: "phone".into(),
        scope,
    };
    assert_eq!(
        fixture.apply_one(create(Scope::Write)),
        Outcome::TokenCreated { token }
    );
    assert_eq!(
        refusal(&fixture.apply_one(create(Scope::Admin))),
        Refusal::TokenExists
    );
    let known = fixture.reader().token(token).unwrap().unwrap();
    assert_eq!((known.scope, known.revoked), (Scope::Write, false));
    assert_eq!(known.secret, Digest::of(&[b"s"]));
    let revoke = |token| Payload::RevokeToken { token };
    assert_eq!(
        refusal(&fixture.apply_one(revoke(ADMIN))),
        Refusal::LastAdmin
    );
    assert_eq!(
        fixture.apply_one(revoke(token)),
        Outcome::TokenRevoked { token }
    );
    assert_eq!(
        fixture.apply_one(revoke(token)),
        Outcome::TokenRevoked { token }
    );
    assert!(fixture.reader().token(token).unwrap().unwrap().revoked);
    let unknown = fixture.apply_one(revoke(TokenId([9; 8])));
    assert_eq!(refusal(&unknown), Refusal::TokenNotFound);
    let ids: Vec<TokenId> = fixture
        .reader()
        .tokens()
        .unwrap()
        .iter()
        .map(|token| token.id)
        .collect();
    assert_eq!(ids, [ADMIN, token]);
    assert_eq!(fixture.reader().token(TokenId([9; 8])).unwrap(), None);
}

#[test]
fn a_blob_is_known_to_who_put_it_for_a_day_and_to_all_once_a_file_names_it() {
    let mut fixture = Fixture::new();
    let (other, blob) = (TokenId([2; 8]), id("x"));
    let create = Payload::CreateToken {
        token: other,
        secret: Digest([0; 32]),
        name: "other".into(),
        scope: Scope::Write,
    };
    let put = || Payload::PutBlob { blob, size: 1 };
    let outcomes = fixture.apply(vec![create, put(), put()]);
    assert_eq!(outcomes[1], Outcome::BlobPut { blob, size: 1 });
    assert_eq!(outcomes[2], Outcome::BlobKnown { blob, size: 1 });
    let may = |fixture: &Fixture, token| fixture.reader().may_read_blob(token, &blob).unwrap();
    assert_eq!((may(&fixture, ADMIN), may(&fixture, other)), (true, false));
    assert_eq!(
        fixture.reader().blob(&blob).unwrap().unwrap().put_by,
        [ADMIN]
    );

    let height = fixture.catalogue.next_height().0;
    fixture
        .catalogue
        .apply(&[block_at(height, START + SECOND + DAY, vec![])])
        .unwrap();
    assert!(may(&fixture, ADMIN), "exactly a day later it is still kept");
    fixture
        .catalogue
        .apply(&[block_at(height + 1, START + SECOND + DAY + 1, vec![])])
        .unwrap();
    assert!(!may(&fixture, ADMIN));
    assert_eq!(fixture.reader().blob(&blob).unwrap(), None);

    fixture.apply_one(new("a").add("x"));
    assert!(may(&fixture, ADMIN) && may(&fixture, other) && !may(&fixture, TokenId([9; 8])));
    assert_eq!(
        fixture.apply_one(put()),
        Outcome::BlobKnown { blob, size: 1 }
    );
    assert_eq!(
        fixture.reader().blob(&blob).unwrap().unwrap().libraries,
        [home()]
    );
}

#[test]
fn the_outcome_of_a_keyed_command_is_kept_as_it_was_for_a_day() {
    let mut fixture = Fixture::new();
    let outcomes = fixture.apply_commands(vec![
        keyed("k1", new("a").place(51.123_456_789_012_34, 0.1).add("x")),
        command(new("b").add("y")),
        keyed("k2", edit("nothing", None, vec![])),
    ]);
    fixture.apply_one(edit("x", None, vec![Change::Title(Some("later".into()))]));
    let reader = fixture.reader();
    assert_eq!(
        reader.outcome(at(1, 0)).unwrap().as_ref(),
        Some(&outcomes[0])
    );
    assert_eq!(reader.outcome(at(1, 1)).unwrap(), None);
    assert_eq!(
        reader.outcome(at(1, 2)).unwrap().as_ref(),
        Some(&outcomes[2])
    );
    let height = fixture.catalogue.next_height().0;
    fixture
        .catalogue
        .apply(&[block_at(height, START + 2 * DAY, vec![])])
        .unwrap();
    assert_eq!(reader.outcome(at(1, 0)).unwrap(), None);
}

#[test]
fn check_tells_present_from_trashed_from_missing_in_order() {
    let mut fixture = Fixture::new();
    fixture.apply(vec![
        new("a").add("a"),
        new("b").add("b"),
        set_state("b", State::Trashed),
        new("c").add("c"),
        set_state("c", State::Archived),
    ]);
    let asked = ["c", "nothing", "b", "a"].map(id);
    assert_eq!(
        fixture.reader().check(&home(), &asked).unwrap(),
        [
            Presence::Present,
            Presence::Missing,
            Presence::Trashed,
            Presence::Present
        ]
    );
    let private = "private".parse().unwrap();
    assert_eq!(
        fixture.reader().check(&private, &[id("a")]).unwrap(),
        [Presence::Missing]
    );
}

#[test]
fn tags_are_counted_with_what_is_below_them() {
    let mut fixture = Fixture::new();
    fixture.apply(vec![
        new("a").tags(&["places/uk", "Cat"]).add("a"),
        new("b")
            .tags(&["places/uk/London", "cat", "places/uk"])
            .add("b"),
        new("c").tags(&["cat"]).add("c"),
        set_state("c", State::Trashed),
    ]);
    let tags = fixture.reader().tags(&home()).unwrap();
    let tags: Vec<_> = tags
        .iter()
        .map(|t| (t.tag.as_str(), t.count, t.direct))
        .collect();
    assert_eq!(
        tags,
        [
            ("Cat", 2, 2),
            ("places/uk", 2, 2),
            ("places/uk/London", 1, 1)
        ]
    );
}

#[test]
fn commands_for_another_library_and_a_second_genesis_are_refused() {
    let mut fixture = Fixture::new();
    let mut elsewhere = command(new("a").add("a"));
    elsewhere.library = "private".parse().unwrap();
    let again = genesis().commands.remove(0).1;
    let record = command(Payload::Record(b"hello".to_vec()));
    let outcomes = fixture.apply_commands(vec![elsewhere, again, record]);
    assert_eq!(refusal(&outcomes[0]), Refusal::LibraryNotFound);
    assert_eq!(refusal(&outcomes[1]), Refusal::MisplacedGenesis);
    assert_eq!(outcomes[2], Outcome::Recorded);
}

#[test]
fn blocks_come_one_by_one_and_a_refused_run_leaves_no_trace() {
    let mut fixture = Fixture::empty();
    assert_eq!(fixture.catalogue.height(), None);
    assert_eq!(fixture.reader().digest().unwrap(), None);
    let run = [
        genesis(),
        block(1, vec![command(new("a").add("a"))]),
        block(3, vec![]),
    ];
    let error = fixture.catalogue.apply(&run).unwrap_err();
    assert!(matches!(error, ApplyError::NotNext { .. }), "{error}");
    assert_eq!(fixture.reader().height().unwrap(), None);
    assert_eq!(fixture.catalogue.apply(&[]).unwrap(), []);
    fixture.catalogue.apply(&run[..2]).unwrap();
    assert_eq!(fixture.reader().height().unwrap().unwrap().0, 1);
    let again = fixture.catalogue.apply(&run[1..2]).unwrap_err();
    assert!(matches!(again, ApplyError::NotNext { .. }));
}

#[test]
fn stats_count_files_and_bytes() {
    let mut fixture = Fixture::new();
    fixture.apply(vec![new("a").add("1234"), new("b").add("12345678")]);
    let stats = fixture.reader().stats(&home()).unwrap();
    assert_eq!((stats.files, stats.bytes), (2, 12));
}

fn any_change() -> impl Strategy<Value = Change> {
    prop_oneof![
        "[a-c]{1,2}".prop_map(Change::Name),
        prop::option::of("[a-c]{0,2}").prop_map(Change::Title),
        prop::collection::vec("[a-c](/[a-c]){0,2}", 0..3).prop_map(Change::Tags),
        prop::option::of(0..7_u8).prop_map(Change::Rating),
        any::<bool>().prop_map(Change::Favourite),
        prop::option::of(0..3_u8).prop_map(|year| Change::TakenAt(
            year.map(|year| taken(&format!("200{year}-01-01T00:00:00"), Source::User))
        )),
        prop::option::of((-5..5_i8, -5..5_i8)).prop_map(|place| Change::Place(
            place.and_then(|(lat, lon)| Place::new(lat.into(), lon.into(), Source::User))
        )),
        prop_oneof![
            Just(State::Live),
            Just(State::Archived),
            Just(State::Trashed)
        ]
        .prop_map(Change::State),
    ]
}

fn any_payload() -> impl Strategy<Value = Payload> {
    let content = "[a-d]";
    prop_oneof![
        (
            content,
            "[x-z]{1,2}",
            prop::option::of(0..3_u8),
            any::<bool>()
        )
            .prop_map(|(content, name, year, restore)| {
                let mut file = new(&name).tags(&[&name]);
                if let Some(year) = year {
                    file = file.taken(&format!("200{year}-01-01T00:00:00"));
                }
                file.restore = restore;
                file.add(&content)
            }),
        (
            content,
            prop::option::of(1..5_u64),
            prop::collection::vec(any_change(), 0..4)
        )
            .prop_map(|(content, expected, changes)| edit(&content, expected, changes)),
        content.prop_map(|content| Payload::PutBlob {
            blob: id(&content),
            size: 1
        }),
        (2..5_u8).prop_map(|n| Payload::CreateToken {
            token: TokenId([n; 8]),
            secret: Digest([n; 32]),
            name: "t".into(),
            scope: Scope::Admin,
        }),
        (1..5_u8).prop_map(|n| Payload::RevokeToken {
            token: TokenId([n; 8])
        }),
    ]
}

#[test]
fn an_upload_grows_by_the_next_bytes_alone_and_is_its_tokens() {
    let mut fixture = Fixture::new();
    let upload = UploadId([5; 16]);
    let begin = |n| {
        Payload::Upload(UploadStep::Begin {
            upload: UploadId([n; 16]),
            size: 10,
            described: "filename YQ==".into(),
        })
    };
    let part = |offset, size| {
        Payload::Upload(UploadStep::Part {
            upload,
            offset,
            size,
            blob: id("part"),
        })
    };
    let stands = |arrived, grown| Outcome::UploadStands { arrived, grown };
    let outcomes = fixture.apply(vec![
        begin(5),
        part(0, 4),
        part(0, 4),
        part(4, 0),
        part(4, 7),
        part(4, 6),
        part(10, 1),
    ]);
    assert_eq!(outcomes[0], Outcome::UploadBegun { upload });
    let stood = [
        (4, true),
        (4, false),
        (4, false),
        (4, false),
        (10, true),
        (10, false),
    ];
    for (outcome, (arrived, grown)) in outcomes[1..].iter().zip(stood) {
        assert_eq!(*outcome, stands(arrived, grown));
    }
    let parts = fixture.reader().upload_parts(upload).unwrap();
    let places: Vec<_> = parts.iter().map(|part| (part.start, part.size)).collect();
    assert_eq!(places, [(0, 4), (4, 6)]);
    assert_eq!(
        fixture.reader().upload(upload, TokenId([9; 8])).unwrap(),
        None
    );
}

#[test]
fn an_upload_that_is_over_grows_no_more() {
    let mut fixture = Fixture::new();
    let begin = |n| {
        Payload::Upload(UploadStep::Begin {
            upload: UploadId([n; 16]),
            size: 10,
            described: String::new(),
        })
    };
    let upload = UploadId([5; 16]);
    let part = Payload::Upload(UploadStep::Part {
        upload,
        offset: 0,
        size: 10,
        blob: id("part"),
    });
    fixture.apply(vec![begin(5), part.clone()]);
    let end = |n, file| {
        Payload::Upload(UploadStep::End {
            upload: UploadId([n; 16]),
            file,
        })
    };
    let outcomes = fixture.apply(vec![
        end(5, Some(id("whole"))),
        part,
        begin(6),
        end(6, None),
        end(6, None),
    ]);
    assert_eq!(outcomes[0], Outcome::UploadEnded);
    assert_eq!(
        outcomes[1],
        Outcome::UploadStands {
            arrived: 10,
            grown: false
        }
    );
    assert_eq!(outcomes[3], Outcome::UploadEnded);
    let gone = matches!(
        &outcomes[4],
        Outcome::Refused {
            code: Refusal::UploadNotFound,
            ..
        }
    );
    assert!(gone, "{:?}", outcomes[4]);
    let known = fixture.reader().upload(upload, ADMIN).unwrap().unwrap();
    assert_eq!((known.file, known.arrived), (Some(id("whole")), 10));
    // What lies about of it is told to a purge, and kept for nobody.
    let parts = fixture.reader().upload_parts(upload).unwrap();
    assert_eq!(
        parts.iter().map(|part| part.blob).collect::<Vec<_>>(),
        [id("part")]
    );
    assert!(
        fixture
            .reader()
            .is_named(&id("whole"))
            .is_ok_and(|named| !named)
    );
    assert!(
        fixture
            .reader()
            .is_named(&id("part"))
            .is_ok_and(|named| !named)
    );
}

#[test]
fn an_upload_without_news_is_given_up() {
    let mut fixture = Fixture::new();
    let upload = UploadId([5; 16]);
    let steps = vec![
        UploadStep::Begin {
            upload,
            size: 10,
            described: String::new(),
        },
        UploadStep::Part {
            upload,
            offset: 0,
            size: 4,
            blob: id("part"),
        },
    ];
    fixture.apply(steps.into_iter().map(Payload::Upload).collect());
    let height = fixture.catalogue.next_height().0;
    let life = u64::try_from(limits::UPLOAD_LIFE.as_micros()).unwrap();
    let later = |height, time| block_at(height, time, vec![]);
    fixture
        .catalogue
        .apply(&[later(height, START + SECOND + life)])
        .unwrap();
    assert!(fixture.reader().upload(upload, ADMIN).unwrap().is_some());
    fixture
        .catalogue
        .apply(&[later(height + 1, START + SECOND + life + 1)])
        .unwrap();
    assert_eq!(fixture.reader().upload(upload, ADMIN).unwrap(), None);
    assert_eq!(fixture.reader().upload_parts(upload).unwrap(), []);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Blocks applied one by one, in two uneven runs with a restart between, and rebuilt at once say the same and
    /// search the same.
    #[test]
    fn however_blocks_are_cut_into_runs_the_catalogue_is_equal(
        payloads in prop::collection::vec(
            prop::collection::vec((any_payload(), any::<bool>()), 0..5), 1..8),
        cut in 0..8_usize,
        hours in prop::collection::vec(0..20_u64, 8),
    ) {
        let mut time = START;
        let mut blocks = vec![genesis()];
        for (height, payloads) in (1..).zip(payloads) {
            time += hours[height as usize % 8] * 3600 * SECOND + 1;
            let commands = payloads.into_iter().enumerate().map(|(n, (payload, with_key))| {
                if with_key { keyed(&format!("{height}-{n}"), payload) } else { command(payload) }
            });
            blocks.push(block_at(height, time, commands.collect()));
        }
        let mut single = Fixture::empty();
        let mut outcomes = Vec::new();
        for block in &blocks {
            outcomes.extend(single.catalogue.apply(std::slice::from_ref(block)).unwrap());
        }
        let mut cut_up = Fixture::empty();
        let (head, tail) = blocks.split_at(cut.min(blocks.len()));
        let mut cut_outcomes = cut_up.catalogue.apply(head).unwrap();
        cut_up.catalogue = Catalogue::open(&cut_up.path()).unwrap();
        cut_outcomes.extend(cut_up.catalogue.apply(tail).unwrap());
        prop_assert_eq!(outcomes, cut_outcomes);

        let whole = single.reader().digest().unwrap();
        prop_assert_eq!(whole, cut_up.reader().digest().unwrap());
        for query in ["x", "tag:a", "-tag:a in:all", "has:gps in:all", "name:y* in:all", "b OR z"] {
            prop_assert_eq!(single.names(query), cut_up.names(query));
        }
    }
}
