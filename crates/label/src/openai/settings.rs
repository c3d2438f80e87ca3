use std::{path::PathBuf, time::Duration};

use headspan_net::shown;
use serde::{Deserialize, Deserializer, Serialize, de::Error};
use serde_json::{Value, json};

use crate::openai::endpoint;

/// The default endpoint.
const OPENAI: &str = "https://api.openai.com/v1";

/// How a language model is asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OpenAiSettings {
    /// Endpoint, up to and without `/chat/completions`; a query is kept.
    #[serde(deserialize_with = "address")]
    pub base_url: String,
    /// Model that labels.
    pub model: String,
    /// Models that judge; the labelling model if empty. A majority decides.
    pub judges: Vec<String>,
    /// Environment variable that holds the key; other endpoints than OpenAI's do without.
    pub api_key_env: String,
    /// Texts of a head, `k`.
    pub texts: usize,
    /// Folder with `label.toml` and `judge.toml`; the built-in prompts if none.
    pub prompts: Option<PathBuf>,
    /// Requests at once.
    pub concurrency: usize,
    /// Further tries after 429, 5xx, a timeout or a cut connection.
    pub max_retries: u32,
    /// Further tries after a malformed answer.
    pub max_reasks: u32,
    /// First wait before another try, doubled each time, in milliseconds; `Retry-After` has precedence.
    pub backoff_ms: u64,
    /// Longest wait for an answer, in seconds.
    #[serde(deserialize_with = "seconds")]
    pub timeout_secs: f64,
    /// Longest time for one answer with all its tries, in seconds.
    #[serde(deserialize_with = "seconds")]
    pub total_secs: f64,
    /// Most tokens of one answer; 0 leaves it to the endpoint.
    pub answer_tokens: u32,
    /// Sampling temperature.
    pub temperature: f32,
    /// Most tokens, sent and received, of one run; 0 for no ceiling.
    pub max_tokens: u64,
    /// Most money of one run in USD, by the prices below; 0 for no ceiling.
    pub max_cost: f64,
    /// USD for a million tokens sent.
    pub price_in: f64,
    /// USD for a million tokens received.
    pub price_out: f64,
}

impl Default for OpenAiSettings {
    fn default() -> Self {
        Self {
            base_url: OPENAI.to_owned(),
            model: "gpt-4o-mini".to_owned(),
            judges: Vec::new(),
            api_key_env: "OPENAI_API_KEY".to_owned(),
            texts: 5,
            prompts: None,
            concurrency: 4,
            max_retries: 6,
            max_reasks: 2,
            backoff_ms: 500,
            timeout_secs: 60.0,
            total_secs: 600.0,
            answer_tokens: 0,
            temperature: 0.0,
            max_tokens: 2_000_000,
            max_cost: 0.0,
            price_in: 0.0,
            price_out: 0.0,
        }
    }
}

fn seconds<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    let seconds = f64::deserialize(from)?;
    match Duration::try_from_secs_f64(seconds) {
        Ok(time) if !time.is_zero() => Ok(seconds),
        _ => Err(D::Error::custom(format!("{seconds} is not a time in seconds"))),
    }
}

fn address<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let base_url = String::deserialize(from)?;
    match endpoint::address(&base_url) {
        Ok(_) => Ok(base_url),
        Err(what) => Err(D::Error::custom(format!("`{}` cannot be used: {what}", shown(base_url.trim())))),
    }
}

impl OpenAiSettings {
    /// Models that judge.
    pub(crate) fn judge_models(&self) -> Vec<&str> {
        if self.judges.is_empty() { vec![&self.model] } else { self.judges.iter().map(String::as_str).collect() }
    }
}

/// The slice of the settings that decides the answers; retries, ceilings and prices are not in it.
pub(crate) fn slice(settings: &OpenAiSettings) -> Value {
    let OpenAiSettings {
        base_url,
        model,
        texts,
        temperature,
        answer_tokens,
        judges: _,
        // Read into the prompts, which are an input.
        prompts: _,
        api_key_env: _,
        concurrency: _,
        max_retries: _,
        max_reasks: _,
        backoff_ms: _,
        timeout_secs: _,
        total_secs: _,
        max_tokens: _,
        max_cost: _,
        price_in: _,
        price_out: _,
    } = settings;
    let mut slice = json!({
        "base_url": base_url,
        "model": model,
        "judges": settings.judge_models(),
        "texts": texts,
        "temperature": temperature,
    });
    // Runs from before there was this setting keep their fingerprints.
    if *answer_tokens > 0 {
        slice["answer_tokens"] = json!(answer_tokens);
    }
    slice
}
