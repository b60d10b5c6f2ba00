//! Where an export is: a folder or an object store, or one file.

use std::fs::{self, File};
use std::io::BufReader;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use archive::{Archive, ArchiveError, Store, StoreError, tar};
use model::ChainId;
use reqwest::Url;

use crate::failure::Failure;

/// As it is named on the command line.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    /// A URL, or a folder as one.
    Store(String),
    /// A file, to be written or read as a whole.
    File(PathBuf),
}

impl Place {
    /// A URL has a scheme, a folder exists or ends with a slash, anything else is a file.
    pub(crate) fn of(text: &str) -> anyhow::Result<Self> {
        if text.contains("://") {
            return Ok(Self::Store(text.to_owned()));
        }
        let path = Path::new(text);
        if !path.is_dir() && !text.ends_with('/') {
            return Ok(Self::File(path.to_owned()));
        }
        Ok(Self::Store(url_of(path)?))
    }
}

/// A folder as a URL.
fn url_of(path: &Path) -> anyhow::Result<String> {
    let path = std::path::absolute(path)?;
    let url = Url::from_file_path(&path).map_err(|()| anyhow!("{} is no path", path.display()))?;
    Ok(url.into())
}

/// An export that can be read. A file is unpacked first, into a folder that goes away with this.
pub(crate) struct Source {
    pub(crate) archive: Archive,
    _unpacked: Option<Scratch>,
}

impl Source {
    /// Opens an export, or the part of an archive that belongs to one chain. `scratch` is where a file is unpacked.
    pub(crate) async fn open(
        text: &str,
        chain: Option<ChainId>,
        scratch: &Path,
    ) -> Result<Self, Failure> {
        let (url, unpacked) = match Place::of(text)? {
            Place::Store(url) => (url, None),
            Place::File(path) => {
                let unpacked = Scratch::new(scratch)?;
                unpack(&path, unpacked.path())?;
                (url_of(unpacked.path())?, Some(unpacked))
            }
        };
        let store = Store::open(&url).map_err(|error| Failure::Usage(error.to_string()))?;
        let chain = match chain {
            Some(chain) => chain,
            None => only_chain(&store).await?,
        };
        Ok(Self {
            archive: Archive::new(store, chain),
            _unpacked: unpacked,
        })
    }
}

fn unpack(path: &Path, into: &Path) -> Result<(), Failure> {
    let file = File::open(path).map_err(|error| {
        let missing = error.kind() == std::io::ErrorKind::NotFound;
        let error = anyhow::Error::new(error).context(format!("opening {}", path.display()));
        if missing {
            Failure::NotFound(error)
        } else {
            error.into()
        }
    })?;
    tar::unpack(BufReader::new(file), into)
        .with_context(|| format!("unpacking {}", path.display()))?;
    Ok(())
}

async fn only_chain(store: &Store) -> Result<ChainId, Failure> {
    let chains = Archive::chains(store).await.map_err(failure)?;
    let chains = without_predecessors(store, chains).await;
    match chains[..] {
        [chain] => Ok(chain),
        [] => {
            let error = anyhow!("{} holds no ledger", store.place());
            Err(Failure::NotFound(error))
        }
        _ => {
            let names: Vec<_> = chains.iter().map(ToString::to_string).collect();
            let text = format!(
                "{} holds several chains: say which with --chain, one of {}",
                store.place(),
                names.join(", ")
            );
            Err(Failure::Usage(text))
        }
    }
}

/// Those of several chains that no other one goes on from.
async fn without_predecessors(store: &Store, mut chains: Vec<ChainId>) -> Vec<ChainId> {
    if chains.len() < 2 {
        return chains;
    }
    for chain in chains.clone() {
        let first = Archive::new(store.clone(), chain).genesis().await;
        if let Some(before) = first.ok().and_then(|first| first.predecessor()) {
            chains.retain(|chain| *chain != before.chain);
        }
    }
    chains
}

/// What a script has to know of a store's error: whether to try again.
pub(crate) fn failure(error: impl Into<ArchiveError>) -> Failure {
    match error.into() {
        error @ ArchiveError::Store(StoreError::Unavailable { .. }) => {
            Failure::Temporary(error.into())
        }
        error @ ArchiveError::NoGenesis { .. } => Failure::NotFound(error.into()),
        error => Failure::Other(error.into()),
    }
}

/// A folder that goes away with this.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new(parent: &Path) -> anyhow::Result<Self> {
        let mut name = [0; 8];
        getrandom::fill(&mut name).context("the system gives no random bytes")?;
        let path = parent.join(format!("starling-{:016x}", u64::from_be_bytes(name)));
        fs::create_dir_all(&path).with_context(|| format!("making {}", path.display()))?;
        Ok(Self(path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // It lies among temporary files, and its name says whose it is.
        let _ = fs::remove_dir_all(&self.0);
    }
}
