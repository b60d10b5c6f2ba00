//! What another library says of a file, taken over.

use model::carried::{Carried, CarriedField};
use model::file::{Change, Source};
use model::{AlbumId, BlobId};

use super::Applier;
use crate::fields::{self, FieldError};
use crate::history::HistoryKind;
use crate::outcome::{Refusal, Verdict};
use crate::rules;

impl Applier<'_> {
    /// Takes over what is said, where no person has spoken here. The same thing again changes nothing.
    pub(super) fn carry(&mut self, file: &BlobId, carried: &Carried) -> rusqlite::Result<Verdict> {
        let Some(known) = self.known(file)? else {
            return Ok(self.no_such(file));
        };
        if let Err(error) = rules::check_carried(carried) {
            return Ok(Verdict::refused(Refusal::InvalidMetadata, error));
        }
        let albums: Vec<AlbumId> = carried.albums.iter().map(|(album, _)| *album).collect();
        if let Some(refused) = self.refused_albums(&[Change::Albums(albums)])? {
            return Ok(refused);
        }
        if let Err(error) = self.check_carried_fields(&carried.own)? {
            let code = match error {
                FieldError::Unknown(_) => Refusal::FieldNotFound,
                _ => Refusal::InvalidMetadata,
            };
            return Ok(Verdict::refused(code, error));
        }
        let mut after = known.stored.clone();
        after.carry(carried);
        if let Err(error) = rules::check_record(&after) {
            return Ok(Verdict::refused(Refusal::InvalidMetadata, error));
        }
        let stored = self.replace(&known, after, HistoryKind::Imported, Source::User)?;
        Ok(Verdict::FileEdited(stored))
    }

    /// What a field is limited to since, and whether it is retired, is not asked: the values were there before.
    fn check_carried_fields(
        &self,
        own: &[CarriedField],
    ) -> rusqlite::Result<Result<(), FieldError>> {
        for CarriedField { field, values, .. } in own {
            let checked = match fields::numbered(self.db, &self.command.library, *field)? {
                Some(known) => fields::check_carried(&known.definition, values),
                None => Err(FieldError::Unknown(field.to_string())),
            };
            if checked.is_err() {
                return Ok(checked);
            }
        }
        Ok(Ok(()))
    }
}
