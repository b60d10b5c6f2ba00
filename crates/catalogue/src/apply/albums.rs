//! Albums: made, said anew, taken away.

use model::file::{Change, Source};
use model::{Album, AlbumId, AlbumStep};
use rusqlite::params;

use super::Applier;
use crate::albums::{self, ALBUM_DEPTH_MAX, ALBUMS_MAX, APPENDED};
use crate::history::HistoryKind;
use crate::outcome::{Refusal, Verdict};
use crate::row::{self, FileRow};
use crate::rules;

impl Applier<'_> {
    /// Changes what albums there are.
    pub(super) fn album_step(&mut self, step: &AlbumStep) -> rusqlite::Result<Verdict> {
        match step {
            AlbumStep::Put { album, definition } => self.put_album(*album, definition),
            AlbumStep::Delete { album } => self.delete_album(*album),
        }
    }

    fn put_album(&mut self, id: AlbumId, album: &Album) -> rusqlite::Result<Verdict> {
        if let Err(error) = rules::check_album(album) {
            return Ok(Verdict::refused(Refusal::InvalidMetadata, error));
        }
        let library = &self.command.library;
        let before = albums::definition(self.db, library, id)?;
        if let Some(before) = &before
            && before.query.is_some() != album.query.is_some()
        {
            let detail = "an album with a rule and one without do not become each other";
            return Ok(Verdict::refused(Refusal::InvalidAlbum, detail));
        }
        if let Some(detail) = self.misplaced(id, album)? {
            return Ok(Verdict::refused(Refusal::InvalidAlbum, detail));
        }
        albums::put(self.db, library, id, album)?;
        let new = before.is_none();
        Ok(Verdict::AlbumPut { album: id, new })
    }

    /// Why an album cannot lie where it is to.
    fn misplaced(&self, id: AlbumId, album: &Album) -> rusqlite::Result<Option<String>> {
        let library = &self.command.library;
        let count = "SELECT count(*) FROM albums WHERE library = ?1";
        let count = self
            .db
            .prepare_cached(count)?
            .query_row([library.as_str()], |row| row::number(row, 0))?;
        if count >= ALBUMS_MAX {
            return Ok(Some(format!("a library has at most {ALBUMS_MAX} albums")));
        }
        let mut above = album.parent;
        for _ in 0..ALBUM_DEPTH_MAX {
            let Some(parent) = above else { return Ok(None) };
            if parent == id {
                return Ok(Some("an album does not lie in itself".to_owned()));
            }
            let Some(known) = albums::definition(self.db, library, parent)? else {
                return Ok(Some(format!("there is no album {parent}")));
            };
            above = known.parent;
        }
        let detail = format!("albums lie at most {ALBUM_DEPTH_MAX} deep in one another");
        Ok(Some(detail))
    }

    fn delete_album(&mut self, id: AlbumId) -> rusqlite::Result<Verdict> {
        let library = &self.command.library;
        let Some(album) = albums::definition(self.db, library, id)? else {
            return Ok(unknown(id));
        };
        let inner: Vec<(AlbumId, Album)> = albums::definitions(self.db, library)?;
        for (inner, definition) in inner {
            if definition.parent == Some(id) {
                let parent = album.parent;
                let moved = Album {
                    parent,
                    ..definition
                };
                albums::put(self.db, library, inner, &moved)?;
            }
        }
        for known in self.in_album(id)? {
            let mut after = known.stored.clone();
            after.change(&Change::RemoveFromAlbum(id), Source::User);
            self.replace(&known, after, HistoryKind::Edited, Source::User)?;
        }
        self.db
            .prepare_cached("DELETE FROM albums WHERE library = ?1 AND album = ?2")?
            .execute(params![library.as_str(), id.as_bytes()])?;
        Ok(Verdict::AlbumDeleted)
    }

    fn in_album(&self, id: AlbumId) -> rusqlite::Result<Vec<FileRow>> {
        self.db
            .prepare_cached(
                "SELECT f.id, f.arrival, f.record FROM album_files a JOIN files f ON f.id = a.id
                 WHERE a.library = ?1 AND a.album = ?2 ORDER BY f.id",
            )?
            .query_map(
                params![self.command.library.as_str(), id.as_bytes()],
                row::file_row,
            )?
            .collect()
    }

    /// The refusal of changes that name an album which takes no files.
    pub(super) fn refused_albums(&self, changes: &[Change]) -> rusqlite::Result<Option<Verdict>> {
        for change in changes {
            let named: &[AlbumId] = match change {
                Change::AddToAlbum { album, .. } | Change::Cover { album, .. } => &[*album],
                Change::Albums(albums) => albums,
                _ => continue,
            };
            for id in named {
                match albums::definition(self.db, &self.command.library, *id)? {
                    None => return Ok(Some(unknown(*id))),
                    Some(album) if album.query.is_some() => {
                        let detail =
                            format!("what is in album {} is found by its rule", album.name);
                        return Ok(Some(Verdict::refused(Refusal::InvalidAlbum, detail)));
                    }
                    Some(_) => {}
                }
            }
        }
        Ok(None)
    }

    /// Gives what comes last its place: in an album, or as its cover. The place follows from the command's own, so that it
    /// is the same whatever else is in the album.
    pub(super) fn placed(&self, change: &Change) -> Change {
        let here = self.arrival().cast_unsigned();
        match change {
            Change::AddToAlbum { album, rank } => Change::AddToAlbum {
                album: *album,
                rank: rank.or(Some(APPENDED + here)),
            },
            Change::Cover { album, .. } => Change::Cover {
                album: *album,
                at: Some(here),
            },
            other => other.clone(),
        }
    }
}

fn unknown(id: AlbumId) -> Verdict {
    Verdict::refused(Refusal::AlbumNotFound, format!("there is no album {id}"))
}
