//! What is done to the files of a node.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ledger::segment::{self, Below};
use model::{Block, Decided, Header};
use sha2::{Digest as _, Sha256};

/// Numbers that follow from a seed.
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(2).wrapping_add(1))
    }

    fn next(&mut self) -> u64 {
        // The generator of Knuth's MMIX; its high bits are the good ones.
        let next = self.0.wrapping_mul(6_364_136_223_846_793_005);
        self.0 = next.wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 24
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next()).expect("40 bits") % limit.max(1)
    }

    pub(super) fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next().to_le_bytes()[1]).collect()
    }
}

/// What kind of change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    SegmentBit,
    SegmentCut,
    SegmentsSwapped,
    BlocksSwapped,
    SegmentDeleted,
    ChainRewritten,
    LogBit,
    LogBlocksSwapped,
    LogCut,
    LogsSwapped,
    LogDeleted,
    BlobBit,
    BlobCut,
    BlobReplaced,
    BlobsSwapped,
    BlobDeleted,
    CatalogueEdited,
    CatalogueBit,
}

impl Class {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::SegmentBit => "segment: a bit flipped",
            Self::SegmentCut => "segment: cut short",
            Self::SegmentsSwapped => "segment: in another's place",
            Self::BlocksSwapped => "segment: two stretches exchanged",
            Self::SegmentDeleted => "segment: deleted",
            Self::ChainRewritten => "segments: rewritten, hashes recomputed",
            Self::LogBit => "log: a bit flipped",
            Self::LogBlocksSwapped => "log: two stretches exchanged",
            Self::LogCut => "log: cut short",
            Self::LogsSwapped => "log: in another's place",
            Self::LogDeleted => "log: deleted",
            Self::BlobBit => "blob: a bit flipped",
            Self::BlobCut => "blob: cut short",
            Self::BlobReplaced => "blob: replaced",
            Self::BlobsSwapped => "blob: in another's place",
            Self::BlobDeleted => "blob: deleted",
            Self::CatalogueEdited => "catalogue: rows edited",
            Self::CatalogueBit => "catalogue: a bit flipped",
        }
    }
}

/// What kind of file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Site {
    Segment,
    Log,
    Blob,
    Catalogue,
}

/// One change of one file.
pub(super) struct Fault {
    pub(super) class: Class,
    pub(super) site: Site,
    path: PathBuf,
    before: Vec<u8>,
    /// How the file is called in reports.
    pub(super) name: String,
    /// What stands in its place now, under a name of its own.
    pub(super) forged: Option<String>,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.class.name(), self.name)
    }
}

impl Fault {
    /// The heights of a segment.
    pub(super) fn heights(&self) -> Option<(u64, u64)> {
        let segment: ledger::SegmentName = self.name.parse().ok()?;
        Some((segment.from().0, segment.to().0))
    }

    /// Whether the file is what it was.
    pub(super) fn is_whole(&self) -> bool {
        fs::read(&self.path).is_ok_and(|now| now == self.before)
    }

    /// Puts the file back.
    pub(super) fn undo(&self) {
        if self.site != Site::Catalogue {
            fs::write(&self.path, &self.before).expect("put back");
        }
    }
}

/// A folder's segments in order.
pub(super) fn segments(ledger: &Path) -> Vec<PathBuf> {
    let mut found = listed(&ledger.join("segments"));
    found.retain(|path| path.extension().is_some_and(|end| end == "seg"));
    found.sort();
    found
}

fn listed(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries
        .map(|entry| entry.expect("an entry").path())
        .collect()
}

fn blobs(folder: &Path) -> Vec<PathBuf> {
    let levels = |folders: Vec<PathBuf>| -> Vec<PathBuf> {
        folders.iter().flat_map(|folder| listed(folder)).collect()
    };
    let mut found = levels(levels(listed(&folder.join("blobs"))));
    found.retain(|path| {
        let bytes = fs::read(path).expect("a blob");
        let hash = model::BlobId(Sha256::digest(&bytes).into()).to_string();
        path.file_name().is_some_and(|name| *name == *hash)
    });
    found.sort();
    found
}

/// Changes so many files at most, one fault in each.
pub(super) fn inject(folder: &Path, dice: &mut Dice, wanted: usize, live: bool) -> Vec<Fault> {
    let ledger = folder.join("ledger");
    let mut targets: Vec<(Site, PathBuf)> = Vec::new();
    let of = |site: Site, paths: Vec<PathBuf>| paths.into_iter().map(move |path| (site, path));
    targets.extend(of(Site::Segment, segments(&ledger)));
    targets.extend(of(Site::Blob, blobs(folder)));
    targets.push((Site::Catalogue, folder.join("catalogue.sqlite")));
    let mut originals = targets.clone();
    // One place in the log: what several do to it together is not what each does.
    if !live {
        let logs = logs(&ledger);
        originals.extend(of(Site::Log, logs.clone()));
        targets.push((Site::Log, log_to_change(logs, dice)));
    }
    // A forger leaves no damage below what he forges.
    let forges = !live && wanted > 10 && dice.below(4) == 0;
    if forges {
        targets.retain(|(site, _)| *site != Site::Segment);
    }
    // First, since it reads the genesis block.
    let mut faults = match forges {
        true => rewrite_chain(&ledger, dice.below(4)),
        false => Vec::new(),
    };
    while faults.len() < wanted && !targets.is_empty() {
        let (site, path) = targets.swap_remove(dice.below(targets.len()));
        faults.extend(change(site, &path, &originals, dice, live));
    }
    faults
}

fn logs(ledger: &Path) -> Vec<PathBuf> {
    let mut logs = listed(ledger);
    logs.retain(|path| path.extension().is_some_and(|end| end == "log"));
    logs.sort();
    logs
}

/// The newest file as often as all others.
fn log_to_change(mut logs: Vec<PathBuf>, dice: &mut Dice) -> PathBuf {
    let at = match dice.below(2) {
        0 => logs.len() - 1,
        _ => dice.below(logs.len()),
    };
    logs.swap_remove(at)
}

fn change(
    site: Site,
    path: &Path,
    all: &[(Site, PathBuf)],
    dice: &mut Dice,
    live: bool,
) -> Option<Fault> {
    let before = fs::read(path).ok()?;
    let mut others = all
        .iter()
        .filter(|(of, other)| *of == site && other != path);
    let other = others
        .nth(dice.below(all.len()) % all.len().max(1))
        .or_else(|| all.iter().find(|(of, other)| *of == site && other != path));
    let other = other.map(|(_, path)| path.clone());
    let class = draw(site, dice, live);
    let name = path
        .file_name()
        .expect("a file")
        .to_string_lossy()
        .into_owned();
    let fault = Fault {
        class,
        site,
        path: path.to_owned(),
        name: if site == Site::Catalogue {
            "catalogue".to_owned()
        } else {
            name
        },
        before,
        forged: None,
    };
    let bytes = &fault.before;
    if bytes.is_empty() {
        return None;
    }
    match class {
        Class::CatalogueEdited => edit_rows(path, dice.next())?,
        Class::SegmentDeleted | Class::BlobDeleted | Class::LogDeleted => {
            fs::remove_file(path).ok()?
        }
        Class::SegmentsSwapped | Class::BlobsSwapped | Class::LogsSwapped => {
            let other = fs::read(other?).ok().filter(|other| other != bytes)?;
            write(path, &other);
        }
        Class::BlobReplaced => write(path, &dice.bytes(bytes.len())),
        // Behind what is written, a log holds room for more.
        Class::SegmentCut | Class::BlobCut | Class::LogCut => {
            write(path, &bytes[..dice.below(end(bytes))]);
        }
        Class::BlocksSwapped | Class::LogBlocksSwapped => write(path, &exchanged(bytes, dice)?),
        _ => write(path, &flipped(bytes, dice)),
    }
    Some(fault)
}

fn draw(site: Site, dice: &mut Dice, live: bool) -> Class {
    let classes: &[Class] = match site {
        Site::Segment => &[
            Class::SegmentBit,
            Class::SegmentCut,
            Class::SegmentsSwapped,
            Class::BlocksSwapped,
            Class::SegmentDeleted,
        ],
        Site::Log => &[
            Class::LogBit,
            Class::LogBlocksSwapped,
            Class::LogCut,
            Class::LogsSwapped,
            Class::LogDeleted,
        ],
        Site::Blob => &[
            Class::BlobBit,
            Class::BlobCut,
            Class::BlobReplaced,
            Class::BlobsSwapped,
            Class::BlobDeleted,
        ],
        // A page changed under a running SQLite is in nobody's view but the next one's.
        Site::Catalogue if live => &[Class::CatalogueEdited],
        Site::Catalogue => &[Class::CatalogueEdited, Class::CatalogueBit],
    };
    classes[dice.below(classes.len())]
}

/// Writes in place, as whoever tampers does.
fn write(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).expect("written");
}

fn end(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .rposition(|byte| *byte != 0)
        .map_or(0, |at| at + 1)
}

fn flipped(bytes: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let at = dice.below(end(&bytes));
    bytes[at] ^= 1 << dice.below(8);
    bytes
}

/// Two stretches of the same length that differ change places.
fn exchanged(bytes: &[u8], dice: &mut Dice) -> Option<Vec<u8>> {
    const LENGTH: usize = 300;
    let half = end(bytes) / 2;
    if half <= LENGTH {
        return None;
    }
    let (one, two) = (dice.below(half - LENGTH), half + dice.below(half - LENGTH));
    let mut changed = bytes.to_vec();
    changed[one..one + LENGTH].copy_from_slice(&bytes[two..two + LENGTH]);
    changed[two..two + LENGTH].copy_from_slice(&bytes[one..one + LENGTH]);
    (changed != bytes).then_some(changed)
}

fn edit_rows(path: &Path, number: u64) -> Option<()> {
    let db = rusqlite::Connection::open(path).ok()?;
    db.busy_timeout(std::time::Duration::from_secs(10)).ok()?;
    let change = match number % 3 {
        0 => "UPDATE history SET time = time + 1",
        1 => "UPDATE tokens SET name = name || '!'",
        _ => "DELETE FROM history WHERE height = (SELECT max(height) FROM history)",
    };
    let changed = db.execute(change, []).ok()?;
    (changed > 0).then_some(())
}

/// Takes the commands out of a block of the segment at `place`, and recomputes every hash above it: one fault for each
/// segment. The signatures are those that there are: nobody who tampers has the keys.
pub(super) fn rewrite_chain(ledger: &Path, place: usize) -> Vec<Fault> {
    let genesis = ledger::read_genesis(&ledger::Folder::new(ledger)).expect("a genesis block");
    let mut below = Below::genesis(&genesis).expect("it founds a chain");
    let mut parent: Option<Header> = None;
    let mut faults = Vec::new();
    for (at, path) in segments(ledger).into_iter().enumerate() {
        let before = fs::read(&path).expect("a segment");
        let mut blocks = decided(&before);
        // Segments may overlap.
        blocks.retain(|decided| decided.block.height() > below.height);
        if blocks.is_empty() {
            continue;
        }
        if at >= place {
            for (index, decided) in blocks.iter_mut().enumerate() {
                forge(decided, parent.as_ref(), faults.is_empty() && index == 0);
                parent = Some(decided.block.header().clone());
            }
        }
        let built = segment::build(below.clone(), &blocks).expect("blocks that fit");
        let (name, forged) = built.expect("blocks");
        let last = blocks.last().expect("a block").block.header();
        (below.height, below.hash, below.time) = (last.height, last.hash(), last.time);
        if at < place {
            continue;
        }
        fs::remove_file(&path).expect("removed");
        write(&path.with_file_name(name.to_string()), &forged);
        let known = path.file_name().expect("a file").to_string_lossy();
        faults.push(Fault {
            class: Class::ChainRewritten,
            site: Site::Segment,
            name: known.into_owned(),
            forged: Some(name.to_string()),
            path,
            before,
        });
    }
    faults
}

/// The blocks of a segment.
pub(super) fn decided(bytes: &[u8]) -> Vec<Decided> {
    let blocks = segment::blocks(bytes).expect("a segment");
    blocks.collect::<Result<_, _>>().expect("whole blocks")
}

fn forge(decided: &mut Decided, parent: Option<&Header>, emptied: bool) {
    let header = decided.block.header();
    let commands = decided
        .block
        .entries()
        .iter()
        .filter_map(|entry| entry.sealed().cloned());
    let block = Block::new(model::Draft {
        chain: header.chain,
        height: header.height,
        parent: parent.map(Header::hash).or(header.parent),
        membership: header.membership,
        proposer: header.proposer,
        time: header.time,
        hint: header.hint,
        commands: if emptied {
            Vec::new()
        } else {
            commands.collect()
        },
    });
    if let Some(certificate) = &mut decided.certificate {
        certificate.hash = block.hash();
    }
    decided.block = Arc::new(block);
}
