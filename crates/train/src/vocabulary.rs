use headspan_scenes::{World, descriptions};
use tokenizers::{
    AddedToken, Tokenizer,
    models::{TrainerWrapper, bpe::BpeTrainer},
    pre_tokenizers::byte_level::ByteLevel,
};

use crate::error::{Result, TrainError};

/// Captions that the merges are learned from, besides the pool.
const SCENES: u64 = 2_000;

/// A byte-level tokenizer of lower-case text before it has merges. Words begin with a mark instead of ending with CLIP's
/// `</w>`: the library numbers characters with a suffix in an order that changes from run to run.
const EMPTY: &str = r#"{
  "version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
  "normalizer": { "type": "Sequence", "normalizers": [
    { "type": "NFC" },
    { "type": "Replace", "pattern": { "Regex": "\\s+" }, "content": " " },
    { "type": "Lowercase" } ] },
  "pre_tokenizer": { "type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true },
  "post_processor": null,
  "decoder": { "type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true },
  "model": { "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
    "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
    "vocab": {}, "merges": [] }
}"#;

/// Learns byte-pair merges from captions of the world and its pool, and returns `tokenizer.json`.
pub(crate) fn tokenizer_json(world: &World, vocabulary: usize) -> Result<(String, usize)> {
    let failed = |source| TrainError::Tokenizer { source };
    let mut tokenizer = Tokenizer::from_bytes(EMPTY).map_err(failed)?;
    let trainer = BpeTrainer::builder()
        .vocab_size(vocabulary - 2)
        .min_frequency(2)
        .show_progress(false)
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
        .build();
    let several = World { captions: 4, ..*world };
    let captions = (0..SCENES).flat_map(|index| several.captions_of(index));
    let texts = captions.chain(descriptions().into_iter().map(|one| one.text));
    tokenizer.train(&mut TrainerWrapper::from(trainer), texts).map_err(failed)?;
    // The end token must have the highest id: that is how its place in a text is found.
    let special = ["<|startoftext|>", "<|endoftext|>"].map(|text| AddedToken::from(text, true));
    tokenizer.add_special_tokens(special).map_err(failed)?;
    let json = tokenizer.to_string(false).map_err(failed)?;
    Ok((json, tokenizer.get_vocab_size(true)))
}

#[cfg(test)]
mod tests {
    use headspan_model::{TextTokens, Tokenizer as ClipTokenizer};

    use super::*;

    #[test]
    fn the_world_is_spelled_in_few_tokens_and_twice_the_same() -> std::result::Result<(), Box<dyn std::error::Error>> {
        let (json, size) = tokenizer_json(&World::default(), 1_200)?;
        assert!(tokenizer_json(&World::default(), 1_200)?.0 == json, "other merges in another run");
        assert!((258..=1_200).contains(&size), "{size}");
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("tokenizer.json");
        fs_err::write(&path, json)?;
        let tokenizer = ClipTokenizer::read(&path, 48, size)?;
        let TextTokens { ids, is_cut, has_unknown } = tokenizer.encode("A photo of two large red striped boats")?;
        assert!(!is_cut && !has_unknown);
        // One token a word, and start and end.
        assert_eq!(ids.len(), 8 + 2, "{ids:?}");
        assert_eq!(ids.last(), ids.iter().max());
        Ok(())
    }
}
