//! The power fails at every byte of every write: what was flushed is there, what is there was written, in order.

use ledger::verify_storage;
use model::{Height, Record};

use crate::chain::{Memory, Node, keys, record};
use crate::memory_disk::{MemoryDisk, put};

/// A node's memory after each record of a short life, and the writes that made it.
fn life() -> (Vec<Memory>, Vec<ledger::Write>) {
    let mut node = Node::new();
    let mut memories = vec![node.memory.clone()];
    let mut writes = Vec::new();
    let steps: [fn(&mut Node); 9] = [
        Node::start,
        |node| node.promise(2),
        |node| node.accept(2, vec![record(b"first"), record(&[0; 700])]),
        |node| node.promise(3),
        Node::decide,
        |node| node.learn(vec![]),
        |node| node.accept(1, vec![record(&[0xab; 5000])]),
        |node| node.accept(4, vec![record(b"second")]),
        Node::decide,
    ];
    for step in steps {
        step(&mut node);
        memories.push(node.memory.clone());
        writes.extend(node.disk.state().pending.clone());
        node.flush();
    }
    (memories, writes)
}

/// Runs of equal bytes are all alike: their ends and a few places between will do.
fn interesting(bytes: &[u8], at: usize) -> bool {
    let run = at >= 2 && bytes[at - 2..].iter().take(4).all(|b| *b == bytes[at - 1]);
    !run || at.is_multiple_of(512)
}

#[test]
fn a_crash_at_every_byte_of_every_write() {
    let (memories, writes) = life();
    let mut disk = MemoryDisk::new(&crate::chain::genesis()).files();
    for (index, write) in writes.iter().enumerate() {
        let (before, after) = (&memories[index], &memories[index + 1]);
        let trimmed = write.bytes.iter().rposition(|b| *b != 0).unwrap() + 1;
        for length in (0..=trimmed + 1024).filter(|at| *at <= write.bytes.len()) {
            if !interesting(&write.bytes, length) {
                continue;
            }
            let mut files = disk.clone();
            let file = files.entry(write.file.clone()).or_default();
            put(
                file,
                usize::try_from(write.offset).unwrap(),
                &write.bytes[..length],
            );
            let node = Node::open(&MemoryDisk::holding(files)).expect("a torn end is cut");
            let memory = Memory::of(&node.recovered);
            let whole = length >= trimmed;
            assert!(
                memory == *after || (!whole && memory == *before),
                "{write:?} {length}"
            );
        }
        let file = disk.entry(write.file.clone()).or_default();
        put(file, usize::try_from(write.offset).unwrap(), &write.bytes);
    }
}

#[test]
fn a_crash_that_loses_one_sector_of_a_write() {
    let (memories, writes) = life();
    let mut disk = MemoryDisk::new(&crate::chain::genesis()).files();
    for (index, write) in writes.iter().enumerate() {
        for lost in 0..write.bytes.len().div_ceil(512) + 1 {
            let holder = MemoryDisk::holding(disk.clone());
            holder.state().pending.push(write.clone());
            let first = write.offset / 512;
            let torn = holder.crash(|_, at| at / 512 - first != lost as u64);
            let memory = Memory::of(&Node::open(&torn).expect("a torn end is cut").recovered);
            assert!(
                memories[index..=index + 1].contains(&memory),
                "{write:?} {lost}"
            );
        }
        let file = disk.entry(write.file.clone()).or_default();
        put(file, usize::try_from(write.offset).unwrap(), &write.bytes);
    }
}

#[test]
fn what_is_cut_is_gone_for_good() {
    let mut node = Node::started();
    node.write_blocks(2);
    node.accept(1, vec![record(b"never finished")]);
    let torn = node.disk.crash(|write, at| at < write.offset + 5000 - 4096);
    let reopened = Node::open(&torn).unwrap();
    assert_eq!(reopened.recovered.report.cut.len(), 1);
    let (cut, keep) = torn.state().cuts[0].clone();
    assert_eq!(torn.state().durable[&cut].len() as u64, keep);
    assert!(Node::open(&torn).unwrap().recovered.report.cut.is_empty());
}

#[test]
fn a_first_start_that_never_finished_leaves_an_empty_file_behind() {
    let mut node = Node::new();
    node.start();
    let torn = node.disk.crash(|_, at| at < 512);
    let mut node = Node::open(&torn).unwrap();
    assert_eq!(node.memory.boot.0, 0);
    node.start();
    node.write_blocks(1);
    let names: Vec<String> = node.disk.files().into_keys().collect();
    assert_eq!(names, ["00000000.log", "00000001.log", "00000002.log"]);
    let again = Node::open(&node.disk).unwrap();
    assert_eq!(Memory::of(&again.recovered), node.memory);
}

#[test]
fn what_was_only_in_the_page_cache_is_flushed_before_it_counts() {
    let mut node = Node::started();
    node.write_blocks(1);
    node.accept(1, vec![record(b"written, not flushed")]);
    // The process dies, the machine does not: reads still see the vote.
    let mut node = Node::open(&node.disk).unwrap();
    assert!(node.memory.vote.is_some());
    node.start();
    // Now the power fails before the start is flushed.
    let survivor = node.disk.crash(|write, _| write.offset != 0);
    let again = Node::open(&survivor).unwrap();
    assert_eq!(again.memory.vote, node.memory.vote);
}

/// A flush fails while a mark and the vote above it are under way; the node is started again, the power fails.
pub(crate) fn after_a_failed_flush() -> (Node, Memory) {
    let mut node = Node::started();
    node.write_blocks(1);
    node.accept(1, vec![record(b"decided, and lost")]);
    node.decide();
    node.accept(2, vec![record(b"accepted")]);
    node.disk.fail_flush(|_, _| false);
    let memory = node.memory.clone();
    let mut node = Node::open(&node.disk).expect("the page cache shows everything");
    assert_eq!(node.memory, memory);
    node.start();
    node.flush();
    let survivor = node.disk.crash(|_, _| false);
    (
        Node::open(&survivor).expect("the start repeats the vote"),
        memory,
    )
}

#[test]
fn a_vote_that_a_start_repeats_outlives_the_blocks_below_it() {
    let (node, memory) = after_a_failed_flush();
    assert_eq!(node.memory.vote, memory.vote);
    assert_eq!(node.memory.tip.block.height(), Height(1));
    assert_eq!(node.recovered.report.superseded.len(), 1);
}

#[test]
fn blocks_that_were_lost_are_fetched_and_the_log_goes_on() {
    let (mut node, memory) = after_a_failed_flush();
    node.start();
    node.flush();
    let vote = node.memory.vote.clone();
    let lost = memory.tip;
    node.append(&Record::Decided {
        block: lost.block.clone(),
        certificate: lost.certificate.clone().unwrap(),
        body: true,
    });
    node.flush();
    let again = Node::open(&node.disk).unwrap();
    assert_eq!((&again.memory.tip, &again.memory.vote), (&lost, &vote));
    node.memory.tip = lost;
    node.memory.vote = vote;
    node.decide();
    node.write_blocks(2);
    let again = Node::open(&node.disk).unwrap();
    assert_eq!(again.memory, node.memory);
    assert_eq!(again.ledger.reader().blocks(Height(0)).count(), 6);
    assert!(verify_storage(&node.disk, &keys()[0]).unwrap().ok());
}

#[test]
fn no_vote_is_given_below_a_height_that_a_start_called_decided() {
    let mut node = Node::started();
    node.learn(vec![]);
    node.disk.fail_flush(|_, _| false);
    let mut node = Node::open(&node.disk).unwrap();
    node.start();
    node.flush();
    let node = Node::open(&node.disk.crash(|_, _| false)).unwrap();
    assert_eq!(node.memory.tip.block.height(), Height(0));
    let vote = node.memory.vote.expect("a vote that says nothing");
    assert_eq!((vote.height, vote.accepted), (Height(2), None));
}
