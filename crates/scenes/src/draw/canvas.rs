use rand::{Rng, RngExt};
use tiny_skia::{
    Color, FillRule, GradientStop, LineCap, LineJoin, LinearGradient, Mask, Paint, Path, PathBuilder, Pixmap, Point,
    Rect, SpreadMode, Stroke, Transform,
};

/// Side of the drawing in its own units, whatever the pixels.
pub(super) const SIDE: f32 = 64.0;

/// Red, green, blue.
pub(super) type Rgb = [u8; 3];

/// A square picture, drawn in units of 1/64 of its side from the upper left corner.
pub(super) struct Canvas {
    pixmap: Pixmap,
    to_pixels: Transform,
}

impl Canvas {
    /// A black picture.
    ///
    /// # Panics
    /// If `pixels` is zero.
    pub(super) fn new(pixels: u32) -> Self {
        let scale = pixels as f32 / SIDE;
        #[expect(clippy::expect_used, reason = "only a side of zero or of gigabytes has no picture")]
        let pixmap = Pixmap::new(pixels, pixels).expect("a picture has at least one pixel");
        Self { pixmap, to_pixels: Transform::from_scale(scale, scale) }
    }

    /// From a path's own units to pixels.
    fn place(&self, placed: Transform) -> Transform {
        placed.post_concat(self.to_pixels)
    }

    #[expect(clippy::needless_pass_by_value, reason = "the path is made in the call")]
    pub(super) fn fill(&mut self, path: Option<Path>, color: Rgb, opacity: f32) {
        self.fill_placed(path.as_ref(), Transform::identity(), color, opacity, None);
    }

    pub(super) fn fill_placed(
        &mut self,
        path: Option<&Path>,
        placed: Transform,
        color: Rgb,
        opacity: f32,
        clip: Option<&Mask>,
    ) {
        if let Some(path) = path {
            self.pixmap.fill_path(path, &solid(color, opacity), FillRule::Winding, self.place(placed), clip);
        }
    }

    /// Draws along a path; `width` in the path's own units.
    pub(super) fn stroke(&mut self, path: Option<&Path>, placed: Transform, width: f32, color: Rgb, opacity: f32) {
        let stroke = Stroke { width, line_cap: LineCap::Round, line_join: LineJoin::Round, ..Stroke::default() };
        if let Some(path) = path {
            self.pixmap.stroke_path(path, &solid(color, opacity), &stroke, self.place(placed), None);
        }
    }

    /// Fills the rows from `top` to `bottom` from one colour to another.
    pub(super) fn gradient(&mut self, top: f32, bottom: f32, from: Rgb, to: Rgb) {
        let stops = vec![GradientStop::new(0.0, opaque(from)), GradientStop::new(1.0, opaque(to))];
        let (start, end) = (Point::from_xy(0.0, top), Point::from_xy(0.0, bottom));
        let shader = LinearGradient::new(start, end, stops, SpreadMode::Pad, Transform::identity());
        if let (Some(shader), Some(rows)) = (shader, Rect::from_ltrb(0.0, top, SIDE, bottom)) {
            let paint = Paint { shader, ..Paint::default() };
            self.pixmap.fill_rect(rows, &paint, self.to_pixels, None);
        }
    }

    /// The part of the picture that a path covers.
    pub(super) fn mask(&self, path: Option<&Path>, placed: Transform) -> Option<Mask> {
        let mut mask = Mask::new(self.pixmap.width(), self.pixmap.height())?;
        mask.fill_path(path?, FillRule::Winding, true, self.place(placed));
        Some(mask)
    }

    /// RGB, 3 bytes a pixel. Everything is drawn over an opaque ground, so there is no alpha to undo.
    pub(super) fn into_rgb(self) -> Vec<u8> {
        self.pixmap.pixels().iter().flat_map(|pixel| [pixel.red(), pixel.green(), pixel.blue()]).collect()
    }
}

fn opaque([red, green, blue]: Rgb) -> Color {
    Color::from_rgba8(red, green, blue, 255)
}

fn solid(color: Rgb, opacity: f32) -> Paint<'static> {
    let mut own = opaque(color);
    own.set_alpha(opacity);
    let mut paint = Paint { anti_alias: true, ..Paint::default() };
    paint.set_color(own);
    paint
}

/// A closed path through points.
pub(super) fn polygon(points: &[(f32, f32)]) -> Option<Path> {
    let mut path = PathBuilder::new();
    for (index, (x, y)) in points.iter().enumerate() {
        if index == 0 { path.move_to(*x, *y) } else { path.line_to(*x, *y) }
    }
    path.close();
    path.finish()
}

/// An open path through points.
pub(super) fn line(points: &[(f32, f32)]) -> Option<Path> {
    let mut path = PathBuilder::new();
    for (index, (x, y)) in points.iter().enumerate() {
        if index == 0 { path.move_to(*x, *y) } else { path.line_to(*x, *y) }
    }
    path.finish()
}

pub(super) fn circle(x: f32, y: f32, radius: f32) -> Option<Path> {
    PathBuilder::from_circle(x, y, radius)
}

pub(super) fn oval(left: f32, top: f32, right: f32, bottom: f32) -> Option<Path> {
    PathBuilder::from_oval(Rect::from_ltrb(left, top, right, bottom)?)
}

pub(super) fn rectangle(left: f32, top: f32, right: f32, bottom: f32) -> Option<Path> {
    Some(PathBuilder::from_rect(Rect::from_ltrb(left, top, right, bottom)?))
}

/// One path of several.
pub(super) fn joined(paths: &[Option<Path>]) -> Option<Path> {
    let mut all = PathBuilder::new();
    for path in paths.iter().flatten() {
        all.push_path(path);
    }
    all.finish()
}

/// A number of a range, both ends included up to rounding.
pub(super) fn between(random: &mut impl Rng, low: f32, high: f32) -> f32 {
    low + (high - low) * random.random::<f32>()
}

/// Multiplies each channel.
pub(super) fn tinted(color: Rgb, tint: [f32; 3]) -> Rgb {
    [0, 1, 2].map(|channel| (f32::from(color[channel]) * tint[channel]).clamp(0.0, 255.0) as u8)
}

/// `share` of the way from one colour to another.
pub(super) fn mixed(from: Rgb, to: Rgb, share: f32) -> Rgb {
    [0, 1, 2].map(|channel| {
        let (from, to) = (f32::from(from[channel]), f32::from(to[channel]));
        (from + (to - from) * share).clamp(0.0, 255.0) as u8
    })
}
