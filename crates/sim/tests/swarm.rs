//! Seeds, each run under its own faults, and the cases that once failed.

use std::path::Path;

use sim::{Case, run};

/// Storms in tests are short: the dev profile is ten times slower than what `make sim` runs.
const EVENTS: u64 = 2_500;

/// Runs a case twice: it must pass, and be the same run.
fn pass(case: &Case) {
    let outcome = run(case, None);
    if let Some(violation) = outcome.violation {
        panic!("{violation}\nreplay: starling-sim replay {case}");
    }
    let again = run(case, None);
    assert_eq!(outcome.trace_hash, again.trace_hash, "{case} is two runs");
}

fn sweep(seeds: impl Iterator<Item = u64>) {
    for seed in seeds {
        pass(&Case::new(seed, EVENTS));
    }
}

#[test]
fn even_seeds_pass_and_repeat_themselves() {
    sweep((0..300).step_by(2));
}

#[test]
fn odd_seeds_pass_and_repeat_themselves() {
    sweep((1..300).step_by(2));
}

/// Each file names a case in its first line and tells below what went wrong.
#[test]
fn cases_that_once_failed_pass() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("regressions");
    let mut cases = 0;
    for entry in std::fs::read_dir(&folder).expect("the folder is there") {
        let path = entry.expect("it can be listed").path();
        if path.extension().is_none_or(|extension| extension != "seed") {
            continue;
        }
        let text = std::fs::read_to_string(&path).expect("it can be read");
        let first = text.lines().next().unwrap_or_default();
        let case: Case = first
            .parse()
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        pass(&case);
        cases += 1;
    }
    assert!(cases > 0, "there are cases in {}", folder.display());
}
