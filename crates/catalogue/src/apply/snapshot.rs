//! Snapshots: which heights are marked, and who has vouched for what.

use model::SnapshotStep;
use rusqlite::params;

use super::Applier;
use crate::outcome::Verdict;

/// Marks remembered; the oldest go first.
const MARKS: u32 = 4;

impl Applier<'_> {
    pub(super) fn snapshot(&self, step: &SnapshotStep) -> rusqlite::Result<Verdict> {
        match step {
            SnapshotStep::Mark => {
                self.db
                    .prepare_cached("INSERT OR IGNORE INTO marks(height, time) VALUES (?1, ?2)")?
                    .execute([
                        self.position.height.0.cast_signed(),
                        self.time.0.cast_signed(),
                    ])?;
                let old = "SELECT height FROM marks ORDER BY height DESC LIMIT -1 OFFSET ?1";
                for sql in [
                    format!("DELETE FROM vouched WHERE height IN ({old})"),
                    format!("DELETE FROM marks WHERE height IN ({old})"),
                ] {
                    self.db.prepare_cached(&sql)?.execute([MARKS])?;
                }
            }
            SnapshotStep::Vouch {
                height,
                version,
                digest,
                node,
            } => {
                // A height that is not marked any more has no snapshot: a purge has ended it.
                self.db
                    .prepare_cached(
                        "INSERT OR IGNORE INTO vouched(height, node, version, digest)
                         SELECT height, ?2, ?3, ?4 FROM marks WHERE height = ?1 AND height < ?5",
                    )?
                    .execute(params![
                        height.0.cast_signed(),
                        node.as_bytes(),
                        version,
                        digest.as_bytes(),
                        self.position.height.0.cast_signed(),
                    ])?;
            }
        }
        Ok(Verdict::Recorded)
    }

    /// What is purged may stand in all of them.
    pub(super) fn end_snapshots(&self) -> rusqlite::Result<()> {
        self.db
            .execute_batch("DELETE FROM vouched; DELETE FROM marks;")
    }
}
