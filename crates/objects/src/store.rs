//! The store and its verbs for what fits into memory.

mod files;
mod open;

use std::fmt;
use std::io;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};
use model::Digest;
use object_store::path::Path;
use object_store::{GetOptions, ObjectStore, ObjectStoreExt as _, PutMode, PutPayload};
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncWriteExt as _;

pub use self::files::{Head, Pieces, PutFileError, Writing};
pub use self::open::OpenError;

/// The longest object that is written or read: several times a segment.
pub const OBJECT_MAX: u64 = 64 << 20;

/// What a store must not do with it: forget that it is there.
const PROBE: &str = "probe";
const PROBE_TEXT: &str =
    "A Starling archive asks its store with this object whether it keeps what is there.\n";

/// How long a store is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// How often a call is tried.
    pub tries: u32,
    /// The pause behind the first failure; it doubles with every other one.
    pub pause: Duration,
    /// How long a try may take, not counting the bytes.
    pub answer: Duration,
    /// The fewest bytes a second that a transfer may move.
    pub bytes_per_second: u64,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            tries: 4,
            pause: Duration::from_millis(500),
            answer: Duration::from_secs(30),
            bytes_per_second: 64 << 10,
        }
    }
}

impl Patience {
    fn for_bytes(self, bytes: u64) -> Duration {
        self.answer + Duration::from_secs(bytes / self.bytes_per_second.max(1))
    }
}

/// What became of [`Store::create`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Created {
    /// The object is new.
    New,
    /// There was one under this key, with these bytes or others. It stays.
    AlreadyThere,
}

/// An object as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its name in the folder that was listed.
    pub name: String,
    /// Its length in bytes.
    pub length: u64,
    /// When it was written, by the store's clock.
    pub modified: SystemTime,
}

/// An object that lies in a file now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fetched {
    /// Its length in bytes.
    pub length: u64,
    /// Its SHA-256.
    pub sha256: Digest,
}

/// Why a store did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It will not do it later either, unless somebody changes something.
    #[error("the store {place} refuses {key}: {what}")]
    Refused {
        /// Which store.
        place: String,
        /// Which object or folder in it.
        key: String,
        /// What it says.
        what: String,
    },
    /// It cannot be reached, or not now.
    #[error("the store {place} does not answer for {key}: {what}")]
    Unavailable {
        /// Which store.
        place: String,
        /// Which object or folder in it.
        key: String,
        /// What was seen.
        what: String,
    },
    /// The object is longer than what belongs there may be.
    #[error("{key} in the store {place} is longer than {limit} bytes")]
    TooLong {
        /// Which store.
        place: String,
        /// Which object in it.
        key: String,
        /// The limit.
        limit: u64,
    },
    /// A file on this machine cannot be read or written.
    #[error("the file {path}")]
    File {
        /// Which.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The store overwrites what it is told to leave alone.
    #[error(
        "the store {place} overwrites objects although it is told not to (it ignores If-None-Match): two nodes could \
         damage each other's objects there. Use another store, or turn conditional writes on"
    )]
    Overwrites {
        /// Which store.
        place: String,
    },
}

/// A folder or a bucket, with a prefix. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    objects: Arc<dyn ObjectStore>,
    prefix: Path,
    /// Of a store that is a folder: where it has to be. It would be made anew otherwise, below a share that is gone.
    root: Option<Arc<FilePath>>,
    place: Arc<str>,
    patience: Patience,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "store {}", self.place)
    }
}

impl Store {
    /// The store at `url`: `file:///folder`, `az://container/prefix`, `s3://bucket/prefix` or `gs://bucket/prefix`.
    /// Credentials come from the environment variables of each. Nothing is sent yet.
    ///
    /// # Errors
    /// An [`OpenError`] if the URL is none of these, holds a credential, or the environment lacks one.
    pub fn open(url: &str) -> Result<Self, OpenError> {
        Self::open_with(url, &[])
    }

    /// The same, with settings that override the environment's. They are called as the variables are, in lower case.
    ///
    /// # Errors
    /// As [`Store::open`]; also if a setting is unknown.
    pub fn open_with(url: &str, settings: &[(&str, &str)]) -> Result<Self, OpenError> {
        open::open(url, settings)
    }

    /// With other bounds in time.
    #[must_use]
    pub fn with_patience(self, patience: Patience) -> Self {
        Self { patience, ..self }
    }

    /// The URL, which holds no secret.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Writes an object unless one of this key is there. It is visible as a whole or not at all, and durable when this
    /// returns.
    ///
    /// # Errors
    /// A [`StoreError`]. The object may be there all the same.
    pub async fn create(&self, key: &str, bytes: Bytes) -> Result<Created, StoreError> {
        let time = self.patience.for_bytes(bytes.len() as u64);
        let location = self.location(key);
        let result = self
            .persist(key, time, || async {
                let payload = PutPayload::from_bytes(bytes.clone());
                let options = PutMode::Create.into();
                match self.objects.put_opts(&location, payload, options).await {
                    Ok(_) => Ok(Created::New),
                    // Azure, S3 and a folder each say it in their own way.
                    Err(
                        object_store::Error::AlreadyExists { .. }
                        | object_store::Error::Precondition { .. },
                    ) => Ok(Created::AlreadyThere),
                    Err(error) => Err(error),
                }
            })
            .await?;
        result.ok_or_else(|| self.refused(key, "there is no such folder, container or bucket"))
    }

    /// Writes an object in place of the one of this key. For erasure, and for putting right what is damaged.
    ///
    /// # Errors
    /// A [`StoreError`]. The object is the old one or the new one.
    pub async fn overwrite(&self, key: &str, bytes: Bytes) -> Result<(), StoreError> {
        let time = self.patience.for_bytes(bytes.len() as u64);
        let location = self.location(key);
        let put = || async {
            let payload = PutPayload::from_bytes(bytes.clone());
            let options = PutMode::Overwrite.into();
            self.objects.put_opts(&location, payload, options).await
        };
        match self.persist(key, time, put).await? {
            Some(_) => Ok(()),
            None => Err(self.refused(key, "there is no such folder, container or bucket")),
        }
    }

    /// Deletes an object, if it is there.
    ///
    /// # Errors
    /// A [`StoreError`]. The object may be gone all the same.
    pub async fn remove(&self, key: &str) -> Result<(), StoreError> {
        let location = self.location(key);
        let delete = || self.objects.delete(&location);
        self.persist(key, self.patience.answer, delete)
            .await
            .map(|_| ())
    }

    /// An object's bytes; nothing if there is none.
    ///
    /// # Errors
    /// A [`StoreError`]; [`StoreError::TooLong`] before more than `limit` bytes are taken.
    pub async fn read(&self, key: &str, limit: u64) -> Result<Option<Bytes>, StoreError> {
        let location = self.location(key);
        let read = || async {
            let object = self
                .objects
                .get_opts(&location, GetOptions::default())
                .await?;
            if object.meta.size > limit {
                return Ok(None);
            }
            object.bytes().await.map(Some)
        };
        match self
            .persist(key, self.patience.for_bytes(limit), read)
            .await?
        {
            Some(None) => Err(self.too_long(key, limit)),
            Some(found) => Ok(found),
            None => Ok(None),
        }
    }

    /// Brings an object into a new file, piece by piece; nothing, and no file, if there is none.
    ///
    /// # Errors
    /// A [`StoreError`]; what was written to the file is then of no use.
    pub async fn fetch(
        &self,
        key: &str,
        to: &FilePath,
        limit: u64,
    ) -> Result<Option<Fetched>, StoreError> {
        let location = self.location(key);
        let time = self.patience.for_bytes(limit);
        let fetched = self
            .persist(key, time, || self.stream(&location, to, limit))
            .await?;
        match fetched {
            Some(Streamed::Whole(fetched)) => Ok(Some(fetched)),
            Some(Streamed::TooLong) => Err(self.too_long(key, limit)),
            Some(Streamed::Disk(source)) => Err(StoreError::File {
                path: to.to_owned(),
                source,
            }),
            None => Ok(None),
        }
    }

    async fn stream(
        &self,
        location: &Path,
        to: &FilePath,
        limit: u64,
    ) -> object_store::Result<Streamed> {
        let object = self
            .objects
            .get_opts(location, GetOptions::default())
            .await?;
        if object.meta.size > limit {
            return Ok(Streamed::TooLong);
        }
        let mut file = match tokio::fs::File::create(to).await {
            Ok(file) => file,
            Err(error) => return Ok(Streamed::Disk(error)),
        };
        let (mut length, mut hasher) = (0_u64, Sha256::new());
        let mut pieces = object.into_stream();
        while let Some(piece) = self.next_piece(&mut pieces).await? {
            length += piece.len() as u64;
            if length > limit {
                return Ok(Streamed::TooLong);
            }
            hasher.update(&piece);
            if let Err(error) = file.write_all(&piece).await {
                return Ok(Streamed::Disk(error));
            }
        }
        if let Err(error) = file.sync_all().await {
            return Ok(Streamed::Disk(error));
        }
        let sha256 = Digest(hasher.finalize().into());
        Ok(Streamed::Whole(Fetched { length, sha256 }))
    }

    /// A transfer may be long, a silence not.
    async fn next_piece(
        &self,
        pieces: &mut futures::stream::BoxStream<'static, object_store::Result<Bytes>>,
    ) -> object_store::Result<Option<Bytes>> {
        tokio::time::timeout(self.patience.answer, pieces.next())
            .await
            .map_err(|_| silence(self.patience.answer))?
            .transpose()
    }

    /// The objects directly in a folder, in ascending order of their names, however many pages they fill.
    ///
    /// # Errors
    /// A [`StoreError`].
    pub async fn list(&self, folder: &str) -> Result<Vec<Listed>, StoreError> {
        let location = self.location(folder);
        let list = || async {
            let mut found = Vec::new();
            let mut objects = self.objects.list(Some(&location));
            while let Some(object) = objects.try_next().await? {
                let mut parts = object
                    .location
                    .prefix_match(&location)
                    .into_iter()
                    .flatten();
                if let (Some(name), None) = (parts.next(), parts.next()) {
                    found.push(Listed {
                        name: name.as_ref().to_owned(),
                        length: object.size,
                        modified: object.last_modified.into(),
                    });
                }
            }
            Ok(found)
        };
        // A page holds a thousand or more; a million segments are a ledger of petabytes.
        let mut found = self
            .persist(folder, self.patience.answer * 10, list)
            .await?
            .unwrap_or_default();
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    /// The folders directly below the prefix.
    ///
    /// # Errors
    /// A [`StoreError`].
    pub async fn folders(&self) -> Result<Vec<String>, StoreError> {
        let list = || self.objects.list_with_delimiter(Some(&self.prefix));
        let found = self.persist("/", self.patience.answer, list).await?;
        let folders = found.map(|found| found.common_prefixes).unwrap_or_default();
        Ok(folders
            .iter()
            .filter_map(|folder| folder.filename().map(str::to_owned))
            .collect())
    }

    /// Whether the store leaves an object alone that is already there. Many S3 look-alikes accept the condition and
    /// ignore it. The object that this is tried with stays, and is the same for everybody.
    ///
    /// # Errors
    /// [`StoreError::Overwrites`] if it does not, or what else went wrong.
    pub async fn probe(&self) -> Result<(), StoreError> {
        let text = Bytes::from_static(PROBE_TEXT.as_bytes());
        self.create(PROBE, text.clone()).await?;
        match self.create(PROBE, text).await? {
            Created::AlreadyThere => Ok(()),
            Created::New => Err(StoreError::Overwrites {
                place: self.place.to_string(),
            }),
        }
    }

    fn location(&self, key: &str) -> Path {
        Path::from_iter(self.prefix.parts().chain(Path::from(key).parts()))
    }

    /// Tries until it works, it makes no sense, or patience is at an end. Nothing if there is no such object.
    async fn persist<T, F>(
        &self,
        key: &str,
        time: Duration,
        attempt: impl Fn() -> F,
    ) -> Result<Option<T>, StoreError>
    where
        F: Future<Output = object_store::Result<T>>,
    {
        let mut pause = self.patience.pause;
        let mut tries = 1;
        loop {
            let reached = async {
                self.check_root()?;
                attempt().await
            };
            let error = match tokio::time::timeout(time, reached).await {
                Ok(Ok(value)) => return Ok(Some(value)),
                Ok(Err(object_store::Error::NotFound { .. })) => return Ok(None),
                Ok(Err(error)) => error,
                Err(_) => silence(time),
            };
            let what = without_queries(&error_chain(&error));
            if !may_pass(&error) {
                return Err(self.refused(key, what));
            }
            if tries >= self.patience.tries {
                return Err(StoreError::Unavailable {
                    place: self.place.to_string(),
                    key: key.to_owned(),
                    what,
                });
            }
            tokio::time::sleep(pause).await;
            (tries, pause) = (tries + 1, pause * 2);
        }
    }

    fn check_root(&self) -> object_store::Result<()> {
        match &self.root {
            Some(root) if !root.is_dir() => Err(temporary(
                "there is no such folder: make it, or mount it (it is not made by itself, so that a missing mount is noticed)",
            )),
            _ => Ok(()),
        }
    }

    fn refused(&self, key: &str, what: impl Into<String>) -> StoreError {
        StoreError::Refused {
            place: self.place.to_string(),
            key: key.to_owned(),
            what: what.into(),
        }
    }

    fn too_long(&self, key: &str, limit: u64) -> StoreError {
        StoreError::TooLong {
            place: self.place.to_string(),
            key: key.to_owned(),
            limit,
        }
    }
}

/// How a transfer ended. Only what the store did is tried again.
enum Streamed {
    Whole(Fetched),
    TooLong,
    Disk(io::Error),
}

fn silence(time: Duration) -> object_store::Error {
    temporary(&format!("no answer within {time:?}"))
}

fn temporary(what: &str) -> object_store::Error {
    object_store::Error::Generic {
        store: "objects",
        source: what.into(),
    }
}

/// Whether the same call may work later without anybody doing anything.
fn may_pass(error: &object_store::Error) -> bool {
    use object_store::Error::{Generic, JoinError};
    matches!(error, Generic { .. } | JoinError { .. })
}

/// An error with all its causes, each said once.
fn error_chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

/// The text without what stands behind a `?`: a signature that gives access may be part of a URL.
fn without_queries(text: &str) -> String {
    let words = text
        .split_inclusive(char::is_whitespace)
        .map(|word| match word.split_once('?') {
            Some((kept, query)) if kept.contains("://") => {
                let space = query.chars().last().filter(|last| last.is_whitespace());
                format!("{kept}{}", space.map(String::from).unwrap_or_default())
            }
            _ => word.to_owned(),
        });
    words.collect()
}

#[cfg(test)]
mod tests {
    use super::without_queries;

    #[test]
    fn an_error_does_not_tell_the_signature_in_a_url() {
        let text = "GET https://a.example/c?sv=1&sig=SECRET failed: why? nobody knows";
        let told = without_queries(text);
        assert_eq!(told, "GET https://a.example/c failed: why? nobody knows");
    }
}
