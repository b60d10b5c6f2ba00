//! Tags are called something else, on all files at once.

use model::file::Source;
use rusqlite::params;

use super::Applier;
use crate::history::HistoryKind;
use crate::outcome::{Refusal, Verdict};
use crate::row::{self, FileRow};
use crate::rules;
use crate::stored::fold;

impl Applier<'_> {
    /// Gives a tag and all below it another place, on every file, whatever its state. Whether there are such files is not
    /// in the answer: it is the same where some are forgotten.
    pub(super) fn rename_tag(&mut self, from: &str, to: &str) -> rusqlite::Result<Verdict> {
        if let Err(error) = rules::check_tag(from).and_then(|()| rules::check_tag(to)) {
            return Ok(Verdict::refused(Refusal::InvalidMetadata, error));
        }
        for known in self.tagged(from)? {
            let mut after = known.stored.clone();
            if after.rename_tags(from, to) {
                self.replace(&known, after, HistoryKind::Edited, Source::User)?;
            }
        }
        Ok(Verdict::TagRenamed)
    }

    /// Every file with the tag or one below it.
    fn tagged(&self, tag: &str) -> rusqlite::Result<Vec<FileRow>> {
        self.db
            .prepare_cached(
                "SELECT f.id, f.arrival, f.record FROM tags t JOIN files f ON f.id = t.id
                 WHERE t.library = ?1 AND t.path = ?2 ORDER BY f.id",
            )?
            .query_map(
                params![self.command.library.as_str(), fold(tag)],
                row::file_row,
            )?
            .collect()
    }
}
