//! Albums: what they are, what is in them, and what a query means that names one.

use model::{Album, AlbumId, BlobId, LibraryId, codec::Encode as _, codec_struct};
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::file::File;
use crate::row;

/// Albums within one another.
pub const ALBUM_DEPTH_MAX: usize = 16;
/// Albums of a library.
pub const ALBUMS_MAX: u64 = 10_000;
/// Albums that one file is in.
pub const FILE_ALBUMS_MAX: usize = 1000;
/// Room between two places that were given, so that a file can be put between them.
pub const RANK_STEP: u64 = 1 << 20;
/// Files that were only put into an album come behind those that were given a place, in the order in which they came.
pub(crate) const APPENDED: u64 = 1 << 62;

/// That a file is in an album.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct InAlbum {
    pub(crate) album: AlbumId,
    pub(crate) rank: u64,
}

codec_struct!(InAlbum { album, rank });

/// An album of a library.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownAlbum {
    /// Its name in the ledger.
    pub id: AlbumId,
    /// What it is.
    pub album: Album,
    /// How many files were put into it that are not in the trash; none if it has a rule.
    pub files: u64,
    /// The file that stands for it: the one that was made its cover last, else its first.
    pub cover: Option<BlobId>,
}

const COLUMNS: &str = "SELECT album, definition FROM albums WHERE library = ?1";

fn of_row(row: &Row<'_>) -> rusqlite::Result<(AlbumId, Album)> {
    Ok((AlbumId(row.get(0)?), row::decoded(row, 1)?))
}

/// What all albums of a library are, in the order of their ids.
pub(crate) fn definitions(
    db: &Connection,
    library: &LibraryId,
) -> rusqlite::Result<Vec<(AlbumId, Album)>> {
    db.prepare_cached(&format!("{COLUMNS} ORDER BY album"))?
        .query_map([library.as_str()], of_row)?
        .collect()
}

/// What an album is.
pub(crate) fn definition(
    db: &Connection,
    library: &LibraryId,
    album: AlbumId,
) -> rusqlite::Result<Option<Album>> {
    let found = db
        .prepare_cached(&format!("{COLUMNS} AND album = ?2"))?
        .query_row(params![library.as_str(), album.as_bytes()], of_row)
        .optional()?;
    Ok(found.map(|(_, album)| album))
}

/// Writes down what an album is.
pub(crate) fn put(
    db: &Connection,
    library: &LibraryId,
    id: AlbumId,
    album: &Album,
) -> rusqlite::Result<()> {
    db.prepare_cached(
        "INSERT OR REPLACE INTO albums(library, album, definition) VALUES (?1, ?2, ?3)",
    )?
    .execute(params![library.as_str(), id.as_bytes(), album.to_bytes()])?;
    Ok(())
}

/// An album with what is in it.
pub(crate) fn known(
    db: &Connection,
    library: &LibraryId,
    (id, album): (AlbumId, Album),
) -> rusqlite::Result<KnownAlbum> {
    let of = params![library.as_str(), id.as_bytes()];
    let files = db
        .prepare_cached(
            "SELECT count(*) FROM album_files a JOIN files f ON f.id = a.id
             WHERE a.library = ?1 AND a.album = ?2 AND f.state <> 2",
        )?
        .query_row(of, |row| row::number(row, 0))?;
    let cover = db
        .prepare_cached(
            "SELECT f.file FROM album_files a JOIN files f ON f.id = a.id
             WHERE a.library = ?1 AND a.album = ?2 AND f.state <> 2
             ORDER BY a.cover IS NULL, a.cover DESC, a.rank, f.file LIMIT 1",
        )?
        .query_row(of, |row| row.get(0).map(BlobId))
        .optional()?;
    Ok(KnownAlbum {
        id,
        album,
        files,
        cover,
    })
}

/// The files of an album in its order, from behind a place in it, trashed ones left out.
pub(crate) fn files(
    db: &Connection,
    library: &LibraryId,
    album: AlbumId,
    after: Option<(u64, BlobId)>,
    limit: u32,
) -> rusqlite::Result<Vec<(u64, File)>> {
    let (rank, file) = after.map_or((0, Vec::new()), |(rank, file)| {
        (rank, file.as_bytes().to_vec())
    });
    let mut query = db.prepare_cached(
        "SELECT f.id, f.arrival, f.record, a.rank FROM album_files a JOIN files f ON f.id = a.id
         WHERE a.library = ?1 AND a.album = ?2 AND f.state <> 2 AND (a.rank, f.file) > (?3, ?4)
         ORDER BY a.rank, f.file LIMIT ?5",
    )?;
    let of = params![
        library.as_str(),
        album.as_bytes(),
        rank.cast_signed(),
        file,
        limit
    ];
    let rows = query.query_map(of, |row| {
        Ok((
            row::number(row, 3)?,
            row::file_row(row)?.stored.to_file(db)?,
        ))
    })?;
    rows.collect()
}
