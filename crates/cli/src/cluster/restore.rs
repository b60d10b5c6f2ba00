//! `starling cluster restore`: a new cluster from an archive or an export, when no node is left.
//!
//! What the archive can prove is brought beside the new cluster's folder first, so that an interrupted restore goes on
//! where it was. Nothing is made before the operator has seen what is proven, and has agreed.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use archive::{Archive, Taken};
use clap::builder::FalseyValueParser;
use model::Block;
use node::FolderLock;
use node::init::{ClusterPlan, CreatedCluster};
use node::restore::{Findings, Kept, RestoreError};
use serde_json::{Value, json};

use super::{Wanted, explain, to_json};
use crate::failure::Failure;
use crate::ledger::import::{Origin, bring};
use crate::ledger::place::{Source, failure};
use crate::output::{self, Format};

const QUESTION: &str =
    "If any node of the old cluster may come back, do not go on. Make a new cluster of this?";

/// Makes a new cluster that goes on with everything an archive or an export holds.
///
/// For when all nodes are lost. While a node's disk is left, use `starling cluster recover`: it may hold more.
#[derive(Debug, clap::Args)]
pub(crate) struct Restore {
    /// What `ledger export` wrote, or an archive: a file, a folder, or file:///…, az://…, s3://…, gs://…
    #[arg(long, env = "STARLING_RESTORE_FROM", value_name = "FILE|URL")]
    from: String,

    #[command(flatten)]
    wanted: Wanted,

    #[command(flatten)]
    origin: Origin,

    /// Do not ask
    #[arg(long, env = "STARLING_YES", value_parser = FalseyValueParser::new())]
    yes: bool,

    #[command(flatten)]
    format: Format,
}

impl Restore {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let plan = self.wanted.plan();
        refuse_existing(&plan.folder)?;
        let beside = beside(&plan.folder);
        fs::create_dir_all(&beside).with_context(|| format!("making {}", beside.display()))?;
        let _lock = FolderLock::take(&beside).context("another restore is under way")?;
        let source = Source::open(&self.from, self.origin.chain, &beside).await?;
        let genesis = self.origin.genesis(&source.archive).await?;
        let ledger = beside.join("ledger");
        let taken = bring_all(&source.archive, &genesis, &ledger).await?;
        let faults: Vec<String> = taken
            .iter()
            .flat_map(|taken| &taken.faults)
            .map(|fault| format!("{}: {}", fault.object, fault.what))
            .collect();
        let kept = Kept::open(&ledger).map_err(restore_failure)?;
        let found = kept.findings().map_err(restore_failure)?;
        faults.iter().for_each(|fault| output::note(fault));
        show(&found);
        if !self.yes && !output::confirm(QUESTION)? {
            return Err(anyhow!("no cluster was made").into());
        }
        let note = format!(
            "Restored from {}: what was decided above height {} is not in it and is lost.",
            source.archive.store().place(),
            found.height
        );
        let created = kept.restore(&plan, &note).map_err(restore_failure)?;
        drop(source);
        fs::remove_dir_all(&beside).with_context(|| format!("removing {}", beside.display()))?;
        report(self.format, &plan, &created, &found, &faults)?;
        if faults.is_empty() {
            Ok(())
        } else {
            Err(Failure::SomeFiles)
        }
    }
}

/// Where what is proven waits for the cluster.
fn beside(out: &Path) -> PathBuf {
    let mut name = out.as_os_str().to_owned();
    name.push(".restoring");
    PathBuf::from(name)
}

/// Before anything is fetched, which may take long.
fn refuse_existing(out: &Path) -> Result<(), Failure> {
    match fs::read_dir(out).map(|mut entries| entries.next().is_some()) {
        Ok(true) => {
            let out = out.display();
            Err(anyhow!("{out} exists and is not empty; nothing in it was touched").into())
        }
        _ => Ok(()),
    }
}

/// Brings a chain, and what it goes on from.
async fn bring_all(
    archive: &Archive,
    genesis: &Block,
    ledger: &Path,
) -> Result<Vec<Taken>, Failure> {
    let mut all = Vec::new();
    let (mut first, mut into) = (genesis.clone(), ledger.to_owned());
    let mut of = archive.clone();
    loop {
        all.push(bring(&of, &first, &into).await?);
        let Some(before) = first.predecessor() else {
            return Ok(all);
        };
        of = Archive::new(archive.store().clone(), before.chain);
        into.push(ledger::predecessor::FOLDER);
        first = of.genesis().await.map_err(failure)?;
    }
}

fn show(found: &Findings) {
    output::note(&format!("chain    {}", found.chain));
    output::note(&format!(
        "proven   height {}, hash {}",
        found.height, found.hash
    ));
    let names: Vec<_> = found
        .nodes
        .iter()
        .map(|node| output::shown(&node.name))
        .collect();
    output::note(&format!(
        "nodes    {} belonged to it and will not belong to the new cluster",
        names.join(", ")
    ));
    output::note("What was decided above that height and is in no archive is lost.");
}

fn report(
    format: Format,
    plan: &ClusterPlan,
    created: &CreatedCluster,
    found: &Findings,
    faults: &[String],
) -> Result<(), Failure> {
    if format.json {
        let mut object = to_json(created);
        if let Value::Object(fields) = &mut object {
            let before = json!({
                "chainId": found.chain.to_string(), "height": found.height.0,
                "hash": found.hash.to_string(), "faults": faults,
            });
            fields.insert("restored".to_owned(), before);
        }
        output::object(&object)?;
    } else {
        explain(created)?;
    }
    output::note(&format!(
        "Tokens of the old cluster are good as they were; the one above is new. The bytes of files are not in the ledger: \
         copy what is left of the old nodes' `blobs` folders into those in {}, before the nodes are started.",
        plan.folder.display()
    ));
    Ok(())
}

fn restore_failure(error: RestoreError) -> Failure {
    match error {
        RestoreError::Name(_) => Failure::Usage(error.to_string()),
        RestoreError::Make(error) => super::failure(error),
        other => Failure::Other(other.into()),
    }
}
