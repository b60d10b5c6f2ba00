//! Nodes are killed, frozen and cut off while programs write; nothing that was acknowledged is lost or doubled.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use reqwest::Method;
use tokio::task::JoinSet;

use crate::api::{Api, Position};
use crate::harness::{Cluster, PATIENCE, POLL, Setup, until};

/// A node that does not answer by then is left for another, as any sensible client does.
const IMPATIENCE: Duration = Duration::from_secs(3);

/// Programs that write records through all nodes, each again and again until it is acknowledged.
pub(crate) struct Writers {
    tasks: JoinSet<Vec<(String, Position)>>,
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicUsize>,
}

impl Writers {
    pub(crate) fn start(cluster: &Cluster, count: usize) -> Self {
        let (stop, acknowledged) = (Arc::default(), Arc::default());
        let mut tasks = JoinSet::new();
        for writer in 0..count {
            let nodes = (0..cluster.len()).map(|node| cluster.api(node).with_timeout(IMPATIENCE));
            let (stop, acknowledged) = (Arc::clone(&stop), Arc::clone(&acknowledged));
            tasks.spawn(write(writer, nodes.collect(), stop, acknowledged));
        }
        Self {
            tasks,
            stop,
            acknowledged,
        }
    }

    /// Waits until so many more writes were acknowledged.
    pub(crate) async fn until_more(&self, count: usize) {
        let goal = self.acknowledged.load(Ordering::Relaxed) + count;
        until("more writes are acknowledged", async || {
            (self.acknowledged.load(Ordering::Relaxed) >= goal).then_some(())
        })
        .await;
    }

    /// Ends the writers and gives all that was acknowledged to them.
    pub(crate) async fn finish(self) -> BTreeMap<Position, String> {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = BTreeMap::new();
        for (text, place) in self.tasks.join_all().await.into_iter().flatten() {
            assert_eq!(all.insert(place, text), None, "two records at {place:?}");
        }
        all
    }
}

async fn write(
    writer: usize,
    nodes: Vec<Api>,
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicUsize>,
) -> Vec<(String, Position)> {
    let mut written = Vec::new();
    let mut node = writer;
    while !stop.load(Ordering::Relaxed) {
        let text = format!("writer {writer} record {}", written.len());
        let started = Instant::now();
        let place = loop {
            node += 1;
            match nodes[node % nodes.len()].append(&text, Some(&text)).await {
                Ok(place) => break place,
                Err(why) => {
                    assert!(started.elapsed() < PATIENCE, "{text}: {why}");
                    tokio::time::sleep(POLL).await;
                }
            }
        };
        written.push((text, place));
        acknowledged.fetch_add(1, Ordering::Relaxed);
    }
    written
}

/// Every acknowledged record stands where it was promised, once, on every node.
pub(crate) async fn check_nothing_is_lost(
    cluster: &Cluster,
    acknowledged: &BTreeMap<Position, String>,
) {
    cluster.until_heads_equal().await;
    for node in cluster.running() {
        let records = cluster.api(node).records().await.into_iter();
        let ours: BTreeMap<Position, String> = records
            .map(|(place, body)| (place, String::from_utf8(body).expect("UTF-8")))
            .filter(|(_, text)| text.starts_with("writer"))
            .collect();
        assert_eq!(
            &ours,
            acknowledged,
            "the records of {}",
            cluster.node(node).name
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killing_each_node_in_turn_loses_nothing() {
    let mut cluster = Cluster::start(3).await;
    let writers = Writers::start(&cluster, 6);
    for node in [0, 1, 2, 0, 1, 2] {
        writers.until_more(100).await;
        cluster.kill(node);
        writers.until_more(100).await;
        cluster.restart(node).await;
    }
    let acknowledged = writers.finish().await;
    check_nothing_is_lost(&cluster, &acknowledged).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killing_all_nodes_at_once_loses_nothing() {
    let mut cluster = Cluster::start(3).await;
    for _ in 0..3 {
        let writers = Writers::start(&cluster, 6);
        writers.until_more(200).await;
        (0..3).for_each(|node| cluster.kill(node));
        (0..3).for_each(|node| cluster.spawn(node));
        let acknowledged = writers.finish().await;
        let (place, text) = acknowledged
            .last_key_value()
            .expect("something was written");
        let record = format!("/records/{}/{}", place.height, place.index);
        for node in 0..3 {
            let api = cluster.api(node);
            let answer = until("the last record is there", async || {
                let sent = api.try_send(api.request(Method::GET, &record)).await;
                sent.ok()?.success()
            })
            .await;
            assert_eq!(answer.bytes, text.as_bytes());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_frozen_for_five_seconds_is_not_missed() {
    let cluster = Cluster::start(3).await;
    let writers = Writers::start(&cluster, 4);
    for node in 0..3 {
        writers.until_more(50).await;
        cluster.freeze(node);
        let thaw_at = Instant::now() + Duration::from_secs(5);
        let others: Vec<Api> = (0..3)
            .filter(|other| *other != node)
            .map(|other| cluster.api(other))
            .collect();
        let mut slowest = Duration::ZERO;
        let mut number = 0;
        while Instant::now() < thaw_at {
            let started = Instant::now();
            let text = format!("while {node} is frozen, {number}");
            others[number % 2]
                .append(&text, None)
                .await
                .expect("the others take writes");
            slowest = slowest.max(started.elapsed());
            number += 1;
        }
        eprintln!("{number} writes, the slowest took {slowest:?} with {node} frozen");
        assert!(
            slowest < Duration::from_secs(2),
            "a write took {slowest:?} with {node} frozen"
        );
        cluster.thaw(node);
    }
    let acknowledged = writers.finish().await;
    check_nothing_is_lost(&cluster, &acknowledged).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_cut_off_refuses_writes_and_catches_up() {
    let setup = Setup {
        proxied: true,
        ..Setup::default()
    };
    let cluster = Cluster::start_with(3, setup).await;
    let place = cluster
        .api(0)
        .append("before", None)
        .await
        .expect("appended");
    cluster.until_heads_equal().await;
    for node in 0..3 {
        cluster.isolate(node);
        let alone = cluster.api(node).waiting(1);
        let refused = until("the node knows that it is alone", async || {
            let answer = alone.append_raw("alone", None).await.expect("an answer");
            (answer.code() == "no_quorum").then_some(answer)
        })
        .await;
        assert_eq!(refused.status, 503);
        assert!(!refused.header("retry-after").is_empty());
        let local = format!("/records/{}/{}", place.height, place.index);
        assert_eq!(alone.get(&local).await.expect(200, "").bytes, b"before");
        alone
            .get("/files?consistency=linearizable")
            .await
            .expect(503, "no_quorum");
        for number in 0..20 {
            let other = cluster.api((node + 1 + number % 2) % 3);
            let text = format!("without {node}: {number}");
            other
                .append(&text, None)
                .await
                .expect("the others take writes");
        }
        cluster.heal(node);
        cluster.until_heads_equal().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_tears_swallows_and_forgets_loses_nothing() {
    let setup = Setup {
        proxied: true,
        ..Setup::default()
    };
    let cluster = Cluster::start_with(3, setup).await;
    let writers = Writers::start(&cluster, 6);
    for round in 0..4 {
        let (from, to) = (round % 3, (round + 1) % 3);
        writers.until_more(60).await;
        cluster.link(from, to).cut();
        writers.until_more(60).await;
        cluster.link(from, to).heal();
        cluster.link(to, from).silence();
        writers.until_more(60).await;
        cluster.link(to, from).heal();
        cluster.isolate(from);
        writers.until_more(60).await;
        cluster.heal(from);
    }
    let acknowledged = writers.finish().await;
    check_nothing_is_lost(&cluster, &acknowledged).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_minority_of_five_may_be_lost() {
    let mut cluster = Cluster::start(5).await;
    let writers = Writers::start(&cluster, 5);
    writers.until_more(50).await;
    cluster.kill(1);
    cluster.freeze(3);
    writers.until_more(100).await;
    cluster.thaw(3);
    cluster.restart(1).await;
    let acknowledged = writers.finish().await;
    check_nothing_is_lost(&cluster, &acknowledged).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_catalogue_is_made_again_and_equal() {
    let mut cluster = Cluster::start(3).await;
    for number in 0..20 {
        let metadata = serde_json::json!({ "tags": [format!("t{}", number % 3)] });
        let name = format!("{number}.txt");
        let added = cluster
            .api(number % 3)
            .upload(&name, name.as_bytes(), &metadata)
            .await;
        added.expect(201, "");
    }
    cluster.until_heads_equal().await;
    cluster.stop(1).await;
    for entry in std::fs::read_dir(cluster.node(1).folder()).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.to_string_lossy().contains("catalogue.sqlite") {
            std::fs::remove_file(path).expect("removed");
        }
    }
    cluster.restart(1).await;
    cluster.until_heads_equal().await;
    let ask = async |node: usize| {
        let answer = cluster.api(node).get("/files?q=tag:t1&sort=name").await;
        answer.expect(200, "").json()["items"].clone()
    };
    let (rebuilt, original) = (ask(1).await, ask(0).await);
    assert_eq!(rebuilt, original);
    assert_eq!(rebuilt.as_array().map(Vec::len), Some(7));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_write_after_a_long_silence_is_decided() {
    let mut cluster = Cluster::start(3).await;
    for node in 0..3 {
        cluster.stop(node).await;
        cluster.set(node, "STARLING_TEST_CLOCK_OFFSET_MS", "600000");
    }
    (0..3).for_each(|node| cluster.spawn(node));
    let api = cluster.api(1);
    until("a write without a key is decided at once", async || {
        let answer = api.append_raw("hello", None).await.ok()?;
        assert_ne!(answer.code(), "outcome_unknown");
        answer.success()
    })
    .await;
}
