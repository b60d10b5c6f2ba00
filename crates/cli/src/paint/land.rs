//! Hills, mountains, dunes, fields and woods.

use super::canvas::{Canvas, Colour, hex};
use super::light::Light;
use super::noise::{Dice, Noise, lerp, smooth};
use super::terrain;

/// What grows on the nearest hills.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trees {
    /// Nothing tall.
    None,
    /// Pines and firs.
    Pines,
    /// Cypresses, far apart.
    Cypresses,
}

impl Trees {
    /// How much a wood adds to the height of the ground at `x`.
    fn height(self, x: f32, scale: f32, seed: u64) -> f32 {
        let (spacing, tall, slim) = match self {
            Self::None => return 0.0,
            Self::Pines => (0.022 * scale, 0.085 * scale, 0.20),
            Self::Cypresses => (0.11 * scale, 0.12 * scale, 0.11),
        };
        let noise = Noise::new(seed);
        let cell = (x / spacing).floor() as i32;
        let tree = |cell: i32| {
            let chance = |salt: usize| noise.speck((cell + 1000) as usize, salt);
            let centre = (cell as f32 + 0.2 + 0.6 * chance(1)) * spacing;
            let height = tall * (0.35 + 0.65 * chance(2));
            let offset = (x - centre).abs() / (height * slim);
            if offset >= 1.0 {
                return 0.0;
            }
            match self {
                Self::Cypresses => {
                    height * (1.0 - offset * offset).sqrt() * (0.9 + 0.1 * noise.at(x * 400.0, 1.0))
                }
                _ => {
                    let branches = ((1.0 - offset) * 7.0).fract();
                    height * (1.0 - offset) * (0.86 + 0.14 * branches)
                }
            }
        };
        (cell - 1..=cell + 1).map(tree).fold(0.0, f32::max)
    }
}

/// Hills behind hills, paler with distance, mist between them.
pub(super) fn hills(canvas: &mut Canvas, light: Light, trees: Trees, seed: u64) {
    let mut dice = Dice::new(seed);
    let horizon = dice.between(0.40, 0.50);
    let sun_x = canvas.aspect() * dice.between(0.25, 0.75);
    light.paint_sky(canvas, horizon + 0.12, sun_x, seed);
    let greens = [hex(0x5f8a4a), hex(0x4d7a45), hex(0x6f8c48), hex(0x3f6a40)];
    let green = dice.pick(&greens).unwrap_or_default();
    let layers = 7;
    for layer in 0..layers {
        let near = layer as f32 / (layers - 1) as f32;
        let noise = Noise::new(seed + 31 * layer);
        let (base, swing) = (lerp(horizon, 0.93, near.powf(1.25)), lerp(0.16, 0.20, near));
        let grain = lerp(2.6, 1.3, near);
        let wood = if near > 0.45 { trees } else { Trees::None };
        let fluff = if trees == Trees::None { 0.004 } else { 0.010 };
        let ground = move |x: f32| {
            let bushes = fluff * near * noise.rough(x * 90.0, 2.0, 2);
            base - swing * (noise.rough(x * grain + 9.0, 0.5, 4) - 0.42) - bushes
        };
        let dark = green.mix(hex(0x2c4434), 0.35 + 0.45 * near);
        let crest = light.far(dark, lerp(0.82, 0.0, near.powf(0.8)));
        let foot = light.far(dark, lerp(0.94, 0.22, near.powf(0.9)));
        let leaf =
            move |x: f32, y: f32| 1.0 + (noise.rough(x * 34.0, y * 46.0, 3) - 0.5) * 0.34 * near;
        if wood != Trees::None {
            let tall = lerp(0.5, 1.5, near);
            let shade = light.far(dark.scale(0.82), lerp(0.80, 0.0, near.powf(0.8)));
            let trunk_foot = move |x: f32| ground(x) - wood.height(x, tall, seed + layer);
            canvas.band(trunk_foot, 0.22, |x, y, _| {
                shade
                    .mix(foot, smooth(-0.06, 0.05, y - ground(x)) * 0.5)
                    .scale(leaf(x, y))
            });
        }
        let thick = if layer + 1 < layers { 0.40 } else { 1.0 };
        canvas.band(ground, thick, |x, y, depth| {
            let mist = smooth(0.0, lerp(0.10, 0.34, near), depth);
            crest.mix(foot, mist).scale(leaf(x, y))
        });
    }
}

/// A range of rock and snow, with woods before it and, if wanted, a lake that mirrors it.
pub(super) fn peaks(canvas: &mut Canvas, light: Light, lake: bool, seed: u64) {
    let mut dice = Dice::new(seed);
    let shore = if lake { dice.between(0.60, 0.66) } else { 0.86 };
    let sun_x = canvas.aspect() * dice.between(0.1, 0.9);
    light.paint_sky(canvas, shore, sun_x, seed);
    terrain::mountains(canvas, light, shore, sun_x, seed);
    wood_line(canvas, light, shore - 0.045, 0.9, seed);
    if lake {
        canvas.mirror(shore, 0.93, light.on(hex(0x1f5a5c)), seed);
        let bank = Noise::new(seed + 5);
        let edge = move |x: f32| {
            0.955 - 0.05 * bank.rough(x * 2.0, 0.0, 4) - 0.02 * bank.rough(x * 60.0, 1.0, 2)
        };
        let grass = light.on(hex(0x3a4a2a));
        canvas.below(edge, |x, y, _| {
            grass.scale(0.7 + 0.6 * bank.rough(x * 120.0, y * 40.0, 2))
        });
    } else {
        let meadow = Noise::new(seed + 6);
        let edge = move |x: f32| 0.86 - 0.06 * (meadow.rough(x * 1.4, 0.0, 3) - 0.5);
        let grass = light.on(hex(0x7f9a4c));
        canvas.below(edge, |x, y, depth| {
            let blades = meadow.rough(x * 160.0, y * 50.0, 3);
            let patch = meadow.rough(x * 5.0, y * 18.0, 3);
            let flower =
                smooth(0.80, 0.86, meadow.at(x * 230.0, y * 190.0)) * smooth(0.45, 0.6, patch);
            let ground = grass.scale(0.62 + 0.5 * blades + 0.4 * patch - 0.5 * depth);
            ground.mix(light.on(hex(0xf6e7a0)), flower * 0.8)
        });
        wood_line(canvas, light, 1.01, 2.6, seed + 3);
    }
}

fn wood_line(canvas: &mut Canvas, light: Light, base: f32, scale: f32, seed: u64) {
    let noise = Noise::new(seed + 77);
    let line = move |x: f32| {
        let ground = base - 0.05 * scale * (noise.rough(x * 1.8, 4.0, 3) - 0.4);
        ground
            - Trees::Pines.height(x, scale, seed).max(Trees::Pines.height(
                x + 3.01,
                scale * 0.8,
                seed + 1,
            ))
    };
    let near = light.on(hex(0x1f3328));
    let far = light.far(hex(0x2d4a38), 0.28);
    canvas.band(line, 0.30, |x, y, depth| {
        let needles = noise.rough(x * 130.0, y * 90.0, 2);
        near.mix(far, smooth(0.1, 0.0, depth) * 0.7)
            .scale(0.75 + 0.5 * needles)
    });
}

/// Sand: each dune lit on one side of its crest, with ripples that follow its slope.
pub(super) fn dunes(canvas: &mut Canvas, light: Light, seed: u64) {
    let mut dice = Dice::new(seed);
    let horizon = dice.between(0.34, 0.42);
    let sun_x = canvas.aspect() * dice.between(0.08, 0.3);
    light.paint_sky(canvas, horizon, sun_x, seed);
    let sea = hex(0x3a6f96).mix(light.haze(), 0.5);
    canvas.wash(horizon - 0.02, 1.0, |_, y, _| {
        sea.scale(1.0 - 1.5 * (y - horizon))
    });
    let layers = 6;
    for layer in 0..layers {
        let near = layer as f32 / (layers - 1) as f32;
        let noise = Noise::new(seed + 13 * layer);
        let (base, swing) = (
            lerp(horizon + 0.04, 0.90, near.powf(1.3)),
            lerp(0.09, 0.46, near),
        );
        let grain = lerp(2.4, 0.9, near);
        let crest = move |x: f32| {
            base - swing * (noise.at(x * grain, 0.3) + 0.25 * noise.at(x * grain * 2.3, 5.0) - 0.6)
        };
        let ridge_x = dice.between(0.1, 0.9) * canvas.aspect();
        let lit = light.far(hex(0xf0cf9a), lerp(0.4, 0.0, near));
        let shade = light.far(hex(0x9a6e56), lerp(0.55, 0.08, near));
        let thick = if layer + 1 < layers { 0.42 } else { 1.0 };
        canvas.band(crest, thick, |x, y, depth| {
            let bend = 0.5 * noise.rough(x * 2.0, y * 3.0, 3);
            let spine = ridge_x + depth * (0.9 + bend) - 0.3 * bend;
            let dark =
                smooth(-0.012, 0.03 + depth * 0.25, x - spine) * smooth(0.85, 0.25, x - spine);
            let wind = noise.rough(x * 3.0, y * 6.0, 2) * 5.0;
            let ripple = ((y * lerp(420.0, 150.0, near) + x * 30.0 + wind * 4.0).sin() * 0.5 + 0.5)
                * 0.09
                * near;
            let grains = (noise.speck((x * 1500.0) as usize, (y * 1500.0) as usize) - 0.5) * 0.05;
            lit.mix(shade, dark * 0.85)
                .scale(1.04 - ripple + grains - 0.18 * depth)
        });
    }
}

/// Low hills along the horizon, with trees on the nearest.
pub(super) fn far_hills(canvas: &mut Canvas, light: Light, horizon: f32, trees: Trees, seed: u64) {
    for (layer, distance) in [(0_u64, 0.74), (1, 0.55), (2, 0.30)] {
        let noise = Noise::new(seed + 3 * layer);
        let base = horizon + 0.006 * layer as f32;
        let wood = if layer == 2 { trees } else { Trees::None };
        let fluff = 0.007 * layer as f32;
        let line = move |x: f32| {
            let hill = base - lerp(0.20, 0.05, layer as f32 / 2.0) * noise.rough(x * 1.6, 0.7, 4);
            hill - fluff * noise.rough(x * 70.0, 3.0, 2) - wood.height(x, 0.75, seed)
        };
        let colour = light.far(hex(0x4a6248), distance);
        canvas.band(line, 0.25, move |x, y, _| {
            colour.scale(0.9 + 0.2 * noise.rough(x * 40.0, y * 60.0, 2))
        });
    }
}

/// Trunks in mist, the nearest darkest, light falling in between.
pub(super) fn forest(canvas: &mut Canvas, light: Light, seed: u64) {
    let mut dice = Dice::new(seed);
    let aspect = canvas.aspect();
    let noise = Noise::new(seed);
    let glow = (aspect * dice.between(0.3, 0.7), 0.22);
    let (mist, deep) = (hex(0xe6edc2).mix(light.haze(), 0.3), hex(0x6f9468));
    canvas.wash(0.0, 1.0, |x, y, _| {
        let distance = ((x - glow.0) * 0.8).hypot(y - glow.1);
        mist.mix(deep, smooth(0.0, 1.1, distance))
    });
    let layers = 6;
    for layer in 0..layers {
        let near = layer as f32 / (layers - 1) as f32;
        let colour = hex(0x1c2a20).mix(hex(0xa9c08a), (1.0 - near).powf(1.3) * 0.92);
        foliage(canvas, near, colour, noise, layer as f32);
        let mut x = dice.between(-0.1, 0.1);
        while x < aspect + 0.1 {
            let width = lerp(0.010, 0.075, near * near) * dice.between(0.6, 1.3);
            let lean = dice.between(-0.03, 0.03);
            trunk(
                canvas,
                (x, lean),
                width,
                lerp(0.62, 1.05, near),
                colour,
                noise,
            );
            x += lerp(0.075, 0.62, near) * dice.between(0.5, 1.5);
        }
        let base = lerp(0.64, 0.97, near);
        let fern = hex(0x5f8a3c).mix(colour, 0.30 + 0.3 * near);
        let ground = move |x: f32| {
            base - 0.05 * noise.rough(x * lerp(9.0, 4.0, near), layer as f32 * 3.0, 4)
        };
        let thick = if layer + 1 < layers { 0.20 } else { 1.0 };
        canvas.band(ground, thick, |x, y, depth| {
            let leaves = noise.rough(x * lerp(110.0, 34.0, near), y * lerp(260.0, 95.0, near), 3);
            let sun = smooth(0.54, 0.70, noise.rough(x * 4.0, y * 13.0, 3));
            let floor = fern.scale(0.50 + 0.75 * leaves - 0.25 * smooth(0.0, 0.25, depth));
            floor.lit(hex(0xd8d080), 0.42 * sun * (0.3 + 0.9 * leaves))
        });
        if layer == 3 {
            shafts(canvas, glow, &mut dice);
        }
    }
}

fn trunk(
    canvas: &mut Canvas,
    (x, lean): (f32, f32),
    width: f32,
    foot: f32,
    colour: Colour,
    noise: Noise,
) {
    let corners = [
        (x + lean - width * 0.34, -0.05),
        (x + lean + width * 0.34, -0.05),
        (x + width * 0.6, foot),
        (x - width * 0.6, foot),
    ];
    canvas.shape_with(&corners, |px, py, _| {
        let bark = noise.rough(px * 130.0, py * 14.0, 3);
        let side = smooth(width * 0.5, -width * 0.5, px - x - lean * (1.0 - py));
        colour.scale(0.72 + 0.36 * bark + 0.24 * side)
    });
}

/// Leaves in clusters, lit where the light comes through, dark where they hang in front of it.
fn foliage(canvas: &mut Canvas, near: f32, colour: Colour, noise: Noise, layer: f32) {
    let (leaf, bright) = (
        colour.mix(hex(0x7fa83c), 0.50 - 0.2 * near),
        hex(0xd9e68a).mix(colour, 0.25 + 0.35 * near),
    );
    let scale = lerp(13.0, 5.5, near);
    let hang = lerp(0.50, 0.36, near);
    canvas.wash(0.0, hang + 0.14, |x, y, below| {
        let branch = noise.rough(x * scale * 0.45, y * scale * 0.5 + layer * 9.0, 2);
        let open = smooth(hang, -0.05, y + 0.34 * (branch - 0.5)) * 0.52;
        if open <= 0.0 {
            return below;
        }
        let cluster = noise.rough(x * scale * 2.4, y * scale * 2.8 + layer * 5.0, 3);
        let cover = smooth(0.62, 0.67, cluster + open - 0.12);
        if cover <= 0.0 {
            return below;
        }
        let flutter = noise.rough(x * scale * 8.0, y * scale * 8.0, 2);
        let tone = leaf.mix(
            bright,
            smooth(0.50, 0.85, flutter) * smooth(0.45, 0.70, cluster) * 0.8,
        );
        below.mix(tone.scale(0.72 + 0.4 * flutter), cover * 0.92)
    });
}

/// Sunlight made visible by the mist.
fn shafts(canvas: &mut Canvas, from: (f32, f32), dice: &mut Dice) {
    let noise = Noise::new((dice.unit() * 1e6) as u64);
    canvas.wash(0.0, 0.95, |x, y, below| {
        let (dx, dy) = (x - from.0, y + 0.35);
        let angle = dx.atan2(dy);
        let beam = smooth(0.52, 0.85, noise.at(angle * 16.0, 3.0))
            * smooth(0.95, 0.15, y)
            * smooth(0.9, 0.1, dx.abs());
        below.lit(hex(0xfff4c0), beam * 0.30)
    });
}
