//! The process itself, under the names that Prometheus gives these numbers for every program. They come from `/proc`;
//! where there is none, they are left out.

use std::fs;
use std::sync::LazyLock;
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

use super::scrape::{Families, number};

/// When this program began to serve, as near to its start as makes no difference.
static STARTED: LazyLock<f64> = LazyLock::new(|| {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or_default().as_secs_f64()
});

/// Notes the time of the start.
pub(super) fn started() {
    LazyLock::force(&STARTED);
}

pub(super) fn scrape(families: &mut Families) {
    families.counter(
        "process_cpu_seconds_total",
        "Processor time the process has taken, in seconds.",
        cpu_seconds(),
    );
    families.gauge(
        "process_start_time_seconds",
        "When the process started, in seconds since 1970.",
        *STARTED,
    );
    if let Some(bytes) = resident_bytes() {
        families.gauge(
            "process_resident_memory_bytes",
            "Memory of the process that is in RAM.",
            number(bytes),
        );
    }
    if let Some(count) = open_files() {
        families.gauge("process_open_fds", "Open file descriptors.", number(count));
    }
    if let Some(count) = open_files_max() {
        families.gauge(
            "process_max_fds",
            "Most file descriptors that may be open.",
            number(count),
        );
    }
}

fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let (seconds, nanoseconds) = (time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs());
    number(seconds) + number(nanoseconds) / 1e9
}

fn resident_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    resident_in(&status)
}

fn resident_in(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes << 10)
}

fn open_files() -> Option<u64> {
    let entries = fs::read_dir("/proc/self/fd").ok()?;
    // One of them is the listing's own.
    Some((entries.count() as u64).saturating_sub(1))
}

fn open_files_max() -> Option<u64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_in_bytes() {
        let status = "Name:\tstarling\nVmHWM:\t  200 kB\nVmRSS:\t   12 kB\n";
        assert_eq!(resident_in(status), Some(12 << 10));
        assert_eq!(resident_in("Name:\tstarling\n"), None);
    }
}
