//! Files' bytes in an object store: a folder stands for it.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::files::{form, picture};
use super::{Node, is, refused};
use crate::init::HttpSecurity;

/// Far beyond what anything takes that works.
const PATIENCE: Duration = Duration::from_secs(90);

/// A store that can be taken away.
struct Store {
    folder: tempfile::TempDir,
}

impl Store {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("store")).unwrap();
        Self { folder }
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    fn url(&self) -> String {
        format!("file://{}", self.root().display())
    }

    fn away(&self) -> PathBuf {
        self.folder.path().join("away")
    }

    fn cut(&self) {
        std::fs::rename(self.root(), self.away()).unwrap();
    }

    fn heal(&self) {
        std::fs::rename(self.away(), self.root()).unwrap();
    }

    /// The files whose names begin with a blob's, with their folders' names.
    fn objects(&self, id: &str) -> Vec<PathBuf> {
        let mut found = Vec::new();
        walk(&self.root(), &mut found);
        found.retain(|path| path.file_name().unwrap().to_string_lossy().starts_with(id));
        found
    }

    /// Where a blob's object is.
    fn object(&self, id: &str) -> Option<PathBuf> {
        let mut objects = self.objects(id).into_iter();
        objects.find(|path| path.ends_with(format!("blobs/{}/{id}", &id[..1])))
    }
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.path() {
            path if path.is_dir() => walk(&path, found),
            path => found.push(path),
        }
    }
}

/// Nodes that look often, with little room for originals.
async fn nodes(size: usize, cache_bytes: u64) -> Vec<Node> {
    Node::cluster_with(size, HttpSecurity::Plain, |_, config| {
        config.blobs.survey_every = Duration::from_secs(1);
        config.blobs.cache_bytes = cache_bytes;
    })
    .await
}

async fn upload(node: &Node, bytes: &[u8], name: &str) -> String {
    let added = node.upload(form(bytes, name, None)).send().await.unwrap();
    assert_eq!(added.status(), StatusCode::CREATED);
    let file: Value = added.json().await.unwrap();
    file["id"].as_str().unwrap().to_owned()
}

async fn move_to(node: &Node, to: &str) -> reqwest::Response {
    let path = "/api/v1/cluster/blobs";
    let moving = node.call(Method::PUT, path).json(&json!({ "to": to }));
    moving.send().await.unwrap()
}

async fn until<T>(what: &str, mut is: impl AsyncFnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(value) = is().await {
            return value;
        }
        assert!(started.elapsed() < PATIENCE, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until a node says that everything is in the store.
async fn until_stored(node: &Node, url: &str, blobs: u64) {
    until("everything is in the store", async || {
        let originals = node.get_json("/api/v1/cluster").await["originals"].clone();
        let there = originals["home"] == url && originals["pending"] == 0;
        (there && originals["stored"] == blobs).then_some(())
    })
    .await;
}

/// What a node gives that has heard of all that was answered before.
async fn content(node: &Node, id: &str) -> Vec<u8> {
    let path = format!("/api/v1/files/{id}/content?consistency=linearizable");
    let content = node.get(&path).await;
    assert_eq!(content.status(), StatusCode::OK);
    content.bytes().await.unwrap().to_vec()
}

#[tokio::test]
async fn files_move_into_a_store_and_back_while_they_are_served() {
    let (nodes, store) = (nodes(3, 0).await, Store::new());
    let before = upload(&nodes[0], b"before the move", "a.txt").await;
    let image = upload(&nodes[1], &picture(), "boat.gif").await;
    let moved = move_to(&nodes[2], &store.url()).await;
    assert_eq!(moved.status(), StatusCode::OK);
    for node in &nodes {
        until_stored(node, &store.url(), 2).await;
    }
    let stored = std::fs::read(store.object(&before).unwrap()).unwrap();
    assert_eq!(stored, b"before the move");
    let during = upload(&nodes[0], b"after the move", "b.txt").await;
    assert!(store.object(&during).is_some(), "answered when it is there");

    // There is room for nothing, so all copies go, and what is read comes back.
    for (node, id) in nodes
        .iter()
        .flat_map(|node| [&before, &image, &during].map(|id| (node, id)))
    {
        until("the copy has left the disk", async || {
            (!node.blob_path(id).exists()).then_some(())
        })
        .await;
    }
    assert_eq!(content(&nodes[1], &before).await, b"before the move");
    assert_eq!(content(&nodes[2], &during).await, b"after the move");
    let range = nodes[2].call(Method::GET, &format!("/api/v1/files/{during}/content"));
    let part = range.header("range", "bytes=6-8").send().await.unwrap();
    assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT);
    assert_eq!(part.bytes().await.unwrap(), "the");
    let thumbnail = nodes[0]
        .get(&format!("/api/v1/files/{image}/thumbnail"))
        .await;
    assert!(thumbnail.bytes().await.unwrap().starts_with(&[0xff, 0xd8]));
    let cluster = nodes[0].get_json("/api/v1/cluster").await;
    assert_eq!(cluster["survives"]["bytes"], 3, "every disk may be lost");
    assert_eq!(cluster["openDamage"], 0, "{}", cluster["damage"]);

    assert_eq!(move_to(&nodes[1], "disks").await.status(), StatusCode::OK);
    for node in &nodes {
        until("the store is left", async || {
            let cluster = node.get_json("/api/v1/cluster").await;
            let originals = &cluster["originals"];
            let left = originals["home"] == "disks" && originals["leaving"].is_null();
            (left && cluster["survives"]["bytes"] == 2).then_some(())
        })
        .await;
        for id in [&before, &image, &during] {
            assert!(node.blob_path(id).exists(), "every disk has it again");
            assert!(store.object(id).is_none());
        }
    }
    assert_eq!(content(&nodes[2], &during).await, b"after the move");
}

#[tokio::test]
async fn without_its_store_a_cluster_reads_what_it_has_and_takes_nothing() {
    let (nodes, store) = (nodes(3, 1 << 30).await, Store::new());
    let id = upload(&nodes[0], b"here and there", "a.txt").await;
    assert_eq!(
        move_to(&nodes[0], &store.url()).await.status(),
        StatusCode::OK
    );
    for node in &nodes {
        until_stored(node, &store.url(), 1).await;
    }
    store.cut();
    let refusal = refused(nodes[0].upload(form(b"to nowhere", "b.txt", None))).await;
    assert_eq!(refusal, is(503, "store_unavailable"));
    assert_eq!(content(&nodes[0], &id).await, b"here and there");
    until("it is said", async || {
        let originals = nodes[0].get_json("/api/v1/cluster").await["originals"].clone();
        let error = originals["lastError"].as_str()?.to_owned();
        error.contains(&store.url()).then_some(())
    })
    .await;
    let metrics = nodes[0].get("/metrics").await.text().await.unwrap();
    assert!(metrics.contains("starling_store_failing 1"), "{metrics}");
    store.heal();
    let later = until("uploads are taken again", async || {
        let sent = nodes[0]
            .upload(form(b"to the store", "b.txt", None))
            .send()
            .await
            .unwrap();
        let added = sent.status() == StatusCode::CREATED;
        let file: Value = sent.json().await.unwrap();
        added.then(|| file["id"].as_str().unwrap().to_owned())
    })
    .await;
    assert!(store.object(&later).is_some());
    until("it is well", async || {
        let cluster = nodes[0].get_json("/api/v1/cluster").await;
        cluster["originals"]["lastError"].is_null().then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_store_that_a_node_cannot_use_is_not_moved_to() {
    let (nodes, store) = (nodes(2, 0).await, Store::new());
    let nowhere = format!("{}/nowhere", store.url());
    let answer = move_to(&nodes[0], &nowhere).await;
    assert_eq!(answer.status(), StatusCode::CONFLICT);
    let problem: Value = answer.json().await.unwrap();
    assert_eq!(problem["code"], "store_unproven");
    for name in ["n1", "n2"] {
        let named = format!("{name} cannot use {nowhere}");
        assert!(
            problem["detail"].as_str().unwrap().contains(&named),
            "{problem}"
        );
    }
    for wrong in ["az://user:SECRET@c/p", "ftp://somewhere", "tapes", ""] {
        let answer = move_to(&nodes[0], wrong).await;
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{wrong}");
        assert!(!answer.text().await.unwrap().contains("SECRET"));
    }
    let cluster = nodes[0].get_json("/api/v1/cluster").await;
    assert_eq!(cluster["originals"]["home"], "disks");
    assert_eq!(
        move_to(&nodes[0], &store.url()).await.status(),
        StatusCode::OK
    );
    let other = Store::new();
    let refused = move_to(&nodes[1], &other.url()).await;
    assert_eq!(refused.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let problem: Value = refused.json().await.unwrap();
    assert!(
        problem["detail"].as_str().unwrap().contains(&store.url()),
        "{problem}"
    );
}

#[tokio::test]
async fn a_damaged_object_is_never_given_out_and_is_stored_anew() {
    let (nodes, store) = (nodes(2, 1 << 30).await, Store::new());
    assert_eq!(
        move_to(&nodes[0], &store.url()).await.status(),
        StatusCode::OK
    );
    for node in &nodes {
        until_stored(node, &store.url(), 0).await;
    }
    let id = upload(&nodes[0], b"the right bytes", "a.txt").await;
    let object = store.object(&id).unwrap();
    std::fs::write(&object, b"the wr0ng bytes").unwrap();
    // The other node has no copy: it gets one from the first.
    assert_eq!(content(&nodes[1], &id).await, b"the right bytes");
    until("the reading of objects has found it", async || {
        let cluster = nodes[1].get_json("/api/v1/cluster").await;
        let damage = cluster["damage"].as_array().unwrap().clone();
        let found = damage
            .iter()
            .any(|one| one["kind"] == "object" && one["fate"] == "repaired");
        let other = nodes[0].get_json("/api/v1/cluster").await;
        let damage = other["damage"].as_array().unwrap().clone();
        let others = damage
            .iter()
            .any(|one| one["kind"] == "object" && one["fate"] == "repaired");
        (found || others).then_some(())
    })
    .await;
    assert_eq!(std::fs::read(object).unwrap(), b"the right bytes");
    assert!(store.objects(&id).len() > 1, "what was damaged is kept");
}

#[tokio::test]
async fn a_purged_file_is_taken_out_of_the_store_before_that_is_said() {
    let (nodes, store) = (nodes(3, 0).await, Store::new());
    assert_eq!(
        move_to(&nodes[0], &store.url()).await.status(),
        StatusCode::OK
    );
    for node in &nodes {
        until_stored(node, &store.url(), 0).await;
    }
    let (gone, kept) = (
        upload(&nodes[0], b"to be forgotten", "a.txt").await,
        upload(&nodes[0], b"to be kept", "b.txt").await,
    );
    let path = format!("/api/v1/files/{gone}?purge=true");
    let purged = nodes[0].call(Method::DELETE, &path).send().await.unwrap();
    assert!(purged.status().is_success(), "{}", purged.status());
    let operation: Value = purged.json().await.unwrap();
    let operation = operation["id"].as_str().unwrap().to_owned();
    until("it is erased", async || {
        let seen = nodes[0]
            .get_json(&format!("/api/v1/operations/{operation}"))
            .await;
        (seen["state"] == "done").then_some(())
    })
    .await;
    assert_eq!(store.objects(&gone), Vec::<PathBuf>::new());
    assert!(store.object(&kept).is_some());
    // The same bytes again are a new file, and stay.
    assert_eq!(upload(&nodes[2], b"to be forgotten", "c.txt").await, gone);
    assert!(store.object(&gone).is_some());
}

#[tokio::test]
async fn bytes_that_come_again_during_their_purge_are_there_or_purged_and_never_lost() {
    let (nodes, store) = (nodes(3, 0).await, Store::new());
    let moved = move_to(&nodes[0], &store.url()).await;
    assert_eq!(moved.status(), StatusCode::OK);
    for node in &nodes {
        until_stored(node, &store.url(), 0).await;
    }
    let bytes = b"purged and put again";
    let id = upload(&nodes[0], bytes, "a.txt").await;
    for _ in 0..6 {
        let path = format!("/api/v1/files/{id}?purge=true");
        let purging = nodes[1].call(Method::DELETE, &path).send();
        let adding = nodes[0].upload(form(bytes, "a.txt", None)).send();
        let (purged, added) = tokio::join!(purging, adding);
        let (purged, added) = (purged.unwrap().status(), added.unwrap());
        assert!(added.status().is_success(), "{}", added.status());
        assert!(purged.is_success() || purged.is_client_error(), "{purged}");
        let height = added.headers()["starling-height"].clone();
        let reading = nodes[2].call(Method::GET, &format!("/api/v1/files/{id}/content"));
        let read = reading
            .header("starling-min-height", height)
            .send()
            .await
            .unwrap();
        match read.status() {
            StatusCode::NOT_FOUND => {}
            StatusCode::OK => assert_eq!(read.bytes().await.unwrap(), &bytes[..]),
            other => panic!("{other}: {}", read.text().await.unwrap()),
        }
    }
    // Whatever came last: in the end the bytes are in the store. Copies stay for as long as a purge may be under way.
    let last = nodes[0].upload(form(bytes, "a.txt", None)).send().await;
    assert!(last.unwrap().status().is_success());
    for node in &nodes {
        until_stored(node, &store.url(), 1).await;
    }
    for node in &nodes {
        assert_eq!(content(node, &id).await, bytes);
    }
}
