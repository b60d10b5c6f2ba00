//! Faults that tests ask for, so that a real process can be shown to wait for its flushes and not to trust its clock.

use std::str::FromStr;
use std::time::Duration;

/// Names the delay before each flush, in milliseconds.
const DELAY: &str = "STARLING_TEST_FSYNC_DELAY_MS";
/// Names the number of the first flush that fails, from 1.
const FAIL_AFTER: &str = "STARLING_TEST_FSYNC_FAIL_AFTER";
/// Names how far the wall clock is ahead of the machine's, in milliseconds; may be negative.
const CLOCK_OFFSET: &str = "STARLING_TEST_CLOCK_OFFSET_MS";

/// Names the bytes of blocks in a segment, so that few blocks make many segments.
const SEAL_BYTES: &str = "STARLING_TEST_SEAL_BYTES";

/// Names the number of commands about files behind which a snapshot is made.
const SNAPSHOT_AFTER: &str = "STARLING_TEST_SNAPSHOT_AFTER";

/// A test hook with a value that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{variable} must be a whole number, not {value:?}")]
pub struct FaultError {
    variable: &'static str,
    value: String,
}

/// What goes wrong on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Faults {
    /// How long every flush takes in addition.
    pub flush_delay: Duration,
    /// Which flush fails, counted from 1.
    pub failing_flush: Option<u64>,
    /// How far the wall clock is ahead of the machine's, in milliseconds.
    pub clock_offset_ms: i64,
    /// How many bytes of blocks make a segment, if not the usual number.
    pub seal_bytes: Option<u64>,
    /// Behind how many commands about files a snapshot is made, if not as usual; then also as often as that.
    pub snapshot_after: Option<u64>,
}

impl Faults {
    /// Nothing goes wrong on purpose.
    pub const NONE: Self = Self {
        flush_delay: Duration::ZERO,
        failing_flush: None,
        clock_offset_ms: 0,
        seal_bytes: None,
        snapshot_after: None,
    };

    /// What the environment asks for, see `docs/testing.md`; normally nothing.
    ///
    /// # Errors
    /// If a variable is set to something that is not a number: a test that asks for a fault must get it.
    pub fn from_environment() -> Result<Self, FaultError> {
        Ok(Self {
            flush_delay: Duration::from_millis(number(DELAY)?.unwrap_or(0)),
            failing_flush: number(FAIL_AFTER)?,
            clock_offset_ms: number(CLOCK_OFFSET)?.unwrap_or(0),
            seal_bytes: number(SEAL_BYTES)?,
            snapshot_after: number(SNAPSHOT_AFTER)?,
        })
    }
}

fn number<N: FromStr>(variable: &'static str) -> Result<Option<N>, FaultError> {
    let Some(value) = std::env::var_os(variable) else {
        return Ok(None);
    };
    let value = value.to_string_lossy().into_owned();
    match value.parse() {
        Ok(number) => Ok(Some(number)),
        Err(_) => Err(FaultError { variable, value }),
    }
}
