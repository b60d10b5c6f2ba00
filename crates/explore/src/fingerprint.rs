//! 128-bit fingerprints of states, the same in every run.
//!
//! Two lanes of 64 bits with different multipliers. With 10^8 states the chance that any two share a fingerprint is
//! about 10^-23; such a pair would hide states, never invent a violation.

use std::hash::{BuildHasher, Hash, Hasher};

const LOW: u64 = 0x9e37_79b9_7f4a_7c15;
const HIGH: u64 = 0xc2b2_ae3d_27d4_eb4f;

/// Collects a fingerprint.
#[derive(Clone)]
pub(crate) struct Fingerprinter {
    low: u64,
    high: u64,
}

impl Fingerprinter {
    pub(crate) fn new() -> Self {
        Self {
            low: HIGH,
            high: LOW,
        }
    }

    /// The fingerprint of one value.
    pub(crate) fn of(value: &impl Hash) -> u128 {
        let mut hasher = Self::new();
        value.hash(&mut hasher);
        hasher.digest()
    }

    pub(crate) fn digest(&self) -> u128 {
        let low = spread(self.low);
        let high = spread(self.high ^ low.rotate_left(17));
        u128::from(high) << 64 | u128::from(low)
    }

    fn mix(&mut self, word: u64) {
        self.low = (self.low ^ word).wrapping_mul(LOW).rotate_left(29);
        self.high = (self.high.rotate_left(31) ^ word)
            .wrapping_mul(HIGH)
            .wrapping_add(self.low);
    }
}

/// The last step of MurmurHash3 (Appleby, 2011): every bit in touches every bit out.
fn spread(mut word: u64) -> u64 {
    word ^= word >> 33;
    word = word.wrapping_mul(0xff51_afd7_ed55_8ccd);
    word ^= word >> 33;
    word = word.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    word ^ word >> 33
}

impl Hasher for Fingerprinter {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            for (to, from) in word.iter_mut().zip(chunk) {
                *to = *from;
            }
            self.mix(u64::from_le_bytes(word));
        }
        self.mix(bytes.len() as u64);
    }

    fn write_u8(&mut self, value: u8) {
        self.mix(value.into());
    }

    fn write_u32(&mut self, value: u32) {
        self.mix(value.into());
    }

    fn write_u64(&mut self, value: u64) {
        self.mix(value);
    }

    fn write_usize(&mut self, value: usize) {
        self.mix(value as u64);
    }

    fn finish(&self) -> u64 {
        spread(self.low ^ self.high.rotate_left(32))
    }
}

/// For tables that are never walked through, only asked.
#[derive(Clone, Default)]
pub(crate) struct Fingerprints;

impl BuildHasher for Fingerprints {
    type Hasher = Fingerprinter;

    fn build_hasher(&self) -> Fingerprinter {
        Fingerprinter::new()
    }
}
