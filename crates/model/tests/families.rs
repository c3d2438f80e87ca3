//! Towers of every kind against PyTorch: random models of `open_clip`, timm and transformers whose dense decomposition was computed there
//! (`tools/reference/families.py`). The tolerance is that of `golden.rs`.

use std::{
    error::Error,
    path::{Path, PathBuf},
};

use headspan_headspace::{HeadId, HeadVector, Scalars};
use headspan_model::{
    Checkpoint, ClipConfig, HostTokens, HostTrace, LoadedModel, ModelConfig, OpenDevice, Precision, ReadoutFolder,
    TextLimits, TokenBatch, TokenStyle, Tokenizer, TraceRequest,
};
use safetensors::SafeTensors;
use serde_json::Value;

const TOLERANCE: f64 = 1e-5;

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

/// What PyTorch found, by name.
struct Expected(Vec<u8>);

impl Expected {
    fn shape_and_values(&self, key: &str) -> Outcome<(Vec<usize>, Vec<f32>)> {
        let tensors = SafeTensors::deserialize(&self.0)?;
        let view = tensors.tensor(key)?;
        let values = view.data().as_chunks::<4>().0.iter().map(|value| f32::from_le_bytes(*value)).collect();
        Ok((view.shape().to_vec(), values))
    }

    fn values(&self, key: &str) -> Outcome<Vec<f32>> {
        Ok(self.shape_and_values(key)?.1)
    }

    fn tokens(&self) -> Outcome<Option<Vec<Vec<u32>>>> {
        let tensors = SafeTensors::deserialize(&self.0)?;
        let Ok(view) = tensors.tensor("text_tokens") else { return Ok(None) };
        let ids: Vec<u32> =
            view.data().as_chunks::<8>().0.iter().map(|id| i64::from_le_bytes(*id).unsigned_abs() as u32).collect();
        Ok(Some(ids.chunks_exact(view.shape()[1]).map(<[u32]>::to_vec).collect()))
    }
}

/// The committed cases, or those of the folder that `HEADSPAN_FAMILIES` names: models of true size (`tools/reference/true_geometry.py`).
fn folders() -> Outcome<Vec<PathBuf>> {
    let other = std::env::var_os("HEADSPAN_FAMILIES").map(PathBuf::from);
    let is_other = other.is_some();
    let own = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/families");
    let place = other.unwrap_or(own);
    let mut folders: Vec<PathBuf> = fs_err::read_dir(place)?.map(|entry| Ok(entry?.path())).collect::<Outcome<_>>()?;
    folders.sort();
    assert!(is_other || folders.len() >= 32, "{folders:?}");
    Ok(folders)
}

/// The configuration of a case. OpenCLIP names a tower of timm without its sizes; those of the case are smaller.
fn config(folder: &Path) -> Outcome<ModelConfig> {
    let open_clip = folder.join("open_clip_config.json");
    if !open_clip.is_file() {
        return Ok(ModelConfig::read(&folder.join("config.json"))?);
    }
    let mut config = ClipConfig::read(&open_clip)?;
    let file: Value = serde_json::from_str(&fs_err::read_to_string(&open_clip)?)?;
    if let Some(sizes) = file.get("sizes") {
        let size = |key: &str| sizes[key].as_u64().unwrap_or_default() as usize;
        let vision = &mut config.vision;
        // Rounded down as timm does; of every name the product is exact in between.
        vision.mlp_width = vision.mlp_width * size("embed_dim") / vision.width;
        (vision.patch_size, vision.layers, vision.width) = (size("patch_size"), size("depth"), size("embed_dim"));
        vision.image_size = size("img_size");
        vision.head_width = vision.width / size("num_heads");
        if !vision.shape.projection {
            config.embed_dim = vision.width;
        }
        if let headspan_model::Pooling::Attention { mlp_width } = &mut vision.shape.pooling {
            *mlp_width = vision.mlp_width;
        }
    }
    Ok(config.into())
}

fn weights(folder: &Path) -> Outcome<Checkpoint> {
    let names = ["open_clip_model.safetensors", "model.safetensors"];
    let found = names.iter().map(|name| folder.join(name)).find(|path| path.is_file()).ok_or("no weights")?;
    Ok(Checkpoint::open(&found)?)
}

struct Case {
    name: String,
    config: ModelConfig,
    model: LoadedModel,
    expected: Expected,
}

fn cases() -> Outcome<Vec<Case>> {
    let case = |folder: PathBuf| {
        let config = config(&folder)?;
        let model = LoadedModel::of_checkpoint(&weights(&folder)?, &config, OpenDevice::cpu())?;
        let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        Ok(Case { name, config, model, expected: Expected(fs_err::read(folder.join("case.safetensors"))?) })
    };
    folders()?.into_iter().map(case).collect()
}

impl Case {
    /// The trace by Burn's pass and by our own.
    fn traces(&self, request: &TraceRequest) -> Outcome<[(String, HostTrace); 2]> {
        let pixels = self.expected.values("images")?;
        let own = self.model.vision_pass(Precision::Float32)?;
        assert!(own.own().is_some(), "{}: it has no pass of our own", self.name);
        Ok([
            (format!("{}, Burn", self.name), self.model.vision().trace(pixels.clone(), request)?),
            (format!("{}, our pass", self.name), own.trace(pixels, request)?),
        ])
    }

    fn all_layers(&self) -> Vec<usize> {
        (0..self.config.vision.layers).collect()
    }
}

fn assert_close(what: &str, found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len(), "{what} has another size");
    let largest = expected.iter().fold(0.0_f64, |most, x| most.max(f64::from(x.abs())));
    let worst = found.iter().zip(expected).map(|(x, y)| f64::from((x - y).abs())).fold(0.0, f64::max);
    assert!(largest > 0.0 && found.iter().all(|x| x.is_finite()), "{what} is zero or not finite");
    assert!(worst <= TOLERANCE * largest, "{what} is off by {:.1e} of {largest}", worst / largest);
}

/// `u` of one image and head.
fn head_vector(trace: &HostTrace, head: usize, image: usize) -> HeadVector {
    let length = trace.heads[head].len() / trace.scalars.len();
    HeadVector::new(&trace.heads[head][image * length..][..length], trace.scalars[image])
}

#[test]
fn every_component_agrees_with_pytorch_and_they_sum_to_the_representation() -> Outcome {
    for case in cases()? {
        let (layers, d) = (case.all_layers(), case.config.vision.d);
        let request = TraceRequest { layers: layers.clone(), residual_components: true, ..TraceRequest::default() };
        let folder = case.model.readout_folder()?;
        let readouts = folder.readouts(&layers)?;
        for (name, trace) in case.traces(&request)? {
            assert_close(&format!("{name}: representation"), &trace.representation, &case.expected.values("repr")?);
            let (mut heads, mut components, mut sums) = (Vec::new(), Vec::new(), Vec::new());
            for (image, stored) in trace.scalars.iter().enumerate() {
                let scalars = Scalars::<f64>::from(*stored);
                let mut sum = vec![0.0_f64; d];
                for (head, readout) in readouts.iter().enumerate() {
                    let terms = readout.contribution(head_vector(&trace, head, image).as_slice());
                    sum.iter_mut().zip(&terms).for_each(|(sum, term)| *sum += f64::from(*term));
                    heads.extend(terms);
                }
                for component in &trace.residual_components {
                    let width = component.len() / trace.scalars.len();
                    let terms = folder.component_contribution(&component[image * width..][..width], scalars);
                    sum.iter_mut().zip(&terms).for_each(|(sum, term)| *sum += term);
                    components.extend(terms.iter().map(|term| *term as f32));
                }
                sums.extend(sum.iter().map(|sum| (sum / scalars.inv_norm) as f32));
            }
            assert_close(&format!("{name}: heads"), &heads, &case.expected.values("attn")?);
            assert_close(&format!("{name}: components"), &components, &case.expected.values("mlp")?);
            assert_close(&format!("{name}: sum of all"), &sums, &trace.representation);
        }
    }
    Ok(())
}

#[test]
fn parts_of_tokens_agree_with_pytorch() -> Outcome {
    for case in cases()? {
        let layers = case.all_layers();
        let request = TraceRequest {
            layers: layers.clone(),
            token_layers: layers.clone(),
            mean_attention: true,
            ..TraceRequest::default()
        };
        let folder = case.model.readout_folder()?;
        let readouts = folder.readouts(&layers)?;
        let (shape, expected) = case.expected.shape_and_values("attn_tokens")?;
        let [images, layer_count, tokens, heads, d] = shape[..] else { return Err("shape of attn_tokens".into()) };
        for (name, trace) in case.traces(&request)? {
            let mut found = vec![0.0_f32; expected.len()];
            for layer in &trace.tokens {
                assert_eq!((layer.tokens, case.config.vision.tokens()), (tokens, tokens), "{name}");
                if case.config.vision.gives_contributions() {
                    for image in 0..images {
                        let parts = pooled_parts(&folder, &trace, layer, image, d)?;
                        let to = (image * layer_count + layer.layer) * parts.len();
                        found[to..to + parts.len()].copy_from_slice(&parts);
                    }
                    continue;
                }
                assert_eq!(layer.looks(), 1, "{name}");
                for at in 0..images * heads * tokens {
                    let (image, head, token) = (at / (heads * tokens), at / tokens % heads, at % tokens);
                    let value = &layer.values[at * layer.head_dim..][..layer.head_dim];
                    let readout = &readouts[layer.layer * heads + head];
                    let c = readout.token_contribution(layer.attention[at], value, trace.scalars[image], tokens);
                    let to = (((image * layer_count + layer.layer) * tokens + token) * heads + head) * d;
                    found[to..to + d].copy_from_slice(&c);
                }
            }
            assert_close(&format!("{name}: tokens"), &found, &expected);
            let last = trace.mean_attention.last().ok_or("no attention")?;
            assert_eq!(last.len(), images * tokens, "{name}: attention of what is pooled");
            assert!(last.chunks_exact(tokens).all(|row| (row.iter().sum::<f32>() - 1.0).abs() < 1e-5), "{name}");
        }
    }
    Ok(())
}

/// Parts of tokens of one image and layer in a tower that pools by attention, `[tokens, heads, d]`: those of a head for every unit vector as
/// a direction.
fn pooled_parts(
    folder: &ReadoutFolder,
    trace: &HostTrace,
    layer: &HostTokens,
    image: usize,
    d: usize,
) -> Outcome<Vec<f32>> {
    let (tokens, looks, width) = (layer.tokens, layer.looks(), layer.head_dim);
    let images = trace.scalars.len();
    let heads = layer.values.len() / (images * tokens * width);
    let ids: Vec<HeadId> = (0..heads).map(|head| HeadId { layer: layer.layer as u32, head: head as u32 }).collect();
    let inv_norm = f64::from(trace.scalars[image].inv_norm);
    let mut parts = vec![0.0_f32; tokens * heads * d];
    for at in 0..d {
        let direction: Vec<f32> = (0..d).map(|other| if other == at { 1.0 } else { 0.0 }).collect();
        let asked = folder.token_directions(&ids, &direction)?.ok_or("the tower pools by attention")?;
        for (head, asked) in asked.iter().enumerate() {
            let row = image * heads + head;
            let own = |token: usize| -> f64 {
                let value = &layer.values[(row * tokens + token) * width..][..width];
                let look = |look: usize| {
                    let product = asked[look * width..].iter().zip(value).map(|(a, v)| f64::from(a * v)).sum::<f64>();
                    f64::from(layer.attention[(row * looks + look) * tokens + token]) * product
                };
                (0..looks).map(look).sum::<f64>() * inv_norm
            };
            let own: Vec<f64> = (0..tokens).map(own).collect();
            // A head's contribution less what its values give is shared evenly.
            let whole = f64::from(trace.heads[layer.layer * heads + head][image * d + at]);
            let share = (whole - own.iter().sum::<f64>()) / tokens as f64;
            own.iter()
                .enumerate()
                .for_each(|(token, own)| parts[(token * heads + head) * d + at] = (own + share) as f32);
        }
    }
    Ok(parts)
}

#[test]
fn texts_agree_with_pytorch_or_are_refused() -> Outcome {
    for case in cases()? {
        let Some(rows) = case.expected.tokens()? else {
            assert!(case.config.texts().is_err(), "{}", case.name);
            let refused = case.model.encode_texts(&TokenBatch::new(&[vec![1, 2]])).err();
            let message = refused.map(|error| error.to_string()).unwrap_or_default();
            assert!(message.starts_with("this tower has no texts: "), "{}: {message}", case.name);
            continue;
        };
        let batch = match case.config.texts()?.tokens {
            TokenStyle::Siglip => TokenBatch::padded(&rows),
            _ => TokenBatch::new(&rows),
        };
        let found = case.model.encode_texts(&batch)?;
        assert_close(&format!("{}: texts", case.name), &found, &case.expected.values("text_features")?);
    }
    Ok(())
}

#[test]
fn a_model_for_queries_gives_the_same() -> Outcome {
    for folder in folders()? {
        let config = config(&folder)?;
        let checkpoint = weights(&folder)?;
        let model = LoadedModel::of_checkpoint(&checkpoint, &config, OpenDevice::cpu())?;
        let queries = LoadedModel::for_queries(&checkpoint, &config, OpenDevice::cpu())?;
        let layers: Vec<usize> = (0..config.vision.layers).collect();
        let request = TraceRequest { layers: layers.clone(), residual_components: true, ..TraceRequest::default() };
        let pixels = Expected(fs_err::read(folder.join("case.safetensors"))?).values("images")?;
        let own = model.vision_pass(Precision::Float32)?.trace(pixels.clone(), &request)?;
        assert_eq!(queries.vision().trace(pixels.clone(), &request)?, own, "{}", folder.display());
        assert_eq!(
            queries.readout_folder()?.readouts(&layers)?,
            model.readout_folder()?.readouts(&layers)?,
            "{}",
            folder.display()
        );
        // Halves of the significant bits: near, and no more.
        let rounded = model.vision_pass(Precision::Bfloat16)?.trace(pixels, &request)?;
        let largest = own.representation.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
        let off = own.representation.iter().zip(&rounded.representation).map(|(x, y)| (x - y).abs());
        assert!(off.fold(0.0, f32::max) < 0.05 * largest, "{}", folder.display());
    }
    Ok(())
}

#[test]
fn heads_behind_one_norm_cannot_be_scaled_in_the_weights() -> Outcome {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/families/openclip-eva02");
    let scales = std::collections::BTreeMap::from([(HeadId { layer: 1, head: 1 }, 0.0)]);
    let scaled = weights(&folder)?.with_scaled_heads(&config(&folder)?, &scales);
    let message = scaled.err().map(|error| error.to_string()).unwrap_or_default();
    assert!(message.starts_with("L1.H1 cannot be scaled in the weights"), "{message}");
    Ok(())
}

/// Texts and their tokens.
#[derive(serde::Deserialize)]
struct TokenCases {
    context_length: usize,
    texts: Vec<(String, Vec<u32>)>,
}

#[test]
fn texts_of_siglip_become_the_tokens_of_open_clip() -> Outcome {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/siglip-tokenizer");
    let cases: TokenCases = serde_json::from_str(&fs_err::read_to_string(folder.join("cases.json"))?)?;
    let limits = TextLimits { context_length: cases.context_length, vocab_size: 64, tokens: TokenStyle::Siglip };
    let tokenizer = Tokenizer::of(&folder.join("tokenizer.json"), &limits)?;
    for (text, expected) in cases.texts {
        let found = tokenizer.encode(&text)?;
        assert_eq!(found.ids, expected, "{text:?}");
        assert_eq!(found.is_cut, text.starts_with("a very long"), "{text:?}");
        assert_eq!(found.has_unknown, text.contains("zebra"), "{text:?}");
    }
    assert!(
        Tokenizer::of(&folder.join("tokenizer.json"), &TextLimits { vocab_size: 4, ..limits })?.encode("dog").is_err()
    );
    let unknown = Tokenizer::of(&folder.join("tokenizer.json"), &TextLimits { tokens: TokenStyle::Unknown, ..limits });
    assert!(unknown.is_err_and(|error| error.to_string().contains("tokenizer")));
    Ok(())
}
