//! Deterministic mutations of real inputs: what a fuzzer does blindly, repeatable from a seed.

/// SplitMix64 (Steele, Lea and Flood, 2014): small, and good enough to choose where to cut.
#[derive(Debug, Clone)]
pub struct Mutator {
    state: u64,
}

/// Four bytes that a length or a counter might be, besides small ones.
const LENGTHS: [u32; 6] = [0, 1, 0xff, 1 << 16, 1 << 31, u32::MAX];
/// Eight bytes that a height, a boot or a time might be.
const NUMBERS: [u64; 5] = [0, 1, 1 << 63, u64::MAX - 1, u64::MAX];

impl Mutator {
    /// The same seed makes the same mutations.
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// A number below `bound`; 0 if there is none.
    pub fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound.max(1)).expect("64 bits hold any size");
        usize::try_from(self.next() % bound).expect("it is below the bound")
    }

    /// Changes an input in one to four ways; `other` lends it a part.
    pub fn mutate(&mut self, input: &mut Vec<u8>, other: &[u8]) {
        for _ in 0..=self.below(4) {
            self.once(input, other);
        }
    }

    fn once(&mut self, input: &mut Vec<u8>, other: &[u8]) {
        let at = self.below(input.len());
        match self.below(9) {
            0 | 1 => self.flip(input, at),
            2 => {
                let byte = self.next().to_be_bytes()[0];
                overwrite(input, at, &[byte]);
            }
            3 => input.truncate(at),
            4 => {
                let length = self.one_of(&LENGTHS);
                overwrite(input, at, &length.to_be_bytes());
            }
            5 => {
                let number = self.one_of(&NUMBERS);
                overwrite(input, at, &number.to_be_bytes());
            }
            6 => self.nudge(input, at),
            7 => {
                let length = self.below(64);
                let end = (at + length).min(input.len());
                input.drain(at..end);
            }
            _ => self.splice(input, at, other),
        }
    }

    fn one_of<T: Copy + Default>(&mut self, values: &[T]) -> T {
        let at = self.below(values.len());
        values.get(at).copied().unwrap_or_default()
    }

    fn flip(&mut self, input: &mut [u8], at: usize) {
        let bit = self.below(8);
        if let Some(byte) = input.get_mut(at) {
            *byte ^= 1 << bit;
        }
    }

    /// One more or one less, in a byte: most likely the low one of a length or a height.
    fn nudge(&mut self, input: &mut [u8], at: usize) {
        let more = self.below(2) == 0;
        if let Some(byte) = input.get_mut(at) {
            *byte = if more {
                byte.wrapping_add(1)
            } else {
                byte.wrapping_sub(1)
            };
        }
    }

    fn splice(&mut self, input: &mut Vec<u8>, at: usize, other: &[u8]) {
        let from = self.below(other.len());
        let length = self.below(256);
        let part = other.get(from..).unwrap_or_default();
        let part = part.get(..length).unwrap_or(part);
        if self.below(2) == 0 {
            overwrite(input, at, part);
        } else {
            input.splice(at..at, part.iter().copied());
        }
    }
}

fn overwrite(input: &mut [u8], at: usize, bytes: &[u8]) {
    for (place, byte) in input.iter_mut().skip(at).zip(bytes) {
        *place = *byte;
    }
}
