//! All repairs in ftfy's order, line by line.

use unicode_normalization::UnicodeNormalization;

use crate::{characters, entities, mojibake};

/// Characters of a line that are repaired together; a longer line is cut.
const LONGEST: usize = 1_000_000;

/// A line is repaired until nothing changes. Each round takes one level of nesting off, such as of `&amp;amp;`; a text that is nested
/// more deeply than any real one is left as it is then, so that no text takes forever.
const ROUNDS: usize = 64;

/// The text with all its lines repaired. Entities stay from the first line on that has a `<`: it is HTML then, and meant so.
pub(crate) fn fix(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut entities = true;
    for line in text.split_inclusive('\n') {
        let mut rest = line;
        while !rest.is_empty() {
            let end = rest.char_indices().nth(LONGEST).map_or(rest.len(), |(end, _)| end);
            let (segment, after) = rest.split_at(end);
            entities &= !segment.contains('<');
            out.push_str(&repaired(segment, entities));
            rest = after;
        }
    }
    out
}

fn repaired(segment: &str, entities: bool) -> String {
    let mut text = segment.to_owned();
    for _ in 0..ROUNDS {
        let next = one_round(&text, entities);
        if next == text {
            break;
        }
        text = next;
    }
    text
}

fn one_round(text: &str, entities: bool) -> String {
    let text = if entities { entities::unescape_whole(text) } else { text.into() };
    let text = mojibake::fix(&text);
    let text = characters::replaced(&text);
    let text = characters::without_escapes(&text);
    text.chars().filter(|character| !characters::is_control(*character)).nfc().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn html_keeps_its_entities_from_its_first_tag_on() {
        assert_eq!(fix("&lt;a&gt; &amp;"), "<a> &");
        assert_eq!(fix("&amp;\n<a> &amp;\n&amp;"), "&\n<a> &amp;\n&amp;");
    }

    #[test]
    fn nested_entities_are_taken_off_and_a_bomb_ends() {
        assert_eq!(fix("&amp;amp;amp;"), "&");
        let bomb = format!("&{}", "amp;".repeat(2_000));
        assert!(fix(&bomb).len() > 1_000);
    }
}
