//! A machine's two clocks, as functions of the simulated time.
//!
//! Simulated time is an [`Instant`] that no node sees. A node's own instant starts anywhere and runs a little fast or
//! slow; its wall clock does too, and may jump.

use std::time::Duration;

use model::{Instant, Now, Timestamp};

/// Noon of 1 January 2026, when every run starts.
pub const EPOCH: Timestamp = Timestamp(1_767_268_800_000_000);

const MILLION: i128 = 1_000_000;

/// The clocks of one machine.
#[derive(Debug, Clone)]
pub(crate) struct Clock {
    offset_ns: u64,
    /// How much too fast, in millionths; negative if too slow.
    drift_ppm: i32,
    wall_error_us: i64,
}

impl Clock {
    /// Clocks whose instants start at `offset`.
    pub(crate) fn new(offset: Duration, drift_ppm: i32) -> Self {
        Self {
            offset_ns: u64::try_from(offset.as_nanos()).unwrap_or(0),
            drift_ppm,
            wall_error_us: 0,
        }
    }

    /// What the clocks show at simulated time `time`.
    pub(crate) fn read(&self, time: Instant) -> Now {
        let elapsed = self.elapsed(time);
        let wall =
            i128::from(EPOCH.0) + i128::from(elapsed / 1_000) + i128::from(self.wall_error_us);
        Now {
            instant: Instant(self.offset_ns + elapsed),
            wall: Timestamp(u64::try_from(wall.max(0)).unwrap_or(u64::MAX)),
        }
    }

    /// The first simulated time at which the machine's own clock shows `instant` or more.
    pub(crate) fn when(&self, instant: Instant) -> Instant {
        let elapsed = i128::from(instant.0.saturating_sub(self.offset_ns));
        let rate = MILLION + i128::from(self.drift_ppm);
        let time = (elapsed * MILLION + rate - 1) / rate;
        Instant(u64::try_from(time).unwrap_or(u64::MAX))
    }

    /// Sets the wall clock wrong by this much.
    pub(crate) fn set_wall_error(&mut self, microseconds: i64) {
        self.wall_error_us = microseconds;
    }

    /// How wrong the wall clock is.
    pub(crate) fn wall_error(&self) -> i64 {
        self.wall_error_us
    }

    fn elapsed(&self, time: Instant) -> u64 {
        let rate = MILLION + i128::from(self.drift_ppm);
        u64::try_from(i128::from(time.0) * rate / MILLION).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timer_is_due_when_its_time_has_come() {
        for drift in [-200, 0, 37, 200] {
            let clock = Clock::new(Duration::from_secs(1234), drift);
            for wanted in [0, 1, 999_999, 1_000_000_007, 86_400_000_000_123] {
                let wanted = Instant(wanted + 1_234_000_000_000);
                let time = clock.when(wanted);
                assert!(clock.read(time).instant >= wanted, "{drift} {wanted:?}");
            }
        }
    }

    #[test]
    fn the_wall_clock_jumps_and_the_instant_does_not() {
        let mut clock = Clock::new(Duration::ZERO, 0);
        let time = Instant::from_millis(5);
        let before = clock.read(time);
        clock.set_wall_error(-1_000_000);
        let after = clock.read(time);
        assert_eq!(after.instant, before.instant);
        assert_eq!(after.wall, Timestamp(before.wall.0 - 1_000_000));
    }
}
