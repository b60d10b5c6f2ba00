//! What a picture's numbers mean as colours, translated into sRGB, which is what every screen and browser takes for
//! granted.
//!
//! Phones write Display P3: the same numbers mean stronger colours there, so that a thumbnail without translation looks
//! pale. Translating the small picture costs a few milliseconds; carrying the profile along would cost half a kilobyte
//! in every thumbnail.

use image::DynamicImage;
use moxcms::{ColorProfile, DataColorSpace, Layout, ParsingOptions, TransformOptions};

/// Larger profiles are printers' and describe no picture's own colours.
const PROFILE_BYTES_MAX: usize = 256 << 10;
/// Entries of a curve, and bytes of a table, in a profile.
const TABLE_MAX: usize = 128 << 10;

/// The pixels in sRGB, or as they are if the profile makes no sense for them.
pub(crate) fn to_srgb(pixels: DynamicImage, profile: Option<&[u8]>) -> DynamicImage {
    let Some(profile) = profile.filter(|profile| profile.len() <= PROFILE_BYTES_MAX) else {
        return pixels;
    };
    translate(&pixels, profile).unwrap_or(pixels)
}

fn translate(pixels: &DynamicImage, profile: &[u8]) -> Option<DynamicImage> {
    let options = ParsingOptions {
        max_profile_size: PROFILE_BYTES_MAX,
        max_allowed_clut_size: TABLE_MAX,
        max_allowed_trc_size: TABLE_MAX,
    };
    let profile = ColorProfile::new_from_slice_with_options(profile, options).ok()?;
    if profile.color_space != DataColorSpace::Rgb {
        return None;
    }
    let srgb = ColorProfile::new_srgb();
    let translated = |layout, bytes: &[u8]| {
        let options = TransformOptions::default();
        let transform = profile
            .create_transform_8bit(layout, &srgb, layout, options)
            .ok()?;
        let mut translated = vec![0; bytes.len()];
        transform.transform(bytes, &mut translated).ok()?;
        Some(translated)
    };
    match pixels {
        DynamicImage::ImageRgb8(from) => {
            let mut to = from.clone();
            to.copy_from_slice(&translated(Layout::Rgb, from)?);
            Some(to.into())
        }
        DynamicImage::ImageRgba8(from) => {
            let mut to = from.clone();
            to.copy_from_slice(&translated(Layout::Rgba, from)?);
            Some(to.into())
        }
        _ => None,
    }
}
