//! The distinct values of a property, which files have them, and which words they consist of.
//!
//! A library has a million files and a few thousand places, titles and tags. So words lead to values and values to files:
//! a phrase is looked for in each distinct value once. Words that very many values share lead to files at once
//! (`beginnings`), since names are as many as files.

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, RandomState};

use hashbrown::HashTable;
use model::codec::{Decode, DecodeError, Encode, Reader, encode_bytes, encode_length};
use roaring::RoaringBitmap;

use super::beginnings::{self, Beginnings, Words};
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

/// So many values are looked through for a phrase before others are ruled out by its last word.
const LOOKED_THROUGH: u64 = 20_000;

/// The values of one property.
#[derive(Debug, Default)]
pub(crate) struct Values {
    hasher: RandomState,
    places: HashTable<u32>,
    values: Vec<Value>,
    free: Vec<u32>,
    words: Words,
    beginnings: Beginnings,
    /// Whether the beginnings are counted later, all at once.
    unsettled: bool,
}

impl Values {
    /// None yet, but there will be very many at once, and then [`Values::settle`].
    pub(crate) fn unsettled() -> Self {
        Self {
            unsettled: true,
            ..Self::default()
        }
    }

    /// Counts the beginnings of what was put in so far.
    pub(crate) fn settle(&mut self) {
        self.unsettled = false;
        let values = &self.values;
        self.beginnings
            .settle(&self.words, |id| values.get(id as usize)?.slots.as_ref());
    }

    /// A file has this value.
    pub(crate) fn insert(&mut self, text: &str, slot: u32) {
        let id = match self.find(text) {
            Some(id) => id,
            None => self.create(text),
        };
        if let Some(value) = self.values.get_mut(id as usize) {
            posting::put(&mut value.slots, slot);
        }
        if !self.unsettled {
            for word in words_once(text) {
                self.beginnings.put(&word, slot);
            }
        }
    }

    /// A file has this value no more, and none of the others that it had: it loses them one after the other. The last
    /// file takes the value with it.
    pub(crate) fn remove(&mut self, text: &str, slot: u32) {
        let Some(id) = self.find(text) else { return };
        for word in words_once(text) {
            self.beginnings.take(&word, slot);
        }
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
        if head.is_empty() {
            return self.find_word(last, prefix, found);
        }
        // A last word that few values have leaves few to look at; else it is asked last.
        let common = self.beginnings.files(last, prefix).is_some();
        let mut ids = (!common).then(|| self.beginning(last, prefix));
        for word in head {
            ids = match (self.words.get(word.as_str()), ids) {
                (None, _) => return,
                (Some(more), None) => Some(more.iter().collect()),
                (Some(more), Some(ids)) => Some(more.within(&ids)),
            };
        }
        let mut ids = ids.unwrap_or_default();
        if common && ids.len() > LOOKED_THROUGH {
            ids &= self.beginning(last, prefix);
        }
        for id in ids {
            let value = self.values.get(id as usize);
            if let Some(value) = value
                && let Some(slots) = &value.slots
                && fold::holds_phrase(&value.text, &wanted, prefix)
            {
                found.add(slots);
            }
        }
    }

    /// Adds the files of all values with a word, or one that begins so.
    fn find_word(&self, word: &str, prefix: bool, found: &mut Union) {
        if let Some(files) = self.beginnings.files(word, prefix) {
            return found.add_all(files);
        }
        for id in self.beginning(word, prefix) {
            let slots = self.values.get(id as usize);
            if let Some(slots) = slots.and_then(|value| value.slots.as_ref()) {
                found.add(slots);
            }
        }
    }

    /// The values with a word, or one that begins so.
    fn beginning(&self, word: &str, prefix: bool) -> RoaringBitmap {
        if !prefix {
            let ids = self.words.get(word);
            return ids.map(|ids| ids.iter().collect()).unwrap_or_default();
        }
        let mut ids = Union::default();
        for (_, posting) in beginnings::range(&self.words, word) {
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
        self.place(id, text);
        for word in words_once(text) {
            match self.words.get_mut(word.as_str()) {
                Some(ids) => ids.insert(id),
                None => {
                    self.words.insert(word.as_str().into(), Posting::One(id));
                }
            }
            if !self.unsettled {
                let files = |id: u32| self.values.get(id as usize)?.slots.as_ref();
                self.beginnings.count(&word, &self.words, files);
            }
        }
        id
    }

    /// Makes all values be found that some file has; the places of the others are free.
    fn place_all(&mut self) {
        let (hasher, values) = (&self.hasher, &self.values);
        let hash = |id: &u32| {
            let value = values.get(*id as usize);
            value.map_or(0, |value| hasher.hash_one(&*value.text))
        };
        for (id, value) in (0..).zip(values) {
            if value.slots.is_some() {
                self.places.insert_unique(hash(&id), id, hash);
            } else {
                self.free.push(id);
            }
        }
    }

    /// Makes a value be found.
    fn place(&mut self, id: u32, text: &str) {
        let (hasher, values) = (&self.hasher, &self.values);
        let hash = |id: &u32| {
            let value = values.get(*id as usize);
            value.map_or(0, |value| hasher.hash_one(&*value.text))
        };
        self.places.insert_unique(hasher.hash_one(text), id, hash);
    }

    fn forget(&mut self, id: u32, text: &str) {
        if let Ok(entry) = self
            .places
            .find_entry(self.hasher.hash_one(text), |other| *other == id)
        {
            entry.remove();
        }
        for word in words_once(text) {
            self.beginnings.uncount(&word);
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

/// The words of a text, each once.
fn words_once(text: &str) -> Vec<String> {
    let mut words = fold::words(text);
    words.sort_unstable();
    words.dedup();
    words
}

/// A value as a picture of the index holds it; the words and beginnings follow behind all of them.
impl Encode for Values {
    fn encode(&self, out: &mut Vec<u8>) {
        encode_length(self.values.len(), out);
        for value in &self.values {
            encode_bytes(value.text.as_bytes(), out);
            encode_slots(value.slots.as_ref(), out);
        }
        encode_length(self.words.len(), out);
        for (word, ids) in &self.words {
            encode_bytes(word.as_bytes(), out);
            ids.encode(out);
        }
        self.beginnings.encode(out);
    }
}

impl Decode for Values {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let count = input.length()?;
        let mut all = Self {
            places: HashTable::with_capacity(count),
            values: Vec::with_capacity(count),
            ..Self::default()
        };
        for _ in 0..count {
            all.values.push(Value {
                text: String::decode(input)?.into(),
                slots: Option::decode(input)?,
            });
        }
        all.place_all();
        let mut words = Vec::new();
        for _ in 0..input.length()? {
            words.push((String::decode(input)?.into(), Posting::decode(input)?));
        }
        // Known to be in order, which makes it fast.
        all.words = words.into_iter().collect::<BTreeMap<_, _>>();
        all.beginnings = Decode::decode(input)?;
        Ok(all)
    }
}

/// As an option of a set is encoded.
pub(super) fn encode_slots(slots: Option<&Posting>, out: &mut Vec<u8>) {
    slots.is_some().encode(out);
    if let Some(slots) = slots {
        slots.encode(out);
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
    /// What every value says for itself.
    fn expected(known: &BTreeMap<u32, String>, text: &str, extent: Extent) -> Vec<u32> {
        let (wanted, prefix) = (fold::words(text), extent == Extent::Prefix);
        let holds = |text: &str| fold::holds_phrase(text, &wanted, prefix);
        let found = known.iter().filter(|(_, text)| holds(text));
        found.map(|(slot, _)| *slot).collect()
    }

    fn check(values: &Values, known: &BTreeMap<u32, String>) {
        for text in [
            "img", "i", "jpg", "0", "00", "000", "0001", "12", "img 00", "jpg x", "été",
        ] {
            for extent in [Extent::Whole, Extent::Prefix] {
                let right = expected(known, text, extent);
                assert_eq!(files(values, text, extent), right, "{text} {extent:?}");
            }
        }
    }

    #[test]
    fn words_of_very_many_values_lead_to_the_same_files() {
        let name = |slot: u32| match slot % 7 {
            0 => format!("Été {slot:04}.jpg"),
            _ => format!("IMG_{slot:04}.jpg"),
        };
        let mut known: BTreeMap<u32, String> = BTreeMap::new();
        let (mut grown, mut settled) = (Values::default(), Values::unsettled());
        for slot in 0..1_400 {
            known.insert(slot, name(slot));
            grown.insert(&name(slot), slot);
            settled.insert(&name(slot), slot);
        }
        settled.settle();
        let read = Values::from_bytes(&grown.to_bytes()).unwrap();
        for mut values in [grown, settled, read] {
            let mut known = known.clone();
            check(&values, &known);
            // Down to few, and up again; a place may get another file.
            for slot in (0..1_400).filter(|slot| slot % 5 != 0) {
                values.remove(&name(slot), slot);
                known.remove(&slot);
                if slot % 500 == 1 {
                    check(&values, &known);
                }
            }
            check(&values, &known);
            for slot in 500..1_300 {
                values.remove(&name(slot), slot);
                values.insert(&name(slot + 1), slot);
                known.insert(slot, name(slot + 1));
            }
            check(&values, &known);
        }
    }
}
