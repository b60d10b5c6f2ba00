//! What is sealed is read from segments, the log lets go of it, and nothing that counts is lost with the log.

use ledger::{Bounds, Ledger, OpenError, ReadError, SegmentName, Storage as _, verify_storage};
use model::{Decided, Height, Record};

use crate::chain::{Memory, Node, Trusting, child_of, keys, membership, record};
use crate::ledger::after_a_removal;
use crate::memory_disk::{Files, MemoryDisk, SEGMENTS};

/// A few small blocks in each segment.
pub(crate) const SMALL: Bounds = Bounds {
    bytes: 3000,
    time: std::time::Duration::from_secs(3600),
    keep: 2,
};

/// Seals whatever there is to seal.
pub(crate) fn seal_all(node: &Node, bounds: &Bounds) -> Vec<SegmentName> {
    let reader = node.ledger.reader();
    std::iter::from_fn(|| ledger::seal(&reader, bounds).unwrap()).collect()
}

/// A ledger of several incarnations, sealed as far as it goes, and its blocks.
pub(crate) fn sealed() -> (Node, Vec<Decided>) {
    let mut node = Node::started();
    for _ in 0..3 {
        node.write_blocks(9);
        node = Node::open(&node.disk).unwrap();
        node.start();
        node.flush();
    }
    node.write_blocks(20);
    seal_all(&node, &SMALL);
    let blocks = blocks(&node);
    (node, blocks)
}

fn blocks(node: &Node) -> Vec<Decided> {
    let blocks = node.ledger.reader().blocks(Height(0));
    blocks.map(|block| block.expect("it can be read")).collect()
}

fn logs(disk: &MemoryDisk) -> Vec<String> {
    disk.storage_files()
}

impl MemoryDisk {
    fn storage_files(&self) -> Vec<String> {
        self.files()
            .into_keys()
            .filter(|name| !name.contains('/'))
            .collect()
    }

    pub(crate) fn segment_files(&self) -> Vec<String> {
        self.files()
            .into_keys()
            .filter(|name| name.contains('/'))
            .collect()
    }

    fn without(&self, names: &[&str]) -> Self {
        let mut files = self.files();
        for name in names {
            files.remove(*name).expect("it is there");
        }
        Self::holding(files)
    }
}

fn assert_sound(disk: &MemoryDisk) {
    let report = verify_storage(disk, &keys()[0]).unwrap();
    assert!(report.ok(), "{report:?}");
}

#[test]
fn what_is_sealed_is_read_from_segments() {
    let (node, blocks) = sealed();
    let reader = node.ledger.reader();
    let names = reader.segments();
    assert!(names.len() > 4, "{names:?}");
    assert_eq!(names[0].from(), Height(1));
    for (one, next) in names.iter().zip(&names[1..]) {
        assert_eq!(one.to().next(), next.from());
    }
    let top = names.last().unwrap().to();
    assert!(
        top.0 + SMALL.keep <= reader.tip().0.0,
        "the newest stay in the log"
    );
    let disk = MemoryDisk::holding(node.disk.files());
    for name in logs(&disk) {
        disk.edit(&name, |bytes| {
            let at = bytes.len().min(4300);
            bytes[at..].fill(0);
        });
    }
    for decided in &blocks[1..usize::try_from(top.0).unwrap()] {
        let height = decided.block.height();
        assert_eq!(reader.block(height).unwrap().as_ref(), Some(decided));
        assert_eq!(reader.hash(height), Some(decided.block.hash()));
    }
    let again = Node::open(&node.disk).unwrap();
    assert_eq!(again.memory, node.memory);
    assert_eq!(again.ledger.reader().segments(), names);
    assert_sound(&node.disk);
}

#[test]
fn two_nodes_seal_the_same() {
    let (one, _) = sealed();
    let mut other = Node::started();
    for decided in &blocks(&one)[1..] {
        other.append(&Record::Decided {
            block: decided.block.clone(),
            certificate: decided.certificate.clone().unwrap(),
            body: true,
        });
        other.flush();
        seal_all(&other, &SMALL);
    }
    assert_eq!(
        other.ledger.reader().segments(),
        one.ledger.reader().segments()
    );
    assert_eq!(other.disk.segment_files(), one.disk.segment_files());
}

#[test]
fn an_old_stretch_is_sealed_when_it_holds_a_command() {
    let mut node = Node::started();
    let bounds = Bounds {
        time: std::time::Duration::from_micros(3),
        keep: 0,
        ..Bounds::default()
    };
    for _ in 0..5 {
        node.learn(vec![]);
    }
    node.flush();
    assert_eq!(seal_all(&node, &bounds), []);
    node.learn(vec![record(b"a command")]);
    node.learn(vec![]);
    node.flush();
    let names = seal_all(&node, &bounds);
    assert_eq!((names.len(), names[0].to()), (1, Height(6)));
}

#[test]
fn nothing_is_sealed_that_is_not_flushed() {
    let mut node = Node::started();
    for _ in 0..9 {
        node.learn(vec![record(&[1; 900])]);
    }
    assert_eq!(seal_all(&node, &SMALL), []);
    node.flush();
    assert!(!seal_all(&node, &SMALL).is_empty());
}

#[test]
fn the_log_lets_go_of_files_that_are_sealed_twice_over() {
    let (mut node, blocks_before) = sealed();
    assert_eq!(logs(&node.disk).len(), 5);
    let gone = ledger::retire(&node.ledger.reader()).unwrap();
    assert_eq!(gone, ["00000001.log", "00000002.log", "00000003.log"]);
    assert_eq!(logs(&node.disk), ["00000000.log", "00000004.log"]);
    assert_eq!(blocks(&node), blocks_before);
    let mut again = Node::open(&node.disk).unwrap();
    assert_eq!(again.memory, node.memory);
    assert_eq!(blocks(&again), blocks_before);
    assert_sound(&node.disk);
    again.start();
    again.write_blocks(3);
    let last = Node::open(&again.disk).unwrap();
    assert_eq!(last.memory, again.memory);
    node.write_blocks(1);
    assert_eq!(ledger::retire(&node.ledger.reader()).unwrap(), [""; 0]);
}

#[test]
fn a_start_lets_go_of_nothing_before_it_is_known_to_be_flushed() {
    let (node, _) = sealed();
    let node = Node::open(&node.disk).unwrap();
    assert_eq!(ledger::retire(&node.ledger.reader()).unwrap(), [""; 0]);
}

#[test]
fn any_deleted_files_may_come_back() {
    let (node, blocks_before) = sealed();
    ledger::retire(&node.ledger.reader()).unwrap();
    let retired = node.disk.state().retired.clone();
    for back in 0..1 << retired.len() {
        let mut files: Files = node.disk.files();
        for (at, (name, bytes)) in retired.iter().enumerate() {
            if back >> at & 1 == 1 {
                files.insert(name.clone(), bytes.clone());
            }
        }
        let disk = MemoryDisk::holding(files);
        let again = Node::open(&disk).unwrap();
        assert_eq!(again.memory, node.memory);
        assert_eq!(blocks(&again), blocks_before);
        assert_sound(&disk);
    }
}

/// A log whose first file is full, its start among it, and whose last vote is in it or behind it.
fn full_file(last: fn(&mut Node)) -> Node {
    let mut node = Node::started();
    let full = || (0..15).map(|_| record(&vec![7; 64 << 10])).collect();
    for _ in 0..68 {
        node.learn(full());
        node.flush();
    }
    last(&mut node);
    node.flush();
    let bounds = Bounds {
        bytes: 8 << 20,
        keep: 0,
        ..Bounds::default()
    };
    seal_all(&node, &bounds);
    node
}

#[test]
fn the_boot_outlives_the_file_of_its_start() {
    let node = full_file(|node| {
        for _ in 0..20 {
            node.learn((0..15).map(|_| record(&vec![7; 64 << 10])).collect());
            node.flush();
        }
        node.promise(3);
    });
    let gone = ledger::retire(&node.ledger.reader()).unwrap();
    assert_eq!(gone, ["00000001.log"]);
    let mut again = Node::open(&node.disk).unwrap();
    assert_eq!(again.memory, node.memory);
    assert_eq!(again.recovered.nonce, Some(model::Nonce([1; 16])));
    again.start();
    again.flush();
    assert_eq!(Node::open(&again.disk).unwrap().memory.boot, model::Boot(2));
}

#[test]
fn a_vote_that_was_lost_with_a_file_is_missed() {
    // Accepted in the first file, promised in the second, and not decided.
    let node = full_file(|node| {
        node.accept(1, (0..15).map(|_| record(&vec![7; 64 << 10])).collect());
        while logs(&node.disk).len() < 3 {
            node.promise(2);
        }
    });
    assert_eq!(ledger::retire(&node.ledger.reader()).unwrap(), [""; 0]);
    assert_eq!(Node::open(&node.disk).unwrap().memory, node.memory);
    let error = Node::open(&node.disk.without(&["00000001.log"])).unwrap_err();
    assert!(matches!(error, OpenError::DamagedVotes { .. }), "{error}");
}

/// A segment with a bad bit in its summary, its index, or a block.
fn spoil(disk: &MemoryDisk, name: &str, from_end: usize) {
    disk.edit(name, |bytes| {
        let at = bytes.len() - from_end;
        bytes[at] ^= 1;
    });
}

#[test]
fn a_damaged_segment_is_named_and_the_newest_is_made_anew_from_the_log() {
    let (node, blocks_before) = sealed();
    ledger::retire(&node.ledger.reader()).unwrap();
    let names = node.disk.segment_files();
    let newest = names.last().unwrap();
    for harm in [spoil, |disk: &MemoryDisk, name: &str, _| {
        disk.edit(name, Vec::clear);
    }] {
        let disk = MemoryDisk::holding(node.disk.files());
        harm(&disk, newest, 60);
        let again = Node::open(&disk).unwrap();
        assert_eq!(again.memory, node.memory);
        assert_eq!(blocks(&again), blocks_before, "the log has them still");
        let damaged = &again.recovered.report.damaged;
        assert_eq!(format!("{SEGMENTS}{}", damaged[0].name), *newest);
        assert!(!verify_storage(&disk, &keys()[0]).unwrap().ok());
        assert_eq!(seal_all(&again, &SMALL).len(), 1);
        for name in &names {
            assert_eq!(disk.files()[name], node.disk.files()[name]);
        }
        assert_eq!(again.ledger.reader().damaged_segments(), []);
        assert_sound(&disk);
    }
}

#[test]
fn one_lost_segment_stops_no_vote() {
    let (node, blocks_before) = sealed();
    ledger::retire(&node.ledger.reader()).unwrap();
    let names = node.disk.segment_files();
    for name in &names {
        let disk = node.disk.without(&[name]);
        let mut again = Node::open(&disk).unwrap();
        assert_eq!(again.memory, node.memory);
        let lost: SegmentName = name[SEGMENTS.len()..].parse().unwrap();
        let reader = again.ledger.reader();
        let mut complete = true;
        for decided in &blocks_before {
            let height = decided.block.height();
            match reader.block(height) {
                Ok(found) => assert_eq!(found.as_ref(), Some(decided)),
                Err(ReadError::Missing { height }) => {
                    assert!(lost.holds(height));
                    complete = false;
                }
                Err(error) => panic!("{error}"),
            }
        }
        assert!(complete || Some(name) != names.last());
        let report = verify_storage(&disk, &keys()[0]).unwrap();
        assert_eq!(report.ok(), complete, "{report:?}");
        again.start();
        again.write_blocks(2);
        assert_eq!(Node::open(&disk).unwrap().memory, again.memory);
    }
}

#[test]
fn without_the_two_newest_segments_nobody_knows_who_votes() {
    let (node, _) = sealed();
    ledger::retire(&node.ledger.reader()).unwrap();
    let names = node.disk.segment_files();
    let disk = MemoryDisk::holding(node.disk.files());
    for name in names.iter().rev().take(6) {
        spoil(&disk, name, 60);
    }
    let error = Node::open(&disk).unwrap_err();
    assert!(matches!(error, OpenError::Sealed { .. }), "{error}");
}

#[test]
fn files_that_were_lost_and_not_sealed_are_missed() {
    let (node, _) = sealed();
    let names = node.disk.segment_files();
    let mut gone: Vec<&str> = names.iter().map(String::as_str).collect();
    gone.push("00000001.log");
    let error = Node::open(&node.disk.without(&gone)).unwrap_err();
    assert!(error.to_string().contains("00000000.log"), "{error}");
}

#[test]
fn a_ledger_may_begin_with_segments_alone() {
    let (node, blocks_before) = sealed();
    let top = node.ledger.reader().segments().last().unwrap().to();
    let files = node.disk.files().into_iter();
    let kept = files.filter(|(name, _)| name.contains('/') || name == "00000000.log");
    let disk = MemoryDisk::holding(kept.collect());
    let (ledger, recovered) = Ledger::open(disk.clone(), &keys()[0]).unwrap();
    let tip = &blocks_before[usize::try_from(top.0).unwrap()];
    assert_eq!((&recovered.tip, recovered.boot.0), (tip, 0));
    assert_eq!(recovered.roster, node.recovered.roster);
    drop(ledger);
    let mut joined = Node::open(&disk).unwrap();
    joined.start();
    joined.flush();
    joined.write_blocks(12);
    assert_eq!(Node::open(&disk).unwrap().memory, joined.memory);
    assert_sound(&disk);
    seal_all(&joined, &SMALL);
    assert_eq!(Node::open(&disk).unwrap().memory, joined.memory);
    assert_sound(&disk);
}

#[test]
fn segments_that_reach_above_the_log_are_taken() {
    let (node, _) = sealed();
    let mut behind = Node::started();
    for decided in &blocks(&node)[1..5] {
        behind.append(&Record::Decided {
            block: decided.block.clone(),
            certificate: decided.certificate.clone().unwrap(),
            body: true,
        });
    }
    behind.flush();
    for name in node.disk.segment_files() {
        let bytes = node.disk.files()[&name].clone();
        behind
            .disk
            .store_segment(&name[SEGMENTS.len()..], &bytes)
            .unwrap();
    }
    let mut ahead = Node::open(&behind.disk).unwrap();
    let top = node.ledger.reader().segments().last().unwrap().to();
    assert_eq!(ahead.memory.tip.block.height(), top);
    ahead.start();
    ahead.flush();
    ahead.write_blocks(1);
    assert_eq!(Node::open(&behind.disk).unwrap().memory, ahead.memory);
    assert_sound(&behind.disk);
}

#[test]
fn segments_may_overlap() {
    let (node, blocks_before) = sealed();
    let genesis = ledger::segment::Below::genesis(&blocks_before[0].block).unwrap();
    let long = ledger::segment::build(genesis, &blocks_before[1..12]).unwrap();
    let (name, bytes) = long.unwrap();
    let disk = MemoryDisk::holding(node.disk.files());
    disk.store_segment(&name.to_string(), &bytes).unwrap();
    let again = Node::open(&disk).unwrap();
    assert_eq!(again.recovered.report.damaged, []);
    assert_eq!(blocks(&again), blocks_before);
    assert_eq!(again.ledger.reader().segments()[0], name);
    assert_sound(&disk);
    let spare = node.disk.segment_files()[1].clone();
    spoil(&disk, &spare, 60);
    assert!(!verify_storage(&disk, &keys()[0]).unwrap().ok());
}

#[test]
fn a_spare_segment_of_other_blocks_is_found() {
    let (node, blocks_before) = sealed();
    let genesis = ledger::segment::Below::genesis(&blocks_before[0].block).unwrap();
    let mut other = Node::started();
    other.learn(vec![record(b"another")]);
    other.learn(vec![]);
    let others = blocks(&other);
    let (name, bytes) = ledger::segment::build(genesis, &others[1..])
        .unwrap()
        .unwrap();
    let disk = MemoryDisk::holding(node.disk.files());
    disk.store_segment(&name.to_string(), &bytes).unwrap();
    assert_eq!(blocks(&Node::open(&disk).unwrap()), blocks_before);
    let report = verify_storage(&disk, &keys()[0]).unwrap();
    assert!(
        report.faults[0].what.contains(&name.to_string()),
        "{report:?}"
    );
}

/// The blocks of a segment that is gone are still in the log. The removal itself may be among them.
#[test]
fn who_decided_a_height_between_segments_is_known() {
    let (mut node, two) = after_a_removal();
    for _ in 0..30 {
        let block = child_of(node.memory.tip.block.header(), two.hash(), vec![]);
        node.learn_block(block, &two);
        node.flush();
    }
    let bounds = Bounds {
        bytes: 700,
        ..SMALL
    };
    assert!(seal_all(&node, &bounds).len() > 2);
    for name in node.disk.segment_files() {
        let disk = node.disk.without(&[&name]);
        let (ledger, recovered) = Ledger::open(disk, &keys()[0]).unwrap();
        let reader = ledger.reader();
        for height in 1..=recovered.tip.block.height().0 {
            let voters = if height <= 2 {
                membership()
            } else {
                two.clone()
            };
            let roster = reader.roster_deciding(Height(height)).expect("it is known");
            assert_eq!(*roster.voters(), voters, "{height} without {name}");
            assert!(reader.block(Height(height)).unwrap().is_some());
        }
        let report = reader.verify(Height(0), Height(99), &keys()[0]);
        assert!(report.ok(), "{report:?}");
    }
}

#[test]
fn who_decided_a_sealed_height_is_known() {
    let (mut node, two) = after_a_removal();
    for _ in 0..30 {
        let block = child_of(node.memory.tip.block.header(), two.hash(), vec![]);
        node.learn_block(block, &two);
        node.flush();
    }
    for bytes in [700, 3000] {
        let disk = MemoryDisk::holding(node.disk.files());
        let node = Node::open(&disk).unwrap();
        let bounds = Bounds { bytes, ..SMALL };
        assert!(seal_all(&node, &bounds).len() > 2);
        let (ledger, recovered) = Ledger::open(disk.clone(), &keys()[0]).unwrap();
        let reader = ledger.reader();
        assert_eq!(*recovered.roster.voters(), two);
        for (height, voters) in [(1, membership()), (2, membership()), (3, two.clone())] {
            let roster = reader.roster_deciding(Height(height)).unwrap();
            assert_eq!(*roster.voters(), voters, "{height}");
        }
        for from in [0, 2, 3, 9] {
            let report = reader.verify(Height(from), Height(99), &keys()[0]);
            assert!(report.ok(), "{report:?}");
        }
        assert_sound(&disk);
    }
}

#[test]
fn blocks_are_found_by_their_time() {
    let (node, blocks_before) = sealed();
    ledger::retire(&node.ledger.reader()).unwrap();
    let node = Node::open(&node.disk).unwrap();
    let reader = node.ledger.reader();
    for decided in &blocks_before {
        let header = decided.block.header();
        assert_eq!(reader.since(header.time).unwrap(), header.height);
    }
    let last = blocks_before.last().unwrap().block.header();
    let later = model::Timestamp(last.time.0 + 1);
    assert_eq!(reader.since(later).unwrap(), last.height.next());
}

#[test]
fn a_sealed_ledger_is_opened_like_one_that_is_not() {
    let mut plain = Node::started();
    plain.write_blocks(14);
    plain.promise(5);
    plain.flush();
    let before = Memory::of(&plain.recovered);
    seal_all(&plain, &SMALL);
    let (_, recovered) = Ledger::open(plain.disk.clone(), &Trusting).unwrap();
    assert_eq!(Memory::of(&recovered), plain.memory);
    assert_ne!(Memory::of(&recovered), before);
}
