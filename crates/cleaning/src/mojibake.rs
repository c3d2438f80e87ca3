//! UTF-8 that was decoded by another encoding, found and undone by ftfy's rules.

use std::{borrow::Cow, collections::HashSet, sync::LazyLock};

use crate::{
    characters,
    codecs::{ENCODINGS, Encoding, decoded_variant, latin_1_as_windows},
    patterns::{LOSSY, SPACED, WRONGLY_DECODED},
    tables,
};

/// Mistakes that lie on top of one another, and parts within parts. More is no text.
const DEPTH: usize = 8;
const ROUNDS: usize = 64;

/// The text with wrongly decoded parts repaired, as often as there are some.
pub(crate) fn fix(text: &str) -> Cow<'_, str> {
    fix_within(text, DEPTH)
}

fn fix_within(text: &str, depth: usize) -> Cow<'_, str> {
    let mut text = Cow::Borrowed(text);
    for _ in 0..ROUNDS {
        match one_step(&text, depth).filter(|fixed| **fixed != *text) {
            Some(fixed) => text = Cow::Owned(fixed),
            None => break,
        }
    }
    text
}

/// One repair; none if nothing looks wrong.
fn one_step(text: &str, depth: usize) -> Option<String> {
    if text.is_ascii() || !WRONGLY_DECODED.is_match(text) {
        return None;
    }
    let mut latin_1 = false;
    for (place, encoding) in ENCODINGS.iter().enumerate() {
        let Some(bytes) = encoding.encoded(text) else { continue };
        latin_1 |= place == 0;
        if let Some(decoded) = as_utf8(encoding, bytes) {
            return Some(decoded);
        }
    }
    let parts = parts_fixed(text, depth);
    if parts != text {
        return Some(parts);
    }
    // Latin-1 with controls was meant to be Windows-1252.
    let windows = if latin_1 { latin_1_as_windows(text) } else { None };
    if let Some(windows) = windows.filter(|windows| windows != text) {
        return Some(windows);
    }
    let has_controls = text.chars().any(|character| ('\u{80}'..='\u{9f}').contains(&character));
    has_controls.then(|| characters::without_c1(text))
}

/// The bytes as UTF-8, with what was lost on the way put back where that can be known.
fn as_utf8(encoding: &Encoding, mut bytes: Vec<u8>) -> Option<String> {
    if encoding.spaced && SPACED.is_match(&bytes) {
        bytes = with_spaces_back(&bytes);
    }
    if encoding.sloppy {
        bytes = LOSSY.replace_all(&bytes, "\u{fffd}".as_bytes()).into_owned();
    }
    if bytes.contains(&0xed) || bytes.contains(&0xc0) {
        return decoded_variant(&bytes);
    }
    String::from_utf8(bytes).ok()
}

/// Spaces that were the byte 0xA0. After 0xC3 alone, where a word ends, the space stays beside it: `Ã la` was `à la`.
fn with_spaces_back(bytes: &[u8]) -> Vec<u8> {
    /// What goes on after `à` without a space: Portuguese words, and a space.
    const GOES_ON: [&[u8]; 5] = [b" ", b"quele", b"quela", b"quilo", b"s "];
    let mut words = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((first, after)) = rest.split_first() {
        words.push(*first);
        rest = after;
        if *first == 0xc3
            && let Some(next) = after.strip_prefix(b" ")
            && !GOES_ON.iter().any(|word| next.starts_with(word))
        {
            words.extend(b"\xa0 ");
            rest = next;
        }
    }
    let back = |found: &regex::bytes::Captures<'_>| -> Vec<u8> {
        found[0].iter().map(|byte| if *byte == b' ' { 0xa0 } else { *byte }).collect()
    };
    SPACED.replace_all(&words, back).into_owned()
}

/// Characters that stand for bytes of UTF-8 in a Latin-1-like encoding.
struct Clues {
    /// By the number of bytes of a sequence, less 2.
    first: [HashSet<char>; 3],
    later: HashSet<char>,
    strict: HashSet<char>,
}

static CLUES: LazyLock<Clues> = LazyLock::new(|| Clues {
    first: [tables::FIRST_OF_2, tables::FIRST_OF_3, tables::FIRST_OF_4].map(|members| members.chars().collect()),
    later: tables::LATER.chars().collect(),
    strict: tables::LATER_STRICT.chars().collect(),
});

impl Clues {
    /// Characters of the sequences that begin here, all that follow one another; 0 if there is none.
    fn length(&self, characters: &[(usize, char)]) -> usize {
        let one = |rest: &[(usize, char)]| {
            let &(_, first) = rest.first()?;
            (2..=4).find(|length| {
                let later = || rest.get(1..*length);
                self.first[length - 2].contains(&first)
                    && later().is_some_and(|later| later.iter().all(|(_, character)| self.later.contains(character)))
            })
        };
        let mut end = 0;
        while let Some(length) = one(&characters[end..]) {
            end += length;
        }
        end
    }
}

/// Repairs wrongly decoded parts of a text of which the rest is right.
fn parts_fixed(text: &str, depth: usize) -> String {
    if depth == 0 {
        return text.to_owned();
    }
    let characters: Vec<(usize, char)> = text.char_indices().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < characters.len() {
        let (start, character) = characters[at];
        let after_part = at > 0 && CLUES.strict.contains(&characters[at - 1].1);
        let length = if after_part { 0 } else { CLUES.length(&characters[at..]) };
        if length == 0 {
            out.push(character);
            at += 1;
            continue;
        }
        at += length;
        let part = &text[start..characters.get(at).map_or(text.len(), |(end, _)| *end)];
        if part.len() < text.len() && WRONGLY_DECODED.is_match(part) {
            out.push_str(&fix_within(part, depth - 1));
        } else {
            out.push_str(part);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Right values: `ftfy.fix_encoding` of ftfy 6.3.1.
    #[test]
    fn wrongly_decoded_text_is_repaired_and_the_rest_stays() {
        for (text, expected) in [
            ("sÃ³", "só"),
            ("voilÃ le travail", "voilà le travail"),
            ("l'humanitÃ©", "l'humanité"),
            ("ð\u{9f}\u{98}\u{8d}", "😍"),
            ("doesnâ€™t", "doesn’t"),
            ("â€œ like this â€\u{fffd}", "“ like this \u{fffd}"),
            ("café", "café"),
            ("ÃƒÂ©", "é"),
            ("(ˆ_ˆ)", "(ˆ_ˆ)"),
        ] {
            assert_eq!(fix(text), expected, "{text}");
        }
    }
}
