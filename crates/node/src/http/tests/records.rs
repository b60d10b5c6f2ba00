//! Raw records and the chain they stand in.

use model::codec::Decode as _;
use model::{Decided, Digest};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{Node, is, refused};

#[tokio::test]
async fn a_record_is_appended_read_and_listed() {
    let node = Node::start().await;
    let written = node
        .call(Method::POST, "/api/v1/records")
        .body("hello")
        .send()
        .await
        .unwrap();
    assert_eq!(written.status(), StatusCode::CREATED);
    let location = written.headers()["location"].to_str().unwrap().to_owned();
    let place: Value = written.json().await.unwrap();
    let sha256 = Digest::of(&[b"hello"]).to_string();
    assert_eq!(place["sha256"], sha256.as_str());
    assert_eq!(
        location,
        format!("/api/v1/records/{}/{}", place["height"], place["index"])
    );

    let read = node.get(&location).await;
    assert_eq!(read.headers()["content-type"], "application/octet-stream");
    assert_eq!(read.headers()["etag"], format!("\"{sha256}\"").as_str());
    assert_eq!(read.bytes().await.unwrap(), "hello");
    let tag = format!("\"{sha256}\"");
    let known = node
        .call(Method::GET, &location)
        .header("if-none-match", tag);
    assert_eq!(
        known.send().await.unwrap().status(),
        StatusCode::NOT_MODIFIED
    );

    let list = node
        .get_json(&format!("/api/v1/records?from={}", place["height"]))
        .await;
    assert_eq!(list["items"][0]["body"], "aGVsbG8=");
    assert_eq!(list["items"][0]["size"], 5);
    assert_eq!(list["nextCursor"], Value::Null);
    for missing in [
        "/api/v1/records/0/0",
        "/api/v1/records/99999/0",
        "/api/v1/records/x/y",
    ] {
        assert_eq!(
            refused(node.call(Method::GET, missing)).await,
            is(404, "not_found")
        );
    }
}

#[tokio::test]
async fn a_repeated_request_is_one_record() {
    let node = Node::start().await;
    let append = |key: &str, body: &'static str| {
        node.call(Method::POST, "/api/v1/records")
            .header("idempotency-key", key)
            .body(body)
    };
    let first: Value = append("k1", "a")
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    let again: Value = append("k1", "a")
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    let other: Value = append("k2", "a")
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(first, again);
    assert_ne!(first, other);
    assert_eq!(
        refused(append("k1", "b")).await,
        is(422, "idempotency_key_reused")
    );
    assert_eq!(refused(append("", "b")).await, is(400, "invalid_header"));
    assert_eq!(
        refused(append(&"k".repeat(129), "b")).await,
        is(400, "invalid_header")
    );

    let mut bodies = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = node
            .get_json(&format!("/api/v1/records?limit=1{cursor}"))
            .await;
        bodies.extend(
            page["items"]
                .as_array()
                .unwrap()
                .iter()
                .map(|item| item["body"].clone()),
        );
        let Some(next) = page["nextCursor"].as_str() else {
            break;
        };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(
        bodies,
        ["Zmlyc3Q=", "YQ==", "YQ=="],
        "what came first, and two of three"
    );
}

#[tokio::test]
async fn a_record_over_the_limit_is_refused() {
    let node = Node::start().await;
    let append = |size| {
        node.call(Method::POST, "/api/v1/records")
            .body(vec![7_u8; size])
    };
    let largest = append(64 << 10).send().await.unwrap();
    assert_eq!(largest.status(), StatusCode::CREATED);
    assert_eq!(refused(append((64 << 10) + 1)).await, is(413, "too_large"));
    assert_eq!(refused(append(8 << 20)).await, is(413, "too_large"));
    let chunks =
        futures::stream::iter([0, 1].map(|_| Ok::<_, std::io::Error>(vec![7_u8; 40 << 10])));
    let unannounced = reqwest::Body::wrap_stream(chunks);
    let unannounced = node.call(Method::POST, "/api/v1/records").body(unannounced);
    assert_eq!(refused(unannounced).await, is(413, "too_large"));
    let empty = append(0).send().await.unwrap();
    assert_eq!(empty.status(), StatusCode::CREATED);
}

#[tokio::test]
async fn the_chain_can_be_read_and_checked() {
    let node = Node::start().await;
    for body in ["a", "b", "c"] {
        node.call(Method::POST, "/api/v1/records")
            .body(body)
            .send()
            .await
            .unwrap();
    }
    let head = node.get_json("/api/v1/ledger/head").await;
    let height = head["height"].as_u64().unwrap();
    let block = node
        .get_json(&format!("/api/v1/ledger/blocks/{height}"))
        .await;
    for member in ["height", "hash", "parent", "time"] {
        assert_eq!(block[member], head[member], "{member}");
    }
    assert_eq!(block["commands"][0]["kind"], "record");
    assert_eq!(
        block["certificate"]["signatures"].as_array().unwrap().len(),
        1
    );

    let bytes = node
        .call(Method::GET, &format!("/api/v1/ledger/blocks/{height}"))
        .header("accept", "application/octet-stream")
        .send()
        .await
        .unwrap();
    let decided = Decided::from_bytes(&bytes.bytes().await.unwrap()).unwrap();
    assert_eq!(
        decided.block.hash().to_string(),
        head["hash"].as_str().unwrap()
    );

    let first = node.get_json("/api/v1/ledger/blocks?limit=2").await;
    assert_eq!(first["items"][0]["parent"], Value::Null);
    assert_eq!(first["items"][1]["parent"], first["items"][0]["hash"]);
    let cursor = first["nextCursor"].as_str().unwrap();
    let next = node
        .get_json(&format!("/api/v1/ledger/blocks?cursor={cursor}"))
        .await;
    assert_eq!(next["items"][0]["parent"], first["items"][1]["hash"]);

    let verdict = node
        .post_json("/api/v1/ledger/verify", &json!({"from": 0}))
        .await;
    let verdict: Value = verdict.json().await.unwrap();
    assert_eq!(
        (&verdict["ok"], &verdict["faults"]),
        (&json!(true), &json!([]))
    );
    assert!(verdict["to"].as_u64().unwrap() >= height);
    let wrong = node
        .call(Method::POST, "/api/v1/ledger/verify")
        .json(&json!({"form": 1}));
    assert_eq!(refused(wrong).await, is(400, "invalid_body"));
    let wrong = node.call(Method::GET, "/api/v1/ledger/blocks/abc");
    assert_eq!(refused(wrong).await, is(400, "invalid_parameter"));
}
