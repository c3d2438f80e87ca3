use headspan_artifacts::TextRow;
use headspan_headspace::unit_feature;
use headspan_model::{LoadedModel, TextTokens, Tokenizer};

use crate::{
    engine::{Progress, report},
    error::{ExtractError, Result},
    pool::Pool,
    settings::TextsSettings,
};

/// Texts that a GPU, or a core, is handed at a time if nothing is configured.
const BATCH: usize = 64;

/// Embedded descriptions.
#[derive(Debug, Clone, PartialEq)]
pub struct EmbeddedTexts {
    /// One row per description in pool order.
    pub rows: Vec<TextRow>,
    /// Indices of descriptions longer than the context, whose end was cut off.
    pub truncated: Vec<u32>,
    /// Indices of descriptions of which the tokenizer's vocabulary lacks a part.
    pub unknown: Vec<u32>,
}

/// Embeds a pool in batches of similar length, to unit norm. On the CPU the threads of the current rayon pool share a batch.
pub fn embed_texts(
    model: &LoadedModel,
    tokenizer: &Tokenizer,
    pool: &Pool,
    settings: &TextsSettings,
    progress: Progress<'_>,
) -> Result<EmbeddedTexts> {
    let mut tokens = Vec::with_capacity(pool.entries.len());
    let (mut truncated, mut unknown) = (Vec::new(), Vec::new());
    for (index, entry) in pool.entries.iter().enumerate() {
        let TextTokens { ids, is_cut, has_unknown } = tokenizer.encode(&entry.text)?;
        if is_cut {
            truncated.push(index as u32);
        }
        if has_unknown {
            unknown.push(index as u32);
        }
        tokens.push(ids);
    }
    // Short texts beside short texts: a batch costs what its longest text costs. Sorting is stable, so batches are the
    // same in every run.
    let mut order: Vec<usize> = (0..tokens.len()).collect();
    order.sort_by_key(|index| tokens[*index].len());
    let threads = if model.texts_on_cpu() { rayon::current_num_threads() } else { 1 };
    let size = if settings.batch_size == 0 { BATCH * threads } else { settings.batch_size };
    let mut embedded = vec![Vec::new(); tokens.len()];
    let mut done = 0;
    for batch in order.chunks(size) {
        let ids: Vec<Vec<u32>> = batch.iter().map(|index| tokens[*index].clone()).collect();
        let values = model.encode_texts(&tokenizer.batch(&ids))?;
        let d = values.len() / batch.len();
        for (index, row) in batch.iter().zip(values.chunks_exact(d)) {
            let text = || ExtractError::NoFeature { text: pool.entries[*index].text.clone() };
            embedded[*index] = unit_feature(row).ok_or_else(text)?;
        }
        done += batch.len();
        report(progress, done as u64, tokens.len() as u64)?;
    }
    let rows = pool.entries.iter().zip(embedded).enumerate().map(|(index, (entry, embedding))| TextRow {
        text_index: index as u32,
        text: entry.text.clone(),
        category: entry.category.clone(),
        embedding,
    });
    Ok(EmbeddedTexts { rows: rows.collect(), truncated, unknown })
}
