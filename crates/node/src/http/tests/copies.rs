//! Files' bytes on more than one node.

use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::files::{form, picture};
use super::{Node, is, refused};
use crate::init::HttpSecurity;

async fn three() -> Vec<Node> {
    Node::cluster(3, HttpSecurity::Plain).await
}

/// The height of an answer, to be read at least.
async fn upload(node: &Node, bytes: &[u8], name: &str) -> (String, String) {
    let added = node.upload(form(bytes, name, None)).send().await.unwrap();
    assert_eq!(added.status(), StatusCode::CREATED);
    let height = added.headers()["starling-height"]
        .to_str()
        .unwrap()
        .to_owned();
    let file: Value = added.json().await.unwrap();
    (file["id"].as_str().unwrap().to_owned(), height)
}

#[tokio::test]
async fn every_node_gives_out_what_one_has_taken() {
    let nodes = three().await;
    let (id, height) = upload(&nodes[0], &picture(), "boat.gif").await;
    let holders = nodes
        .iter()
        .filter(|node| node.blob_path(&id).exists())
        .count();
    assert!(holders >= 2, "answered only when two nodes hold the bytes");
    for node in &nodes {
        let get = |path: &str| {
            let path = format!("/api/v1/files/{id}{path}");
            node.call(Method::GET, &path)
                .header("starling-min-height", &height)
        };
        let content = get("/content").send().await.unwrap();
        assert_eq!(content.headers()["starling-node"], node.name.as_str());
        assert_eq!(content.bytes().await.unwrap(), picture());
        assert!(node.blob_path(&id).exists(), "what was fetched is kept");
        let thumbnail = get("/thumbnail").send().await.unwrap();
        assert!(thumbnail.bytes().await.unwrap().starts_with(&[0xff, 0xd8]));
    }
}

#[tokio::test]
async fn every_node_knows_the_version_of_every_other() {
    for node in three().await {
        let versions = loop {
            let cluster = node.get_json("/api/v1/cluster").await;
            let nodes = cluster["nodes"].as_array().unwrap();
            let versions: Vec<Value> = nodes.iter().map(|node| node["version"].clone()).collect();
            if !versions.contains(&Value::Null) {
                break versions;
            }
        };
        assert_eq!(versions, [env!("CARGO_PKG_VERSION"); 3]);
    }
}

#[tokio::test]
async fn a_damaged_copy_is_replaced_before_it_is_served() {
    let nodes = three().await;
    let (id, _) = upload(&nodes[0], b"the right bytes", "a.txt").await;
    std::fs::write(nodes[0].blob_path(&id), b"the wr0ng bytes").unwrap();
    let content = nodes[0].get(&format!("/api/v1/files/{id}/content")).await;
    assert_eq!(content.bytes().await.unwrap(), "the right bytes");
    assert_eq!(
        std::fs::read(nodes[0].blob_path(&id)).unwrap(),
        b"the right bytes"
    );
}

#[tokio::test]
async fn a_minority_may_be_lost_and_a_majority_may_not() {
    let mut nodes = three().await;
    nodes.pop().unwrap().stop().await;
    let (id, _) = upload(&nodes[0], b"two are enough", "a.txt").await;
    assert!(nodes[1].blob_path(&id).exists());
    nodes.pop().unwrap().stop().await;
    let node = &nodes[0];
    // What was heard from a node within the last second still counts.
    let started = Instant::now();
    let mut answer = (0, String::new());
    while answer != is(503, "no_quorum") && started.elapsed() < Duration::from_secs(10) {
        let sent = node.upload(form(b"one is not", "b.txt", None));
        answer = refused(sent.header("prefer", "wait=1")).await;
    }
    assert_eq!(answer, is(503, "no_quorum"));
    let record = node.call(Method::POST, "/api/v1/records").body("x");
    assert_eq!(refused(record).await, is(503, "no_quorum"));
    let content = node.get(&format!("/api/v1/files/{id}/content")).await;
    assert_eq!(
        content.bytes().await.unwrap(),
        "two are enough",
        "reads go on"
    );
}

#[tokio::test]
async fn a_request_repeated_on_another_node_gets_its_first_answer() {
    let nodes = three().await;
    let metadata = json!({"tags": ["x"]});
    let send = |node: &Node| {
        let upload = node.upload(form(b"once", "a.txt", Some(&metadata)));
        upload.header("idempotency-key", "u").send()
    };
    let first = send(&nodes[0]).await.unwrap();
    assert_eq!(first.status(), StatusCode::CREATED);
    let first: Value = first.json().await.unwrap();
    let again = send(&nodes[1]).await.unwrap();
    assert_eq!(again.status(), StatusCode::CREATED);
    assert_eq!(again.json::<Value>().await.unwrap(), first);
    let page = nodes[1].get_json("/api/v1/files").await;
    assert_eq!(page["total"], 1);
}
