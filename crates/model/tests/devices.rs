//! The trace on GPUs and in reduced precision, against our pass on the CPU in single precision, on the demo model.
//!
//! Tolerances, of the largest value: 1e-4 where single precision is summed in another order through four blocks; for rounding to
//! 8 significant bits 2e-2, five times what is seen, and to 11 an eighth of that.

use std::{error::Error, path::PathBuf};

use burn::tensor::{Device, Tensor, TensorData};
use headspan_model::{
    Checkpoint, ClipConfig, CpuVision, DeviceChoice, HostTrace, LoadedModel, ModelConfig, Precision, TraceRequest,
    available_devices, burn::Clip, cuda_problem, open_device,
};

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

const IMAGES: usize = 3;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../data/demo/scenes-4")
}

fn model(device: &Device) -> Outcome<(ClipConfig, Clip)> {
    let folder = folder();
    let config = ClipConfig::read(&folder.join("open_clip_config.json"))?;
    let model = Checkpoint::open(&folder.join("open_clip_model.safetensors"))?.load(&config, device)?;
    Ok((config, model))
}

/// Smooth and unlike each other, within what normalised pixels can be.
fn pixels(side: usize) -> Vec<f32> {
    (0..IMAGES * 3 * side * side).map(|at| (at as f32 * 0.013 + (at / side) as f32 * 0.21).sin()).collect()
}

fn request(config: &ClipConfig) -> TraceRequest {
    let layers = (0..config.vision.layers).collect();
    TraceRequest { layers, residual_components: true, ..TraceRequest::default() }
}

fn expected() -> Outcome<HostTrace> {
    let (config, model) = model(&Device::flex())?;
    let vision = CpuVision::new(&model.visual, Precision::Float32)?;
    Ok(vision.trace(&pixels(config.vision.image_size), &request(&config))?)
}

fn found(device: &Device, precision: Precision) -> Outcome<HostTrace> {
    let (config, model) = model(device)?;
    let side = config.vision.image_size;
    let pixels = TensorData::new(pixels(side), [IMAGES, 3, side, side]);
    let tower = model.visual.in_precision(precision)?;
    Ok(tower.trace(Tensor::from_data(pixels, device), &request(&config))?.into_host()?)
}

/// Largest difference of anything traced, over the largest value of its kind.
fn difference(found: &HostTrace, expected: &HostTrace) -> f64 {
    assert_eq!((found.heads.len(), found.residual_components.len()), (32, 5));
    let kinds = [(&found.representation, &expected.representation), (&found.residual, &expected.residual)];
    let heads = found.heads.iter().zip(&expected.heads);
    let components = found.residual_components.iter().zip(&expected.residual_components);
    let of = |(found, expected): (&Vec<f32>, &Vec<f32>)| {
        assert_eq!(found.len(), expected.len());
        let largest = expected.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
        found.iter().zip(expected).map(|(x, y)| (x - y).abs() / largest).fold(0.0, f32::max)
    };
    kinds.into_iter().chain(heads).chain(components).map(of).map(f64::from).fold(0.0, f64::max)
}

fn check(device: &Device, precision: Precision, tolerance: f64) -> Outcome {
    let difference = difference(&found(device, precision)?, &expected()?);
    assert!(difference <= tolerance, "{device:?} in {precision}: off by {difference:.1e}");
    // Less would mean that nothing was rounded.
    assert!(precision == Precision::Float32 || difference > 1e-5, "{device:?} in {precision}: only {difference:.1e}");
    Ok(())
}

const TOLERANCES: [(Precision, f64); 3] =
    [(Precision::Float32, 1e-4), (Precision::Bfloat16, 2e-2), (Precision::Float16, 2e-2 / 8.0)];

/// Burn's CPU backend computes with every type, so that the rounding is tested where there is no GPU.
#[test]
fn reduced_precision_is_near_single_precision() -> Outcome {
    for (precision, tolerance) in TOLERANCES {
        check(&Device::flex(), precision, tolerance)?;
    }
    Ok(())
}

#[test]
fn no_cpu_pass_computes_with_float16() -> Outcome {
    let (_, model) = model(&Device::flex())?;
    let refused = CpuVision::new(&model.visual, Precision::Float16).map(drop).map_err(|error| error.to_string());
    assert!(refused.as_ref().is_err_and(|message| message.contains("float16")), "{refused:?}");
    Ok(())
}

/// Any graphics driver will do, a software renderer too: it is right, only slow.
#[test]
fn a_gpu_gives_what_the_cpu_gives() -> Outcome {
    let mut devices: Vec<DeviceChoice> = available_devices().into_iter().map(|device| device.kind).collect();
    devices.retain(|choice| matches!(choice, DeviceChoice::Wgpu(_)));
    if devices.is_empty() {
        eprintln!("skipped: no graphics driver was found");
    }
    for choice in devices {
        let device = open_device(choice)?;
        assert_eq!(device.choice(), choice);
        for (precision, tolerance) in TOLERANCES {
            match check(device.burn(), precision, tolerance) {
                Err(error) if precision != Precision::Float32 => {
                    let message = error.to_string();
                    assert!(message.contains(&precision.to_string()), "{message}");
                    eprintln!("{choice}: {message}");
                }
                other => other?,
            }
        }
    }
    Ok(())
}

/// Our own pass for CUDA: everything that a trace can keep, two passes at once, and the texts, which the CPU encodes.
#[test]
fn a_card_by_cuda_gives_what_the_cpu_gives() -> Outcome {
    if let Some(problem) = cuda_problem() {
        eprintln!("skipped: {problem}");
        return Ok(());
    }
    let mut devices: Vec<DeviceChoice> = available_devices().into_iter().map(|device| device.kind).collect();
    devices.retain(|choice| matches!(choice, DeviceChoice::Cuda(_)));
    let config = ModelConfig::read(&folder().join("open_clip_config.json"))?;
    let expected = expected()?;
    for choice in devices {
        let model = LoadedModel::load(&folder().join("open_clip_model.safetensors"), &config, open_device(choice)?)?;
        assert!(model.free_memory().is_some(), "{choice} tells its memory");
        for (precision, tolerance) in TOLERANCES {
            let pass = match model.vision_pass(precision) {
                Err(error) if precision != Precision::Float32 => {
                    eprintln!("{choice}: {error}");
                    continue;
                }
                pass => &pass?,
            };
            let (own, _) = self::model(&Device::flex())?;
            let (pixels, request) = (&pixels(own.vision.image_size), &request(&own));
            let two_at_once = |_round| {
                std::thread::scope(|scope| {
                    let passes = [(); 2].map(|()| scope.spawn(move || pass.trace(pixels.clone(), request)));
                    passes.map(|pass| pass.join().expect("no panic"))
                })
            };
            // The second round has the memory of the first, on other threads.
            let rounds = if precision == Precision::Float32 { 2 } else { 1 };
            for found in (0..rounds).flat_map(two_at_once) {
                let difference = difference(&found?, &expected);
                assert!(difference <= tolerance, "{choice} in {precision}: off by {difference:.1e}");
                eprintln!("{choice} in {precision}: off by {difference:.1e}");
            }
        }
        tokens_agree(&model)?;
    }
    Ok(())
}

/// The test before this one on imitations of NVIDIA's libraries in main memory (`tools/gpu/imitation`), in a process of its own, since a process
/// loads a library once.
#[cfg(target_os = "linux")]
#[test]
fn a_card_by_imitation_gives_what_the_cpu_gives() -> Outcome {
    use std::process::Command;

    let compiler = std::env::var("CXX").unwrap_or_else(|_not_set| "c++".to_owned());
    if let Err(error) = Command::new(&compiler).arg("--version").output() {
        eprintln!("skipped: `{compiler}`: {error}");
        return Ok(());
    }
    let libraries = tempfile::tempdir()?;
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tools/gpu/imitation/build.sh");
    let built = Command::new("bash").arg(script).arg(libraries.path()).output()?;
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let mut test = Command::new(std::env::current_exe()?);
    test.args(["--exact", "a_card_by_cuda_gives_what_the_cpu_gives", "--nocapture"]);
    let told = test.env("LD_LIBRARY_PATH", libraries.path()).output()?;
    let said = String::from_utf8_lossy(&told.stderr);
    eprintln!("{said}");
    assert!(told.status.success() && said.contains("cuda in float16: off by"), "{said}");
    Ok(())
}

/// Attention and values of tokens and mean attention, in single precision.
fn tokens_agree(model: &LoadedModel) -> Outcome {
    let layers = vec![1, 3];
    let request = TraceRequest { token_layers: layers, mean_attention: true, ..TraceRequest::default() };
    let pixels = pixels(model.vision().geometry().image_size);
    let reference = model.reference_pass().ok_or("it was loaded with one")?;
    let (found, expected) = (model.vision().trace(pixels.clone(), &request)?, reference.trace(pixels, &request)?);
    let pairs = found.tokens.iter().zip(&expected.tokens);
    let pairs = pairs.flat_map(|(x, y)| [(&x.attention, &y.attention), (&x.values, &y.values)]);
    for (found, expected) in pairs.chain(found.mean_attention.iter().zip(&expected.mean_attention)) {
        assert_eq!(found.len(), expected.len());
        let largest = expected.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
        let off = found.iter().zip(expected).map(|(x, y)| (x - y).abs() / largest).fold(0.0, f32::max);
        assert!(off <= 1e-4, "off by {off:.1e}");
    }
    Ok(())
}
