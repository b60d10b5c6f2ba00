//! The ledger of the chain before, handed on to a node that joins.
//!
//! It never changes, so it is sent as the files that it is. Nothing of it is believed: the first block of the chain that
//! goes on from it fixes all of it by hashes, and the newcomer looks.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt as _, stream};
use ledger::SegmentName;
use model::{Height, NodeId};
use tonic::{Code, Status};

use super::client::Dialer;
use super::generated::peer_client::PeerClient;
use super::generated::{FilePiece, PredecessorRequest};
use super::storage::blocking;
use super::wire;
use crate::identity::Identity;

/// A member that sends nothing for this long has given it up.
const PIECE_TIMEOUT: Duration = Duration::from_secs(30);
/// The file with a chain's first block.
const FIRST: &str = "00000000.log";

/// The pieces on their way to a newcomer.
pub(super) type Pieces = Pin<Box<dyn Stream<Item = Result<FilePiece, Status>> + Send>>;

fn failed(error: &io::Error) -> Status {
    tracing::error!(%error, "reading the chain before for a newcomer");
    Status::internal(error.to_string())
}

/// Everything in the folder.
pub(super) async fn give(folder: PathBuf) -> Result<Pieces, Status> {
    let listed = blocking(move || list(&folder).map(|files| (folder, files))).await?;
    let (folder, mut files) = match listed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(Status::not_found("this chain goes on from none"));
        }
        listed => listed.map_err(|error| failed(&error))?,
    };
    files.reverse();
    let giving = Giving {
        folder,
        files,
        open: None,
    };
    Ok(stream::try_unfold(giving, async |giving: Giving| {
        blocking(move || giving.next())
            .await?
            .map_err(|error| failed(&error))
    })
    .boxed())
}

/// The files of a closed ledger, those of the chain before it too.
fn list(folder: &Path) -> io::Result<Vec<String>> {
    fs::metadata(folder.join(FIRST))?;
    let mut files = vec![FIRST.to_owned()];
    let segments = folder.join(ledger::segment::FOLDER);
    if segments.is_dir() {
        for entry in fs::read_dir(segments)? {
            let name = entry?.file_name();
            let name = name.to_string_lossy();
            if name.parse::<SegmentName>().is_ok() {
                files.push(format!("{}/{name}", ledger::segment::FOLDER));
            }
        }
    }
    let before = folder.join(ledger::predecessor::FOLDER);
    if before.is_dir() {
        let within = |file| format!("{}/{file}", ledger::predecessor::FOLDER);
        files.extend(list(&before)?.into_iter().map(within));
    }
    Ok(files)
}

/// Files being read.
struct Giving {
    folder: PathBuf,
    /// The next one last.
    files: Vec<String>,
    open: Option<File>,
}

impl Giving {
    fn next(mut self) -> io::Result<Option<(FilePiece, Self)>> {
        let mut path = String::new();
        loop {
            if self.open.is_none() {
                let Some(file) = self.files.pop() else {
                    return Ok(None);
                };
                self.open = Some(File::open(self.folder.join(&file))?);
                path = file;
            }
            let mut data = Vec::new();
            if let Some(open) = &mut self.open {
                open.take(wire::CHUNK_BYTES_MAX as u64)
                    .read_to_end(&mut data)?;
            }
            if data.is_empty() {
                self.open = None;
            }
            if !data.is_empty() || !path.is_empty() {
                let data = Bytes::from(data);
                return Ok(Some((FilePiece { path, data }, self)));
            }
        }
    }
}

/// Why the chain before was not taken from a member.
#[derive(Debug, thiserror::Error)]
pub enum TakeError {
    /// The member cannot be reached, or does not give it.
    #[error("{address}: {detail}")]
    Refused {
        /// Where.
        address: String,
        /// What it says.
        detail: String,
        /// Whether it may give it soon.
        soon: bool,
    },
    /// What was given is something else.
    #[error("what was given is not the chain before, or damaged at height {height}: {what}")]
    Wrong {
        /// Where.
        height: Height,
        /// What is wrong.
        what: String,
    },
    /// It cannot be written here.
    #[error("writing the chain before to {path}")]
    Write {
        /// Where.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
}

/// Writes what a member gives into a new folder, and flushes it. What it is, is still to be looked at.
pub(crate) async fn take(
    identity: &Identity,
    (member, address): (NodeId, &str),
    folder: &Path,
) -> Result<(), TakeError> {
    let refused = |status: &Status| TakeError::Refused {
        address: address.to_owned(),
        detail: status.message().to_owned(),
        // A member may not have seen yet that the newcomer belongs to the cluster.
        soon: status.code() == Code::PermissionDenied,
    };
    let unreachable = |error: &dyn std::error::Error| TakeError::Refused {
        address: address.to_owned(),
        detail: super::chain_of_causes(error),
        soon: false,
    };
    let tls = identity.client_config(member);
    let tls = tls.map_err(|error| unreachable(&error))?;
    let channel = Dialer::new(address, tls).connect().await;
    let channel = channel.map_err(|error| unreachable(&error))?;
    let request = PredecessorRequest {
        chain_id: wire::chain_bytes(identity.chain()),
    };
    let pieces = PeerClient::new(channel).get_predecessor(request).await;
    let mut pieces = pieces.map_err(|status| refused(&status))?.into_inner();
    let mut taking = Taking {
        folder: folder.to_owned(),
        open: None,
    };
    loop {
        let piece = tokio::time::timeout(PIECE_TIMEOUT, pieces.message()).await;
        let piece =
            piece.map_err(|_| refused(&Status::deadline_exceeded("it says nothing more")))?;
        let Some(piece) = piece.map_err(|status| refused(&status))? else {
            return taking.close();
        };
        if !taking.add(&piece)? {
            return Err(refused(&Status::invalid_argument(
                "it gives something else",
            )));
        }
    }
}

/// Files being written.
struct Taking {
    folder: PathBuf,
    open: Option<(PathBuf, File)>,
}

impl Taking {
    /// Takes a piece; false if it does not belong into such a folder.
    fn add(&mut self, piece: &FilePiece) -> Result<bool, TakeError> {
        if !piece.path.is_empty() {
            if !belongs(&piece.path) {
                return Ok(false);
            }
            self.close()?;
            let path = self.folder.join(&piece.path);
            let parent = path.parent().unwrap_or(&self.folder);
            let made = fs::create_dir_all(parent).and_then(|()| File::create_new(&path));
            let file = made.map_err(|source| write_error(&path, source))?;
            self.open = Some((path, file));
        }
        let Some((path, file)) = &mut self.open else {
            return Ok(false);
        };
        let written = file.write_all(&piece.data);
        written.map_err(|source| write_error(path, source))?;
        Ok(true)
    }

    /// Flushes the file being written, and its name.
    fn close(&mut self) -> Result<(), TakeError> {
        let Some((path, file)) = self.open.take() else {
            return Ok(());
        };
        let parent = path.parent().unwrap_or(&self.folder);
        let flushed = file
            .sync_all()
            .and_then(|()| File::open(parent))
            .and_then(|parent| parent.sync_all());
        flushed.map_err(|source| write_error(&path, source))
    }
}

fn write_error(path: &Path, source: io::Error) -> TakeError {
    TakeError::Write {
        path: path.to_owned(),
        source,
    }
}

/// Whether a closed ledger has such a file: nothing else is written.
fn belongs(path: &str) -> bool {
    if let Some(rest) = path.strip_prefix("predecessor/") {
        return belongs(rest);
    }
    let segment = path.strip_prefix("segments/");
    path == FIRST || segment.is_some_and(|name| name.parse::<SegmentName>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_a_ledger_is_taken() {
        let name = format!("{:012}-{:012}-{}.seg", 1, 9, "ab".repeat(32));
        for good in [
            FIRST.to_owned(),
            format!("segments/{name}"),
            format!("predecessor/predecessor/segments/{name}"),
        ] {
            assert!(belongs(&good), "{good}");
        }
        for bad in [
            "",
            "/etc/passwd",
            "../node.toml",
            "predecessor/../../node.toml",
            "segments/../../x.seg",
            "segments/",
            "00000001.log",
            "predecessor",
        ] {
            assert!(!belongs(bad), "{bad}");
        }
        assert!(!belongs(&name));
    }

    #[test]
    fn a_closed_ledger_is_given_piece_by_piece_and_put_together_again() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let name = format!("{:012}-{:012}-{}.seg", 1, 9, "ab".repeat(32));
        let large = vec![7; wire::CHUNK_BYTES_MAX * 2 + 5];
        let files = [
            (FIRST.to_owned(), b"first".to_vec()),
            (format!("segments/{name}"), large),
            (format!("predecessor/{FIRST}"), Vec::new()),
        ];
        for (path, bytes) in &files {
            let path = from.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        fs::write(from.path().join("secret"), "x").unwrap();
        let mut listed = list(from.path()).unwrap();
        listed.reverse();
        let mut giving = Giving {
            folder: from.path().to_owned(),
            files: listed,
            open: None,
        };
        let mut taking = Taking {
            folder: to.path().to_owned(),
            open: None,
        };
        while let Some((piece, next)) = giving.next().unwrap() {
            assert!(taking.add(&piece).unwrap());
            giving = next;
        }
        taking.close().unwrap();
        for (path, bytes) in files {
            assert!(fs::read(to.path().join(path)).unwrap() == bytes);
        }
        assert!(!to.path().join("secret").exists());
    }
}
