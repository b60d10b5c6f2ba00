//! Flushed bytes go bad: one copy is made good, two are an error, and nobody votes on what is left.

use std::io;
use std::sync::Arc;

use ledger::{Disk, Ledger, OpenError, Storage, Write, read_genesis, verify_storage};
use model::Height;

use crate::chain::{Memory, Node, Trusting, ballot, certify, child, keys, record};
use crate::memory_disk::MemoryDisk;

/// The offset of the last record appended to a node's log.
fn last_offset(node: &Node) -> (String, usize) {
    let state = node.disk.state();
    let write = state.pending.last().expect("not yet flushed");
    (write.file.clone(), usize::try_from(write.offset).unwrap())
}

fn second_copy(offset: usize) -> usize {
    (offset + 256).next_multiple_of(4096)
}

fn rot(disk: &MemoryDisk, file: &str, at: usize) {
    disk.edit(file, |bytes| bytes[at] ^= 0x10);
}

fn opened(disk: &MemoryDisk) -> Result<Memory, OpenError> {
    let (_, recovered) = Ledger::open(disk.clone(), &Trusting)?;
    Ok(Memory::of(&recovered))
}

/// A log whose vote at height 3 is flushed, with or without a flushed record behind it.
fn voted(behind: u64) -> (Node, String, usize) {
    let mut node = Node::started();
    node.write_blocks(2);
    node.accept(2, vec![record(b"precious")]);
    let (file, offset) = last_offset(&node);
    node.flush();
    for k in 0..behind {
        node.promise(3 + k);
        node.flush();
    }
    (node, file, offset)
}

#[test]
fn one_bad_copy_of_a_vote_is_made_good_by_the_other() {
    for behind in [0, 1] {
        let (node, file, offset) = voted(behind);
        for copy in [offset, second_copy(offset)] {
            let disk = MemoryDisk::holding(node.disk.files());
            disk.edit(&file, |bytes| bytes[copy..copy + 180].fill(0xee));
            let (_, recovered) = Ledger::open(disk, &Trusting).unwrap();
            assert_eq!(Memory::of(&recovered), node.memory);
            let repaired = &recovered.report.repaired[0];
            assert_eq!((&repaired.file, repaired.offset), (&file, offset as u64));
        }
    }
}

#[test]
fn two_bad_copies_with_a_flushed_record_behind_are_an_error() {
    let (node, file, offset) = voted(1);
    rot(&node.disk, &file, offset + 50);
    rot(&node.disk, &file, second_copy(offset) + 60);
    let before = node.disk.files();
    let error = opened(&node.disk).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("must not vote again under its identity")
    );
    let OpenError::DamagedVotes {
        file: named,
        offset: at,
        height,
        ..
    } = error
    else {
        panic!("{error}");
    };
    assert_eq!((named, at, height), (file, offset as u64, Height(3)));
    assert_eq!(node.disk.files(), before, "nothing is cut");
}

#[test]
fn two_bad_copies_that_a_later_start_vouches_for_are_an_error() {
    let (node, file, offset) = voted(1);
    let mut node = Node::open(&node.disk).unwrap();
    node.start();
    node.flush();
    rot(&node.disk, &file, offset + 50);
    rot(&node.disk, &file, second_copy(offset) + 60);
    let error = opened(&node.disk).unwrap_err();
    assert!(matches!(error, OpenError::DamagedVotes { .. }), "{error}");
}

#[test]
fn two_bad_copies_of_a_last_vote_are_made_good_by_the_start_that_repeats_it() {
    let (node, file, offset) = voted(0);
    let mut node = Node::open(&node.disk).unwrap();
    node.start();
    node.flush();
    rot(&node.disk, &file, offset + 50);
    rot(&node.disk, &file, second_copy(offset) + 60);
    let (_, recovered) = Ledger::open(node.disk.clone(), &Trusting).unwrap();
    assert_eq!(Memory::of(&recovered), node.memory);
    assert_eq!(recovered.report.superseded[0].offset, offset as u64);
}

#[test]
fn two_bad_copies_at_the_end_are_a_torn_end() {
    let (node, file, offset) = voted(0);
    rot(&node.disk, &file, offset + 50);
    rot(&node.disk, &file, second_copy(offset) + 60);
    let memory = opened(&node.disk).unwrap();
    assert_eq!((memory.tip, memory.vote), (node.memory.tip, None));
    assert_eq!(node.disk.state().durable[&file].len(), offset);
}

#[test]
fn one_rotten_sector_among_the_last_writes_is_not_taken_for_a_torn_end() {
    let mut node = Node::started();
    node.write_blocks(1);
    node.accept(1, vec![record(b"one")]);
    node.flush();
    // Two records in one flush, nothing behind them says that it succeeded.
    node.decide();
    let (file, mark) = last_offset(&node);
    node.accept(1, vec![record(b"two")]);
    node.flush();
    rot(&node.disk, &file, mark + 70);
    let error = opened(&node.disk).unwrap_err();
    assert!(
        matches!(
            error,
            OpenError::DamagedBlock {
                height: Height(2),
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn a_damaged_block_is_an_error_that_names_its_height() {
    let (node, file, offset) = voted(1);
    let body = second_copy(offset) + 300;
    rot(&node.disk, &file, body);
    let error = opened(&node.disk).unwrap_err();
    assert!(
        matches!(
            error,
            OpenError::DamagedBlock {
                height: Height(3),
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn a_damaged_mark_is_an_error_that_names_its_height() {
    let mut node = Node::started();
    node.accept(1, vec![record(b"one")]);
    node.flush();
    node.decide();
    let (file, mark) = last_offset(&node);
    node.flush();
    node.promise(2);
    node.flush();
    for at in [mark + 20, mark + 100] {
        let disk = MemoryDisk::holding(node.disk.files());
        rot(&disk, &file, at);
        let error = opened(&disk).unwrap_err();
        assert!(
            matches!(
                error,
                OpenError::DamagedBlock {
                    height: Height(1),
                    ..
                }
            ),
            "{error}"
        );
    }
}

#[test]
fn a_missing_file_is_an_error() {
    let mut node = Node::started();
    node.write_blocks(2);
    for _ in 0..2 {
        node = Node::open(&node.disk).unwrap();
        node.start();
        node.write_blocks(1);
    }
    for lost in ["00000001.log", "00000002.log"] {
        let mut files = node.disk.files();
        files.remove(lost);
        let error = opened(&MemoryDisk::holding(files)).unwrap_err();
        assert!(matches!(error, OpenError::DamagedVotes { .. }), "{error}");
    }
    let mut files = node.disk.files();
    files.remove("00000000.log");
    assert!(matches!(
        opened(&MemoryDisk::holding(files)),
        Err(OpenError::NoLedger)
    ));
}

#[test]
fn a_file_cut_short_with_a_later_one_behind_is_an_error() {
    let mut node = Node::started();
    node.write_blocks(2);
    let mut node = Node::open(&node.disk).unwrap();
    node.start();
    node.flush();
    for keep in [0, 4000, 9000, 13000] {
        let disk = MemoryDisk::holding(node.disk.files());
        disk.edit("00000001.log", |bytes| bytes.truncate(keep));
        assert!(opened(&disk).is_err(), "{keep}");
    }
}

#[test]
fn both_headers_of_a_file_lost_are_an_error_when_votes_are_behind_them() {
    let (node, file, _) = voted(1);
    let disk = MemoryDisk::holding(node.disk.files());
    disk.edit(&file, |bytes| {
        bytes[..64].fill(0);
        bytes[4096..4160].fill(0);
    });
    assert!(matches!(
        opened(&disk),
        Err(OpenError::DamagedVotes { offset: 0, .. })
    ));
    let disk = MemoryDisk::holding(node.disk.files());
    disk.edit(&file, |bytes| bytes[..64].fill(0));
    assert_eq!(opened(&disk).unwrap(), node.memory);
}

#[test]
fn a_newer_format_is_refused() {
    let node = Node::started();
    node.disk.edit("00000001.log", |bytes| {
        for copy in [0, 4096] {
            bytes[copy + 11] = 3;
            let sum = crc32fast::hash(&bytes[copy..copy + 60]);
            bytes[copy + 60..copy + 64].copy_from_slice(&sum.to_be_bytes());
        }
    });
    assert!(matches!(
        opened(&node.disk),
        Err(OpenError::Version { version: 3, .. })
    ));
}

#[test]
fn bytes_a_client_chose_do_not_pass_for_a_record() {
    let mut node = Node::started();
    node.write_blocks(1);
    node.promise(9);
    let copy = node.disk.state().pending[0].bytes[..185].to_vec();
    // A later incarnation has another nonce, so the same bytes mean nothing in its files.
    let mut node = Node::open(&node.disk).unwrap();
    node.start();
    node.flush();
    node.accept(10, vec![record(&copy)]);
    let torn = node
        .disk
        .crash(|write, at| at > write.offset + 512 && at < write.offset + 8192);
    assert!(Node::open(&torn).is_ok());
}

#[test]
fn a_block_that_rots_while_the_node_runs_is_not_served() {
    let (node, file, offset) = voted(0);
    let disk = node.disk.clone();
    let mut node = node;
    node.decide();
    node.flush();
    rot(&disk, &file, second_copy(offset) + 300);
    let reader = node.ledger.reader();
    assert!(reader.block(Height(3)).is_err());
    assert!(reader.block(Height(2)).is_ok());
    let report = reader.verify(Height(0), Height(3), &keys()[0]);
    let faults: Vec<u64> = report.faults.iter().map(|fault| fault.height.0).collect();
    assert_eq!(faults, [3]);
    let report = ledger::verify_storage(&disk, &keys()[0]).unwrap();
    assert!(
        report.faults.iter().all(|fault| fault.height == Height(3)),
        "{report:?}"
    );
    assert_eq!((report.ok(), report.blocks), (false, 3));
}

#[test]
fn a_swapped_block_is_found_although_every_checksum_fits() {
    // Somebody rewrites the log of a stopped node with a block of their own: all sums are right, no quorum signed.
    let mut forged = Node::started();
    forged.write_blocks(1);
    forged.learn(vec![record(b"forged")]);
    forged.flush();
    let mut node = Node::started();
    node.write_blocks(2);
    let (head, _) = (node.memory.tip.clone(), ());
    let mut certificate = head.certificate.unwrap();
    let block = forged.memory.tip.block.clone();
    certificate.hash = block.hash();
    let mut liar = Node::started();
    liar.write_blocks(1);
    liar.append(&model::Record::Decided {
        block,
        certificate,
        body: true,
    });
    liar.flush();
    let opened = Ledger::open(liar.disk.clone(), &keys()[0]);
    assert!(matches!(
        opened,
        Err(OpenError::Certificate {
            height: Height(2),
            ..
        })
    ));
}

#[test]
fn a_start_behind_stray_bytes_is_not_forgotten() {
    // The last thing an incarnation wrote is its start, and something wrote behind the end of the file before it.
    let mut node = Node::started();
    node.write_blocks(1);
    let mut node = Node::open(&node.disk).unwrap();
    node.start();
    node.flush();
    node.disk
        .edit("00000001.log", |bytes| bytes.extend([0xee; 700]));
    let verified = verify_storage(&node.disk, &Trusting).unwrap();
    assert!(verified.ok() && verified.notes.len() == 1, "{verified:?}");
    let again = Node::open(&node.disk).unwrap();
    assert_eq!(again.memory, node.memory, "no boot is used twice");
    let report = &again.recovered.report;
    assert_eq!((report.repaired.len(), report.cut.len()), (1, 0));
}

/// A disk that says of one file that it is longer than it is, and has nothing to read there.
#[derive(Clone)]
struct Grown(MemoryDisk, u64);

impl Storage for Grown {
    fn files(&self) -> io::Result<Vec<String>> {
        Storage::files(&self.0)
    }

    fn len(&self, file: &str) -> io::Result<u64> {
        let length = Storage::len(&self.0, file)?;
        Ok(if file == "00000001.log" {
            self.1
        } else {
            length
        })
    }

    fn read(&self, file: &str, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        self.0.read(file, offset, length)
    }
}

impl Disk for Grown {
    fn storage(&self) -> Arc<dyn Storage> {
        Arc::new(self.clone())
    }

    fn cut(&mut self, file: &str, length: u64) -> io::Result<()> {
        self.0.cut(file, length)
    }

    fn submit(&mut self, write: Write) {
        self.0.submit(write);
    }
}

#[test]
fn a_file_longer_than_any_place_in_it_is_refused_unread() {
    let mut node = Node::started();
    node.write_blocks(1);
    let grown = Grown(node.disk.clone(), 1 << 32);
    let opened = Ledger::open(grown.clone(), &Trusting).map(|_| ());
    let verified = verify_storage(&grown, &Trusting).map(|_| ());
    let genesis = read_genesis(&grown).map(|_| ());
    for refused in [opened, verified, genesis] {
        let error = refused.unwrap_err();
        assert!(
            matches!(
                error,
                OpenError::TooLong {
                    length: 0x1_0000_0000,
                    ..
                }
            ),
            "{error}"
        );
    }
}

#[test]
fn a_file_whose_name_has_more_than_eight_digits_is_not_the_logs() {
    let node = Node::started();
    let mut files = node.disk.files();
    files.insert("4294967295.log".to_owned(), Vec::new());
    let mut again = Node::open(&MemoryDisk::holding(files)).unwrap();
    again.start();
    assert!(again.disk.files().contains_key("00000002.log"));
}

/// The faults of a log whose last record names another height than its own.
fn faults_of_a_record_at(height: Height) -> usize {
    let mut node = Node::started();
    node.write_blocks(1);
    let block = child(node.memory.tip.block.header(), vec![record(b"next")]);
    let mut certificate = certify(&block, ballot(1));
    certificate.height = height;
    node.append(&model::Record::Decided {
        block,
        certificate,
        body: true,
    });
    node.flush();
    let report = verify_storage(&node.disk, &Trusting).unwrap();
    assert_eq!(report.blocks, 2, "{height}: {report:?}");
    report.faults.len()
}

#[test]
fn heights_that_are_missing_in_a_row_are_one_fault() {
    assert_eq!(faults_of_a_record_at(Height(100)), 2);
}

#[test]
fn a_record_that_names_the_last_height_of_all_is_one_fault() {
    assert_eq!(faults_of_a_record_at(Height(u64::MAX)), 2);
}
