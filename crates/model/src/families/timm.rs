//! Image towers that timm knows by name.

use super::eva;
use crate::families::{Pooling, VisionShape, clip::VisionConfig};

/// What [`tower`] knows.
pub(crate) const KNOWN: &str = "of timm's image towers, headspan reads vit_SIZE_patchN_… of supervised training, DINOv2, DINOv3, SigLIP and CLIP, and EVA";

/// Parts of names of timm's towers that are near to those that are read, and why they are not.
const REFUSED: [(&str, &str); 6] = [
    (
        "eva02_enormous",
        "EVA-02-E normalises the output of attention with its bias, whose share then differs from image to image: head space has no number for it",
    ),
    (
        "naflex",
        "NaFlex: its images have any number of patches, and a head's contribution would be of another grid in each",
    ),
    ("rope_mixed", "its rotary positions are learned for every block and head, which headspan does not read"),
    ("_rope_", "headspan reads the rotary positions of EVA-02 and DINOv3 alone"),
    ("vit_pe_", "the Perception Encoder's rotary positions and pooling are not read"),
    ("beit", "BEiT adds a bias for every pair of patches to its attention, which headspan does not read"),
];

/// Why a tower of timm is refused.
pub(crate) fn why_not(name: &str) -> &'static str {
    REFUSED.iter().find(|(part, _)| name.contains(part)).map_or(KNOWN, |(_, why)| why)
}

/// A tower of timm without its classifier, its representation not pooled by anything but its own default.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TimmTower {
    pub(crate) vision: VisionConfig,
    pub(crate) quick_gelu: bool,
}

/// Name of a size, with width, layers, heads and the MLP's width.
const SIZES: [(&str, [usize; 4]); 8] = [
    ("tiny", [192, 12, 3, 768]),
    ("small", [384, 12, 6, 1536]),
    ("medium", [512, 12, 8, 2048]),
    ("base", [768, 12, 12, 3072]),
    ("large", [1024, 24, 16, 4096]),
    ("huge", [1280, 32, 16, 5120]),
    ("so400m", [1152, 27, 16, 4304]),
    ("giantopt", [1536, 40, 16, 6144]),
];

/// Epsilon of timm's LayerNorms, and of PyTorch's, which its CLIP towers have.
const EPSILON: f64 = 1e-6;
const CLIP_EPSILON: f64 = 1e-5;

/// A tower by timm's name, with or without the tag of its weights behind a dot; none if headspan does not know it.
pub(crate) fn tower(name: &str) -> Option<TimmTower> {
    let name = name.split('.').next()?;
    if let Some(eva) = eva::tower(name) {
        return Some(eva);
    }
    let (size, rest) = name.strip_prefix("vit_")?.split_once("_patch")?;
    let [width, layers, heads, mlp_width] = SIZES.iter().find(|(known, _)| *known == size)?.1;
    let (patch, mut rest) = rest.split_once('_')?;
    let mut shape = VisionShape { patch_bias: true, norm_first: false, projection: false, ..VisionShape::default() };
    if let Some((registers, behind)) = rest.strip_prefix("reg").and_then(|rest| rest.split_once('_')) {
        (shape.registers, rest) = (registers.parse().ok()?, behind);
    }
    let (kind, image_size): (_, usize) = match rest.rsplit_once('_') {
        Some((kind, size)) => (kind, size.parse().ok()?),
        None if rest == "dinov2" => (rest, 518),
        None => ("", rest.parse().ok()?),
    };
    if kind.starts_with("siglip") {
        // Those of SigLIP 2 that have no older sister of the same name.
        shape.gelu_tanh = size == "giantopt"
            || matches!((size, patch), ("so400m", "16") | ("base", "32"))
            || (size, image_size) == ("large", 512);
    }
    let mut norm_epsilon = EPSILON;
    match kind {
        "" => {}
        "dinov2" => shape.layer_scale = true,
        "siglip" => {
            (shape.class_token, shape.pooling) = (false, Pooling::Attention { mlp_width });
        }
        "siglip_gap" => {
            (shape.class_token, shape.pooling) = (false, Pooling::Mean { prefix: false, norm_first: true });
        }
        "clip" | "clip_quickgelu" => {
            (shape.patch_bias, shape.norm_first) = (false, true);
            norm_epsilon = CLIP_EPSILON;
        }
        _ => return None,
    }
    // Other towers with registers have other norms and poolings.
    if shape.registers > 0 && kind != "dinov2" {
        return None;
    }
    let patch_size = patch.parse().ok()?;
    let head_width = width / heads;
    let vision = VisionConfig { image_size, patch_size, layers, width, head_width, mlp_width, norm_epsilon, shape };
    Some(TimmTower { vision, quick_gelu: kind == "clip_quickgelu" })
}

/// A pooling by timm's name: `token`, `avg` or `map`. `moves_norm` says whether timm makes the tower with that pooling, and so moves the
/// norm behind a mean unless the tower's own pooling is a mean of normalised tokens. None if the tower cannot have it.
pub(crate) fn pooling(vision: &VisionConfig, name: &str, moves_norm: bool) -> Option<Pooling> {
    let own = vision.shape.pooling;
    match name {
        "token" => vision.shape.class_token.then_some(Pooling::ClassToken),
        "map" => matches!(own, Pooling::Attention { .. }).then_some(own),
        "avg" if matches!(own, Pooling::Mean { .. }) => Some(own),
        "avg" if own == Pooling::ClassToken => Some(Pooling::Mean { prefix: false, norm_first: !moves_norm }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_the_geometry() {
        let known = |name| tower(name).expect(name).vision;
        let dino = known("vit_base_patch14_reg4_dinov2.lvd142m");
        assert_eq!((dino.tokens(), dino.shape.registers, dino.shape.layer_scale), (37 * 37 + 5, 4, true));
        let siglip = known("vit_so400m_patch14_siglip_384");
        assert_eq!((siglip.tokens(), siglip.heads(), siglip.head_width), (27 * 27, 16, 72));
        assert!(tower("vit_base_patch16_clip_quickgelu_224.openai").is_some_and(|tower| tower.quick_gelu));
        assert_eq!(known("vit_tiny_patch16_224").heads(), 3);
        for other in
            ["vit_giant_patch14_dinov2", "vit_base_patch16_rope_224", "resnet50", "vit_base_patch16_reg4_gap_256"]
        {
            assert_eq!(tower(other), None, "{other}");
        }
    }

    #[test]
    fn near_misses_are_refused_with_their_reason() {
        assert_eq!(why_not("resnet50"), KNOWN);
        for (name, reason) in [
            ("eva02_enormous_patch14_clip_224", "bias"),
            ("naflexvit_base_patch16_siglip", "NaFlex"),
            ("vit_base_patch16_rope_mixed_224", "learned"),
            ("vit_pe_core_base_patch16_224", "Perception"),
        ] {
            assert_eq!(tower(name), None, "{name}");
            assert!(why_not(name).contains(reason), "{name}: {}", why_not(name));
        }
    }

    #[test]
    fn a_norm_moves_behind_a_mean_where_timm_moves_it() {
        let plain = tower("vit_base_patch16_224").expect("known").vision;
        assert_eq!(pooling(&plain, "avg", true), Some(Pooling::Mean { prefix: false, norm_first: false }));
        assert_eq!(pooling(&plain, "avg", false), Some(Pooling::Mean { prefix: false, norm_first: true }));
        assert_eq!(pooling(&plain, "map", true), None);
        let dino = tower("vit_base_patch16_dinov3").expect("known").vision;
        let mean = Some(Pooling::Mean { prefix: false, norm_first: true });
        assert_eq!((pooling(&dino, "avg", true), pooling(&dino, "token", true)), (mean, Some(Pooling::ClassToken)));
        let gap = tower("vit_base_patch16_siglip_gap_224").expect("known").vision;
        assert_eq!(pooling(&gap, "avg", true), Some(Pooling::Mean { prefix: false, norm_first: true }));
    }
}
