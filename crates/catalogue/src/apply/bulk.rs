//! Operations over many files: begun, done to one file after the other, over.

use model::codec::Encode as _;
use model::file::{Change, Source};
use model::{BlobId, BulkStep, Deed, OperationId};
use rusqlite::params;

use super::Applier;
use crate::bulk::{self, Operation, Taken};
use crate::history::{self, HistoryKind};
use crate::outcome::{Refusal, Verdict};
use crate::purge::place;
use crate::row::{self, FileRow};
use crate::rules;
use crate::stored::Stored;

/// Changes of one operation.
const CHANGES_MAX: usize = 1000;

impl Applier<'_> {
    /// Takes one step of an operation.
    pub(super) fn bulk_step(&mut self, step: &BulkStep) -> rusqlite::Result<Verdict> {
        match step {
            BulkStep::Begin {
                operation, deed, ..
            } => self.begin(*operation, deed, step),
            BulkStep::Take { operation, file } => self.take(*operation, file),
            BulkStep::End { operation } => {
                let end = "UPDATE operations SET ended = ?2 WHERE operation = ?1 AND ended IS NULL";
                self.db
                    .prepare_cached(end)?
                    .execute(params![operation.as_bytes(), self.time.0.cast_signed()])?;
                Ok(Verdict::OperationEnded)
            }
        }
    }

    fn begin(
        &mut self,
        operation: OperationId,
        deed: &Deed,
        step: &BulkStep,
    ) -> rusqlite::Result<Verdict> {
        if let Some(refused) = self.may_begin(deed)? {
            return Ok(refused);
        }
        let (height, index) = place(self.position);
        self.db
            .prepare_cached(
                "INSERT OR IGNORE INTO operations(library, operation, height, idx, time, actor, step)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?
            .execute(params![
                self.command.library.as_str(),
                operation.as_bytes(),
                height,
                index,
                self.time.0.cast_signed(),
                self.command.actor.as_bytes(),
                step.to_bytes(),
            ])?;
        Ok(Verdict::OperationBegun(operation))
    }

    fn may_begin(&self, deed: &Deed) -> rusqlite::Result<Option<Verdict>> {
        let changes = match deed {
            Deed::Edit(changes) => changes,
            Deed::Undo(of) => {
                let known = bulk::operation(self.db, *of)?;
                let known = known.filter(|known| known.library == self.command.library);
                let unknown = || Verdict::refused(Refusal::OperationNotFound, "no such operation");
                return Ok(known.is_none().then(unknown));
            }
        };
        if changes.len() > CHANGES_MAX {
            let detail = format!("an operation makes at most {CHANGES_MAX} changes to a file");
            return Ok(Some(Verdict::refused(Refusal::InvalidMetadata, detail)));
        }
        self.refused_changes(changes)
    }

    /// The refusal of changes that break a rule.
    pub(super) fn refused_changes(&self, changes: &[Change]) -> rusqlite::Result<Option<Verdict>> {
        if let Err(error) = changes.iter().try_for_each(rules::check_change) {
            return Ok(Some(Verdict::refused(Refusal::InvalidMetadata, error)));
        }
        match self.check_fields(changes)? {
            Err(error) => Ok(Some(Verdict::refused(Refusal::InvalidMetadata, error))),
            Ok(()) => self.refused_albums(changes),
        }
    }

    /// Does to a file what its operation does; once.
    fn take(&mut self, operation: OperationId, file: &BlobId) -> rusqlite::Result<Verdict> {
        let known = bulk::operation(self.db, operation)?;
        let known = known.filter(|known| known.library == self.command.library);
        let Some(known) = known else {
            return Ok(Verdict::refused(
                Refusal::OperationNotFound,
                "no such operation",
            ));
        };
        let library = &self.command.library;
        // Of what is gone nothing is noted: it is as if it had never been chosen.
        let Some(before) = row::file(self.db, library, file)? else {
            return Ok(Verdict::Taken);
        };
        if bulk::is_taken(self.db, operation, file)? {
            return Ok(Verdict::Taken);
        }
        let (taken, detail) = if self.may_edit(known.actor)? {
            self.do_to(&known, before)?
        } else {
            let detail = "whoever wished it may not change this library any more";
            (Taken::Refused, detail.to_owned())
        };
        self.note_taken(operation, file, taken, &detail)?;
        Ok(Verdict::Taken)
    }

    fn do_to(
        &mut self,
        operation: &Operation,
        before: FileRow,
    ) -> rusqlite::Result<(Taken, String)> {
        let mut after = before.stored.clone();
        let mut kept = Vec::new();
        match &operation.deed {
            Deed::Edit(changes) => {
                // A field may have been retired since.
                if let Some(Verdict::Refused { detail, .. }) = self.refused_changes(changes)? {
                    return Ok((Taken::Refused, detail));
                }
                for change in changes {
                    after.change(&self.placed(change), Source::User);
                }
            }
            Deed::Undo(of) => kept = self.take_back(*of, &mut after)?,
        }
        if let Err(error) = rules::check_record(&after) {
            return Ok((Taken::Refused, error.to_string()));
        }
        let changed = after != before.stored;
        self.operation = Some(operation.id);
        self.replace(&before, after, HistoryKind::Edited, Source::User)?;
        let taken = match (kept.is_empty(), changed) {
            (false, _) => Taken::Skipped,
            (true, true) => Taken::Changed,
            (true, false) => Taken::Unchanged,
        };
        Ok((taken, kept.join(" ")))
    }

    /// Gives back what an operation changed; the names of what was edited since, which stays.
    fn take_back(
        &self,
        of: OperationId,
        after: &mut Stored,
    ) -> rusqlite::Result<Vec<&'static str>> {
        let Some(position) = bulk::taken_at(self.db, of, &after.file)? else {
            return Ok(Vec::new());
        };
        let done = history::changes_at(self.db, &after.library, &after.file, position)?;
        let mut kept = Vec::new();
        for (before, became) in &done {
            if !after.take_back(before, became) {
                kept.push(history::described(became).0);
            }
        }
        Ok(kept)
    }

    fn note_taken(
        &self,
        operation: OperationId,
        file: &BlobId,
        taken: Taken,
        detail: &str,
    ) -> rusqlite::Result<()> {
        let (height, index) = place(self.position);
        self.db
            .prepare_cached(
                "INSERT INTO taken(library, operation, file, height, idx, result, detail)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?
            .execute(params![
                self.command.library.as_str(),
                operation.as_bytes(),
                file.as_bytes(),
                height,
                index,
                taken as u8,
                detail,
            ])?;
        Ok(())
    }
}
