use rand::{Rng, RngExt};
use tiny_skia::Transform;

use super::canvas::{Canvas, line, rectangle};
use crate::attributes::{Attributes, Glyph};

/// Half the side of a sign.
const HALF: f32 = 6.2;
/// A stroke of a sign: points in a square from -1 to 1, y downwards.
type Pen = &'static [(f32, f32)];

/// Draws the sign in one of the four corners, but not over what stands at `taken`.
pub(super) fn draw(canvas: &mut Canvas, attributes: &Attributes, taken: Option<(f32, f32)>, random: &mut impl Rng) {
    let drawn = random.random_range(0..4_u32);
    let strokes = strokes(attributes.glyph);
    if strokes.is_empty() {
        return;
    }
    let center = |corner: u32| {
        let x = if corner.is_multiple_of(2) { HALF + 1.5 } else { 64.0 - HALF - 1.5 };
        let y = if corner < 2 { HALF + 1.5 } else { 64.0 - HALF - 1.5 };
        (x, y)
    };
    let same = |(x, y): (f32, f32)| taken.is_some_and(|taken| (taken.0 - x).abs() < 9.0 && (taken.1 - y).abs() < 9.0);
    let (x, y) = center(if same(center(drawn)) { (drawn + 1) % 4 } else { drawn });
    canvas.fill(rectangle(x - HALF, y - HALF, x + HALF, y + HALF), [24, 26, 34], 1.0);
    canvas.fill(rectangle(x - HALF + 0.8, y - HALF + 0.8, x + HALF - 0.8, y + HALF - 0.8), [250, 248, 238], 1.0);
    let placed = Transform::from_row(3.2, 0.0, 0.0, 4.0, x, y);
    for stroke in strokes {
        canvas.stroke(line(stroke).as_ref(), placed, 0.5, [24, 26, 34], 1.0);
    }
}

fn strokes(glyph: Glyph) -> &'static [Pen] {
    match glyph {
        Glyph::None => &[],
        Glyph::A => &[&[(-1.0, 1.0), (0.0, -1.0), (1.0, 1.0)], &[(-0.5, 0.25), (0.5, 0.25)]],
        Glyph::E => &[&[(0.9, -1.0), (-0.8, -1.0), (-0.8, 1.0), (0.9, 1.0)], &[(-0.8, 0.0), (0.6, 0.0)]],
        Glyph::H => &[&[(-0.9, -1.0), (-0.9, 1.0)], &[(0.9, -1.0), (0.9, 1.0)], &[(-0.9, 0.0), (0.9, 0.0)]],
        Glyph::K => &[&[(-0.8, -1.0), (-0.8, 1.0)], &[(0.9, -1.0), (-0.8, 0.1), (0.9, 1.0)]],
        Glyph::T => &[&[(-1.0, -1.0), (1.0, -1.0)], &[(0.0, -1.0), (0.0, 1.0)]],
        Glyph::X => &[&[(-0.9, -1.0), (0.9, 1.0)], &[(0.9, -1.0), (-0.9, 1.0)]],
        Glyph::Z => &[&[(-0.9, -1.0), (0.9, -1.0), (-0.9, 1.0), (0.9, 1.0)]],
        Glyph::One => &[&[(-0.5, -0.5), (0.1, -1.0), (0.1, 1.0)], &[(-0.5, 1.0), (0.7, 1.0)]],
        Glyph::Two => &[&[(-0.8, -0.6), (-0.3, -1.0), (0.4, -1.0), (0.8, -0.5), (0.5, 0.0), (-0.9, 1.0), (0.9, 1.0)]],
        Glyph::Four => &[&[(0.4, 1.0), (0.4, -1.0), (-0.9, 0.4), (0.9, 0.4)]],
        Glyph::Seven => &[&[(-0.9, -1.0), (0.9, -1.0), (-0.1, 1.0)], &[(-0.4, 0.0), (0.7, 0.0)]],
    }
}
