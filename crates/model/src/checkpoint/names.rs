//! What training programs put before the names of a model's tensors.

use std::collections::BTreeMap;

/// Where a training checkpoint has the weights, beside the optimizer's state.
const NESTED: &str = "state_dict.";

/// Data-parallel training, `torch.compile` and a model kept as a part of another one.
const WRAPPERS: [&str; 3] = ["module.", "_orig_mod.", "clip."];

/// The model's tensors under the names that the model itself gives them.
pub(super) fn unwrapped<T>(mut tensors: BTreeMap<String, T>) -> BTreeMap<String, T> {
    if tensors.keys().any(|name| name.starts_with(NESTED)) {
        tensors = stripped(tensors, NESTED);
    }
    // They come in any order (`_orig_mod.module.`). One that only some names have is not a wrapper of the model.
    while let Some(wrapper) = wrapper(&tensors) {
        tensors = stripped(tensors, wrapper);
    }
    tensors
}

fn wrapper<T>(tensors: &BTreeMap<String, T>) -> Option<&'static str> {
    if tensors.is_empty() {
        return None;
    }
    WRAPPERS.into_iter().find(|wrapper| tensors.keys().all(|name| name.starts_with(wrapper)))
}

/// Those with the prefix, without it.
fn stripped<T>(tensors: BTreeMap<String, T>, prefix: &str) -> BTreeMap<String, T> {
    tensors
        .into_iter()
        .filter_map(|(name, tensor)| name.strip_prefix(prefix).map(|plain| (plain.to_owned(), tensor)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(stored: &[&str]) -> Vec<String> {
        unwrapped(stored.iter().map(|name| ((*name).to_owned(), ())).collect()).into_keys().collect()
    }

    #[test]
    fn what_all_names_share_is_stripped_in_any_order() {
        for prefix in ["", "module.", "_orig_mod.", "clip.", "_orig_mod.module.", "module._orig_mod.clip."] {
            for nested in ["", "state_dict."] {
                let stored = ["ln_final.bias", "visual.proj"].map(|name| format!("{nested}{prefix}{name}"));
                let stored = [stored[0].as_str(), stored[1].as_str()];
                assert_eq!(names(&stored), ["ln_final.bias", "visual.proj"], "{nested}{prefix}");
            }
        }
    }

    #[test]
    fn what_only_some_names_have_stays() {
        assert_eq!(names(&["clip.visual.proj", "visual.proj"]), ["clip.visual.proj", "visual.proj"]);
        assert_eq!(names(&[]), [""; 0]);
    }

    #[test]
    fn what_stands_beside_the_weights_is_dropped() {
        let stored = ["optimizer.state.0.exp_avg", "scaler.scale", "state_dict.module.visual.proj"];
        assert_eq!(names(&stored), ["visual.proj"]);
    }
}
