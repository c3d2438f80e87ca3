//! Labels from a language model behind any OpenAI-compatible endpoint.
//!
//! Two kinds of request, as in the papers (arXiv 2409.06579 and 2503.11103): *label* shows a head's first texts after
//! labelled examples and asks for one property; *judge* asks for each text whether it matches the label.

mod answers;
mod ask;
mod budget;
mod endpoint;
mod error;
mod form;
mod head;
mod object;
mod prompts;
mod refusal;
mod reply;
mod request;
mod settings;

/// For `tools/fuzz` alone.
#[cfg(fuzzing)]
pub mod fuzzing {
    use super::{answers::Answer, endpoint, head, refusal::Refusal, reply::Reply};

    /// Reads the body of an answer in all the ways in which one is read.
    pub fn answer(body: &[u8]) {
        let Reply { said, usage, failure: _ } = Reply::read(body, 7);
        assert!(usage.tokens_in.checked_add(usage.tokens_out).is_some(), "sums of tokens must not overflow");
        if let Some(said) = said {
            let answer = Answer::new(serde_json::Value::Null, said, usage);
            _ = (answer.read(head::property), answer.read(head::judgement), answer.described());
        }
        assert!(!Refusal::read(body).message.is_empty(), "a refusal without a word");
    }

    /// Reads the address of an endpoint.
    pub fn address(text: &str) {
        if let Ok((url, _)) = endpoint::address(text) {
            assert!(url.contains("/chat/completions"), "{url}");
        }
    }
}

use std::{collections::BTreeMap, ops::ControlFlow, path::Path};

pub use error::OpenAiError;
use futures::{StreamExt, TryStreamExt, stream};
use headspan_artifacts::LabelRow;
pub use prompts::{DryRun, PromptError, Prompts};
use serde_json::Value;
pub use settings::OpenAiSettings;
use settings::slice;

use crate::{
    LabelError, LabelRequest, LabelSettings, Labeller, NamedPath,
    heads::HeadTexts,
    openai::{
        ask::Asker,
        endpoint::Endpoint,
        head::{Labelled, NAME},
    },
};

/// Called with heads done and heads to do.
pub type Progress<'a> = &'a (dyn Fn(u64, u64) -> ControlFlow<()> + Sync);

/// The labeller behind an OpenAI-compatible endpoint.
pub(crate) struct OpenAi;

impl Labeller for OpenAi {
    fn name(&self) -> &'static str {
        NAME
    }

    fn summary(&self) -> &'static str {
        "A language model behind an OpenAI-compatible endpoint"
    }

    fn slice(&self, settings: &LabelSettings) -> Value {
        slice(&settings.openai)
    }

    fn files(&self, settings: &LabelSettings) -> Result<BTreeMap<String, String>, LabelError> {
        Ok(BTreeMap::from([("prompts".to_owned(), Prompts::load(&settings.openai)?.sha256())]))
    }

    fn paths<'a>(&self, settings: &'a LabelSettings) -> Result<Vec<NamedPath<'a>>, LabelError> {
        let prompts = settings.openai.prompts.as_deref();
        Ok(prompts.map(|path| NamedPath { key: "label.openai.prompts", path, is_folder: true }).into_iter().collect())
    }

    fn check(&self, settings: &LabelSettings) -> Result<(), LabelError> {
        Prompts::load(&settings.openai)?;
        Endpoint::of_environment(&settings.openai)?;
        Ok(())
    }

    fn judged_texts(&self, settings: &LabelSettings) -> Option<usize> {
        Some(settings.openai.texts)
    }

    fn label(&self, request: &LabelRequest<'_>) -> Result<Vec<LabelRow>, LabelError> {
        let settings = &request.settings.openai;
        let (prompts, heads) = (Prompts::load(settings)?, request.heads()?);
        let cache = request.run.path().join("answers");
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        Ok(runtime.block_on(label(&heads, settings, &prompts, &cache, request.progress))?)
    }
}

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
    let report = |done: u64| match progress(done, heads.len() as u64) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(OpenAiError::Stopped),
    };
    report(0)?;
    let labelled: Vec<Labelled> = stream::iter(heads)
        .map(|head| async {
            let labelled = head::label_head(head, settings, prompts, &asker).await?;
            report(done.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1)?;
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
            url: asker.shown().to_owned(),
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
