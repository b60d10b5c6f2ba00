//! Random faults, several at a time, under a load whose whole history is checked.
//!
//! The test command runs half a minute of it; `make torture MINUTES=30` as much as you like. The seed decides which
//! faults strike in which order; when they do is up to the machine, so a failure's seed makes it likely again, not
//! certain. What it found belongs into the simulator, where it is.

mod clients;
mod history;
mod nemesis;

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::{Cluster, Setup};
use clients::Clients;
use nemesis::{Dice, Nemesis};

/// The disk that fills up.
const MEGABYTES: u32 = 256;
const CLIENTS: usize = 8;
/// Files that are edited, and read with and without waiting.
const FILES: usize = 3;

/// How long, with how many nodes, from which seed.
struct Plan {
    length: Duration,
    nodes: usize,
    seed: u64,
}

impl Plan {
    fn from_environment() -> Self {
        let number = |name: &str| -> Option<u64> {
            let text = std::env::var(name).ok()?;
            Some(
                text.parse()
                    .unwrap_or_else(|_| panic!("{name} is a number, not {text:?}")),
            )
        };
        let minutes = number("TORTURE_MINUTES").filter(|minutes| *minutes > 0);
        let mut drawn = [0; 4];
        getrandom::fill(&mut drawn).expect("the system has randomness");
        Self {
            length: minutes.map_or(Duration::from_secs(25), |minutes| {
                Duration::from_secs(60 * minutes)
            }),
            nodes: number("TORTURE_NODES").map_or(3, |nodes| usize::try_from(nodes).expect("few")),
            seed: number("TORTURE_SEED").unwrap_or_else(|| u32::from_be_bytes(drawn).into()),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn random_faults_lose_nothing_double_nothing_and_reorder_nothing() {
    let plan = Plan::from_environment();
    eprintln!(
        "torture: TORTURE_SEED={} TORTURE_NODES={}",
        plan.seed, plan.nodes
    );
    let mut cluster = Cluster::create(plan.nodes);
    let fills_up = cluster.put_on_small_disk(0, MEGABYTES);
    let setup = Setup {
        proxied: true,
        ..Setup::default()
    };
    let mut cluster = cluster.started(setup).await;
    let mut files = Vec::new();
    for number in 0..FILES {
        let bytes = format!("file {number} ").repeat(3000);
        let name = format!("{number}.txt");
        let added = cluster
            .api(number % plan.nodes)
            .upload(&name, bytes.as_bytes(), &json!({}))
            .await;
        let id = added.expect(201, "").json()["id"]
            .as_str()
            .expect("an id")
            .to_owned();
        files.push((id, bytes));
    }
    cluster.until_heads_equal().await;

    let ids: Vec<String> = files.iter().map(|(id, _)| id.clone()).collect();
    let clients = Clients::start(&cluster, CLIENTS, &ids, plan.seed);
    let mut nemesis = Nemesis::new(Dice::new(plan.seed), files, fills_up);
    let started = Instant::now();
    while started.elapsed() < plan.length {
        nemesis.strike(&mut cluster).await;
        clients.until_more(20).await;
    }
    let length = started.elapsed();
    let history = clients.finish().await;
    cluster.until_heads_equal().await;
    history.check();
    history.check_kept(&cluster).await;

    let mut table = format!(
        "torture of {} nodes for {:.0} s, seed {}\n",
        plan.nodes,
        length.as_secs_f64(),
        plan.seed
    );
    for (what, count) in history.counts().into_iter().chain(nemesis.counts()) {
        writeln!(table, "  {count:>7}  {what}").expect("a string takes any text");
    }
    eprintln!("{table}  nothing lost, doubled, or out of order");
}
