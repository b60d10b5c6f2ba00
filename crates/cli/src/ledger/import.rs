//! `starling ledger import`: from an export or an archive back to a ledger's folder, and `verify --export`, which looks
//! without keeping anything.
//!
//! Nothing is believed but the genesis block, and that only if nobody says which one it should be.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use archive::{Archive, Fault, Taken};
use indicatif::ProgressBar;
use ledger::segment::{self, Below};
use ledger::{CreateError, Folder};
use model::{Block, ChainId, Decode as _};
use node::FolderLock;
use node::config::FILE_NAME;
use serde_json::{Value, json};

use super::export::advance;
use super::offline;
use super::place::{Scratch, Source, failure};
use crate::failure::Failure;
use crate::output::{self, Format};

#[derive(Debug, clap::Args)]
pub(crate) struct Import {
    /// What `ledger export` wrote, or an archive: a file, a folder, or file:///…, az://…, s3://…, gs://…
    #[arg(value_name = "FILE|URL")]
    from: String,

    /// The new ledger folder: the folder `ledger` in a node's
    #[arg(long, env = "STARLING_LEDGER_INTO", value_name = "DIR")]
    into: PathBuf,

    #[command(flatten)]
    origin: Origin,

    #[command(flatten)]
    format: Format,
}

/// Which chain, and what is believed of it.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Origin {
    /// A file with the genesis block, or a `ledger` folder that begins with it; otherwise the one that is found is believed
    #[arg(long, env = "STARLING_LEDGER_TRUST", value_name = "FILE|DIR")]
    trust: Option<PathBuf>,

    /// The chain, if there are several
    #[arg(long, env = "STARLING_LEDGER_CHAIN", value_name = "ID")]
    pub(crate) chain: Option<ChainId>,
}

impl Origin {
    /// Whether anything was said.
    pub(super) fn is_given(&self) -> bool {
        self.trust.is_some() || self.chain.is_some()
    }

    /// The genesis block of an archive, if it is the one that is trusted.
    pub(crate) async fn genesis(&self, archive: &Archive) -> Result<Block, Failure> {
        let found = archive.genesis().await.map_err(failure)?;
        let Some(path) = &self.trust else {
            return Ok(found);
        };
        let trusted = read_genesis(path)?;
        if found == trusted {
            return Ok(found);
        }
        let (place, path) = (archive.store().place(), path.display());
        Err(anyhow!("{place} begins with another genesis block than {path}").into())
    }
}

fn read_genesis(path: &Path) -> anyhow::Result<Block> {
    if path.is_dir() {
        return genesis_in(path);
    }
    let reading = || format!("reading the genesis block in {}", path.display());
    let bytes = fs::read(path).with_context(reading)?;
    Block::from_bytes(&bytes).with_context(reading)
}

/// The first block in a ledger's folder, or in that of a node.
pub(super) fn genesis_in(folder: &Path) -> anyhow::Result<Block> {
    let within = folder.join("ledger");
    let ledger = if within.is_dir() { &within } else { folder };
    let found = ledger::read_genesis(&Folder::new(ledger))
        .with_context(|| format!("reading the genesis block in {}", ledger.display()))?;
    Ok(Arc::unwrap_or_clone(found))
}

impl Import {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let _lock = self.lock()?;
        self.check_folder()?;
        let source = Source::open(&self.from, self.origin.chain, &self.into).await?;
        let genesis = self.origin.genesis(&source.archive).await?;
        let taken = bring(&source.archive, &genesis, &self.into).await?;
        self.report(&taken, &genesis)
    }

    /// A node's folder is locked as a whole; any other is one of its own.
    fn lock(&self) -> anyhow::Result<FolderLock> {
        let into = std::path::absolute(&self.into)?;
        let node = into.parent().filter(|node| node.join(FILE_NAME).is_file());
        if let Some(node) = node {
            return Ok(FolderLock::take(node)?);
        }
        fs::create_dir_all(&into).with_context(|| format!("making {}", into.display()))?;
        Ok(FolderLock::take_passing(&into)?)
    }

    fn check_folder(&self) -> Result<(), Failure> {
        let folder = self.into.clone();
        if ledger::read_genesis(&Folder::new(&folder)).is_ok() {
            return Err(anyhow::Error::new(CreateError::Exists { folder }).into());
        }
        Ok(())
    }

    fn report(&self, taken: &Taken, genesis: &Block) -> Result<(), Failure> {
        for fault in &taken.faults {
            output::note(&format!("{}: {}", fault.object, fault.what));
        }
        if let Some(before) = genesis.predecessor() {
            output::note(&format!(
                "It goes on from height {} of chain {}: import that one into {} before a node starts on it.",
                before.height,
                before.chain,
                self.into.join(ledger::predecessor::FOLDER).display()
            ));
        }
        let (height, hash) = (taken.top.height, taken.top.hash);
        if self.format.json {
            output::object(&json!({
                "folder": self.into, "chainId": taken.top.chain.to_string(), "height": height.0,
                "hash": hash.to_string(), "segments": taken.segments.len(), "commands": taken.commands,
                "faults": faults(&taken.faults),
            }))?;
        } else {
            let folder = self.into.display();
            let first = genesis.height();
            output::line(&format!(
                "heights {first} to {height} {hash} proved, in {folder}"
            ))?;
        }
        if taken.faults.is_empty() {
            Ok(())
        } else {
            Err(Failure::SomeFiles)
        }
    }
}

/// Makes a ledger of what an archive can prove of the chain that begins with this block. Interrupted, the same goes on
/// where it was.
pub(crate) async fn bring(
    archive: &Archive,
    genesis: &Block,
    into: &Path,
) -> Result<Taken, Failure> {
    let segments = into.join(segment::FOLDER);
    fs::create_dir_all(&segments).with_context(|| format!("making {}", segments.display()))?;
    let bar = output::progress();
    let fetched = archive.fetch(below(genesis)?, &segments, signatures(), progress(&bar));
    let mut taken = fetched.await.map_err(failure)?;
    bar.finish_and_clear();
    if let Some(error) = taken.stopped.take() {
        return Err(failure(error));
    }
    ledger::flush_segments(into).with_context(|| format!("flushing {}", into.display()))?;
    // Last: a folder without it is no ledger.
    match ledger::read_genesis(&Folder::new(into)) {
        Ok(found) if *found == *genesis => {}
        _ => ledger::create_in(into, genesis).context("making the ledger")?,
    }
    let reader = offline::open(into)?;
    let brought = node::bases::bring_beside(archive, &reader, into).await;
    brought.context("bringing a snapshot, without which a pruned ledger is of no use")?;
    Ok(taken)
}

/// Checks an export or an archive, every copy in it, and says the same as the check of a folder.
pub(super) async fn verify(from: &str, origin: &Origin) -> Result<Value, Failure> {
    let scratch = Scratch::new(&std::env::temp_dir())?;
    let source = Source::open(from, origin.chain, scratch.path()).await?;
    let genesis = origin.genesis(&source.archive).await?;
    let bar = output::progress();
    let folder = scratch.path().join(segment::FOLDER);
    fs::create_dir_all(&folder).context("making a folder for what is on its way")?;
    let verified = source
        .archive
        .verify(below(&genesis)?, &folder, signatures(), progress(&bar));
    let taken = verified.await.map_err(failure)?;
    bar.finish_and_clear();
    if let Some(error) = taken.stopped {
        return Err(failure(error));
    }
    Ok(json!({
        "export": source.archive.store().place(),
        "from": genesis.height().0,
        "to": taken.top.height.0,
        "head": taken.top.hash.to_string(),
        "blocks": taken.top.height.0 - genesis.height().0 + 1,
        "commands": taken.commands + u64::from(genesis.header().commands),
        "ok": taken.faults.is_empty(),
        "faults": faults(&taken.faults),
        "notes": [],
    }))
}

/// The height of a fault is the first that its object claims to hold.
fn faults(faults: &[Fault]) -> Vec<Value> {
    let fault = |fault: &Fault| {
        let height = fault
            .object
            .split('-')
            .next()
            .and_then(|from| from.parse::<u64>().ok());
        json!({
            "height": height,
            "what": format!("{}: {}", fault.object, fault.what),
            "node": fault.by.map(|node| node.to_string()),
        })
    };
    faults.iter().map(fault).collect()
}

fn below(genesis: &Block) -> anyhow::Result<Below> {
    Below::genesis(genesis).context("the genesis block founds nothing")
}

fn signatures() -> Arc<model::Ed25519> {
    Arc::new(offline::signatures())
}

fn progress(bar: &ProgressBar) -> impl Fn(archive::Progress) {
    move |progress| advance(bar, progress.bytes, progress.height, progress.goal)
}
