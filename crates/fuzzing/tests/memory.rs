//! Reading bytes takes memory in proportion to them, whatever they claim. Alone in its program, because what is counted
//! is what the whole program allocates.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a panic is how a test fails"
)]

use consensus::Message;
use fuzzing::TARGETS;
use fuzzing::mutate::Mutator;
use model::{Command, Decode};
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// What any reading may take besides.
const FREE: usize = 2 << 10;

/// The most that is allocated at once while `bytes` are read.
fn peak<T: Decode>(bytes: &[u8]) -> usize {
    let before = ALLOCATOR.current_usage();
    ALLOCATOR.reset_peak_usage();
    drop(T::from_bytes(bytes));
    ALLOCATOR.peak_usage() - before
}

fn check<T: Decode>(bytes: &[u8], multiple: usize) {
    let peak = peak::<T>(bytes);
    assert!(
        peak <= FREE + multiple * bytes.len(),
        "{peak} bytes for {}: {bytes:02x?}",
        bytes.len()
    );
}

/// A sequence of as many elements as it claims, each as short as can be.
fn crowded(head: &[u8], element: &[u8], count: u32) -> Vec<u8> {
    let mut bytes = head.to_vec();
    bytes.extend(count.to_be_bytes());
    bytes.extend(element.repeat(count as usize));
    bytes
}

#[test]
fn reading_takes_a_small_multiple_of_the_input() {
    let mut mutator = Mutator::new(5);
    for name in ["message", "command"] {
        let target = TARGETS.iter().find(|target| target.name == name).unwrap();
        let seeds = (target.seeds)();
        for turn in 0..4_000 {
            let mut input = seeds[turn % seeds.len()].bytes.clone();
            let other = &seeds[mutator.below(seeds.len())].bytes;
            mutator.mutate(&mut input, other);
            check::<Message>(&input, 16);
            check::<Command>(&input, 16);
        }
    }
    // A push of commands without a byte, and the tags of a file without a letter.
    check::<Message>(&crowded(&[9], &[0; 20], 50_000), 16);
    check::<Vec<model::file::Change>>(&crowded(&[], &[5, 1], 50_000), 160);
    check::<Vec<String>>(&crowded(&[], &[0; 4], 50_000), 24);
    // Claims that nothing stands behind.
    for claimed in [1 << 10, 1 << 20, u32::MAX] {
        let mut bytes = vec![9];
        bytes.extend(claimed.to_be_bytes());
        bytes.extend([0; 100]);
        check::<Message>(&bytes, 16);
        check::<Vec<u8>>(&bytes[1..], 16);
    }
}
