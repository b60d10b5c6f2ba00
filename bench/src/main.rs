//! The comparison with etcd, and the figures Starling promises.
//!
//! Both systems run as three members on this machine, fsync on, TLS between members, plain loopback towards
//! clients. Each is driven through its native interface by the leanest client we could write for it, from one
//! thread of this program: Starling through HTTP/1.1 with keep-alive, one record per request; etcd through gRPC
//! `KV.Put` over one shared channel per member. The same number of clients, the same 256 bytes, each client waiting
//! for its answer before it writes again. Runs of the two alternate, each on a fresh cluster, so that a change in
//! the machine's mood meets both.
//!
//! After every run each acknowledged write is looked for: it must be there exactly once.
//!
//! Two measurements break wires and run in network namespaces: what losing a member does, and a slow one. Their figures
//! go into `docs/experiments.md`, which the crate `experiments` writes.

mod bulk;
mod cluster;
mod etcd;
mod failover;
mod findable;
mod host;
mod hosts;
mod http;
mod idle;
mod join;
mod latency;
mod limited;
mod load;
mod losing;
mod pairs;
mod process;
mod report;
mod run;
mod search;
mod series;
mod slow;
mod starling;
mod statistics;
mod throughput;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{Args, Parser, Subcommand};

use crate::cluster::Setup;
use crate::hosts::Hosts;
use crate::report::Report;

/// Measures Starling beside etcd.
#[derive(Debug, Parser)]
#[command(name = "starling-bench")]
struct Cli {
    #[command(subcommand)]
    what: What,
    #[command(flatten)]
    options: Options,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Subcommand)]
enum What {
    /// Writes per second of many clients on all members.
    Throughput,
    /// Latency of one client on one member.
    Latency,
    /// Time without a successful write when the turn's holder (the leader) is killed.
    Failover,
    /// Memory of an idle member and time to readiness.
    Idle,
    /// All of these.
    All,
    /// A member killed, paused, cut off: writes over time, for docs/experiments.md (root).
    Losing,
    /// A slow disk, a link that loses packets: what clients of others feel, for docs/experiments.md (root).
    Slow,
    /// A node joins a cluster with a long ledger.
    Join(join::What),
    /// A large library is searched, beside a plain SQLite table.
    Search(search::What),
    /// How soon a write on one node is found on another.
    Findable(findable::What),
    /// Very many files are tagged in one operation, and that is taken back.
    Bulk(bulk::What),
}

impl What {
    /// Whether wires are broken.
    fn takes_namespaces(self) -> bool {
        matches!(self, Self::Losing | Self::Slow)
    }
}

/// What all measurements share.
#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// The `starling` program; by default the one beside this program.
    #[arg(long, global = true, value_name = "PATH")]
    starling: Option<PathBuf>,
    /// The `etcd` program (Debian: etcd-server).
    #[arg(long, global = true, value_name = "PATH", default_value = "etcd")]
    etcd: PathBuf,
    /// Where the clusters keep their data: a disk, not a file system in memory.
    #[arg(long, global = true, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Length of the measured part of a run.
    #[arg(long, global = true, default_value_t = 10)]
    seconds: u64,
    /// How many times each system runs.
    #[arg(long, global = true, default_value_t = 5)]
    pairs: usize,
    /// Closed-loop clients, spread evenly over the members.
    #[arg(long, global = true, default_value_t = 64)]
    clients: usize,
    /// How many times each member is lost in each way.
    #[arg(long, global = true, default_value_t = 2)]
    repeats: usize,
    /// How many times each slow condition is tried.
    #[arg(long, global = true, default_value_t = 3)]
    rounds: usize,
    /// Do nothing, but say so, where something is missing that the measurement takes.
    #[arg(long, global = true)]
    if_possible: bool,
    /// How many times the turn's holder (the leader) is killed.
    #[arg(long, global = true, default_value_t = 20)]
    kills: usize,
    /// Also write everything measured to this file.
    #[arg(long, global = true, value_name = "FILE")]
    json: Option<PathBuf>,
}

impl Options {
    fn starling(&self) -> Result<PathBuf> {
        if let Some(path) = &self.starling {
            return Ok(path.clone());
        }
        let own = std::env::current_exe().context("finding this program's own path")?;
        Ok(own.with_file_name("starling"))
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let outcome = runtime
        .context("starting the runtime")
        .and_then(|runtime| runtime.block_on(run(&cli)));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: &Cli) -> Result<()> {
    let mut setup = match prepare(cli) {
        Ok(setup) => setup,
        Err(missing) if cli.options.if_possible => {
            println!("not measured here: {missing:#}");
            return Ok(());
        }
        Err(missing) => return Err(missing),
    };
    let host = host::describe(&setup)?;
    println!("{}", host.markdown);
    let mut reports = vec![host];
    let steps = match cli.what {
        What::All => vec![What::Throughput, What::Latency, What::Failover, What::Idle],
        one => vec![one],
    };
    for step in steps {
        let report = measure(step, &mut setup, &cli.options).await?;
        println!("{}", report.markdown);
        reports.push(report);
    }
    match &cli.options.json {
        Some(path) => report::write_json(path, &reports),
        None => Ok(()),
    }
}

/// A place for data, and hosts.
fn prepare(cli: &Cli) -> Result<Setup> {
    if !cli.what.takes_namespaces() {
        return Setup::new(&cli.options, Hosts::Loopback);
    }
    if cli.what == What::Losing {
        etcd::check_installed(&cli.options.etcd)?;
    }
    Setup::new(&cli.options, Hosts::namespaces()?)
}

async fn measure(what: What, setup: &mut Setup, options: &Options) -> Result<Report> {
    match what {
        What::Throughput | What::All => throughput::run(setup, options).await,
        What::Latency => latency::run(setup, options).await,
        What::Failover => failover::run(setup, options).await,
        What::Idle => idle::run(setup).await,
        What::Losing => losing::run(setup, options).await,
        What::Slow => slow::run(setup, options).await,
        What::Join(what) => join::run(setup, options, what).await,
        What::Search(what) => search::run(setup, what).await,
        What::Findable(what) => findable::run(setup, what).await,
        What::Bulk(what) => bulk::run(setup, options, what).await,
    }
}
