use super::Rotary;

/// How an image tower is built, beyond its sizes. The default is the tower of OpenAI's CLIP.
#[derive(Debug, Clone, Copy, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct VisionShape {
    /// Whether a class token stands before the patches.
    pub class_token: bool,
    /// Register tokens between class token and patches (arXiv 2309.16588): like the class token they have no place on the grid.
    pub registers: usize,
    /// Whether the patch embedding has a bias.
    pub patch_bias: bool,
    /// Whether position embeddings are added to the tokens.
    pub positions: bool,
    /// Positions by which queries and keys are rotated.
    pub rotary: Option<Rotary>,
    /// Whether tokens are normalised before the first block (`ln_pre`).
    pub norm_first: bool,
    /// Whether every block scales what it adds, channel by channel (LayerScale, arXiv 2103.17239).
    pub layer_scale: bool,
    /// Whether queries, keys and values have biases.
    pub qkv_bias: bool,
    /// Whether the outputs of a block's heads are normalised together before the output projection (EVA-02's sub-norm).
    pub attention_norm: bool,
    /// Whether the MLP multiplies its hidden layer by SiLU of another one (`SwiGLU`, arXiv 2002.05202).
    pub gated_mlp: bool,
    /// Whether the hidden layer of the MLP is normalised.
    pub mlp_norm: bool,
    /// How the tokens after the last block become one representation.
    pub pooling: Pooling,
    /// Whether an output projection follows. Without one, `d` is the width.
    pub projection: bool,
    /// Whether the output projection has a bias.
    pub projection_bias: bool,
    /// Whether GELU is the approximation by `tanh`.
    pub gelu_tanh: bool,
}

impl Default for VisionShape {
    fn default() -> Self {
        Self {
            class_token: true,
            registers: 0,
            patch_bias: false,
            positions: true,
            rotary: None,
            norm_first: true,
            layer_scale: false,
            qkv_bias: true,
            attention_norm: false,
            gated_mlp: false,
            mlp_norm: false,
            pooling: Pooling::ClassToken,
            projection: true,
            projection_bias: false,
            gelu_tanh: false,
        }
    }
}

impl VisionShape {
    /// Tokens before the patches.
    pub fn prefix(&self) -> usize {
        usize::from(self.class_token) + self.registers
    }

    /// Whether it is that of OpenAI's CLIP, whose tensors are loaded as they are.
    pub(crate) fn is_plain(&self) -> bool {
        *self == Self { gelu_tanh: self.gelu_tanh, ..Self::default() }
    }
}

/// How the tokens after the last block become one representation (`docs/mathematics.md`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pooling {
    /// The class token, normalised.
    ClassToken,
    /// The mean of tokens.
    Mean {
        /// Whether class token and registers count too.
        prefix: bool,
        /// Whether each token is normalised before the mean (`ln_post`), rather than the mean.
        norm_first: bool,
    },
    /// Attention by a learned probe over normalised tokens, and an MLP (SigLIP).
    Attention {
        /// Width of the hidden layer of the pooling's own MLP.
        mlp_width: usize,
    },
    /// Attention by learned queries over normalised tokens, and a norm behind it. The first query's output is the representation (CoCa).
    Queries {
        /// Heads of the queries.
        heads: usize,
        /// Number of queries.
        queries: usize,
    },
}

impl Pooling {
    /// Whether tokens are pooled by attention: traces then give contributions of heads themselves.
    pub fn is_attention(self) -> bool {
        matches!(self, Self::Attention { .. } | Self::Queries { .. })
    }

    /// Tokens before those that are pooled, of so many that stand before the patches.
    pub(crate) fn skipped(self, before: usize) -> usize {
        match self {
            Self::ClassToken | Self::Attention { .. } | Self::Queries { .. } | Self::Mean { prefix: true, .. } => 0,
            Self::Mean { prefix: false, .. } => before,
        }
    }
}

impl VisionShape {
    /// How a block is built, beyond its sizes.
    pub(crate) fn block(&self) -> BlockShape {
        let &Self { attention_norm, gated_mlp, mlp_norm, .. } = self;
        BlockShape { attention_norm, gated_mlp, mlp_norm }
    }
}

/// How a block is built, beyond its sizes. The default is that of OpenAI's CLIP.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BlockShape {
    /// Whether the heads' outputs are normalised together before the output projection.
    pub attention_norm: bool,
    /// Whether the MLP multiplies its hidden layer by SiLU of another one (`SwiGLU`).
    pub gated_mlp: bool,
    /// Whether the hidden layer of the MLP is normalised.
    pub mlp_norm: bool,
}

/// How a text tower is built, beyond its sizes. The default is that of OpenAI's CLIP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct TextStyle {
    /// Whether a token sees only those up to itself.
    pub causal: bool,
    /// Whether a text is padded to the whole context and its feature taken at the last token, rather than at the end token.
    pub padded: bool,
    /// Whether a class token of its own stands behind a text, from which its feature is taken (CoCa).
    pub class_token: bool,
    /// Whether the output projection has a bias.
    pub projection_bias: bool,
    /// Whether every block scales what it adds (LayerScale).
    pub layer_scale: bool,
    /// Whether GELU is the approximation by `tanh`.
    pub gelu_tanh: bool,
    /// How texts become tokens.
    pub tokens: TokenStyle,
}

/// How texts become tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenStyle {
    /// OpenCLIP's way for CLIP: start token, end token.
    Clip,
    /// SigLIP's: canonical spelling, end token, padding.
    Siglip,
    /// Another way, which headspan does not know.
    Unknown,
}

impl Default for TextStyle {
    fn default() -> Self {
        Self {
            causal: true,
            padded: false,
            class_token: false,
            projection_bias: false,
            layer_scale: false,
            gelu_tanh: false,
            tokens: TokenStyle::Clip,
        }
    }
}
