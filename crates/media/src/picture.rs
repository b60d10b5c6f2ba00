//! Pixels: one decode, from which everything small is made.

use std::panic::{self, AssertUnwindSafe};

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use image::metadata::Orientation;
use image::{DynamicImage, GrayAlphaImage, GrayImage, ImageFormat, RgbImage, RgbaImage};
use jpeg_encoder::{ColorType, Encoder, SamplingFactor};

use crate::colour;
use crate::decode::{self, Decoded, PictureError};
use crate::source::{Source, Window};

/// Good to look at, a few kilobytes at 256 pixels.
const JPEG_QUALITY: u8 = 80;
/// Up to this size colours are kept at full detail, which is seen on icons and costs little.
const FULL_COLOUR_PX: u32 = 256;
/// The largest side that ThumbHash takes.
const THUMBHASH_PX: u32 = 100;

/// A picture made small, turned the right way up, in sRGB.
#[derive(Debug)]
pub(crate) struct Rendered {
    /// Pixels across of the original, as shown.
    pub(crate) width: u32,
    /// Pixels down of the original, as shown.
    pub(crate) height: u32,
    /// One for each wanted size, the largest first.
    small: Vec<(u32, DynamicImage)>,
}

/// Decodes the picture in `window` once and makes it at most as long as each of `sizes`, never larger than it is.
///
/// The decoders have been fuzzed by their authors and return errors for broken files. Catching a panic all the same
/// is the last line: one overlooked index in five formats must not take an upload down.
pub(crate) fn render(
    source: &mut Source,
    window: Window,
    format: ImageFormat,
    orientation: Option<u8>,
    sizes: &[u32],
) -> Result<Rendered, PictureError> {
    let orientation = orientation
        .and_then(Orientation::from_exif)
        .unwrap_or(Orientation::NoTransforms);
    let mut sizes = sizes.to_vec();
    sizes.sort_unstable_by(|left, right| right.cmp(left));
    sizes.dedup();
    panic::catch_unwind(AssertUnwindSafe(|| {
        let largest = sizes.first().copied().unwrap_or(1);
        let decoded = decode::decode(source, window, format, largest);
        make_small(
            decoded.map_err(|error| turned(error, orientation))?,
            orientation,
            &sizes,
        )
    }))
    .unwrap_or_else(|_| Err(PictureError::broken("the decoder gave up on it")))
}

/// Sizes in an error as they would have been shown.
fn turned(error: PictureError, orientation: Orientation) -> PictureError {
    match error {
        PictureError::Broken {
            why,
            stored: Some((width, height)),
        } if swaps_sides(orientation) => PictureError::Broken {
            why,
            stored: Some((height, width)),
        },
        error => error,
    }
}

fn make_small(
    decoded: Decoded,
    orientation: Orientation,
    sizes: &[u32],
) -> Result<Rendered, PictureError> {
    let (mut width, mut height) = (decoded.width, decoded.height);
    if swaps_sides(orientation) {
        (width, height) = (height, width);
    }
    let mut small: Vec<(u32, DynamicImage)> = Vec::new();
    let mut whole = Some(decoded.pixels);
    for &px in sizes {
        let next = match (small.last(), whole.take()) {
            (Some((_, larger)), _) => {
                let (width, height) = fit(width, height, px);
                resize(larger, width, height)?
            }
            (None, Some(pixels)) => {
                let (width, height) = fit(decoded.width, decoded.height, px);
                let pixels = resize(&pixels, width, height)?;
                let mut pixels = colour::to_srgb(pixels, decoded.profile.as_deref());
                pixels.apply_orientation(orientation);
                pixels
            }
            (None, None) => break,
        };
        small.push((px, next));
    }
    Ok(Rendered {
        width,
        height,
        small,
    })
}

/// The dimensions that fit into `max_px`, keeping the shape as far as whole pixels allow.
fn fit(width: u32, height: u32, max_px: u32) -> (u32, u32) {
    let longest = width.max(height);
    if longest <= max_px {
        return (width, height);
    }
    let scaled = |side: u32| {
        let rounded =
            (u64::from(side) * u64::from(max_px) + u64::from(longest) / 2) / u64::from(longest);
        u32::try_from(rounded).unwrap_or(max_px).max(1)
    };
    (scaled(width), scaled(height))
}

fn swaps_sides(orientation: Orientation) -> bool {
    use Orientation::{Rotate90, Rotate90FlipH, Rotate270, Rotate270FlipH};
    matches!(
        orientation,
        Rotate90 | Rotate270 | Rotate90FlipH | Rotate270FlipH
    )
}

/// Makes pixels fewer, as red, green and blue, with alpha where there was one. Eight bits a channel is what nearly
/// every file has, and has a fast way. The others are averaged in their own depth, which needs no second copy of a large
/// picture.
fn resize(picture: &DynamicImage, width: u32, height: u32) -> Result<DynamicImage, PictureError> {
    let pixels = match picture {
        DynamicImage::ImageLuma8(_) => PixelType::U8,
        DynamicImage::ImageLumaA8(_) => PixelType::U8x2,
        DynamicImage::ImageRgb8(_) => PixelType::U8x3,
        DynamicImage::ImageRgba8(_) => PixelType::U8x4,
        deep => return Ok(in_colour(deep.thumbnail_exact(width, height))),
    };
    if (picture.width(), picture.height()) == (width, height) {
        return Ok(in_colour(picture.clone()));
    }
    let source = ImageRef::new(
        picture.width(),
        picture.height(),
        picture.as_bytes(),
        pixels,
    )
    .map_err(PictureError::broken)?;
    let mut small = Image::new(width, height, pixels);
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::CatmullRom));
    Resizer::new()
        .resize(&source, &mut small, &options)
        .map_err(PictureError::broken)?;
    let bytes = small.into_vec();
    let small = match pixels {
        PixelType::U8 => GrayImage::from_raw(width, height, bytes).map(DynamicImage::from),
        PixelType::U8x2 => GrayAlphaImage::from_raw(width, height, bytes).map(DynamicImage::from),
        PixelType::U8x3 => RgbImage::from_raw(width, height, bytes).map(DynamicImage::from),
        _ => RgbaImage::from_raw(width, height, bytes).map(DynamicImage::from),
    };
    small
        .map(in_colour)
        .ok_or_else(|| PictureError::broken("the resized picture has another size"))
}

fn in_colour(picture: DynamicImage) -> DynamicImage {
    match picture {
        picture @ (DynamicImage::ImageRgb8(_) | DynamicImage::ImageRgba8(_)) => picture,
        picture if picture.color().has_alpha() => picture.into_rgba8().into(),
        picture => picture.into_rgb8().into(),
    }
}

impl Rendered {
    /// The small pictures as JPEGs, each with the size that was asked for, the largest first.
    pub(crate) fn to_jpegs(&self) -> Result<Vec<(u32, Vec<u8>)>, PictureError> {
        let jpegs = self
            .small
            .iter()
            .map(|(px, small)| Ok((*px, to_jpeg(small)?)));
        jpegs.collect()
    }

    /// The smallest of them, transparent pixels on white.
    pub(crate) fn smallest(&self) -> Option<RgbImage> {
        self.small.last().map(|(_, small)| on_white(small))
    }

    /// A blurred miniature of some 25 bytes.
    pub(crate) fn thumbhash(&self) -> Vec<u8> {
        let Some((_, small)) = self.small.last() else {
            return Vec::new();
        };
        let (width, height) = fit(small.width(), small.height(), THUMBHASH_PX);
        let tiny = image::imageops::thumbnail(&small.to_rgba8(), width, height);
        thumbhash::rgba_to_thumb_hash(width as usize, height as usize, tiny.as_raw())
    }
}

fn to_jpeg(picture: &DynamicImage) -> Result<Vec<u8>, PictureError> {
    let flat = on_white(picture);
    let side = |side: u32| u16::try_from(side).map_err(PictureError::broken);
    let (width, height) = (side(flat.width())?, side(flat.height())?);
    let mut jpeg = Vec::new();
    let mut encoder = Encoder::new(&mut jpeg, JPEG_QUALITY);
    encoder.set_sampling_factor(if flat.width().max(flat.height()) <= FULL_COLOUR_PX {
        SamplingFactor::F_1_1
    } else {
        SamplingFactor::F_2_2
    });
    encoder
        .encode(flat.as_raw(), width, height, ColorType::Rgb)
        .map_err(PictureError::broken)?;
    Ok(jpeg)
}

fn on_white(picture: &DynamicImage) -> RgbImage {
    let DynamicImage::ImageRgba8(picture) = picture else {
        return picture.to_rgb8();
    };
    let mut flat = RgbImage::new(picture.width(), picture.height());
    for (flat, pixel) in flat.pixels_mut().zip(picture.pixels()) {
        let [red, green, blue, alpha] = pixel.0;
        flat.0 = [red, green, blue].map(|channel| over_white(channel, alpha));
    }
    flat
}

fn over_white(channel: u8, alpha: u8) -> u8 {
    let (channel, alpha) = (u16::from(channel), u16::from(alpha));
    let mixed = (channel * alpha + 255 * (255 - alpha) + 127) / 255;
    u8::try_from(mixed).unwrap_or(u8::MAX)
}
