use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
};

use headspan_headspace::{HeadId, HeadVector, Scalars, unit_feature};
use headspan_images::{Preprocess, RgbImage8};
use headspan_model::{ClipError, HostTokens, LoadedModel, Pooling, ReadoutFolder, Tokenizer, TraceRequest};

use crate::error::{ExploreError, Result};

/// A model that makes queries of new images and texts.
pub struct ExploreModel {
    model: LoadedModel,
    tokenizer: Option<Tokenizer>,
    /// Weights of a tower that pools by attention, from the first image on.
    folder: OnceLock<Arc<ReadoutFolder>>,
}

/// What the extracted layers made of one image.
#[derive(Debug, Clone)]
pub struct ImageTrace {
    /// Patches along one side.
    pub(crate) grid: usize,
    /// Tokens before the patches.
    pub(crate) prefix: usize,
    pub(crate) scalars: Scalars,
    /// `z/(σ|r|)` of each head.
    pub(crate) heads: BTreeMap<HeadId, Vec<f32>>,
    /// Per layer the class token's attention `[heads, looks, tokens]` and the values `[heads, tokens, head_dim]`.
    pub(crate) tokens: BTreeMap<u32, HostTokens>,
    /// What tells a token's score in a tower that pools by attention; in others readouts do.
    pub(crate) folder: Option<Arc<ReadoutFolder>>,
    /// `r`, not normalised, `[d]`.
    pub(crate) representation: Vec<f32>,
    /// Attention of every layer averaged over its heads, `[queries, tokens]`, of the last the class token's alone; empty
    /// unless it was asked for.
    pub(crate) mean_attention: Vec<Vec<f32>>,
}

impl ExploreModel {
    /// A model with its tokenizer, none for an image tower alone; [`LoadedModel::for_queries`] loads all that it needs.
    pub fn new(model: LoadedModel, tokenizer: impl Into<Option<Tokenizer>>) -> Self {
        Self { model, tokenizer: tokenizer.into(), folder: OnceLock::new() }
    }

    /// The weights by which tokens of a tower that pools by attention get scores.
    fn folder(&self) -> Result<Option<Arc<ReadoutFolder>>> {
        if !self.model.vision().geometry().gives_contributions() {
            return Ok(None);
        }
        if let Some(folder) = self.folder.get() {
            return Ok(Some(Arc::clone(folder)));
        }
        let folder = Arc::new(self.model.readout_folder()?);
        Ok(Some(Arc::clone(self.folder.get_or_init(|| folder))))
    }

    pub(crate) fn pooling(&self) -> Pooling {
        self.model.vision().geometry().pooling
    }

    fn preprocess(&self) -> &Preprocess {
        self.model.vision().preprocess()
    }

    /// What of an image the model sees, at the model's size.
    pub fn seen(&self, image: &RgbImage8) -> RgbImage8 {
        let side = self.preprocess().size as u32;
        RgbImage8 { width: side, height: side, data: self.preprocess().pixels(image) }
    }

    /// Features of texts, to unit norm, each `[d]`, and whether a text's end was cut off. An error for an image tower alone.
    pub fn embed(&self, texts: &[&str]) -> Result<Vec<(Vec<f32>, bool)>> {
        let tokenizer = self.tokenizer.as_ref().ok_or(ClipError::NoTexts)?;
        let encoded = texts.iter().map(|text| tokenizer.encode(text)).collect::<Result<Vec<_>, _>>()?;
        let (ids, cut): (Vec<Vec<u32>>, Vec<bool>) = encoded.into_iter().map(|text| (text.ids, text.is_cut)).unzip();
        let values = self.model.encode_texts(&tokenizer.batch(&ids))?;
        let d = values.len() / texts.len();
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
        let size = self.preprocess().size;
        let mut pixels = vec![0.0_f32; 3 * size * size];
        self.preprocess().apply(image, &mut pixels);
        pixels
    }

    fn run(&self, pixels: Vec<f32>, layers: &[u32], mean_attention: bool) -> Result<ImageTrace> {
        let vision = self.model.vision();
        let mut layers: Vec<usize> = layers.iter().map(|layer| *layer as usize).collect();
        // A trace has its layers in their order, each once.
        layers.sort_unstable();
        layers.dedup();
        let heads = HeadId::of_layers(&layers, vision.geometry().heads).collect::<Vec<_>>();
        let token_layers = layers.clone();
        let request = TraceRequest { layers, token_layers, residual_components: false, mean_attention };
        let host = vision.trace(pixels, &request)?;
        if host.representation.iter().any(|value| !value.is_finite()) {
            return Err(ExploreError::NoFeature { what: "the image".to_owned() });
        }
        Ok(ImageTrace {
            grid: vision.geometry().grid,
            prefix: vision.geometry().prefix,
            folder: self.folder()?,
            scalars: host.scalars[0],
            heads: heads.into_iter().zip(host.heads).collect(),
            tokens: host.tokens.into_iter().map(|layer| (layer.layer as u32, layer)).collect(),
            representation: host.representation,
            mean_attention: host.mean_attention,
        })
    }
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
    pub fn u(&self, head: HeadId) -> Result<HeadVector> {
        Ok(HeadVector::new(self.head(head)?, self.scalars))
    }

    /// Attention of the class token to a token under one head, the token's value `[head_dim]`, and the scalars. An error for a tower
    /// that pools by attention.
    pub fn token(&self, head: HeadId, token: usize) -> Result<(f32, &[f32], Scalars)> {
        self.head(head)?;
        let layer = self.layer(head.layer)?;
        if self.folder.is_some() {
            return Err(ClipError::NoSingleAttention.into());
        }
        let row = head.head as usize * layer.tokens + token;
        Ok((layer.attention[row], &layer.values[row * layer.head_dim..][..layer.head_dim], self.scalars))
    }

    pub(crate) fn layer(&self, layer: u32) -> Result<&HostTokens> {
        self.tokens.get(&layer).ok_or_else(|| ExploreError::Invalid {
            what: "the image was traced without layer",
            found: layer.to_string(),
            expected: "a traced layer".to_owned(),
        })
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
