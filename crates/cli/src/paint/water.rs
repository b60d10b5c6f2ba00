//! The sea, and what stands and swims at its edge.

use super::canvas::{Canvas, Colour, hex, ramp};
use super::light::Light;
use super::noise::{Dice, Noise, lerp, smooth};

/// What there is to see besides water.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shore {
    /// Nothing but a sail or two.
    Open,
    /// A cape with a lighthouse.
    Lighthouse,
    /// Cliffs on one side and a beach below.
    Cliffs,
}

/// The open sea from the coast.
pub(super) fn sea(canvas: &mut Canvas, light: Light, shore: Shore, seed: u64) {
    let mut dice = Dice::new(seed);
    let aspect = canvas.aspect();
    let horizon = dice.between(0.50, 0.60);
    let sun_x = aspect * dice.between(0.35, 0.72);
    light.paint_sky(canvas, horizon, sun_x, seed);
    far_coast(canvas, light, horizon, seed);
    if shore == Shore::Open {
        for _ in 0..3 {
            let x = aspect * dice.between(0.1, 0.9);
            sail(
                canvas,
                light,
                (x, horizon + dice.between(0.0, 0.006)),
                dice.between(0.030, 0.065),
            );
        }
    }
    let calm = if light == Light::Storm { 0.15 } else { 0.55 };
    canvas.mirror(horizon, calm, light.on(hex(0x1e5f7c)), seed);
    sparkle(canvas, light, (sun_x, horizon), seed);
    if light == Light::Storm {
        white_horses(canvas, light, horizon, seed);
    }
    match shore {
        Shore::Open => surf(canvas, light, 0.90, seed),
        Shore::Lighthouse => cape(canvas, light, horizon, seed),
        Shore::Cliffs => {
            surf(canvas, light, 0.84, seed);
            cliffs(canvas, light, horizon, seed);
        }
    }
}

fn far_coast(canvas: &mut Canvas, light: Light, horizon: f32, seed: u64) {
    let noise = Noise::new(seed + 1);
    let aspect = canvas.aspect();
    let line = move |x: f32| {
        let rise = smooth(0.55, 1.0, x / aspect) * 0.09 * noise.rough(x * 3.0, 0.4, 4);
        horizon + 0.004 - rise
    };
    let colour = light.far(hex(0x55687a), 0.55);
    canvas.below(line, |_, y, _| {
        colour.mix(light.haze(), smooth(horizon - 0.05, horizon, y) * 0.4)
    });
}

/// Small bright facets below the sun.
fn sparkle(canvas: &mut Canvas, light: Light, (sun_x, horizon): (f32, f32), seed: u64) {
    if !matches!(light, Light::Dawn | Light::Gold | Light::Sunset) {
        return;
    }
    let noise = Noise::new(seed + 2);
    let gleam = light.haze().lit(hex(0xfff0c0), 0.8);
    canvas.wash(horizon, 1.0, |x, y, below| {
        let depth = y - horizon;
        let path = (x - sun_x).abs() / (0.05 + depth * 0.42);
        let grain = 1.0 / (0.010 + depth * 0.05);
        let facet = noise.at(x * grain * 0.8, depth * grain * 6.0 + 7.0);
        let shine =
            smooth(0.66, 0.92, facet + 0.16 * smooth(1.0, 0.0, path)) * smooth(1.25, 0.0, path);
        below.lit(gleam, shine * 0.75 * smooth(0.6, 0.0, depth))
    });
}

/// Wave after wave, each with a dark face and foam on its crest.
fn white_horses(canvas: &mut Canvas, light: Light, horizon: f32, seed: u64) {
    let noise = Noise::new(seed + 8);
    let (deep, foam) = (light.on(hex(0x2c4a58)), light.on(hex(0xe8eeee)));
    canvas.wash(horizon + 0.004, 1.0, |x, y, below| {
        let depth = 0.10 / (y - horizon + 0.012);
        let (across, along) = (x * depth * 2.6, depth * 7.0);
        let swell = noise.rough(across * 0.7, along, 4);
        let ahead = noise.rough(across * 0.7, along + 0.35, 4);
        let face = smooth(0.02, 0.16, swell - ahead);
        let crest = smooth(0.54, 0.62, swell) * smooth(-0.10, 0.02, swell - ahead);
        let lace = smooth(0.40, 0.66, noise.rough(across * 9.0, along * 5.0, 3));
        let near = smooth(0.0, 0.10, y - horizon);
        below
            .mix(deep, 0.55 * face * near)
            .mix(foam, crest * lace * 0.85 * (0.3 + 0.7 * near))
    });
}

/// A beach in the foreground with a hem of foam.
fn surf(canvas: &mut Canvas, light: Light, edge: f32, seed: u64) {
    let noise = Noise::new(seed + 3);
    let (dry, wet) = (light.on(hex(0xe6cfa4)), light.on(hex(0x8d7a62)));
    let foam = light.on(hex(0xffffff));
    let line = move |x: f32| edge + 0.05 * (noise.rough(x * 1.7, 0.3, 3) - 0.5) - 0.04 * x;
    canvas.below(
        move |x| line(x) - 0.03,
        |x, y, _| {
            let depth = y - line(x);
            let lace = noise.rough(x * 26.0, y * 60.0, 4);
            let hem = smooth(-0.030, -0.004, depth + (lace - 0.5) * 0.02)
                * smooth(0.012, 0.0, depth + (lace - 0.5) * 0.03);
            let grains = 0.94 + 0.12 * noise.speck((x * 1400.0) as usize, (y * 1400.0) as usize);
            let sand = wet
                .mix(dry, smooth(0.012, 0.075, depth + lace * 0.02))
                .scale(grains);
            let thin = light.on(hex(0x6fa6a8));
            thin.mix(sand, smooth(-0.012, 0.004, depth))
                .mix(foam, hem * 0.9)
        },
    );
}

fn sail(canvas: &mut Canvas, light: Light, (x, y): (f32, f32), size: f32) {
    let cloth = light.on(hex(0xfffaf0)).mix(light.haze(), 0.15);
    let hull = light.on(hex(0x3a3c48));
    let deck = y - size * 0.10;
    canvas.shape(
        &[
            (x - size * 0.02, y - size),
            (x - size * 0.02, deck),
            (x - size * 0.34, deck),
        ],
        cloth.scale(0.86),
    );
    canvas.shape(
        &[
            (x + size * 0.02, y - size * 0.92),
            (x + size * 0.02, deck),
            (x + size * 0.26, deck),
        ],
        cloth,
    );
    canvas.shape(
        &[
            (x - size * 0.36, deck + size * 0.02),
            (x + size * 0.36, deck + size * 0.02),
            (x + size * 0.24, y),
            (x - size * 0.26, y),
        ],
        hull,
    );
}

/// Rock in the sea, and on it the tower.
fn cape(canvas: &mut Canvas, light: Light, horizon: f32, seed: u64) {
    let mut dice = Dice::new(seed + 4);
    let aspect = canvas.aspect();
    let left = dice.chance(0.5);
    let noise = Noise::new(seed + 5);
    let from_edge = move |x: f32| if left { x } else { aspect - x };
    let line = move |x: f32| {
        let out = from_edge(x) / aspect;
        let rise = smooth(0.62, 0.10, out);
        1.02 - rise * (1.04 - horizon + 0.05) - 0.10 * rise * (noise.crests(x * 5.0, 0.7, 5) - 0.6)
    };
    rock(canvas, light, line, noise);
    let at = aspect * 0.19;
    let x = if left { at } else { aspect - at };
    let foot = line(x) + 0.02;
    tower(canvas, light, (x, foot), 0.30);
}

fn rock(canvas: &mut Canvas, light: Light, line: impl Fn(f32) -> f32, noise: Noise) {
    let (lit, dark, grass) = (
        light.on(hex(0xa5907a)),
        light.on(hex(0x33343c)),
        light.on(hex(0x66773f)),
    );
    canvas.below(line, |x, y, depth| {
        let here = noise.crests(x * 9.0, y * 7.0, 5);
        let there = noise.crests(x * 9.0 - 0.10, y * 7.0 + 0.12, 5);
        let facing = ((here - there) * 3.2 + 0.45).clamp(0.0, 1.0);
        let turf = smooth(0.05, 0.0, depth + (here - 0.5) * 0.07);
        let blades = 0.7 + 0.6 * noise.rough(x * 150.0, y * 90.0, 2);
        dark.mix(lit, facing).mix(grass.scale(blades), turf * 0.85)
    });
}

fn tower(canvas: &mut Canvas, light: Light, (x, foot): (f32, f32), height: f32) {
    let top = foot - height;
    let half = |y: f32| lerp(0.042, 0.026, (foot - y) / height) * height / 0.30;
    let (white, red, dark) = (
        light.on(hex(0xfaf6ee)),
        light.on(hex(0xb8362e)),
        light.on(hex(0x2a2d36)),
    );
    let body = [
        (x - half(foot), foot),
        (x - half(top), top),
        (x + half(top), top),
        (x + half(foot), foot),
    ];
    canvas.shape_with(&body, |px, py, _| {
        let band = ((foot - py) / height * 5.0).floor() as i32 % 2;
        let side = smooth(-1.0, 1.0, (px - x) / half(py));
        let colour = if band == 1 { red } else { white };
        colour.scale(1.06 - 0.42 * side)
    });
    let unit = height / 0.30;
    canvas.rectangle(
        (x - 0.036 * unit, top - 0.006 * unit),
        (x + 0.036 * unit, top + 0.004 * unit),
        dark,
    );
    let lamp = if light.lamps() {
        hex(0xfff2b0)
    } else {
        light.on(hex(0xbcd4e0))
    };
    canvas.rectangle(
        (x - 0.017 * unit, top - 0.040 * unit),
        (x + 0.017 * unit, top - 0.006 * unit),
        lamp,
    );
    for post in [-0.017, 0.0, 0.017] {
        let at = x + post * unit;
        canvas.stroke((at, top - 0.040 * unit), (at, top), 0.003 * unit, dark);
    }
    let roof = [
        (x - 0.024 * unit, top - 0.040 * unit),
        (x, top - 0.068 * unit),
        (x + 0.024 * unit, top - 0.040 * unit),
    ];
    canvas.shape(&roof, red.scale(0.8));
    if light.lamps() {
        let lamp_at = (x, top - 0.022 * unit);
        canvas.glow(lamp_at, 0.05 * unit, hex(0xffe9a0), 0.9);
        beam(canvas, lamp_at);
    }
}

/// The lighthouse's light in the haze, to both sides.
fn beam(canvas: &mut Canvas, from: (f32, f32)) {
    canvas.wash(0.0, 1.0, |x, y, below| {
        let (dx, dy) = ((x - from.0).abs(), y - from.1 + (x - from.0) * 0.10);
        let spread = (dy / (0.010 + dx * 0.075)).abs();
        let strength = smooth(1.0, 0.0, spread) * smooth(1.3, 0.0, dx) * 0.42;
        below.lit(hex(0xfff0b8), strength)
    });
}

fn cliffs(canvas: &mut Canvas, light: Light, horizon: f32, seed: u64) {
    let aspect = canvas.aspect();
    let (sun, shade) = light.sun_and_shade();
    for (layer, reach, distance) in [(0_u64, 0.70, 0.40), (1, 0.52, 0.20), (2, 0.30, 0.04)] {
        let noise = Noise::new(seed + 6 + layer);
        let foot = horizon + 0.012 + 0.055 * (layer * layer) as f32;
        let tall = 0.15 + 0.085 * layer as f32;
        let top = move |x: f32| foot - tall + 0.05 * (noise.rough(x * 3.0, 0.9, 4) - 0.5);
        let line = move |x: f32| {
            let ragged = 0.10 * (noise.crests(x * 5.0, 0.3, 4) - 0.5);
            let inland = smooth(reach, reach - 0.13, x / aspect + ragged);
            lerp(foot + 0.03, top(x), inland.powf(0.45))
        };
        let base = canvas.clone();
        canvas.band(line, tall + 0.10, |x, y, depth| {
            if y > foot + 0.02 {
                return base.at(x, y);
            }
            let warp = 0.05 * noise.rough(x * 5.0, y * 5.0, 2);
            let bands = noise.rough(x * 1.6 + warp * 20.0, (y + warp * 0.5) * 60.0, 2);
            let buttress = noise.crests(x * 8.0 + warp * 9.0, y * 4.4, 4);
            let beside = noise.crests(x * 8.0 + warp * 9.0 - 0.12, y * 4.4 + 0.08, 4);
            let facing = ((buttress - beside) * 1.7 + 0.52).clamp(0.0, 1.0);
            let stone = hex(0xb98a5a)
                .mix(hex(0xe9cd9a), bands)
                .scale(0.78 + 0.36 * buttress);
            let turf = smooth(0.020, 0.006, y - top(x) + 0.012 * bands) * smooth(0.06, 0.02, depth);
            let own = stone.mix(hex(0x7d8f4a), turf);
            let lit = |own: f32, sun: f32, shade: f32| own * (shade + sun * facing);
            let face = Colour {
                r: lit(own.r, sun.r, shade.r),
                g: lit(own.g, sun.g, shade.g),
                b: lit(own.b, sun.b, shade.b),
            };
            let shore = foot + 0.012 * (noise.rough(x * 9.0, 2.0, 4) - 0.5);
            let wet = smooth(shore - 0.018, shore, y);
            face.scale(1.0 - 0.4 * wet)
                .mix(light.haze(), distance)
                .mix(base.at(x, y), smooth(shore - 0.002, shore + 0.004, y))
        });
    }
}

/// A beach from straight above: turquoise water, foam, sand and parasols.
pub(super) fn beach_from_above(canvas: &mut Canvas, light: Light, seed: u64) {
    let mut dice = Dice::new(seed);
    let noise = Noise::new(seed);
    let aspect = canvas.aspect();
    let slant = dice.between(-0.25, 0.25);
    let water = [
        (0.0, hex(0xbfe9dc)),
        (0.10, hex(0x6fd0cc)),
        (0.32, hex(0x2fa6bd)),
        (0.75, hex(0x156f9c)),
    ]
    .map(|(at, colour)| (at, light.on(colour)));
    let (dry, wet, foam) = (
        light.on(hex(0xf1deb8)),
        light.on(hex(0xc0a27a)),
        light.on(hex(0xffffff)),
    );
    let edge = move |x: f32, y: f32| {
        let bay = 0.16 * (noise.rough(x * 1.3, y * 0.5, 3) - 0.5)
            + 0.03 * noise.rough(x * 7.0, y * 3.0, 3);
        y - 0.52 - bay - slant * (x - aspect / 2.0)
    };
    canvas.wash(0.0, 1.0, |x, y, _| {
        let inland = edge(x, y);
        let lace = noise.rough(x * 16.0, y * 22.0, 4) - 0.5;
        let swell = noise.rough(x * 5.0, y * 14.0, 4) - 0.5;
        let grains = 0.95 + 0.10 * noise.speck((x * 1500.0) as usize, (y * 1500.0) as usize);
        let beach = wet.mix(dry, smooth(0.0, 0.05, inland + lace * 0.02));
        let sand = beach.scale(grains * (0.96 + 0.10 * noise.rough(x * 20.0, y * 20.0, 3)));
        let sea = ramp(&water, -inland + swell * 0.10).scale(1.0 + 0.16 * swell);
        let breakers = [0.0, 0.055, 0.13]
            .iter()
            .zip([1.0, 0.75, 0.4])
            .map(|(&out, strength)| {
                let crest = -inland - out - lace * (0.03 + out * 0.25);
                strength * smooth(0.020, 0.0, crest.abs()) * smooth(-0.25, 0.12, lace + 0.06)
            });
        let white = breakers.fold(0.0, f32::max);
        sea.mix(sand, smooth(-0.006, 0.006, inland + lace * 0.012))
            .mix(foam, white)
    });
    parasols(canvas, light, &mut dice, edge);
}

fn parasols(canvas: &mut Canvas, light: Light, dice: &mut Dice, edge: impl Fn(f32, f32) -> f32) {
    let aspect = canvas.aspect();
    let colours = [0xd8433b, 0x2f6fb5, 0xf0b53a, 0xf5f1e6, 0x2f9c8a].map(hex);
    for row in 0..4 {
        let mut x = dice.between(0.02, 0.08);
        while x < aspect {
            let wanted = 0.10 + 0.115 * row as f32 + dice.between(-0.008, 0.008);
            let y = (0..400)
                .map(|step| step as f32 / 330.0)
                .find(|&y| edge(x, y) > wanted);
            if let (Some(y), true) = (y, dice.chance(0.86)) {
                let colour = dice.pick(&colours).unwrap_or_default();
                towel(canvas, light, (x + 0.034, y + 0.010), dice);
                parasol(canvas, light, (x, y), 0.024, colour);
            }
            x += dice.between(0.105, 0.125);
        }
    }
}

fn parasol(canvas: &mut Canvas, light: Light, (x, y): (f32, f32), radius: f32, colour: Colour) {
    canvas.disc(
        (x + 0.014, y + 0.016),
        radius,
        0.004,
        light.on(hex(0x7a6248)),
        0.55,
    );
    let (colour, white) = (light.on(colour), light.on(hex(0xfdf8ee)));
    let unit = canvas.pixel();
    canvas.wash_within(
        (x - radius, y - radius),
        (x + radius, y + radius),
        |px, py, below| {
            let (dx, dy) = (px - x, py - y);
            let distance = dx.hypot(dy);
            let panel = (dy.atan2(dx) / std::f32::consts::TAU * 8.0 + 8.0).floor() as i32 % 2;
            let cloth = if panel == 0 { colour } else { white };
            let shade = 1.0 - 0.22 * smooth(-radius, radius, dx + dy);
            below.mix(
                cloth.scale(shade),
                smooth(radius, radius - 2.0 * unit, distance),
            )
        },
    );
}

fn towel(canvas: &mut Canvas, light: Light, (x, y): (f32, f32), dice: &mut Dice) {
    let colours = [0xe9e3d3, 0x5b8fb9, 0xd97a6c, 0xe6c46a].map(hex);
    let colour = light.on(dice.pick(&colours).unwrap_or_default());
    let (dx, dy) = (dice.between(0.008, 0.011), dice.between(0.019, 0.023));
    canvas.rectangle((x - dx, y - dy), (x + dx, y + dy), colour);
    canvas.rectangle(
        (x - dx, y - dy * 0.6),
        (x + dx, y - dy * 0.4),
        colour.scale(0.8),
    );
}
