//! The canonical encoding: big-endian integers, length-prefixed sequences, one tag byte per choice.
//!
//! Decoding is strict: an unknown tag, a boolean that is neither 0 nor 1, text that is not UTF-8, a number that is
//! not finite and bytes left over are errors, so equal values have equal bytes and the reverse. A length is checked
//! against the bytes that are left before anything is allocated, so a hostile peer cannot make us reserve memory.

use std::sync::Arc;

/// Why bytes are not the encoding of what was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The input ended inside a value.
    #[error("the bytes end inside a value")]
    Truncated,
    /// Bytes follow the value.
    #[error("{0} bytes follow the value")]
    Trailing(usize),
    /// A tag, flag or number outside its range.
    #[error("{what} has no value {value}")]
    Invalid {
        /// What was being read.
        what: &'static str,
        /// The value found.
        value: u64,
    },
    /// Text that is not UTF-8.
    #[error("text is not UTF-8")]
    Text,
    /// A sequence longer than its limit.
    #[error("{what} is longer than {limit}")]
    TooLong {
        /// What was being read.
        what: &'static str,
        /// The limit, in elements.
        limit: usize,
    },
    /// A block whose Merkle root is not that of its commands.
    #[error("the Merkle root does not match the commands")]
    MerkleRoot,
}

/// A value with a canonical encoding.
pub trait Encode {
    /// Appends the encoding to `out`.
    fn encode(&self, out: &mut Vec<u8>);

    /// The encoding alone.
    fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.encode(&mut out);
        out
    }

    /// Appends the encodings of several values, one after the other.
    fn encode_all(items: &[Self], out: &mut Vec<u8>)
    where
        Self: Sized,
    {
        for item in items {
            item.encode(out);
        }
    }
}

/// A value that can be read back from its canonical encoding.
pub trait Decode: Sized {
    /// Reads one value and leaves the reader behind it.
    ///
    /// # Errors
    /// Any [`DecodeError`]; the reader is then in the middle of the value and must be dropped.
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError>;

    /// Reads one value that fills `bytes` exactly.
    ///
    /// # Errors
    /// Any [`DecodeError`], [`DecodeError::Trailing`] among them.
    fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let value = Self::decode(&mut reader)?;
        reader.finish()?;
        Ok(value)
    }

    /// Reads `count` values, one after the other. The count has been checked by [`Reader::length`]; memory grows with
    /// the values read all the same, since one value may take much more room than its bytes.
    ///
    /// # Errors
    /// As [`Decode::decode`].
    fn decode_all(count: usize, input: &mut Reader<'_>) -> Result<Vec<Self>, DecodeError> {
        (0..count).map(|_| Self::decode(input)).collect()
    }
}

/// The bytes not yet read.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Starts at the first byte.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The next `count` bytes.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] if fewer are left.
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let (head, rest) = self
            .rest
            .split_at_checked(count)
            .ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(head)
    }

    /// The next `N` bytes as an array.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] if fewer are left.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (head, rest) = self
            .rest
            .split_first_chunk::<N>()
            .ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(*head)
    }

    /// A length that the bytes left can hold, each element taking at least one byte.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] if it cannot be true.
    pub fn length(&mut self) -> Result<usize, DecodeError> {
        let length = u32::decode(self)? as usize;
        if length > self.rest.len() {
            Err(DecodeError::Truncated)
        } else {
            Ok(length)
        }
    }

    /// How many bytes are left.
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Checks that nothing is left.
    ///
    /// # Errors
    /// [`DecodeError::Trailing`] with the number of bytes left.
    pub fn finish(&self) -> Result<(), DecodeError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(DecodeError::Trailing(self.rest.len()))
        }
    }
}

macro_rules! integer {
    ($($type:ty),*) => {$(
        impl Encode for $type {
            fn encode(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_be_bytes());
            }
        }
        impl Decode for $type {
            fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
                Ok(<$type>::from_be_bytes(input.array()?))
            }
        }
    )*};
}
integer!(u16, u32, u64, i16, i64);

impl Encode for u8 {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(*self);
    }

    fn encode_all(items: &[Self], out: &mut Vec<u8>) {
        out.extend_from_slice(items);
    }
}

impl Decode for u8 {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let [byte] = input.array()?;
        Ok(byte)
    }

    fn decode_all(count: usize, input: &mut Reader<'_>) -> Result<Vec<Self>, DecodeError> {
        input.take(count).map(<[u8]>::to_vec)
    }
}

impl Encode for f64 {
    fn encode(&self, out: &mut Vec<u8>) {
        self.to_bits().encode(out);
    }
}

impl Decode for f64 {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let bits = u64::decode(input)?;
        let value = f64::from_bits(bits);
        if value.is_finite() {
            Ok(value)
        } else {
            Err(DecodeError::Invalid {
                what: "number",
                value: bits,
            })
        }
    }
}

impl Encode for bool {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }
}

impl Decode for bool {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match u8::decode(input)? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(DecodeError::Invalid {
                what: "flag",
                value: other.into(),
            }),
        }
    }
}

impl<const N: usize> Encode for [u8; N] {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }
}

impl<const N: usize> Decode for [u8; N] {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        input.array()
    }
}

/// Appends a length and the bytes.
pub fn encode_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    encode_length(bytes.len(), out);
    out.extend_from_slice(bytes);
}

/// Appends a sequence length as 32 bits.
///
/// # Panics
/// If there are 2^32 elements or more, which no limit of ours allows.
pub fn encode_length(length: usize, out: &mut Vec<u8>) {
    u32::try_from(length)
        .expect("a sequence fits 32 bits")
        .encode(out);
}

impl Encode for String {
    fn encode(&self, out: &mut Vec<u8>) {
        encode_bytes(self.as_bytes(), out);
    }
}

impl Decode for String {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let length = input.length()?;
        let bytes = input.take(length)?;
        std::str::from_utf8(bytes)
            .map(str::to_owned)
            .map_err(|_| DecodeError::Text)
    }
}

impl<T: Encode> Encode for Option<T> {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            None => out.push(0),
            Some(value) => {
                out.push(1);
                value.encode(out);
            }
        }
    }
}

impl<T: Decode> Decode for Option<T> {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        if bool::decode(input)? {
            T::decode(input).map(Some)
        } else {
            Ok(None)
        }
    }
}

impl<T: Encode> Encode for Vec<T> {
    fn encode(&self, out: &mut Vec<u8>) {
        encode_length(self.len(), out);
        T::encode_all(self, out);
    }
}

impl<T: Decode> Decode for Vec<T> {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let length = input.length()?;
        T::decode_all(length, input)
    }
}

impl<T: Encode> Encode for Arc<T> {
    fn encode(&self, out: &mut Vec<u8>) {
        self.as_ref().encode(out);
    }
}

impl<T: Decode> Decode for Arc<T> {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        T::decode(input).map(Arc::new)
    }
}

impl<A: Encode, B: Encode> Encode for (A, B) {
    fn encode(&self, out: &mut Vec<u8>) {
        self.0.encode(out);
        self.1.encode(out);
    }
}

impl<A: Decode, B: Decode> Decode for (A, B) {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok((A::decode(input)?, B::decode(input)?))
    }
}

/// Implements the encoding of a struct: its fields, in the order given.
#[macro_export]
macro_rules! codec_struct {
    ($type:ident { $($field:ident),* $(,)? }) => {
        impl $crate::codec::Encode for $type {
            fn encode(&self, out: &mut Vec<u8>) {
                $($crate::codec::Encode::encode(&self.$field, out);)*
            }
        }
        impl $crate::codec::Decode for $type {
            fn decode(input: &mut $crate::codec::Reader<'_>) -> Result<Self, $crate::codec::DecodeError> {
                Ok(Self { $($field: $crate::codec::Decode::decode(input)?),* })
            }
        }
    };
}

/// Implements the encoding of an enum: one tag byte, then the fields of the variant in the order given.
#[macro_export]
macro_rules! codec_enum {
    ($type:ident, $what:literal { $($tag:literal => $variant:ident $({ $($field:ident),* $(,)? })? $(( $($item:ident),* ))?),* $(,)? }) => {
        impl $crate::codec::Encode for $type {
            fn encode(&self, out: &mut Vec<u8>) {
                match self {
                    $(Self::$variant $({ $($field),* })? $(( $($item),* ))? => {
                        out.push($tag);
                        $($($crate::codec::Encode::encode($field, out);)*)?
                        $($($crate::codec::Encode::encode($item, out);)*)?
                    })*
                }
            }
        }
        impl $crate::codec::Decode for $type {
            fn decode(input: &mut $crate::codec::Reader<'_>) -> Result<Self, $crate::codec::DecodeError> {
                let tag: u8 = $crate::codec::Decode::decode(input)?;
                match tag {
                    $($tag => {
                        $($(let $field = $crate::codec::Decode::decode(input)?;)*)?
                        $($(let $item = $crate::codec::Decode::decode(input)?;)*)?
                        Ok(Self::$variant $({ $($field),* })? $(( $($item),* ))?)
                    })*
                    other => Err($crate::codec::DecodeError::Invalid { what: $what, value: other.into() }),
                }
            }
        }
    };
}
