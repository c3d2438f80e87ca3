use std::collections::BTreeMap;

use crate::families::clip::ClipConfig;

/// Every tensor of a model under OpenCLIP's name with PyTorch's shape: the table that a checkpoint is held against.
pub(crate) fn tensors(config: &ClipConfig) -> BTreeMap<String, Vec<usize>> {
    let (vision, text, d) = (&config.vision, &config.text, config.embed_dim);
    let mut table = BTreeMap::new();
    let mut add = |name: &str, shape: &[usize]| {
        table.insert(name.to_owned(), shape.to_vec());
    };
    add("visual.conv1.weight", &[vision.width, 3, vision.patch_size, vision.patch_size]);
    add("visual.class_embedding", &[vision.width]);
    add("visual.positional_embedding", &[vision.tokens(), vision.width]);
    add("visual.proj", &[vision.width, d]);
    add("token_embedding.weight", &[text.vocab_size, text.width]);
    add("positional_embedding", &[text.context_length, text.width]);
    add("text_projection", &[text.width, d]);
    add("logit_scale", &[]);
    for (name, width) in [("visual.ln_pre", vision.width), ("visual.ln_post", vision.width), ("ln_final", text.width)] {
        add(&format!("{name}.weight"), &[width]);
        add(&format!("{name}.bias"), &[width]);
    }
    let towers = [
        ("visual.transformer", vision.layers, vision.width, vision.mlp_width),
        ("transformer", text.layers, text.width, text.mlp_width),
    ];
    for (tower, layers, width, mlp_width) in towers {
        for layer in 0..layers {
            for (name, shape) in block(width, mlp_width) {
                add(&format!("{tower}.resblocks.{layer}.{name}"), &shape);
            }
        }
    }
    table
}

fn block(width: usize, mlp_width: usize) -> [(&'static str, Vec<usize>); 12] {
    [
        ("ln_1.weight", vec![width]),
        ("ln_1.bias", vec![width]),
        ("attn.in_proj_weight", vec![3 * width, width]),
        ("attn.in_proj_bias", vec![3 * width]),
        ("attn.out_proj.weight", vec![width, width]),
        ("attn.out_proj.bias", vec![width]),
        ("ln_2.weight", vec![width]),
        ("ln_2.bias", vec![width]),
        ("mlp.c_fc.weight", vec![mlp_width, width]),
        ("mlp.c_fc.bias", vec![mlp_width]),
        ("mlp.c_proj.weight", vec![width, mlp_width]),
        ("mlp.c_proj.bias", vec![width]),
    ]
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
    const BEGINNINGS: [&str; 8] = [
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
