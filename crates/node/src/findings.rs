//! Everything on this node's disk that was found to be wrong, and what became of it.
//!
//! Whoever finds damage (a start, a read, the scrubber, a check that somebody asked for) reports it here, and whoever
//! makes it good says so. A place is open at most once: what is found again before it is repaired is the same finding.
//! From here it goes to the log, the metrics, `GET /cluster` and the stream of events, and as a line to
//! `quarantine/findings.jsonl` in the node's folder, so that a restart forgets nothing. That file only grows and is
//! nobody's input but the next start's: a line that cannot be read is passed over.
//!
//! It needs no runtime and no listener, so that it is there before anything is opened or repaired.

use std::collections::VecDeque;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{SystemTime, UNIX_EPOCH};

use ledger::SegmentName;
use model::{BlobId, Height, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;
use tracing::{info, warn};

/// The register's file in a node's folder.
const FILE: &str = "quarantine/findings.jsonl";
/// Findings kept in memory; the file has them all.
const KEPT: usize = 4096;
/// How much of the file's end is read at start: enough for all that are kept.
const TAIL_BYTES: u64 = 2 << 20;
/// Events kept for a listener that is slow.
const EVENTS: usize = 256;

/// What is damaged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A segment of the ledger.
    Segment(SegmentName),
    /// A file of the ledger's log.
    Log {
        /// Its name.
        file: String,
    },
    /// Decided blocks, wherever they lie.
    Heights {
        /// The first.
        from: Height,
        /// The last.
        to: Height,
    },
    /// A file's bytes.
    Blob(BlobId),
    /// A file's bytes in the object store.
    Object(BlobId),
    /// The catalogue.
    Catalogue,
    /// A record of this node's vote.
    Vote {
        /// At which height.
        height: Height,
    },
}

/// The kinds of places, as metrics and events name them.
pub const KINDS: [&str; 7] = [
    "segment",
    "log",
    "heights",
    "blob",
    "object",
    "catalogue",
    "vote",
];

impl Place {
    /// Which of [`KINDS`].
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Segment(_) => "segment",
            Self::Log { .. } => "log",
            Self::Heights { .. } => "heights",
            Self::Blob(_) => "blob",
            Self::Object(_) => "object",
            Self::Catalogue => "catalogue",
            Self::Vote { .. } => "vote",
        }
    }

    /// The first height concerned, if it is about heights.
    pub fn height(&self) -> Option<Height> {
        match self {
            Self::Segment(name) => Some(name.from()),
            Self::Heights { from, .. } => Some(*from),
            Self::Vote { height } => Some(*height),
            Self::Log { .. } | Self::Blob(_) | Self::Object(_) | Self::Catalogue => None,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Segment(name) => write!(f, "segment {name}"),
            Self::Log { file } => write!(f, "log {file}"),
            Self::Heights { from, to } => write!(f, "heights {from}-{to}"),
            Self::Blob(id) => write!(f, "blob {id}"),
            Self::Object(id) => write!(f, "object {id}"),
            Self::Catalogue => f.write_str("catalogue"),
            Self::Vote { height } => write!(f, "vote {height}"),
        }
    }
}

/// Text that names no place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} names no place on a node")]
pub struct ParsePlaceError(String);

impl FromStr for Place {
    type Err = ParsePlaceError;

    fn from_str(text: &str) -> Result<Self, ParsePlaceError> {
        let (kind, rest) = text.split_once(' ').unwrap_or((text, ""));
        let height = |digits: &str| digits.parse().ok().map(Height);
        let place = match kind {
            "segment" => rest.parse().ok().map(Self::Segment),
            "log" if !rest.is_empty() => Some(Self::Log {
                file: rest.to_owned(),
            }),
            "heights" => rest.split_once('-').and_then(|(from, to)| {
                let (from, to) = (height(from)?, height(to)?);
                Some(Self::Heights { from, to })
            }),
            "blob" => rest.parse().ok().map(Self::Blob),
            "object" => rest.parse().ok().map(Self::Object),
            "catalogue" if rest.is_empty() => Some(Self::Catalogue),
            "vote" => height(rest).map(|height| Self::Vote { height }),
            _ => None,
        };
        place.ok_or_else(|| ParsePlaceError(text.to_owned()))
    }
}

/// What became of damage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It is still there, or what was there is missing.
    Open,
    /// It is whole again.
    Repaired {
        /// From where: a node's name, or `this node`.
        from: String,
    },
    /// It stays, and what needs it is refused.
    Refused {
        /// Why it cannot be repaired.
        why: String,
    },
}

impl Fate {
    /// As events and the file name it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Repaired { .. } => "repaired",
            Self::Refused { .. } => "refused",
        }
    }

    /// From where it was repaired, or why not.
    pub fn detail(&self) -> Option<&str> {
        match self {
            Self::Open => None,
            Self::Repaired { from } => Some(from),
            Self::Refused { why } => Some(why),
        }
    }
}

/// One piece of damage. Serialised, it is what `/cluster`, events and the file show.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Written", try_from = "Written")]
pub struct Finding {
    /// Ascending on this node, across its restarts.
    pub id: u64,
    /// When it was found, by this node's clock.
    pub time: Timestamp,
    /// The node's name.
    pub node: String,
    /// Where.
    pub place: Place,
    /// What is wrong, for people.
    pub what: String,
    /// Where the damaged bytes are kept, if they were moved or copied.
    pub aside: Option<PathBuf>,
    /// What became of it.
    pub fate: Fate,
}

/// A finding as JSON.
#[derive(Clone, Serialize, Deserialize)]
struct Written {
    id: u64,
    /// Microseconds since 1970.
    time: u64,
    node: String,
    /// As [`Place`] prints it.
    place: String,
    what: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    aside: Option<PathBuf>,
    fate: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

impl From<Finding> for Written {
    fn from(finding: Finding) -> Self {
        Self {
            id: finding.id,
            time: finding.time.0,
            node: finding.node,
            place: finding.place.to_string(),
            what: finding.what,
            aside: finding.aside,
            fate: finding.fate.name().to_owned(),
            detail: finding.fate.detail().map(str::to_owned),
        }
    }
}

impl TryFrom<Written> for Finding {
    type Error = ParsePlaceError;

    fn try_from(written: Written) -> Result<Self, ParsePlaceError> {
        let detail = written.detail.unwrap_or_default();
        Ok(Self {
            id: written.id,
            time: Timestamp(written.time),
            node: written.node,
            place: written.place.parse()?,
            what: written.what,
            aside: written.aside,
            fate: match written.fate.as_str() {
                "repaired" => Fate::Repaired { from: detail },
                "refused" => Fate::Refused { why: detail },
                _ => Fate::Open,
            },
        })
    }
}

/// How much damage there was, by kind, since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Count {
    /// Reported.
    pub found: u64,
    /// Made good.
    pub repaired: u64,
}

/// A node's register of damage. Cheap to clone; every clone is the same register.
#[derive(Debug, Clone)]
pub struct Findings(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    node: String,
    path: PathBuf,
    state: Mutex<State>,
    events: broadcast::Sender<Finding>,
}

#[derive(Debug, Default)]
struct State {
    /// Ascending by id.
    findings: VecDeque<Finding>,
    last: u64,
    counts: [Count; KINDS.len()],
}

impl Findings {
    /// The register of the node with this name and folder, with what earlier runs found.
    pub fn open(folder: &Path, node: &str) -> Self {
        let path = folder.join(FILE);
        let mut state = State::default();
        match read_tail(&path) {
            Ok(lines) => state.recall(&lines),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                warn!(path = %path.display(), %error, "what was found damaged before cannot be read");
            }
        }
        Self(Arc::new(Shared {
            node: node.to_owned(),
            path,
            state: Mutex::new(state),
            events: broadcast::Sender::new(EVENTS),
        }))
    }

    /// Notes damage, and where it was put aside. A place that is open already keeps its finding.
    pub fn report(&self, place: Place, what: impl Into<String>, aside: Option<PathBuf>) -> u64 {
        let mut state = self.state();
        if let Some(open) = state.open_at(&place) {
            if open.aside.is_some() || aside.is_none() {
                return open.id;
            }
            open.aside = aside;
            let changed = open.clone();
            self.publish(&changed);
            return changed.id;
        }
        state.last += 1;
        let finding = Finding {
            id: state.last,
            time: now(),
            node: self.0.node.clone(),
            place,
            what: what.into(),
            aside,
            fate: Fate::Open,
        };
        warn!(
            node = finding.node,
            place = %finding.place,
            what = finding.what,
            aside = ?finding.aside,
            "damage was found"
        );
        state.count(&finding.place).found += 1;
        self.publish(&finding);
        let id = finding.id;
        state.keep(finding);
        id
    }

    /// Says that damage is made good, and from where.
    pub fn repaired(&self, id: u64, from: impl Into<String>) {
        let mut state = self.state();
        let fate = Fate::Repaired { from: from.into() };
        if let Some(finding) = state.settle(id, fate) {
            let from = finding.fate.detail();
            info!(node = finding.node, place = %finding.place, from, "damage was repaired");
            state.count(&finding.place).repaired += 1;
            self.publish(&finding);
        }
    }

    /// Says that damage cannot be made good, and why. It may be all the same, later.
    pub fn refused(&self, id: u64, why: impl Into<String>) {
        let mut state = self.state();
        let fate = Fate::Refused { why: why.into() };
        if let Some(finding) = state.settle(id, fate) {
            let why = finding.fate.detail();
            warn!(node = finding.node, place = %finding.place, why, "damage cannot be repaired");
            self.publish(&finding);
        }
    }

    /// Says that a place was looked at and is whole: what was open there is repaired.
    pub fn whole(&self, place: &Place, from: &str) {
        if let Some(id) = self.open_at(place) {
            self.repaired(id, from);
        }
    }

    /// The finding at a place that is not repaired, if there is one.
    pub fn open_at(&self, place: &Place) -> Option<u64> {
        self.state().open_at(place).map(|finding| finding.id)
    }

    /// Whether something was found at a place within the last moments.
    pub(crate) fn was_reported(&self, place: &Place) -> bool {
        const MOMENTS_MICROS: u64 = 60_000_000;
        let since = now().0.saturating_sub(MOMENTS_MICROS);
        let state = self.state();
        let mut newest = state.findings.iter().rev();
        newest.any(|finding| finding.place == *place && finding.time.0 >= since)
    }

    /// What was found of late, newest first.
    pub fn recent(&self) -> Vec<Finding> {
        self.state().findings.iter().rev().cloned().collect()
    }

    /// How much there was of one of [`KINDS`] since the start.
    pub fn count(&self, kind: &str) -> Count {
        let at = KINDS.iter().position(|one| *one == kind);
        let state = self.state();
        at.and_then(|at| state.counts.get(at))
            .copied()
            .unwrap_or_default()
    }

    /// How many are not repaired.
    pub fn open_count(&self) -> usize {
        let state = self.state();
        state
            .findings
            .iter()
            .filter(|one| !one.is_repaired())
            .count()
    }

    /// Everything from now on: new findings, and old ones whose fate changes.
    pub fn subscribe(&self) -> broadcast::Receiver<Finding> {
        self.0.events.subscribe()
    }

    /// Sends a finding to whoever listens, and to the file.
    fn publish(&self, finding: &Finding) {
        if let Err(error) = append(&self.0.path, finding) {
            warn!(path = %self.0.path.display(), %error, "a finding could not be written down");
        }
        // Nobody may be listening.
        let _ = self.0.events.send(finding.clone());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        let state = self.0.state.lock();
        state.expect("nothing panics while it holds the findings")
    }
}

impl Finding {
    /// Whether it is made good.
    pub fn is_repaired(&self) -> bool {
        matches!(self.fate, Fate::Repaired { .. })
    }
}

impl State {
    fn recall(&mut self, lines: &str) {
        let findings = lines
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok());
        for finding in findings {
            let finding: Finding = finding;
            self.last = self.last.max(finding.id);
            match self.at(finding.id) {
                Some(known) => *known = finding,
                None => self.keep(finding),
            }
        }
    }

    fn at(&mut self, id: u64) -> Option<&mut Finding> {
        let at = self
            .findings
            .binary_search_by_key(&id, |finding| finding.id);
        at.ok().and_then(|at| self.findings.get_mut(at))
    }

    fn open_at(&mut self, place: &Place) -> Option<&mut Finding> {
        let mut newest = self.findings.iter_mut().rev();
        newest.find(|finding| !finding.is_repaired() && finding.place == *place)
    }

    fn count(&mut self, place: &Place) -> &mut Count {
        let at = KINDS.iter().position(|kind| *kind == place.kind());
        at.and_then(|at| self.counts.get_mut(at))
            .expect("every place is of a kind")
    }

    /// Gives a finding another fate; nothing if it has it already or is not kept any more.
    fn settle(&mut self, id: u64, fate: Fate) -> Option<Finding> {
        let finding = self.at(id)?;
        if finding.fate == fate || finding.is_repaired() {
            return None;
        }
        finding.fate = fate;
        Some(finding.clone())
    }

    /// Adds the newest. What is repaired is forgotten first.
    fn keep(&mut self, finding: Finding) {
        self.findings.push_back(finding);
        if self.findings.len() > KEPT {
            let repaired = self.findings.iter().position(Finding::is_repaired);
            self.findings.remove(repaired.unwrap_or(0));
        }
    }
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let micros = since.map_or(0, |since| since.as_micros());
    Timestamp(u64::try_from(micros).unwrap_or(u64::MAX))
}

fn append(path: &Path, finding: &Finding) -> io::Result<()> {
    let mut line = serde_json::to_vec(finding)?;
    line.push(b'\n');
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut file = File::options().create(true).append(true).open(path)?;
    file.write_all(&line)
}

/// The end of the file; its first line may be a part of one.
fn read_tail(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
    let mut bytes = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOB: Place = Place::Blob(BlobId([7; 32]));

    fn heights(from: u64, to: u64) -> Place {
        let (from, to) = (Height(from), Height(to));
        Place::Heights { from, to }
    }

    #[test]
    fn a_place_is_open_once_until_it_is_repaired() {
        let folder = tempfile::tempdir().unwrap();
        let findings = Findings::open(folder.path(), "attic");
        let first = findings.report(BLOB, "its bytes hash to something else", None);
        let aside = Some(PathBuf::from("quarantine/07"));
        assert_eq!(findings.report(BLOB, "again", aside.clone()), first);
        let other = findings.report(heights(3, 4), "a bit is wrong", None);
        assert_ne!(first, other);
        assert_eq!(findings.open_count(), 2);
        let recent = findings.recent();
        assert_eq!(recent[1].aside, aside);
        assert_eq!(recent[1].what, "its bytes hash to something else");
        findings.refused(first, "no node has it");
        findings.whole(&BLOB, "cellar");
        findings.refused(first, "too late");
        assert_eq!(findings.open_count(), 1);
        let found = findings.count("blob");
        assert_eq!((found.found, found.repaired), (1, 1));
        assert!(findings.report(BLOB, "damaged anew", None) > other);
    }

    #[test]
    fn a_restart_forgets_nothing_and_passes_over_what_it_cannot_read() {
        let folder = tempfile::tempdir().unwrap();
        let places = [
            heights(3, 4),
            BLOB,
            Place::Catalogue,
            Place::Vote { height: Height(9) },
            Place::Log {
                file: "00000002.log".to_owned(),
            },
            Place::Segment(
                SegmentName::new(Height(1), Height(8), model::BlockHash([1; 32])).unwrap(),
            ),
        ];
        let findings = Findings::open(folder.path(), "attic");
        for place in &places {
            let id = findings.report(place.clone(), "wrong", None);
            findings.refused(id, "alone");
        }
        findings.whole(&BLOB, "cellar");
        let before = findings.recent();
        let path = folder.path().join(FILE);
        let mut file = File::options().append(true).open(&path).unwrap();
        file.write_all(b"{\"id\":99,\"pla").unwrap();
        let again = Findings::open(folder.path(), "attic");
        assert_eq!(again.recent(), before);
        assert_eq!(again.open_count(), places.len() - 1);
        let next = again.report(BLOB, "wrong", None);
        assert_eq!(next, before[0].id + 1);
    }

    #[test]
    fn every_kind_of_place_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        let findings = Findings::open(folder.path(), "attic");
        for place in ["catalogue", "vote 3", "log x", "heights 1-2"] {
            let place: Place = place.parse().unwrap();
            findings.report(place.clone(), "wrong", None);
            assert_eq!(findings.count(place.kind()).found, 1);
        }
        for nowhere in ["", "blob 7", "log", "heights 3", "catalogue 1", "attic"] {
            assert!(nowhere.parse::<Place>().is_err(), "{nowhere}");
        }
    }

    #[test]
    fn what_is_repaired_is_forgotten_before_what_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let findings = Findings::open(folder.path(), "attic");
        let mut state = State::default();
        let id = findings.report(BLOB, "wrong", None);
        let mut one = findings.recent().remove(0);
        assert_eq!(one.id, id);
        for id in 0..=KEPT as u64 {
            one.id = id;
            one.fate = match id {
                5 => Fate::Repaired {
                    from: String::new(),
                },
                _ => Fate::Open,
            };
            state.keep(one.clone());
        }
        assert_eq!(state.findings.len(), KEPT);
        assert!(state.at(0).is_some() && state.at(5).is_none());
    }

    #[tokio::test]
    async fn listeners_hear_of_damage_and_of_its_repair() {
        let folder = tempfile::tempdir().unwrap();
        let findings = Findings::open(folder.path(), "attic");
        let mut events = findings.subscribe();
        let id = findings.report(Place::Catalogue, "rows differ", None);
        findings.repaired(id, "the ledger");
        assert_eq!(events.recv().await.unwrap().fate, Fate::Open);
        assert!(events.recv().await.unwrap().is_repaired());
    }
}
