//! One member's disk or one link is slow, and the clients of the others are asked what they feel.
//!
//! Clients stay where they are, also those of the slow member, so what its disk does to them is seen too and the others
//! are not given their work. Every round tries each condition once, on a fresh cluster in network namespaces, so that
//! a change in the machine's mood meets all of them.

use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::Options;
use crate::cluster::{Cluster as _, MEMBERS, Setup};
use crate::load::{Load, Sample, check_stored, spread};
use crate::report::{Report, Table};
use crate::starling::{SlowDisk, Starling};
use crate::statistics::{millis, quantile};

/// Not measured: the others find out how slow the slow one is.
const WARM_UP: Duration = Duration::from_secs(2);
/// Longer than the slowest disk makes any client wait, as far as that can be said.
const PATIENCE: Duration = Duration::from_secs(20);
/// Whose disk is slow.
const SLOW: usize = 2;
/// The ends of the link that loses.
const ENDS: [usize; 2] = [0, 1];
/// Of a hundred packets, in both directions.
const LOST: u8 = 30;

/// What is slow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Condition {
    Nothing,
    Disk(Duration),
    Link,
}

impl Condition {
    const ALL: [Self; 4] = [
        Self::Nothing,
        Self::Disk(Duration::from_millis(200)),
        Self::Disk(Duration::from_secs(5)),
        Self::Link,
    ];

    fn name(self) -> String {
        match self {
            Self::Nothing => "nothing".to_owned(),
            Self::Disk(delay) => format!("disk {} ms", delay.as_millis()),
            Self::Link => format!("link {LOST} %"),
        }
    }
}

/// What the clients of some members have felt.
#[derive(Debug, Clone, Copy)]
struct Felt {
    per_second: f64,
    p50: Duration,
    p99: Duration,
}

impl Felt {
    fn of(samples: &[Sample], members: &[usize], length: Duration) -> Self {
        let theirs = samples
            .iter()
            .filter(|sample| members.contains(&sample.member));
        let mut latencies: Vec<Duration> = theirs.map(|sample| sample.latency).collect();
        latencies.sort();
        Self {
            per_second: latencies.len() as f64 / length.as_secs_f64(),
            p50: quantile(&latencies, 0.5),
            p99: quantile(&latencies, 0.99),
        }
    }

    fn to_json(self) -> Value {
        json!({ "writesPerSecond": self.per_second, "p50Ms": millis(self.p50), "p99Ms": millis(self.p99) })
    }
}

/// One run.
struct Run {
    condition: Condition,
    /// The clients of the members whose disk is as always, and which are the ends of the link.
    ends: Felt,
    /// The clients of the slow disk's member, which is no end of the link.
    third: Felt,
    /// The share of blocks that were not decided at the first ballot.
    takeovers: f64,
}

impl Run {
    fn to_json(&self) -> Value {
        json!({
            "condition": self.condition.name(), "takeovers": self.takeovers,
            "ends": self.ends.to_json(), "third": self.third.to_json(),
        })
    }
}

/// Every condition in every round.
pub(crate) async fn run(setup: &mut Setup, options: &Options) -> Result<Report> {
    let mut runs = Vec::new();
    for round in 1..=options.rounds {
        // Each begins with another, so that none is always first.
        for condition in Condition::ALL
            .into_iter()
            .cycle()
            .skip(round)
            .take(Condition::ALL.len())
        {
            let run = once(setup, options, condition)
                .await
                .with_context(|| condition.name())?;
            eprintln!(
                "round {round} of {}, {}: p99 {:.1} ms at n1 and n2, {:.1} ms at n3",
                options.rounds,
                condition.name(),
                millis(run.ends.p99),
                millis(run.third.p99)
            );
            runs.push(run);
        }
    }
    let command = format!(
        "starling-bench slow --clients {} --rounds {} --seconds {}",
        options.clients, options.rounds, options.seconds
    );
    let columns = [
        "slow",
        "n1 and n2: writes/s",
        "p50 ms",
        "p99 ms",
        "n3: writes/s",
        "p50 ms",
        "p99 ms",
    ];
    let mut table = Table::new("A slow disk, a slow link", &command, &columns);
    for run in &runs {
        let mut cells = vec![run.condition.name()];
        for felt in [run.ends, run.third] {
            cells.push(format!("{:.0}", felt.per_second));
            cells.extend([felt.p50, felt.p99].map(|time| format!("{:.2}", millis(time))));
        }
        table.row(&cells);
    }
    Ok(Report {
        name: "slow",
        data: json!({
            "command": command, "clients": options.clients,
            "runs": runs.iter().map(Run::to_json).collect::<Vec<_>>(),
        }),
        markdown: table.finish("The slow disk is n3's, the link that between n1 and n2."),
    })
}

async fn once(setup: &mut Setup, options: &Options, condition: Condition) -> Result<Run> {
    let slow = match condition {
        Condition::Disk(delay) => Some(SlowDisk {
            member: SLOW,
            delay,
        }),
        Condition::Nothing | Condition::Link => None,
    };
    let cluster = Starling::start_with(setup, slow).await?;
    if condition == Condition::Link {
        set_loss(setup, LOST)?;
    }
    let load = Load::start(&cluster, &spread(options.clients, MEMBERS), PATIENCE);
    tokio::time::sleep(WARM_UP).await;
    let (from, above) = (Instant::now(), cluster.height().await?);
    tokio::time::sleep(Duration::from_secs(options.seconds)).await;
    let (until, up_to) = (Instant::now(), cluster.height().await?);
    let work = load.stop().await?;
    set_loss(setup, 0)?;
    check_stored(&work.samples, &cluster.stored().await?, true)?;
    let takeovers = cluster.takeovers(above, up_to).await?;
    cluster.stop().await?;
    let mut samples = work.samples;
    samples.retain(|sample| (from..until).contains(&sample.finished));
    let length = until - from;
    Ok(Run {
        condition,
        ends: Felt::of(&samples, &ENDS, length),
        third: Felt::of(&samples, &[SLOW], length),
        takeovers,
    })
}

fn set_loss(setup: &mut Setup, percent: u8) -> Result<()> {
    let [one, other] = ENDS;
    let network = setup.hosts.network()?;
    network.lose(one, other, percent)?;
    Ok(network.lose(other, one, percent)?)
}
