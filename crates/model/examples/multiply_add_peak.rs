//! What this processor can do at most, for `benches/forward.py`. It answers each line of standard input with GFLOP a second,
//! a multiply-add counted as two:
//!
//! - `peak`: multiply-adds in single precision on registers alone, on all threads;
//! - `product N`: one product of N × N matrices in single precision by Burn's flex backend (the `gemm` crate).

#![expect(
    clippy::inline_always,
    reason = "a function that is not inlined into pulp's dispatch is compiled without its vectors"
)]

use std::{
    error::Error,
    hint::black_box,
    io::{BufRead, Write},
    time::Instant,
};

use burn::tensor::{Device, Distribution, Tensor};
use pulp::{Arch, Simd, WithSimd};

/// Steps of one measurement, some tenths of a second.
const STEPS: usize = 20_000_000;

/// Independent running sums, enough to hide the latency of an instruction and few enough for the registers.
struct Chains {
    steps: usize,
}

impl WithSimd for Chains {
    /// Floating-point operations, and the sums, so that they are computed.
    type Output = (f64, f32);

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Self::Output {
        if S::REGISTER_COUNT >= 32 { chains::<S, 24>(simd, self.steps) } else { chains::<S, 12>(simd, self.steps) }
    }
}

#[inline(always)]
fn chains<S: Simd, const N: usize>(simd: S, steps: usize) -> (f64, f32) {
    let (half, one) = (simd.splat_f32s(black_box(0.5)), simd.splat_f32s(black_box(1.0)));
    let mut sums = [simd.splat_f32s(0.0); N];
    for _step in 0..steps {
        for sum in &mut sums {
            *sum = simd.mul_add_e_f32s(*sum, half, one);
        }
    }
    let total = sums.into_iter().fold(simd.splat_f32s(0.0), |total, sum| simd.add_f32s(total, sum));
    ((2 * S::F32_LANES * N * steps) as f64, simd.reduce_sum_f32s(total))
}

#[expect(clippy::print_stdout, reason = "its answer")]
fn main() -> Result<(), Box<dyn Error>> {
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let words: Vec<&str> = line.split_whitespace().collect();
        let rate = match words[..] {
            ["peak"] => peak(),
            ["product", size] => product(size.parse()?)?,
            _ => return Err(format!("`{line}` is not understood").into()),
        };
        println!("{}", rate / 1e9);
        std::io::stdout().flush()?;
    }
    Ok(())
}

fn peak() -> f64 {
    let begun = Instant::now();
    let done = rayon::broadcast(|_thread| black_box(Arch::new().dispatch(Chains { steps: STEPS })).0);
    done.into_iter().sum::<f64>() / begun.elapsed().as_secs_f64()
}

fn product(size: usize) -> Result<f64, Box<dyn Error>> {
    let device = Device::flex();
    let draw = || Tensor::<2>::random([size, size], Distribution::Uniform(-1.0, 1.0), &device);
    let (one, other) = (draw(), draw());
    let begun = Instant::now();
    let product = one.matmul(other).try_into_data().map_err(|error| format!("{error:?}"))?;
    let seconds = begun.elapsed().as_secs_f64();
    black_box(product);
    Ok(2.0 * (size as f64).powi(3) / seconds)
}
