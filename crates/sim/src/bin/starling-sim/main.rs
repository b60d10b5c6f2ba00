//! `starling-sim`: runs seeds, shrinks what fails, and shows what happened in one.
//!
//! Exit code 0: nothing was violated. 1: a check was, and the last line is `violation: CHECK: DETAIL`. 2: bad usage.

#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "how long a sweep may take is wall-clock time; nothing simulated sees it"
)]

mod replay;
mod sweep;

use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand};
use sim::{Gone, OpId, Plan, Seat, Survivors, Turns, Violation, World};

/// Simulates whole clusters under faults and checks every step.
#[derive(Parser)]
#[command(name = "starling-sim")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Runs many seeds, sums up, and shrinks the first that fails.
    Run(sweep::Arguments),
    /// Runs one case again and shows every event.
    Replay(replay::Arguments),
    /// Measures how many heights a second of one core simulates when nothing goes wrong.
    Speed {
        /// How many voters.
        #[arg(long, default_value_t = 3)]
        nodes: usize,
        /// How many heights.
        #[arg(long, default_value_t = 10_000)]
        heights: u64,
    },
    /// Measures how often turns are taken over where links are long and a minority is gone.
    Turns {
        /// How many clusters of each kind.
        #[arg(long, default_value_t = 10)]
        seeds: u64,
    },
}

fn main() -> ExitCode {
    match Arguments::parse().task {
        Task::Run(arguments) => sweep::sweep(&arguments),
        Task::Replay(arguments) => replay::replay(&arguments),
        Task::Speed { nodes, heights } => speed(nodes, heights),
        Task::Turns { seeds } => turns(seeds),
    }
}

/// What was built, as far as it is known: seed and commit are a run.
fn commit() -> String {
    if let Ok(told) = std::env::var("STARLING_COMMIT") {
        return told;
    }
    let asked = Command::new("git")
        .args(["describe", "--always", "--dirty", "--abbrev=12"])
        .output();
    let said = asked.ok().filter(|output| output.status.success());
    let said = said.and_then(|output| String::from_utf8(output.stdout).ok());
    said.map_or_else(|| "unknown".to_owned(), |text| text.trim().to_owned())
}

/// The last line of a run that has failed; others read it.
fn print_violation(violation: &Violation) {
    let detail: Vec<&str> = violation.detail.split_whitespace().collect();
    println!("violation: {}: {}", violation.check, detail.join(" "));
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
            print_violation(&violation);
            return ExitCode::FAILURE;
        }
    }
    let core = processor_time().unwrap_or(began.elapsed()).as_secs_f64();
    let stats = world.stats();
    println!(
        "{} heights, {} events, {:.1} s simulated in {core:.1} s of a core: {:.0} heights a core-second",
        stats.heights,
        stats.events,
        stats.time.as_secs_f64(),
        stats.heights as f64 / core
    );
    ExitCode::SUCCESS
}

/// A line for each size and each kind of absence.
fn turns(seeds: u64) -> ExitCode {
    println!("voters  gone            heights  taken over  ballots per height  heights per second");
    for (nodes, gone) in [
        (3, 0),
        (3, 1),
        (5, 0),
        (5, 2),
        (7, 0),
        (7, 1),
        (7, 3),
        (9, 4),
    ] {
        for since in [Gone::Before, Gone::Later] {
            let mut sum = Turns::default();
            for seed in 0..seeds {
                let length = Duration::from_secs(20);
                let survivors = Survivors {
                    seed,
                    nodes,
                    gone,
                    since,
                    length,
                };
                match survivors.measure() {
                    Ok(turns) => sum.add(&turns),
                    Err(violation) => {
                        print_violation(&violation);
                        return ExitCode::FAILURE;
                    }
                }
            }
            println!(
                "{nodes:6}  {gone} {:<12} {:8}  {:9.1}%  {:18.2}  {:18.2}",
                format!("{since:?}"),
                sum.heights,
                percent(sum.taken_over, sum.heights),
                percent(sum.ballots, sum.heights) / 100.0,
                sum.heights as f64 / sum.time.as_secs_f64()
            );
        }
    }
    ExitCode::SUCCESS
}

fn percent(part: u64, whole: u64) -> f64 {
    part as f64 * 100.0 / whole.max(1) as f64
}

/// What this thread has used of a core so far, where the system tells.
fn processor_time() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/self/schedstat").ok()?;
    let nanoseconds = text.split_whitespace().next()?.parse().ok()?;
    Some(Duration::from_nanos(nanoseconds))
}
