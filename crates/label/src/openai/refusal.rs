//! What an endpoint says when it does not answer: every server has its own shape for it.

use serde_json::Value;

/// Fields of a request that a refusal names.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Hints {
    pub(crate) shape: bool,
    pub(crate) temperature: bool,
    pub(crate) length: bool,
}

/// A refusal as far as it can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// For the reader, in full.
    pub(crate) message: String,
    /// Which fields it is about.
    pub(crate) hints: Hints,
    /// It is about something else than the form of the request.
    pub(crate) other: bool,
    /// A filter of contents withheld the answer.
    pub(crate) filtered: bool,
    /// What a model said that was held against a schema and did not fit it (Groq).
    pub(crate) failed_generation: Option<String>,
}

/// Words by which servers speak of the format of answers.
const SHAPE: [&str; 8] = [
    "response format",
    "responseformat",
    "json schema",
    "json mode",
    "schema",
    "grammar",
    "structured output",
    "guided",
];
/// Names of the fields themselves.
const SHAPE_FIELDS: [&str; 3] = ["response_format", "json_schema", "json_object"];
const LENGTH: [&str; 4] = ["max_tokens", "max_completion_tokens", "max tokens", "max_new_tokens"];
/// Codes that say that the form of the request is not at fault.
const OTHER: [&str; 6] = [
    "model_not_found",
    "invalid_api_key",
    "insufficient_quota",
    "context_length_exceeded",
    "billing_hard_limit_reached",
    "content_filter",
];

impl Refusal {
    pub(crate) fn read(body: &[u8]) -> Self {
        let text = String::from_utf8_lossy(body);
        let value: Value = serde_json::from_str(&text).unwrap_or_default();
        // Google's endpoint wraps its errors into a list.
        let value = value.get(0).unwrap_or(&value);
        let error = value.get("error").filter(|error| !error.is_null()).unwrap_or(value);
        let message = message(value, error).unwrap_or_else(|| plain(&text));
        let field = field(value, error);
        // A body can repeat the whole request: where it names a field, only the message counts.
        let body = if value.is_null() || field.is_some() { "" } else { &*text };
        let told = [message.as_str(), field.as_deref().unwrap_or_default(), body].join("\n").to_lowercase();
        let names = |words: &[&str]| words.iter().any(|word| told.contains(word));
        let code = ["code", "type"].iter().find_map(|key| error.get(key)?.as_str()).unwrap_or_default();
        // Where a field is named, of the message only the names of other fields count.
        let hints = Hints {
            shape: names(&SHAPE_FIELDS) || field.is_none() && names(&SHAPE),
            temperature: told.contains("temperature"),
            length: names(&LENGTH),
        };
        let is_other = field.is_some_and(|_| hints == Hints::default()) || OTHER.contains(&code);
        Self {
            hints: if OTHER.contains(&code) { Hints::default() } else { hints },
            other: is_other,
            filtered: code == "content_filter",
            failed_generation: error.get("failed_generation").and_then(Value::as_str).map(str::to_owned),
            message,
        }
    }
}

/// The field that a refusal is about: OpenAI's `param`, or the `loc` of servers that validate as vLLM does.
fn field(value: &Value, error: &Value) -> Option<String> {
    let param = error.get("param").and_then(Value::as_str).filter(|param| !param.is_empty()).map(str::to_lowercase);
    let locations = || {
        let details = value.get("detail")?.as_array()?;
        let parts = details.iter().filter_map(|detail| detail.get("loc")?.as_array()).flatten();
        let path: Vec<String> =
            parts.filter_map(Value::as_str).filter(|part| *part != "body").map(str::to_lowercase).collect();
        (!path.is_empty()).then(|| path.join("."))
    };
    param.or_else(locations)
}

fn message(value: &Value, error: &Value) -> Option<String> {
    let own = |value: &Value| {
        let text =
            value.as_str().or_else(|| ["message", "msg", "error"].iter().find_map(|key| value.get(key)?.as_str()));
        text.map(str::to_owned).filter(|text| !text.trim().is_empty())
    };
    let detail = || match value.get("detail")? {
        Value::Array(details) => {
            let told: Vec<String> = details.iter().filter_map(located).collect();
            (!told.is_empty()).then(|| told.join("; "))
        }
        other => own(other),
    };
    // A router repeats what the endpoint behind it said (OpenRouter).
    let behind = error.pointer("/metadata/raw").and_then(Value::as_str);
    let message = own(error).or_else(|| own(value)).or_else(detail)?;
    Some(match behind.filter(|behind| !behind.trim().is_empty()) {
        Some(behind) => format!("{message}: {behind}"),
        None => message,
    })
}

fn located(detail: &Value) -> Option<String> {
    let message = detail.as_str().or_else(|| detail.get("msg")?.as_str())?;
    let path = detail.get("loc").and_then(Value::as_array).map(|parts| {
        parts
            .iter()
            .map(|part| part.as_str().map_or_else(|| part.to_string(), str::to_owned))
            .collect::<Vec<_>>()
            .join(".")
    });
    Some(path.map_or_else(|| message.to_owned(), |path| format!("{path}: {message}")))
}

/// A body that is not JSON, on one line: of a page the title.
fn plain(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    let title = || {
        let start = lower.find("<title")?;
        let start = start + lower[start..].find('>')? + 1;
        let end = start + lower[start..].find("</title")?;
        Some(format!("a web page, `{}`", text[start..end].split_whitespace().collect::<Vec<_>>().join(" ")))
    };
    if lower.contains("<html") || lower.contains("<!doctype") {
        return title().unwrap_or_else(|| "a web page".to_owned());
    }
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if words.is_empty() { "nothing".to_owned() } else { words }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(body: &str) -> String {
        Refusal::read(body.as_bytes()).message
    }

    #[test]
    fn every_shape_of_error_is_read() {
        for (body, expected) in [
            (r#"{"error": {"message": "no", "type": "x", "code": null}}"#, "no"),
            (r#"{"error": "no"}"#, "no"),
            (r#"{"error": {"error": "no"}}"#, "no"),
            (r#"{"object": "error", "message": "no", "code": 400}"#, "no"),
            (r#"{"statusCode": 401, "message": "no"}"#, "no"),
            (r#"{"detail": "no"}"#, "no"),
            (r#"{"detail": [{"loc": ["body", "model"], "msg": "no"}]}"#, "body.model: no"),
            (r#"{"detail": [{"loc": ["body", "messages", 0], "msg": "a"}, "b"]}"#, "body.messages.0: a; b"),
            (r#"[{"error": {"code": 400, "message": "no"}}]"#, "no"),
            (
                r#"{"error": {"message": "Provider returned error", "metadata": {"raw": "no"}}}"#,
                "Provider returned error: no",
            ),
            (r#"{"error": null, "message": "no"}"#, "no"),
            ("no\n  route", "no route"),
            ("", "nothing"),
            ("<html><head><TITLE>404 Not\n Found</TITLE></head></html>", "a web page, `404 Not Found`"),
            ("<!DOCTYPE html><p>x", "a web page"),
            (r#"{"other": 1}"#, r#"{"other": 1}"#),
        ] {
            assert_eq!(message(body), expected, "{body}");
        }
        assert_eq!(message(&"x".repeat(9)), "xxxxxxxxx");
        assert!(!Refusal::read(b"\xff\xfe").message.is_empty());
    }

    #[test]
    fn refusals_name_what_they_are_about() {
        let hints = |body: &str| {
            let refusal = Refusal::read(body.as_bytes());
            let Hints { shape, temperature, length } = refusal.hints;
            (shape, temperature, length, refusal.other)
        };
        for (body, expected) in [
            (
                r#"{"error": {"message": "this model takes these response formats: [text]"}}"#,
                (true, false, false, false),
            ),
            (r#"{"error": {"message": "bad", "param": "response_format.json_schema"}}"#, (true, false, false, false)),
            (
                r#"{"detail": [{"loc": ["body", "response_format", "type"], "msg": "bad"}]}"#,
                (true, false, false, false),
            ),
            ("failed to parse grammar", (true, false, false, false)),
            (r#"{"error": {"message": "temperature does not support 0"}}"#, (false, true, false, false)),
            (
                r#"{"error": {"message": "Use 'max_completion_tokens' instead of 'max_tokens'."}}"#,
                (false, false, true, false),
            ),
            (r#"{"error": {"message": "no such model", "param": "model"}}"#, (false, false, false, true)),
            (r#"{"detail": [{"loc": ["body", "model"], "msg": "no schema"}]}"#, (false, false, false, true)),
            (r#"{"error": {"message": "max_tokens", "code": "context_length_exceeded"}}"#, (false, false, false, true)),
            (
                r#"{"error": {"message": "must contain 'json' to use 'response_format'", "param": "messages"}}"#,
                (true, false, false, false),
            ),
            (
                r#"{"detail": [{"loc": ["body", "model"], "msg": "no", "input": {"temperature": 0}}]}"#,
                (false, false, false, true),
            ),
            (r#"{"error": {"message": "bad request", "param": null}}"#, (false, false, false, false)),
        ] {
            assert_eq!(hints(body), expected, "{body}");
        }
    }
}
