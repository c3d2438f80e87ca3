//! CoCa's pooling by queries, taken into the tensors of pooling by a probe (`docs/mathematics.md`).

use std::collections::BTreeMap;

use super::weights::Weights;

type Tensors = BTreeMap<String, Weights>;

/// The norm of keys and values becomes `ln_post`, the norm behind the queries the projection and its bias but for mean and deviation, and of
/// the queries the first alone is left, which no image changes.
pub(super) fn fold_queries(tensors: &mut Tensors, heads: usize, epsilon: f64) {
    fold_query(tensors, heads, epsilon);
    let mut take = |name: &str| tensors.remove(&format!("visual.{name}"));
    let behind = (take("ln_post.weight"), take("ln_post.bias"), take("proj"));
    let before = (take("attn_pool.ln_k.weight"), take("attn_pool.ln_k.bias"));
    if let (Some(weight), Some(bias)) = before {
        tensors.insert("visual.ln_post.weight".to_owned(), weight);
        tensors.insert("visual.ln_post.bias".to_owned(), bias);
    }
    if let (Some(weight), Some(bias), Some(projection)) = behind {
        tensors.insert("visual.proj_bias".to_owned(), times(bias, projection.clone()));
        tensors.insert("visual.proj".to_owned(), scaled(weight, projection));
    }
}

/// `diag(w) P`.
fn scaled(weight: Weights, projection: Weights) -> Weights {
    Weights::computed(projection.shape.clone(), move || {
        let (mut values, weight) = (projection.values()?, weight.values()?);
        let columns = values.len() / weight.len();
        for (row, weight) in values.chunks_exact_mut(columns).zip(&weight) {
            for value in row.iter_mut() {
                *value *= weight;
            }
        }
        Ok(values)
    })
}

/// `bᵀP`.
fn times(bias: Weights, projection: Weights) -> Weights {
    let columns = projection.shape.get(1).copied().unwrap_or_default();
    Weights::computed(vec![columns], move || {
        let mut sums = vec![0.0_f64; columns];
        for (row, bias) in projection.values()?.chunks_exact(columns).zip(bias.values()?) {
            sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += f64::from(bias) * f64::from(*value));
        }
        Ok(sums.into_iter().map(|sum| sum as f32).collect())
    })
}

/// The first query, normalised, through its layer and over `√head_dim`; keys and values in one layer.
fn fold_query(tensors: &mut Tensors, heads: usize, epsilon: f64) {
    let mut take = |name: &str| tensors.remove(&format!("visual.attn_pool.{name}"));
    let (Some(query), Some(weight), Some(bias)) = (take("query"), take("ln_q.weight"), take("ln_q.bias")) else {
        return;
    };
    let Some(biases) = take("attn.in_proj_bias") else { return };
    let pooled = weight.elements();
    // PyTorch fuses the layers where all widths are equal.
    let layers = if let Some(fused) = take("attn.in_proj_weight") {
        part_of(&fused, pooled, 0..1).zip(part_of(&fused, pooled, 1..3))
    } else {
        let (own, key, value) = (take("attn.q_proj_weight"), take("attn.k_proj_weight"), take("attn.v_proj_weight"));
        own.zip(key.zip(value).map(|(key, value)| Weights::below(key, value)))
    };
    let Some((own, key_value)) = layers else { return };
    tensors.insert("visual.attn_pool.attn.in_proj_weight".to_owned(), key_value);
    let own_bias = part_of(&biases, pooled, 0..1);
    if let Some(biases) = part_of(&biases, pooled, 1..3) {
        tensors.insert("visual.attn_pool.attn.in_proj_bias".to_owned(), biases);
    }
    let asked = Weights::computed(vec![pooled], move || {
        let (query, weight, bias, own) = (query.values()?, weight.values()?, bias.values()?, own.values()?);
        let own_bias = own_bias.as_ref().map_or_else(|| Ok(vec![0.0; pooled]), Weights::values)?;
        let first: Vec<f64> = query.iter().take(pooled).map(|x| f64::from(*x)).collect();
        let mean = first.iter().sum::<f64>() / pooled as f64;
        let variance = first.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / pooled as f64;
        let scale = 1.0 / (variance + epsilon).sqrt();
        let normed = first.iter().zip(weight.iter().zip(&bias));
        let normed: Vec<f64> = normed.map(|(x, (w, b))| (x - mean) * scale * f64::from(*w) + f64::from(*b)).collect();
        let head_dim = (pooled / heads) as f64;
        let of_row = |(row, bias): (&[f32], &f32)| {
            let sum: f64 = row.iter().zip(&normed).map(|(w, x)| f64::from(*w) * x).sum();
            ((sum + f64::from(*bias)) / head_dim.sqrt()) as f32
        };
        Ok(own.chunks_exact(pooled).zip(&own_bias).map(of_row).collect())
    });
    tensors.insert("visual.attn_pool.query".to_owned(), asked);
}

/// Some thirds of the rows of a fused tensor.
fn part_of(fused: &Weights, third: usize, thirds: std::ops::Range<usize>) -> Option<Weights> {
    let mut shape = fused.shape.clone();
    let row = fused.elements() / *shape.first()?;
    *shape.first_mut()? = thirds.len() * third;
    let (fused, range) = (fused.clone(), thirds.start * third * row..thirds.end * third * row);
    Some(Weights::computed(shape, move || Ok(fused.values()?[range.clone()].to_vec())))
}
