//! `starling-model`: searches the cases and says what was tried, and whether all of it.

#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "how long a search took is wall-clock time; nothing searched sees it"
)]

use std::process::ExitCode;
use std::time::Instant;

use clap::{Parser, Subcommand};
use explore::{CASES, Case, Counterexample, Report};

/// Tries everything the engine can do in small clusters.
#[derive(Parser)]
#[command(name = "starling-model")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Names the cases.
    List,
    /// Searches cases and stops at the first broken invariant.
    Check {
        /// This one only.
        #[arg(long)]
        case: Option<String>,
        /// Not more states than this per case.
        #[arg(long)]
        max_states: Option<usize>,
        /// To the long bounds of the cases instead of the short ones.
        #[arg(long)]
        deep: bool,
    },
}

const BAD_USAGE: u8 = 2;

fn main() -> ExitCode {
    match Arguments::parse().task {
        Task::List => {
            for case in CASES {
                println!("{:24} {}", case.name, case.about);
            }
            ExitCode::SUCCESS
        }
        Task::Check {
            case,
            max_states,
            deep,
        } => {
            let cases = match &case {
                None => CASES.to_vec(),
                Some(name) => Case::named(name).into_iter().collect(),
            };
            if cases.is_empty() {
                eprintln!("there is no such case; starling-model list names them");
                return ExitCode::from(BAD_USAGE);
            }
            search(&cases, max_states, deep)
        }
    }
}

fn search(cases: &[Case], max_states: Option<usize>, deep: bool) -> ExitCode {
    println!(
        "{:24} {:>11} {:>6} {:>9} {:>8} {:>9} {:>9}  met",
        "case", "states", "depth", "exhausted", "seconds", "nodes", "networks"
    );
    for case in cases {
        let bound = max_states.unwrap_or(if deep { case.long } else { case.short });
        let begun = Instant::now();
        let report = explore::check(case, bound);
        print_row(case, &report, begun.elapsed().as_secs_f64());
        if let Some(broken) = &report.broken {
            print_counterexample(case, broken);
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn print_row(case: &Case, report: &Report, seconds: f64) {
    let met = &report.met;
    println!(
        "{:24} {:>11} {:>6} {:>9} {seconds:>8.1} {:>9} {:>9}  decided {} blocks at k {:?}, {} reads, {} comebacks",
        case.name,
        report.states,
        report.depth,
        if report.exhausted { "yes" } else { "no" },
        met.nodes,
        met.networks,
        met.blocks,
        met.ballots,
        met.reads,
        met.comebacks,
    );
}

/// The contract with `make mutants`: the last line names what is broken.
fn print_counterexample(case: &Case, broken: &Counterexample) {
    println!("\nhow {} breaks it:", case.name);
    for line in &broken.lines {
        println!("  {line}");
    }
    let again = if broken.confirmed {
        "run again from the start, it breaks the same"
    } else {
        "NOT confirmed when run again from the start"
    };
    println!("{again}");
    let check = broken.violation.check;
    println!("violation: {check}: {}", broken.violation.detail);
}
