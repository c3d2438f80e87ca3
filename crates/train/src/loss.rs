use std::thread;

use burn::{
    module::Module,
    optim::{GradientsAccumulator, GradientsParams},
    tensor::{Device, Tensor, activation},
};
use headspan_model::burn::Clip;

use crate::{batch::Batch, error::Result};

/// Largest factor on cosine similarities, as CLIP bounds it.
const LARGEST_SCALE: f64 = 100.0;

/// What a step learns from its batch.
pub(crate) struct Contrast {
    /// Symmetric cross-entropy, `[1]`.
    pub(crate) loss: Tensor<1>,
    /// Cosine similarities times the scale: row an image, column a text, `[n, n]`.
    pub(crate) logits: Tensor<2>,
    /// Gradients of the loss by parameter.
    pub(crate) gradients: GradientsParams,
}

/// Features of a part of the batch, with the graph that made them.
struct Part {
    replica: Clip,
    images: Tensor<2>,
    texts: Tensor<2>,
}

/// The symmetric contrastive loss of CLIP (arXiv 2103.00020, section 2.3) with the learned temperature, and its gradients.
///
/// The parts of the batch go through the towers on a thread each, in graphs of their own. The loss needs all features at
/// once, so its gradient is first taken to the features and then, part by part, to the parameters, and summed in the order
/// of the parts: the same gradient as of the whole batch (arXiv 2101.06983, section 3), and the same bits in every run.
pub(crate) fn contrast(
    model: &Clip,
    parts: usize,
    render: impl Fn(usize) -> Result<Batch> + Sync,
    device: &Device,
) -> Result<Contrast> {
    let encoded = side_by_side((0..parts).collect(), |part| {
        let batch = render(part)?;
        let replica = model.clone().fork(device);
        let images = match batch.kept {
            None => replica.visual.encode(batch.pixels),
            Some(kept) => replica.visual.encode_patches(batch.pixels, kept),
        };
        let images = unit(images);
        let texts = unit(replica.text.encode(&batch.tokens, device));
        Ok(Part { replica, images, texts })
    })?;
    let leaf = |features: fn(&Part) -> &Tensor<2>| {
        let detached = encoded.iter().map(|part| features(part).clone().detach()).collect();
        Tensor::cat(detached, 0).require_grad()
    };
    let (images, texts) = (leaf(|part| &part.images), leaf(|part| &part.texts));
    let scale = model.logit_scale.val().clamp_max(LARGEST_SCALE.ln()).exp();
    let logits = images.clone().matmul(texts.clone().transpose()) * scale.unsqueeze();
    let loss = symmetric_cross_entropy(&logits, device);
    let mut gradients = loss.backward();
    let [toward_images, toward_texts] = [images, texts].map(|features| features.grad_remove(&mut gradients));
    let mut sum = GradientsAccumulator::new();
    sum.accumulate(model, GradientsParams::from_grads(gradients, model));
    if let (Some(toward_images), Some(toward_texts)) = (toward_images, toward_texts) {
        let mut first = 0;
        let mut pulls = Vec::with_capacity(parts);
        for part in encoded {
            let [rows, _] = part.images.dims();
            let pull = |toward: &Tensor<2>| toward.clone().narrow(0, first, rows);
            pulls.push((pull(&toward_images), pull(&toward_texts), part));
            first += rows;
        }
        let by_part = side_by_side(pulls, |(toward_images, toward_texts, part)| {
            let onto = |features: Tensor<2>, toward: Tensor<2>| (features * Tensor::from_inner(toward)).sum();
            let pull = onto(part.images, toward_images) + onto(part.texts, toward_texts);
            Ok(GradientsParams::from_grads(pull.backward(), &part.replica))
        })?;
        for gradients in by_part {
            sum.accumulate(model, gradients);
        }
    }
    Ok(Contrast { loss, logits, gradients: sum.grads() })
}

/// Does the pieces on a thread each; results in the order of the pieces.
fn side_by_side<P: Send, T: Send>(pieces: Vec<P>, work: impl Fn(P) -> Result<T> + Sync) -> Result<Vec<T>> {
    thread::scope(|scope| {
        let work = &work;
        let spawned = pieces.into_iter().map(|piece| thread::Builder::new().spawn_scoped(scope, move || work(piece)));
        let threads: Vec<_> = spawned.collect::<std::io::Result<_>>()?;
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    })
}

fn symmetric_cross_entropy(logits: &Tensor<2>, device: &Device) -> Tensor<1> {
    let [count, _] = logits.dims();
    let pairs: Tensor<2> = Tensor::eye(count, device);
    let toward = |axis: usize| (activation::log_softmax(logits.clone(), axis) * pairs.clone()).sum();
    (toward(0) + toward(1)).mul_scalar(-0.5 / count as f64)
}

/// Rows of length one.
fn unit(rows: Tensor<2>) -> Tensor<2> {
    let norm = rows.clone().powf_scalar(2.0).sum_dim(1).sqrt();
    rows / norm
}

#[cfg(test)]
mod tests {
    use headspan_model::Tokenizer;

    use super::*;
    use crate::{Architecture, Recipe, vocabulary::tokenizer_json};

    /// Gradient of the loss to the patch embedding, from so many parts, with a share of the patches left out.
    /// A recipe of so many parts, and its tokenizer's text and length.
    fn recipe(
        parts: usize,
        patch_dropout: f32,
    ) -> std::result::Result<(Recipe, String, usize), Box<dyn std::error::Error>> {
        let model = Architecture {
            embed_dim: 8,
            patch_size: 16,
            layers: 2,
            width: 16,
            head_width: 8,
            text_layers: 1,
            text_width: 16,
            text_heads: 2,
            context_length: 48,
            quick_gelu: false,
        };
        let recipe = Recipe { batch_size: 8, parts, patch_dropout, model, ..Recipe::small() };
        let (json, size) = tokenizer_json(&recipe.world, recipe.vocabulary)?;
        Ok((recipe, json, size))
    }

    fn gradient(
        model: &Clip,
        parts: usize,
        patch_dropout: f32,
    ) -> std::result::Result<Vec<f32>, Box<dyn std::error::Error>> {
        let (recipe, json, size) = recipe(parts, patch_dropout)?;
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("tokenizer.json");
        fs_err::write(&path, json)?;
        let tokenizer = Tokenizer::read(&path, 48, size)?;
        let (config, device) = (recipe.config(size), Device::flex().autodiff());
        let rows = 8 / parts;
        let render = |part: usize| {
            Batch::render(&recipe, &recipe.world, (part * rows) as u64, rows, &config, &tokenizer, &device)
        };
        let contrast = contrast(model, parts, render, &device)?;
        let gradient = contrast.gradients.get::<4>(model.visual.conv1.id).ok_or("no gradient")?;
        Ok(gradient.into_data().try_into_vec::<f32>().map_err(|error| format!("{error:?}"))?)
    }

    /// Float32 sums of 8 rows in two orders: 1e-5 of the largest value leaves two digits to spare.
    #[test]
    fn parts_give_the_gradient_of_the_whole() -> std::result::Result<(), Box<dyn std::error::Error>> {
        // One model for all: weights are drawn from a state that other tests draw from, too.
        let (recipe, _, size) = recipe(1, 0.0)?;
        let model = recipe.config(size).init(&Device::flex().autodiff());
        let _drawn = model.clone().into_record();
        for patch_dropout in [0.0, 0.5] {
            let whole = gradient(&model, 1, patch_dropout)?;
            let largest = whole.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
            assert!(largest > 0.0);
            for parts in [2, 4] {
                let apart = gradient(&model, parts, patch_dropout)?;
                let error =
                    whole.iter().zip(&apart).fold(0.0_f32, |error, (one, other)| error.max((one - other).abs()));
                assert!(error < 1e-5 * largest, "{parts} parts: {error} of {largest}");
            }
        }
        Ok(())
    }
}
