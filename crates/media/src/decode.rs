//! Bytes to pixels, with a bound on everything before a pixel is made.
//!
//! A JPEG that is to become much smaller is decoded at a fraction of its size: its blocks of 8 × 8 pixels are a sum of
//! waves, and leaving out the fine ones gives a smaller picture for less work. Everything else is decoded whole.

use std::io::BufReader;

use image::{
    DynamicImage, GrayImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits, RgbImage,
};
use jpeg_decoder::PixelFormat;

use crate::locate::{self, Frame};
use crate::source::{Source, Window};

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
/// From this fraction on, decoding a JPEG smaller is faster than decoding it whole and averaging.
const FRACTION: u16 = 4;

/// Why a picture was not rendered.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum PictureError {
    /// It would take more than a picture may.
    TooLarge(String),
    /// Its bytes make no picture.
    Broken {
        /// What the decoder said.
        why: String,
        /// Its dimensions as stored, if the header at least was whole.
        stored: Option<(u32, u32)>,
    },
}

impl PictureError {
    pub(crate) fn broken(why: impl ToString) -> Self {
        Self::Broken {
            why: why.to_string(),
            stored: None,
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

/// Pixels as they stand in the file: not turned, in the file's own colours.
#[derive(Debug)]
pub(crate) struct Decoded {
    /// Pixels across of the original.
    pub(crate) width: u32,
    /// Pixels down of the original.
    pub(crate) height: u32,
    /// All pixels, or fewer if fewer were wanted.
    pub(crate) pixels: DynamicImage,
    /// The ICC profile that says what their colours mean.
    pub(crate) profile: Option<Vec<u8>>,
}

/// Decodes the picture in `window` so that its longest side has at least `px` pixels, if it has so many.
pub(crate) fn decode(
    source: &mut Source,
    window: Window,
    format: ImageFormat,
    px: u32,
) -> Result<Decoded, PictureError> {
    if format != ImageFormat::Jpeg {
        return decode_whole(source, window, format, None);
    }
    let window = window
        .part(0, window.len().min(JPEG_BYTES_MAX))
        .unwrap_or(window);
    let frame = locate::jpeg_frame(source, window);
    match frame.filter(|frame| frame.is_plain()) {
        Some(frame) if frame.longest() / u32::from(FRACTION) >= px => {
            // The other decoder forgives more.
            decode_small(source, window, frame)
                .or_else(|_| decode_whole(source, window, format, Some(frame)))
        }
        _ => decode_whole(source, window, format, frame),
    }
}

fn decode_whole(
    source: &mut Source,
    window: Window,
    format: ImageFormat,
    frame: Option<Frame>,
) -> Result<Decoded, PictureError> {
    let reader = source.reader(window).map_err(PictureError::broken)?;
    let mut reader = ImageReader::with_format(BufReader::new(reader), format);
    let mut limits = Limits::default();
    limits.max_image_width = Some(SIDE_PX_MAX);
    limits.max_image_height = Some(SIDE_PX_MAX);
    limits.max_alloc = Some(DECODED_BYTES_MAX);
    reader.limits(limits);
    let mut decoder = reader.into_decoder()?;
    let (width, height) = decoder.dimensions();
    let progressive = frame.is_some_and(|frame| frame.is_progressive());
    check_size(width, height, decoder.total_bytes(), progressive)?;
    let profile = decoder.icc_profile().ok().flatten();
    let pixels = DynamicImage::from_decoder(decoder)
        .map_err(|error| with_size(error.into(), width, height))?;
    Ok(Decoded {
        width,
        height,
        pixels,
        profile,
    })
}

fn with_size(error: PictureError, width: u32, height: u32) -> PictureError {
    match error {
        PictureError::Broken { why, .. } => PictureError::Broken {
            why,
            stored: Some((width, height)),
        },
        too_large @ PictureError::TooLarge(_) => too_large,
    }
}

fn decode_small(
    source: &mut Source,
    window: Window,
    frame: Frame,
) -> Result<Decoded, PictureError> {
    let (width, height) = (u32::from(frame.width), u32::from(frame.height));
    check_size(
        width,
        height,
        u64::from(width) * u64::from(height) * 3,
        false,
    )?;
    let reader = source.reader(window).map_err(PictureError::broken)?;
    let mut decoder = jpeg_decoder::Decoder::new(BufReader::new(reader));
    decoder.set_max_decoding_buffer_size(DECODED_BYTES_MAX as usize);
    decoder.read_info().map_err(PictureError::broken)?;
    let wanted = |side: u16| side.div_ceil(FRACTION);
    let scaled = decoder.scale(wanted(frame.width), wanted(frame.height));
    let (small_width, small_height) = scaled.map_err(PictureError::broken)?;
    let bytes = decoder.decode().map_err(PictureError::broken)?;
    let format = decoder.info().map(|info| info.pixel_format);
    let (small_width, small_height) = (u32::from(small_width), u32::from(small_height));
    let pixels = match format {
        Some(PixelFormat::RGB24) => {
            RgbImage::from_raw(small_width, small_height, bytes).map(DynamicImage::from)
        }
        Some(PixelFormat::L8) => {
            GrayImage::from_raw(small_width, small_height, bytes).map(DynamicImage::from)
        }
        _ => None,
    };
    Ok(Decoded {
        width,
        height,
        pixels: pixels.ok_or_else(|| PictureError::broken("its pixels are of another kind"))?,
        profile: decoder.icc_profile(),
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
    let factor = if progressive { PROGRESSIVE_FACTOR } else { 1 };
    if bytes.saturating_mul(factor) > DECODED_BYTES_MAX {
        let megabytes = DECODED_BYTES_MAX >> 20;
        return Err(PictureError::TooLarge(format!(
            "{width} × {height} pixels of this kind take more than {megabytes} MiB to decode"
        )));
    }
    Ok(())
}
