//! The API of real nodes over loopback, and the document that describes it.

mod access;
mod copies;
mod document;
mod events;
mod evidence;
mod export;
mod files;
mod media;
mod metrics;
mod originals;
mod own;
mod people;
mod proof;
mod prune;
mod records;
mod rights;
mod search;
mod shares;
mod stopping;

use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use serde_json::Value;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::config::NodeConfig;
use crate::init::{ClusterPlan, CreatedCluster, HttpSecurity, NodePlan, create_cluster};

/// Far beyond what anything takes that works, also on a busy machine.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

/// A node that runs until it is dropped.
struct Node {
    name: String,
    client: Client,
    url: String,
    token: String,
    home: Arc<TempDir>,
    stop: CancellationToken,
    serving: JoinHandle<()>,
}

impl Drop for Node {
    fn drop(&mut self) {
        self.stop.cancel();
        self.serving.abort();
    }
}

impl Node {
    /// A cluster of one.
    async fn start() -> Self {
        Self::start_with(HttpSecurity::Plain).await
    }

    async fn start_with(security: HttpSecurity) -> Self {
        let node = Self::cluster(1, security).await.pop();
        node.expect("a cluster of one has a node")
    }

    /// A cluster whose nodes all decide.
    async fn cluster(size: usize, security: HttpSecurity) -> Vec<Self> {
        Self::cluster_with(size, security, |_, _| {}).await
    }

    /// The same, with other settings for the node at a place.
    async fn cluster_with(
        size: usize,
        security: HttpSecurity,
        set: impl Fn(usize, &mut NodeConfig),
    ) -> Vec<Self> {
        // The first test to come installs it for all.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let home = Arc::new(tempfile::tempdir().unwrap());
        let plan = ClusterPlan {
            folder: home.path().join("cluster"),
            nodes: (1..=size).map(plan).collect(),
            http: security,
        };
        let cluster = create_cluster(&plan).unwrap();
        let nodes: Vec<Self> = (0..size)
            .map(|at| Self::serve(&cluster, at, &home, |config| set(at, config)))
            .collect();
        for node in &nodes {
            node.wait_until_it_decides().await;
        }
        nodes
    }

    fn serve(
        cluster: &CreatedCluster,
        at: usize,
        home: &Arc<TempDir>,
        set: impl Fn(&mut NodeConfig),
    ) -> Self {
        let mut config = NodeConfig::load(&cluster.nodes[at].config).unwrap();
        // What is installed on the machine that runs the tests must make no difference to them.
        config.media.decoders = Some(String::new());
        set(&mut config);
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        Self {
            name: config.name.clone(),
            client: client(&std::fs::read(&cluster.authority).unwrap()),
            url: cluster.nodes[at].url.clone(),
            token: cluster.token.clone(),
            home: Arc::clone(home),
            stop,
            serving: tokio::spawn(async move { crate::serve(config, stopped).await.unwrap() }),
        }
    }

    fn config(&self) -> NodeConfig {
        let folder = self.home.path().join("cluster").join(&self.name);
        NodeConfig::load(&folder.join(crate::config::FILE_NAME)).unwrap()
    }

    /// Stops it as an operator would.
    async fn stop(mut self) {
        self.stop.cancel();
        (&mut self.serving).await.unwrap();
    }

    /// A write is refused until the node serves and votes.
    async fn wait_until_it_decides(&self) {
        let begun = std::time::Instant::now();
        while begun.elapsed() < PATIENCE {
            let answer = self
                .call(Method::POST, "/api/v1/records")
                .body("first")
                .send()
                .await;
            if answer.is_ok_and(|answer| answer.status() == StatusCode::CREATED) {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        panic!("the node did not come up");
    }

    /// A call without a token.
    fn stranger(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url))
    }

    /// A call by the administrator.
    fn call(&self, method: Method, path: &str) -> RequestBuilder {
        self.stranger(method, path).bearer_auth(&self.token)
    }

    async fn get(&self, path: &str) -> Response {
        self.call(Method::GET, path).send().await.unwrap()
    }

    async fn get_json(&self, path: &str) -> Value {
        let answer = self.get(path).await;
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        answer.json().await.unwrap()
    }

    async fn post_json(&self, path: &str, body: &Value) -> Response {
        self.call(Method::POST, path)
            .json(body)
            .send()
            .await
            .unwrap()
    }

    /// Where the node keeps a blob.
    fn blob_path(&self, sha256: &str) -> PathBuf {
        let node = self.home.path().join("cluster").join(&self.name);
        node.join("blobs")
            .join(&sha256[..2])
            .join(&sha256[2..4])
            .join(sha256)
    }
}

/// Two free ports for the node with this number.
fn plan(number: usize) -> NodePlan {
    let [http, peer] = free_addresses();
    NodePlan {
        name: format!("n{number}"),
        http,
        peer,
        url: None,
    }
}

/// Trusts the cluster's own authority and follows no redirect.
fn client(authority: &[u8]) -> Client {
    Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .tls_certs_only([reqwest::Certificate::from_pem(authority).unwrap()])
        .build()
        .unwrap()
}

/// Nobody listens there and no other test is given them. The ports are below those that the system gives to outgoing
/// connections: one of those could be in use again before the node listens.
fn free_addresses() -> [String; 2] {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Test programs that run at the same time begin at different places.
    let start = u16::try_from(std::process::id() * 613 % 20_000).unwrap();
    let mut free = std::iter::repeat_with(|| {
        let offset = start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        ("127.0.0.1", 12_000 + offset % 20_000)
    })
    .filter(|address| TcpListener::bind(address).is_ok())
    .map(|(host, port)| format!("{host}:{port}"));
    [free.next().unwrap(), free.next().unwrap()]
}

/// Status and code of a problem.
async fn problem(answer: Response) -> (u16, String) {
    let status = answer.status().as_u16();
    let kind = answer.headers()["content-type"]
        .to_str()
        .unwrap()
        .to_owned();
    assert_eq!(kind, "application/problem+json", "{status}");
    let body: Value = answer.json().await.unwrap();
    assert_eq!(body["status"], status);
    (status, body["code"].as_str().unwrap().to_owned())
}

async fn refused(request: RequestBuilder) -> (u16, String) {
    problem(request.send().await.unwrap()).await
}

fn is(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}
