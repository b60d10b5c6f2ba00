//! The index that the writer keeps says what one says that is built anew from the rows, and what is counted with it is
//! what the files themselves say.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails where it stands"
)]

mod common;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use catalogue::query::{BoundingBox, Expr};
use catalogue::{FacetBy, FacetKey, File, Limit, Page, Query, Reader, View};
use common::*;
use model::file::{Camera, Change, Place, Source, State};
use model::{FieldKind, FieldValue, LibraryId, Payload};
use proptest::prelude::*;
use proptest::sample::select;

const QUERIES: [&str; 14] = [
    "",
    "tag:a",
    "beach",
    "\"ice cream\"",
    "taken:2019 in:all",
    "has:gps -tag:a/b",
    "camera:google OR rating>=3",
    "in:trash",
    "name:img* size<4",
    "field.place:sea",
    "missing:field.place in:all",
    "sea OR field.place:o*",
    "album:A1",
    "-album:A2 tag:a",
];
const KEYS: [FacetKey; 11] = [
    FacetKey::Tag,
    FacetKey::Camera,
    FacetKey::Lens,
    FacetKey::Place,
    FacetKey::Person,
    FacetKey::Year,
    FacetKey::Month,
    FacetKey::Type,
    FacetKey::Rating,
    FacetKey::Favourite,
    FacetKey::State,
];

/// Everything that can be asked, as one text.
fn answers(reader: &Reader) -> Vec<String> {
    let library = home();
    let limit = Limit::default();
    let mut answers = Vec::new();
    for text in QUERIES {
        let query: Query = text.parse().unwrap();
        let page = reader.search(&library, &query, &Page::default()).unwrap();
        let facets = reader
            .facets(&library, &query, &KEYS.map(FacetBy::Key), limit)
            .unwrap();
        let timeline = reader.timeline(&library, &query).unwrap();
        answers.push(format!("{text}: {page:?} {facets:?} {timeline:?}"));
        for bucket in ["undated", "2019-07", "2019-07-04T18"] {
            let page = Page::default();
            let columns = reader.timeline_bucket(&library, &query, bucket, &page);
            answers.push(format!("{text} {bucket}: {:?}", columns.unwrap()));
        }
        for zoom in [0, 9] {
            let map = reader.map(&library, &query, &View::new(None, zoom).unwrap());
            answers.push(format!("{text} {zoom}: {:?}", map.unwrap()));
        }
    }
    for typed in ["", "a", "tag:be", "goo"] {
        let suggestions = reader.suggest(&library, typed, limit).unwrap();
        answers.push(format!("{typed}: {suggestions:?}"));
    }
    answers
}

fn any_file() -> impl Strategy<Value = (common::New, usize)> {
    let words = vec!["beach", "Ice cream", "IMG_1.jpg", "ÉTÉ", "x"];
    let said = (
        prop::option::of(select(words.clone())),
        prop::collection::vec(select(vec!["a", "A/b", "a/b/c", "beach", "B"]), 0..3),
        prop::option::of(0..6_u8),
    );
    let facts = (
        prop::option::of(select(vec![
            "2019-07-04T18:03:00",
            "2019-08-01T00:00:00",
            "0001-01-01T00:00:00",
        ])),
        prop::option::of((
            select(vec![51.5, -89.9]),
            select(vec![-0.1, 179.9]),
            prop::option::of(select(vec!["Oslo", "Bea"])),
        )),
        prop::option::of(prop::option::of(select(vec!["Wide", "Tele"]))),
    );
    (select(words), said, facts, 1..5_usize).prop_map(|(name, said, facts, length)| {
        let mut file = new(name).tags(&said.1);
        file.metadata.title = said.0.map(str::to_owned);
        file.metadata.rating = said.2;
        if let Some(date) = facts.0 {
            file = file.taken(date);
        }
        file.facts.place = facts.1.map(|(lat, lon, name)| {
            let mut place = Place::new(lat, lon, Source::Exif).unwrap();
            place.name = name.map(str::to_owned);
            place
        });
        file.facts.camera = facts.2.map(|lens| Camera {
            make: Some("Google".into()),
            model: Some("Google Pixel".into()),
            lens: lens.map(str::to_owned),
        });
        (file, length)
    })
}

/// A field, and an album in another one.
fn with_field_and_albums() -> Fixture {
    let mut fixture = Fixture::new();
    let field = define("place", FieldKind::Keyword);
    fixture.apply(vec![field, put_album(1, 0), put_album(2, 1)]);
    fixture
}

fn any_edit() -> impl Strategy<Value = Change> {
    prop_oneof![
        select(vec!["beach", "y"]).prop_map(|name| Change::Name(name.into())),
        Just(Change::Title(None)),
        Just(Change::Tags(vec!["a/new".into()])),
        Just(Change::TakenAt(Some(taken(
            "2019-07-05T00:00:00",
            Source::User
        )))),
        Just(Change::TakenAt(None)),
        Just(Change::Place(None)),
        Just(Change::Favourite(true)),
        prop::collection::vec(select(vec!["Sea", "Oslo"]), 0..2).prop_map(|values| {
            let texts = values.into_iter().map(|text| FieldValue::Text(text.into()));
            let values = texts.collect();
            Change::Field { field: 1, values }
        }),
        (1..3_u64).prop_map(|number| {
            let album = album(number);
            Change::AddToAlbum { album, rank: None }
        }),
        Just(Change::RemoveFromAlbum(album(1))),
        Just(Change::AddTag("b".into())),
        Just(Change::RemoveTag("A/B".into())),
        select(vec![State::Live, State::Archived, State::Trashed]).prop_map(Change::State),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn the_index_that_is_kept_equals_one_that_is_built_anew(
        files in prop::collection::vec(any_file(), 1..12),
        edits in prop::collection::vec((0..12_usize, any_edit()), 0..16),
        purged in prop::option::of(0..12_usize),
        begins_at in 0..3_usize,
    ) {
        let mut fixture = with_field_and_albums();
        let content = |n: usize, length: usize| "x".repeat(length) + &n.to_string();
        let lengths: Vec<usize> = files.iter().map(|(_, length)| *length).collect();
        let names: Vec<String> = (0..files.len()).map(|n| content(n, lengths[n])).collect();
        let mut index = (begins_at == 0).then(|| fixture.catalogue.index().unwrap());
        let added = files.into_iter().zip(&names).map(|((file, _), name)| file.add(name));
        fixture.apply(added.collect());
        if begins_at == 1 {
            index = Some(fixture.catalogue.index().unwrap());
        }
        for (n, change) in edits {
            fixture.apply_one(edit(&names[n % names.len()], None, vec![change]));
        }
        if let Some(n) = purged {
            let file = id(&names[n % names.len()]);
            let commands = fixture.reader().commands_naming(&home(), &file).unwrap();
            fixture.apply_one(Payload::Purge(commands));
        }
        let index = match index {
            Some(index) => index,
            None => fixture.catalogue.index().unwrap(),
        };
        let kept = Reader::sharing(&fixture.path(), index).unwrap();
        prop_assert_eq!(answers(&kept), answers(&fixture.reader()));
    }

    #[test]
    fn what_is_counted_is_what_the_files_say(
        files in prop::collection::vec(any_file(), 1..12),
        text in select(&QUERIES[..]),
    ) {
        let mut fixture = with_field_and_albums();
        let added = files.into_iter().enumerate();
        fixture.apply(added.map(|(n, (file, _))| file.add(&n.to_string())).collect());
        let query: Query = text.parse().unwrap();
        let reader = fixture.reader();
        let found = reader.search(&home(), &query, &Page::default()).unwrap().items;
        let facets = reader.facets(&home(), &query, &KEYS.map(FacetBy::Key), Limit::default()).unwrap();
        prop_assert_eq!(facets.answered.total, found.len() as u64);
        for (key, value) in [("tag", tags as fn(&File) -> Vec<String>), ("month", month), ("rating", rating)] {
            let mut expected: BTreeMap<String, u64> = BTreeMap::new();
            for value in found.iter().flat_map(value) {
                *expected.entry(value).or_default() += 1;
            }
            let counted = facets.facets[key].values.iter();
            let counted: BTreeMap<String, u64> =
                counted.map(|value| (value.value.to_lowercase(), value.count)).collect();
            prop_assert_eq!(counted, expected, "{} of {}", key, text);
        }
        // A term finds as many as were counted.
        for (_, facet) in facets.facets.iter().filter(|(key, _)| !["state", "lens"].contains(&key.as_str())) {
            for value in &facet.values {
                let term: Query = value.term.parse().unwrap();
                let both = query.filter.iter().chain(&term.filter).cloned().collect();
                let narrowed = Query { filter: Some(Expr::And(both)), ..Query::default() };
                let narrowed = Query { within: query.within, ..narrowed };
                let page = reader.search(&home(), &narrowed, &Page::default()).unwrap();
                prop_assert_eq!(page.total, value.count, "{}", narrowed);
            }
        }
        let timeline = reader.timeline(&home(), &query).unwrap();
        let counts: u64 = timeline.buckets.iter().map(|bucket| bucket.count).sum();
        prop_assert_eq!(counts, found.len() as u64);
        let located = found.iter().filter(|file| file.place.is_some()).count() as u64;
        let map = reader.map(&home(), &query, &View::new(None, 3).unwrap()).unwrap();
        prop_assert_eq!(map.located, located);
        prop_assert_eq!(map.clusters.iter().map(|cluster| cluster.count).sum::<u64>(), located);
    }
}

fn tags(file: &File) -> Vec<String> {
    let mut all = Vec::new();
    for tag in file.tags.iter().map(|tag| tag.to_lowercase()) {
        let above = tag.match_indices('/').map(|(at, _)| tag[..at].to_owned());
        all.extend(above);
        all.push(tag);
    }
    all.sort();
    all.dedup();
    all
}

fn month(file: &File) -> Vec<String> {
    let taken = file.taken_at.iter();
    taken.map(|taken| taken.local[..7].to_owned()).collect()
}

fn rating(file: &File) -> Vec<String> {
    file.rating.iter().map(ToString::to_string).collect()
}

#[test]
fn a_full_month_is_parted_into_days_and_a_full_day_into_hours() {
    let mut fixture = Fixture::new();
    let mut add = |from: usize, count: usize, local: &str| {
        let names = (from..from + count).map(|n| n.to_string());
        fixture.apply(names.map(|name| new("a").taken(local).add(&name)).collect());
    };
    add(0, 1_000, "2019-05-01T00:00:00");
    add(1_000, 900, "2019-06-30T23:59:59");
    add(2_000, 101, "2019-06-01T00:00:00");
    add(3_000, 700, "2019-07-04T18:59:59");
    add(4_000, 400, "2019-07-04T09:00:00");
    let timeline = fixture
        .reader()
        .timeline(&home(), &Query::default())
        .unwrap();
    let shown: Vec<(&str, u64)> = timeline
        .buckets
        .iter()
        .map(|bucket| (bucket.bucket.as_str(), bucket.count))
        .collect();
    let expected = [
        ("2019-07-04T18", 700),
        ("2019-07-04T09", 400),
        ("2019-06-30", 900),
        ("2019-06-01", 101),
        ("2019-05", 1_000),
    ];
    assert_eq!(shown, expected);
    for (bucket, count) in expected {
        let page = Page::default();
        let columns = fixture
            .reader()
            .timeline_bucket(&home(), &Query::default(), bucket, &page);
        assert_eq!(columns.unwrap().total, count, "{bucket}");
    }
}

#[test]
fn a_map_has_at_most_a_thousand_clusters() {
    let mut fixture = Fixture::new();
    let places = (0..50).flat_map(|n| (0..50).map(move |m| (n, m)));
    let added = places.map(|(n, m)| {
        let place = (f64::from(n) - 25.0, f64::from(m) * 3.0);
        new("a").place(place.0, place.1).add(&format!("{n} {m}"))
    });
    fixture.apply(added.collect());
    let reader = fixture.reader();
    let all = reader
        .map(&home(), &Query::default(), &View::new(None, 22).unwrap())
        .unwrap();
    assert!(
        all.clusters.len() <= 1_000 && all.zoom < 22,
        "{}",
        all.clusters.len()
    );
    assert_eq!(all.located, 2_500);
    let bounds = BoundingBox {
        west: -1.0,
        south: -25.5,
        east: 4.0,
        north: -20.5,
    };
    let part = reader
        .map(
            &home(),
            &Query::default(),
            &View::new(Some(bounds), 22).unwrap(),
        )
        .unwrap();
    assert_eq!((part.clusters.len(), part.zoom, part.located), (10, 22, 10));
    assert!(View::new(None, 23).is_none());
}

#[test]
fn a_large_result_is_paged_like_a_small_one() {
    let mut fixture = Fixture::new();
    let count = 20_500_usize;
    for start in (0..count).step_by(2_050) {
        let added = (start..start + 2_050).map(|n| {
            let month = n * 7 % 12 + 1;
            let file = new(&format!("f{:05}", n * 7_919 % count));
            let file = if n % 10 == 0 {
                file
            } else {
                file.taken(&format!("2019-{month:02}-01T00:00:00"))
            };
            file.add(&n.to_string())
        });
        fixture.apply(added.collect());
    }
    let reader = fixture.reader();
    for sort in ["taken", "-taken", "name", "-name"] {
        let query: Query = format!("sort:{sort}").parse().unwrap();
        let mut page = Page {
            limit: Limit::new(1_000).unwrap(),
            ..Page::default()
        };
        let mut keys: Vec<(bool, String)> = Vec::new();
        loop {
            let found = reader.search(&home(), &query, &page).unwrap();
            keys.extend(found.items.into_iter().map(|file| {
                match (sort.ends_with("name"), file.taken_at) {
                    (true, _) => (false, file.name),
                    (false, Some(taken)) => (false, taken.local),
                    (false, None) => (true, String::new()),
                }
            }));
            match found.next_cursor {
                Some(cursor) => page.cursor = Some(cursor),
                None => break,
            }
        }
        assert_eq!(keys.len(), count, "{sort}");
        let mut expected = keys.clone();
        expected.sort_by(|one, two| {
            let value = if sort.starts_with('-') {
                two.1.cmp(&one.1)
            } else {
                one.1.cmp(&two.1)
            };
            one.0.cmp(&two.0).then(value)
        });
        assert_eq!(keys, expected, "{sort}");
    }
}

#[test]
fn while_blocks_are_applied_every_answer_is_of_one_height() {
    let mut fixture = Fixture::new();
    let index = fixture.catalogue.index().unwrap();
    let done = AtomicBool::new(false);
    let path = fixture.path();
    std::thread::scope(|scope| {
        let reading = scope.spawn(|| {
            let reader = Reader::sharing(&path, index).unwrap();
            let mut answers = 0;
            while !done.load(Ordering::Relaxed) || answers == 0 {
                let found = reader
                    .search(&home(), &Query::default(), &Page::default())
                    .unwrap();
                // Every block adds two files.
                assert_eq!(found.total, 2 * found.height.0);
                assert_eq!(found.items.len() as u64, found.total.min(100));
                answers += 1;
            }
        });
        for n in 0..60 {
            let add = |m: usize| new("a").add(&format!("{n} {m}"));
            fixture.apply(vec![add(0), add(1)]);
        }
        done.store(true, Ordering::Relaxed);
        reading.join().unwrap();
    });
}

#[test]
fn a_library_that_is_not_there_is_not_counted() {
    let fixture = Fixture::new();
    let private: LibraryId = "private".parse().unwrap();
    let reader = fixture.reader();
    assert!(reader.timeline(&private, &Query::default()).is_err());
    assert!(reader.suggest(&private, "a", Limit::default()).is_err());
}
