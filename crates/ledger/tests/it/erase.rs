//! What a purge names is gone from the disk, and the chain is the same.

use ledger::{Bounds, Erased, Ledger, verify_storage};
use model::command::{Command, Payload, SealedCommand};
use model::file::State;
use model::{
    BlobId, Digest, Entry, Erasure, Erasures, Height, LibraryId, Position, RequestKey, Residue,
    Timestamp, TokenId,
};

use crate::chain::{Node, Trusting, keys};
use crate::memory_disk::{Files, MemoryDisk};
use crate::segments::{SMALL, seal_all};

const SECRET: BlobId = BlobId(*b"the secret that must not be here");
const ACTOR: TokenId = TokenId([1; 8]);

fn naming(file: BlobId, key: Option<&str>) -> Command {
    Command {
        library: LibraryId::home(),
        actor: ACTOR,
        key: key.map(|key| RequestKey {
            key: key.to_owned(),
            request: Digest([4; 32]),
        }),
        valid_until: Timestamp(u64::MAX),
        payload: Payload::SetState {
            file,
            expected: None,
            state: State::Trashed,
        },
    }
}

fn sealed(command: &Command) -> SealedCommand {
    command.seal([9; 16])
}

/// A ledger with four commands that name the secret, two of them sealed, one in a vote that lost, and the purge of the
/// others in its last block.
fn purged() -> (Node, Erasures) {
    let mut node = Node::started();
    node.write_blocks(3);
    let keyed = naming(SECRET, Some("key"));
    let plain = naming(SECRET, None);
    let other = naming(BlobId([5; 32]), None);
    node.accept(1, vec![sealed(&other), sealed(&keyed)]);
    node.decide();
    node.write_blocks(30);
    seal_all(&node, &SMALL);
    node.accept(1, vec![sealed(&naming(SECRET, Some("lost")))]);
    node.accept(2, vec![sealed(&plain)]);
    node.decide();
    node.write_blocks(2);
    let first = erasure(4, 1, Residue::of(&keyed, true));
    let second = erasure(35, 0, Residue::of(&plain, true));
    let erasures = Erasures {
        library: LibraryId::home(),
        commands: vec![first, second],
    };
    let purge = Command {
        payload: Payload::Purge(erasures.commands.clone()),
        ..plain
    };
    node.accept(1, vec![sealed(&purge)]);
    node.decide();
    node.flush();
    (node, erasures)
}

fn erasure(height: u64, index: u32, residue: Residue) -> Erasure {
    Erasure {
        position: Position {
            height: Height(height),
            index,
        },
        actor: ACTOR,
        residue,
    }
}

fn holds_secret(files: &Files) -> Vec<String> {
    let holds = |bytes: &[u8]| bytes.windows(32).any(|window| window == SECRET.0);
    let found = files.iter().filter(|(_, bytes)| holds(bytes));
    found.map(|(name, _)| name.clone()).collect()
}

/// Erases until it is done, writing the blocks that are waited for.
fn erase_all(node: &mut Node, erasures: &Erasures, purge: Height) -> u32 {
    let reader = node.ledger.reader();
    reader.forget(erasures);
    for written in 0..9 {
        match ledger::erase(&reader, purge).unwrap() {
            Erased::Done => return written,
            Erased::Waiting { .. } => node.write_blocks(1),
        }
    }
    panic!("it is never done");
}

#[test]
fn what_is_purged_is_gone_from_log_and_segments() {
    let (mut node, erasures) = purged();
    let purge = node.memory.tip.block.height();
    assert_eq!(holds_secret(&node.disk.files()).len(), 2);
    let before: Vec<_> = node
        .ledger
        .reader()
        .blocks(Height(0))
        .map(Result::unwrap)
        .collect();
    assert_eq!(erase_all(&mut node, &erasures, purge), 2);
    assert_eq!(holds_secret(&node.disk.files()), [""; 0]);
    let report = verify_storage(&node.disk, &keys()[0]).unwrap();
    assert!(report.ok(), "{report:?}");
    let again = Node::open(&node.disk).unwrap();
    assert_eq!(again.memory, node.memory);
    for (reader, decided) in [&node, &again].iter().flat_map(|node| {
        let reader = node.ledger.reader();
        before.iter().map(move |decided| (reader.clone(), decided))
    }) {
        let found = reader.block(decided.block.height()).unwrap().unwrap();
        assert_eq!(found.block.hash(), decided.block.hash());
        assert_eq!(found.certificate, decided.certificate);
        for (index, (now, then)) in
            (0..).zip(found.block.entries().iter().zip(decided.block.entries()))
        {
            let position = Position {
                height: decided.block.height(),
                index,
            };
            match erasures
                .commands
                .iter()
                .find(|erasure| erasure.position == position)
            {
                Some(erasure) => assert_eq!(*now, erasure.residue.entry(then.leaf())),
                None => assert_eq!(now, then),
            }
        }
    }
}

#[test]
fn what_is_purged_goes_also_where_one_segment_reaches_to_the_tip() {
    let (mut node, erasures) = purged();
    let purge = node.memory.tip.block.height();
    let reader = node.ledger.reader();
    reader.forget(&erasures);
    let done = (0..9).any(|_| {
        let Erased::Waiting { above } = ledger::erase(&reader, purge).unwrap() else {
            return true;
        };
        // Whoever erases asks for a block only if the one that is waited for is not there.
        let tip = node.memory.tip.block.height();
        if above.is_none_or(|height| tip < height) {
            node.write_blocks(3);
            ledger::seal_to_tip(&reader).unwrap();
        }
        false
    });
    assert!(done, "it is never done");
    assert_eq!(holds_secret(&node.disk.files()), [""; 0]);
}

#[test]
fn nothing_of_it_is_read_from_the_moment_it_is_to_be_forgotten() {
    let (node, erasures) = purged();
    let reader = node.ledger.reader();
    reader.forget(&erasures);
    let block = reader.block(Height(35)).unwrap().unwrap().block;
    assert!(matches!(
        block.entries(),
        [Entry::Remembered { key: None, .. }]
    ));
    let name = ledger::seal(
        &reader,
        &Bounds {
            keep: 0,
            bytes: 1,
            ..SMALL
        },
    )
    .unwrap()
    .unwrap();
    assert!(name.from() <= Height(35));
    while ledger::seal(
        &reader,
        &Bounds {
            keep: 0,
            bytes: 1,
            ..SMALL
        },
    )
    .unwrap()
    .is_some()
    {}
    let held = holds_secret(&node.disk.files());
    let segments = held.iter().filter(|name| name.contains('/'));
    assert_eq!(segments.count(), 1, "only the one from before: {held:?}");
}

#[test]
fn a_crash_at_any_step_leaves_a_ledger_that_goes_on_to_erase() {
    for steps in 0..4 {
        let (mut node, erasures) = purged();
        let purge = node.memory.tip.block.height();
        let reader = node.ledger.reader();
        reader.forget(&erasures);
        for _ in 0..steps {
            if ledger::erase(&reader, purge).unwrap() != Erased::Done {
                node.write_blocks(1);
            }
        }
        let disk = node.disk.crash(|_, _| false);
        let mut node = Node::open(&disk).unwrap();
        node.start();
        node.flush();
        erase_all(&mut node, &erasures, purge);
        assert_eq!(holds_secret(&node.disk.files()), [""; 0], "{steps}");
        let report = verify_storage(&node.disk, &keys()[0]).unwrap();
        assert!(report.ok(), "{report:?}");
        Ledger::open(node.disk.clone(), &Trusting).unwrap();
    }
}

#[test]
fn a_purge_destroys_nothing_but_what_names_a_file_of_its_library() {
    let (node, erasures) = purged();
    let reader = node.ledger.reader();
    let wrong = [
        // A record.
        erasure(2, 0, Residue::Leaf),
        // Another residue than the command has, another actor.
        erasure(4, 1, Residue::Leaf),
        Erasure {
            actor: TokenId([2; 8]),
            ..erasures.commands[1]
        },
    ];
    reader.forget(&Erasures {
        library: LibraryId::home(),
        commands: wrong.to_vec(),
    });
    reader.forget(&Erasures {
        library: "other".parse().unwrap(),
        ..erasures
    });
    for decided in reader.blocks(Height(1)) {
        assert_eq!(decided.unwrap().block.check_complete(), Ok(()));
    }
}

#[test]
fn a_command_that_is_missing_without_a_purge_is_damage() {
    let (mut node, erasures) = purged();
    let purge = node.memory.tip.block.height();
    let more = Erasures {
        commands: vec![erasure(4, 0, Residue::Leaf)],
        ..erasures
    };
    erase_all(&mut node, &more, purge);
    let disk: &MemoryDisk = &node.disk;
    let report = verify_storage(disk, &keys()[0]).unwrap();
    let faults: Vec<_> = report
        .faults
        .iter()
        .map(|fault| (fault.height, fault.what.as_str()))
        .collect();
    assert_eq!(
        faults,
        [(Height(4), "command 0 is missing, and no purge names it")]
    );
}
