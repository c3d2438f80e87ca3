use std::thread;

use burn::{
    module::Module,
    optim::{GradientsAccumulator, GradientsParams},
    tensor::{Device, Tensor, TensorData, activation},
};
use headspan_model::burn::Clip;

use crate::{
    batch::Batch,
    error::{Result, TrainError},
};

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
    /// Classes of the images, where they have some.
    pub(crate) labels: Option<Vec<u32>>,
}

/// Features of a part of the batch, with the graph that made them.
struct Part {
    replica: Clip,
    images: Tensor<2>,
    texts: Tensor<2>,
    labels: Option<Vec<u32>>,
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
        let Batch { pixels, tokens, kept, labels } = batch;
        let images = match kept {
            None => replica.visual.encode(pixels),
            Some(kept) => replica.visual.encode_patches(pixels, kept),
        };
        let images = unit(images);
        let texts = unit(replica.text.encode(&tokens, device));
        Ok(Part { replica, images, texts, labels })
    })?;
    let leaf = |features: fn(&Part) -> &Tensor<2>| {
        let detached = encoded.iter().map(|part| features(part).clone().detach()).collect();
        Tensor::cat(detached, 0).require_grad()
    };
    let (images, texts) = (leaf(|part| &part.images), leaf(|part| &part.texts));
    let scale = model.logit_scale.val().clamp_max(LARGEST_SCALE.ln()).exp();
    let logits = images.clone().matmul(texts.clone().transpose()) * scale.unsqueeze();
    let of_parts: Option<Vec<&Vec<u32>>> = encoded.iter().map(|part| part.labels.as_ref()).collect();
    let labels: Option<Vec<u32>> = of_parts.map(|parts| parts.into_iter().flatten().copied().collect());
    let loss = symmetric_cross_entropy(&logits, labels.as_deref(), device);
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
    Ok(Contrast { loss, logits, gradients: sum.grads(), labels })
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

/// Images of one class belong to all texts of the class alike (arXiv 2204.03610); without classes each belongs to its own text alone.
fn symmetric_cross_entropy(logits: &Tensor<2>, labels: Option<&[u32]>, device: &Device) -> Tensor<1> {
    let [count, _] = logits.dims();
    let pairs: Tensor<2> = match labels {
        None => Tensor::eye(count, device),
        Some(labels) => Tensor::from_data(TensorData::new(shares(labels), [count, count]), device),
    };
    let toward = |axis: usize| (activation::log_softmax(logits.clone(), axis) * pairs.clone()).sum();
    (toward(0) + toward(1)).mul_scalar(-0.5 / count as f64)
}

/// Of each image, the share of each text of its class: rows, and as well columns, add up to one.
fn shares(labels: &[u32]) -> Vec<f32> {
    let mut shares = Vec::with_capacity(labels.len() * labels.len());
    for own in labels {
        let alike = labels.iter().filter(|label| *label == own).count() as f32;
        shares.extend(labels.iter().map(|label| if label == own { 1.0 / alike } else { 0.0 }));
    }
    shares
}

/// Share of images whose nearest text is their own, or of their own class.
pub(crate) fn accuracy(logits: Tensor<2>, labels: Option<&[u32]>) -> Result<f32> {
    let [count, _] = logits.dims();
    let what = "the similarities";
    let values: Vec<f32> =
        logits.into_data().try_into_vec().map_err(|error| TrainError::Device { what, source: error.into() })?;
    let is_own = |row: usize, column: usize| labels.map_or(row == column, |labels| labels[row] == labels[column]);
    let is_right = |(row, values): &(usize, &[f32])| {
        let largest = values.iter().fold(f32::NEG_INFINITY, |most, value| most.max(*value));
        values.iter().enumerate().any(|(column, value)| *value >= largest && is_own(*row, column))
    };
    let right = values.chunks_exact(count).enumerate().filter(is_right).count();
    Ok(right as f32 / count as f32)
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

    #[test]
    fn images_share_the_texts_of_their_class() {
        assert_eq!(shares(&[7, 3, 7]), [0.5, 0.0, 0.5, 0.0, 1.0, 0.0, 0.5, 0.0, 0.5]);
        assert_eq!(shares(&[1, 2]), [1.0, 0.0, 0.0, 1.0]);
    }

    #[test]
    fn the_text_of_another_image_of_the_class_is_right() -> std::result::Result<(), Box<dyn std::error::Error>> {
        let device = Device::flex();
        let logits = || {
            Tensor::from_data(TensorData::new(vec![0.0_f32, 1.0, 2.0, 1.0, 0.0, 0.0, 0.0, 5.0, 1.0], [3, 3]), &device)
        };
        assert!((accuracy(logits(), None)? - 0.0).abs() < 1e-6);
        // The first image's nearest text is the third's, of its own class.
        assert!((accuracy(logits(), Some(&[7, 3, 7]))? - 1.0 / 3.0).abs() < 1e-6);
        Ok(())
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
