//! What is pruned is gone from the disk, the chain is the same, and nobody is believed who prunes without being told to.

use std::collections::BTreeMap;
use std::sync::Arc;

use ledger::{Erased, Ledger, Residues, VerifyReport, prune, verify_storage};
use model::command::{Command, Payload, SealedCommand};
use model::file::State;
use model::{
    BlobId, Block, Boot, Digest, Draft, Entry, Height, LibraryId, Position, Prune, RequestKey,
    Residue, SnapshotRef, SnapshotStep, Timestamp, TokenId, Turn,
};

use crate::chain::{Node, Trusting, keys, membership, record, sealed};
use crate::memory_disk::{Files, MemoryDisk};
use crate::segments::{SMALL, seal_all};

const OLD: BlobId = BlobId(*b"the old body that must not be he");
const SNAPSHOT: SnapshotRef = SnapshotRef {
    height: Height(10),
    version: 1,
    digest: Digest([6; 32]),
};
const PRUNE: Prune = Prune {
    through: Height(9),
    snapshot: SNAPSHOT,
};
const DAY: u64 = 24 * 3600 * 1_000_000;

fn naming(key: Option<&str>) -> Command {
    Command {
        library: LibraryId::home(),
        actor: TokenId([1; 8]),
        key: key.map(|key| RequestKey {
            key: key.to_owned(),
            request: Digest([4; 32]),
        }),
        valid_until: Timestamp(u64::MAX),
        payload: Payload::SetState {
            file: OLD,
            expected: None,
            state: State::Trashed,
        },
    }
}

fn vouch(voter: usize) -> SealedCommand {
    let node = membership().voters()[voter].id;
    sealed(Payload::Snapshot(SnapshotStep::Vouch {
        height: SNAPSHOT.height,
        version: SNAPSHOT.version,
        digest: SNAPSHOT.digest,
        node,
    }))
}

/// A block so much later than the last.
fn later(node: &Node, by: u64, commands: Vec<SealedCommand>) -> Arc<Block> {
    let parent = node.memory.tip.block.header();
    let me = Turn {
        node: membership().voters()[0].id,
        boot: Boot(1),
    };
    Arc::new(Block::new(Draft {
        chain: parent.chain,
        height: parent.height.next(),
        parent: Some(parent.hash()),
        membership: parent.membership,
        proposer: me,
        time: Timestamp(parent.time.0 + by),
        hint: Some(me),
        commands,
    }))
}

/// A ledger with two old commands about a file, a snapshot for which these vouch, and a prune so much later.
fn told(vouchers: &[usize], by: u64) -> Node {
    let mut node = Node::started();
    node.write_blocks(3);
    let old = vec![
        naming(Some("key")).seal([9; 16]),
        record(b"stays"),
        naming(None).seal([8; 16]),
    ];
    node.accept(1, old);
    node.decide();
    node.write_blocks(30);
    seal_all(&node, &SMALL);
    node.accept(1, vouchers.iter().map(|voter| vouch(*voter)).collect());
    node.decide();
    let block = later(&node, by, vec![sealed(Payload::Prune(PRUNE))]);
    node.learn_block(block, &membership());
    node.flush();
    node
}

fn residues() -> Residues {
    let position = |index| Position {
        height: Height(4),
        index,
    };
    let kept = |command: &Command| Residue::of(command, true);
    BTreeMap::from([
        (position(0), kept(&naming(Some("key")))),
        (position(2), kept(&naming(None))),
    ])
}

fn holds_old(files: &Files) -> Vec<String> {
    let holds = |bytes: &[u8]| bytes.windows(32).any(|window| window == OLD.0);
    let found = files.iter().filter(|(_, bytes)| holds(bytes));
    found.map(|(name, _)| name.clone()).collect()
}

fn step(node: &Node) -> Erased {
    let reader = node.ledger.reader();
    prune(&reader, PRUNE.through, |_, _| Ok(residues())).unwrap()
}

/// Prunes until it is done, writing the blocks that are waited for.
fn prune_all(node: &mut Node) {
    for _ in 0..9 {
        match step(node) {
            Erased::Done => return,
            Erased::Waiting { .. } => node.write_blocks(1),
        }
    }
    panic!("it is never done");
}

fn verified(disk: &MemoryDisk) -> VerifyReport {
    verify_storage(disk, &keys()[0]).unwrap()
}

#[test]
fn what_is_pruned_is_gone_from_log_and_segments_and_its_requests_are_not() {
    let mut node = told(&[0, 1], 2 * DAY);
    assert!(!holds_old(&node.disk.files()).is_empty());
    let (names, before) = {
        let reader = node.ledger.reader();
        (reader.segments(), reader.block(Height(4)).unwrap().unwrap())
    };
    prune_all(&mut node);
    assert_eq!(holds_old(&node.disk.files()), [""; 0]);
    let reader = node.ledger.reader();
    assert!(reader.segments().starts_with(&names[..3]), "names stay");
    let after = reader.block(Height(4)).unwrap().unwrap();
    assert_eq!(after.block.hash(), before.block.hash());
    let [
        Entry::Pruned {
            residue: Residue::Key(_),
            ..
        },
        Entry::Sealed(stays),
        Entry::Pruned {
            residue: Residue::Leaf,
            ..
        },
    ] = after.block.entries()
    else {
        panic!("{:?}", after.block.entries());
    };
    assert_eq!(stays.leaf(), record(b"stays").leaf());
    let report = verified(&node.disk);
    assert!(report.ok(), "{report:?}");
    let note = "2 commands up to height 4 are pruned".to_owned();
    assert!(report.notes.contains(&note), "{report:?}");
    assert!(reader.is_in_force(&PRUNE, Height(36)).unwrap());
    assert!(reader.was_vouched_for(&SNAPSHOT).unwrap());
}

#[test]
fn a_crash_at_any_step_leaves_a_ledger_that_goes_on_to_prune() {
    for steps in 0..4 {
        let mut node = told(&[0, 1], 2 * DAY);
        for _ in 0..steps {
            if step(&node) != Erased::Done {
                node.write_blocks(1);
            }
        }
        let disk = node.disk.crash(|_, _| false);
        let mut node = Node::open(&disk).unwrap();
        node.start();
        node.flush();
        prune_all(&mut node);
        assert_eq!(holds_old(&node.disk.files()), [""; 0], "{steps}");
        assert!(verified(&node.disk).ok(), "{steps}");
        Ledger::open(node.disk.clone(), &Trusting).unwrap();
    }
}

#[test]
fn what_is_pruned_though_too_few_vouch_or_it_is_young_is_damage() {
    for (vouchers, by) in [
        (&[0][..], 2 * DAY),
        (&[0, 0], 2 * DAY),
        (&[0, 1], DAY - 100),
    ] {
        let mut node = told(vouchers, by);
        let reader = node.ledger.reader();
        assert!(!reader.is_in_force(&PRUNE, Height(36)).unwrap());
        assert_eq!(
            reader.was_vouched_for(&SNAPSHOT).unwrap(),
            vouchers == [0, 1]
        );
        prune_all(&mut node);
        let faults = verified(&node.disk).faults;
        let faults: Vec<_> = faults
            .iter()
            .map(|fault| (fault.height, fault.what.as_str()))
            .collect();
        let what = "2 commands are pruned, and no prune that is in force names them";
        assert_eq!(faults, [(Height(4), what)]);
    }
}

#[test]
fn a_command_of_which_nothing_is_known_keeps_its_bytes() {
    let mut node = told(&[0, 1], 2 * DAY);
    let reader = node.ledger.reader();
    for _ in 0..9 {
        if prune(&reader, PRUNE.through, |_, _| Ok(Residues::new())).unwrap() == Erased::Done {
            break;
        }
        node.write_blocks(1);
    }
    let block = reader.block(Height(4)).unwrap().unwrap().block;
    assert_eq!(block.check_complete(), Ok(()));
}
