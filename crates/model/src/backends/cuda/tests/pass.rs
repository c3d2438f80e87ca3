//! The whole pass without a card, against our pass on the CPU, on the demo model.

use std::{error::Error, path::PathBuf, rc::Rc};

use burn::tensor::Device;

use super::super::{
    host::{Compiled, Host},
    traced::trace,
    weights::upload,
};
use crate::{
    Checkpoint, ClipConfig, CpuVision, HostTrace, Precision, TraceRequest, backends::burn::BurnVisionTower,
    error::ClipError,
};

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

const IMAGES: usize = 3;

fn tower(quick_gelu: bool) -> Outcome<BurnVisionTower> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../data/demo/scenes-4");
    let mut config = ClipConfig::read(&folder.join("open_clip_config.json"))?;
    config.quick_gelu = quick_gelu;
    Ok(Checkpoint::open(&folder.join("open_clip_model.safetensors"))?.load(&config, &Device::flex())?.visual)
}

/// Smooth and unlike each other, within what normalised pixels can be.
fn pixels(tower: &BurnVisionTower, images: usize) -> Vec<f32> {
    let [_, _, patch, _] = tower.conv1.val().dims();
    let [tokens, _] = tower.positional_embedding.val().dims();
    let side = (tokens - 1).isqrt() * patch;
    (0..images * 3 * side * side).map(|at| (at as f32 * 0.013 + (at / side) as f32 * 0.21).sin()).collect()
}

fn everything() -> TraceRequest {
    TraceRequest { layers: vec![0, 2, 3], residual_components: true, token_layers: vec![1, 3], mean_attention: true }
}

/// Largest difference of anything traced, over the largest value of its kind.
fn difference(found: &HostTrace, expected: &HostTrace) -> f64 {
    fn all(trace: &HostTrace) -> Vec<Vec<f32>> {
        let mut kinds = vec![trace.representation.clone(), trace.residual.clone()];
        kinds.push(trace.scalars.iter().flat_map(|scalars| scalars.to_array()).collect());
        kinds.extend(trace.heads.iter().chain(&trace.residual_components).chain(&trace.mean_attention).cloned());
        kinds.extend(trace.tokens.iter().flat_map(|tokens| [tokens.attention.clone(), tokens.values.clone()]));
        kinds
    }
    let layers = |trace: &HostTrace| -> Vec<[usize; 3]> {
        trace.tokens.iter().map(|tokens| [tokens.layer, tokens.tokens, tokens.head_dim]).collect()
    };
    assert_eq!(layers(found), layers(expected));
    let (found, expected) = (all(found), all(expected));
    assert_eq!(found.len(), expected.len());
    let of = |(found, expected): (&Vec<f32>, &Vec<f32>)| {
        assert_eq!(found.len(), expected.len());
        let largest = expected.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
        let apart = |(x, y): (&f32, &f32)| f64::from((x - y).abs() / largest);
        // A NaN must not get lost.
        found.iter().zip(expected).map(apart).fold(0.0, |most: f64, x| if x > most || x.is_nan() { x } else { most })
    };
    found.iter().zip(&expected).map(of).fold(0.0, |most: f64, x| if x > most || x.is_nan() { x } else { most })
}

fn found(engine: &mut Host, tower: &BurnVisionTower, precision: Precision) -> Outcome<HostTrace> {
    let uploaded = upload(tower, precision, engine)?;
    Ok(trace(engine, &uploaded, &mut None, &pixels(tower, IMAGES), &everything())?)
}

fn expected(tower: &BurnVisionTower) -> Outcome<HostTrace> {
    Ok(CpuVision::new(tower, Precision::Float32)?.trace(&pixels(tower, IMAGES), &everything())?)
}

#[test]
fn the_sequence_gives_what_the_cpu_gives() -> Outcome {
    for quick_gelu in [false, true] {
        let tower = tower(quick_gelu)?;
        let found = found(&mut Host { kernels: None }, &tower, Precision::Float32)?;
        let difference = difference(&found, &expected(&tower)?);
        eprintln!("off by {difference:.1e}");
        assert!(difference <= 1e-5, "off by {difference:.1e}");
    }
    Ok(())
}

#[test]
fn the_kernels_give_what_the_cpu_gives() -> Outcome {
    let Some(compiled) = Compiled::new(1)? else { return Ok(()) };
    let kernels = Some(Rc::new(compiled));
    let tower = tower(false)?;
    let expected = expected(&tower)?;
    let mut differences = Vec::new();
    // As in `tests/devices.rs`.
    for (precision, tolerance) in
        [(Precision::Float32, 1e-5), (Precision::Bfloat16, 2e-2), (Precision::Float16, 2e-2 / 8.0)]
    {
        let found = found(&mut Host { kernels: kernels.clone() }, &tower, precision)?;
        differences.push(difference(&found, &expected));
        let off = differences.last().copied().unwrap_or_default();
        eprintln!("{precision}: off by {off:.1e}");
        assert!(off <= tolerance, "{precision}: off by {off:.1e}");
    }
    // Less would mean that nothing was rounded.
    assert!(differences[1] > 1e-4 && differences[2] > 1e-5, "{differences:?}");
    Ok(())
}

/// Memory is kept from pass to pass: of fewer images and of another request, the second pass must not see the first.
#[test]
fn a_pass_leaves_nothing_behind() -> Outcome {
    let tower = tower(false)?;
    let mut engine = Host { kernels: None };
    let uploaded = upload(&tower, Precision::Float32, &engine)?;
    let mut memory = None;
    trace(&mut engine, &uploaded, &mut memory, &pixels(&tower, IMAGES), &everything())?;
    let cpu = CpuVision::new(&tower, Precision::Float32)?;
    for (images, request) in [(1, everything()), (2, TraceRequest::default()), (0, everything())] {
        let pixels = pixels(&tower, images);
        let found = trace(&mut engine, &uploaded, &mut memory, &pixels, &request)?;
        let difference = difference(&found, &cpu.trace(&pixels, &request)?);
        assert!(difference <= 1e-5, "off by {difference:.1e}");
    }
    Ok(())
}

#[test]
fn what_does_not_fit_is_refused() -> Outcome {
    let tower = tower(false)?;
    let mut engine = Host { kernels: None };
    let uploaded = upload(&tower, Precision::Float32, &engine)?;
    let request = TraceRequest { token_layers: vec![4], ..TraceRequest::default() };
    let refused = trace(&mut engine, &uploaded, &mut None, &pixels(&tower, 1), &request);
    assert!(matches!(refused, Err(ClipError::NoLayer { layer: 4, last: 3 })));
    let refused = trace(&mut engine, &uploaded, &mut None, &[0.0; 5], &TraceRequest::default());
    assert!(matches!(refused, Err(ClipError::Pixels { values: 5, .. })));
    Ok(())
}
