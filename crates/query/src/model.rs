use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor, TensorData};
use headspan_artifacts::HeadId;
use headspan_images::{Preprocess, RgbImage8};
use headspan_model::{
    Clip, ClipConfig, ClipError, TextEncoder, TokenBatch, Tokenizer, TraceRequest, VisionTower, unit_feature,
};

use crate::error::{ExploreError, Result};

/// A model that makes queries of new images and texts.
pub struct ExploreModel {
    visual: VisionTower,
    text: TextEncoder,
    tokenizer: Tokenizer,
    preprocess: Preprocess,
    grid: usize,
    device: Device,
}

/// What the extracted layers made of one image.
#[derive(Debug, Clone)]
pub struct ImageTrace {
    /// Patches along one side.
    pub(crate) grid: usize,
    /// `[1/(σ|r|), m/(σ|r|), 1/|r|]`.
    pub(crate) scalars: [f32; 3],
    /// `z/(σ|r|)` of each head.
    pub(crate) heads: BTreeMap<HeadId, Vec<f32>>,
    /// Per layer the class token's attention `[heads, tokens]` and the values `[heads, tokens, head_dim]`.
    pub(crate) tokens: BTreeMap<u32, LayerTokens>,
    /// `r`, not normalised, `[d]`.
    pub(crate) representation: Vec<f32>,
    /// Attention of every layer averaged over its heads, `[queries, tokens]`, of the last the class token's alone; empty
    /// unless it was asked for.
    pub(crate) mean_attention: Vec<Vec<f32>>,
}

/// Where the heads of one layer looked, and what stood there.
#[derive(Debug, Clone)]
pub(crate) struct LayerTokens {
    pub(crate) attention: Vec<f32>,
    pub(crate) values: Vec<f32>,
    pub(crate) tokens: usize,
    pub(crate) head_dim: usize,
}

impl ExploreModel {
    /// A model whose weights are on `device`.
    pub fn new(model: Clip, tokenizer: Tokenizer, config: &ClipConfig, device: Device) -> Self {
        Self::of_towers((model.visual, model.text.into()), tokenizer, config, device)
    }

    /// As [`ExploreModel::new`], of towers that were loaded apart.
    pub fn of_towers(
        (visual, text): (VisionTower, TextEncoder),
        tokenizer: Tokenizer,
        config: &ClipConfig,
        device: Device,
    ) -> Self {
        let preprocess =
            Preprocess { size: config.vision.image_size, mean: config.preprocess.mean, std: config.preprocess.std };
        Self { visual, text, tokenizer, preprocess, grid: config.vision.grid(), device }
    }

    /// What of an image the model sees, at the model's size.
    pub fn seen(&self, image: &RgbImage8) -> RgbImage8 {
        let side = self.preprocess.size as u32;
        RgbImage8 { width: side, height: side, data: self.preprocess.pixels(image) }
    }

    /// Features of texts, to unit norm, each `[d]`, and whether a text's end was cut off.
    pub fn embed(&self, texts: &[&str]) -> Result<Vec<(Vec<f32>, bool)>> {
        let encoded = texts.iter().map(|text| self.tokenizer.encode(text)).collect::<Result<Vec<_>, _>>()?;
        let (ids, cut): (Vec<Vec<u32>>, Vec<bool>) = encoded.into_iter().unzip();
        let features = self.text.encode(&TokenBatch::new(&ids), &self.device)?;
        let [_, d] = features.dims();
        let values = read(features)?;
        let unit = |(row, (text, cut)): (&[f32], (&&str, bool))| {
            let none = || ExploreError::NoFeature { what: format!("the text {text:?}") };
            Ok((unit_feature(row).ok_or_else(none)?, cut))
        };
        values.chunks_exact(d).zip(texts.iter().zip(cut)).map(unit).collect()
    }

    /// One forward pass that keeps what the heads of `layers` read: `z` and, for segmentation, attention and values.
    pub fn trace(&self, image: &RgbImage8, layers: &[u32]) -> Result<ImageTrace> {
        self.trace_pixels(self.pixels(image), layers)
    }

    /// As [`ExploreModel::trace`], of normalised pixels `[3, side, side]`.
    pub fn trace_pixels(&self, pixels: Vec<f32>, layers: &[u32]) -> Result<ImageTrace> {
        self.run(pixels, layers, false)
    }

    /// As [`ExploreModel::trace`], and what attention rollout needs.
    pub(crate) fn trace_with_attention(&self, image: &RgbImage8, layers: &[u32]) -> Result<ImageTrace> {
        self.run(self.pixels(image), layers, true)
    }

    /// Normalised pixels `[3, side, side]` of an image.
    fn pixels(&self, image: &RgbImage8) -> Vec<f32> {
        let size = self.preprocess.size;
        let mut pixels = vec![0.0_f32; 3 * size * size];
        self.preprocess.apply(image, &mut pixels);
        pixels
    }

    fn run(&self, pixels: Vec<f32>, layers: &[u32], mean_attention: bool) -> Result<ImageTrace> {
        let size = self.preprocess.size;
        let pixels = Tensor::from_data(TensorData::new(pixels, [1, 3, size, size]), &self.device);
        let layers: Vec<usize> = layers.iter().map(|layer| *layer as usize).collect();
        let request =
            TraceRequest { layers: layers.clone(), token_layers: layers, residual_components: false, mean_attention };
        let mut trace = self.visual.trace(pixels, &request)?;
        let mut tokens = BTreeMap::new();
        for layer in std::mem::take(&mut trace.tokens) {
            let [_, _, count] = layer.attention.dims();
            let [_, _, _, head_dim] = layer.values.dims();
            let (attention, values) = (read(layer.attention)?, read(layer.values)?);
            tokens.insert(layer.layer as u32, LayerTokens { attention, values, tokens: count, head_dim });
        }
        let mean_attention =
            std::mem::take(&mut trace.mean_attention).into_iter().map(read).collect::<Result<Vec<_>, _>>()?;
        let named: Vec<HeadId> = trace.z.iter().flat_map(|(layer, z)| heads_of(*layer, z.dims()[1])).collect();
        let host = trace.into_host()?;
        if host.representation.iter().any(|value| !value.is_finite()) {
            return Err(ExploreError::NoFeature { what: "the image".to_owned() });
        }
        let (inv_scale, mean_scale, inv_norm) = host.scalars[0];
        Ok(ImageTrace {
            grid: self.grid,
            scalars: [inv_scale, mean_scale, inv_norm],
            heads: named.into_iter().zip(host.heads).collect(),
            tokens,
            representation: host.representation,
            mean_attention,
        })
    }
}

fn heads_of(layer: usize, heads: usize) -> impl Iterator<Item = HeadId> {
    (0..heads).map(move |head| HeadId { layer: layer as u32, head: head as u32 })
}

fn read<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>, ClipError> {
    let failed =
        |source: Box<dyn std::error::Error + Send + Sync>| ClipError::Device { doing: "reading a query back", source };
    let data = tensor.try_into_data().map_err(|error| failed(error.into()))?;
    data.try_into_vec::<f32>().map_err(|error| failed(error.into()))
}

impl ImageTrace {
    /// Patches along one side of the picture.
    pub fn grid(&self) -> usize {
        self.grid
    }

    /// `r`, not normalised, `[d]`.
    pub fn representation(&self) -> &[f32] {
        &self.representation
    }

    /// `u = [z/(σ|r|), 1/(σ|r|), m/(σ|r|), 1/|r|]` of one head, `[head_dim + 3]`.
    pub fn u(&self, head: HeadId) -> Result<Vec<f32>> {
        Ok(self.head(head)?.iter().chain(&self.scalars).copied().collect())
    }

    /// Attention of the class token to a token under one head, the token's value `[head_dim]`, and the scalars.
    pub fn token(&self, head: HeadId, token: usize) -> Result<(f32, &[f32], [f32; 3])> {
        self.head(head)?;
        let layer = self.layer(head.layer)?;
        let row = head.head as usize * layer.tokens + token;
        Ok((layer.attention[row], &layer.values[row * layer.head_dim..][..layer.head_dim], self.scalars))
    }

    pub(crate) fn layer(&self, layer: u32) -> Result<&LayerTokens> {
        self.tokens.get(&layer).ok_or_else(|| ExploreError::Invalid {
            what: "the image was traced without layer",
            found: layer.to_string(),
            expected: "a traced layer".to_owned(),
        })
    }

    pub(crate) fn scalars(&self) -> [f32; 3] {
        self.scalars
    }

    /// `z/(σ|r|)` of one head.
    pub(crate) fn head(&self, head: HeadId) -> Result<&[f32]> {
        let found = self.heads.get(&head).map(Vec::as_slice);
        found.ok_or_else(|| ExploreError::Invalid {
            what: "the image was traced without",
            found: head.to_string(),
            expected: "a head of the traced layers".to_owned(),
        })
    }
}
