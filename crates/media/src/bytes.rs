//! Numbers out of byte slices, without ever reading past the end.

/// Which end of a number comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Endian {
    /// Most significant byte first (`MM`, ISO boxes, PNG).
    Big,
    /// Least significant byte first (`II`, RIFF).
    Little,
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

impl Endian {
    /// The two-byte number at `at`.
    pub(crate) fn u16(self, bytes: &[u8], at: usize) -> Option<u16> {
        let number = array(bytes, at)?;
        Some(match self {
            Self::Big => u16::from_be_bytes(number),
            Self::Little => u16::from_le_bytes(number),
        })
    }

    /// The four-byte number at `at`.
    pub(crate) fn u32(self, bytes: &[u8], at: usize) -> Option<u32> {
        let number = array(bytes, at)?;
        Some(match self {
            Self::Big => u32::from_be_bytes(number),
            Self::Little => u32::from_le_bytes(number),
        })
    }

    /// The eight-byte number at `at`.
    pub(crate) fn u64(self, bytes: &[u8], at: usize) -> Option<u64> {
        let number = array(bytes, at)?;
        Some(match self {
            Self::Big => u64::from_be_bytes(number),
            Self::Little => u64::from_le_bytes(number),
        })
    }
}
