//! What an endpoint said to a request, and what it cost.
//!
//! Read field by field and not into a library's types: endpoints that call themselves compatible leave out fields that
//! nobody needs here, and put values of their own into others, and an answer that is there and paid for must not be lost
//! over them.

use serde_json::Value;

use crate::openai::prompts::estimated_tokens;

/// No answer takes more tokens; larger numbers are mistakes, and sums of them would overflow.
const MOST_TOKENS: u64 = 1 << 32;
/// Where servers put the thoughts of a model: vLLM and llama.cpp; routers and Ollama; Ollama's own protocol.
const THOUGHTS: [&str; 3] = ["reasoning_content", "reasoning", "thinking"];

/// Tokens of one request.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) tokens_in: u64,
    pub(crate) tokens_out: u64,
}

/// What a model said.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) content: String,
    /// Its thoughts, where a server keeps them apart.
    pub(crate) reasoning: Option<String>,
    /// Why it says nothing.
    pub(crate) refusal: Option<String>,
    /// Why it stopped, in the endpoint's word.
    pub(crate) finish: Option<String>,
}

/// The body of a successful response.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    /// What the model said; nothing if the body is no chat completion.
    pub(crate) said: Option<Said>,
    /// As the endpoint counts, or an estimate.
    pub(crate) usage: Usage,
    /// Routers answer with success before they know, and put the status of a failure into the body.
    pub(crate) failure: Option<u16>,
}

/// What a body consists of.
#[derive(Debug, Default)]
struct Parts {
    said: Option<Said>,
    usage: Value,
    error: Option<Value>,
}

impl Reply {
    /// Reads a body. `sent` is the estimate of what was sent, for an endpoint that does not count: taken for nothing, its
    /// answers would never reach a ceiling.
    pub(crate) fn read(body: &[u8], sent: u64) -> Self {
        let body = String::from_utf8_lossy(body);
        let body = body.trim_start_matches('\u{feff}');
        let Parts { said, usage, error } = match serde_json::from_str(body) {
            Ok(value) => Parts::whole(&value),
            Err(_no_json) => Parts::streamed(body),
        };
        let said = said.filter(|_| error.is_none()).map(Said::tidy);
        let tokens = |key: &str| usage.get(key).and_then(Value::as_u64).map(|tokens| tokens.min(MOST_TOKENS));
        let received = said
            .as_ref()
            .map_or(body.len(), |said| said.content.len() + said.reasoning.as_ref().map_or(0, String::len));
        let usage = Usage {
            tokens_in: tokens("prompt_tokens").unwrap_or(sent),
            tokens_out: tokens("completion_tokens").unwrap_or_else(|| estimated_tokens(received)),
        };
        Self { said, usage, failure: error.as_ref().map(status) }
    }
}

impl Parts {
    fn whole(value: &Value) -> Self {
        let choice = value.pointer("/choices/0");
        let mut errors = [Some(value), choice].into_iter().flatten().filter_map(|value| value.get("error"));
        Self {
            said: choice.and_then(Said::of),
            usage: value.get("usage").cloned().unwrap_or_default(),
            error: errors.find(|error| !error.is_null() && error.as_str() != Some("")).cloned(),
        }
    }

    /// Adds up a stream of events: some servers stream without being asked. Each event is one line of JSON behind `data:`;
    /// other lines are comments, names of events and `[DONE]`.
    fn streamed(body: &str) -> Self {
        let mut sum = Self::default();
        for line in body.split(['\n', '\r']) {
            let data = line.strip_prefix("data:").unwrap_or(line).trim();
            let event = if data.starts_with('{') { serde_json::from_str::<Value>(data).ok() } else { None };
            let Some(Self { said, usage, error }) = event.as_ref().map(Self::whole) else { continue };
            if usage.is_object() {
                sum.usage = usage;
            }
            sum.error = sum.error.or(error);
            if let Some(said) = said {
                sum.said.get_or_insert_default().add(said);
            }
        }
        sum
    }
}

impl Said {
    /// From a choice of a completion, or of a part of one.
    fn of(choice: &Value) -> Option<Self> {
        let message = choice.get("message").or_else(|| choice.get("delta"))?.as_object()?;
        let text = |key: &str| message.get(key).and_then(Value::as_str);
        let content = match message.get("content") {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Array(parts)) => parts.iter().filter_map(part).collect(),
            // Some servers parse the answer that was asked for as JSON.
            Some(object @ Value::Object(_)) => object.to_string(),
            // A refusal, or a model that was cut off in its thoughts: it did answer, with nothing.
            None | Some(Value::Null) => String::new(),
            Some(_) => return None,
        };
        let refusal_part = || message.get("content")?.as_array()?.iter().find_map(|part| part.get("refusal")?.as_str());
        Some(Self {
            content,
            reasoning: THOUGHTS.iter().find_map(|key| text(key)).map(str::to_owned),
            refusal: text("refusal").or_else(refusal_part).map(str::to_owned),
            finish: choice.get("finish_reason").and_then(Value::as_str).map(str::to_owned),
        })
    }

    fn add(&mut self, part: Self) {
        self.content.push_str(&part.content);
        for (all, part) in [(&mut self.reasoning, part.reasoning), (&mut self.refusal, part.refusal)] {
            if let Some(part) = part {
                all.get_or_insert_default().push_str(&part);
            }
        }
        self.finish = part.finish.or(self.finish.take());
    }

    /// Thoughts and refusals that say nothing are none.
    fn tidy(self) -> Self {
        let told = |text: Option<String>| text.filter(|text| !text.trim().is_empty());
        Self { reasoning: told(self.reasoning), refusal: told(self.refusal), ..self }
    }
}

/// Text of a part of an answer. Parts of other kinds, such as thoughts, have none.
fn part(part: &Value) -> Option<&str> {
    part.as_str().or_else(|| part.get("text")?.as_str())
}

/// The status in an error: its code if that is one.
fn status(error: &Value) -> u16 {
    let code = ["code", "status"].iter().find_map(|key| {
        let code = error.get(key)?;
        code.as_u64().or_else(|| code.as_str()?.parse().ok())
    });
    code.and_then(|code| u16::try_from(code).ok()).filter(|code| (400..600).contains(code)).unwrap_or(502)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(body: &str) -> Option<Said> {
        Reply::read(body.as_bytes(), 0).said
    }

    fn content(body: &str) -> Option<String> {
        said(body).map(|said| said.content)
    }

    #[test]
    fn content_is_a_text_or_parts_or_nothing() {
        assert_eq!(content(r#"{"choices":[{"message":{"content":"a"}}]}"#).as_deref(), Some("a"));
        assert_eq!(content("\u{feff}\n {\"choices\":[{\"message\":{\"content\":\"a\"}}]}").as_deref(), Some("a"));
        let parts = r#"[{"type":"thinking","thinking":"c"},{"type":"text","text":"a"},{"type":"text","text":"b"}]"#;
        let body = format!(r#"{{"choices":[{{"message":{{"content":{parts}}}}}]}}"#);
        assert_eq!(content(&body).as_deref(), Some("ab"));
        assert_eq!(content(r#"{"choices":[{"message":{"content":null}}]}"#).as_deref(), Some(""));
        assert_eq!(content(r#"{"choices":[{"message":{"content":{"n":1}}}]}"#).as_deref(), Some(r#"{"n":1}"#));
        for no_completion in
            ["", "<html>", "{}", "[]", r#"{"choices":[]}"#, r#"{"choices":[{"message":{"content":3}}]}"#]
        {
            assert_eq!(content(no_completion), None, "{no_completion}");
        }
    }

    #[test]
    fn thoughts_and_refusals_are_kept_apart() {
        for key in THOUGHTS {
            let body =
                format!(r#"{{"choices":[{{"message":{{"content":null,"{key}":"so"}},"finish_reason":"stop"}}]}}"#);
            let said = said(&body).expect("said");
            assert_eq!((said.reasoning.as_deref(), said.finish.as_deref()), (Some("so"), Some("stop")), "{key}");
        }
        let refused =
            said(r#"{"choices":[{"message":{"content":null,"refusal":"no","reasoning":""}}]}"#).expect("said");
        assert_eq!((refused.refusal.as_deref(), refused.reasoning), (Some("no"), None));
        let part = said(r#"{"choices":[{"message":{"content":[{"type":"refusal","refusal":"no"}]}}]}"#).expect("said");
        assert_eq!(part.refusal.as_deref(), Some("no"));
    }

    #[test]
    fn a_stream_is_added_up() {
        let chunk = |delta: &str| format!(r#"{{"choices":[{{"index":0,"delta":{delta},"finish_reason":null}}]}}"#);
        let deltas = [
            r#"{"role":"assistant","content":""}"#,
            r#"{"content":"a "}"#,
            r#"{"content":null}"#,
            r#"{"content":"b"}"#,
        ];
        for (colon, end) in [("data: ", "\n\n"), ("data:", "\r\n\r\n"), ("", "\n"), ("data:  ", "\r\r")] {
            let events: String = deltas.iter().map(|delta| format!("{colon}{}{end}", chunk(delta))).collect();
            let body = format!(": keep-alive{end}event: message\n{events}data: [DONE]");
            assert_eq!(content(&body).as_deref(), Some("a b"), "{body}");
        }
        assert_eq!(content(&chunk(r#"{"content":"a"}"#)).as_deref(), Some("a"), "a stream of one part");
        let counted = format!(
            "data: {}\n\ndata: {}\n",
            chunk(r#"{"reasoning":" so "}"#),
            r#"{"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":3}}"#
        );
        let reply = Reply::read(counted.as_bytes(), 50);
        assert_eq!(reply.usage, Usage { tokens_in: 7, tokens_out: 3 });
        assert_eq!(reply.said.and_then(|said| said.reasoning).as_deref(), Some(" so "));
    }

    #[test]
    fn a_success_can_hold_a_failure() {
        let failure = |body: &str| Reply::read(body.as_bytes(), 0).failure;
        assert_eq!(failure(r#"{"error":{"code":429,"message":"busy"}}"#), Some(429));
        assert_eq!(failure(r#"{"error":{"code":"server_error","message":"busy"}}"#), Some(502));
        assert_eq!(failure(r#"{"choices":[{"message":{"content":"a"},"error":{"code":503}}]}"#), Some(503));
        assert_eq!(failure("data: {\"error\":{\"code\":\"400\"}}\n\n"), Some(400));
        assert_eq!(failure(r#"{"choices":[{"message":{"content":"a"}}],"error":null}"#), None);
    }

    #[test]
    fn usage_is_the_endpoints_or_an_estimate() {
        let usage = |body: &str| Reply::read(body.as_bytes(), 50).usage;
        let counted = r#"{"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":3}}"#;
        assert_eq!(usage(counted), Usage { tokens_in: 7, tokens_out: 3 });
        let half = r#"{"choices":[{"message":{"content":"12345678"}}],"usage":{"prompt_tokens":7}}"#;
        assert_eq!(usage(half), Usage { tokens_in: 7, tokens_out: 2 });
        assert_eq!(usage("<html>no</html>"), Usage { tokens_in: 50, tokens_out: 4 });
        let huge = r#"{"choices":[],"usage":{"prompt_tokens":18446744073709551615,"completion_tokens":-1}}"#;
        assert!(usage(huge).tokens_in < 1 << 40, "sums of it must not overflow");
    }

    #[test]
    fn no_bytes_bring_it_down() {
        for body in
            [&b"\xff\xfe\x00"[..], b"data: ", b"data: {", b"{\"choices\": {\"0\": 1}}", b"data: {\"choices\":[1]}"]
        {
            assert_eq!(Reply::read(body, 0).said, None, "{body:?}");
        }
    }
}
