//! Contrastive training of a small CLIP on the rendered world, with the very modules that `headspan-model` decomposes.
//!
//! Or further training of any CLIP on images of the user's own: a [`FineTuner`] with [`FineTuning`] over [`Labelled`] images.
//!
//! A [`Recipe`] fixes everything; a [`Trainer`] takes one step at a time, keeps a checkpoint that continues bit by bit on
//! the same device, and ends with a checkpoint folder in OpenCLIP's layout. An [`EvaluatedModel`] is a model that is tried on scenes.
//!
//! It uses the rendered world (`headspan-scenes`) and Burn's modules (`headspan_model::burn`), and is the only crate beside
//! `headspan-model` that names Burn. The commands `train` and `evaluate` use it.

mod batch;
mod check;
mod checkpoint;
mod curve;
mod error;
mod evaluate;
mod fine_tune;
mod finished;
mod first_model;
mod loss;
mod optimizer;
mod recipe;
mod trainer;
mod vocabulary;

pub use curve::CurvePoint;
pub use error::{Result, TrainError};
pub use evaluate::{EvaluatedModel, Evaluation, EvaluationSettings, ZeroShot};
pub use fine_tune::{Beginning, FineTuner, FineTuning, HeldOut, Labelled, TrainedBlocks, held_out};
pub use recipe::{Architecture, Recipe};
pub use trainer::Trainer;
