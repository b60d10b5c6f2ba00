//! Erases what was purged from everything that this node keeps, and says so in the ledger when it is done.
//!
//! Nobody tells a node to: the purge is in its catalogue, and its own word that it has erased it is not. So it does not
//! matter when a node hears of a purge, or how often it is stopped on the way; every step may be done again. In order:
//!
//! 1. The ledger gives the commands out no more, to nobody. After a start that is so before anybody is served.
//! 2. The file's bytes, here and in an object store, thumbnails and what was put aside of them go, unless another library or a pending upload needs
//!    them.
//! 3. The catalogue's journal is emptied: the rows were overwritten when the purge was applied.
//! 4. Log and segments are written anew without them ([`ledger::erase()`]). Where nothing else is written, a command without
//!    effect gives the log the blocks it needs.
//!    Snapshots below the purge go as well; where commands are pruned, once there is a newer one.
//! 5. The archive's objects are written anew, by whichever node comes first.
//! 6. The node says in the ledger that it is done.
//!
//! What is pruned goes the same way ([`pruner`]).
//!
//! The same thread purges what has been in the trash for its time. Every node does so, and nobody in particular: of two
//! purges of the same commands the second has no effect.

mod pruner;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use archive::Archive;
use catalogue::{Purge, Reader as Rows};
use ledger::{Erased, Reader};
use model::{BlobId, Height, LibraryId, NodeId, Payload, Position, limits};
use replica::NODE_ITSELF;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::archiver::in_one_line;
use crate::config::NodeConfig;
use crate::identity::{Identity, NodeKey};
use crate::originals::{Originals, ShelfError};
use crate::serve::ServeError;
use crate::snapshots::{self, Shelf};
use crate::{CatalogueHandle, ReplicaHandle, Request};

/// So long after its start a node knows of everything that has arrived for commands that are not decided.
const SETTLED: Duration = Duration::from_secs(120);
/// Between two attempts at what did not work, or has to wait.
const AGAIN: Duration = Duration::from_millis(250);
const AGAIN_AFTER_FAILURE: Duration = Duration::from_secs(5);
/// How long a command of the node's own may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often the trash is looked through.
const TRASH_EVERY: Duration = Duration::from_secs(600);
/// Files purged in one go.
const TRASH_BATCH: usize = 64;
/// Commands that name a file which is not there are kept for this long: a blob may wait for its file for a day.
const NAMED_KEEP: Duration = Duration::from_secs(2 * 24 * 3600);

/// Makes this node forget, before it serves anything, what it has not erased yet: as much of it as goes without others.
///
/// # Errors
/// If the catalogue cannot be asked.
pub(crate) fn before_serving(
    config: &NodeConfig,
    me: NodeId,
    reader: &Reader,
    store: &blobs::Store,
) -> Result<(), ServeError> {
    let rows = Rows::open(&config.catalogue_path())?;
    let suspect = ledger::is_suspect(&config.ledger_folder());
    for purge in rows.purges(Some(me).filter(|_| !suspect))? {
        reader.forget(&purge.erasures);
    }
    if let Err(error) = erase_bytes(&rows, store) {
        warn!(%error, "bytes of a purged file are still there; it is tried again");
    }
    Ok(())
}

/// Deletes the bytes of purged files that nobody needs.
fn erase_bytes(rows: &Rows, store: &blobs::Store) -> Result<(), EraserError> {
    for (blob, _) in rows.remains()? {
        if blob != catalogue::ANY_FILE {
            erase_unnamed(rows, store, blob)?;
        }
    }
    Ok(())
}

fn erase_unnamed(rows: &Rows, store: &blobs::Store, blob: BlobId) -> Result<(), EraserError> {
    let mut asked = Ok(());
    store.erase(blob, || match rows.is_named(&blob) {
        Ok(named) => named,
        Err(error) => {
            asked = Err(error);
            true
        }
    })?;
    Ok(asked?)
}

/// Why something is not erased yet.
#[derive(Debug, thiserror::Error)]
enum EraserError {
    #[error(transparent)]
    Catalogue(#[from] catalogue::ReadError),
    #[error(transparent)]
    Journal(#[from] catalogue::OpenError),
    #[error("somebody reads the catalogue all the time, so its journal cannot be emptied")]
    Busy,
    #[error(transparent)]
    Bytes(#[from] blobs::EraseError),
    #[error("erasing in the ledger")]
    Ledger(#[from] ledger::SealError),
    #[error("erasing in the ledger's folder")]
    Folder(#[from] std::io::Error),
    #[error("the same bytes are on their way to the store")]
    OnItsWay,
    #[error("deleting in the store of files' bytes")]
    Store(#[from] ShelfError),
    #[error("the node has just begun with a snapshot: what nobody names is looked for in a moment")]
    Early,
    #[error("the node stops")]
    Stopping,
    #[error(transparent)]
    Archive(#[from] archive::EraseError),
    #[error(transparent)]
    Snapshots(#[from] archive::StoreError),
    #[error("pruning the ledger")]
    Prune(#[from] ledger::PruneError),
    #[error("there is no snapshot here that holds what is to be pruned")]
    NoBase,
}

/// What an eraser works on.
pub(crate) struct Parts<'a> {
    pub(crate) config: &'a NodeConfig,
    pub(crate) identity: &'a Identity,
    pub(crate) replica: &'a ReplicaHandle,
    pub(crate) catalogue: &'a CatalogueHandle,
    pub(crate) store: &'a blobs::Store,
    pub(crate) originals: &'a Originals,
    pub(crate) closing: &'a CancellationToken,
}

/// One node's eraser. It works on the thread that seals, since it seals too.
pub(crate) struct Eraser {
    me: NodeId,
    key: NodeKey,
    folder: PathBuf,
    shelf: Shelf,
    replica: ReplicaHandle,
    catalogue: CatalogueHandle,
    store: blobs::Store,
    originals: Originals,
    archive: Option<Archive>,
    trash_keep: Option<Duration>,
    runtime: Handle,
    closing: CancellationToken,
    /// The height at which there was nothing to do.
    idle_at: Option<Height>,
    next: Instant,
    next_trash: Instant,
    /// Up to here the ledger is pruned, and the archive, whether or not this node could say so.
    pruned: Option<Height>,
    archive_pruned: Option<Height>,
    started: Instant,
    /// Rows were overwritten since the journal was emptied.
    journal: bool,
    told: Option<String>,
}

impl Eraser {
    /// # Errors
    /// If the archive's URL names no store.
    pub(crate) fn new(parts: Parts<'_>) -> Result<Self, archive::OpenError> {
        let Parts {
            config, identity, ..
        } = parts;
        let store = config.archive_url.as_deref().map(archive::Store::open);
        let archive = store.transpose()?;
        let now = Instant::now();
        Ok(Self {
            me: identity.node(),
            key: identity.key().clone(),
            folder: config.ledger_folder(),
            shelf: Shelf::of(&config.folder),
            replica: parts.replica.clone(),
            catalogue: parts.catalogue.clone(),
            store: parts.store.clone(),
            originals: parts.originals.clone(),
            archive: archive.map(|store| Archive::new(store, identity.chain())),
            trash_keep: config.trash_keep,
            runtime: Handle::current(),
            closing: parts.closing.clone(),
            idle_at: None,
            next: now,
            next_trash: now + look_every(config.trash_keep),
            pruned: None,
            archive_pruned: None,
            started: now,
            journal: false,
            told: None,
        })
    }

    /// Does what there is to do now. Comes back soon.
    pub(crate) fn step(&mut self) {
        let now = Instant::now();
        if now < self.next {
            return;
        }
        self.next = now + AGAIN;
        match self.look(now) {
            Ok(()) => self.told = None,
            Err(error) => {
                let text = in_one_line(&error);
                if self.told.as_ref() != Some(&text) {
                    warn!(
                        error = text,
                        "what was purged is not erased yet; it is tried again"
                    );
                }
                self.told = Some(text);
                self.next = Instant::now() + AGAIN_AFTER_FAILURE;
            }
        }
    }

    fn look(&mut self, now: Instant) -> Result<(), EraserError> {
        if now >= self.next_trash {
            self.next_trash = now + look_every(self.trash_keep);
            self.empty_trash()?;
        }
        let height = self.catalogue.height();
        if self.idle_at == Some(height) {
            return Ok(());
        }
        if self.purge_replaced_passwords()? {
            return Ok(());
        }
        let pruned = self.prune();
        let suspect = ledger::is_suspect(&self.folder);
        let me = self.me;
        let purges = self.ask(move |rows| rows.purges(Some(me).filter(|_| !suspect)))?;
        if !purges.is_empty() {
            return self.erase(&purges, suspect);
        }
        if suspect {
            ledger::clear_suspicion(&self.folder)?;
        }
        if self.journal {
            // What was kept until now is the file's name, and it was deleted when this node's word was applied.
            self.empty_journal()?;
            self.journal = false;
        }
        if pruned? {
            self.idle_at = Some(height);
        }
        Ok(())
    }

    fn erase(&mut self, purges: &[Purge], suspect: bool) -> Result<(), EraserError> {
        let reader = self.replica.reader().clone();
        for purge in purges {
            reader.forget(&purge.erasures);
        }
        let commands = purges.iter().flat_map(|purge| &purge.erasures.commands);
        self.catalogue
            .forget(commands.map(|erasure| erasure.position));
        let store = self.store.clone();
        self.runtime
            .block_on(self.catalogue.read(move |rows| erase_bytes(rows, &store)))?;
        self.erase_objects()?;
        self.erase_whatever_nobody_names()?;
        let last = purges.iter().map(|purge| purge.position.height).max();
        let last = last.unwrap_or(Height::GENESIS);
        self.catalogue.drop_captured_below(last);
        if !self.may_drop_snapshots(last)? {
            return Ok(());
        }
        self.shelf.destroy_below(last)?;
        self.empty_journal()?;
        if let Erased::Waiting { above } = ledger::erase(&reader, last)? {
            let missing = above.is_none_or(|height| self.replica.tip() < height);
            if missing {
                self.submit(NOTHING, LibraryId::home(), "asking for a block");
            }
            return Ok(());
        }
        self.erase_archive(&reader, last)?;
        if suspect {
            ledger::clear_suspicion(&self.folder)?;
        }
        self.journal = true;
        for purge in purges
            .iter()
            .filter(|purge| !purge.erased.contains(&self.me))
        {
            info!(commands = purge.erasures.commands.len(), height = %purge.position.height, "erased what a purge names");
            let (purge, node) = (purge.position, self.me);
            let library = LibraryId::home();
            self.submit(
                Payload::Erased { purge, node },
                library,
                "saying what is erased",
            );
        }
        Ok(())
    }

    /// Deletes the objects of purged files that nobody needs. Every node does, so what one of them brings up too late its own
    /// eraser takes out again before that node says that it is done.
    fn erase_objects(&self) -> Result<(), EraserError> {
        let unneeded = |rows: &mut Rows| {
            let mut blobs = Vec::new();
            for (blob, _) in rows.remains()? {
                if !rows.is_named(&blob)? {
                    blobs.push(blob);
                }
            }
            Ok::<_, catalogue::ReadError>(blobs)
        };
        let erasing = async {
            self.originals.known().await;
            let blobs = self.catalogue.read(unneeded).await?;
            match self.originals.erase(&blobs).await? {
                true => Ok(()),
                false => Err(EraserError::OnItsWay),
            }
        };
        let erased = self
            .runtime
            .block_on(self.closing.run_until_cancelled(erasing));
        erased.ok_or(EraserError::Stopping)?
    }

    /// Whether nobody needs the snapshots below a purge: where commands are pruned, only once there is one above.
    fn may_drop_snapshots(&self, purge: Height) -> Result<bool, EraserError> {
        if self.ask(|rows| rows.prunes())?.is_empty() {
            return Ok(true);
        }
        let reader = self.replica.reader();
        if snapshots::newest(&self.shelf, reader, |at| at >= purge).is_none() {
            return Ok(false);
        }
        let Some(archive) = &self.archive else {
            return Ok(true);
        };
        let listing = self.closing.run_until_cancelled(archive.snapshots());
        let names = self
            .runtime
            .block_on(listing)
            .ok_or(EraserError::Stopping)??;
        Ok(names.iter().any(|name| name.height >= purge))
    }

    /// A node that had to begin with a snapshot may have bytes of what was purged below it. Which these are nobody knows, but
    /// nobody names them either, once everything is applied that was decided until now; and whatever arrives for a command
    /// to come is known to be under way, if it came to this process.
    fn erase_whatever_nobody_names(&self) -> Result<(), EraserError> {
        let remains = self.ask(|rows| rows.remains())?;
        if !remains.iter().any(|(file, _)| *file == catalogue::ANY_FILE) {
            return Ok(());
        }
        let applied = self.catalogue.height() >= self.replica.tip();
        if !applied || self.started.elapsed() < SETTLED {
            return Err(EraserError::Early);
        }
        let store = self.store.clone();
        let erased = self.catalogue.read(move |rows| {
            let mut traces = store.traces()?.into_iter();
            traces.try_for_each(|blob| erase_unnamed(rows, &store, blob))
        });
        self.runtime.block_on(erased)
    }

    fn empty_journal(&self) -> Result<(), EraserError> {
        if self.catalogue.empty_journal()? {
            Ok(())
        } else {
            Err(EraserError::Busy)
        }
    }

    fn erase_archive(&self, reader: &Reader, last: Height) -> Result<(), EraserError> {
        let Some(archive) = &self.archive else {
            return Ok(());
        };
        let destroying = archive.remove_snapshots(last);
        let destroyed = self
            .runtime
            .block_on(self.closing.run_until_cancelled(destroying));
        for object in destroyed.ok_or(EraserError::Stopping)?? {
            info!(%object, "deleted what may hold what was purged in the archive");
        }
        let erasing = archive.erase(
            |name| reader.may_hold_forgotten(name),
            |name, bytes| {
                let without = reader.without_forgotten(name, bytes);
                without.map_err(|error| error.to_string())
            },
            &self.key,
        );
        let erased = self
            .runtime
            .block_on(self.closing.run_until_cancelled(erasing));
        for object in erased.ok_or(EraserError::Stopping)?? {
            info!(object, "erased what was purged in the archive");
        }
        // What the archiver fetched to look at, if it was stopped then.
        match std::fs::remove_file(self.folder.join(crate::archiver::SPARE)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Purges what has been in the trash for its time, and commands that were left without a file.
    fn empty_trash(&self) -> Result<(), EraserError> {
        let Some(keep) = self.trash_keep else {
            return Ok(());
        };
        let time = self.replica.status().replica.time;
        let (trashed, named) = (time.minus(keep), time.minus(keep.max(NAMED_KEEP)));
        for (library, file) in self.ask(move |rows| rows.due(trashed, named, TRASH_BATCH))? {
            self.purge(library, file, "emptying the trash")?;
        }
        Ok(())
    }

    /// Purges the hashes of passwords that are no user's any more. Whether there were any.
    fn purge_replaced_passwords(&self) -> Result<bool, EraserError> {
        let replaced = self.ask(|rows| rows.replaced_passwords(TRASH_BATCH))?;
        let mut any = false;
        for (library, secret) in replaced {
            any |= self.purge(library, secret, "forgetting a replaced password")?;
        }
        Ok(any)
    }

    /// Has all commands that name a file, or what stands for a secret, purged. Whether that could be asked for.
    fn purge(
        &self,
        library: LibraryId,
        named: BlobId,
        what: &'static str,
    ) -> Result<bool, EraserError> {
        let of = library.clone();
        let commands = self.ask(move |rows| rows.commands_naming(&of, &named))?;
        if commands.is_empty() || commands.len() > limits::PURGE_COMMANDS_MAX {
            return Ok(false);
        }
        self.submit(Payload::Purge(commands), library, what);
        Ok(true)
    }

    fn ask<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&mut Rows) -> Result<T, catalogue::ReadError> + Send + 'static,
    ) -> Result<T, EraserError> {
        Ok(self.runtime.block_on(self.catalogue.read(ask))?)
    }

    /// Has a command decided; what does not work now is tried again at the next look.
    fn submit(&self, payload: Payload, library: LibraryId, what: &'static str) {
        let request = Request {
            library,
            actor: NODE_ITSELF,
            key: None,
            payload,
        };
        let deadline = tokio::time::Instant::now() + PATIENCE;
        let submitting = self.replica.submit(request, deadline);
        let submitted = self.closing.run_until_cancelled(submitting);
        let Some(submitted) = self.runtime.block_on(submitted) else {
            return;
        };
        match submitted {
            Err(error) => debug!(%error, "{what}"),
            // The next look is to see what came of it.
            Ok(decision) => {
                let applied = self.catalogue.applied(decision.position.height, deadline);
                let applied = self.closing.run_until_cancelled(applied);
                _ = self.runtime.block_on(applied);
            }
        }
    }
}

/// A command that is there for its block alone: genesis is no purge.
const NOTHING: Payload = Payload::Erased {
    purge: Position {
        height: Height::GENESIS,
        index: 0,
    },
    node: NodeId([0; 32]),
};

fn look_every(keep: Option<Duration>) -> Duration {
    keep.map_or(TRASH_EVERY, |keep| TRASH_EVERY.min(keep / 4))
}
