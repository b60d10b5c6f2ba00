//! Attacks the verifier of receipts with so many mutations: `cargo run --release -p fuzzing --bin receipts -- 10000000`.
//!
//! Every third is put together from parts of real receipts, the others are changed byte by byte. Signatures are
//! Ed25519's. It ends with how many were refused for which reason, and panics at the first that proves what is not true.

use std::collections::BTreeMap;

use fuzzing::mutate::Mutator;
use fuzzing::receipt;

fn main() {
    let mut arguments = std::env::args()
        .skip(1)
        .map(|text| text.parse::<u64>().ok());
    let count = arguments.next().flatten().unwrap_or(1_000_000);
    let seed = arguments.next().flatten().unwrap_or(1);
    let seeds = receipt::seeds();
    let mut mutator = Mutator::new(seed);
    let mut outcomes: BTreeMap<String, u64> = BTreeMap::new();
    for turn in 0..count {
        let mut pick = || {
            seeds
                .get(mutator.below(seeds.len()))
                .expect("it is one of them")
        };
        let (into, from) = (pick(), pick());
        let mixed =
            (turn % 3 == 0).then(|| receipt::recombine(&into.bytes, &from.bytes, &mut mutator));
        let input = mixed.flatten().unwrap_or_else(|| {
            let mut input = into.bytes.clone();
            mutator.mutate(&mut input, &from.bytes);
            input
        });
        let outcome = match receipt::check(&input) {
            Ok(()) if seeds.iter().any(|seed| seed.bytes == input) => "unchanged".to_owned(),
            Ok(()) => "proves something true".to_owned(),
            Err(error) => name(&error),
        };
        *outcomes.entry(outcome).or_default() += 1;
    }
    println!("{count} mutated receipts, seed {seed}: none passed that was not true");
    for (outcome, times) in outcomes {
        println!("{times:>12}  {outcome}");
    }
}

/// The error's name without what it holds.
fn name(error: &impl std::fmt::Debug) -> String {
    let text = format!("{error:?}");
    let end = text.find(|c: char| !c.is_alphanumeric());
    text.get(..end.unwrap_or(text.len()))
        .unwrap_or_default()
        .to_owned()
}
