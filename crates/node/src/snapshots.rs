//! Snapshots on this node: the state at one height, in files that are the same on every node.
//!
//! [`Shelf`] is the folder they lie in, under the names that they have in an archive. [`maker`] makes them, vouches for
//! them, puts them into the archive and deletes them, on the thread that also erases: so nothing comes back behind its
//! deletion. [`newest`] finds one to begin with; it is believed only if enough voters vouch for it in the chain and
//! nothing was purged since (`docs/protocol.md`, section 16).

pub(crate) mod maker;
pub(crate) mod view;

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use archive::{PART_BYTES, Part, SnapshotIndex, SnapshotName};
use catalogue::{Marked, Reader as Rows, SnapshotError};
use ledger::{ReadError, Reader};
use model::codec::{Decode as _, Encode as _};
use model::{
    Block, Digest, Entry, Height, Membership, NodeId, SealedCommand, SnapshotRef, SnapshotStep,
    Timestamp, limits,
};
use replica::{Claim, CoreState, Known};
use tracing::{info, warn};

/// Their folder in a node's.
pub(crate) const FOLDER: &str = "snapshots";
/// Where a catalogue is built of one, in the node's folder for what is not finished.
const BUILT: &str = "snapshot.sqlite";

/// The folder in which a node keeps snapshots. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Shelf {
    folder: PathBuf,
    built: PathBuf,
}

impl Shelf {
    /// In a node's folder.
    pub(crate) fn of(node: &Path) -> Self {
        Self {
            folder: node.join(FOLDER),
            built: node.join("tmp").join(BUILT),
        }
    }

    /// Where it is. It is made if it is missing.
    pub(crate) fn folder(&self) -> io::Result<&Path> {
        fs::create_dir_all(&self.folder)?;
        Ok(&self.folder)
    }

    /// Where a catalogue may be built.
    pub(crate) fn built(&self) -> &Path {
        &self.built
    }

    fn path(&self, name: SnapshotName) -> PathBuf {
        self.folder.join(name.to_string())
    }

    fn entries(&self) -> io::Result<Vec<(PathBuf, Option<SnapshotName>)>> {
        let entries = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let named = |entry: io::Result<fs::DirEntry>| {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str());
            let name = name.and_then(|name| name.parse().ok());
            Ok((path, name))
        };
        entries.map(named).collect()
    }

    /// The snapshots that seem to be there, newest first.
    pub(crate) fn indexes(&self) -> io::Result<Vec<SnapshotName>> {
        let names = self.entries()?.into_iter().filter_map(|(_, name)| name);
        let mut names: Vec<SnapshotName> = names.filter(|name| name.is_index).collect();
        names.sort_by(|a, b| b.cmp(a));
        Ok(names)
    }

    /// An index, if it is there and is what its name says.
    pub(crate) fn index(&self, name: SnapshotName) -> Option<SnapshotIndex> {
        let bytes = fs::read(self.path(name)).ok()?;
        SnapshotIndex::check(&bytes, name)
    }

    /// Deletes everything but the snapshots of some heights.
    pub(crate) fn keep_only(&self, kept: impl Fn(Height) -> bool) -> io::Result<()> {
        for (path, name) in self.entries()? {
            if !name.is_some_and(|name| kept(name.height)) {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    /// Deletes everything in which there may be what a purge at this height names.
    pub(crate) fn destroy_below(&self, height: Height) -> io::Result<()> {
        self.keep_only(|at| at >= height)?;
        for end in [
            "", "-journal", "-wal", "-shm", ".old", ".old-wal", ".old-shm",
        ] {
            let mut path = self.built.clone().into_os_string();
            path.push(end);
            match fs::remove_file(PathBuf::from(path)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// Whether a snapshot is here whole; from then on it survives a power cut.
    pub(crate) fn keeps(&self, name: SnapshotName) -> io::Result<bool> {
        let Some(index) = self.index(name) else {
            return Ok(false);
        };
        for part in index.parts() {
            match self.piece(&index, part) {
                Ok(_) => fs::File::open(self.path(index.part_name(part)))?.sync_all()?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::InvalidData => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        fs::File::open(self.path(name))?.sync_all()?;
        fs::File::open(&self.folder)?.sync_all()?;
        Ok(true)
    }

    /// Puts an index or a part here.
    pub(crate) fn put(&self, name: SnapshotName, bytes: &[u8]) -> io::Result<()> {
        fs::write(self.path(name), bytes)
    }

    /// The index or part of a snapshot that has this hash, if it is here and right.
    pub(crate) fn find(&self, sha256: Digest) -> io::Result<Option<Vec<u8>>> {
        for (path, name) in self.entries()? {
            if name.is_some_and(|name| name.digest == sha256) {
                let bytes = fs::read(path)?;
                return Ok((Digest::of(&[&bytes]) == sha256).then_some(bytes));
            }
        }
        Ok(None)
    }

    fn piece(&self, index: &SnapshotIndex, part: &Part) -> io::Result<Vec<u8>> {
        let bytes = fs::read(self.path(index.part_name(part)))?;
        if part.is(&bytes) {
            Ok(bytes)
        } else {
            let name = index.part_name(part).to_string();
            Err(io::Error::new(io::ErrorKind::InvalidData, name))
        }
    }

    /// The core state of a snapshot.
    fn core(&self, index: &SnapshotIndex) -> io::Result<CoreState> {
        let mut bytes = Vec::new();
        for part in &index.core {
            bytes.extend_from_slice(&self.piece(index, part)?);
        }
        CoreState::from_bytes(&bytes).map_err(io::Error::other)
    }
}

/// Cuts a stream into parts.
struct Cutter<'a> {
    shelf: &'a Shelf,
    height: Height,
    buffer: Vec<u8>,
    parts: Vec<Part>,
}

impl<'a> Cutter<'a> {
    fn new(shelf: &'a Shelf, height: Height) -> Self {
        Self {
            shelf,
            height,
            buffer: Vec::with_capacity(PART_BYTES),
            parts: Vec::new(),
        }
    }

    fn cut(&mut self) -> io::Result<()> {
        let part = Part::of(&self.buffer);
        let name = SnapshotName {
            height: self.height,
            digest: part.sha256,
            is_index: false,
        };
        fs::write(self.shelf.path(name), &self.buffer)?;
        self.parts.push(part);
        self.buffer.clear();
        Ok(())
    }

    fn finish(mut self) -> io::Result<Vec<Part>> {
        if !self.buffer.is_empty() {
            self.cut()?;
        }
        Ok(self.parts)
    }
}

impl Write for Cutter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = PART_BYTES - self.buffer.len();
        let taken = bytes.get(..room.min(bytes.len())).unwrap_or_default();
        self.buffer.extend_from_slice(taken);
        if self.buffer.len() >= PART_BYTES {
            self.cut()?;
        }
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads a stream from its parts, each checked before a byte of it is given out.
struct Joiner<'a> {
    begin: &'a Begin,
    next: usize,
    bytes: io::Cursor<Vec<u8>>,
}

impl Read for Joiner<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            let count = self.bytes.read(out)?;
            if count > 0 || out.is_empty() {
                return Ok(count);
            }
            let Begin { index, shelf, .. } = self.begin;
            let Some(part) = index.catalogue.get(self.next) else {
                return Ok(0);
            };
            self.bytes = io::Cursor::new(shelf.piece(index, part)?);
            self.next += 1;
        }
    }
}

/// A snapshot that is believed, to begin with.
#[derive(Debug, Clone)]
pub(crate) struct Begin {
    shelf: Shelf,
    index: SnapshotIndex,
    /// Its core state.
    pub(crate) known: Known,
}

impl Begin {
    /// By which it is known.
    pub(crate) fn name(&self) -> SnapshotName {
        self.index.name()
    }

    /// Its height.
    pub(crate) fn height(&self) -> Height {
        self.index.height
    }

    /// Builds a catalogue of it and says where. Not for a node that may have bytes of what was purged below, since which they
    /// are is in no snapshot; one that `must` begin with it looks through all it has, later.
    pub(crate) fn build(
        &self,
        me: NodeId,
        blobs: &blobs::Store,
        must: bool,
    ) -> Result<PathBuf, BuildError> {
        let path = self.shelf.built().to_owned();
        let built = self.build_at(&path)?;
        let last = built.purges(Some(me))?.pop();
        drop(built);
        if let Some(last) = last
            && !blobs.traces().map_err(SnapshotError::Io)?.is_empty()
        {
            if !must {
                return Err(BuildError::Remains);
            }
            catalogue::note_remains(&path, last.position)?;
        }
        Ok(path)
    }
}

impl Begin {
    /// Builds a catalogue of it in this file.
    pub(crate) fn build_at(&self, path: &Path) -> Result<Rows, BuildError> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(SnapshotError::Io)?;
        }
        let mut rows = Joiner {
            begin: self,
            next: 0,
            bytes: io::Cursor::default(),
        };
        catalogue::build(path, &mut rows)?;
        let built = Rows::open(path)?;
        if built.height()? != Some(self.height()) {
            return Err(SnapshotError::Malformed.into());
        }
        Ok(built)
    }
}

/// Why no catalogue was built of a snapshot.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BuildError {
    #[error("building a catalogue of a snapshot")]
    Rows(#[from] SnapshotError),
    #[error("reading what was built")]
    Read(#[from] catalogue::ReadError),
    #[error("noting what is to be erased")]
    Note(#[from] catalogue::OpenError),
    #[error("this node has not said that it has erased all that was purged")]
    Remains,
}

/// The first height whose core state may help who needs that of the tip: others need not be looked at.
pub(crate) fn first_of_use(reader: &Reader) -> Result<Height, ReadError> {
    let (height, _) = reader.tip();
    let tip = reader.block(height)?;
    let time = tip.map_or(Timestamp(0), |tip| tip.block.header().time);
    reader.since(time.minus(limits::KEYED_WINDOW * 2))
}

/// The newest snapshot on the shelf that is believed, of those heights that are of use.
pub(crate) fn newest(
    shelf: &Shelf,
    reader: &Reader,
    is_of_use: impl Fn(Height) -> bool,
) -> Option<Begin> {
    let load = |claim: Claim| {
        let begin = load(shelf, place_of(claim))?;
        Some((begin.index.hash, begin))
    };
    let found = replica::begin_with(reader, of_use(shelf, is_of_use).map(claim), load);
    let found = found.unwrap_or_else(|error| {
        warn!(%error, "whether a snapshot is right cannot be told");
        None
    });
    found.map(|(_, begin)| begin)
}

/// The newest snapshot on the shelf for which enough voters have vouched at any time. Where commands are pruned a catalogue has
/// to begin with one, also if something was purged since: the purge comes in a block above.
pub(crate) fn base(
    shelf: &Shelf,
    reader: &Reader,
    is_of_use: impl Fn(Height) -> bool,
) -> Option<Begin> {
    of_use(shelf, is_of_use).find_map(|name| {
        let index = shelf.index(name)?;
        match reader.was_vouched_for(&named(&index)) {
            Ok(true) if catalogue::reads(index.version) => {}
            Ok(_) => return None,
            Err(error) => {
                warn!(%error, "whether a snapshot is right cannot be told");
                return None;
            }
        }
        let is_ours = reader.hash(name.height) == Some(index.hash);
        is_ours.then(|| load(shelf, name)).flatten()
    })
}

fn of_use(shelf: &Shelf, is_of_use: impl Fn(Height) -> bool) -> impl Iterator<Item = SnapshotName> {
    let names = shelf.indexes().unwrap_or_default().into_iter();
    names.filter(move |name| is_of_use(name.height))
}

/// A snapshot of the shelf, if it is whole.
fn load(shelf: &Shelf, name: SnapshotName) -> Option<Begin> {
    let (index, height) = (shelf.index(name)?, name.height);
    match shelf.core(&index) {
        Ok(core) => Some(Begin {
            shelf: shelf.clone(),
            index,
            known: Known { height, core },
        }),
        Err(error) => {
            warn!(%error, %height, "a snapshot is damaged and not used");
            None
        }
    }
}

/// The snapshots of this height or above of which the chain speaks, lowest first.
pub(crate) fn spoken_of(reader: &Reader, from: Height) -> Result<BTreeSet<SnapshotRef>, ReadError> {
    let mut found = BTreeSet::new();
    for decided in reader.blocks(from.next()) {
        let block = decided?.block;
        let sealed = block.entries().iter().filter_map(Entry::sealed);
        for step in sealed.filter_map(SealedCommand::snapshot_step) {
            if let SnapshotStep::Vouch {
                height,
                version,
                digest,
                ..
            } = step
                && height >= from
            {
                found.insert(SnapshotRef {
                    height,
                    version,
                    digest,
                });
            }
        }
    }
    Ok(found)
}

/// What enough voters say of a marked height.
pub(crate) fn believed(mark: &Marked, voters: &Membership) -> Option<SnapshotRef> {
    let digest = view::Seen::of(mark, voters).believed?;
    Some(SnapshotRef {
        height: mark.height,
        version: catalogue::version(),
        digest,
    })
}

/// What nodes vouch for.
pub(crate) fn named(index: &SnapshotIndex) -> SnapshotRef {
    SnapshotRef {
        height: index.height,
        version: index.version,
        digest: index.digest(),
    }
}

/// Where a snapshot lies that nodes vouch for.
pub(crate) fn name_of(snapshot: &SnapshotRef) -> SnapshotName {
    index_name(snapshot.height, snapshot.digest)
}

/// What voters have to say in the chain for a snapshot of this name to be believed here.
fn claim(name: SnapshotName) -> Claim {
    Claim {
        height: name.height,
        version: catalogue::version(),
        digest: name.digest,
    }
}

/// Where a snapshot lies that is believed.
fn place_of(claim: Claim) -> SnapshotName {
    index_name(claim.height, claim.digest)
}

fn index_name(height: Height, digest: Digest) -> SnapshotName {
    SnapshotName {
        height,
        digest,
        is_index: true,
    }
}

/// Writes the state at a height down.
fn write(
    shelf: &Shelf,
    rows: &Rows,
    core: &CoreState,
    block: &Block,
) -> Result<SnapshotIndex, SnapshotError> {
    shelf.folder()?;
    let height = block.height();
    let mut cutter = Cutter::new(shelf, height);
    cutter.write_all(&core.to_bytes())?;
    let core = cutter.finish()?;
    let mut cutter = Cutter::new(shelf, height);
    rows.write_rows(&mut cutter)?;
    let index = SnapshotIndex {
        chain: block.header().chain,
        height,
        hash: block.hash(),
        version: catalogue::version(),
        core,
        catalogue: cutter.finish()?,
    };
    fs::write(shelf.path(index.name()), index.to_bytes())?;
    let digest: Digest = index.digest();
    info!(%height, %digest, parts = index.parts().count(), "made a snapshot");
    Ok(index)
}

/// Brings the newest believed snapshot of an archive into a node's folder, if that is worth it. Says its height.
///
/// # Errors
/// If the archive does not give it, or the ledger cannot be read.
pub(crate) async fn fetch(
    archive: &archive::Archive,
    reader: &Reader,
    shelf: &Shelf,
) -> Result<Option<Height>, FetchError> {
    let here = shelf.indexes()?.first().map(|name| name.height);
    for name in archive.snapshots().await? {
        if here.is_some_and(|here| name.height <= here) {
            return Ok(None);
        }
        let asked = reader.clone();
        let believed =
            tokio::task::spawn_blocking(move || replica::is_believed(&asked, claim(name))).await;
        if believed.map_err(io::Error::other)?? {
            archive.fetch_snapshot(name, shelf.folder()?).await?;
            info!(height = %name.height, "took a snapshot from the archive");
            return Ok(Some(name.height));
        }
    }
    Ok(None)
}

/// Why no snapshot was taken.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The store did not say what it has.
    #[error(transparent)]
    Store(#[from] archive::StoreError),
    /// It did not give it.
    #[error(transparent)]
    Fetch(#[from] archive::FetchSnapshotError),
    /// Whether it is right cannot be told.
    #[error("reading the ledger")]
    Ledger(#[from] ReadError),
    /// It cannot be kept.
    #[error("writing the snapshot")]
    Folder(#[from] io::Error),
}

#[cfg(test)]
mod tests {
    use model::{BlockHash, ChainId};

    use super::*;

    #[test]
    fn a_stream_is_cut_and_joined_and_damage_in_it_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let shelf = Shelf::of(folder.path());
        shelf.folder().unwrap();
        let bytes: Vec<u8> = (0..PART_BYTES * 2 + 5).map(|at| (at % 251) as u8).collect();
        let mut cutter = Cutter::new(&shelf, Height(7));
        for piece in bytes.chunks(100_003) {
            cutter.write_all(piece).unwrap();
        }
        let index = SnapshotIndex {
            chain: ChainId([7; 16]),
            height: Height(7),
            hash: BlockHash([5; 32]),
            version: 1,
            core: Vec::new(),
            catalogue: cutter.finish().unwrap(),
        };
        let lengths: Vec<u32> = index.catalogue.iter().map(|part| part.length).collect();
        assert_eq!(lengths, [8 << 20, 8 << 20, 5]);
        let begin = Begin {
            shelf: shelf.clone(),
            index: index.clone(),
            known: Known {
                height: Height(7),
                core: CoreState::default(),
            },
        };
        let read = || {
            let (mut out, bytes) = (Vec::new(), io::Cursor::default());
            let mut joiner = Joiner {
                begin: &begin,
                next: 0,
                bytes,
            };
            joiner.read_to_end(&mut out).map(|_| out)
        };
        assert!(read().unwrap() == bytes);
        let last = shelf.path(index.part_name(&index.catalogue[2]));
        fs::write(&last, b"other").unwrap();
        assert_eq!(read().unwrap_err().kind(), io::ErrorKind::InvalidData);
        shelf.destroy_below(Height(7)).unwrap();
        assert!(last.exists());
        shelf.destroy_below(Height(8)).unwrap();
        assert!(!last.exists());
    }
}
