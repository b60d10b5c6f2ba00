//! Purges: a file is forgotten, if the purge names every command that names it.

use std::collections::BTreeSet;

use model::codec::Encode as _;
use model::{BlobId, Erasure, Erasures, NodeId, Position};
use rusqlite::params;

use super::Applier;
use crate::outcome::{Refusal, Verdict};
use crate::purge::{self, Mention, place};
use crate::{index, row, shares};

impl Applier<'_> {
    /// Forgets the file that these commands name. That they are all there are is the one thing that is asked, and what
    /// makes it safe: whoever restored or edited the file meanwhile gave a command that is missing among them. And it holds
    /// as well where some of the commands are erased already, or all.
    pub(super) fn purge(&mut self, commands: &[Erasure]) -> rusqlite::Result<Verdict> {
        if !Erasures::are_in_order_below(commands, self.position.height) {
            let detail = "a purge names earlier commands in order";
            return Ok(Verdict::refused(Refusal::InvalidPurge, detail));
        }
        let mut known = Vec::new();
        for command in commands {
            if let Some(mention) = Mention::at(self.db, command.position)? {
                let fits = mention.library == self.command.library
                    && (mention.actor, mention.residue) == (command.actor, command.residue);
                if !fits {
                    let detail = "a purge names commands that are others";
                    return Ok(Verdict::refused(Refusal::InvalidPurge, detail));
                }
                known.push(mention.file);
            }
        }
        let files: BTreeSet<BlobId> = known.iter().copied().collect();
        if files.len() > 1 {
            let detail = "a purge is about one file";
            return Ok(Verdict::refused(Refusal::InvalidPurge, detail));
        }
        match files.first() {
            None => {
                if let Some(by) = self.purged_before(commands)? {
                    return Ok(Verdict::Purged { by });
                }
            }
            Some(file) => {
                if purge::mentions(self.db, &self.command.library, file)? > known.len() {
                    let detail = "the file was changed meanwhile";
                    return Ok(Verdict::refused(Refusal::StalePurge, detail));
                }
                self.destroy(file)?;
            }
        }
        self.note_purge(commands)?;
        Ok(Verdict::Purged { by: self.position })
    }

    /// The purge that has named all of them, if there is one.
    fn purged_before(&self, commands: &[Erasure]) -> rusqlite::Result<Option<Position>> {
        let mut last = None;
        for command in commands {
            let Some(by) = purge::purged_by(self.db, command.position)? else {
                return Ok(None);
            };
            last = Some(by);
        }
        Ok(last)
    }

    /// Takes a file out of every table.
    fn destroy(&mut self, file: &BlobId) -> rusqlite::Result<()> {
        let library = &self.command.library;
        let (height, index) = place(self.position);
        if let Some(known) = row::file(self.db, library, file)? {
            index::remove(self.db, self.changes, &known)?;
            if let Some(preview) = known.stored.beside.picture.preview {
                self.db
                    .prepare_cached(
                        "INSERT OR REPLACE INTO remains(file, height, idx) VALUES (?1, ?2, ?3)",
                    )?
                    .execute(params![preview.blob.as_bytes(), height, index])?;
            }
        }
        let named = (library.as_str(), file.as_bytes());
        for sql in [
            "DELETE FROM history WHERE library = ?1 AND file = ?2",
            "DELETE FROM taken WHERE library = ?1 AND file = ?2",
            "DELETE FROM puts WHERE library = ?1 AND blob = ?2",
            "DELETE FROM passwords WHERE library = ?1 AND secret = ?2",
            "DELETE FROM replaced WHERE library = ?1 AND secret = ?2",
            "DELETE FROM outcomes WHERE (height, idx) IN
               (SELECT height, idx FROM mentions WHERE library = ?1 AND file = ?2)",
            "DELETE FROM mentions WHERE library = ?1 AND file = ?2",
        ] {
            self.db.prepare_cached(sql)?.execute(named)?;
        }
        for sql in [
            "INSERT OR REPLACE INTO remains(file, height, idx) VALUES (?1, ?2, ?3)",
            "INSERT OR REPLACE INTO remains(file, height, idx)
               SELECT DISTINCT blob, ?2, ?3 FROM parts JOIN uploads USING (upload)
               WHERE uploads.file = ?1 OR uploads.stand_in = ?1",
        ] {
            self.db
                .prepare_cached(sql)?
                .execute(params![file.as_bytes(), height, index])?;
        }
        shares::forget_file(self.db, library, file)?;
        self.forget_uploads_of(file)
    }

    /// Writes down what is purged. An earlier purge of the same commands that fell short, and seems whole where they are
    /// erased, is replaced by this one.
    fn note_purge(&self, commands: &[Erasure]) -> rusqlite::Result<()> {
        let (by_height, by_idx) = place(self.position);
        let mut replaced = BTreeSet::new();
        let mut insert = self.db.prepare_cached(
            "INSERT OR REPLACE INTO purged(height, idx, actor, residue, by_height, by_idx)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?;
        for command in commands {
            replaced.extend(purge::purged_by(self.db, command.position)?);
            let (height, index) = place(command.position);
            let Erasure { actor, residue, .. } = command;
            let residue = residue.to_bytes();
            insert.execute(params![
                height,
                index,
                actor.as_bytes(),
                residue,
                by_height,
                by_idx
            ])?;
        }
        for earlier in replaced {
            for sql in [
                "DELETE FROM purges WHERE height = ?1 AND idx = ?2",
                "DELETE FROM erased WHERE height = ?1 AND idx = ?2",
            ] {
                self.db.prepare_cached(sql)?.execute(place(earlier))?;
            }
        }
        self.db
            .prepare_cached(
                "INSERT INTO purges(height, idx, library, time) VALUES (?1, ?2, ?3, ?4)",
            )?
            .execute(params![
                by_height,
                by_idx,
                self.command.library.as_str(),
                self.time.0.cast_signed()
            ])?;
        Ok(())
    }

    /// A node says that it has erased what a purge or a prune names.
    pub(super) fn erased(&self, purge: Position, node: NodeId) -> rusqlite::Result<Verdict> {
        let known = "SELECT 1 FROM purges WHERE height = ?1 AND idx = ?2 UNION ALL
                     SELECT 1 FROM prunes WHERE height = ?1 AND idx = ?2";
        if row::exists(self.db, known, place(purge))? {
            let (height, index) = place(purge);
            self.db
                .prepare_cached(
                    "INSERT OR IGNORE INTO erased(height, idx, node, time) VALUES (?1, ?2, ?3, ?4)",
                )?
                .execute(params![
                    height,
                    index,
                    node.as_bytes(),
                    self.time.0.cast_signed()
                ])?;
        }
        if self.owner == Some(node) {
            self.db
                .prepare_cached("DELETE FROM remains WHERE height = ?1 AND idx = ?2")?
                .execute(place(purge))?;
        }
        Ok(Verdict::Recorded)
    }
}
