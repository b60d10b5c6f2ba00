//! Destroying in an archive what was purged. Nobody owns the archive: whoever comes first writes the objects anew, and the
//! others find nothing left to do.

use bytes::Bytes;
use model::Digest;

use crate::SegmentName;
use crate::archive::Archive;
use crate::manifest::Signer;
use objects::{OBJECT_MAX, StoreError};

/// Why something may be left in an archive that was to be erased.
#[derive(Debug, thiserror::Error)]
pub enum EraseError {
    /// The store did not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Nobody can tell what it holds.
    #[error(
        "{object} in the archive {place} cannot be read, so nothing in it can be erased: {what}"
    )]
    Damaged {
        /// Which archive.
        place: String,
        /// Which object.
        object: String,
        /// What is wrong.
        what: String,
    },
}

impl Archive {
    /// Writes every segment anew for which `without` gives other bytes, of those that `concerns` names, with its manifest.
    /// Gives the objects written.
    ///
    /// # Errors
    /// An [`EraseError`]. What was written until then stays, and doing it again does no harm.
    pub async fn erase(
        &self,
        concerns: impl Fn(SegmentName) -> bool,
        without: impl Fn(SegmentName, &[u8]) -> Result<Option<Vec<u8>>, String>,
        signer: &dyn Signer,
    ) -> Result<Vec<String>, EraseError> {
        let mut written = Vec::new();
        let coverage = self.coverage().await?;
        for copy in coverage.copies.keys().filter(|copy| concerns(copy.name)) {
            let key = copy.key(self.chain());
            let Some(bytes) = self.store().read(&key, OBJECT_MAX).await? else {
                continue;
            };
            let damaged = |what| EraseError::Damaged {
                place: self.store().place().to_owned(),
                object: key.clone(),
                what,
            };
            if let Some(bytes) = without(copy.name, &bytes).map_err(damaged)? {
                let object = (Digest::of(&[&bytes]), bytes.len() as u64);
                self.store().overwrite(&key, Bytes::from(bytes)).await?;
                self.sign_again(copy, object, signer).await?;
                written.push(key);
            }
        }
        Ok(written)
    }
}
