//! Model families: what a configuration may describe, and towers behind one pair of traits. A new family is a folder here and its line
//! in [`FAMILIES`].

pub(crate) mod aligned;
mod card_tower;
pub(crate) mod clip;
mod config;
mod eva;
pub(crate) mod image_towers;
mod parts;
mod rotary;
mod shape;
pub(crate) mod timm;
pub(crate) mod timm_names;
mod towers;
pub(crate) mod vit;

use std::path::Path;

use serde::Serialize;
use serde_json::Value;

use crate::error::Result;

pub(crate) use config::FamilyTowers;
pub use config::{Activation, ModelConfig, ModelOptions, TextLimits, VisionGeometry};
pub(crate) use parts::Parts;
pub(crate) use rotary::RotaryTable;
pub use rotary::{Rotary, RotaryPlaces};
pub use shape::{BlockShape, Pooling, TextStyle, TokenStyle, VisionShape};
pub(crate) use towers::Towers;
pub use towers::{TextTower, VisionTower};

/// A family of models.
#[derive(Debug, Clone, Copy)]
pub struct Family {
    /// Name in messages.
    pub name: &'static str,
    /// Whether the content of a configuration file is of this family.
    pub recognises: fn(&Value) -> bool,
    /// Reads a configuration; the path is for messages, and for files that stand beside it.
    pub read: fn(&Path, Value) -> Result<ModelConfig>,
    /// Keys of configurations that are refused by name, each with the reason.
    pub refuses: &'static [(&'static str, &'static str)],
    /// The models that are read, and what was shown of each.
    pub members: &'static [Member],
}

/// Models of a family that are read alike.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Member {
    /// What they are.
    pub name: &'static str,
    /// The configuration that says so.
    pub configuration: &'static str,
    /// How their tokens become one representation.
    pub pooling: &'static str,
    /// Which texts they have.
    pub texts: &'static str,
    /// What was shown.
    pub shown: &'static str,
}

/// What the goldens of `tests/families.rs` show: representation, contributions of all heads, what is left to MLPs and pooling, and texts.
pub(crate) const AS_ITS_LIBRARY: &str = "within 1e-5 of its library, random weights of small geometry";

/// Names of the architectures that weights without a configuration may have; each may end with `-quickgelu`.
pub fn architectures() -> impl Iterator<Item = &'static str> {
    clip::architectures::names()
}

/// All families. A configuration is read by the first that recognises it.
pub static FAMILIES: &[Family] = &[clip::FAMILY, vit::FAMILY, aligned::FAMILY];
