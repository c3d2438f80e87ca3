//! Our side of `benches/textspan.py`: TEXTSPAN of random heads of 64 dimensions, k = 60. It answers each line
//! `D TEXTS HEADS [D TEXTS HEADS …]` of standard input, one group a model, with wall seconds and with the seconds of all heads and
//! pools added up, which is CPU time where cores are free. Drawing the numbers is not timed.

use std::{
    error::Error,
    io::{BufRead, Write},
    time::Instant,
};

use headspan_headspace::{Moments, vector_length};
use headspan_textspan::{Settings, TextPool, textspan};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

const M: usize = vector_length(64);
const SETTINGS: Settings = Settings { texts: 60, rank: 80 };

/// A model: its pool as it is stored, and one head that stands for all.
struct Model {
    d: usize,
    heads: usize,
    texts: Vec<f32>,
    readout: Vec<f32>,
    moments: Moments,
}

impl Model {
    fn draw(d: usize, texts: usize, heads: usize) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(0);
        let mut draw = |count: usize| -> Vec<f32> { (0..count).map(|_| random.random::<f32>() - 0.5).collect() };
        let (readout, factor, texts) = (draw(d * M), draw(M * 2 * M), draw(texts * d));
        let second = |i: usize, j: usize| -> f64 {
            (0..2 * M).map(|k| f64::from(factor[i * 2 * M + k]) * f64::from(factor[j * 2 * M + k])).sum()
        };
        let second_moment = (0..M * M).map(|i| second(i / M, i % M)).collect();
        Self { d, heads, texts, readout, moments: Moments { n: 50_000, mean: vec![0.01; M], second_moment } }
    }

    /// Seconds of the pool and of every head, added up.
    fn span(&self) -> Result<f64, Box<dyn Error>> {
        let begun = Instant::now();
        let pool = TextPool::new(&self.texts, self.d)?;
        let prepared = begun.elapsed().as_secs_f64();
        let heads: Result<Vec<f64>, _> = (0..self.heads)
            .into_par_iter()
            .map(|_head| {
                let begun = Instant::now();
                textspan(&self.readout, &self.moments, &pool, &SETTINGS).map(|basis| {
                    std::hint::black_box(basis.picks.len());
                    begun.elapsed().as_secs_f64()
                })
            })
            .collect();
        Ok(prepared + heads?.iter().sum::<f64>())
    }
}

#[expect(clippy::print_stdout, reason = "its answer")]
fn main() -> Result<(), Box<dyn Error>> {
    for line in std::io::stdin().lock().lines() {
        let numbers: Vec<usize> = line?.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
        let models: Vec<Model> =
            numbers.chunks_exact(3).map(|model| Model::draw(model[0], model[1], model[2])).collect();
        let begun = Instant::now();
        let cpu: f64 = models.iter().map(Model::span).sum::<Result<f64, _>>()?;
        println!("{} {cpu}", begun.elapsed().as_secs_f64());
        std::io::stdout().flush()?;
    }
    Ok(())
}
