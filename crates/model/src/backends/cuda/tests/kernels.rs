//! Each kernel's source, compiled for the processor, against the same written in Rust.

use std::{error::Error, rc::Rc};

use super::super::{
    engine::{Engine, Kernel},
    host::{Compiled, Host, Memory},
};
use crate::precision::Precision::{self, Bfloat16, Float16, Float32};

type Outcome = Result<(), Box<dyn Error>>;

/// Values of both signs, some large, none equal to its neighbour.
fn values(count: usize, seed: f32) -> Vec<f32> {
    (0..count).map(|at| (at as f32 * 0.37 + seed).sin() * (1.0 + at as f32 * 0.03)).collect()
}

struct Trial<'a> {
    engine: Host,
    kernels: Option<&'a Rc<Compiled>>,
    found: Vec<Vec<f32>>,
}

impl Trial<'_> {
    fn buffer(&self, count: usize, seed: f32) -> Result<Memory, crate::ClipError> {
        self.engine.upload(&values(count, seed), Float32)
    }

    fn run(&mut self, kernel: &Kernel<'_, Memory>, to: &Memory) -> Outcome {
        self.engine.kernels = self.kernels.cloned();
        self.engine.launch(kernel)?;
        self.found.push(to.borrow().to_vec());
        Ok(())
    }

    /// Every kernel, of sizes that no warp and no block divides.
    fn all(mut self) -> Result<Vec<Vec<f32>>, Box<dyn Error>> {
        for format in [Float32, Bfloat16, Float16] {
            self.rows(format)?;
        }
        self.tokens()?;
        Ok(self.found)
    }

    fn rows(&mut self, format: Precision) -> Outcome {
        let (rows, width, distance) = (7, 37, 41);
        let from = self.buffer(rows * distance, 0.5)?;
        let (weight, bias) = (self.buffer(width, 1.5)?, self.buffer(width, 2.5)?);
        let output = |engine: &Host| engine.allocate(rows * width + 2, format);
        let (from, weight, bias) = (&from, &weight, &bias);
        let to = &output(&self.engine)?;
        let epsilon = 1e-5;
        self.run(&Kernel::Normalise { from, to, weight, bias, rows, width, distance, epsilon, format }, to)?;
        for quick in [false, true] {
            let to = &output(&self.engine)?;
            self.run(&Kernel::Activate { from, bias, to, rows, width, quick, format }, to)?;
        }
        let rounded = &output(&self.engine)?;
        self.run(&Kernel::Convert { from, to: rounded, rows, width, format }, rounded)?;
        let to = &output(&self.engine)?;
        let (rows, width, distance) = (3, 33, 2 * width);
        self.run(&Kernel::Gather { from: rounded, to, rows, width, distance, format }, to)
    }

    fn tokens(&mut self) -> Outcome {
        let (images, side, patch) = (2, 12, 4);
        let pixels = &self.buffer(images * 3 * side * side, 0.1)?;
        let rows = images * 10;
        let to = &self.engine.allocate(rows * 3 * patch * patch + 1, Float32)?;
        self.run(&Kernel::Patches { pixels, to, rows, side, patch }, to)?;
        let (width, period) = (35, 5);
        let (from, to) = (&self.buffer(width * period, 0.2)?, &self.engine.allocate(rows * width + 1, Float32)?);
        self.run(&Kernel::Repeat { from, to, rows, width, period }, to)?;
        let (heads, queries, tokens, distance) = (3, 5, 34, 40);
        let scores = &self.buffer(heads * images * queries * distance, 0.3)?;
        let rows = heads * images * queries;
        self.run(&Kernel::Softmax { scores, rows, tokens, distance }, scores)?;
        let to = &self.engine.allocate(images * heads * tokens + 1, Float32)?;
        let rows = images * heads;
        self.run(&Kernel::FirstQuery { scores, to, rows, heads, queries, tokens, distance }, to)?;
        let rows = images * queries;
        let to = &self.engine.allocate(rows * tokens + 1, Float32)?;
        self.run(&Kernel::MeanOfHeads { scores, to, rows, heads, tokens, distance }, to)?;
        let (width, tokens) = (33, 4);
        let projected = &self.buffer(images * tokens * 3 * heads * width, 0.4)?;
        let rows = images * heads * tokens;
        let to = &self.engine.allocate(rows * width + 1, Float32)?;
        self.run(&Kernel::ValuesOfHeads { projected, to, rows, heads, tokens, width }, to)
    }
}

fn all(kernels: Option<&Rc<Compiled>>) -> Result<Vec<Vec<f32>>, Box<dyn Error>> {
    Trial { engine: Host { kernels: None }, kernels, found: Vec::new() }.all()
}

fn check(lanes: usize) -> Outcome {
    let Some(compiled) = Compiled::new(lanes)? else { return Ok(()) };
    let (found, expected) = (all(Some(&Rc::new(compiled)))?, all(None)?);
    assert_eq!((found.len(), expected.len()), (21, 21));
    for (number, (found, expected)) in found.iter().zip(&expected).enumerate() {
        let largest = expected.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
        // One unit of bfloat16 or float16, where a value lies between two and goes the other way.
        let tolerance = [3e-7, 8e-3, 1e-3, 3e-7][(number / 5).min(3)];
        for (at, (x, y)) in found.iter().zip(expected).enumerate() {
            let same = (x.is_nan() && y.is_nan()) || (x - y).abs() <= tolerance * largest;
            assert!(same, "kernel {number} with {lanes} lanes: {x} is not {y} at {at}");
        }
    }
    Ok(())
}

#[test]
fn kernels_of_one_lane_do_what_they_say() -> Outcome {
    check(1)
}

/// Lanes are threads here, so that what they exchange is what it is on a card.
#[test]
fn kernels_of_whole_warps_do_what_they_say() -> Outcome {
    check(32)
}

/// Conversions of every float16 and of what lies between two.
#[test]
fn rounding_is_that_of_the_formats() -> Outcome {
    let Some(compiled) = Compiled::new(1)? else { return Ok(()) };
    let kernels = Some(Rc::new(compiled));
    let floats = (0..=u16::MAX).map(|bits| half::f16::from_bits(bits).to_f32()).filter(|float| float.is_finite());
    let values: Vec<f32> =
        floats.flat_map(|float| [0.9997, 1.0, 1.000_244_2, 1.000_366].map(|factor| float * factor)).collect();
    let mut engine = Host { kernels };
    for format in [Bfloat16, Float16] {
        let (from, to) = (engine.upload(&values, Float32)?, engine.allocate(values.len(), format)?);
        engine.launch(&Kernel::Convert { from: &from, to: &to, rows: 1, width: values.len(), format })?;
        let expected = engine.upload(&values, format)?;
        assert!(to.borrow().to_vec() == expected.borrow().to_vec(), "{format}");
    }
    Ok(())
}
