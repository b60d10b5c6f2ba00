//! Whom blocks are asked of: the other nodes, and the archive for what none of them gives.

use std::collections::BTreeSet;
use std::path::PathBuf;

use archive::{Archive, Copy, OBJECT_MAX, Store};
use ledger::{Supply, segment};
use model::{Decided, Height};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::config::NodeConfig;
use crate::identity::Identity;
use crate::peer::{Acquaintance, Inquiry, chain_of_causes};

/// The other nodes and the archive.
pub(crate) struct Sources {
    peers: Inquiry,
    archive: Option<Backup>,
    /// Whether the archive answered last.
    archived: bool,
}

impl Sources {
    /// These nodes, and the archive that the configuration names. Nobody is waited for once it is `closing`.
    pub(crate) fn new(
        config: &NodeConfig,
        identity: &Identity,
        whom: Vec<Acquaintance>,
        runtime: Handle,
        closing: CancellationToken,
    ) -> Self {
        let archive = config.archive_url.as_ref().and_then(|url| {
            let store = Store::open(url);
            let store = store.inspect_err(|error| {
                let error = chain_of_causes(error);
                warn!(error, "the archive cannot be asked for blocks");
            });
            Some(Backup {
                archive: Archive::new(store.ok()?, identity.chain()),
                runtime: runtime.clone(),
                closing: closing.clone(),
                scratch: config.ledger_folder().join("archive.mending"),
                bad: BTreeSet::new(),
                last: None,
            })
        });
        Self {
            peers: Inquiry::new(identity.clone(), runtime, closing, whom),
            archive,
            archived: false,
        }
    }

    /// Whether there is anybody to ask.
    pub(super) fn any(&self) -> bool {
        self.archive.is_some() || self.peers.knows_anybody()
    }

    /// Who answered last.
    pub(super) fn last(&self) -> Option<&str> {
        if self.archived {
            Some("the archive")
        } else {
            self.peers.source()
        }
    }
}

impl Supply for Sources {
    fn blocks(&mut self, from: Height, to: Height) -> Vec<Decided> {
        self.archived = false;
        let blocks = self.peers.blocks(from, to);
        let Some(archive) = self.archive.as_mut().filter(|_| blocks.is_empty()) else {
            return blocks;
        };
        let blocks = archive.blocks(from, to);
        self.archived = !blocks.is_empty();
        blocks
    }

    fn refuse(&mut self, height: Height, what: &str) {
        match &mut self.archive {
            Some(archive) if self.archived => archive.refuse(height, what),
            _ => self.peers.refuse(height, what),
        }
    }
}

/// The archive.
struct Backup {
    archive: Archive,
    runtime: Handle,
    closing: CancellationToken,
    /// A file for what is on its way.
    scratch: PathBuf,
    /// Objects that held what proves nothing.
    bad: BTreeSet<Copy>,
    last: Option<Copy>,
}

impl Backup {
    fn blocks(&mut self, from: Height, to: Height) -> Vec<Decided> {
        let (runtime, closing) = (self.runtime.clone(), self.closing.clone());
        match runtime.block_on(closing.run_until_cancelled(self.fetch(from, to))) {
            None => Vec::new(),
            Some(Ok(blocks)) => blocks,
            Some(Err(error)) => {
                warn!(error, "asking the archive for decided blocks");
                Vec::new()
            }
        }
    }

    /// The blocks of one segment that holds `from`.
    async fn fetch(&mut self, from: Height, to: Height) -> Result<Vec<Decided>, String> {
        let said = |error: archive::StoreError| chain_of_causes(&error);
        let coverage = self.archive.coverage().await.map_err(said)?;
        let mut copies = coverage.copies.into_keys();
        let copy = copies.find(|copy| copy.name.holds(from) && !self.bad.contains(copy));
        let Some(copy) = copy else {
            return Ok(Vec::new());
        };
        self.last = Some(copy.clone());
        let key = copy.key(self.archive.chain());
        let store = self.archive.store();
        let fetched = store.fetch(&key, &self.scratch, OBJECT_MAX).await;
        let bytes = tokio::fs::read(&self.scratch).await;
        // What is left of it is overwritten by the next.
        let _ = tokio::fs::remove_file(&self.scratch).await;
        if fetched.map_err(said)?.is_none() {
            return Ok(Vec::new());
        }
        let bytes = bytes.map_err(|error| error.to_string())?;
        let Ok(contents) = segment::blocks(&bytes) else {
            self.bad.insert(copy);
            return Ok(Vec::new());
        };
        let wanted = |decided: &Decided| (from..=to).contains(&decided.block.height());
        let blocks = contents.map_while(Result::ok).filter(wanted);
        let blocks: Vec<Decided> = blocks.collect();
        if blocks
            .first()
            .is_none_or(|first| first.block.height() != from)
        {
            self.bad.insert(copy);
        }
        Ok(blocks)
    }

    fn refuse(&mut self, height: Height, what: &str) {
        let object = self.last.as_ref().map(ToString::to_string);
        warn!(object, %height, what, "a block from the archive proves nothing");
        self.bad.extend(self.last.take());
    }
}
