//! Image towers without texts: timm's Vision Transformers, and `Dinov2Model`, `Dinov2WithRegistersModel`, `DINOv3ViTModel`, `ViTModel`
//! and `SiglipVisionModel` of Hugging Face transformers, and image towers of models whose texts are not read (CLIP's by itself, ChineseCLIP,
//! BLIP).

mod config;
mod dinov3;
mod huggingface;
mod timm;
mod towers;
mod vision_models;

use crate::families::{AS_ITS_LIBRARY, Family, Member};

pub(crate) use config::VitConfig;
pub(crate) use huggingface::preprocess;

/// Whether a configuration is of an image tower of transformers that is read without texts.
pub(crate) fn is_of_transformers(value: &serde_json::Value) -> bool {
    huggingface::model_type(value).is_some()
}

/// The family's entry in the table.
pub(crate) const FAMILY: Family = Family {
    name: "ViT",
    recognises: |value| value.get("architecture").is_some() || is_of_transformers(value),
    read: |path, value| Ok(VitConfig::from_json(path, &value)?.into()),
    refuses: &[],
    members: &[
        Member {
            name: "ViTs of timm: supervised, DINOv2 with and without registers, DINOv3, EVA, towers of CLIP and SigLIP",
            configuration: "config.json with architecture",
            pooling: "class token, mean or attention",
            texts: "none",
            shown: AS_ITS_LIBRARY,
        },
        Member {
            name: "Dinov2Model, Dinov2WithRegistersModel, DINOv3ViTModel, ViTModel, SiglipVisionModel of transformers",
            configuration: "config.json with model_type",
            pooling: "class token, or attention",
            texts: "none",
            shown: AS_ITS_LIBRARY,
        },
        Member {
            name: "image towers of CLIPVisionModel, with projection or without, ChineseCLIP and BLIP of transformers",
            configuration: "config.json with model_type",
            pooling: "class token",
            texts: "none",
            shown: AS_ITS_LIBRARY,
        },
    ],
};
