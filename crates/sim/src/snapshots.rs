//! Snapshots as simulated nodes keep them: files that outlive their process, named by what is in them, like those of a
//! node. A core state and a shelf are in them, which are what the core state and the catalogue are to a node.

use std::collections::BTreeMap;

use model::codec::{Decode as _, Encode as _};
use model::{BlockHash, Digest, Height};
use replica::{Claim, CoreState};

use crate::shelf::Shelf;

/// Of what is in them.
pub(crate) const VERSION: u32 = 1;
/// So many are kept, the newest.
const KEPT: usize = 4;

/// What is in one.
#[derive(Debug, Clone)]
pub(crate) struct Content {
    /// Of the block behind which it is the state.
    pub(crate) hash: BlockHash,
    core: Vec<u8>,
    shelf: Shelf,
}

impl Content {
    pub(crate) fn new(hash: BlockHash, core: &CoreState, shelf: Shelf) -> Self {
        let core = core.to_bytes();
        Self { hash, core, shelf }
    }

    /// By which it is named.
    pub(crate) fn claim(&self, height: Height) -> Claim {
        Claim {
            height,
            version: VERSION,
            digest: Digest::of(&[&self.hash.0, &self.core, &self.shelf.to_bytes()]),
        }
    }

    /// Part of it is not there: whoever wrote it was stopped.
    pub(crate) fn torn(mut self) -> Self {
        self.core.truncate(self.core.len() / 2);
        self
    }

    /// The state in it, if it can be read.
    fn state(&self) -> Option<(CoreState, Shelf)> {
        let core = CoreState::from_bytes(&self.core).ok()?;
        Some((core, self.shelf.clone()))
    }
}

/// Where a machine keeps them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Drawer {
    files: BTreeMap<Claim, Content>,
}

impl Drawer {
    /// Keeps one, under the name that it is said to have.
    pub(crate) fn put(&mut self, claim: Claim, content: Content) {
        self.files.insert(claim, content);
        while self.files.len() > KEPT {
            self.files.pop_first();
        }
    }

    /// What is there, newest first.
    pub(crate) fn claims(&self) -> Vec<Claim> {
        self.files.keys().rev().copied().collect()
    }

    /// What is kept under a name, whatever it is.
    pub(crate) fn get(&self, claim: Claim) -> Option<&Content> {
        self.files.get(&claim)
    }

    /// The state in a file that is what its name says, and the block it is of.
    pub(crate) fn load(&self, claim: Claim) -> Option<(BlockHash, (CoreState, Shelf))> {
        let content = self.files.get(&claim)?;
        let right = content.claim(claim.height) == claim;
        let state = right.then(|| content.state()).flatten()?;
        Some((content.hash, state))
    }

    /// Deletes those in which something may stand that was purged at this height.
    pub(crate) fn destroy_below(&mut self, height: Height) {
        self.files.retain(|claim, _| claim.height >= height);
    }
}

/// What a running node's maker has in mind.
#[derive(Debug, Clone, Default)]
pub(crate) struct Making {
    /// What its shelf was behind the newest marked block.
    pub(crate) captured: Option<(Height, Shelf)>,
    /// What it has made and not vouched for yet.
    pub(crate) made: Option<Claim>,
    /// The newest purge it knows, until it has deleted what that ends.
    pub(crate) purged: Option<Height>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_as_its_name_says_is_loaded() {
        let whole = Content::new(BlockHash([1; 32]), &CoreState::default(), Shelf::default());
        let claim = whole.claim(Height(3));
        let mut drawer = Drawer::default();
        drawer.put(claim, whole.clone().torn());
        assert!(drawer.load(claim).is_none());
        drawer.put(claim, whole.clone());
        assert!(drawer.load(claim).is_some());
        let lie = Claim {
            digest: Digest([9; 32]),
            ..claim
        };
        drawer.put(lie, whole);
        assert!(drawer.load(lie).is_none());
        drawer.destroy_below(Height(4));
        assert!(drawer.claims().is_empty());
    }
}
