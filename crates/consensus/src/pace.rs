//! How long to wait for others before acting oneself. Advice: safety never depends on a number in here.

use std::collections::VecDeque;
use std::time::Duration;

use model::{Instant, LogSeq};

/// Below this a wait is noise, above it an outage.
const FLOOR: Duration = Duration::from_micros(200);
const CAP: Duration = Duration::from_secs(2);
/// Assumed until measured.
const FIRST_GUESS: Duration = Duration::from_millis(20);

/// A smoothed high percentile of a duration: mean plus four mean deviations, after RFC 6298.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Estimate {
    sample: Option<(f64, f64)>,
}

impl Estimate {
    pub(crate) fn new() -> Self {
        Self { sample: None }
    }

    pub(crate) fn observe(&mut self, duration: Duration) {
        let value = duration.as_secs_f64();
        self.sample = Some(match self.sample {
            None => (value, value / 2.0),
            Some((mean, deviation)) => {
                let error = value - mean;
                (
                    mean + error / 8.0,
                    deviation + (error.abs() - deviation) / 4.0,
                )
            }
        });
    }

    /// The percentile, within floor and cap.
    pub(crate) fn high(&self) -> Duration {
        match self.sample {
            None => FIRST_GUESS,
            Some((mean, deviation)) => {
                let seconds = (mean + 4.0 * deviation).clamp(0.0, CAP.as_secs_f64());
                Duration::from_secs_f64(seconds).clamp(FLOOR, CAP)
            }
        }
    }
}

/// Measures flushes by the records that waited for them.
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
        while let Some((_, since)) = self.waiting.pop_front_if(|(waiting, _)| *waiting <= seq) {
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
    /// Before taking over from a holder of the turn that says nothing; `distance` from it in the ring, from 1.
    /// The step between neighbours exceeds one round trip, else survivors collide.
    pub(crate) fn hedge(self, distance: u32) -> Duration {
        self.round_trip.mul_f64(1.5) + self.flush + self.ring_step(distance.saturating_sub(1))
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
