//! A node whose ledger can be believed no more begins anew under its identity, and votes again.

use std::path::PathBuf;

use serde_json::json;

use crate::harness::{Cluster, run, starling, stderr, succeed, until};

const VICTIM: usize = 2;

/// The newest file of a node's log.
fn newest_log(cluster: &Cluster, node: usize) -> PathBuf {
    let entries = std::fs::read_dir(cluster.node(node).ledger()).expect("a folder");
    let paths = entries.flatten().map(|entry| entry.path());
    let logs = paths.filter(|path| path.extension().is_some_and(|end| end == "log"));
    logs.max().expect("a log")
}

async fn write(cluster: &Cluster, count: usize) {
    for number in 0..count {
        let (api, text) = (cluster.api(0), format!("record {number}"));
        api.append(&text, None).await.expect("written");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_has_lost_its_votes_begins_anew_and_is_needed_again() {
    let mut cluster = Cluster::start(3).await;
    write(&cluster, 20).await;
    cluster.until_heads_equal().await;
    cluster.restart_after_stop(VICTIM).await;
    write(&cluster, 5).await;
    cluster.until_heads_equal().await;
    let folder = cluster.node(VICTIM).folder();
    let path = folder.to_str().expect("UTF-8").to_owned();
    let running = run(starling(["cluster", "resync", &path]));
    assert_eq!(running.status.code(), Some(5), "{}", stderr(&running));

    // Its votes are gone, and nobody can tell which they were.
    cluster.stop(VICTIM).await;
    std::fs::remove_file(newest_log(&cluster, VICTIM)).expect("removed");
    cluster.spawn(VICTIM);
    assert_eq!(cluster.ended(VICTIM).await, Some(7));

    succeed(starling(["cluster", "resync", &path]));
    cluster.spawn(VICTIM);
    let waiting = cluster.api(VICTIM);
    until("it has what the others have", async || {
        let ask = waiting.request(reqwest::Method::GET, "/cluster");
        let answer = waiting.try_send(ask).await.ok()?;
        let waits = answer.json()["progress"]["stage"] == "resyncing";
        (waits || waiting.is_ready().await).then_some(())
    })
    .await;
    // It waits until the cluster has decided more than it can have voted for.
    until("it serves", async || {
        write(&cluster, 1).await;
        waiting.is_ready().await.then_some(())
    })
    .await;
    write(&cluster, 3).await;
    let (height, _) = cluster.until_heads_equal().await;

    // With another one gone it is needed.
    cluster.kill(1);
    until("it votes", async || {
        let placed = cluster.api(0).append("by n1 and n3", None).await;
        placed.ok()
    })
    .await;
    let report = waiting.post("/ledger/verify", &json!({})).await.json();
    assert_eq!(report["ok"], true, "{report}");
    assert!(report["to"].as_u64() > Some(height), "{report}");
    let kept = std::fs::read_dir(folder.join("quarantine")).expect("a folder");
    let mut kept = kept.flatten().map(|entry| entry.path());
    assert!(
        kept.any(|path| path.join("00000000.log").is_file()),
        "the old ledger is kept"
    );
    // And it starts again like any other.
    cluster.restart(1).await;
    cluster.stop(VICTIM).await;
    cluster.restart(VICTIM).await;
    write(&cluster, 1).await;
    cluster.until_heads_equal().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_others_are_no_quorum_nobody_begins_anew() {
    let mut cluster = Cluster::start(2).await;
    write(&cluster, 3).await;
    cluster.until_heads_equal().await;
    cluster.stop(1).await;
    let folder = cluster.node(1).folder();
    let mut resync = starling(["cluster", "resync"]);
    resync.arg(&folder);
    succeed(resync);
    let before = newest_log(&cluster, 1);
    cluster.spawn(1);
    assert_eq!(cluster.ended(1).await, Some(7));
    let log = std::fs::read_to_string(cluster.node(1).log()).expect("a log");
    assert!(log.contains("it takes 2"), "{log}");
    assert_eq!(newest_log(&cluster, 1), before, "nothing was touched");
}
