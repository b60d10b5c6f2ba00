//! The read side: any number of connections that can change nothing.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::file::State;
use model::{
    AlbumId, BlobId, Deed, Digest, Erasure, Height, LibraryId, NodeId, OperationId, Position,
    Timestamp, TokenId, UploadId,
};
use rusqlite::{Connection, OptionalExtension, params};
use serde::Serialize;

use crate::access::{self, BlobRecord};
use crate::albums::{self, KnownAlbum};
use crate::bulk::{self, Operation, TakenFile};
use crate::fields::{self, OwnField};
use crate::file::File;
use crate::history::{self, HistoryEntry};
use crate::index::Index;
use crate::index::memory::Memory;
use crate::named::{self, Named, NamedPage, NewlyNamed};
use crate::originals::{self, OriginalsStore};
use crate::outcome::{Outcome, Verdict};
use crate::pictures::{self, Hashed, Waiting};
use crate::purge::{self, Purge};
use crate::query::Query;
use crate::search::facets::{self, FacetBy, Facets};
use crate::search::map::{self, Map, View};
use crate::search::suggest::{self, Suggestions};
use crate::search::timeline::{self, Columns, Timeline};
use crate::search::{self, Limit, Page, Scene, SearchError, SearchPage};
use crate::tags::{self, TagCount};
use crate::uploads::{self, Part, Upload};
use crate::{digest, row, schema};

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// There is no catalogue to open.
    #[error("opening the catalogue {path} for reading")]
    Open {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        #[source]
        source: rusqlite::Error,
    },
    /// SQLite failed.
    #[error("reading the catalogue")]
    Database(#[from] rusqlite::Error),
}

/// Whether a library has a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Presence {
    /// Yes, live or archived.
    Present,
    /// Yes, in the trash.
    Trashed,
    /// No.
    Missing,
}

/// How much a library holds, in whatever state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Stats {
    /// Files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// How often a reader takes another snapshot before it builds an index of its own.
const SNAPSHOTS: usize = 1_000;

/// One connection that reads. Every answer shows one height; [`Reader::at_one_height`] makes several do so.
#[derive(Debug)]
pub struct Reader {
    db: Connection,
    /// The writer's.
    index: Option<Arc<Index>>,
    /// Its own, built when it is needed: what a reader without a writer has, and one that holds an old snapshot.
    own: RefCell<Memory>,
}

impl Reader {
    /// Opens the catalogue that a [`crate::Catalogue`] keeps at `path`.
    ///
    /// # Errors
    /// [`ReadError::Open`] if there is none.
    pub fn open(path: &Path) -> Result<Self, ReadError> {
        let db = schema::open_reader(path).map_err(|source| ReadError::Open {
            path: path.into(),
            source,
        })?;
        Ok(Self {
            db,
            index: None,
            own: RefCell::default(),
        })
    }

    /// The perceptual hashes of a library's files that are not in the trash, in the order of the files' ids.
    ///
    /// # Errors
    /// [`ReadError::Database`].
    pub fn hashes(&self, library: &LibraryId) -> Result<Vec<Hashed>, ReadError> {
        Ok(pictures::hashes(&self.db, library)?)
    }

    /// Files behind `after` whose picture nobody could decode for want of `needs`, in the order of their ids.
    ///
    /// # Errors
    /// [`ReadError::Database`].
    pub fn waiting(
        &self,
        needs: &str,
        after: Option<BlobId>,
        limit: u32,
    ) -> Result<Vec<Waiting>, ReadError> {
        Ok(pictures::waiting(&self.db, needs, after, limit)?)
    }

    /// The connection.
    pub(crate) fn connection(&self) -> &Connection {
        &self.db
    }

    /// Opens the catalogue beside its writer, whose index it shares.
    ///
    /// # Errors
    /// [`ReadError::Open`] if there is none.
    pub fn sharing(path: &Path, index: Arc<Index>) -> Result<Self, ReadError> {
        let reader = Self::open(path)?;
        Ok(Self {
            index: Some(index),
            ..reader
        })
    }

    /// Answers several questions at the same height.
    ///
    /// # Errors
    /// What `questions` returns, or [`ReadError::Database`].
    pub fn at_one_height<T, E: From<rusqlite::Error>>(
        &self,
        questions: impl FnOnce(&Self) -> Result<T, E>,
    ) -> Result<T, E> {
        if !self.db.is_autocommit() {
            return questions(self);
        }
        let snapshot = self.db.unchecked_transaction()?;
        let answer = questions(self);
        snapshot.finish()?;
        answer
    }

    /// The height the catalogue shows; none before genesis is applied.
    ///
    /// # Errors
    /// [`ReadError::Database`].
    pub fn height(&self) -> Result<Option<Height>, ReadError> {
        Ok(row::applied_height(&self.db)?)
    }

    /// Whether a library exists.
    ///
    /// # Errors
    /// [`ReadError::Database`].
    pub fn has_library(&self, library: &LibraryId) -> Result<bool, ReadError> {
        let sql = "SELECT 1 FROM libraries WHERE library = ?1";
        Ok(row::exists(&self.db, sql, [library.as_str()])?)
    }

    /// A file of a library, in whatever state.
    ///
    /// # Errors
    /// [`ReadError::Database`].
    pub fn file(&self, library: &LibraryId, file: &BlobId) -> Result<Option<File>, ReadError> {
        self.at_one_height(|reader| {
            let row = row::file(&reader.db, library, file)?;
            Ok(row.map(|row| row.stored.to_file(&reader.db)).transpose()?)
        })
    }

    /// A page of the files that meet `query`, in `default_library` unless the query names another.
    ///
    /// # Errors
    /// [`SearchError`].
    pub fn search(
        &self,
        default_library: &LibraryId,
        query: &Query,
        page: &Page,
    ) -> Result<SearchPage, SearchError> {
        self.indexed(default_library, |scene| search::search(scene, query, page))
    }

    /// How often each value of some properties occurs among the files that meet `query`.
    ///
    /// # Errors
    /// [`SearchError`].
    pub fn facets(
        &self,
        default_library: &LibraryId,
        query: &Query,
        by: &[FacetBy],
        limit: Limit,
    ) -> Result<Facets, SearchError> {
        self.indexed(default_library, |scene| {
            facets::count(scene, query, by, limit)
        })
    }

    /// How many files that meet `query` were taken when.
    ///
    /// # Errors
    /// [`SearchError`].
    pub fn timeline(
        &self,
        default_library: &LibraryId,
        query: &Query,
    ) -> Result<Timeline, SearchError> {
        self.indexed(default_library, |scene| timeline::buckets(scene, query))
    }

    /// What a gallery shows of the files of one bucket of a timeline, newest first.
    ///
    /// # Errors
    /// [`SearchError`], also if there cannot be such a bucket.
    pub fn timeline_bucket(
        &self,
        default_library: &LibraryId,
        query: &Query,
        bucket: &str,
        page: &Page,
    ) -> Result<Columns, SearchError> {
        self.indexed(default_library, |scene| {
            timeline::columns(scene, query, bucket, page)
        })
    }

    /// Where the files that meet `query` were taken, put together for a scale.
    ///
    /// # Errors
    /// [`SearchError`].
    pub fn map(
        &self,
        default_library: &LibraryId,
        query: &Query,
        view: &View,
    ) -> Result<Map, SearchError> {
        self.indexed(default_library, |scene| map::clusters(scene, query, view))
    }

    /// How a word that is being typed may go on.
    ///
    /// # Errors
    /// [`SearchError`].
    pub fn suggest(
        &self,
        library: &LibraryId,
        typed: &str,
        limit: Limit,
    ) -> Result<Suggestions, SearchError> {
        self.indexed(library, |scene| suggest::suggest(scene, typed, limit))
    }

    /// Asks rows and index at the same height.
    pub(crate) fn indexed<T>(
        &self,
        library: &LibraryId,
        ask: impl FnOnce(Scene<'_>) -> Result<T, SearchError>,
    ) -> Result<T, SearchError> {
        for _ in 0..SNAPSHOTS {
            let Some(index) = &self.index else { break };
            let snapshot = self
                .db
                .is_autocommit()
                .then(|| self.db.unchecked_transaction());
            let snapshot = snapshot.transpose()?;
            let nested = snapshot.is_none();
            let height = row::applied_height(&self.db)?;
            if let Some(memory) = index.at(height) {
                let (db, memory) = (&self.db, &*memory);
                let answer = ask(Scene {
                    db,
                    memory,
                    library,
                });
                snapshot.map_or(Ok(()), rusqlite::Transaction::finish)?;
                return answer;
            }
            if nested {
                break;
            }
            // The writer has committed and is about to change the index.
            std::thread::yield_now();
        }
        self.at_one_height(|reader| {
            let mut own = reader.own.borrow_mut();
            if own.height.is_none() || own.height != row::applied_height(&reader.db)? {
                *own = Memory::build(&reader.db)?;
            }
            ask(Scene {
                db: &reader.db,
                memory: &own,
                library,
            })
        })
    }

    /// Which of `files` a library has, in the order asked.
    ///
    /// # Errors
    /// [`ReadError::Database`].
    pub fn check(&self, library: &LibraryId, files: &[BlobId]) -> Result<Vec<Presence>, ReadError> {
        self.at_one_height(|reader| {
            let mut state = reader
                .db
                .prepare_cached("SELECT state FROM files WHERE file = ?1 AND library = ?2")?;
            let mut presence = |file: &BlobId| {
                let state: Option<u8> = state
                    .query_row(params![file.as_bytes(), library.as_str()], |row| row.get(0))
                    .optional()?;
                Ok(match state {
                    None => Presence::Missing,
                    Some(state) if state == State::Trashed as u8 => Presence::Trashed,
                    Some(_) => Presence::Present,
                })
            };
            files.iter().map(&mut presence).collect()
        })
    }

    /// Every change of a file, first to last; empty if there is no such file.
    ///
    /// # Errors
    /// [`ReadError::Database`].
    pub fn history(
        &self,
        library: &LibraryId,
        file: &BlobId,
    ) -> Result<Vec<HistoryEntry>, ReadError> {
        self.at_one_height(|reader| Ok(history::of_file(&reader.db, library, file)?))
    }

    /// The tags that live files of a library carry, by name.
    ///
    /// # Errors
    /// [`ReadError::Database`].
    pub fn tags(&self, library: &LibraryId) -> Result<Vec<TagCount>, ReadError> {
        self.at_one_height(|reader| Ok(tags::live_counts(&reader.db, library, false)?))
    }

    /// The same with the tags that only lie above those, so that there is a tree.
    ///
    /// # Errors
    /// [`ReadError::Database`].
    pub fn tag_tree(&self, library: &LibraryId) -> Result<Vec<TagCount>, ReadError> {
        self.at_one_height(|reader| Ok(tags::live_counts(&reader.db, library, true)?))
    }

    /// The fields of a library, retired ones too, by name.
    ///
    /// # Errors
    /// [`ReadError::Database`].
    pub fn fields(&self, library: &LibraryId) -> Result<Vec<OwnField>, ReadError> {
        Ok(fields::all(&self.db, library)?)
    }

    /// The field of this name, retired or not.
    ///
    /// # Errors
    /// [`ReadError::Database`].
    pub fn field(&self, library: &LibraryId, name: &str) -> Result<Option<OwnField>, ReadError> {
        Ok(fields::named(&self.db, library, name)?)
    }

    /// The albums of a library with what is in them, in the order of their ids.
    ///
    /// # Errors
    /// [`ReadError::Database`].
    pub fn albums(&self, library: &LibraryId) -> Result<Vec<KnownAlbum>, ReadError> {
        self.at_one_height(|reader| {
            let all = albums::definitions(&reader.db, library)?.into_iter();
            let known = all.map(|album| albums::known(&reader.db, library, album));
            Ok(known.collect::<Result<_, _>>()?)
        })
    }

    /// An album with what is in it.
    ///
    /// # Errors
    /// [`ReadError::Database`].
    pub fn album(&self, library: &LibraryId, id: AlbumId) -> Result<Option<KnownAlbum>, ReadError> {
        self.at_one_height(|reader| {
            let found = albums::definition(&reader.db, library, id)?;
            let known = found.map(|album| albums::known(&reader.db, library, (id, album)));
            Ok(known.transpose()?)
        })
    }

    /// A page of the files that were put into an album, in its order, from behind a place and file.
    ///
    /// # Errors
    /// [`ReadError::Database`].
    pub fn album_files(
        &self,
        library: &LibraryId,
        album: AlbumId,
        after: Option<(u64, BlobId)>,
        limit: u32,
    ) -> Result<Vec<(u64, File)>, ReadError> {
        self.at_one_height(|reader| Ok(albums::files(&reader.db, library, album, after, limit)?))
    }

    /// All files that meet a query, and the height at which they do.
    ///
    /// # Errors
    /// [`SearchError`].
    pub fn select(
        &self,
        library: &LibraryId,
        query: &Query,
    ) -> Result<(Height, Vec<BlobId>), SearchError> {
        self.indexed(library, |scene| search::select(scene, query, None))
    }

    /// An operation over many files.
    ///
    /// # Errors
    /// [`ReadError::Database`].
    pub fn operation(&self, operation: OperationId) -> Result<Option<Operation>, ReadError> {
        Ok(bulk::operation(&self.db, operation)?)
    }

    /// The operations that are not over, oldest first.
    ///
    /// # Errors
    /// [`ReadError::Database`].
    pub fn unfinished_operations(&self) -> Result<Vec<Operation>, ReadError> {
        Ok(bulk::unfinished(&self.db)?)
    }

    /// How many files of an operation were changed, unchanged, skipped and refused so far, and the last block in which one
    /// was.
    ///
    /// # Errors
    /// [`ReadError::Database`].
    pub fn operation_counts(
        &self,
        operation: OperationId,
    ) -> Result<([u64; 4], Option<Height>), ReadError> {
        Ok(bulk::counts(&self.db, operation)?)
    }

    /// A page of an operation's files, from behind `after`; only those that were not simply done, if `odd`.
    ///
    /// # Errors
    /// [`ReadError::Database`].
    pub fn operation_files(
        &self,
        operation: OperationId,
        after: Option<BlobId>,
        odd: bool,
        limit: u32,
    ) -> Result<Vec<TakenFile>, ReadError> {
        Ok(bulk::files(&self.db, operation, after, odd, limit)?)
    }

    /// The files that an operation has changed.
    ///
    /// # Errors
    /// [`ReadError::Database`].
    pub fn changed_by(&self, operation: OperationId) -> Result<Vec<BlobId>, ReadError> {
        Ok(bulk::changed_without(&self.db, operation, None)?)
    }

    /// The files that an operation is still to be done to, as far as this can be known by who did not choose them: those of
    /// its query that were there when it was frozen, or those of the operation that it undoes. None if they were named one
    /// by one.
    ///
    /// # Errors
    /// [`SearchError`].
    pub fn operation_rest(
        &self,
        operation: &Operation,
    ) -> Result<Option<Vec<BlobId>>, SearchError> {
        if let Deed::Undo(of) = operation.deed {
            let rest = bulk::changed_without(&self.db, of, Some(operation.id))?;
            return Ok(Some(rest));
        }
        let query = operation.query.as_ref().and_then(|text| text.parse().ok());
        let Some(query): Option<Query> = query else {
            return Ok(None);
        };
        self.indexed(&operation.library, |scene| {
            let (_, mut files) = search::select(scene, &query, Some(operation.frozen))?;
            let mut taken = Ok(());
            files.retain(|file| match bulk::is_taken(scene.db, operation.id, file) {
                Ok(is) => !is,
                Err(error) => {
                    taken = Err(error);
                    false
                }
            });
            taken?;
            Ok(Some(files))
        })
    }

    /// What became of a command that carried a request key, for 24 hours of block time.
    ///
    /// # Errors
    /// [`ReadError::Database`].
    pub fn outcome(&self, position: Position) -> Result<Option<Outcome>, ReadError> {
        let verdict: Option<Verdict> = self
            .db
            .prepare_cached("SELECT verdict FROM outcomes WHERE height = ?1 AND idx = ?2")?
            .query_row(
                params![position.height.0.cast_signed(), position.index],
                |row| row::decoded(row, 0),
            )
            .optional()?;
        let outcome = verdict.map(|verdict| verdict.to_outcome(&self.db));
        Ok(outcome.transpose()?)
    }

    /// What is known of a blob; nothing if nobody has put it within a day and no file names it.
    ///
    /// # Errors
    /// [`ReadError::Database`].
    pub fn blob(&self, blob: &BlobId) -> Result<Option<BlobRecord>, ReadError> {
        self.at_one_height(|reader| Ok(access::blob(&reader.db, blob)?))
    }

    /// A page of about `limit` of the blobs that must exist: those that a file names, in whatever state, if a block up
    /// to `until` added it, and those put within the last day. In the order of their names, from behind `after`.
    ///
    /// # Errors
    /// [`ReadError::Database`].
    pub fn named(
        &self,
        after: Option<BlobId>,
        until: Height,
        limit: u32,
    ) -> Result<NamedPage, ReadError> {
        self.at_one_height(|reader| Ok(named::page(&reader.db, after, until, limit)?))
    }

    /// What files have named above a height, oldest first, at most `limit`.
    ///
    /// # Errors
    /// [`ReadError::Database`].
    pub fn named_since(&self, above: Height, limit: u32) -> Result<Vec<NewlyNamed>, ReadError> {
        Ok(named::since(&self.db, above, limit)?)
    }

    /// The last block up to `until` in which a file named a blob; genesis if there is none.
    ///
    /// # Errors
    /// [`ReadError::Database`].
    pub fn newest_named(&self, until: Height) -> Result<Height, ReadError> {
        Ok(named::newest(&self.db, until)?)
    }

    /// What was put and expires after a time, and when the last of it does.
    ///
    /// # Errors
    /// [`ReadError::Database`].
    pub fn puts_since(&self, expires: Timestamp) -> Result<(Vec<Named>, Timestamp), ReadError> {
        Ok(named::puts_since(&self.db, expires)?)
    }

    /// Whether a file, in whatever state, or a put of the last day names a blob.
    ///
    /// # Errors
    /// [`ReadError::Database`].
    pub fn is_named(&self, blob: &BlobId) -> Result<bool, ReadError> {
        Ok(named::is_named(&self.db, blob)?)
    }

    /// The object store that holds files' bytes or is to, if there is one.
    ///
    /// # Errors
    /// [`ReadError::Database`].
    pub fn originals(&self) -> Result<Option<OriginalsStore>, ReadError> {
        Ok(originals::store(&self.db)?)
    }

    /// The lowest purge that one of these nodes has not erased yet.
    ///
    /// # Errors
    /// [`ReadError::Database`].
    pub fn unfinished_purge(&self, nodes: &[NodeId]) -> Result<Option<Height>, ReadError> {
        Ok(originals::unfinished_purge(&self.db, nodes)?)
    }

    /// The last purge that has an effect.
    ///
    /// # Errors
    /// [`ReadError::Database`].
    pub fn last_purge(&self) -> Result<Option<Height>, ReadError> {
        Ok(originals::last_purge(&self.db)?)
    }

    /// The block in which a file that is there now named a blob first; none if no file names it.
    ///
    /// # Errors
    /// [`ReadError::Database`].
    pub fn named_first(&self, blob: &BlobId) -> Result<Option<Height>, ReadError> {
        Ok(originals::named_since(&self.db, blob)?)
    }

    /// An upload of a token's that is not over, or was over lately.
    ///
    /// # Errors
    /// [`ReadError::Database`].
    pub fn upload(&self, upload: UploadId, token: TokenId) -> Result<Option<Upload>, ReadError> {
        Ok(uploads::upload(&self.db, upload, token)?)
    }

    /// What has arrived of an upload, in order and without gaps.
    ///
    /// # Errors
    /// [`ReadError::Database`].
    pub fn upload_parts(&self, upload: UploadId) -> Result<Vec<Part>, ReadError> {
        Ok(uploads::parts(&self.db, upload)?)
    }

    /// The commands that name a file of a library, for a purge.
    ///
    /// # Errors
    /// [`ReadError::Database`].
    pub fn commands_naming(
        &self,
        library: &LibraryId,
        file: &BlobId,
    ) -> Result<Vec<Erasure>, ReadError> {
        Ok(purge::commands_naming(&self.db, library, file)?)
    }

    /// Files that are to be forgotten: those that have been in the trash since before `trashed`, and those that commands
    /// name, the last of them before `named`, although there is no such file.
    ///
    /// # Errors
    /// [`ReadError::Database`].
    pub fn due(
        &self,
        trashed: Timestamp,
        named: Timestamp,
        limit: usize,
    ) -> Result<Vec<(LibraryId, BlobId)>, ReadError> {
        Ok(purge::due(&self.db, trashed, named, limit)?)
    }

    /// A purge that has an effect.
    ///
    /// # Errors
    /// [`ReadError::Database`].
    pub fn purge(&self, position: Position) -> Result<Option<Purge>, ReadError> {
        self.at_one_height(|reader| Ok(purge::at(&reader.db, position)?))
    }

    /// The purges that a node has not erased yet, first to last; of nobody, all.
    ///
    /// # Errors
    /// [`ReadError::Database`].
    pub fn purges(&self, not_by: Option<NodeId>) -> Result<Vec<Purge>, ReadError> {
        self.at_one_height(|reader| {
            let places = purge::places(&reader.db, not_by)?;
            let found = places.into_iter().map(|at| purge::at(&reader.db, at));
            Ok(found
                .filter_map(Result::transpose)
                .collect::<Result<_, _>>()?)
        })
    }

    /// The purge that has named a command.
    ///
    /// # Errors
    /// [`ReadError::Database`].
    pub fn purged_by(&self, command: Position) -> Result<Option<Position>, ReadError> {
        Ok(purge::purged_by(&self.db, command)?)
    }

    /// Purged files whose bytes may still be on this node, with their purges.
    ///
    /// # Errors
    /// [`ReadError::Database`].
    pub fn remains(&self) -> Result<Vec<(BlobId, Position)>, ReadError> {
        Ok(purge::remains(&self.db)?)
    }

    /// How much a library holds.
    ///
    /// # Errors
    /// [`ReadError::Database`].
    pub fn stats(&self, library: &LibraryId) -> Result<Stats, ReadError> {
        let sql = "SELECT count(*), coalesce(sum(size), 0) FROM files WHERE library = ?1";
        let mut query = self.db.prepare_cached(sql)?;
        let stats = query.query_row([library.as_str()], |row| {
            Ok(Stats {
                files: row::number(row, 0)?,
                bytes: row::number(row, 1)?,
            })
        })?;
        Ok(stats)
    }

    /// What SQLite finds wrong with the file as a database; nothing if it is sound. Reads all.
    ///
    /// # Errors
    /// [`ReadError::Database`].
    pub fn quick_check(&self) -> Result<Option<String>, ReadError> {
        let sql = "PRAGMA quick_check(1)";
        let found: String = self.db.query_row(sql, [], |row| row.get(0))?;
        Ok((found != "ok").then_some(found))
    }

    /// One hash over everything the catalogue says and the height it says it at; none before genesis. Reads all.
    ///
    /// # Errors
    /// [`ReadError::Database`].
    pub fn digest(&self) -> Result<Option<(Height, Digest)>, ReadError> {
        self.at_one_height(|reader| {
            let Some(height) = reader.height()? else {
                return Ok(None);
            };
            Ok(Some((height, digest::digest(&reader.db)?)))
        })
    }
}
