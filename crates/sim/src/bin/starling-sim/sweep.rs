//! Many seeds, on as many cores as wanted, counted in the order of the seeds.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use sim::{Case, EVENTS, Outcome, Stats, Violation};

use crate::{commit, print_violation};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// How many seeds, at most.
    #[arg(long, default_value_t = 100)]
    seeds: u64,
    /// The first one.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Stop after this many minutes.
    #[arg(long)]
    minutes: Option<f64>,
    /// After how many events each storm ends.
    #[arg(long, default_value_t = EVENTS)]
    events: u64,
    /// How many seeds at once.
    #[arg(long, default_value_t = 1)]
    jobs: usize,
    /// Start no further seed once one has failed.
    #[arg(long)]
    fail_fast: bool,
    /// In how many runs the first failure is made smaller, at most; 0 leaves it as it is.
    #[arg(long, default_value_t = 300)]
    shrink: u32,
    /// In which folder the trace of the first failure is written.
    #[arg(long, default_value = "target/sim")]
    traces: PathBuf,
}

/// What a sweep has found so far.
#[derive(Default)]
struct Tally {
    /// The next seed to be run, less the first one.
    next: u64,
    /// Finished, and waiting for those before them.
    early: BTreeMap<u64, Outcome>,
    counted: u64,
    stats: Stats,
    failures: Vec<(Outcome, Violation)>,
    minutes: u64,
}

pub(crate) fn sweep(arguments: &Arguments) -> ExitCode {
    let began = Instant::now();
    let tally = Mutex::new(Tally::default());
    std::thread::scope(|scope| {
        for _ in 0..arguments.jobs.max(1) {
            scope.spawn(|| work(arguments, began, &tally));
        }
    });
    let tally = tally
        .into_inner()
        .expect("no thread panics while it counts");
    summary(&tally, began.elapsed());
    let Some((outcome, violation)) = tally.failures.into_iter().next() else {
        return ExitCode::SUCCESS;
    };
    pursue(arguments, outcome);
    print_violation(&violation);
    ExitCode::FAILURE
}

fn work(arguments: &Arguments, began: Instant, tally: &Mutex<Tally>) {
    let limit = arguments
        .minutes
        .map(|minutes| Duration::from_secs_f64(minutes * 60.0));
    let locked = || tally.lock().expect("no thread panics while it counts");
    loop {
        let at = {
            let mut tally = locked();
            let late = limit.is_some_and(|limit| began.elapsed() >= limit);
            let failed = arguments.fail_fast && !tally.failures.is_empty();
            if tally.next >= arguments.seeds || late || failed {
                return;
            }
            tally.next += 1;
            tally.next - 1
        };
        let outcome = sim::run(&Case::new(arguments.from + at, arguments.events), None);
        let mut tally = locked();
        tally.early.insert(at, outcome);
        while let Some(outcome) = {
            let counted = tally.counted;
            tally.early.remove(&counted)
        } {
            tally.count(outcome);
        }
        tally.report(began.elapsed());
    }
}

impl Tally {
    fn count(&mut self, outcome: Outcome) {
        self.counted += 1;
        self.stats.add(&outcome.stats);
        if let Some(violation) = outcome.violation.clone() {
            println!("FAILED {}: {violation}", outcome.case);
            self.failures.push((outcome, violation));
        }
    }

    /// One line a minute.
    fn report(&mut self, elapsed: Duration) {
        let minutes = elapsed.as_secs() / 60;
        if self.minutes < minutes {
            self.minutes = minutes;
            println!(
                "{minutes:>4} min: {} seeds, {:.1} h simulated, {} heights, {} failed",
                self.counted,
                self.stats.time.as_secs_f64() / 3600.0,
                self.stats.heights,
                self.failures.len()
            );
        }
    }
}

fn summary(tally: &Tally, elapsed: Duration) {
    let stats = &tally.stats;
    println!(
        "{} seeds in {:.1} s: {:.1} h of cluster time, {} heights, {} events, {} operations",
        tally.counted,
        elapsed.as_secs_f64(),
        stats.time.as_secs_f64() / 3600.0,
        stats.heights,
        stats.events,
        stats.ops,
    );
    println!(
        "slowest to come to rest once mended: {:.1} s",
        stats.calm.as_secs_f64()
    );
    print_counts("faults", &stats.faults);
    print_counts("met", &stats.met);
    print_counts("refused", &stats.refused);
    print_pairs(stats);
    println!("violations: {}", tally.failures.len());
    let mut checks: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for (outcome, violation) in &tally.failures {
        let seeds = checks.entry(violation.check).or_default();
        seeds.push(outcome.case.seed);
    }
    for (check, seeds) in checks {
        println!("  {check} by seeds {seeds:?}");
    }
}

fn print_counts<K: ToString>(title: &str, counts: &BTreeMap<K, u64>) {
    let counts: Vec<String> = counts
        .iter()
        .map(|(name, count)| format!("{} {count}", name.to_string()))
        .collect();
    if !counts.is_empty() {
        println!("{title}: {}", counts.join(", "));
    }
}

fn print_pairs(stats: &Stats) {
    let missing = stats.missing_pairs();
    let all = stats.pairs.len() + missing.len();
    println!(
        "pairs of fault classes felt at once: {} of {all}",
        stats.pairs.len()
    );
    if (1..=20).contains(&missing.len()) {
        println!("  missing: {missing:?}");
    }
}

/// Makes a failure smaller and writes what happened in it.
fn pursue(arguments: &Arguments, outcome: Outcome) {
    let commit = commit();
    println!("seed {} at commit {commit}", outcome.case.seed);
    let (shrunk, runs) = sim::shrink(outcome, arguments.shrink);
    println!(
        "the smallest that fails so, of {runs} tried: {}",
        shrunk.case
    );
    match write_trace(&arguments.traces, &shrunk, &commit) {
        Ok(path) => println!(
            "its trace is {0}; starling-sim replay {0} runs it again",
            path.display()
        ),
        Err(error) => println!("its trace could not be written: {error}"),
    }
}

fn write_trace(folder: &Path, outcome: &Outcome, commit: &str) -> io::Result<PathBuf> {
    let mut text = format!("{}\ncommit: {commit}\n", outcome.case);
    if let Some(violation) = &outcome.violation {
        text.push_str(&format!("violation: {violation}\n"));
    }
    let sink = |line: &str| {
        text.push_str(line);
        text.push('\n');
    };
    sim::run(&outcome.case, Some(Box::new(sink)));
    std::fs::create_dir_all(folder)?;
    let path = folder.join(format!("seed-{}.trace", outcome.case.seed));
    std::fs::write(&path, text)?;
    Ok(path)
}
