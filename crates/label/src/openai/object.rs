//! The JSON object in what a model said.

use serde_json::{Deserializer, Map, Value};

const OPEN: &str = "<think>";
const CLOSE: &str = "</think>";

/// The last object that stands in an answer, outside of thoughts. Models wrap it in code fences and prose, and where there
/// are several the last is what they came to.
pub(crate) fn object(content: &str) -> Option<Map<String, Value>> {
    let said = without_thoughts(content);
    let (mut last, mut from) = (None, 0);
    while let Some(start) = said[from..].find('{').map(|at| from + at) {
        let mut objects = Deserializer::from_str(&said[start..]).into_iter::<Map<String, Value>>();
        match objects.next() {
            Some(Ok(object)) => {
                last = Some(object);
                from = start + objects.byte_offset();
            }
            _ => from = start + 1,
        }
    }
    last
}

/// What was said, less the blocks of thoughts. The template of some models opens the first block, so that only its end is in
/// the answer; a block that is not closed was cut off, and there is no answer in it.
fn without_thoughts(content: &str) -> String {
    let (mut said, mut rest) = (String::new(), content);
    while let Some((before, after)) = rest.split_once(CLOSE) {
        match before.split_once(OPEN) {
            Some((outside, _)) => said.push_str(outside),
            None => said.clear(),
        }
        rest = after;
    }
    said.push_str(rest.split_once(OPEN).map_or(rest, |(outside, _)| outside));
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(content: &str) -> Option<u64> {
        object(content)?.get("n")?.as_u64()
    }

    #[test]
    fn the_last_object_counts() {
        for content in [
            r#"{"n": 1}"#,
            "```json\n{\"n\": 1}\n```",
            r#"The set {x} gives {"n": 1}."#,
            r#"{"n": 1} {open"#,
            r#"First {"n": 2}, no: {"n": 1}"#,
            r#"{"m": {"n": 2}, "t": "} {", "n": 1}"#,
        ] {
            assert_eq!(number(content), Some(1), "{content}");
        }
        for content in ["", "1", "{", "{{{", r#"{"n": 1"#, "{n: 1}"] {
            assert_eq!(number(content), None, "{content}");
        }
    }

    #[test]
    fn thoughts_do_not_count() {
        for content in [
            r#"<think>{x}</think>{"n": 1}"#,
            r#"<think>{"n": 2}</think>{"n": 1}<think>{"n": 3}</think>"#,
            r#"opened by the template {"n": 2}</think> {"n": 1}"#,
            r#"{"n": 1}<think>{"n": 2}"#,
        ] {
            assert_eq!(number(content), Some(1), "{content}");
        }
        assert_eq!(number(r#"<think>perhaps {"n": 2}"#), None, "cut off before the answer");
        assert_eq!(number(r#"<think>{"n": 2}</think>"#), None);
    }
}
