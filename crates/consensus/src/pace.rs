//! How long to wait for others before acting oneself. Advice: safety never depends on a number in here.

use std::collections::VecDeque;
use std::time::Duration;

use model::{Instant, LogSeq};

/// Below this a wait is noise, above it an outage.
const FLOOR: Duration = Duration::from_micros(200);
const CAP: Duration = Duration::from_secs(2);
/// Assumed until measured.
const FIRST_GUESS: Duration = Duration::from_millis(20);
/// How many measurements are remembered.
const RECENT: usize = 32;
/// How many of them may be as long as they like: a disk that stalled once is no slow disk, and a pong that waited
/// behind that stall tells nothing about the link.
const OUTLIERS: usize = 2;

/// A high percentile of the latest measurements of a duration: the longest but [`OUTLIERS`].
///
/// An average would remember one stall of half a second for the next seconds, in which every wait made of it would be
/// as long as the stall was. A lasting change counts after three measurements.
#[derive(Debug, Clone)]
pub(crate) struct Estimate {
    recent: VecDeque<Duration>,
    high: Duration,
    shortest: Option<Duration>,
}

impl Estimate {
    pub(crate) fn new() -> Self {
        Self {
            recent: VecDeque::with_capacity(RECENT),
            high: FIRST_GUESS,
            shortest: None,
        }
    }

    pub(crate) fn observe(&mut self, duration: Duration) {
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(duration);
        let mut longest: Vec<Duration> = self.recent.iter().copied().collect();
        longest.sort_by(|a, b| b.cmp(a));
        // While there are few, none of them is taken for an outlier.
        let rank = if longest.len() > 4 * OUTLIERS {
            OUTLIERS
        } else {
            0
        };
        self.high = longest
            .get(rank)
            .copied()
            .unwrap_or(FIRST_GUESS)
            .clamp(FLOOR, CAP);
        self.shortest = longest.last().map(|shortest| (*shortest).min(CAP));
    }

    /// The percentile, within floor and cap.
    pub(crate) fn high(&self) -> Duration {
        self.high
    }

    /// The shortest of the latest measurements, at most the cap: what the way takes when nothing holds it up. None if
    /// nothing was measured.
    pub(crate) fn shortest(&self) -> Option<Duration> {
        self.shortest
    }
}

/// Measures flushes by the records that waited for them: each by the one that waited longest.
#[derive(Debug, Clone)]
pub(crate) struct FlushClock {
    waiting: VecDeque<(LogSeq, Instant)>,
    estimate: Estimate,
}

impl FlushClock {
    pub(crate) fn new() -> Self {
        Self {
            waiting: VecDeque::new(),
            estimate: Estimate::new(),
        }
    }

    pub(crate) fn submitted(&mut self, seq: LogSeq, now: Instant) {
        self.waiting.push_back((seq, now));
    }

    pub(crate) fn durable(&mut self, seq: LogSeq, now: Instant) {
        let mut oldest = None;
        while let Some((_, since)) = self.waiting.pop_front_if(|(waiting, _)| *waiting <= seq) {
            oldest = oldest.or(Some(since));
        }
        if let Some(since) = oldest {
            self.estimate.observe(now.since(since));
        }
    }

    /// The percentile, or how long the oldest flush has lasted already if that is more.
    pub(crate) fn high(&self, now: Instant) -> Duration {
        let lasting = self
            .waiting
            .front()
            .map_or(Duration::ZERO, |(_, since)| now.since(*since));
        self.estimate.high().max(lasting).min(CAP)
    }
}

/// The two figures every wait is made of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// Round trip to the peer that completes a quorum.
    pub(crate) round_trip: Duration,
    /// A flush.
    pub(crate) flush: Duration,
}

impl Pace {
    /// Before taking over from a holder of the turn that says nothing: it is `away` by the shortest way there and back,
    /// and `distance` in the ring, from 1. The step between neighbours exceeds one round trip, else survivors collide.
    pub(crate) fn hedge(self, away: Duration, distance: u32) -> Duration {
        let answer = self.round_trip.max(away);
        answer.mul_f64(1.5) + self.flush + self.ring_step(distance.saturating_sub(1))
    }

    /// The ring step alone: the wait when nobody has the turn.
    pub(crate) fn ring_step(self, steps: u32) -> Duration {
        self.round_trip.mul_f64(1.25 * f64::from(steps))
    }

    /// Before finishing a block that was accepted here and not decided; `rank` nodes are nearer to its proposer.
    pub(crate) fn unfinished(self, rank: u32) -> Duration {
        self.round_trip * 2 + self.flush + self.ring_step(rank)
    }

    /// Half of what a ballot takes that is left alone: a round trip and a flush.
    pub(crate) fn phase(self) -> Duration {
        self.round_trip + self.flush
    }

    /// Before repeating a request that was not answered.
    pub(crate) fn resend(self) -> Duration {
        (self.round_trip * 2 + self.flush).max(Duration::from_millis(5))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USUAL: Duration = Duration::from_millis(2);
    const STALL: Duration = Duration::from_millis(500);

    fn estimate(usual: usize, stalls: usize) -> Estimate {
        let mut estimate = Estimate::new();
        for _ in 0..usual {
            estimate.observe(USUAL);
        }
        for _ in 0..stalls {
            estimate.observe(STALL);
        }
        estimate
    }

    #[test]
    fn a_stall_is_no_slow_disk_and_a_lasting_change_counts() {
        assert_eq!(estimate(40, 2).high(), USUAL);
        assert_eq!(estimate(40, 3).high(), STALL);
        assert_eq!(estimate(3, 1).high(), STALL, "of a few none is an outlier");
    }

    #[test]
    fn what_is_long_ago_is_forgotten() {
        let mut estimate = estimate(0, 20);
        assert_eq!(estimate.high(), STALL);
        for _ in 0..RECENT {
            estimate.observe(USUAL);
        }
        assert_eq!(estimate.high(), USUAL);
    }

    #[test]
    fn the_shortest_is_what_is_left_without_stalls() {
        assert_eq!(Estimate::new().shortest(), None);
        assert_eq!(estimate(1, 20).shortest(), Some(USUAL));
        assert_eq!(estimate(1, RECENT).shortest(), Some(STALL), "long ago");
    }

    #[test]
    fn only_somebody_further_than_a_quorum_is_waited_for_longer() {
        let pace = Pace {
            round_trip: 10 * USUAL,
            flush: USUAL,
        };
        let near = 15 * USUAL + USUAL;
        assert_eq!(pace.hedge(Duration::ZERO, 1), near);
        assert_eq!(pace.hedge(10 * USUAL, 1), near);
        assert_eq!(pace.hedge(100 * USUAL, 1), 150 * USUAL + USUAL);
    }

    #[test]
    fn records_of_one_flush_are_one_measurement() {
        let mut flushes = FlushClock::new();
        let at = |ms: u64| Instant(0).plus(Duration::from_millis(ms));
        for number in 1..=40 {
            flushes.submitted(LogSeq(number), at(number * 10));
            flushes.durable(LogSeq(number), at(number * 10 + 2));
        }
        for number in 41..=60 {
            flushes.submitted(LogSeq(number), at(500));
        }
        assert_eq!(
            flushes.high(at(900)),
            Duration::from_millis(400),
            "it lasts"
        );
        flushes.durable(LogSeq(60), at(1000));
        assert_eq!(flushes.high(at(1000)), USUAL);
    }
}
