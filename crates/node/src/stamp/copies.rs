//! Which copies this node held when it last looked at all of them.
//!
//! A copy that is not here may never have been: the node was away, or is still fetching. What it held is known while it
//! runs; this note carries that over a restart, so that a copy which somebody deleted meanwhile is reported and not
//! only fetched again. It says what an [`Inventory`] says, and counts only under the same voters.

use std::fs;
use std::io;
use std::path::Path;

use model::Height;
use tracing::warn;

use crate::stock::Inventory;

/// The note's file in a node's folder.
const FILE: &str = "copies.stamp";

/// Under which voters, and how many copies of each.
fn circumstances(inventory: &Inventory) -> String {
    let voters: Vec<String> = inventory
        .voters
        .0
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("voters {} replicas {}", voters.concat(), inventory.replicas)
}

/// Notes that all copies are here. While some are missing, what was noted before still says which were.
pub(crate) fn leave(folder: &Path, inventory: &Inventory) {
    if inventory.missing.blobs > 0 {
        return;
    }
    let text = format!(
        "{}\nheight {}\n",
        circumstances(inventory),
        inventory.height
    );
    let unfinished = folder.join(format!("{FILE}.unfinished"));
    let written = fs::write(&unfinished, text);
    let written = written.and_then(|()| fs::rename(&unfinished, folder.join(FILE)));
    if let Err(error) = written {
        warn!(%error, "which copies are here could not be noted");
    }
}

/// Notes nothing: copies come and go.
pub(crate) fn forget(folder: &Path) {
    match fs::remove_file(folder.join(FILE)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            warn!(%error, "the note of which copies are here could not be removed");
        }
        _ => {}
    }
}

/// Up to which height everything named was here, if it was noted under the circumstances of an inventory.
pub(crate) fn recall(folder: &Path, now: &Inventory) -> Option<Height> {
    let text = fs::read_to_string(folder.join(FILE)).ok()?;
    let mut lines = text.lines();
    if lines.next() != Some(circumstances(now).as_str()) {
        return None;
    }
    let height = lines.next()?.strip_prefix("height ")?;
    height.parse().ok().map(Height)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stock::Amount;
    use model::MembershipHash;

    #[test]
    fn what_was_held_is_known_again_under_the_same_voters() {
        let folder = tempfile::tempdir().unwrap();
        let inventory = Inventory {
            height: Height(9),
            voters: MembershipHash([3; 32]),
            replicas: 3,
            missing: Amount::default(),
            listed: Vec::new(),
        };
        assert_eq!(recall(folder.path(), &inventory), None);
        leave(folder.path(), &inventory);
        assert_eq!(recall(folder.path(), &inventory), Some(Height(9)));
        let lacking = Inventory {
            height: Height(12),
            missing: Amount { blobs: 1, bytes: 7 },
            ..inventory.clone()
        };
        leave(folder.path(), &lacking);
        assert_eq!(recall(folder.path(), &inventory), Some(Height(9)));
        let other = Inventory {
            replicas: 2,
            ..inventory.clone()
        };
        assert_eq!(recall(folder.path(), &other), None);
        fs::write(folder.path().join(FILE), "voters").unwrap();
        assert_eq!(recall(folder.path(), &inventory), None);
    }
}
