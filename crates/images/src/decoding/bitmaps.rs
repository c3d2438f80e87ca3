//! BMP, PNM and QOI: simple formats that the crate `image` reads.

use std::io::Cursor;

use image::{
    ColorType, ImageDecoder,
    codecs::{bmp::BmpDecoder, pnm::PnmDecoder, qoi::QoiDecoder},
};

use crate::decoding::{
    decode::{DecodeLimits, RgbImage8},
    error::ImageError,
    formats::Format,
};

pub(super) fn dimensions(format: Format, bytes: &[u8]) -> Option<(u32, u32)> {
    let reader = Cursor::new(bytes);
    match format {
        Format::Bmp => BmpDecoder::new(reader).ok().map(|decoder| decoder.dimensions()),
        Format::Pnm => PnmDecoder::new(reader).ok().map(|decoder| decoder.dimensions()),
        Format::Qoi => QoiDecoder::new(reader).ok().map(|decoder| decoder.dimensions()),
        _ => None,
    }
}

pub(super) fn bmp(bytes: &[u8], limits: &DecodeLimits) -> Result<RgbImage8, ImageError> {
    let filled = without_last_padding(bytes).map(|missing| [bytes, &vec![0; missing]].concat());
    let decoder = BmpDecoder::new(Cursor::new(filled.as_deref().unwrap_or(bytes)));
    let mut image = read(Format::Bmp, decoder, limits)?;
    // The bits per pixel of all headers but the oldest, which has no such pixels.
    if bytes.get(28..30) == Some(&[16, 0]) && bytes[14] != 12 {
        let green = if bytes.get(58..62) == Some(&[0xe0, 7, 0, 0]) && bytes[30] == 3 { 63 } else { 31 };
        for pixel in image.data.chunks_exact_mut(3) {
            pixel.copy_from_slice(&[truncated(pixel[0], 31), truncated(pixel[1], green), truncated(pixel[2], 31)]);
        }
    }
    Ok(image)
}

/// Bytes that fill up a row to a multiple of four, if the file ends within those of the last row.
fn without_last_padding(bytes: &[u8]) -> Option<usize> {
    let number = |at: usize| Some(i32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?).unsigned_abs() as usize);
    let (offset, header, width, height) = (number(10)?, number(14)?, number(18)?, number(22)?);
    let bits = usize::from(*bytes.get(28)?);
    let row = width.checked_mul(bits)?.div_ceil(8);
    let padding = row.wrapping_neg() % 4;
    let end = row.checked_add(padding)?.checked_mul(height)?.checked_add(offset)?;
    let missing = end.checked_sub(bytes.len())?;
    (header >= 40 && (1..=padding).contains(&missing)).then_some(padding)
}

/// Pillow widens 5 and 6 bits to 8 by dividing without rounding, the crate with.
fn truncated(rounded: u8, most: u32) -> u8 {
    let sample = (u32::from(rounded) * most + 127) / 255;
    (sample * 255 / most) as u8
}

pub(super) fn pnm(bytes: &[u8], limits: &DecodeLimits) -> Result<RgbImage8, ImageError> {
    let decoder = PnmDecoder::new(Cursor::new(bytes));
    let most = decoder.as_ref().map_or(255, |decoder| decoder.header().maximal_sample());
    let mut image = read(Format::Pnm, decoder, limits)?;
    if most < 255 {
        let levels: Vec<u8> = (0..=255).map(|rounded| halves_to_even(rounded, most)).collect();
        image.data.iter_mut().for_each(|level| *level = levels[usize::from(*level)]);
    }
    Ok(image)
}

/// A sample of fewer than 256 levels as Python's `round` widens it. The crate rounds halves up.
fn halves_to_even(rounded: u32, most: u32) -> u8 {
    let sample = (rounded * most + 127) / 255;
    (f64::from(sample) / f64::from(most) * 255.0).round_ties_even() as u8
}

pub(super) fn qoi(bytes: &[u8], limits: &DecodeLimits) -> Result<RgbImage8, ImageError> {
    read(Format::Qoi, QoiDecoder::new(Cursor::new(bytes)), limits)
}

fn read(
    format: Format,
    decoder: image::ImageResult<impl ImageDecoder>,
    limits: &DecodeLimits,
) -> Result<RgbImage8, ImageError> {
    let failed = |error| failed(format, error);
    let decoder = decoder.map_err(failed)?;
    let (width, height) = decoder.dimensions();
    limits.check(format, width, height)?;
    let color = decoder.color_type();
    let size = usize::try_from(decoder.total_bytes()).map_err(|error| ImageError::corrupt(format, error))?;
    let mut samples = vec![0; size];
    decoder.read_image(&mut samples).map_err(failed)?;
    let wide = |sample: &[u8]| u32::from(u16::from_ne_bytes([sample[0], sample[1]]));
    // Pillow's own: `round(value / 65535 * 255)`. No value lies halfway.
    let scaled = |sample: &[u8]| ((wide(sample) * 255 + 32767) / 65535) as u8;
    let data = match color {
        ColorType::Rgb8 => samples,
        ColorType::Rgba8 => samples.chunks_exact(4).flat_map(|s| [s[0], s[1], s[2]]).collect(),
        ColorType::L8 => samples.into_iter().flat_map(|sample| [sample; 3]).collect(),
        ColorType::Rgb16 => samples.chunks_exact(2).map(scaled).collect(),
        // Pillow clips grey of 16 bits.
        ColorType::L16 => samples.chunks_exact(2).flat_map(|sample| [wide(sample).min(255) as u8; 3]).collect(),
        other => return Err(ImageError::unsupported(format, format!("{other:?} samples"))),
    };
    Ok(RgbImage8 { width, height, data })
}

fn failed(format: Format, error: image::ImageError) -> ImageError {
    match error {
        image::ImageError::IoError(source) if source.kind() == std::io::ErrorKind::UnexpectedEof => {
            ImageError::truncated(format)
        }
        image::ImageError::Unsupported(what) => ImageError::unsupported(format, what.to_string()),
        error => ImageError::corrupt(format, error),
    }
}
