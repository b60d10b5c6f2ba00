//! A ledger in a folder of the file system: made here, read here. Writing to it is the business of the node's
//! [`Disk`](crate::Disk).

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::Block;

use crate::disk::{ENDED, ENDED_BECAUSE, Storage};
use crate::format::file_number;
use crate::predecessor;
use crate::segment;
use crate::segment::{SegmentError, SegmentName};
use crate::writer::GenesisFile;

/// Why no ledger was made.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// There is one already; it is never overwritten.
    #[error("{folder} already holds a ledger")]
    Exists {
        /// Where.
        folder: PathBuf,
    },
    /// The block does not found a chain.
    #[error("the block is not a well-formed genesis block")]
    NotGenesis,
    /// The file system said no.
    #[error("writing the genesis file {path}")]
    Io {
        /// Which file or folder.
        path: PathBuf,
        /// What it said.
        #[source]
        source: io::Error,
    },
}

/// Why a segment was not put into a ledger's folder.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// The bytes are no segment.
    #[error("this is not a segment")]
    Segment(#[from] SegmentError),
    /// The file system said no.
    #[error("writing the segment {path}")]
    Io {
        /// Which file or folder.
        path: PathBuf,
        /// What it said.
        #[source]
        source: io::Error,
    },
}

/// Puts a segment into a ledger's folder, for a node that joins or a ledger that is mended. It is not checked beyond
/// its frame: [`segment::check()`] it first. A ledger in use does not notice before it is opened again.
///
/// # Errors
/// An [`InstallError`]. Nothing is left of a segment that was not put there.
pub fn install(folder: &Path, bytes: &[u8]) -> Result<SegmentName, InstallError> {
    let name = segment::blocks(bytes)?.name();
    let name = name.ok_or(SegmentError::Damaged("it names no heights"))?;
    fs::create_dir_all(folder)
        .and_then(|()| suspect(folder))
        .and_then(|()| Folder::new(folder).store_segment(&name.to_string(), bytes))
        .map_err(|source| InstallError::Io {
            path: folder.join(segment::path_of(name)),
            source,
        })?;
    Ok(name)
}

/// Makes a ledger that holds the chain's first block and the segments that are there already, if any ([`install`]ed
/// before). What a successor goes on from is put into its folder `predecessor` the same way, before or after.
/// The folder is made if it is missing; file and folder are flushed.
///
/// # Errors
/// A [`CreateError`]. After an I/O error the folder may be left without a ledger, never with a part of one.
pub fn create_in(folder: &Path, genesis: &Block) -> Result<(), CreateError> {
    if genesis.founded_membership().is_none() {
        return Err(CreateError::NotGenesis);
    }
    let at = |path: &Path| {
        let path = path.to_owned();
        move |source| CreateError::Io { path, source }
    };
    fs::create_dir_all(folder).map_err(at(folder))?;
    let storage = Folder::new(folder);
    if storage
        .files()
        .map_err(at(folder))?
        .iter()
        .any(|name| file_number(name).is_some())
    {
        return Err(CreateError::Exists {
            folder: folder.to_owned(),
        });
    }
    if folder.join(segment::FOLDER).is_dir() {
        suspect(folder).map_err(at(folder))?;
    }
    let GenesisFile { name, bytes } = GenesisFile::new(genesis);
    let unfinished = folder.join("genesis.unfinished");
    write_flushed(&unfinished, &bytes).map_err(at(&unfinished))?;
    let path = folder.join(name);
    fs::rename(&unfinished, &path).map_err(at(&path))?;
    flush_folder(folder).map_err(at(folder))?;
    folder
        .parent()
        .map_or(Ok(()), |parent| flush_folder(parent).map_err(at(parent)))
}

/// Stands in a ledger's folder while it holds segments from elsewhere, which may hold commands that were purged.
const SUSPECT: &str = "unerased";

fn suspect(folder: &Path) -> io::Result<()> {
    write_flushed(&folder.join(SUSPECT), b"")?;
    flush_folder(folder)
}

/// Whether segments have come into a ledger's folder from elsewhere: they may hold commands that this node has erased
/// before, or said that it had.
pub fn is_suspect(folder: &Path) -> bool {
    folder.join(SUSPECT).exists()
}

/// Everything that a purge names was erased from the folder since.
///
/// # Errors
/// What the file system says.
pub fn clear_suspicion(folder: &Path) -> io::Result<()> {
    match fs::remove_file(folder.join(SUSPECT)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed.and_then(|()| flush_folder(folder)),
    }
}

/// Flushes the names of the segments in a ledger's folder: before a ledger rests on segments that were put there by
/// another than [`segment::install`]. They may hold commands that were purged.
///
/// # Errors
/// What the file system says.
pub fn flush_segments(folder: &Path) -> io::Result<()> {
    let segments = folder.join(segment::FOLDER);
    if segments.is_dir() {
        flush_folder(&segments)?;
        return suspect(folder);
    }
    flush_folder(folder)
}

fn write_flushed(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn flush_folder(folder: &Path) -> io::Result<()> {
    let folder = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    File::open(folder)?.sync_all()
}

/// The readable side of a ledger's folder.
#[derive(Debug, Clone)]
pub struct Folder {
    path: PathBuf,
}

impl Folder {
    /// Of the folder at `path`, which need not exist yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }
}

impl Storage for Folder {
    fn files(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for file in fs::read_dir(&self.path)? {
            if let Ok(name) = file?.file_name().into_string() {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    fn len(&self, file: &str) -> io::Result<u64> {
        Ok(fs::metadata(self.path.join(file))?.len())
    }

    fn read(&self, file: &str, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let mut file = File::open(self.path.join(file))?;
        file.seek(SeekFrom::Start(offset))?;
        let mut bytes = vec![0; length];
        file.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn segments(&self) -> io::Result<Vec<String>> {
        Self::new(self.path.join(segment::FOLDER)).files()
    }

    fn predecessor(&self) -> Option<Arc<dyn Storage>> {
        let folder = self.path.join(predecessor::FOLDER);
        folder
            .is_dir()
            .then(|| Arc::new(Self::new(folder)) as Arc<dyn Storage>)
    }

    fn store_segment(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let folder = self.path.join(segment::FOLDER);
        if !folder.is_dir() {
            fs::create_dir(&folder)?;
            flush_folder(&self.path)?;
        }
        let unfinished = folder.join(format!("{name}.unfinished"));
        let stored = write_flushed(&unfinished, bytes)
            .and_then(|()| fs::rename(&unfinished, folder.join(name)));
        if stored.is_err() {
            // A leftover is overwritten by the next attempt; what matters is why there must be one.
            let _ = fs::remove_file(&unfinished);
        }
        stored.and_then(|()| flush_folder(&folder))
    }

    fn end(&self) -> io::Result<()> {
        write_flushed(&self.path.join(ENDED), ENDED_BECAUSE.as_bytes())?;
        flush_folder(&self.path)
    }

    fn retire(&self, file: &str) -> io::Result<()> {
        fs::remove_file(self.path.join(file))?;
        flush_folder(&self.path)
    }
}
