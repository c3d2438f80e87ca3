use rand::Rng;
use tiny_skia::Transform;

use super::canvas::{Canvas, Rgb, SIDE, between, circle, line, rectangle};
use crate::attributes::{Attributes, Weather};

const RAINBOW: [Rgb; 6] =
    [[228, 60, 60], [246, 150, 50], [250, 228, 70], [80, 190, 90], [70, 120, 230], [150, 80, 200]];

/// What the weather puts behind the objects.
pub(super) fn behind(canvas: &mut Canvas, attributes: &Attributes) {
    if attributes.weather == Weather::Rainbow {
        for (band, color) in RAINBOW.iter().enumerate() {
            let radius = 36.0 - 1.8 * band as f32;
            let points: Vec<(f32, f32)> = (0..=32)
                .map(|step| step as f32 * std::f32::consts::PI / 32.0)
                .map(|angle| (SIDE / 2.0 - radius * libm::cosf(angle), 40.0 - radius * libm::sinf(angle)))
                .collect();
            canvas.stroke(line(&points).as_ref(), Transform::identity(), 2.0, *color, 0.8);
        }
    }
}

/// What the weather puts before the objects.
pub(super) fn before(canvas: &mut Canvas, attributes: &Attributes, random: &mut impl Rng) {
    match attributes.weather {
        Weather::Clear | Weather::Rainbow => {}
        Weather::Rain => {
            canvas.fill(rectangle(0.0, 0.0, SIDE, SIDE), [70, 78, 92], 0.28);
            for _ in 0..38 {
                let (x, y) = (between(random, -2.0, 66.0), between(random, -4.0, 62.0));
                let drop = line(&[(x, y), (x - 1.8, y + 5.4)]);
                canvas.stroke(drop.as_ref(), Transform::identity(), 0.6, [208, 224, 245], 0.75);
            }
        }
        Weather::Snowfall => {
            for _ in 0..40 {
                let (x, y) = (between(random, 0.0, SIDE), between(random, 0.0, SIDE));
                canvas.fill(circle(x, y, between(random, 0.6, 1.3)), [255, 255, 255], 0.92);
            }
        }
        Weather::Fog => canvas.fill(rectangle(0.0, 0.0, SIDE, SIDE), [216, 219, 224], 0.4),
    }
}
