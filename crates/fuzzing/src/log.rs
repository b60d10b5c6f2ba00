//! A ledger's folder, with anything in it.
//!
//! Whatever lies there, opening comes back in bounded time and memory, with a ledger or an error that says what is wrong.
//! What it gives back is a chain, which opens again as the same one and can be written on. And a real folder that was
//! damaged gives back what was written, as far as it goes: another block, or a vote that was never cast, at no price.

use std::sync::OnceLock;

use ledger::{Ledger, Report, VerifyReport, verify_storage};
use model::{BlockHash, Height};

use crate::Seed;
use crate::chain::{Trusting, genesis, record};
use crate::folder::{Files, Folder, Memory, Node};
use crate::image::{pack, unpack};
use crate::seal::seal;

/// A life of two incarnations: five decided blocks, and a vote on a sixth.
fn life() -> Node {
    let mut node = first_incarnation();
    let memories = std::mem::take(&mut node.memories);
    let mut node = Node::open(&node.folder).expect("what was written can be opened");
    node.memories.splice(0..0, memories);
    node.start();
    node.accept(1, vec![record(b"one"), record(b"two"), record(&[7; 700])]);
    node.promise(2);
    node.decide();
    node.accept(2, vec![]);
    node.decide();
    node.accept(3, vec![record(b"undecided")]);
    node
}

fn first_incarnation() -> Node {
    let folder = Folder::founded(&genesis());
    let mut node = Node::open(&folder).expect("a new ledger opens");
    node.start();
    node.accept(1, vec![record(b"first")]);
    node.decide();
    node.promise(4);
    node.learn(vec![record(b"second")]);
    node.learn(vec![]);
    node
}

/// Any bytes in the files: `bytes` is an [image](crate::image).
///
/// # Panics
/// If a property is broken.
pub fn raw(bytes: &[u8]) {
    open(unpack(bytes));
}

/// The same, with every checksum made right.
///
/// # Panics
/// If a property is broken.
pub fn sealed(bytes: &[u8]) {
    let mut files = unpack(bytes);
    seal(&mut files);
    open(files);
}

fn open(files: Files) {
    let folder = Folder::holding(files);
    if let Ok(report) = verify_storage(&folder, &Trusting) {
        check_size(&report, &folder);
    }
    let Ok((ledger, recovered)) = Ledger::open(folder.clone(), &Trusting) else {
        return;
    };
    let memory = Memory::of(&recovered);
    check_chain(&ledger);
    drop(ledger);
    let mut node = Node::open(&folder).expect("what was opened can be opened again");
    assert_eq!(node.memory(), &memory, "opening twice gives the same");
    // A node that lacks blocks fetches them before it writes anything but its start.
    node.start();
    let after = node.memory().clone();
    let again = Node::open(&folder).expect("a ledger that was written on opens");
    assert_eq!(again.memory(), &after, "a start repeats what was known");
}

/// What a check says of a folder is not much longer than what lies in it.
fn check_size(report: &VerifyReport, folder: &Folder) {
    let bytes: usize = folder.files().values().map(Vec::len).sum();
    let said = report.faults.len() + report.notes.len();
    assert!(said <= 16 + bytes / 16, "{said} faults in {bytes} bytes");
    assert!(report.blocks <= bytes as u64);
}

/// Every block up to the tip is there, or says why not, and names the one below.
fn check_chain(ledger: &Ledger<Folder>) {
    let reader = ledger.reader();
    let mut below: Option<BlockHash> = None;
    for height in 0..=ledger.tip().0.0 {
        let height = Height(height);
        let hash = reader.hash(height);
        assert!(hash.is_some(), "{height} is missing below the tip");
        if let Ok(decided) = reader.block(height) {
            let block = decided.expect("its hash is known").block;
            assert_eq!(Some(block.hash()), hash);
            assert!(height == Height::GENESIS || block.header().parent == below);
        }
        below = hash;
    }
}

/// The life of a node, damaged as `bytes` say.
///
/// # Panics
/// If a property is broken.
pub fn damaged(bytes: &[u8]) {
    static LIFE: OnceLock<(Files, Vec<Memory>)> = OnceLock::new();
    let (files, memories) = LIFE.get_or_init(|| {
        let node = life();
        (unpack(&pack(&node.folder.files())), node.memories)
    });
    let mut damaged = files.clone();
    for damage in bytes.chunks_exact(Damage::BYTES) {
        Damage::parse(damage).inflict(&mut damaged, files);
    }
    let folder = Folder::holding(damaged);
    let hashes: Vec<BlockHash> = chain_of(memories);
    if let Ok(report) = verify_storage(&folder, &Trusting) {
        check_verified(&report, &hashes);
    }
    let Ok((ledger, recovered)) = Ledger::open(folder, &Trusting) else {
        return;
    };
    let reader = ledger.reader();
    for height in 0..=ledger.tip().0.0 {
        let height = Height(height);
        let at = usize::try_from(height.0).expect("a short chain");
        assert_eq!(reader.hash(height).as_ref(), hashes.get(at), "{height}");
        let block = reader.block(height).expect("opening has read it");
        let hash = block.map(|decided| decided.block.hash());
        assert_eq!(hash.as_ref(), hashes.get(at), "{height}");
    }
    check_memory(&recovered.report, &Memory::of(&recovered), memories);
}

/// The hashes that were decided, by height.
fn chain_of(memories: &[Memory]) -> Vec<BlockHash> {
    let mut hashes: Vec<BlockHash> = memories.iter().map(|m| m.tip.block.hash()).collect();
    hashes.dedup();
    hashes
}

/// A check that finds nothing wrong has seen nothing but what was written.
fn check_verified(report: &VerifyReport, hashes: &[BlockHash]) {
    if report.ok() {
        let at = usize::try_from(report.to.0).expect("a short chain");
        assert_eq!(report.head.as_ref(), hashes.get(at));
        assert_eq!(report.blocks, report.to.0 + 1);
    }
}

/// What is known afterwards was known once. Where blocks are missing below a start, which is said, the vote is the
/// one that the start repeats.
fn check_memory(report: &Report, found: &Memory, memories: &[Memory]) {
    if report.superseded.is_empty() {
        assert!(memories.contains(found), "{found:?} was never known");
        return;
    }
    let known = memories.iter().any(|memory| {
        let said_nothing = memory.vote.is_none() && silent(found);
        memory.boot == found.boot && (memory.vote == found.vote || said_nothing)
    });
    assert!(known, "{found:?} was never voted");
}

/// Whether a vote stands for "no votes below this height".
fn silent(memory: &Memory) -> bool {
    let vote = memory.vote.as_ref();
    vote.is_none_or(|vote| !vote.promised.is_some() && vote.accepted.is_none())
}

/// One thing that goes wrong with a disk.
#[derive(Debug, Clone, Copy)]
struct Damage {
    kind: u8,
    file: u8,
    at: usize,
    value: u8,
}

impl Damage {
    const BYTES: usize = 6;
    const ATOM: usize = 512;
    const SECTOR: usize = 4096;

    fn parse(bytes: &[u8]) -> Self {
        let byte = |at| bytes.get(at).copied().unwrap_or_default();
        let at = [byte(2), byte(3), byte(4)].map(usize::from);
        let [high, middle, low] = at;
        Self {
            kind: byte(0),
            file: byte(1),
            at: high << 16 | middle << 8 | low,
            value: byte(5),
        }
    }

    fn inflict(self, files: &mut Files, original: &Files) {
        let names: Vec<String> = original.keys().cloned().collect();
        let Some(name) = names.get(usize::from(self.file) % names.len()) else {
            return;
        };
        let Some(bytes) = files.get_mut(name).filter(|bytes| !bytes.is_empty()) else {
            return;
        };
        let at = self.at % bytes.len();
        match self.kind % 7 {
            0 => flip(bytes, at..at + 1, self.value.max(1)),
            1 => wipe(bytes, at - at % Self::ATOM, Self::ATOM),
            2 => wipe(bytes, at - at % Self::SECTOR, Self::SECTOR),
            3 => bytes.truncate(at),
            4 => {
                files.remove(name);
            }
            5 => flip(bytes, at..at + usize::from(self.value), 0xa5),
            _ => misdirect(bytes, at, usize::from(self.value)),
        }
    }
}

fn flip(bytes: &mut [u8], range: std::ops::Range<usize>, bits: u8) {
    let end = range.end.min(bytes.len());
    let range = bytes.get_mut(range.start..end).unwrap_or_default();
    range.iter_mut().for_each(|byte| *byte ^= bits);
}

fn wipe(bytes: &mut [u8], from: usize, length: usize) {
    let end = (from + length).min(bytes.len());
    bytes.get_mut(from..end).unwrap_or_default().fill(0);
}

/// A sector is written where another belongs.
fn misdirect(bytes: &mut [u8], at: usize, to: usize) {
    let from = at - at % Damage::SECTOR;
    let to = to * Damage::SECTOR % bytes.len();
    let to = to - to % Damage::SECTOR;
    let length = Damage::SECTOR.min(bytes.len() - from.max(to));
    bytes.copy_within(from..from + length, to);
}

/// Folders as a node leaves them.
pub fn raw_seeds() -> Vec<Seed> {
    let new = Folder::founded(&genesis());
    vec![
        Seed::new("new", pack(&new.files())),
        Seed::new(
            "first-incarnation",
            pack(&first_incarnation().folder.files()),
        ),
        Seed::new("life", pack(&life().folder.files())),
    ]
}

/// The same, since sealing a folder that is intact changes nothing; and one that says of a record at its end that it is at
/// its beginning, where a check that believes it starts over again.
pub fn sealed_seeds() -> Vec<Seed> {
    let mut seeds = raw_seeds();
    let mut files = life().folder.files();
    if let Some(mut last) = files.last_entry() {
        let bytes = last.get_mut();
        let used = bytes.iter().rposition(|byte| *byte != 0);
        bytes.truncate(used.map_or(0, |at| at + 1));
        bytes.extend([0xee; 16]);
        bytes.extend(b"STRL\x03\0\0\0");
        let (number, flushed, offset) = (1_000_u64, 0_u64, 4_160_u32);
        bytes.extend(number.to_be_bytes());
        bytes.extend(flushed.to_be_bytes());
        bytes.extend(offset.to_be_bytes());
        bytes.extend([0; 20]);
    }
    seeds.push(Seed::new("found-check-in-circles", pack(&files)));
    seeds
}

/// One of each thing that goes wrong.
pub fn damaged_seeds() -> Vec<Seed> {
    let one = |name, bytes: [u8; Damage::BYTES]| Seed::new(name, bytes.to_vec());
    vec![
        one("flip", [0, 1, 0, 0x11, 0x00, 1]),
        one("atom", [1, 1, 0, 0x20, 0x40, 0]),
        one("sector", [2, 2, 0, 0x10, 0x40, 0]),
        one("short", [3, 2, 0, 0x20, 0x10, 0]),
        one("lost-file", [4, 1, 0, 0, 0, 0]),
        one("garbage", [5, 2, 0, 0x30, 0x00, 200]),
        one("misdirected", [6, 2, 0, 0x20, 0x00, 3]),
    ]
}
