//! Files: added, met again, edited, moved to the trash and back.

use std::sync::Arc;

use model::file::{Change, Source, State};
use model::media::Described;
use model::{BlobId, MediaStep, Payload, limits};

use super::Applier;
use crate::history::{HistoryKind, NewEntry};
use crate::index;
use crate::key::RowKey;
use crate::outcome::{Refusal, Verdict};
use crate::row::{self, FileRow};
use crate::rules;
use crate::stored::{NewFile, Stored};

impl Applier<'_> {
    /// Adds a file, or what is new about one that is there. What the bytes say of themselves is never a reason to
    /// refuse them: a file with absurd EXIF may be all its owner has.
    pub(super) fn add_file(&mut self) -> rusqlite::Result<Verdict> {
        let command = self.command;
        let nothing = Described::default();
        let (new, restore) = match &command.payload {
            Payload::AddFile {
                file,
                size,
                name,
                facts,
                metadata,
                restore,
            } => (
                NewFile {
                    library: &command.library,
                    file: *file,
                    size: *size,
                    name,
                    facts,
                    described: &nothing,
                    perceptual_hash: None,
                    needs: None,
                    metadata,
                    added_at: self.time,
                    added_by: command.actor,
                },
                *restore,
            ),
            Payload::Media(MediaStep::Add {
                file,
                size,
                name,
                facts,
                described,
                perceptual_hash,
                needs,
                metadata,
                restore,
            }) => (
                NewFile {
                    library: &command.library,
                    file: *file,
                    size: *size,
                    name,
                    facts,
                    described,
                    perceptual_hash: *perceptual_hash,
                    needs: needs.as_deref(),
                    metadata,
                    added_at: self.time,
                    added_by: command.actor,
                },
                *restore,
            ),
            _ => unreachable!("only what adds a file is handed over"),
        };
        self.add(new, restore)
    }

    fn add(&mut self, new: NewFile<'_>, restore: bool) -> rusqlite::Result<Verdict> {
        let NewFile {
            file,
            name,
            metadata,
            described,
            ..
        } = new;
        let valid = rules::check_size(new.size)
            .and_then(|()| rules::check_name(name))
            .and_then(|()| rules::check_metadata(metadata))
            .and_then(|()| rules::check_described(described));
        if let Err(error) = valid {
            return Ok(Verdict::refused(Refusal::InvalidMetadata, error));
        }
        if let Some(known) = row::file(self.db, new.library, &file)? {
            return self.meet_again(known, name, &metadata.tags, restore);
        }
        let stored = Stored::new(new);
        let key = RowKey::free(self.db, stored.local_time())?;
        let row = FileRow {
            key,
            arrival: self.arrival(),
            stored,
        };
        index::insert(self.db, self.changes, &row)?;
        self.record(None, &row.stored, HistoryKind::Added, Source::User)?;
        Ok(Verdict::FileAdded(Arc::new(row.stored)))
    }

    /// Stored metadata wins; a new name and new tags are taken. What lies in the trash is left alone unless it is
    /// to be restored.
    fn meet_again(
        &mut self,
        known: FileRow,
        name: &str,
        tags: &[String],
        restore: bool,
    ) -> rusqlite::Result<Verdict> {
        let mut after = known.stored.clone();
        if after.state == State::Trashed {
            if !restore {
                return Ok(Verdict::FileKnown(Arc::new(known.stored)));
            }
            after.state = State::Live;
        }
        after.add_name(name);
        after.add_tags(tags, Source::User);
        if let Err(error) = rules::check_tags(&after.tags) {
            return Ok(Verdict::refused(Refusal::InvalidMetadata, error));
        }
        let stored = self.replace(&known, after, HistoryKind::AddedAgain, Source::User)?;
        Ok(Verdict::FileKnown(stored))
    }

    /// Applies edits to the version the client saw.
    pub(super) fn edit_file(
        &mut self,
        file: &BlobId,
        expected: Option<u64>,
        changes: &[Change],
        source: Source,
    ) -> rusqlite::Result<Verdict> {
        let Some(known) = row::file(self.db, &self.command.library, file)? else {
            let detail = format!("library {} has no file {file}", self.command.library);
            return Ok(Verdict::refused(Refusal::FileNotFound, detail));
        };
        let current = known.stored.version;
        if expected.is_some_and(|expected| expected != current) {
            return Ok(Verdict::Stale { current });
        }
        if let Some(refused) = self.refused_changes(changes)? {
            return Ok(refused);
        }
        let mut after = known.stored.clone();
        for change in changes {
            after.change(&self.placed(change), source);
        }
        if let Err(error) = rules::check_record(&after) {
            return Ok(Verdict::refused(Refusal::InvalidMetadata, error));
        }
        let stored = self.replace(&known, after, HistoryKind::Edited, source)?;
        Ok(Verdict::FileEdited(stored))
    }

    /// Writes the next version, if it differs from the last in more than whose word something is.
    pub(super) fn replace(
        &mut self,
        before: &FileRow,
        mut after: Stored,
        kind: HistoryKind,
        source: Source,
    ) -> rusqlite::Result<Arc<Stored>> {
        if after == before.stored {
            return Ok(Arc::new(after));
        }
        let visible = !after.shows_the_same_as(&before.stored);
        after.version += u64::from(visible);
        index::update(self.db, self.changes, before, after.clone())?;
        if visible {
            self.record(Some(&before.stored), &after, kind, source)?;
        }
        Ok(Arc::new(after))
    }

    fn record(
        &self,
        before: Option<&Stored>,
        after: &Stored,
        kind: HistoryKind,
        source: Source,
    ) -> rusqlite::Result<()> {
        let entry = NewEntry {
            library: &after.library,
            file: &after.file,
            position: self.position,
            time: self.time,
            actor: self.command.actor,
            kind,
            version: after.version,
            changes: after.changes_since(before, source),
            operation: self.operation,
        };
        entry.insert(self.db)
    }

    /// A number that grows from command to command.
    pub(super) fn arrival(&self) -> i64 {
        let block_commands = limits::BLOCK_COMMANDS_MAX as u64;
        (self.position.height.0 * block_commands + u64::from(self.position.index)).cast_signed()
    }
}
