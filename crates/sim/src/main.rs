//! `starling-sim`: runs seeds, and shows what happened in one.

#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "how long a sweep may take is wall-clock time; nothing simulated sees it"
)]

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand};
use sim::{Case, EVENTS, OpId, Outcome, Plan, Seat, Stats, World};

/// Simulates whole clusters under faults and checks every step.
#[derive(Parser)]
#[command(name = "starling-sim")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Runs many seeds and sums up.
    Run(RunArguments),
    /// Measures how many heights a second of one core simulates when nothing goes wrong.
    Speed {
        /// How many voters.
        #[arg(long, default_value_t = 3)]
        nodes: usize,
        /// How many heights.
        #[arg(long, default_value_t = 10_000)]
        heights: u64,
    },
    /// Runs one seed and says what went wrong.
    Replay {
        /// Which.
        seed: u64,
        /// After how many events the storm ends.
        #[arg(long, default_value_t = EVENTS)]
        events: u64,
        /// Print every event.
        #[arg(long)]
        verbose: bool,
    },
}

#[derive(clap::Args)]
struct RunArguments {
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
}

fn main() -> ExitCode {
    match Arguments::parse().task {
        Task::Run(arguments) => sweep(&arguments),
        Task::Speed { nodes, heights } => speed(nodes, heights),
        Task::Replay {
            seed,
            events,
            verbose,
        } => replay(Case { seed, events }, verbose),
    }
}

/// What a sweep has found so far.
#[derive(Default)]
struct Tally {
    seeds: u64,
    stats: Stats,
    failures: BTreeMap<Case, String>,
}

fn sweep(arguments: &RunArguments) -> ExitCode {
    let began = Instant::now();
    let deadline = arguments
        .minutes
        .map(|minutes| began + Duration::from_secs_f64(minutes * 60.0));
    let next = AtomicU64::new(0);
    let tally = Mutex::new(Tally::default());
    let reported = AtomicU64::new(0);
    let work = || {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            if at >= arguments.seeds || deadline.is_some_and(|end| Instant::now() >= end) {
                return;
            }
            let case = Case {
                seed: arguments.from + at,
                events: arguments.events,
            };
            let outcome = sim::run(case, None);
            let mut tally = tally.lock().expect("no thread panics while it counts");
            count(&mut tally, outcome);
            let minute = began.elapsed().as_secs() / 60;
            if reported.fetch_max(minute, Ordering::Relaxed) < minute {
                report(&tally, began.elapsed());
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..arguments.jobs.max(1) {
            scope.spawn(work);
        }
    });
    let tally = tally
        .into_inner()
        .expect("no thread panics while it counts");
    summary(&tally, began.elapsed());
    if tally.failures.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn count(tally: &mut Tally, outcome: Outcome) {
    tally.seeds += 1;
    tally.stats.add(&outcome.stats);
    if let Some(violation) = outcome.violation {
        println!("FAILED {}: {violation}", outcome.case);
        println!("  replay: starling-sim replay {} --verbose", outcome.case);
        tally
            .failures
            .insert(outcome.case, violation.check.to_owned());
    }
}

fn report(tally: &Tally, elapsed: Duration) {
    println!(
        "{:>4} min: {} seeds, {} heights, {} failed",
        elapsed.as_secs() / 60,
        tally.seeds,
        tally.stats.heights,
        tally.failures.len()
    );
}

fn summary(tally: &Tally, elapsed: Duration) {
    let stats = &tally.stats;
    println!(
        "{} seeds in {:.1} s: {:.1} h simulated, {} heights, {} events, {} operations, {} failed",
        tally.seeds,
        elapsed.as_secs_f64(),
        stats.time.as_secs_f64() / 3600.0,
        stats.heights,
        stats.events,
        stats.ops,
        tally.failures.len()
    );
    for (title, counts) in [
        ("faults", owned(&stats.faults)),
        ("refused", owned(&stats.refused)),
    ] {
        let counts: Vec<String> = counts
            .into_iter()
            .map(|(name, count)| format!("{name} {count}"))
            .collect();
        println!("{title}: {}", counts.join(", "));
    }
    let mut checks: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for (case, check) in &tally.failures {
        checks.entry(check).or_default().push(case.seed);
    }
    for (check, seeds) in checks {
        println!("violated: {check} by seeds {seeds:?}");
    }
}

fn owned<K: ToString>(counts: &BTreeMap<K, u64>) -> Vec<(String, u64)> {
    counts
        .iter()
        .map(|(name, count)| (name.to_string(), *count))
        .collect()
}

/// A write at a time on every node.
fn speed(nodes: usize, heights: u64) -> ExitCode {
    let mut world = World::new(Plan::calm(0, nodes), None);
    let began = Instant::now();
    let mut open: Vec<(Seat, OpId)> = Vec::new();
    while world.top().0 < heights {
        open.retain(|(_, op)| world.answer(*op).is_none());
        for seat in Seat::all(nodes) {
            if open.iter().all(|(at, _)| *at != seat) {
                open.push((seat, world.write(seat)));
            }
        }
        if let Err(violation) = world.run_for(Duration::from_micros(200)) {
            println!("FAILED {violation}");
            return ExitCode::FAILURE;
        }
    }
    let took = began.elapsed().as_secs_f64();
    let stats = world.stats();
    println!(
        "{} heights, {} events, {:.1} s simulated in {took:.1} s: {:.0} heights a second",
        stats.heights,
        stats.events,
        stats.time.as_secs_f64(),
        stats.heights as f64 / took
    );
    ExitCode::SUCCESS
}

fn replay(case: Case, verbose: bool) -> ExitCode {
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let sink = |line: &str| {
        // Whoever reads the trace may have seen enough.
        let _ = writeln!(out, "{line}");
    };
    let sink: Option<sim::Sink<'_>> = if verbose { Some(Box::new(sink)) } else { None };
    let outcome = sim::run(case, sink);
    let stats = &outcome.stats;
    let _ = writeln!(
        out,
        "seed {}: {} heights, {} events, {:.1} s simulated, trace {:016x}",
        case.seed,
        stats.heights,
        stats.events,
        stats.time.as_secs_f64(),
        outcome.trace_hash
    );
    match outcome.violation {
        None => ExitCode::SUCCESS,
        Some(violation) => {
            let _ = writeln!(out, "FAILED {violation}");
            ExitCode::FAILURE
        }
    }
}
