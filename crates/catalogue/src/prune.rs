//! Prunes: what is pruned through which height, with which snapshot, and who has done it.

use std::collections::BTreeMap;

use model::{Digest, Height, NodeId, Position, Prune, Residue, SnapshotRef, Timestamp};
use rusqlite::{Connection, Row, params};

use crate::purge::{place, position};
use crate::reader::{ReadError, Reader};
use crate::row;

/// A prune that is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pruning {
    /// Where it stands.
    pub position: Position,
    /// Time of its block.
    pub time: Timestamp,
    /// What it names.
    pub prune: Prune,
    /// The nodes that have done it.
    pub done: Vec<NodeId>,
}

/// Writes one down.
pub(crate) fn note(
    db: &Connection,
    at: Position,
    time: Timestamp,
    prune: &Prune,
) -> rusqlite::Result<()> {
    let (height, index) = place(at);
    db.prepare_cached(
        "INSERT INTO prunes(height, idx, time, through, snapshot, version, digest)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?
    .execute(params![
        height,
        index,
        time.0.cast_signed(),
        prune.through.0.cast_signed(),
        prune.snapshot.height.0.cast_signed(),
        prune.snapshot.version,
        prune.snapshot.digest.as_bytes(),
    ])?;
    Ok(())
}

fn read(row: &Row<'_>) -> rusqlite::Result<Pruning> {
    Ok(Pruning {
        position: position(row, 0)?,
        time: Timestamp(row::number(row, 2)?),
        prune: Prune {
            through: Height(row::number(row, 3)?),
            snapshot: SnapshotRef {
                height: Height(row::number(row, 4)?),
                version: row.get(5)?,
                digest: Digest(row.get(6)?),
            },
        },
        done: Vec::new(),
    })
}

/// All, first to last.
pub(crate) fn all(db: &Connection) -> rusqlite::Result<Vec<Pruning>> {
    let mut done =
        db.prepare_cached("SELECT node FROM erased WHERE height = ?1 AND idx = ?2 ORDER BY node")?;
    let mut found: Vec<Pruning> = db
        .prepare_cached(
            "SELECT height, idx, time, through, snapshot, version, digest FROM prunes
             ORDER BY height, idx",
        )?
        .query_map([], read)?
        .collect::<Result<_, _>>()?;
    for pruning in &mut found {
        let nodes = done.query_map(place(pruning.position), |row| row.get(0).map(NodeId))?;
        pruning.done = nodes.collect::<Result<_, _>>()?;
    }
    Ok(found)
}

impl Reader {
    /// The prunes in force, first to last.
    ///
    /// # Errors
    /// [`ReadError::Database`].
    pub fn prunes(&self) -> Result<Vec<Pruning>, ReadError> {
        self.at_one_height(|reader| Ok(all(reader.connection())?))
    }

    /// How many commands up to a height name a file.
    ///
    /// # Errors
    /// [`ReadError::Database`].
    pub fn naming_up_to(&self, height: Height) -> Result<u64, ReadError> {
        let sql = "SELECT count(*) FROM mentions WHERE height <= ?1";
        let mut query = self.connection().prepare_cached(sql)?;
        Ok(query.query_row([height.0.cast_signed()], |row| row::number(row, 0))?)
    }

    /// What stays of the requests of commands in a range of heights, both included, that name a file.
    ///
    /// # Errors
    /// [`ReadError::Database`].
    pub fn residues(
        &self,
        from: Height,
        to: Height,
    ) -> Result<BTreeMap<Position, Residue>, ReadError> {
        let sql = "SELECT height, idx, residue FROM mentions WHERE height BETWEEN ?1 AND ?2";
        let mut query = self.connection().prepare_cached(sql)?;
        let range = [from.0.cast_signed(), to.0.cast_signed()];
        let rows = query.query_map(range, |row| Ok((position(row, 0)?, row::decoded(row, 2)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}
