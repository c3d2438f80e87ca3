use crate::{
    checkpoint::Resample,
    families::{
        VisionGeometry,
        clip::{TextConfig, VisionConfig},
    },
};

/// What of a configuration says which tensors a checkpoint has.
#[derive(Clone, Copy)]
pub(crate) struct Parts<'a> {
    pub(crate) vision: &'a VisionConfig,
    /// Length `d` of the representation.
    pub(crate) embed_dim: usize,
    /// None for an image tower alone.
    pub(crate) text: Option<&'a TextConfig>,
    pub(crate) quick_gelu: bool,
    /// How position embeddings for another number of patches are interpolated, if they may be.
    pub(crate) resample: Option<Resample>,
}

impl Parts<'_> {
    pub(crate) fn geometry(&self) -> VisionGeometry {
        let vision = self.vision;
        let gives_contributions = vision.shape.pooling.is_attention();
        VisionGeometry {
            layers: vision.layers,
            heads: vision.heads(),
            head_dim: if gives_contributions { self.embed_dim } else { vision.head_width },
            width: vision.width,
            mlp_width: vision.mlp_width,
            d: self.embed_dim,
            image_size: vision.image_size,
            grid: vision.grid(),
            prefix: vision.shape.prefix(),
            pooling: vision.shape.pooling,
        }
    }
}
