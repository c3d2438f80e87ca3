use rand::{Rng, RngExt};
use tiny_skia::{Mask, Transform};

use super::{
    canvas::{Canvas, Rgb, SIDE, between, circle, mixed, rectangle},
    shapes::{Shape, Tone, shape},
};
use crate::attributes::{Attributes, Bystander, Count, Hue, Pattern, Position, Size};

const DARK: Rgb = [34, 34, 42];

/// Half the side of a bystander: less than that of the smallest object that stands alone.
const BYSTANDER: f32 = 9.5;

/// Where a bystander may stand: the corners and the middles of the edges.
const PLACES: [(f32, f32); 8] =
    [(10.5, 10.5), (32.0, 10.5), (53.5, 10.5), (10.5, 32.0), (53.5, 32.0), (10.5, 53.5), (32.0, 53.5), (53.5, 53.5)];

/// Masks of one byte a pixel.
pub(crate) struct Masks {
    /// Of the objects that the scene is of.
    pub(crate) objects: Vec<u8>,
    /// Of what is seen of the bystander; empty where there is none.
    pub(crate) bystander: Vec<u8>,
}

/// Center of a bystander.
pub(super) fn place(bystander: &Bystander) -> (f32, f32) {
    PLACES[bystander.place]
}

/// Places of a bystander that the objects leave free, wherever in their range the objects are drawn.
pub(crate) fn free_places(attributes: &Attributes) -> Vec<usize> {
    let radius = radius(attributes);
    let objects = group(attributes, radius, (0.0, 0.0));
    // A corner of one may come under a corner of the other: objects are drawn over bystanders.
    let clear = |place: &(f32, f32)| {
        objects.iter().all(|center| (center.0 - place.0).hypot(center.1 - place.1) > radius + BYSTANDER)
    };
    (0..PLACES.len()).filter(|at| clear(&PLACES[*at])).collect()
}

/// Draws the objects, over the bystander.
pub(super) fn draw(
    canvas: &mut Canvas,
    attributes: &Attributes,
    bystander: Option<&Bystander>,
    random: &mut impl Rng,
) -> Masks {
    let behind = bystander.and_then(|bystander| {
        let own = Attributes { kind: bystander.kind, hue: bystander.hue, pattern: Pattern::Plain, ..*attributes };
        let (x, y) = place(bystander);
        // It faces the middle.
        let mirrored = if x > SIDE / 2.0 { -1.0 } else { 1.0 };
        let placed = Transform::from_scale(BYSTANDER * mirrored, BYSTANDER).post_translate(x, y);
        let shape = shape(own.kind);
        object(canvas, &own, &shape, placed);
        outline_of(canvas, &shape, placed, None)
    });
    let objects = draw_objects(canvas, attributes, random);
    let mut bystander = behind.map(Mask::take).unwrap_or_default();
    bystander.iter_mut().zip(&objects).for_each(|(seen, over)| *seen = (*seen).min(255 - over));
    Masks { objects, bystander }
}

/// Draws the objects and returns their mask.
fn draw_objects(canvas: &mut Canvas, attributes: &Attributes, random: &mut impl Rng) -> Vec<u8> {
    let radius = radius(attributes) * between(random, 0.94, 1.06);
    let shape = shape(attributes.kind);
    let mut covered: Option<Mask> = None;
    let jitter = (between(random, -2.0, 2.0), between(random, -2.0, 2.0));
    for (x, y) in group(attributes, radius, jitter) {
        let mirrored = if random.random::<f32>() < 0.5 { -1.0 } else { 1.0 };
        let placed = Transform::from_scale(radius * mirrored, radius)
            .post_rotate(between(random, -7.0, 7.0))
            .post_translate(x, y);
        object(canvas, attributes, &shape, placed);
        covered = outline_of(canvas, &shape, placed, covered);
    }
    covered.map(Mask::take).unwrap_or_default()
}

/// The mask of a shape, united with what is covered already.
fn outline_of(canvas: &Canvas, shape: &Shape, placed: Transform, covered: Option<Mask>) -> Option<Mask> {
    std::iter::once(&shape.body)
        .chain(solid_details(shape))
        .fold(covered, |covered, path| united(covered, canvas.mask(path.as_ref(), placed)))
}

fn solid_details(shape: &Shape) -> impl Iterator<Item = &Option<tiny_skia::Path>> {
    shape.details.iter().filter(|(_, tone)| *tone != Tone::Line).map(|(path, _)| path)
}

fn united(all: Option<Mask>, own: Option<Mask>) -> Option<Mask> {
    match (all, own) {
        (Some(mut all), Some(own)) => {
            all.data_mut().iter_mut().zip(own.data()).for_each(|(to, from)| *to = (*to).max(*from));
            Some(all)
        }
        (all, own) => all.or(own),
    }
}

/// Half the side of one object. More objects are smaller each, or four large ones would not fit.
fn radius(attributes: &Attributes) -> f32 {
    let alone = match attributes.size {
        Size::Small => 13.0,
        Size::Medium => 16.5,
        Size::Large => 20.0,
    };
    let share = match attributes.count {
        Count::One => 1.0,
        Count::Two => 0.8,
        Count::Three => 0.76,
        Count::Four => 0.72,
    };
    alone * share
}

/// Where the objects stand: in a group about the position, inside the picture.
fn group(attributes: &Attributes, radius: f32, jitter: (f32, f32)) -> Vec<(f32, f32)> {
    let gap = 1.12 * radius;
    let group: &[(f32, f32)] = match attributes.count {
        Count::One => &[(0.0, 0.0)],
        Count::Two => &[(-1.0, 0.0), (1.0, 0.0)],
        Count::Three => &[(0.0, -1.0), (-1.0, 1.0), (1.0, 1.0)],
        Count::Four => &[(-1.0, -1.0), (1.0, -1.0), (-1.0, 1.0), (1.0, 1.0)],
    };
    let (x, y) = match attributes.position {
        Position::Center => (32.0, 33.0),
        Position::Left => (14.0, 33.0),
        Position::Right => (50.0, 33.0),
        Position::Top => (32.0, 14.0),
        Position::Bottom => (32.0, 50.0),
    };
    let reach =
        |axis: fn(&(f32, f32)) -> f32| group.iter().map(|place| axis(place).abs() * gap).fold(0.0, f32::max) + radius;
    let inside = |center: f32, reach: f32| center.clamp(reach.min(SIDE / 2.0), (SIDE - reach).max(SIDE / 2.0));
    let x = inside(x + jitter.0, reach(|place| place.0));
    let y = inside(y + jitter.1, reach(|place| place.1));
    group.iter().map(|(across, down)| (x + across * gap, y + down * gap)).collect()
}

fn object(canvas: &mut Canvas, attributes: &Attributes, shape: &Shape, placed: Transform) {
    let color = color(attributes.hue);
    // An outline keeps a white object on snow and a black one at night in sight.
    let outline = if attributes.hue == Hue::Black { [190, 190, 196] } else { DARK };
    canvas.stroke(shape.body.as_ref(), placed, 0.17, outline, 0.9);
    canvas.fill_placed(shape.body.as_ref(), placed, color, 1.0, None);
    if let Some(clip) = canvas.mask(shape.body.as_ref(), placed) {
        pattern(canvas, attributes.pattern, contrast(color), placed, &clip);
    }
    for (path, tone) in &shape.details {
        match tone {
            Tone::Own(color) => canvas.fill_placed(path.as_ref(), placed, *color, 1.0, None),
            Tone::Line => canvas.stroke(path.as_ref(), placed, 0.1, outline, 0.8),
        }
    }
}

fn pattern(canvas: &mut Canvas, pattern: Pattern, color: Rgb, placed: Transform, clip: &Mask) {
    let mut fill = |path| canvas.fill_placed(Option::as_ref(&path), placed, color, 1.0, Some(clip));
    match pattern {
        Pattern::Plain => {}
        Pattern::Striped => {
            for stripe in 0..4 {
                let top = -0.9 + 0.5 * stripe as f32;
                fill(rectangle(-1.1, top, 1.1, top + 0.24));
            }
        }
        Pattern::Dotted => {
            for row in -2..=2_i32 {
                for column in -2..=2_i32 {
                    let shift = if row % 2 == 0 { 0.0 } else { 0.25 };
                    fill(circle(0.5 * column as f32 + shift, 0.44 * row as f32, 0.14));
                }
            }
        }
        Pattern::Checkered => {
            let cell = 0.4;
            for row in -3..3_i32 {
                for column in (-3..3_i32).filter(|column| (row + column) % 2 == 0) {
                    let (left, top) = (cell * column as f32, cell * row as f32);
                    fill(rectangle(left, top, left + cell, top + cell));
                }
            }
        }
    }
}

fn color(hue: Hue) -> Rgb {
    match hue {
        Hue::Red => [216, 38, 38],
        Hue::Orange => [247, 132, 22],
        Hue::Yellow => [250, 216, 38],
        Hue::Green => [36, 158, 66],
        Hue::Blue => [36, 88, 222],
        Hue::Purple => [128, 52, 188],
        Hue::Pink => [252, 138, 190],
        Hue::Brown => [122, 72, 36],
        Hue::Black => [28, 28, 32],
        Hue::White => [248, 248, 248],
    }
}

/// A colour in which a pattern shows on another: the same hue, darker or lighter.
fn contrast(color: Rgb) -> Rgb {
    let [red, green, blue] = color.map(f32::from);
    let luminance = 0.299 * red + 0.587 * green + 0.114 * blue;
    if luminance > 120.0 { mixed(color, [0, 0, 0], 0.5) } else { mixed(color, [255, 255, 255], 0.62) }
}
