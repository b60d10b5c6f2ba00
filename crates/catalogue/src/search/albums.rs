//! Albums in a query: what is in them, or what their rules find.

use model::{Album, AlbumId, LibraryId};
use rusqlite::Connection;

use super::SearchError;
use crate::albums;
use crate::query::{Expr, Extent, Pattern, Query, Term};
use crate::stored::fold;

/// Terms that the rules of albums may add to a query.
const TERMS_MAX: usize = 1000;

/// Puts in the place of every album that a filter names what it stands for.
pub(super) fn expand(
    db: &Connection,
    library: &LibraryId,
    filter: Option<&Expr>,
) -> Result<Option<Expr>, SearchError> {
    let Some(filter) = filter else {
        return Ok(None);
    };
    if !names_album(filter) {
        return Ok(Some(filter.clone()));
    }
    let mut expansion = Expansion {
        known: albums::definitions(db, library)?,
        within: Vec::new(),
        terms: 0,
    };
    expansion.expr(filter).map(Some)
}

fn names_album(expr: &Expr) -> bool {
    match expr {
        Expr::And(parts) | Expr::Or(parts) => parts.iter().any(names_album),
        Expr::Not(inner) => names_album(inner),
        Expr::Term(term) => matches!(term, Term::Album(_)),
    }
}

struct Expansion {
    known: Vec<(AlbumId, Album)>,
    /// The albums whose rules are being read.
    within: Vec<AlbumId>,
    terms: usize,
}

impl Expansion {
    fn expr(&mut self, expr: &Expr) -> Result<Expr, SearchError> {
        self.terms += 1;
        if self.terms > TERMS_MAX {
            return Err(album_error(
                "the rules of these albums are too long together",
            ));
        }
        Ok(match expr {
            Expr::And(parts) => Expr::And(self.all(parts)?),
            Expr::Or(parts) => Expr::Or(self.all(parts)?),
            Expr::Not(inner) => Expr::Not(Box::new(self.expr(inner)?)),
            Expr::Term(Term::Album(pattern)) => self.album(pattern)?,
            Expr::Term(_) => expr.clone(),
        })
    }

    fn all(&mut self, parts: &[Expr]) -> Result<Vec<Expr>, SearchError> {
        parts.iter().map(|part| self.expr(part)).collect()
    }

    /// Any album of the name or id, and all that lie in it.
    fn album(&mut self, pattern: &Pattern) -> Result<Expr, SearchError> {
        let meant = |(id, album): &&(AlbumId, Album)| {
            let (name, text) = (fold(&album.name), fold(&pattern.text));
            match pattern.extent {
                Extent::Whole => name == text || id.to_string() == pattern.text,
                Extent::Prefix => name.starts_with(&text),
            }
        };
        let mut found: Vec<AlbumId> = self.known.iter().filter(meant).map(|(id, _)| *id).collect();
        if found.is_empty() {
            return Err(album_error(&format!(
                "there is no album {:?}",
                pattern.text
            )));
        }
        let mut at = 0;
        while let Some(above) = found.get(at).copied() {
            let inner = self
                .known
                .iter()
                .filter(|(_, album)| album.parent == Some(above));
            let inner: Vec<AlbumId> = inner.map(|(id, _)| *id).collect();
            found.extend(
                inner
                    .into_iter()
                    .filter(|id| !found.contains(id))
                    .collect::<Vec<_>>(),
            );
            at += 1;
        }
        let parts = found.into_iter().map(|id| self.contents(id));
        Ok(Expr::Or(parts.collect::<Result<_, _>>()?))
    }

    fn contents(&mut self, id: AlbumId) -> Result<Expr, SearchError> {
        let known = self.known.iter().find(|(known, _)| *known == id);
        let Some((name, Some(rule))) = known.map(|(_, album)| (&album.name, &album.query)) else {
            return Ok(Expr::Term(Term::InAlbum(id)));
        };
        if self.within.contains(&id) {
            let detail = format!("the rule of album {name:?} asks for the album itself");
            return Err(album_error(&detail));
        }
        let rule: Query = rule
            .parse()
            .map_err(|error| album_error(&format!("the rule of album {name:?}: {error}")))?;
        self.within.push(id);
        let contents = match &rule.filter {
            Some(filter) => self.expr(filter)?,
            None => Expr::And(Vec::new()),
        };
        self.within.pop();
        Ok(contents)
    }
}

fn album_error(what: &str) -> SearchError {
    SearchError::Album(what.to_owned())
}
