//! Segments as files: everything in them is checked, and they are put in place whole.

use ledger::segment::{self, Below, SegmentError};
use ledger::{Folder, Ledger, SegmentName, Storage as _, create_in, verify, verify_storage};
use model::{Block, Decided, Height};

use crate::chain::{Node, Trusting, ballot, certify, child, genesis, keys, record};
use crate::memory_disk::MemoryDisk;
use crate::segments::sealed;

fn below() -> Below {
    Below::genesis(&genesis()).unwrap()
}

/// A chain of a few blocks above genesis.
fn chain(bodies: &[&[u8]]) -> Vec<Decided> {
    let mut blocks: Vec<Decided> = Vec::new();
    for body in bodies {
        let parent = blocks
            .last()
            .map_or_else(genesis, |last| last.block.clone());
        let block = child(parent.header(), vec![record(body)]);
        let certificate = Some(certify(&block, ballot(1)));
        blocks.push(Decided { block, certificate });
    }
    blocks
}

fn small() -> (SegmentName, Vec<u8>) {
    let blocks = chain(&[b"one", b"", b"three"]);
    segment::build(below(), &blocks).unwrap().unwrap()
}

#[test]
fn a_segment_proves_its_blocks() {
    let blocks = chain(&[b"one", b"", b"three"]);
    let (name, bytes) = small();
    let checked = segment::check(&bytes, name, &below(), &keys()[0]).unwrap();
    assert_eq!((checked.name, checked.commands), (name, 3));
    assert_eq!(
        (checked.top.height, checked.top.hash),
        (Height(3), name.head())
    );
    let read: Vec<Decided> = segment::blocks(&bytes)
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!(read, blocks);
    let above = chain(&[b"one", b"", b"three", b"four", b"five"]);
    let (next, bytes) = segment::build(checked.top.clone(), &above[3..])
        .unwrap()
        .unwrap();
    segment::check(&bytes, next, &checked.top, &keys()[0]).unwrap();
    segment::check(&bytes, next, &below(), &keys()[0]).unwrap_err();
}

#[test]
fn every_bad_bit_is_found() {
    let (name, bytes) = small();
    let disk = MemoryDisk::new(&genesis());
    let path = format!("segments/{name}");
    for at in 0..bytes.len() {
        let mut bad = bytes.clone();
        bad[at] ^= 1 << (at % 8);
        segment::check(&bad, name, &below(), &keys()[0]).unwrap_err();
        disk.store_segment(&name.to_string(), &bad).unwrap();
        let report = verify_storage(&disk, &keys()[0]).unwrap();
        let named = report.faults.iter().any(|fault| fault.what.contains(&path));
        assert!(named, "byte {at}: {report:?}");
    }
}

#[test]
fn a_segment_that_is_cut_short_or_longer_is_refused() {
    let (name, bytes) = small();
    for length in 0..bytes.len() {
        segment::check(&bytes[..length], name, &below(), &Trusting).unwrap_err();
    }
    let mut longer = bytes;
    longer.push(0);
    segment::check(&longer, name, &below(), &Trusting).unwrap_err();
}

#[test]
fn a_rewritten_chain_is_found_by_its_certificates() {
    let mut blocks = chain(&[b"one", b"two", b"three"]);
    let forged = chain(&[b"one", b"2", b"three"]);
    for (block, forged) in blocks.iter_mut().zip(&forged).skip(1) {
        let certificate = block.certificate.as_mut().unwrap();
        certificate.hash = forged.block.hash();
        block.block = forged.block.clone();
    }
    let (name, bytes) = segment::build(below(), &blocks).unwrap().unwrap();
    let error = segment::check(&bytes, name, &below(), &keys()[0]).unwrap_err();
    let height = Height(2);
    assert!(matches!(error, SegmentError::Certificate { height: at, .. } if at == height));
    let disk = MemoryDisk::new(&genesis());
    disk.store_segment(&name.to_string(), &bytes).unwrap();
    let report = verify_storage(&disk, &keys()[0]).unwrap();
    assert_eq!(report.faults[0].height, height);
}

#[test]
fn swapped_files_are_found() {
    let (node, _) = sealed();
    let names = node.disk.segment_files();
    let files = node.disk.files();
    let disk = MemoryDisk::holding(files.clone());
    disk.edit(&names[0], |bytes| bytes.clone_from(&files[&names[1]]));
    let report = verify_storage(&disk, &keys()[0]).unwrap();
    assert!(
        report
            .faults
            .iter()
            .any(|fault| fault.what.contains(&names[0])),
        "{report:?}"
    );
    let damaged = Node::open(&disk).unwrap().recovered.report.damaged;
    assert_eq!(format!("segments/{}", damaged[0].name), names[0]);
}

#[test]
fn certificates_may_differ_and_erased_commands_too() {
    let blocks = chain(&[b"one", b"two"]);
    let mut other = blocks.clone();
    other[0].certificate = Some(certify(&other[0].block, ballot(9)));
    let (one, bytes) = segment::build(below(), &blocks).unwrap().unwrap();
    let (name, others) = segment::build(below(), &other).unwrap().unwrap();
    assert_eq!(one, name);
    assert_ne!(bytes, others);
    segment::check(&others, name, &below(), &keys()[0]).unwrap();
}

#[test]
fn blocks_that_do_not_follow_one_another_make_no_segment() {
    let blocks = chain(&[b"one", b"two", b"three"]);
    segment::build(below(), &blocks[1..]).unwrap_err();
    segment::build(below(), [&blocks[0], &blocks[2]]).unwrap_err();
    assert_eq!(segment::build(below(), []).unwrap(), None);
}

#[test]
fn a_joiner_installs_segments_and_then_the_ledger() {
    let (node, blocks) = sealed();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger");
    for name in node.disk.segment_files() {
        let bytes = node.disk.files()[&name].clone();
        let installed = segment::install(&path, &bytes).unwrap();
        assert!(name.ends_with(&installed.to_string()));
    }
    segment::install(&path, b"no segment").unwrap_err();
    std::fs::write(path.join("segments/000000000001.seg.unfinished"), b"half").unwrap();
    create_in(&path, &genesis()).unwrap();
    let report = verify(&path, &keys()[0]).unwrap();
    let top = node.ledger.reader().segments().last().unwrap().to();
    assert!(report.ok() && report.to == top, "{report:?}");
    assert_eq!(
        report.head,
        Some(blocks[usize::try_from(top.0).unwrap()].block.hash())
    );
    let storage = Folder::new(&path);
    assert_eq!(
        storage.files().unwrap(),
        ["00000000.log", "segments", "unerased"]
    );
    assert_eq!(
        storage.segments().unwrap().len(),
        node.disk.segment_files().len() + 1
    );
}

#[test]
fn a_segment_of_another_chain_is_left_aside() {
    let (name, bytes) = small();
    let command = genesis().entries()[0].sealed().unwrap().clone();
    let chain = model::ChainId([1; 16]);
    let other = Block::genesis(
        chain,
        &crate::chain::membership(),
        model::Timestamp(5),
        command,
    );
    let disk = MemoryDisk::new(&other);
    disk.store_segment(&name.to_string(), &bytes).unwrap();
    let (ledger, recovered) = Ledger::open(disk, &Trusting).unwrap();
    assert_eq!(ledger.tip().0, Height(0));
    assert!(
        recovered.report.damaged[0]
            .what
            .contains("belongs to chain")
    );
}
