//! Takes what the archive has of the chain before a node opens its ledger; the rest it learns from its peers.
//!
//! A node that joins has the first block alone, and one that was away for long lacks as much. What is sealed lies in the
//! archive in files that prove themselves, so they are fetched several at a time, each is checked on top of what is known
//! below it, link by link and certificate by certificate, and put into the ledger's folder under its name. The ledger is
//! opened above them. A node that is stopped on the way finds in its folder what was proved, and goes on from there.
//!
//! Then it takes the newest snapshot that those blocks vouch for (`snapshots`), with which the catalogue begins.
//!
//! Nothing depends on it. An archive that is away, lies or is damaged costs the time in which peers could have been asked:
//! what is wrong is named, another copy or another way through the heights is tried, and where there is none, the blocks
//! above come from peers, which are believed no more.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use archive::{Archive, ArchiveError, Coverage, OpenError, Progress, Store, StoreError};
use ledger::segment::{self, Below};
use ledger::{Folder, ReadError, Reader};
use model::{Block, Ed25519, Height, Roster};
use tracing::{info, warn};

use crate::config::NodeConfig;
use crate::peer::chain_of_causes;
use crate::progress::Stage;
use crate::snapshots::{self, Shelf};

/// A node that has written nothing for so long asks the archive before it starts.
const AWAY: Duration = Duration::from_secs(3600);
/// How long an archive may take to say what it has, when a node wants to start.
const START_PATIENCE: Duration = Duration::from_secs(5);
/// Between two lines that say how far it is.
const PROGRESS_EVERY: Duration = Duration::from_secs(1);

/// What was taken from an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// Which archive.
    pub place: String,
    /// The last height that the node had before.
    pub from: Height,
    /// The last that it has now.
    pub to: Height,
    /// How many segments were put into the ledger's folder.
    pub segments: usize,
    /// The height of the snapshot that was put beside it, if one is believed that was not there.
    pub snapshot: Option<Height>,
    /// Objects that were not what they should be, each with what is wrong and who brought it, for people.
    pub faults: Vec<String>,
    /// Why it went no further, if that was the store.
    pub stopped: Option<String>,
}

/// Why nothing was taken.
#[derive(Debug, thiserror::Error)]
pub enum TakeError {
    /// The URL names no store.
    #[error(transparent)]
    Url(#[from] OpenError),
    /// The archive does not say what it has, or has another chain.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// It begins with another block.
    #[error("the archive {place} begins with another genesis block than this node")]
    OtherGenesis {
        /// Which archive.
        place: String,
    },
    /// The node's own ledger cannot be read.
    #[error("reading the ledger")]
    Ledger(#[from] ledger::OpenError),
    /// A block of it cannot be read.
    #[error("reading the ledger")]
    Read(#[from] ReadError),
    /// The folder cannot be written to.
    #[error("writing to {folder}")]
    Folder {
        /// Which.
        folder: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

impl From<StoreError> for TakeError {
    fn from(error: StoreError) -> Self {
        Self::Archive(error.into())
    }
}

/// Puts the segments of an archive that reach above a ledger into its folder. The ledger must not be in use by a node
/// that is to notice: it has them when it is opened again.
///
/// # Errors
/// A [`TakeError`]. What was put there until then is proved and stays.
pub async fn take(
    url: &str,
    folder: &Path,
    progress: impl Fn(Progress),
) -> Result<Taken, TakeError> {
    let found = look(url, folder).await?;
    found.fetch(folder, progress).await
}

/// Whether an archive can be read from here and is of the chain that begins with this block.
///
/// # Errors
/// A [`TakeError`].
pub async fn check(url: &str, genesis: &Block) -> Result<(), TakeError> {
    let archive = Archive::new(Store::open(url)?, genesis.header().chain);
    if archive.genesis().await? == *genesis {
        return Ok(());
    }
    let place = archive.store().place().to_owned();
    Err(TakeError::OtherGenesis { place })
}

/// What there is to take.
struct Found {
    archive: Archive,
    tip: Height,
    /// Where the archive's segments go on, if they reach above the tip.
    below: Option<Below>,
}

/// Looks what the ledger has and what the archive has above it.
async fn look(url: &str, folder: &Path) -> Result<Found, TakeError> {
    let store = Store::open(url)?;
    let reader = open(folder.to_owned()).await?;
    check(url, reader.genesis()).await?;
    let archive = Archive::new(store, reader.chain());
    let coverage = archive.coverage().await?;
    let (tip, _) = reader.tip();
    let base = base(&coverage, tip);
    Ok(Found {
        archive,
        tip,
        below: base.map(|base| reader.known_at(base)).transpose()?,
    })
}

impl Found {
    async fn fetch(self, folder: &Path, progress: impl Fn(Progress)) -> Result<Taken, TakeError> {
        let archive = self.archive.clone();
        let mut taken = self.fetch_segments(folder, progress).await?;
        if taken.stopped.is_none() {
            taken.fetch_snapshot(&archive, folder).await?;
        }
        Ok(taken)
    }

    async fn fetch_segments(
        self,
        folder: &Path,
        progress: impl Fn(Progress),
    ) -> Result<Taken, TakeError> {
        let mut taken = Taken {
            place: self.archive.store().place().to_owned(),
            from: self.tip,
            to: self.tip,
            segments: 0,
            snapshot: None,
            faults: Vec::new(),
            stopped: None,
        };
        let Some(below) = self.below else {
            return Ok(taken);
        };
        let failed = |source| TakeError::Folder {
            folder: folder.to_owned(),
            source,
        };
        let segments = folder.join(segment::FOLDER);
        fs::create_dir_all(&segments).map_err(failed)?;
        let fetched = self.archive.fetch(below, &segments, signatures(), progress);
        let fetched = fetched.await?;
        ledger::flush_segments(folder).map_err(failed)?;
        let faults = fetched.faults.iter();
        let name = |fault| named(fault, &fetched.top.roster);
        taken.faults = faults.map(name).collect();
        taken.to = taken.to.max(fetched.top.height);
        taken.segments = fetched.segments.len();
        taken.stopped = fetched.stopped.map(|error| error.to_string());
        Ok(taken)
    }
}

impl Taken {
    /// What the ledger vouches for now. Without it everything goes on, slower.
    async fn fetch_snapshot(&mut self, archive: &Archive, ledger: &Path) -> Result<(), TakeError> {
        let Some(node) = ledger.parent() else {
            return Ok(());
        };
        let reader = open(ledger.to_owned()).await?;
        match snapshots::fetch(archive, &reader, &Shelf::of(node)).await {
            Ok(height) => self.snapshot = height,
            Err(error) => self.faults.push(chain_of_causes(&error)),
        }
        Ok(())
    }
}

/// Only verification is asked of it, for which its own key does not matter.
fn signatures() -> Arc<Ed25519> {
    Arc::new(Ed25519::new(&[0; 32]))
}

async fn open(folder: PathBuf) -> Result<Reader, TakeError> {
    let opening = move || ledger::read_only(Arc::new(Folder::new(folder)), &*signatures());
    let opened = tokio::task::spawn_blocking(opening).await;
    let (reader, _) = opened.expect("opening a ledger does not panic")?;
    Ok(reader)
}

/// The highest block of ours on which segments of the archive rest that reach above the tip.
fn base(coverage: &Coverage, tip: Height) -> Option<Height> {
    let names = coverage.copies.keys().map(|copy| copy.name);
    let above = names.filter(|name| name.to() > tip && name.from() <= tip.next());
    let bases: BTreeSet<Height> = above.filter_map(|name| name.from().previous()).collect();
    bases.last().copied()
}

/// A fault in words, with the name of the node that is to blame instead of its key.
fn named(fault: &archive::Fault, roster: &Roster) -> String {
    let everybody = roster.everybody().map(|member| (member.id, &member.name));
    let former = roster.former().iter().map(|(id, left)| (*id, &left.name));
    let mut what = fault.what.clone();
    for (id, name) in everybody.chain(former) {
        what = what.replace(&id.to_string(), name);
    }
    format!("segment {} in the archive: {what}", fault.object)
}

/// Takes what the archive has for a node that is about to start, if it may be far behind. Never fails: peers have
/// everything, too.
pub(crate) async fn before_start(config: &NodeConfig, shown: &crate::progress::Progress) {
    let folder = config.ledger_folder();
    let Some(url) = config.archive_url.as_ref().filter(|_| is_due(&folder)) else {
        return;
    };
    let found = match tokio::time::timeout(START_PATIENCE, look(url, &folder)).await {
        Ok(Ok(found)) => found,
        // A new cluster's, or one whose ledger cannot be read: what that means is said where it is opened.
        Ok(Err(TakeError::Archive(ArchiveError::NoGenesis { .. }) | TakeError::Ledger(_))) => {
            return;
        }
        Ok(Err(error)) => {
            let error = chain_of_causes(&error);
            return warn!(
                error,
                "the archive cannot be used: the ledger comes from the others"
            );
        }
        Err(_) => return warn!("the archive does not answer: the ledger comes from the others"),
    };
    let last = Mutex::new(None);
    let taken = found
        .fetch(&folder, |progress| {
            let (height, of) = (progress.height, progress.goal);
            shown.set(Stage::Archive { height, of });
            log_progress(progress, &last);
        })
        .await;
    match taken {
        Ok(taken) => log_taken(&taken),
        Err(error) => warn!(
            error = chain_of_causes(&error),
            "taking the ledger from the archive failed: the rest comes from the others"
        ),
    }
}

fn log_progress(progress: Progress, last: &Mutex<Option<Instant>>) {
    let mut last = last.lock().expect("nothing panics while it holds the time");
    if last.is_none_or(|last| last.elapsed() >= PROGRESS_EVERY) {
        let (height, goal) = (progress.height.0, progress.goal.0);
        info!(
            height,
            goal,
            bytes = progress.bytes,
            "taking the ledger from the archive"
        );
        *last = Some(Instant::now());
    }
}

fn log_taken(taken: &Taken) {
    for fault in &taken.faults {
        warn!(fault, "the archive is damaged");
    }
    if let Some(error) = &taken.stopped {
        warn!(
            error,
            "the archive gave no more: the rest comes from the others"
        );
    }
    if taken.to > taken.from {
        let (from, to) = (taken.from.0, taken.to.0);
        info!(
            from,
            to,
            segments = taken.segments,
            "took the ledger from the archive"
        );
    }
}

/// Whether a ledger was never run, or not for long: a node that was away for a moment asks its peers.
fn is_due(folder: &Path) -> bool {
    let Ok(entries) = fs::read_dir(folder) else {
        return false;
    };
    let logs = entries.flatten().filter(|entry| {
        let name = entry.file_name();
        Path::new(&name).extension().is_some_and(|end| end == "log")
    });
    let written = logs.filter_map(|entry| entry.metadata().ok()?.modified().ok());
    let written: Vec<SystemTime> = written.collect();
    let Some(last) = written.iter().max() else {
        return false;
    };
    written.len() == 1 || last.elapsed().is_ok_and(|since| since >= AWAY)
}

#[cfg(test)]
mod tests {
    use archive::Copy;
    use ledger::SegmentName;
    use model::BlockHash;

    use super::*;

    fn coverage(ranges: &[(u64, u64)]) -> Coverage {
        let mut coverage = Coverage::default();
        for (from, to) in ranges {
            let name = SegmentName::new(Height(*from), Height(*to), BlockHash([7; 32]));
            coverage.copies.insert(Copy::first(name.unwrap()), 1);
        }
        coverage
    }

    #[test]
    fn segments_are_taken_from_the_one_that_holds_the_tip_on() {
        let there = coverage(&[(1, 10), (11, 20), (16, 25), (30, 40)]);
        for (tip, expected) in [
            (0, Some(0)),
            (9, Some(0)),
            (10, Some(10)),
            (17, Some(15)),
            (25, None),
            (29, Some(29)),
            (50, None),
        ] {
            let found = base(&there, Height(tip));
            assert_eq!(found, expected.map(Height), "with a tip at {tip}");
        }
    }

    #[test]
    fn a_ledger_that_was_written_to_a_moment_ago_needs_no_archive() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!is_due(folder.path()), "there is no ledger");
        fs::write(folder.path().join("00000000.log"), "").unwrap();
        assert!(is_due(folder.path()), "it was never run");
        let log = folder.path().join("00000001.log");
        fs::write(&log, "").unwrap();
        assert!(!is_due(folder.path()));
        let old = SystemTime::now() - AWAY - Duration::from_secs(1);
        for name in ["00000000.log", "00000001.log"] {
            let file = fs::File::options()
                .write(true)
                .open(folder.path().join(name));
            file.unwrap().set_modified(old).unwrap();
        }
        assert!(is_due(folder.path()));
    }
}
