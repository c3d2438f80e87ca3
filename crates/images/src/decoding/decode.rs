use std::panic::{self, AssertUnwindSafe};

use crate::decoding::{
    bitmaps,
    error::ImageError,
    formats::{self, Format},
    gif, jpeg, png, tiff, webp,
};

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

impl DecodeLimits {
    /// Refuses an image without pixels or with more of them than allowed. Each decoder asks before it allocates.
    pub(super) fn check(&self, format: Format, width: u32, height: u32) -> Result<(), ImageError> {
        if width == 0 || height == 0 {
            return Err(ImageError::corrupt(format, "it has no pixels"));
        }
        if u64::from(width) * u64::from(height) > self.max_pixels {
            return Err(ImageError::TooLarge { width, height, limit: self.max_pixels });
        }
        Ok(())
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

/// Decodes an image to RGB as Pillow's `Image.open(…).convert('RGB')` does: alpha is dropped, palettes are looked up, 16 bits
/// keep their high byte, 16-bit grey is clipped at 255, CMYK is multiplied out, EXIF orientation is ignored, the first of
/// several images is taken. The format is told by the bytes. Dimensions are checked before anything is allocated.
pub fn decode_rgb(bytes: &[u8], limits: &DecodeLimits) -> Result<RgbImage8, ImageError> {
    if bytes.is_empty() {
        return Err(ImageError::Empty);
    }
    let Some(format) = Format::of(bytes) else {
        return Err(undecoded(bytes));
    };
    // Decoders of hostile input have panicked before; an image must never take a run of a day with it.
    let decoded = panic::catch_unwind(AssertUnwindSafe(|| match format {
        Format::Jpeg => jpeg::decode(bytes, limits),
        Format::Png => png::decode(bytes, limits),
        Format::WebP => webp::decode(bytes, limits),
        Format::Bmp => bitmaps::bmp(bytes, limits),
        Format::Gif => gif::decode(bytes, limits),
        Format::Tiff => tiff::decode(bytes, limits),
        Format::Pnm => bitmaps::pnm(bytes, limits),
        Format::Qoi => bitmaps::qoi(bytes, limits),
    }));
    let image = decoded.unwrap_or_else(|_panic| Err(ImageError::corrupt(format, "the decoder panicked")))?;
    if image.width == 0 || image.height == 0 || image.data.len() != 3 * image.width as usize * image.height as usize {
        return Err(ImageError::corrupt(format, "it has no pixels"));
    }
    Ok(image)
}

/// Width and height from the header alone.
pub fn probe_dimensions(bytes: &[u8]) -> Option<(u32, u32)> {
    let format = Format::of(bytes)?;
    panic::catch_unwind(AssertUnwindSafe(|| match format {
        Format::Jpeg => jpeg::dimensions(bytes),
        Format::Png => png::dimensions(bytes),
        Format::WebP => webp::dimensions(bytes),
        Format::Gif => gif::dimensions(bytes),
        Format::Tiff => tiff::dimensions(bytes),
        Format::Bmp | Format::Pnm | Format::Qoi => bitmaps::dimensions(format, bytes),
    }))
    .ok()
    .flatten()
}

fn undecoded(bytes: &[u8]) -> ImageError {
    if let Some(what) = formats::foreign(bytes) {
        return ImageError::Foreign { what };
    }
    let start: Vec<String> = bytes.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    ImageError::UnknownFormat { start: start.join(" ") }
}

/// CMYK to RGB, without profiles. The product is Pillow's, rounding included.
pub(super) fn cmyk_to_rgb([cyan, magenta, yellow, black]: [u8; 4]) -> [u8; 3] {
    let white = u32::from(255 - black);
    let multiply = |ink: u8| {
        let product = u32::from(ink) * white + 128;
        (white - (((product >> 8) + product) >> 8)) as u8
    };
    [multiply(cyan), multiply(magenta), multiply(yellow)]
}
