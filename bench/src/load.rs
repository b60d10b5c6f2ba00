//! Closed-loop clients: each waits for its answer before it writes again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::cluster::{Cluster, MEMBERS, NotAcknowledged, WriteId, Writer};

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
    /// How long it took, from the first attempt.
    pub(crate) latency: Duration,
    /// Whether it took more than one attempt; an earlier one may have been stored too.
    pub(crate) repeated: bool,
}

/// Clients at work.
#[derive(Debug)]
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    clients: JoinSet<Work>,
}

/// What a client has seen, or all together.
#[derive(Debug, Default)]
pub(crate) struct Work {
    /// Acknowledged writes; those of all clients in the order in which they were.
    pub(crate) samples: Vec<Sample>,
    /// Writes given up or refused, by member; they may have happened.
    pub(crate) failures: BTreeMap<usize, u64>,
    /// What the first of them said.
    pub(crate) first_failure: Option<String>,
}

impl Load {
    /// Starts one client for each element of `members`; each gives a write up after `patience` and goes on to the next.
    pub(crate) fn start<C: Cluster>(cluster: &C, members: &[usize], patience: Duration) -> Self {
        Self::start_with(members, patience, |member| {
            vec![(member, cluster.writer(member))]
        })
    }

    /// The same, but what fails is sent again to another member, and the client stays there.
    pub(crate) fn start_roaming<C: Cluster>(
        cluster: &C,
        members: &[usize],
        patience: Duration,
    ) -> Self {
        Self::start_with(members, patience, |home| {
            let ring = (home..home + MEMBERS).map(|place| place % MEMBERS);
            ring.map(|member| (member, cluster.writer(member).repeatable()))
                .collect()
        })
    }

    fn start_with<W: Writer>(
        members: &[usize],
        patience: Duration,
        writers: impl Fn(usize) -> Vec<(usize, W)>,
    ) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let next = Arc::new(AtomicU64::new(fresh_ids()));
        let mut clients = JoinSet::new();
        for &member in members {
            let client = Client {
                writers: writers(member),
                current: 0,
                patience,
                next: Arc::clone(&next),
                stop: Arc::clone(&stop),
            };
            clients.spawn(client.run());
        }
        Self { stop, clients }
    }

    /// Lets every client finish its attempt and collects what they saw.
    pub(crate) async fn stop(mut self) -> Result<Work> {
        self.stop.store(true, Ordering::Relaxed);
        let mut work = Work::default();
        while let Some(record) = self.clients.join_next().await {
            let record = record.context("a client broke")?;
            work.samples.extend(record.samples);
            for (member, failures) in record.failures {
                *work.failures.entry(member).or_default() += failures;
            }
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
    /// Members and clients of them, at least one, in the order in which they are tried.
    writers: Vec<(usize, W)>,
    current: usize,
    patience: Duration,
    next: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
}

impl<W: Writer> Client<W> {
    async fn run(mut self) -> Work {
        let mut work = Work::default();
        while !self.stopped() {
            let id = WriteId(self.next.fetch_add(1, Ordering::Relaxed));
            self.write(id, &mut work).await;
        }
        work
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Until it is acknowledged, if there is another member to try.
    async fn write(&mut self, id: WriteId, work: &mut Work) {
        let begun = Instant::now();
        let mut repeated = false;
        loop {
            let (member, outcome) = self.attempt(id).await;
            let Err(failure) = outcome else {
                let finished = Instant::now();
                work.samples.push(Sample {
                    id,
                    member,
                    finished,
                    latency: finished - begun,
                    repeated,
                });
                return;
            };
            *work.failures.entry(member).or_default() += 1;
            work.first_failure
                .get_or_insert_with(|| failure.to_string());
            tokio::time::sleep(PAUSE).await;
            if self.writers.len() == 1 || self.stopped() {
                return;
            }
            self.current = (self.current + 1) % self.writers.len();
            repeated = true;
        }
    }

    async fn attempt(&mut self, id: WriteId) -> (usize, Result<(), NotAcknowledged>) {
        let (member, writer) = self
            .writers
            .get_mut(self.current)
            .expect("the current one is among them");
        let outcome = tokio::time::timeout(self.patience, writer.write(id)).await;
        let gave_up = || NotAcknowledged(format!("no answer within {:?}", self.patience));
        (*member, outcome.unwrap_or_else(|_| Err(gave_up())))
    }
}

/// `clients` members, round robin over `count`.
pub(crate) fn spread(clients: usize, count: usize) -> Vec<usize> {
    (0..clients).map(|client| client % count).collect()
}

/// Fails unless every acknowledged write is stored exactly once. One that was sent more than once may be stored more
/// often, unless the cluster stores such a write `once`.
pub(crate) fn check_stored(
    samples: &[Sample],
    stored: &BTreeMap<WriteId, u64>,
    once: bool,
) -> Result<()> {
    let times = |sample: &&Sample| stored.get(&sample.id).copied().unwrap_or(0);
    let lost = samples.iter().filter(|sample| times(sample) == 0).count();
    let counted = samples.iter().filter(|sample| once || !sample.repeated);
    let doubled = counted.filter(|sample| times(sample) > 1).count();
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
            repeated: false,
        }
    }

    #[test]
    fn lost_and_doubled_writes_are_found_and_unknown_ones_are_not_minded() {
        let stored = BTreeMap::from([(WriteId(1), 1), (WriteId(2), 2), (WriteId(9), 1)]);
        assert!(check_stored(&[sample(1)], &stored, true).is_ok());
        assert!(check_stored(&[sample(1), sample(2)], &stored, true).is_err());
        assert!(check_stored(&[sample(1), sample(3)], &stored, true).is_err());
    }

    #[test]
    fn a_write_sent_twice_is_a_double_only_where_it_should_be_stored_once() {
        let stored = BTreeMap::from([(WriteId(2), 2)]);
        let twice = Sample {
            repeated: true,
            ..sample(2)
        };
        assert!(check_stored(&[twice], &stored, false).is_ok());
        assert!(check_stored(&[twice], &stored, true).is_err());
        assert!(check_stored(&[sample(2)], &stored, false).is_err());
    }

    #[test]
    fn clients_are_spread_evenly() {
        assert_eq!(spread(5, 3), [0, 1, 2, 0, 1]);
    }
}
