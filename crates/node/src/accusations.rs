//! Evidence that a node signed two statements that contradict each other.
//!
//! The engine refuses the second statement and goes on; this keeps both. A piece of evidence is a file in `evidence/` in
//! the node's folder, in the form of [`model::Evidence`], which `starling ledger evidence` checks anywhere. A node that
//! lies once may lie a million times: one piece is kept per statement, and 256 in all.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::{Ballot, Decode as _, Domain, Encode as _, Evidence, Height, NodeId};
use tracing::{error, warn};

/// The folder in a node's folder.
const FOLDER: &str = "evidence";
/// Pieces kept at most.
const KEPT: usize = 256;

/// What a node may say once.
type Subject = (Height, NodeId, Ballot, u8);

/// All that is known against anybody.
#[derive(Debug, Clone)]
pub struct Accusations(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    folder: PathBuf,
    known: Mutex<BTreeMap<Subject, Evidence>>,
}

impl Accusations {
    /// Reads what earlier runs have kept in a node's folder. A file that cannot be read is passed over, and told.
    pub fn open(folder: &Path) -> Self {
        let folder = folder.join(FOLDER);
        let known = kept(&folder).unwrap_or_else(|source| {
            warn!(%source, folder = %folder.display(), "kept evidence cannot be read");
            BTreeMap::new()
        });
        let known = Mutex::new(known);
        Self(Arc::new(Inner { folder, known }))
    }

    /// Keeps a piece. It is written by a thread of its own, since who finds evidence must not wait for a disk.
    pub fn keep(&self, evidence: Evidence) {
        let mut known = self.known();
        let subject = subject(&evidence);
        if known.contains_key(&subject) || known.len() >= KEPT {
            return;
        }
        let (node, height) = (evidence.node, evidence.height);
        error!(%node, %height, "a node has signed two contradicting statements; the proof is in {FOLDER}/");
        known.insert(subject, evidence.clone());
        drop(known);
        let folder = self.0.folder.clone();
        let writer = std::thread::Builder::new().name("evidence".to_owned());
        let written = writer.spawn(move || {
            if let Err(source) = write(&folder, &evidence) {
                error!(%source, "evidence could not be written");
            }
        });
        if let Err(source) = written {
            error!(%source, "evidence could not be written");
        }
    }

    /// Everything, lowest height first.
    pub fn all(&self) -> Vec<Evidence> {
        self.known().values().cloned().collect()
    }

    /// How many pieces there are.
    pub fn count(&self) -> usize {
        self.known().len()
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<Subject, Evidence>> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The name of its file, the same for all that is said about one subject.
pub fn file_name(evidence: &Evidence) -> String {
    let node = evidence.node.to_string();
    let node = node.get(..16).unwrap_or(&node);
    let (height, kind) = (evidence.height, kind(evidence.domain));
    let Ballot { k, boot, .. } = evidence.ballot;
    format!("{height}-{node}-{kind}-{k}-{boot}.evidence")
}

/// What kind of statement it is, as people read it.
pub fn kind(domain: Domain) -> &'static str {
    match domain {
        Domain::Propose => "proposed",
        Domain::Accepted => "accepted",
    }
}

fn subject(evidence: &Evidence) -> Subject {
    let kind = match evidence.domain {
        Domain::Propose => 1,
        Domain::Accepted => 2,
    };
    (evidence.height, evidence.node, evidence.ballot, kind)
}

fn kept(folder: &Path) -> io::Result<BTreeMap<Subject, Evidence>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        entries => entries?,
    };
    let mut known = BTreeMap::new();
    for entry in entries {
        let path = entry?.path();
        match Evidence::from_bytes(&fs::read(&path)?) {
            Ok(evidence) => {
                known.insert(subject(&evidence), evidence);
            }
            Err(error) => warn!(%error, file = %path.display(), "this is no evidence"),
        }
        if known.len() >= KEPT {
            break;
        }
    }
    Ok(known)
}

fn write(folder: &Path, evidence: &Evidence) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let target = folder.join(file_name(evidence));
    let unfinished = target.with_extension("tmp");
    let mut file = File::create(&unfinished)?;
    file.write_all(&evidence.to_bytes())?;
    file.sync_all()?;
    fs::rename(&unfinished, &target)?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use model::{BlockHash, Boot, ChainId, Ed25519, MembershipHash, Signatures as _, Statement};

    use super::*;

    fn evidence(height: u64) -> Evidence {
        let key = Ed25519::new(&[7; 32]);
        let ballot = Ballot {
            k: 1,
            node: key.node(),
            boot: Boot(3),
        };
        let statement = |block: u8| Statement {
            domain: Domain::Accepted,
            chain: ChainId([1; 16]),
            membership: MembershipHash([2; 32]),
            height: Height(height),
            ballot,
            hash: BlockHash([block; 32]),
        };
        let sign = |block| (statement(block).hash, key.sign(&statement(block)));
        Evidence::new(key.node(), &statement(0), sign(1), sign(2))
    }

    #[test]
    fn what_was_written_is_known_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        for height in [7, 3] {
            write(&folder.path().join(FOLDER), &evidence(height)).unwrap();
        }
        let known = Accusations::open(folder.path());
        assert_eq!(known.all(), [evidence(3), evidence(7)]);
    }

    #[test]
    fn one_piece_is_kept_of_each_subject_and_a_bounded_number_in_all() {
        let folder = tempfile::tempdir().unwrap();
        let known = Accusations::open(folder.path());
        for height in 0..300 {
            known.keep(evidence(height));
            known.keep(evidence(height));
        }
        assert_eq!(known.count(), KEPT);
    }

    #[test]
    fn a_file_that_is_no_evidence_hides_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join(FOLDER);
        write(&place, &evidence(5)).unwrap();
        fs::write(place.join("1-x.evidence"), "no").unwrap();
        assert_eq!(Accusations::open(folder.path()).all(), [evidence(5)]);
    }
}
