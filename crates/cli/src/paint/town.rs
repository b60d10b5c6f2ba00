//! Houses: on a hill, along a harbour, against the evening sky.

use super::canvas::{Canvas, Colour, hex};
use super::light::Light;
use super::noise::{Dice, Noise, lerp, smooth};

const WALLS: [u32; 9] = [
    0xf3e6cf, 0xf0c987, 0xe8a07a, 0xd97b66, 0xf2ddb0, 0xc9d5cf, 0xe9b7a2, 0xf7f1e4, 0xd9a45c,
];
const ROOFS: [u32; 4] = [0xb4553a, 0xc4653f, 0xa34a34, 0xbd6a48];
const LAMPS: [u32; 3] = [0xffd98a, 0xffc56b, 0xffe9b8];

/// A town on a hillside above a river or the sea, with or without an iron bridge before it.
pub(super) fn harbour(canvas: &mut Canvas, light: Light, bridge: bool, seed: u64) {
    let mut dice = Dice::new(seed);
    let aspect = canvas.aspect();
    let quay = dice.between(0.60, 0.66);
    light.paint_sky(canvas, quay - 0.10, aspect * dice.between(0.2, 0.8), seed);
    mountain(canvas, light, quay, seed);
    let noise = Noise::new(seed + 1);
    let tiers = 5;
    for tier in 0..tiers {
        let near = tier as f32 / (tiers - 1) as f32;
        let rise = move |x: f32| lerp(0.24, 0.0, near) * (0.35 + 0.9 * noise.at(x * 1.3, 2.0));
        terrace(
            canvas,
            light,
            &mut dice,
            &Terrace {
                near,
                foot: quay - 0.004,
                rise: &rise,
            },
        );
    }
    canvas.wash_within((0.0, quay - 0.012), (aspect, quay + 0.006), |x, y, _| {
        light
            .on(hex(0x8a8278))
            .scale(0.8 + 0.3 * noise.rough(x * 60.0, y * 90.0, 2))
    });
    if bridge {
        arch(canvas, light, quay, seed);
    }
    if light.lamps() {
        quay_lamps(canvas, quay, &mut dice);
    }
    for _ in 0..9 {
        let x = dice.between(0.02, 0.98) * aspect;
        boat(canvas, light, &mut dice, (x, quay + 0.012), 0.030);
    }
    canvas.mirror(quay + 0.012, 0.86, light.on(hex(0x24566a)), seed);
    for (y, size) in [(0.78, 0.075), (0.88, 0.115)] {
        let x = dice.between(0.12, 0.88) * aspect;
        shadow(canvas, (x, y), size);
        boat(canvas, light, &mut dice, (x, y), size);
    }
}

fn mountain(canvas: &mut Canvas, light: Light, quay: f32, seed: u64) {
    for (layer, distance) in [(0_u64, 0.60), (1, 0.34)] {
        let noise = Noise::new(seed + 40 + layer);
        let base = quay - 0.10 + 0.05 * layer as f32;
        let line = move |x: f32| base - 0.30 * (noise.rough(x * 1.3 + 2.0, 0.6, 5) - 0.25);
        let colour = light.far(hex(0x4c6a48), distance);
        canvas.below(line, |x, y, _| {
            colour.scale(0.82 + 0.36 * noise.rough(x * 30.0, y * 40.0, 3))
        });
    }
}

/// A row of houses at one distance.
struct Terrace<'a> {
    near: f32,
    foot: f32,
    rise: &'a dyn Fn(f32) -> f32,
}

fn terrace(canvas: &mut Canvas, light: Light, dice: &mut Dice, row: &Terrace<'_>) {
    let aspect = canvas.aspect();
    let size = lerp(0.60, 1.0, row.near);
    let mut x = dice.between(-0.05, 0.0);
    while x < aspect {
        let width = dice.between(0.055, 0.105) * size;
        let height = dice.between(0.10, 0.19) * size;
        let foot = row.foot - (row.rise)(x + width / 2.0);
        let distance = 0.30 * (1.0 - row.near);
        if dice.chance(0.05) && row.near < 0.9 {
            belfry(canvas, light, (x + width / 2.0, foot), size, distance);
        }
        let house = House {
            left: x,
            width,
            top: foot - height,
            foot: row.foot + 0.01,
            distance,
            size,
        };
        house.paint(canvas, light, dice);
        if dice.chance(0.16) && row.near < 0.95 {
            bush(
                canvas,
                light,
                (x + width, foot - 0.02),
                0.030 * size,
                distance,
            );
        }
        x += width;
    }
}

struct House {
    left: f32,
    width: f32,
    top: f32,
    foot: f32,
    distance: f32,
    size: f32,
}

impl House {
    fn paint(&self, canvas: &mut Canvas, light: Light, dice: &mut Dice) {
        let wall = light.far(hex(dice.pick(&WALLS).unwrap_or(0xffffff)), self.distance);
        let roof = light.far(hex(dice.pick(&ROOFS).unwrap_or(0xa04030)), self.distance);
        let (left, right) = (self.left, self.left + self.width);
        let stain = Noise::new((dice.unit() * 1e6) as u64);
        let street = if light.lamps() { 0.55 } else { 0.0 };
        let corners = [
            (left, self.top),
            (right, self.top),
            (right, self.foot),
            (left, self.foot),
        ];
        canvas.shape_with(&corners, |x, y, _| {
            let age = stain.rough(x * 40.0, y * 26.0, 3) - 0.5;
            let edge = smooth(right - 0.006, right, x) * 0.18;
            let plain = wall.scale(1.0 + 0.14 * age - edge - 0.12 * smooth(self.top, self.foot, y));
            plain.lit(
                hex(0xd98040),
                street * smooth(self.foot - 0.15, self.foot, y),
            )
        });
        let (eaves, ridge) = (0.005 * self.size, dice.between(0.012, 0.030) * self.size);
        let inset = self.width * dice.between(0.06, 0.22);
        canvas.shape_with(
            &[
                (left - eaves, self.top),
                (left + inset, self.top - ridge),
                (right - inset, self.top - ridge),
                (right + eaves, self.top),
            ],
            |x, _, _| roof.scale(0.86 + 0.22 * (x * 900.0 / self.size).sin().abs()),
        );
        canvas.rectangle(
            (left, self.top),
            (right, self.top + 0.003),
            wall.scale(0.62),
        );
        if dice.chance(0.4) {
            let x = lerp(left, right, dice.between(0.2, 0.7));
            let (from, to) = (
                (x, self.top - ridge - 0.012 * self.size),
                (x + 0.008 * self.size, self.top - ridge * 0.4),
            );
            canvas.rectangle(from, to, wall.scale(0.7));
        }
        self.windows(canvas, light, dice, wall);
    }

    fn windows(&self, canvas: &mut Canvas, light: Light, dice: &mut Dice, wall: Colour) {
        let columns = (self.width / (0.026 * self.size)).floor().max(1.0);
        let (step, floor) = (self.width / columns, 0.036 * self.size);
        let shutters = [0x3f6b4a, 0x4a6f8c, 0x6b4a35, 0x7f8f86].map(hex);
        let shutter = light.far(dice.pick(&shutters).unwrap_or_default(), self.distance);
        let has_shutters = dice.chance(0.6);
        let mut y = self.top + 0.016 * self.size;
        while y + floor * 0.6 < self.foot {
            for column in 0..columns as usize {
                let x = self.left + (column as f32 + 0.5) * step;
                let (half, tall) = (step * 0.19, floor * 0.56);
                let lit = light.lamps() && dice.chance(0.42);
                let glass = if lit {
                    hex(dice.pick(&LAMPS).unwrap_or(0xffffff)).scale(dice.between(0.75, 1.0))
                } else {
                    light.far(hex(0x3c444e), self.distance)
                };
                canvas.rectangle(
                    (x - half - 0.001, y - 0.001),
                    (x + half + 0.001, y + tall + 0.001),
                    wall.scale(1.12),
                );
                canvas.rectangle((x - half, y), (x + half, y + tall), glass);
                if has_shutters {
                    canvas.rectangle((x - half * 1.8, y), (x - half, y + tall), shutter);
                    canvas.rectangle((x + half, y), (x + half * 1.8, y + tall), shutter);
                }
            }
            y += floor;
        }
    }
}

fn belfry(canvas: &mut Canvas, light: Light, (x, foot): (f32, f32), size: f32, distance: f32) {
    let stone = light.far(hex(0xeadcc0), distance);
    let (half, top) = (0.016 * size, foot - 0.30 * size);
    canvas.shape_with(
        &[
            (x - half, top),
            (x + half, top),
            (x + half, foot),
            (x - half, foot),
        ],
        |px, _, _| stone.scale(1.04 - 0.3 * smooth(x - half, x + half, px)),
    );
    let arch = [
        (x - half * 0.4, top + 0.014 * size),
        (x + half * 0.4, top + 0.044 * size),
    ];
    canvas.rectangle(arch[0], arch[1], light.far(hex(0x40424a), distance));
    canvas.rectangle(
        (x - half * 1.25, top - 0.004 * size),
        (x + half * 1.25, top + 0.004 * size),
        stone.scale(0.8),
    );
    let roof = light.far(hex(0x8a5a44), distance);
    canvas.shape(
        &[
            (x - half * 1.1, top - 0.004 * size),
            (x, top - 0.055 * size),
            (x + half * 1.1, top - 0.004 * size),
        ],
        roof,
    );
}

fn bush(canvas: &mut Canvas, light: Light, (x, y): (f32, f32), radius: f32, distance: f32) {
    let leaf = light.far(hex(0x46663a), distance);
    for (dx, dy, part) in [
        (0.0, 0.0, 1.0),
        (-0.7, 0.3, 0.7),
        (0.7, 0.25, 0.75),
        (0.2, -0.5, 0.6),
    ] {
        canvas.disc(
            (x + dx * radius, y + dy * radius),
            radius * part,
            0.004,
            leaf.scale(0.8 + 0.3 * part),
            0.95,
        );
    }
}

fn shadow(canvas: &mut Canvas, (x, y): (f32, f32), size: f32) {
    canvas.wash_within(
        (x - size * 1.3, y - 0.01),
        (x + size * 1.3, y + size * 0.5),
        |px, py, below| {
            let (dx, dy) = ((px - x) / size, (py - y) / (size * 0.42));
            below.scale(
                1.0 - 0.55
                    * smooth(1.1, 0.2, dx.abs())
                    * smooth(1.0, 0.0, dy)
                    * smooth(-0.05, 0.0, dy),
            )
        },
    );
}

fn boat(canvas: &mut Canvas, light: Light, dice: &mut Dice, (x, y): (f32, f32), size: f32) {
    let hulls = [0x2f5f8f, 0xb5443a, 0x3d7f6a, 0xe2b04a, 0xf2ede0].map(hex);
    let hull = light.on(dice.pick(&hulls).unwrap_or_default());
    let (trim, deck) = (light.on(hex(0xf6f0e2)), y - size * 0.30);
    let (stern, bow) = (x - size * 0.85, x + size);
    canvas.shape_with(
        &[
            (stern, deck),
            (bow, deck - size * 0.16),
            (x + size * 0.62, y),
            (stern + size * 0.14, y),
        ],
        |_, py, _| hull.scale(1.08 - 0.5 * smooth(deck, y, py)),
    );
    canvas.stroke((stern, deck), (bow, deck - size * 0.16), size * 0.05, trim);
    if dice.chance(0.6) {
        let cabin = [
            (x - size * 0.42, deck - size * 0.36),
            (x + size * 0.14, deck - size * 0.36),
            (x + size * 0.24, deck),
            (x - size * 0.42, deck),
        ];
        canvas.shape(&cabin, trim.scale(0.94));
        canvas.rectangle(
            (x - size * 0.30, deck - size * 0.28),
            (x + size * 0.04, deck - size * 0.14),
            light.on(hex(0x3a4c5c)),
        );
        canvas.stroke(
            (x - size * 0.1, deck - size * 0.36),
            (x - size * 0.1, deck - size),
            size * 0.03,
            trim.scale(0.7),
        );
    } else {
        canvas.stroke(
            (x, deck),
            (x, deck - size * 1.5),
            size * 0.035,
            trim.scale(0.7),
        );
        canvas.stroke(
            (x, deck - size * 0.2),
            (x - size * 0.7, deck - size * 0.24),
            size * 0.05,
            trim.scale(0.85),
        );
    }
}

/// A city across the water, its windows lit.
pub(super) fn skyline(canvas: &mut Canvas, light: Light, seed: u64) {
    let mut dice = Dice::new(seed);
    let aspect = canvas.aspect();
    let bank = dice.between(0.64, 0.70);
    light.paint_sky(canvas, bank, aspect * dice.between(0.3, 0.7), seed);
    if light == Light::Night {
        canvas.wash(0.2, bank, |_, y, below| {
            below.lit(hex(0xa8683c), 0.62 * smooth(0.15, bank, y))
        });
    }
    for (layer, distance) in [(0, 0.70), (1, 0.42), (2, 0.06)] {
        let tall = [0.34, 0.26, 0.17].get(layer).copied().unwrap_or(0.2);
        let mut x = dice.between(-0.05, 0.0);
        while x < aspect {
            let width = dice.between(0.035, 0.085);
            let hump = 0.55 + 0.6 * smooth(0.7, 0.0, (x / aspect - 0.55).abs());
            let top = bank - tall * dice.between(0.35, 1.0) * hump;
            block(
                canvas,
                light,
                &mut dice,
                &Block {
                    left: x,
                    right: x + width,
                    top,
                    foot: bank,
                    distance,
                },
            );
            x += width
                + if dice.chance(0.2) {
                    dice.between(0.0, 0.02)
                } else {
                    0.0
                };
        }
    }
    canvas.wash_within((0.0, bank - 0.016), (aspect, bank + 0.002), |_, _, _| {
        light.on(hex(0x3c3c44))
    });
    quay_lamps(canvas, bank, &mut dice);
    canvas.mirror(bank, 0.70, light.on(hex(0x142a40)), seed);
}

struct Block {
    left: f32,
    right: f32,
    top: f32,
    foot: f32,
    distance: f32,
}

fn block(canvas: &mut Canvas, light: Light, dice: &mut Dice, block: &Block) {
    let tones = [0x6d7688, 0x857a78, 0x5a6478, 0x948a84].map(hex);
    let wall = light.far(dice.pick(&tones).unwrap_or_default(), block.distance);
    canvas.shape_with(
        &[
            (block.left, block.top),
            (block.right, block.top),
            (block.right, block.foot),
            (block.left, block.foot),
        ],
        |x, y, _| {
            wall.scale(
                1.06 - 0.2 * smooth(block.left, block.right, x)
                    - 0.15 * smooth(block.top, block.foot, y),
            )
        },
    );
    if dice.chance(0.25) {
        let x = lerp(block.left, block.right, dice.between(0.3, 0.7));
        canvas.stroke(
            (x, block.top),
            (x, block.top - dice.between(0.02, 0.06)),
            0.002,
            wall.scale(0.8),
        );
    }
    let (step, floor) = (0.0105, 0.0165);
    let busy = dice.between(0.15, 0.62);
    let mut y = block.top + 0.010;
    while y < block.foot - 0.014 {
        let mut x = block.left + 0.006;
        while x < block.right - 0.008 {
            let lit = light.lamps() && dice.chance(busy);
            let glass = if lit {
                let lamp = hex(dice.pick(&LAMPS).unwrap_or(0xffffff)).scale(dice.between(0.6, 1.0));
                wall.mix(lamp, 1.0 - 0.62 * block.distance)
            } else {
                wall.scale(0.78)
            };
            canvas.rectangle((x, y), (x + step * 0.52, y + floor * 0.55), glass);
            x += step;
        }
        y += floor;
    }
}

fn quay_lamps(canvas: &mut Canvas, bank: f32, dice: &mut Dice) {
    let aspect = canvas.aspect();
    let mut x = 0.03;
    while x < aspect {
        canvas.glow((x, bank - 0.022), 0.011, hex(0xffc878), 0.95);
        canvas.glow((x, bank - 0.010), 0.045, hex(0xff9a4a), 0.30);
        x += 0.066 + dice.between(-0.005, 0.005);
    }
}

/// An iron arch with a deck on top, in lattice.
fn arch(canvas: &mut Canvas, light: Light, bank: f32, seed: u64) {
    let aspect = canvas.aspect();
    let mut dice = Dice::new(seed + 9);
    let iron = light.on(hex(0x5d6670)).scale(0.9);
    let (middle, span) = (aspect * dice.between(0.45, 0.55), aspect * 0.40);
    let deck = bank - 0.30;
    let outer = |x: f32| deck + 0.012 + (bank - deck) * ((x - middle) / span).powi(2);
    let inner = |x: f32| outer(x) + 0.028 + 0.02 * ((x - middle) / span).abs();
    canvas.rectangle((0.0, deck - 0.012), (aspect, deck), iron);
    canvas.rectangle((0.0, deck - 0.024), (aspect, deck - 0.021), iron);
    canvas.rectangle((0.0, bank - 0.075), (aspect, bank - 0.066), iron);
    let steps = 46;
    let place = |step: i32| middle + span * (step as f32 / steps as f32 * 2.0 - 1.0);
    for step in 0..steps {
        let (a, b) = (place(step), place(step + 1));
        canvas.stroke((a, outer(a)), (b, outer(b)), 0.007, iron);
        canvas.stroke((a, inner(a)), (b, inner(b)), 0.006, iron);
        let (top, bottom) = if step % 2 == 0 {
            (outer(a), inner(b))
        } else {
            (inner(a), outer(b))
        };
        canvas.stroke((a, top), (b, bottom), 0.0028, iron);
        if step % 4 == 0 {
            canvas.stroke((a, deck), (a, outer(a)), 0.0035, iron);
            let hung = bank - 0.075;
            if inner(a) < hung {
                canvas.stroke((a, inner(a)), (a, hung), 0.0025, iron);
            }
        }
    }
    if light.lamps() {
        for step in (0..=steps).step_by(3) {
            canvas.glow((place(step), deck - 0.026), 0.008, hex(0xffdc9a), 0.9);
        }
    }
}
