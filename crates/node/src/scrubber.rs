//! Goes over everything on this node's disk, again and again, and slowly.
//!
//! A pass has three parts: the ledger (every segment, then the log), the blobs in the order of their names, and the
//! catalogue, which is rebuilt beside the one in use and compared (`checks`). One thread does it, held to a rate and to a fraction of a
//! core (`pace`), so nobody waits for it; it only reads what others write and never holds a lock over a read. Where
//! it is, is written down about once a minute, so that a restart does not begin anew: what a disk holds is seen whole
//! at least weekly, since the rate is raised where the configured one is too low for that.
//!
//! What differs goes to [`Findings`](crate::Findings), is kept aside, and is repaired where this node alone, or a peer,
//! can do it.

pub(crate) mod checks;
pub(crate) mod meddling;
mod pace;
mod rebuild;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ledger::Stopped;
use model::Height;
use serde::{Deserialize, Serialize};
use tracing::{debug, info, warn};

use self::checks::Checks;
use self::pace::Pacer;
use crate::config::ScrubConfig;

/// Where a scrubber's place is kept in a node's folder.
const FILE: &str = "scrub.json";
/// Between two notes of the place.
const NOTE_EVERY: Duration = Duration::from_secs(60);
/// Everything is to be seen in less than this.
const WEEK_SECONDS: u64 = 7 * 24 * 3600;
/// To rebuild a catalogue writes as much as it holds: so not in every pass, where passes are short.
const CATALOGUE_EVERY: Duration = Duration::from_secs(24 * 3600);
/// Between two looks whether the ledger has caught up with the catalogue.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// What is being gone over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Part {
    /// Segments and log.
    #[default]
    Ledger,
    /// Files' bytes.
    Blobs,
    /// The catalogue.
    Catalogue,
    /// Nothing: the next pass is not due.
    Resting,
}

impl Part {
    /// As it is shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ledger => "ledger",
            Self::Blobs => "blobs",
            Self::Catalogue => "catalogue",
            Self::Resting => "resting",
        }
    }
}

/// A pass that came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pass {
    /// When, in microseconds since 1970.
    pub ended: u64,
    /// How much damage it found.
    pub faults: u64,
    /// How many bytes it read.
    pub bytes: u64,
}

/// Where the scrubber is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Progress {
    /// In which part.
    pub part: Part,
    /// How far in it: for the ledger a height, for blobs the first byte of their names.
    pub position: u64,
    /// Damage found in this pass.
    pub faults: u64,
    /// Bytes read in this pass.
    pub bytes: u64,
    /// The last pass that came to its end.
    pub last: Option<Pass>,
    /// When the catalogue was compared last, in microseconds since 1970.
    pub catalogue: Option<u64>,
}

impl Progress {
    /// How much of the pass is done, from 0 to 1, if the ledger reaches this high. The parts count the same.
    pub fn ratio(&self, tip: Height) -> f64 {
        let part = |position: u64, of: u64| {
            #[expect(clippy::cast_precision_loss, reason = "a share needs few digits")]
            let share = position as f64 / of.max(1) as f64;
            share.min(1.0)
        };
        match self.part {
            Part::Ledger => part(self.position, tip.0) / 3.0,
            Part::Blobs => (1.0 + part(self.position, 256)) / 3.0,
            Part::Catalogue => 2.0 / 3.0,
            Part::Resting => 1.0,
        }
    }
}

/// Shows where the scrubber is. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ScrubHandle(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    progress: Mutex<Progress>,
    runs: bool,
}

impl ScrubHandle {
    /// Of a node's folder, at the place where an earlier run was.
    pub(crate) fn open(folder: &Path, config: &ScrubConfig) -> Self {
        let path = folder.join(FILE);
        let read = fs::read(&path);
        let progress = read
            .ok()
            .and_then(|text| serde_json::from_slice(&text).ok());
        Self(Arc::new(Shared {
            path,
            progress: Mutex::new(progress.unwrap_or_default()),
            runs: config.bytes_per_second > 0,
        }))
    }

    /// Where it is; nothing if this node does not scrub.
    pub fn progress(&self) -> Option<Progress> {
        self.0.runs.then(|| *self.lock())
    }

    /// Has the catalogue compared before anything else.
    pub(crate) fn doubt_catalogue(&self) {
        self.lock().catalogue = None;
    }

    fn lock(&self) -> MutexGuard<'_, Progress> {
        let progress = self.0.progress.lock();
        progress.expect("nothing panics while it holds the progress")
    }

    /// Writes the place down. A place that is lost costs a pass, nothing else.
    fn note(&self) -> io::Result<()> {
        let progress = *self.lock();
        let unfinished = self.0.path.with_extension("unfinished");
        fs::write(&unfinished, serde_json::to_vec(&progress)?)?;
        fs::rename(&unfinished, &self.0.path)
    }
}

/// The running thread. Dropped, it stops within a moment.
pub(crate) struct Scrubber {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Scrubber {
    /// Starts it, if the configuration wants it.
    pub(crate) fn start(
        checks: Checks,
        config: &ScrubConfig,
        handle: ScrubHandle,
    ) -> io::Result<Self> {
        let (stop, stopped) = channel();
        let mut scrubber = Self {
            stop: Some(stop),
            thread: None,
        };
        if config.bytes_per_second > 0 {
            let worker = Worker {
                checks,
                pacer: Pacer::new(config.bytes_per_second, stopped),
                config: config.clone(),
                handle,
                noted: Instant::now(),
            };
            let thread = std::thread::Builder::new().name("scrubber".to_owned());
            scrubber.thread = Some(thread.spawn(move || worker.run())?);
        }
        Ok(scrubber)
    }
}

impl Drop for Scrubber {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            // A panic there was printed by the thread.
            let _ = thread.join();
        }
    }
}

struct Worker {
    checks: Checks,
    pacer: Pacer,
    config: ScrubConfig,
    handle: ScrubHandle,
    noted: Instant,
}

impl Worker {
    fn run(mut self) {
        let never = self.handle.lock().catalogue.is_none();
        // A start has trusted the file that the node had left.
        let doubted = never || !self.checks.catalogue_is_sound();
        if doubted {
            self.handle.doubt_catalogue();
        }
        let mut goes_on = !doubted || self.catalogue().is_ok();
        goes_on = goes_on && self.until_due();
        while goes_on {
            goes_on = self.pass().is_ok() && self.pacer.rest(self.config.pause);
        }
        self.note();
    }

    /// A node that was restarted between two passes waits for what is left of the pause.
    fn until_due(&mut self) -> bool {
        let progress = *self.handle.lock();
        let Some(last) = progress.last.filter(|_| progress.part == Part::Resting) else {
            return self.pacer.rest(Duration::ZERO);
        };
        let since = Duration::from_micros(now().saturating_sub(last.ended));
        self.pacer.rest(self.config.pause.saturating_sub(since))
    }

    /// One pass, or what is left of one.
    fn pass(&mut self) -> Result<(), Stopped> {
        let progress = *self.handle.lock();
        let weekly = progress
            .last
            .map_or(0, |last| last.bytes * 2 / WEEK_SECONDS);
        self.pacer
            .set_rate(self.config.bytes_per_second.max(weekly));
        self.checks.retry();
        if matches!(progress.part, Part::Ledger | Part::Resting) {
            let from = match progress.part {
                Part::Ledger => progress.position,
                _ => self.begin(),
            };
            self.ledger(Height(from))?;
            self.enter(Part::Blobs);
        }
        if self.handle.lock().part == Part::Blobs {
            self.blobs()?;
            self.enter(Part::Catalogue);
        }
        self.catalogue()?;
        self.end();
        Ok(())
    }

    fn begin(&self) -> u64 {
        let mut progress = self.handle.lock();
        *progress = Progress {
            last: progress.last,
            catalogue: progress.catalogue,
            ..Progress::default()
        };
        0
    }

    fn ledger(&mut self, from: Height) -> Result<(), Stopped> {
        let names = self.checks.segments();
        for name in names.into_iter().filter(|name| name.from() > from) {
            let (pace, handle) = (&mut self.pacer, &self.handle);
            let found = self
                .checks
                .segment(name, &mut |bytes| take(pace, handle, bytes))?;
            self.found(found.len(), name.to().0);
        }
        let (pace, handle) = (&mut self.pacer, &self.handle);
        let found = self.checks.log(&mut |bytes| take(pace, handle, bytes))?;
        self.found(found.len(), self.checks.tip().0);
        Ok(())
    }

    fn blobs(&mut self) -> Result<(), Stopped> {
        let from = u8::try_from(self.handle.lock().position).unwrap_or(0);
        for first in from..=u8::MAX {
            let (pace, handle) = (&mut self.pacer, &self.handle);
            let found = self
                .checks
                .blobs(first, &mut |bytes| take(pace, handle, bytes))?;
            self.found(found.len(), u64::from(first) + 1);
        }
        Ok(())
    }

    fn catalogue(&mut self) -> Result<(), Stopped> {
        let last = self.handle.lock().catalogue;
        let since = last.map(|last| Duration::from_micros(now().saturating_sub(last)));
        if since.is_some_and(|since| since < CATALOGUE_EVERY) {
            return Ok(());
        }
        while !self.checks.can_compare() {
            if !self.pacer.rest(LOOK_AGAIN) {
                return Err(Stopped);
            }
        }
        let (pace, handle) = (&mut self.pacer, &self.handle);
        let found = self
            .checks
            .catalogue(&mut |bytes| take(pace, handle, bytes))?;
        self.found(found.len(), 0);
        self.handle.lock().catalogue = Some(now());
        Ok(())
    }

    fn found(&mut self, faults: usize, position: u64) {
        let mut progress = self.handle.lock();
        progress.faults += faults as u64;
        progress.position = position;
        drop(progress);
        if self.noted.elapsed() > NOTE_EVERY {
            self.note();
        }
    }

    fn enter(&self, part: Part) {
        let mut progress = self.handle.lock();
        progress.part = part;
        progress.position = 0;
    }

    fn end(&mut self) {
        let mut progress = self.handle.lock();
        let (faults, bytes) = (progress.faults, progress.bytes);
        progress.part = Part::Resting;
        progress.last = Some(Pass {
            ended: now(),
            faults,
            bytes,
        });
        drop(progress);
        if faults == 0 {
            debug!(bytes, "everything on this disk was looked at and is sound");
        } else {
            info!(faults, bytes, "everything on this disk was looked at");
        }
        self.note();
    }

    fn note(&mut self) {
        self.noted = Instant::now();
        if let Err(error) = self.handle.note() {
            warn!(%error, "where the scrubber is could not be written down");
        }
    }
}

fn take(pacer: &mut Pacer, handle: &ScrubHandle, bytes: u64) -> bool {
    if bytes > 0 {
        handle.lock().bytes += bytes;
    }
    pacer.take(bytes)
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let micros = since.map_or(0, |since| since.as_micros());
    u64::try_from(micros).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restart_goes_on_where_the_scrubber_was() {
        let folder = tempfile::tempdir().unwrap();
        let config = ScrubConfig::default();
        let handle = ScrubHandle::open(folder.path(), &config);
        *handle.lock() = Progress {
            part: Part::Blobs,
            position: 64,
            faults: 1,
            bytes: 70,
            last: Some(Pass {
                ended: 3,
                faults: 2,
                bytes: 100,
            }),
            catalogue: Some(2),
        };
        handle.note().unwrap();
        let again = ScrubHandle::open(folder.path(), &config);
        assert_eq!(again.progress(), handle.progress());
        fs::write(folder.path().join(FILE), b"{\"part\":").unwrap();
        let anew = ScrubHandle::open(folder.path(), &config);
        assert_eq!(anew.progress(), Some(Progress::default()));
    }

    #[test]
    fn progress_only_grows_within_a_pass() {
        let at = |part, position| Progress {
            part,
            position,
            ..Progress::default()
        };
        let steps = [
            at(Part::Ledger, 0),
            at(Part::Ledger, 50),
            at(Part::Blobs, 0),
            at(Part::Blobs, 200),
            at(Part::Catalogue, 0),
            at(Part::Resting, 0),
        ];
        let ratios = steps.map(|progress| progress.ratio(Height(100)));
        assert!(ratios.is_sorted(), "{ratios:?}");
        assert!(ratios.first() == Some(&0.0) && ratios.last() == Some(&1.0));
    }
}
