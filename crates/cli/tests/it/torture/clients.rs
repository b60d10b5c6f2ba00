//! Programs that append records, edit files on condition, and read, through any node.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::json;
use tokio::task::JoinSet;

use super::history::{Append, History, Kind, Sight, Span};
use super::nemesis::Dice;
use crate::api::{Answer, Api};
use crate::harness::{Cluster, PATIENCE, POLL, until};

/// A node that does not answer by then is left for another.
const IMPATIENCE: Duration = Duration::from_secs(3);

/// All of them.
pub(super) struct Clients {
    tasks: JoinSet<History>,
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicUsize>,
}

impl Clients {
    pub(super) fn start(cluster: &Cluster, count: usize, files: &[String], seed: u64) -> Self {
        let (stop, acknowledged) = (Arc::default(), Arc::default());
        let mut tasks = JoinSet::new();
        for number in 0..count {
            let nodes = (0..cluster.len()).map(|node| cluster.api(node).with_timeout(IMPATIENCE));
            let client = Client {
                number,
                nodes: nodes.collect(),
                files: files.to_vec(),
                dice: Dice::new(seed ^ (number as u64 + 1) << 40),
                written: 0,
                history: History::default(),
                stop: Arc::clone(&stop),
                acknowledged: Arc::clone(&acknowledged),
            };
            tasks.spawn(client.run());
        }
        Self {
            tasks,
            stop,
            acknowledged,
        }
    }

    /// Waits until so many more writes were acknowledged.
    pub(super) async fn until_more(&self, count: usize) {
        let goal = self.acknowledged.load(Ordering::Relaxed) + count;
        until("more writes are acknowledged", async || {
            (self.acknowledged.load(Ordering::Relaxed) >= goal).then_some(())
        })
        .await;
    }

    /// Ends them and gives all that they saw.
    pub(super) async fn finish(self) -> History {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = History::default();
        for history in self.tasks.join_all().await {
            all.merge(history);
        }
        all
    }
}

struct Client {
    number: usize,
    nodes: Vec<Api>,
    files: Vec<String>,
    dice: Dice,
    written: u64,
    history: History,
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicUsize>,
}

impl Client {
    async fn run(mut self) -> History {
        while !self.stop.load(Ordering::Relaxed) {
            match self.dice.below(4) {
                0 | 1 => self.append().await,
                2 => self.edit().await,
                _ => self.read().await,
            }
        }
        self.history
    }

    fn any_node(&mut self) -> Api {
        let node = self.dice.index(self.nodes.len());
        self.nodes[node].clone()
    }

    fn new_text(&mut self) -> String {
        self.written += 1;
        format!("client {} write {}", self.number, self.written)
    }

    /// Again and again, through any node, under the same key.
    async fn append(&mut self) {
        let text = self.new_text();
        let begun = Instant::now();
        let place = loop {
            match self.any_node().append(&text, Some(&text)).await {
                Ok(place) => break place,
                Err(why) => rest(begun, &text, &why).await,
            }
        };
        let span = Span {
            begun,
            ended: Instant::now(),
        };
        self.acknowledged.fetch_add(1, Ordering::Relaxed);
        self.history.appends.push(Append { span, place, text });
    }

    /// Looks at a file on one node and changes it, if nobody else has meanwhile, through others. Then looks at it on
    /// another node, at the height that the answer named.
    async fn edit(&mut self) {
        let file = self.dice.index(self.files.len());
        let Some((version, _, _)) = self.look(file, "", None).await else {
            return;
        };
        let text = self.new_text();
        let begun = Instant::now();
        self.history.edits_begun.insert(text.clone(), begun);
        let path = format!("/files/{}", self.files[file]);
        let answer = loop {
            let node = self.any_node();
            let request = node
                .request(Method::PATCH, &path)
                .header("if-match", format!("\"v{version}\""))
                .header("idempotency-key", &text)
                .json(&json!({ "description": text }));
            match node.try_send(request).await {
                Ok(answer) if answer.status.is_success() || answer.status == 412 => break answer,
                Ok(answer) => rest(begun, &text, &answer.code()).await,
                Err(why) => rest(begun, &text, &format!("{why:?}")).await,
            }
        };
        if answer.status == 412 {
            self.history.refused += 1;
            return;
        }
        let (made, shown) = state(&answer);
        assert_eq!((made, shown.as_str()), (version + 1, text.as_str()));
        self.saw(begun, file, (made, shown), Kind::Edit);
        self.acknowledged.fetch_add(1, Ordering::Relaxed);
        let height = answer.header("starling-height").to_owned();
        let made_by = answer.header("starling-node").to_owned();
        if let Some((seen, _, answer)) = self.look(file, "", Some(&height)).await {
            self.history.own_reads += 1;
            if seen < made {
                let shown = |answer: &Answer| {
                    let (node, at) = (
                        answer.header("starling-node"),
                        answer.header("starling-height"),
                    );
                    format!("{node} at height {at} shows version {}", state(answer).0)
                };
                let mut lines = vec![shown(&answer)];
                for node in &self.nodes {
                    let again = node.try_send(node.request(Method::GET, &path)).await;
                    let again = again.ok().and_then(Answer::success);
                    lines.push(again.map_or("no answer".to_owned(), |again| shown(&again)));
                }
                panic!(
                    "version {made} is at height {height} or below, as {} says; {}",
                    made_by,
                    lines.join("; then ")
                );
            }
        }
    }

    async fn read(&mut self) {
        let file = self.dice.index(self.files.len());
        let begun = Instant::now();
        match self.look(file, "?consistency=linearizable", None).await {
            Some((version, text, _)) => self.saw(begun, file, (version, text), Kind::Read),
            None => {
                self.history.unanswered += 1;
                tokio::time::sleep(POLL).await;
            }
        }
    }

    fn saw(&mut self, begun: Instant, file: usize, (version, text): (u64, String), kind: Kind) {
        let span = Span {
            begun,
            ended: Instant::now(),
        };
        self.history.sights.push(Sight {
            span,
            file,
            version,
            text,
            kind,
        });
    }

    /// A file's version and text, as one node shows them; none if it does not answer.
    async fn look(
        &mut self,
        file: usize,
        query: &str,
        least: Option<&str>,
    ) -> Option<(u64, String, Answer)> {
        let node = self.any_node();
        let path = format!("/files/{}{query}", self.files[file]);
        let mut request = node.request(Method::GET, &path);
        if let Some(height) = least {
            request = request.header("starling-min-height", height);
        }
        let answer = node.try_send(request).await.ok()?.success()?;
        let (version, text) = state(&answer);
        Some((version, text, answer))
    }
}

fn state(answer: &Answer) -> (u64, String) {
    let file = answer.json();
    let version = file["version"].as_u64().expect("a version");
    (
        version,
        file["description"].as_str().unwrap_or_default().to_owned(),
    )
}

async fn rest(begun: Instant, text: &str, why: &str) {
    assert!(begun.elapsed() < PATIENCE, "{text}: {why}");
    tokio::time::sleep(POLL).await;
}
