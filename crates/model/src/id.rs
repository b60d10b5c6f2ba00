//! Names and counters, each a type of its own so that one cannot pass for another.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest as _, Sha256};

use crate::codec::{Decode, DecodeError, Encode, Reader};

/// Text that does not name what it should.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} is written as {expected}")]
pub struct ParseIdError {
    what: &'static str,
    expected: &'static str,
}

fn write_hex(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

fn parse_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    if digits.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let [high, low] = pair else { return None };
        *byte = hex_digit(*high)? << 4 | hex_digit(*low)?;
    }
    Some(bytes)
}

/// Lower case only: a name has one spelling.
fn hex_digit(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

macro_rules! bytes_id {
    ($(#[$doc:meta])* $name:ident, $size:literal, $expected:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $size]);

        impl $name {
            /// The raw bytes.
            pub fn as_bytes(&self) -> &[u8; $size] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_hex(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            /// The first four bytes: enough to tell values apart in a trace.
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_hex(self.0.get(..4).unwrap_or_default(), f)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;
            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                parse_hex(text).map(Self).ok_or(ParseIdError { what: stringify!($name), expected: $expected })
            }
        }

        impl Encode for $name {
            fn encode(&self, out: &mut Vec<u8>) {
                self.0.encode(out);
            }
        }

        impl Decode for $name {
            fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
                Decode::decode(input).map(Self)
            }
        }
    };
}

macro_rules! digest_id {
    ($(#[$doc:meta])* $name:ident) => {
        bytes_id!($(#[$doc])* $name, 32, "64 lower-case hexadecimal digits");

        impl $name {
            /// The SHA-256 of `parts`, one after the other.
            pub fn of(parts: &[&[u8]]) -> Self {
                let mut hasher = Sha256::new();
                for part in parts {
                    hasher.update(part);
                }
                Self(hasher.finalize().into())
            }
        }
    };
}

bytes_id!(
    /// A random name drawn when a ledger is created; no two chains share one.
    ChainId, 16, "32 lower-case hexadecimal digits"
);
bytes_id!(
    /// A node's identity: its Ed25519 public key (RFC 8032). `n1` is only a name for it.
    NodeId, 32, "64 lower-case hexadecimal digits"
);
bytes_id!(
    /// An album. The same request makes the same one, on any node.
    AlbumId, 8, "16 lower-case hexadecimal digits"
);
bytes_id!(
    /// An operation over many files. The same request has the same one, on any node.
    OperationId, 16, "32 lower-case hexadecimal digits"
);
bytes_id!(
    /// Drawn at random at every start, so that two running copies of one disk can be told apart.
    Nonce, 16, "32 lower-case hexadecimal digits"
);
bytes_id!(
    /// An upload that may be interrupted: drawn at random, and known only to who began it.
    UploadId, 16, "32 lower-case hexadecimal digits"
);
bytes_id!(
    /// A link that opens something to whoever holds its secret.
    ShareId, 8, "16 lower-case hexadecimal digits"
);
bytes_id!(
    /// A bearer token's public half. The secret half is never stored, only its SHA-256.
    TokenId, 8, "16 lower-case hexadecimal digits"
);
bytes_id!(
    /// A secret's hash in the ledger, so that it can be forgotten when another replaces it.
    SecretId, 16, "32 lower-case hexadecimal digits"
);
digest_id!(
    /// SHA-256 of a block's header.
    BlockHash
);
digest_id!(
    /// SHA-256 of 0x00, a command's salt and its bytes: a leaf of the Merkle tree (RFC 9162, section 2.1.1).
    LeafHash
);
digest_id!(
    /// Root of the Merkle tree over a block's leaves.
    MerkleRoot
);
digest_id!(
    /// SHA-256 of the membership's encoding: the epoch a block is decided in.
    MembershipHash
);
digest_id!(
    /// SHA-256 of a blob's bytes; also the id of the file that consists of them.
    BlobId
);
digest_id!(
    /// Any other SHA-256, for instance of a request.
    Digest
);

macro_rules! counter {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub u64);

        impl $name {
            /// The value after this one. The last of all, which no cluster lives to see and only a damaged or
            /// malicious source names, is followed by itself: a counter never goes back.
            #[must_use]
            pub fn next(self) -> Self {
                Self(self.0.saturating_add(1))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl Encode for $name {
            fn encode(&self, out: &mut Vec<u8>) {
                self.0.encode(out);
            }
        }

        impl Decode for $name {
            fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
                Decode::decode(input).map(Self)
            }
        }
    };
}

counter!(
    /// Position of a block in the ledger; 0 is genesis.
    Height
);
counter!(
    /// A node's start counter; the first start is 1, so 0 means "never started".
    Boot
);
counter!(
    /// Position of a record in one incarnation's log, from 1; 0 means "nothing".
    LogSeq
);

impl Height {
    /// Genesis.
    pub const GENESIS: Self = Self(0);

    /// The height before this one, none before genesis.
    pub fn previous(self) -> Option<Self> {
        self.0.checked_sub(1).map(Self)
    }
}

/// Where a command stands in the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Height of its block.
    pub height: Height,
    /// Place in the block, from 0.
    pub index: u32,
}

crate::codec_struct!(Position { height, index });

/// A short name that people give: parsed from text, and only ever what its rule allows.
macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $expected:literal, |$byte:ident| $allowed:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// The name.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                let valid = (1..=63).contains(&text.len())
                    && text.starts_with(|first: char| first.is_ascii_lowercase())
                    && text.bytes().all(|$byte| {
                        $byte.is_ascii_lowercase() || $byte.is_ascii_digit() || $allowed
                    });
                if valid {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(ParseIdError {
                        what: stringify!($name),
                        expected: $expected,
                    })
                }
            }
        }

        impl Encode for $name {
            fn encode(&self, out: &mut Vec<u8>) {
                self.0.encode(out);
            }
        }

        impl Decode for $name {
            fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
                let text = String::decode(input)?;
                text.parse().map_err(|_| DecodeError::Invalid {
                    what: $what,
                    value: text.len() as u64,
                })
            }
        }
    };
}

name!(
    /// Name of a library: 1 to 63 of `a-z 0-9 -`, starting with a letter.
    LibraryId,
    "library",
    "1 to 63 of a-z, 0-9 and -, a letter first",
    |byte| byte == b'-'
);

name!(
    /// Name of a user, as it is typed to sign in: 1 to 63 of `a-z 0-9 . _ -`, starting with a letter.
    UserId,
    "user",
    "1 to 63 of a-z, 0-9, ., _ and -, a letter first",
    |byte| matches!(byte, b'.' | b'_' | b'-')
);

impl TokenId {
    /// Who acts when a node does by itself what nobody asked for. No token has this name.
    pub const NODE: Self = Self([0; 8]);
}

impl LibraryId {
    /// The library every chain starts with.
    pub fn home() -> Self {
        Self("home".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_comes_behind_the_last_of_a_counter() {
        assert_eq!(Height(7).next(), Height(8));
        assert_eq!(Height(u64::MAX).next(), Height(u64::MAX));
        assert_eq!(Boot(u64::MAX).next(), Boot(u64::MAX));
    }
}
