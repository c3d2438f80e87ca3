//! Which tensors of a file are the model's, and what they are called in it.
//!
//! Training programs keep a model as a part of something else: below `state_dict`, `model`, `net` and whatever an author thought of.
//! No list knows them all. The first layer of the image tower tells where the model begins.

use std::collections::{BTreeMap, BTreeSet};

use super::CheckpointLayout;

/// The tensor that every image tower has, by layout; the first that fits counts.
const ANCHORS: [(CheckpointLayout, &str); 7] = [
    (CheckpointLayout::OpenClip, "visual.conv1.weight"),
    (CheckpointLayout::HuggingFace, "vision_model.embeddings.patch_embedding.weight"),
    (CheckpointLayout::Timm, "visual.trunk.patch_embed.proj.weight"),
    (CheckpointLayout::Timm, "patch_embed.proj.weight"),
    (CheckpointLayout::Vit, "embeddings.patch_embeddings.projection.weight"),
    // `DINOv3ViTModel`.
    (CheckpointLayout::Vit, "embeddings.patch_embeddings.weight"),
    // `SiglipVisionModel` by itself.
    (CheckpointLayout::VisionModel, "embeddings.patch_embedding.weight"),
];

/// Modules that wrap another one without a name of their own, wherever they stand: data-parallel training, `torch.compile`, shards
/// of weights, checkpoints of activations.
const WRAPPERS: [&str; 4] = ["module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"];

/// Parts of names that tell copies of a model from the model: averages and teachers.
const COPIES: [&str; 8] = ["ema", "average", "averaged", "avg", "swa", "teacher", "momentum", "shadow"];

/// A model found among the tensors of a file.
pub(super) struct Found<T> {
    pub(super) layout: CheckpointLayout,
    /// What stood before the names.
    pub(super) prefix: String,
    /// Other prefixes that a model stands below.
    pub(super) others: Vec<String>,
    /// Under the names that the model itself gives them.
    pub(super) tensors: BTreeMap<String, T>,
    /// Names of all other tensors but those of the other models.
    pub(super) dropped: Vec<String>,
}

/// The model; none if no tensor is the first layer of an image tower.
pub(super) fn model<T>(stored: BTreeMap<String, T>) -> Option<Found<T>> {
    let stored = without_wrappers(stored);
    let mut places: Vec<(CheckpointLayout, String)> = stored
        .keys()
        .filter_map(|name| ANCHORS.iter().find_map(|(layout, anchor)| Some((*layout, prefix(name, anchor)?))))
        .collect();
    places
        .sort_by_cached_key(|(_, prefix)| (!has_text(&stored, prefix), is_copy(prefix), prefix.len(), prefix.clone()));
    let mut places = places.into_iter();
    let (layout, prefix) = places.next()?;
    let others: Vec<String> = places.map(|(_, other)| other).collect();
    // A model may stand below another one: `model.teacher.` below `model.`.
    let of_another =
        |name: &str| others.iter().any(|other| !prefix.starts_with(other.as_str()) && name.starts_with(other.as_str()));
    let (mut tensors, mut dropped) = (BTreeMap::new(), Vec::new());
    for (name, tensor) in stored {
        match name.strip_prefix(&prefix) {
            _ if of_another(&name) => {}
            Some(own) => _ = tensors.insert(own.to_owned(), tensor),
            None => dropped.push(name),
        }
    }
    let tensors = text_beside(tensors);
    Some(Found { layout, prefix, others, tensors, dropped })
}

/// What stands before the anchor, up to a dot.
fn prefix(name: &str, anchor: &str) -> Option<String> {
    let prefix = name.strip_suffix(anchor)?;
    (prefix.is_empty() || prefix.ends_with('.')).then(|| prefix.to_owned())
}

fn has_text<T>(stored: &BTreeMap<String, T>, prefix: &str) -> bool {
    ["token_embedding.weight", "text.token_embedding.weight", "text_model.embeddings.token_embedding.weight"]
        .iter()
        .any(|token| stored.contains_key(&format!("{prefix}{token}")))
}

fn is_copy(prefix: &str) -> bool {
    let mut words = prefix.split(['.', '_', '-']).map(str::to_lowercase);
    words.any(|word| COPIES.contains(&word.as_str()))
}

/// Names without the wrappers in them, where that gives no name twice.
fn without_wrappers<T>(stored: BTreeMap<String, T>) -> BTreeMap<String, T> {
    let plain = |name: &str| -> String {
        name.split('.').filter(|part| !WRAPPERS.contains(part)).collect::<Vec<_>>().join(".")
    };
    let mut taken: BTreeSet<String> = BTreeSet::new();
    if !stored.keys().all(|name| taken.insert(plain(name))) {
        return stored;
    }
    stored.into_iter().map(|(name, tensor)| (plain(&name), tensor)).collect()
}

/// OpenCLIP's `custom_text` models have the text tower below `text.`, others have it beside `visual.`.
fn text_beside<T>(tensors: BTreeMap<String, T>) -> BTreeMap<String, T> {
    if !tensors.contains_key("text.token_embedding.weight") || tensors.contains_key("token_embedding.weight") {
        return tensors;
    }
    let beside = |name: String| name.strip_prefix("text.").map(str::to_owned).unwrap_or(name);
    tensors.into_iter().map(|(name, tensor)| (beside(name), tensor)).collect()
}

/// Whether a tensor that is left out may be a tower's, by its name.
pub(super) fn is_of_a_tower(name: &str) -> bool {
    // An optimizer's state carries the names of what it updates.
    let optimizer = ["optimizer", "exp_avg", "exp_avg_sq", "momentum_buffer"];
    let parts: Vec<&str> = name.split('.').collect();
    let towers =
        ["visual", "resblocks", "token_embedding", "text_projection", "ln_final", "vision_model", "text_model"];
    parts.iter().any(|part| towers.contains(part)) && !parts.iter().any(|part| optimizer.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPEN_CLIP: [&str; 3] = ["visual.conv1.weight", "token_embedding.weight", "ln_final.bias"];
    const HUGGING_FACE: [&str; 2] =
        ["vision_model.embeddings.patch_embedding.weight", "text_model.embeddings.token_embedding.weight"];

    fn found(names: impl IntoIterator<Item = String>) -> Option<Found<()>> {
        model(names.into_iter().map(|name| (name, ())).collect())
    }

    fn sorted(names: &[&str]) -> Vec<String> {
        let mut names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn any_prefix_is_found_by_the_first_layer() {
        for prefix in [
            "",
            "module.",
            "_orig_mod.module.",
            "state_dict.",
            "state_dict.model.",
            "model_state_dict.",
            "checkpoint.model.net.clip.",
            "base_model.model.",
            "whatever-its-author-thought.of.",
            "state_dict_ema.module.",
        ] {
            for (layout, names) in
                [(CheckpointLayout::OpenClip, &OPEN_CLIP[..]), (CheckpointLayout::HuggingFace, &HUGGING_FACE[..])]
            {
                let beside = ["optimizer.state.0.exp_avg".to_owned(), "epoch".to_owned()];
                let stored = names.iter().map(|name| format!("{prefix}{name}")).chain(beside);
                let found = found(stored).expect(prefix);
                let (own, rest): (Vec<&String>, Vec<&String>) =
                    found.tensors.keys().partition(|name| names.contains(&name.as_str()));
                assert_eq!((found.layout, own.len()), (layout, names.len()), "{prefix}");
                // Without a prefix nothing tells them apart; they are known by their names then.
                assert_eq!(found.dropped.len() + rest.len(), 2, "{prefix}");
                assert_eq!(rest.is_empty(), !found.prefix.is_empty(), "{prefix}");
            }
        }
    }

    #[test]
    fn wrappers_are_taken_out_of_the_middle_too() {
        let names = ["visual._orig_mod.conv1.weight", "module.token_embedding.weight", "ln_final.module.bias"];
        let found = found(names.map(|name| format!("state_dict.{name}"))).expect("a model");
        assert_eq!(found.tensors.into_keys().collect::<Vec<_>>(), sorted(&OPEN_CLIP));
    }

    #[test]
    fn of_several_models_the_one_with_a_text_tower_that_is_no_average_is_taken() {
        let model = |prefix: &str| OPEN_CLIP.map(|name| format!("{prefix}{name}"));
        let tower = |prefix: &str| [format!("{prefix}visual.conv1.weight")];
        let first = |names: Vec<String>| found(names).map(|found| (found.prefix, found.others)).expect("a model");
        let (prefix, others) = first([model("ema."), model("net.long.")].concat());
        assert_eq!((prefix.as_str(), others), ("net.long.", vec!["ema.".to_owned()]));
        let (prefix, _) = first([model("model.").to_vec(), tower("").to_vec()].concat());
        assert_eq!(prefix, "model.");
        let nested = [model("model."), model("model.teacher.")].concat();
        let found = found(nested).expect("a model");
        assert_eq!((found.prefix.as_str(), found.others), ("model.", vec!["model.teacher.".to_owned()]));
        assert_eq!((found.tensors.len(), found.dropped.len()), (OPEN_CLIP.len(), 0));
    }

    #[test]
    fn a_text_tower_below_text_stands_beside_then() {
        let names = ["visual.conv1.weight", "text.token_embedding.weight", "text.ln_final.bias", "logit_scale"];
        let found = found(names.map(str::to_owned)).expect("a model");
        assert_eq!(
            found.tensors.into_keys().collect::<Vec<_>>(),
            ["ln_final.bias", "logit_scale", "token_embedding.weight", "visual.conv1.weight"]
        );
    }

    #[test]
    fn a_name_that_only_ends_alike_is_no_first_layer() {
        assert!(found(["my_visual.conv1.weight".to_owned()]).is_none());
        assert!(found([]).is_none());
    }

    #[test]
    fn what_is_left_out_is_judged_by_its_name() {
        assert!(is_of_a_tower("ema.visual.proj") && is_of_a_tower("teacher.transformer.resblocks.0.ln_1.bias"));
        assert!(!is_of_a_tower("optimizer.state.visual.proj.exp_avg") && !is_of_a_tower("epoch"));
    }
}
