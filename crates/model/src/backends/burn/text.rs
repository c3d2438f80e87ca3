use burn::{
    module::{Initializer, Module, Param},
    nn::{Embedding, EmbeddingConfig, LayerNorm, LayerNormConfig},
    tensor::{Bool, Device, Int, Tensor, TensorData},
};

use crate::{
    backends::burn::{Transformer, TransformerConfig},
    families::{BlockShape, clip::TextConfig},
    tokenizer::{ClassRows, TokenBatch},
};

/// Text tower of CLIP. Field names are OpenCLIP's.
#[derive(Module, Debug)]
pub struct BurnTextTower {
    /// Token embedding, `[vocab_size, width]`.
    pub token_embedding: Embedding,
    /// Position embedding, `[context_length, width]`.
    pub positional_embedding: Param<Tensor<2>>,
    /// The causal blocks.
    pub transformer: Transformer,
    /// Norm after the last block.
    pub ln_final: LayerNorm,
    /// Output projection, `[width, d]`.
    pub text_projection: Param<Tensor<2>>,
    /// Bias of the output projection, `[d]`, where it has one.
    pub text_projection_bias: Option<Param<Tensor<1>>>,
    /// Epsilon of the norms.
    pub norm_epsilon: f64,
    /// Class token behind a text, `[width]`, where the tower has one.
    pub cls_emb: Option<Param<Tensor<1>>>,
    /// Whether a token sees only those up to itself.
    pub causal: bool,
}

impl BurnTextTower {
    pub(crate) fn new(config: &TextConfig, embed_dim: usize, quick_gelu: bool, device: &Device) -> Self {
        let width = config.width;
        let normal = |std: f64| Initializer::Normal { mean: 0.0, std };
        Self {
            token_embedding: EmbeddingConfig::new(config.vocab_size, width).with_initializer(normal(0.02)).init(device),
            positional_embedding: normal(0.01)
                .init([config.context_length + usize::from(config.style.class_token), width], device),
            cls_emb: config.style.class_token.then(|| normal(0.01).init([width], device)),
            transformer: TransformerConfig {
                width,
                layers: config.layers,
                heads: config.heads,
                mlp_width: config.mlp_width,
                norm_epsilon: config.norm_epsilon,
                quick_gelu,
                gelu_tanh: config.style.gelu_tanh,
                shape: BlockShape::default(),
            }
            .init(device),
            ln_final: LayerNormConfig::new(width).with_epsilon(config.norm_epsilon).init(device),
            text_projection: normal((width as f64).powf(-0.5)).init([width, embed_dim], device),
            text_projection_bias: config.style.projection_bias.then(|| Initializer::Zeros.init([embed_dim], device)),
            norm_epsilon: config.norm_epsilon,
            causal: config.style.causal,
        }
    }

    /// Text features, not normalised, `[texts, d]`: the row of the end token after the last block. Attention is causal, so
    /// what stands after a text's end token cannot matter and the batch is as long as its longest text, not 77.
    pub fn encode(&self, tokens: &TokenBatch, device: &Device) -> Tensor<2> {
        let class_rows = self.class_rows(tokens);
        let own = class_rows.as_ref().map_or(tokens, |rows| &rows.batch);
        let ids = TensorData::new(own.ids().to_vec(), [own.texts(), own.length()]);
        let ids: Tensor<2, Int> = Tensor::from_data(ids, device);
        let embedded = self.token_embedding.forward(ids);
        match &class_rows {
            Some(rows) => self.encode_class_rows(embedded, rows),
            None => self.encode_embedded(embedded, tokens),
        }
    }

    /// The rows of texts in a tower with a class token behind them; none in any other.
    pub(crate) fn class_rows(&self, tokens: &TokenBatch) -> Option<ClassRows> {
        let [positions, _] = self.positional_embedding.val().dims();
        self.cls_emb.as_ref().map(|_class| ClassRows::new(tokens, positions - 1))
    }

    /// As [`BurnTextTower::encode`], of the rows' embeddings, whatever those of the class tokens are, `[texts, length, width]`.
    pub(crate) fn encode_class_rows(&self, embedded: Tensor<3>, rows: &ClassRows) -> Tensor<2> {
        let [texts, length, width] = embedded.dims();
        let device = &embedded.device();
        let batch = &rows.batch;
        let is_class = |at: usize| at % length == batch.ends()[at / length];
        let ones: Vec<f32> = (0..texts * length).map(|at| if is_class(at) { 1.0 } else { 0.0 }).collect();
        let ones: Tensor<3> = Tensor::from_data(TensorData::new(ones, [texts, length, 1]), device);
        let class = self.cls_emb.as_ref().map_or_else(|| Tensor::zeros([width], device), |class| class.val());
        let embedded = embedded * (ones.clone().neg() + 1.0) + ones * class.reshape([1, 1, width]);
        let positions: Vec<i32> = rows.positions.iter().map(|position| *position as i32).collect();
        let positions: Tensor<1, Int> = Tensor::from_data(TensorData::new(positions, [texts * length]), device);
        let positions = self.positional_embedding.val().select(0, positions).reshape([texts, length, width]);
        let hidden: Vec<bool> = (0..texts * length * length)
            .map(|at| {
                let (text, query, key) = (at / (length * length), at / length % length, at % length);
                key > query || rows.blind[text] && key == query && key == batch.ends()[text]
            })
            .collect();
        let mask = Tensor::from_data(TensorData::new(hidden, [texts, 1, length, length]), device);
        self.encode_rows(embedded + positions, Some(&mask), batch)
    }

    /// As [`BurnTextTower::encode`], of the tokens' rows of the token embedding, `[texts, length, width]`.
    pub(crate) fn encode_embedded(&self, embedded: Tensor<3>, tokens: &TokenBatch) -> Tensor<2> {
        let length = tokens.length();
        let mask = self.causal.then(|| causal_mask(length, &embedded.device()));
        let positions: Tensor<2> = self.positional_embedding.val().narrow(0, 0, length);
        self.encode_rows(embedded + positions.unsqueeze(), mask.as_ref(), tokens)
    }

    /// Through the blocks, and of each text the last row through norm and projection.
    fn encode_rows(&self, mut residual: Tensor<3>, mask: Option<&Tensor<4, Bool>>, tokens: &TokenBatch) -> Tensor<2> {
        let (texts, length) = (tokens.texts(), tokens.length());
        let device = &residual.device();
        for block in &self.transformer.resblocks {
            residual = block.forward(residual, mask);
        }
        let [_, _, width] = residual.dims();
        let rows: Vec<i32> = tokens.ends().iter().enumerate().map(|(text, end)| (text * length + end) as i32).collect();
        let rows: Tensor<1, Int> = Tensor::from_data(TensorData::new(rows, [texts]), device);
        let ends = residual.reshape([texts * length, width]).select(0, rows);
        let features = self.ln_final.forward(ends).matmul(self.text_projection.val());
        match &self.text_projection_bias {
            Some(bias) => features + bias.val().unsqueeze(),
            None => features,
        }
    }
}

/// True where a query must not look: every later token. `[1, 1, tokens, tokens]`.
fn causal_mask(tokens: usize, device: &Device) -> Tensor<4, Bool> {
    let later: Vec<bool> = (0..tokens * tokens).map(|i| i % tokens > i / tokens).collect();
    Tensor::from_data(TensorData::new(later, [1, 1, tokens, tokens]), device)
}
