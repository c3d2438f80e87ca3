use std::{
    io::Cursor,
    panic::{self, AssertUnwindSafe},
};

use png::{ColorType, Transformations};
use zune_core::{bytestream::ZCursor, colorspace::ColorSpace, options::DecoderOptions};
use zune_jpeg::JpegDecoder;

use crate::decoding::error::ImageError;

/// What a decoder may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecodeLimits {
    /// Most pixels; the default is where Pillow raises its decompression bomb error (2 × `MAX_IMAGE_PIXELS`).
    pub max_pixels: u64,
}

impl Default for DecodeLimits {
    fn default() -> Self {
        Self { max_pixels: 178_956_970 }
    }
}

/// An 8-bit RGB image, row by row, three bytes a pixel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RgbImage8 {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// `3 · width · height` bytes.
    pub data: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Jpeg,
    Png,
    WebP,
}

impl Format {
    fn of(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [0xff, 0xd8, ..] => Some(Self::Jpeg),
            [0x89, b'P', b'N', b'G', ..] => Some(Self::Png),
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some(Self::WebP),
            _ => None,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Jpeg => "JPEG",
            Self::Png => "PNG",
            Self::WebP => "WebP",
        }
    }
}

/// Decodes JPEG, PNG or WebP to RGB as Pillow's `Image.open(…).convert('RGB')` does: alpha is dropped, palettes are looked
/// up, 16 bits keep their high byte, 16-bit grey is clipped at 255, CMYK is multiplied out, EXIF orientation is ignored.
/// Dimensions are checked before anything is allocated.
pub fn decode_rgb(bytes: &[u8], limits: &DecodeLimits) -> Result<RgbImage8, ImageError> {
    if bytes.is_empty() {
        return Err(ImageError::Empty);
    }
    let Some(format) = Format::of(bytes) else {
        let start: Vec<String> = bytes.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        return Err(ImageError::UnknownFormat { start: start.join(" ") });
    };
    // Decoders of hostile input have panicked before; an image must never take a run of a day with it.
    let decoded = panic::catch_unwind(AssertUnwindSafe(|| match format {
        Format::Jpeg => jpeg(bytes, limits),
        Format::Png => png(bytes, limits),
        Format::WebP => webp(bytes, limits),
    }));
    let image = decoded.unwrap_or_else(|_panic| {
        Err(ImageError::Corrupt { format: format.name(), source: "the decoder panicked".into() })
    })?;
    if image.width == 0 || image.height == 0 || image.data.len() != 3 * image.width as usize * image.height as usize {
        return Err(ImageError::Corrupt { format: format.name(), source: "it has no pixels".into() });
    }
    Ok(image)
}

/// Width and height from the header alone.
pub fn probe_dimensions(bytes: &[u8]) -> Option<(u32, u32)> {
    let format = Format::of(bytes)?;
    panic::catch_unwind(AssertUnwindSafe(|| match format {
        Format::Jpeg => {
            let mut decoder = JpegDecoder::new(ZCursor::new(bytes));
            decoder.decode_headers().ok()?;
            decoder.info().map(|info| (u32::from(info.width), u32::from(info.height)))
        }
        Format::Png => {
            let mut decoder = png::Decoder::new(Cursor::new(bytes));
            decoder.read_header_info().ok().map(png::Info::size)
        }
        Format::WebP => image_webp::WebPDecoder::new(Cursor::new(bytes)).ok().map(|decoder| decoder.dimensions()),
    }))
    .ok()
    .flatten()
}

fn within(width: u32, height: u32, limits: &DecodeLimits) -> Result<(), ImageError> {
    if u64::from(width) * u64::from(height) > limits.max_pixels {
        return Err(ImageError::TooLarge { width, height, limit: limits.max_pixels });
    }
    Ok(())
}

fn jpeg(bytes: &[u8], limits: &DecodeLimits) -> Result<RgbImage8, ImageError> {
    let corrupt = |error: zune_jpeg::errors::DecodeErrors| ImageError::Corrupt { format: "JPEG", source: error.into() };
    let options = DecoderOptions::default().set_max_width(usize::from(u16::MAX)).set_max_height(usize::from(u16::MAX));
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers().map_err(corrupt)?;
    let info = decoder
        .info()
        .ok_or_else(|| ImageError::Corrupt { format: "JPEG", source: "it has no frame header".into() })?;
    let (width, height) = (u32::from(info.width), u32::from(info.height));
    within(width, height, limits)?;
    if !has_end_of_image(bytes) {
        return Err(ImageError::Truncated {
            format: "JPEG",
            message: "the file ends before the end-of-image marker".to_owned(),
        });
    }
    let four = matches!(decoder.input_colorspace(), Some(ColorSpace::CMYK | ColorSpace::YCCK));
    let target = if four { ColorSpace::CMYK } else { ColorSpace::RGB };
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options.jpeg_set_out_colorspace(target));
    let pixels = decoder.decode().map_err(corrupt)?;
    let data = if four { pixels.chunks_exact(4).flat_map(inverted_cmyk_to_rgb).collect() } else { pixels };
    Ok(RgbImage8 { width, height, data })
}

/// Whether an end-of-image marker follows the first scan. The decoder would fill the missing part with grey. Segments are
/// walked, because a thumbnail inside one has markers of its own.
fn has_end_of_image(bytes: &[u8]) -> bool {
    let mut at = 2;
    while at + 4 <= bytes.len() {
        if bytes[at] != 0xff {
            at += 1;
            continue;
        }
        match bytes[at + 1] {
            0xff => at += 1,
            0xd9 => return true,
            // Start of scan: entropy-coded data never holds a bare FF D9.
            0xda => return bytes[at..].windows(2).any(|pair| pair == [0xff, 0xd9]),
            0x00 | 0x01 | 0xd0..=0xd8 => at += 2,
            _ => at += 2 + usize::from(u16::from_be_bytes([bytes[at + 2], bytes[at + 3]])),
        }
    }
    false
}

/// Adobe stores CMYK inverted. The product is Pillow's, rounding included.
fn inverted_cmyk_to_rgb(pixel: &[u8]) -> [u8; 3] {
    let black = u32::from(pixel[3]);
    let multiply = |ink: u8| {
        let product = (255 - u32::from(ink)) * black + 128;
        (black - (((product >> 8) + product) >> 8)) as u8
    };
    [multiply(pixel[0]), multiply(pixel[1]), multiply(pixel[2])]
}

/// What a PNG may take for anything but its pixels.
const BESIDE_PIXELS: usize = 64 << 20;

fn png(bytes: &[u8], limits: &DecodeLimits) -> Result<RgbImage8, ImageError> {
    let mut decoder = png::Decoder::new(Cursor::new(bytes));
    decoder.set_ignore_iccp_chunk(true);
    decoder.set_ignore_text_chunk(true);
    let (width, height) = decoder.read_header_info().map_err(png_error)?.size();
    within(width, height, limits)?;
    // The width is within the limits; profiles and texts are not, and inflate to a thousand times what they take in the file.
    decoder.set_limits(png::Limits { bytes: BESIDE_PIXELS + bytes.len() + 8 * width as usize });
    decoder.set_transformations(Transformations::EXPAND);
    let mut reader = decoder.read_info().map_err(png_error)?;
    let size = reader.output_buffer_size().ok_or(ImageError::TooLarge { width, height, limit: limits.max_pixels })?;
    let mut buffer = vec![0; size];
    let frame = reader.next_frame(&mut buffer).map_err(png_error)?;
    let wide = frame.bit_depth == png::BitDepth::Sixteen;
    let sample = |samples: &[u8], index: usize| if wide { samples[2 * index] } else { samples[index] };
    let depth = if wide { 2 } else { 1 };
    let grey16 = |samples: &[u8]| {
        // Pillow converts its mode `I;16` by clipping, not by dropping the low byte.
        let value = if samples[0] > 0 { 255 } else { samples[1] };
        [value; 3]
    };
    let channels = frame.color_type.samples();
    let pixels = buffer[..frame.buffer_size()].chunks_exact(channels * depth);
    let data = match frame.color_type {
        ColorType::Grayscale if wide => pixels.flat_map(grey16).collect(),
        ColorType::Grayscale | ColorType::GrayscaleAlpha => pixels.flat_map(|pixel| [sample(pixel, 0); 3]).collect(),
        ColorType::Rgb | ColorType::Rgba => {
            pixels.flat_map(|pixel| [sample(pixel, 0), sample(pixel, 1), sample(pixel, 2)]).collect()
        }
        ColorType::Indexed => {
            return Err(ImageError::Unsupported {
                format: "PNG",
                what: "a palette that cannot be looked up".to_owned(),
            });
        }
    };
    Ok(RgbImage8 { width: frame.width, height: frame.height, data })
}

fn png_error(error: png::DecodingError) -> ImageError {
    match &error {
        png::DecodingError::IoError(source) if source.kind() == std::io::ErrorKind::UnexpectedEof => {
            ImageError::Truncated { format: "PNG", message: "the file ends before the image does".to_owned() }
        }
        _ => ImageError::Corrupt { format: "PNG", source: error.into() },
    }
}

fn webp(bytes: &[u8], limits: &DecodeLimits) -> Result<RgbImage8, ImageError> {
    let failed = |error: image_webp::DecodingError| match &error {
        image_webp::DecodingError::IoError(source) if source.kind() == std::io::ErrorKind::UnexpectedEof => {
            ImageError::Truncated { format: "WebP", message: "the file ends before the image does".to_owned() }
        }
        _ => ImageError::Corrupt { format: "WebP", source: error.into() },
    };
    let mut decoder = image_webp::WebPDecoder::new(Cursor::new(bytes)).map_err(failed)?;
    let (width, height) = decoder.dimensions();
    within(width, height, limits)?;
    let channels = if decoder.has_alpha() { 4 } else { 3 };
    let size = decoder.output_buffer_size().ok_or(ImageError::TooLarge { width, height, limit: limits.max_pixels })?;
    let mut buffer = vec![0; size];
    if decoder.is_animated() {
        decoder.read_frame(&mut buffer).map_err(failed)?;
    } else {
        decoder.read_image(&mut buffer).map_err(failed)?;
    }
    let data = if channels == 3 {
        buffer
    } else {
        buffer.chunks_exact(4).flat_map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect()
    };
    Ok(RgbImage8 { width, height, data })
}
