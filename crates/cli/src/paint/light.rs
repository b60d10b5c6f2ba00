//! Hours of the day: what the sky looks like, and what it does to the colours below it.

use super::canvas::{Canvas, Colour, hex, ramp};
use super::noise::{Noise, lerp, smooth};

/// An hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Light {
    /// Just after sunrise, with mist.
    Dawn,
    /// A clear day.
    Day,
    /// Thin cloud and soft shadows.
    Soft,
    /// An hour before sunset.
    Gold,
    /// The sun on the horizon.
    Sunset,
    /// After sunset, when lamps are lit.
    Blue,
    /// Night.
    Night,
    /// Rain on its way.
    Storm,
}

type Stops = [(f32, Colour); 4];

struct Mood {
    /// The sky from the zenith to the horizon.
    sky: Stops,
    /// Far things take this colour.
    haze: Colour,
    /// Clouds on the side of the sun, and on the other.
    clouds: (Colour, Colour),
    /// How much of the sky they cover.
    cover: f32,
    /// The sun's height above the horizon as a part of the sky, its radius and its colour.
    sun: Option<(f32, f32, Colour)>,
    /// How bright things near the viewer are.
    bright: f32,
    /// The tint of the light on them.
    tint: Colour,
}

impl Mood {
    const fn of(
        sky: [u32; 4],
        haze: u32,
        clouds: (u32, u32),
        cover: f32,
        sun: Option<(f32, f32, u32)>,
        bright: f32,
        tint: u32,
    ) -> Self {
        let [zenith, high, low, horizon] = sky;
        Self {
            sky: [
                (0.0, hex(zenith)),
                (0.45, hex(high)),
                (0.78, hex(low)),
                (1.0, hex(horizon)),
            ],
            haze: hex(haze),
            clouds: (hex(clouds.0), hex(clouds.1)),
            cover,
            sun: match sun {
                Some((height, radius, colour)) => Some((height, radius, hex(colour))),
                None => None,
            },
            bright,
            tint: hex(tint),
        }
    }
}

#[rustfmt::skip]
mod moods {
    use super::Mood;

    pub(super) const DAWN: Mood = Mood::of([0x6c8fbf, 0xa9b9d2, 0xf3c6b0, 0xffe2bd], 0xf3cfba, (0xffe9d6, 0xc0a5b0), 0.34, Some((0.24, 0.028, 0xfff3d2)), 0.72, 0xffd9bb);
    pub(super) const DAY: Mood = Mood::of([0x2d74c4, 0x5ea3e0, 0x9fcdf0, 0xd8ecf4], 0xc4deee, (0xffffff, 0xb4c4d6), 0.46, None, 1.0, 0xfff8ea);
    pub(super) const SOFT: Mood = Mood::of([0x7fa3c4, 0xa8c1d4, 0xcfdbe0, 0xe9ebe6], 0xdde3e3, (0xf8f8f4, 0xb2bec8), 0.66, None, 0.88, 0xf3f4f2);
    pub(super) const GOLD: Mood = Mood::of([0x5d8cc0, 0x9db4c4, 0xf0cd92, 0xffe0a0], 0xf4d3a0, (0xfff0cf, 0xc79f8c), 0.42, Some((0.30, 0.034, 0xfff6d8)), 0.92, 0xffd596);
    pub(super) const SUNSET: Mood = Mood::of([0x2c3a74, 0x8a4f86, 0xee7458, 0xffc070], 0xe98f6c, (0xff9e6a, 0x6a4478), 0.50, Some((0.10, 0.045, 0xffe6a4)), 0.42, 0xff9f7a);
    pub(super) const BLUE: Mood = Mood::of([0x0d1b44, 0x274a88, 0x6d7db4, 0xe3b59c], 0x6f7fae, (0x9a8fb8, 0x2b3f74), 0.44, None, 0.46, 0x9aa6dc);
    pub(super) const NIGHT: Mood = Mood::of([0x030716, 0x08122c, 0x122448, 0x27406a], 0x1c3156, (0x2a3c60, 0x0a1530), 0.0, None, 0.14, 0x7f98d8);
    pub(super) const STORM: Mood = Mood::of([0x3d4a5a, 0x5c6b7a, 0x8b979e, 0xc3c6bd], 0x98a4aa, (0xaab3b8, 0x3c4755), 0.86, None, 0.58, 0xcdd8dc);
}

impl Light {
    fn mood(self) -> Mood {
        match self {
            Self::Dawn => moods::DAWN,
            Self::Day => moods::DAY,
            Self::Soft => moods::SOFT,
            Self::Gold => moods::GOLD,
            Self::Sunset => moods::SUNSET,
            Self::Blue => moods::BLUE,
            Self::Night => moods::NIGHT,
            Self::Storm => moods::STORM,
        }
    }

    /// Paints the sky down to the horizon. The sun, if it is up, stands at `sun_x`.
    pub(super) fn paint_sky(self, canvas: &mut Canvas, horizon: f32, sun_x: f32, seed: u64) {
        let mood = self.mood();
        let sun = mood
            .sun
            .map(|(height, radius, colour)| (horizon * (1.0 - height), radius, colour));
        canvas.wash(0.0, horizon.max(0.02) + 0.02, |x, y, _| {
            let base = ramp(&mood.sky, y / horizon);
            let Some((sun_y, _, colour)) = sun else {
                return base;
            };
            let (dx, dy) = ((x - sun_x) * 0.55, y - sun_y);
            base.lit(colour, 0.34 / (1.0 + 26.0 * (dx * dx + dy * dy)))
        });
        if let Some((y, radius, colour)) = sun {
            canvas.glow((sun_x, y), radius * 1.5, colour, 0.9);
            canvas.disc(
                (sun_x, y),
                radius,
                0.004,
                colour.lit(hex(0xffffff), 0.5),
                0.97,
            );
        }
        if mood.cover > 0.0 {
            paint_clouds(
                canvas,
                horizon,
                (sun_x, sun.map_or(-0.3, |sun| sun.0)),
                &mood,
                seed,
            );
        }
    }

    /// How a thing of this colour looks close by.
    pub(super) fn on(self, colour: Colour) -> Colour {
        let mood = self.mood();
        let tint = mood.tint;
        Colour {
            r: colour.r * tint.r,
            g: colour.g * tint.g,
            b: colour.b * tint.b,
        }
        .scale(mood.bright)
    }

    /// How it looks from afar: `distance` 0 is here, 1 is lost in the haze.
    pub(super) fn far(self, colour: Colour, distance: f32) -> Colour {
        self.on(colour).mix(self.mood().haze, distance)
    }

    /// What direct light and what shadow do to a colour.
    pub(super) fn sun_and_shade(self) -> (Colour, Colour) {
        let of = |sun: [f32; 3], shade: [f32; 3]| {
            let colour = |[r, g, b]: [f32; 3]| Colour { r, g, b };
            (colour(sun), colour(shade))
        };
        match self {
            Self::Day => of([0.92, 0.86, 0.74], [0.30, 0.37, 0.48]),
            Self::Soft => of([0.46, 0.46, 0.46], [0.46, 0.49, 0.53]),
            Self::Dawn => of([1.10, 0.74, 0.54], [0.28, 0.31, 0.43]),
            Self::Gold => of([1.12, 0.86, 0.52], [0.27, 0.31, 0.40]),
            Self::Sunset => of([1.20, 0.50, 0.30], [0.24, 0.20, 0.34]),
            Self::Storm => of([0.26, 0.26, 0.28], [0.32, 0.35, 0.40]),
            Self::Blue => of([0.12, 0.14, 0.26], [0.14, 0.18, 0.34]),
            Self::Night => of([0.10, 0.12, 0.20], [0.05, 0.07, 0.14]),
        }
    }

    /// The colour that distance fades to.
    pub(super) fn haze(self) -> Colour {
        self.mood().haze
    }

    /// True when windows are lit.
    pub(super) fn lamps(self) -> bool {
        matches!(self, Self::Blue | Self::Night | Self::Sunset)
    }
}

/// Clouds on a ceiling seen in perspective: large overhead, flat streaks at the horizon.
fn paint_clouds(canvas: &mut Canvas, horizon: f32, sun: (f32, f32), mood: &Mood, seed: u64) {
    let noise = Noise::new(seed ^ 0xc10d);
    let middle = canvas.aspect() / 2.0;
    let (light, shade) = mood.clouds;
    let threshold = 0.74 - 0.46 * mood.cover;
    let clouds = Coarse::new((canvas.aspect(), horizon), |x, y| {
        let height = 1.12 - y / horizon;
        let (px, py) = (
            (x - middle) / (height * 0.9 + 0.25),
            1.1 / (height * 0.8 + 0.22),
        );
        let (px, py) = (px * 1.35 + 5.0, py * 2.1);
        let thick = noise.rough(px, py, 5);
        let clear = smooth(0.03, 0.16, (x - sun.0).hypot(y - sun.1));
        let density = smooth(threshold, threshold + 0.24, thick) * clear;
        if density <= 0.0 {
            return (0.0, 0.0);
        }
        let toward = 0.12 * ((sun.0 - x) * 4.0).clamp(-1.0, 1.0);
        let lit = noise.rough(px + toward, py - 0.16, 4);
        (density, smooth(0.10, -0.12, lit - thick + 0.04))
    });
    canvas.wash(0.0, horizon, |x, y, below| {
        let (density, facing) = clouds.at(x, y);
        let fade = smooth(-0.18, 0.12, 0.84 - y / horizon);
        let colour = shade.mix(light, 0.25 + 0.75 * facing * (1.0 - 0.45 * density));
        below.mix(colour, density * (0.35 + 0.6 * fade))
    });
}

/// Two soft values for every place, worked out for every fourth row and column and smoothly filled in between.
struct Coarse {
    columns: usize,
    values: Vec<(f32, f32)>,
}

/// Grid points per picture height.
const COARSE_PER_HEIGHT: f32 = 280.0;

impl Coarse {
    fn new((right, bottom): (f32, f32), value: impl Fn(f32, f32) -> (f32, f32)) -> Self {
        let columns = (right * COARSE_PER_HEIGHT) as usize + 2;
        let rows = (bottom * COARSE_PER_HEIGHT) as usize + 2;
        let places = (0..rows).flat_map(|row| (0..columns).map(move |column| (column, row)));
        let values = places
            .map(|(column, row)| {
                value(
                    column as f32 / COARSE_PER_HEIGHT,
                    row as f32 / COARSE_PER_HEIGHT,
                )
            })
            .collect();
        Self { columns, values }
    }

    fn at(&self, x: f32, y: f32) -> (f32, f32) {
        let (x, y) = (x * COARSE_PER_HEIGHT, y * COARSE_PER_HEIGHT);
        let (column, row) = (x as usize, y as usize);
        let (right, down) = (x - column as f32, y - row as f32);
        let value = |column: usize, row: usize| {
            self.values
                .get(row * self.columns + column)
                .copied()
                .unwrap_or_default()
        };
        let mix = |a: (f32, f32), b: (f32, f32), part| (lerp(a.0, b.0, part), lerp(a.1, b.1, part));
        let upper = mix(value(column, row), value(column + 1, row), right);
        let lower = mix(value(column, row + 1), value(column + 1, row + 1), right);
        mix(upper, lower, down)
    }
}
