//! The parts of the document that real processes measured.
//!
//! `starling-bench` writes what it saw to `losing.json` and `slow.json` beside the charts; here tables and charts are
//! made of it. So the page can be made anew without measuring again, and a test can hold it to the data.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::curves::{Axis, Curve, Panel, svg};
use crate::tables::{Chart, Part, row, table};

/// These parts, in the document's order; each has a file of data of its name.
pub const PARTS: [&str; 2] = ["losing", "slow"];

#[derive(Deserialize)]
struct Measured {
    host: Host,
    losing: Option<Losing>,
    slow: Option<Slow>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Host {
    processors: u32,
    processor: String,
    file_system: String,
    fdatasync_ms: f64,
    etcd: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Losing {
    command: String,
    bin_ms: f64,
    before_ms: f64,
    away_ms: f64,
    back_ms: f64,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    system: String,
    fault: String,
    role: String,
    runs: Vec<Run>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Run {
    writes_per_second_before: f64,
    gap_before_ms: f64,
    gap_ms: f64,
    gap_back_ms: f64,
    dip_share: f64,
    recovered_ms: Option<f64>,
    /// Numbers with a space between.
    writes: String,
}

#[derive(Deserialize)]
struct Slow {
    command: String,
    runs: Vec<SlowRun>,
}

#[derive(Deserialize)]
struct SlowRun {
    condition: String,
    takeovers: f64,
    ends: Felt,
    third: Felt,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Felt {
    writes_per_second: f64,
    p50_ms: f64,
    p99_ms: f64,
}

/// Makes a part from the data in a folder.
///
/// # Errors
/// If the data is missing or cannot be read.
pub fn make(part: &str, folder: &Path) -> Result<Part> {
    let path = folder.join(format!("{part}.json"));
    let text = fs::read_to_string(&path).with_context(|| {
        format!(
            "reading {}, which `make experiments ARGS={part}` makes",
            path.display()
        )
    })?;
    let measured: Measured = parse(&text).with_context(|| format!("reading {}", path.display()))?;
    match (part, measured.losing, measured.slow) {
        ("losing", Some(losing), _) => losing.part(&measured.host),
        ("slow", _, Some(slow)) => slow.part(&measured.host),
        _ => bail!("{} holds another measurement", path.display()),
    }
}

fn parse<T: DeserializeOwned>(text: &str) -> Result<T> {
    Ok(serde_json::from_str(text)?)
}

impl Host {
    fn sentence(&self, command: &str, etcd: bool) -> String {
        let etcd = if etcd {
            format!(", {}", self.etcd)
        } else {
            String::new()
        };
        format!(
            "`{command}` on {} processors ({}), data on {} (median `fdatasync` after appending 4 KiB {:.2} ms){etcd}:\n",
            self.processors, self.processor, self.file_system, self.fdatasync_ms
        )
    }
}

/// Names in the data, and what the page calls them. Starling's word comes first, etcd's second.
const ROLES: [(&str, &str, [&str; 2]); 3] = [
    ("proposer", "Whoever proposes", ["with the turn", "leader"]),
    ("other", "Another", ["without the turn", "follower"]),
    (
        "everybodys",
        "The one that all clients talk to",
        ["everybody's", "everybody's"],
    ),
];
const FAULTS: [(&str, &str); 3] = [
    ("kill", "kill -9, started again"),
    ("pause", "paused (SIGSTOP)"),
    ("isolate", "cut off"),
];

impl Losing {
    fn part(&self, host: &Host) -> Result<Part> {
        let mut text = host.sentence(&self.command, true);
        let mut charts = Vec::new();
        for (role, title, _) in ROLES {
            let name = format!("losing-{role}");
            let caption = format!("{title} is lost: writes per second");
            text += &format!("\n![{caption}](experiments/{name}.svg)\n");
            charts.push(Chart {
                svg: svg(&caption, &self.axis(), &self.panels(role)?),
                name,
            });
        }
        text += "\n";
        text += &self.table();
        Ok(Part { text, charts })
    }

    fn axis(&self) -> Axis {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a few seconds"
        )]
        let seconds = |ms: f64| (ms / 1_000.0) as u32;
        Axis {
            before: seconds(self.before_ms),
            away: seconds(self.away_ms),
            back: seconds(self.back_ms),
        }
    }

    fn cases<'a>(&'a self, role: &'a str, fault: &'a str) -> impl Iterator<Item = &'a Case> {
        self.cases
            .iter()
            .filter(move |case| case.role == role && case.fault == fault)
    }

    /// A panel for each fault, with the first try of each system.
    fn panels(&self, role: &str) -> Result<Vec<Panel>> {
        let mut panels = Vec::new();
        for (fault, title) in FAULTS {
            let mut curves = Vec::new();
            for case in self.cases(role, fault) {
                let run = case.runs.first().context("a case that was not tried")?;
                let counts = run.writes.split(' ').map(str::parse::<f64>);
                let counts: Vec<f64> = counts
                    .collect::<Result<_, _>>()
                    .context("reading a series")?;
                curves.push(Curve {
                    name: case.system.clone(),
                    values: self.per_second(&counts),
                });
            }
            panels.push(Panel {
                title: title.to_owned(),
                curves,
            });
        }
        Ok(panels)
    }

    /// Rates over two bins at a time, which is calmer to look at.
    fn per_second(&self, counts: &[f64]) -> Vec<f64> {
        let rate =
            |two: &[f64]| two.iter().sum::<f64>() * 1_000.0 / (self.bin_ms * two.len() as f64);
        counts.chunks(2).map(rate).collect()
    }

    fn table(&self) -> String {
        let mut rows = Vec::new();
        for (role, _, [ours, theirs]) in ROLES {
            for (fault, fault_words) in FAULTS {
                for case in self.cases(role, fault) {
                    let word = if case.system == "Starling" {
                        ours
                    } else {
                        theirs
                    };
                    rows.push(case.row(word, fault_words));
                }
            }
        }
        let head = [
            "",
            "member lost",
            "how",
            "writes/s before",
            "longest gap before, ms",
            "**gap opened, ms**",
            "lowest ¼ s, % of before",
            "90 % again after, ms",
            "longest gap when back, ms",
        ];
        table(&head, rows)
    }
}

impl Case {
    fn row(&self, member: &str, fault: &str) -> String {
        let each = |cell: fn(&Run) -> String| {
            let cells: Vec<String> = self.runs.iter().map(cell).collect();
            cells.join(", ")
        };
        row(&[
            self.system.clone(),
            member.to_owned(),
            fault.to_owned(),
            each(|run| format!("{:.0}", run.writes_per_second_before)),
            each(|run| format!("{:.0}", run.gap_before_ms)),
            format!("**{}**", each(|run| format!("{:.0}", run.gap_ms))),
            each(|run| format!("{:.0}", run.dip_share * 100.0)),
            each(|run| {
                run.recovered_ms
                    .map_or_else(|| "never".to_owned(), |ms| format!("{ms:.0}"))
            }),
            each(|run| format!("{:.0}", run.gap_back_ms)),
        ])
    }
}

/// What was slow: its name in the data and here, and whether the others are the two at the ends of the link, n1 and n2,
/// or n3.
const CONDITIONS: [(&str, &str, bool); 3] = [
    ("disk 200 ms", "n3's disk, 200 ms a flush", true),
    ("disk 5000 ms", "n3's disk, 5 s a flush", true),
    ("link 30 %", "30 % lost between n1 and n2", false),
];

impl Slow {
    fn part(&self, host: &Host) -> Result<Part> {
        let mut rows = Vec::new();
        for ends in [true, false] {
            rows.push(self.row("nothing", "nothing", ends, None)?);
        }
        for (condition, words, others_are_ends) in CONDITIONS {
            for ends in [others_are_ends, !others_are_ends] {
                let others = ends == others_are_ends;
                rows.push(self.row(condition, words, ends, Some(others))?);
            }
        }
        let head = [
            "slow",
            "clients of",
            "writes/s",
            "p50 ms",
            "p99 ms",
            "p99, times that of nothing slow",
            "taken over, % of blocks",
        ];
        Ok(format!(
            "{}\n{}",
            host.sentence(&self.command, false),
            table(&head, rows)
        )
        .into())
    }

    /// What the clients of n1 and n2, or of n3, felt in each round.
    fn felt(&self, condition: &str, ends: bool) -> Vec<Felt> {
        let runs = self.runs.iter().filter(|run| run.condition == condition);
        runs.map(|run| if ends { run.ends } else { run.third })
            .collect()
    }

    /// The median of the rounds' shares.
    fn takeovers(&self, condition: &str) -> f64 {
        let runs = self.runs.iter().filter(|run| run.condition == condition);
        Spread::of(runs.map(|run| run.takeovers)).map_or(0.0, |spread| spread.middle)
    }

    /// The medians of all rounds, and of the rounds' ratios; bold if these are the others, who should feel nothing.
    fn row(
        &self,
        condition: &str,
        words: &str,
        ends: bool,
        others: Option<bool>,
    ) -> Result<String> {
        let felt = self.felt(condition, ends);
        let usual = self.felt("nothing", ends);
        let ratios = felt
            .iter()
            .zip(&usual)
            .map(|(felt, usual)| felt.p99_ms / usual.p99_ms);
        let ratio = Spread::of(ratios).with_context(|| format!("no round of {condition}"))?;
        let middle = |value: fn(&Felt) -> f64| {
            Spread::of(felt.iter().map(value)).map_or(0.0, |spread| spread.middle)
        };
        let range = format!(
            "{:.2} ({:.2} to {:.2})",
            ratio.middle, ratio.least, ratio.most
        );
        let ratio = match others {
            None => String::new(),
            Some(true) => format!("**{range}**"),
            Some(false) => range,
        };
        Ok(row(&[
            words.to_owned(),
            if ends { "n1, n2" } else { "n3" }.to_owned(),
            format!("{:.0}", middle(|felt| felt.writes_per_second)),
            format!("{:.1}", middle(|felt| felt.p50_ms)),
            format!("{:.1}", middle(|felt| felt.p99_ms)),
            ratio,
            format!("{:.1}", self.takeovers(condition) * 100.0),
        ]))
    }
}

/// Of a few values.
struct Spread {
    least: f64,
    middle: f64,
    most: f64,
}

impl Spread {
    /// None of none.
    fn of(values: impl Iterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        let upper = values.get(values.len() / 2)?;
        let lower = values.get((values.len() - 1) / 2)?;
        Some(Self {
            least: *values.first()?,
            middle: f64::midpoint(*lower, *upper),
            most: *values.last()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_of_an_even_number_is_between_two() {
        let spread = Spread::of([4.0, 1.0, 2.0, 3.0].into_iter()).unwrap();
        assert_eq!((spread.least, spread.middle, spread.most), (1.0, 2.5, 4.0));
        assert!(Spread::of(std::iter::empty()).is_none());
    }

    #[test]
    fn every_try_has_its_place_in_a_cell() {
        let run = |gap_ms: f64, recovered_ms| Run {
            writes_per_second_before: 1_000.4,
            gap_before_ms: 3.0,
            gap_ms,
            gap_back_ms: 4.0,
            dip_share: 0.25,
            recovered_ms,
            writes: "1 2".to_owned(),
        };
        let case = Case {
            system: "x".to_owned(),
            fault: "kill".to_owned(),
            role: "other".to_owned(),
            runs: vec![run(10.0, Some(150.0)), run(20.0, None)],
        };
        assert_eq!(
            case.row("leader", "kill"),
            "| x | leader | kill | 1000, 1000 | 3, 3 | **10, 20** | 25, 25 | 150, never | 4, 4 |"
        );
    }
}
