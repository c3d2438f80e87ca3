//! Architectures that OpenCLIP knows by name, for weights without a configuration. All have a context of 77 tokens and CLIP's vocabulary.

use crate::{
    error::{ClipError, Result},
    families::{
        TextStyle, VisionShape,
        clip::{ClipConfig, PreprocessConfig, TextConfig, VisionConfig},
    },
};

/// What an OpenCLIP name ends with where the model has QuickGELU.
const QUICK: &str = "-quickgelu";

struct Architecture {
    name: &'static str,
    embed_dim: usize,
    /// Image size and patch size.
    pixels: [usize; 2],
    /// Layers, width, head width and MLP width of the image tower.
    vision: [usize; 4],
    /// Layers, width and heads of the text tower.
    text: [usize; 3],
}

const fn new(
    name: &'static str,
    embed_dim: usize,
    pixels: [usize; 2],
    vision: [usize; 4],
    text: [usize; 3],
) -> Architecture {
    Architecture { name, embed_dim, pixels, vision, text }
}

const ARCHITECTURES: [Architecture; 24] = [
    new("ViT-S-32", 384, [224, 32], [12, 384, 64, 1536], [12, 384, 6]),
    new("ViT-S-32-alt", 256, [224, 32], [12, 384, 64, 1536], [10, 256, 4]),
    new("ViT-S-16", 384, [224, 16], [12, 384, 64, 1536], [12, 384, 6]),
    new("ViT-S-16-alt", 256, [224, 16], [12, 384, 64, 1536], [10, 256, 4]),
    new("ViT-M-32", 512, [224, 32], [12, 512, 64, 2048], [12, 512, 8]),
    new("ViT-M-32-alt", 384, [224, 32], [12, 512, 64, 2048], [12, 384, 6]),
    new("ViT-M-16", 512, [224, 16], [12, 512, 64, 2048], [12, 512, 8]),
    new("ViT-B-32", 512, [224, 32], [12, 768, 64, 3072], [12, 512, 8]),
    new("ViT-B-32-256", 512, [256, 32], [12, 768, 64, 3072], [12, 512, 8]),
    new("ViT-B-32-plus-256", 640, [256, 32], [12, 896, 64, 3584], [12, 640, 10]),
    new("ViT-B-16", 512, [224, 16], [12, 768, 64, 3072], [12, 512, 8]),
    new("ViT-B-16-plus", 640, [224, 16], [12, 896, 64, 3584], [12, 640, 10]),
    new("ViT-B-16-plus-240", 640, [240, 16], [12, 896, 64, 3584], [12, 640, 10]),
    new("ViT-L-16", 768, [224, 16], [24, 1024, 64, 4096], [12, 768, 12]),
    new("ViT-L-16-320", 768, [320, 16], [24, 1024, 64, 4096], [12, 768, 12]),
    new("ViT-L-14", 768, [224, 14], [24, 1024, 64, 4096], [12, 768, 12]),
    new("ViT-L-14-280", 768, [280, 14], [24, 1024, 64, 4096], [12, 768, 12]),
    new("ViT-L-14-336", 768, [336, 14], [24, 1024, 64, 4096], [12, 768, 12]),
    new("ViT-H-16", 1024, [224, 16], [32, 1280, 80, 5120], [24, 1024, 16]),
    new("ViT-H-14", 1024, [224, 14], [32, 1280, 80, 5120], [24, 1024, 16]),
    new("ViT-H-14-378", 1024, [378, 14], [32, 1280, 80, 5120], [24, 1024, 16]),
    new("ViT-g-14", 1024, [224, 14], [40, 1408, 88, 6144], [24, 1024, 16]),
    new("ViT-bigG-14", 1280, [224, 14], [48, 1664, 104, 8192], [32, 1280, 20]),
    new("ViT-e-14", 1280, [224, 14], [56, 1792, 112, 15_360], [36, 1280, 20]),
];

/// Names of all architectures; each may end with `-quickgelu`.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    ARCHITECTURES.iter().map(|architecture| architecture.name)
}

/// The configuration of an architecture, with OpenAI's normalisation of pixels. OpenAI's way of writing names is understood.
pub(crate) fn config(name: &str) -> Result<ClipConfig> {
    // OpenAI writes `ViT-L/14@336px`.
    let lower = name.to_lowercase().replace(['/', '@'], "-");
    let lower = lower.trim_end_matches("px").to_owned();
    let plain = lower.strip_suffix(QUICK).unwrap_or(&lower);
    let found = ARCHITECTURES.iter().find(|architecture| architecture.name.to_lowercase() == plain);
    let found = found.ok_or_else(|| ClipError::UnknownArchitecture { name: name.to_owned() })?;
    let ([image_size, patch_size], [layers, width, head_width, mlp_width]) = (found.pixels, found.vision);
    let [text_layers, text_width, heads] = found.text;
    Ok(ClipConfig {
        embed_dim: found.embed_dim,
        vision: VisionConfig {
            image_size,
            patch_size,
            layers,
            width,
            head_width,
            mlp_width,
            norm_epsilon: 1e-5,
            shape: VisionShape::default(),
        },
        text: TextConfig {
            context_length: 77,
            vocab_size: 49_408,
            width: text_width,
            heads,
            layers: text_layers,
            mlp_width: 4 * text_width,
            norm_epsilon: 1e-5,
            style: TextStyle::default(),
        },
        quick_gelu: plain != lower,
        activation_is_stated: plain != lower,
        interpolated: false,
        preprocess: PreprocessConfig::default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_the_architecture_and_may_say_the_activation() {
        let plain = config("ViT-B-32").expect("known");
        assert_eq!((plain.vision.grid(), plain.vision.heads(), plain.text.heads), (7, 12, 8));
        assert!(!plain.quick_gelu && !plain.activation_is_stated);
        let quick = config("vit-l-14-336-QuickGELU").expect("known");
        assert!(quick.quick_gelu && quick.activation_is_stated);
        assert_eq!((quick.vision.image_size, quick.vision.heads(), quick.text.width), (336, 16, 768));
        assert_eq!(config("ViT-L/14@336px").expect("known").vision.grid(), 24);
        assert!(matches!(config("RN50"), Err(ClipError::UnknownArchitecture { name }) if name == "RN50"));
    }

    #[test]
    fn every_architecture_is_whole() {
        for name in names() {
            let config = config(name).expect(name);
            let vision = &config.vision;
            assert!(vision.image_size.is_multiple_of(vision.patch_size), "{name}");
            assert!(vision.width.is_multiple_of(vision.head_width), "{name}");
            assert!(config.text.width.is_multiple_of(config.text.heads), "{name}");
        }
    }
}
