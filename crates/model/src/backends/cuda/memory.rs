//! Buffers of a pass.

use super::{engine::Engine, weights::Tower};
use crate::{error::Result, precision::Precision, trace::TraceRequest};

/// What a pass over some images writes, kept for the next pass of no more images and the same request.
pub(super) struct Memory<B> {
    images: usize,
    request: TraceRequest,
    /// `[images, 3, side, side]`.
    pub(super) pixels: B,
    /// `[images, tokens, width]`.
    pub(super) residual: B,
    /// Rows for the next product, in the tower's precision, `[images, tokens, width]`.
    pub(super) narrow: B,
    /// Embedded patches, then `z`, `[images, tokens, width]`. In single precision it is `narrow`.
    pub(super) z: B,
    /// Patches, then queries, keys and values, then what the MLP's first layer gives.
    pub(super) wide: B,
    /// The MLP's hidden layer in the tower's precision, `[images, tokens, hidden]`. In single precision it is `wide`.
    pub(super) hidden: B,
    /// `[heads, images, queries, score_distance]`.
    pub(super) scores: B,
    /// Class tokens for the next product, in the tower's precision, `[images, hidden or width]`.
    pub(super) few: B,
    /// Queries of the class tokens, then their norm after the last block, `[images, width]`.
    pub(super) queries: B,
    /// Class tokens of the residual stream from the last attention on, `[images, width]`.
    pub(super) class: B,
    /// `[images, d]`.
    pub(super) representation: B,
    pub(super) kept: Kept<B>,
}

/// What a request keeps, in the order of the layers.
pub(super) struct Kept<B> {
    /// Each `[images, width]`.
    pub(super) z: Vec<B>,
    /// Each `[images, width]`.
    pub(super) components: Vec<B>,
    /// Attention `[images, heads, tokens]` and values `[images, heads, tokens, head_dim]`.
    pub(super) tokens: Vec<(B, B)>,
    /// Each `[images, tokens, tokens]`, the last `[images, tokens]`.
    pub(super) means: Vec<B>,
}

/// Values from a row of scores to the next: a multiple of eight, since rows that begin at odd places keep cuBLASLt from its fast kernels.
pub(super) fn score_distance(tokens: usize) -> usize {
    tokens.next_multiple_of(8)
}

impl<B: Clone> Memory<B> {
    pub(super) fn new<E: Engine<Buffer = B>>(
        engine: &E,
        tower: &Tower<B>,
        images: usize,
        request: &TraceRequest,
    ) -> Result<Self> {
        let rows = images * tower.tokens;
        let (width, exact) = (tower.width, Precision::Float32);
        let allocate = |values: usize| engine.allocate(values, exact);
        let rounded = |values: usize| engine.allocate(values, tower.precision);
        let widest = tower.hidden.max(3 * width).max(3 * tower.patch * tower.patch);
        let (narrow, wide) = (rounded(rows * width)?, allocate(rows * widest)?);
        let (z, hidden) = if tower.precision == exact {
            (narrow.clone(), wide.clone())
        } else {
            (allocate(rows * width)?, rounded(rows * tower.hidden)?)
        };
        Ok(Self {
            images,
            request: request.clone(),
            pixels: allocate(images * tower.image_length())?,
            residual: allocate(rows * width)?,
            narrow,
            z,
            wide,
            hidden,
            scores: allocate(tower.heads * rows * score_distance(tower.tokens))?,
            few: rounded(images * tower.hidden.max(width))?,
            queries: allocate(images * width)?,
            class: allocate(images * width)?,
            representation: allocate(images * tower.d)?,
            kept: Kept::new(engine, tower, images, request)?,
        })
    }

    /// Whether a pass fits.
    pub(super) fn is_for(&self, images: usize, request: &TraceRequest) -> bool {
        images <= self.images && *request == self.request
    }
}

impl<B> Kept<B> {
    fn new<E: Engine<Buffer = B>>(engine: &E, tower: &Tower<B>, images: usize, request: &TraceRequest) -> Result<Self> {
        let several = |count: usize, values: usize| -> Result<Vec<B>> {
            (0..count).map(|_buffer| engine.allocate(images * values, Precision::Float32)).collect()
        };
        let (layers, tokens) = (tower.blocks.len(), tower.tokens);
        // Each layer once, in whatever order and however often it was asked for.
        let asked = |layers: &[usize]| (0..tower.blocks.len()).filter(|layer| layers.contains(layer)).count();
        let with_tokens = asked(&request.token_layers);
        let attention = several(with_tokens, tower.heads * tokens)?;
        let values = several(with_tokens, tokens * tower.width)?;
        Ok(Self {
            z: several(asked(&request.layers), tower.width)?,
            components: several(if request.residual_components { layers + 1 } else { 0 }, tower.width)?,
            tokens: attention.into_iter().zip(values).collect(),
            means: several(if request.mean_attention { layers } else { 0 }, tokens * tokens)?,
        })
    }
}
