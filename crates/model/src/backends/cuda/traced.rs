//! From pixels in main memory to a trace there.

use headspan_headspace::Scalars;

use super::{engine::Engine, memory::Memory, sequence::Pass, weights::Tower};
use crate::{
    error::{ClipError, Result},
    trace::{HostTokens, HostTrace, TraceRequest, split_heads},
};

/// A pass over normalised pixels `[images, 3, side, side]`, in memory that earlier passes left or that is allocated here.
pub(super) fn trace<E: Engine>(
    engine: &mut E,
    tower: &Tower<E::Buffer>,
    memory: &mut Option<Memory<E::Buffer>>,
    pixels: &[f32],
    request: &TraceRequest,
) -> Result<HostTrace> {
    let images = count(tower, pixels, request)?;
    if images == 0 {
        return Ok(HostTrace::default());
    }
    if !memory.as_ref().is_some_and(|memory| memory.is_for(images, request)) {
        // The old one goes first, so that both need not fit.
        *memory = None;
    }
    let memory = match memory {
        Some(memory) => memory,
        None => memory.insert(Memory::new(engine, tower, images, request)?),
    };
    Pass { engine: &mut *engine, tower, memory: &*memory, images }.run(pixels, request)?;
    let reading = Reading { tower, memory, images };
    Ok(reading.host_trace(engine.read(&reading.asked())?, request))
}

/// How many images there are. An error for a layer that does not exist, and for pixels that are no whole number of images.
fn count<B>(tower: &Tower<B>, pixels: &[f32], request: &TraceRequest) -> Result<usize> {
    let last = tower.blocks.len() - 1;
    if let Some(&layer) = request.layers.iter().chain(&request.token_layers).find(|layer| **layer > last) {
        return Err(ClipError::NoLayer { layer, last });
    }
    let (values, image) = (pixels.len(), tower.image_length());
    if !values.is_multiple_of(image) {
        return Err(ClipError::Pixels { values, image });
    }
    Ok(values / image)
}

/// What is read back after a pass.
struct Reading<'a, B> {
    tower: &'a Tower<B>,
    memory: &'a Memory<B>,
    images: usize,
}

impl<'a, B> Reading<'a, B> {
    /// Buffers and how much of each, in the order in which [`Reading::host_trace`] takes them.
    fn asked(&self) -> Vec<(&'a B, usize)> {
        let Self { tower, memory, images } = self;
        let (tokens, kept) = (tower.tokens, &memory.kept);
        let mut asked = vec![(&memory.representation, images * tower.d), (&memory.class, images * tower.width)];
        asked.extend(kept.z.iter().chain(&kept.components).map(|buffer| (buffer, images * tower.width)));
        for (attention, values) in &kept.tokens {
            asked.extend([(attention, images * tower.heads * tokens), (values, images * tokens * tower.width)]);
        }
        let last = kept.means.len().saturating_sub(1);
        let queries = |layer| if layer == last { 1 } else { tokens };
        let means = kept.means.iter().enumerate();
        asked.extend(means.map(|(layer, mean)| (mean, images * queries(layer) * tokens)));
        asked
    }

    fn host_trace(&self, read: Vec<Vec<f32>>, request: &TraceRequest) -> HostTrace {
        let Self { tower, memory, images } = self;
        let kept = &memory.kept;
        let mut read = read.into_iter();
        let (representation, residual) = (read.next().unwrap_or_default(), read.next().unwrap_or_default());
        let rows = residual.chunks_exact(tower.width).zip(representation.chunks_exact(tower.d));
        let scalars: Vec<Scalars<f64>> =
            rows.map(|(residual, r)| Scalars::of(residual, r, tower.norm_epsilon)).collect();
        let shape = [*images, tower.heads, tower.head_dim()];
        let heads = read.by_ref().take(kept.z.len()).flat_map(|z| split_heads(&z, shape, &scalars, false)).collect();
        let residual_components = read.by_ref().take(kept.components.len()).collect();
        let layers = (0..tower.blocks.len()).filter(|layer| request.token_layers.contains(layer));
        let (tokens, head_dim) = (tower.tokens, tower.head_dim());
        let of_layer = |layer| {
            let (attention, values) = (read.next().unwrap_or_default(), read.next().unwrap_or_default());
            HostTokens { layer, tokens, head_dim, attention, values }
        };
        let tokens = layers.map(of_layer).collect();
        HostTrace {
            scalars: scalars.iter().map(|scalars| scalars.stored()).collect(),
            representation,
            heads,
            residual_components,
            residual,
            tokens,
            mean_attention: read.collect(),
        }
    }
}
