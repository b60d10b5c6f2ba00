//! Which files meet a condition, as a bitmap.
//!
//! Every condition is asked among the files that are still in question. What bitmaps answer goes first; what every file
//! has to be looked at for (positions, sizes) goes last, when few are left. A file without a value meets no condition
//! about that value, so it is always found either by a condition or by its negation.

use model::Timestamp;
use model::file::{LocalTime, State};
use roaring::RoaringBitmap;

use super::own::Asked;
use crate::field::Field;
use crate::geo;
use crate::index::columns::Column;
use crate::index::library::Library;
use crate::index::posting::Union;
use crate::query::{BoundingBox, Expr, Extent, Measure, Pattern, Term, Within};
use crate::stored::fold;
use crate::time;

/// A library at the time of its newest block.
#[derive(Clone, Copy)]
pub(super) struct Matching<'a> {
    pub(super) library: &'a Library,
    /// What only rows could answer.
    pub(super) asked: &'a Asked,
    pub(super) now: Timestamp,
}

impl Matching<'_> {
    /// The files in a place that meet a filter.
    pub(super) fn files(&self, within: Within, filter: Option<&Expr>) -> RoaringBitmap {
        let among = self.within(within);
        match filter {
            None => among,
            Some(expr) => self.expr(expr, &among),
        }
    }

    /// The files in a place.
    fn within(&self, within: Within) -> RoaringBitmap {
        let [live, archived, trashed] = [State::Live, State::Archived, State::Trashed]
            .map(|state| self.library.states.get(state as usize));
        let wanted = match within {
            Within::Live => [live, None, None],
            Within::Trash => [trashed, None, None],
            Within::Archive => [archived, None, None],
            Within::All => [live, archived, trashed],
        };
        let mut files = RoaringBitmap::new();
        for state in wanted.into_iter().flatten() {
            files |= state;
        }
        files
    }

    /// Those of `among` that meet a condition.
    fn expr(&self, expr: &Expr, among: &RoaringBitmap) -> RoaringBitmap {
        match expr {
            Expr::And(parts) => {
                let mut parts: Vec<&Expr> = parts.iter().collect();
                parts.sort_by_key(|part| effort(part));
                let mut left = among.clone();
                for part in parts {
                    left = self.expr(part, &left);
                }
                left
            }
            Expr::Or(parts) => {
                let mut found = RoaringBitmap::new();
                for part in parts {
                    // Whoever is found already needs not be looked at again.
                    found |= self.expr(part, &(among - &found));
                }
                found
            }
            Expr::Not(inner) => among - self.expr(inner, among),
            Expr::Term(term) => self.term(term, among),
        }
    }

    fn term(&self, term: &Term, among: &RoaringBitmap) -> RoaringBitmap {
        let library = self.library;
        let texts = &library.texts;
        let all = [
            &texts.name,
            &texts.title,
            &texts.description,
            &texts.tag,
            &texts.place,
            &texts.camera,
            &texts.person,
            &texts.own,
        ];
        let phrase = |values: &[&crate::index::values::Values], pattern: &Pattern| {
            let mut found = Union::default();
            values
                .iter()
                .for_each(|values| values.find_files(pattern, &mut found));
            found.finish() & among
        };
        match term {
            Term::Text(pattern) => phrase(&all, pattern),
            Term::Name(pattern) => phrase(&[&texts.name], pattern),
            Term::Title(pattern) => phrase(&[&texts.title], pattern),
            Term::Description(pattern) => phrase(&[&texts.description], pattern),
            Term::Place(pattern) => phrase(&[&texts.place], pattern),
            Term::Camera(pattern) => phrase(&[&texts.camera], pattern),
            Term::Person(pattern) => phrase(&[&texts.person], pattern),
            Term::Tag(pattern) => self.tag(pattern, among),
            Term::Type(kind) => marked(library.kinds.get(*kind as usize), among),
            Term::Has(field) => marked(library.fields.get(*field as usize), among),
            Term::Missing(field) => among - marked(library.fields.get(*field as usize), among),
            Term::Favourite(true) => among & &library.favourites,
            Term::Favourite(false) => among - &library.favourites,
            Term::Rating { is, value } => {
                let mut found = RoaringBitmap::new();
                for (rating, files) in (0_u8..).zip(&library.ratings) {
                    if is.holds(&rating, value) {
                        found |= files & among;
                    }
                }
                found
            }
            Term::Taken(range) => self.taken(range.first(), range.last(), among),
            Term::After(date) => self.taken(date.first(), LocalTime::MAX, among),
            Term::Before(date) => match LocalTime::from_micros(date.first().micros() - 1) {
                Some(last) => self.taken(LocalTime::MIN, last, among),
                None => RoaringBitmap::new(),
            },
            Term::Own(_) | Term::HasOwn(_) | Term::InAlbum(_) | Term::Like(_) => {
                self.asked.files(term) & among
            }
            Term::MissingOwn(_) => among - self.asked.files(term),
            Term::Album(_) => unreachable!("albums are expanded before"),
            Term::Uploaded(_)
            | Term::Near(_)
            | Term::Bbox(_)
            | Term::Within(_)
            | Term::Width(_)
            | Term::Height(_)
            | Term::Size(_)
            | Term::Duration(_) => self.looked_at(term, among),
        }
    }

    fn tag(&self, pattern: &Pattern, among: &RoaringBitmap) -> RoaringBitmap {
        let path = fold(&pattern.text);
        let mut found = Union::default();
        match pattern.extent {
            Extent::Whole => {
                let tag = self.library.tags.get(path.as_str());
                tag.iter()
                    .flat_map(|tag| &tag.slots)
                    .for_each(|slots| found.add(slots));
            }
            Extent::Prefix => {
                let from = (
                    std::ops::Bound::Included(path.as_str()),
                    std::ops::Bound::Unbounded,
                );
                let tags = self.library.tags.range::<str, _>(from);
                tags.take_while(|(tag, _)| tag.starts_with(&path))
                    .flat_map(|(_, tag)| &tag.slots)
                    .for_each(|slots| found.add(slots));
            }
        }
        found.finish() & among
    }

    /// Whole months as they are; of the first and the last month every file is looked at.
    fn taken(&self, first: LocalTime, last: LocalTime, among: &RoaringBitmap) -> RoaringBitmap {
        if first > last {
            return RoaringBitmap::new();
        }
        let (from, to) = (time::month(first), time::month(last));
        let mut found = RoaringBitmap::new();
        let taken = &self.library.columns.taken;
        for (month, files) in self.library.months.range(from..=to) {
            let files = files & among;
            if (from + 1..to).contains(month) {
                found |= files;
            } else {
                let wanted = first.micros()..=last.micros();
                found |= filter(&files, |slot| wanted.contains(&taken.at(slot)));
            }
        }
        found
    }

    /// What every file in question has to be looked at for.
    fn looked_at(&self, term: &Term, among: &RoaringBitmap) -> RoaringBitmap {
        let (now, columns) = (self.now, &self.library.columns);
        let number = |field: Field, column: &Column<u32>, measure: &Measure| {
            let with = marked(self.library.fields.get(field as usize), among);
            filter(&with, |slot| measure.admits(column.at(slot).into()))
        };
        let located = || marked(self.library.fields.get(Field::Gps as usize), among);
        match term {
            Term::Uploaded(when) => filter(among, |slot| when.admits(columns.added.at(slot), now)),
            Term::Bbox(bounds) => filter(&located(), |slot| is_in(bounds, columns.position(slot))),
            Term::Near(circle) => {
                let around = geo::around(circle);
                filter(&located(), |slot| {
                    let (lat, lon) = columns.position(slot);
                    let far = || geo::distance_m(lat, lon, circle.lat, circle.lon);
                    is_in(&around, (lat, lon)) && far() <= circle.radius_m
                })
            }
            Term::Within(area) => filter(&located(), |slot| {
                let (lat, lon) = columns.position(slot);
                area.contains(lat, lon)
            }),
            Term::Width(measure) => number(Field::Width, &columns.width, measure),
            Term::Height(measure) => number(Field::Height, &columns.height, measure),
            Term::Duration(measure) => number(Field::Duration, &columns.duration_ms, measure),
            Term::Size(measure) => filter(among, |slot| measure.admits(columns.size.at(slot))),
            _ => unreachable!("bitmaps answer the others"),
        }
    }
}

fn filter(among: &RoaringBitmap, meets: impl Fn(u32) -> bool) -> RoaringBitmap {
    let found = among.iter().filter(|slot| meets(*slot));
    RoaringBitmap::from_sorted_iter(found).expect("a bitmap is in order")
}

/// What costs more goes last.
fn effort(expr: &Expr) -> u8 {
    match expr {
        Expr::And(parts) | Expr::Or(parts) => {
            let most = parts.iter().map(effort).max().unwrap_or_default();
            most.saturating_add(1)
        }
        Expr::Not(inner) => effort(inner),
        Expr::Term(
            Term::Uploaded(_)
            | Term::Near(_)
            | Term::Bbox(_)
            | Term::Within(_)
            | Term::Width(_)
            | Term::Height(_)
            | Term::Size(_)
            | Term::Duration(_),
        ) => 200,
        Expr::Term(_) => 0,
    }
}

fn marked(files: Option<&RoaringBitmap>, among: &RoaringBitmap) -> RoaringBitmap {
    files.map(|files| files & among).unwrap_or_default()
}

/// Whether a position lies in a box of degrees, edges included; none does not.
pub(crate) fn is_in(b: &BoundingBox, (lat, lon): (f64, f64)) -> bool {
    let across = if b.west <= b.east {
        b.west <= lon && lon <= b.east
    } else {
        lon >= b.west || lon <= b.east
    };
    across && b.south <= lat && lat <= b.north
}
