use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use headspan_artifacts::{
    Fingerprint, LabelRow, MomentsRow, RunDirectory, StageRecord, Table, TextRow, hash_file, read_rows,
};
use headspan_label::{Categories, HeadTexts, VERSION, heads_of, import, lexicon, openai};
use serde_json::{Value, json};

use crate::{
    error::{PipelineError, Result},
    plan::StagePlan,
    scope::Scope,
    settings::{LabelSection, Labeller, Settings},
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
        let LabelSection { labeller, lexicon, openai, import: _ } = &scope.settings.label;
        // Of a file of labels the content counts, which is an input, and not where it lies.
        let own = match labeller {
            Labeller::Lexicon => json!(lexicon),
            Labeller::Openai => openai::slice(openai),
            Labeller::Import => json!({}),
        };
        Ok(json!({ "labeller": labeller, "settings": own }))
    }

    fn files(&self, scope: &Scope<'_>) -> Result<Option<BTreeMap<String, String>>> {
        let label = &scope.settings.label;
        let mut files = BTreeMap::new();
        match label.labeller {
            Labeller::Lexicon => {}
            Labeller::Openai => {
                files.insert("prompts".to_owned(), openai::Prompts::load(&label.openai)?.sha256());
            }
            Labeller::Import => {
                files.insert("labels".to_owned(), hash_file(import_file(scope.settings)?)?);
            }
        }
        if label.labeller != Labeller::Import {
            let kept = kept_imports(scope.run)?;
            if !kept.is_empty() {
                let hash = Fingerprint::builder("kept labels", 1).config(&serde_json::to_value(kept)?).finish();
                files.insert(KEPT.to_owned(), hash.to_string());
            }
        }
        Ok(Some(files))
    }

    /// Heads for which a language model gave no usable answer are asked about again.
    fn unfinished(&self, scope: &Scope<'_>, record: &StageRecord) -> Option<String> {
        let unanswered = record.figures.get(UNANSWERED).and_then(Value::as_u64).unwrap_or(0);
        let asked = scope.settings.label.labeller == Labeller::Openai;
        (asked && unanswered > 0).then(|| format!("{unanswered} heads got no usable answer"))
    }

    fn estimate(&self, scope: &Scope<'_>) -> Result<Estimate> {
        let sources = scope.need_sources(NAME)?;
        let (heads, _) = extracted_heads(scope.settings, &sources.model.files().config)?;
        Ok(Estimate { rows: heads, bytes: heads * 60 })
    }

    fn run(&self, job: &StageJob<'_>) -> Result<StageOutcome> {
        let scope = job.scope;
        let rows = match scope.settings.label.labeller {
            Labeller::Lexicon => by_lexicon(scope)?,
            Labeller::Openai => by_openai(scope)?,
            Labeller::Import => imported(scope)?,
        };
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
    let prompts = openai::Prompts::load(&settings.label.openai)?;
    let estimate = openai::dry_run(&heads(run)?, &settings.label.openai, &prompts);
    Ok(estimate.to_string())
}

fn heads(run: &RunDirectory) -> Result<Vec<HeadTexts>> {
    // Moments and readouts both list all heads; moments are the smaller table.
    let extracted = read_rows::<MomentsRow>(&run.table(Table::Moments))?;
    let all = extracted.iter().map(MomentsRow::head_id);
    Ok(heads_of(read_rows(&run.table(Table::Textspan))?, all))
}

fn by_lexicon(scope: &Scope<'_>) -> Result<Vec<LabelRow>> {
    let texts: Vec<TextRow> = read_rows(&scope.run.table(Table::Texts))?;
    let categories = if texts.iter().all(|text| text.category.is_some()) {
        Categories::Tagged
    } else {
        let prompts: Vec<TextRow> = read_rows(&scope.run.table(Table::Categories))?;
        Categories::from_embeddings(&texts, &prompts)?
    };
    Ok(lexicon::label(&heads(scope.run)?, &categories, &scope.settings.label.lexicon))
}

fn by_openai(scope: &Scope<'_>) -> Result<Vec<LabelRow>> {
    headspan_hub::install_tls();
    let settings = &scope.settings.label.openai;
    let prompts = openai::Prompts::load(settings)?;
    let meter = scope.progress.begin(&format!("{} labels", scope.run.id().model()), "heads");
    let progress = |done, total| meter.report(done, total);
    let heads = heads(scope.run)?;
    let cache = scope.run.path().join("answers");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    Ok(runtime.block_on(openai::label(&heads, settings, &prompts, &cache, &progress))?)
}

fn import_file(settings: &Settings) -> Result<&Path> {
    settings.label.import.as_deref().ok_or(PipelineError::NoImportFile)
}

fn imported(scope: &Scope<'_>) -> Result<Vec<LabelRow>> {
    let (run, file) = (scope.run, import_file(scope.settings)?);
    let model = run.id().model();
    let rows: Vec<LabelRow> = import::read(file, Some(model))?.into_iter().map(|(_, row)| row).collect();
    if rows.is_empty() {
        return Err(PipelineError::NoLabels { file: file.to_owned(), model: Some(model.to_owned()) });
    }
    let known: BTreeSet<_> = heads(run)?.iter().map(|head| head.head).collect();
    let strangers = rows.iter().filter(|row| !known.contains(&row.head_id())).count();
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
    let path = run.table(Table::Labels);
    if !path.exists() {
        return Ok(Vec::new());
    }
    let rows = match read_rows::<LabelRow>(&path) {
        Ok(rows) => rows,
        Err(_unreadable) if had_no_imports(run)? => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    Ok(rows.into_iter().filter(|row| row.labeller == Labeller::Import.name()).collect())
}

/// Whether the record says that the table held what a labeller made, and nothing else.
fn had_no_imports(run: &RunDirectory) -> Result<bool> {
    let Some(record) = run.record(NAME)? else { return Ok(false) };
    let imported = record.config["labeller"] == json!(Labeller::Import);
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
