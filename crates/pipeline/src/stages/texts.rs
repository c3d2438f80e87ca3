use std::{collections::BTreeMap, path::Path};

use headspan_artifacts::Table;
use headspan_extract::{EmbeddedTexts, Pool, TEXTS_VERSION, TextsSettings, embed_texts};
use headspan_model::is_tokenized_anew;
use serde_json::{Value, json};

use crate::{
    error::Result,
    model::ModelFiles,
    scope::{Scope, Sources},
    settings::TextsSection,
    stage::{Estimate, Stage, StageJob, StageOutcome, StageResult},
};

pub(crate) const NAME: &str = "texts";
/// Figure of the file that the descriptions came from.
pub(crate) const POOL_FILE: &str = "pool";
pub(super) static STAGE: Texts = Texts;

/// Descriptions to text embeddings.
pub(super) struct Texts;

impl Stage for Texts {
    fn name(&self) -> &'static str {
        NAME
    }

    fn version(&self) -> u32 {
        TEXTS_VERSION
    }

    fn inputs(&self) -> &'static [&'static str] {
        &[]
    }

    fn tables(&self) -> &'static [Table] {
        &[Table::Texts, Table::Categories]
    }

    fn needs_model(&self) -> bool {
        true
    }

    /// Only the files' contents count, which are inputs.
    fn slice(&self, scope: &Scope<'_>) -> Result<Value> {
        let TextsSection { file: _, categories: _, batch_size: _ } = &scope.settings.texts;
        Ok(json!({}))
    }

    fn files(&self, scope: &Scope<'_>) -> Result<Option<BTreeMap<String, String>>> {
        Ok(scope.sources.map(|Sources { model, pools, .. }| {
            let mut files = BTreeMap::from([
                ("checkpoint".to_owned(), model.files().checkpoint_hash.clone()),
                ("tokenizer".to_owned(), model.files().tokenizer_hash.clone()),
                ("descriptions".to_owned(), pools.descriptions.fingerprint()),
                ("categories".to_owned(), pools.categories.fingerprint()),
            ]);
            // Named only where it changes a text: runs over other texts from before there was cleaning stay what they are.
            let mut entries = pools.descriptions.entries.iter().chain(&pools.categories.entries);
            if entries.any(|entry| is_tokenized_anew(&entry.text)) {
                files.insert("cleaning".to_owned(), headspan_cleaning::VERSION.to_string());
            }
            files
        }))
    }

    fn estimate(&self, scope: &Scope<'_>) -> Result<Estimate> {
        let Sources { model, pools, .. } = scope.need_sources(NAME)?;
        let (rows, d) = (pools.descriptions.entries.len() as u64, model.files().config.vision.d as u64);
        Ok(Estimate { rows, bytes: rows * (4 * d + 40) })
    }

    fn run(&self, job: &StageJob<'_>) -> Result<StageOutcome> {
        let scope = job.scope;
        let Sources { model, pools, .. } = scope.need_sources(NAME)?;
        let loaded = model.get()?;
        let tokenizer = model.tokenizer()?;
        let meter = scope.progress.begin(&format!("{} texts", scope.run.id().model()), "texts");
        let progress = |done, total| meter.report(done, total);
        let texts = TextsSettings { batch_size: scope.settings.texts.batch_size };
        let embed = |pool: &Pool| embed_texts(loaded, &tokenizer, pool, &texts, &progress);
        let descriptions = embed(&pools.descriptions)?;
        let categories = embed(&pools.categories)?;
        job.write_as(Table::Categories, &categories.rows)?;
        job.write(&descriptions.rows)?;
        warn_of_unknown(&descriptions, model.files());
        let mut notes = Vec::new();
        if let Some(first) = descriptions.truncated.first() {
            notes.push(format!(
                "{} descriptions are longer than the context of {} tokens and were cut off, the first: {:?}",
                descriptions.truncated.len(),
                model.files().config.texts()?.context_length,
                descriptions.rows[*first as usize].text
            ));
        }
        Ok(StageOutcome::Done(StageResult {
            rows: descriptions.rows.len() as u64,
            figures: BTreeMap::from([
                ("truncated".to_owned(), json!(descriptions.truncated.len())),
                (POOL_FILE.to_owned(), json!(scope.settings.texts.file)),
            ]),
            notes,
            provenance: None,
        }))
    }
}

/// Names texts whose tokens stand for other texts, as their vocabulary lacks a part of them.
fn warn_of_unknown(descriptions: &EmbeddedTexts, files: &ModelFiles) {
    const SHOWN: usize = 5;
    if descriptions.unknown.is_empty() {
        return;
    }
    let shown = descriptions
        .unknown
        .iter()
        .take(SHOWN)
        .map(|index| format!("\n  {:?}", descriptions.rows[*index as usize].text));
    tracing::warn!(
        "{} of {} descriptions have words that `{}` does not know; their embeddings are those of other texts:{}",
        descriptions.unknown.len(),
        descriptions.rows.len(),
        files.tokenizer.as_deref().unwrap_or(Path::new("tokenizer.json")).display(),
        shown.collect::<String>()
    );
}
