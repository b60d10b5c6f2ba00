//! How words begin that many values have, and the files of each such beginning.
//!
//! Whoever types `IMG` asks for a million names, each of one file. So for every beginning that many words and values share
//! the files are kept as a bitmap: `i`, `im`, `img`, and the word itself, which is a beginning that ends with [`END`].
//! Beginnings form a tree; how many values lie behind one is counted as long as the one above it is common. What is not
//! common is looked up value by value, which are few then.

use std::collections::BTreeMap;
use std::ops::Bound;

use model::codec::{Decode, DecodeError, Encode, Reader};
use roaring::RoaringBitmap;

use super::posting::{self, Posting, Union};

/// Stands behind a word that is meant whole; no word contains it.
const END: char = '\u{0}';
/// With more values than this a beginning is common. With less than half of it, it is so no more.
const MANY: usize = 1_000;

/// Words with the values that contain them.
pub(super) type Words = BTreeMap<Box<str>, Posting>;

/// A beginning that is counted.
#[derive(Debug, Default)]
struct Beginning {
    /// The values behind it, once for each of their words that begin so.
    count: u32,
    /// Their files, if they are many.
    files: Option<Box<RoaringBitmap>>,
}

/// The beginnings of a property's words. Of one letter all are counted.
#[derive(Debug, Default)]
pub(super) struct Beginnings(BTreeMap<Box<str>, Beginning>);

/// The key of a whole word.
fn whole(word: &str) -> String {
    let mut key = String::with_capacity(word.len() + 1);
    key.push_str(word);
    key.push(END);
    key
}

/// Every beginning of a key, shortest first.
fn each(key: &str) -> impl Iterator<Item = &str> {
    let ends = key.char_indices().map(|(at, c)| at + c.len_utf8());
    ends.filter_map(|end| key.get(..end))
}

/// The words that begin so.
pub(super) fn range<'a>(
    words: &'a Words,
    beginning: &'a str,
) -> impl Iterator<Item = (&'a str, &'a Posting)> {
    let (plain, is_whole) = match beginning.strip_suffix(END) {
        Some(word) => (word, true),
        None => (beginning, false),
    };
    let from = (Bound::Included(plain), Bound::Unbounded);
    let fits = move |word: &str| match is_whole {
        true => word == plain,
        false => word.starts_with(plain),
    };
    let all = words.range::<str, _>(from);
    all.map(|(word, ids)| (&**word, ids))
        .take_while(move |(word, _)| fits(word))
}

impl Beginnings {
    /// The files with a word, or with one that begins so, if the values are many.
    pub(super) fn files(&self, word: &str, prefix: bool) -> Option<&RoaringBitmap> {
        match prefix {
            true => self.files_of(word),
            false => self.files_of(&whole(word)),
        }
    }

    fn files_of(&self, beginning: &str) -> Option<&RoaringBitmap> {
        self.0.get(beginning)?.files.as_deref()
    }

    /// A file has a value with this word.
    pub(super) fn put(&mut self, word: &str, slot: u32) {
        for beginning in each(&whole(word)) {
            match self.0.get_mut(beginning) {
                Some(Beginning {
                    files: Some(files), ..
                }) => files.insert(slot),
                _ => return,
            };
        }
    }

    /// A file has no value with this word any more.
    pub(super) fn take(&mut self, word: &str, slot: u32) {
        for beginning in each(&whole(word)) {
            match self.0.get_mut(beginning) {
                Some(Beginning {
                    files: Some(files), ..
                }) => files.remove(slot),
                _ => return,
            };
        }
    }

    /// There is a new value with this word, which is among `words` already.
    pub(super) fn count<'a>(
        &mut self,
        word: &str,
        words: &Words,
        files: impl Fn(u32) -> Option<&'a Posting> + Copy,
    ) {
        for beginning in each(&whole(word)) {
            let known = match self.0.get_mut(beginning) {
                Some(known) => known,
                None => self.0.entry(beginning.into()).or_default(),
            };
            known.count += 1;
            if known.files.is_none() {
                if known.count as usize > MANY {
                    self.divide(beginning, words, files);
                }
                return;
            }
        }
    }

    /// A value with this word is gone.
    pub(super) fn uncount(&mut self, word: &str) {
        for beginning in each(&whole(word)) {
            let Some(known) = self.0.get_mut(beginning) else {
                return;
            };
            known.count -= 1;
            let few = (known.count as usize) < MANY / 2;
            let common = known.files.is_some();
            if few && common {
                known.files = None;
                self.forget_behind(beginning);
            }
            if self.0.get(beginning).is_some_and(|known| known.count == 0) {
                self.0.remove(beginning);
            }
            if few || !common {
                return;
            }
        }
    }

    /// Counts everything anew.
    pub(super) fn settle<'a>(
        &mut self,
        words: &Words,
        files: impl Fn(u32) -> Option<&'a Posting> + Copy,
    ) {
        self.0.clear();
        self.divide("", words, files);
    }

    /// Counts what is one letter longer, and gathers the files of what is common.
    fn divide<'a>(
        &mut self,
        beginning: &str,
        words: &Words,
        files: impl Fn(u32) -> Option<&'a Posting> + Copy,
    ) {
        let mut longer: BTreeMap<String, usize> = BTreeMap::new();
        for (word, ids) in range(words, beginning) {
            let rest = word.get(beginning.len()..).unwrap_or_default();
            let mut key = beginning.to_owned();
            key.push(rest.chars().next().unwrap_or(END));
            *longer.entry(key).or_default() += ids.len();
        }
        let mut union = Union::default();
        // A whole word has nothing behind it.
        if beginning.ends_with(END) {
            longer.clear();
            gather(beginning, words, files, &mut union);
        }
        for (key, count) in longer {
            let count_fits = u32::try_from(count).expect("memory ends before numbers do");
            self.0.entry(key.as_str().into()).or_default().count = count_fits;
            if count > MANY {
                self.divide(&key, words, files);
            }
            // Nobody asks for what begins with nothing.
            if beginning.is_empty() {
                continue;
            }
            match self.files_of(&key) {
                Some(common) => union.add_all(common),
                None => gather(&key, words, files, &mut union),
            }
        }
        if let Some(known) = self.0.get_mut(beginning) {
            known.files = Some(Box::new(union.finish()));
        }
    }

    fn forget_behind(&mut self, beginning: &str) {
        let from = (Bound::Excluded(beginning), Bound::Unbounded);
        let behind = self.0.range::<str, _>(from).map(|(key, _)| key);
        let behind = behind.take_while(|key| key.starts_with(beginning));
        let behind: Vec<Box<str>> = behind.cloned().collect();
        for key in behind {
            self.0.remove(&key);
        }
    }
}

/// Adds the files of all values behind a beginning.
fn gather<'a>(
    beginning: &str,
    words: &Words,
    files: impl Fn(u32) -> Option<&'a Posting>,
    union: &mut Union,
) {
    for (_, ids) in range(words, beginning) {
        ids.iter()
            .filter_map(&files)
            .for_each(|slots| union.add(slots));
    }
}

impl Encode for Beginnings {
    fn encode(&self, out: &mut Vec<u8>) {
        model::codec::encode_length(self.0.len(), out);
        for (key, known) in &self.0 {
            model::codec::encode_bytes(key.as_bytes(), out);
            known.count.encode(out);
            known.files.is_some().encode(out);
            if let Some(files) = &known.files {
                posting::encode_bitmap(files, out);
            }
        }
    }
}

impl Decode for Beginnings {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut known = Vec::new();
        for _ in 0..input.length()? {
            let key = String::decode(input)?.into();
            let count = u32::decode(input)?;
            let files = match bool::decode(input)? {
                true => Some(Box::new(posting::decode_bitmap(input)?)),
                false => None,
            };
            known.push((key, Beginning { count, files }));
        }
        Ok(Self(known.into_iter().collect()))
    }
}
