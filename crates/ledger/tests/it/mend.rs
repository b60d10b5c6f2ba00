//! Damaged ledgers are made whole from what others have, and never vote with less than they had promised.

use std::collections::BTreeMap;

use ledger::{MendError, Mended, OpenError, Storage as _, Supply, mend, verify_storage};
use model::{Decided, Height, Nonce, Record, Signatures, Vote};
use proptest::prelude::*;

use crate::chain::{Memory, Node, Trusting, ballot, keys, record};
use crate::gap::with_a_gap;
use crate::memory_disk::MemoryDisk;
use crate::segments::{SMALL, seal_all};

/// What the rest of the cluster has.
pub(crate) struct Others {
    blocks: BTreeMap<Height, Decided>,
    /// Lies told first, by height.
    lies: BTreeMap<Height, Decided>,
    refused: Vec<Height>,
    given: usize,
}

impl Others {
    pub(crate) fn of(node: &Node) -> Self {
        let blocks = node.ledger.reader().blocks(Height(1));
        let blocks = blocks.map(|block| block.expect("it can be read"));
        Self {
            blocks: blocks.map(|b| (b.block.height(), b)).collect(),
            lies: BTreeMap::new(),
            refused: Vec::new(),
            given: 0,
        }
    }

    pub(crate) fn nobody() -> Self {
        Self {
            blocks: BTreeMap::new(),
            lies: BTreeMap::new(),
            refused: Vec::new(),
            given: 0,
        }
    }
}

impl Supply for Others {
    fn blocks(&mut self, from: Height, to: Height) -> Vec<Decided> {
        let blocks = self.blocks.range(from..=to).take(3);
        let lie = |height: &Height| self.lies.get(height).cloned();
        let told = blocks.map(|(height, block)| lie(height).unwrap_or_else(|| block.clone()));
        let told: Vec<Decided> = told.collect();
        self.given += told.len();
        told
    }

    fn refuse(&mut self, height: Height, _: &str) {
        self.refused.push(height);
        self.lies.remove(&height);
    }
}

fn mended_by(
    disk: &MemoryDisk,
    others: &mut Others,
    signatures: &dyn Signatures,
) -> Result<Mended, MendError> {
    mend(disk, signatures, others, None, Nonce([0xfe; 16]))
}

/// A log with every kind of record: blocks accepted at once, after quarrels, learnt, voted on and not decided, over
/// three incarnations. The last record is one that has flushed all before it.
pub(crate) fn lived(sealed: bool) -> Node {
    let mut node = Node::started();
    node.write_blocks(2);
    for _ in 0..2 {
        node.promise(2);
        node.flush();
        node.accept(3, vec![record(b"first choice")]);
        node.flush();
        node.accept(4, vec![record(b"second choice")]);
        node.flush();
        node.promise(5);
        node.flush();
        node.decide();
        node.flush();
        node.learn(vec![record(b"learnt")]);
        node.flush();
        node.promise(2);
        node.flush();
        node = Node::open(&node.disk).unwrap();
        node.start();
        node.flush();
        node.accept(6, vec![record(b"accepted in the next life")]);
        node.flush();
        node.decide();
        node.flush();
        if sealed {
            node.write_blocks(12);
            seal_all(&node, &SMALL);
        }
    }
    node.promise(2);
    node.flush();
    node.accept(3, vec![record(b"not decided")]);
    node.flush();
    node.promise(7);
    node.flush();
    node
}

fn logs(disk: &MemoryDisk) -> Vec<String> {
    let files = disk.files().into_keys();
    files
        .filter(|name| name.ends_with(".log") && name != "00000000.log")
        .collect()
}

/// Where the log's last record begins.
fn last_record(disk: &MemoryDisk) -> (String, usize) {
    let file = logs(disk).pop().unwrap();
    let bytes = disk.files()[&file].clone();
    let heads = bytes
        .windows(4)
        .enumerate()
        .filter(|(_, four)| four == b"STRL");
    let heads: Vec<usize> = heads.map(|(at, _)| at).collect();
    // It has two heads.
    (file, heads[heads.len() - 2])
}

/// How many of the damages were refused, and how many mended.
#[derive(Debug, Default)]
struct Tally {
    harmless: usize,
    mended: usize,
    refused: usize,
}

/// Opens a damaged ledger, mended if need be. Whatever it then says is what its node knew.
fn judge(node: &Node, disk: &MemoryDisk, tally: &mut Tally, what: &dyn std::fmt::Debug) {
    let before = disk.files();
    if let Ok(opened) = Node::open(&MemoryDisk::holding(before.clone())) {
        // A newest file of which nothing can be recognised looks like one that was never finished. Others have seen
        // its incarnation, and the start-up check asks them.
        let seen = opened.memory.boot == node.memory.boot;
        assert!(!seen || opened.memory.vote == node.memory.vote, "{what:?}");
        tally.harmless += 1;
        return;
    }
    let mut others = Others::of(node);
    match mended_by(disk, &mut others, &Trusting) {
        Ok(mended) => {
            let opened = Node::open(disk).unwrap_or_else(|error| panic!("{what:?}: {error}"));
            assert_eq!(opened.memory.tip.block, node.memory.tip.block, "{what:?}");
            assert_eq!(opened.memory.vote, node.memory.vote, "{what:?}");
            assert!(opened.memory.boot > node.memory.boot, "{what:?}");
            let reader = opened.ledger.reader();
            for (height, decided) in &others.blocks.clone() {
                if reader.block(*height).is_err() {
                    ledger::repair(&reader, &Trusting, &mut others, *height).unwrap();
                }
                assert_eq!(
                    reader.block(*height).unwrap().as_ref(),
                    Some(decided),
                    "{what:?}"
                );
            }
            if mended.begun.is_some() {
                for (name, bytes) in before.iter().filter(|(name, _)| logs_name(name)) {
                    let kept = &disk.state().aside;
                    assert!(kept.iter().any(|(_, kept)| kept == bytes), "{name} is kept");
                }
            }
            tally.mended += 1;
        }
        Err(_) => {
            let mut after = disk.files();
            after.retain(|name, _| logs_name(name) || name == "00000000.log");
            let before = before
                .into_iter()
                .filter(|(name, _)| logs_name(name) || name == "00000000.log");
            assert_eq!(
                after,
                before.collect(),
                "{what:?}: a refusal changes no log"
            );
            tally.refused += 1;
        }
    }
}

fn logs_name(name: &str) -> bool {
    name.ends_with(".log") && name != "00000000.log"
}

fn rot(disk: &MemoryDisk, file: &str, range: std::ops::Range<usize>) {
    disk.edit(file, |bytes| {
        let end = range.end.min(bytes.len());
        for byte in &mut bytes[range.start.min(end)..end] {
            *byte ^= 0x15;
        }
    });
}

#[test]
fn damage_at_every_place_is_mended_or_refused_and_no_vote_is_lowered() {
    let node = lived(false);
    let whole = node.disk.files();
    let (last, end) = last_record(&node.disk);
    let mut tally = Tally::default();
    // One bad byte, both copies of a head, several records.
    for (length, step) in [(1, 211), (4200, 509), (14_000, 1013)] {
        for file in logs(&node.disk) {
            let to = if file == last {
                end
            } else {
                whole[&file].len()
            };
            for at in (0..to).step_by(step) {
                let disk = MemoryDisk::holding(whole.clone());
                let range = at..(at + length).min(to);
                rot(&disk, &file, range.clone());
                judge(&node, &disk, &mut tally, &(&file, range));
            }
        }
    }
    assert!(tally.mended > 50 && tally.harmless > 50, "{tally:?}");
}

#[test]
fn a_log_that_lost_a_file_is_mended_or_refused() {
    for sealed in [false, true] {
        let node = lived(sealed);
        let mut tally = Tally::default();
        let names = logs(&node.disk);
        for file in &names[..names.len() - 1] {
            let mut files = node.disk.files();
            files.remove(file);
            judge(&node, &MemoryDisk::holding(files), &mut tally, file);
        }
        assert_eq!(tally.mended + tally.harmless, names.len() - 1, "{tally:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]

    #[test]
    fn whatever_is_damaged_in_front_of_the_last_record_no_vote_is_lowered(
        sealed in any::<bool>(),
        places in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 1..9000_usize), 1..4),
    ) {
        let node = lived(sealed);
        let (last, end) = last_record(&node.disk);
        let disk = MemoryDisk::holding(node.disk.files());
        let names: Vec<String> = disk.files().into_keys().filter(|name| name != "00000000.log").collect();
        for (name, at, length) in &places {
            let name = &names[name.index(names.len())];
            let to = if *name == last { end } else { disk.files()[name].len() };
            let at = at.index(to);
            rot(&disk, name, at..(at + length).min(to));
        }
        judge(&node, &disk, &mut Tally::default(), &places);
    }
}

#[test]
fn a_vote_that_may_count_is_never_given_up() {
    let mut node = Node::started();
    node.write_blocks(2);
    node.accept(3, vec![record(b"precious")]);
    let write = node.disk.state().pending.last().unwrap().clone();
    node.flush();
    // The record behind it is of another height's votes or of none: nothing says what was promised.
    node.promise(4);
    node.flush();
    let at = usize::try_from(write.offset).unwrap();
    rot(&node.disk, &write.file, at..at + write.bytes.len());
    let last = last_record(&node.disk);
    rot(&node.disk, &last.0, last.1 + 60..last.1 + 61);
    // Its second copy still says that something was there.
    let before = node.disk.files();
    let error = mended_by(&node.disk, &mut Others::of(&node), &Trusting).unwrap_err();
    assert!(matches!(error, MendError::Votes { .. }), "{error}");
    assert!(error.to_string().contains("cannot be mended"), "{error}");
    assert_eq!(node.disk.files(), before);
}

/// The marks of blocks that are fetched later stand behind a start that already held a vote above them.
#[test]
fn a_vote_above_missing_blocks_outlives_marks_below_it() {
    let (mut node, blocks) = with_a_gap();
    let height = blocks.last().unwrap().block.height().next();
    node.memory.vote = Some(Vote {
        height,
        promised: ballot(3),
        accepted: None,
    });
    node.start();
    node.flush();
    let start = last_record(&node.disk);
    for decided in &blocks {
        node.append(&Record::Decided {
            block: decided.block.clone(),
            certificate: decided.certificate.clone().unwrap(),
            body: true,
        });
        node.memory.tip = decided.clone();
        node.flush();
    }
    let before = node.memory.vote.take();
    assert_eq!(Node::open(&node.disk).unwrap().memory.vote, before);
    let lost = |node: &Node| {
        let disk = MemoryDisk::holding(node.disk.files());
        rot(&disk, &start.0, start.1..start.1 + 4200);
        Node::open(&disk).unwrap_err();
        disk
    };
    let error = mended_by(&lost(&node), &mut Others::of(&node), &Trusting).unwrap_err();
    assert!(matches!(error, MendError::Votes { .. }), "{error}");
    // Once its own height is decided, it counts no more.
    node.learn(vec![record(b"four")]);
    node.flush();
    let disk = lost(&node);
    mended_by(&disk, &mut Others::of(&node), &Trusting).unwrap();
    assert_eq!(Node::open(&disk).unwrap().memory.tip, node.memory.tip);
}

#[test]
fn an_interrupted_mending_is_finished_by_the_next_one() {
    let node = lived(true);
    let (file, _) = last_record(&node.disk);
    rot(&node.disk, &file, 4300..12_000);
    let damaged = node.disk.files();
    let whole = MemoryDisk::holding(damaged.clone());
    mended_by(&whole, &mut Others::of(&node), &Trusting).unwrap();
    let after = whole.files();
    // Every mixture of what is there before and after: a crash leaves one of them.
    let new: Vec<&String> = after
        .keys()
        .filter(|name| !damaged.contains_key(*name))
        .collect();
    let old: Vec<&String> = damaged
        .keys()
        .filter(|name| !after.contains_key(*name))
        .collect();
    let log = new.iter().position(|name| name.ends_with(".log")).unwrap();
    for made in 0..=new.len() {
        let begun = made == new.len();
        for gone in 0..=if begun { old.len() } else { 0 } {
            let mut files = damaged.clone();
            // The log comes last.
            let mut order = new.clone();
            let name = order.remove(log);
            order.push(name);
            for name in order.into_iter().take(made) {
                files.insert(name.clone(), after[name].clone());
            }
            for name in old.iter().take(gone) {
                files.remove(*name);
            }
            let disk = MemoryDisk::holding(files);
            if Node::open(&disk).is_err() {
                mended_by(&disk, &mut Others::of(&node), &Trusting).unwrap();
            }
            let opened = Node::open(&disk).unwrap();
            assert_eq!(opened.memory.vote, node.memory.vote);
            assert_eq!(opened.memory.tip.block, node.memory.tip.block);
        }
    }
}

#[test]
fn a_mended_ledger_goes_on() {
    let node = lived(true);
    let mut others = Others::of(&node);
    let (file, _) = last_record(&node.disk);
    rot(&node.disk, &file, 4300..12_000);
    mended_by(&node.disk, &mut others, &keys()[0]).unwrap();
    let mut again = Node::open(&node.disk).unwrap();
    again.start();
    again.flush();
    again.learn(vec![record(b"after the mending")]);
    again.flush();
    again.write_blocks(30);
    seal_all(&again, &SMALL);
    assert!(ledger::retire(&again.ledger.reader()).is_ok());
    let last = Node::open(&node.disk).unwrap();
    assert_eq!(
        Memory {
            boot: again.memory.boot,
            ..last.memory.clone()
        },
        again.memory
    );
    let report = verify_storage(&node.disk, &keys()[0]).unwrap();
    assert!(report.ok(), "{report:?}");
}

#[test]
fn a_verifier_in_another_language_reads_a_mended_ledger() {
    for aside in [true, false] {
        let node = lived(true);
        let mut others = Others::of(&node);
        let (file, _) = last_record(&node.disk);
        rot(&node.disk, &file, 4300..12_000);
        let damaged = node.disk.files();
        mended_by(&node.disk, &mut others, &keys()[0]).unwrap();
        if !aside {
            // As an interrupted mending leaves them, or a power failure brings them back.
            node.disk.state().seen.extend(damaged);
        }
        let folder = tempfile::tempdir().unwrap();
        node.disk.save(folder.path());
        let Some(output) = crate::python::run(folder.path(), &[]) else {
            return;
        };
        let printed = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{printed}");
        let tip = format!("height={}", node.memory.tip.block.height());
        assert!(printed.contains(&tip), "{printed}");
    }
}

#[test]
fn a_liar_is_refused_and_somebody_else_is_asked() {
    let node = lived(false);
    let mut others = Others::of(&node);
    rot(&node.disk, &logs(&node.disk)[0].clone(), 4300..60_000);
    let mut lie = others.blocks[&Height(2)].clone();
    lie.certificate.as_mut().unwrap().signatures[0].0[3] ^= 1;
    others.lies.insert(Height(2), lie);
    let lie = others.blocks[&Height(3)].clone();
    others.lies.insert(Height(1), lie);
    mended_by(&node.disk, &mut others, &keys()[0]).unwrap();
    assert!(!others.refused.is_empty());
    let opened = Node::open(&node.disk).unwrap();
    assert_eq!(opened.memory.vote, node.memory.vote);
}

#[test]
fn without_others_nothing_is_changed() {
    let node = lived(false);
    rot(&node.disk, &logs(&node.disk)[0].clone(), 4300..40_000);
    let before = node.disk.files();
    let error = mended_by(&node.disk, &mut Others::nobody(), &Trusting).unwrap_err();
    assert!(error.is_passing(), "{error}");
    let mut after = node.disk.files();
    after.retain(|name, _| before.contains_key(name));
    assert_eq!(after, before);
}

#[test]
fn a_rewritten_chain_is_not_mended() {
    let node = lived(false);
    let mut others = Others::of(&node);
    // The same node, and yet another history.
    let mut other = Node::started();
    other.write_blocks(2);
    other.learn(vec![record(b"something else")]);
    other.flush();
    other.write_blocks(others.blocks.len() as u64);
    other = Node::open(&other.disk).unwrap();
    other.start();
    other.flush();
    let first = logs(&other.disk)[0].clone();
    rot(&other.disk, &first, 4224..40_000);
    let before = other.disk.files();
    let error = mended_by(&other.disk, &mut others, &Trusting).unwrap_err();
    assert!(
        matches!(
            error,
            MendError::Contradicts { .. } | MendError::Unavailable { .. }
        ),
        "{error}"
    );
    for (name, bytes) in before {
        assert_eq!(other.disk.files()[&name], bytes);
    }
}

/// Others have every height of it, so nothing but the marks shows that it is another history.
#[test]
fn a_log_of_another_history_is_not_touched() {
    let mut others = Others::of(&lived(false));
    let mut other = Node::started();
    other.learn(vec![record(b"something else")]);
    other.flush();
    other.write_blocks(2);
    other = Node::open(&other.disk).unwrap();
    other.start();
    other.flush();
    assert!(others.blocks.contains_key(&other.memory.tip.block.height()));
    rot(&other.disk, &logs(&other.disk)[0], 4224..40_000);
    let before = other.disk.files();
    for _ in 0..2 {
        let error = mended_by(&other.disk, &mut others, &Trusting).unwrap_err();
        let contradicts = matches!(error, MendError::Contradicts { .. });
        assert!(contradicts, "{error}");
    }
    let mut after = other.disk.files();
    after.retain(|name, _| name.ends_with(".log"));
    assert!(
        after
            .iter()
            .all(|(name, bytes)| before.get(name) == Some(bytes))
    );
    assert_eq!(after.len(), logs(&other.disk).len() + 1);
}

#[test]
fn lost_and_damaged_segments_are_filled_before_the_log_is_opened() {
    let node = lived(true);
    let names = node.disk.segment_files();
    assert!(names.len() > 2, "{names:?}");
    let whole = node.disk.files();
    for lost in 0..names.len() {
        for (count, keep) in [(1, false), (1, true), (names.len() - lost, false)] {
            let disk = MemoryDisk::holding(whole.clone());
            for name in &names[lost..lost + count] {
                if keep {
                    rot(&disk, name, 0..70);
                } else {
                    disk.retire(name).unwrap();
                }
            }
            let mut others = Others::of(&node);
            mended_by(&disk, &mut others, &Trusting).unwrap();
            let opened = Node::open(&disk).unwrap();
            assert_eq!(opened.memory.vote, node.memory.vote);
            let reader = opened.ledger.reader();
            assert_eq!(
                reader.blocks(Height(1)).filter(Result::is_ok).count(),
                others.blocks.len()
            );
            assert!(reader.damaged_segments().is_empty() && ledger::gaps(&reader).is_empty());
        }
    }
}

#[test]
fn a_running_ledger_heals() {
    let node = lived(true);
    let reader = node.ledger.reader();
    let names = node.disk.segment_files();
    let height = reader.segments()[1].from();
    let mut others = Others::of(&node);
    rot(&node.disk, &names[1], 100..140);
    assert!(reader.block(height).is_err());
    assert_eq!(reader.take_complaints(), [height]);
    let mended = ledger::repair(&reader, &keys()[0], &mut others, height).unwrap();
    assert!(mended.fetched >= 1 && mended.aside.len() == 1, "{mended:?}");
    assert_eq!(
        reader.block(height).unwrap(),
        Some(others.blocks[&height].clone())
    );

    node.disk.retire(&names[2]).unwrap();
    let height = reader.segments()[2].to();
    assert!(reader.block(height).is_err());
    ledger::repair(&reader, &keys()[0], &mut others, height).unwrap();
    assert_eq!(
        reader.block(height).unwrap(),
        Some(others.blocks[&height].clone())
    );
    assert!(verify_storage(&node.disk, &keys()[0]).unwrap().ok());
}

#[test]
fn a_damaged_block_in_the_log_of_a_running_node_is_sealed_early() {
    let mut node = Node::started();
    node.write_blocks(9);
    let reader = node.ledger.reader();
    let (file, _) = last_record(&node.disk);
    let mut others = Others::of(&node);
    rot(&node.disk, &file, 20_000..36_000);
    let bad: Vec<Height> = (1..=9)
        .map(Height)
        .filter(|h| reader.block(*h).is_err())
        .collect();
    assert!(!bad.is_empty());
    for height in &bad {
        ledger::repair(&reader, &keys()[0], &mut others, *height).unwrap();
        assert_eq!(
            reader.block(*height).unwrap(),
            Some(others.blocks[height].clone())
        );
    }
    node.write_blocks(3);
    assert_eq!(reader.blocks(Height(1)).filter(Result::is_ok).count(), 12);
}

#[test]
fn nothing_is_mended_where_there_is_no_ledger() {
    let disk = MemoryDisk::holding(BTreeMap::new());
    let error = mended_by(&disk, &mut Others::nobody(), &Trusting).unwrap_err();
    assert!(
        matches!(error, MendError::Open(OpenError::NoLedger)),
        "{error}"
    );
}
