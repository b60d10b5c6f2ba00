//! Mountains with real shape: a height for every place, walked from near to far along each column of the picture.
//!
//! The walk is the old trick of flight simulators: whatever rises above all that was passed so far is seen, and is
//! painted in the light that falls on its slope.

use super::canvas::{Canvas, Colour, hex};
use super::light::Light;
use super::noise::{Dice, Noise, lerp, smooth};

/// Where the ground begins and ends, in arbitrary miles.
const NEAR: f32 = 1.7;
const FAR: f32 = 9.5;
/// How high the viewer stands, in the same miles.
const EYE: f32 = 0.24;

/// A landscape and the light on it.
struct Terrain {
    noise: Noise,
    light: Light,
    /// Towards the sun: right, up, towards the viewer.
    sun: [f32; 3],
    snow_line: f32,
}

/// Paints mountains that stand on the line `shore`, under the sun of `sun_x`.
pub(super) fn mountains(canvas: &mut Canvas, light: Light, shore: f32, sun_x: f32, seed: u64) {
    let mut dice = Dice::new(seed ^ 0x7e55);
    let side = if sun_x < canvas.aspect() / 2.0 {
        -1.0
    } else {
        1.0
    };
    let terrain = Terrain {
        noise: Noise::new(seed),
        light,
        sun: unit([side * 0.78, lerp(0.30, 0.55, dice.unit()), 0.42]),
        snow_line: dice.between(0.98, 1.12),
    };
    for column in 0..canvas.size().0 {
        terrain.paint_column(canvas, column, shore);
    }
}

impl Terrain {
    /// The height of the ground: a valley before the viewer, ranges behind it.
    fn height(&self, x: f32, z: f32, octaves: u32) -> f32 {
        let massif = self.noise.rough(x * 0.33 + 4.0, z * 0.36 + 2.0, 2);
        let teeth = self.noise.crests(x * 0.40 + 9.0, z * 0.40, octaves);
        let rise = smooth(NEAR + 0.4, 5.2, z);
        let valley = 0.05 * self.noise.rough(x * 2.2, z * 2.2, octaves.min(4));
        valley + rise * (0.16 + 2.05 * teeth * teeth * (0.45 + 0.95 * massif))
    }

    fn paint_column(&self, canvas: &mut Canvas, column: usize, shore: f32) {
        let (width, height) = canvas.size();
        let rows = height as f32;
        let across = (column as f32 + 0.5) / rows - width as f32 / rows / 2.0;
        let mut top = shore * rows;
        let mut z = NEAR;
        // The part of the uppermost painted row that is covered, and with what.
        let mut edge: Option<(usize, Colour, f32)> = None;
        while z < FAR {
            let x = across * z * 1.35;
            let ground = self.height(x, z, 6);
            let y = (shore - (ground - EYE * smooth(NEAR, 3.0, z)) / z * 1.22 + 0.012) * rows;
            if y < top {
                let colour = self.colour(x, z, ground);
                let (from, to) = (y.max(0.0) as usize, (top.max(0.0) as usize).min(height - 1));
                for row in from..=to {
                    canvas.put(column, row, colour);
                }
                if let Some((row, below, cover)) = edge.filter(|&(row, ..)| row == to) {
                    canvas.put(column, row, colour.mix(below, cover));
                }
                edge = Some((from, colour, from as f32 + 1.0 - y.max(0.0)));
                top = y;
            }
            z += 0.0055 * z;
        }
        if let Some((row, colour, cover)) = edge {
            let sky = canvas.at((column as f32 + 0.5) / rows, (row as f32 - 0.6) / rows);
            canvas.put(column, row, sky.mix(colour, cover));
        }
    }

    fn colour(&self, x: f32, z: f32, ground: f32) -> Colour {
        let step = 0.012;
        let right = self.height(x + step, z, 7) - self.height(x - step, z, 7);
        let away = self.height(x, z + step, 7) - self.height(x, z - step, 7);
        let normal = unit([-right, 2.0 * step, away]);
        let [lx, ly, lz] = self.sun;
        let [nx, ny, nz] = normal;
        let facing = (nx * lx + ny * ly + nz * lz).max(0.0);
        let grain = self.noise.rough(x * 9.0, z * 9.0, 3) - 0.5;
        let strata = self.noise.at(x * 1.5, ground * 34.0 + grain * 3.0) - 0.5;
        let rock = hex(0x8b8079)
            .mix(hex(0x5d5a60), smooth(-0.3, 0.3, grain))
            .scale(1.0 + 0.22 * strata);
        let grass = hex(0x6c8448).mix(hex(0x3f5a38), smooth(-0.15, 0.2, grain));
        let wood = hex(0x2c4632).scale(0.9 + 0.5 * grain);
        let green = smooth(0.62, 0.40, ground + 0.3 * grain) * smooth(0.30, 0.52, ny);
        let trees = smooth(0.42, 0.30, ground + 0.25 * grain);
        let lies = ground - self.snow_line + 0.5 * (ny - 0.55) + 0.30 * grain;
        let snow = smooth(-0.04, 0.10, lies) * smooth(0.26, 0.44, ny);
        let bare = rock.mix(grass, green).mix(wood, trees);
        let own = bare.mix(hex(0xf8fafc), snow);
        let distance = smooth(NEAR, FAR, z);
        let (sun, shade) = self.light.sun_and_shade();
        let lit = |own: f32, sun: f32, shade: f32| own * (shade + sun * facing * 1.15);
        let colour = Colour {
            r: lit(own.r, sun.r, shade.r),
            g: lit(own.g, sun.g, shade.g),
            b: lit(own.b, sun.b, shade.b),
        };
        let low = smooth(0.7, 0.0, ground) * 0.30;
        colour.mix(
            self.light.haze(),
            (0.06 + 0.56 * distance * distance + low * distance).min(0.9),
        )
    }
}

fn unit([x, y, z]: [f32; 3]) -> [f32; 3] {
    let length = (x * x + y * y + z * z).sqrt().max(1e-6);
    [x / length, y / length, z / length]
}
