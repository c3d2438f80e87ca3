//! Tensors that no pass needs to know, taken into those that every pass has.

use std::collections::BTreeMap;

use super::{POSITIONS, inner_norms::fold_inner_norms, query_pool::fold_queries, weights::Weights};
use crate::families::{Parts, Pooling, clip::VisionConfig};

type Tensors = BTreeMap<String, Weights>;

/// From the tensors of a checkpoint under OpenCLIP's names to those of the modules. Of a tower that is built as OpenAI's they are the
/// same.
pub(super) fn folded(mut tensors: Tensors, parts: &Parts<'_>) -> Tensors {
    fold_inner_norms(&mut tensors);
    scale_updates(&mut tensors);
    let vision = parts.vision;
    match vision.shape.pooling {
        Pooling::Attention { .. } => fold_probe(&mut tensors, vision.head_width),
        Pooling::Queries { heads, .. } => fold_queries(&mut tensors, heads, vision.norm_epsilon),
        Pooling::ClassToken | Pooling::Mean { .. } => {}
    }
    if !vision.shape.is_plain() {
        fold_embeddings(&mut tensors, vision);
        fold_attention(&mut tensors, vision);
        if !vision.shape.projection {
            tensors.insert("visual.proj".to_owned(), identity(vision.width));
        }
    }
    tensors
}

/// LayerScale into the last layers of a block, `γ ⊙ (W x + b) = (diag(γ) W) x + γ ⊙ b`.
fn scale_updates(tensors: &mut Tensors) {
    let scales: Vec<String> = tensors.keys().filter(|name| name.contains(".ls_")).cloned().collect();
    for name in scales {
        let (Some(scale), Some((block, last))) = (tensors.remove(&name), name.rsplit_once(".ls_")) else { continue };
        let layer = if last.starts_with('1') { "attn.out_proj" } else { "mlp.c_proj" };
        for kind in ["weight", "bias"] {
            let name = format!("{block}.{layer}.{kind}");
            if let Some(weights) = tensors.remove(&name) {
                tensors.insert(name, scaled_rows(weights, scale.clone()));
            }
        }
    }
}

/// Rows `[rows, …]`, each times its factor.
fn scaled_rows(weights: Weights, factors: Weights) -> Weights {
    Weights::computed(weights.shape.clone(), move || {
        let (mut values, factors) = (weights.values()?, factors.values()?);
        let width = (values.len() / factors.len().max(1)).max(1);
        for (row, factor) in values.chunks_mut(width).zip(&factors) {
            for value in row {
                *value *= factor;
            }
        }
        Ok(values)
    })
}

/// Class token, registers and the bias of the patch embedding into the position embedding, which every token gets.
fn fold_embeddings(tensors: &mut Tensors, vision: &VisionConfig) {
    let none = || Weights::zeros(vec![vision.tokens(), vision.width]);
    let positions = tensors.remove(POSITIONS);
    let Some(positions) = positions.or_else(|| (!vision.shape.positions).then(none)) else { return };
    let class = tensors.remove("visual.class_embedding");
    let registers = tensors.remove("visual.registers");
    let bias = tensors.remove("visual.conv1.bias");
    let (prefix, width) = (vision.shape.prefix(), vision.width);
    let folded = Weights::computed(positions.shape.clone(), move || {
        let mut values = positions.values()?;
        let (before, patches) = values.split_at_mut(prefix * width);
        let mut own = Vec::new();
        for weights in class.iter().chain(&registers) {
            own.extend(weights.values()?);
        }
        before.iter_mut().zip(&own).for_each(|(value, own)| *value += own);
        if let Some(bias) = &bias {
            let bias = bias.values()?;
            for row in patches.chunks_exact_mut(width) {
                row.iter_mut().zip(&bias).for_each(|(value, bias)| *value += bias);
            }
        }
        Ok(values)
    });
    tensors.insert(POSITIONS.to_owned(), folded);
}

/// The probe of attention pooling into its queries, `(W_q probe + b_q)/√head_dim`, which no image changes.
fn fold_probe(tensors: &mut Tensors, head_width: usize) {
    let name = |part: &str| format!("visual.attn_pool.{part}");
    let (Some(probe), Some(weight), Some(bias)) = (
        tensors.remove(&name("probe")),
        tensors.remove(&name("attn.in_proj_weight")),
        tensors.remove(&name("attn.in_proj_bias")),
    ) else {
        return;
    };
    let width = probe.elements();
    for (part, weights) in [("attn.in_proj_weight", weight.clone()), ("attn.in_proj_bias", bias.clone())] {
        let mut shape = weights.shape.clone();
        shape[0] = 2 * width;
        let skipped = weights.elements() / 3;
        let behind = Weights::computed(shape, move || Ok(weights.values()?.split_off(skipped)));
        tensors.insert(name(part), behind);
    }
    let query = Weights::computed(vec![width], move || {
        let (probe, weight, bias) = (probe.values()?, weight.values()?, bias.values()?);
        let of_row = |(row, bias): (&[f32], &f32)| {
            let sum: f64 = row.iter().zip(&probe).map(|(w, x)| f64::from(*w) * f64::from(*x)).sum();
            ((sum + f64::from(*bias)) / (head_width as f64).sqrt()) as f32
        };
        Ok(weight.chunks_exact(width).zip(&bias).take(width).map(of_row).collect())
    });
    tensors.insert(name("query"), query);
}

/// Biases that queries, keys and values lack are zero. Pairs of channels that are rotated together become one of a head's first half and
/// its match in the second: in the same order of channels, queries and keys have the same products.
fn fold_attention(tensors: &mut Tensors, vision: &VisionConfig) {
    for layer in 0..vision.layers {
        let name = |kind: &str| format!("visual.transformer.resblocks.{layer}.attn.in_proj_{kind}");
        if !vision.shape.qkv_bias {
            tensors.insert(name("bias"), Weights::zeros(vec![3 * vision.width]));
        }
        if vision.shape.rotary.is_none_or(|rotary| !rotary.interleaved) {
            continue;
        }
        for name in [name("weight"), name("bias")] {
            if let Some(weights) = tensors.remove(&name) {
                tensors.insert(name, halves(weights, vision.width, vision.head_width));
            }
        }
    }
}

/// Rows of queries and keys `[3·width, …]`, of every head the even ones before the odd ones.
fn halves(weights: Weights, width: usize, head_dim: usize) -> Weights {
    Weights::computed(weights.shape.clone(), move || {
        let values = weights.values()?;
        let length = values.len() / (3 * width);
        let of_row = |row: usize| {
            let (head, at) = (row / head_dim * head_dim, row % head_dim);
            let from = head + if at < head_dim / 2 { 2 * at } else { 2 * (at - head_dim / 2) + 1 };
            if row < 2 * width { from } else { row }
        };
        Ok((0..3 * width).flat_map(|row| &values[of_row(row) * length..][..length]).copied().collect())
    })
}

/// `[width, width]`.
fn identity(width: usize) -> Weights {
    Weights::computed(vec![width, width], move || {
        Ok((0..width * width).map(|at| if at % (width + 1) == 0 { 1.0 } else { 0.0 }).collect())
    })
}
