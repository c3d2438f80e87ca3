//! What both tests of endpoints need: heads, and a model that answers well.

use headspan_artifacts::{HeadId, LabelRow, TextspanRow};
use headspan_label::{
    HeadTexts, OpenAiSettings,
    openai::{self, OpenAiError, Prompts},
};
use serde_json::{Value, json};

/// Settings for a server on loopback, with short waits.
pub(crate) fn settings(base_url: String) -> OpenAiSettings {
    OpenAiSettings {
        base_url,
        model: "labeller".to_owned(),
        api_key_env: "HEADSPAN_TEST_KEY_THAT_IS_NOT_SET".to_owned(),
        concurrency: 1,
        max_retries: 2,
        max_reasks: 1,
        backoff_ms: 1,
        timeout_secs: 0.3,
        ..OpenAiSettings::default()
    }
}

/// A completion as OpenAI sends it.
pub(crate) fn completion(content: &str) -> Value {
    json!({
        "id": "1", "object": "chat.completion", "created": 0, "model": "labeller",
        "choices": [{ "index": 0, "finish_reason": "stop", "message": { "role": "assistant", "content": content } }],
        "usage": { "prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110 },
    })
}

/// A good answer: labels are `colors`; a judge says yes to what is red, and `strict` judges never do.
pub(crate) fn good_answer(request: &Value) -> String {
    let question = request["messages"].as_array().and_then(|messages| messages.last()).cloned().unwrap_or_default();
    let question = question["content"].as_str().unwrap_or_default();
    if question.starts_with("Property:") {
        json!({ "consistent": question.contains("red") && request["model"] != "strict" }).to_string()
    } else {
        json!({ "property": "colors" }).to_string()
    }
}

pub(crate) fn heads(count: u32) -> Vec<HeadTexts> {
    (0..count)
        .map(|head| HeadTexts {
            head: HeadId { layer: 3, head },
            texts: ["a red door", "a red cat", "a blue cat"]
                .iter()
                .enumerate()
                .map(|(rank, text)| TextspanRow {
                    layer: 3,
                    head,
                    pick: rank as u32,
                    text_index: rank as u32,
                    text: format!("{text} {head}"),
                    category: None,
                    std: 1.0,
                    variance_share: 0.1,
                    cumulative_share: 0.1,
                    effective_rank: Some(16),
                })
                .collect(),
        })
        .collect()
}

pub(crate) async fn label(
    settings: &OpenAiSettings,
    heads: &[HeadTexts],
    cache: &std::path::Path,
) -> Result<Vec<LabelRow>, OpenAiError> {
    let prompts = Prompts::load(settings).expect("the built-in prompts");
    openai::label(heads, settings, &prompts, cache, &|_, _| std::ops::ControlFlow::Continue(())).await
}
