//! JPEG by libjpeg-turbo, as Pillow uses it (docs/decisions/0011-jpegs-by-libjpeg-turbo.md).

use std::{
    any::Any,
    cell::Cell,
    io::{self, BufRead, Read},
    panic::{self, AssertUnwindSafe},
};

use mozjpeg::{ColorSpace, Decompress};

use crate::decoding::{
    decode::{DecodeLimits, RgbImage8, cmyk_to_rgb},
    error::ImageError,
    formats::Format,
};

/// Scans of a JPEG that are always allowed. Writers of progressive JPEGs make some ten; each goes through all pixels.
const COMMON_SCANS: u64 = 100;

/// Rows that are decoded before the end of the file is looked for.
const ROWS: usize = 64;

pub(super) fn dimensions(bytes: &[u8]) -> Option<(u32, u32)> {
    Frame::of(bytes).map(|frame| (frame.width, frame.height))
}

pub(super) fn decode(bytes: &[u8], limits: &DecodeLimits) -> Result<RgbImage8, ImageError> {
    let ended = Cell::new(false);
    let frame = Frame::of(bytes).ok_or_else(|| ImageError::truncated(Format::Jpeg))?;
    frame.check(bytes, limits)?;
    let reader = Watched { rest: bytes, ended: &ended };
    // A fatal error of libjpeg unwinds through its C code, which is compiled for that.
    let decoded = panic::catch_unwind(AssertUnwindSafe(|| pixels(reader, &frame)));
    match decoded {
        Ok(Ok(data)) => Ok(RgbImage8 { width: frame.width, height: frame.height, data }),
        _ if ended.get() => Err(ImageError::truncated(Format::Jpeg)),
        Ok(Err(error)) => Err(ImageError::corrupt(Format::Jpeg, error)),
        Err(thrown) => Err(ImageError::corrupt(Format::Jpeg, message(thrown))),
    }
}

fn pixels(reader: Watched<'_>, frame: &Frame) -> io::Result<Vec<u8>> {
    let ended = reader.ended;
    let header = Decompress::builder().from_reader(reader)?;
    if (header.width(), header.height()) != (frame.width as usize, frame.height as usize) {
        return Err(io::Error::other("it has several frame headers"));
    }
    let inks = matches!(header.color_space(), ColorSpace::JCS_CMYK | ColorSpace::JCS_YCCK);
    let mut image = header.to_colorspace(if inks { ColorSpace::JCS_CMYK } else { ColorSpace::JCS_RGB })?;
    let row = image.width() * if inks { 4 } else { 3 };
    let mut data = vec![0; row * image.height()];
    for rows in data.chunks_mut(ROWS * row) {
        image.read_scanlines_into(rows)?;
        if ended.get() {
            // libjpeg was given an end-of-image marker in place of what is missing, and would fill up with grey.
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    // What follows the last row is looked at, as Pillow does. That the marker is missing there does not matter.
    image.finish()?;
    if !inks {
        return Ok(data);
    }
    // Adobe stores CMYK inverted, and Pillow takes all CMYK for Adobe's.
    let rgb = |pixel: &[u8]| cmyk_to_rgb([255 - pixel[0], 255 - pixel[1], 255 - pixel[2], 255 - pixel[3]]);
    Ok(data.chunks_exact(4).flat_map(rgb).collect())
}

/// What libjpeg said when it gave up.
fn message(thrown: Box<dyn Any + Send>) -> String {
    match thrown.downcast::<String>() {
        Ok(said) => said.strip_prefix("libjpeg fatal error: ").unwrap_or(&said).to_owned(),
        Err(other) => panic::resume_unwind(other),
    }
}

/// The bytes of a file, and whether a reader wanted more of them. Pillow calls a JPEG truncated if libjpeg asks for bytes
/// beyond the end before the last row is there.
struct Watched<'a> {
    rest: &'a [u8],
    ended: &'a Cell<bool>,
}

impl Read for Watched<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.rest.read(into)
    }
}

impl BufRead for Watched<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.rest.is_empty() {
            self.ended.set(true);
        }
        Ok(self.rest)
    }

    fn consume(&mut self, amount: usize) {
        self.rest.consume(amount);
    }
}

/// The frame header.
struct Frame {
    marker: u8,
    precision: u8,
    width: u32,
    height: u32,
    components: u8,
}

impl Frame {
    /// The frame header before the first scan.
    fn of(bytes: &[u8]) -> Option<Self> {
        let mut frame = None;
        let mut at = 2;
        loop {
            // Anything between segments is passed over, and so are fill bytes.
            at += bytes.get(at..)?.iter().position(|byte| *byte == 0xff)?;
            at += bytes[at..].iter().position(|byte| *byte != 0xff)?;
            let marker = bytes[at];
            at += 1;
            match marker {
                0xda => return frame,
                0x00 | 0x01 | 0xd0..=0xd9 => continue,
                0xc4 | 0xc8 | 0xcc => {}
                0xc0..=0xcf => {
                    let header = bytes.get(at + 2..at + 8)?;
                    let number = |at: usize| u32::from(u16::from_be_bytes([header[at], header[at + 1]]));
                    let (precision, components) = (header[0], header[5]);
                    frame = Some(Self { marker, precision, width: number(3), height: number(1), components });
                }
                _ => {}
            }
            let length = bytes.get(at..at + 2)?;
            at += usize::from(u16::from_be_bytes([length[0], length[1]])).max(2);
        }
    }

    /// Refuses what Pillow refuses, and what would take too much.
    fn check(&self, bytes: &[u8], limits: &DecodeLimits) -> Result<(), ImageError> {
        if self.height == 0 && self.width > 0 {
            return Err(ImageError::unsupported(Format::Jpeg, "a height that follows the pixels (DNL)"));
        }
        limits.check(Format::Jpeg, self.width, self.height)?;
        match self.marker {
            0xc0..=0xc2 | 0xc9 | 0xca => {}
            0xc3 | 0xcb => return Err(ImageError::unsupported(Format::Jpeg, "lossless coding")),
            _ => return Err(ImageError::unsupported(Format::Jpeg, "hierarchical coding")),
        }
        if self.precision != 8 {
            return Err(ImageError::unsupported(Format::Jpeg, format!("{} bits per sample", self.precision)));
        }
        if !matches!(self.components, 1 | 3 | 4) {
            return Err(ImageError::unsupported(Format::Jpeg, format!("{} components", self.components)));
        }
        let scans = bytes.windows(2).filter(|pair| *pair == [0xff, 0xda]).take(1 << 20).count() as u64;
        let work = scans.saturating_mul(u64::from(self.width) * u64::from(self.height));
        if scans > COMMON_SCANS && work > COMMON_SCANS.saturating_mul(limits.max_pixels) {
            return Err(ImageError::unsupported(Format::Jpeg, format!("{scans} scans")));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: [u8; 2] = [0xff, 0xd8];

    fn segment(marker: u8, content: &[u8]) -> Vec<u8> {
        let length = (content.len() as u16 + 2).to_be_bytes();
        [&[0xff, marker], &length[..], content].concat()
    }

    fn frame(marker: u8, precision: u8, (width, height): (u16, u16), components: u8) -> Vec<u8> {
        let ([w0, w1], [h0, h1]) = (width.to_be_bytes(), height.to_be_bytes());
        let header = segment(marker, &[precision, h0, h1, w0, w1, components]);
        [&START[..], &segment(0xe1, &[0xff, 0xc0, 0xff, 0xda, 0, 9]), b"junk", &[0xff, 0xff], &header, &[0xff, 0xda]]
            .concat()
    }

    #[test]
    fn the_header_is_found_behind_other_segments_and_junk() {
        let found = Frame::of(&frame(0xc2, 8, (300, 200), 3)).map(|frame| (frame.marker, frame.width, frame.height));
        assert_eq!(found, Some((0xc2, 300, 200)));
        assert!(Frame::of(&START).is_none());
        assert!(Frame::of(&[0xff, 0xd8, 0xff]).is_none());
    }

    #[test]
    fn what_is_not_decoded_is_refused_by_name() {
        let said = |bytes: &[u8]| match decode(bytes, &DecodeLimits { max_pixels: 1 << 20 }) {
            Err(error) => error.to_string(),
            Ok(_) => "decoded".to_owned(),
        };
        for (bytes, word) in [
            (frame(0xc0, 12, (8, 8), 3), "12 bits"),
            (frame(0xc3, 8, (8, 8), 3), "lossless"),
            (frame(0xc5, 8, (8, 8), 3), "hierarchical"),
            (frame(0xc0, 8, (8, 0), 3), "DNL"),
            (frame(0xc0, 8, (8, 8), 2), "2 components"),
            (frame(0xc0, 8, (1025, 1024), 3), "more than the limit"),
            ([frame(0xc2, 8, (1024, 1024), 3), [0xff, 0xda].repeat(100)].concat(), "102 scans"),
        ] {
            assert!(said(&bytes).contains(word), "{word}: {}", said(&bytes));
        }
    }
}
