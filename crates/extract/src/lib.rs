//! Stage 1 of headspan: images and descriptions to head activations, moments and text embeddings.
//!
//! - [`extract_images`] decodes on all cores ahead of the device, runs the traced forward pass and commits one activation
//!   part after another, so that a killed run loses at most one; [`finish_images`] then derives the image table, the
//!   readouts and the moments from the committed parts alone. A run may [`Keep`] the sums of its parts instead of their activations;
//! - [`embed_texts`] embeds a [`Pool`] of descriptions;
//! - [`align`] fits the map that gives a tower the texts of a CLIP.
//!
//! It uses the images, the towers of `headspan-model`, and the tables of `headspan-artifacts`; what it stores is the head space of
//! `headspan-headspace`. The stages `images` and `texts` of the pipeline run it. No command line, no hub, no settings files.

mod align;
mod busy;
mod check;
mod decode;
mod engine;
mod error;
mod finish;
mod keep;
mod machine_use;
mod moments;
mod nodes;
mod parts;
mod pool;
mod sample;
mod settings;
mod texts;
mod tree;

/// Version of the extraction of images. Raise it when activations, readouts or moments change for the same images and settings.
pub const IMAGES_VERSION: u32 = 1;

/// Version of the embedding of texts. Raise it when embeddings change for the same texts.
pub const TEXTS_VERSION: u32 = 1;

pub use align::{AlignFigures, AlignJob, AlignSettings, Aligned, align};
pub use check::{AUTO_ERROR, CheckFigures, precision_error};
pub use engine::{ImagesJob, ImagesSummary, Progress, extract_images};
pub use error::{ExtractError, Result};
pub use finish::{FinishSummary, finish_images};
pub use keep::{Keep, KeepError};
pub use machine_use::MachineUse;
pub use moments::moments_of_parts;
pub use parts::{PartPlan, PartStatus};
pub use pool::{Pool, PoolEntry, PoolError};
pub use settings::{ImagesSettings, LayerSelection, PrecisionChoice, Shard, TextsSettings};
pub use texts::{EmbeddedTexts, embed_texts};
