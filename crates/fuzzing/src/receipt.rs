//! Receipts and proofs of consistency: whatever passes is true.
//!
//! The truth is one chain, in which voters were added, replaced and removed, and in which changes stand that were
//! refused. Signatures are real: a forged one is not believed. So a mutated proof that still passes must prove something
//! about this chain, most likely what it proved before.

pub mod cluster;

use std::sync::LazyLock;

use model::receipt::Opening;
use model::{
    Checkpoint, Consistency, Decode as _, Ed25519, Encode as _, Height, Payload, Position, Receipt,
    ReceiptError,
};

use self::cluster::{Cluster, add, admission, remove, replace, seat};
use crate::Seed;
use crate::chain::{command, record};
use crate::codec::canonical;
use crate::mutate::Mutator;
use crate::values;

/// A chain of every kind of change, taken and refused.
static TRUTH: LazyLock<Cluster> = LazyLock::new(|| {
    let mut truth = Cluster::default();
    let now = truth.tip().header().time;
    let commands = values::commands().into_iter();
    truth.decide(commands.map(|command| command.seal([5; 16])).collect());
    truth.decide([admission(4, now), admission(5, now)].concat());
    // Nobody has admitted it; two changes in one block; one meant for an epoch that is over.
    truth.decide(vec![record(b"before"), seat(0, add(6))]);
    truth.decide(vec![seat(0, add(4)), seat(0, remove(1)), record(b"with")]);
    truth.decide(vec![seat(0, remove(2)), record(b"between")]);
    truth.decide(vec![seat(4, replace(1, 5))]);
    truth.decide(vec![seat(6, remove(2))]);
    truth.decide((0..150_u8).map(|n| record(&[n; 40])).collect());
    truth.decide(vec![]);
    truth.decide(vec![command(Payload::Record(vec![7; 200])).seal([2; 16])]);
    truth
});

/// Where a verifier begins: at genesis, and between two changes.
static TRUSTED: LazyLock<[Checkpoint; 2]> = LazyLock::new(|| {
    let founding = Checkpoint::of_genesis(&crate::chain::genesis()).expect("it founds a chain");
    [founding, TRUTH.checkpoint(Height(5))]
});

/// The chain that the corpus is about.
pub fn truth() -> &'static Cluster {
    &TRUTH
}

/// What the target's verifiers trust.
pub fn trusted() -> &'static [Checkpoint; 2] {
    &TRUSTED
}

/// Checks bytes as everybody does who trusts one of [`trusted`].
///
/// # Errors
/// Nobody believes them: what the last one says.
///
/// # Panics
/// If something passes that is not true, or has two encodings.
pub fn check(bytes: &[u8]) -> Result<(), ReceiptError> {
    // To check signatures takes no key of ours.
    let signatures = Ed25519::new(&[0; 32]);
    let receipt = Receipt::read(bytes)?;
    assert_eq!(receipt.to_bytes(), bytes, "a receipt has two encodings");
    let [first, second] = trusted().each_ref().map(|trust| {
        let proven = receipt.verify(trust, &signatures)?;
        assert!(truth().agrees_with(&proven), "{proven:?} is not true");
        Ok(())
    });
    first.or(second)
}

/// Any bytes as a receipt or a checkpoint.
///
/// # Panics
/// If a property is broken.
pub fn run(bytes: &[u8]) {
    canonical::<Checkpoint>(bytes);
    canonical::<Opening>(bytes);
    drop(check(bytes));
}

/// Any bytes as a proof of consistency.
///
/// # Panics
/// If a property is broken.
pub fn run_consistency(bytes: &[u8]) {
    canonical::<Consistency>(bytes);
    let signatures = Ed25519::new(&[0; 32]);
    let Ok(proof) = Consistency::read(bytes) else {
        return;
    };
    for trust in trusted() {
        if let Ok(reached) = proof.verify(trust, &signatures) {
            assert_eq!(
                reached,
                truth().checkpoint(reached.height),
                "it is not true"
            );
        }
    }
}

/// Receipts over no, one and all changes, of the first and last commands of blocks, from two beginnings.
pub fn seeds() -> Vec<Seed> {
    let tip = truth().tip().height();
    let heights = (0..=tip.0).map(Height);
    let places = heights.flat_map(|height| {
        let decided = truth().decided(height).expect("below the tip");
        let commands = u32::try_from(decided.block.entries().len()).expect("a few");
        let mut places = vec![0, commands / 2, commands.saturating_sub(1)];
        places.dedup();
        let places = places.into_iter().filter(move |index| *index < commands);
        places.map(move |index| Position { height, index })
    });
    let receipts = places.flat_map(|position| {
        let Position { height, index } = position;
        [0, 5].into_iter().filter_map(move |begins| {
            let receipt = Receipt::of(truth(), position, Height(begins)).ok()?;
            let name = format!("receipt-{height}-{index}-from-{begins}");
            Some(Seed::new(name, receipt.to_bytes()))
        })
    });
    let checkpoints = trusted().iter().map(|checkpoint| {
        let name = format!("checkpoint-{}", checkpoint.height);
        Seed::new(name, checkpoint.to_bytes())
    });
    receipts.chain(checkpoints).collect()
}

/// Proofs from both beginnings.
pub fn consistency_seeds() -> Vec<Seed> {
    let tip = truth().tip().height();
    let pairs = [(0, tip.0), (0, 0), (0, 4), (0, 5), (5, tip.0), (5, 6)];
    let seeds = pairs.into_iter().map(|(from, to)| {
        let proof = Consistency::between(truth(), Height(from), Height(to));
        let proof = proof.expect("the chain is all there");
        Seed::new(format!("from-{from}-to-{to}"), proof.to_bytes())
    });
    seeds.collect()
}

/// Puts parts of one receipt into another, each of them real: what a forger would try first.
pub fn recombine(into: &[u8], from: &[u8], mutator: &mut Mutator) -> Option<Vec<u8>> {
    let mut receipt = Receipt::from_bytes(into).ok()?;
    let other = Receipt::from_bytes(from).ok()?;
    for _ in 0..=mutator.below(2) {
        mix(&mut receipt, &other, mutator);
    }
    Some(receipt.to_bytes())
}

fn mix(receipt: &mut Receipt, other: &Receipt, mutator: &mut Mutator) {
    let link = mutator.below(receipt.links.len());
    let others = mutator.below(other.links.len().max(1));
    match mutator.below(12) {
        0 => receipt.header = other.header.clone(),
        1 => receipt.certificate.clone_from(&other.certificate),
        2 => receipt.opening = other.opening.clone(),
        3 => receipt.opening.command = other.opening.command.clone(),
        4 => receipt.opening.index = other.opening.index,
        5 => receipt.opening.path.clone_from(&other.opening.path),
        6 => receipt.links.clone_from(&other.links),
        7 => receipt.links.truncate(link),
        8 => receipt.anchor = other.anchor,
        9 => receipt.links.reverse(),
        10 if link < receipt.links.len() => drop(receipt.links.remove(link)),
        _ => receipt.links.extend(other.links.get(others).cloned()),
    }
}
