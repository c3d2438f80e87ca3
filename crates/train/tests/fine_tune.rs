//! Training a demo model further on images of three classes that it does not know.

use std::{
    error::Error,
    path::{Path, PathBuf},
};

use headspan_images::{Dataset, DatasetSettings};
use headspan_model::{ClipConfig, OpenDevice};
use headspan_train::{Beginning, FineTuner, FineTuning, Labelled, TrainError, TrainedBlocks};
use safetensors::SafeTensors;

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

fn model() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../data/demo/scenes-4")
}

/// Folders of classes: stripes of another direction each, in colours that say nothing.
fn images(root: &Path) -> Outcome {
    for (class, direction) in ["flarn", "quobble", "zint"].into_iter().enumerate() {
        fs_err::create_dir_all(root.join(direction))?;
        for number in 0..24_u32 {
            let place = root.join(direction).join(format!("{number:02}.png"));
            let tone = |shift: u32| (90 + (number * 37 + shift) % 120) as u8;
            let picture = image::RgbImage::from_fn(64, 64, |x, y| {
                let along = [x, y, x + y][class];
                let bright = (along + number) / 8 % 2 == 0;
                image::Rgb(if bright { [tone(0), tone(50), tone(90)] } else { [20, 20, 20] })
            });
            picture.save(&place)?;
        }
    }
    Ok(())
}

struct World {
    folder: tempfile::TempDir,
}

impl World {
    fn new() -> Outcome<Self> {
        let folder = tempfile::tempdir()?;
        images(&folder.path().join("images"))?;
        Ok(Self { folder })
    }

    fn tuner(&self, settings: &FineTuning, out: &str) -> Result<FineTuner, TrainError> {
        let path = self.folder.path().join("images");
        let dataset = Dataset::open(&DatasetSettings { path, ..DatasetSettings::default() }).expect("images are there");
        let (weights, tokenizer) = (model().join("open_clip_model.safetensors"), model().join("tokenizer.json"));
        let config = ClipConfig::read(&model().join("open_clip_config.json"))?;
        let beginning = Beginning { weights: &weights, config, tokenizer: &tokenizer };
        let out = self.folder.path().join(out);
        FineTuner::open(settings.clone(), beginning, Labelled::new(dataset)?, None, &out, OpenDevice::cpu())
    }

    fn weights(&self, out: &str) -> Outcome<Vec<u8>> {
        Ok(fs_err::read(self.folder.path().join(out).join("open_clip_model.safetensors"))?)
    }
}

fn settings() -> FineTuning {
    FineTuning {
        epochs: 6.0,
        batch_size: 16,
        parts: 2,
        learning_rate: 1e-3,
        held_out: 0.25,
        checkpoint_steps: 8,
        ..FineTuning::default()
    }
}

fn numbers(file: &[u8], tensor: &str) -> Outcome<Vec<f32>> {
    let tensors = SafeTensors::deserialize(file)?;
    Ok(tensors.tensor(tensor)?.data().as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
}

#[test]
fn a_model_learns_classes_that_it_did_not_know() -> Outcome {
    let world = World::new()?;
    let mut tuner = world.tuner(&settings(), "tuned")?;
    assert_eq!((tuner.images(), tuner.steps()), ((54, 18), 21));
    let before = tuner.measure(usize::MAX)?;
    while tuner.steps_done() < tuner.steps() {
        tuner.advance()?;
    }
    let after = tuner.finish()?;
    assert_eq!((before.images, after.images), (18, 18));
    assert!(after.right >= 16 && after.right > before.right, "{before:?} {after:?}");
    let measured: Vec<u64> =
        tuner.curve().iter().filter(|point| point.held_out.is_some()).map(|point| point.step).collect();
    assert_eq!(measured, [7, 15, 20]);
    Ok(())
}

#[test]
fn a_training_in_two_sittings_gives_the_weights_of_one() -> Outcome {
    let world = World::new()?;
    let settings = FineTuning { epochs: 3.0, crop: 0.5, flip: true, patch_dropout: 0.5, ..settings() };
    let mut whole = world.tuner(&settings, "whole")?;
    while whole.steps_done() < whole.steps() {
        whole.advance()?;
    }
    whole.finish()?;
    let mut first = world.tuner(&settings, "sittings")?;
    // Two steps behind the checkpoint, which are lost.
    while first.steps_done() < 10 {
        first.advance()?;
    }
    drop(first);
    let mut second = world.tuner(&settings, "sittings")?;
    assert_eq!(second.steps_done(), 8);
    while second.steps_done() < second.steps() {
        second.advance()?;
    }
    second.finish()?;
    assert!(world.weights("whole")? == world.weights("sittings")?);
    let other = FineTuning { learning_rate: 2e-3, ..settings };
    let refused = world.tuner(&other, "sittings").err().map(|error| error.to_string()).unwrap_or_default();
    assert!(refused.contains("differs in learning_rate"), "{refused}");
    Ok(())
}

#[test]
fn what_is_frozen_stays_and_the_rest_moves() -> Outcome {
    let world = World::new()?;
    let settings =
        FineTuning { epochs: 0.5, blocks: TrainedBlocks::Last(1), text_tower: false, weight_decay: 0.5, ..settings() };
    let mut tuner = world.tuner(&settings, "frozen")?;
    while tuner.steps_done() < tuner.steps() {
        tuner.advance()?;
    }
    tuner.finish()?;
    // Weights of half precision, as float32: the same numbers unless they were trained.
    let (before, after) = (fs_err::read(model().join("open_clip_model.safetensors"))?, world.weights("frozen")?);
    let half = |tensor: &str| -> Outcome<Vec<f32>> {
        let tensors = SafeTensors::deserialize(&before)?;
        let chunks = tensors.tensor(tensor)?.data().as_chunks().0.to_vec();
        Ok(chunks.into_iter().map(|bytes| half::f16::from_le_bytes(bytes).to_f32()).collect())
    };
    for (tensor, moves) in [
        ("visual.conv1.weight", false),
        ("visual.transformer.resblocks.2.mlp.c_fc.weight", false),
        ("token_embedding.weight", false),
        ("text_projection", false),
        ("visual.transformer.resblocks.3.mlp.c_fc.weight", true),
        ("visual.proj", true),
    ] {
        assert_eq!(half(tensor)? != numbers(&after, tensor)?, moves, "{tensor}");
    }
    Ok(())
}

#[test]
fn weights_are_written_on_the_way_that_the_settings_say() -> Outcome {
    let world = World::new()?;
    let mut written = Vec::new();
    for (out, interpolate) in [("none", 0.0), ("half", 0.5), ("all", 1.0)] {
        let mut tuner = world.tuner(&FineTuning { epochs: 0.5, interpolate, ..settings() }, out)?;
        while tuner.steps_done() < tuner.steps() {
            tuner.advance()?;
        }
        tuner.finish()?;
        written.push(numbers(&world.weights(out)?, "visual.proj")?);
    }
    let [none, half, all] = [&written[0], &written[1], &written[2]];
    let largest = all.iter().zip(none).fold(0.0_f32, |most, (one, other)| most.max((one - other).abs()));
    assert!(largest > 1e-5, "{largest}");
    for ((none, half), all) in none.iter().zip(half).zip(all) {
        assert!((half - (none + all) / 2.0).abs() < 1e-6);
    }
    Ok(())
}

#[test]
fn images_without_classes_are_refused() -> Outcome {
    let folder = tempfile::tempdir()?;
    images(&folder.path().join("images"))?;
    let flat = folder.path().join("images").join("zint");
    let dataset = Dataset::open(&DatasetSettings { path: flat, ..DatasetSettings::default() })?;
    let refused = Labelled::new(dataset).err().map(|error| error.to_string()).unwrap_or_default();
    assert!(refused.contains("has no class"), "{refused}");
    Ok(())
}
