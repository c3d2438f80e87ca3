//! Image towers without texts: timm's Vision Transformers, and `Dinov2Model`, `Dinov2WithRegistersModel`, `ViTModel` and
//! `SiglipVisionModel` of Hugging Face transformers.

mod config;
mod huggingface;
mod timm;
mod towers;

use crate::families::Family;

pub(crate) use config::VitConfig;
pub(crate) use huggingface::preprocess;

/// The family's entry in the table.
pub(crate) const FAMILY: Family = Family {
    name: "ViT",
    recognises: |value| value.get("architecture").is_some() || huggingface::model_type(value).is_some(),
    read: |path, value| Ok(VitConfig::from_json(path, &value)?.into()),
    refuses: &[],
};
