use std::{
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
    thread,
};

use headspan_artifacts::TextRow;
use headspan_headspace::unit_feature;
use headspan_model::{LoadedModel, TextTokens, TokenBatch, Tokenizer};

use crate::{
    engine::{Progress, report},
    error::{ExtractError, Result},
    pool::Pool,
    settings::TextsSettings,
};

/// Texts of one forward pass if nothing is configured.
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

/// Embeds a pool in batches of similar length, to unit norm. On the CPU one batch per core runs at once, each on a thread of its own.
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
    let size = if settings.batch_size == 0 { BATCH } else { settings.batch_size };
    let done = AtomicU64::new(0);
    let embed = |batch: &[usize]| -> Result<Embedded> {
        let ids: Vec<Vec<u32>> = batch.iter().map(|index| tokens[*index].clone()).collect();
        let values = model.encode_texts(&TokenBatch::new(&ids))?;
        let d = values.len() / batch.len();
        let so_far = done.fetch_add(batch.len() as u64, Ordering::Relaxed) + batch.len() as u64;
        report(progress, so_far, tokens.len() as u64)?;
        let found = batch.iter().zip(values.chunks_exact(d)).map(|(index, row)| {
            let text = || ExtractError::NoFeature { text: pool.entries[*index].text.clone() };
            Ok((*index, unit_feature(row).ok_or_else(text)?))
        });
        found.collect()
    };
    let batches: Vec<&[usize]> = order.chunks(size).collect();
    let embedded = if model.on_cpu() {
        on_all_cores(&batches, &embed)?
    } else {
        batches.into_iter().map(embed).collect::<Result<_>>()?
    };
    let mut rows: Vec<TextRow> = pool
        .entries
        .iter()
        .enumerate()
        .map(|(index, entry)| TextRow {
            text_index: index as u32,
            text: entry.text.clone(),
            category: entry.category.clone(),
            embedding: Vec::new(),
        })
        .collect();
    for (index, embedding) in embedded.into_iter().flatten() {
        rows[index].embedding = embedding;
    }
    Ok(EmbeddedTexts { rows, truncated, unknown })
}

/// Embeddings of texts by their position in the pool.
type Embedded = Vec<(usize, Vec<f32>)>;

/// Runs batches on as many threads as there are cores, each with a pool of one thread of its own: texts in parallel are faster than threads
/// inside operations. The threads are plain ones: one of a pool that waits for another pool takes up further batches meanwhile, each
/// deeper in its stack than the last.
fn on_all_cores(batches: &[&[usize]], embed: &(impl Fn(&[usize]) -> Result<Embedded> + Sync)) -> Result<Vec<Embedded>> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let next = AtomicUsize::new(0);
    let work = || -> Result<Embedded> {
        let own = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
        let mut found = Vec::new();
        while let Some(batch) = batches.get(next.fetch_add(1, Ordering::Relaxed)) {
            // The others need not go on after an error.
            let embedded =
                own.install(|| embed(batch)).inspect_err(|_| next.store(batches.len(), Ordering::Relaxed))?;
            found.extend(embedded);
        }
        Ok(found)
    };
    thread::scope(|scope| {
        let spawned = (0..cores.min(batches.len())).map(|_| thread::Builder::new().spawn_scoped(scope, work));
        let workers: Vec<_> = spawned.collect::<std::io::Result<_>>().map_err(ExtractError::Thread)?;
        let joined = workers.into_iter().map(|worker| worker.join());
        joined.map(|found| found.unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    })
}
