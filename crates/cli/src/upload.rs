//! `starling upload`: files and folders into the cluster, through all of its nodes.
//!
//! A pipeline: walk, hash, ask which hashes the cluster lacks, send those. Every stage is bounded, so that a million
//! files need no more memory than a few hundred. Questions travel in batches that grow by themselves while the answer
//! to the last one is awaited. One file that fails fails alone.

mod sidecar;
mod walk;

pub(crate) use walk::hash as hash_file;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::builder::FalseyValueParser;
use futures::stream::{self, Stream, StreamExt as _};
use indicatif::{HumanBytes, ProgressBar};
use model::BlobId;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::Semaphore;

use crate::client::{self, Body, Call, CallError, Client, Patience, Source};
use crate::connection::Connection;
use crate::failure::{Failure, in_one_line};
use crate::output::{self, Format, shown};
use walk::Found;

/// How long one file is retried while no node takes it.
const PATIENCE: Patience = Patience::For(Duration::from_secs(60));
/// Larger files are sent so that a broken connection does not cost what was sent before it.
const LARGE: u64 = 64 << 20;
/// Files hashed ahead of the question about them; the contract allows 1,000 in one question.
const HASHED_AHEAD: usize = 500;

/// Adds files and folders. An XMP file beside a photo (photo.jpg.xmp or photo.xmp) goes with it.
#[derive(Debug, clap::Args)]
pub(crate) struct Upload {
    /// Files, and folders with all that is in them
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,

    /// Tag every file with this; several, separated by commas or by repeating the flag
    #[arg(
        long = "tag",
        env = "STARLING_UPLOAD_TAG",
        value_name = "TAG",
        value_delimiter = ','
    )]
    tags: Vec<String>,

    /// How many files are read and sent at a time
    #[arg(
        long,
        env = "STARLING_UPLOAD_PARALLEL",
        value_name = "N",
        default_value_t = 4,
        value_parser = clap::value_parser!(u16).range(1..=64)
    )]
    parallel: u16,

    /// Only say what would be sent
    #[arg(long, short = 'n', env = "STARLING_UPLOAD_DRY_RUN", value_parser = FalseyValueParser::new())]
    dry_run: bool,

    #[command(flatten)]
    connection: Connection,

    #[command(flatten)]
    format: Format,
}

/// What became of a path.
#[derive(Debug)]
struct Outcome {
    path: PathBuf,
    size: u64,
    sha256: Option<BlobId>,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Sent and taken.
    Uploaded { node: String },
    /// Would be sent.
    Planned,
    /// The cluster has it.
    Present,
    /// The cluster has it in the trash, where it stays.
    Trashed,
    /// Left out on purpose.
    Excluded { why: &'static str },
    /// Not done.
    Failed { error: String },
}

impl State {
    fn word(&self) -> &'static str {
        match self {
            Self::Uploaded { .. } => "uploaded",
            Self::Planned => "planned",
            Self::Present => "present",
            Self::Trashed => "trashed",
            Self::Excluded { .. } => "excluded",
            Self::Failed { .. } => "failed",
        }
    }
}

/// The counts add up: scanned = uploaded + planned + present + trashed + excluded + failed.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Summary {
    scanned: u64,
    uploaded: u64,
    planned: u64,
    present: u64,
    trashed: u64,
    excluded: u64,
    failed: u64,
    bytes: u64,
    seconds: f64,
}

/// A file whose hash is known.
#[derive(Debug)]
struct Hashed {
    path: PathBuf,
    size: u64,
    id: BlobId,
    /// The XMP file beside it.
    sidecar: Option<PathBuf>,
}

/// What a stage hands to the next: work, or a path that is finished with.
enum Step<T> {
    Work(T),
    Done(Outcome),
}

/// What the cluster says about a hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Standing {
    /// Yes.
    Present,
    /// Yes, in the trash.
    Trashed,
    /// No.
    Missing,
}

impl Upload {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let started = Instant::now();
        let client = Client::new(&self.connection)?;
        // Without patience: a cluster that is not there at all is better said at once.
        client.learn_nodes().await?;
        let client = client.with_patience(PATIENCE);
        let bar = output::progress();
        let mut summary = Summary::default();
        let mut outcomes = std::pin::pin!(self.outcomes(&client, &bar));
        let mut broken = None;
        while let Some(outcome) = outcomes.next().await {
            match outcome {
                Ok(outcome) => self.report(&outcome, &mut summary, &bar)?,
                Err(failure) => {
                    broken = Some(failure);
                    break;
                }
            }
        }
        bar.finish_and_clear();
        summary.seconds = started.elapsed().as_secs_f64();
        self.conclude(&summary)?;
        match broken {
            Some(failure) => Err(failure),
            None if summary.failed > 0 => Err(Failure::SomeFiles),
            None => Ok(()),
        }
    }

    /// The pipeline. It ends early only when the cluster cannot be asked at all.
    fn outcomes<'a>(
        &'a self,
        client: &'a Client,
        bar: &'a ProgressBar,
    ) -> impl Stream<Item = Result<Outcome, Failure>> + 'a {
        let parallel = usize::from(self.parallel);
        let readers = Arc::new(Semaphore::new(parallel));
        // Each lane starts at another node and stays with the one that last answered it.
        let lanes: Vec<Client> = (0..parallel).map(|lane| client.starting_at(lane)).collect();
        let found = stream::unfold(walk::walk(self.paths.clone()), async |mut found| {
            found.recv().await.map(|one| (one, found))
        });
        found
            .inspect(|one| {
                if let Found::File { size, .. } = one {
                    bar.inc_length(*size);
                }
            })
            .map(move |one| hash(one, readers.clone()))
            .buffer_unordered(HASHED_AHEAD)
            .ready_chunks(HASHED_AHEAD)
            .then(move |batch| ask(client, batch))
            .flat_map(|answer| match answer {
                Ok(steps) => stream::iter(steps).map(Ok).left_stream(),
                Err(failure) => stream::iter([Err(failure)]).right_stream(),
            })
            .zip(stream::iter(lanes).cycle())
            .map(move |(step, lane)| async move {
                match step? {
                    Step::Done(outcome) => Ok(outcome),
                    Step::Work((file, standing)) => Ok(self.settle(&lane, file, standing).await),
                }
            })
            .buffer_unordered(parallel)
    }

    /// Does what a file's standing asks for.
    async fn settle(&self, client: &Client, file: Hashed, standing: Standing) -> Outcome {
        let state = match standing {
            _ if self.dry_run && standing == Standing::Missing => State::Planned,
            Standing::Trashed => State::Trashed,
            Standing::Present if self.tags.is_empty() || self.dry_run => State::Present,
            Standing::Present => match self.tag_present(client, &file).await {
                Ok(()) => State::Present,
                Err(error) => failed(error),
            },
            Standing::Missing => self.send(client, &file).await,
        };
        Outcome {
            path: file.path,
            size: file.size,
            sha256: Some(file.id),
            state,
        }
    }

    async fn send(&self, client: &Client, file: &Hashed) -> State {
        let sidecar = match &file.sidecar {
            Some(path) => match sidecar::read(path).await {
                Ok(bytes) => Some(bytes),
                Err(error) => return unreadable(&error),
            },
            None => None,
        };
        let upload = client::Upload {
            sidecar,
            name: file_name(&file.path),
            metadata: self.metadata(),
            size: file.size,
            source: Source::Path(file.path.clone()),
        };
        match add_file(client, upload).await {
            Ok((_, id)) if id != file.id => State::Failed {
                error: format!("it was changed while it was read; the cluster has it as {id}"),
            },
            Ok((node, _)) => State::Uploaded { node },
            Err(error) => failed(error),
        }
    }

    /// Adds the tags to a file whose bytes need not travel.
    async fn tag_present(&self, client: &Client, file: &Hashed) -> Result<(), CallError> {
        let body = json!({
            "sha256": file.id.to_string(),
            "name": file_name(&file.path),
            "metadata": self.metadata(),
        });
        client
            .call(&Call::post("/files", Body::Json(body)))
            .await
            .map(drop)
    }

    fn metadata(&self) -> serde_json::Value {
        if self.tags.is_empty() {
            json!({})
        } else {
            json!({ "tags": self.tags })
        }
    }

    fn report(
        &self,
        outcome: &Outcome,
        summary: &mut Summary,
        bar: &ProgressBar,
    ) -> Result<(), Failure> {
        summary.count(outcome);
        bar.inc(outcome.size);
        let path = outcome.path.to_string_lossy();
        if self.format.json {
            return Ok(output::object(&outcome.to_json())?);
        }
        match &outcome.state {
            State::Failed { error } => {
                bar.suspend(|| output::note(&format!("failed: {}: {error}", shown(&path))));
            }
            State::Planned => output::line(&shown(&path))?,
            State::Excluded { why } => tracing::debug!(%path, why, "left out"),
            State::Uploaded { .. } | State::Present | State::Trashed => {}
        }
        Ok(())
    }

    fn conclude(&self, summary: &Summary) -> Result<(), Failure> {
        if self.format.json {
            return Ok(output::object(&json!({ "summary": summary }))?);
        }
        Ok(output::line(&summary.to_string())?)
    }
}

impl Outcome {
    fn to_json(&self) -> serde_json::Value {
        let (node, reason) = match &self.state {
            State::Uploaded { node } => (Some(node.as_str()), None),
            State::Excluded { why } => (None, Some(*why)),
            State::Failed { error } => (None, Some(error.as_str())),
            State::Planned | State::Present | State::Trashed => (None, None),
        };
        json!({
            "path": self.path.to_string_lossy(),
            "sha256": self.sha256.map(|id| id.to_string()),
            "size": self.size,
            "state": self.state.word(),
            "node": node,
            "reason": reason,
        })
    }
}

impl Summary {
    fn count(&mut self, outcome: &Outcome) {
        self.scanned += 1;
        let counter = match outcome.state {
            State::Uploaded { .. } => {
                self.bytes += outcome.size;
                &mut self.uploaded
            }
            State::Planned => &mut self.planned,
            State::Present => &mut self.present,
            State::Trashed => &mut self.trashed,
            State::Excluded { .. } => &mut self.excluded,
            State::Failed { .. } => &mut self.failed,
        };
        *counter += 1;
    }
}

impl std::fmt::Display for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            scanned,
            uploaded,
            planned,
            present,
            trashed,
            excluded,
            failed,
            bytes,
            seconds,
        } = self;
        write!(f, "{scanned} scanned: {uploaded} uploaded")?;
        for (count, word) in [
            (planned, "to upload"),
            (present, "already there"),
            (trashed, "in the trash"),
            (excluded, "left out"),
            (failed, "failed"),
        ] {
            if *count > 0 {
                write!(f, ", {count} {word}")?;
            }
        }
        write!(f, "; {} in {seconds:.1} s", HumanBytes(*bytes))
    }
}

/// Sends one file, wherever its bytes are, and returns the node that took it and the id it has there.
pub(crate) async fn add_file(
    client: &Client,
    upload: client::Upload,
) -> Result<(String, BlobId), CallError> {
    #[derive(Deserialize)]
    struct Added {
        #[serde(deserialize_with = "parsed")]
        id: BlobId,
    }
    // What tus says of a file has no room for a sidecar.
    if let Source::Path(path) = &upload.source
        && upload.size > LARGE
        && upload.sidecar.is_none()
    {
        return client.add_resumable(&upload, path).await;
    }
    let call = Call::post("/files", Body::Upload(upload));
    let answer = client.call(&call).await?;
    let added = answer.response.json::<Added>().await;
    let node = answer.node;
    match added {
        Ok(added) => Ok((node.origin().ascii_serialization(), added.id)),
        Err(source) => Err(CallError::Garbled { node, source }),
    }
}

/// Which of these the cluster lacks, in the same order.
pub(crate) async fn missing(
    client: &Client,
    files: &[(BlobId, u64)],
) -> Result<Vec<bool>, CallError> {
    let standings = check(client, files).await?;
    Ok(standings
        .into_iter()
        .map(|standing| standing == Standing::Missing)
        .collect())
}

/// What the cluster has of these, in the same order.
pub(crate) async fn check(
    client: &Client,
    files: &[(BlobId, u64)],
) -> Result<Vec<Standing>, CallError> {
    let asked = files
        .iter()
        .map(|(id, size)| json!({ "sha256": id.to_string(), "size": size }));
    let call = Call::post("/files/check", Body::Json(asked.collect()));
    client.json(&call).await
}

fn parsed<'de, D: serde::Deserializer<'de>>(input: D) -> Result<BlobId, D::Error> {
    let text = String::deserialize(input)?;
    text.parse().map_err(serde::de::Error::custom)
}

async fn hash(found: Found, readers: Arc<Semaphore>) -> Step<Hashed> {
    let (path, size, sidecar) = match found {
        Found::File {
            path,
            size,
            sidecar,
        } => (path, size, sidecar),
        Found::Excluded { path, why } => return done(path, 0, State::Excluded { why }),
        Found::Unreadable { path, error } => return done(path, 0, unreadable(&error)),
    };
    let _reading = readers.acquire_owned().await.expect("never closed");
    let reading = path.clone();
    let hashed = tokio::task::spawn_blocking(move || walk::hash(&reading)).await;
    match hashed.expect("hashing does not panic") {
        Ok((id, size)) => Step::Work(Hashed {
            path,
            size,
            id,
            sidecar,
        }),
        Err(error) => done(path, size, unreadable(&error)),
    }
}

async fn ask(
    client: &Client,
    batch: Vec<Step<Hashed>>,
) -> Result<Vec<Step<(Hashed, Standing)>>, Failure> {
    let mut asked = Vec::new();
    let mut steps = Vec::with_capacity(batch.len());
    for step in batch {
        match step {
            Step::Work(file) => asked.push(file),
            Step::Done(outcome) => steps.push(Step::Done(outcome)),
        }
    }
    if asked.is_empty() {
        return Ok(steps);
    }
    let names: Vec<_> = asked.iter().map(|file| (file.id, file.size)).collect();
    let standings = check(client, &names).await?;
    steps.extend(asked.into_iter().zip(standings).map(Step::Work));
    Ok(steps)
}

fn done<T>(path: PathBuf, size: u64, state: State) -> Step<T> {
    Step::Done(Outcome {
        path,
        size,
        sha256: None,
        state,
    })
}

fn unreadable(error: &std::io::Error) -> State {
    State::Failed {
        error: format!("reading it: {error}"),
    }
}

fn failed(error: CallError) -> State {
    State::Failed {
        error: in_one_line(&error.into()),
    }
}

fn file_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or(path.as_os_str());
    name.to_string_lossy().into_owned()
}
