//! A file's bytes, from whichever node has them: hashed on the way, and gone on with where they broke off.
//!
//! A file's id is its SHA-256, so nobody has to be believed. Nothing appears under a file's name before it is whole; what
//! has come so far stays beside it, and the next attempt hashes it and asks for the rest.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write};
use std::path::{Path, PathBuf};

use futures::StreamExt as _;
use model::BlobId;
use reqwest::StatusCode;
use reqwest::header::{HeaderValue, RANGE};
use sha2::{Digest as _, Sha256};

use crate::client::{Answer, Call, CallError, Client, SILENCE};
use crate::failure::Failure;

/// How often a transfer may break off before it is given up.
const BREAKS_MAX: u32 = 8;
/// Read from disk at once.
const READ_BYTES: usize = 1 << 20;

/// Why bytes did not come.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    /// No node gave them.
    #[error(transparent)]
    Call(#[from] CallError),
    /// There is no room for them.
    #[error("the disk of {path} is full; make room and run it again: what has come so far is kept")]
    Full {
        /// Where they were to go.
        path: PathBuf,
    },
    /// They cannot be written.
    #[error("writing {path}")]
    Write {
        /// Where they were to go.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// They cannot be given out.
    #[error("writing the result")]
    Out(#[source] io::Error),
    /// They are others.
    #[error("what was sent hashes to {got}: it is not that file")]
    Wrong {
        /// What they hash to.
        got: BlobId,
    },
    /// A node does not know how to go on.
    #[error("a node sent a file from its start when asked to go on with it")]
    Restarted,
}

impl From<FetchError> for Failure {
    fn from(error: FetchError) -> Self {
        match error {
            FetchError::Call(error) => error.into(),
            FetchError::Out(error) => error.into(),
            FetchError::Full { .. } => Self::Temporary(error.into()),
            other => Self::Other(other.into()),
        }
    }
}

/// What the system says about a path, in words that help.
pub(crate) fn writing(path: &Path) -> impl Fn(io::Error) -> FetchError {
    move |source| {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => FetchError::Full { path },
            _ => FetchError::Write { path, source },
        }
    }
}

/// Bytes on their way.
pub(crate) struct Fetch<'a> {
    client: &'a Client,
    id: BlobId,
    hasher: Sha256,
    received: u64,
}

impl<'a> Fetch<'a> {
    /// From the first byte.
    pub(crate) fn new(client: &'a Client, id: BlobId) -> Self {
        Self {
            client,
            id,
            hasher: Sha256::new(),
            received: 0,
        }
    }

    /// All that is still to come. `came` hears of every piece.
    pub(crate) async fn run(
        mut self,
        out: &mut (dyn Write + Send),
        came: &(dyn Fn(u64) + Sync),
    ) -> Result<(), FetchError> {
        let mut breaks = 0;
        loop {
            let answer = match self.client.call(&self.content()).await {
                // Everything had come, and only its end was not seen.
                Err(CallError::Refused { problem, .. })
                    if self.received > 0 && problem.status == 416 =>
                {
                    break;
                }
                answer => answer?,
            };
            if self.received > 0 && answer.response.status() != StatusCode::PARTIAL_CONTENT {
                return Err(FetchError::Restarted);
            }
            match self
                .copy(answer, out, came)
                .await
                .map_err(FetchError::Out)?
            {
                Copied::Whole => break,
                Copied::BrokenOff(error) if breaks == BREAKS_MAX => return Err(error.into()),
                Copied::BrokenOff(error) => {
                    let received = self.received;
                    tracing::debug!(%error, received, "going on elsewhere");
                }
            }
            breaks += 1;
            self.client.prefer_next();
        }
        out.flush().map_err(FetchError::Out)?;
        let got = BlobId(self.hasher.finalize().into());
        if got == self.id {
            Ok(())
        } else {
            Err(FetchError::Wrong { got })
        }
    }

    fn content(&self) -> Call {
        let call = Call::get(format!("/files/{}/content", self.id));
        if self.received == 0 {
            return call;
        }
        let range = format!("bytes={}-", self.received);
        call.header(RANGE, HeaderValue::try_from(range).expect("digits"))
    }

    /// Copies until the end or until the node fails; an error is this side's.
    async fn copy(
        &mut self,
        answer: Answer,
        out: &mut (dyn Write + Send),
        came: &(dyn Fn(u64) + Sync),
    ) -> io::Result<Copied> {
        let Answer { node, response } = answer;
        let mut chunks = response.bytes_stream();
        loop {
            match tokio::time::timeout(SILENCE, chunks.next()).await {
                Ok(Some(Ok(chunk))) => {
                    out.write_all(&chunk)?;
                    self.hasher.update(&chunk);
                    self.received += chunk.len() as u64;
                    came(chunk.len() as u64);
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
}

enum Copied {
    Whole,
    BrokenOff(CallError),
}

/// Brings a file's bytes to a path where nothing is yet, over whatever an earlier attempt has left.
pub(crate) async fn bring(
    client: &Client,
    (id, size): (BlobId, u64),
    path: &Path,
    came: &(dyn Fn(u64) + Sync),
) -> Result<(), FetchError> {
    let partial = with_suffix(path, ".partial");
    let mut fetch = Fetch::new(client, id);
    let left = partial.clone();
    let found = tokio::task::spawn_blocking(move || take_up(&left, size)).await;
    let (mut file, hasher, received) = found
        .expect("reading does not panic")
        .map_err(writing(&partial))?;
    (fetch.hasher, fetch.received) = (hasher, received);
    came(received);
    let fetched = match fetch.run(&mut file, came).await {
        Err(FetchError::Wrong { .. }) if received > 0 => {
            // What an earlier attempt left is not what it was.
            file = File::create(&partial).map_err(writing(&partial))?;
            Fetch::new(client, id).run(&mut file, &|_| ()).await
        }
        fetched => fetched,
    };
    match fetched {
        Err(FetchError::Out(source)) => return Err(writing(path)(source)),
        Err(FetchError::Wrong { got }) => {
            // It helps nobody; the error that counts is the transfer's.
            let _ = std::fs::remove_file(&partial);
            return Err(FetchError::Wrong { got });
        }
        fetched => fetched?,
    }
    file.sync_all().map_err(writing(path))?;
    std::fs::rename(&partial, path).map_err(writing(path))
}

/// What an earlier attempt has left, hashed and ready to be gone on with.
fn take_up(partial: &Path, size: u64) -> io::Result<(File, Sha256, u64)> {
    let mut options = OpenOptions::new();
    let mut file = options
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(partial)?;
    if file.metadata()?.len() > size {
        file.set_len(0)?;
    }
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; READ_BYTES];
    let mut received = 0;
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok((file, hasher, received)),
            Ok(count) => {
                hasher.update(buffer.get(..count).unwrap_or_default());
                received += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// What is at a path where a file's bytes are to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum There {
    /// Nothing.
    Nothing,
    /// These bytes.
    Same,
    /// Others.
    Other,
}

/// Looks what is at a path, by its bytes.
pub(crate) async fn look(path: &Path, (id, size): (BlobId, u64)) -> io::Result<There> {
    let kind = match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(There::Nothing),
        kind => kind?,
    };
    if !kind.is_file() || kind.len() != size {
        return Ok(There::Other);
    }
    let path = path.to_owned();
    let hashed = tokio::task::spawn_blocking(move || crate::upload::hash_file(&path)).await;
    let (found, _) = hashed.expect("hashing does not panic")?;
    Ok(if found == id {
        There::Same
    } else {
        There::Other
    })
}

/// A path with more behind its name.
pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
