//! Who may do what: the founding, tokens, and blobs that no file names yet.

use model::{BlobId, Digest, Height, LibraryId, Scope, TokenId, limits};
use rusqlite::params;

use super::Applier;
use crate::outcome::{Refusal, Verdict};
use crate::{access, row, rules};

/// What the founder's token is called.
const ADMIN_NAME: &str = "admin";

impl Applier<'_> {
    /// Creates the first library and its administrator.
    pub(super) fn found(
        &self,
        library: &LibraryId,
        admin: TokenId,
        secret: &Digest,
    ) -> rusqlite::Result<Verdict> {
        if self.position.height != Height::GENESIS || self.position.index != 0 {
            let detail = "a chain begins once";
            return Ok(Verdict::refused(Refusal::MisplacedGenesis, detail));
        }
        self.db
            .prepare_cached("INSERT INTO libraries(library, created) VALUES (?1, ?2)")?
            .execute(params![library.as_str(), self.time.0.cast_signed()])?;
        self.insert_token(library, admin, secret, ADMIN_NAME, Scope::Admin)?;
        Ok(Verdict::Founded)
    }

    /// Remembers that bytes are there, for a file that will name them.
    pub(super) fn put_blob(&self, blob: BlobId, size: u64) -> rusqlite::Result<Verdict> {
        if let Err(error) = rules::check_size(size) {
            return Ok(Verdict::refused(Refusal::InvalidMetadata, error));
        }
        let actor = self.command.actor;
        let known = access::may_read_blob(self.db, actor, &blob)?;
        self.db
            .prepare_cached(
                "INSERT OR REPLACE INTO puts(library, blob, token, size, expires)
                 VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute(params![
                self.command.library.as_str(),
                blob.as_bytes(),
                actor.as_bytes(),
                size.cast_signed(),
                self.time.plus(limits::KEYED_WINDOW).0.cast_signed(),
            ])?;
        if known {
            Ok(Verdict::BlobKnown { blob, size })
        } else {
            Ok(Verdict::BlobPut { blob, size })
        }
    }

    /// Lets a token sign in from the next height on.
    pub(super) fn create_token(
        &self,
        token: TokenId,
        secret: &Digest,
        name: &str,
        scope: Scope,
    ) -> rusqlite::Result<Verdict> {
        if let Err(error) = rules::check_name(name) {
            return Ok(Verdict::refused(Refusal::InvalidMetadata, error));
        }
        if access::token(self.db, token)?.is_some() {
            let detail = format!("token {token} exists");
            return Ok(Verdict::refused(Refusal::TokenExists, detail));
        }
        self.insert_token(&self.command.library, token, secret, name, scope)?;
        Ok(Verdict::TokenCreated(token))
    }

    /// Locks a token out. The last administrator stays: nobody could let anybody in again.
    pub(super) fn revoke_token(&self, token: TokenId) -> rusqlite::Result<Verdict> {
        let Some(known) = access::token(self.db, token)? else {
            let detail = format!("there is no token {token}");
            return Ok(Verdict::refused(Refusal::TokenNotFound, detail));
        };
        if known.revoked {
            return Ok(Verdict::TokenRevoked(token));
        }
        let other_admin = row::exists(
            self.db,
            "SELECT 1 FROM tokens WHERE scope = ?1 AND revoked IS NULL AND token <> ?2",
            params![Scope::Admin as u8, token.as_bytes()],
        )?;
        if known.scope == Scope::Admin && !other_admin {
            let detail = "this is the last token that may administer the cluster";
            return Ok(Verdict::refused(Refusal::LastAdmin, detail));
        }
        self.db
            .prepare_cached("UPDATE tokens SET revoked = ?2 WHERE token = ?1")?
            .execute(params![token.as_bytes(), self.time.0.cast_signed()])?;
        Ok(Verdict::TokenRevoked(token))
    }

    fn insert_token(
        &self,
        library: &LibraryId,
        token: TokenId,
        secret: &Digest,
        name: &str,
        scope: Scope,
    ) -> rusqlite::Result<()> {
        self.db
            .prepare_cached(
                "INSERT INTO tokens(library, token, name, scope, secret, created, creator)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?
            .execute(params![
                library.as_str(),
                token.as_bytes(),
                name,
                scope as u8,
                secret.as_bytes(),
                self.time.0.cast_signed(),
                self.command.actor.as_bytes(),
            ])?;
        Ok(())
    }
}
