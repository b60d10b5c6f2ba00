//! A node's ledger is damaged on its disk, and made whole from the others: before it starts, and while it serves.

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::harness::{Cluster, Setup, json, run, stderr, until};

/// The files of a folder with this ending, in order.
fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    let mut paths: Vec<PathBuf> = paths
        .filter(|path| path.to_string_lossy().ends_with(ending))
        .collect();
    paths.sort();
    paths
}

/// Spoils so many bytes of a file, from this part of what is written in it.
fn spoil(path: &Path, part: f64, length: usize) {
    let mut bytes = std::fs::read(path).expect("a file");
    let written = bytes
        .iter()
        .rposition(|byte| *byte != 0)
        .expect("it is not empty");
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "somewhere in a small file"
    )]
    let at = (written as f64 * part) as usize;
    for byte in &mut bytes[at..at + length] {
        *byte ^= 0x5a;
    }
    std::fs::write(path, bytes).expect("written");
}

/// Everything on a node is as it should be.
async fn assert_whole(cluster: &Cluster, node: usize) {
    let (height, _) = cluster.api(node).head().await.expect("a head");
    for height in 0..=height {
        let block = cluster
            .api(node)
            .get(&format!("/ledger/blocks/{height}"))
            .await;
        assert_eq!(block.status, 200, "block {height}: {}", block.json());
    }
    let report = cluster.api(node).post("/ledger/verify", &json!({})).await;
    assert_eq!(report.json()["ok"], true, "{}", report.json());
}

async fn write(cluster: &Cluster, count: usize) {
    for number in 0..count {
        let node = number % 2;
        let text = format!("record {number}");
        cluster
            .api(node)
            .append(&text, None)
            .await
            .expect("written");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_ledger_is_mended_from_the_others_and_votes_again() {
    let mut cluster = Cluster::start(3).await;
    write(&cluster, 30).await;
    cluster.until_heads_equal().await;
    let ledger = cluster.node(2).ledger();
    let quarantine = cluster.node(2).folder().join("quarantine");

    // Both copies of some votes, and blocks, in the middle of the log of a node that was killed.
    cluster.kill(2);
    let log = files(&ledger, ".log").pop().expect("a log");
    spoil(&log, 0.4, 14_000);
    cluster.restart(2).await;
    write(&cluster, 5).await;
    cluster.until_heads_equal().await;
    assert_whole(&cluster, 2).await;
    assert_eq!(
        files(&quarantine, ".log").len(),
        1,
        "the damaged file is kept"
    );
    let said = std::fs::read_to_string(cluster.node(2).log()).expect("a log");
    assert!(said.contains("the ledger is whole again"), "it says so");
    // What it lacked is in a segment now. It votes: with one of the others gone, it is needed.
    cluster.kill(0);
    cluster
        .api(1)
        .append("by n2 and n3", None)
        .await
        .expect("written");
    cluster.restart(0).await;

    // The file of a segment vanishes while the node serves.
    let segment = files(&ledger.join("segments"), ".seg")
        .pop()
        .expect("a segment");
    std::fs::remove_file(&segment).expect("removed");
    until("the segment is back", async || {
        segment.exists().then_some(())
    })
    .await;
    assert_whole(&cluster, 2).await;

    // It rots while the node serves.
    spoil(&segment, 0.1, 200);
    assert_whole(&cluster, 2).await;

    // It rots while the node is down: whoever asks for its blocks gets them.
    cluster.stop(2).await;
    spoil(&segment, 0.1, 200);
    cluster.restart(2).await;
    assert_whole(&cluster, 2).await;
    assert_eq!(
        files(&quarantine, ".seg").len(),
        2,
        "the damaged segments are kept"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_mended_before_it_serves_lives_and_says_what_it_waits_for() {
    let mut cluster = Cluster::start(3).await;
    write(&cluster, 10).await;
    cluster.until_heads_equal().await;
    for node in 0..3 {
        cluster.stop(node).await;
    }
    let log = files(&cluster.node(2).ledger(), ".log").pop();
    spoil(&log.expect("a log"), 0.4, 9_000);
    cluster.spawn(2);
    let api = cluster.api(2);
    let problem = until("the node is being mended", async || {
        let ask = api.request(reqwest::Method::GET, "/cluster");
        let answer = api.try_send(ask).await.ok()?;
        let problem = answer.json();
        assert_eq!(answer.status, 503, "{problem}");
        assert_eq!(problem["code"], "starting");
        (problem["progress"]["stage"] == "mending").then_some(problem)
    })
    .await;
    let detail = problem["detail"].as_str().expect("a text");
    assert!(detail.contains("mended from the other nodes"), "{detail}");
    assert_eq!(api.page("/healthz").await.status, 200);
    assert_eq!(api.page("/readyz").await.code(), "starting");
    let status = |more: &[&str]| {
        let mut command = cluster.client(["status"]);
        command.env("STARLING_URL", &cluster.node(2).url).args(more);
        run(command)
    };
    let said = status(&[]);
    assert_eq!(said.status.code(), Some(5));
    assert!(stderr(&said).contains(detail), "{}", stderr(&said));
    let shown = String::from_utf8(status(&["--json"]).stdout).expect("UTF-8");
    assert_eq!(json(&shown)["starting"], problem["progress"]);
    cluster.restart(0).await;
    cluster.restart(1).await;
    cluster.until_ready(2).await;
    cluster.until_heads_equal().await;
    assert_whole(&cluster, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_node_asks_a_member_that_its_configuration_does_not_name() {
    let mut cluster = Cluster::start(3).await;
    let joined = cluster.join("n4");
    cluster.until_role(2, "n4", "voter").await;
    write(&cluster, 10).await;
    cluster.until_heads_equal().await;
    let noted = cluster.node(2).folder().join("members.stamp");
    until("n3 has noted where n4 is", async || {
        let noted = std::fs::read_to_string(&noted).unwrap_or_default();
        noted.contains(" n4\n").then_some(())
    })
    .await;
    for node in 0..4 {
        cluster.stop(node).await;
    }
    let log = files(&cluster.node(2).ledger(), ".log").pop();
    spoil(&log.expect("a log"), 0.4, 9_000);
    cluster.spawn(2);
    cluster.restart(joined).await;
    cluster.until_ready(2).await;
    assert_whole(&cluster, 2).await;
    let said = std::fs::read_to_string(cluster.node(2).log()).expect("a log");
    assert!(said.contains("the ledger is whole again"), "it says so");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_others_a_damaged_ledger_is_left_as_it_is() {
    let mut cluster = Cluster::start(1).await;
    cluster.api(0).append("alone", None).await.expect("written");
    cluster.stop(0).await;
    let ledger = cluster.node(0).ledger();
    let log = files(&ledger, ".log").pop().expect("a log");
    spoil(&log, 0.4, 9_000);
    let before = std::fs::read(&log).expect("a file");
    cluster.spawn(0);
    assert_ne!(cluster.ended(0).await, Some(0));
    let said = std::fs::read_to_string(cluster.node(0).log()).expect("a log");
    assert!(said.contains("damaged"), "{said}");
    assert_eq!(
        std::fs::read(&log).expect("a file"),
        before,
        "nothing is changed"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_another_process_edits_under_a_running_node_are_named_and_made_good_at_once() {
    let mut cluster = Cluster::create(1);
    // It is not the scrubber that finds it.
    cluster.set(0, "STARLING_SCRUB_BYTES_PER_SECOND", "0");
    let cluster = cluster.started(Setup::default()).await;
    let api = cluster.api(0);
    let metadata = json!({"title": "True"});
    let added = api.upload("a.txt", b"some text", &metadata).await;
    let added = added.expect(201, "").json();
    let id = added["id"].as_str().expect("an id");
    let (height, _) = cluster.until_heads_equal().await;
    api.until_applied(height).await;

    let path = cluster.node(0).folder().join("catalogue.sqlite");
    let rows = rusqlite::Connection::open(path).expect("a database");
    let edited = rows.execute("UPDATE history SET time = time + 1", []);
    assert!(edited.expect("written") > 0);
    let findings = until("it is found and made good", async || {
        let answer = api.get("/cluster").await.expect(200, "").json();
        let damage = answer["damage"].as_array().expect("a list").clone();
        (!damage.is_empty() && answer["openDamage"] == 0).then_some(damage)
    })
    .await;
    let said = json!(findings).to_string();
    assert!(said.contains("catalogue"), "{said}");
    let log = std::fs::read_to_string(cluster.node(0).log()).expect("a log");
    assert!(log.contains("another process wrote to"), "{log}");
    let history = api.get(&format!("/files/{id}/history")).await;
    let times = history.expect(200, "").json()["items"][0]["time"].clone();
    assert_eq!(times, added["addedAt"], "as the ledger says");
    drop(rows);
    // It goes on in the file that took its place.
    let title = api.upload("b.txt", b"more", &json!({})).await;
    title.expect(201, "");
}
