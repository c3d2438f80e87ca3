//! Pictures for the shell: a heat map over an image with a legend of values, and contact sheets.

mod ink;

use headspan_images::RgbImage8;
use serde::{Deserialize, Serialize};

use ink::{GLYPH_HEIGHT, Ink, text_width};

/// Height and width of an image on a heat map.
const SIDE: usize = 448;
/// Height and width of an image on a contact sheet.
const TILE: usize = 176;
const MARGIN: usize = 12;
const LEGEND_WIDTH: usize = 18;
/// Where the two halves of the diverging scale begin and end: over a picture their palest tones are a veil, and their darkest
/// can no longer be told apart.
const PALEST: f64 = 0.5;
const DEEPEST: f64 = 0.8;

/// How scores become colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shading {
    /// Bilinear between the centres of patches.
    #[default]
    Smooth,
    /// One colour a patch.
    Patches,
}

/// Lowest and highest value of the colours.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Scale {
    /// Value of the first colour.
    pub low: f32,
    /// Value of the last colour.
    pub high: f32,
    /// Whether zero is the middle, of its own colour.
    pub diverging: bool,
}

impl Scale {
    /// From the smallest to the largest of some scores.
    pub fn of(scores: &[f32]) -> Self {
        let low = scores.iter().copied().fold(f32::INFINITY, f32::min);
        let high = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        Self { low, high, diverging: false }
    }

    /// As far below zero as above, and far enough for all of some scores. On a scale from the smallest to the largest the best patch looks
    /// like a find even in an image without the thing.
    pub fn around_zero_of<'a>(scores: impl IntoIterator<Item = &'a f32>) -> Self {
        Self::around_zero(scores.into_iter().fold(0.0, |most, score| most.max(score.abs())))
    }

    /// As far below zero as above.
    pub fn around_zero(extent: f32) -> Self {
        Self { low: -extent, high: extent, diverging: true }
    }

    /// Where a value stands between the ends, 0 to 1; a half if there is nothing between.
    pub fn place(&self, value: f32) -> f32 {
        let range = self.high - self.low;
        if range > 0.0 { ((value - self.low) / range).clamp(0.0, 1.0) } else { 0.5 }
    }

    /// The colour of a value: Viridis, or blue below zero and orange above it, deeper the farther from it. Both are told
    /// apart by people with any of the common kinds of colour blindness. What is near zero is not pale but clear ([`cover`]).
    ///
    /// [`cover`]: Self::cover
    pub fn color(&self, value: f32) -> [u8; 3] {
        let color = if self.diverging {
            let side = if self.place(value) < 0.5 { colorous::BLUES } else { colorous::ORANGES };
            side.eval_continuous(PALEST + f64::from(self.distance(value)) * (DEEPEST - PALEST))
        } else {
            colorous::VIRIDIS.eval_continuous(f64::from(self.place(value)))
        };
        [color.r, color.g, color.b]
    }

    /// How much of a picture a value's colour covers, 0 to 1. About zero a diverging scale has nothing to say, and a pale
    /// veil would only hide the picture: there it is clear. The root keeps small values visible beside one large one.
    pub fn cover(&self, value: f32) -> f32 {
        if self.diverging { self.distance(value).cbrt() } else { 1.0 }
    }

    /// Distance from the middle of the scale, 0 to 1.
    fn distance(&self, value: f32) -> f32 {
        (2.0 * self.place(value) - 1.0).abs()
    }
}

/// Draws token scores (`[grid, grid]`) over an image, with a title and a legend of values. `image` is what the model saw: a
/// square. `opacity` is that of the colours, 0 to 1.
///
/// # Panics
/// If there are not `grid · grid` scores.
pub fn heat_map(
    image: &RgbImage8,
    scores: &[f32],
    grid: usize,
    scale: &Scale,
    shading: Shading,
    opacity: f32,
    title: &str,
) -> RgbImage8 {
    assert_eq!(scores.len(), grid * grid, "a score for each patch");
    let labels = [scale.high, f32::midpoint(scale.low, scale.high), scale.low].map(number);
    let label_width = labels.iter().map(|label| text_width(label)).max().unwrap_or(0);
    let top = MARGIN + GLYPH_HEIGHT + MARGIN / 2;
    let legend = 2 * MARGIN + SIDE;
    let mut ink = Ink::paper(legend + LEGEND_WIDTH + 6 + label_width + MARGIN, top + SIDE + MARGIN);
    ink.text(MARGIN, MARGIN, title, SIDE + LEGEND_WIDTH + MARGIN + label_width);
    for row in 0..SIDE {
        for column in 0..SIDE {
            let (y, x) = ((row as f32 + 0.5) / SIDE as f32, (column as f32 + 0.5) / SIDE as f32);
            let score = score_at(scores, grid, x, y, shading);
            let opacity = opacity * scale.cover(score);
            ink.set(MARGIN + column, top + row, blend(pixel_at(image, x, y), scale.color(score), opacity));
        }
    }
    for row in 0..SIDE {
        let value = scale.high + (scale.low - scale.high) * (row as f32 / (SIDE - 1) as f32);
        for column in 0..LEGEND_WIDTH {
            ink.set(legend + column, top + row, blend([255.0; 3], scale.color(value), scale.cover(value)));
        }
    }
    let places = [top, top + (SIDE - GLYPH_HEIGHT) / 2, top + SIDE - GLYPH_HEIGHT];
    for (label, y) in labels.iter().zip(places) {
        ink.text(legend + LEGEND_WIDTH + 6, y, label, label_width);
    }
    ink.into_image()
}

/// Draws images in rows, each above its lines of text.
pub fn contact_sheet(images: &[(RgbImage8, Vec<String>)], columns: usize) -> RgbImage8 {
    let columns = columns.clamp(1, images.len().max(1));
    let lines = images.iter().map(|(_, lines)| lines.len()).max().unwrap_or(0);
    let cell = TILE + 4 + lines * GLYPH_HEIGHT + MARGIN;
    let rows = images.len().div_ceil(columns).max(1);
    let mut ink = Ink::paper(MARGIN + columns * (TILE + MARGIN), MARGIN + rows * cell);
    for (index, (image, lines)) in images.iter().enumerate() {
        let (left, top) = (MARGIN + index % columns * (TILE + MARGIN), MARGIN + index / columns * cell);
        for row in 0..TILE {
            for column in 0..TILE {
                let (y, x) = ((row as f32 + 0.5) / TILE as f32, (column as f32 + 0.5) / TILE as f32);
                ink.set(left + column, top + row, pixel_at(image, x, y).map(|channel| channel.round() as u8));
            }
        }
        for (line, text) in lines.iter().enumerate() {
            ink.text(left, top + TILE + 4 + line * GLYPH_HEIGHT, text, TILE);
        }
    }
    ink.into_image()
}

/// PNG file of an image.
pub fn png(image: &RgbImage8) -> Result<Vec<u8>, png::EncodingError> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, image.width, image.height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&image.data)?;
    writer.finish()?;
    Ok(bytes)
}

/// Four decimals, or three digits of what is too small or large for them: short enough for a legend, and scores that are near each
/// other stay apart.
pub fn number(value: f32) -> String {
    let size = value.abs();
    if size != 0.0 && !(1e-2..1e4).contains(&size) { format!("{value:.2e}") } else { format!("{value:.4}") }
}

/// Score at a place of the picture, both from 0 to 1.
pub fn score_at(scores: &[f32], grid: usize, x: f32, y: f32, shading: Shading) -> f32 {
    let last = grid - 1;
    match shading {
        Shading::Patches => {
            let index = |place: f32| ((place * grid as f32) as usize).min(last);
            scores[index(y) * grid + index(x)]
        }
        Shading::Smooth => {
            let split = |place: f32| {
                let place = (place * grid as f32 - 0.5).clamp(0.0, last as f32);
                let low = (place as usize).min(last);
                (low, (low + 1).min(last), place - low as f32)
            };
            let ((left, right, across), (top, bottom, down)) = (split(x), split(y));
            let at = |row: usize, column: usize| scores[row * grid + column];
            let upper = at(top, left) + (at(top, right) - at(top, left)) * across;
            let lower = at(bottom, left) + (at(bottom, right) - at(bottom, left)) * across;
            upper + (lower - upper) * down
        }
    }
}

/// Colour of an image at a place of its largest centred square, bilinear.
fn pixel_at(image: &RgbImage8, x: f32, y: f32) -> [f32; 3] {
    let (width, height) = (image.width as f32, image.height as f32);
    let side = width.min(height);
    let place = |at: f32, length: f32| ((length - side) / 2.0 + at * side - 0.5).clamp(0.0, length - 1.0);
    let (x, y) = (place(x, width), place(y, height));
    let (left, top) = (x as usize, y as usize);
    let (right, bottom) = ((left + 1).min(image.width as usize - 1), (top + 1).min(image.height as usize - 1));
    let (across, down) = (x - left as f32, y - top as f32);
    let at = |row: usize, column: usize, channel: usize| {
        f32::from(image.data[(row * image.width as usize + column) * 3 + channel])
    };
    std::array::from_fn(|channel| {
        let upper = at(top, left, channel) * (1.0 - across) + at(top, right, channel) * across;
        let lower = at(bottom, left, channel) * (1.0 - across) + at(bottom, right, channel) * across;
        upper * (1.0 - down) + lower * down
    })
}

fn blend(under: [f32; 3], over: [u8; 3], opacity: f32) -> [u8; 3] {
    std::array::from_fn(|channel| {
        (under[channel] * (1.0 - opacity) + f32::from(over[channel]) * opacity).round().clamp(0.0, 255.0) as u8
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grey() -> RgbImage8 {
        RgbImage8 { width: 4, height: 4, data: vec![128; 48] }
    }

    fn pixel(image: &RgbImage8, x: usize, y: usize) -> [u8; 3] {
        let at = (y * image.width as usize + x) * 3;
        [image.data[at], image.data[at + 1], image.data[at + 2]]
    }

    #[test]
    fn a_heat_map_has_the_colours_of_its_scale() {
        let scores = [0.0, 1.0, 2.0, 3.0];
        let scale = Scale::of(&scores);
        let map = heat_map(&grey(), &scores, 2, &scale, Shading::Patches, 1.0, "four patches");
        let top = MARGIN + GLYPH_HEIGHT + MARGIN / 2;
        let center = |row: usize, column: usize| {
            pixel(&map, MARGIN + SIDE / 4 + column * SIDE / 2, top + SIDE / 4 + row * SIDE / 2)
        };
        assert_eq!(center(0, 0), scale.color(0.0));
        assert_eq!(center(0, 1), scale.color(1.0));
        assert_eq!(center(1, 0), scale.color(2.0));
        assert_eq!(center(1, 1), scale.color(3.0));
        let unseen = heat_map(&grey(), &scores, 2, &scale, Shading::Smooth, 0.0, "");
        assert_eq!(pixel(&unseen, MARGIN + 9, top + 9), [128; 3]);
    }

    #[test]
    fn bright_does_not_wrap_to_dark() {
        let white = RgbImage8 { width: 1, height: 1, data: vec![255; 3] };
        let map =
            heat_map(&white, &[1.0], 1, &Scale { low: 0.0, high: 1.0, diverging: false }, Shading::Smooth, 0.5, "");
        let [red, green, blue] = pixel(&map, MARGIN + 5, MARGIN + GLYPH_HEIGHT + MARGIN / 2 + 5);
        assert!(red > 250 && green > 240 && blue > 130, "white under yellow is {red} {green} {blue}");
    }

    #[test]
    fn a_smooth_map_is_exact_at_the_centres_and_between() {
        let scores = [0.0, 1.0, 2.0, 3.0];
        let at = |x: f32, y: f32| score_at(&scores, 2, x, y, Shading::Smooth);
        assert!((at(0.25, 0.25) - 0.0).abs() < 1e-6 && (at(0.75, 0.75) - 3.0).abs() < 1e-6);
        assert!((at(0.5, 0.5) - 1.5).abs() < 1e-6);
        assert!((at(0.0, 0.0) - 0.0).abs() < 1e-6, "flat outside the centres");
    }

    #[test]
    fn equal_scores_have_a_colour() {
        let scale = Scale::of(&[2.0, 2.0]);
        assert!((scale.place(2.0) - 0.5).abs() < 1e-6);
    }

    #[test]
    fn below_zero_is_blue_and_above_it_orange() {
        let scale = Scale::around_zero(0.3);
        for value in [0.01, 0.1, 0.3] {
            let (low, high) = (scale.color(-value), scale.color(value));
            assert!(low[2] > low[1] && low[1] > low[0], "{low:?} is not blue");
            assert!(high[0] > high[1] && high[1] > high[2], "{high:?} is not orange");
        }
        let lightness = |value: f32| scale.color(value).map(u32::from).iter().sum::<u32>();
        assert!(lightness(0.3) < lightness(0.1) && lightness(-0.3) < lightness(-0.1), "deeper away from zero");
    }

    #[test]
    fn zero_lets_the_picture_through() {
        let scores = [-1.0, 0.0, 0.25, 1.0];
        let scale = Scale::around_zero(1.0);
        let map = heat_map(&grey(), &scores, 2, &scale, Shading::Patches, 1.0, "");
        let top = MARGIN + GLYPH_HEIGHT + MARGIN / 2;
        let center = |row: usize, column: usize| {
            pixel(&map, MARGIN + SIDE / 4 + column * SIDE / 2, top + SIDE / 4 + row * SIDE / 2)
        };
        assert_eq!((center(0, 0), center(1, 1)), (scale.color(-1.0), scale.color(1.0)), "the ends cover it");
        assert_eq!(center(0, 1), [128; 3], "zero does not");
        assert!((scale.cover(0.125) - 0.5).abs() < 1e-6 && (Scale::of(&scores).cover(0.0) - 1.0).abs() < 1e-6);
    }

    #[test]
    fn a_sheet_has_a_place_for_everything() -> Result<(), png::EncodingError> {
        let sheet: Vec<_> = (0..5).map(|index| (grey(), vec![format!("image {index}"), "0.1234".to_owned()])).collect();
        let image = contact_sheet(&sheet, 3);
        assert_eq!(image.width as usize, MARGIN + 3 * (TILE + MARGIN));
        assert_eq!(image.data.len(), (image.width * image.height * 3) as usize);
        assert!(png(&image)?.starts_with(b"\x89PNG"));
        Ok(())
    }
}
