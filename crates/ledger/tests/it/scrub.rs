//! A ledger in use is gone over part by part: every bad bit in it is found, in the file that has it, and nothing else.

use ledger::{Damage, Reader, Site};
use model::Height;

use crate::chain::{Node, keys};
use crate::memory_disk::{MemoryDisk, SEGMENTS};
use crate::segments::sealed;

fn scrub(reader: &Reader) -> Vec<Damage> {
    let signatures = &keys()[0];
    let mut found = reader.scrub_log(signatures, &mut |_| true).unwrap();
    for name in reader.segments() {
        let segment = reader.scrub_segment(name, signatures, &mut |_| true);
        found.extend(segment.unwrap());
    }
    found
}

fn file(site: &Site) -> String {
    match site {
        Site::Segment(name) => format!("{SEGMENTS}{name}"),
        Site::Log(name) => name.clone(),
        Site::Missing { from, to } => format!("{from}-{to}"),
    }
}

/// Where something stands in a file: behind it are zeros that were written ahead.
fn end(disk: &MemoryDisk, name: &str) -> usize {
    let files = disk.files();
    files[name].iter().rposition(|byte| *byte != 0).unwrap()
}

fn flipped(node: &Node, name: &str, at: usize) -> Vec<Damage> {
    let flip = || node.disk.edit(name, |bytes| bytes[at] ^= 1 << (at % 8));
    flip();
    let found = scrub(&node.ledger.reader());
    flip();
    found
}

#[test]
fn every_bad_bit_of_a_ledger_in_use_is_found_where_it_is() {
    let (node, _) = sealed();
    let reader = node.ledger.reader();
    assert_eq!(scrub(&reader), []);
    let files: Vec<String> = node.disk.files().into_keys().collect();
    let read = files.iter().filter(|name| {
        let log = files.iter().filter(|name| !name.contains('/'));
        // Of the log, the beginning and what is not sealed: the rest is about to go.
        name.contains('/')
            || Some(*name) == log.clone().next()
            || Some(*name) == log.clone().next_back()
    });
    let mut flips = 0;
    for name in read {
        for at in (0..=end(&node.disk, name)).step_by(419) {
            let found = flipped(&node, name, at);
            let sites: Vec<String> = found.iter().map(|damage| file(&damage.site)).collect();
            assert!(sites.contains(name), "{name} at {at}: {found:?}");
            flips += 1;
        }
    }
    assert!(flips > 50, "{flips}");
    assert_eq!(scrub(&reader), []);
}

#[test]
fn a_second_look_forgets_what_was_only_half_written() {
    let (node, _) = sealed();
    let reader = node.ledger.reader();
    let log = node
        .disk
        .files()
        .into_keys()
        .rfind(|name| !name.contains('/'));
    let log = log.unwrap();
    let at = end(&node.disk, &log);
    let torn = flipped(&node, &log, at);
    assert!(!torn.is_empty());
    assert_eq!(reader.still(&torn, scrub(&reader)), []);
    assert_eq!(reader.still(&torn, torn.clone()), torn);
}

#[test]
fn a_segment_that_is_gone_or_another_one_is_missed() {
    let (node, _) = sealed();
    let reader = node.ledger.reader();
    let names = reader.segments();
    let path = |place: usize| format!("{SEGMENTS}{}", names[place]);
    let other = node.disk.files()[&path(1)].clone();
    for bytes in [other, Vec::new()] {
        node.disk.edit(&path(0), |file| *file = bytes);
        let found = scrub(&reader);
        assert!(!found.is_empty());
        assert!(
            found
                .iter()
                .all(|damage| damage.site == Site::Segment(names[0]))
        );
        assert_eq!(found[0].height, Height(1));
    }
}

#[test]
fn a_scrub_that_is_told_to_stop_stops() {
    let (node, _) = sealed();
    let reader = node.ledger.reader();
    let name = reader.segments()[0];
    let mut calls = 0;
    let mut pace = |_| {
        calls += 1;
        calls < 3
    };
    assert!(reader.scrub_segment(name, &keys()[0], &mut pace).is_err());
    assert_eq!(calls, 3);
    assert!(reader.scrub_log(&keys()[0], &mut |_| false).is_err());
}
