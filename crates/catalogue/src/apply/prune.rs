//! Prunes. Whoever gives blocks to the catalogue leaves out those that are not in force: that is told from the chain alone.

use model::Prune;

use super::Applier;
use crate::outcome::Verdict;
use crate::prune;

impl Applier<'_> {
    /// Writes down that old commands go. What they did stays: a catalogue is what they came to.
    pub(super) fn prune(&self, prune: &Prune) -> rusqlite::Result<Verdict> {
        prune::note(self.db, self.position, self.time, prune)?;
        Ok(Verdict::Recorded)
    }
}
