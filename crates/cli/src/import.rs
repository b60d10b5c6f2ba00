//! `starling import`: an export into a library, with all that was said of its files and whose word it was.
//!
//! The manifest is checked against itself before anything is sent, and every original against its hash before it travels.
//! Fields and albums come first, then files side by side: their bytes if the library lacks them, then what was said. What a
//! person has said here before stays, so it does no harm to do it again. At the end the library is asked what it says of
//! these files now, and that is compared line by line.

mod compare;
mod definitions;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use clap::builder::FalseyValueParser;
use futures::stream::{self, StreamExt as _};
use indicatif::{HumanBytes, ProgressBar};
use model::BlobId;
use reqwest::header::{HeaderName, HeaderValue};
use serde::Serialize;
use serde_json::{Value, json};

use crate::client::{Call, CallError, Client, Source};
use crate::connection::Connection;
use crate::content::{There, look};
use crate::export::manifest::{Header, Line, MANIFEST, Manifest, ManifestError};
use crate::export::{self, PATIENCE};
use crate::failure::{Failure, in_one_line};
use crate::output::{self, Format, at, shown, text_at};
use crate::upload::{self, Standing};
use definitions::Definitions;

/// Files asked about at once.
const AT_ONCE: usize = 500;
const MIN_HEIGHT: HeaderName = HeaderName::from_static("starling-min-height");

/// Adds what an export has: files, fields, albums and all that is known of files. What people have said here stays.
#[derive(Debug, clap::Args)]
pub(crate) struct Import {
    /// The folder of an export
    folder: PathBuf,

    /// How many files are read and sent at a time
    #[arg(
        long,
        env = "STARLING_IMPORT_PARALLEL",
        value_name = "N",
        default_value_t = 4,
        value_parser = clap::value_parser!(u16).range(1..=64)
    )]
    parallel: u16,

    /// Only check the export, and say what would be sent
    #[arg(long, short = 'n', env = "STARLING_IMPORT_DRY_RUN", value_parser = FalseyValueParser::new())]
    dry_run: bool,

    #[command(flatten)]
    connection: Connection,

    #[command(flatten)]
    format: Format,
}

/// What became of a file.
enum State {
    /// Its bytes were sent.
    Uploaded,
    /// Its bytes were there.
    Present,
    /// Its bytes would be sent.
    Planned,
    /// Not done.
    Failed(String),
}

/// The counts add up: files = uploaded + present + planned + failed.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Summary {
    files: u64,
    uploaded: u64,
    present: u64,
    planned: u64,
    failed: u64,
    bytes: u64,
    /// Of the export.
    exported_digest: String,
    /// Of what is said here of the same files, fields and albums.
    imported_digest: Option<String>,
    /// Of all that is said in the library.
    library_digest: Option<String>,
    /// Whether the first two are equal.
    equal: Option<bool>,
    /// Files, fields and albums of which something else is said here.
    differing: u64,
    seconds: f64,
}

/// Where what is imported goes.
struct Target {
    client: Client,
    folder: PathBuf,
    /// The highest height that a change was answered at: who is asked next must have seen it.
    height: AtomicU64,
}

impl Import {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let started = Instant::now();
        let header = self.manifest()?.check()?;
        let client = Client::new(&self.connection)?;
        client.learn_nodes().await?;
        let target = Target {
            client: client.with_patience(PATIENCE),
            folder: self.folder.clone(),
            height: AtomicU64::new(0),
        };
        let definitions = Definitions::read(self.manifest()?)?;
        let new = definitions.bring(&target, self.dry_run).await?;
        let mut summary = Summary {
            files: header.files,
            exported_digest: header.metadata_digest.clone(),
            ..Summary::default()
        };
        self.bring_all(&target, &header, &mut summary).await?;
        if !self.dry_run {
            definitions.choose_covers(&target, &new).await?;
            self.compare(&target, &header, &mut summary).await?;
        }
        summary.seconds = started.elapsed().as_secs_f64();
        self.conclude(&summary)?;
        match summary.failed {
            0 => Ok(()),
            _ => Err(Failure::SomeFiles),
        }
    }

    fn manifest(&self) -> Result<Manifest, ManifestError> {
        Manifest::open(&self.folder.join(MANIFEST))
    }

    async fn bring_all(
        &self,
        target: &Target,
        header: &Header,
        summary: &mut Summary,
    ) -> Result<(), Failure> {
        let bar = output::progress();
        bar.inc_length(header.bytes);
        let parallel = usize::from(self.parallel);
        let lanes: Vec<Client> = (0..parallel)
            .map(|lane| target.client.starting_at(lane))
            .collect();
        let outcomes = stream::iter(self.manifest()?)
            .filter_map(async |line| match line {
                Ok(line) => line.file().map(|(id, size)| Ok((line, id, size))),
                Err(error) => Some(Err(Failure::from(error))),
            })
            .chunks(AT_ONCE)
            .then(|lines| ask(&target.client, lines))
            .flat_map(|answer| match answer {
                Ok(lines) => stream::iter(lines).map(Ok).left_stream(),
                Err(failure) => stream::iter([Err(failure)]).right_stream(),
            })
            .zip(stream::iter(lanes).cycle())
            .map(async |(asked, lane)| {
                let (line, standing) = asked?;
                let state = self.settle(target, &lane, &line, standing).await;
                Ok::<_, Failure>((line, state))
            })
            .buffer_unordered(parallel);
        let mut outcomes = std::pin::pin!(outcomes);
        while let Some(outcome) = outcomes.next().await {
            let (line, state) = outcome?;
            bar.inc(line.file().map_or(0, |(_, size)| size));
            self.report(&line, &state, summary, &bar)?;
        }
        bar.finish_and_clear();
        Ok(())
    }

    /// Sends what is missing, then what was said.
    async fn settle(
        &self,
        target: &Target,
        lane: &Client,
        line: &Line,
        standing: Standing,
    ) -> State {
        let missing = standing == Standing::Missing;
        if missing && let Err(error) = target.check(line).await {
            return State::Failed(error);
        }
        match (missing, self.dry_run) {
            (true, true) => return State::Planned,
            (false, true) => return State::Present,
            (true, false) => {
                if let Err(error) = target.upload(lane, line).await {
                    return State::Failed(error);
                }
            }
            (false, false) => {}
        }
        match target.carry(lane, line).await {
            Ok(()) if missing => State::Uploaded,
            Ok(()) => State::Present,
            Err(error) => State::Failed(in_one_line(&error.into())),
        }
    }

    fn report(
        &self,
        line: &Line,
        state: &State,
        summary: &mut Summary,
        bar: &ProgressBar,
    ) -> Result<(), Failure> {
        let (word, reason) = match state {
            State::Uploaded => ("uploaded", None),
            State::Present => ("present", None),
            State::Planned => ("planned", None),
            State::Failed(error) => ("failed", Some(error)),
        };
        match state {
            State::Uploaded => {
                summary.uploaded += 1;
                summary.bytes += line.file().map_or(0, |(_, size)| size);
            }
            State::Present => summary.present += 1,
            State::Planned => summary.planned += 1,
            State::Failed(_) => summary.failed += 1,
        }
        if self.format.json {
            let id = at(&line.record, "/id");
            let object = json!({"path": line.path, "id": id, "state": word, "reason": reason});
            return Ok(output::object(&object)?);
        }
        if let Some(reason) = reason {
            bar.suspend(|| output::note(&format!("failed: {}: {reason}", line.called())));
        }
        Ok(())
    }

    async fn compare(
        &self,
        target: &Target,
        header: &Header,
        summary: &mut Summary,
    ) -> Result<(), Failure> {
        let compared = compare::with(target, self.manifest()?, |difference| {
            summary.differing += 1;
            if self.format.json {
                return Ok(output::object(difference)?);
            }
            Ok(output::line(&format!("differs: {difference}"))?)
        });
        let imported = compared.await?;
        let library: Value = target.client.json(&target.seeing(export::digest())).await?;
        summary.equal = Some(imported == header.metadata_digest);
        summary.imported_digest = Some(imported);
        summary.library_digest = Some(text_at(&library, "/digest"));
        Ok(())
    }

    fn conclude(&self, summary: &Summary) -> Result<(), Failure> {
        if self.format.json {
            return Ok(output::object(&json!({ "summary": summary }))?);
        }
        let mut said = format!("{} files: {} uploaded", summary.files, summary.uploaded);
        for (count, word) in [
            (summary.planned, "to upload"),
            (summary.present, "already there"),
            (summary.failed, "failed"),
        ] {
            if count > 0 {
                said += &format!(", {count} {word}");
            }
        }
        let (bytes, seconds) = (HumanBytes(summary.bytes), summary.seconds);
        output::line(&format!("{said}; {bytes} in {seconds:.1} s"))?;
        output::line(&format!(
            "metadata digest {} exported",
            summary.exported_digest
        ))?;
        let (Some(imported), Some(equal)) = (&summary.imported_digest, summary.equal) else {
            return Ok(());
        };
        let verdict = if equal { "equal" } else { "not equal" };
        Ok(output::line(&format!(
            "metadata digest {imported} here: {verdict}"
        ))?)
    }
}

impl Target {
    /// A call to whoever has seen all that was done so far.
    fn seeing(&self, call: Call) -> Call {
        let height = self.height.load(Ordering::Relaxed);
        call.header(MIN_HEIGHT, HeaderValue::from(height))
    }

    /// Makes a change and notes its height.
    async fn change(&self, client: &Client, call: Call) -> Result<Value, CallError> {
        let answer = client.call(&self.seeing(call)).await?;
        self.height.fetch_max(answer.height(), Ordering::Relaxed);
        answer.read().await
    }

    fn path(&self, line: &Line) -> PathBuf {
        self.folder
            .join(Path::new(line.path.as_deref().unwrap_or_default()))
    }

    /// Whether the original is there as it was.
    async fn check(&self, line: &Line) -> Result<(), String> {
        let (path, file) = (self.path(line), line.file().expect("a file's line"));
        match look(&path, file).await {
            Ok(There::Same) => Ok(()),
            Ok(There::Other) => Err(format!(
                "its bytes are not those of {}: it was changed or damaged",
                file.0
            )),
            Ok(There::Nothing) => Err("it is not in the folder".to_owned()),
            Err(error) => Err(format!("reading it: {error}")),
        }
    }

    async fn upload(&self, lane: &Client, line: &Line) -> Result<(), String> {
        let (id, size) = line.file().expect("a file's line");
        let name = at(&line.record, "/name").as_str().unwrap_or_default();
        let upload = crate::client::Upload {
            name: name.to_owned(),
            metadata: json!({}),
            size,
            source: Source::Path(self.path(line)),
            sidecar: None,
        };
        let added = upload::add_file(lane, upload).await;
        let (_, added): (_, BlobId) = added.map_err(|error| in_one_line(&error.into()))?;
        if added != id {
            return Err(format!(
                "it was changed while it was read; the cluster has it as {added}"
            ));
        }
        Ok(())
    }

    async fn carry(&self, lane: &Client, line: &Line) -> Result<(), CallError> {
        let id = at(&line.record, "/id").as_str().unwrap_or_default();
        let call = Call::put(format!("/import/files/{id}"), line.record.clone());
        self.change(lane, call).await.map(drop)
    }
}

type Asked = Result<(Line, BlobId, u64), Failure>;

/// Which of these the library has.
async fn ask(client: &Client, lines: Vec<Asked>) -> Result<Vec<(Line, Standing)>, Failure> {
    let lines = lines.into_iter().collect::<Result<Vec<_>, _>>()?;
    let asked: Vec<(BlobId, u64)> = lines.iter().map(|(_, id, size)| (*id, *size)).collect();
    let standings = upload::check(client, &asked).await?;
    let lines = lines.into_iter().map(|(line, _, _)| line);
    Ok(lines.zip(standings).collect())
}

/// A refusal before anything was changed.
fn refused(text: &str) -> Failure {
    Failure::Other(anyhow::Error::msg(shown(text)))
}
