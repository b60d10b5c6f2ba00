//! One case again, an event a line.

use std::io::{BufRead as _, Write};
use std::path::Path;
use std::process::ExitCode;

use sim::{Case, Fault, ParseCaseError};

use crate::{commit, print_violation};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// A trace or a regression (its first line names the case), or a seed.
    what: String,
    /// After how many events the storm ends.
    #[arg(long)]
    events: Option<u64>,
    /// How many voters, whatever the plan says.
    #[arg(long)]
    nodes: Option<usize>,
    /// How many clients at most.
    #[arg(long)]
    clients: Option<usize>,
    /// Classes of faults to leave out: Kill,Loss.
    #[arg(long, value_delimiter = ',')]
    without: Vec<Fault>,
    /// Another run of the same plan for each number.
    #[arg(long)]
    luck: Option<u64>,
    /// Only what happened from this millisecond on.
    #[arg(long)]
    from: Option<f64>,
    /// Only what happened up to this millisecond.
    #[arg(long)]
    to: Option<f64>,
    /// Only what names this node, and what the nemesis does: n2.
    #[arg(long)]
    node: Option<String>,
    /// Wait for Enter behind each line; a number goes on for so many, q ends.
    #[arg(long)]
    step: bool,
    /// Show no events.
    #[arg(long)]
    quiet: bool,
}

pub(crate) fn replay(arguments: &Arguments) -> ExitCode {
    let case = match case(arguments) {
        Ok(case) => case,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    // Whoever reads the trace may have seen enough: what cannot be written is lost.
    let _ = writeln!(out, "{case}\ncommit: {}", commit());
    let mut steps = 0;
    let sink = |line: &str| {
        if arguments.shows(line) {
            let _ = writeln!(out, "{line}");
            if arguments.step {
                let _ = out.flush();
                steps = wait(steps);
            }
        }
    };
    let sink: Option<sim::Sink<'_>> = (!arguments.quiet).then(|| Box::new(sink) as sim::Sink<'_>);
    let outcome = sim::run(&case, sink);
    let stats = &outcome.stats;
    let _ = writeln!(
        out,
        "{} heights, {} events, {:.1} s simulated, trace {:016x}",
        stats.heights,
        stats.events,
        stats.time.as_secs_f64(),
        outcome.trace_hash
    );
    drop(out);
    outcome.violation.map_or(ExitCode::SUCCESS, |violation| {
        print_violation(&violation);
        ExitCode::FAILURE
    })
}

/// The case of a file, or of what was typed.
fn case(arguments: &Arguments) -> Result<Case, ParseCaseError> {
    let file = std::fs::read_to_string(Path::new(&arguments.what)).ok();
    let first = file.as_deref().and_then(|text| text.lines().next());
    let mut case: Case = first.unwrap_or(&arguments.what).parse()?;
    case.events = arguments.events.unwrap_or(case.events);
    case.nodes = arguments.nodes.or(case.nodes);
    case.clients = arguments.clients.or(case.clients);
    case.without.extend(&arguments.without);
    case.luck = arguments.luck.unwrap_or(case.luck);
    Ok(case)
}

impl Arguments {
    fn shows(&self, line: &str) -> bool {
        let time = line.split("ms").next().unwrap_or_default();
        let time: f64 = time.trim().parse().unwrap_or_default();
        let mut words = line.split(|c: char| !c.is_ascii_alphanumeric());
        self.from.is_none_or(|from| time >= from)
            && self.to.is_none_or(|to| time <= to)
            && self
                .node
                .as_ref()
                .is_none_or(|node| words.any(|word| word == node || word == "nemesis"))
    }
}

/// Waits for a line, unless there are steps left; how many are left then.
fn wait(steps: u64) -> u64 {
    if steps > 0 {
        return steps - 1;
    }
    let mut line = String::new();
    let read = std::io::stdin().lock().read_line(&mut line);
    if !matches!(read, Ok(1..)) || line.trim() == "q" {
        std::process::exit(0);
    }
    line.trim()
        .parse()
        .map_or(0, |count: u64| count.saturating_sub(1))
}
