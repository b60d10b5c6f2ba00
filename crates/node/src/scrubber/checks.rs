//! What is checked, and what follows from damage: the same for the scrubber and for who asks for a check.

use std::collections::BTreeMap;
use std::io::{self, Read as _};
use std::time::Duration;

use ::blobs::{ReadError, Store, Verdict};
use ledger::{Damage, Pace, Reader, SegmentName, Site, Stopped};
use model::{BlobId, Ed25519, Height};
use rustix::fs::Advice;
use sha2::{Digest as _, Sha256};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::rebuild;
use crate::catalogue_thread::CatalogueHandle;
use crate::http::Holdings;
use crate::mending::MenderHandle;
use crate::peer::chain_of_causes;
use crate::replicator::Replicator;
use crate::{App, Findings, Place};

/// Read at once when hashing.
const CHUNK_BYTES: usize = 256 << 10;
/// Between two looks at what seems damaged in the ledger.
const SECOND_LOOK: Duration = Duration::from_millis(200);
/// From where something is whole again that nobody had to send.
const THIS_NODE: &str = "this node";

/// Something wrong, for whoever asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Where.
    pub(crate) place: Place,
    /// The height, if it is about one.
    pub(crate) height: Option<Height>,
    /// What.
    pub(crate) what: String,
}

/// Looks at this node's disk. Cheap to clone; blocks, so not for the runtime's own threads.
#[derive(Clone)]
pub(crate) struct Checks {
    reader: Reader,
    store: Store,
    catalogue: CatalogueHandle,
    folder: std::path::PathBuf,
    findings: Findings,
    holdings: Holdings,
    mender: MenderHandle,
    replicator: Replicator,
    runtime: Handle,
    closing: CancellationToken,
}

impl Checks {
    /// Of a node; waits for no peer any more once it is `closing`. To be called on the runtime.
    pub(crate) fn new(app: &App, holdings: Holdings, closing: CancellationToken) -> Self {
        Self {
            reader: app.replica.reader().clone(),
            store: app.blobs.clone(),
            catalogue: app.catalogue.clone(),
            folder: app.config.folder.clone(),
            findings: app.findings.clone(),
            holdings,
            mender: app.mender.clone(),
            replicator: app.replicator.clone(),
            runtime: Handle::current(),
            closing,
        }
    }

    /// The last decided height.
    pub(crate) fn tip(&self) -> Height {
        self.reader.tip().0
    }

    /// The segments that there are or should be.
    pub(crate) fn segments(&self) -> Vec<SegmentName> {
        let damaged = self.reader.damaged_segments();
        let mut names = self.reader.segments();
        names.extend(damaged.into_iter().map(|damaged| damaged.name));
        names.extend(self.reader.segment_files().unwrap_or_default());
        names.sort();
        names.dedup();
        names
    }

    /// All of a segment.
    pub(crate) fn segment(&self, name: SegmentName, pace: Pace<'_>) -> Result<Vec<Fault>, Stopped> {
        if let Some(fault) = self.without_file(name) {
            return Ok(vec![fault]);
        }
        let found = self.twice(pace, |pace| {
            self.reader.scrub_segment(name, &signatures(), pace)
        })?;
        let place = Place::Segment(name);
        if found.is_empty() {
            self.findings.whole(&place, THIS_NODE);
        }
        let faults = self.report(found);
        if !faults.is_empty() {
            self.let_go(name);
        }
        Ok(faults)
    }

    /// A segment that is in use and whose file is gone: readers that have it open do not notice.
    fn without_file(&self, name: SegmentName) -> Option<Fault> {
        let lost = ledger::without_file(&self.reader).contains(&name.to());
        if !lost || !self.reader.segments().contains(&name) {
            return None;
        }
        let place = Place::Segment(name);
        let what = "its file is gone".to_owned();
        self.findings.report(place.clone(), what.clone(), None);
        self.mend(name.to());
        Some(Fault {
            place,
            height: Some(name.from()),
            what,
        })
    }

    /// Moves a damaged segment aside that nothing is read from, since others hold all its blocks.
    fn let_go(&self, name: SegmentName) {
        let heights = (name.from().0..=name.to().0).map(Height);
        let held = |height| matches!(self.reader.block(height), Ok(Some(_)));
        if self.reader.segments().contains(&name) || !heights.into_iter().all(held) {
            return;
        }
        let file = format!("{}/{name}", ledger::segment::FOLDER);
        let aside = self.folder.join("quarantine").join(name.to_string());
        match std::fs::rename(self.folder.join("ledger").join(file), &aside) {
            Ok(()) => {
                let what = "others hold its blocks";
                let finding = self
                    .findings
                    .report(Place::Segment(name), what, Some(aside));
                self.findings.repaired(finding, THIS_NODE);
            }
            Err(error) => warn!(%name, %error, "a damaged segment stays where it is"),
        }
    }

    /// All of the log.
    pub(crate) fn log(&self, pace: Pace<'_>) -> Result<Vec<Fault>, Stopped> {
        let found = self.twice(pace, |pace| self.reader.scrub_log(&signatures(), pace))?;
        let faults = self.report(found);
        for open in self.findings.recent() {
            let logged = matches!(open.place, Place::Log { .. } | Place::Heights { .. });
            let still = faults.iter().any(|fault| fault.place == open.place);
            if logged && !still && !open.is_repaired() {
                self.findings.repaired(open.id, THIS_NODE);
            }
        }
        Ok(faults)
    }

    /// Takes a second look at what seems wrong: it may have been half written.
    fn twice(
        &self,
        pace: Pace<'_>,
        look: impl Fn(Pace<'_>) -> Result<Vec<Damage>, Stopped>,
    ) -> Result<Vec<Damage>, Stopped> {
        let first = look(pace)?;
        if first.is_empty() {
            return Ok(first);
        }
        std::thread::sleep(SECOND_LOOK);
        let second = look(pace)?;
        Ok(self.reader.still(&first, second))
    }

    /// Reports what was found in the ledger, and has every part that lacks something repaired.
    fn report(&self, found: Vec<Damage>) -> Vec<Fault> {
        let mut parts = BTreeMap::new();
        for damage in found.iter().rev().filter(|damage| !damage.harmless) {
            let height = match damage.site {
                // Segments may overlap, but their heads are their own.
                Site::Segment(name) => name.to(),
                _ => damage.height,
            };
            parts.insert(damage.site.clone(), height);
        }
        self.rewrite(&found);
        let faults = self.note(found);
        for height in parts.into_values() {
            self.mend(height);
        }
        faults
    }

    /// Writes damaged copies anew from the good ones beside them; the next look says that they are whole.
    fn rewrite(&self, found: &[Damage]) {
        for spare in found.iter().flat_map(|damage| &damage.spares) {
            if let Err(error) = self.reader.rewrite(spare) {
                warn!(file = spare.file, %error, "a damaged copy could not be written anew");
            }
        }
    }

    /// Has the blocks around a height fetched from the other nodes. Who mends says what became of it.
    fn mend(&self, height: Height) {
        let (mender, closing) = (self.mender.clone(), self.closing.clone());
        let mending = async move { closing.run_until_cancelled(mender.repair(height)).await };
        if let Some(Err(why)) = self.runtime.block_on(mending) {
            warn!(%height, why, "damage in the ledger is not repaired");
        }
    }

    fn note(&self, found: Vec<Damage>) -> Vec<Fault> {
        let faults = found.into_iter().map(|damage| {
            let place = match damage.site {
                Site::Segment(name) => Place::Segment(name),
                Site::Log(file) => Place::Log { file },
                Site::Missing { from, to } => Place::Heights { from, to },
            };
            let height = Some(damage.height);
            let what = match damage.harmless {
                true => format!("{}; a second copy says the same", damage.what),
                false => damage.what,
            };
            self.findings.report(place.clone(), what.clone(), None);
            Fault {
                place,
                height,
                what,
            }
        });
        faults.collect()
    }

    /// The blobs whose names begin with a byte.
    pub(crate) fn blobs(&self, first: u8, pace: Pace<'_>) -> Result<Vec<Fault>, Stopped> {
        let ids = self.store.beginning_with(first).unwrap_or_else(|error| {
            warn!(%error, "blobs cannot be listed");
            Vec::new()
        });
        let mut faults = self.lost(first, &ids);
        for id in ids {
            faults.extend(self.blob(id, pace)?);
        }
        Ok(faults)
    }

    /// The blobs that were here and are not any more.
    fn lost(&self, first: u8, here: &[BlobId]) -> Vec<Fault> {
        let belonging = self.replicator.belonging(first);
        let belonging = self.runtime.block_on(belonging);
        let mut faults = Vec::new();
        for id in belonging.into_iter().filter(|id| !here.contains(id)) {
            let gone = matches!(self.store.size(id), Ok(None));
            if gone && self.runtime.block_on(self.replicator.is_lost(id)) {
                let place = Place::Blob(id);
                let what = "its file is gone".to_owned();
                let finding = self.findings.report(place.clone(), what.clone(), None);
                self.restore(id, finding);
                faults.push(Fault {
                    place,
                    height: None,
                    what,
                });
            }
        }
        faults
    }

    /// One blob; a damaged one is moved aside and fetched from a peer.
    fn blob(&self, id: BlobId, pace: Pace<'_>) -> Result<Option<Fault>, Stopped> {
        let place = Place::Blob(id);
        let what = match self.hashes_to(id, pace) {
            Ok(None) => return Err(Stopped),
            Ok(Some(found)) if found == id => {
                self.findings.whole(&place, THIS_NODE);
                return Ok(None);
            }
            Ok(Some(found)) => format!("its bytes hash to {found}"),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => format!("it cannot be read: {error}"),
        };
        // Once more, and aside with it: it may have been made good a moment ago.
        let aside = match self.store.verify(id) {
            Ok(Verdict::Damaged { quarantine, .. }) => Some(quarantine),
            Ok(Verdict::Sound) => return Ok(None),
            // Whoever read it last has moved it.
            Ok(Verdict::Absent) | Err(ReadError::Read { .. }) => None,
            Err(error) => {
                warn!(blob = %id, error = chain_of_causes(&error), "a damaged blob stays where it is");
                None
            }
        };
        let finding = self.findings.report(place.clone(), what.clone(), aside);
        self.restore(id, finding);
        Ok(Some(Fault {
            place,
            height: None,
            what,
        }))
    }

    /// What a blob's bytes hash to; nothing if it is time to stop.
    fn hashes_to(&self, id: BlobId, pace: Pace<'_>) -> io::Result<Option<BlobId>> {
        let mut file = std::fs::File::open(self.store.path(id))?;
        // What people use should stay in memory, what is only checked need not. Only a wish.
        let _ = rustix::fs::fadvise(&file, 0, None, Advice::NoReuse);
        let mut hasher = Sha256::new();
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            let count = match file.read(&mut chunk) {
                Ok(0) => return Ok(Some(BlobId(hasher.finalize().into()))),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            hasher.update(chunk.get(..count).unwrap_or_default());
            if !pace(count as u64) {
                return Ok(None);
            }
        }
    }

    /// Fetches a blob from a peer.
    fn restore(&self, id: BlobId, finding: u64) {
        let holdings = self.holdings.clone();
        let closing = self.closing.clone();
        let fetching = async move { closing.run_until_cancelled(holdings.open(id)).await };
        match self.runtime.block_on(fetching) {
            Some(Ok(_)) => self.findings.repaired(finding, "another node"),
            Some(Err(problem)) => self.findings.refused(finding, problem.detail()),
            None => {}
        }
    }

    /// Tries again what could not be repaired.
    pub(crate) fn retry(&self) {
        for open in self.findings.recent() {
            if let (Place::Blob(id), false) = (&open.place, open.is_repaired()) {
                self.restore(*id, open.id);
            }
        }
    }

    /// Whether the catalogue can be compared: the ledger of a node that was killed may lack its last blocks for a moment.
    pub(crate) fn can_compare(&self) -> bool {
        !rebuild::is_ahead(&self.catalogue, &self.reader)
    }

    /// Whether the catalogue's file is whole as a database. A short answer that says nothing about its rows.
    pub(crate) fn catalogue_is_sound(&self) -> bool {
        rebuild::is_sound(self.catalogue.path())
    }

    /// The catalogue, against one that is built anew from the ledger. One that differs is replaced by that.
    pub(crate) fn catalogue(&self, pace: Pace<'_>) -> Result<Vec<Fault>, Stopped> {
        let _alone = self.catalogue.compare_alone();
        let compared = rebuild::compare(&self.catalogue, &self.reader, &self.folder, pace);
        let differs = match compared {
            Ok(None) => {
                self.findings.whole(&Place::Catalogue, THIS_NODE);
                return Ok(Vec::new());
            }
            Ok(Some(differs)) => differs,
            Err(rebuild::Refusal::Stopped) => return Err(Stopped),
            Err(error) => {
                warn!(
                    error = chain_of_causes(&error),
                    "the catalogue could not be compared with the ledger"
                );
                return Ok(Vec::new());
            }
        };
        let what = differs.what.clone();
        let finding = self.findings.report(Place::Catalogue, what.clone(), None);
        match differs.replace() {
            Ok(aside) => {
                let again = self
                    .findings
                    .report(Place::Catalogue, what.clone(), Some(aside));
                self.findings.repaired(again, "the ledger");
            }
            Err(why) => self.findings.refused(finding, why),
        }
        Ok(vec![Fault {
            place: Place::Catalogue,
            height: None,
            what,
        }])
    }
}

/// To check signatures takes no key of ours.
fn signatures() -> Ed25519 {
    Ed25519::new(&[0; 32])
}
