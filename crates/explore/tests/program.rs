//! What `make mutants` relies on: how `starling-model` ends.

#![allow(clippy::unwrap_used, reason = "a failed assumption ends a test")]

use std::process::{Command, Output};

fn run(arguments: &[&str]) -> Output {
    let program = env!("CARGO_BIN_EXE_starling-model");
    Command::new(program).args(arguments).output().unwrap()
}

#[test]
fn a_search_that_breaks_nothing_ends_with_zero() {
    let output = run(&["check", "--case", "read", "--max-states", "1000"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(
        !String::from_utf8(output.stdout)
            .unwrap()
            .contains("violation:")
    );
}

#[test]
fn an_unknown_case_is_bad_usage() {
    assert_eq!(run(&["check", "--case", "none"]).status.code(), Some(2));
    assert_eq!(run(&["search"]).status.code(), Some(2));
}

#[test]
fn every_case_is_listed_with_what_it_tries() {
    let listed = String::from_utf8(run(&["list"]).stdout).unwrap();
    for case in explore::CASES {
        assert!(listed.contains(case.name) && listed.contains(case.about));
    }
}
