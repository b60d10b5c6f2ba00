//! Who may do what: the founding, tokens, and blobs that no file names yet.

use model::{
    BlobId, Digest, Height, LibraryDefinition, LibraryId, Payload, Scope, Timestamp, TokenId,
    UserId, limits,
};
use rusqlite::params;

use super::Applier;
use crate::outcome::{Refusal, Verdict};
use crate::{access, rights, rules};

/// What the founder's token is called.
const ADMIN_NAME: &str = "admin";
/// What the first library is called.
const HOME_TITLE: &str = "Home";

/// A token about to be accepted.
pub(super) struct NewToken<'a> {
    pub(super) token: TokenId,
    pub(super) secret: &'a Digest,
    pub(super) name: &'a str,
    pub(super) scope: Scope,
    pub(super) owner: Option<&'a UserId>,
    pub(super) expires: Option<Timestamp>,
    pub(super) session: Option<u32>,
}

impl<'a> NewToken<'a> {
    /// One that is nobody's and lasts.
    pub(super) fn lasting(token: TokenId, secret: &'a Digest, name: &'a str, scope: Scope) -> Self {
        Self {
            token,
            secret,
            name,
            scope,
            owner: None,
            expires: None,
            session: None,
        }
    }
}

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
        let definition = LibraryDefinition {
            title: HOME_TITLE.to_owned(),
            shared: true,
        };
        self.insert_library(library, &definition)?;
        let founder = NewToken::lasting(admin, secret, ADMIN_NAME, Scope::Admin);
        self.insert_token(library, &founder)?;
        Ok(Verdict::Founded)
    }

    /// Remembers that bytes are there, for a file that will name them.
    pub(super) fn put_blob(&self, blob: BlobId, size: u64) -> rusqlite::Result<Verdict> {
        if let Err(error) = rules::check_size(size) {
            return Ok(Verdict::refused(Refusal::InvalidMetadata, error));
        }
        let actor = self.command.actor;
        let known = rights::may_read_blob(self.db, actor, &blob)?;
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

    /// Takes a command about who is let in.
    pub(super) fn change_access(&self) -> rusqlite::Result<Verdict> {
        match &self.command.payload {
            Payload::CreateToken {
                token,
                secret,
                name,
                scope,
            } => self.add_token(&NewToken::lasting(*token, secret, name, *scope)),
            Payload::RevokeToken { token } => self.revoke_token(*token),
            Payload::User(step) => self.user_step(step),
            Payload::Password(step) => self.set_password(step),
            Payload::Token(step) => self.token_step(step),
            _ => Ok(Verdict::Recorded),
        }
    }

    /// Lets a token sign in from the next height on.
    pub(super) fn add_token(&self, new: &NewToken<'_>) -> rusqlite::Result<Verdict> {
        if let Err(error) = rules::check_name(new.name) {
            return Ok(Verdict::refused(Refusal::InvalidMetadata, error));
        }
        if new.token == TokenId::NODE || !self.may_hand_out(new)? {
            let detail = "nobody lets others into a library with more than they have there";
            return Ok(Verdict::refused(Refusal::NotAllowed, detail));
        }
        if access::token(self.db, new.token)?.is_some() {
            let detail = format!("token {} exists", new.token);
            return Ok(Verdict::refused(Refusal::TokenExists, detail));
        }
        self.insert_token(&self.command.library, new)?;
        Ok(Verdict::TokenCreated(new.token))
    }

    /// Locks a token out. The last administrator stays: nobody could let anybody in again.
    fn revoke_token(&self, token: TokenId) -> rusqlite::Result<Verdict> {
        let Some(known) = access::token(self.db, token)? else {
            let detail = format!("there is no token {token}");
            return Ok(Verdict::refused(Refusal::TokenNotFound, detail));
        };
        if !self.may_revoke(&known)? {
            let detail = format!("there is no token {token}");
            return Ok(Verdict::refused(Refusal::TokenNotFound, detail));
        }
        if known.revoked {
            return Ok(Verdict::TokenRevoked(token));
        }
        let lasts = known.scope == Scope::Admin && known.expires.is_none();
        if lasts && !self.others_last(Some(token), None)? {
            let detail = "this is the last token that may administer the cluster";
            return Ok(Verdict::refused(Refusal::LastAdmin, detail));
        }
        self.db
            .prepare_cached("UPDATE tokens SET revoked = ?2 WHERE token = ?1")?
            .execute(params![token.as_bytes(), self.time.0.cast_signed()])?;
        Ok(Verdict::TokenRevoked(token))
    }

    fn insert_token(&self, library: &LibraryId, new: &NewToken<'_>) -> rusqlite::Result<()> {
        self.db
            .prepare_cached(
                "INSERT INTO tokens(library, token, name, scope, secret, created, creator, owner,
                                    expires, session)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
            )?
            .execute(params![
                library.as_str(),
                new.token.as_bytes(),
                new.name,
                new.scope as u8,
                new.secret.as_bytes(),
                self.time.0.cast_signed(),
                self.command.actor.as_bytes(),
                new.owner.map(UserId::as_str),
                new.expires.map(|time| time.0.cast_signed()),
                new.session,
            ])?;
        Ok(())
    }
}
