//! The tables, traces and charts of the document, each by its name.

use anyhow::{Result, bail};

use crate::chart::{Panel, Series, svg};
use crate::competition::{Contender, SIZES, heights_until_deadlock, naive_figures, paxos_figures};
use crate::naive::Votes;
use crate::network::{Place, ROUND_TRIPS_MS};
use crate::record::Figures;
use crate::schedules::{at_once, half_heard};
use crate::signatures;
use crate::splits::{self, HEIGHTS, Up, WATCHED};
use crate::trace::Trace;

/// All simulated parts of the document, in its order.
pub const PARTS: [&str; 13] = [
    "at-once-naive",
    "deadlocks",
    "half-heard-naive",
    "forks",
    "at-once-starling",
    "half-heard-starling",
    "regions",
    "lan",
    "wan",
    "standstill",
    "knobs",
    "certificates",
    "signatures",
];

/// A part, and the charts that go with it.
pub struct Part {
    /// In Markdown.
    pub text: String,
    /// Each for a file of its own.
    pub charts: Vec<Chart>,
}

/// A chart.
pub struct Chart {
    /// Of its file, without the ending.
    pub name: String,
    /// Its text.
    pub svg: String,
}

impl From<String> for Part {
    fn from(text: String) -> Self {
        Self {
            text,
            charts: Vec::new(),
        }
    }
}

/// Makes a part. The same seed gives the same part, except for `signatures`, which is measured.
///
/// # Errors
/// If there is no such part, or a replica does not start.
pub fn make(part: &str, seed: u64) -> Result<Part> {
    Ok(match part {
        "at-once-naive" => quote(&at_once().naive(Votes::Final).trace).into(),
        "half-heard-naive" => quote(&half_heard().naive(Votes::Revocable).trace).into(),
        "at-once-starling" => quote(&at_once().starling()?.trace).into(),
        "half-heard-starling" => quote(&half_heard().starling()?.trace).into(),
        "deadlocks" => deadlocks().into(),
        "forks" => forks()?.into(),
        "regions" => regions().into(),
        "lan" => competition(part, Place::Lan, seed)?,
        "wan" => competition(part, Place::Wan, seed)?,
        "standstill" => standstill().into(),
        "knobs" => knobs(seed).into(),
        "certificates" => certificates()?.into(),
        "signatures" => costs()?.into(),
        _ => bail!(
            "no part is called {part}; the parts are {}",
            PARTS.join(", ")
        ),
    })
}

fn quote(trace: &Trace) -> String {
    format!("```text\n{}\n```\n", trace.lines().join("\n"))
}

pub(crate) fn table(head: &[&str], rows: impl IntoIterator<Item = String>) -> String {
    let rule = vec!["---"; head.len()].join(" | ");
    let mut out = format!("| {} |\n| {rule} |\n", head.join(" | "));
    for row in rows {
        out.push_str(&row);
        out.push('\n');
    }
    out
}

pub(crate) fn row(cells: &[String]) -> String {
    format!("| {} |", cells.join(" | "))
}

/// How often final votes deadlock, in per cent, for a cluster size.
pub fn deadlock_row(nodes: usize) -> String {
    let share = |proposers: usize, up| {
        let voters = nodes - usize::from(up == Up::AllButOne);
        if proposers > voters {
            return "—".to_owned();
        }
        let stuck = splits::deadlocks(nodes, proposers, up, HEIGHTS);
        format!("{:.1}", f64::from(stuck) * 100.0 / f64::from(HEIGHTS))
    };
    let mut cells = vec![nodes.to_string()];
    for up in [Up::All, Up::AllButOne] {
        cells.extend([2, 3, 5].map(|proposers| share(proposers, up)));
        let everybody = nodes - usize::from(up == Up::AllButOne);
        cells.push(share(everybody, up));
    }
    row(&cells)
}

fn deadlocks() -> String {
    let head = [
        "nodes",
        "2 write, all up",
        "3 write",
        "5 write",
        "all write",
        "2 write, one down",
        "3 write",
        "5 write",
        "all others write",
    ];
    table(&head, SIZES.map(deadlock_row))
}

fn forks() -> Result<String> {
    let mut rows = Vec::new();
    for nodes in [3, 5] {
        for (name, trouble) in splits::troubles() {
            let naive = splits::naive_forks(nodes, trouble.clone(), WATCHED);
            let ours = splits::starling_forks(nodes, trouble, WATCHED)?;
            let share = naive.forked as f64 * 1_000.0 / naive.heights.max(1) as f64;
            rows.push(row(&[
                nodes.to_string(),
                name.to_owned(),
                naive.heights.to_string(),
                naive.forked.to_string(),
                format!("{share:.1}"),
                ours.heights.to_string(),
                ours.forked.to_string(),
            ]));
        }
    }
    let head = [
        "nodes",
        "trouble",
        "naive: heights",
        "forked",
        "of 1,000",
        "Starling: heights",
        "forked",
    ];
    Ok(table(&head, rows))
}

fn regions() -> String {
    let names = ["A", "B", "C", "D", "E"];
    let rows = names.iter().zip(ROUND_TRIPS_MS).map(|(name, trips)| {
        let mut cells = vec![(*name).to_owned()];
        cells.extend(trips.map(|trip| trip.to_string()));
        row(&cells)
    });
    table(&["ms", "A", "B", "C", "D", "E"], rows)
}

/// One contender's line of a table of the competition.
pub fn competition_row(contender: Contender, nodes: usize, figures: &Figures) -> String {
    let ballots = contender != Contender::Revocable;
    let ms = |percent| {
        let ms = figures.latency_ms(percent);
        ms.map_or_else(|| "—".to_owned(), |ms| format!("{ms:.1}"))
    };
    let or_dash = |text: String| if ballots { text } else { "—".to_owned() };
    row(&[
        contender.name().to_owned(),
        nodes.to_string(),
        format!("{:.1}", figures.per_second(figures.blocks)),
        format!("{:.0}", figures.per_second(figures.latencies.len() as u64)),
        ms(50),
        ms(99),
        or_dash(format!("{:.2}", figures.per_block(figures.trips))),
        or_dash(format!("{:.1} %", figures.per_block(figures.first) * 100.0)),
        format!("{:.1}", figures.per_block(figures.messages)),
        figures.forks.to_string(),
    ])
}

fn competition(name: &str, place: Place, seed: u64) -> Result<Part> {
    let head = [
        "scheme",
        "nodes",
        "blocks/s",
        "writes/s",
        "p50 ms",
        "p99 ms",
        "round trips",
        "first ballot",
        "messages",
        "forks",
    ];
    let mut rows = Vec::new();
    let mut runs: Vec<(&str, Vec<(usize, Figures)>)> = Vec::new();
    for contender in Contender::ALL {
        let mut sizes = Vec::new();
        for nodes in SIZES {
            let figures = contender.run(place, nodes, seed)?;
            rows.push(competition_row(contender, nodes, &figures));
            sizes.push((nodes, figures));
        }
        runs.push((contender.name(), sizes));
    }
    let panel = |title, value: fn(&Figures) -> f64| Panel {
        title,
        series: runs
            .iter()
            .map(|(name, sizes)| series(name, sizes, value))
            .collect(),
    };
    let panels = [
        panel("writes per second", |f| {
            f.per_second(f.latencies.len() as u64)
        }),
        panel("median latency of a write, ms", |f| {
            f.latency_ms(50).unwrap_or_default()
        }),
        panel("messages per block", |f| f.per_block(f.messages)),
    ];
    let title = format!("{}: everybody always writing", place.name());
    Ok(Part {
        text: table(&head, rows),
        charts: vec![Chart {
            name: name.to_owned(),
            svg: svg(&title, &panels),
        }],
    })
}

fn series(name: &'static str, sizes: &[(usize, Figures)], value: fn(&Figures) -> f64) -> Series {
    Series {
        name,
        points: sizes
            .iter()
            .map(|(nodes, figures)| (*nodes, value(figures)))
            .collect(),
    }
}

fn standstill() -> String {
    let rows = [Place::Lan, Place::Wan].map(|place| {
        let mut cells = vec![place.name().to_owned()];
        cells.extend(SIZES.map(|nodes| heights_until_deadlock(place, nodes).to_string()));
        row(&cells)
    });
    let head = ["", "3 nodes", "5 nodes", "7 nodes", "9 nodes", "15 nodes"];
    table(&head, rows)
}

fn knobs(seed: u64) -> String {
    let mut rows = Vec::new();
    for place in [Place::Lan, Place::Wan] {
        for rounds in [1, 2, 4, 8, 16, 32] {
            let figures = paxos_figures(place, 5, rounds, seed);
            rows.push(knob_row(
                "everybody at once, first wait",
                place,
                rounds,
                &figures,
            ));
        }
        for rounds in [2, 5, 10, 20] {
            let figures = naive_figures(place, 5, rounds, seed);
            rows.push(knob_row("naive, a vote binds for", place, rounds, &figures));
        }
    }
    let head = [
        "what is varied",
        "network",
        "rounds",
        "blocks/s",
        "p50 ms",
        "p99 ms",
        "forks",
    ];
    table(&head, rows)
}

fn knob_row(what: &str, place: Place, rounds: u32, figures: &Figures) -> String {
    row(&[
        what.to_owned(),
        place.name().to_owned(),
        rounds.to_string(),
        format!("{:.1}", figures.per_second(figures.blocks)),
        format!("{:.1}", figures.latency_ms(50).unwrap_or_default()),
        format!("{:.1}", figures.latency_ms(99).unwrap_or_default()),
        figures.forks.to_string(),
    ])
}

/// What a certificate weighs at a cluster size, beside everything that is sent for a block.
///
/// # Errors
/// If a replica does not start.
pub fn certificate_row(nodes: usize) -> Result<String> {
    let (bytes, figures) = signatures::bytes(nodes)?;
    let sent = figures.per_block(figures.bytes);
    // A proof with each Accept, and one signature in each Accept and each Accepted.
    let accepts = (nodes - 1) as f64;
    let signed = accepts * bytes as f64 + figures.per_block(figures.messages) * 64.0;
    Ok(row(&[
        nodes.to_string(),
        (nodes / 2 + 1).to_string(),
        bytes.to_string(),
        format!("{sent:.0}"),
        format!("{:.0} %", signed * 100.0 / sent),
    ]))
}

fn certificates() -> Result<String> {
    let rows: Vec<String> = SIZES
        .into_iter()
        .map(certificate_row)
        .collect::<Result<_>>()?;
    let head = [
        "nodes",
        "signatures",
        "certificate, bytes",
        "sent per block, bytes",
        "of which signatures and certificates",
    ];
    Ok(table(&head, rows))
}

fn costs() -> Result<String> {
    let mut rows = Vec::new();
    for nodes in SIZES {
        let cost = signatures::cost(nodes)?;
        let micros = |time: std::time::Duration| time.as_secs_f64() * 1e6;
        let ratio = micros(cost.real) / micros(cost.stand_in).max(1e-9);
        rows.push(row(&[
            nodes.to_string(),
            format!("{:.0}", micros(cost.stand_in)),
            format!("{:.0}", micros(cost.real)),
            format!("{ratio:.1}"),
        ]));
    }
    let head = ["nodes", "stand-ins, µs", "Ed25519, µs", "times"];
    Ok(table(&head, rows))
}
