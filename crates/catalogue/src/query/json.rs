//! A query from its tree in JSON, as programs send it: the same that answers show.
//!
//! Values are read as if they stood in a line of text, so that both forms know the same words and limits.

use serde_json::{Map, Value};

use super::error::{QueryErrorKind, nearest};
use super::key::{self, Key};
use super::lexer::{self, Operator};
use super::parser::{flatten_and, flatten_or, joined};
use super::tree::{Comparison, Expr, Extent, Pattern, Query, Within};
use super::value::{self, Item};
use super::{DEPTH_MAX, QUERY_BYTES_MAX, TERMS_MAX};
use crate::file::Word as _;

/// What is wrong with a tree, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{pointer}: {detail}")]
pub struct TreeError {
    /// A JSON pointer into the tree.
    pub pointer: String,
    /// What is wrong, and what may have been meant.
    pub detail: String,
}

type Read<T> = Result<T, TreeError>;

impl Query {
    /// Reads `{"filter": …, "in": "live", "library": null, "sort": null}`, of which everything may be left out.
    ///
    /// # Errors
    /// [`TreeError`] with the place of what is wrong.
    pub fn from_tree(tree: &Value) -> Result<Self, TreeError> {
        let place = Place::default();
        let members = place.object(tree)?;
        let mut query = Self::default();
        for (name, value) in members.iter().filter(|(_, value)| !value.is_null()) {
            let at = place.below(name);
            match name.as_str() {
                "filter" => query.filter = Some(Reader::default().expr(value, &at, 0)?),
                "in" => {
                    let within = at.text(value).map(Within::from_word)?;
                    query.within = within.ok_or_else(|| at.wrong("live, trash, archive or all"))?;
                }
                "library" | "sort" => match at.keyed(name, Operator::Colon, at.whole(value)?)? {
                    Item::Library(library) => query.library = Some(library),
                    Item::Sort(sort) => query.sort = Some(sort),
                    Item::Term(_) | Item::Within(_) => {}
                },
                _ => return Err(at.wrong("a query has filter, in, library and sort")),
            }
        }
        if query.canonical().len() > QUERY_BYTES_MAX {
            return Err(place.wrong(QueryErrorKind::TooLong.to_string()));
        }
        Ok(query)
    }
}

/// Where a value is.
#[derive(Debug, Clone, Default)]
struct Place(String);

impl Place {
    fn below(&self, name: &str) -> Self {
        Self(format!(
            "{}/{}",
            self.0,
            name.replace('~', "~0").replace('/', "~1")
        ))
    }

    fn wrong(&self, detail: impl Into<String>) -> TreeError {
        TreeError {
            pointer: self.0.clone(),
            detail: detail.into(),
        }
    }

    fn object<'a>(&self, value: &'a Value) -> Read<&'a Map<String, Value>> {
        value.as_object().ok_or_else(|| self.wrong("an object"))
    }

    fn text<'a>(&self, value: &'a Value) -> Read<&'a str> {
        let text = value.as_str().ok_or_else(|| self.wrong("a text"))?;
        if text.contains(char::is_control) {
            return Err(self.wrong(QueryErrorKind::ControlCharacter.to_string()));
        }
        Ok(text)
    }

    fn whole(&self, value: &Value) -> Read<Pattern> {
        let text = self.text(value)?.to_owned();
        let extent = Extent::Whole;
        Ok(Pattern { text, extent })
    }

    /// A number as text, without an exponent.
    fn number(&self, value: &Value) -> Read<String> {
        match (value.as_i64(), value.as_f64()) {
            (Some(whole), _) => Ok(whole.to_string()),
            (None, Some(number)) => Ok(number.to_string()),
            (None, None) => Err(self.wrong("a number")),
        }
    }

    /// Some members of an object, in order, as numbers with commas between.
    fn numbers(&self, members: &Map<String, Value>, names: &[&str]) -> Read<String> {
        let known = |name: &String| names.contains(&name.as_str());
        if let Some(other) = members.keys().find(|name| !known(name)) {
            return Err(self.below(other).wrong("unknown property"));
        }
        let number = |name: &&str| {
            let at = self.below(name);
            let value = members.get(*name).ok_or_else(|| at.wrong("missing"))?;
            at.number(value)
        };
        let numbers: Vec<String> = names.iter().map(number).collect::<Read<_>>()?;
        Ok(numbers.join(","))
    }

    /// What a key and its value mean.
    fn keyed(&self, name: &str, operator: Operator, pattern: Pattern) -> Read<Item> {
        let told = |error: super::QueryError| {
            let mut detail = error.kind.to_string();
            if let Some(suggestion) = &error.suggestion {
                detail = format!("{detail}; {suggestion}");
            }
            self.wrong(detail)
        };
        if name == "text" {
            return value::text(pattern, 1).map(Item::Term).map_err(told);
        }
        let key = key::lookup(name, 1).map_err(told)?;
        let value = lexer::Value {
            column: 1,
            pattern,
            own: key::own_field(name).map(str::to_owned),
        };
        value::keyed(key, operator, value, 1).map_err(told)
    }
}

#[derive(Default)]
struct Reader {
    terms: usize,
}

impl Reader {
    fn expr(&mut self, value: &Value, at: &Place, depth: usize) -> Read<Expr> {
        if depth > DEPTH_MAX {
            return Err(at.wrong(QueryErrorKind::TooDeep.to_string()));
        }
        let members = at.object(value)?;
        let mut members = members.iter();
        let (Some((name, value)), None) = (members.next(), members.next()) else {
            return Err(at.wrong("one of and, or, not, text or a key, with its value"));
        };
        let at = at.below(name);
        match name.as_str() {
            "and" => self.parts(value, &at, depth, flatten_and, Expr::And),
            "or" => self.parts(value, &at, depth, flatten_or, Expr::Or),
            "not" => Ok(match self.expr(value, &at, depth + 1)? {
                Expr::Not(inner) => *inner,
                other => Expr::Not(Box::new(other)),
            }),
            _ => self.term(name, value, &at),
        }
    }

    fn parts(
        &mut self,
        value: &Value,
        at: &Place,
        depth: usize,
        flatten: fn(Expr, &mut Vec<Expr>),
        join: fn(Vec<Expr>) -> Expr,
    ) -> Read<Expr> {
        let elements = value.as_array().ok_or_else(|| at.wrong("a list"))?;
        let mut parts = Vec::new();
        for (number, element) in elements.iter().enumerate() {
            let at = at.below(&number.to_string());
            flatten(self.expr(element, &at, depth + 1)?, &mut parts);
        }
        joined(parts, join).ok_or_else(|| at.wrong("at least one condition"))
    }

    fn term(&mut self, name: &str, value: &Value, at: &Place) -> Read<Expr> {
        self.terms += 1;
        if self.terms > TERMS_MAX {
            return Err(at.wrong(QueryErrorKind::TooManyTerms.to_string()));
        }
        let (key, operator, pattern) = match name {
            "own" => own(value, at)?,
            "hasOwn" => presence("has", value, at)?,
            "missingOwn" => presence("missing", value, at)?,
            _ => {
                let (operator, pattern) = written(name, value, at)?;
                (name.to_owned(), operator, pattern)
            }
        };
        match at.keyed(&key, operator, pattern)? {
            Item::Term(term) => Ok(Expr::Term(term)),
            Item::Within(_) | Item::Library(_) | Item::Sort(_) => {
                Err(at.wrong("stands beside the filter, not in it"))
            }
        }
    }
}

/// A value as it stands in a line of text.
fn written(name: &str, value: &Value, at: &Place) -> Read<(Operator, Pattern)> {
    let plain = |text: String| {
        let extent = Extent::Whole;
        (Operator::Colon, Pattern { text, extent })
    };
    match value {
        Value::String(_) => Ok((Operator::Colon, at.whole(value)?)),
        Value::Bool(flag) => Ok(plain(flag.to_string())),
        Value::Array(corners) => {
            let mut numbers = Vec::new();
            for (place, corner) in corners.iter().enumerate() {
                let at = at.below(&place.to_string());
                let Some([lat, lon]) = corner.as_array().map(Vec::as_slice) else {
                    return Err(at.wrong("latitude and longitude"));
                };
                numbers.extend([at.number(lat)?, at.number(lon)?]);
            }
            Ok(plain(numbers.join(",")))
        }
        Value::Object(members) if name == "near" => {
            let numbers = at.numbers(members, &["lat", "lon", "radiusM"])?;
            Ok(plain(format!("{numbers}m")))
        }
        Value::Object(members) if name == "bbox" => {
            let numbers = at.numbers(members, &["west", "south", "east", "north"])?;
            Ok(plain(numbers))
        }
        Value::Object(members) => structured(name, members, at),
        Value::Null | Value::Number(_) => Err(at.wrong(format!("{name} takes no such value"))),
    }
}

/// `{"field": "price", "is": ">", "value": "100"}`: a comparison with a user's own field, as key, operator and value.
fn own(value: &Value, at: &Place) -> Read<(String, Operator, Pattern)> {
    let members = at.object(value)?;
    let known = ["field", "is", "value"];
    if let Some(other) = members.keys().find(|name| !known.contains(&name.as_str())) {
        return Err(at.below(other).wrong("unknown property"));
    }
    let member = |name: &str| {
        let below = at.below(name);
        let value = members.get(name).ok_or_else(|| below.wrong("missing"))?;
        Ok((below, value))
    };
    let (below, field) = member("field")?;
    let key = format!("field.{}", below.text(field)?);
    let (below, is) = member("is")?;
    let is = Comparison::from_word(below.text(is)?);
    let is = is.ok_or_else(|| below.wrong("=, <, <=, > or >="))?;
    let (below, value) = member("value")?;
    let pattern = match value {
        Value::Object(_) => written("prefix", value, &below)?.1,
        _ => below.whole(value)?,
    };
    Ok((key, Operator::Compare(is), pattern))
}

/// A user's own field that has a value, or none.
fn presence(key: &str, value: &Value, at: &Place) -> Read<(String, Operator, Pattern)> {
    let text = format!("field.{}", at.text(value)?);
    let extent = Extent::Whole;
    Ok((key.to_owned(), Operator::Colon, Pattern { text, extent }))
}

/// `{"prefix": …}`, `{"is": ">=", "value": 4}` or `{"from": 1, "to": 2}`.
fn structured(name: &str, members: &Map<String, Value>, at: &Place) -> Read<(Operator, Pattern)> {
    let known = ["prefix", "is", "value", "from", "to"];
    if let Some(other) = members.keys().find(|name| !known.contains(&name.as_str())) {
        let meant = nearest(other, known.into_iter());
        let meant = meant.map_or(String::new(), |meant| format!("; did you mean {meant}?"));
        return Err(at.below(other).wrong(format!("unknown property{meant}")));
    }
    let unit = match Key::from_word(name) {
        Some(Key::Duration) => "ms",
        _ => "",
    };
    let number = |member: &str| match members.get(member) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => {
            let number = at.below(member).number(value)?;
            Ok(Some(format!("{number}{unit}")))
        }
    };
    if let Some(prefix) = members.get("prefix") {
        let text = at.below("prefix").text(prefix)?.to_owned();
        let extent = Extent::Prefix;
        return Ok((Operator::Colon, Pattern { text, extent }));
    }
    let extent = Extent::Whole;
    if let Some(is) = members.get("is") {
        let below = at.below("is");
        let is = Comparison::from_word(below.text(is)?);
        let is = is.ok_or_else(|| below.wrong("=, <, <=, > or >="))?;
        let text = number("value")?.ok_or_else(|| at.below("value").wrong("missing"))?;
        return Ok((Operator::Compare(is), Pattern { text, extent }));
    }
    let end = |member| number(member).map(Option::unwrap_or_default);
    let text = format!("{}..{}", end("from")?, end("to")?);
    Ok((Operator::Colon, Pattern { text, extent }))
}
