//! Stage 3 of headspan: a property for every head, and which of its texts speak for it.
//!
//! A [`Labeller`] is a line in the table [`LABELLERS`]:
//!
//! - [`lexicon`] takes the property from the categories of the head's texts: offline, deterministic, the default;
//! - [`openai`] asks a language model behind any OpenAI-compatible endpoint for a label and for a judgement of each text;
//! - [`import`] takes labels from a file, such as published ones.
//!
//! It uses `artifacts` for the tables of a run, and no model. `pipeline` runs it as the stage `label`.

mod heads;
pub mod import;
mod labeller;
pub mod lexicon;
pub mod openai;

/// For `tools/fuzz` alone.
#[cfg(fuzzing)]
pub mod fuzzing {
    pub use crate::openai::fuzzing::{address, answer};
}

/// Version of the labellers. Raise it when labels change for the same texts and settings. 2: heads without texts have rows.
pub const VERSION: u32 = 2;

pub use heads::{HeadTexts, heads_of};
pub use labeller::{LABELLERS, LabelError, LabelRequest, LabelSettings, Labeller, LabellerName, NamedPath};
pub use lexicon::{Categories, CategoriesError, LexiconSettings, Weighting};
pub use openai::OpenAiSettings;
