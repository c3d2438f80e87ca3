use std::{collections::BTreeMap, path::Path};

use serde::Deserialize;

use super::weights::Weights;
use crate::{
    config::{ClipConfig, PreprocessConfig, TextConfig, VisionConfig},
    error::{ClipError, Result},
};

/// Prefixes of transformers' names and what OpenCLIP calls them; the first that fits counts.
const PREFIXES: [(&str, &str); 14] = [
    ("vision_model.embeddings.class_embedding", "visual.class_embedding"),
    ("vision_model.embeddings.patch_embedding.", "visual.conv1."),
    ("vision_model.embeddings.position_embedding.weight", "visual.positional_embedding"),
    ("vision_model.embeddings.position_ids", "visual.position_ids"),
    ("vision_model.pre_layrnorm.", "visual.ln_pre."),
    ("vision_model.encoder.layers.", "visual.transformer.resblocks."),
    ("vision_model.post_layernorm.", "visual.ln_post."),
    ("text_model.embeddings.token_embedding.", "token_embedding."),
    ("text_model.embeddings.position_embedding.weight", "positional_embedding"),
    ("text_model.embeddings.position_ids", "position_ids"),
    ("text_model.encoder.layers.", "transformer.resblocks."),
    ("text_model.final_layer_norm.", "ln_final."),
    ("visual_projection.weight", "visual.proj"),
    ("text_projection.weight", "text_projection"),
];

/// Names inside a block.
const PARTS: [(&str, &str); 5] = [
    (".self_attn.out_proj.", ".attn.out_proj."),
    (".layer_norm1.", ".ln_1."),
    (".layer_norm2.", ".ln_2."),
    (".mlp.fc1.", ".mlp.c_fc."),
    (".mlp.fc2.", ".mlp.c_proj."),
];

/// Renames, transposes the projections and fuses queries, keys and values, all lazily.
pub(super) fn to_open_clip(path: &Path, stored: BTreeMap<String, Weights>) -> Result<BTreeMap<String, Weights>> {
    let mut renamed = BTreeMap::new();
    let mut split: BTreeMap<String, BTreeMap<usize, Weights>> = BTreeMap::new();
    for (name, tensor) in stored {
        let mut open_clip = name.clone();
        if let Some((from, to)) = PREFIXES.iter().find(|(from, _)| name.starts_with(from)) {
            open_clip = format!("{to}{}", &name[from.len()..]);
        }
        for (from, to) in PARTS {
            open_clip = open_clip.replace(from, to);
        }
        if let Some((third, fused)) = third_of(&open_clip) {
            split.entry(fused).or_default().insert(third, tensor);
        } else if open_clip == "visual.proj" || open_clip == "text_projection" {
            renamed.insert(open_clip, tensor.transposed());
        } else {
            renamed.insert(open_clip, tensor);
        }
    }
    for (name, thirds) in split {
        renamed.insert(name.clone(), fused(path, &name, &thirds)?);
    }
    Ok(renamed)
}

/// `…self_attn.k_proj.weight` is third 1 of `…attn.in_proj_weight`.
fn third_of(name: &str) -> Option<(usize, String)> {
    for (third, letter) in ["q", "k", "v"].into_iter().enumerate() {
        if let Some((block, kind)) = name.split_once(&format!(".self_attn.{letter}_proj.")) {
            return Some((third, format!("{block}.attn.in_proj_{kind}")));
        }
    }
    None
}

fn fused(path: &Path, name: &str, thirds: &BTreeMap<usize, Weights>) -> Result<Weights> {
    let problem = |what: String| ClipError::Tensors { path: path.to_owned(), problems: vec![what] };
    let (Some(query), Some(key), Some(value)) = (thirds.get(&0), thirds.get(&1), thirds.get(&2)) else {
        return Err(problem(format!("  `{name}` needs q_proj, k_proj and v_proj, and not all three are there")));
    };
    for other in [key, value] {
        if other.shape != query.shape || other.dtype != query.dtype {
            return Err(problem(format!(
                "  q_proj, k_proj and v_proj of `{name}` differ: {:?} {:?} and {:?} {:?}",
                query.shape, query.dtype, other.shape, other.dtype
            )));
        }
    }
    Ok(Weights::stacked([query.clone(), key.clone(), value.clone()]))
}

#[derive(Deserialize)]
struct RawConfig {
    projection_dim: usize,
    vision_config: RawTower,
    text_config: RawTower,
}

#[derive(Deserialize)]
struct RawTower {
    hidden_size: Option<usize>,
    num_hidden_layers: Option<usize>,
    num_attention_heads: Option<usize>,
    intermediate_size: Option<usize>,
    image_size: Option<usize>,
    patch_size: Option<usize>,
    vocab_size: Option<usize>,
    max_position_embeddings: Option<usize>,
    hidden_act: Option<String>,
    layer_norm_eps: Option<f64>,
}

impl RawTower {
    fn quick_gelu(&self, path: &Path) -> Result<bool> {
        match self.hidden_act.as_deref() {
            None | Some("quick_gelu") => Ok(true),
            Some("gelu") => Ok(false),
            Some(other) => Err(ClipError::Unsupported {
                path: path.to_owned(),
                what: format!("hidden_act = `{other}`"),
                why: "CLIP's activations are `quick_gelu` and `gelu`",
            }),
        }
    }
}

/// Reads the `config.json` of a `CLIPModel`; absent keys have transformers' defaults, which are ViT-B/32's.
pub(crate) fn config(path: &Path, value: serde_json::Value) -> Result<ClipConfig> {
    let raw: RawConfig =
        serde_json::from_value(value).map_err(|source| ClipError::Config { path: path.to_owned(), source })?;
    let (vision, text) = (&raw.vision_config, &raw.text_config);
    let quick_gelu = vision.quick_gelu(path)?;
    if text.quick_gelu(path)? != quick_gelu {
        return Err(ClipError::Inconsistent {
            path: path.to_owned(),
            what: "the towers have different hidden_act".to_owned(),
        });
    }
    let vision_width = vision.hidden_size.unwrap_or(768);
    let vision_heads = vision.num_attention_heads.unwrap_or(12);
    let text_width = text.hidden_size.unwrap_or(512);
    let image_size = vision.image_size.unwrap_or(224);
    Ok(ClipConfig {
        embed_dim: raw.projection_dim,
        vision: VisionConfig {
            image_size,
            patch_size: vision.patch_size.unwrap_or(32),
            layers: vision.num_hidden_layers.unwrap_or(12),
            width: vision_width,
            head_width: vision_width / vision_heads.max(1),
            mlp_width: vision.intermediate_size.unwrap_or(3072),
            norm_epsilon: vision.layer_norm_eps.unwrap_or(1e-5),
        },
        text: TextConfig {
            context_length: text.max_position_embeddings.unwrap_or(77),
            vocab_size: text.vocab_size.unwrap_or(49_408),
            width: text_width,
            heads: text.num_attention_heads.unwrap_or(8),
            layers: text.num_hidden_layers.unwrap_or(12),
            mlp_width: text.intermediate_size.unwrap_or(2048),
            norm_epsilon: text.layer_norm_eps.unwrap_or(1e-5),
        },
        quick_gelu,
        preprocess: preprocess(path, image_size)?,
    })
}

/// `preprocessor_config.json` as transformers stores it.
#[derive(Deserialize)]
struct RawPreprocessor {
    image_mean: Option<[f32; 3]>,
    image_std: Option<[f32; 3]>,
    resample: Option<u32>,
    size: Option<serde_json::Value>,
}

/// Pillow's number of the bicubic filter.
const BICUBIC: u32 = 3;

/// Normalisation from `preprocessor_config.json` beside the configuration; OpenAI's where there is none.
fn preprocess(config: &Path, image_size: usize) -> Result<PreprocessConfig> {
    let path = config.with_file_name("preprocessor_config.json");
    let standard = PreprocessConfig::default();
    if !path.is_file() {
        return Ok(standard);
    }
    let text = fs_err::read_to_string(&path)?;
    let raw: RawPreprocessor =
        serde_json::from_str(&text).map_err(|source| ClipError::Config { path: path.clone(), source })?;
    let refused = |what: String, why: &'static str| Err(ClipError::Unsupported { path: path.clone(), what, why });
    if let Some(filter) = raw.resample.filter(|filter| *filter != BICUBIC) {
        return refused(format!("resample = {filter}"), "the supported filter is 3, Pillow's bicubic");
    }
    // A number, `{"shortest_edge": 224}`, or height and width of an exact size.
    if let Some(size) = &raw.size {
        let side = size.as_u64().or_else(|| size.get("shortest_edge")?.as_u64());
        if side != Some(image_size as u64) {
            return refused(format!("size = {size}"), "the shortest side must become the model's image_size");
        }
    }
    Ok(PreprocessConfig { mean: raw.image_mean.unwrap_or(standard.mean), std: raw.image_std.unwrap_or(standard.std) })
}
