use headspan_images::RgbImage8;
use noto_sans_mono_bitmap::{FontWeight, RasterHeight, get_raster, get_raster_width};

const WEIGHT: FontWeight = FontWeight::Regular;
const HEIGHT: RasterHeight = RasterHeight::Size16;

/// Height of a line of text in pixels.
pub(super) const GLYPH_HEIGHT: usize = HEIGHT.val();

/// Pixels of a text's width.
pub(super) fn text_width(text: &str) -> usize {
    text.chars().count() * get_raster_width(WEIGHT, HEIGHT)
}

/// A white picture to draw on.
pub(super) struct Ink {
    width: usize,
    height: usize,
    data: Vec<u8>,
}

impl Ink {
    pub(super) fn paper(width: usize, height: usize) -> Self {
        Self { width, height, data: vec![255; width * height * 3] }
    }

    pub(super) fn set(&mut self, x: usize, y: usize, color: [u8; 3]) {
        if x < self.width && y < self.height {
            self.data[(y * self.width + x) * 3..][..3].copy_from_slice(&color);
        }
    }

    /// Writes dark text from its upper left corner, cut off (with an ellipsis) where it would be wider than `room`.
    pub(super) fn text(&mut self, x: usize, y: usize, text: &str, room: usize) {
        let glyph_width = get_raster_width(WEIGHT, HEIGHT);
        let fits = room / glyph_width;
        let cut = text.chars().count() > fits;
        let shown: Vec<char> = text.chars().take(if cut { fits.saturating_sub(2) } else { fits }).collect();
        let dots = if cut { ".." } else { "" };
        for (index, character) in shown.into_iter().chain(dots.chars()).enumerate() {
            // A letter that the font lacks is shown as a question mark rather than left out.
            let Some(raster) = get_raster(character, WEIGHT, HEIGHT).or_else(|| get_raster('?', WEIGHT, HEIGHT)) else {
                continue;
            };
            for (row, line) in raster.raster().iter().enumerate() {
                for (column, ink) in line.iter().enumerate() {
                    if *ink > 0 {
                        let value = 255 - (u16::from(*ink) * 225 / 255) as u8;
                        self.set(x + index * glyph_width + column, y + row, [value; 3]);
                    }
                }
            }
        }
    }

    pub(super) fn into_image(self) -> RgbImage8 {
        RgbImage8 { width: self.width as u32, height: self.height as u32, data: self.data }
    }
}
