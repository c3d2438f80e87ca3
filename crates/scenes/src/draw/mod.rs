//! Drawing of a scene: scenery, objects, weather, sign, and what the style does to the picture.

mod canvas;
mod glyphs;
mod objects;
mod scenery;
mod shapes;
mod style;
mod weather;

use rand::Rng;

use crate::attributes::{Attributes, Bystander};
use canvas::Canvas;
pub(crate) use objects::{Masks, free_places};

/// Draws a scene: RGB with 3 bytes a pixel, and the masks of its objects.
pub(crate) fn render(
    attributes: &Attributes,
    bystander: Option<&Bystander>,
    pixels: u32,
    random: &mut impl Rng,
) -> (Vec<u8>, Masks) {
    let mut canvas = Canvas::new(pixels);
    scenery::draw(&mut canvas, attributes, random);
    weather::behind(&mut canvas, attributes);
    let masks = objects::draw(&mut canvas, attributes, bystander, random);
    weather::before(&mut canvas, attributes, random);
    glyphs::draw(&mut canvas, attributes, bystander.map(objects::place), random);
    let mut image = canvas.into_rgb();
    style::apply(&mut image, pixels as usize, attributes.style);
    (image, masks)
}
