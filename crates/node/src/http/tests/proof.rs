//! Receipts from a node, checked without it.

use model::receipt::STEPS_MAX;
use model::{Checkpoint, Consistency, Ed25519, MediaStep, Payload, Proven, Receipt, ReceiptError};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{Node, is, refused};

impl Node {
    async fn bytes(&self, path: &str) -> Vec<u8> {
        let answer = self.get(path).await;
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        assert_eq!(answer.headers()["content-type"], "application/octet-stream");
        assert_eq!(answer.headers()["vary"], "accept");
        answer.bytes().await.unwrap().to_vec()
    }

    async fn decoded(&self, path: &str) -> Value {
        let call = self.call(Method::GET, path);
        let answer = call.header("accept", "application/json").send().await;
        answer.unwrap().json().await.unwrap()
    }

    async fn checkpoint(&self, height: u64) -> Checkpoint {
        let path = format!("/api/v1/ledger/checkpoint?height={height}");
        Checkpoint::read(&self.bytes(&path).await).unwrap()
    }

    async fn record(&self, body: &'static str) -> (u64, u64) {
        let appended = self.call(Method::POST, "/api/v1/records").body(body);
        let place: Value = appended.send().await.unwrap().json().await.unwrap();
        (
            place["height"].as_u64().unwrap(),
            place["index"].as_u64().unwrap(),
        )
    }
}

fn check(receipt: &[u8], trust: &Checkpoint) -> Result<Proven, ReceiptError> {
    Receipt::read(receipt)?.verify(trust, &Ed25519::new(&[0; 32]))
}

#[tokio::test]
async fn a_record_is_proven_from_genesis_and_from_any_checkpoint_below() {
    let node = Node::start().await;
    let (height, index) = node.record("to be proven").await;
    let path = format!("/api/v1/records/{height}/{index}/proof");
    let receipt = node.bytes(&path).await;
    let genesis = node.checkpoint(0).await;
    assert_eq!(genesis.voters.len(), 1);
    let proven = check(&receipt, &genesis).unwrap();
    assert_eq!(
        (proven.header.height.0, u64::from(proven.index)),
        (height, index)
    );
    let payload = proven.command().unwrap().payload;
    assert_eq!(payload, Payload::Record(b"to be proven".to_vec()));
    assert!(receipt.len() <= 2048, "{}", receipt.len());

    let later = node.checkpoint(height).await;
    assert_eq!(proven.checkpoint(), later);
    assert!(check(&receipt, &later).is_ok());
    let short = node.bytes(&format!("{path}?from={height}")).await;
    assert!(check(&short, &later).is_ok());
    assert!(matches!(
        check(&short, &genesis),
        Err(ReceiptError::BeginsAbove { .. })
    ));

    let decoded = node.decoded(&path).await;
    assert_eq!(decoded["block"]["hash"], proven.hash.to_string());
    assert_eq!(decoded["block"]["command"]["kind"], "record");
    assert_eq!(decoded["block"]["signatures"].as_array().unwrap().len(), 1);
    assert_eq!(decoded["anchor"]["hash"], genesis.hash.to_string());
    assert_eq!(decoded["size"], receipt.len());

    for missing in [
        "/api/v1/records/0/0/proof",
        "/api/v1/records/99999/0/proof",
        "/api/v1/records/x/y/proof",
    ] {
        assert_eq!(
            refused(node.call(Method::GET, missing)).await,
            is(404, "not_found")
        );
    }
    let above = format!("{path}?from={}", height + 1);
    for wrong in [above, format!("{path}?from=x"), format!("{path}?form=0")] {
        let found = refused(node.call(Method::GET, &wrong)).await;
        assert_eq!(found, is(400, "invalid_parameter"), "{wrong}");
    }
    assert_eq!(
        refused(node.stranger(Method::GET, &path)).await,
        is(401, "unauthenticated")
    );
}

#[tokio::test]
async fn every_version_of_a_file_is_proven() {
    let node = Node::start().await;
    let id = node.add(b"text", "a.txt", json!({})).await;
    let file = format!("/api/v1/files/{id}");
    let edit = node.call(Method::PATCH, &file).header("if-match", "*");
    let edit = edit.json(&json!({"rating": 4})).send().await.unwrap();
    assert_eq!(edit.status(), StatusCode::OK);
    let genesis = node.checkpoint(0).await;
    let path = format!("{file}/proof");
    let kind = async |query: &str| {
        let receipt = node.bytes(&format!("{path}{query}")).await;
        assert!(receipt.len() <= 2048, "{}", receipt.len());
        let proven = check(&receipt, &genesis).unwrap();
        match proven.command().unwrap().payload {
            Payload::Media(MediaStep::Add { file, .. }) => ("added", file.to_string()),
            Payload::EditFile { file, .. } => ("edited", file.to_string()),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(kind("").await, ("added", id.clone()));
    assert_eq!(kind("?version=1").await, ("added", id.clone()));
    assert_eq!(kind("?version=2").await, ("edited", id.clone()));
    let absent = format!("/api/v1/files/{}/proof", "0".repeat(64));
    for missing in [
        format!("{path}?version=3"),
        absent,
        format!("{path}?library=other"),
    ] {
        let found = refused(node.call(Method::GET, &missing)).await;
        assert_eq!(found, is(404, "not_found"), "{missing}");
    }
}

#[tokio::test]
async fn history_is_proven_to_be_appended_to() {
    let node = Node::start().await;
    let (low, _) = node.record("a").await;
    let trust = node.checkpoint(low).await;
    let (high, _) = node.record("b").await;
    let path = format!("/api/v1/ledger/consistency?from={low}&to={high}");
    let proof = Consistency::read(&node.bytes(&path).await).unwrap();
    assert!(proof.steps.len() <= STEPS_MAX);
    let reached = proof.verify(&trust, &Ed25519::new(&[0; 32])).unwrap();
    assert_eq!(reached, node.checkpoint(high).await);
    let decoded = node.decoded(&path).await;
    assert_eq!(decoded["to"]["hash"], reached.hash.to_string());
    assert_eq!(
        (&decoded["next"], &decoded["changes"]),
        (&Value::Null, &json!([]))
    );
    let decoded = node
        .decoded(&format!("/api/v1/ledger/checkpoint?height={high}"))
        .await;
    assert_eq!(decoded["voters"][0]["name"], "n1");

    let last = node.bytes("/api/v1/ledger/checkpoint").await;
    assert!(Checkpoint::read(&last).unwrap().height.0 >= high);
    let ledger = "/api/v1/ledger";
    for wrong in [
        "consistency",
        "consistency?from=1&to=99999",
        "consistency?from=99999",
        "checkpoint?height=x",
    ] {
        let found = refused(node.call(Method::GET, &format!("{ledger}/{wrong}"))).await;
        assert_eq!(found, is(400, "invalid_parameter"), "{wrong}");
    }
    let found = refused(node.call(Method::GET, &format!("{ledger}/checkpoint?height=99999"))).await;
    assert_eq!(found, is(404, "not_found"));
}
