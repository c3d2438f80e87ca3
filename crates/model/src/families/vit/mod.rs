//! Image towers without texts: timm's Vision Transformers, and `Dinov2Model`, `Dinov2WithRegistersModel`, `ViTModel` and
//! `SiglipVisionModel` of Hugging Face transformers.

mod config;
mod huggingface;
mod timm;
mod towers;

use crate::families::{AS_ITS_LIBRARY, Family, Member};

pub(crate) use config::VitConfig;
pub(crate) use huggingface::preprocess;

/// The family's entry in the table.
pub(crate) const FAMILY: Family = Family {
    name: "ViT",
    recognises: |value| value.get("architecture").is_some() || huggingface::model_type(value).is_some(),
    read: |path, value| Ok(VitConfig::from_json(path, &value)?.into()),
    refuses: &[],
    members: &[
        Member {
            name: "ViTs of timm: supervised, DINOv2 with and without registers, towers of CLIP and SigLIP",
            configuration: "config.json with architecture",
            pooling: "class token, mean or attention",
            texts: "none",
            shown: AS_ITS_LIBRARY,
        },
        Member {
            name: "Dinov2Model, Dinov2WithRegistersModel, ViTModel, SiglipVisionModel of transformers",
            configuration: "config.json with model_type",
            pooling: "class token, or attention",
            texts: "none",
            shown: AS_ITS_LIBRARY,
        },
    ],
};
