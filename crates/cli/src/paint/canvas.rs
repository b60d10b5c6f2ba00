//! A surface of colours, and the few strokes that all scenes are made of.
//!
//! Lengths are in picture heights: `y` runs from 0 at the top to 1 at the bottom, `x` from 0 to `aspect` at the right.

use image::{RgbImage, codecs::jpeg::JpegEncoder};

use super::noise::{Dice, Noise, lerp, smooth};

/// A colour as a screen shows it; each part from 0 to 1, more where light gathers.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Colour {
    pub(super) r: f32,
    pub(super) g: f32,
    pub(super) b: f32,
}

/// A colour as designers write it, `0xffcc88`.
pub(super) const fn hex(rgb: u32) -> Colour {
    Colour {
        r: (rgb >> 16 & 255) as f32 / 255.0,
        g: (rgb >> 8 & 255) as f32 / 255.0,
        b: (rgb & 255) as f32 / 255.0,
    }
}

impl Colour {
    /// A fraction of the way to another colour.
    pub(super) fn mix(self, other: Self, part: f32) -> Self {
        Self {
            r: lerp(self.r, other.r, part),
            g: lerp(self.g, other.g, part),
            b: lerp(self.b, other.b, part),
        }
    }

    /// Brighter or darker.
    pub(super) fn scale(self, by: f32) -> Self {
        Self {
            r: self.r * by,
            g: self.g * by,
            b: self.b * by,
        }
    }

    /// Light on top of light: never more than white.
    pub(super) fn lit(self, light: Self, strength: f32) -> Self {
        let screen =
            |below: f32, above: f32| 1.0 - (1.0 - below) * (1.0 - (above * strength).min(1.0));
        Self {
            r: screen(self.r, light.r),
            g: screen(self.g, light.g),
            b: screen(self.b, light.b),
        }
    }
}

/// The colour at `part` of a list of stops in rising order.
pub(super) fn ramp(stops: &[(f32, Colour)], part: f32) -> Colour {
    let mut last = stops.first().map_or(Colour::default(), |stop| stop.1);
    let mut last_at = 0.0;
    for &(at, colour) in stops {
        if part < at {
            return last.mix(colour, smooth(last_at, at, part));
        }
        (last_at, last) = (at, colour);
    }
    last
}

/// The surface.
#[derive(Debug, Clone)]
pub(super) struct Canvas {
    width: usize,
    height: usize,
    pixels: Vec<Colour>,
}

impl Canvas {
    /// A black surface of that many pixels.
    pub(super) fn new(width: usize, height: usize) -> Self {
        Self {
            width,
            height,
            pixels: vec![Colour::default(); width * height],
        }
    }

    /// The right edge.
    pub(super) fn aspect(&self) -> f32 {
        self.width as f32 / self.height as f32
    }

    /// The size of a pixel.
    pub(super) fn pixel(&self) -> f32 {
        1.0 / self.height as f32
    }

    /// Pixels across and down.
    pub(super) fn size(&self) -> (usize, usize) {
        (self.width, self.height)
    }

    /// Sets one pixel; nothing outside.
    pub(super) fn put(&mut self, column: usize, row: usize, colour: Colour) {
        if let Some(pixel) = self.pixels.get_mut(row * self.width + column) {
            *pixel = colour;
        }
    }

    /// Changes every pixel between two heights: `paint` gets the place and what is there.
    pub(super) fn wash(
        &mut self,
        top: f32,
        bottom: f32,
        paint: impl Fn(f32, f32, Colour) -> Colour,
    ) {
        self.wash_within((0.0, top), (self.aspect(), bottom), paint);
    }

    /// Changes every pixel of a rectangle given by two corners.
    pub(super) fn wash_within(
        &mut self,
        from: (f32, f32),
        to: (f32, f32),
        paint: impl Fn(f32, f32, Colour) -> Colour,
    ) {
        let unit = self.pixel();
        let index = |at: f32, end: usize| ((at / unit + 0.5) as usize).min(end);
        let (left, right) = (index(from.0, self.width), index(to.0, self.width));
        let (top, bottom) = (index(from.1, self.height), index(to.1, self.height));
        let rows = self.pixels.chunks_exact_mut(self.width).enumerate();
        for (row, pixels) in rows.take(bottom).skip(top) {
            let y = (row as f32 + 0.5) * unit;
            for (column, pixel) in pixels.iter_mut().enumerate().take(right).skip(left) {
                *pixel = paint((column as f32 + 0.5) * unit, y, *pixel);
            }
        }
    }

    /// Fills everything below a line, given as a height for each `x`. `paint` also gets the depth below the line.
    pub(super) fn below(
        &mut self,
        line: impl Fn(f32) -> f32,
        paint: impl Fn(f32, f32, f32) -> Colour,
    ) {
        self.band(line, f32::MAX, paint);
    }

    /// Like `below`, but only to a depth, for what is covered by something nearer further down.
    pub(super) fn band(
        &mut self,
        line: impl Fn(f32) -> f32,
        thick: f32,
        paint: impl Fn(f32, f32, f32) -> Colour,
    ) {
        let unit = self.pixel();
        let line: Vec<f32> = (0..self.width)
            .map(|column| line((column as f32 + 0.5) * unit))
            .collect();
        let highest = line.iter().copied().fold(1.0, f32::min);
        let skipped = ((highest / unit) as usize).saturating_sub(1);
        for (row, pixels) in self
            .pixels
            .chunks_exact_mut(self.width)
            .enumerate()
            .skip(skipped)
        {
            let y = (row as f32 + 0.5) * unit;
            for (column, (pixel, line)) in pixels.iter_mut().zip(&line).enumerate() {
                let depth = y - line;
                let cover = (depth / unit + 0.5).clamp(0.0, 1.0);
                if cover > 0.0 && depth < thick {
                    let colour = paint((column as f32 + 0.5) * unit, y, depth.max(0.0));
                    *pixel = pixel.mix(colour, cover);
                }
            }
        }
    }

    /// A filled convex shape; its corners in either order.
    pub(super) fn shape(&mut self, corners: &[(f32, f32)], colour: Colour) {
        self.shape_with(corners, |_, _, _| colour);
    }

    /// A filled convex shape with a colour for each place.
    pub(super) fn shape_with(
        &mut self,
        corners: &[(f32, f32)],
        paint: impl Fn(f32, f32, Colour) -> Colour,
    ) {
        let unit = self.pixel();
        let edges: Vec<[f32; 3]> = corners
            .iter()
            .zip(corners.iter().cycle().skip(1))
            .map(|(&(ax, ay), &(bx, by))| {
                let length = (bx - ax).hypot(by - ay).max(1e-9);
                let (nx, ny) = ((by - ay) / length, (ax - bx) / length);
                [nx, ny, -(nx * ax + ny * ay)]
            })
            .collect();
        let area: f32 = corners
            .iter()
            .zip(corners.iter().cycle().skip(1))
            .map(|(a, b)| a.0 * b.1 - b.0 * a.1)
            .sum();
        let side = area.signum();
        let (from, to) = bounds(corners, unit);
        self.wash_within(from, to, |x, y, below| {
            let outside = |[nx, ny, d]: &[f32; 3]| side * (nx * x + ny * y + d);
            let distance = edges.iter().map(outside).fold(f32::MIN, f32::max);
            let cover = (0.5 - distance / unit).clamp(0.0, 1.0);
            if cover > 0.0 {
                below.mix(paint(x, y, below), cover)
            } else {
                below
            }
        });
    }

    /// An upright rectangle.
    pub(super) fn rectangle(&mut self, from: (f32, f32), to: (f32, f32), colour: Colour) {
        self.shape(&[from, (to.0, from.1), to, (from.0, to.1)], colour);
    }

    /// A straight stroke of a width, with square ends.
    pub(super) fn stroke(&mut self, from: (f32, f32), to: (f32, f32), width: f32, colour: Colour) {
        let (dx, dy) = (to.0 - from.0, to.1 - from.1);
        let half = width / 2.0 / dx.hypot(dy).max(1e-9);
        let (nx, ny) = (-dy * half, dx * half);
        let corners = [
            (from.0 + nx, from.1 + ny),
            (to.0 + nx, to.1 + ny),
            (to.0 - nx, to.1 - ny),
            (from.0 - nx, from.1 - ny),
        ];
        self.shape(&corners, colour);
    }

    /// A filled circle; `softness` widens its edge.
    pub(super) fn disc(
        &mut self,
        centre: (f32, f32),
        radius: f32,
        softness: f32,
        colour: Colour,
        opacity: f32,
    ) {
        let edge = softness.max(self.pixel());
        let reach = radius + edge;
        let (from, to) = (
            (centre.0 - reach, centre.1 - reach),
            (centre.0 + reach, centre.1 + reach),
        );
        self.wash_within(from, to, |x, y, below| {
            let distance = (x - centre.0).hypot(y - centre.1);
            below.mix(
                colour,
                opacity * smooth(radius + edge, radius - edge, distance),
            )
        });
    }

    /// Light that falls off around a point.
    pub(super) fn glow(&mut self, centre: (f32, f32), reach: f32, light: Colour, strength: f32) {
        let far = reach * 4.0;
        let (from, to) = (
            (centre.0 - far, centre.1 - far),
            (centre.0 + far, centre.1 + far),
        );
        self.wash_within(from, to, |x, y, below| {
            let distance = (x - centre.0).hypot(y - centre.1) / reach;
            let fade = smooth(4.0, 2.0, distance);
            below.lit(light, strength * fade / (1.0 + 3.0 * distance * distance))
        });
    }

    /// Turns everything below `shore` into water that mirrors what is above it. `calm` 1 is a mirror, 0 a choppy sea;
    /// `ripple` is the size of its waves in the foreground.
    pub(super) fn mirror(&mut self, shore: f32, calm: f32, water: Colour, seed: u64) {
        let noise = Noise::new(seed);
        let above = self.clone();
        let reach = lerp(0.09, 0.008, calm);
        self.wash(shore, 1.0, |x, y, _| {
            let depth = (y - shore).max(1e-4);
            // Waves look longer and flatter with distance.
            let near = depth / (1.0 - shore);
            let grain = 1.0 / (0.012 + near * 0.11);
            let swell = noise.rough(x * grain * 0.35, depth * grain * 2.6, 3) - 0.5;
            let fine = noise.at(x * grain * 1.6 + 40.0, depth * grain * 9.0) - 0.5;
            let wave = swell + 0.5 * fine;
            let mirrored = shore - depth * lerp(1.0, 0.85, near) + wave * reach * (0.25 + near);
            let sample = above.at(x + wave * reach * 0.35, mirrored.min(shore - above.pixel()));
            let grazing = lerp(0.16, 0.42, near) + (wave * 0.35 * (1.0 - calm * 0.7));
            sample.mix(water, grazing.clamp(0.05, 0.8))
        });
    }

    /// The colour at a place; at the nearest edge if it is outside.
    pub(super) fn at(&self, x: f32, y: f32) -> Colour {
        let unit = self.pixel();
        let column = ((x / unit).max(0.0) as usize).min(self.width - 1);
        let row = ((y / unit).max(0.0) as usize).min(self.height - 1);
        self.pixels
            .get(row * self.width + column)
            .copied()
            .unwrap_or_default()
    }

    /// Puts the surface into eight bits, a little darker towards the corners, as lenses do. A little grain before
    /// rounding hides the steps that smooth skies would show.
    pub(super) fn develop(&self, seed: u64) -> RgbImage {
        let mut grain = Dice::new(seed);
        let wide = self.aspect().max(1.0);
        let off_centre =
            |index: usize, count: usize| ((index as f32 + 0.5) / count as f32 - 0.5).powi(2);
        let columns: Vec<f32> = (0..self.width)
            .map(|column| 0.22 * off_centre(column, self.width))
            .collect();
        let mut bytes = Vec::with_capacity(self.pixels.len() * 3);
        for (row, pixels) in self.pixels.chunks_exact(self.width).enumerate() {
            let middle = 255.0 - 255.0 * 0.22 * off_centre(row, self.height) / wide;
            for (colour, dark) in pixels.iter().zip(&columns) {
                let (light, noise) = (middle - 255.0 * dark, grain.wobble() * 1.6 + 0.5);
                // The conversion stops at 0 and 255.
                let round = |part: f32| (part * light + noise) as u8;
                bytes.extend([round(colour.r), round(colour.g), round(colour.b)]);
            }
        }
        RgbImage::from_raw(self.width as u32, self.height as u32, bytes)
            .expect("three bytes for every pixel")
    }
}

fn bounds(corners: &[(f32, f32)], margin: f32) -> ((f32, f32), (f32, f32)) {
    let mut from = (f32::MAX, f32::MAX);
    let mut to = (f32::MIN, f32::MIN);
    for &(x, y) in corners {
        from = (from.0.min(x - margin), from.1.min(y - margin));
        to = (to.0.max(x + margin), to.1.max(y + margin));
    }
    (from, to)
}

/// Encodes a picture as a JPEG.
pub(super) fn encode(picture: &RgbImage) -> Vec<u8> {
    let mut jpeg = Vec::new();
    JpegEncoder::new_with_quality(&mut jpeg, 88)
        .encode_image(picture)
        .expect("an RGB picture of moderate size always encodes into memory");
    jpeg
}
