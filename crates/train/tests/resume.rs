//! A training that was interrupted ends with the weights of one that was not.

use std::path::{Path, PathBuf};

use headspan_model::OpenDevice;
use headspan_train::{Architecture, Recipe, TrainError, Trainer};

type Outcome = Result<(), Box<dyn std::error::Error>>;

const RECIPE: &str = r#"{
    "seed": 1, "steps": 7, "batch_size": 8, "parts": 2, "learning_rate": 1e-3, "warmup_steps": 2, "easy_steps": 3, "weight_decay": 0.01,
    "beta_2": 0.98, "patch_dropout": 0.25, "clip_norm": 1.0, "checkpoint_steps": 2, "vocabulary": 700,
    "world": { "seed": 1, "pixels": 32 },
    "model": { "embed_dim": 16, "patch_size": 16, "layers": 2, "width": 32, "head_width": 8, "text_layers": 1,
               "text_width": 32, "text_heads": 4, "context_length": 48 }
}"#;

fn recipe() -> Result<Recipe, serde_json::Error> {
    serde_json::from_str(RECIPE)
}

/// Trains to the end and returns the weights in float32.
fn finished(mut trainer: Trainer) -> Result<Vec<u8>, TrainError> {
    let steps = trainer.recipe().steps;
    while trainer.steps_done() < steps {
        trainer.advance()?;
    }
    trainer.finish()?;
    trainer.weights()
}

#[test]
fn a_killed_training_ends_with_the_same_bits() -> Outcome {
    let (device, folder) = (OpenDevice::cpu(), tempfile::tempdir()?);
    let whole = finished(Trainer::open(recipe()?, &folder.path().join("whole"), &device)?)?;
    let own = folder.path().join("killed");
    let mut trainer = Trainer::open(recipe()?, &own, &device)?;
    let untrained = trainer.weights()?;
    for _ in 0..5 {
        trainer.advance()?;
    }
    // Dropped after five steps without a word: the checkpoint is of four.
    drop(trainer);
    let trainer = Trainer::open(recipe()?, &own, &device)?;
    assert_eq!(trainer.steps_done(), 4);
    assert!(finished(trainer)? == whole, "the weights differ");
    assert!(untrained != whole, "nothing was learned");
    for name in ["open_clip_config.json", "open_clip_model.safetensors", "tokenizer.json"] {
        assert!(fs_err::read(own.join(name))? == fs_err::read(folder.path().join("whole").join(name))?, "{name}");
    }
    Ok(())
}

#[test]
fn another_recipe_does_not_continue_a_training() -> Outcome {
    let (device, folder) = (OpenDevice::cpu(), tempfile::tempdir()?);
    Trainer::open(recipe()?, folder.path(), &device)?.save()?;
    let other = Recipe { learning_rate: 2e-3, ..recipe()? };
    let message = Trainer::open(other, folder.path(), &device).err().map(|error| error.to_string()).unwrap_or_default();
    assert!(message.contains("training.tar") && message.contains("learning_rate"), "{message}");
    fs_err::write(folder.path().join("training.tar"), b"not a tar file")?;
    let message =
        Trainer::open(recipe()?, folder.path(), &device).err().map(|error| error.to_string()).unwrap_or_default();
    assert!(message.contains("not a readable training checkpoint"), "{message}");
    Ok(())
}

#[test]
fn a_training_goes_on_from_a_finished_model() -> Outcome {
    let (device, folder) = (OpenDevice::cpu(), tempfile::tempdir()?);
    let first = folder.path().join("first");
    finished(Trainer::open(recipe()?, &first, &device)?)?;
    let other = Recipe { seed: 2, begin_with: Some(first.clone()), ..recipe()? };
    let trainer = Trainer::open(other.clone(), &folder.path().join("second"), &device)?;
    // Nothing but the file's float16 lies between the two, and rounding to it twice is rounding once.
    trainer.finish()?;
    let weights = |folder: &str| fs_err::read(folder_of(&first, folder).join("open_clip_model.safetensors"));
    assert!(weights("first")? == weights("second")?, "the second training begins elsewhere");
    assert!(finished(trainer)? != finished(Trainer::open(recipe()?, &first, &device)?)?, "it learned nothing more");

    let wider = Recipe { model: Architecture { width: 64, ..other.model }, ..other.clone() };
    let refused = Trainer::open(wider, &folder.path().join("third"), &device);
    let message = refused.err().map(|error| error.to_string()).unwrap_or_default();
    assert!(message.contains("vision_cfg.width = 32, the recipe gives 64"), "{message}");
    // Every weight fits more heads and the other activation.
    let narrower = Recipe { model: Architecture { head_width: 4, ..other.model }, ..other.clone() };
    let refused = Trainer::open(narrower, &folder.path().join("fourth"), &device).err();
    assert!(
        matches!(&refused, Some(TrainError::OtherModel { key, .. }) if key == "model_cfg.vision_cfg.head_width"),
        "{refused:?}"
    );
    let quick = Recipe { model: Architecture { quick_gelu: true, ..other.model }, ..other };
    let refused = Trainer::open(quick, &folder.path().join("fifth"), &device).err();
    assert!(
        matches!(&refused, Some(TrainError::OtherModel { key, .. }) if key == "model_cfg.quick_gelu"),
        "{refused:?}"
    );
    assert!(!folder.path().join("fifth/tokenizer.json").exists());
    Ok(())
}

#[test]
fn weights_that_are_not_finite_are_no_finished_model() -> Outcome {
    let (device, folder) = (OpenDevice::cpu(), tempfile::tempdir()?);
    // The loss of the only step is that of the weights before it; after it they are about a million.
    let recipe = Recipe { steps: 1, warmup_steps: 0, learning_rate: 1e6, checkpoint_steps: 5, ..recipe()? };
    let refused = finished(Trainer::open(recipe, folder.path(), &device)?);
    assert!(matches!(refused, Err(TrainError::Weights { .. })), "{:?}", refused.map(|weights| weights.len()));
    for name in ["open_clip_config.json", "open_clip_model.safetensors", "training.tar"] {
        assert!(!folder.path().join(name).exists(), "{name}");
    }
    Ok(())
}

fn folder_of(sibling: &Path, name: &str) -> PathBuf {
    sibling.with_file_name(name)
}

/// Both demo models are what `configs/train/scenes-4-patches.toml` and `scenes-6-patches.toml` describe.
#[test]
fn the_demo_models_can_be_begun_with() -> Outcome {
    let (device, folder) = (OpenDevice::cpu(), tempfile::tempdir()?);
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/demo");
    let towers = Architecture {
        embed_dim: 96,
        patch_size: 8,
        layers: 4,
        width: 128,
        head_width: 16,
        text_layers: 3,
        text_width: 96,
        text_heads: 4,
        context_length: 48,
        quick_gelu: false,
    };
    let narrow = Architecture { layers: 6, width: 96, quick_gelu: true, ..towers };
    for (name, model) in [("scenes-4", towers), ("scenes-6", narrow)] {
        let mut recipe = Recipe { begin_with: Some(demo.join(name)), model, ..recipe()? };
        recipe.world.pixels = 64;
        Trainer::open(recipe, &folder.path().join(name), &device)?.finish()?;
        let weights = |folder: &Path| fs_err::read(folder.join(name).join("open_clip_model.safetensors"));
        assert!(weights(&demo)? == weights(folder.path())?, "{name}: the weights differ");
    }
    Ok(())
}
