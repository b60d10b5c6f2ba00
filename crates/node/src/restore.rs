//! Makes a new cluster that goes on with what an archive or an export kept of a chain, when no node of it is left.
//!
//! The keys of the old nodes are gone, so nobody can decide the old chain's next block. The new cluster has a chain of its
//! own, a successor, as after `recover`: its first block stands right above the last proven block, names it, the nodes that
//! are left behind and what may be lost, and brings a new administrator's token, since the old one may be gone as well.
//! Everything below is kept in every node's folder as the ledger of the chain before. So files, records, tokens and
//! libraries are what they were, at the positions that they had.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ledger::{Folder, OpenError, ReadError, Reader, predecessor};
use model::command::Scope;
use model::{
    BlockHash, ChainId, Command, Ed25519, Height, LibraryId, Member, NodeId, Payload, Predecessor,
    SealedCommand, Timestamp,
};
use replica::NODE_ITSELF;

use crate::config::MemberConfig;
use crate::init::{
    ClusterPlan, CreatedCluster, InitError, NewToken, create_with, flush_folder, make_folder, now,
    random,
};
use crate::recover::{RecoverError, first_block};

/// What the new token is called.
const TOKEN_NAME: &str = "restored";

/// Why no cluster was made.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// What was kept cannot be read.
    #[error("reading what was kept, in {folder}")]
    Ledger {
        /// Where.
        folder: PathBuf,
        /// Why.
        #[source]
        source: Box<OpenError>,
    },
    /// Its last block cannot be read.
    #[error("reading the last block that was kept")]
    Read(#[from] ReadError),
    /// A name was a node's before.
    #[error("{0} was a node of the old cluster; names are never given again, choose another")]
    Name(String),
    /// The folders cannot be made.
    #[error(transparent)]
    Make(#[from] InitError),
}

/// A chain whose nodes are gone, as a ledger of the first block and segments, proved by who brought it.
#[derive(Debug, Clone)]
pub struct Kept {
    folder: PathBuf,
    reader: Reader,
}

/// What is kept, to be shown before a cluster is made of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Findings {
    /// The chain that is lost.
    pub chain: ChainId,
    /// Its last proven height.
    pub height: Height,
    /// The block there.
    pub hash: BlockHash,
    /// When it was decided.
    pub time: Timestamp,
    /// Who belonged to it, now or earlier.
    pub nodes: Vec<Member>,
}

impl Kept {
    /// Opens it.
    ///
    /// # Errors
    /// [`RestoreError::Ledger`].
    pub fn open(folder: &Path) -> Result<Self, RestoreError> {
        // Only verification is asked of it, for which its own key does not matter.
        let signatures = Ed25519::new(&[0; 32]);
        let opened = ledger::read_only(Arc::new(Folder::new(folder)), &signatures);
        let (reader, _) = opened.map_err(|source| RestoreError::Ledger {
            folder: folder.to_owned(),
            source: Box::new(source),
        })?;
        Ok(Self {
            folder: folder.to_owned(),
            reader,
        })
    }

    /// What it holds.
    ///
    /// # Errors
    /// [`RestoreError::Read`].
    pub fn findings(&self) -> Result<Findings, RestoreError> {
        let (height, hash) = self.reader.tip();
        let top = self.reader.known_at(height)?;
        let left = |(id, name): (NodeId, String)| Member { id, name };
        let former = top.roster.former().iter();
        let former = former.map(|(id, gone)| left((*id, gone.name.clone())));
        let nodes = top.roster.everybody().cloned().chain(former).collect();
        Ok(Findings {
            chain: self.reader.chain(),
            height,
            hash,
            time: top.time,
            nodes,
        })
    }

    /// Makes a cluster that goes on with it. `note` says where it comes from and what may be lost.
    ///
    /// # Errors
    /// A [`RestoreError`]; the target is then as it was.
    pub fn restore(&self, plan: &ClusterPlan, note: &str) -> Result<CreatedCluster, RestoreError> {
        let found = self.findings()?;
        let taken = |name: &String| found.nodes.iter().any(|node| node.name == *name);
        if let Some(node) = plan.nodes.iter().find(|node| taken(&node.name)) {
            return Err(RestoreError::Name(node.name.clone()));
        }
        let missing = ReadError::Missing {
            height: found.height,
        };
        let last = self.reader.block(found.height)?.ok_or(missing)?;
        let before = Predecessor {
            chain: found.chain,
            height: found.height,
            hash: found.hash,
            certificate: last.certificate,
            left: found.nodes,
            carried: 0,
            note: note.to_owned(),
            recovered_at: now(),
        };
        let time = now().max(Timestamp(found.time.0 + 1));
        let first = |chain, book: &[MemberConfig], token: &NewToken| {
            let member = |member: &MemberConfig| Member {
                id: member.id,
                name: member.name.clone(),
            };
            let voters: Vec<_> = book.iter().map(|m| (member(m), m.addresses())).collect();
            let token = [admission(token, time)?];
            first_block(chain, before, &voters, time, &token).map_err(|error| match error {
                RecoverError::Random(error) => InitError::Random(error),
                _ => InitError::Membership,
            })
        };
        Ok(create_with(plan, first, Some(&self.folder))?)
    }
}

/// The command with which the new token begins.
fn admission(token: &NewToken, time: Timestamp) -> Result<SealedCommand, getrandom::Error> {
    let command = Command {
        library: LibraryId::home(),
        actor: NODE_ITSELF,
        key: None,
        valid_until: time,
        payload: Payload::CreateToken {
            token: token.id,
            secret: token.secret,
            name: TOKEN_NAME.to_owned(),
            scope: Scope::Admin,
        },
    };
    Ok(command.seal(random()?))
}

/// Puts what was kept into a new node's ledger. The files never change, so they are linked where that is possible.
pub(crate) fn lay_down(kept: &Path, ledger: &Path) -> Result<(), InitError> {
    if let (Some(beside), Some(node)) = (kept.parent(), ledger.parent()) {
        let snapshots = beside.join(crate::snapshots::FOLDER);
        if snapshots.is_dir() {
            link_all(&snapshots, &node.join(crate::snapshots::FOLDER))?;
        }
    }
    link_all(kept, &ledger.join(predecessor::FOLDER))
}

fn link_all(from: &Path, to: &Path) -> Result<(), InitError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source: io::Error| InitError::Write { path, source }
    };
    make_folder(to)?;
    for entry in fs::read_dir(from).map_err(failed(from))? {
        let entry = entry.map_err(failed(from))?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if source.is_dir() {
            link_all(&source, &target)?;
        } else if fs::hard_link(&source, &target).is_err() {
            fs::copy(&source, &target).map_err(failed(&target))?;
            let flushed = fs::File::open(&target).and_then(|file| file.sync_all());
            flushed.map_err(failed(&target))?;
        }
    }
    flush_folder(to)
}
