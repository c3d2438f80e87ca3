//! The JSON objects in what a model said.

use serde_json::{Deserializer, Map, Value};

const OPEN: &str = "<think>";
const CLOSE: &str = "</think>";

/// What can be read from an answer. Models wrap their object in code fences and prose, and where there are several the last
/// is what they came to. Objects among thoughts do not count, except where an answer has nothing else and the thoughts end
/// with one: some servers count the whole answer as thoughts.
pub(crate) fn answered<T>(content: &str, read: impl Fn(&Map<String, Value>) -> Option<T>) -> Option<T> {
    let (said, thoughts) = without_thoughts(content);
    let last = objects(&said).into_iter().rev().find_map(|(object, _)| read(&object));
    if last.is_some() || !said.trim().is_empty() { last } else { concluded(&thoughts, read) }
}

/// What can be read from the object that thoughts end with.
pub(crate) fn concluded<T>(thoughts: &str, read: impl Fn(&Map<String, Value>) -> Option<T>) -> Option<T> {
    let thoughts = thoughts.replace(OPEN, "").replace(CLOSE, "");
    let (object, end) = objects(&thoughts).pop()?;
    let rest = thoughts[end..].trim_matches(|sign: char| sign.is_whitespace() || matches!(sign, '`' | '.' | '*'));
    if rest.is_empty() { read(&object) } else { None }
}

/// Objects in the order in which they stand, with where each ends.
fn objects(said: &str) -> Vec<(Map<String, Value>, usize)> {
    let (mut found, mut from) = (Vec::new(), 0);
    while let Some(start) = said[from..].find('{').map(|at| from + at) {
        let mut objects = Deserializer::from_str(&said[start..]).into_iter::<Map<String, Value>>();
        match objects.next() {
            Some(Ok(object)) => {
                from = start + objects.byte_offset();
                found.push((object, from));
            }
            _ => from = start + 1,
        }
    }
    found
}

/// What was said, and the blocks of thoughts. The template of some models opens the first block, so that only its end is in
/// the answer; a block that is not closed reaches to the end.
fn without_thoughts(content: &str) -> (String, String) {
    let (mut said, mut thoughts, mut rest) = (String::new(), String::new(), content);
    while let Some((before, after)) = rest.split_once(CLOSE) {
        if let Some((outside, inside)) = before.split_once(OPEN) {
            said.push_str(outside);
            thoughts.push_str(inside);
        } else {
            thoughts.push_str(&std::mem::take(&mut said));
            thoughts.push_str(before);
        }
        rest = after;
    }
    let (outside, inside) = rest.split_once(OPEN).unwrap_or((rest, ""));
    said.push_str(outside);
    thoughts.push_str(inside);
    (said, thoughts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(content: &str) -> Option<u64> {
        answered(content, |object| object.get("n")?.as_u64())
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
            r#"[{"n": 1}]"#,
            r#"{"n": 1} {"certainty": 0.9}"#,
        ] {
            assert_eq!(number(content), Some(1), "{content}");
        }
        for content in ["", "1", "{", "{{{", r#"{"n": 1"#, "{n: 1}", r#"{"n": 1,}"#, "{'n': 1}", r#"{"n": True}"#] {
            assert_eq!(number(content), None, "{content}");
        }
    }

    #[test]
    fn thoughts_do_not_count_beside_an_answer() {
        for content in [
            r#"<think>{x}</think>{"n": 1}"#,
            r#"<think>{"n": 2}</think>{"n": 1}<think>{"n": 3}</think>"#,
            r#"opened by the template {"n": 2}</think> {"n": 1}"#,
            r#"{"n": 1}<think>{"n": 2}"#,
        ] {
            assert_eq!(number(content), Some(1), "{content}");
        }
        assert_eq!(number(r#"<think>{"n": 2}</think> two"#), None);
    }

    #[test]
    fn thoughts_alone_count_if_they_end_with_an_object() {
        for content in [
            r#"<think>perhaps {"n": 2}? No. {"n": 1}"#,
            "<think>so\n```json\n{\"n\": 1}\n```\n</think>\n",
            r#"opened by the template {"n": 1}</think>"#,
        ] {
            assert_eq!(number(content), Some(1), "{content}");
        }
        for cut in [r#"<think>perhaps {"n": 2}, but"#, r#"<think>perhaps {"n": 2} or {"n""#, "<think>"] {
            assert_eq!(number(cut), None, "{cut}");
        }
        let read = |object: &Map<String, Value>| object.get("n")?.as_u64();
        assert_eq!(concluded(r#"<think>so {"n": 1}."#, read), Some(1));
        assert_eq!(concluded(r#"{"n": 2} was wrong"#, read), None);
    }
}
