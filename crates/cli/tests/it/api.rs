//! A plain client of one node: one request, one answer, no retries.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::HeaderMap;
use reqwest::multipart::{Form, Part};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};

use crate::harness::choose_tls_provider;

/// Longer than a node may take over anything.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A client of one node.
#[derive(Clone)]
pub(crate) struct Api {
    http: reqwest::Client,
    url: String,
    token: String,
    wait: Option<u32>,
}

/// What a node answered.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) bytes: Vec<u8>,
}

/// Where a record stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Position {
    pub(crate) height: u64,
    pub(crate) index: u64,
}

impl Answer {
    /// The body as JSON; null if it is none.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_default()
    }

    /// The stable code of a problem.
    pub(crate) fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }

    /// A header's text.
    pub(crate) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.map_or("", |value| value.to_str().unwrap_or_default())
    }

    /// The answer, if it is a success.
    pub(crate) fn success(self) -> Option<Self> {
        self.status.is_success().then_some(self)
    }

    /// Checks the status and, if it is a problem, the code.
    #[track_caller]
    pub(crate) fn expect(self, status: u16, code: &str) -> Self {
        let body = String::from_utf8_lossy(&self.bytes);
        assert_eq!(self.status.as_u16(), status, "{body}");
        assert_eq!(self.code(), code, "{body}");
        self
    }
}

impl Api {
    pub(crate) fn new(url: &str, token: &str) -> Self {
        choose_tls_provider();
        let http = reqwest::Client::builder()
            .no_proxy()
            .tls_certs_only([])
            .timeout(TIMEOUT)
            .build()
            .expect("a client");
        Self {
            http,
            url: url.to_owned(),
            token: token.to_owned(),
            wait: None,
        }
    }

    /// The same, asking nodes to answer within so many seconds.
    pub(crate) fn waiting(&self, seconds: u32) -> Self {
        Self {
            wait: Some(seconds),
            ..self.clone()
        }
    }

    /// The same with another token.
    pub(crate) fn with_token(&self, token: &str) -> Self {
        Self {
            token: token.to_owned(),
            ..self.clone()
        }
    }

    /// The same with another deadline.
    pub(crate) fn with_timeout(&self, timeout: Duration) -> Self {
        let http = reqwest::Client::builder()
            .no_proxy()
            .tls_certs_only([])
            .timeout(timeout)
            .build()
            .expect("a client");
        Self {
            http,
            ..self.clone()
        }
    }

    /// A request below `/api/v1`.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let mut request = self
            .http
            .request(method, format!("{}/api/v1{path}", self.url));
        if let Some(seconds) = self.wait {
            request = request.header("prefer", format!("wait={seconds}"));
        }
        if self.token.is_empty() {
            request
        } else {
            request.bearer_auth(&self.token)
        }
    }

    /// Sends a request; an error if no answer comes.
    pub(crate) async fn try_send(&self, request: RequestBuilder) -> reqwest::Result<Answer> {
        let response = request.send().await?;
        let (status, headers) = (response.status(), response.headers().clone());
        let bytes = response.bytes().await?.to_vec();
        Ok(Answer {
            status,
            headers,
            bytes,
        })
    }

    /// Sends a request that has to be answered.
    pub(crate) async fn send(&self, request: RequestBuilder) -> Answer {
        self.try_send(request).await.expect("an answer")
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(self.request(Method::POST, path).json(body)).await
    }

    /// A page outside the API, asked for without a token.
    pub(crate) async fn page(&self, path: &str) -> Answer {
        self.send(self.http.get(format!("{}{path}", self.url)))
            .await
    }

    pub(crate) async fn is_ready(&self) -> bool {
        let answer = self.http.get(format!("{}/readyz", self.url)).send().await;
        answer.is_ok_and(|answer| answer.status() == StatusCode::OK)
    }

    /// Height and hash of the head.
    pub(crate) async fn head(&self) -> Option<(u64, String)> {
        let answer = self
            .try_send(self.request(Method::GET, "/ledger/head"))
            .await
            .ok()?;
        let head = answer.success()?.json();
        Some((head["height"].as_u64()?, head["hash"].as_str()?.to_owned()))
    }

    /// Waits until what is searched reflects a height.
    pub(crate) async fn until_applied(&self, height: u64) {
        let request = self.request(Method::GET, "/files?limit=1");
        let answer = self
            .send(request.header("starling-min-height", height))
            .await;
        answer.expect(200, "");
    }

    /// Appends a record. The error is what went wrong, for people.
    pub(crate) async fn append(&self, body: &str, key: Option<&str>) -> Result<Position, String> {
        let answer = self
            .append_raw(body, key)
            .await
            .map_err(|error| format!("{error:?}"))?;
        let body = answer.json();
        let place = answer.success().and_then(|_| position(&body));
        place.ok_or_else(|| body.to_string())
    }

    /// Appends a record and gives the whole answer.
    pub(crate) async fn append_raw(
        &self,
        body: &str,
        key: Option<&str>,
    ) -> reqwest::Result<Answer> {
        let mut request = self
            .request(Method::POST, "/records")
            .header("content-type", "application/octet-stream")
            .body(body.to_owned());
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        self.try_send(request).await
    }

    /// All records of the ledger in order.
    pub(crate) async fn records(&self) -> Vec<(Position, Vec<u8>)> {
        let mut records = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let path = match &cursor {
                Some(cursor) => format!("/records?limit=1000&cursor={cursor}"),
                None => "/records?from=0&limit=1000".to_owned(),
            };
            let page = self.get(&path).await.expect(200, "").json();
            for item in page["items"].as_array().expect("items") {
                let body = record_body(item);
                records.push((position(item).expect("a position"), body));
            }
            cursor = page["nextCursor"].as_str().map(str::to_owned);
            if cursor.is_none() {
                return records;
            }
        }
    }

    /// Adds a file.
    pub(crate) async fn upload(&self, name: &str, bytes: &[u8], metadata: &Value) -> Answer {
        let file = Part::bytes(bytes.to_vec()).file_name(name.to_owned());
        let metadata = Part::text(metadata.to_string())
            .mime_str("application/json")
            .expect("a media type");
        let form = Form::new().part("metadata", metadata).part("file", file);
        self.send(self.request(Method::POST, "/files").multipart(form))
            .await
    }

    /// Makes a token of a scope.
    pub(crate) async fn create_token(&self, scope: &str) -> String {
        let body = json!({ "name": format!("a {scope} token"), "scope": scope });
        let answer = self.post("/tokens", &body).await.expect(201, "");
        answer.json()["token"].as_str().expect("a token").to_owned()
    }
}

fn position(value: &Value) -> Option<Position> {
    Some(Position {
        height: value["height"].as_u64()?,
        index: value["index"].as_u64()?,
    })
}

fn record_body(item: &Value) -> Vec<u8> {
    let body = item["body"].as_str().expect("a body");
    STANDARD.decode(body).expect("base64")
}
