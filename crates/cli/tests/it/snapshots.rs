//! Snapshots: made by every node alike, vouched for, archived, and begun with by who joins or has lost its catalogue.

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::harness::{Cluster, Setup, json_lines, succeed, until};
use crate::purge::holding;

const BEGAN: &str = "the catalogue began with a snapshot";

/// Three nodes with an archive, and a snapshot of some files in it.
struct Snapped {
    cluster: Cluster,
    archive: PathBuf,
}

fn indexes(folder: &Path) -> Vec<PathBuf> {
    let mut found = holding(folder, &[b"starling/snapshot/v1".to_vec()]);
    found.retain(|path| path.extension().is_some_and(|end| end == "index"));
    found.sort();
    found
}

impl Snapped {
    async fn new() -> Self {
        let mut cluster = Cluster::create(3);
        let archive = cluster.scratch().join("archive");
        std::fs::create_dir(&archive).expect("a folder");
        for node in 0..3 {
            let url = format!("file://{}", archive.display());
            cluster.set(node, "STARLING_ARCHIVE_URL", &url);
            cluster.set(node, "STARLING_TEST_SNAPSHOT_AFTER", "10");
        }
        let cluster = cluster.started(Setup::default()).await;
        let snapped = Self { cluster, archive };
        snapped.upload("early", 10).await;
        until("a snapshot is archived", async || {
            (!indexes(&snapped.archive).is_empty()).then_some(())
        })
        .await;
        snapped.upload("late", 3).await;
        snapped
    }

    async fn upload(&self, word: &str, count: usize) {
        let api = self.cluster.api(0);
        for number in 0..count {
            let (name, bytes) = (format!("{word} {number}"), format!("{word} bytes {number}"));
            let metadata = json!({ "tags": [word] });
            let uploaded = api.upload(&name, bytes.as_bytes(), &metadata).await;
            uploaded.expect(201, "");
        }
    }

    /// All nodes answer alike.
    async fn agree(&self, nodes: usize) {
        let (height, _) = self.cluster.until_heads_equal().await;
        for query in ["/files?q=early", "/files?q=tag:late", "/files", "/tokens"] {
            let mut seen = Vec::new();
            for node in 0..nodes {
                let api = self.cluster.api(node);
                api.until_applied(height).await;
                seen.push(api.get(query).await.expect(200, "").json()["items"].clone());
            }
            assert!(
                seen.iter().all(|items| *items == seen[0]),
                "{query}: {seen:?}"
            );
            assert_ne!(seen[0], json!([]), "{query}");
        }
    }

    fn began(&self, node: usize) -> bool {
        let log = std::fs::read_to_string(self.cluster.node(node).log());
        log.expect("a log").contains(BEGAN)
    }

    fn lose_catalogue(&self, node: usize) {
        for end in ["", "-wal", "-shm"] {
            let file = format!("catalogue.sqlite{end}");
            _ = std::fs::remove_file(self.cluster.node(node).folder().join(file));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_joins_begins_with_the_snapshot_of_the_archive() {
    let mut snapped = Snapped::new().await;
    // What vouches for it is sealed with it, and is there a moment later.
    let chain = std::fs::read_dir(&snapped.archive).expect("an archive");
    let chain = chain
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.is_dir());
    let segments = chain.expect("a chain").join("segments");
    until("segments are archived", async || {
        std::fs::read_dir(&segments).ok()?.next().map(|_| ())
    })
    .await;
    let invite = snapped.cluster.invite(&[]);
    let command = snapped.cluster.join_command("n4", &invite);
    let lines = json_lines(&succeed(command));
    let joined = lines.last().expect("a result").clone();
    assert!(joined["archive"]["snapshot"].as_u64().is_some(), "{joined}");
    let place = snapped.cluster.adopt(&joined);
    snapped.cluster.spawn(place);
    snapped.cluster.until_role(0, "n4", "voter").await;
    snapped.agree(4).await;
    assert!(snapped.began(place));
    // It goes on like the others: what it makes of the next mark is what they make.
    let before = indexes(&snapped.archive).len();
    snapped.upload("more", 12).await;
    until("the next one is archived", async || {
        let now = indexes(&snapped.archive);
        let newest = now.last()?.file_name()?.to_owned();
        let here = snapped.cluster.node(place).folder().join("snapshots");
        (now.len() > before && here.join(newest).is_file()).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_node_shows_the_snapshots_and_who_vouches_for_them() {
    let snapped = Snapped::new().await;
    for node in 0..3 {
        let api = snapped.cluster.api(node);
        let shown = until("all have vouched for the newest", async || {
            let answer = api.get("/cluster").await.expect(200, "").json();
            let newest = answer["snapshots"][0].clone();
            let vouches = newest["vouches"].as_array()?.len();
            (vouches == 3 && newest["here"] == true).then_some(newest)
        })
        .await;
        let vouches = shown["vouches"].as_array().expect("a list");
        for name in ["n1", "n2", "n3"] {
            let mut of = vouches.iter().filter(|vouch| vouch["node"] == name);
            let vouch = of.next().expect("it vouches");
            assert_eq!(vouch["digest"], shown["digest"], "{shown}");
        }
        assert!(shown["ageMs"].as_u64().is_some(), "{shown}");
        let height = shown["height"].as_u64().expect("a height");
        let numbers = String::from_utf8(api.page("/metrics").await.bytes).expect("a text");
        for line in [
            format!("starling_snapshot_height {height}"),
            format!("starling_snapshot_marked_height {height}"),
            "starling_snapshot_here 1".to_owned(),
            "starling_snapshot_vouched{node=\"n2\"} 1".to_owned(),
        ] {
            assert!(numbers.lines().any(|shown| shown == line), "{line}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_catalogue_begins_with_the_nodes_own_snapshot_unless_that_is_damaged() {
    let mut snapped = Snapped::new().await;
    snapped.cluster.stop(1).await;
    snapped.lose_catalogue(1);
    snapped.cluster.restart(1).await;
    snapped.agree(3).await;
    assert!(snapped.began(1));

    snapped.cluster.stop(2).await;
    snapped.lose_catalogue(2);
    let shelf = snapped.cluster.node(2).folder().join("snapshots");
    for entry in std::fs::read_dir(shelf).expect("a shelf").flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|end| end == "part") {
            let mut bytes = std::fs::read(&path).expect("a part");
            bytes[0] ^= 1;
            std::fs::write(&path, bytes).expect("written");
        }
    }
    snapped.cluster.restart(2).await;
    snapped.agree(3).await;
    assert!(!snapped.began(2));
}
