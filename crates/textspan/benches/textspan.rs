//! TEXTSPAN of heads of ViT-L/14 geometry: d = 768, `head_dim` 64, 3,498 texts, k = 60.

use divan::{Bencher, black_box};
use headspan_headspace::{Moments, vector_length};
use headspan_textspan::{Settings, TextPool, textspan};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

const D: usize = 768;
const M: usize = vector_length(64);
const TEXTS: usize = 3498;
const SETTINGS: Settings = Settings { texts: 60, rank: 80 };

fn main() {
    divan::main();
}

/// Readout, moments of a full-rank head, and texts.
fn head() -> (Vec<f32>, Moments, TextPool) {
    let mut random = ChaCha8Rng::seed_from_u64(0);
    let mut draw = |count: usize| -> Vec<f32> { (0..count).map(|_| random.random::<f32>() - 0.5).collect() };
    let (readout, factor, texts) = (draw(D * M), draw(M * 2 * M), draw(TEXTS * D));
    let second = |i: usize, j: usize| -> f64 {
        (0..2 * M).map(|k| f64::from(factor[i * 2 * M + k]) * f64::from(factor[j * 2 * M + k])).sum()
    };
    let second_moment = (0..M * M).map(|i| second(i / M, i % M)).collect();
    let moments = Moments { n: 50_000, mean: vec![0.01; M], second_moment };
    (readout, moments, TextPool::new(&texts, D).expect("a valid pool"))
}

#[divan::bench]
fn one_head(bencher: Bencher<'_, '_>) {
    let (readout, moments, pool) = head();
    bencher.bench_local(|| textspan(black_box(&readout), &moments, &pool, &SETTINGS));
}

#[divan::bench(sample_count = 5)]
fn sixty_four_heads_on_all_cores(bencher: Bencher<'_, '_>) {
    let (readout, moments, pool) = head();
    bencher.bench_local(|| {
        (0..64)
            .into_par_iter()
            .map(|_| textspan(black_box(&readout), &moments, &pool, &SETTINGS).map_or(0, |basis| basis.picks.len()))
            .sum::<usize>()
    });
}
