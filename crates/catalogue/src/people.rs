//! Who there is, and whose a token is.
//!
//! Nothing here is ever deleted but passwords: who did what is asked of the tokens, and whose they were, long after.

use model::access::Role;
use model::command::Scope;
use model::{BlobId, LibraryId, Timestamp, TokenId, UserId};
use rusqlite::{Connection, OptionalExtension, Row};
use serde::Serialize;

use crate::file::{Word, text, words};
use crate::reader::{ReadError, Reader};
use crate::row;
use crate::time;

impl Word for Role {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("viewer", Self::Viewer),
        ("editor", Self::Editor),
        ("admin", Self::Admin),
    ];
}

/// Somebody who signs in, or owns tokens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct User {
    /// The name they sign in with.
    #[serde(with = "text")]
    pub id: UserId,
    /// What people call them.
    pub name: String,
    /// What they may do at most.
    #[serde(with = "words")]
    pub role: Role,
    /// Whether they are let in.
    pub state: UserState,
    /// When they were created, RFC 3339 in UTC.
    pub created_at: String,
    /// The token that created them.
    #[serde(with = "text")]
    pub created_by: TokenId,
}

impl User {
    /// What a token of theirs may do at most; nothing while they are not let in.
    pub fn scope(&self) -> Option<Scope> {
        (self.state == UserState::Active).then(|| self.role.scope())
    }
}

/// Whether a user is let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum UserState {
    /// Yes.
    Active,
    /// Not for now.
    Disabled,
    /// Never again.
    Removed,
}

impl Reader {
    /// Whose a token is, revoked or not; nobody's if it stands for a program of the cluster's own.
    ///
    /// # Errors
    /// [`ReadError::Database`].
    pub fn owner_of(&self, token: TokenId) -> Result<Option<UserId>, ReadError> {
        Ok(owner_of(self.connection(), token)?)
    }

    /// The user of this name, also one who is gone.
    ///
    /// # Errors
    /// [`ReadError::Database`].
    pub fn user(&self, user: &UserId) -> Result<Option<User>, ReadError> {
        Ok(self::user(self.connection(), user)?)
    }

    /// All users by name, also those who are gone.
    ///
    /// # Errors
    /// [`ReadError::Database`].
    pub fn users(&self) -> Result<Vec<User>, ReadError> {
        Ok(users(self.connection())?)
    }

    /// The hash of a user's password.
    ///
    /// # Errors
    /// [`ReadError::Database`].
    pub fn password(&self, user: &UserId) -> Result<Option<String>, ReadError> {
        Ok(password(self.connection(), user)?)
    }

    /// What stands for passwords that are no user's any more, and the libraries that their commands belong to.
    ///
    /// # Errors
    /// [`ReadError::Database`].
    pub fn replaced_passwords(&self, limit: usize) -> Result<Vec<(LibraryId, BlobId)>, ReadError> {
        Ok(replaced(self.connection(), limit)?)
    }
}

const USER: &str = "SELECT user, name, role, state, created, creator FROM users";

/// The user of this name, also one who is gone.
pub(crate) fn user(db: &Connection, user: &UserId) -> rusqlite::Result<Option<User>> {
    db.prepare_cached(&format!("{USER} WHERE user = ?1"))?
        .query_row([user.as_str()], read_user)
        .optional()
}

/// All users by name.
fn users(db: &Connection) -> rusqlite::Result<Vec<User>> {
    db.prepare_cached(&format!("{USER} ORDER BY user"))?
        .query_map([], read_user)?
        .collect()
}

/// Whose a token is.
fn owner_of(db: &Connection, token: TokenId) -> rusqlite::Result<Option<UserId>> {
    db.prepare_cached("SELECT owner FROM tokens WHERE token = ?1 AND owner IS NOT NULL")?
        .query_row([token.as_bytes()], |row| row::parsed(row, 0))
        .optional()
}

/// The hash of a user's password.
fn password(db: &Connection, user: &UserId) -> rusqlite::Result<Option<String>> {
    db.prepare_cached("SELECT hash FROM passwords WHERE user = ?1")?
        .query_row([user.as_str()], |row| row.get(0))
        .optional()
}

/// What stands for passwords that are no user's any more, and where their commands belong.
fn replaced(db: &Connection, limit: usize) -> rusqlite::Result<Vec<(LibraryId, BlobId)>> {
    db.prepare_cached("SELECT library, secret FROM replaced ORDER BY secret LIMIT ?1")?
        .query_map([i64::try_from(limit).unwrap_or(i64::MAX)], |row| {
            Ok((row::parsed(row, 0)?, BlobId(row.get(1)?)))
        })?
        .collect()
}

fn read_user(row: &Row<'_>) -> rusqlite::Result<User> {
    Ok(User {
        id: row::parsed(row, 0)?,
        name: row.get(1)?,
        role: match row.get(2)? {
            0_u8 => Role::Viewer,
            1 => Role::Editor,
            _ => Role::Admin,
        },
        state: match row.get(3)? {
            0_u8 => UserState::Active,
            1 => UserState::Disabled,
            _ => UserState::Removed,
        },
        created_at: time::format_timestamp(Timestamp(row::number(row, 4)?)),
        created_by: TokenId(row.get(5)?),
    })
}
