//! Things that are kept once and known by a number.
//!
//! The tables are asked and never walked through, so the order in which they would give their contents cannot matter.

#![expect(
    clippy::disallowed_types,
    reason = "asked, never walked through; an ordered table costs a search half its speed"
)]

use std::collections::{HashMap, HashSet};

use crate::fingerprint::Fingerprints;

/// Values by number, and numbers by fingerprint.
pub(crate) struct Table<T> {
    values: Vec<T>,
    known: HashMap<u128, u32, Fingerprints>,
}

impl<T> Table<T> {
    pub(crate) fn new() -> Self {
        Self {
            values: Vec::new(),
            known: HashMap::default(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    pub(crate) fn get(&self, number: u32) -> &T {
        let value = self.values.get(number as usize);
        value.expect("the table has handed out the number")
    }

    pub(crate) fn find(&self, fingerprint: u128) -> Option<u32> {
        self.known.get(&fingerprint).copied()
    }

    /// Keeps a value as the one with this fingerprint.
    pub(crate) fn add(&mut self, fingerprint: u128, value: T) -> u32 {
        let number = number(self.values.len());
        self.values.push(value);
        self.known.insert(fingerprint, number);
        number
    }
}

/// What came of a thing and a code for what happened to it.
#[derive(Default)]
pub(crate) struct Memo(HashMap<(u32, u64), u32, Fingerprints>);

impl Memo {
    pub(crate) fn get(&self, thing: u32, code: u64) -> Option<u32> {
        self.0.get(&(thing, code)).copied()
    }

    pub(crate) fn note(&mut self, thing: u32, code: u64, outcome: u32) {
        self.0.insert((thing, code), outcome);
    }
}

/// Fingerprints met before.
#[derive(Default)]
pub(crate) struct Seen(HashSet<u128, Fingerprints>);

impl Seen {
    /// Whether this is the first time.
    pub(crate) fn is_new(&mut self, fingerprint: u128) -> bool {
        self.0.insert(fingerprint)
    }
}

/// The number of the next of `count` things.
pub(crate) fn number(count: usize) -> u32 {
    u32::try_from(count).expect("memory ends long before numbers do")
}
