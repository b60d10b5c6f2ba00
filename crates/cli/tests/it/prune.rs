//! Pruning: bodies of old commands go from every disk and from the archive, and everything else goes on.

use std::path::{Path, PathBuf};

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{
    Cluster, Setup, json as parsed, json_lines, run, starling, stderr, succeed, until,
};
use crate::purge::holding;
use crate::restore::{restore, restored, start};

const PLANTED: &str = "planted-9d1be07c52";
const CLOCK: &str = "STARLING_TEST_CLOCK_OFFSET_MS";
/// Two days: what was written before is old.
const LATER: &str = "172800000";

/// Three nodes with an archive. They have uploaded some files, and then two days have passed.
struct Aged {
    cluster: Cluster,
    archive: PathBuf,
    file: String,
}

impl Aged {
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
        let mut aged = Self {
            cluster,
            archive,
            file: String::new(),
        };
        aged.plant().await;
        until_archived(&aged.archive).await;
        aged.grow_older(&[0, 1, 2]).await;
        aged
    }

    /// Without an archive, and the third node is away from the beginning.
    async fn without_one() -> Self {
        let mut cluster = Cluster::create(3);
        for node in 0..3 {
            cluster.set(node, "STARLING_TEST_SNAPSHOT_AFTER", "10");
        }
        let mut cluster = cluster.started(Setup::default()).await;
        let archive = cluster.scratch().join("none");
        cluster.stop(2).await;
        cluster.set(2, CLOCK, LATER);
        let mut aged = Self {
            cluster,
            archive,
            file: String::new(),
        };
        aged.plant().await;
        aged.grow_older(&[0, 1]).await;
        aged
    }

    async fn plant(&mut self) {
        let api = self.cluster.api(0);
        let details = json!({ "description": PLANTED });
        let planted = api.upload("planted", b"planted bytes", &details).await;
        let planted = planted.expect(201, "").json();
        planted["id"]
            .as_str()
            .expect("an id")
            .clone_into(&mut self.file);
        for number in 0..12 {
            let (name, bytes) = (format!("early {number}"), format!("early bytes {number}"));
            let details = json!({ "tags": ["early"] });
            let added = api.upload(&name, bytes.as_bytes(), &details).await;
            added.expect(201, "");
        }
    }

    /// Two days pass.
    async fn grow_older(&mut self, nodes: &[usize]) {
        for node in nodes {
            self.cluster.stop(*node).await;
            self.cluster.set(*node, CLOCK, LATER);
        }
        for node in nodes {
            self.cluster.spawn(*node);
        }
        for node in nodes {
            self.cluster.until_ready(*node).await;
        }
        self.cluster.until_writable().await;
        self.cluster.until_heads_equal().await;
    }

    async fn join(&mut self, name: &str) -> usize {
        let invite = self.cluster.invite(&[]);
        let lines = json_lines(&succeed(self.cluster.join_command(name, &invite)));
        let place = self.cluster.adopt(lines.last().expect("a result"));
        self.cluster.set(place, CLOCK, LATER);
        self.cluster.spawn(place);
        self.cluster.until_role(0, name, "voter").await;
        place
    }

    /// Where the bodies of commands lie on a node's disk, and in the archive.
    fn places(&self, nodes: usize) -> Vec<PathBuf> {
        let ledgers = (0..nodes).map(|node| self.cluster.node(node).ledger());
        let chains = std::fs::read_dir(&self.archive)
            .expect("an archive")
            .flatten();
        ledgers
            .chain(chains.map(|chain| chain.path().join("segments")))
            .collect()
    }

    fn prune(&self, more: &[&str]) -> Value {
        let arguments = ["ledger", "prune", "--json", "--before", "1000000"];
        parsed(&succeed(self.cluster.client([&arguments, more].concat())))
    }

    async fn until_told(&self, operation: &str, summary: &str) {
        let api = self.cluster.api(0);
        until(summary, async || {
            let told = api.get(operation).await.expect(200, "").json();
            (told["summary"] == summary).then_some(())
        })
        .await;
    }

    /// All nodes answer alike, and know the planted file with its history.
    async fn agree(&self, nodes: usize) {
        let (height, _) = self.cluster.until_heads_equal().await;
        for query in [
            "/files?q=tag:early",
            &format!("/files/{}/history", self.file),
        ] {
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

    /// Every node's catalogue is what is rebuilt of its ledger, which is sound.
    async fn check(&self, nodes: usize) {
        for node in 0..nodes {
            let api = self.cluster.api(node);
            let verify = api.request(Method::POST, "/ledger/verify");
            let verify = verify.json(&json!({ "catalogue": true }));
            let found = api.send(verify).await.expect(200, "").json();
            assert_eq!(found["ok"], true, "{found}");
            let mut verify = starling(["ledger", "verify", "--json", "--folder"]);
            verify.arg(self.cluster.node(node).ledger());
            let found = parsed(&succeed(verify));
            assert_eq!(found["ok"], true, "{found}");
            let notes = found["notes"].to_string();
            assert!(notes.contains("are pruned"), "{notes}");
            let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/verify_ledger.py");
            let mut python = std::process::Command::new("python3");
            python.arg(script).arg(self.cluster.node(node).ledger());
            succeed(python);
        }
    }

    fn prove(&self, arguments: &[&str], name: &str) -> PathBuf {
        let out = self.cluster.scratch().join(name);
        let mut fetch = self.cluster.client([&["ledger"], arguments].concat());
        fetch.arg("--out").arg(&out);
        succeed(fetch);
        out
    }
}

async fn until_archived(archive: &Path) {
    until("a snapshot is archived", async || {
        let found = holding(archive, &[b"starling/snapshot/v1".to_vec()]);
        (!found.is_empty()).then_some(())
    })
    .await;
}

fn holds_planted(place: &Path) -> Vec<PathBuf> {
    holding(place, &[PLANTED.as_bytes().to_vec()])
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_pruned_is_gone_everywhere_and_nothing_else_is() {
    let mut aged = Aged::new().await;
    let genesis = aged.prove(&["checkpoint", "--height", "0"], "genesis");
    let receipt = aged.prove(&["receipt", "--file", &aged.file], "receipt");
    let plan = aged.prune(&["--dry-run"]);
    assert!(plan["commands"].as_u64() >= Some(13), "{plan}");
    let unsure = run(aged
        .cluster
        .client(["ledger", "prune", "--before", "1000000"]));
    assert_eq!(unsure.status.code(), Some(1), "{}", stderr(&unsure));
    assert!(!holds_planted(&aged.cluster.node(0).ledger()).is_empty());

    aged.cluster.stop(2).await;
    let begun = aged.prune(&["--yes", "--no-wait"]);
    aged.cluster.kill(1);
    aged.cluster.restart(1).await;
    let operation = format!("/operations/{}", begun["id"].as_str().expect("an id"));
    aged.until_told(&operation, "pruned on 2 of 3, waiting for n3")
        .await;
    assert!(!holds_planted(&aged.cluster.node(2).ledger()).is_empty());
    aged.cluster.restart(2).await;
    aged.until_told(&operation, "pruned on 3 of 3").await;
    for place in aged.places(3) {
        let left = holds_planted(&place);
        assert!(left.is_empty(), "{left:?}");
    }
    aged.check(3).await;

    aged.cluster.stop(1).await;
    for end in ["", "-wal", "-shm"] {
        let file = format!("catalogue.sqlite{end}");
        _ = std::fs::remove_file(aged.cluster.node(1).folder().join(file));
    }
    aged.cluster.restart(1).await;
    aged.join("n4").await;
    aged.until_told(&operation, "pruned on 4 of 4").await;
    aged.agree(4).await;
    aged.check(4).await;

    let proof = format!("/files/{}/proof", aged.file);
    aged.cluster.api(0).get(&proof).await.expect(410, "pruned");
    let mut check = starling(["ledger", "check", "--json", "--trust"]);
    check.arg(genesis).arg(receipt);
    succeed(check);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pruned_ledger_is_exported_with_its_snapshot_and_restored() {
    let mut aged = Aged::new().await;
    assert_eq!(aged.prune(&["--yes"])["state"], "done");
    for node in 0..3 {
        aged.cluster.stop(node).await;
    }
    let tar = aged.cluster.scratch().join("all.tar");
    let tar = tar.to_str().expect("UTF-8").to_owned();
    let mut export = starling(["ledger", "export", "--json", "--to", &tar, "--folder"]);
    export.arg(aged.cluster.node(0).ledger());
    succeed(export);
    let verified = parsed(&succeed(starling([
        "ledger", "verify", "--json", "--export", &tar,
    ])));
    assert_eq!(verified["ok"], true, "{verified}");
    for (from, name) in [
        (tar, "m1"),
        (format!("file://{}", aged.archive.display()), "m2"),
    ] {
        let out = aged.cluster.scratch().join(name);
        let made = restored(&restore(&from, &out, &[name], &["--yes"]));
        let node = start(&mut aged.cluster, &made).await[0];
        let api = aged.cluster.api(node);
        let history = api.get(&format!("/files/{}/history", aged.file)).await;
        let history = history.expect(200, "").json();
        assert!(history.to_string().contains(PLANTED), "{history}");
        let early = api.get("/files?q=tag:early").await.expect(200, "").json();
        assert_eq!(early["items"].as_array().map(Vec::len), Some(12), "{early}");
        assert!(holds_planted(&out.join(name).join("ledger")).is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_away_or_joins_takes_a_snapshot_from_a_node_where_there_is_no_archive() {
    let mut aged = Aged::without_one().await;
    let begun = aged.prune(&["--yes", "--no-wait"]);
    let operation = format!("/operations/{}", begun["id"].as_str().expect("an id"));
    aged.until_told(&operation, "pruned on 2 of 3, waiting for n3")
        .await;
    aged.cluster.restart(2).await;
    aged.until_told(&operation, "pruned on 3 of 3").await;
    let place = aged.join("n4").await;
    aged.until_told(&operation, "pruned on 4 of 4").await;
    for node in [2, place] {
        let log = std::fs::read_to_string(aged.cluster.node(node).log()).expect("a log");
        assert!(log.contains("took a snapshot that reaches over"), "{node}");
    }
    aged.agree(4).await;
    aged.check(4).await;
}
