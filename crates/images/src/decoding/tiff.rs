//! TIFF; the first image of the file.

use std::{borrow::Cow, io::Cursor};

use tiff::{
    ColorType, TiffError, TiffUnsupportedError,
    decoder::{Decoder, DecodingResult, Limits},
    tags::{PhotometricInterpretation, Tag},
};

use crate::decoding::{
    decode::{DecodeLimits, RgbImage8, cmyk_to_rgb},
    error::ImageError,
    formats::Format,
};

/// What tables of a TIFF may take beside its pixels: palettes, places of strips.
const BESIDE_PIXELS: usize = 64 << 20;

/// Those of the image the right way up.
pub(super) fn dimensions(bytes: &[u8]) -> Option<(u32, u32)> {
    let mut decoder = Decoder::new(Cursor::new(bytes)).ok()?;
    let (width, height) = decoder.dimensions().ok()?;
    let orientation = decoder.find_tag_unsigned::<u32>(Tag::Orientation).ok().flatten();
    Some(if orientation.is_some_and(|orientation| (5..=8).contains(&orientation)) {
        (height, width)
    } else {
        (width, height)
    })
}

pub(super) fn decode(bytes: &[u8], limits: &DecodeLimits) -> Result<RgbImage8, ImageError> {
    let grey = as_grey(bytes);
    let has_palette = matches!(grey, Cow::Owned(_));
    let mut decoder = Decoder::new(Cursor::new(grey.as_ref())).map_err(failed)?;
    let (width, height) = decoder.dimensions().map_err(failed)?;
    limits.check(Format::Tiff, width, height)?;
    // At most five samples of four bytes a pixel.
    let buffer = 20 * width as usize * height as usize;
    let mut own = Limits::default();
    own.decoding_buffer_size = buffer + BESIDE_PIXELS;
    own.intermediate_buffer_size = buffer + bytes.len();
    let mut decoder = decoder.with_limits(own);
    let color = decoder.colortype().map_err(failed)?;
    let tag = |decoder: &mut Decoder<_>, tag| decoder.find_tag_unsigned::<u32>(tag).ok().flatten();
    let planes = tag(&mut decoder, Tag::PlanarConfiguration).unwrap_or(1);
    if planes != 1 && color.num_samples() > 1 {
        return Err(ImageError::unsupported(Format::Tiff, "one plane per colour"));
    }
    let palette = if has_palette {
        let colors = decoder.find_tag_unsigned_vec::<u16>(Tag::ColorMap).map_err(failed)?;
        Some(colors.ok_or_else(|| ImageError::corrupt(Format::Tiff, "its palette is missing"))?)
    } else {
        None
    };
    let kind = Kind {
        color,
        palette,
        inverted: tag(&mut decoder, Tag::PhotometricInterpretation)
            == Some(u32::from(PhotometricInterpretation::WhiteIsZero.to_u16())),
        premultiplied: decoder
            .find_tag_unsigned_vec::<u16>(Tag::ExtraSamples)
            .ok()
            .flatten()
            .is_some_and(|extra| extra.first() == Some(&1)),
    };
    let samples = decoder.read_image().map_err(failed)?;
    let data = kind.to_rgb(samples, width as usize)?;
    if data.len() != 3 * width as usize * height as usize {
        return Err(ImageError::corrupt(Format::Tiff, "its rows do not fit its size"));
    }
    let image = RgbImage8 { width, height, data };
    Ok(turned(image, tag(&mut decoder, Tag::Orientation).unwrap_or(1)))
}

/// The file with its palette image declared as a grey one, which is how the decoder reads the indices; other files as they are.
fn as_grey(bytes: &[u8]) -> Cow<'_, [u8]> {
    palette_tag(bytes).map_or(Cow::Borrowed(bytes), |at| {
        let mut grey = bytes.to_vec();
        // The entry says 3, for a palette; 1 is a grey image whose zero is black.
        grey[at..at + 2].iter_mut().filter(|byte| **byte == 3).for_each(|byte| *byte = 1);
        Cow::Owned(grey)
    })
}

/// Where the first directory of a classic TIFF says that there is a palette.
fn palette_tag(bytes: &[u8]) -> Option<usize> {
    const PHOTOMETRIC_INTERPRETATION: u16 = 262;
    let little = match bytes {
        [b'I', b'I', 42, 0, ..] => true,
        [b'M', b'M', 0, 42, ..] => false,
        _ => return None,
    };
    let short = |at: usize| {
        let pair = bytes.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(if little { u16::from_le_bytes(pair) } else { u16::from_be_bytes(pair) })
    };
    let offset: [u8; 4] = bytes.get(4..8)?.try_into().ok()?;
    let directory = if little { u32::from_le_bytes(offset) } else { u32::from_be_bytes(offset) } as usize;
    let entries = usize::from(short(directory)?);
    let mut entries = (0..entries).map(|entry| directory + 2 + 12 * entry);
    let entry = entries.find(|entry| short(*entry) == Some(PHOTOMETRIC_INTERPRETATION))?;
    (short(entry + 8) == Some(3)).then_some(entry + 8)
}

/// How samples are to be understood.
struct Kind {
    color: ColorType,
    /// All reds, all greens, all blues of 16 bits, if the samples are indices.
    palette: Option<Vec<u16>>,
    /// The decoder inverted the samples, because white is zero.
    inverted: bool,
    /// Colours are multiplied by alpha.
    premultiplied: bool,
}

impl Kind {
    fn to_rgb(&self, samples: DecodingResult, width: usize) -> Result<Vec<u8>, ImageError> {
        use ColorType::{CMYK, Gray, RGB, RGBA};
        use DecodingResult::{F32, I16, I32, U8, U16, U32};
        let grey = |values: Vec<u8>| values.into_iter().flat_map(|value| [value; 3]).collect();
        let high = |samples: Vec<u16>| samples.into_iter().map(|sample| (sample >> 8) as u8).collect();
        Ok(match (self.color, samples) {
            (Gray(8), U8(indices)) if self.palette.is_some() => self.looked_up(&indices),
            (Gray(bits @ (1 | 2 | 4)), U8(rows)) => {
                let samples = unpacked(&rows, width, usize::from(bits));
                if self.palette.is_some() {
                    self.looked_up(&samples)
                } else {
                    let most = (1 << bits) - 1;
                    grey(samples.into_iter().map(|sample| sample * (255 / most)).collect())
                }
            }
            (Gray(8), U8(samples)) => grey(samples),
            // Pillow clips what has more than 8 bits, and leaves 16 bits as they are where white is zero.
            (Gray(16), U16(samples)) => {
                let restored = |sample: u16| if self.inverted { !sample } else { sample };
                grey(samples.into_iter().map(|sample| restored(sample).min(255) as u8).collect())
            }
            (Gray(16), I16(samples)) => grey(samples.into_iter().map(|sample| sample.clamp(0, 255) as u8).collect()),
            (Gray(32), I32(samples)) => grey(samples.into_iter().map(|sample| sample.clamp(0, 255) as u8).collect()),
            (Gray(32), U32(samples)) => {
                grey(samples.into_iter().map(|sample| (sample as i32).clamp(0, 255) as u8).collect())
            }
            (Gray(32), F32(samples)) => {
                grey(samples.into_iter().map(|sample| sample.clamp(0.0, 255.0) as u8).collect())
            }
            (RGB(8), U8(samples)) => samples,
            (RGB(16), U16(samples)) => high(samples),
            (RGBA(8), U8(samples)) => self.without_alpha(&samples),
            (RGBA(16), U16(samples)) => self.without_alpha(&high(samples)),
            (CMYK(8), U8(samples)) => inks(&samples),
            (CMYK(16), U16(samples)) => inks(&high(samples)),
            (ColorType::Multiband { bit_depth: 8, num_samples: 2 }, U8(samples)) if !self.premultiplied => {
                grey(samples.chunks_exact(2).map(|sample| sample[0]).collect())
            }
            (color, _) => return Err(ImageError::unsupported(Format::Tiff, format!("{color:?} samples"))),
        })
    }

    fn looked_up(&self, indices: &[u8]) -> Vec<u8> {
        let palette = self.palette.as_deref().unwrap_or_default();
        let colors = palette.len() / 3;
        let level = |place: usize| palette.get(place).map_or(0, |level| (level >> 8) as u8);
        let color = |index: &u8| {
            let index = usize::from(*index);
            if index < colors { [level(index), level(colors + index), level(2 * colors + index)] } else { [0; 3] }
        };
        indices.iter().flat_map(color).collect()
    }

    fn without_alpha(&self, samples: &[u8]) -> Vec<u8> {
        let divided = |value: u8, alpha: u8| match alpha {
            0 => 0,
            alpha => (u32::from(value) * 255 / u32::from(alpha)).min(255) as u8,
        };
        let color = |sample: &[u8]| {
            let color = [sample[0], sample[1], sample[2]];
            if self.premultiplied { color.map(|value| divided(value, sample[3])) } else { color }
        };
        samples.chunks_exact(4).flat_map(color).collect()
    }
}

fn inks(samples: &[u8]) -> Vec<u8> {
    samples.chunks_exact(4).flat_map(|ink| cmyk_to_rgb([ink[0], ink[1], ink[2], ink[3]])).collect()
}

/// Samples of fewer than 8 bits, from rows that are filled up to whole bytes.
fn unpacked(rows: &[u8], width: usize, bits: usize) -> Vec<u8> {
    let most = (1_u8 << bits) - 1;
    let value = |row: &[u8], x: usize| (row[x * bits / 8] >> (8 - bits - x * bits % 8)) & most;
    rows.chunks_exact((width * bits).div_ceil(8)).flat_map(|row| (0..width).map(move |x| value(row, x))).collect()
}

/// The image the right way up: unlike that of a JPEG, Pillow follows the orientation of a TIFF.
fn turned(image: RgbImage8, orientation: u32) -> RgbImage8 {
    if !(2..=8).contains(&orientation) {
        return image;
    }
    let (width, height) = (image.width as usize, image.height as usize);
    let (new_width, new_height) = if orientation < 5 { (width, height) } else { (height, width) };
    let mut data = Vec::with_capacity(image.data.len());
    for y in 0..new_height {
        for x in 0..new_width {
            let (from_x, from_y) = match orientation {
                2 => (width - 1 - x, y),
                3 => (width - 1 - x, height - 1 - y),
                4 => (x, height - 1 - y),
                5 => (y, x),
                6 => (y, height - 1 - x),
                7 => (width - 1 - y, height - 1 - x),
                _ => (width - 1 - y, x),
            };
            data.extend_from_slice(&image.data[3 * (from_y * width + from_x)..][..3]);
        }
    }
    RgbImage8 { width: new_width as u32, height: new_height as u32, data }
}

fn failed(error: TiffError) -> ImageError {
    match error {
        TiffError::IoError(source) if source.kind() == std::io::ErrorKind::UnexpectedEof => {
            ImageError::truncated(Format::Tiff)
        }
        TiffError::UnsupportedError(TiffUnsupportedError::UnsupportedCompressionMethod(method)) => {
            ImageError::unsupported(Format::Tiff, format!("compression {method:?}"))
        }
        TiffError::UnsupportedError(what) => ImageError::unsupported(Format::Tiff, format!("{what:?}")),
        error => ImageError::corrupt(Format::Tiff, error),
    }
}
