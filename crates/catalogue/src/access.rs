//! Who may sign in, and whose bytes are whose.

use std::time::Duration;

use model::{BlobId, Digest, LibraryId, Scope, Timestamp, TokenId, UserId};
use rusqlite::{Connection, OptionalExtension, Row};
use serde::Serialize;

use crate::file::{Word, text, words};
use crate::reader::{ReadError, Reader};
use crate::row;
use crate::time;

impl Word for Scope {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("read", Self::Read),
        ("write", Self::Write),
        ("admin", Self::Admin),
    ];
}

/// A token, without the secret that it is checked against.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Token {
    /// Its public half.
    #[serde(with = "text")]
    pub id: TokenId,
    /// The library its requests address unless they say otherwise.
    #[serde(with = "text")]
    pub library: LibraryId,
    /// What people call it.
    pub name: String,
    /// What it may do: never more than its owner's role.
    #[serde(with = "words")]
    pub scope: Scope,
    /// SHA-256 of its secret half.
    #[serde(skip)]
    pub secret: Digest,
    /// When it was created, RFC 3339 in UTC.
    pub created_at: String,
    /// The token that created it.
    #[serde(with = "text")]
    pub created_by: TokenId,
    /// It is no longer accepted.
    pub revoked: bool,
    /// Whose it is; nobody's if it stands for a program of the cluster's own.
    #[serde(serialize_with = "text::maybe")]
    pub owner: Option<UserId>,
    /// Until when it is accepted, RFC 3339 in UTC; a session not longer than it is used.
    pub expires_at: Option<String>,
    /// When it was used last, as far as it has been told: within the hour.
    pub last_used_at: Option<String>,
    /// Whether it was made by a sign-in.
    pub session: bool,
    /// Until when it is accepted.
    #[serde(skip)]
    pub expires: Option<Timestamp>,
    /// When it was used last.
    #[serde(skip)]
    pub last_used: Option<Timestamp>,
}

/// What is known of a blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobRecord {
    /// Its length in bytes.
    pub size: u64,
    /// Who put it within the last day.
    pub put_by: Vec<TokenId>,
    /// The libraries with a file that names it.
    pub libraries: Vec<LibraryId>,
}

impl Reader {
    /// A token, revoked or not.
    ///
    /// # Errors
    /// [`ReadError::Database`].
    pub fn token(&self, token: TokenId) -> Result<Option<Token>, ReadError> {
        Ok(self::token(self.connection(), token)?)
    }

    /// All tokens, oldest first.
    ///
    /// # Errors
    /// [`ReadError::Database`].
    pub fn tokens(&self) -> Result<Vec<Token>, ReadError> {
        Ok(tokens(self.connection())?)
    }
}

/// Roles and scopes are numbered alike.
const TOKEN: &str =
    "SELECT token, library, t.name, min(scope, coalesce(role, 2)), secret, t.created, t.creator,
            revoked, owner, expires, session, used
     FROM tokens t LEFT JOIN users ON user = owner";

/// The token of this name, revoked or not.
pub(crate) fn token(db: &Connection, token: TokenId) -> rusqlite::Result<Option<Token>> {
    db.prepare_cached(&format!("{TOKEN} WHERE token = ?1"))?
        .query_row([token.as_bytes()], read_token)
        .optional()
}

/// All tokens, oldest first.
pub(crate) fn tokens(db: &Connection) -> rusqlite::Result<Vec<Token>> {
    db.prepare_cached(&format!("{TOKEN} ORDER BY t.created, token"))?
        .query_map([], read_token)?
        .collect()
}

fn read_token(row: &Row<'_>) -> rusqlite::Result<Token> {
    let revoked: Option<i64> = row.get(7)?;
    let created = Timestamp(row::number(row, 5)?);
    let owner: Option<String> = row.get(8)?;
    let last_used = maybe_time(row, 11)?;
    let idle: Option<u32> = row.get(10)?;
    let until = idle.map(|seconds| {
        let used = last_used.map_or(created, |used| used.max(created));
        used.plus(Duration::from_secs(seconds.into()))
    });
    let expires = maybe_time(row, 9)?.into_iter().chain(until).min();
    Ok(Token {
        id: TokenId(row.get(0)?),
        library: row::parsed(row, 1)?,
        name: row.get(2)?,
        scope: match row.get(3)? {
            0_u8 => Scope::Read,
            1 => Scope::Write,
            _ => Scope::Admin,
        },
        secret: Digest(row.get(4)?),
        created_at: time::format_timestamp(created),
        created_by: TokenId(row.get(6)?),
        revoked: revoked.is_some(),
        owner: owner.map(|_| row::parsed(row, 8)).transpose()?,
        expires_at: expires.map(time::format_timestamp),
        last_used_at: last_used.map(time::format_timestamp),
        session: idle.is_some(),
        expires,
        last_used,
    })
}

fn maybe_time(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Timestamp>> {
    let time: Option<i64> = row.get(column)?;
    Ok(time.map(|time| Timestamp(time.cast_unsigned())))
}

/// What is known of a blob; nothing if nobody has put it lately and no file names it.
pub(crate) fn blob(db: &Connection, blob: &BlobId) -> rusqlite::Result<Option<BlobRecord>> {
    let mut size = None;
    let mut put_by = Vec::new();
    let mut puts =
        db.prepare_cached("SELECT size, token FROM puts WHERE blob = ?1 ORDER BY token")?;
    let mut rows = puts.query([blob.as_bytes()])?;
    while let Some(row) = rows.next()? {
        size = Some(row::number(row, 0)?);
        put_by.push(TokenId(row.get(1)?));
    }
    let mut libraries = Vec::new();
    let mut files =
        db.prepare_cached("SELECT size, library FROM files WHERE file = ?1 ORDER BY library")?;
    let mut rows = files.query([blob.as_bytes()])?;
    while let Some(row) = rows.next()? {
        size = Some(row::number(row, 0)?);
        libraries.push(row::parsed(row, 1)?);
    }
    Ok(size.map(|size| BlobRecord {
        size,
        put_by,
        libraries,
    }))
}
