//! Whether the ledger's files are those that this node left behind.
//!
//! Opening a ledger cannot tell three things by itself: that a segment was there and is gone, that a segment is a
//! forgery with every hash right, and that a log which ends early was cut. So a node notes what the file system knows
//! its segments by, whenever there is another one ([`Segments`]), and where its log ends, when it stops ([`leave`]). A
//! start holds its folder against that before it opens anything ([`before_opening`]): what is gone is reported, what is
//! another file is proved from its first block to its last certificate or put aside, and a log that is shorter than it
//! was left is refused, since votes may have been in what is missing. Files that were copied or moved are other files
//! to the file system: they are proved once, nothing else. A note that is missing or damaged costs only what it would
//! have told; the scrubber and the check after a start (P40) do not need it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::Path;

use ledger::segment::FOLDER;
use ledger::{LogEnd, OpenError, SegmentName, Storage};
use model::{ChainId, Digest, Signatures};
use sha2::{Digest as _, Sha256};
use tracing::warn;

use crate::config::NodeConfig;
use crate::peer::chain_of_causes;
use crate::{Findings, Place, disk};

/// The note's file in a node's folder.
const FILE: &str = "ledger.stamp";
/// Read at once.
const CHUNK: u64 = 1 << 20;
/// What is said of a file that is missing.
const GONE: &str = "its file is gone; it was there when this node ran";

/// Why the ledger must not be opened.
#[derive(Debug, thiserror::Error)]
pub enum Changed {
    /// The log is shorter than it was left.
    #[error(
        "the log was cut while the node did not run: it ended at byte {end} of {file} when the node stopped, and it does \
         not any more. Votes may have been in what is missing. Put the file back, with what it held; if that is not \
         possible, keep the folder, take this node out (`starling cluster remove`) and let the machine join again under a \
         new name (`starling cluster join`)"
    )]
    Cut {
        /// Its last file.
        file: String,
        /// How far that reached.
        end: u64,
    },
    /// The ledger's folder cannot be looked at.
    #[error("looking at the ledger's files before opening them")]
    Ledger(#[from] OpenError),
    /// A file cannot be read or moved.
    #[error("looking at the ledger's files before opening them")]
    Io(#[from] io::Error),
}

/// What is noted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Note {
    /// The files of the log and what they hash to, while the node does not run.
    logs: BTreeMap<String, String>,
    end: Option<(String, u64)>,
    segments: BTreeMap<SegmentName, String>,
}

impl Note {
    /// The note of a chain in a node's folder; nothing if there is none, or it is another chain's.
    fn read(folder: &Path, chain: ChainId) -> io::Result<Option<Self>> {
        let text = match fs::read_to_string(folder.join(FILE)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            // What is no text any more says nothing.
            Err(error) if error.kind() == io::ErrorKind::InvalidData => return Ok(None),
            text => text?,
        };
        let mut lines = text.lines();
        if lines.next() != Some(format!("chain {chain}").as_str()) {
            return Ok(None);
        }
        let mut note = Self::default();
        for line in lines {
            note.take(line);
        }
        Ok(Some(note))
    }

    /// A line that cannot be read is passed over.
    fn take(&mut self, line: &str) {
        let Some((kind, rest)) = line.split_once(' ') else {
            return;
        };
        let Some((name, rest)) = rest.split_once(' ') else {
            return;
        };
        if kind == "log" {
            self.logs.insert(name.to_owned(), rest.to_owned());
        }
        match (kind, name.parse(), rest.parse()) {
            ("segment", Ok(name), _) => {
                self.segments.insert(name, rest.to_owned());
            }
            ("end", _, Ok(end)) => self.end = Some((name.to_owned(), end)),
            _ => {}
        }
    }

    fn write(&self, folder: &Path, chain: ChainId) -> io::Result<()> {
        let mut text = format!("chain {chain}\n");
        for (file, digest) in &self.logs {
            text += &format!("log {file} {digest}\n");
        }
        if let Some((file, end)) = &self.end {
            text += &format!("end {file} {end}\n");
        }
        for (name, known) in &self.segments {
            text += &format!("segment {name} {known}\n");
        }
        let unfinished = folder.join(format!("{FILE}.unfinished"));
        fs::write(&unfinished, text)?;
        fs::rename(&unfinished, folder.join(FILE))
    }
}

/// By what the file system knows each segment of a ledger.
fn known(ledger: &Path) -> io::Result<BTreeMap<SegmentName, String>> {
    let entries = match fs::read_dir(ledger.join(FOLDER)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        entries => entries?,
    };
    let mut known = BTreeMap::new();
    for entry in entries {
        let entry = entry?;
        let name = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok());
        let Some(name) = name else { continue };
        match super::of(&entry.path()) {
            Ok(file) => known.insert(name, file.trim_end().to_owned()),
            // It went while we looked.
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
    }
    Ok(known)
}

/// A segment's file in the ledger's folder.
fn path_of(name: SegmentName) -> String {
    format!("{FOLDER}/{name}")
}

/// Notes where the log ends, of a ledger that nobody has open any more.
pub(crate) fn leave(config: &NodeConfig, chain: ChainId) -> Result<(), Changed> {
    let mut note = Note::read(&config.folder, chain)?.unwrap_or_default();
    let storage = disk::storage(&config.ledger_folder());
    let LogEnd { file, end, torn } = ledger::end_of_log(&storage)?;
    note.end = (!torn).then_some((file, end));
    note.logs = logs(&storage)?;
    note.write(&config.folder, chain)?;
    Ok(())
}

/// Forgets what was noted: of a ledger that is not there any more.
pub(crate) fn forget(folder: &Path) -> io::Result<()> {
    match fs::remove_file(folder.join(FILE)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Holds the ledger's folder against the note.
///
/// # Errors
/// [`Changed::Cut`] if the log is shorter than it was left, else what stands in the way of looking.
pub(crate) fn before_opening(
    config: &NodeConfig,
    chain: ChainId,
    signatures: &dyn Signatures,
    findings: &Findings,
) -> Result<(), Changed> {
    let Some(mut note) = Note::read(&config.folder, chain)? else {
        return Ok(());
    };
    let storage = disk::storage(&config.ledger_folder());
    if let Some((file, end)) = &note.end
        && is_cut(&storage, file, *end)
    {
        let (file, end) = (file.clone(), *end);
        let place = Place::Log { file: file.clone() };
        let error = Changed::Cut { file, end };
        let what = format!("it does not end any more at byte {end}, where this node left it");
        let finding = findings.report(place, what, None);
        findings.refused(finding, error.to_string());
        return Err(error);
    }
    let now = logs(&storage)?;
    for (file, digest) in &note.logs {
        let what = match now.get(file) {
            Some(now) if now == digest => continue,
            Some(_) => "its bytes are not those that this node left",
            None => GONE,
        };
        findings.report(Place::Log { file: file.clone() }, what, None);
    }
    let mut there = known(&config.ledger_folder())?;
    let other = there
        .iter()
        .filter(|(name, file)| note.segments.get(name) != Some(file));
    let other: BTreeSet<SegmentName> = other.map(|(name, _)| *name).collect();
    for forged in ledger::disprove(&storage, signatures, &other)? {
        let path = path_of(forged.name);
        let aside = storage.set_aside(&path)?;
        storage.retire(&path)?;
        findings.report(Place::Segment(forged.name), forged.what, Some(aside.into()));
        there.remove(&forged.name);
    }
    for gone in gone(&note.segments, &there) {
        findings.report(Place::Segment(gone), GONE, None);
    }
    // What follows writes to the log.
    (note.end, note.logs) = (None, BTreeMap::new());
    note.write(&config.folder, chain)?;
    Ok(())
}

/// The log's files and what they hash to.
fn logs(storage: &dyn Storage) -> io::Result<BTreeMap<String, String>> {
    let mut logs = BTreeMap::new();
    for file in storage.files()? {
        if !file.ends_with(".log") {
            continue;
        }
        let mut hasher = Sha256::new();
        let length = storage.len(&file)?;
        let mut at = 0;
        while at < length {
            let count = usize::try_from((length - at).min(CHUNK)).unwrap_or(usize::MAX);
            hasher.update(storage.read(&file, at, count)?);
            at += count as u64;
        }
        logs.insert(file, Digest(hasher.finalize().into()).to_string());
    }
    Ok(logs)
}

fn is_cut(storage: &dyn Storage, file: &str, end: u64) -> bool {
    match ledger::end_of_log(storage) {
        Ok(now) => now.torn || (now.file.as_str(), now.end) != (file, end),
        // Damage before the end is for mending to judge, but no damage makes a file shorter.
        Err(_) => storage.len(file).is_ok_and(|length| length < end),
    }
}

/// The noted segments whose files are gone, without those whose heights all lie in others: they were replaced.
fn gone(
    noted: &BTreeMap<SegmentName, String>,
    there: &BTreeMap<SegmentName, String>,
) -> Vec<SegmentName> {
    let covered = |gone: &SegmentName| {
        let mut next = gone.from();
        for name in there.keys().filter(|name| name.from() <= gone.to()) {
            if name.holds(next) {
                next = name.to().next();
            }
        }
        next > gone.to()
    };
    let lost = noted.keys().filter(|name| !there.contains_key(name));
    lost.filter(|name| !covered(name)).copied().collect()
}

/// The segments of a node that runs, as it knows them: whoever changes one of their files is noticed.
pub(crate) struct Segments {
    folder: std::path::PathBuf,
    ledger: std::path::PathBuf,
    chain: ChainId,
    known: BTreeMap<SegmentName, String>,
}

impl Segments {
    /// Of a node whose ledger was just opened: what is there was looked at before, or comes from a time without notes.
    pub(crate) fn open(config: &NodeConfig, chain: ChainId) -> Self {
        let segments = Self {
            folder: config.folder.clone(),
            ledger: config.ledger_folder(),
            chain,
            known: known(&config.ledger_folder()).unwrap_or_default(),
        };
        segments.write();
        segments
    }

    /// The segments in use that are not the files they were; those that are new are none of them. What is gone is
    /// forgotten: who looks for blocks that are nowhere misses it.
    pub(crate) fn changed(&mut self, used: &[SegmentName]) -> Vec<SegmentName> {
        let Ok(there) = known(&self.ledger) else {
            return Vec::new();
        };
        let before = self.known.len();
        self.known.retain(|name, _| there.contains_key(name));
        let mut news = self.known.len() != before;
        let mut changed = Vec::new();
        for (name, file) in there {
            match self.known.get(&name) {
                Some(known) if *known == file => {}
                Some(_) => changed.push(name),
                None if used.contains(&name) => {
                    self.known.insert(name, file);
                    news = true;
                }
                // Somebody else put it there. Nobody reads it before the next start, which will look at it.
                None => {}
            }
        }
        if news {
            self.write();
        }
        changed
    }

    /// A segment was looked at after it had changed, and is sound.
    pub(crate) fn accept(&mut self, name: SegmentName) {
        if let Ok(file) = super::of(&self.ledger.join(path_of(name))) {
            self.known.insert(name, file.trim_end().to_owned());
            self.write();
        }
    }

    /// Writes the note anew, without where the log ends.
    fn write(&self) {
        let note = Note {
            segments: self.known.clone(),
            ..Note::default()
        };
        if let Err(error) = note.write(&self.folder, self.chain) {
            let error = chain_of_causes(&error);
            warn!(error, "which segments there are could not be noted");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{BlockHash, Height};

    fn name(from: u64, to: u64) -> SegmentName {
        SegmentName::new(Height(from), Height(to), BlockHash([7; 32])).unwrap()
    }

    fn files(names: &[SegmentName]) -> BTreeMap<SegmentName, String> {
        names
            .iter()
            .map(|name| (*name, "1 2 3".to_owned()))
            .collect()
    }

    #[test]
    fn a_note_is_read_back_by_its_chain_and_passes_over_what_it_cannot_read() {
        let folder = tempfile::tempdir().unwrap();
        let (chain, other) = (ChainId([1; 16]), ChainId([2; 16]));
        assert_eq!(Note::read(folder.path(), chain).unwrap(), None);
        let note = Note {
            logs: BTreeMap::from([("00000003.log".to_owned(), "5e".to_owned())]),
            end: Some(("00000003.log".to_owned(), 712)),
            segments: files(&[name(1, 5), name(6, 9)]),
        };
        note.write(folder.path(), chain).unwrap();
        assert_eq!(
            Note::read(folder.path(), chain).unwrap(),
            Some(note.clone())
        );
        assert_eq!(Note::read(folder.path(), other).unwrap(), None);
        let path = folder.path().join(FILE);
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, format!("{text}segment none of ours\nend 5\n\n")).unwrap();
        assert_eq!(Note::read(folder.path(), chain).unwrap(), Some(note));
        fs::write(&path, [0xff, 0xfe]).unwrap();
        assert_eq!(Note::read(folder.path(), chain).unwrap(), None);
    }

    #[test]
    fn a_segment_that_others_replaced_is_not_missed() {
        let noted = files(&[name(1, 5), name(6, 9), name(10, 12)]);
        assert_eq!(
            gone(&noted, &files(&[name(1, 5), name(6, 9), name(10, 12)])),
            []
        );
        assert_eq!(gone(&noted, &files(&[name(1, 7), name(8, 12)])), []);
        assert_eq!(
            gone(&noted, &files(&[name(1, 5), name(10, 12)])),
            [name(6, 9)]
        );
        assert_eq!(
            gone(&noted, &files(&[name(1, 4), name(6, 9)])),
            [name(1, 5), name(10, 12)]
        );
    }
}
