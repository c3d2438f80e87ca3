mod class_rows;
mod siglip;
mod words;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde::Deserialize;

pub(crate) use self::class_rows::ClassRows;
use self::{siglip::Siglip, words::Words};
use crate::{
    error::{ClipError, Result},
    families::{TextLimits, TokenStyle},
};

const START: &str = "<|startoftext|>";
const END: &str = "<|endoftext|>";

/// A model's tokenizer, from its `tokenizer.json`: CLIP's or SigLIP's. CLIP's: Texts are cleaned as OpenCLIP cleans them. With CLIP's own vocabulary the ids are
/// those of OpenCLIP's `SimpleTokenizer`, whatever else the file says; with another one, its rules count.
#[derive(Debug)]
pub struct Tokenizer {
    path: PathBuf,
    rules: Rules,
    context_length: usize,
    vocab_size: usize,
}

/// How a text becomes ids.
#[derive(Debug)]
enum Rules {
    Clip { words: Words, start: u32, end: u32 },
    Siglip(Siglip),
}

/// The tokens of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextTokens {
    /// Start token, the text's tokens, end token; of SigLIP the text's tokens, end token, padding.
    pub ids: Vec<u32>,
    /// Whether the text is longer than the context, so that its end was cut off.
    pub is_cut: bool,
    /// Whether the vocabulary lacks a part of the text, so that the tokens stand for another text.
    pub has_unknown: bool,
}

/// Token ids of some texts, padded at the end to the longest of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenBatch {
    ids: Vec<i32>,
    ends: Vec<usize>,
    length: usize,
}

impl TokenBatch {
    /// Pads rows of ids. The end token is the first of the highest id, as OpenCLIP finds it (`argmax`).
    ///
    /// # Panics
    /// If there is no row, or an empty one.
    pub fn new(rows: &[Vec<u32>]) -> Self {
        let ends: Vec<usize> = rows.iter().map(|row| first_maximum(row)).collect();
        // Rows from PyTorch come padded to the context length; only what stands up to the end token can matter.
        let length = ends.iter().max().map_or(0, |end| end + 1);
        assert!(length > 0, "a batch of texts must not be empty");
        let ids = rows.iter().flat_map(|row| (0..length).map(move |i| row.get(i).map_or(0, |id| *id as i32))).collect();
        Self { ids, ends, length }
    }

    /// Rows of equally many ids that all count, the padding too: a text's feature is taken at the last.
    ///
    /// # Panics
    /// If there is no row, or if rows differ in length.
    pub fn padded(rows: &[Vec<u32>]) -> Self {
        let length = rows.first().map_or(0, Vec::len);
        assert!(length > 0 && rows.iter().all(|row| row.len() == length), "rows must be equally long, and not empty");
        let ids = rows.iter().flatten().map(|id| *id as i32).collect();
        Self { ids, ends: vec![length - 1; rows.len()], length }
    }

    /// Ids, `[texts, length]` row-major, zero after a text's end.
    pub fn ids(&self) -> &[i32] {
        &self.ids
    }

    /// Position of each text's end token.
    pub fn ends(&self) -> &[usize] {
        &self.ends
    }

    /// Ids of one text up to its end token.
    pub fn text(&self, number: usize) -> &[i32] {
        &self.ids[number * self.length..][..=self.ends[number]]
    }

    /// Number of texts.
    pub fn texts(&self) -> usize {
        self.ends.len()
    }

    /// Tokens of the longest text.
    pub fn length(&self) -> usize {
        self.length
    }
}

fn first_maximum(row: &[u32]) -> usize {
    let mut best = 0;
    for (position, id) in row.iter().enumerate() {
        if *id > row[best] {
            best = position;
        }
    }
    best
}

/// The ids of a `tokenizer.json`; making the tokenizer takes many times as long as reading them.
#[derive(Deserialize)]
struct RawTokenizer {
    #[serde(default)]
    added_tokens: Vec<RawToken>,
    model: RawModel,
}

#[derive(Deserialize)]
struct RawToken {
    id: u32,
    content: String,
}

#[derive(Deserialize)]
struct RawModel {
    vocab: BTreeMap<String, u32>,
}

/// The end token's id in a `tokenizer.json`, and the tokens with higher ids in the order of their ids.
pub(crate) fn ids_above_end(path: &Path) -> Result<(u32, Vec<(u32, String)>)> {
    let text = fs_err::read_to_string(path)?;
    let raw: RawTokenizer = serde_json::from_str(&text)
        .map_err(|source| ClipError::Tokenizer { path: path.to_owned(), source: source.into() })?;
    let mut ids = raw.model.vocab;
    ids.extend(raw.added_tokens.into_iter().map(|token| (token.content, token.id)));
    let missing = || ClipError::NoSpecialToken { path: path.to_owned(), token: END };
    let end = ids.get(END).copied().ok_or_else(missing)?;
    let mut above: Vec<(u32, String)> =
        ids.into_iter().filter(|(_, id)| *id > end).map(|(token, id)| (id, token)).collect();
    above.sort_unstable();
    Ok((end, above))
}

/// Whether a text may have other tokens than by the rules of a `tokenizer.json` alone: it is cleaned, has a special token's name, or a
/// capital sigma, whose lower case depends on its place.
pub fn is_tokenized_anew(text: &str) -> bool {
    let has_special =
        || ["<|", "<start_of_text>", "<end_of_text>"].iter().any(|name| text.to_lowercase().contains(name));
    headspan_cleaning::is_changed(text) || text.contains('Σ') || has_special()
}

impl Tokenizer {
    /// Reads the tokenizer of a model by what its configuration says of texts. An error for a way that headspan does not know.
    pub fn of(path: &Path, text: &TextLimits) -> Result<Self> {
        match text.tokens {
            TokenStyle::Clip => Self::read(path, text.context_length, text.vocab_size),
            TokenStyle::Siglip => Ok(Self {
                path: path.to_owned(),
                rules: Rules::Siglip(Siglip::read(path, text.context_length)?),
                context_length: text.context_length,
                vocab_size: text.vocab_size,
            }),
            TokenStyle::Unknown => Err(ClipError::Unsupported {
                path: path.to_owned(),
                what: "the tokenizer".to_owned(),
                why: "texts become tokens as CLIP's or SigLIP's",
            }),
        }
    }

    /// Reads `tokenizer.json`. `context_length` and `vocab_size` are the model's.
    pub fn read(path: &Path, context_length: usize, vocab_size: usize) -> Result<Self> {
        let failed = |source| ClipError::Tokenizer { path: path.to_owned(), source };
        let mut inner = tokenizers::Tokenizer::from_file(path).map_err(failed)?;
        // Truncation and padding of the file are for other programs; ours keep the end token.
        inner.with_padding(None);
        inner.with_truncation(None).map_err(failed)?;
        let special = |token: &'static str| {
            inner.token_to_id(token).ok_or_else(|| ClipError::NoSpecialToken { path: path.to_owned(), token })
        };
        let (start, end) = (special(START)?, special(END)?);
        let rules = Rules::Clip { words: Words::new(inner, start, end), start, end };
        Ok(Self { path: path.to_owned(), rules, context_length, vocab_size })
    }

    /// Ids of a text. CLIP's are start token, the text's tokens and end token, truncated to the context length with the end token kept;
    /// SigLIP's are as many as the context has.
    pub fn encode(&self, text: &str) -> Result<TextTokens> {
        let failed = |source| ClipError::Tokenizer { path: self.path.clone(), source };
        let tokens = match &self.rules {
            Rules::Siglip(siglip) => siglip.encode(text).map_err(failed)?,
            Rules::Clip { words, start, end } => {
                let (own, has_unknown) = words.ids(text).map_err(failed)?;
                let kept = own.len().min(self.context_length - 2);
                let mut ids = Vec::with_capacity(kept + 2);
                ids.push(*start);
                ids.extend_from_slice(&own[..kept]);
                ids.push(*end);
                TextTokens { ids, is_cut: kept < own.len(), has_unknown }
            }
        };
        match tokens.ids.iter().find(|id| **id as usize >= self.vocab_size) {
            Some(&id) => {
                Err(ClipError::TokenOutOfVocabulary { text: text.to_owned(), id, vocabulary: self.vocab_size })
            }
            None => Ok(tokens),
        }
    }

    /// A batch of what [`Tokenizer::encode`] gave.
    ///
    /// # Panics
    /// If there is no row.
    pub fn batch(&self, rows: &[Vec<u32>]) -> TokenBatch {
        match self.rules {
            Rules::Clip { .. } => TokenBatch::new(rows),
            Rules::Siglip(_) => TokenBatch::padded(rows),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_the_first_highest_id_and_padding_is_dropped() {
        let batch = TokenBatch::new(&[vec![5, 1, 9, 0, 0, 0], vec![5, 1, 2, 9, 0, 9]]);
        assert_eq!(batch.ends(), [2, 3]);
        assert_eq!(batch.length(), 4);
        assert_eq!(batch.ids(), [5, 1, 9, 0, 5, 1, 2, 9]);
        assert_eq!((batch.text(0), batch.text(1)), (&[5, 1, 9][..], &[5, 1, 2, 9][..]));
    }
}
