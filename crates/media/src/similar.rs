//! Pictures that look the same, found by their perceptual hashes.
//!
//! Comparing each of a million hashes with each other takes 10¹² steps. So the 64 bits are cut into four words. Two
//! hashes within `d` bits agree in at least one word up to `d / 4` bits, so it is enough to look up each word, and the
//! words one or two bits beside it, in a table of where it occurs.

use std::collections::BTreeMap;

/// The largest distance that can be asked for. Beyond it everything resembles everything.
pub const DISTANCE_MAX: u32 = 11;
/// A good distance for "the same picture, saved again".
pub const DISTANCE_SAME: u32 = 6;

const WORDS: usize = 4;
const WORD_VALUES: usize = 1 << 16;

/// In how many bits two hashes differ: 0 is the same picture, 32 is chance.
pub fn distance(left: u64, right: u64) -> u32 {
    (left ^ right).count_ones()
}

/// Groups of hashes by their place in `hashes`: each one is within `most` bits (at most [`DISTANCE_MAX`]) of another
/// one of its group. Those that resemble none are in no group. Groups and places are in ascending order.
///
/// Equal hashes are looked up once. A million different ones take some seconds at distance 6; crafted ones that share
/// a word take the square of their number.
pub fn groups(hashes: &[u64], most: u32) -> Vec<Vec<usize>> {
    let mut places: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
    for (place, &hash) in hashes.iter().enumerate() {
        places.entry(hash).or_default().push(place);
    }
    let distinct: Vec<u64> = places.keys().copied().collect();
    let table = Table::new(distinct);
    let mut sets = Sets::new(table.hashes.len());
    let most = most.min(DISTANCE_MAX);
    let masks = masks(most / WORDS as u32);
    for index in 0..table.hashes.len() {
        table.each_near(index, most, &masks, |near| sets.join(index, near));
    }
    let mut groups: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (index, places) in places.into_values().enumerate() {
        groups.entry(sets.root(index)).or_default().extend(places);
    }
    let mut groups: Vec<Vec<usize>> = groups
        .into_values()
        .filter(|group| group.len() > 1)
        .collect();
    for group in &mut groups {
        group.sort_unstable();
    }
    groups.sort_unstable();
    groups
}

/// Where each value of each word occurs.
struct Table {
    hashes: Vec<u64>,
    words: Vec<Column>,
}

/// For one word: where the occurrences of each value start, and all occurrences.
struct Column {
    starts: Vec<usize>,
    places: Vec<usize>,
}

impl Table {
    fn new(hashes: Vec<u64>) -> Self {
        let words = (0..WORDS).map(|word| Column::new(&hashes, word)).collect();
        Self { hashes, words }
    }

    /// Calls with each hash behind `index` that is within `most` bits of it; perhaps more than once.
    fn each_near(&self, index: usize, most: u32, masks: &[u16], mut found: impl FnMut(usize)) {
        let Some(&hash) = self.hashes.get(index) else {
            return;
        };
        for (word, column) in self.words.iter().enumerate() {
            for mask in masks {
                for &place in column.places_of(word_of(hash, word) ^ mask) {
                    let near = self
                        .hashes
                        .get(place)
                        .is_some_and(|&other| distance(hash, other) <= most);
                    if place > index && near {
                        found(place);
                    }
                }
            }
        }
    }
}

impl Column {
    fn new(hashes: &[u64], word: usize) -> Self {
        let mut places: Vec<usize> = (0..hashes.len()).collect();
        let value = |place: &usize| hashes.get(*place).map_or(0, |&hash| word_of(hash, word));
        places.sort_by_key(value);
        let mut starts = Vec::with_capacity(WORD_VALUES + 1);
        for wanted in 0..WORD_VALUES {
            let from = starts.last().copied().unwrap_or(0);
            let rest = places.get(from..).unwrap_or_default();
            let smaller = rest
                .iter()
                .take_while(|place| usize::from(value(place)) < wanted);
            starts.push(from + smaller.count());
        }
        starts.push(places.len());
        Self { starts, places }
    }

    fn places_of(&self, value: u16) -> &[usize] {
        let at = usize::from(value);
        let range = self.starts.get(at).zip(self.starts.get(at + 1));
        range
            .and_then(|(&start, &end)| self.places.get(start..end))
            .unwrap_or_default()
    }
}

fn word_of(hash: u64, word: usize) -> u16 {
    let [a, b, c, d, e, f, g, h] = hash.to_le_bytes();
    let words = [[a, b], [c, d], [e, f], [g, h]];
    words
        .get(word)
        .map_or(0, |&bytes| u16::from_le_bytes(bytes))
}

/// All words with at most so many bits set.
fn masks(bits: u32) -> Vec<u16> {
    (0..=u16::MAX)
        .filter(|mask| mask.count_ones() <= bits)
        .collect()
}

/// Disjoint sets, each named by its smallest member.
struct Sets(Vec<usize>);

impl Sets {
    fn new(len: usize) -> Self {
        Self((0..len).collect())
    }

    fn root(&mut self, of: usize) -> usize {
        let mut at = of;
        while let Some(&above) = self.0.get(at).filter(|&&above| above != at) {
            // Halve the way for the next one who asks.
            let next = self.0.get(above).copied().unwrap_or(above);
            if let Some(place) = self.0.get_mut(at) {
                *place = next;
            }
            at = next;
        }
        at
    }

    fn join(&mut self, left: usize, right: usize) {
        let (left, right) = (self.root(left), self.root(right));
        if let Some(place) = self.0.get_mut(left.max(right)) {
            *place = left.min(right);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn pictures_in_a_chain_are_one_group_and_loners_are_in_none() {
        let hashes = [
            0,
            u64::MAX,
            0b11_1111,
            0,
            0b1111_1111_1111,
            1 << 40 | 0xffff_0000,
        ];
        assert_eq!(groups(&hashes, DISTANCE_SAME), [vec![0, 2, 3, 4]]);
        assert_eq!(groups(&hashes, 0), [vec![0, 3]]);
        assert_eq!(groups(&[], 6), Vec::<Vec<usize>>::new());
    }

    /// Compares each with each.
    fn slowly(hashes: &[u64], most: u32) -> Vec<Vec<usize>> {
        let mut sets = Sets::new(hashes.len());
        for (left, &one) in hashes.iter().enumerate() {
            for (right, &other) in hashes.iter().enumerate() {
                if distance(one, other) <= most {
                    sets.join(left, right);
                }
            }
        }
        let mut groups: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for index in 0..hashes.len() {
            groups.entry(sets.root(index)).or_default().push(index);
        }
        groups
            .into_values()
            .filter(|group| group.len() > 1)
            .collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn looking_up_finds_what_comparing_all_finds(
            seeds in proptest::collection::vec(any::<u64>(), 1..8),
            flips in proptest::collection::vec((any::<prop::sample::Index>(), proptest::collection::vec(0_u32..64, 0..12)), 0..60),
            most in 0..=DISTANCE_MAX,
        ) {
            let mut hashes = seeds.clone();
            for (seed, bits) in flips {
                let seed = seeds.get(seed.index(seeds.len())).copied().unwrap_or(0);
                hashes.push(bits.iter().fold(seed, |hash, bit| hash ^ (1 << bit)));
            }
            prop_assert_eq!(groups(&hashes, most), slowly(&hashes, most));
        }
    }
}
