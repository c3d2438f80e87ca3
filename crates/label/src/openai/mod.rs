//! Labels from a language model behind any OpenAI-compatible endpoint.
//!
//! Two kinds of request, as in the papers (arXiv 2409.06579 and 2503.11103): *label* shows a head's first texts after
//! labelled examples and asks for one property; *judge* asks for each text whether it matches the label.

mod answers;
mod ask;
mod budget;
mod error;
mod head;
mod object;
mod prompts;
mod reply;
mod settings;

use std::path::Path;

pub use error::OpenAiError;
use futures::{StreamExt, TryStreamExt, stream};
use headspan_artifacts::LabelRow;
pub use prompts::{DryRun, PromptError, Prompts};
pub use settings::{OpenAiSettings, slice};

use crate::{
    heads::HeadTexts,
    openai::{ask::Asker, head::Labelled},
};

/// Called with heads done and heads to do.
pub type Progress<'a> = &'a (dyn Fn(u64, u64) + Sync);

/// Labels heads. Answers are kept under `cache`, one file a request, so that a rerun costs nothing and a run that was
/// killed or that reached its ceiling continues. A head whose answers stay malformed has no property and says why; the
/// next run asks about it again. If there is no label because every answer was malformed, that is an error.
pub async fn label(
    heads: &[HeadTexts],
    settings: &OpenAiSettings,
    prompts: &Prompts,
    cache: &Path,
    progress: Progress<'_>,
) -> Result<Vec<LabelRow>, OpenAiError> {
    let asker = Asker::new(settings, cache)?;
    let done = std::sync::atomic::AtomicU64::new(0);
    progress(0, heads.len() as u64);
    let labelled: Vec<Labelled> = stream::iter(heads)
        .map(|head| async {
            let labelled = head::label_head(head, settings, prompts, &asker).await?;
            progress(done.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1, heads.len() as u64);
            Ok::<_, OpenAiError>(labelled)
        })
        .buffered(settings.concurrency.max(1))
        .try_collect()
        .await?;
    rows(labelled, settings, &asker)
}

/// The rows, unless malformed answers left none with a label: a table of such rows would pass for a result.
fn rows(labelled: Vec<Labelled>, settings: &OpenAiSettings, asker: &Asker<'_>) -> Result<Vec<LabelRow>, OpenAiError> {
    let malformed: Vec<&String> = labelled.iter().filter_map(|head| head.malformed.as_ref()).collect();
    match malformed.last() {
        Some(last) if labelled.iter().all(|head| head.row.property.is_none()) => Err(OpenAiError::NoLabels {
            model: settings.model.clone(),
            url: asker.url().to_owned(),
            heads: malformed.len(),
            last: (*last).clone(),
        }),
        _ => Ok(labelled.into_iter().map(|head| head.row).collect()),
    }
}

/// What [`label`] would ask, with estimated tokens; nobody is asked.
pub fn dry_run(heads: &[HeadTexts], settings: &OpenAiSettings, prompts: &Prompts) -> DryRun {
    DryRun::new(heads, settings, prompts)
}
