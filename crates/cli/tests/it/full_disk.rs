//! A node whose disk is full refuses writes, serves reads, and goes on by itself when there is room.

use reqwest::Method;
use serde_json::json;

use crate::harness::{Cluster, Setup, fill, until};

const MEGABYTES: u32 = 24;

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_writes_and_serves_reads_until_there_is_room() {
    let mut cluster = Cluster::create(3);
    if !cluster.put_on_small_disk(0, MEGABYTES) {
        eprintln!("skipped: mounting a small file system needs root");
        return;
    }
    let cluster = cluster.started(Setup::default()).await;
    let full = cluster.api(0);
    let place = full.append("before", None).await.expect("appended");
    let before = full.upload("before.txt", b"before", &json!({})).await;
    let before = before.expect(201, "");
    cluster.until_heads_equal().await;

    let ballast = fill(&cluster.node(0).folder());
    let mut number = 0;
    let refused = until("the full disk is noticed", async || {
        number += 1;
        let text = format!("while full {number} ").repeat(2000);
        let kept = cluster.api(1).append(&text, None).await;
        kept.expect("the others take writes");
        let answer = full.append_raw("x", None).await.expect("an answer");
        (answer.status == 507).then_some(answer)
    })
    .await;
    assert_eq!(refused.code(), "disk_full");
    let upload = full.upload("no.txt", &[1; 100_000], &json!({})).await;
    upload.expect(507, "disk_full");
    let during = cluster.api(1);
    let during = during.upload("during.txt", b"during", &json!({})).await;
    during.expect(201, "");
    let path = format!("/files/{}", before.json()["id"].as_str().expect("an id"));
    for number in 0..100 {
        let edit = json!({ "description": format!("edit {number} ").repeat(100) });
        let others = cluster.api(1 + number % 2);
        let request = others.request(Method::PATCH, &path).header("if-match", "*");
        others.send(request.json(&edit)).await.expect(200, "");
    }
    let record = format!("/records/{}/{}", place.height, place.index);
    let answer = full.send(full.request(Method::GET, &record)).await;
    assert_eq!(answer.expect(200, "").bytes, b"before");
    let found = full.get("/files?q=before").await.expect(200, "").json();
    assert_eq!(found["items"][0]["name"], "before.txt");

    std::fs::remove_file(ballast).expect("room is made");
    until("it takes writes again", async || {
        full.append("after", None).await.ok()
    })
    .await;
    cluster.until_heads_equal().await;
    let found = full.get("/files?q=during").await.expect(200, "").json();
    assert_eq!(found["items"][0]["name"], "during.txt");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_killed_on_a_full_disk_comes_back_when_there_is_room() {
    let mut cluster = Cluster::create(3);
    if !cluster.put_on_small_disk(0, MEGABYTES) {
        eprintln!("skipped: mounting a small file system needs root");
        return;
    }
    let mut cluster = cluster.started(Setup::default()).await;
    cluster.api(0).append("kept", None).await.expect("appended");
    cluster.until_heads_equal().await;
    let ballast = fill(&cluster.node(0).folder());
    for number in 0..20 {
        let text = format!("while full {number} ").repeat(2000);
        let kept = cluster.api(1).append(&text, None).await;
        kept.expect("the others take writes");
    }
    cluster.kill(0);
    cluster.spawn(0);
    std::fs::remove_file(ballast).expect("room is made");
    cluster.until_ready(0).await;
    cluster.until_heads_equal().await;
    cluster
        .api(0)
        .append("after", None)
        .await
        .expect("appended");
}
