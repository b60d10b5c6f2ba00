//! Opening what is on the disk: ledger and catalogue, in one pass over the chain.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use catalogue::Catalogue;
use ledger::Disk as _;
use model::{Addresses, Height, Nonce};
use replica::{AppliedBlock, Replica, Start};
use tracing::{info, warn};

use super::{Base, ServeError};
use crate::catalogue_thread::Feeder;
use crate::disk::FileDisk;
use crate::progress::Stage;
use crate::replica_thread::{Inlet, Opening};
use crate::resync::{self, Resync};
use crate::snapshots::{Begin, Shelf};
use crate::stamp::{self, Left};
use crate::{Place, eraser, mending, peer, snapshots};

/// A snapshot is read by a node whose catalogue lacks more blocks than this.
const WORTH_IT: u64 = 10_000;

/// What was on the disk.
pub(super) struct Opened {
    /// Ledger and engine.
    pub(super) replica: Replica<FileDisk>,
    /// The catalogue, which may be behind.
    pub(super) feeder: Feeder,
    /// A snapshot for the catalogue to begin with.
    pub(super) begin: Option<Begin>,
    /// Whether the catalogue is the one that was left.
    pub(super) left: Left,
}

impl Base {
    /// Opens ledger and catalogue; a ledger that is damaged is mended and opened again. What is purged is given to nobody
    /// from here on.
    pub(super) async fn open(
        &self,
        inlet: &Inlet,
        opening: &Opening,
    ) -> Result<Opened, ServeError> {
        if resync::is_wanted(&self.config.folder) {
            self.begin_anew().await?;
        }
        let left = refuse_changed(self)?;
        self.look_at_ledger().await?;
        let mut mended = BTreeSet::new();
        let (replica, feeder, begin) = loop {
            let error = match open_once(self, left, inlet, opening) {
                Ok(opened) => break opened,
                Err(error) => error,
            };
            match damage_in(&error) {
                // The second time, mending did not help.
                Some(damage) if mended.insert(damage) => self.mend(&error, damage).await?,
                _ => {
                    self.tell_why_not(&error);
                    return Err(error);
                }
            }
        };
        let me = self.identity.node();
        eraser::before_serving(&self.config, me, &replica.reader(), &self.blobs)?;
        Ok(Opened {
            replica,
            feeder,
            begin,
            left,
        })
    }

    /// Replaces the ledger by what the cluster has certified.
    async fn begin_anew(&self) -> Result<(), ServeError> {
        let resync = Resync {
            config: Arc::clone(&self.config),
            identity: self.identity.clone(),
            findings: self.findings.clone(),
            progress: self.progress.clone(),
            runtime: tokio::runtime::Handle::current(),
            closing: self.closing.clone(),
        };
        let ended = tokio::task::spawn_blocking(move || resync.run()).await;
        Ok(ended.map_err(|error| ServeError::System(std::io::Error::other(error)))??)
    }

    fn tell_why_not(&self, error: &ServeError) {
        match error {
            ServeError::Replica(replica::OpenError::Ledger(error)) => {
                mending::not_opened(&self.findings, error);
            }
            ServeError::NoLedger { .. } => {
                mending::not_opened(&self.findings, &ledger::OpenError::NoLedger);
            }
            _ => {}
        }
    }

    /// Holds the ledger's files against what was noted of them.
    async fn look_at_ledger(&self) -> Result<(), ServeError> {
        let (config, findings) = (self.config.clone(), self.findings.clone());
        let (chain, key) = (self.identity.chain(), self.identity.key().signatures());
        let look = move || stamp::ledger::before_opening(&config, chain, &key, &findings);
        let looked = tokio::task::spawn_blocking(look).await;
        match looked.map_err(|error| ServeError::System(std::io::Error::other(error)))? {
            // What cannot be looked at is what opening says more about.
            Err(stamp::ledger::Changed::Ledger(error)) => {
                warn!(%error, "the ledger's files could not be held against what was noted");
                Ok(())
            }
            looked => Ok(looked?),
        }
    }

    async fn mend(&self, error: &ServeError, damage: Option<Height>) -> Result<(), ServeError> {
        self.progress.set(Stage::Mending);
        warn!(
            error = peer::chain_of_causes(error),
            "the ledger does not open"
        );
        let (config, identity) = (self.config.clone(), self.identity.clone());
        let findings = self.findings.clone();
        let ends = (tokio::runtime::Handle::current(), self.closing.clone());
        let mend = move || mending::at_start(&config, &identity, &findings, damage, ends);
        let ended = tokio::task::spawn_blocking(mend).await;
        ended.map_err(|error| ServeError::System(std::io::Error::other(error)))??;
        Ok(())
    }
}

/// Whether a ledger did not open for damage that others may make good, and the height that could not be read.
fn damage_in(error: &ServeError) -> Option<Option<Height>> {
    let ServeError::Replica(error) = error else {
        return None;
    };
    error.damage()
}

/// Puts a catalogue aside that is not the one this node left behind. It is built anew from the ledger.
fn refuse_changed(base: &Base) -> Result<Left, ServeError> {
    let (config, findings) = (&base.config, &base.findings);
    let path = config.catalogue_path();
    let left = stamp::take(&config.folder, &path).map_err(ServeError::System)?;
    if left == (Left::WithoutIndex { changed: true }) {
        let what = "its index was changed while the node did not run";
        let id = findings.report(Place::Catalogue, what, None);
        findings.repaired(id, "its rows");
    }
    if left == Left::Changed {
        let what = "it was changed while the node did not run";
        let aside = Catalogue::put_aside(&path, &config.folder.join("quarantine"))?;
        let id = findings.report(Place::Catalogue, what, Some(aside));
        findings.repaired(id, "the ledger");
    }
    Ok(left)
}

/// Opens the catalogue, as it was left if it was; one that cannot be used is put aside, and an empty one takes its place.
fn open_catalogue(base: &Base, left: Left) -> Result<Catalogue, ServeError> {
    let path = base.config.catalogue_path();
    // Nobody else would look through the file later.
    let scrubs = base.config.scrub.bytes_per_second > 0;
    let mut catalogue = match left {
        Left::Untouched if scrubs => Catalogue::resume(&path)?,
        _ => Catalogue::open(&path)?,
    };
    catalogue.belongs_to(base.identity.node());
    if let Some(aside) = catalogue.set_aside() {
        if let catalogue::Unusable::Damaged(what) = &aside.why {
            let kept = Some(aside.path.clone());
            let id = base.findings.report(Place::Catalogue, what, kept);
            base.findings.repaired(id, "the ledger");
        }
        warn!(
            ?aside,
            "the catalogue could not be used and is rebuilt from the ledger"
        );
    }
    Ok(catalogue)
}

/// Opens ledger and catalogue in one pass over the chain.
fn open_once(
    base: &Base,
    left: Left,
    inlet: &Inlet,
    opening: &Opening,
) -> Result<(Replica<FileDisk>, Feeder, Option<Begin>), ServeError> {
    let Base {
        config: settings,
        identity,
        metrics,
        ..
    } = base;
    let ledger_folder = settings.ledger_folder();
    let completions = inlet.clone();
    let disk = FileDisk::open(&ledger_folder, base.faults, metrics.disk(), move |done| {
        completions.disk(done);
    })?;
    // Before anything is written to it.
    let genesis = ledger::read_genesis(&*disk.storage()).map_err(|error| match error {
        ledger::OpenError::NoLedger => ServeError::NoLedger {
            folder: ledger_folder.clone(),
            node: settings.folder.clone(),
            name: settings.name.clone(),
        },
        other => ServeError::Replica(other.into()),
    })?;
    let chain = genesis.header().chain;
    if chain != identity.chain() {
        return Err(ServeError::ForeignLedger {
            folder: ledger_folder,
            ledger: chain,
            identity: identity.chain(),
        });
    }
    let catalogue = open_catalogue(base, left)?;
    let height = catalogue.height();
    let mut feeder = Feeder::new(catalogue, base.blobs.clone(), metrics.catalogue().clone());
    let mut failed = None;
    let config = replica_config(base)?;
    let begun = std::time::Instant::now();
    let found = RefCell::new(None);
    let of = Cell::new(Height::GENESIS);
    base.progress.set(Stage::Checking);
    let start = |reader: &ledger::Reader| {
        of.set(reader.tip().0);
        let first = snapshots::first_of_use(reader).unwrap_or_default();
        let is_of_use = |at| at >= first || is_worth_it(height, at);
        let snapshot = snapshots::newest(&Shelf::of(&settings.folder), reader, is_of_use);
        let known = snapshot.as_ref().map(|begin| begin.known.clone());
        let leap = snapshot.filter(|begin| is_worth_it(height, begin.height()));
        let wanted = leap.as_ref().map(Begin::height).or(height);
        *found.borrow_mut() = leap;
        let wanted = wanted.map_or(Height::GENESIS, Height::next);
        Start { wanted, known }
    };
    let replayed = |block: &Arc<AppliedBlock>| {
        let (height, of) = (block.block.height(), of.get());
        base.progress.set(Stage::Replaying { height, of });
        // Behind a snapshot everything is read by the catalogue's thread, which builds of it first.
        if failed.is_none() && found.borrow().is_none() {
            failed = feeder.follow(block, begun).err();
        }
    };
    let replica = Replica::open_from(disk, config, opening.now(), start, replayed)?;
    if let Some(error) = failed {
        return Err(error.into());
    }
    let begin = found.into_inner();
    if begin.is_some() {
        follow_first(&mut feeder, &replica, height)?;
    }
    feeder.flush()?;
    tell_what_was_found(&replica);
    mending::second_copies(&base.findings, &replica.reader(), replica.found());
    Ok((replica, feeder, begin))
}

/// Whether a catalogue at this height had better begin with a snapshot: to build it anew takes longer than some blocks.
fn is_worth_it(height: Option<Height>, snapshot: Height) -> bool {
    height.is_none_or(|height| snapshot.0 > height.0.saturating_add(WORTH_IT))
}

/// Gives a catalogue that has nothing the first block alone, so that it is at some height.
fn follow_first(
    feeder: &mut Feeder,
    replica: &Replica<FileDisk>,
    height: Option<Height>,
) -> Result<(), ServeError> {
    if height.is_none() {
        let mut first = None;
        let shown = replica::replay(&replica.reader(), Height::GENESIS, |block| {
            first = Some(Arc::clone(block));
            ControlFlow::Break(())
        });
        shown.map_err(replica::OpenError::Read)?;
        if let Some(first) = first {
            feeder.push(&first)?;
        }
    }
    feeder.leave_the_rest();
    Ok(())
}

fn replica_config(base: &Base) -> Result<replica::Config, ServeError> {
    let (settings, identity) = (&base.config, &base.identity);
    let (mut nonce, mut seed) = ([0; 16], [0; 8]);
    fill(&mut nonce)?;
    fill(&mut seed)?;
    Ok(replica::Config {
        me: identity.node(),
        signatures: Arc::new(identity.key().signatures()),
        nonce: Nonce(nonce),
        seed: u64::from_be_bytes(seed),
        contacts: settings.members.iter().map(|member| member.id).collect(),
        care: replica::Care {
            addresses: Some(Addresses {
                peer: settings.me().peer_address.clone(),
                url: settings.http.public_url.clone(),
            }),
            dead_after: settings.dead_after,
        },
    })
}

fn tell_what_was_found(replica: &Replica<FileDisk>) {
    for repair in &replica.found().repaired {
        warn!(
            ?repair,
            "a damaged vote was made good from its second copy: look at this disk"
        );
    }
    for cut in &replica.found().cut {
        info!(?cut, "cut off an end of the ledger that was never finished");
    }
}

fn fill(bytes: &mut [u8]) -> Result<(), ServeError> {
    getrandom::fill(bytes).map_err(|error| ServeError::System(std::io::Error::other(error)))
}
