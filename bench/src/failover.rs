//! `kill -9` of the member whose death costs most, under load.
//!
//! The figure is the longest time in which no client on a surviving member got a single write acknowledged. Clients
//! give a write up after [`PATIENCE`] and write the next one, so that a request that died with its member does not
//! keep a client waiting and the figure is the system's, not the client's.
//!
//! A shared disk stalls now and then on its own, for longer than a takeover takes. So the same clients are watched
//! for the same time before each kill, and the gap that the kill opens is told from those that come later.

use std::ops::Range;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::json;
use tokio::time::Instant;

use crate::Options;
use crate::cluster::{Cluster, MEMBERS, Setup};
use crate::etcd::Etcd;
use crate::load::{Load, Sample, Work, check_stored, spread};
use crate::report::{Report, Table};
use crate::starling::Starling;
use crate::statistics::{millis, quantile};

const WARM_UP: Duration = Duration::from_millis(1500);
/// How long the survivors are watched, before the kill and after it: several of etcd's election timeouts.
const WATCH: Duration = Duration::from_secs(5);
/// A gap that begins within this time of the kill is the kill's.
const AFTERMATH: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_millis(300);

/// The longest gaps around one kill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Gaps {
    /// In [`WATCH`] before it.
    before: Duration,
    /// Open at the kill, or begun within [`AFTERMATH`] of it.
    opened: Duration,
    /// In [`WATCH`] after it.
    after: Duration,
}

/// What all kills of one system have shown.
struct Kills {
    /// In the order of the kills.
    gaps: Vec<Gaps>,
    /// Writes through survivors that were refused or given up.
    failures: u64,
    counted: usize,
}

/// Kills members of both systems.
pub(crate) async fn run(setup: &Setup, options: &Options) -> Result<Report> {
    let starling = measure::<Starling>(setup, options).await?;
    let etcd = measure::<Etcd>(setup, options).await?;
    let command = format!(
        "starling-bench failover --clients {} --kills {}",
        options.clients, options.kills
    );
    let columns = [
        "longest gap, ms",
        "opened by the kill: median",
        "worst",
        "5 s after it: median",
        "worst",
        "5 s before it: median",
        "worst",
        "failed writes on survivors",
        "writes found exactly once",
    ];
    let mut table = Table::new("Killing the turn's holder (the leader)", &command, &columns);
    table.row(&starling.cells(Starling::NAME));
    table.row(&etcd.cells(Etcd::NAME));
    let sentence = format!(
        "Longest time without an acknowledged write anywhere among clients on survivors, {} kills each. A kill opens \
         a gap that spans it or begins within {} s of it; the {} s before it, without a kill, show what the machine \
         does on its own. A client gives a write up after {} ms.",
        options.kills,
        AFTERMATH.as_secs(),
        WATCH.as_secs(),
        PATIENCE.as_millis(),
    );
    Ok(Report {
        name: "failover",
        data: json!({ "command": command, "starling": starling.to_json(), "etcd": etcd.to_json() }),
        markdown: table.finish(&sentence),
    })
}

impl Kills {
    fn cells(&self, name: &str) -> Vec<String> {
        let mut cells = vec![name.to_owned()];
        for which in [Gaps::opened, Gaps::after, Gaps::before] {
            let mut gaps: Vec<Duration> = self.gaps.iter().map(which).collect();
            gaps.sort();
            cells.extend([0.5, 1.0].map(|at| format!("{:.0}", millis(quantile(&gaps, at)))));
        }
        cells.extend([self.failures.to_string(), self.counted.to_string()]);
        cells
    }

    fn to_json(&self) -> serde_json::Value {
        let all = |which: fn(&Gaps) -> Duration| -> Vec<f64> {
            self.gaps.iter().map(which).map(millis).collect()
        };
        json!({
            "openedMs": all(Gaps::opened), "afterMs": all(Gaps::after), "beforeMs": all(Gaps::before),
            "failuresOnSurvivors": self.failures, "acknowledgedAndCounted": self.counted,
        })
    }
}

async fn measure<C: Cluster>(setup: &Setup, options: &Options) -> Result<Kills> {
    let mut cluster = C::start(setup)
        .await
        .with_context(|| format!("starting {}", C::NAME))?;
    let mut kills = Kills {
        gaps: Vec::new(),
        failures: 0,
        counted: 0,
    };
    let mut samples = Vec::new();
    for number in 1..=options.kills {
        let (victim, killed_at, work) = kill_once(&mut cluster, options.clients).await?;
        let survivors: Vec<usize> = (0..MEMBERS).filter(|member| *member != victim).collect();
        let gaps = Gaps::around(&work, &survivors, killed_at);
        eprintln!(
            "{}: kill {number} of {}: {:.0} ms (longest in the 5 s after it {:.0}, before it {:.0})",
            C::NAME,
            options.kills,
            millis(gaps.opened),
            millis(gaps.after),
            millis(gaps.before),
        );
        kills.gaps.push(gaps);
        kills.failures += work.failures_at(&survivors);
        samples.extend(work.samples);
        cluster
            .restart(victim)
            .await
            .with_context(|| format!("restarting {}", C::NAME))?;
    }
    check_stored(&samples, &cluster.stored().await?, C::ONCE).with_context(|| C::NAME)?;
    cluster.stop().await?;
    kills.counted = samples.len();
    Ok(kills)
}

async fn kill_once<C: Cluster>(cluster: &mut C, clients: usize) -> Result<(usize, Instant, Work)> {
    let load = Load::start(cluster, &spread(clients, MEMBERS), PATIENCE);
    tokio::time::sleep(WARM_UP + WATCH).await;
    let victim = cluster.key_member().await?;
    let killed_at = Instant::now();
    cluster.kill(victim)?;
    tokio::time::sleep_until(killed_at + WATCH).await;
    let work = load.stop().await?;
    Ok((victim, killed_at, work))
}

impl Gaps {
    /// The gaps between acknowledgements through `survivors`.
    fn around(work: &Work, survivors: &[usize], killed_at: Instant) -> Self {
        let through = |sample: &&Sample| survivors.contains(&sample.member);
        let mut instants: Vec<Instant> = work
            .samples
            .iter()
            .filter(through)
            .map(|sample| sample.finished)
            .collect();
        instants.push(killed_at + WATCH);
        instants.sort();
        let neighbours = instants.iter().zip(instants.iter().skip(1));
        let gaps: Vec<Range<Instant>> = neighbours.map(|(begin, end)| *begin..*end).collect();
        Self {
            before: longest(&gaps, |gap| {
                gap.start >= killed_at - WATCH && gap.end <= killed_at
            }),
            opened: longest(&gaps, |gap| {
                gap.end > killed_at && gap.start < killed_at + AFTERMATH
            }),
            after: longest(&gaps, |gap| gap.end > killed_at),
        }
    }

    fn before(&self) -> Duration {
        self.before
    }

    fn opened(&self) -> Duration {
        self.opened
    }

    fn after(&self) -> Duration {
        self.after
    }
}

/// The longest of those that fit; [`WATCH`] if none does, which means that nothing came back.
fn longest(gaps: &[Range<Instant>], fits: impl Fn(&Range<Instant>) -> bool) -> Duration {
    let fitting = gaps.iter().filter(|gap| fits(gap));
    fitting
        .map(|gap| gap.end - gap.start)
        .max()
        .unwrap_or(WATCH)
}

#[cfg(test)]
mod tests {
    use crate::cluster::WriteId;

    use super::*;

    fn work(start: Instant, finished_ms: &[(usize, u64)]) -> Work {
        let sample = |&(member, ms): &(usize, u64)| Sample {
            id: WriteId(ms),
            member,
            finished: start + Duration::from_millis(ms),
            latency: Duration::ZERO,
            repeated: false,
        };
        Work {
            samples: finished_ms.iter().map(sample).collect(),
            ..Work::default()
        }
    }

    #[test]
    fn the_kill_s_gap_spans_it_and_ignores_the_victim() {
        let start = Instant::now();
        let ms = |ms| Duration::from_millis(ms);
        let killed = start + ms(6000);
        let work = work(
            start,
            &[
                (1, 2000),
                (2, 2300),
                (1, 5990),
                (0, 6020),
                (2, 6080),
                (1, 7100),
                (1, 10900),
            ],
        );
        let gaps = Gaps::around(&work, &[1, 2], killed);
        assert_eq!(gaps.before, ms(5990 - 2300));
        assert_eq!(gaps.opened, ms(7100 - 6080));
        assert_eq!(gaps.after, ms(10900 - 7100));
    }

    #[test]
    fn silence_until_the_end_counts_in_full() {
        let start = Instant::now();
        let work = work(start, &[(1, 40)]);
        let gaps = Gaps::around(&work, &[1, 2], start + Duration::from_millis(40));
        assert_eq!((gaps.opened, gaps.after), (WATCH, WATCH));
    }
}
