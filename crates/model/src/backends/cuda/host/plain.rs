//! The kernels in Rust, each a row at a time.

use super::Memory;
use crate::backends::cuda::engine::Kernel;

/// What a kernel does, written anew: the two must agree.
pub(super) fn launch(kernel: &Kernel<'_, Memory>) {
    let read = |buffer: &Memory| buffer.borrow().to_vec();
    let write = |to: &Memory, values: Vec<f32>| to.borrow_mut().put(0, &values);
    match *kernel {
        Kernel::Normalise { from, to, weight, bias, rows, width, distance, epsilon, .. } => {
            let (from, weight, bias) = (read(from), read(weight), read(bias));
            let of_row = |row: usize| normalised(&from[row * distance..][..width], &weight, &bias, epsilon);
            write(to, (0..rows).flat_map(of_row).collect());
        }
        Kernel::Softmax { scores, rows, tokens, distance } => {
            let mut values = read(scores);
            values.chunks_mut(distance).take(rows).for_each(|row| softmax(&mut row[..tokens]));
            write(scores, values);
        }
        Kernel::Activate { from, bias, to, rows, width, quick, .. } => {
            let (from, bias) = (read(from), read(bias));
            let active = |(at, x): (usize, &f32)| activated(f64::from(x + bias[at % width]), quick);
            write(to, from[..rows * width].iter().enumerate().map(active).collect());
        }
        Kernel::Convert { from, to, rows, width, .. } => write(to, read(from)[..rows * width].to_vec()),
        Kernel::Gather { from, to, rows, width, distance, .. } => {
            let from = read(from);
            write(to, (0..rows).flat_map(|row| from[row * distance..][..width].to_vec()).collect());
        }
        Kernel::Patches { pixels, to, rows, side, patch } => {
            let pixels = read(pixels);
            write(to, (0..rows).flat_map(|row| unfolded(&pixels, row, side, patch)).collect());
        }
        Kernel::Repeat { from, to, rows, width, period } => {
            let from = read(from);
            write(to, (0..rows).flat_map(|row| from[row % period * width..][..width].to_vec()).collect());
        }
        Kernel::FirstQuery { scores, to, rows, heads, queries, tokens, distance } => {
            let (scores, images) = (read(scores), rows / heads);
            let of_row = |row: usize| {
                let (image, head) = (row / heads, row % heads);
                scores[(head * images + image) * queries * distance..][..tokens].to_vec()
            };
            write(to, (0..rows).flat_map(of_row).collect());
        }
        Kernel::MeanOfHeads { scores, to, rows, heads, tokens, distance } => {
            let scores = read(scores);
            let of_head = |row: usize, token: usize| move |head: usize| (head * rows + row) * distance + token;
            let mean = |row: usize, token: usize| {
                (0..heads).map(of_head(row, token)).map(|at| f64::from(scores[at])).sum::<f64>() / heads as f64
            };
            let of_row = |row: usize| (0..tokens).map(|token| mean(row, token) as f32).collect::<Vec<f32>>();
            write(to, (0..rows).flat_map(of_row).collect());
        }
        Kernel::ValuesOfHeads { projected, to, rows, heads, tokens, width } => {
            let projected = read(projected);
            let of_row = |row: usize| {
                let (token, head, image) = (row % tokens, row / tokens % heads, row / tokens / heads);
                let line = &projected[(image * tokens + token) * 3 * heads * width..][..3 * heads * width];
                line[(2 * heads + head) * width..][..width].to_vec()
            };
            write(to, (0..rows).flat_map(of_row).collect());
        }
    }
}

fn normalised(row: &[f32], weight: &[f32], bias: &[f32], epsilon: f32) -> Vec<f32> {
    let count = row.len() as f64;
    let mean = row.iter().map(|x| f64::from(*x)).sum::<f64>() / count;
    let variance = row.iter().map(|x| (f64::from(*x) - mean).powi(2)).sum::<f64>() / count;
    let scale = 1.0 / (variance + f64::from(epsilon)).sqrt();
    let parameters = weight.iter().zip(bias);
    let normed =
        |(x, (w, b)): (&f32, (&f32, &f32))| ((f64::from(*x) - mean) * scale * f64::from(*w) + f64::from(*b)) as f32;
    row.iter().zip(parameters).map(normed).collect()
}

fn softmax(row: &mut [f32]) {
    let largest = row.iter().fold(f32::NEG_INFINITY, |most, x| most.max(*x));
    let powers: Vec<f64> = row.iter().map(|x| f64::from(x - largest).exp()).collect();
    let sum: f64 = powers.iter().sum();
    row.iter_mut().zip(powers).for_each(|(x, power)| *x = (power / sum) as f32);
}

fn activated(x: f64, quick: bool) -> f32 {
    let y = if quick { x / (1.0 + (-1.702 * x).exp()) } else { 0.5 * x * (1.0 + libm::erf(x * 0.5_f64.sqrt())) };
    y as f32
}

/// The patch of a token, `[3, patch, patch]`; zeros for a class token.
fn unfolded(pixels: &[f32], row: usize, side: usize, patch: usize) -> Vec<f32> {
    let grid = side / patch;
    let (image, token) = (row / (grid * grid + 1), row % (grid * grid + 1));
    let mut to = vec![0.0; 3 * patch * patch];
    let Some(token) = token.checked_sub(1) else { return to };
    for (line, to) in to.chunks_exact_mut(patch).enumerate() {
        let (channel, y) = (line / patch, token / grid * patch + line % patch);
        to.copy_from_slice(&pixels[((image * 3 + channel) * side + y) * side + token % grid * patch..][..patch]);
    }
    to
}
