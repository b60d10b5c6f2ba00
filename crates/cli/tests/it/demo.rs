//! `starling demo` as its first users meet it.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::api::Api;
use crate::harness::{
    free_ports, is_alive, json, run, send_signal, starling, stderr, succeed, until,
};

/// A running demo and what it said of itself.
struct Demo {
    process: Child,
    said: Value,
}

impl Demo {
    /// Starts a demo in `folder` and waits until it says that all nodes serve.
    fn start(folder: &Path, more: &[&str]) -> Self {
        Self::run(command(folder, more))
    }

    fn run(mut command: Command) -> Self {
        let mut process = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a process");
        let mut line = String::new();
        let stdout = process.stdout.take().expect("piped");
        BufReader::new(stdout).read_line(&mut line).expect("UTF-8");
        assert!(!line.is_empty(), "the demo ended: {:?}", process.wait());
        Self {
            process,
            said: json(&line),
        }
    }

    fn nodes(&self) -> &[Value] {
        self.said["nodes"].as_array().expect("nodes")
    }

    fn pids(&self) -> Vec<u32> {
        let pid = |node: &Value| node["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok());
        self.nodes()
            .iter()
            .map(|node| pid(node).expect("a pid"))
            .collect()
    }

    fn token(&self) -> &str {
        self.said["token"].as_str().expect("a token")
    }

    fn api(&self, node: usize) -> Api {
        Api::new(
            self.nodes()[node]["url"].as_str().expect("a url"),
            self.token(),
        )
    }

    /// Asks it to stop and waits until it and all of its nodes are gone.
    async fn stop(mut self) {
        send_signal(self.process.id(), "TERM");
        let process = &mut self.process;
        let status = until("the demo ends", async || {
            process.try_wait().expect("watched")
        })
        .await;
        assert!(status.success(), "{status}");
        let left: Vec<u32> = self
            .pids()
            .into_iter()
            .filter(|pid| is_alive(*pid))
            .collect();
        assert_eq!(left, [0_u32; 0], "no process is left behind");
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// An empty demo. At its first start it takes ports that no other test uses.
fn command(folder: &Path, more: &[&str]) -> Command {
    let folder = folder.join("demo");
    let mut command = starling(["demo", "--json", "--empty", "--dir"]);
    command.arg(&folder).args(more);
    if !folder.exists() {
        command.args(["--port", &ports_for_a_demo().to_string()]);
    }
    command
}

/// The first of some ports; the demo looks for its peers' ports 100 above.
fn ports_for_a_demo() -> u16 {
    free_ports(120)[0]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_demo_starts_serves_and_leaves_no_process_behind() {
    let folder = tempfile::tempdir().expect("a folder");
    let demo = Demo::start(folder.path(), &[]);
    assert_eq!(demo.nodes().len(), 3);
    assert_eq!(demo.said["chainId"].as_str().map(str::len), Some(32));
    for node in 0..3 {
        let api = demo.api(node);
        until("a node takes writes", async || {
            api.append("hello", None).await.ok()
        })
        .await;
        let config = demo.nodes()[node]["config"].as_str().expect("a path");
        assert!(Path::new(config).is_file());
    }
    let cluster = demo.api(0).get("/cluster").await.json();
    let ids = |nodes: &Value| {
        let nodes = nodes.as_array().expect("nodes").iter();
        nodes.map(|node| node["id"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(ids(&cluster["nodes"]), ids(&demo.said["nodes"]));
    demo.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_demo_goes_on_with_what_is_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let first = Demo::start(folder.path(), &[]);
    let (token, chain) = (first.token().to_owned(), first.said["chainId"].clone());
    let api = first.api(1);
    let place = until("it takes writes", async || {
        api.append("kept", None).await.ok()
    })
    .await;
    first.stop().await;

    let second = Demo::start(folder.path(), &[]);
    assert_eq!(
        (second.token(), &second.said["chainId"]),
        (token.as_str(), &chain)
    );
    let path = format!("/records/{}/{}", place.height, place.index);
    for node in 0..3 {
        let api = second.api(node);
        let bytes = until("the record is there", async || {
            api.get(&path).await.success().map(|answer| answer.bytes)
        })
        .await;
        assert_eq!(bytes, b"kept");
    }
    second.stop().await;

    let other_shape = run(command(folder.path(), &["--nodes", "5"]));
    assert_eq!(
        other_shape.status.code(),
        Some(2),
        "{}",
        stderr(&other_shape)
    );
    let token_file = std::fs::read_to_string(folder.path().join("demo/token")).expect("a token");
    assert_eq!(token_file.trim(), token);
}

#[tokio::test(flavor = "multi_thread")]
async fn beside_a_demo_nobody_needs_a_token() {
    let folder = tempfile::tempdir().expect("a folder");
    let port = ports_for_a_demo().to_string();
    let mut command = starling(["demo", "--json", "--empty", "--nodes", "1", "--port", &port]);
    command.env("XDG_DATA_HOME", folder.path());
    let demo = Demo::run(command);
    assert!(folder.path().join("starling/demo/n1/node.toml").is_file());
    let url = demo.nodes()[0]["url"].as_str().expect("a url");
    let mut status = starling(["status", "--url", url]);
    status.env("XDG_DATA_HOME", folder.path());
    succeed(status);
    demo.stop().await;
}

#[test]
fn a_busy_port_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let taken = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let port = taken.local_addr().expect("bound").port().to_string();
    let mut demo = starling(["demo", "--nodes", "1", "--port", &port, "--dir"]);
    demo.arg(folder.path().join("demo"));
    let output = run(demo);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains(&port), "{}", stderr(&output));
    assert!(!folder.path().join("demo").exists(), "nothing was made");
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_do_not_outlive_a_demo_that_was_killed() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut demo = Demo::start(folder.path(), &["--nodes", "2"]);
    let pids = demo.pids();
    assert!(pids.iter().all(|pid| is_alive(*pid)));
    demo.process.kill().expect("killed");
    until("the nodes are gone", async || {
        (!pids.iter().any(|pid| is_alive(*pid))).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_node_is_reported_and_may_be_started_by_hand() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut demo = Demo::start(folder.path(), &[]);
    send_signal(demo.pids()[1], "KILL");
    let api = demo.api(0);
    until("the others take writes", async || {
        api.append("on two", None).await.ok()
    })
    .await;
    assert!(
        demo.process.try_wait().expect("watched").is_none(),
        "the demo goes on"
    );

    let mut by_hand = starling(["serve", "--config"])
        .arg(demo.nodes()[1]["config"].as_str().expect("a path"))
        .stderr(Stdio::null())
        .spawn()
        .expect("a process");
    let api = demo.api(1);
    until("it takes writes again", async || {
        api.append("on three", None).await.ok()
    })
    .await;
    send_signal(by_hand.id(), "TERM");
    let status = until("it ends", async || by_hand.try_wait().expect("watched")).await;
    assert!(status.success(), "{status}");
    demo.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sample_photos_can_be_found() {
    let folder = tempfile::tempdir().expect("a folder");
    let port = ports_for_a_demo().to_string();
    let mut command = starling(["demo", "--json", "--nodes", "1", "--port", &port, "--dir"]);
    command.arg(folder.path().join("demo"));
    let demo = Demo::run(command);
    let api = demo.api(0);
    let photos = until("a few photos are there", async || {
        let found = api.get("/files?q=type:photo&limit=3").await.json();
        (found["items"].as_array()?.len() == 3).then_some(found)
    })
    .await;
    let photo = &photos["items"][0];
    assert!(
        photo["title"].is_string() && photo["tags"][0].is_string(),
        "{photo}"
    );
    let id = photo["id"].as_str().expect("an id");
    let thumbnail = api.get(&format!("/files/{id}/thumbnail?size=256")).await;
    assert_eq!(
        thumbnail.expect(200, "").header("content-type"),
        "image/jpeg"
    );
    demo.stop().await;
}
