use rand::{Rng, RngExt};
use tiny_skia::Transform;

use super::canvas::{Canvas, Rgb, SIDE, between, circle, joined, line, mixed, oval, polygon, rectangle, tinted};
use crate::attributes::{Attributes, Background, Time};

/// Row at which the sky ends.
const HORIZON: f32 = 36.0;

/// Draws the sky of the time of day and the land or water of the background.
pub(super) fn draw(canvas: &mut Canvas, attributes: &Attributes, random: &mut impl Rng) {
    let (top, low) = sky(attributes.time);
    canvas.gradient(0.0, SIDE, top, low);
    if attributes.time == Time::Night {
        for _ in 0..14 {
            let (x, y) = (between(random, 1.0, 63.0), between(random, 1.0, 30.0));
            canvas.fill(circle(x, y, 0.45), [255, 255, 230], 0.9);
        }
        canvas.fill(circle(54.0, 9.0, 4.2), [245, 240, 205], 1.0);
        canvas.fill(circle(52.0, 8.0, 3.7), top, 1.0);
    }
    if attributes.time == Time::Sunset {
        canvas.fill(circle(between(random, 12.0, 52.0), HORIZON - 2.0, 6.0), [255, 225, 120], 1.0);
    }
    let light = tint(attributes.time);
    match attributes.background {
        Background::Meadow => meadow(canvas, light, random),
        Background::Beach => beach(canvas, light, random),
        Background::Sea => sea(canvas, light, random),
        Background::Snow => snow(canvas, light, random),
        Background::Desert => desert(canvas, light, random),
        Background::City => city(canvas, light, attributes.time, random),
        Background::Forest => forest(canvas, light, random),
        Background::Mountains => mountains(canvas, light, random),
    }
}

fn sky(time: Time) -> (Rgb, Rgb) {
    match time {
        Time::Day => ([96, 165, 238], [214, 234, 252]),
        Time::Sunset => ([92, 54, 130], [255, 150, 70]),
        Time::Night => ([8, 10, 36], [38, 44, 92]),
    }
}

/// What the light of the time of day leaves of a colour.
fn tint(time: Time) -> [f32; 3] {
    match time {
        Time::Day => [1.0, 1.0, 1.0],
        Time::Sunset => [0.98, 0.74, 0.62],
        Time::Night => [0.34, 0.38, 0.56],
    }
}

/// A hill line from a left to a right height, with a bow of the given height.
fn ground(canvas: &mut Canvas, left: f32, right: f32, bow: f32, color: Rgb) {
    let steps = 16;
    let mut points: Vec<(f32, f32)> = (0..=steps)
        .map(|step| {
            let t = step as f32 / steps as f32;
            (t * SIDE, left + (right - left) * t - 4.0 * bow * t * (1.0 - t))
        })
        .collect();
    points.extend([(SIDE, SIDE), (0.0, SIDE)]);
    canvas.fill(polygon(&points), color, 1.0);
}

fn meadow(canvas: &mut Canvas, light: [f32; 3], random: &mut impl Rng) {
    ground(canvas, HORIZON, HORIZON + between(random, -2.0, 3.0), 4.0, tinted([118, 190, 84], light));
    ground(canvas, HORIZON + 9.0, HORIZON + 6.0, 3.0, tinted([86, 165, 62], light));
    for _ in 0..36 {
        let (x, y) = (between(random, 1.0, 63.0), between(random, HORIZON + 6.0, 63.0));
        let blade = line(&[(x, y), (x + between(random, -1.0, 1.0), y - 2.4)]);
        canvas.stroke(blade.as_ref(), Transform::identity(), 0.6, tinted([52, 120, 40], light), 0.9);
    }
}

fn beach(canvas: &mut Canvas, light: [f32; 3], random: &mut impl Rng) {
    canvas.fill(rectangle(0.0, HORIZON - 3.0, SIDE, HORIZON + 8.0), tinted([54, 150, 190], light), 1.0);
    ground(canvas, HORIZON + 6.0, HORIZON + between(random, 2.0, 6.0), -1.5, tinted([250, 250, 245], light));
    ground(canvas, HORIZON + 8.0, HORIZON + between(random, 4.5, 7.5), -1.5, tinted([240, 214, 150], light));
    for _ in 0..30 {
        let (x, y) = (between(random, 0.0, SIDE), between(random, HORIZON + 9.0, SIDE));
        canvas.fill(circle(x, y, 0.4), tinted([196, 164, 100], light), 0.8);
    }
}

fn sea(canvas: &mut Canvas, light: [f32; 3], random: &mut impl Rng) {
    canvas.gradient(HORIZON - 6.0, SIDE, tinted([70, 160, 205], light), tinted([14, 70, 130], light));
    for row in 0..6 {
        let y = HORIZON - 2.0 + 5.0 * row as f32;
        let shift = between(random, 0.0, 8.0);
        for crest in 0..9 {
            let x = crest as f32 * 8.0 - shift;
            let wave = line(&[(x, y + 1.0), (x + 2.0, y), (x + 4.0, y + 1.0)]);
            canvas.stroke(wave.as_ref(), Transform::identity(), 0.8, tinted([205, 232, 245], light), 0.85);
        }
    }
}

fn snow(canvas: &mut Canvas, light: [f32; 3], random: &mut impl Rng) {
    ground(canvas, HORIZON + 1.0, HORIZON - between(random, 0.0, 3.0), 5.0, tinted([214, 226, 242], light));
    ground(canvas, HORIZON + 8.0, HORIZON + 11.0, 4.0, tinted([240, 246, 253], light));
    for _ in 0..9 {
        let (x, y) = (between(random, 0.0, SIDE), between(random, HORIZON + 10.0, SIDE));
        canvas.fill(oval(x - 4.0, y - 0.6, x + 4.0, y + 0.6), tinted([190, 208, 232], light), 0.7);
    }
}

fn desert(canvas: &mut Canvas, light: [f32; 3], random: &mut impl Rng) {
    ground(canvas, HORIZON - 2.0, HORIZON + 4.0, between(random, 3.0, 7.0), tinted([226, 160, 84], light));
    ground(canvas, HORIZON + 10.0, HORIZON + 5.0, -3.0, tinted([205, 128, 60], light));
    for row in 0..4 {
        let y = HORIZON + 13.0 + 4.0 * row as f32;
        let points: Vec<(f32, f32)> = (0..=16).map(|step| (step as f32 * 4.0, y + (step % 2) as f32 * 1.2)).collect();
        canvas.stroke(line(&points).as_ref(), Transform::identity(), 0.5, tinted([160, 92, 40], light), 0.7);
    }
    for _ in 0..2 {
        let x = between(random, 4.0, 60.0);
        let cactus = joined(&[
            rectangle(x - 0.9, HORIZON - 6.0, x + 0.9, HORIZON + 4.0),
            rectangle(x - 3.2, HORIZON - 3.0, x - 2.0, HORIZON),
            rectangle(x - 3.2, HORIZON - 0.6, x, HORIZON + 0.6),
        ]);
        canvas.fill(cactus, tinted([60, 110, 60], light), 1.0);
    }
}

fn city(canvas: &mut Canvas, light: [f32; 3], time: Time, random: &mut impl Rng) {
    let window = if time == Time::Day { [205, 225, 240] } else { [255, 225, 120] };
    let mut x = -2.0;
    while x < SIDE {
        let width = between(random, 7.0, 11.0);
        let top = between(random, 10.0, 27.0);
        let grey = between(random, 88.0, 128.0) as u8;
        canvas.fill(
            rectangle(x, top, x + width - 0.6, SIDE),
            tinted([grey, grey, grey.saturating_add(12)], light),
            1.0,
        );
        let mut y = top + 2.0;
        while y < 44.0 {
            let mut column = x + 1.4;
            while column < x + width - 2.0 {
                if random.random::<f32>() < 0.7 {
                    canvas.fill(rectangle(column, y, column + 1.3, y + 1.7), window, 0.9);
                }
                column += 2.6;
            }
            y += 3.6;
        }
        x += width;
    }
    canvas.fill(rectangle(0.0, 46.0, SIDE, SIDE), tinted([70, 70, 76], light), 1.0);
    for dash in 0..6 {
        let left = dash as f32 * 12.0 + 1.0;
        canvas.fill(rectangle(left, 55.0, left + 6.0, 56.4), tinted([235, 235, 225], light), 0.9);
    }
}

fn forest(canvas: &mut Canvas, light: [f32; 3], random: &mut impl Rng) {
    ground(canvas, HORIZON + 3.0, HORIZON + 3.0, 0.0, tinted([44, 74, 36], light));
    for row in 0..3 {
        let base = HORIZON + 4.0 + 9.0 * row as f32;
        let green = mixed([30, 74, 44], [52, 104, 50], row as f32 / 2.0);
        let mut x = between(random, -4.0, 0.0);
        while x < SIDE + 4.0 {
            let height = between(random, 16.0, 26.0);
            canvas.fill(rectangle(x - 0.7, base - 3.0, x + 0.7, base + 2.0), tinted([78, 52, 32], light), 1.0);
            let crown = polygon(&[(x - 4.6, base - 2.0), (x, base - height), (x + 4.6, base - 2.0)]);
            canvas.fill(crown, tinted(green, light), 1.0);
            x += between(random, 6.0, 9.0);
        }
    }
}

fn mountains(canvas: &mut Canvas, light: [f32; 3], random: &mut impl Rng) {
    for (x, grey) in [(10.0, 128), (50.0, 120), (30.0, 104)] {
        let (peak, middle) = (between(random, 8.0, 16.0), x + between(random, -4.0, 4.0));
        let slope = |y: f32| (y - peak) * 0.85;
        let base = 52.0;
        let rock = polygon(&[(middle - slope(base), base), (middle, peak), (middle + slope(base), base)]);
        canvas.fill(rock, tinted([grey, grey - 4, grey + 8], light), 1.0);
        let cap = peak + 9.0;
        let snow = polygon(&[
            (middle - slope(cap), cap),
            (middle, peak),
            (middle + slope(cap), cap),
            (middle + 3.0, cap - 2.5),
            (middle, cap + 1.5),
            (middle - 3.0, cap - 2.0),
        ]);
        canvas.fill(snow, tinted([246, 249, 255], light), 1.0);
    }
    ground(canvas, 50.0, 48.0, 2.0, tinted([112, 124, 92], light));
}
