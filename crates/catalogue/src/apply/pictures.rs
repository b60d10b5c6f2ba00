//! What is learnt about a file's picture after it was added.

use model::file::Source;
use model::media::Look;
use model::{BlobId, MediaStep};

use super::Applier;
use crate::history::HistoryKind;
use crate::outcome::{Refusal, Verdict};
use crate::row::{self, FileRow};
use crate::rules;
use crate::told::Preview;

impl Applier<'_> {
    /// A file that tells of itself, or what is learnt of its picture.
    pub(super) fn media_step(&mut self, step: &MediaStep) -> rusqlite::Result<Verdict> {
        match step {
            MediaStep::Add { .. } => self.add_file(),
            MediaStep::Look { file, look } => self.look(file, look),
            MediaStep::Preview { file, blob, size } => self.preview(file, *blob, *size),
        }
    }

    /// A node found the decoder that was missing. The first to say so is believed.
    fn look(&mut self, file: &BlobId, look: &Look) -> rusqlite::Result<Verdict> {
        let Some(known) = self.known(file)? else {
            return Ok(self.no_such(file));
        };
        let mut after = known.stored.clone();
        after.look(look);
        let stored = self.replace(&known, after, HistoryKind::Pictured, Source::User)?;
        Ok(Verdict::FileEdited(stored))
    }

    /// A client supplied a picture. It takes the place of an earlier one.
    fn preview(&mut self, file: &BlobId, blob: BlobId, size: u64) -> rusqlite::Result<Verdict> {
        if let Err(error) = rules::check_size(size) {
            return Ok(Verdict::refused(Refusal::InvalidMetadata, error));
        }
        let Some(known) = self.known(file)? else {
            return Ok(self.no_such(file));
        };
        let mut after = known.stored.clone();
        let preview = &mut after.beside.picture.preview;
        if preview.is_none_or(|preview| preview.blob != blob) {
            *preview = Some(Preview {
                blob,
                size,
                arrival: self.arrival(),
            });
        }
        let stored = self.replace(&known, after, HistoryKind::Pictured, Source::User)?;
        Ok(Verdict::FileEdited(stored))
    }

    /// The file in the command's library.
    pub(super) fn known(&self, file: &BlobId) -> rusqlite::Result<Option<FileRow>> {
        row::file(self.db, &self.command.library, file)
    }

    /// The refusal of what names no file.
    pub(super) fn no_such(&self, file: &BlobId) -> Verdict {
        let detail = format!("library {} has no file {file}", self.command.library);
        Verdict::refused(Refusal::FileNotFound, detail)
    }
}
