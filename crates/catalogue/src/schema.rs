//! The database file: its tables, its version, and what happens to one that cannot be used.
//!
//! The catalogue is derived, so a file of another version, or a damaged one, is not migrated or mended: it is put
//! aside under another name and the caller replays the ledger into an empty one.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

/// Changes with every change of the tables or of what is written into them. Folding text follows the compiler's
/// Unicode tables, so their version is part of it.
pub(crate) const VERSION: i64 = 9_000 + char::UNICODE_VERSION.0 as i64;
/// Marks the file as ours: `STLc`.
const APPLICATION: i64 = 0x5354_4c63;
/// How long a reader or the writer waits for the other's brief locks.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// Prepared statements kept per connection.
const STATEMENTS: usize = 128;

/// Everything but `record`, `changes` and `verdict` repeats what those say, in the form that searches compare.
/// `remains` is this node's own: what it has not
/// erased yet.
const TABLES: &str = "
CREATE TABLE applied(
    one INTEGER PRIMARY KEY CHECK (one = 1),
    height INTEGER NOT NULL, hash BLOB NOT NULL, time INTEGER NOT NULL);
CREATE TABLE libraries(
    library TEXT PRIMARY KEY, created INTEGER NOT NULL, title TEXT NOT NULL, shared INTEGER NOT NULL,
    retired INTEGER) WITHOUT ROWID;
CREATE TABLE members(
    library TEXT NOT NULL, member TEXT NOT NULL, role INTEGER NOT NULL,
    PRIMARY KEY (library, member)) WITHOUT ROWID;
CREATE TABLE library_history(
    library TEXT NOT NULL, height INTEGER NOT NULL, idx INTEGER NOT NULL, time INTEGER NOT NULL,
    actor BLOB NOT NULL, step BLOB NOT NULL, PRIMARY KEY (library, height, idx)) WITHOUT ROWID;
CREATE TABLE shares(
    library TEXT NOT NULL, share BLOB NOT NULL, secret BLOB NOT NULL UNIQUE, file BLOB,
    definition BLOB NOT NULL, sharer TEXT NOT NULL, actor BLOB NOT NULL, created INTEGER NOT NULL,
    revoked INTEGER, PRIMARY KEY (library, share)) WITHOUT ROWID;

CREATE TABLE files(
    id INTEGER PRIMARY KEY,
    library TEXT NOT NULL, file BLOB NOT NULL, state INTEGER NOT NULL, kind INTEGER NOT NULL,
    taken INTEGER, lat REAL, lon REAL, rating INTEGER, favourite INTEGER NOT NULL,
    fields INTEGER NOT NULL, arrival INTEGER NOT NULL, name TEXT NOT NULL, size INTEGER NOT NULL,
    record BLOB NOT NULL);
CREATE UNIQUE INDEX files_file ON files(file, library);
CREATE INDEX files_scope ON files(library, state);
CREATE INDEX files_arrival ON files(library, arrival);
CREATE INDEX files_name ON files(library, name);
CREATE INDEX files_size ON files(library, size);
CREATE INDEX files_rating ON files(library, rating) WHERE rating IS NOT NULL;

CREATE TABLE tags(
    library TEXT NOT NULL, path TEXT NOT NULL, id INTEGER NOT NULL, spelled TEXT,
    PRIMARY KEY (library, path, id)) WITHOUT ROWID;

CREATE TABLE hashes(
    library TEXT NOT NULL, file BLOB NOT NULL, state INTEGER NOT NULL, hash INTEGER NOT NULL,
    PRIMARY KEY (library, file)) WITHOUT ROWID;
CREATE TABLE waiting(
    needs TEXT NOT NULL, file BLOB NOT NULL, library TEXT NOT NULL,
    PRIMARY KEY (needs, file, library)) WITHOUT ROWID;
CREATE INDEX waiting_file ON waiting(library, file);
CREATE TABLE previews(
    library TEXT NOT NULL, file BLOB NOT NULL, blob BLOB NOT NULL, size INTEGER NOT NULL,
    arrival INTEGER NOT NULL, PRIMARY KEY (library, file)) WITHOUT ROWID;
CREATE INDEX previews_blob ON previews(blob);
CREATE INDEX previews_arrival ON previews(arrival);

CREATE TABLE history(
    library TEXT NOT NULL, file BLOB NOT NULL, height INTEGER NOT NULL, idx INTEGER NOT NULL,
    time INTEGER NOT NULL, actor BLOB NOT NULL, kind INTEGER NOT NULL, version INTEGER NOT NULL,
    changes BLOB NOT NULL, operation BLOB,
    PRIMARY KEY (library, file, height, idx)) WITHOUT ROWID;
CREATE TABLE fields(
    library TEXT NOT NULL, number INTEGER NOT NULL, name TEXT NOT NULL, definition BLOB NOT NULL,
    retired INTEGER NOT NULL,
    PRIMARY KEY (library, number)) WITHOUT ROWID;
CREATE UNIQUE INDEX fields_name ON fields(library, name);
CREATE TABLE field_values(
    library TEXT NOT NULL, number INTEGER NOT NULL, value NOT NULL, id INTEGER NOT NULL,
    PRIMARY KEY (library, number, value, id)) WITHOUT ROWID;
CREATE TABLE albums(
    library TEXT NOT NULL, album BLOB NOT NULL, definition BLOB NOT NULL,
    PRIMARY KEY (library, album)) WITHOUT ROWID;
CREATE TABLE album_files(
    library TEXT NOT NULL, album BLOB NOT NULL, id INTEGER NOT NULL, rank INTEGER NOT NULL,
    cover INTEGER, PRIMARY KEY (library, album, id)) WITHOUT ROWID;
CREATE INDEX album_files_rank ON album_files(library, album, rank);
CREATE TABLE operations(
    library TEXT NOT NULL, operation BLOB NOT NULL, height INTEGER NOT NULL, idx INTEGER NOT NULL,
    time INTEGER NOT NULL, actor BLOB NOT NULL, step BLOB NOT NULL, ended INTEGER,
    PRIMARY KEY (operation)) WITHOUT ROWID;
CREATE INDEX operations_unfinished ON operations(height, idx) WHERE ended IS NULL;
CREATE TABLE taken(
    library TEXT NOT NULL, operation BLOB NOT NULL, file BLOB NOT NULL, height INTEGER NOT NULL,
    idx INTEGER NOT NULL, result INTEGER NOT NULL, detail TEXT NOT NULL,
    PRIMARY KEY (operation, file)) WITHOUT ROWID;
CREATE INDEX taken_file ON taken(file, library);
CREATE TABLE puts(
    library TEXT NOT NULL, blob BLOB NOT NULL, token BLOB NOT NULL,
    size INTEGER NOT NULL, expires INTEGER NOT NULL,
    PRIMARY KEY (blob, token)) WITHOUT ROWID;
CREATE INDEX puts_expires ON puts(expires);
CREATE TABLE uploads(
    library TEXT NOT NULL, upload BLOB NOT NULL, token BLOB NOT NULL, size INTEGER NOT NULL,
    described TEXT NOT NULL, arrived INTEGER NOT NULL, file BLOB, expires INTEGER NOT NULL,
    stand_in BLOB NOT NULL, PRIMARY KEY (upload)) WITHOUT ROWID;
CREATE INDEX uploads_expires ON uploads(expires);
CREATE INDEX uploads_token ON uploads(token);
CREATE TABLE parts(
    library TEXT NOT NULL, upload BLOB NOT NULL, start INTEGER NOT NULL, size INTEGER NOT NULL,
    blob BLOB NOT NULL,
    PRIMARY KEY (upload, start)) WITHOUT ROWID;
CREATE INDEX parts_blob ON parts(blob);
CREATE TABLE tokens(
    library TEXT NOT NULL, token BLOB NOT NULL, name TEXT NOT NULL, scope INTEGER NOT NULL,
    secret BLOB NOT NULL, created INTEGER NOT NULL, creator BLOB NOT NULL, revoked INTEGER,
    owner TEXT, expires INTEGER, session INTEGER, used INTEGER,
    PRIMARY KEY (token)) WITHOUT ROWID;
CREATE INDEX tokens_owner ON tokens(owner) WHERE owner IS NOT NULL;
CREATE TABLE users(
    user TEXT PRIMARY KEY, name TEXT NOT NULL, role INTEGER NOT NULL, state INTEGER NOT NULL,
    created INTEGER NOT NULL, creator BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE passwords(
    user TEXT PRIMARY KEY, library TEXT NOT NULL, secret BLOB NOT NULL, hash TEXT NOT NULL
    ) WITHOUT ROWID;
CREATE INDEX passwords_secret ON passwords(secret);
CREATE TABLE replaced(secret BLOB PRIMARY KEY, library TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE outcomes(
    library TEXT NOT NULL, height INTEGER NOT NULL, idx INTEGER NOT NULL,
    expires INTEGER NOT NULL, verdict BLOB NOT NULL,
    PRIMARY KEY (height, idx)) WITHOUT ROWID;
CREATE INDEX outcomes_expires ON outcomes(expires);

CREATE TABLE mentions(
    height INTEGER NOT NULL, idx INTEGER NOT NULL, library TEXT NOT NULL, file BLOB NOT NULL,
    actor BLOB NOT NULL, residue BLOB NOT NULL, time INTEGER NOT NULL,
    PRIMARY KEY (height, idx)) WITHOUT ROWID;
CREATE INDEX mentions_file ON mentions(file, library);
CREATE TABLE purges(
    height INTEGER NOT NULL, idx INTEGER NOT NULL, library TEXT NOT NULL, time INTEGER NOT NULL,
    PRIMARY KEY (height, idx)) WITHOUT ROWID;
CREATE TABLE purged(
    height INTEGER NOT NULL, idx INTEGER NOT NULL, actor BLOB NOT NULL, residue BLOB NOT NULL,
    by_height INTEGER NOT NULL, by_idx INTEGER NOT NULL,
    PRIMARY KEY (height, idx)) WITHOUT ROWID;
CREATE INDEX purged_by ON purged(by_height, by_idx);
CREATE TABLE erased(
    height INTEGER NOT NULL, idx INTEGER NOT NULL, node BLOB NOT NULL, time INTEGER NOT NULL,
    PRIMARY KEY (height, idx, node)) WITHOUT ROWID;
CREATE TABLE marks(height INTEGER PRIMARY KEY, time INTEGER NOT NULL);
CREATE TABLE vouched(
    height INTEGER NOT NULL, node BLOB NOT NULL, version INTEGER NOT NULL, digest BLOB NOT NULL,
    PRIMARY KEY (height, node)) WITHOUT ROWID;
CREATE TABLE originals(
    id INTEGER PRIMARY KEY CHECK (id = 1), url TEXT NOT NULL, home INTEGER NOT NULL,
    era INTEGER NOT NULL, since INTEGER NOT NULL);
CREATE TABLE prunes(
    height INTEGER NOT NULL, idx INTEGER NOT NULL, time INTEGER NOT NULL, through INTEGER NOT NULL,
    snapshot INTEGER NOT NULL, version INTEGER NOT NULL, digest BLOB NOT NULL,
    PRIMARY KEY (height, idx)) WITHOUT ROWID;
CREATE TABLE remains(
    file BLOB PRIMARY KEY, height INTEGER NOT NULL, idx INTEGER NOT NULL) WITHOUT ROWID;
";

/// Why the catalogue could not be opened, not even empty.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// SQLite refuses a new file.
    #[error("opening the catalogue {path}")]
    Database {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        #[source]
        source: rusqlite::Error,
    },
    /// An unusable file could not be moved out of the way.
    #[error("putting the catalogue {path} aside")]
    Aside {
        /// The file.
        path: PathBuf,
        /// What the file system says.
        #[source]
        source: io::Error,
    },
}

/// Why an existing file is not used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// Written by another version of the program, or by another program.
    #[error("it has version {found}, this program writes version {VERSION}")]
    Version {
        /// The version found.
        found: i64,
    },
    /// SQLite cannot read it.
    #[error("it is damaged: {0}")]
    Damaged(String),
}

/// A file that was moved out of the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetAside {
    /// Where it is kept. An older one there is overwritten.
    pub path: PathBuf,
    /// What is wrong with it.
    pub why: Unusable,
}

/// Who vouches for a file that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trust {
    /// Nobody: it is looked through, which takes seconds for a million files.
    Nobody,
    /// This node has left it so.
    Left,
}

/// Opens the file for the one writer; creates it if it is missing, replaces it if it cannot be used.
pub(crate) fn open_writer(
    path: &Path,
    trust: Trust,
) -> Result<(Connection, Option<SetAside>), OpenError> {
    let open = |path: &Path| {
        open_usable(path, trust).map_err(|source| OpenError::Database {
            path: path.into(),
            source,
        })
    };
    match open(path)? {
        Ok(db) => Ok((db, None)),
        Err(why) => {
            let aside = set_aside(path, why)?;
            let db = open(path)?.map_err(|_| OpenError::Database {
                path: path.into(),
                source: rusqlite::Error::InvalidQuery,
            })?;
            Ok((db, Some(aside)))
        }
    }
}

/// Opens the file for a reader, which can change nothing.
pub(crate) fn open_reader(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags)?;
    db.busy_timeout(BUSY_TIMEOUT)?;
    db.set_prepared_statement_cache_capacity(STATEMENTS);
    db.execute_batch(
        "PRAGMA query_only = ON; PRAGMA mmap_size = 268435456; PRAGMA cache_size = -16384;",
    )?;
    Ok(db)
}

/// Moves an unusable catalogue to the same name with `.aside` behind it.
pub(crate) fn set_aside(path: &Path, why: Unusable) -> Result<SetAside, OpenError> {
    let fail = |source| OpenError::Aside {
        path: path.into(),
        source,
    };
    let aside = beside(path, ".aside");
    for journal in ["-wal", "-shm"] {
        match fs::remove_file(beside(path, journal)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(fail(error)),
            _ => {}
        }
    }
    fs::rename(path, &aside).map_err(fail)?;
    Ok(SetAside { path: aside, why })
}

/// Moves a catalogue with its journals aside, and another one to where it was.
pub(crate) fn exchange(path: &Path, other: &Path, aside: &Path) -> Result<(), OpenError> {
    move_all(path, aside)?;
    move_all(other, path)
}

/// Moves a file with its journals.
pub(crate) fn move_all(from: &Path, to: &Path) -> Result<(), OpenError> {
    for suffix in ["-wal", "-shm", ""] {
        match fs::rename(beside(from, suffix), beside(to, suffix)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && !suffix.is_empty() => {}
            moved => moved.map_err(|source| OpenError::Aside {
                path: from.into(),
                source,
            })?,
        }
    }
    Ok(())
}

/// Removes a file with its journals.
pub(crate) fn remove_all(path: &Path) -> Result<(), OpenError> {
    for suffix in ["-wal", "-shm", ""] {
        match fs::remove_file(beside(path, suffix)) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                let path = path.into();
                return Err(OpenError::Aside { path, source });
            }
            _ => {}
        }
    }
    Ok(())
}

/// A name in a folder that nothing has yet.
pub(crate) fn free_place(folder: &Path) -> PathBuf {
    let places = (1_u64..).map(|number| folder.join(format!("catalogue.{number}.sqlite")));
    let mut free = places.filter(|place| !place.exists());
    free.next().expect("there are more numbers than files")
}

pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// The outer result is about the world, the inner one about the file.
fn open_usable(path: &Path, trust: Trust) -> rusqlite::Result<Result<Connection, Unusable>> {
    let db = Connection::open(path)?;
    match prepare(&db, trust) {
        Ok(Ok(())) => Ok(Ok(db)),
        Ok(Err(why)) => Ok(Err(why)),
        Err(error) if is_damage(&error) => Ok(Err(Unusable::Damaged(error.to_string()))),
        Err(error) => Err(error),
    }
}

/// Whether an error says that the file itself is broken.
pub(crate) fn is_damage(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase, SchemaChanged, TypeMismatch};
    match error {
        rusqlite::Error::SqliteFailure(failure, message) => {
            let broken_schema = message
                .as_deref()
                .is_some_and(|text| text.contains("malformed") || text.contains("no such table"));
            matches!(
                failure.code,
                DatabaseCorrupt | NotADatabase | SchemaChanged | TypeMismatch
            ) || broken_schema
        }
        rusqlite::Error::FromSqlConversionFailure(..)
        | rusqlite::Error::InvalidColumnType(..)
        | rusqlite::Error::IntegralValueOutOfRange(..)
        | rusqlite::Error::QueryReturnedNoRows
        | rusqlite::Error::Utf8Error(..) => true,
        _ => false,
    }
}

/// Brings everything into the database file itself and cuts the journal beside it to nothing: what was deleted stands in
/// neither from then on. False if a reader is in the way; and a file that was put aside is removed.
///
/// # Errors
/// If the database cannot be reached, or the file not be removed.
pub fn empty_journal(path: &Path) -> Result<bool, OpenError> {
    let truncate = || {
        let db = Connection::open(path)?;
        db.busy_timeout(BUSY_TIMEOUT)?;
        db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| {
            row.get::<_, i64>(0)
        })
    };
    let busy = truncate().map_err(|source| OpenError::Database {
        path: path.into(),
        source,
    })?;
    let aside = beside(path, ".aside");
    match fs::remove_file(&aside) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(OpenError::Aside {
            path: aside,
            source,
        }),
        _ => Ok(busy == 0),
    }
}

/// Connects the writer to the file as it is.
pub(crate) fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let db = Connection::open(path)?;
    configure(&db)?;
    Ok(db)
}

fn configure(db: &Connection) -> rusqlite::Result<()> {
    db.busy_timeout(BUSY_TIMEOUT)?;
    db.set_prepared_statement_cache_capacity(STATEMENTS);
    // The ledger is the truth: after a power cut the catalogue may be some blocks behind, but never torn.
    db.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA secure_delete = ON;
         PRAGMA journal_size_limit = 67108864; PRAGMA cache_size = -65536;
         PRAGMA temp_store = MEMORY;",
    )
}

fn prepare(db: &Connection, trust: Trust) -> rusqlite::Result<Result<(), Unusable>> {
    configure(db)?;
    let pragma = |name| db.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let tables: i64 = db.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    let found = pragma("user_version")?;
    if tables == 0 && found == 0 {
        create(db)?;
        return Ok(Ok(()));
    }
    if found != VERSION || pragma("application_id")? != APPLICATION {
        return Ok(Err(Unusable::Version { found }));
    }
    if trust == Trust::Left {
        return Ok(Ok(()));
    }
    let check: String = db.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if check == "ok" {
        Ok(Ok(()))
    } else {
        Ok(Err(Unusable::Damaged(check)))
    }
}

/// A new database that is of use to nobody before it is finished, and is written without care until then.
pub(crate) fn create_unfinished(path: &Path) -> rusqlite::Result<Connection> {
    let db = Connection::open(path)?;
    db.set_prepared_statement_cache_capacity(STATEMENTS);
    db.execute_batch(
        "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -65536;
         PRAGMA temp_store = MEMORY;",
    )?;
    create(&db)?;
    Ok(db)
}

pub(crate) fn create(db: &Connection) -> rusqlite::Result<()> {
    let change = db.unchecked_transaction()?;
    change.execute_batch(TABLES)?;
    change.pragma_update(None, "application_id", APPLICATION)?;
    change.pragma_update(None, "user_version", VERSION)?;
    change.commit()
}
