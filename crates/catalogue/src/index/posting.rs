//! A set of numbers, small if it has few of them: most words and names belong to one file.

use model::codec::{Decode, DecodeError, Encode, Reader, encode_bytes};
use roaring::RoaringBitmap;

/// More than this, and a bitmap is smaller.
const FEW: usize = 16;

/// A set of numbers. Never empty: who takes out the last drops it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Posting {
    One(u32),
    /// In ascending order.
    Few(Box<[u32]>),
    Many(Box<RoaringBitmap>),
}

impl Posting {
    pub(crate) fn insert(&mut self, number: u32) {
        match self {
            Self::One(one) if *one == number => {}
            Self::One(one) => {
                let few = [(*one).min(number), (*one).max(number)];
                *self = Self::Few(Box::new(few));
            }
            Self::Few(few) => {
                if let Err(place) = few.binary_search(&number) {
                    let mut more = few.to_vec();
                    more.insert(place, number);
                    *self = if more.len() > FEW {
                        Self::Many(Box::new(more.into_iter().collect()))
                    } else {
                        Self::Few(more.into())
                    };
                }
            }
            Self::Many(many) => {
                many.insert(number);
            }
        }
    }

    /// Takes a number out; true if that was the last.
    pub(crate) fn remove(&mut self, number: u32) -> bool {
        match self {
            Self::One(one) => *one == number,
            Self::Few(few) => {
                let left: Vec<u32> = few.iter().copied().filter(|one| *one != number).collect();
                let empty = left.is_empty();
                *few = left.into();
                empty
            }
            Self::Many(many) => {
                many.remove(number);
                many.is_empty()
            }
        }
    }

    /// How many numbers it has.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::One(_) => 1,
            Self::Few(few) => few.len(),
            Self::Many(many) => usize::try_from(many.len()).unwrap_or(usize::MAX),
        }
    }

    /// How many of its numbers are in `set`.
    pub(crate) fn count_in(&self, set: &RoaringBitmap) -> u64 {
        let few = |few: &[u32]| few.iter().filter(|number| set.contains(**number)).count() as u64;
        match self {
            Self::One(one) => few(&[*one]),
            Self::Few(numbers) => few(numbers),
            Self::Many(many) => many.intersection_len(set),
        }
    }

    /// Its numbers that are in `set`.
    pub(crate) fn within(&self, set: &RoaringBitmap) -> RoaringBitmap {
        match self {
            Self::Many(many) => &**many & set,
            Self::One(_) | Self::Few(_) => self.iter().filter(|one| set.contains(*one)).collect(),
        }
    }

    pub(crate) fn iter(&self) -> Box<dyn Iterator<Item = u32> + '_> {
        match self {
            Self::One(one) => Box::new(std::iter::once(*one)),
            Self::Few(few) => Box::new(few.iter().copied()),
            Self::Many(many) => Box::new(many.iter()),
        }
    }
}

impl Encode for Posting {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::One(one) => {
                out.push(1);
                one.encode(out);
            }
            Self::Few(few) => {
                out.push(2);
                few.to_vec().encode(out);
            }
            Self::Many(many) => {
                out.push(3);
                encode_bitmap(many, out);
            }
        }
    }
}

impl Decode for Posting {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match u8::decode(input)? {
            1 => Ok(Self::One(u32::decode(input)?)),
            2 => Ok(Self::Few(Vec::decode(input)?.into())),
            3 => Ok(Self::Many(Box::new(decode_bitmap(input)?))),
            other => Err(DecodeError::Invalid {
                what: "set",
                value: other.into(),
            }),
        }
    }
}

/// Appends a bitmap in the form that all libraries of its kind read.
pub(crate) fn encode_bitmap(bitmap: &RoaringBitmap, out: &mut Vec<u8>) {
    let mut bytes = Vec::with_capacity(bitmap.serialized_size());
    let written = bitmap.serialize_into(&mut bytes);
    written.expect("memory takes what it is given");
    encode_bytes(&bytes, out);
}

pub(crate) fn decode_bitmap(input: &mut Reader<'_>) -> Result<RoaringBitmap, DecodeError> {
    let length = input.length()?;
    let bytes = input.take(length)?;
    RoaringBitmap::deserialize_from(bytes).map_err(|_| DecodeError::Truncated)
}

/// Puts a number into a set that may not be there yet.
pub(crate) fn put(set: &mut Option<Posting>, number: u32) {
    match set {
        Some(set) => set.insert(number),
        None => *set = Some(Posting::One(number)),
    }
}

/// Takes a number out of a set, and the set away with the last one.
pub(crate) fn take(set: &mut Option<Posting>, number: u32) {
    if set.as_mut().is_some_and(|set| set.remove(number)) {
        *set = None;
    }
}

/// Everything that is in any of many sets. Small ones are gathered and sorted once.
#[derive(Debug, Default)]
pub(crate) struct Union {
    bitmap: RoaringBitmap,
    loose: Vec<u32>,
}

impl Union {
    pub(crate) fn add(&mut self, posting: &Posting) {
        match posting {
            Posting::One(one) => self.loose.push(*one),
            Posting::Few(few) => self.loose.extend_from_slice(few),
            Posting::Many(many) => self.bitmap |= &**many,
        }
    }

    pub(crate) fn add_all(&mut self, bitmap: &RoaringBitmap) {
        self.bitmap |= bitmap;
    }

    pub(crate) fn finish(mut self) -> RoaringBitmap {
        self.loose.sort_unstable();
        self.loose.dedup();
        let loose = RoaringBitmap::from_sorted_iter(self.loose);
        self.bitmap | loose.expect("they were sorted")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_set_of_whatever_size(
            steps in prop::collection::vec((any::<bool>(), 0..40_u32), 1..120),
            other in prop::collection::btree_set(0..40_u32, 0..40),
        ) {
            let mut set = None;
            let mut expected = BTreeSet::new();
            let bitmap: RoaringBitmap = other.iter().copied().collect();
            for (adds, number) in steps {
                if adds {
                    put(&mut set, number);
                    expected.insert(number);
                } else {
                    take(&mut set, number);
                    expected.remove(&number);
                }
                let found: Vec<u32> = set.iter().flat_map(Posting::iter).collect();
                prop_assert_eq!(found, expected.iter().copied().collect::<Vec<_>>());
                let both: Vec<u32> = expected.intersection(&other).copied().collect();
                if let Some(set) = &set {
                    prop_assert_eq!(set.count_in(&bitmap), both.len() as u64);
                    prop_assert_eq!(set.within(&bitmap).iter().collect::<Vec<_>>(), both);
                }
            }
        }
    }
}
