//! How long something is to be good, as it is written on the command line.

use std::time::Duration;

use node::config::duration;

/// Reads 90s, 30m, 24h or 7d.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    duration(text)
        .filter(|life| !life.is_zero())
        .ok_or_else(|| "a time is written 90s, 30m, 24h or 7d".to_owned())
}
