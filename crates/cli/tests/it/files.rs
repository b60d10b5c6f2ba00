//! Files in through one node and out through another.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::harness::{Cluster, json_lines, run, starling, stderr, succeed};

/// A folder of small files that all differ.
fn folder_of(cluster: &Cluster, name: &str, count: usize) -> PathBuf {
    let folder = cluster.scratch().join(name);
    std::fs::create_dir_all(folder.join("deeper")).expect("a folder");
    for number in 0..count {
        let place = if number % 2 == 0 { "" } else { "deeper" };
        let path = folder.join(place).join(format!("{name}-{number}.txt"));
        std::fs::write(path, format!("{name} {number}\n").repeat(100)).expect("written");
    }
    folder
}

fn sha256(bytes: &[u8]) -> String {
    let digest: [u8; 32] = Sha256::digest(bytes).into();
    model::BlobId(digest).to_string()
}

/// Runs an upload and gives its exit code, its lines and its summary.
fn upload(cluster: &Cluster, path: &Path, more: &[&str]) -> (Option<i32>, Vec<Value>, Value) {
    let mut command = cluster.client(["upload", "--json"]);
    command.args(more).arg(path);
    let output = run(command);
    let mut lines = json_lines(&String::from_utf8(output.stdout.clone()).expect("UTF-8"));
    let last = lines
        .pop()
        .unwrap_or_else(|| panic!("no summary: {}", stderr(&output)));
    let summary = last["summary"].clone();
    let sum: u64 = [
        "uploaded", "planned", "present", "trashed", "excluded", "failed",
    ]
    .iter()
    .map(|count| summary[count].as_u64().expect("a count"))
    .sum();
    assert_eq!(summary["scanned"], sum, "the counts add up: {summary}");
    (output.status.code(), lines, summary)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_in_through_one_node_comes_out_of_the_others() {
    let cluster = Cluster::start(3).await;
    let bytes = b"a note about starlings".repeat(5000);
    let added = cluster
        .api(0)
        .upload("note.txt", &bytes, &json!({"tags": ["bird"]}))
        .await;
    let file = added.expect(201, "").json();
    assert_eq!(file["id"], sha256(&bytes));
    let id = file["id"].as_str().expect("an id");
    cluster.until_heads_equal().await;

    let one = |node: usize, arguments: &[&str]| {
        let mut command = starling(arguments);
        command
            .env("STARLING_URL", &cluster.node(node).url)
            .env("STARLING_TOKEN", cluster.token());
        command
    };
    let found = json_lines(&succeed(one(1, &["search", "tag:bird", "--json"])));
    assert_eq!(found.len(), 1);
    assert_eq!(found[0]["name"], "note.txt");
    let meta = json_lines(&succeed(one(1, &["get", id, "--meta"])));
    assert_eq!(meta[0], found[0]);
    let out = cluster.scratch().join("out");
    succeed(one(2, &["get", id, "-o", out.to_str().expect("UTF-8")]));
    assert_eq!(std::fs::read(&out).expect("fetched"), bytes);
    assert!(
        succeed(one(2, &["get", id])).into_bytes() == bytes,
        "and on stdout"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_keeps_its_name_whatever_it_is() {
    let cluster = Cluster::start(1).await;
    let folder = cluster.scratch().join("names");
    std::fs::create_dir(&folder).expect("a folder");
    let mut names = [
        "back\\slash.txt",
        "quo\"te.txt",
        "line\nbreak.txt",
        "50%.txt",
        "a'b; c=d.txt",
        "Ü ✈.txt",
    ];
    for name in names {
        std::fs::write(folder.join(name), name).expect("written");
    }
    let (code, _, summary) = upload(&cluster, &folder, &[]);
    assert_eq!((code, &summary["uploaded"]), (Some(0), &names.len().into()));
    let found = json_lines(&succeed(cluster.client(["search", "", "--json"])));
    let mut kept: Vec<_> = found
        .iter()
        .filter_map(|file| file["name"].as_str())
        .collect();
    kept.sort_unstable();
    names.sort_unstable();
    assert_eq!(kept, names);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_is_uploaded_once() {
    let cluster = Cluster::start(3).await;
    let folder = folder_of(&cluster, "trip", 60);
    std::fs::write(folder.join(".DS_Store"), "junk").expect("written");

    let (code, lines, summary) = upload(&cluster, &folder, &["--dry-run"]);
    assert_eq!((code, &summary["planned"]), (Some(0), &60.into()));
    assert_eq!((lines.len(), &summary["excluded"]), (61, &1.into()));

    let (code, lines, summary) = upload(
        &cluster,
        &folder,
        &["--tag", "places/uk", "--parallel", "8"],
    );
    assert_eq!((code, &summary["uploaded"]), (Some(0), &60.into()));
    let mut nodes: Vec<_> = lines
        .iter()
        .filter_map(|line| line["node"].as_str())
        .collect();
    nodes.sort_unstable();
    nodes.dedup();
    assert_eq!(nodes.len(), 3, "all nodes took part");

    cluster.until_heads_equal().await;
    let (code, _, summary) = upload(&cluster, &folder, &[]);
    assert_eq!((code, &summary["present"]), (Some(0), &60.into()));
    let tagged = cluster.client(["search", "tag:places", "--json", "--limit", "1000"]);
    assert_eq!(json_lines(&succeed(tagged)).len(), 60);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_there_gets_new_tags_and_stays_in_the_trash() {
    let cluster = Cluster::start(1).await;
    let folder = folder_of(&cluster, "tags", 2);
    upload(&cluster, &folder, &["--tag", "one"]);
    let (code, _, summary) = upload(&cluster, &folder, &["--tag", "two"]);
    assert_eq!((code, &summary["present"]), (Some(0), &2.into()));
    let both = json_lines(&succeed(cluster.client([
        "search",
        "tag:one tag:two",
        "--json",
    ])));
    assert_eq!(both.len(), 2);

    let id = both[0]["id"].as_str().expect("an id");
    let api = cluster.api(0);
    let trash = api.request(reqwest::Method::DELETE, &format!("/files/{id}"));
    api.send(trash).await.expect(200, "");
    let (code, _, summary) = upload(&cluster, &folder, &[]);
    let counts = (&summary["present"], &summary["trashed"]);
    assert_eq!((code, counts), (Some(0), (&1.into(), &1.into())));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_file_that_fails_fails_alone() {
    let cluster = Cluster::start(1).await;
    let folder = folder_of(&cluster, "some", 5);
    let missing = cluster.scratch().join("missing.jpg");
    let (code, lines, summary) = upload(&cluster, &folder, &[missing.to_str().expect("UTF-8")]);
    assert_eq!(code, Some(4));
    assert_eq!(
        (&summary["uploaded"], &summary["failed"]),
        (&5.into(), &1.into())
    );
    let failed: Vec<_> = lines
        .iter()
        .filter(|line| line["state"] == "failed")
        .collect();
    assert_eq!(failed.len(), 1);
    assert!(
        failed[0]["path"]
            .as_str()
            .is_some_and(|path| path.ends_with("missing.jpg"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_turns_to_the_nodes_that_are_left() {
    let mut cluster = Cluster::start(3).await;
    let folder = folder_of(&cluster, "left", 30);
    cluster.kill(0);
    let (code, lines, summary) = upload(&cluster, &folder, &[]);
    assert_eq!((code, &summary["uploaded"]), (Some(0), &30.into()));
    let dead = cluster.node(0).url.as_str();
    assert!(lines.iter().all(|line| line["node"] != dead));

    cluster.restart(0).await;
    cluster.until_heads_equal().await;
    cluster.kill(1);
    for line in &lines {
        let id = line["sha256"].as_str().expect("a hash");
        for node in [0, 2] {
            let bytes = cluster.api(node).get(&format!("/files/{id}/content")).await;
            assert_eq!(sha256(&bytes.expect(200, "").bytes), id);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_address_is_enough_to_find_the_others() {
    let mut cluster = Cluster::start(3).await;
    let folder = folder_of(&cluster, "known", 40);
    let mut command = cluster.client(["upload", "--json"]);
    command
        .env("STARLING_URL", &cluster.node(2).url)
        .arg(&folder);
    let lines = json_lines(&succeed(command));
    let others = lines
        .iter()
        .filter(|line| line["node"] == *cluster.node(0).url);
    assert!(others.count() > 0, "the first node took files as well");
    cluster.kill(2);
}
