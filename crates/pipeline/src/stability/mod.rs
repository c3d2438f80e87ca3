//! Whether picks and labels would come out the same over other images, from another pool, by another labeller.

mod halves;
mod labellers;
mod other_runs;

use std::{collections::BTreeMap, path::PathBuf};

use headspan_artifacts::{HeadId, RunDirectory, TextspanRow, write_atomic};
use headspan_metrics::{StabilityRow, stability_parquet};

use crate::{
    answers::made_from,
    compare::warn_of_unfinished,
    error::{PipelineError, Result},
    settings::Settings,
    stages::{IMAGES, LABEL, TEXTS, TEXTSPAN, synonyms},
};

/// What is compared.
#[derive(Debug, Clone)]
pub struct StabilityRequest {
    /// Random splits of the images into halves; 0 leaves the halves out.
    pub splits: usize,
    /// Seed of the splits.
    pub seed: u64,
    /// Other runs of the same heads: with another pool, other prompts, another language model or temperature, other images.
    pub with: Vec<RunDirectory>,
}

impl Default for StabilityRequest {
    fn default() -> Self {
        Self { splits: 10, seed: 0, with: Vec::new() }
    }
}

/// The figures of a run, and where their table lies.
pub struct Stability {
    /// Means first, then heads.
    pub rows: Vec<StabilityRow>,
    /// `stability.parquet`.
    pub table: PathBuf,
}

/// Measures how stable the first texts and the labels of a run are, and writes `stability.parquet` into it.
pub fn stability(settings: &Settings, run: &RunDirectory, request: &StabilityRequest) -> Result<Stability> {
    warn_of_unfinished(settings, run, None)?;
    let run = run.look()?;
    let mut rows = Vec::new();
    if request.splits > 0 {
        rows.extend(halves::rows(settings, &run, request)?);
    }
    let others = request.with.iter().map(RunDirectory::look).collect::<Result<Vec<_>, _>>()?;
    for other in &others {
        rows.extend(other_runs::rows(settings, &run, other)?);
    }
    rows.extend(other_runs::alpha(settings, &run, &others)?);
    rows.extend(labellers::rows(settings, &run)?);
    rows.sort_by_key(|row| row.head.is_some());
    let table = run.path().join("stability.parquet");
    let inputs = made_from(&run, &[IMAGES, TEXTS, TEXTSPAN, LABEL])?;
    let written =
        stability_parquet(&rows, run.id(), &inputs).map_err(|source| PipelineError::StabilityTable { source })?;
    write_atomic(&table, &written)?;
    Ok(Stability { rows, table })
}

/// The first texts of each head, as many as the scores look at.
pub(crate) fn first_texts(rows: Vec<TextspanRow>, count: usize) -> BTreeMap<HeadId, Vec<String>> {
    let mut heads: BTreeMap<HeadId, Vec<String>> = BTreeMap::new();
    for row in rows.into_iter().filter(|row| (row.pick as usize) < count) {
        heads.entry(row.head_id()).or_default().push(row.text);
    }
    heads
}

/// A property as scores fold it.
fn folded(settings: &Settings) -> Result<impl Fn(&str) -> String> {
    let synonyms = synonyms(settings)?;
    Ok(move |property: &str| synonyms.fold(property))
}
