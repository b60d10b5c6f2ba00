//! The HTTP contract as seen from a client that may turn to any node.
//!
//! No node is special, so a call that one node cannot answer goes to the next. A call that changes something carries
//! an `Idempotency-Key`, the same at every attempt, so that an answer lost on the way never doubles a write.
//! What one node refuses for good (a missing file, a bad query) every node refuses, so it is not tried elsewhere.
//!
//! A node may be frozen rather than dead: its system takes the connection and nothing comes. So every attempt is given
//! up once neither side has moved a byte for [`SILENCE`].

mod form;
mod resumable;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, StatusCode, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::Instant;

use crate::connection::{Connection, ConnectionError, is_loopback};

/// A node that lets a connection hang is left after this; longer than the 10 s it may take over a write.
pub(crate) const SILENCE: Duration = Duration::from_secs(20);
/// What a node needs at least to flush a large upload after its last byte has arrived, in bytes per second.
const FLUSH_RATE: u64 = 50 << 20;
/// Read from disk at once.
const READ_BYTES: usize = 256 << 10;
/// A host that does not answer at all.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Between two rounds over all nodes.
const PAUSE: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(100)..=Duration::from_secs(2);

/// How long a call goes on after every node was tried once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    /// Not at all: somebody is waiting at a terminal.
    OneRound,
    /// Until this much time has passed.
    For(Duration),
}

/// Speaks to a cluster. Clones share their knowledge of the nodes.
#[derive(Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    nodes: Arc<RwLock<Vec<Url>>>,
    preferred: Arc<AtomicUsize>,
    headers: HeaderMap,
    patience: Patience,
    /// What every call is about, if it is not the token's own library.
    library: Option<String>,
}

/// One call below `/api/v1`, which may be sent several times.
pub(crate) struct Call {
    method: Method,
    path: String,
    query: Vec<(&'static str, String)>,
    headers: HeaderMap,
    body: Body,
    silence: Duration,
}

/// What a call carries.
pub(crate) enum Body {
    /// Nothing.
    Empty,
    /// A JSON value.
    Json(Value),
    /// A file for `POST /files`.
    Upload(Upload),
    /// What is still to be sent of a file on disk.
    Rest(Rest),
}

/// The end of a file.
#[derive(Debug, Clone)]
pub(crate) struct Rest {
    /// The file.
    path: PathBuf,
    /// Where it begins.
    from: u64,
    /// How many bytes it has.
    size: u64,
}

/// A file to be added.
#[derive(Debug, Clone)]
pub(crate) struct Upload {
    /// What it is called.
    pub(crate) name: String,
    /// What is said about it.
    pub(crate) metadata: Value,
    /// Its length.
    pub(crate) size: u64,
    /// Where its bytes are.
    pub(crate) source: Source,
    /// An XMP file beside it.
    pub(crate) sidecar: Option<Bytes>,
}

/// Where bytes are.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    /// On disk.
    Path(PathBuf),
    /// Here.
    Memory(Bytes),
}

/// A success.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Who gave it.
    pub(crate) node: Url,
    /// What it is.
    pub(crate) response: reqwest::Response,
}

/// Why a call has no successful answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// No answer came.
    #[error("{node} cannot be reached")]
    Unreachable {
        /// The node tried last.
        node: Url,
        /// What the connection says.
        #[source]
        source: reqwest::Error,
    },
    /// The connection stands and nothing comes.
    #[error("{node} has been silent for {} s", .after.as_secs())]
    Silent {
        /// The node tried last.
        node: Url,
        /// For how long.
        after: Duration,
    },
    /// A node answered with an error.
    #[error("{problem}")]
    Refused {
        /// Which one.
        node: Url,
        /// What it says.
        problem: Box<Problem>,
    },
    /// What is to be sent cannot be read.
    #[error("reading {path}")]
    Local {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// The answer is not what the contract promises.
    #[error("{node} gave an answer that cannot be read; is it a Starling node of this version?")]
    Garbled {
        /// Which one.
        node: Url,
        /// What is wrong with it.
        #[source]
        source: reqwest::Error,
    },
}

/// An error as nodes describe it (RFC 9457).
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Problem {
    /// The HTTP status.
    #[serde(skip)]
    pub(crate) status: u16,
    /// What kind of error it is, in words.
    pub(crate) title: String,
    /// What is wrong in this case.
    pub(crate) detail: Option<String>,
    /// The stable code for programs.
    pub(crate) code: String,
    /// The places in the request that are wrong.
    pub(crate) errors: Vec<Fault>,
    /// How far the start of a node is that does not serve yet.
    pub(crate) progress: Value,
}

/// A place in a request that is wrong.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Fault {
    /// Where.
    pub(crate) pointer: String,
    /// What.
    pub(crate) detail: String,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let what = self.detail.as_deref().unwrap_or(&self.title);
        f.write_str(what.trim_end_matches('.'))?;
        for fault in &self.errors {
            write!(f, "; {}: {}", fault.pointer, fault.detail)?;
        }
        if !self.code.is_empty() {
            write!(f, " ({})", self.code)?;
        }
        if self.status == StatusCode::UNAUTHORIZED {
            f.write_str("; give a token with --token, --token-file or STARLING_TOKEN")?;
        }
        Ok(())
    }
}

impl Answer {
    /// The height that it reflects.
    pub(crate) fn height(&self) -> u64 {
        let height = self.response.headers().get("starling-height");
        let height = height.and_then(|height| height.to_str().ok()?.parse().ok());
        height.unwrap_or_default()
    }

    /// The body as JSON.
    pub(crate) async fn read<T: DeserializeOwned>(self) -> Result<T, CallError> {
        let Self { node, response } = self;
        let body = response.json().await;
        body.map_err(|source| CallError::Garbled { node, source })
    }
}

impl CallError {
    /// Whether another node, or the same one later, may answer.
    pub(crate) fn is_temporary(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Silent { .. } => true,
            Self::Refused { problem, .. } => matches!(problem.status, 408 | 429 | 500..),
            Self::Local { .. } | Self::Garbled { .. } => false,
        }
    }

    /// Whether the thing that was named does not exist.
    pub(crate) fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { problem, .. } if problem.status == 404)
    }
}

impl Call {
    /// A call of `method` on `path`, which starts with a slash.
    pub(crate) fn new(method: Method, path: impl Into<String>) -> Self {
        Self {
            method,
            path: path.into(),
            query: Vec::new(),
            headers: HeaderMap::new(),
            body: Body::Empty,
            silence: SILENCE,
        }
    }

    /// A GET.
    pub(crate) fn get(path: impl Into<String>) -> Self {
        Self::new(Method::GET, path)
    }

    /// A POST.
    pub(crate) fn post(path: impl Into<String>, body: Body) -> Self {
        Self {
            body,
            ..Self::new(Method::POST, path)
        }
    }

    /// A PUT of a JSON value.
    pub(crate) fn put(path: impl Into<String>, value: Value) -> Self {
        Self {
            body: Body::Json(value),
            ..Self::new(Method::PUT, path)
        }
    }

    /// A PATCH with a JSON value.
    pub(crate) fn patch(path: impl Into<String>, value: Value) -> Self {
        Self {
            body: Body::Json(value),
            ..Self::new(Method::PATCH, path)
        }
    }

    /// Lets a node work on it for so long without a sign of life.
    pub(crate) fn lasting(mut self, silence: Duration) -> Self {
        self.silence = silence;
        self
    }

    /// Adds a parameter.
    pub(crate) fn query(mut self, name: &'static str, value: impl ToString) -> Self {
        self.query.push((name, value.to_string()));
        self
    }

    /// Adds a header.
    pub(crate) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    fn url(&self, node: &Url, library: Option<&str>) -> Url {
        let mut url = node.clone();
        let base = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{base}/api/v1{}", self.path));
        if !self.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&self.query);
        }
        if let Some(library) = library {
            url.query_pairs_mut().append_pair("library", library);
        }
        url
    }

    fn silence(&self) -> Duration {
        match &self.body {
            Body::Upload(upload) => self.silence + Duration::from_secs(upload.size / FLUSH_RATE),
            Body::Empty | Body::Json(_) | Body::Rest(_) => self.silence,
        }
    }
}

impl Client {
    /// As the flags say.
    pub(crate) fn new(connection: &Connection) -> Result<Self, ConnectionError> {
        let mut headers = HeaderMap::new();
        if let Some(token) = connection.bearer()? {
            let mut value = HeaderValue::try_from(format!("Bearer {token}"))
                .map_err(|_| ConnectionError::Token)?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        Ok(Self {
            http: http_client(connection)?,
            nodes: Arc::new(RwLock::new(connection.urls.clone())),
            preferred: Arc::default(),
            headers,
            patience: Patience::OneRound,
            library: connection.library.clone(),
        })
    }

    /// The same, with more or less patience.
    pub(crate) fn with_patience(self, patience: Patience) -> Self {
        Self { patience, ..self }
    }

    /// The same, turning first to the node at `place`: with many of them the load is spread.
    pub(crate) fn starting_at(&self, place: usize) -> Self {
        Self {
            preferred: Arc::new(AtomicUsize::new(place)),
            ..self.clone()
        }
    }

    /// The same, speaking to the node at `place` and to no other.
    pub(crate) fn only(&self, place: usize) -> Self {
        let node = self.nodes().into_iter().nth(place);
        Self {
            nodes: Arc::new(RwLock::new(node.into_iter().collect())),
            preferred: Arc::default(),
            ..self.clone()
        }
    }

    /// Turns to another node first: the one that answered last has failed since.
    pub(crate) fn prefer_next(&self) {
        self.preferred.fetch_add(1, Ordering::Relaxed);
    }

    /// The nodes it knows.
    pub(crate) fn nodes(&self) -> Vec<Url> {
        self.nodes.read().expect("no holder panics").clone()
    }

    /// Asks the cluster for its other nodes, so that there is somewhere to turn to.
    pub(crate) async fn learn_nodes(&self) -> Result<(), CallError> {
        #[derive(Deserialize)]
        struct Cluster {
            nodes: Vec<Node>,
        }
        #[derive(Deserialize)]
        struct Node {
            url: Option<String>,
        }
        let cluster: Cluster = self.json(&Call::get("/cluster")).await?;
        let told = cluster
            .nodes
            .into_iter()
            .filter_map(|node| node.url?.parse().ok());
        let mut nodes = self.nodes.write().expect("no holder panics");
        for url in told {
            if !nodes.iter().any(|known| same_origin(known, &url)) {
                nodes.push(url);
            }
        }
        Ok(())
    }

    /// Sends a call until a node answers it or patience ends.
    pub(crate) async fn call(&self, call: &Call) -> Result<Answer, CallError> {
        let started = Instant::now();
        let looks = matches!(call.method, Method::GET | Method::HEAD);
        let key = (!looks).then(idempotency_key);
        let mut pause = *PAUSE.start();
        loop {
            let last = match self.round(call, key.as_ref()).await {
                Err(error) if error.is_temporary() => error,
                settled => return settled,
            };
            let Patience::For(limit) = self.patience else {
                return Err(last);
            };
            if started.elapsed() + pause > limit {
                return Err(last);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(*PAUSE.end());
        }
    }

    /// Sends a call and reads the answer as JSON.
    pub(crate) async fn json<T: DeserializeOwned>(&self, call: &Call) -> Result<T, CallError> {
        self.call(call).await?.read().await
    }

    /// Sends a call to the node that answered last, once.
    async fn attempt_once(&self, call: &Call) -> Result<Answer, CallError> {
        let nodes = self.nodes();
        let place = self.preferred.load(Ordering::Relaxed) % nodes.len();
        let node = nodes.get(place).expect("see round");
        self.attempt(node, call, None).await
    }

    /// Tries every node once, the preferred one first.
    async fn round(&self, call: &Call, key: Option<&HeaderValue>) -> Result<Answer, CallError> {
        let nodes = self.nodes();
        let first = self.preferred.load(Ordering::Relaxed);
        let mut last = None;
        for place in (first..).take(nodes.len()) {
            let node = nodes
                .get(place % nodes.len())
                .expect("a remainder is smaller than the divisor");
            match self.attempt(node, call, key).await {
                Err(error) if error.is_temporary() => {
                    tracing::debug!(%node, %error, "turning to another node");
                    last = Some(error);
                }
                settled => {
                    self.preferred.store(place % nodes.len(), Ordering::Relaxed);
                    return settled;
                }
            }
        }
        Err(last.expect("a connection has at least one address"))
    }

    async fn attempt(
        &self,
        node: &Url,
        call: &Call,
        key: Option<&HeaderValue>,
    ) -> Result<Answer, CallError> {
        let moved = Moved::default();
        let request = self.request(node, call, key, &moved).await?;
        let mut sending = std::pin::pin!(request.send());
        let silence = call.silence();
        let response = loop {
            let quiet_until = moved.last() + silence;
            tokio::select! {
                response = &mut sending => break response,
                () = tokio::time::sleep_until(quiet_until) => {
                    if moved.last() + silence <= Instant::now() {
                        return Err(CallError::Silent { node: node.clone(), after: silence });
                    }
                }
            }
        };
        let response = response.map_err(|source| CallError::Unreachable {
            node: node.clone(),
            source: source.without_url(),
        })?;
        if response.status().is_success() {
            return Ok(Answer {
                node: node.clone(),
                response,
            });
        }
        Err(CallError::Refused {
            node: node.clone(),
            problem: Box::new(read_problem(response).await),
        })
    }

    async fn request(
        &self,
        node: &Url,
        call: &Call,
        key: Option<&HeaderValue>,
        moved: &Moved,
    ) -> Result<reqwest::RequestBuilder, CallError> {
        let mut request = self
            .http
            .request(call.method.clone(), call.url(node, self.library.as_deref()))
            .headers(self.headers.clone())
            .headers(call.headers.clone());
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        Ok(match &call.body {
            Body::Empty => request,
            Body::Json(value) => request.json(value),
            Body::Upload(upload) => form::attach(request, upload, moved).await?,
            Body::Rest(rest) => resumable::attach(request, rest, moved).await?,
        })
    }
}

/// When the last byte of a body was handed over.
#[derive(Debug, Clone)]
struct Moved {
    start: Instant,
    after_ms: Arc<AtomicU64>,
}

impl Default for Moved {
    fn default() -> Self {
        Self {
            start: Instant::now(),
            after_ms: Arc::default(),
        }
    }
}

impl Moved {
    fn note(&self) {
        let after = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.after_ms.store(after, Ordering::Relaxed);
    }

    fn last(&self) -> Instant {
        self.start + Duration::from_millis(self.after_ms.load(Ordering::Relaxed))
    }
}

fn http_client(connection: &Connection) -> Result<reqwest::Client, ConnectionError> {
    let mut builder = reqwest::Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .user_agent(concat!("starling/", env!("CARGO_PKG_VERSION")));
    if connection.urls.iter().all(is_loopback) {
        builder = builder.no_proxy();
    }
    if let Some(path) = &connection.ca {
        let pem = std::fs::read(path).map_err(|source| ConnectionError::Read {
            path: path.clone(),
            source,
        })?;
        let trusted = reqwest::Certificate::from_pem_bundle(&pem).map_err(ConnectionError::Tls)?;
        builder = builder.tls_certs_only(trusted);
    } else if connection.urls.iter().all(|url| url.scheme() == "http") {
        // A bare container has no certificates of its own, and none are needed.
        builder = builder.tls_certs_only([]);
    }
    builder.build().map_err(ConnectionError::Tls)
}

/// New for every call, the same at every attempt.
fn idempotency_key() -> HeaderValue {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("the system has randomness");
    HeaderValue::try_from(model::Nonce(bytes).to_string()).expect("hexadecimal digits")
}

async fn read_problem(response: reqwest::Response) -> Problem {
    let status = response.status();
    let body = tokio::time::timeout(SILENCE, response.bytes()).await;
    let body = body.ok().and_then(Result::ok).unwrap_or_default();
    let mut problem: Problem = serde_json::from_slice(&body).unwrap_or_default();
    problem.status = status.as_u16();
    if problem.title.is_empty() {
        problem.title = format!("the node answered {status}");
    }
    problem
}

fn same_origin(one: &Url, other: &Url) -> bool {
    one.scheme() == other.scheme()
        && one.host_str() == other.host_str()
        && one.port_or_known_default() == other.port_or_known_default()
}
