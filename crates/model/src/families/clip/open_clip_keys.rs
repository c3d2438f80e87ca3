//! Keys of `open_clip_config.json`: those that are read, those that change nothing, and those that are refused.

use std::path::Path;

use serde_json::{Map, Value};

use crate::{
    error::{ClipError, Result},
    families::timm,
};

/// Keys of a tower that headspan reads.
pub(super) const VISION_KEYS: [&str; 16] = [
    "image_size",
    "layers",
    "width",
    "patch_size",
    "head_width",
    "mlp_ratio",
    "no_ln_pre",
    "ls_init_value",
    "pool_type",
    "global_average_pool",
    "final_ln_after_pool",
    "act_kwargs",
    "norm_kwargs",
    "attentional_pool",
    "attn_pooler_heads",
    "attn_pooler_queries",
];
/// The same beside `timm_model_name`, which says the sizes of the tower.
pub(super) const TIMM_KEYS: [&str; 10] = [
    "image_size",
    "timm_model_name",
    "timm_pool",
    "timm_proj",
    "timm_proj_bias",
    "layers",
    "width",
    "patch_size",
    "head_width",
    "mlp_ratio",
];
pub(super) const TEXT_KEYS: [&str; 15] = [
    "context_length",
    "vocab_size",
    "width",
    "heads",
    "layers",
    "mlp_ratio",
    "ls_init_value",
    "no_causal_mask",
    "proj_bias",
    "pool_type",
    "act_kwargs",
    "norm_kwargs",
    "hf_tokenizer_name",
    "tokenizer_kwargs",
    "embed_cls",
];

/// Keys that do not change the forward pass as long as they hold the value given here (null: whatever the value).
const HARMLESS: [(&str, Option<&str>); 29] = [
    ("patch_dropout", None),
    ("timm_drop", None),
    ("timm_drop_path", None),
    ("pos_embed_type", Some("\"sin_cos_2d\"")),
    ("output_tokens", None),
    ("attentional_pool", Some("false")),
    ("attn_pooler_queries", None),
    ("attn_pooler_heads", Some("8")),
    ("input_patchnorm", Some("false")),
    ("pos_embed_type", Some("\"learnable\"")),
    ("timm_model_name", Some("null")),
    ("hf_model_name", Some("null")),
    ("proj_type", Some("\"linear\"")),
    ("pad_id", None),
    ("bos_id", None),
    ("eos_id", None),
    ("block_type", Some("null")),
    ("block_type", Some("\"default\"")),
    ("qk_norm", Some("false")),
    ("scaled_cosine_attn", Some("false")),
    ("scale_heads", Some("false")),
    ("scale_attn_inner", Some("false")),
    ("scale_attn", Some("false")),
    ("scale_fc", Some("false")),
    ("tokenizer_mode", Some("null")),
    ("timm_model_pretrained", None),
    ("timm_pool", None),
    ("timm_proj", None),
    ("timm_proj_bias", None),
];

/// Keys of `model_cfg` that matter only in training, that the weights themselves say, or that are of CoCa's decoder of captions.
pub(super) const MODEL_KEYS: [&str; 7] = [
    "custom_text",
    "init_logit_scale",
    "init_logit_bias",
    "nonscalar_logit_scale",
    "cast_dtype",
    "output_dict",
    "multimodal_cfg",
];

pub(super) const NO_ATTENTION_POOL: &str = "CoCa's representation is the first query's output (true); `parallel` and `cascade` have second queries, which headspan does not read";

pub(super) const NO_POOL: &str = "the representation is the class token (`tok`) or the mean of tokens (`avg`)";

/// Keys that are often met and refused, and why.
pub(super) const REFUSED: &[(&str, &str)] = &[
    ("timm_model_name", timm::KNOWN),
    ("hf_model_name", "text towers of Hugging Face transformers other than CLIP's have no class of their own here"),
    ("attentional_pool", NO_ATTENTION_POOL),
    ("pool_type", NO_POOL),
    ("global_average_pool", NO_POOL),
];

/// Why a key is refused.
fn reason(key: &str) -> &'static str {
    REFUSED.iter().find(|(refused, _)| *refused == key).map_or(
        "it changes the forward pass and headspan does not know how; OpenAI's and LAION's ViTs do not use it",
        |(_, why)| why,
    )
}

/// An error for the first key that is neither known nor harmless.
pub(super) fn refuse_unknown(path: &Path, section: &str, keys: &Map<String, Value>, known: &[&str]) -> Result<()> {
    for (key, value) in keys {
        let harmless =
            HARMLESS.iter().any(|(name, only)| name == key && only.is_none_or(|only| *value.to_string() == *only));
        if !known.contains(&key.as_str()) && !harmless {
            return Err(ClipError::Unsupported {
                path: path.to_owned(),
                what: format!("{section}.{key} = {value}"),
                why: reason(key),
            });
        }
    }
    Ok(())
}
