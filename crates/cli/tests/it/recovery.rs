//! A quorum is lost for good, and what survives goes on as a chain of its own.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use crate::agreement::verified;
use crate::api::Position;
use crate::harness::{Cluster, json, run, starling, stderr, succeed, until};

fn recover(cluster: &Cluster, nodes: &[usize], more: &[&str]) -> Output {
    let mut command = starling(["cluster", "recover", "--json"]);
    for node in nodes {
        command.arg(cluster.node(*node).folder());
    }
    command.args(more);
    run(command)
}

fn recovered(cluster: &Cluster, nodes: &[usize], more: &[&str]) -> Value {
    let output = recover(cluster, nodes, more);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    json(&String::from_utf8_lossy(&output.stdout))
}

/// Everything on a stopped node's disk is gone; a copy of it is kept, as in a machine in a cupboard.
fn destroy(cluster: &Cluster, node: usize) {
    let folder = cluster.node(node).folder();
    std::fs::rename(&folder, folder.with_extension("cupboard")).expect("gone");
}

fn put_back(cluster: &Cluster, node: usize) {
    let folder = cluster.node(node).folder();
    std::fs::rename(folder.with_extension("cupboard"), &folder).expect("back");
}

async fn record(cluster: &Cluster, node: usize, place: Position) -> Vec<u8> {
    let path = format!("/records/{}/{}", place.height, place.index);
    let api = cluster.api(node);
    let request = api.request(reqwest::Method::GET, &path);
    let answer = api
        .send(request.header("accept", "application/octet-stream"))
        .await;
    answer.expect(200, "").bytes
}

async fn until_logged(cluster: &Cluster, node: usize, text: &str) {
    until(
        &format!("{} says {text:?}", cluster.node(node).name),
        async || {
            let log = std::fs::read_to_string(cluster.node(node).log()).unwrap_or_default();
            log.contains(text).then_some(())
        },
    )
    .await;
}

fn verify(folder: &Path) -> Value {
    let mut command = starling(["ledger", "verify", "--json", "--folder"]);
    command.arg(folder);
    json(&succeed(command))
}

#[allow(
    clippy::too_many_lines,
    reason = "one story, in which each step rests on those before"
)]
#[tokio::test(flavor = "multi_thread")]
async fn one_survivor_of_three_goes_on_with_everything_and_takes_new_nodes() {
    let mut cluster = Cluster::start(3).await;
    let api = cluster.api(0);
    let body = b"worth keeping".repeat(1000);
    let added = api
        .upload(
            "kept.txt",
            &body,
            &json!({"title": "Kept", "tags": ["old"]}),
        )
        .await;
    let id = added.expect(201, "").json()["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    let mut old = Vec::new();
    for number in 0..20 {
        let text = format!("record {number}");
        old.push((api.append(&text, None).await.expect("appended"), text));
    }
    let receipt = cluster.scratch().join("receipt");
    let genesis = cluster.scratch().join("genesis");
    let fetch = |cluster: &Cluster, arguments: &[&str], out: &Path| {
        let mut command = cluster.client([&["ledger"], arguments].concat());
        succeed({
            command.arg("--out").arg(out);
            command
        })
    };
    fetch(&cluster, &["checkpoint", "--height", "0"], &genesis);
    let (height, _) = cluster.until_heads_equal().await;
    let chain = cluster.api(0).get("/cluster").await.json()["chainId"].clone();

    // A quorum can decide: nothing is to be recovered from two, nor from one that runs.
    cluster.kill(2);
    let running = recover(&cluster, &[0], &["--yes"]);
    assert_eq!(running.status.code(), Some(5), "{}", stderr(&running));
    cluster.stop(1).await;
    // The node has the turn: it accepts what it is asked for, and nobody can say whether that is decided.
    let doubtful = cluster
        .api(0)
        .waiting(1)
        .append("doubtful", Some("doubt"))
        .await;
    assert!(doubtful.is_err());
    cluster.stop(0).await;
    let needless = recover(&cluster, &[0, 1], &["--yes"]);
    assert_eq!(needless.status.code(), Some(2), "{}", stderr(&needless));
    assert!(stderr(&needless).contains("nothing need be recovered"));
    destroy(&cluster, 1);
    destroy(&cluster, 2);

    let planned = recovered(&cluster, &[0], &["--dry-run"]);
    assert_eq!(
        (&planned["height"], &planned["chainId"]),
        (&height.into(), &chain)
    );
    assert_eq!(planned["left"], json!(["n2", "n3"]));
    assert_eq!(planned["carried"], 1);
    let mut unsure = starling(["cluster", "recover"]);
    unsure.arg(cluster.node(0).folder()).stdin(Stdio::null());
    let unsure = run(unsure);
    assert_eq!(unsure.status.code(), Some(1));
    assert!(
        stderr(&unsure).contains("nothing was changed"),
        "{}",
        stderr(&unsure)
    );
    let made = recovered(&cluster, &[0], &["--yes"]);
    assert_eq!(made["newHeight"], height + 1);
    assert_ne!(made["newChainId"], chain);
    let report = verify(&cluster.node(0).ledger());
    assert_eq!(
        (&report["from"], &report["to"], &report["ok"]),
        (&0.into(), &(height + 1).into(), &true.into())
    );

    // The program that shares no code with the node reads on in the chain before, too.
    let (verdict, records) = verified(&cluster, 0);
    assert!(verdict.ends_with("ok"), "{verdict}");
    assert!(
        old.iter()
            .all(|(place, text)| records.get(place) == Some(text))
    );

    cluster.restart(0).await;
    cluster.until_writable().await;
    for (place, text) in &old {
        assert_eq!(record(&cluster, 0, *place).await, text.as_bytes());
    }
    let again = cluster
        .api(0)
        .append("doubtful", Some("doubt"))
        .await
        .expect("carried over");
    assert_eq!(again.height, height + 1);
    assert_eq!(record(&cluster, 0, again).await, b"doubtful");

    for name in ["n4", "n5"] {
        let place = cluster.join(name);
        cluster.until_ready(place).await;
        cluster.until_role(0, name, "voter").await;
    }
    cluster.until_heads_equal().await;
    for node in [0, 3, 4] {
        let api = cluster.api(node);
        let file = api
            .get(&format!("/files/{id}"))
            .await
            .expect(200, "")
            .json();
        assert_eq!(file["title"], "Kept");
        let content = api
            .get(&format!("/files/{id}/content"))
            .await
            .expect(200, "");
        assert!(content.bytes == body, "on node {node}");
        for (place, text) in &old {
            assert_eq!(record(&cluster, node, *place).await, text.as_bytes());
        }
        let seen = api.get("/cluster").await.json();
        assert_eq!(seen["recovered"]["height"], height);
        assert_eq!(seen["recovered"]["chainId"], chain);
    }
    // One of three may go now.
    cluster.kill(0);
    until("the new ones go on", async || {
        cluster.api(3).append("on", None).await.ok()
    })
    .await;
    cluster.restart(0).await;

    // Receipts of old records are the old chain's, of new ones the new chain's.
    let position = |place: Position| format!("{}/{}", place.height, place.index);
    fetch(
        &cluster,
        &["receipt", "--record", &position(old[3].0)],
        &receipt,
    );
    let check = |trust: &Path| {
        let mut command = starling(["ledger", "check", "--json", "--trust"]);
        command.arg(trust).arg(&receipt);
        run(command)
    };
    assert_eq!(
        check(&genesis).status.code(),
        Some(0),
        "{}",
        stderr(&check(&genesis))
    );
    fetch(
        &cluster,
        &["receipt", "--record", &position(again)],
        &receipt,
    );
    let crossed = check(&genesis);
    assert_ne!(
        crossed.status.code(),
        Some(0),
        "the old chain proves nothing of the new one"
    );
    let (first, at) = (cluster.scratch().join("first"), (height + 1).to_string());
    fetch(&cluster, &["checkpoint", "--height", &at], &first);
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/check_receipt.py");
    let python = |trust: &Path| {
        let mut command = Command::new("python3");
        command.arg(script).arg(&receipt).arg(trust);
        run(command).status.code()
    };
    assert_eq!((python(&first), python(&genesis)), (Some(0), Some(1)));
    assert_eq!(
        check(&first).status.code(),
        Some(0),
        "{}",
        stderr(&check(&first))
    );

    // A machine comes out of the cupboard: both sides say that it was left behind.
    put_back(&cluster, 1);
    cluster.spawn(1);
    until_logged(&cluster, 1, "left behind").await;
    until_logged(&cluster, 0, "left behind").await;
    let refused = cluster.api(1).waiting(1).append("left behind", None).await;
    assert!(refused.is_err());
    assert_eq!(cluster.seen(0, "n2").await["role"], "former");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_survivors_of_five_go_on_together_and_an_interrupted_recovery_goes_on() {
    let mut cluster = Cluster::start(5).await;
    for number in 0..5 {
        let text = format!("record {number}");
        cluster.api(4).append(&text, None).await.expect("appended");
    }
    let (height, _) = cluster.until_heads_equal().await;
    for node in 0..5 {
        cluster.stop(node).await;
    }
    let unknown = recover(&cluster, &[0, 1], &["--yes", "--keep", "n9"]);
    assert_eq!(unknown.status.code(), Some(2), "{}", stderr(&unknown));
    let made = recovered(&cluster, &[0, 1], &["--yes"]);
    assert!(made["newHeight"].as_u64().expect("a height") > height);
    // As if the power had failed before n2's parts were moved.
    let (folder, aside) = (
        cluster.node(1).folder(),
        made["aside"][1].as_str().expect("a folder"),
    );
    let staging = folder.join("successor");
    std::fs::create_dir(&staging).expect("a folder");
    for part in ["ledger", "identity"] {
        std::fs::rename(folder.join(part), staging.join(part)).expect("moved");
    }
    std::fs::rename(Path::new(aside).join("identity"), folder.join("identity")).expect("moved");
    let old = made["chainId"].as_str().expect("an id");
    std::fs::write(staging.join("ready"), format!("{old}\n")).expect("written");
    let resumed = recover(&cluster, &[0, 1], &[]);
    assert_eq!(resumed.status.code(), Some(0), "{}", stderr(&resumed));
    assert!(
        stderr(&resumed).contains("in place now"),
        "{}",
        stderr(&resumed)
    );
    assert!(!staging.exists());
    for node in [0, 1] {
        cluster.spawn(node);
    }
    for node in [0, 1] {
        cluster.until_ready(node).await;
    }
    cluster.until_writable().await;
    assert_eq!(cluster.seen(1, "n1").await["role"], "voter");
    assert_eq!(cluster.seen(1, "n5").await["role"], "former");
    // Lost again, and recovered again.
    cluster.stop(0).await;
    cluster.stop(1).await;
    recovered(&cluster, &[1], &["--yes"]);
    cluster.restart(1).await;
    cluster.until_writable().await;
    let place = cluster.join("n6");
    cluster.until_ready(place).await;
    let records = cluster.api(place).records().await;
    assert!(records.iter().any(|(_, body)| body == b"record 3"));
}
