//! A tree as its canonical text.

use std::fmt::{self, Display, Formatter, Write};

use super::measure::Unit;
use super::tree::{Direction, Expr, Extent, OwnTerm, Pattern, Query, Sort, SortBy, Term, Within};
use crate::file::Word;

impl Query {
    /// The one text that stands for this query; reading it gives the query back.
    pub fn canonical(&self) -> String {
        self.to_string()
    }
}

impl Display for Query {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        parts.extend(self.filter.as_ref().map(ToString::to_string));
        if self.within != Within::Live {
            parts.push(format!("in:{}", self.within.word()));
        }
        parts.extend(
            self.library
                .as_ref()
                .map(|library| format!("library:{library}")),
        );
        parts.extend(self.sort.as_ref().map(|sort| format!("sort:{sort}")));
        f.write_str(&parts.join(" "))
    }
}

impl Display for Sort {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.direction == Direction::Descending {
            f.write_char('-')?;
        }
        match &self.by {
            SortBy::Key(key) => f.write_str(key.word()),
            SortBy::Own(field) => write!(f, "field.{field}"),
        }
    }
}

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Or(parts) => join(parts, " OR ", f),
            Self::And(parts) => join(parts, " ", f),
            Self::Not(inner) => {
                f.write_char('-')?;
                match **inner {
                    Self::And(_) | Self::Or(_) => write!(f, "({inner})"),
                    Self::Not(_) | Self::Term(_) => inner.fmt(f),
                }
            }
            Self::Term(term) => term.fmt(f),
        }
    }
}

/// An `OR` inside something else needs parentheses: it binds least.
fn join(parts: &[Expr], between: &str, f: &mut Formatter<'_>) -> fmt::Result {
    for (place, part) in parts.iter().enumerate() {
        if place > 0 {
            f.write_str(between)?;
        }
        match part {
            Expr::Or(_) => write!(f, "({part})")?,
            _ => part.fmt(f)?,
        }
    }
    Ok(())
}

impl Display for Term {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(pattern) => pattern.fmt(f),
            Self::Tag(pattern) => write!(f, "tag:{pattern}"),
            Self::Camera(pattern) => write!(f, "camera:{pattern}"),
            Self::Name(pattern) => write!(f, "name:{pattern}"),
            Self::Title(pattern) => write!(f, "title:{pattern}"),
            Self::Description(pattern) => write!(f, "description:{pattern}"),
            Self::Place(pattern) => write!(f, "place:{pattern}"),
            Self::Person(pattern) => write!(f, "person:{pattern}"),
            Self::Like(file) => write!(f, "like:{file}"),
            Self::Type(kind) => write!(f, "type:{}", kind.word()),
            Self::Taken(range) => write!(f, "taken:{range}"),
            Self::After(date) => write!(f, "after:{date}"),
            Self::Before(date) => write!(f, "before:{date}"),
            Self::Uploaded(when) => write!(f, "uploaded:{when}"),
            Self::Within(area) => write!(f, "within:{area}"),
            Self::Near(circle) => {
                write!(f, "near:{},{},", circle.lat, circle.lon)?;
                let km = circle.radius_m / 1000.0;
                // Kilometres only where they read back as the same number of metres.
                if circle.radius_m >= 1000.0 && km * 1000.0 == circle.radius_m {
                    write!(f, "{km}km")
                } else {
                    write!(f, "{}m", circle.radius_m)
                }
            }
            Self::Bbox(b) => write!(f, "bbox:{},{},{},{}", b.west, b.south, b.east, b.north),
            Self::Has(field) => write!(f, "has:{}", field.word()),
            Self::Missing(field) => write!(f, "missing:{}", field.word()),
            Self::Rating {
                is: super::Comparison::Equal,
                value,
            } => write!(f, "rating:{value}"),
            Self::Rating { is, value } => write!(f, "rating{}{value}", is.word()),
            Self::Width(measure) => Unit::Pixels.show("width", measure, f),
            Self::Height(measure) => Unit::Pixels.show("height", measure, f),
            Self::Size(measure) => Unit::Bytes.show("size", measure, f),
            Self::Duration(measure) => Unit::Milliseconds.show("duration", measure, f),
            Self::Favourite(favourite) => write!(f, "favourite:{favourite}"),
            Self::Own(OwnTerm { field, is, value }) => match is {
                super::Comparison::Equal => write!(f, "field.{field}:{value}"),
                is => write!(f, "field.{field}{}{value}", is.word()),
            },
            Self::Album(pattern) => write!(f, "album:{pattern}"),
            Self::InAlbum(album) => write!(f, "album:{album}"),
            Self::HasOwn(field) => write!(f, "has:field.{field}"),
            Self::MissingOwn(field) => write!(f, "missing:field.{field}"),
        }
    }
}

impl Display for Pattern {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if reads_without_quotes(&self.text) {
            f.write_str(&self.text)?;
        } else {
            f.write_char('"')?;
            for c in self.text.chars() {
                if matches!(c, '"' | '\\') {
                    f.write_char('\\')?;
                }
                f.write_char(c)?;
            }
            f.write_char('"')?;
        }
        match self.extent {
            Extent::Whole => Ok(()),
            Extent::Prefix => f.write_char('*'),
        }
    }
}

fn reads_without_quotes(text: &str) -> bool {
    let plain = |c: char| c.is_alphanumeric() || "._/+@#&',;~%$!?-".contains(c);
    !text.is_empty()
        && !text.starts_with('-')
        && text.chars().all(plain)
        && !["OR", "AND", "NOT"].contains(&text)
}
