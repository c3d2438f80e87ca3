//! Norms between the layers of a block, taken into the layer behind them.
//!
//! With the mean m and the deviation σ of x, `W (w ⊙ (x − m)/σ + b) + c = W diag(w) (I − 11ᵀ/n) · x/σ + (W b + c)`: what is left of the norm
//! for a pass is the division by σ (`docs/mathematics.md`).

use std::collections::BTreeMap;

use super::weights::Weights;

/// Names of the norms, and of the layers behind them.
const NORMS: [(&str, &str); 2] = [(".attn.ln_inner.", ".attn.out_proj."), (".mlp.ln_inner.", ".mlp.c_proj.")];

/// Takes out all norms inside blocks.
pub(super) fn fold_inner_norms(tensors: &mut BTreeMap<String, Weights>) {
    for (norm, layer) in NORMS {
        let ending = format!("{norm}weight");
        let blocks: Vec<String> =
            tensors.keys().filter_map(|name| name.strip_suffix(&ending)).map(str::to_owned).collect();
        for block in blocks {
            let mut take = |part: &str, kind: &str| tensors.remove(&format!("{block}{part}{kind}"));
            let norm = (take(norm, "weight"), take(norm, "bias"));
            let (Some(norm_weight), Some(norm_bias)) = norm else { continue };
            let (Some(weight), Some(bias)) = (take(layer, "weight"), take(layer, "bias")) else { continue };
            tensors.insert(format!("{block}{layer}bias"), moved(weight.clone(), norm_bias, bias));
            tensors.insert(format!("{block}{layer}weight"), centred(weight, norm_weight));
        }
    }
}

/// `W diag(w) (I − 11ᵀ/n)`.
fn centred(weight: Weights, norm: Weights) -> Weights {
    Weights::computed(weight.shape.clone(), move || {
        let (mut values, norm) = (weight.values()?, norm.values()?);
        for row in values.chunks_exact_mut(norm.len()) {
            let scaled: Vec<f64> = row.iter().zip(&norm).map(|(value, w)| f64::from(*value) * f64::from(*w)).collect();
            let mean = scaled.iter().sum::<f64>() / norm.len() as f64;
            row.iter_mut().zip(scaled).for_each(|(value, scaled)| *value = (scaled - mean) as f32);
        }
        Ok(values)
    })
}

/// `W b + c`.
fn moved(weight: Weights, norm_bias: Weights, bias: Weights) -> Weights {
    Weights::computed(bias.shape.clone(), move || {
        let (weight, norm_bias, bias) = (weight.values()?, norm_bias.values()?, bias.values()?);
        let of_row = |(row, bias): (&[f32], &f32)| {
            let sum: f64 = row.iter().zip(&norm_bias).map(|(w, b)| f64::from(*w) * f64::from(*b)).sum();
            (sum + f64::from(*bias)) as f32
        };
        Ok(weight.chunks_exact(norm_bias.len()).zip(&bias).map(of_row).collect())
    })
}
