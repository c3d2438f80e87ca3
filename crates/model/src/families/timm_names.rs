//! Names of tensors in timm's towers, and in `ViTModel`, `Dinov2Model` and `DINOv3ViTModel` of Hugging Face transformers.

use std::collections::BTreeMap;

use crate::checkpoint::weights::Weights;

type Tensors = BTreeMap<String, Weights>;

/// Where an OpenCLIP model keeps a tower of timm.
const TRUNK: &str = "visual.trunk.";

/// Beginnings of timm's names and what they become; the first that fits counts.
const TIMM: [(&str, &str); 12] = [
    ("cls_token", "class_embedding"),
    ("reg_token", "registers"),
    // As Meta's own files call them.
    ("register_tokens", "registers"),
    ("pos_embed", "positional_embedding"),
    ("patch_embed.proj.", "conv1."),
    ("norm_pre.", "ln_pre."),
    ("norm.", "ln_post."),
    ("fc_norm.", "ln_post."),
    ("blocks.", "transformer.resblocks."),
    ("attn_pool.latent", "attn_pool.probe"),
    ("attn_pool.proj.", "attn_pool.attn.out_proj."),
    ("attn_pool.norm.", "attn_pool.ln_2."),
];

/// Parts of timm's names behind the beginning.
const TIMM_PARTS: [(&str, &str); 18] = [
    // What the class `Eva` has of its own: norms inside a block, gates, queries, keys and values apart.
    (".attn.norm.", ".attn.ln_inner."),
    (".mlp.norm.", ".mlp.ln_inner."),
    (".mlp.fc1_g.", ".mlp.gate."),
    (".mlp.fc1_x.", ".mlp.c_fc."),
    (".attn.q_proj.", ".self_attn.q_proj."),
    (".attn.k_proj.", ".self_attn.k_proj."),
    (".attn.v_proj.", ".self_attn.v_proj."),
    (".gamma_1", ".ls_1.gamma"),
    (".gamma_2", ".ls_2.gamma"),
    (".norm1.", ".ln_1."),
    (".norm2.", ".ln_2."),
    (".attn.qkv.weight", ".attn.in_proj_weight"),
    (".attn.qkv.bias", ".attn.in_proj_bias"),
    (".attn.proj.", ".attn.out_proj."),
    (".mlp.fc1.", ".mlp.c_fc."),
    (".mlp.fc2.", ".mlp.c_proj."),
    (".ls1.gamma", ".ls_1.gamma"),
    (".ls2.gamma", ".ls_2.gamma"),
];

/// What is trained on the features, or only in training: it is left out, with a notice.
const BESIDE: [&str; 5] = ["head.", "head_dist.", "mask_token", "classifier.", "pooler."];

/// Beginnings of the names of `ViTModel`, `Dinov2Model` and `DINOv3ViTModel`.
const VIT: [(&str, &str); 11] = [
    ("embeddings.cls_token", "class_embedding"),
    ("embeddings.register_tokens", "registers"),
    ("embeddings.position_embeddings", "positional_embedding"),
    ("embeddings.patch_embeddings.projection.", "conv1."),
    ("embeddings.patch_embeddings.", "conv1."),
    ("encoder.layer.", "transformer.resblocks."),
    ("layers.", "transformer.resblocks."),
    ("model.layer.", "transformer.resblocks."),
    ("layer.", "transformer.resblocks."),
    ("norm.", "ln_post."),
    ("layernorm.", "ln_post."),
];

/// Parts of their names behind the beginning, of older versions and of newer ones.
const VIT_PARTS: [(&str, &str); 21] = [
    (".norm1.", ".ln_1."),
    (".layernorm_before.", ".ln_1."),
    (".norm2.", ".ln_2."),
    (".layernorm_after.", ".ln_2."),
    (".attention.attention.query.", ".self_attn.q_proj."),
    (".attention.attention.key.", ".self_attn.k_proj."),
    (".attention.attention.value.", ".self_attn.v_proj."),
    (".attention.q_proj.", ".self_attn.q_proj."),
    (".attention.k_proj.", ".self_attn.k_proj."),
    (".attention.v_proj.", ".self_attn.v_proj."),
    (".attention.output.dense.", ".attn.out_proj."),
    (".attention.o_proj.", ".attn.out_proj."),
    (".layer_scale1.lambda1", ".ls_1.gamma"),
    (".layer_scale2.lambda1", ".ls_2.gamma"),
    (".mlp.fc1.", ".mlp.c_fc."),
    (".mlp.fc2.", ".mlp.c_proj."),
    (".mlp.gate_proj.", ".mlp.gate."),
    (".mlp.up_proj.", ".mlp.c_fc."),
    (".mlp.down_proj.", ".mlp.c_proj."),
    (".intermediate.dense.", ".mlp.c_fc."),
    (".output.dense.", ".mlp.c_proj."),
];

/// From timm's names to OpenCLIP's.
pub(crate) fn of_timm(tensors: Tensors) -> Tensors {
    let in_open_clip = tensors.keys().any(|name| name.starts_with(TRUNK));
    let mut renamed = BTreeMap::new();
    for (name, weights) in tensors {
        let own = if in_open_clip { name.strip_prefix(TRUNK) } else { Some(name.as_str()) };
        let (name, weights) = match own {
            // The classifier of a trunk is its projection where OpenCLIP adds none.
            Some("head.weight") if in_open_clip => ("visual.proj".to_owned(), weights.transposed()),
            Some("head.bias") if in_open_clip => ("visual.proj_bias".to_owned(), weights),
            Some(own) if in_open_clip || !is_beside(own) => visual(own, &TIMM, &TIMM_PARTS, weights),
            None if name == "visual.head.proj.weight" => ("visual.proj".to_owned(), weights.transposed()),
            None if name == "visual.head.proj.bias" => ("visual.proj_bias".to_owned(), weights),
            _ => (name, weights),
        };
        renamed.insert(name, weights);
    }
    fuse_probe(&mut renamed);
    fuse_gates(&mut renamed);
    fuse_biases(&mut renamed);
    renamed
}

/// The gate of an MLP and what it is multiplied with are one layer, the gate first.
fn fuse_gates(tensors: &mut Tensors) {
    let gates: Vec<String> = tensors.keys().filter(|name| name.contains(".mlp.gate.")).cloned().collect();
    for gate in gates {
        let other = gate.replace(".mlp.gate.", ".mlp.c_fc.");
        if let (Some(first), Some(second)) = (tensors.get(&gate).cloned(), tensors.get(&other).cloned()) {
            tensors.remove(&gate);
            tensors.insert(other, Weights::below(first, second));
        }
    }
}

/// Beside a fused layer EVA keeps the biases of queries and values apart, and keys have none.
fn fuse_biases(tensors: &mut Tensors) {
    let queries: Vec<String> = tensors.keys().filter(|name| name.ends_with(".attn.q_bias")).cloned().collect();
    for query in queries {
        let value = query.replace(".q_bias", ".v_bias");
        if let (Some(first), Some(last)) = (tensors.get(&query).cloned(), tensors.get(&value).cloned()) {
            tensors.remove(&query);
            tensors.remove(&value);
            let keys = Weights::zeros(first.shape.clone());
            let whole = Weights::below(Weights::below(first, keys), last);
            tensors.insert(query.replace(".q_bias", ".in_proj_bias"), whole);
        }
    }
}

/// The probe's queries have a layer of their own, keys and values another.
fn fuse_probe(tensors: &mut Tensors) {
    for kind in ["weight", "bias"] {
        let [query, rest] = ["q", "kv"].map(|part| format!("visual.attn_pool.{part}.{kind}"));
        if let (Some(first), Some(second)) = (tensors.get(&query).cloned(), tensors.get(&rest).cloned()) {
            tensors.remove(&query);
            tensors.remove(&rest);
            tensors.insert(format!("visual.attn_pool.attn.in_proj_{kind}"), Weights::below(first, second));
        }
    }
}

/// From the names of `ViTModel`, `Dinov2Model` and `DINOv3ViTModel` to OpenCLIP's; queries, keys and values are still apart.
pub(crate) fn of_vit(tensors: Tensors) -> Tensors {
    let renamed = |(name, weights): (String, Weights)| {
        if is_beside(name.trim_start_matches("embeddings.")) {
            return (name, weights);
        }
        visual(&name, &VIT, &VIT_PARTS, weights)
    };
    // A `DINOv3ViTModel` without registers stores them all the same.
    let is_there = |(_, weights): &(String, Weights)| weights.elements() > 0;
    let mut tensors = tensors.into_iter().filter(is_there).map(renamed).collect();
    fuse_gates(&mut tensors);
    tensors
}

fn is_beside(name: &str) -> bool {
    BESIDE.iter().any(|beside| name.starts_with(beside))
}

/// The name in OpenCLIP's image tower. What is not known stays below `visual.`, where it is an error.
fn visual(own: &str, beginnings: &[(&str, &str)], parts: &[(&str, &str)], weights: Weights) -> (String, Weights) {
    let mut name = own.to_owned();
    if let Some((from, to)) = beginnings.iter().find(|(from, _)| own.starts_with(from)) {
        name = format!("{to}{}", &own[from.len()..]);
    }
    for (from, to) in parts {
        name = name.replace(from, to);
    }
    // Tokens and positions have a dimension for the batch.
    let shape = match (name.as_str(), &weights.shape[..]) {
        ("class_embedding" | "attn_pool.probe", [1, 1, width]) => vec![*width],
        ("registers" | "positional_embedding", [1, rows, width]) => vec![*rows, *width],
        (_, shape) => shape.to_vec(),
    };
    (format!("visual.{name}"), weights.of_shape(shape))
}
