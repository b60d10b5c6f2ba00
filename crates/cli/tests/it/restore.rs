//! All nodes are lost, and a new cluster goes on with what the archive or an export holds.

use std::path::Path;
use std::process::{Command, Output};

use reqwest::Method;
use serde_json::{Value, json};

use crate::api::Position;
use crate::from_archive::Archived;
use crate::harness::{Cluster, free_ports, json as parsed, run, starling, stderr, succeed};

/// `cluster restore` of nodes with these names.
pub(crate) fn restore(from: &str, out: &Path, names: &[&str], more: &[&str]) -> Output {
    let ports = free_ports(2 * names.len());
    let mut command = starling(["cluster", "restore", "--json", "--http", "plain"]);
    command.args(["--from", from, "--out"]).arg(out);
    for (name, ports) in names.iter().zip(ports.chunks(2)) {
        let node = format!("{name}=127.0.0.1:{},127.0.0.1:{}", ports[0], ports[1]);
        command.args(["--node", &node]);
    }
    command.args(more);
    run(command)
}

pub(crate) fn restored(output: &Output) -> Value {
    assert_eq!(output.status.code(), Some(0), "{}", stderr(output));
    parsed(&String::from_utf8_lossy(&output.stdout))
}

pub(crate) async fn start(cluster: &mut Cluster, restored: &Value) -> Vec<usize> {
    let nodes = restored["nodes"].as_array().expect("nodes").iter();
    let places: Vec<usize> = nodes.map(|node| cluster.adopt(node)).collect();
    for place in &places {
        cluster.spawn(*place);
    }
    for place in &places {
        cluster.until_ready(*place).await;
    }
    cluster.until_writable().await;
    places
}

async fn check_record(cluster: &Cluster, node: usize, place: Position, text: &str) {
    let path = format!("/records/{}/{}", place.height, place.index);
    let api = cluster.api(node);
    let request = api.request(Method::GET, &path);
    let request = request.header("accept", "application/octet-stream");
    let answer = api.send(request).await.expect(200, "");
    assert_eq!(answer.bytes, text.as_bytes());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_is_restored_from_the_archive_after_all_nodes_are_lost() {
    let mut archived = Archived::new().await;
    let api = archived.cluster.api(0);
    let body = b"worth keeping".repeat(1000);
    let details = json!({ "title": "Kept", "tags": ["old"] });
    let added = api.upload("kept.txt", &body, &details).await;
    let added = added.expect(201, "").json();
    let id = added["id"].as_str().expect("an id").to_owned();
    let place = api.append("kept, too", None).await.expect("appended");
    archived.cluster.stop(0).await;
    let height = archived.seal();
    let url = archived.url.clone();
    let lost = archived.cluster.node(0).folder();
    let blobs = archived.cluster.scratch().join("blobs");
    std::fs::rename(lost.join("blobs"), &blobs).expect("another disk has them");
    std::fs::remove_dir_all(&lost).expect("lost");

    let out = archived.cluster.scratch().join("new");
    let named = restore(&url, &out, &["n1"], &["--yes"]);
    assert_eq!(named.status.code(), Some(2), "{}", stderr(&named));
    assert!(
        stderr(&named).contains("n1 was a node"),
        "{}",
        stderr(&named)
    );
    // Nobody agrees; what was fetched is not fetched again.
    let unsure = restore(&url, &out, &["m1", "m2", "m3"], &[]);
    assert_eq!(unsure.status.code(), Some(1), "{}", stderr(&unsure));
    let said = stderr(&unsure);
    assert!(
        said.contains(&format!("proven   height {height}")),
        "{said}"
    );
    assert!(!out.exists());
    let made = restored(&restore(&url, &out, &["m1", "m2", "m3"], &["--yes"]));
    assert_eq!(made["restored"]["height"], height);
    assert_ne!(made["restored"]["chainId"], made["chainId"]);
    assert!(!out.with_extension("restoring").exists());
    let mut copy = Command::new("cp");
    copy.arg("-rT").arg(&blobs).arg(out.join("m1/blobs"));
    succeed(copy);

    let cluster = &mut archived.cluster;
    let places = start(cluster, &made).await;
    for node in &places {
        // With the old administrator's token.
        let api = cluster.api(*node);
        let file = api.get(&format!("/files/{id}")).await.expect(200, "");
        assert_eq!(file.json()["title"], "Kept");
        let content = api.get(&format!("/files/{id}/content")).await;
        assert!(content.expect(200, "").bytes == body);
        check_record(cluster, *node, place, "kept, too").await;
        assert_eq!(cluster.seen(*node, "n1").await["role"], "former");
    }
    let token = made["token"].as_str().expect("a token");
    let api = cluster.api(places[0]).with_token(token);
    let above = api.append("new", None).await.expect("appended");
    assert!(above.height > height + 1, "heights go on");
    cluster.until_heads_equal().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_is_restored_from_an_export_in_one_file() {
    let mut archived = Archived::new().await;
    let place = archived.cluster.api(0).append("kept", None).await;
    let place = place.expect("appended");
    archived.cluster.stop(0).await;
    let tar = archived.cluster.scratch().join("all.tar");
    let tar = tar.to_str().expect("UTF-8").to_owned();
    let mut export = starling(["ledger", "export", "--json", "--to", &tar, "--folder"]);
    export.arg(archived.cluster.node(0).ledger());
    let exported = parsed(&succeed(export));
    std::fs::remove_dir_all(archived.cluster.node(0).folder()).expect("lost");
    let out = archived.cluster.scratch().join("new");
    let made = restored(&restore(&tar, &out, &["m1"], &["--yes"]));
    assert_eq!(made["restored"]["height"], exported["height"]);
    let cluster = &mut archived.cluster;
    let node = start(cluster, &made).await[0];
    check_record(cluster, node, place, "kept").await;
    // What it holds now is again a ledger that can be checked.
    let mut verify = starling(["ledger", "verify", "--json", "--folder"]);
    verify.arg(out.join("m1/ledger"));
    assert_eq!(parsed(&succeed(verify))["ok"], true);
    let again = restore(&tar, &out, &["m4"], &["--yes"]);
    assert_eq!(again.status.code(), Some(1), "{}", stderr(&again));
    assert!(stderr(&again).contains("not empty"), "{}", stderr(&again));
}
