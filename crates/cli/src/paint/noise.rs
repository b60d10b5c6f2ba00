//! Chance that repeats: the same seed paints the same picture on every machine.

use std::sync::LazyLock;

/// A small generator of numbers that look random (SplitMix64).
#[derive(Debug, Clone)]
pub(super) struct Dice(u64);

impl Dice {
    /// Dice that fall the same way for the same seed.
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x2545_f491_4f6c_dd1d) ^ 0x9e37_79b9_7f4a_7c15)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 up to 1.
    pub(super) fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1_u32 << 24) as f32
    }

    /// A number between two others.
    pub(super) fn between(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.unit()
    }

    /// A number between -1 and 1, seldom far from 0.
    pub(super) fn wobble(&mut self) -> f32 {
        let drawn = self.next();
        ((drawn >> 32) as f32 - (drawn as u32) as f32) * (1.0 / u32::MAX as f32)
    }

    /// True with the given probability.
    pub(super) fn chance(&mut self, probability: f32) -> bool {
        self.unit() < probability
    }

    /// One of several.
    pub(super) fn pick<T: Copy>(&mut self, choices: &[T]) -> Option<T> {
        let index = (self.unit() * choices.len() as f32) as usize;
        choices.get(index).copied()
    }
}

/// The side of the table of random heights; the noise repeats after so many bumps.
const SIDE: usize = 128;

/// Random heights, drawn once, with each cell's four corners side by side. A look-up is several times faster than a
/// good hash, and noise is most of the work.
static CELLS: LazyLock<Vec<[f32; 4]>> = LazyLock::new(|| {
    let mut dice = Dice::new(0);
    let heights: Vec<f32> = (0..SIDE * SIDE).map(|_| dice.unit()).collect();
    let height = |x: usize, y: usize| {
        heights
            .get(y % SIDE * SIDE + x % SIDE)
            .copied()
            .unwrap_or(0.5)
    };
    let places = (0..SIDE).flat_map(|y| (0..SIDE).map(move |x| (x, y)));
    places
        .map(|(x, y)| {
            [
                height(x, y),
                height(x + 1, y),
                height(x, y + 1),
                height(x + 1, y + 1),
            ]
        })
        .collect()
});

/// Smooth noise over the plane, between 0 and 1.
#[derive(Debug, Clone, Copy)]
pub(super) struct Noise {
    cells: &'static [[f32; 4]],
    shift: (i32, i32),
    seed: u32,
}

impl Noise {
    /// The noise that belongs to a seed.
    pub(super) fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let shift = (dice.next() as i32 >> 12, dice.next() as i32 >> 12);
        Self {
            cells: &CELLS,
            shift,
            seed: dice.next() as u32,
        }
    }

    /// Independent noise for one pixel.
    pub(super) fn speck(self, x: usize, y: usize) -> f32 {
        let mut mixed =
            self.seed ^ (x as u32).wrapping_mul(0x27d4_eb2d) ^ (y as u32).wrapping_mul(0x1656_67b1);
        mixed = (mixed ^ (mixed >> 15)).wrapping_mul(0x2c1b_3c6d);
        mixed = (mixed ^ (mixed >> 12)).wrapping_mul(0x297a_2d39);
        (mixed ^ (mixed >> 15)) as f32 * (1.0 / u32::MAX as f32)
    }

    /// One octave: bumps about one unit wide.
    pub(super) fn at(self, x: f32, y: f32) -> f32 {
        let (left, top) = (floor(x), floor(y));
        let (fx, fy) = (x - left as f32, y - top as f32);
        let (sx, sy) = (fx * fx * (3.0 - 2.0 * fx), fy * fy * (3.0 - 2.0 * fy));
        let column = left.wrapping_add(self.shift.0) as usize % SIDE;
        let row = top.wrapping_add(self.shift.1) as usize % SIDE;
        let [a, b, c, d] = self
            .cells
            .get(row * SIDE + column)
            .copied()
            .unwrap_or_default();
        let (upper, lower) = (lerp(a, b, sx), lerp(c, d, sx));
        lerp(upper, lower, sy)
    }

    /// Several octaves, each half as high and twice as fine as the one before: clouds, rock, foliage.
    pub(super) fn rough(self, x: f32, y: f32, octaves: u32) -> f32 {
        self.octaves(x, y, octaves, |value| value)
    }

    /// Like `rough`, but with sharp crests.
    pub(super) fn crests(self, x: f32, y: f32, octaves: u32) -> f32 {
        self.octaves(x, y, octaves, |value| 1.0 - (2.0 * value - 1.0).abs())
    }

    /// Each octave is turned against the one before, so that the grid below does not show.
    fn octaves(self, mut x: f32, mut y: f32, octaves: u32, bend: impl Fn(f32) -> f32) -> f32 {
        let (mut sum, mut height, mut total) = (0.0, 0.5, 0.0);
        for _ in 0..octaves {
            sum += height * bend(self.at(x, y));
            total += height;
            height *= 0.5;
            (x, y) = (1.62 * x + 1.22 * y + 17.31, 1.62 * y - 1.22 * x - 5.7);
        }
        sum / total
    }
}

/// `f32::floor` is a call into a library on processors without the newer instructions, and noise does little else.
fn floor(x: f32) -> i32 {
    let cut = x as i32;
    cut - i32::from(x < cut as f32)
}

/// The point a fraction of the way from one number to another.
pub(super) fn lerp(from: f32, to: f32, part: f32) -> f32 {
    from + (to - from) * part
}

/// 0 below `low`, 1 above `high`, smooth between. Works downwards too.
pub(super) fn smooth(low: f32, high: f32, value: f32) -> f32 {
    let part = ((value - low) / (high - low)).clamp(0.0, 1.0);
    part * part * (3.0 - 2.0 * part)
}
