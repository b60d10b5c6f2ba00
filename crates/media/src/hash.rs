//! A picture as 64 bits that stay nearly the same when it is made smaller, compressed again or brightened.
//!
//! The picture, the right way up and in sRGB, is shrunk to 32 × 32 shades of grey, and these are taken apart into waves
//! (a discrete cosine transform). Of the waves with one to eight half periods across and down, bit 8 × down + across,
//! counted from the lowest, says whether the wave is stronger than the median of the 64. Brightness is the wave with no
//! period, and not among them. Half of the bits are set whatever the picture, so that two unrelated pictures differ in
//! some 32 bits; the same picture in another size or quality mostly differs in fewer than 8.

use std::f64::consts::PI;

use image::RgbImage;

/// The side of the square that is looked at.
const SIDE: usize = 32;
/// Waves across and down.
const WAVES: usize = 8;
/// Shades of grey that a picture must span. Blank pages would all look alike and are no duplicates.
const CONTRAST_MIN: u8 = 16;

/// The hash of a picture; nothing for one that is blank.
pub(crate) fn perceptual(picture: &RgbImage) -> Option<u64> {
    let side = u32::try_from(SIDE).ok()?;
    let small = image::imageops::thumbnail(picture, side, side);
    let grey = image::imageops::grayscale(&small).into_raw();
    let (darkest, brightest) = (grey.iter().min()?, grey.iter().max()?);
    if brightest - darkest < CONTRAST_MIN {
        return None;
    }
    let grey: Vec<f64> = grey.into_iter().map(f64::from).collect();
    let waves = waves();
    // Across first, then down: 8 numbers for each of 32 rows, and then 8 × 8.
    let rows: Vec<[f64; WAVES]> = grey
        .chunks_exact(SIDE)
        .map(|row| waves.each_ref().map(|wave| dot(row, wave)))
        .collect();
    let mut strengths = Vec::with_capacity(WAVES * WAVES);
    for down in &waves {
        for across in 0..WAVES {
            let column: Vec<f64> = rows
                .iter()
                .filter_map(|row| row.get(across).copied())
                .collect();
            strengths.push(dot(&column, down));
        }
    }
    let mut sorted = strengths.clone();
    sorted.sort_by(f64::total_cmp);
    let median = *sorted.get(WAVES * WAVES / 2)?;
    let bits = strengths.iter().enumerate();
    Some(bits.fold(0, |hash, (bit, &strength)| {
        hash | (u64::from(strength >= median) << bit)
    }))
}

/// The waves of one to eight half periods.
fn waves() -> [Vec<f64>; WAVES] {
    std::array::from_fn(|index| {
        let periods = (index + 1) as f64 * PI / SIDE as f64;
        (0..SIDE)
            .map(|at| ((at as f64 + 0.5) * periods).cos())
            .collect()
    })
}

fn dot(left: &[f64], right: &[f64]) -> f64 {
    left.iter()
        .zip(right)
        .map(|(left, right)| left * right)
        .sum()
}
