use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use headspan_artifacts::write_atomic;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::openai::prompts::hex;

/// One kept answer: the request as it was sent, the raw answer, and what it cost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Answer {
    pub(crate) request: Value,
    pub(crate) content: String,
    pub(crate) tokens_in: u64,
    pub(crate) tokens_out: u64,
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
    serde_json::from_slice(&fs_err::read(path).ok()?).ok()
}
