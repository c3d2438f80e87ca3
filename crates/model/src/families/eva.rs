//! timm's class `Eva` by name: EVA-01 and EVA-02, those of CLIP among them, and `DINOv3`.

use super::timm::TimmTower;
use crate::families::{Pooling, Rotary, RotaryPlaces, VisionShape, clip::VisionConfig};

/// Name of an EVA, with width, layers, heads and whether queries, keys and values have separate layers, its norms then being inside blocks.
const EVAS: [(&str, [usize; 3], bool); 5] = [
    ("eva_giant", [1408, 40, 16], false),
    ("eva02_tiny", [192, 12, 3], false),
    ("eva02_small", [384, 12, 6], false),
    ("eva02_base", [768, 12, 12], true),
    ("eva02_large", [1024, 24, 16], true),
];

/// Name of a `DINOv3`, with width, layers, heads and the MLP's width, and whether the MLP is gated.
const DINOS: [(&str, [usize; 4], bool); 7] = [
    ("tiny", [192, 12, 3, 768], false),
    ("small", [384, 12, 6, 1536], false),
    ("small_plus", [384, 12, 6, 1536], true),
    ("base", [768, 12, 12, 3072], false),
    ("large", [1024, 24, 16, 4096], false),
    ("huge_plus", [1280, 32, 20, 5120], true),
    ("7b", [4096, 40, 32, 8192], true),
];

/// Side of the images that timm's configurations of `DINOv3` are for.
const DINO_SIZE: usize = 256;

/// Patches on a side of the grid that EVA-02 was trained on first, which rotary positions are scaled to.
const EVA_GRID: usize = 16;

/// Rotary positions of `DINOv3` as timm and transformers have them.
pub(crate) const DINO_ROTARY: Rotary = Rotary { base: 100.0, places: RotaryPlaces::Centred, interleaved: false };

/// A tower by its name, without the tag of its weights; none if it is no such tower.
pub(super) fn tower(name: &str) -> Option<TimmTower> {
    let (size, rest) = name.split_once("_patch")?;
    if let Some(size) = size.strip_prefix("vit_") {
        return dino(size, rest);
    }
    let (_, [width, layers, heads], has_norms) = *EVAS.iter().find(|(known, ..)| *known == size)?;
    let (patch, rest) = rest.split_once('_')?;
    let (is_clip, image_size) = match rest.strip_prefix("clip_") {
        Some(size) => (true, size.parse().ok()?),
        None => (false, rest.parse().ok()?),
    };
    let is_second = size.starts_with("eva02");
    // Those of CLIP alone have the norm before the output projection. In timm a mean comes before the norm here.
    let pooling = if is_clip { Pooling::ClassToken } else { Pooling::Mean { prefix: false, norm_first: false } };
    let shape = VisionShape {
        patch_bias: true,
        norm_first: false,
        projection: false,
        rotary: is_second.then_some(Rotary {
            base: 10_000.0,
            places: RotaryPlaces::Scaled(EVA_GRID),
            interleaved: true,
        }),
        attention_norm: is_second && is_clip,
        gated_mlp: is_second,
        mlp_norm: has_norms,
        pooling,
        ..VisionShape::default()
    };
    // Truncated, as timm does: `int(width · mlp_ratio)`.
    let mlp_width = if is_second { (width as f64 * (4.0 * 2.0 / 3.0)) as usize } else { 6144 };
    Some(of(shape, [width, layers, heads, mlp_width], patch.parse().ok()?, image_size, 1e-6))
}

/// `DINOv3`, whose weights with biases of queries and values timm calls `qkvb`.
fn dino(size: &str, rest: &str) -> Option<TimmTower> {
    let (_, sizes, gated_mlp) = *DINOS.iter().find(|(known, ..)| *known == size)?;
    let (patch, kind) = rest.split_once('_')?;
    let qkv_bias = match kind {
        "dinov3" => false,
        "dinov3_qkvb" => true,
        _ => return None,
    };
    let shape = VisionShape {
        registers: 4,
        patch_bias: true,
        positions: false,
        rotary: Some(DINO_ROTARY),
        norm_first: false,
        layer_scale: true,
        qkv_bias,
        gated_mlp,
        pooling: Pooling::Mean { prefix: false, norm_first: true },
        projection: false,
        ..VisionShape::default()
    };
    Some(of(shape, sizes, patch.parse().ok()?, DINO_SIZE, 1e-5))
}

fn of(
    shape: VisionShape,
    [width, layers, heads, mlp_width]: [usize; 4],
    patch_size: usize,
    image_size: usize,
    norm_epsilon: f64,
) -> TimmTower {
    let head_width = width / heads;
    let vision = VisionConfig { image_size, patch_size, layers, width, head_width, mlp_width, norm_epsilon, shape };
    TimmTower { vision, quick_gelu: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_a_tower_has() {
        let known = |name| tower(name).expect(name).vision;
        let base = known("eva02_base_patch16_clip_224");
        assert_eq!((base.width, base.heads(), base.mlp_width, base.tokens()), (768, 12, 2048, 197));
        assert!(base.shape.attention_norm && base.shape.mlp_norm && base.shape.gated_mlp);
        let large = known("eva02_large_patch14_clip_336");
        assert_eq!((large.mlp_width, large.grid(), large.shape.pooling), (2730, 24, Pooling::ClassToken));
        let without_texts = known("eva02_large_patch14_448").shape;
        assert!(!without_texts.attention_norm && without_texts.mlp_norm);
        assert!(!known("eva02_tiny_patch14_224").shape.mlp_norm);
        let giant = known("eva_giant_patch14_224");
        assert_eq!((giant.head_width, giant.mlp_width, giant.shape.rotary), (88, 6144, None));
        let dino = known("vit_huge_plus_patch16_dinov3");
        assert_eq!((dino.tokens(), dino.heads(), dino.shape.gated_mlp), (16 * 16 + 5, 20, true));
        assert!(!dino.shape.qkv_bias && known("vit_small_patch16_dinov3_qkvb").shape.qkv_bias);
        for other in ["eva02_enormous_patch14_clip_224", "vit_base_patch16_rope_224", "vit_base_patch16_dinov2", "eva"]
        {
            assert_eq!(tower(other), None, "{other}");
        }
    }
}
