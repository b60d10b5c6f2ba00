//! Which object lies where. Everything about the archive's coverage can be read from one listing.
//!
//! ```text
//! probe                                      the object of Store::probe
//! {chain}/genesis                            the genesis block
//! {chain}/segments/{name}                    a segment
//! {chain}/segments/{name}.{node}             another copy, by a node that found the first one damaged
//! {chain}/manifests/{segment or copy}.json   who brought it, and what it ought to be
//! {chain}/snapshots/...                      the state at some height, see the module `snapshot`
//! ```
//!
//! `{node}` are the first sixteen digits of a node's id. Keys come from content: who is first does not matter, and
//! nothing is written twice but by erasure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use model::{ChainId, Height, NodeId};

use crate::SegmentName;
use objects::Listed;

/// How much of a node's id stands in a key.
const NODE_DIGITS: usize = 16;

/// The key of a chain's genesis block.
pub fn genesis_key(chain: ChainId) -> String {
    format!("{chain}/genesis")
}

pub(crate) fn segments(chain: ChainId) -> String {
    format!("{chain}/segments")
}

pub(crate) fn manifests(chain: ChainId) -> String {
    format!("{chain}/manifests")
}

/// One object that holds a segment.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Copy {
    /// Which blocks it claims to hold.
    pub name: SegmentName,
    /// Whose second copy it is, if it is one.
    pub by: Option<String>,
}

impl Copy {
    /// The copy that everybody shares.
    pub fn first(name: SegmentName) -> Self {
        Self { name, by: None }
    }

    /// The copy that one node brought because the first was damaged.
    pub fn of(name: SegmentName, node: NodeId) -> Self {
        let by = node.to_string().chars().take(NODE_DIGITS).collect();
        let by = Some(by);
        Self { name, by }
    }

    fn parse(object: &str) -> Option<Self> {
        if let Ok(name) = object.parse() {
            return Some(Self::first(name));
        }
        let (name, by) = object.rsplit_once('.')?;
        let digits = by.len() == NODE_DIGITS && by.bytes().all(|byte| byte.is_ascii_hexdigit());
        let by = digits.then(|| by.to_owned())?;
        let name = name.parse().ok()?;
        let by = Some(by);
        Some(Self { name, by })
    }

    /// Its key in a store.
    pub fn key(&self, chain: ChainId) -> String {
        format!("{}/{self}", segments(chain))
    }

    pub(crate) fn manifest_key(&self, chain: ChainId) -> String {
        format!("{}/{self}.json", manifests(chain))
    }
}

impl fmt::Display for Copy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.by {
            None => write!(f, "{}", self.name),
            Some(by) => write!(f, "{}.{by}", self.name),
        }
    }
}

/// What an archive says that it holds. Nothing of it is verified.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Every copy with its length in bytes.
    pub copies: BTreeMap<Copy, u64>,
    /// Those that have a manifest.
    pub signed: BTreeSet<Copy>,
    /// Objects that do not belong there.
    pub strange: Vec<String>,
}

impl Coverage {
    pub(crate) fn of(segments: Vec<Listed>, manifests: Vec<Listed>) -> Self {
        let mut coverage = Self::default();
        for object in segments {
            match Copy::parse(&object.name) {
                Some(copy) => _ = coverage.copies.insert(copy, object.length),
                None => coverage.strange.push(object.name),
            }
        }
        let names = manifests.iter().filter_map(|object| {
            let copy = object.name.strip_suffix(".json")?;
            Copy::parse(copy)
        });
        coverage.signed = names.collect();
        coverage
    }

    /// Whether nothing is left to do for this segment.
    pub fn holds(&self, name: SegmentName) -> bool {
        let copy = Copy::first(name);
        self.copies.contains_key(&copy) && self.signed.contains(&copy)
    }

    /// The height up to which segments follow one another above `above`.
    pub fn height(&self, above: Height) -> Height {
        let end = self.route(above, &BTreeSet::new());
        end.last().map_or(above, |copy| copy.name.to())
    }

    /// Segments that follow one another from above `above` as high as it goes, without those that are `bad`.
    pub fn route(&self, above: Height, bad: &BTreeSet<Copy>) -> Vec<Copy> {
        // Ascending by first height, so whatever ends right below a segment has been looked at before it.
        let mut by_end: BTreeMap<Height, &Copy> = BTreeMap::new();
        for copy in self.copies.keys().filter(|copy| !bad.contains(copy)) {
            let (from, to) = (copy.name.from(), copy.name.to());
            let below = from.previous().expect("a segment begins above genesis");
            if below == above || by_end.contains_key(&below) {
                by_end.entry(to).or_insert(copy);
            }
        }
        let mut route = Vec::new();
        let mut end = by_end.keys().next_back().copied();
        while let Some(copy) = end.and_then(|end| by_end.get(&end)) {
            route.push((*copy).clone());
            end = copy.name.from().previous();
        }
        route.reverse();
        route
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test")]
mod tests {
    use std::collections::BTreeSet;

    use model::{BlockHash, Height, NodeId};

    use super::{Copy, Coverage};
    use crate::SegmentName;
    use objects::Listed;

    fn name(from: u64, to: u64) -> SegmentName {
        SegmentName::new(Height(from), Height(to), BlockHash([7; 32])).unwrap()
    }

    fn holding(ranges: &[(u64, u64)]) -> Coverage {
        let listed = |&(from, to): &(u64, u64)| Listed {
            name: Copy::first(name(from, to)).to_string(),
            length: 1,
            modified: std::time::SystemTime::UNIX_EPOCH,
        };
        Coverage::of(ranges.iter().map(listed).collect(), Vec::new())
    }

    fn route(coverage: &Coverage, above: u64) -> Vec<(u64, u64)> {
        let route = coverage.route(Height(above), &BTreeSet::new());
        route
            .iter()
            .map(|copy| (copy.name.from().0, copy.name.to().0))
            .collect()
    }

    #[test]
    fn names_of_copies_are_read_back() {
        for copy in [
            Copy::first(name(1, 9)),
            Copy::of(name(1, 9), NodeId([3; 32])),
        ] {
            assert_eq!(Copy::parse(&copy.to_string()), Some(copy));
        }
        assert_eq!(Copy::parse("000000000001-x.seg"), None);
    }

    #[test]
    fn a_route_ends_below_the_first_gap() {
        let coverage = holding(&[(1, 5), (6, 9), (12, 20)]);
        assert_eq!(route(&coverage, 0), [(1, 5), (6, 9)]);
        assert_eq!(route(&coverage, 5), [(6, 9)]);
        assert_eq!(route(&coverage, 10), []);
        assert_eq!(coverage.height(Height(0)), Height(9));
    }

    #[test]
    fn a_route_finds_its_way_through_overlapping_segments() {
        let coverage = holding(&[(1, 10), (1, 5), (6, 12), (13, 14), (11, 11)]);
        assert_eq!(route(&coverage, 0), [(1, 5), (6, 12), (13, 14)]);
    }

    #[test]
    fn a_route_avoids_what_is_bad() {
        let mut coverage = holding(&[(1, 5)]);
        let second = Copy::of(name(1, 5), NodeId([3; 32]));
        coverage.copies.insert(second.clone(), 1);
        let bad = BTreeSet::from([Copy::first(name(1, 5))]);
        assert_eq!(coverage.route(Height(0), &bad), [second]);
    }

    #[test]
    fn what_does_not_belong_there_is_named() {
        let listed = |name: &str| Listed {
            name: name.to_owned(),
            length: 1,
            modified: std::time::SystemTime::UNIX_EPOCH,
        };
        let coverage = Coverage::of(vec![listed("notes.txt")], Vec::new());
        assert_eq!(coverage.strange, ["notes.txt"]);
    }
}
