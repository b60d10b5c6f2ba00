//! What an outsider sees of a cluster: messages, decisions, answers. The same for every scheme, so that figures compare.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use model::Instant;

/// A block, by the first bytes of its hash or whatever else tells it from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name(pub u64);

/// What was seen of a height.
#[derive(Debug, Clone, Default)]
struct Seen {
    /// When the first node had decided it.
    at: Option<Instant>,
    /// All blocks that somebody holds for decided.
    blocks: BTreeSet<Name>,
    /// Whose ballot won; none where there are no ballots.
    winner: Option<usize>,
    /// It was the first ballot.
    first: bool,
    /// How many round trips each node has begun.
    trips: BTreeMap<usize, u64>,
}

/// How a height was decided.
#[derive(Debug, Clone, Copy)]
pub struct Verdict {
    /// Which height.
    pub height: u64,
    /// Which block.
    pub block: Name,
    /// Whose ballot it was, if there are ballots.
    pub winner: Option<usize>,
    /// Whether it was the lowest ballot there is.
    pub first: bool,
}

/// What is counted between [`Record::begin`] and the end of a run.
#[derive(Debug, Default)]
pub struct Record {
    began: Instant,
    heights: BTreeMap<u64, Seen>,
    messages: BTreeMap<&'static str, u64>,
    bytes: u64,
    latencies: Vec<Duration>,
}

/// Messages that are sent whether there is work or not.
const IDLE: [&str; 3] = ["beacon", "ping", "pong"];

impl Record {
    /// Forgets what was counted so far, but not which heights were decided.
    pub fn begin(&mut self, now: Instant) {
        self.began = now;
        self.messages.clear();
        self.bytes = 0;
        self.latencies.clear();
    }

    /// A message leaves.
    pub fn sent(&mut self, kind: &'static str, bytes: usize) {
        *self.messages.entry(kind).or_default() += 1;
        if !IDLE.contains(&kind) {
            self.bytes += bytes as u64;
        }
    }

    /// A node begins a round trip at a height.
    pub fn trip(&mut self, node: usize, height: u64) {
        let seen = self.heights.entry(height).or_default();
        *seen.trips.entry(node).or_default() += 1;
    }

    /// A node has decided.
    pub fn decided(&mut self, now: Instant, verdict: Verdict) {
        let seen = self.heights.entry(verdict.height).or_default();
        seen.blocks.insert(verdict.block);
        if seen.at.is_none() {
            seen.at = Some(now);
            seen.winner = verdict.winner;
            seen.first = verdict.first;
        }
    }

    /// A client has its answer.
    pub fn answered(&mut self, latency: Duration) {
        self.latencies.push(latency);
    }

    /// How many heights somebody has decided.
    pub fn heights(&self) -> u64 {
        self.heights
            .values()
            .filter(|seen| seen.at.is_some())
            .count() as u64
    }

    /// How many heights have two decided blocks or more.
    pub fn forks(&self) -> u64 {
        self.heights
            .values()
            .filter(|seen| seen.blocks.len() > 1)
            .count() as u64
    }

    /// When a height was first decided.
    pub fn decided_at(&self, height: u64) -> Option<Instant> {
        self.heights.get(&height)?.at
    }

    /// The figures of the time since [`Record::begin`].
    pub fn figures(&self, now: Instant) -> Figures {
        let heights: Vec<&Seen> = self
            .heights
            .values()
            .filter(|seen| seen.at.is_some_and(|at| at >= self.began))
            .collect();
        let trips = heights.iter().map(|seen| {
            let winner = seen.winner.and_then(|winner| seen.trips.get(&winner));
            winner.copied().unwrap_or_default()
        });
        let busy = self
            .messages
            .iter()
            .filter(|(kind, _)| !IDLE.contains(kind));
        let mut latencies = self.latencies.clone();
        latencies.sort_unstable();
        Figures {
            time: now.since(self.began),
            blocks: heights.len() as u64,
            messages: busy.map(|(_, count)| count).sum(),
            bytes: self.bytes,
            first: heights.iter().filter(|seen| seen.first).count() as u64,
            trips: trips.sum(),
            latencies,
            forks: self.forks(),
        }
    }
}

/// What a run comes to.
#[derive(Debug, Clone)]
pub struct Figures {
    /// How long it was measured, in simulated time.
    pub time: Duration,
    /// Heights decided.
    pub blocks: u64,
    /// Messages sent between nodes; what is sent without work is left out.
    pub messages: u64,
    /// Their bytes, where messages have bytes.
    pub bytes: u64,
    /// Heights decided at the lowest ballot.
    pub first: u64,
    /// Round trips that winners began at the heights they won.
    pub trips: u64,
    /// Of all writes, sorted.
    pub latencies: Vec<Duration>,
    /// Heights with two decided blocks.
    pub forks: u64,
}

impl Figures {
    /// So many for each block.
    pub fn per_block(&self, count: u64) -> f64 {
        count as f64 / self.blocks.max(1) as f64
    }

    /// So many in a second.
    pub fn per_second(&self, count: u64) -> f64 {
        count as f64 / self.time.as_secs_f64().max(1e-9)
    }

    /// The latency that `percent` in a hundred writes do not exceed, in milliseconds; none without writes.
    pub fn latency_ms(&self, percent: usize) -> Option<f64> {
        let rank = (self.latencies.len() * percent).div_ceil(100);
        let latency = self.latencies.get(rank.saturating_sub(1))?;
        Some(latency.as_secs_f64() * 1e3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_blocks_at_a_height_are_a_fork() {
        let mut record = Record::default();
        for block in [1, 1, 2] {
            let verdict = Verdict {
                height: 1,
                block: Name(block),
                winner: None,
                first: false,
            };
            record.decided(Instant::default(), verdict);
        }
        assert_eq!((record.heights(), record.forks()), (1, 1));
    }

    #[test]
    fn the_median_of_a_hundred_is_the_fiftieth() {
        let mut record = Record::default();
        (1..=100).for_each(|ms| record.answered(Duration::from_millis(ms)));
        let figures = record.figures(Instant::from_millis(1));
        assert_eq!(figures.latency_ms(50), Some(50.0));
        assert_eq!(figures.latency_ms(99), Some(99.0));
    }
}
