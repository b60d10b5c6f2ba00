//! Puts a successor's ledger and identity in the place of the old ones.
//!
//! ```text
//! NODE/successor/{ledger,identity}   made whole, then marked by the file `ready`, which names the chain before
//! NODE/before-<chain>/{ledger,identity}   what was there before
//! ```
//!
//! From the mark on, doing the same again ends in the same: a part whose new one still waits is moved aside and replaced,
//! one whose new one does not wait any more is done.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use ledger::{CreateError, KeepError};
use model::ChainId;

use crate::config::NodeConfig;
use crate::identity::{Identity, LoadError};
use crate::init::{InitError, Mode, flush_folder, make_folder, write_file};
use crate::{FolderLock, LockError};

const STAGING: &str = "successor";
const READY: &str = "ready";
/// What is replaced, in this order. A node that starts in between finds parts of two chains, and refuses.
const PARTS: [&str; 2] = ["ledger", "identity"];

/// Why a successor was not made or not put in place.
#[derive(Debug, thiserror::Error)]
pub enum SwitchError {
    /// Another process uses the folder.
    #[error(transparent)]
    Locked(#[from] LockError),
    /// Something cannot be written.
    #[error(transparent)]
    Write(#[from] InitError),
    /// The system said no.
    #[error("{path}")]
    Io {
        /// About what.
        path: PathBuf,
        /// What it said.
        #[source]
        source: io::Error,
    },
    /// The new identity cannot be read back.
    #[error(transparent)]
    Identity(#[from] LoadError),
}

/// Why a successor was not made.
pub(super) enum PrepareError {
    Keep(KeepError),
    Switch(SwitchError),
}

impl From<KeepError> for PrepareError {
    fn from(error: KeepError) -> Self {
        Self::Keep(error)
    }
}

impl From<CreateError> for PrepareError {
    fn from(error: CreateError) -> Self {
        Self::Keep(error.into())
    }
}

impl From<SwitchError> for PrepareError {
    fn from(error: SwitchError) -> Self {
        Self::Switch(error)
    }
}

impl From<InitError> for PrepareError {
    fn from(error: InitError) -> Self {
        Self::Switch(error.into())
    }
}

impl From<LoadError> for PrepareError {
    fn from(error: LoadError) -> Self {
        Self::Switch(error.into())
    }
}

fn io(path: &Path) -> impl FnOnce(io::Error) -> SwitchError {
    let path = path.to_owned();
    move |source| SwitchError::Io { path, source }
}

/// Makes a successor's ledger and identity in a node's folder. What an earlier attempt left unfinished is thrown away.
pub(super) fn prepare(
    folder: &Path,
    config: &NodeConfig,
    (before, chain): (ChainId, ChainId),
    fill: impl FnOnce(&Path) -> Result<(), PrepareError>,
) -> Result<(), PrepareError> {
    let staging = folder.join(STAGING);
    if staging.exists() {
        fs::remove_dir_all(&staging).map_err(io(&staging))?;
    }
    make_folder(&staging)?;
    let ledger = staging.join("ledger");
    make_folder(&ledger)?;
    fill(&ledger)?;
    let identity = staging.join("identity");
    make_folder(&identity)?;
    copy_identity(&config.identity_folder(), &identity, chain)?;
    write_file(&staging.join(READY), &format!("{before}\n"), Mode::Public)?;
    flush_folder(&staging)?;
    flush_folder(folder)?;
    Ok(())
}

/// The same key and certificates, and another chain.
fn copy_identity(from: &Path, to: &Path, chain: ChainId) -> Result<(), PrepareError> {
    for entry in fs::read_dir(from).map_err(io(from))? {
        let entry = entry.map_err(io(from))?;
        let target = to.join(entry.file_name());
        if entry.file_name() != "chain" && entry.path().is_file() {
            fs::copy(entry.path(), &target).map_err(io(&target))?;
            let copied = fs::File::open(&target).and_then(|file| file.sync_all());
            copied.map_err(io(&target))?;
        }
    }
    write_file(&to.join("chain"), &format!("{chain}\n"), Mode::Public)?;
    flush_folder(to)?;
    Identity::load(to)?;
    Ok(())
}

/// Puts a successor in place that was made and marked as whole. Gives the folder with what was there before; nothing if no
/// successor waits.
///
/// # Errors
/// A [`SwitchError`]; doing it again goes on with it.
pub fn resume(folder: &Path) -> Result<Option<PathBuf>, SwitchError> {
    if !folder.join(STAGING).is_dir() {
        return Ok(None);
    }
    let _lock = FolderLock::take(folder)?;
    put_in_place(folder)
}

/// The same, for who has the folder's lock.
pub(super) fn put_in_place(folder: &Path) -> Result<Option<PathBuf>, SwitchError> {
    let staging = folder.join(STAGING);
    let before = match fs::read_to_string(staging.join(READY)) {
        Ok(before) => before,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io(&staging.join(READY))(error)),
    };
    let aside = folder.join(format!("before-{}", before.trim_end()));
    if !aside.is_dir() {
        make_folder(&aside)?;
    }
    for part in PARTS {
        let (new, place, kept) = (staging.join(part), folder.join(part), aside.join(part));
        if !new.exists() {
            continue;
        }
        if place.exists() {
            fs::rename(&place, &kept).map_err(io(&kept))?;
        }
        fs::rename(&new, &place).map_err(io(&place))?;
        flush_folder(&aside)?;
        flush_folder(folder)?;
    }
    fs::remove_dir_all(&staging).map_err(io(&staging))?;
    flush_folder(folder)?;
    Ok(Some(aside))
}
