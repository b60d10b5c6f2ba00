//! Random faults, several at a time, under a load whose whole history is checked.
//!
//! The test command runs half a minute of it; `make torture MINUTES=30` as much as you like. The seed decides which
//! faults strike in which order; when they do is up to the machine, so a failure's seed makes it likely again, not
//! certain. What it found belongs into the simulator, where it is.
//!
//! The test command breaks links by proxies, which takes no rights. `make torture` puts the nodes into network namespaces
//! where it may, so that packets are lost on wires, also in one direction; otherwise it says why and takes proxies too, as
//! with `LINKS=proxies`: those make links slow, which takes a discipline of the kernel's that is not everywhere.

mod clients;
mod history;
mod nemesis;

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use namespaces::Network;
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
    /// Whether packets are to be lost on wires, if that is possible.
    wires: bool,
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
            wires: minutes.is_some() && std::env::var("TORTURE_LINKS").as_deref() != Ok("proxies"),
            seed: number("TORTURE_SEED").unwrap_or_else(|| u32::from_be_bytes(drawn).into()),
        }
    }
}

/// Nodes between wires or, if there can be none, between proxies; and which of them, in words.
async fn start(plan: &Plan) -> (Cluster, bool, String) {
    let network = plan
        .wires
        .then(|| Network::create(u8::try_from(plan.nodes).expect("few")));
    let (mut cluster, setup, links) = match network {
        Some(Ok(network)) => {
            let cluster = Cluster::create_in(network, plan.nodes);
            (
                cluster,
                Setup::default(),
                "wires of network namespaces".to_owned(),
            )
        }
        refused => {
            let why = match refused {
                Some(Err(error)) => format!(", since there are no network namespaces: {error}"),
                _ => String::new(),
            };
            let setup = Setup {
                proxied: true,
                ..Setup::default()
            };
            (Cluster::create(plan.nodes), setup, format!("proxies{why}"))
        }
    };
    let fills_up = cluster.put_on_small_disk(0, MEGABYTES);
    (cluster.started(setup).await, fills_up, links)
}

#[tokio::test(flavor = "multi_thread")]
async fn random_faults_lose_nothing_double_nothing_and_reorder_nothing() {
    let plan = Plan::from_environment();
    eprintln!(
        "torture: TORTURE_SEED={} TORTURE_NODES={}",
        plan.seed, plan.nodes
    );
    let (mut cluster, fills_up, links) = start(&plan).await;
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
        "torture of {} nodes for {:.0} s, seed {}, links are {links}\n",
        plan.nodes,
        length.as_secs_f64(),
        plan.seed
    );
    for (what, count) in history.counts().into_iter().chain(nemesis.counts()) {
        writeln!(table, "  {count:>7}  {what}").expect("a string takes any text");
    }
    eprintln!("{table}  nothing lost, doubled, or out of order");
}
