//! One library in memory: what files are compared and counted by.
//!
//! Every file has a slot, a small number that bitmaps are made of. A slot is free again when its file goes or moves to
//! another row, so slots say nothing about order; the row's key does. Nothing here is told to anybody in the order of
//! slots, so that nodes whose files came to theirs in another order answer alike.

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, RandomState};

use hashbrown::HashTable;
use model::file::{Camera, Place};
use roaring::RoaringBitmap;

use super::posting::{self, Posting};
use super::values::Values;
use super::world;
use crate::field::Field;
use crate::key::RowKey;
use crate::rules::RATING_MAX;
use crate::stored::{Stored, fold};
use crate::time;

/// What searches compare of one file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Facts {
    pub(crate) key: RowKey,
    pub(crate) arrival: i64,
    /// Time of the block, in microseconds.
    pub(crate) added: u64,
    /// Microseconds on the camera's clock, if the key is dated.
    pub(crate) taken: i64,
    pub(crate) size: u64,
    pub(crate) duration_ms: Option<u32>,
    pub(crate) width: Option<u32>,
    pub(crate) height: Option<u32>,
    pub(crate) rating: Option<u8>,
    /// Degrees north and east; not a number without a position.
    pub(crate) lat: f64,
    pub(crate) lon: f64,
    /// The same on the map, by `world`.
    pub(crate) x: u32,
    pub(crate) y: u32,
}

/// A tag, as far as it is used.
#[derive(Debug, Default)]
pub(crate) struct Tag {
    /// The files with it or a tag below it.
    pub(crate) slots: Option<Posting>,
    /// How often each spelling is used.
    spellings: BTreeMap<Box<str>, u32>,
}

impl Tag {
    /// Of several spellings the first by code point.
    pub(crate) fn spelled(&self) -> &str {
        self.spellings.keys().next().map_or("", |first| first)
    }
}

/// The properties with words.
#[derive(Debug, Default)]
pub(crate) struct Texts {
    pub(crate) name: Values,
    pub(crate) title: Values,
    pub(crate) description: Values,
    pub(crate) tag: Values,
    pub(crate) place: Values,
    pub(crate) camera: Values,
    /// Texts of people's own fields, which are words like any other.
    pub(crate) own: Values,
}

/// A library in memory.
#[derive(Debug, Default)]
pub(crate) struct Library {
    hasher: RandomState,
    by_key: HashTable<u32>,
    facts: Vec<Facts>,
    free: Vec<u32>,
    pub(crate) texts: Texts,
    pub(crate) tags: BTreeMap<Box<str>, Tag>,
    /// Make and model in one, without the lens.
    pub(crate) cameras: Values,
    pub(crate) lenses: Values,
    /// By month, counted from the year 0.
    pub(crate) months: BTreeMap<i32, RoaringBitmap>,
    /// Files whose row lies in another month than their capture time: see `key`.
    pub(crate) spilled: RoaringBitmap,
    pub(crate) states: [RoaringBitmap; 3],
    pub(crate) kinds: [RoaringBitmap; 3],
    pub(crate) ratings: [RoaringBitmap; RATING_MAX as usize + 1],
    pub(crate) favourites: RoaringBitmap,
    pub(crate) fields: [RoaringBitmap; Field::ALL.len()],
}

impl Library {
    /// Puts a file in.
    pub(crate) fn insert(&mut self, key: RowKey, arrival: i64, stored: &Stored) {
        let slot = self.take_slot(Facts::of(key, arrival, stored));
        self.put_marks(slot, stored);
        if month_of(stored) != key.month() {
            self.spilled.insert(slot);
        }
        let texts = &mut self.texts;
        each_text(texts, stored, |values, text| values.insert(text, slot));
        if let Some(camera) = &stored.facts.camera {
            let (body, lens) = body_and_lens(camera);
            body.iter().for_each(|body| self.cameras.insert(body, slot));
            lens.iter().for_each(|lens| self.lenses.insert(lens, slot));
        }
        for tag in &stored.tags {
            for spelled in with_those_above(tag) {
                self.insert_tag(spelled, slot);
            }
        }
    }

    /// Takes a file out that was put in like this.
    pub(crate) fn remove(&mut self, key: RowKey, stored: &Stored) {
        let Some(slot) = self.drop_slot(key) else {
            return;
        };
        self.take_marks(slot, stored);
        self.spilled.remove(slot);
        let texts = &mut self.texts;
        each_text(texts, stored, |values, text| values.remove(text, slot));
        if let Some(camera) = &stored.facts.camera {
            let (body, lens) = body_and_lens(camera);
            body.iter().for_each(|body| self.cameras.remove(body, slot));
            lens.iter().for_each(|lens| self.lenses.remove(lens, slot));
        }
        for tag in &stored.tags {
            for spelled in with_those_above(tag) {
                self.remove_tag(spelled, slot);
            }
        }
    }

    /// What is known of the file in a slot.
    pub(crate) fn facts(&self, slot: u32) -> &Facts {
        self.facts
            .get(slot as usize)
            .expect("bitmaps hold only slots that are taken")
    }

    /// The slot of a row.
    pub(crate) fn slot(&self, key: RowKey) -> Option<u32> {
        let same = |slot: &u32| self.facts(*slot).key == key;
        self.by_key.find(self.hasher.hash_one(key.0), same).copied()
    }

    /// Whether nothing is left in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    fn take_slot(&mut self, facts: Facts) -> u32 {
        let slot = match self.free.pop() {
            Some(slot) => {
                if let Some(place) = self.facts.get_mut(slot as usize) {
                    *place = facts;
                }
                slot
            }
            None => {
                self.facts.push(facts);
                u32::try_from(self.facts.len() - 1).expect("memory ends before numbers do")
            }
        };
        let (hasher, all) = (&self.hasher, &self.facts);
        let hash = |slot: &u32| {
            let facts = all.get(*slot as usize);
            facts.map_or(0, |facts| hasher.hash_one(facts.key.0))
        };
        self.by_key
            .insert_unique(hasher.hash_one(facts.key.0), slot, hash);
        slot
    }

    fn drop_slot(&mut self, key: RowKey) -> Option<u32> {
        let facts = &self.facts;
        let same = |slot: &u32| {
            let facts = facts.get(*slot as usize);
            facts.is_some_and(|facts| facts.key == key)
        };
        let hash = self.hasher.hash_one(key.0);
        let (slot, _) = self.by_key.find_entry(hash, same).ok()?.remove();
        self.free.push(slot);
        Some(slot)
    }

    /// Everything that is a bit.
    fn put_marks(&mut self, slot: u32, stored: &Stored) {
        for marked in self.marks(stored) {
            marked.insert(slot);
        }
        if let Some(month) = month_of(stored) {
            self.months.entry(month).or_default().insert(slot);
        }
    }

    fn take_marks(&mut self, slot: u32, stored: &Stored) {
        for marked in self.marks(stored) {
            marked.remove(slot);
        }
        let Some(month) = month_of(stored) else {
            return;
        };
        if let Some(files) = self.months.get_mut(&month) {
            files.remove(slot);
            if files.is_empty() {
                self.months.remove(&month);
            }
        }
    }

    /// The bitmaps that a file is in.
    fn marks(&mut self, stored: &Stored) -> Vec<&mut RoaringBitmap> {
        let present = stored.fields();
        let mut marks: Vec<&mut RoaringBitmap> = Vec::with_capacity(Field::ALL.len() + 4);
        marks.extend(self.states.get_mut(stored.state as usize));
        marks.extend(self.kinds.get_mut(stored.facts.kind as usize));
        if let Some(rating) = stored.rating {
            marks.extend(self.ratings.get_mut(usize::from(rating)));
        }
        if stored.favourite {
            marks.push(&mut self.favourites);
        }
        let fields = Field::ALL.iter().zip(&mut self.fields);
        marks.extend(
            fields
                .filter(|(field, _)| present & field.bit() != 0)
                .map(|(_, files)| files),
        );
        marks
    }

    fn insert_tag(&mut self, spelled: &str, slot: u32) {
        let path = fold(spelled);
        let tag = match self.tags.get_mut(path.as_str()) {
            Some(tag) => tag,
            None => self.tags.entry(path.into()).or_default(),
        };
        posting::put(&mut tag.slots, slot);
        // Asked for first, so that a spelling that is known is not copied.
        match tag.spellings.get_mut(spelled) {
            Some(uses) => *uses += 1,
            None => {
                tag.spellings.insert(spelled.into(), 1);
            }
        }
    }

    fn remove_tag(&mut self, spelled: &str, slot: u32) {
        let path = fold(spelled);
        let Some(tag) = self.tags.get_mut(path.as_str()) else {
            return;
        };
        posting::take(&mut tag.slots, slot);
        if let Some(uses) = tag.spellings.get_mut(spelled) {
            *uses -= 1;
            if *uses == 0 {
                tag.spellings.remove(spelled);
            }
        }
        if tag.slots.is_none() {
            self.tags.remove(path.as_str());
        }
    }
}

impl Facts {
    fn of(key: RowKey, arrival: i64, stored: &Stored) -> Self {
        let facts = &stored.facts;
        let place = stored.place();
        let lat = place.map_or(f64::NAN, Place::latitude);
        let lon = place.map_or(f64::NAN, Place::longitude);
        let (x, y) = world::at(lat, lon);
        let taken = stored.local_time().map_or(i64::MIN, |time| time.micros());
        let saturated = |ms: u64| u32::try_from(ms).unwrap_or(u32::MAX);
        Self {
            key,
            arrival,
            added: stored.added_at.0,
            taken,
            size: stored.size,
            duration_ms: facts.duration_ms.map(saturated),
            width: facts.width,
            height: facts.height,
            rating: stored.rating,
            lat,
            lon,
            x,
            y,
        }
    }
}

/// Every text that searches look at, with the property it belongs to.
fn each_text(texts: &mut Texts, stored: &Stored, mut visit: impl FnMut(&mut Values, &str)) {
    for name in &stored.names {
        visit(&mut texts.name, name);
    }
    for tag in &stored.tags {
        visit(&mut texts.tag, tag);
    }
    if let Some(title) = &stored.title {
        visit(&mut texts.title, title);
    }
    if let Some(description) = &stored.description {
        visit(&mut texts.description, description);
    }
    for name in stored.place_words() {
        visit(&mut texts.place, name);
    }
    if let Some(camera) = stored.camera_text() {
        visit(&mut texts.camera, &camera);
    }
    for text in stored.own_texts() {
        visit(&mut texts.own, text);
    }
}

/// A tag and all above it: `a/b`, `a`.
fn with_those_above(tag: &str) -> impl Iterator<Item = &str> {
    let above = tag.match_indices('/').filter_map(|(at, _)| tag.get(..at));
    above.chain(std::iter::once(tag))
}

/// Make and model as one name, which makers often repeat; and the lens.
fn body_and_lens(camera: &Camera) -> (Option<String>, Option<&str>) {
    let lens = camera.lens.as_deref().filter(|lens| !lens.is_empty());
    let body = match (camera.make.as_deref(), camera.model.as_deref()) {
        (Some(make), Some(model)) if !fold(model).starts_with(&fold(make)) => {
            Some(format!("{make} {model}"))
        }
        (_, Some(model)) => Some(model.to_owned()),
        (Some(make), None) => Some(make.to_owned()),
        (None, None) => None,
    };
    (body, lens)
}

fn month_of(stored: &Stored) -> Option<i32> {
    stored.local_time().map(time::month)
}
