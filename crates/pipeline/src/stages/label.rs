use std::{
    collections::{BTreeMap, BTreeSet},
    ops::ControlFlow,
};

use headspan_artifacts::{Fingerprint, LabelRow, RunDirectory, StageRecord, Table};
use headspan_label::{LabelRequest, LabelSettings, VERSION, import, openai};
use serde_json::{Value, json};

use crate::{
    error::Result,
    plan::StagePlan,
    scope::Scope,
    settings::Settings,
    stage::{Estimate, Stage, StageJob, StageOutcome, StageResult},
    stages::images::heads as extracted_heads,
};

pub(crate) const NAME: &str = "label";
pub(super) static STAGE: Label = Label;

/// Input under which imported labels stand that are kept.
const KEPT: &str = "kept labels";
/// Figure of the heads for which a language model gave no usable answer.
const UNANSWERED: &str = "unanswered";

/// Texts to a property label for each head.
pub(super) struct Label;

impl Stage for Label {
    fn name(&self) -> &'static str {
        NAME
    }

    fn version(&self) -> u32 {
        VERSION
    }

    fn inputs(&self) -> &'static [&'static str] {
        &["textspan", "texts"]
    }

    fn tables(&self) -> &'static [Table] {
        &[Table::Labels]
    }

    fn slice(&self, scope: &Scope<'_>) -> Result<Value> {
        // The settings of the labellers that are not chosen do not count.
        let LabelSettings { labeller, lexicon: _, openai: _, import: _ } = &scope.settings.label;
        Ok(json!({ "labeller": labeller, "settings": labeller.labeller().slice(&scope.settings.label) }))
    }

    fn files(&self, scope: &Scope<'_>) -> Result<Option<BTreeMap<String, String>>> {
        let settings = &scope.settings.label;
        let labeller = settings.labeller.labeller();
        let mut files = labeller.files(settings)?;
        if labeller.name() != import::NAME {
            let kept = kept_imports(scope.run)?;
            if !kept.is_empty() {
                let hash = Fingerprint::builder("kept labels", 1).config(&serde_json::to_value(kept)?).finish();
                files.insert(KEPT.to_owned(), hash.to_string());
            }
        }
        Ok(Some(files))
    }

    /// Heads for which a language model gave no usable answer are asked about again.
    fn unfinished(&self, _scope: &Scope<'_>, record: &StageRecord) -> Option<String> {
        let unanswered = record.figures.get(UNANSWERED).and_then(Value::as_u64).unwrap_or(0);
        (unanswered > 0).then(|| format!("{unanswered} heads got no usable answer"))
    }

    fn estimate(&self, scope: &Scope<'_>) -> Result<Estimate> {
        let sources = scope.need_sources(NAME)?;
        let (heads, _) = extracted_heads(scope.settings, &sources.model.files().config)?;
        Ok(Estimate { rows: heads, bytes: heads * 60 })
    }

    fn run(&self, job: &StageJob<'_>) -> Result<StageOutcome> {
        let scope = job.scope;
        let settings = &scope.settings.label;
        let meter = scope.progress.begin(&format!("{} labels", scope.run.id().model()), "heads");
        let progress = |done, total| meter.report(done, total);
        let rows =
            settings.labeller.labeller().label(&LabelRequest { run: scope.run, settings, progress: &progress })?;
        drop(meter);
        let notes = notes(&rows);
        let rows = with_imported(scope.run, rows)?;
        job.write(&rows)?;
        let unanswered = rows.iter().filter(|row| row.property.is_none() && row.tokens_in > 0).count();
        if unanswered > 0 {
            tracing::warn!("got no usable answer for {unanswered} heads; run the same command to ask again");
        }
        let tokens = |pick: fn(&LabelRow) -> u64| rows.iter().map(pick).sum::<u64>();
        Ok(StageOutcome::Done(StageResult {
            rows: rows.len() as u64,
            figures: BTreeMap::from([
                ("tokens_in".to_owned(), json!(tokens(|row| row.tokens_in))),
                ("tokens_out".to_owned(), json!(tokens(|row| row.tokens_out))),
                (UNANSWERED.to_owned(), json!(unanswered)),
            ]),
            notes,
            provenance: None,
        }))
    }
}

/// What a language model would be asked, with the tokens that it would take.
pub fn dry_run(settings: &Settings, run: &RunDirectory) -> Result<String> {
    let scope = Scope::of_run(settings, run, &crate::progress::Silent);
    StagePlan::of(&STAGE, &scope)?;
    let label = &settings.label;
    let prompts = openai::Prompts::load(&label.openai).map_err(headspan_label::LabelError::from)?;
    let heads = LabelRequest { run, settings: label, progress: &|_done, _total| ControlFlow::Continue(()) }.heads()?;
    Ok(openai::dry_run(&heads, &label.openai, &prompts).to_string())
}

/// Imported labels stay beside those of another labeller: nothing that a run computes can make them stale.
fn with_imported(run: &RunDirectory, mut rows: Vec<LabelRow>) -> Result<Vec<LabelRow>> {
    if rows.iter().all(|row| row.labeller != import::NAME) {
        rows.extend(kept_imports(run)?);
    }
    Ok(rows)
}

/// Imported labels that the run has. A table that cannot be read is an error only if it may hold some: imported labels cannot be made again.
fn kept_imports(run: &RunDirectory) -> Result<Vec<LabelRow>> {
    let path = run.table(Table::Labels);
    if !run.has(&path)? {
        return Ok(Vec::new());
    }
    let rows = match run.rows_of::<LabelRow>(&[path]) {
        Ok(rows) => rows.concat(),
        Err(error) if error.is_of_the_store() => return Err(error.into()),
        Err(_unreadable) if had_no_imports(run)? => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    Ok(rows.into_iter().filter(|row| row.labeller == import::NAME).collect())
}

/// Whether the record says that the table held what a labeller made, and nothing else.
fn had_no_imports(run: &RunDirectory) -> Result<bool> {
    let Some(record) = run.record(NAME)? else { return Ok(false) };
    let imported = record.config["labeller"] == json!(import::NAME);
    Ok(!imported && !record.inputs.contains_key(KEPT))
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
