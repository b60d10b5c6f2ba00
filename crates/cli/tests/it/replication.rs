//! Files' bytes survive: lost and rotten copies come back, and copies follow the voters.

use std::path::PathBuf;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::harness::{Cluster, Setup, json as parsed, succeed, until};

fn attentive() -> Setup {
    Setup {
        environment: vec![("STARLING_BLOBS_SURVEY_EVERY", "1s".to_owned())],
        ..Setup::default()
    }
}

fn bytes_of(n: usize) -> Vec<u8> {
    format!("file {n}\n").repeat(500).into_bytes()
}

async fn upload(cluster: &Cluster, through: usize, n: usize) -> String {
    let name = format!("{n}.txt");
    let api = cluster.api(through);
    let added = api.upload(&name, &bytes_of(n), &json!({})).await;
    let file = added.expect(201, "").json();
    file["id"].as_str().expect("an id").to_owned()
}

fn path(cluster: &Cluster, node: usize, id: &str) -> PathBuf {
    let folder = cluster.node(node).folder().join("blobs");
    folder.join(&id[..2]).join(&id[2..4]).join(id)
}

/// Whether a node's disk holds exactly the bytes that have this name.
fn holds(cluster: &Cluster, node: usize, id: &str) -> bool {
    let bytes = std::fs::read(path(cluster, node, id)).unwrap_or_default();
    let digest: [u8; 32] = Sha256::digest(&bytes).into();
    model::BlobId(digest).to_string() == id
}

fn holders(cluster: &Cluster, nodes: &[usize], id: &str) -> usize {
    let nodes = nodes.iter();
    nodes.filter(|node| holds(cluster, **node, id)).count()
}

/// Waits until a node says that so many losses are survived and that nothing is left to copy.
async fn until_survives(cluster: &Cluster, by: usize, losses: u64, total: usize) {
    until(
        &format!("{losses} losses of bytes are survived"),
        async || {
            let seen = cluster.api(by).get("/cluster").await.success()?.json();
            let blobs = json!({"total": total, "underReplicated": 0, "copying": 0, "bytesLeft": 0});
            (seen["survives"]["bytes"] == losses && seen["blobs"] == blobs).then_some(())
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_and_damaged_copies_come_back_by_themselves() {
    let mut cluster = Cluster::create(3).started(attentive()).await;
    let mut ids = Vec::new();
    for n in 0..6 {
        ids.push(upload(&cluster, n % 3, n).await);
    }
    // Two hold it when the upload is answered; the third fetches it.
    for node in 0..3 {
        until_survives(&cluster, node, 2, 6).await;
    }
    for id in &ids {
        assert_eq!(holders(&cluster, &[0, 1, 2], id), 3);
    }

    std::fs::remove_file(path(&cluster, 1, &ids[0])).expect("removed");
    std::fs::write(path(&cluster, 2, &ids[1]), b"cut").expect("written");
    for (node, id) in [(1, &ids[0]), (2, &ids[1])] {
        until("the copy is back", async || {
            holds(&cluster, node, id).then_some(())
        })
        .await;
    }
    let aside = cluster.node(2).folder().join("quarantine").join(&ids[1]);
    assert_eq!(std::fs::read(aside).expect("put aside"), b"cut");

    // Bytes of the same length are found by whoever reads them.
    let mut wrong = bytes_of(2);
    wrong[99] ^= 1;
    std::fs::write(path(&cluster, 0, &ids[2]), &wrong).expect("written");
    let content = format!("/files/{}/content", ids[2]);
    let read = cluster.api(0).get(&content).await.expect(200, "");
    assert_eq!(read.bytes, bytes_of(2));
    assert!(holds(&cluster, 0, &ids[2]));

    // A node whose disk was emptied of files while it was away has them all again.
    cluster.kill(1);
    until("a loss is seen", async || {
        let seen = cluster.api(0).get("/cluster").await.success()?.json();
        let survived = seen["survives"]["bytes"] == 1 && seen["blobs"]["underReplicated"] == 6;
        survived.then_some(())
    })
    .await;
    std::fs::remove_dir_all(cluster.node(1).folder().join("blobs")).expect("removed");
    cluster.restart(1).await;
    for node in [0, 1] {
        until_survives(&cluster, node, 2, 6).await;
    }
    assert!(ids.iter().all(|id| holds(&cluster, 1, id)));
    let status = succeed(cluster.client(["status"]));
    assert!(
        status.contains("6 blobs, every copy is where it belongs"),
        "{status}"
    );
}

/// So many that it does not happen that all of them belong on a fourth node, which takes three in four by chance.
const BLOBS: usize = 48;

#[tokio::test(flavor = "multi_thread")]
async fn copies_follow_the_voters() {
    let mut cluster = Cluster::create(3).started(attentive()).await;
    let mut ids = Vec::new();
    for n in 0..BLOBS {
        ids.push(upload(&cluster, 0, n).await);
    }
    until_survives(&cluster, 0, 2, BLOBS).await;

    let new = cluster.join("n4");
    cluster.until_role(0, "n4", "voter").await;
    until_survives(&cluster, 0, 2, BLOBS).await;
    until_survives(&cluster, new, 2, BLOBS).await;
    let taken = ids.iter().filter(|id| holds(&cluster, new, id)).count();
    assert!(
        taken > 0 && taken < BLOBS,
        "{taken} of {BLOBS} belong on the new node"
    );

    // The ones it holds are three times there without the one that is taken out.
    let removed: Value = parsed(&succeed(
        cluster.client(["cluster", "remove", "--json", "n2"]),
    ));
    assert!(removed.is_object());
    until_survives(&cluster, 0, 2, BLOBS).await;
    until_survives(&cluster, new, 2, BLOBS).await;
    for id in &ids {
        assert_eq!(holders(&cluster, &[0, 2, new], id), 3);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_nobody_names_are_put_aside_and_deleted_and_no_others() {
    let mut cluster = Cluster::create(1).started(attentive()).await;
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
    let aside = |cluster: &Cluster, id: &str| {
        let quarantine = cluster.node(0).folder().join("quarantine");
        quarantine.join(format!("{id}.unnamed")).exists()
    };

    // A day and more later, nothing but a record having happened. What was put aside is as old at once, since the
    // machine's clock is not the node's: so it is deleted in the next round.
    cluster.stop(0).await;
    let offset = 26 * 3_600_000;
    cluster.set(0, "STARLING_TEST_CLOCK_OFFSET_MS", &offset.to_string());
    cluster.restart(0).await;
    cluster.until_writable().await;
    for id in [&lost, &wanted] {
        until("unnamed bytes are not in their place", async || {
            (!path(&cluster, 0, id).exists()).then_some(())
        })
        .await;
    }
    assert_eq!(upload(&cluster, 0, 3).await, wanted);
    until("nothing is left aside", async || {
        let left = [&lost, &wanted].iter().any(|id| aside(&cluster, id));
        (!left).then_some(())
    })
    .await;
    assert!(!path(&cluster, 0, &lost).exists());
    for id in [&file, &wanted] {
        assert!(holds(&cluster, 0, id), "a named blob stays");
    }
    until_survives(&cluster, 0, 0, 2).await;
}
