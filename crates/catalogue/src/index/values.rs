//! The distinct values of a property, which files have them, and which words they consist of.
//!
//! A library has a million files and a few thousand places, titles and tags. So words lead to values and values to files:
//! a phrase is looked for in each distinct value once, and a file that is added touches no word that is known.

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, RandomState};
use std::ops::Bound;

use hashbrown::HashTable;
use roaring::RoaringBitmap;

use super::fold;
use super::posting::{self, Posting, Union};
use crate::query::{Extent, Pattern};

/// A distinct value.
#[derive(Debug, Default)]
pub(crate) struct Value {
    pub(crate) text: Box<str>,
    /// The files that have it; none in a place that is free.
    pub(crate) slots: Option<Posting>,
}

/// The values of one property.
#[derive(Debug, Default)]
pub(crate) struct Values {
    hasher: RandomState,
    places: HashTable<u32>,
    values: Vec<Value>,
    free: Vec<u32>,
    words: BTreeMap<Box<str>, Posting>,
}

impl Values {
    /// A file has this value.
    pub(crate) fn insert(&mut self, text: &str, slot: u32) {
        let id = match self.find(text) {
            Some(id) => id,
            None => self.create(text),
        };
        if let Some(value) = self.values.get_mut(id as usize) {
            posting::put(&mut value.slots, slot);
        }
    }

    /// A file has this value no more. The last one takes it with it.
    pub(crate) fn remove(&mut self, text: &str, slot: u32) {
        let Some(id) = self.find(text) else { return };
        let Some(value) = self.values.get_mut(id as usize) else {
            return;
        };
        posting::take(&mut value.slots, slot);
        if value.slots.is_none() {
            self.forget(id, text);
        }
    }

    /// All values that a file has.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Posting)> {
        let values = self.values.iter();
        values.filter_map(|value| Some((&*value.text, value.slots.as_ref()?)))
    }

    /// Adds the files of all values in which a pattern is found.
    pub(crate) fn find_files(&self, pattern: &Pattern, found: &mut Union) {
        let wanted = fold::words(&pattern.text);
        let prefix = pattern.extent == Extent::Prefix;
        let Some((last, head)) = wanted.split_last() else {
            return;
        };
        let mut ids = match (prefix, self.words.get(last.as_str())) {
            (true, _) => self.beginning(last),
            (false, Some(ids)) => ids.iter().collect(),
            (false, None) => return,
        };
        for word in head {
            match self.words.get(word.as_str()) {
                Some(more) => ids = more.within(&ids),
                None => return,
            }
        }
        for id in ids {
            let Some(value) = self.values.get(id as usize) else {
                continue;
            };
            let stands =
                head.is_empty() || fold::has_phrase(&fold::words(&value.text), &wanted, prefix);
            if let (true, Some(slots)) = (stands, &value.slots) {
                found.add(slots);
            }
        }
    }

    /// The values with a word that begins so.
    fn beginning(&self, prefix: &str) -> RoaringBitmap {
        let from = (Bound::Included(prefix), Bound::Unbounded);
        let words = self.words.range::<str, _>(from);
        let mut ids = Union::default();
        for (_, posting) in words.take_while(|(word, _)| word.starts_with(prefix)) {
            ids.add(posting);
        }
        ids.finish()
    }

    fn find(&self, text: &str) -> Option<u32> {
        let same = |id: &u32| {
            let value = self.values.get(*id as usize);
            value.is_some_and(|value| &*value.text == text)
        };
        self.places.find(self.hasher.hash_one(text), same).copied()
    }

    fn create(&mut self, text: &str) -> u32 {
        let value = Value {
            text: text.into(),
            slots: None,
        };
        let id = match self.free.pop() {
            Some(id) => {
                if let Some(place) = self.values.get_mut(id as usize) {
                    *place = value;
                }
                id
            }
            None => {
                self.values.push(value);
                u32::try_from(self.values.len() - 1).expect("memory ends before numbers do")
            }
        };
        let (hasher, values) = (&self.hasher, &self.values);
        let hash = |id: &u32| {
            let value = values.get(*id as usize);
            value.map_or(0, |value| hasher.hash_one(&*value.text))
        };
        self.places.insert_unique(hasher.hash_one(text), id, hash);
        for word in fold::words(text) {
            match self.words.get_mut(word.as_str()) {
                Some(ids) => ids.insert(id),
                None => {
                    self.words.insert(word.into(), Posting::One(id));
                }
            }
        }
        id
    }

    fn forget(&mut self, id: u32, text: &str) {
        if let Ok(entry) = self
            .places
            .find_entry(self.hasher.hash_one(text), |other| *other == id)
        {
            entry.remove();
        }
        for word in fold::words(text) {
            if self
                .words
                .get_mut(word.as_str())
                .is_some_and(|ids| ids.remove(id))
            {
                self.words.remove(word.as_str());
            }
        }
        if let Some(value) = self.values.get_mut(id as usize) {
            *value = Value::default();
        }
        self.free.push(id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(values: &Values, text: &str, extent: Extent) -> Vec<u32> {
        let mut found = Union::default();
        let text = text.to_owned();
        values.find_files(&Pattern { text, extent }, &mut found);
        found.finish().iter().collect()
    }

    #[test]
    fn words_and_phrases_lead_to_files() {
        let mut values = Values::default();
        values.insert("Ice cream van", 7);
        values.insert("Ice cream van", 3);
        values.insert("cream on ice", 5);
        assert_eq!(files(&values, "ice", Extent::Whole), [3, 5, 7]);
        assert_eq!(files(&values, "ICE Cream", Extent::Whole), [3, 7]);
        assert_eq!(files(&values, "cream o", Extent::Prefix), [5]);
        assert_eq!(files(&values, "va", Extent::Whole), [0; 0]);
    }

    #[test]
    fn what_no_file_has_is_forgotten() {
        let mut values = Values::default();
        values.insert("secret word", 1);
        values.insert("other word", 2);
        values.remove("secret word", 1);
        values.remove("never was", 1);
        assert!(!values.words.contains_key("secret"));
        assert!(
            values
                .values
                .iter()
                .all(|value| &*value.text != "secret word")
        );
        assert_eq!(files(&values, "word", Extent::Whole), [2]);
        values.insert("third", 4);
        assert_eq!(values.values.len(), 2, "the free place is used");
        assert_eq!(files(&values, "third", Extent::Whole), [4]);
    }
}
