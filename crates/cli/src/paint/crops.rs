//! Fields: every plant in its row, painted from the farthest to the nearest.

use super::canvas::{Canvas, Colour, hex};
use super::land::{Trees, far_hills};
use super::light::Light;
use super::noise::{Dice, Noise, lerp, smooth};

/// What grows in rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Crop {
    /// Purple.
    Lavender,
    /// Green on brown earth.
    Vines,
    /// Yellow.
    Sunflowers,
}

/// Rows that run to the horizon, hills and a few cypresses behind.
pub(super) fn field(canvas: &mut Canvas, light: Light, crop: Crop, seed: u64) {
    let mut dice = Dice::new(seed);
    let aspect = canvas.aspect();
    let horizon = dice.between(0.43, 0.49);
    let sun_x = aspect * dice.between(0.2, 0.8);
    light.paint_sky(canvas, horizon, sun_x, seed);
    far_hills(canvas, light, horizon, Trees::Cypresses, seed);
    let noise = Noise::new(seed + 99);
    let soil = light.on(match crop {
        Crop::Lavender => hex(0xb08f68),
        Crop::Vines => hex(0xa8805c),
        Crop::Sunflowers => hex(0x55602e),
    });
    let plant = light.on(match crop {
        Crop::Lavender => hex(0x7d68b4),
        Crop::Vines => hex(0x587a34),
        Crop::Sunflowers => hex(0xb8a23a),
    });
    canvas.wash(horizon, 1.0, |x, y, _| {
        let near = y - horizon;
        let depth = 0.05 / (near + 0.008);
        let clods = noise.rough((x - sun_x) * depth * 60.0, depth * 70.0, 3);
        let ground = soil.scale(0.72 + 0.5 * clods);
        plant
            .mix(ground, smooth(0.015, 0.12, near))
            .mix(light.haze(), 0.40 * smooth(0.16, 0.0, near))
    });
    let view = View {
        horizon,
        vanish: aspect * dice.between(0.3, 0.7),
        aspect,
    };
    plant_rows(canvas, light, crop, &view, &mut dice);
}

/// Where the rows meet, and how far the picture reaches to the sides.
struct View {
    horizon: f32,
    vanish: f32,
    aspect: f32,
}

fn plant_rows(canvas: &mut Canvas, light: Light, crop: Crop, view: &View, dice: &mut Dice) {
    let apart = match crop {
        Crop::Lavender => 0.40,
        Crop::Vines => 0.52,
        Crop::Sunflowers => 0.34,
    };
    let shift = dice.between(0.3, 0.7);
    let mut depth = 15.0_f32;
    while depth > 0.86 {
        let size = 0.50 / depth;
        let y = view.horizon + size;
        let reach = (view.vanish.max(view.aspect - view.vanish) / (size * apart)) as i32 + 2;
        for row in -reach..=reach {
            let sway = dice.between(-0.06, 0.06);
            let x = view.vanish + (row as f32 + shift + sway) * apart * size * 1.25;
            if x > -size && x < view.aspect + size {
                let spot = Spot {
                    x,
                    y: y + dice.between(-0.02, 0.02) * size,
                    size: size * dice.between(0.85, 1.15),
                    near: smooth(14.0, 3.0, depth),
                };
                match crop {
                    Crop::Lavender => lavender(canvas, light, &spot, dice),
                    Crop::Vines => vine(canvas, light, &spot, dice),
                    Crop::Sunflowers => sunflower(canvas, light, &spot, dice),
                }
            }
        }
        depth -= 0.020 + depth * 0.028;
    }
}

/// One plant: its foot, the height of the ground plane's unit there, and 1 if it is close.
struct Spot {
    x: f32,
    y: f32,
    size: f32,
    near: f32,
}

impl Spot {
    fn tone(&self, light: Light, rgb: u32) -> Colour {
        light.far(hex(rgb), 0.42 * (1.0 - self.near))
    }
}

/// A cushion of stalks, each ending in a spike of blossom.
fn lavender(canvas: &mut Canvas, light: Light, spot: &Spot, dice: &mut Dice) {
    let (wide, tall) = (spot.size * 0.20, spot.size * 0.17);
    let noise = Noise::new((dice.unit() * 65_000.0) as u64);
    let (dark, bloom, pale) = (
        spot.tone(light, 0x43346e),
        spot.tone(light, 0x7d62bc),
        spot.tone(light, 0xb79ae6),
    );
    let stalk = spot.tone(light, 0x5d6c3e);
    let from = (spot.x - wide * 1.15, spot.y - tall * 1.4);
    canvas.wash_within(
        from,
        (spot.x + wide * 1.15, spot.y + tall * 0.16),
        |x, y, below| {
            let (dx, dy) = ((x - spot.x) / wide, (spot.y - y) / tall);
            let fan = dx / (0.65 + 0.45 * dy.max(0.0));
            let spikes = noise.at(fan * 11.0, 0.5) * 0.34 + noise.at(fan * 27.0, dy * 2.0) * 0.16;
            let crown = (1.0 - (dx * dx).min(1.0)).sqrt() * (0.70 + spikes);
            let cover = smooth(crown + 0.05, crown - 0.03, dy)
                * smooth(-0.16, -0.02, dy + 0.10 * (1.0 - dx * dx));
            if cover <= 0.0 {
                return below;
            }
            let flowers = noise.rough(fan * 16.0, dy * 9.0, 2);
            let height = smooth(0.05, 0.85, dy);
            let blossom = dark
                .mix(bloom, height)
                .mix(pale, smooth(0.52, 0.72, flowers) * height);
            below.mix(stalk.scale(0.7).mix(blossom, smooth(0.02, 0.34, dy)), cover)
        },
    );
}

/// A bush on a post.
fn vine(canvas: &mut Canvas, light: Light, spot: &Spot, dice: &mut Dice) {
    let (wide, tall) = (spot.size * 0.17, spot.size * 0.40);
    let noise = Noise::new((dice.unit() * 65_000.0) as u64);
    let (dark, leaf, pale) = (
        spot.tone(light, 0x2a4a1f),
        spot.tone(light, 0x5b8432),
        spot.tone(light, 0xa8c456),
    );
    let shadow = (spot.x + wide * 0.5, spot.y);
    canvas.wash_within(
        (shadow.0 - wide * 1.5, spot.y - tall * 0.08),
        (shadow.0 + wide * 1.5, spot.y + tall * 0.14),
        |x, y, below| {
            let distance = ((x - shadow.0) / (wide * 1.4)).hypot((y - shadow.1) / (tall * 0.11));
            below.scale(1.0 - 0.34 * smooth(1.0, 0.3, distance))
        },
    );
    canvas.stroke(
        (spot.x, spot.y),
        (spot.x, spot.y - tall * 0.6),
        spot.size * 0.016,
        spot.tone(light, 0x5a4230),
    );
    let centre = spot.y - tall * 0.62;
    canvas.wash_within(
        (spot.x - wide * 1.3, spot.y - tall * 1.2),
        (spot.x + wide * 1.3, spot.y - tall * 0.12),
        |x, y, below| {
            let (dx, dy) = ((x - spot.x) / wide, (y - centre) / (tall * 0.46));
            let distance = (dx * dx + dy * dy).sqrt();
            if distance > 1.32 {
                return below;
            }
            let ragged = noise.rough(dx * 3.6 + 5.0, dy * 3.6, 3);
            let cover = smooth(1.02, 0.90, distance + (ragged - 0.5) * 0.9);
            if cover <= 0.0 {
                return below;
            }
            let leaves = noise.rough(dx * 8.0, dy * 8.0 + 3.0, 3);
            let lit = smooth(0.8, -0.9, dy + 0.3 * dx);
            let colour = dark
                .mix(leaf, smooth(0.30, 0.62, leaves + 0.25 * lit))
                .mix(pale, smooth(0.60, 0.80, leaves) * lit);
            below.mix(colour, cover)
        },
    );
}

/// A stalk, two leaves and a head that looks at the viewer.
fn sunflower(canvas: &mut Canvas, light: Light, spot: &Spot, dice: &mut Dice) {
    let tall = spot.size * dice.between(0.40, 0.52);
    let radius = spot.size * dice.between(0.085, 0.108);
    let (x, head) = (
        spot.x + dice.between(-0.05, 0.05) * spot.size,
        spot.y - tall,
    );
    let green = spot.tone(light, 0x4a6e2a);
    canvas.stroke(
        (spot.x, spot.y),
        (x, head),
        spot.size * 0.018,
        green.scale(0.85),
    );
    for side in [-1.0, 1.0] {
        let low = spot.y - tall * dice.between(0.30, 0.62);
        let tip = (spot.x + side * spot.size * 0.15, low - spot.size * 0.05);
        let leaf = [
            (spot.x, low),
            (spot.x + side * spot.size * 0.07, low - spot.size * 0.075),
            tip,
            (spot.x + side * spot.size * 0.08, low + spot.size * 0.02),
        ];
        canvas.shape(&leaf, green.scale(dice.between(0.75, 1.25)));
    }
    let (petal, deep) = (spot.tone(light, 0xffcf33), spot.tone(light, 0xe89a16));
    let (seeds, rim) = (spot.tone(light, 0x3e2616), spot.tone(light, 0x7a4a1c));
    let turn = dice.between(0.0, 6.0);
    let reach = radius * 1.05;
    canvas.wash_within(
        (x - reach, head - reach),
        (x + reach, head + reach),
        |px, py, below| {
            let (dx, dy) = ((px - x) / radius, (py - head) / (radius * 0.94));
            let (distance, angle) = (dx.hypot(dy), dy.atan2(dx));
            let leaf = lerp(
                0.80,
                1.0,
                ((angle * 9.0 + turn).cos() * 0.5 + 0.5).powf(0.6),
            );
            let cover = smooth(leaf + 0.03, leaf - 0.05, distance);
            let yellow = deep
                .mix(petal, smooth(0.42, 0.85, distance))
                .scale(1.0 - 0.14 * smooth(-0.6, 0.9, dy));
            let heart = seeds.mix(rim, smooth(0.24, 0.44, distance));
            below.mix(yellow.mix(heart, smooth(0.48, 0.43, distance)), cover)
        },
    );
}
