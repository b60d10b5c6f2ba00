//! What a node reads out of a file's bytes besides the bare facts, and what is learnt about its picture later.
//!
//! All of it is read once, by the node that takes the bytes, and goes through the ledger: so every node says the same about
//! a file, whichever programs it finds on its machine.

use crate::codec::{Decode, DecodeError, Encode, Reader};
use crate::file::{Facts, Metadata, Source};
use crate::id::BlobId;
use crate::{codec_enum, codec_struct};

/// A value and whose word it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told<T> {
    /// What was said.
    pub value: T,
    /// By whom.
    pub source: Source,
}

impl<T: Encode> Encode for Told<T> {
    fn encode(&self, out: &mut Vec<u8>) {
        self.value.encode(out);
        self.source.encode(out);
    }
}

impl<T: Decode> Decode for Told<T> {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            value: T::decode(input)?,
            source: Source::decode(input)?,
        })
    }
}

/// What people and their programs wrote into a file, or into a sidecar beside it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Described {
    /// A heading.
    pub title: Option<Told<String>>,
    /// A text.
    pub description: Option<Told<String>>,
    /// Nested with `/`.
    pub tags: Vec<Told<String>>,
    /// Names of the people to be seen.
    pub people: Vec<Told<String>>,
    /// 0 to 5.
    pub rating: Option<Told<u8>>,
    /// Where it was taken, in words.
    pub location: Option<Told<String>>,
}

codec_struct!(Described {
    title,
    description,
    tags,
    people,
    rating,
    location
});

/// What a picture looks like.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Look {
    /// Pixels across, as shown; none if that was known before.
    pub width: Option<u32>,
    /// Pixels down, as shown; none if that was known before.
    pub height: Option<u32>,
    /// A blurred miniature (ThumbHash); empty if there is none.
    pub thumbhash: Vec<u8>,
    /// Nearly the same for pictures that look the same.
    pub perceptual_hash: Option<u64>,
    /// Why it cannot be decoded after all, for people; none if it could.
    pub broken: Option<String>,
}

codec_struct!(Look {
    width,
    height,
    thumbhash,
    perceptual_hash,
    broken
});

/// One step of getting to know a file.
#[derive(Debug, Clone, PartialEq)]
pub enum MediaStep {
    /// A file is added, or met again, with everything that its bytes and its sidecar say.
    Add {
        /// Its id: the SHA-256 of its bytes.
        file: BlobId,
        /// Its length in bytes.
        size: u64,
        /// What the uploader calls it. Text, never a path.
        name: String,
        /// What the bytes say of themselves.
        facts: Facts,
        /// What was written into them, and beside them.
        described: Described,
        /// Nearly the same for pictures that look the same.
        perceptual_hash: Option<u64>,
        /// The decoder that would show its picture and was missing.
        needs: Option<String>,
        /// What the uploader says.
        metadata: Metadata,
        /// Take it out of the trash if it is there.
        restore: bool,
    },
    /// A node has the decoder that was missing. Without effect if none is missing any more.
    Look {
        /// The file.
        file: BlobId,
        /// What was seen.
        look: Look,
    },
    /// A client supplies a picture of the file.
    Preview {
        /// The file.
        file: BlobId,
        /// The picture's bytes.
        blob: BlobId,
        /// How many.
        size: u64,
    },
}

codec_enum!(MediaStep, "media step" {
    0 => Add { file, size, name, facts, described, perceptual_hash, needs, metadata, restore },
    1 => Look { file, look },
    2 => Preview { file, blob, size },
});

impl MediaStep {
    /// The kind's name in documents and JSON.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Add { .. } => "addFile",
            Self::Look { .. } => "lookAtFile",
            Self::Preview { .. } => "putPreview",
        }
    }

    /// The file it is about.
    pub fn file(&self) -> BlobId {
        match self {
            Self::Add { file, .. } | Self::Look { file, .. } | Self::Preview { file, .. } => *file,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What one build wrote must mean the same to all others: see docs/ledger-format.md.
    #[test]
    fn a_look_is_encoded_as_documented() {
        let look = MediaStep::Look {
            file: BlobId([7; 32]),
            look: Look {
                width: Some(4),
                height: None,
                thumbhash: vec![1, 2],
                perceptual_hash: Some(0x0102),
                broken: Some("x".to_owned()),
            },
        };
        let mut expected = vec![1];
        expected.extend([7; 32]);
        expected.extend([1, 0, 0, 0, 4, 0]);
        expected.extend([0, 0, 0, 2, 1, 2]);
        expected.extend([1, 0, 0, 0, 0, 0, 0, 1, 2]);
        expected.extend([1, 0, 0, 0, 1, b'x']);
        assert_eq!(look.to_bytes(), expected);
        assert_eq!(MediaStep::from_bytes(&expected), Ok(look));
    }

    #[test]
    fn described_values_are_encoded_with_their_sources() {
        let told = |value: &str, source| Told {
            value: value.to_owned(),
            source,
        };
        let described = Described {
            title: Some(told("t", Source::Sidecar)),
            tags: vec![told("a", Source::Iptc), told("b", Source::Xmp)],
            rating: Some(Told {
                value: 5,
                source: Source::Exif,
            }),
            ..Described::default()
        };
        let mut expected = vec![1, 0, 0, 0, 1, b't', 6];
        expected.push(0);
        expected.extend([0, 0, 0, 2, 0, 0, 0, 1, b'a', 5, 0, 0, 0, 1, b'b', 2]);
        expected.extend([0, 0, 0, 0]);
        expected.extend([1, 5, 1]);
        expected.push(0);
        assert_eq!(described.to_bytes(), expected);
        assert_eq!(Described::from_bytes(&expected), Ok(described));
    }
}
