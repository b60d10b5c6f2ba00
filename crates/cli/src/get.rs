//! `starling get`: a file's bytes, or what is known about it.
//!
//! The bytes are hashed on the way: a file's id is its SHA-256, so nobody has to be believed. If a node fails in the
//! middle, another one goes on where it stopped.

use std::io::{self, IsTerminal as _, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::builder::FalseyValueParser;
use futures::StreamExt as _;
use model::BlobId;
use reqwest::StatusCode;
use reqwest::header::{HeaderValue, RANGE};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::client::{Answer, Call, CallError, Client, SILENCE};
use crate::connection::Connection;
use crate::failure::Failure;
use crate::output;

/// How often a transfer may break off before it is given up.
const BREAKS_MAX: u32 = 8;

/// Fetches a file.
#[derive(Debug, clap::Args)]
pub(crate) struct Get {
    /// The file's id: the SHA-256 of its bytes
    id: BlobId,

    /// Write the bytes to this file instead of stdout
    #[arg(
        long,
        short,
        env = "STARLING_GET_OUT",
        value_name = "FILE",
        conflicts_with = "meta"
    )]
    out: Option<PathBuf>,

    /// Print what is known about it, as JSON, instead of its bytes
    #[arg(long, env = "STARLING_GET_META", value_parser = FalseyValueParser::new())]
    meta: bool,

    #[command(flatten)]
    connection: Connection,
}

impl Get {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let client = Client::new(&self.connection)?;
        if self.meta {
            let file: Value = client
                .json(&Call::get(format!("/files/{}", self.id)))
                .await?;
            return Ok(output::object(&file)?);
        }
        client.learn_nodes().await?;
        match &self.out {
            Some(path) => self.to_file(&client, path).await,
            None if io::stdout().is_terminal() => Err(Failure::Usage(
                "the bytes would garble the terminal: name a file with -o, or redirect stdout"
                    .to_owned(),
            )),
            None => Ok(self.fetch(&client, &mut io::stdout()).await?),
        }
    }

    /// Nothing appears under the name before it is whole.
    async fn to_file(&self, client: &Client, path: &Path) -> Result<(), Failure> {
        let partial = with_suffix(path, ".partial");
        let attempted = || format!("writing {}", path.display());
        let mut file = std::fs::File::create(&partial).with_context(attempted)?;
        let fetched = self.fetch(client, &mut file).await;
        if fetched.is_err() {
            // What is left of it helps nobody; the error that counts is the transfer's.
            let _ = std::fs::remove_file(&partial);
        }
        fetched?;
        file.sync_all().with_context(attempted)?;
        std::fs::rename(&partial, path).with_context(attempted)?;
        Ok(())
    }

    async fn fetch(&self, client: &Client, out: &mut dyn Write) -> Result<(), Failure> {
        let mut hasher = Sha256::new();
        let mut received = 0;
        let mut breaks = 0;
        loop {
            let answer = client.call(&self.content(received)).await?;
            if received > 0 && answer.response.status() != StatusCode::PARTIAL_CONTENT {
                let message = "a node sent a file from its start when asked to go on with it";
                return Err(anyhow::anyhow!(message).into());
            }
            match copy(answer, &mut hasher, &mut received, out).await? {
                Copied::Whole => break,
                Copied::BrokenOff(error) if breaks == BREAKS_MAX => return Err(error.into()),
                Copied::BrokenOff(error) => tracing::debug!(%error, received, "going on elsewhere"),
            }
            breaks += 1;
            client.prefer_next();
        }
        out.flush()?;
        let got = BlobId(hasher.finalize().into());
        if got != self.id {
            let message = format!("what was sent hashes to {got}: it is not that file");
            return Err(anyhow::Error::msg(message).into());
        }
        Ok(())
    }

    fn content(&self, from: u64) -> Call {
        let call = Call::get(format!("/files/{}/content", self.id));
        if from == 0 {
            return call;
        }
        let range = HeaderValue::try_from(format!("bytes={from}-")).expect("digits");
        call.header(RANGE, range)
    }
}

enum Copied {
    Whole,
    BrokenOff(CallError),
}

/// Copies until the end or until the node fails; an error is this side's.
async fn copy(
    answer: Answer,
    hasher: &mut Sha256,
    received: &mut u64,
    out: &mut dyn Write,
) -> io::Result<Copied> {
    let Answer { node, response } = answer;
    let mut chunks = response.bytes_stream();
    loop {
        match tokio::time::timeout(SILENCE, chunks.next()).await {
            Ok(Some(Ok(chunk))) => {
                out.write_all(&chunk)?;
                hasher.update(&chunk);
                *received += chunk.len() as u64;
            }
            Ok(None) => return Ok(Copied::Whole),
            Ok(Some(Err(source))) => {
                return Ok(Copied::BrokenOff(CallError::Unreachable { node, source }));
            }
            Err(_) => {
                let after = SILENCE;
                return Ok(Copied::BrokenOff(CallError::Silent { node, after }));
            }
        }
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
