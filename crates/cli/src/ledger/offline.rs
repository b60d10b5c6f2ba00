//! A node's ledger, read without any node and without changing a byte of it.

use std::io;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use ledger::{Disk, Folder, Ledger, Reader, Storage, Write};
use model::Ed25519;

/// A disk that is only read: an unfinished end is passed over and stays where it is.
struct ReadOnly(Arc<Folder>);

impl Disk for ReadOnly {
    fn storage(&self) -> Arc<dyn Storage> {
        self.0.clone()
    }

    fn cut(&mut self, _: &str, _: u64) -> io::Result<()> {
        Ok(())
    }

    fn submit(&mut self, write: Write) {
        unreachable!("a ledger that is only read writes {}", write.file);
    }
}

/// Only verification is asked of it, for which its own key does not matter.
pub(super) fn signatures() -> Ed25519 {
    Ed25519::new(&[0; 32])
}

/// Opens a node's `ledger` folder.
pub(super) fn open(folder: &Path) -> anyhow::Result<Reader> {
    let disk = ReadOnly(Arc::new(Folder::new(folder)));
    let (ledger, _) = Ledger::open(disk, &signatures())
        .with_context(|| format!("reading the ledger in {}", folder.display()))?;
    Ok(ledger.reader())
}
