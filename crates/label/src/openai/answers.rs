use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use headspan_artifacts::write_atomic;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::openai::{
    object::{answered, concluded},
    prompts::hex,
    reply::{Said, Usage},
};

/// One kept answer: the request as it was sent, the raw answer, and what it cost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Answer {
    pub(crate) request: Value,
    pub(crate) content: String,
    /// Thoughts that a server keeps apart, where there is no content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reasoning: Option<String>,
    /// Why the model, or a filter before it, says nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) refusal: Option<String>,
    /// Why the model stopped, where it did not come to an end by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) finish: Option<String>,
    pub(crate) tokens_in: u64,
    pub(crate) tokens_out: u64,
}

impl Answer {
    pub(crate) fn new(request: Value, said: Said, usage: Usage) -> Self {
        let reasoning = said.reasoning.filter(|_| said.content.trim().is_empty());
        let finish = said.finish.filter(|finish| matches!(finish.as_str(), "length" | "content_filter"));
        let (tokens_in, tokens_out) = (usage.tokens_in, usage.tokens_out);
        Self { request, content: said.content, reasoning, refusal: said.refusal, finish, tokens_in, tokens_out }
    }

    /// What can be read from the JSON object that the model answered with.
    pub(crate) fn read<T>(&self, read: impl Fn(&Map<String, Value>) -> Option<T>) -> Option<T> {
        answered(&self.content, &read).or_else(|| concluded(self.reasoning.as_deref()?, &read))
    }

    /// What an answer that cannot be used says, to stand behind "the last".
    pub(crate) fn described(&self) -> String {
        let said = self.content.trim();
        match (&self.refusal, self.finish.as_deref(), &self.reasoning) {
            (Some(refusal), _, _) => format!("was a refusal: {:?}", shortened(refusal)),
            (_, Some("content_filter"), _) if said.is_empty() => {
                "was withheld by the endpoint's content filter".to_owned()
            }
            (_, Some("length"), _) => format!("was cut off at the limit of tokens and began {:?}", shortened(said)),
            (_, _, Some(thoughts)) => format!("had thoughts alone, which began {:?}", shortened(thoughts.trim())),
            _ if said.is_empty() => "was empty".to_owned(),
            _ => format!("began {:?}", shortened(said)),
        }
    }
}

/// The beginning of a text, for a message.
pub(crate) fn shortened(text: &str) -> String {
    const LONGEST: usize = 200;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Folder of answers, one file a request, named by the request's hash.
#[derive(Debug)]
pub(crate) struct Answers {
    folder: PathBuf,
    /// Files of this run.
    new: Mutex<HashSet<PathBuf>>,
}

impl Answers {
    pub(crate) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), new: Mutex::default() }
    }

    fn path(&self, url: &str, request: &Value, attempt: u32) -> PathBuf {
        let mut hash = Sha256::new();
        hash.update(url);
        hash.update(request.to_string());
        hash.update(attempt.to_le_bytes());
        self.folder.join(format!("{}.json", hex(&hash.finalize())))
    }

    /// A kept answer, of this run or an earlier one. One that cannot be read is asked for again.
    pub(crate) fn get(&self, url: &str, request: &Value, attempt: u32) -> Option<Answer> {
        read(&self.path(url, request, attempt))
    }

    /// An answer of this run.
    pub(crate) fn get_new(&self, url: &str, request: &Value, attempt: u32) -> Option<Answer> {
        let path = self.path(url, request, attempt);
        let new = self.new.lock().unwrap_or_else(PoisonError::into_inner).contains(&path);
        if new { read(&path) } else { None }
    }

    pub(crate) fn put(&self, url: &str, attempt: u32, answer: &Answer) -> std::io::Result<()> {
        let bytes = serde_json::to_vec_pretty(answer)?;
        let path = self.path(url, &answer.request, attempt);
        write_atomic(&path, &bytes)?;
        self.new.lock().unwrap_or_else(PoisonError::into_inner).insert(path);
        Ok(())
    }
}

fn read(path: &Path) -> Option<Answer> {
    serde_json::from_slice(&headspan_artifacts::read(path).ok()?).ok()
}
