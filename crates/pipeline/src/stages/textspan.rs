use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};

use headspan_artifacts::{MomentsRow, ReadoutRow, Table, TextRow, TextspanRow, read_rows};
use headspan_headspace::{Moments, Readout, vector_length};
use headspan_textspan::{Settings as SpanSettings, TextPool, VERSION, textspan};
use rayon::prelude::*;
use serde_json::{Value, json};

use crate::{
    error::{PipelineError, Result},
    figures::duration,
    scope::Scope,
    settings::TextspanSection,
    stage::{Estimate, Stage, StageJob, StageOutcome, StageResult},
    stages::images::heads,
};

pub(crate) const NAME: &str = "textspan";
pub(super) static STAGE: Textspan = Textspan;

/// Moments and embeddings to the texts that span each head.
pub(super) struct Textspan;

impl Stage for Textspan {
    fn name(&self) -> &'static str {
        NAME
    }

    fn version(&self) -> u32 {
        VERSION
    }

    fn inputs(&self) -> &'static [&'static str] {
        &["images", "texts"]
    }

    fn tables(&self) -> &'static [Table] {
        &[Table::Textspan]
    }

    fn slice(&self, scope: &Scope<'_>) -> Result<Value> {
        let TextspanSection { texts, rank } = &scope.settings.textspan;
        Ok(json!({ "texts": texts, "rank": rank }))
    }

    fn estimate(&self, scope: &Scope<'_>) -> Result<Estimate> {
        let sources = scope.need_sources(NAME)?;
        let (heads, head_dim) = heads(scope.settings, &sources.model.files().config)?;
        let rows = heads * (scope.settings.textspan.texts as u64).min(vector_length(head_dim as usize) as u64);
        Ok(Estimate { rows, bytes: rows * 40 })
    }

    fn run(&self, job: &StageJob<'_>) -> Result<StageOutcome> {
        let (scope, started) = (job.scope, Instant::now());
        let texts: Vec<TextRow> = read_rows(&scope.run.table(Table::Texts))?;
        let readouts: Vec<ReadoutRow> = read_rows(&scope.run.table(Table::Readout))?;
        let moments: Vec<MomentsRow> = read_rows(&scope.run.table(Table::Moments))?;
        let d = texts.first().map_or(0, |row| row.embedding.len());
        let embeddings: Vec<f32> = texts.iter().flat_map(|row| row.embedding.iter().copied()).collect();
        let pool = TextPool::new(&embeddings, d)?;
        let TextspanSection { texts: count, rank } = scope.settings.textspan;
        let span = SpanSettings { texts: count, rank };
        let meter = scope.progress.begin(&format!("{} textspan", scope.run.id().model()), "heads");
        let (done, total) = (AtomicU64::new(0), readouts.len() as u64);
        let heads: Vec<(Vec<TextspanRow>, usize)> = readouts
            .into_par_iter()
            .zip(moments)
            .map(|(readout, moments)| {
                let found = one_head(&readout.into(), &moments.into(), &pool, &texts, &span)?;
                if meter.report(done.fetch_add(1, Ordering::Relaxed) + 1, total).is_break() {
                    return Err(PipelineError::Stopped);
                }
                Ok(found)
            })
            .collect::<Result<_>>()?;
        drop(meter);
        let ranks: Vec<usize> = heads.iter().map(|(_, rank)| *rank).collect();
        let rows: Vec<TextspanRow> = heads.into_iter().flat_map(|(rows, _)| rows).collect();
        job.write(&rows)?;
        let (least, most) = (ranks.iter().min().copied().unwrap_or(0), ranks.iter().max().copied().unwrap_or(0));
        let note = format!(
            "{} heads against {} texts in {}, effective rank {least} to {most}",
            ranks.len(),
            texts.len(),
            duration(started.elapsed().as_secs_f64())
        );
        Ok(StageOutcome::Done(StageResult {
            rows: rows.len() as u64,
            figures: BTreeMap::from([
                ("heads".to_owned(), json!(ranks.len())),
                ("rank_min".to_owned(), json!(least)),
                ("rank_max".to_owned(), json!(most)),
            ]),
            notes: vec![note],
            provenance: None,
        }))
    }
}

/// The texts of one head, and the rank that was used.
pub(crate) fn one_head(
    readout: &Readout,
    moments: &Moments,
    pool: &TextPool,
    texts: &[TextRow],
    settings: &SpanSettings,
) -> Result<(Vec<TextspanRow>, usize)> {
    let head = readout.head;
    let basis =
        textspan(&readout.matrix, moments, pool, settings).map_err(|source| PipelineError::Head { head, source })?;
    let rows = basis
        .picks
        .iter()
        .enumerate()
        .map(|(number, pick)| TextspanRow {
            layer: head.layer,
            head: head.head,
            pick: number as u32,
            text_index: pick.text_index as u32,
            text: texts[pick.text_index].text.clone(),
            category: texts[pick.text_index].category.clone(),
            std: pick.std,
            variance_share: pick.variance_share,
            cumulative_share: pick.cumulative_share,
            effective_rank: Some(basis.rank as u32),
        })
        .collect();
    Ok((rows, basis.rank))
}
