//! Bits that turn on a platter, in places where it matters.

use std::ops::Range;

use super::{File, Platter};
use crate::rng::{Chance, Rng};

/// With which every head of a record begins.
const MAGIC: &[u8] = b"STRL";
/// Between the copies.
const FILLER: u8 = 0xff;
/// Room for each copy of a doubled head.
const ROOM: usize = 256;
/// The second copy is in another sector of this size.
const SECTOR: usize = 4096;

/// What can happen to what was flushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Harm {
    /// All of it is as it was some time ago.
    RollBack,
    /// Only the genesis file is left.
    Wipe,
    /// Sectors read as if they had never been written.
    LostWrite,
    /// A sector was written over another one.
    MisdirectedWrite,
    /// A bit turns anywhere.
    Rot,
    /// A file is shorter.
    Truncation,
    /// The newest file is gone.
    LostFile,
}

impl Harm {
    /// All of them.
    pub(crate) const ALL: [Self; 7] = [
        Self::RollBack,
        Self::Wipe,
        Self::LostWrite,
        Self::MisdirectedWrite,
        Self::Rot,
        Self::Truncation,
        Self::LostFile,
    ];
}

impl Platter {
    /// Suffers a harm that needs no older state. The machine is down.
    pub(crate) fn suffer(&mut self, harm: Harm, rng: &mut Rng) {
        let names: Vec<String> = self.files.keys().skip(1).cloned().collect();
        let Some(name) = rng.pick(&names).cloned() else {
            return;
        };
        let other = self.a_sector(rng.pick(&names).unwrap_or(&name), rng);
        let file = self.files.get_mut(&name).expect("its name was listed");
        let mut bytes = file.settled_bytes().to_vec();
        let sector = rng.index(bytes.len() / SECTOR + 1) * SECTOR;
        match harm {
            Harm::RollBack => {}
            Harm::Wipe => {
                self.segments.clear();
                self.files.retain(|name, _| !names.contains(name));
            }
            Harm::LostFile => {
                self.files.pop_last();
            }
            Harm::LostWrite => {
                let length = SECTOR * (1 + rng.index(4));
                bytes
                    .iter_mut()
                    .skip(sector)
                    .take(length)
                    .for_each(|byte| *byte = 0);
                file.replace(bytes);
            }
            Harm::MisdirectedWrite => {
                let place = bytes.iter_mut().skip(sector);
                place.zip(other).for_each(|(byte, wrong)| *byte = wrong);
                file.replace(bytes);
            }
            Harm::Rot => self.rot_within(&name, 0..bytes.len(), rng),
            Harm::Truncation => {
                bytes.truncate(rng.index(bytes.len() + 1));
                file.replace(bytes);
            }
        }
    }

    fn a_sector(&self, name: &str, rng: &mut Rng) -> Vec<u8> {
        let bytes = self.files.get(name).map_or(&[][..], File::settled_bytes);
        let start = rng.index(bytes.len() / SECTOR + 1) * SECTOR;
        bytes.iter().skip(start).take(SECTOR).copied().collect()
    }

    /// Turns a bit in one of the two copies of a head that is written twice and intact in both; false if there is none.
    ///
    /// A record is never hit a second time, since its copies differ from then on.
    pub(crate) fn rot_doubled(&mut self, rng: &mut Rng) -> bool {
        let mut found = Vec::new();
        for (name, file) in &self.files {
            let bytes = file.settled_bytes();
            found.extend(doubled(bytes).map(|copies| (name.clone(), copies)));
        }
        let Some((name, copies)) = rng.pick(&found).cloned() else {
            return false;
        };
        let copy = rng.pick(&copies).cloned().unwrap_or_default();
        self.rot_within(&name, copy, rng);
        true
    }

    /// Turns a bit in these bytes, in one place where they are durable; false if there is none.
    pub(crate) fn rot_bytes(&mut self, needle: &[u8], rng: &mut Rng) -> bool {
        let in_log = self.files.iter().find_map(|(name, file)| {
            let at = position(file.settled_bytes(), needle)?;
            Some((name.clone(), at..at + needle.len()))
        });
        let sealed = self.segments.values_mut().find_map(|bytes| {
            let at = position(bytes, needle)?;
            bytes.get_mut(at..at + needle.len())
        });
        if let Some(block) = sealed
            && (in_log.is_none() || rng.chance(Chance::HALF))
        {
            let at = rng.index(block.len());
            if let Some(byte) = block.get_mut(at) {
                *byte ^= 1;
            }
            return true;
        }
        let Some((name, range)) = in_log else {
            return false;
        };
        self.rot_within(&name, range, rng);
        true
    }

    pub(super) fn rot_within(&mut self, name: &str, range: Range<usize>, rng: &mut Rng) {
        let at = range.start + rng.index(range.len());
        let bit = u32::try_from(rng.below(8)).unwrap_or(0);
        if let Some(file) = self.files.get_mut(name) {
            file.rot(at, bit);
        }
    }
}

/// The two places of every head that stands in `bytes` twice, and whole in both.
pub(super) fn doubled(bytes: &[u8]) -> impl Iterator<Item = [Range<usize>; 2]> + '_ {
    let heads = bytes.windows(MAGIC.len()).enumerate();
    let heads = heads.filter(|(_, window)| *window == MAGIC);
    heads.filter_map(|(first, _)| {
        let room = bytes.get(first..first + ROOM)?;
        let length = room.iter().rposition(|byte| *byte != FILLER)? + 1;
        let second = (first + ROOM).next_multiple_of(SECTOR);
        let equal = room.get(..length) == bytes.get(second..second + length);
        equal.then(|| [first..first + length, second..second + length])
    })
}

fn position(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    let head = needle.first()?;
    haystack
        .windows(needle.len())
        .position(|window| window.first() == Some(head) && window == needle)
}
