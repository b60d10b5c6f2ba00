//! What a fault does to the rate of writes, before, while and after it lasts.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::load::Sample;
use crate::statistics::millis;

/// Watched before the fault.
pub(crate) const BEFORE: Duration = Duration::from_secs(2);
/// How long the fault lasts.
pub(crate) const AWAY: Duration = Duration::from_secs(4);
/// Watched after it was mended.
pub(crate) const BACK: Duration = Duration::from_secs(4);
/// Writes are counted in stretches of this length.
pub(crate) const BIN: Duration = Duration::from_millis(50);

/// Rates are compared over so many bins, a quarter of a second.
const WINDOW: usize = 5;
/// The dip is looked for within so many bins after the fault: the first two seconds.
const DIP_BINS: usize = 40;
/// Back to normal: this share of the rate before.
const NORMAL: f64 = 0.9;

/// One fault, seen through the acknowledged writes of all clients.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Series {
    /// Acknowledged in each bin, from [`BEFORE`] the fault to [`BACK`] behind its end.
    writes: Vec<u32>,
    gap_before: Duration,
    gap_away: Duration,
    gap_back: Duration,
}

impl Series {
    /// What `samples`, in the order in which they finished, show of a fault at an instant.
    pub(crate) fn around(samples: &[Sample], at: Instant) -> Self {
        let instants: Vec<Instant> = samples.iter().map(|sample| sample.finished).collect();
        Self {
            writes: bins(&instants, at - BEFORE, BEFORE + AWAY + BACK),
            gap_before: longest_gap(&instants, at - BEFORE, at),
            gap_away: longest_gap(&instants, at, at + AWAY),
            gap_back: longest_gap(&instants, at + AWAY, at + AWAY + BACK),
        }
    }

    /// The longest time without a write while the fault lasted.
    pub(crate) fn gap(&self) -> Duration {
        self.gap_away
    }

    /// Writes in the mean bin before the fault.
    fn normal(&self) -> f64 {
        let before = self.writes.get(..fault_bin()).unwrap_or_default();
        f64::from(before.iter().sum::<u32>()) / before.len().max(1) as f64
    }

    /// The share of the normal rate in each window that begins at the fault or later.
    fn shares(&self) -> Vec<f64> {
        let whole = self.normal().max(f64::MIN_POSITIVE) * WINDOW as f64;
        let since = self.writes.get(fault_bin()..).unwrap_or_default();
        since
            .windows(WINDOW)
            .map(|window| f64::from(window.iter().sum::<u32>()) / whole)
            .collect()
    }

    /// The deepest window soon after the fault: where it is, and its share.
    fn dip(&self) -> (usize, f64) {
        let shares = self.shares().into_iter().take(DIP_BINS).enumerate();
        shares
            .min_by(|(_, one), (_, other)| one.total_cmp(other))
            .unwrap_or((0, 0.0))
    }

    /// From the fault to the first window behind the dip with almost the rate before; none if there is none.
    fn recovered(&self) -> Option<Duration> {
        let (deepest, share) = self.dip();
        if share >= NORMAL {
            return Some(Duration::ZERO);
        }
        let shares = self.shares();
        let place = (deepest..shares.len())
            .find(|place| shares.get(*place).is_some_and(|share| *share >= NORMAL))?;
        Some(BIN * u32::try_from(place).ok()?)
    }

    /// For the report. The bins are one text, so that the file can be read.
    pub(crate) fn to_json(&self) -> Value {
        let bins: Vec<String> = self.writes.iter().map(u32::to_string).collect();
        json!({
            "writesPerSecondBefore": self.normal() / BIN.as_secs_f64(),
            "gapBeforeMs": millis(self.gap_before),
            "gapMs": millis(self.gap_away),
            "gapBackMs": millis(self.gap_back),
            "dipShare": self.dip().1,
            "recoveredMs": self.recovered().map(millis),
            "writes": bins.join(" "),
        })
    }
}

fn fault_bin() -> usize {
    place(BEFORE)
}

/// The bin in which an instant so long after the beginning falls.
fn place(since: Duration) -> usize {
    usize::try_from(since.as_nanos() / BIN.as_nanos()).unwrap_or(usize::MAX)
}

fn bins(instants: &[Instant], from: Instant, length: Duration) -> Vec<u32> {
    let mut bins = vec![0; place(length)];
    for since in instants
        .iter()
        .filter_map(|instant| instant.checked_duration_since(from))
    {
        if let Some(bin) = bins.get_mut(place(since)) {
            *bin += 1;
        }
    }
    bins
}

/// The longest part of a stretch of time in which nothing was acknowledged.
fn longest_gap(instants: &[Instant], from: Instant, until: Instant) -> Duration {
    let within = instants
        .iter()
        .filter(|instant| (from..until).contains(*instant));
    let mut last = from;
    let mut longest = Duration::ZERO;
    for instant in within.chain([&until]) {
        longest = longest.max(*instant - last);
        last = *instant;
    }
    longest
}

#[cfg(test)]
mod tests {
    use crate::cluster::WriteId;

    use super::*;

    /// One write a millisecond, but for the milliseconds between these.
    fn series(silence: std::ops::Range<u64>) -> Series {
        let start = Instant::now();
        let sample = |ms: u64| Sample {
            id: WriteId(ms),
            member: 0,
            finished: start + Duration::from_millis(ms),
            latency: Duration::ZERO,
            repeated: false,
        };
        let samples: Vec<Sample> = (0..10_000)
            .filter(|ms| !silence.contains(ms))
            .map(sample)
            .collect();
        Series::around(&samples, start + BEFORE)
    }

    #[test]
    fn a_gap_is_measured_and_so_is_what_follows_it() {
        let series = series(2001..2701);
        assert_eq!(series.gap(), Duration::from_millis(701));
        assert_eq!(series.gap_before, Duration::from_millis(1));
        assert_eq!(series.writes.len(), 200);
        assert_eq!(series.dip(), (1, 0.0));
        assert_eq!(series.recovered(), Some(Duration::from_millis(700)));
    }

    #[test]
    fn what_nobody_noticed_took_no_time() {
        let series = series(0..0);
        assert_eq!(series.recovered(), Some(Duration::ZERO));
        assert_eq!(series.gap(), Duration::from_millis(1));
    }

    #[test]
    fn silence_to_the_end_is_no_recovery() {
        let series = series(2500..10_000);
        assert_eq!(series.recovered(), None);
        assert_eq!(series.gap_back, BACK);
    }
}
