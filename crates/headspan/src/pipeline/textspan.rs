use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};

use anyhow::{Context, Result};
use headspan_artifacts::{
    HeadId, MomentsRow, ReadoutRow, RunDirectory, Stage, StageState, TextRow, TextspanRow, read_rows, write_rows,
};
use headspan_textspan::{HeadMoments, Settings as SpanSettings, TextPool, textspan};
use rayon::prelude::*;
use serde_json::{Value, json};

use crate::{
    pipeline::{
        plan::{StagePlan, StageResult},
        run::StageReport,
    },
    progress::{Reporter, duration},
    settings::Settings,
};

pub(crate) fn slice(settings: &Settings) -> Value {
    json!({ "texts": settings.textspan.texts, "rank": settings.textspan.rank })
}

/// What the stage will do.
pub(crate) fn plan(settings: &Settings, inputs: BTreeMap<String, String>) -> StagePlan {
    StagePlan::new(Stage::Textspan, slice(settings), inputs)
}

pub(crate) fn run(
    settings: &Settings,
    run: &RunDirectory,
    inputs: BTreeMap<String, String>,
    quiet: bool,
) -> Result<StageReport> {
    let plan = plan(settings, inputs);
    if plan.state(run)? == StageState::Done {
        return Ok(StageReport::up_to_date(Stage::Textspan));
    }
    let started = Instant::now();
    let texts: Vec<TextRow> = read_rows(&run.table("texts"))?;
    let readouts: Vec<ReadoutRow> = read_rows(&run.table("readout"))?;
    let moments: Vec<MomentsRow> = read_rows(&run.table("moments"))?;
    let d = texts.first().map_or(0, |row| row.embedding.len());
    let embeddings: Vec<f32> = texts.iter().flat_map(|row| row.embedding.iter().copied()).collect();
    let pool = TextPool::new(&embeddings, d)?;
    let span = SpanSettings { texts: settings.textspan.texts, rank: settings.textspan.rank };
    let reporter = Reporter::new(&format!("{} textspan", run.id().model()), "heads", quiet);
    let done = AtomicU64::new(0);
    let heads: Vec<(Vec<TextspanRow>, usize)> = readouts
        .par_iter()
        .zip(&moments)
        .map(|(readout, moments)| {
            let found = one_head(readout, moments, &pool, &texts, &span)?;
            reporter.report(done.fetch_add(1, Ordering::Relaxed) + 1, readouts.len() as u64);
            Ok(found)
        })
        .collect::<Result<_>>()?;
    drop(reporter);
    let ranks: Vec<usize> = heads.iter().map(|(_, rank)| *rank).collect();
    let rows: Vec<TextspanRow> = heads.into_iter().flat_map(|(rows, _)| rows).collect();
    plan.begin(run)?;
    write_rows(&run.table("textspan"), run.id(), plan.fingerprint.as_str(), &rows)?;
    let seconds = started.elapsed().as_secs_f64();
    let (least, most) = (ranks.iter().min().copied().unwrap_or(0), ranks.iter().max().copied().unwrap_or(0));
    let figures = BTreeMap::from([
        ("heads".to_owned(), json!(ranks.len())),
        ("rank_min".to_owned(), json!(least)),
        ("rank_max".to_owned(), json!(most)),
    ]);
    plan.commit(run, &StageResult { rows: rows.len() as u64, seconds, figures })?;
    let note = format!(
        "{} heads against {} texts in {}, effective rank {least} to {most}",
        ranks.len(),
        texts.len(),
        duration(seconds)
    );
    Ok(StageReport::done(Stage::Textspan, rows.len() as u64, seconds, vec![note]))
}

fn one_head(
    readout: &ReadoutRow,
    moments: &MomentsRow,
    pool: &TextPool,
    texts: &[TextRow],
    settings: &SpanSettings,
) -> Result<(Vec<TextspanRow>, usize)> {
    let head = HeadId { layer: readout.layer, head: readout.head };
    let moments =
        HeadMoments { n: moments.n, mean: moments.mean.clone(), second_moment: moments.second_moment.clone() };
    let basis = textspan(&readout.readout, &moments, pool, settings).with_context(|| format!("head {head}"))?;
    let rows = basis
        .picks
        .iter()
        .enumerate()
        .map(|(rank, pick)| TextspanRow {
            layer: head.layer,
            head: head.head,
            rank: rank as u32,
            text_index: pick.text_index as u32,
            text: texts[pick.text_index].text.clone(),
            category: texts[pick.text_index].category.clone(),
            std: pick.std,
            variance_share: pick.variance_share,
            cumulative_share: pick.cumulative_share,
        })
        .collect();
    Ok((rows, basis.rank))
}
