use std::{collections::BTreeMap, path::Path, time::Instant};

use anyhow::Result;
use headspan_artifacts::{RunDirectory, Stage, StageState, write_rows};
use headspan_clip::DeviceChoice;
use headspan_extract::{Pool, TextsSettings, embed_texts};
use serde_json::{Value, json};

use crate::{
    pipeline::{
        model::LoadedModel,
        plan::{StagePlan, StageResult},
        run::StageReport,
    },
    progress::Reporter,
    settings::{BUILT_IN, Settings},
};

const DESCRIPTIONS: &str = include_str!("../../../../data/descriptions/descriptions.csv");
const CATEGORIES: &str = include_str!("../../../../data/descriptions/categories.csv");

/// The descriptions of a run, and the prompts of the categories.
pub(crate) struct Pools {
    pub(crate) descriptions: Pool,
    pub(crate) categories: Pool,
}

impl Pools {
    pub(crate) fn read(settings: &Settings) -> Result<Self> {
        let read = |path: &Path, built_in: &str, name: &str| -> Result<Pool> {
            if path == Path::new(BUILT_IN) {
                Ok(Pool::parse_csv(Path::new(name), built_in)?)
            } else {
                Ok(Pool::read(path)?)
            }
        };
        Ok(Self {
            descriptions: read(&settings.texts.file, DESCRIPTIONS, "data/descriptions/descriptions.csv")?,
            categories: read(&settings.texts.categories, CATEGORIES, "data/descriptions/categories.csv")?,
        })
    }
}

/// The stage reads no setting: only its files count.
pub(crate) fn slice() -> Value {
    json!({})
}

pub(crate) fn plan(model: &LoadedModel<'_>, pools: &Pools) -> StagePlan {
    let inputs = BTreeMap::from([
        ("checkpoint".to_owned(), model.files().checkpoint_hash.clone()),
        ("tokenizer".to_owned(), model.files().tokenizer_hash.clone()),
        ("descriptions".to_owned(), pools.descriptions.fingerprint()),
        ("categories".to_owned(), pools.categories.fingerprint()),
    ]);
    StagePlan::new(Stage::Texts, slice(), inputs)
}

pub(crate) fn run(
    settings: &Settings,
    model: &LoadedModel<'_>,
    pools: &Pools,
    run: &RunDirectory,
    plan: &StagePlan,
    quiet: bool,
) -> Result<StageReport> {
    if plan.state(run)? == StageState::Done {
        return Ok(StageReport::up_to_date(Stage::Texts));
    }
    let loaded = model.get()?;
    let tokenizer = model.tokenizer()?;
    let started = Instant::now();
    let reporter = Reporter::new(&format!("{} texts", run.id().model()), "texts", quiet);
    let progress = |done, total| reporter.report(done, total);
    let texts = TextsSettings { batch_size: settings.texts.batch_size };
    let on_cpu = loaded.kind == DeviceChoice::Cpu;
    let embed = |pool: &Pool| embed_texts(&loaded.model, &loaded.device, on_cpu, &tokenizer, pool, &texts, &progress);
    let descriptions = embed(&pools.descriptions)?;
    let categories = embed(&pools.categories)?;
    drop(reporter);
    plan.begin(run)?;
    for (table, rows) in [("categories", &categories.rows), ("texts", &descriptions.rows)] {
        write_rows(&run.table(table), run.id(), plan.fingerprint.as_str(), rows)?;
    }
    let mut notes = Vec::new();
    if let Some(first) = descriptions.truncated.first() {
        notes.push(format!(
            "{} descriptions are longer than the context of {} tokens and were cut off, the first: {:?}",
            descriptions.truncated.len(),
            model.files().config.text.context_length,
            descriptions.rows[*first as usize].text
        ));
    }
    let seconds = started.elapsed().as_secs_f64();
    let rows = descriptions.rows.len() as u64;
    let figures = BTreeMap::from([("truncated".to_owned(), json!(descriptions.truncated.len()))]);
    plan.commit(run, &StageResult { rows, seconds, figures })?;
    Ok(StageReport::done(Stage::Texts, rows, seconds, notes))
}
