use headspan_model::{LoadedModel, TokenBatch, Tokenizer};
use headspan_scenes::{Attributes, Combinations, Scene, World, categories, descriptions};
use rayon::prelude::*;

use crate::{
    batch::Batch,
    error::{Result, TrainError},
};

/// Scenes of one forward pass.
const BATCH: usize = 100;

/// Scenes among which a caption must find its own.
const CANDIDATES: usize = 100;

/// What a model is tried on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EvaluationSettings {
    /// Scenes of each test, a multiple of 100.
    pub scenes: usize,
    /// The world's seed: not that of the training.
    pub seed: u64,
    /// Share of plain scenes, see [`World::ease`].
    pub ease: f32,
    /// Share of scenes with a bystander, see [`World::bystanders`].
    pub bystanders: f32,
}

/// Zero-shot accuracy on one category.
#[derive(Debug, Clone, PartialEq)]
pub struct ZeroShot {
    /// Property category.
    pub category: &'static str,
    /// Values to choose from.
    pub values: usize,
    /// Scenes of combinations that training saw and whose value can be seen.
    pub seen_scenes: usize,
    /// Share classified right.
    pub seen: f64,
    /// Scenes of combinations of kind and colour that training never saw.
    pub unseen_scenes: usize,
    /// Share classified right.
    pub unseen: f64,
}

/// How well a trained model knows the world.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    /// One entry a category.
    pub zero_shot: Vec<ZeroShot>,
    /// Share of full captions whose own scene is the nearest of 100 (text to image).
    pub text_to_image: f64,
    /// Share of scenes whose own full caption is the nearest of 100.
    pub image_to_text: f64,
    /// Scenes of the retrieval.
    pub retrieval_scenes: usize,
}

/// A model and what it needs to read scenes and texts.
pub struct EvaluatedModel<'a> {
    /// The model.
    pub model: &'a LoadedModel,
    /// Its tokenizer.
    pub tokenizer: &'a Tokenizer,
}

/// Values of one category, each with the unit mean of its descriptions' features.
type Prompts = Vec<(&'static str, Vec<f32>)>;

impl EvaluatedModel<'_> {
    /// Tries the model on scenes that training never saw.
    pub fn evaluate(&self, settings: &EvaluationSettings) -> Result<Evaluation> {
        let prompts = self.prompts()?;
        let world = |combinations| World {
            seed: settings.seed,
            pixels: self.model.vision().geometry().image_size as u32,
            combinations,
            ease: settings.ease,
            bystanders: settings.bystanders,
            captions: 0,
            ..World::default()
        };
        let (seen, unseen) = (world(Combinations::Seen), world(Combinations::Unseen));
        let seen_counts = self.counts(&seen, settings.scenes, &prompts)?;
        let unseen_counts = self.counts(&unseen, settings.scenes, &prompts)?;
        let share = |(right, scenes): (usize, usize)| right as f64 / scenes.max(1) as f64;
        let zero_shot = categories()
            .iter()
            .enumerate()
            .map(|(at, category)| ZeroShot {
                category,
                values: prompts[at].len(),
                seen_scenes: seen_counts[at].1,
                seen: share(seen_counts[at]),
                unseen_scenes: unseen_counts[at].1,
                unseen: share(unseen_counts[at]),
            })
            .collect();
        let (text_to_image, image_to_text) = self.retrieval(&seen, settings.scenes)?;
        Ok(Evaluation { zero_shot, text_to_image, image_to_text, retrieval_scenes: settings.scenes })
    }

    /// Unit mean of each value's descriptions, by category.
    fn prompts(&self) -> Result<Vec<Prompts>> {
        let all = descriptions();
        let texts: Vec<&str> = all.iter().map(|one| one.text.as_str()).collect();
        let embeddings = self.texts(&texts)?;
        let mut prompts: Vec<Prompts> = vec![Vec::new(); Attributes::CATEGORIES];
        for (one, embedding) in all.iter().zip(embeddings) {
            let at = categories().iter().position(|category| *category == one.category).unwrap_or_default();
            match prompts[at].last_mut() {
                Some((value, sum)) if *value == one.value => {
                    sum.iter_mut().zip(&embedding).for_each(|(sum, x)| *sum += x);
                }
                _ => prompts[at].push((one.value, embedding)),
            }
        }
        for (_, sum) in prompts.iter_mut().flatten() {
            unit(sum, "text")?;
        }
        Ok(prompts)
    }

    /// Right answers and scenes of each category.
    fn counts(&self, world: &World, scenes: usize, prompts: &[Prompts]) -> Result<Vec<(usize, usize)>> {
        let mut counts = vec![(0, 0); prompts.len()];
        for first in (0..scenes).step_by(BATCH) {
            let drawn = drawn(world, first, BATCH.min(scenes - first));
            let images = self.images(&drawn)?;
            for (scene, image) in drawn.iter().zip(images) {
                for (at, (category, value)) in scene.attributes.table().iter().enumerate() {
                    if !scene.attributes.shows(category) {
                        continue;
                    }
                    let score = |text: &Vec<f32>| product(text, &image);
                    let best = prompts[at].iter().max_by(|one, other| score(&one.1).total_cmp(&score(&other.1)));
                    counts[at].0 += usize::from(best.is_some_and(|(found, _)| found == value));
                    counts[at].1 += 1;
                }
            }
        }
        Ok(counts)
    }

    /// Recall at 1 of full captions among 100 scenes, and of scenes among 100 full captions.
    fn retrieval(&self, world: &World, scenes: usize) -> Result<(f64, f64)> {
        let (mut to_image, mut to_text) = (0_usize, 0_usize);
        let groups = scenes / CANDIDATES;
        for group in 0..groups {
            let drawn = drawn(world, group * CANDIDATES, CANDIDATES);
            let images = self.images(&drawn)?;
            let captions: Vec<&str> = drawn.iter().map(|scene| scene.full_caption.as_str()).collect();
            let texts = self.texts(&captions)?;
            let nearest = |one: &[f32], all: &[Vec<f32>]| -> Option<usize> {
                (0..all.len()).max_by(|a, b| product(one, &all[*a]).total_cmp(&product(one, &all[*b])))
            };
            to_image += texts.iter().enumerate().filter(|(at, text)| nearest(text, &images) == Some(*at)).count();
            to_text += images.iter().enumerate().filter(|(at, image)| nearest(image, &texts) == Some(*at)).count();
        }
        let all = (groups * CANDIDATES).max(1) as f64;
        Ok((to_image as f64 / all, to_text as f64 / all))
    }

    /// Unit image features.
    fn images(&self, scenes: &[Scene]) -> Result<Vec<Vec<f32>>> {
        let vision = self.model.vision();
        let features = vision.encode(Batch::values(scenes, vision.preprocess()))?;
        rows(&features, scenes.len(), "image")
    }

    /// Unit text features.
    fn texts(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>> {
        let mut all = Vec::with_capacity(texts.len());
        for some in texts.chunks(BATCH) {
            let tokens: Vec<Vec<u32>> =
                some.iter().map(|text| Ok(self.tokenizer.encode(text)?.ids)).collect::<Result<_>>()?;
            all.extend(rows(&self.model.encode_texts(&TokenBatch::new(&tokens))?, some.len(), "text")?);
        }
        Ok(all)
    }
}

fn drawn(world: &World, first: usize, count: usize) -> Vec<Scene> {
    (first..first + count).into_par_iter().map(|index| world.scene(index as u64)).collect()
}

/// Rows of unit length, of features `[count, d]`.
pub(crate) fn rows(features: &[f32], count: usize, what: &'static str) -> Result<Vec<Vec<f32>>> {
    let mut rows: Vec<Vec<f32>> = features.chunks_exact(features.len() / count).map(<[f32]>::to_vec).collect();
    for row in &mut rows {
        unit(row, what)?;
    }
    Ok(rows)
}

/// Divides by the norm. Without one, every product would be NaN and some answer still the largest.
pub(crate) fn unit(row: &mut [f32], what: &'static str) -> Result<()> {
    let norm = product(row, row).sqrt();
    if !norm.is_finite() || norm <= 0.0 {
        return Err(TrainError::Features { what, norm });
    }
    for x in row.iter_mut() {
        *x /= norm;
    }
    Ok(())
}

pub(crate) fn product(one: &[f32], other: &[f32]) -> f32 {
    one.iter().zip(other).map(|(x, y)| x * y).sum()
}

#[cfg(test)]
mod tests {
    use headspan_model::{OpenDevice, burn::Clip};

    use super::*;
    use crate::{recipe::Recipe, vocabulary::tokenizer_json};

    type Outcome = std::result::Result<(), Box<dyn std::error::Error>>;

    #[test]
    fn a_model_without_finite_features_has_no_figures() -> Outcome {
        let (device, folder, recipe) = (OpenDevice::cpu(), tempfile::tempdir()?, Recipe::small());
        let (json, size) = tokenizer_json(&recipe.world, recipe.vocabulary)?;
        let path = folder.path().join("tokenizer.json");
        fs_err::write(&path, json)?;
        let tokenizer = Tokenizer::read(&path, recipe.model.context_length, size)?;
        let config = recipe.config(size);
        let model = config.init(device.burn());
        let evaluated = |model: &Clip| {
            let settings = EvaluationSettings { scenes: 100, seed: 5, ease: 0.0, bystanders: 0.0 };
            let model = LoadedModel::of_modules(model.clone(), &config, device.clone());
            EvaluatedModel { model: &model, tokenizer: &tokenizer }.evaluate(&settings)
        };
        assert_eq!(evaluated(&model)?.retrieval_scenes, 100, "random weights are weights");
        for factor in [f32::NAN, f32::INFINITY, 0.0] {
            let mut images = model.clone();
            images.visual.proj = images.visual.proj.map(|weights| weights * factor);
            let found = evaluated(&images);
            assert!(matches!(found, Err(TrainError::Features { what: "image", .. })), "{factor}: {found:?}");
            let mut texts = model.clone();
            texts.text.text_projection = texts.text.text_projection.map(|weights| weights * factor);
            let found = evaluated(&texts);
            assert!(matches!(found, Err(TrainError::Features { what: "text", .. })), "{factor}: {found:?}");
        }
        Ok(())
    }
}
