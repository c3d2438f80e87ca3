//! CLIP by OpenAI and OpenCLIP, and `CLIPModel` of Hugging Face transformers.

pub(crate) mod architectures;
mod config;
pub(crate) mod expected;
pub(crate) mod huggingface;
mod keywords;
mod open_clip;
mod open_clip_keys;
mod preprocessor;
pub(crate) mod siglip;
mod towers;

use crate::{
    error::Result,
    families::{AS_ITS_LIBRARY, Family, Member, ModelConfig, vit},
};

pub use config::{ClipConfig, PreprocessConfig, TextConfig, VisionConfig};
pub(crate) use config::{check_std, square};

/// The configuration of an architecture that is known by name.
pub(crate) fn config_of(name: &str) -> Result<ModelConfig> {
    Ok(architectures::config(name)?.into())
}

/// The family's entry in the table.
pub(crate) const FAMILY: Family = Family {
    name: "CLIP",
    recognises: |value| {
        value.get("model_cfg").is_some() || value.get("vision_config").is_some() && !vit::is_of_transformers(value)
    },
    read: |path, value| Ok(ClipConfig::from_json(path, value)?.into()),
    refuses: open_clip_keys::REFUSED,
    members: &[
        Member {
            name: "CLIP by OpenAI and OpenCLIP",
            configuration: "open_clip_config.json, or --architecture",
            pooling: "class token",
            texts: "CLIP's",
            shown: "within 1e-5 of PyTorch, random weights, three true geometries too",
        },
        Member {
            name: "CLIPModel of transformers",
            configuration: "config.json",
            pooling: "class token",
            texts: "CLIP's",
            shown: AS_ITS_LIBRARY,
        },
        Member {
            name: "OpenCLIP without ln_pre, with LayerScale or patch dropout",
            configuration: "open_clip_config.json",
            pooling: "class token",
            texts: "CLIP's",
            shown: AS_ITS_LIBRARY,
        },
        Member {
            name: "OpenCLIP with average pooling",
            configuration: "open_clip_config.json",
            pooling: "mean of patches, or of all tokens",
            texts: "CLIP's",
            shown: AS_ITS_LIBRARY,
        },
        Member {
            name: "OpenCLIP with a ViT or DINOv2 of timm",
            configuration: "open_clip_config.json with timm_model_name",
            pooling: "class token, or mean",
            texts: "CLIP's, SigLIP's",
            shown: AS_ITS_LIBRARY,
        },
        Member {
            name: "EVA-CLIP: EVA01, EVA02 but for EVA02-E",
            configuration: "open_clip_config.json with timm_model_name",
            pooling: "class token",
            texts: "CLIP's",
            shown: AS_ITS_LIBRARY,
        },
        Member {
            name: "CoCa of OpenCLIP",
            configuration: "open_clip_config.json with attentional_pool",
            pooling: "attention",
            texts: "CLIP's",
            shown: AS_ITS_LIBRARY,
        },
        Member {
            name: "SigLIP and SigLIP 2 of a fixed resolution",
            configuration: "open_clip_config.json, or config.json of transformers",
            pooling: "attention",
            texts: "SigLIP's",
            shown: AS_ITS_LIBRARY,
        },
    ],
};
