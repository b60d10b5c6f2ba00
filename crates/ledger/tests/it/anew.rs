//! A ledger that begins anew has the chain, and no vote below its floor.

use ledger::{Anew, MendError, highest_boot};
use model::{Ballot, Boot, Height, Nonce, Vote};

use crate::chain::{Node, genesis, keys};
use crate::memory_disk::MemoryDisk;
use crate::mend::{Others, lived};

const NONCE: Nonce = Nonce([0xfe; 16]);

fn begun(node: &Node, boot: u64, floor: Height) -> MemoryDisk {
    let disk = MemoryDisk::new(&genesis());
    let signatures = &keys()[0];
    let anew = Anew::open(&disk, signatures).unwrap();
    assert_eq!(anew.top().unwrap().0, Height::GENESIS);
    let tip = node.memory.tip.block.height();
    anew.take(&mut Others::of(node), tip).unwrap();
    let (top, roster) = anew.top().unwrap();
    assert_eq!(top, tip);
    assert!(roster.voters().quorum() > 0);
    anew.begin(Boot(boot), floor, NONCE).unwrap();
    disk
}

#[test]
fn the_chain_is_whole_and_nothing_is_voted_on_up_to_the_floor() {
    let node = lived(true);
    let tip = node.memory.tip.block.height();
    let floor = Height(tip.0 + 2);
    let disk = begun(&node, 700, floor);
    let opened = Node::open(&disk).unwrap();
    assert_eq!(opened.memory.tip, node.memory.tip);
    let none = Vote {
        height: floor.next(),
        promised: Ballot::NONE,
        accepted: None,
    };
    assert_eq!(opened.memory.vote, Some(none));
    assert_eq!(highest_boot(&disk), Boot(701));
    let report = ledger::verify_storage(&disk, &keys()[0]).unwrap();
    assert_eq!(report.faults, []);
}

#[test]
fn a_floor_that_is_decided_already_holds_nobody_back() {
    let node = lived(true);
    let disk = begun(&node, 7, Height(3));
    let mut opened = Node::open(&disk).unwrap();
    assert_eq!(opened.memory.tip, node.memory.tip);
    assert_eq!(opened.memory.vote, None);
    opened.start();
    opened.flush();
    opened.write_blocks(3);
    assert_eq!(Node::open(&disk).unwrap().memory, opened.memory);
}

#[test]
fn what_was_taken_is_kept_for_the_next_attempt() {
    let node = lived(true);
    let disk = MemoryDisk::new(&genesis());
    let signatures = &keys()[0];
    let anew = Anew::open(&disk, signatures).unwrap();
    anew.take(&mut Others::of(&node), Height(4)).unwrap();
    let again = Anew::open(&disk, signatures).unwrap();
    assert_eq!(again.top().unwrap().0, Height(4));
    let unavailable = again.take(&mut Others::nobody(), Height(5)).unwrap_err();
    assert!(matches!(unavailable, MendError::Unavailable { .. }));
    again.take(&mut Others::of(&node), Height(6)).unwrap();
    assert_eq!(again.top().unwrap().0, Height(6));
}
