//! Closed-loop clients: each waits for its answer before it writes again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::cluster::{Cluster, NotAcknowledged, WriteId, Writer};

/// After a failed write, so that clients of a dead member do not spin.
const PAUSE: Duration = Duration::from_millis(10);

/// An acknowledged write.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    /// Which.
    pub(crate) id: WriteId,
    /// Through which member.
    pub(crate) member: usize,
    /// When the answer was there.
    pub(crate) finished: Instant,
    /// How long it took.
    pub(crate) latency: Duration,
}

/// Clients at work.
#[derive(Debug)]
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    clients: JoinSet<ClientRecord>,
}

#[derive(Debug, Default)]
struct ClientRecord {
    member: usize,
    samples: Vec<Sample>,
    failures: u64,
    first_failure: Option<String>,
}

/// What all clients together have seen.
#[derive(Debug, Default)]
pub(crate) struct Work {
    /// Acknowledged writes, in the order in which they were.
    pub(crate) samples: Vec<Sample>,
    /// Writes given up or refused, by member; they may have happened.
    pub(crate) failures: BTreeMap<usize, u64>,
    /// What the first of them said.
    pub(crate) first_failure: Option<String>,
}

impl Load {
    /// Starts one client for each element of `members`; each gives a write up after `patience`.
    pub(crate) fn start<C: Cluster>(cluster: &C, members: &[usize], patience: Duration) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let next = Arc::new(AtomicU64::new(fresh_ids()));
        let mut clients = JoinSet::new();
        for &member in members {
            let client = Client {
                writer: cluster.writer(member),
                member,
                patience,
                next: Arc::clone(&next),
                stop: Arc::clone(&stop),
            };
            clients.spawn(client.run());
        }
        Self { stop, clients }
    }

    /// Lets every client finish its write and collects what they saw.
    pub(crate) async fn stop(mut self) -> Result<Work> {
        self.stop.store(true, Ordering::Relaxed);
        let mut work = Work::default();
        while let Some(record) = self.clients.join_next().await {
            let record = record.context("a client broke")?;
            work.samples.extend(record.samples);
            *work.failures.entry(record.member).or_default() += record.failures;
            work.first_failure = work.first_failure.or(record.first_failure);
        }
        work.samples.sort_by_key(|sample| sample.finished);
        Ok(work)
    }
}

impl Work {
    /// Failed writes through any of `members`.
    pub(crate) fn failures_at(&self, members: &[usize]) -> u64 {
        members
            .iter()
            .filter_map(|member| self.failures.get(member))
            .sum()
    }
}

/// Ids that no earlier load of this process has used: they start at a new multiple of 2^40.
fn fresh_ids() -> u64 {
    static LOADS: AtomicU64 = AtomicU64::new(1);
    LOADS.fetch_add(1, Ordering::Relaxed) << 40
}

struct Client<W> {
    writer: W,
    member: usize,
    patience: Duration,
    next: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
}

impl<W: Writer> Client<W> {
    async fn run(mut self) -> ClientRecord {
        let mut record = ClientRecord {
            member: self.member,
            ..ClientRecord::default()
        };
        while !self.stop.load(Ordering::Relaxed) {
            let id = WriteId(self.next.fetch_add(1, Ordering::Relaxed));
            let begun = Instant::now();
            match self.write(id).await {
                Ok(()) => {
                    let finished = Instant::now();
                    let latency = finished - begun;
                    record.samples.push(Sample {
                        id,
                        member: self.member,
                        finished,
                        latency,
                    });
                }
                Err(failure) => {
                    record.failures += 1;
                    record
                        .first_failure
                        .get_or_insert_with(|| failure.to_string());
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
        record
    }

    async fn write(&mut self, id: WriteId) -> Result<(), NotAcknowledged> {
        tokio::time::timeout(self.patience, self.writer.write(id))
            .await
            .unwrap_or_else(|_| {
                Err(NotAcknowledged(format!(
                    "no answer within {:?}",
                    self.patience
                )))
            })
    }
}

/// `clients` members, round robin over `count`.
pub(crate) fn spread(clients: usize, count: usize) -> Vec<usize> {
    (0..clients).map(|client| client % count).collect()
}

/// Fails unless every acknowledged write is stored exactly once, and none more than once.
pub(crate) fn check_stored(samples: &[Sample], stored: &BTreeMap<WriteId, u64>) -> Result<()> {
    let lost = samples
        .iter()
        .filter(|sample| !stored.contains_key(&sample.id))
        .count();
    let acknowledged = samples.iter().map(|sample| sample.id);
    let doubled = acknowledged
        .filter(|id| stored.get(id).is_some_and(|times| *times > 1))
        .count();
    if lost + doubled > 0 {
        bail!(
            "of {} acknowledged writes {lost} are lost and {doubled} doubled",
            samples.len()
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(id: u64) -> Sample {
        Sample {
            id: WriteId(id),
            member: 0,
            finished: Instant::now(),
            latency: Duration::ZERO,
        }
    }

    #[test]
    fn lost_and_doubled_writes_are_found_and_unknown_ones_are_not_minded() {
        let stored = BTreeMap::from([(WriteId(1), 1), (WriteId(2), 2), (WriteId(9), 1)]);
        assert!(check_stored(&[sample(1)], &stored).is_ok());
        assert!(check_stored(&[sample(1), sample(2)], &stored).is_err());
        assert!(check_stored(&[sample(1), sample(3)], &stored).is_err());
    }

    #[test]
    fn clients_are_spread_evenly() {
        assert_eq!(spread(5, 3), [0, 1, 2, 0, 1]);
    }
}
