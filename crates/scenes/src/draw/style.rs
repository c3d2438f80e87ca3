use crate::attributes::Style;

/// Passes of the box filter: two make a triangle, near enough to a Gaussian.
const BLUR_PASSES: usize = 2;

/// Changes a picture (RGB, `side` rows and columns) as its style does. Whole numbers only, so that every machine agrees.
pub(super) fn apply(image: &mut [u8], side: usize, style: Style) {
    match style {
        Style::Photo => {}
        Style::Sketch => sketch(image, side),
        Style::Inverted => image.iter_mut().for_each(|value| *value = 255 - *value),
        Style::Greyscale => {
            for pixel in image.chunks_exact_mut(3) {
                let grey = luminance(pixel) as u8;
                pixel.fill(grey);
            }
        }
        Style::Blurred => {
            let radius = (side / 56).max(1);
            for _ in 0..BLUR_PASSES {
                box_filter(image, side, radius, 3, 3 * side);
                box_filter(image, side, radius, 3 * side, 3);
            }
        }
        Style::Pixelated => pixelate(image, side, (side / 32).max(2)),
    }
}

/// Rec. 601, in 1/256.
fn luminance(pixel: &[u8]) -> i32 {
    (77 * i32::from(pixel[0]) + 150 * i32::from(pixel[1]) + 29 * i32::from(pixel[2])) >> 8
}

/// Dark lines on paper where the luminance changes (Sobel).
fn sketch(image: &mut [u8], side: usize) {
    let grey: Vec<i32> = image.chunks_exact(3).map(luminance).collect();
    let at = |row: usize, column: usize| grey[row.min(side - 1) * side + column.min(side - 1)];
    for row in 0..side {
        let (above, below) = (row.saturating_sub(1), row + 1);
        for column in 0..side {
            let (left, right) = (column.saturating_sub(1), column + 1);
            let across = at(above, right) + 2 * at(row, right) + at(below, right)
                - at(above, left)
                - 2 * at(row, left)
                - at(below, left);
            let down = at(below, left) + 2 * at(below, column) + at(below, right)
                - at(above, left)
                - 2 * at(above, column)
                - at(above, right);
            let ink = i32::midpoint(across.abs(), down.abs());
            let paper = [250, 247, 238];
            for channel in 0..3 {
                image[(row * side + column) * 3 + channel] = (paper[channel] - ink).clamp(24, 255) as u8;
            }
        }
    }
}

/// Mean over `2·radius + 1` neighbours along one axis; values beyond the edge are the edge's.
fn box_filter(image: &mut [u8], side: usize, radius: usize, step: usize, line_step: usize) {
    let mut line = vec![0_u32; side];
    for start in (0..side).map(|index| index * line_step) {
        for channel in 0..3 {
            let position = |index: usize| start + index * step + channel;
            for (index, value) in line.iter_mut().enumerate() {
                *value = u32::from(image[position(index)]);
            }
            for index in 0..side {
                let near = (0..=2 * radius).map(|shift| line[(index + shift).saturating_sub(radius).min(side - 1)]);
                let count = (2 * radius + 1) as u32;
                image[position(index)] = ((near.sum::<u32>() + count / 2) / count) as u8;
            }
        }
    }
}

/// Cells of one colour each: the mean of theirs.
fn pixelate(image: &mut [u8], side: usize, cell: usize) {
    for top in (0..side).step_by(cell) {
        for left in (0..side).step_by(cell) {
            let (bottom, right) = ((top + cell).min(side), (left + cell).min(side));
            let pixels = || (top..bottom).flat_map(|row| (left..right).map(move |column| (row * side + column) * 3));
            let count = pixels().count() as u32;
            for channel in 0..3 {
                let sum: u32 = pixels().map(|pixel| u32::from(image[pixel + channel])).sum();
                let mean = ((sum + count / 2) / count) as u8;
                pixels().for_each(|pixel| image[pixel + channel] = mean);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_even_picture_stays_even() {
        for style in [Style::Blurred, Style::Pixelated, Style::Photo] {
            let mut image = [10, 20, 30].repeat(64 * 64);
            apply(&mut image, 64, style);
            assert!(image.chunks_exact(3).all(|pixel| pixel == [10, 20, 30]), "{style:?}");
        }
    }

    #[test]
    fn a_sketch_draws_edges_and_inverting_twice_changes_nothing() {
        let edge: Vec<u8> = (0..64 * 64).flat_map(|pixel| [if pixel % 64 < 32 { 0 } else { 200 }; 3]).collect();
        let mut drawn = edge.clone();
        apply(&mut drawn, 64, Style::Sketch);
        assert!(drawn[31 * 3] < 60 && drawn[3 * 3] > 240);
        let mut twice = edge.clone();
        apply(&mut twice, 64, Style::Inverted);
        assert_ne!(twice, edge);
        apply(&mut twice, 64, Style::Inverted);
        assert_eq!(twice, edge);
    }
}
