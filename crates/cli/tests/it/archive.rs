//! Taking a ledger elsewhere and back: the archive that nodes fill, exports and imports.

use std::path::Path;

use serde_json::Value;

use crate::harness::{Cluster, Setup, json, run, starling, stderr, succeed, until};

const RECORDS: u64 = 20;

async fn with_records(setup: Setup) -> Cluster {
    let cluster = Cluster::start_with(3, setup).await;
    for number in 0..RECORDS {
        let text = format!("number {number}");
        cluster.api(0).append(&text, None).await.expect("appended");
    }
    let (height, _) = cluster.until_heads_equal().await;
    // A node writes down at its leisure what is decided last.
    let folder = cluster.node(0).ledger();
    while ledger(&["verify", "--folder", path(&folder)]).1["to"] != height {}
    cluster
}

fn path(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// `starling ledger …`, its exit code, its object and what it says.
fn ledger(arguments: &[&str]) -> (i32, Value, String) {
    let output = run(starling([&["ledger"], arguments, &["--json"]].concat()));
    let said = String::from_utf8_lossy(&output.stdout);
    let object = said.lines().next().map(json).unwrap_or_default();
    (output.status.code().unwrap_or(-1), object, stderr(&output))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_is_verified_and_imported_without_any_node() {
    let cluster = with_records(Setup::default()).await;
    let (height, hash) = cluster.until_heads_equal().await;
    let folder = cluster.node(0).ledger();
    let folder = path(&folder);
    let file = cluster.scratch().join("export.tar");
    let file = path(&file);
    // The node is running.
    let (code, exported, said) = ledger(&["export", "--folder", folder, "--to", file]);
    assert_eq!(code, 0, "{said}");
    assert_eq!(exported["height"], height);
    assert_eq!(exported["hash"], hash.as_str());
    let (code, _, said) = ledger(&["export", "--folder", folder, "--to", file]);
    assert_eq!(code, 2, "a file is not replaced unasked: {said}");

    let (code, verified, said) = ledger(&["verify", "--export", file]);
    assert_eq!(code, 0, "{said}");
    assert_eq!(verified["to"], height);
    assert_eq!(verified["ok"], true);

    let into = cluster.scratch().join("restored/ledger");
    let (code, imported, said) =
        ledger(&["import", file, "--into", path(&into), "--trust", folder]);
    assert_eq!(code, 0, "{said}");
    assert_eq!(imported["height"], height);
    assert_eq!(imported["hash"], hash.as_str());
    let kept = std::fs::read_dir(into.join("segments")).expect("a folder");
    assert_eq!(kept.count(), 1);
    assert!(into.join("00000000.log").exists());
    let left = std::fs::read_dir(&into).expect("a folder");
    assert_eq!(
        left.count(),
        3,
        "the log, the segments, and that they are from elsewhere"
    );
    let (code, verified, said) = ledger(&["verify", "--folder", path(&into)]);
    assert_eq!(code, 0, "{said}");
    assert_eq!(verified["to"], height);
    assert_eq!(verified["head"], hash.as_str());
    let again = cluster.scratch().join("again.tar");
    let (code, _, said) = ledger(&["export", "--folder", path(&into), "--to", path(&again)]);
    assert_eq!(code, 0, "{said}");
    assert!(std::fs::read(file).expect("read") == std::fs::read(again).expect("read"));
    let (code, _, said) = ledger(&["import", file, "--into", path(&into)]);
    assert_eq!(code, 1, "a ledger is not overwritten: {said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_or_foreign_export_is_refused() {
    let cluster = with_records(Setup::default()).await;
    let folder = cluster.node(0).ledger();
    let folder = path(&folder);
    let store = cluster.scratch().join("store/");
    let store = format!("{}/", path(&store).trim_end_matches('/'));
    let (code, exported, said) = ledger(&["export", "--folder", folder, "--to", &store]);
    assert_eq!(code, 0, "{said}");
    let again = ledger(&["export", "--folder", folder, "--to", &store]);
    assert_eq!(again.1, exported, "what is there is left alone");

    let other = Cluster::create(1);
    let foreign = other.node(0).ledger();
    let into = cluster.scratch().join("foreign");
    let trust = path(&foreign);
    let (code, _, said) = ledger(&["import", &store, "--into", path(&into), "--trust", trust]);
    assert_eq!(code, 1);
    assert!(said.contains("another genesis block"), "{said}");

    let chain = exported["chainId"].as_str().expect("a chain");
    let segments = Path::new(&store).join(chain).join("segments");
    let mut files = std::fs::read_dir(&segments).expect("a folder");
    let segment = files.next().expect("a segment").expect("readable").path();
    let mut bytes = std::fs::read(&segment).expect("read");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&segment, bytes).expect("written");
    let (code, verified, _) = ledger(&["verify", "--export", &store]);
    assert_eq!(code, 1);
    assert_eq!(verified["ok"], false);
    assert_eq!(verified["faults"][0]["height"], 1);
    let into = cluster.scratch().join("damaged");
    let (code, imported, said) = ledger(&["import", &store, "--into", path(&into)]);
    assert_eq!(code, 4, "{said}");
    assert_eq!(imported["height"], 0, "what cannot be proved is not taken");

    for (arguments, expected) in [
        (["import", "nowhere.tar", "--into"], 3),
        (["import", "s3://user:secret@bucket", "--into"], 2),
        (["import", "file:///nowhere/at/all", "--into"], 5),
    ] {
        let into = cluster.scratch().join("none");
        let (code, _, said) = ledger(&[&arguments[..], &[path(&into)]].concat());
        assert_eq!(code, expected, "{said}");
        assert!(!said.contains("secret"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_fill_the_archive_and_say_how_far_it_is() {
    let place = tempfile::tempdir().expect("a folder");
    let url = format!("file://{}", place.path().display());
    let environment = vec![("STARLING_ARCHIVE_URL", url.clone())];
    let setup = Setup {
        environment,
        ..Setup::default()
    };
    let cluster = with_records(setup).await;
    // What a node seals after hours is made now.
    let export = cluster.scratch().join("export");
    let to = format!("{}/", path(&export));
    let folder = cluster.node(0).ledger();
    let (code, exported, said) = ledger(&["export", "--folder", path(&folder), "--to", &to]);
    assert_eq!(code, 0, "{said}");
    let sealed = export
        .join(exported["chainId"].as_str().expect("a chain"))
        .join("segments");
    for node in 0..2 {
        let segments = cluster.node(node).ledger().join("segments");
        let mut copy = std::process::Command::new("cp");
        copy.arg("-r").arg(&sealed).arg(&segments);
        succeed(copy);
    }
    for node in 0..2 {
        until("the archive is filled", async || {
            let answer = cluster.api(node).get("/cluster").await;
            let archive = answer.json()["archive"].clone();
            assert_eq!(archive["url"], url.as_str());
            (archive["height"] == exported["height"]).then_some(())
        })
        .await;
    }
    let objects = |folder: &str| {
        let folder = place
            .path()
            .join(exported["chainId"].as_str().expect("a chain"))
            .join(folder);
        std::fs::read_dir(folder).expect("a folder").count()
    };
    assert_eq!((objects("segments"), objects("manifests")), (1, 1));
    let (code, verified, said) = ledger(&["verify", "--export", &url]);
    assert_eq!(code, 0, "{said}");
    assert_eq!(verified["to"], exported["height"]);
}
