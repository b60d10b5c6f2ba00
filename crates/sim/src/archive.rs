//! The archive: a store that all nodes share, in which nothing can be trusted.
//!
//! Nodes put their segments there on condition that no object of that name is there. What lies there may be damaged by
//! whoever keeps the store, its listings may be old, and it may hold what somebody with other keys has made up. Who
//! starts from it believes nothing: it takes the segments that [`segment::check`] proves one above the other, goes round
//! the others, and gets the rest from its peers.

mod forge;

use std::collections::{BTreeMap, BTreeSet};

use ledger::SegmentName;
use ledger::segment::{self, Below};
use model::{Block, Signatures};

use crate::rng::{Chance, Rng};
use crate::seat::Seat;
pub(crate) use forge::{Forger, Plot, forged, misled};

/// A segment's object; a node's own beside a damaged one names the node.
type Key = (SegmentName, Option<Seat>);

/// The store.
#[derive(Debug, Default)]
pub(crate) struct Archive {
    objects: BTreeMap<Key, Vec<u8>>,
}

/// What a store does to its objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decay {
    /// A bit turns.
    Bit,
    /// An object is shorter.
    Cut,
    /// Two objects change places.
    Swap,
    /// One is gone.
    Loss,
    /// A chain that never was, signed by strangers.
    Forgery,
    /// Real blocks, and a wrong word about who belongs to the cluster above them.
    Lie,
}

impl Decay {
    /// All of them.
    pub(crate) const ALL: [Self; 6] = [
        Self::Bit,
        Self::Cut,
        Self::Swap,
        Self::Loss,
        Self::Forgery,
        Self::Lie,
    ];
}

/// What a node has brought back.
#[derive(Debug, Default)]
pub(crate) struct Brought {
    /// Each proved above the one before.
    pub(crate) segments: Vec<(SegmentName, Vec<u8>)>,
    /// How many objects were refused on the way.
    pub(crate) refused: u64,
}

impl Archive {
    /// A node puts its segment: beside what is there, if that is damaged. Whether it was put.
    pub(crate) fn put(&mut self, seat: Seat, name: SegmentName, bytes: &[u8]) -> bool {
        let key = match self.objects.get(&(name, None)) {
            None => (name, None),
            Some(object) if is_sound(object, name) => return false,
            Some(_) => (name, Some(seat)),
        };
        let absent = !self.objects.contains_key(&key);
        if absent {
            self.objects.insert(key, bytes.to_vec());
        }
        absent
    }

    /// Something is there that no node of the cluster has put.
    pub(crate) fn plant(&mut self, name: SegmentName, bytes: Vec<u8>) {
        self.objects.insert((name, None), bytes);
    }

    /// One of its objects.
    pub(crate) fn any(&self, rng: &mut Rng) -> Option<(SegmentName, &[u8])> {
        let keys: Vec<&Key> = self.objects.keys().collect();
        let key = *rng.pick(&keys)?;
        Some((key.0, self.objects.get(key)?))
    }

    /// The store harms one of its objects; false if it has none.
    pub(crate) fn decay(&mut self, decay: Decay, rng: &mut Rng) -> bool {
        let keys: Vec<Key> = self.objects.keys().copied().collect();
        let picked = rng.pick(&keys).copied().zip(rng.pick(&keys).copied());
        let Some((key, other)) = picked else {
            return false;
        };
        let bytes = self.objects.remove(&key).unwrap_or_default();
        let bytes = match decay {
            Decay::Loss => return true,
            Decay::Swap => self.objects.insert(other, bytes.clone()).unwrap_or(bytes),
            Decay::Cut => bytes
                .get(..rng.index(bytes.len()))
                .map_or(bytes.clone(), <[u8]>::to_vec),
            _ => flipped(bytes, rng),
        };
        self.objects.insert(key, bytes);
        true
    }

    /// What can be proved above genesis, as one listing shows it.
    pub(crate) fn bring_back(
        &self,
        genesis: &Block,
        signatures: &dyn Signatures,
        rng: &mut Rng,
    ) -> Brought {
        let mut brought = Brought::default();
        let mut listed: BTreeSet<Key> = self.objects.keys().copied().collect();
        if rng.chance(Chance::percent(30)) {
            // An old listing.
            let known = rng.index(listed.len() + 1);
            listed = listed.into_iter().take(known).collect();
        }
        let mut below = Below::genesis(genesis);
        while let Some(base) = &below {
            let next = base.height.next();
            let mut fitting: Vec<Key> = listed.iter().copied().collect();
            fitting.retain(|(name, _)| name.from() == next);
            // The longest first.
            fitting.sort_by_key(|(name, by)| (std::cmp::Reverse(name.to()), *by));
            let mut proved = None;
            for (name, by) in fitting {
                let bytes = self.objects.get(&(name, by)).cloned().unwrap_or_default();
                match segment::check(&bytes, name, base, signatures) {
                    Ok(checked) => {
                        brought.segments.push((name, bytes));
                        proved = Some(checked.top);
                        break;
                    }
                    Err(_) => brought.refused += 1,
                }
            }
            below = proved;
        }
        brought
    }
}

/// Whether a node that looks at an object finds it whole. Not whether it is true.
fn is_sound(bytes: &[u8], name: SegmentName) -> bool {
    segment::blocks(bytes).is_ok_and(|mut contents| {
        contents.name() == Some(name) && contents.all(|decided| decided.is_ok())
    })
}

fn flipped(mut bytes: Vec<u8>, rng: &mut Rng) -> Vec<u8> {
    let at = rng.index(bytes.len());
    if let Some(byte) = bytes.get_mut(at) {
        *byte ^= 1 << rng.below(8);
    }
    bytes
}
