use std::{collections::BTreeMap, path::Path};

use serde::Deserialize;

use super::preprocessor::preprocess;
use crate::checkpoint::weights::Weights;
use crate::{
    error::{ClipError, Result},
    families::{
        TextStyle, VisionShape,
        clip::{ClipConfig, TextConfig, VisionConfig},
    },
    tokenizer::ids_above_end,
};

/// Tokens that transformers may store as a batch of one: the probe of SigLIP's pooling, BLIP's class token.
const TOKENS: [&str; 2] = [PROBE, "visual.class_embedding"];
const PROBE: &str = "visual.attn_pool.probe";
/// Positions that may be a batch of one.
const POSITIONS: &str = "visual.positional_embedding";

/// Prefixes of transformers' names and what OpenCLIP calls them; the first that fits counts.
const PREFIXES: [(&str, &str); 24] = [
    ("vision_model.embeddings.class_embedding", "visual.class_embedding"),
    ("vision_model.embeddings.patch_embedding.", "visual.conv1."),
    ("vision_model.embeddings.position_embedding.weight", "visual.positional_embedding"),
    ("vision_model.embeddings.position_ids", "visual.position_ids"),
    // BLIP's positions are no layer, and its projection has a bias.
    ("vision_model.embeddings.position_embedding", "visual.positional_embedding"),
    ("vision_proj.weight", "visual.proj"),
    ("vision_proj.bias", "visual.proj_bias"),
    ("vision_model.pre_layrnorm.", "visual.ln_pre."),
    ("vision_model.encoder.layers.", "visual.transformer.resblocks."),
    ("vision_model.post_layernorm.", "visual.ln_post."),
    ("text_model.embeddings.token_embedding.", "token_embedding."),
    ("text_model.embeddings.position_embedding.weight", "positional_embedding"),
    ("text_model.embeddings.position_ids", "position_ids"),
    ("text_model.encoder.layers.", "transformer.resblocks."),
    ("text_model.final_layer_norm.", "ln_final."),
    ("text_model.head.weight", "text_projection"),
    ("text_model.head.bias", "text_projection_bias"),
    ("vision_model.head.probe", PROBE),
    ("vision_model.head.attention.in_proj_", "visual.attn_pool.attn.in_proj_"),
    ("vision_model.head.attention.out_proj.", "visual.attn_pool.attn.out_proj."),
    ("vision_model.head.layernorm.", "visual.attn_pool.ln_2."),
    ("vision_model.head.mlp.", "visual.attn_pool.mlp."),
    ("visual_projection.weight", "visual.proj"),
    ("text_projection.weight", "text_projection"),
];

/// Names inside a block.
const PARTS: [(&str, &str); 8] = [
    (".self_attn.out_proj.", ".attn.out_proj."),
    (".self_attn.projection.", ".attn.out_proj."),
    (".self_attn.qkv.weight", ".attn.in_proj_weight"),
    (".self_attn.qkv.bias", ".attn.in_proj_bias"),
    (".layer_norm1.", ".ln_1."),
    (".layer_norm2.", ".ln_2."),
    (".mlp.fc1.", ".mlp.c_fc."),
    (".mlp.fc2.", ".mlp.c_proj."),
];

/// Renames, transposes the projections and fuses queries, keys and values, all lazily.
pub(crate) fn to_open_clip(path: &Path, stored: BTreeMap<String, Weights>) -> Result<BTreeMap<String, Weights>> {
    let mut renamed = BTreeMap::new();
    for (name, tensor) in stored {
        let mut open_clip = name.clone();
        if let Some((from, to)) = PREFIXES.iter().find(|(from, _)| name.starts_with(from)) {
            open_clip = format!("{to}{}", &name[from.len()..]);
        }
        for (from, to) in PARTS {
            open_clip = open_clip.replace(from, to);
        }
        if open_clip == "visual.proj" || open_clip == "text_projection" {
            renamed.insert(open_clip, tensor.transposed());
        } else if TOKENS.contains(&open_clip.as_str()) {
            let elements = tensor.elements();
            renamed.insert(open_clip, tensor.of_shape(vec![elements]));
        } else if let (POSITIONS, [1, rows, width]) = (open_clip.as_str(), &tensor.shape[..]) {
            let shape = vec![*rows, *width];
            renamed.insert(open_clip, tensor.of_shape(shape));
        } else {
            renamed.insert(open_clip, tensor);
        }
    }
    fused_parts(path, renamed, false)
}

/// Fuses queries, keys and values, whose layers are called as in `CLIPModel`. Where no key may have a bias, and none has, those of the keys
/// are zero.
pub(crate) fn fused_parts(
    path: &Path,
    tensors: BTreeMap<String, Weights>,
    keys_may_lack_biases: bool,
) -> Result<BTreeMap<String, Weights>> {
    let without = keys_may_lack_biases && !tensors.keys().any(|name| name.ends_with(".self_attn.k_proj.bias"));
    let mut whole = BTreeMap::new();
    let mut split: BTreeMap<String, BTreeMap<usize, Weights>> = BTreeMap::new();
    for (name, tensor) in tensors {
        match third_of(&name) {
            Some((third, fused)) => _ = split.entry(fused).or_default().insert(third, tensor),
            None => _ = whole.insert(name, tensor),
        }
    }
    for (name, mut thirds) in split {
        if let (true, None, Some(query)) = (without && name.ends_with("_bias"), thirds.get(&1), thirds.get(&0)) {
            thirds.insert(1, Weights::zeros(query.shape.clone()));
        }
        whole.insert(name.clone(), fused(path, &name, &thirds)?);
    }
    Ok(whole)
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
        if other.shape != query.shape {
            return Err(problem(format!(
                "  q_proj, k_proj and v_proj of `{name}` differ: {:?} and {:?}",
                query.shape, other.shape
            )));
        }
    }
    Ok(Weights::stacked([query.clone(), key.clone(), value.clone()]))
}

#[derive(Deserialize)]
struct RawConfig {
    projection_dim: Option<usize>,
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
    eos_token_id: Option<u32>,
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
    let text_heads = text.num_attention_heads.unwrap_or(8);
    let vocab_size = text.vocab_size.unwrap_or(49_408);
    check_heads(path, "text_config", text_width, text_heads)?;
    check_end(path, text.eos_token_id, vocab_size)?;
    let image_size = vision.image_size.unwrap_or(224);
    Ok(ClipConfig {
        embed_dim: raw.projection_dim.unwrap_or(512),
        vision: VisionConfig {
            image_size,
            patch_size: vision.patch_size.unwrap_or(32),
            layers: vision.num_hidden_layers.unwrap_or(12),
            width: vision_width,
            head_width: check_heads(path, "vision_config", vision_width, vision_heads)?,
            mlp_width: vision.intermediate_size.unwrap_or(3072),
            norm_epsilon: vision.layer_norm_eps.unwrap_or(1e-5),
            shape: VisionShape::default(),
        },
        text: TextConfig {
            context_length: text.max_position_embeddings.unwrap_or(77),
            vocab_size,
            width: text_width,
            heads: text_heads,
            layers: text.num_hidden_layers.unwrap_or(12),
            mlp_width: text.intermediate_size.unwrap_or(2048),
            norm_epsilon: text.layer_norm_eps.unwrap_or(1e-5),
            style: TextStyle::default(),
        },
        quick_gelu,
        activation_is_stated: vision.hidden_act.is_some() || text.hidden_act.is_some(),
        interpolated: false,
        preprocess: preprocess(path, image_size)?,
    })
}

/// Width of one head; the heads must share the tower's width out evenly.
fn check_heads(path: &Path, tower: &str, width: usize, heads: usize) -> Result<usize> {
    if width == 0 || heads == 0 || !width.is_multiple_of(heads) {
        return Err(ClipError::Inconsistent {
            path: path.to_owned(),
            what: format!("{tower}.num_attention_heads {heads} does not divide {tower}.hidden_size {width}"),
        });
    }
    Ok(width / heads)
}

/// The `eos_token_id` with which transformers takes the highest id, as we do: OpenAI's configurations named a wrong one.
const LEGACY_END: u32 = 2;

/// With any other `eos_token_id`, given or not, transformers takes a text's feature at the first token of that id. It is the token
/// that we take as long as the tokenizer beside the configuration gives no higher id.
fn check_end(path: &Path, named: Option<u32>, vocab_size: usize) -> Result<()> {
    let tokenizer = path.with_file_name("tokenizer.json");
    if named == Some(LEGACY_END) || !tokenizer.is_file() {
        return Ok(());
    }
    let (end, mut above) = ids_above_end(&tokenizer)?;
    if let Some(named) = named.filter(|named| *named != end) {
        return Err(ClipError::Inconsistent {
            path: path.to_owned(),
            what: format!("text_config.eos_token_id {named} is not the end token's id in `tokenizer.json`, {end}"),
        });
    }
    // A text with an id that the model has no embedding for is refused when it comes.
    above.retain(|(id, _)| (*id as usize) < vocab_size);
    if above.is_empty() {
        return Ok(());
    }
    Err(ClipError::Unsupported {
        path: tokenizer,
        what: format!("a token with an id above the end token's {end} ({})", listed(&above)),
        why: "a text's feature is taken at its highest id, and this model's is at text_config.eos_token_id",
    })
}

fn listed(tokens: &[(u32, String)]) -> String {
    const SHOWN: usize = 8;
    let mut parts: Vec<String> = tokens.iter().take(SHOWN).map(|(id, token)| format!("{id} `{token}`")).collect();
    if tokens.len() > SHOWN {
        parts.push(format!("{} more", tokens.len() - SHOWN));
    }
    parts.join(", ")
}
