//! The machine that measures, since no figure means anything without it.

use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde_json::json;

use crate::cluster::Setup;
use crate::report::Report;
use crate::statistics::{millis, quantile};

const FLUSHES: usize = 200;

/// Processors, system, disk and versions.
pub(crate) fn describe(setup: &Setup) -> Result<Report> {
    let processors = std::thread::available_parallelism().context("counting processors")?;
    let processor = processor_name().unwrap_or_else(|| "unknown".to_owned());
    let kernel = first_line("/proc/sys/kernel/osrelease").unwrap_or_else(|| "unknown".to_owned());
    let file_system = file_system_of(setup.folder()).unwrap_or_else(|| "unknown".to_owned());
    let flush = flush_time(setup.folder())?;
    let starling = version(&setup.starling, &["--version"]);
    let etcd = version(&setup.etcd, &["--version"]);
    if file_system == "tmpfs" {
        eprintln!("warning: the data lies in memory; give --dir on a disk");
    }
    let markdown = format!(
        "Measured on {processors} processors ({processor}), Linux {kernel}, data on {file_system} (median \
         `fdatasync` after appending 4 KiB {:.2} ms), {starling}, {etcd}.\n",
        millis(flush)
    );
    Ok(Report {
        name: "host",
        data: json!({
            "processors": processors, "processor": processor, "kernel": kernel, "fileSystem": file_system,
            "fdatasyncMs": millis(flush), "starling": starling, "etcd": etcd,
        }),
        markdown,
    })
}

fn flush_time(folder: &Path) -> Result<Duration> {
    let mut file = tempfile::tempfile_in(folder).context("making a file to flush")?;
    let mut times = Vec::with_capacity(FLUSHES);
    for _ in 0..FLUSHES {
        let begun = Instant::now();
        file.write_all(&[7; 4096])
            .context("writing a file to flush")?;
        file.sync_data().context("flushing a file")?;
        times.push(begun.elapsed());
    }
    times.sort();
    Ok(quantile(&times, 0.5))
}

fn version(program: &Path, arguments: &[&str]) -> String {
    let name = program
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let output = Command::new(program).args(arguments).output().ok();
    let line = output.and_then(|output| {
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.lines().next().map(str::to_owned)
    });
    line.unwrap_or_else(|| format!("{name} (missing)"))
}

fn processor_name() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn first_line(path: &str) -> Option<String> {
    std::fs::read_to_string(path)
        .ok()?
        .lines()
        .next()
        .map(str::to_owned)
}

/// The type of the mount that is the longest prefix of `folder`.
fn file_system_of(folder: &Path) -> Option<String> {
    let folder = folder.canonicalize().ok()?;
    let mounts = std::fs::read_to_string("/proc/self/mounts").ok()?;
    let fitting = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let (point, kind) = (fields.next()?, fields.next()?);
        folder
            .starts_with(point)
            .then(|| (point.len(), kind.to_owned()))
    });
    fitting
        .max_by_key(|(length, _)| *length)
        .map(|(_, kind)| kind)
}
