//! Repairs of single characters.

use std::{borrow::Cow, collections::HashMap, sync::LazyLock};

use unicode_normalization::UnicodeNormalization;

use crate::{codecs::WINDOWS_1252, patterns::TERMINAL_ESCAPE, tables::LIGATURES};

static LIGATURE: LazyLock<HashMap<char, &str>> = LazyLock::new(|| LIGATURES.iter().copied().collect());

/// C1 controls as Windows means them, ligatures as letters, wide and narrow forms as usual ones, straight quotes, and line breaks as
/// `\n`: in this order, which shows where one gives what the next replaces.
pub(crate) fn replaced(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut previous = ' ';
    for character in text.chars() {
        let character = meant_by_windows(character);
        match character {
            // `\r\n` is one break.
            '\n' if previous == '\r' => {}
            '\r' | '\u{2028}' | '\u{2029}' | '\u{85}' => out.push('\n'),
            '\u{3000}' => out.push(' '),
            _ => match LIGATURE.get(&character) {
                Some(letters) => out.extend(letters.chars().map(straight)),
                None if is_of_other_width(character) => out.extend(std::iter::once(character).nfkc().map(straight)),
                None => out.push(straight(character)),
            },
        }
        previous = character;
    }
    out
}

/// C1 controls as Windows means them, and the rest as it is.
pub(crate) fn without_c1(text: &str) -> String {
    text.chars().map(meant_by_windows).collect()
}

fn meant_by_windows(character: char) -> char {
    if ('\u{80}'..='\u{9f}').contains(&character) { WINDOWS_1252.character(character as u8) } else { character }
}

fn is_of_other_width(character: char) -> bool {
    ('\u{ff01}'..='\u{ffef}').contains(&character)
}

fn straight(character: char) -> char {
    match character {
        '\u{2bc}' | '\u{2018}'..='\u{201b}' => '\'',
        '\u{201c}'..='\u{201f}' => '"',
        other => other,
    }
}

/// Without the sequences that colour text in a terminal.
pub(crate) fn without_escapes(text: &str) -> Cow<'_, str> {
    if text.contains('\u{1b}') { TERMINAL_ESCAPE.replace_all(text, "") } else { Cow::Borrowed(text) }
}

/// Characters without a displayed effect: controls but white space, marks of annotations, the byte-order mark.
pub(crate) fn is_control(character: char) -> bool {
    matches!(character,
        '\0'..='\u{8}' | '\u{b}' | '\u{e}'..='\u{1f}' | '\u{7f}' | '\u{206a}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffc}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_replacement_feeds_the_next() {
        assert_eq!(replaced("\u{91}a\u{92}"), "'a'", "C1 controls that are quotes");
        assert_eq!(replaced("ŉ ﬄ Ǆ"), "'n ffl DŽ", "a ligature that holds a quote");
        assert_eq!(replaced("ＡＢ　ｶﾞ"), "AB カ\u{3099}");
        assert_eq!(replaced("a\r\nb\rc\u{2028}d\u{85}e"), "a\nb\nc\nd…e");
    }

    #[test]
    fn terminal_colours_go() {
        assert_eq!(without_escapes("\u{1b}[36;44mblue\u{1b}[0m"), "blue");
        assert_eq!(without_escapes("\u{1b}[36"), "\u{1b}[36");
    }
}
