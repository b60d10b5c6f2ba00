//! `starling download`: the originals of some files into a folder.
//!
//! They get the names that people gave them, as far as those are harmless; where a name is taken, the beginning of the file's id
//! is added. What is there with the right bytes is left, what has come half is gone on with, and what is anything else is
//! left as it is.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};

use futures::stream::{self, StreamExt as _};
use indicatif::ProgressBar;
use model::BlobId;
use serde_json::{Value, json};

use crate::client::{Call, Client};
use crate::connection::Connection;
use crate::content::{FetchError, There, bring, look, writing};
use crate::export::{self, PATIENCE, names};
use crate::failure::{Failure, in_one_line};
use crate::output::{self, Format, at, shown};

/// Fetches the originals of files into a folder. Run it again to go on.
#[derive(Debug, clap::Args)]
pub(crate) struct Download {
    /// Where they go; made if it is not there
    folder: PathBuf,

    /// Ids of files
    #[arg(required_unless_present = "query", conflicts_with = "query")]
    ids: Vec<BlobId>,

    /// All files that this finds instead, 'tag:beach after:2019' for instance; '' for all
    #[arg(long, env = "STARLING_DOWNLOAD_QUERY", allow_hyphen_values = true)]
    query: Option<String>,

    /// How many files are fetched at a time
    #[arg(
        long,
        env = "STARLING_DOWNLOAD_PARALLEL",
        value_name = "N",
        default_value_t = 4,
        value_parser = clap::value_parser!(u16).range(1..=64)
    )]
    parallel: u16,

    #[command(flatten)]
    connection: Connection,

    #[command(flatten)]
    format: Format,
}

/// A file that is wanted.
struct Wanted {
    id: BlobId,
    size: u64,
    /// Its first choice; none if another file of these has it.
    plain: Option<String>,
    /// A name that it shares with nobody.
    marked: String,
}

impl Download {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let client = Client::new(&self.connection)?;
        client.learn_nodes().await?;
        let client = client.with_patience(PATIENCE);
        std::fs::create_dir_all(&self.folder).map_err(writing(&self.folder))?;
        let wanted = self.wanted(&client).await?;
        let bar = output::progress();
        bar.inc_length(wanted.iter().map(|file| file.size).sum());
        let parallel = usize::from(self.parallel);
        let lanes: Vec<Client> = (0..parallel).map(|lane| client.starting_at(lane)).collect();
        let done = stream::iter(wanted)
            .zip(stream::iter(lanes).cycle())
            .map(async |(file, lane)| {
                let done = self.bring(&lane, &file, &bar).await;
                (file, done)
            })
            .buffer_unordered(parallel);
        let mut done = std::pin::pin!(done);
        let mut failed = false;
        while let Some((file, done)) = done.next().await {
            failed |= done.is_err();
            self.report(&file, done, &bar)?;
        }
        bar.finish_and_clear();
        if failed {
            return Err(Failure::SomeFiles);
        }
        Ok(())
    }

    async fn wanted(&self, client: &Client) -> Result<Vec<Wanted>, Failure> {
        let mut names = Names::default();
        if let Some(query) = &self.query {
            let told = |file: &Value| {
                let id = at(file, "/id").as_str()?.parse().ok()?;
                let name = at(file, "/name").as_str()?.to_owned();
                Some((id, at(file, "/size").as_u64()?, name))
            };
            let found = export::found(client, query, told).await?;
            let wanted = found.into_iter().flatten();
            return Ok(wanted
                .map(|(id, size, name)| names.wanted(id, size, &name))
                .collect());
        }
        let mut wanted = Vec::new();
        for id in &self.ids {
            let file: Value = client.json(&Call::get(format!("/files/{id}"))).await?;
            let size = at(&file, "/size").as_u64().unwrap_or_default();
            let name = at(&file, "/name").as_str().unwrap_or_default();
            wanted.push(names.wanted(*id, size, name));
        }
        Ok(wanted)
    }

    async fn bring(
        &self,
        client: &Client,
        file: &Wanted,
        bar: &ProgressBar,
    ) -> Result<(PathBuf, bool), FetchError> {
        let what = (file.id, file.size);
        let mut choices = file.plain.iter().chain([&file.marked]);
        let (path, there) = loop {
            let Some(name) = choices.next() else {
                let path = self.folder.join(&file.marked);
                let taken = std::io::Error::from(std::io::ErrorKind::AlreadyExists);
                return Err(writing(&path)(taken));
            };
            let path = self.folder.join(name);
            match look(&path, what).await.map_err(writing(&path))? {
                There::Other => {}
                there => break (path, there == There::Same),
            }
        };
        if there {
            bar.inc(file.size);
        } else {
            bring(client, what, &path, &|bytes| bar.inc(bytes)).await?;
        }
        Ok((path, there))
    }

    fn report(
        &self,
        file: &Wanted,
        done: Result<(PathBuf, bool), FetchError>,
        bar: &ProgressBar,
    ) -> Result<(), Failure> {
        let id = file.id.to_string();
        let (path, state, reason) = match done {
            Ok((path, true)) => (Some(path), "present", None),
            Ok((path, false)) => (Some(path), "fetched", None),
            Err(full @ FetchError::Full { .. }) => return Err(full.into()),
            Err(error) => (None, "failed", Some(in_one_line(&error.into()))),
        };
        let path = path.as_deref().map(Path::to_string_lossy);
        if self.format.json {
            let object = json!({"id": id, "path": path, "state": state, "reason": reason});
            return Ok(output::object(&object)?);
        }
        match (path, reason) {
            (Some(path), _) => bar.suspend(|| output::line(&shown(&path)))?,
            (None, reason) => {
                let reason = reason.unwrap_or_default();
                bar.suspend(|| output::note(&format!("failed: {id}: {reason}")));
            }
        }
        Ok(())
    }
}

/// Names that are given away, in no case of letters in particular, as hashes: that two of these meet by chance only makes one
/// name longer.
#[derive(Default)]
struct Names(HashSet<u64>);

impl Names {
    fn wanted(&mut self, id: BlobId, size: u64, name: &str) -> Wanted {
        let (plain, marked) = names::pair(name, &id.to_string());
        let mut hasher = DefaultHasher::new();
        plain.to_lowercase().hash(&mut hasher);
        let free = self.0.insert(hasher.finish());
        Wanted {
            id,
            size,
            plain: free.then_some(plain),
            marked,
        }
    }
}
