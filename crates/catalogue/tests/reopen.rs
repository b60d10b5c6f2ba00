//! A catalogue that cannot be used is put aside, and the ledger fills an empty one.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails where it stands"
)]

mod common;

use std::fs;

use catalogue::{Catalogue, Page, Reader, Unusable};
use common::*;
use model::file::{Change, State};
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

/// All that is asked of an index here.
fn found(reader: &Reader) -> String {
    let ask = |text: &str| {
        let (query, page) = (text.parse().unwrap(), Page::default());
        reader.search(&home(), &query, &page).unwrap()
    };
    let asked = [
        "",
        "file",
        "fi*",
        "\"file 12\"",
        "tag:t",
        "name:27*",
        "other",
    ]
    .map(ask);
    format!("{asked:?}")
}

/// Stops in an orderly way.
fn left() -> Fixture {
    let mut fixture = filled();
    fixture.catalogue.index().unwrap();
    fixture.catalogue.leave().unwrap();
    fixture
}

#[test]
fn it_goes_on_with_the_index_that_it_left() {
    let Fixture { folder, catalogue } = left();
    drop(catalogue);
    let path = folder.path().join("catalogue.sqlite");
    let picture = Catalogue::index_path(&path);
    assert!(picture.exists());
    let mut catalogue = Catalogue::resume(&path).unwrap();
    assert!(!picture.exists(), "it is true once");
    // What was applied before anybody asked is in it too.
    let more = vec![
        command(new("other 27.jpg").add("more")),
        command(edit("7", None, vec![Change::Name("renamed".into())])),
        command(set_state("8", State::Trashed)),
    ];
    catalogue.apply(&[block(2, more)]).unwrap();
    let resumed = Reader::sharing(&path, catalogue.index().unwrap()).unwrap();
    assert_eq!(found(&resumed), found(&Reader::open(&path).unwrap()));
    catalogue
        .apply(&[block(3, vec![command(set_state("8", State::Live))])])
        .unwrap();
    assert_eq!(found(&resumed), found(&Reader::open(&path).unwrap()));
}

#[test]
fn an_index_that_is_not_the_one_that_was_left_is_built_anew() {
    let whole = fs::read(Catalogue::index_path(&left().path())).unwrap();
    for at in [0, 20, 40, 60, whole.len() / 2, whole.len() - 1] {
        let Fixture { folder, catalogue } = left();
        drop(catalogue);
        let path = folder.path().join("catalogue.sqlite");
        let picture = Catalogue::index_path(&path);
        let mut bytes = fs::read(&picture).unwrap();
        bytes[at] ^= 1;
        fs::write(&picture, &bytes).unwrap();
        let mut catalogue = Catalogue::resume(&path).unwrap();
        let resumed = Reader::sharing(&path, catalogue.index().unwrap()).unwrap();
        assert_eq!(
            found(&resumed),
            found(&Reader::open(&path).unwrap()),
            "{at}"
        );
    }
    // One that is cut short, and one of another height.
    let mut fixture = left();
    let path = fixture.path();
    let picture = Catalogue::index_path(&path);
    let bytes = fs::read(&picture).unwrap();
    fixture.apply_one(new("other").add("other"));
    for stale in [&bytes[..bytes.len() / 2], &bytes] {
        fs::write(&picture, stale).unwrap();
        let mut catalogue = Catalogue::resume(&path).unwrap();
        let resumed = Reader::sharing(&path, catalogue.index().unwrap()).unwrap();
        assert_eq!(found(&resumed), found(&Reader::open(&path).unwrap()));
    }
}

#[test]
fn whoever_opens_a_catalogue_without_trust_removes_the_index_that_was_left() {
    let Fixture { folder, catalogue } = left();
    drop(catalogue);
    let path = folder.path().join("catalogue.sqlite");
    Catalogue::open(&path).unwrap();
    assert!(!Catalogue::index_path(&path).exists());
}

#[test]
fn what_others_write_is_noticed_and_what_the_writer_itself_writes_is_not() {
    let mut fixture = filled();
    let written = |fixture: &mut Fixture| fixture.catalogue.is_written_by_others().unwrap();
    assert!(!written(&mut fixture), "nothing to compare with");
    fixture.apply(vec![new("one more").add("one more")]);
    let reader = fixture.reader();
    assert!(reader.digest().unwrap().is_some());
    assert!(!written(&mut fixture));
    let other = Connection::open(fixture.path()).unwrap();
    assert!(!written(&mut fixture), "it has only opened the file");
    let changed = other.execute("UPDATE tokens SET name = name || '!'", []);
    changed.unwrap();
    assert!(written(&mut fixture));
    assert!(!written(&mut fixture), "once is enough");
    other.execute("DELETE FROM history", []).unwrap();
    fixture.apply(vec![new("and another").add("and another")]);
    assert!(written(&mut fixture), "own writing hides nothing");
}
