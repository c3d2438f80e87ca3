use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::Instant,
};

use anyhow::{Context, Result, bail};
use headspan_artifacts::{
    Fingerprint, HeadId, LabelRow, MomentsRow, RunDirectory, Stage, StageState, TextRow, hash_file, read_rows,
    write_rows,
};
use headspan_label::{Categories, HeadTexts, heads_of, import, lexicon, openai};
use serde_json::{Value, json};

use crate::{
    pipeline::{
        plan::{StagePlan, StageResult},
        run::{StageReport, input_fingerprints},
    },
    progress::Reporter,
    settings::{Labeller, Settings},
};

/// Input under which imported labels stand that are kept.
const KEPT: &str = "kept labels";
/// Figure of the heads that a language model gave no answer of use.
const UNANSWERED: &str = "unanswered";

pub(crate) fn slice(settings: &Settings) -> Value {
    let label = &settings.label;
    let own = match label.labeller {
        Labeller::Lexicon => json!(label.lexicon),
        Labeller::Openai => openai::slice(&label.openai),
        Labeller::Import => json!({ "file": label.import }),
    };
    json!({ "labeller": label.labeller, "settings": own })
}

/// What the stage will do. Errors if a file that it reads is not there.
pub(crate) fn plan(settings: &Settings, run: &RunDirectory, mut inputs: BTreeMap<String, String>) -> Result<StagePlan> {
    match settings.label.labeller {
        Labeller::Lexicon => {}
        Labeller::Openai => {
            let prompts = openai::Prompts::load(&settings.label.openai)?;
            inputs.insert("prompts".to_owned(), prompts.sha256());
        }
        Labeller::Import => {
            inputs.insert("labels".to_owned(), hash_file(import_file(settings)?)?);
        }
    }
    if settings.label.labeller != Labeller::Import {
        let kept = kept_imports(run)?;
        if !kept.is_empty() {
            let hash = Fingerprint::builder("kept labels", 1).config(&serde_json::to_value(kept)?).finish();
            inputs.insert(KEPT.to_owned(), hash.to_string());
        }
    }
    Ok(StagePlan::new(Stage::Label, slice(settings), inputs))
}

pub(crate) fn run(
    settings: &Settings,
    run: &RunDirectory,
    inputs: BTreeMap<String, String>,
    quiet: bool,
) -> Result<StageReport> {
    let plan = plan(settings, run, inputs)?;
    if plan.state(run)? == StageState::Done && !asks_again(settings, run)? {
        return Ok(StageReport::up_to_date(Stage::Label));
    }
    let started = Instant::now();
    let rows = match settings.label.labeller {
        Labeller::Lexicon => by_lexicon(settings, run)?,
        Labeller::Openai => by_openai(settings, run, quiet)?,
        Labeller::Import => imported(settings, run)?,
    };
    let notes = notes(&rows);
    let rows = with_imported(run, rows)?;
    plan.begin(run)?;
    write_rows(&run.table("labels"), run.id(), plan.fingerprint.as_str(), &rows)?;
    let seconds = started.elapsed().as_secs_f64();
    let unanswered = rows.iter().filter(|row| row.property.is_none() && row.tokens_in > 0).count();
    if unanswered > 0 {
        tracing::warn!("{unanswered} heads got no answer of use; the same command asks about them again");
    }
    let tokens = |pick: fn(&LabelRow) -> u64| rows.iter().map(pick).sum::<u64>();
    let figures = BTreeMap::from([
        ("tokens_in".to_owned(), json!(tokens(|row| row.tokens_in))),
        ("tokens_out".to_owned(), json!(tokens(|row| row.tokens_out))),
        (UNANSWERED.to_owned(), json!(unanswered)),
    ]);
    plan.commit(run, &StageResult { rows: rows.len() as u64, seconds, figures })?;
    Ok(StageReport::done(Stage::Label, rows.len() as u64, seconds, notes))
}

/// Prints what a language model would be asked.
pub(crate) fn dry_run(settings: &Settings, run: &RunDirectory) -> Result<String> {
    input_fingerprints(Stage::Label, run)?;
    let prompts = openai::Prompts::load(&settings.label.openai)?;
    let estimate = openai::dry_run(&heads(run)?, &settings.label.openai, &prompts);
    Ok(estimate.to_string())
}

fn heads(run: &RunDirectory) -> Result<Vec<HeadTexts>> {
    // Of the tables of all heads the smaller one.
    let extracted = read_rows::<MomentsRow>(&run.table("moments"))?;
    let all = extracted.iter().map(|row| HeadId { layer: row.layer, head: row.head });
    Ok(heads_of(read_rows(&run.table("textspan"))?, all))
}

fn by_lexicon(settings: &Settings, run: &RunDirectory) -> Result<Vec<LabelRow>> {
    let texts: Vec<TextRow> = read_rows(&run.table("texts"))?;
    let categories = if texts.iter().all(|text| text.category.is_some()) {
        Categories::Tagged
    } else {
        let prompts: Vec<TextRow> = read_rows(&run.table("categories"))?;
        Categories::from_embeddings(&texts, &prompts)?
    };
    Ok(lexicon::label(&heads(run)?, &categories, &settings.label.lexicon))
}

fn by_openai(settings: &Settings, run: &RunDirectory, quiet: bool) -> Result<Vec<LabelRow>> {
    headspan_hub::install_tls();
    let prompts = openai::Prompts::load(&settings.label.openai)?;
    let reporter = Reporter::new(&format!("{} labels", run.id().model()), "heads", quiet);
    let progress = |done, total| reporter.report(done, total);
    let heads = heads(run)?;
    let cache = run.path().join("answers");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    Ok(runtime.block_on(openai::label(&heads, &settings.label.openai, &prompts, &cache, &progress))?)
}

fn import_file(settings: &Settings) -> Result<&Path> {
    settings.label.import.as_deref().context("labeller `import` needs a file: set `import` in section [label]")
}

fn imported(settings: &Settings, run: &RunDirectory) -> Result<Vec<LabelRow>> {
    let file = import_file(settings)?;
    let rows: Vec<LabelRow> = import::read(file, Some(run.id().model()))?.into_iter().map(|(_, row)| row).collect();
    if rows.is_empty() {
        bail!("`{}` has no labels of model `{}`", file.display(), run.id().model());
    }
    let known: BTreeSet<_> = heads(run)?.iter().map(|head| head.head).collect();
    let strangers = rows.iter().filter(|row| !known.contains(&HeadId { layer: row.layer, head: row.head })).count();
    if strangers > 0 {
        tracing::warn!("`{}` labels {strangers} heads that this run did not extract", file.display());
    }
    Ok(rows)
}

/// Imported labels stay beside those of another labeller: nothing that a run computes can make them stale.
fn with_imported(run: &RunDirectory, mut rows: Vec<LabelRow>) -> Result<Vec<LabelRow>> {
    if rows.iter().all(|row| row.labeller != Labeller::Import.name()) {
        rows.extend(kept_imports(run)?);
    }
    Ok(rows)
}

/// Imported labels that the run has. A table that cannot be read is an error only if it may hold some: imported labels cannot be made again.
fn kept_imports(run: &RunDirectory) -> Result<Vec<LabelRow>> {
    let path = run.table("labels");
    if !path.exists() {
        return Ok(Vec::new());
    }
    let rows = match read_rows::<LabelRow>(&path) {
        Ok(rows) => rows,
        Err(_) if had_no_imports(run)? => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    Ok(rows.into_iter().filter(|row| row.labeller == Labeller::Import.name()).collect())
}

/// Whether the record says that the table held what a labeller made, and nothing else.
fn had_no_imports(run: &RunDirectory) -> Result<bool> {
    let Some(record) = run.record(Stage::Label)? else { return Ok(false) };
    let imported = record.config["labeller"] == json!(Labeller::Import);
    Ok(!imported && !record.inputs.contains_key(KEPT))
}

/// Whether a language model gave heads no answer of use, so that they are asked about again.
fn asks_again(settings: &Settings, run: &RunDirectory) -> Result<bool> {
    let record = if settings.label.labeller == Labeller::Openai { run.record(Stage::Label)? } else { None };
    Ok(record.is_some_and(|record| record.figures.get(UNANSWERED).and_then(Value::as_u64).unwrap_or(0) > 0))
}

fn notes(rows: &[LabelRow]) -> Vec<String> {
    let named = rows.iter().filter(|row| row.property.is_some()).count();
    let properties: BTreeSet<_> = rows.iter().filter_map(|row| row.property.as_deref()).collect();
    let mut notes = vec![format!("{named} of {} heads labelled, {} properties", rows.len(), properties.len())];
    if named < rows.len() {
        let reason = rows.iter().find(|row| row.property.is_none()).and_then(|row| row.description.clone());
        notes.push(format!("{} heads have no label; the first: {}", rows.len() - named, reason.unwrap_or_default()));
    }
    notes
}
