//! `kill -9` of the member whose death costs most, under load.
//!
//! The figure is the longest time in which no client on a surviving member got a single write acknowledged. Clients
//! give a write up after [`PATIENCE`] and write the next one, so that a request that died with its member does not
//! keep a client waiting and the figure is the system's, not the client's.

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
/// How long the survivors are watched: several of etcd's election timeouts.
const WATCH: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_millis(300);

/// What all kills of one system have shown.
struct Kills {
    /// The longest gap after each kill, in order of length.
    gaps: Vec<Duration>,
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
        "",
        "median ms",
        "worst ms",
        "failed writes on survivors",
        "writes found exactly once",
    ];
    let mut table = Table::new("Killing the turn's holder (the leader)", &command, &columns);
    table.row(&starling.cells(Starling::NAME));
    table.row(&etcd.cells(Etcd::NAME));
    let sentence = format!(
        "Longest time without an acknowledged write anywhere among clients on survivors, {} kills each. A client \
         gives a write up after {} ms; a gap of {} s means that no write came back while we watched.",
        options.kills,
        PATIENCE.as_millis(),
        WATCH.as_secs()
    );
    Ok(Report {
        name: "failover",
        data: json!({ "command": command, "starling": starling.to_json(), "etcd": etcd.to_json() }),
        markdown: table.finish(&sentence),
    })
}

impl Kills {
    fn cells(&self, name: &str) -> Vec<String> {
        vec![
            name.to_owned(),
            format!("{:.0}", millis(quantile(&self.gaps, 0.5))),
            format!("{:.0}", millis(quantile(&self.gaps, 1.0))),
            self.failures.to_string(),
            self.counted.to_string(),
        ]
    }

    fn to_json(&self) -> serde_json::Value {
        let gaps: Vec<f64> = self.gaps.iter().copied().map(millis).collect();
        json!({ "gapsMs": gaps, "failuresOnSurvivors": self.failures, "acknowledgedAndCounted": self.counted })
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
        let gap = longest_gap(&work, &survivors, killed_at);
        eprintln!(
            "{}: kill {number} of {}: {:.0} ms",
            C::NAME,
            options.kills,
            millis(gap)
        );
        kills.gaps.push(gap);
        kills.failures += work.failures_at(&survivors);
        samples.extend(work.samples);
        cluster
            .restart(victim)
            .await
            .with_context(|| format!("restarting {}", C::NAME))?;
    }
    check_stored(&samples, &cluster.stored().await?).with_context(|| C::NAME)?;
    cluster.stop().await?;
    kills.counted = samples.len();
    kills.gaps.sort();
    Ok(kills)
}

async fn kill_once<C: Cluster>(cluster: &mut C, clients: usize) -> Result<(usize, Instant, Work)> {
    let load = Load::start(cluster, &spread(clients, MEMBERS), PATIENCE);
    tokio::time::sleep(WARM_UP).await;
    let victim = cluster.key_member().await?;
    let killed_at = Instant::now();
    cluster.kill(victim)?;
    tokio::time::sleep_until(killed_at + WATCH).await;
    let work = load.stop().await?;
    Ok((victim, killed_at, work))
}

/// The longest time between two acknowledgements through `survivors` that ends after `killed_at`.
fn longest_gap(work: &Work, survivors: &[usize], killed_at: Instant) -> Duration {
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
    let gaps = neighbours
        .filter(|(_, end)| **end > killed_at)
        .map(|(begin, end)| *end - *begin);
    gaps.max().unwrap_or(WATCH)
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
        };
        Work {
            samples: finished_ms.iter().map(sample).collect(),
            ..Work::default()
        }
    }

    #[test]
    fn the_gap_spans_the_kill_and_ignores_the_victim() {
        let start = Instant::now();
        let killed = start + Duration::from_millis(100);
        let work = work(
            start,
            &[(1, 10), (1, 95), (0, 120), (2, 180), (1, 190), (1, 5099)],
        );
        let tail = Duration::from_millis(5099 - 190);
        assert_eq!(longest_gap(&work, &[1, 2], killed), tail);
    }

    #[test]
    fn silence_until_the_end_counts_in_full() {
        let start = Instant::now();
        let work = work(start, &[(1, 40)]);
        assert_eq!(
            longest_gap(&work, &[1, 2], start + Duration::from_millis(40)),
            WATCH
        );
    }
}
