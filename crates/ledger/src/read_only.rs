//! A ledger that is looked at and not changed.

use std::io;
use std::sync::Arc;

use model::Signatures;

use crate::disk::{Disk, Storage, Write};
use crate::ledger::Ledger;
use crate::reader::Reader;
use crate::recovery::{OpenError, Recovered};

/// A disk that is only read: an unfinished end is passed over and stays where it is.
struct ReadOnly(Arc<dyn Storage>);

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

/// Opens a ledger and changes no byte of it. What a node that runs writes meanwhile is not seen.
///
/// # Errors
/// An [`OpenError`], as when a node opens it.
pub fn read_only(
    storage: Arc<dyn Storage>,
    signatures: &dyn Signatures,
) -> Result<(Reader, Recovered), OpenError> {
    let (ledger, recovered) = Ledger::open(ReadOnly(storage), signatures)?;
    Ok((ledger.reader(), recovered))
}
