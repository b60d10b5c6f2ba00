//! Every node is stopped and started again while people and programs go on: nobody is refused, nothing is lost.
//!
//! The clients here are strict. They forgive a node that does not take their connection, and a 503 that says when to
//! come back; whatever else is not a success fails the test.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use reqwest::{Method, RequestBuilder, StatusCode};
use tokio::task::JoinSet;

use crate::api::{Answer, Api, Position};
use crate::faults::check_nothing_is_lost;
use crate::harness::{Cluster, PATIENCE, POLL, succeed, until};

/// HTTP/1.1 lets a server close an idle connection in the moment in which its client uses it again. That is rare,
/// since a node that stops first asks its clients to close their connections.
const CROSSED_MAX: usize = 2;
/// Files that are uploaded at a time.
const FILES: usize = 10;

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_restart_under_load_fails_no_request() {
    let mut cluster = Cluster::start(3).await;
    let load = Load::start(&cluster);
    for node in [0, 1, 2] {
        load.until_more(60).await;
        cluster.stop(node).await;
        load.until_more(60).await;
        cluster.restart(node).await;
        until_all_are_up(&cluster, node).await;
    }
    load.until_more(60).await;
    let (written, files) = load.finish().await;
    check_nothing_is_lost(&cluster, &written).await;
    for node in 0..3 {
        let found = cluster.api(node).get("/files?q=tag:rolling&limit=1").await;
        assert_eq!(found.expect(200, "").json()["total"], files);
        let log = std::fs::read_to_string(cluster.node(node).log()).expect("a log");
        assert!(!log.contains("cut off"), "{log}");
    }
}

/// What an operator waits for before the next node: this one takes part again, and everybody hears everybody.
async fn until_all_are_up(cluster: &Cluster, restarted: usize) {
    let api = cluster.api(restarted);
    until("all nodes are up", async || {
        let status = api.get("/cluster").await.expect(200, "").json();
        let nodes = status["nodes"].as_array()?.clone();
        nodes.iter().all(|node| node["state"] == "up").then_some(())
    })
    .await;
}

/// Programs that write and read, and a person who uploads.
struct Load {
    writers: JoinSet<Vec<(String, Position)>>,
    readers: JoinSet<()>,
    uploader: JoinSet<usize>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    written: AtomicUsize,
    turned_away: AtomicUsize,
    crossed: AtomicUsize,
    slowest_ms: AtomicUsize,
}

impl Load {
    fn start(cluster: &Cluster) -> Self {
        let shared: Arc<Shared> = Arc::default();
        let nodes = || -> Vec<Api> { (0..cluster.len()).map(|node| cluster.api(node)).collect() };
        let (mut writers, mut readers) = (JoinSet::new(), JoinSet::new());
        for place in 0..4 {
            writers.spawn(write(place, nodes(), Arc::clone(&shared)));
        }
        for place in 0..2 {
            readers.spawn(read(place, nodes(), Arc::clone(&shared)));
        }
        let mut uploader = JoinSet::new();
        let uploads = Uploads::of(cluster);
        let stop = Arc::clone(&shared);
        uploader.spawn_blocking(move || uploads.run(&stop.stop));
        Self {
            writers,
            readers,
            uploader,
            shared,
        }
    }

    /// Waits until so many more writes were acknowledged.
    async fn until_more(&self, count: usize) {
        let goal = self.shared.written.load(Ordering::Relaxed) + count;
        until("more writes are acknowledged", async || {
            (self.shared.written.load(Ordering::Relaxed) >= goal).then_some(())
        })
        .await;
    }

    /// Ends the load; gives every record that was acknowledged, and how many files were uploaded.
    async fn finish(self) -> (BTreeMap<Position, String>, usize) {
        self.shared.stop.store(true, Ordering::Relaxed);
        let written = self.writers.join_all().await.into_iter().flatten();
        let written: Vec<_> = written.collect();
        self.readers.join_all().await;
        let files = self.uploader.join_all().await.into_iter().sum();
        let count = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
        let (turned_away, crossed) = (count(&self.shared.turned_away), count(&self.shared.crossed));
        eprintln!(
            "{} writes and {files} uploads; {turned_away} turned away, {crossed} crossed, the slowest took {} ms",
            written.len(),
            count(&self.shared.slowest_ms),
        );
        assert!(crossed <= CROSSED_MAX, "{crossed} requests broke off");
        let places = written.len();
        let written: BTreeMap<_, _> = written
            .into_iter()
            .map(|(text, place)| (place, text))
            .collect();
        assert_eq!(written.len(), places, "two records at one place");
        (written, files)
    }
}

async fn write(writer: usize, nodes: Vec<Api>, shared: Arc<Shared>) -> Vec<(String, Position)> {
    let mut written = Vec::new();
    while !shared.stop.load(Ordering::Relaxed) {
        let text = format!("writer {writer} record {}", written.len());
        let append = |api: &Api| {
            let request = api.request(Method::POST, "/records").body(text.clone());
            let request = request.header("content-type", "application/octet-stream");
            request.header("idempotency-key", &text)
        };
        let answer = insist(writer + written.len(), &nodes, &shared, append).await;
        let place = answer.expect(201, "").json();
        let number = |name: &str| place[name].as_u64().expect("a number");
        let place = Position {
            height: number("height"),
            index: number("index"),
        };
        written.push((text, place));
        shared.written.fetch_add(1, Ordering::Relaxed);
    }
    written
}

async fn read(reader: usize, nodes: Vec<Api>, shared: Arc<Shared>) {
    let mut place = reader;
    while !shared.stop.load(Ordering::Relaxed) {
        let search = |api: &Api| api.request(Method::GET, "/files?limit=5");
        insist(place, &nodes, &shared, search).await.expect(200, "");
        place += 1;
    }
}

/// Sends one request to one node after the other until it is answered.
async fn insist(
    mut place: usize,
    nodes: &[Api],
    shared: &Shared,
    request: impl Fn(&Api) -> RequestBuilder,
) -> Answer {
    let started = Instant::now();
    loop {
        let api = &nodes[place % nodes.len()];
        let sent = api.try_send(request(api)).await;
        let took = usize::try_from(started.elapsed().as_millis()).expect("short");
        if let Some(answer) = judge(sent, shared) {
            shared.slowest_ms.fetch_max(took, Ordering::Relaxed);
            return answer;
        }
        assert!(started.elapsed() < PATIENCE, "no node answers");
        place += 1;
        if place.is_multiple_of(nodes.len()) {
            tokio::time::sleep(POLL).await;
        }
    }
}

/// The answer; nothing if another node is to be asked. Everything else is a failure.
fn judge(sent: reqwest::Result<Answer>, shared: &Shared) -> Option<Answer> {
    match sent {
        Ok(answer) if answer.status == StatusCode::SERVICE_UNAVAILABLE => {
            assert!(!answer.header("retry-after").is_empty(), "{answer:?}");
            shared.turned_away.fetch_add(1, Ordering::Relaxed);
            None
        }
        Ok(answer) => Some(answer),
        Err(error) => {
            assert!(!error.is_timeout(), "{error:?}");
            let counter = if error.is_connect() {
                &shared.turned_away
            } else {
                eprintln!("broke off: {error:?}");
                &shared.crossed
            };
            counter.fetch_add(1, Ordering::Relaxed);
            None
        }
    }
}

/// Folders of new files, given to the program one after the other.
struct Uploads {
    folder: PathBuf,
    urls: String,
    token: String,
}

impl Uploads {
    fn of(cluster: &Cluster) -> Self {
        let urls: Vec<&str> = (0..cluster.len())
            .map(|node| cluster.node(node).url.as_str())
            .collect();
        Self {
            folder: cluster.scratch().join("uploads"),
            urls: urls.join(","),
            token: cluster.token().to_owned(),
        }
    }

    /// Uploads until it is told to stop; gives the number of files. Every run of the program has to succeed.
    fn run(&self, stop: &AtomicBool) -> usize {
        let mut files = 0;
        while !stop.load(Ordering::Relaxed) {
            let folder = self.folder.join(files.to_string());
            std::fs::create_dir_all(&folder).expect("a folder");
            for number in 0..FILES {
                let text = format!("file {}", files + number);
                std::fs::write(folder.join(format!("{number}.txt")), text).expect("a file");
            }
            let mut command = crate::harness::starling(["upload", "--tag", "rolling"]);
            command
                .arg(&folder)
                .env("STARLING_URL", &self.urls)
                .env("STARLING_TOKEN", &self.token);
            succeed(command);
            files += FILES;
        }
        files
    }
}
