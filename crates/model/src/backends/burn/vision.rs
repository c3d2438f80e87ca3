use std::sync::Arc;

use burn::{
    module::{Initializer, Module, Param},
    nn::{LayerNorm, LayerNormConfig},
    tensor::{Device, Int, Tensor},
};

use crate::{
    backends::burn::{
        AttentionPool, Transformer, TransformerConfig, inner::Rotation, pooling::BlockOutputs, trace::HeadTrace,
        transformer::Queries,
    },
    error::{ClipError, Result},
    families::{Pooling, RotaryTable, clip::VisionConfig},
    precision::Precision,
    trace::TraceRequest,
};

/// Image tower of any family. Field names are OpenCLIP's (`visual.*`). Of a tower that is not built as OpenAI's, the embeddings of the
/// tokens before the patches and the bias of the patch embedding are in the position embedding, LayerScale is in the blocks' last layers,
/// and an output projection that it lacks is the identity: no pass needs to know them.
#[derive(Module, Debug)]
pub struct BurnVisionTower {
    /// Patch embedding as convolution weight, `[width, 3, patch, patch]`.
    pub conv1: Param<Tensor<4>>,
    /// Class token, `[width]`; none where it is in the position embedding.
    pub class_embedding: Option<Param<Tensor<1>>>,
    /// Position embedding, `[tokens, width]`, the tokens without a patch first.
    pub positional_embedding: Param<Tensor<2>>,
    /// Norm before the first block.
    pub ln_pre: Option<LayerNorm>,
    /// The blocks.
    pub transformer: Transformer,
    /// Norm of the class token, or of what is pooled, after the last block.
    pub ln_post: LayerNorm,
    /// Attention pooling behind it, where the tower has it.
    pub attn_pool: Option<AttentionPool>,
    /// Output projection `P`, `[width, d]`; behind the queries of CoCa `[d, d]`, with the weight of the norm before it.
    pub proj: Param<Tensor<2>>,
    /// Epsilon of the norms, for the scalars of the decomposition.
    pub norm_epsilon: f64,
    /// Side of the square input in pixels.
    pub image_size: usize,
    /// Tokens before the patches: class token and registers.
    pub prefix: usize,
    /// Bias of the output projection, `[d]`, where it has one.
    pub proj_bias: Option<Param<Tensor<1>>>,
    #[module(skip)]
    pub(crate) pooling: Pooling,
    /// Rotary positions of all tokens, where the tower has them.
    #[module(skip)]
    pub(crate) rotary: Option<Arc<RotaryTable>>,
}

impl BurnVisionTower {
    pub(crate) fn new(config: &VisionConfig, embed_dim: usize, quick_gelu: bool, device: &Device) -> Self {
        let width = config.width;
        let scale = (width as f64).powf(-0.5);
        let normal = |std: f64| Initializer::Normal { mean: 0.0, std };
        let norm = LayerNormConfig::new(width).with_epsilon(config.norm_epsilon);
        let patch_inputs = 3 * config.patch_size * config.patch_size;
        let blocks = TransformerConfig {
            width,
            layers: config.layers,
            heads: config.heads(),
            mlp_width: config.mlp_width,
            norm_epsilon: config.norm_epsilon,
            quick_gelu,
            gelu_tanh: config.shape.gelu_tanh,
            shape: config.shape.block(),
        };
        let attn_pool = match config.shape.pooling {
            Pooling::Attention { mlp_width } => Some(AttentionPool::new(&blocks, mlp_width, device)),
            Pooling::Queries { heads, .. } => Some(AttentionPool::of_queries(width, [embed_dim, heads], device)),
            Pooling::ClassToken | Pooling::Mean { .. } => None,
        };
        // A norm behind queries leaves its bias to the projection.
        let has_norm_behind = matches!(config.shape.pooling, Pooling::Queries { .. });
        let has_bias = config.shape.projection_bias || has_norm_behind;
        let pooled = if has_norm_behind { embed_dim } else { width };
        let rotary = config.shape.rotary;
        let rotary = rotary.map(|rotary| rotary.table(config.grid(), config.shape.prefix(), config.head_width));
        Self {
            conv1: normal((patch_inputs as f64).powf(-0.5))
                .init([width, 3, config.patch_size, config.patch_size], device),
            class_embedding: config.shape.is_plain().then(|| normal(scale).init([width], device)),
            positional_embedding: normal(scale).init([config.tokens(), width], device),
            ln_pre: config.shape.norm_first.then(|| norm.init(device)),
            transformer: blocks.init(device),
            ln_post: norm.init(device),
            attn_pool,
            proj: normal(scale).init([pooled, embed_dim], device),
            norm_epsilon: config.norm_epsilon,
            image_size: config.image_size,
            prefix: config.shape.prefix(),
            proj_bias: has_bias.then(|| Initializer::Zeros.init([embed_dim], device)),
            pooling: config.shape.pooling,
            rotary: rotary.map(Arc::new),
        }
    }

    /// The tower with the weights of the blocks' linear layers in another precision; whatever else there is stays as it was. An
    /// error if the tower's device cannot compute with it.
    pub fn in_precision(mut self, precision: Precision) -> Result<Self> {
        precision.check(&self.proj.val().device())?;
        for block in &mut self.transformer.resblocks {
            for layer in [&mut block.attn.in_proj, &mut block.attn.out_proj, &mut block.mlp.c_fc, &mut block.mlp.c_proj]
            {
                layer.weight = layer.weight.clone().map(|weight| weight.cast(precision.dtype()));
            }
        }
        Ok(self)
    }

    /// Number of blocks.
    pub fn layers(&self) -> usize {
        self.transformer.resblocks.len()
    }

    /// Image features `r`, not normalised: pixels `[batch, 3, side, side]` to `[batch, d]`.
    pub fn encode(&self, pixels: Tensor<4>) -> Tensor<2> {
        self.run(self.embed(pixels), &TraceRequest::default()).representation
    }

    /// Image features of some patches alone, for training with patch dropout (arXiv 2212.00794): pixels
    /// `[batch, 3, side, side]` and the numbers of the patches kept of each image, row by row from 0, `[batch, kept]`, to
    /// `[batch, d]`.
    pub fn encode_patches(&self, pixels: Tensor<4>, kept: Tensor<2, Int>) -> Tensor<2> {
        let tokens = self.embed(pixels);
        let [batch, count, width] = tokens.dims();
        let device = tokens.device();
        let class_token = Tensor::<2, Int>::zeros([batch, 1], &device);
        let first: Tensor<2, Int> = Tensor::arange(0..batch as i64, &device).mul_scalar(count as i64).unsqueeze_dim(1);
        let rows = Tensor::cat(vec![class_token, kept.add_scalar(1)], 1) + first;
        let [_, kept] = rows.dims();
        let tokens = tokens.reshape([batch * count, width]).select(0, rows.reshape([batch * kept]));
        self.run(tokens.reshape([batch, kept, width]), &TraceRequest::default()).representation
    }

    /// The forward pass with the outputs of the heads asked for (design section 1): pixels `[batch, 3, side, side]`.
    pub fn trace(&self, pixels: Tensor<4>, request: &TraceRequest) -> Result<HeadTrace> {
        let last = self.layers() - 1;
        match request.layers.iter().chain(&request.token_layers).find(|layer| **layer > last) {
            Some(&layer) => Err(ClipError::NoLayer { layer, last }),
            None => Ok(self.run(self.embed(pixels), request)),
        }
    }

    /// Through the blocks: patches, class token and positions `[batch, tokens, width]`.
    fn run(&self, embedded: Tensor<3>, request: &TraceRequest) -> HeadTrace {
        let mut residual = match &self.ln_pre {
            Some(norm) => norm.forward(embedded),
            None => embedded,
        };
        let mut kept = BlockOutputs::default();
        let last = self.layers() - 1;
        let rotation = self.rotary.as_ref().map(|table| Rotation::new(table, &residual.device()));
        let all_asked = self.pooling != Pooling::ClassToken;
        if request.residual_components {
            kept.components.push(self.asked(residual.clone(), 1));
        }
        for (layer, block) in self.transformer.resblocks.iter().enumerate() {
            // Nothing after the last attention is needed for any token that is not pooled.
            let queries = if layer == last && !all_asked { Queries::ClassToken } else { Queries::All };
            let heads = block.attn.attend(block.ln_1.forward(residual.clone()), queries, None, rotation.as_ref());
            if request.layers.contains(&layer) {
                kept.z.push((layer, self.asked(heads.z.clone(), 2)));
            }
            if request.mean_attention {
                kept.mean_attention.push(heads.attention.clone().mean_dim(1).squeeze_dim(1));
            }
            if request.token_layers.contains(&layer) {
                kept.tokens.push((layer, self.asked(heads.weights(), 2), heads.values.clone()));
            }
            if layer == last {
                residual = self.asked(residual, 1);
            }
            residual = residual + block.attn.output(heads.z);
            let update = block.mlp.forward(block.ln_2.forward(residual.clone()));
            if request.residual_components {
                kept.components.push(self.asked(update.clone(), 1));
            }
            residual = residual + update;
        }
        self.pool(residual, kept)
    }

    /// Output projection of what is pooled, `[batch, width]`.
    pub(super) fn project(&self, pooled: Tensor<2>) -> Tensor<2> {
        let projected = pooled.matmul(self.proj.val());
        match &self.proj_bias {
            Some(bias) => projected + bias.val().unsqueeze(),
            None => projected,
        }
    }

    /// The rows of the tokens that are pooled, along a dimension: of the class token alone, where it is the representation.
    fn asked<const D: usize>(&self, values: Tensor<D>, dimension: usize) -> Tensor<D> {
        if self.pooling == Pooling::ClassToken { values.narrow(dimension, 0, 1) } else { values }
    }

    /// Patches, class token and positions: `[batch, tokens, width]`. The patch embedding is a reshape and a product, not a
    /// convolution: on the CPU they are equally fast, and GPU convolution kernels have been wrong silently (burn #5626).
    fn embed(&self, pixels: Tensor<4>) -> Tensor<3> {
        let [batch, channels, side, _] = pixels.dims();
        let weight = self.conv1.val();
        let [width, _, patch, _] = weight.dims();
        let grid = side / patch;
        // As a convolution does, what fills no whole patch is left out.
        let whole = grid * patch;
        let pixels = if whole == side { pixels } else { pixels.narrow(2, 0, whole).narrow(3, 0, whole) };
        let patches = pixels
            .reshape([batch, channels, grid, patch, grid, patch])
            .permute([0, 2, 4, 1, 3, 5])
            .reshape([batch, grid * grid, channels * patch * patch]);
        let weight: Tensor<2> = weight.reshape([width, channels * patch * patch]);
        let tokens = patches.matmul(weight.transpose().unsqueeze());
        let tokens = match (&self.class_embedding, self.prefix) {
            (_, 0) => tokens,
            (Some(class), _) => {
                let class: Tensor<3> = class.val().reshape([1, 1, width]).expand([batch, 1, width]);
                Tensor::cat(vec![class, tokens], 1)
            }
            (None, prefix) => {
                let prefix = Tensor::<3>::zeros([batch, prefix, width], &tokens.device());
                Tensor::cat(vec![prefix, tokens], 1)
            }
        };
        tokens + self.positional_embedding.val().unsqueeze()
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Distribution, TensorData};

    use super::*;
    use crate::families::VisionShape;

    /// Patches carry their positions along: in any order they are the same image. Sums in another order differ by rounding, a
    /// patch less by far more than that.
    #[test]
    fn an_image_is_its_patches_in_any_order() {
        let device = Device::flex();
        let config = VisionConfig {
            image_size: 32,
            patch_size: 16,
            layers: 2,
            width: 16,
            head_width: 8,
            mlp_width: 32,
            norm_epsilon: 1e-5,
            shape: VisionShape::default(),
        };
        let tower = BurnVisionTower::new(&config, 8, false, &device);
        let pixels = Tensor::<4>::random([2, 3, 32, 32], Distribution::Normal(0.0, 1.0), &device);
        let whole = tower.encode(pixels.clone());
        let difference = |kept: Vec<i32>| {
            let kept = Tensor::from_data(TensorData::new(kept.clone(), [2, kept.len() / 2]), &device);
            let apart = (tower.encode_patches(pixels.clone(), kept) - whole.clone()).abs().max();
            apart.into_data().iter::<f32>().fold(0.0, f32::max)
        };
        let same = difference(vec![2, 0, 3, 1, 0, 1, 2, 3]);
        let less = difference(vec![2, 0, 3, 0, 1, 2]);
        assert!(same < 1e-5 && less > 1e-3, "{same} {less}");
    }
}
