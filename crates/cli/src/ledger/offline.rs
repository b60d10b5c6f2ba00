//! A node's ledger, read without any node and without changing a byte of it.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use ledger::{Folder, Reader};
use model::Ed25519;

/// Only verification is asked of it, for which its own key does not matter.
pub(super) fn signatures() -> Ed25519 {
    Ed25519::new(&[0; 32])
}

/// Opens a node's `ledger` folder.
pub(super) fn open(folder: &Path) -> anyhow::Result<Reader> {
    let storage = Arc::new(Folder::new(folder));
    let (reader, _) = ledger::read_only(storage, &signatures())
        .with_context(|| format!("reading the ledger in {}", folder.display()))?;
    Ok(reader)
}
