//! One order for everybody, and each thing once.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::api::Position;
use crate::harness::{Cluster, succeed};

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_on_another_node_writes_once() {
    let cluster = Cluster::start(3).await;
    let first = cluster
        .api(0)
        .append("once", Some("the-key"))
        .await
        .expect("appended");
    for node in [1, 2, 0] {
        let again = cluster.api(node).append("once", Some("the-key")).await;
        assert_eq!(again, Ok(first));
    }
    let other = cluster
        .api(1)
        .append_raw("something else", Some("the-key"))
        .await;
    other
        .expect("an answer")
        .expect(422, "idempotency_key_reused");
    cluster.until_heads_equal().await;
    for node in 0..3 {
        let records = cluster.api(node).records().await;
        let count = records.iter().filter(|(_, body)| body == b"once").count();
        assert_eq!(count, 1, "on {}", cluster.node(node).name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_request_on_all_nodes_at_once_is_one_record() {
    let cluster = Cluster::start(3).await;
    for round in 0..50 {
        let key = format!("round-{round}");
        let send = |node: usize| {
            let (api, key) = (cluster.api(node), key.clone());
            async move { api.append(&key, Some(&key)).await }
        };
        let (a, b, c) = tokio::join!(send(0), send(1), send(2));
        let first = a.expect("appended");
        assert_eq!((b, c), (Ok(first), Ok(first)), "round {round}");
    }
}

/// 3,000 random strings to random nodes: afterwards each ledger, read by a program that shares no code with ours,
/// holds each string once, in one order.
#[tokio::test(flavor = "multi_thread")]
async fn three_thousand_strings_stand_once_in_every_ledger() {
    const STRINGS: usize = 3000;
    const WRITERS: usize = 24;
    let mut cluster = Cluster::start(3).await;
    let writers = (0..WRITERS).map(|writer| {
        let nodes: Vec<_> = (0..3).map(|node| cluster.api(node)).collect();
        tokio::spawn(async move {
            let mut written = Vec::new();
            for _ in 0..STRINGS / WRITERS {
                let text = random_text();
                let node = usize::from(text.as_bytes()[0]) % nodes.len();
                let place = nodes[node].append(&text, None).await;
                written.push((
                    text,
                    place.unwrap_or_else(|why| panic!("writer {writer}: {why}")),
                ));
            }
            written
        })
    });
    let mut expected = BTreeMap::new();
    for writer in writers.collect::<Vec<_>>() {
        for (text, place) in writer.await.expect("no panic") {
            assert_eq!(
                expected.insert(place, text),
                None,
                "two records at {place:?}"
            );
        }
    }
    let (height, hash) = cluster.until_heads_equal().await;
    for node in 0..cluster.len() {
        cluster.stop(node).await;
    }
    for node in 0..cluster.len() {
        let (head, records) = verified(&cluster, node);
        assert!(
            head.contains(&format!("height={height} hash={hash}")),
            "{head}"
        );
        let ours = records.iter().filter(|(_, text)| *text != "warming up");
        assert!(
            ours.eq(expected.iter()),
            "the records of {}",
            cluster.node(node).name
        );
    }
}

/// Whoever writes at the same instant as everybody else is served, and nothing is lost or doubled.
#[tokio::test(flavor = "multi_thread")]
async fn coincident_writes_all_get_their_place() {
    const ROUNDS: usize = 1000;
    let cluster = Cluster::start(3).await;
    let mut expected = BTreeMap::new();
    let apis: Vec<_> = (0..3).map(|node| cluster.api(node)).collect();
    for round in 0..ROUNDS {
        let text = |node: usize| format!("round {round} node {node}");
        let (a, b, c) = (text(0), text(1), text(2));
        let answers = tokio::join!(
            apis[0].append(&a, None),
            apis[1].append(&b, None),
            apis[2].append(&c, None)
        );
        for (text, place) in [(a, answers.0), (b, answers.1), (c, answers.2)] {
            let place = place.unwrap_or_else(|why| panic!("{text}: {why}"));
            assert_eq!(
                expected.insert(place, text),
                None,
                "two records at {place:?}"
            );
        }
    }
    cluster.until_heads_equal().await;
    for api in &apis {
        let records = api.records().await.into_iter();
        let ours: BTreeMap<Position, String> = records
            .map(|(place, body)| (place, String::from_utf8(body).expect("UTF-8")))
            .filter(|(_, text)| text != "warming up")
            .collect();
        assert_eq!(ours, expected);
    }
}

/// What `tests/verify_ledger.py` says about a stopped node: its last line, and all records.
pub(crate) fn verified(cluster: &Cluster, node: usize) -> (String, BTreeMap<Position, String>) {
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/verify_ledger.py");
    let mut python = Command::new("python3");
    python.arg(script).arg(cluster.node(node).ledger());
    python.args(["--records", "--certificates", "20"]);
    let output = succeed(python);
    let mut records = BTreeMap::new();
    let mut verdict = String::new();
    for line in output.lines() {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [height, index, body] = fields[..] else {
            line.clone_into(&mut verdict);
            continue;
        };
        let place = Position {
            height: height.parse().expect("a height"),
            index: index.parse().expect("an index"),
        };
        let body = STANDARD.decode(body).expect("base64");
        records.insert(place, String::from_utf8(body).expect("UTF-8"));
    }
    (verdict, records)
}

fn random_text() -> String {
    let mut bytes = [0; 24];
    getrandom::fill(&mut bytes).expect("randomness");
    STANDARD.encode(bytes)
}
