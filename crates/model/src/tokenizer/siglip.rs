//! SigLIP's texts: canonical spelling, the rules of a `tokenizer.json`, padding to the whole context.

use std::path::Path;

use serde_json::Value;
use tokenizers::{PaddingParams, PaddingStrategy, TruncationParams};

use super::TextTokens;
use crate::error::{ClipError, Result};

/// What the vocabulary calls what it lacks.
const UNKNOWN: &str = "<unk>";

#[derive(Debug)]
pub(super) struct Siglip {
    inner: Box<tokenizers::Tokenizer>,
    unknown: Option<u32>,
}

impl Siglip {
    /// Reads `tokenizer.json`. `tokenizer_config.json` beside it names the padding token, unless the tokenizer itself does.
    pub(super) fn read(path: &Path, context_length: usize) -> Result<Self> {
        let failed = |source| ClipError::Tokenizer { path: path.to_owned(), source };
        let mut inner = tokenizers::Tokenizer::from_file(path).map_err(failed)?;
        let named = pad_token(&path.with_file_name("tokenizer_config.json"))?;
        let own = inner.get_padding().map(|padding| padding.pad_token.clone());
        let pad_token = named.or(own).ok_or_else(|| ClipError::Unsupported {
            path: path.to_owned(),
            what: "a tokenizer without padding".to_owned(),
            why: "texts are padded to the whole context: `tokenizer_config.json` beside it must name the `pad_token`",
        })?;
        let pad_id = inner
            .token_to_id(&pad_token)
            .ok_or(ClipError::NoSpecialToken { path: path.to_owned(), token: "pad_token" })?;
        let strategy = PaddingStrategy::Fixed(context_length);
        inner.with_padding(Some(PaddingParams { strategy, pad_id, pad_token, ..PaddingParams::default() }));
        let truncation = TruncationParams { max_length: context_length, ..TruncationParams::default() };
        inner.with_truncation(Some(truncation)).map_err(failed)?;
        let unknown = inner.token_to_id(UNKNOWN);
        Ok(Self { inner: Box::new(inner), unknown })
    }

    /// As many ids as the context has tokens.
    pub(super) fn encode(&self, text: &str) -> tokenizers::Result<TextTokens> {
        let encoding = self.inner.encode(canonical(&headspan_cleaning::clean(text)), true)?;
        let ids = encoding.get_ids().to_vec();
        let has_unknown = self.unknown.is_some_and(|unknown| ids.contains(&unknown));
        Ok(TextTokens { ids, is_cut: !encoding.get_overflowing().is_empty(), has_unknown })
    }
}

/// Lower case without punctuation, as `canonicalize_text` of OpenCLIP and Big Vision.
fn canonical(text: &str) -> String {
    let text = text.replace('_', " ");
    let plain: String = text.chars().filter(|character| !character.is_ascii_punctuation()).collect();
    plain.to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// `pad_token` of a `tokenizer_config.json`, a string or a described token; none without the file or the key.
fn pad_token(path: &Path) -> Result<Option<String>> {
    if !path.is_file() {
        return Ok(None);
    }
    let text = fs_err::read_to_string(path)?;
    let value: Value =
        serde_json::from_str(&text).map_err(|source| ClipError::Config { path: path.to_owned(), source })?;
    let token = &value["pad_token"];
    Ok(token.as_str().or_else(|| token["content"].as_str()).map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_become_canonical() {
        assert_eq!(canonical("A  Dog's_toy, (red)! "), "a dogs toy red");
        assert_eq!(canonical("…Été – œuvre"), "…été – œuvre", "ASCII punctuation alone");
    }
}
