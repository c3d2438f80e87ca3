//! PNG, as forgiving as Pillow: only what the pixels depend on has to be whole.

use std::io::Cursor;

use png::{BitDepth, ColorType, DecodeOptions, Decoder, DecodingError, InterlaceInfo, Reader, Transformations};

use crate::decoding::{
    decode::{DecodeLimits, RgbImage8},
    error::ImageError,
    formats::Format,
};

/// What a PNG may take for anything but its pixels.
const BESIDE_PIXELS: usize = 64 << 20;

const SIGNATURE: usize = 8;

pub(super) fn dimensions(bytes: &[u8]) -> Option<(u32, u32)> {
    let mut decoder = Decoder::new(Cursor::new(bytes));
    decoder.read_header_info().ok().map(png::Info::size)
}

pub(super) fn decode(bytes: &[u8], limits: &DecodeLimits) -> Result<RgbImage8, ImageError> {
    check_header(bytes)?;
    let mut options = DecodeOptions::default();
    options.set_ignore_iccp_chunk(true);
    options.set_ignore_text_chunk(true);
    // Those that matter have been checked, and zlib has its own for the pixels.
    options.set_ignore_crc(true);
    options.set_ignore_adler32(false);
    let mut decoder = Decoder::new_with_options(Cursor::new(bytes), options);
    let (width, height) = decoder.read_header_info().map_err(failed)?.size();
    limits.check(Format::Png, width, height)?;
    // The width is within the limits; profiles and texts are not, and inflate to a thousand times what they take in the file.
    decoder.set_limits(png::Limits { bytes: BESIDE_PIXELS + bytes.len() + 8 * width as usize });
    decoder.set_transformations(Transformations::EXPAND);
    let mut reader = decoder.read_info().map_err(failed)?;
    let samples = samples(&mut reader)?;
    let data = to_rgb(samples, reader.output_color_type())?;
    Ok(RgbImage8 { width, height, data })
}

/// Checks the chunks before the pixels that decide about them, as Pillow does.
fn check_header(bytes: &[u8]) -> Result<(), ImageError> {
    let mut rest = bytes.get(SIGNATURE..).unwrap_or_default();
    while let [l0, l1, l2, l3, name @ ..] = rest {
        let length = u32::from_be_bytes([*l0, *l1, *l2, *l3]) as usize;
        let Some(content) = name.get(..length.saturating_add(4)) else { break };
        let Some(checksum) = name.get(length.saturating_add(4)..length.saturating_add(8)) else { break };
        match &content[..4] {
            b"IDAT" | b"IEND" => break,
            b"CgBI" => {
                return Err(ImageError::unsupported(Format::Png, "Apple's own coding (CgBI)"));
            }
            b"IHDR" | b"PLTE" if crc32fast::hash(content).to_be_bytes() != checksum => {
                return Err(ImageError::corrupt(Format::Png, "wrong checksum in its header"));
            }
            _ => {}
        }
        rest = &name[length + 8..];
    }
    Ok(())
}

/// All rows. What follows them is not needed: an image without its last chunk is whole. zlib's checksum must be right if it is
/// there, because the checksums of the chunks of pixels are not looked at.
fn samples(reader: &mut Reader<Cursor<&[u8]>>) -> Result<Vec<u8>, ImageError> {
    let (width, height) = reader.info().size();
    let size = reader.output_buffer_size().zip(reader.output_line_size(width));
    let (size, line) = size.ok_or_else(|| ImageError::corrupt(Format::Png, "its size overflows"))?;
    let mut samples = vec![0; size];
    if reader.info().interlaced {
        let (color, depth) = reader.output_color_type();
        let bits = (color.samples() * depth as usize) as u8;
        let mut row = vec![0; line];
        for _row in 0..interlaced_rows(width, height) {
            if let Some(InterlaceInfo::Adam7(place)) = reader.read_row(&mut row).map_err(failed)? {
                png::expand_interlaced_row(&mut samples, line, &row, &place, bits);
            }
        }
    } else {
        for row in samples.chunks_exact_mut(line) {
            reader.read_row(row).map_err(failed)?;
        }
    }
    match reader.read_row(&mut vec![0; line]) {
        Err(error) if error.to_string().contains("WrongChecksum") => Err(failed(error)),
        _ => Ok(samples),
    }
}

/// Rows of all seven passes.
fn interlaced_rows(width: u32, height: u32) -> u64 {
    // First column, first row, distance of rows.
    const PASSES: [(u32, u32, u32); 7] = [(0, 0, 8), (4, 0, 8), (0, 4, 8), (2, 0, 4), (0, 2, 4), (1, 0, 2), (0, 1, 2)];
    let rows = |(column, row, step): (u32, u32, u32)| {
        if width > column { u64::from(height.saturating_sub(row).div_ceil(step)) } else { 0 }
    };
    PASSES.into_iter().map(rows).sum()
}

/// Rows of samples, 8 bits or more each, to RGB.
fn to_rgb(samples: Vec<u8>, (color, depth): (ColorType, BitDepth)) -> Result<Vec<u8>, ImageError> {
    // Pillow converts its mode `I;16` by clipping, not by dropping the low byte.
    let clip = |sample: &[u8]| [if sample[0] > 0 { 255 } else { sample[1] }; 3];
    Ok(match (color, depth == BitDepth::Sixteen) {
        (ColorType::Rgb, false) => samples,
        (ColorType::Rgb, true) => samples.chunks_exact(2).map(|sample| sample[0]).collect(),
        (ColorType::Rgba, false) => samples.chunks_exact(4).flat_map(|s| [s[0], s[1], s[2]]).collect(),
        (ColorType::Rgba, true) => samples.chunks_exact(8).flat_map(|s| [s[0], s[2], s[4]]).collect(),
        (ColorType::Grayscale, false) => samples.into_iter().flat_map(|sample| [sample; 3]).collect(),
        (ColorType::Grayscale, true) => samples.chunks_exact(2).flat_map(clip).collect(),
        (ColorType::GrayscaleAlpha, false) => samples.chunks_exact(2).flat_map(|s| [s[0]; 3]).collect(),
        (ColorType::GrayscaleAlpha, true) => samples.chunks_exact(4).flat_map(|s| [s[0]; 3]).collect(),
        (ColorType::Indexed, _) => {
            return Err(ImageError::unsupported(Format::Png, "a palette that cannot be looked up"));
        }
    })
}

fn failed(error: DecodingError) -> ImageError {
    match &error {
        DecodingError::IoError(source) if source.kind() == std::io::ErrorKind::UnexpectedEof => {
            ImageError::truncated(Format::Png)
        }
        _ => ImageError::corrupt(Format::Png, error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_all_passes_are_those_of_the_specification() {
        // One pixel is in the first pass alone; a column has no second, fourth and sixth pass.
        assert_eq!(interlaced_rows(1, 1), 1);
        assert_eq!(interlaced_rows(1, 8), 1 + 1 + 2 + 4);
        assert_eq!(interlaced_rows(8, 8), 1 + 1 + 1 + 2 + 2 + 4 + 4);
        assert_eq!(interlaced_rows(8, 1), 1 + 1 + 1 + 1);
    }
}
