//! Heads drawn at random.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Some of `all` heads, by position, each at most once; the same for the same numbers. `task` and `draw` tell draws of one seed apart.
pub fn draw_heads(all: usize, count: usize, seed: u64, task: usize, draw: usize) -> Vec<usize> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    random.set_stream((task as u64) << 32 | draw as u64);
    let mut heads: Vec<usize> = (0..all).collect();
    for place in 0..count.min(all) {
        let other = random.random_range(place as u64..all as u64) as usize;
        heads.swap(place, other);
    }
    heads.truncate(count);
    heads
}
