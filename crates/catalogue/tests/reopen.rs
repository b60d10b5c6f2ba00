//! A catalogue that cannot be used is put aside, and the ledger fills an empty one.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails where it stands"
)]

mod common;

use std::fs;

use catalogue::{Catalogue, Reader, Unusable};
use common::*;
use rusqlite::Connection;

fn filled() -> Fixture {
    let mut fixture = Fixture::new();
    let files = (0..300).map(|n| new(&format!("file {n}")).tags(&["t"]).add(&n.to_string()));
    fixture.apply(files.collect());
    fixture
}

#[test]
fn it_opens_where_it_was() {
    let Fixture { folder, catalogue } = filled();
    drop(catalogue);
    let catalogue = Catalogue::open(&folder.path().join("catalogue.sqlite")).unwrap();
    assert_eq!(catalogue.height().unwrap().0, 1);
    assert_eq!(catalogue.set_aside(), None);
}

#[test]
fn another_version_is_put_aside() {
    let fixture = filled();
    let path = fixture.path();
    let Fixture {
        folder: _folder,
        catalogue,
    } = fixture;
    drop(catalogue);
    Connection::open(&path)
        .unwrap()
        .pragma_update(None, "user_version", 77)
        .unwrap();
    let catalogue = Catalogue::open(&path).unwrap();
    assert_eq!(catalogue.height(), None);
    let aside = catalogue.set_aside().unwrap();
    assert_eq!(aside.why, Unusable::Version { found: 77 });
    assert!(aside.path.exists());
}

#[test]
fn damage_is_put_aside_and_the_rebuilt_catalogue_is_equal() {
    let fixture = filled();
    let whole = fixture.reader().digest().unwrap();
    let path = fixture.path();
    let Fixture {
        folder: _folder,
        catalogue,
    } = fixture;
    drop(catalogue);
    let bytes = fs::read(&path).unwrap();
    let damaged = [
        b"not a database at all, although long enough to be read as one".repeat(40),
        bytes[..bytes.len() / 2].to_vec(),
        {
            let mut torn = bytes.clone();
            torn[4096..40_960].fill(0x5a);
            torn
        },
    ];
    for bytes in damaged {
        fs::write(&path, bytes).unwrap();
        let mut catalogue = Catalogue::open(&path).unwrap();
        assert!(matches!(
            catalogue.set_aside().unwrap().why,
            Unusable::Damaged(_)
        ));
        let files =
            (0..300).map(|n| command(new(&format!("file {n}")).tags(&["t"]).add(&n.to_string())));
        catalogue
            .apply(&[genesis(), block(1, files.collect())])
            .unwrap();
        assert_eq!(Reader::open(&path).unwrap().digest().unwrap(), whole);
    }
}

#[test]
fn a_rebuild_on_demand_starts_from_nothing() {
    let Fixture {
        folder: _folder,
        catalogue,
    } = filled();
    let catalogue = catalogue.rebuild().unwrap();
    assert_eq!(catalogue.height(), None);
    assert!(catalogue.set_aside().unwrap().path.exists());
}

#[test]
fn a_reader_changes_nothing_and_needs_a_catalogue() {
    let folder = tempfile::tempdir().unwrap();
    assert!(Reader::open(&folder.path().join("none")).is_err());
}
