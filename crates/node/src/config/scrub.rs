//! How a node looks for damage on its own disk.

use std::time::Duration;

use serde::Deserialize;

use super::checker::Checker;
use super::{ConfigError, duration};

/// A pass must be possible every week.
const PAUSE_MAX: Duration = Duration::from_secs(3 * 24 * 3600);

/// The scrubber.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScrubConfig {
    /// How fast it reads; 0 turns it off. Raised where a disk would not be read whole within a week.
    pub bytes_per_second: u64,
    /// How long it rests when it has seen everything.
    pub pause: Duration,
}

impl Default for ScrubConfig {
    fn default() -> Self {
        Self {
            bytes_per_second: 8 << 20,
            pause: Duration::from_secs(3600),
        }
    }
}

impl ScrubConfig {
    /// As the file says it, if it is not the usual.
    pub(super) fn to_toml(&self) -> String {
        if *self == Self::default() {
            return String::new();
        }
        let (rate, pause) = (self.bytes_per_second, self.pause.as_secs());
        format!("\n[scrub]\nbytes_per_second = {rate}\npause = \"{pause}s\"\n")
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Written {
    bytes_per_second: Option<u64>,
    pause: Option<String>,
}

pub(super) fn read<F: Fn(&str) -> Option<String>>(
    checker: &Checker<'_, F>,
    written: Written,
) -> Result<ScrubConfig, ConfigError> {
    let usual = ScrubConfig::default();
    let rate = written.bytes_per_second.unwrap_or(usual.bytes_per_second);
    let rate = checker.text("STARLING_SCRUB_BYTES_PER_SECOND", rate.to_string());
    let bytes_per_second = rate.value.parse().map_err(|_| {
        let detail = format!("is {:?}, not a number of bytes", rate.value);
        rate.wrong("scrub.bytes_per_second", detail)
    })?;
    let seconds = format!("{}s", usual.pause.as_secs());
    let pause = checker.text("STARLING_SCRUB_PAUSE", written.pause.unwrap_or(seconds));
    let time = duration(&pause.value).filter(|time| *time <= PAUSE_MAX);
    let time = time.ok_or_else(|| {
        let detail = format!("is {:?}, not a time of up to 3d, such as 1h", pause.value);
        pause.wrong("scrub.pause", detail)
    })?;
    Ok(ScrubConfig {
        bytes_per_second,
        pause: time,
    })
}
