//! The catalogue, held against the ledger.
//!
//! SQLite's own check says whether the file is a database, not whether its rows are what was decided. So a second one
//! is built from the ledger beside it, at the scrubber's pace, and the two digests at equal height are compared. Where
//! they differ, the second one takes the first one's place while the node serves: it is right by construction. What
//! the digest leaves out, the indexes of searches, goes with the file.
//!
//! A node that was killed may have a catalogue that is ahead of its ledger: SQLite had written what the ledger had only
//! heard of. Until the others have told the ledger again, there is nothing to compare with.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;
use std::time::Duration;

use catalogue::{ApplyError, BlockInput, Catalogue, OpenError};
use ledger::{Pace, Reader};
use model::codec::Encode as _;
use model::{Digest, Height};
use replica::{CoreState, Known};

use crate::catalogue_thread::{CatalogueHandle, InputError, Replacement, block_input};
use crate::snapshots::{self, BuildError, Shelf};

/// Blocks applied in one transaction.
const RUN_BLOCKS: usize = 256;
/// The catalogue's thread answers within this, or the replacement waits for the next pass.
const PATIENCE: Duration = Duration::from_secs(60);

/// Why there is no verdict.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error("it is time to stop")]
    Stopped,
    #[error("the ledger ends at height {tip}, the catalogue is at {height}")]
    Ahead { height: Height, tip: Height },
    #[error("reading the ledger")]
    Ledger(#[from] ledger::ReadError),
    #[error("building a catalogue beside the one in use")]
    Open(#[from] OpenError),
    #[error("building a catalogue beside the one in use")]
    Apply(#[from] ApplyError),
    #[error("reading the catalogue that was built")]
    Read(#[from] catalogue::ReadError),
    #[error(transparent)]
    Input(#[from] InputError),
    #[error(transparent)]
    Snapshot(#[from] BuildError),
    #[error("removing an earlier catalogue")]
    Clean(#[from] io::Error),
}

/// A catalogue that is not what the ledger says.
pub(super) struct Differs<'a> {
    /// How, for people.
    pub(super) what: String,
    built: Built,
    handle: &'a CatalogueHandle,
    reader: &'a Reader,
    quarantine: PathBuf,
}

impl Differs<'_> {
    /// Puts the right one in its place; where the wrong one is kept, or why it could not be done.
    pub(super) fn replace(self) -> Result<PathBuf, String> {
        let (done, replaced) = channel();
        self.handle.replace(Replacement {
            path: self.built.path.clone(),
            height: self.built.height,
            core: self.built.core,
            reader: self.reader.clone(),
            quarantine: self.quarantine,
            done,
        });
        let outcome = replaced.recv_timeout(PATIENCE);
        outcome.unwrap_or_else(|_| Err("the catalogue's thread does not answer".to_owned()))
    }
}

/// Compares; nothing if they are equal.
pub(super) fn compare<'a>(
    handle: &'a CatalogueHandle,
    reader: &'a Reader,
    folder: &Path,
    pace: Pace<'_>,
) -> Result<Option<Differs<'a>>, Refusal> {
    let (height, said) = match look(handle.path()) {
        Ok(Some(found)) => found,
        Ok(None) => return Ok(None),
        Err(error) => (handle.height(), Err(error)),
    };
    if let Some(ahead) = ahead(height, reader) {
        return Err(ahead);
    }
    let built = Built::up_to(height, reader, folder, pace)?;
    let what = match said {
        Ok(digest) if digest == built.digest => {
            remove(&built.path)?;
            return Ok(None);
        }
        Ok(_) => format!("at height {height} its rows are not what the ledger says"),
        Err(error) => format!("it cannot be read: {error}"),
    };
    Ok(Some(Differs {
        what,
        built,
        handle,
        reader,
        quarantine: folder.join("quarantine"),
    }))
}

/// Whether the ledger does not know yet what the catalogue in use is to be compared with.
pub(super) fn is_ahead(handle: &CatalogueHandle, reader: &Reader) -> bool {
    let height = || catalogue::Reader::open(handle.path())?.height();
    // A catalogue that cannot be read is behind nothing.
    let height = height().ok().flatten();
    height.is_some_and(|height| ahead(height, reader).is_some())
}

fn ahead(height: Height, reader: &Reader) -> Option<Refusal> {
    let (tip, _) = reader.tip();
    (height > tip).then_some(Refusal::Ahead { height, tip })
}

/// Whether a catalogue's file can be read, and is whole as a database.
pub(super) fn is_sound(path: &Path) -> bool {
    let reader = catalogue::Reader::open(path);
    let found = reader.and_then(|reader| reader.quick_check());
    matches!(found, Ok(None))
}

/// What the catalogue in use says of itself; an error in it if it is no sound database.
#[expect(clippy::type_complexity, reason = "taken apart at once")]
fn look(path: &Path) -> Result<Option<(Height, Result<Digest, String>)>, String> {
    let text = |error: catalogue::ReadError| crate::peer::chain_of_causes(&error);
    let reader = catalogue::Reader::open(path).map_err(text)?;
    let Some((height, digest)) = reader.digest().map_err(text)? else {
        return Ok(None);
    };
    let sound = reader.quick_check().map_err(text)?;
    Ok(Some((height, sound.map_or(Ok(digest), Err))))
}

/// A catalogue made of the ledger alone.
struct Built {
    path: PathBuf,
    height: Height,
    core: CoreState,
    digest: Digest,
}

impl Built {
    /// From the first block on; where commands are pruned, from a snapshot on.
    fn up_to(
        height: Height,
        reader: &Reader,
        folder: &Path,
        pace: Pace<'_>,
    ) -> Result<Self, Refusal> {
        let path = folder.join("tmp").join("rebuilt.sqlite");
        remove(&path)?;
        let pruned = match Self::build(&path, (height, None), reader, pace) {
            Err(Refusal::Input(InputError::Pruned(pruned))) => pruned,
            built => return built,
        };
        let reaches = |at| pruned <= at && at <= height;
        let begin = snapshots::base(&Shelf::of(folder), reader, reaches);
        let begin = begin.ok_or(InputError::Pruned(pruned))?;
        remove(&path)?;
        drop(begin.build_at(&path)?);
        Self::build(&path, (height, Some(begin.known)), reader, pace)
    }

    /// Goes on with the catalogue in a file, behind what is known.
    fn build(
        path: &Path,
        (height, known): (Height, Option<Known>),
        reader: &Reader,
        pace: Pace<'_>,
    ) -> Result<Self, Refusal> {
        let mut catalogue = Catalogue::open(path)?;
        let from = known
            .as_ref()
            .map_or(Height::GENESIS, |known| known.height.next());
        let mut core = known.map(|known| known.core).unwrap_or_default();
        let mut run: Vec<BlockInput> = Vec::new();
        for decided in reader.blocks(from) {
            let block = decided?.block;
            if block.height() > height {
                break;
            }
            run.push(block_input(&block, &core.apply(&block), Some(reader))?);
            let last = block.height() >= height;
            if last || run.len() >= RUN_BLOCKS {
                catalogue.apply(&run)?;
                run.clear();
            }
            if !pace(block.to_bytes().len() as u64) {
                return Err(Refusal::Stopped);
            }
        }
        drop(catalogue);
        let digest = catalogue::Reader::open(path)?.digest()?;
        let (height, digest) = digest.unwrap_or((Height::GENESIS, Digest([0; 32])));
        Ok(Self {
            path: path.to_owned(),
            height,
            core,
            digest,
        })
    }
}

fn remove(path: &Path) -> io::Result<()> {
    for suffix in ["", "-wal", "-shm"] {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        match fs::remove_file(PathBuf::from(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue_thread::tests::Chain;
    use crate::catalogue_thread::{self, Feeder, Home};
    use crate::metrics::Metrics;
    use model::command::Scope;
    use model::{Payload, TokenId};

    fn token(number: u64) -> Payload {
        Payload::CreateToken {
            token: TokenId(number.to_be_bytes()),
            secret: Digest([7; 32]),
            name: format!("token {number}"),
            scope: Scope::Read,
        }
    }

    /// After a kill the last blocks may be in the catalogue alone. It was replaced then by one that lacked some.
    #[test]
    fn a_catalogue_ahead_of_its_ledger_is_not_found_wrong() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let (mut before, mut after) =
            (Chain::new(&folder.join("a")), Chain::new(&folder.join("b")));
        let (path, mut core) = (folder.join("catalogue.sqlite"), CoreState::default());
        let mut catalogue = Catalogue::open(&path).unwrap();
        for number in 1..=300 {
            before.grow_by(token(number));
        }
        for decided in before.reader().blocks(Height::GENESIS) {
            let block = decided.unwrap().block;
            let input = block_input(&block, &core.apply(&block), None).unwrap();
            catalogue.apply(&[input]).unwrap();
        }
        for number in 1..=290 {
            after.grow_by(token(number));
        }
        fs::create_dir(folder.join("tmp")).unwrap();
        let blobs = blobs::Store::open(folder).unwrap();
        let feeder = Feeder::new(catalogue, blobs, Metrics::new().catalogue().clone());
        let reader = after.reader();
        let tip = reader.tip().0;
        let home = Home {
            me: reader.roster().voters().voters()[0].id,
            shelf: Shelf::of(folder),
        };
        let running = catalogue_thread::start(feeder, &path, tip, reader.clone(), home, None);
        let running = running.unwrap();

        let handle = &running.handle;
        assert!(is_ahead(handle, &reader));
        let compared =
            compare(handle, &reader, folder, &mut |_| true).map(|differs| differs.is_some());
        let ahead = Refusal::Ahead {
            height: Height(300),
            tip: Height(290),
        };
        assert_eq!(compared.unwrap_err().to_string(), ahead.to_string());

        for number in 291..=310 {
            after.grow_by(token(number));
        }
        assert!(!is_ahead(handle, &reader));
        let compared = compare(handle, &reader, folder, &mut |_| true).unwrap();
        assert!(compared.is_none(), "{}", compared.unwrap().what);
        running.stop();
    }
}
