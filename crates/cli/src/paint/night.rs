//! After dark: stars, the moon, fireworks.

use super::canvas::{Canvas, hex};
use super::light::Light;
use super::noise::{Dice, Noise, lerp, smooth};

/// A clear night over a dark ridge: the Milky Way, or else the moon, or a lit tent.
pub(super) fn stars(canvas: &mut Canvas, moon: bool, seed: u64) {
    let mut dice = Dice::new(seed);
    Light::Night.paint_sky(canvas, 0.86, 0.0, seed);
    if !moon {
        milky_way(canvas, &mut dice, seed);
    }
    let aspect = canvas.aspect();
    for _ in 0..(if moon { 900 } else { 1500 }) {
        let place = (dice.between(0.0, aspect), dice.between(0.0, 0.85));
        let brightness = dice.unit().powi(9);
        let tint = hex(dice
            .pick(&[0xffffff, 0xcfe0ff, 0xffe6c8, 0xdfe9ff])
            .unwrap_or(0xffffff));
        let size = 0.0008 + 0.0016 * brightness;
        canvas.disc(place, size * 0.5, size, tint, 0.35 + 0.65 * brightness);
        if brightness > 0.72 {
            canvas.glow(place, 0.004, tint, 0.5 * brightness);
        }
    }
    if moon {
        paint_moon(
            canvas,
            (aspect * dice.between(0.55, 0.75), 0.26),
            0.060,
            seed,
        );
    }
    for layer in 0..3_u64 {
        let near = layer as f32 / 2.0;
        let noise = Noise::new(seed + 50 + layer);
        let base = lerp(0.80, 0.98, near);
        let line = move |x: f32| {
            base - lerp(0.26, 0.12, near) * (noise.crests(x * lerp(1.6, 1.1, near), 0.4, 5) - 0.35)
        };
        let colour = hex(0x16263f).mix(hex(0x04070d), near);
        canvas.below(line, |x, y, depth| {
            let snow = smooth(0.06, 0.0, depth) * (1.0 - near) * noise.rough(x * 20.0, y * 20.0, 3);
            colour.lit(hex(0x9fb4d8), snow * 0.30)
        });
    }
    if !moon {
        tent(canvas, (aspect * dice.between(0.3, 0.6), 0.955), 0.060);
    }
}

fn milky_way(canvas: &mut Canvas, dice: &mut Dice, seed: u64) {
    let noise = Noise::new(seed + 5);
    let aspect = canvas.aspect();
    let (centre, angle) = (aspect * dice.between(0.4, 0.6), dice.between(0.5, 0.9));
    let (sin, cos) = angle.sin_cos();
    canvas.wash(0.0, 0.92, |x, y, below| {
        let (dx, dy) = (x - centre, y - 0.35);
        let (along, across) = (dx * sin + dy * cos, dx * cos - dy * sin);
        let cloud = noise.rough(along * 2.4, across * 5.5, 5);
        let dust = noise.rough(along * 3.0 + 8.0, across * 9.0, 5);
        let band = (-across * across / 0.030).exp() * (0.45 + 0.9 * cloud);
        let lane = smooth(0.50, 0.66, dust) * (-across * across / 0.008).exp();
        let warm = hex(0x9fb0e0).mix(hex(0xf0c8a8), smooth(0.4, 0.8, cloud));
        below
            .lit(warm, band * 0.46 * (1.0 - 0.75 * lane))
            .lit(hex(0x2a6a5a), 0.22 * smooth(0.45, 0.9, y))
    });
    let mut dust = Dice::new(seed + 6);
    for _ in 0..2600 {
        let (along, across) = (
            dust.between(-1.1, 1.1),
            (dust.unit() + dust.unit() + dust.unit() - 1.5) * 0.30,
        );
        let place = (
            centre + along * sin + across * cos,
            0.35 + along * cos - across * sin,
        );
        canvas.disc(
            place,
            0.0004,
            0.0009,
            hex(0xe6ecff),
            dust.between(0.08, 0.5),
        );
    }
}

fn paint_moon(canvas: &mut Canvas, centre: (f32, f32), radius: f32, seed: u64) {
    let noise = Noise::new(seed + 7);
    canvas.glow(centre, radius * 2.4, hex(0x9db8ee), 0.62);
    canvas.wash_within(
        (centre.0 - radius, centre.1 - radius),
        (centre.0 + radius, centre.1 + radius),
        |x, y, below| {
            let (dx, dy) = ((x - centre.0) / radius, (y - centre.1) / radius);
            let seas = smooth(0.48, 0.62, noise.rough(dx * 2.2 + 4.0, dy * 2.2, 4));
            let craters = noise.crests(dx * 7.0, dy * 7.0, 3);
            let face = hex(0xfdf6e0).scale(0.98 - 0.24 * seas - 0.10 * craters);
            below.mix(face, smooth(1.0, 0.965, dx.hypot(dy)))
        },
    );
}

/// A tent with a lamp in it.
fn tent(canvas: &mut Canvas, (x, foot): (f32, f32), size: f32) {
    canvas.glow((x, foot - size * 0.4), size * 1.1, hex(0xffa850), 0.55);
    let top = foot - size;
    let side = [
        (x - size * 1.05, foot),
        (x - size * 0.12, top),
        (x + size * 0.32, foot),
    ];
    canvas.shape_with(&side, |px, py, _| {
        let lamp = (px - x + size * 0.25).hypot(py - foot + size * 0.3) / size;
        hex(0xffd27a).mix(hex(0xa8481c), smooth(0.0, 0.95, lamp))
    });
    let front = [
        (x - size * 0.12, top),
        (x + size * 0.32, foot),
        (x + size * 0.95, foot),
    ];
    canvas.shape(&front, hex(0x7a3418));
    canvas.stroke(
        (x - size * 0.12, top),
        (x + size * 0.32, foot),
        0.002,
        hex(0x4a1c0c),
    );
}

/// A festival over the water.
pub(super) fn fireworks(canvas: &mut Canvas, seed: u64) {
    let mut dice = Dice::new(seed);
    let aspect = canvas.aspect();
    let shore = 0.78;
    Light::Night.paint_sky(canvas, shore, 0.0, seed);
    let noise = Noise::new(seed);
    let colours = [0xff6a4a, 0xffd36a, 0x7fd0ff, 0xff86c8, 0xa8ff9a, 0xfff2d0].map(hex);
    for _ in 0..7 {
        let centre = (aspect * dice.between(0.12, 0.88), dice.between(0.12, 0.46));
        let radius = dice.between(0.10, 0.24);
        let colour = dice.pick(&colours).unwrap_or_default();
        canvas.glow(centre, radius * 0.55, colour, 0.36);
        let rays = 54 + (dice.unit() * 40.0) as usize;
        for ray in 0..rays {
            let angle =
                (ray as f32 + dice.between(-0.3, 0.3)) / rays as f32 * std::f32::consts::TAU;
            let reach = radius * dice.between(0.62, 1.0);
            spark(canvas, centre, (angle, reach), colour);
        }
    }
    canvas.wash(0.0, shore, |x, y, below| {
        let smoke = smooth(0.45, 0.8, noise.rough(x * 2.6, y * 3.4, 5));
        below.lit(hex(0x5a4664), smoke * 0.34 * smooth(0.9, 0.2, y))
    });
    let hill = move |x: f32| shore - 0.03 - 0.09 * noise.rough(x * 2.2, 0.6, 4);
    canvas.below(hill, |_, _, _| hex(0x05070e));
    for _ in 0..170 {
        let x = dice.between(0.0, aspect);
        let y = lerp(hill(x) + 0.012, shore - 0.004, dice.unit());
        canvas.glow(
            (x, y),
            0.0035,
            hex(dice
                .pick(&[0xffd08a, 0xffb060, 0xfff0d0])
                .unwrap_or(0xffffff)),
            0.85,
        );
    }
    canvas.mirror(shore, 0.55, hex(0x05080f), seed);
}

/// One burning star: a trail that thins out and sinks.
fn spark(
    canvas: &mut Canvas,
    centre: (f32, f32),
    (angle, reach): (f32, f32),
    colour: super::canvas::Colour,
) {
    let (sin, cos) = angle.sin_cos();
    let place = |part: f32| {
        let far = reach * part;
        (
            centre.0 + cos * far,
            centre.1 + sin * far + 0.16 * far * part,
        )
    };
    let steps = 9;
    for step in 1..=steps {
        let part = step as f32 / steps as f32;
        let heat = hex(0xfffbe8).mix(colour, smooth(0.0, 0.55, part));
        let before = place(part - 1.0 / steps as f32);
        let width = 0.0032 * (1.0 - 0.55 * part);
        canvas.stroke(before, place(part), width, heat.scale(1.0 - 0.35 * part));
    }
    canvas.disc(
        place(1.0),
        0.0016,
        0.002,
        hex(0xffffff).mix(colour, 0.4),
        0.9,
    );
}
