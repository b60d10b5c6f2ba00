//! A query as SQL.
//!
//! One table leads: the full-text index if words are asked for, the tags if a tag is, else the files themselves. All
//! three are walked in the order of row ids, which is date order, so the newest page ends early. Every other
//! condition is checked on the file's row. A condition on an absent value is NULL in SQL; negation treats that as
//! "not met", so a file is always either found by a condition or by its negation.

use model::LibraryId;
use model::file::LocalTime;
use model::file::State;
use rusqlite::types::Value;

use crate::field::Field;
use crate::file::Word;
use crate::geo;
use crate::key::RowKey;
use crate::query::{BoundingBox, Circle, Expr, Extent, Pattern, Term, Within};
use crate::stored::fold;

/// `FROM` and `WHERE`, with their parameters in order.
#[derive(Debug)]
pub(super) struct Plan {
    /// The tables, the leading one first; the files are `f`.
    pub(super) from: &'static str,
    /// The leading table's row id.
    pub(super) id: &'static str,
    /// To be joined with AND.
    pub(super) conditions: Vec<String>,
    /// For the question marks in `conditions`, in order.
    pub(super) params: Vec<Value>,
}

impl Plan {
    /// The plan for a filter in one library.
    pub(super) fn new(library: &LibraryId, within: Within, filter: Option<&Expr>) -> Self {
        let mut parts: Vec<&Expr> = match filter {
            Some(Expr::And(parts)) => parts.iter().collect(),
            Some(other) => vec![other],
            None => Vec::new(),
        };
        let mut plan = Self::led(library, &mut parts);
        plan.push("f.library = ?", [library.as_str().to_owned().into()]);
        let state = match within {
            Within::Live => Some(State::Live),
            Within::Trash => Some(State::Trashed),
            Within::Archive => Some(State::Archived),
            Within::All => None,
        };
        if let Some(state) = state {
            plan.push("f.state = ?", [i64::from(state as u8).into()]);
        }
        for part in parts {
            plan.narrow(part);
            let mut condition = Condition {
                library,
                sql: String::new(),
                params: Vec::new(),
            };
            condition.expr(part);
            plan.push(&condition.sql, condition.params);
        }
        plan
    }

    /// Chooses the leading table and takes the parts that it answers.
    fn led(library: &LibraryId, parts: &mut Vec<&Expr>) -> Self {
        let texts: Vec<String> = parts.iter().filter_map(|part| match_text(part)).collect();
        if !texts.is_empty() {
            parts.retain(|part| match_text(part).is_none());
            let mut plan = Self::of(
                "words CROSS JOIN files f ON f.id = words.rowid",
                "words.rowid",
            );
            plan.push("words MATCH ?", [texts.join(" AND ").into()]);
            return plan;
        }
        let tag = parts
            .iter()
            .enumerate()
            .find_map(|(place, part)| match part {
                Expr::Term(Term::Tag(pattern)) if pattern.extent == Extent::Whole => {
                    Some((place, fold(&pattern.text)))
                }
                _ => None,
            });
        let Some((place, path)) = tag else {
            return Self::of("files f", "f.id");
        };
        parts.remove(place);
        let mut plan = Self::of("tags t CROSS JOIN files f ON f.id = t.id", "t.id");
        plan.push(
            "t.library = ? AND t.path = ?",
            [library.as_str().to_owned().into(), path.into()],
        );
        plan
    }

    fn of(from: &'static str, id: &'static str) -> Self {
        Self {
            from,
            id,
            conditions: Vec::new(),
            params: Vec::new(),
        }
    }

    /// Adds a condition with its parameters.
    pub(super) fn push(&mut self, sql: &str, params: impl IntoIterator<Item = Value>) {
        self.conditions.push(sql.to_owned());
        self.params.extend(params);
    }

    /// A date in a conjunction bounds the row ids as well.
    fn narrow(&mut self, part: &Expr) {
        let Expr::Term(term) = part else { return };
        let Some((first, last)) = period(term) else {
            return;
        };
        let bounds = [
            RowKey::first_at(first).0.into(),
            RowKey::last_at(last).0.into(),
        ];
        self.push(&format!("{} BETWEEN ? AND ?", self.id), bounds);
    }
}

/// The first and last capture time that a term about dates admits.
fn period(term: &Term) -> Option<(LocalTime, LocalTime)> {
    match term {
        Term::Taken(range) => Some((range.first(), range.last())),
        Term::After(date) => Some((date.first(), LocalTime::MAX)),
        Term::Before(date) => Some((LocalTime::MIN, date.first())),
        _ => None,
    }
}

/// What the full-text index answers as a whole: a text, or alternatives of texts.
fn match_text(part: &Expr) -> Option<String> {
    match part {
        Expr::Term(Term::Text(pattern)) => Some(phrase(pattern)),
        Expr::Term(Term::Name(pattern)) => Some(format!("name : {}", phrase(pattern))),
        Expr::Term(Term::Title(pattern)) => Some(format!("title : {}", phrase(pattern))),
        Expr::Term(Term::Camera(pattern)) => Some(format!("camera : {}", phrase(pattern))),
        Expr::Or(parts) => {
            let terms = parts.iter().all(|part| matches!(part, Expr::Term(_)));
            let texts: Option<Vec<String>> = parts.iter().map(match_text).collect();
            texts
                .filter(|_| terms)
                .map(|texts| format!("({})", texts.join(" OR ")))
        }
        Expr::Term(_) | Expr::And(_) | Expr::Not(_) => None,
    }
}

/// A quoted phrase in FTS5's own language.
fn phrase(pattern: &Pattern) -> String {
    let star = match pattern.extent {
        Extent::Whole => "",
        Extent::Prefix => " *",
    };
    format!("\"{}\"{star}", pattern.text.replace('"', "\"\""))
}

/// A condition on the row `f`.
struct Condition<'a> {
    library: &'a LibraryId,
    sql: String,
    params: Vec<Value>,
}

impl Condition<'_> {
    fn expr(&mut self, expr: &Expr) {
        if let Some(text) = match_text(expr) {
            return self.push(
                "f.id IN (SELECT rowid FROM words WHERE words MATCH ?)",
                [text.into()],
            );
        }
        match expr {
            Expr::And(parts) => self.joined(parts, " AND "),
            Expr::Or(parts) => self.joined(parts, " OR "),
            Expr::Not(inner) => {
                self.sql.push('(');
                self.expr(inner);
                self.sql.push_str(" IS NOT TRUE)");
            }
            Expr::Term(term) => self.term(term),
        }
    }

    fn joined(&mut self, parts: &[Expr], between: &str) {
        self.sql.push('(');
        for (place, part) in parts.iter().enumerate() {
            if place > 0 {
                self.sql.push_str(between);
            }
            self.expr(part);
        }
        self.sql.push(')');
    }

    fn term(&mut self, term: &Term) {
        if let Some((first, _)) = period(term) {
            return match term {
                Term::Taken(range) => self.push(
                    "(f.taken BETWEEN ? AND ?)",
                    [range.first().micros().into(), range.last().micros().into()],
                ),
                Term::After(_) => self.push("(f.taken >= ?)", [first.micros().into()]),
                Term::Before(date) => self.push("(f.taken < ?)", [date.first().micros().into()]),
                _ => {}
            };
        }
        match term {
            Term::Tag(pattern) => self.tag(pattern),
            Term::Type(kind) => self.push("(f.kind = ?)", [i64::from(*kind as u8).into()]),
            Term::Near(circle) => self.near(circle),
            Term::Bbox(bounds) => self.bbox(bounds),
            Term::Has(field) => self.field(*field, "<>"),
            Term::Missing(field) => self.field(*field, "="),
            Term::Rating { is, value } => {
                let sql = format!("(f.rating {} ?)", is.word());
                self.push(&sql, [i64::from(*value).into()]);
            }
            Term::Favourite(favourite) => {
                self.push("(f.favourite = ?)", [i64::from(*favourite).into()]);
            }
            Term::Text(_) | Term::Camera(_) | Term::Name(_) | Term::Title(_) => {
                unreachable!("texts are answered by the full-text index")
            }
            Term::Taken(_) | Term::After(_) | Term::Before(_) => unreachable!("dates are periods"),
        }
    }

    fn field(&mut self, field: Field, compares: &str) {
        let sql = format!("(f.fields & ? {compares} 0)");
        self.push(&sql, [field.bit().into()]);
    }

    fn tag(&mut self, pattern: &Pattern) {
        let library = self.library.as_str().to_owned();
        let path = fold(&pattern.text);
        match pattern.extent {
            Extent::Whole => self.push(
                "EXISTS (SELECT 1 FROM tags WHERE library = ? AND path = ? AND id = f.id)",
                [library.into(), path.into()],
            ),
            Extent::Prefix => {
                let behind = format!("{path}{}", char::MAX);
                self.push(
                    "f.id IN (SELECT id FROM tags WHERE library = ? AND path >= ? AND path < ?)",
                    [library.into(), path.into(), behind.into()],
                );
            }
        }
    }

    fn near(&mut self, circle: &Circle) {
        self.sql.push('(');
        self.bbox(&geo::around(circle));
        self.push(
            " AND distance_m(f.lat, f.lon, ?, ?) <= ?)",
            [circle.lat.into(), circle.lon.into(), circle.radius_m.into()],
        );
    }

    /// The R*Tree keeps single precision and rounds outwards, so the row decides.
    fn bbox(&mut self, b: &BoundingBox) {
        let between = if b.west <= b.east { "AND" } else { "OR" };
        let sql = format!(
            "(f.id IN (SELECT id FROM places WHERE max_lat >= ? AND min_lat <= ?
                       AND (max_lon >= ? {between} min_lon <= ?))
              AND f.lat BETWEEN ? AND ? AND (f.lon >= ? {between} f.lon <= ?))"
        );
        let bounds = [b.south, b.north, b.west, b.east];
        self.push(&sql, bounds.into_iter().chain(bounds).map(Value::from));
    }

    fn push(&mut self, sql: &str, params: impl IntoIterator<Item = Value>) {
        self.sql.push_str(sql);
        self.params.extend(params);
    }
}
