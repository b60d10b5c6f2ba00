//! How fast the scrubber goes: so many bytes a second, and never more than a fraction of one core.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

/// Of its time the scrubber works one part in so many, whatever bytes cost: small blocks are dear for their signatures.
const SHARE: u32 = 5;
/// Shorter rests are saved up.
const REST_MIN: Duration = Duration::from_millis(10);

/// Rests between pieces of work.
pub(super) struct Pacer {
    bytes_per_second: u64,
    stop: Receiver<()>,
    stopped: bool,
    begun: Instant,
    bytes: u64,
}

impl Pacer {
    /// Ends with the sender of `stop`.
    pub(super) fn new(bytes_per_second: u64, stop: Receiver<()>) -> Self {
        Self {
            bytes_per_second: bytes_per_second.max(1),
            stop,
            stopped: false,
            begun: Instant::now(),
            bytes: 0,
        }
    }

    /// From now on so fast.
    pub(super) fn set_rate(&mut self, bytes_per_second: u64) {
        self.bytes_per_second = bytes_per_second.max(1);
    }

    /// So many bytes were read; false when it is time to stop.
    pub(super) fn take(&mut self, bytes: u64) -> bool {
        self.bytes += bytes;
        let worked = self.begun.elapsed();
        let due = due(self.bytes, self.bytes_per_second).max(worked * SHARE);
        let rest = due.saturating_sub(worked);
        if rest < REST_MIN {
            return !self.stopped;
        }
        let goes_on = self.rest(rest);
        self.begun = Instant::now();
        self.bytes = 0;
        goes_on
    }

    /// Does nothing for a while; false when it is time to stop.
    pub(super) fn rest(&mut self, time: Duration) -> bool {
        self.stopped |= self.stop.recv_timeout(time) != Err(RecvTimeoutError::Timeout);
        !self.stopped
    }
}

fn due(bytes: u64, per_second: u64) -> Duration {
    let micros = u128::from(bytes) * 1_000_000 / u128::from(per_second);
    Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[test]
    fn bytes_take_their_time() {
        assert_eq!(due(8 << 20, 8 << 20), Duration::from_secs(1));
        assert_eq!(due(u64::MAX, 1), Duration::from_micros(u64::MAX));
        let (_sender, stop) = channel();
        let mut pacer = Pacer::new(1 << 20, stop);
        let begun = Instant::now();
        assert!(pacer.take(50 << 10));
        assert!(begun.elapsed() > Duration::from_millis(40));
    }

    #[test]
    fn a_rest_ends_when_it_is_time_to_stop() {
        let (sender, stop) = channel::<()>();
        let mut pacer = Pacer::new(1, stop);
        drop(sender);
        assert!(!pacer.take(u64::MAX));
        assert!(!pacer.take(0));
    }
}
