//! Whether this node can use a store, before bytes are moved there.

use model::{ChainId, Height};

use super::Shelves;
use crate::archiver::in_one_line;

/// Writes an object, reads it and deletes it.
///
/// # Errors
/// Why that does not work, for people. Holds no secret.
pub(crate) async fn try_out(url: &str, chain: ChainId) -> Result<(), String> {
    let shelves =
        Shelves::open(url, Height::GENESIS, vec![chain]).map_err(|error| in_one_line(&error))?;
    let tried = shelves.try_out().await;
    tried.map_err(|error| in_one_line(&error))
}
