//! The stream of events, followed and resumed.

use std::path::PathBuf;

use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

use super::Node;

/// Reads a stream until it has shown so many events: each its name, id and data.
async fn read(answer: &mut Response, count: usize) -> Vec<(String, String, Value)> {
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    let mut text = String::new();
    while text.matches("\n\n").count() < count {
        let chunk = answer.chunk().await.unwrap().expect("more events");
        text.push_str(std::str::from_utf8(&chunk).unwrap());
    }
    let field = |event: &str, name: &str| {
        let line = event.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_default().trim().to_owned()
    };
    let events = text.split_terminator("\n\n").map(|event| {
        let data = serde_json::from_str(&field(event, "data:")).unwrap();
        (field(event, "event:"), field(event, "id:"), data)
    });
    events.collect()
}

async fn append(node: &Node) -> u64 {
    let answer = node.call(Method::POST, "/api/v1/records");
    let answer = answer.header("content-type", "application/octet-stream");
    let answer = answer.body("a record").send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::CREATED);
    answer.json::<Value>().await.unwrap()["height"]
        .as_u64()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn blocks_are_told_once_each_and_a_reader_goes_on_where_it_stopped() {
    let node = Node::start().await;
    let first = append(&node).await;
    let path = format!("/api/v1/ledger/events?from={first}");
    let mut stream = node.get(&path).await;
    let told = read(&mut stream, 1).await;
    assert_eq!(told[0].0, "block");
    assert_eq!(told[0].1, first.to_string());
    assert_eq!(told[0].2["height"], first);
    assert_eq!(told[0].2["commands"], 1);
    let second = append(&node).await;
    let told = read(&mut stream, usize::try_from(second - first).unwrap()).await;
    assert_eq!(told.last().unwrap().1, second.to_string());

    let resume = |id: &str| {
        let request = node.call(Method::GET, "/api/v1/ledger/events");
        request.header("last-event-id", id).send()
    };
    let mut resumed = resume(&first.to_string()).await.unwrap();
    assert_eq!(read(&mut resumed, 1).await[0].1, (first + 1).to_string());
    assert_eq!(resume("yesterday").await.unwrap().status(), 400);
    let stranger = node
        .stranger(Method::GET, "/api/v1/ledger/events")
        .send()
        .await;
    assert_eq!(stranger.unwrap().status(), 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_is_found_on_request_told_and_kept_aside() {
    let node = Node::start().await;
    let sent = node.call(
        Method::PUT,
        &format!("/api/v1/blobs/sha256:{}", hash(b"bytes")),
    );
    let sent = sent.header("content-type", "application/octet-stream");
    assert_eq!(sent.body("bytes").send().await.unwrap().status(), 201);
    let mut stream = node.get("/api/v1/ledger/events").await;
    let name = hash(b"bytes");
    let blob = node.blob_path(&name);
    std::fs::write(&blob, b"bytez").unwrap();

    let asked = json!({ "blobs": true, "catalogue": true });
    let answer = node.post_json("/api/v1/ledger/verify", &asked).await;
    let report: Value = answer.json().await.unwrap();
    assert_eq!(report["ok"], false);
    assert_eq!(report["faults"][0]["blob"], name);
    let told = read(&mut stream, 2).await;
    let damage: Vec<&Value> = told.iter().map(|event| &event.2).collect();
    assert!(
        damage
            .iter()
            .all(|damage| damage["blob"] == name && damage["node"] == "n1")
    );
    // Alone, there is nobody to fetch it from.
    assert_eq!(
        (&damage[0]["fate"], &damage[1]["fate"]),
        (&json!("open"), &json!("refused"))
    );
    assert!(!blob.exists() && folder(&node).join("quarantine").join(&name).exists());

    let cluster: Value = node.get("/api/v1/cluster").await.json().await.unwrap();
    assert_eq!(cluster["damage"][0]["blob"], name);
    assert_eq!(cluster["openDamage"], 1);
    let text = node.get("/metrics").await.text().await.unwrap();
    assert!(
        text.contains("starling_damage_found_total{kind=\"blob\"} 1"),
        "{text}"
    );
    assert!(text.contains("starling_damage_open 1"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edited_catalogue_is_replaced_by_what_the_ledger_says_while_the_node_serves() {
    let node = Node::start().await;
    let made = json!({ "name": "somebody", "scope": "read" });
    let made = node.post_json("/api/v1/tokens", &made).await;
    assert_eq!(made.status(), StatusCode::CREATED);
    let ask = json!({ "catalogue": true });
    let check = async || -> Value {
        let answer = node.post_json("/api/v1/ledger/verify", &ask).await;
        answer.json().await.unwrap()
    };
    assert_eq!(check().await["ok"], true);
    let file = rusqlite::Connection::open(folder(&node).join("catalogue.sqlite")).unwrap();
    let edited = file.execute("UPDATE tokens SET name = 'nobody'", []);
    assert!(edited.unwrap() > 0);
    drop(file);
    let report = check().await;
    assert_eq!(report["ok"], false, "{report}");
    assert!(
        report["faults"][0]["what"]
            .as_str()
            .unwrap()
            .contains("catalogue")
    );
    let again = check().await;
    assert_eq!(again["ok"], true, "{again}");
    let tokens = node.get("/api/v1/tokens").await.text().await.unwrap();
    assert!(
        tokens.contains("somebody") && !tokens.contains("nobody"),
        "{tokens}"
    );
    assert!(folder(&node).join("quarantine/catalogue.1.sqlite").exists());
    append(&node).await;
}

fn folder(node: &Node) -> PathBuf {
    node.home.path().join("cluster").join(&node.name)
}

fn hash(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    model::BlobId(sha2::Sha256::digest(bytes).into()).to_string()
}
