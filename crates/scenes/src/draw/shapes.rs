use tiny_skia::{Path, PathBuilder};

use super::canvas::{circle, joined, line, oval, polygon, rectangle};
use crate::attributes::Kind;

/// How a part of an object is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    /// Dark, whatever the object's colour.
    Dark,
    /// Light, whatever the object's colour.
    Light,
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
        Kind::Butterfly => butterfly(),
        Kind::Flower => flower(),
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
    Shape { body: circle(0.0, 0.0, 0.95), details: vec![(seam(1.1), Tone::Line), (seam(-1.1), Tone::Line)] }
}

fn house() -> Shape {
    let body = joined(&[
        rectangle(-0.72, -0.1, 0.72, 0.95),
        polygon(&[(-1.0, -0.08), (0.0, -0.95), (1.0, -0.08)]),
        rectangle(0.38, -0.9, 0.62, -0.3),
    ]);
    let details = vec![
        (rectangle(-0.18, 0.35, 0.2, 0.95), Tone::Dark),
        (rectangle(-0.56, 0.12, -0.28, 0.42), Tone::Light),
        (rectangle(0.32, 0.12, 0.6, 0.42), Tone::Light),
        (line(&[(-0.95, -0.1), (0.95, -0.1)]), Tone::Line),
    ];
    Shape { body, details }
}

fn tree() -> Shape {
    let tier = |top: f32, half: f32| polygon(&[(-half, top + 0.72), (0.0, top), (half, top + 0.72)]);
    let body = joined(&[tier(-0.98, 0.5), tier(-0.55, 0.7), tier(-0.1, 0.9)]);
    Shape { body, details: vec![(rectangle(-0.15, 0.62, 0.15, 0.98), Tone::Dark)] }
}

fn boat() -> Shape {
    let hull = polygon(&[(-0.98, 0.35), (0.98, 0.35), (0.6, 0.9), (-0.6, 0.9)]);
    let sails =
        [polygon(&[(0.1, -0.95), (0.1, 0.2), (0.85, 0.2)]), polygon(&[(-0.08, -0.7), (-0.08, 0.2), (-0.7, 0.2)])];
    let [main, fore] = sails;
    Shape { body: joined(&[hull, main, fore]), details: vec![(line(&[(0.01, -0.98), (0.01, 0.35)]), Tone::Line)] }
}

fn car() -> Shape {
    let body = joined(&[
        polygon(&[(-0.98, 0.05), (-0.9, -0.1), (0.9, -0.05), (0.98, 0.1), (0.98, 0.48), (-0.98, 0.48)]),
        polygon(&[(-0.62, -0.05), (-0.4, -0.55), (0.35, -0.55), (0.62, -0.02)]),
    ]);
    let details = vec![
        (polygon(&[(-0.46, -0.08), (-0.32, -0.42), (-0.06, -0.42), (-0.06, -0.08)]), Tone::Light),
        (polygon(&[(0.06, -0.08), (0.06, -0.42), (0.28, -0.42), (0.44, -0.08)]), Tone::Light),
        (circle(-0.52, 0.48, 0.26), Tone::Dark),
        (circle(0.52, 0.48, 0.26), Tone::Dark),
        (circle(-0.52, 0.48, 0.1), Tone::Light),
        (circle(0.52, 0.48, 0.1), Tone::Light),
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
        (circle(-0.62, -0.12, 0.14), Tone::Light),
        (circle(-0.64, -0.12, 0.07), Tone::Dark),
        (line(&[(-0.32, -0.34), (-0.22, 0.0), (-0.32, 0.34)]), Tone::Line),
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
    Shape { body, details: vec![(oval(-0.75, -0.95, 0.5, -0.58), Tone::Dark)] }
}

fn mushroom() -> Shape {
    let mut cap = PathBuilder::new();
    cap.move_to(-0.98, 0.12);
    cap.cubic_to(-0.9, -1.2, 0.9, -1.2, 0.98, 0.12);
    cap.close();
    let stem = polygon(&[(-0.3, 0.1), (0.3, 0.1), (0.4, 0.95), (-0.4, 0.95)]);
    Shape { body: cap.finish(), details: vec![(stem, Tone::Light)] }
}

fn butterfly() -> Shape {
    let body = joined(&[
        oval(-0.98, -0.85, -0.06, 0.12),
        oval(0.06, -0.85, 0.98, 0.12),
        oval(-0.78, 0.0, -0.06, 0.8),
        oval(0.06, 0.0, 0.78, 0.8),
    ]);
    let details = vec![
        (oval(-0.1, -0.6, 0.1, 0.65), Tone::Dark),
        (line(&[(-0.05, -0.55), (-0.3, -0.95)]), Tone::Line),
        (line(&[(0.05, -0.55), (0.3, -0.95)]), Tone::Line),
    ];
    Shape { body, details }
}

fn flower() -> Shape {
    let petals: Vec<Option<Path>> = (0..6)
        .map(|index| {
            let angle = index as f32 * std::f32::consts::PI / 3.0;
            circle(0.52 * libm::sinf(angle), -0.25 - 0.52 * libm::cosf(angle), 0.3)
        })
        .collect();
    let details = vec![
        (line(&[(0.0, 0.5), (0.0, 0.98)]), Tone::Line),
        (circle(0.0, -0.25, 0.27), Tone::Light),
        (circle(0.0, -0.25, 0.13), Tone::Dark),
    ];
    Shape { body: joined(&petals), details }
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
    let details =
        vec![(circle(0.0, -0.3, 0.19), Tone::Light), (polygon(&[(-0.2, 0.62), (0.2, 0.62), (0.0, 0.98)]), Tone::Dark)];
    Shape { body: joined(&[hull.finish(), left, right]), details }
}
