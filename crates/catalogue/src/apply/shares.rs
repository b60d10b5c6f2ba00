//! Shares: made and revoked. What is shared need not exist: whoever opens the link finds what there is then.

use model::codec::Encode as _;
use model::{Share, ShareId, ShareStep, Shared};
use rusqlite::params;

use super::Applier;
use crate::outcome::{Refusal, Verdict};
use crate::query::QUERY_BYTES_MAX;
use crate::rights;
use crate::rules;

/// A hashed password with its salt and its costs.
const PASSWORD_BYTES_MAX: usize = 512;

impl Applier<'_> {
    /// Takes one step about a share of the command's library.
    pub(super) fn share_step(&self, step: &ShareStep) -> rusqlite::Result<Verdict> {
        match step {
            ShareStep::Create { share, definition } => self.create_share(*share, definition),
            ShareStep::Revoke { share } => self.revoke_share(*share),
        }
    }

    fn create_share(&self, id: ShareId, share: &Share) -> rusqlite::Result<Verdict> {
        let query = match &share.of {
            Shared::Query(text) => text.len(),
            Shared::File(_) | Shared::Album(_) => 0,
        };
        let password = share.password.as_ref().map_or(0, String::len);
        if query > QUERY_BYTES_MAX || password > PASSWORD_BYTES_MAX {
            let detail = "too much is said of this share";
            return Ok(Verdict::refused(Refusal::InvalidMetadata, detail));
        }
        if let Err(error) = rules::check_name(&share.title) {
            return Ok(Verdict::refused(Refusal::InvalidMetadata, error));
        }
        let (library, actor) = (&self.command.library, self.command.actor);
        let Some(rights) = rights::within(self.db, actor, library)? else {
            let detail = "the token is not accepted any more";
            return Ok(Verdict::refused(Refusal::NotAllowed, detail));
        };
        let file = match &share.of {
            Shared::File(file) => Some(file.as_bytes()),
            Shared::Album(_) | Shared::Query(_) => None,
        };
        self.db
            .prepare_cached(
                "INSERT OR IGNORE INTO shares(library, share, secret, file, definition, sharer,
                                              actor, created)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            )?
            .execute(params![
                library.as_str(),
                id.as_bytes(),
                share.secret.as_bytes(),
                file,
                share.to_bytes(),
                rights.holder().principal().to_string(),
                actor.as_bytes(),
                self.time.0.cast_signed(),
            ])?;
        Ok(Verdict::ShareMade(id))
    }

    /// One that is not there is revoked as well: it may be forgotten with its file.
    fn revoke_share(&self, id: ShareId) -> rusqlite::Result<Verdict> {
        self.db
            .prepare_cached(
                "UPDATE shares SET revoked = ?3
                 WHERE library = ?1 AND share = ?2 AND revoked IS NULL",
            )?
            .execute(params![
                self.command.library.as_str(),
                id.as_bytes(),
                self.time.0.cast_signed()
            ])?;
        Ok(Verdict::ShareRevoked)
    }
}
