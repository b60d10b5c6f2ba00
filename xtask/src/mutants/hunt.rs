//! Lets the searchers loose on what the workshop has built: the simulator, its scenarios, the model, and the test that a
//! mutant may name, in this order, until one finds something.
//!
//! A searcher's program ends with 0 if nothing was violated, with 1 and a last line `violation: NAME: detail` if
//! something was. The simulator runs a seed at a time, so that the first that finds something is known and the rest
//! need not run. Scenarios are ordinary tests; each is named after what it claims.

use std::io::Read as _;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use super::mutant::Test;
use super::workshop::{self, Workshop};

/// The storm of each seed ends after this many events: bugs that need longer are rare, and most are found sooner.
const EVENTS: &str = "6000";
/// What a program may take for one seed. A mutant may go round in circles.
const PATIENCE: Duration = Duration::from_secs(60);
/// What all seeds of a mutant may take.
const HUNT: Duration = Duration::from_secs(90);
/// What the model may take, and how many states of each case it may look at.
const MODEL: Duration = Duration::from_secs(120);
const MODEL_STATES: &str = "50000";
/// What an assertion in the replica's own code is called. It proves nothing: a bug may come with its assertion gone.
const OWN_ASSERTION: &str = "check_no_panic";

/// What a searcher has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Catch {
    /// Where: a seed of the simulator, or the model.
    pub(super) place: Place,
    /// The check's name.
    pub(super) check: String,
}

/// Which search has found something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    /// The simulator, in this seed.
    Seed(u64),
    /// The model.
    Model,
    /// A scenario, whose name is the check's.
    Scenario,
    /// The ordinary test that the mutant names.
    Test,
}

/// How a mutant fared.
#[derive(Debug, Clone, Default)]
pub(super) struct Hunt {
    /// What caught it.
    pub(super) catch: Option<Catch>,
    /// In how many seeds only an assertion of the mutated code itself failed.
    pub(super) own_assertions: u64,
    /// In how many seeds nothing came to an end.
    pub(super) hung: u64,
    /// How many seeds ran.
    pub(super) seeds: u64,
    /// How long it all took.
    pub(super) took: Duration,
}

/// What one program said in the end.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Verdict {
    Sound,
    Violated(String),
    Hung,
}

/// What searches, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Searcher {
    /// Seeds of the simulator.
    Seeds,
    /// The simulator's scenarios.
    Scenarios,
    /// The exhaustive search of small cases.
    Model,
    /// The ordinary test that the mutant names, if it names one.
    Tests,
}

impl Searcher {
    /// All there are.
    pub(super) const ALL: [Self; 4] = [Self::Seeds, Self::Scenarios, Self::Model, Self::Tests];

    /// The one of this name.
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "seeds" => Some(Self::Seeds),
            "scenarios" => Some(Self::Scenarios),
            "model" => Some(Self::Model),
            "tests" => Some(Self::Tests),
            _ => None,
        }
    }
}

/// Searches until something is found.
pub(super) fn search(
    workshop: &Workshop,
    seeds: u64,
    searchers: &[Searcher],
    test: Option<&Test>,
) -> Result<Hunt> {
    let began = Instant::now();
    let mut hunt = Hunt::default();
    for searcher in searchers {
        match searcher {
            Searcher::Seeds => hunt = simulate(workshop, seeds)?,
            Searcher::Scenarios => hunt.catch = play(workshop)?,
            Searcher::Model => hunt.catch = model(workshop)?,
            Searcher::Tests => {
                hunt.catch = test.map_or(Ok(None), |test| run_test(workshop, test))?
            }
        }
        if hunt.catch.is_some() {
            break;
        }
    }
    hunt.took = began.elapsed();
    Ok(hunt)
}

/// Whether each of these tests is there, and passes.
pub(super) fn check_tests<'a>(
    workshop: &Workshop,
    tests: impl Iterator<Item = &'a Test>,
) -> Result<()> {
    for test in tests {
        let outputs = try_test(workshop, test)?;
        let passed = outputs
            .iter()
            .any(|output| output.contains(" 1 passed; 0 failed;"));
        ensure!(
            passed,
            "{} has no test {} that passes",
            test.package,
            test.name
        );
    }
    Ok(())
}

fn run_test(workshop: &Workshop, test: &Test) -> Result<Option<Catch>> {
    let outputs = try_test(workshop, test)?;
    let tests = format!("crates/{}/tests/", test.package);
    let failed = outputs.iter().any(|output| fails_by_itself(output, &tests));
    Ok(failed.then(|| Catch {
        place: Place::Test,
        check: test.name.clone(),
    }))
}

/// Whether a test has failed by what it asserts, in a file below `tests`, and not by an assertion of the mutated code.
fn fails_by_itself(output: &str, tests: &str) -> bool {
    let claim = output.contains(&format!("panicked at {tests}"));
    claim && output.contains(" 0 passed; 1 failed;")
}

/// What the package's test programs say of one test.
fn try_test(workshop: &Workshop, test: &Test) -> Result<Vec<String>> {
    let mut outputs = Vec::new();
    for mut program in workshop.tests(&test.package)? {
        program.args(["--exact", &test.name]);
        if let Ended::Itself { output, .. } = run(program, PATIENCE)? {
            outputs.push(output);
        }
    }
    Ok(outputs)
}

fn model(workshop: &Workshop) -> Result<Option<Catch>> {
    workshop.build(workshop::MODEL)?;
    let mut program = Command::new(workshop.program("starling-model"));
    program.args(["check", "--max-states", MODEL_STATES]);
    let (code, output) = match run(program, MODEL)? {
        Ended::Itself { code, output } => (code, output),
        Ended::Killed => return Ok(None),
    };
    let check = match verdict(code, &output).context("the model")? {
        Verdict::Violated(check) if check != OWN_ASSERTION => check,
        _ => return Ok(None),
    };
    let place = Place::Model;
    Ok(Some(Catch { place, check }))
}

fn play(workshop: &Workshop) -> Result<Option<Catch>> {
    for program in workshop.scenarios()? {
        let Ended::Itself { code, output } = run(program, PATIENCE)? else {
            continue;
        };
        if code != Some(0)
            && let Some(check) = failed_scenario(&output)
        {
            let place = Place::Scenario;
            return Ok(Some(Catch { place, check }));
        }
    }
    Ok(None)
}

/// The first scenario that failed, unless by an assertion of the mutated code.
fn failed_scenario(output: &str) -> Option<String> {
    let sections = output.split("\n---- ").skip(1);
    let failed = sections.filter_map(|section| section.split_once(" stdout ----"));
    let mut by_claim = failed.filter(|(_, said)| {
        let foreign = "panicked at crates/";
        !said.contains(foreign) || said.contains(&format!("{foreign}sim/"))
    });
    by_claim.next().map(|(name, _)| name.to_owned())
}

/// Seeds in order, as many at once as there are cores. All below one that finds something run to their end, so that
/// the result does not depend on which is quicker.
fn simulate(workshop: &Workshop, seeds: u64) -> Result<Hunt> {
    let scratch = workshop.scratch()?;
    let end = Instant::now() + HUNT;
    let next = AtomicU64::new(0);
    let hunt = Mutex::new(Hunt::default());
    let work = || -> Result<()> {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            let caught = hunt
                .lock()
                .expect("no thread panics with it")
                .catch
                .is_some();
            if seed >= seeds || caught || Instant::now() >= end {
                return Ok(());
            }
            let mut simulator = Command::new(workshop.program("starling-sim"));
            simulator
                .args([
                    "run", "--seeds", "1", "--events", EVENTS, "--shrink", "0", "--from",
                ])
                .arg(seed.to_string())
                .env("STARLING_COMMIT", "mutant")
                .current_dir(&scratch);
            let verdict = match run(simulator, PATIENCE)? {
                Ended::Killed => Verdict::Hung,
                Ended::Itself { code, output } => {
                    verdict(code, &output).with_context(|| format!("seed {seed}"))?
                }
            };
            let mut hunt = hunt.lock().expect("no thread panics with it");
            hunt.note(seed, verdict);
        }
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        let mut results = workers.into_iter().map(|worker| worker.join());
        results.try_for_each(|result| result.expect("no worker panics"))
    })?;
    Ok(hunt.into_inner().expect("no thread panics with it"))
}

impl Hunt {
    fn note(&mut self, seed: u64, verdict: Verdict) {
        self.seeds += 1;
        match verdict {
            Verdict::Sound => {}
            Verdict::Hung => self.hung += 1,
            Verdict::Violated(check) if check == OWN_ASSERTION => self.own_assertions += 1,
            Verdict::Violated(check) => {
                let place = Place::Seed(seed);
                if self.catch.as_ref().is_none_or(|catch| place < catch.place) {
                    self.catch = Some(Catch { place, check });
                }
            }
        }
    }
}

/// How a program ended.
enum Ended {
    Itself { code: Option<i32>, output: String },
    Killed,
}

/// Runs a searcher to its end, or for as long as it may take.
fn run(mut program: Command, patience: Duration) -> Result<Ended> {
    let mut child = program
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| format!("running {}", program.get_program().display()))?;
    let mut pipe = child.stdout.take().context("its output was asked for")?;
    let (said, heard) = mpsc::channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let read = pipe.read_to_end(&mut bytes);
        // Nobody listens any more if it took too long.
        let _ = said.send(read.map(|_| bytes));
    });
    let Ok(output) = heard.recv_timeout(patience) else {
        child.kill().context("ending a searcher that hangs")?;
        child.wait().context("waiting for a searcher that hung")?;
        return Ok(Ended::Killed);
    };
    let output = output.context("reading a searcher's output")?;
    let status = child.wait().context("waiting for a searcher")?;
    Ok(Ended::Itself {
        code: status.code(),
        output: String::from_utf8_lossy(&output).into_owned(),
    })
}

fn verdict(code: Option<i32>, output: &str) -> Result<Verdict> {
    let last = output.lines().last().unwrap_or_default();
    match code {
        Some(0) => Ok(Verdict::Sound),
        Some(1) => {
            let violation = last.strip_prefix("violation: ");
            let name = violation.and_then(|text| text.split(':').next());
            let name = name.with_context(|| format!("it failed without a violation: {last}"))?;
            Ok(Verdict::Violated(name.to_owned()))
        }
        // It did not even come to its own end: an overflow of the stack, or no memory.
        None => Ok(Verdict::Violated(OWN_ASSERTION.to_owned())),
        Some(101) => Ok(Verdict::Violated(OWN_ASSERTION.to_owned())),
        Some(code) => bail!("it ended with {code}: {last}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_names_the_check() {
        let output = "10 seeds\nviolation: check_agreement: two blocks: a, b\n";
        let violated = Verdict::Violated("check_agreement".to_owned());
        assert_eq!(verdict(Some(1), output).unwrap(), violated);
        assert_eq!(verdict(Some(0), "10 seeds\n").unwrap(), Verdict::Sound);
        assert!(verdict(Some(1), "10 seeds\n").is_err());
        assert!(verdict(Some(2), "usage\n").is_err());
    }

    #[test]
    fn a_scenario_fails_by_its_claim_or_by_a_check() {
        let own = "failures:\n\n---- a stdout ----\npanicked at crates/ledger/src/x.rs:1\n";
        let claim = "\n---- b stdout ----\npanicked at crates/sim/tests/scenarios.rs:1\n";
        let check = "\n---- c stdout ----\nError: Violation { check: x }\n";
        let failed = |parts: &[&str]| failed_scenario(&parts.concat());
        assert_eq!(failed(&[own]), None);
        assert_eq!(failed(&[own, claim]), Some("b".to_owned()));
        assert_eq!(failed(&[own, check]), Some("c".to_owned()));
    }

    #[test]
    fn a_test_counts_if_it_fails_by_its_own_assertion() {
        let failed = |place: &str| {
            let sum = "test result: FAILED. 0 passed; 1 failed; 0 ignored";
            let output = format!("\n---- a::b stdout ----\npanicked at {place}:1:2:\n{sum}\n");
            fails_by_itself(&output, "crates/ledger/tests/")
        };
        assert!(failed("crates/ledger/tests/it/x.rs"));
        assert!(!failed("crates/ledger/src/x.rs"));
        assert!(!fails_by_itself(
            "0 passed; 0 failed;",
            "crates/ledger/tests/"
        ));
    }

    #[test]
    fn the_lowest_seed_counts_and_own_assertions_do_not() {
        let violated = |check: &str| Verdict::Violated(check.to_owned());
        let mut hunt = Hunt::default();
        hunt.note(0, violated(OWN_ASSERTION));
        hunt.note(2, violated("check_b"));
        hunt.note(1, violated("check_a"));
        let catch = hunt.catch.expect("caught");
        assert_eq!(
            (catch.place, catch.check.as_str()),
            (Place::Seed(1), "check_a")
        );
        assert_eq!((hunt.own_assertions, hunt.seeds), (1, 3));
    }
}
