//! What a segment is called.

use std::fmt;
use std::str::FromStr;

use model::{BlockHash, Height};

/// The name of a segment: which blocks it holds, and the hash of the last of them. The same on every node, and a key
/// in any store: equal names hold equal blocks.
///
/// Names sort by height as long as heights have at most twelve digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentName {
    from: Height,
    to: Height,
    head: BlockHash,
}

/// Text that is no segment's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a segment is called <from>-<to>-<hash of the block at to>.seg, the heights in twelve digits"
)]
pub struct ParseSegmentNameError;

impl SegmentName {
    /// Of the blocks `from` to `to`, the last of which has this hash; nothing if `from` is genesis or above `to`.
    pub fn new(from: Height, to: Height, head: BlockHash) -> Option<Self> {
        (Height::GENESIS < from && from <= to).then_some(Self { from, to, head })
    }

    /// The lowest height in it.
    pub fn from(&self) -> Height {
        self.from
    }

    /// The highest height in it.
    pub fn to(&self) -> Height {
        self.to
    }

    /// The hash of the block at [`SegmentName::to`].
    pub fn head(&self) -> BlockHash {
        self.head
    }

    /// Whether a height is in it.
    pub fn holds(&self, height: Height) -> bool {
        (self.from..=self.to).contains(&height)
    }

    /// How many blocks it holds.
    pub fn blocks(&self) -> u64 {
        (self.to.0 - self.from.0).saturating_add(1)
    }
}

impl fmt::Display for SegmentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:012}-{:012}-{}.seg", self.from.0, self.to.0, self.head)
    }
}

impl FromStr for SegmentName {
    type Err = ParseSegmentNameError;

    /// Strict: a segment has one name.
    fn from_str(text: &str) -> Result<Self, ParseSegmentNameError> {
        let parse = || {
            let mut parts = text.strip_suffix(".seg")?.splitn(3, '-');
            let mut height = || parts.next()?.parse().ok().map(Height);
            let (from, to) = (height()?, height()?);
            Self::new(from, to, parts.next()?.parse().ok()?)
        };
        parse()
            .filter(|name| name.to_string() == text)
            .ok_or(ParseSegmentNameError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        let head = BlockHash([0xab; 32]);
        for (from, to) in [(1, 1), (17, 70_000), (5, u64::MAX)] {
            let name = SegmentName::new(Height(from), Height(to), head).unwrap();
            assert_eq!(name.to_string().parse(), Ok(name));
        }
        let name = SegmentName::new(Height(1), Height(20), head).unwrap();
        let expected = format!("000000000001-000000000020-{}.seg", "ab".repeat(32));
        assert_eq!(name.to_string(), expected);
    }

    #[test]
    fn a_segment_has_one_name() {
        let hash = "0".repeat(64);
        for other in [
            format!("1-2-{hash}.seg"),
            format!("+00000000001-000000000002-{hash}.seg"),
            format!("000000000000-000000000002-{hash}.seg"),
            format!("000000000003-000000000002-{hash}.seg"),
            format!("0000000000001-000000000002-{hash}.seg"),
            format!("000000000001-000000000002-{hash}.seg.unfinished"),
            format!("000000000001-000000000002-{}.seg", "A".repeat(64)),
            "00000000.log".to_owned(),
            String::new(),
        ] {
            assert_eq!(other.parse::<SegmentName>(), Err(ParseSegmentNameError));
        }
    }
}
