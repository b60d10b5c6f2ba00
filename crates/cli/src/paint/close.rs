//! Close to the eye: painted tiles, rain on a window.

use super::canvas::{Canvas, Colour, hex};
use super::noise::{Dice, Noise, lerp, smooth};

/// A wall of glazed tiles, blue and ochre on white, as they are in Lisbon.
pub(super) fn tiles(canvas: &mut Canvas, seed: u64) {
    let mut dice = Dice::new(seed);
    let noise = Noise::new(seed);
    let size = dice.between(0.235, 0.265);
    let (petals, rings) = (
        dice.pick(&[4.0, 8.0]).unwrap_or(8.0),
        dice.between(0.30, 0.40),
    );
    let ink = hex(dice
        .pick(&[0x1f4f9a, 0x24588f, 0x1a3f86])
        .unwrap_or(0x1f4f9a));
    canvas.wash(0.0, 1.0, |x, y, _| {
        let (u, v) = (x / size + 0.3, y / size + 0.15);
        let (column, row) = (u.floor(), v.floor());
        let (px, py) = (u - column - 0.5, v - row - 0.5);
        let fired = noise.speck(column as usize + 7, row as usize + 3);
        let hand = 0.014 * (noise.rough(x * 30.0, y * 30.0, 2) - 0.5);
        let colour = ornament(px + hand, py - hand, petals, rings, ink);
        let glaze = noise.rough(x * 9.0, y * 9.0, 4);
        let speckle = smooth(0.86, 0.94, noise.at(x * 260.0, y * 260.0)) * 0.10;
        let light =
            lerp(1.06, 0.80, (x * 0.35 + y * 0.55).min(1.0)) * (0.93 + 0.08 * fired + 0.08 * glaze);
        let edge = px.abs().max(py.abs());
        let bevel = smooth(0.462, 0.488, edge) * if px + py < 0.0 { 0.16 } else { -0.14 };
        let tile = colour.scale(light - speckle + bevel);
        tile.mix(
            hex(0x8f887a).scale(0.7 + 0.5 * glaze),
            smooth(0.486, 0.494, edge),
        )
    });
    let shine = (canvas.aspect() * 0.22, 0.16);
    canvas.glow(shine, 0.24, hex(0xfff6e0), 0.20);
}

fn ornament(x: f32, y: f32, petals: f32, rings: f32, ink: Colour) -> Colour {
    let (white, ochre) = (hex(0xf4f1e6), hex(0xd9a03c));
    let soft = 0.010;
    let (radius, angle) = (x.hypot(y), y.atan2(x));
    let flower = 0.17 + 0.075 * (angle * petals).cos();
    let band = |at: f32, width: f32| smooth(width + soft, width, (radius - at).abs());
    let corner = (x.abs() - 0.5).hypot(y.abs() - 0.5);
    let leaf = (x.abs() - y.abs()).abs() / std::f32::consts::SQRT_2;
    let along = (x.abs() + y.abs()) / std::f32::consts::SQRT_2;
    let vine = smooth(0.052, 0.040, leaf + 0.10 * (along - 0.42).abs())
        * smooth(0.30, 0.33, along)
        * smooth(0.60, 0.57, along);
    let mut colour = white;
    colour = colour.mix(
        ink.mix(white, 0.45),
        smooth(rings + 0.03, rings + 0.02, radius) * 0.35,
    );
    colour = colour.mix(ink, vine);
    colour = colour.mix(ink, smooth(flower + soft, flower, radius));
    colour = colour.mix(white, smooth(flower * 0.72 + soft, flower * 0.72, radius));
    colour = colour.mix(ochre, smooth(0.075 + soft, 0.075, radius));
    colour = colour.mix(
        ink,
        band(0.075, 0.008)
            .max(band(rings, 0.012))
            .max(band(rings + 0.035, 0.004)),
    );
    let fan = smooth(0.165 + soft, 0.165, corner);
    colour = colour
        .mix(ink, fan)
        .mix(ochre, smooth(0.120 + soft, 0.120, corner));
    colour = colour
        .mix(white, smooth(0.075 + soft, 0.075, corner))
        .mix(ink, smooth(0.040 + soft, 0.040, corner));
    colour
}

/// Rain on a window in the evening, the street's lamps out of focus behind it.
pub(super) fn rain(canvas: &mut Canvas, seed: u64) {
    let mut dice = Dice::new(seed);
    let aspect = canvas.aspect();
    let (top, low) = (hex(0x243450), hex(0x0b1120));
    canvas.wash(0.0, 1.0, |_, y, _| top.mix(low, smooth(0.1, 1.0, y)));
    let lamps = [
        0xffb45a, 0xff9a4a, 0xffc870, 0xff6a4a, 0xffb45a, 0x6fa4e8, 0xffe0a8,
    ]
    .map(hex);
    for _ in 0..110 {
        let y = 0.30 + 0.5 * (dice.unit() + dice.unit() - 0.7);
        let centre = (aspect * dice.between(-0.05, 1.05), y);
        let radius = dice.between(0.018, 0.060);
        let colour = dice.pick(&lamps).unwrap_or_default();
        bokeh(canvas, centre, radius, colour, dice.between(0.14, 0.62));
    }
    let street = canvas.clone();
    let noise = Noise::new(seed);
    canvas.wash(0.0, 1.0, |x, y, below| {
        let breath = noise.rough(x * 3.0, y * 3.0, 4);
        below.mix(hex(0x5f728c), 0.16 * breath)
    });
    for _ in 0..1300 {
        let centre = (aspect * dice.unit(), dice.unit());
        let radius = 0.0014 + 0.0105 * dice.unit().powi(7);
        raindrop(canvas, &street, centre, radius, 1.0);
    }
    for _ in 0..7 {
        trail(canvas, &street, &mut dice);
    }
}

/// A lamp out of focus: an even disc with a brighter rim.
fn bokeh(canvas: &mut Canvas, centre: (f32, f32), radius: f32, colour: Colour, strength: f32) {
    let reach = radius * 1.15;
    canvas.wash_within(
        (centre.0 - reach, centre.1 - reach),
        (centre.0 + reach, centre.1 + reach),
        |x, y, below| {
            let distance = (x - centre.0).hypot(y - centre.1) / radius;
            let disc = smooth(1.06, 0.96, distance) * (0.72 + 0.45 * smooth(0.7, 1.0, distance));
            below.lit(colour, strength * disc)
        },
    );
}

/// A drop shows the street upside down, dark at its upper edge, with a glint.
fn raindrop(canvas: &mut Canvas, street: &Canvas, centre: (f32, f32), radius: f32, stretch: f32) {
    let (wide, tall) = (radius * 1.1, radius * 1.15 * stretch);
    canvas.wash_within(
        (centre.0 - wide, centre.1 - tall),
        (centre.0 + wide, centre.1 + tall),
        |x, y, below| {
            let (dx, dy) = ((x - centre.0) / radius, (y - centre.1) / (radius * stretch));
            let distance = dx.hypot(dy);
            let cover = smooth(1.04, 0.90, distance);
            if cover <= 0.0 {
                return below;
            }
            let seen = street.at(centre.0 - dx * 0.16, 0.42 - dy * 0.22);
            let rim = smooth(0.55, 1.0, distance);
            let inside = seen
                .scale(1.10 - 0.65 * rim * smooth(0.8, -0.8, dy))
                .lit(hex(0xbfd0e8), 0.16 * smooth(-0.2, 0.9, dy));
            let glint = smooth(0.26, 0.08, (dx + 0.34).hypot(dy + 0.42));
            below.mix(inside.lit(hex(0xffffff), glint * 0.6), cover * 0.92)
        },
    );
}

/// A drop that has run down, and the smaller ones it left behind.
fn trail(canvas: &mut Canvas, street: &Canvas, dice: &mut Dice) {
    let mut x = canvas.aspect() * dice.between(0.03, 0.97);
    let end = dice.between(0.25, 0.95);
    let mut y = end - dice.between(0.15, 0.4);
    while y < end {
        raindrop(
            canvas,
            street,
            (x, y),
            0.0010 + 0.0036 * dice.unit().powi(2),
            1.2,
        );
        x += dice.between(-0.0040, 0.0040);
        y += dice.between(0.004, 0.026);
    }
    raindrop(canvas, street, (x, end), dice.between(0.010, 0.014), 1.45);
}
