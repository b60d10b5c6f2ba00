//! Every target, over its corpus and over mutations of it: the same inputs on every machine.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a panic is how a test fails"
)]

use std::panic::{AssertUnwindSafe, catch_unwind};

use fuzzing::mutate::Mutator;
use fuzzing::{Seed, TARGETS, Target, corpus};

fn target(name: &str) -> &'static Target {
    TARGETS.iter().find(|target| target.name == name).unwrap()
}

/// The files of a target's corpus, by name.
fn files(target: &Target) -> Vec<Seed> {
    let files = std::fs::read_dir(corpus(target)).unwrap();
    let mut files: Vec<Seed> = files
        .map(|file| {
            let path = file.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy();
            Seed::new(name, std::fs::read(&path).unwrap())
        })
        .collect();
    files.sort_by(|left, right| left.name.cmp(&right.name));
    files
}

fn run(target: &Target, what: &str, input: &[u8]) {
    if catch_unwind(AssertUnwindSafe(|| (target.run)(input))).is_err() {
        let path =
            std::env::temp_dir().join(format!("starling-{}-{}", target.name, std::process::id()));
        std::fs::write(&path, input).unwrap();
        panic!("{what}; the input is kept as {}", path.display());
    }
}

/// Runs the corpus and `mutations` of it.
fn attack(name: &str, mutations: usize) {
    let target = target(name);
    let corpus = files(target);
    assert!(!corpus.is_empty(), "{name} has no corpus");
    run(target, "nothing at all", &[]);
    for seed in &corpus {
        run(target, &seed.name, &seed.bytes);
    }
    let mut mutator = Mutator::new(name.bytes().map(u64::from).sum());
    for turn in 0..mutations {
        let seed = &corpus[turn % corpus.len()];
        let other = &corpus[mutator.below(corpus.len())];
        let mut input = seed.bytes.clone();
        mutator.mutate(&mut input, &other.bytes);
        run(target, &format!("mutation {turn} of {}", seed.name), &input);
    }
}

#[test]
fn messages_have_one_encoding() {
    attack("message", 4_000);
}

#[test]
fn blocks_have_one_encoding() {
    attack("block", 2_000);
}

#[test]
fn commands_have_one_encoding() {
    attack("command", 4_000);
}

#[test]
fn all_other_values_have_one_encoding() {
    attack("value", 2_000);
}

#[test]
fn any_bytes_in_a_folder_are_a_ledger_or_an_error() {
    attack("log", 400);
}

#[test]
fn any_records_with_right_checksums_are_a_ledger_or_an_error() {
    attack("sealed_log", 400);
}

#[test]
fn a_damaged_ledger_is_repaired_cut_or_refused() {
    attack("damaged_log", 600);
}

#[test]
fn any_file_is_a_segment_or_an_error() {
    attack("segment", 1_000);
}

#[test]
fn a_lying_member_breaks_nothing() {
    attack("engine", 400);
}

#[test]
fn any_text_is_a_query_that_can_be_asked_or_an_error_inside_it() {
    attack("query", 4_000);
}

#[test]
fn any_rows_are_a_catalogue_that_is_written_as_it_was_built_or_an_error() {
    attack("rows", 300);
}

#[test]
fn any_file_is_examined() {
    attack("picture", 300);
}

#[test]
fn any_sidecar_says_only_what_the_ledger_takes() {
    attack("sidecar", 2_000);
}

#[test]
fn any_receipt_that_passes_is_true() {
    attack("receipt", 4_000);
}

#[test]
fn any_proof_of_consistency_that_passes_is_true() {
    attack("consistency", 1_000);
}

#[test]
fn the_corpus_holds_what_real_values_are_today() {
    for target in TARGETS {
        let kept = files(target);
        for seed in (target.seeds)() {
            assert!(
                kept.contains(&seed),
                "{}/{} has changed: run `cargo run -p fuzzing --bin corpus`, and say why",
                target.name,
                seed.name
            );
        }
    }
}

#[test]
fn every_target_has_a_program_for_cargo_fuzz() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/fuzz_targets");
    let programs = std::fs::read_dir(folder).unwrap();
    let mut programs: Vec<String> = programs
        .map(|file| {
            file.unwrap()
                .path()
                .file_stem()
                .unwrap()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    programs.sort();
    let mut names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
    names.sort_unstable();
    assert_eq!(programs, names);
}
