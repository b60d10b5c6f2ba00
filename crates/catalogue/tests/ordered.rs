//! People's own fields put files in order, are counted, and hold places; pictures that look like another one, and who is in
//! them. All of it the same, whatever the index went through.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails where it stands"
)]

mod common;

use std::collections::BTreeMap;

use catalogue::{FacetBy, FacetKey, Limit, Page, Query, Reader, SearchError};
use common::*;
use model::file::{Change, State};
use model::{FieldDefinition, FieldKind, FieldStep, FieldValue, Payload};

/// A value, as an order compares it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Number(i64),
    Text(String),
}

const FIELDS: [&str; 5] = ["count", "price", "word", "day", "marks"];

fn list(name: &str) -> Payload {
    let definition = FieldDefinition {
        list: true,
        ..definition(name, FieldKind::Integer)
    };
    Payload::Field(FieldStep::Define {
        name: name.into(),
        definition,
    })
}

/// What file `n` has of each field. Equal values are many, and every field is missing somewhere.
fn values(n: i64) -> [Vec<FieldValue>; 5] {
    let some = |there: bool, value: FieldValue| there.then_some(value).into_iter().collect();
    let word = ["b", "A", "c", "Á"][usize::try_from(n % 4).unwrap()];
    let day = local_time(&format!("20{:02}-03-01T00:00:00", n % 30));
    let halves = f64::from(i32::try_from(n * 37 % 101 - 50).unwrap()) / 2.0;
    [
        some(n % 5 != 0, FieldValue::Integer(n * 7 % 11 - 5)),
        some(n % 7 != 0, FieldValue::Number(halves)),
        some(n % 3 != 0, FieldValue::Text(word.into())),
        some(n % 2 != 0, FieldValue::Date(day)),
        match n % 4 {
            0 => Vec::new(),
            _ => [n % 7, 10 - n % 5].map(FieldValue::Integer).into(),
        },
    ]
}

fn key(value: &FieldValue) -> Key {
    match value {
        FieldValue::Integer(number) => Key::Number(number * 2),
        #[expect(clippy::cast_possible_truncation, reason = "halves of whole numbers")]
        FieldValue::Number(number) => Key::Number((number * 2.0) as i64),
        FieldValue::Text(text) => Key::Text(text.to_lowercase()),
        FieldValue::Date(time) => Key::Number(time.micros()),
        other => panic!("{other:?}"),
    }
}

fn name(n: i64) -> String {
    format!("f{n:04}")
}

fn said(n: i64, values: [Vec<FieldValue>; 5]) -> Payload {
    let set = (1..).zip(values);
    let set = set.map(|(field, values)| Change::Field { field, values });
    edit(&name(n), None, set.collect())
}

/// So many files with fields.
fn filled(count: i64) -> Fixture {
    let mut fixture = Fixture::new();
    fixture.apply(vec![
        define("count", FieldKind::Integer),
        define("price", FieldKind::Number),
        define("word", FieldKind::Keyword),
        define("day", FieldKind::Date),
        list("marks"),
        define("spot", FieldKind::Geo),
        define("note", FieldKind::Text),
    ]);
    fixture.apply((0..count).map(|n| new(&name(n)).add(&name(n))).collect());
    fixture.apply((0..count).map(|n| said(n, values(n))).collect());
    fixture
}

/// The names of all pages.
fn paged(reader: &Reader, text: &str, limit: u32) -> Vec<String> {
    let mut page = Page {
        limit: Limit::new(limit).unwrap(),
        ..Page::default()
    };
    let query: Query = text.parse().unwrap();
    let mut names = Vec::new();
    loop {
        let found = reader.search(&home(), &query, &page).unwrap();
        names.extend(found.items.into_iter().map(|file| file.name));
        match found.next_cursor {
            Some(cursor) => page.cursor = Some(cursor),
            None => return names,
        }
    }
}

/// The order of these files by what they have of a field, told without any index.
fn expected(files: &BTreeMap<i64, [Vec<FieldValue>; 5]>, field: usize, falls: bool) -> Vec<String> {
    let mut ranked: Vec<(Option<Key>, i64)> = Vec::new();
    for (n, values) in files {
        let keys = values[field].iter().map(key);
        let counts = if falls { keys.max() } else { keys.min() };
        ranked.push((counts, *n));
    }
    // Files without a date came one after the other.
    ranked.sort_by(|one, other| {
        let order = one.cmp(other);
        let order = if falls { order.reverse() } else { order };
        one.0.is_none().cmp(&other.0.is_none()).then(order)
    });
    ranked.into_iter().map(|(_, n)| name(n)).collect()
}

#[test]
fn files_are_in_the_order_of_any_field_both_ways() {
    // Few are asked one by one, many are walked along.
    for (count, limit) in [(40, 7), (1_050, 300)] {
        let fixture = filled(count);
        let reader = fixture.reader();
        let files = (0..count).map(|n| (n, values(n))).collect();
        for (field, word) in FIELDS.iter().enumerate() {
            for (falls, sign) in [(false, ""), (true, "-")] {
                let found = paged(&reader, &format!("sort:{sign}field.{word}"), limit);
                assert_eq!(found, expected(&files, field, falls), "{sign}{word}");
            }
        }
    }
}

#[test]
fn every_node_gives_the_same_order_and_counts() {
    let mut fixture = filled(60);
    let index = fixture.catalogue.index().unwrap();
    // Slots are given to other files than on a node that begins now.
    for n in (0..60).step_by(3) {
        let moved = local_time(&format!("2020-01-{:02}T00:00:00", n % 28 + 1));
        let mut taken = taken("2020-01-01T00:00:00", model::file::Source::User);
        taken.local = moved;
        let changes = vec![Change::TakenAt(Some(taken))];
        fixture.apply_one(edit(&name(n), None, changes));
        fixture.apply_one(said(n, values(n + 1)));
    }
    let kept = Reader::sharing(&fixture.path(), index).unwrap();
    let built = fixture.reader();
    let by = FIELDS.map(|field| FacetBy::read(&format!("field.{field}")).unwrap());
    for text in ["", "field.word:a", "field.count>0 in:all"] {
        for field in FIELDS {
            let text = format!("{text} sort:-field.{field}");
            assert_eq!(paged(&kept, &text, 11), paged(&built, &text, 11), "{text}");
        }
        let count = |reader: &Reader| {
            let query = text.parse().unwrap();
            reader.facets(&home(), &query, &by, Limit::default())
        };
        assert_eq!(count(&kept).unwrap(), count(&built).unwrap(), "{text}");
    }
}

#[test]
fn a_cursor_stays_good_while_values_change() {
    let mut fixture = filled(60);
    let query: Query = "sort:field.price".parse().unwrap();
    let mut page = Page {
        limit: Limit::new(20).unwrap(),
        ..Page::default()
    };
    let first = fixture.reader().search(&home(), &query, &page).unwrap();
    let shown: Vec<String> = first.items.into_iter().map(|file| file.name).collect();
    // The last that was shown, one that was, and one that was not, change places or lose theirs.
    let mut files: BTreeMap<i64, _> = (0..60).map(|n| (n, values(n))).collect();
    let number = |name: &String| name[1..].parse::<i64>().unwrap();
    let (last, other) = (number(&shown[19]), number(&shown[3]));
    let unseen = (0..60).find(|n| !shown.contains(&name(*n))).unwrap();
    for (n, values) in [
        (last, values(0)),
        (other, values(14)),
        (unseen, values(last)),
    ] {
        fixture.apply_one(said(n, values));
        files.remove(&n);
    }
    page.cursor = first.next_cursor;
    let rest = fixture.reader().search(&home(), &query, &page).unwrap();
    let rest: Vec<String> = rest.items.into_iter().map(|file| file.name).collect();
    let right = expected(&files, 1, false);
    let right: Vec<&String> = right.iter().filter(|name| !shown.contains(name)).collect();
    let changed = [last, other, unseen].map(name);
    let rest: Vec<&String> = rest.iter().filter(|name| !changed.contains(name)).collect();
    assert_eq!(rest, right[..rest.len()]);
    assert!(rest.len() > 15);
}

#[test]
fn values_of_own_fields_are_counted_and_their_terms_find_as_many() {
    let fixture = filled(120);
    let reader = fixture.reader();
    let by = FIELDS.map(|field| FacetBy::Own(field.to_owned()));
    for text in ["", "field.count>0"] {
        let query: Query = text.parse().unwrap();
        let found = reader
            .facets(&home(), &query, &by, Limit::default())
            .unwrap();
        for (field, word) in FIELDS.iter().enumerate() {
            let mut right: BTreeMap<Key, u64> = BTreeMap::new();
            let all = (0..120).map(values);
            let positive = |values: &[Vec<FieldValue>; 5]| {
                text.is_empty() || values[0].iter().any(|value| key(value) > Key::Number(0))
            };
            for values in all.filter(positive) {
                let mut keys: Vec<Key> = values[field].iter().map(key).collect();
                keys.dedup();
                keys.into_iter()
                    .for_each(|key| *right.entry(key).or_default() += 1);
            }
            let facet = &found.facets[&format!("field.{word}")];
            assert_eq!(facet.distinct, right.len() as u64, "{word}");
            let mut counts: Vec<u64> = facet.values.iter().map(|value| value.count).collect();
            assert!(counts.is_sorted_by(|one, two| one >= two), "{word}");
            counts.sort_unstable();
            let mut right: Vec<u64> = right.into_values().collect();
            right.sort_unstable();
            assert_eq!(counts, right, "{word}");
            for value in &facet.values {
                let again: Query = format!("{text} {}", value.term).parse().unwrap();
                let total = reader
                    .search(&home(), &again, &Page::default())
                    .unwrap()
                    .total;
                assert_eq!(total, value.count, "{}", value.term);
            }
        }
    }
    let words = &found_words(&reader)["field.word"].values;
    let shown: Vec<&str> = words.iter().map(|value| value.value.as_str()).collect();
    assert!(shown.contains(&"Á") && shown.contains(&"A"), "{shown:?}");
}

fn found_words(reader: &Reader) -> BTreeMap<String, catalogue::Facet> {
    let by = [FacetBy::Own("word".into())];
    let found = reader.facets(&home(), &Query::default(), &by, Limit::default());
    found.unwrap().facets
}

#[test]
fn what_has_no_order_or_no_values_to_count_is_an_error() {
    let fixture = filled(3);
    let reader = fixture.reader();
    for text in [
        "sort:field.spot",
        "sort:field.nothing",
        "sort:-field.nothing",
    ] {
        let found = reader.search(&home(), &text.parse().unwrap(), &Page::default());
        assert!(matches!(found, Err(SearchError::OwnField { .. })), "{text}");
    }
    for field in ["spot", "note", "nothing"] {
        let by = [FacetBy::Own(field.to_owned())];
        let found = reader.facets(&home(), &Query::default(), &by, Limit::default());
        assert!(
            matches!(found, Err(SearchError::OwnField { .. })),
            "{field}"
        );
    }
    assert_eq!(FacetBy::read("field.Word"), None);
    assert_eq!(FacetBy::read("colour"), None);
    assert_eq!(
        FacetBy::read("camera"),
        Some(FacetBy::Key(FacetKey::Camera))
    );
}

#[test]
fn points_of_an_own_field_are_found_by_circle_and_box() {
    let mut fixture = filled(4);
    let spot = |n: i64, lat: f64, lon: f64| {
        let values = vec![FieldValue::Geo { lat, lon }];
        edit(&name(n), None, vec![Change::Field { field: 6, values }])
    };
    fixture.apply(vec![
        spot(0, 51.5, -0.1),
        spot(1, 51.6, -0.1),
        spot(2, 0.0, 179.95),
    ]);
    for (text, right) in [
        ("field.spot:51.5,-0.1,1km", vec!["f0000"]),
        ("field.spot:51.5,-0.1,20km", vec!["f0000", "f0001"]),
        ("field.spot:0,-179.95,20km", vec!["f0002"]),
        ("field.spot:-1,51,1,51.55", vec!["f0000"]),
        ("field.spot:170,-10,-170,10", vec!["f0002"]),
        ("-field.spot:51.5,-0.1,20km", vec!["f0002", "f0003"]),
        ("missing:field.spot", vec!["f0003"]),
    ] {
        assert_eq!(fixture.names(&format!("{text} sort:name")), right, "{text}");
    }
    for text in [
        "field.spot>51.5,-0.1,1km",
        "field.spot:51.5",
        "field.spot:51.5,-0.1",
        "field.spot:91,0,1km",
        "field.spot:0,10,1,5",
        "field.spot:51*",
    ] {
        let found = fixture
            .reader()
            .search(&home(), &text.parse().unwrap(), &Page::default());
        assert!(matches!(found, Err(SearchError::OwnField { .. })), "{text}");
    }
}

#[test]
fn pictures_that_look_like_a_file_are_found_with_who_is_in_them() {
    let mut fixture = Fixture::new();
    fixture.apply(vec![
        described("one", Some(0xff00), None),
        described("near", Some(0xff3f), None),
        described("far", Some(0xff7f), None),
        described("unknown", None, None),
        new("plain").add("plain"),
    ]);
    let found = |fixture: &Fixture, text: &str| {
        let query: Query = text.parse().unwrap();
        let found = fixture.reader().search(&home(), &query, &Page::default());
        found.map(|found| {
            let mut found: Vec<_> = found.items.iter().map(|file| file.id).collect();
            found.sort();
            found
        })
    };
    let ids = |contents: &[&str]| {
        let mut ids: Vec<_> = contents.iter().map(|content| id(content)).collect();
        ids.sort();
        ids
    };
    let like = |content: &str| format!("like:{}", id(content));
    let alike = ids(&["one", "near"]);
    assert_eq!(found(&fixture, &like("one")).unwrap(), alike);
    assert_eq!(
        found(&fixture, &like("far")).unwrap(),
        ids(&["near", "far"])
    );
    assert_eq!(found(&fixture, &like("plain")).unwrap(), ids(&[]));
    let others = format!("-{} person:jane", like("one"));
    assert_eq!(found(&fixture, &others).unwrap(), ids(&["far", "unknown"]));
    let there_is_none = found(&fixture, &like("nobody"));
    assert!(matches!(there_is_none, Err(SearchError::NoSuchFile(_))));
    // The trash is looked through when it is asked for.
    fixture.apply_one(set_state("near", State::Trashed));
    assert_eq!(found(&fixture, &like("one")).unwrap(), ids(&["one"]));
    let everywhere = format!("{} in:all", like("one"));
    assert_eq!(found(&fixture, &everywhere).unwrap(), alike);

    let with_jane = ids(&["one", "far", "unknown"]);
    for text in ["person:Jane", "person:ja*", "jane"] {
        assert_eq!(found(&fixture, text).unwrap(), with_jane, "{text}");
    }
    let by = [FacetBy::Key(FacetKey::Person)];
    let reader = fixture.reader();
    let people = reader.facets(&home(), &Query::default(), &by, Limit::default());
    let people = &people.unwrap().facets["person"];
    assert_eq!(people.values[0].term, "person:Jane");
    assert_eq!(people.values[0].count, 3);
    let suggested = reader
        .suggest(&home(), "person:J", Limit::default())
        .unwrap();
    assert_eq!(suggested.items[0].term, "person:Jane");
}
