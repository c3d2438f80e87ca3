use tiny_skia::{Path, PathBuilder};

use super::canvas::{Rgb, circle, joined, line, oval, polygon, rectangle};
use crate::attributes::Kind;

const LINE: Tone = Tone::Line;
const DARK: Tone = Tone::Own([34, 34, 42]);
const LIGHT: Tone = Tone::Own([246, 242, 228]);
const WOOD: Tone = Tone::Own([112, 70, 38]);
const GLASS: Tone = Tone::Own([168, 214, 236]);
const FLAME: Tone = Tone::Own([255, 150, 30]);

/// How a part of an object is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    /// A colour of its own, whatever the object's.
    Own(Rgb),
    /// A dark line along the path.
    Line,
}

/// An object in a square from -1 to 1, y downwards.
pub(super) struct Shape {
    /// What has the object's colour and pattern.
    pub(super) body: Option<Path>,
    /// Parts of other tones, in the order of drawing.
    pub(super) details: Vec<(Option<Path>, Tone)>,
}

/// The shape of a kind.
pub(super) fn shape(kind: Kind) -> Shape {
    match kind {
        Kind::Ball => ball(),
        Kind::House => house(),
        Kind::Tree => tree(),
        Kind::Boat => boat(),
        Kind::Car => car(),
        Kind::Fish => fish(),
        Kind::Star => Shape { body: star(), details: Vec::new() },
        Kind::Mug => mug(),
        Kind::Mushroom => mushroom(),
        Kind::Rocket => rocket(),
    }
}

fn ball() -> Shape {
    let seam = |bow: f32| {
        let mut path = PathBuilder::new();
        path.move_to(0.0, -0.92);
        path.quad_to(bow, 0.0, 0.0, 0.92);
        path.finish()
    };
    let panel = {
        let mut path = PathBuilder::new();
        path.move_to(0.0, -0.94);
        path.quad_to(0.72, 0.0, 0.0, 0.94);
        path.quad_to(-0.72, 0.0, 0.0, -0.94);
        path.close();
        path.finish()
    };
    let details = vec![(seam(1.5), LINE), (seam(-1.5), LINE), (panel, LIGHT)];
    Shape { body: circle(0.0, 0.0, 0.95), details }
}

fn house() -> Shape {
    let body = joined(&[
        rectangle(-0.72, -0.1, 0.72, 0.95),
        polygon(&[(-1.0, -0.08), (0.0, -0.95), (1.0, -0.08)]),
        rectangle(0.38, -0.9, 0.62, -0.3),
    ]);
    let details = vec![
        (rectangle(-0.18, 0.35, 0.2, 0.95), DARK),
        (rectangle(-0.58, 0.1, -0.28, 0.45), LIGHT),
        (rectangle(0.32, 0.1, 0.62, 0.45), LIGHT),
        (line(&[(-0.95, -0.1), (0.95, -0.1)]), LINE),
    ];
    Shape { body, details }
}

fn tree() -> Shape {
    let tier = |top: f32, half: f32| polygon(&[(-half, top + 0.64), (0.0, top), (half, top + 0.64)]);
    let body = joined(&[tier(-0.98, 0.5), tier(-0.62, 0.7), tier(-0.2, 0.9)]);
    Shape { body, details: vec![(rectangle(-0.18, 0.44, 0.18, 0.98), WOOD)] }
}

fn boat() -> Shape {
    let hull = polygon(&[(-0.98, 0.38), (0.98, 0.38), (0.6, 0.95), (-0.6, 0.95)]);
    let sails =
        [polygon(&[(0.1, -0.98), (0.1, 0.28), (0.92, 0.28)]), polygon(&[(-0.08, -0.8), (-0.08, 0.28), (-0.8, 0.28)])];
    let [main, fore] = sails;
    let mast = line(&[(0.01, -0.98), (0.01, 0.38)]);
    Shape { body: joined(&[main, fore]), details: vec![(mast, LINE), (hull, WOOD)] }
}

fn car() -> Shape {
    let body = joined(&[
        polygon(&[(-0.98, 0.05), (-0.9, -0.1), (0.9, -0.05), (0.98, 0.1), (0.98, 0.48), (-0.98, 0.48)]),
        polygon(&[(-0.62, -0.05), (-0.4, -0.55), (0.35, -0.55), (0.62, -0.02)]),
    ]);
    let details = vec![
        (polygon(&[(-0.46, -0.08), (-0.32, -0.42), (-0.06, -0.42), (-0.06, -0.08)]), GLASS),
        (polygon(&[(0.06, -0.08), (0.06, -0.42), (0.28, -0.42), (0.44, -0.08)]), GLASS),
        (circle(-0.52, 0.48, 0.3), DARK),
        (circle(0.52, 0.48, 0.3), DARK),
        (circle(-0.52, 0.48, 0.13), LIGHT),
        (circle(0.52, 0.48, 0.13), LIGHT),
    ];
    Shape { body, details }
}

fn fish() -> Shape {
    let body = joined(&[
        oval(-0.98, -0.5, 0.55, 0.5),
        polygon(&[(0.35, 0.0), (0.98, -0.55), (0.98, 0.55)]),
        polygon(&[(-0.35, -0.4), (0.0, -0.8), (0.25, -0.35)]),
    ]);
    let details = vec![
        (circle(-0.6, -0.1, 0.2), LIGHT),
        (circle(-0.62, -0.1, 0.11), DARK),
        (line(&[(-0.32, -0.34), (-0.22, 0.0), (-0.32, 0.34)]), LINE),
    ];
    Shape { body, details }
}

fn star() -> Option<Path> {
    let corner = |index: usize| {
        let angle = index as f32 * std::f32::consts::PI / 5.0;
        let radius = if index.is_multiple_of(2) { 1.0 } else { 0.42 };
        (radius * libm::sinf(angle), -radius * libm::cosf(angle))
    };
    polygon(&(0..10).map(corner).collect::<Vec<_>>())
}

fn mug() -> Shape {
    let handle = {
        let mut path = PathBuilder::new();
        path.move_to(0.45, -0.4);
        path.cubic_to(1.15, -0.5, 1.15, 0.55, 0.45, 0.45);
        path.line_to(0.45, 0.2);
        path.cubic_to(0.8, 0.25, 0.8, -0.2, 0.45, -0.15);
        path.close();
        path.finish()
    };
    let body = joined(&[polygon(&[(-0.75, -0.75), (0.5, -0.75), (0.5, 0.85), (-0.75, 0.85)]), handle]);
    Shape { body, details: vec![(oval(-0.75, -0.95, 0.5, -0.58), DARK)] }
}

fn mushroom() -> Shape {
    let mut cap = PathBuilder::new();
    cap.move_to(-0.98, 0.12);
    cap.cubic_to(-0.9, -1.2, 0.9, -1.2, 0.98, 0.12);
    cap.close();
    let stem = polygon(&[(-0.3, 0.1), (0.3, 0.1), (0.4, 0.95), (-0.4, 0.95)]);
    Shape { body: cap.finish(), details: vec![(stem, LIGHT)] }
}

fn rocket() -> Shape {
    let mut hull = PathBuilder::new();
    hull.move_to(0.0, -1.0);
    hull.cubic_to(0.55, -0.6, 0.45, 0.2, 0.35, 0.6);
    hull.line_to(-0.35, 0.6);
    hull.cubic_to(-0.45, 0.2, -0.55, -0.6, 0.0, -1.0);
    hull.close();
    let fins = [polygon(&[(-0.36, 0.1), (-0.8, 0.85), (-0.3, 0.6)]), polygon(&[(0.36, 0.1), (0.8, 0.85), (0.3, 0.6)])];
    let [left, right] = fins;
    let details = vec![(circle(0.0, -0.3, 0.19), GLASS), (polygon(&[(-0.3, 0.6), (0.3, 0.6), (0.0, 1.0)]), FLAME)];
    Shape { body: joined(&[hull.finish(), left, right]), details }
}
