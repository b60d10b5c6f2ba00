//! Files of every version ever written open and verify, and today's are still written byte for byte.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ledger::{Ledger, Storage as _};
use model::Height;

use crate::chain::{Memory, Node, keys, record};
use crate::memory_disk::MemoryDisk;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/v1")
}

/// The life that the fixture holds: two incarnations, five blocks, a vote that is not decided.
pub(crate) fn life() -> Node {
    let mut node = Node::started();
    node.write_blocks(2);
    node.learn(vec![]);
    node.flush();
    let mut node = Node::open(&node.disk).expect("it opens");
    node.start();
    node.flush();
    node.accept(1, vec![record(b"one"), record(b"two"), record(&[0; 900])]);
    node.promise(2);
    node.flush();
    node.decide();
    node.write_blocks(1);
    node.accept(3, vec![record(b"undecided")]);
    node.flush();
    node
}

/// Without most of the zeros written ahead.
fn trimmed(files: BTreeMap<String, Vec<u8>>) -> BTreeMap<String, Vec<u8>> {
    let trim = |mut bytes: Vec<u8>| {
        let end = bytes.iter().rposition(|b| *b != 0).map_or(0, |at| at + 1);
        bytes.truncate(end.next_multiple_of(512));
        bytes
    };
    files
        .into_iter()
        .map(|(name, bytes)| (name, trim(bytes)))
        .collect()
}

fn fixture() -> BTreeMap<String, Vec<u8>> {
    let storage = ledger::Folder::new(folder());
    let logs = storage
        .files()
        .unwrap()
        .into_iter()
        .filter(|name| name.ends_with(".log"));
    logs.map(|name| (name.clone(), std::fs::read(folder().join(name)).unwrap()))
        .collect()
}

#[test]
fn version_1_opens_and_verifies() {
    let (ledger, recovered) =
        Ledger::open(MemoryDisk::holding(fixture()), &keys()[0]).expect("it opens");
    assert_eq!(Memory::of(&recovered), life().memory);
    assert_eq!(ledger.tip().0, Height(5));
    let report = ledger::verify(&folder(), &keys()[0]).expect("it is a ledger");
    assert!(report.ok() && report.notes.is_empty(), "{report:?}");
    assert_eq!((report.blocks, report.commands), (6, 7));
}

#[test]
fn version_1_is_still_written_byte_for_byte() {
    let written = trimmed(life().disk.files());
    if std::env::var_os("UPDATE_FIXTURES").is_some() {
        std::fs::create_dir_all(folder()).unwrap();
        MemoryDisk::holding(written.clone()).save(&folder());
    }
    assert!(
        written == fixture(),
        "the format has changed: give it a new version"
    );
}
