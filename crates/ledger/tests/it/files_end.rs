//! Logs whose files end anywhere, also between two votes on one block.

use ledger::{Bounds, OpenError};
use model::Height;

use crate::chain::{Node, keys, record};
use crate::memory_disk::MemoryDisk;
use crate::segments::{SMALL, seal_all};

/// A node whose files end with the record that brings them to so many bytes: a vote takes some 8,400.
fn with_files_of(bytes: u64) -> Node {
    let disk = MemoryDisk::new(&crate::chain::genesis());
    disk.state().file_bytes = Some(bytes);
    let mut node = Node::open(&disk).unwrap();
    node.start();
    node.flush();
    node
}

/// A file begins with a vote on a block whose body is in the file before, which goes when the height is sealed.
#[test]
fn a_log_may_begin_with_a_vote_whose_block_is_in_a_segment() {
    for bytes in (4_000..60_000).step_by(4_000) {
        let mut node = with_files_of(bytes);
        for round in 0..12 {
            node.accept(2, vec![record(format!("block {round}").as_bytes())]);
            node.flush();
            for k in 3..5 + round % 3 {
                node.promise(k);
                node.flush();
            }
            node.decide();
            node.flush();
            seal_all(&node, &SMALL);
            ledger::retire(&node.ledger.reader()).unwrap();
            let again = Node::open(&node.disk).expect("whatever the log begins with");
            assert_eq!(again.memory.tip, node.memory.tip);
            let read = again.ledger.reader().blocks(Height(0)).count() as u64;
            assert_eq!(read, node.memory.tip.block.height().0 + 1);
        }
        assert!(ledger::verify_storage(&node.disk, &keys()[0]).unwrap().ok());
    }
}

/// A file is begun, and the power fails when its header is all there is of it. Then the file before is lost, with the vote
/// that nothing repeats.
#[test]
fn a_vote_is_missed_that_was_in_a_lost_file_before_one_that_says_nothing() {
    let mut node = with_files_of(30_000);
    node.write_blocks(2);
    let all = Bounds {
        bytes: 1,
        keep: 0,
        ..SMALL
    };
    seal_all(&node, &all);
    node.accept(1, vec![record(b"not decided")]);
    let begins = |node: &Node| node.disk.state().pending.iter().any(|write| write.create);
    let mut known = node.memory.clone();
    let mut k = 1;
    while !begins(&node) {
        node.flush();
        known = node.memory.clone();
        k += 1;
        node.promise(k);
    }
    // Of the new file, the first copy of the header.
    let disk = node.disk.crash(|_, offset| offset < 4096);
    let mut files = disk.files();
    assert_eq!(Node::open(&disk).unwrap().memory, known);
    files.remove("00000001.log").expect("it held the vote");
    assert!(files.contains_key("00000002.log"));
    let error = Node::open(&MemoryDisk::holding(files)).unwrap_err();
    assert!(matches!(error, OpenError::DamagedVotes { .. }), "{error}");
}
