//! Uploads that may be interrupted: begun, grown, over.

use model::{BlobId, UploadId, UploadStep, limits};
use rusqlite::params;

use super::Applier;
use crate::outcome::{Refusal, Verdict};
use crate::uploads::Upload;
use crate::{row, rules, uploads};

impl Applier<'_> {
    /// Takes one step of an upload.
    pub(super) fn step(&self, step: &UploadStep) -> rusqlite::Result<Verdict> {
        if !step.is_bounded() {
            let detail = "too much is said of this upload";
            return Ok(Verdict::refused(Refusal::InvalidMetadata, detail));
        }
        if let UploadStep::Begin {
            upload,
            size,
            described,
        } = step
        {
            return self.begin_upload(*upload, *size, described);
        }
        let id = step.upload();
        let known = uploads::upload(self.db, id, self.command.actor)?;
        let Some(known) = known.filter(|known| known.library == self.command.library) else {
            let detail = format!("this token has no upload {id}");
            return Ok(Verdict::refused(Refusal::UploadNotFound, detail));
        };
        match step {
            UploadStep::Part {
                offset, size, blob, ..
            } => self.put_part(id, &known, (*offset, *size), *blob),
            UploadStep::Begin { .. } | UploadStep::End { file: None, .. } => self.forget_upload(id),
            UploadStep::End {
                file: Some(file), ..
            } => self.finish_upload(id, *file),
        }
    }

    fn begin_upload(
        &self,
        upload: UploadId,
        size: u64,
        described: &str,
    ) -> rusqlite::Result<Verdict> {
        if let Err(error) = rules::check_size(size) {
            return Ok(Verdict::refused(Refusal::InvalidMetadata, error));
        }
        let actor = self.command.actor;
        let open: u64 = self
            .db
            .prepare_cached("SELECT count(*) FROM uploads WHERE token = ?1 AND file IS NULL")?
            .query_row([actor.as_bytes()], |row| row::number(row, 0))?;
        if open >= limits::UPLOADS_MAX as u64 {
            let detail = format!("this token has {open} uploads that are not over");
            return Ok(Verdict::refused(Refusal::TooManyUploads, detail));
        }
        self.db
            .prepare_cached(
                "INSERT OR IGNORE INTO uploads(library, upload, token, size, described, arrived, expires, stand_in)
                 VALUES (?1, ?2, ?3, ?4, ?5, 0, ?6, ?7)",
            )?
            .execute(params![
                self.command.library.as_str(),
                upload.as_bytes(),
                actor.as_bytes(),
                size.cast_signed(),
                described,
                self.given_up_at(),
                upload.stand_in().as_bytes(),
            ])?;
        Ok(Verdict::UploadBegun(upload))
    }

    /// Takes the next bytes; anything else is told where the upload stands.
    fn put_part(
        &self,
        upload: UploadId,
        known: &Upload,
        (offset, size): (u64, u64),
        blob: BlobId,
    ) -> rusqlite::Result<Verdict> {
        let arrived = known.arrived;
        let after = offset
            .checked_add(size)
            .filter(|after| *after <= known.size);
        let next = known.file.is_none() && offset == arrived && size > 0;
        let Some(after) = after.filter(|_| next) else {
            return Ok(Verdict::UploadStands {
                arrived,
                grown: false,
            });
        };
        self.db
            .prepare_cached(
                "INSERT INTO parts(library, upload, start, size, blob) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute(params![
                self.command.library.as_str(),
                upload.as_bytes(),
                offset.cast_signed(),
                size.cast_signed(),
                blob.as_bytes(),
            ])?;
        self.db
            .prepare_cached("UPDATE uploads SET arrived = ?2, expires = ?3 WHERE upload = ?1")?
            .execute(params![
                upload.as_bytes(),
                after.cast_signed(),
                self.given_up_at()
            ])?;
        Ok(Verdict::UploadStands {
            arrived: after,
            grown: true,
        })
    }

    /// What became of the upload can be asked for as long as its parts may still lie somewhere, and what names the upload
    /// names the file from now on: whoever has the file purged has all of it forgotten.
    fn finish_upload(&self, upload: UploadId, file: BlobId) -> rusqlite::Result<Verdict> {
        self.db
            .prepare_cached("UPDATE mentions SET file = ?3 WHERE file = ?2 AND library = ?1")?
            .execute(params![
                self.command.library.as_str(),
                upload.stand_in().as_bytes(),
                file.as_bytes()
            ])?;
        let expires = self.time.plus(limits::UPLOAD_MEMORY).0.cast_signed();
        self.db
            .prepare_cached(
                "UPDATE uploads SET arrived = size, file = ?2, expires = ?3 WHERE upload = ?1",
            )?
            .execute(params![upload.as_bytes(), file.as_bytes(), expires])?;
        Ok(Verdict::UploadEnded)
    }

    /// Takes out the uploads that a file has come of, and the one that it stands for: a catalogue that is rebuilt where
    /// their steps are erased never had them.
    pub(super) fn forget_uploads_of(&self, file: &BlobId) -> rusqlite::Result<()> {
        for sql in [
            "DELETE FROM parts WHERE upload IN
               (SELECT upload FROM uploads WHERE library = ?1 AND (file = ?2 OR stand_in = ?2))",
            "DELETE FROM uploads WHERE library = ?1 AND (file = ?2 OR stand_in = ?2)",
        ] {
            self.db
                .prepare_cached(sql)?
                .execute((self.command.library.as_str(), file.as_bytes()))?;
        }
        Ok(())
    }

    fn forget_upload(&self, upload: UploadId) -> rusqlite::Result<Verdict> {
        self.forget_parts(upload)?;
        self.db
            .prepare_cached("DELETE FROM uploads WHERE upload = ?1")?
            .execute([upload.as_bytes()])?;
        Ok(Verdict::UploadEnded)
    }

    fn forget_parts(&self, upload: UploadId) -> rusqlite::Result<()> {
        self.db
            .prepare_cached("DELETE FROM parts WHERE upload = ?1")?
            .execute([upload.as_bytes()])
            .map(drop)
    }

    fn given_up_at(&self) -> i64 {
        self.time.plus(limits::UPLOAD_LIFE).0.cast_signed()
    }
}
