//! Pixels: one decode, from which everything small is made.

use std::io::{BufReader, Cursor};
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{PixelType, Resizer};
use image::codecs::jpeg::JpegEncoder;
use image::metadata::Orientation;
use image::{
    DynamicImage, GrayAlphaImage, GrayImage, ImageDecoder, ImageEncoder, ImageError, ImageFormat,
    ImageReader, Limits, RgbImage, RgbaImage,
};

use crate::locate;
use crate::source::{Front, Source};

/// The longest side a picture may have. JPEG cannot say more.
const SIDE_PX_MAX: u32 = 65_535;
/// The largest picture that is decoded.
const PIXELS_MAX: u64 = 200_000_000;
/// What a decoded picture may take.
const DECODED_BYTES_MAX: u64 = 512 << 20;
/// A JPEG decoder reads its file into memory; what lies beyond this is not the picture (films are appended to
/// pictures by phones).
const JPEG_BYTES_MAX: u64 = 256 << 20;
/// A progressive JPEG is kept whole as coefficients of two bytes until its last scan, beside its pixels.
const PROGRESSIVE_FACTOR: u64 = 3;
/// Good to look at, a few kilobytes at 256 pixels.
const JPEG_QUALITY: u8 = 80;
/// Phones' wide-gamut profiles are half a kilobyte and change what colours mean. Larger ones are for printers.
const PROFILE_BYTES_MAX: usize = 1024;
/// The largest side that ThumbHash takes.
const THUMBHASH_PX: u32 = 100;

/// Why a picture was not rendered.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum PictureError {
    /// It would take more than a picture may.
    TooLarge(String),
    /// Its bytes make no picture.
    Broken {
        /// What the decoder said.
        why: String,
        /// Its dimensions as shown, if the header at least was whole.
        shown: Option<(u32, u32)>,
    },
}

impl PictureError {
    fn broken(why: impl ToString) -> Self {
        Self::Broken {
            why: why.to_string(),
            shown: None,
        }
    }
}

impl From<ImageError> for PictureError {
    fn from(error: ImageError) -> Self {
        match error {
            ImageError::Limits(limit) => Self::TooLarge(limit.to_string()),
            error => Self::broken(error),
        }
    }
}

/// A picture made small and turned the right way up.
#[derive(Debug)]
pub(crate) struct Rendered {
    /// Pixels across of the original, as shown.
    pub(crate) width: u32,
    /// Pixels down of the original, as shown.
    pub(crate) height: u32,
    small: RgbaImage,
    profile: Option<Vec<u8>>,
}

/// Decodes the picture at `path` and makes it at most `max_px` long, never larger than it is.
///
/// The decoders have been fuzzed by their authors and return errors for broken files. Catching a panic all the same
/// is the last line: one overlooked index in five formats must not take an upload down.
pub(crate) fn render(
    path: &Path,
    format: ImageFormat,
    orientation: Option<u8>,
    max_px: u32,
) -> Result<Rendered, PictureError> {
    let orientation = orientation
        .and_then(Orientation::from_exif)
        .unwrap_or(Orientation::NoTransforms);
    panic::catch_unwind(AssertUnwindSafe(|| {
        decode(path, format, orientation, max_px)
    }))
    .unwrap_or_else(|_| Err(PictureError::broken("the decoder gave up on it")))
}

fn decode(
    path: &Path,
    format: ImageFormat,
    orientation: Orientation,
    max_px: u32,
) -> Result<Rendered, PictureError> {
    let bytes_max = if format == ImageFormat::Jpeg {
        JPEG_BYTES_MAX
    } else {
        u64::MAX
    };
    let front = Front::open(path, bytes_max).map_err(PictureError::broken)?;
    let mut reader = ImageReader::with_format(BufReader::new(front), format);
    let mut limits = Limits::default();
    limits.max_image_width = Some(SIDE_PX_MAX);
    limits.max_image_height = Some(SIDE_PX_MAX);
    limits.max_alloc = Some(DECODED_BYTES_MAX);
    reader.limits(limits);
    let mut decoder = reader.into_decoder()?;
    let (width, height) = decoder.dimensions();
    let progressive = format == ImageFormat::Jpeg
        && Source::open(path).is_ok_and(|mut source| locate::is_progressive_jpeg(&mut source));
    check_size(width, height, decoder.total_bytes(), progressive)?;
    let profile = decoder
        .icc_profile()
        .ok()
        .flatten()
        .filter(|profile| is_wide_gamut(profile));
    let shown = if swaps_sides(orientation) {
        (height, width)
    } else {
        (width, height)
    };
    let picture =
        DynamicImage::from_decoder(decoder).map_err(|error| match PictureError::from(error) {
            PictureError::Broken { why, .. } => PictureError::Broken {
                why,
                shown: Some(shown),
            },
            too_large => too_large,
        })?;
    let (small_width, small_height) = fit(width, height, max_px);
    let mut small = DynamicImage::ImageRgba8(resize(picture, small_width, small_height)?);
    small.apply_orientation(orientation);
    Ok(Rendered {
        width: shown.0,
        height: shown.1,
        small: small.into_rgba8(),
        profile,
    })
}

fn check_size(width: u32, height: u32, bytes: u64, progressive: bool) -> Result<(), PictureError> {
    let pixels = u64::from(width) * u64::from(height);
    if pixels == 0 {
        return Err(PictureError::broken("it has no pixels"));
    }
    if width > SIDE_PX_MAX || height > SIDE_PX_MAX || pixels > PIXELS_MAX {
        let megapixels = PIXELS_MAX / 1_000_000;
        return Err(PictureError::TooLarge(format!(
            "it claims {width} × {height} pixels, and {megapixels} megapixels are the most"
        )));
    }
    let bytes = if progressive {
        bytes.saturating_mul(PROGRESSIVE_FACTOR)
    } else {
        bytes
    };
    if bytes > DECODED_BYTES_MAX {
        let megabytes = DECODED_BYTES_MAX >> 20;
        return Err(PictureError::TooLarge(format!(
            "{width} × {height} pixels of this kind take more than {megabytes} MiB to decode"
        )));
    }
    Ok(())
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

/// Eight bits a channel is what nearly every file has, and has a fast way. The others are averaged in their own
/// depth, which needs no second copy of a large picture.
fn resize(picture: DynamicImage, width: u32, height: u32) -> Result<RgbaImage, PictureError> {
    let pixels = match &picture {
        DynamicImage::ImageLuma8(_) => PixelType::U8,
        DynamicImage::ImageLumaA8(_) => PixelType::U8x2,
        DynamicImage::ImageRgb8(_) => PixelType::U8x3,
        DynamicImage::ImageRgba8(_) => PixelType::U8x4,
        deep => return Ok(deep.thumbnail_exact(width, height).into_rgba8()),
    };
    if (picture.width(), picture.height()) == (width, height) {
        return Ok(picture.into_rgba8());
    }
    let source = ImageRef::new(
        picture.width(),
        picture.height(),
        picture.as_bytes(),
        pixels,
    )
    .map_err(PictureError::broken)?;
    let mut small = Image::new(width, height, pixels);
    Resizer::new()
        .resize(&source, &mut small, None)
        .map_err(PictureError::broken)?;
    let bytes = small.into_vec();
    let small = match pixels {
        PixelType::U8 => GrayImage::from_raw(width, height, bytes).map(DynamicImage::from),
        PixelType::U8x2 => GrayAlphaImage::from_raw(width, height, bytes).map(DynamicImage::from),
        PixelType::U8x3 => RgbImage::from_raw(width, height, bytes).map(DynamicImage::from),
        _ => RgbaImage::from_raw(width, height, bytes).map(DynamicImage::from),
    };
    small
        .map(DynamicImage::into_rgba8)
        .ok_or_else(|| PictureError::broken("the resized picture has another size"))
}

/// A small RGB profile: its class of colours stands at byte 16.
fn is_wide_gamut(profile: &[u8]) -> bool {
    profile.len() <= PROFILE_BYTES_MAX && profile.get(16..20) == Some(b"RGB ")
}

impl Rendered {
    /// The small picture as a JPEG, transparent pixels on white.
    pub(crate) fn to_jpeg(&self) -> Result<Vec<u8>, PictureError> {
        let mut flat = RgbImage::new(self.small.width(), self.small.height());
        for (flat, pixel) in flat.pixels_mut().zip(self.small.pixels()) {
            let [red, green, blue, alpha] = pixel.0;
            flat.0 = [red, green, blue].map(|channel| over_white(channel, alpha));
        }
        let mut jpeg = Cursor::new(Vec::new());
        let mut encoder = JpegEncoder::new_with_quality(&mut jpeg, JPEG_QUALITY);
        if let Some(profile) = &self.profile {
            encoder
                .set_icc_profile(profile.clone())
                .map_err(PictureError::broken)?;
        }
        encoder.encode_image(&flat)?;
        Ok(jpeg.into_inner())
    }

    /// A blurred miniature of some 25 bytes.
    pub(crate) fn thumbhash(&self) -> Vec<u8> {
        let (width, height) = fit(self.small.width(), self.small.height(), THUMBHASH_PX);
        let tiny = image::imageops::thumbnail(&self.small, width, height);
        thumbhash::rgba_to_thumb_hash(width as usize, height as usize, tiny.as_raw())
    }
}

fn over_white(channel: u8, alpha: u8) -> u8 {
    let (channel, alpha) = (u16::from(channel), u16::from(alpha));
    let mixed = (channel * alpha + 255 * (255 - alpha) + 127) / 255;
    u8::try_from(mixed).unwrap_or(u8::MAX)
}
