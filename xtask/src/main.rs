//! Project chores: `cargo xtask tidy | proto | openapi | mutants`.
//!
//! `tidy` reads the tracked files and says what breaks a rule that no compiler or linter checks. `proto` and
//! `openapi` write the generated files that are checked in; with `--check` they only compare. `mutants` puts deliberate
//! bugs into copies of the protocol's crates and lets the simulator and the model find them.
//!
//! What this crate must never know: any other crate of the workspace. It sees them as text and as `cargo metadata`.

mod mutants;
mod openapi;
mod proto;
mod repository;
mod tidy;

use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};

use crate::repository::Repository;

const USAGE: &str = "usage: cargo xtask tidy | proto [--check] | openapi [--check] | \
     mutants [--only NAME] [--seeds N] [--by SEARCHER] [--json]";

/// What to do about a generated file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Write it.
    Write,
    /// Fail if it is not what would be written.
    Check,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<()> {
    let repository = Repository::open()?;
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["tidy"] => tidy::run(&repository),
        ["proto"] => proto::run(&repository, Mode::Write),
        ["proto", "--check"] => proto::run(&repository, Mode::Check),
        ["openapi"] => openapi::run(&repository, Mode::Write),
        ["openapi", "--check"] => openapi::run(&repository, Mode::Check),
        ["mutants", options @ ..] => {
            let options = mutants::Options::parse(options).context(USAGE)?;
            mutants::run(&repository, &options)
        }
        _ => bail!("{USAGE}"),
    }
}
