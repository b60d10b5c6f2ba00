//! One library in memory: what files are compared and counted by.
//!
//! Every file has a slot, a small number that bitmaps are made of. A slot is free again when its file goes or moves to
//! another row, so slots say nothing about order; the row's key does. Nothing here is told to anybody in the order of
//! slots, so that nodes whose files came to theirs in another order answer alike.

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, RandomState};

use hashbrown::HashTable;
use model::codec::{Decode, DecodeError, Encode, Reader, encode_bytes, encode_length};
use model::file::Camera;
use roaring::RoaringBitmap;

use super::columns::Columns;
use super::posting::{self, Posting};
use super::values::{self, Values};
use crate::field::Field;
use crate::key::RowKey;
use crate::rules::RATING_MAX;
use crate::stored::{Stored, fold};
use crate::time;

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
    /// Names of people in the picture.
    pub(crate) person: Values,
    /// Texts of people's own fields, which are words like any other.
    pub(crate) own: Values,
}

impl Texts {
    /// For very many files at once, and then [`Texts::settle`].
    pub(crate) fn unsettled() -> Self {
        Self {
            name: Values::unsettled(),
            title: Values::unsettled(),
            description: Values::unsettled(),
            tag: Values::unsettled(),
            place: Values::unsettled(),
            camera: Values::unsettled(),
            person: Values::unsettled(),
            own: Values::unsettled(),
        }
    }

    /// Counts what was put in so far.
    pub(crate) fn settle(&mut self) {
        let all = [
            &mut self.name,
            &mut self.title,
            &mut self.description,
            &mut self.tag,
            &mut self.place,
            &mut self.camera,
            &mut self.person,
            &mut self.own,
        ];
        all.into_iter().for_each(Values::settle);
    }

    /// Puts in what hardly two files have in common.
    pub(crate) fn insert_free(&mut self, slot: u32, stored: &Stored) {
        each_free_text(self, stored, |values, text| values.insert(text, slot));
    }

    /// Takes in what was put into another one with [`Texts::insert_free`].
    pub(crate) fn take_free(&mut self, other: Self) {
        self.name = other.name;
        self.title = other.title;
        self.description = other.description;
        self.own = other.own;
    }
}

/// A library in memory.
#[derive(Debug, Default)]
pub(crate) struct Library {
    hasher: RandomState,
    by_key: HashTable<u32>,
    pub(crate) columns: Columns,
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
    /// Files whose picture has a hash.
    pub(crate) hashed: RoaringBitmap,
    pub(crate) fields: [RoaringBitmap; Field::ALL.len()],
}

impl Library {
    /// An empty one for very many files at once, and then [`Texts::settle`].
    pub(crate) fn unsettled() -> Self {
        Self {
            texts: Texts::unsettled(),
            cameras: Values::unsettled(),
            lenses: Values::unsettled(),
            ..Self::default()
        }
    }

    /// Ends what [`Library::unsettled`] began, with the texts that another one was given.
    pub(crate) fn settle(&mut self, free: Texts) {
        self.texts.settle();
        self.texts.take_free(free);
        self.cameras.settle();
        self.lenses.settle();
    }

    /// Puts a file in.
    pub(crate) fn insert(&mut self, key: RowKey, arrival: i64, stored: &Stored) {
        let slot = self.insert_bound(key, arrival, stored);
        self.texts.insert_free(slot, stored);
    }

    /// Puts everything of a file in but the texts that hardly two files have in common.
    pub(crate) fn insert_bound(&mut self, key: RowKey, arrival: i64, stored: &Stored) -> u32 {
        let slot = self.take_slot(key, arrival, stored);
        self.put_marks(slot, stored);
        if month_of(stored) != key.month() {
            self.spilled.insert(slot);
        }
        let texts = &mut self.texts;
        each_bound_text(texts, stored, |values, text| values.insert(text, slot));
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
        slot
    }

    /// Takes a file out that was put in like this.
    pub(crate) fn remove(&mut self, key: RowKey, stored: &Stored) {
        let Some(slot) = self.drop_slot(key) else {
            return;
        };
        self.take_marks(slot, stored);
        self.spilled.remove(slot);
        let texts = &mut self.texts;
        each_bound_text(texts, stored, |values, text| values.remove(text, slot));
        each_free_text(texts, stored, |values, text| values.remove(text, slot));
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

    /// The key of the row in a slot.
    pub(crate) fn key(&self, slot: u32) -> RowKey {
        RowKey(self.columns.key.at(slot))
    }

    /// The slot of a row.
    pub(crate) fn slot(&self, key: RowKey) -> Option<u32> {
        let same = |slot: &u32| self.key(*slot) == key;
        self.by_key.find(self.hasher.hash_one(key.0), same).copied()
    }

    /// Whether nothing is left in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    fn take_slot(&mut self, key: RowKey, arrival: i64, stored: &Stored) -> u32 {
        let next = u32::try_from(self.columns.len()).expect("memory ends before numbers do");
        let slot = self.free.pop().unwrap_or(next);
        self.columns.put(slot, key, arrival, stored);
        let (hasher, keys) = (&self.hasher, &self.columns.key);
        let hash = |slot: &u32| hasher.hash_one(keys.at(*slot));
        self.by_key
            .insert_unique(hasher.hash_one(key.0), slot, hash);
        slot
    }

    fn drop_slot(&mut self, key: RowKey) -> Option<u32> {
        let keys = &self.columns.key;
        let same = |slot: &u32| keys.at(*slot) == key.0;
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
        if stored.beside.picture.hash.is_some() {
            marks.push(&mut self.hashed);
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

/// Everything but the texts that [`Texts::insert_free`] puts in.
impl Encode for Library {
    fn encode(&self, out: &mut Vec<u8>) {
        self.columns.encode(out);
        self.free.encode(out);
        let texts = &self.texts;
        for values in [
            &texts.tag,
            &texts.place,
            &texts.camera,
            &texts.person,
            &self.cameras,
            &self.lenses,
        ] {
            values.encode(out);
        }
        encode_length(self.tags.len(), out);
        for (path, tag) in &self.tags {
            encode_bytes(path.as_bytes(), out);
            tag.encode(out);
        }
        encode_length(self.months.len(), out);
        for (month, files) in &self.months {
            i64::from(*month).encode(out);
            posting::encode_bitmap(files, out);
        }
        for bitmap in self.bitmaps() {
            posting::encode_bitmap(bitmap, out);
        }
    }
}

impl Decode for Library {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut library = Self {
            columns: Decode::decode(input)?,
            free: Decode::decode(input)?,
            ..Self::default()
        };
        let Self {
            texts,
            cameras,
            lenses,
            ..
        } = &mut library;
        for values in [
            &mut texts.tag,
            &mut texts.place,
            &mut texts.camera,
            &mut texts.person,
            cameras,
            lenses,
        ] {
            *values = Decode::decode(input)?;
        }
        for _ in 0..input.length()? {
            let path: Box<str> = String::decode(input)?.into();
            library.tags.insert(path, Decode::decode(input)?);
        }
        for _ in 0..input.length()? {
            let month = i64::decode(input)?;
            let month = i32::try_from(month).map_err(|_| DecodeError::Invalid {
                what: "month",
                value: month.cast_unsigned(),
            })?;
            library.months.insert(month, posting::decode_bitmap(input)?);
        }
        for bitmap in library.bitmaps_mut() {
            *bitmap = posting::decode_bitmap(input)?;
        }
        library.find_keys()?;
        Ok(library)
    }
}

impl Library {
    /// The bitmaps that every library has.
    fn bitmaps(&self) -> impl Iterator<Item = &RoaringBitmap> {
        let alone = [&self.spilled, &self.favourites, &self.hashed].into_iter();
        let marks = alone.chain(&self.states).chain(&self.kinds);
        marks.chain(&self.ratings).chain(&self.fields)
    }

    /// The same, in the same order.
    fn bitmaps_mut(&mut self) -> impl Iterator<Item = &mut RoaringBitmap> {
        let alone = [&mut self.spilled, &mut self.favourites, &mut self.hashed].into_iter();
        let marks = alone.chain(&mut self.states).chain(&mut self.kinds);
        marks.chain(&mut self.ratings).chain(&mut self.fields)
    }

    /// Makes the slots of rows be found by what the columns say.
    fn find_keys(&mut self) -> Result<(), DecodeError> {
        let free: RoaringBitmap = self.free.iter().copied().collect();
        let slots = self.columns.len();
        let beyond = free.max().is_some_and(|last| last as usize >= slots);
        if beyond || !self.columns.are_even() {
            return Err(DecodeError::Truncated);
        }
        let (hasher, keys) = (&self.hasher, &self.columns.key);
        let hash = |slot: &u32| hasher.hash_one(keys.at(*slot));
        self.by_key = HashTable::with_capacity(slots);
        for (slot, key) in self
            .columns
            .keys()
            .filter(|(slot, _)| !free.contains(*slot))
        {
            self.by_key.insert_unique(hasher.hash_one(key), slot, hash);
        }
        Ok(())
    }
}

impl Encode for Tag {
    fn encode(&self, out: &mut Vec<u8>) {
        values::encode_slots(self.slots.as_ref(), out);
        encode_length(self.spellings.len(), out);
        for (spelled, uses) in &self.spellings {
            encode_bytes(spelled.as_bytes(), out);
            uses.encode(out);
        }
    }
}

impl Decode for Tag {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut tag = Self {
            slots: Decode::decode(input)?,
            ..Self::default()
        };
        for _ in 0..input.length()? {
            let spelled: Box<str> = String::decode(input)?.into();
            tag.spellings.insert(spelled, Decode::decode(input)?);
        }
        Ok(tag)
    }
}

/// The texts that [`Texts::insert_free`] puts in.
impl Encode for Texts {
    fn encode(&self, out: &mut Vec<u8>) {
        for values in [&self.name, &self.title, &self.description, &self.own] {
            values.encode(out);
        }
    }
}

impl Decode for Texts {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            name: Decode::decode(input)?,
            title: Decode::decode(input)?,
            description: Decode::decode(input)?,
            own: Decode::decode(input)?,
            ..Self::default()
        })
    }
}

/// Every text that searches look at and that hardly two files have in common, with the property it belongs to.
fn each_free_text(texts: &mut Texts, stored: &Stored, mut visit: impl FnMut(&mut Values, &str)) {
    for name in &stored.names {
        visit(&mut texts.name, name);
    }
    if let Some(title) = &stored.title {
        visit(&mut texts.title, title);
    }
    if let Some(description) = &stored.description {
        visit(&mut texts.description, description);
    }
    for text in stored.own_texts() {
        visit(&mut texts.own, text);
    }
}

/// Every other text that searches look at.
fn each_bound_text(texts: &mut Texts, stored: &Stored, mut visit: impl FnMut(&mut Values, &str)) {
    for tag in &stored.tags {
        visit(&mut texts.tag, tag);
    }
    for name in stored.place_words() {
        visit(&mut texts.place, name);
    }
    if let Some(camera) = stored.camera_text() {
        visit(&mut texts.camera, &camera);
    }
    for name in &stored.beside.people {
        visit(&mut texts.person, name);
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
