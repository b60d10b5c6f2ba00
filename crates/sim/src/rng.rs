//! The simulator's only source of chance: xoshiro256++ seeded through SplitMix64 (Blackman and Vigna, 2019).
//!
//! Integers only. Logarithms differ in the last bit between mathematical libraries, and one bit is another run.

use std::ops::Range;
use std::time::Duration;

/// A seeded generator. Equal seeds give equal sequences on every machine.
#[derive(Debug, Clone)]
pub struct Rng {
    state: [u64; 4],
}

/// A probability in parts per million.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Chance(pub u32);

impl Chance {
    /// It does not happen.
    pub const NEVER: Self = Self(0);
    /// It happens every second time.
    pub const HALF: Self = Self(500_000);

    /// `percent` in a hundred.
    pub const fn percent(percent: u32) -> Self {
        Self(percent * 10_000)
    }
}

fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Rng {
    /// The generator of `seed`.
    pub fn new(seed: u64) -> Self {
        let mut state = seed;
        Self {
            state: std::array::from_fn(|_| split_mix(&mut state)),
        }
    }

    /// A generator of its own for one part of the run, so that drawing more in one part leaves the others alone.
    #[must_use]
    pub fn fork(&mut self) -> Self {
        Self::new(self.bits())
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        let [a, b, c, d] = self.state;
        let result = a.wrapping_add(d).rotate_left(23).wrapping_add(a);
        let (c, d) = (c ^ a, d ^ b);
        self.state = [a ^ d, b ^ c, c ^ (b << 17), d.rotate_left(45)];
        result
    }

    /// A number below `bound`; 0 if the bound is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        let wide = u128::from(self.bits()) * u128::from(bound);
        u64::try_from(wide >> 64).expect("the high half of a product of two 64-bit numbers")
    }

    /// An index below `length`; 0 if the length is 0.
    pub fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).expect("below a usize")
    }

    /// A number in `range`; its start if it is empty.
    pub fn range(&mut self, range: Range<u64>) -> u64 {
        range.start + self.below(range.end.saturating_sub(range.start))
    }

    /// A duration in `range`, to the nanosecond.
    pub fn duration(&mut self, range: Range<Duration>) -> Duration {
        Duration::from_nanos(self.range(nanos(range.start)..nanos(range.end)))
    }

    /// Whether something of this probability happens.
    pub fn chance(&mut self, chance: Chance) -> bool {
        chance.0 > 0 && self.below(1_000_000) < u64::from(chance.0)
    }

    /// One of `items`.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        items.get(self.index(items.len()))
    }

    /// `N` random bytes.
    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut out = [0; N];
        for chunk in out.chunks_mut(8) {
            let word = self.bits().to_le_bytes();
            for (byte, random) in chunk.iter_mut().zip(word) {
                *byte = random;
            }
        }
        out
    }

    /// `base` and up to `jitter` more; once in 64 times up to 16 jitters, as real links and disks do.
    pub fn with_tail(&mut self, base: Duration, jitter: Duration) -> Duration {
        let tail = if self.below(64) == 0 { 16 } else { 1 };
        base + self.duration(Duration::ZERO..jitter * tail)
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_seeds_give_equal_sequences() {
        let draw = |seed| {
            let mut rng = Rng::new(seed);
            (0..100).map(|_| rng.bits()).collect::<Vec<_>>()
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
    }

    #[test]
    fn draws_stay_in_their_range() {
        let mut rng = Rng::new(1);
        for _ in 0..10_000 {
            assert!((5..9).contains(&rng.range(5..9)));
            assert!(rng.index(3) < 3);
        }
        assert_eq!(rng.range(4..4), 4);
        assert_eq!(rng.pick::<u8>(&[]), None);
    }

    #[test]
    fn a_chance_comes_about_as_often_as_it_says() {
        let mut rng = Rng::new(2);
        let hits = (0..100_000)
            .filter(|_| rng.chance(Chance::percent(10)))
            .count();
        assert!((9_000..11_000).contains(&hits), "{hits}");
        assert!(!rng.chance(Chance::NEVER));
    }
}
