//! `starling ledger`: the chain's head, whether every byte of it is what it was, taking it elsewhere and back, and proofs
//! for those who hold none of it.

mod evidence;
mod export;
pub(crate) mod import;
mod offline;
pub(crate) mod place;
mod proof;
mod prune;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use clap::builder::FalseyValueParser;
use reqwest::Url;
use serde_json::{Value, json};

use crate::client::{Body, Call, Client};
use crate::connection::Connection;
use crate::failure::Failure;
use crate::output::{self, Format, at, list_at, text_at};

/// Reading a whole ledger takes as long as it takes.
const VERIFY_TIMEOUT: Duration = Duration::from_secs(3600);

/// Looks at the ledger.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Ledger {
    /// Print height and hash of the last block
    Head(Head),
    /// Check every checksum, link, Merkle root and certificate, on a node or in a folder
    Verify(Verify),
    /// Fetch a receipt: proof that a file was added, or a record appended, for anybody
    Receipt(proof::Receipt),
    /// Fetch what a check of receipts begins at, or prove that history was only appended to since
    Checkpoint(proof::Fetch),
    /// Check a receipt, without any node
    Check(proof::Check),
    /// Check the proof that a node has signed two statements that contradict each other
    Evidence(evidence::Check),
    /// Write all of a ledger into one file, a folder or an object store
    Export(export::Export),
    /// Destroy the bytes of old commands about files; a snapshot takes their place
    Prune(prune::Prune),
    /// Make a ledger's folder of an export or an archive, after verifying all of it
    Import(import::Import),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Head {
    #[command(flatten)]
    connection: Connection,

    #[command(flatten)]
    format: Format,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Verify {
    /// A node's `ledger` folder, checked without any node; stop the node that writes it first
    #[arg(long, env = "STARLING_LEDGER_FOLDER", value_name = "DIR")]
    folder: Option<PathBuf>,

    /// Let every node of the cluster check its own copy, instead of one
    #[arg(
        long,
        env = "STARLING_LEDGER_ALL",
        conflicts_with = "folder",
        value_parser = FalseyValueParser::new()
    )]
    all: bool,

    /// Also hash every file's bytes; those that differ are put aside and fetched anew
    #[arg(
        long,
        env = "STARLING_LEDGER_BLOBS",
        conflicts_with_all = ["folder", "export"],
        value_parser = FalseyValueParser::new()
    )]
    blobs: bool,

    /// Also rebuild the catalogue beside the one in use; one that differs is replaced
    #[arg(
        long,
        env = "STARLING_LEDGER_CATALOGUE",
        conflicts_with_all = ["folder", "export"],
        value_parser = FalseyValueParser::new()
    )]
    catalogue: bool,

    /// An export or an archive, checked without any node: a file, a folder, or file:///…, az://…, s3://…, gs://…
    #[arg(
        long,
        env = "STARLING_LEDGER_EXPORT",
        value_name = "FILE|URL",
        conflicts_with_all = ["folder", "all"]
    )]
    export: Option<String>,

    #[command(flatten)]
    origin: import::Origin,

    #[command(flatten)]
    connection: Connection,

    #[command(flatten)]
    format: Format,
}

impl Ledger {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        match self {
            Self::Head(head) => head.run().await,
            Self::Verify(verify) => verify.run().await,
            Self::Receipt(receipt) => receipt.run().await,
            Self::Checkpoint(fetch) => fetch.run().await,
            Self::Check(check) => check.run(),
            Self::Evidence(check) => check.run(),
            Self::Export(export) => export.run().await,
            Self::Prune(prune) => prune.run().await,
            Self::Import(import) => import.run().await,
        }
    }
}

impl Head {
    async fn run(self) -> Result<(), Failure> {
        let client = Client::new(&self.connection)?;
        let head: Value = client.json(&Call::get("/ledger/head")).await?;
        if self.format.json {
            return Ok(output::object(&head)?);
        }
        let (height, hash) = (at(&head, "/height"), text_at(&head, "/hash"));
        Ok(output::line(&format!("{height} {hash}"))?)
    }
}

impl Verify {
    async fn run(self) -> Result<(), Failure> {
        if self.export.is_none() && self.origin.is_given() {
            let text = "--trust and --chain say something about --export alone";
            return Err(Failure::Usage(text.to_owned()));
        }
        let sound = match (&self.folder, &self.export) {
            (Some(folder), _) => self.report(&check_folder(folder)?)?,
            (None, Some(export)) => self.report(&import::verify(export, &self.origin).await?)?,
            (None, None) => self.check_nodes().await?,
        };
        if sound {
            Ok(())
        } else {
            Err(anyhow::anyhow!("the ledger is damaged").into())
        }
    }

    async fn check_nodes(&self) -> Result<bool, Failure> {
        let client = Client::new(&self.connection)?;
        if self.all {
            client.learn_nodes().await?;
        }
        let known = client.nodes().len();
        let mut sound = true;
        for place in 0..if self.all { known } else { 1 } {
            let asked = json!({ "blobs": self.blobs, "catalogue": self.catalogue });
            let call = Call::post("/ledger/verify", Body::Json(asked)).lasting(VERIFY_TIMEOUT);
            let answer = client.only(place).call(&call).await?;
            let node = answer.node.clone();
            sound &= self.report(&with_node(answer.read().await?, &node))?;
        }
        Ok(sound)
    }

    /// Prints a report and says whether it found nothing.
    fn report(&self, report: &Value) -> Result<bool, Failure> {
        let sound = at(report, "/ok") == true;
        if self.format.json {
            output::object(report)?;
            return Ok(sound);
        }
        let place = at(report, "/node")
            .as_str()
            .map_or(String::new(), |node| format!("{node}: "));
        let (from, to) = (at(report, "/from"), at(report, "/to"));
        let verdict = if sound { "ok" } else { "DAMAGED" };
        output::line(&format!("{place}heights {from} to {to} {verdict}"))?;
        for note in list_at(report, "/notes") {
            output::line(&format!("  {}", note.as_str().unwrap_or_default()))?;
        }
        for fault in list_at(report, "/faults") {
            let (height, what) = (at(fault, "/height"), text_at(fault, "/what"));
            let height = match height.as_u64() {
                Some(height) => format!("height {height}: "),
                None => String::new(),
            };
            output::line(&format!("  {height}{what}"))?;
        }
        Ok(sound)
    }
}

/// Checks a folder without any node.
fn check_folder(folder: &Path) -> Result<Value, Failure> {
    let report = ledger::verify(folder, &offline::signatures())
        .with_context(|| format!("verifying {}", folder.display()))?;
    let faults = report
        .faults
        .iter()
        .map(|fault| json!({ "height": fault.height.0, "what": fault.what }));
    Ok(json!({
        "folder": folder,
        "from": report.from.0,
        "to": report.to.0,
        "head": report.head.map(|hash| hash.to_string()),
        "blocks": report.blocks,
        "commands": report.commands,
        "ok": report.ok(),
        "faults": faults.collect::<Vec<_>>(),
        "notes": report.notes,
    }))
}

fn with_node(mut report: Value, node: &Url) -> Value {
    if let Some(fields) = report.as_object_mut() {
        let origin = node.origin().ascii_serialization();
        fields.insert("node".to_owned(), origin.into());
    }
    report
}
