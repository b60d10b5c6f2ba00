//! Which blobs must exist, walked in pages and told as they are named.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails where it stands"
)]

mod common;

use std::collections::BTreeSet;

use catalogue::Reader;
use common::*;
use model::file::State;
use model::{BlobId, Height, Payload, Timestamp};

fn put(content: &str) -> Payload {
    Payload::PutBlob {
        blob: id(content),
        size: content.len() as u64,
    }
}

/// The whole walk, and its number of pages.
fn walk(reader: &Reader, until: u64, limit: u32) -> (Vec<BlobId>, usize) {
    let (mut found, mut after, mut pages) = (Vec::new(), None, 0);
    loop {
        let page = reader.named(after, Height(until), limit).unwrap();
        pages += 1;
        for named in page.named {
            assert!(named.size > 0);
            found.push(named.blob);
        }
        match page.next {
            Some(next) => after = Some(next),
            None => return (found, pages),
        }
    }
}

fn sorted(contents: impl IntoIterator<Item = String>) -> Vec<BlobId> {
    let ids: BTreeSet<BlobId> = contents.into_iter().map(|content| id(&content)).collect();
    ids.into_iter().collect()
}

#[test]
fn a_walk_meets_every_blob_once_whatever_its_pages() {
    let mut fixture = Fixture::new();
    let names = |range: std::ops::Range<u32>| range.map(|n| format!("file {n}"));
    // Some are put and named, some only one of both.
    fixture.apply(names(0..60).map(|name| put(&name)).collect());
    fixture.apply(names(30..100).map(|name| new(&name).add(&name)).collect());
    let reader = fixture.reader();
    let all = sorted(names(0..100));
    for limit in [1, 2, 7, 30, 60, 99, 100, 101, 1000] {
        let (found, pages) = walk(&reader, 2, limit);
        assert_eq!(found, all, "{limit} a page");
        assert!(pages >= 50 / limit as usize, "{pages} pages of {limit}");
    }
    // What files name later is not met: it is told by height.
    assert_eq!(walk(&reader, 1, 10).0, sorted(names(0..60)));
}

#[test]
fn a_file_in_the_trash_names_its_blob_and_an_old_put_does_not() {
    let mut fixture = Fixture::new();
    fixture.apply(vec![put("put"), new("a").add("file")]);
    fixture.apply_one(set_state("file", State::Trashed));
    let reader = fixture.reader();
    assert_eq!(
        walk(&reader, 9, 10).0,
        sorted(["put", "file"].map(str::to_owned))
    );
    assert!(reader.is_named(&id("put")).unwrap() && reader.is_named(&id("file")).unwrap());
    let late = START + DAY + 9 * SECOND;
    fixture
        .catalogue
        .apply(&[block_at(3, late, vec![])])
        .unwrap();
    assert_eq!(walk(&reader, 9, 10).0, [id("file")]);
    assert!(!reader.is_named(&id("put")).unwrap());
}

#[test]
fn what_is_named_is_told_by_height() {
    let mut fixture = Fixture::new();
    fixture.apply(vec![new("a").add("one")]);
    fixture.apply(vec![put("two"), put("three")]);
    fixture.apply(vec![
        new("b").add("two"),
        new("c").add("four"),
        new("a").add("one"),
    ]);
    let reader = fixture.reader();
    let since = |above, limit| {
        let found = reader
            .named_since(Height(above), limit)
            .unwrap()
            .into_iter();
        let found = found.map(|new| (new.named.blob, new.height.0, new.first));
        found.collect::<Vec<_>>()
    };
    let (one, two, four) = (
        (id("one"), 1, true),
        (id("two"), 3, false),
        (id("four"), 3, true),
    );
    assert_eq!(since(0, 10), [one, two, four]);
    assert_eq!(since(0, 2), [one, two]);
    assert_eq!(since(1, 10), [two, four]);
    assert_eq!(since(3, 10), []);

    let newest = |until| reader.newest_named(Height(until)).unwrap().0;
    assert_eq!([0, 1, 2, 3, 9].map(newest), [0, 1, 1, 3, 3]);

    let (puts, last) = reader.puts_since(Timestamp(0)).unwrap();
    let puts: BTreeSet<BlobId> = puts.into_iter().map(|named| named.blob).collect();
    assert_eq!(puts, [id("two"), id("three")].into());
    assert_eq!(last, Timestamp(START + 2 * SECOND + DAY));
    assert_eq!(reader.puts_since(last).unwrap(), (vec![], last));
}
