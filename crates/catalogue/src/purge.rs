//! What is purged: which commands name a file, what a purge has named, and who has erased it.
//!
//! Every command that names a file is noted with its place, also one that was refused or came twice: its bytes tell as
//! much. A purge names places; only these notes lead from them to the file, and it takes them with it. So a catalogue that
//! is rebuilt from a chain in which the commands are erased, in part or all, comes to the same: it never had them.

use std::path::Path;

use model::codec::Encode as _;
use model::file::State;
use model::{
    BlobId, Command, Erasure, Erasures, Height, LibraryId, NodeId, Position, Residue, Timestamp,
    TokenId,
};
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::row;
use crate::schema::{self, OpenError};

/// A command that names a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mention {
    /// Its place in the block.
    pub index: u32,
    /// The library it belongs to.
    pub library: LibraryId,
    /// The file or blob it names.
    pub file: BlobId,
    /// Who gave it.
    pub actor: TokenId,
    /// What stays of it when it is erased.
    pub residue: Residue,
}

impl Mention {
    /// Of a command, if it names a file. `first` says whether it was the first of its request.
    pub fn of(index: u32, command: &Command, first: bool) -> Option<Self> {
        Some(Self {
            index,
            library: command.library.clone(),
            file: command.payload.names()?,
            actor: command.actor,
            residue: Residue::of(command, first),
        })
    }

    pub(crate) fn note(
        &self,
        db: &Connection,
        height: Height,
        time: Timestamp,
    ) -> rusqlite::Result<()> {
        db.prepare_cached(
            "INSERT INTO mentions(height, idx, library, file, actor, residue, time)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![
            height.0.cast_signed(),
            self.index,
            self.library.as_str(),
            self.file.as_bytes(),
            self.actor.as_bytes(),
            self.residue.to_bytes(),
            time.0.cast_signed(),
        ])?;
        Ok(())
    }

    pub(crate) fn at(db: &Connection, position: Position) -> rusqlite::Result<Option<Self>> {
        db.prepare_cached(
            "SELECT idx, library, file, actor, residue FROM mentions WHERE height = ?1 AND idx = ?2",
        )?
        .query_row(place(position), |row| {
            Ok(Self {
                index: row.get(0)?,
                library: row::parsed(row, 1)?,
                file: BlobId(row.get(2)?),
                actor: TokenId(row.get(3)?),
                residue: row::decoded(row, 4)?,
            })
        })
        .optional()
    }
}

/// A purge that was decided and has an effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Purge {
    /// Where it stands.
    pub position: Position,
    /// Time of its block.
    pub time: Timestamp,
    /// What it names.
    pub erasures: Erasures,
    /// The nodes that have erased it.
    pub erased: Vec<NodeId>,
}

pub(crate) fn place(position: Position) -> (i64, u32) {
    (position.height.0.cast_signed(), position.index)
}

pub(crate) fn position(row: &Row<'_>, column: usize) -> rusqlite::Result<Position> {
    Ok(Position {
        height: Height(row::number(row, column)?),
        index: row.get(column + 1)?,
    })
}

/// How many commands name a file of a library.
pub(crate) fn mentions(
    db: &Connection,
    library: &LibraryId,
    file: &BlobId,
) -> rusqlite::Result<usize> {
    let sql = "SELECT count(*) FROM mentions WHERE file = ?1 AND library = ?2";
    let count = db
        .prepare_cached(sql)?
        .query_row((file.as_bytes(), library.as_str()), |row| {
            row::number(row, 0)
        })?;
    Ok(usize::try_from(count).unwrap_or(usize::MAX))
}

/// The commands that name a file of a library, in the order of the chain.
pub(crate) fn commands_naming(
    db: &Connection,
    library: &LibraryId,
    file: &BlobId,
) -> rusqlite::Result<Vec<Erasure>> {
    db.prepare_cached(
        "SELECT height, idx, actor, residue FROM mentions WHERE file = ?1 AND library = ?2
         ORDER BY height, idx",
    )?
    .query_map((file.as_bytes(), library.as_str()), erasure)?
    .collect()
}

fn erasure(row: &Row<'_>) -> rusqlite::Result<Erasure> {
    Ok(Erasure {
        position: position(row, 0)?,
        actor: TokenId(row.get(2)?),
        residue: row::decoded(row, 3)?,
    })
}

/// Files that have been in the trash, unchanged, since before `trashed`; and those that are named although there is no
/// such file, and nobody has named them since before `named`.
pub(crate) fn due(
    db: &Connection,
    trashed: Timestamp,
    named: Timestamp,
    limit: usize,
) -> rusqlite::Result<Vec<(LibraryId, BlobId)>> {
    db.prepare_cached(
        "SELECT library, file FROM (
           SELECT f.library, f.file FROM files f WHERE f.state = ?1 AND
             (SELECT max(time) FROM history h WHERE h.library = f.library AND h.file = f.file) < ?2
           UNION ALL
           SELECT m.library, m.file FROM mentions m GROUP BY m.file, m.library
             HAVING max(m.time) < ?3
             AND NOT EXISTS (SELECT 1 FROM files f WHERE f.file = m.file AND f.library = m.library)
             AND NOT EXISTS (SELECT 1 FROM passwords p WHERE p.secret = m.file))
         LIMIT ?4",
    )?
    .query_map(
        params![
            State::Trashed as u8,
            trashed.0.cast_signed(),
            named.0.cast_signed(),
            i64::try_from(limit).unwrap_or(i64::MAX)
        ],
        |row| Ok((row::parsed(row, 0)?, BlobId(row.get(1)?))),
    )?
    .collect()
}

/// The purge at a place.
pub(crate) fn at(db: &Connection, at: Position) -> rusqlite::Result<Option<Purge>> {
    let found = db
        .prepare_cached("SELECT library, time FROM purges WHERE height = ?1 AND idx = ?2")?
        .query_row(place(at), |row| {
            let library: LibraryId = row::parsed(row, 0)?;
            Ok((library, Timestamp(row::number(row, 1)?)))
        })
        .optional()?;
    let Some((library, time)) = found else {
        return Ok(None);
    };
    let commands = db
        .prepare_cached(
            "SELECT height, idx, actor, residue FROM purged WHERE by_height = ?1 AND by_idx = ?2
             ORDER BY height, idx",
        )?
        .query_map(place(at), erasure)?
        .collect::<Result<_, _>>()?;
    let erased = db
        .prepare_cached("SELECT node FROM erased WHERE height = ?1 AND idx = ?2 ORDER BY node")?
        .query_map(place(at), |row| row.get(0).map(NodeId))?
        .collect::<Result<_, _>>()?;
    Ok(Some(Purge {
        position: at,
        time,
        erasures: Erasures { library, commands },
        erased,
    }))
}

/// Where the purges stand that a node has not erased yet, or all.
pub(crate) fn places(db: &Connection, missing: Option<NodeId>) -> rusqlite::Result<Vec<Position>> {
    let node = missing.map(|node| node.0);
    db.prepare_cached(
        "SELECT height, idx FROM purges p WHERE ?1 IS NULL OR NOT EXISTS
           (SELECT 1 FROM erased e WHERE e.height = p.height AND e.idx = p.idx AND e.node = ?1)
         ORDER BY height, idx",
    )?
    .query_map([node], |row| position(row, 0))?
    .collect()
}

/// The purge that has named a command.
pub(crate) fn purged_by(db: &Connection, at: Position) -> rusqlite::Result<Option<Position>> {
    db.prepare_cached("SELECT by_height, by_idx FROM purged WHERE height = ?1 AND idx = ?2")?
        .query_row(place(at), |row| position(row, 0))
        .optional()
}

/// In place of a file: a node that began with a snapshot may have bytes of files that were purged below it, and nothing tells
/// which.
pub const ANY_FILE: BlobId = BlobId([0; 32]);

/// Notes for the node whose catalogue is in this file that it may have bytes of any file which that purge or an earlier one
/// has named. Nobody else may have the file open.
///
/// # Errors
/// [`OpenError`] if it cannot be written.
pub fn note_remains(path: &Path, purge: Position) -> Result<(), OpenError> {
    let (height, index) = place(purge);
    let noted = schema::connect(path).and_then(|db| {
        db.prepare_cached("INSERT OR REPLACE INTO remains(file, height, idx) VALUES (?1, ?2, ?3)")?
            .execute(rusqlite::params![ANY_FILE.as_bytes(), height, index])
    });
    noted.map(|_| ()).map_err(|source| OpenError::Database {
        path: path.into(),
        source,
    })
}

/// Files of which this node may still have bytes, and the purges.
pub(crate) fn remains(db: &Connection) -> rusqlite::Result<Vec<(BlobId, Position)>> {
    db.prepare_cached("SELECT file, height, idx FROM remains ORDER BY file")?
        .query_map([], |row| Ok((BlobId(row.get(0)?), position(row, 1)?)))?
        .collect()
}
