//! Libraries as they are listed, who is in them, and what was ever changed about that.

use model::{
    LibraryDefinition, LibraryId, LibraryRole, LibraryStep, Principal, Timestamp, TokenId,
};
use rusqlite::{Connection, OptionalExtension, Row};

use crate::reader::{ReadError, Reader};
use crate::rights::role_of;
use crate::row;

/// A library, without what is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Library {
    /// Its name in the ledger.
    pub id: LibraryId,
    /// What it is.
    pub definition: LibraryDefinition,
    /// When it was made.
    pub created: Timestamp,
    /// It is shown to nobody.
    pub retired: bool,
}

/// A change of a library or of its members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LibraryChange {
    /// The block it stands in.
    pub height: u64,
    /// Its place in the block.
    pub index: u32,
    /// When.
    pub time: Timestamp,
    /// The token that acted.
    pub actor: TokenId,
    /// What was done.
    pub step: LibraryStep,
}

impl Reader {
    /// All libraries, by name, retired ones too.
    ///
    /// # Errors
    /// [`ReadError::Database`].
    pub fn libraries(&self) -> Result<Vec<Library>, ReadError> {
        Ok(all(self.connection())?)
    }

    /// The library of this name.
    ///
    /// # Errors
    /// [`ReadError::Database`].
    pub fn library(&self, library: &LibraryId) -> Result<Option<Library>, ReadError> {
        Ok(find(self.connection(), library)?)
    }

    /// Who is in a library, by name.
    ///
    /// # Errors
    /// [`ReadError::Database`].
    pub fn members(&self, library: &LibraryId) -> Result<Vec<(Principal, LibraryRole)>, ReadError> {
        Ok(members(self.connection(), library)?)
    }

    /// Every change of a library and of its members, first to last.
    ///
    /// # Errors
    /// [`ReadError::Database`].
    pub fn library_history(&self, library: &LibraryId) -> Result<Vec<LibraryChange>, ReadError> {
        Ok(history(self.connection(), library)?)
    }
}

const LIBRARY: &str = "SELECT library, title, shared, created, retired FROM libraries";

/// All libraries, by their names.
pub(crate) fn all(db: &Connection) -> rusqlite::Result<Vec<Library>> {
    db.prepare_cached(&format!("{LIBRARY} ORDER BY library"))?
        .query_map([], read)?
        .collect()
}

/// The library of this name.
pub(crate) fn find(db: &Connection, library: &LibraryId) -> rusqlite::Result<Option<Library>> {
    db.prepare_cached(&format!("{LIBRARY} WHERE library = ?1"))?
        .query_row([library.as_str()], read)
        .optional()
}

fn read(found: &Row<'_>) -> rusqlite::Result<Library> {
    let retired: Option<i64> = found.get(4)?;
    Ok(Library {
        id: row::parsed(found, 0)?,
        definition: LibraryDefinition {
            title: found.get(1)?,
            shared: found.get(2)?,
        },
        created: Timestamp(row::number(found, 3)?),
        retired: retired.is_some(),
    })
}

/// Who is in a library, by name.
pub(crate) fn members(
    db: &Connection,
    library: &LibraryId,
) -> rusqlite::Result<Vec<(Principal, LibraryRole)>> {
    db.prepare_cached("SELECT member, role FROM members WHERE library = ?1 ORDER BY member")?
        .query_map([library.as_str()], |found| {
            Ok((row::parsed(found, 0)?, role_of(found.get(1)?)))
        })?
        .collect()
}

/// Every change of a library, first to last.
pub(crate) fn history(
    db: &Connection,
    library: &LibraryId,
) -> rusqlite::Result<Vec<LibraryChange>> {
    db.prepare_cached(
        "SELECT height, idx, time, actor, step FROM library_history WHERE library = ?1
         ORDER BY height, idx",
    )?
    .query_map([library.as_str()], |found| {
        Ok(LibraryChange {
            height: row::number(found, 0)?,
            index: found.get(1)?,
            time: Timestamp(row::number(found, 2)?),
            actor: TokenId(found.get(3)?),
            step: row::decoded(found, 4)?,
        })
    })?
    .collect()
}
