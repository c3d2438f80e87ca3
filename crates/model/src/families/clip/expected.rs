use std::collections::BTreeMap;

use crate::families::{BlockShape, Parts, Pooling, clip::TextConfig};

type Table = BTreeMap<String, Vec<usize>>;

/// Every tensor of a model under OpenCLIP's name with PyTorch's shape: the table that a checkpoint is held against. What OpenCLIP's own
/// towers do not have is named in its manner.
pub(crate) fn tensors(parts: &Parts<'_>) -> Table {
    let mut table = BTreeMap::new();
    vision(parts, &mut table);
    if let Some(config) = parts.text {
        text(config, parts.embed_dim, &mut table);
    }
    table
}

fn vision(parts: &Parts<'_>, table: &mut Table) {
    let (vision, shape) = (parts.vision, &parts.vision.shape);
    let width = vision.width;
    let mut add = |name: &str, shape: &[usize]| {
        table.insert(format!("visual.{name}"), shape.to_vec());
    };
    add("conv1.weight", &[width, 3, vision.patch_size, vision.patch_size]);
    if shape.positions {
        add("positional_embedding", &[vision.tokens(), width]);
    }
    if shape.patch_bias {
        add("conv1.bias", &[width]);
    }
    if shape.class_token {
        add("class_embedding", &[width]);
    }
    if shape.registers > 0 {
        add("registers", &[shape.registers, width]);
    }
    if shape.projection {
        let pooled = if let Pooling::Queries { .. } = shape.pooling { parts.embed_dim } else { width };
        add("proj", &[pooled, parts.embed_dim]);
    }
    if shape.projection_bias {
        add("proj_bias", &[parts.embed_dim]);
    }
    // The queries of CoCa have the width of what they give, and so has the norm behind them.
    let pooled = if let Pooling::Queries { .. } = shape.pooling { parts.embed_dim } else { width };
    let mut norms = vec![("ln_post", pooled)];
    norms.extend(shape.norm_first.then_some(("ln_pre", width)));
    if let Pooling::Queries { queries, .. } = shape.pooling {
        norms.extend([("attn_pool.ln_q", pooled), ("attn_pool.ln_k", width)]);
        add("attn_pool.query", &[queries, pooled]);
        for (name, shape) in query_pool(width, pooled) {
            add(&format!("attn_pool.attn.{name}"), &shape);
        }
    }
    for (norm, width) in norms {
        add(&format!("{norm}.weight"), &[width]);
        add(&format!("{norm}.bias"), &[width]);
    }
    if let Pooling::Attention { mlp_width } = shape.pooling {
        add("attn_pool.probe", &[width]);
        for (name, shape) in attention_pool(width, mlp_width) {
            add(&format!("attn_pool.{name}"), &shape);
        }
    }
    for layer in 0..vision.layers {
        let tensors = block(width, vision.mlp_width, shape.layer_scale, shape.block());
        for (name, of) in tensors.into_iter().filter(|(name, _)| shape.qkv_bias || *name != "attn.in_proj_bias") {
            add(&format!("transformer.resblocks.{layer}.{name}"), &of);
        }
    }
}

fn text(text: &TextConfig, embed_dim: usize, table: &mut Table) {
    let width = text.width;
    let mut add = |name: &str, shape: &[usize]| {
        table.insert(name.to_owned(), shape.to_vec());
    };
    add("token_embedding.weight", &[text.vocab_size, width]);
    add("positional_embedding", &[text.context_length + usize::from(text.style.class_token), width]);
    if text.style.class_token {
        add("cls_emb", &[width]);
    }
    add("text_projection", &[width, embed_dim]);
    if text.style.projection_bias {
        add("text_projection_bias", &[embed_dim]);
    }
    add("logit_scale", &[]);
    add("ln_final.weight", &[width]);
    add("ln_final.bias", &[width]);
    for layer in 0..text.layers {
        for (name, shape) in block(width, text.mlp_width, text.style.layer_scale, BlockShape::default()) {
            add(&format!("transformer.resblocks.{layer}.{name}"), &shape);
        }
    }
}

fn block(width: usize, mlp_width: usize, layer_scale: bool, shape: BlockShape) -> Vec<(&'static str, Vec<usize>)> {
    let expanded = if shape.gated_mlp { 2 * mlp_width } else { mlp_width };
    let mut tensors = vec![
        ("ln_1.weight", vec![width]),
        ("ln_1.bias", vec![width]),
        ("attn.in_proj_weight", vec![3 * width, width]),
        ("attn.in_proj_bias", vec![3 * width]),
        ("attn.out_proj.weight", vec![width, width]),
        ("attn.out_proj.bias", vec![width]),
        ("ln_2.weight", vec![width]),
        ("ln_2.bias", vec![width]),
        ("mlp.c_fc.weight", vec![expanded, width]),
        ("mlp.c_fc.bias", vec![expanded]),
        ("mlp.c_proj.weight", vec![width, mlp_width]),
        ("mlp.c_proj.bias", vec![width]),
    ];
    if layer_scale {
        tensors.extend([("ls_1.gamma", vec![width]), ("ls_2.gamma", vec![width])]);
    }
    if shape.attention_norm {
        tensors.extend([("attn.ln_inner.weight", vec![width]), ("attn.ln_inner.bias", vec![width])]);
    }
    if shape.mlp_norm {
        tensors.extend([("mlp.ln_inner.weight", vec![mlp_width]), ("mlp.ln_inner.bias", vec![mlp_width])]);
    }
    tensors
}

/// A block's tensors but for its first norm.
fn attention_pool(width: usize, mlp_width: usize) -> Vec<(&'static str, Vec<usize>)> {
    let tensors = block(width, mlp_width, false, BlockShape::default()).into_iter();
    tensors.filter(|(name, _)| !name.starts_with("ln_1")).collect()
}

/// PyTorch's `MultiheadAttention` of queries over tokens of some width.
fn query_pool(width: usize, pooled: usize) -> Vec<(&'static str, Vec<usize>)> {
    let mut tensors = vec![
        ("in_proj_bias", vec![3 * pooled]),
        ("out_proj.weight", vec![pooled, pooled]),
        ("out_proj.bias", vec![pooled]),
    ];
    if width == pooled {
        tensors.push(("in_proj_weight", vec![3 * pooled, width]));
    } else {
        let of = |name, width| (name, vec![pooled, width]);
        tensors.extend([of("q_proj_weight", pooled), of("k_proj_weight", width), of("v_proj_weight", width)]);
    }
    tensors
}

/// Tensors that some files carry and that hold nothing learned: the causal mask, counters, and OpenAI's architecture
/// numbers.
pub(crate) fn is_buffer(name: &str) -> bool {
    const BUFFERS: [&str; 6] =
        ["attn_mask", "input_resolution", "context_length", "vocab_size", "position_ids", "num_batches_tracked"];
    BUFFERS.iter().any(|buffer| name == *buffer || name.ends_with(&format!(".{buffer}")))
}

/// Whether a tensor under OpenCLIP's names belongs to the towers or the temperature. Others, such as a classifier that was trained on
/// the features, change neither tower.
pub(crate) fn is_of_model(name: &str) -> bool {
    const BEGINNINGS: [&str; 9] = [
        "cls_emb",
        "visual.",
        "transformer.",
        "token_embedding.",
        "positional_embedding",
        "text_projection",
        "ln_final.",
        "text.",
        "vision_model.",
    ];
    name == "logit_scale"
        || name.starts_with("text_model.")
        || name.starts_with("visual_projection")
        || BEGINNINGS.iter().any(|begin| name.starts_with(begin))
}
