//! A disk with a page cache in front of it, which forgets what was not flushed.
//!
//! A write passes three places: the *queue* of the disk thread (lost when the process dies), the *page cache*
//! (survives the process, lost when power fails) and the *platter* (durable). A flush carries all of a batch's files
//! from the cache to the platter; a file that only an earlier incarnation wrote to is not among them. When power
//! fails, any subset of the cache's dirty 512-byte sectors has made it, since the cache writes back in any order, and
//! a new file's name and length may be there or not.
//!
//! After a failed flush the sectors that did not make it are *clean* in the cache and wrong on the platter, which is
//! what Linux does: the next flush succeeds and says nothing about them.

mod damage;
mod file;
mod rot;
mod segments;
mod storage;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use ledger::{Disk, Storage, Write};
use model::LogSeq;

use crate::rng::{Chance, Rng};
pub(crate) use damage::Wound;
use file::File;
pub(crate) use rot::Harm;
pub(crate) use segments::Mishap;
use storage::SimStorage;

/// Durable writes kept as evidence for what may be said, before those of the latest flush.
const EVIDENCE_BYTES: usize = 512 << 10;

/// How much of the dirty cache survives a power cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Writeback {
    /// Nothing.
    None,
    /// Everything.
    All,
    /// Every sector by the toss of a coin.
    Some,
}

impl Writeback {
    pub(crate) fn draw(rng: &mut Rng) -> Self {
        match rng.below(4) {
            0 => Self::None,
            1 => Self::All,
            _ => Self::Some,
        }
    }
}

/// What the disk thread would do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    /// Sleep: nothing is queued, or a batch is being flushed, or writing has ended.
    Nothing,
    /// Write and flush at once.
    Now,
    /// Nobody waits: write with whatever comes in the next milliseconds.
    Later,
}

/// What became of an attempt to write a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Begun {
    /// It is in the cache and being flushed.
    Flushing,
    /// There is no room for its first write.
    Full,
}

/// Files, cache, queue.
#[derive(Debug, Default)]
pub(crate) struct Platter {
    files: BTreeMap<String, File>,
    /// Durable when they are there at all; by path.
    segments: BTreeMap<String, Vec<u8>>,
    /// Files of the log whose deletion a power cut may undo.
    retired: BTreeMap<String, File>,
    /// When the sealer is stopped halfway.
    mishap: Option<Mishap>,
    queue: VecDeque<Write>,
    /// The writes being flushed.
    flight: Vec<Write>,
    /// Files written to by this incarnation since their last flush.
    touched: BTreeSet<String>,
    /// Where files of the log end; none: where they end in earnest.
    file_bytes: Option<u64>,
    /// How many more writes fit; none: as many as you like.
    room: Option<u32>,
    failed: bool,
    /// Power fails after this many more cuts.
    cuts_left: Option<u32>,
    /// The latest durable writes of this incarnation, newest last, and the very first.
    evidence: VecDeque<Vec<u8>>,
    evidence_bytes: usize,
    first: Option<Vec<u8>>,
}

impl Platter {
    /// A platter that holds these files, all durable.
    pub(crate) fn holding(files: impl IntoIterator<Item = (String, Vec<u8>)>) -> Self {
        let files = files
            .into_iter()
            .map(|(name, bytes)| (name, File::durable(bytes)))
            .collect();
        Self {
            files,
            ..Self::default()
        }
    }

    /// What would be found if power failed now and nothing more were written back.
    pub(crate) fn durable_image(&self) -> Self {
        let files = self.files.iter();
        let durable =
            files.filter_map(|(name, file)| Some((name.clone(), file.durable_bytes()?.to_vec())));
        Self {
            segments: self.segments.clone(),
            ..Self::holding(durable)
        }
    }

    /// How long that image is.
    pub(crate) fn durable_bytes(&self) -> u64 {
        let files = self.files.values();
        files
            .filter_map(File::durable_bytes)
            .map(|bytes| bytes.len() as u64)
            .sum()
    }

    /// What the disk thread would do next.
    pub(crate) fn wish(&self) -> Wish {
        if self.failed || !self.flight.is_empty() || self.queue.is_empty() {
            Wish::Nothing
        } else if self.queue.iter().all(|write| write.lazy) {
            Wish::Later
        } else {
            Wish::Now
        }
    }

    /// Moves what is queued into the cache, as far as there is room, and starts its flush.
    pub(crate) fn begin(&mut self) -> Begun {
        let queued = self.next_batch();
        let fitting = self.room.map_or(queued, |room| {
            queued.min(usize::try_from(room).unwrap_or(queued))
        });
        if fitting == 0 {
            return Begun::Full;
        }
        if let Some(room) = &mut self.room {
            *room = room.saturating_sub(u32::try_from(fitting).unwrap_or(u32::MAX));
        }
        let batch: Vec<Write> = self.queue.drain(..fitting).collect();
        for write in &batch {
            self.cache(write, write.bytes.len());
        }
        self.flight = batch;
        Begun::Flushing
    }

    /// The flush returns: everything through the sequence number given is durable.
    pub(crate) fn finish(&mut self) -> Option<LogSeq> {
        for name in std::mem::take(&mut self.touched) {
            if let Some(file) = self.files.get_mut(&name) {
                file.flush();
            }
        }
        let last = self.flight.last().map(|write| write.seq);
        // A batch is evidence as a whole: what rests on any of its records leaves only now.
        self.trim_evidence();
        for write in std::mem::take(&mut self.flight) {
            self.keep_evidence(write.bytes);
        }
        last
    }

    /// The flush fails. Some sectors made it; the others stay in the cache until it is dropped, and look clean.
    pub(crate) fn fail(&mut self, rng: &mut Rng) {
        self.failed = true;
        self.flight.clear();
        for name in std::mem::take(&mut self.touched) {
            if let Some(file) = self.files.get_mut(&name) {
                file.write_back(rng, Writeback::Some);
                file.forget_dirty();
            }
        }
    }

    /// Whether anything that this incarnation wrote is durable.
    pub(crate) fn has_started(&self) -> bool {
        self.first.is_some()
    }

    /// As if the record of a start had been flushed.
    #[cfg(test)]
    pub(crate) fn start_for_test(&mut self) {
        self.first = Some(Vec::new());
    }

    /// Whether a flush has failed in this incarnation.
    pub(crate) fn has_failed(&self) -> bool {
        self.failed
    }

    /// From the next start on, files of the log end at about so many bytes.
    pub(crate) fn end_files_at(&mut self, bytes: Option<u64>) {
        self.file_bytes = bytes;
    }

    /// From now on only `writes` more writes fit.
    pub(crate) fn limit_room(&mut self, writes: u32) {
        self.room = Some(writes);
    }

    /// Whether at least one more write fits.
    pub(crate) fn has_room(&self) -> bool {
        self.room != Some(0)
    }

    /// There is room again.
    pub(crate) fn free_room(&mut self) {
        self.room = None;
    }

    /// The process dies: a prefix of the queue has reached the cache, the write after it perhaps in part.
    pub(crate) fn kill(&mut self, rng: &mut Rng) {
        self.tear_queue(rng);
        if rng.chance(Chance::percent(25)) {
            self.files.values_mut().for_each(File::flush);
        }
        if self.failed && rng.chance(Chance::HALF) {
            self.files.values_mut().for_each(File::evict);
        }
        self.end_incarnation();
    }

    /// Power fails.
    pub(crate) fn cut_power(&mut self, rng: &mut Rng, writeback: Writeback) {
        self.tear_queue(rng);
        for (name, file) in std::mem::take(&mut self.retired) {
            if rng.chance(Chance::HALF) {
                self.files.insert(name, file);
            }
        }
        for file in self.files.values_mut() {
            file.cut_power(rng, writeback);
        }
        self.files.retain(|_, file| file.exists());
        self.end_incarnation();
    }

    /// From now on power fails after `cuts` more cuts of files; none: it stays.
    pub(crate) fn limit_cuts(&mut self, cuts: Option<u32>) {
        self.cuts_left = cuts;
    }

    /// Whether power has failed between two cuts.
    pub(crate) fn is_out_of_cuts(&self) -> bool {
        self.cuts_left == Some(0)
    }

    /// Whether one durable write of this incarnation contains all of `needles`.
    pub(crate) fn proves(&self, needles: &[&[u8]]) -> bool {
        self.evidence
            .iter()
            .rev()
            .chain(&self.first)
            .any(|write| needles.iter().all(|needle| contains(write, needle)))
    }

    /// Whether they stand in one of the writes twice, so far apart that no sector holds both.
    pub(crate) fn proves_twice(&self, needles: &[&[u8]]) -> bool {
        self.evidence
            .iter()
            .rev()
            .chain(&self.first)
            .any(|write| needles.iter().all(|needle| stands_apart(write, needle)))
    }

    /// How many of the queued writes are flushed together.
    fn next_batch(&self) -> usize {
        begins_one_file(&self.flight, &self.queue)
    }

    fn tear_queue(&mut self, rng: &mut Rng) {
        let whole = rng.index(self.queue.len() + 1);
        let queue = std::mem::take(&mut self.queue);
        if self.failed || self.room.is_some() {
            return;
        }
        let batch = begins_one_file(&self.flight, &queue);
        for (at, write) in queue.iter().enumerate().take(batch.min(whole + 1)) {
            let length = if at < whole {
                write.bytes.len()
            } else {
                rng.index(write.bytes.len() + 1)
            };
            self.cache(write, length);
        }
    }

    fn end_incarnation(&mut self) {
        self.queue.clear();
        self.flight.clear();
        self.touched.clear();
        self.failed = false;
        self.evidence.clear();
        self.evidence_bytes = 0;
        self.first = None;
        self.mishap = None;
    }

    /// Writes the first `length` bytes of `write` to the cache.
    fn cache(&mut self, write: &Write, length: usize) {
        let bytes = write.bytes.get(..length).unwrap_or(&write.bytes);
        if write.create {
            let old = self.files.insert(write.file.clone(), File::default());
            assert!(
                old.is_none(),
                "the ledger creates {}, which exists",
                write.file
            );
        }
        let file = self
            .files
            .get_mut(&write.file)
            .expect("the ledger writes to files that it has created");
        file.write(write.offset, bytes);
        self.touched.insert(write.file.clone());
    }

    fn keep_evidence(&mut self, mut bytes: Vec<u8>) {
        // Without the zeros ahead of the next record; a few of them may be this one's.
        let last = bytes.iter().rposition(|byte| *byte != 0);
        bytes.truncate(last.map_or(0, |last| last + 1 + ZEROS_KEPT));
        bytes.shrink_to_fit();
        if self.first.is_none() {
            self.first = Some(bytes);
            return;
        }
        self.evidence_bytes += bytes.len();
        self.evidence.push_back(bytes);
    }

    fn trim_evidence(&mut self) {
        while self.evidence_bytes > EVIDENCE_BYTES && self.evidence.len() > 64 {
            let oldest = self.evidence.pop_front().map_or(0, |bytes| bytes.len());
            self.evidence_bytes -= oldest;
        }
    }
}

/// How many of the queued writes may be on their way at once: no file is begun while the one before it may not be there,
/// as the node's disk flushes a file before it begins the next.
fn begins_one_file(flight: &[Write], queue: &VecDeque<Write>) -> usize {
    let mut begun = flight.iter().filter(|write| write.create).count();
    let fits = |write: &&Write| {
        begun += usize::from(write.create);
        begun < 2 || !write.create
    };
    queue.iter().take_while(fits).count()
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    let Some(last) = needle.last() else {
        return true;
    };
    // Compares the last byte first: ballots begin with many zeros and end with a small counter behind a random key.
    haystack
        .windows(needle.len())
        .any(|window| window.last() == Some(last) && window == needle)
}

/// No number or hash in a record is longer.
const ZEROS_KEPT: usize = 32;
/// Copies of what is written twice are at least so many bytes apart.
const APART: usize = 256;

fn stands_apart(haystack: &[u8], needle: &[u8]) -> bool {
    let found = |window: &[u8]| window == needle;
    let first = haystack.windows(needle.len()).position(found);
    let last = haystack.windows(needle.len()).rposition(found);
    first
        .zip(last)
        .is_some_and(|(first, last)| last - first >= APART)
}

/// The handle that a replica owns.
#[derive(Debug)]
pub struct SimDisk {
    platter: Shared,
}

/// A platter between the world and the replica that writes to it.
pub(crate) type Shared = Arc<Mutex<Platter>>;

/// Locks a platter; nobody ever waits, since a world runs on one thread.
pub(crate) fn lock(platter: &Shared) -> MutexGuard<'_, Platter> {
    platter
        .lock()
        .expect("no thread panics while it holds a platter")
}

impl SimDisk {
    pub(crate) fn new(platter: Shared) -> Self {
        Self { platter }
    }
}

impl Disk for SimDisk {
    fn storage(&self) -> Arc<dyn Storage> {
        Arc::new(SimStorage {
            platter: Arc::clone(&self.platter),
        })
    }

    fn cut(&mut self, file: &str, length: u64) -> io::Result<()> {
        let mut platter = lock(&self.platter);
        if platter.cuts_left == Some(0) {
            return Err(io::Error::other("power fails"));
        }
        platter.cuts_left = platter.cuts_left.map(|left| left - 1);
        platter
            .files
            .get_mut(file)
            .ok_or_else(|| missing(file))?
            .cut(length);
        Ok(())
    }

    fn submit(&mut self, write: Write) {
        lock(&self.platter).queue.push_back(write);
    }

    fn file_bytes(&self) -> u64 {
        let earnest = 64 << 20;
        lock(&self.platter).file_bytes.unwrap_or(earnest)
    }
}

fn missing(file: &str) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("there is no file {file}"))
}

#[cfg(test)]
mod tests;
