//! `starling ledger export`: all of a ledger in one file, a folder or an object store.
//!
//! What is sealed is copied, what is not sealed yet becomes a last segment of the same kind. Every block is checked on
//! the way, certificates too: an export that was written is one that can be imported.

use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, bail};
use archive::{Archive, Coverage, SegmentName, SnapshotIndex, Store, genesis_key, tar};
use clap::builder::FalseyValueParser;
use indicatif::ProgressBar;
use ledger::Reader;
use ledger::segment::{self, Below};
use model::{Block, ChainId, Decided, Encode as _, Height};
use serde_json::json;

use super::offline;
use super::place::{Place, failure};
use crate::failure::Failure;
use crate::output::{self, Format};

/// The unsealed rest of a ledger is cut where a node would cut it, or nearly so.
const SEGMENT_BYTES: usize = 16 << 20;

#[derive(Debug, clap::Args)]
pub(crate) struct Export {
    /// A node's `ledger` folder; the node may be running
    #[arg(long, env = "STARLING_LEDGER_FOLDER", value_name = "DIR")]
    folder: PathBuf,

    /// A new file (tar), a folder, or file:///…, az://…, s3://…, gs://…
    #[arg(long, env = "STARLING_LEDGER_EXPORT_TO", value_name = "FILE|URL")]
    to: String,

    /// Replace the file if it exists
    #[arg(long, env = "STARLING_LEDGER_EXPORT_FORCE", value_parser = FalseyValueParser::new())]
    force: bool,

    #[command(flatten)]
    format: Format,
}

impl Export {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let reader = offline::open(&self.folder)?;
        let mut sink = Sink::open(&self.to, &reader, self.force)?;
        sink.genesis(reader.genesis()).await?;
        let (tip, _) = reader.tip();
        let bar = output::progress();
        bar.set_message(format!("heights up to {tip}"));
        let mut segments = Segments::of(&self.folder, reader)?;
        let (mut count, mut bytes) = (0_u64, 0_u64);
        while let Some((name, segment)) = segments.next()? {
            count += 1;
            bytes += segment.len() as u64;
            sink.segment(name, segment).await?;
            advance(&bar, bytes, name.to(), tip);
        }
        bar.finish_and_clear();
        let beside = node::bases::kept_beside(&segments.reader, &self.folder);
        if let Some((folder, index)) = beside.context("reading the snapshot beside the ledger")? {
            sink.snapshot(&folder, &index).await?;
        }
        let place = sink.finish()?;
        let top = segments.below;
        if self.format.json {
            let object = json!({
                "to": place, "chainId": top.chain.to_string(), "height": top.height.0,
                "hash": top.hash.to_string(), "segments": count, "bytes": bytes,
            });
            return Ok(output::object(&object)?);
        }
        if segments.reader.predecessor().is_some() {
            output::note(&format!(
                "The chain goes on from another one, which is not in this export: export the ledger in {} too.",
                self.folder.join(ledger::predecessor::FOLDER).display()
            ));
        }
        let (first, height, hash) = (segments.reader.genesis().height(), top.height, top.hash);
        Ok(output::line(&format!(
            "exported heights {first} to {height} {hash} into {place}"
        ))?)
    }
}

/// How many bytes are still to come is guessed from how many heights are.
pub(super) fn advance(bar: &ProgressBar, bytes: u64, height: Height, goal: Height) {
    let all = u128::from(bytes) * u128::from(goal.0) / u128::from(height.0.max(1));
    bar.set_length(u64::try_from(all).unwrap_or(u64::MAX));
    bar.set_position(bytes);
}

/// The segments of a ledger, each proved on top of the one before.
struct Segments {
    folder: PathBuf,
    /// Those that the node has sealed, the next one last.
    sealed: Vec<SegmentName>,
    reader: Reader,
    below: Below,
}

impl Segments {
    fn of(folder: &Path, reader: Reader) -> anyhow::Result<Self> {
        let folder = folder.join(segment::FOLDER);
        let mut coverage = Coverage::default();
        if folder.is_dir() {
            let listing = || format!("listing {}", folder.display());
            for entry in fs::read_dir(&folder).with_context(listing)? {
                let name = entry.with_context(listing)?.file_name();
                if let Some(Ok(name)) = name.to_str().map(str::parse::<SegmentName>) {
                    coverage.copies.insert(archive::Copy::first(name), 0);
                }
            }
        }
        let below = Below::genesis(reader.genesis()).context("the genesis block founds nothing")?;
        let route = coverage.route(below.height, &std::collections::BTreeSet::new());
        Ok(Self {
            folder,
            sealed: route.into_iter().rev().map(|copy| copy.name).collect(),
            reader,
            below,
        })
    }

    fn next(&mut self) -> anyhow::Result<Option<(SegmentName, Vec<u8>)>> {
        if let Some(name) = self.sealed.pop() {
            let path = self.folder.join(name.to_string());
            let read = fs::read(&path);
            let bytes = read.with_context(|| format!("reading {}", path.display()))?;
            match self.prove(name, &bytes) {
                Ok(()) => return Ok(Some((name, bytes))),
                // What is damaged may still be in the log; what is not there is an error below.
                Err(error) => output::note(&format!("{name}: {error:#}: making it anew")),
            }
            self.sealed.clear();
        }
        let made = segment::build(self.below.clone(), &self.unsealed()?)?;
        if let Some((name, bytes)) = &made {
            self.prove(*name, bytes)?;
        }
        Ok(made)
    }

    fn prove(&mut self, name: SegmentName, bytes: &[u8]) -> anyhow::Result<()> {
        let signatures = offline::signatures();
        let checked = segment::check(bytes, name, &self.below, &signatures)
            .with_context(|| format!("the blocks above {}", self.below.height))?;
        self.below = checked.top;
        Ok(())
    }

    /// The next blocks that are in no segment, as many as go into one.
    fn unsealed(&self) -> anyhow::Result<Vec<Decided>> {
        let mut size = 0;
        let mut blocks = Vec::new();
        for decided in self.reader.blocks(self.below.height.next()) {
            let decided = decided?;
            size += decided.block.to_bytes().len() + 512;
            blocks.push(decided);
            if size >= SEGMENT_BYTES {
                break;
            }
        }
        Ok(blocks)
    }
}

/// Where an export goes.
enum Sink {
    Store(Archive),
    File {
        packer: tar::Packer<BufWriter<File>>,
        unfinished: PathBuf,
        path: PathBuf,
        chain: ChainId,
    },
}

impl Sink {
    fn open(to: &str, reader: &Reader, force: bool) -> Result<Self, Failure> {
        let chain = reader.chain();
        match Place::of(to)? {
            Place::Store(url) => {
                if to.ends_with('/') && !to.contains("://") {
                    fs::create_dir_all(to).with_context(|| format!("making {to}"))?;
                }
                let store = Store::open(&url).map_err(|error| Failure::Usage(error.to_string()))?;
                Ok(Self::Store(Archive::new(store, chain)))
            }
            Place::File(path) => {
                if path.exists() && !force {
                    let text = format!("{} exists; --force replaces it", path.display());
                    return Err(Failure::Usage(text));
                }
                let mut unfinished = path.clone().into_os_string();
                unfinished.push(".unfinished");
                let unfinished = PathBuf::from(unfinished);
                let file = File::create(&unfinished);
                let file = file.with_context(|| format!("writing {}", unfinished.display()))?;
                let packer = tar::Packer::new(BufWriter::new(file));
                Ok(Self::File {
                    packer,
                    unfinished,
                    path,
                    chain,
                })
            }
        }
    }

    async fn genesis(&mut self, genesis: &Block) -> Result<(), Failure> {
        match self {
            Self::Store(archive) => {
                archive.store().probe().await.map_err(failure)?;
                archive.found(genesis).await.map_err(failure)?;
            }
            Self::File { packer, chain, .. } => packer
                .append(&genesis_key(*chain), &genesis.to_bytes())
                .context("writing the export")?,
        }
        Ok(())
    }

    async fn segment(&mut self, name: SegmentName, bytes: Vec<u8>) -> Result<(), Failure> {
        match self {
            Self::Store(archive) => {
                archive.add_unsigned(name, bytes).await.map_err(failure)?;
            }
            Self::File { packer, chain, .. } => packer
                .append(&archive::Copy::first(name).key(*chain), &bytes)
                .context("writing the export")?,
        }
        Ok(())
    }

    /// Adds a snapshot, with which who reads a pruned ledger begins.
    async fn snapshot(&mut self, folder: &Path, index: &SnapshotIndex) -> Result<(), Failure> {
        let (packer, chain) = match self {
            Self::Store(archive) => {
                return archive.add_snapshot(folder, index).await.map_err(failure);
            }
            Self::File { packer, chain, .. } => (packer, *chain),
        };
        let parts = index.parts().map(|part| index.part_name(part));
        for name in parts.chain([index.name()]) {
            let path = folder.join(name.to_string());
            let bytes = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
            let written = packer.append(&name.key(chain), &bytes);
            written.context("writing the export")?;
        }
        Ok(())
    }

    /// Gives a file its name, now that it is whole and on the disk.
    fn finish(self) -> anyhow::Result<String> {
        let (packer, unfinished, path) = match self {
            Self::Store(archive) => return Ok(archive.store().place().to_owned()),
            Self::File {
                packer,
                unfinished,
                path,
                ..
            } => (packer, unfinished, path),
        };
        let out = packer.finish().context("writing the export")?;
        let file = out
            .into_inner()
            .map_err(|error| anyhow!(error.to_string()))?;
        file.sync_all().context("flushing the export")?;
        if let Err(error) = fs::rename(&unfinished, &path) {
            bail!("naming {}: {error}", path.display());
        }
        Ok(path.display().to_string())
    }
}
