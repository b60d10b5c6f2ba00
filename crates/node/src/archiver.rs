//! Puts this node's sealed segments into the archive, one after the other, whoever else does the same.
//!
//! Nobody owns the archive and nobody is told to fill it: every node looks for what is sealed here and not there, oldest
//! first. Before each segment it waits a moment of its own, so that of several nodes with the same segment one usually
//! brings it and the others find it there. Where they do not, the store keeps the first.
//!
//! Nothing waits for this task, and nothing fails with it: what went wrong last is part of the node's state, and is tried
//! again.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use archive::{Added, Archive, ArchiveError, Copy, OpenError, SegmentName, Store};
use ledger::Reader;
use ledger::segment;
use model::{Ed25519, Height, NodeId, Signature};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::identity::{Identity, NodeKey};

/// A file in the ledger's folder for what has to be looked at.
pub(crate) const SPARE: &str = "archive.spare";
/// How often it looks for new segments of its own.
const LOOK: Duration = Duration::from_secs(10);
/// How often it asks the archive what is there although nothing is new here.
const LISTING: Duration = Duration::from_secs(600);
/// The longest moment that a node waits for another one to be first.
const COURTESY_MS: u64 = 3_000;
/// The pause after a failure; it doubles with every other one, up to the second.
const PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(300)];

/// How the archive is, as this node sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ArchiveStatus {
    /// Segments follow one another from height 1 up to here.
    pub height: Height,
    /// How many segments this node has brought since it started.
    pub brought: u64,
    /// What went wrong last; nothing if the last attempt worked.
    pub last_error: Option<String>,
}

/// Tells how the archive is.
#[derive(Debug, Clone)]
pub struct ArchiverHandle {
    url: String,
    status: watch::Receiver<ArchiveStatus>,
}

impl ArchiverHandle {
    /// Where the archive is. Holds no secret.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// How it is.
    pub fn status(&self) -> ArchiveStatus {
        self.status.borrow().clone()
    }
}

/// Why the archive did not get further.
#[derive(Debug, thiserror::Error)]
enum RoundError {
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    #[error("listing the sealed segments in {folder}")]
    Folder { folder: PathBuf, source: io::Error },
    #[error(
        "the genesis block is gone from the archive: has it been replaced, or is it not mounted?"
    )]
    Gone,
}

impl From<archive::StoreError> for RoundError {
    fn from(error: archive::StoreError) -> Self {
        Self::Archive(error.into())
    }
}

impl archive::Signer for NodeKey {
    fn node(&self) -> NodeId {
        Self::node(self)
    }

    fn sign(&self, bytes: &[u8]) -> Signature {
        Self::sign(self, bytes)
    }
}

/// Starts to archive, until `closing`.
///
/// # Errors
/// If the URL names no store.
pub fn start(
    url: &str,
    identity: &Identity,
    folder: PathBuf,
    reader: Reader,
    closing: CancellationToken,
) -> Result<ArchiverHandle, OpenError> {
    let store = Store::open(url)?;
    let (tell, status) = watch::channel(ArchiveStatus::default());
    let handle = ArchiverHandle {
        url: store.place().to_owned(),
        status,
    };
    let archiver = Archiver {
        archive: Archive::new(store, reader.chain()),
        key: identity.key().clone(),
        segments: folder.join(segment::FOLDER),
        spare: folder.join(SPARE),
        reader,
        tell,
        founded: false,
        held: BTreeSet::new(),
        listed: None,
    };
    tokio::spawn(async move {
        tokio::select! {
            () = archiver.run() => {}
            () = closing.cancelled() => {}
        }
    });
    Ok(handle)
}

struct Archiver {
    archive: Archive,
    key: NodeKey,
    /// Where this node's segments are.
    segments: PathBuf,
    /// A file for what has to be looked at.
    spare: PathBuf,
    reader: Reader,
    tell: watch::Sender<ArchiveStatus>,
    /// Whether the store was tried, and the genesis block seen there.
    founded: bool,
    /// Segments that are known to be there.
    held: BTreeSet<SegmentName>,
    /// When the archive was last listed.
    listed: Option<Instant>,
}

impl Archiver {
    async fn run(mut self) {
        let [shortest, longest] = PAUSES;
        let mut pause = shortest;
        loop {
            match self.round().await {
                Ok(()) => {
                    self.tell.send_modify(|status| status.last_error = None);
                    pause = shortest;
                    tokio::time::sleep(LOOK).await;
                }
                Err(error) => {
                    let error = in_one_line(&error);
                    warn!(%error, again_in = ?pause, "the archive is not filled");
                    self.tell
                        .send_modify(|status| status.last_error = Some(error));
                    self.listed = None;
                    tokio::time::sleep(pause).await;
                    pause = longest.min(pause * 2);
                }
            }
        }
    }

    /// Brings what is missing.
    async fn round(&mut self) -> Result<(), RoundError> {
        let ours = self.ours().await?;
        let new = ours.iter().any(|name| !self.held.contains(name));
        let due = self.listed.is_none_or(|listed| listed.elapsed() >= LISTING);
        if new || due {
            self.found().await?;
            self.list().await?;
        }
        for name in ours {
            if !self.held.contains(&name) {
                self.bring(name).await?;
            }
        }
        Ok(())
    }

    /// Makes sure that this is a store that keeps what it has, and this chain's. One that was it and is not any more is
    /// not filled anew: more likely it is an empty folder where a share should be mounted.
    async fn found(&mut self) -> Result<(), RoundError> {
        if self.founded {
            return match self.archive.genesis().await {
                Err(ArchiveError::NoGenesis { .. }) => Err(RoundError::Gone),
                found => Ok(found.map(|_| ())?),
            };
        }
        self.archive.store().probe().await?;
        self.archive.found(self.reader.genesis()).await?;
        self.founded = true;
        Ok(())
    }

    /// The segments of this node, in order.
    async fn ours(&self) -> Result<BTreeSet<SegmentName>, RoundError> {
        let folder = self.segments.clone();
        let list = move || names_in(&folder);
        let listed = tokio::task::spawn_blocking(list).await;
        let listed = listed.map_err(io::Error::other).flatten();
        listed.map_err(|source| RoundError::Folder {
            folder: self.segments.clone(),
            source,
        })
    }

    async fn list(&mut self) -> Result<(), RoundError> {
        let coverage = self.archive.coverage().await?;
        let names = coverage.copies.keys().map(|copy| copy.name);
        self.held = names.filter(|name| coverage.holds(*name)).collect();
        let height = coverage.height(self.reader.genesis().height());
        self.tell.send_modify(|status| status.height = height);
        self.listed = Some(Instant::now());
        Ok(())
    }

    async fn bring(&mut self, name: SegmentName) -> Result<(), RoundError> {
        tokio::time::sleep(courtesy()).await;
        let began = Instant::now();
        if !self.archive.is_signed(&Copy::first(name)).await? {
            let file = self.segments.join(name.to_string());
            let judge = self.judge(name);
            let added = self.archive.add(&file, name, &self.key, &self.spare, judge);
            let added = added.await?;
            match &added {
                Added::Brought => info!(segment = %name, "archived"),
                Added::AlreadyThere => {}
                Added::Beside { what } => warn!(
                    segment = %name, what,
                    "the archive holds a damaged segment: another copy is beside it now"
                ),
            }
            let brought = u64::from(added != Added::AlreadyThere);
            self.tell.send_modify(|status| status.brought += brought);
        }
        self.held.insert(name);
        self.tell.send_modify(|status| {
            if status.height.next() == name.from() {
                status.height = name.to();
            }
        });
        // At most half of the time goes into this.
        tokio::time::sleep(began.elapsed()).await;
        Ok(())
    }

    /// Whether a file holds this segment, going by what this node knows.
    fn judge(
        &self,
        name: SegmentName,
    ) -> impl FnOnce(&std::path::Path) -> Result<(), String> + Send + use<> {
        let reader = self.reader.clone();
        move |path| {
            let bytes = std::fs::read(path).map_err(|error| error.to_string())?;
            let below = name.from().previous().ok_or("it begins at genesis")?;
            let below = reader.known_at(below).map_err(|error| error.to_string())?;
            // Only verification is asked of it, for which its own key does not matter.
            let signatures = Ed25519::new(&[0; 32]);
            let checked = segment::check(&bytes, name, &below, &signatures);
            checked.map(|_| ()).map_err(|error| error.to_string())
        }
    }
}

/// A ledger that has sealed nothing yet has no folder for it.
fn names_in(folder: &std::path::Path) -> io::Result<BTreeSet<SegmentName>> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
        Err(error) => return Err(error),
    };
    let mut names = BTreeSet::new();
    for entry in entries {
        let name = entry?.file_name();
        names.extend(
            name.to_str()
                .and_then(|name| name.parse::<SegmentName>().ok()),
        );
    }
    Ok(names)
}

/// A random moment; none if there is no randomness, which only costs the network something.
fn courtesy() -> Duration {
    let mut bytes = [0; 8];
    _ = getrandom::fill(&mut bytes);
    Duration::from_millis(u64::from_be_bytes(bytes) % COURTESY_MS)
}

/// The whole chain of an error in one line.
pub(crate) fn in_one_line(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", in_one_line(source)),
        None => error.to_string(),
    }
}
