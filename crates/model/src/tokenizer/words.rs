//! From a text to the ids of its parts, without start and end token.

use std::sync::LazyLock;

use regex::Regex;
use tokenizers::{Model, ModelWrapper, models::bpe::BPE};

/// What splits a text into words: `SimpleTokenizer`'s pattern. Only the words in it are found in any case; letters are letters anyhow.
static WORDS: LazyLock<Regex> = LazyLock::new(|| {
    let pattern = r"(?i:<start_of_text>|<end_of_text>|'s|'t|'re|'ve|'m|'ll|'d)|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+";
    Regex::new(pattern).unwrap_or_else(|error| unreachable!("{error}"))
});

/// What ends a token at the end of a word in CLIP's vocabulary.
const END_OF_WORD: &str = "</w>";

/// The rules by which texts become ids.
#[derive(Debug)]
pub(super) enum Words {
    /// Those of `SimpleTokenizer`, on the merges of a file.
    Clip {
        inner: Box<tokenizers::Tokenizer>,
        start: u32,
        end: u32,
        /// Tokens that were added to the vocabulary, such as a word that was learned. A text with one is split by the file's rules.
        added: Vec<String>,
    },
    /// Those of the file; the token for what its vocabulary lacks.
    File { inner: Box<tokenizers::Tokenizer>, unknown: Option<u32> },
}

impl Words {
    pub(super) fn new(inner: tokenizers::Tokenizer, start: u32, end: u32) -> Self {
        let inner = Box::new(inner);
        if bpe(&inner).is_some_and(is_clip) {
            let added = inner.get_added_tokens_decoder().into_iter().filter(|(id, _)| ![start, end].contains(id));
            let added = added.map(|(_, token)| token.content).filter(|content| !content.is_empty()).collect();
            return Self::Clip { inner, start, end, added };
        }
        let unknown = match inner.get_model() {
            ModelWrapper::BPE(model) => model.unk_token.clone(),
            ModelWrapper::WordLevel(model) => Some(model.unk_token.clone()),
            ModelWrapper::WordPiece(model) => Some(model.unk_token.clone()),
            ModelWrapper::Unigram(_) => None,
        };
        let unknown = unknown.and_then(|token| inner.token_to_id(&token));
        Self::File { inner, unknown }
    }

    /// Ids of a text, cleaned, and whether some of them stand for what the vocabulary lacks.
    pub(super) fn ids(&self, text: &str) -> tokenizers::Result<(Vec<u32>, bool)> {
        let text = headspan_cleaning::clean(text);
        match self {
            Self::Clip { inner, added, .. } if added.iter().any(|token| text.contains(token.as_str())) => {
                Ok((inner.encode(text.as_ref(), false)?.get_ids().to_vec(), false))
            }
            Self::Clip { inner, start, end, added: _ } => {
                let mut ids = Vec::new();
                for word in WORDS.find_iter(&text.to_lowercase()) {
                    match word.as_str() {
                        // OpenCLIP's names of the special tokens; those of the file are plain text to it.
                        "<start_of_text>" => ids.push(*start),
                        "<end_of_text>" => ids.push(*end),
                        word => ids.extend(inner.get_model().tokenize(&printable(word))?.iter().map(|token| token.id)),
                    }
                }
                Ok((ids, false))
            }
            Self::File { inner, unknown } => {
                let ids = inner.encode(text.as_ref(), false)?.get_ids().to_vec();
                let has_unknown = unknown.is_some_and(|unknown| ids.contains(&unknown));
                Ok((ids, has_unknown))
            }
        }
    }
}

fn bpe(tokenizer: &tokenizers::Tokenizer) -> Option<&BPE> {
    if let ModelWrapper::BPE(model) = tokenizer.get_model() { Some(model) } else { None }
}

/// Whether it is a vocabulary as CLIP's: every byte has a token, in a word and at its end, so that no text is unknown.
fn is_clip(model: &BPE) -> bool {
    let bytes = || (0..=u8::MAX).map(character);
    let whole = |token: &str| model.token_to_id(token).is_some();
    model.end_of_word_suffix.as_deref() == Some(END_OF_WORD)
        && bytes().all(|byte| whole(&byte.to_string()) && whole(&format!("{byte}{END_OF_WORD}")))
}

/// The bytes of a word, each as a character that can be seen.
fn printable(word: &str) -> String {
    word.bytes().map(character).collect()
}

/// The character that stands for a byte in vocabularies: itself if it can be seen in Latin-1, else the next free one from U+0100 on.
fn character(byte: u8) -> char {
    const HIDDEN_BELOW: u32 = 0x21;
    match byte {
        b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff => char::from(byte),
        hidden => {
            let place = match hidden {
                0..=b' ' => u32::from(hidden),
                0x7f..=0xa0 => HIDDEN_BELOW + u32::from(hidden) - 0x7f,
                _ => HIDDEN_BELOW + 0x22,
            };
            char::from_u32(0x100 + place).unwrap_or(char::REPLACEMENT_CHARACTER)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_a_character_of_its_own() {
        let mut all: Vec<char> = (0..=u8::MAX).map(character).collect();
        assert_eq!((all[0], all[usize::from(b' ')], all[0x7f], all[0xa0], all[0xad]), ('Ā', 'Ġ', 'ġ', 'ł', 'Ń'));
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 256);
        assert!(all.iter().all(|character| !character.is_control() && !character.is_whitespace()));
    }

    #[test]
    fn texts_are_split_as_simple_tokenizer_does() {
        let split = |text| WORDS.find_iter(text).map(|word| word.as_str()).collect::<Vec<_>>();
        assert_eq!(
            split("the dog's 24x <end_of_text>!? été"),
            ["the", "dog", "'s", "2", "4", "x", "<end_of_text>", "!?", "été"]
        );
        assert_eq!(split("<|endoftext|>"), ["<|", "endoftext", "|>"]);
        assert_eq!(split("a\u{345}b"), ["a", "\u{345}", "b"], "a mark that is a letter in another case");
    }
}
