//! Damage to a log in front of what is still whole.
//!
//! What is hit was flushed, and a head that was flushed after it, in both its copies, is left alone together with all
//! that comes behind. So a start can tell the damage from an end that was never finished, and no harm is done but to
//! blocks, which others have, and to votes, which may count no more. Whether they do is what mending has to know.

use std::ops::Range;

use super::rot::doubled;
use super::{File, Platter};
use crate::rng::Rng;

/// What is damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wound {
    /// A bit, anywhere.
    Bit,
    /// A vote or a start, in both its copies.
    Head,
    /// The first record of a file, which is a start if the file is an incarnation's first, in both its copies.
    First,
    /// Up to sixteen sectors read as if they had never been written.
    Sectors,
    /// A whole file is gone.
    File,
}

impl Wound {
    /// All of them, as often as they should come.
    pub(crate) const ALL: [Self; 7] = [
        Self::Bit,
        Self::Head,
        Self::Head,
        Self::First,
        Self::First,
        Self::Sectors,
        Self::File,
    ];
}

/// A head that is written twice: its file, and its two places there.
type Head = (String, [Range<usize>; 2]);

const SECTOR: usize = 512;

impl Platter {
    /// Damages the log in front of a head that is whole; nothing if there are not two of them.
    pub(crate) fn wound(&mut self, wound: Wound, rng: &mut Rng) -> Option<String> {
        let heads = self.heads();
        let keeper = 1 + rng.index(heads.len().checked_sub(1)?);
        let (before, from) = heads.split_at_checked(keeper)?;
        let (kept_file, [kept, _]) = from.first()?;
        let (name, copies) = match wound {
            Wound::First => {
                let firsts = before.chunk_by(|a, b| a.0 == b.0);
                let firsts: Vec<&Head> = firsts.filter_map(<[Head]>::first).collect();
                rng.pick(&firsts).copied()?
            }
            _ => rng.pick(before)?,
        };
        let limit = if name == kept_file {
            kept.start
        } else {
            self.settled(name)
        };
        let [first, _] = copies;
        match wound {
            Wound::Head | Wound::First => {
                for copy in copies {
                    self.rot_within(name, copy.clone(), rng);
                }
            }
            Wound::Bit => self.rot_within(name, first.start..limit, rng),
            Wound::Sectors => {
                let start = first.start + rng.index(limit.checked_sub(first.start)?);
                let end = (start + SECTOR * (1 + rng.index(16))).min(limit);
                self.files.get_mut(name)?.blank(&(start..end));
            }
            Wound::File if name == kept_file => return None,
            Wound::File => {
                self.files.remove(name);
            }
        }
        Some(format!("{wound:?} of {name}"))
    }

    /// All heads that are written twice and whole, in the order of the log.
    fn heads(&self) -> Vec<Head> {
        let files = self.files.iter().skip(1);
        let logs = files.filter(|(name, _)| name.ends_with(".log"));
        let heads = logs.flat_map(|(name, file)| {
            let heads = doubled(file.settled_bytes());
            heads.map(|copies| (name.clone(), copies))
        });
        heads.collect()
    }

    fn settled(&self, name: &str) -> usize {
        let file = self.files.get(name);
        file.map_or(0, |file| File::settled_bytes(file).len())
    }
}
