//! One process at a time writes to a node's folder.

use std::process::Output;

use crate::harness::{Cluster, run, starling, stderr, succeed};

fn assert_refused(what: &str, output: &Output, code: i32, cluster: &Cluster) {
    let said = stderr(output);
    assert_eq!(output.status.code(), Some(code), "{what}: {said}");
    let folder = cluster.node(0).folder().display().to_string();
    assert!(said.contains(&folder), "{what}: {said}");
    let pid = cluster.pid(0).to_string();
    assert!(said.contains(&format!("number {pid}:")), "{what}: {said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_does_not_write_to_a_folder_that_a_node_uses() {
    let mut cluster = Cluster::start(1).await;
    let (folder, config) = (cluster.node(0).folder(), cluster.node(0).config.clone());
    let path = |path: &std::path::Path| path.to_str().expect("UTF-8").to_owned();
    // Other addresses, so that it is the folder that stands in the way.
    let mut second = starling(["serve", "--config", &path(&config)]);
    second.env("STARLING_HTTP_ADDRESS", "127.0.0.1:0");
    second.env("STARLING_PEER_ADDRESS", "127.0.0.1:0");
    assert_refused("serve", &run(second), 7, &cluster);
    let recover = starling(["cluster", "recover", "--yes", &path(&folder)]);
    assert_refused("recover", &run(recover), 5, &cluster);
    let export = cluster.scratch().join("all.tar");
    let mut exported = starling(["ledger", "export", "--folder"]);
    exported
        .arg(cluster.node(0).ledger())
        .arg("--to")
        .arg(&export);
    succeed(exported);
    let mut import = starling(["ledger", "import", &path(&export), "--into"]);
    import.arg(folder.join("second"));
    assert_refused("import", &run(import), 1, &cluster);
    assert!(!folder.join("second").exists());
    // It is as it was, and whoever only reads may.
    let verify = |cluster: &Cluster| {
        let mut verify = starling(["ledger", "verify", "--folder"]);
        verify.arg(cluster.node(0).ledger());
        succeed(verify)
    };
    verify(&cluster);
    cluster.api(0).append("on", None).await.expect("appended");
    // A lock ends with its process, however that ends, and no command that reads needs one.
    cluster.kill(0);
    verify(&cluster);
    cluster.restart(0).await;
    cluster.until_writable().await;
}
