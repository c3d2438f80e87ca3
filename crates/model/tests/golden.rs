//! The trace against PyTorch: random OpenCLIP models whose dense decomposition was computed there.
//!
//! Tolerance: both sides compute in float32 through a handful of blocks, where a sum of some hundred terms carries a
//! relative rounding of about 1e-6; 1e-5 of the largest value leaves room for another order of summation and none for a
//! dropped bias, mean or share, which show as 1e-3 and more.

use std::{
    error::Error,
    path::{Path, PathBuf},
};

use burn::tensor::{Device, Tensor, TensorData};
use headspan_headspace::{HeadVector, Scalars};
use headspan_model::{
    Checkpoint, ClipConfig, CpuVision, HostTrace, Precision, ReadoutFolder, TokenBatch, TraceRequest, burn::Clip,
};
use safetensors::SafeTensors;

const TOLERANCE: f64 = 1e-5;

type Outcome = Result<(), Box<dyn Error>>;

struct Case {
    name: String,
    config: ClipConfig,
    model: Clip,
    /// The CPU pass, where the case is of it and not of Burn's.
    cpu: Option<CpuVision>,
    bytes: Vec<u8>,
}

/// A tensor of the case file.
struct Expected {
    shape: Vec<usize>,
    values: Vec<f32>,
}

impl Case {
    fn load(folder: &Path, weights: &str) -> Result<Self, Box<dyn Error>> {
        let config = ClipConfig::read(&folder.join("open_clip_config.json"))?;
        let model = Checkpoint::open(&folder.join(weights))?.load(&config, &Device::flex())?;
        let bytes = fs_err::read(folder.join("case.safetensors"))?;
        Ok(Self { name: format!("{} {weights}", folder.display()), config, model, cpu: None, bytes })
    }

    /// Loads a case twice: once for Burn's pass, once for our own on the CPU.
    fn load_both(folder: &Path, weights: &str) -> Result<[Self; 2], Box<dyn Error>> {
        let mut cpu = Self::load(folder, weights)?;
        cpu.name.push_str(" (CPU pass)");
        cpu.cpu = Some(CpuVision::new(&cpu.model.visual, Precision::Float32)?);
        Ok([Self::load(folder, weights)?, cpu])
    }

    fn expected(&self, key: &str) -> Result<Expected, Box<dyn Error>> {
        let tensors = SafeTensors::deserialize(&self.bytes)?;
        let view = tensors.tensor(key)?;
        let values = view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        Ok(Expected { shape: view.shape().to_vec(), values })
    }

    fn images(&self) -> Result<Expected, Box<dyn Error>> {
        self.expected("images")
    }

    fn trace(&self, images: &[f32], request: &TraceRequest) -> Result<HostTrace, Box<dyn Error>> {
        match &self.cpu {
            Some(cpu) => Ok(cpu.trace(images, request)?),
            None => Ok(self.model.visual.trace(self.pixels(images), request)?.into_host()?),
        }
    }

    fn pixels(&self, images: &[f32]) -> Tensor<4> {
        let side = self.config.vision.image_size;
        let count = images.len() / (3 * side * side);
        Tensor::from_data(TensorData::new(images.to_vec(), [count, 3, side, side]), &Device::flex())
    }

    fn everything(&self) -> TraceRequest {
        TraceRequest {
            layers: (0..self.config.vision.layers).collect(),
            residual_components: true,
            ..TraceRequest::default()
        }
    }

    fn assert_close(&self, what: &str, found: &[f32], expected: &[f32]) {
        self.assert_within(what, found, expected, TOLERANCE);
    }

    fn assert_within(&self, what: &str, found: &[f32], expected: &[f32], tolerance: f64) {
        assert_eq!(found.len(), expected.len(), "{}: {what} has another size", self.name);
        let largest = expected.iter().fold(0.0_f64, |most, x| most.max(f64::from(x.abs())));
        assert!(largest > 0.0, "{}: {what} is all zero", self.name);
        let worst = found.iter().zip(expected).map(|(x, y)| f64::from((x - y).abs())).fold(0.0, f64::max);
        assert!(found.iter().all(|x| x.is_finite()), "{}: {what} is not finite", self.name);
        assert!(worst <= tolerance * largest, "{}: {what} is off by {:.1e} of {largest}", self.name, worst / largest);
    }
}

/// Our own cases, and those of the shared fixtures where they are.
#[expect(clippy::print_stderr, reason = "a part that is skipped says so")]
fn cases() -> Result<Vec<Case>, Box<dyn Error>> {
    let own = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/model");
    let mut cases = Vec::new();
    for name in ["gelu", "quick-gelu"] {
        cases.extend(Case::load_both(&own.join(name), "open_clip_model.safetensors")?);
    }
    match std::env::var_os("HEADSPAN_SHARED") {
        Some(shared) => {
            for name in ["random-gelu", "random-quick-gelu"] {
                let folder = PathBuf::from(&shared).join("fixtures").join(name);
                cases.extend(Case::load_both(&folder, "open_clip_model.safetensors")?);
            }
        }
        None => eprintln!("skipped the shared fixtures: HEADSPAN_SHARED is not set"),
    }
    Ok(cases)
}

/// `u` of one image and head.
fn head_vector(trace: &HostTrace, head: usize, image: usize) -> HeadVector {
    let head_dim = trace.heads[head].len() / trace.scalars.len();
    HeadVector::new(&trace.heads[head][image * head_dim..][..head_dim], trace.scalars[image])
}

#[test]
fn representation_and_norm_agree_with_pytorch() -> Outcome {
    for case in cases()? {
        let trace = case.trace(&case.images()?.values, &TraceRequest::default())?;
        case.assert_close("representation", &trace.representation, &case.expected("repr")?.values);
        let norms: Vec<f32> = trace.scalars.iter().map(|scalars| 1.0 / scalars.inv_norm).collect();
        case.assert_close("norm", &norms, &case.expected("norm")?.values);
    }
    Ok(())
}

#[test]
fn head_contributions_agree_with_pytorch() -> Outcome {
    for case in cases()? {
        let trace = case.trace(&case.images()?.values, &case.everything())?;
        let layers: Vec<usize> = (0..case.config.vision.layers).collect();
        let readouts = ReadoutFolder::new(&case.model.visual)?.readouts(&layers)?;
        let expected = case.expected("attn")?;
        let mut found = Vec::new();
        for image in 0..expected.shape[0] {
            for (head, readout) in readouts.iter().enumerate() {
                found.extend(readout.contribution(head_vector(&trace, head, image).as_slice()));
            }
        }
        case.assert_close("head contributions", &found, &expected.values);
    }
    Ok(())
}

#[test]
fn mlp_components_agree_with_pytorch_and_everything_sums_to_the_representation() -> Outcome {
    for case in cases()? {
        let trace = case.trace(&case.images()?.values, &case.everything())?;
        let folder = ReadoutFolder::new(&case.model.visual)?;
        let expected = case.expected("mlp")?;
        let (images, d, width) = (expected.shape[0], case.config.embed_dim, case.config.vision.width);
        let attention = case.expected("attn")?;
        let representation = case.expected("repr")?;
        let mut found = Vec::new();
        for image in 0..images {
            let scalars = Scalars::<f64>::from(trace.scalars[image]);
            let mut sum = vec![0.0_f64; d];
            for component in &trace.residual_components {
                let terms = folder.component_contribution(&component[image * width..][..width], scalars);
                sum.iter_mut().zip(&terms).for_each(|(sum, term)| *sum += term);
                found.extend(terms.iter().map(|term| *term as f32));
            }
            // The sum over layers the short way, without any readout: another path to the same identity.
            for layer in 0..case.config.vision.layers {
                let heads = case.config.vision.heads();
                let z: Vec<f32> = (0..heads)
                    .flat_map(|head| head_vector(&trace, layer * heads + head, image).scaled_z().to_vec())
                    .collect();
                let terms = folder.attention_contribution(layer, &z, scalars)?;
                let stride = attention.values.len() / images / case.config.vision.layers;
                let start = image * stride * case.config.vision.layers + layer * stride;
                let heads_sum: Vec<f32> =
                    (0..d).map(|i| attention.values[start..start + stride].iter().skip(i).step_by(d).sum()).collect();
                let terms_f32: Vec<f32> = terms.iter().map(|term| *term as f32).collect();
                case.assert_within("sum of a layer's heads", &terms_f32, &heads_sum, 2e-5);
                sum.iter_mut().zip(&terms).for_each(|(sum, term)| *sum += term);
            }
            let sum: Vec<f32> = sum.into_iter().map(|x| x as f32).collect();
            let unit: Vec<f32> = representation.values[image * d..][..d]
                .iter()
                .map(|r| (f64::from(*r) * scalars.inv_norm) as f32)
                .collect();
            case.assert_close("sum identity", &sum, &unit);
        }
        case.assert_close("MLP components", &found, &expected.values);
    }
    Ok(())
}

#[test]
fn per_token_contributions_agree_with_pytorch() -> Outcome {
    for case in cases()? {
        let layers: Vec<usize> = (0..case.config.vision.layers).collect();
        let request = TraceRequest { token_layers: layers.clone(), ..TraceRequest::default() };
        let images = case.images()?;
        let scalars = case.trace(&images.values, &TraceRequest::default())?.scalars;
        let trace = case.model.visual.trace(case.pixels(&images.values), &request)?.into_host()?;
        let readouts = ReadoutFolder::new(&case.model.visual)?.readouts(&layers)?;
        let expected = case.expected("attn_tokens")?;
        let [count, layer_count, tokens, heads, d] = expected.shape[..] else { return Err("attn_tokens shape".into()) };
        let head_dim = case.config.vision.head_width;
        let mut found = vec![0.0_f32; expected.values.len()];
        let mut class_token = vec![0.0_f32; count * layer_count * d];
        for (layer, traced) in trace.tokens.into_iter().enumerate() {
            assert_eq!((traced.layer, traced.tokens, traced.head_dim), (layer, tokens, head_dim));
            for (image, scalars) in scalars.iter().enumerate().take(count) {
                for token in 0..tokens {
                    for head in 0..heads {
                        let at = (image * heads + head) * tokens + token;
                        let c = readouts[layer * heads + head].token_contribution(
                            traced.attention[at],
                            &traced.values[at * head_dim..][..head_dim],
                            *scalars,
                            tokens,
                        );
                        let to = (((image * layer_count + layer) * tokens + token) * heads + head) * d;
                        found[to..to + d].copy_from_slice(&c);
                        if token == 0 {
                            let to = (image * layer_count + layer) * d;
                            class_token[to..to + d].iter_mut().zip(&c).for_each(|(sum, c)| *sum += c);
                        }
                    }
                }
            }
        }
        case.assert_close("per-token contributions", &found, &expected.values);
        case.assert_close("class token's own", &class_token, &case.expected("cls_attn")?.values);
    }
    Ok(())
}

#[test]
fn text_features_agree_with_pytorch() -> Outcome {
    for case in cases()? {
        let tokens = SafeTensors::deserialize(&case.bytes)?;
        let view = tokens.tensor("text_tokens")?;
        let ids: Vec<u32> = match view.data().len() / view.shape().iter().product::<usize>() {
            8 => view.data().chunks_exact(8).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect(),
            _ => view.data().chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect(),
        };
        let rows: Vec<Vec<u32>> = ids.chunks_exact(view.shape()[1]).map(<[u32]>::to_vec).collect();
        let features = case.model.text.encode(&TokenBatch::new(&rows), &Device::flex());
        let found = features.into_data().try_into_vec::<f32>().map_err(|e| format!("{e:?}"))?;
        case.assert_close("text features", &found, &case.expected("text_features")?.values);
    }
    Ok(())
}

#[test]
fn a_batch_of_one_equals_a_batch_of_many() -> Outcome {
    for case in cases()? {
        let images = case.images()?;
        let length = images.values.len() / images.shape[0];
        let many = case.trace(&images.values, &case.everything())?;
        for image in 0..images.shape[0] {
            let one = case.trace(&images.values[image * length..][..length], &case.everything())?;
            for head in 0..many.heads.len() {
                // The same sums in the same order: only the blocking of the product may differ.
                case.assert_within(
                    "a batch of one",
                    head_vector(&one, head, 0).as_slice(),
                    head_vector(&many, head, image).as_slice(),
                    1e-6,
                );
            }
        }
    }
    Ok(())
}
