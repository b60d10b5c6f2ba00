//! Users, their passwords, and the tokens and sessions that are theirs.
//!
//! Nothing but a password's own row follows from a password: its command is erased when another replaces it, and who
//! replays the chain then must come to the same.

use model::access::{PasswordStep, Role, TokenStep, TokenUse, UserStep};
use model::{Scope, Timestamp, TokenId, UserId, limits};
use rusqlite::params;

use super::Applier;
use super::access::NewToken;
use crate::outcome::{Refusal, Verdict};
use crate::people::{self, User, UserState};
use crate::{row, rules};

impl Applier<'_> {
    /// Takes a step about users.
    pub(super) fn user_step(&self, step: &UserStep) -> rusqlite::Result<Verdict> {
        if let UserStep::Create { user, name, role } = step {
            return self.create_user(user, name, *role);
        }
        let Some(known) = self.present(step.user())? else {
            return Ok(no_user(step.user()));
        };
        if takes_power(&known, step) && !self.others_administer(&known.id)? {
            let detail = "without this user nobody could administer the cluster";
            return Ok(Verdict::refused(Refusal::LastAdmin, detail));
        }
        match step {
            UserStep::Create { .. } => {}
            UserStep::Change {
                user,
                name,
                role,
                disabled,
            } => {
                if let Some(Err(error)) = name.as_deref().map(rules::check_name) {
                    return Ok(Verdict::refused(Refusal::InvalidMetadata, error));
                }
                if let Some(name) = name {
                    self.set("UPDATE users SET name = ?2 WHERE user = ?1", user, name)?;
                }
                if let Some(role) = role {
                    let sql = "UPDATE users SET role = ?2 WHERE user = ?1";
                    self.set(sql, user, *role as u8)?;
                }
                self.let_in(user, *disabled)?;
            }
            UserStep::Remove { user } => self.remove_user(user)?,
            UserStep::SignOut { user, except } => self.end_sessions(user, *except)?,
        }
        Ok(Verdict::UserChanged(known.id))
    }

    /// Lets a user in, or does not for now.
    fn let_in(&self, user: &UserId, disabled: Option<bool>) -> rusqlite::Result<()> {
        match disabled {
            None => Ok(()),
            Some(false) => self.set_state(user, UserState::Active),
            Some(true) => {
                self.set_state(user, UserState::Disabled)?;
                self.end_sessions(user, None)
            }
        }
    }

    fn create_user(&self, user: &UserId, name: &str, role: Role) -> rusqlite::Result<Verdict> {
        if let Err(error) = rules::check_name(name) {
            return Ok(Verdict::refused(Refusal::InvalidMetadata, error));
        }
        if people::user(self.db, user)?.is_some() {
            let detail = format!("there is, or was, a user {user}, and names are not given twice");
            return Ok(Verdict::refused(Refusal::UserExists, detail));
        }
        self.db
            .prepare_cached(
                "INSERT INTO users(user, name, role, state, created, creator)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute(params![
                user.as_str(),
                name,
                role as u8,
                UserState::Active as u8,
                self.time.0.cast_signed(),
                self.command.actor.as_bytes(),
            ])?;
        Ok(Verdict::UserChanged(user.clone()))
    }

    /// Their tokens and sessions end, and their password goes.
    fn remove_user(&self, user: &UserId) -> rusqlite::Result<()> {
        self.set_state(user, UserState::Removed)?;
        let sql = "UPDATE tokens SET revoked = ?2 WHERE owner = ?1 AND revoked IS NULL";
        self.set(sql, user, self.time.0.cast_signed())?;
        self.give_up_password(user)
    }

    /// Takes a user's password, of which the hash alone comes here.
    pub(super) fn set_password(&self, step: &PasswordStep) -> rusqlite::Result<Verdict> {
        let PasswordStep { user, hash, .. } = step;
        let library = self.command.library.as_str();
        let stand_in = step.names();
        let refused = if hash.is_empty() || hash.len() > limits::PASSWORD_HASH_BYTES_MAX {
            let detail = "a password's hash has a length within its limit";
            Some(Verdict::refused(Refusal::InvalidMetadata, detail))
        } else if self.present(user)?.is_none() {
            Some(no_user(user))
        } else {
            None
        };
        if let Some(refused) = refused {
            self.note_replaced(library, stand_in.as_bytes())?;
            return Ok(refused);
        }
        self.give_up_password(user)?;
        // The same request made again after its key was forgotten.
        self.db
            .prepare_cached("DELETE FROM replaced WHERE secret = ?1")?
            .execute([stand_in.as_bytes()])?;
        self.db
            .prepare_cached(
                "INSERT INTO passwords(user, library, secret, hash) VALUES (?1, ?2, ?3, ?4)",
            )?
            .execute(params![user.as_str(), library, stand_in.as_bytes(), hash])?;
        Ok(Verdict::UserChanged(user.clone()))
    }

    /// Nobody signs in with the password that a user has; what stands for it is to be purged.
    fn give_up_password(&self, user: &UserId) -> rusqlite::Result<()> {
        for sql in [
            "INSERT OR IGNORE INTO replaced(secret, library)
               SELECT secret, library FROM passwords WHERE user = ?1",
            "DELETE FROM passwords WHERE user = ?1",
        ] {
            self.db.prepare_cached(sql)?.execute([user.as_str()])?;
        }
        Ok(())
    }

    fn note_replaced(&self, library: &str, secret: &[u8]) -> rusqlite::Result<()> {
        self.db
            .prepare_cached("INSERT OR IGNORE INTO replaced(secret, library) VALUES (?1, ?2)")?
            .execute(params![secret, library])
            .map(drop)
    }

    /// Takes a step about tokens.
    pub(super) fn token_step(&self, step: &TokenStep) -> rusqlite::Result<Verdict> {
        match step {
            TokenStep::Used(uses) => self.note_uses(uses),
            TokenStep::Create {
                token,
                secret,
                name,
                scope,
                owner,
                expires,
                session,
            } => {
                if let Some(owner) = owner {
                    let known = self.present(owner)?;
                    if known.is_none_or(|known| known.state != UserState::Active) {
                        return Ok(no_user(owner));
                    }
                }
                self.add_token(&NewToken {
                    token: *token,
                    secret,
                    name,
                    scope: *scope,
                    owner: owner.as_ref(),
                    expires: *expires,
                    session: *session,
                })
            }
        }
    }

    /// The clock of the node that saw it may be wrong, but nothing was used later than the block says it is.
    fn note_uses(&self, uses: &[TokenUse]) -> rusqlite::Result<Verdict> {
        if uses.len() > limits::TOKEN_USES_MAX {
            let detail = "one command tells the use of fewer tokens";
            return Ok(Verdict::refused(Refusal::InvalidMetadata, detail));
        }
        let mut update = self.db.prepare_cached(
            "UPDATE tokens SET used = ?2 WHERE token = ?1 AND (used IS NULL OR used < ?2)",
        )?;
        for TokenUse { token, at } in uses {
            let at: Timestamp = (*at).min(self.time);
            update.execute(params![token.as_bytes(), at.0.cast_signed()])?;
        }
        Ok(Verdict::Recorded)
    }

    fn end_sessions(&self, user: &UserId, except: Option<TokenId>) -> rusqlite::Result<()> {
        self.db
            .prepare_cached(
                "UPDATE tokens SET revoked = ?2
                 WHERE owner = ?1 AND session IS NOT NULL AND revoked IS NULL AND token IS NOT ?3",
            )?
            .execute(params![
                user.as_str(),
                self.time.0.cast_signed(),
                except.map(|token| token.0),
            ])
            .map(drop)
    }

    /// Whether somebody administers the cluster if this one does not: another user, and a token that lasts.
    fn others_administer(&self, user: &UserId) -> rusqlite::Result<bool> {
        let other_user = row::exists(
            self.db,
            "SELECT 1 FROM users WHERE role = ?1 AND state = ?2 AND user <> ?3",
            params![Role::Admin as u8, UserState::Active as u8, user.as_str()],
        )?;
        Ok(other_user && self.others_last(None, Some(user))?)
    }

    /// Whether a token that may administer the cluster lasts, besides this one and those of this user: one that is no
    /// session, does not expire, and is nobody's or an administrator's.
    pub(super) fn others_last(
        &self,
        token: Option<TokenId>,
        user: Option<&UserId>,
    ) -> rusqlite::Result<bool> {
        row::exists(
            self.db,
            "SELECT 1 FROM tokens LEFT JOIN users ON user = owner
             WHERE scope = ?1 AND revoked IS NULL AND session IS NULL AND expires IS NULL
               AND (owner IS NULL OR (role = ?2 AND state = ?3))
               AND token IS NOT ?4 AND owner IS NOT ?5",
            params![
                Scope::Admin as u8,
                Role::Admin as u8,
                UserState::Active as u8,
                token.map(|token| token.0),
                user.map_or("", UserId::as_str),
            ],
        )
    }

    /// A user who is not gone.
    fn present(&self, user: &UserId) -> rusqlite::Result<Option<User>> {
        let known = people::user(self.db, user)?;
        Ok(known.filter(|known| known.state != UserState::Removed))
    }

    fn set_state(&self, user: &UserId, state: UserState) -> rusqlite::Result<()> {
        let sql = "UPDATE users SET state = ?2 WHERE user = ?1";
        self.set(sql, user, state as u8)
    }

    fn set(&self, sql: &str, user: &UserId, to: impl rusqlite::ToSql) -> rusqlite::Result<()> {
        self.db
            .prepare_cached(sql)?
            .execute(params![user.as_str(), to])
            .map(drop)
    }
}

/// Whether a step makes an administrator who is let in something less.
fn takes_power(known: &User, step: &UserStep) -> bool {
    let administers = known.role == Role::Admin && known.state == UserState::Active;
    administers
        && match step {
            UserStep::Change { role, disabled, .. } => {
                *disabled == Some(true) || role.is_some_and(|role| role != Role::Admin)
            }
            UserStep::Remove { .. } => true,
            UserStep::Create { .. } | UserStep::SignOut { .. } => false,
        }
}

fn no_user(user: &UserId) -> Verdict {
    Verdict::refused(Refusal::UserNotFound, format!("there is no user {user}"))
}
