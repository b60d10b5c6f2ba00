//! One run: a fresh cluster, a warm-up, a measured stretch, and the count afterwards.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::cluster::{Cluster, MEMBERS, Setup};
use crate::load::{Load, Work, check_stored, spread};
use crate::process::cpu_time;
use crate::statistics::{millis, quantile};

/// Not measured: connections are made, caches and round-trip estimates fill.
const WARM_UP: Duration = Duration::from_secs(2);
/// Longer than any answer takes while no member fails.
const PATIENCE: Duration = Duration::from_secs(10);

/// Who writes where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Clients {
    /// So many, evenly over all members.
    Everywhere(usize),
    /// One, on the holder of the turn or the leader.
    OneOnKeyMember,
    /// One, on another.
    OneElsewhere,
}

/// What a run has shown.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    /// Acknowledged writes per second.
    pub(crate) per_second: f64,
    /// Median latency.
    pub(crate) p50: Duration,
    /// Latency of all but one in a hundred.
    pub(crate) p99: Duration,
    /// Processor time of all members per write.
    pub(crate) server_cpu: Duration,
    /// Processor time of the load generator per write.
    pub(crate) client_cpu: Duration,
    /// Acknowledged in the whole run, each found exactly once.
    pub(crate) counted: usize,
}

impl Run {
    /// For the report.
    pub(crate) fn to_json(&self) -> Value {
        json!({
            "writesPerSecond": self.per_second, "p50Ms": millis(self.p50), "p99Ms": millis(self.p99),
            "serverCpuUsPerWrite": micros(self.server_cpu), "clientCpuUsPerWrite": micros(self.client_cpu),
            "acknowledgedAndCounted": self.counted,
        })
    }
}

/// In microseconds.
pub(crate) fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

/// Runs a fresh cluster of one system under load for `seconds`.
pub(crate) async fn run<C: Cluster>(setup: &Setup, clients: Clients, seconds: u64) -> Result<Run> {
    let cluster = C::start(setup)
        .await
        .with_context(|| format!("starting {}", C::NAME))?;
    let members = match clients {
        Clients::Everywhere(count) => spread(count, MEMBERS),
        Clients::OneOnKeyMember => vec![cluster.key_member().await?],
        Clients::OneElsewhere => vec![(cluster.key_member().await? + 1) % MEMBERS],
    };
    let load = Load::start(&cluster, &members, PATIENCE);
    tokio::time::sleep(WARM_UP).await;
    let before = Usage::now(&cluster)?;
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let after = Usage::now(&cluster)?;
    let work = load.stop().await?;
    if let Some(failure) = &work.first_failure {
        bail!(
            "{}: a write failed though no member did: {failure}",
            C::NAME
        );
    }
    check_stored(&work.samples, &cluster.stored().await?, C::ONCE).with_context(|| C::NAME)?;
    cluster.stop().await?;
    summarise(&work, &before, &after)
}

/// Processor time up to an instant.
struct Usage {
    at: Instant,
    servers: Duration,
    client: Duration,
}

impl Usage {
    fn now<C: Cluster>(cluster: &C) -> Result<Self> {
        let servers = cluster
            .pids()
            .into_iter()
            .map(cpu_time)
            .sum::<Result<Duration>>()?;
        Ok(Self {
            at: Instant::now(),
            servers,
            client: cpu_time(std::process::id())?,
        })
    }
}

fn summarise(work: &Work, before: &Usage, after: &Usage) -> Result<Run> {
    let measured = work
        .samples
        .iter()
        .filter(|s| s.finished > before.at && s.finished <= after.at);
    let mut latencies: Vec<Duration> = measured.map(|sample| sample.latency).collect();
    latencies.sort();
    let count = u32::try_from(latencies.len()).context("counting writes")?;
    if count == 0 {
        bail!("no write was acknowledged");
    }
    Ok(Run {
        per_second: f64::from(count) / (after.at - before.at).as_secs_f64(),
        p50: quantile(&latencies, 0.5),
        p99: quantile(&latencies, 0.99),
        server_cpu: (after.servers - before.servers) / count,
        client_cpu: (after.client - before.client) / count,
        counted: work.samples.len(),
    })
}
