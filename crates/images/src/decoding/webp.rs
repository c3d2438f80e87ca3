//! WebP; the first frame of an animation.

use std::io::Cursor;

use image_webp::{DecodingError, WebPDecoder};

use crate::decoding::{
    decode::{DecodeLimits, RgbImage8},
    error::ImageError,
    formats::Format,
};

pub(super) fn dimensions(bytes: &[u8]) -> Option<(u32, u32)> {
    WebPDecoder::new(Cursor::new(bytes)).ok().map(|decoder| decoder.dimensions())
}

pub(super) fn decode(bytes: &[u8], limits: &DecodeLimits) -> Result<RgbImage8, ImageError> {
    let mut decoder = WebPDecoder::new(Cursor::new(bytes)).map_err(failed)?;
    let (width, height) = decoder.dimensions();
    limits.check(Format::WebP, width, height)?;
    let alpha = decoder.has_alpha();
    let size = decoder.output_buffer_size().ok_or(ImageError::TooLarge { width, height, limit: limits.max_pixels })?;
    let mut samples = vec![0; size];
    if decoder.is_animated() {
        decoder.read_frame(&mut samples).map_err(failed)?;
    } else {
        decoder.read_image(&mut samples).map_err(failed)?;
    }
    let data = if alpha { samples.chunks_exact(4).flat_map(|s| [s[0], s[1], s[2]]).collect() } else { samples };
    Ok(RgbImage8 { width, height, data })
}

fn failed(error: DecodingError) -> ImageError {
    match &error {
        DecodingError::IoError(source) if source.kind() == std::io::ErrorKind::UnexpectedEof => {
            ImageError::truncated(Format::WebP)
        }
        _ => ImageError::corrupt(Format::WebP, error),
    }
}
