//! Files' bytes move into an object store and back, while nodes are killed: real processes, servers that stand for Azure
//! and S3.

use std::path::Path;

use emulators::Emulator;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::harness::{Cluster, Setup, run, stderr, succeed, until};

/// Beside it the emulators are installed.
const TMP: &str = env!("CARGO_TARGET_TMPDIR");
/// Enough that a move takes a few seconds at the rate below.
const FILES: usize = 36;
const RATE: usize = 60_000;

fn bytes_of(n: usize) -> Vec<u8> {
    format!("file {n}\n").repeat(600).into_bytes()
}

/// Nodes that know the way to a store, move slowly, look often and have room for no originals.
async fn near(emulator: &Emulator, count: usize) -> Cluster {
    let mut cluster = Cluster::create(count);
    for node in 0..count {
        for (name, value) in emulator.settings(emulator.address) {
            cluster.set(node, &name.to_uppercase(), &value);
        }
        cluster.set(node, "STARLING_BLOBS_SURVEY_EVERY", "1s");
        cluster.set(node, "STARLING_BLOBS_CACHE_BYTES", "0");
        let config = &cluster.node(node).config;
        let text = std::fs::read_to_string(config).expect("a configuration");
        let slow = format!("{text}\n[blobs]\ncopy_bytes_per_second = {RATE}\n");
        std::fs::write(config, slow).expect("written");
    }
    cluster.started(Setup::default()).await
}

async fn upload(cluster: &Cluster, through: usize, n: usize) -> String {
    let name = format!("{n}.txt");
    let api = cluster.api(through);
    let added = api.upload(&name, &bytes_of(n), &json!({})).await;
    let file = added.expect(201, "").json();
    file["id"].as_str().expect("an id").to_owned()
}

async fn originals(cluster: &Cluster, node: usize) -> Value {
    let seen = cluster.api(node).get("/cluster").await.expect(200, "");
    seen.json()["originals"].clone()
}

async fn until_stored(cluster: &Cluster, url: &str, blobs: usize) {
    for node in 0..cluster.len() {
        until("everything is in the store", async || {
            let seen = originals(cluster, node).await;
            let all = seen["stored"] == blobs && seen["pending"] == 0;
            (seen["home"] == url && all).then_some(())
        })
        .await;
    }
}

async fn until_left(cluster: &Cluster) {
    for node in 0..cluster.len() {
        until("the store is left", async || {
            let seen = originals(cluster, node).await;
            (seen["home"] == "disks" && seen["leaving"].is_null()).then_some(())
        })
        .await;
    }
}

/// Every file is what it was, from every node, and none of them has found damage.
async fn everything_is_there(cluster: &Cluster, ids: &[String]) {
    for node in 0..cluster.len() {
        let api = cluster.api(node);
        for (n, id) in ids.iter().enumerate() {
            let read = api
                .get(&format!("/files/{id}/content"))
                .await
                .expect(200, "");
            assert!(read.bytes == bytes_of(n), "file {n} on node {node}");
        }
        let seen = api.get("/cluster").await.expect(200, "").json();
        assert_eq!(seen["openDamage"], 0, "{}", seen["damage"]);
    }
}

/// The originals on a node's disk.
fn cached(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let count = entries.map(|entry| match entry.path() {
        path if path.is_dir() => cached(&path),
        _ => 1,
    });
    count.sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_library_moves_into_azure_and_back_while_nodes_are_killed() {
    let Some(azure) = emulators::azure(TMP).await else {
        return;
    };
    let (url, mut cluster) = (azure.url(), near(&azure, 3).await);
    let mut ids = Vec::new();
    for n in 0..FILES {
        ids.push(upload(&cluster, n % 3, n).await);
    }
    let moved = succeed(cluster.client(["blobs", "move", "--to", url]));
    assert!(moved.contains(url), "{moved}");
    until("some of it is there", async || {
        (originals(&cluster, 0).await["stored"].as_u64()? > 2).then_some(())
    })
    .await;
    cluster.kill(0);
    ids.push(upload(&cluster, 1, FILES).await);
    cluster.restart(0).await;
    until_stored(&cluster, url, FILES + 1).await;
    for node in 0..3 {
        let blobs = cluster.node(node).folder().join("blobs");
        until("no original is left on the disk", async || {
            (cached(&blobs) == 0).then_some(())
        })
        .await;
    }
    everything_is_there(&cluster, &ids).await;
    let status = succeed(cluster.client(["status"]));
    assert!(
        status.contains(&format!("in {url}: all {} blobs", FILES + 1)),
        "{status}"
    );
    assert!(
        status.contains("3 more losses of the files' bytes"),
        "{status}"
    );

    succeed(cluster.client(["blobs", "move", "--to", "disks"]));
    until("some of it is on a disk", async || {
        let blobs = cluster.node(1).folder().join("blobs");
        (cached(&blobs) > 2).then_some(())
    })
    .await;
    cluster.kill(1);
    cluster.restart(1).await;
    until_left(&cluster).await;
    for node in 0..3 {
        assert_eq!(
            cached(&cluster.node(node).folder().join("blobs")),
            ids.len()
        );
    }
    drop(azure);
    everything_is_there(&cluster, &ids).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_node_moves_its_library_into_s3_and_back() {
    let Some(s3) = emulators::s3(TMP).await else {
        return;
    };
    let (url, cluster) = (s3.url(), near(&s3, 1).await);
    let mut ids = Vec::new();
    for n in 0..3 {
        ids.push(upload(&cluster, 0, n).await);
    }
    let refused = run(cluster.client(["blobs", "move", "--to", "s3://no-such-bucket/x"]));
    let said = stderr(&refused);
    assert!(
        said.contains("n1 cannot use s3://no-such-bucket/x"),
        "{said}"
    );
    succeed(cluster.client(["blobs", "move", "--to", url, "--wait"]));
    ids.push(upload(&cluster, 0, 3).await);
    until_stored(&cluster, url, 4).await;
    everything_is_there(&cluster, &ids).await;
    succeed(cluster.client(["blobs", "move", "--to", "disks", "--wait"]));
    until_left(&cluster).await;
    everything_is_there(&cluster, &ids).await;
}

/// The objects below a folder whose names begin so.
fn objects(folder: &Path, id: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.path() {
            path if path.is_dir() => found.extend(objects(&path, id)),
            path => found.extend(path.to_str().map(str::to_owned)),
        }
    }
    found.retain(|path| {
        path.rsplit('/')
            .next()
            .is_some_and(|name| name.starts_with(id))
    });
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_that_nobody_names_are_put_aside_and_deleted_and_no_others() {
    let mut cluster = Cluster::create(1);
    let folder = cluster.scratch().join("store");
    std::fs::create_dir_all(&folder).expect("a folder");
    cluster.set(0, "STARLING_BLOBS_SURVEY_EVERY", "1s");
    let mut cluster = cluster.started(Setup::default()).await;
    let url = format!("file://{}", folder.display());
    succeed(cluster.client(["blobs", "move", "--to", &url, "--wait"]));
    let file = upload(&cluster, 0, 1).await;
    let put = async |cluster: &Cluster, n: usize| {
        let digest: [u8; 32] = Sha256::digest(bytes_of(n)).into();
        let id = model::BlobId(digest).to_string();
        let api = cluster.api(0);
        let request = api.request(reqwest::Method::PUT, &format!("/blobs/sha256:{id}"));
        api.send(request.body(bytes_of(n))).await.expect(201, "");
        id
    };
    let (lost, wanted) = (put(&cluster, 2).await, put(&cluster, 3).await);
    assert_eq!(objects(&folder, &lost).len(), 1);

    // A day and more later. What was put aside is as old at once, since the store's clock is not the node's.
    cluster.stop(0).await;
    let offset = 26 * 3_600_000;
    cluster.set(0, "STARLING_TEST_CLOCK_OFFSET_MS", &offset.to_string());
    cluster.restart(0).await;
    cluster.until_writable().await;
    until("an unnamed object is deleted", async || {
        objects(&folder, &lost).is_empty().then_some(())
    })
    .await;
    assert_eq!(upload(&cluster, 0, 3).await, wanted);
    until("a named one is in its place", async || {
        let of = objects(&folder, &wanted);
        (of.len() == 1 && of[0].contains("/blobs/")).then_some(())
    })
    .await;
    assert_eq!(objects(&folder, &file).len(), 1, "a named object stays");
}
