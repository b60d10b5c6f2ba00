//! A file that claims to be a segment: any bytes, and the same with every checksum made right.
//!
//! Whatever it holds, reading it comes back in bounded time and memory. What passes a check is a chain on top of what was
//! known, and has one encoding: made anew of its blocks it has the same bytes.

use std::sync::Arc;

use ledger::segment::{self, Below, SegmentName};
use model::{Block, Decided};

use crate::Seed;
use crate::chain::{Trusting, ballot, certify, child, genesis, record};

const HEADER: usize = 64;
const ENTRY: usize = 64;
const TRAILER: usize = 32;

/// # Panics
/// If a property is broken.
pub fn run(bytes: &[u8]) {
    probe(bytes);
    let mut sealed = bytes.to_vec();
    if seal(&mut sealed).is_some() {
        probe(&sealed);
    }
}

fn below() -> Below {
    Below::genesis(&genesis()).expect("it founds a chain")
}

fn probe(bytes: &[u8]) {
    let Ok(contents) = segment::blocks(bytes) else {
        return;
    };
    let name = contents.name();
    let blocks: Vec<Decided> = contents.filter_map(Result::ok).collect();
    assert!(blocks.len() <= bytes.len() / ENTRY, "each takes an entry");
    let Some(name) = name else { return };
    let text = name.to_string();
    assert_eq!(text.parse::<SegmentName>().as_ref(), Ok(&name));
    let Ok(checked) = segment::check(bytes, name, &below(), &Trusting) else {
        return;
    };
    assert_eq!(
        (checked.top.height, checked.top.hash),
        (name.to(), name.head())
    );
    let again = segment::build(below(), &blocks).expect("they were checked");
    assert!(again.is_some_and(|again| again == (name, bytes.to_vec())));
}

/// Makes the checksums right, as far as there is something where they should be.
fn seal(bytes: &mut [u8]) -> Option<()> {
    put(bytes, HEADER - 4, &[(0, HEADER - 4)])?;
    let trailer = bytes.len().checked_sub(TRAILER)?;
    let index = usize::try_from(u64::from_be_bytes(*bytes.get(trailer..)?.first_chunk()?)).ok()?;
    let summary = trailer.checked_sub(word(bytes, trailer + 8)?)?;
    let entries = summary.checked_sub(index)? / ENTRY;
    let first = u64::from_be_bytes(*bytes.get(32..)?.first_chunk()?);
    for entry in 0..entries {
        // A first height near the greatest there is belongs to no segment, and is what a fuzzer tries.
        let height = first.wrapping_add(entry as u64);
        let at = index + entry * ENTRY;
        let block = word(bytes, at + 40)?;
        let middle = block.checked_add(word(bytes, at + 44)?)?;
        let end = middle.checked_add(word(bytes, at + 52)?)?;
        // A part that is not there keeps its checksum.
        let _ = put(bytes, at + 48, &[(block, middle)]);
        let _ = put(bytes, at + 56, &[(middle, end)]);
        let fields = bytes.get(at..at + ENTRY - 4)?.to_vec();
        let sum = crc(&[&height.to_be_bytes(), &fields]);
        bytes
            .get_mut(at + ENTRY - 4..at + ENTRY)?
            .copy_from_slice(&sum);
    }
    put(bytes, trailer + 12, &[(summary, trailer)])?;
    put(
        bytes,
        trailer + TRAILER - 4,
        &[(0, HEADER), (trailer, trailer + TRAILER - 4)],
    )
}

fn word(bytes: &[u8], at: usize) -> Option<usize> {
    let word = bytes.get(at..at.checked_add(4)?)?.first_chunk()?;
    usize::try_from(u32::from_be_bytes(*word)).ok()
}

/// Puts the checksum of some stretches, each from where to where, at a place.
fn put(bytes: &mut [u8], at: usize, of: &[(usize, usize)]) -> Option<()> {
    let parts = of.iter().map(|(from, to)| bytes.get(*from..*to));
    let sum = crc(&parts.collect::<Option<Vec<&[u8]>>>()?);
    bytes.get_mut(at..at + 4)?.copy_from_slice(&sum);
    Some(())
}

fn crc(parts: &[&[u8]]) -> [u8; 4] {
    let mut hasher = crc32fast::Hasher::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().to_be_bytes()
}

/// Segments of a few blocks.
pub fn seeds() -> Vec<Seed> {
    let mut parent: Arc<Block> = genesis();
    let mut blocks = Vec::new();
    let mut seeds = Vec::new();
    for body in [&b"one"[..], b"", &[7; 200]] {
        let commands = if body.is_empty() {
            vec![]
        } else {
            vec![record(body)]
        };
        let block = child(parent.header(), commands);
        let certificate = Some(certify(&block, ballot(1)));
        parent = block.clone();
        blocks.push(Decided { block, certificate });
        let built = segment::build(below(), &blocks).expect("they follow one another");
        let (_, bytes) = built.expect("there is one");
        seeds.push(Seed::new(format!("blocks-{}", blocks.len()), bytes));
    }
    seeds
}
