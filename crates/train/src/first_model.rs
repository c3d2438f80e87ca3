//! Whether a model to begin with is of the recipe's architecture.

use std::path::Path;

use headspan_model::ClipConfig;
use serde_json::{Value, json};

use crate::error::{Result, TrainError};

/// Errors unless the model in `folder` has the configuration that the recipe gives. Shapes of weights alone do not say
/// how many heads there are, which activation, or how pixels are normalised.
pub(crate) fn same_architecture(folder: &Path, expected: &ClipConfig) -> Result<()> {
    let path = folder.join("open_clip_config.json");
    let found = ClipConfig::read(&path)?;
    if found == *expected {
        return Ok(());
    }
    let (mut one, mut other) = (found.to_open_clip(), expected.to_open_clip());
    if one == other {
        // The file has no key for the norms' epsilon, which follows from its layout.
        (one, other) = (json!({ "norm_epsilon": epsilons(&found) }), json!({ "norm_epsilon": epsilons(expected) }));
    }
    let (key, found, expected) = difference("", &one, &other);
    Err(TrainError::OtherModel { path, key, found, expected })
}

fn epsilons(config: &ClipConfig) -> [f64; 2] {
    [config.vision.norm_epsilon, config.text.norm_epsilon]
}

/// First key whose values differ, with dots between its parts, and both values.
fn difference(key: &str, found: &Value, expected: &Value) -> (String, String, String) {
    let members = found.as_object().zip(expected.as_object());
    let differing = members.and_then(|(found, expected)| {
        found.iter().find_map(|(key, value)| expected.get(key).filter(|other| *other != value).map(|o| (key, value, o)))
    });
    match differing {
        Some((part, found, expected)) if key.is_empty() => difference(part, found, expected),
        Some((part, found, expected)) => difference(&format!("{key}.{part}"), found, expected),
        None => (key.to_owned(), found.to_string(), expected.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::Recipe;

    type Outcome = std::result::Result<(), Box<dyn std::error::Error>>;

    fn message(found: &ClipConfig) -> std::result::Result<String, Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        fs_err::write(folder.path().join("open_clip_config.json"), found.to_open_clip().to_string())?;
        let refused = same_architecture(folder.path(), &Recipe::small().config(500));
        Ok(refused.err().map(|error| error.to_string()).unwrap_or_default())
    }

    #[test]
    fn what_shapes_do_not_show_is_compared() -> Outcome {
        let config = Recipe::small().config(500);
        assert_eq!(message(&config)?, "");
        let mut other = config.clone();
        other.vision.head_width = 16;
        let said = message(&other)?;
        assert!(
            said.contains("open_clip_config.json` says model_cfg.vision_cfg.head_width = 16, the recipe gives 8"),
            "{said}"
        );
        other = config.clone();
        other.text.heads = 2;
        assert!(message(&other)?.contains("model_cfg.text_cfg.heads = 2, the recipe gives 4"));
        other = config.clone();
        other.quick_gelu = true;
        assert!(message(&other)?.contains("model_cfg.quick_gelu = true, the recipe gives false"));
        other = config;
        other.preprocess.std = [0.25; 3];
        assert!(message(&other)?.contains("preprocess_cfg.std = [0.25,0.25,0.25]"));
        Ok(())
    }
}
