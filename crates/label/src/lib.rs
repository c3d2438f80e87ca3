//! Stage 3 of headspan: a property for every head, and which of its texts speak for it.
//!
//! - [`lexicon`] reads the property off the categories of the head's texts: offline, deterministic, the default;
//! - [`openai`] asks a language model behind any OpenAI-compatible endpoint for a label and judges for each text;
//! - [`import`] takes labels from a file, such as published ones.

mod heads;
pub mod import;
mod labeller;
pub mod lexicon;
pub mod openai;

/// Version of the labellers. Raise it when labels change for the same texts and settings. 2: heads without texts have rows.
pub const VERSION: u32 = 2;

pub use heads::{HeadTexts, heads_of};
pub use labeller::{LABELLERS, LabelError, LabelRequest, LabelSettings, Labeller, LabellerName};
pub use lexicon::{Categories, CategoriesError, LexiconSettings, Weighting};
pub use openai::OpenAiSettings;
