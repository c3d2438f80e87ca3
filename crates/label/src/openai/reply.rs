//! What an endpoint said to a request, and what it cost.
//!
//! Read field by field and not into a library's types: endpoints that call themselves compatible leave out fields that
//! nobody needs here, and put values of their own into others, and an answer that is there and paid for must not be lost
//! over them.

use serde_json::Value;

use crate::openai::prompts::estimated_tokens;

/// Tokens of one request.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) tokens_in: u64,
    pub(crate) tokens_out: u64,
}

/// The body of a successful response.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    /// What the model said; nothing if the body is no chat completion.
    pub(crate) content: Option<String>,
    /// As the endpoint counts, or an estimate.
    pub(crate) usage: Usage,
}

impl Reply {
    /// Reads a body. `sent` is the estimate of what was sent, for an endpoint that does not count: taken for nothing, its
    /// answers would never reach a ceiling.
    pub(crate) fn read(body: &str, sent: u64) -> Self {
        let value: Value = serde_json::from_str(body).unwrap_or_default();
        let content = value.pointer("/choices/0/message").and_then(content);
        let tokens = |at: &str| value.pointer(at).and_then(Value::as_u64);
        let received = content.as_deref().unwrap_or(body);
        let usage = Usage {
            tokens_in: tokens("/usage/prompt_tokens").unwrap_or(sent),
            tokens_out: tokens("/usage/completion_tokens").unwrap_or_else(|| estimated_tokens(received.len())),
        };
        Self { content, usage }
    }
}

fn content(message: &Value) -> Option<String> {
    match message.as_object()?.get("content") {
        Some(Value::String(text)) => Some(text.clone()),
        Some(Value::Array(parts)) => Some(parts.iter().filter_map(text).collect()),
        // A refusal, or a model that was cut off in its thoughts: it did answer, with nothing.
        None | Some(Value::Null) => Some(String::new()),
        Some(_) => None,
    }
}

/// Text of a part of an answer. Parts of other kinds, such as thoughts, have none.
fn text(part: &Value) -> Option<&str> {
    part.as_str().or_else(|| part.get("text")?.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(body: &str) -> Option<String> {
        Reply::read(body, 0).content
    }

    #[test]
    fn content_is_a_text_or_parts_or_nothing() {
        assert_eq!(content(r#"{"choices":[{"message":{"content":"a"}}]}"#).as_deref(), Some("a"));
        let parts = r#"[{"type":"thinking","thinking":"c"},{"type":"text","text":"a"},{"type":"text","text":"b"}]"#;
        let body = format!(r#"{{"choices":[{{"message":{{"content":{parts}}}}}]}}"#);
        assert_eq!(content(&body).as_deref(), Some("ab"));
        assert_eq!(content(r#"{"choices":[{"message":{"content":null}}]}"#).as_deref(), Some(""));
        for no_completion in ["<html>", "{}", r#"{"choices":[]}"#, r#"{"choices":[{"message":{"content":3}}]}"#] {
            assert_eq!(content(no_completion), None, "{no_completion}");
        }
    }

    #[test]
    fn usage_is_the_endpoints_or_an_estimate() {
        let usage = |body| Reply::read(body, 50).usage;
        let counted = r#"{"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":3}}"#;
        assert_eq!(usage(counted), Usage { tokens_in: 7, tokens_out: 3 });
        let half = r#"{"choices":[{"message":{"content":"12345678"}}],"usage":{"prompt_tokens":7}}"#;
        assert_eq!(usage(half), Usage { tokens_in: 7, tokens_out: 2 });
        assert_eq!(usage("<html>no</html>"), Usage { tokens_in: 50, tokens_out: 4 });
    }
}
