//! A receipt is fetched from a node and checked when no node is left.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::harness::{Cluster, json, run, starling, stderr, succeed};

fn check(receipt: &Path, trust: &Path) -> Output {
    let mut check = starling(["ledger", "check", "--json", "--trust"]);
    check.arg(trust).arg(receipt);
    run(check)
}

/// The page of Python that `docs/` has for those who would rather read their checker.
fn python(receipt: &Path, trust: &Path) -> Output {
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/check_receipt.py");
    let mut python = Command::new("python3");
    python.arg(script).arg(receipt).arg(trust);
    run(python)
}

/// Neither program believes a receipt of which a bit is another.
fn refused_once_changed(receipt: &Path, genesis: &Path, forged: &Path) {
    let mut bytes = std::fs::read(receipt).expect("there");
    assert!(bytes.len() <= 2048, "{}", bytes.len());
    let last = bytes.last_mut().expect("a byte");
    *last ^= 1;
    std::fs::write(forged, bytes).expect("written");
    let refused = check(forged, genesis);
    assert_eq!(refused.status.code(), Some(1));
    assert_eq!(json(&String::from_utf8_lossy(&refused.stdout))["ok"], false);
    assert!(
        stderr(&refused).contains("does not stand in the block"),
        "{}",
        stderr(&refused)
    );
    assert!(!python(forged, genesis).status.success());
    assert_eq!(
        check(receipt, receipt).status.code(),
        Some(1),
        "nothing to trust"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_node_proved_stays_proven_without_it() {
    let mut cluster = Cluster::start(3).await;
    let folder = cluster.scratch().to_owned();
    let at = |name: &str| folder.join(name);
    let photo = at("note.txt");
    std::fs::write(&photo, "proof of this").expect("written");
    let mut upload = cluster.client(["upload", "--json"]);
    upload.arg(&photo);
    succeed(upload);
    let id = sha256("proof of this");

    let fetch = |arguments: &[&str], out: &Path| {
        let mut fetch = cluster.client([&["ledger"], arguments].concat());
        succeed({
            fetch.arg("--out").arg(out);
            fetch
        })
    };
    let (genesis, receipt) = (at("genesis"), at("receipt"));
    let printed = fetch(&["checkpoint", "--height", "0", "--json"], &genesis);
    assert_eq!(json(&printed)["height"], 0);
    assert_eq!(fetch(&["receipt", "--file", &id], &receipt), "");
    let (since, latest) = (genesis.display().to_string(), at("latest"));
    let reached = json(&fetch(
        &["checkpoint", "--since", &since, "--json"],
        &latest,
    ));
    let missing = cluster.client(["ledger", "receipt", "--file", &"0".repeat(64), "-o", "x"]);
    assert_eq!(run(missing).status.code(), Some(3));
    let malformed = cluster.client(["ledger", "receipt", "--record", "17"]);
    assert_eq!(run(malformed).status.code(), Some(2));
    for node in 0..cluster.len() {
        cluster.stop(node).await;
    }

    let checked = check(&receipt, &genesis);
    assert_eq!(checked.status.code(), Some(0), "{}", stderr(&checked));
    let proven = json(&String::from_utf8_lossy(&checked.stdout));
    assert_eq!(proven["kind"], "addFile");
    assert_eq!(proven["file"], id);
    assert!(proven["height"].as_u64() <= reached["height"].as_u64());
    // The first block is also in the ledger of every node.
    for folder in [cluster.node(0).ledger(), cluster.node(0).folder()] {
        let checked = check(&receipt, &folder);
        assert_eq!(checked.status.code(), Some(0), "{}", stderr(&checked));
    }
    let empty = check(&receipt, cluster.scratch());
    assert_eq!(empty.status.code(), Some(1));
    assert!(
        stderr(&empty).contains("reading the genesis block in"),
        "{}",
        stderr(&empty)
    );
    let page = python(&receipt, &genesis);
    assert!(page.status.success(), "{}", stderr(&page));
    let said = String::from_utf8_lossy(&page.stdout).into_owned();
    assert!(
        said.contains(proven["leaf"].as_str().expect("a leaf")),
        "{said}"
    );

    refused_once_changed(&receipt, &genesis, &at("forged"));
    assert_eq!(check(&at("nothing"), &genesis).status.code(), Some(3));
}

fn sha256(text: &str) -> String {
    model::Digest::of(&[text.as_bytes()]).to_string()
}
