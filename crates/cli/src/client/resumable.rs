//! Files too large to be sent twice: by tus 1.0, so that a broken connection costs no more than what was on the wire.
//!
//! How far an upload is stands in the ledger, so after every break any node can be asked and any node goes on.

use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::TryStreamExt as _;
use model::BlobId;
use reqwest::Method;
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION};
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};
use tokio::time::Instant;
use tokio_util::io::ReaderStream;

use super::{
    Answer, Body, Call, CallError, Client, FLUSH_RATE, Moved, PAUSE, Patience, READ_BYTES, Rest,
    SILENCE, Upload,
};

const TUS_RESUMABLE: HeaderName = HeaderName::from_static("tus-resumable");
const UPLOAD_LENGTH: HeaderName = HeaderName::from_static("upload-length");
const UPLOAD_METADATA: HeaderName = HeaderName::from_static("upload-metadata");
const UPLOAD_OFFSET: HeaderName = HeaderName::from_static("upload-offset");
const STARLING_FILE: HeaderName = HeaderName::from_static("starling-file");
const OFFSET_STREAM: HeaderValue = HeaderValue::from_static("application/offset+octet-stream");

impl Client {
    /// Adds a file on disk, over as many connections as it takes; the node that finished it and the id it has there.
    pub(crate) async fn add_resumable(
        &self,
        upload: &Upload,
        path: &Path,
    ) -> Result<(String, BlobId), CallError> {
        let begun = self.call(&begin(upload)).await?;
        let location = begun.header(&LOCATION).unwrap_or_default();
        let place = location.rsplit_once("/uploads/").map(|(_, id)| id);
        let id = place.and_then(|place| place.split('?').next());
        let item = format!("/uploads/{}", id.unwrap_or_default());
        let mut best = 0;
        let mut quiet = Quiet::new(self.patience);
        loop {
            let asked = ask(&item, upload.size);
            let standing = self.call(&asked).await?;
            if let Some(done) = standing.file() {
                return Ok(done);
            }
            let from = standing.number(&UPLOAD_OFFSET).unwrap_or(0);
            if from > best {
                best = from;
                quiet = Quiet::new(self.patience);
            }
            let rest = Rest {
                path: path.to_owned(),
                from,
                size: upload.size - from.min(upload.size),
            };
            match self.attempt_once(&go_on(&item, rest)).await {
                Ok(answer) => {
                    if let Some(done) = answer.file() {
                        return Ok(done);
                    }
                }
                Err(error) if error.is_temporary() || is_elsewhere(&error) => {
                    tracing::debug!(%error, from, "an upload goes on");
                    self.prefer_next();
                    quiet.wait(error).await?;
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// How long nothing has come through.
struct Quiet {
    since: Instant,
    pause: Duration,
    patience: Patience,
}

impl Quiet {
    fn new(patience: Patience) -> Self {
        Self {
            since: Instant::now(),
            pause: *PAUSE.start(),
            patience,
        }
    }

    /// Waits before the next attempt, unless it has been too long.
    async fn wait(&mut self, last: CallError) -> Result<(), CallError> {
        match self.patience {
            Patience::For(limit) if self.since.elapsed() + self.pause <= limit => {
                tokio::time::sleep(self.pause).await;
                self.pause = (self.pause * 2).min(*PAUSE.end());
                Ok(())
            }
            Patience::For(_) | Patience::OneRound => Err(last),
        }
    }
}

impl Answer {
    fn header(&self, name: &HeaderName) -> Option<&str> {
        self.response.headers().get(name)?.to_str().ok()
    }

    fn number(&self, name: &HeaderName) -> Option<u64> {
        self.header(name)?.parse().ok()
    }

    /// The file that became of an upload, and who says so.
    fn file(&self) -> Option<(String, BlobId)> {
        let id = self.header(&STARLING_FILE)?.parse().ok()?;
        Some((self.node.origin().ascii_serialization(), id))
    }
}

/// Somebody else, or this client's own last connection, has brought the upload further meanwhile.
fn is_elsewhere(error: &CallError) -> bool {
    matches!(error, CallError::Refused { problem, .. } if problem.code == "offset_mismatch")
}

fn begin(upload: &Upload) -> Call {
    let name = STANDARD.encode(&upload.name);
    let metadata = STANDARD.encode(upload.metadata.to_string());
    let described = format!("filename {name},metadata {metadata}");
    let described = HeaderValue::try_from(described).expect("Base64 is ASCII");
    tus(Call::new(Method::POST, "/uploads"))
        .header(UPLOAD_LENGTH, upload.size.into())
        .header(UPLOAD_METADATA, described)
}

/// The node may have to make a file of what has arrived before it answers.
fn ask(item: &str, size: u64) -> Call {
    tus(Call::new(Method::HEAD, item)).lasting(SILENCE + Duration::from_secs(size / FLUSH_RATE))
}

fn go_on(item: &str, rest: Rest) -> Call {
    let call = tus(Call::new(Method::PATCH, item)).header(UPLOAD_OFFSET, rest.from.into());
    let whole = rest.from + rest.size;
    let call = call.lasting(SILENCE + Duration::from_secs(whole / FLUSH_RATE));
    Call {
        body: Body::Rest(rest),
        ..call
    }
}

fn tus(call: Call) -> Call {
    call.header(TUS_RESUMABLE, HeaderValue::from_static("1.0.0"))
}

/// Makes the rest of a file the body of `request`; `moved` hears of every chunk read.
pub(super) async fn attach(
    request: reqwest::RequestBuilder,
    rest: &Rest,
    moved: &Moved,
) -> Result<reqwest::RequestBuilder, CallError> {
    let unread = |source| CallError::Local {
        path: rest.path.clone(),
        source,
    };
    let mut file = tokio::fs::File::open(&rest.path).await.map_err(unread)?;
    let from = std::io::SeekFrom::Start(rest.from);
    file.seek(from).await.map_err(unread)?;
    let moved = moved.clone();
    let chunks = ReaderStream::with_capacity(file.take(rest.size), READ_BYTES);
    let chunks = chunks.inspect_ok(move |_| moved.note());
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, OFFSET_STREAM);
    headers.insert(CONTENT_LENGTH, rest.size.into());
    let body = reqwest::Body::wrap_stream(chunks);
    Ok(request.headers(headers).body(body))
}
