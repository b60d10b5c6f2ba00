//! Forgetting: a secret is planted, and after the purge it is on no disk.

use std::path::{Path, PathBuf};
use std::process::Command;

use model::BlobId;
use reqwest::Method;
use serde_json::json;

use crate::harness::{Cluster, Setup, json as parsed, run, starling, stderr, succeed, until};

const SECRET: &str = "unmistakable-5c1f0e93a7";

/// The files below a folder that hold one of these.
pub(crate) fn holding(folder: &Path, needles: &[Vec<u8>]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let name = entry.file_name().into_encoded_bytes();
            let bytes = if path.is_dir() {
                folders.push(path.clone());
                Vec::new()
            } else {
                std::fs::read(&path).unwrap_or_default()
            };
            let holds = |bytes: &[u8], needle: &[u8]| {
                bytes.windows(needle.len()).any(|window| window == needle)
            };
            if needles.iter().any(|n| holds(&bytes, n) || holds(&name, n)) {
                found.push(path);
            }
        }
    }
    found
}

/// What must not be found of the file with these bytes.
fn needles(id: BlobId) -> Vec<Vec<u8>> {
    vec![
        SECRET.as_bytes().to_vec(),
        id.0.to_vec(),
        id.to_string().into_bytes(),
    ]
}

fn purge(cluster: &Cluster, id: &str, more: &[&str]) -> serde_json::Value {
    let command = cluster.client([&["purge", id, "--json"], more].concat());
    parsed(&succeed(command))
}

/// Uploads a file that says the secret wherever it can, and changes it; gives its id.
async fn plant(cluster: &Cluster) -> BlobId {
    let api = cluster.api(0);
    let bytes = format!("these bytes are {SECRET}");
    let metadata = json!({ "description": format!("a {SECRET} b"), "tags": [SECRET] });
    let name = format!("{SECRET}.txt");
    let uploaded = api.upload(&name, bytes.as_bytes(), &metadata).await;
    uploaded.expect(201, "");
    let id = BlobId::of(&[bytes.as_bytes()]);
    let edit = json!({ "title": format!("of {SECRET}") });
    for key in ["one", "one", "two"] {
        let edit = api
            .request(Method::PATCH, &format!("/files/{id}"))
            .json(&edit);
        let edit = edit.header("if-match", "*").header("idempotency-key", key);
        api.send(edit).await.expect(200, "");
    }
    id
}

/// Fetches a checkpoint and a receipt of the file.
fn prove(cluster: &Cluster, id: BlobId) -> [PathBuf; 2] {
    let id = id.to_string();
    let fetched = [
        (vec!["checkpoint", "--height", "0"], "genesis"),
        (vec!["receipt", "--file", &id], "receipt"),
    ];
    fetched.map(|(arguments, name)| {
        let out = cluster.scratch().join(name);
        let mut fetch = cluster.client([vec!["ledger"], arguments].concat());
        fetch.arg("--out").arg(&out);
        succeed(fetch);
        out
    })
}

async fn until_told(cluster: &Cluster, operation: &str, summary: &str) {
    let api = cluster.api(0);
    until(summary, async || {
        let told = api.get(operation).await.expect(200, "").json();
        (told["summary"] == summary).then_some(())
    })
    .await;
}

async fn until_nothing_is_left(folders: &[PathBuf], needles: &[Vec<u8>]) {
    until("nothing is left", async || {
        let mut folders = folders.iter();
        let clear = folders.all(|folder| holding(folder, needles).is_empty());
        clear.then_some(())
    })
    .await;
}

/// Starts three nodes with an archive.
async fn archived() -> (Cluster, PathBuf) {
    let mut cluster = Cluster::create(3);
    let archive = cluster.scratch().join("archive");
    std::fs::create_dir(&archive).expect("a folder");
    for node in 0..3 {
        let url = format!("file://{}", archive.display());
        cluster.set(node, "STARLING_ARCHIVE_URL", &url);
        cluster.set(node, "STARLING_TEST_SNAPSHOT_AFTER", "1");
    }
    (cluster.started(Setup::default()).await, archive)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_planted_secret_is_on_no_disk_after_the_purge() {
    let (mut cluster, archive) = archived().await;
    let id = plant(&cluster).await;
    let needles = needles(id);
    let proofs = prove(&cluster, id);
    // The purge of another file has the ledger sealed, and so archived, with the secret in it.
    let api = cluster.api(0);
    let decoy = api.upload("decoy", b"decoy", &json!({})).await;
    let decoy = decoy.expect(201, "").json()["id"].clone();
    let purged = purge(&cluster, decoy.as_str().expect("an id"), &[]);
    assert_eq!(purged["state"], "done");
    until("the secret is archived", async || {
        (!holding(&archive, &needles).is_empty()).then_some(())
    })
    .await;
    until("snapshots hold the secret", async || {
        let nodes = (0..3).map(|node| cluster.node(node).folder());
        let mut places = nodes.chain([archive.clone()]);
        let held = |folder: PathBuf| {
            let held = holding(&folder, &needles);
            held.iter()
                .any(|path| path.extension().is_some_and(|end| end == "part"))
        };
        places.all(held).then_some(())
    })
    .await;

    cluster.stop(2).await;
    let path = format!("/files/{id}");
    let trashed = api.send(api.request(Method::DELETE, &path)).await;
    trashed.expect(200, "");
    let begun = purge(&cluster, &id.to_string(), &["--no-wait"]);
    let operation = format!("/operations/{}", begun["id"].as_str().expect("an id"));
    until_told(&cluster, &operation, "erased on 2 of 3, waiting for n3").await;
    let folder = |node: usize| cluster.node(node).folder();
    // Their word is that it is gone. Only what the eraser itself works by may go a moment later.
    for place in [&folder(0), &folder(1), &archive] {
        let left = holding(place, &[SECRET.as_bytes().to_vec()]);
        assert!(left.is_empty(), "{left:?}");
    }
    until_nothing_is_left(&[folder(0), folder(1), archive.clone()], &needles).await;
    assert!(!holding(&folder(2), &needles).is_empty());

    let all = [folder(0), folder(1), folder(2), archive];
    cluster.restart(2).await;
    until_told(&cluster, &operation, "erased on 3 of 3").await;
    until_nothing_is_left(&all, &needles).await;
    for node in 0..3 {
        cluster.api(node).get(&path).await.expect(404, "not_found");
    }
    let other = api.upload("other", b"other", &json!({})).await;
    other.expect(201, "");
    until("there is a new snapshot", async || {
        let files = holding(&all[3], &[b"starling/snapshot/v1".to_vec()]);
        (!files.is_empty()).then_some(())
    })
    .await;
    assert!(
        all.iter()
            .all(|folder| holding(folder, &needles).is_empty())
    );
    one_is_made_anew(&mut cluster).await;
    check_proofs_and_ledgers(&cluster, &proofs);
}

fn check_proofs_and_ledgers(cluster: &Cluster, [genesis, receipt]: &[PathBuf; 2]) {
    let mut check = starling(["ledger", "check", "--json", "--trust"]);
    check.arg(genesis).arg(receipt);
    let checked = run(check);
    assert_eq!(checked.status.code(), Some(0), "{}", stderr(&checked));
    for node in 0..3 {
        let mut verify = starling(["ledger", "verify", "--json", "--folder"]);
        verify.arg(cluster.node(node).ledger());
        assert_eq!(parsed(&succeed(verify))["ok"], true);
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/verify_ledger.py");
        let mut python = Command::new("python3");
        python.arg(script).arg(cluster.node(node).ledger());
        succeed(python);
    }
}

/// The nodes go on together, also one whose catalogue is made anew from the erased chain.
async fn one_is_made_anew(cluster: &mut Cluster) {
    cluster.stop(1).await;
    for file in [
        "catalogue.sqlite",
        "catalogue.sqlite-wal",
        "catalogue.sqlite-shm",
    ] {
        _ = std::fs::remove_file(cluster.node(1).folder().join(file));
    }
    cluster.restart(1).await;
    let kept = cluster
        .api(1)
        .upload("kept", b"kept", &json!({ "tags": ["t"] }))
        .await;
    kept.expect(201, "");
    let (height, _) = cluster.until_heads_equal().await;
    let mut seen = Vec::new();
    for node in 0..3 {
        let api = cluster.api(node);
        api.until_applied(height).await;
        seen.push(api.get("/files?q=tag:t").await.expect(200, "").json()["items"].clone());
    }
    assert!(seen.iter().all(|items| *items == seen[0]), "{seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_trash_is_emptied_when_its_time_has_come() {
    let keep = [("STARLING_TRASH_KEEP", "1s".to_owned())];
    let setup = Setup {
        environment: keep.to_vec(),
        ..Setup::default()
    };
    let cluster = Cluster::start_with(3, setup).await;
    let api = cluster.api(0);
    let uploaded = api.upload("gone", SECRET.as_bytes(), &json!({})).await;
    let id = uploaded.expect(201, "").json()["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    let path = format!("/files/{id}");
    let restored = api
        .upload("kept", b"kept", &json!({}))
        .await
        .expect(201, "");
    let kept = format!("/files/{}", restored.json()["id"].as_str().expect("an id"));
    for path in [&path, &kept] {
        api.send(api.request(Method::DELETE, path))
            .await
            .expect(200, "");
    }
    let restore = api.request(Method::POST, &format!("{kept}/restore"));
    api.send(restore).await.expect(200, "");
    until("it is purged", async || {
        // Time goes on with blocks.
        api.append("tick", None).await.expect("appended");
        (api.get(&path).await.status == 404).then_some(())
    })
    .await;
    api.get(&kept).await.expect(200, "");
    let needles = needles(BlobId::of(&[SECRET.as_bytes()]));
    until("nothing is left", async || {
        let mut folders = (0..3).map(|node| cluster.node(node).folder());
        folders
            .all(|folder| holding(&folder, &needles).is_empty())
            .then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn purging_is_for_administrators_and_may_be_repeated() {
    let cluster = Cluster::start(1).await;
    let api = cluster.api(0);
    let uploaded = api.upload("a", b"a", &json!({})).await.expect(201, "");
    let path = format!("/files/{}", uploaded.json()["id"].as_str().expect("an id"));
    let purge = format!("{path}?purge=true");
    let writer = api.with_token(&api.create_token("write").await);
    let refused = writer.send(writer.request(Method::DELETE, &purge)).await;
    refused.expect(403, "forbidden");
    let wrong = api.request(Method::DELETE, &format!("{path}?purge=yes"));
    api.send(wrong).await.expect(400, "invalid_parameter");
    let stale = api
        .request(Method::DELETE, &purge)
        .header("if-match", "\"v9\"");
    api.send(stale).await.expect(412, "stale_version");
    let keyed = || {
        api.request(Method::DELETE, &purge)
            .header("idempotency-key", "k")
    };
    let first = api.send(keyed()).await.expect(202, "").json();
    let again = api.send(keyed()).await.expect(202, "").json();
    assert_eq!(first["id"], again["id"]);
    let missing = api.request(Method::DELETE, &purge);
    api.send(missing).await.expect(404, "not_found");
    until("it is done", async || {
        let id = first["id"].as_str().expect("an id");
        let told = api
            .get(&format!("/operations/{id}"))
            .await
            .expect(200, "")
            .json();
        (told["summary"] == "erased on 1 of 1").then_some(())
    })
    .await;
    api.get("/operations/purge-1-0")
        .await
        .expect(404, "not_found");
    api.upload("a", b"a", &json!({})).await.expect(201, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn segments_that_come_back_from_elsewhere_are_erased_again() {
    let mut cluster = Cluster::start(1).await;
    let api = cluster.api(0);
    let uploaded = api.upload("a", SECRET.as_bytes(), &json!({})).await;
    let id = uploaded.expect(201, "").json()["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    let decoy = api
        .upload("decoy", b"decoy", &json!({}))
        .await
        .expect(201, "");
    purge(&cluster, decoy.json()["id"].as_str().expect("an id"), &[]);
    let segments = cluster.node(0).ledger().join("segments");
    let needles = needles(BlobId::of(&[SECRET.as_bytes()]));
    let held = holding(&segments, &needles);
    let [segment] = held.as_slice() else {
        panic!("not in one segment: {held:?}");
    };
    let old = std::fs::read(segment).expect("a segment");
    assert_eq!(purge(&cluster, &id, &[])["state"], "done");
    assert!(holding(&segments, &needles).is_empty());
    cluster.stop(0).await;
    std::fs::write(segment, old).expect("put back");
    std::fs::write(cluster.node(0).ledger().join("unerased"), "").expect("marked");
    cluster.restart(0).await;
    until("it is erased again", async || {
        let clear = !cluster.node(0).ledger().join("unerased").exists();
        (clear && holding(&cluster.node(0).folder(), &needles).is_empty()).then_some(())
    })
    .await;
}
