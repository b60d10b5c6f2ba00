//! The writer: takes decided blocks in order and keeps the tables equal to what the ledger says.
//!
//! Application is a function of the blocks alone: time comes from the block, ids from the commands, and a command
//! that breaks a rule is refused in the same way everywhere. A run of blocks is one transaction, with the height
//! reached in it, so the catalogue is always exactly at one height; how blocks are cut into runs makes no
//! difference to what it says.

mod access;
mod albums;
mod bulk;
mod carried;
mod fields;
mod files;
mod libraries;
mod originals;
mod people;
mod pictures;
mod prune;
mod purge;
mod resume;
mod shares;
mod snapshot;
mod tags;
mod uploads;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::codec::Encode;
use model::file::Source;
use model::{
    BlockHash, Command, Height, NodeId, OperationId, Payload, Position, Timestamp, limits,
};
use rusqlite::{Connection, TransactionBehavior, params};

use self::resume::Resumed;
use crate::index::{Index, IndexChanges};
use crate::outcome::{Applied, Verdict};
use crate::purge::Mention;
use crate::row;
use crate::schema::{self, OpenError, SetAside, Trust, Unusable};

/// A decided block with the commands that are to be applied: the first of each request, in time, not erased.
#[derive(Debug, Clone, PartialEq)]
pub struct BlockInput {
    /// The block's place.
    pub height: Height,
    /// The block's time.
    pub time: Timestamp,
    /// The block's name.
    pub hash: BlockHash,
    /// The commands with their places in the block, in order.
    pub commands: Vec<(u32, Command)>,
    /// Commands that name a file and are not to be applied, in order: repeats, and what came too late.
    pub mentions: Vec<Mention>,
}

/// Why a run of blocks was not applied. The catalogue is as it was before.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The caller's mistake: blocks come one by one.
    #[error("the catalogue needs block {expected}, not block {found}")]
    NotNext {
        /// The height that comes next.
        expected: Height,
        /// The height given.
        found: Height,
    },
    /// SQLite failed; no command can make it fail, so it is the disk, its space or the file.
    #[error("applying the blocks behind height {behind:?} to the catalogue")]
    Database {
        /// The height before the run.
        behind: Option<Height>,
        /// What SQLite says.
        #[source]
        source: rusqlite::Error,
    },
}

impl ApplyError {
    /// Whether the file seems damaged. If it still does after [`Catalogue::reconnect`], only [`Catalogue::rebuild`] helps.
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Database { source, .. } if schema::is_damage(source))
    }
}

/// The catalogue's one writer.
#[derive(Debug)]
pub struct Catalogue {
    db: Connection,
    path: PathBuf,
    height: Option<Height>,
    set_aside: Option<SetAside>,
    owner: Option<NodeId>,
    index: Option<Arc<Index>>,
    /// An index to begin with.
    resumed: Option<Resumed>,
    /// By what SQLite told the file's state last.
    seen: Option<i64>,
}

impl Catalogue {
    /// Opens the catalogue in the file at `path`, empty if there is none or if the one there cannot be used.
    ///
    /// # Errors
    /// [`OpenError`] if not even an empty one can be made.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        resume::forget(path)?;
        Self::opened(path, Trust::Nobody)
    }

    fn opened(path: &Path, trust: Trust) -> Result<Self, OpenError> {
        let (db, set_aside) = schema::open_writer(path, trust)?;
        let height = row::applied_height(&db).map_err(|source| OpenError::Database {
            path: path.into(),
            source,
        })?;
        Ok(Self {
            db,
            path: path.into(),
            height,
            set_aside,
            owner: None,
            index: None,
            resumed: None,
            seen: None,
        })
    }

    /// Puts the file aside and starts an empty one, after an error that [`ApplyError::is_damage`].
    ///
    /// # Errors
    /// [`OpenError`] if the file cannot be moved or an empty one cannot be made.
    pub fn rebuild(self) -> Result<Self, OpenError> {
        let Self {
            db,
            path,
            owner,
            index,
            ..
        } = self;
        drop(db);
        let why = Unusable::Damaged("a run of blocks could not be applied".to_owned());
        let aside = schema::set_aside(&path, why)?;
        let empty = Self::open(&path)?;
        let rebuilt = Self {
            set_aside: Some(aside),
            owner,
            index,
            ..empty
        };
        rebuilt.load_index()?;
        Ok(rebuilt)
    }

    /// Moves a catalogue that nobody has open into a folder of what is kept for people, and says where it is.
    ///
    /// # Errors
    /// [`OpenError`] if it cannot be moved.
    pub fn put_aside(path: &Path, folder: &Path) -> Result<PathBuf, OpenError> {
        let aside = schema::free_place(folder);
        schema::move_all(path, &aside)?;
        Ok(aside)
    }

    /// Puts the file aside into a folder, and another catalogue, which nobody has open, in its place. Says where the file
    /// is kept.
    ///
    /// # Errors
    /// [`OpenError`] if a file cannot be moved, or what is there then cannot be opened. Then a new start has to look.
    pub fn replace(&mut self, other: &Path, folder: &Path) -> Result<PathBuf, OpenError> {
        let nowhere = Connection::open_in_memory().map_err(|source| OpenError::Database {
            path: self.path.clone(),
            source,
        })?;
        drop(std::mem::replace(&mut self.db, nowhere));
        let aside = schema::free_place(folder);
        let exchanged = schema::exchange(&self.path, other, &aside);
        self.reconnect()?;
        exchanged.map(|()| aside)
    }

    /// Puts another catalogue, which nobody has open, in the place of this one, which goes.
    ///
    /// # Errors
    /// [`OpenError`] if a file cannot be moved, or what is there then cannot be opened. Then a new start has to look.
    pub fn give_way_to(&mut self, other: &Path) -> Result<(), OpenError> {
        let aside = schema::beside(other, ".old");
        let nowhere = Connection::open_in_memory().map_err(|source| OpenError::Database {
            path: self.path.clone(),
            source,
        })?;
        drop(std::mem::replace(&mut self.db, nowhere));
        let exchanged = schema::exchange(&self.path, other, &aside);
        self.reconnect()?;
        exchanged?;
        schema::remove_all(&aside)
    }

    /// Connects to the file anew: after a failure on a full disk a connection may be wrong about a file that is right.
    ///
    /// # Errors
    /// [`OpenError`] if the file cannot be read now; the old connection stays.
    pub fn reconnect(&mut self) -> Result<(), OpenError> {
        let connected = schema::connect(&self.path)
            .and_then(|db| row::applied_height(&db).map(|height| (db, height)));
        let (db, height) = connected.map_err(|source| OpenError::Database {
            path: self.path.clone(),
            source,
        })?;
        (self.db, self.height, self.seen) = (db, height, None);
        self.resumed = None;
        self.load_index()
    }

    /// Whether anybody but this writer has written to the file since this was asked last, of whatever connection or process.
    /// Costs next to nothing. Emptying the journal ([`empty_journal`](crate::empty_journal)) counts; the first question after the
    /// file was opened finds nothing.
    ///
    /// # Errors
    /// [`OpenError`] if the file cannot be read now.
    pub fn is_written_by_others(&mut self) -> Result<bool, OpenError> {
        let version = self
            .db
            .query_row("PRAGMA data_version", [], |row| row.get::<_, i64>(0));
        let version = version.map_err(|source| OpenError::Database {
            path: self.path.clone(),
            source,
        })?;
        let before = self.seen.replace(version);
        Ok(before.is_some_and(|before| before != version))
    }

    /// The index in memory, which is kept up to date from now on. The first call reads the one that was left, or builds it,
    /// which takes a while.
    ///
    /// # Errors
    /// [`OpenError`] if the file cannot be read.
    pub fn index(&mut self) -> Result<Arc<Index>, OpenError> {
        if self.index.is_none() {
            self.index = self.resumed_index();
        }
        if self.index.is_none() {
            self.index = Some(Arc::default());
            if let Err(error) = self.load_index() {
                self.index = None;
                return Err(error);
            }
        }
        Ok(Arc::clone(self.index.get_or_insert_default()))
    }

    /// Builds the index anew, if there is one.
    fn load_index(&self) -> Result<(), OpenError> {
        let Some(index) = &self.index else {
            return Ok(());
        };
        let loaded = index.load(&self.db);
        loaded.map_err(|source| OpenError::Database {
            path: self.path.clone(),
            source,
        })
    }

    /// Whose catalogue it is: what this node has erased need not be remembered.
    pub fn belongs_to(&mut self, node: NodeId) {
        self.owner = Some(node);
    }

    /// The height last applied; none if genesis is still to come.
    pub fn height(&self) -> Option<Height> {
        self.height
    }

    /// The height of the block that must come next.
    pub fn next_height(&self) -> Height {
        self.height.map_or(Height::GENESIS, Height::next)
    }

    /// The unusable file that this one replaces, if there was one.
    pub fn set_aside(&self) -> Option<&SetAside> {
        self.set_aside.as_ref()
    }

    /// Applies a run of blocks in one transaction and says what became of each command, in order.
    ///
    /// # Errors
    /// [`ApplyError`]; nothing of the run is applied then.
    pub fn apply(&mut self, blocks: &[BlockInput]) -> Result<Vec<Applied>, ApplyError> {
        let Some(last) = blocks.last() else {
            return Ok(Vec::new());
        };
        for (expected, block) in (self.next_height().0..).zip(blocks) {
            if block.height.0 != expected {
                let expected = Height(expected);
                return Err(ApplyError::NotNext {
                    expected,
                    found: block.height,
                });
            }
        }
        let applied = self
            .apply_run(blocks, last)
            .map_err(|source| ApplyError::Database {
                behind: self.height,
                source,
            })?;
        self.height = Some(last.height);
        Ok(applied)
    }

    fn apply_run(
        &mut self,
        blocks: &[BlockInput],
        last: &BlockInput,
    ) -> rusqlite::Result<Vec<Applied>> {
        let change = self
            .db
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        let wanted = self.index.is_some() || self.resumed.is_some();
        let mut changes = IndexChanges::new(wanted);
        let mut applied = Vec::new();
        for block in blocks {
            forget(&change, block.time)?;
            let note = |mention: &Mention| mention.note(&change, block.height, block.time);
            let mut mentions = block.mentions.iter().peekable();
            for (index, command) in &block.commands {
                while let Some(earlier) = mentions.next_if(|mention| mention.index < *index) {
                    note(earlier)?;
                }
                Mention::of(*index, command, true)
                    .iter()
                    .try_for_each(note)?;
                let position = Position {
                    height: block.height,
                    index: *index,
                };
                let mut applier = Applier {
                    db: &change,
                    changes: &mut changes,
                    time: block.time,
                    position,
                    command,
                    owner: self.owner,
                    operation: None,
                };
                let outcome = applier.apply()?.to_outcome(&change)?;
                applied.push(Applied { position, outcome });
            }
            mentions.try_for_each(note)?;
        }
        change
            .prepare_cached("INSERT OR REPLACE INTO applied VALUES (1, ?1, ?2, ?3)")?
            .execute(params![
                last.height.0.cast_signed(),
                last.hash.as_bytes(),
                last.time.0.cast_signed()
            ])?;
        change.commit()?;
        if let Some(index) = &self.index {
            index.change(changes, last.height, last.time);
        } else if let Some(resumed) = &mut self.resumed
            && !resumed.miss(changes, last.height, last.time)
        {
            self.resumed = None;
        }
        Ok(applied)
    }
}

/// Drops what is kept for a time only.
fn forget(db: &Connection, now: Timestamp) -> rusqlite::Result<()> {
    for sql in [
        "DELETE FROM puts WHERE expires < ?1",
        "DELETE FROM parts WHERE upload IN (SELECT upload FROM uploads WHERE expires < ?1)",
        "DELETE FROM uploads WHERE expires < ?1",
        "DELETE FROM outcomes WHERE expires < ?1",
    ] {
        db.prepare_cached(sql)?.execute([now.0.cast_signed()])?;
    }
    Ok(())
}

/// One command on its way into the tables.
struct Applier<'a> {
    db: &'a Connection,
    changes: &'a mut IndexChanges,
    time: Timestamp,
    position: Position,
    command: &'a Command,
    owner: Option<NodeId>,
    /// What the command is part of.
    operation: Option<OperationId>,
}

impl Applier<'_> {
    fn apply(&mut self) -> rusqlite::Result<Verdict> {
        let verdict = self.decide()?;
        if self.command.key.is_some() {
            // Whether a purge had an effect is asked of what it did: where its commands are erased it may seem to have had one
            // that fell short when it was decided.
            match self.command.payload {
                Payload::Purge(_) => self.keep(&Verdict::Recorded)?,
                _ => self.keep(&verdict)?,
            }
        }
        Ok(verdict)
    }

    fn decide(&mut self) -> rusqlite::Result<Verdict> {
        let command = self.command;
        if let Payload::Genesis {
            admin,
            admin_secret,
            library,
            ..
        } = &command.payload
        {
            return self.found(library, *admin, admin_secret);
        }
        if let Some(refused) = self.refused_here()? {
            return Ok(refused);
        }
        match &command.payload {
            Payload::Genesis { .. }
            | Payload::Record(_)
            | Payload::Roster(_)
            | Payload::Succession { .. } => Ok(Verdict::Recorded),
            Payload::PutBlob { blob, size } => self.put_blob(*blob, *size),
            Payload::AddFile { .. } => self.add_file(),
            Payload::Media(step) => self.media_step(step),
            Payload::EditFile {
                file,
                expected,
                changes,
            } => self.edit_file(file, *expected, changes, Source::User),
            Payload::SetState {
                file,
                expected,
                state,
            } => {
                let state = model::file::Change::State(*state);
                self.edit_file(file, *expected, &[state], Source::User)
            }
            Payload::Edit {
                file,
                expected,
                changes,
                source,
                operation,
            } => {
                self.operation = *operation;
                self.edit_file(file, *expected, changes, *source)
            }
            Payload::Field(step) => self.field_step(step),
            Payload::Album(step) => self.album_step(step),
            Payload::Library(step) => self.library_step(step),
            Payload::Share(step) => self.share_step(step),
            Payload::RenameTag { from, to } => self.rename_tag(from, to),
            Payload::Bulk(step) => self.bulk_step(step),
            Payload::CreateToken { .. }
            | Payload::RevokeToken { .. }
            | Payload::User(_)
            | Payload::Password(_)
            | Payload::Token(_) => self.change_access(),
            Payload::Upload(step) => self.step(step),
            Payload::Purge(commands) => {
                self.end_snapshots()?;
                self.purge(commands)
            }
            Payload::Snapshot(step) => self.snapshot(step),
            Payload::Originals(step) => self.originals(step),
            Payload::Prune(prune) => self.prune(prune),
            Payload::Erased { purge, node } => self.erased(*purge, *node),
            Payload::Carry { file, carried } => self.carry(file, carried),
        }
    }

    /// Keeps the outcome for as long as the client may retry.
    fn keep(&self, verdict: &Verdict) -> rusqlite::Result<()> {
        self.db
            .prepare_cached(
                "INSERT INTO outcomes(library, height, idx, expires, verdict)
                 VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute(params![
                self.command.library.as_str(),
                self.position.height.0.cast_signed(),
                self.position.index,
                self.time.plus(limits::KEYED_WINDOW).0.cast_signed(),
                verdict.to_bytes(),
            ])?;
        Ok(())
    }
}
