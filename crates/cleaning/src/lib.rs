//! What OpenCLIP does to a text before it is split into tokens: wrongly decoded characters are repaired as by ftfy, entities of HTML
//! become characters, and white space collapses.
//!
//! Models were trained on texts that were cleaned so. Without it `the dog’s ball` and `the dog's ball` have different embeddings. The
//! right values are those of Python: ftfy 6.3.1, `html.unescape` and `str.split` (`tests/golden.rs`). The crate knows no tokens.

mod characters;
mod codecs;
mod entities;
mod mojibake;
mod patterns;
mod segments;
mod tables;

/// For `tools/fuzz` alone.
#[cfg(fuzzing)]
pub mod fuzzing {
    /// The text with wrongly decoded characters repaired, which is the first step of [`crate::clean`].
    pub fn repaired(text: &str) -> String {
        crate::segments::fix(text)
    }
}

use std::borrow::Cow;

/// Raise it when the cleaned text of any input changes: texts that cleaning changes are embedded again then.
pub const VERSION: u32 = 1;

/// The text as OpenCLIP cleans it, in its own case.
pub fn clean(text: &str) -> Cow<'_, str> {
    if is_plain(text) {
        return Cow::Borrowed(text);
    }
    let fixed = segments::fix(text);
    let unescaped = entities::unescape(&entities::unescape(&fixed)).into_owned();
    Cow::Owned(collapsed(&unescaped, is_space))
}

/// Whether cleaning changes more than what Unicode calls white space, which tokenizers collapse anyhow.
pub fn is_changed(text: &str) -> bool {
    !is_plain(text) && collapsed(text, char::is_whitespace) != clean(text)
}

/// What is printable ASCII without an entity stays as it is. Nearly all texts are.
fn is_plain(text: &str) -> bool {
    let bytes = text.as_bytes();
    let printable = bytes.iter().all(|byte| (b' '..=b'~').contains(byte) && *byte != b'&');
    printable && !bytes.starts_with(b" ") && !bytes.ends_with(b" ") && !text.contains("  ")
}

/// The words of a text with one space between them; with [`is_space`], as Python's `" ".join(text.split())`.
fn collapsed(text: &str, is_space: fn(char) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    for word in text.split(is_space).filter(|word| !word.is_empty()) {
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(word);
    }
    out
}

/// Python counts the separators of ASCII as white space, Unicode does not.
fn is_space(character: char) -> bool {
    character.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&character)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn plain_texts_are_not_copied() {
        for text in ["", "a photo of a cat", "A <b>tag</b>, 50 % \"off\"", "it's"] {
            assert!(matches!(clean(text), Cow::Borrowed(same) if same == text), "{text}");
            assert!(!is_changed(text), "{text}");
        }
    }

    #[test]
    fn white_space_alone_is_no_change() {
        for text in [" a  photo\tof\n\u{3000}a cat\u{a0}", "café", "  "] {
            assert!(!is_changed(text), "{text:?}");
        }
        assert_eq!(clean(" a  photo\tof\n\u{3000}a\u{1c}cat\u{a0}"), "a photo of acat");
        assert!(is_changed("a\u{1f}cat"), "no white space to Unicode");
        assert!(is_changed("the dog’s ball") && is_changed("salt &amp; pepper"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn no_text_panics(text in "\\PC{0,60}|[\\u{0}-\\u{2100}&;#xX0-9a]{0,60}") {
            let cleaned = clean(&text);
            prop_assert_eq!(collapsed(&cleaned, is_space), cleaned.as_ref());
        }
    }
}
