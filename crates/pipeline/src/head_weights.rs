use std::path::PathBuf;

use headspan_artifacts::{RunDirectory, write_atomic};
use headspan_metrics::{HeadWeights, HeadWeightsSettings, head_weights as name_directions};

use crate::{
    answers::made_from,
    compare::warn_of_unfinished,
    error::Result,
    settings::Settings,
    stages::{IMAGES, LABEL, TEXTS, TEXTSPAN, synonyms},
};

/// What is named of each head.
#[derive(Debug, Clone, Copy)]
pub struct HeadWeightsRequest<'a> {
    /// Directions of each head.
    pub directions: usize,
    /// Most texts of a direction.
    pub texts: usize,
    /// Whose properties are compared; none: the first labeller by name.
    pub labeller: Option<&'a str>,
}

/// Heads from weights alone, and where their table lies.
pub struct WeighedRun {
    /// The heads.
    pub weights: HeadWeights,
    /// `weights.parquet`.
    pub table: PathBuf,
}

/// Names the directions in which each head of a run can write, and writes `weights.parquet` into the run.
pub fn head_weights(settings: &Settings, run: &RunDirectory, request: HeadWeightsRequest<'_>) -> Result<WeighedRun> {
    warn_of_unfinished(settings, run, None)?;
    let synonyms = synonyms(settings)?;
    let HeadWeightsRequest { directions, texts, labeller } = request;
    let weights = name_directions(run, &HeadWeightsSettings { directions, texts, labeller, synonyms: &synonyms })?;
    let table = run.path().join("weights.parquet");
    let inputs = made_from(run, &[IMAGES, TEXTS, TEXTSPAN, LABEL])?;
    write_atomic(&table, &weights.to_parquet(run.id(), &inputs)?)?;
    Ok(WeighedRun { weights, table })
}
