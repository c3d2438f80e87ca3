//! Accuracy on images that no step sees.

use headspan_model::{LoadedModel, Precision, TokenBatch, Tokenizer, TraceRequest};
use rayon::prelude::*;

use crate::{
    error::Result,
    evaluate::{product, rows, unit},
    fine_tune::{Labelled, pictures::pixels},
};

/// Images of one forward pass.
const BATCH: usize = 128;

/// How many images a model puts into their own class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeldOut {
    /// Images whose nearest class is their own.
    pub right: usize,
    /// Images that could be read.
    pub images: usize,
}

impl HeldOut {
    /// Share of the images; none without images.
    pub fn accuracy(&self) -> Option<f64> {
        (self.images > 0).then(|| self.right as f64 / self.images as f64)
    }
}

/// Zero-shot classification of some images: a class is the unit mean of the features of its captions, and an image belongs to the nearest.
pub fn held_out(
    model: &LoadedModel,
    tokenizer: &Tokenizer,
    labelled: &Labelled,
    templates: &[String],
    images: &[u32],
) -> Result<HeldOut> {
    let classes = class_features(model, tokenizer, labelled.names(), templates)?;
    let pass = model.vision_pass(Precision::Float32)?;
    let preprocess = *model.vision().preprocess();
    let mut counts = HeldOut { right: 0, images: 0 };
    for some in images.chunks(BATCH) {
        let read = |image: &u32| Some((*image, pixels(&labelled.picture(*image as usize)?, &preprocess)));
        let found: Vec<(u32, Vec<f32>)> = some.par_iter().filter_map(read).collect();
        if found.is_empty() {
            continue;
        }
        let all: Vec<f32> = found.iter().flat_map(|(_, pixels)| pixels).copied().collect();
        let features = pass.trace(all, &TraceRequest::default())?.representation;
        for ((image, _), feature) in found.iter().zip(rows(&features, found.len(), "image")?) {
            let nearest = (0..classes.len())
                .max_by(|one, other| product(&classes[*one], &feature).total_cmp(&product(&classes[*other], &feature)));
            counts.right += usize::from(nearest == Some(labelled.class(*image as usize) as usize));
            counts.images += 1;
        }
    }
    Ok(counts)
}

/// Unit features of the classes, each `[d]`.
fn class_features(
    model: &LoadedModel,
    tokenizer: &Tokenizer,
    names: &[String],
    templates: &[String],
) -> Result<Vec<Vec<f32>>> {
    names
        .iter()
        .map(|name| {
            let encoded = templates.iter().map(|template| Ok(tokenizer.encode(&template.replace("{}", name))?.ids));
            let tokens: Vec<Vec<u32>> = encoded.collect::<Result<_>>()?;
            let features = rows(&model.encode_texts(&TokenBatch::new(&tokens))?, tokens.len(), "text")?;
            let mut mean = vec![0.0; features[0].len()];
            for row in &features {
                mean.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
            }
            unit(&mut mean, "text")?;
            Ok(mean)
        })
        .collect()
}
