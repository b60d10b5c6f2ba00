//! Shares: links that open something to whoever holds them, for as long as who made them may.

use model::file::State;
use model::{
    BlobId, Digest, LibraryId, LibraryRole, Principal, Share, ShareId, Shared, Timestamp, TokenId,
};
use rusqlite::{Connection, OptionalExtension, Row};

use crate::file::File;
use crate::query::{Query, Within};
use crate::reader::{ReadError, Reader};
use crate::search::{self, Page, SearchError, SearchPage};
use crate::{rights, row};

/// A share that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownShare {
    /// Its name.
    pub id: ShareId,
    /// The library of what it opens.
    pub library: LibraryId,
    /// What it is.
    pub share: Share,
    /// With whose rights it is looked at.
    pub sharer: Principal,
    /// The token that made it.
    pub created_by: TokenId,
    /// When.
    pub created: Timestamp,
    /// When it was revoked, if it was.
    pub revoked: Option<Timestamp>,
    /// Whether who made it may still share something of the library.
    pub backed: bool,
}

impl KnownShare {
    /// The query that finds what it opens, unless it is a single file.
    fn query(&self) -> Result<Option<Query>, SearchError> {
        let text = match &self.share.of {
            Shared::File(_) => return Ok(None),
            Shared::Album(album) => format!("album:{album}"),
            Shared::Query(text) => text.clone(),
        };
        let query: Query = text
            .parse()
            .map_err(|_| SearchError::Album("what is shared cannot be read".to_owned()))?;
        // Whatever it says, it is of the library that it was made in, and of nothing in the trash.
        let within = match query.within {
            Within::Trash | Within::All => Within::Live,
            within => within,
        };
        Ok(Some(Query {
            library: Some(self.library.clone()),
            within,
            ..query
        }))
    }

    /// Whether it opens anything at a time.
    fn is_open(&self, now: Timestamp) -> bool {
        let expired = self.share.expires.is_some_and(|end| end <= now);
        self.backed && self.revoked.is_none() && !expired
    }
}

impl Reader {
    /// The shares of a library, oldest first, also those that are over.
    ///
    /// # Errors
    /// [`ReadError::Database`].
    pub fn shares(&self, library: &LibraryId) -> Result<Vec<KnownShare>, ReadError> {
        self.at_one_height(|reader| Ok(all(reader.connection(), library)?))
    }

    /// A page of the files that a share opens.
    ///
    /// # Errors
    /// [`SearchError`], also if what it opens is no more.
    pub fn shared_files(&self, share: &KnownShare, page: &Page) -> Result<SearchPage, SearchError> {
        if let Some(query) = share.query()? {
            return self.search(&share.library, &query, page);
        }
        self.at_one_height(|reader| {
            let items: Vec<File> = match share.share.of {
                Shared::File(file) => reader.shown(share, &file)?.into_iter().collect(),
                Shared::Album(_) | Shared::Query(_) => Vec::new(),
            };
            Ok(SearchPage {
                total: items.len() as u64,
                items,
                next_cursor: None,
                canonical: String::new(),
                height: row::applied_height(reader.connection())?.unwrap_or_default(),
            })
        })
    }

    /// A file that a share opens; nothing if it does not open that one.
    ///
    /// # Errors
    /// [`SearchError`], also if what it opens is no more.
    pub fn shared_file(
        &self,
        share: &KnownShare,
        file: &BlobId,
    ) -> Result<Option<File>, SearchError> {
        let opened = match share.query()? {
            Some(query) => self.finds(&share.library, &query, file)?,
            None => share.share.of == Shared::File(*file),
        };
        let shown = opened.then(|| self.shown(share, file)).transpose()?;
        Ok(shown.flatten())
    }

    /// Whether a file is among those that meet a query.
    fn finds(
        &self,
        library: &LibraryId,
        query: &Query,
        file: &BlobId,
    ) -> Result<bool, SearchError> {
        self.indexed(library, |scene| search::finds(scene, query, file))
    }

    /// A file of a share's library that is not in the trash.
    fn shown(&self, share: &KnownShare, file: &BlobId) -> Result<Option<File>, SearchError> {
        let found = row::file(self.connection(), &share.library, file)?;
        let found = found.filter(|row| row.stored.state != State::Trashed);
        let file = found.map(|row| row.stored.to_file(self.connection()));
        Ok(file.transpose()?)
    }

    /// Asks about what a secret opens at a time; nothing if it opens nothing, before the answer or after. The two are not one
    /// snapshot, because the index in memory is shared only by who takes the newest.
    ///
    /// # Errors
    /// [`SearchError`].
    pub fn with_share<T>(
        &self,
        secret: &Digest,
        now: Timestamp,
        ask: impl FnOnce(&Self, &KnownShare) -> Result<T, SearchError>,
    ) -> Result<Option<(KnownShare, T)>, SearchError> {
        let opened = || self.at_one_height(|reader| of_secret(reader.connection(), secret));
        let Some(known) = opened()?.filter(|known| known.is_open(now)) else {
            return Ok(None);
        };
        let answer = ask(self, &known)?;
        let still = opened()?.filter(|known| known.is_open(now));
        Ok(still.map(|known| (known, answer)))
    }
}

const SHARE: &str =
    "SELECT share, library, definition, sharer, actor, created, revoked FROM shares";

/// The shares of a library, oldest first, also those that are over.
pub(crate) fn all(db: &Connection, library: &LibraryId) -> rusqlite::Result<Vec<KnownShare>> {
    let mut shares = db.prepare_cached(&format!(
        "{SHARE} WHERE library = ?1 ORDER BY created, share"
    ))?;
    let found = shares.query_map([library.as_str()], |found| read(db, found))?;
    found.collect()
}

/// The share that a secret opens, also if it is over.
pub(crate) fn of_secret(db: &Connection, secret: &Digest) -> rusqlite::Result<Option<KnownShare>> {
    db.prepare_cached(&format!("{SHARE} WHERE secret = ?1"))?
        .query_row([secret.as_bytes()], |found| read(db, found))
        .optional()
}

/// What is shared of a file is forgotten with it.
pub(crate) fn forget_file(
    db: &Connection,
    library: &LibraryId,
    file: &BlobId,
) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM shares WHERE library = ?1 AND file = ?2")?
        .execute((library.as_str(), file.as_bytes()))?;
    Ok(())
}

fn read(db: &Connection, found: &Row<'_>) -> rusqlite::Result<KnownShare> {
    let library = row::parsed(found, 1)?;
    let sharer = row::parsed(found, 3)?;
    let revoked: Option<i64> = found.get(6)?;
    let role = rights::role_of_principal(db, &sharer, &library)?;
    Ok(KnownShare {
        id: ShareId(found.get(0)?),
        share: row::decoded(found, 2)?,
        created_by: TokenId(found.get(4)?),
        created: Timestamp(row::number(found, 5)?),
        revoked: revoked.map(|time| Timestamp(time.cast_unsigned())),
        backed: role >= Some(LibraryRole::Editor),
        library,
        sharer,
    })
}
