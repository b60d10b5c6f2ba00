//! Searches find what a plain reading of the query finds in a plain list of files, page by page.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails where it stands"
)]

mod common;

use std::collections::BTreeSet;

use catalogue::file::Word;
use catalogue::query::{
    BoundingBox, Circle, Comparison, Direction, Expr, Extent, Measure, Pattern, Polygon, Sort,
    SortBy, SortKey, Term, Uploaded, Within,
};
use catalogue::{Field, File, Limit, Page, Query, SearchError};
use common::*;
use model::file::{Camera, Change, Kind, LocalTime, Place, Source, State};
use model::{LibraryId, Payload};
use proptest::prelude::*;
use proptest::sample::select;

// ---- the plain reading ----

fn words(text: &str) -> Vec<String> {
    let plain = text.to_lowercase().replace('é', "e");
    plain
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

fn contains(value: &str, pattern: &Pattern) -> bool {
    let (have, want) = (words(value), words(&pattern.text));
    let Some((last, head)) = want.split_last() else {
        return false;
    };
    have.windows(want.len()).any(|window| {
        let (found, rest) = window.split_last().unwrap();
        let last_matches = match pattern.extent {
            Extent::Whole => found == last,
            Extent::Prefix => found.starts_with(last.as_str()),
        };
        last_matches && rest == head
    })
}

fn camera_of(file: &File) -> String {
    let camera = file.camera.as_ref();
    let parts = camera.map(|c| [c.make.clone(), c.model.clone(), c.lens.clone()]);
    parts
        .into_iter()
        .flatten()
        .flatten()
        .collect::<Vec<_>>()
        .join(" ")
}

fn text_matches(file: &File, pattern: &Pattern) -> bool {
    let place = file.place.as_ref().and_then(|place| place.name.clone());
    let mut values: Vec<String> = file.names.clone();
    values.extend(file.tags.clone());
    values.extend(file.title.clone());
    values.extend(file.description.clone());
    values.extend(place);
    values.push(camera_of(file));
    values.iter().any(|value| contains(value, pattern))
}

fn tag_matches(file: &File, pattern: &Pattern) -> bool {
    let want = pattern.text.to_lowercase();
    file.tags
        .iter()
        .map(|tag| tag.to_lowercase())
        .any(|tag| match pattern.extent {
            Extent::Whole => tag == want || tag.starts_with(&format!("{want}/")),
            Extent::Prefix => tag.starts_with(&want),
        })
}

fn taken_of(file: &File) -> Option<LocalTime> {
    file.taken_at.as_ref().map(|taken| local_time(&taken.local))
}

fn metres(lat1: f64, lon1: f64, lat2: f64, lon2: f64) -> f64 {
    let unit = |lat: f64, lon: f64| {
        let (lat, lon) = (lat.to_radians(), lon.to_radians());
        [lat.cos() * lon.cos(), lat.cos() * lon.sin(), lat.sin()]
    };
    let (a, b) = (unit(lat1, lon1), unit(lat2, lon2));
    let chord: f64 = a
        .iter()
        .zip(b)
        .map(|(a, b)| (a - b).powi(2))
        .sum::<f64>()
        .sqrt();
    2.0 * 6_371_008.8 * (chord / 2.0).asin()
}

fn in_circle(file: &File, circle: &Circle) -> bool {
    let place = file.place.as_ref();
    place.is_some_and(|p| metres(p.lat, p.lon, circle.lat, circle.lon) <= circle.radius_m)
}

fn in_box(file: &File, b: &BoundingBox) -> bool {
    file.place.as_ref().is_some_and(|p| {
        let lon = if b.west <= b.east {
            b.west <= p.lon && p.lon <= b.east
        } else {
            p.lon >= b.west || p.lon <= b.east
        };
        lon && b.south <= p.lat && p.lat <= b.north
    })
}

fn has(file: &File, field: Field) -> bool {
    let json = serde_json::to_value(file).unwrap();
    let value = match field {
        Field::Taken => &json["takenAt"],
        Field::Offset => &json["takenAt"]["offset"],
        Field::Gps => &json["place"],
        Field::Altitude => &json["place"]["altitude"],
        Field::Tag => return !file.tags.is_empty(),
        Field::Lens => &json["camera"]["lens"],
        Field::Duration => &json["durationMs"],
        other => &json[other.word()],
    };
    !value.is_null()
}

fn measured(number: Option<u64>, measure: &Measure) -> bool {
    number.is_some_and(|number| match *measure {
        Measure::Is { is, value } => match is {
            Comparison::Equal => number == value,
            Comparison::Less => number < value,
            Comparison::AtMost => number <= value,
            Comparison::More => number > value,
            Comparison::AtLeast => number >= value,
        },
        Measure::Between { from, to } => {
            (from.unwrap_or(0)..=to.unwrap_or(u64::MAX)).contains(&number)
        }
    })
}

/// Everything of the tests came on one day, some seconds after their start.
fn uploaded(file: &File, when: &Uploaded) -> bool {
    match when.to_string().as_str() {
        "1h" | "2023-11-14" => true,
        "2023-11-14T22:13:20..2023-11-14T22:13:21" => {
            file.added_at.as_str() <= "2023-11-14T22:13:22"
        }
        "..2023-11-13" => false,
        other => panic!("no plain reading of {other}"),
    }
}

/// The one area that is asked for: a square from 51 to 52 north, 1 west to 0.05 east.
fn in_area(file: &File, area: &Polygon) -> bool {
    assert_eq!(area.to_string(), "51,-1,51,0.05,52,0.05,52,-1");
    let inside = |lat: f64, lon: f64| 51.0 < lat && lat < 52.0 && -1.0 < lon && lon < 0.05;
    file.place
        .as_ref()
        .is_some_and(|place| inside(place.lat, place.lon))
}

fn meets(file: &File, expr: &Expr) -> bool {
    match expr {
        Expr::And(parts) => parts.iter().all(|part| meets(file, part)),
        Expr::Or(parts) => parts.iter().any(|part| meets(file, part)),
        Expr::Not(inner) => !meets(file, inner),
        Expr::Term(term) => match term {
            Term::Text(pattern) => text_matches(file, pattern),
            Term::Tag(pattern) => tag_matches(file, pattern),
            Term::Camera(pattern) => contains(&camera_of(file), pattern),
            Term::Person(pattern) => file.people.iter().any(|name| contains(name, pattern)),
            Term::Name(pattern) => file.names.iter().any(|name| contains(name, pattern)),
            Term::Title(pattern) => file.title.iter().any(|title| contains(title, pattern)),
            Term::Description(pattern) => {
                let text = file.description.as_ref();
                text.is_some_and(|text| contains(text, pattern))
            }
            Term::Place(pattern) => {
                let name = file.place.as_ref().and_then(|place| place.name.as_ref());
                name.is_some_and(|name| contains(name, pattern))
            }
            Term::Uploaded(when) => uploaded(file, when),
            Term::Within(area) => in_area(file, area),
            Term::Width(measure) => measured(file.width.map(u64::from), measure),
            Term::Height(measure) => measured(file.height.map(u64::from), measure),
            Term::Size(measure) => measured(Some(file.size), measure),
            Term::Duration(measure) => measured(file.duration_ms, measure),
            Term::Type(kind) => file.kind == *kind,
            Term::Taken(range) => {
                taken_of(file).is_some_and(|time| range.first() <= time && time <= range.last())
            }
            Term::After(date) => taken_of(file).is_some_and(|time| time >= date.first()),
            Term::Before(date) => taken_of(file).is_some_and(|time| time < date.first()),
            Term::Near(circle) => in_circle(file, circle),
            Term::Bbox(bounds) => in_box(file, bounds),
            Term::Has(field) => has(file, *field),
            Term::Missing(field) => !has(file, *field),
            Term::Rating { is, value } => file.rating.is_some_and(|rating| match is {
                Comparison::Equal => rating == *value,
                Comparison::Less => rating < *value,
                Comparison::AtMost => rating <= *value,
                Comparison::More => rating > *value,
                Comparison::AtLeast => rating >= *value,
            }),
            Term::Favourite(favourite) => file.favourite == *favourite,
            Term::Own(_)
            | Term::HasOwn(_)
            | Term::MissingOwn(_)
            | Term::Like(_)
            | Term::Album(_)
            | Term::InAlbum(_) => {
                unreachable!("these queries name neither field nor album")
            }
        },
    }
}

fn is_within(file: &File, within: Within) -> bool {
    match within {
        Within::Live => file.state == State::Live,
        Within::Trash => file.state == State::Trashed,
        Within::Archive => file.state == State::Archived,
        Within::All => true,
    }
}

/// What a file is ordered by: absent values last, whatever the direction.
fn sort_value(file: &File, sort: SortKey) -> (bool, i128, String) {
    let (value, text) = match sort {
        SortKey::Taken => (
            taken_of(file).map(|time| i128::from(time.micros() / 1000)),
            String::new(),
        ),
        SortKey::Added => (Some(0), file.added_at.clone()),
        SortKey::Name => (Some(0), file.name.to_lowercase()),
        SortKey::Size => (Some(i128::from(file.size)), String::new()),
        SortKey::Rating => (file.rating.map(i128::from), String::new()),
    };
    (value.is_none(), value.unwrap_or_default(), text)
}

fn assert_in_order(files: &[File], sort: Sort) {
    for pair in files.windows(2) {
        let SortBy::Key(key) = &sort.by else {
            panic!("no field here");
        };
        let (one, two) = (sort_value(&pair[0], *key), sort_value(&pair[1], *key));
        let in_order = if one.0 != two.0 {
            two.0
        } else {
            match sort.direction {
                Direction::Ascending => one <= two,
                Direction::Descending => one >= two,
            }
        };
        assert!(in_order, "{sort}: {one:?} before {two:?}");
    }
}

// ---- things to search for ----

const VOCABULARY: [&str; 8] = [
    "beach", "Ice", "cream", "café", "Cafe", "beaches", "x1", "sand",
];
const TAGS: [&str; 7] = ["a", "a/b", "a/b/c", "ab", "B", "beach", "a/Ice cream"];
const DATES: [&str; 7] = [
    "2018-12-31T23:59:59.999",
    "2019-01-01T00:00:00",
    "2019-07-04T18:03:00.123",
    "2019-07-04T18:03:00.124",
    "2020-02-29T12:00:00",
    "0001-01-01T00:00:00",
    "9999-12-31T23:59:59",
];
const PLACES: [(f64, f64); 8] = [
    (51.5, -0.1),
    (51.6, -0.1),
    (0.0, 179.95),
    (0.0, -179.95),
    (89.9, 0.0),
    (89.9, 180.0),
    (-90.0, 10.0),
    (51.5, 0.1),
];
const TERMS: [&str; 70] = [
    "description:beach",
    "description:\"ice cream\"",
    "place:cafe",
    "place:be*",
    "uploaded:1h",
    "uploaded:2023-11-14",
    "uploaded:..2023-11-13",
    "uploaded:2023-11-14T22:13:20..2023-11-14T22:13:21",
    "within:51,-1,51,0.05,52,0.05,52,-1",
    "width>=100",
    "width:10..99",
    "height<60",
    "height:60",
    "size>3",
    "size:2..3",
    "duration>1s",
    "duration:..1s",
    "duration=1500ms",
    "beach",
    "ice",
    "\"ice cream\"",
    "cream",
    "cafe",
    "café",
    "bea*",
    "\"ice cr\"*",
    "sand",
    "tag:a",
    "tag:a/b",
    "tag:A/B/C",
    "tag:b",
    "tag:a/*",
    "tag:a*",
    "tag:\"a/ice cream\"",
    "camera:pixel",
    "camera:\"Pixel 7\"",
    "camera:goo*",
    "name:x1",
    "name:beach",
    "title:ice",
    "type:photo",
    "type:video",
    "taken:2019",
    "taken:2019-07-04",
    "taken:2018..2019",
    "taken:..2018",
    "taken:2019-07-04T18:03:00.123",
    "after:2019",
    "before:2019",
    "after:2019-07-04T18:03:00.124",
    "near:51.5,-0.1,12km",
    "near:51.5,-0.1,1m",
    "near:0,180,12km",
    "near:89.9,90,30km",
    "near:-89.9,0,12km",
    "near:0,0,20000km",
    "bbox:-0.2,51.4,0.1,51.5",
    "bbox:179,-1,-179,1",
    "bbox:-180,-90,180,90",
    "has:gps",
    "missing:taken",
    "has:title",
    "missing:rating",
    "has:lens",
    "rating>=3",
    "rating:0",
    "rating<3",
    "favourite:true",
    "favourite:false",
    "missing:tag",
];

fn phrase() -> impl Strategy<Value = String> {
    prop::collection::vec(select(&VOCABULARY[..]), 1..4).prop_map(|words| words.join(" "))
}

fn any_file() -> impl Strategy<Value = common::New> {
    let facts = (
        select(vec![Kind::Photo, Kind::Video, Kind::Other]),
        prop::option::of(select(&DATES[..])),
        prop::option::of((select(&PLACES[..]), prop::option::of(phrase()))),
        prop::option::of(prop::option::of(Just("EF 50"))),
        prop::option::of((select(vec![10, 99, 100]), select(vec![59, 60]))),
        prop::option::of(select(vec![0, 1_000, 1_001, 1_500])),
    );
    let said = (
        prop::option::of(phrase()),
        prop::option::of(phrase()),
        prop::collection::vec(select(&TAGS[..]), 0..3),
        prop::option::of(0..6_u8),
        any::<bool>(),
    );
    (phrase(), facts, said).prop_map(|(name, facts, said)| {
        let mut file = new(&name).tags(&said.2);
        file.facts.kind = facts.0;
        file.facts.width = facts.4.map(|(width, _)| width);
        file.facts.height = facts.4.map(|(_, height)| height);
        file.facts.duration_ms = facts.5;
        if let Some(date) = facts.1 {
            file = file.taken(date);
        }
        file.facts.place = facts.2.map(|((lat, lon), name)| {
            let mut place = Place::new(lat, lon, Source::Exif).unwrap();
            place.name = name;
            place
        });
        file.facts.camera = facts.3.map(|lens| Camera {
            make: Some("Google".into()),
            model: Some("Pixel 7".into()),
            lens: lens.map(str::to_owned),
        });
        file.metadata.title = said.0;
        file.metadata.description = said.1;
        file.metadata.rating = said.3;
        file.metadata.favourite = said.4;
        file
    })
}

fn any_condition() -> impl Strategy<Value = String> {
    let term = select(&TERMS[..]).prop_map(str::to_owned);
    term.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 1..4).prop_map(|parts| parts.join(" ")),
            prop::collection::vec(inner.clone(), 1..4)
                .prop_map(|parts| format!("({})", parts.join(" OR "))),
            inner.prop_map(|part| format!("-({part})")),
        ]
    })
}

fn any_edit() -> impl Strategy<Value = Change> {
    prop_oneof![
        phrase().prop_map(Change::Name),
        prop::option::of(phrase()).prop_map(Change::Title),
        prop::collection::vec(select(&TAGS[..]), 0..3)
            .prop_map(|tags| Change::Tags(tags.into_iter().map(str::to_owned).collect())),
        prop::option::of(select(&DATES[..]))
            .prop_map(|date| Change::TakenAt(date.map(|date| taken(date, Source::User)))),
        prop::option::of(select(&PLACES[..])).prop_map(|place| Change::Place(
            place.and_then(|(lat, lon)| Place::new(lat, lon, Source::User))
        )),
        select(vec![State::Live, State::Archived, State::Trashed]).prop_map(Change::State),
    ]
}

fn every_page(fixture: &Fixture, query: &str, limit: u32) -> Vec<File> {
    let reader = fixture.reader();
    let query: Query = query.parse().unwrap();
    let mut page = Page {
        limit: Limit::new(limit).unwrap(),
        ..Page::default()
    };
    let mut files = Vec::new();
    loop {
        let found = reader.search(&home(), &query, &page).unwrap();
        assert!(found.items.len() <= limit as usize);
        files.extend(found.items);
        match found.next_cursor {
            Some(cursor) => page.cursor = Some(cursor),
            None => {
                assert_eq!(found.total, files.len() as u64, "{query}");
                return files;
            }
        }
    }
}

const SORTS: [&str; 11] = [
    "",
    " sort:taken",
    " sort:-taken",
    " sort:added",
    " sort:-added",
    " sort:name",
    " sort:-name",
    " sort:size",
    " sort:-size",
    " sort:rating",
    " sort:-rating",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn a_search_finds_what_a_plain_reading_finds(
        files in prop::collection::vec(any_file(), 1..25),
        edits in prop::collection::vec((0..25_usize, any_edit()), 0..15),
        queries in prop::collection::vec(
            (any_condition(), select(vec!["", " in:trash", " in:archive", " in:all"]),
             select(&SORTS[..])), 12),
        limit in 1..7_u32,
    ) {
        let mut fixture = Fixture::new();
        let count = files.len();
        let content = |n: usize| "x".repeat(n % 5 + 1) + &n.to_string();
        let added = files.into_iter().enumerate();
        fixture.apply(added.map(|(n, file)| file.add(&content(n))).collect());
        let edits = edits.into_iter().map(|(n, change)| edit(&content(n % count), None, vec![change]));
        fixture.apply(edits.collect());
        let reader = fixture.reader();
        let all: Vec<File> =
            (0..count).map(|n| reader.file(&home(), &id(&content(n))).unwrap().unwrap()).collect();
        for (condition, within, sort) in queries {
            let text = format!("{condition}{within}{sort}");
            let query: Query = text.parse().unwrap();
            let found = every_page(&fixture, &text, limit);
            assert_in_order(&found, query.sort.unwrap_or_default());
            let ids: BTreeSet<_> = found.iter().map(|file| file.id).collect();
            prop_assert_eq!(ids.len(), found.len(), "twice: {}", &text);
            let expected: BTreeSet<_> = all.iter()
                .filter(|file| is_within(file, query.within))
                .filter(|file| query.filter.as_ref().is_none_or(|expr| meets(file, expr)))
                .map(|file| file.id)
                .collect();
            prop_assert_eq!(ids, expected, "{}", &text);
        }
    }
}

// ---- sentences of the contract ----

#[test]
fn undated_files_come_last_in_both_directions() {
    let mut fixture = Fixture::new();
    fixture.apply(vec![
        new("none 1").add("1"),
        new("old").taken("0001-01-01T00:00:00").add("2"),
        new("new").taken("2020-01-01T00:00:00").add("3"),
        new("none 2").add("4"),
    ]);
    assert_eq!(fixture.names(""), ["new", "old", "none 2", "none 1"]);
    assert_eq!(
        fixture.names("sort:taken"),
        ["old", "new", "none 1", "none 2"]
    );
}

#[test]
fn trashed_and_archived_files_are_found_only_when_asked_for() {
    let mut fixture = Fixture::new();
    let files = [
        ("live", None),
        ("away", Some(State::Archived)),
        ("gone", Some(State::Trashed)),
    ];
    for (name, state) in files {
        fixture.apply(vec![new(name).tags(&["t"]).add(name)]);
        if let Some(state) = state {
            fixture.apply_one(set_state(name, state));
        }
    }
    assert_eq!(fixture.names("tag:t"), ["live"]);
    assert_eq!(fixture.names("tag:t in:archive"), ["away"]);
    assert_eq!(fixture.names("in:trash"), ["gone"]);
    assert_eq!(fixture.names("in:all").len(), 3);
    fixture.apply_one(set_state("gone", State::Live));
    assert_eq!(fixture.names("in:trash"), Vec::<String>::new());
}

#[test]
fn a_phrase_does_not_reach_from_one_name_or_tag_into_the_next() {
    let mut fixture = Fixture::new();
    fixture.apply(vec![
        new("one ice").tags(&["red", "wine"]).add("x"),
        new("cream two").add("x"),
    ]);
    assert_eq!(fixture.names("\"ice cream\""), Vec::<String>::new());
    assert_eq!(fixture.names("\"red wine\""), Vec::<String>::new());
    assert_eq!(fixture.names("ice cream red wine"), ["one ice"]);
}

#[test]
fn what_was_edited_away_is_found_no_more() {
    let mut fixture = Fixture::new();
    fixture.apply_one(new("a").tags(&["old/tag"]).add("x"));
    let edits = vec![
        Change::Title(Some("secret".into())),
        Change::TakenAt(Some(taken("2020-01-01T00:00:00", Source::User))),
    ];
    fixture.apply(vec![
        edit("x", None, edits),
        edit("x", None, vec![Change::Tags(vec![])]),
    ]);
    assert_eq!(fixture.names("secret"), ["a"]);
    fixture.apply_one(edit("x", None, vec![Change::Title(None)]));
    for gone in ["secret", "tag:old", "tag:old/tag", "old"] {
        assert_eq!(fixture.names(gone), Vec::<String>::new(), "{gone}");
    }
    assert_eq!(fixture.names("a"), ["a"]);
}

#[test]
fn a_cursor_stays_good_while_files_come_and_go() {
    let mut fixture = Fixture::new();
    let day = |n: u32| format!("2020-01-{n:02}T00:00:00");
    let file = |n: u32| {
        new(&format!("day {n:02}"))
            .taken(&day(n))
            .add(&n.to_string())
    };
    fixture.apply((1..=20).filter(|n| n % 2 == 0).map(file).collect());
    let limit = Limit::new(4).unwrap();
    let first = fixture.search(
        "day",
        &Page {
            limit,
            ..Page::default()
        },
    );
    let names = |page: &catalogue::SearchPage| -> Vec<String> {
        page.items.iter().map(|file| file.name.clone()).collect()
    };
    assert_eq!(names(&first), ["day 20", "day 18", "day 16", "day 14"]);
    // The last item goes, a newer and an older one come.
    fixture.apply(vec![set_state("14", State::Trashed), file(19), file(11)]);
    let next = fixture.search(
        "day",
        &Page {
            limit,
            cursor: first.next_cursor,
            sort: None,
        },
    );
    assert_eq!(names(&next), ["day 12", "day 11", "day 10", "day 08"]);
    assert_eq!(next.total, 11);
}

#[test]
fn a_cursor_of_another_node_works_and_one_of_another_query_does_not() {
    let mut nodes = [Fixture::new(), Fixture::new()];
    for node in &mut nodes {
        node.apply((0..10).map(|n| new("a").add(&n.to_string())).collect());
    }
    let limit = Limit::new(3).unwrap();
    let page = Page {
        limit,
        ..Page::default()
    };
    let cursor = nodes[0].search("a", &page).next_cursor;
    let after = Page { cursor, ..page };
    let here: Vec<_> = nodes[0].search("a", &after).items;
    assert_eq!(here, nodes[1].search("a", &after).items);
    let fails = |text: &str, page: &Page| {
        let query: Query = text.parse().unwrap();
        nodes[1].reader().search(&home(), &query, page).unwrap_err()
    };
    assert!(matches!(fails("b", &after), SearchError::ForeignCursor));
    assert!(matches!(
        fails("a sort:name", &after),
        SearchError::ForeignCursor
    ));
    for text in ["", "x", "AAAA", "!!", "\u{1F600}"] {
        let page = Page {
            cursor: Some(text.into()),
            ..Page::default()
        };
        assert!(matches!(fails("a", &page), SearchError::Cursor), "{text}");
    }
    let sort = Some(Sort::default());
    let twice = Page {
        sort,
        ..Page::default()
    };
    assert!(matches!(
        fails("a sort:name", &twice),
        SearchError::SortTwice
    ));
}

#[test]
fn a_library_is_searched_only_by_name_or_default() {
    let mut fixture = Fixture::new();
    fixture.apply_one(new("a").add("a"));
    assert_eq!(fixture.names("library:home"), ["a"]);
    let private: LibraryId = "private".parse().unwrap();
    let query = Query::default();
    let error = fixture
        .reader()
        .search(&private, &query, &Page::default())
        .unwrap_err();
    assert!(matches!(error, SearchError::UnknownLibrary(library) if library == private));
    assert_eq!(fixture.reader().file(&private, &id("a")).unwrap(), None);
}

#[test]
fn the_largest_queries_can_be_answered() {
    let mut fixture = Fixture::new();
    fixture.apply_one(new("a").tags(&["t"]).add("a"));
    let nested = format!("{}b{}", "-(a ".repeat(32), ")".repeat(32));
    let mixed = format!("{}b{}", "(a OR tag:t ".repeat(64), ")".repeat(64));
    let broad = "-b ".repeat(256);
    let many = "(b OR a) ".repeat(128);
    for text in [
        nested,
        mixed,
        broad,
        many,
        "tag:t* ".repeat(256),
        "near:0,0,1m OR ".repeat(255) + "a",
    ] {
        let query: Query = text.parse().unwrap();
        fixture
            .reader()
            .search(&home(), &query, &Page::default())
            .unwrap();
    }
}

#[test]
fn text_of_any_kind_is_searched_for_not_executed() {
    let mut fixture = Fixture::new();
    fixture.apply_one(new("quote \" or ' x").add("a"));
    let texts = [
        "\"a\\\" OR b\"",
        "\"name : x\"",
        "'",
        "x'; DROP TABLE files;",
        "\"NEAR(a b)\"",
        "\"a^b{c}\"",
        "tag:\"x' OR 1=1\"",
        "\"\u{0}",
    ];
    for text in texts {
        if let Ok(query) = text.parse::<Query>() {
            fixture
                .reader()
                .search(&home(), &query, &Page::default())
                .unwrap();
        }
    }
    assert_eq!(fixture.names("\"quote \\\" or\""), ["quote \" or ' x"]);
}

#[test]
fn limits_are_one_to_a_thousand() {
    assert_eq!(Limit::new(0), None);
    assert_eq!(Limit::new(1001), None);
    assert!(Limit::new(1).is_some() && Limit::new(1000).is_some());
}

#[test]
fn a_payload_without_the_catalogue_changes_no_answer() {
    let mut fixture = Fixture::new();
    fixture.apply(vec![new("a").add("a"), Payload::Record(vec![1, 2, 3])]);
    assert_eq!(fixture.names(""), ["a"]);
}
