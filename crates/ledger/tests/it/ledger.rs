//! What a ledger does on a disk that does what it is told.

use ledger::{CreateError, Disk as _, Folder, Ledger, OpenError, Storage as _, create_in};
use model::{BlockHash, Height, LogSeq, Membership, Record, Vote};

use crate::chain::{
    Memory, Node, Trusting, ballot, child, child_of, genesis, keys, membership, record, removal,
};
use crate::memory_disk::MemoryDisk;

#[test]
fn what_was_appended_is_recovered() {
    let mut node = Node::started();
    node.write_blocks(3);
    node.promise(2);
    node.flush();
    let recovered = Node::open(&node.disk).unwrap().recovered;
    assert_eq!(Memory::of(&recovered), node.memory);
    assert_eq!(*recovered.roster.voters(), membership());
    assert_eq!(recovered.genesis, genesis());
    assert!(recovered.report.cut.is_empty() && recovered.report.repaired.is_empty());
}

#[test]
fn a_promise_after_an_accept_keeps_the_accept_and_its_block() {
    let mut node = Node::started();
    node.accept(1, vec![record(b"kept")]);
    node.promise(4);
    node.flush();
    let vote = Node::open(&node.disk).unwrap().recovered.vote.unwrap();
    assert_eq!(
        (vote.promised, vote.accepted.unwrap().0),
        (ballot(4), ballot(1))
    );
}

#[test]
fn an_accept_is_a_promise_on_replay() {
    let mut node = Node::started();
    let block = child(genesis().header(), vec![]);
    let accepted = Some((ballot(5), block));
    let vote = Vote {
        height: Height(1),
        promised: ballot(2),
        accepted,
    };
    node.append(&Record::Vote { vote, body: true });
    node.flush();
    let vote = Node::open(&node.disk).unwrap().recovered.vote.unwrap();
    assert_eq!(vote.promised, ballot(5));
}

#[test]
fn a_start_repeats_the_vote_into_a_new_file() {
    let mut node = Node::started();
    node.accept(3, vec![record(b"carried over")]);
    node.flush();
    let memory = node.memory.clone();
    let mut node = Node::open(&node.disk).unwrap();
    node.start();
    node.flush();
    let names: Vec<String> = node.disk.files().into_keys().collect();
    assert_eq!(names, ["00000000.log", "00000001.log", "00000002.log"]);
    let recovered = Node::open(&node.disk).unwrap().recovered;
    assert_eq!(
        Memory::of(&recovered),
        Memory {
            boot: memory.boot.next(),
            ..memory
        }
    );
}

#[test]
fn blocks_are_read_from_memory_until_they_are_durable_and_from_the_disk_afterwards() {
    let mut node = Node::started();
    node.accept(1, vec![record(b"one")]);
    node.decide();
    let reader = node.ledger.reader();
    let before = node.disk.crash(|_, _| false);
    assert_eq!(
        reader.block(Height(1)).unwrap().as_ref(),
        Some(&node.memory.tip)
    );
    assert_eq!(before.files().len(), 2);
    node.flush();
    assert_eq!(
        reader.block(Height(1)).unwrap().as_ref(),
        Some(&node.memory.tip)
    );
    assert_eq!(reader.block(Height(2)).unwrap(), None);
    assert_eq!(reader.block(Height(0)).unwrap().unwrap().block, genesis());
    assert_eq!(reader.tip(), (Height(1), node.memory.tip.block.hash()));
}

#[test]
fn a_reader_walks_from_any_height_to_the_tip() {
    let mut node = Node::started();
    node.write_blocks(5);
    node.learn(vec![]);
    let reader = node.ledger.reader();
    let heights: Vec<u64> = reader
        .blocks(Height(2))
        .map(|b| b.unwrap().block.height().0)
        .collect();
    assert_eq!(heights, [2, 3, 4, 5, 6]);
    assert_eq!(reader.blocks(Height(7)).count(), 0);
}

#[test]
fn a_file_that_is_full_is_followed_by_another() {
    let mut node = Node::started();
    let full = || (0..15).map(|_| record(&vec![7; 64 << 10])).collect();
    for _ in 0..71 {
        node.learn(full());
        node.flush();
    }
    assert_eq!(node.disk.files().len(), 3);
    let again = Node::open(&node.disk).unwrap();
    assert_eq!(again.recovered.tip, node.memory.tip);
    assert_eq!(
        again
            .ledger
            .reader()
            .blocks(Height(0))
            .filter(Result::is_ok)
            .count(),
        72
    );
}

#[test]
fn blocks_that_votes_wrote_are_found_after_a_restart() {
    let mut node = Node::started();
    node.write_blocks(2);
    node.accept(1, vec![record(b"voted before, decided after the restart")]);
    node.flush();
    let memory = node.memory.clone();
    let mut node = Node::open(&node.disk).unwrap();
    node.start();
    node.memory.vote = memory.vote;
    node.decide();
    node.flush();
    let again = Node::open(&node.disk).unwrap();
    assert_eq!(again.recovered.tip, node.memory.tip);
}

#[test]
#[should_panic(expected = "a vote comes above the last decided block")]
fn a_vote_before_the_mark_below_is_refused() {
    let mut node = Node::started();
    let vote = Vote {
        height: Height(2),
        promised: ballot(2),
        accepted: None,
    };
    node.append(&Record::Vote { vote, body: false });
}

#[test]
#[should_panic(expected = "the first record of an incarnation is its start")]
fn nothing_is_written_before_the_start() {
    let mut node = Node::new();
    node.promise(2);
}

#[test]
fn a_folder_without_a_ledger_is_refused() {
    let empty = MemoryDisk::default();
    assert!(matches!(
        Ledger::open(empty, &Trusting),
        Err(OpenError::NoLedger)
    ));
    let folder = tempfile::tempdir().unwrap();
    let missing = Folder::new(folder.path().join("nothing here"));
    assert!(matches!(
        ledger::read_genesis(&missing),
        Err(OpenError::NoLedger)
    ));
}

#[test]
fn a_file_of_another_chain_is_refused() {
    let mut node = Node::started();
    node.write_blocks(1);
    let mut files = node.disk.files();
    let other = model::Block::genesis(
        model::ChainId([1; 16]),
        &membership(),
        model::Timestamp(5),
        record(b"not a founding command"),
    );
    assert!(matches!(
        create_in(tempfile::tempdir().unwrap().path(), &other),
        Err(CreateError::NotGenesis)
    ));
    let command = genesis().entries()[0].sealed().unwrap().clone();
    let chain = model::ChainId([1; 16]);
    let other = model::Block::genesis(chain, &membership(), model::Timestamp(5), command);
    let file = ledger::GenesisFile::new(&other);
    files.insert(file.name, file.bytes);
    let opened = Ledger::open(MemoryDisk::holding(files), &Trusting);
    assert!(matches!(opened, Err(OpenError::Foreign { .. })));
}

#[test]
fn a_ledger_is_made_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger");
    create_in(&path, &genesis()).unwrap();
    assert!(matches!(
        create_in(&path, &genesis()),
        Err(CreateError::Exists { .. })
    ));
    let storage = Folder::new(&path);
    assert_eq!(storage.files().unwrap(), ["00000000.log"]);
    assert_eq!(ledger::read_genesis(&storage).unwrap(), genesis());
    let report = ledger::verify(&path, &keys()[0]).unwrap();
    assert!(report.ok() && report.blocks == 1 && report.commands == 1);
}

#[test]
fn a_live_check_finds_nothing_wrong_with_a_good_ledger() {
    let mut node = Node::started();
    node.write_blocks(4);
    node.learn(vec![]);
    let report = node
        .ledger
        .reader()
        .verify(Height(2), Height(100), &keys()[0]);
    assert!(report.ok(), "{report:?}");
    assert_eq!(
        (report.from, report.to, report.blocks),
        (Height(2), Height(5), 4)
    );
}

/// A node that has learnt that n3 was removed, and the voters since.
pub(crate) fn after_a_removal() -> (Node, Membership) {
    let mut node = Node::started();
    node.write_blocks(1);
    let voters = membership().voters().to_vec();
    node.learn(vec![record(b"before"), removal(voters[2].id)]);
    (node, Membership::new(voters[..2].to_vec()).unwrap())
}

#[test]
fn the_voters_change_above_the_block_that_says_so() {
    let (mut node, two) = after_a_removal();
    let third = child_of(node.memory.tip.block.header(), two.hash(), vec![]);
    node.learn_block(third, &two);
    node.flush();
    let (ledger, recovered) = Ledger::open(node.disk.clone(), &keys()[0]).unwrap();
    assert_eq!(*recovered.roster.voters(), two);
    assert_eq!(recovered.roster.epoch(), Height(2));
    let reader = ledger.reader();
    assert_eq!(
        *reader.roster_deciding(Height(2)).unwrap().voters(),
        membership()
    );
    assert_eq!(*reader.roster_deciding(Height(3)).unwrap().voters(), two);
    let live = node.ledger.reader();
    assert_eq!(live.roster(), recovered.roster, "in use as when read back");
    let checks = [
        ledger::verify_storage(&*node.disk.storage(), &keys()[0]).unwrap(),
        reader.verify(Height(0), Height(9), &keys()[0]),
        reader.verify(Height(3), Height(9), &keys()[0]),
    ];
    for report in checks {
        assert!(report.ok(), "{report:?}");
    }
}

#[test]
fn a_block_of_voters_who_were_replaced_is_refused() {
    let (mut node, _) = after_a_removal();
    node.learn(vec![]);
    node.flush();
    assert!(matches!(
        Ledger::open(node.disk.clone(), &keys()[0]),
        Err(OpenError::Inconsistent {
            height: Height(3),
            ..
        })
    ));
    let report = ledger::verify_storage(&*node.disk.storage(), &keys()[0]).unwrap();
    assert!(report.faults.iter().all(|fault| fault.height == Height(3)));
    assert!(!report.ok());
}

#[test]
fn an_invalid_certificate_of_the_last_block_is_refused() {
    let mut node = Node::started();
    node.write_blocks(1);
    let block = child(node.memory.tip.block.header(), vec![]);
    let mut certificate = crate::chain::certify(&block, ballot(1));
    certificate.ballot = ballot(2);
    node.append(&Record::Decided {
        block,
        certificate,
        body: true,
    });
    node.flush();
    let opened = Ledger::open(node.disk.clone(), &keys()[0]);
    assert!(matches!(
        opened,
        Err(OpenError::Certificate {
            height: Height(2),
            ..
        })
    ));
    let files = node.disk.storage();
    let report = ledger::verify_storage(&*files, &keys()[0]).unwrap();
    assert_eq!(report.faults.len(), 1);
    assert_eq!(report.faults[0].height, Height(2));
}

#[test]
fn the_log_says_which_record_is_which() {
    let node = Node::started();
    assert_eq!(
        format!("{:?}", node.ledger.tip()),
        format!("(0, {:?})", genesis().hash())
    );
    assert_eq!(node.seq, LogSeq(1));
    assert_ne!(genesis().hash(), BlockHash([0; 32]));
}
