//! `starling export`: everything of a library into a folder that needs no Starling to be read.
//!
//! Originals under names that people can read, an XMP file beside each, and a manifest of all that is said, with whose word
//! it is, from which `starling import` makes the same again. First the records are listed, then the bytes fetched, from all
//! nodes side by side; the manifest appears under its name when all of it is there. What is there with the right bytes is not
//! fetched again, so an export that broke off is run again, and so is one of last month. Nothing is overwritten that an
//! export did not write.

mod listing;
pub(crate) mod manifest;
pub(crate) mod names;
mod sidecar;

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use futures::stream::{self, StreamExt as _};
use indicatif::{HumanBytes, ProgressBar};
use model::Digest;
use serde::Serialize;
use serde_json::json;

use crate::client::{Client, Patience};
use crate::connection::Connection;
use crate::content::{FetchError, There, bring, look, with_suffix, writing};
use crate::failure::{Failure, in_one_line};
use crate::output::{self, Format, shown};
use listing::{Listed, Listing};
pub(crate) use listing::{digest, found};
use manifest::{Header, Line, MANIFEST};

/// How long one file is asked for while no node gives it.
pub(crate) const PATIENCE: Patience = Patience::For(Duration::from_secs(60));
/// Hashes of all originals and sidecars, as `sha256sum -c` reads them.
const SUMS: &str = "SHA256SUMS";

/// Writes originals, XMP sidecars and a manifest of all that is known into a folder. Run it again to go on.
#[derive(Debug, clap::Args)]
pub(crate) struct Export {
    /// Where it all goes; made if it is not there
    folder: PathBuf,

    /// Only files that this finds, 'tag:beach in:all' for instance; all of the library if left out, also archived and trashed ones
    #[arg(long, env = "STARLING_EXPORT_QUERY", allow_hyphen_values = true)]
    query: Option<String>,

    /// How many files are fetched at a time
    #[arg(
        long,
        env = "STARLING_EXPORT_PARALLEL",
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

/// What became of a file.
enum State {
    /// Its bytes came now.
    Fetched,
    /// They were there.
    Present,
    /// Not done.
    Failed(String),
}

struct Outcome {
    line: Line,
    state: State,
}

/// The counts add up: files = fetched + present + failed.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Summary {
    files: u64,
    fetched: u64,
    present: u64,
    failed: u64,
    bytes: u64,
    metadata_digest: String,
    seconds: f64,
}

impl Export {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let started = Instant::now();
        let client = Client::new(&self.connection)?;
        client.learn_nodes().await?;
        let client = client.with_patience(PATIENCE);
        let folder = Folder::prepare(&self.folder)?;
        let listing = Listing::new(&client, &folder.listed, self.query.as_deref());
        let listed = listing.run(self.connection.library.clone()).await?;
        let bar = output::progress();
        bar.inc_length(listed.header.bytes);
        let summary = self.bring_all(&client, &folder, &listed, &bar).await;
        bar.finish_and_clear();
        let mut summary = summary?;
        if summary.failed == 0 {
            folder.finish(&listed.header)?;
        }
        summary
            .metadata_digest
            .clone_from(&listed.header.metadata_digest);
        summary.seconds = started.elapsed().as_secs_f64();
        self.conclude(&summary)?;
        if !listed.at_one_height {
            output::note(
                "the library was changed while it was listed: each record is as it was at its own moment",
            );
        }
        match summary.failed {
            0 => Ok(()),
            _ => Err(Failure::SomeFiles),
        }
    }

    async fn bring_all(
        &self,
        client: &Client,
        folder: &Folder,
        listed: &Listed,
        bar: &ProgressBar,
    ) -> Result<Summary, Failure> {
        let parallel = usize::from(self.parallel);
        let lanes: Vec<Client> = (0..parallel).map(|lane| client.starting_at(lane)).collect();
        let outcomes = stream::iter(folder.lines()?)
            .zip(stream::iter(lanes).cycle())
            .map(async |(line, lane)| {
                let line = line?;
                match line.file() {
                    Some(_) => folder.bring(&lane, line, bar).await.map(Some),
                    None => Ok(None),
                }
            })
            .buffer_unordered(parallel);
        let mut outcomes = std::pin::pin!(outcomes);
        let mut summary = Summary {
            files: listed.header.files,
            ..Summary::default()
        };
        while let Some(outcome) = outcomes.next().await {
            if let Some(outcome) = outcome? {
                self.report(&outcome, &mut summary, bar)?;
            }
        }
        Ok(summary)
    }

    fn report(
        &self,
        outcome: &Outcome,
        summary: &mut Summary,
        bar: &ProgressBar,
    ) -> Result<(), Failure> {
        let (word, reason) = match &outcome.state {
            State::Fetched => ("fetched", None),
            State::Present => ("present", None),
            State::Failed(error) => ("failed", Some(error)),
        };
        match outcome.state {
            State::Fetched => {
                summary.fetched += 1;
                summary.bytes += outcome.line.file().map_or(0, |(_, size)| size);
            }
            State::Present => summary.present += 1,
            State::Failed(_) => summary.failed += 1,
        }
        if self.format.json {
            let id = output::at(&outcome.line.record, "/id");
            let path = outcome.line.path.as_deref();
            let object = json!({"path": path, "id": id, "state": word, "reason": reason});
            return Ok(output::object(&object)?);
        }
        if let Some(reason) = reason {
            let called = outcome.line.called();
            bar.suspend(|| output::note(&format!("failed: {called}: {reason}")));
        }
        Ok(())
    }

    fn conclude(&self, summary: &Summary) -> Result<(), Failure> {
        if self.format.json {
            return Ok(output::object(&json!({ "summary": summary }))?);
        }
        let Summary {
            files,
            fetched,
            present,
            failed,
            bytes,
            metadata_digest,
            seconds,
        } = summary;
        let bytes = HumanBytes(*bytes);
        let mut said = format!("{files} files: {fetched} fetched, {present} there already");
        if *failed > 0 {
            said += &format!(", {failed} failed: run it again");
        }
        output::line(&format!("{said}; {bytes} in {seconds:.1} s"))?;
        Ok(output::line(&format!("metadata digest {metadata_digest}"))?)
    }
}

/// The folder that an export is in.
struct Folder {
    root: PathBuf,
    /// The lines of the manifest that is to be.
    listed: PathBuf,
}

impl Folder {
    /// Makes the folder, if what is there is nobody else's.
    fn prepare(root: &Path) -> Result<Self, Failure> {
        std::fs::create_dir_all(root).map_err(writing(root))?;
        let manifest = root.join(MANIFEST);
        let listed = with_suffix(&manifest, ".partial");
        let ours = listed.exists() || manifest::Manifest::open(&manifest).is_ok();
        let sums = root.join(SUMS);
        let mut results = [&manifest, &sums].into_iter();
        if let Some(path) = results.find(|path| !ours && path.exists()) {
            let path = shown(&path.to_string_lossy());
            let said = format!("{path} is not of an export of this format: choose another folder");
            return Err(Failure::Usage(said));
        }
        Ok(Self {
            root: root.to_owned(),
            listed,
        })
    }

    fn lines(&self) -> Result<impl Iterator<Item = Result<Line, Failure>> + use<>, Failure> {
        listing::read(&self.listed)
    }

    /// Brings one file and writes its sidecar. An error is one that every other file would meet as well.
    async fn bring(
        &self,
        client: &Client,
        line: Line,
        bar: &ProgressBar,
    ) -> Result<Outcome, Failure> {
        let state = match self.try_bring(client, &line, bar).await {
            Ok(state) => state,
            Err(full @ FetchError::Full { .. }) => return Err(full.into()),
            Err(error) => State::Failed(in_one_line(&error.into())),
        };
        Ok(Outcome { line, state })
    }

    async fn try_bring(
        &self,
        client: &Client,
        line: &Line,
        bar: &ProgressBar,
    ) -> Result<State, FetchError> {
        let file = line.file().expect("only files are brought");
        let path = self.root.join(line.path.as_deref().unwrap_or_default());
        let folder = path.parent().unwrap_or(&self.root);
        std::fs::create_dir_all(folder).map_err(writing(folder))?;
        let state = match look(&path, file).await.map_err(writing(&path))? {
            There::Same => {
                bar.inc(file.1);
                State::Present
            }
            There::Other => return Ok(State::Failed(elsewhere())),
            There::Nothing => {
                bring(client, file, &path, &|bytes| bar.inc(bytes)).await?;
                State::Fetched
            }
        };
        let beside = with_suffix(&path, ".xmp");
        match put_sidecar(&beside, &sidecar::of(&line.record)).map_err(writing(&beside))? {
            true => Ok(state),
            false => Ok(State::Failed(elsewhere())),
        }
    }

    /// Gives the manifest its name, now that everything in it is there.
    fn finish(&self, header: &Header) -> Result<(), Failure> {
        let sums = self.root.join(SUMS);
        self.write(&sums, |out| {
            for line in listing::read(&self.listed)? {
                let line = line?;
                if let (Some((id, _)), Some(path)) = (line.file(), &line.path) {
                    let beside = Digest::of(&[sidecar::of(&line.record).as_bytes()]);
                    write!(out, "{id}  {path}\n{beside}  {path}.xmp\n").map_err(writing(&sums))?;
                }
            }
            Ok(())
        })?;
        let path = self.root.join(MANIFEST);
        self.write(&path, |out| {
            let first = serde_json::to_string(header).expect("texts and numbers");
            let copied = writeln!(out, "{first}")
                .and_then(|()| File::open(&self.listed))
                .and_then(|mut lines| io::copy(&mut lines, out));
            Ok(copied.map(drop).map_err(writing(&path))?)
        })?;
        Ok(std::fs::remove_file(&self.listed).map_err(writing(&self.listed))?)
    }

    /// Writes a file beside and puts it in its place when it is on the disk.
    fn write(
        &self,
        path: &Path,
        fill: impl FnOnce(&mut BufWriter<File>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let new = with_suffix(path, ".new");
        let mut out = BufWriter::new(File::create(&new).map_err(writing(path))?);
        fill(&mut out)?;
        let file = out.into_inner().map_err(io::IntoInnerError::into_error);
        file.and_then(|file| file.sync_all())
            .and_then(|()| std::fs::rename(&new, path))
            .map_err(writing(path))?;
        Ok(())
    }
}

fn elsewhere() -> String {
    "another file is in its place, which is left as it is: move it away, and run it again"
        .to_owned()
}

/// Writes a sidecar, unless something else is there; whether it is the one now.
fn put_sidecar(path: &Path, text: &str) -> io::Result<bool> {
    match std::fs::read(path) {
        Ok(there) if there == text.as_bytes() => return Ok(true),
        Ok(there) => {
            let ours = sidecar::TOOLKIT.as_bytes();
            if !there.windows(ours.len()).any(|part| part == ours) {
                return Ok(false);
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let new = with_suffix(path, ".partial");
    std::fs::write(&new, text)?;
    std::fs::rename(&new, path)?;
    Ok(true)
}
