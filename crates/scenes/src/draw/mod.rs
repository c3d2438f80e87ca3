//! Drawing of a scene: scenery, objects, weather, sign, and what the style does to the picture.

mod canvas;
mod glyphs;
mod objects;
mod scenery;
mod shapes;
mod style;
mod weather;

use rand::Rng;

use crate::attributes::Attributes;
use canvas::Canvas;

/// Draws a scene: RGB with 3 bytes a pixel, and the mask of its objects with one.
pub(crate) fn render(attributes: &Attributes, pixels: u32, random: &mut impl Rng) -> (Vec<u8>, Vec<u8>) {
    let mut canvas = Canvas::new(pixels);
    scenery::draw(&mut canvas, attributes, random);
    weather::behind(&mut canvas, attributes);
    let mask = objects::draw(&mut canvas, attributes, random);
    weather::before(&mut canvas, attributes, random);
    glyphs::draw(&mut canvas, attributes, random);
    let mut image = canvas.into_rgb();
    style::apply(&mut image, pixels as usize, attributes.style);
    (image, mask)
}
