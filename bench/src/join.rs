//! How long a node takes to join a cluster with a long ledger, and what the clients of the others feel meanwhile.
//!
//! The chain is not written by clients, which would take most of the time: `chain`, an example of the crate `node`, puts it
//! into the folders of a cluster that was just made, with signatures and catalogue. An export of it is the archive. Then a
//! fourth node joins under load, with the archive and without.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use serde_json::json;
use tokio::time::Instant;

use crate::Options;
use crate::cluster::{Cluster as _, MEMBERS, Setup};
use crate::limited::Limited;
use crate::load::{Load, Sample, check_stored, spread};
use crate::process::{Process, resident_bytes};
use crate::report::{Report, Table};
use crate::starling::Starling;
use crate::statistics::{millis, quantile};

/// Not measured.
const WARM_UP: Duration = Duration::from_secs(2);
/// A write of the load is given up then.
const PATIENCE: Duration = Duration::from_secs(20);
/// A join that takes longer has failed.
const JOIN_LIMIT: Duration = Duration::from_secs(1800);
const GLANCE: Duration = Duration::from_millis(50);

/// What the chain holds, and how the newcomer is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Args)]
pub(crate) struct What {
    /// A ledger of so many records.
    #[arg(
        long,
        value_name = "N",
        required_unless_present = "files",
        conflicts_with = "files"
    )]
    records: Option<u64>,
    /// A ledger of so many files without bytes.
    #[arg(long, value_name = "N")]
    files: Option<u64>,
    /// Give the newcomer half of a core (control groups, root).
    #[arg(long)]
    half_core: bool,
    /// Measure with the archive alone.
    #[arg(long)]
    archive_only: bool,
}

impl What {
    fn chain(self) -> (&'static str, u64) {
        match (self.records, self.files) {
            (_, Some(files)) => ("files", files),
            (records, None) => ("records", records.unwrap_or_default()),
        }
    }
}

/// One join.
struct Joined {
    archive: bool,
    voting: Duration,
    serving: Duration,
    resident: u64,
    before: [Duration; 2],
    during: [Duration; 2],
}

/// Measures.
pub(crate) async fn run(setup: &Setup, options: &Options, what: What) -> Result<Report> {
    let mut joins = Vec::new();
    for archive in [true, false] {
        if archive || !what.archive_only {
            let joined = once(setup, options, what, archive).await;
            joins.push(joined.with_context(|| format!("joining, archive: {archive}"))?);
        }
    }
    let (kind, count) = what.chain();
    let half = if what.half_core { " --half-core" } else { "" };
    let (clients, seconds) = (options.clients, options.seconds);
    let command = format!(
        "starling-bench join --{kind} {count}{half} --clients {clients} --seconds {seconds}"
    );
    let columns = [
        "from",
        "voting after s",
        "serving after s",
        "resident MB",
        "others p50 ms before, meanwhile",
        "p99 ms before, meanwhile",
        "p99 ratio",
    ];
    let mut table = Table::new("A node joins", &command, &columns);
    for join in &joins {
        let [p50, p99] = join.before.map(millis);
        let [p50_during, p99_during] = join.during.map(millis);
        table.row(&[
            if join.archive { "archive" } else { "peers" }.to_owned(),
            format!("{:.1}", join.voting.as_secs_f64()),
            format!("{:.1}", join.serving.as_secs_f64()),
            format!("{}", join.resident / 1_000_000),
            format!("{p50:.1}, {p50_during:.1}"),
            format!("{p99:.1}, {p99_during:.1}"),
            format!("{:.2}", p99_during / p99),
        ]);
    }
    let sentence = format!(
        "A ledger of {count} {kind}, three nodes under {clients} clients, a fourth that joins; counted from the start of \
         `starling cluster join`."
    );
    let data: Vec<_> = joins.iter().map(Joined::to_json).collect();
    Ok(Report {
        name: "join",
        data: json!({ "command": command, "joins": data }),
        markdown: table.finish(&sentence),
    })
}

impl Joined {
    fn to_json(&self) -> serde_json::Value {
        json!({
            "archive": self.archive,
            "votingMs": millis(self.voting),
            "servingMs": millis(self.serving),
            "residentBytes": self.resident,
            "beforeMs": self.before.map(millis),
            "duringMs": self.during.map(millis),
        })
    }
}

async fn once(setup: &Setup, options: &Options, what: What, archive: bool) -> Result<Joined> {
    let place = setup.new_folder("archive-")?;
    let url = format!("file://{}", place.path().display());
    let cluster = Starling::start_prepared(setup, None, |folder| {
        prepare(setup, folder, what.chain())?;
        export(setup, &folder.join("n1/ledger"), &url)
    })
    .await
    .context("starting the cluster")?;
    let written = cluster.height().await?;
    let limited = what.half_core.then(Limited::half_a_core).transpose()?;
    let load = Load::start(&cluster, &spread(options.clients, MEMBERS), PATIENCE);
    tokio::time::sleep(WARM_UP).await;
    let begun = Instant::now();
    tokio::time::sleep(Duration::from_secs(options.seconds)).await;
    let joining = Instant::now();
    let url = if archive { &url } else { "" };
    let (node, address) = join(setup, &cluster, url, limited.as_ref()).await?;
    let voting = until(joining, async || cluster.is_voter("n4").await).await?;
    let voted = Instant::now();
    let serving = until(joining, async || Starling::is_ready(address).await).await?;
    let resident = resident_bytes(node.pid())?;
    let work = load.stop().await?;
    let stored = cluster.stored_above(written).await?;
    check_stored(&work.samples, &stored, true)?;
    drop(node);
    cluster.stop().await?;
    Ok(Joined {
        archive,
        voting,
        serving,
        resident,
        before: felt(&work.samples, begun, joining),
        during: felt(&work.samples, joining, voted),
    })
}

/// Median and 99th percentile of the writes that were answered between two instants.
pub(crate) fn felt(samples: &[Sample], from: Instant, to: Instant) -> [Duration; 2] {
    let within = samples.iter().filter(|s| (from..to).contains(&s.finished));
    let mut latencies: Vec<Duration> = within.map(|sample| sample.latency).collect();
    latencies.sort();
    [0.5, 0.99].map(|fraction| quantile(&latencies, fraction))
}

async fn until(since: Instant, mut look: impl AsyncFnMut() -> bool) -> Result<Duration> {
    while !look().await {
        if since.elapsed() > JOIN_LIMIT {
            bail!("a node did not join within {JOIN_LIMIT:?}");
        }
        tokio::time::sleep(GLANCE).await;
    }
    Ok(since.elapsed())
}

/// Puts the chain into the folders.
pub(crate) fn prepare(
    setup: &Setup,
    cluster: &Path,
    (kind, count): (&'static str, u64),
) -> Result<()> {
    let program = setup.starling.with_file_name("examples").join("chain");
    let mut command = Command::new(&program);
    command.arg(cluster).args([kind, &count.to_string()]);
    run_to_end(command).with_context(|| {
        let program = program.display();
        format!("{program}; `cargo build --release -p node --example chain` makes it")
    })
}

fn export(setup: &Setup, ledger: &Path, url: &str) -> Result<()> {
    let mut command = Command::new(&setup.starling);
    command.args(["ledger", "export", "--to", url, "--folder"]);
    command.arg(ledger);
    run_to_end(command)
}

fn run_to_end(mut command: Command) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let status = command.status();
    let status = status.with_context(|| format!("starting {program}"))?;
    if !status.success() {
        bail!("{program} ended with {status}");
    }
    Ok(())
}

/// Has a node join and starts it.
async fn join(
    setup: &Setup,
    cluster: &Starling,
    archive: &str,
    limited: Option<&Limited>,
) -> Result<(Process, std::net::SocketAddr)> {
    let seat = setup.hosts.another()?;
    let folder: PathBuf = cluster.folder().join("n4");
    let invite = cluster.invite().await?;
    let mut command = Command::new(&setup.starling);
    command
        .args(["cluster", "join", "--serve", "--name", "n4", "--folder"])
        .arg(&folder)
        .args(["--http", &seat.client.to_string()])
        .args(["--peer", &seat.peer.to_string()])
        .args(["--archive", archive])
        .env("STARLING_INVITE", invite);
    let node = Process::start(command, &folder.with_extension("log"))?;
    if let Some(limited) = limited {
        limited.hold(node.pid())?;
    }
    Ok((node, seat.client))
}
