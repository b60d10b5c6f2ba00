//! JSON bodies, read strictly: an unknown property or a wrong type is an error that names its place.
//!
//! The reader goes over a parsed value rather than deserialising into structs, because a merge patch must tell "absent"
//! from "null", and because a client that made three mistakes should hear of all three at once.

use std::ops::RangeInclusive;

use serde_json::{Map, Value};

use super::problem::{Code, Fault, Problem};

/// Everything found wrong in a body, in order.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Faults(Vec<Fault>);

impl Faults {
    /// Keeps a value, or remembers what is wrong with it.
    pub(crate) fn keep<T>(&mut self, result: Result<T, Self>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(Self(more)) => {
                self.0.extend(more);
                None
            }
        }
    }

    /// `value` if nothing is wrong.
    pub(crate) fn into_result<T>(self, value: T) -> Result<T, Self> {
        if self.0.is_empty() {
            Ok(value)
        } else {
            Err(self)
        }
    }
}

impl From<Faults> for Problem {
    fn from(faults: Faults) -> Self {
        Self::at(Code::InvalidBody, faults.0)
    }
}

/// The value that `bytes` spell.
pub(crate) fn parse(bytes: &[u8]) -> Result<Value, Problem> {
    serde_json::from_slice(bytes)
        .map_err(|error| Problem::new(Code::InvalidJson, format!("the body is not JSON: {error}")))
}

/// A value and its place in the body.
#[derive(Debug, Clone)]
pub(crate) struct Node<'a> {
    value: &'a Value,
    pointer: String,
}

impl<'a> Node<'a> {
    /// The whole body.
    pub(crate) fn root(value: &'a Value) -> Self {
        Self {
            value,
            pointer: String::new(),
        }
    }

    /// A value found elsewhere, for instance in a part of its own.
    pub(crate) fn at(value: &'a Value, pointer: &str) -> Self {
        Self {
            value,
            pointer: pointer.to_owned(),
        }
    }

    /// Something is wrong here.
    pub(crate) fn fault(&self, detail: impl Into<String>) -> Faults {
        Faults(vec![Fault::new(self.pointer.clone(), detail)])
    }

    /// The value itself.
    pub(crate) fn value(&self) -> &'a Value {
        self.value
    }

    /// Whether it is null.
    pub(crate) fn is_null(&self) -> bool {
        self.value.is_null()
    }

    /// `read`, unless it is null.
    pub(crate) fn nullable<T>(
        &self,
        read: impl FnOnce(&Self) -> Result<T, Faults>,
    ) -> Result<Option<T>, Faults> {
        if self.is_null() {
            Ok(None)
        } else {
            read(self).map(Some)
        }
    }

    /// A text of so many bytes.
    pub(crate) fn text(&self, bytes: RangeInclusive<usize>) -> Result<&'a str, Faults> {
        let text = self.value.as_str().ok_or_else(|| self.expected("a text"))?;
        if bytes.contains(&text.len()) {
            Ok(text)
        } else {
            let (min, max) = (bytes.start(), bytes.end());
            Err(self.fault(format!(
                "{min} to {max} bytes of UTF-8, these are {}",
                text.len()
            )))
        }
    }

    /// A text in a form of its own.
    pub(crate) fn parsed<T>(
        &self,
        form: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, Faults> {
        self.value
            .as_str()
            .and_then(parse)
            .ok_or_else(|| self.expected(form))
    }

    /// A whole number.
    pub(crate) fn integer(&self, range: RangeInclusive<u64>) -> Result<u64, Faults> {
        let (min, max) = (range.start(), range.end());
        self.value
            .as_u64()
            .filter(|value| range.contains(value))
            .ok_or_else(|| self.expected(&format!("a whole number from {min} to {max}")))
    }

    /// A number.
    pub(crate) fn number(&self, range: RangeInclusive<f64>) -> Result<f64, Faults> {
        let (min, max) = (range.start(), range.end());
        self.value
            .as_f64()
            .filter(|value| range.contains(value))
            .ok_or_else(|| self.expected(&format!("a number from {min} to {max}")))
    }

    /// True or false.
    pub(crate) fn boolean(&self) -> Result<bool, Faults> {
        self.value
            .as_bool()
            .ok_or_else(|| self.expected("true or false"))
    }

    /// The elements of an array.
    pub(crate) fn elements(&self, count: RangeInclusive<usize>) -> Result<Vec<Self>, Faults> {
        let (min, max) = (count.start(), count.end());
        let elements = self
            .value
            .as_array()
            .filter(|elements| count.contains(&elements.len()));
        let elements = elements
            .ok_or_else(|| self.expected(&format!("an array of {min} to {max} elements")))?;
        let element = |(index, value)| Self {
            value,
            pointer: format!("{}/{index}", self.pointer),
        };
        Ok(elements.iter().enumerate().map(element).collect())
    }

    /// The members of an object that has no others than `known`.
    pub(crate) fn members(&self, known: &[&str]) -> Result<Members<'a>, Faults> {
        let map = self
            .value
            .as_object()
            .ok_or_else(|| self.expected("an object"))?;
        let unknown = map.keys().filter(|name| !known.contains(&name.as_str()));
        let faults = unknown.map(|name| {
            let detail = format!("unknown property; known are {}", known.join(", "));
            Fault::new(pointer_to(&self.pointer, name), detail)
        });
        let members = Members {
            map,
            pointer: self.pointer.clone(),
        };
        Faults(faults.collect()).into_result(members)
    }

    /// The members of an object of which any may be there, with their names.
    pub(crate) fn entries(&self) -> Result<Vec<(&'a str, Self)>, Faults> {
        let map = self
            .value
            .as_object()
            .ok_or_else(|| self.expected("an object"))?;
        let entry = |(name, value): (&'a String, &'a Value)| {
            let pointer = pointer_to(&self.pointer, name);
            (name.as_str(), Self { value, pointer })
        };
        Ok(map.iter().map(entry).collect())
    }

    fn expected(&self, what: &str) -> Faults {
        self.fault(format!("must be {what}"))
    }
}

/// An object's members.
#[derive(Debug)]
pub(crate) struct Members<'a> {
    map: &'a Map<String, Value>,
    pointer: String,
}

impl<'a> Members<'a> {
    /// The member called `name`, which may be null.
    pub(crate) fn get(&self, name: &str) -> Option<Node<'a>> {
        let value = self.map.get(name)?;
        Some(Node {
            value,
            pointer: pointer_to(&self.pointer, name),
        })
    }

    /// The member called `name`.
    pub(crate) fn required(&self, name: &str) -> Result<Node<'a>, Faults> {
        let missing = || {
            Faults(vec![Fault::new(
                pointer_to(&self.pointer, name),
                "is required",
            )])
        };
        self.get(name).ok_or_else(missing)
    }

    /// What `read` makes of the member called `name`; absent and null are the same.
    pub(crate) fn optional<T>(
        &self,
        name: &str,
        read: impl FnOnce(&Node<'a>) -> Result<T, Faults>,
    ) -> Result<Option<T>, Faults> {
        self.get(name).map_or(Ok(None), |node| node.nullable(read))
    }
}

/// A reference token of RFC 6901.
fn pointer_to(parent: &str, name: &str) -> String {
    format!("{parent}/{}", name.replace('~', "~0").replace('/', "~1"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pointers(faults: &Faults) -> Vec<&str> {
        faults
            .0
            .iter()
            .map(|fault| fault.pointer.as_str())
            .collect()
    }

    #[test]
    fn every_unknown_property_is_named() {
        let value = json!({"title": "x", "colour": 1, "a/b~c": 2});
        let faults = Node::root(&value).members(&["title"]).unwrap_err();
        assert_eq!(pointers(&faults), ["/a~1b~0c", "/colour"]);
    }

    #[test]
    fn wrong_types_are_found_where_they_are() {
        let value = json!({"tags": ["a", 5], "rating": 5.5});
        let members = Node::root(&value).members(&["tags", "rating"]).unwrap();
        let tags = members.required("tags").unwrap().elements(0..=9).unwrap();
        assert_eq!(tags[0].text(1..=9), Ok("a"));
        assert_eq!(pointers(&tags[1].text(1..=9).unwrap_err()), ["/tags/1"]);
        let rating = members
            .required("rating")
            .unwrap()
            .integer(0..=5)
            .unwrap_err();
        assert_eq!(pointers(&rating), ["/rating"]);
        assert_eq!(pointers(&members.required("name").unwrap_err()), ["/name"]);
    }

    #[test]
    fn absent_and_null_may_mean_the_same() {
        let value = json!({"title": null});
        let members = Node::root(&value).members(&["title"]).unwrap();
        assert_eq!(members.optional("title", |node| node.text(0..=9)), Ok(None));
        assert_eq!(members.optional("name", |node| node.text(0..=9)), Ok(None));
    }

    #[test]
    fn what_is_not_json_is_refused() {
        for text in ["", "{", "{\"lat\": NaN}", "[1e999]", "{} {}"] {
            assert_eq!(
                parse(text.as_bytes()).map_err(|p| p.code()),
                Err(Code::InvalidJson),
                "{text}"
            );
        }
    }
}
