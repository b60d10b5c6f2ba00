//! Files of every version ever written open and verify, and today's are still written byte for byte.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ledger::{Ledger, Storage as _};
use model::Height;

use crate::chain::{Memory, Node, keys, record};
use crate::memory_disk::{MemoryDisk, SEGMENTS};
use crate::segments::{SMALL, seal_all};

fn folder(version: u32) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/v{version}"))
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
    let trim = |(name, mut bytes): (String, Vec<u8>)| {
        if name.starts_with(SEGMENTS) {
            return (name, bytes);
        }
        let end = bytes.iter().rposition(|b| *b != 0).map_or(0, |at| at + 1);
        bytes.truncate(end.next_multiple_of(512));
        (name, bytes)
    };
    files.into_iter().map(trim).collect()
}

fn fixture(version: u32) -> BTreeMap<String, Vec<u8>> {
    let storage = ledger::Folder::new(folder(version));
    let logs = storage.files().unwrap().into_iter();
    let segments = storage.segments().unwrap_or_default().into_iter();
    let names = logs
        .filter(|name| name.ends_with(".log"))
        .chain(segments.map(|name| format!("{SEGMENTS}{name}")));
    names
        .map(|name| {
            (
                name.clone(),
                std::fs::read(folder(version).join(name)).unwrap(),
            )
        })
        .collect()
}

#[test]
fn version_1_opens_and_verifies() {
    let disk = MemoryDisk::holding(fixture(1));
    let (ledger, recovered) = Ledger::open(disk.clone(), &keys()[0]).expect("it opens");
    assert_eq!(Memory::of(&recovered), life().memory);
    assert_eq!(ledger.tip().0, Height(5));
    let report = ledger::verify(&folder(1), &keys()[0]).expect("it is a ledger");
    assert!(report.ok() && report.notes.is_empty(), "{report:?}");
    assert_eq!((report.blocks, report.commands), (6, 7));
}

#[test]
fn a_log_of_version_1_is_written_on_and_sealed() {
    let mut node = Node::open(&MemoryDisk::holding(fixture(1))).expect("it opens");
    node.start();
    node.flush();
    node.memory.vote = None;
    node.learn(vec![record(b"instead")]);
    node.flush();
    node.write_blocks(9);
    assert!(seal_all(&node, &SMALL).len() > 1);
    let gone = ledger::retire(&node.ledger.reader()).unwrap();
    assert_eq!(gone, ["00000001.log", "00000002.log"]);
    assert_eq!(Node::open(&node.disk).unwrap().memory, node.memory);
    assert!(ledger::verify_storage(&node.disk, &keys()[0]).unwrap().ok());
}

/// The same life and some more, most of it sealed, and without the files that it needs no more.
pub(crate) fn sealed_life() -> Node {
    let mut node = Node::open(&life().disk).expect("it opens");
    node.start();
    node.flush();
    node.decide();
    node.write_blocks(8);
    seal_all(&node, &SMALL);
    ledger::retire(&node.ledger.reader()).expect("it can delete");
    node.accept(2, vec![record(b"undecided")]);
    node.flush();
    node
}

#[test]
fn version_2_opens_and_verifies() {
    let disk = MemoryDisk::holding(fixture(2));
    let (ledger, recovered) = Ledger::open(disk.clone(), &keys()[0]).expect("it opens");
    assert_eq!(Memory::of(&recovered), sealed_life().memory);
    assert_eq!(ledger.tip().0, Height(14));
    assert_eq!(ledger.reader().segments().len(), 3);
    let report = ledger::verify(&folder(2), &keys()[0]).expect("it is a ledger");
    assert!(report.ok() && report.notes.is_empty(), "{report:?}");
    assert_eq!((report.blocks, report.commands), (15, 16));
}

#[test]
fn version_2_is_still_written_byte_for_byte() {
    let written = trimmed(sealed_life().disk.files());
    if std::env::var_os("UPDATE_FIXTURES").is_some() {
        std::fs::create_dir_all(folder(2)).unwrap();
        MemoryDisk::holding(written.clone()).save(&folder(2));
    }
    assert!(
        written == fixture(2),
        "the format has changed: give it a new version"
    );
}
